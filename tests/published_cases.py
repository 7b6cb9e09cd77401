"""Students with names and cuts, for the tests of exports and of files."""

import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skdistill import (
    PrivateDistiller,
)

CANARY = "canary-51b9e2"
IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = load_iris().target_names[SPECIES]


def needs_skops():
    return pytest.importorskip("skops.io")


class Secretive(LogisticRegression):
    """A teacher with something to hide."""

    def fit(self, X, y):
        self.secret_ = [CANARY] * 3
        return super().fit(X, y)


def distilled(student=None, labels=NAMES, **settings):
    teacher = Secretive(max_iter=500).fit(IRIS, labels)
    return PrivateDistiller(teacher, student, **{"epsilon": 2.0, **settings}).fit(IRIS)


STUDENTS = [
    None,
    KNeighborsClassifier(),
    SVC(),
    RandomForestClassifier(5, random_state=0),
    Ridge(),
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=5)),
]

TEACHER = LogisticRegression(max_iter=500).fit(IRIS, NAMES)
