"""The partitions of dask collections. Nothing here imports dask before it is given one."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill._tables import n_rows


def is_dask(X: Any) -> bool:
    """Whether X is a dask collection. Does not import dask."""
    return type(X).__module__.partition(".")[0] in ("dask", "dask_expr")


def blocks_of(X: Any, n_axes: int = 2) -> tuple[list[Any], list[int] | None]:
    """Return the partitions of X, with all columns each, and their numbers of rows, if known.

    `n_axes` is 1 for labels. Another collection, or another number of axes, raises.
    """
    if not (hasattr(X, "to_delayed") and hasattr(X, "ndim")):
        raise TypeError(
            f"X is a {type(X).__name__}; rows of a dask array or of a dask data frame can be read."
        )
    if X.ndim != n_axes:
        raise ValueError(f"Expected {n_axes}D array, got {X.ndim}D array instead.")
    sizes: Any = (np.nan,)
    if hasattr(X, "chunks"):
        X = X.rechunk({1: -1}) if n_axes == 2 else X
        sizes = X.chunks[0]
    blocks = list(np.ravel(np.asarray(X.to_delayed(), dtype=object)))
    return blocks, None if np.isnan(sizes).any() else list(map(int, sizes))


def counted(blocks: list[Any]) -> list[int]:
    """Count the rows of partitions: dask reads them once more."""
    import dask

    (sizes,) = dask.compute([dask.delayed(n_rows)(block) for block in blocks])
    return list(sizes)


def header_of(X: Any) -> Any:
    """Return a table in memory with the columns of X and no private cell: public."""
    if not hasattr(X, "columns"):
        return np.zeros((1, X.shape[1]))
    import pandas as pd

    return pd.DataFrame(columns=X.columns)
