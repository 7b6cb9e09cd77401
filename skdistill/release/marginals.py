r"""Noisy marginals of a private table: the only place that counts private records.

A table of codes (see :meth:`skdistill.schema.Schema.encode`) is counted column by column, and for
some pairs of columns, always in integers. Only those counts plus exact noise leave.

*How far one record moves the counts.* Every row has one code in each column, so replacing a record
takes one from one cell of a marginal and adds one to another: √2 in L2 and 2 in L1, and for d
marginals at once √(2d) and 2d.

*Groups.* Where one group of rows takes the place of a record, a group weighs U = 2**k lattice units
in every marginal, however many rows it has: of a group of s rows, h of them in a cell, the cell
gets ⌊U·h/s⌋. The weights w of a group are non-negative and sum to at most U, and so are those w'
of the group that replaces it; hence ‖w − w'‖₁ ≤ 2U, and ‖w − w'‖₂² = ‖w‖² + ‖w'‖² − 2⟨w, w'⟩ ≤
‖w‖₁² + ‖w'‖₁² ≤ 2U². In units of U these are the bounds for records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._tables import group_names
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.mechanism import WHOLE
from skdistill.release.quantization import lattice_bits
from skdistill.release.query import ROUND_UP, Integers, Queries, Query, noise_deviation

__all__ = ["NoisyMarginals", "group_numbers", "measure_marginals"]

Array = NDArray[np.float64]
_Pair = tuple[int, int]

#: Most columns for which pairs are looked at: their number grows as d².
MAX_PAIRED_COLUMNS = 60

# Parts of the price: of one-way marginals, of choosing pairs, of the chosen pairs.
_ONE_WAY, _CHOICE = Fraction(1, 2), Fraction(1, 20)
_REST = 1 - _ONE_WAY - _CHOICE
# The choice is worth its price where its noise is below this part of the records.
_CLEAR = 0.08
# A pair with more cells is not counted.
_LARGEST_PAIR = 1 << 20


@dataclass(frozen=True)
class NoisyMarginals:
    """Counts that came through the boundary, in records (or groups); public from here on.

    Parameters
    ----------
    total : int
        Number of records (or groups), public.
    one_way : tuple of ndarray
        Noisy counts of the codes of every column.
    one_way_scale : float
        Standard deviation of the noise on a count; 0 for none.
    pairs : tuple of tuple of (int, int)
        The pairs of columns that were counted together: a forest.
    two_way : tuple of ndarray
        For every pair its noisy table of counts.
    two_way_scale : float
        Standard deviation of the noise on their counts.
    """

    total: int
    one_way: tuple[Array, ...]
    one_way_scale: float
    pairs: tuple[tuple[int, int], ...] = ()
    two_way: tuple[Array, ...] = ()
    two_way_scale: float = 0.0


def measure_marginals(
    codes: Integers,
    n_codes: Sequence[int],
    loss: PrivacyLoss | None,
    *,
    groups: Any = None,
    pairs: bool | str = False,
) -> Queries[NoisyMarginals]:
    r"""Release noisy marginals of a table at the price `loss`; None is no noise.

    Parameters
    ----------
    codes : ndarray of int64, shape (n, d)
        Private; ``0 <= codes[:, j] < n_codes[j]``.
    n_codes : sequence of int, length d
        Public.
    groups : array-like of shape (n,), optional
        The group of each row; one group then takes the place of a record. Their number is public.
    pairs : bool or "auto", default=False
        Whether pairs of columns that depend on each other are counted too, a forest of at most
        d - 1 of them, as in the winning entry of the NIST contest (McKenna, Miklau and Sheldon
        2021, "Winning the NIST contest", JPC 11(3)). They never are where there are more than
        MAX_PAIRED_COLUMNS columns. "auto": where the noise of the choice is below 8 % of the
        number of records, which is public.

    Notes
    -----
    Proof. With U lattice units per record (1 without groups), each release is of integers, and the
    module's docstring bounds how far a record (group) moves them. (1) d one-way marginals: √(2d)·U
    in L2, 2d·U in L1. (2) For each pair the number Σ|C − E| of cells C of its table and of public
    integers E (the rounded product of the noisy one-way marginals): by the triangle inequality it
    moves by at most ‖C − C'‖₁ ≤ 2U, all r of them by 2√r·U in L2 and 2r·U in L1. (3) The tables of
    the e pairs that the noisy numbers of (2) select: √(2e)·U and 2e·U. All between them is
    post-processing.
    """
    numbers = None if groups is None else group_numbers(groups)
    total = len(codes) if numbers is None else int(numbers.max(initial=-1)) + 1
    counter = _Counter(codes, tuple(n_codes), numbers, loss)
    singles = [(j,) for j in range(len(n_codes))]
    candidates = _candidates(n_codes)
    if pairs == "auto":
        pairs = counter.spread(_CHOICE, *_choice_moves(candidates)) <= _CLEAR * total
    if not (pairs and candidates):
        one_way, scale = yield from counter.release(singles, WHOLE)
        return NoisyMarginals(total, one_way, scale)
    one_way, scale = yield from counter.release(singles, _ONE_WAY)
    chosen = yield from _choose_pairs(counter, one_way, candidates, total)
    if not chosen:
        again, second = yield from counter.release(singles, _REST)
        return NoisyMarginals(total, *_averaged(one_way, scale, again, second))
    two_way, pair_scale = yield from counter.release(chosen, _REST)
    return NoisyMarginals(total, one_way, scale, tuple(chosen), two_way, pair_scale)


def group_numbers(groups: Any) -> Integers:
    """Return the number of each row's group, by its canonical name."""
    number: dict[str, int] = {}
    found = [number.setdefault(name, len(number)) for name in group_names(groups)]
    return np.array(found, dtype=np.int64)


def weighted_counts(cells: Integers, n_cells: int, groups: Integers | None, unit: int) -> Integers:
    """Count cells: every row weighs `unit` (U, a power of two), or every numbered group does.

    The module's docstring says how far one record or group moves the counts.
    """
    if groups is None:
        return np.bincount(cells, minlength=n_cells).astype(np.int64) * unit
    sizes = np.bincount(groups)
    place, rows = np.unique(groups * n_cells + cells, return_counts=True)
    weights = (unit * rows) // sizes[place // n_cells]
    counts = np.zeros(n_cells, dtype=np.int64)
    np.add.at(counts, place % n_cells, weights)
    return counts


class _Counter:
    """Counts sets of columns, and releases the counts at a share of a price."""

    def __init__(
        self, codes: Integers, n_codes: tuple[int, ...], groups: Integers | None, loss: Any
    ) -> None:
        self.codes, self.n_codes, self.loss = codes, n_codes, loss
        self.groups, self.unit = groups, 1
        if groups is not None:
            # Finer than the noise on one count of one marginal, at any share.
            finest = 1.0 if loss is None else loss.scale(2.0 if loss.mu is None else math.sqrt(2))
            self.unit = 1 << lattice_bits(finest)

    def count(self, columns: Sequence[int]) -> Integers:
        """Return the private table of counts of these columns."""
        shape = [self.n_codes[j] for j in columns]
        cells = np.ravel_multi_index([self.codes[:, j] for j in columns], shape)
        flat = weighted_counts(cells, math.prod(shape), self.groups, self.unit)
        return flat.reshape(shape)

    def release(
        self, marginals: Sequence[Sequence[int]], share: Fraction
    ) -> Queries[tuple[tuple[Array, ...], float]]:
        """Return noisy tables of counts, in records, and the deviation of their noise."""
        tables = [self.count(columns) for columns in marginals]
        flat = np.concatenate([np.zeros(0, np.int64), *(table.ravel() for table in tables)])
        moves = sum(table.size > 1 for table in tables)  # a single cell holds all the records
        noisy, scale = yield from self.noise(flat, share, 2.0 * moves, math.sqrt(2.0 * moves))
        ends = np.cumsum([table.size for table in tables])[:-1]
        pieces = np.split(noisy, ends)
        return tuple(x.reshape(t.shape) for x, t in zip(pieces, tables, strict=True)), scale

    def noise(
        self, integers: Integers, share: Fraction, l1: float, l2: float
    ) -> Queries[tuple[Array, float]]:
        """Return integers with noise, in records, and its standard deviation."""
        if l1 == 0:
            return integers / self.unit, 0.0
        moved = l1 * self.unit * ROUND_UP, l2 * self.unit * ROUND_UP
        noisy = yield Query(integers, *moved, share)
        return np.asarray(noisy, dtype=np.float64) / self.unit, self.spread(share, l1, l2)

    def spread(self, share: Fraction, l1: float, l2: float) -> float:
        """Return the standard deviation, in records, of the noise on integers that move so far."""
        if self.loss is None or l1 == 0:
            return 0.0
        return noise_deviation(self.loss.part(share), l1, l2)


def _candidates(n_codes: Sequence[int]) -> list[_Pair]:
    """Return the pairs of columns that may be counted together; public."""
    if len(n_codes) > MAX_PAIRED_COLUMNS:
        return []
    return [
        (i, j)
        for i, j in combinations(range(len(n_codes)), 2)
        if min(n_codes[i], n_codes[j]) > 1 and n_codes[i] * n_codes[j] <= _LARGEST_PAIR
    ]


def _choice_moves(candidates: Sequence[_Pair]) -> tuple[float, float]:
    """Return how far one record moves the distances of all pairs, in L1 and L2."""
    return 2.0 * len(candidates), 2.0 * math.sqrt(len(candidates))


def _choose_pairs(
    counter: _Counter, one_way: tuple[Array, ...], candidates: Sequence[_Pair], total: int
) -> Queries[list[_Pair]]:
    """Release how much the columns of each pair depend on each other, and choose a forest.

    The tree of Chow and Liu (1968), by L1 distance to independence, less the noise that counting
    the pair would bring, √(2/π)·σ per cell (the score of AIM: McKenna, Mullins, Sheldon and Miklau,
    PVLDB 15(11), 2022). Pairs for which that is negative are left out.
    """
    shares = [_shares(counts) for counts in one_way]

    def apart(i: int, j: int) -> int:
        independent = np.outer(shares[i], shares[j]) * (total * counter.unit)
        return int(np.abs(counter.count((i, j)) - np.rint(independent).astype(np.int64)).sum())

    distances = np.array([apart(i, j) for i, j in candidates], dtype=np.int64)
    noisy, _ = yield from counter.noise(distances, _CHOICE, *_choice_moves(candidates))
    most = 2.0 * (len(one_way) - 1)
    scale = counter.spread(_REST, most, math.sqrt(most))
    cells = np.array([len(shares[i]) * len(shares[j]) for i, j in candidates])
    return _best_forest(len(one_way), candidates, noisy - math.sqrt(2 / math.pi) * scale * cells)


def _best_forest(d: int, pairs: Sequence[_Pair], worth: Array) -> list[_Pair]:
    """Return the forest on d columns of largest total worth (Kruskal 1956)."""
    tree = list(range(d))
    chosen = []
    for k in np.argsort(-worth, kind="stable"):
        i, j = pairs[k]
        if worth[k] > 0 and tree[i] != tree[j]:
            chosen.append((i, j))
            joined = tree[j]
            tree = [tree[i] if t == joined else t for t in tree]
    return chosen


def _shares(counts: Array) -> Array:
    """Return noisy counts as a probability vector."""
    kept = np.clip(counts, 0, None)
    return kept / kept.sum() if kept.sum() > 0 else np.full(len(kept), 1 / len(kept))


def _averaged(
    first: tuple[Array, ...], first_scale: float, second: tuple[Array, ...], second_scale: float
) -> tuple[tuple[Array, ...], float]:
    """Return the average of two releases of the same counts, weighted by their precision."""
    a, b = second_scale**2, first_scale**2
    weight = a / (a + b) if a + b > 0 else 0.5
    means = tuple(weight * x + (1 - weight) * y for x, y in zip(first, second, strict=True))
    return means, math.hypot(weight * first_scale, (1 - weight) * second_scale)
