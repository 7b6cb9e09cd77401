"""A distiller and a ledger on disk: every label was charged, wherever and however it was made."""

import contextlib
import linecache
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import warnings

import joblib
import numpy as np
import pytest
from bounded_means import BoundedMeans
from processes import ENVIRONMENT, forked, needs_fork
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge

import skdistill
from skdistill import (
    PrivacyLedger,
    PrivateClassifier,
    PrivateDistiller,
    TeacherEnsemble,
)
from skdistill.release.boundary import TeacherError

A, b = make_classification(300, random_state=0)
X = A[200:]
DELTA = 1e-6

pytestmark = pytest.mark.filterwarnings("ignore:The released labels are mostly noise")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.ledger"


def open_ledger(path, **settings):
    """The ledger at a path, made when it is needed first."""
    replay = settings.pop("replay", True)
    if not os.path.exists(path):
        PrivacyLedger.create(path, **{"epsilon": 1e4, "delta": DELTA, **settings})
    return PrivacyLedger(path, replay=replay)


def teacher():
    return LogisticRegression().fit(A[:200], b[:200])


def distiller(ledger, by=None, **settings):
    return PrivateDistiller(
        teacher() if by is None else by,
        LogisticRegression(),
        delta=DELTA,
        accountant=ledger,
        **settings,
    )


# ------------------------------------------------------------------------- charge, then release


SHOW = "import sys; from skdistill.__main__ import main; main(['ledger', sys.argv[1]])"


class Spied(ClassifierMixin, BaseEstimator):
    """While it is asked, another process looks at the ledger."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        self.seen.append(forked(SHOW, self.path))
        return np.tile([0.5, 0.5], (len(X), 1))


@pytest.mark.slow
def test_another_process_sees_the_charge_while_the_teacher_is_asked(path):
    spied = Spied().fit(A, b)
    spied.path, spied.seen = str(path), []
    ledger = open_ledger(path, replay=False)
    distiller(ledger, spied, epsilon=1.0).fit(X)
    (seen,) = spied.seen
    fresh = open_ledger(path)
    assert len(fresh) == 1
    assert seen == forked(SHOW, path)  # nothing was written between the call and the end


class Counted(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        asked.append(len(X))
        return np.tile([0.5, 0.5], (len(X), 1))


asked: list[int] = []
SOURCE = os.path.dirname(skdistill.__file__)


def _is_with(frame):
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with ")


@contextlib.contextmanager
def interrupted(at):
    """Raise KeyboardInterrupt before the `at`-th line of the package that runs; count them.

    Lines with a ``with`` are left out: a trace function is called where they end, too, and would
    keep ``__exit__`` from being called, which a signal cannot.
    """
    count = [0]

    def trace(frame, event, arg):
        if not frame.f_code.co_filename.startswith(SOURCE):
            return None
        if event == "line" and not _is_with(frame):
            count[0] += 1
            if count[0] == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


@pytest.mark.slow
@pytest.mark.parametrize("replay", [True, False])
def test_an_interrupt_at_any_line_leaves_no_label_without_a_charge(path, replay):
    """In a process of its own.

    A trace function may raise at moments when a signal cannot (CPython sees to that): should a
    lock stay locked, later tests would wait for it.
    """
    command = (
        "import sys; from accounting.test_ledger_releases import interrupt_everywhere\n"
        "interrupt_everywhere(sys.argv[1], sys.argv[2] == 'True')"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, str(path), str(replay)],
        env=ENVIRONMENT,
        check=True,
        timeout=300,
    )


def interrupt_everywhere(path, replay):
    small = X[:5]
    by = Counted().fit(A, b)
    by.ledger_ = None
    with interrupted(at=-1) as lines:
        distiller(open_ledger(path, replay=replay), by).fit(small)
    asked.clear()
    n_charges = 1
    # All lines would take minutes; a random part does not, and over the runs of CI all come up.
    points = np.random.default_rng().permutation(np.arange(1, lines[0] + 1))[:300]
    for at in sorted(int(point) for point in points):
        ledger = open_ledger(path, replay=replay)
        student = distiller(ledger, by, epsilon=1.0 + at / 1e4).set_params(student=Ridge())
        before = len(asked)
        with contextlib.suppress(KeyboardInterrupt), interrupted(at):
            student.fit(small + at)
        charges = len(open_ledger(path))
        assert charges - n_charges in (0, 1)
        charged = charges > n_charges
        n_charges = charges
        was_asked = len(asked) > before
        assert charged or not was_asked
        assert charged or not hasattr(student, "released_labels_")
    # The lock is free and the ledger whole.
    ledger = open_ledger(path)
    ledger.verify()
    distiller(ledger, by).fit(small - 1)
    assert len(ledger) == n_charges + 1


def test_a_teacher_that_raises_stays_charged(path):
    class Failing(Counted):
        def predict_proba(self, X):
            raise RuntimeError("private")

    for n, replay in ((1, True), (2, False)):
        with pytest.raises(TeacherError):
            distiller(open_ledger(path, replay=replay), Failing().fit(A, b)).fit(X)
        assert len(open_ledger(path)) == n


def test_an_overdraft_asks_nothing_and_says_what_fits(path):
    ledger = open_ledger(path, epsilon=1.5)
    by = Counted().fit(A, b)
    distiller(ledger, by, epsilon=1.0).fit(X)
    asked.clear()
    with pytest.raises(Exception, match="1.5") as caught:
        distiller(ledger, by, epsilon=1.4).fit(A[:100])
    assert type(caught.value).__name__.endswith("BudgetError") or "udget" in str(caught.value)
    assert not asked
    assert len(ledger) == 1


# ------------------------------------------------------------------ processes, threads, pickles


def fit_elsewhere(distiller, shift):
    return distiller.fit(X + shift).released_labels_


@pytest.mark.slow
def test_charges_equal_releases_in_worker_processes(path):
    student = distiller(open_ledger(path))
    jobs = (joblib.delayed(student.fit)(X + shift) for shift in range(6))
    fitted = joblib.Parallel(n_jobs=2, backend="loky")(jobs)
    assert len(fitted) == len(open_ledger(path)) == 6


def test_charges_equal_releases_in_threads(path):
    student = distiller(open_ledger(path))
    jobs = (joblib.delayed(fit_elsewhere)(clone(student), shift) for shift in range(8))
    joblib.Parallel(n_jobs=4, backend="threading")(jobs)
    assert len(open_ledger(path)) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_charges_equal_releases_in_forked_children(path):
    student = distiller(open_ledger(path)).fit(X - 1)  # the connection is open
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=fit_elsewhere, args=(clone(student), shift)) for shift in range(4)
    ]
    for child in children:
        child.start()
    student.fit(X - 2)
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(open_ledger(path)) == 6


SCRIPT = """
    import joblib, os, signal, sys, warnings
    import numpy as np
    held, out, *crash = sys.argv[1:]
    warnings.simplefilter("ignore")
    student, X = joblib.load(held)
    student.fit(X)
    np.save(out, student.released_labels_)
    if crash:
        os.kill(os.getpid(), signal.SIGKILL)
"""
AT_ONCE = """
    import os, sys
    children = []
    while len(children) < 5 and (child := os.fork()):
        children.append(child)
    if len(children) == 5:
        os._exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
    sys.argv[2] += f"{len(children)}.npy"
"""


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize(
    "by",
    [
        LogisticRegression(),
        BoundedMeans(classes=[0, 1]),
        TeacherEnsemble(LogisticRegression(), n_teachers=5, classes=[0, 1]),
    ],
    ids=["rows", "parameters", "rounds"],
)
def test_a_release_is_replayed_in_another_process_and_after_a_crash(by, path, tmp_path):
    student = distiller(open_ledger(path), by.fit(A[:200], b[:200]))
    joblib.dump((student, X), tmp_path / "held")
    forked(SCRIPT, tmp_path / "held", tmp_path / "first.npy", "crash", ending=-signal.SIGKILL)
    forked(SCRIPT, tmp_path / "held", tmp_path / "second.npy")
    here = student.fit(X).released_labels_
    for name in ("first", "second"):
        assert np.load(tmp_path / f"{name}.npy").tobytes() == here.tobytes()
    assert len(open_ledger(path)) == 1


@needs_fork
@pytest.mark.slow
def test_many_processes_that_want_one_release_pay_for_it_once(path, tmp_path):
    student = distiller(open_ledger(path))
    joblib.dump((student, X), tmp_path / "held")
    forked(AT_ONCE + SCRIPT, tmp_path / "held", f"{tmp_path}/")
    labels = {np.load(tmp_path / f"{i}.npy").tobytes() for i in range(5)}
    assert len(labels) == 1
    assert len(open_ledger(path)) == 1


def test_threads_that_want_one_release_pay_for_it_once(path):
    student, labels = distiller(open_ledger(path)), []
    threads = [
        threading.Thread(target=lambda: labels.append(clone(student).fit(X).released_labels_))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.tobytes() for each in labels}) == 1
    assert len(labels) == 5
    assert len(open_ledger(path)) == 1


def test_a_published_student_does_not_know_the_ledger(path):
    student = distiller(open_ledger(path))
    unfitted = pickle.loads(pickle.dumps(student))
    assert unfitted.accountant.total() == (0, 0)
    student.fit(X)
    for data in (pickle.dumps(student), repr(student).encode(), student._repr_html_().encode()):
        assert b"data.ledger" not in data
    assert pickle.loads(pickle.dumps(student)).accountant is None


def test_a_frozen_and_cloned_search_shares_the_ledger(path):
    ledger = open_ledger(path)
    student = distiller(ledger, FrozenEstimator(teacher()))
    for twin in (clone(student), clone(clone(student)), pickle.loads(pickle.dumps(student))):
        twin.fit(X)
    assert len(ledger) == 1
    assert 0.999 < ledger.total()[0] <= 1.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # dask's own, when its workers come and go
def test_dask_workers_charge_once_for_each_release(path):
    distributed = pytest.importorskip("distributed")
    student = distiller(open_ledger(path))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        runs = [client.submit(student.fit, X + i % 3, pure=False) for i in range(6)]
        fitted = client.gather(runs)
    labels = {each.released_labels_.tobytes() for each in fitted}
    assert len(labels) == len(open_ledger(path)) == 3  # of six, three were replays


@pytest.mark.usefixtures("few_synthetic_rows")
def test_groups_are_charged_as_groups_and_the_number_of_rows_is_not_written(path):
    rng = np.random.default_rng(0)
    rows, groups = rng.uniform(-1, 1, (317, 2)), rng.integers(0, 60, 317)
    teacher = TeacherEnsemble(LogisticRegression(), 5)
    fit = PrivateClassifier(teacher, schema=(-1, 1), classes=[0, 1])
    by_record = PrivacyLedger.create(path, 10.0, DELTA)
    with pytest.raises(ValueError, match="protects one group"):
        clone(fit).set_params(accountant=by_record).fit(rows, rows[:, 0] > 0, groups=groups)
    assert len(by_record) == 0
    by_group = PrivacyLedger.create(":memory:", 10.0, DELTA, unit="group")
    clone(fit).set_params(accountant=by_group).fit(rows, rows[:, 0] > 0, groups=groups)
    (record,) = by_group.history().to_dict("records")
    assert record["unit"] == "group" and record["note"] == "PrivateClassifier; 60 groups"
    words = re.findall(r"\w+", by_group.history().to_csv())  # the time has many digits
    assert "317" not in words


def test_an_interrupt_leaves_the_silence_of_warnings_in_order(monkeypatch):
    """One between the start of the filters and their place in the list broke all later blocks."""
    from skdistill import _silenced

    def block():
        with _silenced.silenced():
            pass

    with interrupted(at=-1) as lines:
        block()
    for at in range(1, lines[0] + 1):
        with warnings.catch_warnings():  # an interrupt at the end leaves the silence on
            monkeypatch.setattr(_silenced, "_INSIDE", [])
            with contextlib.suppress(KeyboardInterrupt), interrupted(at):
                block()
            block()
