"""Features of one column, learned from public rows: splines of a number, indicators of a category.

A map turns cells into places and values, arrays of shape (n, k): row i of the features of the
column has ``values[i, j]`` at ``places[i, j]`` and is zero elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import ndtri

from skdistill.schema import Column
from skdistill.schema.describe import cell_size

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

_GRID = 256  # points at which the position of a number is kept
_EXTREME = 0.002  # ranks nearer to 0 or 1 have the normal score of this one, 2.88
LONGEST_SCORE = -float(ndtri(_EXTREME))


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
