"""Schema: all columns, and the tables they describe."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._html import html_table
from skdistill._numbers import check_whole
from skdistill.schema.column import Column
from skdistill.schema.describe import columns_of_dtypes, described, names_of, observed
from skdistill.schema.domain import on_grid, to_try
from skdistill.schema.report import SchemaReport, column_report, mismatch, target_column
from skdistill.schema.table import Table, build_table, kind_of
from skdistill.statement import PrivacyStatement

_SHOWN_COLUMNS = 50  # in HTML

Codes = NDArray[np.int64]


@dataclass(frozen=True, init=False, repr=False)
class Schema:
    """Public knowledge about the columns of a table: bounds, categories, missing values.

    Parameters
    ----------
    columns : mapping or iterable of Column
        A mapping from names to ``(low, high)``, a tuple of two numbers or dates; to a list of
        categories; to the class `float`, `int` or `datetime.date`, for numbers or dates whose
        bounds are private, which are then learned at a price (:func:`skdistill.learn_bounds`); or
        to the class `str`, for texts whose domain is private: these are hashed to 256 cells, so
        that a few texts may share one. Or the columns themselves.
    integer : iterable of str
        Names of numbers that are whole.
    missing : bool or iterable of str, default=()
        Names of columns whose values may be missing; True for all.
    edges : mapping, optional
        From names to the `edges` of their :class:`~skdistill.transfer.Column`.
    privacy : PrivacyStatement, optional
        The statement of the release that the bounds were learned from.

    Attributes
    ----------
    columns : tuple of Column
        All there is: a schema is immutable, equal to any other with the same columns, hashable,
        and kept by ``sklearn.clone`` and pickle.

    Notes
    -----
    All entries of a schema count as public and are published with the model. A schema that was
    read off private rows voids the guarantee, so nothing here infers bounds or categories, except
    :meth:`from_public`, from rows that are public themselves. Which columns are numbers, which are
    text and which are whole is public in any case: one record could change it.

    Examples
    --------
    >>> from skdistill.transfer import Schema
    >>> schema = Schema({"age": (17, 90), "sex": ["female", "male"]}, integer=["age"])
    >>> schema
    Schema(2 columns: age, sex)
    >>> schema.encode([[16.7, "male"], [91, "unheard of"], [None, None]])
    array([[ 0,  1],
           [73,  2],
           [ 0,  2]])
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    columns: tuple[Column, ...]
    privacy: PrivacyStatement | None = field(default=None, compare=False)

    def __init__(
        self,
        columns: Mapping[str, Any] | Iterable[Column],
        *,
        integer: Iterable[str] = (),
        missing: bool | Iterable[str] = (),
        edges: Mapping[str, Any] | None = None,
        privacy: PrivacyStatement | None = None,
    ) -> None:
        if isinstance(columns, Mapping):
            columns = described(columns, integer, missing, edges or {})
        columns = tuple(columns)
        if not columns:
            raise ValueError("A schema needs at least one column.")
        if not all(isinstance(column, Column) for column in columns):
            raise TypeError("Schema(columns): give a mapping of names, or Column objects.")
        counts = Counter(column.name for column in columns)
        if twice := sorted(name for name, n in counts.items() if n > 1):
            raise ValueError(
                f"Several columns are named {twice[0]!r}, and a schema's columns need distinct "
                "names. Rename them, or keep the first: table.loc[:, ~table.columns.duplicated()]."
            )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "privacy", privacy)

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:6]) + (", ..." if len(self) > 6 else "")
        return f"Schema({len(self)} column{'s' * (len(self) != 1)}: {shown})"

    def _repr_html_(self) -> str:
        shown = [
            (column.name, column.in_words(), "may be missing" if column.missing else "")
            for column in self.columns[:_SHOWN_COLUMNS]
        ]
        if len(self) > _SHOWN_COLUMNS:
            shown.append(("...", f"{len(self) - _SHOWN_COLUMNS} more columns", ""))
        title = f"Schema of {len(self)} column{'s' * (len(self) != 1)} (public)"
        return html_table(shown, title, head=("column", "values", "missing"))

    @classmethod
    def from_dtypes(
        cls,
        dtypes: Any,
        *,
        bounds: Mapping[str, Any] | None = None,
        categories: Mapping[str, Iterable[Any]] | None = None,
        missing: bool | Iterable[str] = (),
        edges: Mapping[str, Any] | None = None,
    ) -> Schema:
        """Make a schema from the dtypes of a table, and bounds that are given by hand.

        Dtypes count as public. ``astype("category")`` makes one of the values that occur, which are
        not: give such columns a ``CategoricalDtype`` of categories known beforehand.

        Parameters
        ----------
        dtypes : DataFrame, Series or mapping
            A table (only its dtypes are looked at), or names with their dtypes. The categories of
            a pandas ``CategoricalDtype`` or a polars ``Enum`` are taken; booleans are categories;
            integers are whole numbers.
        bounds, categories : mapping
            From the names of numbers to ``(low, high)``, or to `float`, `int` or `datetime.date`
            where bounds are private; from other names to categories that the dtype does not say.
        missing, edges : optional
            As for :class:`Schema`. Columns of pandas' nullable dtypes may be missing anyway.

        Returns
        -------
        Schema

        Raises
        ------
        ValueError
            For a number without bounds, or text without categories.

        Examples
        --------
        >>> from skdistill.transfer import Schema
        >>> Schema.from_dtypes({"age": "int64", "member": "bool"}, bounds={"age": (0, 120)})
        Schema(2 columns: age, member)
        """
        found, whole, nullable = columns_of_dtypes(dtypes, bounds or {}, categories or {})
        if not isinstance(missing, bool):
            missing = [*names_of("missing", missing), *nullable]
        elif not missing:
            missing = nullable
        return cls(found, integer=whole, missing=missing, edges=edges)

    @classmethod
    def from_public(
        cls, X_public: Any, *, edges: Mapping[str, Any] | None = None, dates: Iterable[str] = ()
    ) -> Schema:
        """Infer a schema from rows that are public.

        Parameters
        ----------
        X_public : array-like or DataFrame of shape (m, d)
            Public rows. Bounds, categories and the columns with missing values are read off
            them, so they must never be private rows.
        edges : mapping, optional
            As for :class:`Schema`.
        dates : iterable of str, default=()
            Names of columns of dates, whose bounds are the first and the last public day.

        Returns
        -------
        Schema
            A column of numbers is one without text; it is whole if all its values are. Its bins
            begin at quantiles of the public rows, unless `edges` say where.

        Raises
        ------
        TypeError, ValueError
            For columns of dates that `dates` does not name, of other objects, and of numbers with
            text, or with currency or percent signs; the message says how to convert them.

        Warns
        -----
        UserWarning
            For columns that look like an id, dates or numbers stored as text, and for more than
            1,000 categories.
        """
        return cls(observed(X_public, edges or {}, dates))

    def to_json(self, **options: Any) -> str:
        """Return the schema as JSON text.

        Parameters
        ----------
        **options : dict
            For :func:`json.dumps`.

        Returns
        -------
        text : str
            All columns in order.
        """
        columns = [column.to_dict() for column in self.columns]
        record: dict[str, Any] = {"version": 1, "columns": columns}
        if self.privacy is not None:
            record["privacy"] = self.privacy.to_dict()
        return json.dumps(record, **options)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read the text that :meth:`to_json` wrote.

        Parameters
        ----------
        text : str
            The result of :meth:`to_json`.
        """
        record = json.loads(text)
        if not isinstance(record, dict) or record.get("version") != 1:
            raise ValueError("This is no schema of version 1.")
        said = record.get("privacy")
        privacy = None if said is None else PrivacyStatement.from_dict(said)
        return cls(map(Column.from_dict, record["columns"]), privacy=privacy)

    @property
    def unbounded(self) -> list[str]:
        """Names of the numbers and dates whose bounds are private and have not been learned."""
        return [column.name for column in self.columns if not column.bounded]

    def on_grid(self) -> Schema:
        """Return the schema with bounds that hold all numbers; columns with bounds keep theirs.

        Returns
        -------
        schema : Schema
            Its cells are the same for every table.
        """
        return Schema(c if c.bounded else on_grid(c) for c in self.columns)

    def to_try(self) -> Schema:
        """Return the schema with wide bounds in place of private ones, to draw made-up rows from.

        Returns
        -------
        schema : Schema
            With bounds in every column.
        """
        return Schema(map(to_try, self.columns))

    @property
    def origin(self) -> str:
        """The condition on the schema that a guarantee rests on, in words."""
        if self.privacy is None:
            return "the schema was not read off the private table"
        said = self.privacy
        if not said.private:
            return "the bounds in the schema were read off private rows without private noise"
        return (
            f"the bounds in the schema, which were learned from private {said.unit}s at "
            f"ε={said.epsilon:.6g} and δ={said.delta:.3g}, are counted "
            + ("with the fits of an accountant" if said.accounted else "by nobody")
        )

    @property
    def is_private(self) -> bool:
        """Whether no bound was read off private rows without private noise."""
        return self.privacy is None or bool(self.privacy.private)

    @property
    def not_protected(self) -> str:
        """The part of the schema that a release with it does not protect, in words."""
        stated = "stated bounds" if self.unbounded else "bounds"
        return f"the schema: names and kinds of the columns, {stated}, categories"

    def n_codes(self, n_bins: int = 300) -> tuple[int, ...]:
        """Count the codes of every column; public.

        Parameters
        ----------
        n_bins : int, default=300
            Largest number of bins of a number.

        Returns
        -------
        n_codes : tuple of int
            One number for each column.
        """
        _check_bins(n_bins)
        return tuple(column.n_codes(n_bins) for column in self.columns)

    def encode(self, X: Any, n_bins: int = 300) -> Codes:
        """Return the code of every cell: the number of its bin or category.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            NumPy arrays (of objects too), lists of rows, pandas and polars frames.
        n_bins : int, default=300
            Most bins of a number, unless its column has `edges`.

        Returns
        -------
        codes : ndarray of int64, shape (n, d)
            ``0 <= codes[:, j] < n_codes(n_bins)[j]``; the last one for missing, where it may be.

        Raises
        ------
        ValueError
            Where the columns are not those of the schema: their names, order and number, which
            are public. No cell raises: a number outside its bounds is clipped; an unknown category
            becomes `other`; a cell of the wrong kind (text in a column of numbers, say) is
            missing; and in a column without missing values a missing cell becomes the lower
            bound, or `other`.

        Warns
        -----
        UserWarning
            Where no cell of a column is of a type that can fit: see :meth:`report`.

        Notes
        -----
        Every code is a function of its own cell (its value, not the dtype of the array around
        it), so tables that differ in one row have codes that differ in that row only.
        """
        _check_bins(n_bins)
        cells = self._table(X).columns
        codes = [c.encode(x, n_bins) for c, x in zip(self.columns, cells, strict=True)]
        return np.column_stack(codes)

    def sanitize(self, X: Any) -> Any:
        """Return the table with every value inside the schema, as those of :meth:`decode`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            As for :meth:`encode`, with the same rules and errors.

        Returns
        -------
        DataFrame or ndarray of shape (n, d)
            A pandas or polars frame for one, else an array. See :meth:`decode`.
        """
        table = self._table(X)
        cells = [c.read(x) for c, x in zip(self.columns, table.columns, strict=True)]
        return build_table(self.columns, cells, table.kind, table.index)

    def decode(
        self,
        codes: Codes,
        rng: np.random.Generator | None = None,
        n_bins: int = 300,
        kind: str = "array",
    ) -> Any:
        """Return rows that have these codes.

        Parameters
        ----------
        codes : ndarray of int, shape (n, d)
            As from :meth:`encode` with the same `n_bins`.
        rng : numpy.random.Generator, optional
            Draws numbers, uniformly in their bins. None takes the middle of each bin.
        n_bins : int, default=300
            Most bins of a number.
        kind : {"array", "pandas", "polars"}, default="array"
            Type of the result; :meth:`kind_of` returns that of a given table.

        Returns
        -------
        DataFrame or ndarray of shape (n, d)
            In pandas, numbers are float64 (int64 where whole and never missing), booleans are
            bool and other categories are of the ``CategoricalDtype`` of the schema. An array is
            of float64 unless a category is text, else of objects. NaN where missing.
        """
        _check_bins(n_bins)
        codes = np.asarray(codes)
        columns = zip(self.columns, codes.T, strict=True)
        if rng is None:
            cells = [column.middle(own, n_bins) for column, own in columns]
        else:
            cells = [column.draw(own, rng, n_bins) for column, own in columns]
        return build_table(self.columns, cells, kind)

    def snap(self, X: Any, n_bins: int = 300) -> Any:
        """Return the table with every number at the middle of its bin.

        Parameters
        ----------
        X, n_bins : array-like or DataFrame of shape (n, d), and int
            As for :meth:`encode`, with the same rules and errors.

        Returns
        -------
        DataFrame or ndarray of shape (n, d)
            See :meth:`decode`. Rows that have the same codes become equal.
        """
        _check_bins(n_bins)
        table = self._table(X)
        columns = zip(self.columns, table.columns, strict=True)
        cells = [c.middle(c.encode(x, n_bins), n_bins) for c, x in columns]
        return build_table(self.columns, cells, table.kind, table.index)

    kind_of = staticmethod(kind_of)

    def report(
        self,
        X: Any,
        y: Any = None,
        *,
        classes: Iterable[Any] | None = None,
        output_range: tuple[float, float] | None = None,
    ) -> SchemaReport:
        """Count how many cells of a private table fit the schema, for its owner.

        Parameters
        ----------
        X, y : array-like or DataFrame of shape (n, d), and array-like of shape (n,), optional
            Private rows, and their target.
        classes, output_range : iterable, or tuple of (float, float), default=None
            Expected classes of the target, or its range.

        Returns
        -------
        SchemaReport
            Exact counts, without noise: private, and never to be published.

        Examples
        --------
        >>> from skdistill import Schema
        >>> schema = Schema({"age": (18, 90), "sex": ["f", "m"]})
        >>> schema.report([["20", "f"], [200, "F"], [None, "m"]])
        PRIVATE: exact counts of a private table, for its owner only. Do not publish them.
        column  fits  clipped  other  missing  unreadable
        age        0        1      0        1           1
        sex        2        0      1        0           0
        """
        columns, cells = list(self.on_grid().columns), list(self._table(X).columns)
        if y is not None:
            columns.append(target_column(classes, output_range))
            cells.extend(Table([[cell] for cell in y]).columns)
        return SchemaReport(tuple(map(column_report, columns, cells)))

    def cells(self, X: Any) -> list[Any]:
        """Return the columns of a table, as they are.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
            A table.

        Returns
        -------
        columns : list of array-like
            One for each column of the schema.
        """
        return self._table(X).columns

    def _table(self, X: Any) -> Table:
        table = Table(X, len(self.columns))
        if len(table.columns) != len(self):
            raise ValueError(
                f"X has {len(table.columns)} features, but the schema has {len(self)} columns."
            )
        if table.names is not None and table.names != self.names:
            absent = [name for name in self.names if name not in table.names][:10]
            extra = [name for name in table.names if name not in self.names][:10]
            detail = f"missing {absent}, unexpected {extra}" if absent or extra else "other order"
            raise ValueError(f"The columns of X are not those of the schema: {detail}.")
        for found in filter(None, map(mismatch, self.columns, table.columns)):
            warnings.warn(found, UserWarning, stacklevel=3)
        return table


def as_schema(schema: Any, X: Any) -> Schema:
    """Return the schema that a parameter `schema` means for a table, or raise a TypeError.

    A tuple ``(low, high)`` means that every column is a number within these bounds; a class that
    the bounds of every column are private; a mapping is that of :class:`Schema`. Of X, the number
    of columns and their names are looked at, nothing else.
    """
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, Mapping):
        return Schema(schema)
    if isinstance(schema, type) and schema in (float, int, date):
        return Schema(dict.fromkeys(Table(X).names_or_default(), schema))
    pair = isinstance(schema, (tuple, list)) and len(schema) == 2
    if not pair or not all(isinstance(end, Real) for end in schema):
        given = (
            repr(schema) if isinstance(schema, str | type | None) else f"<{type(schema).__name__}>"
        )
        raise TypeError(  # it may be the table: arguments are sometimes swapped
            f"schema={given} must be a Schema, or (low, high) where every column is a number "
            "within these bounds. Bounds and categories are public knowledge; they are never read "
            "off private data. Use Schema({...}), Schema.from_dtypes or Schema.from_public; or "
            'Schema({"age": float, "town": str}) where they are private, which costs a part of '
            "epsilon."
        )
    low, high = schema
    return Schema(Column(name, low=low, high=high) for name in Table(X).names_or_default())


def _check_bins(n_bins: Any) -> None:
    if check_whole("n_bins", n_bins) > 2**20:
        raise ValueError(f"n_bins={n_bins!r} must be at most 2**20.")
