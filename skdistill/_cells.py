"""Cells and columns of every container, each cell made canonical by itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = np.dtype("datetime64[ns]")
_NO_DAY = np.datetime64("NaT", "D")
_UNITS = {"s": 18, "ms": 15, "us": 12, "ns": 9, "ps": 6, "fs": 3, "as": 0}
_ATTOSECONDS = {unit: 10**power for unit, power in _UNITS.items()}
_ATTOSECONDS |= {"m": 60 * 10**18, "h": 3600 * 10**18, "D": 86400 * 10**18, "W": 604800 * 10**18}
_ISO_DATE = re.compile(r"(1[6-9]|2[0-2])\d\d-\d\d-\d\d([T ].*)?", re.ASCII)


def canonical_cell(cell: Any) -> Any:
    """Return a cell as a float, a str, bytes or a ``datetime64[ns]``; NaN for everything else.

    Numbers, booleans, decimals and fractions become floats (an integer beyond their range becomes
    infinite, and -0.0 becomes 0.0), durations become seconds, dates with a time zone are told in
    UTC; intervals, periods and UUIDs become text; and dates outside the years 1678 to 2261 become
    NaN. An interval with the ends 20.0 and 30.0 is the text of one with the ends 20 and 30.

    The function never raises, and it runs no method of a class that it does not know: a private
    cell's own code belongs behind the boundary.
    """
    kind = type(cell)
    if kind is float:
        return cell + 0.0 if cell == cell else np.nan  # -0.0 becomes 0.0
    try:
        value = _canonical(cell, kind)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return np.nan
    if value is None or value != value:
        return np.nan
    return value + 0.0 if type(value) is float else value


def _canonical(cell: Any, kind: type) -> Any:
    if issubclass(kind, float):
        return float.__float__(cell)
    if issubclass(kind, int):
        return _float_of_int(cell)
    if issubclass(kind, str):
        return str.__str__(cell)
    if issubclass(kind, np.generic):
        return _of_numpy(cell)
    if kind is complex:
        return cell.real if cell.imag == 0 else None
    if kind in (Decimal, Fraction):
        return float(cell)
    if kind is bytes:
        return cell
    if kind in (datetime, date):
        return _date(cell)
    if kind is timedelta:
        return cell.total_seconds()
    if kind is UUID:
        return str(cell)
    return _of_pandas(cell) if _is_of_pandas(kind) else None


def _is_of_pandas(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "pandas"


def _float_of_int(cell: int) -> float:
    try:
        return int.__float__(cell)
    except OverflowError:
        return -np.inf if int.__lt__(cell, 0) else np.inf


def _of_numpy(cell: Any) -> Any:
    if isinstance(cell, np.datetime64):
        return _dates(np.array([cell]))[0]
    if isinstance(cell, np.timedelta64):
        return _seconds(cell)
    if isinstance(cell, np.complexfloating):
        return float(cell.real) if cell.imag == 0 else None
    if isinstance(cell, np.bytes_):
        return bytes(cell)
    return float(cell) if isinstance(cell, (np.number, np.bool_)) else None


def _seconds(cell: np.timedelta64) -> float:
    """Return the float nearest to a duration in seconds, whichever its unit; NaN for NaT."""
    if np.isnat(cell):
        return np.nan
    unit, step = np.datetime_data(cell.dtype)
    return int(cell.astype(np.int64)) * step * _ATTOSECONDS[unit] / 10**18


def _of_pandas(cell: Any) -> Any:
    if is_missing(cell):
        return None
    if isinstance(cell, datetime):  # a Timestamp
        return _dates(np.array([cell.to_datetime64()]))[0]  # type: ignore[attr-defined]
    if isinstance(cell, timedelta):  # a Timedelta; its own total_seconds() is not the nearest float
        return _seconds(cell.to_timedelta64())  # type: ignore[attr-defined]
    return text_of_pandas(cell)


def text_of_pandas(cell: Any) -> str | None:
    """Return the text of an interval or a period, None for anything else.

    One missing interval makes floats of the ends of all others, so a whole end is written as an
    integer; ends with a time zone are told in UTC.
    """
    kind = type(cell)
    if kind.__name__ not in ("Interval", "Period") or not _is_of_pandas(kind):
        return None
    if kind.__name__ == "Interval":
        opening = "[" if cell.closed_left else "("
        closing = "]" if cell.closed_right else ")"
        return f"{opening}{_end_text(cell.left)}, {_end_text(cell.right)}{closing}"
    return str(cell)


def _end_text(end: Any) -> str:
    if isinstance(end, (datetime, timedelta)):  # a Timestamp or a Timedelta
        zone = getattr(end, "tzinfo", None)
        return str(end if zone is None else end.tz_convert(None))  # type: ignore[union-attr]
    return number_text(canonical_cell(end))


def number_text(value: float) -> str:
    """Return the text of a number; that of a whole one is the text of the integer."""
    return str(int(value)) if value.is_integer() else str(float(value))


def _date(cell: date) -> Any:
    zone = getattr(cell, "tzinfo", None)
    if zone is not None:
        if type(zone).__module__.partition(".")[0] not in ("datetime", "zoneinfo", "pytz"):
            return None  # the zone's own code
        assert isinstance(cell, datetime)
        offset = cell.utcoffset()
        cell = cell.replace(tzinfo=None) - (offset or timedelta(0))
    return _dates(np.array([cell], dtype="datetime64[us]"))[0]


def is_missing(cell: Any) -> bool:
    """Whether a cell is None, NaN, NA or NaT."""
    kind = type(cell)
    if cell is None or kind.__name__ in ("NAType", "NaTType"):
        return True
    if issubclass(kind, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return issubclass(kind, (float, complex, np.inexact)) and bool(cell != cell)


def plain(value: Any) -> Any:
    """Return a scalar of NumPy as a Python object, an interval or period of pandas as its text."""
    if isinstance(value, np.generic):
        return value.item()
    text = text_of_pandas(value)
    return value if text is None else text


def _vector(cells: Sequence[Any]) -> NDArray[Any]:
    """Return canonical cells: an array of objects, or of float64 where all are numbers."""
    return narrow(objects([c if type(c) is str else canonical_cell(c) for c in cells]))


def objects(cells: Sequence[Any]) -> NDArray[Any]:
    """Return a one-dimensional array of objects, one for each cell of any type."""
    array = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        array[i] = cell
    return array


def narrow(cells: NDArray[Any]) -> NDArray[Any]:
    """Choose the dtype of a column of canonical cells from these cells alone."""
    if cells.dtype == NANOSECONDS:
        return np.full(len(cells), np.nan) if np.isnat(cells).all() else cells
    if cells.dtype != object:
        return cells
    listed = list(cells)
    kinds = set(map(type, listed))
    if kinds <= {float}:
        return cells.astype(np.float64)
    if np.datetime64 in kinds and kinds <= {np.datetime64, float}:
        dates = [np.datetime64("NaT", "ns") if c != c else c for c in listed]
        return np.array(dates, NANOSECONDS) if {*map(type, dates)} == {np.datetime64} else cells
    return cells


def canonical_column(cells: Any) -> NDArray[Any]:
    """Return one column of a table as canonical cells: float64, datetime64[ns] or objects."""
    if isinstance(cells, (list, tuple)):
        return _vector(cells)
    if isinstance(cells, np.ndarray):
        return _column_of_array(cells)
    if hasattr(cells, "iloc"):
        return _column_of_pandas(cells)
    dtype = cells.dtype  # polars
    if dtype.is_numeric() or str(dtype) == "Boolean":
        return usual_numbers(cells.cast(sys.modules["polars"].Float64).to_numpy())
    if str(dtype).startswith("Date"):  # its own lists raise for a year beyond Python's
        unit = getattr(dtype, "time_unit", "D")
        counts = cells.to_physical().cast(sys.modules["polars"].Int64).fill_null(-(2**63))
        return _dates(counts.to_numpy().astype(f"datetime64[{unit}]"))  # -2**63 is NaT
    return _vector(listed(cells))


def _column_of_array(cells: NDArray[Any]) -> NDArray[Any]:
    kind = cells.dtype.kind
    if kind in "biuf":
        with np.errstate(all="ignore"):  # a warning tells, too
            return usual_numbers(cells.astype(np.float64))
    if kind == "c":  # beside one complex number, pandas makes all of them complex
        return usual_numbers(np.where(cells.imag == 0, cells.real, np.nan).astype(np.float64))
    if kind == "M":
        return _dates(cells)
    return _vector(list(cells) if kind == "m" else cells.tolist())


def _column_of_pandas(cells: Any) -> NDArray[Any]:
    dtype = cells.dtype
    if isinstance(dtype, np.dtype):
        return _column_of_array(cells.to_numpy())
    if hasattr(dtype, "ordered"):  # categorical
        values = objects([*map(canonical_cell, dtype.categories), np.nan])
        return narrow(values[cells.cat.codes.to_numpy()])  # -1 is missing
    if dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            return usual_numbers(cells.to_numpy(dtype=np.float64, na_value=np.nan))
    return _vector(listed(cells))


def listed(cells: Any) -> list[Any]:
    """Return the cells of a series as a list; one that no Python object can hold is missing."""
    try:
        return list(cells.to_list())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a date of the year 148108, say; polars raises a BaseException
        return [_cell(cells, i) for i in range(len(cells))]


def _cell(cells: Any, i: int) -> Any:
    try:
        return cells.iloc[i] if hasattr(cells, "iloc") else cells[i]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None


def usual_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Make every NaN a quiet one and every zero a positive one, in a copy where there are others.

    Arithmetic on a signalling NaN warns, and a warning tells. Beside one complex number, pandas
    makes positive zeros of negative ones.
    """
    missing, negative = np.isnan(values), np.signbit(values) & (values == 0)
    if missing.any():
        values = np.where(missing, values.dtype.type(np.nan), values)
    return np.where(negative, values.dtype.type(0), values) if negative.any() else values


def _dates(values: NDArray[Any]) -> NDArray[Any]:
    """Return dates in nanoseconds, NaT where they do not fit."""
    dates = values.astype(NANOSECONDS)
    dates[dates.astype(values.dtype) != values] = np.datetime64("NaT", "ns")
    return dates


def as_floats(cells: Any) -> NDArray[np.float64]:
    """Return cells as floats, NaN for all but numbers (also for text that reads like one)."""
    column = canonical_column(cells)
    if column.dtype == object:
        return np.array([c if type(c) is float else np.nan for c in column], dtype=np.float64)
    return np.full(len(column), np.nan) if column.dtype == NANOSECONDS else column


def as_days(cells: Any) -> NDArray[np.float64]:
    """Return dates as whole days since 1970, NaN for all but dates and text such as 2024-02-29."""
    column = canonical_column(cells)
    if column.dtype == np.float64:
        return np.full(len(column), np.nan)
    days = np.array([_day(cell) for cell in column], dtype="datetime64[D]")
    return np.where(np.isnat(days), np.nan, days.astype(np.int64).astype(np.float64))


def _day(cell: Any) -> np.datetime64:
    if isinstance(cell, str):
        try:
            return np.datetime64(cell[:10], "D") if _ISO_DATE.fullmatch(cell) else _NO_DAY
        except ValueError:  # the 30th of February
            return _NO_DAY
    return cell.astype("datetime64[D]") if isinstance(cell, np.datetime64) else _NO_DAY
