"""Calls that run but mean something else: a warning each, by public facts alone."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils import get_tags

from skdistill import (
    NewtonClassifier,
    NewtonRegressor,
    PrivateClassifier,
    PrivateDistiller,
    TeacherEnsemble,
    refit,
)
from skdistill._trained_on import n_records, quietly, was_trained_on

X = np.random.default_rng(0).normal(size=(400, 3))
Y = (X[:, 0] > 0).astype(int)
TEACHERS = {
    "newton": NewtonClassifier(classes=[0, 1]),
    "ensemble": TeacherEnsemble(GaussianNB(), 8, classes=[0, 1]),
    "neighbours": KNeighborsClassifier(50),
}


def said(call):
    """Everything that a call warns of, but for the noise and for releases that nobody counts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "This teacher has answered before")
        call()
    texts = [str(each.message) for each in caught if each.category is UserWarning]
    assert all(each.filename == __file__ for each in caught if each.category is UserWarning)
    return [text for text in texts if "mostly noise" not in text]


@pytest.mark.parametrize("name", TEACHERS)
@pytest.mark.parametrize("method", ["fit", "release", "preview"])
def test_the_scikit_learn_habit_is_caught(name, method):
    teacher = clone(TEACHERS[name]).fit(X, Y)
    distiller = PrivateDistiller(teacher, epsilon=5.0)
    args = (X, Y) if method == "fit" else (X,)
    (text,) = said(lambda: getattr(distiller, method)(*args))
    assert "very table that the teacher was trained on" in text
    assert said(lambda: getattr(distiller, method)(X.copy())) == []
    assert said(lambda: getattr(distiller, method)(X[:300])) == []


@pytest.mark.parametrize("where", ["alone", "pipeline", "frozen"])
def test_curvature_is_public(where):
    """The rows given as curvature are not protected, and must not be the private ones."""

    def distiller(curvature):
        teacher = NewtonClassifier(classes=[0, 1], curvature=curvature)
        if where == "pipeline":
            teacher = make_pipeline("passthrough", teacher)
        teacher.fit(X, Y)
        return PrivateDistiller(FrozenEstimator(teacher) if where == "frozen" else teacher)

    public = X[:300] + 1.0
    (text,) = said(lambda: distiller(X).preview(public))
    assert "curvature is the very table that the teacher was trained on" in text
    shown = "the rows given as curvature: the model is computed from their features in the clear"
    for curvature in X.copy(), None:
        assert said(lambda given=curvature: distiller(given).preview(public)) == []
        listed = distiller(curvature).preview(public).not_protected
        assert (shown in listed) == (curvature is not None)


@pytest.mark.parametrize(
    "table", [pd.DataFrame(X, columns=["a", "b", "c"]), sp.csr_array(X), np.asfortranarray(X)]
)
def test_any_table_that_is_an_object(table):
    teacher = NewtonClassifier(classes=[0, 1]).fit(table, Y)
    assert was_trained_on(teacher, table)
    assert not was_trained_on(teacher, table.copy())


def test_a_list_is_not_remembered():
    teacher = NewtonClassifier(classes=[0, 1]).fit(X.tolist(), Y)
    assert not was_trained_on(teacher, X.tolist())


def test_contents_are_never_compared_and_pickles_hold_no_table():
    """The same private rows in another object: whether a guess of them is right stays unknown."""
    teacher = TeacherEnsemble(GaussianNB(), 8, classes=[0, 1]).fit(X, Y)
    assert not was_trained_on(teacher, X.copy())
    twin = pickle.loads(pickle.dumps(teacher))
    assert was_trained_on(twin, X)  # the same fit, in the same process
    assert X.tobytes() not in pickle.dumps(teacher)
    gone = X.copy()
    teacher.fit(gone, Y)
    place = id(gone)
    del gone
    assert not any(was_trained_on(teacher, each) for each in [X, np.zeros_like(X)]), place


def test_refit_remembers_the_table_before_the_public_steps():
    teacher = refit(make_pipeline(Normalizer(), LogisticRegression()), X, Y)
    assert was_trained_on(teacher, X)
    plain = refit(LogisticRegression(), X, Y)
    assert was_trained_on(plain, X)


def test_delta_above_one_in_n():
    for name in TEACHERS:
        teacher = clone(TEACHERS[name]).fit(X, Y)
        assert n_records(teacher) == 400
        public = X.copy()
        (text,) = said(lambda t=teacher, p=public: PrivateDistiller(t, delta=0.01).fit(p))
        assert "delta=0.01 is above 1/n for the 400 private records" in text
        assert said(lambda t=teacher, p=public: PrivateDistiller(t, delta=0.0025).fit(p)) == []
    (text,) = said(
        lambda: PrivateDistiller(make_pipeline(Normalizer(), teacher), delta=0.01).preview(public)
    )
    assert "above 1/n" in text
    assert n_records(LogisticRegression().fit(X, Y)) is None


def test_groups_are_counted_where_they_are_protected():
    groups = np.arange(400) // 4
    teacher = TeacherEnsemble(GaussianNB(), 8, classes=[0, 1]).fit(X, Y, groups)
    assert n_records(teacher) == 100
    (text,) = said(lambda: PrivateDistiller(teacher, delta=0.02).preview(X.copy()))
    assert "for the 100 private records" in text


def test_ten_records():
    teacher = NewtonClassifier(classes=[0, 1]).fit(X[:10], Y[:10])
    (text,) = said(lambda: PrivateDistiller(teacher).preview(X.copy()))
    assert "trained on 10 private records" in text
    assert said(lambda: PrivateDistiller(teacher, epsilon=float("inf")).preview(X.copy())) == []
    teacher = NewtonClassifier(classes=[0, 1]).fit(X[:11], Y[:11])
    assert said(lambda: PrivateDistiller(teacher).preview(X.copy())) == []


def test_an_output_range_beside_a_classifier():
    teacher = LogisticRegression().fit(X, Y)
    (text,) = said(lambda: PrivateDistiller(teacher, output_range=(0, 1)).preview(X))
    assert "output_range is for regressors" in text
    regressor = NewtonRegressor((-3, 3)).fit(X, X[:, 0])
    assert said(lambda: PrivateDistiller(regressor).preview(X.copy())) == []


def test_more_teachers_than_half_the_records():
    (text,) = said(lambda: TeacherEnsemble(Ridge(), 201).fit(X, X[:, 0]))
    assert "201 teachers for 400 records" in text
    assert said(lambda: TeacherEnsemble(Ridge(), 200).fit(X, X[:, 0])) == []
    assert said(lambda: TeacherEnsemble(Ridge()).fit(X, X[:, 0])) == []
    groups = np.arange(400) // 40  # a shard holds one group, of forty records
    assert said(lambda: TeacherEnsemble(Ridge(), 8).fit(X, X[:, 0], groups)) == []


@pytest.mark.usefixtures("few_synthetic_rows")
def test_a_private_table_that_is_called_public_is_announced():
    """By the object: equal rows of another one say nothing, because they would tell of the data."""
    rng = np.random.default_rng(0)
    table = rng.uniform(-1, 1, (400, 2))
    labels = (table[:, 0] > 0).astype(int)
    schema = {"a": (-1.0, 1.0), "b": (-1.0, 1.0)}
    model = PrivateClassifier(classes=[0, 1], schema=schema, epsilon=8.0, delta=1e-6)
    texts = said(lambda: model.fit(table, labels, X_public=table))
    assert any("X_public is the private table itself" in text for text in texts)
    texts = said(lambda: model.fit(table, labels, X_public=table.copy()))
    assert not any("private table itself" in text for text in texts)


class Wrapper(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def predict(self, X):
        return np.zeros(len(X), int)


class Refused(BaseException):
    pass


READ = "predict_proba n_units_ n_samples_ n_samples_fit_ fit_id_ _fit_X n_features_in_ steps"
TAGS = "feature_names_in_ classes_ __sklearn_tags__ __sklearn_is_fitted__ __getattr__"


@pytest.mark.parametrize("name", [*READ.split(), *TAGS.split()])
@pytest.mark.parametrize("error", [ValueError, AttributeError, Refused])
def test_an_attribute_that_raises_is_as_good_as_none(name, error):
    """Its text may quote a record: neither the error nor what it hangs on may show it."""

    def raises(self, asked=""):
        if asked.startswith("__"):
            raise AttributeError(asked)
        raise error("canary")

    def build(self, X, y):
        return Wrapper.fit(self, X, y) if name != "classes_" else self

    method = raises if name.startswith("__") else property(raises)
    teacher = type("Odd", (Wrapper,), {name: method, "fit": build})().fit(X, Y)
    distiller = PrivateDistiller(teacher, LogisticRegression(), epsilon=5.0)

    def tags(rows):
        return get_tags(distiller)

    for call in (distiller.preview, distiller.release, distiller.fit, tags):
        found = None
        try:
            texts = said(lambda call=call: call(X[:50].copy()))
        except (TypeError, ValueError, AttributeError, Refused) as raised:
            found, texts = raised, []
        while found is not None:
            texts.append(str(found))
            found = found.__context__
        assert "canary" not in " ".join(texts)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_passes_without_its_text(stop):
    def stopped():
        raise stop("canary")

    with pytest.raises(stop) as caught:
        quietly(stopped)
    assert caught.value.args == () and caught.value.__context__ is None
