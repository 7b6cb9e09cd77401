"""From floating-point outputs to integers, so that sensitivities are exact; no value raises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.release.boundary import TeacherError, call_privately
from skdistill.release.query import SQRT_2, Array, Integers

LATTICE_BITS = 20  #: A soft label is a row of integers that sum to 2**LATTICE_BITS.


def as_outputs(values: Any, shape: tuple[int, ...]) -> Array:
    """Return `values` as floats of the given shape, all NaN where that cannot be."""

    def floats() -> Array | None:  # the outputs' own code may raise
        array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
        return None if array.dtype.kind == "c" else array.astype(np.float64)

    if type(values) is np.ndarray and values.dtype == np.float64:  # none of its code is called
        array: Array | None = values.copy()
    else:
        try:
            array = call_privately(floats)
        except TeacherError:
            array = None
    if array is not None and array.shape == (*shape, 1):
        array = array.reshape(shape)
    return array if array is not None and array.shape == shape else np.full(shape, np.nan)


def to_simplex(rows: Array, temperature: float = 1.0) -> Array:
    """Make every row p a probability vector: p^(1/temperature), normalised (Hinton et al. 2015).

    A row with a NaN, an infinity or a negative entry, or with no mass, becomes the uniform row.
    """
    # One class after another: NumPy reduces few long rows many times faster than many short ones.
    columns = np.array(rows.T, dtype=np.float64, order="C")  # a copy: the rows are not ours
    with np.errstate(all="ignore"):
        top = columns.max(axis=0)
        # A NaN makes the smallest entry NaN, which is not >= 0.
        good = (columns.min(axis=0) >= 0) & (top > 0) & (top < np.inf)
        if not good.all():
            columns[:, ~good], top = 1.0, np.where(good, top, 1.0)
        columns /= top  # dividing by the largest entry first keeps subnormal and huge rows finite
        if temperature != 1.0:
            columns **= 1.0 / temperature
        columns /= columns.sum(axis=0)  # the largest entry is 1, so that this is finite
    return columns.T


def quantize_simplex(simplex: Array, total: int = 1 << LATTICE_BITS) -> Integers:
    """Round probability vectors to non-negative integers that sum to exactly `total` < 2^50.

    The sums over the first 1, 2, ... classes are rounded to the nearest integer each, so an entry,
    their difference, is within 1 + n_classes·total·2⁻⁵² of ``total * p`` (the last part is the
    error of the sums).
    """
    ends = np.array(simplex.T, dtype=np.float64, order="C")
    for j in range(1, len(ends) - 1):  # as cumsum does, which is slow along few long rows
        ends[j] += ends[j - 1]
    ends[-1] = 1.0
    ends *= total
    np.rint(ends, out=ends)
    np.minimum(ends, total, out=ends)
    labels: Integers = ends.astype(np.int64)
    for j in range(len(labels) - 1, 0, -1):
        labels[j] -= labels[j - 1]
    return labels.T


def quantize_range(
    values: Array, low: float, high: float, total: int = 1 << LATTICE_BITS
) -> Integers:
    """Clip outputs to [low, high] (NaN to the middle) and round them to integers in [0, total]."""
    return range_steps(np.array(values, dtype=np.float64), low, high, total).astype(np.int64)


def range_steps(steps: Array, low: float, high: float, total: int = 1 << LATTICE_BITS) -> Array:
    """Do the same in place, and return the integers as floats.

    Proof. Rounding is monotone: low ≤ v ≤ high gives 0 ≤ fl(v − low) ≤ fl(high − low), so their
    quotient is in [0, 1] and the result in [0, total], without a clip at the end.
    """
    with np.errstate(all="ignore"):
        if np.isnan(steps.min(initial=low)):
            steps[np.isnan(steps)] = low + (high - low) / 2
        np.clip(steps, low, high, out=steps)
        steps -= low
        steps /= high - low
        steps *= total
        return np.rint(steps, out=steps)


@dataclass(frozen=True)
class Lattice:
    """The integers that one row is rounded to, and how far one unit moves them."""

    total: int  # stands for a probability of 1, or for the width of the output range
    l1: float  # rounding included, as l2
    l2: float


_ROUNDING = 2.0**-10  # a bound on the move of a row is enlarged by this part at most, for rounding
_MOST_BITS = 44


def simplex_lattice(l1: float, l2: float, n_classes: int, noise: float) -> Lattice:
    """Choose the lattice for probability vectors that one unit moves by (l1, l2).

    The finer the bound, the finer the lattice: the move in integers, rounding included, is at most
    1 + 2⁻¹⁰ times the bound, *by a number that depends on the bound alone* (as long as that takes
    44 bits at most). So releases of different precision have one sensitivity, and a coarser one can
    be drawn from a finer one (:mod:`skdistill.release.replay.progressive`). `noise` is the scale of
    the noise on a probability.

    Proof. Let q, q' be the integer rows of p, p'. Both are non-negative and sum to S, so ‖q − q'‖₁
    ≤ 2S and ‖q − q'‖₂ ≤ √2·S (the diameter, exact). Also |q_j − S·p_j| ≤ e with e = 1 +
    n_classes·S·2⁻⁵² (:func:`quantize_simplex`), so by the triangle inequality the move is at most
    S·l1 + 2e·n_classes in L1 and S·l2 + 2e·√n_classes in L2. The smaller holds.
    """
    most = _MOST_BITS - max(0, math.ceil(math.log2(n_classes)) - 3)
    needed = math.log2(4 * max(n_classes / l1, math.sqrt(n_classes) / l2) / _ROUNDING)
    is_diameter = l1 >= 2 * (1 - 1e-12) and l2 >= math.sqrt(2) * (1 - 1e-12)
    fine = 1 if is_diameter else min(most, math.ceil(needed))
    bits = max(fine, min(most, lattice_bits(noise)))
    total, entry = float(1 << bits), 2 * (1 + n_classes * 2.0 ** (bits - 52))
    by_l1 = max(total * l1 + entry * n_classes, total * l1 * (1 + _ROUNDING))
    by_l2 = max(total * l2 + entry * math.sqrt(n_classes), total * l2 * (1 + _ROUNDING))
    return Lattice(1 << bits, min(2 * total, by_l1), min(SQRT_2 * total, by_l2))


def vote_lattice(moved: tuple[float, float], n_votes: int, noise: float) -> Lattice:
    """Choose the lattice for rows of `n_votes` votes; one unit moves `moved` of them (L1, L2).

    Counts are integers, so the bound is the move itself, times a power of two for finer noise.
    """
    l1, l2 = moved
    unit = 1 << lattice_bits(noise * n_votes)
    return Lattice(n_votes * unit, l1 * unit, math.nextafter(l2, math.inf) * unit)


def range_lattice(width: float, noise: float) -> Lattice:
    """Choose the lattice for numbers in a range of width 1 that one unit moves by `width`.

    Proof. |round(a) − round(b)| ≤ |a − b| + 1, and 2⁻⁴ more for the roundings of floating point
    (three, of 2⁻⁵³ of at most 2⁴⁴), and never more than the whole range.
    """
    fine = min(_MOST_BITS, max(1, math.ceil(math.log2(2 / (width * _ROUNDING)))))
    bits = max(1 if width >= 1 else fine, lattice_bits(noise))
    total = float(1 << bits)
    moved = min(total, max(total * width + 1.0625, total * width * (1 + _ROUNDING)))
    return Lattice(1 << bits, moved, moved)


def lattice_bits(unit_scale: float) -> int:
    """Choose how fine the lattice is from `unit_scale`, the public noise where a row has sum 1.

    Its step stays below 2⁻²⁵ of the noise: finer ones are slower, as the sampler looks at draws
    twice.
    """
    if unit_scale <= 0:
        return LATTICE_BITS
    return int(min(LATTICE_BITS, max(1, 30 - math.ceil(math.log2(unit_scale)))))
