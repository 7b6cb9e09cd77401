"""Tables of an audit, in any container: stacked, as numbers, row by row."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._tables import as_numbers


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
