"""skdistill: differentially private knowledge distillation for scikit-learn."""

from skdistill.distiller import PrivateDistiller
from skdistill.statement import PrivacyStatement
from skdistill.teachers import StableLogisticRegression, TeacherEnsemble

__all__ = [
    "PrivacyStatement",
    "PrivateDistiller",
    "StableLogisticRegression",
    "TeacherEnsemble",
    "__version__",
]

__version__ = "0.1.0"
