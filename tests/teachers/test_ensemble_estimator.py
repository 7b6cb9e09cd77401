"""TeacherEnsemble as a scikit-learn estimator: checks, containers, backends, rehearsal."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from ensemble_cases import BACKENDS, Recorder, leaky
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.sparse import coo_matrix, csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import estimator_checks_generator

from skdistill import PrivacyLedger, PrivateDistiller
from skdistill.teachers import ensemble as module
from skdistill.teachers import members
from skdistill.teachers.ensemble import TeacherEnsemble
from skdistill.teachers.linear_members import WIDEST
from skdistill.teachers.members import ConstantVoter
from skdistill.teachers.shards import (
    default_n_teachers,
)

# --- an ordinary scikit-learn estimator -----------------------------------------------------------

TOTAL = "an unusable private value makes a member vote uniform; it never raises (rule of totality)"
EXPECTED = {"check_dtype_object": TOTAL}
EXPECTED_REGRESSION = {**EXPECTED, "check_supervised_y_no_nan": TOTAL}

# Many cases here are about shards of one record or none.
pytestmark = pytest.mark.filterwarnings("ignore:.* teachers for .* records.*:UserWarning")


def common_checks(member):
    model = TeacherEnsemble(member, n_teachers=2)
    failing = EXPECTED if is_classifier(member) else EXPECTED_REGRESSION
    return estimator_checks_generator(model, expected_failed_checks=failing, mark="xfail")


@pytest.mark.parametrize(
    ("estimator", "check"),
    [case for m in (LogisticRegression(), LinearSVC(), Ridge()) for case in common_checks(m)],
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", None) or repr(value),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def sklearn_version():
    return tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def frame(n, rng):
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "city": rng.choice(["Oslo", "Rome", "Lima"], n),
            "hours": rng.normal(40, 5, n),
        },
        index=rng.permutation(n) + 1000,
    )


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pipelines_on_raw_frames(library):
    rng = np.random.default_rng(0)
    X = frame(400, rng)
    y = np.where(X.age > 50, ">50", "<=50")
    if library == "polars":
        X = pl.DataFrame(X.to_dict("list"))
    model = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["age", "hours"]),
            (OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ),
        LogisticRegression(),
    )
    if library == "polars" and sklearn_version() < (1, 7):
        pytest.skip("scikit-learn 1.6 selects no columns of the newest polars by name")
    fitted = TeacherEnsemble(model, 8, random_state=0).fit(X, y)
    assert not any(isinstance(m, ConstantVoter) for m in fitted.estimators_)
    assert fitted.feature_names_in_.tolist() == ["age", "city", "hours"]
    assert fitted.score(X, y) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X[["city", "age", "hours"]])


def test_the_same_rows_whatever_the_container():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    containers = [X, X.tolist(), csr_matrix(X), coo_matrix(X)]
    probabilities = [
        TeacherEnsemble(DecisionTreeClassifier(), 3, random_state=0).fit(Z, y).predict_proba(Z)
        for Z in containers
    ]
    for p in probabilities[1:]:
        assert_array_equal(p, probabilities[0])


def test_texts():
    from sklearn.feature_extraction.text import CountVectorizer

    X = ["good day", "bad night", "good night", "bad day"] * 5
    y = [1, 0] * 10
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    assert TeacherEnsemble(model, 2, random_state=0).fit(X, y).score(X, y) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_agree(backend):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)
    model = TeacherEnsemble(DecisionTreeClassifier(max_features=1), 7, random_state=0)
    alone = clone(model).fit(X, y).predict_proba(X)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_array_equal(clone(model).fit(X, y).predict_proba(X), alone)


@pytest.mark.slow
def test_dask():
    distributed = pytest.importorskip("dask.distributed")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)
    X[11] = 13
    model = TeacherEnsemble(DecisionTreeClassifier(), 5, random_state=0)
    alone = clone(model).fit(X, y).predict_proba(X)
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as c,
        distributed.Client(c),
        joblib.parallel_config(backend="dask"),
    ):
        warnings.simplefilter("ignore")
        assert_array_equal(clone(model).fit(X, y).predict_proba(X), alone)
        failing = TeacherEnsemble(leaky("fit"), 5, classes=[0, 1, 2], random_state=0).fit(X, y)
        assert sum(isinstance(m, ConstantVoter) for m in failing.estimators_) == 1


def test_random_state_seeds_members_and_is_reproducible():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)

    def fit(seed, member=None):
        model = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=member))
        fitted = TeacherEnsemble(model, 5, random_state=seed).fit(X, y)
        return [m[-1].random_state for m in fitted.estimators_], fitted.predict_proba(X)

    (seeds, p), (again, q) = fit(0), fit(0)
    assert seeds == again and len(set(seeds)) == 5
    assert_array_equal(p, q)
    assert (fit(1)[1] != p).any()
    assert set(fit(0, member=3)[0]) == {3}  # the user's own seed stays


@pytest.mark.slow
def test_a_thousand_teachers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    y = X[:, 0] > 0
    fitted = TeacherEnsemble(DecisionTreeClassifier(max_depth=1), 1000, random_state=0).fit(X, y)
    assert len(fitted.estimators_) == 1000
    assert fitted.score(X[:500], y[:500]) > 0.9
    assert len(pickle.loads(pickle.dumps(fitted)).estimators_) == 1000


@pytest.mark.slow
def test_votes_are_reduced_in_the_worker_and_stream(monkeypatch):
    """With `function`, no more than a batch of results is alive; without, at most 64 MB."""
    X, y = np.zeros((1 << 18, 1)), np.arange(1 << 18) % 2
    fitted = TeacherEnsemble(Recorder(), 40, random_state=0).fit(X, y)
    batches = []
    quietly = module._quietly
    monkeypatch.setattr(
        module, "_quietly", lambda p, tasks, *a: batches.append(len(tasks)) or quietly(p, tasks, *a)
    )
    sums = list(fitted.member_votes(X, np.sum))
    assert sums == [1 << 18] * 40
    assert batches == [16, 16, 8]  # 16 votes of 2**18 rows, 2 classes, 8 bytes: 64 MB


@pytest.mark.parametrize("member", [LinearSVC(), DecisionTreeRegressor()])
def test_what_kind_of_estimator_it_is(member):
    model = TeacherEnsemble(member)
    assert is_classifier(model) == is_classifier(member)
    assert hasattr(model, "predict_proba") == is_classifier(member)
    with pytest.raises(NotFittedError):
        model.predict([[0.0]])
    with pytest.raises(NotFittedError):
        next(model.member_votes([[0.0]]))


def test_hard_votes_of_a_classifier_without_probabilities():
    X, y = np.arange(40.0)[:, None], np.arange(40) >= 20
    fitted = TeacherEnsemble(LinearSVC(), 4, random_state=0).fit(X, y)
    votes = np.array(list(fitted.member_votes(X)))
    assert set(np.unique(votes)) == {0.0, 1.0}
    assert_array_equal(votes.sum(axis=2), 1)


@pytest.mark.parametrize("n_teachers", [0, -1, 2.0, "many", None])
def test_n_teachers_must_be_a_positive_whole_number(n_teachers):
    with pytest.raises(ValueError, match="n_teachers="):
        TeacherEnsemble(LogisticRegression(), n_teachers).fit(np.zeros((4, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize("groups", [[1, 2, 3], [[1], [2], [3], [4]]])
def test_groups_of_another_shape(groups):
    with pytest.raises(ValueError, match="inconsistent|one-dimensional"):
        TeacherEnsemble(Ridge(), 2).fit(np.zeros((4, 1)), np.zeros(4), groups=groups)


@given(n=st.integers(1, 10**7), c=st.integers(1, 100))
def test_default_number_of_teachers(n, c):
    k = default_n_teachers(n, c)
    assert 1 <= k <= 1000
    assert k == 1 or n / k >= 40 * c


class Fails(ClassifierMixin, BaseEstimator):
    """A member that cannot be trained; public settings show it."""

    def fit(self, X, y):
        raise ValueError("the setting is wrong")


def columns(frame):
    return make_pipeline(
        make_column_transformer((StandardScaler(), ["Age"])), LogisticRegression()
    ), frame


REHEARSED = {
    "a column that is not there": columns(pd.DataFrame({"age": np.arange(400.0)})),
    "a setting": (LogisticRegression(C=-1.0), np.arange(400.0)[:, None]),
    "one missing value": (LogisticRegression(), np.r_[np.arange(399.0), np.nan][:, None]),
    "always": (Fails(), np.arange(400.0)[:, None]),
}


@pytest.mark.parametrize("name", REHEARSED)
@pytest.mark.parametrize("piped", [False, True])
def test_a_member_that_public_values_make_fail_is_an_error_before_the_charge(name, piped):
    member, public = REHEARSED[name]
    private = pd.DataFrame({"age": np.arange(600.0)}) if "column" in name else np.ones((600, 1))
    teacher = TeacherEnsemble(member, 20, classes=["no", "yes"], random_state=0)
    teacher.fit(private, np.tile(["no", "yes"], 300))
    if piped:
        teacher = make_pipeline(FunctionTransformer(), teacher)
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-5)
    student = make_pipeline(SimpleImputer(), LogisticRegression())
    distiller = PrivateDistiller(teacher, student, epsilon=4.0, accountant=ledger)
    for act in (distiller.fit, distiller.calibrate, distiller.preview, distiller.release):
        with pytest.raises(ValueError, match="made-up labels; nothing was charged"):
            act(public)
    assert len(ledger) == 0


def test_boosting_that_looks_at_dtypes_is_told_to_name_its_columns():
    """A categorical dtype would tell a shard about another, so that members never see one."""
    frame = pd.DataFrame({"town": pd.Categorical(["a", "b"] * 300), "x": np.arange(600.0)})
    y = np.tile([0, 0, 1], 200)

    def teacher(where):
        member = HistGradientBoostingClassifier(max_iter=2, categorical_features=where)
        piped = make_pipeline(FunctionTransformer(), member)
        return TeacherEnsemble(piped, 4, classes=[0, 1]).fit(frame, y)

    with pytest.raises(ValueError, match=r"name the columns, categorical_features=\["):
        teacher("from_dtype").rehearse(frame)
    teacher(["town"]).rehearse(frame)


def test_a_rehearsal_asks_no_fitted_member_and_draws_nothing():
    X = np.random.default_rng(0).normal(size=(600, 2))
    teacher = TeacherEnsemble(DecisionTreeClassifier(), 20, classes=[0, 1], random_state=0)
    teacher.fit(X, (X[:, 0] > 0).astype(int))
    teacher.estimators_ = [None] * 20  # would raise, if one were asked
    before, rows = np.random.get_state()[1].copy(), X.copy()
    teacher.rehearse(X)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(X, rows)


def test_a_linear_member_that_cannot_raise_is_not_rehearsed(monkeypatch):
    """Its settings are known to be valid, and the public rows are numbers of moderate size."""
    X = np.random.default_rng(0).normal(size=(600, 2))
    teacher = TeacherEnsemble(LogisticRegression(), 20, classes=[0, 1], random_state=0)
    teacher.fit(X, (X[:, 0] > 0).astype(int))
    tried = []
    monkeypatch.setattr(members, "_rehearse", lambda *_: tried.append(1))
    teacher.rehearse(X)
    assert not tried
    for value in (np.nan, np.inf, -1e200):
        X[3, 1] = value
        teacher.rehearse(X)
    monkeypatch.setattr(teacher, "estimator", LogisticRegression(verbose="x"))
    teacher.rehearse(X[:3])
    assert len(tried) == 4 and X[:3].max() < 10
    wide = np.random.default_rng(0).normal(size=(60, WIDEST + 1))  # each by its own fit
    TeacherEnsemble(LogisticRegression(), 3, classes=[0, 1]).fit(wide, np.arange(60) % 2).rehearse(
        wide
    )
    assert len(tried) == 5


def test_a_rehearsal_of_few_rows_and_of_a_regression():
    X = np.arange(40.0)[:, None]
    teacher = TeacherEnsemble(KNeighborsRegressor(5), 4, random_state=0).fit(X, X.ravel())
    teacher.rehearse(X[:1])  # fewer rows than neighbours: they are repeated
    with pytest.raises(ValueError, match="KNeighborsRegressor"):
        teacher.rehearse(np.array([[np.nan]]))


def test_the_diagram_of_a_fitted_ensemble_shows_no_fitted_attribute():
    X = np.random.default_rng(0).normal(size=(40, 2))
    teacher = TeacherEnsemble(LogisticRegression(), 4, classes=[0, 1]).fit(X, np.arange(40) % 2)
    diagram = teacher._repr_html_()
    assert "LogisticRegression" in diagram
    assert "estimators_" not in diagram and "n_shards_" not in diagram
