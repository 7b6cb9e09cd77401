"""How a distiller shows itself: its settings and its statement, never its teacher's innards."""

from __future__ import annotations

import html
from typing import Any

from sklearn.pipeline import Pipeline

from skdistill.certificates.base import unwrap

__all__ = ["as_html", "as_text", "visual_block"]


def as_text(distiller: Any) -> str:
    """Return a one-line text: the teacher by its class name, other parameters where not default."""
    return f"{type(distiller).__name__}({', '.join(_shown(distiller))})"


def _shown(distiller: Any) -> list[str]:
    import inspect

    shown = [f"teacher=<{type(unwrap(distiller.teacher)).__name__}>"]
    for name, parameter in inspect.signature(type(distiller).__init__).parameters.items():
        if name in ("self", "teacher") or not hasattr(distiller, name):
            continue
        value = getattr(distiller, name)
        if name in ("certificate", "accountant") and not isinstance(value, (str, type(None))):
            shown.append(f"{name}=<{type(value).__name__}>")
        elif name == "student" and value is not None:
            shown.append(f"student={value!r}")
        elif repr(value) != repr(parameter.default):
            shown.append(f"{name}={value!r}")
    return shown


def as_html(distiller: Any) -> str:
    """Return the text form and, once fitted, the statement as a table."""
    head = f"<pre>{html.escape(as_text(distiller))}</pre>"
    statement = getattr(distiller, "privacy_", None)
    return head if statement is None else f"<div>{head}{statement._repr_html_()}</div>"


def visual_block(distiller: Any) -> Any:
    """Return the block that a diagram of an enclosing pipeline draws.

    Without it the diagram opens every nested estimator, and the HTML of a fitted SVC prints
    training rows.
    """
    # The class of blocks is private in scikit-learn; a public estimator makes one for us.
    block = type(Pipeline([("step", "passthrough")])._sk_visual_block_())
    return block(
        "single",
        as_text(distiller),
        names=type(distiller).__name__,
        name_details=as_text(distiller),
    )
