"""Rows of a public transfer set: fetched, brought inside a schema, described by numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.utils import check_random_state
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.random import sample_without_replacement

from skdistill._partitions import blocks_of, counted
from skdistill._tables import n_rows, own_copy, take_rows
from skdistill.schema import Schema

Array = NDArray[np.float64]

_SAME_UNIT = 10.0  # numbers whose ranges differ by no more than this factor share a unit
_SPARSE_DIMENSIONS = 100


def public_features(X: Any, encoder: Any = None) -> Array:
    """Describe transfer rows by comparable numbers.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (m, d, ...)
        Axes after the second are flattened (images).
    encoder : transformer, default=None
        Makes numbers of rows that hold texts or categories; a clone is fitted on X.

    Returns
    -------
    features : ndarray of shape (m, p)
        Finite; no constant column, so that p may be 0. Where the ranges of all columns are within
        a factor of 10, give or take a tenth of the columns on either side, they are divided by
        their root mean variance; otherwise each is standardised. Missing and infinite values become
        the mean, and an indicator tells. Of a sparse matrix of more than 100 columns: its 100
        leading singular directions.

    Raises
    ------
    TypeError
        For rows that are not numbers.
    ValueError
        For no rows.

    Examples
    --------
    >>> from skdistill.transfer import public_features
    >>> public_features([[1.0, 300.0], [2.0, 100.0], [3.0, 200.0]]).round(2)
    array([[-1.22,  1.22],
           [ 0.  , -1.22],
           [ 1.22,  0.  ]])
    """
    if n_rows(X) == 0:
        raise ValueError("The transfer set X is empty; a basis needs at least one row.")
    if encoder is not None:
        X = clone(encoder).fit_transform(own_copy(X))
    if hasattr(X, "tocsr"):
        features = _sparse_features(X.tocsr())
    else:
        values = array_of_numbers(X)
        features = _scaled(values.reshape(len(values), -1))
    peak = max(features.max(initial=0.0), -features.min(initial=0.0))
    varied = np.ptp(features, axis=0) > 1e-12 * peak
    return np.ascontiguousarray(features if varied.all() else features[:, varied])


def holds_numbers(X: Any, encoder: Any = None) -> bool:
    """Whether :func:`public_features` can describe the rows of X."""
    if encoder is not None or hasattr(X, "tocsr"):
        return True
    try:
        array_of_numbers(X)
    except TypeError:
        return False
    return True


def array_of_numbers(X: Any) -> Array:
    """Return an array of floats of two axes or more."""
    try:
        if hasattr(X, "iloc"):  # nullable numbers become objects without this
            X = X.to_numpy(dtype=np.float64, na_value=np.nan)
        values = np.asarray(X)
        if values.dtype.kind != "c" and values.ndim > 1:
            return values.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(
        "No public basis can be made of these transfer rows: they are not a table of numbers. Pass "
        "a student that encodes them (a Pipeline), basis=an array with one row per row of X, a "
        "callable that makes one, or None."
    )


def _scaled(table: Array) -> Array:
    """Centre and scale numbers (see :func:`public_features`); fill in and mark missing ones."""
    finite = np.isfinite(table)
    whole = bool(finite.all())
    if not whole:
        table = np.where(finite, table, np.nan)[:, finite.any(axis=0)]
    if table.shape[1] == 0:
        return table
    low, high = np.fmin.reduce(table, axis=0), np.fmax.reduce(table, axis=0)
    half = high / 2 - low / 2  # the range may overflow, its half cannot
    varied = half > 4 * np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    half = np.where(varied, half, 1.0)
    unit = table - (low / 2 + high / 2)
    unit /= half
    unit[:, ~varied] *= 0
    filled = unit if whole else transformed(SimpleImputer(add_indicator=True), unit)
    numbers = filled if whole and varied.all() else filled[:, : len(half)][:, varied]
    if varied.any():
        half = half[varied]
        numbers -= numbers.mean(axis=0)
        deviation = np.sqrt(np.einsum("ij,ij->j", numbers, numbers) / len(numbers))
        if share_unit(half):
            half /= half.max()
            numbers *= half / np.sqrt(np.mean((half * deviation) ** 2))
        else:
            numbers /= deviation
    return numbers if whole else np.hstack([numbers, filled[:, len(varied) :]])


def share_unit(ranges: Array) -> bool:
    """Whether columns of these ranges share a unit, give or take a tenth of them on either side."""
    smaller = np.quantile(ranges, 0.1, method="lower")
    return bool(np.quantile(ranges, 0.9, method="higher") / _SAME_UNIT <= smaller)


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
    """Fit and transform to an array, under any setting of ``transform_output``."""
    return np.asarray(transformer.set_output(transform="default").fit_transform(table))


class SchemaRows(TransformerMixin, BaseEstimator):
    """Bring every cell inside a schema; row by row, and nothing to fit.

    With `n_bins`, every number is moved to the middle of its bin (:meth:`Schema.snap`), as rows
    drawn from counts of these bins are.
    """

    def __init__(self, schema: Schema, n_bins: int | None = None) -> None:
        self.schema = schema
        self.n_bins = n_bins

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Do nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Return the table inside its schema, in the container it came in."""
        if self.n_bins is None:
            return self.schema.sanitize(X)
        return self.schema.snap(X, self.n_bins)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        return tags


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
