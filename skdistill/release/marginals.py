r"""Noisy marginals of a private table: the only place that counts private records by column.

A table of codes (see :meth:`skdistill.schema.Schema.encode`) is counted column by column, in
integers. Only those counts plus exact noise leave.

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
from typing import Any

import numpy as np

from skdistill._tables import group_names
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.quantization import lattice_bits
from skdistill.release.query import (
    ROUND_UP,
    Array,
    Integers,
    Queries,
    Query,
    check_noise,
    noise_deviation,
)

_LEAST_SHARE = Fraction(1, 100)  # of a price that counts of columns take, with or without bounds


@dataclass(frozen=True)
class NoisyMarginals:
    """Noisy counts of the codes of each column, in records (or groups); public from here on."""

    total: int
    counts: tuple[Array, ...]
    noise: float


def measure_marginals(
    codes: Integers, n_codes: Sequence[int], loss: PrivacyLoss | None, *, groups: Any = None
) -> Queries[NoisyMarginals]:
    """Release noisy counts of the codes of every column at the price `loss`; None is no noise.

    `codes`, of shape (n, d), are private, with ``0 <= codes[:, j] < n_codes[j]``. With `groups`,
    whose number is public, one group takes the place of a record.

    Proof. With U lattice units per record (1 without groups), one record (group) moves the d
    marginals by √(2d)·U in L2 and by 2d·U in L1: see the module. A column with one code holds all
    the records and does not move.
    """
    numbers = None if groups is None else group_numbers(groups)
    total = len(codes) if numbers is None else int(numbers.max(initial=-1)) + 1
    unit = 1
    if numbers is not None:  # finer than the noise on one count of one marginal
        finest = 1.0 if loss is None else loss.scale(2.0 if loss.mu is None else math.sqrt(2))
        unit = 1 << lattice_bits(finest)
    tables = [weighted_counts(codes[:, j], size, numbers, unit) for j, size in enumerate(n_codes)]
    flat, moves = np.concatenate(tables), sum(size > 1 for size in n_codes)
    noisy, noise = flat / unit, 0.0
    if moves:
        l1, l2 = 2.0 * moves, math.sqrt(2.0 * moves)
        answer = yield Query(flat, l1 * unit * ROUND_UP, l2 * unit * ROUND_UP)
        noisy = np.asarray(answer, dtype=np.float64) / unit
        noise = 0.0 if loss is None else noise_deviation(loss, l1, l2)
    pieces = np.split(noisy, np.cumsum(n_codes)[:-1])
    return NoisyMarginals(total, tuple(pieces), noise)


def check_counts(n_columns: int, loss: PrivacyLoss | None) -> None:
    """Raise, before a charge of `loss`, where noise on counts of columns is too large to draw."""
    if loss is not None:
        moved, unit = 2.0 * n_columns, 2  # the least weight of a group
        check_noise(loss.part(_LEAST_SHARE), unit * moved, unit * math.sqrt(moved))


def group_numbers(groups: Any) -> Integers:
    """Return the number of each row's group, by its canonical name."""
    number: dict[str, int] = {}
    found = [number.setdefault(name, len(number)) for name in group_names(groups)]
    return np.array(found, dtype=np.int64)


def weighted_counts(cells: Integers, n_cells: int, groups: Integers | None, unit: int) -> Integers:
    """Count cells: every row weighs `unit` (U, a power of two), or every numbered group does."""
    if groups is None:
        return np.bincount(cells, minlength=n_cells).astype(np.int64) * unit
    sizes = np.bincount(groups)
    place, rows = np.unique(groups * n_cells + cells, return_counts=True)
    weights = (unit * rows) // sizes[place // n_cells]
    counts = np.zeros(n_cells, dtype=np.int64)
    np.add.at(counts, place % n_cells, weights)
    return counts
