"""Somebody who knows both data sets, looks at every answer, and asks a ledger for all it grants.

The optimal policy, by dynamic programming over the loss seen so far. A ledger knows amounts and not
answers, so that its grants after each number of charges are those on every path.
"""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from skdistill.accounting import PrivacyLedger, PrivacyLoss, gaussian_epsilon
from skdistill.accounting.composition import _UNIT
from skdistill.accounting.ledger import BudgetError

pytestmark = pytest.mark.slow

CAPS = [(1.0, 1e-6, 0.0), (2.0, 1e-9, 0.0), (1.0, 1e-6, 0.5), (3.0, 1e-6, 1.0), (1.0, 0.01, 0.2)]


class Path:
    """Gaussian steps that fill the budget of a ledger, and a grid of losses."""

    def __init__(self, epsilon, delta, pure, steps, grid=8001):
        self.epsilon, self.delta, self.pure, self.steps = epsilon, delta, pure, steps
        cap = PrivacyLedger.create(":memory:", epsilon, delta, pure).cap
        self.mu = math.sqrt(cap.largest_squares / _UNIT / steps) * (1 - 1e-12)
        square, sd = self.mu**2, self.mu * math.sqrt(steps)
        self.loss = np.linspace(-9 * sd - 2 * epsilon, 2 * epsilon + 9 * sd, grid)
        self.dx = self.loss[1] - self.loss[0]
        self.half = int((8 * self.mu + square) / self.dx) + 3
        edges = (np.arange(-self.half, self.half + 2) - 0.5) * self.dx
        self.mass = np.diff(ndtr((edges - square / 2) / self.mu))
        self.mass /= self.mass.sum()

    def read(self, figure, first=0.0):
        """A figure of a ledger before each step, which it must accept; it accepts no other one."""
        ledger = PrivacyLedger.create(":memory:", self.epsilon, self.delta, self.pure)
        step, found = PrivacyLoss.of_mu(self.mu, self.delta), []
        if first:
            ledger.spend(first)
        for _ in range(self.steps):
            found.append(figure(ledger))
            ledger.charge(step)
        with pytest.raises(BudgetError):
            ledger.charge(step)
        return [*found, figure(ledger)]

    def exceeded(self, epsilon):
        """What each loss adds to the delta that is reached at this epsilon."""
        return np.maximum(-np.expm1(epsilon - self.loss), 0.0)

    def before_step(self, value):
        padded = np.pad(value, self.half, mode="edge")
        return np.convolve(padded, self.mass[::-1], mode="valid")

    def before_response(self, value, epsilon):
        """Randomised response, which no release with delta = 0 is worse than."""
        p = 1 / (1 + math.exp(-epsilon))
        up, down = (np.interp(self.loss + s * epsilon, self.loss, value) for s in (1, -1))
        return p * up + (1 - p) * down

    def at_start(self, value):
        return float(np.interp(0.0, self.loss, value))


def delta_reached(epsilon, delta, pure, steps):
    """The greatest delta at the epsilon of the budget.

    Before each step and after the last, the user may take all that the ledger grants to a release
    with delta = 0, and stop; or spend the part for such releases, and go on.
    """
    path = Path(epsilon, delta, pure, steps)
    fresh = path.read(lambda ledger: ledger.remaining()[0])
    spent = path.read(lambda ledger: ledger.remaining()[0], first=pure)
    end = path.exceeded(epsilon)
    used, unused = end, end
    for i in range(steps, -1, -1):
        if i < steps:
            used, unused = path.before_step(used), path.before_step(unused)
        used = np.maximum(used, path.before_response(end, spent[i]))
        unused = np.maximum(unused, path.before_response(end, fresh[i]))
        unused = np.maximum(unused, path.before_response(used, pure))
    return path.at_start(unused)


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("steps", [2, 10, 100])
def test_no_choice_after_looking_reaches_more_than_the_budget(cap, steps):
    reached = delta_reached(*cap, steps) / cap[1]
    print(f"budget {cap}, {steps} steps: {reached:.4f} delta")
    assert reached <= 1.02


def test_the_same_attack_on_the_least_of_two_bounds(monkeypatch):
    """A ledger that granted the rest beside the price of the Gaussian charges (version one)."""

    def remaining(ledger):
        gone = math.sqrt(ledger.totals.squares / _UNIT)
        rest = 1.0 - gaussian_epsilon(gone, 1e-6) if gone else 1.0
        return max(0.0, rest), 0.0

    monkeypatch.setattr(PrivacyLedger, "remaining", remaining)
    assert delta_reached(1.0, 1e-6, 0.0, 100) > 3e-6


def test_a_total_is_a_meter_and_the_statement_is_a_promise():
    """To stop when the answers are unlucky and to quote the total, or to quote the budget."""
    path = Path(1.0, 1e-6, 0.0, 100)
    totals = path.read(lambda ledger: ledger.total()[0])
    quoted = promised = path.exceeded(1.0)
    for total in totals[-2::-1]:
        quoted = np.maximum(path.before_step(quoted), path.exceeded(total))
        promised = np.maximum(path.before_step(promised), path.exceeded(1.0))
    print(
        f"total {path.at_start(quoted) * 1e6:.1f} delta, budget {path.at_start(promised) * 1e6:.4f}"
    )
    assert path.at_start(quoted) > 5e-6
    assert path.at_start(promised) <= 1.02e-6
