"""Records under audit, in any container, and the answers of the models under audit.

The models belong to the caller, together with the records they were trained on, but the message of
an exception may quote a record. So every call goes through the package's private boundary.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdistill._tables import as_numbers
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


def stack_rows(first: Any, *others: Any) -> Any:
    """Return tables one below the other, in the container of the first."""
    if hasattr(first, "tocsr"):
        from scipy import sparse

        return sparse.vstack([first, *others], format="csr")
    if hasattr(first, "columns"):
        parts = [x if type(x) is type(first) else frame_like(first, np.asarray(x)) for x in others]
        # pandas: a new index, so that no label occurs twice
        options = {"ignore_index": True} if hasattr(first, "iloc") else {"how": "vertical_relaxed"}
        return _library(first).concat([first, *parts], **options)
    if isinstance(first, (list, tuple)):
        return [row for part in (first, *others) for row in part]
    return np.concatenate([np.asarray(part) for part in (first, *others)])


def frame_like(frame: Any, values: NDArray[Any]) -> Any:
    """Return values as a pandas or polars frame with the columns of another one."""
    names = list(frame.columns)
    if hasattr(frame, "iloc"):
        return _library(frame).DataFrame(values, columns=names)
    return _library(frame).DataFrame(values, schema=names, orient="row")


def _library(frame: Any) -> Any:
    return sys.modules[type(frame).__module__.partition(".")[0]]


def row_keys(X: Any, y: NDArray[Any]) -> list[bytes]:
    """Return one key for each record. Equal keys mean equal cells and labels."""
    labels = np.unique(y, return_inverse=True)[1]
    if hasattr(X, "tocsr"):
        table = X.tocsr().copy()
        table.sum_duplicates()
        table.eliminate_zeros()
        spans = zip(table.indptr[:-1], table.indptr[1:], labels, strict=True)
        return [
            b"|".join((table.indices[a:b].tobytes(), table.data[a:b].tobytes(), b"%d" % label))
            for a, b, label in spans
        ]
    numbers = np.column_stack([as_numbers(X), labels]) + 0.0  # -0 becomes 0
    return [row.tobytes() for row in np.ascontiguousarray(numbers)]
