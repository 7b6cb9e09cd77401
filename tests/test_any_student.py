"""Students and teachers of less usual kinds: ensembles, margins, frames, and those that fail."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.metaestimators import available_if

from skdistill import (
    NewtonClassifier,
    NewtonRegressor,
    PrivacyLedger,
    PrivateClassifier,
    PrivateDistiller,
    Schema,
)

ENSEMBLES = (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)


@pytest.fixture(scope="module")
def numbers():
    X = np.random.default_rng(0).normal(size=(3000, 3))
    return X, X[:, 0] - X[:, 1] / 2


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_an_ensemble_that_is_not_fitted_is_a_student(kind, numbers):
    """Its length raises, so its truth must not be asked for."""
    X, y = numbers
    teacher = NewtonRegressor(output_range=(-6, 6)).fit(X, y)
    student = kind(n_estimators=5)
    model = PrivateDistiller(teacher, student, epsilon=50.0).fit(X[:500])
    assert type(model.student_) is kind
    assert model.score(X[2000:], y[2000:]) > 0.5


@pytest.mark.parametrize("kind", [StackingClassifier, StackingRegressor])
def test_a_stacking_model_is_a_student_before_it_has_a_method_predict(kind, numbers):
    X, y = numbers
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, (y > 0).astype(int))
    parts = LogisticRegression() if kind is StackingClassifier else LinearRegression()
    model = PrivateDistiller(teacher, kind([("a", parts)]), epsilon=50.0).fit(X[:500])
    assert type(model.student_) is kind
    assert model.score(X[2000:], y[2000:] > 0) > 0.8  # 0.96 and more


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("teacher", [LinearSVC(), SVC(), RidgeClassifier()], ids=repr)
def test_margins_say_nothing_of_the_prior(teacher, n_classes):
    """Their sigmoids are pulled to the middle, and so would be the share of each class."""
    shares = [0.85, *[0.15 / (n_classes - 1)] * (n_classes - 1)]
    X, y = make_classification(
        *(4000, 8), n_informative=6, n_redundant=0, n_classes=n_classes, class_sep=2.0,
        n_clusters_per_class=1, weights=shares, random_state=0,
    )  # fmt: skip
    teacher.fit(X[:2000], y[:2000])
    model = PrivateDistiller(teacher, epsilon=float("inf")).fit(X[2000:])
    same = np.mean(model.predict(X[2000:]) == teacher.predict(X[2000:]))
    assert same > 0.95  # below .9 with the mean as a prior
    pipeline = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), teacher)
    pipeline.fit(X[:2000], y[:2000])
    again = PrivateDistiller(pipeline, epsilon=float("inf")).fit(X[2000:])
    assert np.mean(again.predict(X[2000:]) == pipeline.predict(X[2000:])) > 0.95


class SoftOrNot(SVC):
    """Has probabilities where one record lets it, as a search has its best estimator's."""

    @available_if(lambda self: getattr(self, "soft_", False))
    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def fit(self, X, y):
        self.soft_ = X.max() > 900
        return super().fit(X, y)


class Unclonable(SoftOrNot):
    def __sklearn_clone__(self):
        raise RuntimeError("no clone")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda each: each,
        FrozenEstimator,
        lambda each: make_pipeline(FrozenEstimator(StandardScaler()), FrozenEstimator(each)),
        lambda each: GridSearchCV(
            Pipeline([("m", SVC())]), {"m": [RidgeClassifier(), LogisticRegression()]}, cv=2,
            refit=lambda results: int(each.soft_),
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [SoftOrNot, Unclonable])
def test_whether_one_record_gave_a_teacher_probabilities_is_not_told(kind, wrap):
    """The classes' shares moved the threshold, or did not: one bit without any noise."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), np.arange(300) % 2
    moved, soft = [], []
    for largest in (1.0, 1e3):
        X[7, 0] = largest
        inner = kind().fit(X, y)
        teacher = wrap(inner)
        if isinstance(teacher, GridSearchCV):
            teacher.fit(X, y)
        elif not isinstance(teacher, (FrozenEstimator, SVC)):
            teacher[0].estimator.fit(X)
        soft.append(hasattr(teacher, "predict_proba"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mostly noise
            model = PrivateDistiller(teacher, epsilon=0.1).fit(X[:50])
        moved.append(model.decision_offsets_ is None)
    assert soft == [False, True]
    assert moved[0] == moved[1]


@pytest.mark.parametrize(
    "student", [StandardScaler(), make_pipeline(StandardScaler()), KMeans(2), DBSCAN()], ids=repr
)
def test_what_predicts_no_labels_is_refused_before_the_charge(student, numbers):
    X, y = numbers
    ledger = PrivacyLedger.create(":memory:", 10.0, 1e-4)
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, y > 0)
    with pytest.raises(TypeError, match="it predicts no labels"):
        PrivateDistiller(teacher, student, accountant=ledger).fit(X)
    assert not len(ledger.history())


class Fails(LogisticRegression):
    """Learns made-up labels, and not those that come later."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None):
        Fails.n_fits += 1
        if Fails.n_fits > Fails.most:
            raise ValueError("no more")
        return super().fit(X, y, sample_weight)


def test_an_exception_after_the_charge_says_what_to_do(numbers):
    X, y = numbers
    ledger = PrivacyLedger.create(":memory:", 10.0, 1e-4)
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, y > 0)
    Fails.most = 0
    model = PrivateDistiller(teacher, Fails(), accountant=ledger)
    with pytest.raises(ValueError, match="no more"):
        model.fit(X[:500])
    assert not len(ledger.history())
    Fails.n_fits, Fails.most = 0, 1
    with pytest.raises(ValueError, match="no more") as caught:
        model.fit(X[:500])
    assert "the charge stays" in "".join(caught.value.__notes__)
    spent = ledger.total()
    assert spent[0] > 0
    model.set_params(student=LogisticRegression()).fit(X[:500])
    assert ledger.total() == spent


def test_a_ledger_replays_a_part_of_the_rows_without_a_random_state(numbers):
    X, y = numbers
    teacher = KNeighborsClassifier(100).fit(X[:2000], y[:2000] > 0)
    ledger = PrivacyLedger.create(":memory:", 10.0, 1e-4)
    model = PrivateDistiller(teacher, max_queries=200, epsilon=4.0, accountant=ledger)
    first = model.fit(X[2000:]).query_indices_
    spent = ledger.total()
    for C in (0.1, 1.0):
        model.set_params(student=LogisticRegression(C=C)).fit(X[2000:])
        assert np.array_equal(model.query_indices_, first)
    assert ledger.total() == spent
    other = model.set_params(random_state=1).fit(X[2000:]).query_indices_
    assert not np.array_equal(other, first)
    free = PrivateDistiller(teacher, max_queries=200, epsilon=4.0)
    drawn = {tuple(free.fit(X[2000:]).query_indices_) for _ in range(2)}
    assert len(drawn) == 2


def test_a_released_model_knows_the_names_of_its_columns(numbers):
    X, y = numbers
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    classifier = NewtonClassifier(classes=[0, 1]).fit(frame, y > 0)
    regressor = NewtonRegressor(output_range=(-6, 6)).fit(frame, y)
    scaler = FrozenEstimator(StandardScaler().set_output(transform="pandas").fit(frame))
    pipeline = make_pipeline(scaler, NewtonClassifier(classes=[0, 1])).fit(frame, y > 0)
    for teacher in (classifier, regressor, pipeline):
        model = PrivateDistiller(teacher, epsilon=4.0).fit(frame)
        for each in (model, model.student_, model.export()):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                each.predict(frame)
        assert list(model.feature_names_in_) == ["a", "b", "c"]


def test_no_row_is_shown_where_a_number_is_asked_for():
    model = PrivateClassifier(schema=Schema({"a": (0, 9)}), classes=[0, 1])
    with pytest.raises(TypeError, match=r"n_records=<.*> must be") as caught:
        model.preview(pd.DataFrame({"a": [31415.9]}))
    assert "31415" not in str(caught.value)
