"""The fit that PATEClassifier and PATERegressor have in common.

The order of a fit: charge the whole price; count noisy marginals, and make transfer rows of them
(or take public ones); train teachers on the private rows; release their labels for the transfer
rows; train the student on these. One price pays for all of it, and everything that leaves went
through :mod:`skdistill.release`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._estimator import DistilledEstimator
from skdistill._tables import (
    canonical_rows,
    cells_of,
    check_lengths,
    check_table,
    layout_of,
    n_rows,
)
from skdistill._validate import check_count, check_settings, clear_fitted
from skdistill.accounting.charging import charge
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.certificates import Certificate, certify
from skdistill.distiller import PrivateDistiller
from skdistill.pate.costs import cost_text, noisy_n_teachers
from skdistill.release.boundary import call_privately, silenced
from skdistill.release.calibration import PRIOR_SHARE, Release, calibrate
from skdistill.release.marginals import NoisyMarginals, group_numbers, measure_marginals
from skdistill.release.mechanism import Labels, TransferSet
from skdistill.release.noise import active_sampler
from skdistill.release.query import Queries, answer, at_share
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.schema import Schema, as_schema
from skdistill.statement import PRIVATE_TABLE, PrivacyStatement
from skdistill.students import encoder_of, match_threshold, train
from skdistill.teachers import TeacherEnsemble
from skdistill.teachers.members import rehearse
from skdistill.transfer.features import SchemaRows
from skdistill.transfer.marginals import synthetic_rows
from skdistill.transfer.table_features import TableFeatures

__all__ = ["PATE", "PrivateStepError"]

_NOT_PROTECTED = (
    "the schema: names, bounds and categories of the columns",
    "that a fit raised an exception, where it did (not what private rows it met)",
)


_REHEARSED = 200  # rows that are drawn from the schema to try a member


@dataclass(frozen=True)
class Task:
    """The arguments of a fit, every cell inside its public range; private."""

    schema: Schema
    kind: str
    rows: Any
    targets: NDArray[Any]
    n_classes: int
    groups: Any
    n_units: int
    X_public: Any


@dataclass(frozen=True)
class Found:
    """Everything that one fit released, and its post-processing; public."""

    marginals: NoisyMarginals | None  # None where transfer rows were given
    inputs: Any  # the transformer from rows of the schema to the rows that teachers see
    rows: Any  # transfer rows, as the student sees them
    release: Release  # of the labels, at their part of the price
    labels: Labels


class PrivateStepError(ValueError):
    """A step before the teachers, or a single teacher, raised on private rows."""

    def __init__(self) -> None:
        super().__init__(
            "A step before the teachers, or a single teacher, raised on the private rows; its "
            "message is withheld because it may quote them. Try it on rows you may see, such as "
            "model.sample(100)."
        )


class PATE(DistilledEstimator):
    """The common part of the classifier and the regressor."""

    def fit(self, X: Any, y: Any = None, groups: Any = None, X_public: Any = None) -> Self:
        """Charge the price, then make the model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Private rows. Values outside the schema are clipped or become "other", silently.
        y : array-like of shape (n,)
            Private labels or targets; the class says how others are treated.
        groups : array-like of shape (n,), default=None
            Label of the group (a person, say) that each row belongs to. The unit of privacy is
            then the group; the set of groups is public.
        X_public : array-like or DataFrame of shape (m, d), default=None
            Transfer rows that are public. None makes synthetic ones.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError, TypeError
            For public causes: parameters, shapes, names of columns. Nothing is charged then.
        diffprivlib.utils.BudgetError
            The accountant refuses; nothing is counted, trained or released then.

        Notes
        -----
        Proof. Let the whole loss be μ-GDP (or (ε, 0)-DP). (1) The codes of a row are a function
        of that row, so replacing a record changes one row of codes, and the marginals cost at most
        the fraction f of the loss (:func:`skdistill.release.marginals.measure_marginals`). (2) The
        transfer rows and the map to features are computed from these and from public numbers.
        Given them, whatever they are, the map takes private rows one by one, so one record of the
        teachers' training rows changes, and the labels, class counts included, cost at most the
        fraction 1 - f, by the teachers' certificate and the proof of its release. (3) Adaptive
        composition adds μ² (Dong, Roth and Su 2022, Corollary 2) or ε (Dwork and Roth 2014,
        Theorem 3.16), and :meth:`~skdistill.accounting.PrivacyLoss.part` rounds both parts down
        by more than the rounding of 1 - f. (4) The student, its threshold and all synthetic rows
        are post-processing. Groups take the place of records throughout, in (1) and in the shards.
        """
        clear_fitted(self)  # should this fit fail, no earlier statement is left
        task = self._check(X, y, groups, X_public)
        self._rehearse(task)
        loss, sampler = self._loss(task), active_sampler("exact")
        unit = Unit.RECORD if groups is None else Unit.GROUP
        note = f"{type(self).__name__}; {task.n_units} {unit}s"  # public, unlike the number of rows
        charge(self.accountant, loss, note)
        random_state = check_random_state(self.random_state)
        found = answer(self._queries(task, loss, random_state), loss, sampler)
        self._train(task, found, random_state)
        self.costs_ = self._costs(task, found, loss)
        self.privacy_ = self._statement(task, found, loss)
        if self.verbose > 0:
            print(self.privacy_)
        return self

    def sample(self, n_rows: int, random_state: Any = None) -> Any:
        """Draw synthetic rows from the noisy marginals; free, however many.

        Parameters
        ----------
        n_rows : int
            How many.
        random_state : int, RandomState or None, default=None
            Public.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, d)
            Of the kind of table that was fitted.
        """
        check_is_fitted(self)
        if self.marginals_ is None:
            raise ValueError("There are no marginals to sample from: X_public was given to fit.")
        rng = _generator(check_random_state(random_state))
        return synthetic_rows(
            self.marginals_, self.schema_, n_rows, rng, n_bins=self.n_bins, kind=self._kind
        )

    # --------------------------------------------------------------------------- the steps of fit

    def _check(self, X: Any, y: Any, groups: Any, X_public: Any) -> Task:
        """Check public values, and bring every private cell into its public range."""
        self._check_settings()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X = check_table(X)
        if self.schema is None and X_public is not None:
            schema = Schema.from_public(X_public)
        else:
            schema = as_schema(self.schema, X)
        validate_data(self, layout_of(X, len(schema.columns)), skip_check_array=True)
        rows, cells = schema.sanitize(X), cells_of(y)
        numbers = None if groups is None else group_numbers(groups)
        check_lengths(X, y=cells, groups=numbers)
        if X_public is not None:
            X_public = schema.sanitize(check_table(X_public))
        targets, n_classes = self._read_targets(y, cells)
        n_units = len(cells) if numbers is None else int(numbers.max()) + 1
        kind = Schema.kind_of(X)
        return Task(schema, kind, rows, targets, n_classes, groups, n_units, X_public)

    def _check_settings(self) -> None:
        """Raise for a parameter that cannot be."""
        check_settings(self._settings())
        self._check_estimator()
        for name, others in (("n_transfer", ""), ("n_bins", ""), ("n_teachers", ', or "auto"')):
            if not (others and isinstance(getattr(self, name), str) and self.n_teachers == "auto"):
                check_count(name, getattr(self, name), others)
        if self.degree not in ("auto", 1, 2) or isinstance(self.degree, bool):
            raise ValueError(f'degree={self.degree!r} must be "auto", 1 or 2.')
        share = self.marginals_share
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < float(share) < 1:
            raise ValueError(
                f"marginals_share={share!r} must be between 0 and 1: the part of the budget that "
                "synthetic rows take."
            )
        encoder = self.encoder
        transforms = hasattr(encoder, "transform") and not isinstance(encoder, type)
        if encoder != "auto" if isinstance(encoder, str) else not (encoder is None or transforms):
            raise ValueError(f'encoder={encoder!r} must be "auto", None or a transformer.')

    def _rehearse(self, task: Task) -> None:
        """Raise now, before the charge, what a member would raise on rows that the schema allows.

        Such rows are X_public, or drawn from the schema alone; their labels are made up.
        """
        rows, rng = task.X_public, np.random.default_rng(0)
        if rows is None:
            sizes = task.schema.n_codes(self.n_bins)
            codes = rng.integers(0, sizes, (_REHEARSED, len(sizes)))
            rows = task.schema.decode(codes, rng, self.n_bins, task.kind)
        with silenced():
            seen = self._inputs(task.schema, rows).transform(rows)
        rehearse(self.estimator, canonical_rows(seen), getattr(self, "classes_", None))

    def _loss(self, task: Task) -> PrivacyLoss | None:
        """Return the whole price; None for no noise."""
        if math.isinf(self.epsilon):
            return None
        if self.delta == 0:
            loss = PrivacyLoss.laplace(float(self.epsilon))
        else:
            loss = PrivacyLoss.gaussian(float(self.epsilon), float(self.delta))
        return replace(loss, unit=Unit.RECORD if task.groups is None else Unit.GROUP)

    def _queries(self, task: Task, loss: PrivacyLoss | None, random_state: Any) -> Queries[Found]:
        """Join marginals, then labels of the rows that are made of them, under one price."""
        share = Fraction(0) if task.X_public is not None else Fraction(self.marginals_share)
        marginals, rows = None, task.X_public
        if share:
            measured = measure_marginals(
                task.schema.encode(task.rows, self.n_bins),
                task.schema.n_codes(self.n_bins),
                _part(loss, share),
                groups=task.groups,
                pairs="auto" if self.degree == "auto" else self.degree == 2,
            )
            marginals = yield from at_share(measured, share)
            rng = _generator(random_state)
            rows = synthetic_rows(
                marginals, task.schema, self.n_transfer, rng, n_bins=self.n_bins, kind=task.kind
            )
        inputs = self._inputs(task.schema, rows)
        seen, left = inputs.transform(rows), _part(loss, 1 - share)
        teacher = self._teach(task, inputs, left, random_state)
        student = self._chosen_student(inputs)
        release = self._label(teacher, student, seen, left, synthetic=marginals is not None)
        queries = release.queries(teacher, release.prepare())
        labels = yield from at_share(queries, 1 - share)
        return Found(marginals, inputs, seen, release, labels)

    def _label(
        self, teacher: Any, student: Any, rows: Any, loss: PrivacyLoss | None, *, synthetic: bool
    ) -> Release:
        """Return the release of the labels of the transfer rows, at a price that is given."""
        classes, output_range = getattr(self, "classes_", None), self._output_range()
        every, encoder = np.arange(n_rows(rows)), encoder_of(student)
        asked = TransferSet(rows, every, classes, output_range, self.n_jobs, encoder)
        if loss is None:
            bound: Certificate = Certificate(name="none", reason="No noise was asked for.")
            return calibrate(bound, asked)
        bound = certify(teacher, rows, output_range=output_range)
        # Synthetic rows have no neighbourhoods to speak of.
        pca = synthetic and isinstance(self.basis, str) and self.basis == "auto"
        basis = "pca" if pca else self.basis
        mechanism = ResidualRounds(self.n_rounds, basis, noise=loss.kind)
        with_prior = getattr(self, "threshold", None) == "prior"
        return calibrate(bound, asked, mechanism=mechanism, with_prior=with_prior, loss=loss)

    def _inputs(self, schema: Schema, rows: Any) -> Any:
        """Return the fitted public map from rows to the features of teachers and student."""
        encoder, sanitize = self.encoder, SchemaRows(schema)
        if isinstance(encoder, str):
            encoder = self._automatic_encoder(schema, rows)
        if encoder is None:
            return sanitize
        return Pipeline([("rows", sanitize), ("encoder", clone(encoder))]).fit(rows)

    def _automatic_encoder(self, schema: Schema, rows: Any) -> Any:
        if isinstance(self.estimator, Pipeline):
            return None
        return TableFeatures(schema, None, n_knots=0, directions=False)

    def _teach(self, task: Task, inputs: Any, loss: PrivacyLoss | None, random_state: Any) -> Any:
        """Train the teachers on the private rows. Nothing that they raise gets out."""

        def encode(copied: Any, rows: Any) -> Any:
            """Use a copy, since the student keeps the map and it may remember its last rows."""
            return copied.transform(rows)

        A = call_privately(encode, inputs, task.rows, error=PrivateStepError)
        seed = random_state.randint(np.iinfo(np.int32).max)
        k = self.n_teachers
        ensemble = TeacherEnsemble(
            self.estimator,
            noisy_n_teachers(task.n_units, task.n_classes, loss) if isinstance(k, str) else k,
            classes=getattr(self, "classes_", None),
            n_jobs=self.n_jobs,
            random_state=seed,
            verbose=max(0, self.verbose - 1),
        )
        return ensemble.fit(A, task.targets, task.groups)

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
        trained = train(
            self._chosen_student(found.inputs),
            found.rows,
            found.release.asked.indices,
            labels.values,
            answered=labels.answered,
            noise_scale=labels.noise_scale,
            classes=classes,
            output_range=self._output_range(),
            random_state=seed,
        )
        if classes is not None:
            threshold = getattr(self, "threshold", None)
            self.class_prior_ = labels.prior
            self.decision_offsets_ = match_threshold(
                trained, found.rows, threshold, labels.prior, classes
            )
        self.schema_, self._kind, self.marginals_ = task.schema, task.kind, found.marginals
        self.student_ = Pipeline([("inputs", found.inputs), ("student", trained)])
        self.n_teachers_ = int(getattr(found.release.bound, "n_teachers", 1))

    def _costs(
        self, task: Task, found: Found, loss: PrivacyLoss | None
    ) -> dict[str, PrivacyLoss | None]:
        """Return the cost of each part of a fit, in the order in which they were released."""
        share = Fraction(self.marginals_share) if task.X_public is None else Fraction(0)
        parts = {"marginals": share, "class prior": Fraction(0), "labels": 1 - share}
        if found.release.with_prior:
            parts["class prior"] = (1 - share) * PRIOR_SHARE
            parts["labels"] -= parts["class prior"]
        return {name: _part(loss, part) for name, part in parts.items() if part}

    def _statement(self, task: Task, found: Found, loss: PrivacyLoss | None) -> PrivacyStatement:
        """Return the statement of the whole fit, with the cost of each part."""
        release, unit = found.release, found.release.bound.unit
        assumes = self._assumes()
        not_protected = [f"the number of {unit}s", *_NOT_PROTECTED, self._public_targets()]
        bound = release.bound.bound_text
        if self.schema is not None:
            assumes.append("the schema was not read off the private table")
        if not (self.encoder is None or isinstance(self.encoder, str)):
            assumes.append("the encoder maps rows one by one")
        if task.X_public is not None:
            not_protected.append("the rows X_public")
        if found.marginals is not None:
            d = len(found.marginals.one_way) + len(found.marginals.two_way)
            bound += f"; one {unit} moves two cells of each of {d} marginals by one"
        rows = "synthetic" if task.X_public is None else "public"
        whole = release.statement(tuple(assumes), self.accountant)
        return replace(
            whole,
            epsilon=math.inf if loss is None else loss.epsilon,
            delta=0.0 if loss is None else loss.delta,
            mu=None if loss is None else loss.mu,
            subject=PRIVATE_TABLE,
            mechanism=f"{release.title}, {rows} transfer rows{cost_text(self.costs_, loss)}",
            certificate={**whole.certificate, "bound": bound},
            not_protected=tuple(not_protected),
        )

    # ----------------------------------------------------- where classifier and regressor differ

    def _assumes(self) -> list[str]:
        return []

    def _output_range(self) -> tuple[float, float] | None:
        return None

    def _settings(self) -> PrivateDistiller:
        """Return a distiller with the settings that are checked as its own are."""
        return PrivateDistiller(
            None,
            epsilon=self.epsilon,
            delta=self.delta,
            mechanism=ResidualRounds(self.n_rounds, self.basis),
            threshold=getattr(self, "threshold", None),
            output_range=self._output_range(),
            accountant=self.accountant,
        )

    # ------------------------------------------------------------------------- being an estimator

    _prototypes = ("estimator", "student", "encoder")

    def _check_rows(self, X: Any) -> Any:
        return check_table(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _part(loss: PrivacyLoss | None, share: Fraction) -> PrivacyLoss | None:
    return None if loss is None else loss.part(share)


def _generator(random_state: np.random.RandomState) -> np.random.Generator:
    return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint64))
