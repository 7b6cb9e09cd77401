"""Texts and diagrams of estimators: settings and statement, never a teacher's parameters."""

from __future__ import annotations

import html
import inspect
from functools import lru_cache
from typing import Any

from sklearn.pipeline import Pipeline

from skdistill._doc_links import doc_link
from skdistill._html import folded, html_steps
from skdistill.certificates.base import unwrap


def as_text(model: Any) -> str:
    """Return one line: the settings that are not at their defaults; shared objects by class."""
    shown = []
    for name, parameter in inspect.signature(type(model).__init__).parameters.items():
        value = getattr(model, name, parameter.default)
        by_class = name in model._shared and not isinstance(value, (str, type(None)))
        text = f"<{type(unwrap(value)).__name__}>" if by_class else repr(value)
        if name != "self" and text != repr(parameter.default):
            shown.append(f"{name}={text}")
    return f"{type(model).__name__}({', '.join(shown)})"


def as_html(model: Any) -> str:
    """Return the text, a diagram from the private data to the student, and the folded statement."""
    statement = getattr(model, "privacy_", None)
    link, text = html.escape(doc_link(model)), html.escape(as_text(model))
    if link:
        text = f"{text} <a href='{link}' rel='noreferrer' target='_blank'>documentation</a>"
    text = f"<pre style='white-space:pre-wrap'>{text}</pre>{html_steps(_steps(model, statement))}"
    if statement is not None:
        text += folded("privacy statement", statement._repr_html_())
    return f"<div>{text}</div>"


def _steps(model: Any, statement: Any) -> list[tuple[str, ...]]:
    """Return role, title, text and link of the boxes: classes, settings and the statement only."""
    teacher = getattr(model, "teacher", None)
    private = "Private. It is neither published nor pickled with a fitted distiller."
    if teacher is None:
        source = ("private", "private table", "Private. The student never sees it.", "")
    else:
        teacher = unwrap(teacher)
        source = ("private", f"teacher: {type(teacher).__name__}", private, doc_link(teacher))
    promise = f"release: ε={model.epsilon}, δ={model.delta}"
    how = "Not fitted yet: nothing has been asked or charged."
    student = getattr(model, "student_", model.student)
    learned = "Public once it is fitted."
    if statement is not None:
        bound = f"{statement.certificate['name']}: {statement.certificate['bound']}"
        how = f"Mechanism {statement.mechanism}. How far one {statement.unit} moves it: {bound}."
        learned = "Public. Everything that it learned came through the noise of the release."
        if not statement.private:
            promise, learned = "release: NO privacy guarantee", "NOT private: do not publish it."
    name = "student: " + ("the default" if student is None else type(student).__name__)
    return [
        source,
        ("private boundary", promise, how),
        ("behind the boundary", name, learned, doc_link(student)),
    ]


@lru_cache(maxsize=128)
def print_once(text: str) -> None:
    """Print a text, but not again in this process: a search makes the same release many times."""
    print(text)


def visual_block(model: Any) -> Any:
    """Return the block that a diagram of an enclosing pipeline draws.

    Without it the diagram opens every nested estimator: the HTML of a fitted SVC prints rows.
    """
    # The class of blocks is private in scikit-learn; a public estimator makes one for us.
    block = type(Pipeline([("step", "passthrough")])._sk_visual_block_())
    return block("single", as_text(model), names=type(model).__name__, name_details=as_text(model))
