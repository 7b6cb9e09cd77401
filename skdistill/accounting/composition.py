r"""Composition: the joint promise of all releases that are charged to one budget.

A budget is a :class:`Cap` (ε, δ, p) that is fixed before the first release, and there are two
counters. Both are exact integers in units of 10**-40, and every charge is rounded up.

=============  ===============================  ==============================================
counter        it adds                          it stays within
=============  ===============================  ==============================================
``pure``       ε of the releases with δ = 0     p
``squares``    μ² of the Gaussian releases      S, for which √S-GDP is (ε - p, δ)-DP
=============  ===============================  ==============================================

A release with δ = 0 that finds no room in ``pure`` is counted in ``squares``, as the Gaussian
release that dominates it (:func:`dominating_mu`).

**Theorem.** Let releases of one private data set be charged one after another. Each of them, its
mechanism, kind and amount, and whether there is another one, may depend on everything that was
seen before. If both counters stay within their parts, all releases together are (ε, δ)-DP.

An ε or a δ means the decimal that it prints: 0.1 is one tenth, and ten of them are 1.0.

References
----------
.. [1] J. Dong, A. Roth, W. J. Su, "Gaussian differential privacy", JRSS B 84(1), 2022,
   arXiv:1905.02383.
.. [2] A. Smith, A. Thakurta, "Fully adaptive composition for Gaussian differential privacy",
   arXiv:2210.17520; A. Koskela, M. Tobaben, A. Honkela, "Individual privacy accounting with
   Gaussian differential privacy", ICLR 2023, arXiv:2209.15596.
.. [3] P. Kairouz, S. Oh, P. Viswanath, "The composition theorem for differential privacy",
   IEEE Trans. Inf. Theory 63(6), 2017, arXiv:1311.0776.

Notes
-----
*Proof of the theorem.* Let P and Q be the laws of everything that is seen on the neighbouring
data sets D and D'. Let Q̃ be the law where the releases counted in ``squares`` are made on D' and
those counted in ``pure`` on D. The counter of a release is a function of the earlier releases,
so that Q̃ is well defined.

1. *P(A) ≤ e^(ε-p) Q̃(A) + δ for every event A.* P and Q̃ differ only in the releases counted in
   ``squares``. Given the past, the i-th is μᵢ-GDP, so it is a post-processing of one draw from
   N(0, 1) or N(μᵢ, 1) ([1]_, Theorem 2.10), and it is enough to look at these draws. Add one more
   with the unused S - Σμᵢ²; that can only tell more. Multiplied by μᵢ, the i-th draw is the
   increment, over a time of length μᵢ², of a Brownian motion whose drift is 0 under P and 1 under
   Q̃. The past decides when this time begins and how long it is, that is, both are stopping
   times, so that the increments join to one Brownian motion on [0, S] (strong Markov property).
   All that was seen is a function of its path and of randomness that has one law under P and Q̃.
   The end of the path is sufficient for the drift, and it is N(0, S) or N(S, S): √S-GDP. (This
   is the filter of [2]_.)
2. *Q̃(A) ≤ e^p Q(A).* Q̃ and Q differ only in the releases counted in ``pure``. Given the past,
   the density ratio of each is at most e^εᵢ, so that their product is at most e^p on every path.

Together, P(A) ≤ e^ε Q(A) + δ. The δ is not multiplied by e^p, because step 1 comes first.

The least of several bounds has no such proof: one bound may be used where the loss seen so far is
high and another where it is low, and together they exceed δ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Any

from scipy.special import ndtri_exp

from skdistill._numbers import check_number
from skdistill.accounting.loss import (
    _SMALLEST_DELTA,
    PrivacyLoss,
    _bisect,
    _normal,
    _positive,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
)
from skdistill.accounting.relation import Relation, Unit

_DIGITS = 40
_UNIT = 10**_DIGITS
_EXACT = Context(prec=60)  # a float prints 17 digits
# Above the rounding errors of the few operations that it is used for.
_MARGIN = 2.0**-40


@dataclass(frozen=True)
class Totals:
    """Number of charges, and the two counters: Σμ² and Σε, in units of 10**-40."""

    n: int = 0
    squares: int = 0
    pure: int = 0

    def add(self, loss: PrivacyLoss) -> Totals:
        """Return the counters after one more release, in the counter of its kind."""
        return self.plus(*_cost(loss))

    def plus(self, squares: int, pure: int) -> Totals:
        """Return the counters after one more release of this cost."""
        return Totals(self.n + 1, self.squares + squares, self.pure + pure)

    @property
    def mu(self) -> float:
        """√Σμ²: the releases counted in ``squares`` are mu-GDP together."""
        return _root(self.squares)

    def epsilon(self, delta: float) -> float:
        """Return an ε (rounded up) for which the releases are (ε, delta)-DP together; inf for none.

        It is Σε + :func:`gaussian_epsilon` (√Σμ², delta), by the theorem of the module with the
        counters as parts of the cap. That needs counters whose values do not depend on released
        values. Where they do, only the cap is promised.
        """
        if self.squares == 0:
            return _float_up(self.pure)
        if _probability(delta) < _SMALLEST_DELTA:
            return math.inf
        try:
            gaussian = _units(gaussian_epsilon(self.mu, delta), ROUND_CEILING)
        except (ValueError, OverflowError):
            return math.inf
        return _float_up(self.pure + gaussian)


@dataclass(frozen=True)
class Cap:
    """A budget (see the module), and whom it protects. Made by :meth:`of`."""

    epsilon: float
    delta: float
    pure: float = 0.0
    relation: Relation = Relation.REPLACE_ONE
    unit: Unit = Unit.RECORD

    @classmethod
    def of(
        cls,
        epsilon: float,
        delta: float,
        pure: float = 0.0,
        relation: str = Relation.REPLACE_ONE,
        unit: str = Unit.RECORD,
    ) -> Cap:
        """Return the cap with these parameters, checked.

        With a delta of 0 there can be no Gaussian noise, so that `pure` is all of epsilon.
        """
        epsilon, delta = _positive(epsilon, "epsilon"), _probability(delta)
        pure = _amount(pure, "pure")
        if pure > epsilon:
            raise ValueError(f"pure must be at most epsilon={epsilon!r}, got {pure!r}.")
        return cls(epsilon, delta, pure if delta else epsilon, Relation(relation), Unit(unit))

    @property
    def largest_pure(self) -> int:
        """The largest value that the counter ``pure`` may reach."""
        return _units(self.pure, ROUND_FLOOR)

    @property
    def largest_squares(self) -> int:
        """The largest value that the counter ``squares`` may reach."""
        return _largest_squares(self.epsilon, self.delta, self.pure)

    def admits(self, totals: Totals) -> bool:
        """Whether the counters are within their parts."""
        return totals.pure <= self.largest_pure and totals.squares <= self.largest_squares

    def after(self, totals: Totals, loss: PrivacyLoss) -> Totals | None:
        """Return the counters after one more release, None where there is no room for it."""
        return next(filter(self.admits, self.ways(totals, loss)), None)

    def ways(self, totals: Totals, loss: PrivacyLoss) -> Iterator[Totals]:
        """Yield the counters after one more release, for each counter that may take it."""
        factor = self.factor(loss)
        yield totals.plus(*_cost(loss, factor))
        if loss.mu is None:
            yield totals.plus(_square(dominating_mu(factor * loss.epsilon)), 0)

    def factor(self, loss: PrivacyLoss) -> int:
        """Return the number of times that a loss counts under the relation of this budget: 1 or 2.

        To replace one unit is to remove one and to add one. So ε-DP under add-or-remove is
        2ε-DP under replace-one (:func:`~skdistill.accounting.relation.as_replace_one`), and μ-GDP
        is 2μ-GDP (Dong, Roth and Su, arXiv:1905.02383, Theorem 2.14: groups of two).

        The other direction raises a ValueError, and so does another unit. A loss for records does
        not bound that of a group of many. A loss for groups does not bound that of a record, which
        may take its group with it: that changes two groups.
        """
        if loss.unit != self.unit:
            raise ValueError(
                f"A release that protects one {loss.unit} cannot be charged to a budget that "
                f"protects one {self.unit}: a group holds many records, and a record that is "
                "replaced may leave one group and join another. Keep a ledger for each unit: "
                f"PrivacyLedger.create(path, epsilon, delta, unit={str(loss.unit)!r})."
            )
        if loss.relation == self.relation:
            return 1
        if self.relation == Relation.REPLACE_ONE:
            return 2
        raise ValueError(
            "A release that is private under replace-one cannot be charged to a budget under "
            "add-or-remove: it takes the number of records for public, and says nothing about "
            "data sets of different sizes. Keep a ledger under relation='replace-one', which "
            "takes both (a loss under add-or-remove counts twice there)."
        )

    def largest(self, totals: Totals, like: PrivacyLoss) -> float:
        """Return the largest ε for which one more release like this one fits after `totals`.

        The kind, delta, unit and relation are those of `like`. Rounded down; 0.0 where none of at
        least 2**-60 fits.
        """

        def fits(**fields: Any) -> bool:
            return self.after(totals, replace(like, **fields)) is not None

        if like.mu is None:
            return _last(lambda epsilon: fits(epsilon=epsilon))
        mu = _last(lambda mu: fits(mu=mu))
        largest, step = gaussian_epsilon(mu, like.delta) if mu > 0 else 0.0, 2.0**-32
        while largest >= 2.0**-60:
            if fits(mu=gaussian_mu(largest, like.delta)):
                return largest
            largest, step = largest * (1 - step), min(2 * step, 0.5)
        return 0.0

    def remaining(self, totals: Totals) -> float:
        """Return the largest ε for which one more release with δ = 0 fits, rounded down."""
        like = PrivacyLoss("laplace", 1.0, 0.0, None, self.unit, self.relation)
        return self.largest(totals, like)


def dominating_mu(epsilon: float) -> float:
    r"""Return the μ for which every ε-DP release is μ-GDP: Φ(-μ/2) = 1 / (1 + e^ε), rounded up.

    Every ε-DP release is a post-processing of randomised response, which tells one of two data
    sets with probability p = e^ε / (1 + e^ε) (Kairouz, Oh and Viswanath, arXiv:1311.0776). Its
    trade-off function is piecewise linear, with the corner (1 - p, 1 - p) on that of N(0, 1)
    against N(μ, 1), which is convex and so stays below.

    Where ε is small this loses its digits, and √(π/2) ε is a bound: 1/(1 + e^-ε) has the density
    cosh(ε/2)**-2 / 4, Φ(√(2π) ε/4) the density exp(-π ε²/16) / 4. The logarithm of their ratio,
    π t/16 - 2 log cosh(√t/2) with t = ε², is convex, and it falls from 0: the first distribution
    function grows more slowly at first and faster later, and both end at 1. So it is the lower.
    """
    if epsilon < 0.01:
        return math.sqrt(math.pi / 2) * epsilon * (1 + _MARGIN)
    return -2 * float(ndtri_exp(-epsilon - math.log1p(math.exp(-epsilon)))) * (1 + _MARGIN)


def _cost(loss: PrivacyLoss, factor: int = 1) -> tuple[int, int]:
    """Return the amounts that a loss adds to ``squares`` and to ``pure``."""
    if loss.mu is not None:
        return factor**2 * _square(_positive(loss.mu, "mu")), 0
    return 0, factor * _units(_positive(loss.epsilon, "epsilon"), ROUND_CEILING)


@lru_cache(maxsize=256)
def _largest_squares(epsilon: float, delta: float, pure: float) -> int:
    """Return the largest Σμ² for which the Gaussian releases are (ε - pure, δ)-DP, rounded down.

    The shares of a release may exceed it by their roundings. :func:`gaussian_mu` leaves more
    of δ than the accuracy of :func:`gaussian_delta` (2**-40) needs: some of that is given here.
    """
    rest = (_units(epsilon, ROUND_FLOOR) - _units(pure, ROUND_CEILING)) / _UNIT
    if rest < 2.0**-60 or delta < _SMALLEST_DELTA:
        return 0
    mu = gaussian_mu(rest, delta)
    for bits in (40, 44, 48):
        more = mu * (1 + 2.0**-bits)
        if gaussian_delta(more, rest) <= delta * (1 - 2.0**-39):
            mu = more
            break
    numerator, denominator = mu.as_integer_ratio()
    return numerator**2 * _UNIT // denominator**2


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


@lru_cache(maxsize=1024)
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
    return -(-_UNIT * numerator**2 // denominator**2)


def _root(units: int) -> float:
    """Return the square root of units, rounded up."""
    value = math.isqrt(units * _UNIT) / _UNIT
    while _square(value) < units:
        value = math.nextafter(value, math.inf)
    return value


def _amount(value: Any, name: str) -> float:
    """Return `value` as a finite, normal float that is not negative, or raise."""
    return check_number(name, value, "0, or positive and finite", lambda v: v == 0 or _normal(v))


def _probability(delta: Any) -> float:
    """Return `delta` as a float in [0, 1), or raise."""
    return check_number("delta", delta, "in [0, 1)", lambda v: v == 0 or (_normal(v) and v < 1))
