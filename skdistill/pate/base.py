"""The fit that PATEClassifier and PATERegressor have in common.

The order of a fit: charge the whole price; count noisy marginals, and make transfer rows of them
(or take public ones); train teachers on the private rows; release their labels for the transfer
rows; train the student on these. One price pays for all of it, and everything that leaves went
through :mod:`skdistill.release`.
"""

from __future__ import annotations

import copy
import html
import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._checks import check_parameters, forget
from skdistill.accounting.charging import adopt, charge, for_pickle
from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates.base import Certificate
from skdistill.distiller import PrivateDistiller
from skdistill.neural import clone_network
from skdistill.pate.costs import cost_text, costs_of_parts, noisy_n_teachers
from skdistill.pate.settings import check_count, is_transformer, settings_shown
from skdistill.pate.tables import cells_of, check_lengths, check_table, withheld
from skdistill.release.marginals import NoisyMarginals, group_numbers, measure_marginals
from skdistill.release.noise import active_sampler
from skdistill.release.plan import ReleasePlan
from skdistill.release.rounds import automatic_rounds
from skdistill.schema import Schema, as_schema
from skdistill.statement import PrivacyStatement
from skdistill.teachers import TeacherEnsemble
from skdistill.transfer.features import SchemaRows
from skdistill.transfer.marginals import synthetic_rows
from skdistill.transfer.table_features import TableFeatures

__all__ = ["PATE", "Part", "Task"]

_NOT_PROTECTED = (
    "the schema: names, bounds and categories of the columns",
    "that a fit raised an exception, where it did (not what private rows it met)",
)

# Settings that may be fitted objects.
_SETTINGS_WITH_STATE = ("estimator", "student", "encoder")


@dataclass(frozen=True)
class Task:
    """What a fit was asked for, inside its public ranges; private."""

    schema: Schema
    kind: str
    rows: Any
    targets: NDArray[Any]
    n_classes: int
    groups: Any
    n_units: int
    X_public: Any


class Part(PrivateDistiller):
    """A distiller that spends a part of a price that has been charged already."""

    part: PrivacyLoss | None = None
    plan: ReleasePlan

    def _plan(self, certificate: Certificate, n_queries: int, with_prior: bool = True) -> Any:
        self.plan = replace(super()._plan(certificate, n_queries, with_prior), loss=self.part)
        return self.plan


class PATE(BaseEstimator):
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
        Theorem 3.16), and :meth:`~skdistill.accounting.PrivacyLoss.part` rounds both parts down
        by more than the rounding of 1 - f. (4) The student, its threshold and all synthetic rows
        are post-processing. Groups take the place of records throughout, in (1) and in the shards.
        """
        task = self._check(X, y, groups, X_public)
        loss = self._loss()
        charge(self.accountant, loss, f"{type(self).__name__}; {len(task.targets)} private rows")
        forget(self, "student_", "privacy_")  # should this fit fail, no earlier statement is left
        random_state = check_random_state(self.random_state)
        costs, rows = self._transfer_rows(task, loss, random_state)
        inputs = self._inputs(task.schema, rows)
        teacher = self._teach(task, inputs, costs["labels"], random_state)
        distiller = self._distil(teacher, inputs, rows, costs["labels"], random_state)
        self._keep(task, inputs, distiller)
        self.costs_ = costs_of_parts(distiller.plan, costs)
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

    def _check(self, X: Any, y: Any, groups: Any, X_public: Any) -> Task:
        """Check what is public, and bring every private cell into its public range."""
        self._check_settings()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X = check_table(X)
        validate_data(self, X, skip_check_array=True)
        if self.schema is None and X_public is not None:
            schema = Schema.from_public(X_public)
        else:
            schema = as_schema(self.schema, X)
        rows, cells = schema.sanitize(X), cells_of(y)
        numbers = None if groups is None else group_numbers(groups)
        check_lengths(X, y=cells, groups=numbers)
        if X_public is not None:
            X_public = schema.sanitize(check_table(X_public))
        if groups is not None and self._is_single():
            raise ValueError(
                "groups: a single StableLogisticRegression bounds what one record can do, not what "
                "a group can. Give n_teachers, for an ensemble of them."
            )
        targets, n_classes = self._read_targets(y, cells)
        n_units = len(cells) if numbers is None else int(numbers.max()) + 1
        kind = Schema.kind_of(X)
        return Task(schema, kind, rows, targets, n_classes, groups, n_units, X_public)

    def _check_settings(self) -> None:
        """Raise for a parameter that cannot be."""
        check_parameters(self._blank_distiller(accountant=self.accountant))
        self._check_estimator()
        for name, others in (("n_transfer", ""), ("n_bins", ""), ("n_teachers", ' or "auto"')):
            check_count(name, getattr(self, name), others)
        if self.degree not in ("auto", 1, 2) or isinstance(self.degree, bool):
            raise ValueError(f'degree={self.degree!r} must be "auto", 1 or 2.')
        share = self.marginals_share
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < 1:
            raise ValueError(
                f"marginals_share={share!r} must be between 0 and 1: the part of the budget that "
                "synthetic rows take."
            )
        by_name = isinstance(self.encoder, str)
        if self.encoder != "auto" if by_name else not is_transformer(self.encoder):
            raise ValueError(f'encoder={self.encoder!r} must be "auto", None or a transformer.')

    def _loss(self) -> PrivacyLoss | None:
        """Return the whole price; None for no noise."""
        if math.isinf(self.epsilon):
            return None
        if self.delta == 0:
            return PrivacyLoss.laplace(float(self.epsilon))
        return PrivacyLoss.gaussian(float(self.epsilon), float(self.delta))

    def _transfer_rows(
        self, task: Task, loss: PrivacyLoss | None, random_state: np.random.RandomState
    ) -> tuple[dict[str, PrivacyLoss | None], Any]:
        """Release marginals and make transfer rows of them; say what is left for the labels."""
        self.marginals_: NoisyMarginals | None = None
        if task.X_public is not None:
            return {"labels": loss}, task.X_public
        share = float(self.marginals_share)
        costs = {
            "marginals": None if loss is None else loss.part(share),
            "labels": None if loss is None else loss.part(1 - share),
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
            norm = self.estimator.max_row_norm
            return TableFeatures(schema, n_components=60, max_norm=norm)
        return TableFeatures(schema, None, n_knots=0, directions=False)

    def _teach(
        self,
        task: Task,
        inputs: Any,
        loss: PrivacyLoss | None,
        random_state: np.random.RandomState,
    ) -> Any:
        """Train the teachers on the private rows. Nothing that they raise gets out."""
        A = withheld(lambda: inputs.transform(task.rows))
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
    ) -> Part:
        """Release the labels of the transfer rows, and train the student."""
        student = self.student
        if student is None and isinstance(inputs, SchemaRows):
            encode = TableFeatures(inputs.schema, None, n_knots=0, directions=False)
            student = Pipeline([("features", encode), ("student", self._blank_student())])
        distiller = self._blank_distiller(teacher=teacher, student=student)
        distiller.part = loss
        if loss is not None:
            distiller.mechanism = loss.kind
            many = not self._is_single() and self.basis is not None
            if self.n_rounds == "auto" and loss.mu is not None and many:
                n_classes = len(self.classes_) if hasattr(self, "classes_") else None
                distiller.n_rounds = automatic_rounds(teacher.n_teachers_, loss.mu, n_classes)
        if isinstance(self.basis, str) and self.basis == "auto" and self.marginals_ is not None:
            distiller.basis = "pca"  # synthetic rows have no neighbourhoods to speak of
        if self.random_state is not None:
            distiller.random_state = random_state.randint(np.iinfo(np.int32).max)
        return distiller.fit(inputs.transform(rows))

    def _keep(self, task: Task, inputs: Any, distiller: Part) -> None:
        """Keep what was made of the release, and no teacher."""
        self.schema_, self._kind = task.schema, task.kind
        self.student_ = Pipeline([("inputs", inputs), ("student", distiller.student_)])
        self.n_teachers_ = int(getattr(distiller.plan.certificate, "n_teachers", 1))

    def _statement(
        self, task: Task, plan: ReleasePlan, loss: PrivacyLoss | None
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
            mechanism=f"{found.mechanism}, {rows} transfer rows{cost_text(self.costs_, loss)}",
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

    def _blank_distiller(self, **settings: Any) -> Part:
        """Return the distiller within, with the settings that are passed on to it."""
        return Part(
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
        X = check_table(X)
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
        text = f"{type(self).__name__}({', '.join(settings_shown(self))})"
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


def _generator(random_state: np.random.RandomState) -> np.random.Generator:
    return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint64))
