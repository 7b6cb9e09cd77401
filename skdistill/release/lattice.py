"""From floating-point outputs to integers, so that sensitivities are exact.

Everything here is total: whatever a teacher returns becomes a row of integers, and no value
decides whether an exception is raised.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LATTICE_BITS",
    "as_outputs",
    "lattice_bits",
    "quantize_range",
    "quantize_simplex",
    "simplex_sensitivity",
    "to_simplex",
]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: A soft label is a row of integers that sum to 2**LATTICE_BITS.
LATTICE_BITS = 20


def as_outputs(values: Any, shape: tuple[int, ...]) -> Array:
    """Return `values` as floats of the given shape; what cannot be one is all NaN.

    A teacher that returns text, objects, a wrong width or a wrong length is told from a
    well-behaved one by its labels only (they become uniform rows), never by an exception.
    """
    array = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hasattr(values, "toarray"):
                values = values.toarray()
            array = np.asarray(values)
            array = None if array.dtype.kind == "c" else array.astype(np.float64)
    except Exception:
        array = None
    if array is not None and array.shape == (*shape, 1):
        array = array.reshape(shape)
    return array if array is not None and array.shape == shape else np.full(shape, np.nan)


def to_simplex(rows: Array, temperature: float = 1.0) -> Array:
    """Make every row a probability vector.

    A row with a NaN, an infinity or a negative entry, or with no mass, becomes the uniform row;
    any other is divided by its sum. A `temperature` T replaces p by p^(1/T), normalised (Hinton,
    Vinyals and Dean 2015, equation 1, on log-probabilities).
    """
    n_classes = rows.shape[1]
    # One class after another: NumPy reduces few long rows many times faster than many short ones.
    columns = np.array(rows.T, dtype=np.float64, order="C")  # a copy: the rows are not ours
    with np.errstate(all="ignore"):
        top = columns.max(axis=0)
        # A NaN makes the smallest entry NaN, which is not >= 0.
        good = (columns.min(axis=0) >= 0) & (top > 0) & (top < np.inf)
        if not good.all():
            columns[:, ~good], top = 1.0, np.where(good, top, 1.0)
        # Dividing by the largest entry first keeps subnormal and huge rows finite.
        columns /= top
        if temperature != 1.0:
            columns **= 1.0 / temperature
        columns /= columns.sum(axis=0)
        finite = np.isfinite(columns.sum(axis=0))
        if not finite.all():
            columns[:, ~finite] = 1.0 / n_classes
    return columns.T


def quantize_simplex(simplex: Array, bits: int = LATTICE_BITS) -> Integers:
    """Round probability vectors to integers that sum to exactly ``2**bits``.

    Parameters
    ----------
    simplex : ndarray of shape (m, n_classes)
        Rows as :func:`to_simplex` returns them.

    Returns
    -------
    labels : ndarray of int64, shape (m, n_classes)
        Non-negative, every row sums to ``2**bits``: rows are exactly as far apart as
        :func:`simplex_sensitivity` says. The sums over the first 1, 2, ... classes are rounded to
        the nearest integer each, so an entry, their difference, is within 1 of ``2**bits * p``
        (but for 2⁻²⁰).
    """
    total = 1 << bits
    ends = np.rint(np.cumsum(simplex.T, axis=0) * total)
    np.minimum(ends, total, out=ends)
    ends[-1] = total
    labels: Integers = np.diff(ends, axis=0, prepend=0).astype(np.int64).T
    return labels


def quantize_range(values: Array, low: float, high: float, bits: int = LATTICE_BITS) -> Integers:
    """Clip a regressor's outputs to [low, high] and round them to integers in [0, 2**bits].

    NaN becomes the middle of the range, an infinity its nearer end.
    """
    total = 1 << bits
    with np.errstate(all="ignore"):
        middle = low + (high - low) / 2
        clipped = np.clip(np.where(np.isnan(values), middle, values), low, high)
        steps = np.rint((clipped - low) / (high - low) * total)
    return np.clip(steps, 0, total).astype(np.int64)


def simplex_sensitivity(l1: float, l2: float, n_classes: int, bits: int) -> tuple[float, float]:
    """How far one row moves on the lattice if it moves (l1, l2) on the simplex.

    Proof. Let q, q' be the integer rows of p, p'. Both are non-negative and sum to S = 2^bits, so
    ‖q − q'‖₁ ≤ 2S and ‖q − q'‖₂ ≤ √2·S (the diameter, exact). Also |q_j − S·p_j| ≤ 1, plus less
    than 2⁻²⁰ for the float sums, so by the triangle inequality the move is at most
    S·l1 + 2(1 + 2⁻²⁰)·n_classes in L1 and S·l2 + 2(1 + 2⁻²⁰)·√n_classes in L2.
    The smaller of the two bounds holds.
    """
    total, entry = float(1 << bits), 2 * (1 + 2.0**-20)
    return (
        min(2 * total, total * l1 + entry * n_classes),
        min(math.sqrt(2) * total, total * l2 + entry * math.sqrt(n_classes)),
    )


def lattice_bits(unit_scale: float) -> int:
    """Choose how fine the lattice is from the noise, a public number.

    `unit_scale` is the noise scale where a row has sum 1 (or a range has width 1). Noise that is
    far coarser than the lattice would only make the exact sampler work with numbers it must look
    at twice, so the lattice is made coarser too: its step stays below 2⁻²⁵ of the noise.
    """
    if unit_scale <= 0:
        return LATTICE_BITS
    return int(min(LATTICE_BITS, max(1, 30 - math.ceil(math.log2(unit_scale)))))
