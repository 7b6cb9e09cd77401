r"""Lower bounds on ε from attacks: what a mechanism leaks at the least, with stated confidence.

A bound says "if the mechanism were (ε, δ)-differentially private for a smaller ε, this much
success would have had a probability below 1 - confidence". Two experiments give one:

- *two worlds* [1]_: many runs, each on one of two neighbouring data sets; an attack calls each
  run positive or not. Both rates get Clopper-Pearson limits.
- *one run* [2]_: one training run in which every canary was decided by a fair coin of its own; the
  attack guesses the coins it is surest of.

Counts must come from a decision that was fixed beforehand. Where it is chosen by looking at the
outcomes (a threshold, a number of guesses), :func:`two_world_audit` and :func:`one_run_audit`
pay for the search: on runs or canaries of their own, or by a union bound.

References
----------
.. [1] M. Jagielski, J. Ullman, A. Oprea, "Auditing differentially private machine learning: how
   private is private SGD?", NeurIPS 2020, arXiv:2006.07709.
.. [2] T. Steinke, M. Nasr, M. Jagielski, "Privacy auditing with one (1) training run", NeurIPS
   2023, arXiv:2305.08846.
.. [3] M. Nasr et al., "Tight auditing of differentially private machine learning", USENIX
   Security 2023, arXiv:2302.07956.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betainccinv, betaincinv, expit, ndtri
from scipy.stats import binom

__all__ = [
    "OneRunAudit",
    "TwoWorldAudit",
    "clopper_pearson_epsilon",
    "clopper_pearson_mu",
    "one_run_audit",
    "one_run_epsilon",
    "one_run_p_value",
    "two_world_audit",
]

Array = NDArray[np.float64]

# SciPy's binomial and beta functions are good to more digits than this; every result is moved to
# the safe side by it, relatively.
_SLACK = 1e-9
# Parts of the canaries that one_run_audit guesses, where it is not told how many.
_FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
# Thresholds that a hold-out search tries at most.
_MOST_THRESHOLDS = 1_000


# -- One training run --------------------------------------------------------------------------


def one_run_p_value(
    n_canaries: int, n_guesses: int, n_correct: int, *, epsilon: float, delta: float
) -> float:
    r"""Return how likely so many correct guesses are, at most, under (ε, δ)-DP.

    Parameters
    ----------
    n_canaries : int
        Number m of independent fair coins; flipping one of them is one step of the neighbouring
        relation.
    n_guesses : int
        Number r ≤ m of coins guessed; the others are abstained from.
    n_correct : int
        Number v ≤ r of guesses that are right.
    epsilon, delta : float
        The hypothesis: the mechanism is (ε, δ)-differentially private.

    Returns
    -------
    p : float
        In [0, 1]; a small value speaks against the hypothesis.

    Raises
    ------
    ValueError, TypeError
        For counts or parameters that cannot be.

    Notes
    -----
    Theorem 5.2 of [1]_: let S be m fair coins and T, a function of the mechanism's output alone,
    guess at most r of them. If flipping one coin changes the output's law by (ε, δ) at most, then

    .. math::
       P[\#\text{correct} \ge v] \le \beta + 2 m \delta \alpha, \quad
       \beta = P[W \ge v], \quad
       \alpha = \max_{1 \le i \le v} \tfrac1i P[v > W \ge v - i]

    for W ~ Bin(r, e^ε/(1 + e^ε)). (Reason for δ = 0: by Bayes' rule each coin, given the output
    and the other coins, is guessed right with probability e^ε/(1 + e^ε) at most, so W dominates
    the number of right guesses.) Both terms are summed over the number of *wrong* guesses,
    Bin(r, 1/(1 + e^ε)), which keeps all digits for large ε.

    References
    ----------
    .. [1] Steinke, Nasr and Jagielski (2023), arXiv:2305.08846, Theorem 5.2 and appendix D.

    Examples
    --------
    >>> import math
    >>> round(one_run_p_value(100, 100, 75, epsilon=math.log(3), delta=0), 4)
    0.5535
    """
    m, r, v = _check_guesses(n_canaries, n_guesses, n_correct)
    return _p_value(m, r, v, _nonnegative("epsilon", epsilon), _probability("delta", delta))


def one_run_epsilon(
    n_canaries: int, n_guesses: int, n_correct: int, *, delta: float, confidence: float = 0.95
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

    Returns
    -------
    epsilon : float
        0.0 where the guesses show nothing. Rounded down.

    Notes
    -----
    Every ε' with p(ε') ≤ 1 - confidence is rejected; p grows with ε' and falls with the number of
    right guesses, so the largest rejected value, found by bisection, exceeds the true ε only
    where the true ε is rejected itself, which has probability 1 - confidence at most.

    Examples
    --------
    All of 100 guesses right:

    >>> round(one_run_epsilon(100, 100, 100, delta=0), 4)
    3.493
    """
    counts = _check_guesses(n_canaries, n_guesses, n_correct)
    return _one_run_bound(*counts, _probability("delta", delta), _level(confidence), 1)


@lru_cache(maxsize=4096)
def _one_run_bound(m: int, r: int, v: int, delta: float, level: float, group: int) -> float:
    """Return the largest ε that is rejected at this level, or 0."""
    return _largest_rejected(lambda epsilon: _group_p_value(m, r, v, epsilon, delta, group), level)


def _group_p_value(m: int, r: int, v: int, epsilon: float, delta: float, group: int) -> float:
    """p-value where a coin decides about `group` records at once; `epsilon` is that of one.

    Proof. From one value of a coin to the other lead `group` steps of one record each, so flipping
    it is (kε, δ·(1 + e^ε + ... + e^((k-1)ε)))-private (Dwork and Roth 2014, Theorem 2.2).
    """
    if group > 1 and delta > 0:
        with np.errstate(over="ignore"):
            delta = min(1.0, float(delta * np.exp(epsilon * np.arange(group)).sum()))
    return _p_value(m, r, v, group * epsilon, delta)


def _p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    wrong = float(expit(-epsilon))
    p = float(betaincc(r - v + 1, v, wrong)) if v else 1.0  # P[Bin(r, wrong) <= r - v]
    if delta > 0 and p < 1:
        below = np.cumsum(binom.pmf(np.arange(r - v + 1, r + 1), r, wrong))
        p += 2 * m * delta * float((below / np.arange(1, v + 1)).max())
    return min(1.0, p * (1 + _SLACK))


def _largest_rejected(p_value: Callable[[float], float], level: float) -> float:
    """Return the end of the interval [0, ε) on which an increasing p-value is at most `level`."""
    rejected, kept = 0.0, 1.0
    if p_value(0.0) > level:
        return 0.0
    while p_value(kept) <= level:
        rejected, kept = kept, 2 * kept
    for _ in range(48):
        middle = (rejected + kept) / 2
        if p_value(middle) <= level:
            rejected = middle
        else:
            kept = middle
    return rejected


@dataclass(frozen=True)
class OneRunAudit:
    """A lower bound on ε from one run, and the counts it rests on.

    Parameters
    ----------
    epsilon : float
        The lower bound, at the given confidence, with every search paid for.
    delta, confidence : float
        As asked.
    n_canaries, n_guesses, n_correct : int
        Coins that count (without those that a hold-out search used up), guesses, right guesses.
    n_tests : int
        Numbers of guesses that were tried, each at 1/n_tests of the error probability.
    group_size : int
        Records that one coin decides about.
    """

    epsilon: float
    delta: float
    confidence: float
    n_canaries: int
    n_guesses: int
    n_correct: int
    n_tests: int = 1
    group_size: int = 1

    def p_value(self, epsilon: float, delta: float | None = None) -> float:
        """Return the p-value of a claim, with the search paid for.

        Parameters
        ----------
        epsilon : float
            Claimed; infinity claims nothing.
        delta : float, default=None
            Claimed; None is that of the bound.
        """
        epsilon = _nonnegative("epsilon", epsilon)
        delta = self.delta if delta is None else _probability("delta", delta)
        if math.isinf(epsilon):
            return 1.0
        counts = self.n_canaries, self.n_guesses, self.n_correct
        return min(1.0, self.n_tests * _group_p_value(*counts, epsilon, delta, self.group_size))


def one_run_audit(
    scores: ArrayLike,
    members: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
    guesses: str | int | Sequence[int] = "bonferroni",
    middle: float | None = None,
    group_size: int = 1,
) -> OneRunAudit:
    """Guess the coins of one run from scores, and return the lower bound on ε they prove.

    The r guesses go to the scores farthest from their middle: "member" above it, "not" below.

    Parameters
    ----------
    scores : array-like of shape (m,)
        For each canary, computed without looking at the coins; higher speaks for "member". In the
        paired game, "member" is the first of a slot's two records.
    members : array-like of bool, shape (m,)
        The fair coins.
    delta : float
        In [0, 1).
    confidence : float, default=0.95
        Of the bound.
    guesses : {"bonferroni", "holdout"}, int or sequence of int, default="bonferroni"
        How many coins to guess. An int was fixed beforehand and costs nothing. A sequence of
        numbers is tried out, each at 1/len of the error probability ("bonferroni": 5, 10, 20, 50
        and 100 % of the canaries). "holdout" chooses on every other canary, and counts the rest.
    middle : float, default=None
        The score that speaks for neither. None is the middle of the quartiles: between two heaps
        it lies between them, also where the coins fell unequally.
    group_size : int, default=1
        Records that one coin decides about; the bound is for one record, by group privacy.

    Returns
    -------
    OneRunAudit

    Raises
    ------
    ValueError
        For scores that are not finite, lengths that differ, or too few canaries.

    Notes
    -----
    Proof. *Fixed r*: the guesses are a function of the scores, i.e. of the mechanism's output, so
    :func:`one_run_epsilon` applies. *Sequence*: each of the b bounds fails with probability
    (1 - confidence)/b at most, so the largest fails with 1 - confidence at most (Bonferroni).
    *Hold-out*: given the coins of the first half, the mechanism is as private in the other half's,
    which are fair and independent of them, and r is a function of the first half and the output:
    the theorem holds for the other half alone, with its number of canaries.

    Examples
    --------
    >>> import numpy as np
    >>> coins = np.random.default_rng(0).random(1000) < 0.5
    >>> audit = one_run_audit(np.where(coins, 0.9, 0.1), coins, delta=1e-6)
    >>> audit.n_correct, audit.epsilon > 5
    (1000, True)
    """
    scores, coins = _scores_and_coins(scores, members)
    delta, level = _probability("delta", delta), _level(confidence)
    group_size = _whole("group_size", group_size, 1)
    m, n_tests = len(scores), 1
    if middle is None:
        middle = float(np.quantile(scores, [0.25, 0.75]).mean())
    if isinstance(guesses, str) and guesses == "holdout":
        first, scores, coins = (scores[::2], coins[::2]), scores[1::2], coins[1::2]
        if not len(scores):
            raise ValueError("Two canaries at least are needed to hold one half out.")
        candidates = [max(1, round(len(scores) * f)) for f in (1 / 64, 1 / 32, *_FRACTIONS)]
        m = len(scores)
        tried = [(len(first[0]), r, _n_correct(*first, middle, r)) for r in candidates]
        numbers = [candidates[_best(tried, delta, level, group_size)[0]]]
    elif isinstance(guesses, str) and guesses == "bonferroni":
        numbers = sorted({max(1, round(m * f)) for f in _FRACTIONS})
        n_tests = len(numbers)
    elif isinstance(guesses, str):
        raise ValueError(
            f'guesses={guesses!r} must be "bonferroni", "holdout", a number, or several numbers.'
        )
    else:
        numbers = np.ravel(np.asarray(guesses, dtype=object)).tolist()
        n_tests = len(numbers)
        if not numbers:
            raise ValueError("guesses is empty: give at least one number of guesses.")
    counts = [_check_guesses(m, r, _n_correct(scores, coins, middle, r)) for r in numbers]
    best, bound = _best(counts, delta, level / n_tests, group_size)
    return OneRunAudit(bound, delta, float(confidence), *counts[best], n_tests, group_size)


def _best(
    counts: list[tuple[int, int, int]], delta: float, level: float, group: int
) -> tuple[int, float]:
    """Return which counts show the largest ε, and that bound; the smallest p-value if none does."""
    bounds = [_one_run_bound(*each, delta, level, group) for each in counts]
    against = [-_group_p_value(*each, 0.0, delta, group) for each in counts]
    best = max(range(len(counts)), key=lambda i: (bounds[i], against[i]))
    return best, bounds[best]


def _n_correct(scores: Array, coins: NDArray[np.bool_], middle: float, r: int) -> int:
    """Count the right ones of the r guesses that are farthest from the middle."""
    r = _whole("guesses", r, 0)
    if r > len(scores):
        raise ValueError(
            f"{r} guesses were asked for, and there are {len(scores)} canaries to guess."
        )
    farthest = np.argsort(-np.abs(scores - middle), kind="stable")[:r]
    return int(((scores >= middle) == coins)[farthest].sum())


# -- Two worlds --------------------------------------------------------------------------------


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
    true_positives, n_positives : int or array-like of int
        Independent runs in the first world: those called positive, and all.
    false_positives, n_negatives : int or array-like of int
        The same for the second world, a neighbour of the first.
    delta : float
        In [0, 1).
    confidence : float, default=0.95
        The bound is at most the true ε with this probability (each of them, for arrays).

    Returns
    -------
    epsilon : float or ndarray of float
        0.0 where the counts show nothing. Rounded down.

    Raises
    ------
    ValueError, TypeError
        For counts or parameters that cannot be.

    Notes
    -----
    Proof. For an (ε, δ)-DP mechanism every event E has P(E) ≤ e^ε Q(E) + δ. With α = 1 -
    confidence, the Clopper-Pearson limits t ≤ TPR and f ≥ FPR fail with probability α/2 each
    (Clopper and Pearson 1934), so with probability 1 - α both hold, and then
    ε ≥ log((t - δ)/f) by the event and ε ≥ log((1 - f - δ)/(1 - t)) by its complement: the same
    two limits serve both.

    References
    ----------
    .. [1] Jagielski, Ullman and Oprea (2020), arXiv:2006.07709.

    Examples
    --------
    >>> round(clopper_pearson_epsilon(900, 1000, 100, 1000, delta=0), 2)
    1.99
    """
    tpr, fnr, fpr, tnr = _limits(
        true_positives, n_positives, false_positives, n_negatives, confidence
    )
    delta = _probability("delta", delta)
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
    :func:`clopper_pearson_epsilon`: any threshold shows all of μ.

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

    Notes
    -----
    Proof. A μ-GDP mechanism allows no test with Φ⁻¹(TPR) - Φ⁻¹(FPR) > μ (Dong, Roth and Su 2022,
    arXiv:1905.02383, Definition 4: its trade-off function is Φ(Φ⁻¹(1 - a) - μ)); put in the two
    Clopper-Pearson limits, which hold together with the given confidence [1]_.

    References
    ----------
    .. [1] Nasr et al. (2023), arXiv:2302.07956, section 4.

    Examples
    --------
    >>> round(clopper_pearson_mu(841, 1000, 159, 1000), 2)
    1.81
    """
    tpr, _, fpr, _ = _limits(true_positives, n_positives, false_positives, n_negatives, confidence)
    with np.errstate(invalid="ignore"):  # limits of 0 and 1 show nothing
        shown = np.nan_to_num(ndtri(tpr) - ndtri(fpr), nan=0.0)
    bound = np.maximum(0.0, shown * (1 - _SLACK) - _SLACK)
    return float(bound) if bound.ndim == 0 else bound


def _limits(
    true_positives: ArrayLike,
    n_positives: ArrayLike,
    false_positives: ArrayLike,
    n_negatives: ArrayLike,
    confidence: float,
) -> tuple[Array, Array, Array, Array]:
    """Return t ≤ TPR, 1 - t ≥ FNR, f ≥ FPR and 1 - f ≤ TNR, that hold together."""
    level = _level(confidence) / 2
    hits, n = _counts("true_positives", true_positives, "n_positives", n_positives)
    alarms, k = _counts("false_positives", false_positives, "n_negatives", n_negatives)
    return (
        _smallest_rate(hits, n, level),
        _largest_rate(n - hits, n, level),
        _largest_rate(alarms, k, level),
        _smallest_rate(k - alarms, k, level),
    )


def _smallest_rate(hits: Array, n: Array, level: float) -> Array:
    """Lower Clopper-Pearson limit; 0 for no hits."""
    limit = betaincinv(np.maximum(hits, 1), n - np.maximum(hits, 1) + 1, level)
    return np.where(hits > 0, limit, 0.0)


def _largest_rate(hits: Array, n: Array, level: float) -> Array:
    """Upper Clopper-Pearson limit; 1 where all are hits."""
    limit = betainccinv(np.minimum(hits, n - 1) + 1, n - np.minimum(hits, n - 1), level)
    return np.where(hits < n, limit, 1.0)


@dataclass(frozen=True)
class TwoWorldAudit:
    """A lower bound on ε from many runs in two worlds, and the counts it rests on.

    Parameters
    ----------
    epsilon : float
        The lower bound, at the given confidence, with every search paid for.
    delta, confidence : float
        As asked.
    threshold : float
        A run is positive where its score is at least this.
    true_positives, n_positives, false_positives, n_negatives : int
        Counts at that threshold (without the runs that a hold-out search used up).
    n_tests : int
        Thresholds that were tried, each at 1/n_tests of the error probability.
    """

    epsilon: float
    delta: float
    confidence: float
    threshold: float
    true_positives: int
    n_positives: int
    false_positives: int
    n_negatives: int
    n_tests: int = 1

    @property
    def mu(self) -> float:
        """Lower bound on μ, where the claim is Gaussian DP, from the same counts."""
        level = (1 - self.confidence) / self.n_tests
        counts = self.true_positives, self.n_positives, self.false_positives, self.n_negatives
        return float(clopper_pearson_mu(*counts, confidence=1 - level))


def two_world_audit(
    scores_in: ArrayLike,
    scores_out: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
    threshold: str | float | Sequence[float] = "holdout",
) -> TwoWorldAudit:
    """Tell two worlds apart by the scores of runs in each, and return the bound on ε they prove.

    Parameters
    ----------
    scores_in, scores_out : array-like of shape (n_in,), (n_out,)
        One score for each run, independent and in no order; higher speaks for the first world.
        Infinite scores are allowed.
    delta : float
        In [0, 1).
    confidence : float, default=0.95
        Of the bound.
    threshold : {"holdout"}, float or sequence of float, default="holdout"
        From which score on a run is called positive. A float was fixed beforehand and costs
        nothing. A sequence of floats (fixed beforehand) is tried out, each at 1/len of the error
        probability. "holdout" chooses on every other run, and counts the rest.

    Returns
    -------
    TwoWorldAudit

    Raises
    ------
    ValueError
        For scores that are NaN, or too few runs.

    Notes
    -----
    Proof. *Fixed threshold*: :func:`clopper_pearson_epsilon`. *Sequence*: each of the b bounds
    fails with probability (1 - confidence)/b at most, so the largest does with 1 - confidence at
    most (Bonferroni). *Hold-out*: the runs that are counted are independent of the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> audit = two_world_audit(rng.normal(1, size=4000), rng.normal(size=4000), delta=1e-3)
    >>> 1 < audit.epsilon < 4.1 and 0.7 < audit.mu < 1.05
    True
    """
    inside, outside = (
        _run_scores(name, scores)
        for name, scores in (("scores_in", scores_in), ("scores_out", scores_out))
    )
    delta, level = _probability("delta", delta), _level(confidence)
    if isinstance(threshold, str) and threshold == "holdout":
        if min(len(inside), len(outside)) < 2:
            raise ValueError("Two runs in each world at least are needed to hold one half out.")
        first = inside[::2], outside[::2]
        inside, outside = inside[1::2], outside[1::2]
        candidates = _candidates(np.concatenate(first))
        counts = _positives(*first, candidates)
        bounds = clopper_pearson_epsilon(*counts, delta=delta, confidence=1 - level)
        # Where no ε shows yet, the best guess is the threshold with the largest difference.
        distance = np.abs(counts[0] / len(first[0]) - counts[2] / len(first[1]))
        thresholds = candidates[[np.lexsort((distance, bounds))[-1]]]
    elif isinstance(threshold, str):
        raise ValueError(f'threshold={threshold!r} must be "holdout", a number, or several.')
    else:
        thresholds = np.atleast_1d(np.asarray(threshold, dtype=np.float64)).ravel()
        if not thresholds.size or np.isnan(thresholds).any():
            raise ValueError(f"threshold={threshold!r} must be one number or several, none NaN.")
    counts = _positives(inside, outside, thresholds)
    n_tests = len(thresholds)
    bounds = clopper_pearson_epsilon(*counts, delta=delta, confidence=1 - level / n_tests)
    best = int(np.argmax(bounds))
    return TwoWorldAudit(
        float(bounds[best]),
        delta,
        float(confidence),
        float(thresholds[best]),
        int(counts[0][best]),
        len(inside),
        int(counts[2][best]),
        len(outside),
        n_tests,
    )


def _positives(inside: Array, outside: Array, thresholds: Array) -> tuple[Any, int, Any, int]:
    """Count the scores that reach each threshold, in both worlds."""
    hits, alarms = (
        len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
        for scores in (inside, outside)
    )
    return hits, len(inside), alarms, len(outside)


def _candidates(scores: Array) -> Array:
    """Return thresholds to choose from: the scores themselves, or as many of their quantiles."""
    distinct = np.unique(scores)
    step = -(-len(distinct) // _MOST_THRESHOLDS)
    return distinct[::step]


# -- Checks ------------------------------------------------------------------------------------


def _check_guesses(n_canaries: Any, n_guesses: Any, n_correct: Any) -> tuple[int, int, int]:
    m = _whole("n_canaries", n_canaries, 1)
    r = _whole("n_guesses", n_guesses, 0)
    v = _whole("n_correct", n_correct, 0)
    if not v <= r <= m:
        raise ValueError(
            f"n_canaries={m}, n_guesses={r}, n_correct={v} cannot be: n_correct <= n_guesses <= "
            "n_canaries must hold."
        )
    return m, r, v


def _counts(name: str, hits: Any, of: str, n: Any) -> tuple[Array, Array]:
    """Return counts as float arrays, or raise."""
    counts, totals = np.asarray(hits), np.asarray(n)
    for what, values in ((name, counts), (of, totals)):
        if values.dtype.kind not in "iu":
            raise TypeError(f"{what} must be a whole number or an array of them, got {values!r}.")
    if (totals < 1).any() or (counts < 0).any() or (counts > totals).any():
        raise ValueError(
            f"{name}={hits!r} of {of}={n!r} cannot be: 0 <= {name} <= {of} must hold, and {of} "
            "must be at least 1."
        )
    return counts.astype(np.float64), totals.astype(np.float64)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r} must be a whole number.")
    if value < least:
        raise ValueError(f"{name}={value!r} must be at least {least}.")
    return int(value)


def _nonnegative(name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} must be a number.")
    number = float(value)
    if not number >= 0:
        raise ValueError(f"{name}={value!r} must be at least 0.")
    return number


def _probability(name: str, value: Any) -> float:
    number = _nonnegative(name, value)
    if number >= 1:
        raise ValueError(f"{name}={value!r} must be in [0, 1).")
    return number


def _level(confidence: Any) -> float:
    """Return the error probability that belongs to a confidence, or raise."""
    number = _nonnegative("confidence", confidence)
    if not 0 < number < 1:
        raise ValueError(f"confidence={confidence!r} must be between 0 and 1, such as 0.95.")
    return 1 - number


def _scores_and_coins(scores: Any, members: Any) -> tuple[Array, NDArray[np.bool_]]:
    values, coins = np.asarray(scores, dtype=np.float64), np.asarray(members)
    if values.ndim != 1 or values.shape != coins.shape or not len(values):
        raise ValueError(
            f"scores (shape {values.shape}) and members (shape {coins.shape}) must be of one "
            "dimension and of the same length, at least 1."
        )
    if coins.dtype != bool and not np.isin(coins, (0, 1)).all():
        raise ValueError("members must be booleans: which canaries the coins put in.")
    if np.isnan(values).any():
        raise ValueError(
            "Some scores are NaN. Give a canary without a score the middle of the others."
        )
    if np.isinf(values).any():
        raise ValueError("Some scores are infinite. Clip them.")
    return values, coins.astype(bool)


def _run_scores(name: str, scores: Any) -> Array:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError(
            f"{name} must hold one number for each run, none NaN; shape {values.shape}."
        )
    return values
