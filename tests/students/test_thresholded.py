"""ThresholdedStudent: an ordinary fitted estimator, cut at the decision threshold."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from skdistill.students import ThresholdedStudent, student_has

X, Y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[Y]
SOFT = np.eye(3)[Y]
METHODS = ("predict_proba", "predict_log_proba", "decision_function")


class LabelsOnly(ClassifierMixin, BaseEstimator):
    """Remembers labels; it has no scores of any kind."""

    def fit(self, X, y):
        self.y_ = y
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.y_


def fitted(student=None):
    return (student or LogisticRegression(max_iter=500)).fit(X, NAMES)


@pytest.mark.parametrize("offsets", [None, np.array([0.0, 0.0, 5.0])])
def test_labels_are_cut_at_the_offsets(offsets):
    student = fitted()
    model = ThresholdedStudent(student, student.classes_, offsets)
    scores = np.log(student.predict_proba(X)) + (0 if offsets is None else offsets)
    expected = student.classes_[scores.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.score(X, NAMES) == np.mean(expected == NAMES)
    assert (expected != student.predict(X)).any() == (offsets is not None)
    # Probabilities and margins are the student's own.
    np.testing.assert_array_equal(model.predict_proba(X), student.predict_proba(X))
    np.testing.assert_array_equal(model.decision_function(X), student.decision_function(X))
    with np.errstate(divide="ignore"):
        logs = np.log(student.predict_proba(X))
    np.testing.assert_array_equal(model.predict_log_proba(X), logs)


def test_a_student_that_has_labels_only_decides_by_itself():
    model = ThresholdedStudent(fitted(LabelsOnly()), np.unique(NAMES), np.array([0.0, 0.0, 5.0]))
    np.testing.assert_array_equal(model.predict(X), NAMES)
    assert not any(hasattr(model, name) for name in METHODS)


def test_a_margin_is_cut_too():
    student = LinearSVC().fit(X, Y > 0)
    low = ThresholdedStudent(student, student.classes_, np.array([0.0, 50.0]))
    assert low.predict(X).all()
    assert [hasattr(low, name) for name in METHODS] == [False, False, True]


@pytest.mark.parametrize("classes", [["a", "b"], ["setosa", "versicolor", "virginica"]])
def test_a_regressor_that_was_trained_on_soft_labels(classes):
    targets = SOFT[:, 0] if len(classes) == 2 else SOFT
    student = Ridge().fit(X, targets)
    model = ThresholdedStudent(student, np.array(classes))
    assert [hasattr(model, name) for name in METHODS] == [True, True, False]
    p = model.predict_proba(X)
    assert p.shape == (150, len(classes))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X), np.array(classes)[p.argmax(axis=1)])


def test_columns_follow_the_given_classes():
    """A student that saw the classes in another order, and not all of them."""
    seen = NAMES != "versicolor"
    student = LogisticRegression(max_iter=500).fit(X[seen], NAMES[seen])
    classes = np.array(["virginica", "versicolor", "setosa"])
    model = ThresholdedStudent(student, classes)
    p = model.predict_proba(X)
    assert (p[:, 1] == 0).all()
    np.testing.assert_array_equal(p[:, [2, 0]], student.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), student.predict(X))


def test_a_plain_regressor():
    student = Ridge().fit(X[:, 1:], X[:, 0])
    model = ThresholdedStudent(student)
    assert is_regressor(model)
    assert not is_classifier(model)
    np.testing.assert_array_equal(model.predict(X[:, 1:]), student.predict(X[:, 1:]))
    assert model.score(X[:, 1:], X[:, 0]) == student.score(X[:, 1:], X[:, 0])
    for name in (*METHODS, "classes_", "n_features_in_", "feature_names_in_"):
        assert not hasattr(model, name), name


def test_an_ordinary_estimator():
    student = fitted()
    model = ThresholdedStudent(student, student.classes_, np.array([0.0, 0.0, 5.0]))
    assert is_classifier(model)
    assert clone(model) is model
    assert model.fit(X[:1], NAMES[:1]) is model
    assert np.isfinite(cross_val_score(model, X, NAMES, cv=2)).all()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(X, NAMES)
    assert calibrated.predict(X).shape == (150,)
    assert model.get_params(deep=False).keys() == {"student", "classes", "offsets"}


def test_columns_are_checked_where_they_are_known():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    student = LogisticRegression(max_iter=500).fit(frame, NAMES)
    model = ThresholdedStudent(student, student.classes_)
    assert model.predict(frame).shape == (150,)  # nothing is known, and the student looks itself
    model.n_features_in_, model.feature_names_in_ = 4, np.array(list("abcd"), dtype=object)
    assert model.predict(frame).shape == (150,)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])
    with pytest.raises(ValueError, match="missing"):
        model.predict(frame[list("abc")])
    model.student = LabelsOnly().fit(frame, NAMES)  # looks at nothing
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])
    model = ThresholdedStudent(fitted(), np.unique(NAMES))
    model.n_features_in_ = 4
    with pytest.raises(ValueError, match="3 features"):
        model.predict(X[:, :3])


def test_tags_are_those_of_the_student():
    nan = ThresholdedStudent(
        HistGradientBoostingClassifier(max_iter=2).fit(X, NAMES), np.unique(NAMES)
    )
    assert get_tags(nan).input_tags.allow_nan
    assert not get_tags(ThresholdedStudent(fitted(), np.unique(NAMES))).input_tags.allow_nan
    assert get_tags(ThresholdedStudent(fitted(), np.unique(NAMES))).input_tags.sparse


@pytest.mark.parametrize(
    ("student", "classifies", "offered"),
    [
        (LogisticRegression(), True, [True, True, True]),
        (LinearSVC(), True, [False, False, True]),
        (Ridge(), True, [True, True, False]),
        (Ridge(), False, [False, False, False]),
    ],
)
def test_what_a_student_offers_is_known_before_it_is_fitted(student, classifies, offered):
    assert [student_has(student, name, classifies=classifies) for name in METHODS] == offered
