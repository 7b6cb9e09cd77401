"""From a private table alone to a model that may be published: PATEClassifier, PATERegressor."""

from skdistill.pate.classifier import PATEClassifier
from skdistill.pate.costs import noisy_n_teachers
from skdistill.pate.regressor import PATERegressor

__all__ = ["PATEClassifier", "PATERegressor", "noisy_n_teachers"]
