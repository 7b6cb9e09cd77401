"""A private table in, a model to publish out: PrivateClassifier, PrivateRegressor."""

from skdistill.private_table.base import PrivateStepError, noisy_n_teachers
from skdistill.private_table.classifier import PrivateClassifier
from skdistill.private_table.regressor import PrivateRegressor

__all__ = ["PrivateClassifier", "PrivateRegressor", "PrivateStepError", "noisy_n_teachers"]
