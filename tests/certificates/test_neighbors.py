"""One record holds one vote: the bound, and the tie-breaking that would break it."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skdistill import PrivateDistiller
from skdistill.certificates import certify
from skdistill.certificates.neighbors import neighbor_votes
from skdistill.testing import no_noise


def fit(X, y, k, **options):
    # All three classes appear, no matter which record is replaced.
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
        {"metric": "seuclidean", "algorithm": "brute"},
        {"metric": "mahalanobis", "metric_params": {"VI": np.eye(2)}},
        {"metric": "minkowski", "p": 3, "metric_params": {"w": np.ones(2)}},
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


def test_the_metric_in_use_is_the_fitted_one():
    """A parameter that is changed after fit changes nothing about the distances."""
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    scaled = KNeighborsClassifier(3, metric="seuclidean", algorithm="brute").fit(X, y)
    assert certify(scaled.set_params(metric="euclidean")).name == "worst case"
    plain = KNeighborsClassifier(3, p=1).fit(X, y)
    votes = neighbor_votes(plain, X)
    assert certify(plain.set_params(metric="seuclidean", p=7)).l1 == 2 / 3
    assert np.array_equal(neighbor_votes(plain, X), votes)


def test_distances_given_by_the_user_are_the_worst_case():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    distances = np.abs(X[:, :1] - X[:, 0])
    teacher = KNeighborsClassifier(3, metric="precomputed").fit(distances, y)
    assert certify(teacher).name == "worst case"


@pytest.mark.parametrize("options", [{}, {"metric": "manhattan"}, {"metric": "cosine"}, {"p": 3}])
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_votes_on_sparse_and_dense_rows(options, convert):
    if options == {"p": 3} and convert is not np.asarray:
        pytest.skip("scikit-learn has no such distance between sparse rows")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(3, size=60)
    X[:, 1:][rng.random((60, 3)) < 0.5] = 0.0  # no row of zeros: those are tied
    teacher = KNeighborsClassifier(4, **options).fit(convert(X), y)
    queries = convert(rng.normal(size=(20, 4)))
    assert np.allclose(certify(teacher).outputs(queries), teacher.predict_proba(queries))


@pytest.mark.parametrize("k", [1, 3, 7, 49, 97])
def test_the_rows_are_counts_of_k_votes(k):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), rng.integers(3, size=100)
    bound = certify(KNeighborsClassifier(k).fit(X, y))
    counts = bound.outputs(X) * bound.n_votes
    assert bound.n_votes == k
    assert np.array_equal(np.rint(counts).sum(axis=1), np.full(100, k))
    assert np.allclose(counts, np.rint(counts), atol=1e-12)
    assert bound.vote_bounds == (2.0, math.sqrt(2.0))


def test_missing_numbers():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(2, size=60)
    X[rng.random(X.shape) < 0.2] = np.nan
    teacher = KNeighborsClassifier(5, metric="nan_euclidean").fit(X, y)
    assert np.allclose(certify(teacher).outputs(X[:20]), teacher.predict_proba(X[:20]))


def test_a_regressor_is_the_worst_case():
    X = np.random.default_rng(0).normal(size=(30, 2))
    teacher = KNeighborsRegressor(5).fit(X, X[:, 0])
    assert certify(teacher, output_range=(0.0, 1.0)).name == "worst case"


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine", "nan_euclidean"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_a_record_that_changes_the_dtype_of_the_table_moves_one_vote(metric, form):
    """Beside one float64, all rows of a float32 frame become float64, of the same values."""
    if form is sp.csr_array and metric == "nan_euclidean":
        pytest.skip("not for sparse rows")
    rng = np.random.default_rng(0)
    X = (rng.integers(1, 12, size=(2000, 4)) / 10).astype(np.float32)
    y = rng.integers(2, size=2000)
    queries = (rng.integers(1, 12, size=(300, 4)) / 10).astype(np.float32)
    X2 = X.astype(np.float64)
    X2[7] = 0.1, 0.2, 0.3, 0.4
    for rows in (queries, queries.astype(np.float64)):
        a, b = (
            certify(KNeighborsClassifier(25, metric=metric, algorithm="brute").fit(form(Z), y))
            for Z in (X, X2)
        )
        moved = np.abs(a.outputs(form(rows)) - b.outputs(form(rows))).sum(axis=1)
        assert moved.max() <= a.l1 + 1e-9


def test_in_a_pipeline():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    stateless = make_pipeline(Normalizer(), KNeighborsClassifier(5)).fit(X, y)
    bound = certify(stateless)
    assert bound.l1 == 0.4
    rows = bound.transformer.transform(X)
    assert np.allclose(bound.outputs(rows), stateless.predict_proba(X))
    learned = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(X, y)
    assert certify(learned).name == "worst case"


def test_class_counts_come_with_it():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.repeat([4, 7], [10, 20])
    assert certify(KNeighborsClassifier(5).fit(X, y)).class_counts().tolist() == [10, 20]
