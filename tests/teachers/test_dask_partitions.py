"""Newton teachers on dask collections: the same integers as in memory, charged once, no leak."""

import copy
import functools
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import replay_cases
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrices import some
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skdistill import (
    NewtonClassifier,
    NewtonRegressor,
    PrivacyLedger,
    PrivateClassifier,
    PrivateDistiller,
)
from skdistill.accounting import BudgetAccountant
from skdistill.release import gradient_rounds as rounds
from skdistill.release import partitioned_rows as module
from skdistill.release.noise import ExactSampler
from skdistill.release.partitioned_rows import PartitionError
from skdistill.release.private_sums import IntegerMap, Lattice, PrivateRows
from skdistill.testing import _Recorded, seeded_noise

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

A, b = make_classification(3000, 6, random_state=0)
PUBLIC, TRUTH = make_classification(400, 6, random_state=1)
CLEAN = NewtonClassifier(classes=[0, 1]).fit(A, b)
SECRET = "patient 4711"


def array_of(X, sizes, dtype=None):
    """A dask array with these blocks as they are: nothing is hashed or converted."""
    ends = np.cumsum([0, *sizes])
    parts = [X[i:j] for i, j in zip(ends[:-1], ends[1:], strict=True)]
    blocks = [
        da.from_delayed(dask.delayed(part, traverse=False), part.shape, dtype or X.dtype)
        for part in parts
    ]
    return da.concatenate(blocks)


def frame_of(X, n=3):
    cuts = np.array_split(np.arange(len(X)), n)
    parts = [dask.delayed(X.iloc[rows], traverse=False) for rows in cuts]
    return dd.from_delayed(parts, meta=X.iloc[:0], verify_meta=False)


def sums(rows, seed=0):
    """All sums over rows, at public numbers; also of every third row, or so."""
    rng, d, k = np.random.default_rng(seed), rows.width, rows.n_scores
    lattice = Lattice(np.zeros(d), np.full(d, 2.0**-9))
    frame = IntegerMap(lattice, rng.normal(size=(d + 1, 3)))
    weights = rng.normal(size=(d + 1, k))
    few = max(1, rows.n_units // 3)
    yield rows.targets_sum()
    for at_most in (rows.n_units, few):
        yield rows.gradients(frame, weights, 1.5, at_most)[0]
        for order in ("mean", "squares", "products"):
            yield rows.moments(frame, 2.0, order, at_most)[0]
    if rows.n_classes:
        yield rows.score_histogram(lattice, weights, np.linspace(-2, 2, 7))


def same_sums(first, second):
    for a, b in zip(sums(first), sums(second), strict=True):
        assert (a.l1, a.l2, a.unit) == (b.l1, b.l2, b.unit)
        assert_array_equal(a.values, b.values)
        assert a.values.dtype == b.values.dtype == np.int64


cuts = st.lists(st.integers(0, 60), max_size=7).map(
    lambda at: np.diff([0, *sorted(at), 60]).tolist()
)


@pytest.mark.parametrize("sparse", [False, pytest.param(True, marks=pytest.mark.slow)])
@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(cuts, cuts, st.sampled_from([0, 2, 4]), st.integers(0, 2**32 - 1))
def test_any_partitions_give_the_integers_of_memory(sparse, sizes, of_y, n_classes, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4)) * 10.0 ** rng.integers(-3, 4, size=(60, 1))
    X[rng.random(X.shape) < 0.1] = np.nan
    y = rng.integers(-1, n_classes, 60) if n_classes else rng.normal(size=60)
    teacher = NewtonClassifier(range(n_classes)) if n_classes else NewtonRegressor((-1, 1))
    parts = array_of(X, sizes)
    if sparse:
        X, parts = sp.csr_matrix(X), parts.map_blocks(sp.csr_matrix)
    with dask.config.set(scheduler="synchronous"):
        memory = clone(teacher).fit(X, y)
        found = clone(teacher).fit(parts, array_of(y, of_y))
        same_sums(memory.private_rows_, found.private_rows_)
        assert_array_equal(memory.coef_, found.coef_)
        again = clone(teacher).fit(parts, y)
        same_sums(memory.private_rows_, again.private_rows_)
    if n_classes:
        assert_array_equal(memory.class_count_, found.class_count_)


@pytest.mark.parametrize("n_classes", some([2, 0, 3], 3))
def test_a_release_is_the_release_of_memory(n_classes, monkeypatch):
    """To the last bit, moments and early rounds of a part of the rows included."""
    monkeypatch.setattr(rounds, "_MOMENT_ROWS", 700)
    monkeypatch.setattr("skdistill.teachers.newton._OWNERS_ROWS", 800)
    y = A[:, 0] if not n_classes else (b if n_classes == 2 else np.arange(3000) % 3)
    teacher = NewtonClassifier(range(n_classes)) if n_classes else NewtonRegressor((-3, 3))
    found = []
    for X in (A, array_of(A, (1001, 0, 7, 992, 1000)), array_of(A, (150,) * 20)):
        fitted = clone(teacher).fit(X, y)
        with seeded_noise(0), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            release = PrivateDistiller(fitted, epsilon=1.0).fit(PUBLIC)
        found.append((fitted.coef_, fitted.intercept_, release.released_labels_))
    for other in found[1:]:
        assert all(map(np.array_equal, found[0], other))


def frames():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(90, 3)), columns=list("abc"))
    yield "floats", table
    yield "missing", table.mask(rng.random((90, 3)) < 0.2)
    yield "integers", (table * 10).round().astype({"a": "int64", "b": "Int64", "c": "float32"})
    yield "category", table.assign(c=pd.Categorical(rng.integers(0, 3, 90)))
    yield "dates", table.assign(c=pd.date_range("2020", periods=90))
    texts = table.astype({"c": object})
    texts.iloc[4, 2], texts.iloc[50, 2] = SECRET, None
    yield "objects", texts


@pytest.mark.parametrize("name", some([name for name, _ in frames()], 2))
def test_frames_give_the_integers_of_memory(name):
    table = dict(frames())[name]
    y = np.array(["no", "yes", None], dtype=object)[np.arange(90) % 3]
    teacher = NewtonClassifier(classes=["no", "yes"])
    memory = clone(teacher).fit(table, y)
    labels = dd.from_pandas(pd.Series(y), npartitions=4)
    for target in (y, labels, labels.to_frame("y")):
        with dask.config.set({"dataframe.convert-string": False}):  # makes text of all objects
            found = clone(teacher).fit(frame_of(table), target)
        same_sums(memory.private_rows_, found.private_rows_)
        assert_array_equal(memory.coef_, found.coef_)
        assert found.feature_names_in_.tolist() == ["a", "b", "c"] and found.n_units_ == 90
    assert_array_equal(found.predict(table), memory.predict(table))


def test_features_of_a_public_map_have_unknown_sizes():
    table = pd.DataFrame(A, columns=list("abcdef"))
    frame = dd.from_pandas(table, npartitions=3)
    parts = frame.map_partitions(lambda part: 2 * part.to_numpy(), meta=np.empty((0, 6)))
    assert np.isnan(parts.shape[0])
    found = NewtonClassifier(classes=[0, 1]).fit(parts, array_of(b, (1000, 2000)))
    same_sums(NewtonClassifier(classes=[0, 1]).fit(2 * A, b).private_rows_, found.private_rows_)
    wide = da.from_array(A, chunks=1000)
    with pytest.raises(ValueError, match="unknown"):
        NewtonClassifier(classes=[0, 1]).fit(wide[:, wide[0] > 0], b)


def test_labels_in_memory_may_show_the_classes():
    teacher = NewtonClassifier().fit(array_of(A, (1000, 2000)), b.tolist())
    assert teacher.classes_.tolist() == [0, 1] and not teacher.classes_given_


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        (A, array_of(b, (3000,)), {"classes": None}, "y is a dask collection: list all labels"),
        (A, array_of(b, (2999,)), {}, "X has 3000, y has 2999"),
        (A, b[:7], {}, "X has 3000, y has 7"),
        (A, None, {}, "requires y"),
        (A, array_of(A, (3000,)), {}, "Expected 1D array"),
        (A, array_of(b.astype(str), (3000,)), {}, "The labels in y are text"),
        (A, b, {"classes": [0]}, "at least two"),
        (A, b, {"curvature": np.zeros((3, 9))}, "9 columns"),
        (A[:, 0], b, {}, "Expected 2D array"),
        (A[:0], b[:0], {}, "0 sample"),
        (A[:, :0], b, {}, "0 feature"),
    ],
)
def test_public_errors(X, y, options, message):
    with pytest.raises(ValueError, match=message):
        NewtonClassifier(**{"classes": [0, 1]} | options).fit(array_of(X, (len(X),)), y)


def test_groups_and_other_collections_are_refused():
    with pytest.raises(ValueError, match="rows of a group may lie in several"):
        NewtonClassifier(classes=[0, 1]).fit(array_of(A, (3000,)), b, groups=b)
    import dask.bag

    with pytest.raises(TypeError, match="dask array or of a dask data frame"):
        NewtonClassifier(classes=[0, 1]).fit(dask.bag.from_sequence([1, 2]), [0, 1])


def test_a_private_table_refuses_dask_before_the_charge():
    accountant = BudgetAccountant()
    model = PrivateClassifier(schema=(-5, 5), classes=[0, 1], accountant=accountant)
    with pytest.raises(TypeError, match="NewtonClassifier"):
        model.fit(array_of(A, (3000,)), b)
    assert accountant.total() == (0, 0)


# Hostile records and partitions.


def spoiled(block, how):
    """Return a partition as a task of the caller may change it when it meets one record."""
    if how == "raises":
        raise ValueError(SECRET)
    is_frame = hasattr(block, "iloc")
    if how == "text":
        return block.astype(str)
    if how == "text in a column":
        return block.astype({"a": str})
    if how == "missing column":
        return block.drop(columns="a") if is_frame else block[:, 1:]
    if how == "no rows":
        return block[:0]
    if how == "a row less":
        return block[:-1]
    if how == "a row more":  # every label behind it would be another row's
        return np.concatenate([block[:1], block])
    if how == "complex":
        return block + 1j
    return {"one axis": block[:, 0], "nothing": None, "a text": SECRET}[how]


OF_ARRAYS = ["raises", "text", "missing column", "no rows", "a row less", "a row more", "complex"]
OF_FRAMES = ["raises", "text", "text in a column", "missing column"]  # their rows are counted


def hostile(how, kind):
    """A collection whose second partition is spoiled."""

    def block(part, i):
        return spoiled(part, how) if i == 1 else part

    if kind == "frame":
        table = pd.DataFrame(A, columns=list("abcdef"))
        parts = [dask.delayed(block)(table[i::3], i) for i in range(3)]
        return dd.from_delayed(parts, meta=table.iloc[:0], verify_meta=False)
    parts = [dask.delayed(block)(A[1000 * i : 1000 * (i + 1)], i) for i in range(3)]
    return da.concatenate([da.from_delayed(part, (1000, 6), A.dtype) for part in parts])


def assert_fixed(error):
    assert str(error) == str(PartitionError())
    assert error.__cause__ is None and error.__context__ is None
    frames, at = [], error.__traceback__
    while at is not None:
        frames.append(at.tb_frame.f_code.co_filename)
        at = at.tb_next
    assert not any("test_dask" in path for path in frames[1:])  # no frame of the caller's task


@pytest.mark.parametrize(
    ("how", "kind"),
    [(how, "array") for how in [*OF_ARRAYS, "one axis", "nothing", "a text"]]
    + [(how, "frame") for how in [*OF_FRAMES, "nothing", "a text"]],
)
def test_a_partition_that_cannot_be_read_stops_the_fit(how, kind, caplog):
    collection = hostile(how, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PartitionError) as caught:
            NewtonClassifier(classes=[0, 1]).fit(collection, b)
    assert_fixed(caught.value)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "how", ["raises", "text", "no rows", "a row less", "a row more", "nothing"]
)
def test_labels_that_cannot_be_read_stop_the_fit(how):
    parts = array_of(b, (1000, 2000))
    bad = parts.map_blocks(
        lambda part: spoiled(part, how) if len(part) == 2000 else part, meta=np.empty(0, b.dtype)
    )
    with pytest.raises(PartitionError) as caught:
        NewtonClassifier(classes=[0, 1]).fit(array_of(A, (1500, 1500)), bad)
    assert_fixed(caught.value)


class Fuse:
    """A source of partitions that fails once it is lit."""

    def __init__(self):
        self.lit, self.reads = False, 0

    def __call__(self, block, block_id=None):
        self.reads += 1
        if self.lit and block_id == (1, 0):
            raise ValueError(SECRET)
        return block


def test_a_partition_that_is_lost_after_the_charge():
    """The charge stays, the text is fixed, and another attempt is another release."""
    fuse = Fuse()
    X = array_of(A, (1000, 1000, 1000)).map_blocks(fuse, meta=np.empty((0, 6)))
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, b)
    accountant = BudgetAccountant()
    fuse.lit = True
    with pytest.raises(PartitionError) as caught:
        PrivateDistiller(teacher, accountant=accountant).fit(PUBLIC)
    assert_fixed(caught.value)
    assert accountant.total() == (1.0, 1e-6)


NUMERALS = ["1.5", "n/k", "3"]


def as_texts(kind):
    """Return a frame one of whose partitions became text; declared as numbers, or as objects."""
    parts = [pd.DataFrame({"a": [1.5, 2.0, 3.0], "b": [0.0, 1.0, 2.0]}) for _ in range(3)]
    bad, meta = parts[1], parts[0].iloc[:0]
    if kind == "object":
        parts[1] = bad.assign(a=np.array(NUMERALS, dtype=object))
    elif kind == "object throughout":
        parts = [each.astype({"a": object}) for each in parts]
        meta = parts[0].iloc[:0]
        parts[1] = bad.assign(a=np.array(NUMERALS, dtype=object))
    elif kind == "category":
        parts = [each.astype({"a": "category"}) for each in parts]
        meta = parts[0].iloc[:0]
        parts[1] = bad.assign(a=pd.Categorical(NUMERALS))
    else:
        parts[1] = bad.assign(a=pd.array(NUMERALS, dtype=kind))
    return dd.from_delayed([dask.delayed(each) for each in parts], meta=meta, verify_meta=False)


@pytest.mark.parametrize("kind", ["object", "object throughout", "category", "string"])
def test_numbers_that_became_texts_are_refused(kind):
    """One record that is no number may have made a text of every other one of its partition."""
    with (
        dask.config.set(scheduler="synchronous", **{"dataframe.convert-string": False}),
        pytest.raises(PartitionError),
    ):
        NewtonClassifier(classes=[0, 1]).fit(as_texts(kind), np.arange(9) % 2)


def test_labels_that_became_objects_are_refused():
    labels = [np.array([0, 1, 0]), np.array(["0", "1", "?"], dtype=object), np.array([1, 0, 1])]
    y = da.concatenate(
        [da.from_delayed(dask.delayed(each), (3,), dtype=np.int64) for each in labels]
    )
    with dask.config.set(scheduler="synchronous"), pytest.raises(PartitionError):
        NewtonClassifier(classes=[0, 1]).fit(da.ones((9, 2), chunks=(3, 2)), y)


def test_a_column_that_is_text_is_named():
    frame = dd.from_pandas(pd.DataFrame({"a": ["1.5", "n/k"] * 9, "b": 1.0}), npartitions=2)
    with pytest.raises(ValueError, match=r"columns \['a'\] are text"):
        NewtonClassifier(classes=[0, 1]).fit(frame.astype({"a": "string"}), np.arange(18) % 2)


def hostile_records():
    for container in ("objects", "array", "frame", "nullable"):
        marks = pytest.mark.slow if container in ("frame", "nullable") else ()
        for name in replay_cases.hostile_rows(container, "numbers"):
            if name not in replay_cases._RAGGED:
                yield pytest.param(container, name, None, marks=marks)
    for i, label in enumerate(replay_cases.LABELS):
        yield pytest.param("objects", "same", label, marks=[pytest.mark.slow] * (i % 2))


def mechanism(case):
    container, row, label = case
    table, labels = replay_cases.table(container, "numbers", row, label)
    declared, _ = replay_cases.table(container, "numbers")
    y = np.empty(len(labels), dtype=object)
    for i, label in enumerate(labels):
        y[i] = label
    if hasattr(table, "iloc"):
        X = frame_of(table)
        X = dd.from_delayed(X.to_delayed(), meta=declared.iloc[:0], verify_meta=False)
    else:
        X = array_of(table, (5, 20, 23), declared.dtype)
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, array_of(y, (30, 18)))
    rng = np.random.default_rng(0)
    public = np.column_stack([rng.normal(size=(15, 2)), rng.integers(0, 3, 15)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        release = PrivateDistiller(teacher, epsilon=20.0).calibrate(public)
    return release.queries(None, release.prepare())


@functools.cache
def recorded(container):
    return _Recorded(mechanism, (container, "same", None), None)


@pytest.mark.parametrize(("container", "row", "label"), list(hostile_records()))
def test_replay_audit_of_one_hostile_record(container, row, label, caplog):
    with dask.config.set(scheduler="synchronous", **{"dataframe.convert-string": False}):
        found = recorded(container).audit((container, row, label))
    assert found.n_queries >= 5 and found.error == ""
    assert not any(secret in caplog.text for secret in replay_cases.SECRETS)


# The charge, the noise, and the release.


def test_charged_once_and_replayed_for_nothing():
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-5)
    first, second = (
        NewtonClassifier(classes=[0, 1]).fit(array_of(A, (1000, 2000)), b) for _ in range(2)
    )
    labels = [
        PrivateDistiller(teacher, epsilon=1.0, accountant=ledger).release(PUBLIC)
        for teacher in (first, first, second)
    ]
    assert len(ledger) == 2  # a teacher that was fitted again is another teacher
    assert_array_equal(labels[0], labels[1])
    assert (labels[0] != labels[2]).any()


def test_all_noise_is_drawn_by_the_client_and_tasks_hold_public_numbers_only(monkeypatch):
    drawn, tasks = [], []
    perturb, ask = ExactSampler.perturb, module._ask

    def spy(self, *args):
        drawn.append(threading.current_thread())
        return perturb(self, *args)

    def recorded(asked, first, block, targets, *of_rows):
        tasks.append((threading.current_thread(), asked))
        return ask(asked, first, block, targets, *of_rows)

    monkeypatch.setattr(ExactSampler, "perturb", spy)
    monkeypatch.setattr(module, "_ask", recorded)
    teacher = NewtonClassifier(classes=[0, 1]).fit(array_of(A, (1000, 2000)), b)
    PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC)
    me = threading.main_thread()
    assert drawn and set(drawn) == {me}
    assert tasks and me not in {thread for thread, _ in tasks}
    for _, asked in tasks:
        assert type(asked[0]) is module._Layout
        sent = pickle.dumps(asked)
        assert b"Sampler" not in sent and b"release.noise" not in sent and len(sent) < 10_000
        assert A[0].tobytes()[:8] not in sent and b"PartitionedRows" not in sent


def test_a_round_is_one_task_for_each_partition(monkeypatch):
    asked, ask = [], module._ask

    def recorded(*args):
        asked.append(args[0][1].func.__name__ if hasattr(args[0][1], "func") else "counts")
        return ask(*args)

    monkeypatch.setattr(module, "_ask", recorded)
    teacher = NewtonClassifier(classes=[0, 1]).fit(array_of(A, (1000,) * 3), b)
    PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC)
    n_rounds = asked.count("_clipped") / 3
    assert 4 <= n_rounds <= 10
    assert asked.count("_measured") in {6, 9} and asked.count("_every") == 3


def test_partitions_that_nobody_kept_are_read_once_a_round():
    fuse = Fuse()
    X = array_of(A, (1000, 1000, 1000)).map_blocks(fuse, meta=np.empty((0, 6)))
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, b)
    assert fuse.reads == 3  # the rows for the owner's model; sizes are known
    PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC)
    assert fuse.reads % 3 == 0 and fuse.reads <= 3 * 19


def test_a_pickle_holds_no_partition():
    X = array_of(A, (1000, 2000))
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, b)
    with pytest.raises(TypeError, match="is not pickled"):
        pickle.dumps(teacher)
    assert not hasattr(clone(teacher), "private_rows_")
    assert copy.deepcopy(teacher).private_rows_ is teacher.private_rows_
    assert "Delayed" not in repr(teacher.private_rows_) and "Delayed" not in repr(teacher)
    distiller = PrivateDistiller(teacher, LogisticRegression(), epsilon=1.0)
    grid = {"student__C": [0.1, 1.0]}
    search = GridSearchCV(distiller, grid, cv=2).fit(PUBLIC, TRUTH)
    for each in (distiller, clone(distiller).fit(PUBLIC), search):
        data = pickle.dumps(each)
        assert A[0].tobytes()[:8] not in data and A[0].tobytes()[8:16] not in data
        assert b"dask" not in data and b"PartitionedRows" not in data
    loaded = pickle.loads(pickle.dumps(search))
    assert_array_equal(loaded.predict(PUBLIC), search.predict(PUBLIC))


@pytest.mark.slow
def test_a_search_in_other_processes_says_what_to_do_and_charges_nothing(tmp_path):
    ledger = PrivacyLedger.create(tmp_path / "ledger", epsilon=10.0, delta=1e-5)
    teacher = NewtonClassifier(classes=[0, 1]).fit(array_of(A, (1000, 2000)), b)
    distiller = PrivateDistiller(teacher, LogisticRegression(), accountant=ledger)
    grid = {"student__C": [0.1, 1.0]}
    with pytest.raises(ValueError, match="Run in one process"):
        GridSearchCV(distiller, grid, cv=2, n_jobs=2, error_score="raise").fit(PUBLIC, TRUTH)
    assert len(ledger) == 0


class Holds(ClassifierMixin, BaseEstimator):
    """A student that keeps its training data."""

    def __init__(self, kept=None):
        self.kept = kept

    def fit(self, X, y, sample_weight=None):
        self.classes_, self.kept_ = np.unique(y), self.kept
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


@pytest.mark.parametrize("part", ["X", "rows", "block", "targets", "teacher"])
def test_a_student_that_holds_partitions_is_refused(part):
    X = array_of(A, (1000, 2000))
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, b)
    rows = teacher.private_rows_
    kept = {
        "X": [X],
        "rows": [rows],
        "block": [rows.blocks[1]],
        "targets": rows.targets,
        "teacher": [teacher],
    }[part]
    accountant = BudgetAccountant()
    student = Holds(lambda: None)
    student.kept = {"held": kept}
    with pytest.raises((ValueError, TypeError), match="holds the teacher"):
        PrivateDistiller(teacher, student, accountant=accountant).fit(PUBLIC)
    assert accountant.total() == (0, 0)


def test_the_private_collection_as_the_transfer_set_is_warned_of():
    X = array_of(A, (1000, 2000))
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, b)
    with pytest.warns(UserWarning, match="very table that the teacher was trained on"):
        PrivateDistiller(teacher, epsilon=100.0, max_queries=500).fit(X)


# A cluster.


def deadly_source(flag):
    """Return a function that kills the worker which reads partition 2 while the flag is there.

    A function inside a function is sent by value: workers do not import this file.
    """

    def read(block, block_id=None):
        import contextlib
        import os

        if block_id == (2, 0):
            with contextlib.suppress(FileNotFoundError):
                os.remove(flag)  # the first to come takes it
                os._exit(1)
        return block

    return read


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # dask's own, when its workers come and go
def test_workers_that_die_change_nothing(tmp_path):
    """One in the fit, and one in a round: the partition is read again, by another worker."""
    distributed = pytest.importorskip("distributed")
    flag = tmp_path / "flag"
    with seeded_noise(0):
        expected = PrivateDistiller(CLEAN, epsilon=1.0).fit(PUBLIC)
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-5)
    calls, whole = [], PrivateRows.gradients

    def deadly(self, *args):
        calls.append(flag.touch() if len(calls) == 2 else None)
        return whole(self, *args)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        source = deadly_source(str(flag))
        X = da.from_array(A, chunks=(500, 6)).map_blocks(source, meta=np.empty((0, 6)))
        flag.touch()
        teacher = NewtonClassifier(classes=[0, 1]).fit(X, da.from_array(b, chunks=700))
        assert not flag.exists()
        assert_array_equal(teacher.coef_, CLEAN.coef_)
        client.wait_for_workers(2, timeout=120)
        patch.setattr(PrivateRows, "gradients", deadly)
        with seeded_noise(0):
            found = PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC)
        assert len(calls) > 3 and not flag.exists()
        PrivateDistiller(teacher, epsilon=1.0, accountant=ledger).fit(PUBLIC)
    assert len(ledger) == 1
    assert_array_equal(found.released_labels_, expected.released_labels_)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_withholds_what_a_task_says(caplog):
    distributed = pytest.importorskip("distributed")
    collection = hostile("raises", "array")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        pytest.raises(PartitionError) as caught,
    ):
        NewtonClassifier(classes=[0, 1]).fit(collection, b)
    assert_fixed(caught.value)


def test_the_report_counts_labels_outside_the_classes_and_says_what_is_not_counted():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.where(X[:, 0] > 0, 1, 0)
    y[:5] = 7
    rows = da.from_array(X, chunks=(20, 2))
    teacher = NewtonClassifier(classes=[0, 1]).fit(rows, da.from_array(y, chunks=20))
    assert teacher.report().left_out == 5
    teacher = NewtonRegressor((-1, 1)).fit(rows, da.from_array(X[:, 0], chunks=20))
    assert teacher.report().left_out is None
