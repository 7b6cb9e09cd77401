"""Curves, areas and rates that tell members from non-members, with intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import hypergeom, norm, rankdata
from sklearn.metrics import roc_curve
from sklearn.utils import check_random_state

from skdistill.audit.bounds import clopper_pearson

Array = NDArray[np.float64]


def auc_interval(
    member_scores: ArrayLike, nonmember_scores: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the area under the ROC curve and DeLong's interval for it, on the logit scale.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, computed from ranks (Sun and Xu,
    IEEE Signal Processing Letters 21, 2014). Where the sample area is 0 or 1, its variance is
    estimated as 0; the interval is then that of Clopper and Pearson for min(n, m) disjoint, hence
    independent, pairs in the same order.
    """
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    n, m = len(inside), len(outside)
    check_sizes(n, m)
    together = rankdata(np.concatenate([inside, outside]))
    beats = (together[:n] - rankdata(inside)) / m  # share of non-members below each member
    beaten = 1 - (together[n:] - rankdata(outside)) / n
    auc = float(beats.mean())
    if auc in (0.0, 1.0):
        pairs = min(n, m)
        low, high = clopper_pearson(int(auc) * pairs, pairs, confidence)
        return auc, float(low), float(high)
    variance = beats.var(ddof=1) / n + beaten.var(ddof=1) / m
    half = norm.ppf((1 + confidence) / 2) * math.sqrt(variance) / (auc * (1 - auc))
    return auc, float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def tpr_at_fpr(
    member_scores: ArrayLike, nonmember_scores: ArrayLike, fpr: float, confidence: float = 0.95
) -> tuple[float, float, float, float]:
    """Return the true-positive rate at a false-positive rate, its interval and a p-value.

    Scores strictly above the (k+1)-th highest of the m non-members are called members,
    k = ⌊fpr·m⌋, so that at most k non-members are mistaken. The interval is that of Clopper and
    Pearson at this threshold. With a small k the threshold itself is uncertain (by about 1/√k of
    the rate); the p-value of "no better than chance" is exact all the same.
    """
    # Proof of the p-value. If scores were independent of membership, all orders of the n + m
    # scores would be equally likely. At least h members lie above the (k+1)-th non-member exactly
    # if at least h of the highest h + k are members, whose number is hypergeometric. Ties count
    # against the attack, so the p-value can only be too large.
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    n, m = len(inside), len(outside)
    check_fprs([fpr], m)
    k = math.floor(fpr * m + 1e-9)
    threshold = np.partition(outside, m - 1 - k)[m - 1 - k] if k < m else -math.inf
    hits = int((inside > threshold).sum())
    low, high = clopper_pearson(hits, n, confidence)
    p_value = float(hypergeom.sf(hits - 1, n + m, n, min(hits + k, n + m)))
    return hits / n, float(low), float(high), p_value


def balanced_accuracy_interval(
    member_scores: ArrayLike,
    nonmember_scores: ArrayLike,
    confidence: float = 0.95,
    random_state: Any = None,
) -> tuple[float, float, float]:
    """Return the balanced accuracy of the best threshold and an interval for it.

    The best threshold is chosen on a random half of the scores and measured on the other half,
    since on the same scores chance would look better than 0.5. The interval joins those of Clopper
    and Pearson for the two rates by the square-and-add rule (Zou and Donner, Statistics in
    Medicine 27, 2008).
    """
    rng = check_random_state(random_state)
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    check_sizes(len(inside), len(outside))
    inside, outside = rng.permutation(inside), rng.permutation(outside)
    i, o = len(inside) // 2, len(outside) // 2
    threshold = _best_threshold(inside[:i], outside[:o])
    right = np.array([(inside[i:] > threshold).sum(), (outside[o:] <= threshold).sum()])
    sizes = np.array([len(inside) - i, len(outside) - o])
    rates, (low, high) = right / sizes, clopper_pearson(right, sizes, confidence)
    mean = float(rates.mean())
    below, above = math.hypot(*(rates - low)), math.hypot(*(high - rates))
    return mean, max(mean - below / 2, 0.0), min(mean + above / 2, 1.0)


def _best_threshold(inside: Array, outside: Array) -> float:
    """Return the cut above which "member" is right most often, both kinds counting alike."""
    cuts = np.concatenate([[-np.inf], np.unique(np.concatenate([inside, outside]))])
    hits, alarms = (
        1 - np.searchsorted(np.sort(side), cuts, side="right") / len(side)
        for side in (inside, outside)
    )
    return float(cuts[int(np.argmax(hits - alarms))])


def roc_points(member_scores: ArrayLike, nonmember_scores: ArrayLike) -> tuple[Array, Array]:
    """Return false- and true-positive rates at every threshold, from (0, 0) to (1, 1)."""
    sides = np.asarray(member_scores), np.asarray(nonmember_scores)
    truth = np.repeat([1, 0], list(map(len, sides)))
    fpr, tpr, _ = roc_curve(truth, np.concatenate(sides), drop_intermediate=False)
    return fpr, tpr


def check_sizes(n: int, m: int) -> None:
    """Raise unless there are two members and two non-members at least."""
    if min(n, m) < 2:
        raise ValueError(f"{n} members and {m} non-members to score: two of each are needed.")


def check_fprs(fprs: Sequence[float], m: int, remark: str = "") -> None:
    """Raise for false-positive rates that m non-members cannot show."""
    for fpr in fprs:
        if not 0 < fpr < 1:
            raise ValueError(f"A false-positive rate of {fpr!r} is not between 0 and 1.")
        needed = math.ceil(1 / fpr - 1e-9)
        if m < needed:
            size = 10.0 ** math.floor(math.log10(1 / max(m, 1)))
            possible = min(math.ceil(1 / max(m, 1) / size - 1e-9) * size, 0.5)  # one digit, up
            raise ValueError(
                f"A true-positive rate at {fpr:g} false positives needs at least {needed:,} "
                f"non-members to score; there are {m:,}{remark}. Give more, or ask for larger "
                f"rates, such as fprs=[{possible:g}]."
            )
