"""A schema reads tables cell by cell, is total, and never shows a cell."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from sklearn.base import clone

from skdistill import learn_bounds
from skdistill.schema import Column, Schema, as_schema
from skdistill.transfer import TableFeatures

pytestmark = pytest.mark.filterwarnings("ignore:Column .* holds .* only")

SCHEMA = Schema(
    {
        "age": (17, 90),
        "gain": (0, 99999),
        "job": ["clerk", "nurse"],
        "flag": [False, True],
        "grade": [1, 2, 3],
        "x": (-1.5, 2.5),
    },
    integer=["age", "gain"],
    missing=["gain", "grade"],
    edges={"gain": "log", "x": [0, 1]},
)

CELL = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-(10**400), 10**400),
    st.integers(-5, 100),
    st.booleans(),
    st.sampled_from(
        ["clerk", "nurse", "other", "CANARY", "3", "", b"x", [1], (), 1j, pd.NA, pd.NaT]
    ),
    st.sampled_from(
        [np.float32(0.1), np.int8(3), np.datetime64("NaT", "D"), np.str_("clerk"), object()]
    ),
)
ROW = st.lists(CELL, min_size=6, max_size=6)
TABLE = st.lists(ROW, min_size=1, max_size=6)


def object_array(rows):
    table = np.empty((len(rows), 6), dtype=object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            table[i, j] = cell
    return table


def inferred_frame(rows):
    """A frame whose dtypes pandas infers from all cells of a column."""
    columns = {name: [row[j] for row in rows] for j, name in enumerate(SCHEMA.names)}
    return frame(columns)


def object_frame(rows):
    return frame(object_array(rows), columns=SCHEMA.names)


def frame(*args, **kwargs):
    try:
        return pd.DataFrame(*args, **kwargs)
    except OverflowError:  # pandas 2.2 makes no frame of integers above 1.8e308: nobody has one
        reject()


CONTAINERS = [list, object_array, object_frame, inferred_frame]


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
@given(rows=TABLE, n_bins=st.integers(1, 30))
def test_it_is_total(container, rows, n_bins):
    """For any cells: codes in range, and a sanitised table of the same codes."""
    X = container(rows)
    codes = SCHEMA.encode(X, n_bins)
    assert codes.shape == (len(rows), 6)
    assert codes.dtype == np.int64
    assert ((codes >= 0) & (codes < SCHEMA.n_codes(n_bins))).all()
    clean = SCHEMA.sanitize(X)
    assert np.array_equal(SCHEMA.encode(clean, n_bins), codes)
    assert "CANARY" not in str(clean)


@pytest.mark.parametrize("container", CONTAINERS)
@given(rows=TABLE, other=ROW, where=st.integers(0, 5))
def test_replacing_a_row_changes_its_codes_alone(container, rows, other, where):
    """Dtypes of whole columns change with one cell; codes of the other rows must not."""
    where %= len(rows)
    neighbour = [other if i == where else row for i, row in enumerate(rows)]
    first, second = SCHEMA.encode(container(rows)), SCHEMA.encode(container(neighbour))
    rest = np.arange(len(rows)) != where
    assert np.array_equal(first[rest], second[rest])


def test_a_complex_neighbour_changes_nothing():
    """Found by the test above: pandas makes a whole column complex beside one complex cell."""
    for cell in (0.0, 3, None, np.inf):
        alone, beside = (
            Schema({"x": (-1, 5), "k": [0, 3, 9]}, missing=True).encode(
                pd.DataFrame({"x": [cell, other], "k": [cell, other]})
            )
            for other in (1.0, 1j)
        )
        assert np.array_equal(alone[0], beside[0])


@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
def test_decoded_rows_have_their_codes(kind):
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, k, 500) for k in SCHEMA.n_codes(10)])
    rows = SCHEMA.decode(codes, rng, 10, kind)
    assert SCHEMA.kind_of(rows) == kind
    assert np.array_equal(SCHEMA.encode(rows, 10), codes)
    clean = SCHEMA.sanitize(rows)  # already inside: nothing changes
    assert type(clean) is type(rows)
    if kind == "pandas":
        pd.testing.assert_frame_equal(clean, rows)


def test_rows_of_middles():
    """As drawn without a generator: the same codes, and nothing random."""
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, k, 500) for k in SCHEMA.n_codes(10)])
    rows = SCHEMA.decode(codes, None, 10, "pandas")
    assert np.array_equal(SCHEMA.encode(rows, 10), codes)
    pd.testing.assert_frame_equal(rows, SCHEMA.decode(codes, None, 10, "pandas"))
    pd.testing.assert_frame_equal(SCHEMA.snap(rows, 10), rows)  # already there


@pytest.mark.parametrize("container", CONTAINERS)
@given(rows=TABLE, other=ROW, where=st.integers(0, 5), n_bins=st.integers(1, 300))
def test_snapping(container, rows, other, where, n_bins):
    """Codes are kept, rows of the same codes become equal, and no row depends on another."""
    snapped = SCHEMA.snap(container(rows), n_bins)
    codes = SCHEMA.encode(container(rows), n_bins)
    assert "CANARY" not in str(snapped)
    assert np.array_equal(SCHEMA.encode(snapped, n_bins), codes)
    kind = SCHEMA.kind_of(container(rows))
    again = SCHEMA.decode(codes, None, n_bins, kind)
    if kind == "pandas":
        pd.testing.assert_frame_equal(snapped, again)
    else:
        assert repr(snapped.tolist()) == repr(again.tolist())
    where %= len(rows)
    neighbour = [other if i == where else row for i, row in enumerate(rows)]
    rest = np.arange(len(rows)) != where
    beside = SCHEMA.snap(container(neighbour), n_bins)
    assert repr(np.asarray(beside)[rest].tolist()) == repr(np.asarray(snapped)[rest].tolist())


def test_snapping_keeps_the_container():
    X = pd.DataFrame([[17.4, 7, "nurse", True, 3, 0.3]], columns=SCHEMA.names, index=[9])
    snapped = SCHEMA.snap(X)
    assert snapped.index.tolist() == [9]
    assert snapped["age"].tolist() == [17] and snapped["job"].tolist() == ["nurse"]
    polars = SCHEMA.snap(pl.DataFrame(X.to_dict("list")))
    assert isinstance(polars, pl.DataFrame)
    for n_bins in (0, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="n_bins"):
            SCHEMA.snap(X, n_bins)


def test_values_are_kept_where_they_may_be():
    X = pd.DataFrame(
        {"age": [17.4, 300], "gain": [None, 7], "job": ["nurse", "CANARY"], "flag": [True, None],
         "grade": [3, 9], "x": [np.nan, -0.25]},
        index=[5, 6],
    )  # fmt: skip
    clean = SCHEMA.sanitize(X)
    assert clean.index.tolist() == [5, 6]
    assert clean["age"].tolist() == [17, 90]
    assert clean["job"].tolist() == ["nurse", "other"]
    assert clean["flag"].tolist() == [True, False]
    assert clean["x"].tolist() == [-1.5, -0.25]
    assert clean["grade"].tolist()[0] == 3
    assert clean.isna().sum().to_dict() == {
        **dict.fromkeys(SCHEMA.names, 0), "gain": 1, "grade": 1
    }  # fmt: skip


@pytest.mark.parametrize("change", ["order", "names", "fewer", "more"])
def test_other_columns_are_an_error_that_shows_no_cell(change):
    X = pd.DataFrame([["CANARY"] * 6], columns=SCHEMA.names)
    if change == "order":
        X = X[SCHEMA.names[::-1]]
    elif change == "names":
        X = X.rename(columns={"age": "years"})
    else:
        X = X.iloc[:, :5] if change == "fewer" else X.assign(more="CANARY")
    for table in (X, pl.DataFrame(X.to_dict("list"))):
        with pytest.raises(ValueError, match="order|missing|features") as error:
            SCHEMA.encode(table)
        assert "CANARY" not in str(error.value)
    if change in ("fewer", "more"):
        with pytest.raises(ValueError, match="the schema has 6 columns"):
            SCHEMA.encode(X.to_numpy())


def test_it_is_a_value():
    twin = Schema.from_json(SCHEMA.to_json(indent=1))
    assert twin == SCHEMA
    assert hash(twin) == hash(SCHEMA)
    assert pickle.loads(pickle.dumps(SCHEMA)) == copy.deepcopy(SCHEMA) == SCHEMA
    assert Schema({"a": (0, 1)}) != Schema({"a": (0, 2)})
    with pytest.raises(AttributeError):
        SCHEMA.columns = ()
    estimator = TableFeatures(SCHEMA)
    assert clone(clone(estimator)).schema == SCHEMA
    assert len(SCHEMA) == 6
    assert repr(SCHEMA) == "Schema(6 columns: age, gain, job, flag, grade, x)"


def test_what_is_no_schema():
    with pytest.raises(ValueError, match="at least one"):
        Schema({})
    with pytest.raises(TypeError, match="Column objects"):
        Schema(["a"])
    with pytest.raises(ValueError, match="distinct"):
        Schema([Column("a", low=0, high=1)] * 2)
    for text in ("[]", "{}", '{"version": 2, "columns": []}'):
        with pytest.raises(ValueError, match="version"):
            Schema.from_json(text)
    for n_bins in (0, 1.5, True, "many", 2**30):
        with pytest.raises((TypeError, ValueError), match="n_bins"):
            SCHEMA.n_codes(n_bins)


def test_bounds_for_all_columns():
    schema = as_schema((0, 1), np.ones((2, 3)))
    assert schema.names == ["x0", "x1", "x2"]
    assert as_schema([0, 1], pd.DataFrame({"a": [7.0]})) == Schema({"a": (0, 1)})
    assert as_schema(SCHEMA, None) is SCHEMA
    for wrong in (None, "auto", (0,), ("a", "b")):
        with pytest.raises(TypeError, match="never read off private data"):
            as_schema(wrong, np.ones((2, 2)))


@pytest.mark.parametrize(
    "table", [np.full((2, 2), 77.5), [[77.5, 1.0]] * 3, pd.DataFrame({"a": [77.5]}), (77.5, "x")]
)
def test_a_table_in_place_of_the_schema_is_not_shown(table):
    with pytest.raises(TypeError, match="must be a Schema") as caught:
        as_schema(table, Schema({"a": (0, 1)}))
    assert "77.5" not in str(caught.value)
    with pytest.raises(TypeError) as caught:
        learn_bounds(table, Schema({"a": float}), epsilon=1.0)
    assert "77.5" not in str(caught.value)


def test_many_columns_and_categories():
    wide = Schema({f"c{j}": [str(v) for v in range(500)] for j in range(500)})
    X = np.full((50, 500), "77", dtype=object)
    assert (wide.encode(X) == 77).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "container", [pd.DataFrame, pl.DataFrame, np.asarray, pd.DataFrame.to_numpy]
)
@pytest.mark.parametrize(
    ("declared", "cells", "match"),
    [
        ((0, 9), ["1", " ", "3"], "texts only.*a number.*to_numeric"),
        ((0, 9), ["$1", "$2", None], "texts only"),
        ([1, 2, 3], ["1", "2", "1"], "texts only.*to_numeric"),
        (["1", "2"], [1, 2, 1], r"numbers only.*astype\(str\)"),
        (["1", "2"], [True, False, True], "booleans only"),
    ],
)
def test_a_column_of_a_type_that_cannot_fit_is_a_warning(container, declared, cells, match):
    schema = Schema({"c": declared}, missing=True)
    X = pd.DataFrame({"c": cells})
    if container is pl.DataFrame:
        X = pl.DataFrame({"c": cells})
    elif container is not pd.DataFrame:
        X = container(X)
    if all(
        str(dtype) == "object"
        for dtype in np.atleast_1d(X.dtypes if hasattr(X, "dtypes") else X.dtype)
    ):
        schema.encode(X)  # one private cell would decide whether there is a warning
        assert schema.report(X).columns[0].fits == 0
        return
    for read in (schema.encode, schema.sanitize):
        with pytest.warns(UserWarning, match=match) as told:
            read(X)
        assert not any(str(cell) in str(told[0].message).split("'c'")[1][:40] for cell in cells[:1])


@pytest.mark.filterwarnings("error")
def test_no_warning_where_one_cell_can_fit():
    schema = Schema({"a": (0, 9), "c": ["x", "y"], "b": [False, True], "k": [1, 2]}, missing=True)
    rows = [["?", 7, "no", "1"], [3, "x", True, True], [None] * 4]
    schema.encode(rows)
    schema.encode([[None] * 4] * 3)
    schema.encode(pd.DataFrame([[True, "u", 1, 1.0]], columns=list("acbk")))


def test_dates_in_a_column_of_numbers():
    X = pd.DataFrame({"since": pd.to_datetime(["2020-01-01", "2021-01-01"])})
    with pytest.warns(UserWarning, match="'since' holds dates only.*bounds that are dates"):
        Schema({"since": (0, 9000)}).encode(X)
    with pytest.warns(UserWarning, match=r"'since': \(datetime.date\("):  # texts are categories
        Schema({"since": ("2000-01-01", "2030-01-01")}).encode(X)


def test_report():
    rows = [
        [20, 5.0, "nurse", True, 1, 0],
        ["44", 1e9, "CANARY", None, "1", np.nan],
        [-3, None, "clerk", [1], 2, 1.5],
    ]
    report = SCHEMA.report(rows, ["a", "b", None], classes=["a", "c"])
    shown = {c.name: (c.fits, c.clipped, c.other, c.missing, c.unreadable) for c in report.columns}
    assert shown == {
        "age": (1, 1, 0, 0, 1),
        "gain": (1, 1, 0, 1, 0),
        "job": (2, 0, 1, 0, 0),
        "flag": (1, 0, 1, 1, 0),
        "grade": (2, 0, 1, 0, 0),
        "x": (2, 0, 0, 1, 0),
        "y (target)": (1, 0, 1, 1, 0),
    }
    assert repr(report).startswith("PRIVATE: exact counts")
    assert "CANARY" not in repr(report)
    for table in (object_array(rows), pd.DataFrame(rows, columns=SCHEMA.names)):
        assert SCHEMA.report(table, ["a", "b", None], classes=["a", "c"]) == report
    targets = SCHEMA.report(rows, np.array([1.0, 99.0, np.nan]), output_range=(0, 10))
    assert targets.columns[-1].clipped == targets.columns[-1].missing == 1
    with pytest.raises(ValueError, match="classes=.*output_range="):
        SCHEMA.report(rows, [1, 2, 3])


def test_polars_keeps_booleans_and_nulls():
    f = pl.DataFrame(
        {"own": [True, None], "age": [1.5, None], "b": [True, False], "t": ["u", None]}
    )
    clean = Schema.from_public(f).sanitize(f)
    assert clean.equals(f)
    assert clean.schema == f.schema
