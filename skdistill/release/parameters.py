"""Noisy parameters, once: the release for a ParameterBall."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import ParameterBall
from skdistill.release.noise import Sampler
from skdistill.release.plan import ReleasePlan
from skdistill.release.soft_labels import in_chunks
from skdistill.release.teacher_calls import guarded, transformed

__all__ = ["labels_of", "noisy_weights", "parameter_labels", "private_weights"]

Array = NDArray[np.float64]

# The rounding of the parameters costs at most this part of the radius.
_ROUNDING_BITS = 16


def noisy_weights(weights: Array, radius: float, loss: PrivacyLoss, sampler: Sampler) -> Array:
    """Release a parameter matrix that one record moves by at most `radius` (Frobenius norm).

    Parameters
    ----------
    weights : ndarray of shape (n_scores, n_features)
        The private parameters; an entry that is not finite counts as zero.
    radius : float
        The bound.

    Returns
    -------
    noisy : ndarray of shape (n_scores, n_features)
        On the lattice h·ℤ, h a power of two.

    Notes
    -----
    Proof. Let D be the number of entries. Dividing by a power of two is exact and rounding moves
    an entry by at most 1/2, so on the lattice ‖q − q'‖₂ ≤ radius/h + √D, and by Cauchy-Schwarz
    ‖q − q'‖₁ ≤ √D·radius/h + D. Integers are clipped to ±2⁶⁰, which moves two of them no further
    apart. The rest is :meth:`skdistill.release.noise.ExactSampler.perturb` at that sensitivity;
    scores and labels on any number of rows are post-processing.
    """
    size = math.sqrt(max(1, weights.size))
    # A step of the lattice is at most 2^-16 of the radius per √D.
    step = 2.0 ** math.floor(math.log2(radius / size) - _ROUNDING_BITS)
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0) / step
        integers = np.rint(np.clip(scaled, -(2.0**60), 2.0**60)).astype(np.int64)
    moved = radius / step
    sensitivity = size * moved + size**2 if loss.kind == "laplace" else moved + size
    return np.asarray(sampler.perturb(integers, loss, sensitivity) * step, dtype=np.float64)


def private_weights(ball: ParameterBall) -> Array:
    """Ask a teacher for its parameters, shape ``(n_scores, n_features)``."""
    # The conversion is inside the guard: NumPy's message would quote what is no number.
    return guarded(lambda: np.atleast_2d(np.asarray(ball.weights(), dtype=np.float64)))


def parameter_labels(plan: ReleasePlan, X: Any, n_jobs: int | None) -> Array:
    """Release the teacher's parameters, and return the soft labels they give on X.

    Parameters
    ----------
    plan : ReleasePlan
        With a ParameterBall. Its price is already charged; without one (`loss` None) the labels
        are those of the parameters as they are.

    Returns
    -------
    labels : ndarray of shape (m, n_classes) or (m,)
        See :func:`labels_of`.
    """
    ball, loss = plan.certificate, plan.label_loss
    if not isinstance(ball, ParameterBall):
        raise TypeError("parameter_labels needs a ParameterBall.")
    weights = private_weights(ball)
    if loss is not None:
        weights = noisy_weights(weights, ball.radius, loss, plan.sampler)
    return labels_of(plan, weights, X, n_jobs)


def labels_of(plan: ReleasePlan, weights: Array, X: Any, n_jobs: int | None) -> Array:
    """Return the soft labels that released parameters give: post-processing.

    Returns
    -------
    labels : ndarray of shape (m, n_classes) or (m,)
        ``link(Φ(X) Wᵀ / temperature)``.
    """
    ball = plan.certificate
    assert isinstance(ball, ParameterBall)

    def label(rows: Any, count: int) -> Array:
        scores = np.asarray(guarded(lambda: ball.features(transformed(ball, rows))) @ weights.T)
        return np.asarray(ball.link(scores / plan.temperature))

    n_outputs = 1 if plan.classes is None else len(plan.classes)
    return in_chunks(label, X, plan.n_rows, n_outputs, plan.classes is not None, n_jobs)
