"""A teacher's outputs may have code of their own: it runs behind the boundary as well."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from skdistill import PrivateDistiller


class Panic(BaseException):
    """Of a kind that ``except Exception`` does not catch."""


class Cell:
    def _panic(self, *args):
        raise Panic("patient 4711")

    __float__ = __array__ = __eq__ = toarray = _panic
    __hash__ = object.__hash__


def _objects(shape, value):
    cells = np.full(shape, value, dtype=object)
    cells.flat[0] = Cell()
    return cells


class Classifier(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        return _objects(len(X), 0)


class Soft(Classifier):
    def predict_proba(self, X):
        return _objects((len(X), 2), 0.5)


class Scores(Classifier):
    def decision_function(self, X):
        return _objects(len(X), 0.5)


class Regressor(RegressorMixin, BaseEstimator):
    def __init__(self, sparse=False):
        self.sparse = sparse

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return Cell() if self.sparse else _objects(len(X), 0.5)


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
@pytest.mark.parametrize("teacher", [Classifier(), Soft(), Scores(), Regressor(), Regressor(True)])
def test_the_code_of_an_output_does_not_get_out(teacher):
    X = np.random.default_rng(0).normal(size=(20, 2))
    output_range = (0, 1) if isinstance(teacher, Regressor) else None
    distiller = PrivateDistiller(teacher.fit(X, X[:, 0] > 0), output_range=output_range)
    assert np.isfinite(distiller.release(X)).all()
