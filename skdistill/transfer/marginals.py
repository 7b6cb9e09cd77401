"""Synthetic rows from noisy marginals: all of it post-processing, and the estimator around it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._tables import layout_of
from skdistill.accounting.charging import bind_to_process, charge, check_accountant, for_pickle
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release.marginals import NoisyMarginals, group_numbers, measure_marginals
from skdistill.release.noise import Sampler, active_sampler
from skdistill.release.query import answer
from skdistill.schema import Schema, as_schema
from skdistill.statement import PrivacyStatement
from skdistill.students.simplex import project_rows

__all__ = ["MarginalSampler", "consistent_pair", "synthetic_codes", "synthetic_rows"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_SCALINGS = 50  # rounds of proportional fitting
_CERTAIN = 1.0  # a deviation from independence of fewer standard errors is taken for noise


def synthetic_rows(
    noisy: NoisyMarginals,
    schema: Schema,
    n_rows: int,
    rng: np.random.Generator,
    *,
    n_bins: int = 24,
    kind: str = "array",
) -> Any:
    """Draw rows of the schema's dtypes from noisy marginals.

    Parameters
    ----------
    noisy : NoisyMarginals
        Of codes that `schema` gave with the same `n_bins`.
    schema : Schema
        What the columns are.
    n_rows : int
        How many rows.
    rng : numpy.random.Generator
        Public randomness: the marginals are noisy already.
    n_bins : int, default=24
        Most bins of a number.
    kind : {"array", "pandas", "polars"}, default="array"
        What to return.

    Returns
    -------
    DataFrame or ndarray of shape (n_rows, d)
    """
    return schema.decode(synthetic_codes(noisy, n_rows, rng), rng, n_bins, kind)


def synthetic_codes(noisy: NoisyMarginals, n_rows: int, rng: np.random.Generator) -> Integers:
    """Draw codes from the forest of marginals.

    Columns are independent but for the counted pairs. A tree is drawn from its root: every child
    given its parent. Shares are met as closely as whole rows can, which leaves less sampling
    error than independent draws: the numbers of rows are the shares rounded at random.

    Returns
    -------
    ndarray of int64, shape (n_rows, d)
    """
    shares = [_shares(counts, noisy.total) for counts in noisy.one_way]
    tables = {
        pair: consistent_pair(table, shares[pair[0]], shares[pair[1]], noisy)
        for pair, table in zip(noisy.pairs, noisy.two_way, strict=True)
    }
    codes = np.zeros((n_rows, len(shares)), dtype=np.int64)
    for parent, child in _from_the_roots(len(shares), noisy.pairs):
        if parent is None:
            codes[:, child] = _allotted(shares[child], n_rows, rng)
            continue
        table = tables[parent, child] if (parent, child) in tables else tables[child, parent].T
        for value in np.unique(codes[:, parent]):
            rows = np.flatnonzero(codes[:, parent] == value)
            given = table[value] if table[value].sum() > 0 else shares[child]
            codes[rows, child] = _allotted(given / given.sum(), len(rows), rng)
    return codes


def consistent_pair(table: Array, first: Array, second: Array, noisy: NoisyMarginals) -> Array:
    """Return the joint shares of two columns, with the given marginals.

    The noisy table's deviation from independence is kept as far as it exceeds the noise (soft
    thresholding, Donoho and Johnstone 1994), negative shares are cut, and proportional fitting
    (Deming and Stephan 1940) gives the table the marginals of the columns, so that all marginals
    agree with each other.
    """
    independent = np.outer(first, second)
    apart = table / max(1, noisy.total) - independent
    noise = _CERTAIN * noisy.two_way_scale / max(1, noisy.total)
    apart = np.sign(apart) * np.maximum(np.abs(apart) - noise, 0)
    # A little of independence everywhere, so that proportional fitting can reach the marginals.
    joint = np.maximum(independent + apart, 1e-6 * independent)
    for _ in range(_SCALINGS):
        joint *= _ratio(first, joint.sum(axis=1))[:, None]
        joint *= _ratio(second, joint.sum(axis=0))
    return joint


def _ratio(wanted: Array, found: Array) -> Array:
    return np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)


def _shares(counts: Array, total: int) -> Array:
    """Return the probability vector nearest to noisy shares.

    The projection on the simplex lowers all counts by one amount and cuts at zero: cells that
    hold nothing but noise mostly vanish, and the others keep their differences.
    """
    return np.asarray(project_rows(counts[None] / max(1, total))[0])


def _from_the_roots(d: int, pairs: tuple[tuple[int, int], ...]) -> Iterator[tuple[int | None, int]]:
    """Yield (parent, child) of a forest, parents first; a root's parent is None."""
    neighbours: list[list[int]] = [[] for _ in range(d)]
    for i, j in pairs:
        neighbours[i].append(j)
        neighbours[j].append(i)
    seen: set[int] = set()
    for root in range(d):
        queue: list[tuple[int | None, int]] = [] if root in seen else [(None, root)]
        while queue:
            parent, node = queue.pop()
            seen.add(node)
            yield parent, node
            queue.extend((node, other) for other in neighbours[node] if other not in seen)


def _allotted(shares: Array, n_rows: int, rng: np.random.Generator) -> Integers:
    """Give each of `n_rows` rows a code: n·share each, rounded by systematic sampling, shuffled."""
    ends = np.cumsum(shares)
    starts = np.r_[0.0, ends[:-1] / ends[-1]] * n_rows + rng.random()
    counts = np.diff(np.r_[np.floor(starts), n_rows]).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(shares)), counts))


class MarginalSampler(BaseEstimator):
    """Make synthetic rows from noisy marginals of a private table.

    Parameters
    ----------
    schema : Schema or tuple of (float, float)
        What is publicly known of the columns; ``(low, high)`` where every column is a number in
        these bounds.
    epsilon, delta : float, default=1.0, 1e-6
        The price of a `fit`: all marginals together are (epsilon, delta)-differentially private.
        ``delta=0`` uses Laplace noise. ``epsilon=float("inf")``: no noise, no privacy.
    n_bins : int, default=24
        Most bins of a number.
    degree : {"auto", 1, 2}, default="auto"
        1 counts single columns. 2 also counts the pairs of a forest that is chosen privately: the
        rows then keep the strongest dependences, at the cost of noisier single columns. "auto" is
        2 where the noise is small against the number of records (see
        :func:`skdistill.release.marginals.measure_marginals`).
    accountant : diffprivlib.BudgetAccountant, default=None
        Charged before anything is counted; shared by clones.
    random_state : int, RandomState or None, default=None
        Draws rows, which is public. The noise cannot be seeded.

    Attributes
    ----------
    marginals_ : NoisyMarginals
        What was released.
    schema_ : Schema
        The schema in use.
    privacy_ : PrivacyStatement
        What the release promises.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, where the table had them.

    See Also
    --------
    skdistill.release.marginals.measure_marginals : The release, and its proof.
    synthetic_codes : How rows are drawn.

    References
    ----------
    .. [1] R. McKenna, G. Miklau, D. Sheldon. Winning the NIST contest: a scalable and general
       approach to differentially private synthetic data. JPC 11(3), 2021.

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
        n_bins: int = 24,
        degree: int | str = "auto",
        accountant: Any = None,
        random_state: Any = None,
    ) -> None:
        self.schema = schema
        self.epsilon = epsilon
        self.delta = delta
        self.n_bins = n_bins
        self.degree = degree
        self.accountant = accountant
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Charge the accountant, then count the private table with noise.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Private rows. What is outside the schema is clipped, silently.
        y : None
            Ignored.
        groups : array-like of shape (n,), optional
            Label of the group (a person, say) of each row. The unit of privacy is then the group,
            and the number of groups is public.

        Returns
        -------
        self : MarginalSampler

        Raises
        ------
        ValueError, TypeError
            For what is public: parameters, shapes, names of columns.
        """
        loss, pairs = self._loss(), self._wants_pairs()
        check_accountant(self.accountant)
        schema = as_schema(self.schema, X)
        validate_data(self, layout_of(X, len(schema.columns)), skip_check_array=True)
        codes = schema.encode(X, self.n_bins)
        numbers = None if groups is None else group_numbers(groups)
        check_consistent_length(codes, numbers)
        sampler = active_sampler("exact")
        charge(self.accountant, loss)
        queries = measure_marginals(
            codes, schema.n_codes(self.n_bins), loss, groups=numbers, pairs=pairs
        )
        self.marginals_ = answer(queries, loss, sampler)
        self.schema_ = schema
        self.kind_ = Schema.kind_of(X)
        self.privacy_ = _statement(self.marginals_, loss, sampler, groups is not None)
        return self

    def sample(self, n_rows: int, random_state: Any = None) -> Any:
        """Draw rows; free, however many.

        Parameters
        ----------
        n_rows : int
            How many.
        random_state : int, RandomState or None, default=None
            None takes the parameter of the sampler.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, d)
            Of the kind of table that was fitted, with the dtypes of :meth:`Schema.decode`.
        """
        check_is_fitted(self)
        state = check_random_state(self.random_state if random_state is None else random_state)
        rng = np.random.default_rng(state.randint(2**32, size=4, dtype=np.uint64))
        return synthetic_rows(
            self.marginals_, self.schema_, n_rows, rng, n_bins=self.n_bins, kind=self.kind_
        )

    def _loss(self) -> PrivacyLoss | None:
        if self.epsilon == math.inf:
            if self.accountant is not None:
                raise ValueError(
                    "epsilon=inf means no privacy at all, so there is no cost that an accountant "
                    "could record. Use a finite epsilon, or accountant=None."
                )
            return None
        if self.delta == 0:
            return PrivacyLoss.laplace(self.epsilon)
        return PrivacyLoss.gaussian(self.epsilon, self.delta)

    def _wants_pairs(self) -> bool | str:
        if isinstance(self.degree, bool) or self.degree not in ("auto", 1, 2):
            raise ValueError(f'degree={self.degree!r} must be "auto", 1 or 2.')
        return "auto" if self.degree == "auto" else self.degree == 2

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
        state = dict(super().__getstate__())
        fitted = hasattr(self, "marginals_")
        state["accountant"] = None if fitted else for_pickle(self.accountant)
        return state


def _statement(
    noisy: NoisyMarginals, loss: PrivacyLoss | None, sampler: Sampler, grouped: bool
) -> PrivacyStatement:
    """Say what the release of marginals promises."""
    unit, d, e = "group" if grouped else "record", len(noisy.one_way), len(noisy.pairs)
    return PrivacyStatement(
        epsilon=math.inf if loss is None else loss.epsilon,
        delta=0.0 if loss is None else loss.delta,
        mu=None if loss is None else loss.mu,
        unit=Unit(unit),
        subject="the private table",
        mechanism="none" if loss is None else loss.kind,
        certificate={
            "name": "marginals",
            "bound": (
                f"one {unit} moves two cells of each of {d} marginals"
                + (f", and of {e} tables of pairs, by one" if e else " by one")
            ),
            "reason": f"Every {unit} weighs one in every marginal.",
            "reference": "McKenna, Miklau and Sheldon (JPC 2021).",
        },
        n_queries=0,
        assumes=("the schema was not read off the private table",),
        not_protected=(f"the number of {unit}s", "the schema: names, bounds, categories"),
        sampler="no noise" if loss is None else sampler.name,
        private=loss is not None and sampler.private,
    )
