"""Axes to draw on; matplotlib is imported here, and only when something is drawn."""

from __future__ import annotations

from typing import Any

# A grey that reads on white and on black: for baselines, limits and chance.
NEUTRAL = "#7f7f7f"


def need_matplotlib(caller: str) -> None:
    """Raise where matplotlib is missing, saying how to get it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed: pip install skdistill[plot]"
        ) from None


def axes_and_figure(
    ax: Any, caller: str, figsize: tuple[float, float] | None = None
) -> tuple[Any, Any]:
    """Return the axes to draw on (new ones for None) and their figure."""
    need_matplotlib(caller)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax, ax.figure


def place_legend(ax: Any, **options: Any) -> None:
    """Draw the legend of everything labelled so far, if there is any."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**{"fontsize": "small", "framealpha": 0.85} | options)
