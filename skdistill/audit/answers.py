"""Answers of the models under audit, by class label.

The models belong to the caller, together with the records they were trained on, but the message of
an exception may quote a record. So every call goes through the package's private boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill.release.boundary import call_privately


def ask(function: Callable[..., Any], name: str, *data: Any) -> Any:
    """Call a model's method on copies of the data; its exception is replaced by a fixed text."""
    return call_privately(
        function,
        *data,
        error=lambda: ValueError(
            f"{name} raised an exception; its message is withheld because it may quote a record. "
            "Call it yourself on a few rows to see it."
        ),
    )


def class_probabilities(model: Any, X: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return a model's probabilities with one column for each of `classes`, 0 where unknown."""
    answers = np.asarray(ask(model.predict_proba, "The model's predict_proba", X), dtype=float)
    known = np.asarray(model.classes_)
    if answers.ndim != 2 or answers.shape[1] != len(known):
        raise ValueError(
            f"The model's predict_proba has shape {answers.shape} for {len(known)} classes; "
            "multi-output models are not supported."
        )
    return np.asarray(answers @ (known[:, None] == np.asarray(classes)[None, :]))


def class_codes(y: ArrayLike, classes: NDArray[Any]) -> NDArray[np.intp]:
    """Return the position of each label in `classes`, which need not be sorted."""
    return np.argmax(np.asarray(y)[:, None] == np.asarray(classes)[None, :], axis=1)
