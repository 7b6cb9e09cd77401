"""Features of the transfer rows, from any container; free, since X is public."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.extmath import randomized_svd

__all__ = ["count_rows", "public_features", "transformed"]

Array = NDArray[np.float64]

# Numbers whose ranges differ by no more than this factor are taken to share a unit.
_SAME_UNIT = 10.0
_CATEGORIES = 40
_RARE = 0.005
_SPARSE_DIMENSIONS = 100


def public_features(X: Any) -> Array:
    """Describe the rows of any container of transfer rows by comparable numbers.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (m, d, ...), or sequence of m texts
        pandas and polars frames may hold numbers, booleans, dates, categories and texts, with
        missing values. Axes after the second are flattened (images).

    Returns
    -------
    features : ndarray of shape (m, p)
        Finite; no constant column, so that p may be 0. By the kind of column:

        - numbers (an infinite one counts as missing): where the ranges of all are within a factor
          of 10, give or take a tenth of the columns on either side, they share a unit (pixels,
          principal components, scaled columns) and are divided by their root mean variance;
          otherwise each is standardised. Missing values become the mean, and an indicator tells.
        - booleans, categories, texts in a table: indicators of the 40 most frequent values; the
          others, and those in fewer than 0.5 % of the rows, share one. Missing is a value.
        - sparse matrices of more than 100 columns: their 100 leading singular directions.
        - a sequence of texts: the same of their tf-idf weights.

    Raises
    ------
    TypeError, ValueError
        For rows that are neither a table nor texts; for no rows.
    """
    if count_rows(X) == 0:
        raise ValueError("The transfer set X is empty; a basis needs at least one row.")
    features = _all_features(X)
    spread = features.max(axis=0) - features.min(axis=0)
    return np.ascontiguousarray(features[:, spread > 1e-12 * np.abs(features).max(initial=0.0)])


def _all_features(X: Any) -> Array:
    """Return features, constant ones too."""
    if hasattr(X, "tocsr"):
        return _sparse_features(X.tocsr())
    if hasattr(X, "get_columns"):
        return _mixed_features([_polars_column(column) for column in X.get_columns()])
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        return _mixed_features([_pandas_column(X.iloc[:, j]) for j in range(X.shape[1])])
    values = _array(X)
    if values.ndim == 1 and all(isinstance(v, str) or _missing(v) for v in values):
        documents = ["" if _missing(text) else text for text in values]
        try:
            return _sparse_features(TfidfVectorizer().fit_transform(documents).tocsr())
        except ValueError:  # not one word
            return np.empty((len(documents), 0))
    if values.ndim < 2:
        raise TypeError(
            "No public basis can be made of these transfer rows: they are neither a table nor "
            "texts. Pass basis=an array with one row per row of X, or a callable that makes one "
            "(or, to a distiller, None: plain PATE)."
        )
    values = values.reshape(len(values), -1)
    if values.dtype.kind == "f":
        return _scaled(values)
    return _mixed_features([_object_column(column) for column in values.T])


def _polars_column(column: Any) -> NDArray[Any]:
    """Return a column as floats with NaN, or as an object array of strings."""
    if column.dtype.is_temporal():
        column = column.to_physical()
    if column.dtype.is_numeric():
        return np.array(column.cast(float).to_numpy(), dtype=np.float64)
    return _object_column(column.to_list())


def _pandas_column(column: Any) -> NDArray[Any]:
    """Return a column as floats with NaN, or as an object array of strings."""
    kind = getattr(column.dtype, "kind", "O")
    if kind in "mM":
        column = (column - column.min()).dt.total_seconds()
    if kind in "iufmM":
        return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _object_column(column.astype(object))


def _array(X: Any) -> NDArray[Any]:
    """Return an array of floats where all is numeric, of objects otherwise."""
    try:
        values = np.asarray(X)
        if values.dtype.kind not in "biufmM":
            values = np.asarray(X, dtype=object)
    except ValueError:
        raise TypeError(
            "The transfer set is not a table: its rows differ in length. Pass an array, a sparse "
            "matrix or a data frame."
        ) from None
    if values.dtype.kind == "O" and any(isinstance(v, complex) for v in values.ravel()):
        raise TypeError("The transfer set is not a table of real numbers: it holds complex ones.")
    if values.dtype.kind in "mM":
        return np.where(np.isnat(values), np.nan, values.astype(np.int64))
    return values if values.dtype.kind == "O" else values.astype(np.float64)


def _object_column(values: Iterable[Any]) -> NDArray[Any]:
    """Return floats with NaN where all that is present are numbers, else strings, missing ""."""
    column = [None if _missing(v) else v for v in values]
    present = [v for v in column if v is not None]
    if all(isinstance(v, Real | Decimal) and not isinstance(v, bool) for v in present):
        return np.array([np.nan if v is None else _number(v) for v in column])
    return np.array(["" if v is None else str(v) for v in column], dtype=object)


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.nan


def _missing(value: Any) -> bool:
    """Whether a cell is None, NaN, NaT or pandas.NA."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError, ArithmeticError):
        return True


def _mixed_features(columns: list[NDArray[Any]]) -> Array:
    """Scale the numbers, make indicators of the rest."""
    numbers = [column for column in columns if column.dtype.kind == "f"]
    names = [column for column in columns if column.dtype.kind != "f"]
    parts = [_scaled(np.column_stack(numbers))] if numbers else []
    if names:
        encoder = OneHotEncoder(
            max_categories=_CATEGORIES + 1,
            min_frequency=2 + int(_RARE * len(names[0])),
            drop="if_binary",
            sparse_output=False,
        )
        parts.append(transformed(encoder, np.column_stack(names)))
    return np.hstack(parts)


def _scaled(table: Array) -> Array:
    """Centre and scale numbers (see :func:`public_features`); fill in and mark missing ones."""
    table = np.where(np.isfinite(table), table, np.nan)
    table = table[:, ~np.isnan(table).all(axis=0)]
    if table.shape[1] == 0:
        return table
    low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    half = high / 2 - low / 2  # the range may overflow, its half cannot
    varied = half > 4 * np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    half = np.where(varied, half, 1.0)
    unit = np.where(varied, (table - (low / 2 + high / 2)) / half, 0 * table)
    filled = transformed(SimpleImputer(add_indicator=True), unit)
    numbers, indicators = filled[:, : len(half)][:, varied], filled[:, len(half) :]
    if varied.any():
        half = half[varied]
        numbers -= numbers.mean(axis=0)
        deviation = numbers.std(axis=0)
        smaller = np.quantile(half, 0.1, method="lower")
        larger = np.quantile(half, 0.9, method="higher")
        if larger / _SAME_UNIT <= smaller:
            half /= half.max()
            numbers *= half / np.sqrt(np.mean((half * deviation) ** 2))
        else:
            numbers /= deviation
    return np.hstack([numbers, indicators])


def _sparse_features(table: Any) -> Array:
    """Return a narrow sparse matrix in full, of a wide one the leading singular directions."""
    if table.shape[1] <= _SPARSE_DIMENSIONS:
        return _scaled(np.asarray(table.toarray(), dtype=np.float64))
    table = table.astype(np.float64)  # a copy
    table.data = np.where(np.isfinite(table.data), table.data, 0.0)
    table.data /= max(np.abs(table.data).max(initial=0.0), np.finfo(float).tiny)
    size = min(_SPARSE_DIMENSIONS, table.shape[0])
    left, values, _ = randomized_svd(table, size, random_state=0)
    return np.asarray(left * values)


def transformed(transformer: Any, table: NDArray[Any]) -> Array:
    """Fit and transform, to an array whatever the user's ``transform_output`` is."""
    return np.asarray(transformer.set_output(transform="default").fit_transform(table))


def count_rows(X: Any) -> int:
    """Return the number of rows of a table or of a sequence of texts."""
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape else len(X)
