"""Columns as they are written down, said by a dtype, or seen in public rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np

from skdistill._cells import as_floats, is_missing, plain
from skdistill._tables import cells_of
from skdistill.schema.column import LARGEST_INTEGER, OTHER, Column
from skdistill.schema.table import Table

__all__ = ["columns_of_dtypes", "described", "observed"]


def described(
    columns: Mapping[str, Any],
    integer: Iterable[str],
    missing: bool | Iterable[str],
    edges: Mapping[str, Any],
) -> Iterator[Column]:
    """Yield columns from ``name: (low, high)`` and ``name: [categories]``."""
    whole = set(integer)
    absent = set() if missing is False else set(columns) if missing is True else set(missing)
    unknown = sorted((whole | absent | set(edges)) - set(columns), key=str)
    if unknown:
        raise ValueError(f"integer=, missing= or edges= name columns that are not there: {unknown}")
    for name, meaning in columns.items():
        if isinstance(meaning, Column):
            yield meaning
        elif isinstance(meaning, tuple) and len(meaning) == 2 and not _has_text(meaning):
            low, high = meaning
            yield Column(
                name,
                low=low,
                high=high,
                integer=name in whole,
                missing=name in absent,
                edges=_hashable(edges.get(name)),
            )
        elif isinstance(meaning, Iterable) and not isinstance(meaning, (str, bytes, Mapping)):
            if name in whole or name in edges:
                raise ValueError(f"Column {name!r} has categories: it is no number.")
            yield _category(name, tuple(meaning), name in absent)
        else:
            raise TypeError(
                f"Column {name!r}: give (low, high), a tuple of two numbers, or a list of "
                f"categories; got {meaning!r}."
            )


def columns_of_dtypes(
    dtypes: Any,
    bounds: Mapping[str, tuple[float, float]],
    categories: Mapping[str, Iterable[Any]],
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return what :func:`described` takes: columns, which are whole, which are nullable."""
    found: dict[str, Any] = {}
    whole, nullable = [], []
    for name, dtype in _named_dtypes(dtypes):
        number, listed = _kind_of(dtype)
        if name in categories or listed is not None:
            found[name] = list(categories.get(name, listed or []))
        elif name in bounds:
            low, high = bounds[name]
            found[name] = (low, high)
        elif number:
            raise ValueError(
                f"The bounds of column {name!r} would have to be read off private data; give "
                f"bounds={{{name!r}: (low, high)}}, or use Schema.from_public on public rows."
            )
        else:
            raise ValueError(
                f"The categories of column {name!r} would have to be read off private data; give "
                f"categories={{{name!r}: [...]}}, a CategoricalDtype, or use Schema.from_public on "
                "public rows."
            )
        if isinstance(found[name], tuple) and _dtype_name(dtype).startswith(("int", "uint")):
            whole.append(name)
        if _is_nullable(dtype):
            nullable.append(name)
    unknown = sorted({*bounds, *categories} - set(found), key=str)
    if unknown:
        raise ValueError(f"bounds= or categories= name columns that are not there: {unknown}.")
    return found, whole, nullable


def observed(X_public: Any, edges: Mapping[str, Any]) -> Iterator[Column]:
    """Yield columns as public rows show them."""
    table = Table(X_public)
    names = table.names_or_default()
    unknown = sorted(set(edges) - set(names), key=str)
    if unknown:
        raise ValueError(f"edges= names columns that are not there: {unknown}.")
    for name, cells in zip(names, table.columns, strict=True):
        yield _observed(name, cells, _hashable(edges.get(name)))


def _observed(name: str, cells: Any, edges: Any) -> Column:
    number, listed = _kind_of(getattr(cells, "dtype", None))
    objects = [] if number else [plain(cell) for cell in cells_of(cells, name)]
    present = [cell for cell in objects if not is_missing(cell)]
    if listed is None and not all(_is_number(cell) for cell in present):
        _check_not_mixed(name, present)
        listed = sorted(set(present), key=lambda value: (str(type(value)), value))
    if listed is not None:
        return _category(name, tuple(listed), len(present) < len(objects))
    numbers = as_floats(cells)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    whole = bool(finite.size) and bool(np.all(finite == np.rint(finite)))
    return Column(
        name,
        low=low,
        high=high,
        integer=whole and max(abs(low), abs(high)) <= LARGEST_INTEGER,
        missing=bool(np.isnan(numbers).any()),
        edges=edges,
    )


def _check_not_mixed(name: str, present: list[Any]) -> None:
    """Raise for numbers and text in one column, as blanks in a spreadsheet make them."""
    texts = [cell for cell in present if isinstance(cell, str)]
    numbers = [cell for cell in present if _is_number(cell)]
    if texts and numbers:
        raise ValueError(
            f"Column {name!r} holds numbers and text, such as {numbers[0]!r} and {texts[0]!r}. For "
            'a column of numbers, use pandas.to_numeric(X[name], errors="coerce") first; for '
            "categories, X[name].astype(str)."
        )


def _category(name: str, categories: tuple[Any, ...], missing: bool) -> Column:
    """Make a category; where it is text, unknown values become "other"."""
    other = OTHER if _has_text(categories) else None
    return Column(name, "category", categories=categories, missing=missing, other=other)


def _has_text(values: Iterable[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Real) and not isinstance(cell, bool)


def _hashable(edges: Any) -> Any:
    return edges if edges is None or isinstance(edges, str) else tuple(edges)


def _named_dtypes(dtypes: Any) -> list[tuple[str, Any]]:
    """Return (name, dtype) of a pandas or polars frame, a Series of dtypes or a mapping."""
    if hasattr(dtypes, "columns"):  # of polars, what names them is called schema
        dtypes = getattr(dtypes, "schema", dtypes.dtypes)
    if hasattr(dtypes, "items"):
        return [(str(name), dtype) for name, dtype in dtypes.items()]
    raise TypeError("from_dtypes needs a table with named columns, or names with their dtypes.")


def _kind_of(dtype: Any) -> tuple[bool, list[Any] | None]:
    """Return whether a dtype is one of numbers, and the categories that it lists."""
    listed = getattr(dtype, "categories", None)
    if listed is not None:
        return False, list(listed)
    name = _dtype_name(dtype)
    if name.startswith("bool"):
        return False, [False, True]
    return bool(re.match(r"(u?int|float|double|decimal)(?!erval)", name)), None


def _dtype_name(dtype: Any) -> str:
    return (dtype.__name__ if isinstance(dtype, type) else str(dtype)).lower()


def _is_nullable(dtype: Any) -> bool:
    """Whether a pandas dtype has a place for NA."""
    return type(getattr(dtype, "na_value", None)).__name__ == "NAType"
