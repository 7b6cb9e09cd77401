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
    """Return a LinearRelease as a fitted estimator: post-processing, nothing is trained.

    A regression (`classes` is None) has weights in units of half the output range, from its middle.
    `transformer` makes the public steps before the teacher's last one.
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
