"""PrivateDistiller inside the rest of scikit-learn, and in other hands."""

import copy
import io
import multiprocessing
import os
import pickle
import re
import time
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from matrices import some
from sklearn.base import clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr, get_tags

from skdistill import PrivateDistiller, SoftLabels
from skdistill.accounting import BudgetAccountant

# Noise of a scale below 1e-4 in every label turns next to no prediction around: scores depend on
# which rows are asked about, and those on random_state.
HUGE = 1e7
pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


# --------------------------------------------------------------------------------- searches


@pytest.mark.parametrize("freeze", some([False, True], 2))
@pytest.mark.parametrize("n_jobs", some([None, 2], 2))
def test_grid_search(binary, freeze, n_jobs):
    *_, X, y, teacher = binary
    grid = {
        "epsilon": [1e3, HUGE],
        "delta": [0.0, 1e-6],
        "mechanism": [SoftLabels(), SoftLabels("laplace")],
        "mechanism__temperature": [1.0, 2.0],
        "student__C": [0.1, 1.0],
    }
    distiller = PrivateDistiller(
        FrozenEstimator(teacher) if freeze else teacher, LogisticRegression()
    )
    search = GridSearchCV(distiller, grid, scoring="f1", cv=2, n_jobs=n_jobs, error_score="raise")
    search.fit(X, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.privacy_.n_queries == len(X)
    text = "".join(str(value) for value in search.cv_results_.values())
    assert "teacher" not in text


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_validation(binary, n_jobs):
    *_, X, y, teacher = binary
    scores = cross_val_score(
        PrivateDistiller(teacher, epsilon=HUGE), X, y, scoring="f1", cv=3, n_jobs=n_jobs
    )
    assert (scores > 0.8).all()


def test_a_grid_of_frozen_teachers(binary):
    X_private, y_private, X, y, teacher = binary
    other = GaussianNB().fit(X_private, y_private)
    grid = {"teacher": [FrozenEstimator(teacher), FrozenEstimator(other)]}
    search = GridSearchCV(
        PrivateDistiller(teacher, epsilon=HUGE), grid, cv=2, error_score="raise"
    ).fit(X, y)
    assert search.best_score_ > 0.9


def test_a_grid_of_raw_teachers_says_how_to_mend_it(binary):
    *_, X, y, teacher = binary
    search = GridSearchCV(PrivateDistiller(teacher), {"teacher": [teacher]}, error_score="raise")
    with pytest.raises(sklearn.exceptions.NotFittedError, match="FrozenEstimator"):
        search.fit(X, y)


@pytest.mark.parametrize("freeze", [False, True])
def test_the_teachers_parameters_are_out_of_reach(binary, freeze):
    *_, X, y, teacher = binary
    distiller = PrivateDistiller(FrozenEstimator(teacher) if freeze else teacher)
    with pytest.raises(ValueError, match="teacher__C cannot be set"):
        distiller.set_params(teacher__C=17.0)
    with pytest.raises(ValueError, match="teacher__C cannot be set"):
        GridSearchCV(distiller, {"teacher__C": [17.0]}, error_score="raise").fit(X, y)
    assert teacher.C == 1.0


def test_inside_a_pipeline_and_a_bagging(binary):
    X_private, y_private, X, y, _ = binary
    scaler = StandardScaler().fit(X)
    teacher = LogisticRegression().fit(scaler.transform(X_private), y_private)
    pipe = make_pipeline(FrozenEstimator(scaler), PrivateDistiller(teacher, epsilon=HUGE))
    assert is_classifier(pipe)
    assert pipe.fit(X, y).score(X, y) > 0.9
    bag = BaggingClassifier(pipe, n_estimators=3, random_state=0).fit(X, y)  # which rows each gets
    assert bag.score(X, y) > 0.9


def test_a_distiller_is_a_student_or_a_teacher(regression):
    *_, X, y, teacher = regression
    first = PrivateDistiller(teacher, epsilon=HUGE, output_range=(-500, 500)).fit(X)
    second = PrivateDistiller(first, epsilon=HUGE, output_range=(-500, 500)).fit(X)
    assert second.score(X, y) > 0.95


# ------------------------------------------------------------------------------------ clones


def test_a_clone_shares_the_teacher_and_the_accountant(binary):
    *_, teacher = binary
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, LogisticRegression(C=3), accountant=accountant)
    twin = clone(clone(distiller))
    assert isinstance(twin.teacher, FrozenEstimator)
    assert twin.teacher.estimator is teacher
    assert twin.accountant is accountant
    assert twin.student is not distiller.student
    assert twin.student.C == 3
    assert clone(PrivateDistiller(LogisticRegression())).teacher is not None


def test_a_deep_copy_shares_them_too_and_fits_again(binary):
    *_, X, y, teacher = binary
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, epsilon=HUGE, accountant=accountant).fit(X)
    twin = copy.deepcopy(distiller)
    assert twin.teacher is teacher
    assert twin.accountant is accountant
    assert twin.student_ is not distiller.student_
    twin.fit(X)
    assert len(accountant) == 2


# ---------------------------------------------------------------------------------- randomness


def _labels(distiller, X):
    return distiller.fit(X).released_labels_


def test_noise_never_repeats(binary):
    """random_state=0 everywhere: any two releases differ in nearly every entry.

    Two independent draws of noise of scale s > 2**20 lattice steps agree in one entry with
    probability below 2**-20, so 600 entries all agree with probability below 2**-12000.
    """
    *_, X, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=1.0, random_state=0)
    np.random.seed(0)
    released = [_labels(distiller, X)]
    np.random.seed(0)
    released.append(_labels(distiller, X))
    released.append(_labels(clone(distiller), X))
    released.append(_labels(copy.deepcopy(distiller), X))
    released.append(_labels(pickle.loads(pickle.dumps(clone(distiller))), X))
    for backend in ("loky", "threading", "multiprocessing"):
        with joblib.parallel_config(backend=backend, n_jobs=2), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            released += joblib.Parallel()(
                joblib.delayed(PrivateDistiller.release)(clone(distiller), X) for _ in range(4)
            )
    bag = BaggingClassifier(distiller, n_estimators=3, bootstrap=False, random_state=0).fit(
        X, X[:, 0] > 0
    )
    released += [each.released_labels_ for each in bag.estimators_]
    for i, a in enumerate(released):
        for b in released[:i]:
            assert np.mean(a == b) < 0.01


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_children_draw_other_noise(binary):
    *_, X, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=1.0, random_state=0)
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        queue = context.Queue()
        children = [
            context.Process(target=lambda: queue.put(_labels(distiller, X))) for _ in range(3)
        ]
        for child in children:
            child.start()
        released = [queue.get(timeout=60) for _ in children]
        for child in children:
            child.join()
    released.append(_labels(distiller, X))
    for i, a in enumerate(released):
        assert all(np.mean(a == b) < 0.01 for b in released[:i])


def test_random_state_drives_what_is_public(binary):
    *_, X, _, teacher = binary
    student = RandomForestClassifier(5)
    fits = [
        PrivateDistiller(teacher, student, epsilon=HUGE, max_queries=50, random_state=3).fit(X)
        for _ in range(2)
    ]
    assert np.array_equal(fits[0].query_indices_, fits[1].query_indices_)
    assert fits[0].student_.random_state == fits[1].student_.random_state is not None


# ----------------------------------------------------------------------------------- accountants


def test_an_accountant_is_shared_by_a_search(binary):
    *_, X, y, teacher = binary
    accountant = BudgetAccountant()
    search = GridSearchCV(
        PrivateDistiller(teacher, delta=1e-6, accountant=accountant),
        {"epsilon": [1.0, 2.0]},
        cv=5,
    ).fit(X, y)
    assert len(accountant) == 11
    spent = 5 * (1.0 + 2.0) + search.best_params_["epsilon"]
    assert accountant.total()[0] == pytest.approx(spent)


@pytest.mark.slow
def test_an_accountant_says_no_in_another_process(binary):
    *_, X, y, teacher = binary
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, accountant=accountant)
    search = GridSearchCV(distiller, {"epsilon": [1.0, 2.0]}, cv=2, n_jobs=2, error_score="raise")
    with pytest.raises(RuntimeError, match="n_jobs=1"):
        search.fit(X, y)
    assert accountant.total() == (0, 0)


def test_an_accountant_is_charged_by_threads(binary):
    *_, X, y, teacher = binary
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, accountant=accountant)
    search = GridSearchCV(distiller, {"epsilon": [1.0, 2.0]}, cv=2, error_score="raise")
    with joblib.parallel_config(backend="threading", n_jobs=2):
        search.fit(X, y)
    assert len(accountant) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_an_accountant_says_no_in_a_forked_child(binary):
    *_, X, _, teacher = binary
    distiller = PrivateDistiller(teacher, accountant=BudgetAccountant())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def work():
        try:
            distiller.fit(X)
            queue.put("fitted")
        except RuntimeError as error:
            queue.put(str(error))
        own = PrivateDistiller(teacher, accountant=BudgetAccountant()).fit(X)
        queue.put(len(own.accountant))

    child = context.Process(target=work)
    child.start()
    assert "another process" in queue.get(timeout=60)
    assert queue.get(timeout=60) == 1
    child.join()


def test_a_budget_that_does_not_suffice_asks_nothing(binary):
    *_, X, _, teacher = binary
    accountant = BudgetAccountant(epsilon=1.5, delta=1e-5)
    distiller = PrivateDistiller(teacher, epsilon=1.0, accountant=accountant).fit(X)
    with pytest.raises(Exception, match="budget"):
        distiller.fit(X)
    assert accountant.total()[0] == 1.0


def test_many_threads_never_overdraw(binary):
    *_, X, _, teacher = binary
    accountant = BudgetAccountant(epsilon=10.5, delta=1.0)
    distiller = PrivateDistiller(teacher, accountant=accountant)

    def work():
        try:
            clone(distiller).fit(X[:20])
        except Exception as error:
            return type(error).__name__

    with joblib.parallel_config(backend="threading", n_jobs=8), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = joblib.Parallel()(joblib.delayed(work)() for _ in range(32))
    assert outcomes.count(None) == 10
    assert outcomes.count("BudgetError") == 22
    assert accountant.total()[0] == 10.0


class SlowAccountant:
    """Checks, dawdles, and only then records, as an accountant may."""

    spent, cap = 0, 10

    def spend(self, epsilon, delta):
        if self.spent + epsilon > self.cap:
            raise ValueError("over budget")
        before = self.spent
        time.sleep(0.005)
        self.spent = before + epsilon


def test_charges_of_threads_do_not_interleave(binary):
    *_, X, _, teacher = binary
    accountant = SlowAccountant()

    def work():
        try:
            return PrivateDistiller(teacher, accountant=accountant).release(X[:5]) is not None
        except ValueError:
            return False

    with joblib.parallel_config(backend="threading", n_jobs=8), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = joblib.Parallel()(joblib.delayed(work)() for _ in range(16))
    assert sum(outcomes) == accountant.spent == 10


# ------------------------------------------------------------------------------------ containers


def _frame(library):
    rng = np.random.default_rng(0)
    data = {
        "age": rng.integers(18, 80, 200).astype(float),
        "job": rng.choice(["clerk", "smith"], 200).tolist(),
        "hours": rng.normal(40, 5, 200),
    }
    y = ((data["age"] > 50) & (np.array(data["job"]) == "smith")).astype(int)
    return pytest.importorskip(library).DataFrame(data), y


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("max_queries", [None, 150])
def test_raw_frames_reach_teacher_and_student_untouched(library, max_queries):
    X, y = _frame(library)
    encode = make_column_transformer(
        (OneHotEncoder(), ["job"]), (StandardScaler(), ["age", "hours"])
    )
    teacher = make_pipeline(encode, RandomForestClassifier(20, random_state=0)).fit(X, y)
    student = make_pipeline(clone(encode), LogisticRegression())
    distiller = PrivateDistiller(teacher, student, epsilon=HUGE, max_queries=max_queries).fit(X)
    assert distiller.feature_names_in_.tolist() == ["age", "job", "hours"]
    assert distiller.score(X, teacher.predict(X)) > 0.8


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.coo_matrix])
def test_sparse_rows(binary, container):
    X_private, y_private, X, y, _ = binary
    teacher = LogisticRegression().fit(container(X_private), y_private)
    distiller = PrivateDistiller(teacher, epsilon=HUGE, max_queries=200, random_state=0)
    assert distiller.fit(container(X)).score(container(X), y) > 0.9


def test_lists(binary):
    *_, X, y, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=HUGE, max_queries=200, random_state=0)
    assert distiller.fit(X.tolist()).score(X.tolist(), y) > 0.9


# ------------------------------------------------------------------------------------- routing


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("pipeline", [False, True])
def test_weights_reach_the_student(binary, routing, pipeline):
    *_, X, y, teacher = binary
    weights = (X[:, 0] > 0).astype(float)  # rows of weight 0 must not matter
    with sklearn.config_context(enable_metadata_routing=routing):
        last = LogisticRegression()
        student = make_pipeline(FunctionTransformer(), last) if pipeline else last
        name = "sample_weight"
        if routing:
            last.set_fit_request(sample_weight=True)
        elif pipeline:
            name = "logisticregression__sample_weight"
        make = PrivateDistiller(teacher, student, epsilon=float("inf"), max_queries=250,
                                random_state=0)  # fmt: skip
        whole = clone(make).fit(X, **{name: weights})
        rows = whole.query_indices_[weights[whole.query_indices_] > 0]
        part = PrivateDistiller(teacher, student, epsilon=float("inf")).fit(X[rows])
        assert np.allclose(whole.predict_proba(X), part.predict_proba(X), atol=1e-3)


def test_routing_refuses_what_the_student_did_not_ask_for(binary):
    *_, X, _, teacher = binary
    with sklearn.config_context(enable_metadata_routing=True):
        distiller = PrivateDistiller(teacher, LogisticRegression(), epsilon=HUGE)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            distiller.fit(X, sample_weight=np.ones(len(X)))


# ------------------------------------------------------------------------------------- pickles


def _support_vectors(teacher):
    return [row.tobytes() for row in np.asarray(teacher.support_vectors_)]


@pytest.mark.parametrize("dump", [pickle.dumps, "joblib"])
def test_a_fitted_pickle_holds_no_teacher(binary, dump):
    X_private, y_private, X, y, _ = binary
    teacher = SVC().fit(X_private, y_private)
    distiller = PrivateDistiller(teacher, epsilon=HUGE, accountant=BudgetAccountant()).fit(X)
    if dump == "joblib":
        stream = io.BytesIO()
        joblib.dump(distiller, stream)
        data = stream.getvalue()
    else:
        data = dump(distiller)
    assert not any(row in data for row in _support_vectors(teacher))
    assert b"sklearn.svm" not in data
    loaded = joblib.load(io.BytesIO(data))
    assert np.array_equal(loaded.predict(X), distiller.predict(X))
    assert loaded.privacy_ == distiller.privacy_
    assert is_classifier(loaded)
    assert get_tags(loaded).estimator_type == "classifier"
    assert "SVC" not in str(type(loaded.teacher))
    with pytest.raises(ValueError, match="without its teacher"):
        loaded.fit(X)
    assert clone(loaded) is not None
    assert np.array_equal(pickle.loads(pickle.dumps(loaded)).predict(X), distiller.predict(X))


def test_an_unfitted_pickle_keeps_its_teacher(binary):
    *_, X, y, teacher = binary
    loaded = pickle.loads(pickle.dumps(PrivateDistiller(teacher, epsilon=HUGE)))
    assert loaded.fit(X).score(X, y) > 0.9


# --------------------------------------------------------------------------------------- displays


def test_no_display_shows_the_teachers_innards(binary):
    X_private, y_private, X, _, _ = binary
    X_private = X_private.copy()
    X_private[:, 0] += 31415.926535
    teacher = SVC().fit(X_private, y_private)
    for distiller in (PrivateDistiller(teacher), PrivateDistiller(teacher).fit(X)):
        for shown in (distiller, make_pipeline(FunctionTransformer(), distiller)):
            texts = [repr(shown), str(shown), estimator_html_repr(shown), shown._repr_html_()
                     if callable(shown._repr_html_) else shown._repr_html_]  # fmt: skip
            for text in texts:
                assert not re.search(r"3141\d", text)
                assert "support_vectors" not in text
                assert "gamma" not in text  # a parameter of the teacher: it is not opened at all
                assert "PrivateDistiller" in text
    assert "ε" in distiller._repr_mimebundle_()["text/html"]


def test_the_text_shows_what_was_set():
    text = repr(PrivateDistiller(SVC(C=3), Ridge(alpha=2), epsilon=0.5))
    assert text == "PrivateDistiller(teacher=<SVC>, student=Ridge(alpha=2), epsilon=0.5)"
