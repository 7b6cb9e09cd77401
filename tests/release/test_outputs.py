import traceback

import numpy as np
import pytest
from sklearn.svm import SVC, LinearSVC

from skdistill.release.boundary import TeacherError
from skdistill.release.outputs import class_outputs, in_chunks, output_method, value_outputs

CLASSES = np.array(["a", "b", "c"])


class Fails:
    def predict(self, X):
        raise ValueError("canary-4711")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: class_outputs(Fails(), np.zeros((2, 1)), 2, CLASSES),
        lambda: class_outputs(None, np.zeros((2, 1)), 2, CLASSES, Fails().predict),
        lambda: value_outputs(Fails(), np.zeros((2, 1)), 2),
    ],
)
def test_nothing_of_a_teachers_exception_survives(ask):
    with pytest.raises(TeacherError) as caught:
        ask()
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_no_teacher_changes_the_rows_it_is_asked_about():
    class Vandal:
        def predict(self, X):
            X[...] = 7
            return np.zeros(len(X))

    rows = np.ones((3, 2))
    value_outputs(Vandal(), rows, 3)
    class_outputs(Vandal(), rows, 3, CLASSES)
    class_outputs(None, rows, 3, CLASSES, Vandal().predict)
    assert (rows == 1).all()


@pytest.mark.parametrize("n_jobs", [None, 3])
def test_slices_change_nothing(n_jobs, monkeypatch):
    monkeypatch.setattr("skdistill.release.outputs._CHUNK", 10)
    X, sizes = np.arange(46.0).reshape(23, 2), []

    def double(rows, n_rows):
        sizes.append(n_rows)
        return 2 * rows

    assert (in_chunks(double, X, X.shape, np.float64, n_jobs) == 2 * X).all()
    assert sum(sizes) == 23 and max(sizes) == 5


class Predicts:
    def __init__(self, answer):
        self.answer = answer

    def predict(self, X):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (["a", "c"], [[1, 0, 0], [0, 0, 1]]),
        (["a", "zebra"], [[1, 0, 0], [np.nan] * 3]),
        (["a"], np.full((2, 3), np.nan)),
        ([1, 2], np.full((2, 3), np.nan)),
        ("text", np.full((2, 3), np.nan)),
        (None, np.full((2, 3), np.nan)),
        (object(), np.full((2, 3), np.nan)),
    ],
)
def test_predictions_become_one_hot_rows(answer, expected):
    rows = class_outputs(Predicts(answer), np.zeros((2, 1)), 2, CLASSES)
    assert np.array_equal(rows, expected, equal_nan=True)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_decision_functions_become_soft_labels(n_classes):
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=60)
    X = rng.normal(size=(60, 2)) + y[:, None]
    teacher = LinearSVC().fit(X, y)
    assert output_method(teacher) == "decision_function"
    rows = class_outputs(teacher, X, 60, teacher.classes_)
    assert np.allclose(rows.sum(axis=1), 1)
    assert np.array_equal(teacher.classes_[rows.argmax(axis=1)], teacher.predict(X))


def test_one_score_per_pair_of_classes_is_no_soft_label():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 4
    X = rng.normal(size=(80, 2)) + y[:, None]
    teacher = SVC(decision_function_shape="ovo").fit(X, y)
    assert output_method(teacher) == "predict"
    rows = class_outputs(teacher, X, 80, teacher.classes_)
    assert np.array_equal(teacher.classes_[rows.argmax(axis=1)], teacher.predict(X))


def test_values_of_a_wrong_shape_are_nan():
    assert np.isnan(value_outputs(Predicts(np.ones((2, 2))), None, 2)).all()
    assert np.array_equal(value_outputs(Predicts([[1], [2]]), None, 2), [1, 2])


def test_what_predicts_nothing_is_refused():
    with pytest.raises(TypeError, match="neither predict_proba, decision_function nor predict"):
        output_method(object())


class Panic(BaseException):
    """As extension modules raise it: not an Exception."""


class Lazy:
    """An answer that is computed only when an array is made of it."""

    def __init__(self, panics):
        self.panics = panics

    def __array__(self, dtype=None, copy=None):
        raise (Panic if self.panics else ValueError)("canary-4711")


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "predict"])
@pytest.mark.parametrize("panics", [True, False])
def test_a_lazy_answer_is_computed_behind_the_boundary(method, panics):
    """Any exception makes it no answer."""
    teacher = type("Teacher", (), {method: lambda self, X: Lazy(panics)})()
    X = np.zeros((2, 1))
    calls = [lambda: class_outputs(teacher, X, 2, CLASSES)]
    calls.append(lambda: class_outputs(None, X, 2, CLASSES, getattr(teacher, method)))
    if method == "predict":
        calls.append(lambda: value_outputs(teacher, X, 2))
    for ask in calls:
        assert np.isnan(ask()).all()
