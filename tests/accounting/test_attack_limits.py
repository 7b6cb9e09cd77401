"""Limits of attacks, against values that were computed in another way."""

import functools
import math

import mpmath
import numpy as np
import pytest

from skdistill.accounting.attack_limits import (
    gaussian_tpr,
    largest_balanced_accuracy,
    private_tpr,
)
from skdistill.accounting.loss import gaussian_delta

FPR = (1e-6, 0.001, 0.01, 0.2, 0.5, 0.99)


def tail(x):
    """The part of N(0, 1) above x, by integrating the density."""
    density = lambda z: mpmath.exp(-(z**2) / 2) / mpmath.sqrt(2 * mpmath.pi)  # noqa: E731
    return mpmath.quad(density, [x, 0 if x < 0 else x + 8, mpmath.inf])


@functools.cache
def threshold(fpr):
    """The x whose tail is fpr, by the secant method."""
    return mpmath.findroot(lambda x: mpmath.log(tail(x) / fpr), (0, 1), solver="secant")


def power_of_the_best_test(mu, fpr):
    """Of N(0, 1) against N(mu, 1)."""
    return float(tail(threshold(fpr) - mu))


@pytest.mark.parametrize("mu", [0.01, 0.2367, 1.0, 3.0])
@pytest.mark.parametrize("fpr", FPR)
def test_the_gaussian_limit_is_the_power_of_the_best_test(mu, fpr):
    assert gaussian_tpr(fpr, mu) == pytest.approx(power_of_the_best_test(mu, fpr), rel=1e-8)


def test_values_from_tables_of_the_normal_distribution():
    """Φ⁻¹(.01) = -2.326347874, Φ(-1.326347874) = .0923622, Φ(.5) = .691462, Φ(.05) = .519939."""
    assert gaussian_tpr(0.01, 1.0) == pytest.approx(0.0923622, abs=1e-7)
    assert largest_balanced_accuracy(9.0, mu=1.0) == pytest.approx(0.691462, abs=1e-6)
    assert largest_balanced_accuracy(9.0, mu=0.1) == pytest.approx(0.519939, abs=1e-6)


@pytest.mark.parametrize("mu", [0.2, 1.0, 2.5])
@pytest.mark.parametrize("fpr", [0.01, 0.1, 0.6])
def test_the_gaussian_limit_is_the_least_of_all_its_pairs_of_epsilon_and_delta(mu, fpr):
    """Duality (Dong, Roth and Su 2022, Proposition 2.12): no pair is below it, and one attains."""
    epsilons = np.linspace(0.0, 12.0, 4001)[1:]
    limits = [private_tpr(fpr, epsilon, gaussian_delta(mu, epsilon)) for epsilon in epsilons]
    limit = float(gaussian_tpr(fpr, mu))
    assert min(limits) >= limit - 1e-12
    assert min(limits) == pytest.approx(limit, rel=1e-4)  # as fine as the grid


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 0.1])
def test_balanced_accuracy_is_the_best_along_the_curve(epsilon, delta):
    fpr = np.linspace(0, 1, 200_001)
    best = ((private_tpr(fpr, epsilon, delta) + 1 - fpr) / 2).max()
    assert largest_balanced_accuracy(epsilon, delta) == pytest.approx(best, abs=1e-5)


def test_randomised_response_attains_the_limits_of_pure_privacy():
    """One bit, told as it is with probability e^ε / (1 + e^ε)."""
    epsilon = math.log(3)
    truth = 3 / 4
    assert largest_balanced_accuracy(epsilon) == pytest.approx(truth)
    assert float(private_tpr(1 - truth, epsilon)) == pytest.approx(truth)
    # A guess at random between this test and "never": every rate below is on the line.
    assert float(private_tpr((1 - truth) / 25, epsilon)) == pytest.approx(truth / 25)


def test_ends():
    assert gaussian_tpr([0.0, 1.0], 2.0).tolist() == [0.0, 1.0]
    assert private_tpr([0.0, 1.0], 2.0, 0.1).tolist() == [0.1, 1.0]
    assert largest_balanced_accuracy(0.0) == 0.5
    assert largest_balanced_accuracy(math.inf) == largest_balanced_accuracy(1.0, 1.0) == 1.0
