"""How an estimator shows itself: its settings and its statement, never a teacher's parameters."""

from __future__ import annotations

import html
import inspect
from typing import Any

from sklearn.pipeline import Pipeline

from skdistill.certificates.base import unwrap

__all__ = ["as_html", "as_text", "visual_block"]


def as_text(model: Any) -> str:
    """Return one line: the settings that are not at their defaults.

    Objects that copies share (teacher, certificate, accountant) are named by their class.
    """
    shown = []
    for name, parameter in inspect.signature(type(model).__init__).parameters.items():
        value = getattr(model, name, parameter.default)
        by_class = name in model._shared and not isinstance(value, (str, type(None)))
        text = f"<{type(unwrap(value)).__name__}>" if by_class else repr(value)
        if name != "self" and text != repr(parameter.default):
            shown.append(f"{name}={text}")
    return f"{type(model).__name__}({', '.join(shown)})"


def as_html(model: Any) -> str:
    """Return the text and, once fitted, the statement as a table."""
    head = f"<pre>{html.escape(as_text(model))}</pre>"
    statement = getattr(model, "privacy_", None)
    return head if statement is None else f"<div>{head}{statement._repr_html_()}</div>"


def visual_block(model: Any) -> Any:
    """Return the block that a diagram of an enclosing pipeline draws.

    Without it the diagram opens every nested estimator, and the HTML of a fitted SVC prints
    training rows.
    """
    # The class of blocks is private in scikit-learn; a public estimator makes one for us.
    block = type(Pipeline([("step", "passthrough")])._sk_visual_block_())
    text = as_text(model)
    return block("single", text, names=type(model).__name__, name_details=text)
