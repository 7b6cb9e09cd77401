"""Members that are fitted together: the optimum of their own fits, and each alone with its rows."""

import pickle
from fractions import Fraction

import joblib
import numpy as np
import pandas as pd
import processes
import pytest
from linear_data import K, N, data, fit
from matrices import some
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from skdistill.neural import fresh, fresh_members
from skdistill.teachers import ensemble as module
from skdistill.teachers import linear_members
from skdistill.teachers.linear_members import is_linear, padded_length
from skdistill.teachers.members import ConstantVoter
from skdistill.teachers.shards import shards_of_records

pytestmark = pytest.mark.filterwarnings("ignore:.* teachers for .* records:UserWarning")


def one_by_one(monkeypatch, *args, **settings):
    """Fit every member by scikit-learn's own fit."""
    with monkeypatch.context() as patched:
        patched.setattr(module, "fit_together", lambda members, *_: np.zeros(len(members), bool))
        return fit(*args, **settings)


def state(member):
    """Return everything that a member holds, to the last bit."""
    return {name: pickle.dumps(value) for name, value in sorted(vars(member).items())}


def changed(one, other):
    pairs = zip(one.estimators_, other.estimators_, strict=True)
    return {i for i, (a, b) in enumerate(pairs) if type(a) is not type(b) or state(a) != state(b)}


def home(i, n=N, k=K):
    """Return the shard of record i."""
    shards = shards_of_records(n, k, check_random_state(0))
    return next(j for j, shard in enumerate(shards) if i in shard)


def fitted_together(monkeypatch, count):
    """Count the members that are not left to their own fits."""
    together = module.fit_together

    def counted(*args):
        solved = together(*args)
        count.append(int(solved.sum()))
        return solved

    monkeypatch.setattr(module, "fit_together", counted)


LOGISTIC = [
    {},
    {"C": 0.01},
    {"C": 30.0, "class_weight": "balanced"},
    {"fit_intercept": False},
    {"solver": "newton-cg"},
]
MEMBERS = [
    *(
        (LogisticRegression(tol=1e-9, max_iter=1000, **given), c)
        for given in LOGISTIC
        for c in (2, 3)
    ),
    (LogisticRegression(tol=1e-9, max_iter=1000), 10),
    (Ridge(), 0),
    (Ridge(3, fit_intercept=False), 0),
    (GaussianNB(), 2),
    (GaussianNB(var_smoothing=1e-3), 4),
]


@pytest.mark.parametrize("k", some([3, 60], 2))
@pytest.mark.parametrize(("estimator", "n_classes"), MEMBERS)
def test_members_are_those_of_their_own_fit(monkeypatch, estimator, n_classes, k):
    """Also where a shard has fewer rows than columns, or lacks some of the classes."""
    X, y = data(n_classes)
    exact, count = clone(estimator), []
    if isinstance(estimator, LogisticRegression):
        exact.set_params(solver="newton-cholesky", tol=1e-11)
    own = one_by_one(monkeypatch, exact, X, y, k)
    fitted_together(monkeypatch, count)
    found = fit(estimator, X, y, k)
    assert count == [sum(type(m) is type(estimator) for m in own.estimators_)]
    assert count[0] > 0.8 * k
    for one, other in zip(found.estimators_, own.estimators_, strict=True):
        assert type(one) is type(other) and vars(one).keys() == vars(other).keys()
        if type(one) is ConstantVoter:
            continue
        assert one.get_params() | {"solver": 0, "tol": 0} == other.get_params() | {
            "solver": 0, "tol": 0,
        }  # fmt: skip
        for name, value in vars(other).items():
            if name.endswith("_") and name not in ("n_iter_", "solver_"):
                assert_allclose(getattr(one, name), value, rtol=1e-5, atol=1e-5)
                kinds = np.asarray(getattr(one, name)), np.asarray(value)
                assert kinds[0].dtype == kinds[1].dtype and kinds[0].shape == kinds[1].shape
    votes = [np.array(list(each.member_votes(X))) for each in (found, own)]
    assert_allclose(*votes, rtol=1e-5, atol=1e-5)


def test_the_stop_is_that_of_scikit_learn():
    """No entry of the gradient of the mean loss exceeds `tol`."""
    X, y = data()
    member = fit(LogisticRegression(tol=1e-3), X, y, 1).estimators_[0]
    residual = member.predict_proba(X)[:, 1] - y
    slope = np.append(X.T @ residual + member.coef_[0], residual.sum()) / len(X)
    assert 1e-9 < np.abs(slope).max() <= 1e-3


HOSTILE = [np.nan, np.inf, -np.inf, 1e308, -1e200, 1e155, 1e30, 1e9, 5e-324, 0.0, -0.0]
KINDS = [
    pytest.param(LogisticRegression(), 2, id="logistic"),
    pytest.param(LogisticRegression(C=100, class_weight="balanced"), 3, id="softmax"),
    pytest.param(Ridge(), 0, id="ridge"),
    pytest.param(GaussianNB(), 3, id="naive Bayes"),
]


@pytest.mark.parametrize("cells", some([1 << 18, 200, 1], 3))
@pytest.mark.parametrize(("estimator", "n_classes"), KINDS)
def test_one_record_changes_one_member(monkeypatch, estimator, n_classes, cells):
    """To the last bit, for many records, values, labels and sizes of a stack."""
    monkeypatch.setattr(linear_members, "_CELLS", cells)
    X, y = data(n_classes)
    settings = {"classes": range(n_classes)} if n_classes else {}
    before, public = fit(estimator, X, y, **settings), X[:40]
    votes = np.array(list(before.member_votes(public)))
    labels = [0, n_classes - 1, 99] if n_classes else [np.nan, 1e200, -3.0]
    for step, i in enumerate(range(0, N, 11)):
        X2, y2 = X.copy(), y.copy()
        X2[i, step % X.shape[1] :] = HOSTILE[step % len(HOSTILE)]
        y2[i] = labels[step % 3]
        after = fit(estimator, X2, y2, **settings)
        assert changed(before, after) <= {home(i)}
        others = np.arange(K) != home(i)
        assert_array_equal(np.array(list(after.member_votes(public)))[others], votes[others])


@pytest.mark.parametrize(("estimator", "n_classes"), KINDS)
def test_labels_alone_change_one_member(estimator, n_classes):
    """A shard that loses a class, or all its known labels, does not move the others."""
    X, y = data(n_classes)
    settings = {"classes": range(n_classes)} if n_classes else {}
    before = fit(estimator, X, y, 60, **settings)
    shards = shards_of_records(N, 60, check_random_state(0))
    for j in (0, 31, 59):
        for label in (0, 99, -1) if n_classes else (np.nan, np.inf, 1e300):
            y2 = y.astype(float) if not n_classes else y.copy()
            y2[shards[j]] = label
            assert changed(before, fit(estimator, X, y2, 60, **settings)) <= {j}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_jobs_change_nothing(n_jobs):
    X, y = data(3)
    X[3] = np.nan  # left to its own fit
    with joblib.parallel_config("threading"):
        one, other = (fit(LogisticRegression(), X, y, n_jobs=n) for n in (None, n_jobs))
        votes = [np.array(list(each.member_votes(X[10:20]))) for each in (one, other)]
    assert changed(one, other) == set()
    assert_array_equal(*votes)


@pytest.mark.parametrize("size", [0, 1, 9, 400])
@pytest.mark.parametrize(("estimator", "n_classes"), KINDS)
def test_one_group_changes_one_member(estimator, n_classes, size):
    """However many rows it brings: how long the other shards are is not known by them."""
    X, y = data(n_classes)
    groups = np.arange(N) // 6
    settings = {"classes": range(n_classes)} if n_classes else {}
    before = fit(estimator, X, y, groups=groups, **settings)
    stayed = groups != 5
    rng = np.random.default_rng(1)
    newcomer = rng.normal(size=(size, X.shape[1])) * 1e3
    labels = rng.integers(0, 2, size)
    after = fit(
        estimator,
        np.concatenate([X[stayed], newcomer, X[:1]]),
        np.concatenate([y[stayed], labels, y[:1]]),
        groups=np.concatenate([groups[stayed], np.full(size, 5), [5]]),
        **settings,
    )
    moved = changed(before, after)
    assert len(moved) == 1
    votes = [np.array(list(each.member_votes(X[:20]))) for each in (before, after)]
    others = np.arange(K) != moved.pop()
    assert_array_equal(votes[0][others], votes[1][others])


IN_ANY_PLACE = """
import os
os.environ["OPENBLAS_CORETYPE"] = "Prescott"  # adds from where memory is aligned; before NumPy
import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from skdistill.teachers.linear_members import fit_stack, padded_length, stack_of

rng, moved = np.random.default_rng(0), set()
bare = LogisticRegression(fit_intercept=False)
for estimator in (LogisticRegression(), bare, Ridge(), GaussianNB()):
    for d in (1, 2, 3, 5, 6, 7, 14, 15, 26, 31):
        for n_classes in (2, 3):
            n, classes = int(rng.integers(20, 60)), 0 if type(estimator) is Ridge else n_classes
            X, y = rng.normal(size=(5 * n, d)), rng.integers(0, n_classes, 5 * n)
            y = y if classes else y + rng.normal(size=len(y))
            shards = list(np.arange(5 * n).reshape(5, n))
            states = []
            for first in range(5):  # each shard comes to each place
                order = shards[first:] + shards[:first]
                length, finite = padded_length(n), np.ones(len(X), bool)
                stack = stack_of(X, y, finite, order, length, np.empty(5 * length * d))
                fitted = fit_stack(estimator, *stack, classes)
                values = fitted.solved, *fitted.state.values()
                values = [np.roll(each, first, axis=0) for each in values]
                states.append([[each[i].tobytes() for each in values] for i in range(5)])
            if any(state != states[0] for state in states):
                moved.add((str(estimator), d))
print(len(moved))
"""


def test_the_place_in_a_stack_changes_no_bit():
    """It follows the lengths of other shards, and where a slab's memory is aligned follows it.

    On processors without AVX, OpenBLAS adds in an order that depends on that.
    """
    assert processes.run(IN_ANY_PLACE) == "0\n"


def test_a_singular_member_does_not_stop_the_others(monkeypatch):
    """NumPy raises for a whole stack where one matrix is singular."""
    X, y = data(0)
    before = fit(Ridge(1e-300, fit_intercept=False), X, y)
    shard = shards_of_records(N, K, check_random_state(0))[2]
    X2, y2 = X.copy(), y.copy()
    X2[shard, 1] = 0.0
    X2[shard, 3] = 0.0
    X2[shard, 0] = 1e-200
    calls, solve = [], np.linalg.solve
    monkeypatch.setattr(
        linear_members.np.linalg, "solve", lambda A, b: calls.append(A.ndim) or solve(A, b)
    )
    after = fit(Ridge(1e-300, fit_intercept=False), X2, y2)
    assert changed(before, after) == {2}
    if 2 in calls:
        assert calls.count(2) == K


def test_members_without_a_solution_get_their_own_fit(monkeypatch):
    """Overflow, missing cells and one class give the results of scikit-learn."""
    X, y = data()
    shards = shards_of_records(N, K, check_random_state(0))
    X[shards[0][0], 0], X[shards[1][0], 0] = 1e300, np.nan
    y[shards[2]] = 1
    own = one_by_one(monkeypatch, LogisticRegression(), X, y)
    found = fit(LogisticRegression(), X, y)
    assert changed(own, found) == {3, 4, 5, 6}
    assert [type(m) for m in found.estimators_[1:3]] == [ConstantVoter] * 2


# --- mutants: each guard undone is seen -----------------------------------------------------------


def moved_by_one_record(value=1e3, estimator=None):
    X, y = data()
    X2 = X.copy()
    X2[0, 0] = value
    estimator = LogisticRegression(C=10) if estimator is None else estimator
    return changed(fit(estimator, X, y), fit(estimator, X2, y)) - {home(0)}


def test_a_stop_that_waits_for_all_members_is_caught(monkeypatch):
    own = linear_members._is_small

    def together(G, tolerance):
        return np.full(len(G), own(G, tolerance).all())

    assert not moved_by_one_record()
    monkeypatch.setattr(linear_members, "_is_small", together)
    assert moved_by_one_record()


def test_one_step_size_for_all_members_is_caught(monkeypatch):
    own = linear_members._direction
    monkeypatch.setattr(
        linear_members, "_direction", lambda G, *rest: own(G, *rest) * (1 + 1e-3 * np.abs(G).max())
    )
    assert moved_by_one_record()


def test_zero_times_infinity_is_caught(monkeypatch):
    """Padding repeats a row of another shard; a weight of zero does not hide its cells."""
    own = linear_members.stack_of

    def multiplied(values, targets, finite, *rest):
        X, y, used = own(values, targets, finite, *rest)
        return X + values[:1] * ~used[:, :, None], y, used

    monkeypatch.setattr(linear_members, "stack_of", multiplied)
    assert moved_by_one_record(np.inf)


def test_a_common_scale_of_the_columns_is_caught(monkeypatch):
    own = linear_members.stack_of

    def scaled(values, *rest):
        return own(values / np.abs(values).max(axis=0), *rest)

    monkeypatch.setattr(linear_members, "stack_of", scaled)
    assert moved_by_one_record()


# --- which estimators -----------------------------------------------------------------------------


class Subclass(Ridge):
    pass


TWO, THREE = np.arange(2), np.arange(3)


@pytest.mark.parametrize(
    ("estimator", "classes"),
    [
        (LogisticRegression(C=np.inf), TWO),
        (LogisticRegression(solver="saga"), TWO),
        (LogisticRegression(solver="liblinear"), TWO),
        (LogisticRegression(max_iter=10), TWO),
        (LogisticRegression(warm_start=True), TWO),
        (LogisticRegression(class_weight={0: 1.0, 1: 2.0}), TWO),
        (LogisticRegression(random_state=np.random.RandomState(0)), TWO),
        (LogisticRegression(l1_ratio=0.5, solver="saga"), TWO),
        (LogisticRegression(), np.arange(1)),
        (LogisticRegression(), None),
        (LogisticRegression(C="1"), TWO),
        (LogisticRegression(verbose="x"), TWO),
        (LogisticRegression(n_jobs=1.5), TWO),
        (LogisticRegression(n_jobs=0), TWO),
        (LogisticRegression(C=Fraction(1, 3)), TWO),
        (LogisticRegression(l1_ratio=np.False_), TWO),
        (Ridge(tol=np.False_), None),
        (Ridge(alpha=Fraction(1, 3)), None),
        (GaussianNB(var_smoothing=Fraction(1, 3)), TWO),
        (LogisticRegression(max_iter=150.5), TWO),
        (LogisticRegression(intercept_scaling=0), TWO),
        (LogisticRegression(random_state=-1), TWO),
        (Ridge(copy_X=None), None),
        (Ridge(max_iter=0), None),
        (Ridge(tol=-1.0), None),
        (Ridge(positive=True), None),
        (Ridge(alpha=0), None),
        (Ridge(alpha=[1.0]), None),
        (Ridge(solver="sag"), None),
        (Ridge(), THREE),
        (Subclass(), None),
        (GaussianNB(priors=[0.5, 0.5]), TWO),
        (make_pipeline(Ridge()), None),
        (object(), None),
    ],
)
def test_other_settings_are_left_to_the_estimator(estimator, classes):
    assert not is_linear(estimator, classes)


@pytest.mark.parametrize("estimator", [LogisticRegression(), GaussianNB()])
def test_plain_settings_are_not(estimator):
    assert is_linear(estimator, TWO) and is_linear(estimator, THREE)
    assert is_linear(clone(estimator).fit(*data()), TWO)


@pytest.mark.parametrize(
    "container",
    [csr_matrix, lambda X: X.astype(np.float32), lambda X: pd.DataFrame(X).astype("object")],
)
def test_other_containers(monkeypatch, container):
    X, y = data()
    count = []
    fitted_together(monkeypatch, count)
    found = fit(LogisticRegression(), container(X), y)
    assert count == [7 if isinstance(container(X), pd.DataFrame) else 0]
    assert all(type(m) is LogisticRegression for m in found.estimators_)


def test_a_text_in_one_shard_of_a_frame(monkeypatch):
    """It is left to its own fit, whose failure it is; the others stay together."""
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcde"))
    before, count = fit(LogisticRegression(), frame, y), []
    fitted_together(monkeypatch, count)
    other = frame.astype({"c": object})
    other.loc[0, "c"] = "text"
    after = fit(LogisticRegression(), other, y)
    assert changed(before, after) == {home(0)} and count == [K - 1]
    assert list(before.estimators_[0].feature_names_in_) == list("abcde")


def test_lengths_of_padding():
    assert [padded_length(n) for n in (0, 1, 8, 9, 64, 65, 300, 10_000)] == [
        8, 8, 8, 16, 64, 72, 320, 10_240,
    ]  # fmt: skip
    lengths = np.array([padded_length(n) for n in range(1, 5000)])
    assert (lengths % 8 == 0).all() and (lengths >= np.arange(1, 5000)).all()
    assert (lengths[64:] <= 1.125 * np.arange(65, 5000)).all()


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), LogisticRegression(random_state=4), GaussianNB(), Ridge(),
                  make_pipeline(Ridge()), Subclass()]
)  # fmt: skip
def test_copies_are_clones_with_the_same_seeds(estimator):
    rng, other = (np.random.RandomState(3) for _ in range(2))
    one, two = fresh_members(estimator, 5, rng), [fresh(estimator, other) for _ in range(5)]
    assert [type(m) for m in one] == [type(m) for m in two]
    for a, b in zip(one, two, strict=True):
        params = [{k: v for k, v in m.get_params().items() if k not in ("steps", "ridge")}
                  for m in (a, b)]  # fmt: skip
        assert params[0] == params[1]
    assert rng.randint(1000) == other.randint(1000)
    assert len({id(m) for m in one}) == 5 and fresh_members(estimator, 0, rng) == []
