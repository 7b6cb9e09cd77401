"""How well a private table fits a schema: counts for the owner's eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._cells import is_missing
from skdistill._tables import cells_of
from skdistill.schema.column import Column

_TITLE = "PRIVATE: exact counts of a private table, for its owner only. Do not publish them."


@dataclass(frozen=True)
class ColumnReport:
    """Counts of clipped, unknown and missing cells of a column; they add up to the rows.

    `clipped` are numbers outside the bounds, `other` values that are none of the categories, and
    `unreadable` cells of a column of numbers (or dates) that are none; they count as missing.
    """

    name: str
    fits: int
    clipped: int
    other: int
    missing: int
    unreadable: int


@dataclass(frozen=True, repr=False)
class SchemaReport:
    """How many cells of each column (and of the target) fit a schema; private, for the owner."""

    columns: tuple[ColumnReport, ...]

    def __repr__(self) -> str:
        heads = ("column", "fits", "clipped", "other", "missing", "unreadable")
        rows = [heads, *(tuple(map(str, astuple(column))) for column in self.columns)]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = [_TITLE]
        for name, *counts in rows:
            lines.append("  ".join([name.ljust(widths[0]), *map(str.rjust, counts, widths[1:])]))
        return "\n".join(lines)


def column_report(column: Column, cells: Any) -> ColumnReport:
    """Count the clipped, unknown and missing cells of a column. No cell raises an error."""
    missing = _missing(cells)
    if column.low is not None and column.high is not None:  # a number
        numbers = column.numbers(cells)
        unreadable = np.isnan(numbers) & ~missing
        clipped = (numbers < column.low) | (numbers > column.high)
        fits = ~missing & ~unreadable & ~clipped
        counts = [int(x.sum()) for x in (fits, clipped, missing, unreadable)]
        return ColumnReport(column.name, counts[0], counts[1], 0, counts[2], counts[3])
    found = replace(column, missing=True, other=None).read(cells)
    fits = (found >= 0) & ~missing
    other = len(found) - int(fits.sum()) - int(missing.sum())
    return ColumnReport(column.name, int(fits.sum()), 0, other, int(missing.sum()), 0)


def target_column(classes: Iterable[Any] | None, output_range: Sequence[float] | None) -> Column:
    """Return the column that a target should fit: its classes, or its range."""
    if (classes is None) == (output_range is None):
        raise ValueError("With y, give its classes=[...] or its output_range=(low, high).")
    if classes is not None:
        return Column("y (target)", "category", categories=tuple(classes), missing=True)
    assert output_range is not None
    low, high = output_range
    return Column("y (target)", low=low, high=high, missing=True)


def _missing(cells: Any) -> NDArray[np.bool_]:
    """Return which cells are missing."""
    dtype = getattr(cells, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return np.isnan(np.asarray(cells).astype(np.float64))
    return np.fromiter(map(is_missing, cells_of(cells)), dtype=bool, count=len(cells))
