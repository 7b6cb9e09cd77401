"""The private boundary: charge first, be total, and say nothing private."""

import io
import logging
import pickle
import traceback
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr

import skdistill.distiller
import skdistill.release.soft_labels
from skdistill import PrivateDistiller
from skdistill.accounting import BudgetAccountant
from skdistill.release.boundary import TeacherError
from skdistill.testing import seeded_noise

CANARY = "canary-8f3a1c"
X = np.random.default_rng(0).normal(size=(40, 3))
pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


class Hostile(ClassifierMixin, BaseEstimator):
    """A teacher that returns, raises or warns as it is told."""

    def __init__(self, answer=None):
        self.answer = answer

    def fit(self, X, y):
        self.secret_ = [CANARY] * 3
        self.classes_ = np.array([0, 1, 2])
        return self

    def predict_proba(self, X):
        return self.answer(len(X)) if callable(self.answer) else self.answer

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


class HostileRegressor(RegressorMixin, Hostile):
    def predict(self, X):
        return self.predict_proba(X)


def hostile(answer, cls=Hostile):
    return cls(answer).fit(None, None)


def rows(*row):
    return lambda m: np.tile(np.array(row), (m, 1))


UNIFORM = {
    "nan": rows(np.nan, 0.5, 0.5),
    "infinity": rows(np.inf, 0.0, 0.0),
    "negative": rows(-0.1, 0.6, 0.5),
    "all zero": rows(0.0, 0.0, 0.0),
    "too wide": rows(0.25, 0.25, 0.25, 0.25),
    "too narrow": rows(1.0),
    "too long": lambda m: np.ones((m + 1, 3)),
    "objects": lambda m: np.array([[object()] * 3] * m),
    "text": rows(CANARY, CANARY, CANARY),
    "ragged": lambda m: [[1.0], [2.0, 3.0]],
    "nothing": lambda m: None,
    "complex": rows(1j, 0, 0),
}


@pytest.mark.parametrize("answer", UNIFORM.values(), ids=UNIFORM.keys())
def test_what_is_no_soft_label_is_uniform(answer):
    labels = PrivateDistiller(hostile(answer), epsilon=float("inf")).release(X)
    assert np.allclose(labels, 1 / 3)
    noisy = PrivateDistiller(hostile(answer), epsilon=1e9).release(X)
    assert np.allclose(noisy, 1 / 3, atol=0.01)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (rows(2.0, 1.0, 1.0), [0.5, 0.25, 0.25]),
        (rows(1e308, 1e308, 0.0), [0.5, 0.5, 0.0]),
        (rows(5e-324, 0.0, 0.0), [1.0, 0.0, 0.0]),
        (rows(True, False, False), [1.0, 0.0, 0.0]),
        (lambda m: [["1", "1", "2"]] * m, [0.25, 0.25, 0.5]),
    ],
)
def test_what_can_be_normalised_is(answer, expected):
    labels = PrivateDistiller(hostile(answer), epsilon=float("inf")).release(X)
    assert np.allclose(labels, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda m: np.full(m, np.nan), 5.0),
        (lambda m: np.full(m, np.inf), 10.0),
        (lambda m: np.full(m, -np.inf), 0.0),
        (lambda m: np.full(m, CANARY), 5.0),
        (lambda m: np.ones((m, 2)), 5.0),
        (lambda m: None, 5.0),
        (lambda m: np.full((m, 1), 7.0), 7.0),
    ],
)
def test_regressors_are_total_too(answer, expected):
    teacher = hostile(answer, HostileRegressor)
    labels = PrivateDistiller(teacher, epsilon=1e9, output_range=(0, 10)).release(X)
    assert np.allclose(labels, expected, atol=0.01)


def test_one_bad_row_harms_no_other():
    def answer(m):
        table = np.tile([1.0, 0.0, 0.0], (m, 1))
        table[3] = np.nan
        return table

    labels = PrivateDistiller(hostile(answer), epsilon=float("inf")).release(X)
    assert np.allclose(labels[3], 1 / 3)
    assert np.allclose(np.delete(labels, 3, axis=0), [1, 0, 0])


# ------------------------------------------------------------------------ canaries stay inside


def shout(m):
    """Raise, after warning and failing on the way, with a private string everywhere."""
    warnings.warn(CANARY, UserWarning, stacklevel=2)
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        raise ValueError(CANARY) from error


def _everything(error):
    seen, texts = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts += ["".join(traceback.format_exception(error)), str(error), repr(error)]
        texts += [repr(vars(error)), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def test_what_a_teacher_raises_stays_inside():
    with warnings.catch_warnings(record=True) as caught, pytest.raises(TeacherError) as error:
        warnings.simplefilter("always")
        PrivateDistiller(hostile(shout)).fit(X)
    assert CANARY not in _everything(error.value)
    assert not any(CANARY in str(warning.message) for warning in caught)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_a_teacher_raises_in_a_thread_or_worker_stays_inside(n_jobs):
    many = np.tile(X, (10_000, 1))
    with pytest.raises(TeacherError) as error:
        PrivateDistiller(hostile(shout), n_jobs=n_jobs).fit(many)
    assert CANARY not in _everything(error.value)


def test_a_search_over_a_raising_teacher_shows_no_canary(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    search = GridSearchCV(
        PrivateDistiller(FrozenEstimator(hostile(shout))), {"epsilon": [1.0, 2.0]}, cv=2, verbose=3
    )
    with warnings.catch_warnings(record=True) as caught, pytest.raises(ValueError) as error:
        warnings.simplefilter("always")
        search.fit(X, X[:, 0] > 0)
    texts = [_everything(error.value), caplog.text, *capfd.readouterr()]
    texts += [str(warning.message) for warning in caught]
    assert not any(CANARY in text for text in texts)


def test_a_partly_failing_search_keeps_canaries_out_of_its_results(capfd):
    def sometimes(m):
        return shout(m) if m > 30 else np.ones((m, 3))  # fails on the refit and on large folds

    search = GridSearchCV(
        PrivateDistiller(hostile(sometimes), epsilon=1e6),
        {"max_queries": [20, None]},
        cv=5,
        refit=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X, np.arange(40) % 3)
    texts = [str(search.cv_results_), repr(search), estimator_html_repr(search)]
    texts += [str(warning.message) for warning in caught]
    assert any("FitFailed" in type(w.message).__name__ for w in caught)
    assert not any(CANARY in text for text in [*texts, *capfd.readouterr()])


def test_a_quiet_teacher_leaves_no_canary_anywhere(capfd, caplog):
    caplog.set_level(logging.DEBUG)
    teacher = hostile(rows(0.2, 0.3, 0.5))
    distiller = PrivateDistiller(teacher, epsilon=100.0, verbose=1).fit(X)
    stream = io.BytesIO()
    joblib.dump(distiller, stream)
    shown = [distiller, clone(distiller), make_pipeline(FunctionTransformer(), distiller)]
    texts = [repr(each) for each in shown] + [estimator_html_repr(each) for each in shown]
    texts += [str(distiller.privacy_), distiller.privacy_._repr_html_(), caplog.text]
    texts += [distiller._repr_html_(), distiller.export()._repr_html_(), repr(distiller.export())]
    texts += [distiller.privacy_.to_json(), *capfd.readouterr()]
    assert not any(CANARY in text for text in texts)
    assert CANARY.encode() not in stream.getvalue()


# --------------------------------------------------------------------------- charge, then release


class Witness(Hostile):
    """Remembers the accountant's total at the moment when it was asked."""

    def predict_proba(self, X):
        self.seen_ = self.answer.total()
        return np.ones((len(X), 3))


def test_the_charge_is_there_before_the_teacher_is_asked():
    accountant = BudgetAccountant()
    teacher = hostile(accountant, Witness)
    PrivateDistiller(teacher, epsilon=2.0, delta=1e-5, accountant=accountant).fit(X)
    assert tuple(teacher.seen_) == (2.0, 1e-5)
    PrivateDistiller(teacher, epsilon=3.0, delta=0, accountant=accountant).release(X)
    assert tuple(teacher.seen_) == (5.0, 1e-5)


class Boom(BaseException):
    pass


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError, Boom])
@pytest.mark.parametrize("method", ["fit", "release"])
@pytest.mark.parametrize("place", ["before the teacher", "in the teacher", "after the teacher"])
def test_no_failure_refunds_a_charge(monkeypatch, error, method, place):
    def fail(*args, **kwargs):
        raise error

    teacher = hostile(rows(1.0, 0.0, 0.0))
    if place == "before the teacher":
        monkeypatch.setattr(skdistill.release.soft_labels, "class_outputs", fail)
    elif place == "in the teacher":
        teacher.answer = fail
    else:
        monkeypatch.setattr(skdistill.release.soft_labels, "quantize_simplex", fail)
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, accountant=accountant)
    with pytest.raises((error, TeacherError)):
        getattr(distiller, method)(X)
    assert len(accountant) == 1
    assert not hasattr(distiller, "released_labels_")


@pytest.mark.parametrize("method", ["fit", "release"])
def test_a_refused_charge_asks_the_teacher_nothing(method):
    def fail(m):
        raise AssertionError

    distiller = PrivateDistiller(
        hostile(fail), epsilon=1.0, accountant=BudgetAccountant(epsilon=0.5, delta=1)
    )
    with pytest.raises(Exception, match="budget") as caught:
        getattr(distiller, method)(X)
    assert not isinstance(caught.value, TeacherError)


def test_preview_asks_and_charges_nothing():
    def fail(m):
        raise AssertionError

    accountant = BudgetAccountant()
    statement = PrivateDistiller(hostile(fail), accountant=accountant).preview(X)
    assert statement.n_queries == len(X)
    assert len(accountant) == 0


def test_parameters_that_are_no_numbers_are_not_quoted():
    from skdistill.certificates import ParameterBall

    ball = ParameterBall(
        0.1, weights=lambda: [[CANARY]], features=lambda X: X[:, :1], link=lambda scores: scores
    )
    teacher = hostile(rows(1.0, 0.0, 0.0))
    with pytest.raises(TeacherError) as error:
        PrivateDistiller(teacher, certificate=ball).fit(X)
    assert CANARY not in _everything(error.value)


# --------------------------------------------------------- the teacher in the student's own clothes


def test_the_teacher_as_the_students_prototype_is_not_pickled(binary):
    X_private, y, X_public, *_ = binary
    teacher = LogisticRegression().fit(X_private, y)
    distiller = PrivateDistiller(teacher, teacher, epsilon=1.0).fit(X_public)
    blob = pickle.dumps(distiller)
    assert teacher.coef_.tobytes() not in blob
    assert not hasattr(pickle.loads(blob).student, "coef_")
    assert teacher.coef_.tobytes() in pickle.dumps(teacher)  # the search works


@pytest.mark.parametrize("how", ["frozen", "method"])
def test_a_student_that_holds_the_teacher_is_refused_before_the_charge(binary, how):
    X_private, y, X_public, *_ = binary
    teacher = LogisticRegression().fit(X_private, y)
    step = (
        FunctionTransformer(teacher.predict_proba)
        if how == "method"
        else StackingClassifier([("held", FrozenEstimator(teacher))], cv="prefit")
    )
    student = make_pipeline(step, LogisticRegression()) if how == "method" else step
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, student, epsilon=1.0, accountant=accountant)
    with pytest.raises(ValueError, match="holds the teacher"):
        distiller.fit(X_public)
    assert len(accountant) == 0


class Keeps(ClassifierMixin, BaseEstimator):
    """Keeps its table, and centres it in place when it is asked."""

    def fit(self, X, y):
        self.classes_, self.X_ = np.array([0, 1]), X
        return self

    def predict_proba(self, X):
        self.X_[:] = self.X_ - np.asarray(self.X_)[:50].mean(axis=0)
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("kind", ["view", "memmap", "frame"])
@pytest.mark.parametrize("max_queries", [None, 20])
def test_a_teacher_that_keeps_the_memory_of_x_cannot_change_it(kind, max_queries, tmp_path):
    """Private and public rows of one array: the student learned from X minus the private mean."""
    table = np.random.default_rng(0).normal(3.0, size=(100, 2))
    if kind == "memmap":
        kept = np.memmap(tmp_path / "rows", dtype=float, mode="w+", shape=table.shape)
        kept[:], table = table, kept
    X = pd.DataFrame(table[50:], columns=["a", "b"], copy=False) if kind == "frame" else table[50:]
    before = np.array(X)
    teacher = Keeps().fit(table, np.arange(100) % 2)
    model = PrivateDistiller(
        teacher, KNeighborsClassifier(3), threshold=None, max_queries=max_queries
    )
    model.fit(X)
    assert not np.array_equal(table[50:], before)
    assert np.isin(model.student_._fit_X, before).all()


class Squares(Keeps):
    """Keeps its table, and squares it in place."""

    def predict_proba(self, X):
        self.X_ **= 2
        return np.eye(2)[(X[:, 0] > 3).astype(int)]


def test_labels_of_a_release_are_smoothed_in_functions_of_the_public_rows():
    """The components of many rows are computed again after the teacher was asked."""
    table = np.random.default_rng(0).normal(3.0, size=(30_000, 2))
    before, y, labels = table.copy(), np.arange(len(table)) % 2, []
    for X in (table, table.copy()):
        teacher = Squares().fit(table, y)
        with seeded_noise(0):
            labels.append(PrivateDistiller(teacher, epsilon=200.0, delta=1e-6).release(X))
        assert not np.array_equal(table, before)
        table[:] = before
    assert np.array_equal(*labels)
