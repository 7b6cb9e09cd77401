"""Attacks on the noise: can releases of neighbouring outputs be told apart beyond the claim?"""

import math

import numpy as np
import pytest
from scipy import stats

from skdistill._diffprivlib import load
from skdistill.accounting import PrivacyLoss
from skdistill.release.noise import active_sampler

RELEASES = 40_000
FALSE_ALARM = 1e-6


def events(x, step):
    """Events on an output x, for neighbouring values 0 and `step`: yields boolean arrays.

    Divisibility by powers of two (the grid that a floating-point sum lies on), single digits,
    magnitudes and gaps to either value, thresholds. All are fixed before any output is seen.
    """
    x = np.asarray(x, dtype=np.float64)
    for exponent in range(-64, 28):
        scaled = np.ldexp(x, -exponent)
        floor = np.floor(scaled)
        yield scaled == floor
        yield np.fmod(floor, 2) != 0
    for gap in (x, x - step):
        yield gap == 0
        for exponent in range(-24, 6):
            yield np.abs(gap) <= np.ldexp(step, exponent)
    for threshold in np.linspace(-10, 11, 85):
        yield x <= threshold * step


def epsilon_lower_bound(first, second, delta, step):
    """Lower bound on the epsilon of a mechanism, from outputs on two neighbouring inputs.

    If it is (epsilon, delta)-DP, P(E) <= e**epsilon Q(E) + delta for an event E and for its
    complement, P and Q either way round. Clopper-Pearson bounds on both probabilities; every
    one of them fails with probability `FALSE_ALARM / (number of bounds)`, so that the bound
    exceeds the true epsilon with probability at most `FALSE_ALARM`.
    """
    counts = np.array(
        [
            (int(e.sum()), int(f.sum()))
            for e, f in zip(events(first, step), events(second, step), strict=True)
        ]
    )
    alpha = FALSE_ALARM / (4 * len(counts))  # two probabilities, a bound on either side of each
    n = len(first)
    low = np.nan_to_num(stats.beta.ppf(alpha, counts, n - counts + 1), nan=0.0)
    high = np.nan_to_num(stats.beta.isf(alpha, counts + 1, n - counts), nan=1.0)
    p, q = (
        (low[:, 0], low[:, 1], 1 - high[:, 0], 1 - high[:, 1]),
        ((high[:, 1], high[:, 0], 1 - low[:, 1], 1 - low[:, 0])),
    )
    ratios = (np.concatenate(p) - delta) / np.concatenate(q)
    return math.log(max(1.0, ratios.max()))


def released(value, loss, sensitivity, sampler="exact", n=RELEASES):
    """Separate releases of one value."""
    return active_sampler(sampler).perturb(np.full(n, value), loss, sensitivity)


LOSSES = {
    "laplace 1": PrivacyLoss.laplace(1.0),
    "laplace 0.1": PrivacyLoss.laplace(0.1),
    "gaussian 1": PrivacyLoss.gaussian(1.0, 1e-6),
    "gaussian 4": PrivacyLoss.gaussian(4.0, 1e-6),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 1000, 2**20, 2**20 + 1])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_claim_holds(loss, step):
    """False alarms: at most 1e-6 for each of the 20 cases (Bonferroni over all events)."""
    bound = epsilon_lower_bound(
        released(0, loss, step), released(step, loss, step), loss.delta, step
    )
    assert bound <= loss.epsilon


def test_attack_is_nearly_tight_on_laplace():
    """P(x <= 0) differs by e**epsilon: the attack sees most of the difference."""
    loss = LOSSES["laplace 1"]
    bound = epsilon_lower_bound(released(0, loss, 2**20), released(2**20, loss, 2**20), 0.0, 2**20)
    assert bound > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("laplace 1", 0.7), ("gaussian 4", 0.4)])
def test_too_little_noise_is_caught(name, share):
    """Noise for a part of the sensitivity: the bound exceeds the claim.

    For the Gaussian the event x <= -step/2 alone shows it, with 11,800 of 80,000 releases against
    67, but for a probability of 3e-10 (of 40,000 releases it is 2 %); for Laplace noise x <= 0
    does, but for one below 1e-11.
    """
    loss, step = LOSSES[name], 2**20
    first, second = (released(value, loss, share * step, n=2 * RELEASES) for value in (0, step))
    assert epsilon_lower_bound(first, second, loss.delta, step) > loss.epsilon


@pytest.mark.slow
def test_floating_point_noise_of_diffprivlib_is_caught():
    """At epsilon = 1, on the neighbouring values 0 and 1."""
    mechanism = load("mechanisms").Laplace(epsilon=1.0, sensitivity=1.0)
    first, second = (
        np.array([mechanism.randomise(value) for _ in range(RELEASES)]) for value in (0.0, 1.0)
    )
    assert epsilon_lower_bound(first, second, 0.0, 1) > 3
    loss = LOSSES["laplace 1"]
    first, second = (released(value, loss, 1, "diffprivlib") for value in (0, 1))
    assert epsilon_lower_bound(first, second, 0.0, 1) > 3
