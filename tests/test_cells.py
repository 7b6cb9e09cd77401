"""Cells of any kind are read one by one, from any array."""

import datetime
import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skdistill._cells import as_floats, canonical_cell, canonical_column, is_missing, plain


class Hostile:
    """A cell that raises at every operation, with a canary in its message."""

    def __init__(self, error=ValueError):
        self.error = error

    def refuse(self, *args):
        raise self.error("canary")

    __float__ = __index__ = __eq__ = __hash__ = __gt__ = __lt__ = __bool__ = __str__ = refuse
    __repr__ = __iter__ = __len__ = __array__ = refuse


ODD = [None, "7", b"7", "", [1], (), {}, object(), 1j, np.complex128(2j), float, Decimal("sNaN")]
ODD += [np.datetime64("2020"), pd.Timestamp("2020"), pd.NaT, pd.NA]
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
        (np.timedelta64(3, "D"), 3 * 86400.0),
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
    assert canonical_column(cells).dtype == "datetime64[ns]"


def test_missing():
    gone = [
        None,
        math.nan,
        complex(math.nan, 0),
        np.float32("nan"),
        pd.NA,
        pd.NaT,
        np.datetime64("NaT", "ns"),
    ]
    assert all(map(is_missing, gone))
    here = [0, "", "nan", False, 1.5, [], Hostile(), np.datetime64("2020"), math.inf]
    assert not any(map(is_missing, here))


@pytest.mark.parametrize("cell", ODD, ids=lambda cell: type(cell).__name__)
def test_canonical_cells_are_of_four_types(cell):
    value = canonical_cell(cell)
    assert type(value) in (float, str, bytes, np.datetime64)
    assert hash(value) is not None
    beside = [2.0, 7, "x"]
    assert canonical_column([*beside, cell]).tolist()[:3] == [2.0, 7.0, "x"]


def test_the_code_of_a_cell_is_not_run():
    """A class that is a number, a text or a date by inheritance is read by its base alone."""

    class Panic(BaseException):
        pass

    def refuse(self, *args):
        raise Panic("canary")

    methods = dict.fromkeys(["__float__", "__eq__", "__ne__", "__hash__", "__str__"], refuse)
    number, text = type("N", (float,), methods)(2.5), type("T", (str,), methods)("a")
    whole, panic = type("I", (int,), methods)(3), type("P", (), methods)()
    assert canonical_column([number, text, whole, "b"]).tolist() == [2.5, "a", 3.0, "b"]
    assert np.isnan(canonical_cell(panic))
    assert canonical_column([text]).tolist() == ["a"]


ZEROS = [-0.0, np.float32(-0.0), np.float64(-0.0), complex(-0.0, 0), Decimal("-0"), Fraction(0)]


@pytest.mark.parametrize("zero", ZEROS, ids=lambda zero: type(zero).__name__)
def test_every_zero_is_the_positive_one(zero):
    """Beside one complex number, pandas makes positive zeros of negative ones."""
    columns = [[zero, other] for other in (zero, 1.5, 1j, "text", None)]
    columns += [pd.Series(cells, dtype=dtype) for cells in columns for dtype in (None, object)]
    columns += [np.array([zero]), np.array([zero, 1j]), pd.Series([zero]).astype("category")]
    if isinstance(zero, float):
        columns.append(np.array([zero, 1], dtype=np.float16))
        columns += [pd.Series([zero, None], dtype="Float64"), pl.Series([zero, 1.0])]
    for column in columns:
        assert not np.signbit(canonical_column(column)[0])
        assert not np.signbit(as_floats(column)[0])


def test_dates():
    day = np.datetime64("2020-01-02", "ns")
    zone = datetime.timezone(datetime.timedelta(hours=1))
    same = [
        datetime.datetime(2020, 1, 2),
        datetime.date(2020, 1, 2),
        pd.Timestamp("2020-01-02"),
        pd.Timestamp("2020-01-02 01:00", tz=zone),
        datetime.datetime(2020, 1, 2, 1, tzinfo=zone),
        np.datetime64("2020-01-02"),
    ]
    assert [canonical_cell(cell) for cell in same] == [day] * len(same)
    column = canonical_column([*same, None])
    assert column.dtype == "datetime64[ns]" and np.isnat(column[-1])
    for far in (datetime.date(1, 1, 1), datetime.datetime(9999, 1, 1), np.datetime64("9999")):
        assert np.isnan(canonical_cell(far))
    assert canonical_column([*same, "x"]).dtype == object
    assert canonical_column([None, pd.NaT]).dtype == float


CUT = pd.Interval(20, 30, closed="left")
DAY = pd.Interval(pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02"))
OSLO = pd.Interval(*(pd.Timestamp(f"2020-07-0{day} 02:00", tz="Europe/Oslo") for day in (1, 2)))
INTERVALS = {
    "[20, 30)": CUT,
    "(2020-01-01 00:00:00, 2020-01-02 00:00:00]": DAY,
    "(2020-07-01 00:00:00, 2020-07-02 00:00:00]": OSLO,
    "(0 days 00:00:01, 1 days 00:00:00]": pd.Interval(pd.Timedelta(1, "s"), pd.Timedelta(1, "D")),
    "[-1, 0.5]": pd.Interval(-1.0, 0.5, closed="both"),
    "(-inf, 0)": pd.Interval(-math.inf, -0.0, closed="neither"),
    "(1152921504606846976, inf]": pd.Interval(2**60 + 1, math.inf),
    "(1152921504606846976, 1152921504606847232]": pd.Interval(2**60 + 1, 2**60 + 257),
}


@pytest.mark.parametrize("text", INTERVALS)
def test_the_ends_of_an_interval_do_not_depend_on_other_cells(text):
    """One missing interval makes floats of the ends of all others."""
    cell = INTERVALS[text]
    assert canonical_cell(cell) == plain(cell) == text
    others = [None, cell, "x", 7, CUT, pd.Interval(0.25, 0.5, cell.closed)]
    for other in others if cell is OSLO else [*others, DAY]:  # beside OSLO pandas raises
        for dtype in (None, object, "category"):
            column = pd.Series([cell, other, None], dtype=dtype)
            assert canonical_column(column)[0] == text
            assert canonical_column(column[:2])[0] == text


@settings(deadline=None)
@given(st.integers(-(2**63) // 1000 + 1, 2**63 // 1000 - 1))
@example(1_234_568)
@example(9_007_199_254_741)
@example(86_400_000_000)
def test_a_duration_is_the_same_number_in_every_unit_and_container(microseconds):
    """Beside one text, pandas makes objects of a column of durations."""
    duration = datetime.timedelta(microseconds=microseconds)
    wanted = float(Fraction(microseconds, 10**6))
    cells = [duration, pd.Timedelta(duration), np.timedelta64(duration)]
    for unit, size in {"s": 10**6, "ms": 1000, "us": 1}.items():
        if microseconds % size == 0:
            cells.append(np.timedelta64(microseconds // size, unit))
            cells.append(pd.Timedelta(cells[-1]))
    cells.append(np.timedelta64(1000 * microseconds, "ns"))
    assert canonical_cell(np.timedelta64(10 * microseconds, "100ns")) == wanted
    assert {canonical_cell(cell) for cell in cells} == {wanted}
    for cell in cells:
        for column in (
            [cell, "unknown"],
            pd.Series([cell, cell]),
            pd.Series([cell, "unknown"]),
            pd.Series([cell, None], dtype="category"),
            np.array([cell, cell]),
        ):
            assert canonical_column(column)[0] == wanted
    assert canonical_column(pl.Series([duration]))[0] == wanted


def test_durations_of_any_unit():
    units = {"W": 604800, "D": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "ps": 1e-12}
    assert [canonical_cell(np.timedelta64(1, unit)) for unit in units] == list(units.values())
    assert canonical_cell(np.timedelta64(10**12, "s")) == 1e12
    unclear = [np.timedelta64(1, "Y"), np.timedelta64(1, "M"), np.timedelta64("NaT"), pd.NaT]
    unclear += [np.timedelta64("NaT", unit) for unit in units]
    assert np.isnan([canonical_cell(cell) for cell in unclear]).all()


def test_the_same_column_in_every_container():
    """The dtype that a library chose for a column leaves no trace in it."""
    for cells in ([1, 2, None], [True, False, None], ["a", "b", None], ["a", None, "b"]):
        wanted = canonical_column(cells).tolist()
        columns = [
            pd.Series(cells, dtype=object),
            pd.Series(cells, dtype="category"),
            pd.Series(cells).convert_dtypes(),
            pd.Series(cells),
            pl.Series(cells),
        ]
        if isinstance(cells[0], str):
            columns.append(pl.Series(cells, dtype=pl.Categorical))
        for column in columns:
            assert repr(canonical_column(column).tolist()) == repr(wanted), column.dtype


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


def test_a_class_that_raises_when_asked_its_name():
    class Panic(BaseException):
        pass

    class Meta(type):
        @property
        def __module__(cls):
            raise Panic("canary")

    assert np.isnan(canonical_cell(Meta("Cell", (), {})()))


@pytest.mark.parametrize("container", ["polars", "polars dates", "arrow"])
def test_a_date_that_python_cannot_hold_is_missing(container, capfd):
    """One record may not decide whether a fit raises, nor be quoted (polars even panics)."""
    days = np.array([0, 18_000, 2**31 - 10])
    if container == "polars":
        cells = pl.Series(days * 86_400_000_000).cast(pl.Datetime("us"))
    elif container == "polars dates":
        cells = pl.Series(days, dtype=pl.Int32).cast(pl.Date)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        cells = pd.Series(
            pd.arrays.ArrowExtensionArray(pyarrow.array(days.astype(np.int32)).cast("date32"))
        )
    read = canonical_column(cells)
    assert read[:2].astype("datetime64[D]").astype(int).tolist() == [0, 18_000]
    assert np.isnat(read[2])
    assert capfd.readouterr().err == ""
    with_one_less = canonical_column(cells[:2])
    assert (with_one_less == read[:2]).all()


def test_a_number_beyond_float64_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(canonical_column(np.array([1, np.longdouble("1e400")]))[1])
