"""Columns of numbers whose bounds are private: the public cells to count them in, and the bounds.

The bounds of such a column are read off noisy counts of its values in cells that are the same for
every table (:mod:`skdistill.release.domain`), so nothing here sees a private value.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from skdistill.schema.column import LARGEST_INTEGER, Column

Array = NDArray[np.float64]

# Few cells, since the noise on many together hides rare values; bounds may be generous.
_STEPS = (1, 1.5, 2.5, 4, 6)
_DECADES = range(-12, 18)
_LARGEST = 1e18
_YEARS = 1678, 2262  # dates that nanoseconds can count
_NARROW, _NARROW_CELLS = 8.0, 128

# Deviations of the noise. Of 600 blocks of empty cells, one has 5.5 in 1e-5 of cases; the tails
# of one Laplace noise are heavier, and five more are as rare.
_CLEAR, _CLEAR_LAPLACE, _LEAST = 5.5, 5.0, 4.0
_NEAR, _NEAR_CELLS = 2.5, (1, 2, 4)  # beside cells that are clearly not empty
_MOST_MORE = 3  # cells, each way, for values that noise hides
_NOTHING_SEEN = (-1.0, 1.0)
_NO_DATES_SEEN = (0.0, 36_524.0)  # 1970 to 2069


@cache
def _edges(date: bool) -> tuple[float, ...]:
    """Return where cells begin, but for the first one, where nothing is known of a column."""
    if date:
        years = np.arange(_YEARS[0] + 1, _YEARS[1]).astype(str).astype("datetime64[D]")
        return tuple(years.astype(np.int64).astype(float).tolist())
    sizes = [float(f"{step}e{power}") for power in _DECADES for step in _STEPS]
    return (*(-size for size in reversed(sizes)), 0.0, *sizes)


def on_grid(column: Column) -> Column:
    """Return the column with bounds that hold all numbers, and cells to count it in.

    Missing cells stay missing. Without bounds, the cells of a number grow with its size, and dates
    have a cell for each year from 1678 to 2261. With bounds, there are 128 cells between them.
    The first and the last cell are those of numbers outside.
    """
    edges = _edges(column.date)
    if column.low is not None and column.high is not None:
        end = column.high + column.integer  # the last whole number is inside
        edges = tuple(np.linspace(column.low, end, _NARROW_CELLS + 1).tolist())
    if column.date:
        ends = np.array(_YEARS, dtype=str).astype("datetime64[D]").astype(np.int64) - [0, 1]
        low, high = map(float, ends)
    else:
        high = float(LARGEST_INTEGER) if column.integer else _LARGEST
        low = -high
    return replace(column, low=low, high=high, missing=True, edges=edges)


def is_narrow(column: Column) -> bool:
    """Whether bounds are near each other and far from zero, as those of a year or a longitude."""
    if column.low is None or column.high is None or column.date or column.low * column.high <= 0:
        return False
    near, far = sorted((abs(column.low), abs(column.high)))
    return far < _NARROW * near


def assumed(column: Column) -> Column:
    """Return the column with bounds that stand for none: -1 and 1; of dates, 1970 and 2069."""
    if column.bounded:
        return column
    low, high = _NO_DATES_SEEN if column.date else _NOTHING_SEEN
    return replace(column, low=low, high=high)


def to_try(column: Column) -> Column:
    """Return the column with bounds that stand for private ones, to try a model on made-up rows.

    Numbers of all sizes up to 100,000 are in its cells, and dates from 1850 to 2100: a model that
    takes numbers near zero alone is to fail there, and not on the private rows.
    """
    if column.bounded:
        return column
    if column.date:
        return replace(column, low=-43_829.0, high=47_846.0)
    sizes = [10.0**power for power in range(-1, 5)]
    edges = (*(-size for size in reversed(sizes)), 0.0, *sizes)
    return replace(column, low=-1e5, high=1e5, edges=edges)


def with_bounds(
    column: Column, counts: Array, noise: float, *, laplace: bool = False, near: bool = True
) -> Column | None:
    """Return the column with the bounds that noisy counts of its cells show, or None.

    The bounds are the ends of the outermost cells, alone or taken together with their neighbours,
    whose counts clearly exceed the noise; with `near`, those of cells beside them that probably do,
    as one column in thirty has by chance. They are then moved outwards, for values that noise
    hides: by as many cells as half of the range has, at most by three (a factor of four where
    cells grow), and not across zero.

    `counts` are those of the codes of :func:`on_grid`, `noise` is their standard deviation.
    """
    grid = on_grid(column)
    starts, last_values = grid.bin_starts(1)[1:], grid.bin_ends(1)[1:]
    n_cells = len(starts) - 1
    inside = np.asarray(counts[1 : n_cells + 1], dtype=np.float64)
    found = _occupied(inside, noise, _CLEAR_LAPLACE if laplace else 0.0)
    if found is None:
        return None
    zero = 0 if column.date else int(np.searchsorted(starts[:-1], 0))
    ends = zero if found[0] >= zero else 0, zero - 1 if found[1] < zero else n_cells - 1
    first, last = _with_neighbours(inside, noise, found, ends) if near else found
    more = min(_MOST_MORE, math.ceil((last - first + 1) / 2))
    first, last = max(first - more, ends[0]), min(last + more, ends[1])
    high = last_values[last] if column.integer else starts[last + 1]
    return replace(column, low=float(starts[first]), high=float(high))


def _occupied(counts: Array, noise: float, more: float) -> tuple[int, int] | None:
    """Return the outermost cells that clearly hold records, or None.

    Cells are added up in pairs, pairs of pairs and so on: many small counts together may exceed
    the noise that hides each of them. From all cells together downwards, the outer half is kept
    where it holds a block that stands out, else the inner half where that does. 5.5 deviations
    stand out; where nothing has as many, the block that has most does, if it has four.
    """
    size = 1 << math.ceil(math.log2(max(len(counts), 1)))
    sums = np.pad(counts / max(noise, 1e-6), (0, size - len(counts)))
    clear = [sums - more]
    while len(sums) > 1:
        sums = sums.reshape(-1, 2).sum(axis=1)
        clear.append((sums - more) / math.sqrt(size / len(sums)))
    limit = min(_CLEAR, max(float(each.max()) for each in clear))
    if limit < _LEAST:
        return None
    seen = [clear[0] >= limit]
    for each in clear[1:]:
        seen.append((each >= limit) | seen[-1].reshape(-1, 2).any(axis=1))
    ends = []
    for outer in (0, 1):
        place, level = 0, len(seen) - 1
        while level:
            halves = seen[level - 1][2 * place : 2 * place + 2]
            if not halves.any():
                break
            place, level = 2 * place + (outer if halves[outer] else 1 - outer), level - 1
        ends.append(((place + outer) << level) - outer)
    return ends[0], min(ends[1], len(counts) - 1)


def _with_neighbours(
    counts: Array, noise: float, found: tuple[int, int], ends: tuple[int, int]
) -> tuple[int, int]:
    """Return the range of cells, extended over neighbours that probably hold more than noise."""

    def reach(outside: Array) -> int:
        """Return how many cells to take, of those on one side from the inside outwards."""
        taken = 0
        while True:
            sums = np.cumsum(outside[taken : taken + _NEAR_CELLS[-1]])
            limits = {k: _NEAR * noise * math.sqrt(k) for k in _NEAR_CELLS if k <= len(sums)}
            step = next((k for k, limit in limits.items() if sums[k - 1] > limit), 0)
            if not step:
                return taken
            taken += step

    (first, last), (start, end) = found, ends
    return (first - reach(counts[start:first][::-1]), last + reach(counts[last + 1 : end + 1]))
