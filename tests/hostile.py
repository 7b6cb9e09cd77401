"""Tables in every container, records that could change the rows of others, and misbehaving members.

A neighbour is made from lists of plain cells before it is put into a container, so that a library
infers its dtypes anew, as it would where the data are read.
"""

import datetime
import decimal
import hashlib
import os
import random
import warnings

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class Panic(BaseException):
    """As extension modules raise it: not an Exception."""


class Raising:
    """A cell that raises at every operation."""

    def refuse(self, *args, **options):
        raise Panic("canary")

    __eq__ = __hash__ = __float__ = __index__ = __bool__ = __len__ = __iter__ = __lt__ = refuse
    __repr__ = __str__ = __array__ = __reduce__ = __deepcopy__ = refuse


# --- containers -----------------------------------------------------------------------------------


def columns_of(rows):
    """Cells of each column; None if a row has another length."""
    widths = {len(row) if isinstance(row, list) else -1 for row in rows}
    return None if len(widths) > 1 else [list(column) for column in zip(*rows, strict=True)]


def object_array(rows):
    columns = columns_of(rows)
    return vector(rows) if columns is None else np.stack(list(map(vector, columns)), axis=1)


def number_array(rows):
    columns = columns_of(rows)
    if columns is None or not all(type(c) in (int, float) for row in rows for c in row):
        return None
    try:
        return np.array([[float(c) for c in row] for row in rows])
    except OverflowError:
        return None


def frame(rows):
    columns = columns_of(rows)
    if columns is None:
        return None
    series = list(map(pandas_series, columns))
    result = pd.concat(series, axis=1)
    result.columns = ["a", "b", "c"][: len(series)]
    result.index = [f"row {i}" for i in range(len(rows))]
    return result


def pandas_series(cells):
    try:
        return pd.Series(cells)
    except BaseException:  # some versions of pandas look into cells to infer a dtype
        return pd.Series(vector(cells), dtype=object)


def integer_names(rows):
    result = frame(rows)
    if result is not None:
        result.columns = range(result.shape[1])
    return result


def vector(cells):
    """A one-dimensional array of objects."""
    array = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        array[i] = cell
    return array


def converted(convert):
    def build(rows):
        result = frame(rows)
        try:
            return None if result is None else convert(result)
        except BaseException:  # a cell that cannot be in such a frame
            return None

    return build


def polars_frame(rows):
    columns = columns_of(rows)
    if columns is None:
        return None
    return pl.DataFrame([polars_series(c, "abc"[j]) for j, c in enumerate(columns)])


def polars_series(cells, name=""):
    try:
        return pl.Series(name, cells, strict=True)
    except BaseException:
        return pl.Series(name, cells, dtype=pl.Object)


def sparse(kind):
    def build(rows):
        array = number_array(rows)
        return None if array is None else kind(array)

    return build


CONTAINERS = {
    "array": number_array,
    "single": lambda rows: None if (a := number_array(rows)) is None else a.astype(np.float32),
    "object array": object_array,
    "list": list,
    "tuple": lambda rows: tuple(tuple(r) if isinstance(r, list) else r for r in rows),
    "list of arrays": lambda rows: [vector(r) if isinstance(r, list) else r for r in rows],
    "pandas": frame,
    "integer names": integer_names,
    "categorical": converted(lambda f: f.astype("category")),
    "nullable": converted(lambda f: f.convert_dtypes()),
    "polars": polars_frame,
    "csr": sparse(sp.csr_matrix),
    "coo": sparse(sp.coo_array),
}

LABELS = {
    "list": list,
    "tuple": tuple,
    "object array": vector,
    "series": lambda y: pd.Series(y, dtype=object),
    "inferred series": pd.Series,
    "categorical series": lambda y: pd.Series(y, dtype="category"),
    "polars": polars_series,
}


def put(y, container):
    """Labels in a container, None where it cannot hold them."""
    try:
        return LABELS[container](y)
    except BaseException:
        return None


# --- records --------------------------------------------------------------------------------------

ROWS = {
    "text": lambda row: ["?", *row[1:]],
    "new category": lambda row: [*row[:-1], "unheard of"],
    "number as text": lambda row: [str(row[0]), *row[1:]],
    "none": lambda row: [None, *row[1:]],
    "all missing": lambda row: [None] * len(row),
    "nan": lambda row: [float("nan"), *row[1:]],
    "infinite": lambda row: [float("inf"), *row[1:]],
    "fraction": lambda row: [0.5, *row[1:]],
    "huge": lambda row: [10**400, *row[1:]],
    "large integer": lambda row: [2**63, *row[1:]],
    "boolean": lambda row: [True, *row[1:]],
    "complex": lambda row: [1 + 2j, *row[1:]],
    "decimal": lambda row: [decimal.Decimal("1.5"), *row[1:]],
    "bytes": lambda row: [b"x", *row[1:]],
    "date": lambda row: [datetime.datetime(2020, 1, 1), *row[1:]],
    "aware date": lambda row: [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), *row[1:]],
    "duration": lambda row: [datetime.timedelta(3), *row[1:]],
    "nested": lambda row: [[1, 2], *row[1:]],
    "NA": lambda row: [pd.NA, *row[1:]],
    "NaT": lambda row: [pd.NaT, *row[1:]],
    "raising": lambda row: [Raising(), *row[1:]],
    "shorter": lambda row: row[:-1],
    "longer": lambda row: [*row, 1],
    "empty": lambda row: [],
    "no row": lambda row: None,
    "text instead of a row": lambda row: "abc",
}

ODD_LABELS = {
    "text": "unknown",
    "digit": "1",
    "none": None,
    "nan": float("nan"),
    "NA": pd.NA,
    "fraction": 0.5,
    "float": 1.0,
    "boolean": True,
    "complex": 1 + 1j,
    "huge": 10**400,
    "list": [0, 1],
    "tuple": (0,),
    "date": datetime.datetime(2020, 1, 1),
    "raising": Raising(),
}


def numbers(n):
    """Rows of whole numbers."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 9, (n, 3)).tolist()


def mixed(n):
    """Rows of a number, a text and a category."""
    rng = np.random.default_rng(0)
    return [
        [int(a), str(b), str(c)]
        for a, b, c in zip(
            rng.integers(0, 9, n),
            rng.choice(["x", "y", "z"], n),
            rng.choice(["red", "blue"], n),
            strict=True,
        )
    ]


# --- members --------------------------------------------------------------------------------------


def picture(X):
    """Everything that a member can tell of its data, as text."""
    told = [
        type(X).__name__,
        str(getattr(X, "dtype", "")),
        str(X.shape if hasattr(X, "shape") else len(X)),
    ]
    if isinstance(X, pd.DataFrame):
        told += [X.columns.tolist(), X.dtypes.astype(str).tolist(), repr(X.index)]
        told.append([picture(X.iloc[:, j].to_numpy()) for j in range(X.shape[1])])
    elif isinstance(X, pl.DataFrame):
        told += [X.columns, X.dtypes, [repr(column.to_list()) for column in X.iter_columns()]]
    elif sp.issparse(X):
        told += [X.data.tolist(), X.indices.tolist(), X.indptr.tolist()]
    elif isinstance(X, np.ndarray):
        told += [[type(c).__name__ for c in X.ravel().tolist()], repr(X.ravel().tolist())]
    else:
        told.append(repr(list(X)))
    return repr(told)


def fraction(*told):
    """A number in [0, 1] that no two different texts share."""
    digest = hashlib.blake2b(repr(told).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


class Witness(ClassifierMixin, BaseEstimator):
    """Votes tell its training rows, the rows it is asked for, and the generators' numbers."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.marked_ = self.is_marked(X)
        self.seen_ = fraction(picture(X), picture(np.asarray(y)), self.surroundings())
        return self

    def predict_proba(self, X):
        p = fraction(self.seen_, picture(X), self.surroundings())
        return np.tile([p, 1 - p], (X.shape[0] if hasattr(X, "shape") else len(X), 1))

    def surroundings(self):
        state = np.random.rand(), random.random(), np.geterr(), os.environ.get("HOSTILE")
        return (*state, sklearn.get_config()["transform_output"], len(warnings.filters))

    @staticmethod
    def is_marked(X):
        """Whether the hostile record is among the rows."""
        return isinstance(X, np.ndarray) and X.dtype == float and bool((X == 13).any())


class WitnessOfTargets(RegressorMixin, Witness):
    def predict(self, X):
        return self.predict_proba(X)[:, 0]


class InPlace(Witness):
    """Writes into its arguments."""

    def _write(self, X):
        if isinstance(X, pd.DataFrame):
            X.iloc[:, 0] = self.seen_
        elif sp.issparse(X):
            X.data[:] = self.seen_
        elif isinstance(X, (np.ndarray, list)):
            X[0] = self.seen_

    def fit(self, X, y):
        super().fit(X, y)
        self._write(X)
        y[:] = y[0]
        return self

    def predict_proba(self, X):
        votes = super().predict_proba(X)
        self._write(X)
        return votes


class Drawer(Witness):
    """Draws from the global generators as often as its rows say."""

    def fit(self, X, y):
        super().fit(X, y)
        draws = 3 + 10 * self.marked_
        np.random.rand(draws)
        [random.random() for _ in range(draws)]
        return self

    def predict_proba(self, X):
        votes = super().predict_proba(X)
        np.random.rand(3 + 10 * self.marked_)
        return votes


class Meddler(Witness):
    """Leaves settings of the process changed."""

    def fit(self, X, y):
        super().fit(X, y)
        if self.marked_:
            np.seterr(all="raise")
            np.random.seed(7)
            random.seed(7)
            os.environ["HOSTILE"] = "marked"
            sklearn.set_config(transform_output="pandas")
            warnings.simplefilter("error")
            warnings.filterwarnings("error", "one more")
        return self

    def predict_proba(self, X):
        votes = super().predict_proba(X)
        if self.marked_:
            os.environ["HOSTILE"] = "voted"
            np.seterr(all="raise")
            sklearn.set_config(transform_output="polars")
        return votes


class Panicking(Witness):
    """Raises a BaseException that is not an Exception, at fit."""

    def fit(self, X, y):
        super().fit(X, y)
        if self.marked_:
            raise Panic("canary")
        return self


class PanickingVoter(Witness):
    """Raises a BaseException that is not an Exception, at predict."""

    def predict_proba(self, X):
        if self.marked_:
            raise Panic("canary")
        return super().predict_proba(X)


class Unpicklable(Witness):
    """Cannot be pickled once it has seen the record."""

    def __getstate__(self):
        if getattr(self, "marked_", False):
            raise Panic("canary")
        return super().__getstate__()


class Unloadable(Witness):
    """Cannot be loaded from its pickle once it has seen the record."""

    def __setstate__(self, state):
        if state.get("marked_", False):
            raise Panic("canary")
        super().__setstate__(state)


MEMBERS = [
    Witness,
    InPlace,
    Drawer,
    Meddler,
    Panicking,
    PanickingVoter,
    Unpicklable,
    Unloadable,
]
