"""The rehearsal of a student: its own error, whole, before anything is charged."""

import random
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from matrices import some
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.linear_model import Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from skdistill import (
    NewtonClassifier,
    NewtonRegressor,
    PrivacyLedger,
    PrivateDistiller,
    TeacherEnsemble,
)
from skdistill.accounting import BudgetAccountant
from skdistill.students import rehearse

pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]

N = 900


def table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["age", "size", "hours"])
    return frame, np.where(frame["age"] + rng.normal(size=n) > 0, 1, 0)


X_PRIVATE, Y_PRIVATE = table()
X_PUBLIC, _ = table(seed=1)
TEACHERS = {
    "ensemble": TeacherEnsemble(LogisticRegression(), 5, classes=[0, 1]),
    "newton": NewtonClassifier(classes=[0, 1]),
    "worst case": LogisticRegression(),
}
REGRESSION_TEACHERS = {
    "ensemble": TeacherEnsemble(Ridge(), 5),
    "newton": NewtonRegressor((-5, 5)),
    "worst case": Ridge(),
}


class Refuses(ClassifierMixin, BaseEstimator):
    """Takes three classes alone."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if len(self.classes_) < 3:
            raise RuntimeError("three classes, please")
        return self

    def predict(self, X):
        return np.resize(self.classes_, len(X))


def _rare_category():
    """A category in the last row alone, which a sample of the rows may not have."""
    frame = X_PUBLIC.assign(town=["Oslo"] * (N - 1) + ["Lom"])
    return frame.rename(columns={"town": "size"}).loc[:, lambda f: ~f.columns.duplicated()]


# Of each: student, other settings, fit parameters, part of the message.
BAD = {
    "C": (LogisticRegression(C=-1), {}, {}, "'C' parameter"),
    "solver": (LogisticRegression(solver="lbgfs"), {}, {}, "'solver' parameter"),
    "penalty of another solver": (
        LogisticRegression(solver="newton-cg", l1_ratio=1.0, penalty="elasticnet"),
        {},
        {},
        "newton-cg",
    ),
    "criterion": (RandomForestClassifier(criterion="x"), {}, {}, "'criterion'"),
    "no such column": (
        make_pipeline(make_column_transformer((StandardScaler(), ["agee"])), LogisticRegression()),
        {},
        {},
        "agee|not in|column",
    ),
    "components": (make_pipeline(PCA(30), LogisticRegression()), {}, {}, "n_components=30"),
    "neighbours": (KNeighborsClassifier(N + 1), {}, {}, f"n_samples_fit = {N}"),
    "its own refusal": (Refuses(), {}, {}, "three classes, please"),
    "a bad function": (
        make_pipeline(FunctionTransformer(lambda X: X["heigth"]), LogisticRegression()),
        {},
        {},
        "heigth",
    ),
    "grid without the parameter": (
        GridSearchCV(LogisticRegression(), {"c": [1.0]}),
        {},
        {},
        "Invalid parameter 'c'",
    ),
    "one fold": (CalibratedClassifierCV(LinearSVC(), cv=1), {}, {}, "'cv' parameter"),
    "probabilities": (LinearSVC(), {"threshold": 0.3}, {}, "predict_proba"),
    "probabilities in a pipeline": (
        make_pipeline(StandardScaler(), LinearSVC()),
        {"threshold": 0.3},
        {},
        "predict_proba",
    ),
    "weights": (LogisticRegression(), {}, {"sample_weight": ["much"] * N}, "much"),
    "missing weights": (
        LogisticRegression(),
        {},
        {"sample_weight": np.full(N, np.nan)},
        "finite",
    ),
    "weights that nothing takes": (
        KNeighborsClassifier(),
        {},
        {"sample_weight": np.ones(N)},
        "sample_weight",
    ),
    "weights that the last step does not take": (
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        {},
        {"kneighborsclassifier__sample_weight": np.ones(N)},
        "sample_weight",
    ),
    "random_state": (LogisticRegression(), {"random_state": "none"}, {}, "seed"),
    "n_jobs": (LogisticRegression(), {"n_jobs": "all"}, {}, "n_jobs"),
    "verbose": (LogisticRegression(), {"verbose": "yes"}, {}, "verbose"),
    "threshold": (LogisticRegression(), {"threshold": "auto"}, {}, "threshold"),
    "threshold of one": (LogisticRegression(), {"threshold": 1.0}, {}, "threshold"),
    "mechanism": (LogisticRegression(), {"mechanism": "gauss"}, {}, "mechanism"),
    "max_queries": (LogisticRegression(), {"max_queries": 0}, {}, "max_queries"),
    "output_range": (LogisticRegression(), {"output_range": (1, 0)}, {}, "output_range"),
    "epsilon": (LogisticRegression(), {"epsilon": -1.0}, {}, "epsilon"),
    "delta": (LogisticRegression(), {"delta": 1.0}, {}, "delta"),
    "certificate": (LogisticRegression(), {"certificate": "best"}, {}, "certificate"),
    "no student": (LogisticRegression, {}, {}, "."),
    "a text as student": ("logistic", {}, {}, "."),
}
BAD_REGRESSION = {
    "alpha": (Ridge(alpha=-1), {}, {}, "'alpha' parameter"),
    "a classifier": (GaussianNB(), {}, {}, "is a classifier"),
    "a pipeline of one": (
        make_pipeline(StandardScaler(), GaussianNB()),
        {},
        {},
        "is a classifier",
    ),
    "negative targets": (PoissonRegressor(), {}, {}, "[Ss]ome value"),
    "no range": (Ridge(), {"output_range": (0, np.inf)}, {}, "output_range"),
}


def refused(teacher, case, X=X_PUBLIC, **settings):
    """The exception of a fit, after which neither kind of accountant was charged."""
    student, more, params, message = case
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-3)
    accountant = BudgetAccountant()
    asked = []
    original = type(teacher).predict

    def predict(self, X):
        asked.append(len(X))
        return original(self, X)

    for each in ledger, accountant:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(teacher), "predict", predict)
            distiller = PrivateDistiller(
                teacher, student, **{"delta": 1e-5, "accountant": each, **settings, **more}
            )
            with pytest.raises(Exception, match=message) as caught:
                distiller.fit(X, **params)
        assert not asked
    assert len(ledger) == 0
    assert accountant.total() == (0, 0)
    return caught.value


@pytest.mark.parametrize("name", some(BAD, 2))
@pytest.mark.parametrize("kind", TEACHERS)
def test_no_public_setting_fails_after_the_charge(kind, name):
    refused(TEACHERS[kind].fit(X_PRIVATE, Y_PRIVATE), BAD[name])


@pytest.mark.parametrize("name", BAD_REGRESSION)
@pytest.mark.parametrize("kind", REGRESSION_TEACHERS)
def test_no_public_setting_of_a_regression_fails_after_the_charge(kind, name):
    teacher = REGRESSION_TEACHERS[kind].fit(X_PRIVATE, X_PRIVATE["age"])
    refused(teacher, BAD_REGRESSION[name], output_range=(-5, 5))


@pytest.mark.parametrize(
    "student",
    [
        PoissonRegressor(),
        TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.square),
    ],
    ids=["poisson", "roots"],
)
@pytest.mark.parametrize("output_range", [(0, 10), (20, 80)])
@pytest.mark.parametrize("kind", REGRESSION_TEACHERS)
def test_a_student_that_takes_no_negative_labels(kind, output_range, student):
    """Noise makes labels negative; whether it did may not decide whether a fit that was charged
    ends with an error.
    """
    teacher = REGRESSION_TEACHERS[kind].fit(X_PRIVATE, X_PRIVATE["age"])
    error = refused(
        teacher, (student, {}, {}, "[Ss]ome value|NaN"), output_range=output_range, epsilon=0.1
    )
    assert "a function that clips" in "".join(error.__notes__)
    clipped = TransformedTargetRegressor(
        student, func=positive, inverse_func=the_same, check_inverse=False
    )
    distiller = PrivateDistiller(
        teacher, clipped, epsilon=50.0, delta=1e-5, output_range=output_range
    )
    assert np.isfinite(distiller.fit(X_PUBLIC).predict(X_PUBLIC)).all()


def positive(y):
    return np.clip(y, 1e-3, None)


def the_same(y):
    return y


def test_an_encoder_that_cannot_read_a_row_is_found_wherever_the_row_is():
    teacher = make_pipeline(FunctionTransformer(lambda X: X[["age"]]), LogisticRegression())
    teacher.fit(X_PRIVATE.assign(town="Oslo"), Y_PRIVATE)
    for bad in (None, np.nan, 7, "Lom"):
        towns = np.array(["Oslo"] * N, dtype=object)
        towns[-2] = bad
        frame = X_PUBLIC.assign(town=pd.Series(towns, dtype=object))
        student = make_pipeline(
            make_column_transformer((OneHotEncoder(categories=[["Oslo"]]), ["town"])),
            LogisticRegression(),
        )
        error = refused(
            teacher, (student, {}, {}, "unknown categories|not supported between"), frame
        )
        assert "nothing was charged" in "".join(error.__notes__)


def test_a_category_outside_the_labelled_rows_is_found(binary):
    """The student is trained on few rows, and its threshold looks at all of them."""
    *_, teacher = binary
    X = np.random.default_rng(0).normal(size=(300, 4))
    X[:, 0] = np.arange(300)
    student = make_pipeline(OneHotEncoder(), LogisticRegression())
    refused(teacher, (student, {"max_queries": 20}, {}, "unknown categories"), X)


STUDENTS = {
    "more neighbours than the sample has rows": KNeighborsClassifier(700),
    "a category in one row": make_pipeline(
        make_column_transformer((OneHotEncoder(), ["size"]), remainder="drop"),
        LogisticRegression(),
    ),
    "a choice of columns by their worth": make_pipeline(
        StandardScaler(), SelectFromModel(Lasso(0.05)), LogisticRegression()
    ),
    "the best column": make_pipeline(SelectKBest(k=1), LogisticRegression()),
    "inner folds": CalibratedClassifierCV(LinearSVC(), cv=5),
    "inner folds, several jobs": GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, n_jobs=2),
    "least squares": Ridge(),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_students_that_work_are_not_refused(name):
    X = _rare_category() if "category" in name else X_PUBLIC
    rehearse(STUDENTS[name], X, np.array([0, 1]))
    rehearse(STUDENTS[name], X, np.array([3, 5]), threshold=None)


def test_many_classes_and_few_rows_are_not_refused():
    X = np.random.default_rng(0).normal(size=(40, 3))
    rehearse(CalibratedClassifierCV(GaussianNB(), cv=2), X, np.arange(10))
    rehearse(LogisticRegression(), X[:3], np.arange(3))
    rehearse(GaussianNB(), X, np.arange(2), rows=np.array([3, 5, 8, 30]))


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((50, 2)),
        [["a", 1.0], ["b", None]] * 25,
        np.zeros((50, 4, 4)),
        ["a text", "and another"] * 25,
        pd.DataFrame({"a": [None] * 50, "b": pd.Categorical(["x", "y"] * 25)}),
    ],
    ids=["constant", "mixed list", "images", "texts", "frame"],
)
def test_rows_of_any_kind_get_labels(X):
    class Counts(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_, counts = np.unique(y, return_counts=True)
            assert min(counts) >= 16
            return self

        def predict(self, X):
            return np.zeros(len(X))

    rehearse(Counts(), X, np.arange(3))


def test_a_rehearsal_is_short():
    """One fit, of some rows from the first to the last, each with its own weight."""
    seen = []

    class Looks(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            seen.append((X, np.asarray(sample_weight)))
            return super().fit(X, y, sample_weight)

    X = np.arange(20_000.0)[:, None]
    rehearse(Looks(), X, np.array([0, 1]), fit_params={"sample_weight": 1 + X[:, 0]})
    ((rows, weights),) = seen
    assert len(rows) == 1000  # 500, once per class
    assert rows.min() == 0
    assert rows.max() == 19_999
    assert np.allclose(weights[:500] + weights[500:], 1 + rows[:500, 0])


@pytest.mark.parametrize(("noise", "lowest"), [(0.0, 1.8), (0.3, 1.8), (0.4, -0.2)])
def test_values_of_a_regression_lie_in_the_range_but_for_two(noise, lowest):
    class Looks(Ridge):
        def fit(self, X, y):
            ranked = np.sort(y)
            assert 2 < ranked[1] < 2.5
            assert 3.5 < ranked[-2] < 4
            assert ranked[[0, -1]] == pytest.approx([lowest, 4.2])
            return super().fit(X, y)

    rehearse(Looks(), X_PUBLIC, output_range=(2, 4), noise_scale=noise)


def test_nothing_that_is_shared_changes():
    """Global generators, the student and its random state stay as they were."""

    class Draws(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            np.random.normal(size=100)
            random.random()
            return super().fit(X, y, sample_weight)

    before = random.getstate(), np.random.get_state()[1:3]
    rehearse(Draws(), X_PUBLIC, np.array([0, 1]))
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1][0])
    assert np.random.get_state()[2] == before[1][1]
    student = RandomForestClassifier(5, random_state=np.random.RandomState(3))
    expected = np.random.RandomState(3).random()
    rehearse(student, X_PUBLIC, np.array([0, 1]))
    assert not hasattr(student, "classes_")
    assert student.random_state.random() == expected


def test_a_student_that_charges_an_accountant_is_not_tried():
    class Costs(GaussianNB):
        def __init__(self, accountant=None):
            self.accountant = accountant

        def fit(self, X, y):
            raise AssertionError("charged")

    rehearse(Costs(), X_PUBLIC, np.array([0, 1]))
    rehearse(make_pipeline(StandardScaler(), Costs()), X_PUBLIC, np.array([0, 1]))


def test_warnings_come_once_and_from_the_training_alone(binary):
    *_, X, _, teacher = binary
    fits = []

    class Warns(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            fits.append(len(X))
            warnings.warn("from the student", UserWarning, stacklevel=2)
            return super().fit(X, y, sample_weight)

    with pytest.warns(UserWarning, match="from the student") as caught:
        PrivateDistiller(teacher, Warns()).fit(X)
    assert len(fits) == 2
    assert sum("from the student" in str(each.message) for each in caught) == 1


def test_threads_of_the_student_do_not_wait_for_the_rehearsal():
    """A member that wants the global generators, in a thread, while the rehearsal holds them."""
    from skdistill._randomness import own_randomness

    class Seeds(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            with own_randomness(1):
                return super().fit(X, y, sample_weight)

    import joblib

    def work():
        with joblib.parallel_config(backend="threading"):
            rehearse(BaggingClassifier(Seeds(), 4, n_jobs=2), X_PUBLIC, np.array([0, 1]))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_without_a_charge_there_is_no_rehearsal(binary):
    *_, X, _, teacher = binary
    fits = []

    class Counts(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            fits.append(len(X))
            return super().fit(X, y, sample_weight)

    PrivateDistiller(teacher, Counts(), epsilon=float("inf")).fit(X)
    assert len(fits) == 1


def test_weights_for_a_model_that_is_released_are_refused():
    """The released model is the student: weights would be ignored without a word."""
    teacher = TEACHERS["newton"].fit(X_PRIVATE, Y_PRIVATE)
    error = refused(teacher, (None, {}, {"sample_weight": np.ones(N)}, "nothing is trained"))
    assert "Pass a student" in str(error)
