"""A private table in, a model to publish out: PrivateClassifier, PrivateRegressor."""

from skdistill.private_table.bounds import learn_bounds
from skdistill.private_table.classifier import PrivateClassifier
from skdistill.private_table.regressor import PrivateRegressor
from skdistill.private_table.task import PrivateStepError
from skdistill.private_table.teaching import noisy_n_teachers

__all__ = [
    "PrivateClassifier", "PrivateRegressor", "PrivateStepError", "learn_bounds", "noisy_n_teachers",
]  # fmt: skip
