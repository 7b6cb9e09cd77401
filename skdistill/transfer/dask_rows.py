"""Random rows of a dask array or data frame, fetched into this process."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.random import sample_without_replacement

from skdistill._partitions import blocks_of, counted
from skdistill._tables import take_rows


def fetch_rows(X: Any, n: int | None, random_state: Any) -> tuple[NDArray[np.intp], Any]:
    """Bring n random rows of a dask collection X here; return their sorted numbers and the rows.

    Sizes of partitions that dask does not know are counted, which reads X once more. Raises where
    `n` is None, since all rows may not fit, and for an X that is no table or has no rows.
    """
    import dask

    if n is None:
        raise ValueError(
            "X is a dask collection, and a student is trained in one process: set max_queries to "
            "the number of rows to fetch and label. Predict for the rest where it lies: "
            "X.map_blocks(distiller.predict)."
        )
    blocks, known = blocks_of(X)
    sizes = counted(blocks) if known is None else known
    m = sum(sizes)
    if not m:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    drawn = sample_without_replacement(m, min(n, m), random_state=check_random_state(random_state))
    rows = np.sort(drawn).astype(np.intp)
    starts = np.cumsum([0, *sizes])
    cuts = np.searchsorted(rows, starts)
    taken = [
        dask.delayed(take_rows)(block, rows[a:b] - start)
        for block, start, a, b in zip(blocks, starts[:-1], cuts[:-1], cuts[1:], strict=True)
        if b > a
    ]
    (fetched,) = dask.compute(taken)
    if hasattr(fetched[0], "iloc"):
        from dask.dataframe.dispatch import concat  # unites categories, where pandas drops them

        return rows, concat(fetched)
    return rows, np.concatenate(fetched)
