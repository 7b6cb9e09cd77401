"""Columns from a description by hand, from dtypes, or from public rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._cells import as_days, as_floats, is_missing, plain
from skdistill._tables import cells_of
from skdistill.schema.column import LARGEST_INTEGER, OTHER, Column, Edges
from skdistill.schema.report import check_observed, suspicion
from skdistill.schema.table import Table

# Dtypes of numbers; not "interval[int64, right]".
_NUMBERS = re.compile(r"(u?int\d*|float\d*|double|decimal)\b")
_BINS = 24  # of a number, at quantiles of public rows
_PRIVATE_BOUNDS = (float, int, date, datetime)
_HASHED = tuple(f"cell {k}" for k in range(256))  # of texts whose values are private


def described(
    columns: Mapping[str, Any],
    integer: Iterable[str],
    missing: bool | Iterable[str],
    edges: Mapping[str, Any],
) -> Iterator[Column]:
    """Yield columns from ``name: (low, high)``, ``name: [categories]`` and ``name: float``."""
    whole = names_of("integer", integer)
    some = () if missing is False else missing
    absent = set(columns) if some is True else names_of("missing", some)
    unknown = sorted((whole | absent | set(edges)) - set(columns), key=str)
    if unknown:
        raise ValueError(f"integer=, missing= or edges= name columns that are not there: {unknown}")
    for name, meaning in columns.items():
        number = partial(Column, name, missing=name in absent, edges=_hashable(edges.get(name)))
        if isinstance(meaning, Column):
            yield meaning
        elif meaning is str:
            yield replace(_category(name, _HASHED, name in absent), other=None, hashed=True)
        elif isinstance(meaning, type) and meaning in _PRIVATE_BOUNDS:
            whole_numbers = meaning is int or name in whole
            yield number(integer=whole_numbers, date=issubclass(meaning, date))
        elif isinstance(meaning, tuple) and len(meaning) == 2 and not _has_text(meaning):
            yield number(low=meaning[0], high=meaning[1], integer=name in whole)
        elif isinstance(meaning, Iterable) and not isinstance(meaning, (str, bytes, Mapping)):
            meaning = tuple(meaning)
            numbers = len(meaning) == 2 and all(map(_is_number, meaning))
            if numbers and abs(meaning[1] - meaning[0]) > 1:  # neighbours are meant as they are
                warnings.warn(
                    f"Column {name!r}: the list {list(meaning)} stands for two categories. For a "
                    f"number between these bounds, give the tuple {meaning}.",
                    UserWarning,
                    stacklevel=4,
                )
            if name in whole or name in edges:
                raise ValueError(f"Column {name!r} has categories: it is no number.")
            yield _category(name, meaning, name in absent)
        else:
            raise TypeError(
                f"Column {name!r}: give (low, high), a tuple of two numbers or dates, a list of "
                "categories, the class str for texts with a private domain, or float, int or "
                f"datetime.date for numbers or dates with private bounds; got {meaning!r}."
            )


def names_of(setting: str, names: Iterable[str]) -> set[str]:
    """Return the names in a setting; raise for one text, whose letters would be taken for names."""
    if isinstance(names, str):
        raise TypeError(f"{setting}={names!r} must be a list of names: {setting}=[{names!r}].")
    return set(names)


def columns_of_dtypes(
    dtypes: Any, bounds: Mapping[str, Any], categories: Mapping[str, Iterable[Any]]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the arguments of :func:`described`: columns, names of whole and of nullable ones."""
    found: dict[str, Any] = {}
    whole, nullable = [], []
    for name, dtype in _named_dtypes(dtypes):
        number, listed = _kind_of(dtype)
        if name in categories or listed is not None:
            found[name] = list(categories.get(name, listed or []))
        elif name in bounds:
            found[name] = bounds[name]
            if not isinstance(found[name], type):
                found[name] = tuple(bounds[name])
                if len(found[name]) != 2:
                    raise ValueError(f"bounds of {name!r}: give (low, high), not {bounds[name]!r}.")
        elif number:
            raise ValueError(
                f"The bounds of column {name!r} would have to be read off private data; give "
                f"bounds={{{name!r}: (low, high)}}, or {{{name!r}: float}} to have them learned at "
                "a price, or use Schema.from_public on public rows."
            )
        else:
            raise ValueError(
                f"The categories of column {name!r} would have to be read off private data; give "
                f"categories={{{name!r}: [...]}}, or use Schema.from_public on public rows."
            )
        if name in bounds and _dtype_name(dtype).startswith(("int", "uint")):
            whole.append(name)
        if type(getattr(dtype, "na_value", None)).__name__ == "NAType":  # of pandas
            nullable.append(name)
    unknown = sorted({*bounds, *categories} - set(found), key=str)
    if unknown:
        raise ValueError(f"bounds= or categories= name columns that are not there: {unknown}.")
    return found, whole, nullable


def observed(X_public: Any, edges: Mapping[str, Any], dates: Iterable[str]) -> Iterator[Column]:
    """Yield columns as public rows show them."""
    table = Table(X_public)
    names, dates = table.names_or_default(), names_of("dates", dates)
    for given, wanted in (("edges", set(edges)), ("dates", dates)):
        if unknown := sorted(wanted - set(names), key=str):
            raise ValueError(f"{given}= names columns that are not there: {unknown}.")
    for name, cells in zip(names, table.columns, strict=True):
        yield _observed(name, cells, _hashable(edges.get(name)), name in dates)


def _observed(name: str, cells: Any, edges: Any, may_be_dates: bool) -> Column:
    number, listed = _kind_of(getattr(cells, "dtype", None))
    objects = [] if number else [plain(cell) for cell in cells_of(cells, name)]
    present = [cell for cell in objects if not is_missing(cell)]
    if listed is None:
        check_observed(name, present, may_be_dates)
    dates = bool(present) and all(isinstance(x, (date, np.datetime64)) for x in present)
    if listed is None and not dates and not all(_is_number(cell) for cell in present):
        listed = sorted(set(present), key=lambda value: (str(type(value)), value))
    if listed is not None:
        column = _category(name, tuple(listed), len(present) < len(objects))
        return _warned(column, present)
    numbers = as_days(cells) if dates else as_floats(cells)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    whole = bool(finite.size and np.all(finite == np.rint(finite)))
    if edges is None and finite.size:
        edges = _quantiles(finite)
    column = Column(
        name,
        low=low,
        high=high,
        integer=whole and max(abs(low), abs(high)) <= LARGEST_INTEGER,
        missing=bool(np.isnan(numbers).any()),
        edges=edges,
        date=dates,
    )
    return _warned(column, finite)


def _warned(column: Column, present: Any) -> Column:
    """Warn about a column of public rows that looks like another kind than its own."""
    if found := suspicion(column, present):
        warnings.warn(found, UserWarning, stacklevel=2)
    return column


def _quantiles(finite: NDArray[np.float64]) -> Edges:
    """Return where bins of equally many public rows begin; a common value is a bin of its own."""
    distinct, counts = np.unique(finite, return_counts=True)
    size = cell_size(counts, _BINS)
    bins = np.floor((np.cumsum(counts) - counts / 2) / size)
    common = counts >= size
    starts = (bins[1:] > bins[:-1]) | common[1:] | common[:-1]
    return tuple(distinct[1:][starts].tolist()) or None


def cell_size(counts: NDArray[np.int64], n_cells: int) -> float:
    """Return the size c of cells for which the sum of min(counts, c) is n_cells · c.

    `counts` says how often each distinct value occurs. The iteration falls from the mean to the
    largest solution. A value more frequent than c fills one cell, so that the other cells are left
    for the other values.
    """
    size = float(counts.sum()) / n_cells
    for _ in range(100):
        size = float(np.minimum(counts, size).sum()) / n_cells
    return size


def _category(name: str, categories: tuple[Any, ...], missing: bool) -> Column:
    """Make a category; where it is text, unknown values become "other"."""
    other = OTHER if _has_text(categories) else None
    return Column(name, "category", categories=categories, missing=missing, other=other)


def _has_text(values: Iterable[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (Real, Decimal)) and not isinstance(cell, bool)


def _hashable(edges: Any) -> Any:
    return edges if edges is None or isinstance(edges, str) else tuple(edges)


def _named_dtypes(dtypes: Any) -> list[tuple[str, Any]]:
    """Return (name, dtype) of a pandas or polars frame, a Series of dtypes or a mapping."""
    if hasattr(dtypes, "columns"):  # polars calls the mapping of names to dtypes a schema
        dtypes = getattr(dtypes, "schema", dtypes.dtypes)
    if hasattr(dtypes, "items"):
        return [(str(name), dtype) for name, dtype in dtypes.items()]
    raise TypeError("from_dtypes needs a table with named columns, or names with their dtypes.")


def _kind_of(dtype: Any) -> tuple[bool, list[Any] | None]:
    """Return whether a dtype is one of numbers, and the categories that it lists."""
    listed = getattr(dtype, "categories", None)
    if listed is not None and "interval" not in str(getattr(listed, "dtype", "")):
        return False, list(listed)
    name = _dtype_name(dtype)
    if name.startswith("bool"):
        return False, [False, True]
    return _NUMBERS.match(name) is not None, None


def _dtype_name(dtype: Any) -> str:
    return (dtype.__name__ if isinstance(dtype, type) else str(dtype)).lower()
