import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdistill.schema import Column, Schema

FRAME = pd.DataFrame(
    {
        "age": [1, 2],
        "x": [0.5, 1.5],
        "c": pd.Categorical(["a", "b"], categories=["a", "b", "z"]),
        "f": [True, False],
        "n": pd.array([1, None], dtype="Int64"),
    }
)
BOUNDS = {"age": (0, 120), "x": (-1, 1), "n": (0, 5)}


def test_dtypes_say_what_they_can():
    schema = Schema.from_dtypes(FRAME, bounds=BOUNDS, edges={"x": [0, 0.5]})
    assert schema == Schema.from_dtypes(FRAME.dtypes, bounds=BOUNDS, edges={"x": [0, 0.5]})
    assert schema == Schema.from_dtypes(dict(FRAME.dtypes), bounds=BOUNDS, edges={"x": [0, 0.5]})
    assert schema.columns == (
        Column("age", low=0, high=120, integer=True),
        Column("x", low=-1, high=1, edges=(0, 0.5)),
        Column("c", "category", categories=("a", "b", "z"), other="other"),
        Column("f", "category", categories=(False, True)),
        Column("n", low=0, high=5, integer=True, missing=True),
    )


def test_polars_says_as_much():
    frame = pl.DataFrame(
        {"age": [1], "f": [True], "c": ["a"]}, schema_overrides={"c": pl.Enum(["a", "z"])}
    )
    schema = Schema.from_dtypes(frame, bounds={"age": (0, 120)})
    assert schema == Schema({"age": (0, 120), "f": [False, True], "c": ["a", "z"]}, integer=["age"])
    assert Schema.from_dtypes(frame.schema, bounds={"age": (0, 120)}) == schema


@pytest.mark.parametrize("name", ["age", "x", "n"])
def test_bounds_are_never_read_off_the_table(name):
    bounds = {key: value for key, value in BOUNDS.items() if key != name}
    with pytest.raises(ValueError, match=f"bounds of column '{name}' would have to be read off"):
        Schema.from_dtypes(FRAME, bounds=bounds)


@pytest.mark.parametrize("dtype", [object, "string", "datetime64[ns]"])
def test_categories_are_never_read_off_the_table(dtype):
    with pytest.raises(ValueError, match="categories of column 'c' would have to be read off"):
        Schema.from_dtypes({"c": np.dtype(dtype) if dtype != "string" else "string"})


def test_the_rows_of_a_table_do_not_matter():
    other = FRAME.assign(age=[7, 10**6], x=[np.nan, np.inf], f=[True, True])
    assert Schema.from_dtypes(other, bounds=BOUNDS) == Schema.from_dtypes(FRAME, bounds=BOUNDS)


def test_given_by_hand():
    schema = Schema.from_dtypes({"c": object, "age": object}, bounds={"age": (0, 1)},
                                categories={"c": ["u", "v"]}, missing=True)  # fmt: skip
    assert schema == Schema({"c": ["u", "v"], "age": (0, 1)}, missing=True)
    for wrong in ({"bounds": {"y": (0, 1)}}, {"categories": {"y": [1]}}, {"missing": ["y"]}):
        with pytest.raises(ValueError, match="not there"):
            Schema.from_dtypes({"f": bool}, **wrong)
    with pytest.raises(TypeError, match="named columns"):
        Schema.from_dtypes(np.ones((2, 2)))


def test_public_rows_say_everything():
    public = pd.DataFrame(
        {
            "n": [3, -1],
            "x": [0.5, np.inf],
            "gone": [np.nan, np.nan],
            "text": ["b", "a"],
            "mixed": ["b", None],
            "flag": [True, False],
            "o": np.array([2, 5], dtype=object),
        }
    )
    wanted = (
        Column("n", low=-1, high=3, integer=True),
        Column("x", low=0.5, high=0.5),
        Column("gone", low=0, high=0, missing=True),
        Column("text", "category", categories=("a", "b"), other="other"),
        Column("mixed", "category", categories=("b",), other="other", missing=True),
        Column("flag", "category", categories=(False, True)),
        Column("o", low=2, high=5, integer=True),
    )
    assert Schema.from_public(public).columns == wanted
    lists = {**public.drop(columns="o").to_dict("list"), "mixed": ["b", None]}
    assert Schema.from_public(pl.DataFrame(lists)).columns == wanted[:-1]
    names = Schema.from_public(public.to_numpy()).names
    assert names == [f"x{j}" for j in range(7)]
    assert Schema.from_public(np.ones((2, 1)), edges={"x0": "log"}).columns[0].edges == "log"
    with pytest.raises(ValueError, match="not there"):
        Schema.from_public(public, edges={"y": "log"})


def test_written_down():
    column = Column("own", low=0, high=1)
    schema = Schema({"a": (0, 1), "c": ["u"], "k": [1, 2], "own": column, "t": ("u", "v")})
    assert [c.kind for c in schema.columns] == ["number", *["category"] * 2, "number", "category"]
    assert [c.other for c in schema.columns] == [None, "other", None, None, "other"]
    for wrong in ({"integer": ["b"]}, {"missing": ["b"]}, {"edges": {"b": "log"}}):
        with pytest.raises(ValueError, match="not there"):
            Schema({"a": (0, 1)}, **wrong)
    with pytest.raises(ValueError, match="no number"):
        Schema({"a": ["u"]}, integer=["a"])
    for meaning in (3, "text", {"u": 1}):
        with pytest.raises(TypeError, match="give \\(low, high\\)"):
            Schema({"a": meaning})
