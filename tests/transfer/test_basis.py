"""Public bases: orthonormal, nested, of every container of a transfer set."""

import gzip
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from shared_data import needs_data, shared_data
from sklearn.datasets import load_digits, load_iris, make_blobs, make_moons
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skdistill.transfer import (
    MAX_GRAPH_ROWS,
    graph_eigenvectors,
    principal_components,
    public_bases,
    public_features,
)
from skdistill.transfer import (
    basis as basis_module,
)
from skdistill.transfer.basis import Components, smoothing_bases

MAKERS = [principal_components, graph_eigenvectors]
EACH = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def assert_orthonormal(basis, m, size):
    assert basis.dtype == np.float64
    assert basis.shape[0] == m
    assert 1 <= basis.shape[1] <= min(size, m)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), rtol=0, atol=1e-13)


def assert_same_span(a, b, atol=1e-10):
    assert a.shape == b.shape
    np.testing.assert_allclose(a @ (a.T @ b), b, rtol=0, atol=atol)


CELLS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 1e-9]),
    st.floats(width=64),
)


@st.composite
def tables(draw):
    """Any numbers; constant columns, missing ones, repeated rows, all rows equal."""
    m, d = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    table = draw(
        arrays(np.float64, (m, d), elements=draw(st.sampled_from([CELLS, st.floats(-3, 3)])))
    )
    table[:, draw(st.lists(st.integers(0, d - 1), max_size=d))] = draw(CELLS)
    if draw(st.booleans()):
        table = table[draw(arrays(np.intp, m, elements=st.integers(0, m - 1)))]
    return table


@settings(deadline=None)
@given(tables(), st.integers(1, 40))
def test_bases_of_any_numbers_are_orthonormal_and_start_with_the_constant(X, size):
    features = public_features(X)
    assert features.shape[0] == len(X)
    assert np.isfinite(features).all()
    assert (np.ptp(features, axis=0) > 0).all()
    for basis in public_bases(X, size=size):
        assert_orthonormal(basis, len(X), size)
        np.testing.assert_allclose(basis[:, 0], len(X) ** -0.5, rtol=1e-12)


@pytest.mark.slow
@settings(deadline=None)
@given(tables(), st.integers(1, 20))
def test_smaller_bases_are_the_first_columns_of_larger_ones(X, size):
    for small, large in zip(public_bases(X, size=size), public_bases(X, size=64), strict=True):
        np.testing.assert_allclose(small, large[:, : small.shape[1]], rtol=0, atol=1e-6)


@settings(deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda m: arrays(
            np.float64, st.tuples(st.just(m), st.integers(1, 8)), elements=st.integers(-2, 2)
        )
    ),
    st.integers(1, 10),
)
def test_a_users_array_is_orthonormalised_in_its_order(columns, size):
    X = np.zeros((len(columns), 1))
    if not columns.any():
        with pytest.raises(ValueError, match="no column other than zeros"):
            public_bases(X, columns, size)
        return
    (basis,) = public_bases(X, columns, size)
    assert_orthonormal(basis, len(X), size)
    # The first columns span the same space as the first independent columns given.
    for q in range(columns.shape[1] + 1):
        rank = np.linalg.matrix_rank(columns[:, :q]) if q else 0
        if rank <= basis.shape[1]:
            span = basis[:, :rank]
            np.testing.assert_allclose(span @ (span.T @ columns[:, :q]), columns[:, :q], atol=1e-9)
    assert basis.shape[1] == min(size, np.linalg.matrix_rank(columns))


def test_nearly_dependent_columns_are_still_orthonormalised():
    x = np.linspace(0, 1, 200)
    (monomials,) = public_bases(x[:, None], lambda X: X ** np.arange(12))
    assert_orthonormal(monomials, 200, 12)
    wobble = np.random.default_rng(0).normal(size=(200, 30))
    (close,) = public_bases(x[:, None], x[:, None] + 1e-6 * wobble)
    assert_orthonormal(close, 200, 30)
    assert close.shape == (200, 30)


def test_a_users_frame_callable_sparse_and_badly_scaled_columns():
    X = np.arange(8.0).reshape(4, 2)
    columns = np.array([[1, 1, 0], [1, 2, 0], [1, 3, 5], [1, 4, 0]]) * [1e-200, 1.0, 1e200]
    (expected,) = public_bases(X, columns / [1e-200, 1.0, 1e200])
    (scaled,) = public_bases(X, columns)
    np.testing.assert_allclose(scaled, expected, atol=1e-12)
    (called,) = public_bases(X, lambda given: columns if given is X else None)
    np.testing.assert_array_equal(called, scaled)
    (dispersed,) = public_bases(X, sparse.csr_array(columns))
    np.testing.assert_array_equal(dispersed, scaled)
    (once,) = public_bases(X, expected)
    np.testing.assert_allclose(once, expected, atol=1e-14)


@pytest.mark.parametrize(
    ("basis", "error", "message"),
    [
        ("pcs", ValueError, "'pcs' is unknown"),
        (np.ones((3, 1)), ValueError, r"shape \(3, 1\), but the transfer set has 4 rows"),
        (np.ones(4), ValueError, "Expected 2D array"),
        (np.ones((4, 2, 1)), ValueError, "dim 3"),
        (np.ones((0, 2)), ValueError, "0 sample"),
        (np.ones((4, 0)), ValueError, "no column"),
        (np.zeros((4, 2)), ValueError, "no column"),
        ([[1.0], [2.0], [np.nan], [0.0]], ValueError, "basis contains NaN"),
        (lambda X: np.full((4, 1), np.inf), ValueError, "basis contains infinity"),
        (np.ones((4, 1)) * 1j, ValueError, "Complex data not supported"),
        (lambda X: [["a"]] * 4, ValueError, "could not convert"),
        (None, ValueError, "Expected 2D array"),
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], ValueError, "inhomogeneous"),
    ],
)
def test_what_is_no_basis_is_refused(basis, error, message):
    with pytest.raises(error, match=message):
        public_bases(np.eye(4), basis)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None, "8"])
def test_a_size_that_is_no_positive_integer_is_refused(size):
    for call in (
        lambda: public_bases(np.eye(4), size=size),
        *(lambda f=f: f(np.eye(4), size) for f in MAKERS),
    ):
        with pytest.raises((TypeError, ValueError), match="at least 1"):
            call()


# ------------------------------------------------------- principal components


@pytest.mark.parametrize("shape", [(80, 7), (12, 30), (150, 1200)])
def test_principal_components_are_those_of_scikit_learn(shape):
    rng = np.random.default_rng(0)
    features = rng.normal(size=shape) * np.geomspace(1, 1e-2, shape[1]) + 1e3
    basis = principal_components(features, 6)
    scores = PCA(5, svd_solver="full").fit_transform(features)
    scores /= np.linalg.norm(scores, axis=0)
    np.testing.assert_allclose(np.abs(basis[:, 1:].T @ scores), np.eye(5), atol=1e-6)


def test_principal_components_of_much_data_are_randomised_and_close():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1100, 8)) @ rng.normal(size=(8, 1050))
    basis = principal_components(features)
    assert basis.shape == (1100, 9)
    assert_same_span(basis, np.linalg.qr(np.c_[np.ones(1100), features[:, :8]])[0])


def test_linear_functions_are_in_the_span_of_all_components():
    X = np.random.default_rng(0).normal(size=(50, 4)) * [1, 10, 1e4, 1e-5]
    (basis,) = public_bases(X, "pca")
    assert basis.shape == (50, 5)
    np.testing.assert_allclose(basis @ (basis.T @ X), X, rtol=1e-7)


# ------------------------------------------------------------ neighbour graph


def smoothed_accuracy(basis, p, labels):
    """How well the labels' projection on p functions tells the labels."""
    targets = np.eye(labels.max() + 1)[labels]
    return float(((basis[:, :p] @ (basis[:, :p].T @ targets)).argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("m", [60, 900])
def test_graph_recovers_clusters(m):
    corners = np.array([[0, 0], [0, 20], [20, 0], [20, 20], [40, 0], [0, 40]])
    X, labels = make_blobs(m, centers=corners, random_state=0)
    assert smoothed_accuracy(graph_eigenvectors(X, 6), 6, labels) == 1


@pytest.mark.parametrize("m", [300, 1500])
def test_graph_follows_what_no_linear_function_does(m):
    X, labels = make_moons(m, noise=0.05, random_state=0)
    pca, graph = public_bases(X)
    assert smoothed_accuracy(graph, 4, labels) > 0.97
    assert smoothed_accuracy(pca, 4, labels) < 0.92


def test_graph_is_the_laplacian_eigenmap():
    """Against the definition: eigenvectors of the random walk."""
    X = np.random.default_rng(0).normal(size=(120, 3))
    distance = ((X[:, None] - X) ** 2).sum(axis=2) + np.diag(np.full(120, np.inf))
    weights = np.zeros((120, 120))
    np.put_along_axis(weights, np.argsort(distance, axis=1)[:, :7], 1.0, axis=1)
    weights = (weights + weights.T) / 2 + 0.1 / 120
    degrees = weights.sum(axis=1)
    walk = np.linalg.eig(weights / degrees[:, None])
    order = np.argsort(-walk.eigenvalues.real)[:9]
    expected = np.linalg.qr(walk.eigenvectors[:, order].real)[0]
    assert_same_span(graph_eigenvectors(X, 9), expected, atol=1e-8)


@pytest.mark.parametrize("size", [1, 2, 3, 20, 64])
def test_a_krylov_space_holds_what_the_full_solution_finds(monkeypatch, size):
    X = load_digits().data[:700]
    approximate = graph_eigenvectors(X, size)
    assert approximate.shape == (700, size)
    monkeypatch.setattr(basis_module, "_DENSE", 1000)
    full = graph_eigenvectors(X, size)
    for p in {1, 2, 3, size // 4, size // 2} - {0}:
        cosines = np.linalg.svd(approximate[:, : p + 2].T @ full[:, :p], compute_uv=False)
        assert cosines.min() > 0.999


def test_equal_rows_have_equal_values_and_do_not_crowd_out_neighbours():
    X, labels = make_moons(300, noise=0.05, random_state=0)
    copies = np.repeat(np.arange(300), 1 + np.arange(300) % 20)
    basis = graph_eigenvectors(X[copies], 8)
    assert_orthonormal(basis, len(copies), 8)
    first = np.unique(copies, return_index=True)[1]
    np.testing.assert_allclose(basis, basis[first][copies], rtol=0, atol=1e-14)
    assert smoothed_accuracy(basis, 8, labels[copies]) > 0.97


def test_the_sign_of_zero_makes_no_difference():
    X = np.zeros((40, 2))
    X[20:, 0] = 1.0
    signed = np.copysign(X, np.resize([1.0, -1.0, -1.0], 40)[:, None] * (X == 0) + (X != 0))
    basis = graph_eigenvectors(signed)
    assert basis.shape == (40, 2)


@EACH
def test_all_rows_equal_leave_the_constant(make):
    for features in (np.full((50, 3), 7.1), np.empty((50, 0)), np.ones((1, 4)), np.zeros((3, 1))):
        np.testing.assert_allclose(
            make(features), np.full((len(features), 1), len(features) ** -0.5)
        )


@pytest.mark.parametrize("m", [2, 3, 8, 9, 63, 64, 65, 66, 129, 499, 500, 501, 502])
def test_graph_of_few_rows_has_as_many_functions_as_it_can(m):
    X = np.random.default_rng(0).normal(size=(m, 2))
    basis = graph_eigenvectors(X)
    assert basis.shape == (m, min(64, m))
    assert_orthonormal(basis, m, 64)


def test_graph_of_many_equal_pieces():
    """125 complete graphs of 8: four different eigenvalues, each of great multiplicity."""
    corner = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], dtype=float)
    X = np.concatenate([corner + [1000.0 * j, 0, 0] for j in range(125)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        basis = graph_eigenvectors(X)
    assert_orthonormal(basis, 1000, 64)
    pieces = basis.reshape(125, 8, 64)
    assert np.abs(pieces - pieces.mean(axis=1, keepdims=True)).max() < 1e-4


def test_krylov_vectors_solve_the_eigenproblem():
    """Of any symmetric matrix with a known first vector, here with degrees that differ much."""
    rng = np.random.default_rng(0)
    degrees = np.exp(rng.normal(size=600))
    tie = degrees / degrees.max()
    first = 1 / degrees
    first /= np.linalg.norm(first)
    vectors = np.linalg.qr(np.c_[first, rng.normal(size=(600, 9))])[0]
    values = 1 - np.r_[0, 0.1 + 0.03 * np.arange(9)]
    weights = (vectors * values) @ vectors.T
    found = basis_module._krylov_vectors(weights.astype(np.float32), tie, first, 10)
    beside = np.eye(600) - np.outer(first, first)
    expected = np.linalg.eigh(beside @ (weights + np.outer(tie, tie)) @ beside)[1][:, :-10:-1]
    np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(9), atol=1e-3)
    np.testing.assert_allclose(found.T @ first, 0, atol=1e-6)


def test_functions_of_a_line_are_smooth():
    """The graph of 3,000 points of a line: eigenvalues so close that no vector is exact."""
    basis = graph_eigenvectors(np.linspace(0, 1, 3000)[:, None] ** 2)
    assert_orthonormal(basis, 3000, 64)
    roughness = (np.diff(basis, axis=0) ** 2).sum(axis=0)
    assert roughness[1:].max() < 0.05  # white noise has 2
    np.testing.assert_allclose(basis[:, 0], 3000**-0.5, rtol=1e-12)


@EACH
def test_two_calls_agree_and_leave_the_global_generator_alone(make):
    X = np.sin(np.arange(3000.0) ** 2).reshape(1000, 3)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(make(X, 12), make(X, 12))
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.slow
def test_two_processes_agree():
    code = (
        "import hashlib, numpy as np, skdistill.transfer as t\n"
        "X = np.sin(np.arange(3000.0) ** 2).reshape(1000, 3)\n"
        "print([hashlib.sha256(b.tobytes()).hexdigest() for b in t.public_bases(X)])"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    )
    assert first == second


@EACH
def test_features_must_be_a_finite_matrix(make):
    for bad in (np.ones(3), [[np.nan]], np.empty((0, 2))):
        with pytest.raises(ValueError, match="feature|0 sample"):
            make(bad)
    with pytest.raises(ValueError, match="could not convert"):
        make([["a"]])


def test_inputs_are_not_changed():
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[0, 0] = np.nan
    given, own = X.copy(), np.c_[np.ones(30), X[:, 1]]
    public_bases(X)
    public_bases(X, own)
    np.testing.assert_array_equal(X, given)
    np.testing.assert_array_equal(own[:, 0], 1)


# -------------------------------------------------------------- public_bases


def test_kinds_and_their_order(monkeypatch):
    X = load_iris().data
    features = public_features(X)
    pca, graph = public_bases(X, size=10)
    np.testing.assert_array_equal(pca, principal_components(features, 10))
    np.testing.assert_array_equal(graph, graph_eigenvectors(features, 10))
    np.testing.assert_array_equal(public_bases(X, "pca", 10), [pca])
    np.testing.assert_array_equal(public_bases(X, "graph", 10), [graph])
    monkeypatch.setattr(basis_module, "MAX_GRAPH_ROWS", 149)
    np.testing.assert_array_equal(public_bases(X, size=10), [pca])
    with pytest.raises(ValueError, match="with 150 rows.*up to 149"):
        public_bases(X, "graph")
    monkeypatch.setattr(basis_module, "MAX_GRAPH_ROWS", 150)
    assert len(public_bases(X)) == 2


def test_bases_of_the_same_rows_are_computed_once(monkeypatch):
    calls = []
    make = basis_module.graph_eigenvectors
    monkeypatch.setattr(basis_module, "graph_eigenvectors", lambda *a: calls.append(1) or make(*a))
    X = np.random.default_rng(7).normal(size=(50, 3))
    first = public_bases(X)
    expected = [each.copy() for each in first]
    for each in first:
        each[:] = np.nan  # the caller's own
    for again in (public_bases(X), public_bases(X.tolist())):
        for found, known in zip(again, expected, strict=True):
            np.testing.assert_array_equal(found, known)
    assert len(calls) == 1
    moved = X.copy()
    moved[-1, -1] += 1e-9
    for other, other_way in ((moved, {}), (X, {"size": 9}), (X, {"basis": "graph"}), (X[:-1], {})):
        features = public_features(other)
        found = public_bases(other, **other_way)[-1]
        np.testing.assert_array_equal(found, make(features, other_way.get("size", 64)))
    assert len(calls) == 5


@pytest.mark.slow
@needs_data("mnist")
def test_graph_says_more_of_handwritten_digits_than_principal_components():
    def read(name, offset):
        with gzip.open(shared_data() / "mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    pixels = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)[:5000]
    labels = read("t10k-labels-idx1-ubyte.gz", 8)[:5000]
    for X in (pixels, PCA(50, random_state=0).fit_transform(pixels / 255)):
        pca, graph = public_bases(X)
        assert_orthonormal(pca, 5000, 64)
        assert_orthonormal(graph, 5000, 64)
        assert smoothed_accuracy(graph, 25, labels) > 0.88
        assert smoothed_accuracy(pca, 25, labels) < 0.83


@pytest.mark.parametrize("nearly", [1.0, 1e-2, 1e-5, 1e-9, 0.0])
def test_columns_within_1e_7_of_the_earlier_ones_are_left_out(nearly):
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(500, 6)) * 10.0 ** np.arange(-3, 3)
    columns[:, 4] = columns[:, 1] + nearly * np.abs(columns[:, 1]).max() * rng.normal(size=500)
    basis = basis_module._orthonormal(columns, 64)
    assert basis.shape == (500, 6 if nearly > 1e-7 else 5)
    assert_orthonormal(basis, 500, 64)
    expected = gram_schmidt(columns[:, [0, 1, 2, 3, 4, 5] if nearly > 1e-7 else [0, 1, 2, 3, 5]])
    np.testing.assert_allclose(basis, expected, atol=1e-8)


def gram_schmidt(columns):
    """Orthonormalise independent columns, with every projection repeated."""
    basis = np.empty((len(columns), 0))
    for column in columns.T / np.linalg.norm(columns, axis=0)[:, None]:
        for _ in range(3):
            column = column - basis @ (basis.T @ column)
            column = column / np.linalg.norm(column)
        basis = np.column_stack([basis, column])
    return basis


def test_the_components_of_many_rows_are_made_without_copies():
    """Beside X: its scaled copy and the basis (six times X before)."""
    X = np.random.default_rng(0).normal(size=(100_000, 20))
    tracemalloc.start()
    try:
        public_bases(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.75 * X.nbytes


@pytest.mark.parametrize("m", [2**15 - 1, 2**15 + 1, 2**16 + 5])
def test_blocks_of_rows_give_the_same_components(m):
    features = np.random.default_rng(1).normal(size=(m, 5)) * [5, 4, 3, 2, 1] + 7
    found = principal_components(features, 4)
    centred = features - features.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    expected = centred @ axes.T
    expected /= np.linalg.norm(expected, axis=0)
    assert np.allclose(np.abs((found[:, 1:] * expected).sum(axis=0)), 1, atol=1e-8)
    assert np.allclose(found.T @ found, np.eye(4), atol=1e-12)


# ------------------------------------------------------------- smoothing_bases


def many_rows(kind, m=MAX_GRAPH_ROWS + 5_000, d=6):
    """Correlated columns: alike, of different units, far from zero, sorted, or with constants."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(m, d)) @ rng.normal(size=(d, d))
    if kind == "units":
        X *= 10.0 ** np.arange(-3, d - 3)
    if kind == "far":
        X += 1e5 * np.arange(d)
    if kind == "sorted":
        X = np.sort(X, axis=0)
    if kind == "constants":
        X[:, 1], X[:, 3] = 0.1, X[:, 0] + X[:, 2]
    return X


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["alike", "units", "far", "sorted", "constants"])
def test_components_of_many_rows_are_the_principal_components(kind, order):
    X = np.array(many_rows(kind), order=order)
    (expected,), (found,) = public_bases(X), smoothing_bases(X)
    assert type(found) is Components
    assert found.shape == expected.shape
    stored = found @ np.eye(found.shape[1])
    stored *= np.sign(np.sum(stored * expected, axis=0))
    np.testing.assert_allclose(stored.T @ stored, np.eye(stored.shape[1]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-9)
    labels = np.random.default_rng(3).normal(size=(len(X), 3))
    smooth = found @ (found.T @ labels)
    np.testing.assert_allclose(smooth, expected @ (expected.T @ labels), rtol=0, atol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e120])
def test_unusual_numbers_have_a_stored_basis(bad):
    X = many_rows("alike")
    X[-1, 2] = bad
    np.testing.assert_array_equal(smoothing_bases(X)[0], public_bases(X)[0])
    narrow = many_rows("alike")
    narrow[:, 2] = 1.0 + 1e-9 * narrow[:, 2]
    assert type(smoothing_bases(narrow)[0]) is np.ndarray
    assert type(smoothing_bases(np.ones((len(X), 2)))[0]) is np.ndarray
    assert type(smoothing_bases(sparse.csr_array(many_rows("alike")))[0]) is np.ndarray
    assert all(type(basis) is np.ndarray for basis in smoothing_bases(X[:100]))


def test_components_are_those_of_encoded_rows():
    X, encoder = many_rows("units"), StandardScaler()
    (found,) = smoothing_bases(np.c_[X, np.ones(len(X))], encoder=encoder)
    assert type(found) is Components
    assert_same_span(public_bases(X, encoder=encoder)[0], found @ np.eye(found.shape[1]))


def test_products_with_one_column_are_those_with_many():
    (U,) = smoothing_bases(np.random.default_rng(0).normal(size=(1000, 3)), "pca")
    values, weights = np.random.default_rng(1).normal(size=1000), np.arange(4.0)
    assert np.array_equal(U.T @ values, (U.T @ values[:, None])[:, 0])
    assert np.array_equal(U @ weights, (U @ weights[:, None])[:, 0])


def test_components_of_many_rows_are_never_stored():
    X = np.random.default_rng(0).normal(size=(100_000, 20))
    labels = np.ones((len(X), 2))
    tracemalloc.start()
    try:
        (basis,) = smoothing_bases(X)
        basis @ (basis.T @ labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * X.nbytes


@settings(deadline=None)
@given(tables())
def test_components_of_any_numbers_are_nearly_orthonormal(X):
    """Of directions down to a millionth of the longest, rounding leaves four digits."""
    (found,) = smoothing_bases(X, "pca")
    assert 1 <= found.shape[1] <= len(X) == found.shape[0]
    stored = found @ np.eye(found.shape[1])
    np.testing.assert_allclose(found.T @ stored, np.eye(found.shape[1]), rtol=0, atol=1e-3)
    np.testing.assert_allclose(stored[:, 0], len(X) ** -0.5, rtol=1e-12)
