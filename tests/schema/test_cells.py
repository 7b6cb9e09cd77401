"""Cells are read one by one: whatever they are, and whatever array is around them."""

import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill.schema.cells import as_floats, as_objects, dictionary_encoded, is_missing, plain


class Hostile:
    """A cell that raises at whatever is done to it, with a canary in its message."""

    def __init__(self, error=ValueError):
        self.error = error

    def refuse(self, *args):
        raise self.error("canary")

    __float__ = __index__ = __eq__ = __hash__ = __gt__ = __lt__ = __bool__ = __str__ = refuse
    __repr__ = __iter__ = __len__ = __array__ = refuse


ODD = [None, "7", b"7", "", [1], (), {}, object(), 1j, np.complex128(2j), float, Decimal("sNaN")]
ODD += [np.datetime64("2020"), np.timedelta64(3, "D"), pd.Timestamp("2020"), pd.NaT, pd.NA]
ODD += [
    complex("nan"),
    np.array([1.0]),
    np.array(3.0),
    Hostile(),
    Hostile(OverflowError),
    Hostile(TypeError),
]


def objects(cells):
    array = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        array[i] = cell
    return array


@pytest.mark.parametrize("cell", ODD, ids=lambda cell: type(cell).__name__)
def test_what_is_no_number_is_nan(cell):
    assert np.isnan(as_floats(objects([cell, 2.0]))).tolist() == [True, False]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (True, 1.0),
        (np.bool_(True), 1.0),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (Fraction(1, 4), 0.25),
        (Decimal("0.5"), 0.5),
        (np.float32(0.1), float(np.float32(0.1))),
        (-0.0, 0.0),
        (2.5 + 0j, 2.5),
        (np.complex64(1), 1.0),
    ],
)
def test_what_is_a_number(cell, value):
    assert as_floats(objects([cell]))[0] == value


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.floats(width=32)
)


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_a_number_is_the_same_in_every_container(cells):
    """In an array that a neighbour's text has made one of objects, too."""
    wanted = [float(cell) for cell in cells]
    for table in (objects(cells), pd.Series(cells, dtype=object), np.array(wanted)):
        assert np.array_equal(as_floats(table), wanted, equal_nan=True)
        beside = objects([*list(table), "text"])
        assert np.array_equal(as_floats(beside)[:-1], wanted, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float16, np.longdouble, bool])
def test_dtypes_of_numbers(dtype):
    cells = np.array([0, 1, 1], dtype=dtype)
    assert as_floats(cells).tolist() == as_floats(objects(cells)).tolist() == [0, 1, 1]


def test_nullable_frames():
    for dtype in ("Int64", "Float64", "boolean"):
        assert np.isnan(as_floats(pd.Series([1, None], dtype=dtype))).tolist() == [False, True]
    assert np.isnan(as_floats(pl.Series([1, None, 3]))).tolist() == [False, True, False]


@pytest.mark.parametrize("unit", ["ns", "D", "s"])
def test_times_are_no_integers(unit):
    """tolist() makes integers of nanoseconds: 7 ns would be the category 7."""
    cells = np.array([7, 8], dtype=f"datetime64[{unit}]")
    assert np.isnan(as_floats(cells)).all()
    assert not any(isinstance(cell, (int, float)) for cell in as_objects(cells))


def test_missing():
    gone = [
        None,
        math.nan,
        complex(math.nan, 0),
        np.float32("nan"),
        pd.NA,
        pd.NaT,
        np.datetime64("NaT"),
    ]
    assert all(map(is_missing, gone))
    here = [0, "", "nan", False, 1.5, [], Hostile(), np.datetime64("2020"), math.inf]
    assert not any(map(is_missing, here))


def test_dictionary_encoded():
    indices, values = dictionary_encoded(pd.Series(["b", None, "a"], dtype="category"))
    assert indices.tolist() == [1, -1, 0]
    assert values == ["a", "b"]
    assert dictionary_encoded(pd.Series(["b"]))[0] is None
    assert dictionary_encoded(pl.Series(["b"], dtype=pl.Categorical))[0] is None


def test_plain():
    assert type(plain(np.int64(3))) is int
    assert plain("text") == "text"


@pytest.mark.parametrize("boxed", [False, True])
def test_a_signalling_nan_warns_of_nothing(boxed):
    """Found by hypothesis: with NumPy 2.0 ``rint`` of one warns, and a warning tells."""
    cells = np.array([0x7FF0000000000001, 0x3FF0000000000000], dtype=np.uint64).view(np.float64)
    numbers = as_floats(cells.astype(object) if boxed else cells)
    assert np.isnan(numbers[0]) and numbers[1] == 1.0
    assert numbers.view(np.uint64)[0] == np.array(np.nan).view(np.uint64)
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        np.clip(np.rint(numbers), 0, 1)
