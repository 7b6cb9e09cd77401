"""One record reaches one member: replays over containers, hostile records and hostile members."""

import contextlib
import hashlib
import random
import warnings

import hostile
import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from bounded_means import BoundedMeans
from matrices import some
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from skdistill import _tables
from skdistill._randomness import own_randomness, put_back_once
from skdistill.certificates import certify
from skdistill.teachers import TeacherEnsemble, members
from skdistill.teachers.shards import shards_of_records
from skdistill.transfer import TableFeatures

N, K, VICTIM, HOME = 40, 4, 0, 0
SEED = 2  # shards with the victim in the first of them: the other members come after its own
Y = [0, 1] * (N // 2)


def votes(X, y, public, member=None, classes=(0, 1), **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TeacherEnsemble(
            hostile.Witness() if member is None else member,
            K,
            classes=None if classes is None else list(classes),
            random_state=SEED,
        )
        fitted = model.fit(X, y, **settings)
        return np.array(list(fitted.member_votes(public))), fitted


def changed(one, other):
    """Members whose votes differ."""
    axes = tuple(range(1, one.ndim))
    return set(np.flatnonzero((one != other).any(axis=axes)).tolist())


def replaced(rows, record):
    return [record(rows[0]) if i == VICTIM else row for i, row in enumerate(rows)]


@pytest.mark.parametrize("make", [hostile.numbers, hostile.mixed])
@pytest.mark.parametrize("container", some(hostile.CONTAINERS, 2))
def test_one_record_changes_one_member(container, make):
    build = hostile.CONTAINERS[container]
    rows = make(N)
    X, public = build(rows), build(make(5))
    if X is None:
        pytest.skip("this container holds numbers alone")
    before, fitted = votes(X, Y, public)
    assert len(set(before[:, 0, 0])) == K  # every member says something of its own
    tried, moved = 0, set()
    for name, record in hostile.ROWS.items():
        neighbour = build(replaced(rows, record))
        if neighbour is None:  # this container cannot hold such a record
            continue
        after, other = votes(neighbour, Y, public)
        assert changed(before, after) <= {HOME}, name
        assert other.n_features_in_ == fitted.n_features_in_ == 3, name
        tried += 1
        moved |= changed(before, after)
    assert tried >= 3 and moved == {HOME}


@pytest.mark.parametrize("container", hostile.LABELS)
@pytest.mark.parametrize("label", some(hostile.ODD_LABELS, 2))
def test_one_label_changes_one_member(container, label):
    X = np.array(hostile.numbers(N), dtype=float)
    y = hostile.put(Y, container)
    odd = hostile.put([hostile.ODD_LABELS[label], *Y[1:]], container)
    if odd is None:
        pytest.skip("this container cannot hold such a label")
    before, one = votes(X, y, X[:3])
    after, other = votes(X, odd, X[:3])
    assert changed(before, after) <= {HOME}
    assert ((one.class_count_ - other.class_count_) ** 2).sum() <= 2
    assert other.class_count_.sum() >= N - 1


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["a", "b"]])
@pytest.mark.parametrize("container", hostile.LABELS)
@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_label_where_classes_are_found_in_y(container, labels, missing):
    X = np.array(hostile.numbers(N), dtype=float)
    y = hostile.put(labels * (N // 2), container)
    odd = hostile.put([missing, *(labels * (N // 2))[1:]], container)
    if odd is None:
        pytest.skip("this container cannot hold such a label")
    if str(getattr(odd, "dtype", "")) == "Float64" and labels == [False, True]:
        pytest.skip("polars has made numbers of booleans, and nothing tells them from numbers")
    before, one = votes(X, y, X[:3], classes=None)
    after, other = votes(X, odd, X[:3], classes=None)
    assert changed(before, after) == {HOME}
    assert one.classes_.dtype == other.classes_.dtype
    assert one.classes_.tolist() == other.classes_.tolist() == labels


@pytest.mark.parametrize("container", hostile.LABELS)
@pytest.mark.parametrize("label", some(hostile.ODD_LABELS, 2))
def test_one_target_changes_one_member(container, label):
    X = np.array(hostile.numbers(N), dtype=float)
    y = list(range(N))
    odd = hostile.put([hostile.ODD_LABELS[label], *y[1:]], container)
    if odd is None:
        pytest.skip("this container cannot hold such a target")
    member = hostile.WitnessOfTargets()
    before, _ = votes(X, hostile.put(y, container), X[:3], member, classes=None)
    after, _ = votes(X, odd, X[:3], member, classes=None)
    assert changed(before, after) <= {HOME}


@pytest.mark.parametrize("container", hostile.LABELS)
@pytest.mark.parametrize("label", [*hostile.ODD_LABELS, 7.0, "7"])
def test_one_group_label_moves_no_other_group(container, label):
    groups = [i // 2 for i in range(N)]
    odd = hostile.put([hostile.ODD_LABELS.get(label, label)] * 2 + groups[2:], container)
    if odd is None:
        pytest.skip("this container cannot hold such a label")
    names = _tables.group_names(hostile.put(groups, container))
    assert _tables.group_names(odd)[2:] == names[2:]
    assert len(set(names)) == N // 2


def marked():
    """Rows, those of a neighbour, and public rows."""
    X = np.random.default_rng(0).normal(size=(N, 3))
    other = X.copy()
    other[VICTIM] = 13
    return X, other, X[:4].copy()


def test_the_victim_is_in_the_first_shard():
    assert VICTIM in shards_of_records(N, K, np.random.RandomState(SEED))[HOME]


BACKENDS = ["sequential", "threading", pytest.param("loky", marks=pytest.mark.slow)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("member", hostile.MEMBERS, ids=lambda member: member.__name__)
def test_one_record_that_makes_a_member_misbehave(member, backend):
    X, other, public = marked()
    kept = X.copy(), other.copy(), public.copy()
    with joblib.parallel_config(backend=backend, n_jobs=1 if backend == "sequential" else 2):
        before, _ = votes(X, Y, public, member())
        after, _ = votes(other, Y, public, member())
        again, _ = votes(X, Y, public, member())
    assert changed(before, after) == {HOME}
    assert changed(before, again) == set()
    for given, was in zip((X, other, public), kept, strict=True):
        assert np.array_equal(given, was)  # the caller's arrays are untouched


def test_threads_set_no_filters_of_warnings_while_others_are_asked(monkeypatch):
    """All threads share them: a member would see how far others are, and may be heard."""
    calls = []
    for name in ("resetwarnings", "filterwarnings"):
        monkeypatch.setattr(warnings, name, lambda *a, name=name, **k: calls.append(name))
    X, _, public = marked()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        votes(X, Y, public, hostile.Witness())
    assert calls == []


def test_other_threads_have_the_configuration_of_scikit_learn():
    X, _, public = marked()
    with sklearn.config_context(transform_output="pandas"):
        here, _ = votes(X, Y, public)
        with joblib.parallel_config(backend="threading", n_jobs=2):
            there, _ = votes(X, Y, public)
    plain, _ = votes(X, Y, public)
    assert changed(here, there) == set()
    assert changed(here, plain) == set(range(K))


@pytest.mark.parametrize("container", ["object array", "list", "pandas", "polars", "csr"])
def test_members_that_write_into_rows_of_every_container(container):
    build = hostile.CONTAINERS[container]
    rows = hostile.numbers(N)
    public = build(rows[:4])
    before, _ = votes(build(rows), Y, public, hostile.InPlace())
    other = replaced(rows, lambda row: [13, *row[1:]])
    after, _ = votes(build(other), Y, public, hostile.InPlace())
    assert changed(before, after) == {HOME}
    assert hostile.picture(public) == hostile.picture(build(rows[:4]))


@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(copy=False),
        MinMaxScaler(copy=False),
        MaxAbsScaler(copy=False),
        RobustScaler(copy=False),
        Normalizer(copy=False),
        QuantileTransformer(n_quantiles=5, copy=False),
        PowerTransformer(copy=False),
        FunctionTransformer(lambda X: np.multiply(X, X.sum(), out=X)),
    ],
    ids=lambda step: type(step).__name__,
)
def test_steps_that_work_in_place(step):
    X, other, public = marked()
    model = make_pipeline(step, LogisticRegression())
    before, _ = votes(X, Y, public, model)
    after, _ = votes(other, Y, public, model)
    assert changed(before, after) <= {HOME}


def test_splitters_that_draw_from_the_global_generator():
    X, other, public = marked()
    other[VICTIM] = np.inf  # its member fails, and draws nothing
    search = GridSearchCV(
        DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=StratifiedKFold(2, shuffle=True)
    )
    runs = []
    for rows in (X, X, other):
        np.random.seed(3)
        runs.append(votes(rows, Y, public, search)[0])
        runs.append(np.random.rand())
    assert changed(runs[0], runs[2]) == set()
    assert changed(runs[0], runs[4]) == {HOME}
    assert runs[1] == runs[3] == runs[5]  # the caller's generator is where it was


def test_a_text_in_a_categorical_or_dummy_column():
    rows = hostile.mixed(N)
    model = make_pipeline(FunctionTransformer(pd.get_dummies), LogisticRegression())
    for container in ("pandas", "categorical", "nullable"):
        build = hostile.CONTAINERS[container]
        other = build(replaced(rows, hostile.ROWS["new category"]))
        before, _ = votes(build(rows), Y, build(rows[:4]), model)
        after, _ = votes(other, Y, build(rows[:4]), model)
        assert changed(before, after) <= {HOME}


def test_an_interrupted_refit_leaves_the_earlier_ensemble():
    class Stopping(hostile.Witness):
        stop = None

        def fit(self, X, y):
            if self.stop is not None:
                raise self.stop("canary")
            return super().fit(X, y)

    X, _, public = marked()
    before, fitted = votes(X, Y, public, Stopping())
    state = dict(vars(fitted))
    for stop in (KeyboardInterrupt, SystemExit):
        Stopping.stop = stop
        with pytest.raises(stop) as caught:
            fitted.fit(X[:, :2], Y, groups=np.arange(N) // 2)
        assert not caught.value.args
        assert vars(fitted) == state
    Stopping.stop = None
    assert changed(before, np.array(list(fitted.member_votes(public)))) == set()
    fitted.fit(pd.DataFrame(X, columns=list("abc")), Y)
    assert hasattr(fitted, "feature_names_in_")
    fitted.fit(X, Y)
    assert not hasattr(fitted, "feature_names_in_")


def test_public_rows_reach_members_as_private_ones_do():
    """Codes as integers, floats or objects, categories as text: a member meets known types."""
    rows = hostile.mixed(N)
    model = make_pipeline(FunctionTransformer(pd.get_dummies), LogisticRegression())
    X = hostile.frame(rows)
    tables = [X, X.astype("category"), X.convert_dtypes(), X.astype({"a": float})]
    found = [votes(each, Y, public, model)[0] for each in tables for public in tables]
    assert all(changed(found[0], each) == set() for each in found[1:])


# --- mutants: each guard undone is seen -----------------------------------------------------------


def count_changed(member, X, other, public):
    before, _ = votes(X, Y, public, member)
    after, _ = votes(other, Y, public, member)
    return len(changed(before, after))


def test_columns_with_the_dtype_of_the_whole_table_are_caught(monkeypatch):
    rows = hostile.mixed(N)
    other = replaced(rows, hostile.ROWS["text"])
    monkeypatch.setattr(_tables, "narrow", lambda cells: cells)
    X, neighbour = (hostile.frame(each) for each in (rows, other))
    assert count_changed(hostile.Witness(), X, neighbour, X[:3]) > 1


@pytest.mark.parametrize("member", [hostile.Drawer, hostile.Meddler])
def test_members_without_a_seed_of_their_own_are_caught(monkeypatch, member):
    def call(function, *data, seed=None):
        return function(*data)

    monkeypatch.setattr(members, "call_privately", call)
    X, _, public = marked()
    other = X.copy()
    other[VICTIM] = 13
    with warnings.catch_warnings(), np.errstate():
        np.random.seed(0)
        assert count_changed(member(), X, other, public) > 1
    import os

    os.environ.pop("HOSTILE", None)
    sklearn.set_config(transform_output="default")


def test_public_rows_without_a_copy_are_caught(monkeypatch):
    monkeypatch.setattr(members, "copy_rows", lambda X: X)
    monkeypatch.setattr("skdistill.teachers.ensemble.frozen", lambda X: X)
    X, other, public = marked()
    assert count_changed(hostile.InPlace(), X, other, public) > 1


def test_public_rows_cannot_be_made_writable():
    class Unlocking(hostile.InPlace):
        def predict_proba(self, X):
            array = X
            while isinstance(array, np.ndarray):
                with contextlib.suppress(ValueError):
                    array.setflags(write=True)
                array = array.base
            return super().predict_proba(X)

    X, other, public = marked()
    before, _ = votes(X, Y, public, Unlocking())
    after, _ = votes(other, Y, public, Unlocking())
    assert changed(before, after) == {HOME}


def test_an_array_that_is_only_flagged_is_not_frozen():
    array = np.ones((2, 2))
    array.setflags(write=False)
    assert not members.is_frozen(array) and not members.is_frozen(array[:1])
    assert members.is_frozen(members.frozen(array))
    assert np.array_equal(members.frozen(np.asfortranarray(array)), array)


def test_generators_are_put_back_after_members_have_voted():
    X, _, public = marked()
    _, fitted = votes(X, Y, public, hostile.Drawer())
    np.random.seed(3)
    random.seed(3)
    np.random.normal()  # and one number is held back
    state = np.random.get_state(legacy=False), random.getstate()
    list(fitted.member_votes(public))
    assert repr(np.random.get_state(legacy=False)) == repr(state[0])
    assert random.getstate() == state[1]


def test_a_fit_inside_of_a_batch_puts_back_what_it_has_found():
    with put_back_once(), own_randomness(1):
        first = np.random.rand()
        with own_randomness(2):
            np.random.rand()
        second = np.random.rand()
    expected = np.random.RandomState(1).rand(2)
    assert [first, second] == expected.tolist()


def test_labels_with_one_dtype_for_all_are_caught(monkeypatch):
    X, _, public = marked()
    proper = _tables.cells_of
    monkeypatch.setattr(
        "skdistill.teachers.fitted.cells_of", lambda y: proper(np.asarray(y).tolist())
    )
    before, _ = votes(X, Y, public)
    after, _ = votes(X, ["unknown", *Y[1:]], public)
    assert len(changed(before, after)) == K


def test_a_fraction_is_a_digest():
    assert hostile.fraction("a") != hostile.fraction("b")
    assert hashlib.blake2b(b"a").digest() != hashlib.blake2b(b"b").digest()


# --- one teacher for all rows --------------------------------------------------------------------


@pytest.mark.parametrize("container", hostile.CONTAINERS)
def test_one_row_changes_one_row_of_table_features(container):
    build = hostile.CONTAINERS[container]
    rows = hostile.numbers(N)
    if container in ("csr", "coo"):
        pytest.skip("a schema reads dense tables")
    public = np.random.default_rng(0).uniform(0, 9, (60, 3))
    features = TableFeatures((0, 9)).fit(build(public.tolist()))
    wanted = features.transform(build(rows))
    for name, record in hostile.ROWS.items():
        neighbour = build(replaced(rows, record))
        if neighbour is not None:
            assert np.array_equal(features.transform(neighbour)[1:], wanted[1:]), name


@pytest.mark.parametrize("container", hostile.CONTAINERS)
def test_one_record_moves_weights_within_the_bound(container):
    build = hostile.CONTAINERS[container]
    rows = hostile.numbers(N)
    model = BoundedMeans(classes=[0, 1])
    one = clone(model).fit(build(rows), Y)
    odd = list(hostile.ODD_LABELS.values())
    for i, (name, record) in enumerate(hostile.ROWS.items()):
        neighbour = build(replaced(rows, record))
        if neighbour is None:
            continue
        other = clone(model).fit(neighbour, [odd[i % len(odd)], *Y[1:]])
        assert np.linalg.norm(one.weights_ - other.weights_) <= certify(one).radius, name
        assert certify(one).radius == certify(other).radius
        assert ((one.class_count_ - other.class_count_) ** 2).sum() <= 2
