"""Orthonormal bases of functions on the transfer set.

A release of labels for m rows is a function on these rows. Most functions a model computes are
smooth: a few coefficients in a good basis say almost all of it, and noise on a few coefficients is
far less than noise on m rows.

Everything here is free: a basis is computed from the transfer set X alone, which is public. No
teacher is called, and no argument of any function here depends on a private record. A basis is
therefore a constant of the mechanism that uses it, and it needs neither noise nor budget. For the
same reason all random numbers here are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.extmath import randomized_svd

__all__ = [
    "MAX_GRAPH_ROWS",
    "graph_eigenvectors",
    "principal_components",
    "public_bases",
    "public_features",
]

Array = NDArray[np.float64]

#: Largest transfer set for which the neighbour graph is offered: its time grows as m².
MAX_GRAPH_ROWS = 20_000

_NEIGHBOURS = 7
_GRAPH_DIMENSIONS = 50
# Weight that ties each row to the whole: a graph of many pieces hangs together.
_TELEPORT = 0.1
# Solved in full up to here, by Lanczos iterations above.
_DENSE = 500
_RESTARTS = 100
# Numbers whose ranges differ by no more than this factor are taken to share a unit.
_SAME_UNIT = 10.0
_CATEGORIES = 40
_RARE = 0.005
_SPARSE_DIMENSIONS = 100
# A direction whose deviation is below this part of the largest one is rounding error.
_NEGLIGIBLE = 1e-6
# A unit column closer than this to the span of earlier ones depends on them.
_DEPENDENT = 1e-7


def public_bases(
    X: Any, basis: str | Callable[[Any], Any] | Any = "auto", size: int = 64
) -> tuple[Array, ...]:
    """Compute orthonormal bases of functions on the transfer set; free, since X is public.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (m, d), or sequence of m texts
        Transfer rows.
    basis : {"auto", "pca", "graph"}, callable or array-like of shape (m, p), default="auto"
        "pca": :func:`principal_components`. "graph": :func:`graph_eigenvectors`, for at most
        ``MAX_GRAPH_ROWS`` rows. "auto": both, or the first alone where there are more rows.
        Else p functions on the rows of X, the most important first, or a callable X -> such an
        array. They must be public: derived from X, never from private records. Include a
        constant column unless the labels' mean is to be lost.
    size : int, default=64
        Largest number of functions in a basis.

    Returns
    -------
    bases : tuple of ndarray of shape (m, p), 1 <= p <= min(size, m)
        Orthonormal columns. The first q columns span what the first q given functions span, less
        those that are linear combinations of earlier ones.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, too many rows for a graph, or a user's array that is not finite and
        of m rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.transfer import public_bases
    >>> X = np.arange(12.0).reshape(6, 2) ** 2
    >>> [basis.shape for basis in public_bases(X)]
    [(6, 3), (6, 6)]
    >>> (line,) = public_bases(X, basis=lambda X: np.column_stack([np.ones(6), np.arange(6)]))
    >>> bool(np.abs(line.T @ line - np.eye(2)).max() < 1e-14)
    True
    """
    size = _check_size(size)
    if not isinstance(basis, str):
        return (_users_basis(X, basis, size),)
    if basis not in ("auto", "pca", "graph"):
        raise ValueError(
            f'basis={basis!r} is unknown. Use "auto", "pca", "graph", an array with one row per '
            "row of X, or a callable that makes one from X."
        )
    m = _count(X)
    if basis == "graph" and m > MAX_GRAPH_ROWS:
        raise ValueError(
            f'basis="graph" with {m} rows: the neighbour graph is offered up to {MAX_GRAPH_ROWS}. '
            'Use basis="pca", or fewer transfer rows.'
        )
    features = public_features(X)
    bases = []
    if basis != "graph":
        bases.append(principal_components(features, size))
    if basis == "graph" or (basis == "auto" and m <= MAX_GRAPH_ROWS):
        bases.append(graph_eigenvectors(features, size))
    return tuple(bases)


def public_features(X: Any) -> Array:
    """Describe the rows of whatever holds X by comparable numbers.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of shape (m, d, ...), or sequence of m texts
        pandas and polars frames may hold numbers, booleans, dates, categories and texts, with
        missing values. Axes after the second are flattened (images).

    Returns
    -------
    features : ndarray of shape (m, p)
        Finite; no constant column, so that p may be 0. By the kind of column:

        - numbers (an infinite one counts as missing): where the ranges of all are within a factor
          of 10, give or take a tenth of the columns on either side, they share a unit (pixels,
          principal components, scaled columns) and are divided by their root mean variance;
          otherwise each is standardised. Missing values become the mean, and an indicator tells.
        - booleans, categories, texts in a table: indicators of the 40 most frequent values; the
          others, and those in fewer than 0.5 % of the rows, share one. Missing is a value.
        - sparse matrices of more than 100 columns: their 100 leading singular directions.
        - a sequence of texts: the same of their tf-idf weights.

    Raises
    ------
    TypeError, ValueError
        For what holds neither a table nor texts; for no rows.
    """
    if _count(X) == 0:
        raise ValueError("The transfer set X is empty; a basis needs at least one row.")
    if hasattr(X, "tocsr"):
        return _informative(_sparse_features(X.tocsr()))
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        return _informative(_mixed_features([_frame_column(each) for each in _frame_columns(X)]))
    values = _array(X)
    if values.ndim == 1 and all(isinstance(v, str) or _missing(v) for v in values):
        return _informative(_text_features(values))
    if values.ndim < 2:
        raise TypeError(
            "No public basis can be made of these transfer rows: they are neither a table nor "
            "texts. Pass basis=an array with one row per row of X, or a callable that makes one "
            "(or, to a distiller, None: plain PATE)."
        )
    values = values.reshape(len(values), -1)
    if values.dtype.kind == "f":
        return _informative(_scaled(values))
    return _informative(_mixed_features([_object_column(column) for column in values.T]))


def principal_components(features: Any, size: int = 64) -> Array:
    """Compute the constant and the leading principal components, as functions on the rows.

    Parameters
    ----------
    features : array-like of shape (m, d)
        Finite numbers.
    size : int, default=64
        Largest number of functions.

    Returns
    -------
    basis : ndarray of shape (m, p), 1 <= p <= min(size, m, d + 1)
        Orthonormal columns: 1/sqrt(m), then the scores of the principal components by decreasing
        variance, each divided by its norm. The first q columns are the basis of size q.

    Notes
    -----
    Of all q-dimensional spaces of functions on the rows, that of the first q components holds
    most of the variance of the features (Eckart and Young), hence of linear functions of them.
    Above 1,000 rows and columns the solver is randomised, with a fixed seed.

    References
    ----------
    .. [1] Eckart, Young. "The approximation of one matrix by another of lower rank".
       Psychometrika 1, 1936.
    .. [2] Halko, Martinsson, Tropp. "Finding structure with randomness: probabilistic algorithms
       for constructing approximate matrix decompositions". SIAM Review 53, 2011.
    """
    size = _check_size(size)
    features = _check_matrix(features, "features")
    constant = np.ones((len(features), 1))
    return _orthonormal(np.hstack([constant, _scores(features, size - 1)]), size)


def graph_eigenvectors(features: Any, size: int = 64) -> Array:
    """Compute the smoothest functions on the graph of nearest neighbours.

    Parameters
    ----------
    features : array-like of shape (m, d)
        Finite numbers; distances are Euclidean, among the 50 leading principal components.
    size : int, default=64
        Largest number of functions.

    Returns
    -------
    basis : ndarray of shape (m, p), 1 <= p <= min(size, m)
        Orthonormal columns, the first q of which span the q smoothest functions; the first is
        constant.

    Notes
    -----
    W joins each distinct row to its 7 nearest, symmetrised, and D holds the degrees. Rows that
    are equal are one node, since they would otherwise fill each other's lists of neighbours. A
    function f on the nodes is smooth where f'(D - W)f / f'Df is small: the minimisers are
    D^(-1/2) v, with v the lowest eigenvectors of the symmetric normalised Laplacian
    I - D^(-1/2) W D^(-1/2) [1]_, [2]_. Classes that form clusters are such functions. Each node
    is also tied to all others by a total weight of 0.1, so that a graph of many pieces has no
    piece as its smoothest function [3]_.

    References
    ----------
    .. [1] Belkin, Niyogi. "Laplacian eigenmaps for dimensionality reduction and data
       representation". Neural Computation 15, 2003.
    .. [2] Belkin, Niyogi. "Semi-supervised learning on Riemannian manifolds". Machine
       Learning 56, 2004.
    .. [3] Zhang, Rohe. "Understanding regularized spectral clustering via graph conductance".
       NeurIPS 2018.
    """
    size = _check_size(size)
    nodes, node_of_row = _distinct_rows(_check_matrix(features, "features"))
    functions = _smooth_functions(_scores(nodes, _GRAPH_DIMENSIONS), size)
    return _orthonormal(functions[node_of_row], size)


def _smooth_functions(nodes: Array, size: int) -> Array:
    """Return the `size` smoothest functions on the neighbour graph of distinct nodes."""
    n = len(nodes)
    constant = np.ones((n, 1))
    if n == 1 or size == 1 or nodes.shape[1] == 0:
        return constant
    weights = kneighbors_graph(nodes, min(_NEIGHBOURS, n - 1))
    weights = (weights + weights.T) / 2
    root = 1 / np.sqrt(np.asarray(weights.sum(axis=1)).ravel() + _TELEPORT)

    def adjacency(v: Array) -> Array:
        scaled = (v.T * root).T
        tied = weights @ scaled + _TELEPORT * scaled.mean(axis=0)
        return (tied.T * root).T

    if n <= max(_DENSE, 2 * size):
        values, vectors = eigh(adjacency(np.eye(n)))
    else:
        operator = LinearOperator((n, n), matvec=adjacency, matmat=adjacency, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(n)
        try:
            values, vectors = eigsh(
                operator, k=size, which="LA", v0=start, tol=1e-8, maxiter=_RESTARTS
            )
        except ArpackNoConvergence as stopped:  # those found so far are a basis too
            values, vectors = stopped.eigenvalues, stopped.eigenvectors
    smooth = (vectors[:, np.argsort(-values)[:size]].T * root).T
    return np.hstack([constant, smooth])


def _distinct_rows(features: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return the distinct rows, in order of appearance, and which of them each row is."""
    seen: dict[bytes, int] = {}
    positive = features + 0.0  # -0.0 becomes 0.0
    node_of_row = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in positive])
    first = np.unique(node_of_row, return_index=True)[1]
    return features[first], node_of_row


def _scores(features: Array, size: int) -> Array:
    """Return the scores of at most `size` principal components of more than rounding error."""
    m, d = features.shape
    size = min(size, m - 1, d)
    features = features / max(np.abs(features).max(initial=0.0), np.finfo(float).tiny)
    features = features - features.mean(axis=0)
    if size < 1 or np.abs(features).max() <= 1e-13:
        return np.empty((m, 0))
    solver = "covariance_eigh" if d <= 1000 else "full" if m <= 1000 else "randomized"
    scores = _transformed(PCA(size, svd_solver=solver, random_state=0), features)
    deviation = scores.std(axis=0)
    return np.asarray(scores[:, deviation > _NEGLIGIBLE * deviation.max()])


def _orthonormal(columns: Array, size: int) -> Array:
    """Orthonormalise columns in their order, without those that depend on earlier ones.

    Gram-Schmidt with every projection repeated ("twice is enough", Giraud, Langou and Rozloznik
    2005); the factor Q of a QR decomposition, but for the signs and the dependent columns. (A
    Householder QR puts an arbitrary direction in a dependent column's place.)
    """
    basis = np.empty((len(columns), min(size, *columns.shape)), order="F")
    p = 0
    for column in columns.T:
        if p == basis.shape[1]:
            break
        peak = np.abs(column).max()
        if peak == 0:
            continue
        v = column / peak
        v /= np.linalg.norm(v)
        for _ in range(3):
            v = v - basis[:, :p] @ (basis[:, :p].T @ v)
            new = float(np.linalg.norm(v))
            if new <= _DEPENDENT:
                break
            v /= new
        else:
            basis[:, p] = v
            p += 1
    return np.ascontiguousarray(basis[:, :p])


def _users_basis(X: Any, basis: Any, size: int) -> Array:
    """Check and orthonormalise what the user gave."""
    columns = _check_matrix(basis(X) if callable(basis) else basis, "basis")
    m = _count(X)
    if len(columns) != m:
        raise ValueError(
            f"basis has shape {columns.shape}, but the transfer set has {m} rows. Give one row "
            "per row of X, one column per function."
        )
    found = _orthonormal(columns, size)
    if found.shape[1] == 0:
        raise ValueError("basis has no column other than zeros. A constant column is a basis.")
    return found


def _check_matrix(values: Any, name: str) -> Array:
    """Return a finite matrix with at least one row, or raise."""
    try:
        matrix = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
        if matrix.dtype.kind not in "biufO":
            raise TypeError
        matrix = matrix.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of real numbers.") from None
    if matrix.ndim != 2 or len(matrix) == 0:
        raise ValueError(
            f"{name} must be two-dimensional, one row per transfer row; got shape {matrix.shape}. "
            "Use reshape(-1, 1) for a single function."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} contains NaN or infinity. Functions on X must be finite.")
    return matrix


def _check_size(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
        raise ValueError(f"size={size!r} must be a positive integer: how many functions at most.")
    return int(size)


def _count(X: Any) -> int:
    """Return the number of rows."""
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape else len(X)


def _frame_columns(X: Any) -> list[Any]:
    """Return the columns of a pandas or polars frame."""
    if hasattr(X, "get_columns"):
        return list(X.get_columns())
    return [X.iloc[:, j] for j in range(X.shape[1])]


def _frame_column(column: Any) -> NDArray[Any]:
    """Return a column as floats with NaN, or as an object array of strings; imports no library."""
    dtype = column.dtype
    if hasattr(dtype, "is_numeric"):  # polars
        if dtype.is_temporal():
            column = column.to_physical()
        if column.dtype.is_numeric():
            return np.array(column.cast(float).to_numpy(), dtype=np.float64)
        return _object_column(column.to_list())
    kind = getattr(dtype, "kind", "O")
    if kind in "mM":
        column = (column - column.min()).dt.total_seconds()
    if kind in "iufmM":
        return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _object_column(column.astype(object))


def _array(X: Any) -> NDArray[Any]:
    """Return an array of floats where all is numeric, of objects otherwise."""
    try:
        values = np.asarray(X)
        if values.dtype.kind not in "biufmM":
            values = np.asarray(X, dtype=object)
    except ValueError:
        raise TypeError(
            "The transfer set is no table: its rows differ in length. Pass an array, a sparse "
            "matrix or a data frame."
        ) from None
    if values.dtype.kind == "O" and any(isinstance(v, complex) for v in values.ravel()):
        raise TypeError("The transfer set is no table of real numbers: it holds complex ones.")
    if values.dtype.kind in "mM":
        return np.where(np.isnat(values), np.nan, values.astype(np.int64))
    return values if values.dtype.kind == "O" else values.astype(np.float64)


def _object_column(values: Iterable[Any]) -> NDArray[Any]:
    """Return floats with NaN where all that is present are numbers, else strings, missing ""."""
    column = [None if _missing(v) else v for v in values]
    if all(
        v is None or (isinstance(v, Real | Decimal) and not isinstance(v, bool)) for v in column
    ):
        return np.array([np.nan if v is None else _number(v) for v in column])
    return np.array(["" if v is None else str(v) for v in column], dtype=object)


def _number(value: Any) -> float:
    """Return a real number as a float; NaN where it has none."""
    try:
        return float(value)
    except OverflowError:
        return np.nan


def _missing(value: Any) -> bool:
    """Whether a cell is None, NaN, NaT or pandas.NA."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError, ArithmeticError):
        return True


def _mixed_features(columns: list[NDArray[Any]]) -> Array:
    """Scale the numbers, make indicators of the rest."""
    numbers = [column for column in columns if column.dtype.kind == "f"]
    names = [column for column in columns if column.dtype.kind != "f"]
    parts = [_scaled(np.column_stack(numbers))] if numbers else []
    if names:
        table = np.column_stack(names)
        rare = 2 + int(_RARE * len(table))
        encoder = OneHotEncoder(
            max_categories=_CATEGORIES + 1,
            min_frequency=rare,
            drop="if_binary",
            sparse_output=False,
        )
        parts.append(_transformed(encoder, table))
    return np.hstack(parts)


def _transformed(transformer: Any, table: NDArray[Any]) -> Array:
    """Fit and transform, to an array whatever the user's ``transform_output`` is."""
    return np.asarray(transformer.set_output(transform="default").fit_transform(table))


def _scaled(table: Array) -> Array:
    """Centre and scale numbers (see :func:`public_features`); fill in and mark what is missing."""
    table = np.where(np.isfinite(table), table, np.nan)
    table = table[:, ~np.isnan(table).all(axis=0)]
    if table.shape[1] == 0:
        return table
    low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    half = high / 2 - low / 2  # the range may overflow, its half cannot
    varied = half > 4 * np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))
    half = np.where(varied, half, 1.0)
    unit = np.where(varied, (table - (low / 2 + high / 2)) / half, 0 * table)
    filled = _transformed(SimpleImputer(add_indicator=True), unit)
    numbers, indicators = filled[:, : len(half)][:, varied], filled[:, len(half) :]
    if varied.any():
        half = half[varied]
        numbers -= numbers.mean(axis=0)
        deviation = numbers.std(axis=0)
        smaller = np.quantile(half, 0.1, method="lower")
        larger = np.quantile(half, 0.9, method="higher")
        if larger / _SAME_UNIT <= smaller:
            half /= half.max()
            numbers *= half / np.sqrt(np.mean((half * deviation) ** 2))
        else:
            numbers /= deviation
    return np.hstack([numbers, indicators])


def _sparse_features(table: Any) -> Array:
    """Return a narrow sparse matrix in full, of a wide one the leading singular directions."""
    if table.shape[1] <= _SPARSE_DIMENSIONS:
        return _scaled(np.asarray(table.toarray(), dtype=np.float64))
    table = table.astype(np.float64)  # a copy
    table.data = np.where(np.isfinite(table.data), table.data, 0.0)
    table.data /= max(np.abs(table.data).max(initial=0.0), np.finfo(float).tiny)
    size = min(_SPARSE_DIMENSIONS, table.shape[0])
    left, values, _ = randomized_svd(table, size, random_state=0)
    return np.asarray(left * values)


def _text_features(texts: Iterable[Any]) -> Array:
    """Return the leading singular directions of the texts' tf-idf weights."""
    documents = ["" if _missing(text) else text for text in texts]
    try:
        return _sparse_features(TfidfVectorizer().fit_transform(documents).tocsr())
    except ValueError:  # not one word
        return np.empty((len(documents), 0))


def _informative(features: Array) -> Array:
    """Leave out constant columns."""
    spread = features.max(axis=0) - features.min(axis=0)
    return np.ascontiguousarray(features[:, spread > 1e-12 * np.abs(features).max(initial=0.0)])
