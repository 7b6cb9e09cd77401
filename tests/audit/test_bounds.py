"""Lower bounds on ε from counts: the published figures and exact coverage."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import beta, binom, binomtest

from skdistill.audit import (
    clopper_pearson_epsilon,
    clopper_pearson_mu,
    one_run_audit,
    one_run_epsilon,
    one_run_p_value,
)
from skdistill.audit.bounds import clopper_pearson

EPSILON = 1.0
RIGHT = math.exp(EPSILON) / (1 + math.exp(EPSILON))


# ---------------------------------------------------------------------------- one run: figures


def test_golden_p_value():
    """Steinke, Nasr and Jagielski (2023), appendix D."""
    p = one_run_p_value(100, 100, 75, epsilon=math.log(3), delta=0)
    assert round(p, 4) == 0.5535


@pytest.mark.parametrize(
    ("m", "r", "v", "delta", "epsilon"),
    [
        (1000, 1000, 900, 1e-5, 2.0206),
        (1000, 100, 100, 1e-5, 3.4654),
        (100, 100, 100, 0, 3.4930),
    ],
)
def test_golden_epsilons(m, r, v, delta, epsilon):
    assert round(one_run_epsilon(m, r, v, delta=delta), 4) == epsilon


def exact_p_value(m, r, v, odds, delta):
    """The theorem's formula in fractions, for ε = log(odds)."""
    q = Fraction(odds, 1 + odds)
    law = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    worst = max([sum(law[v - i : v]) / i for i in range(1, v + 1)], default=Fraction(0))
    return min(Fraction(1), sum(law[v:]) + 2 * m * Fraction(delta) * worst)


@given(st.integers(1, 40), st.data(), st.integers(1, 60), st.sampled_from([0.0, 1e-5, 0.01, 0.3]))
def test_p_value_is_the_theorem_s_rounded_up(m, data, odds, delta):
    r = data.draw(st.integers(0, m))
    v = data.draw(st.integers(0, r))
    p = one_run_p_value(m, r, v, epsilon=math.log(odds), delta=delta)
    exact = float(exact_p_value(m, r, v, odds, delta))
    assert exact * (1 - 1e-13) <= p <= exact * (1 + 1e-7) + 1e-300


def test_p_value_keeps_its_digits_where_epsilon_is_large():
    """All right at ε = 40: 1 - q is 4e-18, below the last digit of q."""
    p = one_run_p_value(1000, 1000, 999, epsilon=40.0, delta=0)
    assert p == 1.0
    assert one_run_p_value(10, 10, 10, epsilon=math.inf, delta=0) == 1.0
    wrong = 1 / (1 + math.exp(30.0))
    bound = one_run_epsilon(10**6, 10**6, 10**6, delta=0, confidence=1e-6)
    assert bound > 25
    assert 1 - one_run_p_value(1, 1, 1, epsilon=15.0, delta=0) < 1e-6
    assert wrong < 1e-13


@given(st.integers(1, 300), st.data(), st.sampled_from([0.0, 1e-5, 1e-3]))
def test_more_right_guesses_never_prove_less(m, data, delta):
    r = data.draw(st.integers(1, m))
    v = data.draw(st.integers(1, r))
    more = one_run_epsilon(m, r, v, delta=delta)
    assert more >= one_run_epsilon(m, r, v - 1, delta=delta)
    assert one_run_epsilon(m, r, v, delta=min(0.9, 2 * delta)) <= more
    assert one_run_epsilon(m, r, v, delta=delta, confidence=0.99) <= more
    if more > 0:  # rounded to the safe side, and tight
        assert one_run_p_value(m, r, v, epsilon=more, delta=delta) <= 0.05 * (1 + 1e-12)
        assert one_run_p_value(m, r, v, epsilon=more + 1e-6, delta=delta) > 0.05


def test_nothing_guessed_shows_nothing():
    assert one_run_epsilon(10, 0, 0, delta=0) == 0.0
    assert one_run_epsilon(10, 10, 5, delta=0) == 0.0
    assert one_run_p_value(10, 4, 0, epsilon=0.0, delta=0.5) == 1.0


# --------------------------------------------------------------------- one run: exact coverage


def bound_exceeds(m, r, delta, bound=one_run_epsilon):
    """For each number of right guesses: whether the bound is above the true ε."""
    return np.array([bound(m, r, v, delta=delta) > EPSILON for v in range(r + 1)])


@pytest.mark.parametrize("r", [1, 7, 40, 150])
@pytest.mark.parametrize("delta", [0.0, 1e-4, 0.01])
def test_coverage_against_randomised_response(r, delta):
    """Each coin is leaked with probability δ, or goes through randomised response: (ε, δ)-DP."""
    law = binom.pmf(np.arange(r + 1), r, delta + (1 - delta) * RIGHT)
    assert law @ bound_exceeds(r, r, delta) <= 0.05


@pytest.mark.parametrize("r", [40, 150])
def test_coverage_where_a_failure_reveals_all_coins(r):
    """With probability δ all coins at once; without the theorem's second term 5 % are passed."""
    delta = 0.03
    law = (1 - delta) * binom.pmf(np.arange(r + 1), r, RIGHT)
    law[r] += delta
    assert law @ bound_exceeds(r, r, delta) <= 0.05

    def first_term_only(m, r, v, delta):
        return one_run_epsilon(m, r, v, delta=0)

    assert law @ bound_exceeds(r, r, delta, first_term_only) > 0.05


@pytest.mark.parametrize("k", [2, 5])
def test_groups_are_paid_for(k):
    """A coin that decides about k records at ε each goes through randomised response at kε."""
    right = math.exp(k * EPSILON) / (1 + math.exp(k * EPSILON))
    r = 400
    law = binom.pmf(np.arange(r + 1), r, right)
    bounds = np.array([one_run_epsilon(r, r, v, delta=0, group_size=k) for v in range(r + 1)])
    assert law @ (bounds > EPSILON) <= 0.05
    naive = np.array([one_run_epsilon(r, r, v, delta=0) for v in range(r + 1)])
    assert law @ (naive > EPSILON) > 0.99
    scores = np.ones(r)
    audit = one_run_audit(scores, scores > 0, delta=1e-6, guesses=r, group_size=k)
    assert audit.p_value(audit.epsilon) <= 0.05 < audit.p_value(audit.epsilon + 1e-6)
    delta_of_group = 1e-6 * math.fsum(math.exp(i * audit.epsilon) for i in range(k))
    p = one_run_p_value(r, r, r, epsilon=k * audit.epsilon, delta=delta_of_group)
    assert p == pytest.approx(audit.p_value(audit.epsilon), rel=1e-9)


# ------------------------------------------------------------------------------- Clopper-Pearson


@given(st.integers(1, 200), st.data(), st.sampled_from([0.5, 0.95, 1 - 1e-6]))
def test_intervals_are_those_of_scipy(n, data, confidence):
    hits = data.draw(st.integers(0, n))
    exact = binomtest(hits, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(hits, n, confidence) == pytest.approx(tuple(exact), rel=1e-9)


def test_limits_are_those_of_clopper_and_pearson():
    t, f = beta.ppf(0.025, 90, 11), beta.ppf(0.975, 6, 95)
    expected = math.log((t - 0.01) / f)
    assert clopper_pearson_epsilon(90, 100, 5, 100, delta=0.01) == pytest.approx(expected)
    complement = clopper_pearson_epsilon(95, 100, 10, 100, delta=0.01)
    assert complement == pytest.approx(expected)


def test_counts_at_the_ends():
    assert clopper_pearson_epsilon(0, 10, 0, 10, delta=0) == 0.0
    assert clopper_pearson_epsilon(10, 10, 10, 10, delta=0) == 0.0
    assert clopper_pearson_epsilon(0, 1000, 1000, 1000, delta=0) == 0.0
    low = 0.025 ** (1 / 1000)
    bound = clopper_pearson_epsilon(1000, 1000, 0, 1000, delta=0)
    assert bound == pytest.approx(math.log(low / (1 - low)))
    assert clopper_pearson_mu(0, 10, 0, 10) == 0.0
    assert clopper_pearson_mu(10, 10, 10, 10) == 0.0
    assert clopper_pearson_mu(1000, 1000, 0, 1000) > 5


def test_arrays_are_bounds_one_by_one():
    hits, alarms = np.array([90, 50, 0, 100]), np.array([5, 50, 3, 0])
    for bound in (
        lambda a, b: clopper_pearson_epsilon(a, 100, b, 100, delta=1e-3),
        lambda a, b: clopper_pearson_mu(a, 100, b, 100),
    ):
        several = bound(hits, alarms)
        assert several.shape == (4,)
        assert [bound(int(a), int(b)) for a, b in zip(hits, alarms, strict=True)] == list(several)


@pytest.mark.parametrize("n", [10, 60])
@pytest.mark.parametrize(("rate", "delta"), [(0.2, 0.0), (0.05, 0.02), (0.5, 0.1), (0.01, 0.0)])
def test_coverage_against_a_worst_test(n, rate, delta):
    """All tables of counts: TPR = e^ε·FPR + δ, as far as (ε, δ)-DP allows it."""
    true_rate = min(1.0, math.exp(EPSILON) * rate + delta)
    true_rate = min(true_rate, 1 - (1 - rate - delta) * math.exp(-EPSILON))
    k = np.arange(n + 1)
    law = np.outer(binom.pmf(k, n, true_rate), binom.pmf(k, n, rate))
    hits, alarms = np.meshgrid(k, k, indexing="ij")
    bound = clopper_pearson_epsilon(hits, n, alarms, n, delta=delta)
    assert law[bound > EPSILON].sum() <= 0.05
    mu = clopper_pearson_mu(hits, n, alarms, n)
    assert law[mu > ndtri(true_rate) - ndtri(rate)].sum() <= 0.05


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ((10, 11, 3), ValueError, "n_correct=3 <= n_guesses=11 <= n_canaries=10"),
        ((10, 5, 6), ValueError, "n_correct=6 <= n_guesses=5 <= n_canaries=10"),
        ((0, 0, 0), ValueError, "n_canaries=0 must be at least 1"),
        ((10, 5, -1), ValueError, "n_correct=-1"),
        ((10, 5, 2.5), TypeError, "n_correct=2.5 must be a whole number"),
        ((10, True, 1), TypeError, "n_guesses=True"),
        ((10, "5", 1), TypeError, "n_guesses='5'"),
    ],
)
def test_impossible_guesses(counts, error, message):
    with pytest.raises(error, match=message):
        one_run_epsilon(*counts, delta=0)
    with pytest.raises(error, match=message):
        one_run_p_value(*counts, epsilon=1.0, delta=0)


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ((11, 10, 0, 10), ValueError, "true_positives=11 <= n_positives=10"),
        ((1, 10, -1, 10), ValueError, "false_positives=-1"),
        ((0, 0, 0, 10), ValueError, "n_positives >= 1 must hold"),
        ((0.5, 10, 0, 10), TypeError, "true_positives must be a whole number"),
        (([1, 99], 10, 0, 10), ValueError, r"true_positives=\[1, 99\]"),
    ],
)
def test_impossible_tables(counts, error, message):
    with pytest.raises(error, match=message):
        clopper_pearson_epsilon(*counts, delta=0)
    with pytest.raises(error, match=message):
        clopper_pearson_mu(*counts)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"delta": 1.0}, ValueError, r"delta=1.0 .* must be in \[0, 1\)"),
        ({"delta": -0.1}, ValueError, "delta=-0.1 .* must be in"),
        ({"delta": math.nan}, ValueError, "delta=nan"),
        ({"delta": "0"}, TypeError, "delta='0' is not a number"),
        ({"delta": 0, "confidence": 1.0}, ValueError, "confidence=1.0 .* must be between 0 and 1"),
        ({"delta": 0, "confidence": 0}, ValueError, "confidence=0 .* must be between"),
    ],
)
def test_impossible_parameters(options, error, message):
    with pytest.raises(error, match=message):
        one_run_epsilon(10, 5, 3, **options)
    with pytest.raises(error, match=message):
        clopper_pearson_epsilon(5, 10, 3, 10, **options)


def test_epsilon_must_be_one():
    with pytest.raises(ValueError, match="epsilon=-1.0"):
        one_run_p_value(10, 5, 3, epsilon=-1.0, delta=0)
