"""Features of Adult for a linear teacher, fitted on public rows only."""

from typing import Self

import numpy as np
import pandas as pd
from _data import CATEGORIES
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

Array = NDArray[np.float64]


def public_features(public: pd.DataFrame) -> Pipeline:
    """Fit the feature map on public rows: bounded, and half whitened.

    Piecewise linear splines of age, education and hours; zero or a third of the positive values
    of the two capital columns; one-hot categories (rare ones together; ``education`` repeats
    ``education-num``). The noise on the weights is isotropic, so the axes are rescaled
    until their deviations are closer to each other, and rows until half of the public ones have
    norm at most 1, which is the ``max_row_norm`` a teacher should have.
    """
    encode = make_column_transformer(
        (
            SplineTransformer(6, degree=1, knots="quantile"),
            ["age", "education-num", "hours-per-week"],
        ),
        (PositiveThirds(), ["capital-gain", "capital-loss"]),
        (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist", min_frequency=60, sparse_output=False
            ),
            [name for name in CATEGORIES if name != "education"],
        ),
    )
    return make_pipeline(encode, HalfWhitening()).fit(public)


class PositiveThirds(TransformerMixin, BaseEstimator):
    """One-hot, for each column: not positive, or in which third of its positive values."""

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Find the thirds."""
        columns = np.asarray(X, dtype=float).T
        self.edges_ = [np.unique(np.quantile(x[x > 0], [1 / 3, 2 / 3])) for x in columns]
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Return four indicators per column."""
        columns = np.asarray(X, dtype=float).T
        groups = [
            np.where(x > 0, 1 + np.searchsorted(edges, x, side="right"), 0)
            for x, edges in zip(columns, self.edges_, strict=True)
        ]
        return np.hstack([np.eye(4)[group] for group in groups])


class HalfWhitening(TransformerMixin, BaseEstimator):
    """Centre; divide each principal axis by the root of its deviation; median norm 1."""

    def fit(self, X: Array, y: None = None) -> Self:
        """Find the mean, the axes and the norm."""
        self.mean_ = X.mean(axis=0)
        variance, axes = np.linalg.eigh(np.cov(X, rowvar=False))
        kept = variance > 1e-3 * variance.max()
        self.map_ = axes[:, kept] / variance[kept] ** 0.25
        self.map_ /= np.median(np.linalg.norm((X - self.mean_) @ self.map_, axis=1))
        return self

    def transform(self, X: Array) -> Array:
        """Apply them."""
        return np.asarray((X - self.mean_) @ self.map_)
