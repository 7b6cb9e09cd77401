"""Teachers that come with a proof of how far one record can move them."""

from skdistill.teachers.ensemble import TeacherEnsemble
from skdistill.teachers.newton import NewtonClassifier, NewtonRegressor

__all__ = ["NewtonClassifier", "NewtonRegressor", "TeacherEnsemble"]
