import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matrices import some
from scipy.special import expit
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skdistill.students.soft_targets import (
    class_scores,
    fit_on_soft_labels,
    hard_labels,
    how_to_train,
    probabilities,
    project_rows,
    thinned,
    with_mean_inside,
    with_unit_sums,
)

ROWS = arrays(np.float64, (5, 4), elements=st.floats(-1e6, 1e6))


@given(ROWS)
def test_projection_is_the_nearest_point_of_the_simplex(rows):
    p = project_rows(rows)
    assert (p >= 0).all()
    assert np.allclose(p.sum(axis=1), 1)
    # First-order optimality: no corner lies in a direction that reduces the distance.
    gap = (rows - p) @ np.eye(4) - ((rows - p) * p).sum(axis=1, keepdims=True)
    assert (gap <= 1e-6 * (1 + np.abs(rows).max())).all()


def test_a_point_of_the_simplex_stays():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    assert np.allclose(project_rows(rows), rows)


@given(ROWS)
def test_unit_sums_and_a_mean_inside(rows):
    flat = with_unit_sums(rows)
    assert np.allclose(flat.sum(axis=1), 1, atol=1e-6)
    inside = with_mean_inside(flat).mean(axis=0)
    assert (inside > -1e-6).all()
    assert inside.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("student", "way"),
    [
        (Ridge(), "least squares"),
        (make_pipeline(StandardScaler(), Ridge()), "least squares"),
        (GridSearchCV(Ridge(), {"alpha": [1]}), "least squares"),
        (LogisticRegression(), "soft cross-entropy"),
        (LogisticRegression(class_weight="balanced"), "signed weights"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "soft cross-entropy"),
        (LogisticRegression(solver="saga"), "weights"),
        (GaussianNB(), "weights"),
        (SVC(), "weights"),
        (RandomForestClassifier(), "weights"),
        (KNeighborsClassifier(), "labels"),
    ],
)
def test_the_way_follows_what_a_student_declares(student, way):
    assert how_to_train(student) == way


class OwnLogisticRegression(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        assert (np.asarray(sample_weight) >= 0).all()
        return super().fit(X, y, sample_weight)


def test_a_subclass_is_not_trusted_with_negative_weights():
    rng = np.random.default_rng(0)
    labels = rng.normal(0.5, 3, size=(100, 2))
    X = rng.normal(size=(100, 2))
    assert how_to_train(OwnLogisticRegression()) == "weights"
    fit_on_soft_labels(OwnLogisticRegression(), X, labels, np.array([0, 1]), {})


def test_labels_of_both_signs_find_the_minimum_of_the_cross_entropy():
    """The gradient of Σ logsumexp(z) - ỹ·z + ‖w‖²/2C vanishes, negative labels included."""
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(300, 3)), 0.5
    labels = np.column_stack([1 - expit(X[:, 0]), expit(X[:, 0])]) + rng.normal(size=(300, 2))
    assert (labels < 0).any()
    student = fit_on_soft_labels(
        LogisticRegression(C=C, tol=1e-10, max_iter=2000), X, labels, np.array([0, 1]), {}
    )
    targets = with_mean_inside(with_unit_sums(labels))[:, 1]
    residual = expit(student.decision_function(X)) - targets
    assert np.allclose(C * X.T @ residual + student.coef_[0], 0, atol=1e-3)
    assert residual.sum() == pytest.approx(0, abs=1e-2)


EARLIER = {
    "selector": lambda: SelectKBest(k=2),
    "model selector": lambda: SelectFromModel(LogisticRegression(), max_features=2),
    "elimination": lambda: RFE(LogisticRegression(), n_features_to_select=2),
    "projection": lambda: LinearDiscriminantAnalysis(),
    "target encoder": lambda: TargetEncoder(target_type="binary"),
    "inside a ColumnTransformer": lambda: make_column_transformer((SelectKBest(k=2), slice(20))),
    "nested": lambda: make_pipeline(StandardScaler(), SelectKBest(k=2)),
}


@pytest.mark.parametrize("name", some(EARLIER, 3))
def test_a_step_that_looks_at_labels_learns_as_from_true_ones(name):
    X, y = make_classification(
        6000, 20, n_informative=2, n_redundant=0, weights=[0.8], class_sep=1.2, random_state=1
    )
    if name == "target encoder":
        X = np.digitize(
            X[:, np.argmax(np.abs(np.corrcoef(X.T, y)[-1, :-1]))], np.linspace(-2, 2, 9)
        )
        X = X[:, None]
    soft = HistGradientBoostingClassifier(random_state=0).fit(X[:3000], y[:3000])
    student = make_pipeline(EARLIER[name](), LogisticRegression())
    assert how_to_train(student) == "drawn labels"
    rows = X[3000:]
    drawn = fit_on_soft_labels(student, rows, soft.predict_proba(rows), np.array([0, 1]), {})
    true = clone(student).fit(rows, y[3000:])
    found, wanted = (roc_auc_score(y[3000:], m.predict_proba(rows)[:, 1]) for m in (drawn, true))
    assert found > wanted - 0.03


@pytest.mark.parametrize(
    "step", [StandardScaler(), VarianceThreshold(), SimpleImputer(), PCA(), "passthrough", None]
)
def test_steps_that_look_at_rows_alone_leave_the_weights_to_the_last(step):
    student = make_pipeline(step, LogisticRegression())
    assert how_to_train(student) == "soft cross-entropy"


def test_noise_averages_out_where_clipping_would_bias():
    """40,000 rows of p = .9/.1 with noise of standard deviation 3.

    The mean of the noise has standard deviation 3/√20,000 = .021 per group, so a deviation of
    .12 has probability below 1e-7; labels clipped to the simplex have a mean below .65.
    """
    rng = np.random.default_rng()
    X = np.repeat([[0.0], [1.0]], 20_000, axis=0)
    p = np.where(X[:, 0] == 1, 0.9, 0.1)
    labels = np.column_stack([1 - p, p]) + rng.normal(0, 3, size=(40_000, 2))
    student = fit_on_soft_labels(LogisticRegression(C=1e3), X, labels, np.array([0, 1]), {})
    shown = student.predict_proba([[0.0], [1.0]])[:, 1]
    assert np.abs(shown - [0.1, 0.9]).max() < 0.12
    assert project_rows(labels)[20_000:, 1].mean() < 0.65


def test_a_mean_outside_the_simplex_does_not_diverge():
    X = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.tile([-20.0, 21.0], (50, 1))
    student = fit_on_soft_labels(LogisticRegression(), X, labels, np.array([0, 1]), {})
    assert np.isfinite(student.intercept_).all()


@settings(max_examples=300)
@given(arrays(np.float64, (5, 4), elements=st.floats(-10, 10)))
def test_every_class_keeps_a_row(labels):
    chosen = hard_labels(labels)
    assert set(chosen) == {0, 1, 2, 3}


def test_hard_labels_are_the_arg_max_where_every_class_wins():
    labels = np.array([[0.6, 0.4], [0.1, 0.9]])
    assert hard_labels(labels).tolist() == [0, 1]


def test_a_regressor_without_multiple_outputs_is_given_one_each():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    labels = np.eye(3)[(X > 0).sum(axis=1)]
    student = fit_on_soft_labels(
        HistGradientBoostingRegressor(max_iter=30), X, labels, np.arange(3), {}
    )
    assert probabilities(student, X, np.arange(3)).shape == (400, 3)
    scores, scale = class_scores(student, X, np.arange(3))
    assert scale == "probability"
    assert np.mean(scores.argmax(axis=1) == labels.argmax(axis=1)) > 0.95


def test_columns_follow_the_teachers_classes():
    X = np.array([[0.0], [1.0], [2.0]] * 5)
    student = DecisionTreeClassifier().fit(X[:, :], np.array(["b", "c", "b"] * 5))
    p = probabilities(student, X, np.array(["a", "b", "c"]))
    assert (p[:, 0] == 0).all()
    assert np.allclose(p.sum(axis=1), 1)
    scores, _ = class_scores(student, X, np.array(["a", "b", "c"]))
    assert (scores[:, 0] == -np.inf).all()


def test_a_student_with_labels_only_has_no_scores():
    class Plain(KNeighborsClassifier):
        predict_proba = property()

    student = Plain(1).fit(np.eye(3), [0, 1, 2])
    assert not hasattr(student, "predict_proba")
    assert class_scores(student, np.eye(3), np.arange(3)) is None


def test_least_squares_ignores_noise_across_the_simplex():
    """A shift of all columns by the same amount carries no information and changes nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    labels = rng.dirichlet(np.ones(3), 50)
    shifted = labels + rng.normal(size=(50, 1)) * 100
    a, b = (
        fit_on_soft_labels(LinearRegression(), X, each, np.arange(3), {}).predict(X)
        for each in (labels, shifted)
    )
    assert np.allclose(a, b)


class Counting(GaussianNB):
    """Keeps the rows that it was given."""

    def fit(self, X, y, sample_weight=None):
        self.given_ = X, y, sample_weight
        return super().fit(X, y, sample_weight)


def test_copies_are_of_rows_with_a_weight_only():
    X = np.arange(12.0).reshape(4, 3)
    labels = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0.25, 0.75], [1.5, -0.5, 0]])
    weights = np.array([2.0, 1.0, 1.0, 0.0])
    student = fit_on_soft_labels(Counting(), X, labels, np.arange(3), {"sample_weight": weights})
    copies, classes, given = student.given_
    assert copies.tolist() == X[[0, 1, 1, 2, 2]].tolist()
    assert classes.tolist() == [0, 0, 1, 1, 2]
    assert given.tolist() == [2.0, 0.5, 0.5, 0.25, 0.75]


@pytest.mark.parametrize("concentration", [0.02, 0.3, 100])
def test_many_classes_make_few_copies(concentration):
    """Also where every class has a small part of every row; nothing is lost on average."""
    rng = np.random.default_rng(0)
    labels = rng.dirichlet(np.full(60, concentration), 3000)
    labels[:, 7] = labels[:, 7] * 1e-6  # less than one entry can hold
    kept = thinned(labels)
    assert np.count_nonzero(kept) <= 10 * 3000 + 60
    assert np.array_equal(kept[labels >= 0.1], labels[labels >= 0.1])
    assert np.abs(kept.sum(axis=0) - labels.sum(axis=0)).max() <= 0.05 + 1e-9
    assert (kept.sum(axis=0) > 0).all()
    half = labels[:, :30].cumsum(axis=0) - kept[:, :30].cumsum(axis=0)
    assert np.abs(half).max() <= 0.1  # wherever the rows are cut


def test_few_classes_are_left_as_they_are():
    labels = np.random.default_rng(0).dirichlet(np.ones(10), 50)
    assert thinned(labels) is labels


def test_a_student_of_many_classes_is_as_good_on_few_copies():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 6)) * 2
    y = rng.integers(40, size=4000)
    X = centres[y] + rng.normal(size=(4000, 6))
    scores = -((X[:, None] - centres) ** 2).sum(axis=2) / 2
    labels = np.exp(scores - scores.max(axis=1, keepdims=True))
    labels = 0.5 * labels / labels.sum(axis=1, keepdims=True) + 0.5 / 40
    few = fit_on_soft_labels(GaussianNB(), X, labels, np.arange(40), {})
    copies = np.repeat(X, 40, axis=0), np.tile(np.arange(40), 4000)
    every = GaussianNB().fit(*copies, sample_weight=labels.ravel())
    assert np.abs(few.predict_proba(X) - every.predict_proba(X)).mean() < 0.01
    assert np.mean(few.predict(X) == every.predict(X)) > 0.9
