"""From the rows of a schema to the numbers that models of every kind can take."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skdistill.schema import Column, Schema

__all__ = ["SchemaFeatures", "SchemaRows"]

Array = NDArray[np.float64]

# A category in a smaller part of the rows shares an indicator with its like.
_RARE = 0.004


class SchemaRows(TransformerMixin, BaseEstimator):
    """Bring every cell inside a schema; row by row, and nothing to fit.

    Parameters
    ----------
    schema : Schema
        Public.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Do nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Return :meth:`Schema.sanitize` of a table, in the container it came in."""
        return self.schema.sanitize(X)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        return tags


class SchemaFeatures(TransformerMixin, BaseEstimator):
    """Standardised numbers and indicators of categories, fitted on rows that may be seen.

    Whatever a table holds, the result is a finite number in every cell, and a row of it is a
    function of that row alone (:meth:`Schema.sanitize`).

    Parameters
    ----------
    schema : Schema
        Public.

    Attributes
    ----------
    centres_, scales_ : ndarray of shape (n_columns,)
        Mean and standard deviation of each number, after ``log(1 + value - low)`` where the
        schema bins it on that scale; NaN for categories.
    frequent_ : tuple of (ndarray or None)
        Codes of each category that have an indicator of their own: those in at least 0.4 % of the
        fitted rows. The others share one. (Missing is a code.)

    Examples
    --------
    >>> from skdistill.transfer import Schema
    >>> from skdistill.transfer.features import SchemaFeatures
    >>> schema = Schema({"age": (18, 90), "sex": ["f", "m"]})
    >>> rows = [[20, "f"], [40, "m"]]
    >>> SchemaFeatures(schema).fit(rows).transform(rows + [[None, "x"]])
    array([[-1. ,  1. ,  0. ,  0. ],
           [ 1. ,  0. ,  1. ,  0. ],
           [-1.2,  0. ,  0. ,  1. ]])
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find scales and frequent categories.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)
            Public, or synthetic.
        y : None
            Ignored.

        Returns
        -------
        self : SchemaFeatures
        """
        centres, scales = [], []
        frequent: list[NDArray[np.intp] | None] = []
        for column, cells in self._columns(X):
            if column.kind == "category":
                codes = column.encode(cells, 1)
                share = np.bincount(codes, minlength=column.n_codes(1)) / max(1, len(codes))
                centres.append(np.nan)
                scales.append(np.nan)
                frequent.append(np.flatnonzero(share >= _RARE))
                continue
            values = _numbers(column, cells)
            values = values[~np.isnan(values)]
            deviation = float(values.std()) if len(values) else 0.0
            centres.append(float(values.mean()) if len(values) else 0.0)
            scales.append(deviation if deviation > 1e-12 * _width(column) else _width(column))
            frequent.append(None)
        self.centres_, self.scales_ = np.array(centres), np.array(scales)
        self.frequent_ = tuple(frequent)
        return self

    def transform(self, X: Any) -> Array:
        """Return the features.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)

        Returns
        -------
        features : ndarray of float64, shape (n, p)
            For each number one column, 0 (the mean) where it is missing, and an indicator of that
            where the schema says that it may be; for each category the indicators of its frequent
            codes, then that of all others.
        """
        check_is_fitted(self)
        parts = []
        columns = zip(self._columns(X), self.centres_, self.scales_, self.frequent_, strict=True)
        for (column, cells), centre, scale, frequent in columns:
            if frequent is not None:
                place = np.full(column.n_codes(1), len(frequent))
                place[frequent] = np.arange(len(frequent))
                parts.append(np.eye(len(frequent) + 1)[place[column.encode(cells, 1)]])
                continue
            values = _numbers(column, cells)
            missing = np.isnan(values)
            parts.append(np.where(missing, 0.0, (values - centre) / scale)[:, None])
            if column.missing:
                parts.append(missing[:, None].astype(np.float64))
        return np.hstack(parts)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the features.

        Returns
        -------
        names : ndarray of str
        """
        names = []
        for column, frequent in zip(self.schema.columns, self.frequent_, strict=True):
            if frequent is None:
                names += [column.name, f"{column.name}_missing"][: 1 + column.missing]
                continue
            values = [*column.values, "missing"]
            names += [f"{column.name}_{values[code]}" for code in frequent]
            names.append(f"{column.name}_rare")
        return np.array(names, dtype=object)

    def _columns(self, X: Any) -> Any:
        """Pair the columns of the schema with those of a table."""
        return zip(self.schema.columns, self.schema._table(X).columns, strict=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _numbers(column: Column, cells: Any) -> Array:
    """Return a column of numbers on the scale of its bins."""
    values = column.read(cells)
    return np.log1p(values - column.low) if column.edges == "log" else values


def _width(column: Column) -> float:
    """Return how far the numbers of a column can be apart on that scale; 1 for not at all."""
    assert column.low is not None and column.high is not None
    ends = np.array([column.low, column.high])
    if column.edges == "log":
        ends = np.log1p(ends - column.low)
    return float(ends[1] - ends[0]) or 1.0
