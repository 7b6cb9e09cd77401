"""Scores per pair of classes are recognised however deep the estimator is wrapped."""

import numpy as np
import pytest
from matrices import some
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skdistill import PrivateDistiller
from skdistill._scores import scores_are_pairs


def pairs():
    return SVC(decision_function_shape="ovo")


WRAPPED = {
    "bare": pairs,
    "pipeline": lambda: make_pipeline(StandardScaler(), pairs()),
    "nested": lambda: make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), pairs())),
    "search": lambda: GridSearchCV(make_pipeline(pairs()), {"svc__C": [1.0]}, cv=2),
}


@pytest.mark.parametrize("n_classes", some([3, 4], 2))
@pytest.mark.parametrize("name", some(WRAPPED, 2))
def test_a_teacher_and_a_student_with_scores_per_pair(name, n_classes):
    """Three classes have three pairs: the shape does not tell them apart."""
    X, y = make_classification(
        1500, 8, n_informative=6, n_classes=n_classes, random_state=0, class_sep=2
    )
    model = WRAPPED[name]()
    teacher = WRAPPED[name]().fit(X[:750], y[:750])
    assert scores_are_pairs(teacher) and scores_are_pairs(FrozenEstimator(teacher))
    taught = PrivateDistiller(teacher, epsilon=float("inf")).fit(X[750:])
    assert taught.score(X[750:], y[750:]) > 0.65  # a guess is right for one in n_classes
    plain = LogisticRegression().fit(X[:750], y[:750])
    student = PrivateDistiller(plain, model, epsilon=float("inf")).fit(X[750:])
    np.testing.assert_array_equal(student.predict(X), student.student_.predict(X))


@pytest.mark.parametrize(
    "estimator",
    [SVC(), LogisticRegression(), OneVsRestClassifier(pairs()), make_pipeline(StandardScaler())],
)
def test_others_have_scores_per_class(estimator):
    X, y = make_classification(100, n_classes=3, n_informative=4, random_state=0)
    assert not scores_are_pairs(estimator.fit(X, y))
