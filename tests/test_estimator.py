"""scikit-learn's wrappers of a distiller hold no private row; copies, texts and diagrams."""

import copy
import io
import pickle
import tempfile
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from matrices import some
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import estimator_html_repr

import skdistill._withheld
from skdistill import (
    NewtonClassifier,
    PrivacyLedger,
    PrivateClassifier,
    PrivateDistiller,
    TeacherEnsemble,
)
from skdistill._withheld import Withheld
from skdistill.accounting import BudgetAccountant
from skdistill.certificates import ParameterBall, RowBound

pytestmark = [
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("few_synthetic_rows"),
]

RNG = np.random.default_rng(0)
SECRET = 987.654321  # one cell of one private row
PRIVATE = RNG.normal(size=(300, 2))
PRIVATE[0, 1] = SECRET
LABELS = (PRIVATE[:, 0] > 0).astype(int)
X = RNG.normal(size=(60, 2))
Y = (X[:, 0] > 0).astype(int)


def teacher(k=15):
    return KNeighborsClassifier(k).fit(PRIVATE, LABELS)


def distiller(about=None, **settings):
    settings = {"student": LogisticRegression(), "epsilon": 1e6, **settings}
    return PrivateDistiller(teacher() if about is None else about, **settings)


def pickles_of(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    yield file.getvalue()
    for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
        yield pickle.dumps(thing, protocol=protocol)
    yield pickle._dumps(thing)  # the pickler that is written in Python
    yield pickle.dumps(joblib.wrap_non_picklable_objects(thing))  # cloudpickle


def holds_secret(thing):
    marks = (np.float64(SECRET).tobytes(), str(SECRET).encode())
    return any(mark in blob for blob in pickles_of(thing) for mark in marks)


def files():
    return set(Path(tempfile.gettempdir()).glob("skdistill-*"))


GRID = {"student__C": [1.0, 2.0]}
WRAPPERS = {
    "distiller": lambda d: d.fit(X),
    "grid": lambda d: GridSearchCV(d, GRID, cv=2).fit(X, Y),
    "grid, no refit": lambda d: GridSearchCV(d, GRID, cv=2, refit=False).fit(X, Y),
    "random": lambda d: RandomizedSearchCV(d, GRID, n_iter=2, cv=2).fit(X, Y),
    "halving": lambda d: HalvingGridSearchCV(d, GRID, cv=2).fit(X, Y),
    "pipeline": lambda d: make_pipeline(FunctionTransformer(), d).fit(X),
    "grid of a pipeline": lambda d: GridSearchCV(
        make_pipeline(FunctionTransformer(), d), {"privatedistiller__epsilon": [1e5, 1e6]}, cv=2
    ).fit(X, Y),
    "pipeline of a grid": lambda d: make_pipeline(
        FunctionTransformer(), GridSearchCV(d, GRID, cv=2)
    ).fit(X, Y),
    "calibrated": lambda d: CalibratedClassifierCV(d, cv=2).fit(X, Y),
    "calibrated, frozen": lambda d: CalibratedClassifierCV(FrozenEstimator(d.fit(X))).fit(X, Y),
    "bagging": lambda d: BaggingClassifier(d, n_estimators=2).fit(X, Y),
    "voting": lambda d: VotingClassifier([("a", d), ("b", LogisticRegression())]).fit(X, Y),
    "stacking": lambda d: StackingClassifier([("a", d)], cv=2).fit(X, Y),
    "outputs": lambda d: MultiOutputClassifier(d).fit(X, np.column_stack([Y, Y])),
    "one against the rest": lambda d: OneVsRestClassifier(d).fit(X, Y),
    "self-training": lambda d: SelfTrainingClassifier(d).fit(X, Y),
    "threshold": lambda d: TunedThresholdClassifierCV(d, cv=2).fit(X, Y),
    "frozen": lambda d: FrozenEstimator(d.fit(X)),
    "cross-validation": lambda d: cross_validate(d, X, Y, cv=2, return_estimator=True),
    "list": lambda d: [d, clone(d), copy.copy(d), copy.deepcopy(d)],
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("freeze", some([False, True], 2))
def test_no_wrapper_takes_a_private_row_into_its_pickle(name, freeze):
    about = FrozenEstimator(teacher()) if freeze else teacher()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = WRAPPERS[name](distiller(about))
    assert not holds_secret(wrapped)
    assert holds_secret(teacher())  # the search works


@pytest.mark.parametrize("backend", some(["threading", "loky", "multiprocessing"], 3))
@pytest.mark.parametrize("name", ["grid", "bagging", "cross-validation"])
def test_wrappers_work_with_every_backend_as_in_one_process(name, backend):
    with joblib.parallel_config(backend, n_jobs=2):
        wrapped = WRAPPERS[name](distiller())
    assert not holds_secret(wrapped)
    if name == "grid":
        assert wrapped.score(X, Y) > 0.9
        assert (wrapped.cv_results_["mean_test_score"] > 0.8).all()


def test_a_ledger_is_charged_by_workers_and_its_path_is_not_pickled(tmp_path):
    path = tmp_path / "wards-of-clinic-7.db"
    ledger = PrivacyLedger.create(path, epsilon=1e3, delta=1e-3)
    search = GridSearchCV(distiller(epsilon=5.0, accountant=ledger), GRID, cv=2, n_jobs=2)
    search.fit(X, Y)
    assert len(ledger) > 0
    assert b"wards-of-clinic-7" not in pickle.dumps(search)
    assert pickle.loads(pickle.dumps(search)).estimator.accountant is ledger


def test_a_certificate_with_closures_reaches_workers_and_no_pickle():
    held = teacher()
    ball = ParameterBall(
        1e-6,
        weights=lambda: np.array([[1.0, held._fit_X[0, 1] * 0]]),
        features=lambda X: np.asarray(X),
        link=lambda scores: np.column_stack([scores < 0, scores >= 0]).astype(float),
    )
    model = distiller(held, certificate=ball, student=None)
    search = GridSearchCV(model, {"epsilon": [1e5, 1e6]}, cv=2, n_jobs=2, error_score="raise")
    assert not holds_secret(search.fit(X, Y))


# ------------------------------------------------------------------------- grids over teachers


@pytest.mark.parametrize("kind", [GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV])
def test_a_grid_over_teachers_is_withheld_too(kind):
    first, second = teacher(), teacher(5)
    grid = {"teacher": [FrozenEstimator(first), FrozenEstimator(second)]}
    options = {"n_iter": 2} if kind is RandomizedSearchCV else {}
    search = kind(distiller(first), grid, cv=2, **options).fit(X, Y)
    assert not holds_secret(search)
    twin = pickle.loads(pickle.dumps(search))
    found = [each.estimator for each in twin.cv_results_["param_teacher"]]
    assert all(any(each is known for known in (first, second)) for each in found)


def test_a_grid_over_teachers_runs_in_threads():
    grid = {"teacher": [FrozenEstimator(teacher()), FrozenEstimator(teacher(5))]}
    with joblib.parallel_config("threading", n_jobs=2):
        assert not holds_secret(GridSearchCV(distiller(), grid, cv=2).fit(X, Y))


@pytest.mark.slow
def test_a_grid_over_teachers_is_refused_in_processes():
    grid = {"teacher": [FrozenEstimator(teacher()), FrozenEstimator(teacher(5))]}
    with pytest.raises(ValueError, match="n_jobs=1"):
        GridSearchCV(distiller(), grid, cv=2, n_jobs=2).fit(X, Y)


def test_other_frozen_estimators_are_pickled_as_ever():
    """Also a frozen teacher, by itself: the curator's own file of it."""
    scaler, about = FrozenEstimator(StandardScaler().fit(X)), FrozenEstimator(teacher())
    distiller(about).fit(X)
    for frozen in (scaler, about):
        blob = pickle.dumps(frozen)
        twin = pickle.loads(blob)
        assert type(twin) is FrozenEstimator
        assert twin.estimator is not frozen.estimator
        assert vars(twin.estimator).keys() == vars(frozen.estimator).keys()
        assert type(copy.deepcopy(frozen).estimator) is type(frozen.estimator)
    assert np.float64(SECRET).tobytes() in blob


# ------------------------------------------------------------------ an unpickled copy, elsewhere


def elsewhere(model):
    """The object that another machine makes of a pickle."""
    blob = pickle.dumps(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skdistill._withheld, "_OBJECTS", {})
        patch.setattr(skdistill._withheld, "_read", lambda number: None)
        return pickle.loads(blob)


def test_a_search_that_was_unpickled_elsewhere_predicts_and_says_why_it_does_not_fit():
    search = elsewhere(GridSearchCV(distiller(), GRID, cv=2, error_score="raise").fit(X, Y))
    assert search.score(X, Y) > 0.9
    assert "KNeighborsClassifier" not in repr(search.estimator)
    with pytest.raises(ValueError, match=r"without its teacher.*set_params\(teacher=\.\.\.\)"):
        search.fit(X, Y)
    search.set_params(estimator__teacher=teacher())
    assert search.fit(X, Y).score(X, Y) > 0.9
    twice = elsewhere(elsewhere(distiller()))
    assert twice.teacher.name == "KNeighborsClassifier"
    assert elsewhere(elsewhere(distiller().fit(X))).teacher.name == "KNeighborsClassifier"


def test_a_certificate_and_an_accountant_are_not_dropped_in_silence(tmp_path):
    ledger = PrivacyLedger.create(":memory:", epsilon=1e9, delta=1e-3)
    found = elsewhere(distiller(accountant=ledger)).set_params(teacher=teacher())
    with pytest.raises(TypeError, match="PrivacyLedger, withheld when this was pickled"):
        found.fit(X)
    found = elsewhere(elsewhere(distiller(accountant=ledger)))
    assert isinstance(found.accountant, Withheld)
    found = elsewhere(distiller(certificate=RowBound(0.1, 0.1))).set_params(teacher=teacher())
    with pytest.raises(TypeError, match="RowBound, withheld when this was pickled"):
        found.fit(X)
    found = elsewhere(distiller(accountant=BudgetAccountant())).set_params(teacher=teacher())
    with pytest.raises(RuntimeError, match="n_jobs=1"):
        found.fit(X)


def test_a_model_of_a_private_table_forgets_what_its_prototypes_learned(tmp_path):
    fitted = teacher()
    model = PrivateClassifier(TeacherEnsemble(fitted), fitted, schema=(-5, 5), classes=[0, 1])
    assert not holds_secret(model)
    assert not holds_secret(GridSearchCV(model, {"epsilon": [1.0]}))
    assert not holds_secret(distiller(student=fitted))
    folder = str(tmp_path / "wards-of-clinic-7")
    student = make_pipeline(FunctionTransformer(), LogisticRegression(), memory=folder)
    for each in (distiller(student=student), distiller(student=student).fit(X)):
        assert b"wards-of-clinic-7" not in pickle.dumps(each)
    assert student.memory == folder


# ------------------------------------------------------------------------------------- copies


def test_copies_share_what_is_private_and_pickle_nothing_to_do_so(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ledger, bound = PrivacyLedger.create(":memory:", epsilon=1e9, delta=1e-3), RowBound(0.1, 0.1)
    model = distiller(accountant=ledger, certificate=bound)
    before = files()
    for fitted in (False, True):
        for twin in (copy.copy(model), copy.deepcopy(model)):
            assert twin is not model
            for name in ("teacher", "accountant", "certificate"):
                assert getattr(twin, name) is getattr(model, name)
        assert copy.copy(model).student is model.student
        assert copy.deepcopy(model).student is not model.student
        if not fitted:
            model.fit(X)
    assert files() == before


# ------------------------------------------------------------------------- texts and diagrams


class Loud(BaseEstimator):
    def __repr__(self):
        raise AssertionError("shown")


SHOWN = {"accountant": BudgetAccountant(), "epsilon": 2.0}
STUDENT = LogisticRegression(C=3)
MODELS = [
    (distiller(certificate=RowBound(0.1, 0.1), **SHOWN, student=STUDENT), X, Y),
    (
        PrivateClassifier(TeacherEnsemble(STUDENT, 5), schema=(-5, 5), classes=[0, 1], **SHOWN),
        PRIVATE.clip(-5, 5),
        LABELS,
    ),
]


@pytest.mark.parametrize(("model", "rows", "labels"), MODELS)
def test_texts_and_diagrams_show_settings_only(model, rows, labels):
    text = repr(model)
    assert "epsilon=2.0" in text
    assert "LogisticRegression(C=3)" in text
    assert "accountant=<BudgetAccountant>" in text
    assert "delta" not in text  # at its default
    if isinstance(model, PrivateDistiller):
        assert "teacher=<KNeighborsClassifier>" in text
        assert "certificate=<RowBound>" in text
        model.teacher = Loud()
        assert "<Loud>" in repr(model)
        model.teacher = teacher()
    assert repr(model) == repr(clone(model)).replace("FrozenEstimator", "KNeighborsClassifier")
    assert model.__repr__(N_CHAR_MAX=20) == f"{text[:16]}...)"
    bundle = model._repr_mimebundle_()
    assert bundle["text/plain"] == text
    assert bundle["text/html"] == model._repr_html_()
    assert "<table>" not in model._repr_html_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, labels)
    assert "<table>" in model._repr_html_()
    diagram = estimator_html_repr(make_pipeline(FunctionTransformer(), model))
    assert type(model).__name__ in diagram
    assert str(SECRET) not in diagram + model._repr_html_() + text


def test_settings_inside_the_teacher_are_neither_shown_nor_set():
    model = distiller()
    assert not any(name.startswith("teacher__") for name in model.get_params())
    with pytest.raises(ValueError, match="teacher__n_neighbors cannot be set"):
        model.set_params(teacher__n_neighbors=3)
    assert model.set_params(student__C=7).student.C == 7


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_predictions_are_those_of_the_student_and_errors_name_the_distiller(method):
    fitted = distiller().fit(X)
    student = fitted.export()
    assert np.array_equal(getattr(fitted, method)(X), getattr(student, method)(X))
    with pytest.raises(ValueError, match="X has 3 features, but PrivateDistiller is expecting 2"):
        getattr(fitted, method)(np.zeros((4, 3)))
    assert "Parameters" in getattr(PrivateDistiller, method).__doc__


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (PrivateDistiller(None), "student__C"),
        (PrivateDistiller(None, student="auto"), "student__C"),
        (PrivateDistiller(None), "mechanism__n_rounds"),
        (PrivateClassifier(), "teacher__n_teachers"),
    ],
)
def test_settings_of_what_has_none_are_named(estimator, name):
    """It was: 'NoneType' object has no attribute 'set_params'."""
    outer = name.partition("__")[0]
    with pytest.raises(ValueError, match=f"{name} cannot be set: {outer}=.* such as {outer}="):
        estimator.set_params(**{name: 1})


def test_an_object_and_its_settings_are_set_together():
    found = PrivateDistiller(None).set_params(student__C=3.0, student=LogisticRegression())
    assert found.student.C == 3.0
    with pytest.raises(ValueError, match="Invalid parameter 'students'"):
        PrivateDistiller(None).set_params(students__C=3.0)


def test_an_array_in_place_of_a_frame_is_told_by_the_distiller_and_the_student_alone():
    """A third warning named a class that no user has seen."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["a", "b"])
    found = PrivateDistiller(NewtonClassifier([0, 1]).fit(X, X["a"] > 0), epsilon=50.0).fit(X[:200])
    with pytest.warns(UserWarning, match="does not have valid feature names") as caught:
        found.predict(X.to_numpy())
    named = [str(each.message).split(" was ")[0].split()[-1] for each in caught]
    assert named == ["PrivateDistiller", "LogisticRegression"]
    assert found.export().estimator.feature_names_in_.tolist() == ["a", "b"]
