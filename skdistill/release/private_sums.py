"""Integer sums over private rows: clipped gradients, second moments, counts.

A linear model is learned in gradient rounds (:mod:`skdistill.release.gradient_rounds`) from sums
over private rows. This module computes them, and proves how far one unit (a record, or a group of
records) moves each of them.

*A record's part is a function of that record and of public numbers.* Floating-point products of
matrices do not have this property: a row's result may depend on its place in the matrix, on the
number of threads and on the size of a block, and one row more moves every row behind it. Here,
cells and matrices are integers, so small that every partial sum of a product is an integer of at
most 2**53: it is exact in float64, whatever the order of summation. All else is one correctly
rounded operation an element, or a scalar function of one element.

*Units.* A cell is a whole number of at most 2**22 in units of a public lattice, one a column; a
residual is one of at most 2**21. Blocks have 1,024 rows, so that a block's sum of products is at
most 2**53.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import exp2, expit

from skdistill.accounting.relation import Unit

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Question = Callable[..., Any]

_CELL_BITS, _RESIDUAL_BITS, _LIMB_BITS = 22, 21, 20
_BLOCK, _CACHE = 1 << 10, 1 << 16  # most rows, and cells, at a time: the cells stay in the cache
_CELL, _RESIDUAL, _LIMB = 1 << _CELL_BITS, 1 << _RESIDUAL_BITS, 1 << _LIMB_BITS
_CONSTANT = 1 << 11  # the constant feature, in units of 1 / _CONSTANT
_COUNT = 1 << 20  # the weight of one unit in a histogram
TARGETS_MOVED = 3.0 * _COUNT, 2.25 * _COUNT  #: No less than the bounds of `targets_sum`.
#: Half the output range in the integers of a regression's targets, and a target that is missing.
TARGET_ONE, MISSING = 1 << 20, -(1 << 40)
_FINE = 1 << 28  # a clip is between one and two times as many units of the released lattice
_MOMENT = 2.0**38  # no more than this squared length of a row in a second moment
# More than the rounding of a few operations; and so much more that a check fails for nothing else.
_DOWN, _UP, _ROOM = 1 - 2.0**-40, 1 + 2.0**-40, 1 - 2.0**-36


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where private cells are rounded to; public.

    `centre` is subtracted from every row (zero for sparse rows); `step`, positive, is the distance
    of two lattice points. Cells more than 2**22 steps from the centre are moved to that distance.
    """

    centre: Array
    step: Array

    @classmethod
    def of(cls, mean: Array, spread: Array, *, centred: bool) -> Lattice:
        """Return the lattice with 2**11 points for one standard deviation of public rows."""
        largest = float(spread.max())
        floor = 1e-3 * largest if largest > 1e-150 else 1.0
        step = np.maximum(spread, floor) / 2**11
        far = np.abs(mean) > 4 * spread  # else the constant's weight does it, for nothing
        centre = mean if centred and far.any() else np.zeros_like(mean)
        return cls(centre, step)


@dataclass(frozen=True, eq=False)
class IntegerMap:
    """A public matrix as integers, so small that products with private cells are exact.

    `matrix`, of shape (d + 1, q), takes centred rows with a 1 at the end to q numbers; `integers`
    are whole numbers, as floats; a product with cells is in units of 2**-exponent.
    """

    lattice: Lattice
    matrix: Array
    integers: Array = field(init=False)
    exponent: int = field(init=False)

    def __post_init__(self) -> None:
        steps = np.append(self.lattice.step, 1 / _CONSTANT)[:, None] * self.matrix
        bits = 53 - _CELL_BITS - math.ceil(math.log2(len(steps)))
        largest = float(np.abs(steps).max()) or 1.0
        exponent = bits - math.frexp(largest)[1]
        object.__setattr__(self, "integers", np.rint(np.ldexp(steps, exponent)))
        object.__setattr__(self, "exponent", exponent)

    def actual(self) -> Array:
        """Return the matrix that the integers stand for."""
        steps = np.append(self.lattice.step, 1 / _CONSTANT)[:, None]
        return np.asarray(np.ldexp(self.integers, -self.exponent) / steps)


@dataclass(frozen=True, eq=False, repr=False)
class Sum:
    """A sum over private rows, how far one unit moves it, and the public value of the integer 1."""

    values: Integers
    l1: float
    l2: float
    unit: float


@dataclass(frozen=True, eq=False, repr=False)
class PrivateRows:
    """Private rows and their targets, to be summed over; all its methods return private sums.

    `X` is finite, a C-ordered array or a CSR matrix of shape (n, d), and never written to.
    `targets` are class indices, with -1 for a label outside the classes; for a regression
    (`n_classes` 0), whole numbers of 2**-20 of half the output range, from its middle, and MISSING
    for none. `n_units`, the number of records or groups, is public. `rows_of_unit`, private, says
    of each row how many rows its group has; None if every row is a unit. `first` is where these
    rows begin, if they are a partition of a larger table.

    *Partitions.* Each sum asks the rows one question, a method that returns arrays of integers, and
    everything after it is a function of their total. So the rows may lie anywhere:
    :class:`skdistill.release.partitioned_rows.PartitionedRows` puts the question to every partition
    and adds the answers, which are the same integers.

    *Groups.* A row of a group of s rows is clipped to 1/s of the bound that a record has, and its
    gradient is divided by s: the group adds the mean of its rows' gradients. The sum is over at
    most s rows that are at most C/s long, so the group is at most C long (triangle inequality). How
    many rows a group has is private, and a mean needs no such number for its curvature.
    """

    X: Any
    targets: Integers
    n_classes: int
    n_units: int
    unit: Unit = Unit.RECORD
    rows_of_unit: Array | None = None
    first: int = 0
    _lengths: list[Any] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, X: Any, targets: Integers, n_classes: int, groups: Integers | None) -> PrivateRows:
        """Return rows of records, or of numbered groups."""
        if groups is None:
            return cls(X, targets, n_classes, len(targets))
        sizes = np.bincount(groups)
        of_row = sizes[groups].astype(np.float64)
        return cls(X, targets, n_classes, len(sizes), Unit.GROUP, of_row)

    @property
    def width(self) -> int:
        """Number of columns, without the constant."""
        return int(self.X.shape[1])

    @property
    def is_sparse(self) -> bool:
        """Whether the rows are sparse; public."""
        return sp.issparse(self.X)

    @property
    def n_scores(self) -> int:
        """Number of scores of a row: one a class, one for two classes or a number."""
        return self.n_classes if self.n_classes > 2 else 1

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the row lengths, which can be computed again."""
        return {**vars(self), "_lengths": []}

    # Sums.

    def targets_sum(self) -> Sum:
        """Sum the targets: counts of the classes, or the sums of the numbers and their squares.

        Proof. A unit's weights of the classes are non-negative integers that sum to at most
        U = 2**20, and two such vectors are at most √2·U apart (L2), 2·U in L1. A record with a
        number t in units of U, |t| ≤ 1, adds (t, t²), and two of them are d·√(1 + s²) apart, where
        d = |t - t'| and s = |t + t'| ≤ 2 - d. Since d²·(1 + (2 - d)²) increases up to d = 2, they
        are at most 2 apart, and d·(1 + s) ≤ d·(3 - d) ≤ 2.25 in L1. Rounding a square down moves
        two of them by less than 1 / U more. Each of s rows of a group is truncated to at most 1/s
        of U, so a group is in [-U, U] × [0, U]: √5·U and 3·U.
        """
        (total,) = self._total(PrivateRows._summed_targets, cells=False)
        if self.n_classes:
            return _histogram(total)
        if self.unit is Unit.RECORD:
            return Sum(total, 2.25 * _COUNT + 1, 2.0 * _COUNT + 1, 1 / _COUNT)
        return Sum(total, 3.0 * _COUNT, math.sqrt(5) * _COUNT * _UP, 1 / _COUNT)

    def gradients(
        self, frame: IntegerMap, weights: Array, clip: float, at_most: int, finest: float = _FINE
    ) -> tuple[Sum, int]:
        """Sum gradients of the loss, each clipped to length C = `clip` in the frame's coordinates.

        These are u = Wᵀz for a row z. `weights`, of shape (d + 1, k), are the public weights of the
        scores; `at_most` and `finest` (a clip is at most twice as many integers) are as for
        :meth:`moments`. Returns the sum, of shape (q, k), and the public number of units in it.

        Proof. Fix the public arguments. Let z be a record's cells (integers, the constant
        included), V the integers of W, u = Vᵀz and ρ the record's integer residuals. The sum G = Σ
        u ρᵀ = Vᵀ Σ z ρᵀ is exact: block sums are exact in float64, their total is kept in two int64
        and V is applied to it in pieces of 20 bits. (1) z and ρ are functions of the record, the
        public arguments and the number s of rows of its unit: see the module. (2) ρ is kept only if
        ℓ·‖ρ‖·s ≤ L, L the clip in these integers, where ℓ is no less than ‖u‖: see
        :meth:`_row_lengths`; otherwise it is 0. Hence ‖u ρᵀ‖ = ‖u‖·‖ρ‖ ≤ L/s, a unit's part of G is
        at most L long, and G moves by at most 2L in L2. (3) The values are ⌊G / 2^j⌋ for a public
        j. Each of D = q·k entries moves by less than 1 more than before the rounding, so the values
        move by at most 2L/2^j + √D in L2, and by √D times that in L1.
        """
        step, n_units = self._steps(at_most)
        scores = IntegerMap(frame.lattice, weights)
        question = partial(PrivateRows._clipped, scores=scores, bound=clip * _RESIDUAL, step=step)
        high, low = self._total(question, self._row_lengths(frame, step))
        bits = math.floor(math.log2(min(max(finest, 1.0), _FINE)))
        shift = frame.exponent + _RESIDUAL_BITS + math.frexp(clip)[1] - bits - 1
        values = _apply(frame.integers, high, low, shift)
        unit = 2.0 ** (shift - frame.exponent - _RESIDUAL_BITS)
        moved = 2 * clip / unit * _UP
        root = math.sqrt(values.size) * _UP
        return Sum(values, root * moved + values.size, moved + root, unit), n_units

    def moments(
        self,
        frame: IntegerMap,
        radius: float,
        order: Literal["mean", "squares", "products"],
        at_most: int,
        finest: float = _MOMENT,
    ) -> tuple[Sum, int]:
        """Sum u, u² (by coordinate) or u uᵀ over rows, each u shortened to at most R = `radius`.

        u are the frame's coordinates. About `at_most` rows are taken, in equal steps of their
        positions, but all of groups' rows. At most `finest` integers are in R²: fewer for noise too
        large for a finer lattice. Returns the sum, of shape (q,), (q,) or (q, q), and the public
        number of units in it.

        Proof. Let s be the number of rows of a row's unit, t the row's integers, and R in units of
        the integers. That ‖t‖·s ≤ R ("mean") or ‖t‖²·s ≤ R² holds for the integers themselves: sums
        of squares are below 2**53, so exact, and rows for which it fails are left out. *mean*: a
        unit adds a vector of length at most R; two are at most 2R apart, 2√q·R in L1. *products*: a
        unit adds a positive semidefinite matrix A = Σ t tᵀ whose trace is at most R², hence ‖A‖ ≤
        R² (Frobenius). ⟨A, A'⟩ ≥ 0 for two such, so ‖A - A'‖² ≤ ‖A‖² + ‖A'‖² ≤ 2R⁴. In L1, for q²
        entries: at most q times that, √2·qR². *squares*: the diagonals of A and A' are non-negative
        and sum to at most R²: the same 2R⁴, and 2R² in L1.
        """
        q = frame.integers.shape[1]
        step, n_units = self._steps(at_most)
        longest = min(finest, _MOMENT, 2.0**61 / n_units)  # so that the sum of all units fits int64
        bits = math.floor(math.log2(longest / radius**2) / 2)
        limit = math.ldexp(radius, bits)
        question = partial(PrivateRows._shortened, frame=frame, order=order, radius=radius)
        (total,) = self._total(partial(question, bits=bits, limit=limit, step=step))
        if order == "mean":
            moved = 2 * limit * _UP
            return Sum(total, 2 * math.sqrt(q) * limit * _UP, moved, 2.0**-bits), n_units
        l1 = limit**2 * (math.sqrt(2) * q if order == "products" else 2) * _UP
        return Sum(total, l1, math.sqrt(2) * limit**2 * _UP, 4.0**-bits), n_units

    def score_histogram(self, lattice: Lattice, weights: Array, edges: Array) -> Sum:
        """Count the rows by score and class, for a cut or a calibration: shape (b + 1, 2).

        `edges` are b rising limits of the bins. Two classes: bins of the score, by class. More:
        bins of the likeliest class's probability, by whether that class is wrong or right. Rows
        with a label outside the classes are left out.

        Proof. As for the counts of :meth:`targets_sum`: a unit has non-negative integer weights
        that sum to at most U.
        """
        if not self.n_classes:
            raise TypeError("A histogram of scores by class needs a classifier's rows.")
        scores = IntegerMap(lattice, weights)
        (total,) = self._total(partial(PrivateRows._by_score, scores=scores, edges=edges))
        return _histogram(total)

    def some(self, at_most: int) -> PrivateRows:
        """Return about `at_most` rows, each a unit of its own, for their owner's eyes."""
        step = max(1, self.X.shape[0] // at_most)
        X, targets = self._every(step)
        return PrivateRows(X, targets, self.n_classes, len(targets))

    # Questions to the rows. Those that sum return arrays of integers (none if no row is asked).

    def _total(self, question: Question, *of_rows: Any, cells: bool = True) -> list[Integers]:
        """Return the total answer to a question; these rows are all there are.

        `of_rows` are arguments for each row; `cells` is whether it reads X.
        """
        return list(question(self, *of_rows))

    def _every(self, step: int) -> list[Any]:
        """Return rows whose position in the whole table is a multiple of `step`, and targets."""
        rows = slice(-self.first % step, None, step)
        return [self.X[rows], np.ascontiguousarray(self.targets[rows])]

    def _summed_targets(self) -> list[Integers]:
        if not self.n_classes:
            known = np.where(self.targets == MISSING, 0, self.targets)
            powers = np.stack([known, known * known / TARGET_ONE])
            values = np.trunc(powers / self._rows_of_unit(slice(None)))
            return [values.sum(axis=1).astype(np.int64)]
        known, share = self.targets >= 0, self._weight_of_rows()
        counts = np.zeros(self.n_classes, dtype=np.int64)
        np.add.at(counts, self.targets[known], share[known])
        return [counts]

    def _clipped(
        self, lengths: Array, scores: IntegerMap, bound: float, step: int
    ) -> list[Integers]:
        """Sum z ρᵀ, in two parts: multiples of 2**20, and the rest."""
        total: list[Integers] = []
        for rows, cells in self._blocks(scores.lattice, step):
            residual = self._residuals(rows, self._scores(cells, scores))
            size = lengths[rows] * np.sqrt((residual * residual).sum(axis=1))
            s = self._rows_of_unit(rows)
            with np.errstate(divide="ignore"):
                factor = np.minimum(1.0, bound * _ROOM / size) / s
            rho = np.trunc(residual * factor[:, None])
            kept = lengths[rows] * np.sqrt((rho * rho).sum(axis=1)) * s <= bound * _DOWN
            rho = np.where(kept[:, None], rho, 0.0)
            exact = np.vstack([cells.T @ rho, _CONSTANT * rho.sum(axis=0)]).astype(np.int64)
            total = added(total, (exact >> _LIMB_BITS, exact & (_LIMB - 1)))
        return total

    def _shortened(
        self, frame: IntegerMap, order: str, radius: float, bits: int, limit: float, step: int
    ) -> list[Integers]:
        """Sum t, t² or t tᵀ."""
        total: list[Integers] = []
        for rows, cells in self._blocks(frame.lattice, step):
            products = _product(cells, frame.integers)
            s = self._rows_of_unit(rows) ** (2 if order == "mean" else 1)
            length = _lengths_of(products, frame.exponent)
            factor = np.minimum(1.0, radius / length) * _ROOM / np.sqrt(s)
            t = np.trunc(np.ldexp(products, bits - frame.exponent) * factor[:, None])
            kept = (t * t).sum(axis=1) * s <= limit**2 * _DOWN
            t = np.where(kept[:, None], t, 0.0)
            t = t.T @ t if order == "products" else (t if order == "mean" else t * t).sum(axis=0)
            total = added(total, (t.astype(np.int64),))
        return total

    def _by_score(self, scores: IntegerMap, edges: Array) -> list[Integers]:
        """Count by score and class."""
        share, total = self._weight_of_rows(), np.zeros((len(edges) + 1, 2), dtype=np.int64)
        for rows, cells in self._blocks(scores.lattice):
            score, codes = self._scores(cells, scores), self.targets[rows]
            if self.n_scores == 1:
                value, column = score[:, 0], codes
            else:
                probability = _softmax(score)
                likeliest = probability.argmax(axis=1)
                value = probability[np.arange(len(score)), likeliest]
                column = (likeliest == codes).astype(np.int64)
            known = codes >= 0
            place = np.searchsorted(edges, value[known]), column[known]
            np.add.at(total, place, share[rows][known])
        return [total]

    # Parts of the questions.

    def _steps(self, at_most: int) -> tuple[int, int]:
        """Return the step of the rows' positions that leaves about `at_most`, and their units."""
        if self.rows_of_unit is not None:
            return 1, self.n_units
        step = max(1, self.n_units // at_most)
        return step, len(range(0, self.n_units, step))

    def _weight_of_rows(self) -> Integers:
        """Return 2**20, divided by the rows of the row's unit and rounded down."""
        if self.rows_of_unit is None:
            return np.broadcast_to(np.int64(_COUNT), len(self.targets))
        return np.floor_divide(_COUNT, self.rows_of_unit).astype(np.int64)

    def _rows_of_unit(self, rows: slice) -> Any:
        return 1.0 if self.rows_of_unit is None else self.rows_of_unit[rows]

    def _cells(self, lattice: Lattice, scale: Array, rows: slice, room: Array) -> Any:
        """Return rows on the lattice: whole numbers as floats, CSR, or dense in `room`."""
        with np.errstate(over="ignore"):
            if sp.issparse(self.X):
                part = self.X[rows]
                data = _rounded(part.data * scale[part.indices])
                return sp.csr_matrix((data, part.indices, part.indptr), shape=part.shape)
            cells = self.X[rows]
            room = room[: len(cells)]
            if lattice.centre.any():
                cells = np.subtract(cells, lattice.centre, out=room)
            return _rounded(np.multiply(cells, scale, out=room))

    def _scores(self, cells: Any, scores: IntegerMap) -> Array:
        return np.ldexp(_product(cells, scores.integers), -scores.exponent)

    def _residuals(self, rows: slice, scores: Array) -> Array:
        """Return target less prediction of each row, a whole number of 2**-21 in [-2**21, 2**21].

        Zero for a label outside the classes. A regression's is clipped to [-1, 1].
        """
        targets = self.targets[rows]
        if not self.n_classes:
            residual = np.clip(targets[:, None] / TARGET_ONE - scores, -1.0, 1.0)
        elif self.n_scores == 1:
            residual = (targets == 1)[:, None] - expit(scores)
        else:
            residual = -_softmax(scores)
            known = np.flatnonzero(targets >= 0)
            residual[known, targets[known]] += 1.0
        residual *= (targets >= (0 if self.n_classes else -TARGET_ONE))[:, None]
        return np.rint(residual * _RESIDUAL)

    def _row_lengths(self, frame: IntegerMap, step: int = 1) -> Any:
        """Return no less than the length of each row in the frame; kept for later rounds.

        Rows whose positions are not multiples of `step` are infinitely long.
        """
        held = self._lengths[:]  # in one step: fits in other threads may share these rows
        if held and held[0] is frame and held[1] == step:
            return held[2]
        lengths = self._measured(frame, step)
        self._lengths[:] = [frame, step, lengths]
        return lengths

    def _measured(self, frame: IntegerMap, step: int) -> Array:
        lengths = np.full(self.X.shape[0], np.inf)
        for rows, cells in self._blocks(frame.lattice, step):
            lengths[rows] = _lengths_of(_product(cells, frame.integers), frame.exponent)
        return lengths

    def _blocks(self, lattice: Lattice, step: int = 1) -> Iterator[tuple[slice, Any]]:
        """Yield blocks of rows whose positions are multiples of `step`, and their cells."""
        n = self.X.shape[0]
        block = step * min(_BLOCK, max(32, _CACHE // max(self.width, 1)))
        room = np.empty((0 if sp.issparse(self.X) else block // step, self.width))
        for start in range(-self.first % step, n, block):
            rows = slice(start, min(start + block, n), step)
            yield rows, self._cells(lattice, 1 / lattice.step, rows, room)


def added(total: list[Integers], more: Sequence[Integers]) -> list[Integers]:
    """Add arrays of integers to a total, in place; the total of no rows is an empty list."""
    if not (total and more):
        return total or [each.copy() for each in more]
    for mine, each in zip(total, more, strict=True):
        mine += each
    return total


def _histogram(counts: Integers) -> Sum:
    return Sum(counts, 2.0 * _COUNT, math.sqrt(2) * _COUNT * _UP, 1 / _COUNT)


def _rounded(cells: Array) -> Array:
    """Round to whole numbers of at most 2**22, in place."""
    np.clip(cells, -_CELL, _CELL, out=cells)
    return np.rint(cells, out=cells)


def _product(cells: Any, integers: Array) -> Array:
    """Multiply rows, with the constant at their end, by a matrix of integers; exact."""
    product = np.asarray(cells @ integers[:-1])
    product += _CONSTANT * integers[-1]
    return product


def _softmax(scores: Array) -> Array:
    """Return the softmax of each row; the sum is over whole numbers, so its order is nothing."""
    bits = 52 - math.ceil(math.log2(scores.shape[1]))
    shifted = (scores - scores.max(axis=1, keepdims=True)) * math.log2(math.e)
    powers = np.rint(exp2(shifted) * 2.0**bits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _lengths_of(products: Array, exponent: int) -> Array:
    r"""Return no less than the length of each row of u·2**exponent, in units of u.

    Proof. With v = trunc(\|u\|·2^-j) each entry is below (v + 1)·2^j, hence ‖u‖ < (‖v‖ + √q)·2^j.
    The entries v are whole numbers of at most 2^b with q·4^b ≤ 2**53, so Σv² is exact. j is a
    function of the row: fine where the entries allow it, else the largest there is.
    """
    q = products.shape[1]
    bits = (53 - math.ceil(math.log2(q))) // 2 if q > 1 else 26
    fine = exponent - 12
    largest = np.maximum(products.max(axis=1), -products.min(axis=1))
    shift = np.where(largest < 2.0 ** (fine + bits), fine, 53 - bits)
    v = products * np.ldexp(1.0, -shift)[:, None]
    np.trunc(v, out=v)
    return np.ldexp(np.sqrt(np.einsum("ij,ij->i", v, v)) + math.sqrt(q), shift - exponent) * _UP


def _apply(integers: Array, high: Integers, low: Integers, shift: int) -> Integers:
    """Return ⌊Vᵀ(high·2**20 + low) / 2**shift⌋, exactly.

    The numbers are split into pieces of 20 bits, whose products with V are exact in float64 (V's
    entries have at most 31 - log₂(d + 1) bits); the products are put together as Python's
    integers.
    """
    high, low = high + (low >> _LIMB_BITS), low & (_LIMB - 1)
    pieces = [low, high & (_LIMB - 1), (high >> _LIMB_BITS) & (_LIMB - 1), high >> 2 * _LIMB_BITS]
    total: Any = 0
    for i, piece in enumerate(pieces):
        product = (integers.T @ piece.astype(np.float64)).astype(np.int64).astype(object)
        total = total + product * (1 << _LIMB_BITS * i)
    shifted = total * (1 << -shift) if shift < 0 else total // (1 << shift)
    return np.asarray(shifted, dtype=np.int64)
