"""Logistic regression on soft labels, against its definition and against weighted copies of X."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from matrices import some
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill.students import logistic
from skdistill.students.logistic import fit_logistic, takes_soft_cross_entropy
from skdistill.students.soft_targets import (
    fit_on_soft_labels,
    how_to_train,
    with_mean_inside,
    with_unit_sums,
)

SOLVERS = ["lbfgs", "newton-cg", "newton-cholesky"]


def exact(**settings):
    return LogisticRegression(**{"tol": 1e-9, "max_iter": 10_000, **settings})


def noisy_labels(n_classes, m=200, d=4, seed=0):
    """Return X and labels of both signs whose mean lies inside the simplex."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, d))
    scores = X @ rng.normal(size=(d, n_classes))
    labels = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    labels = with_mean_inside(with_unit_sums(labels + rng.normal(0, 0.5, size=labels.shape)))
    assert (labels < 0).any()
    return X, labels


def on_copies(student, X, Y, classes, sample_weight=1.0):
    """The same fit by scikit-learn alone: one copy of X per class, weighted by the labels."""
    m, n_classes = Y.shape
    copies = sp.vstack([X] * n_classes) if sp.issparse(X) else np.concatenate([X] * n_classes)
    weights = (Y * np.broadcast_to(sample_weight, m)[:, None]).T.ravel()
    return clone(student).fit(copies, np.repeat(classes, m), sample_weight=weights)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("C", some([0.3, np.inf], 2))
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_weights_are_the_minimum_of_the_definition(n_classes, intercept, C, solver):
    """Written from the formula and minimised by a general method, in its own variables."""
    X, Y = noisy_labels(n_classes)
    s = np.random.default_rng(1).uniform(0, 2, size=len(X))

    def loss(flat):
        W, b = flat[:-n_classes].reshape(-1, n_classes), flat[-n_classes:] * intercept
        if n_classes == 2:
            W, b = W * [0, 1], b * [0, 1]
        z = X @ W + b
        return s @ (logsumexp(z, axis=1) - (Y * z).sum(axis=1)) + (W**2).sum() / (2 * C)

    found = minimize(loss, np.zeros((X.shape[1] + 1) * n_classes), options={"gtol": 1e-4})
    student = exact(C=C, fit_intercept=intercept, solver=solver)
    fit_logistic(student, X, Y, np.arange(n_classes), s)
    W, b = student.coef_.T, student.intercept_
    if n_classes == 2:
        W, b = np.column_stack([0 * W, W]), np.append(0, b)
    assert loss(np.append(W.ravel(), b)) <= found.fun + 1e-6
    wanted = found.x[:-n_classes].reshape(-1, n_classes)
    shift = (0 if n_classes == 2 else 1) * (W - wanted).mean(axis=1, keepdims=True)
    columns = slice(1, None) if n_classes == 2 else slice(None)
    assert np.allclose((W - shift)[:, columns], wanted[:, columns], atol=2e-4)
    if not intercept:
        assert (student.intercept_ == 0).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("layout", ["array", "fortran", "csr_matrix", "csc_array", "list"])
def test_the_weights_are_those_of_weighted_copies(solver, n_classes, layout):
    X, Y = noisy_labels(n_classes, seed=2)
    X[:, 0] = 1.5  # a constant column beside the intercept
    X[X < -1] = 0
    s = np.random.default_rng(3).uniform(0, 3, size=len(X))
    given = {
        "array": np.asarray,
        "fortran": np.asfortranarray,
        "csr_matrix": sp.csr_matrix,
        "csc_array": sp.csc_array,
        "list": np.ndarray.tolist,
    }[layout](X)
    wanted = on_copies(exact(solver="newton-cholesky"), X, Y, np.arange(n_classes), s)
    student = fit_logistic(exact(solver=solver), given, Y, np.arange(n_classes), s)
    atol = 2e-5 if solver == "lbfgs" else 1e-6  # it stops where the loss is lowered no more
    assert np.allclose(student.coef_, wanted.coef_, atol=atol)
    assert np.allclose(student.intercept_, wanted.intercept_, atol=atol)
    assert np.allclose(student.predict_proba(given), wanted.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weight", [1.0, 1e-3])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_stop_is_that_of_scikit_learn(n_classes, weight, scale):
    """No entry of the gradient of the mean loss exceeds `tol`, whatever the units of X are."""
    X, Y = noisy_labels(n_classes)
    X[:, 1] *= scale
    student = fit_logistic(LogisticRegression(tol=1e-3), X, Y, np.arange(n_classes), weight)
    columns = np.arange(n_classes)[1 if n_classes == 2 else 0 :]
    weights = np.full(len(X), weight)
    loss = logistic._SoftLoss(LogisticRegression(), X, Y, columns, weights)
    gradient = loss(np.vstack([student.coef_.T, student.intercept_]).ravel())[1]
    assert 1e-9 < np.abs(gradient).max() <= 1e-3


def steps(X, Y, **settings):
    student = LogisticRegression(max_iter=1000, **settings)
    return fit_logistic(student, X, Y, np.arange(Y.shape[1])).n_iter_[0]


def test_many_classes_take_no_more_steps_than_few():
    """In the units of the weights, 100 classes took twice as many (15 steps, and 7)."""
    few, many = (steps(*noisy_labels(c, m=2000, d=20), C=1e-3) for c in (10, 100))
    assert many <= few <= 6


@pytest.mark.parametrize("n_classes", [2, 4])
def test_units_of_columns_change_the_steps_little(n_classes):
    X, Y = noisy_labels(n_classes, m=2000, d=8)
    assert steps(X * 10.0 ** np.arange(-3, 5), Y) <= 60 < 15 * steps(X, Y)


@pytest.mark.parametrize("huge", [1e160, 1e300])
def test_columns_without_a_curvature_do_not_raise(huge):
    X, Y = noisy_labels(2)
    X[:, 1], X[0, 2] = 0.0, huge
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        student = fit_logistic(LogisticRegression(penalty=None), X, Y, np.arange(2))
    assert student.coef_.shape == (1, 4) and student.coef_[0, 1] == 0


@pytest.mark.parametrize("settings", [{"C": 0.1}, {"C": np.inf}, {"fit_intercept": False}])
def test_weights_of_many_classes_have_no_common_part(settings):
    """As those of scikit-learn, whose steps keep the sum of zero."""
    X, Y = noisy_labels(4)
    student = fit_logistic(exact(**settings), X, Y, np.arange(4))
    assert np.allclose(student.coef_.mean(axis=0), 0) and np.allclose(student.intercept_.mean(), 0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_curvature_is_the_derivative_of_the_gradient(n_classes):
    X, Y = noisy_labels(n_classes)
    rng = np.random.default_rng(4)
    columns = np.arange(n_classes)[1 if n_classes == 2 else 0 :]
    weights = rng.uniform(0, 2, size=len(X))
    loss = logistic._SoftLoss(LogisticRegression(C=0.1), X, Y, columns, weights)
    at, direction = rng.normal(size=(2, (X.shape[1] + 1) * len(columns)))
    step = 1e-6 * direction
    slope = (loss(at + step)[1] - loss(at - step)[1]) / 2e-6
    assert np.allclose(loss.curvature(at, direction), slope, atol=1e-8)


def test_the_result_is_a_fitted_logistic_regression():
    X, Y = noisy_labels(3)
    frame = pd.DataFrame(X, columns=list("abcd"))
    classes = np.array(["one", "two", "six"])  # the teacher's order, not sorted
    student = fit_logistic(LogisticRegression(), frame, Y, classes)
    own = LogisticRegression().fit(frame, classes[Y.argmax(axis=1)])
    assert type(student) is LogisticRegression
    assert vars(student).keys() == vars(own).keys()
    for name in ("coef_", "intercept_", "n_iter_", "classes_", "feature_names_in_"):
        ours, theirs = getattr(student, name), getattr(own, name)
        assert (type(ours), ours.shape, ours.dtype) == (type(theirs), theirs.shape, theirs.dtype)
    assert student.classes_.tolist() == ["one", "six", "two"]
    assert student.n_features_in_ == 4
    assert student.get_params() == LogisticRegression().get_params()
    wanted = on_copies(LogisticRegression(), X, Y, classes)
    assert np.allclose(student.predict_proba(frame), wanted.predict_proba(X), atol=1e-3)
    again = pickle.loads(pickle.dumps(student))
    assert np.array_equal(again.predict(frame), student.predict(frame))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_single_precision_stays(n_classes):
    X, Y = noisy_labels(n_classes)
    student = fit_logistic(exact(), X.astype(np.float32), Y, np.arange(n_classes))
    assert student.coef_.dtype == student.intercept_.dtype == np.float32
    wanted = fit_logistic(exact(), X, Y, np.arange(n_classes))
    assert np.allclose(student.coef_, wanted.coef_, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_blocks_of_rows_change_nothing(sparse, monkeypatch):
    X, Y = noisy_labels(3, m=1000)
    X = sp.csr_array(X * (X > 0)) if sparse else X
    whole = fit_logistic(exact(), X, Y, np.arange(3))
    monkeypatch.setattr(logistic, "_BLOCK_BYTES", 8)
    parts = fit_logistic(exact(), X, Y, np.arange(3))
    assert np.allclose(whole.coef_, parts.coef_, rtol=1e-7)


def test_no_copy_of_X_is_made():
    """Copies would take ten times X; the labels and the blocks' scores take .6 of it."""
    X, labels = noisy_labels(10, m=20_000, d=50)
    tracemalloc.start()
    try:
        fit_on_soft_labels(LogisticRegression(max_iter=3), X, labels, np.arange(10), {})
    except ConvergenceWarning:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < X.nbytes


@pytest.mark.parametrize("labels", [[[1.0, 0.0]], [[0.4, 0.6]], [[-20.0, 21.0]]])
def test_the_same_label_everywhere(labels):
    X = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.tile(labels, (50, 1))
    student = fit_on_soft_labels(exact(), X, labels, np.array([0, 1]), {})
    shown = student.predict_proba(X)[:, 1]
    assert np.allclose(shown, np.clip(labels[0][1], 0, 1), atol=2e-3)


def test_a_class_that_no_row_has():
    X, labels = noisy_labels(2)
    labels = np.column_stack([labels, 0 * X[:, 0]])
    student = fit_on_soft_labels(exact(), X, labels, np.arange(3), {})
    assert student.classes_.tolist() == [0, 1, 2]
    assert student.predict_proba(X)[:, 2].max() < 0.01


def test_more_classes_than_rows():
    student = fit_on_soft_labels(exact(), np.eye(3), np.full((3, 7), 1 / 7), np.arange(7), {})
    assert np.allclose(student.predict_proba(np.eye(3)), 1 / 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 199])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array, pd.DataFrame])
def test_values_that_are_not_finite_are_refused_as_before(bad, row, layout):
    X, Y = noisy_labels(2)
    X[row, 1] = bad
    with pytest.raises(ValueError, match="Input X contains") as ours:
        fit_logistic(LogisticRegression(), layout(X), Y, np.arange(2))
    with pytest.raises(ValueError, match="Input X contains") as theirs:
        LogisticRegression().fit(layout(X), np.arange(200) % 2)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    "settings", [{"C": -1.0}, {"tol": "small"}, {"max_iter": -1}, {"dual": True}]
)
def test_settings_that_cannot_be_are_refused_by_scikit_learn(settings):
    X, Y = noisy_labels(2)
    student = LogisticRegression(**settings)
    with pytest.raises(ValueError):
        fit_on_soft_labels(student, X, Y, np.arange(2), {})


@pytest.mark.parametrize(
    "weights",
    [[1.0, 2.0], np.full(200, np.nan), np.ones((200, 2)), np.zeros(200), np.full(200, -1.0)],
)
def test_weights_of_rows_that_cannot_be_are_refused(weights):
    X, Y = noisy_labels(2)
    with pytest.raises(ValueError, match="sample_weight must be 200 finite numbers"):
        fit_logistic(LogisticRegression(), X, Y, np.arange(2), weights)


def test_an_unknown_fit_parameter_is_refused():
    X, Y = noisy_labels(2)
    with pytest.raises(TypeError, match="offset"):
        fit_on_soft_labels(LogisticRegression(), X, Y, np.arange(2), {"offset": 1})


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_a_fit_that_stops_early_says_so(solver):
    X, Y = noisy_labels(3)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        student = fit_logistic(LogisticRegression(max_iter=1, solver=solver), X, Y, np.arange(3))
    assert student.n_iter_.tolist() == [1]


def test_classes_as_many_as_rows_are_no_reason_to_warn():
    X, Y = noisy_labels(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_logistic(LogisticRegression(max_iter=1000), X, Y, np.arange(30))


class TestInAPipeline:
    def test_the_earlier_steps_see_each_row_once(self):
        X, Y = noisy_labels(3)
        student = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), exact()))
        fitted = fit_on_soft_labels(student, X, Y, np.arange(3), {})
        assert fitted[0].n_samples_seen_ == len(X)
        scaled = StandardScaler().fit_transform(X)
        wanted = on_copies(exact(), scaled, with_mean_inside(Y), np.arange(3))
        assert type(fitted[-1][-1]) is LogisticRegression
        assert np.allclose(fitted.predict_proba(X), wanted.predict_proba(scaled), atol=1e-6)
        assert not hasattr(student[-1][-1], "coef_")
        assert np.array_equal(
            pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X)
        )

    @pytest.mark.parametrize("routing", [False, True])
    def test_weights_of_rows_reach_the_last_step(self, routing):
        X, Y = noisy_labels(2)
        s = np.random.default_rng(0).uniform(size=len(X))
        last, name = exact(), "logisticregression__sample_weight"
        with sklearn.config_context(enable_metadata_routing=routing):
            if routing:
                last, name = last.set_fit_request(sample_weight=True), "sample_weight"
            fitted = fit_on_soft_labels(
                make_pipeline("passthrough", last), X, Y, np.arange(2), {name: s}
            )
        wanted = on_copies(exact(), X, with_mean_inside(Y), np.arange(2), s)
        assert np.allclose(fitted[-1].coef_, wanted.coef_, atol=1e-6)


class Own(LogisticRegression):
    pass


@pytest.mark.parametrize(
    "student",
    [
        Own(),
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(class_weight={0: 2.0}),
        LogisticRegression(solver="saga"),
        LogisticRegression(solver="liblinear"),
    ],
    ids=repr,
)
def test_another_loss_is_left_to_the_student(student):
    assert not takes_soft_cross_entropy(student)
    assert how_to_train(student) in ("weights", "signed weights")
    X, Y = noisy_labels(2)
    fitted = fit_on_soft_labels(student.set_params(max_iter=5000), X, Y, np.arange(2), {})
    assert fitted.score(X, Y.argmax(axis=1)) > 0.6


def test_one_loss_for_each_class_is_left_to_the_student():
    student = LogisticRegression()
    student.multi_class = "ovr"  # a parameter until scikit-learn 1.7
    assert how_to_train(student) == "signed weights"


def test_callbacks_follow_the_students_own_iterations():
    callback = pytest.importorskip("sklearn.callback")
    student = LogisticRegression().set_callbacks(callback.ProgressBar())
    assert how_to_train(student) == "signed weights"
    assert how_to_train(clone(LogisticRegression())) == "soft cross-entropy"
