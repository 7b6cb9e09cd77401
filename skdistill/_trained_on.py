"""Attributes of fitted teachers, and which table one was trained on: never the table's content."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from skdistill._silenced import silenced

# By the `fit_id_` of a teacher. Which objects a program puts together is its text and not its data;
# to compare contents would tell whether a guess of private rows is right.
_TABLES: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def quietly(function: Callable[..., Any], *args: Any) -> Any:
    """Return a function's result, or None if it raises anything, which may quote a record.

    KeyboardInterrupt and SystemExit pass, without arguments and without a context.
    """
    stopped: type[BaseException]
    try:
        with silenced():
            return function(*args)
    except (KeyboardInterrupt, SystemExit) as stop:
        stopped = KeyboardInterrupt if isinstance(stop, KeyboardInterrupt) else SystemExit
    except BaseException:
        return None
    raise stopped


def attribute(teacher: Any, name: str) -> Any:
    """Return an attribute of a fitted teacher, None where it has none or reading it raises."""
    return quietly(getattr, teacher, name, None)


def remember(teacher: Any, X: Any) -> None:
    """Remember, as long as it lives in this process, the table that a teacher was fitted on."""
    fit_id = attribute(last_step(teacher), "fit_id_")
    if isinstance(fit_id, str):
        with suppress(TypeError):  # a list has no weak references
            _TABLES[fit_id] = X


def was_trained_on(teacher: Any, X: Any) -> bool:
    """Whether X is the very table that a teacher was fitted on, as far as this process knows.

    The teachers of this package remember it, and nearest neighbours may keep it in place.
    """
    last = last_step(teacher)
    fit_id = attribute(last, "fit_id_")
    if isinstance(fit_id, str) and _TABLES.get(fit_id) is X:
        return True
    kept = attribute(last, "_fit_X") if last is teacher else None
    if not (isinstance(kept, np.ndarray) and isinstance(X, np.ndarray)):
        return False
    return kept.shape == X.shape and kept.ctypes.data == X.ctypes.data


def n_records(teacher: Any) -> int | None:
    """Return how many records (or groups) a teacher was fitted on, where it says so; public."""
    last = last_step(teacher)
    for name in ("n_units_", "n_samples_", "n_samples_fit_"):
        value = attribute(last, name)
        if isinstance(value, (int, np.integer)):
            return int(value)
    return None


def last_step(estimator: Any) -> Any:
    """Return the estimator at the end of pipelines, however many are inside of each other."""
    while isinstance(steps := attribute(estimator, "steps"), list) and steps:
        estimator = steps[-1][1]
    return estimator
