"""PrivateDistiller: results, messages, and refusals."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from bounded_means import BoundedMeans
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import (
    PrivacyLedger,
    PrivateDistiller,
    ResidualRounds,
    SoftLabels,
    TeacherEnsemble,
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


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epsilon": math.nan}, ValueError, "epsilon=nan"),
        ({"epsilon": True}, TypeError, "epsilon=True is not a number"),
        ({"epsilon": "1"}, TypeError, "epsilon='1' is not a number"),
        ({"epsilon": -1.0}, ValueError, "positive"),
        ({"epsilon": 0}, ValueError, "positive"),
        ({"epsilon": 1e-310}, ValueError, "out of range"),
        ({"delta": 1.0}, ValueError, "delta"),
        ({"delta": -1e-9}, ValueError, "delta"),
        ({"delta": math.nan}, ValueError, "delta"),
        ({"delta": 1e-310}, ValueError, "subnormal"),
        ({"delta": False}, TypeError, "delta"),
        ({"mechanism": "normal"}, ValueError, "unknown"),
        ({"mechanism": "gaussian", "delta": 0}, ValueError, 'mechanism="laplace"'),
        ({"mechanism": "noisy_max"}, ValueError, "needs a TeacherEnsemble"),
        ({"mechanism": "confident_max"}, ValueError, "needs a TeacherEnsemble"),
        ({"mechanism": "confident_max", "delta": 0}, ValueError, "needs a TeacherEnsemble"),
        ({"mechanism": ResidualRounds(2)}, ValueError, "needs a TeacherEnsemble"),
        ({"mechanism": ResidualRounds(0)}, ValueError, "from 1 to 8"),
        ({"mechanism": ResidualRounds(True)}, ValueError, "from 1 to 8"),
        ({"mechanism": ResidualRounds("many")}, ValueError, "from 1 to 8"),
        ({"mechanism": ResidualRounds(basis="fourier")}, ValueError, "basis"),
        ({"mechanism": ResidualRounds(2, None)}, ValueError, "residual rounds need a basis"),
        ({"mechanism": SoftLabels(temperature=0)}, ValueError, "temperature"),
        ({"mechanism": SoftLabels(temperature=math.inf)}, ValueError, "temperature"),
        ({"threshold": "half"}, ValueError, "threshold"),
        ({"threshold": 1.0}, ValueError, "threshold"),
        ({"max_queries": 0}, ValueError, "max_queries"),
        ({"max_queries": 1.5}, TypeError, "max_queries"),
        ({"max_queries": True}, TypeError, "max_queries"),
        ({"output_range": (1, 0)}, ValueError, "low < high"),
        ({"output_range": (0, math.inf)}, ValueError, "finite"),
        ({"output_range": 3}, ValueError, "two finite numbers"),
        ({"output_range": (-1.7e308, 1.7e308)}, ValueError, "width"),
        ({"certificate": "worst"}, TypeError, "certificate"),
        ({"accountant": "mine"}, TypeError, "spend"),
        ({"mechanism": SoftLabels(sampler="numpy")}, ValueError, "sampler"),
    ],
)
def test_bad_parameters_are_refused_with_a_way_out(binary, options, error, message):
    *_, X_public, _, teacher = binary
    with pytest.raises(error, match=message):
        PrivateDistiller(teacher, **options).fit(X_public)


def test_infinite_epsilon_with_an_accountant_is_refused(binary):
    from skdistill.accounting import BudgetAccountant

    *_, X_public, _, teacher = binary
    with pytest.raises(ValueError, match="no cost that an accountant could record"):
        PrivateDistiller(teacher, epsilon=math.inf, accountant=BudgetAccountant()).fit(X_public)


def test_regression_needs_an_output_range(regression):
    *_, X_public, _, teacher = regression
    with pytest.raises(ValueError, match=r"output_range=\(low, high\)"):
        PrivateDistiller(teacher).fit(X_public)


@pytest.mark.parametrize(
    ("teacher", "error", "message"),
    [
        (LogisticRegression(), NotFittedError, "FrozenEstimator"),
        (FrozenEstimator(LogisticRegression()), NotFittedError, "not fitted"),
        (LogisticRegression, TypeError, "instance"),
        (None, TypeError, "not a fitted estimator"),
        ("teacher", TypeError, "not a fitted estimator"),
        (KMeans(2).fit(np.eye(3)), TypeError, "neither a classifier nor a regressor"),
        (
            MultiOutputClassifier(GaussianNB()).fit(np.eye(4), np.eye(4)[:, :2]),
            ValueError,
            "multi",
        ),
        (
            KNeighborsClassifier(1).fit(np.eye(4), np.eye(4)[:, :2]),
            ValueError,
            "one output at a time",
        ),
        (DecisionTreeClassifier().fit(np.eye(4), np.ones(4)), ValueError, "1 class"),
    ],
)
def test_what_cannot_teach_is_refused(teacher, error, message):
    with pytest.raises(error, match=message):
        PrivateDistiller(teacher).fit(np.eye(4))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 4)), "minimum of 1"),
        ([], "minimum of 1"),
        (np.ones((5, 3)), "3 features"),
        (np.ones(4), "Reshape your data"),
        (np.full((5, 4), np.nan), "NaN"),
    ],
)
def test_bad_transfer_sets_are_refused_before_anything_is_charged(binary, X, message):
    from skdistill.accounting import BudgetAccountant

    accountant = BudgetAccountant()
    with pytest.raises(ValueError, match=message):
        PrivateDistiller(binary[-1], accountant=accountant).fit(X)
    assert accountant.total() == (0, 0)


def test_y_is_unused_but_its_length_is_checked(binary):
    *_, X_public, _, teacher = binary
    with pytest.raises(ValueError, match="inconsistent"):
        PrivateDistiller(teacher).fit(X_public, np.ones(3))


@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
def test_labels_that_the_teacher_does_not_know_are_warned_of(binary, container):
    X, y = np.asarray(binary[0]), np.where(binary[1], "yes", "no")
    distiller = PrivateDistiller(LogisticRegression().fit(X, y), epsilon=float("inf"))
    with pytest.warns(UserWarning, match="such as .'churn', 'stay'.; it knows .'no', 'yes'"):
        distiller.fit(X, container(np.where(y == "yes", "churn", "stay")))
    distiller.fit(X, container(y))  # warnings are errors here


FIT_PARAMS = {
    "length": ({"logisticregression__sample_weight": np.ones(7)}, "7 entries"),
    "no step": ({"sample_weight": np.ones(300)}, "write step__parameter"),
    "unknown step": ({"ridge__sample_weight": np.ones(300)}, "logisticregression"),
    "misspelt": ({"logisticregression__sample_wieght": np.ones(300)}, "sample_weight"),
}


@pytest.mark.parametrize("name", FIT_PARAMS)
def test_fit_parameters_that_cannot_be_are_refused_before_the_charge(binary, name):
    teacher, X = LogisticRegression().fit(*binary[:2]), np.asarray(binary[0])[:300]
    params, message = FIT_PARAMS[name]
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-5)
    student = make_pipeline(StandardScaler(), LogisticRegression())
    distiller = PrivateDistiller(teacher, student, accountant=ledger)
    with pytest.raises((ValueError, TypeError), match=message):
        distiller.fit(X, **params)
    assert len(ledger) == 0
    distiller.fit(X, logisticregression__sample_weight=np.ones(300))


def test_columns_must_be_the_teachers():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    teacher = LogisticRegression().fit(frame, frame["a"] > 0)
    with pytest.raises(ValueError, match=r"missing \['a'\], unexpected \['c'\]"):
        PrivateDistiller(teacher).fit(frame.rename(columns={"a": "c"}))
    with pytest.raises(ValueError, match="other order"):
        PrivateDistiller(teacher).fit(frame[["b", "a"]])
    fitted = PrivateDistiller(teacher, epsilon=HUGE).fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["b", "a"]])


def test_methods_need_a_fit(binary):
    *_, X_public, _, teacher = binary
    with pytest.raises(NotFittedError):
        PrivateDistiller(teacher).predict(X_public)


# ---------------------------------------------------------- found out before anything is charged


@pytest.mark.parametrize(("text", "frame"), [(True, False), (False, False), (False, True)])
def test_cells_the_default_student_cannot_take_are_found_before_the_charge(text, frame):
    """The teacher takes them; a linear model of numbers does not."""
    from skdistill.accounting import BudgetAccountant

    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), rng.choice([0.0, 1.0, np.nan], 300)])
    y = (X[:, 0] > 0).astype(int)
    teacher = HistGradientBoostingClassifier(max_iter=5).fit(X, y)
    if text:
        X = np.array([[str(cell) for cell in row] for row in X], dtype=object)
        X[:, 1] = "Oslo"
        encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [1]))
        teacher = make_pipeline(encode, LogisticRegression()).fit(X, y)
    if frame:
        X = pytest.importorskip("pandas").DataFrame(X)
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, epsilon=1e6, accountant=accountant)
    with pytest.raises(ValueError, match="not numbers" if text else "NaN"):
        distiller.fit(X)
    assert len(accountant) == 0
    if text:
        distiller.set_params(student=make_pipeline(clone(encode), LogisticRegression()))
    else:
        distiller.set_params(student=HistGradientBoostingClassifier(max_iter=5))
    assert len(distiller.fit(X).accountant) == 1


class Tolerant(LogisticRegression):
    """Somebody's own student, which takes NaN and does not say so in its tags."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(np.nan_to_num(X), y, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(np.nan_to_num(X))


def test_what_others_estimators_take_is_theirs_to_say():
    X = np.where(np.random.default_rng(0).random((300, 2)) < 0.1, np.nan, 1.0)
    teacher = HistGradientBoostingClassifier(max_iter=5).fit(X, np.isnan(X[:, 0]))
    distiller = PrivateDistiller(teacher, Tolerant(), epsilon=HUGE).fit(X)
    assert distiller.score(X, np.isnan(X[:, 0])) > 0.9


def advice(teacher, X, **settings):
    with warnings.catch_warnings(record=True) as caught:  # so much noise may bring others as well
        warnings.simplefilter("always")
        PrivateDistiller(teacher, epsilon=1e-3, **settings).fit(X)
    (said,) = [str(each.message) for each in caught if "mostly noise" in str(each.message)]
    return said


def test_the_warning_says_what_helps_for_this_teacher(binary):
    X_private, y_private, X_public, _, ordinary = binary
    stable = BoundedMeans(classes=[0, 1])
    shards = TeacherEnsemble(LogisticRegression(), 20, classes=[0, 1]).fit(X_private, y_private)
    scaled = make_pipeline(StandardScaler(), stable).fit(X_private, y_private)
    stable = clone(stable).fit(X_private, y_private)

    assert "skdistill.refit(teacher, X_private, y_private)" in advice(ordinary, X_public)
    said = advice(stable, X_public)
    assert "parameters one record moves less" in said
    assert "fewer rows" not in said  # the price of parameters does not know of rows
    assert "basis" in advice(shards, X_public, mechanism=ResidualRounds(1, None))
    said = advice(shards, X_public, mechanism=ResidualRounds(2))
    assert "more teachers" in said
    assert "basis" not in said
    said = advice(scaled, X_public)
    assert "fitted together with the BoundedMeans" in said
    assert "FrozenEstimator" in said


def test_the_warning_knows_regressors(regression):
    X_private, y_private, X_public, *_ = regression
    settings = {"output_range": (-500, 500)}
    ordinary = make_pipeline(StandardScaler(), Ridge()).fit(X_private, y_private)
    assert "skdistill.refit(teacher, X_private, y_private)" in advice(
        ordinary, X_public, **settings
    )
    shards = make_pipeline(StandardScaler(), TeacherEnsemble(Ridge(), 20))
    said = advice(shards.fit(X_private, y_private), X_public, **settings)
    assert "fitted together with the TeacherEnsemble" in said


def test_images_and_the_default_student_are_told_apart_before_the_charge():
    from skdistill.accounting import BudgetAccountant

    flatten = FunctionTransformer(lambda images: images.reshape(len(images), -1))
    X = np.random.default_rng(0).normal(size=(100, 4, 4))
    y = X[:, 0, 0] > 0
    teacher = make_pipeline(flatten, LogisticRegression()).fit(X, y)
    accountant = BudgetAccountant()
    with pytest.raises(ValueError, match=r"shape \(100, 4, 4\)"):
        PrivateDistiller(teacher, epsilon=HUGE, accountant=accountant).fit(X)
    assert len(accountant) == 0
    student = make_pipeline(flatten, LogisticRegression())
    assert PrivateDistiller(teacher, student, epsilon=HUGE).fit(X).score(X, y) > 0.8


def test_release_trains_no_student_and_takes_any_cells():
    X = np.array([["Oslo"], ["Bergen"]] * 50, dtype=object)
    teacher = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(X, [0, 1] * 50)
    labels = PrivateDistiller(teacher, epsilon=HUGE).release(X)
    assert labels.shape == (100, 2)
    with pytest.raises(ValueError, match="not numbers"):
        PrivateDistiller(teacher, epsilon=HUGE).fit(X)


# --------------------------------------------- a statement and the student that it is about


class Stubborn(LogisticRegression):
    """Does not train at all, once told so."""

    broken = False

    def fit(self, X, y, sample_weight=None):
        if type(self).broken:
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)


def test_a_fit_that_fails_leaves_the_earlier_one_whole(binary, monkeypatch):
    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, Stubborn(), epsilon=0.1).fit(X_public)
    assert distiller.privacy_.epsilon == 0.1
    before = {name: value for name, value in vars(distiller).items() if name.endswith("_")}

    monkeypatch.setattr(Stubborn, "broken", True)
    with pytest.raises(KeyboardInterrupt):
        distiller.set_params(epsilon=1e6).fit(X_public)
    monkeypatch.setattr(Stubborn, "broken", False)
    monkeypatch.setattr("skdistill.distiller.match_threshold", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # after the student, before the statement
        distiller.fit(X_public)
    after = {name: value for name, value in vars(distiller).items() if name.endswith("_")}
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert distiller.export().statement.epsilon == 0.1


def test_a_refused_charge_leaves_the_earlier_fit_alone(binary):
    from skdistill.accounting import BudgetAccountant

    *_, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=1.0, delta=0, accountant=BudgetAccountant(1.5, 0))
    student = distiller.fit(X_public).student_
    with pytest.raises(Exception, match="budget"):
        distiller.fit(X_public)
    assert distiller.student_ is student
    assert distiller.privacy_.epsilon == 1.0
