"""MarginalSampler: synthetic rows of a private table, as an estimator."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._doc_links import DocLink
from skdistill._tables import layout_of
from skdistill.accounting.charging import (
    bind_to_process,
    charge,
    check_accountant,
    counted_by,
    for_pickle,
)
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release.domain import warn_of_hidden, with_domain
from skdistill.release.marginals import check_counts, group_numbers
from skdistill.release.noise import Sampler, active_sampler
from skdistill.release.query import Queries, answer
from skdistill.release.synthesis import SyntheticTable, bins_for, measure_table
from skdistill.schema import Schema, as_schema
from skdistill.statement import PrivacyStatement


class MarginalSampler(DocLink, BaseEstimator):
    """Make synthetic rows from noisy counts of the columns of a private table.

    Dependence of the columns is released as one noisy matrix; rows follow a Gaussian copula.

    Parameters
    ----------
    schema : Schema, tuple of (float, float), float or int
        Public knowledge about the columns; ``(low, high)`` where every column is a number in these
        bounds. Private bounds are learned first, as in :class:`~skdistill.PrivateClassifier`.
    epsilon, delta : float, default=1.0, 1e-6
        The price of a `fit`: all marginals together are (epsilon, delta)-differentially private.
        ``delta=0`` uses Laplace noise. ``epsilon=float("inf")``: no noise, no privacy.
    accountant : diffprivlib.BudgetAccountant, default=None
        Charged before anything is counted; shared by clones.
    random_state : int, RandomState or None, default=None
        Draws rows, which is public. The noise cannot be seeded.

    Attributes
    ----------
    table_, schema_ : SyntheticTable, Schema
        The released table, and the schema in use.
    privacy_ : PrivacyStatement
        The statement of the release.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns, and their names where the table had them.

    See Also
    --------
    skdistill.PrivateClassifier : A model of a private table, with synthetic rows inside.

    References
    ----------
    .. [1] H. Li, L. Xiong, X. Jiang. Differentially private synthesization of multi-dimensional
       data using copula functions. EDBT 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.transfer import MarginalSampler, Schema
    >>> private = np.random.default_rng(0).integers(18, 66, size=(5000, 1))
    >>> schema = Schema({"age": (18, 90)}, integer=["age"])
    >>> sampler = MarginalSampler(schema, epsilon=1.0).fit(private)
    >>> rows = sampler.sample(1000, random_state=0)
    >>> rows.shape, bool(abs(rows.mean() - private.mean()) < 2)
    ((1000, 1), True)
    """

    def __init__(
        self,
        schema: Any,
        *,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        accountant: Any = None,
        random_state: Any = None,
    ) -> None:
        self.schema = schema
        self.epsilon = epsilon
        self.delta = delta
        self.accountant = accountant
        self.random_state = random_state

    @np.errstate(all="ignore")  # in a user's own state, a private value could raise
    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Charge the accountant, then count the private table with noise.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Private rows. Values outside the schema are clipped, silently.
        y : None
            Ignored.
        groups : array-like of shape (n,), optional
            Label of the group (a person, say) of each row, which is then the unit of privacy. The
            number of groups is public.

        Returns
        -------
        self : MarginalSampler
            Fitted.

        Raises
        ------
        ValueError, TypeError
            For public faults: parameters, shapes, names of columns.
        """
        loss = self._loss()
        check_accountant(self.accountant)
        schema = as_schema(self.schema, X)
        validate_data(self, layout_of(X, len(schema.columns)), skip_check_array=True)
        rows = schema.on_grid().sanitize(X)
        numbers = None if groups is None else group_numbers(groups)
        check_consistent_length(rows, numbers)
        if loss is not None and groups is not None:
            loss = replace(loss, unit=Unit.GROUP)
        check_counts(len(schema.columns), loss)
        sampler = active_sampler("exact")
        charge(self.accountant, loss, type(self).__name__)
        n_units = len(rows) if numbers is None else int(numbers.max()) + 1

        def learn(schema: Schema, loss: PrivacyLoss | None) -> Queries[SyntheticTable]:
            bins = bins_for(n_units, loss)
            return measure_table(schema, schema.encode(rows, bins), loss, bins, groups=groups)

        queries = with_domain(schema, rows, loss, learn, n_units=n_units, groups=groups)
        _, hidden, self.table_ = answer(queries, loss, sampler)
        self.kind_ = Schema.kind_of(X)
        self.privacy_ = _statement(self.table_, schema, loss, sampler, self.accountant)
        self.schema_ = schema
        if schema.unbounded:
            self.schema_ = Schema(self.table_.schema.columns, privacy=self.privacy_)
        warn_of_hidden(hidden)
        return self

    def sample(self, n_rows: int, random_state: Any = None) -> Any:
        """Draw synthetic rows, as many as you like, at no cost.

        Parameters
        ----------
        n_rows : int
            How many.
        random_state : int, RandomState or None, default=None
            None takes the parameter of the sampler.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, d)
            Of the kind of table that was fitted, with the dtypes of
            :meth:`skdistill.Schema.decode`.
        """
        check_is_fitted(self)
        state = check_random_state(self.random_state if random_state is None else random_state)
        rng = np.random.default_rng(state.randint(2**32, size=4, dtype=np.uint64))
        return self.table_.rows(n_rows, rng, self.kind_)

    def _loss(self) -> PrivacyLoss | None:
        if self.epsilon == math.inf and self.accountant is not None:
            raise ValueError(
                "epsilon=inf means no privacy at all, so there is no cost that an accountant could "
                "record. Use a finite epsilon, or accountant=None."
            )
        if self.epsilon == math.inf:
            return None
        if self.delta == 0:
            return PrivacyLoss.laplace(self.epsilon)
        return PrivacyLoss.gaussian(self.epsilon, self.delta)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def __sklearn_clone__(self) -> MarginalSampler:
        params = self.get_params(deep=False)
        accountant = params.pop("accountant")
        copied = {name: clone(value, safe=False) for name, value in params.items()}
        return type(self)(**copied, accountant=accountant)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "accountant":
            bind_to_process(value)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: without the accountant once fitted."""
        payer = None if hasattr(self, "table_") else for_pickle(self.accountant)
        return {**super().__getstate__(), "accountant": payer}


def _statement(
    table: SyntheticTable, schema: Schema, loss: PrivacyLoss | None, sampler: Sampler, payer: Any
) -> PrivacyStatement:
    """Return the statement of the release of marginals."""
    unit = Unit.RECORD if loss is None else loss.unit
    d, k = len(table.shares), len(schema.unbounded)
    histograms = f", and of at most {2 * k} histograms that bounds are read off" if k else ""
    return PrivacyStatement(
        epsilon=math.inf if loss is None else loss.epsilon,
        delta=0.0 if loss is None else loss.delta,
        mu=None if loss is None else loss.mu,
        unit=unit,
        subject="the private table",
        mechanism="none" if loss is None else loss.kind,
        certificate={
            "name": "marginals",
            "bound": (
                f"one {unit} moves two cells of each of {d} marginals by one{histograms}, and the "
                "mean product of normal scores by a bounded matrix"
            ),
            "reason": f"Every {unit} weighs one in every marginal.",
            "reference": "Li, Xiong and Jiang (EDBT 2014).",
        },
        n_queries=0,
        assumes=(schema.origin,),
        not_protected=(f"the number of {unit}s", schema.not_protected),
        sampler="no noise" if loss is None else sampler.name,
        private=loss is not None and sampler.private and schema.is_private,
        **counted_by(None if loss is None else payer),
    )
