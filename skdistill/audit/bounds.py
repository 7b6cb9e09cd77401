r"""Lower bounds on ε from counts: how much a mechanism leaks at least, with stated confidence.

A bound says: if the mechanism were (ε, δ)-differentially private for a smaller ε, so many right
guesses would have had a probability below 1 - confidence. Two experiments give such counts:

- *two worlds* (Jagielski, Ullman and Oprea, NeurIPS 2020, arXiv:2006.07709): many runs, each on one
  of two neighbouring data sets. An attack calls each run positive or negative, and both rates get
  Clopper-Pearson limits.
- *one run* (Steinke, Nasr and Jagielski, NeurIPS 2023, arXiv:2305.08846): one training run in which
  a fair coin decided each canary. The attack guesses the coins of which it is most certain.

The counts must come from a decision that was fixed beforehand. A threshold or a number of guesses
that is chosen in view of the outcomes must be paid for: see :mod:`skdistill.audit.experiments`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betainccinv, betaincinv, expit, ndtri
from scipy.stats import binom

from skdistill._numbers import check_number, check_whole

Array = NDArray[np.float64]

# More than the errors of SciPy's functions: every result is moved to the safe side by it.
_SLACK = 1e-9


def one_run_p_value(
    n_canaries: int,
    n_guesses: int,
    n_correct: int,
    *,
    epsilon: float,
    delta: float,
    group_size: int = 1,
) -> float:
    r"""Return an upper bound on the probability of so many right guesses under (ε, δ)-DP.

    Parameters
    ----------
    n_canaries, n_guesses, n_correct : int
        Number m of independent fair coins, number r ≤ m of guesses, number v ≤ r of right ones.
    epsilon, delta : float
        The hypothesis: the mechanism is (ε, δ)-differentially private.
    group_size : int, default=1
        Records that flipping one coin replaces.

    Returns
    -------
    p : float
        In [0, 1]; a small value speaks against the hypothesis.

    Notes
    -----
    Theorem 5.2 of Steinke, Nasr and Jagielski (2023): let S be m fair coins and T, a function of
    the mechanism's output alone, guess at most r of them. If flipping one coin changes the output's
    law by (ε, δ) at most, then

    .. math::
       P[\#\text{correct} \ge v] \le \beta + 2 m \delta \alpha, \quad
       \beta = P[W \ge v], \quad
       \alpha = \max_{1 \le i \le v} \tfrac1i P[v > W \ge v - i]

    for W ~ Bin(r, e^ε/(1 + e^ε)). A coin that decides about k records is
    (kε, δ·(1 + e^ε + ... + e^((k-1)ε)))-private (Dwork and Roth 2014, Theorem 2.2).

    Examples
    --------
    >>> import math
    >>> round(one_run_p_value(100, 100, 75, epsilon=math.log(3), delta=0), 4)
    0.5535
    """
    counts = _check_guesses(n_canaries, n_guesses, n_correct)
    epsilon = check_number("epsilon", epsilon, "at least 0", lambda v: v >= 0)
    return _p_value(*counts, epsilon, check_delta(delta), check_whole("group_size", group_size, 1))


def _p_value(m: int, r: int, v: int, epsilon: float, delta: float, group: int) -> float:
    # Both terms are summed over the number of wrong guesses, Bin(r, 1/(1 + e^ε)), to keep digits.
    if math.isinf(epsilon) or v == 0:
        return 1.0
    wrong = float(expit(-group * epsilon))
    p = float(betaincc(r - v + 1, v, wrong))  # P[Bin(r, wrong) <= r - v]
    if delta > 0 and p < 1:
        if group > 1:
            with np.errstate(over="ignore"):
                delta = min(1.0, float(delta * np.exp(epsilon * np.arange(group)).sum()))
        below = np.cumsum(binom.pmf(np.arange(r - v + 1, r + 1), r, wrong))
        p += 2 * m * delta * float((below / np.arange(1, v + 1)).max())
    return min(1.0, p * (1 + _SLACK))


def one_run_epsilon(
    n_canaries: int,
    n_guesses: int,
    n_correct: int,
    *,
    delta: float,
    confidence: float = 0.95,
    group_size: int = 1,
) -> float:
    r"""Return a lower bound on ε from the guesses of one training run.

    Parameters
    ----------
    n_canaries, n_guesses, n_correct : int
        As for :func:`one_run_p_value`; `n_guesses` was fixed before the coins were looked at.
    delta : float
        In [0, 1): the bound is on the ε for this δ.
    confidence : float, default=0.95
        The bound is at most the true ε with this probability.
    group_size : int, default=1
        As there. The bound is for one record.

    Returns
    -------
    epsilon : float
        The largest ε with a p-value of 1 - confidence or less, rounded down; 0.0 for none.

    Examples
    --------
    >>> round(one_run_epsilon(100, 100, 100, delta=0), 4)
    3.493
    """
    # Proof. The p-value grows with ε, so a bound above the true ε means that the true ε is
    # rejected, which has probability 1 - confidence at most.
    counts = _check_guesses(n_canaries, n_guesses, n_correct)
    delta, level = check_delta(delta), check_confidence(confidence)
    return _largest_rejected(*counts, delta, level, check_whole("group_size", group_size, 1))


@lru_cache(maxsize=4096)
def _largest_rejected(m: int, r: int, v: int, delta: float, level: float, group: int) -> float:
    """Return the end of the interval [0, ε) on which the p-value is at most `level`."""

    def is_rejected(epsilon: float) -> bool:
        return _p_value(m, r, v, epsilon, delta, group) <= level

    rejected, kept = 0.0, 1.0
    if not is_rejected(0.0):
        return 0.0
    while is_rejected(kept):
        rejected, kept = kept, 2 * kept
    for _ in range(48):
        middle = (rejected + kept) / 2
        rejected, kept = (middle, kept) if is_rejected(middle) else (rejected, middle)
    return rejected


def clopper_pearson(hits: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """Return the two-sided interval of Clopper and Pearson (1934) for a rate."""
    hits, n = np.asarray(hits, dtype=float), np.asarray(n, dtype=float)
    tail, some, most = (1 - confidence) / 2, np.maximum(hits, 1), np.minimum(hits, n - 1)
    low = np.where(hits > 0, betaincinv(some, n - some + 1, tail), 0.0)
    return low, np.where(hits < n, betainccinv(most + 1, n - most, tail), 1.0)


def clopper_pearson_epsilon(
    true_positives: ArrayLike,
    n_positives: ArrayLike,
    false_positives: ArrayLike,
    n_negatives: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
) -> Any:
    r"""Return a lower bound on ε from the error counts of a test between two worlds.

    Parameters
    ----------
    true_positives, n_positives, false_positives, n_negatives : int or array-like of int
        Independent runs in the first world, those called positive and all; and in its neighbour.
    delta : float
        In [0, 1).
    confidence : float, default=0.95
        The bound is at most the true ε with this probability (each of them, for arrays).

    Returns
    -------
    epsilon : float or ndarray of float
        0.0 where the counts show nothing. Rounded down.

    Examples
    --------
    >>> round(clopper_pearson_epsilon(900, 1000, 100, 1000, delta=0), 2)
    1.99
    """
    # Proof. For an (ε, δ)-DP mechanism every event E has P(E) ≤ e^ε Q(E) + δ. The limits t ≤ TPR
    # and f ≥ FPR fail with probability (1 - confidence)/2 each. Where both hold,
    # ε ≥ log((t - δ)/f) by the event and ε ≥ log((1 - f - δ)/(1 - t)) by its complement.
    counts = true_positives, n_positives, false_positives, n_negatives
    (tpr, fnr, fpr, tnr), delta = _limits(*counts, confidence), check_delta(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum((tpr - delta) / fpr, (tnr - delta) / fnr) * (1 - _SLACK)
        bound = np.log(np.maximum(ratio, 1.0))
    return float(bound) if bound.ndim == 0 else bound


def clopper_pearson_mu(
    true_positives: ArrayLike,
    n_positives: ArrayLike,
    false_positives: ArrayLike,
    n_negatives: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Any:
    r"""Return a lower bound on the Gaussian-DP parameter μ from a test between two worlds.

    Where a claim is μ-GDP (``privacy_.mu`` of a statement), this is far sharper than
    :func:`clopper_pearson_epsilon`, because every threshold can show all of μ (Nasr et al., USENIX
    Security 2023, arXiv:2302.07956, section 4).

    Parameters
    ----------
    true_positives, n_positives, false_positives, n_negatives : int or array-like of int
        As for :func:`clopper_pearson_epsilon`.
    confidence : float, default=0.95
        Of the bound.

    Returns
    -------
    mu : float or ndarray of float
        0.0 where the counts show nothing. Rounded down.

    Examples
    --------
    >>> round(clopper_pearson_mu(841, 1000, 159, 1000), 2)
    1.81
    """
    # Proof. A μ-GDP mechanism allows no test with Φ⁻¹(TPR) - Φ⁻¹(FPR) > μ, since its trade-off
    # function is Φ(Φ⁻¹(1 - a) - μ) (Dong, Roth and Su 2022, arXiv:1905.02383, Definition 4). Both
    # limits hold together with the given confidence.
    tpr, _, fpr, _ = _limits(true_positives, n_positives, false_positives, n_negatives, confidence)
    with np.errstate(invalid="ignore"):  # limits of 0 and 1 show nothing
        shown = np.nan_to_num(ndtri(tpr) - ndtri(fpr), nan=0.0)
    bound = np.maximum(0.0, shown * (1 - _SLACK) - _SLACK)
    return float(bound) if bound.ndim == 0 else bound


def _limits(
    true_positives: Any, n_positives: Any, false_positives: Any, n_negatives: Any, confidence: Any
) -> tuple[Array, Array, Array, Array]:
    """Return t ≤ TPR, 1 - t ≥ FNR, f ≥ FPR and 1 - f ≤ TNR, that hold together."""
    check_confidence(confidence)
    hits, n = _check_counts("true_positives", true_positives, "n_positives", n_positives)
    alarms, k = _check_counts("false_positives", false_positives, "n_negatives", n_negatives)
    return (
        clopper_pearson(hits, n, confidence)[0],
        clopper_pearson(n - hits, n, confidence)[1],  # 1 - t would lose digits
        clopper_pearson(alarms, k, confidence)[1],
        clopper_pearson(k - alarms, k, confidence)[0],
    )


def _check_guesses(n_canaries: Any, n_guesses: Any, n_correct: Any) -> tuple[int, int, int]:
    m, r = check_whole("n_canaries", n_canaries, 1), check_whole("n_guesses", n_guesses, 0)
    v = check_whole("n_correct", n_correct, 0)
    if not v <= r <= m:
        raise ValueError(f"n_correct={v} <= n_guesses={r} <= n_canaries={m} must hold.")
    return m, r, v


def _check_counts(name: str, hits: Any, of: str, n: Any) -> tuple[Any, Any]:
    counts, totals = np.asarray(hits), np.asarray(n)
    for label, values in ((name, counts), (of, totals)):
        if values.dtype.kind not in "iu":
            raise TypeError(f"{label} must be a whole number or an array of them, got {values!r}.")
    if (totals < 1).any() or (counts < 0).any() or (counts > totals).any():
        raise ValueError(f"0 <= {name}={hits!r} <= {of}={n!r} and {of} >= 1 must hold.")
    return counts.astype(np.float64), totals.astype(np.float64)


def check_delta(delta: Any) -> float:
    """Return δ as a number in [0, 1), or raise TypeError or ValueError."""
    return check_number("delta", delta, "in [0, 1)", lambda v: 0 <= v < 1)


def check_confidence(confidence: Any) -> float:
    """Return the error probability 1 - confidence, or raise TypeError or ValueError."""
    allowed = "between 0 and 1, such as 0.95"
    return 1 - check_number("confidence", confidence, allowed, lambda v: 0 < v < 1)
