"""Orthonormal bases of functions on the transfer set.

A release of labels for m rows is a function on these rows. Most such functions are smooth: a few
coefficients in a good basis describe them almost completely, and noise on a few coefficients is far
less than noise on m rows. A basis is computed from the public transfer set X alone, so it is free,
a constant of the mechanism that uses it; and all random numbers here are seeded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigh, qr
from scipy.sparse.linalg import LinearOperator
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import check_array

from skdistill._numbers import check_whole
from skdistill._tables import n_rows, own_copy
from skdistill.transfer.encoding import (
    Array,
    array_of_numbers,
    public_features,
    share_unit,
    transformed,
)

MAX_GRAPH_ROWS = 20_000  #: Largest m for which the neighbour graph is offered: it takes m² time.

_NEIGHBOURS, _GRAPH_DIMENSIONS = 7, 50
_TELEPORT = 0.1  # weight that ties each row to all others, so that pieces of a graph are connected
_DENSE = 500  # nodes: solved in full up to here, in a Krylov space above
# The Krylov space: blocks of a quarter of the functions wanted, each six multiplications on. (For
# 5,000 to 20,000 images of MNIST it takes a fifth to a tenth of the time of Lanczos iterations.)
_BLOCK, _BLOCKS, _POWER = 16, 10, 6
_ROWS = 2**15  # that are centred at a time
_NEGLIGIBLE = 1e-6  # a direction of less than this part of the largest deviation is rounding error
_CACHED = 2**17  # cells of rows that are centred at a time where no scores are kept
_WIDEST = 1000  # columns whose covariance is decomposed
_MODERATE = 1e100  # numbers below it have squares
_NARROW = 1e-6  # least range of ordinary numbers, for their size
_DEPENDENT = 1e-7  # a unit column closer than this to the span of earlier ones depends on them


def public_bases(
    X: Any, basis: str | Callable[[Any], Any] | Any = "auto", size: int = 64, encoder: Any = None
) -> tuple[Array, ...]:
    """Compute orthonormal bases of functions on the transfer set; free, since X is public.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (m, d)
        Transfer rows.
    basis : {"auto", "pca", "graph"}, callable or array-like of shape (m, p), default="auto"
        "pca": :func:`principal_components`. "graph": :func:`graph_eigenvectors`, for at most
        ``MAX_GRAPH_ROWS`` rows. "auto": both, or the first alone where there are more rows.
        Else p functions on the rows of X, the most important first, or a callable X -> such an
        array: with a constant column, or the labels' mean is lost; never from private records.
    size : int, default=64
        Largest number of functions in a basis.
    encoder : transformer, default=None
        As for :func:`~skdistill.transfer.public_features`.

    Returns
    -------
    bases : tuple of ndarray of shape (m, p), 1 <= p <= min(size, m)
        Orthonormal columns. The first q columns span the first q given functions, without those
        that are linear combinations of earlier ones.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, too many rows for a graph, or an array that is not finite or of m rows.

    Notes
    -----
    The last bases are kept, for the next call with the same rows. A graph of 20,000 rows takes one
    to two seconds, most of it for the neighbours.

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
    size, m = check_whole("size", size), n_rows(X)
    if not isinstance(basis, str):
        return (_users_basis(X, basis, size),)
    if basis not in ("auto", "pca", "graph"):
        raise ValueError(
            f'basis={basis!r} is unknown. Use "auto", "pca", "graph", an array with one row per '
            "row of X, or a callable that makes one from X."
        )
    if basis == "graph" and m > MAX_GRAPH_ROWS:
        raise ValueError(
            f'basis="graph" with {m} rows: the neighbour graph is offered up to {MAX_GRAPH_ROWS}. '
            'Use basis="pca", or fewer transfer rows.'
        )
    if m > MAX_GRAPH_ROWS:
        return (principal_components(public_features(X, encoder), size),)
    features = public_features(X, encoder)
    return tuple(each.copy() for each in _remembered(features, basis, size))


# Releases often ask about the same rows, and the graph may take most of their time.
_last: tuple[Any, tuple[Array, ...]] = None, ()


def _remembered(features: Array, basis: str, size: int) -> tuple[Array, ...]:
    """Return the bases of these public features; once for the same features."""
    global _last
    content = hashlib.sha256(np.ascontiguousarray(features)).digest()
    key = content, features.shape, features.dtype, basis, size
    last_key, bases = _last
    if last_key != key:
        makers = {"pca": [principal_components], "graph": [graph_eigenvectors]}
        makers["auto"] = makers["pca"] + makers["graph"]
        bases = tuple(make(features, size) for make in makers[basis])
        _last = key, bases
    return bases


class Components(LinearOperator):
    """The functions of :func:`principal_components`, as affine functions of the rows.

    Products with it read the rows some at a time, so that the m x p numbers are never stored.
    """

    def __init__(self, table: Array, centre: Array, axes: Array) -> None:
        super().__init__(np.float64, (len(table), 1 + axes.shape[1]))
        self.table, self.centre, self.axes = table, centre, axes

    def _matmat(self, coefficients: Array) -> Array:
        inner = self.axes @ coefficients[1:]
        values = np.empty((self.shape[0], coefficients.shape[1]))
        for rows in _cached(self.table):
            np.matmul(self.table[rows] - self.centre, inner, out=values[rows])
        values += coefficients[0] / np.sqrt(len(values))
        return values

    def _rmatmat(self, values: Array) -> Array:
        blocks = _cached(self.table)
        inner = sum((self.table[rows] - self.centre).T @ values[rows] for rows in blocks)
        return np.vstack([values.sum(axis=0) / np.sqrt(len(values)), self.axes.T @ inner])

    def _rmatvec(self, values: Array) -> Array:  # old versions of SciPy make none of the other
        return np.asarray(self._rmatmat(values.reshape(-1, 1))[:, 0])


def smoothing_bases(X: Any, basis: Any = "auto", encoder: Any = None) -> tuple[Any, ...]:
    """Return the bases of :func:`public_bases` for products with them alone.

    Principal components of ordinary numbers are no arrays but :class:`Components`.
    """
    name = basis if isinstance(basis, str) else ""
    if name == "pca" or (name == "auto" and n_rows(X) > MAX_GRAPH_ROWS):
        if encoder is not None:
            X, encoder = clone(encoder).fit_transform(own_copy(X)), None
        table = None if hasattr(X, "tocsr") else array_of_numbers(X)
        found = None if table is None else _components(table.reshape(len(table), -1), 64)
        if found is not None:
            return (found,)
    return public_bases(X, basis, encoder=encoder)


@np.errstate(all="ignore")
def _components(table: Array, size: int) -> Components | None:
    """Return at most `size` components of a table, or None where a number is not an ordinary one.

    They come from products around the mean of the first rows. That is exact enough: it lies within
    √(m / n_first) deviations of the mean of all.
    """
    m, d = table.shape
    if not 0 < d <= _WIDEST:
        return None
    blocks = _cached(table)
    origin = table[blocks[0]].mean(axis=0)
    low = high = table[0]
    total, products = np.zeros(d), np.zeros((d, d))
    for rows in blocks:
        part = table[rows]
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
        part = part - origin
        total += part.sum(axis=0)
        products += part.T @ part
    half, largest = high / 2 - low / 2, np.maximum(np.abs(low), np.abs(high))
    wide = half >= np.maximum(_NARROW * largest, 1 / _MODERATE)
    if not ((largest < _MODERATE) & (wide | (half == 0))).all() or not wide.any():
        return None
    total /= m
    products -= m * np.outer(total, total)
    scale = wide.astype(np.float64)
    if not share_unit(half[wide]):
        scale[wide] /= np.sqrt(products.diagonal()[wide] / m)
    lengths, axes = eigh(products * np.outer(scale, scale))
    kept = np.flatnonzero(lengths > _NEGLIGIBLE**2 * lengths[-1])[::-1][: size - 1]
    axes = scale[:, None] * axes[:, kept] / np.sqrt(lengths[kept])
    return Components(table, origin + total, axes)


def _cached(table: Array) -> list[slice]:
    """Return slices of as many rows as fit in a cache."""
    step = max(1024, _CACHED // table.shape[1])
    return [slice(start, start + step) for start in range(0, len(table), step)]


def principal_components(features: Any, size: int = 64) -> Array:
    """Compute the constant and the leading principal components, as functions on the rows.

    Of all q-dimensional spaces of functions on the rows, that of the first q components holds most
    of the variance of the features (Eckart and Young 1936). Above 1,000 rows and columns the solver
    is randomised (Halko, Martinsson and Tropp, SIAM Review 2011), with a fixed seed.

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

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.transfer import principal_components
    >>> basis = principal_components(np.random.default_rng(0).normal(size=(50, 8)), size=4)
    >>> basis.shape, bool(np.allclose(basis.T @ basis, np.eye(4)))
    ((50, 4), True)
    """
    size, features = check_whole("size", size), _check_matrix(features, "features")
    columns = _scores(features, size - 1)
    del features  # of many rows: nobody else holds them
    return _orthonormal(columns, size)


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
    W joins each distinct row (equal ones would fill each other's lists) to its 7 nearest,
    symmetrised, and D holds the degrees. A function f on the nodes is smooth where f'(D - W)f /
    f'Df is small: the minimisers are D^(-1/2) v, with v the lowest eigenvectors of
    I - D^(-1/2) W D^(-1/2) [1]_, [2]_. Classes that form clusters are such functions. Each node is
    also tied to all others by a total weight of 0.1, so that a piece of the graph by itself is not
    the smoothest function [3]_. Above 500 nodes the eigenvectors are approximate: the best ones in
    a block Krylov space [4]_ that starts from a fixed seed.

    References
    ----------
    .. [1] Belkin, Niyogi. "Laplacian eigenmaps for dimensionality reduction and data
       representation". Neural Computation 15, 2003.
    .. [2] Belkin, Niyogi. "Semi-supervised learning on Riemannian manifolds". Machine
       Learning 56, 2004.
    .. [3] Zhang, Rohe. "Understanding regularized spectral clustering via graph conductance".
       NeurIPS 2018.
    .. [4] Musco, Musco. "Randomized block Krylov methods for stronger and faster approximate
       singular value decomposition". NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.transfer import graph_eigenvectors
    >>> clusters = np.repeat([[0.0], [100.0]], 20, axis=0)
    >>> basis = graph_eigenvectors(clusters + np.random.default_rng(0).normal(size=(40, 1)), size=2)
    >>> bool((np.sign(basis[:20, 1]) == -np.sign(basis[20:, 1])).all())  # two clusters
    True
    """
    size, features = check_whole("size", size), _check_matrix(features, "features")
    seen: dict[bytes, int] = {}
    rows = (row.tobytes() for row in features + 0.0)  # -0.0 becomes 0.0
    node_of_row = np.array([seen.setdefault(row, len(seen)) for row in rows])
    nodes = features[np.unique(node_of_row, return_index=True)[1]]
    functions = _smooth_functions(_scores(nodes, _GRAPH_DIMENSIONS)[:, 1:], size)
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
    weights = sparse.csr_array(weights.multiply(root).multiply(root[:, None]))
    tie = np.sqrt(_TELEPORT / n) * root
    if n <= max(_DENSE, 5 * size):
        vectors = eigh(weights.toarray() + np.outer(tie, tie))[1][:, : -size - 1 : -1]
    else:
        vectors = _krylov_vectors(weights.astype(np.float32), tie, 1 / root, size)
    return np.hstack([constant, (vectors.T * root).T])


def _krylov_vectors(weights: Any, tie: Array, first: Array, size: int) -> Array:
    """Return about the leading eigenvectors of weights + tie·tieᵀ after the known first one.

    They are the best ones in a block Krylov space (Musco and Musco 2015). Single precision is
    enough, since the caller orthonormalises the result.
    """

    def times(vectors: Any) -> Any:
        return weights @ vectors + np.outer(short_tie, short_tie @ vectors)

    n, block, short_tie = len(tie), max(_BLOCK, -(-size // 4)), tie.astype(np.float32)
    space = np.empty((n, 1 + _BLOCKS * block), np.float32, order="F")
    space[:, 0] = first / np.linalg.norm(first)
    found = np.random.default_rng(0).standard_normal((n, block), np.float32)
    for j in range(1, space.shape[1], block):
        for _ in range(_POWER):
            found = times(found)
        for _ in range(4):  # twice, and once more for columns that depend on earlier ones
            overlap = space[:, :j].T @ found
            found -= space[:, :j] @ overlap
            found = np.ascontiguousarray(np.linalg.qr(found)[0])
            if np.abs(overlap).max() < 1e-4:
                break
        space[:, j : j + block] = found
    others = np.ascontiguousarray(space[:, 1:])
    inner = others.T @ times(others)
    return np.asarray(others @ eigh(inner)[1][:, :-size:-1], dtype=np.float64)


def _scores(features: Array, size: int) -> Array:
    """Return ones, and the scores of at most `size` principal components above rounding error.

    Some rows at a time, so that no copy of the features is made.
    """
    m, d = features.shape
    size = min(size, m - 1, d)
    peak = max(features.max(initial=0.0), -features.min(initial=0.0), np.finfo(float).tiny)
    blocks = [slice(start, start + _ROWS) for start in range(0, m, _ROWS)]
    mean = sum((features[rows] / peak).sum(axis=0) for rows in blocks) / m

    def centred(rows: slice) -> Array:
        part = features[rows] / peak
        part -= mean
        return part

    if size < 1 or max(np.abs(centred(rows)).max() for rows in blocks) <= 1e-13:
        return np.ones((m, 1))
    if d <= _WIDEST:
        products = sum(part.T @ part for part in map(centred, blocks))
        axes = eigh(products)[1][:, ::-1][:, :size]
        scores = np.ones((m, 1 + size), order="F")
        for rows in blocks:
            scores[rows, 1:] = centred(rows) @ axes
    else:
        solver = "full" if m <= 1000 else "randomized"
        found = PCA(size, svd_solver=solver, random_state=0)
        scores = np.hstack([np.ones((m, 1)), transformed(found, centred(slice(None)))])
    deviation = np.sqrt(np.einsum("ij,ij->j", scores[:, 1:], scores[:, 1:]))
    kept = np.r_[True, deviation > _NEGLIGIBLE * deviation.max()]
    return scores if kept.all() else scores[:, kept]


def _orthonormal(columns: Array, size: int) -> Array:
    """Orthonormalise columns in their order, without those that depend on earlier ones.

    Columns in Fortran's order are overwritten.
    """
    varied = columns.any(axis=0)
    columns = np.asfortranarray(columns if varied.all() else columns[:, varied])
    for column in columns.T:  # by their peak first: a square may overflow
        column /= np.abs(column).max()
        column /= np.linalg.norm(column)
    while columns.shape[1]:
        first = columns[:, :size]
        basis, factor = qr(first, mode="economic", overwrite_a=True, check_finite=False)
        lengths = factor.diagonal()
        dependent = np.flatnonzero(np.abs(lengths) <= _DEPENDENT)
        if not len(dependent):
            basis *= np.sign(lengths)
            return np.asarray(basis)
        columns[:, :size] = basis @ factor
        columns = np.delete(columns, dependent[0], axis=1)
    return columns


def _users_basis(X: Any, basis: Any, size: int) -> Array:
    """Check and orthonormalise the user's functions."""
    columns = _check_matrix(basis(X) if callable(basis) else basis, "basis")
    if len(columns) != n_rows(X):
        raise ValueError(
            f"basis has shape {columns.shape}, but the transfer set has {n_rows(X)} rows. Give one "
            "row per row of X, one column per function."
        )
    found = _orthonormal(np.array(columns, order="F"), size)
    if found.shape[1] == 0:
        raise ValueError("basis has no column other than zeros. A constant column is a basis.")
    return found


def _check_matrix(values: Any, name: str) -> Array:
    """Return a finite matrix with at least one row, or raise."""
    values = values.toarray() if hasattr(values, "toarray") else values
    return np.asarray(check_array(values, dtype=np.float64, ensure_min_features=0, input_name=name))
