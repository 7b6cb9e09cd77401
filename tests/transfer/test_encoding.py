"""Features of transfer rows: comparable numbers of every container, dtype and unit."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdistill.transfer import public_bases, public_features
from skdistill.transfer.encoding import holds_numbers


def assert_orthonormal(basis, m, size):
    assert basis.dtype == np.float64
    assert basis.shape[0] == m
    assert 1 <= basis.shape[1] <= min(size, m)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "X", [np.empty((0, 3)), [], sparse.csr_array((0, 3)), sparse.csr_array((0, 300))]
)
def test_an_empty_transfer_set_is_refused(X):
    with pytest.raises(ValueError, match="empty"):
        public_features(X)


def test_numbers_of_one_unit_keep_their_proportions():
    X = load_iris().data
    features = public_features(X)
    ratio = features.std(axis=0) / X.std(axis=0)
    np.testing.assert_allclose(ratio, ratio[0])
    assert (features**2).mean() == pytest.approx(1)


def test_numbers_of_different_units_are_standardised():
    X = load_iris().data * [1, 1e-5, 1e200, 1e307] + [1e6, 0, 0, 0]
    expected = StandardScaler().fit_transform(load_iris().data)
    np.testing.assert_allclose(public_features(X), expected, atol=1e-6)


def test_ranges_that_overflow_are_no_trouble():
    X = np.array([[1.7e308, 1.0], [-1.7e308, 2.0], [0.0, 3.0]])
    root = 1.5**0.5
    np.testing.assert_allclose(public_features(X), [[root, -root], [-root, 0], [0, root]])


def test_missing_numbers_become_the_mean_and_are_marked():
    X = np.array(
        [[1.0, 5.0, np.nan], [3.0, np.nan, np.nan], [5.0, np.inf, np.nan], [3.0, 9.0, np.nan]]
    )
    features = public_features(X)
    assert features.shape == (4, 3)
    np.testing.assert_allclose(features[[1, 2], 1], 0, atol=1e-15)
    np.testing.assert_array_equal(features[:, 2], [0, 1, 1, 0])


def test_images_are_flattened():
    digits = load_digits()
    np.testing.assert_array_equal(public_features(digits.images), public_features(digits.data))


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse_matrices(form):
    narrow = sparse.random(40, 9, 0.3, random_state=0, format="csr")
    np.testing.assert_array_equal(public_features(form(narrow)), public_features(narrow.toarray()))
    wide = sparse.random(40, 3000, 0.05, random_state=0, format="csr")
    wide.data[:3] = np.nan, np.inf, 1e-3
    before = wide.copy()
    features = public_features(form(wide))
    assert features.shape == (40, 40)
    full = np.nan_to_num(wide.toarray(), nan=0, posinf=0)
    gram = full @ full.T
    np.testing.assert_allclose(
        features @ features.T * gram.max() / (features @ features.T).max(), gram, atol=1e-9
    )
    public_features(wide)
    np.testing.assert_array_equal(wide.data, before.data)
    for basis in public_bases(form(wide)):
        assert_orthonormal(basis, 40, 64)
    for m in (1, 2):
        assert public_features(form(sparse.csr_array((m, 300)))).shape == (m, 0)
        assert public_features(form(sparse.csr_array(np.ones((m, 300))))).shape == (m, 0)


@pytest.mark.parametrize(
    "X",
    [
        np.arange(4.0),
        [{"a": 1}, {"a": 2}],
        [[1.0], [1.0, 2.0]],
        np.zeros((2, 2), dtype=complex),
        [object(), object()],
        [["a", 1.0], ["b", 2.0]],
        ["a text", "another one"],
    ],
    ids=["vector", "dicts", "ragged", "complex", "objects", "mixed", "texts"],
)
def test_rows_that_are_not_numbers_are_refused(X):
    assert not holds_numbers(X)
    with pytest.raises(TypeError, match="not a table of numbers"):
        public_features(X)


def test_an_encoder_makes_numbers_of_any_rows():
    X = [["a", 1.0], ["b", 2.0], ["a", 3.0]]
    encoder = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    assert holds_numbers(X, encoder)
    numbers = [[1, 0, 1], [0, 1, 2], [1, 0, 3]]
    np.testing.assert_array_equal(public_features(X, encoder), public_features(numbers))
    for basis in public_bases(X, encoder=encoder):
        assert_orthonormal(basis, 3, 64)
    assert not hasattr(encoder, "transformers_")


def test_frames_of_numbers_have_the_features_of_an_array():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = {"a": [1, 2, 3, 4], "b": [True, False, True, True], "c": [0.5, None, 2.5, 1.0]}
    expected = public_features([[1, 1, 0.5], [2, 0, np.nan], [3, 1, 2.5], [4, 1, 1.0]])
    frame = pd.DataFrame(table)
    for X in (frame, frame.convert_dtypes(), pl.DataFrame(table)):
        np.testing.assert_allclose(public_features(X), expected)
