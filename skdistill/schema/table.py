"""Tables of any kind: taken apart into columns, and put together from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._tables import check_not_empty, layout_of, not_a_table, rows_of_list
from skdistill.schema.column import Column


def kind_of(X: Any) -> str:
    """Return the kind of a table: "pandas", "polars" or "array".

    Parameters
    ----------
    X : object
        A table.

    Returns
    -------
    kind : {"pandas", "polars", "array"}
        Everything that is not a frame counts as an array.
    """
    module = type(X).__module__.split(".")[0]
    return module if module in ("pandas", "polars") and hasattr(X, "columns") else "array"


class Table:
    """The columns of a table, none of which has been looked into; `width` is public knowledge.

    A ValueError or a TypeError is raised if X is not two-dimensional, is empty, or is sparse.
    """

    def __init__(self, X: Any, width: int | None = None) -> None:
        self.kind, self.index = kind_of(X), None
        self.names: list[str] | None = None
        self.columns: list[Any]
        if self.kind != "array":
            self.names = [str(name) for name in X.columns]
            pandas = self.kind == "pandas"
            self.index = X.index if pandas else None
            self.columns = [X.iloc[:, j] if pandas else X[:, j] for j in range(X.shape[1])]
            check_not_empty(X.shape)
            return
        if hasattr(X, "tocsr"):
            raise TypeError("Sparse data was passed for X, but a schema reads dense tables.")
        layout = layout_of(X, width)
        array = np.asarray(layout)
        if array.ndim != 2:
            raise not_a_table(array.ndim)
        check_not_empty(array.shape)
        if layout is X:
            self.columns = list(array.T)
        else:  # a list of rows, or an array of objects with a row of another length
            self.columns = list(map(list, zip(*rows_of_list(X, width) or [], strict=True)))

    def names_or_default(self) -> list[str]:
        """Return the names, ``x0, x1, ...`` where there are none."""
        return self.names or [f"x{j}" for j in range(len(self.columns))]


def build_table(
    columns: Sequence[Column], cells: Sequence[NDArray[Any]], kind: str, index: Any = None
) -> Any:
    """Return a table of this kind from the results of `Column.read` or `Column.draw`."""
    if kind == "pandas":
        import pandas as pd

        frame = {c.name: _pandas_column(c, x) for c, x in zip(columns, cells, strict=True)}
        return pd.DataFrame(frame, index=index)
    if kind == "polars":
        import polars as pl

        return pl.DataFrame([_polars_column(c, x) for c, x in zip(columns, cells, strict=True)])
    values = [_values(c, x) for c, x in zip(columns, cells, strict=True)]
    if kind != "array":
        raise ValueError(f'kind={kind!r} must be "array", "pandas" or "polars".')
    dtype = object if any(x.dtype == object for x in values) else np.float64
    rows = np.empty((len(values[0]), len(values)), dtype=dtype)
    for j, x in enumerate(values):
        rows[:, j] = x
    return rows


def _values(column: Column, cells: NDArray[Any]) -> NDArray[Any]:
    """Return cells as floats, or as objects where the column holds text or dates."""
    if column.date:
        return np.array(list(column.as_dates(cells)), dtype=object)
    if column.kind == "number":
        return cells
    text = any(isinstance(value, str) for value in column.values)
    table = np.empty(len(column.values) + 1, dtype=object if text else np.float64)
    table[:-1] = column.values
    table[-1] = np.nan  # index -1 is missing
    return table[cells]


def _polars_column(column: Column, cells: NDArray[Any]) -> Any:
    """Return a column with null where a cell is missing, booleans as Boolean."""
    import polars as pl

    if column.date:
        return pl.Series(column.name, column.as_dates(cells))
    if column.kind == "number":
        return pl.Series(column.name, cells, nan_to_null=True)
    kinds = set(map(type, column.values))
    if kinds == {bool} or str in kinds:
        table = [*column.values, None]  # index -1 is missing
        return pl.Series(column.name, [table[i] for i in cells.tolist()], strict=False)
    return pl.Series(column.name, _values(column, cells), nan_to_null=True)


def _pandas_column(column: Column, cells: NDArray[Any]) -> Any:
    import pandas as pd

    if column.date:
        return column.as_dates(cells).astype("datetime64[s]")
    if column.kind == "number":
        whole = column.integer and not column.missing
        return cells.astype(np.int64 if whole else np.float64)
    if set(map(type, column.values)) == {bool} and not column.missing:
        return np.array(column.values)[cells]
    return pd.Categorical.from_codes(cells, categories=list(column.values))
