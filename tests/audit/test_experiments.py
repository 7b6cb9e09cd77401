"""From scores to bounds: sound however a threshold is chosen, and powerful."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom, norm

from skdistill.accounting import gaussian_epsilon
from skdistill.audit import (
    OneRunAudit,
    clopper_pearson_epsilon,
    clopper_pearson_mu,
    one_run_audit,
    one_run_epsilon,
    one_run_p_value,
    two_world_audit,
)
from skdistill.audit import experiments as module

RUNS = 2_000
FALSE_ALARM = 1e-6
EPSILON = 1.0
RIGHT = math.exp(EPSILON) / (1 + math.exp(EPSILON))


# ------------------------------------------------- soundness of every search, over 2,000 runs


def randomised_response(present, n, rng):
    """ε = 1, with a magnitude that says nothing: every threshold in (0, 1) shows all of ε."""
    bit = rng.random(n) < np.where(present, RIGHT, 1 - RIGHT)
    return np.where(bit, 1, -1) * rng.random(n)


def laplace(present, n, rng):
    return present - 0.5 + rng.laplace(scale=1 / EPSILON, size=n)


def gaussian(present, n, rng):
    return present - 0.5 + rng.normal(size=n)


# Each mechanism with its δ and its exact ε at that δ.
MECHANISMS = {
    "randomised response": (randomised_response, 0.0, EPSILON),
    "laplace": (laplace, 0.0, EPSILON),
    "gaussian": (gaussian, 0.01, gaussian_epsilon(1.0, 0.01)),
}
TWO_WORLDS = {
    "fixed": 0.2,
    "bonferroni": tuple(np.linspace(-0.98, 0.98, 99)),
    "holdout": "holdout",
}
ONE_RUN = {
    "fixed": 60,
    "bonferroni": "bonferroni",
    "own bonferroni": (5, 20, 80, 200),
}


def most_failures(confidence, ways=1):
    """No way has more failed runs but with probability 1e-6, at 1 - confidence or less for each."""
    return binom.isf(FALSE_ALARM / ways, RUNS, 1 - confidence)


def check_failures(failures, confidence):
    limit = most_failures(confidence, len(failures))
    assert {name: count for name, count in failures.items() if count > limit} == {}


# At confidence 0.5 a search that is not paid for shows most: see the mutants.
CASES = [*((name, 0.95) for name in MECHANISMS), ("randomised response", 0.5)]


@pytest.mark.slow
@pytest.mark.parametrize(("mechanism", "confidence"), CASES)
def test_two_worlds_are_sound_however_the_threshold_is_chosen(mechanism, confidence, n=200):
    """At most 5 % of 2,000 runs exceed the true ε; at confidence 0.5, at most half."""
    sample, delta, epsilon = MECHANISMS[mechanism]
    rng, failures = np.random.default_rng(), Counter()
    for _ in range(RUNS):
        worlds = sample(True, n, rng), sample(False, n, rng)
        for name, threshold in TWO_WORLDS.items():
            audit = two_world_audit(
                *worlds, delta=delta, confidence=confidence, threshold=threshold
            )
            failures[name] += audit.epsilon > epsilon
    check_failures(failures, confidence)


@pytest.mark.slow
def test_a_threshold_search_that_is_not_paid_for_is_caught(n=200):
    """The best of all thresholds exceeds the true ε in some 80 % of runs, at confidence 0.5."""
    rng, failures = np.random.default_rng(), 0
    for _ in range(RUNS):
        worlds = randomised_response(True, n, rng), randomised_response(False, n, rng)
        counts = module._positives(*worlds, np.unique(np.concatenate(worlds)))
        bounds = clopper_pearson_epsilon(*counts, delta=0, confidence=0.5)
        failures += bounds.max() > EPSILON
    assert failures > most_failures(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("mechanism", "confidence"), CASES)
def test_one_run_is_sound_however_the_guesses_are_chosen(mechanism, confidence, m=200):
    sample, delta, epsilon = MECHANISMS[mechanism]
    rng, failures = np.random.default_rng(), Counter()
    for _ in range(RUNS):
        coins = rng.random(m) < 0.5
        scores = sample(coins, m, rng)
        for name, guesses in ONE_RUN.items():
            audit = one_run_audit(
                scores, coins, delta=delta, confidence=confidence, guesses=guesses
            )
            failures[name] += audit.epsilon > epsilon
    check_failures(failures, confidence)


@pytest.mark.slow
def test_a_number_of_guesses_that_is_not_paid_for_is_caught(m=200):
    """The best of 40 numbers exceeds the true ε in some 17 % of runs, at confidence 0.95."""
    rng, failures = np.random.default_rng(), 0
    for _ in range(RUNS):
        coins = rng.random(m) < 0.5
        scores = randomised_response(coins, m, rng)
        correct = ((r, module._n_correct(scores, coins, 0.0, r)) for r in range(5, m + 1, 5))
        failures += max(one_run_epsilon(m, r, v, delta=0) for r, v in correct) > EPSILON
    assert failures > most_failures(0.95)


# -------------------------------------------------------------------------------------- power


def test_one_run_finds_most_of_what_there_is():
    """Randomised response at ε = 1, 20,000 coins: above 0.8 but for 1e-6 (5 σ are 0.08, and the
    bound is 0.04 below the observed rate)."""
    rng = np.random.default_rng()
    coins = rng.random(20_000) < 0.5
    audit = one_run_audit(randomised_response(coins, len(coins), rng), coins, delta=0)
    assert audit.epsilon > 0.8
    assert audit.n_tests == 5
    assert audit.n_canaries == 20_000


def law_limits(n, rate, tails):
    """Limits that a binomial count is outside of with probability 1e-6, spread over tails."""
    chance = FALSE_ALARM / tails
    return int(binom.ppf(chance, n, rate)), int(binom.isf(chance, n, rate))


def test_two_worlds_find_most_of_what_there_is(n=20_000):
    """The sign of randomised response at ε = 1: 0 is the only threshold that shows something, so
    the counts are binomial however it is found, and the bound is a function of them.
    """
    rng = np.random.default_rng()
    present, absent = (np.sign(randomised_response(world, n, rng)) for world in (True, False))
    for name, threshold in TWO_WORLDS.items():
        audit = two_world_audit(present, absent, delta=0, threshold=threshold)
        size = n // 2 if name == "holdout" else n
        assert audit.n_positives == audit.n_negatives == size
        confidence = 1 - 0.05 / audit.n_tests
        fewest, _ = law_limits(size, RIGHT, tails=6)
        _, most = law_limits(size, 1 - RIGHT, tails=6)
        least = clopper_pearson_epsilon(fewest, size, most, size, delta=0, confidence=confidence)
        assert least > 0.75
        assert audit.epsilon >= least


def test_two_gaussian_worlds_show_their_mu(n=20_000):
    """Scores of N(±1/2, 1) above 0: binomial with Φ(1/2) and Φ(-1/2), which is μ = 1."""
    rng = np.random.default_rng()
    worlds = gaussian(True, n, rng), gaussian(False, n, rng)
    audit = two_world_audit(*worlds, delta=0.01, threshold=0.0)
    (fewest_hits, most_hits), (fewest_alarms, most_alarms) = (
        law_limits(n, norm.cdf(mean), tails=4) for mean in (0.5, -0.5)
    )
    least = clopper_pearson_mu(fewest_hits, n, most_alarms, n)
    assert least > 0.85
    assert least <= audit.mu <= clopper_pearson_mu(most_hits, n, fewest_alarms, n)


def test_certain_scores_are_found_by_every_way():
    coins = np.random.default_rng().random(400) < 0.5
    for guesses in ONE_RUN.values():
        audit = one_run_audit(np.where(coins, 2.0, 1.0), coins, delta=0, guesses=guesses)
        assert audit.n_correct == audit.n_guesses
    for threshold in ("holdout", 0.5, (0.2, 0.5, 0.9)):
        audit = two_world_audit(np.ones(100), np.zeros(100), delta=0, threshold=threshold)
        assert (audit.true_positives, audit.false_positives) == (audit.n_positives, 0)
        assert audit.epsilon > 2


def test_unequal_coins_do_not_confuse_the_guesses():
    coins = np.arange(100) < 70
    audit = one_run_audit(np.where(coins, 1.0, -1.0), coins, delta=0, guesses=100)
    assert audit.n_correct == 100
    audit = one_run_audit(np.where(coins, 1.0, 0.1), coins, delta=0, guesses=100, middle=0.0)
    assert audit.n_correct == 70


def test_a_hold_out_uses_up_half():
    scores = np.arange(10.0)
    audit = two_world_audit(scores + 5, scores, delta=0)
    assert (audit.n_positives, audit.n_negatives) == (5, 5)


def test_a_union_bound_divides_the_error_probability():
    scores, thresholds = np.arange(100.0), (30.0, 60.0, 90.0)
    audit = two_world_audit(scores + 40, scores, delta=0, confidence=0.9, threshold=thresholds)
    counts = [
        (int((scores + 40 >= t).sum()), 100, int((scores >= t).sum()), 100) for t in thresholds
    ]
    each = [clopper_pearson_epsilon(*c, delta=0, confidence=1 - 0.1 / 3) for c in counts]
    assert audit.epsilon == pytest.approx(max(each), rel=1e-12)
    assert audit.n_tests == 3
    best = counts[int(np.argmax(each))]
    assert audit.mu == pytest.approx(clopper_pearson_mu(*best, confidence=1 - 0.1 / 3), rel=1e-9)
    coins = scores > 45
    audit = one_run_audit(scores, coins, delta=0, confidence=0.9, guesses=(10, 50, 100))
    expected = max(
        one_run_epsilon(100, r, v, delta=0, confidence=1 - 0.1 / 3)
        for r, v in ((10, 10), (50, 50), (100, 96))
    )
    assert audit.epsilon == pytest.approx(expected, rel=1e-9)


def test_a_search_is_charged_to_the_p_value():
    audit = OneRunAudit(0.0, 0.0, 0.95, 100, 100, 75, n_tests=4)
    one = one_run_p_value(100, 100, 75, epsilon=0.5, delta=0)
    assert audit.p_value(0.5) == pytest.approx(4 * one)
    assert audit.p_value(math.inf) == 1.0


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("scores", "members", "options", "error", "message"),
    [
        ([1.0, 2.0], [True], {}, ValueError, "of the same length"),
        ([], [], {}, ValueError, "at least 1"),
        ([1.0, math.nan], [True, False], {}, ValueError, "NaN"),
        ([1.0, math.inf], [True, False], {}, ValueError, "infinite"),
        ([1.0, 2.0], [3, 4], {}, ValueError, "booleans"),
        ([1.0, 2.0], [True, False], {"guesses": 3}, ValueError, "3 guesses were asked for"),
        ([1.0, 2.0], [True, False], {"guesses": "best"}, ValueError, "guesses='best'"),
        ([1.0, 2.0], [True, False], {"guesses": []}, ValueError, "guesses is empty"),
        (
            [1.0, 2.0],
            [True, False],
            {"guesses": 1.5},
            TypeError,
            "guesses=1.5 must be a whole number",
        ),
        ([1.0, 2.0], [True, False], {"group_size": 0}, ValueError, "group_size=0"),
    ],
)
def test_impossible_scores(scores, members, options, error, message):
    with pytest.raises(error, match=message):
        one_run_audit(scores, members, delta=0, **options)


@pytest.mark.parametrize(
    ("worlds", "options", "message"),
    [
        (([], [1.0]), {}, "scores_in must hold one number for each run"),
        (([1.0], [math.nan]), {}, "scores_out"),
        (([1.0], [1.0]), {}, "Two runs in each world"),
        (([1.0], [1.0]), {"threshold": "best"}, "threshold='best'"),
        (([1.0], [1.0]), {"threshold": []}, "one number or several"),
        (([1.0], [1.0]), {"threshold": math.nan}, "none NaN"),
    ],
)
def test_impossible_worlds(worlds, options, message):
    with pytest.raises(ValueError, match=message):
        two_world_audit(*worlds, delta=0, **options)
