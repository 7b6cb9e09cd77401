"""Rows, cells, labels and groups of every container, each made canonical by itself.

The dtype of a container depends on all its cells: one text among numbers makes objects of a whole
column, one missing value makes floats of integers, one new value extends the categories. A member
of an ensemble must not see that of a record in another shard. So every cell is read by itself, and
the dtype of a column is chosen again from the cells that one member is given (:meth:`Table.take`).

Public, and therefore allowed to matter for all rows: the kind of container, the names and the
number of columns, the number of axes, and the dtype of a NumPy array or a sparse matrix.
"""

from __future__ import annotations

import copy
import pickle
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from skdistill._cells import (
    NANOSECONDS,
    as_floats,
    canonical_cell,
    canonical_column,
    listed,
    narrow,
    number_text,
    objects,
    usual_numbers,
)


def n_rows(X: Any) -> int:
    """Return the number of rows of any container."""
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def take_rows(X: Any, indices: NDArray[np.intp]) -> Any:
    """Return the rows of X at `indices`, in the container X came in."""
    if hasattr(X, "iloc"):
        return X.iloc[indices]
    if hasattr(X, "tocsr"):
        return X.tocsr()[indices]
    if isinstance(X, (list, tuple)):
        return [X[i] for i in indices]
    return X[indices]


def row_blocks(X: Any, step: int) -> Iterator[tuple[slice, Any]]:
    """Cut an array or a CSR matrix into views of `step` rows, each with its place."""
    for start in range(0, X.shape[0], step):
        rows = slice(start, min(start + step, X.shape[0]))
        if not sparse.issparse(X):
            yield rows, X[rows]
            continue
        ends = X.indptr[start : rows.stop + 1]
        cells = slice(ends[0], ends[-1])
        block = type(X)((len(ends) - 1, X.shape[1]), dtype=X.dtype)
        # Both a slice and the constructor would copy the cells.
        block.data, block.indices, block.indptr = X.data[cells], X.indices[cells], ends - ends[0]
        yield rows, block


def copy_rows(X: Any) -> Any:
    """Return a copy of canonical rows; their cells cannot be changed, so they are not copied."""
    if isinstance(X, list):
        return list(X)
    return X.clone() if hasattr(X, "clone") else X.copy()


def check_table(X: Any) -> Any:
    """Return a table, or raise for one without rows or columns: shapes and dtypes are public."""
    if not hasattr(X, "shape") and not hasattr(X, "__len__"):
        X = np.asarray(X)
    shape = X.shape if hasattr(X, "shape") else (len(X),)
    if isinstance(X, np.ndarray) and (not shape or (len(shape) == 1 and X.dtype.kind in "biufc")):
        raise not_a_table(len(shape))
    check_not_empty(shape)
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError("Complex data not supported: X has a complex dtype.")
    return X


def not_a_table(n_axes: int) -> ValueError:
    """Return the error for an array of another number of axes than two."""
    return ValueError(
        f"Expected 2D array, got {n_axes}D array instead. Reshape your data: "
        "X.reshape(-1, 1) if it has one feature, X.reshape(1, -1) if it is one row."
    )


def check_not_empty(shape: tuple[int, ...]) -> None:
    """Raise for a table without rows or columns."""
    for size, counted in zip(shape, ("sample", "feature"), strict=False):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {counted}(s) (shape={shape}) while a minimum of 1 is required."
            )


def check_lengths(X: Any, **others: Any) -> None:
    """Raise where something has another length than X: lengths are public."""
    for name, given in others.items():
        if given is not None and len(given) != n_rows(X):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {n_rows(X)}, "
                f"{name} has {len(given)}."
            )


@dataclass(frozen=True)
class Table:
    """A table whose cells are canonical; its layout is public.

    `kind` is the layout: "numbers" (a NumPy array of numbers), "array" (any other array, or rows
    in a list), "sparse", or a key of ``_BUILDERS``. `values` holds the rows of "numbers" and
    "sparse", `columns` those of the other kinds.
    """

    kind: str
    shape: tuple[int, ...]
    values: Any = None
    columns: tuple[NDArray[Any], ...] = ()
    names: Any = None

    @property
    def n_rows(self) -> int:
        """Number of rows; public."""
        return self.shape[0]

    def take(self, rows: NDArray[np.intp] | None = None) -> Any:
        """Return rows in a container of their own, a function of these rows and of the layout.

        Columns are float64 where all their cells are numbers or missing, datetime64[ns] where all
        are dates or missing, and else objects. Indices of pandas are numbered anew.
        """
        if self.values is not None:
            return self.values if rows is None else self.values[rows]
        columns = [narrow(cells if rows is None else cells[rows]) for cells in self.columns]
        return _BUILDERS[self.kind](columns, self)

    def numbers(self) -> Any:
        """Return all rows as float64: NaN for cells of other kinds, CSR for sparse rows."""
        if len(self.shape) != 2:
            raise ValueError(f"Expected 2D array, got a table of shape {self.shape} instead.")
        if self.values is not None:
            return self.values.astype(np.float64, copy=False)
        return np.column_stack([as_floats(cells) for cells in self.columns])


@np.errstate(all="ignore")  # a long double may be beyond float64, and a warning tells, too
def read_table(X: Any, width: int | None = None) -> Table:
    """Read every cell of a table by itself; no cell raises, and X is not changed.

    `width` is the public number of columns of rows in a list (:func:`rows_of_list`). A ValueError
    is raised for public reasons alone: no rows, no columns, a complex dtype, a one-dimensional
    array of numbers.
    """
    X = check_table(X)
    if sparse.issparse(X):
        return Table("sparse", X.shape, values=_canonical_csr(X))
    if isinstance(X, (list, tuple)):
        return _table_of_list(list(X), width)
    library = type(X).__module__.partition(".")[0]
    frame = "pandas" if hasattr(X, "iloc") else "polars" if library == "polars" else None
    if frame and len(X.shape) == 1:
        kind = {"pandas": "series", "polars": "polars series"}[frame]
        return Table(kind, X.shape, columns=(canonical_column(X),), names=X.name)
    if frame:
        cells = [X.iloc[:, j] if frame == "pandas" else X[:, j] for j in range(X.shape[1])]
        return Table(frame, X.shape, columns=tuple(map(canonical_column, cells)), names=X.columns)
    array = check_table(np.asarray(X))
    if array.dtype.kind in "biuf":
        single = array.dtype in (np.float16, np.float32)
        numbers = array.astype(np.float32 if single else np.float64, copy=False)
        return Table("numbers", array.shape, values=usual_numbers(numbers))
    if array.ndim == 1:  # of objects: documents, or rows one of which is shorter than the others
        return _table_of_list(array.tolist(), width, cells="array")
    flat = array.reshape(len(array), -1)
    return Table("array", array.shape, columns=tuple(map(canonical_column, flat.T)))


def as_numbers(X: Any) -> NDArray[np.float64]:
    """Return a dense table as numbers, shape ``(n, d)``; columns of other cells become codes."""
    table = read_table(X)
    if table.values is not None:
        return np.asarray(table.values.reshape(table.n_rows, -1), dtype=np.float64)
    numbers = [
        np.unique(cells.astype(str), return_inverse=True)[1] if cells.dtype == object else cells
        for cells in table.columns
    ]
    return np.column_stack([cells.astype(np.float64) for cells in numbers])


def canonical_rows(X: Any, width: int | None = None) -> Any:
    """Return all rows of X as :func:`read_table` reads them, in a container of the same layout."""
    return read_table(X, width).take()


def _canonical_csr(X: Any) -> Any:
    rows = sparse.csr_matrix if isinstance(X, sparse.spmatrix) else sparse.csr_array
    csr = rows(X, dtype=np.float64, copy=True)
    csr.sum_duplicates()
    csr.data = usual_numbers(csr.data)
    return csr


def _table_of_list(X: list[Any], width: int | None, cells: str = "list") -> Table:
    """Read rows in a list; where most are no rows, single cells, whose layout `cells` names."""
    rows = rows_of_list(X, width)
    if rows is None:  # documents, for instance
        return Table(cells, (len(X),), columns=(canonical_column(X),))
    columns = tuple(map(canonical_column, zip(*rows, strict=True)))
    return Table("array", (len(X), len(columns)), columns=columns)


def rows_of_list(X: Sequence[Any], width: int | None = None) -> list[Sequence[Any]] | None:
    """Return the rows in a list, all of one width; None where most of its elements are no rows.

    An item that is not a row, or a row of another length than `width` (that of most rows), is
    missing in all columns.
    """
    rows = [_cells_of_row(row) for row in X]
    lengths = Counter(len(row) for row in rows if row is not None)
    if width is None and 2 * lengths.total() < max(1, len(rows)):
        return None
    if width is None:
        width = max(lengths, key=lambda length: (lengths[length], length))
    if not width:
        raise ValueError("Found array with 0 feature(s) while a minimum of 1 is required.")
    missing = [np.nan] * width
    return [row if row is not None and len(row) == width else missing for row in rows]


def layout_of(X: Any, width: int | None = None) -> Any:
    """Return the part of a private table that ``validate_data(skip_check_array=True)`` may see.

    It takes the width of rows in a list from row 0, which is one record.
    """
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object:
        X = X.tolist()
    if not isinstance(X, (list, tuple)):
        return X
    rows = rows_of_list(X, width)
    return [""] if rows is None else np.empty((1, len(rows[0])))


def _cells_of_row(row: Any) -> Sequence[Any] | None:
    """Return the cells of a row in a list, None for anything else."""
    for kind in (list, tuple):
        if issubclass(type(row), kind):
            return kind.__getitem__(row, slice(None))
    return list(row) if type(row) is np.ndarray and row.ndim == 1 else None


def _array_of(columns: list[NDArray[Any]], table: Table) -> NDArray[Any]:
    if all(cells.dtype == np.float64 for cells in columns):
        return np.column_stack(columns).reshape(-1, *table.shape[1:])
    rows = np.empty((len(columns[0]), len(columns)), dtype=object)
    for j, cells in enumerate(columns):
        rows[:, j] = objects(list(cells)) if cells.dtype == NANOSECONDS else cells
    return rows.reshape(-1, *table.shape[1:])


def _frame_of(columns: list[NDArray[Any]], table: Table) -> Any:
    import pandas as pd

    if all(cells.dtype == np.float64 for cells in columns):
        return pd.DataFrame(np.column_stack(columns), columns=table.names)
    frame = pd.DataFrame({j: pd.Series(x, dtype=x.dtype) for j, x in enumerate(columns)})
    frame.columns = table.names
    return frame


def _polars_column(cells: NDArray[Any], name: str) -> Any:
    """Return texts as String with null for missing, cells of several kinds as Object."""
    import polars as pl

    if cells.dtype != object:
        return pl.Series(name, cells)
    kinds = set(map(type, cells.tolist()))
    if kinds <= {str, float} and all(c != c for c in cells if type(c) is float):
        return pl.Series(name, [c if type(c) is str else None for c in cells], dtype=pl.String)
    return pl.Series(name, cells.tolist(), dtype=pl.Object)


_BUILDERS: dict[str, Callable[[list[NDArray[Any]], Table], Any]] = {
    "array": _array_of,
    "list": lambda columns, _: (
        list(columns[0]) if columns[0].dtype == NANOSECONDS else columns[0].tolist()
    ),
    "pandas": _frame_of,
    "series": lambda columns, table: sys.modules["pandas"].Series(
        columns[0], dtype=columns[0].dtype, name=table.names
    ),
    "polars": lambda columns, table: sys.modules["polars"].DataFrame(
        list(map(_polars_column, columns, table.names))
    ),
    "polars series": lambda columns, table: _polars_column(columns[0], table.names),
}


def cells_of(y: Any, name: str = "y") -> list[Any]:
    """Return labels, targets or names of groups one by one, as they are.

    Another shape than (n,) or (n, 1), which is public, raises.
    """
    if isinstance(y, (list, tuple)):
        if 2 * sum(issubclass(type(cell), (list, np.ndarray)) for cell in y) > len(y):
            raise ValueError(f"{name} must be one-dimensional: one label for each row.")
        return list(y)
    if hasattr(y, "to_list"):  # a series
        return listed(y)
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        warnings.warn(
            f"A column-vector {name} was passed when a 1d array was expected. Please change the "
            f"shape of {name} to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} should be a 1d array, got an array of shape {values.shape}.")
    return list(values) if values.dtype.kind in "mM" else values.tolist()


def label_codes(y: Any, classes: NDArray[Any]) -> NDArray[np.intp]:
    """Return the index of each label in `classes`, -1 for a label outside of it; no label raises.

    1, 1.0 and True are the same label, 1 and "1" are not.
    """
    if isinstance(y, np.ndarray) and y.dtype.kind in "biuf" and classes.dtype.kind in "biuf":
        order = np.argsort(classes)
        place = np.minimum(np.searchsorted(classes[order], y), len(classes) - 1)
        return np.where(classes[order][place] == y, order[place], -1)
    index = {canonical_cell(label): code for code, label in enumerate(classes.tolist())}
    cells = (cell if type(cell) is str else canonical_cell(cell) for cell in cells_of(y))
    return np.fromiter((index.get(cell, -1) for cell in cells), np.intp)


def classes_in(y: Any) -> NDArray[Any]:
    """Return the sorted labels of y without missing ones; which labels occur counts as public.

    Whole numbers are integers, since one missing label makes floats of all in many containers.
    """
    if isinstance(y, np.ndarray) and y.ndim == 1 and len(y) and y.dtype in (np.int64, np.bool_):
        labels = y
    else:
        pairs = [(cell, canonical_cell(cell)) for cell in cells_of(y)]
        labels = np.asarray([cell for cell, read in pairs if read == read])
        if len({isinstance(read, str) for _, read in pairs if read == read}) > 1:
            raise ValueError(
                "The labels in y are of several types, text and numbers. List the labels in "
                "`classes`: records with another label are then left out."
            )
        if not len(labels):
            raise ValueError("There is no label in y: all of them are missing.")
    with np.errstate(invalid="ignore"):
        check_classification_targets(labels)
    classes = np.unique(labels)
    _check_exact(classes)
    # Floats are those of whole numbers beside a missing label.
    return classes.astype(np.int64) if classes.dtype.kind == "f" else classes


def _check_exact(classes: NDArray[Any]) -> None:
    """Raise for numbers that are no labels, or that a column of floats cannot tell apart.

    One missing label makes floats of a column: it would decide which class the others belong to.
    """
    numbers = [c for c in classes.tolist() if isinstance(c, (int, float))]
    if not all(abs(c) < 2**53 and c == round(c) for c in numbers):  # it may be one record's label
        raise ValueError(
            "A class is not a whole number below 2**53; one missing label among others would make "
            "a larger one a neighbouring number. Give the labels as text."
        )


def known_classes(y: Any, classes: Any, cells: Any = None) -> NDArray[Any]:
    """Return the sorted classes that are given, or those in y (or in its `cells`)."""
    if classes is None:
        return classes_in(y if cells is None else cells)
    known = listed_classes(classes)
    check_label_types(y, known)
    return known


def listed_classes(classes: Any) -> NDArray[Any]:
    """Return the sorted labels of a setting `classes`; raise where it is no list of labels."""
    try:
        labels = [] if isinstance(classes, (str, bytes)) else list(classes)
        flat = np.ndim(labels) == 1
    except (TypeError, ValueError):
        labels, flat = [], False
    read = {canonical_cell(label) for label in labels}
    texts = sum(isinstance(label, str) for label in read)
    missing = any(label != label for label in read)
    if not flat or len(read) < 2 or texts not in (0, len(read)) or missing:
        raise ValueError(
            f"classes={classes!r} must be a list of at least two labels, all texts or all "
            'numbers, such as ["no", "yes"] or [0, 1].'
        )
    return np.unique(np.asarray(labels))


def check_label_types(y: Any, classes: NDArray[Any] | None = None) -> None:
    """Raise for an array whose dtype fits no class, or no number: dtypes are public.

    A list or an array of objects has no dtype that could tell, so it never raises.
    """
    kind = _kind_of_labels(getattr(y, "dtype", None))
    if classes is None:
        if kind not in (None, "numbers"):
            raise ValueError(f"The targets in y are {kind}, and a regressor learns numbers.")
        return
    _check_exact(classes)
    wanted = text_or_numbers(classes.dtype)
    if kind != wanted and not {kind, wanted} & {None, *_AS_TEXTS}:
        raise ValueError(
            f"The labels in y are {kind} and the classes {classes.tolist()[:5]} are {wanted}: no "
            "label would be known. Give both as text or both as numbers."
        )


def _kind_of_labels(dtype: Any) -> str | None:
    """Name the kind of labels or targets of a dtype; of a categorical, that of its categories.

    None for complex numbers, which pandas makes of a column of numbers for one record, and for its
    own "str", which one record that is no text makes a column of objects.
    """
    if isinstance(getattr(dtype, "ordered", None), bool):  # of pandas
        dtype = dtype.categories.dtype
    name = str(dtype).lower()
    for kind, pattern in _KINDS_OF_LABELS.items():
        if re.match(pattern, name):
            return kind
    return None if name == "str" else text_or_numbers(dtype)


_KINDS_OF_LABELS = {
    "dates": "date",
    "durations, periods or intervals": r"[<>]m8|time|duration|period|interval",
    "bytes": r"\|?s\d|binary",
    "text": r"categorical|enum",  # of Polars
}
_AS_TEXTS = ("durations, periods or intervals",)  # and durations as seconds: some class may match


def text_or_numbers(dtype: Any) -> str | None:
    """Name the kind of values of a dtype: "text", "numbers" or None."""
    name = str(dtype).lower()
    if re.fullmatch(r"[<>|=]?[us]\d+|str|(large_)?string(\[\w+\])?", name):
        return "text"
    numbers = r"((u?int|float)\d+|double|bool(ean)?)(\[pyarrow\])?"
    return "numbers" if re.fullmatch(numbers, name) else None


def group_names(groups: Any) -> list[str]:
    """Return the name of each row's group; the labels of other rows do not change it.

    7, 7.0 and "7" are the same group, all missing labels are one group, and so are integers beyond
    2^53 that are the same float: one missing label makes floats of an integer column.
    """
    return [_group_name(cell) for cell in cells_of(groups, "groups")]


def _group_name(label: Any) -> str:
    if type(label) is tuple:
        return f"({', '.join(map(_group_name, label))})"
    value = canonical_cell(label)
    if isinstance(value, float):
        return number_text(value)
    return str(value)


def own_copy(data: Any) -> Any:
    """Return a copy of rows and cells, in the same container, that shares nothing with them."""
    plain = isinstance(data, np.ndarray) and not data.dtype.hasobject
    if plain or (hasattr(data, "tocsr") and hasattr(data, "copy")):
        return data.copy()
    if hasattr(data, "iloc"):  # a deep copy of pandas shares names, index, categories and cells
        return pickle.loads(pickle.dumps(data, protocol=4))  # of 5, arrays may be read-only
    return copy.deepcopy(data)
