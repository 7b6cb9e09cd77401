"""The fit of PrivateClassifier and PrivateRegressor: a private table in, a model to publish out.

One price pays for all of a fit, and every output went through :mod:`skdistill.release`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._display import print_once
from skdistill._estimator import DistilledEstimator
from skdistill._partitions import is_dask
from skdistill._randomness import own_randomness
from skdistill._silenced import silenced, warn_caller
from skdistill._tables import cells_of, check_lengths, check_table, label_codes, layout_of, n_rows
from skdistill._validate import check_settings, clear_fitted, type_name
from skdistill.accounting.charging import charge
from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import Certificate, certify
from skdistill.certificates.base import OWN_RECORD
from skdistill.distiller import PrivateDistiller
from skdistill.private_table.preview import NoisePreview, preview_noise, warn_of_noise
from skdistill.private_table.task import Found, PrivateStepError, Task
from skdistill.private_table.teaching import (
    group_params,
    last_step,
    noisy_n_teachers,
    refuse_teacher,
    takes_groups,
)
from skdistill.release.boundary import call_privately
from skdistill.release.calibration import PRIOR_SHARE, Release, calibrate
from skdistill.release.class_counts import HISTOGRAM_SHARE, measure_rarity, measure_scores
from skdistill.release.domain import domain_share, warn_of_hidden, with_domain
from skdistill.release.marginals import check_counts, group_numbers
from skdistill.release.mechanism import TransferSet
from skdistill.release.noise import active_sampler
from skdistill.release.query import Queries, answer, at_share
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.release.synthesis import bins_for, measure_table
from skdistill.schema import Schema, as_schema
from skdistill.statement import PRIVATE_TABLE, PrivacyStatement
from skdistill.students import (
    calibration_of,
    check_threshold,
    encoder_of,
    linear_student,
    match_threshold,
    offsets_from_counts,
    rehearse,
    train,
)
from skdistill.teachers import NewtonClassifier, NewtonRegressor, TeacherEnsemble
from skdistill.transfer.encoding import SchemaRows
from skdistill.transfer.table_features import TableFeatures, usual_knots

#: Part of μ² (or of ε) that synthetic rows take. Chosen, as all parts, on private rows held out of
#: Adult, California housing and credit default.
SYNTHESIS_SHARE = Fraction(17, 100)
#: Part of it that counts of two classes take: rare ones pay for fewer knots.
COUNTS_SHARE = Fraction(1, 100)
_N_ROWS = 10_000  # synthetic rows
_FEWEST_KNOTS, _BINS_PER_KNOT = 6, 10  # of a number, where rows are drawn from counts
_FEWEST_RARE = 4  # where a class is rare
_REHEARSED = 300  # rows drawn from the schema to try the teacher on
_CUTS = ("accuracy", "f1")
_NOT_PROTECTED = "that a fit raised an exception, where it did (not the private rows that it met)"


class PrivateTable(DistilledEstimator):
    """The common part of the classifier and the regressor."""

    threshold: Any = None  # a setting of the classifier
    _public_targets: ClassVar[str]  # in words
    # Methods of the derived classes: the teacher to clone, the private targets in their public
    # range, and n made-up ones.
    _blank_teacher: Any
    _read_targets: Any
    _made_up: Any

    @np.errstate(all="ignore")  # in a user's own state, a private value could raise
    def fit(self, X: Any, y: Any = None, groups: Any = None, X_public: Any = None) -> Self:
        """Charge the price, then learn a model of the private table.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Private rows. Values outside the schema are clipped or become "other".
        y : array-like of shape (n,)
            Private labels or targets.
        groups : array-like of shape (n,), default=None
            Label of each row's group (a person, say): the unit of privacy; their set is public.
        X_public : array-like or DataFrame of shape (m, d), default=None
            Public rows with the same columns. None draws synthetic ones from noisy counts of X.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError, TypeError
            For public causes: parameters, shapes, names of columns. Nothing is charged then.
        diffprivlib.utils.BudgetError
            The accountant refuses; nothing is counted, trained or released then.
        PrivateStepError
            A teacher of yours raised on the private rows; fixed text. The charge stays.

        Notes
        -----
        Proof. Let the whole loss be μ-GDP (or (ε, 0)-DP). The fit is one generator of queries,
        ``_queries``, whose parts have shares of the loss that sum to at most 1. (0) Private bounds:
        ``measure_domain`` (`release/domain.py`). (1) The codes of a row are a function of that row,
        so ``measure_table`` sees one row of codes replaced, and so are two classes, whose counts
        ``measure_rarity`` releases. (2) The transfer rows and the map to features are functions of
        its answers. Given them, the map takes private rows one by one, so one training row of the
        teacher changes, and its labels or its model cost their share by the teacher's certificate.
        (3) The histogram of scores asks the same rows about the released model. Adaptive
        composition adds μ² (Dong, Roth, Su 2022, Corollary 2) or ε (Dwork, Roth 2014, Theorem
        3.16). The student, its threshold and all synthetic rows are post-processing. Groups replace
        records throughout.
        """
        clear_fitted(self)  # should this fit fail, no earlier statement is left
        task = self._check(X, y, groups, X_public)
        loss, sampler = self._loss(task), active_sampler("exact")
        self._rehearse(task, loss)
        if loss is not None and self.teacher is None:
            warn_of_noise(task.n_units, len(getattr(self, "classes_", ())), loss)
        note = f"{type(self).__name__}; {task.n_units} {task.unit}s"  # not the number of rows
        charge(self.accountant, loss, note)
        random_state = check_random_state(self.random_state)
        found = answer(self._queries(task, loss, random_state), loss, sampler)
        self._train(task, found, random_state)
        self.costs_ = {name: _part(loss, share) for name, share in found.costs.items()}
        self.privacy_ = self._statement(task, found, loss)
        said = self.privacy_ if task.schema.unbounded else task.schema.privacy
        self.schema_ = Schema(found.schema.columns, privacy=said)
        if self.verbose > 0:
            print_once(str(self.privacy_))
        warn_of_hidden(found.hidden)
        return self

    def preview(
        self,
        n_records: int | tuple[int, ...] = (500, 1000, 5000, 50_000),
        epsilons: float | tuple[float, ...] = (0.5, 1.0, 2.0, 8.0),
    ) -> NoisePreview:
        """Say from public numbers how noisy a model will be. Nothing is asked or charged.

        Parameters
        ----------
        n_records, epsilons : number or tuple of numbers
            Numbers of private records (or groups), and values of ε of the whole fit; δ and the law
            of the noise are those of the estimator.

        Returns
        -------
        NoisePreview
            Its repr is a table.
        """
        self._check_settings()
        classes = getattr(self, "classes", None)
        n_classes = 2 if classes is None or isinstance(classes, str) else len(list(classes))
        n_classes = n_classes if self._predicts() == "classifier" else 0
        return preview_noise(n_records, epsilons, n_classes, self._priced)

    def sample(self, n_rows: int, random_state: Any = None) -> Any:
        """Draw synthetic rows of the released columns, as many as you like, at no cost.

        Parameters
        ----------
        n_rows, random_state : int, and int, RandomState or None, default=None
            How many, and public randomness.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, d)
            Of the kind of table that was fitted.
        """
        check_is_fitted(self)
        if self.table_ is None:
            raise ValueError("There are no columns to sample from: X_public was given to fit.")
        return self.table_.rows(n_rows, _generator(check_random_state(random_state)), self._kind)

    def _check(self, X: Any, y: Any, groups: Any, X_public: Any) -> Task:
        """Check public values, and bring every private cell into its public range."""
        self._check_settings()
        if y is None:
            name = type(self).__name__
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        if is_dask(X):
            raise TypeError(
                "X is a dask collection, and this estimator reads its private table in memory. Fit "
                "a NewtonClassifier or a NewtonRegressor on the collection, and release it with "
                "PrivateDistiller."
            )
        if X_public is X:
            warn_caller(
                "X_public is the private table itself: its rows, and a schema that is read from "
                "them, are used without protection. Pass rows that are public, or a schema alone."
            )
        X = check_table(X)
        if self.schema is None and X_public is not None:
            schema = Schema.from_public(X_public)
        else:
            schema = as_schema(self.schema, X)
        validate_data(self, layout_of(X, len(schema.columns)), skip_check_array=True)
        rows, cells = schema.on_grid().sanitize(X), cells_of(y)
        numbers = None if groups is None else group_numbers(groups)
        check_lengths(X, y=cells, groups=numbers)
        if X_public is not None:
            X_public = schema.on_grid().sanitize(check_table(X_public))
        targets = self._read_targets(y, cells)
        n_units = len(cells) if numbers is None else int(numbers.max()) + 1
        return Task(schema, Schema.kind_of(X), rows, targets, groups, n_units, X_public)

    def _check_settings(self) -> None:
        """Raise for an invalid parameter."""
        check_settings(self._settings())
        teacher, name = self._blank_teacher(), self._predicts()
        kind = is_classifier if name == "classifier" else is_regressor
        if isinstance(teacher, type) or not kind(teacher):
            raise TypeError(f"teacher={type_name(teacher)} must be a {name}: an instance.")

    def _rehearse(self, task: Task, loss: PrivacyLoss | None) -> None:
        """Raise errors of public causes now, before the charge.

        A clone of the teacher is trained on public rows, or on rows drawn from the schema alone,
        with made-up labels.
        """
        rows, rng, schema = task.X_public, np.random.default_rng(0), task.schema.to_try()
        if rows is None:
            sizes = schema.n_codes()
            codes = rng.integers(0, sizes, (_REHEARSED, len(sizes)))
            rows = schema.decode(codes, rng, kind=task.kind)
        teacher, targets = self._configured(task, loss, 0), self._made_up(n_rows(rows))
        if isinstance(last_step(teacher), TeacherEnsemble):
            last_step(teacher).count_teachers(task.n_units, 1)
            last_step(teacher).set_params(n_teachers=2, n_jobs=None)
        groups = None if task.groups is None else np.arange(len(targets))
        if task.groups is not None and not takes_groups(teacher):
            raise ValueError(
                f"groups: {type(last_step(teacher)).__name__} bounds the influence of one record, "
                "not of a group of records. Use the default teacher, or a TeacherEnsemble."
            )
        # Threads that train members would wait for the generators that this block has taken.
        with parallel_config(backend="sequential"), own_randomness(0), silenced():
            inputs = self._inputs(schema, rows)
            seen = inputs.transform(rows)
            teacher.fit(seen, targets, **group_params(teacher, groups))
            bound, student = self._bound(teacher, seen, loss), self._chosen_student(inputs)
            bound.rehearse(seen)
            noise = self._noise(task, self._asked(seen, student), bound, loss)
        refuse_teacher(bound, teacher)
        classes, range_ = getattr(self, "classes_", None), self._output_range()
        cut = "prior" if self.threshold in _CUTS else self.threshold
        check_threshold(student, cut, classes)
        if student is not None or not bound.gives_model:
            rehearse(student, seen, classes, threshold=cut, output_range=range_, noise_scale=noise)

    def _noise(self, task: Task, asked: Any, bound: Certificate, loss: PrivacyLoss | None) -> float:
        """Return the noise on a label; raise where any of the fit is too large to be drawn."""
        check_counts(len(task.schema.columns), loss)
        if task.X_public is None:
            asked = replace(asked, X=None, indices=np.arange(_N_ROWS))
        share = (1 - domain_share(task.schema, loss, task.n_units)) * (1 - sum(self._others(task)))
        return self._priced_at(_part(loss, share), bound, asked).noise_scale

    def _others(self, task: Task) -> tuple[Fraction, Fraction, Fraction]:
        """Return the parts of the price of synthetic rows, class counts and the histogram."""
        none, noisy = Fraction(0), not math.isinf(self.epsilon)
        weighed = noisy and self._learns_weights() and len(getattr(self, "classes_", ())) == 2
        scored = noisy and self._counts_scores()
        synthesis = SYNTHESIS_SHARE if task.X_public is None else none
        return synthesis, COUNTS_SHARE if weighed else none, HISTOGRAM_SHARE if scored else none

    def _loss(self, task: Task) -> PrivacyLoss | None:
        """Return the whole price; None for no noise."""
        if math.isinf(self.epsilon):
            return None
        return replace(self._priced(self.epsilon), unit=task.unit)

    def _priced(self, epsilon: float) -> PrivacyLoss:
        """Return the loss at a price, by the law of the noise that the settings choose."""
        law = getattr(self.mechanism, "noise", self.mechanism)
        if self.delta == 0 or law == "laplace":
            return PrivacyLoss.laplace(float(epsilon))
        return PrivacyLoss.gaussian(float(epsilon), float(self.delta))

    def _queries(self, task: Task, loss: PrivacyLoss | None, random_state: Any) -> Queries[Found]:
        """Learn bounds that are private, then the model, under one price."""

        def learn(schema: Schema, loss: PrivacyLoss | None) -> Queries[Found]:
            bare = Schema(schema.columns)  # the student keeps it, and needs no statement
            return self._learn(replace(task, schema=bare), loss, random_state)

        known = {"n_units": task.n_units, "groups": task.groups}
        share, hidden, found = yield from with_domain(task.schema, task.rows, loss, learn, **known)
        costs = {name: (1 - share) * cost for name, cost in found.costs.items()}
        costs = {"bounds": share} | costs if share else costs
        return replace(found, costs=costs, hidden=hidden)

    def _learn(self, task: Task, loss: PrivacyLoss | None, random_state: Any) -> Queries[Found]:
        """Join the table, the labels of rows drawn from it, and the scores, under one price."""
        table, rows, costs, bins = None, task.X_public, {}, None
        synthesis, counted, scores_share = self._others(task)
        left, rare = 1 - synthesis - counted - scores_share, 1.0
        if rows is None:
            costs["synthetic rows"] = synthesis
            part = _part(loss, synthesis)
            bins = bins_for(task.n_units, part)
            codes = task.schema.encode(task.rows, bins)
            measured = measure_table(task.schema, codes, part, bins, groups=task.groups)
            table = yield from at_share(measured, synthesis)
            rng, snapped = _generator(random_state), self._learns_weights()
            rows = table.rows(_N_ROWS, rng, task.kind, snapped=snapped)
        if counted:
            codes = label_codes(task.targets.tolist(), self.classes_) % 3  # 2 is any other label
            weighed = measure_rarity(codes, _part(loss, counted), task.groups)
            rare = yield from at_share(weighed, counted)
            costs["class counts"] = counted
        inputs = self._inputs(task.schema, rows, bins, rare)
        seen = inputs.transform(rows)
        part = _part(loss, left)
        teacher = self._teach(task, inputs, part, random_state)
        asked = self._asked(seen, self._chosen_student(inputs))
        release = self._priced_at(part, self._bound(teacher, seen, part), asked)
        labels = yield from at_share(release.queries(teacher, release.prepare()), left)
        prior = PRIOR_SHARE * left if release.with_prior else Fraction(0)
        costs |= {"class prior": prior} if prior else {}
        costs["labels" if labels.model is None else "gradients"] = left - prior
        histogram = None
        if scores_share:
            part = _part(loss, scores_share)
            scores = measure_scores(last_step(teacher).private_rows_, seen, labels.model, part)
            histogram = yield from at_share(scores, scores_share)
            costs["scores"] = scores_share
        return Found(task.schema, table, inputs, seen, release, labels, histogram, costs)

    def _inputs(
        self, schema: Schema, rows: Any, n_bins: int | None = None, rare: float = 1.0
    ) -> Any:
        """Return the fitted public map from rows to the features of teacher and student.

        Rows drawn from counts have one value for each of `n_bins` bins of a number. A class so
        `rare` (see :func:`rarity`) pays for fewer knots.
        """
        sanitize, teacher = SchemaRows(schema), self._blank_teacher()
        if isinstance(teacher, Pipeline) or isinstance(getattr(teacher, "estimator", 0), Pipeline):
            return sanitize
        if not self._learns_weights():
            features = TableFeatures(schema, None, n_knots=0, directions=False)
        else:
            sanitize = SchemaRows(schema, n_bins)
            # Products of numbers helped on housing, and not on Adult and credit default.
            pairs = "auto" if self._predicts() == "regressor" else None
            knots = usual_knots(schema)
            if n_bins is not None:
                knots = min(knots, max(_FEWEST_KNOTS, n_bins // _BINS_PER_KNOT))
            knots = min(knots, max(_FEWEST_RARE, round(knots / rare)))
            features = TableFeatures(schema, pairs, n_knots=knots)
        features.set_output(transform="default")  # whatever sklearn.set_config says
        return Pipeline([("rows", sanitize), ("features", features)]).fit(rows)

    def _learns_weights(self) -> bool:
        """Whether the teacher is learned in gradient rounds on features of its own."""
        return type(self._blank_teacher()) in (NewtonClassifier, NewtonRegressor)

    def _configured(self, task: Task, loss: PrivacyLoss | None, seed: int) -> Any:
        """Return a clone of the teacher with the public facts that its settings leave open."""
        teacher = clone(self._blank_teacher())
        last, known = last_step(teacher), {}
        if isinstance(last, TeacherEnsemble):
            known = {"random_state": seed, "n_jobs": self.n_jobs}
            if isinstance(last.n_teachers, str):
                classes = getattr(self, "classes_", None)
                n_classes = 1 if classes is None else len(classes)
                known["n_teachers"] = noisy_n_teachers(task.n_units, n_classes, loss)
        if hasattr(last, "classes") and last.classes is None and self._predicts() == "classifier":
            known["classes"] = self.classes_
        last.set_params(**known)
        return teacher

    def _teach(self, task: Task, inputs: Any, loss: PrivacyLoss | None, random_state: Any) -> Any:
        """Train the teacher on the private rows. No message of an error gets out."""

        def encode(copied: Any, rows: Any) -> Any:
            """Use a copy, since the student keeps the map and it may remember its last rows."""
            return copied.transform(rows)

        A = call_privately(encode, inputs, task.rows, error=PrivateStepError)
        teacher = self._configured(task, loss, random_state.randint(np.iinfo(np.int32).max))
        groups = group_params(teacher, task.groups)
        if takes_groups(teacher) and not isinstance(teacher, Pipeline):
            return teacher.fit(A, task.targets, **groups)  # no private value makes it raise

        def fit(A: Any, targets: Any) -> Any:
            return teacher.fit(A, targets, **groups)

        targets = task.targets if takes_groups(teacher) else self._known_targets(task.targets)
        return call_privately(fit, A, targets, error=PrivateStepError)

    def _priced_at(self, loss: PrivacyLoss | None, bound: Certificate, asked: Any) -> Release:
        """Return the release of the labels of the transfer rows, at a price that is given."""
        chosen, with_prior = self._mechanism(bound, loss), self.threshold == "prior"
        return calibrate(bound, asked, mechanism=chosen, with_prior=with_prior, loss=loss)

    def _bound(self, teacher: Any, rows: Any, loss: PrivacyLoss | None) -> Certificate:
        """Return how far one record can move the teacher."""
        if loss is None:
            return Certificate(name="none", reason="No noise was asked for.")
        found = certify(teacher, rows, output_range=self._output_range())
        # The package makes the rows of a private table, each of its own record.
        return replace(found, assumes=tuple(t for t in found.assumes if t != OWN_RECORD))

    def _asked(self, rows: Any, student: Any) -> TransferSet:
        classes, every = getattr(self, "classes_", None), np.arange(n_rows(rows))
        encoder = encoder_of(student)
        return TransferSet(rows, every, classes, self._output_range(), self.n_jobs, encoder)

    def _mechanism(self, bound: Certificate, loss: PrivacyLoss | None) -> Any:
        """Return the mechanism; synthetic rows have no neighbourhoods to smooth labels in."""
        if loss is None:
            return self.mechanism
        named = isinstance(self.mechanism, str) and self.mechanism in ("auto", loss.kind)
        if named and bound.kind == "members":
            return ResidualRounds(basis="pca", noise=loss.kind)
        return loss.kind if named else self.mechanism

    def _chosen_student(self, inputs: Any) -> Any:
        """Return the student to train; the default one encodes rows that come as they are."""
        if self.student is None and isinstance(inputs, SchemaRows):
            encode = TableFeatures(inputs.schema, None, n_knots=0, directions=False)
            return Pipeline([("features", encode), ("student", self._blank_student())])
        return self.student

    def _train(self, task: Task, found: Found, random_state: np.random.RandomState) -> None:
        """Train the student, place its threshold, and keep the results."""
        labels, classes = found.labels, getattr(self, "classes_", None)
        seed = None if self.random_state is None else random_state.randint(np.iinfo(np.int32).max)
        if self.student is None and labels.model is not None:
            offsets, model = self._cut(found)
            transformer = getattr(found.release.bound, "transformer", None)
            seen, range_ = found.release.asked.X, self._output_range()
            trained = linear_student(model, classes, range_, seen, transformer)
        else:
            trained = train(
                self._chosen_student(found.inputs),
                *(found.rows, found.release.asked.indices, labels.values),
                answered=labels.answered,
                noise_scale=labels.noise_scale,
                classes=classes,
                output_range=self._output_range(),
                random_state=seed,
            )
            offsets = None
        if classes is not None:
            threshold = self.threshold
            if threshold in _CUTS:  # without a histogram
                threshold = "prior" if threshold == "f1" else None
            if offsets is None:
                offsets = match_threshold(trained, found.rows, threshold, labels.prior, classes)
            self.class_prior_, self.decision_offsets_ = labels.prior, offsets
        self._kind, self.table_ = task.kind, found.table
        self.student_ = Pipeline([("inputs", found.inputs), ("student", trained)])
        self.n_teachers_ = int(getattr(found.release.bound, "n_teachers", 1))

    def _cut(self, found: Found) -> tuple[NDArray[np.float64] | None, Any]:
        """Calibrate the released model by the histogram of its scores, and place the cut."""
        model, histogram = found.labels.model, found.histogram
        if histogram is None:
            return None, model
        seen = histogram.scores, histogram.counts
        slope, shift = calibrated = calibration_of(*seen, histogram.noise)
        model = replace(model, coef=slope * model.coef, intercept=slope * model.intercept + shift)
        if not isinstance(self.threshold, str):
            return None, model
        cut = offsets_from_counts(self.threshold, seen[0], histogram.edges, seen[1], calibrated)
        return cut, model

    def _statement(self, task: Task, found: Found, loss: PrivacyLoss | None) -> PrivacyStatement:
        """Return the statement of the whole fit, with the cost of each part."""
        release, unit, schema = found.release, task.unit, task.schema
        shown = isinstance(getattr(self, "classes", None), str)
        assumes = ["the set of class labels is public"] if shown else []
        not_protected = [f"the number of {unit}s", schema.not_protected, _NOT_PROTECTED]
        not_protected.append(self._public_targets)
        bound = release.bound.bound_text
        if self.schema is not None:
            assumes.append(schema.origin)
        if task.X_public is not None:
            not_protected.append("the rows X_public")
        if found.table is not None:
            d = len(found.table.shares)
            bound += f"; one {unit} moves two cells of each of {d} marginals by one"
        if k := len(schema.unbounded):
            bound += f", and of at most {2 * k} histograms that bounds are read off"
        rows = "synthetic" if task.X_public is None else "public"
        whole = release.statement(tuple(assumes), self.accountant)
        return replace(
            whole,
            epsilon=math.inf if loss is None else loss.epsilon,
            delta=0.0 if loss is None else loss.delta,
            mu=None if loss is None else loss.mu,
            unit=unit,
            subject=PRIVATE_TABLE,
            mechanism=f"{release.title}, {rows} transfer rows{found.cost_text(loss)}",
            certificate={**whole.certificate, "bound": bound},
            not_protected=tuple(not_protected),
            private=whole.private and schema.is_private,
        )

    def _known_targets(self, targets: NDArray[Any]) -> NDArray[Any]:
        return targets

    def _counts_scores(self) -> bool:
        return False

    def _output_range(self) -> tuple[float, float] | None:
        return None

    def _settings(self) -> PrivateDistiller:
        """Return a distiller with the settings that are checked as its own are."""
        names = ("epsilon", "delta", "mechanism", "accountant", "random_state", "n_jobs", "verbose")
        return PrivateDistiller(
            None,
            threshold="prior" if self.threshold in _CUTS else self.threshold,
            output_range=self._output_range(),
            **{name: getattr(self, name) for name in names},
        )

    _shared: ClassVar[tuple[str, ...]] = ("accountant",)
    _prototypes: ClassVar[tuple[str, ...]] = ("teacher", "student")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags


def _part(loss: PrivacyLoss | None, share: Fraction) -> PrivacyLoss | None:
    return None if loss is None else loss.part(share)


def _generator(random_state: np.random.RandomState) -> np.random.Generator:
    return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint64))
