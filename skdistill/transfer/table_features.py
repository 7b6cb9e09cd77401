"""One feature map for tables: splines, indicators, pairs of columns, principal directions.

The map of a column turns cells into places and values, arrays of shape (n, k): row i of the
features of the column has ``values[i, j]`` at ``places[i, j]`` and is zero elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._doc_links import DocLink
from skdistill._numbers import check_whole
from skdistill._tables import layout_of
from skdistill.schema import Column, Schema, as_schema
from skdistill.schema.describe import cell_size
from skdistill.schema.table import Table

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Block = tuple[int, Codes, Array]  # width, places and values
Cells = Sequence[NDArray[Any]]  # a column each

# Chosen on private rows held out of Adult, California housing and credit default, with the
# features of gradient rounds at epsilon = 0.1 to 2.
_MOST_KNOTS, _ALL_KNOTS = 20, 160  # of one number; of all numbers together
_PAIR_KNOTS, _ALL_PAIR_FEATURES = 4, 1000  # of a number in a pair; of all pairs together
_PAIR_WEIGHT = 0.8  # of a product against a number
_RARE_SHARE = 1 / 300  # fewer public rows than this are too few for a feature; one is enough of 300
_MOST_CATEGORIES = 1000  # of all columns together
_WIDEST = 2048  # so many features of largest variance enter the principal directions
_CHUNK = 2**14  # rows that are expanded at a time
_GRID = 256  # points at which the position of a number is kept
_EXTREME = 0.002  # ranks nearer to 0 or 1 have the normal score of this one, 2.88
LONGEST_SCORE = -float(ndtri(_EXTREME))


def usual_knots(schema: Schema) -> int:
    """Return the number of knots of each number that is chosen for a table of these columns."""
    n_numbers = sum(column.kind == "number" for column in schema.columns)
    return min(_MOST_KNOTS, max(4, _ALL_KNOTS // max(1, n_numbers)))


class TableFeatures(DocLink, TransformerMixin, BaseEstimator):
    r"""Map the rows of a table to bounded numbers, by quantiles and categories of public rows.

    Each number becomes its rank among the public rows (so a heavy tail needs no logarithm) and
    linear splines of it, with a knot of its own for a value that many rows share; a pair of numbers
    the products of their splines on a few knots. Each frequent category has an indicator, all rare
    and unknown categories of a column one together, and missing values one where the schema allows
    them. Then all features are centred and rotated to the principal directions of the public rows,
    largest variance first: a learner that can afford p directions takes the first p columns.

    The map is a function of the public rows alone. A row of the result is a function of that row
    alone, bit for bit, and it is always finite. Fit the map on public rows and freeze
    it in front of a teacher: ``FrozenEstimator(TableFeatures(schema).fit(X_public))``.

    Parameters
    ----------
    schema : Schema or tuple of (float, float)
        Public knowledge about the columns; ``(low, high)`` where every column is a number in
        these bounds.
    pairs : "auto", None or iterable of (str, str), default="auto"
        Pairs of numbers whose splines are multiplied. "auto" takes all pairs, with 4 knots for
        each number, or 3 or 2 for at most 1,000 products; none where 2 knots make more.
    n_knots : "auto" or int, default="auto"
        Most knots of a number. "auto" is 20 for up to 8 numbers and fewer for more. 0 leaves the
        splines out: a number is then the normal score of its rank (0 for the median, at most 2.88),
        which suits trees and plain linear models, with ``pairs=None, directions=False``.
    directions : bool, default=True
        Whether to centre the features and to rotate them to principal directions.
    n_components : int, default=None
        Most directions. None: all whose public variance is not negligible.

    Attributes
    ----------
    schema_ : Schema
        The schema in use.
    maps_ : tuple of (NumberMap or CategoryMap)
        The knots or frequent categories of each column.
    pairs_ : tuple of (int, int)
        Positions of the columns of each pair.
    variances_ : ndarray of shape (n_features_out,)
        Variance of each direction over the public rows, decreasing. Only with directions.
    norm_bound_ : float
        No row of the result has a larger Euclidean norm.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns, and their names where X had them.

    References
    ----------
    .. [1] Hastie, Tibshirani, Friedman. The Elements of Statistical Learning. Springer, 2009.

    Examples
    --------
    >>> from skdistill import Schema, TableFeatures
    >>> schema = Schema({"age": (18, 90), "sex": ["f", "m"]}, missing=["age"])
    >>> rows = [[20, "f"], [30, "m"], [None, "m"], [60, "f"]] * 5
    >>> features = TableFeatures(schema, n_knots=0, directions=False).fit(rows)
    >>> features.get_feature_names_out().tolist()
    ['age rank', 'age missing', "sex='f'", "sex='m'", 'sex rare']
    >>> features.transform([[30, "m"], [999, "x"]]).round(2)
    array([[0.  , 0.  , 0.  , 1.  , 0.  ],
           [2.88, 0.  , 0.  , 0.  , 1.  ]])
    >>> TableFeatures(schema, n_components=3).fit(rows).transform(rows).shape
    (20, 3)
    """

    def __init__(
        self,
        schema: Any,
        pairs: Any = "auto",
        *,
        n_knots: int | str = "auto",
        directions: bool = True,
        n_components: int | None = None,
    ) -> None:
        self.schema = schema
        self.pairs = pairs
        self.n_knots = n_knots
        self.directions = directions
        self.n_components = n_components

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn quantiles, frequent categories and directions from public rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)
            Public rows, or synthetic rows that were released: never private rows.
        y : None
            Ignored.

        Returns
        -------
        self : TableFeatures
            Fitted.

        Raises
        ------
        ValueError, TypeError
            For parameters, and for columns that are not those of the schema.
        """
        if isinstance(self.pairs, str) and self.pairs != "auto":
            raise ValueError(f'pairs={self.pairs!r} must be "auto", None or pairs of names.')
        if self.n_knots != "auto":
            check_whole("n_knots", self.n_knots, 0, ', or "auto"')
        if self.n_components is not None:
            check_whole("n_components", self.n_components, 1, ", or None")
        validate_data(self, layout_of(X), skip_check_array=True)
        self.schema_ = as_schema(self.schema, X)
        chunks = list(self._read(self.schema_._table(X).columns))
        cells = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        n_knots = usual_knots(self.schema_) if isinstance(self.n_knots, str) else self.n_knots
        least = max(1, len(cells[0]) * _RARE_SHARE)
        rare = least_count(self.schema_.columns, cells, least, _MOST_CATEGORIES)
        self.maps_: tuple[Any, ...] = tuple(
            NumberMap.of(c, x, n_knots, least) if c.kind == "number" else CategoryMap.of(c, x, rare)
            for c, x in zip(self.schema_.columns, cells, strict=True)
        )
        self.pairs_, self.pair_knots_ = self._choose_pairs()
        # Splines are at least 0 and add up to 1, so a row is a mean of rows of the metric, none of
        # which is longer than the root of 2 for a number, of 4 for a product of two.
        number = 2.0 if n_knots else LONGEST_SCORE**2
        longest = number * len(self.maps_) + 4 * _PAIR_WEIGHT**2 * len(self.pairs_)
        self.norm_bound_ = math.sqrt(longest) * (1 + 1e-9)
        if self.directions:
            self._find_directions(chunks)
        return self

    def transform(self, X: Any) -> Array:
        """Map the rows, each by itself, to their features.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Rows with the columns of the schema, public or private.

        Returns
        -------
        ndarray of float64, shape (n, n_features_out)
            Finite, and no row longer than `norm_bound_`.

        Raises
        ------
        ValueError
            For columns that are not those of the schema. No cell raises: see
            :meth:`Schema.encode`.
        """
        check_is_fitted(self)
        width = len(self.schema_.columns)
        Table(X, width)  # raises an error if X is not a table, before its columns are counted
        validate_data(self, layout_of(X, width), reset=False, skip_check_array=True)
        columns, found, start = self.schema_._table(X).columns, np.empty((0, 0)), 0
        for cells in self._read(columns):
            rows = self._sparse(cells)
            # A product of a sparse with a dense matrix adds up every row by itself, in the order of
            # its entries; that of two dense ones may depend on how many rows there are.
            part = rows @ self._axes - self._centre if self.directions else rows.toarray()
            if not found.size:
                found = np.empty((len(columns[0]), part.shape[1]))
            found[start : start + len(part)] = part
            start += len(part)
        return found

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return a distinct name for each feature.

        Parameters
        ----------
        input_features : None
            Ignored: the names are those of the schema.

        Returns
        -------
        ndarray of str
            One name for each column of the result.
        """
        check_is_fitted(self)
        if self.directions:
            return np.array([f"direction{j}" for j in range(self._axes.shape[1])], dtype=object)
        columns, many = self.schema_.columns, self.pair_knots_
        names = [n for c, one in zip(columns, self.maps_, strict=True) for n in one.names(c)]
        knots = {}
        for j in chain(*self.pairs_):
            hats = range(self.maps_[j].most_hats(many))
            knots[j] = [f"{columns[j].name} knot {k} of {many}" for k in hats]
        names += [f"{a} * {b}" for i, j in self.pairs_ for a in knots[i] for b in knots[j]]
        if len(set(names)) < len(names):  # one column may be called "age rank", another "age"
            names = [f"{j}: {name}" for j, name in enumerate(names)]
        return np.array(names, dtype=object)

    def _choose_pairs(self) -> tuple[tuple[tuple[int, int], ...], int]:
        """Return the pairs, and the number of knots that each number has in them."""
        numbers = [j for j, one in enumerate(self.maps_) if isinstance(one, NumberMap)]
        if self.pairs is None:
            return (), 0
        if not isinstance(self.pairs, str):
            place = {self.schema_.names[j]: j for j in numbers}
            try:
                return tuple((place[a], place[b]) for a, b in self.pairs), _PAIR_KNOTS
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"pairs={self.pairs!r} must be 'auto', None or pairs of names of numbers."
                ) from error
        varied = [j for j in numbers if self.maps_[j].n_positions > 1]
        found = tuple(combinations(varied, 2))
        for n_knots in range(_PAIR_KNOTS, 1, -1):
            if len(found) * n_knots**2 <= _ALL_PAIR_FEATURES:
                return found, n_knots
        return (), 0

    def _find_directions(self, chunks: Iterable[Cells]) -> None:
        """Find the principal directions of the public rows, in order of their variance."""
        raw = sp.vstack([self._sparse(cells) for cells in chunks], format="csc")
        mean = np.asarray(raw.mean(axis=0)).ravel()
        spread = np.asarray(raw.multiply(raw).mean(axis=0)).ravel() - mean**2
        kept = np.sort(np.argsort(-spread, kind="stable")[:_WIDEST])
        knots = {j: self.maps_[j].most_hats(self.pair_knots_) for j in chain(*self.pairs_)}
        hats = {j: smooth_metric(k) for j, k in knots.items()}
        # The metric in which smooth functions have a large variance.
        roots = [one.smoothing for one in self.maps_]
        roots += [_PAIR_WEIGHT * np.kron(hats[i], hats[j]) for i, j in self.pairs_]
        metric = sp.block_diag([sp.csr_matrix(root) for root in roots], format="csr")
        smooth, narrow = metric[kept][:, kept].toarray(), raw[:, kept]
        covariance = _products(narrow) / raw.shape[0] - np.outer(mean[kept], mean[kept])
        variances, axes = scipy.linalg.eigh(smooth.T @ covariance @ smooth)
        order = np.argsort(-variances, kind="stable")[: self.n_components]
        order = order[variances[order] > 1e-6 * max(variances.max(), 1e-9)]
        self.variances_, axes = variances[order], axes[:, order]
        if not len(order):  # nothing varies: one direction that is zero for all rows
            self.variances_, axes = np.ones(1), np.zeros((len(kept), 1))
        largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
        axes = axes * np.where(largest < 0, -1, 1)  # their signs are arbitrary otherwise
        self._axes = np.zeros((raw.shape[1], axes.shape[1]))
        self._axes[kept] = smooth @ axes
        self._centre = mean @ self._axes
        self.norm_bound_ += float(np.linalg.norm(mean[kept] @ smooth))

    def _read(self, columns: Sequence[Any]) -> Iterator[Cells]:
        """Yield the columns as the schema reads them, numbers or codes, some rows at a time."""
        for start in range(0, len(columns[0]), _CHUNK):
            rows = slice(start, start + _CHUNK)
            parts = [x.iloc[rows] if hasattr(x, "iloc") else x[rows] for x in columns]
            yield [
                c.read(x) if c.kind == "number" else c.encode(x, 1)
                for c, x in zip(self.schema_.columns, parts, strict=True)
            ]

    def _sparse(self, cells: Cells) -> sp.csr_matrix:
        """Return the spline and indicator features of some rows."""
        blocks = [(one.width, *one.expand(x)) for one, x in zip(self.maps_, cells, strict=True)]
        paired = set(chain(*self.pairs_))
        hats = {j: self.maps_[j].hats(cells[j], self.pair_knots_) for j in paired}
        blocks += [_product(hats[i], hats[j]) for i, j in self.pairs_]
        starts = np.cumsum([0, *(width for width, _, _ in blocks)])
        places = np.hstack([at + p for at, (_, p, _) in zip(starts, blocks, strict=False)])
        values = np.hstack([values for _, _, values in blocks])
        n, k = places.shape
        if not ((places >= 0) & (places < starts[-1])).all():
            raise ValueError("These features were changed after they were fitted.")
        pointers, shape = np.arange(n + 1) * k, (n, int(starts[-1]))
        return sp.csr_matrix((values.ravel(), places.ravel(), pointers), shape=shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _products(columns: sp.csc_matrix) -> Array:
    """Return the product of each column with each.

    With a dense matrix of a few of them where few cells are zero: the same sums, to the last bit,
    in a tenth of the time.
    """
    n, size = columns.shape
    if columns.nnz < 0.25 * n * size:
        return np.asarray((columns.T @ columns).toarray())
    found, rows = np.empty((size, size)), columns.T.tocsr()
    for start in range(0, size, 64):
        end = min(start + 64, size)
        found[:end, start:end] = rows[:end] @ columns[:, start:end].toarray()
        found[start:end, :end] = found[:end, start:end].T
    return found


def _product(first: Block, second: Block) -> Block:
    """Multiply each feature of one block with each of the other."""
    (n_first, p, v), (n_second, q, w) = first, second
    places = p[:, :, None] * n_second + q[:, None, :]
    values = v[:, :, None] * w[:, None, :]
    return n_first * n_second, places.reshape(len(p), -1), values.reshape(len(p), -1)


@dataclass(frozen=True)
class NumberMap:
    """The position of a number among public rows, and linear splines of it.

    `grid` has increasing values, with `positions`: knots are at 0, 1, ..., n_positions - 1.
    """

    grid: Array
    positions: Array
    n_positions: int
    has_splines: bool
    missing: bool

    @classmethod
    def of(cls, column: Column, values: Array, n_knots: int, least: float) -> NumberMap:
        """Learn the map of a column from its public values, NaN where missing.

        A value that at least as many rows have as would come between two knots has a knot of its
        own, and its neighbours another, so that it has an indicator. Between such values, at most
        `n_knots` knots (0 for no splines) are at quantiles, each for `least` public rows or more.
        """
        distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        if not len(distinct):
            distinct, counts = np.zeros(1), np.ones(1, dtype=np.int64)
        size = max(least, cell_size(counts, n_knots or _GRID))
        common = counts >= size
        positions, n_positions = _positions(counts, common, size)
        if len(distinct) > _GRID:
            around = np.flatnonzero(common)[:, None] + np.array([-1, 0, 1])
            even = np.linspace(0, len(distinct) - 1, _GRID).astype(np.int64)
            kept = np.unique(np.clip(np.r_[even, around.ravel()], 0, len(distinct) - 1))
            distinct, positions = distinct[kept], positions[kept]
        return cls(distinct, positions, n_positions, n_knots > 0, column.missing)

    @property
    def width(self) -> int:
        """Number of features."""
        return (self.n_positions if self.has_splines else 1) + self.missing

    @property
    def smoothing(self) -> Array:
        """Matrix that turns the features into those whose principal directions are smooth."""
        smooth = smooth_metric(self.n_positions) if self.has_splines else np.ones((1, 1))
        return np.asarray(scipy.linalg.block_diag(smooth, np.eye(int(self.missing))))

    def names(self, column: Column) -> list[str]:
        """Name the features."""
        names = [f"knot {k}" for k in range(self.n_positions)] if self.has_splines else ["rank"]
        return [f"{column.name} {name}" for name in [*names, "missing"][: self.width]]

    def expand(self, values: Array) -> tuple[Codes, Array]:
        """Return places and values: of splines, or the normal score of the rank; then missing."""
        if self.has_splines:
            _, places, parts = self.hats(values, self.n_positions)
        else:
            rank = self._position(values) / max(1, self.n_positions - 1)
            score = ndtri(np.clip(rank, _EXTREME, 1 - _EXTREME))
            if self.n_positions == 1:
                score = np.zeros(len(values))
            places = np.zeros((len(values), 1), dtype=np.int64)
            parts = np.where(np.isnan(values), 0.0, score)[:, None]
        if not self.missing:
            return places, parts
        last = np.full(len(values), self.width - 1)
        return np.column_stack([places, last]), np.column_stack([parts, np.isnan(values)])

    def most_hats(self, n_knots: int) -> int:
        """Return the number of hat functions there are where so many are wanted."""
        return min(n_knots, self.n_positions)

    def hats(self, values: Array, n_knots: int) -> tuple[int, Codes, Array]:
        """Return the number of hat functions, places and values; zero where missing."""
        n_knots = self.most_hats(n_knots)
        at = self._position(values) * ((n_knots - 1) / max(1, self.n_positions - 1))
        left = np.clip(np.floor(at), 0, max(0, n_knots - 2)).astype(np.int64)
        part = at - left
        hats = np.column_stack([1 - part, part]) * ~np.isnan(values)[:, None]
        return n_knots, np.column_stack([left, np.minimum(left + 1, n_knots - 1)]), hats

    def _position(self, values: Array) -> Array:
        """Interpolate; 0 where missing."""
        found = np.interp(values, self.grid, self.positions)
        return np.where(np.isnan(values), 0.0, found)


def _positions(counts: Codes, common: NDArray[np.bool_], size: float) -> tuple[Array, int]:
    """Return a position for each distinct value, in order, and the number of knots."""
    positions = np.empty(len(counts))
    starts = np.flatnonzero(np.r_[True, common[1:] | common[:-1]])  # of runs without common values
    knot = 0
    for start, end in zip(starts, [*starts[1:], len(counts)], strict=True):
        middle = np.cumsum(counts[start:end]) - counts[start:end] / 2
        n_knots = 1 if common[start] else round(counts[start:end].sum() / size)
        if end - start == len(counts) > 1:
            n_knots = max(2, n_knots)  # a line, at least
        if n_knots:
            inside = (middle - middle[0]) / max(middle[-1] - middle[0], 1)
            positions[start:end] = knot + (n_knots - 1) * inside
        else:  # too few for a knot: between the neighbours, or with the only one
            left = knot - 1 if start > 0 else 0
            right = knot if end < len(counts) else left
            positions[start:end] = left + (right - left) * middle / counts[start:end].sum()
        knot += n_knots
    return positions, max(1, knot)


@dataclass(frozen=True)
class CategoryMap:
    """An indicator of each frequent category, and one of all others; a place for each code."""

    places: Codes
    width: int

    @classmethod
    def of(cls, column: Column, codes: Codes, least: float) -> CategoryMap:
        """Learn which codes are frequent: those of at least so many public rows."""
        counts = np.bincount(codes, minlength=column.n_codes(1))
        frequent = np.flatnonzero(counts >= least)
        places = np.full(len(counts), len(frequent), dtype=np.int64)
        places[frequent] = np.arange(len(frequent))
        return cls(places, len(frequent) + 1)

    @property
    def smoothing(self) -> Array:
        """Matrix that leaves the features as they are."""
        return np.eye(self.width)

    def names(self, column: Column) -> list[str]:
        """Name the indicators."""
        names = [f"{column.name}={value!r}" for value in column.values]
        names.append(f"{column.name} missing")
        frequent = np.flatnonzero(self.places < self.width - 1)
        return [*(names[code] for code in frequent), f"{column.name} rare"]

    def expand(self, codes: Codes) -> tuple[Codes, Array]:
        """Return the place of each indicator, and ones."""
        return self.places[codes][:, None], np.ones((len(codes), 1))


def smooth_metric(n_knots: int) -> Array:
    """Return the root of the kernel of splines in which smooth functions come first.

    The kernel of two knots i and j is min(i, j) / (n_knots - 1), plus 1 where they are equal, and
    at most 2: of white noise and of a random walk, so functions that vary slowly have a larger
    variance.
    """
    knots = np.arange(n_knots)
    kernel = np.eye(n_knots) + np.minimum(knots[:, None], knots) / max(1, n_knots - 1)
    variances, axes = scipy.linalg.eigh(kernel)
    return np.asarray((axes * np.sqrt(variances)) @ axes.T)


def least_count(
    columns: Sequence[Column], cells: Sequence[NDArray[Any]], least: float, most: int
) -> float:
    """Return the fewest rows of a category with an indicator: `most` indicators at most in all."""
    counts = [
        np.bincount(x, minlength=column.n_codes(1))
        for column, x in zip(columns, cells, strict=True)
        if column.kind == "category"
    ]
    frequent = np.sort(np.concatenate([c[c >= least] for c in counts])) if counts else np.empty(0)
    return float(frequent[-most - 1] + 1) if len(frequent) > most else least
