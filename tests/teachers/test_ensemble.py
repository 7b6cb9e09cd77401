"""TeacherEnsemble: one record reaches one teacher, always."""

import logging
import warnings

import joblib
import numpy as np
import pytest
from ensemble_cases import BACKENDS, CANARY, Answers, Recorder, RecorderRegressor, leaky
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skdistill._tables import group_names
from skdistill.teachers import ensemble as module
from skdistill.teachers import shards as sharding
from skdistill.teachers.ensemble import TeacherEnsemble
from skdistill.teachers.members import ConstantVoter
from skdistill.teachers.shards import (
    label_counts,
    shards_of_groups,
    shards_of_records,
)

# Many cases here are about shards of one record or none.
pytestmark = pytest.mark.filterwarnings("ignore:.* teachers for .* records.*:UserWarning")


# --- the certificate's premise: one record, one shard ---------------------------------------------


def shards_changed(a, b):
    """Number of members whose training rows differ, or that differ in kind."""

    def what(member):
        if isinstance(member, ConstantVoter):
            return ("constant", np.asarray(member.vote).tobytes())
        return (member.X_.tobytes(), member.y_.tobytes())

    assert len(a.estimators_) == len(b.estimators_)
    pairs = zip(a.estimators_, b.estimators_, strict=True)
    return sum(what(one) != what(other) for one, other in pairs)


@given(
    n=st.integers(1, 60),
    k=st.integers(1, 70),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["classifier", "regressor", "given classes"]),
    data=st.data(),
)
def test_replacing_one_record_changes_one_shard(n, k, seed, kind, data):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 9, (n, 2)).astype(float), rng.integers(0, 3, n)
    member = RecorderRegressor() if kind == "regressor" else Recorder()
    classes = [0, 1, 2]
    i = data.draw(st.integers(0, n - 1))
    X2, y2 = X.copy(), y.copy()
    X2[i], y2[i] = 1e9, data.draw(st.integers(0, 4))  # 3 and 4 are outside classes
    if kind == "classifier":
        y2[i] %= 3
        y[: min(n, 3)] = y2[: min(n, 3)] = np.arange(3)[:n]  # the set of labels is public here
        classes = None
    shape = {"n_teachers": k, "classes": classes, "random_state": seed}
    one = TeacherEnsemble(member, **shape).fit(X, y)
    other = TeacherEnsemble(member, **shape).fit(X2, y2)
    assert shards_changed(one, other) <= 1
    rows = [len(m.y_) for m in one.estimators_ if not isinstance(m, ConstantVoter)]
    assert sum(rows) <= n


@pytest.mark.parametrize("member", [Recorder(), RecorderRegressor()])
def test_every_record_in_turn(member):
    """23 records, 4 shards; the newcomer's label is outside the classes."""
    X, y = np.arange(46.0).reshape(23, 2), np.arange(23) % 2
    model = TeacherEnsemble(member, 4, classes=[0, 1], random_state=0)
    one = clone(model).fit(X, y)
    for i in range(23):
        X2, y2 = X.copy(), y.copy()
        X2[i], y2[i] = -1, 7
        assert shards_changed(one, clone(model).fit(X2, y2)) == 1


def check_partition(shards, n):
    """Every index in exactly one shard."""
    assert_array_equal(np.sort(np.concatenate(shards)), np.arange(n))


@given(n=st.integers(0, 300), k=st.integers(1, 320), seed=st.integers(0, 2**31))
def test_shards_of_records_partition(n, k, seed):
    shards = shards_of_records(n, k, np.random.RandomState(seed))
    assert len(shards) == k
    check_partition(shards, n)
    sizes = [len(s) for s in shards]
    assert max(sizes) - min(sizes) <= 1


@given(
    groups=st.lists(st.text(max_size=3), max_size=80),
    k=st.integers(1, 90),
    key=st.binary(max_size=32),
)
def test_shards_of_groups_partition(groups, k, key):
    shards = shards_of_groups(groups, k, key)
    assert len(shards) == k
    check_partition(shards, len(groups))
    home = {}
    for j, shard in enumerate(shards):
        for i in shard:
            assert home.setdefault(groups[i], j) == j


def test_mutant_with_an_overlapping_row_is_caught(monkeypatch):
    true = module.shards_of_records

    def overlapping(n, n_shards, random_state):
        shards = true(n, n_shards, random_state)
        return [np.append(shards[0], shards[1][0]), *shards[1:]]

    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    monkeypatch.setattr(module, "shards_of_records", overlapping)
    with pytest.raises(AssertionError):
        check_partition(overlapping(20, 4, np.random.RandomState(0)), 20)
    changed = []
    for i in range(20):
        X2 = X.copy()
        X2[i] = -1
        fits = [TeacherEnsemble(Recorder(), 4, random_state=0).fit(Z, y) for Z in (X, X2)]
        changed.append(shards_changed(*fits))
    assert max(changed) == 2


@given(seed=st.integers(0, 2**31), k=st.integers(1, 12), n_groups=st.integers(1, 12))
def test_replacing_a_groups_records_changes_one_shard(seed, k, n_groups):
    """The other groups' rows keep their shards where any number of rows comes or goes."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(n_groups, 40))
    groups = np.r_[np.arange(n_groups), rng.integers(0, n_groups, n - n_groups)]
    X, y = rng.integers(0, 9, (n, 2)).astype(float), rng.integers(0, 2, n)
    victim = rng.integers(n_groups)
    keep = np.flatnonzero(groups != victim)
    new = int(rng.integers(1, 9))
    order = np.argsort(np.r_[keep, rng.uniform(-1, n, new)], kind="stable")  # mixed in anywhere
    X2 = np.r_[X[keep], rng.normal(size=(new, 2))][order]
    y2 = np.r_[y[keep], rng.integers(0, 2, new)][order]

    def fit(X, y, groups, n_teachers=k):
        shape = {"n_teachers": n_teachers, "classes": [0, 1], "random_state": 3}
        return TeacherEnsemble(Recorder(), **shape).fit(X, y, groups=groups)

    same_label = np.r_[groups[keep], np.full(new, victim)][order]
    one = fit(X, y, groups)
    assert shards_changed(one, fit(X2, y2, same_label)) <= 1
    other_label = np.r_[groups[keep], np.full(new, -5)][order]
    assert shards_changed(one, fit(X2, y2, other_label)) <= 2  # as documented
    as_text = [f"{g}" for g in same_label]
    assert shards_changed(fit(X2, y2, same_label), fit(X2, y2, as_text)) == 0
    as_float = same_label.astype(float)
    assert shards_changed(fit(X2, y2, same_label), fit(X2, y2, as_float)) == 0


def test_automatic_number_counts_groups_not_rows(monkeypatch):
    monkeypatch.setattr(sharding, "ROWS_PER_CLASS", 1)
    groups = np.arange(40) // 2
    fitted = TeacherEnsemble(Recorder()).fit(np.zeros((40, 1)), groups % 2, groups=groups)
    assert fitted.n_teachers_ == 10
    assert TeacherEnsemble(Recorder()).fit(np.zeros((40, 1)), groups % 2).n_teachers_ == 20


def test_a_mixed_type_newcomer_does_not_move_the_others():
    """One odd label must not change how the labels beside it are spelled."""
    groups = [1, 2, 3, 4, 5, 6, 7, 8]
    names = group_names(groups)
    for odd in (2.5, "x", None, float("nan"), True):
        assert group_names([*groups[:-1], odd])[:-1] == names[:-1]


def test_member_seeds_do_not_depend_on_the_number_of_rows_of_a_group():
    X, y, groups = np.arange(12.0)[:, None], np.arange(12) % 2, np.arange(12) // 2
    seeds = []
    for rows in (slice(None), slice(0, 11)):
        fitted = TeacherEnsemble(DecisionTreeClassifier(), 2, random_state=0, classes=[0, 1]).fit(
            X[rows], y[rows], groups=groups[rows]
        )
        seeds.append(
            [getattr(m, "random_state", None) for m in fitted.estimators_]  # constants have none
        )
    assert seeds[0] == seeds[1]


@settings(deadline=None)
@given(codes=st.lists(st.integers(-1, 3), min_size=1, max_size=40), seed=st.integers(0, 2**31))
def test_class_counts_move_by_at_most_root_two(codes, seed):
    rng = np.random.default_rng(seed)
    codes = np.array(codes)
    other = codes.copy()
    other[rng.integers(len(codes))] = rng.integers(-1, 4)
    before, after = (label_counts(c, 4).astype(int) for c in (codes, other))
    assert ((before - after) ** 2).sum() <= 2
    assert before.sum() == (codes >= 0).sum()
    groups = rng.integers(0, 5, len(codes)).astype(str).tolist()
    victim = groups[0]
    other = np.where(np.array(groups) == victim, rng.integers(-1, 4, len(codes)), codes)
    before, after = (label_counts(c, 4, groups).astype(int) for c in (codes, other))
    assert ((before - after) ** 2).sum() <= 2


def test_class_count_is_what_it_says():
    y = np.array(list("aabbbcz"))
    fitted = TeacherEnsemble(Recorder(), 2, classes=["c", "a", "b", "d"]).fit(np.zeros((7, 1)), y)
    assert fitted.classes_.tolist() == ["a", "b", "c", "d"]
    assert fitted.class_count_.tolist() == [2, 3, 1, 0]
    assert fitted.class_count_.dtype == np.int64
    fitted.fit(np.zeros((7, 1)), y, groups=[1, 1, 1, 2, 2, 3, 3])
    assert fitted.class_count_.tolist() == [1, 1, 1, 0]
    assert fitted.group_level_


# --- bounded influence on the votes ---------------------------------------------------------------


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e308, -1e308])
def test_one_record_moves_the_average_by_one_vote(poison):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(203, 3)), rng.integers(0, 3, 203)
    k = 10
    X2, y2 = X.copy(), y.copy()
    X2[17], y2[17] = poison, 2
    shape = {"n_teachers": k, "classes": [0, 1, 2], "random_state": 1}
    p, q = (
        TeacherEnsemble(LogisticRegression(), **shape).fit(*Z).predict_proba(X)
        for Z in ((X, y), (X2, y2))
    )
    distance = np.linalg.norm(p - q, axis=1)
    assert distance.max() <= np.sqrt(2) / k * (1 + 1e-12)
    assert distance.max() > 0


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[np.nan, 1]], 0.5),
        ([[np.inf, 1]], 0.5),
        ([[-np.inf, 1]], 0.0),
        ([[0, 0]], 0.5),
        ([[-3, 2]], 0.0),
        ([[3, 1]], 0.75),
        ([[1e308, 1e308]], 0.5),
        ([[1e-320, 0]], 1.0),
    ],
)
def test_average_normalises_every_member(rows, expected):
    X, y = np.zeros((8, 1)), np.arange(8) % 2
    fitted = TeacherEnsemble(Answers([0, 1], rows), 1).fit(X, y)
    p = fitted.predict_proba(X)
    assert_allclose(p[:, 0], expected, atol=1e-15)
    assert_allclose(p.sum(axis=1), 1)


def test_columns_are_aligned_by_label():
    X, y = np.zeros((8, 1)), np.array(list("abcabcab"))
    subset = TeacherEnsemble(Answers(["c", "a"], [[0.9, 0.1]]), 1).fit(X, y)
    assert_allclose(subset.predict_proba(X)[0], [0.1, 0, 0.9])
    alien = TeacherEnsemble(Answers(["zebra", "b"], [[0.5, 0.5]]), 1).fit(X, y)
    assert_allclose(alien.predict_proba(X)[0], [0, 1, 0])
    only_alien = TeacherEnsemble(Answers([7.5, 8.5], [[0.5, 0.5]]), 1).fit(X, y)
    assert_allclose(only_alien.predict_proba(X), 1 / 3)
    assert next(only_alien.member_votes(X)).sum() == 0  # raw


def test_wrong_shapes_are_uniform_voters():
    class Short(Answers):
        def predict_proba(self, X):
            return np.ones((len(X) + 1, 5))

    X, y = np.zeros((8, 1)), np.arange(8) % 2
    assert_allclose(TeacherEnsemble(Short([0, 1], [[1, 0]]), 2).fit(X, y).predict_proba(X), 0.5)


def test_one_class_and_empty_shards():
    X, y = np.arange(4.0)[:, None], np.array([0, 0, 0, 1])
    fitted = TeacherEnsemble(LogisticRegression(), 6, random_state=0).fit(X, y)
    votes = np.array(list(fitted.member_votes(X)))
    assert votes.shape == (6, 4, 2)
    kinds = sorted(map(tuple, votes[:, 0].tolist()))
    assert kinds == [(0, 1), (0.5, 0.5), (0.5, 0.5), (1, 0), (1, 0), (1, 0)]
    outside = TeacherEnsemble(LogisticRegression(), 2, classes=["x", "y"]).fit(X, y.tolist())
    assert_allclose(outside.predict_proba(X), 0.5)
    assert outside.class_count_.tolist() == [0, 0]


def test_regression_constants_depend_on_nothing_private():
    X, y = np.arange(3.0)[:, None], np.array([1.0, 2.0, np.inf])
    fitted = TeacherEnsemble(LinearRegression(), 5, random_state=0).fit(X, y)
    votes = np.array(list(fitted.member_votes(X)))
    assert np.isnan(votes).all(axis=1).sum() == 3  # two empty, one that could not be trained
    assert_allclose(fitted.predict(X), 1.5)
    hopeless = TeacherEnsemble(LinearRegression(), 2).fit(X * np.nan, y)
    assert_array_equal(hopeless.predict(X), 0)


@pytest.mark.parametrize("y", [["a", 1, None, ("x",), [2], float("nan"), "b", "a"]])
def test_labels_outside_classes_never_raise(y):
    y = np.array([*y, None], dtype=object)[:-1]
    fitted = TeacherEnsemble(LogisticRegression(), 1, classes=["a", "b"]).fit(
        np.arange(8.0)[:, None], y
    )
    assert fitted.class_count_.tolist() == [2, 1]


# --- nothing private in any message ---------------------------------------------------------------


@pytest.fixture
def silence(capfd, caplog, recwarn):
    """Fail if the canary shows up in printed text, a log or a warning."""
    caplog.set_level(logging.DEBUG)
    yield
    printed = capfd.readouterr()
    seen = [printed.out, printed.err, caplog.text, *(str(w.message) for w in recwarn.list)]
    assert not any(CANARY in text for text in seen)
    assert not recwarn.list


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("at", ["fit", "predict"])
def test_failing_members_are_uniform_and_silent(backend, at, silence):
    X, y = np.zeros((60, 2)), np.arange(60) % 2
    X[11] = 13
    with joblib.parallel_config(backend=backend, n_jobs=1 if backend == "sequential" else 2):
        fitted = TeacherEnsemble(leaky(at), 6, random_state=0).fit(X, y)
        votes = np.array(list(fitted.member_votes(X)))
        p = fitted.predict_proba(X)
    uniform = (votes == 0.5).all(axis=(1, 2))
    assert uniform.sum() == 1
    assert_array_equal(votes[~uniform], np.tile([1.0, 0.0], (5, 60, 1)))
    assert_allclose(p[:, 0], 5.5 / 6)
    assert sum(isinstance(m, ConstantVoter) for m in fitted.estimators_) == (at == "fit")
    with warnings.catch_warnings(record=True) as seen:  # and the caller's filters are back
        warnings.simplefilter("always")
        warnings.warn("heard", UserWarning, stacklevel=1)
    assert len(seen) == 1


def test_the_canary_would_be_seen():
    """The member does tell when nobody silences it."""
    with pytest.warns(UserWarning, match=CANARY), pytest.raises(RuntimeError, match=CANARY):
        leaky("fit").fit(np.full((2, 2), 13.0), [0, 1])


def test_a_private_cell_that_is_no_number_is_not_quoted(silence):
    X = np.arange(40.0).reshape(20, 2).astype(object)
    X[3, 1] = CANARY
    y = np.arange(20) % 2
    with pytest.raises(ValueError, match=CANARY):
        LogisticRegression().fit(X, y)
    fitted = TeacherEnsemble(LogisticRegression(), 4, random_state=0).fit(X, y)
    assert sum(isinstance(m, ConstantVoter) for m in fitted.estimators_) == 1
    assert np.isfinite(fitted.predict_proba(X)).all()  # rows that X's owner predicts on


def test_interrupts_are_not_swallowed():
    """Both shards have both classes, but for 1e-22: a member of one class is not fitted."""

    class Interrupted(Recorder):
        def fit(self, X, y):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TeacherEnsemble(Interrupted(), 2).fit(np.zeros((80, 1)), np.arange(80) % 2)
