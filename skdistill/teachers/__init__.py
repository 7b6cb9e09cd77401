"""Teachers that come with a proof of how far one record can move them."""

from skdistill.teachers.ensemble import TeacherEnsemble
from skdistill.teachers.newton import NewtonClassifier, NewtonRegressor
from skdistill.teachers.stable_linear import ClippedRows, StableLogisticRegression, stable_C

__all__ = [
    "ClippedRows",
    "NewtonClassifier",
    "NewtonRegressor",
    "StableLogisticRegression",
    "TeacherEnsemble",
    "stable_C",
]
