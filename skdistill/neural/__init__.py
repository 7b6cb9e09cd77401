"""Neural networks as ordinary estimators: soft labels in, probabilities out.

Networks of Keras (``keras.wrappers.SKLearnClassifier``, ``SKLearnRegressor``) and of PyTorch
through skorch are recognised wherever a teacher, a student or a member of a TeacherEnsemble is
taken, and adapted without being asked. Neither library is imported before the user has.
"""

from skdistill.neural.adapters import NetworkClassifier, NetworkRegressor, clone_network
from skdistill.neural.soft_labels import adapted, fit_soft, fresh, fresh_members, takes_soft_labels

__all__ = [
    "NetworkClassifier", "NetworkRegressor", "adapted", "clone_network", "fit_soft", "fresh",
    "fresh_members", "takes_soft_labels",
]  # fmt: skip
