"""Private tables, hostile records, members and mechanisms: the axes of the replay audit's matrix.

A *case* is a private table D in some container and a neighbour that differs in record 7 alone.
Everything that a hostile record holds can be told from the rest (:data:`SECRETS`), so a test can
look for it in warnings, messages and reprs.
"""

import random
import warnings
from datetime import datetime
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    Normalizer,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

N, N_PUBLIC, PLACE = 48, 15, 7
TEXT = "patient 4711"
NUMBER = 98765.4321
SECRETS = ("4711", "98765")
JOBS = ("baker", "clerk", "nurse")


class Cell:
    """A cell whose own code raises, and quotes itself."""

    def _raise(self, *args, **kwargs):
        raise ValueError(TEXT)

    __array__ = __float__ = __int__ = __str__ = __repr__ = __eq__ = __len__ = __iter__ = _raise
    __hash__ = __bool__ = __format__ = __index__ = __reduce_ex__ = __deepcopy__ = _raise


# Tables: two numbers and a code, or two numbers and a job; labels and targets beside them.


def rows_of(kind, n, seed=0):
    """Return n rows of a kind of table, as lists."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack([rng.normal(size=(n, 2)).round(3), rng.integers(0, 3, n)]).tolist()
    return rows if kind == "numbers" else [[u, v, JOBS[int(c)]] for u, v, c in rows]


def labels_of(rows):
    return [int(row[0] * row[1] > 0) for row in rows]  # hard to learn: every shard has its own view


#: name: (kind of table that it goes into, the record in the place of record 7)
ROWS = {
    "same": ("both", lambda row: row),
    "huge": ("both", lambda row: [1e308, -1e308, row[2]]),
    "large": ("both", lambda row: [NUMBER, -NUMBER, row[2]]),
    "infinite": ("both", lambda row: [np.inf, -np.inf, row[2]]),
    "nan": ("both", lambda row: [np.nan, row[1], row[2]]),
    "missing": ("both", lambda row: [None, row[1], None]),
    "text among numbers": ("both", lambda row: [TEXT, row[1], row[2]]),
    "new code": ("numbers", lambda row: [row[0], row[1], 47119.0]),
    "new category": ("mixed", lambda row: [row[0], row[1], TEXT]),
    "number among texts": ("mixed", lambda row: [row[0], row[1], NUMBER]),
    "complex": ("both", lambda row: [NUMBER + 1j, row[1], row[2]]),
    "integer without end": ("both", lambda row: [4711 * 10**400, row[1], row[2]]),
    "fraction": ("both", lambda row: [Fraction(4711, 3), row[1], row[2]]),
    "bytes": ("both", lambda row: [TEXT.encode(), row[1], row[2]]),
    "date": ("both", lambda row: [datetime(2020, 4, 7, 11), row[1], row[2]]),
    "list in a cell": ("both", lambda row: [[TEXT], row[1], row[2]]),
    "raising cell": ("both", lambda row: [Cell(), row[1], Cell()]),
    "shorter": ("both", lambda row: [TEXT]),
    "empty": ("both", lambda row: []),
    "longer": ("both", lambda row: [*row, TEXT]),
    "no row": ("both", lambda row: None),
    "a text for a row": ("both", lambda row: TEXT),
}

#: The label in the place of label 7.
LABELS = {
    "flipped label": 1,
    "text label": TEXT,
    "number as text": "1",
    "unknown label": 47110,
    "missing label": None,
    "nan label": np.nan,
    "complex label": NUMBER + 1j,
    "bytes label": TEXT.encode(),
    "list label": [TEXT],
    "raising label": Cell(),
    "endless label": 4711 * 10**400,
}

_RAGGED = {"shorter", "empty", "longer", "no row", "a text for a row"}
_NUMBERS = {"same", "huge", "large", "infinite", "nan", "new code"}


def _objects(rows):
    if len({len(row) if isinstance(row, list) else -1 for row in rows}) > 1:
        array = np.empty(len(rows), dtype=object)
        for i, row in enumerate(rows):
            array[i] = row
        return array
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            array[i, j] = cell
    return array


def _frame(rows):
    array = _objects(rows)
    columns = {}
    for j, name in enumerate("uvc"):
        cells = pd.Series(array[:, j].copy(), dtype=object)  # old pandas asks a list
        odd = any(isinstance(c, Cell) or (type(c) is int and c > 2**70) for c in array[:, j])
        columns[name] = cells if odd else cells.infer_objects()
    return pd.DataFrame(columns)


def _categories(rows):
    frame = _frame(rows)
    return frame.assign(c=frame["c"].astype("category"))


def _nullable(rows):
    with warnings.catch_warnings():  # pandas tries whether infinity is an integer
        warnings.simplefilter("ignore")
        return _frame(rows).convert_dtypes()


def _polars(rows):
    columns = []
    for name, cells in zip("uvc", map(list, zip(*rows, strict=True)), strict=True):
        kinds = {type(c) for c in cells if c is not None}
        dtype = pl.Float64 if kinds == {float} else pl.String if kinds == {str} else pl.Object
        columns.append(pl.Series(name, cells, dtype=dtype))
    return pl.DataFrame(columns)


def _polars_categories(rows):
    frame = _polars(rows)
    return frame.with_columns(pl.col("c").cast(pl.Categorical))


#: name: (rows -> container, the kinds of tables, the rows that it can hold)
CONTAINERS = {
    "array": (lambda rows: np.array(rows, dtype=float), ("numbers",), _NUMBERS),
    "float32": (lambda rows: np.array(rows, dtype=np.float32), ("numbers",), _NUMBERS - {"huge"}),
    "sparse": (lambda rows: sparse.csr_matrix(np.array(rows)), ("numbers",), _NUMBERS),
    "list": (lambda rows: rows, ("numbers", "mixed"), set(ROWS)),
    "tuple": (
        lambda rows: tuple(tuple(r) if isinstance(r, list) else r for r in rows),
        ("numbers", "mixed"),
        set(ROWS),
    ),
    "objects": (_objects, ("numbers", "mixed"), set(ROWS)),
    "frame": (_frame, ("numbers", "mixed"), set(ROWS) - _RAGGED),
    "categories": (
        _categories,
        ("mixed",),
        set(ROWS) - _RAGGED - {"raising cell", "number among texts"},
    ),
    "nullable": (_nullable, ("numbers", "mixed"), _NUMBERS | {"missing", "new category"}),
    "polars": (_polars, ("numbers", "mixed"), set(ROWS) - _RAGGED),
    "polars categories": (_polars_categories, ("mixed",), _NUMBERS | {"missing", "new category"}),
}


def hostile_rows(container, kind):
    """Return the names of the hostile rows that a container can hold."""
    _, kinds, holds = CONTAINERS[container]
    if kind not in kinds:
        return []
    return [name for name, (into, _) in ROWS.items() if into in (kind, "both") and name in holds]


def table(container, kind, hostile="same", label=None):
    """Return X (in the container) and y (a list); record 7 is hostile, everything else is not."""
    rows = rows_of(kind, N)
    y = labels_of(rows)
    rows[PLACE] = ROWS[hostile][1](rows[PLACE])
    y[PLACE] = 0 if label is None else LABELS[label]
    return CONTAINERS[container][0](rows), y


def public_rows(container, kind):
    return CONTAINERS[container][0](rows_of(kind, N_PUBLIC, seed=1))


def cells(data):
    """Return a picture of a table or list that changes with every cell and every dtype."""
    if sparse.issparse(data):
        return (data.dtype, data.toarray().tobytes())
    if isinstance(data, np.ndarray) and data.dtype != object:
        return (data.dtype, data.tobytes())
    if hasattr(data, "iloc"):
        return (tuple(map(str, data.dtypes)), cells(data.to_numpy(dtype=object).tolist()))
    if hasattr(data, "iter_columns"):
        return (tuple(map(str, data.dtypes)), cells([s.to_list() for s in data.iter_columns()]))
    if isinstance(data, np.ndarray):
        data = data.tolist()
    if isinstance(data, (list, tuple)):
        return (type(data), *map(cells, data))
    return (id(data),) if isinstance(data, Cell) else (type(data), repr(data))


# Members: of scikit-learn, and some that break the rules for teachers.


def _floats(X):
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)


class Loud(ClassifierMixin, BaseEstimator):
    """One large cell flips every vote: the bound is met to the last unit."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.loud_ = int((np.abs(_floats(X)) > 100).any())
        return self

    def predict_proba(self, X):
        return np.tile(np.eye(2)[self.loud_], (X.shape[0], 1))

    def predict(self, X):
        return np.full(X.shape[0], self.loud_)


class LoudRegressor(RegressorMixin, BaseEstimator):
    """The same, far outside of every output range."""

    def fit(self, X, y):
        self.loud_ = float(np.abs(_floats(X)).max())
        return self

    def predict(self, X):
        return np.full(X.shape[0], -1e9 if self.loud_ < 100 else 1e9)


class Typed(ClassifierMixin, BaseEstimator):
    """Votes by the dtype of its table."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        dtypes = X.dtypes if hasattr(X, "columns") else [X.dtype]
        self.text_ = int(any("float" not in str(dtype).lower() for dtype in dtypes))
        return self

    def predict(self, X):
        return np.full(X.shape[0], self.text_)


class WritesInPlace(DecisionTreeClassifier):
    """Writes its own private rows into everything that it is handed."""

    def fit(self, X, y, **kwargs):
        super().fit(X, y, **kwargs)
        self.mean_ = float(np.mean(X))
        self._scribble(X)
        y[:] = y[0]
        return self

    def predict_proba(self, X, check_input=True):
        votes = super().predict_proba(X, check_input)
        self._scribble(X)
        return votes

    def _scribble(self, X):
        if isinstance(X, np.ndarray):
            X += self.mean_
        elif hasattr(X, "iloc"):
            X.iloc[:, :] = self.mean_


class DrawsFromGlobals(ClassifierMixin, BaseEstimator):
    """Draws from the global generators as often as a large cell says."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        n = 1 + 5 * int((np.abs(_floats(X)) > 100).any())
        self.vote_ = [np.random.rand() + random.random() for _ in range(n)][-1] / 2
        return self

    def predict_proba(self, X):
        p = (self.vote_ + np.random.rand(X.shape[0]) + random.random()) / 3
        return np.column_stack([p, 1 - p])


class Panic(BaseException):
    """Of a kind that ``except Exception`` does not catch."""


class Panics(ClassifierMixin, BaseEstimator):
    """Raises, when fitted or asked, where a cell is large; the message quotes it."""

    def __init__(self, when="fit", error=Panic):
        self.when = when
        self.error = error

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        X = _floats(X)
        self.large_ = X[np.abs(X) > 100]
        self._raise("fit")
        return self

    def predict_proba(self, X):
        self._raise("predict")
        return np.full((X.shape[0], 2), 0.5)

    def _raise(self, when):
        if when == self.when and self.large_.size:
            warnings.warn(f"{self.large_}", UserWarning, stacklevel=1)
            raise self.error(f"{TEXT} has {self.large_}")


def in_place(step):
    return make_pipeline(step, LogisticRegression())


#: Transformers that overwrite their argument.
IN_PLACE = {
    "StandardScaler": StandardScaler(copy=False),
    "RobustScaler": RobustScaler(copy=False),
    "MaxAbsScaler": MaxAbsScaler(copy=False),
    "QuantileTransformer": QuantileTransformer(n_quantiles=5, copy=False),
    "Normalizer": Normalizer(copy=False),
    "SimpleImputer": SimpleImputer(copy=False),
}

_SPLITS = StratifiedKFold(2, shuffle=True)  # draws from NumPy's global generator

MEMBERS = {
    "logistic": LogisticRegression(),
    "tree": DecisionTreeClassifier(max_depth=3),
    "forest": RandomForestClassifier(2),
    "neighbours": KNeighborsClassifier(1),
    "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
    "splits": make_pipeline(
        StandardScaler(), CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), cv=_SPLITS)
    ),
    "loud": Loud(),
    "typed": Typed(),
    "writes": WritesInPlace(max_depth=3),
    "draws": DrawsFromGlobals(),
    "panics in fit": Panics("fit"),
    "panics when asked": Panics("predict"),
    **{f"{name}(copy=False)": in_place(step) for name, step in IN_PLACE.items()},
}

MIXED_MEMBERS = {
    "indicators": make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
    "dummies": make_pipeline(FunctionTransformer(pd.get_dummies), KNeighborsClassifier(1)),
    "text": make_pipeline(
        FunctionTransformer(lambda X: np.asarray(X, dtype=str)),
        OneHotEncoder(handle_unknown="ignore"),
        DecisionTreeClassifier(),
    ),
}

REGRESSORS = {
    "ridge": Ridge(),
    "regression tree": DecisionTreeRegressor(max_depth=3),
    "regression neighbours": KNeighborsRegressor(1),
    "scaled ridge": make_pipeline(StandardScaler(copy=False), Ridge()),
    "loud regressor": LoudRegressor(),
}
