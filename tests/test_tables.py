import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skdistill import NewtonClassifier, PrivateClassifier, TeacherEnsemble
from skdistill._tables import (
    canonical_rows,
    cells_of,
    check_label_types,
    check_lengths,
    classes_in,
    copy_rows,
    group_names,
    known_classes,
    label_codes,
    layout_of,
    read_table,
    row_blocks,
    take_rows,
)

TABLE = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def containers():
    yield np.array(TABLE)
    yield TABLE
    yield sp.csr_matrix(TABLE)
    yield sp.coo_array(TABLE)
    for library in ("pandas", "polars"):
        try:
            yield __import__(library).DataFrame(np.array(TABLE), **(
                {"columns": ["a", "b"]} if library == "pandas" else {"schema": ["a", "b"]}
            ))  # fmt: skip
        except ImportError:
            continue


def values(X):
    return X.toarray() if hasattr(X, "toarray") else np.asarray(X)


@pytest.mark.parametrize("X", list(containers()), ids=lambda X: type(X).__module__.split(".")[0])
def test_rows_keep_their_container(X):
    taken = take_rows(X, np.array([2, 0, 2]))
    assert np.array_equal(values(taken), np.array(TABLE)[[2, 0, 2]])
    if not sp.issparse(X):
        assert type(taken) is type(X)


def first_two(X):
    return read_table(X).take(np.array([0, 1]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, bool, np.float64, np.longdouble, ">f8"])
def test_arrays_of_numbers_become_double(dtype):
    X = np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype)
    assert first_two(X).dtype == np.float64
    assert first_two(X).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_single_precision_stays(dtype):
    images = np.ones((3, 4, 4, 2), dtype=dtype)
    assert first_two(images).dtype == np.float32
    assert first_two(images).shape == (2, 4, 4, 2)


@pytest.mark.parametrize("form", [np.asarray, np.float32, sp.csr_array, list, pd.DataFrame])
def test_tables_have_no_negative_zero(form):
    rows = form([[-0.0, 1.0], [2.0, -0.0]])
    if form is sp.csr_array:
        rows.data = -0.0 * rows.data
    read = canonical_rows(rows)
    assert not np.signbit(read.data if sp.issparse(read) else values(read)).any()


def test_the_callers_rows_are_not_changed():
    signalling = np.array([[0x7FF0000000000001]], dtype=np.uint64).view(np.float64)
    before = signalling.view(np.uint64).copy()
    assert np.isnan(canonical_rows(signalling)).all()
    assert np.array_equal(signalling.view(np.uint64), before)
    twice = sp.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(1, 2))
    rows = canonical_rows(twice)
    assert rows.format == "csr" and rows.nnz == 1 and twice.nnz == 2
    assert isinstance(canonical_rows(sp.csc_matrix(np.eye(2, dtype=int))), sp.csr_matrix)


def test_columns_have_the_dtype_of_the_rows_that_are_taken():
    table = read_table([[1, "a", None], [2, None, None], ["?", "b", 3]])
    assert table.shape == (3, 3) and table.n_rows == 3
    assert table.take(np.array([0, 1])).tolist()[0][:2] == [1.0, "a"]
    assert read_table([[1, 2], [None, True], ["?", 3]]).take(np.array([0, 1])).dtype == np.float64
    dates = pd.DataFrame({"d": [pd.Timestamp("2020"), None, "?"], "x": [1, 2, 3]}, index=[5, 5, 7])
    taken = first_two(dates)
    assert taken.dtypes.astype(str).tolist() == ["datetime64[ns]", "float64"]
    assert taken.index.tolist() == [0, 1]
    third, second = (read_table(dates).take(np.array([i])) for i in (2, 1))
    assert third.dtypes.astype(str).tolist() == ["object", "float64"]
    assert second.dtypes.tolist() == [np.float64, np.float64]


def test_polars():
    mixed = pl.Series(["u", 1.5], dtype=pl.Object)
    rows = canonical_rows(pl.DataFrame({"a": [1, None], "b": ["x", None], "c": mixed}))
    assert rows.dtypes == [pl.Float64, pl.String, pl.Object]
    assert rows["b"].to_list() == ["x", None] and rows["c"].to_list() == ["u", 1.5]
    assert rows["a"].is_nan().to_list() == [False, True]


DOCUMENTS = ["a", "b", None, "c"]


@pytest.mark.parametrize(
    "X",
    [DOCUMENTS, np.array(DOCUMENTS, dtype=object), pd.Series(DOCUMENTS), pl.Series(DOCUMENTS)],
    ids=lambda X: type(X).__module__.split(".")[0],
)
def test_documents(X):
    taken = first_two(X)
    assert type(taken) is type(X)
    assert list(taken) == ["a", "b"]
    assert len(read_table(X).shape) == 1


def test_the_width_of_rows_in_a_list():
    rows = [[1], [1, 2], (3, 4), np.array([5, 6]), "ab", None, 7]
    taken = canonical_rows(rows)
    assert taken.tolist()[1:4] == [[1, 2], [3, 4], [5, 6]]
    assert np.isnan(taken[[0, 4, 5, 6]]).all()
    assert layout_of(rows).shape[1] == 2
    one = canonical_rows(rows, width=1)
    assert one[0, 0] == 1 and one.shape == (7, 1)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        ([], "0 sample"),
        ([[], []], "0 feature"),
        (np.ones((0, 2)), "0 sample"),
        (np.ones((2, 0)), "0 feature"),
        (np.ones(3), "2D array"),
        (3.0, "2D array"),
        (np.ones((2, 2), dtype=complex), "Complex data"),
        (pd.DataFrame({"a": []}), "0 sample"),
    ],
)
def test_what_is_public_raises(X, said):
    with pytest.raises(ValueError, match=said):
        read_table(X)


def test_numbers_of_a_table():
    found = read_table([[1, "a"], [True, None]]).numbers()
    assert np.array_equal(found, [[1, np.nan], [1, np.nan]], equal_nan=True)
    assert read_table(np.ones((2, 2), dtype=np.float32)).numbers().dtype == np.float64
    assert sp.issparse(read_table(sp.eye_array(3)).numbers())
    for X in (["a", "b"], np.ones((2, 2, 2))):
        with pytest.raises(ValueError, match="2D"):
            read_table(X).numbers()


def test_copies():
    frames = [pd.DataFrame({"a": ["x", "y"]}), pl.DataFrame({"a": [1]})]
    for X in (np.eye(2), [1.0, "a"], *frames, sp.eye_array(2).tocsr()):
        copied = copy_rows(X)
        assert copied is not X and type(copied) is type(X)


LABELS = [0, 1, 1.0, True, "0", "b", None, 2.5, 10**400, np.int8(1)]


@settings(deadline=None)
@given(st.lists(st.sampled_from(LABELS), min_size=1))
def test_codes_are_those_of_each_label_alone(labels):
    for classes in (np.array([0, 1]), np.array(["0", "b"]), np.array([1.0, 2.5, 0.0])):
        together = label_codes(labels, classes).tolist()
        assert together == [label_codes([label], classes)[0] for label in labels]
        assert together == label_codes(pd.Series(labels, dtype=object), classes).tolist()


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1), st.permutations([-2, 0, 1, 3]))
def test_codes_of_arrays_of_numbers(labels, classes):
    known = np.array(classes)
    wanted = label_codes(labels, known).tolist()
    for dtype in (int, float, np.int8):
        assert label_codes(np.array(labels, dtype=dtype), known).tolist() == wanted


def test_classes_found_in_labels():
    assert classes_in([1, 0, None, 1]).tolist() == [0, 1]
    assert classes_in(pd.Series(["b", None, "a"])).tolist() == ["a", "b"]
    wrong = {"several types": [0, "a"], "no label": [None, None], "continuous": [0.5, 1]}
    for said, y in wrong.items():
        with pytest.raises(ValueError, match=said):
            classes_in(y)


@pytest.mark.parametrize(
    "listed",
    [{"no", "yes"}, ("yes", "no"), pd.Series(["no", "yes"]), pd.Categorical(["yes", "no"])],
)
def test_classes_are_listed_in_any_container(listed):
    assert known_classes(["no"], listed).tolist() == ["no", "yes"]


@pytest.mark.parametrize(
    "wrong",
    [
        "yes",
        2,
        ["no"],
        ["no", "no"],
        [[0, 1]],
        [[0], [1, 2]],
        ["no", 1],
        ["no", None],
        [],
        [0, 0.0],
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda classes: NewtonClassifier(classes),
        lambda classes: TeacherEnsemble(LogisticRegression(), 2, classes=classes),
        lambda classes: PrivateClassifier(schema=(0, 1), classes=classes),
    ],
)
def test_classes_that_are_no_list_of_labels_raise(make, wrong):
    with pytest.raises(ValueError, match="classes="):
        make(wrong).fit([[0.0]] * 4, ["no", "yes"] * 2)


def test_label_types_are_told_by_dtypes_alone():
    numbers, texts = np.array([0, 1]), np.array(["a", "b"])
    for y in (np.array(["a"]), pd.Series(["a"], dtype="string"), pl.Series(["a"])):
        with pytest.raises(ValueError, match="text and the classes"):
            check_label_types(y, numbers)
        with pytest.raises(ValueError, match="are text"):
            check_label_types(y)
        check_label_types(y, texts)
    for y in (np.array([0]), pd.Series([True]), pd.Series([1], dtype="Int64"), pl.Series([0.5])):
        with pytest.raises(ValueError, match="numbers and the classes"):
            check_label_types(y, texts)
        check_label_types(y)
    categories = pd.Series(["a"], dtype="string").astype("category")
    for y in (categories, pl.Series(["a"], dtype=pl.Enum(["a"])), pd.Series([b"a"]).to_numpy("S1")):
        with pytest.raises(ValueError, match="and the classes"):
            check_label_types(y, numbers)
    for y in (np.array([b"a"]), pd.Series(pd.date_range("2020", periods=2)), pl.Series([b"a"])):
        with pytest.raises(ValueError, match="and the classes"):
            check_label_types(y, texts)
    check_label_types(categories, texts)
    intervals = pd.Series(pd.arrays.IntervalArray.from_tuples([(0, 1)]))
    odd = np.array(["a", 1], dtype=object)
    for y in (odd.tolist(), odd, pd.Series(["a"], dtype=object), intervals):
        check_label_types(y, numbers)
        check_label_types(y, texts)


@pytest.mark.parametrize("dtype", [None, "category"])
def test_one_label_that_is_no_text_does_not_decide_whether_labels_raise(dtype):
    """pandas infers "str" for a column of texts (since version 3), and else objects."""
    for labels in (["0", "1"], ["0", 1], ["0", None]):
        y = pd.Series(labels, dtype=dtype)
        check_label_types(y, np.array([0, 1]))
        check_label_types(y)


def test_cells_and_lengths():
    with pytest.warns(match="column-vector"):
        assert cells_of(np.array([[1], [2]])) == [1, 2]
    with pytest.raises(ValueError, match="1d array"):
        cells_of(np.ones((2, 2)))
    with pytest.raises(ValueError, match="one-dimensional"):
        cells_of([[1], [2]])
    assert cells_of([[1], 2, 3]) == [[1], 2, 3]  # one label does not decide
    check_lengths(np.ones((2, 1)), y=[1, 2], groups=None)
    with pytest.raises(ValueError, match="y has 3"):
        check_lengths([[1], [2]], y=[1, 2, 3])


def test_names_of_groups():
    same = [7, 7.0, "7", np.int64(7), np.float32(7)]
    assert set(group_names(same)) == {"7"}
    assert len(set(group_names([None, pd.NA, float("nan"), pd.NaT]))) == 1
    assert group_names([("a", 1), ("a", 1.0), ("b", 1)]) == ["(a, 1)", "(a, 1)", "(b, 1)"]
    cut = pd.Interval(20, 30, closed="left")
    for column in (pd.Series([cut, cut]), pd.Series([cut, None])):
        assert group_names(column)[0] == "[20, 30)"
        assert label_codes(column, np.array(["[20, 30)", "a"]))[0] == 0
        assert label_codes(column, np.array([cut, pd.Interval(0.0, 20.0)]))[0] == 0
    large = 2**60 + 1
    assert group_names([large]) == group_names(pd.Series([large, None]))[:1]


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("step", [1, 3, 7, 100])
def test_blocks_of_rows_are_views_that_make_up_the_table(form, step):
    X = form(np.arange(21.0).reshape(7, 3) % 4)
    blocks = list(row_blocks(X, step))
    assert [i for rows, _ in blocks for i in range(7)[rows]] == list(range(7))
    assert np.array_equal(np.concatenate([values(block) for _, block in blocks]), values(X))
    for _, block in blocks:
        assert type(block) is type(X)
        ours, theirs = (block.data, X.data) if sp.issparse(X) else (block, X)
        assert np.shares_memory(ours, theirs)


@pytest.mark.parametrize("label", [2**53, 2**53 + 1, -(2**60), 2**64, float("nan"), float("inf")])
def test_classes_that_a_missing_label_would_change_are_refused(label):
    """One missing label makes floats of a column of integers, which cannot tell these apart."""
    labels = [0, label] * 20
    for y in (labels, np.array(labels), pd.Series(labels)):
        with pytest.raises(ValueError, match="below 2\\*\\*53|type|classes="):
            known_classes(y, [0, label])
        if label == label and abs(label) != np.inf:
            with pytest.raises(ValueError, match="below 2\\*\\*53|type|classes=") as raised:
                known_classes(y, None)
            assert str(label) not in str(raised.value)  # it may be one record's
    assert known_classes([0, 2**53 - 1], [0, 2**53 - 1]).tolist() == [0, 2**53 - 1]


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(pd.date_range("2020", periods=3)),
        pd.Series(pd.date_range("2020", periods=3, tz="UTC")),
        pd.date_range("2020", periods=3).to_numpy(),
        pd.Series(pd.to_timedelta([1, 2, 3], "D")),
        pd.Series(pd.date_range("2020", periods=3).to_period("D")),
        pl.Series(pd.date_range("2020", periods=3).date.tolist()),
        pd.Series(["1", "2", "3"], dtype="string"),
        pd.Series(["1", "2", "3"], dtype="string").astype("category"),
    ],
    ids=lambda y: str(y.dtype),
)
def test_dates_and_text_are_no_targets(y):
    with pytest.raises(ValueError, match="a regressor learns numbers"):
        check_label_types(y)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 2000, reason="no wider than float64")
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("state", ["warn", "raise"])
@pytest.mark.parametrize(
    "fit",
    [
        lambda X, y: read_table(X),
        lambda X, y: NewtonClassifier(classes=[0, 1]).fit(X, y),
        lambda X, y: TeacherEnsemble(LogisticRegression(), 10, classes=[0, 1]).fit(X, y),
    ],
)
def test_a_number_beyond_float64_decides_not_whether_a_fit_raises(fit, state, sparse):
    X = np.random.default_rng(0).normal(size=(400, 2)).astype(np.longdouble)
    X[3, 0] = np.longdouble("1e4000")
    if sparse:
        data = X.ravel()
        X = sp.csr_matrix((data, np.tile([0, 1], 400), np.arange(0, 802, 2)), shape=X.shape)
    with np.errstate(all=state):  # a warning is an error in tests
        fit(X, np.arange(400) % 2)
