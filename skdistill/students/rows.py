"""Rows of whatever holds a transfer set: arrays, sparse matrices, pandas, polars, lists."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from skdistill._rows import take_rows

__all__ = ["stack_copies", "take_rows"]


def stack_copies(X: Any, times: int) -> Any:
    """Return `times` copies of X, one below the other, in the container X came in."""
    copies = [X] * times
    if isinstance(X, np.ndarray):
        return np.concatenate(copies)
    if hasattr(X, "tocsr"):
        from scipy import sparse

        return sparse.vstack(copies, format="csr")
    library = sys.modules.get(type(X).__module__.partition(".")[0])  # pandas or polars
    concat = getattr(library, "concat", None)
    if concat is not None:
        return concat(copies)
    return take_rows(X, np.tile(np.arange(len(X)), times))
