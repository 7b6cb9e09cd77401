"""Large matrices of cases: a few of them run at once, the others with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], every: int) -> list[Any]:
    """Mark as slow all but each `every`-th value."""
    return [
        pytest.param(value, marks=() if i % every == 0 else pytest.mark.slow)
        for i, value in enumerate(values)
    ]
