"""MembershipDisplay: how well members can be told from others, at few false positives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.accounting.attack_limits import private_tpr
from skdistill.audit.bounds import clopper_pearson
from skdistill.audit.membership import membership_report
from skdistill.audit.report import MembershipReport, roc_points
from skdistill.inspection._axes import NEUTRAL, axes_and_figure, need_matplotlib, place_legend

Array = NDArray[np.float64]

_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))


class MembershipDisplay:
    """ROC curves of membership attacks on doubly logarithmic axes.

    Look at the left edge: an attack that finds members at next to no false positives is certain of
    them. Not for publication: it is computed from private records.

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
        The ε and δ that some of the curves' models promise; the rates they allow are drawn as a
        limit.

    Attributes
    ----------
    lines_, limit_lines_ : dict of str to matplotlib Line2D
    line_ : matplotlib Line2D
        The first of `lines_`.
    chance_line_ : matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skdistill.inspection import MembershipDisplay
    >>> display = MembershipDisplay(curves={"loss": ([0, 0.1, 1], [0, 0.3, 1])}, n_members=500,
    ...                             claims={"loss": (1.0, 1e-6)})
    >>> list(display.curves)  # display.plot() draws them
    ['loss']
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
        arrays = {name: np.asarray(curve, float) for name, curve in curves.items()}
        self.curves = {name: (fpr, tpr) for name, (fpr, tpr) in arrays.items()}
        self.n_members = n_members
        self.models = {name: (models or {}).get(name, name) for name in self.curves}
        said = (claims or {}).items()
        self.claims = {k: (float(e), float(delta)) for k, (e, delta) in said if math.isfinite(e)}

    @classmethod
    def from_report(
        cls, report: MembershipReport, *, attack: str = "strongest", ax: Any = None, **kwargs: Any
    ) -> MembershipDisplay:
        """Draw the attacks of a membership report.

        Parameters
        ----------
        report : MembershipReport
            Of :func:`skdistill.audit.membership_report`.
        attack : str, default="strongest"
            For each model, the attack with the highest true-positive rate at the lowest
            false-positive rate of the report (then, by AUC); "all" draws every attack; else the
            name of one.
        ax, **kwargs : matplotlib Axes and dict
            For :meth:`plot`.

        Returns
        -------
        display : MembershipDisplay
        """

        def strength(row: Any) -> tuple[float, float]:
            return (min(row.tpr)[1] if row.tpr else 0.0, row.auc[0])

        names = list(dict.fromkeys(row.model for row in report.rows))
        rows = [row for row in report.rows if attack in ("strongest", "all", row.attack)]
        if attack == "strongest":
            rows = [max((row for row in rows if row.model == each), key=strength) for each in names]
        if not rows:
            known = sorted({row.attack for row in report.rows})
            raise ValueError(f'attack={attack!r} must be "strongest", "all" or one of {known}.')
        curves, models = {}, {}
        for row in rows:
            label = row.attack if names == ["model"] else f"{row.model}, {row.attack}"
            curves[label] = roc_points(*report.scores[row.model, row.attack])
            models[label] = row.model
        claims = {row.model: (row.epsilon, row.delta) for row in rows}
        found = cls(curves=curves, n_members=report.n_members, models=models, claims=claims)
        return found.plot(ax=ax, **kwargs)

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
        model : estimator, PrivateDistiller, Published or dict of str to such
            Fitted.
        X_member, y_member : array-like of shape (n, d) and (n,)
            Records that the teacher was trained on.
        X_nonmember, y_nonmember : array-like of shape (m, d) and (m,)
            Other records of the same kind.
        attack : str, default="strongest"
            Which curves to draw: see :meth:`from_report`.
        ax, line_kw : matplotlib Axes and dict, default=None
            For :meth:`plot`.
        **report_params : dict
            For :func:`skdistill.audit.membership_report`.

        Returns
        -------
        display : MembershipDisplay
        """
        need_matplotlib(f"{cls.__name__}.from_estimator")
        records = X_member, y_member, X_nonmember, y_nonmember
        report = membership_report(model, *records, **report_params)
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
        """Draw scores of records of known membership.

        Parameters
        ----------
        y_member : array-like of bool, shape (n,)
            True for members; both kinds must occur.
        scores : array-like of shape (n,), or dict of str to such
            Higher means member.
        name : str, default=None
            Label of a single curve.
        claims : dict of str to (float, float), default=None
            The ε and δ to draw the limits of.
        ax, **kwargs : matplotlib Axes and dict
            For :meth:`plot`.

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

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> MembershipDisplay:
        """Draw the display and return it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes new ones.
        name : str, default=None
            Label of a single curve.
        **kwargs : dict
            For matplotlib's ``plot`` of the curves.

        Returns
        -------
        display : MembershipDisplay
            The object itself.
        """
        crowded = len(self.curves) > 3
        size = (8.5 if crowded else 5.5, 5.0)
        self.ax_, self.figure_ = axes_and_figure(ax, f"{type(self).__name__}.plot", size)
        edge = min(float(fpr[fpr > 0].min(initial=0.1)) for fpr, _ in self.curves.values())
        self._draw_curves(edge, name if len(self.curves) == 1 else None, not crowded, kwargs)
        x, limit = np.geomspace(edge, 1.0, 400), {"color": NEUTRAL, "linestyle": "--"}
        self.limit_lines_ = {}
        for label, claim in self.claims.items():
            limit["label"] = f"most that ε={claim[0]:.3g} allows ({label})"
            (self.limit_lines_[label],) = self.ax_.plot(x, private_tpr(x, *claim), **limit)
        (self.chance_line_,) = self.ax_.plot(x, x, color=NEUTRAL, linestyle=":", label="chance")
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

    def _draw_curves(
        self, edge: float, name: str | None, with_band: bool, kwargs: dict[str, Any]
    ) -> None:
        """Draw each curve: a colour for its model, a line style among the model's attacks."""
        names, drawn = list(dict.fromkeys(self.models.values())), dict[str, int]()
        self.lines_ = {}
        for label, (fpr, tpr) in self.curves.items():
            model = self.models[label]
            drawn[model] = drawn.get(model, -1) + 1
            options = {
                "label": name or label,
                "drawstyle": "steps-post",
                "color": f"C{names.index(model)}",
                "linestyle": _STYLES[drawn[model] % len(_STYLES)],
            } | kwargs
            # Members found without any false positive are drawn at the left edge.
            x = np.maximum(fpr, edge)
            (self.lines_[label],) = self.ax_.plot(x, tpr, **options)
            if self.n_members and with_band:
                low, high = clopper_pearson(np.rint(tpr * self.n_members), self.n_members)
                color = self.lines_[label].get_color()
                self.ax_.fill_between(x, low, high, step="post", color=color, alpha=0.15, lw=0)
        self.line_ = next(iter(self.lines_.values()))
