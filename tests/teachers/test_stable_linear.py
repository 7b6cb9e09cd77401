"""StableLogisticRegression: the radius holds for every data set, and the code can prove it."""

import inspect
import math
import pickle
from dataclasses import replace

import mpmath
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import estimator_checks_generator

from skdistill.teachers import ClippedRows, StableLogisticRegression, stable_C
from skdistill.teachers import stable_newton as module

CANARY = "canary-7719"
relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def plan_of(shape, n_classes, C, feature_map):
    norm = feature_map.row_norm(shape[1])
    return module.make_plan(shape, n_classes, C, feature_map.constant, norm)


# Data sets that try to break it.


@st.composite
def problems(draw, max_n=200):
    """Random settings, n records, and one record that takes the place of another."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, max_n)), draw(st.integers(1, 6))
    n_classes = draw(st.integers(2, 4))
    kind = draw(st.sampled_from(["normal", "duplicates", "separable", "huge", "constant", "tiny"]))
    X, y = rng.normal(size=(n, d)), rng.integers(0, n_classes, n)
    if kind == "duplicates":
        X[:], y[:] = X[0], y[0]
    elif kind == "separable":
        y = np.clip(np.floor(X[:, 0] + n_classes / 2), 0, n_classes - 1).astype(int)
    elif kind == "huge":
        X *= 10.0 ** rng.integers(-300, 308, size=(n, 1))
        X = np.clip(np.nan_to_num(X), -1.7e308, 1.7e308)
    elif kind == "constant":
        X[:, 0], X[n // 2 :] = 1.0, 0.0
    elif kind == "tiny":
        X *= 1e-310
    if draw(st.booleans()):
        y[:] = y[0]  # one class only
    parameters = {
        "C": 10.0 ** draw(st.floats(-6, 2)),
        "max_row_norm": 10.0 ** draw(st.floats(-1, 1)),
        "fit_intercept": draw(st.booleans()),
        "intercept_scaling": 10.0 ** draw(st.floats(-1, 1)),
        "classes": list(range(n_classes)),
    }
    i = int(rng.integers(n))
    other_X, other_y = X.copy(), y.copy()
    other_X[i] = draw(st.sampled_from([-1.0, 1.0, 1e300, 0.0])) * rng.normal(size=d)
    if draw(st.booleans()):
        other_X[i] = -X[i]
    other_y[i] = int(rng.integers(n_classes))
    return parameters, (X, y), (other_X, other_y), draw(st.booleans())


def corner_problem(n=20_000, n_classes=2, C=0.5):
    """Neighbours nearly as far apart as the radius allows.

    All but one record pull W along the second axis. The last is on the wrong side of them,
    nearly at right angles to W, once to the left and once to the right: both residuals are nearly
    as long as they can be, they point apart, and nothing but the penalty holds W on that axis.
    """
    sine = 0.5
    X = np.tile([0.0, 1.0], (n, 1))
    y = np.zeros(n, dtype=int)
    X[-1], y[-1] = (math.sqrt(1 - sine**2), sine), 1
    other = X.copy()
    other[-1, 0] *= -1
    parameters = {"C": C, "fit_intercept": False, "classes": list(range(n_classes))}
    return parameters, (X, y), (other, y)


def exact_gradient(model, X, y):
    """∇J at the fitted weights, with 50 digits, as the matrix of its entries."""
    features = model.bounded_features(X)
    features = features.toarray() if sp.issparse(features) else features
    codes = np.searchsorted(model.classes_, y)
    with mpmath.workdps(50):
        W = [[mpmath.mpf(float(w)) for w in row] for row in model.weights_]
        total = [list(row) for row in W]
        C = mpmath.mpf(model.C)
        for row, code in zip(features, codes, strict=True):
            x = [mpmath.mpf(float(v)) for v in row]
            scores = [mpmath.fdot(w, x) for w in W]
            if len(W) == 1:
                residual = [1 / (1 + mpmath.exp(-scores[0])) - int(code)]
            else:
                exponentials = [mpmath.exp(s) for s in scores]
                whole = mpmath.fsum(exponentials)
                residual = [e / whole - int(k == code) for k, e in enumerate(exponentials)]
            for k, r in enumerate(residual):
                for j, v in enumerate(x):
                    total[k][j] += C * r * v
        return total


def frobenius(rows):
    with mpmath.workdps(50):
        return mpmath.sqrt(mpmath.fsum(v * v for row in rows for v in row))


def proved_distance(model, X, y):
    """An upper bound on the distance to the exact minimiser: the exact gradient's norm."""
    return frobenius(exact_gradient(model, X, y))


def ideal_radius(model):
    lipschitz = 1 if len(model.classes_) == 2 else math.sqrt(2)
    constant = model.intercept_scaling if model.fit_intercept else 0
    return 2 * lipschitz * model.C * math.hypot(model.max_row_norm, constant)


# The guarantee.


@relaxed
@given(problems())
def test_one_record_never_moves_the_weights_beyond_the_radius(problem):
    parameters, (X, y), (other_X, other_y), sparse = problem
    make = sp.csr_matrix if sparse else np.asarray
    one = StableLogisticRegression(**parameters).fit(make(X), y)
    two = StableLogisticRegression(**parameters).fit(make(other_X), other_y)
    assert np.linalg.norm(one.weights_ - two.weights_) <= one.sensitivity_
    assert one.sensitivity_ == two.sensitivity_


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_radius_is_nearly_reached(n_classes):
    parameters, (X, y), (other_X, other_y) = corner_problem(n_classes=n_classes)
    one = StableLogisticRegression(**parameters).fit(X, y)
    two = StableLogisticRegression(**parameters).fit(other_X, other_y)
    distance = np.linalg.norm(one.weights_ - two.weights_)
    assert 0.75 * one.sensitivity_ < distance <= one.sensitivity_


@relaxed
@given(problems(max_n=40))
def test_the_exact_gradient_is_within_tolerance_and_rounding(problem):
    parameters, (X, y), _, sparse = problem
    model = StableLogisticRegression(**parameters).fit(sp.csr_matrix(X) if sparse else X, y)
    slack = (model.sensitivity_ - ideal_radius(model)) / 2
    assert 0 < slack < 0.005 * ideal_radius(model)
    assert proved_distance(model, X, y) <= slack


@relaxed
@given(problems(max_n=40))
def test_mapped_rows_stay_in_the_ball_exactly(problem):
    parameters, (X, y), _, sparse = problem
    model = StableLogisticRegression(**parameters).fit(X, y)
    features = model.bounded_features(sp.csr_matrix(X) if sparse else X)
    features = features.toarray() if sparse else features
    for row in features:
        assert frobenius([[mpmath.mpf(float(v)) for v in row]]) <= model.row_norm_
    constant = model.intercept_scaling if model.fit_intercept else 0
    assert model.row_norm_ == pytest.approx(math.hypot(model.max_row_norm, constant), rel=1e-13)
    if constant:
        assert np.all(features[:, -1] == constant)


def test_only_long_rows_are_scaled():
    X = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [-1e308, 1e308], [5e-324, 0.0]])
    mapped = ClippedRows(max_row_norm=1.0, constant=0.0)(X)
    half = math.sqrt(0.5)
    expected = [[0.6, 0.8], [0.3, 0.4], [0, 0], [-half, half], [5e-324, 0]]
    np.testing.assert_allclose(mapped, expected, rtol=1e-15)
    for form in (sp.csr_matrix, sp.csr_array):
        sparse = ClippedRows(1.0, 0.5)(form(X))
        assert sp.issparse(sparse) and sparse.format == "csr"
        np.testing.assert_array_equal(sparse.toarray(), ClippedRows(1.0, 0.5)(X))


def test_sparse_duplicate_entries_are_summed_before_the_clip():
    twice = sp.csr_matrix((np.array([0.9, 0.9, 1e308, 1e308]), [0, 0, 1, 1], [0, 2, 4]), (2, 2))
    mapped = ClippedRows(1.0, 0.0)(twice)
    np.testing.assert_allclose(mapped.toarray(), [[1, 0], [0, 1]], rtol=1e-15)
    assert twice.nnz == 4  # the caller's matrix is as it was


@pytest.mark.parametrize("n_rows", [1, 4])
@pytest.mark.parametrize("sparse", [False, True])
def test_rounding_bound_covers_the_computed_gradient(n_rows, sparse):
    """Gradients at weights of the largest norm the bound allows, against 50 digits."""
    rng = np.random.default_rng(n_rows)
    n, D, C = 1500, 4, 3.0
    n_classes = max(2, n_rows)
    X, y = rng.normal(size=(n, D)), rng.integers(0, n_classes, n)
    model = StableLogisticRegression(C, fit_intercept=False, classes=range(n_classes)).fit(X, y)
    plan = plan_of((n, D), n_classes, C, model.feature_map_)
    features = model.bounded_features(X)
    objective = module.Objective(sp.csr_matrix(features) if sparse else features, y, plan)
    W = rng.normal(size=(n_rows, D))
    model.weights_ = W * (plan.weight_bound / np.linalg.norm(W))
    exact, computed = exact_gradient(model, X, y), objective.gradient(model.weights_)
    error = frobenius(
        [
            [e - mpmath.mpf(float(c)) for e, c in zip(*r, strict=True)]
            for r in zip(exact, computed, strict=True)
        ]
    )
    bound = module.gradient_rounding_bound(
        n, n_rows, D, C=C, row_norm=plan.row_norm, weight_norm=plan.weight_bound
    )
    assert 0 < error <= bound
    assert bound < 1e-4 * plan.sensitivity  # and it is of use


def test_rounding_bound_of_a_long_sum_against_fsum():
    """The gradient at zero is a plain sum of ±Φ/2: fsum has it exactly rounded."""
    rng = np.random.default_rng(0)
    n, C = 300_000, 1e-3
    X, y = np.abs(rng.normal(size=(n, 1))), np.zeros(n, dtype=int)
    feature_map = ClippedRows(1.0, 0.0)
    plan = plan_of((n, 1), 2, C, feature_map)
    features = feature_map(X)
    computed = module.Objective(features, y, plan).gradient(np.zeros((1, 1)))[0, 0]
    exact = C * math.fsum(features[:, 0]) / 2
    bound = module.gradient_rounding_bound(n, 1, 1, C=C, row_norm=1.0, weight_norm=0.0)
    assert abs(computed - exact) <= bound < 1e-10 * exact * math.sqrt(n)


def test_rounding_bound_grows_with_every_size():
    base = {
        "n_samples": 10**5,
        "n_rows": 3,
        "n_columns": 20,
        "C": 0.1,
        "row_norm": 1.4,
        "weight_norm": 9.0,
    }
    bound = module.gradient_rounding_bound(**base)
    for name, value in base.items():
        assert module.gradient_rounding_bound(**{**base, name: 4 * value}) > bound


def test_rounding_bound_counts_the_additions():
    """A hundred times the rows: a hundred times the terms, each in sums ten times as long."""
    settings = {"n_rows": 1, "n_columns": 1, "C": 0.1, "row_norm": 1.0, "weight_norm": 0.0}
    short = module.gradient_rounding_bound(10**6, **settings)
    assert 900 * short < module.gradient_rounding_bound(10**8, **settings) < 1000 * short


# A solver that is not to be trusted.


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fault", ["short", "turned", "long"])
def test_a_bad_direction_costs_time_and_not_the_bound(monkeypatch, fault, n_classes):
    good = module.Objective.newton_direction
    rng = np.random.default_rng(0)

    def bad(self, W, gradient):
        p = good(self, W, gradient)
        if fault == "turned":
            return p + 0.3 * np.linalg.norm(p) * _unit(rng.normal(size=p.shape))
        return p * {"short": 0.5, "long": 1.9}[fault]

    X, y = rng.normal(size=(30, 3)), rng.integers(0, n_classes, 30)
    model = StableLogisticRegression(0.3, classes=range(n_classes))
    n_good_steps = model.fit(X, y).n_iter_
    monkeypatch.setattr(module.Objective, "newton_direction", bad)
    model.fit(X, y)
    assert model.n_iter_ > n_good_steps
    slack = (model.sensitivity_ - ideal_radius(model)) / 2
    assert proved_distance(model, X, y) <= slack


@pytest.mark.parametrize("garbage", [0.0, np.nan, -1.0])
def test_no_progress_is_an_error_with_a_fixed_text(monkeypatch, garbage):
    good = module.Objective.newton_direction
    monkeypatch.setattr(module.Objective, "newton_direction", lambda *a: garbage * good(*a))
    model = StableLogisticRegression(classes=[0, 1])
    texts = set()
    for shift in (0.0, 0.5):
        with pytest.raises(RuntimeError, match="did not reach its gradient tolerance") as caught:
            model.fit([[0.1 + shift], [0.2]], [0, 1])
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert not hasattr(model, "weights_") and not hasattr(model, "sensitivity_")


def test_a_lazy_solver_is_not_trusted(monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(200, 3)), np.arange(200) % 2
    monkeypatch.setattr(module, "_MOST_STEPS", 2)
    with pytest.raises(RuntimeError, match="not proved"):
        StableLogisticRegression(C=10.0).fit(X * [5, 1, 1], X[:, 0] > 0)
    monkeypatch.undo()
    StableLogisticRegression(C=10.0).fit(X, y)


def test_weights_outside_the_ball_of_the_rounding_bound_are_not_accepted():
    X, y = np.array([[1.0], [0.5]]), np.array([0, 0])
    plan = plan_of((2, 1), 2, 1.0, ClippedRows(1.0, 0.0))
    W, _ = module.minimise(module.Objective(X, y, plan))
    smaller = replace(plan, weight_bound=0.9 * np.linalg.norm(W))
    with pytest.raises(RuntimeError, match="not proved"):
        module.minimise(module.Objective(X, y, smaller))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_conjugate_gradients_and_factorisation_agree(monkeypatch, n_classes, sparse):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(600, 5)), rng.integers(0, n_classes, 600)
    X = sp.csr_matrix(X) if sparse else X
    direct = StableLogisticRegression(C=2.0).fit(X, y)
    monkeypatch.setattr(module, "_DIRECT_SIZE", 0)
    matrix_free = StableLogisticRegression(C=2.0).fit(X, y)
    slack = direct.sensitivity_ - ideal_radius(direct)
    assert 0 < np.linalg.norm(direct.weights_ - matrix_free.weights_) <= slack


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_scikit_learns_minimum(n_classes):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(300, 4)), rng.integers(0, n_classes, 300)
    model = StableLogisticRegression(C=0.5, intercept_scaling=2.0).fit(X, y)
    features = model.bounded_features(X)
    reference = LogisticRegression(C=0.5, fit_intercept=False, solver="newton-cg", tol=1e-10)
    reference.fit(features, y)
    np.testing.assert_allclose(model.weights_, reference.coef_, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(features), atol=1e-6)
    np.testing.assert_allclose(
        model.decision_function(X), reference.decision_function(features), atol=1e-6
    )
    np.testing.assert_array_equal(model.predict(X), reference.predict(features))
    np.testing.assert_allclose(
        (features[:, :-1] @ model.coef_.T + model.intercept_).squeeze(), model.decision_function(X)
    )


# Public refusals.


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"C": 0.0}, ValueError, "C must lie between"),
        ({"C": -1.0}, ValueError, "C must lie between"),
        ({"C": np.nan}, ValueError, "C must lie between"),
        ({"C": np.inf}, ValueError, "C must lie between"),
        ({"C": "1"}, TypeError, "C must be a number"),
        ({"C": True}, TypeError, "C must be a number"),
        ({"max_row_norm": 0.0}, ValueError, "max_row_norm must lie"),
        ({"intercept_scaling": 1e-200}, ValueError, "intercept_scaling must lie"),
        ({"C": 1e10}, ValueError, "next to no penalty"),
        ({"max_row_norm": 1e6}, ValueError, "Set C below"),
        ({"classes": [0]}, ValueError, "at least two classes"),
    ],
)
def test_refused_settings(parameters, error, match):
    X, y = [[0.0], [1.0], [0.5]], [0, 1, 0]
    with pytest.raises(error, match=match):
        StableLogisticRegression(**parameters).fit(X, y)


def test_what_float64_cannot_prove_is_refused_by_public_numbers_alone():
    """The plan alone decides, and says what to do."""
    feature_map = ClippedRows(1.0, 1.0)
    with pytest.raises(ValueError, match="Lower C, or train on fewer rows"):
        plan_of((10**10, 500), 2, 0.004, feature_map)
    assert plan_of((10**7, 100), 2, 0.02, feature_map).sensitivity < 0.0566


def test_no_message_quotes_a_label():
    with pytest.raises(ValueError, match="two classes") as caught:
        StableLogisticRegression().fit([[0.0], [1.0]], [CANARY, CANARY])
    assert CANARY not in str(caught.value)


def test_weights_of_records_are_refused():
    X, y = [[0.0], [1.0]], [0, 1]
    with pytest.raises(TypeError, match="sample_weight"):
        StableLogisticRegression().fit(X, y, sample_weight=[1, 2])
    assert "class_weight" not in StableLogisticRegression().get_params()
    assert list(inspect.signature(StableLogisticRegression.fit).parameters) == ["self", "X", "y"]


# What a fitted model holds.


def test_one_class_and_absent_classes():
    X = np.array([[0.5], [-0.5], [0.1]])
    model = StableLogisticRegression(C=1.0, classes=["b", "a"]).fit(X, ["a", "a", "a"])
    assert model.classes_.tolist() == ["a", "b"] and model.class_count_.tolist() == [3, 0]
    assert model.predict(X).tolist() == ["a", "a", "a"] and model.classes_given_
    model = StableLogisticRegression(C=1.0, classes=[3, 1, 2]).fit(X, [1, 3, 3])
    assert model.class_count_.tolist() == [1, 0, 2] and model.weights_.shape == (3, 2)
    assert model.predict_proba(X).shape == (3, 3)


def test_classes_without_the_parameter():
    model = StableLogisticRegression().fit([[0.0], [1.0]], ["x", "y"])
    assert not model.classes_given_ and model.classes_.tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        StableLogisticRegression().fit([[0.0], [1.0]], [0.25, 0.5])
    fractions = StableLogisticRegression(classes=[0.25, 0.5]).fit([[0.0], [1.0]], [0.25, 0.5])
    assert fractions.classes_.tolist() == [0.25, 0.5]


def test_parameters_changed_after_fit_change_nothing():
    X, y = np.array([[-3.0], [0.2], [0.4], [5.0]]), [0, 0, 1, 1]
    model = StableLogisticRegression(C=0.1).fit(X, y)
    before = model.sensitivity_, model.row_norm_, model.decision_function(X)
    model.set_params(C=9.0, max_row_norm=7.0, intercept_scaling=3.0, fit_intercept=False)
    model.set_params(classes=["u", "v", "w"])
    assert (model.sensitivity_, model.row_norm_) == before[:2]
    np.testing.assert_array_equal(model.decision_function(X), before[2])
    assert model.classes_.tolist() == [0, 1] and not model.classes_given_
    assert model.intercept_ == model.weights_[:, -1]


def test_a_failed_refit_does_not_keep_a_half_certificate(monkeypatch):
    model = StableLogisticRegression(C=0.1).fit([[0.0], [1.0]], [0, 1])
    before = pickle.dumps(vars(model))
    monkeypatch.setattr(module, "_MOST_STEPS", 1)
    with pytest.raises(RuntimeError):
        model.set_params(C=100.0).fit([[0.0], [1.0]], [0, 1])
    model.set_params(C=0.1)
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_of_numbers(frame):
    columns = {"a": [0.1, 0.9, 0.4, 0.8], "b": [1, 0, 1, 0]}
    X, y = frame(columns), np.array([0, 1, 0, 1])
    model = StableLogisticRegression(C=1.0).fit(X, y)
    plain = StableLogisticRegression(C=1.0).fit(np.column_stack(list(columns.values())), y)
    np.testing.assert_array_equal(model.weights_, plain.weights_)
    assert model.predict_proba(X).shape == (4, 2)
    if frame is pd.DataFrame:
        assert model.feature_names_in_.tolist() == ["a", "b"]
        with pytest.raises(ValueError, match="feature names"):
            model.predict(X[["b", "a"]])


def test_dense_and_sparse_agree_and_pickle_and_clone():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(80, 5)) * (rng.random((80, 5)) < 0.4), rng.integers(0, 3, 80)
    dense = StableLogisticRegression().fit(X, y)
    sparse = StableLogisticRegression().fit(sp.csc_array(X), y)
    np.testing.assert_allclose(dense.weights_, sparse.weights_, atol=1e-8)
    np.testing.assert_allclose(dense.predict_proba(X), sparse.predict_proba(sp.coo_array(X)))
    again = pickle.loads(pickle.dumps(dense))
    np.testing.assert_array_equal(again.predict_proba(X), dense.predict_proba(X))
    assert clone(dense).get_params() == dense.get_params()


def test_stable_C_meets_its_logit_noise():
    pytest.importorskip("skdistill.accounting.loss")
    from skdistill.accounting.loss import gaussian_mu

    rng = np.random.default_rng(5)
    X = rng.normal(size=(300, 2))
    for n_classes in (2, 3):
        budget = {"max_row_norm": 2.0, "intercept_scaling": 0.5, "n_classes": n_classes}
        C = stable_C(0.5, 1e-6, logit_noise=0.25, **budget)
        y = rng.integers(0, budget.pop("n_classes"), 300)
        model = StableLogisticRegression(C, **budget).fit(X, y)
        noise = model.sensitivity_ / gaussian_mu(0.5, 1e-6)  # on a weight
        longest = np.linalg.norm(model.bounded_features(X), axis=1).max()
        assert noise * longest == pytest.approx(0.25, rel=1e-5)
    plain = stable_C(1.0, 1e-5, fit_intercept=False)
    assert plain == pytest.approx(2 * stable_C(1.0, 1e-5), rel=1e-9)


def _unit(vector):
    return vector / np.linalg.norm(vector)


FAILS = {"check_dtype_object": "no cell raises: one that is no number counts as zero"}
CHECKS = [
    case
    for model in (
        StableLogisticRegression(),
        StableLogisticRegression(C=1.0, fit_intercept=False),
    )
    for case in estimator_checks_generator(model, expected_failed_checks=FAILS, mark="xfail")
]


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=lambda v: getattr(getattr(v, "func", v), "__name__", "")
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [object, str])
def test_labels_and_classes_of_different_kinds_are_told_apart(kind):
    """By dtypes, which are public; an array of objects has none that tells."""
    X, y = np.eye(4), np.array(["no", "yes", "no", "yes"], dtype=kind)
    if kind is str:
        with pytest.raises(ValueError, match="no label would be known"):
            StableLogisticRegression(classes=[0, 1]).fit(X, y)
    with pytest.raises(ValueError, match="no label would be known"):
        StableLogisticRegression(classes=["no", "yes"]).fit(X, np.array([0, 1, 0, 1]))
    fitted = StableLogisticRegression(classes=["no", "yes"]).fit(X, y)
    assert fitted.classes_.tolist() == ["no", "yes"]
