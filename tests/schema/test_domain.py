"""Bounds from noisy counts: the cells are public, and the rule is right about tables it meets."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill.schema import Column, Schema
from skdistill.schema.domain import assumed, is_narrow, on_grid, with_bounds

FLOAT, WHOLE = Column("x"), Column("x", integer=True)
DATE = Column("x", date=True)


def learned(column, values, noise=0.0, seed=0, laplace=False):
    """Return the column with bounds from the counts of these values, and noise."""
    grid = on_grid(column)
    counts = np.bincount(grid.encode(values, 1), minlength=grid.n_codes(1)).astype(float)
    rng = np.random.default_rng(seed)
    draw, scale = (rng.laplace, noise / np.sqrt(2)) if laplace else (rng.normal, noise)
    counts = counts + (draw(0, scale, len(counts)) if noise else 0)
    return with_bounds(column, counts, noise, laplace=laplace)


def bounds(*args, **options):
    found = learned(*args, **options)
    return None if found is None else (found.low, found.high)


# The public cells.


@pytest.mark.parametrize("column", [FLOAT, WHOLE, DATE], ids=["float", "int", "date"])
def test_the_grid_is_a_partition_of_all_numbers(column):
    grid = on_grid(column)
    starts, ends = grid.bin_starts(1), grid.bin_ends(1)
    assert starts[0] == grid.low == -grid.high or column.date
    assert (np.diff(starts) > 0).all()
    assert (starts <= ends).all()
    assert grid.missing
    assert on_grid(column) == grid
    assert len(starts) < 700


@given(st.floats(allow_nan=False), st.integers(0, 3))
def test_a_number_is_in_its_cell(value, place):
    codes = on_grid(FLOAT).encode(np.array([1.0, value, -2.5, np.nan]), 1)
    assert codes[0] == on_grid(FLOAT).encode([1.0], 1)[0]
    assert codes[3] == on_grid(FLOAT).n_codes(1) - 1
    starts = on_grid(FLOAT).bin_starts(1)
    clipped = np.clip(value, -1e18, 1e18)
    assert starts[codes[1]] <= clipped
    assert codes[1] == len(starts) - 1 or clipped < starts[codes[1] + 1]


def test_the_second_grid_is_within_the_bounds():
    grid = on_grid(Column("x", low=-150.0, high=-100.0))
    codes = grid.encode(np.array([-1e9, -151.0, -150.0, -100.1, -100.0, 5.0, np.nan]), 1)
    assert codes.tolist() == [0, 0, 1, 128, 129, 129, 130]
    whole = Column("x", low=4, high=9, integer=True)
    assert on_grid(whole).encode(np.array([3, 4, 9, 10, np.nan]), 1).tolist() == [0, 1, 6, 7, 8]
    assert learned(whole, np.full(50, 9.0)).high == 9


# Tables without noise: nothing is outside, and bounds are as near as cells are.


@settings(deadline=None)
@given(
    st.lists(st.floats(-5e17, 5e17), min_size=1, max_size=20),
    st.sampled_from([FLOAT, WHOLE]),
)
def test_without_noise_nothing_is_outside(values, column):
    values = np.rint(np.clip(values, -5e15, 5e15)) if column.integer else np.array(values)
    low, high = bounds(column, values)
    assert low <= values.min()
    assert values.max() <= high
    if values.min() >= 0:
        assert low >= 0
    if values.max() < 0:
        assert high <= 0


CASES = {
    "lognormal": (FLOAT, lambda rng, n: rng.lognormal(10, 1, n)),
    "heavy tail": (FLOAT, lambda rng, n: rng.pareto(1.0, n)),
    "zeros": (FLOAT, lambda rng, n: np.where(rng.random(n) < 0.9, 0, rng.lognormal(8, 1, n))),
    "negative": (FLOAT, lambda rng, n: -rng.lognormal(3, 1, n)),
    "both signs": (FLOAT, lambda rng, n: rng.normal(0, 50, n)),
    "ages": (WHOLE, lambda rng, n: rng.integers(18, 91, n)),
    "few": (WHOLE, lambda rng, n: rng.integers(0, 3, n)),
    "years": (WHOLE, lambda rng, n: rng.integers(1990, 2021, n)),
    "far": (FLOAT, lambda rng, n: rng.uniform(-124, -114, n)),
    "tiny": (FLOAT, lambda rng, n: rng.lognormal(-18, 1, n)),
    "constant": (FLOAT, lambda rng, n: np.full(n, 7.25)),
    "zero": (FLOAT, lambda rng, n: np.zeros(n)),
    "some missing": (FLOAT, lambda rng, n: np.where(rng.random(n) < 0.5, np.nan, 10.0)),
    "days": (DATE, lambda rng, n: np.datetime64("2020-01-01") + rng.integers(0, 800, n)),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("laplace", [False, True], ids=["gaussian", "laplace"])
@pytest.mark.parametrize("name", CASES)
def test_with_noise_few_are_outside(name, laplace, seed):
    """10,000 values, and noise of 40 (or 25) on each of hundreds of cells."""
    column, draw = CASES[name]
    values = draw(np.random.default_rng(seed), 10_000)
    found = learned(column, values, 25.0 if laplace else 40.0, seed, laplace)
    numbers = column.numbers(values)
    outside = (numbers < found.low) | (numbers > found.high)
    assert outside.mean() < 0.03
    shown = numbers[~np.isnan(numbers)]
    size = np.abs(shown).max() if name not in ("heavy tail", "zero") else np.inf
    assert max(abs(found.low), abs(found.high)) <= (20 * size if not column.date else np.inf)


@pytest.mark.parametrize("seed", range(3))
def test_narrow_columns_are_seen_more_closely(seed):
    values = np.random.default_rng(seed).uniform(-124, -114, 10_000)
    first = learned(FLOAT, values, 40.0, seed)
    assert is_narrow(first)
    second = learned(first, values, 40.0, seed)
    assert second.low <= -124
    assert second.high >= -114
    assert second.high - second.low < 30 < first.high - first.low
    assert not any(
        is_narrow(Column("x", low=a, high=b)) for a, b in [(0, 1), (-1, 5), (1, 100), (0, 0)]
    )
    assert not is_narrow(Column("x", low=datetime.date(2020, 1, 1), high=datetime.date(2021, 1, 1)))


# Tables in which nothing is seen.


@pytest.mark.parametrize("laplace", [False, True])
@pytest.mark.parametrize("column", [FLOAT, WHOLE, DATE], ids=["float", "int", "date"])
def test_noise_alone_shows_nothing(column, laplace):
    """Of 300 empty columns at most a few: four deviations have a probability of 0.02 in one."""
    shown = sum(
        learned(column, np.array([np.nan]), 1e3, seed, laplace) is not None for seed in range(300)
    )
    assert shown <= 20
    assert learned(column, np.full(9, np.nan)) is None


def test_noise_alone_moves_no_bound_far():
    """Beside a column that is clearly seen, no empty cell far away is taken for one that is not."""
    values = np.random.default_rng(0).uniform(10, 20, 10_000)
    for seed in range(300):
        low, high = bounds(FLOAT, values, 50.0, seed)
        assert low >= 0
        assert high <= 1000


def test_bounds_that_stand_for_none():
    assert (assumed(FLOAT).low, assumed(FLOAT).high) == (-1, 1)
    assert assumed(DATE).in_words() == "dates from 1970-01-01 to 2069-12-31"
    known = Column("x", low=3, high=4)
    assert assumed(known) is known


# Descriptions.


def test_a_schema_of_private_bounds():
    schema = Schema(
        {"a": float, "b": int, "c": datetime.date, "d": (0, 1), "e": str, "f": datetime.datetime},
        integer=["a"],
        missing=["b"],
    )
    assert schema.unbounded == ["a", "b", "c", "f"]
    assert [c.integer for c in schema.columns] == [True, True, True, False, False, True]
    assert [c.date for c in schema.columns] == [False, False, True, False, False, True]
    words = [c.in_words() for c in schema.columns]
    assert words[0] == "whole numbers whose bounds are private"
    assert words[2] == "dates whose bounds are private"
    assert "whose bounds are private" in schema._repr_html_()
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.on_grid().unbounded == schema.to_try().unbounded == []
    assert schema.on_grid().columns[3:5] == schema.columns[3:5]
    dtypes = {"a": "int64", "d": "float64"}
    found = Schema.from_dtypes(dtypes, bounds={"a": float, "d": (0, 1)})
    assert found.unbounded == ["a"]
    assert found.columns[0].integer


@pytest.mark.parametrize("use", ["encode", "sanitize", "snap", "n_codes", "decode"])
def test_cells_are_not_read_before_bounds_are_learned(use):
    schema = Schema({"a": float})
    args = {"n_codes": (), "decode": (np.zeros((1, 1), int),)}.get(use, ([[3.0]],))
    with pytest.raises(ValueError, match="'a': its bounds are private and have not been learned"):
        getattr(schema, use)(*args)


def test_the_owner_may_look_before():
    report = Schema({"a": float, "b": int}).report([[1e30, 1], ["x", None]])
    assert [(c.fits, c.clipped, c.missing, c.unreadable) for c in report.columns] == [
        (0, 1, 0, 1),
        (1, 0, 1, 0),
    ]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Column("a", low=0), ValueError, "high=None must be a finite number"),
        (lambda: Column("a", edges=(1.0,)), ValueError, "edges need public bounds"),
        (lambda: Schema({"a": float}, edges={"a": "log"}), ValueError, "edges need public bounds"),
        (lambda: Column("a", categories=("x",)), ValueError, "a number has no categories"),
        (lambda: Schema({"a": complex}), TypeError, "float, int or datetime.date"),
        (lambda: Schema({"a": "float"}), TypeError, "float, int or datetime.date"),
    ],
)
def test_descriptions_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()
