"""The two counters: exact, never below the true loss, and a filter after any past."""

import itertools
import math
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from skdistill.accounting import PrivacyLoss, gaussian_delta, gaussian_epsilon, gaussian_mu
from skdistill.accounting.composition import (
    Cap,
    Totals,
    _float_up,
    _largest_squares,
    _root,
    _square,
    dominating_mu,
)
from skdistill.accounting.relation import Relation, Unit, as_replace_one

UNIT = 10**40
PART = st.integers(0, 20).map(lambda k: k / 20)


def by_mu(mu):
    return PrivacyLoss("gaussian", 1.0, 1e-6, mu)


pure = PrivacyLoss.laplace


def total(losses):
    result = Totals()
    for loss in losses:
        result = result.add(loss)
    return result


def spend(cap, losses):
    """The totals after these losses, None as soon as one does not fit."""
    totals = Totals()
    for loss in losses:
        if (totals := cap.after(totals, loss)) is None:
            return None
    return totals


def exact_delta(mus, epsilons, epsilon):
    """The least delta of Gaussian releases and randomised responses, by enumeration."""
    with mpmath.workdps(50):
        mu = mpmath.sqrt(sum(mpmath.mpf(mu) ** 2 for mu in mus))
        epsilon, result = mpmath.mpf(epsilon), mpmath.mpf(0)
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
        return result


# ------------------------------------------------------------------------------ exact amounts


def test_ten_tenths_are_one():
    for delta in (0.0, 1e-6):
        cap = Cap.of(1.0, delta, pure=1.0)
        tenths = spend(cap, [pure(0.1)] * 10)
        assert tenths.epsilon(delta) == 1.0 and tenths.n == 10
        assert cap.remaining(tenths) == 0
        for more in (1e-300, 1e-20, 0.1):
            assert cap.after(tenths, pure(more)) is None
        assert spend(Cap.of(math.nextafter(1.0, 0), delta, 0.9999), [pure(0.1)] * 10) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 40), st.integers(0, 12))
def test_decimals_add_as_decimals(amount, times, digits):
    charge, cap = float(f"{amount}e-{digits}"), float(f"{amount * times}e-{digits}")
    assert total([pure(charge)] * times).epsilon(0) == cap
    assert spend(Cap.of(cap, 0), [pure(charge)] * times)
    assert spend(Cap.of(math.nextafter(cap, 0), 0), [pure(charge)] * times) is None


def test_a_charge_below_the_unit_costs_a_unit():
    assert total([pure(1e-300)]).pure == total([by_mu(1e-300)]).squares == 1


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-30, 1e150))
def test_amounts_are_rounded_up(x):
    assert 0 <= total([by_mu(x)]).squares - Fraction(x) ** 2 * UNIT < 1
    assert _root(_square(x)) <= x or x < 1e-11
    assert _square(_root(_square(x))) >= _square(x)
    units = total([pure(x)]).pure
    assert units >= Fraction(repr(x)) * UNIT > units - 1
    assert _float_up(units) == x or x < 1e-23


def test_a_gaussian_loss_fits_its_own_epsilon_and_delta():
    for epsilon, delta in itertools.product([1e-3, 0.1, 0.3, 1, 2.5, 40, 900], [1e-12, 1e-6, 0.1]):
        loss = PrivacyLoss.gaussian(epsilon, delta)
        for part in (0.0, 0.1, 0.5):
            cap = Cap.of(epsilon + part, delta, part)
            totals = cap.after(Totals(), loss)
            assert totals or (part and cap.epsilon - part < epsilon)
        cap = Cap.of(epsilon, delta)
        totals = cap.after(Totals(), loss)
        assert totals.epsilon(delta) == pytest.approx(epsilon, rel=1e-8)
        assert Cap.of(epsilon * (1 - 1e-8), delta).after(Totals(), loss) is None
        assert cap.after(totals, by_mu(loss.mu * 1e-3)) is None


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 800.0])
def test_the_shares_of_a_loss_fit_the_whole(epsilon):
    gaussian, laplace = PrivacyLoss.gaussian(epsilon, 1e-6), PrivacyLoss.laplace(epsilon)
    for fractions in ([0.5, 0.5], [0.02, 0.98], [0.2, 0.3, 0.5], [0.1] * 10):
        assert spend(Cap.of(epsilon, 1e-6), [gaussian.part(f) for f in fractions])
        assert spend(Cap.of(epsilon, 0), [laplace.part(f) for f in fractions])
    # a higher precision costs a difference of squares, rounded to a float
    for ratio in (0.1, 0.5, 0.9):
        first = gaussian.mu * ratio
        rest = math.nextafter(math.sqrt(gaussian.mu**2 - first**2), math.inf)
        assert spend(Cap.of(epsilon, 1e-6), [by_mu(first), by_mu(rest)])


@pytest.mark.parametrize("epsilon", [1e-6, 0.003, 0.00999, 0.01, 0.1, 1.0, 3.0, 10.0, 50.0])
def test_randomised_response_is_dominated(epsilon):
    mu = dominating_mu(epsilon)
    with mpmath.workdps(50):
        tight = -2 * mpmath.findroot(
            lambda x: mpmath.log(mpmath.ncdf(x) * (1 + mpmath.exp(epsilon))), -mu / 2
        )
        assert tight <= mu <= tight * (1 + (1e-11 if epsilon >= 0.01 else 1e-5))
        for fraction in (0, 0.2, 0.5, 0.9, 0.99, 1):
            response = exact_delta([], [epsilon], epsilon * fraction)
            assert response <= exact_delta([mu], [], epsilon * fraction)


# ----------------------------------------------------- never below the truth, for fixed amounts


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-2, 0.5).map(lambda x: 10**x), max_size=3),
    st.lists(st.floats(-2, 0.7).map(lambda x: 10**x), max_size=6),
    st.floats(-12, -0.7),
)
def test_never_below_the_exact_value(mus, epsilons, log_delta):
    epsilon = total([*map(by_mu, mus), *map(pure, epsilons)]).epsilon(10**log_delta)
    # a float may be below the decimal that it prints, by 2**-53
    assert exact_delta(mus, epsilons, epsilon * (1 + 2**-52)) <= 10**log_delta


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.01, 1).map(by_mu) | st.floats(0.01, 1).map(pure), max_size=6),
    st.floats(0.1, 4),
    PART,
    st.floats(-9, -1),
)
def test_whatever_a_cap_admits_is_private(losses, epsilon, part, log_delta):
    """Pure losses in either counter, in the order in which they come."""
    cap, totals, admitted = Cap.of(epsilon, 10**log_delta, epsilon * part), Totals(), []
    for loss in losses:
        after = cap.after(totals, loss)
        if after is not None:
            totals, admitted = after, [*admitted, loss]
    mus = [loss.mu for loss in admitted if loss.mu]
    epsilons = [loss.epsilon for loss in admitted if not loss.mu]
    assert exact_delta(mus, epsilons, cap.epsilon * (1 + 2**-52)) <= cap.delta
    assert totals.epsilon(cap.delta) <= cap.epsilon * (1 + 1e-8) and totals.n == len(admitted)


@pytest.mark.parametrize(
    ("mus", "epsilons", "most"),
    [
        ([1.0], [], 1e-6),
        ([0.3, 0.2, 0.5], [], 1e-6),
        ([0.3], [1.0], 0.02),
        ([0.3, 0.3], [0.1] * 5, 0.15),
        ([1.0], [2.0, 0.01], 0.02),
        ([0.1], [0.5, 0.5, 1.0], 0.1),
        ([0.2], [0.1] * 40, 1.1),
    ],
)
def test_above_dp_accounting(mus, epsilons, most):
    """By how much: the table of docs/theory.rst. (`most` is relative.)"""
    pld = pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")
    parameters = pytest.importorskip("dp_accounting.pld.common").DifferentialPrivacyParameters
    step = {"value_discretization_interval": 1e-3}
    theirs, *others = [
        *(pld.from_gaussian_mechanism(1 / mu, **step) for mu in mus),
        *(pld.from_privacy_parameters(parameters(e, 0), **step) for e in epsilons),
    ]
    for other in others:
        theirs = theirs.compose(other)
    for delta in (1e-9, 1e-6):
        ours = total([*map(by_mu, mus), *map(pure, epsilons)]).epsilon(delta)
        optimum = theirs.get_epsilon_for_delta(delta)
        assert optimum * (1 - 1e-4) <= ours <= optimum * (1 + most) + 1e-3


# --------------------------------------------------------- a filter: amounts chosen after looking


def attack(cap, target, steps=60, grid=6001, least_of_bounds=False):
    """The greatest delta that a user reaches who knows both data sets and looks at each answer.

    Gaussian noise in equal steps, as long as the cap admits them. At any moment the user may take
    all that is left of the pure part as one randomised response, and go on; or take the largest
    randomised response that the cap still admits in either counter, and stop. Optimal policy, by
    dynamic programming over the loss seen so far; returns E[(1 - exp(target - loss))+].
    """
    square = cap.largest_squares / UNIT / steps
    mu, sd = math.sqrt(square), math.sqrt(square * steps)
    loss = np.linspace(-9 * sd - 2 * cap.epsilon, 2 * cap.epsilon + 9 * sd, grid)
    dx = loss[1] - loss[0]
    half = int((8 * mu + square) / dx) + 3
    edges = (np.arange(-half, half + 2) - 0.5) * dx
    mass = np.diff(ndtr((edges - square / 2) / mu))
    mass /= mass.sum()

    def response(value, epsilon):
        p = 1 / (1 + math.exp(-epsilon))
        up, down = (np.interp(loss + sign * epsilon, loss, value) for sign in (1, -1))
        return p * up + (1 - p) * down

    def step(value):
        return np.convolve(np.pad(value, half, mode="edge"), mass[::-1], mode="valid")

    end = np.maximum(-np.expm1(target - loss), 0.0)
    used, unused = end, np.maximum(end, response(end, cap.pure) if cap.pure else end)
    for i in range(steps - 1, -1, -1):
        used, unused = step(used), step(unused)
        spent = Totals(i, int(i * square * UNIT), 0)
        largest = cap.remaining(spent)
        if least_of_bounds:  # the sum of epsilon and of the price of Gaussian noise so far
            gone = gaussian_epsilon(math.sqrt(i * square), cap.delta) if i else 0.0
            largest = max(largest, cap.epsilon - gone)
        unused = np.maximum(unused, response(end, largest)) if largest else unused
        unused = np.maximum(unused, response(used, cap.pure)) if cap.pure else unused
    return float(np.interp(0.0, loss, unused))


@pytest.mark.parametrize(
    ("epsilon", "delta", "part"),
    [(1.0, 1e-6, 0.0), (1.0, 1e-6, 0.5), (3.0, 1e-6, 1.0), (1.0, 1e-3, 0.9), (0.3, 1e-5, 0.1)],
)
def test_choosing_amounts_after_looking_gains_nothing(epsilon, delta, part):
    cap = Cap.of(epsilon, delta, part)
    assert attack(cap, epsilon) <= 1.02 * delta
    if part == 0.5:
        assert attack(cap, epsilon) > 0.3 * delta  # the attack spends the whole budget


def test_the_attack_finds_a_budget_that_is_no_filter():
    """The least of several bounds, which an earlier version used."""
    assert attack(Cap.of(1.0, 1e-6), 1.0, least_of_bounds=True) > 3e-6


# ------------------------------------------------------------------------------------ the parts


def test_the_parts_of_a_cap():
    cap = Cap.of(1.0, 1e-6, 0.4)
    gaussian = PrivacyLoss.gaussian(0.6, 1e-6)
    totals = spend(cap, [pure(0.4), gaussian])
    assert totals and cap.admits(totals) and not cap.admits(totals.add(pure(1e-9)))
    assert totals.epsilon(1e-6) == pytest.approx(1.0, rel=1e-8)
    assert cap.after(Totals(), PrivacyLoss.gaussian(0.61, 1e-6)) is None
    assert Cap.of(1.0, 0.0).pure == 1.0 and Cap.of(1.0, 0.0).largest_squares == 0
    assert Cap.of(1.0, 1e-6, 1.0).largest_squares == 0
    assert Cap.of(1.0, 1e-6).largest_pure == 0
    assert Cap.of(1.0, 1e-6).after(Totals(), pure(0.3)) is None


def test_a_pure_release_without_room_is_counted_as_gaussian():
    cap = Cap.of(1.0, 1e-6, 0.1)
    totals = spend(cap, [pure(0.08), pure(0.05)])
    assert totals.pure == 8 * 10**38 and totals.squares == _square(dominating_mu(0.05))
    assert cap.after(totals, pure(0.02)).pure == 10**39


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1).map(by_mu) | st.floats(1e-3, 1).map(pure), max_size=4),
    st.floats(1e-3, 1).map(by_mu) | st.floats(1e-3, 1).map(pure),
    st.floats(0.05, 10),
    PART,
    st.sampled_from([Relation.REPLACE_ONE, Relation.ADD_OR_REMOVE]),
)
def test_the_largest_charge_that_fits(losses, like, epsilon, part, relation):
    cap, totals = Cap.of(epsilon, 1e-6, epsilon * part), Totals()
    for loss in losses:
        totals = cap.after(totals, loss) or totals
    like = replace(like, relation=relation)
    largest = cap.largest(totals, like)

    def fits(epsilon):
        loss = replace(like, epsilon=epsilon)
        if like.mu is not None:
            loss = replace(loss, mu=gaussian_mu(epsilon, like.delta))
        return cap.after(totals, loss) is not None

    assert largest == 0 or fits(largest)
    assert not fits(largest * (1 + 1e-8) + 1e-15)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 1.0])
def test_what_remains(part):
    cap = Cap.of(1.0, 1e-6, part)
    totals = spend(cap, [pure(0.02), pure(0.01)])
    left = cap.remaining(totals)
    assert cap.after(totals, pure(left)) is not None
    assert cap.after(totals, pure(left * (1 + 1e-8))) is None


def test_the_largest_charge_is_printed_as_one_would_write_it():
    spent = total([pure(0.1)] * 7)
    assert Cap.of(1.0, 0).largest(spent, pure(5.0)) == Cap.of(1.0, 0).remaining(spent) == 0.3
    assert Cap.of(0.7, 1e-6, 0.7).largest(spent, pure(5.0)) == 0.0
    gaussian = PrivacyLoss.gaussian(1.0, 1e-6)
    assert Cap.of(1.0, 0).largest(spent, gaussian) == 0.0
    assert Cap.of(1.7, 1e-6, 0.7).largest(spent, gaussian) == pytest.approx(1.0, rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3, 3), st.floats(-12, -0.3), PART)
def test_the_threshold_of_squares_is_safe(log_epsilon, log_delta, part):
    epsilon, delta = 10**log_epsilon, 10**log_delta
    squares = _largest_squares(epsilon, delta, epsilon * part)
    if squares:
        assert gaussian_delta(math.sqrt(squares / UNIT), epsilon * (1 - part)) <= delta * (1 + 1e-9)
        with mpmath.workdps(60):
            mu = mpmath.sqrt(mpmath.mpf(squares) / UNIT)
            rest = mpmath.mpf(repr(epsilon)) - mpmath.mpf(repr(epsilon * part))
            assert exact_delta([mu], [], rest) <= delta


# ------------------------------------------------------------------------- relation and unit

ADDED, GROUPS = {"relation": Relation.ADD_OR_REMOVE}, {"unit": Unit.GROUP}


def test_a_loss_under_add_or_remove_counts_twice():
    cap = Cap.of(2.0, 1e-6, 1.0)
    assert cap.after(Totals(), replace(pure(0.5), **ADDED)) == total([pure(1.0)])
    doubled = cap.after(Totals(), replace(by_mu(0.1), **ADDED)).squares
    assert 0 <= doubled - total([by_mu(0.2)]).squares <= 4  # each is rounded up
    among_gaussian = Cap.of(20.0, 1e-6, 1.0).after(Totals(), replace(pure(0.51), **ADDED))
    assert among_gaussian == Totals(1, _square(dominating_mu(1.02)), 0)
    assert as_replace_one(0.5, 0.0, Relation.ADD_OR_REMOVE) == (1.0, 0.0)
    # Group privacy for (ε, δ) gives (2ε, δ(1 + e^ε)), which is not less than 2μ
    mu, epsilon = 0.2, 0.7
    doubled = as_replace_one(epsilon, gaussian_delta(mu, epsilon), Relation.ADD_OR_REMOVE)
    assert gaussian_delta(2 * mu, doubled[0]) <= doubled[1]
    same = Cap.of(2.0, 1e-6, 1.0, "add-or-remove")
    assert same.after(Totals(), replace(pure(1.0), **ADDED)) == total([pure(1.0)])


def test_what_cannot_be_converted_is_refused():
    with pytest.raises(ValueError, match="takes the number of records for public"):
        Cap.of(1.0, 1e-6, 1.0, "add-or-remove").after(Totals(), pure(0.1))
    for unit, loss in (("record", replace(pure(0.1), **GROUPS)), ("group", pure(0.1))):
        with pytest.raises(ValueError, match=f"protects one {loss.unit}.* protects one {unit}"):
            Cap.of(1.0, 1e-6, 1.0, unit=unit).after(Totals(), loss)
    assert Cap.of(1.0, 1e-6, 1.0, unit="group").after(Totals(), replace(pure(0.1), **GROUPS))


# -------------------------------------------------------------------------------- invalid amounts


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e150, 1.7e308])
def test_extreme_amounts(size):
    for loss in (pure(size), by_mu(size)):
        assert total([loss]).epsilon(1e-6) >= 0
        after = Cap.of(1.0, 1e-6, 0.5).after(Totals(), loss)
        assert (after is not None) == (size < 1)


def test_nothing_costs_nothing():
    assert Totals().epsilon(0) == Totals().epsilon(0.5) == Totals().mu == 0.0
    assert total([by_mu(0.1)]).epsilon(0) == math.inf
    with pytest.raises(FrozenInstanceError):
        Totals().squares = 1


@pytest.mark.parametrize("bad", [True, False, np.True_, "1", None, 1j, [1.0]])
def test_types(bad):
    for call in (
        lambda: Cap.of(bad, 1e-6),
        lambda: Cap.of(1.0, bad),
        lambda: Cap.of(1.0, 1e-6, bad),
        lambda: total([by_mu(0.1)]).epsilon(bad),
        lambda: Totals().add(PrivacyLoss("laplace", bad, 0.0, None)),
    ):
        with pytest.raises(TypeError, match="is not a number"):
            call()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 5e-324])
def test_values(bad):
    for name, call in {
        "mu": lambda: Totals().add(by_mu(bad)),
        "epsilon": lambda: Cap.of(bad, 1e-6),
        "delta": lambda: Cap.of(1.0, bad),
        "pure": lambda: Cap.of(1.0, 1e-6, bad),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be"):
            call()
    for call in (lambda: Cap.of(1.0, 1.0), lambda: Cap.of(1.0, 1e-6, 1.1), lambda: Cap.of(0, 0.1)):
        with pytest.raises(ValueError, match="must be"):
            call()
    for words, valid in ({"relation": "other"}, "'replace-one'"), ({"unit": "house"}, "'group'"):
        with pytest.raises(ValueError, match=f"not a valid {next(iter(words))}: give .*{valid}"):
            Cap.of(1.0, 1e-6, **words)
