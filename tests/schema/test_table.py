import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from skdistill.schema import Column
from skdistill.schema.table import Table, build_table, kind_of

COLUMNS = (
    Column("n", low=0, high=9, integer=True),
    Column("x", low=0, high=9, missing=True),
    Column("c", "category", categories=("a", "b"), missing=True),
    Column("f", "category", categories=(False, True)),
)
CELLS = [np.array([1.0, 2.0]), np.array([0.5, np.nan]), np.array([1, -1]), np.array([0, 1])]


def test_kinds():
    tables = [pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), np.ones((1, 1)), [[1]]]
    assert [kind_of(X) for X in tables] == ["pandas", "polars", "array", "array"]


def test_pandas():
    frame = build_table(COLUMNS, CELLS, "pandas", index=[7, 9])
    assert frame.dtypes.astype(str).tolist() == ["int64", "float64", "category", "bool"]
    assert frame.index.tolist() == [7, 9]
    assert frame["c"].cat.categories.tolist() == ["a", "b"]
    assert frame.isna().to_numpy().tolist() == [[False] * 4, [False, True, True, False]]


def test_polars():
    frame = build_table(COLUMNS, CELLS, "polars")
    assert frame.dtypes == [pl.Float64, pl.Float64, pl.String, pl.Boolean]
    assert frame["c"].to_list() == ["b", None]


def test_arrays():
    rows = build_table(COLUMNS, CELLS, "array")
    assert rows.dtype == object
    assert rows[0].tolist() == [1.0, 0.5, "b", 0.0]
    assert np.isnan(rows[1, 2])
    numbers = build_table([COLUMNS[j] for j in (0, 1, 3)], [CELLS[j] for j in (0, 1, 3)], "array")
    assert numbers.dtype == np.float64


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="kind='list'"):
        build_table(COLUMNS, CELLS, "list")


def test_lists_of_rows_keep_the_types_of_cells():
    columns = Table([[1, "a"], [2.5, None]]).columns
    assert columns == [[1, 2.5], ["a", None]]


def test_a_row_of_another_length_is_missing():
    """Whoever the row belongs to, it does not decide whether the others are read."""
    rows = [[1], [1, 2], [3, 4], "ab", None, [5, 6]]
    for X in (rows, np.array([*rows, None], dtype=object)[:-1]):
        columns = Table(X).columns
        assert repr(columns[0]) == "[nan, 1, 3, nan, nan, 5]"


@pytest.mark.parametrize("X", [np.ones(3), [1, 2], ["ab"], np.ones((2, 2, 2)), []])
def test_not_two_dimensional(X):
    with pytest.raises(ValueError, match="2D array"):
        Table(X)


@pytest.mark.parametrize("X", [np.ones((0, 2)), np.ones((2, 0)), pd.DataFrame({"a": []})])
def test_empty(X):
    with pytest.raises(ValueError, match="Found array with 0"):
        Table(X)


def test_sparse():
    with pytest.raises(TypeError, match="[Ss]parse"):
        Table(csr_array(np.eye(2)))
