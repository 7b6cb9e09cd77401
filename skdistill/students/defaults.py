"""The default student: regularised for the known noise of its labels, or the released model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

Array = NDArray[np.float64]


def default_classifier(X: Any, noise_scale: float) -> LogisticRegression:
    """Return a LogisticRegression whose penalty is set from the noise.

    In the quadratic model of the loss (Hessian ¼·XᵀX, gradient noise of covariance s²·XᵀX, s the
    noise on a binary target) with weights of prior variance τ², the mean squared error of the
    weights is least for the penalty 1/C = 4·s²/τ² (set the derivative of
    (λ²τ² + s²g)/(g/4 + λ)² by λ to zero). Here s² = noise_scale²/2 (the part of the noise within
    the plane of vectors that sum to 1), and τ² is such that the scores have standard deviation 2.
    """
    penalty = noise_scale**2 / 2 * _total_variance(X)
    return LogisticRegression(C=1.0 / max(1.0, penalty), max_iter=1000)


def default_regressor(
    X: Any, values: Array, noise_scale: float, output_range: tuple[float, float] | None
) -> Ridge:
    """Return a Ridge whose penalty is set from the noise.

    The least expected error has the penalty s²/τ², where s is the noise and τ² the prior variance
    of a weight: signal variance by the total variance of X. The signal variance is that of the
    released values less that of their noise, and at least that of 5 % of the range.
    """
    signal = float(np.var(values)) - noise_scale**2
    if output_range is not None:
        signal = max(signal, (0.05 * (output_range[1] - output_range[0])) ** 2)
    if not np.isfinite(signal) or signal <= 0 or noise_scale == 0:
        return Ridge(alpha=1.0)
    return Ridge(alpha=max(1.0, noise_scale**2 / signal * _total_variance(X)))


def _total_variance(X: Any) -> float:
    """Return the sum of the variances of the columns; 0 where X is not numeric."""
    try:
        if hasattr(X, "tocsr"):
            X = X.tocsr()
            mean = np.asarray(X.mean(axis=0)).ravel()
            total = float(X.multiply(X).sum() / X.shape[0] - mean @ mean)
        else:
            total = float(np.asarray(X, dtype=np.float64).var(axis=0).sum())
    except (TypeError, ValueError):
        return 0.0
    return total if np.isfinite(total) and total > 0 else 0.0


def linear_student(model: Any, classes: Any, output_range: Any, transformer: Any = None) -> Any:
    """Return a LinearRelease as a fitted estimator: post-processing, nothing is trained.

    Weights of a regression are in units of half the range, from its middle; public steps come
    first.
    """
    student: Any
    if classes is not None:
        student = LogisticRegression()
        student.classes_ = classes
        student.coef_, student.intercept_ = model.coef, model.intercept
        student.n_iter_ = np.array([model.n_rounds], dtype=np.int32)
    else:
        assert output_range is not None
        half, middle = output_range[1] / 2 - output_range[0] / 2, sum(output_range) / 2
        student = Ridge()
        student.coef_ = model.coef[0] * half
        student.intercept_ = float(model.intercept[0] * half + middle)
        student.n_iter_ = None
    student.n_features_in_ = model.coef.shape[1]
    return student if transformer is None else make_pipeline(transformer, student)
