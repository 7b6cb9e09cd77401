"""A teacher of the tests whose parameters one record moves by a known radius."""

import uuid

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skdistill._scores import probabilities_of
from skdistill.certificates import ParameterBall, register
from skdistill.teachers.fitted import read_arguments, read_classes, set_fitted


class BoundedMeans(ClassifierMixin, BaseEstimator):
    """`scale` times the mean of ±(clipped row): a record moves it by 2·scale/n."""

    def __init__(self, scale=5.0, classes=None):
        self.scale = scale
        self.classes = classes

    def fit(self, X, y):
        table, cells, _, state = read_arguments(self, X, y)
        codes, found = read_classes(self, y, cells)
        signs = np.sign(2 * np.minimum(codes, 1) - 1) * (codes >= 0)
        weights = self.scale * (signs[:, None] * clipped(table.numbers())).mean(axis=0)[None]
        n, fit_id = len(cells), uuid.uuid4().hex
        set_fitted(self, state | found | {"weights_": weights, "n_": n, "fit_id_": fit_id}, X)
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        return probabilities_of(clipped(X) @ self.weights_.T)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = True
        return tags


def clipped(X):
    """Rows of norm at most 1."""
    X = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)
    X = np.clip(np.nan_to_num(X), -1e100, 1e100)
    return X / np.maximum(1, np.linalg.norm(X, axis=1, keepdims=True))


@register(BoundedMeans)
def bounded_means(teacher):
    """Certify BoundedMeans: one of n rows moves the mean by 2·scale/n at most."""
    return ParameterBall(
        2 * teacher.scale / teacher.n_ * (1 + 1e-9),
        lambda: teacher.weights_,
        clipped,
        probabilities_of,
        1.0,
        shape=teacher.weights_.shape,
        name="bounded means",
        assumes=(),
        class_counts=lambda: teacher.class_count_,
    )
