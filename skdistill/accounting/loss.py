"""Privacy losses: the price of a calibrated release, and the noise it needs.

Everything here is computed from public quantities. Gaussian noise is accounted for by its
Gaussian-DP parameter μ = sensitivity / standard deviation (Dong, Roth and Su, JRSS B 84(1), 2022,
arXiv:1905.02383): a release is μ-GDP if telling two neighbouring data sets apart from it is at
least as hard as telling N(0, 1) from N(μ, 1). Releases compose by Σμ² (Corollary 2), which is why
a loss is shared by μ² and not by ε.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy.special import erfcx, ndtr

from skdistill._diffprivlib import load
from skdistill._numbers import check_number
from skdistill.accounting.relation import Relation, Unit

# gaussian_delta is accurate to 2**-40, relatively (tested); demanding this much less of it
# keeps every calibration on the safe side of its rounding errors.
_DELTA_MARGIN = 1 - 2.0**-36
# Scales are rounded up, and shares down, by far more than the few roundings they go through.
_ROUND_UP = 1 + 2.0**-40
_ROUND_DOWN = 1 - 2.0**-50
_SMALLEST_DELTA = 1e-300
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def gaussian_delta(mu: float, epsilon: float) -> float:
    r"""Return the smallest δ for which every μ-GDP release is (ε, δ)-DP.

    .. math:: \delta(\varepsilon) = \Phi(-u) - e^{\varepsilon}\,\Phi(-v),
       \qquad u = \varepsilon/\mu - \mu/2,\quad v = \varepsilon/\mu + \mu/2

    (Balle and Wang, arXiv:1805.06530, Theorem 8; Dong, Roth and Su, Corollary 1). As written it
    loses every digit to cancellation, and overflows. With the Mills ratio R(x) = Φ(-x)/φ(x), which
    ``erfcx`` computes without underflow, and e^ε φ(v) = φ(u) (because v² - u² = 2ε), it is
    φ(u) [R(u) - R(v)]; and where μ is small, so that this difference cancels,
    φ(u) ∫ᵤᵛ (1 - x R(x)) dx, because R'(x) = x R(x) - 1. The exponent u is rounded once, from
    exact rational arithmetic.

    Parameters
    ----------
    mu : float
        Gaussian-DP parameter, positive.
    epsilon : float
        Non-negative.

    Returns
    -------
    float
        In [0, 1]; relative error below 2**-40 where the result is at least 1e-300.

    Examples
    --------
    >>> from skdistill.accounting import gaussian_delta
    >>> round(gaussian_delta(mu=1.0, epsilon=1.0), 4)
    0.1269
    """
    mu = _positive(mu, "mu")
    epsilon = 0.0 if epsilon == 0 else _positive(epsilon, "epsilon")
    exact_u = Fraction(epsilon) / Fraction(mu) - Fraction(mu) / 2
    if exact_u > 39:  # φ(39) < 1e-330
        return 0.0
    u = float(max(exact_u, Fraction(-(10**6))))
    v = u + mu
    density = math.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    if mu < 0.5:
        x = u + mu * (_NODES + 1) / 2
        return float(density * mu / 2 * np.sum(_WEIGHTS * (1 - x * _mills(x))))
    if u <= 0:
        return float(ndtr(-u) - density * _mills(v))
    return float(density * (_mills(u) - _mills(v)))


def gaussian_epsilon(mu: float, delta: float) -> float:
    r"""Return the smallest ε (rounded up) for which every μ-GDP release is (ε, δ)-DP.

    Parameters
    ----------
    mu : float
        Gaussian-DP parameter, positive.
    delta : float
        In (0, 1).

    Returns
    -------
    float
        Never below the true value; 0.0 where the release is (0, δ)-DP.

    Notes
    -----
    :func:`gaussian_delta` falls as ε grows (its derivative is -e^ε Φ(-v)), so that bisection
    applies. It is at most Φ(-u) ≤ exp(-u²/2), hence ε = μ²/2 + μ √(2 ln(1/δ)) is enough.

    Examples
    --------
    >>> from skdistill.accounting import gaussian_epsilon
    >>> round(gaussian_epsilon(mu=1.0, delta=1e-6), 3)
    4.887
    """
    return _epsilon_of(_positive(mu, "mu"), _probability(delta))


@lru_cache(maxsize=1024)
def _epsilon_of(mu: float, delta: float) -> float:
    def private(epsilon: float) -> bool:
        return gaussian_delta(mu, epsilon) <= delta * _DELTA_MARGIN

    if private(0.0):
        return 0.0
    enough = 1.001 * mu * (mu / 2 + math.sqrt(2 * math.log(1 / delta)))
    if not math.isfinite(enough):
        raise ValueError(f"mu={mu!r} is too large: no finite epsilon describes the release.")
    return _bisect(private, failing=0.0, holding=enough)


def gaussian_mu(epsilon: float, delta: float) -> float:
    r"""Return the largest μ (rounded down) such that every μ-GDP release is (ε, δ)-DP.

    It is the inverse of the scale that diffprivlib's ``GaussianAnalytic`` (Balle and Wang,
    arXiv:1805.06530) gives to sensitivity 1. That search runs in plain floating point: it may end
    on the wrong side of δ, and it loses digits as ε grows or δ shrinks. Its figure is therefore
    taken only if :func:`gaussian_delta` confirms that it is safe, and tight to 2**-30; otherwise
    μ is found by bisection.

    Parameters
    ----------
    epsilon : float
        Positive and finite.
    delta : float
        In (0, 1).

    Returns
    -------
    float
        Never above the true value, and at most about 2**-30 below it, relatively (farther,
        but still safe, for δ above 0.99).

    Notes
    -----
    δ grows with μ: its derivative is φ(u), with u as in :func:`gaussian_delta`. A μ with
    δ(μ, ε) ≤ δ is therefore private, and so is every smaller one.

    Examples
    --------
    >>> from skdistill.accounting import gaussian_mu
    >>> round(gaussian_mu(epsilon=1.0, delta=1e-6), 4)
    0.2367
    """
    return _mu_of(_positive(epsilon, "epsilon"), _probability(delta))


@lru_cache(maxsize=1024)
def _mu_of(epsilon: float, delta: float) -> float:
    def too_much(mu: float) -> bool:
        return gaussian_delta(mu, epsilon) > delta * _DELTA_MARGIN

    proposed = _diffprivlib_mu(epsilon, delta) * (1 - 2.0**-34)
    if proposed > 0 and not too_much(proposed) and too_much(proposed * (1 + 2.0**-30)):
        return proposed
    low = high = 1.0
    while too_much(low):
        low /= 2
    while not too_much(high):
        high *= 2
    return _bisect(lambda mu: not too_much(mu), failing=high, holding=low)


@dataclass(frozen=True)
class PrivacyLoss:
    """The price of a release, and the noise with which a query costs no more.

    Made by :meth:`gaussian`, :meth:`laplace`, :meth:`of_mu` or :meth:`part`, never field by field.

    Parameters
    ----------
    kind : {"gaussian", "laplace"}
        The law of the noise.
    epsilon : float
        The release is (epsilon, delta)-DP.
    delta : float
        0.0 for Laplace noise.
    mu : float or None
        The release is mu-GDP; None for Laplace noise.
    unit : Unit, default=Unit.RECORD
        The object in which two neighbouring data sets differ: a record or a group.
    relation : Relation, default=Relation.REPLACE_ONE
        How neighbours differ.

    Examples
    --------
    >>> from skdistill.accounting import PrivacyLoss
    >>> loss = PrivacyLoss.gaussian(epsilon=1.0, delta=1e-6)
    >>> round(loss.mu, 4), round(loss.scale(1.0), 2)  # noise for numbers that move by 1
    (0.2367, 4.22)
    """

    kind: Literal["gaussian", "laplace"]
    epsilon: float
    delta: float
    mu: float | None
    unit: Unit = Unit.RECORD
    relation: Relation = Relation.REPLACE_ONE

    @classmethod
    def gaussian(cls, epsilon: float, delta: float) -> PrivacyLoss:
        """Return the (epsilon, delta)-DP loss of a release with Gaussian noise.

        Parameters
        ----------
        epsilon : float
            Positive and finite.
        delta : float
            In (0, 1).

        Returns
        -------
        PrivacyLoss
            Numbers out of range raise a ValueError, and values of other types a TypeError.
        """
        mu = gaussian_mu(epsilon, delta)
        return cls("gaussian", float(epsilon), float(delta), mu)

    @classmethod
    def laplace(cls, epsilon: float) -> PrivacyLoss:
        """Return the (epsilon, 0)-DP loss of a release with Laplace noise.

        Parameters
        ----------
        epsilon : float
            Positive and finite.

        Returns
        -------
        PrivacyLoss
            Its noise is Laplace noise, or another law with δ = 0.
        """
        return cls("laplace", _positive(epsilon, "epsilon"), 0.0, None)

    @classmethod
    def of_mu(cls, mu: float, delta: float) -> PrivacyLoss:
        """Return the loss of a mu-GDP release, stated at this delta.

        Parameters
        ----------
        mu : float
            Positive and finite.
        delta : float
            In (0, 1).

        Returns
        -------
        PrivacyLoss
            Its `epsilon` is the smallest that is true at `delta`, rounded up.
        """
        return cls("gaussian", gaussian_epsilon(mu, delta), float(delta), float(mu))

    def part(self, fraction: float | Fraction) -> PrivacyLoss:
        r"""Return a part of this loss, for one of several releases that share it.

        Releases whose fractions sum to at most 1 cost no more than this loss: Gaussian releases
        with :math:`\mu_i^2 = f_i \mu^2` are √Σμᵢ²-GDP together (Dong, Roth and Su, Corollary 2),
        Laplace ones with εᵢ = fᵢ ε are Σεᵢ-DP (Dwork and Roth 2014, Theorem 3.16). Each part is
        rounded down.

        Parameters
        ----------
        fraction : float or Fraction
            In (0, 1]: of μ² for Gaussian noise, of ε for Laplace noise.

        Returns
        -------
        PrivacyLoss
            For Gaussian noise its `epsilon` is true of the part alone at the same delta, and
            does not add: the epsilons of the parts sum to more than that of the whole.
        """
        fraction = _positive(fraction, "fraction")
        if fraction > 1:
            raise ValueError(f"fraction must be in (0, 1], got {fraction!r}.")
        if fraction == 1:
            return self
        if self.mu is None:
            return replace(
                self, epsilon=_positive(self.epsilon * fraction * _ROUND_DOWN, "epsilon")
            )
        mu = self.mu * math.sqrt(fraction) * _ROUND_DOWN
        return replace(self, epsilon=gaussian_epsilon(mu, self.delta), mu=mu)

    def scale(self, sensitivity: float) -> float:
        r"""Return the scale of the noise that a query of this sensitivity needs.

        N(0, (Δ₂/μ)²) on a query of L2 sensitivity Δ₂ is μ-GDP (Dong, Roth and Su, Theorem 1);
        Laplace noise of scale Δ₁/ε on a query of L1 sensitivity Δ₁ is (ε, 0)-DP (Dwork and Roth
        2014, Theorem 3.6). More noise of the same law is no less private, so the quotient is
        enlarged by 2**-40, above its rounding error.

        Parameters
        ----------
        sensitivity : float
            Positive; L2 for Gaussian noise, L1 for Laplace noise, of the whole release.

        Returns
        -------
        float
            Standard deviation of Gaussian noise; mean absolute value of Laplace noise.
        """
        sensitivity = _positive(sensitivity, "sensitivity")
        if self.mu is None:
            mechanism = load("mechanisms").Laplace(epsilon=self.epsilon, sensitivity=sensitivity)
            scale = float(mechanism.sensitivity / mechanism.epsilon) * _ROUND_UP
        else:
            scale = sensitivity / self.mu * _ROUND_UP
        if not _normal(scale):
            raise ValueError(
                f"The noise scale for sensitivity={sensitivity!r} at epsilon={self.epsilon!r} "
                "is outside the range of floating point. Choose a less extreme epsilon."
            )
        return scale


def _mills(x: Any) -> Any:
    """Return the Mills ratio (1 - Φ(x)) / φ(x)."""
    return math.sqrt(math.pi / 2) * erfcx(x / math.sqrt(2))


def _diffprivlib_mu(epsilon: float, delta: float) -> float:
    """Return the μ that diffprivlib calibrates, or nan where its arithmetic breaks down."""
    mechanism = load("mechanisms").GaussianAnalytic
    try:
        with np.errstate(all="ignore"):
            return 1 / float(mechanism(epsilon=epsilon, delta=delta, sensitivity=1.0)._scale)
    except ArithmeticError:
        return math.nan


def _bisect(holds: Callable[[float], bool], failing: float, holding: float) -> float:
    """Return the last float at which a monotone condition holds, between two floats."""
    while True:
        middle = failing + (holding - failing) / 2
        if middle in (failing, holding):
            return holding
        if holds(middle):
            holding = middle
        else:
            failing = middle


def _positive(value: Any, name: str) -> float:
    """Return `value` as a positive, finite, normal float, or raise."""
    return check_number(name, value, "positive and finite", _normal)


def _normal(value: Any) -> bool:
    return bool(sys.float_info.min <= value < math.inf)


def _probability(delta: Any) -> float:
    """Return the delta of Gaussian noise as a float, or raise."""
    below = f"in [{_SMALLEST_DELTA:g}, 1), below 1 / (number of records), such as 1e-6"
    wanted = f"{below} (mechanism='laplace' needs none)"
    return check_number("delta", delta, wanted, lambda v: _SMALLEST_DELTA <= v < 1)
