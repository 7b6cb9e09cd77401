"""One column: public facts about it, the codes of its cells, and cells that have a code."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skdistill._cells import as_days, as_floats, canonical_cell, canonical_column, plain

Codes = NDArray[np.int64]
Edges = tuple[float, ...] | Literal["log"] | None

LARGEST_INTEGER = 2**53 - 1  # no other integer becomes one of these in floating point
OTHER = "other"
_MORE_CELLS = (2, 3, 4, 6, 8)  # tried for whole numbers, times the number of bins


@dataclass(frozen=True)
class Column:
    """Public knowledge about one column.

    Parameters
    ----------
    name : str
        Its name; in arrays, columns are told by their position.
    kind : {"number", "category"}
        The kind of its cells.
    low, high : float or None
        Bounds of a number, ``low <= high``. Values outside are clipped. Two dates (of datetime,
        NumPy or pandas) make a column of dates, whole days since 1970. None, for both: the bounds
        are private, and must be learned before any cell is read (:func:`skdistill.learn_bounds`).
    integer : bool
        Whether a number is whole. Values are rounded.
    categories : tuple of str, int or bool
        The values of a category, in order.
    missing : bool
        Whether values may be missing. If not, a missing number becomes `low`, and a missing
        category an unknown one.
    edges : tuple of float, "log" or None
        Where the bins of a number begin, increasing. "log": bins of equal width in
        ``log(1 + value - low)``. None: see :meth:`bin_starts`.
    other : str, int, bool or None
        The value that unknown categories become. None: they count as missing, and where nothing
        may be missing they become the first category.
    date : bool
        Whether a number is the day of a date. Set where bounds are dates; to be given where they
        are private.
    hashed : bool
        Whether values that are none of the categories go to one of them ("cell 0") by a hash of
        their text: for texts whose domain is private.

    Examples
    --------
    >>> from skdistill.transfer import Column
    >>> gain = Column("gain", low=0, high=99999, integer=True, edges="log")
    >>> gain.bin_starts(5).tolist()
    [0.0, 10.0, 100.0, 1000.0, 10000.0]
    """

    name: str
    kind: Literal["number", "category"] = "number"
    low: float | None = None
    high: float | None = None
    integer: bool = False
    categories: tuple[Hashable, ...] = ()
    missing: bool = False
    edges: Edges = None
    other: Hashable | None = None
    date: bool = False
    hashed: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"A column's name must be a string, got {self.name!r}.")
        for flag in ("integer", "missing", "date", "hashed"):
            value = getattr(self, flag)
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"Column {self.name!r}: {flag}={value!r} must be True or False.")
            object.__setattr__(self, flag, bool(value))
        if self.kind not in ("number", "category"):
            raise self._error(f'kind={self.kind!r} must be "number" or "category".')
        self._check_number() if self.kind == "number" else self._check_categories()

    @property
    def bounded(self) -> bool:
        """Whether the bounds of a number are known; True for a category."""
        return self.kind == "category" or self.low is not None

    @property
    def values(self) -> tuple[Hashable, ...]:
        """The categories, and the value of unknown ones where it is none of them."""
        if self.other is None or self.other in self.categories:
            return self.categories
        return (*self.categories, self.other)

    def in_words(self) -> str:
        """Return one line that lists the allowed values, or the first ten of many categories.

        Returns
        -------
        text : str
            Public: it comes from the schema.
        """
        if self.hashed:
            return f"texts, hashed to {len(self.categories)} cells"
        if self.kind == "category":
            named = ", ".join(repr(value) for value in self.categories[:10])
            more = len(self.categories) - 10
            return named + (f", and {more} more" if more > 0 else "")
        if not self.bounded:
            name = "dates" if self.date else f"{'whole ' * self.integer}numbers"
            return f"{name} whose bounds are private"
        if self.date:
            return "dates from {} to {}".format(*self.as_dates(np.array([self.low, self.high])))
        return f"{'whole ' * self.integer}numbers from {self.low:g} to {self.high:g}"

    def n_codes(self, n_bins: int) -> int:
        """Count the codes of this column: its bins or values, and one for missing.

        Parameters
        ----------
        n_bins : int
            Largest number of bins of a number.

        Returns
        -------
        n : int
            Number of codes.
        """
        known = len(self.values) if self.kind == "category" else len(self.bin_starts(n_bins))
        return known + self.missing

    def bin_starts(self, n_bins: int) -> NDArray[np.float64]:
        """Return the left ends of a number's bins, at most `n_bins` unless `edges` are given.

        Without `edges`, whole numbers have a bin each where there are at most `n_bins` of them.
        Other bins are fine near zero and grow with the distance from it, because of heavy tails;
        and a value at a bound has a bin of its own.

        Parameters
        ----------
        n_bins : int
            Largest number of bins of a number.

        Returns
        -------
        starts : ndarray of shape (n,)
            Ascending.
        """
        low, high = self._bounds()
        end = high + 1 if self.integer else high
        if isinstance(self.edges, tuple):
            starts = np.array([low, *self.edges])
        elif self.edges == "log":
            starts = low + np.expm1(np.linspace(0, math.log1p(end - low), n_bins + 1)[:-1])
        elif self.integer and end - low <= n_bins:
            starts = np.arange(low, end)
        else:
            starts = _cells_near_zero(low, end, n_bins, bounds_alone=not self.integer)
            for factor in _MORE_CELLS if self.integer else ():  # near zero, many begin no number
                more = _cells_near_zero(low, end, factor * n_bins, bounds_alone=False)
                starts = more if len(_first_whole(more)) <= n_bins else starts
        if self.integer:
            starts = _first_whole(starts)
        return np.unique(np.r_[low, starts[(starts > low) & (starts <= high)]])

    def bin_ends(self, n_bins: int) -> NDArray[np.float64]:
        """Return the last values in a number's bins.

        Parameters
        ----------
        n_bins : int
            Largest number of bins of a number.

        Returns
        -------
        ends : ndarray of shape (n,)
            In the order of :meth:`bin_starts`.
        """
        starts = self.bin_starts(n_bins)
        ends = starts[1:] - 1 if self.integer else np.nextafter(starts[1:], -np.inf)
        return np.r_[ends, self._bounds()[1]]

    def read(self, cells: Any) -> NDArray[Any]:
        """Return the cells inside the schema: floats, NaN for missing, or indices into `values`.

        A missing category is -1. See :meth:`skdistill.Schema.encode` for the rules.

        Parameters
        ----------
        cells : array-like of shape (n,)
            The column of a table; may be private.

        Returns
        -------
        values : ndarray of shape (n,)
            Floats for a number, integers for a category.
        """
        if self.kind == "category":
            return self._read_categories(cells)
        low, high = self._bounds()
        numbers = self.numbers(cells)
        numbers = np.clip(np.rint(numbers) if self.integer else numbers, low, high)
        return numbers if self.missing else np.where(np.isnan(numbers), low, numbers)

    def numbers(self, cells: Any) -> NDArray[np.float64]:
        """Return the cells as numbers, of dates as days; NaN for all others, and no bounds.

        Parameters
        ----------
        cells : array-like of shape (n,)
            The column of a table; may be private.

        Returns
        -------
        numbers : ndarray of shape (n,)
            Of dates, days since 1970.
        """
        return as_days(cells) if self.date else as_floats(cells)

    @staticmethod
    def as_dates(days: NDArray[np.float64]) -> NDArray[np.datetime64]:
        """Return days since 1970 as dates, NaT for NaN.

        Parameters
        ----------
        days : ndarray of shape (n,)
            Days since 1970.

        Returns
        -------
        dates : ndarray of datetime64, shape (n,)
            To the day.
        """
        missing = np.isnan(days)
        found = np.where(missing, 0, days).astype(np.int64).astype("datetime64[D]")
        return np.where(missing, np.datetime64("NaT", "D"), found)

    def _read_categories(self, cells: Any) -> Codes:
        table = {canonical_cell(value): index for index, value in enumerate(self.values)}
        absent = -1 if self.missing else 0
        unknown = absent if self.other is None else table[canonical_cell(self.other)]
        lost = absent if self.missing else unknown
        read = list(canonical_column(cells))
        if self.hashed:
            for cell in set(read):
                if cell == cell and cell not in table:
                    table[cell] = _hash_of(cell) % len(self.values)
        codes = (table.get(cell, unknown if cell == cell else lost) for cell in read)
        return np.fromiter(codes, dtype=np.int64, count=len(read))

    def encode(self, cells: Any, n_bins: int) -> Codes:
        """Return the code of every cell; the last one is that of missing, where it may be.

        Parameters
        ----------
        cells, n_bins : array-like of shape (n,), and int
            The column of a table, which may be private, and the most bins of a number.

        Returns
        -------
        codes : ndarray of int, shape (n,)
            From 0 up to :meth:`n_codes` − 1.
        """
        inside = self.read(cells)
        if self.kind == "category":
            return np.where(inside < 0, len(self.values), inside)
        starts = self.bin_starts(n_bins)
        missing = np.isnan(inside)
        bins = np.searchsorted(starts, np.where(missing, starts[0], inside), side="right") - 1
        return np.where(missing, len(starts), bins).astype(np.int64)

    def middle(self, codes: Codes, n_bins: int) -> NDArray[Any]:
        """Return for every code one cell that stands for its bin, as :meth:`read` would.

        Parameters
        ----------
        codes, n_bins : ndarray of int, shape (n,), and int
            Codes of this column with so many bins.

        Returns
        -------
        values : ndarray of shape (n,)
            As of :meth:`read`.
        """
        if self.kind == "category":
            return np.where(codes >= len(self.values), -1, codes)
        starts, ends = self.bin_starts(n_bins), self.bin_ends(n_bins)
        middles = starts / 2 + ends / 2
        cells = np.r_[np.floor(middles) if self.integer else middles, np.nan]
        return cells[np.minimum(codes, len(starts))]

    def draw(self, codes: Codes, rng: np.random.Generator, n_bins: int) -> NDArray[Any]:
        """Return for every code a cell that has it, as :meth:`read` would: uniform in its bin.

        Parameters
        ----------
        codes, rng, n_bins : ndarray of int, shape (n,), numpy.random.Generator, and int
            Codes of this column with so many bins, and public randomness.

        Returns
        -------
        values : ndarray of shape (n,)
            As of :meth:`read`.
        """
        if self.kind == "category":
            return np.where(codes >= len(self.values), -1, codes)
        starts, ends = self.bin_starts(n_bins), self.bin_ends(n_bins)
        bins = np.minimum(codes, len(starts) - 1)
        low, width = starts[bins], ends[bins] - starts[bins]
        u = rng.random(len(codes))
        steps = np.floor(u * (width + 1)) if self.integer else u * width
        return np.where(codes >= len(starts), np.nan, np.minimum(low + steps, ends[bins]))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are not at their defaults, for JSON.

        Returns
        -------
        record : dict
            JSON-serialisable.
        """
        values = ((each.name, getattr(self, each.name), each.default) for each in fields(self))
        record = {k: v for k, v, default in values if k in ("name", "kind") or v != default}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in record.items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Column:
        """Make a column from the result of :meth:`to_dict`.

        Parameters
        ----------
        record : mapping
            Names and values of fields.
        """
        items = record.items()
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in items}
        return cls(**values)

    def _error(self, text: str) -> ValueError:
        return ValueError(f"Column {self.name!r}: {text}")

    def _bounds(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise self._error(
                "its bounds are private and have not been learned. Use learn_bounds(schema, X, "
                "epsilon=...), a PrivateClassifier or a PrivateRegressor; or give bounds that are "
                "public knowledge."
            )
        return self.low, self.high

    def _check_number(self) -> None:
        if any(isinstance(end, (datetime.date, np.datetime64)) for end in (self.low, self.high)):
            for end in ("low", "high"):
                object.__setattr__(self, end, float(as_days([getattr(self, end)])[0]))
            object.__setattr__(self, "date", True)
        object.__setattr__(self, "integer", self.integer or self.date)
        if self.categories or self.other is not None or self.hashed:
            raise self._error("a number has no categories, and no hashes.")
        if self.low is None and self.high is None:
            if self.edges is not None:
                raise self._error("edges need public bounds.")
            return
        for end in ("low", "high"):
            value = getattr(self, end)
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise self._error(
                    f"{end}={value!r} must be a finite number. Bounds are public knowledge: give "
                    "them by hand, or use Schema.from_public; or give neither, and have them "
                    "learned."
                )
            object.__setattr__(self, end, float(value))
        low, high = self._bounds()
        if not low <= high:
            raise self._error(f"low={low!r} is above high={high!r}.")
        if not math.isfinite(high - low):
            raise self._error("the width of its bounds is not finite.")
        if self.integer and not (low.is_integer() and high.is_integer()):
            raise self._error(f"bounds ({low!r}, {high!r}) of an integer column must be whole.")
        if self.integer and max(abs(low), abs(high)) > LARGEST_INTEGER:
            raise self._error("integers must be below 2**53.")
        self._check_edges()

    def _check_edges(self) -> None:
        if self.edges == "log" and self._bounds()[0] < 0:
            raise self._error(
                'edges="log" is for numbers from 0 or above; its bins would be finest at the lower '
                f"bound {self.low!r}. Give the edges as numbers instead."
            )
        if self.edges is None or self.edges == "log":
            return
        try:
            edges = tuple(map(float, None if isinstance(self.edges, str) else self.edges))
        except (TypeError, ValueError):
            raise self._error(f'edges={self.edges!r} must be "log" or numbers.') from None
        rising = all(a < b for a, b in zip(edges, edges[1:], strict=False))
        if not rising or not all(map(math.isfinite, edges)):
            raise self._error("edges must be finite and increasing.")
        object.__setattr__(self, "edges", edges)

    def _check_categories(self) -> None:
        bounds = self.low, self.high, self.edges
        if any(each is not None for each in bounds) or self.integer or self.date:
            raise self._error("a category has neither bounds nor edges.")
        if isinstance(self.categories, str):
            raise TypeError(f"Column {self.name!r}: categories={self.categories!r} must be a list.")
        categories, other = tuple(map(plain, self.categories)), plain(self.other)
        for value in categories if other is None else (*categories, other):
            whole = isinstance(value, int) and abs(value) <= LARGEST_INTEGER
            if not (isinstance(value, str) or whole):
                raise self._error(
                    f"category {value!r} must be a string, a boolean or an integer below 2**53."
                )
        if not categories:
            raise self._error("a category needs at least one value.")
        if len(set(categories)) < len(categories):
            raise self._error("its categories are not distinct.")
        object.__setattr__(self, "categories", categories)
        object.__setattr__(self, "other", other)


def _hash_of(cell: Any) -> int:
    """Return a number that depends on the text of a cell alone, the same in every process."""
    if isinstance(cell, float):  # a column of numbers alone holds NumPy's
        cell = float(cell)
    text = f"{type(cell).__name__} {cell}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _first_whole(starts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first whole number of each bin that has one; a start may be off by a rounding."""
    return np.unique(np.ceil(starts - 1e-9 * np.maximum(1, np.abs(starts))))


def _cells_near_zero(
    low: float, end: float, n_bins: int, *, bounds_alone: bool
) -> NDArray[np.float64]:
    """Return left ends of bins whose width is the inverse of a density 1/√(1 + (x/s)²)."""
    zero, size = max(low, 0.0), (end - low) / 3000 or 1.0
    n_cells = max(1, n_bins - 2 * bounds_alone)
    first, last = math.asinh((low - zero) / size), math.asinh((end - zero) / size)
    starts = zero + size * np.sinh(np.linspace(first, last, n_cells + 1)[:-1])
    starts[0] = low  # not a rounding beside it
    return np.r_[starts, np.nextafter(low, end), end] if bounds_alone and n_bins > 4 else starts
