"""Checks of numbers that a user sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

_MOST_JOBS = 1 << 16


def check_number(name: str, value: Any, requirement: str, ok: Callable[[Any], bool]) -> float:
    """Return a number for which `ok` holds; raise a TypeError or a ValueError for anything else."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name}={_shown(value)} is not a number; {name} must be {requirement}.")
    if math.isnan(value) or not ok(value):
        raise ValueError(f"{name}={value!r} is out of range; {name} must be {requirement}.")
    return float(value)


def check_whole(name: str, value: Any, least: int = 1, others: str = "") -> int:
    """Return a whole number of at least `least`, or raise; `others` names other valid values."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        found = _shown(value)
        raise TypeError(f"{name}={found} must be a whole number of at least {least}{others}.")
    if value < least:
        raise ValueError(f"{name}={value!r} must be at least {least}{others}.")
    return int(value)


def check_jobs(n_jobs: Any, verbose: Any) -> None:
    """Raise for settings that joblib would refuse after a charge."""
    if n_jobs is not None and (
        not isinstance(n_jobs, Integral) or n_jobs == 0 or abs(int(n_jobs)) > _MOST_JOBS
    ):
        raise ValueError(f"n_jobs={n_jobs!r} must be None or a whole number other than 0.")
    if not isinstance(verbose, (Real, np.bool_)) or not math.isfinite(verbose):
        raise TypeError(f"verbose={verbose!r} must be a finite number.")


def check_range(value: Any) -> tuple[float, float]:
    """Return an `output_range` as two numbers, or raise a ValueError."""
    try:
        low, high = (check_number("output_range", v, "finite", math.isfinite) for v in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise ValueError(
            f"output_range={value!r} must be two finite numbers (low, high) with low < high."
        )
    if not math.isfinite(high - low):
        raise ValueError(f"output_range={value!r}: its width is not a finite number.")
    return low, high


def _shown(value: Any) -> str:
    """Return a value for a message; of anything but a number or a text the type: it may be rows."""
    plain = value is None or isinstance(value, (str, Real, np.bool_))
    return repr(value) if plain else f"<{type(value).__name__}>"
