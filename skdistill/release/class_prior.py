"""The class prior: from private counts for a small price, or from released labels for free."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.lattice import as_outputs
from skdistill.release.plan import ReleasePlan
from skdistill.release.teacher_calls import guarded

__all__ = ["counted_prior", "mean_label", "noisy_counts", "noisy_prior"]

Array = NDArray[np.float64]


# A share that is less certain than this says less than the mean released label does.
_USELESS_SPREAD = 0.03


def noisy_prior(plan: ReleasePlan) -> Array | None:
    """Release the share of each class among the teacher's records, if the plan pays for it."""
    return counted_prior(plan, noisy_counts(plan))


def noisy_counts(plan: ReleasePlan, loss: PrivacyLoss | None = None) -> Array | None:
    """Release the number of the teacher's records of each class, if the plan pays for it.

    Parameters
    ----------
    plan : ReleasePlan
        Its price is already charged.
    loss : PrivacyLoss, optional
        What to release them at, instead of the plan's own share.

    Returns
    -------
    counts : ndarray of shape (n_classes,) or None
        Noisy (exact where the plan has no price). None where the plan does not pay for it.

    Notes
    -----
    Proof. Replacing one record moves at most two integer counts by one each: √2 in L2, 2 in L1.
    The counts plus rounded noise at that sensitivity take PRIOR_SHARE of μ² (Gaussian: μ² adds
    under composition, Dong, Roth and Su 2022, Corollary 3.3) or of ε (Laplace: ε adds).
    """
    counts_of, classes = plan.certificate.class_counts, plan.classes
    if not plan.with_prior or counts_of is None or classes is None:
        return None
    counts = np.nan_to_num(as_outputs(guarded(counts_of), (len(classes),)))
    integers = np.rint(np.clip(counts, 0, 2.0**53)).astype(np.int64)
    loss = loss or plan.prior_loss
    if loss is None:
        return integers.astype(np.float64)
    noisy = plan.sampler.perturb(integers, loss, _moved(loss))
    return np.asarray(noisy, dtype=np.float64)


def counted_prior(plan: ReleasePlan, counts: Array | None) -> Array | None:
    """Make a prior of released counts: clip and normalise. Post-processing.

    Returns
    -------
    prior : ndarray of shape (n_classes,) or None
        Non-negative, sums to 1. None where there are no counts, and where the noise on a share
        has a standard deviation above 0.03 (few records, small ε): the mean released label is the
        better guess then.
    """
    if counts is None:
        return None
    counts = np.clip(counts, 0, None)
    loss = plan.prior_loss
    if loss is not None:
        spread = loss.scale(_moved(loss)) * (math.sqrt(2.0) if loss.kind == "laplace" else 1.0)
        if spread > _USELESS_SPREAD * counts.sum():
            return None
    return _normalised(counts)


def _moved(loss: PrivacyLoss) -> float:
    """How far one record moves the counts: in L1 for Laplace noise, else in L2."""
    return 2.0 if loss.kind == "laplace" else math.sqrt(2.0)


def mean_label(labels: Array, noise_scale: float) -> Array:
    """Return the mean released label as a prior: free, since the labels are released already.

    The known noise of the mean, noise_scale/√m, shrinks it towards the uniform prior by the
    positive-part James-Stein factor (Stein 1956), so that labels that are noise alone give no
    class all the rows.
    """
    m, n_classes = labels.shape
    uniform = np.full(n_classes, 1 / n_classes)
    if m == 0:
        return uniform
    apart = labels.mean(axis=0) - uniform
    apart -= apart.mean()
    distance = float(apart @ apart)
    noise = (n_classes - 1) * noise_scale**2 / m
    keep = max(0.0, 1 - noise / distance) if distance > 0 else 0.0
    return _normalised(np.clip(uniform + keep * apart, 0, None))


def _normalised(weights: Array) -> Array:
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
