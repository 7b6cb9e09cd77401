r"""Composition: what several releases of one private data set cost together.

A total is six exact integers, whatever the number of charges, because all that the bounds need
are sums. In units of 10**-40, each charge rounded up:

=============  ================================================================================
squares        Σμ² of the Gaussian charges, which are μ-GDP
pure           Σε of all others
concentrated   Σ ε tanh(ε/2) of all others: an ε-DP release is ε tanh(ε/2)-zCDP
dominated      Σμ(ε)² of all others: an ε-DP release is μ(ε)-GDP, Φ(μ(ε)/2) = e^ε / (1 + e^ε)
delta          Σδ of the charges of unknown law
=============  ================================================================================

*Why.* Every ε-DP release is a post-processing of randomised response, which tells one of two data
sets with probability p = e^ε / (1 + e^ε) ([3]_). (zCDP) With g(t) = log cosh(ε √t),
its Rényi divergence of order α over α is [g((α - ½)²) - g(¼)] / [(α - ½)² - ¼], and g is concave,
since tanh(x)/x falls: it is at most g'(¼) = ε tanh(ε/2). (GDP) Its trade-off function is piecewise
linear, with the corner (1 - p, 1 - p) on that of N(0, 1) against N(μ(ε), 1), which is convex and
so stays below. An (ε, δ)-DP release is a post-processing of one that is ε-DP with probability
1 - δ, and gives everything away otherwise ([3]_).

An ε or a δ means the decimal that it prints: 0.1 is one tenth, and ten of them are 1.0. (The
float differs from its decimal by 2**-53, relatively; no noise is calibrated so closely.)

References
----------
.. [1] J. Dong, A. Roth, W. J. Su, "Gaussian differential privacy", JRSS B 84(1), 2022,
   arXiv:1905.02383.
.. [2] C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy",
   NeurIPS 2020, arXiv:2004.00010.
.. [3] P. Kairouz, S. Oh, P. Viswanath, "The composition theorem for differential privacy",
   IEEE Trans. Inf. Theory 63(6), 2017, arXiv:1311.0776.
.. [4] A. Smith, A. Thakurta, "Fully adaptive composition for Gaussian differential privacy",
   arXiv:2210.17520; A. Koskela, M. Tobaben, A. Honkela, "Individual privacy accounting with
   Gaussian differential privacy", ICLR 2023, arXiv:2209.15596.
.. [5] J. Whitehouse, A. Ramdas, R. Rogers, Z. S. Wu, "Fully adaptive composition in differential
   privacy", ICML 2023, arXiv:2203.05481.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri_exp

from skdistill.accounting.loss import (
    _DELTA_MARGIN,
    _SMALLEST_DELTA,
    PrivacyLoss,
    _bisect,
    _positive,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
)

__all__ = ["Charge", "Totals"]

_DIGITS = 40
_UNIT = 10**_DIGITS
_EXACT = Context(prec=60)  # a float prints 17 digits
# Above the rounding errors of the few operations that each is used for.
_MARGIN = 2.0**-40
_TEXT = re.compile("(0|[1-9][0-9]*)( (0|[1-9][0-9]*)){5}")


@dataclass(frozen=True)
class Charge:
    """What one release costs.

    Made by :meth:`of` or :meth:`spend`, never field by field.

    Parameters
    ----------
    kind : {"gaussian", "pure", "approximate"}
        Gaussian noise; (epsilon, 0)-DP; (epsilon, delta)-DP of unknown law.
    epsilon, delta : float
        The release is (epsilon, delta)-DP.
    cost : Totals
        The total of this charge alone.
    """

    kind: Literal["gaussian", "pure", "approximate"]
    epsilon: float
    delta: float
    cost: Totals

    @classmethod
    def of(cls, loss: PrivacyLoss) -> Charge:
        """Return the charge for a loss: by μ for Gaussian noise, by ε for Laplace noise."""
        if loss.mu is None:
            return cls.spend(loss.epsilon, loss.delta)
        cost = Totals(n=1, squares=_square(_positive(loss.mu, "mu")))
        return cls("gaussian", loss.epsilon, loss.delta, cost)

    @classmethod
    def spend(cls, epsilon: float, delta: float) -> Charge:
        """Return the charge for any (epsilon, delta)-DP release.

        Parameters
        ----------
        epsilon : float
            Finite, non-negative.
        delta : float
            In [0, 1); positive if `epsilon` is 0.

        Returns
        -------
        Charge

        Raises
        ------
        TypeError
            If a parameter is no real number (a bool, a string).
        ValueError
            If it is out of range, subnormal, or both are 0 (that is no release).
        """
        epsilon, delta = _amount(epsilon, "epsilon"), _probability(delta)
        if epsilon == delta == 0:
            raise ValueError("epsilon and delta cannot both be 0: every release has a cost.")
        pure = _units(epsilon, ROUND_CEILING)
        rate = min(1.0, math.tanh(epsilon / 2) * (1 + _MARGIN))
        cost = Totals(
            n=1,
            pure=pure,
            concentrated=_ceiling(pure, *rate.as_integer_ratio()),
            dominated=_square(_dominating_mu(epsilon) * (1 + _MARGIN)),
            delta=_units(delta, ROUND_CEILING),
        )
        return cls("pure" if delta == 0 else "approximate", epsilon, delta, cost)


@dataclass(frozen=True)
class Totals:
    """What a number of releases cost together (see the module for the fields).

    Made by :meth:`zero` and :meth:`add`. The order of the charges does not matter.
    """

    n: int = 0
    squares: int = 0
    pure: int = 0
    concentrated: int = 0
    dominated: int = 0
    delta: int = 0

    @classmethod
    def zero(cls) -> Totals:
        """Return the total of no charges."""
        return cls()

    def add(self, charge: Charge) -> Totals:
        """Return the total with one charge more."""
        cost = charge.cost
        return Totals(
            self.n + cost.n,
            self.squares + cost.squares,
            self.pure + cost.pure,
            self.concentrated + cost.concentrated,
            self.dominated + cost.dominated,
            self.delta + cost.delta,
        )

    @property
    def spent_mu(self) -> float | None:
        """Gaussian-DP parameter of the Gaussian charges together; None without any."""
        return _root(self.squares) if self.squares else None

    @property
    def spent_epsilon(self) -> float:
        """Sum of the epsilons of the other charges."""
        return _float_up(self.pure)

    @property
    def spent_delta(self) -> float:
        """Sum of the deltas of the charges of unknown law."""
        return _float_up(self.delta)

    def epsilon(self, delta: float, *, adaptive: bool = False) -> float:
        r"""Return the least known ε (rounded up) for which the releases are (ε, δ)-DP together.

        Let S = Σμ² of the Gaussian charges, and δ' what the charges of unknown law leave of δ:
        they become ε-DP, and what goes wrong in them has probability Σδᵢ at most. Then

        1. without Gaussian charges, ε = Σεᵢ (Dwork and Roth 2014, Theorem 3.16);
        2. ε = Σεᵢ + :func:`gaussian_epsilon` (√S, δ');
        3. ε = :func:`gaussian_epsilon` (√(S + Σμ(εᵢ)²), δ') ([1]_, Corollary 3.3);
        4. ρ = S/2 + Σεᵢ tanh(εᵢ/2) in zCDP, and ε(ρ, δ') by [2]_, Proposition 12.

        Each holds for fixed amounts, in whatever order and however a release depends on the
        answers before it: composition is by products of trade-off functions, which commute
        ([1]_, Theorem 3.2), so that the charges can be grouped by kind. They are four statements
        about one and the same mechanism, so that the least is true. Only for amounts that
        depend on answers, see :meth:`fits`.

        Parameters
        ----------
        delta : float
            In [0, 1).
        adaptive : bool, default=False
            Use only 1 and 3, and none of them with charges of unknown law: see :meth:`fits`.

        Returns
        -------
        float
            inf where no finite ε is known. May exceed an ε that :meth:`fits` by its last digits.

        References
        ----------
        .. [1] Dong, Roth and Su, arXiv:1905.02383.
        .. [2] Canonne, Kamath and Steinke, arXiv:2004.00010.
        """
        left = self._left(_probability(delta), adaptive)
        if left is None:
            return math.inf
        bounds = [_float_up(self.pure)] if self.squares == 0 else []
        if left > 0 and self.squares + self.pure > 0:
            bounds.append(_gaussian_epsilon(self.squares + self.dominated, left))
            if not adaptive:
                gaussian = _gaussian_epsilon(self.squares, left)
                bounds.append((_float_up(self.pure) + gaussian) * (1 + 2.0**-50))
                bounds.append(_zcdp_epsilon(self.squares + 2 * self.concentrated, left))
        return min(bounds, default=math.inf)

    def fits(self, epsilon: float, delta: float, *, adaptive: bool = False) -> bool:
        r"""Tell whether the releases are (ε, δ)-DP together: the four bounds of :meth:`epsilon`.

        **Amounts that depend on answers.** Let the next charge (its kind and size, or whether
        there is one) be chosen by what earlier releases said, and stop before a total that does
        not fit. One bound at a time is then a privacy filter (1: Σε bounds the loss itself;
        3: [4]_; 4: [5]_, at the one order that converts the largest ρ). Several at a time are
        not: who sees the loss of a Gaussian release may go on with Gaussian noise if it is high,
        and take what bound 2 leaves for pure noise if it is low (which reaches 1.8 δ in the
        tests). What holds for a *union of filters* is the sum of their δ: if all that stays in
        the set Rⱼ of totals is (ε, δⱼ)-DP, split an event by the first j whose Rⱼ its totals
        never left, and stop the release when it leaves Rⱼ: P(A) = Σ P(A ∩ Aⱼ) ≤
        Σ e^ε Q(A ∩ Aⱼ) + δⱼ. Hence, for amounts that depend on answers,

        - Gaussian charges alone are (ε, δ)-DP, and so are pure ones alone while Σεᵢ ≤ ε;
        - with ``adaptive=True`` all is (ε, δ)-DP: the union of bound 1, whose δ is 0, and of
          bound 3, which cost 0 + δ. Charges of unknown law do not fit;
        - without it, all is ((1 + 1/k) ε, (k + 3) δ)-DP for every k ≥ 1. What goes wrong in
          charges of unknown law has probability δ at most; bounds 3 and 4 add δ each; bound 2 is
          cut into k filters by Σεᵢ ∈ ((j-1)ε/k, jε/k], where Σμ² is at most what ε - (j-1)ε/k
          allows. With Q̃ drawing Gaussian noise from Q and the rest from P,
          P(A) ≤ e^(ε - (j-1)ε/k) Q̃(A) + δ ([4]_), and Q̃ ≤ e^(jε/k) Q.

        Parameters
        ----------
        epsilon : float
            Positive and finite.
        delta : float
            In [0, 1).
        adaptive : bool, default=False
            Whether the amounts may depend on the answers of earlier releases.

        Returns
        -------
        bool

        References
        ----------
        .. [4] Smith and Thakurta, arXiv:2210.17520; Koskela et al., arXiv:2209.15596.
        .. [5] Whitehouse, Ramdas, Rogers and Wu, arXiv:2203.05481.
        """
        epsilon, delta = _positive(epsilon, "epsilon"), _probability(delta)
        left = self._left(delta, adaptive)
        if left is None:
            return False
        rest = _units(epsilon, ROUND_FLOOR) - self.pure
        if self.squares == 0 and rest >= 0:
            return True
        if left == 0:
            return False
        if self.squares + self.dominated <= _largest_squares(epsilon, left):
            return True
        if adaptive or self.pure == 0:
            return False
        if self.squares + 2 * self.concentrated <= _largest_zcdp(epsilon, left):
            return True
        if rest <= 0:
            return False
        rest_epsilon = rest / _UNIT * (1 - _MARGIN)
        return gaussian_delta(_root(self.squares), rest_epsilon) <= left * _DELTA_MARGIN

    def largest(
        self, epsilon: float, delta: float, like: Charge | PrivacyLoss, *, adaptive: bool = False
    ) -> float:
        """Return the largest ε of one more charge that still fits.

        Parameters
        ----------
        epsilon, delta : float
            What it must fit in.
        like : Charge or PrivacyLoss
            The kind of the charge and its delta.
        adaptive : bool, default=False
            See :meth:`fits`.

        Returns
        -------
        float
            Rounded down; 0.0 where none of at least 2**-60 fits.
        """

        def fits(charge: Charge) -> bool:
            return self.add(charge).fits(epsilon, delta, adaptive=adaptive)

        if like.kind != "gaussian":
            return _last(lambda x: fits(Charge.spend(x, like.delta)))
        mu = _last(lambda x: fits(Charge("gaussian", 0.0, 0.0, Totals(1, _square(x)))))
        largest, step = gaussian_epsilon(mu, like.delta) if mu > 0 else 0.0, 2.0**-32
        while largest >= 2.0**-60:
            if fits(Charge.of(PrivacyLoss.gaussian(largest, like.delta))):
                return largest
            largest, step = largest * (1 - step), min(2 * step, 0.5)
        return 0.0

    def to_text(self) -> str:
        """Return the total as six decimal integers."""
        return (
            f"{self.n} {self.squares} {self.pure} {self.concentrated} {self.dominated} {self.delta}"
        )

    @classmethod
    def from_text(cls, text: str) -> Totals:
        """Return the total that :meth:`to_text` wrote.

        Raises
        ------
        ValueError
            If it did not write this.
        """
        if not isinstance(text, str) or _TEXT.fullmatch(text) is None:
            raise ValueError("This text is not the total of a ledger.")
        return cls(*map(int, text.split(" ")))

    def _left(self, delta: float, adaptive: bool) -> float | None:
        """Return what is left of `delta`, rounded down; None where it does not suffice."""
        if self.delta == 0:
            left = delta
        elif adaptive or (units := _units(delta, ROUND_FLOOR) - self.delta) < 0:
            return None
        else:
            left = units / _UNIT * (1 - _MARGIN)
        return left if left >= _SMALLEST_DELTA else 0.0


def _dominating_mu(epsilon: float) -> float:
    r"""Return the μ for which every ε-DP release is μ-GDP: Φ(-μ/2) = 1 / (1 + e^ε).

    Where ε is small this loses its digits, and √(π/2) ε is a bound: 1/(1 + e^-ε) has the density
    cosh(ε/2)**-2 / 4, Φ(√(2π) ε/4) the density exp(-π ε²/16) / 4. The logarithm of their ratio,
    π t/16 - 2 log cosh(√t/2) with t = ε², is convex, and it falls from 0: the first distribution
    function grows more slowly at first and faster later, and both end at 1. So it is the lower.
    """
    if epsilon < 0.01:
        return math.sqrt(math.pi / 2) * epsilon
    return -2 * float(ndtri_exp(-epsilon - math.log1p(math.exp(-epsilon))))


def _gaussian_epsilon(squares: int, delta: float) -> float:
    """Return ε(√Σμ², δ), inf where it is no float."""
    if squares == 0:
        return 0.0
    try:
        return gaussian_epsilon(_root(squares), delta)
    except (ValueError, OverflowError):
        return math.inf


@lru_cache(maxsize=256)
def _largest_squares(epsilon: float, delta: float) -> int:
    """Return the largest Σμ² that is (ε, δ)-DP, rounded down.

    The shares of a release may exceed it by their roundings. :func:`gaussian_mu` leaves more
    of δ than the accuracy of :func:`gaussian_delta` (2**-40) needs: some of that is given here.
    """
    mu = gaussian_mu(epsilon, delta)
    for bits in (40, 44, 48):
        more = mu * (1 + 2.0**-bits)
        if gaussian_delta(more, epsilon) <= delta * (1 - 2.0**-39):
            mu = more
            break
    numerator, denominator = mu.as_integer_ratio()
    return numerator**2 * _UNIT // denominator**2


def _zcdp_epsilon(doubled: int, delta: float) -> float:
    """Return the least ε for which ρ-zCDP, given as 2ρ in units, is (ε, δ)-DP."""
    rho, log = _float_up(doubled) / 2 * (1 + _MARGIN), -math.log(delta)
    if rho == math.inf:
        return rho
    centre = math.log((log + 1) / rho) / 2
    return max(0.0, _least(lambda x: (1 + x) * rho + _conversion(x, log), centre))


@lru_cache(maxsize=256)
def _largest_zcdp(epsilon: float, delta: float) -> int:
    """Return the largest ρ, as 2ρ in units, for which ρ-zCDP is (ε, δ)-DP, rounded down."""
    log = -math.log(delta)
    root = epsilon / (math.sqrt(log + 1 + epsilon) + math.sqrt(log + 1))  # ε = ρ + 2 √(ρ log)
    centre = min(math.log(log + 1) / 2 - math.log(root), 600.0)
    rho = -_least(lambda x: (_conversion(x, log) - epsilon * (1 - _MARGIN)) / (1 + x), centre)
    numerator, denominator = max(0.0, 2 * rho * (1 - _MARGIN)).as_integer_ratio()
    return numerator * _UNIT // denominator


def _conversion(x: Any, log: float) -> Any:
    r"""Return ε minus the Rényi divergence of order α = 1 + x, at δ = exp(-log), rounded up.

    Proposition 12 of Canonne, Kamath and Steinke, arXiv:2004.00010: ε = D + log(1 - 1/α) -
    (log δ + log α) / (α - 1), for every α > 1. The best α is not needed exactly.
    """
    first, second = (log - np.log1p(x)) / x, np.log1p(1 / x)
    return first - second + _MARGIN * ((log + np.log1p(x)) / x + second)


def _least(function: Callable[[Any], Any], centre: float) -> float:
    """Return the least value found for log x around `centre`."""
    width = 4.0
    for _ in range(4):
        grid = centre + np.linspace(-width, width, 65)
        values = function(np.exp(grid))
        best = int(np.argmin(values))
        centre, width = float(grid[best]), width / 16
    return float(values[best])


def _last(holds: Callable[[float], bool]) -> float:
    """Return the last float at which a monotone condition holds, or 0.0 (below 2**-60)."""
    high = 1.0
    while holds(high):
        high *= 2
    low = high / 2
    while not holds(low):
        high, low = low, low / 2
        if low < 2.0**-60:
            return 0.0
    return _bisect(holds, failing=high, holding=low)


def _units(value: float, rounding: str) -> int:
    """Return the decimal that a float prints, in units."""
    return int(_EXACT.scaleb(Decimal(repr(value)), _DIGITS).to_integral_value(rounding))


def _float_up(units: int) -> float:
    """Return the first float that prints no less than this many units."""
    try:
        value = units / _UNIT
    except OverflowError:
        return math.inf
    while value < math.inf and _units(value, ROUND_FLOOR) < units:
        value = math.nextafter(value, math.inf)
    return value


def _square(mu: float) -> int:
    """Return the square of a float, in units, rounded up."""
    numerator, denominator = mu.as_integer_ratio()
    return _ceiling(_UNIT, numerator**2, denominator**2)


def _root(units: int) -> float:
    """Return the square root of units, rounded up."""
    value = math.isqrt(units * _UNIT) / _UNIT
    while _square(value) < units:
        value = math.nextafter(value, math.inf)
    return value


def _ceiling(units: int, numerator: int, denominator: int) -> int:
    """Return a fraction of units, rounded up."""
    return -(-units * numerator // denominator)


def _amount(value: Any, name: str) -> float:
    """Return `value` as a finite, normal float that is not negative, or raise."""
    if isinstance(value, Real) and not isinstance(value, bool) and value == 0:
        return 0.0
    return _positive(value, name)


def _probability(delta: Any) -> float:
    """Return `delta` as a float in [0, 1), or raise."""
    number = _amount(delta, "delta")
    if number >= 1:
        raise ValueError(f"delta must be in [0, 1), got {delta!r}.")
    return number
