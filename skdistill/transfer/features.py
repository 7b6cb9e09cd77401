"""Every cell of a table brought inside its schema, as a step of a pipeline."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import BaseEstimator, TransformerMixin

from skdistill.schema import Schema


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
