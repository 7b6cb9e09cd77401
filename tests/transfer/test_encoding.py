"""Features of transfer rows: comparable numbers of every container, dtype and unit."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from skdistill.transfer import public_bases, public_features


def assert_orthonormal(basis, m, size):
    assert basis.dtype == np.float64
    assert basis.shape[0] == m
    assert 1 <= basis.shape[1] <= min(size, m)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "X",
    [
        np.arange(4.0),
        [{"a": 1}, {"a": 2}],
        [[1.0], [1.0, 2.0]],
        np.zeros((2, 2), dtype=complex),
        [object(), object()],
    ],
    ids=["vector", "dicts", "ragged", "complex", "objects"],
)
def test_what_is_neither_table_nor_texts_is_refused(X):
    with pytest.raises(TypeError, match="table"):
        public_features(X)


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


def test_frequent_categories_have_indicators_and_rare_ones_share_one():
    rng = np.random.default_rng(0)
    column = np.array([f"c{i}" for i in np.minimum(rng.geometric(0.05, 3000), 200)], dtype=object)
    features = public_features(column[:, None])
    assert features.shape == (3000, 41)
    np.testing.assert_array_equal(features.sum(axis=1), 1)
    names, counts = np.unique(column.astype(str), return_counts=True)
    frequent = names[np.argsort(-counts)[:20]]
    for name in frequent:
        assert (features == (column == name)[:, None]).all(axis=0).sum() == 1
    identities = np.array([f"id{i}" for i in range(300)], dtype=object)[:, None]
    assert public_features(identities).shape == (300, 0)


def test_lists_and_object_arrays_hold_mixed_columns():
    rows = [
        [1, "a", True, None],
        [2, "b", False, 3.5],
        [None, "a", True, 4.5],
        [5, None, True, 1.0],
    ] * 3
    features = public_features(rows)
    # Two numbers and two indicators of missing ones; three values ("a", "b", missing); a boolean.
    assert features.shape == (12, 2 + 2 + 3 + 1)
    np.testing.assert_array_equal(public_features(np.array(rows, dtype=object)), features)
    np.testing.assert_array_equal(public_features([["a"], ["b"]] * 4), [[0], [1]] * 4)
    np.testing.assert_array_equal(public_features(np.array([["a"], ["b"]] * 4)), [[0], [1]] * 4)


def mixed_columns(m=60):
    rng = np.random.default_rng(0)
    return {
        "number": [None if i % 7 == 0 else float(v) for i, v in enumerate(rng.normal(size=m))],
        "count": [int(v) for v in rng.integers(0, 4000, m)],
        "flag": [bool(v) for v in rng.integers(0, 2, m)],
        "word": [None if i % 9 == 0 else "xyz"[v] for i, v in enumerate(rng.integers(0, 3, m))],
    }


def test_pandas_and_polars_frames_and_lists_have_the_same_features():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = mixed_columns()
    expected = public_features([list(row) for row in zip(*columns.values(), strict=True)])
    assert expected.shape == (60, 2 + 1 + 1 + 4)
    plain = pd.DataFrame(columns)
    rich = plain.astype(
        {"number": "Float64", "count": "Int64", "flag": "boolean", "word": "category"}
    )
    odd = plain.set_index(np.zeros(60, dtype=int))
    odd.columns = ["same"] * 4
    for frame in (
        plain,
        rich,
        odd,
        pl.DataFrame(columns),
        pl.DataFrame(columns).with_columns(pl.col("word").cast(pl.Categorical)),
    ):
        np.testing.assert_allclose(public_features(frame), expected, atol=1e-12)
        for basis in public_bases(frame):
            assert_orthonormal(basis, 60, 64)


def test_dates_are_numbers():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    days = np.array(["2020-01-01", "2020-01-05", "NaT", "2020-02-01"], dtype="datetime64[D]")
    seconds = np.array([[0.0], [4], [np.nan], [31]]) * 86400
    expected = public_features(seconds)
    assert expected.shape == (4, 2)
    zoned = pd.Series(days.astype("datetime64[ns]")).dt.tz_localize("Europe/Paris")
    for X in (
        days[:, None],
        pd.DataFrame({"day": days.astype("datetime64[ns]")}),
        pd.DataFrame({"day": zoned}),
        pd.DataFrame({"span": days.astype("datetime64[ns]") - np.datetime64("2020-01-01")}),
        pl.DataFrame({"day": days.tolist()}),
    ):
        np.testing.assert_allclose(public_features(X), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_the_users_transform_output_makes_no_difference(output):
    pytest.importorskip(output)
    X = [list(row) for row in zip(*mixed_columns().values(), strict=True)]
    expected = public_bases(X)
    with config_context(transform_output=output):
        given = public_bases(X)
    for a, b in zip(expected, given, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frames_of_missing_values_only_leave_the_constant():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for frame in (
        pd.DataFrame({"a": [None, None], "b": [np.nan, np.nan], "c": [pd.NA, None]}),
        pl.DataFrame({"a": [None, None]}),
    ):
        assert public_features(frame).shape == (2, 0)
        for basis in public_bases(frame):
            np.testing.assert_allclose(basis, [[0.5**0.5]] * 2)


@pytest.mark.slow
def test_no_frame_library_is_needed():
    code = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "polars"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import numpy as np
from skdistill.transfer import public_bases
for X in (np.eye(5), [["a", 1], ["b", 2]], ["a word", "another"]):
    public_bases(X)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


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


def test_texts():
    texts = ["the cat sat", "a cat sat down", "stocks fell again", "stocks rose", None, ""] * 5
    pca, graph = public_bases(texts)
    for basis in (pca, graph):
        assert_orthonormal(basis, 30, 64)
    about_cats = np.array([1.0, 1, -1, -1, 0, 0] * 5)
    assert np.linalg.norm(pca[:, :4].T @ about_cats) > 0.95 * np.linalg.norm(about_cats)
    np.testing.assert_array_equal(
        public_features(np.array(texts, dtype=object)), public_features(texts)
    )
    assert public_features(["!", "?"]).shape == (2, 0)
