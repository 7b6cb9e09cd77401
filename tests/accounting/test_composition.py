"""A total is never below the exact one, and a cap holds whatever the order."""

import itertools
import math
import random
from dataclasses import FrozenInstanceError, astuple
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr, ndtr

from skdistill.accounting import PrivacyLoss, gaussian_epsilon, gaussian_mu
from skdistill.accounting.composition import (
    Charge,
    Totals,
    _dominating_mu,
    _float_up,
    _largest_squares,
    _largest_zcdp,
    _root,
    _square,
    _zcdp_epsilon,
)

UNIT = 10**40


def by_mu(mu):
    return Charge.of(PrivacyLoss("gaussian", 1.0, 1e-6, mu))


def pure(epsilon):
    return Charge.spend(epsilon, 0)


def total(charges):
    result = Totals.zero()
    for charge in charges:
        result = result.add(charge)
    return result


def exact_delta(mus, epsilons, epsilon, deltas=None):
    """The least delta of Gaussian releases and randomised responses, by enumeration.

    A randomised response with a delta gives everything away with that probability.
    """
    deltas = deltas or [0.0] * len(epsilons)
    with mpmath.workdps(50):
        mu = mpmath.sqrt(sum(mpmath.mpf(mu) ** 2 for mu in mus))
        epsilon, result = mpmath.mpf(epsilon), mpmath.mpf(0)
        silent = mpmath.fprod(1 - mpmath.mpf(delta) for delta in deltas)
        for signs in itertools.product([1, -1], repeat=len(epsilons)):
            losses = [sign * mpmath.mpf(e) for sign, e in zip(signs, epsilons, strict=True)]
            weight = mpmath.fprod(1 / (1 + mpmath.exp(-loss)) for loss in losses)
            left = epsilon - mpmath.fsum(losses)
            if mu == 0:
                profile = max(mpmath.mpf(0), 1 - mpmath.exp(left))
            else:
                profile = mpmath.ncdf(mu / 2 - left / mu) - mpmath.exp(left) * mpmath.ncdf(
                    -mu / 2 - left / mu
                )
            result += weight * profile
        return 1 - silent + silent * result


# ------------------------------------------------------------------------------ exact amounts


def test_ten_tenths_are_one():
    tenths = total([pure(0.1)] * 10)
    assert tenths.epsilon(0) == tenths.epsilon(1e-6) == tenths.spent_epsilon == 1.0
    for delta in (0.0, 1e-6):
        assert tenths.fits(1.0, delta)
        assert not tenths.fits(math.nextafter(1.0, 0), delta)
        for more in (1e-300, 1e-20, 0.1):
            assert not tenths.add(pure(more)).fits(1.0, delta)
            assert tenths.add(pure(more)).epsilon(delta) > 1.0


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 40), st.integers(0, 12))
def test_decimals_add_as_decimals(amount, times, digits):
    charge = float(f"{amount}e-{digits}")
    cap = float(f"{amount * times}e-{digits}")
    totals = total([pure(charge)] * times)
    assert totals.epsilon(0) == cap
    assert totals.fits(cap, 0) and not totals.fits(math.nextafter(cap, 0), 0)


def test_a_charge_below_the_unit_costs_a_unit():
    assert pure(1e-300).cost.pure == pure(1e-300).cost.concentrated == 1
    assert Charge.spend(1e-300, 1e-300).cost.delta == 1
    assert by_mu(1e-300).cost.squares == 1
    assert pure(1e-300).cost.dominated == 1


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-30, 1e150))
def test_amounts_are_rounded_up(x):
    assert 0 <= by_mu(x).cost.squares - Fraction(x) ** 2 * UNIT < 1
    assert _root(_square(x)) <= x or x < 1e-11
    assert _square(_root(_square(x))) >= _square(x)
    cost = pure(x).cost
    assert cost.pure >= Fraction(repr(x)) * UNIT > cost.pure - 1
    assert _float_up(cost.pure) == x or x < 1e-23
    with mpmath.workdps(60):
        least = mpmath.mpf(x) * mpmath.tanh(mpmath.mpf(x) / 2)
        assert cost.concentrated >= least * UNIT * (1 - mpmath.mpf(2) ** -52)
        if x > 1e-10:
            assert cost.concentrated < least * UNIT * (1 + mpmath.mpf(2) ** -38)


def test_a_gaussian_loss_fits_its_own_epsilon_and_delta():
    for epsilon, delta in itertools.product([1e-3, 0.1, 0.3, 1, 2.5, 40, 900], [1e-12, 1e-6, 0.1]):
        loss = PrivacyLoss.gaussian(epsilon, delta)
        totals = total([Charge.of(loss)])
        assert totals.fits(epsilon, delta)
        assert totals.epsilon(delta) == pytest.approx(epsilon, rel=1e-8)
        assert not totals.fits(epsilon * (1 - 1e-8), delta)
        assert not totals.add(by_mu(loss.mu * 1e-3)).fits(epsilon, delta)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 800.0])
def test_the_shares_of_a_loss_fit_the_whole(epsilon):
    for fractions in ([0.5, 0.5], [0.02, 0.98], [0.2, 0.3, 0.5], [0.1] * 10):
        gaussian = PrivacyLoss.gaussian(epsilon, 1e-6)
        assert total(Charge.of(gaussian.part(f)) for f in fractions).fits(epsilon, 1e-6)
        laplace = PrivacyLoss.laplace(epsilon)
        assert total(Charge.of(laplace.part(f)) for f in fractions).fits(epsilon, 0)
    # what a higher precision costs is a difference of squares, rounded to a float
    for ratio in (0.1, 0.5, 0.9):
        first = gaussian.mu * ratio
        rest = math.nextafter(math.sqrt(gaussian.mu**2 - first**2), math.inf)
        assert total([by_mu(first), by_mu(rest)]).fits(epsilon, 1e-6)


# ------------------------------------------------------------------- the costs of pure charges


@pytest.mark.parametrize("epsilon", [1e-6, 0.003, 0.00999, 0.01, 0.1, 1.0, 3.0, 10.0, 50.0])
def test_randomised_response_is_dominated(epsilon):
    """By the Gaussian pair of its cost, and in Rényi divergence at every order."""
    mu, cost = _dominating_mu(epsilon) * (1 + 2**-40), pure(epsilon).cost
    assert cost.dominated / UNIT == pytest.approx(mu**2, rel=1e-9, abs=1e-38)
    with mpmath.workdps(50):
        tight = -2 * mpmath.findroot(
            lambda x: mpmath.log(mpmath.ncdf(x) * (1 + mpmath.exp(epsilon))), -mu / 2
        )
        assert tight <= mpmath.sqrt(mpmath.mpf(cost.dominated) / UNIT)
        assert mu <= tight * (1 + (1e-11 if epsilon >= 0.01 else 1e-5))
        for fraction in (0, 0.2, 0.5, 0.9, 0.99, 1):
            response = exact_delta([], [epsilon], epsilon * fraction)
            assert response <= exact_delta([mu], [], epsilon * fraction)
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(epsilon)))
        for order in map(mpmath.mpf, ("1.0001", "1.1", "2", "7", "100", "10000")):
            moment = p**order * (1 - p) ** (1 - order) + (1 - p) ** order * p ** (1 - order)
            divergence = mpmath.log(moment) / (order - 1)
            assert divergence <= order * mpmath.mpf(cost.concentrated) / UNIT
            if order < 1.001:
                tight = divergence / order
                assert cost.concentrated / mpmath.mpf(UNIT) <= tight * mpmath.mpf("1.01")


def test_the_cost_in_gaussian_dp_is_continuous_where_its_formula_changes():
    below, above = _dominating_mu(math.nextafter(0.01, 0)), _dominating_mu(0.01)
    assert above == pytest.approx(below, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rho", [1e-12, 1e-6, 1e-3, 0.05, 0.5, 3.0, 100.0, 1e6])
@pytest.mark.parametrize("delta", [1e-300, 1e-12, 1e-6, 1e-2, 0.5])
def test_zcdp_converts_as_in_proposition_12(rho, delta):
    """Written there as a delta, minimised over the order."""

    def delta_of(epsilon, log_x):
        x = mpmath.exp(log_x)  # order - 1
        return mpmath.exp(x * ((1 + x) * rho - epsilon)) / x * (x / (1 + x)) ** (1 + x)

    def least_delta(epsilon):
        centre, width = math.log((1 - math.log(delta)) / rho) / 2, 6.0
        for _ in range(8):
            grid = np.linspace(centre - width, centre + width, 81)
            centre, width = min(grid, key=lambda log_x: delta_of(epsilon, log_x)), width / 20
        return delta_of(epsilon, centre)

    epsilon = _zcdp_epsilon(int(2 * rho * UNIT), delta)
    assert least_delta(epsilon) <= delta
    if epsilon > 0:
        assert least_delta(epsilon * (1 - 1e-8)) > delta
        log = -math.log(delta)
        assert epsilon <= (rho + 2 * math.sqrt(rho * log)) * (1 + 1e-9)
        assert gaussian_epsilon(math.sqrt(2 * rho), delta) <= epsilon
        largest = mpmath.mpf(_largest_zcdp(epsilon, delta)) / (2 * UNIT)
        assert float(largest) == pytest.approx(rho, rel=1e-7)
        rho = largest
        assert least_delta(epsilon) <= delta


# ----------------------------------------------------------------------------- against enumeration

MUS = st.lists(st.floats(-2, 0.5).map(lambda x: 10**x), max_size=3)
EPSILONS = st.lists(st.floats(-2, 0.7).map(lambda x: 10**x), max_size=6)
LOG_DELTA = st.floats(-12, -0.7)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(MUS, EPSILONS, LOG_DELTA)
def test_never_below_the_exact_value(mus, epsilons, log_delta):
    delta = 10**log_delta
    totals = total([*map(by_mu, mus), *map(pure, epsilons)])
    for adaptive in (False, True):
        epsilon = totals.epsilon(delta, adaptive=adaptive)
        if epsilon < math.inf:
            # a float may be below the decimal that it prints, by 2**-53
            assert exact_delta(mus, epsilons, epsilon * (1 + 2**-52)) <= delta


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    MUS,
    st.lists(st.tuples(st.floats(0.01, 3), st.floats(-9, -3).map(lambda x: 10**x)), max_size=4),
    EPSILONS.filter(lambda epsilons: len(epsilons) < 3),
    st.floats(-6, -1),
)
def test_never_below_the_exact_value_with_charges_of_unknown_law(mus, pairs, epsilons, log_delta):
    delta = 10**log_delta
    charges = [*map(by_mu, mus), *map(pure, epsilons), *itertools.starmap(Charge.spend, pairs)]
    epsilon = total(charges).epsilon(delta)
    if epsilon < math.inf:
        enumerated = [*(pair[0] for pair in pairs), *epsilons]
        deltas = [*(pair[1] for pair in pairs), *([0.0] * len(epsilons))]
        assert exact_delta(mus, enumerated, epsilon * (1 + 2**-52), deltas) <= delta
    else:
        assert sum(pair[1] for pair in pairs) >= delta * (1 - 1e-9)


@pytest.mark.parametrize(
    ("mus", "epsilons", "excess"),
    [
        ([0.3, 0.4, 1.2], [], 1e-8),  # Gaussian-DP is exact
        ([], [0.3, 1.2], 1e-4),  # Σε is
        ([0.3], [1.0], 0.02),  # Σε + gaussian_epsilon
        ([1.5], [0.05] * 2, 0.01),  # all in Gaussian-DP
    ],
)
def test_each_bound_is_the_least_where_it_should_be(mus, epsilons, excess):
    totals = total([*map(by_mu, mus), *map(pure, epsilons)])
    epsilon = totals.epsilon(1e-6)
    assert totals.fits(epsilon * (1 + 1e-8), 1e-6)
    assert not totals.fits(epsilon * (1 - 1e-8), 1e-6)
    assert exact_delta(mus, epsilons, epsilon) <= 1e-6
    assert exact_delta(mus, epsilons, epsilon * (1 - excess)) > 1e-6


def test_many_pure_charges_cost_less_than_their_sum():
    """The loss of 100 randomised responses of 0.1 is a sum of signs: binomial."""
    totals = total([pure(0.1)] * 100)
    epsilon = totals.epsilon(1e-6)
    assert totals.fits(epsilon * (1 + 1e-8), 1e-6)
    assert not totals.fits(epsilon * (1 - 1e-8), 1e-6)
    p = 1 / (1 + math.exp(-0.1))

    def exact(epsilon):
        return math.fsum(
            math.comb(100, k) * p**k * (1 - p) ** (100 - k) * -math.expm1(epsilon - 0.1 * loss)
            for k in range(101)
            if (loss := 2 * k - 100) * 0.1 > epsilon
        )

    assert exact(epsilon) <= 1e-6 < exact(0.89 * epsilon)


# -------------------------------------------------------------------------- against dp-accounting


@pytest.fixture(scope="module")
def pld():
    return pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")


def composed(distributions):
    result, *others = distributions
    for other in others:
        result = result.compose(other)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("mus", [[1.0], [0.3, 0.2, 0.5], [1.0] * 4, [0.25] * 8])
def test_gaussians_agree_with_dp_accounting(pld, mus):
    theirs = composed(
        pld.from_gaussian_mechanism(1 / mu, value_discretization_interval=1e-4) for mu in mus
    )
    totals = total(map(by_mu, mus))
    for delta in (1e-9, 1e-6, 1e-3):
        expected = theirs.get_epsilon_for_delta(delta)
        for adaptive in (False, True):
            assert totals.epsilon(delta, adaptive=adaptive) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("mus", "epsilons"),
    [([0.3], [1.0]), ([0.3, 0.3], [0.1] * 5), ([0.2], [0.1] * 40), ([1.0], [2.0, 0.01])]
    + [([], [0.1] * 100), ([0.1], [0.5, 0.5, 1.0])],
)
def test_mixtures_are_above_dp_accounting(pld, mus, epsilons):
    common = pytest.importorskip("dp_accounting.pld.common")
    step = {"value_discretization_interval": 1e-3}
    gaussians = [pld.from_gaussian_mechanism(1 / mu, **step) for mu in mus]
    laplace = composed(gaussians + [pld.from_laplace_mechanism(1 / e, **step) for e in epsilons])
    worst = composed(
        gaussians
        + [
            pld.from_privacy_parameters(common.DifferentialPrivacyParameters(e, 0), **step)
            for e in epsilons
        ]
    )
    totals = total([*map(by_mu, mus), *map(pure, epsilons)])
    for delta in (1e-9, 1e-6, 1e-3):
        ours, theirs = totals.epsilon(delta), worst.get_epsilon_for_delta(delta)
        # theirs is rounded up to a grid (by less than 1e-4 here), ours is not
        assert ours >= theirs * (1 - 1e-4)
        assert ours >= laplace.get_epsilon_for_delta(delta)
        assert ours <= theirs * 1.2


# ----------------------------------------------------------------------------------- properties

CHARGES = st.lists(
    st.one_of(
        st.floats(1e-3, 2).map(by_mu),
        st.floats(1e-3, 3).map(pure),
        st.builds(Charge.spend, st.just(0) | st.floats(1e-9, 2), st.floats(1e-9, 1e-5)),
    ),
    max_size=6,
)
DELTA = st.sampled_from([0.0, 1e-12, 1e-6, 3e-5, 1e-2])


@settings(max_examples=150, deadline=None)
@given(CHARGES, DELTA, st.booleans(), st.randoms())
def test_the_order_does_not_matter(charges, delta, adaptive, shuffler):
    shuffled = charges.copy()
    shuffler.shuffle(shuffled)
    assert total(shuffled) == total(charges)
    assert Totals.from_text(total(charges).to_text()) == total(charges)
    assert total(charges).n == len(charges)


@settings(max_examples=80, deadline=None)
@given(CHARGES, DELTA, st.booleans())
def test_a_total_only_grows(charges, delta, adaptive):
    totals, before = Totals.zero(), 0.0
    for charge in charges:
        alone = total([charge]).epsilon(delta, adaptive=adaptive)
        totals = totals.add(charge)
        after = totals.epsilon(delta, adaptive=adaptive)
        assert after >= max(before, alone) * (1 - 1e-9)
        assert after >= totals.epsilon(delta) * (1 - 1e-9)  # fewer bounds, no smaller least
        before = after
    naive = [c.epsilon if c.kind != "gaussian" else None for c in charges]
    if None not in naive and totals.delta == 0:
        assert before <= math.fsum(naive) * (1 + 1e-15)


@settings(max_examples=150, deadline=None)
@given(CHARGES.filter(len), DELTA, st.booleans(), st.floats(0.01, 20))
def test_fits_is_epsilon_below_the_cap(charges, delta, adaptive, cap):
    totals = total(charges)
    epsilon = totals.epsilon(delta, adaptive=adaptive)
    caps = [cap, epsilon * (1 - 1e-6), epsilon * (1 + 1e-6)]
    for cap in filter(lambda cap: 1e-300 < cap < math.inf, caps):
        if totals.fits(cap, delta, adaptive=adaptive):
            assert epsilon <= cap * (1 + 1e-8)
        else:
            assert epsilon >= cap * (1 - 1e-8)
    if totals.fits(cap, delta):
        without = total(random.sample(charges, len(charges) - 1))
        assert without.fits(cap, delta)


@settings(max_examples=40, deadline=None)
@given(CHARGES, CHARGES.filter(len), st.floats(0.05, 10), st.sampled_from([1e-6, 3e-5]))
def test_the_largest_charge_that_fits(charges, like, cap, delta):
    totals = total(charges)
    largest = totals.largest(cap, delta, like[0])

    def fits(epsilon):
        charge = (
            Charge.of(PrivacyLoss.gaussian(epsilon, like[0].delta))
            if like[0].kind == "gaussian"
            else Charge.spend(epsilon, like[0].delta)
        )
        return totals.add(charge).fits(cap, delta)

    if largest > 0:
        assert fits(largest)
    assert not fits(largest * (1 + 1e-8) + 1e-15)


def test_the_largest_charge_is_printed_as_one_would_write_it():
    spent = total([pure(0.1)] * 7)
    assert spent.largest(1.0, 0, PrivacyLoss.laplace(5.0)) == 0.3
    assert spent.largest(1.0, 0, pure(5.0)) == 0.3
    assert spent.largest(0.7, 1e-6, pure(5.0)) == 0.0
    assert spent.largest(0.5, 1e-6, pure(5.0)) == 0.0
    assert spent.largest(1.0, 0, PrivacyLoss.gaussian(1.0, 1e-6)) == 0.0
    assert spent.largest(1.0, 1e-6, Charge.spend(0.1, 1e-5)) == 0.0
    gaussian = PrivacyLoss.gaussian(1.0, 1e-6)
    spent = total([pure(0.7)])
    assert spent.largest(1.7, 1e-6, gaussian) == pytest.approx(1.0, rel=1e-8)
    assert Totals.zero().largest(1.0, 1e-6, gaussian) == pytest.approx(1.0, rel=1e-8)
    assert spent.largest(1.7, 1e-6, gaussian, adaptive=True) < 0.9


# -------------------------------------------------------------------------------- delta, and none


def test_a_ledger_without_delta_takes_pure_charges_only():
    assert total([pure(1.0)]).epsilon(0) == 1.0
    for charge in (by_mu(0.01), Charge.spend(0.1, 1e-9)):
        assert total([charge]).epsilon(0) == math.inf
        assert not total([charge]).fits(1e6, 0)


def test_deltas_add():
    three = total([Charge.spend(0.5, 1e-6)] * 3)
    assert three.epsilon(3e-6) == 1.5 and three.fits(1.5, 3e-6)
    assert three.spent_delta == 3e-6
    assert three.epsilon(math.nextafter(3e-6, 0)) == math.inf
    assert not three.fits(1e6, math.nextafter(3e-6, 0))
    # all of delta is spent: nothing is left for Gaussian noise
    mixed = three.add(by_mu(0.1))
    assert mixed.epsilon(3e-6) == math.inf and not mixed.fits(1e6, 3e-6)
    assert mixed.epsilon(4e-6) == pytest.approx(1.5 + gaussian_epsilon(0.1, 1e-6), rel=1e-9)
    assert mixed.epsilon(4e-6, adaptive=True) == math.inf
    assert not mixed.fits(1e6, 0.5, adaptive=True)
    assert total([Charge.spend(0, 1e-6)]).epsilon(1e-6) == 0.0


def test_nothing_costs_nothing():
    zero = Totals.zero()
    assert zero.epsilon(0) == zero.epsilon(0.5) == zero.epsilon(0, adaptive=True) == 0.0
    assert zero.fits(1e-300, 0) and zero.spent_mu is None
    assert zero.spent_epsilon == zero.spent_delta == 0.0


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e150, 1.7e308])
def test_extreme_amounts(size):
    totals = Totals.zero()
    for charge in (pure(size), by_mu(size), Charge.spend(size, 1e-9)):
        for adaptive in (False, True):
            single = total([charge])
            assert single.epsilon(1e-6, adaptive=adaptive) >= 0
            assert single.fits(1.0, 1e-6) == (size < 1)
            assert not single.fits(1e-300, 0) or size < 1
        totals = totals.add(charge)
        assert totals.fits(1.0, 1e-6) == (size < 1)
        assert totals.fits(1e300, 1e-6) in (True, False)
        assert totals.epsilon(1e-300) >= 0
        assert Totals.from_text(totals.to_text()) == totals
    for epsilon, delta in itertools.product([1e-300, 1e-9, 1e300], [1e-307, 1e-300, 0.99]):
        assert not total([by_mu(1e200)]).fits(epsilon, delta)
        if delta >= 1e-300:
            loss = PrivacyLoss.gaussian(epsilon, delta)
            assert total([Charge.of(loss)]).fits(epsilon, delta) or loss.mu < 1e-18


@settings(max_examples=100, deadline=None)
@given(st.floats(-6, 3), st.floats(-15, -0.4))
def test_the_threshold_of_squares_is_safe(log_epsilon, log_delta):
    """It is a little above gaussian_mu, for the roundings of shares, and still private."""
    epsilon, delta = 10**log_epsilon, 10**log_delta
    with mpmath.workdps(50):
        mu = mpmath.sqrt(mpmath.mpf(_largest_squares(epsilon, delta)) / UNIT)
        assert gaussian_mu(epsilon, delta) <= mu * (1 + mpmath.mpf(10) ** -20)
        assert exact_delta([mu], [], epsilon) <= delta


# ------------------------------------------------------------------- amounts that depend on answers


def advantage(spent, left, epsilon, e):
    """The delta of who sees the loss of N(√spent, 1), then takes the worse of two options.

    Either Gaussian noise again, μ² = left, or a randomised response with `e`: an integral over
    the loss, whose law is N(spent/2, spent).
    """
    z, step = np.linspace(-12, 12, 400_001, retstep=True)
    after = epsilon - spent / 2 - math.sqrt(spent) * z
    gaussian = ndtr(math.sqrt(left) / 2 - after / math.sqrt(left)) - np.exp(
        after + log_ndtr(-math.sqrt(left) / 2 - after / math.sqrt(left))
    )
    p = 1 / (1 + math.exp(-e))
    response = p * np.maximum(-np.expm1(after - e), 0)
    response += (1 - p) * np.maximum(-np.expm1(after + e), 0)
    weights = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * step
    return [float(weights @ each) for each in (gaussian, response, np.maximum(gaussian, response))]


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.9])
def test_watching_the_loss_gains_nothing_with_adaptive(fraction):
    """Each plan fits, and choosing between them by what was seen does, or does not."""
    epsilon, delta = 2.0, 1e-6
    whole = gaussian_mu(epsilon, delta) ** 2
    first = total([by_mu(math.sqrt(fraction * whole))])
    assert first.add(by_mu(math.sqrt((1 - fraction) * whole))).fits(epsilon, delta)
    for adaptive in (False, True):
        e = first.largest(epsilon, delta, pure(1.0), adaptive=adaptive)
        gaussian, response, either = advantage(fraction * whole, (1 - fraction) * whole, epsilon, e)
        assert gaussian == pytest.approx(delta, rel=1e-6)
        assert 0 < response <= delta
        if adaptive:
            assert either <= delta * (1 + 1e-6)
        elif fraction < 0.6:
            assert either > 1.5 * delta  # so that the least bound is no privacy filter
    if fraction == 0.1:
        e = first.largest(epsilon, delta, pure(1.0))
        assert advantage(fraction * whole, (1 - fraction) * whole, epsilon, e)[2] > 1.8 * delta


def test_adaptive_totals_use_squares_alone():
    mixed = [by_mu(0.3), pure(1.0)]
    expected = math.sqrt(0.3**2 + _dominating_mu(1.0) ** 2)
    epsilon = total(mixed).epsilon(1e-6, adaptive=True)
    assert epsilon == pytest.approx(gaussian_epsilon(expected, 1e-6), rel=1e-9)
    assert total([pure(1.0)] * 2).epsilon(1e-6, adaptive=True) == 2.0


# ------------------------------------------------------------------------------------- refusals


def test_charges_are_what_they_say():
    gaussian, laplace = PrivacyLoss.gaussian(1, 1e-6), PrivacyLoss.laplace(2)
    assert Charge.of(laplace) == pure(2) == pure(np.float64(2)) == pure(np.int64(2))
    kinds = [Charge.of(gaussian), pure(2), Charge.spend(0.5, 1e-6)]
    assert [charge.kind for charge in kinds] == ["gaussian", "pure", "approximate"]
    assert [charge.epsilon for charge in kinds] == [1.0, 2.0, 0.5]
    assert [charge.delta for charge in kinds] == [1e-6, 0.0, 1e-6]
    assert total(kinds).spent_mu == pytest.approx(gaussian.mu, rel=1e-15)
    assert total(kinds).spent_epsilon == 2.5 and total(kinds).spent_delta == 1e-6
    with pytest.raises(FrozenInstanceError):
        kinds[0].epsilon = 0.0
    with pytest.raises(FrozenInstanceError):
        kinds[0].cost.squares = 0


@pytest.mark.parametrize("bad", [True, False, np.True_, np.False_, "1", None, 1j, 0j, [1.0]])
def test_types(bad):
    for call in (
        lambda: Charge.spend(bad, 1e-6),
        lambda: Charge.spend(1.0, bad),
        lambda: Charge.of(PrivacyLoss("laplace", bad, 0.0, None)),
        lambda: Totals.zero().fits(bad, 1e-6),
        lambda: Totals.zero().fits(1.0, bad),
        lambda: Totals.zero().epsilon(bad),
    ):
        with pytest.raises(TypeError, match=r"must be a real number, got .*\("):
            call()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 5e-324, np.nan])
def test_values(bad):
    for name, call in {
        "mu": lambda: by_mu(bad),
        "epsilon": lambda: Charge.spend(bad, 1e-6),
        "delta": lambda: Charge.spend(1.0, bad),
        "delta ": lambda: Totals.zero().epsilon(bad),
        "epsilon ": lambda: Totals.zero().fits(bad, 1e-6),
    }.items():
        with pytest.raises(ValueError, match=f"{name.strip()} must be .* got"):
            call()


def test_nothing_is_no_charge_and_a_delta_of_one_no_privacy():
    with pytest.raises(ValueError, match="cannot both be 0"):
        Charge.spend(0, 0.0)
    for bad in (1, 1.0, 2.0):
        with pytest.raises(ValueError, match=r"delta must be in \[0, 1\)"):
            Charge.spend(1.0, bad)
        with pytest.raises(ValueError, match=r"delta must be in \[0, 1\)"):
            Totals.zero().epsilon(bad)
    with pytest.raises(ValueError, match="epsilon must be positive"):
        Totals.zero().fits(0.0, 1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1 2 3 4 5", "1 2 3 4 5 6 7", "1 2 3 4 5 -6", "1 2 3 4 5 6\n", " 1 2 3 4 5 6"]
    + ["1 2 3 4  5 6", "1 2 3 4 5 06", "1 2 3 4 5 6.0", "1 2 3 4 5 1_0", "1 2 3 4 5 ٣", None]
    + ["1 2 3 4 5 +6", b"1 2 3 4 5 6", "1 2 3 4 5 nan", "1 2 3 4 5 " + "9" * 5000],
)
def test_text_that_is_no_total(text):
    with pytest.raises(ValueError):
        Totals.from_text(text)


def test_text_is_exact_and_small():
    totals = total([pure(0.1), by_mu(1.0), Charge.spend(0.2, 1e-7)] * 1000)
    assert astuple(Totals.from_text(totals.to_text())) == astuple(totals)
    assert len(totals.to_text()) < 300
    assert total([pure(0.1)]).to_text().startswith(f"1 0 {10**39} ")
