"""Bounded features from a public schema: what a teacher with a norm bound should be given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import validate_data

from skdistill._tables import layout_of
from skdistill.schema import Column, Schema, as_schema

__all__ = ["BoundedFeatures"]

Array = NDArray[np.float64]

# Rarer codes weigh no more than codes of this share: else their rows would be the longest by far.
_RARE = 0.02


class BoundedFeatures(TransformerMixin, BaseEstimator):
    r"""Indicators of bins and categories, centred, weighted, and bounded in norm.

    Numbers are cut into bins at public edges, categories are one-hot, missing values have an
    indicator of their own. Indicator c of column j becomes

    .. math:: s\,\frac{\mathbb 1[\text{code}_j = c] - p_{jc}}{\sqrt{\max(p_{jc},\, 0.02)}},

    where :math:`p_{jc}` is its public share among the rows: the metric of multiple correspondence
    analysis [1]_, in which rare and common codes vary alike. That suits noise that is the same for
    all weights. The factor s makes the root mean square norm of independent columns with these
    shares `max_norm`, and longer rows are scaled down to it. Without shares, p is uniform and the
    divisor is 1; then every row has exactly the same norm.

    The map is fixed by its parameters: `fit` learns nothing. In a Pipeline in front of a
    :class:`StableLogisticRegression` it therefore leaves that teacher's certificate valid, and
    rows need no clipping there if ``max_row_norm`` is `max_norm`.

    Parameters
    ----------
    schema : Schema or tuple of (float, float)
        What is publicly known of the columns; ``(low, high)`` where every column is a number in
        these bounds. Values outside are clipped, silently.
    n_bins : int, default=12
        Most bins of a number.
    max_norm : float, default=1.0
        No row is longer.
    shares : sequence of array-like, default=None
        For every column the share of each of its codes, from public rows or from a private release
        (:meth:`centred_on` makes them of either). None: uniform.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had them.

    References
    ----------
    .. [1] M. Greenacre, J. Blasius (eds.). Multiple Correspondence Analysis and Related Methods.
       Chapman and Hall, 2006, chapter 2.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdistill.certificates import certify
    >>> from skdistill.teachers import BoundedFeatures, StableLogisticRegression
    >>> from skdistill.transfer import Schema
    >>> schema = Schema({"age": (17, 90), "sex": ["female", "male"]})
    >>> features = BoundedFeatures(schema, n_bins=2)
    >>> features.transform([[20, "male"], [99, None]]).round(2)
    array([[ 0.46, -0.46, -0.31,  0.62, -0.31],
           [-0.46,  0.46, -0.31, -0.31,  0.62]])
    >>> teacher = make_pipeline(features, StableLogisticRegression(C=0.1, classes=[0, 1]))
    >>> teacher = teacher.fit([[20, "male"], [60, "female"]], [0, 1])
    >>> certify(teacher).name
    'stable logistic regression'
    """

    def __init__(
        self,
        schema: Any,
        *,
        n_bins: int = 12,
        max_norm: float = 1.0,
        shares: Sequence[ArrayLike] | None = None,
    ) -> None:
        self.schema = schema
        self.n_bins = n_bins
        self.max_norm = max_norm
        self.shares = shares

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the columns; nothing is learned from the rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Rows. None of their values is looked at.
        y : None
            Ignored.

        Returns
        -------
        self : BoundedFeatures

        Raises
        ------
        ValueError, TypeError
            For parameters, and for columns that are not those of the schema.
        """
        schema = as_schema(self.schema, X)
        schema.check_columns(X)
        self._blocks(schema)
        validate_data(self, layout_of(X), skip_check_array=True)
        return self

    def transform(self, X: Any) -> Array:
        """Map rows, each by itself.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            Rows with the columns of the schema.

        Returns
        -------
        ndarray of shape (n, D)
            Of norm at most `max_norm`. D is the number of all codes of all columns.
        """
        schema = as_schema(self.schema, X)
        codes = schema.encode(X, self.n_bins)
        if hasattr(self, "n_features_in_"):
            validate_data(self, layout_of(X), reset=False, skip_check_array=True)
        blocks = self._blocks(schema)
        rows = np.hstack([block[codes[:, j]] for j, block in enumerate(blocks)])
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        longer = norms > self.max_norm
        rows[longer] *= (self.max_norm / norms[longer])[:, None]
        return rows

    def centred_on(self, X: Any) -> BoundedFeatures:
        """Return a copy whose shares are those of other rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (m, d)
            Rows that are public, or synthetic ones that were released: never private rows.

        Returns
        -------
        BoundedFeatures
        """
        schema = as_schema(self.schema, X)
        codes = schema.encode(X, self.n_bins)
        sizes = schema.n_codes(self.n_bins)
        shares = tuple(
            tuple((np.bincount(codes[:, j], minlength=k) / max(1, len(codes))).tolist())
            for j, k in enumerate(sizes)
        )
        return clone(self).set_params(shares=shares)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return a name for each feature: the column and what is indicated.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns, where the schema is ``(low, high)``.

        Returns
        -------
        ndarray of str
        """
        if isinstance(self.schema, Schema):
            schema = self.schema
        else:
            names = getattr(self, "feature_names_in_", input_features)
            width = getattr(self, "n_features_in_", 0)
            names = [f"x{j}" for j in range(width)] if names is None else list(names)
            low, high = self.schema
            schema = Schema(Column(name, low=low, high=high) for name in names)
        names = chain.from_iterable(c.code_names(self.n_bins) for c in schema.columns)
        return np.array(list(names), dtype=object)

    def _blocks(self, schema: Schema) -> list[Array]:
        """Return for every column the rows that its codes become, before any is scaled down."""
        max_norm = self.max_norm
        if not (isinstance(max_norm, (int, float)) and 0 < max_norm < math.inf):
            raise ValueError(f"max_norm={max_norm!r} must be a positive, finite number.")
        sizes = schema.n_codes(self.n_bins)
        shares = [np.full(k, 1 / k) for k in sizes]
        divisors = [np.ones(k) for k in sizes]
        if self.shares is not None:
            shares = _checked_shares(self.shares, sizes)
            divisors = [np.sqrt(np.maximum(p, _RARE)) for p in shares]
        blocks = [
            (np.eye(len(p)) - p) / divisor for p, divisor in zip(shares, divisors, strict=True)
        ]
        expected = sum(
            float(p @ (block**2).sum(axis=1)) for p, block in zip(shares, blocks, strict=True)
        )
        factor = max_norm / math.sqrt(expected) if expected > 0 else 1.0
        return [factor * block for block in blocks]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _checked_shares(shares: Sequence[ArrayLike], sizes: Sequence[int]) -> list[Array]:
    """Return public shares as probability vectors, or raise."""
    vectors = [np.asarray(p, dtype=np.float64) for p in shares]
    if [p.shape for p in vectors] != [(k,) for k in sizes]:
        raise ValueError(
            f"shares must hold one number for each code, {list(sizes)} of them; centred_on(X) "
            "makes them."
        )
    for p in vectors:
        if not (np.all(p >= 0) and 0 < p.sum() < math.inf):
            raise ValueError("shares must be non-negative, and not all zero for any column.")
    return [p / p.sum() for p in vectors]
