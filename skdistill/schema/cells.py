"""Reading private cells: total, and one by one, whatever the array around them.

The dtype of an array depends on all its cells: one text among numbers makes objects of them all,
one missing value makes floats of integers. So nothing here may depend on a dtype but how fast it
is: a cell of the same value gives the same result in any container.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_floats", "as_objects", "dictionary_encoded", "is_missing", "plain"]

_NO_NUMBERS = (str, bytes, np.datetime64, np.timedelta64, np.ndarray)
_FLOATS = (float, complex, np.inexact)


def as_floats(cells: Any) -> NDArray[np.float64]:
    """Return cells as floats, NaN for what is no number (text that reads like one, too)."""
    dtype = getattr(cells, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            return _quiet(np.asarray(cells).astype(np.float64))
    with warnings.catch_warnings():  # of objects that are converted with a warning
        warnings.simplefilter("ignore")
        numbers = map(_as_float, as_objects(cells))
        return _quiet(np.fromiter(numbers, dtype=np.float64, count=len(cells)))


def _quiet(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make every NaN the usual one: at a signalling one arithmetic warns, and a warning tells."""
    numbers[np.isnan(numbers)] = np.nan
    return numbers


def _as_float(cell: Any) -> float:
    if isinstance(cell, _NO_NUMBERS):
        return math.nan
    if isinstance(cell, (complex, np.complexfloating)):  # beside one, pandas makes all complex
        return float(cell.real) if cell.imag == 0 else math.nan
    try:
        return float(cell)
    except OverflowError:  # an integer that is too large
        return (math.inf if cell > 0 else -math.inf) if type(cell) is int else math.nan
    except Exception:
        return math.nan


def as_objects(cells: Any) -> Iterable[Any]:
    """Return cells as Python objects, or scalars of NumPy."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "mM":  # tolist() may give integers
        return list(cells)
    listed: list[Any] = cells.to_list() if hasattr(cells, "to_list") else cells.tolist()
    return listed


def dictionary_encoded(cells: Any) -> tuple[NDArray[Any] | None, list[Any]]:
    """Return what a pandas categorical holds: indices (-1 for missing) and distinct values."""
    accessor = getattr(cells, "cat", None) if hasattr(cells, "iloc") else None
    if accessor is None or not hasattr(accessor, "categories"):
        return None, []
    return np.asarray(accessor.codes), list(accessor.categories)


def is_missing(cell: Any) -> bool:
    """Whether a cell is None, NaN, NA or NaT."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return isinstance(cell, _FLOATS) and bool(cell != cell)


def plain(value: Any) -> Any:
    """Return a NumPy scalar as a Python object."""
    return value.item() if isinstance(value, np.generic) else value
