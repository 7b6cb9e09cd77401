"""BudgetDisplay: the spent and the remaining part of a ledger's budget."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

import numpy as np

from skdistill.inspection._axes import NEUTRAL, axes_and_figure, place_legend


class BudgetDisplay:
    """A ledger's total ε, release by release, below its budget.

    Use :meth:`from_ledger` or :meth:`from_history` to make one. Costs are public.

    Parameters
    ----------
    times : sequence of datetime
        When each release was charged, in order.
    totals : array-like of shape (n_releases,)
        The ε of all releases up to and including that one, at the ledger's δ.
    epsilon : float
        The budget.
    delta : float, default=0.0
        The δ at which ε is counted.
    kinds : sequence of str, default=None
        Kind of each charge; each kind has a marker of its own.

    Attributes
    ----------
    line_, limit_line_ : matplotlib Line2D
        The total and the budget.
    marks_ : dict of str to matplotlib Line2D
        The releases, by kind.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from datetime import datetime
    >>> from skdistill.inspection import BudgetDisplay
    >>> display = BudgetDisplay(times=[datetime(2026, 1, 1), datetime(2026, 1, 2)],
    ...                         totals=[0.5, 0.8], epsilon=2.0, delta=1e-6)
    >>> display.remaining
    1.2
    """

    def __init__(
        self,
        *,
        times: Iterable[Any],
        totals: Iterable[float],
        epsilon: float,
        delta: float = 0.0,
        kinds: Iterable[str] | None = None,
    ) -> None:
        self.times = [t.astimezone(UTC).replace(tzinfo=None) if t.tzinfo else t for t in times]
        self.totals = np.asarray(list(totals), dtype=float)
        self.epsilon = float(epsilon)
        self.delta = float(delta)
        self.kinds = ["release"] * len(self.times) if kinds is None else [str(k) for k in kinds]
        if not len(self.times) == len(self.totals) == len(self.kinds):
            sizes = f"{len(self.times)} times, {len(self.totals)} totals, {len(self.kinds)} kinds"
            raise ValueError(f"{sizes}: there must be one of each for every release.")

    @property
    def remaining(self) -> float:
        """The ε that is left (the price of a further release depends on its kind)."""
        spent = float(self.totals[-1]) if len(self.totals) else 0.0
        return round(max(self.epsilon - spent, 0.0), 12)

    @classmethod
    def from_ledger(cls, ledger: Any, *, ax: Any = None, **kwargs: Any) -> BudgetDisplay:
        """Draw the history of a ledger.

        Parameters
        ----------
        ledger : PrivacyLedger
            Anything with `history()`, `epsilon` and `delta`.
        ax, **kwargs : matplotlib Axes and dict
            For :meth:`plot`.

        Returns
        -------
        display : BudgetDisplay
        """
        budget = {"epsilon": ledger.epsilon, "delta": ledger.delta}
        return cls.from_history(ledger.history(), **budget, ax=ax, **kwargs)

    @classmethod
    def from_history(
        cls, history: Any, *, epsilon: float, delta: float = 0.0, ax: Any = None, **kwargs: Any
    ) -> BudgetDisplay:
        """Draw a history that was read before.

        Parameters
        ----------
        history : DataFrame or sequence of dict
            As ``PrivacyLedger.history`` returns it. Entries that charge nothing are left out.
        epsilon, delta : float
            The budget, and the δ at which ε is counted.
        ax, **kwargs : matplotlib Axes and dict
            For :meth:`plot`.

        Returns
        -------
        display : BudgetDisplay

        Raises
        ------
        ValueError
            If an entry was tampered with.
        """
        rows = history.to_dict("records") if hasattr(history, "to_dict") else list(history)
        if broken := sum(not row.get("intact", True) for row in rows):
            raise ValueError(
                f"{broken} of {len(rows)} entries were tampered with: see the ledger's verify()."
            )
        charges = [row for row in rows if row["epsilon"] > 0 or row["delta"] > 0]
        names = {"times": "time", "totals": "total_epsilon", "kinds": "kind"}
        found = {name: [row[column] for row in charges] for name, column in names.items()}
        return cls(**found, epsilon=epsilon, delta=delta).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, x: str = "time", **kwargs: Any
    ) -> BudgetDisplay:
        """Draw the display and return it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes new ones.
        name : str, default=None
            Label of the total.
        x : {"time", "release"}, default="time"
            The horizontal axis: time, or number of releases.
        **kwargs : dict
            For matplotlib's ``plot`` of the total.

        Returns
        -------
        display : BudgetDisplay
            The object itself.
        """
        if x not in ("time", "release"):
            raise ValueError(f'x={x!r} must be "time" or "release".')
        self.ax_, self.figure_ = axes_and_figure(ax, f"{type(self).__name__}.plot")
        places: list[Any] = list(range(1, len(self.times) + 1)) if x == "release" else self.times
        options = {"drawstyle": "steps-post", "label": name or "spent", "color": "C0"} | kwargs
        totals = [0.0, *self.totals] if places else []
        (self.line_,) = self.ax_.plot([*places[:1], *places], totals, **options)
        self.marks_ = {}
        color = self.line_.get_color()
        style: dict[str, Any] = {"linestyle": "none", "markersize": 5, "color": color}
        for i, kind in enumerate(dict.fromkeys(self.kinds)):
            chosen = [j for j, each in enumerate(self.kinds) if each == kind]
            style |= {"marker": "osD^v"[i % 5], "markerfacecolor": "none" if i else color}
            own = [places[j] for j in chosen], self.totals[chosen]
            (self.marks_[kind],) = self.ax_.plot(*own, label=kind, **style)
        limit = {"color": NEUTRAL, "linestyle": "--", "label": f"budget, ε={self.epsilon:g}"}
        self.limit_line_ = self.ax_.axhline(self.epsilon, **limit)
        self.ax_.set(
            ylabel="ε spent in all" + (f" (δ={self.delta:g})" if self.delta else ""),
            xlabel="releases" if x == "release" else "time (UTC)",
            ylim=(0, 1.08 * max([self.epsilon, *self.totals])),
        )
        self._set_ticks(x)
        place_legend(self.ax_, loc="best")
        return self

    def _set_ticks(self, x: str) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.ticker import MaxNLocator

        if not self.times:
            self.ax_.set_xticks([])
            middle = {"transform": self.ax_.transAxes, "ha": "center"}
            self.ax_.text(0.5, 0.5, "nothing charged yet", **middle)
        elif x == "release":
            self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        else:
            locator = AutoDateLocator(minticks=3, maxticks=8)
            self.ax_.xaxis.set_major_locator(locator)
            self.ax_.xaxis.set_major_formatter(ConciseDateFormatter(locator))
