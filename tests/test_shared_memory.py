"""Memory and code that a teacher shares with the public side: nothing that it writes comes out."""

import contextlib
import copy
import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import NewtonClassifier, PrivateDistiller, TeacherEnsemble
from skdistill._callbacks import without_callbacks
from skdistill._tables import own_copy
from skdistill.testing import seeded_noise

RNG = np.random.default_rng(0)
X, PUBLIC = RNG.normal(3.0, 2.0, (200, 2)), RNG.normal(3.0, 2.0, (80, 2))
Y = (X[:, 0] > 3).astype(int)
QUIET = pytest.mark.filterwarnings("ignore:The released labels are mostly noise")


class Writer(ClassifierMixin, BaseEstimator):
    """Tells one bit of its records through memory that it can reach when it is asked."""

    def __init__(self, bit, reach):
        self.bit, self.reach = bit, reach

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        self.reach(self, X)
        return np.full((len(X), 2), 0.5)


def published(reach, rows, bit, **params):
    """Return the attributes of a fit that anybody may see, but for the labels."""
    teacher = Writer(bit, reach).fit(X, Y)
    with seeded_noise(0):
        model = PrivateDistiller(teacher, threshold=None, epsilon=5.0).fit(rows, **params)
    names = getattr(model, "feature_names_in_", np.zeros(0))
    return model.classes_.tolist(), list(map(str, names)), model.student_.coef_.tolist()


def write_class(teacher, X):
    teacher.classes_[0] += 100 * teacher.bit


def write_name(teacher, X):
    names = X.columns.values  # noqa: PD011
    with contextlib.suppress(ValueError):
        names.flags.writeable = True
        names[0] = "leak" if teacher.bit else "kept"


@QUIET
@pytest.mark.parametrize("reach", [write_class, write_name])
def test_classes_and_names_are_no_memory_of_the_teacher(reach):
    seen = [
        published(reach, pd.DataFrame(PUBLIC, columns=pd.Index(["a", "b"], dtype=object)), bit)
        for bit in (0, 1)
    ]
    assert seen[0] == seen[1]
    assert seen[0][:2] == ([0, 1], ["a", "b"])


@QUIET
def test_weights_of_the_student_are_no_memory_of_the_teacher():
    seen = []
    for bit in (0, 1):
        weights = np.ones(len(PUBLIC))

        def reach(teacher, X, weights=weights):
            weights[: len(weights) // 2] *= 1 + 50 * teacher.bit

        seen.append(published(reach, PUBLIC, bit, sample_weight=weights))
    assert seen[0] == seen[1]


TOWNS = pd.Series(["x", "y"] * 3, name="town")
COPIED = {
    "texts": pd.DataFrame({"a": TOWNS, "b": TOWNS.astype("category"), "c": TOWNS.astype("string")}),
    "series": TOWNS,
    "category": TOWNS.astype("category"),
    "numbers": pd.DataFrame({"a": [1.0, np.nan], "b": pd.array([1, None], dtype="Int64")}),
}


@pytest.mark.parametrize("data", COPIED.values(), ids=COPIED)
def test_a_copy_of_a_frame_has_its_dtypes_and_none_of_its_memory(data):
    copied = own_copy(data)
    equal = pd.testing.assert_frame_equal if data.ndim == 2 else pd.testing.assert_series_equal
    equal(copied, data)
    axes = zip(data.axes, copied.axes, strict=True)
    for one, other in axes:
        assert not np.shares_memory(one.to_numpy(), other.to_numpy())
    if isinstance(data.dtype if data.ndim == 1 else None, pd.CategoricalDtype):
        categories = data.cat.categories, copied.cat.categories
        assert not np.shares_memory(*(each.to_numpy() for each in categories))


def test_a_frame_with_categories_stays_one():
    rows = pd.DataFrame({"u": X[:, 0], "c": pd.Categorical(np.where(Y, "b", "a"))})
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    distiller = PrivateDistiller(model.fit(rows, Y), model, epsilon=1e5, delta=1e-6)
    assert distiller.fit(rows.iloc[:100].copy()).score(rows, Y) > 0.9


def test_the_range_of_other_regressors_is_not_shown():
    class Ranged(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.output_range_ = float(y.min()), float(y.max())
            return self

        def predict(self, X):
            return np.zeros(len(X))

    teacher = Ranged().fit(X, np.linspace(-3.25, 1234.5, len(X)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PrivateDistiller(teacher, Ridge(), output_range=(0, 10), epsilon=0.1).fit(PUBLIC)
    assert caught
    assert not any("1234" in str(each.message) for each in caught)


@QUIET
def test_code_of_an_attribute_does_not_choose_the_rows_that_are_asked():
    class Seeding(Writer):
        @property
        def classes_(self):
            np.random.seed(1 + self.bit)
            return np.array([0, 1])

        def fit(self, X, y):
            self.fitted_ = True
            return self

    asked = []
    for bit in (0, 1):
        np.random.seed(7)
        teacher = Seeding(bit, lambda teacher, X: None).fit(X, Y)
        model = PrivateDistiller(teacher, LogisticRegression(), max_queries=5, threshold=None)
        asked.append(model.fit(PUBLIC).query_indices_.tolist())
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "step",
    [StandardScaler(copy=False), FunctionTransformer(lambda X: np.multiply(X, 0.5, out=X))],
    ids=["copy", "function"],
)
def test_a_student_that_works_in_place_learns_as_another(step):
    twin = {"StandardScaler": StandardScaler()}.get(type(step).__name__)
    twin = twin or FunctionTransformer(lambda X: X * 0.5)
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, Y)
    labels = []
    for each in (step, twin):
        student = make_pipeline(each, LogisticRegression())
        given = PUBLIC.copy()
        with seeded_noise(0):
            model = PrivateDistiller(teacher, student, epsilon=8.0, delta=1e-6).fit(given)
        assert np.array_equal(given, PUBLIC)
        labels.append(model.predict_proba(PUBLIC.copy()))
    assert np.allclose(*labels)


class SoftWriter(ClassifierMixin, BaseEstimator):
    """Learns from soft labels, and writes into the classes that it is given."""

    def fit_soft(self, X, Y, classes, sample_weight=None):
        self.classes_ = classes.copy()
        classes[:] = classes[::-1].copy()
        return self

    def fit(self, X, y):
        raise AssertionError("soft labels are wanted")

    def predict_proba(self, X):
        return np.tile([1.0, 0.0], (len(X), 1))


def test_a_member_cannot_write_into_the_classes_of_others():
    ensemble = TeacherEnsemble(SoftWriter(), 4, classes=[0, 1], random_state=0).fit(X, Y)
    assert ensemble.classes_.tolist() == [0, 1]
    assert (np.array(list(ensemble.member_votes(PUBLIC)))[:, :, 0] == 1).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["ensemble", "search"])
def test_threads_inside_a_member_do_not_wait_for_it(kind):
    """The member has the global generators; threads that it starts would wait for them for ever."""
    inner = TeacherEnsemble(DecisionTreeClassifier(), 2, classes=[0, 1], n_jobs=2)
    if kind == "search":
        inner = GridSearchCV(inner, {"n_teachers": [1, 2]}, n_jobs=2, cv=2)
    fitted = []

    def fit():
        with joblib.parallel_config(backend="threading"):
            fitted.append(TeacherEnsemble(inner, 2, classes=[0, 1]).fit(X, Y))

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    thread.join(120)
    assert fitted


def test_callbacks_of_a_frozen_part_stay_with_the_caller():
    part = FrozenEstimator(StandardScaler().fit(X))
    part._skl_callbacks = ["kept"]
    model = make_pipeline(part, LogisticRegression())
    assert not hasattr(without_callbacks(copy.copy(model))[0], "_skl_callbacks")
    assert part._skl_callbacks == ["kept"]
