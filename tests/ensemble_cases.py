"""Members that the tests of TeacherEnsemble train, and the backends they run on."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

BACKENDS = ["sequential", "threading", pytest.param("loky", marks=pytest.mark.slow)]
CANARY = "CANARY-8471"


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers its training data."""

    def fit(self, X, y):
        self.X_, self.y_, self.classes_ = np.asarray(X), np.asarray(y), np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class RecorderRegressor(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.X_, self.y_ = np.asarray(X), np.asarray(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.y_.mean())


def leaky(at):
    """A member that warns, and at fit or predict quotes its rows in an error if a cell is 13.

    The class is local: worker processes can then take it by value.
    """

    class Leaky(ClassifierMixin, BaseEstimator):
        def __init__(self, at="fit"):
            self.at = at

        def _complain(self, X):
            warnings.warn(f"{CANARY} {np.asarray(X).tolist()}", UserWarning, stacklevel=2)
            raise RuntimeError(f"{CANARY} {np.asarray(X).tolist()}")

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            self.marked_ = bool((np.asarray(X) == 13).any())
            warnings.warn(f"{CANARY} warned", UserWarning, stacklevel=2)
            if self.at == "fit" and self.marked_:
                self._complain(X)
            return self

        def predict_proba(self, X):
            if self.at == "predict" and self.marked_:
                self._complain(X)
            return np.tile(np.eye(len(self.classes_))[0], (len(X), 1))

    return Leaky(at)


class Answers(ClassifierMixin, BaseEstimator):
    """Returns the same rows, and claims the same classes, after any training."""

    def __init__(self, classes, rows):
        self.classes, self.rows = classes, rows

    def fit(self, X, y):
        self.classes_ = np.asarray(self.classes)
        return self

    def predict_proba(self, X):
        return np.resize(np.asarray(self.rows, dtype=float), (len(X), len(self.classes)))
