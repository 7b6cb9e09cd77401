"""The outputs of a teacher for rows, as arrays: asked through the boundary, not yet sanitised.

They are as untrusted as the teacher, and are handed to
:mod:`skdistill.release.quantization`, which makes integers of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.frozen import FrozenEstimator
from sklearn.utils import gen_batches

from skdistill._scores import scores_are_pairs
from skdistill._silenced import silenced
from skdistill.certificates.base import unwrap
from skdistill.neural import adapted, clone_network
from skdistill.release.boundary import TeacherError, call_privately
from skdistill.release.quantization import as_outputs

Array = NDArray[np.float64]

_CHUNK = 1 << 18  # outputs held at once, by all workers of a chunk: 2 MB of float64


def output_method(teacher: Any) -> str:
    """Name the method that gives a classifier's labels: soft ones where it has them."""
    pairs = scores_are_pairs(teacher)
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(teacher, name) and not (pairs and name == "decision_function"):
            return name
    raise TypeError(
        f"{type(teacher).__name__} has neither predict_proba, decision_function nor predict, so it "
        "cannot label a transfer set."
    )


def class_outputs(
    teacher: Any, X: Any, n_rows: int, classes: NDArray[Any], outputs: Any = None
) -> Array:
    """Return a classifier's labels for X, shape ``(n_rows, n_classes)``, not yet sanitised.

    Probabilities where the teacher has them; else the sigmoid or softmax of its decision function;
    else one-hot predictions. Predictions outside `classes` and outputs of a wrong shape are NaN.
    `outputs`, a certificate's own, takes the place of all that.
    """
    shape = (n_rows, len(classes))
    if outputs is not None:
        return as_outputs(call_privately(outputs, X), shape)
    method, said = call_privately(partial(_ask, teacher), X)
    if method == "predict_proba":
        return as_outputs(said, shape)
    if method == "predict":
        return _one_hot(said, classes, shape)
    with np.errstate(all="ignore"):
        if shape[1] == 2:
            positive = expit(as_outputs(said, shape[:1]))
            return np.column_stack([1 - positive, positive])
        return np.asarray(softmax(as_outputs(said, shape), axis=1))


def gives_margins(teacher: Any) -> bool:
    """Whether a classifier's labels come from margins: their mean says nothing of its classes.

    Its settings say so, or else its class. Which methods a fitted teacher has may be private: a
    search has those of the estimator that scored best on the private rows.
    """
    for like in (_not_fitted, type):
        with suppress(TeacherError):
            method = call_privately(lambda like=like: output_method(adapted(like(teacher))), seed=0)
            return bool(method == "decision_function")
    return False


def _not_fitted(teacher: Any) -> Any:
    """Return a clone of which no part is fitted, not even a frozen one."""
    blank = clone_network(unwrap(teacher))
    for name, value in blank.get_params().items():
        if type(value) is FrozenEstimator:
            blank.set_params(**{name: _not_fitted(value)})
    return blank


def value_outputs(teacher: Any, X: Any, n_rows: int) -> Array:
    """Return a regressor's outputs for X, shape ``(n_rows,)``, not yet clipped."""
    return as_outputs(call_privately(lambda rows: adapted(teacher).predict(rows), X), (n_rows,))


def before_last_step(bound: Any, X: Any) -> Any:
    """Return rows as the last step of the teacher's pipeline takes them. Private."""
    return X if bound.transformer is None else bound.transformer.transform(X)


def member_votes(bound: Any, X: Any, function: Callable[[Any], Any]) -> Iterator[Any]:
    """Iterate over the votes of the members of an ensemble. Private."""
    return bound.member_votes(before_last_step(bound, X), function)


def _ask(teacher: Any, X: Any) -> tuple[str, Any]:
    teacher = adapted(teacher)
    method = output_method(teacher)
    return method, getattr(teacher, method)(X)


def _one_hot(predicted: Any, classes: NDArray[Any], shape: tuple[int, int]) -> Array:
    def compare() -> Array:
        return np.asarray(np.asarray(predicted).reshape(-1, 1) == classes[None, :], dtype=float)

    try:
        rows = call_privately(compare)
    except TeacherError:
        rows = None
    if rows is None or rows.shape != shape:
        return np.full(shape, np.nan)
    return np.where(rows.sum(axis=1, keepdims=True) == 1, rows, np.nan)


def in_chunks(
    function: Callable[[Any, int], Any], X: Any, shape: tuple[int, ...], dtype: Any, n_jobs: Any
) -> NDArray[Any]:
    """Fill an array by ``function(rows, n_rows)`` of slices of X, in threads, in little memory.

    (Not in processes, since teachers would be pickled with the private data that they may hold.)
    """
    result = np.empty(shape, dtype=dtype)
    X = X.tocsr() if hasattr(X, "tocsr") else X
    sliceable = getattr(X, "iloc", X)

    def fill(part: slice) -> None:
        result[part] = function(sliceable[part], part.stop - part.start)

    width = shape[1] if len(shape) > 1 else 1
    parts = list(gen_batches(shape[0], max(1, _CHUNK // width)))
    with silenced():
        if len(parts) == 1:
            fill(parts[0])
        else:
            Parallel(n_jobs=n_jobs, prefer="threads")(delayed(fill)(part) for part in parts)
    return result
