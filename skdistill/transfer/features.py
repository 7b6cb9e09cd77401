"""Every cell of a table brought inside its schema, as a step of a pipeline."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import BaseEstimator, TransformerMixin

from skdistill.schema import Schema

__all__ = ["SchemaRows"]


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
