"""Votes in one product: those of the members, and each of its own member."""

import dataclasses
import warnings
from functools import partial

import numpy as np
import pytest
from linear_data import data, fit
from matrices import some
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skdistill._tables import read_table
from skdistill.release.quantization import to_simplex
from skdistill.release.residual_rounds import collect_votes
from skdistill.release.votes import count_votes
from skdistill.teachers import ensemble as module
from skdistill.teachers import linear_votes as votes_module
from skdistill.teachers.linear_votes import linear_votes
from skdistill.teachers.members import ConstantVoter, votes_of_stack

K = 30
KINDS = {
    "logistic": (LogisticRegression(), 2),
    "softmax": (LogisticRegression(), 4),
    "without intercept": (LogisticRegression(fit_intercept=False), 3),
    "ridge": (Ridge(), 0),
    "naive Bayes": (GaussianNB(), 2),
    "naive Bayes, four classes": (GaussianNB(), 4),
}


@pytest.fixture(params=KINDS)
def fitted(request):
    estimator, n_classes = KINDS[request.param]
    return fit(estimator, *data(n_classes), K)


@pytest.fixture
def asked_one_by_one(monkeypatch):
    def ask(function):
        with monkeypatch.context() as patched:
            patched.setattr(module, "linear_votes", lambda *_: None)
            return function()

    return ask


def public(n=50):
    return data(2, n=n, seed=5)[0]


def rows_of(model, X):
    return np.array(list(model.member_votes(X)))


def linear_of(model, X):
    classes = getattr(model, "classes_", None)
    return linear_votes(model.estimator, model.estimators_, read_table(X), classes)


def test_votes_are_those_of_the_members(fitted, asked_one_by_one, monkeypatch):
    """Also of members that lack a class, or are constant; in stacks of any size."""
    X = public()
    own = asked_one_by_one(lambda: rows_of(fitted, X))
    usable = linear_of(fitted, X).usable
    learned = np.array([type(m) is not ConstantVoter for m in fitted.estimators_])
    if isinstance(fitted.estimator, GaussianNB):  # a class of two rows may have a tiny variance
        assert usable.any() and not (usable & ~learned).any()
    else:
        assert_array_equal(usable, learned)
    for cells in (1, 300, 1 << 18):
        monkeypatch.setattr(votes_module, "_CELLS", cells)
        assert_allclose(rows_of(fitted, X), own, rtol=1e-6, atol=1e-9)


def collected(model, X, function):
    n_classes = len(model.classes_) if hasattr(model, "classes_") else None
    bounds = None if n_classes else (-3.0, 3.0)
    bases = (np.linalg.qr(np.random.default_rng(0).normal(size=(len(X), 6)))[0],)
    return function(model.member_votes, X, bases, len(X), n_classes, bounds)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_released_integers_are_those_of_the_members(fitted, asked_one_by_one, temperature):
    X = public()
    collect = partial(collected, fitted, X, partial(collect_votes, temperature=temperature))
    one, other = collect(), asked_one_by_one(collect)
    assert one.n_members == other.n_members == K
    assert np.abs(one.total - other.total).max() <= (2 if isinstance(fitted.estimator, GaussianNB)
                                                     else 0)  # fmt: skip
    assert_allclose(one.coefficients[0], other.coefficients[0], atol=20.0)
    if hasattr(fitted, "classes_"):
        assert (one.total.sum(axis=1) == K << 20).all()


def test_counts_are_those_of_the_members(fitted, asked_one_by_one):
    if not hasattr(fitted, "classes_"):
        return
    X, c = public(), len(fitted.classes_)
    counts = [
        run(lambda: count_votes(fitted.member_votes, X, len(X), c))
        for run in (lambda ask: ask(), asked_one_by_one)
    ]
    assert_array_equal(*counts)
    assert counts[0].sum() > 0


HOSTILE = [np.nan, np.inf, 1e308, -1e200, 1e20, 0.0]


@pytest.mark.parametrize("value", some(HOSTILE, 2))
def test_a_members_numbers_reach_its_own_votes(fitted, value):
    """Other members' votes stay equal to the last bit, also in stacks."""
    X = public()
    before = rows_of(fitted, X), collected(fitted, X, collect_votes)
    victim = next(i for i in range(8, K) if type(fitted.estimators_[i]) is not ConstantVoter)
    name = "theta_" if isinstance(fitted.estimator, GaussianNB) else "coef_"
    getattr(fitted.estimators_[victim], name)[..., 0] = value
    after = rows_of(fitted, X), collected(fitted, X, collect_votes)
    others = np.arange(K) != victim
    assert_array_equal(before[0][others], after[0][others])
    pairs = zip(before[1].coefficients, after[1].coefficients, strict=True)
    assert all((a[others] == b[others]).all() for a, b in pairs)
    moved = np.abs(before[1].total - after[1].total)
    assert moved.max() <= 1 << 20


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: vars(m).pop("coef_"),
        lambda m: setattr(m, "coef_", "text"),
        lambda m: setattr(m, "coef_", np.zeros((3, 99))),
        lambda m: setattr(m, "intercept_", None),
        lambda m: setattr(m, "classes_", np.array(["a", "b"])),
    ],
)
def test_a_spoilt_member_is_asked_by_itself(spoil, asked_one_by_one):
    model, X = fit(LogisticRegression(), *data(), 5), public()
    spoil(model.estimators_[2])
    assert_array_equal(linear_of(model, X).usable, np.arange(5) != 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = asked_one_by_one(lambda: rows_of(model, X))
    assert_allclose(rows_of(model, X), own, atol=1e-12)


def test_naive_bayes_with_tiny_variances(asked_one_by_one):
    """Constant columns of whole numbers are exact; others are not trusted to a product."""
    X, y = data(2)
    whole = np.column_stack([X[:, [0, 1, 3]], X[:, 1] * 0 + 7.0])
    model = fit(GaussianNB(), whole, y, K)
    asked = np.column_stack([public()[:, [0, 1, 3]], np.arange(50) % 2 + 6.0])
    assert linear_of(model, asked).usable.any()
    own = asked_one_by_one(lambda: rows_of(model, asked))
    assert_allclose(rows_of(model, asked), own, atol=1e-6)
    model = fit(GaussianNB(var_smoothing=1e-12), whole + 1e-3 * np.pi, y, K)
    assert not linear_of(model, asked + 0.3).usable.any()
    own = asked_one_by_one(lambda: rows_of(model, asked + 0.3))
    assert_array_equal(rows_of(model, asked + 0.3), own)


def test_public_rows_that_are_not_numbers_are_left_to_the_members():
    model, X = fit(LogisticRegression(), *data(), 5), public()
    X[0, 0] = np.nan
    assert linear_of(model, X) is None
    votes = rows_of(model, X)  # the row that no member can read has no vote
    assert_array_equal(votes[:, 0], 0.5)
    assert (votes[:, 1:] != 0.5).any(axis=(0, 2)).all()
    assert linear_of(model, X[1:].astype(np.float32)) is None


def test_stacks_are_public():
    model = fit(LogisticRegression(), *data(), K)
    found = linear_of(model, public(50_000))
    assert [part.start for part in found.parts()][:2] == [0, 8]
    assert found.take(slice(3, 5)).votes().shape == (2, 2, 50_000)
    both = found.take(slice(3, 5)).votes()
    assert_array_equal(found.take(slice(3, 5)).votes(first=True), both[:1])


class Raw:
    """Votes as they are, a whole stack at once where the ensemble has one."""

    def __call__(self, votes):
        return votes

    def stacked(self, votes):
        return votes.copy()


def test_a_member_whose_votes_are_no_numbers_moves_no_other():
    """One record makes the smallest variance of a shard subnormal, or a coefficient too large.

    The votes of all members are of one product: they must not be made anew for all of them.
    """
    rng = np.random.default_rng(0)
    X, y = (rng.random((600, 4)) < 0.3).astype(float), rng.integers(0, 3, 600)
    X[:, 3] = 0
    P = (rng.random((200, 4)) < 0.3).astype(float)
    P[:, 3] = 0
    P[0, 0] = 1e200
    for estimator in (GaussianNB(), LogisticRegression(C=1e8)):
        for cell in (3e-151, 1e-300, 1e150):
            other = X.copy()
            other[5, 3] = cell
            other[5, :3] = 0
            models = fit(estimator, X, y, 20), fit(estimator, other, y, 20)
            votes = [np.hstack(list(each.member_votes(P, Raw()))) for each in models]
            moved = (votes[0] != votes[1]).any(axis=(0, 2))
            assert moved.sum() <= 1, (type(estimator).__name__, cell)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_votes_that_overflow_are_made_anew_alone(n_classes):
    """Coefficients of one member overflow on the public rows: the votes of the others stay.

    Bringing votes to the simplex moves their last bits, so that it matters whose are.
    """
    model, X = fit(LogisticRegression(), *data(n_classes), K), public(200)
    linear = linear_of(model, X)
    large = linear.coef.copy()
    large[:, 3] = 1e308 * np.array([1, 1, -1, -1] if n_classes == 4 else [np.nan])[:, None]
    spoilt = dataclasses.replace(linear, coef=large)
    asked = [None] * K, X, len(X), model.classes_, [0] * K, Raw()
    (before,) = votes_of_stack(*asked, linear)
    (after,) = votes_of_stack(*asked, spoilt)
    assert np.isfinite(after).all() and (after[:, 3] == 1 / n_classes).all(axis=0).any()
    others = np.arange(K) != 3
    assert_array_equal(before[:, others], after[:, others])
    flat = before.reshape(n_classes, -1).T
    assert n_classes == 2 or (to_simplex(flat) != flat).any()
