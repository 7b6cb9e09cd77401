"""Noisy soft labels, row by row: the release for a RowBound, and the free ones."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from skdistill.certificates import RowBound
from skdistill.release.lattice import (
    Integers,
    lattice_bits,
    quantize_range,
    quantize_simplex,
    simplex_sensitivity,
    to_simplex,
)
from skdistill.release.plan import ReleasePlan
from skdistill.release.teacher_calls import class_outputs, transformed, value_outputs

__all__ = ["free_labels", "in_chunks", "noisy_labels"]

Array = NDArray[np.float64]

# Outputs held at once, by all workers of a chunk: 2 MB of float64.
_CHUNK = 1 << 18


def noisy_labels(plan: ReleasePlan, teacher: Any, X: Any, n_jobs: int | None) -> Array:
    """Release labels for all rows of X with noise for what one record can move.

    Parameters
    ----------
    plan : ReleasePlan
        With a RowBound; its price is already charged.
    teacher : estimator
        Fitted.
    X : array-like of shape (m, d)
        Transfer rows, handed to the teacher in slices.

    Returns
    -------
    labels : ndarray of shape (m, n_classes) or (m,)
        Multiples of 2**-bits (of the output range for a regressor), not clipped to the simplex.

    Notes
    -----
    Proof. Let q be the m integer rows on a data set and q' on a neighbour. A row moves by at most
    (Δ₁, Δ₂) (:func:`~skdistill.release.lattice.simplex_sensitivity`, or the width of the range),
    so ‖q − q'‖₁ ≤ m·Δ₁ and ‖q − q'‖₂ ≤ √m·Δ₂. The release is q plus rounded noise of the scale
    diffprivlib calibrates to that sensitivity, which is the rounded output of the Laplace
    mechanism (Dwork et al. 2006, Proposition 1) or the analytic Gaussian mechanism (Balle and
    Wang 2018, Theorem 8) on all m rows at once. Chunks change the order of the work only: noise
    is independent between entries.
    """
    bound, loss = plan.certificate, plan.label_loss
    if not isinstance(bound, RowBound) or loss is None:
        raise TypeError("noisy_labels needs a RowBound and a price.")
    m, n_outputs = plan.n_rows, 1 if plan.classes is None else len(plan.classes)
    if plan.classes is None:
        low, high = _range(plan)
        unit = (high - low, bound.l1 / (high - low))
    else:
        low, unit = 0.0, (1.0, bound.l1)
    l1_or_l2 = m * unit[1] if loss.kind == "laplace" else math.sqrt(m) * bound.l2 / unit[0]
    bits = lattice_bits(loss.scale(l1_or_l2))
    total = 1 << bits
    if plan.classes is None:
        # |round(a) − round(b)| ≤ |a − b| + 1, and never more than the whole range.
        row = (min(total, total * unit[1] + 1),) * 2
    else:
        row = simplex_sensitivity(bound.l1, bound.l2, n_outputs, bits)
    sensitivity = m * row[0] if loss.kind == "laplace" else math.sqrt(m) * row[1]

    def label(rows: Any, count: int) -> Array:
        integers = _integers(plan, teacher, rows, count, bits)
        noisy = plan.sampler.perturb(integers, loss, sensitivity)
        return low + noisy * (unit[0] / total)

    return in_chunks(label, X, m, n_outputs, plan.classes is not None, n_jobs)


def free_labels(plan: ReleasePlan, teacher: Any, X: Any, n_jobs: int | None) -> Array:
    """Return the teacher's labels as they are: for a private teacher, or without a guarantee."""

    def label(rows: Any, count: int) -> Array:
        if plan.classes is None:
            return value_outputs(teacher, rows, count)
        return to_simplex(_raw(plan, teacher, rows, count), plan.temperature)

    n_outputs = 1 if plan.classes is None else len(plan.classes)
    return in_chunks(label, X, plan.n_rows, n_outputs, plan.classes is not None, n_jobs)


def _integers(plan: ReleasePlan, teacher: Any, rows: Any, count: int, bits: int) -> Integers:
    """Return the teacher's labels for some rows, on the lattice."""
    if plan.classes is None:
        return quantize_range(value_outputs(teacher, rows, count), *_range(plan), bits)
    return quantize_simplex(to_simplex(_raw(plan, teacher, rows, count), plan.temperature), bits)


def _raw(plan: ReleasePlan, teacher: Any, rows: Any, count: int) -> Array:
    outputs = plan.certificate.outputs if isinstance(plan.certificate, RowBound) else None
    if outputs is not None:
        rows = transformed(plan.certificate, rows)
    assert plan.classes is not None
    return class_outputs(teacher, rows, count, plan.classes, outputs)


def _range(plan: ReleasePlan) -> tuple[float, float]:
    if plan.output_range is None:
        raise ValueError("A regression release needs output_range=(low, high).")
    return plan.output_range


def in_chunks(
    label: Callable[[Any, int], Array],
    X: Any,
    n_rows: int,
    n_outputs: int,
    two_dimensional: bool,
    n_jobs: int | None,
) -> Array:
    """Fill the result slice by slice, in threads: no more memory than the result and a chunk.

    Threads and not processes: a teacher sent to another process would be pickled with the
    private data it may hold.
    """
    result = np.empty((n_rows, n_outputs) if two_dimensional else n_rows)
    X = X.tocsr() if hasattr(X, "tocsr") else X
    sliceable = getattr(X, "iloc", X)

    def fill(part: slice) -> None:
        result[part] = label(sliceable[part], part.stop - part.start)

    parts = list(gen_batches(n_rows, max(1, _CHUNK // n_outputs)))
    # One guard around all threads: the filters of the warnings module are global.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(parts) == 1:
            fill(parts[0])
        else:
            Parallel(n_jobs=n_jobs, prefer="threads")(delayed(fill)(part) for part in parts)
    return result
