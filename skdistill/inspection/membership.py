"""MembershipDisplay: how well members can be told from others, at few false positives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from skdistill.audit.membership import membership_report
from skdistill.audit.report import MembershipReport
from skdistill.audit.roc import roc_points
from skdistill.inspection._axes import NEUTRAL, axes_and_figure, need_matplotlib, place_legend

__all__ = ["MembershipDisplay", "private_tpr"]

Array = NDArray[np.float64]


_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))


def private_tpr(fpr: ArrayLike, epsilon: ArrayLike, delta: float = 0.0) -> Array:
    r"""Return the highest true-positive rate that (ε, δ)-differential privacy allows.

    :math:`\min(1,\ e^\varepsilon \mathrm{FPR} + \delta,\
    1 - e^{-\varepsilon}(1 - \delta - \mathrm{FPR}))`, for any attack on one record.

    Parameters
    ----------
    fpr : array-like of float
        False-positive rates.
    epsilon : array-like of float
        Of a shape that broadcasts with `fpr`.
    delta : float, default=0.0

    Returns
    -------
    tpr : ndarray

    References
    ----------
    .. [1] Kairouz, Oh, Viswanath. "The composition theorem for differential privacy". ICML 2015,
       arXiv:1311.0776, theorem 2.1.

    Examples
    --------
    >>> from skdistill.inspection.membership import private_tpr
    >>> private_tpr([0.0, 0.01, 1.0], epsilon=1.0).round(4)
    array([0.    , 0.0272, 1.    ])
    """
    x, factor = np.asarray(fpr, dtype=float), np.exp(np.minimum(epsilon, 700.0))
    steep = factor * x + delta
    flat = 1 - np.maximum(1 - delta - x, 0.0) / factor
    return np.minimum(np.minimum(steep, flat), 1.0)


class MembershipDisplay:
    """ROC curves of membership attacks on doubly logarithmic axes.

    What matters is the left edge: members found beyond doubt, at next to no false positives. Use
    :meth:`from_report`, :meth:`from_estimator` or :meth:`from_predictions` to make one. Not for
    publication: it is computed from private records.

    Parameters
    ----------
    curves : dict of str to (fpr, tpr)
        Arrays of false- and true-positive rates, ascending from (0, 0) to (1, 1).
    n_members : int, default=None
        Members behind each curve. Where given, a band around it holds pointwise 95 % intervals
        (Clopper and Pearson) of the true-positive rate.
    models : dict of str to str, default=None
        The model that each curve attacks: curves of one model share a colour.
    claims : dict of str to (float, float), default=None
        ε and δ that some of the curves' models promise; what they allow is drawn as a limit.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
    line_ : matplotlib Line2D
        The first of them.
    chance_line_ : matplotlib Line2D
    limit_lines_ : dict of str to matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
        n_members: int | None = None,
        models: Mapping[str, str] | None = None,
        claims: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        if not curves:
            raise ValueError("There is no curve to draw.")
        self.curves = {
            name: (np.asarray(fpr, float), np.asarray(tpr, float))
            for name, (fpr, tpr) in curves.items()
        }
        self.n_members = n_members
        self.models = {name: (models or {}).get(name, name) for name in self.curves}
        self.claims = {
            name: (float(epsilon), float(delta))
            for name, (epsilon, delta) in (claims or {}).items()
            if math.isfinite(epsilon)
        }

    @classmethod
    def from_report(
        cls,
        report: MembershipReport,
        *,
        attack: str = "strongest",
        ax: Any = None,
        **kwargs: Any,
    ) -> MembershipDisplay:
        """Draw the attacks of a membership report.

        Parameters
        ----------
        report : MembershipReport
        attack : str, default="strongest"
            "strongest" draws, for each model, the attack with the highest true-positive rate at
            the lowest false-positive rate of the report (then, by AUC); "all" draws every attack;
            else the name of one.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            For matplotlib's ``plot``.

        Returns
        -------
        display : MembershipDisplay
        """
        names = list(dict.fromkeys(row.model for row in report.rows))
        rows = [
            row
            for name in names
            for row in _chosen([row for row in report.rows if row.model == name], attack)
        ]
        if not rows:
            known = sorted({row.attack for row in report.rows})
            raise ValueError(f'attack={attack!r} must be "strongest", "all" or one of {known}.')
        labels = [
            row.attack if names == ["model"] else f"{row.model}, {row.attack}" for row in rows
        ]
        curves = {
            label: roc_points(*report.scores[row.model, row.attack])
            for label, row in zip(labels, rows, strict=True)
        }
        claims = {row.model: (row.epsilon, row.delta) for row in rows}
        models = {label: row.model for label, row in zip(labels, rows, strict=True)}
        return cls(curves=curves, n_members=report.n_members, models=models, claims=claims).plot(
            ax=ax, **kwargs
        )

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X_member: Any,
        y_member: ArrayLike,
        X_nonmember: Any,
        y_nonmember: ArrayLike,
        *,
        attack: str = "strongest",
        ax: Any = None,
        line_kw: dict[str, Any] | None = None,
        **report_params: Any,
    ) -> MembershipDisplay:
        """Attack a model, or a distiller's teacher and student, and draw.

        Parameters
        ----------
        model : estimator, PrivateDistiller or dict of str to estimator
        X_member, y_member : array-like of shape (n, d) and (n,)
        X_nonmember, y_nonmember : array-like of shape (m, d) and (m,)
        attack : str, default="strongest"
            Which curves to draw: see :meth:`from_report`.
        ax : matplotlib Axes, default=None
        line_kw : dict, default=None
            For matplotlib's ``plot``.
        **report_params : dict
            For :func:`skdistill.audit.membership_report`.

        Returns
        -------
        display : MembershipDisplay
        """
        need_matplotlib(f"{cls.__name__}.from_estimator")
        report = membership_report(
            model, X_member, y_member, X_nonmember, y_nonmember, **report_params
        )
        return cls.from_report(report, attack=attack, ax=ax, **(line_kw or {}))

    @classmethod
    def from_predictions(
        cls,
        y_member: ArrayLike,
        scores: ArrayLike | Mapping[str, ArrayLike],
        *,
        name: str | None = None,
        claims: Mapping[str, tuple[float, float]] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> MembershipDisplay:
        """Draw scores of records of which it is known whether they are members.

        Parameters
        ----------
        y_member : array-like of bool, shape (n,)
            True for members; both kinds must occur.
        scores : array-like of shape (n,), or dict of str to such
            Higher means member.
        name : str, default=None
            Label of a single curve.
        claims : dict of str to (float, float), default=None
            ε and δ to draw the limits of.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            For matplotlib's ``plot``.

        Returns
        -------
        display : MembershipDisplay
        """
        inside = np.asarray(y_member).astype(bool)
        if inside.ndim != 1 or not inside.any() or inside.all():
            raise ValueError("y_member must be one-dimensional and name members and non-members.")
        named = scores if isinstance(scores, Mapping) else {name or "attack": scores}
        curves = {}
        for label, values in named.items():
            found = np.asarray(values, dtype=float)
            if found.shape != inside.shape:
                raise ValueError(f"Scores of shape {found.shape} for {len(inside)} records.")
            curves[label] = roc_points(found[inside], found[~inside])
        display = cls(curves=curves, n_members=int(inside.sum()), claims=claims)
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        chance_kw: dict[str, Any] | None = None,
        limit_kw: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> MembershipDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes new ones.
        name : str, default=None
            Label of a single curve.
        chance_kw, limit_kw : dict, default=None
            For the lines of chance and of what differential privacy allows.
        **kwargs : dict
            For matplotlib's ``plot`` of the curves.

        Returns
        -------
        self : MembershipDisplay
        """
        crowded = len(self.curves) > 3
        self.ax_, self.figure_ = axes_and_figure(
            ax, f"{type(self).__name__}.plot", (8.5, 5.0) if crowded else (5.5, 5.0)
        )
        edge = min(_smallest_step(curve) for curve in self.curves.values())
        names, drawn = list(dict.fromkeys(self.models.values())), dict[str, int]()
        self.lines_ = {}
        for label, (fpr, tpr) in self.curves.items():
            model = self.models[label]
            drawn[model] = drawn.get(model, -1) + 1
            options = {
                "label": name if name and len(self.curves) == 1 else label,
                "drawstyle": "steps-post",
                "color": f"C{names.index(model)}",
                "linestyle": _STYLES[drawn[model] % len(_STYLES)],
            } | kwargs
            # What is found without any false positive is drawn at the left edge.
            x = np.maximum(fpr, edge)
            (self.lines_[label],) = self.ax_.plot(x, tpr, **options)
            if self.n_members and not crowded:
                color = self.lines_[label].get_color()
                low, high = _band(tpr, self.n_members)
                self.ax_.fill_between(x, low, high, step="post", color=color, alpha=0.15, lw=0)
        self.line_ = next(iter(self.lines_.values()))
        x = np.geomspace(edge, 1.0, 400)
        self.limit_lines_ = {}
        for label, (epsilon, delta) in self.claims.items():
            options = {"color": NEUTRAL, "linestyle": "--"} | (limit_kw or {})
            text = f"most that ε={epsilon:.3g} allows ({label})"
            (self.limit_lines_[label],) = self.ax_.plot(
                x, private_tpr(x, epsilon, delta), **({"label": text} | options)
            )
        options = {"color": NEUTRAL, "linestyle": ":", "label": "chance"} | (chance_kw or {})
        (self.chance_line_,) = self.ax_.plot(x, x, **options)
        self.ax_.set(
            xscale="log",
            yscale="log",
            xlim=(edge, 1.0),
            ylim=(edge, 1.0),
            aspect="equal",
            xlabel="false-positive rate (non-members taken for members)",
            ylabel="true-positive rate (members found)",
        )
        beside = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0)}
        place_legend(self.ax_, **(beside if crowded else {"loc": "lower right"}))
        return self


def _chosen(rows: list[Any], attack: str) -> list[Any]:
    """Return the rows of one model that are to be drawn."""
    if attack == "all":
        return rows
    if attack != "strongest":
        return [row for row in rows if row.attack == attack]

    def strength(row: Any) -> tuple[float, float]:
        return (min(row.tpr)[1] if row.tpr else 0.0, row.auc[0])

    return [max(rows, key=strength)]


def _band(tpr: Array, n: int) -> tuple[Array, Array]:
    """Return pointwise 95 % intervals of Clopper and Pearson (1934)."""
    hits = np.rint(tpr * n)
    low = beta.ppf(0.025, np.maximum(hits, 1e-9), n - hits + 1)
    high = beta.ppf(0.975, hits + 1, np.maximum(n - hits, 1e-9))
    return np.where(hits > 0, low, 0.0), np.where(hits < n, high, 1.0)


def _smallest_step(curve: tuple[Array, Array]) -> float:
    """Return the smallest false-positive rate above 0, at most 0.1."""
    positive = curve[0][curve[0] > 0]
    return min(float(positive.min()), 0.1) if len(positive) else 0.1
