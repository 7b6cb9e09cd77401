"""PATEClassifier and PATERegressor: from private rows and labels to a model that may be published.

The order of a fit: charge the whole price; count noisy marginals, and make transfer rows of them
(or take public ones); train teachers on the private rows; release their labels for the transfer
rows; train the student on these. One price pays for all of it, and everything that leaves went
through :mod:`skdistill.release`.
"""

from __future__ import annotations

import copy
import html
import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._checks import check_parameters, n_rows
from skdistill.accounting.charging import adopt, charge, for_pickle
from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates.base import Certificate, is_public_map
from skdistill.distiller import PrivateDistiller
from skdistill.neural import clone_network
from skdistill.release.marginals import NoisyMarginals, group_numbers, measure_marginals
from skdistill.release.noise import active_sampler
from skdistill.release.plan import ReleasePlan
from skdistill.release.rounds import automatic_rounds
from skdistill.schema import Column, Schema, as_schema
from skdistill.statement import PrivacyStatement
from skdistill.students import class_scores, predicted_codes, probabilities
from skdistill.teachers import BoundedFeatures, StableLogisticRegression, TeacherEnsemble
from skdistill.teachers.ensemble import default_n_teachers
from skdistill.transfer.features import SchemaFeatures, SchemaRows
from skdistill.transfer.marginals import synthetic_rows

__all__ = ["PATEClassifier", "PATERegressor", "noisy_n_teachers"]

Array = NDArray[np.float64]

#: k·μ from which on the noise of a vote of k teachers matters less than the size of their shards.
_ENOUGH = 120.0

_NOT_PROTECTED = (
    "the schema: names, bounds and categories of the columns",
    "that a fit raised an exception, where it did (not what private rows it met)",
)


def noisy_n_teachers(n: int, n_classes: int, loss: PrivacyLoss | None) -> int:
    """Choose the number of teachers from public numbers: more of them where there is more noise.

    ``120 / mu``, but at least ``n // (40 * n_classes)``, forty records of each class in a shard
    (:func:`skdistill.teachers.ensemble.default_n_teachers`), and at most ``n // 40``. A vote of k
    teachers is noisy in proportion to 1/(k·μ).

    Parameters
    ----------
    n : int
        Number of records, or of groups.
    n_classes : int
        Number of classes; 1 for regression.
    loss : PrivacyLoss or None
        What the votes may cost; None for no noise.

    Returns
    -------
    n_teachers : int

    Examples
    --------
    >>> from skdistill.accounting import PrivacyLoss
    >>> [noisy_n_teachers(32_561, 2, PrivacyLoss.gaussian(e, 1e-5)) for e in (0.5, 1, 2)]
    [814, 448, 407]
    """
    few, many = default_n_teachers(n, n_classes), default_n_teachers(n)
    if loss is None:
        return few
    return many if loss.mu is None else int(np.clip(math.ceil(_ENOUGH / loss.mu), few, many))


# Settings that may be fitted objects.
_SETTINGS_WITH_STATE = ("estimator", "student", "encoder")


@dataclass(frozen=True)
class _Task:
    """What a fit was asked for, inside its public ranges; private."""

    schema: Schema
    kind: str
    rows: Any
    targets: NDArray[Any]
    n_classes: int
    groups: Any
    n_units: int
    X_public: Any


class _Part(PrivateDistiller):
    """A distiller that spends a part of a price that has been charged already."""

    part: PrivacyLoss | None = None
    plan: ReleasePlan

    def _plan(self, certificate: Certificate, n_queries: int, with_prior: bool = True) -> Any:
        self.plan = replace(super()._plan(certificate, n_queries, with_prior), loss=self.part)
        return self.plan


class _PATE(BaseEstimator):
    """What the classifier and the regressor have in common."""

    estimator: Any
    student: Any
    schema: Any
    epsilon: float
    delta: float
    n_teachers: int | str
    n_transfer: int
    marginals_share: float
    degree: int | str
    n_bins: int
    encoder: Any
    n_rounds: int | str
    basis: Any
    accountant: Any
    random_state: Any
    n_jobs: int | None
    verbose: int

    def fit(self, X: Any, y: Any = None, groups: Any = None, X_public: Any = None) -> Self:
        """Charge the price, then make the model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Private rows. Values outside the schema are clipped or become "other", silently.
        y : array-like of shape (n,)
            Private labels or targets. See the class for what is none.
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
            For what is public: parameters, shapes, names of columns. Nothing is charged then.
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
        Theorem 3.16), and :meth:`~skdistill.accounting.PrivacyLoss.share` rounds both parts down
        by more than the rounding of 1 - f. (4) The student, its threshold and all synthetic rows
        are post-processing. Groups take the place of records throughout, in (1) and in the shards.
        """
        task = self._check(X, y, groups, X_public)
        loss = self._loss()
        charge(self.accountant, loss, f"{type(self).__name__}; {len(task.targets)} private rows")
        random_state = check_random_state(self.random_state)
        costs, rows = self._transfer_rows(task, loss, random_state)
        inputs = self._inputs(task.schema, rows)
        teacher = self._teach(task, inputs, costs["labels"], random_state)
        distiller = self._distil(teacher, inputs, rows, costs["labels"], random_state)
        self._keep(task, inputs, distiller)
        self.costs_ = _costs(distiller.plan, costs)
        self.privacy_ = self._statement(task, distiller.plan, loss)
        if self.verbose > 0:
            print(self.privacy_)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict with the student.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)

        Returns
        -------
        y : ndarray of shape (m,)
        """
        X = self._check_predict(X)
        return np.asarray(self.student_.predict(X))

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

    def _check(self, X: Any, y: Any, groups: Any, X_public: Any) -> _Task:
        """Check what is public, and bring every private cell into its public range."""
        self._check_settings()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X = _check_table(X)
        validate_data(self, X, skip_check_array=True)
        if self.schema is None and X_public is not None:
            schema = Schema.from_public(X_public)
        else:
            schema = as_schema(self.schema, X)
        rows, cells = schema.sanitize(X), _cells(y)
        numbers = None if groups is None else group_numbers(groups)
        _check_lengths(X, y=cells, groups=numbers)
        if X_public is not None:
            X_public = schema.sanitize(_check_table(X_public))
        if groups is not None and self._is_single():
            raise ValueError(
                "groups: a single StableLogisticRegression bounds what one record can do, not what "
                "a group can. Give n_teachers, for an ensemble of them."
            )
        targets, n_classes = self._read_targets(y, cells)
        n_units = len(cells) if numbers is None else int(numbers.max()) + 1
        kind = Schema.kind_of(X)
        return _Task(schema, kind, rows, targets, n_classes, groups, n_units, X_public)

    def _check_settings(self) -> None:
        """Raise for a parameter that cannot be."""
        check_parameters(self._blank_distiller(accountant=self.accountant))
        self._check_estimator()
        for name, others in (("n_transfer", ""), ("n_bins", ""), ("n_teachers", ' or "auto"')):
            _check_count(name, getattr(self, name), others)
        if self.degree not in ("auto", 1, 2) or isinstance(self.degree, bool):
            raise ValueError(f'degree={self.degree!r} must be "auto", 1 or 2.')
        share = self.marginals_share
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < 1:
            raise ValueError(
                f"marginals_share={share!r} must be between 0 and 1: the part of the budget that "
                "synthetic rows take."
            )
        by_name = isinstance(self.encoder, str)
        if self.encoder != "auto" if by_name else not _is_transformer(self.encoder):
            raise ValueError(f'encoder={self.encoder!r} must be "auto", None or a transformer.')

    def _loss(self) -> PrivacyLoss | None:
        """Return the whole price; None for no noise."""
        if math.isinf(self.epsilon):
            return None
        if self.delta == 0:
            return PrivacyLoss.laplace(float(self.epsilon))
        return PrivacyLoss.gaussian(float(self.epsilon), float(self.delta))

    def _transfer_rows(
        self, task: _Task, loss: PrivacyLoss | None, random_state: np.random.RandomState
    ) -> tuple[dict[str, PrivacyLoss | None], Any]:
        """Release marginals and make transfer rows of them; say what is left for the labels."""
        self.marginals_: NoisyMarginals | None = None
        if task.X_public is not None:
            return {"labels": loss}, task.X_public
        share = float(self.marginals_share)
        costs = {
            "marginals": None if loss is None else loss.share(share),
            "labels": None if loss is None else loss.share(1 - share),
        }
        self.marginals_ = measure_marginals(
            task.schema.encode(task.rows, self.n_bins),
            task.schema.n_codes(self.n_bins),
            costs["marginals"],
            active_sampler("exact"),
            groups=task.groups,
            pairs="auto" if self.degree == "auto" else self.degree == 2,
        )
        rows = synthetic_rows(
            self.marginals_,
            task.schema,
            self.n_transfer,
            _generator(random_state),
            n_bins=self.n_bins,
            kind=task.kind,
        )
        return costs, rows

    def _inputs(self, schema: Schema, rows: Any) -> Any:
        """Return the public map from rows to what teachers and student see, fitted."""
        encoder, sanitize = self.encoder, SchemaRows(schema)
        if isinstance(encoder, str):
            encoder = self._automatic_encoder(schema, rows)
        if encoder is None:
            return sanitize
        return Pipeline([("rows", sanitize), ("encoder", clone(encoder))]).fit(rows)

    def _automatic_encoder(self, schema: Schema, rows: Any) -> Any:
        if isinstance(self.estimator, Pipeline):
            return None
        if self._is_single():
            features = BoundedFeatures(schema, max_norm=self.estimator.max_row_norm)
            return features.centred_on(rows)
        return SchemaFeatures(schema)

    def _teach(
        self,
        task: _Task,
        inputs: Any,
        loss: PrivacyLoss | None,
        random_state: np.random.RandomState,
    ) -> Any:
        """Train the teachers on the private rows. Nothing that they raise gets out."""
        A = _withheld(lambda: inputs.transform(task.rows))
        seed = random_state.randint(np.iinfo(np.int32).max)
        if self._is_single():
            return self._teach_one(A, task.targets)
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

    def _distil(
        self,
        teacher: Any,
        inputs: Any,
        rows: Any,
        loss: PrivacyLoss | None,
        random_state: np.random.RandomState,
    ) -> _Part:
        """Release the labels of the transfer rows, and train the student."""
        student = self.student
        if student is None and isinstance(inputs, SchemaRows):
            encode = SchemaFeatures(inputs.schema)
            student = Pipeline([("features", encode), ("student", self._blank_student())])
        distiller = self._blank_distiller(teacher=teacher, student=student)
        distiller.part = loss
        if loss is not None:
            distiller.mechanism = loss.kind
            if self.n_rounds == "auto" and loss.mu is not None and not self._is_single():
                distiller.n_rounds = automatic_rounds(teacher.n_teachers_, loss.mu)
        if isinstance(self.basis, str) and self.basis == "auto" and self.marginals_ is not None:
            distiller.basis = "pca"  # synthetic rows have no neighbourhoods to speak of
        if self.random_state is not None:
            distiller.random_state = random_state.randint(np.iinfo(np.int32).max)
        return distiller.fit(inputs.transform(rows))

    def _keep(self, task: _Task, inputs: Any, distiller: _Part) -> None:
        """Keep what was made of the release, and no teacher."""
        self.schema_, self._kind = task.schema, task.kind
        self.student_ = Pipeline([("inputs", inputs), ("student", distiller.student_)])
        self.n_teachers_ = int(getattr(distiller.plan.certificate, "n_teachers", 1))

    def _statement(
        self, task: _Task, plan: ReleasePlan, loss: PrivacyLoss | None
    ) -> PrivacyStatement:
        """Say what the whole promises, and what each part of it cost."""
        found, unit = plan.statement(), plan.certificate.unit
        # The distiller within calls the range of the targets its output_range.
        assumes = [text.replace("output_range", "target_range") for text in found.assumes]
        assumes += self._assumes()
        not_protected = [f"the number of {unit}s", *_NOT_PROTECTED, self._public_targets()]
        bound = found.certificate["bound"]
        if self.schema is not None:
            assumes.append("the schema was not read off the private table")
        if not (self.encoder is None or isinstance(self.encoder, str)):
            assumes.append("the encoder maps rows one by one")
        if task.X_public is not None:
            not_protected.append("the rows X_public")
        if self.marginals_ is not None:
            d = len(self.marginals_.one_way) + len(self.marginals_.two_way)
            bound += f"; one {unit} moves two cells of each of {d} marginals by one"
        rows = "synthetic" if task.X_public is None else "public"
        return replace(
            found,
            epsilon=math.inf if loss is None else loss.epsilon,
            delta=0.0 if loss is None else loss.delta,
            mu=None if loss is None else loss.mu,
            relation=(
                f"replace one {unit} of the private table, features and labels; the number of "
                f"{unit}s is public"
            ),
            mechanism=f"{found.mechanism}, {rows} transfer rows{_cost_text(self.costs_, loss)}",
            certificate={**found.certificate, "bound": bound},
            assumes=tuple(assumes),
            not_protected=tuple(not_protected),
        )

    # ----------------------------------------------------- what classifier and regressor differ in

    def _check_estimator(self) -> None:
        raise NotImplementedError

    def _read_targets(self, y: Any, cells: list[Any]) -> tuple[NDArray[Any], int]:
        raise NotImplementedError

    def _teach_one(self, A: Any, targets: NDArray[Any]) -> Any:
        raise NotImplementedError

    def _blank_student(self) -> Any:
        raise NotImplementedError

    def _public_targets(self) -> str:
        raise NotImplementedError

    def _assumes(self) -> list[str]:
        return []

    def _is_single(self) -> bool:
        return False

    def _blank_distiller(self, **settings: Any) -> _Part:
        """Return the distiller within, with the settings that are passed on to it."""
        return _Part(
            settings.pop("teacher", None),
            epsilon=self.epsilon,
            delta=self.delta,
            n_rounds=self.n_rounds,
            basis=self.basis,
            n_jobs=self.n_jobs,
            **settings,
        )

    # ------------------------------------------------------------------------- being an estimator

    def _check_predict(self, X: Any) -> Any:
        check_is_fitted(self)
        X = _check_table(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "privacy_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def __sklearn_clone__(self) -> Self:
        params = self.get_params(deep=False)
        accountant = params.pop("accountant")
        copied = {name: clone_network(value) for name, value in params.items()}
        return type(self)(**copied, accountant=accountant)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        for name, value in vars(self).items():
            setattr(twin, name, value if name == "accountant" else copy.deepcopy(value, memo))
        return twin

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "accountant":
            adopt(value)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: a fitted model leaves all behind that it was made with."""
        state = dict(super().__getstate__())
        if not hasattr(self, "privacy_"):
            return {**state, "accountant": for_pickle(self.accountant)}
        # Whoever passes fitted objects as settings gets them back blank.
        blank = {name: clone_network(state[name]) for name in _SETTINGS_WITH_STATE}
        return {**state, **blank, "accountant": None}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return a text that shows settings only."""
        text = f"{type(self).__name__}({', '.join(_shown(self))})"
        return text if len(text) <= N_CHAR_MAX else text[: N_CHAR_MAX - 4] + "...)"

    def _repr_html_(self) -> str:
        head = f"<pre>{html.escape(repr(self))}</pre>"
        statement = getattr(self, "privacy_", None)
        return head if statement is None else f"<div>{head}{statement._repr_html_()}</div>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _sk_visual_block_(self) -> Any:
        block = type(Pipeline([("step", "passthrough")])._sk_visual_block_())
        return block("single", repr(self), names=type(self).__name__, name_details=repr(self))


def _student_has(method: str) -> Any:
    """Check that the student has a method; used with ``available_if``."""

    def check(self: PATEClassifier) -> bool:
        student = getattr(self, "student_", None)
        student = self._blank_student() if student is None else student
        if is_regressor(student):
            return method != "decision_function"
        return hasattr(student, "predict_proba" if "proba" in method else method)

    return check


class PATEClassifier(ClassifierMixin, _PATE):
    """A private classifier from a private table alone: no public rows are needed.

    `fit` releases noisy marginals of the table and makes synthetic rows of them; trains
    `estimator` on disjoint shards of the private rows (PATE [1]_), releases the teachers' labels
    of the synthetic rows with noise, and trains `student` on these. One price covers it all.

    Parameters
    ----------
    estimator : classifier
        What the teachers are; cloned. A
        :class:`~skdistill.teachers.StableLogisticRegression`, by itself or behind steps that need
        no fit, is trained once on all rows, and its parameters are released.
    student : estimator, default=None
        Trained on the noisy labels; sees what the teachers see. None is a LogisticRegression.
    schema : Schema or tuple of (float, float)
        What is publicly known of the columns: bounds, categories, what may be missing
        (:class:`skdistill.transfer.Schema`). A tuple ``(low, high)`` where every column is a
        number in these bounds. It is never read off private rows; where `fit` is given
        `X_public`, None reads it off those.
    classes : array-like of shape (n_classes,) or "public"
        All labels, as public knowledge. A record with another label trains no teacher (a single
        StableLogisticRegression takes it for the first class). "public" takes the labels that
        occur in `y`, and the statement lists that their set is public.
    epsilon, delta : float, default=1.0, 1e-6
        The price of a `fit`, marginals, class prior and labels together. ``delta=0`` asks for
        pure differential privacy, by Laplace noise. ``epsilon=float("inf")``: no noise.
    n_teachers : int or "auto", default="auto"
        Number of shards; see :func:`noisy_n_teachers`.
    n_transfer : int, default=10_000
        Number of synthetic rows.
    marginals_share : float, default=0.1
        The part of the price (of μ², or of ε without δ) that the marginals take.
    degree : {"auto", 1, 2}, default="auto"
        1 counts single columns; 2 also pairs of columns that depend on each other, for more
        noise. "auto" buys pairs where the budget is large enough to choose them well.
    n_bins : int, default=24
        Most bins of a number.
    encoder : "auto", transformer or None, default="auto"
        Makes features for teachers and student; fitted on the transfer rows, at no cost.
        "auto" standardises numbers and makes indicators of categories; for a single
        StableLogisticRegression it is :class:`~skdistill.teachers.BoundedFeatures`, centred on the
        transfer rows; and a Pipeline gets the rows as they are (as a DataFrame where X is one),
        as every estimator does for None. A transformer of yours must treat rows one by one.
    threshold : {"prior"}, float or None, default="prior"
        How `predict` decides; see :class:`~skdistill.PrivateDistiller`.
    n_rounds : int or "auto", default="auto"
        Residual rounds; see :class:`~skdistill.PrivateDistiller`.
    basis : {"auto", "pca", "graph"}, callable or ndarray, default="auto"
        Functions in which residual rounds answer; "auto" is "pca" for synthetic rows.
    accountant : PrivacyLedger or diffprivlib.BudgetAccountant, default=None
        Charged once by `fit`, before anything is counted or trained; shared by clones.
    random_state : int, RandomState or None, default=None
        Shards, synthetic rows and student: what is public. Never the noise.
    n_jobs : int, default=None
        Jobs of joblib that train and ask the teachers.
    verbose : int, default=0
        Above 0, prints the statement.

    Attributes
    ----------
    student_ : Pipeline
        From rows of the schema to predictions. All it learned came through the noise.
    privacy_ : PrivacyStatement
        What was promised for the whole.
    costs_ : dict of str to PrivacyLoss
        What each part cost: "marginals", "class prior", "labels". None for no noise.
    marginals_ : NoisyMarginals or None
        What was released about the columns; None with `X_public`.
    schema_ : Schema
        The schema in use.
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    class_prior_ : ndarray of shape (n_classes,)
        Released shares of the classes.
    decision_offsets_ : ndarray of shape (n_classes,) or None
        Added to the student's scores; None where the student decides.
    n_teachers_ : int
        Number of teachers.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, where X has them.

    See Also
    --------
    skdistill.PrivateDistiller : For a teacher of yours, and a public transfer set.
    skdistill.transfer.MarginalSampler : The synthetic rows by themselves.

    References
    ----------
    .. [1] Papernot, Abadi, Erlingsson, Goodfellow, Talwar. "Semi-supervised knowledge transfer
       for deep learning from private training data". ICLR 2017, arXiv:1610.05755.
    .. [2] McKenna, Miklau, Sheldon. "Winning the NIST contest: a scalable and general approach to
       differentially private synthetic data". JPC 11(3), 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdistill import PATEClassifier
    >>> X, y = make_classification(20_000, class_sep=2.0, random_state=0)
    >>> model = PATEClassifier(
    ...     LogisticRegression(), schema=(-8, 8), classes=[0, 1], epsilon=1.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.8
    True
    >>> sorted(model.costs_)
    ['class prior', 'labels', 'marginals']
    """

    classes: Any
    threshold: Any

    def __init__(
        self,
        estimator: Any,
        student: Any = None,
        *,
        schema: Any = None,
        classes: Any = None,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        n_teachers: int | str = "auto",
        n_transfer: int = 10_000,
        marginals_share: float = 0.1,
        degree: int | str = "auto",
        n_bins: int = 24,
        encoder: Any = "auto",
        threshold: str | float | None = "prior",
        n_rounds: int | str = "auto",
        basis: Any = "auto",
        accountant: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.student = student
        self.schema = schema
        self.classes = classes
        self.epsilon = epsilon
        self.delta = delta
        self.n_teachers = n_teachers
        self.n_transfer = n_transfer
        self.marginals_share = marginals_share
        self.degree = degree
        self.n_bins = n_bins
        self.encoder = encoder
        self.threshold = threshold
        self.n_rounds = n_rounds
        self.basis = basis
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict with the student, at the decision threshold.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)

        Returns
        -------
        y : ndarray of shape (m,)
            Class labels.
        """
        X = self._check_predict(X)
        scored = class_scores(self.student_, X, self.classes_)
        if scored is None:
            return np.asarray(self.student_.predict(X))
        offsets = self.decision_offsets_
        offsets = np.zeros(len(self.classes_)) if offsets is None else offsets
        return np.asarray(self.classes_[predicted_codes(scored[0], offsets)])

    @available_if(_student_has("predict_proba"))
    def predict_proba(self, X: Any) -> Array:
        """Return the student's class probabilities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)

        Returns
        -------
        probabilities : ndarray of shape (m, n_classes)
            The decision threshold does not enter.
        """
        X = self._check_predict(X)
        return probabilities(self.student_, X, self.classes_)

    @available_if(_student_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)

        Returns
        -------
        logarithms : ndarray of shape (m, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(_student_has("decision_function"))
    def decision_function(self, X: Any) -> Array:
        """Return the student's decision function.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)

        Returns
        -------
        scores : ndarray of shape (m,) or (m, n_classes)
        """
        X = self._check_predict(X)
        return np.asarray(self.student_.decision_function(X))

    def _check_estimator(self) -> None:
        if isinstance(self.estimator, type) or not is_classifier(self.estimator):
            raise TypeError(f"estimator={_name(self.estimator)} must be a classifier: an instance.")
        if self.classes is None:
            raise ValueError(
                "classes must be given: which labels occur may itself be private. Write "
                'classes=[0, 1], say, or classes="public" where the labels in y may be told.'
            )

    def _read_targets(self, y: Any, cells: list[Any]) -> tuple[NDArray[Any], int]:
        """Return the labels as an object array, None for what is no label."""
        if isinstance(self.classes, str):
            if self.classes != "public":
                raise ValueError(f'classes={self.classes!r} must be a list of labels or "public".')
            found = np.asarray(cells)
            with np.errstate(invalid="ignore"):
                check_classification_targets(found)
            self.classes_ = np.unique(found)
        else:
            self.classes_ = np.unique(np.asarray(list(self.classes)))
            _check_label_types(y, self.classes_)
        if len(self.classes_) < 2:
            raise ValueError(
                f"A classifier needs at least two classes, and there is {len(self.classes_)} class."
            )
        known = {label: label for label in self.classes_.tolist()}
        targets = np.empty(len(cells), dtype=object)
        for i, cell in enumerate(cells):
            try:
                targets[i] = known.get(cell)
            except Exception:  # unhashable, so no label
                targets[i] = None
        return targets, len(self.classes_)

    def _is_single(self) -> bool:
        """Whether one StableLogisticRegression is to see all rows."""
        if not isinstance(self.n_teachers, str):
            return False
        if type(self.estimator) is Pipeline:
            *earlier, (_, last) = self.estimator.steps
            public = all(is_public_map(step) for _, step in earlier)
            return public and type(last) is StableLogisticRegression
        return type(self.estimator) is StableLogisticRegression

    def _teach_one(self, A: Any, targets: NDArray[Any]) -> Any:
        """Train one StableLogisticRegression. It refuses unknown labels, so there are none."""
        teacher = clone(self.estimator)
        last = teacher.steps[-1][1] if isinstance(teacher, Pipeline) else teacher
        last.set_params(classes=self.classes_)
        first = self.classes_.tolist()[0]
        labels = np.array([first if label is None else label for label in targets.tolist()])
        if isinstance(A, np.ndarray) and A.dtype.kind == "f":
            A = np.nan_to_num(A)
        return (
            teacher.fit(A, labels) if teacher is last else _withheld(lambda: teacher.fit(A, labels))
        )

    def _keep(self, task: _Task, inputs: Any, distiller: _Part) -> None:
        super()._keep(task, inputs, distiller)
        self.class_prior_ = getattr(distiller, "class_prior_", None)
        self.decision_offsets_ = distiller.decision_offsets_

    def _blank_student(self) -> Any:
        return LogisticRegression(max_iter=1000) if self.student is None else self.student

    def _blank_distiller(self, **settings: Any) -> _Part:
        return super()._blank_distiller(threshold=self.threshold, **settings)

    def _public_targets(self) -> str:
        return "the set of class labels"

    def _assumes(self) -> list[str]:
        return ["the set of class labels is public"] if isinstance(self.classes, str) else []


class PATERegressor(RegressorMixin, _PATE):
    """A private regressor from a private table alone: no public rows are needed.

    As :class:`PATEClassifier`, for targets that are numbers.

    Parameters
    ----------
    estimator : regressor
        What the teachers are; cloned.
    student : regressor, default=None
        Trained on the noisy answers; sees what the teachers see. None is a Ridge.
    schema : Schema or tuple of (float, float)
        What is publicly known of the columns; see :class:`PATEClassifier`.
    target_range : tuple of (float, float)
        Public range of the targets, in their unit. A target outside is clipped, silently, and one
        that is no number becomes the middle.
    epsilon, delta, n_teachers, n_transfer, marginals_share, degree, n_bins, encoder
        See :class:`PATEClassifier`.
    n_rounds, basis, accountant, random_state, n_jobs, verbose
        See :class:`PATEClassifier`.

    Attributes
    ----------
    student_ : Pipeline
        From rows of the schema to predictions. All it learned came through the noise.
    privacy_ : PrivacyStatement
        What was promised for the whole.
    costs_ : dict of str to PrivacyLoss
        What each part cost: "marginals", "labels". None for no noise.
    marginals_ : NoisyMarginals or None
        What was released about the columns; None with `X_public`.
    schema_ : Schema
        The schema in use.
    n_teachers_ : int
        Number of teachers.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, where X has them.

    See Also
    --------
    PATEClassifier : With all parameters, and references.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import Ridge
    >>> from skdistill import PATERegressor
    >>> X, y = make_regression(20_000, n_features=5, random_state=0)
    >>> model = PATERegressor(
    ...     Ridge(), schema=(-5, 5), target_range=(-400, 400), epsilon=1.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.7
    True
    """

    target_range: Any

    def __init__(
        self,
        estimator: Any,
        student: Any = None,
        *,
        schema: Any = None,
        target_range: tuple[float, float] | None = None,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        n_teachers: int | str = "auto",
        n_transfer: int = 10_000,
        marginals_share: float = 0.1,
        degree: int | str = "auto",
        n_bins: int = 24,
        encoder: Any = "auto",
        n_rounds: int | str = "auto",
        basis: Any = "auto",
        accountant: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.student = student
        self.schema = schema
        self.target_range = target_range
        self.epsilon = epsilon
        self.delta = delta
        self.n_teachers = n_teachers
        self.n_transfer = n_transfer
        self.marginals_share = marginals_share
        self.degree = degree
        self.n_bins = n_bins
        self.encoder = encoder
        self.n_rounds = n_rounds
        self.basis = basis
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_estimator(self) -> None:
        if isinstance(self.estimator, type) or not is_regressor(self.estimator):
            raise TypeError(f"estimator={_name(self.estimator)} must be a regressor: an instance.")
        if self.target_range is None:
            raise ValueError(
                "target_range must be given: (low, high), public knowledge about the target. The "
                "smallest and largest value in y are private."
            )

    def _read_targets(self, y: Any, cells: list[Any]) -> tuple[NDArray[Any], int]:
        """Return targets in their range."""
        low, high = (float(end) for end in self.target_range)
        objects = np.empty(len(cells), dtype=object)
        objects[:] = cells
        values = Column("y", low=low, high=high, missing=True).read(objects)
        return np.where(np.isnan(values), low / 2 + high / 2, values), 1

    def _blank_student(self) -> Any:
        return Ridge() if self.student is None else self.student

    def _blank_distiller(self, **settings: Any) -> _Part:
        return super()._blank_distiller(output_range=self.target_range, **settings)

    def _public_targets(self) -> str:
        return "the range of the target"


# What reads private containers: their shapes are public, their cells are never looked into here.


def _check_table(X: Any) -> Any:
    """Return a table, or raise for one without rows or columns: shapes and dtypes are public."""
    if not hasattr(X, "shape") and not hasattr(X, "__len__"):
        X = np.asarray(X)
    shape = X.shape if hasattr(X, "shape") else (len(X),)
    if len(shape) == 1 and isinstance(X, np.ndarray):
        raise ValueError(
            "Expected 2D array, got 1D array instead. Reshape your data: X.reshape(-1, 1) if it "
            "has one feature, X.reshape(1, -1) if it is one row."
        )
    for size, what in zip(shape, ("sample", "feature"), strict=False):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required."
            )
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError("Complex data not supported: X has a complex dtype.")
    return X


def _cells(y: Any) -> list[Any]:
    """Return the labels one by one; what one of them is changes nothing about the others."""
    if isinstance(y, (list, tuple)):
        return list(y)
    if hasattr(y, "to_list"):  # a series
        return list(y.to_list())
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape "
            "of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"y should be a 1d array, got an array of shape {values.shape} instead.")
    return list(values.tolist())


def _check_lengths(X: Any, **others: Any) -> None:
    for name, given in others.items():
        if given is not None and len(given) != n_rows(X):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {n_rows(X)}, "
                f"{name} has {len(given)}."
            )


def _check_label_types(y: Any, classes: NDArray[Any]) -> None:
    """Raise for an array of text where classes are numbers, or the reverse: dtypes are public."""
    dtype = getattr(y, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.kind == "O":
        return
    if (dtype.kind in "US") != (classes.dtype.kind in "US"):
        raise ValueError(
            f"y is of dtype {dtype} and the classes {classes.tolist()[:5]} are of dtype "
            f"{classes.dtype}: no label would be known. Give both as text or both as numbers."
        )


def _withheld(call: Callable[[], Any]) -> Any:
    """Call a user's transformer on private rows; let nothing out but what it returns."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except Exception:
        pass
    raise ValueError(
        "A step before the teachers raised on the private rows; its message is withheld because it "
        "may quote them. Try it on rows you may see, such as model.sample(100)."
    )


# Public numbers and texts.


def _generator(random_state: np.random.RandomState) -> np.random.Generator:
    return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint64))


def _costs(
    plan: ReleasePlan, parts: dict[str, PrivacyLoss | None]
) -> dict[str, PrivacyLoss | None]:
    """Return what each part of a fit cost, in the order in which they were released."""
    prior = {"class prior": plan.prior_loss} if plan.with_prior else {}
    marginals = {name: loss for name, loss in parts.items() if name == "marginals"}
    return {**marginals, **prior, "labels": plan.label_loss}


def _cost_text(costs: dict[str, PrivacyLoss | None], whole: PrivacyLoss | None) -> str:
    """Say which part of the price went where."""
    if whole is None:
        return ""
    parts = []
    for name, loss in costs.items():
        assert loss is not None
        if whole.mu is not None and loss.mu is not None:
            part = (loss.mu / whole.mu) ** 2
        else:
            part = loss.epsilon / whole.epsilon
        parts.append(f"{name} {part:.1%}")
    return f" ({', '.join(parts)} of {'ε' if whole.mu is None else 'μ²'})"


def _shown(model: _PATE) -> list[str]:
    """Return the settings that are not at their defaults."""
    shown = []
    for name, parameter in inspect.signature(type(model).__init__).parameters.items():
        value = getattr(model, name, parameter.default)
        if name == "self" or repr(value) == repr(parameter.default):
            continue
        shown.append(f"{name}={_name(value) if name == 'accountant' else repr(value)}")
    return shown


def _name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"


def _is_transformer(encoder: Any) -> bool:
    return encoder is None or (hasattr(encoder, "transform") and not isinstance(encoder, type))


def _check_count(name: str, value: Any, others: str) -> None:
    if others and isinstance(value, str) and value == "auto":
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}={value!r} must be a whole number of at least 1{others}.")
