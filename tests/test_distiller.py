"""PrivateDistiller: results, messages, and refusals."""

import json
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier, is_regressor
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import (
    PrivateDistiller,
    SoftLabels,
)
from skdistill.certificates import RowBound

HUGE = 1e7  # an ε whose noise none of these tests can see
pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


# ------------------------------------------------------------------------- any fitted teacher


@pytest.mark.parametrize(
    "teacher",
    [
        LogisticRegression(),
        RandomForestClassifier(20, random_state=0),
        GaussianNB(),
        SVC(),
        LinearSVC(),
        RidgeClassifier(),
        KNeighborsClassifier(),
        HistGradientBoostingClassifier(max_iter=20, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        SGDClassifier(random_state=0),
        BaggingClassifier(random_state=0),
    ],
    ids=lambda t: type(t).__name__,
)
@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array(["no", "yes"])], ids=["int", "str"])
def test_a_student_learns_from_any_classifier(binary, teacher, labels):
    X, y, X_public, y_public, _ = binary
    teacher = teacher.fit(X, labels[y])
    distiller = PrivateDistiller(teacher, epsilon=HUGE).fit(X_public)
    assert np.array_equal(distiller.classes_, labels)
    agreement = np.mean(distiller.predict(X_public) == teacher.predict(X_public))
    assert agreement > 0.85
    assert distiller.score(X_public, labels[y_public]) > 0.8
    assert distiller.predict_proba(X_public).shape == (len(X_public), 2)


def test_three_classes_with_gaps_in_their_labels():
    X, y = load_iris(return_X_y=True)
    labels = np.array([10, 7, 42])[y]
    teacher = LogisticRegression(max_iter=1000).fit(X, labels)
    distiller = PrivateDistiller(teacher, epsilon=HUGE).fit(X)
    assert distiller.classes_.tolist() == [7, 10, 42]
    assert f1_score(labels, distiller.predict(X), average="macro") > 0.9


class HardOnly(ClassifierMixin, BaseEstimator):
    """A third-party classifier that has nothing but predict."""

    def fit(self, X, y):
        self.inner_ = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X):
        return self.inner_.predict(X)


def test_hard_labels_are_soft_labels_too(binary):
    X, y, X_public, _, _ = binary
    teacher = HardOnly().fit(X, y)
    distiller = PrivateDistiller(teacher, epsilon=float("inf")).fit(X_public)
    assert set(np.unique(distiller.released_labels_)) == {0.0, 1.0}
    assert np.mean(distiller.predict(X_public) == teacher.predict(X_public)) > 0.8


def test_regression(regression):
    _, _, X_public, y_public, teacher = regression
    distiller = PrivateDistiller(teacher, epsilon=HUGE, output_range=(-500, 500)).fit(X_public)
    assert is_regressor(distiller)
    assert not is_classifier(distiller)
    assert distiller.score(X_public, y_public) > 0.95
    assert distiller.released_labels_.shape == (len(X_public),)
    assert not hasattr(distiller, "predict_proba")
    assert not hasattr(distiller, "classes_")


def test_outputs_outside_the_range_are_clipped(regression):
    _, _, X_public, _, teacher = regression
    labels = PrivateDistiller(teacher, epsilon=HUGE, output_range=(-50, 100)).release(X_public)
    assert labels.min() > -51
    assert labels.max() < 101


# ------------------------------------------------------------------------------ any student


@pytest.mark.parametrize(
    "student",
    [
        None,
        LogisticRegression(max_iter=1000),
        make_pipeline(StandardScaler(), LogisticRegression()),
        DecisionTreeClassifier(max_depth=4),
        RandomForestClassifier(20),
        SVC(),
        KNeighborsClassifier(),
        Ridge(),
        DecisionTreeRegressor(max_depth=4),
        HistGradientBoostingRegressor(max_iter=30),
        make_pipeline(StandardScaler(), Ridge()),
        LinearSVC(),
    ],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_any_student_learns(student, n_classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < n_classes], y[y < n_classes]
    teacher = LogisticRegression(max_iter=1000).fit(X, y)
    distiller = PrivateDistiller(teacher, student, epsilon=HUGE, random_state=0).fit(X)
    assert distiller.score(X, y) > 0.85
    if hasattr(distiller, "predict_proba"):
        p = distiller.predict_proba(X)
        assert p.shape == (len(X), n_classes)
        assert (p >= 0).all()
        assert np.allclose(p.sum(axis=1), 1)
        assert np.allclose(np.exp(distiller.predict_log_proba(X)), p)
    if student is not None and is_classifier(student):
        assert hasattr(distiller, "decision_function") == hasattr(student, "decision_function")


def test_the_student_passed_is_not_touched(binary):
    *_, X_public, _, teacher = binary
    student = LogisticRegression()
    before = vars(student).copy()
    distiller = PrivateDistiller(teacher, student, epsilon=HUGE).fit(X_public)
    assert vars(student) == before
    assert distiller.student_ is not student


def test_a_rare_class_does_not_vanish():
    rng = np.random.default_rng(0)
    y = (rng.random(8000) < 0.05).astype(int)
    X = rng.normal(size=(8000, 5)) + 1.2 * y[:, None] * np.array([1, 1, 0, 0, 0])
    teacher = LogisticRegression().fit(X[:4000], y[:4000])
    at_half = PrivateDistiller(teacher, epsilon=HUGE, threshold=0.5).fit(X[4000:])
    matched = PrivateDistiller(teacher, epsilon=HUGE).fit(X[4000:])
    assert matched.class_prior_[1] == pytest.approx(y[:4000].mean(), abs=0.02)
    assert matched.predict(X[4000:]).mean() == pytest.approx(matched.class_prior_[1], abs=0.002)
    assert f1_score(y[4000:], matched.predict(X[4000:])) > 1.2 * f1_score(
        y[4000:], at_half.predict(X[4000:])
    )


def test_the_share_is_matched_on_part_of_a_large_transfer_set(binary, monkeypatch):
    monkeypatch.setattr("skdistill.students.training._MOST_MATCHED", 100)
    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=HUGE).fit(X_public)
    part = distiller.predict(X_public[::3])  # 300 rows, so every third
    assert part.mean() == pytest.approx(distiller.class_prior_[1], abs=0.006)


@pytest.mark.parametrize("student", [LogisticRegression(), Ridge(), LinearSVC()])
def test_thresholds(binary, student):
    *_, X_public, _, teacher = binary
    own = PrivateDistiller(teacher, student, epsilon=HUGE, threshold=None).fit(X_public)
    if is_classifier(student):
        assert np.array_equal(own.predict(X_public), own.student_.predict(X_public))
    assert own.decision_offsets_ is None
    high = PrivateDistiller(teacher, student, epsilon=HUGE, threshold=0.9)
    if isinstance(student, LinearSVC):
        with pytest.raises(ValueError, match="needs a student with predict_proba"):
            high.fit(X_public)
        return
    high.fit(X_public)
    scores = high.student_.predict(X_public)
    if is_classifier(student):
        scores = high.predict_proba(X_public)[:, 1]
    assert np.array_equal(high.predict(X_public), (scores > 0.9).astype(int))


def test_margins_of_many_classes_are_left_to_the_student():
    X, y = load_iris(return_X_y=True)
    teacher = LogisticRegression(max_iter=1000).fit(X, y)
    distiller = PrivateDistiller(teacher, SVC(), epsilon=HUGE).fit(X)
    assert distiller.decision_offsets_ is None
    assert np.mean(distiller.predict(X) == distiller.student_.predict(X)) > 0.98


# ----------------------------------------------------------------------------- the statement


def test_the_statement(binary):
    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=2.0, delta=1e-5).fit(X_public)
    statement = distiller.privacy_
    assert (statement.epsilon, statement.delta) == (2.0, 1e-5)
    assert 0 < statement.mu < 1
    assert statement.private
    assert statement.n_queries == len(X_public)
    assert statement.mechanism == "gaussian"
    assert statement.certificate["name"] == "worst case"
    assert json.loads(statement.to_json())["epsilon"] == 2.0
    assert statement == PrivateDistiller(teacher, epsilon=2.0, delta=1e-5).preview(X_public)


def test_infinite_epsilon_is_plain_distillation(binary):
    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=float("inf")).fit(X_public)
    assert np.allclose(distiller.released_labels_, teacher.predict_proba(X_public))
    assert not distiller.privacy_.private
    assert "NO differential privacy" in str(distiller.privacy_)


def test_infinite_epsilon_needs_no_output_range(regression):
    *_, X_public, _, teacher = regression
    distiller = PrivateDistiller(teacher, epsilon=float("inf")).fit(X_public)
    assert np.allclose(distiller.released_labels_, teacher.predict(X_public))


def test_seeded_noise_is_never_called_private(binary):
    from skdistill.testing import no_noise, seeded_noise

    *_, X_public, _, teacher = binary
    for harness in (lambda: seeded_noise(0), no_noise):
        with harness():
            assert not PrivateDistiller(teacher).fit(X_public).privacy_.private
    with seeded_noise(1):
        a = PrivateDistiller(teacher).release(X_public)
    with seeded_noise(1):
        b = PrivateDistiller(teacher).release(X_public)
    assert np.array_equal(a, b)


def test_the_reference_sampler_says_that_it_is_not_exact(binary):
    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(
        teacher, epsilon=HUGE, mechanism=SoftLabels(sampler="diffprivlib")
    ).fit(X_public)
    assert not distiller.privacy_.private
    assert "floating-point" in str(distiller.privacy_)
    assert np.allclose(distiller.released_labels_, teacher.predict_proba(X_public), atol=0.1)


@pytest.mark.parametrize(
    ("options", "mechanism"),
    [
        ({"delta": 0.0}, "laplace"),
        ({"delta": 1e-6}, "gaussian"),
        ({"delta": 1e-6, "max_queries": 1}, "laplace"),
        ({"delta": 1e-6, "mechanism": "laplace"}, "laplace"),
    ],
)
def test_auto_takes_the_mechanism_with_less_noise(binary, options, mechanism):
    *_, X_public, _, teacher = binary
    statement = PrivateDistiller(teacher, **options).preview(X_public)
    assert statement.mechanism == mechanism
    assert statement.delta == (0.0 if mechanism == "laplace" else 1e-6)


def test_noise_that_drowns_the_labels_is_announced_with_both_numbers(binary):
    *_, X_public, _, teacher = binary
    with pytest.warns(UserWarning, match=r"deviation 103 .* at most 0\.5 .*NewtonClassifier"):
        PrivateDistiller(teacher, epsilon=1.0, delta=1e-6).fit(X_public)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "This teacher has answered before")
        PrivateDistiller(teacher, epsilon=1e5).fit(X_public)


def test_a_users_certificate_is_used_and_named_as_an_assumption(binary):
    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=HUGE, certificate=RowBound(1e-3, 1e-3))
    statement = distiller.fit(X_public).privacy_
    assert statement.certificate["name"] == "user-supplied"
    assert any("certificate" in text for text in statement.assumes)


def test_a_teacher_that_is_private_already_costs_nothing(binary):
    from skdistill.accounting import BudgetAccountant

    *_, X_public, _, teacher = binary
    first = PrivateDistiller(teacher, epsilon=3.0, delta=1e-5).fit(X_public)
    accountant = BudgetAccountant(1e-6, 0.0)
    second = PrivateDistiller(first, Ridge(), epsilon=5.0, accountant=accountant).fit(X_public)
    assert (second.privacy_.epsilon, second.privacy_.delta) == (3.0, 1e-5)
    assert second.privacy_.mechanism == "post-processing"
    assert np.allclose(second.released_labels_, first.predict_proba(X_public))
    assert accountant.total() == (0, 0)
    with pytest.warns(UserWarning, match="already spent"):
        PrivateDistiller(first, epsilon=1.0).fit(X_public)


def test_max_queries_labels_a_random_subset(binary):
    *_, X_public, _, teacher = binary
    a, b = (
        PrivateDistiller(teacher, epsilon=HUGE, max_queries=40, random_state=s).fit(X_public)
        for s in (0, 1)
    )
    assert a.privacy_.n_queries == len(a.query_indices_) == len(a.released_labels_) == 40
    assert len(set(a.query_indices_)) == 40
    assert not np.array_equal(a.query_indices_, b.query_indices_)
    assert len(PrivateDistiller(teacher, epsilon=HUGE, max_queries=10**6).fit(X_public)
               .released_labels_) == len(X_public)  # fmt: skip


def test_temperature_softens(binary):
    *_, X_public, _, teacher = binary
    hot = PrivateDistiller(
        teacher, epsilon=float("inf"), mechanism=SoftLabels(temperature=5.0)
    ).release(X_public)
    p = teacher.predict_proba(X_public) ** 0.2
    assert np.allclose(hot, p / p.sum(axis=1, keepdims=True))


def test_temperature_is_refused_where_it_would_void_the_proof(binary):
    X, y, X_public, _, _ = binary
    teacher = KNeighborsClassifier(25).fit(X, y)
    with pytest.raises(ValueError, match="Use temperature=1"):
        PrivateDistiller(teacher, mechanism=SoftLabels(temperature=2.0)).fit(X_public)


def test_threads_give_the_same_labels_up_to_noise(binary):
    *_, X_public, _, teacher = binary
    X = np.tile(X_public, (1000, 1))
    labels = PrivateDistiller(teacher, epsilon=1e12, n_jobs=2).release(X)
    assert labels.shape == (300_000, 2)
    assert np.allclose(labels, teacher.predict_proba(X), atol=1e-3)
