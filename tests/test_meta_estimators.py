"""scikit-learn's meta-estimators around a distiller, against the same ones around a plain model.

The right value comes from `Plain`, nine lines that share nothing with the package: least squares on
the teacher's probabilities. At ε=1e7 noise moves a probability by less than 1e-3.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import PrivateDistiller, SoftLabels

HUGE, N = 1e7, 400
ROWS, LABELS = make_classification(
    3 * N, 5, n_informative=3, n_redundant=0, flip_y=0.1, random_state=3
)
TEACHER = GaussianNB().fit(ROWS[N:], LABELS[N:])
X, Y = ROWS[:N], LABELS[:N]


class Plain(ClassifierMixin, BaseEstimator):
    """Least squares on the teacher's probabilities."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y=None, sample_weight=None):
        self.classes_ = np.array([0, 1])
        target = TEACHER.predict_proba(np.asarray(X, dtype=float))[:, 1]
        self.model_ = Ridge(self.alpha).fit(X, target, sample_weight)
        return self

    def predict_proba(self, X):
        p = np.clip(self.model_.predict(X), 0, 1)
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return (self.model_.predict(X) > 0.5).astype(int)


def distilled(**settings):
    return PrivateDistiller(
        TEACHER, Ridge(), epsilon=HUGE, threshold=None, mechanism=SoftLabels(basis=None), **settings
    )


HALVING = {"cv": 3, "scoring": "neg_log_loss", "random_state": 0, "min_resources": 130}
META = {
    "voting, soft": lambda m: VotingClassifier([("a", m), ("b", GaussianNB())], voting="soft"),
    "stacking": lambda m: StackingClassifier([("a", m), ("b", GaussianNB())], cv=3),
    "stacking with the rows": lambda m: StackingClassifier([("a", m)], passthrough=True, cv=3),
    "bagging": lambda m: BaggingClassifier(m, 4, bootstrap=False, random_state=0),
    "calibrated, sigmoid": lambda m: CalibratedClassifierCV(m, cv=3),
    "calibrated, together": lambda m: CalibratedClassifierCV(m, cv=3, ensemble=False),
    "grid": lambda m: GridSearchCV(m, _grid(m), cv=3, scoring="neg_log_loss"),
    "halving grid": lambda m: HalvingGridSearchCV(m, _grid(m), **HALVING),
    "halving random": lambda m: HalvingRandomSearchCV(m, _grid(m), n_candidates=3, **HALVING),
    "pipeline": lambda m: make_pipeline(StandardScaler(with_std=False), m),
}


def _grid(model):
    return {"alpha" if isinstance(model, Plain) else "student__alpha": [1e-3, 1e3, 1e6]}


@pytest.mark.parametrize("name", [*META][:-1])
def test_probabilities_are_those_around_a_plain_model(name):
    found = META[name](distilled()).fit(X, Y)
    right = META[name](Plain()).fit(X, Y)
    np.testing.assert_allclose(found.predict_proba(X), right.predict_proba(X), atol=5e-3)
    assert right.predict_proba(X)[:, 1].std() > 0.05  # and not all the same
    if hasattr(right, "best_params_"):
        assert list(found.best_params_.values()) == list(right.best_params_.values())


def same_labels(found, right):
    assert np.mean(found == right) > 0.99
    assert 0.1 < np.mean(right) < 0.9


def test_voting_hard():
    models = [("b", GaussianNB()), ("c", LogisticRegression(C=0.001))]
    found = VotingClassifier([("a", distilled()), *models]).fit(X, Y).predict(X)
    same_labels(found, VotingClassifier([("a", Plain()), *models]).fit(X, Y).predict(X))


@pytest.mark.parametrize("scoring", ["f1", "balanced_accuracy"])
def test_a_tuned_threshold(scoring):
    options = {"scoring": scoring, "cv": 3, "thresholds": 21, "random_state": 0}
    found = TunedThresholdClassifierCV(distilled(), **options).fit(X, Y)
    right = TunedThresholdClassifierCV(Plain(), **options).fit(X, Y)
    assert found.best_threshold_ == pytest.approx(right.best_threshold_, abs=0.06)
    assert found.best_score_ == pytest.approx(right.best_score_, abs=0.01)


def test_one_vs_rest_and_several_outputs():
    """Each part learns from the same teacher, which knows two classes."""
    three = np.arange(N) % 3
    right = Plain().fit(X).predict_proba(X)[:, 1]
    found = OneVsRestClassifier(distilled()).fit(X, three)
    for part in found.estimators_:
        np.testing.assert_allclose(part.predict_proba(X)[:, 1], right, atol=5e-3)
    outputs = np.column_stack([Y, 1 - Y])
    both = MultiOutputClassifier(distilled()).fit(X, outputs)
    for each in both.predict_proba(X):
        np.testing.assert_allclose(each[:, 1], right, atol=5e-3)


@pytest.mark.parametrize("kind", [OneVsRestClassifier, OneVsOneClassifier, MultiOutputClassifier])
def test_as_teachers_and_students(kind):
    """A student without weights learns the teacher's likeliest classes."""
    three = np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])
    if kind is MultiOutputClassifier:
        with pytest.raises(ValueError, match="one output at a time"):
            PrivateDistiller(kind(GaussianNB()).fit(X, np.column_stack([Y, Y]))).fit(X)
        return
    teacher = kind(LogisticRegression()).fit(X, three)
    student = kind(LogisticRegression())
    found = PrivateDistiller(
        teacher, student, epsilon=HUGE, threshold=None, mechanism=SoftLabels(basis=None)
    ).fit(X)
    right = kind(LogisticRegression()).fit(X, teacher.predict(X))
    assert np.mean(found.predict(X) == right.predict(X)) > 0.98


def test_predictions_out_of_fold():
    found = cross_val_predict(distilled(), X, Y, cv=4, method="predict_proba")
    right = cross_val_predict(Plain(), X, Y, cv=4, method="predict_proba")
    np.testing.assert_allclose(found, right, atol=5e-3)


@pytest.mark.parametrize("name", ["voting, soft", "stacking", "bagging", "out of fold"])
def test_codes_of_labels_that_are_texts_are_no_unknown_labels(name):
    """These encode y and read probabilities; a warning about it would be a false alarm."""
    names = np.array(["no", "yes"])
    teacher = GaussianNB().fit(ROWS[N:], names[LABELS[N:]])
    model = distilled().set_params(teacher=teacher)
    if name == "out of fold":
        found = cross_val_predict(model, X, names[Y], cv=4, method="predict_proba")
        right = cross_val_predict(Plain(), X, Y, cv=4, method="predict_proba")
    else:
        found = META[name](model).fit(X, names[Y]).predict_proba(X)
        right = META[name](Plain()).fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(found, right, atol=1e-2)


def test_one_against_the_rest_of_a_teacher_of_three_texts_warns():
    names = np.array(["a", "b", "c"])[np.arange(N) % 3]
    model = distilled().set_params(teacher=GaussianNB().fit(X, names))
    with pytest.warns(UserWarning, match="labels that the teacher does not know"):
        OneVsRestClassifier(model).fit(X, names)


def test_permutation_importance():
    options = {"scoring": "neg_log_loss", "n_repeats": 3, "random_state": 0}
    found = permutation_importance(distilled().fit(X), X, Y, **options).importances_mean
    right = permutation_importance(Plain().fit(X), X, Y, **options).importances_mean
    np.testing.assert_allclose(found, right, atol=0.02 * right.max())
    assert right.max() > 0.05


@pytest.mark.parametrize("kind", ["average", "individual"])
def test_partial_dependence(kind):
    """Of a linear student the average is a line, whose slope is its weight."""
    fitted = distilled().fit(X)
    found = partial_dependence(fitted, X, [0], kind=kind, grid_resolution=20)
    right = partial_dependence(Plain().fit(X), X, [0], kind=kind, grid_resolution=20)
    np.testing.assert_allclose(found[kind], right[kind], atol=5e-3)


# ---------------------------------------------------------------------- weights and metadata

WEIGHTS = np.random.default_rng(0).uniform(0.1, 5, N) * (1 + 9 * (X[:, 0] > 0))


def test_sample_weight():
    found = distilled().fit(X, sample_weight=WEIGHTS).predict_proba(X)
    right = Plain().fit(X, sample_weight=WEIGHTS).predict_proba(X)
    np.testing.assert_allclose(found, right, atol=5e-3)
    assert np.abs(right - Plain().fit(X).predict_proba(X)).max() > 0.02


def _with_weights(around):
    """Build a meta-estimator whose other parts request weights or refuse them."""
    if around == "pipeline":
        scaler = StandardScaler(with_std=False).set_fit_request(sample_weight=False)
        return lambda m: make_pipeline(scaler, m)
    if around == "grid":
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=False)
        return lambda m: GridSearchCV(m, _grid(m), cv=3, scoring=scorer)
    other = ("b", GaussianNB().set_fit_request(sample_weight=True))
    if around == "stacking":
        return lambda m: StackingClassifier([("a", m), other], cv=3)
    return lambda m: VotingClassifier([("a", m), other], voting="soft")


@pytest.mark.parametrize("around", ["pipeline", "grid", "stacking", "voting"])
def test_metadata_is_routed_through(around):
    """From the outside to the student's fit, cut as the folds are."""
    with sklearn.config_context(enable_metadata_routing=True):
        student = Ridge().set_fit_request(sample_weight=True)
        build = _with_weights(around)
        found = build(distilled().set_params(student=student))
        right = build(Plain().set_fit_request(sample_weight=True))
        found.fit(X, Y, sample_weight=WEIGHTS)
        right.fit(X, Y, sample_weight=WEIGHTS)
        np.testing.assert_allclose(found.predict_proba(X), right.predict_proba(X), atol=5e-3)


# ------------------------------------------------------------------------------- containers


def frames():
    names = [f"x{j}" for j in range(5)]
    frame = pd.DataFrame(X, columns=names)
    yield "pandas", frame
    yield "nullable", frame.astype("Float64")
    yield "list", X.tolist()
    for kind in sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix:
        yield kind.__name__, kind(X)
    try:
        import polars as pl
    except ImportError:
        return
    yield "polars", pl.DataFrame(X, schema=names, orient="row")


@pytest.mark.parametrize(("name", "table"), [*frames()])
def test_containers(name, table):
    sparse = hasattr(table, "tocsr")
    teacher = LogisticRegression().fit(table if sparse else ROWS[N:], Y if sparse else LABELS[N:])
    found = PrivateDistiller(
        teacher, Ridge(), epsilon=HUGE, threshold=None, mechanism=SoftLabels(basis=None)
    ).fit(table)
    right = Ridge().fit(X, teacher.predict_proba(X)[:, 1])
    values = np.clip(right.predict(X), 0, 1)
    np.testing.assert_allclose(found.predict_proba(table)[:, 1], values, atol=5e-3)
    same_labels(found.predict(table), (values > 0.5).astype(int))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(library):
    pytest.importorskip(library)
    scaler = StandardScaler(with_std=False).set_output(transform=library)
    frame = pd.DataFrame(X, columns=list("abcde"))
    found = make_pipeline(scaler, distilled()).fit(frame, Y)
    right = make_pipeline(StandardScaler(with_std=False), Plain()).fit(X, Y)
    np.testing.assert_allclose(found.predict_proba(frame), right.predict_proba(X), atol=5e-3)
    assert list(found[-1].feature_names_in_) == list("abcde")
