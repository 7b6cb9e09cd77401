"""Progress: one step for each member, reported alike for members that fail."""

import importlib
import logging
import pickle
import re
import sys
from collections import Counter

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateClassifier, _callbacks
from skdistill.teachers.ensemble import TeacherEnsemble
from skdistill.teachers.members import ConstantVoter

try:
    import sklearn.callback
except ImportError:
    HAS_CALLBACKS = False
else:
    HAS_CALLBACKS = True

with_scikit_learn_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="scikit-learn has callbacks from 1.9 on"
)
CANARY = "CANARY-8471"
BACKENDS = ["sequential", "threading", pytest.param("loky", marks=pytest.mark.slow)]


def running(backend):
    return joblib.parallel_config(backend=backend, n_jobs=1 if backend == "sequential" else 2)


class Recorder:
    """Writes down every call, and refuses to be sent to another process."""

    def __init__(self, stop=None, complain=None):
        self.calls, self.data, self.stop, self.complain = [], [], stop, complain

    def __reduce__(self):
        raise TypeError("a callback was sent to a worker")

    def _note(self, what, context):
        self.calls.append((what, context.estimator_name, context.task_name, context.task_id))
        if self.complain in (what, (what, context.task_id)):
            raise RuntimeError("the callback complains")

    def setup(self, estimator, context):
        self._note("setup", context)

    def teardown(self, estimator, context):
        self._note("teardown", context)

    def on_fit_task_begin(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.data += [X, y, metadata, fitted_estimator]
        self.total = context.max_subtasks if context.parent is None else self.total
        self._note("begin", context)

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.data += [X, y, metadata, fitted_estimator]
        self._note("end", context)
        return self.stop


def travelling(path):
    """A callback that follows the estimators inside; its notes outlive the trip to a worker.

    The class is local: worker processes can then take it by value.
    """

    class Travelling:
        max_propagation_depth = None

        def __init__(self, path):
            self.path = str(path)

        def _note(self, what, context):
            source = context.source_task_name
            with open(self.path, "a", encoding="utf-8") as notes:
                notes.write(f"{what} {context.estimator_name} {context.task_name} {source}\n")

        def setup(self, estimator, context):
            self._note("setup", context)

        def teardown(self, estimator, context):
            self._note("teardown", context)

        def on_fit_task_begin(self, estimator, context):
            self._note("begin", context)

        def on_fit_task_end(self, estimator, context):
            self._note("end", context)

    return Travelling(path)


def every_step(n_members):
    """The calls of a fit, in order."""
    root = ("TeacherEnsemble", "fit", 0)
    steps = [
        (what, "TeacherEnsemble", "fit-member", j)
        for j in range(n_members)
        for what in ("begin", "end")
    ]
    return [("setup", *root), ("begin", *root), *steps, ("end", *root), ("teardown", *root)]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 2)), np.arange(60) % 2


def tree_ensemble(n_teachers=6):
    return TeacherEnsemble(DecisionTreeClassifier(max_depth=2), n_teachers, random_state=0)


# --- scikit-learn 1.9 and later -------------------------------------------------------------------


@with_scikit_learn_callbacks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "backend", [*BACKENDS, pytest.param("multiprocessing", marks=pytest.mark.slow)]
)
def test_one_step_for_each_member(backend, data):
    """Also where the backend cannot stream: the same calls, late."""
    recorder = Recorder()
    with running(backend):
        fitted = tree_ensemble().set_callbacks(recorder).fit(*data)
    assert recorder.calls == every_step(6)
    assert recorder.total == fitted.n_teachers_ == 6
    assert_array_equal(
        fitted.predict_proba(data[0]), tree_ensemble().fit(*data).predict_proba(data[0])
    )


@with_scikit_learn_callbacks
def test_a_step_lasts_as_long_as_its_member(data):
    """One after the other: a member begins and ends between the calls about it."""
    events = []

    class Told(Recorder):
        def _note(self, what, context):
            events.append((what, context.task_name))

    class Tree(DecisionTreeClassifier):
        def fit(self, X, y):
            events.append("trained")
            return super().fit(X, y)

    TeacherEnsemble(Tree(), 3).set_callbacks(Told()).fit(*data)
    step = [("begin", "fit-member"), "trained", ("end", "fit-member")]
    assert events[2:-2] == step * 3


@with_scikit_learn_callbacks
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_says_nothing_about_its_member(backend, data, capfd, caplog, recwarn):
    """Failed, empty and one-class shards: the same calls, no data, and nobody is quoted."""
    caplog.set_level(logging.DEBUG)
    X, y = data[0].astype(object), data[1].copy()
    X[3, 1] = CANARY
    groups = np.repeat([1, 2, 3], 20)  # of 6 shards, at least three are empty
    y[groups == 2] = 0
    recorder = Recorder()
    with running(backend):
        fitted = tree_ensemble().set_callbacks(recorder).fit(X, y, groups=groups)
    assert sum(isinstance(member, ConstantVoter) for member in fitted.estimators_) >= 4
    assert recorder.calls == every_step(6)
    assert recorder.data and all(told is None for told in recorder.data)
    warned = [str(w.message) for w in recwarn.list]  # the numbers of teachers and groups are public
    seen = [*capfd.readouterr(), caplog.text, *(w for w in warned if "6 teachers for 3" not in w)]
    assert seen == ["", "", ""]


@with_scikit_learn_callbacks
def test_callbacks_are_not_passed_on_to_the_members(data):
    """LogisticRegression has callbacks; its iterations would tell which member failed."""
    recorder = Recorder()
    recorder.max_propagation_depth = None
    fitted = TeacherEnsemble(LogisticRegression(), 4).set_callbacks(recorder).fit(*data)
    assert recorder.calls == every_step(4)
    assert not any(hasattr(m, "_skl_callbacks") for m in fitted.estimators_)


@with_scikit_learn_callbacks
def test_a_wish_to_stop_is_not_heeded(data):
    """The number of members is public: nothing decides it during the fit."""
    fitted = tree_ensemble().set_callbacks(Recorder(stop=True)).fit(*data)
    assert len(fitted.estimators_) == 6


@with_scikit_learn_callbacks
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("where", ["setup", "begin", ("begin", 2), ("end", 2), "teardown"])
def test_an_error_of_a_callback_is_the_callers(backend, where, data, recwarn):
    """It surfaces, everything is torn down, no job is left behind, and the next fit works."""
    recorder = Recorder(complain=where)
    model = tree_ensemble().set_callbacks(recorder)
    with running(backend), pytest.raises(RuntimeError, match="the callback complains"):
        model.fit(*data)
    assert recorder.calls[-1][0] == "teardown"
    assert not recwarn.list
    recorder.complain, recorder.calls = None, []
    with running(backend):
        model.fit(*data)
    assert recorder.calls == every_step(6)


@with_scikit_learn_callbacks
@pytest.mark.parametrize("backend", BACKENDS)
def test_inside_a_search(backend, data, tmp_path):
    """Three folds of two candidates and the refit, each told of its own members."""
    recorder = travelling(tmp_path / "notes")
    model = make_pipeline(StandardScaler(), tree_ensemble(3))
    grid = {"teacherensemble__estimator__max_depth": [1, 2]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").set_callbacks(recorder)
    with running(backend):
        search.fit(*data)
    assert len(search.best_estimator_[-1].estimators_) == 3
    notes = Counter((tmp_path / "notes").read_text("utf-8").splitlines())
    fits = 2 * 3 + 1
    for what in ("begin", "end"):
        assert notes[f"{what} TeacherEnsemble fit-member None"] == 3 * fits
        assert notes[f"{what} TeacherEnsemble fit fit-final-estimator"] == fits
    assert notes["setup GridSearchCV fit None"] == notes["teardown GridSearchCV fit None"] == 1
    assert not any("DecisionTree" in note for note in notes)


@with_scikit_learn_callbacks
def test_clone_and_pickle(data):
    recorder = Recorder()
    model = tree_ensemble().set_callbacks(recorder)
    copy = clone(model)
    assert copy.get_params().keys() == tree_ensemble().get_params().keys()
    assert len(copy.fit(*data).estimators_) == 6
    assert recorder.calls == every_step(6)  # a clone keeps its callbacks, as everywhere
    copy.set_callbacks()
    same = pickle.loads(pickle.dumps(copy))
    assert set(vars(same)) == set(vars(tree_ensemble().fit(*data)))
    assert_array_equal(same.predict(data[0]), copy.predict(data[0]))


@with_scikit_learn_callbacks
def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="FitCallback"):
        tree_ensemble().set_callbacks(print)


@with_scikit_learn_callbacks
@pytest.mark.parametrize("backend", BACKENDS)
def test_progress_bar(backend, data, capfd):
    pytest.importorskip("rich")
    model = tree_ensemble().set_callbacks(sklearn.callback.ProgressBar())
    with running(backend):
        model.fit(*data)
    shown = capfd.readouterr()
    assert "TeacherEnsemble - fit" in shown.out and "100%" in shown.out
    assert not shown.err


# --- any scikit-learn -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_verbose_shows_progress(backend, data, capfd):
    model = tree_ensemble().set_params(verbose=10)
    with running(backend):
        fitted = model.fit(*data)
        after_fit = "".join(capfd.readouterr())
        assert len(list(fitted.member_votes(data[0]))) == 6
    # joblib's own words, which differ between its versions.
    step = re.compile(r"\[Parallel\(n_jobs=.*Done +\d+")
    assert step.search(after_fit)
    assert step.search("".join(capfd.readouterr()))
    tree_ensemble().fit(*data)
    assert not any(capfd.readouterr())


def test_there_are_callbacks_where_scikit_learn_has_them():
    assert hasattr(TeacherEnsemble, "set_callbacks") == HAS_CALLBACKS


def test_stand_ins_have_no_effect(data, monkeypatch):
    """The stand-in for versions below 1.9: without `sklearn.callback`, fit is the same."""
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "sklearn.callback", None)
        try:
            stand_ins = importlib.reload(_callbacks)
            mixin, decorator = stand_ins.CallbackSupportMixin, stand_ins.with_callbacks
        finally:
            without.undo()
            importlib.reload(_callbacks)
    assert mixin.__module__ == "skdistill._callbacks"
    assert not hasattr(mixin, "set_callbacks")
    fit = TeacherEnsemble.fit
    assert decorator(fit) is fit

    class Below(TeacherEnsemble):
        _init_callback_context = mixin._init_callback_context
        fit = decorator(getattr(TeacherEnsemble.fit, "__wrapped__", TeacherEnsemble.fit))

    below = Below(DecisionTreeClassifier(max_depth=2), 6, random_state=0).fit(*data)
    assert set(vars(below)) == set(vars(tree_ensemble().fit(*data)))
    assert_array_equal(
        below.predict_proba(data[0]), tree_ensemble().fit(*data).predict_proba(data[0])
    )


class Remembers:
    """Keeps the largest rows that it is shown."""

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None):
        if X is not None and np.max(X) > 900:
            self.seen.append(np.array(X))

    def on_fit_task_end(self, estimator, context):
        if self.seen and hasattr(estimator, "C"):
            estimator.C = 1e-6  # or it stops, where the solver heeds it


def rows_and_neighbour():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, size=(400, 2)), np.arange(400) % 2
    other = X.copy()
    other[np.random.RandomState(0).permutation(400)[3], 1] = 987.654321  # in the first shard
    return X, other, y


def watched():
    member = LogisticRegression(max_iter=50)  # so few that each is fitted by itself
    return make_pipeline(FunctionTransformer(), member.set_callbacks(Remembers()))


@with_scikit_learn_callbacks
def test_a_callback_of_the_members_takes_no_record_to_other_members():
    """clone hands on the object, so that one member's record decided how the others learned."""
    X, other, y = rows_and_neighbour()
    votes = []
    for rows in (X, other):
        member = watched()
        teacher = TeacherEnsemble(member, 10, classes=[0, 1], random_state=0).fit(rows, y)
        votes.append(np.array(list(teacher.member_votes(X[:20]))))
        assert not member[-1]._skl_callbacks[0].seen
        held = [each[-1]._skl_callbacks[0].seen for each in teacher.estimators_]
        assert sum(map(bool, held)) == (rows is other)
    assert (votes[0] != votes[1]).any(axis=(1, 2)).sum() == 1


class Keeps(Remembers):
    def on_fit_task_end(self, estimator, context):
        self.estimator = estimator


@with_scikit_learn_callbacks
@pytest.mark.filterwarnings("ignore")
def test_the_pickle_of_a_fitted_private_table_holds_no_callback_of_its_teacher():
    X, other, y = rows_and_neighbour()
    keeps = Keeps()
    teacher = TeacherEnsemble(watched(), 10).set_callbacks(keeps)
    model = PrivateClassifier(teacher, schema=(-1000, 1000), classes=[0, 1]).fit(other, y)
    assert keeps.estimator.class_count_.sum() == 400  # it was told, in this process
    pickled = pickle.dumps(model)
    assert b"Keeps" not in pickled and b"Remembers" not in pickled
    assert keeps in teacher._skl_callbacks
