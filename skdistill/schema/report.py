"""How columns agree with a schema: counts for the owner's eyes, and warnings.

:func:`check_observed` and :func:`suspicion` read public rows only. The others also read private
columns. They tell the owner, and nothing that is released depends on them; warnings show no cell.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from numbers import Real
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
        kept, cut, gone, other = (int(x.sum()) for x in (fits, clipped, missing, unreadable))
        return ColumnReport(column.name, kept, cut, 0, gone, other)
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


_FEW_ROWS = 30  # fewer public rows say nothing about how many values there are
_MANY_CATEGORIES = 1000
_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d+)*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
_CURRENCY = re.compile(
    r"\s*[-+(]?\s*([$€£¥]|CHF|EUR|USD)?\s*[-+]?\d[\d.,' ]*\s*([$€£¥%]|CHF|EUR|USD)?\)?\s*"
)
_DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ].*)?")
_DAY_FIRST = re.compile(r"\s*(1[3-9]|2\d|3[01])[-/.]\d{1,2}[-/.]\d{2,4}")
# Dtypes of NumPy, pandas and polars whose cells are all of one kind; none for objects.
_DTYPES = (
    (r"bool", "boolean"),
    (r"(u?int\d|float\d|double|decimal)", "number"),
    (r"(str|<u|utf8|large_string)", "text"),
    (r"(datetime|date)", "date"),
    (r"(bytes|\|s|timedelta|duration)", "object"),
)


def check_observed(name: str, present: Sequence[Any], dates: bool = False) -> None:
    """Raise for public cells that can be neither numbers nor categories, with the cure."""
    kinds = {_kind(cell) for cell in present}
    if "date" in kinds and (len(kinds) > 1 or not dates):
        raise TypeError(
            f"Column {name!r} holds dates. Where they are meant as days, use "
            f"Schema.from_public(table, dates=[{name!r}]), or write {_two_dates(name)}. "
            'For dates beside other cells, pd.to_datetime(table[name], errors="coerce") first.'
        )
    if "object" in kinds:
        example = next(type(cell).__name__ for cell in present if _kind(cell) == "object")
        raise TypeError(
            f"Column {name!r} holds objects of type {example}. Turn them into text with "
            "astype(str), or into numbers."
        )
    if {"number", "text"} <= kinds:
        raise ValueError(
            f"Column {name!r} holds numbers and text. If it should be a number, use "
            'pd.to_numeric(table[name], errors="coerce"); if a category, use astype(str).'
        )
    if kinds == {"text"} and _all_match(_CURRENCY, present) and not _all_match(_NUMBER, present):
        raise ValueError(
            f"Column {name!r} holds numbers with currency or percent signs, as text. Remove the "
            r'signs: pd.to_numeric(table[name].str.replace(r"[^\d.-]", "", regex=True)).'
        )
    if kinds == {"text"} and _all_match(_NUMBER, present) and any("," in each for each in present):
        raise ValueError(
            f'Column {name!r} holds numbers with commas, as text. Read the file with decimal="," '
            'or thousands=",". To keep a category, use astype("category").'
        )


def suspicion(column: Column, present: Sequence[Any] | NDArray[Any]) -> str | None:
    """Return a warning about a column of public rows (`present` are not missing), or None."""
    n = len(present)
    if column.kind == "number":
        whole = column.integer and n >= _FEW_ROWS and len(np.unique(present)) == n
        if whole and column.high - column.low + 1 <= 1.5 * n:  # type: ignore[operator]
            return (
                f"Column {column.name!r} looks like an id: every public row has another whole "
                "number. Leave it out of the table if it only numbers the rows."
            )
        return None
    texts = [cell for cell in present if isinstance(cell, str)]
    if n and len(texts) == n and _all_match(_DATE, texts):
        first = ", dayfirst=True" if any(map(_DAY_FIRST.match, texts)) else ""
        return (
            f"Column {column.name!r} looks like dates stored as text. Convert it by "
            f"pd.to_datetime(table[name]{first}), and use "
            f"Schema.from_public(table, dates=[{column.name!r}])."
        )
    if n and len(texts) == n and sum(map(bool, map(_NUMBER.fullmatch, texts))) >= 0.9 * n:
        return (
            f"Column {column.name!r} looks like numbers stored as text, and is taken for a "
            "category. If it should be a number, use pd.to_numeric(table[name], errors='coerce')."
        )
    found = len(column.categories)
    if n >= _FEW_ROWS and found > n / 2:
        return (
            f"Column {column.name!r} looks like an id or free text: {found} values in {n} public "
            "rows. Leave it out of the table, or group its values."
        )
    if found > _MANY_CATEGORIES:
        return (
            f"Column {column.name!r} has {found} categories. Rare ones are of little use to a "
            "private model; group them if you can."
        )
    return None


def mismatch(column: Column, cells: Any) -> str | None:
    """Return a warning where the dtype of a column can match nothing in the schema, or None.

    Dtypes alone are compared: a column whose values are all unknown is not reported here, but by
    :meth:`Schema.report`.
    """
    wanted = {"date", "text"} if column.date else {"number", "boolean"}
    if column.kind == "category":
        wanted = {"text"} if all(isinstance(v, str) for v in column.values) else set()
        if not all(isinstance(v, str) for v in column.categories):
            wanted |= {"number", "boolean"}
    found = _kind_of_dtype(cells)
    if found is None or found in wanted or column.hashed:
        return None
    number = "a date" if column.date else "a number"
    said = number if column.kind == "number" else "a category of " + " or ".join(sorted(wanted))
    if found == "date":
        cure = f"Write {_two_dates(column.name)}"
    elif "number" in wanted:
        cure = "Convert it before: pd.to_numeric(table[name], errors='coerce')"
    else:
        function = "pd.to_datetime(table[name])" if column.date else "table[name].astype(str)"
        cure = f"Convert it before: {function}"
    return (
        f"Column {column.name!r} holds {found}s only, but the schema says that it is {said}: no "
        f"cell of it can be used. {cure}."
    )


def _two_dates(name: str) -> str:
    """Return the text that describes a column of dates."""
    return (
        "public bounds that are dates: "
        f"Schema({{{name!r}: (datetime.date(2000, 1, 1), datetime.date(2030, 1, 1)), ...}})"
    )


def _kind_of_dtype(cells: Any) -> str | None:
    """Return the kind of all cells of a column, where its dtype says it: dtypes are public.

    A column of objects is not looked into: one private cell would decide whether there is a
    warning. :meth:`Schema.report` looks into it.
    """
    if not len(cells):
        return None
    name = str(getattr(cells, "dtype", "object")).lower()
    return next((kind for pattern, kind in _DTYPES if re.match(pattern, name)), None)


def _kind(cell: Any) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, (bool, np.bool_)):
        return "boolean"
    if isinstance(cell, (datetime.date, np.datetime64)):
        return "date"
    number = isinstance(cell, Real) or type(cell).__name__ == "Decimal"
    return "number" if number else "object"


def _all_match(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    return bool(texts) and all(pattern.fullmatch(text) for text in texts)
