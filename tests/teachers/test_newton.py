"""NewtonClassifier and NewtonRegressor: scikit-learn's checks."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdistill.teachers.newton import NewtonClassifier, NewtonRegressor

TOTAL = "no private cell decides whether fit raises"
EXPECTED = {
    NewtonClassifier: {"check_dtype_object": TOTAL},
    NewtonRegressor: {"check_dtype_object": TOTAL, "check_supervised_y_no_nan": TOTAL},
}


@parametrize_with_checks(
    [NewtonClassifier(), NewtonRegressor((-500.0, 500.0))],
    expected_failed_checks=lambda estimator: EXPECTED[type(estimator)],
)
def test_sklearn_checks(estimator, check):
    check(estimator)
