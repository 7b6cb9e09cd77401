"""From scores to lower bounds on ε: the choice of a threshold or a number of guesses is paid for.

*Union bound*: each of b choices, fixed beforehand, is tested at 1/b of the error probability
(Bonferroni). *Hold-out*, in two worlds: the choice is made on every other run, and the bound counts
the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill._numbers import check_whole
from skdistill.audit.bounds import (
    check_confidence,
    check_delta,
    clopper_pearson_epsilon,
    clopper_pearson_mu,
    one_run_epsilon,
    one_run_p_value,
)

Array = NDArray[np.float64]
Coins = NDArray[np.bool_]

# Parts of the canaries that one_run_audit guesses by default.
_FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
# Thresholds that a hold-out search tries at most.
_MOST_THRESHOLDS = 1_000


@dataclass(frozen=True)
class OneRunAudit:
    """A lower bound on ε from one run, and the counts it rests on.

    Parameters
    ----------
    epsilon : float
        The lower bound, at the given confidence, with every search paid for.
    delta, confidence : float
        As given.
    n_canaries, n_guesses, n_correct, n_tests, group_size : int
        Coins, guesses, right guesses, numbers of guesses that were tried (each at 1/n_tests of the
        error probability), and records that one coin decides about.

    Examples
    --------
    >>> from skdistill.audit import OneRunAudit
    >>> audit = OneRunAudit(0.2, 0.0, 0.95, n_canaries=100, n_guesses=100, n_correct=62)
    >>> audit.p_value(1.0) > 0.05  # the counts do not refute ε = 1
    True
    """

    epsilon: float
    delta: float
    confidence: float
    n_canaries: int
    n_guesses: int
    n_correct: int
    n_tests: int = 1
    group_size: int = 1

    def p_value(self, epsilon: float) -> float:
        """Return the p-value of a claim at the bound's δ, with the search paid for.

        Parameters
        ----------
        epsilon : float
            Claimed; infinity claims nothing.

        Returns
        -------
        p : float
            In [0, 1]; a small one refutes the claim.
        """
        counts = self.n_canaries, self.n_guesses, self.n_correct
        claim: dict[str, Any] = {"epsilon": epsilon, "delta": self.delta}
        claim["group_size"] = self.group_size
        return min(1.0, self.n_tests * one_run_p_value(*counts, **claim))


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
        One for each canary, computed without looking at the coins. Higher speaks for "member",
        which in a game of pairs is the first record of a slot.
    members : array-like of bool, shape (m,)
        The fair coins.
    delta, confidence : float
        Of the bound; δ in [0, 1).
    guesses : "bonferroni", int or sequence of int, default="bonferroni"
        How many coins to guess. An int was fixed beforehand and costs nothing. A sequence of
        numbers is tried out, each at 1/len of the error probability ("bonferroni": 5, 10, 20, 50
        and 100 % of the canaries).
    middle : float, default=None
        The score that speaks for neither. None takes the middle between the quartiles, which
        separates two clusters of scores even where the coins fell unequally.
    group_size : int, default=1
        Records that one coin decides about. The bound is for one record, by group privacy.

    Returns
    -------
    audit : OneRunAudit
        The bound, and the guesses behind it.

    Examples
    --------
    >>> import numpy as np
    >>> coins = np.random.default_rng(0).random(1000) < 0.5
    >>> audit = one_run_audit(np.where(coins, 0.9, 0.1), coins, delta=1e-6)
    >>> audit.n_correct, audit.epsilon > 5
    (1000, True)
    """
    # Proof. Fixed r: the guesses are a function of the scores, that is, of the mechanism's output,
    # so one_run_epsilon applies. Sequence: each of b bounds fails with probability
    # (1 - confidence)/b at most, so the largest fails with 1 - confidence at most.
    scores, coins = _check_scores(scores, members)
    delta, level = check_delta(delta), check_confidence(confidence)
    test: dict[str, Any] = {"delta": delta, "group_size": group_size}
    if middle is None:
        middle = float(np.quantile(scores, [0.25, 0.75]).mean())
    if not isinstance(guesses, str):
        numbers = np.ravel(np.asarray(guesses, dtype=object)).tolist()
    elif guesses == "bonferroni":
        numbers = [max(1, round(len(scores) * fraction)) for fraction in _FRACTIONS]
    else:
        raise ValueError(f'guesses={guesses!r} must be "bonferroni", a number, or several numbers.')
    if not numbers:
        raise ValueError("guesses is empty: give at least one number of guesses.")
    n_tests = len(set(numbers))

    def strength(counts: tuple[int, int, int]) -> tuple[float, float]:
        """Return the bound; where none shows anything, the smallest p-value is taken."""
        bound = one_run_epsilon(*counts, confidence=1 - level / n_tests, **test)
        return bound, -one_run_p_value(*counts, epsilon=0.0, **test)

    every = [(len(scores), r, _n_correct(scores, coins, middle, r)) for r in numbers]
    best = max(every, key=strength)
    return OneRunAudit(strength(best)[0], delta, float(confidence), *best, n_tests, group_size)


def _n_correct(scores: Array, coins: Coins, middle: float, r: int) -> int:
    """Count the right ones of the r guesses that are farthest from the middle."""
    if check_whole("guesses", r, 0) > len(scores):
        raise ValueError(f"{r} guesses were asked for, and there are {len(scores)} canaries.")
    farthest = np.argsort(-np.abs(scores - middle), kind="stable")[:r]
    return int(((scores >= middle) == coins)[farthest].sum())


def _check_scores(scores: Any, members: Any) -> tuple[Array, Coins]:
    values, coins = np.asarray(scores, dtype=np.float64), np.asarray(members)
    if values.ndim != 1 or values.shape != coins.shape or not len(values):
        raise ValueError(
            f"scores {values.shape}, members {coins.shape}: must be of the same length, at least 1."
        )
    if coins.dtype != bool and not np.isin(coins, (0, 1)).all():
        raise ValueError("members must be booleans: which canaries the coins put in.")
    if not np.isfinite(values).all():
        raise ValueError(
            "Some scores are NaN or infinite. Give them the middle of the others, or clip."
        )
    return values, coins.astype(bool)


@dataclass(frozen=True)
class TwoWorldAudit:
    """A lower bound on ε from many runs in two worlds, and the counts it rests on.

    Parameters
    ----------
    epsilon : float
        The lower bound, at the given confidence, with every search paid for.
    delta, confidence : float
        As given.
    threshold : float
        A run is positive where its score is at least this.
    true_positives, n_positives, false_positives, n_negatives : int
        Counts at that threshold (without the runs that a hold-out search used up).
    n_tests : int
        Thresholds that were tried, each at 1/n_tests of the error probability.

    Examples
    --------
    >>> from skdistill.audit import TwoWorldAudit
    >>> audit = TwoWorldAudit(1.99, 0.0, 0.95, 0.5, 900, 1000, 100, 1000)
    >>> round(audit.mu, 2)
    2.35
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
    delta, confidence : float
        Of the bound; δ in [0, 1).
    threshold : {"holdout"}, float or sequence of float, default="holdout"
        From which score on a run is called positive. A float was fixed beforehand and costs
        nothing. A sequence of floats (fixed beforehand) is tried out, each at 1/len of the error
        probability. "holdout" chooses on every other run, and counts the rest.

    Returns
    -------
    audit : TwoWorldAudit
        The bound, and the counts behind it.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> audit = two_world_audit(rng.normal(1, size=4000), rng.normal(size=4000), delta=1e-3)
    >>> 1 < audit.epsilon < 4.1 and 0.7 < audit.mu < 1.05
    True
    """
    # Proof. Fixed threshold: clopper_pearson_epsilon. Sequence: each of b bounds fails with
    # probability (1 - confidence)/b at most, so the largest does with 1 - confidence at most.
    # Hold-out: the runs that are counted are independent of the threshold.
    inside, outside = _check_runs("scores_in", scores_in), _check_runs("scores_out", scores_out)
    delta, level = check_delta(delta), check_confidence(confidence)
    if not isinstance(threshold, str):
        thresholds = np.atleast_1d(np.asarray(threshold, dtype=np.float64)).ravel()
        if not thresholds.size or np.isnan(thresholds).any():
            raise ValueError(f"threshold={threshold!r} must be one number or several, none NaN.")
    elif threshold != "holdout":
        raise ValueError(f'threshold={threshold!r} must be "holdout", a number, or several.')
    elif min(len(inside), len(outside)) < 2:
        raise ValueError("Two runs in each world at least are needed to hold one half out.")
    else:
        thresholds = _chosen_threshold(inside[::2], outside[::2], delta, 1 - level)
        inside, outside = inside[1::2], outside[1::2]
    hits, n, alarms, k = _positives(inside, outside, thresholds)
    n_tests = len(thresholds)
    each = 1 - level / n_tests
    bounds = clopper_pearson_epsilon(hits, n, alarms, k, delta=delta, confidence=each)
    best = int(np.argmax(bounds))
    figures = float(bounds[best]), delta, float(confidence), float(thresholds[best])
    return TwoWorldAudit(*figures, int(hits[best]), n, int(alarms[best]), k, n_tests)


def _chosen_threshold(inside: Array, outside: Array, delta: float, confidence: float) -> Array:
    """Return the one threshold, as an array, that shows the largest ε in these runs."""
    distinct = np.unique(np.concatenate([inside, outside]))
    thresholds = distinct[:: -(-len(distinct) // _MOST_THRESHOLDS)]
    hits, n, alarms, k = _positives(inside, outside, thresholds)
    bounds = clopper_pearson_epsilon(hits, n, alarms, k, delta=delta, confidence=confidence)
    # Where no ε shows yet, the best guess is the threshold with the largest difference.
    return thresholds[[np.lexsort((np.abs(hits / n - alarms / k), bounds))[-1]]]


def _positives(inside: Array, outside: Array, thresholds: Array) -> tuple[Any, int, Any, int]:
    """Count the scores that reach each threshold, in both worlds."""
    hits, alarms = (
        len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
        for scores in (inside, outside)
    )
    return hits, len(inside), alarms, len(outside)


def _check_runs(name: str, scores: Any) -> Array:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError(
            f"{name} must hold one number for each run, none NaN (shape {values.shape})."
        )
    return values
