"""Dates are whole days between public bounds, in every container and for every private cell."""

import datetime as dt
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdistill import PrivateClassifier, Schema, TableFeatures
from skdistill.schema import Column
from skdistill.testing import no_noise

LOW, HIGH = dt.date(2020, 1, 1), dt.date(2024, 12, 31)
SCHEMA = Schema({"when": (LOW, HIGH), "x": (0, 1)}, missing=["when"])
N_DAYS = (HIGH - LOW).days + 1


@pytest.mark.parametrize("bound", [dt.datetime, pd.Timestamp, np.datetime64])
def test_bounds_of_any_class_are_the_same_column(bound):
    if bound is np.datetime64:
        ends = bound("2020-01-01"), bound("2024-12-31T12:00", "s")
    else:
        ends = bound(2020, 1, 1), bound(2024, 12, 31, 12)
    assert Schema({"when": ends, "x": (0, 1)}, missing=["when"]) == SCHEMA


def test_it_is_a_column_of_days():
    column = SCHEMA.columns[0]
    assert (column.kind, column.date, column.integer) == ("number", True, True)
    assert column.high - column.low == N_DAYS - 1
    assert column.in_words() == "dates from 2020-01-01 to 2024-12-31"
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA
    assert pickle.loads(pickle.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("ends", [(LOW, 3.0), (LOW, "2024-01-01x"), (HIGH, LOW), (LOW, None)])
def test_bounds_that_cannot_be(ends):
    with pytest.raises((ValueError, TypeError)):
        Column("when", low=ends[0], high=ends[1])


DAYS = np.datetime64("2020-01-01") + np.arange(0, N_DAYS, 37)
MAKE = {
    "pandas": lambda days: pd.DataFrame({"when": pd.to_datetime(days), "x": 0.5}),
    "objects": lambda days: np.array([[day.item(), 0.5] for day in days], dtype=object),
    "text": lambda days: pd.DataFrame({"when": [f"{day} 08:15" for day in days], "x": 0.5}),
    "list": lambda days: [[pd.Timestamp(day), 0.5] for day in days],
    "polars": lambda days: pl.DataFrame({"when": days, "x": np.full(len(days), 0.5)}),
}


@pytest.mark.parametrize("kind", MAKE)
def test_every_container(kind):
    X = MAKE[kind](DAYS)
    codes = SCHEMA.encode(X, N_DAYS)
    assert codes[:, 0].tolist() == list(range(0, N_DAYS, 37))
    clean = SCHEMA.sanitize(X)
    assert (SCHEMA.encode(clean, N_DAYS) == codes).all()
    again = SCHEMA.decode(codes, None, N_DAYS, SCHEMA.kind_of(X))
    assert (SCHEMA.encode(again, N_DAYS) == codes).all()
    assert (SCHEMA.encode(SCHEMA.snap(X)) == SCHEMA.encode(X)).all()


@given(st.lists(st.dates(), min_size=1, max_size=20))
def test_any_date_is_clipped_to_the_bounds(days):
    values = SCHEMA.columns[0].read(days)
    for day, value in zip(days, values, strict=True):
        if np.isnan(value):  # outside the years that a nanosecond counts
            assert not 1678 <= day.year < 2262
        else:
            clipped = min(max(day, LOW), HIGH)
            assert value == (clipped - dt.date(1970, 1, 1)).days


STRANGE = [None, np.nan, pd.NaT, "yesterday", "today", "31.12.2022", "2022-02-30", 19_000, b"", {}]


@pytest.mark.parametrize("cell", STRANGE, ids=str)
def test_no_cell_raises_and_none_changes_another(cell):
    cells = [dt.date(2021, 5, 5), cell, "2022-03-03"]
    values = SCHEMA.columns[0].read(cells)
    assert np.isnan(values[1])
    assert values[[0, 2]].tolist() == [18752.0, 19054.0]


def test_the_owner_sees_what_does_not_fit():
    X = pd.DataFrame({"when": [LOW, dt.date(1999, 1, 1), "soon", None], "x": 0.5})
    first = SCHEMA.report(X).columns[0]
    assert (first.fits, first.clipped, first.unreadable, first.missing) == (1, 1, 1, 1)
    with pytest.warns(UserWarning, match="holds numbers only, but the schema says that it is a d"):
        SCHEMA.encode(pd.DataFrame({"when": [1.0, 2.0], "x": 0.5}))


def test_public_rows_show_dates_where_they_are_asked_for():
    X = MAKE["pandas"](DAYS)
    column = Schema.from_public(X, dates=["when"]).columns[0]
    assert column.date
    assert column.in_words().startswith("dates from 2020-01-01 to 2024-12")
    for rows, dates in ((X, ()), ([[LOW], [3.0]], ["x0"])):
        with pytest.raises(TypeError, match="holds dates.*from_public.*to_datetime"):
            Schema.from_public(rows, dates=dates)
    with pytest.raises(ValueError, match="dates= names columns that are not there"):
        Schema.from_public(X, dates=["then"])


@pytest.mark.usefixtures("few_synthetic_rows")
@pytest.mark.parametrize("kind", MAKE)
def test_a_model_learns_from_dates(kind):
    days = np.datetime64("2020-01-01") + np.random.default_rng(0).integers(0, N_DAYS, 2000)
    X, y = MAKE[kind](days), (days > np.datetime64("2022-06-01")).astype(int)
    model = PrivateClassifier(schema=SCHEMA, classes=[0, 1], epsilon=8.0, random_state=0)
    with no_noise():
        model.fit(X, y)
    assert model.score(X, y) > 0.95
    assert SCHEMA.report(model.sample(50, 0)).columns[0].fits > 40
    assert TableFeatures(SCHEMA).fit(X).transform(X).shape[0] == 2000
