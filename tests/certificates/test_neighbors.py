"""One record holds one vote: the bound, and the tie-breaking that would break it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skdistill import PrivateDistiller
from skdistill.certificates import certify
from skdistill.certificates.neighbors import neighbor_votes
from skdistill.testing import no_noise


def fit(X, y, k, **options):
    # All three classes appear whatever the record that is replaced.
    return KNeighborsClassifier(k, **options).fit(
        np.vstack([X, 1e6 + np.zeros((3, X.shape[1]))]), np.concatenate([y, [0, 1, 2]])
    )


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 60),
    k=st.integers(1, 25),
    values=st.integers(1, 4),
    metric=st.sampled_from(["euclidean", "manhattan", "chebyshev", "cosine", "hamming"]),
)
def test_replacing_a_record_moves_one_vote_at_most(seed, n, k, values, metric):
    """Integer-valued tables with few values: nearly all distances are tied."""
    rng = np.random.default_rng(seed)
    X = rng.integers(values, size=(n, 2)).astype(float) + 1.0
    y = rng.integers(3, size=n)
    k = min(k, n)
    queries = rng.integers(values, size=(20, 2)) + 1.0
    teacher = fit(X, y, k, metric=metric)
    bound = certify(teacher)
    assert (bound.l1, bound.l2) == (2 / k, math.sqrt(2) / k)
    i = rng.integers(n)
    X2, y2 = X.copy(), y.copy()
    X2[i], y2[i] = rng.integers(values, size=2) + 1.0, (y[i] + 1) % 3
    moved = neighbor_votes(fit(X2, y2, k, metric=metric), queries) - neighbor_votes(
        teacher, queries
    )
    assert np.abs(moved).sum(axis=1).max() <= 2 / k + 1e-12
    assert np.linalg.norm(moved, axis=1).max() <= math.sqrt(2) / k + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_scikit_learns_own_tie_breaking_breaks_the_bound(algorithm):
    """Why votes are recomputed: one far-away record reorders the tree and flips tied votes."""
    rng = np.random.default_rng(0)
    k, worst = 5, 0.0
    for _ in range(200):
        X = rng.integers(2, size=(120, 2)).astype(float)
        y = rng.integers(2, size=120)
        X2 = X.copy()
        X2[rng.integers(120)] = rng.integers(2, size=2)
        a, b = (
            KNeighborsClassifier(k, algorithm=algorithm, leaf_size=5).fit(Z, y).predict_proba(X)
            for Z in (X, X2)
        )
        worst = max(worst, np.abs(a - b).sum(axis=1).max())
    assert worst > 2 / k + 0.1


def test_without_ties_the_votes_are_scikit_learns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(3, size=200)
    teacher = KNeighborsClassifier(7).fit(X, y)
    queries = rng.normal(size=(50, 3))
    assert np.allclose(neighbor_votes(teacher, queries), teacher.predict_proba(queries))


def test_the_release_uses_the_votes_that_the_proof_is_about():
    X, y = np.zeros((30, 2)), np.arange(30) % 3
    teacher = KNeighborsClassifier(6, algorithm="kd_tree").fit(X, y)
    with no_noise(), pytest.warns(UserWarning, match="mostly noise"):
        released = PrivateDistiller(teacher).release(np.zeros((4, 2)))
    assert np.allclose(released, neighbor_votes(teacher, np.zeros((4, 2))), atol=1e-5)
    assert np.allclose(released, 1 / 3, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "distance"},
        {"weights": lambda d: d},
        {"metric": "seuclidean", "metric_params": {"V": np.ones(2)}},
        {"metric": lambda a, b: np.abs(a - b).sum()},
        {"metric": "minkowski", "metric_params": {"w": np.ones(2)}},
    ],
)
def test_what_has_no_proof_is_the_worst_case(options):
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    assert certify(KNeighborsClassifier(3, **options).fit(X, y)).name == "worst case"


def test_parameters_changed_after_fit_are_seen():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    teacher = KNeighborsClassifier(3).fit(X, y)
    assert certify(teacher.set_params(n_neighbors=10)).l1 == 0.2
    assert certify(teacher.set_params(weights="distance")).name == "worst case"
    assert certify(teacher.set_params(weights="uniform", n_neighbors=31)).name == "worst case"


def test_in_a_pipeline():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    stateless = make_pipeline(Normalizer(), KNeighborsClassifier(5)).fit(X, y)
    bound = certify(stateless)
    assert bound.l1 == 0.4
    assert np.allclose(bound.outputs(stateless, X), stateless.predict_proba(X))
    learned = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(X, y)
    assert certify(learned).name == "worst case"


def test_class_counts_come_with_it():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.repeat([4, 7], [10, 20])
    assert certify(KNeighborsClassifier(5).fit(X, y)).class_counts().tolist() == [10, 20]
