"""Colours of the gallery's pictures, which are readable on light and on dark pages.

Backgrounds are transparent. Text, axes and curves have a contrast of at least 3 to the backgrounds
of both themes (tests/test_figures.py).
"""

from __future__ import annotations

from typing import Any

TEXT = "#7b7b7b"
CURVES = ["#3a7fc4", "#c85a17", "#3f9142", "#9467bd", "#c2569b", "#2b8c9e", "#7c8a2e", "#b8860b"]


def settings() -> dict[str, Any]:
    """Return the settings of matplotlib."""
    from cycler import cycler

    text = ["axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "legend.labelcolor"]
    text += ["text.color", "xtick.color", "ytick.color", "grid.color", "legend.edgecolor"]
    clear = ["figure.facecolor", "axes.facecolor", "legend.facecolor", "savefig.facecolor"]
    return {
        "axes.prop_cycle": cycler(color=CURVES),
        **dict.fromkeys(text, TEXT),
        **dict.fromkeys(clear, "none"),
    }


def apply(gallery_conf: Any, fname: Any) -> None:
    """Set the colours before an example is run, as sphinx-gallery's ``reset_modules``."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.rcParams.update(settings())
