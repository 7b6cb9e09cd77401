"""Noisy soft labels and the simplex: when to project, and when not to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def project_rows(rows: Array) -> Array:
    """Project each row on the probability simplex, in the Euclidean norm.

    Sort-based algorithm of Duchi, Shalev-Shwartz, Singer and Chandra (ICML 2008), figure 1.

    Examples
    --------
    >>> import numpy as np
    >>> project_rows(np.array([[0.5, 1.5], [0.2, 0.2]]))
    array([[0. , 1. ],
           [0.5, 0.5]])
    """
    n_classes = rows.shape[1]
    ordered = -np.sort(-rows, axis=1)
    excess = np.cumsum(ordered, axis=1) - 1
    positive = ordered * np.arange(1, n_classes + 1) > excess
    last = n_classes - 1 - np.argmax(positive[:, ::-1], axis=1)
    shift = np.take_along_axis(excess, last[:, None], axis=1) / (last[:, None] + 1)
    return np.maximum(rows - shift, 0)


def with_unit_sums(rows: Array) -> Array:
    """Move each row to the plane of vectors that sum to 1: unbiased noise stays unbiased."""
    return rows - (rows.sum(axis=1, keepdims=True) - 1) / rows.shape[1]


def with_mean_inside(rows: Array, margin: float = 1e-3) -> Array:
    """Shift all rows so that their mean is in the simplex: an intercept is finite then."""
    mean = rows.mean(axis=0)
    inside = (1 - margin) * project_rows(mean[None])[0] + margin / rows.shape[1]
    return rows + (inside - mean)
