"""PrivacyUtilityDisplay: the price of a smaller ε in accuracy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_regressor
from sklearn.metrics import check_scoring

from skdistill.inspection._axes import NEUTRAL, axes_and_figure, need_matplotlib, place_legend


class PrivacyUtilityDisplay:
    """A metric against ε: mean and standard deviation over releases, with baselines.

    Parameters
    ----------
    epsilons : array-like of shape (n_epsilons,)
        Positive and finite.
    scores : array-like of shape (n_epsilons, n_repeats)
        The metric of each release.
    baselines : dict of str to float, default=None
        Drawn as horizontal lines.
    metric_name : str, default="score"
        Label of the vertical axis.
    name : str, default=None
        Label of the curve.

    Attributes
    ----------
    errorbar_ : matplotlib ErrorbarContainer
        The curve of means and its bars.
    line_ : matplotlib Line2D
        The curve alone.
    baseline_lines_ : dict of str to matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skdistill.inspection import PrivacyUtilityDisplay
    >>> display = PrivacyUtilityDisplay(
    ...     epsilons=[0.5, 1, 2], scores=[[0.7, 0.72], [0.8, 0.79], [0.82, 0.83]],
    ...     baselines={"teacher": 0.85}, metric_name="accuracy")
    >>> display.means.round(3)
    array([0.71 , 0.795, 0.825])
    """

    def __init__(
        self,
        *,
        epsilons: ArrayLike,
        scores: ArrayLike,
        baselines: Mapping[str, float] | None = None,
        metric_name: str = "score",
        name: str | None = None,
    ) -> None:
        self.epsilons = np.asarray(epsilons, dtype=float)
        self.scores = np.asarray(scores, dtype=float)
        if self.scores.ndim == 1:
            self.scores = self.scores[:, None]
        _check_epsilons(self.epsilons)
        if self.scores.ndim != 2 or len(self.scores) != len(self.epsilons):
            shape, n = self.scores.shape, len(self.epsilons)
            raise ValueError(f"scores of shape {shape}: give {n} rows, one for each ε.")
        self.baselines = dict(baselines or {})
        self.metric_name = metric_name
        self.name = name

    @property
    def means(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean over releases, one for each ε."""
        return np.asarray(self.scores.mean(axis=1))

    @property
    def deviations(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Standard deviation over releases, one for each ε; 0 of a single release."""
        return np.asarray(self.scores.std(axis=1, ddof=int(self.scores.shape[1] > 1)))

    @classmethod
    def from_estimator(
        cls,
        distiller: Any,
        X_transfer: Any,
        X: Any,
        y: ArrayLike,
        *,
        epsilons: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
        n_repeats: int = 5,
        scoring: Any = None,
        spend: bool = False,
        metric_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> PrivacyUtilityDisplay:
        """Fit the distiller at several ε, several times each, and draw the scores of its students.

        All releases together cost up to the sum of their ε. So either draw the picture on data that
        may be spent, such as public data of the same kind, or give the distiller a ledger as
        accountant and pass ``spend=True``.

        Parameters
        ----------
        distiller : PrivateDistiller
            Cloned for each fit; its `epsilon` is replaced.
        X_transfer : array-like of shape (m, d)
            Transfer set.
        X, y : array-like of shape (n, d) and (n,)
            Rows to score students on, with their true labels; public.
        epsilons : sequence of float, default=(0.25, 0.5, 1.0, 2.0, 4.0)
            Positive and finite.
        n_repeats : int, default=5
            Releases at each ε.
        scoring : str or callable, default=None
            As in scikit-learn; None is the distiller's ``score``.
        spend : bool, default=False
            Agree to charge the distiller's accountant.
        metric_name, name : str, default=None
            Labels of the vertical axis (None: the scoring in words, "ROC AUC") and of the curve.
        ax, **kwargs : matplotlib Axes and dict
            For :meth:`plot`.

        Returns
        -------
        display : PrivacyUtilityDisplay

        Raises
        ------
        ValueError
            If the distiller has an accountant and `spend` is False; the message states the price.
        """
        need_matplotlib(f"{cls.__name__}.from_estimator")
        _check_epsilons(np.asarray(epsilons, dtype=float))
        if n_repeats < 1:
            raise ValueError(f"n_repeats={n_repeats!r} must be at least 1.")
        if distiller.accountant is not None and not spend:
            raise ValueError(
                f"The distiller has an accountant, which {n_repeats} releases at each of "
                f"{len(epsilons)} values of ε would charge, up to ε={n_repeats * sum(epsilons):g} "
                "in all (their sum; an accountant may know a smaller total). Pass spend=True to "
                "agree, or draw with accountant=None on data that may be spent."
            )
        scorer = check_scoring(distiller, scoring=scoring)

        def score(epsilon: float) -> float:
            blank = clone(distiller).set_params(epsilon=float(epsilon))
            with warnings.catch_warnings():  # "mostly noise": the picture shows it
                warnings.filterwarnings("ignore", "The released labels are mostly noise")
                return float(scorer(blank.fit(X_transfer), X, y))

        scores = [[score(epsilon) for _ in range(n_repeats)] for epsilon in epsilons]
        if metric_name is None:
            default = "R²" if is_regressor(distiller) else "accuracy"
            metric_name = in_words(scoring) if isinstance(scoring, str) else default
            metric_name = "score" if callable(scoring) else metric_name
        display = cls(epsilons=epsilons, scores=scores, metric_name=metric_name, name=name)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the display and return it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes new ones.
        name : str, default=None
            Label of the curve; None takes the one given before.
        **kwargs : dict
            For matplotlib's ``errorbar``.

        Returns
        -------
        display : PrivacyUtilityDisplay
            The object itself.
        """
        self.ax_, self.figure_ = axes_and_figure(ax, f"{type(self).__name__}.plot")
        order = np.argsort(self.epsilons)
        n = self.scores.shape[1]
        label = name or self.name or "student"
        if n > 1:
            label += f" (mean ± s.d., {n} releases)"
        options = {"label": label, "marker": "o", "markersize": 4, "capsize": 3} | kwargs
        bars = self.deviations[order] if n > 1 else None
        points = self.epsilons[order], self.means[order]
        self.errorbar_ = self.ax_.errorbar(*points, yerr=bars, **options)
        self.line_ = self.errorbar_.lines[0]
        drawn = {line.get_label() for line in self.ax_.get_lines()}
        self.baseline_lines_ = {}
        for i, (baseline, value) in enumerate(self.baselines.items()):
            style = {"color": NEUTRAL, "linestyle": ("--", ":", "-.")[i % 3]}
            text = None if baseline in drawn else baseline
            self.baseline_lines_[baseline] = self.ax_.axhline(value, label=text, **style)
        self._label_axes()
        return self

    def _label_axes(self) -> None:
        from matplotlib.ticker import NullLocator

        self.ax_.set(xlabel="ε of the whole release", ylabel=self.metric_name, xscale="log")
        # Every ε that was measured has a tick, those of curves drawn before too.
        curves = (bars.lines[0] for bars in self.ax_.containers if hasattr(bars, "has_yerr"))
        shown = np.unique(np.concatenate([curve.get_xdata() for curve in curves]))
        if len(shown) <= 9:
            self.ax_.set_xticks(shown, [f"{e:g}" for e in shown])
            self.ax_.xaxis.set_minor_locator(NullLocator())
        place_legend(self.ax_)


_WORDS = {
    **{"auc": "AUC", "d2": "D²", "f1": "F1", "neg": "negative", "r2": "R²", "roc": "ROC"},
    **{"ovo": "one-vs-one", "ovr": "one-vs-rest"},
}


def in_words(scoring: str) -> str:
    """Return the name of a scikit-learn scorer as the label of an axis: "roc_auc" is "ROC AUC"."""
    return " ".join(_WORDS.get(word, word) for word in scoring.split("_"))


def _check_epsilons(epsilons: Any) -> None:
    if epsilons.ndim != 1 or not len(epsilons) or not (epsilons > 0).all():
        raise ValueError("epsilons must be a sequence of positive numbers.")
    if not np.isfinite(epsilons).all():
        raise ValueError("epsilons must be finite: draw ε=∞ as a baseline.")
