"""PrivateDistiller: what it refuses and warns of, and when: before anything is charged."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from bounded_means import BoundedMeans
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import (
    NewtonClassifier,
    NewtonRegressor,
    PrivacyLedger,
    PrivateDistiller,
    ResidualRounds,
    SoftLabels,
    TeacherEnsemble,
)

pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]

HUGE = 1e7  # an ε whose noise none of these tests can see
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


def test_settings_of_the_other_task_are_said_to_do_nothing(regression):
    X, y, X_public, *_ = regression
    numbers = NewtonRegressor(output_range=(-500, 500)).fit(X, y)
    classes = NewtonClassifier([False, True]).fit(X, y > 0)
    for teacher, setting in (numbers, {"threshold": 0.3}), (classes, {"output_range": (0, 1)}):
        with pytest.warns(UserWarning, match=f"^{next(iter(setting))} is for .* it does nothing"):
            PrivateDistiller(teacher, epsilon=HUGE, **setting).fit(X_public)


@pytest.mark.parametrize("student", ["lr", 3, LogisticRegression, StandardScaler()])
def test_what_is_no_student_is_named_before_the_charge(student, regression):
    """A text raised AttributeError about tags, and a class TypeError about `self`."""
    X, y, X_public, *_ = regression
    teacher = NewtonRegressor(output_range=(-500, 500)).fit(X, y)
    with pytest.raises(TypeError, match="cannot be a student"):
        PrivateDistiller(teacher, student).fit(X_public)


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


@pytest.mark.parametrize("cells", [["a", "b"], [1.0, np.nan]])
def test_text_and_gaps_under_gradient_rounds_name_their_cure(cells):
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-3)
    X = pd.DataFrame({"x": np.arange(40.0), "job": cells * 20})
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match="TableFeatures"):
        PrivateDistiller(teacher, accountant=ledger).fit(X.copy())
    assert len(ledger) == 0
