"""Rows of whatever holds a table: arrays, sparse matrices, pandas, polars, lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["take_rows"]


def take_rows(X: Any, indices: NDArray[np.intp]) -> Any:
    """Return the rows of X at `indices`, in the container X came in."""
    if hasattr(X, "iloc"):
        return X.iloc[indices]
    if hasattr(X, "tocsr"):
        return X.tocsr()[indices]
    if isinstance(X, (list, tuple)):
        return [X[i] for i in indices]
    return X[indices]
