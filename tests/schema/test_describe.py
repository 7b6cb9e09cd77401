import dataclasses

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
    with pytest.raises(ValueError, match=r"give \(low, high\), not"):
        Schema.from_dtypes({"x": float}, bounds={"x": (0, 1, 2)})


def without_edges(schema):
    return tuple(
        dataclasses.replace(c, edges=None) if c.kind == "number" else c for c in schema.columns
    )


def test_bins_of_public_rows_are_quantiles():
    """Equal widths would put 99.9 % of a heavy tail into one bin."""
    x = np.random.default_rng(0).pareto(0.5, 2400)[:, None]
    shares = np.bincount(Schema.from_public(x).encode(x)[:, 0]) / 2400
    assert np.allclose(shares, 1 / 24, atol=0.002)
    zeros = np.r_[np.zeros(900), np.arange(1, 101)][:, None]
    counts = np.bincount(Schema.from_public(zeros).encode(zeros)[:, 0])
    assert counts[0] == 900
    assert 20 <= len(counts) <= 26
    assert Schema.from_public(np.ones((5, 1))).columns[0].edges is None


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
    assert without_edges(Schema.from_public(public)) == wanted
    lists = {**public.drop(columns="o").to_dict("list"), "mixed": ["b", None]}
    assert without_edges(Schema.from_public(pl.DataFrame(lists))) == wanted[:-1]
    names = Schema.from_public(public.to_numpy()).names
    assert names == [f"x{j}" for j in range(7)]
    assert Schema.from_public(np.ones((2, 1)), edges={"x0": "log"}).columns[0].edges == "log"
    with pytest.raises(ValueError, match="not there"):
        Schema.from_public(public, edges={"y": "log"})


@pytest.mark.parametrize(
    ("cells", "error", "match"),
    [
        (pd.to_datetime(["2012-08-01", None]), TypeError, "'c' holds dates.*to_datetime"),
        (pd.Series([18.9, " "], dtype=object), ValueError, "numbers and text.*to_numeric"),
        (pd.Series([18, " "], dtype=object), ValueError, "numbers and text.*to_numeric"),
        (["$67,349", "$1.50"], ValueError, "currency or percent"),
        (["5 %", "70%", None], ValueError, "currency or percent"),
        (["1.50", "-3", "2,000.5"], ValueError, "'c' holds numbers with commas.*decimal="),
        ([(1, 2), [3]], TypeError, "of type"),
    ],
)
def test_public_columns_that_are_refused_with_the_cure(cells, error, match):
    with pytest.raises(error, match=match):
        Schema.from_public(pd.DataFrame({"c": cells}))


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        ([f"C{i}" for i in range(100)], "'c' looks like an id or free text: 100 values"),
        (np.arange(100) + 7, "'c' looks like an id"),
        (["2012-08-01", "2013-01-05T10:00", None], "dates stored as text.*to_datetime.*dates="),
        (["1.50", "-3", "2000.5"], "numbers stored as text"),
        ([f"C{i // 3}" for i in range(4000)], "1334 categories"),
    ],
)
def test_public_columns_that_are_suspicious(cells, match):
    with pytest.warns(UserWarning, match=match):
        schema = Schema.from_public(pd.DataFrame({"c": cells}))
    assert len(schema) == 1


def test_usual_public_columns_are_not_suspicious():
    rng = np.random.default_rng(0)
    Schema.from_public(
        pd.DataFrame(
            {
                "age": rng.integers(18, 90, 500),
                "income": rng.lognormal(10, 1, 500),
                "town": rng.choice(["Bern", "1st", "A 4"], 500),
                "grade": pd.Categorical(rng.integers(0, 3, 500)),
                "gone": [None] * 500,
            }
        )
    )


def test_a_list_of_two_numbers_where_a_range_was_meant():
    with pytest.warns(UserWarning, match=r"'age'.*\[17, 90\].*tuple \(17, 90\)"):
        Schema({"age": [17, 90]})
    Schema({"flag": [0, 1], "three": [1, 5, 9], "text": ["a", "b"]})


def test_log_edges_over_a_negative_bound():
    with pytest.raises(ValueError, match="lower bound -5.0.*edges as numbers"):
        Schema({"x": (-5, 1e6)}, edges={"x": "log"})


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


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: Schema({"a": (0, 1), "g": (0, 1)}, missing="ag"), "missing"),
        (lambda: Schema({"a": (0, 1), "g": (0, 1)}, integer="ag"), "integer"),
        (lambda: Schema.from_dtypes(FRAME, bounds=BOUNDS, missing="age"), "missing"),
        (lambda: Schema.from_public(FRAME, dates="age"), "dates"),
    ],
)
def test_a_name_in_place_of_a_list_is_not_read_letter_by_letter(make, setting):
    with pytest.raises(TypeError, match=rf"{setting}='ag?e?' must be .* {setting}=\['ag"):
        make()


def test_complex_numbers_are_named():
    with pytest.raises(TypeError, match="'z' holds objects of type complex"):
        Schema.from_public(pd.DataFrame({"z": [1j, 2.0]}))


def test_numbers_among_words_are_named():
    ages = [str(20 + i % 40) for i in range(200)]
    ages[::50] = ["n/a"] * 4
    with pytest.warns(UserWarning, match="'age' looks like numbers stored as text.*coerce"):
        Schema.from_public(pd.DataFrame({"age": ages}))
