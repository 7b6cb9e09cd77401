"""The only place that calls a teacher on data.

What comes back is as untrusted as the teacher: it is handed to :mod:`skdistill.release.lattice`,
which makes integers of anything. What a teacher *raises* can quote a private record, so it is
replaced by fixed text, and its warnings and captured context are dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.certificates import Certificate
from skdistill.neural import adapted
from skdistill.release.boundary import TeacherError, call_privately
from skdistill.release.lattice import as_outputs

__all__ = ["TeacherError", "class_outputs", "output_method", "value_outputs"]

Array = NDArray[np.float64]


def guarded(call: Callable[[], Any]) -> Any:
    """Call a teacher; see :func:`skdistill.release.boundary.call_privately`."""
    return call_privately(call)


def transformed(certificate: Certificate, X: Any) -> Any:
    """Return transfer rows as the last step of a certified pipeline takes them."""
    if certificate.transformer is None:
        return X
    return call_privately(certificate.transformer.transform, X)


def output_method(teacher: Any) -> str:
    """Name the method that gives a classifier's labels: soft ones where it has them."""
    pairs = getattr(teacher, "decision_function_shape", None) == "ovo"  # one score per pair
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(teacher, name) and not (pairs and name == "decision_function"):
            return name
    raise TypeError(
        f"{type(teacher).__name__} has neither predict_proba, decision_function nor predict, so it "
        "cannot label a transfer set."
    )


def class_outputs(
    teacher: Any,
    X: Any,
    n_rows: int,
    classes: NDArray[Any],
    outputs: Callable[[Any], Any] | None,
) -> Array:
    """Return a classifier's labels for X, shape ``(n_rows, n_classes)``, not yet sanitised.

    Probabilities where the teacher has them; else the sigmoid or softmax of its decision
    function; else its predictions, one-hot. A prediction that is none of `classes`, and any
    output of a wrong shape, is NaN.
    """
    n_classes = len(classes)
    shape = (n_rows, n_classes)
    if outputs is not None:
        return as_outputs(guarded(lambda: outputs(X)), shape)
    teacher = guarded(lambda: adapted(teacher))
    method = output_method(teacher)
    if method == "predict_proba":
        return as_outputs(guarded(lambda: teacher.predict_proba(X)), shape)
    if method == "decision_function":
        scores = guarded(lambda: teacher.decision_function(X))
        return _from_scores(scores, shape)
    return _one_hot(guarded(lambda: teacher.predict(X)), classes, shape)


def value_outputs(teacher: Any, X: Any, n_rows: int) -> Array:
    """Return a regressor's outputs for X, shape ``(n_rows,)``, not yet clipped."""
    return as_outputs(guarded(lambda: adapted(teacher).predict(X)), (n_rows,))


def _from_scores(scores: Any, shape: tuple[int, int]) -> Array:
    from scipy.special import expit, softmax

    with np.errstate(all="ignore"):
        if shape[1] == 2:
            positive = expit(as_outputs(scores, shape[:1]))
            return np.column_stack([1 - positive, positive])
        return np.asarray(softmax(as_outputs(scores, shape), axis=1))


def _one_hot(predicted: Any, classes: NDArray[Any], shape: tuple[int, int]) -> Array:
    rows = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            equal = np.asarray(predicted).reshape(-1, 1) == classes[None, :]
            rows = np.asarray(equal, dtype=np.float64)
    except Exception:
        rows = None
    if rows is None or rows.shape != shape:
        return np.full(shape, np.nan)
    return np.where(rows.sum(axis=1, keepdims=True) == 1, rows, np.nan)
