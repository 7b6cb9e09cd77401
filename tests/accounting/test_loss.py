"""A calibrated Gaussian never overspends: checked against 60-digit arithmetic."""

import math
from dataclasses import FrozenInstanceError
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill._diffprivlib import load
from skdistill.accounting import PrivacyLoss, gaussian_delta, gaussian_epsilon, gaussian_mu
from skdistill.accounting.loss import _diffprivlib_mu

EPSILONS = [1e-6, 1e-4, 1e-2, 0.1, 0.5, 1.0, 3.0, 10.0, 40.0, 300.0, 705.0, 1e3, 1e4]
DELTAS = [1e-15, 1e-12, 1e-9, 1e-6, 1e-5, 1e-3, 0.1, 0.5]


def exact_delta(mu, epsilon):
    """Theorem 8 of Balle and Wang as it is written, with as many digits as it needs."""
    with mpmath.workdps(120):
        mu, epsilon = mpmath.mpf(mu), mpmath.mpf(epsilon)

        def phi(x):
            return mpmath.erfc(-x / mpmath.sqrt(2)) / 2

        return phi(mu / 2 - epsilon / mu) - mpmath.exp(epsilon) * phi(-mu / 2 - epsilon / mu)


@pytest.mark.parametrize(
    ("mu", "epsilon"),
    [(1, 0), (1e-8, 0), (60, 0), (1, 1), (0.4999, 3), (0.5, 3), (1e-6, 2e-5), (140, 1e4)]
    + [(1e-3, 0.03), (100, 1e-3), (2e3, 2e6), (1.3e-8, 4e-7), (20, 900), (1e150, 1)],
)
def test_delta_has_twelve_digits(mu, epsilon):
    assert gaussian_delta(mu, epsilon) == pytest.approx(
        float(exact_delta(mu, epsilon)), rel=2.0**-40, abs=0
    )


@settings(max_examples=300, deadline=None)
@given(st.floats(-8, 36), st.floats(-8, 6))
def test_delta_wherever_it_is_representable(u, log_epsilon):
    epsilon = 10**log_epsilon
    root = math.sqrt(u * u + 2 * epsilon)
    mu = 2 * epsilon / (u + root) if u > 0 else root - u  # u = epsilon/mu - mu/2, solved
    exact = exact_delta(mu, epsilon)
    if exact > 1e-300:
        assert abs(gaussian_delta(mu, epsilon) / exact - 1) < 2.0**-40


def test_delta_at_the_ends():
    assert gaussian_delta(1e-300, 1e300) == 0.0
    assert gaussian_delta(1e300, 1e-300) == 1.0
    assert gaussian_delta(1.0, 1e4) == 0.0


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_mu_never_overshoots_and_is_tight(epsilon):
    for delta in DELTAS:
        mu = gaussian_mu(epsilon, delta)
        assert exact_delta(mu, epsilon) <= delta
        assert exact_delta(mu * (1 + 1e-9), epsilon) > delta


def test_diffprivlib_alone_is_not_enough():
    """Its calibration makes too little noise here, which is why it is verified."""
    assert exact_delta(_diffprivlib_mu(1.0, 1e-15), 1.0) > 1e-15 * (1 + 1e-4)


def test_mu_is_that_of_diffprivlib_where_it_is_accurate():
    mechanism = load("mechanisms").GaussianAnalytic
    for epsilon in (0.1, 1.0, 3.0):
        scale = mechanism(epsilon=epsilon, delta=1e-5, sensitivity=1.0)._scale
        assert gaussian_mu(epsilon, 1e-5) == pytest.approx(1 / scale, rel=1e-9, abs=0)


@pytest.mark.parametrize(
    ("epsilon", "delta"),
    [(1e-300, 1e-6), (1e300, 1e-6), (1e4, 1e-300), (1e-6, 1e-300), (1.0, 1 - 2.0**-53)],
)
def test_extreme_parameters_are_safe(epsilon, delta):
    mu = gaussian_mu(epsilon, delta)
    assert 0 < mu < math.inf
    with mpmath.workdps(400):
        assert gaussian_delta(mu, epsilon) <= delta
    if epsilon < 1e5:
        assert exact_delta(mu, epsilon) <= delta


@settings(max_examples=100, deadline=None)
@given(st.floats(-6, 2), st.floats(-15, -0.4))
def test_epsilon_never_undershoots_and_is_tight(log_mu, log_delta):
    mu, delta = 10**log_mu, 10**log_delta
    epsilon = gaussian_epsilon(mu, delta)
    assert exact_delta(mu, epsilon) <= delta
    if epsilon > 0:
        assert exact_delta(mu, epsilon * (1 - 1e-9)) > delta * (1 - 2.0**-35)


def test_epsilon_inverts_mu():
    for epsilon in EPSILONS:
        again = gaussian_epsilon(gaussian_mu(epsilon, 1e-6), 1e-6)
        assert again == pytest.approx(epsilon, rel=1e-7)


def test_epsilon_of_a_small_mu_is_zero():
    assert gaussian_epsilon(1e-8, 1e-6) == 0.0


def test_mu_too_large_for_an_epsilon():
    with pytest.raises(ValueError, match="no finite epsilon"):
        gaussian_epsilon(1e300, 1e-6)


def test_losses():
    gaussian, laplace = PrivacyLoss.gaussian(1, 1e-6), PrivacyLoss.laplace(2)
    assert (gaussian.kind, gaussian.epsilon, gaussian.delta) == ("gaussian", 1.0, 1e-6)
    assert gaussian.mu == gaussian_mu(1.0, 1e-6)
    assert laplace == PrivacyLoss("laplace", 2.0, 0.0, None)
    with pytest.raises(FrozenInstanceError):
        laplace.epsilon = 3.0
    assert PrivacyLoss.gaussian(np.float32(1), np.float64(1e-6)) == gaussian
    assert PrivacyLoss.laplace(np.int64(2)) == laplace


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-6, 1e9))
def test_scale_is_rounded_up(epsilon, sensitivity):
    for loss in (PrivacyLoss.laplace(epsilon), PrivacyLoss.gaussian(epsilon, 1e-6)):
        divisor = mpmath.mpf(loss.mu or loss.epsilon)
        with mpmath.workdps(60):
            least = mpmath.mpf(sensitivity) / divisor
            assert least < loss.scale(sensitivity) < least * (1 + mpmath.mpf(2) ** -39)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-4, 1), min_size=1, max_size=20), st.floats(1e-2, 1e2))
def test_shares_cost_no_more_than_the_whole(weights, epsilon):
    fractions = [weight / (math.fsum(weights) * (1 + 2.0**-50)) for weight in weights]
    gaussian, laplace = PrivacyLoss.gaussian(epsilon, 1e-6), PrivacyLoss.laplace(epsilon)
    with mpmath.workdps(60):
        squares = [mpmath.mpf(gaussian.part(fraction).mu) ** 2 for fraction in fractions]
        assert sum(squares) <= mpmath.mpf(gaussian.mu) ** 2
        assert sum(squares) == pytest.approx(float(gaussian.mu) ** 2, rel=1e-9)
        epsilons = [mpmath.mpf(laplace.part(fraction).epsilon) for fraction in fractions]
        assert sum(epsilons) <= mpmath.mpf(epsilon)
        assert sum(epsilons) == pytest.approx(epsilon, rel=1e-9)


@pytest.mark.parametrize("fractions", [[0.5, 0.5], [0.375, 0.625], [0.0625] * 16])
def test_shares_that_sum_to_exactly_one(fractions):
    """No slack from the fractions: roundings alone could make the parts cost more."""
    for epsilon in np.geomspace(0.01, 100, 40):
        gaussian, laplace = PrivacyLoss.gaussian(epsilon, 1e-6), PrivacyLoss.laplace(epsilon)
        squares = [Fraction(gaussian.part(fraction).mu) ** 2 for fraction in fractions]
        assert sum(squares) <= Fraction(gaussian.mu) ** 2
        epsilons = [Fraction(laplace.part(fraction).epsilon) for fraction in fractions]
        assert sum(epsilons) <= Fraction(laplace.epsilon)


def test_a_share_states_its_own_epsilon():
    whole = PrivacyLoss.gaussian(1.0, 1e-6)
    part = whole.part(0.25)
    assert part.mu == pytest.approx(whole.mu / 2, rel=1e-9)
    assert exact_delta(part.mu, part.epsilon) <= part.delta == 1e-6
    assert whole.part(1) is whole


NOT_NUMBERS = [True, np.True_, "1", None, 1j, [1.0]]
NOT_POSITIVE = [math.nan, math.inf, -math.inf, -1.0, 0.0, 5e-324]


@pytest.mark.parametrize("bad", NOT_NUMBERS)
def test_types(bad):
    loss = PrivacyLoss.laplace(1.0)
    for call in (
        lambda: PrivacyLoss.gaussian(bad, 1e-6),
        lambda: PrivacyLoss.gaussian(1.0, bad),
        lambda: PrivacyLoss.laplace(bad),
        lambda: loss.scale(bad),
        lambda: loss.part(bad),
        lambda: gaussian_delta(bad, 1.0),
    ):
        with pytest.raises(TypeError, match="is not a number"):
            call()


@pytest.mark.parametrize("bad", NOT_POSITIVE)
def test_values(bad):
    loss = PrivacyLoss.gaussian(1.0, 1e-6)
    for name, call in {
        "epsilon": lambda: PrivacyLoss.gaussian(bad, 1e-6),
        "delta": lambda: PrivacyLoss.gaussian(1.0, bad),
        "sensitivity": lambda: loss.scale(bad),
        "fraction": lambda: loss.part(bad),
    }.items():
        with pytest.raises(ValueError, match=name):
            call()


@pytest.mark.parametrize("bad", [1.0, 1.5, 1e-305])
def test_delta_out_of_range(bad):
    with pytest.raises(ValueError, match="delta must be in .* such as 1e-6"):
        PrivacyLoss.gaussian(1.0, bad)


def test_delta_zero_points_to_laplace():
    with pytest.raises(ValueError, match="mechanism='laplace'"):
        PrivacyLoss.gaussian(1.0, 0)


def test_fraction_above_one():
    with pytest.raises(ValueError, match="fraction must be in"):
        PrivacyLoss.laplace(1.0).part(1.01)


def test_scale_out_of_range():
    with pytest.raises(ValueError, match="less extreme epsilon"):
        PrivacyLoss.laplace(1e-300).scale(1e300)
    with pytest.raises(ValueError, match="less extreme epsilon"):
        PrivacyLoss.laplace(1e300).scale(1e-300)
