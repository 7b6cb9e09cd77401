"""The released linear model itself, as an ordinary fitted estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline


def linear_student(
    model: Any,
    classes: NDArray[Any] | None,
    output_range: tuple[float, float] | None,
    transformer: Any = None,
) -> Any:
    """Return the model that a release of parameters made: post-processing, nothing is trained.

    Parameters
    ----------
    model : LinearRelease
        Released weights.
    classes : ndarray of shape (n_classes,) or None
        None for a regression.
    output_range : tuple of (float, float) or None
        Of a regression: its weights are in units of half the range, from its middle.
    transformer : transformer, default=None
        The public steps before the teacher's last one.

    Returns
    -------
    student : LogisticRegression, Ridge, or a Pipeline that ends in one
        Fitted.
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
