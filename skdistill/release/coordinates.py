"""Coordinates of gradient rounds: public rows' principal directions, about standard.

Nothing here is private: public rows, and answers that got noise, decide the coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdistill.release.private_sums import IntegerMap, Lattice, PrivateRows

Array = NDArray[np.float64]

# Directions of public rows whose variance is less than this part of the largest are left out.
_NO_VARIANCE = 1e-6
# Larger cells of public rows are moved here, as a teacher's are: no sum of squares overflows.
_LARGEST = 1e100
# Widest covariance that is decomposed; wider public rows go by their own number.
_WIDEST = 4096


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates in which the private rows are about standard; public.

    Parameters
    ----------
    lattice : Lattice
        Of the private cells.
    matrix : ndarray of shape (d + 1, q)
        Takes centred rows with a constant 1 at the end to coordinates.
    rows : ndarray of shape (m, q)
        Public rows in these coordinates, moved to where the private ones are.
    start : ndarray of shape (q, q)
        Takes weights back to the public rows' principal directions, in units of their mean
        deviation, and the constant.
    rest : ndarray of shape (q,)
        Second moment of the private rows, by coordinate, that the public rows lack.
    length2 : float
        Expected squared length of a private row.
    """

    lattice: Lattice
    matrix: Array
    rows: Array
    start: Array
    rest: Array
    length2: float

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return int(self.matrix.shape[1])

    def integers(self) -> IntegerMap:
        """Return the map in integers."""
        return IntegerMap(self.lattice, self.matrix)

    def first(self, n_directions: int) -> Frame:
        """Return the frame of the first directions, and the constant."""
        if n_directions + 1 >= self.size:
            return self
        kept = np.append(np.arange(n_directions), self.size - 1)
        rows = self.rows[:, kept]
        return replace(
            self,
            matrix=self.matrix[:, kept],
            rows=rows,
            start=self.start[np.ix_(kept, kept)],
            rest=self.rest[kept],
            length2=float((rows**2).sum()) / len(rows),
        )

    def moved(self, shift: Array) -> Frame:
        """Return the frame whose origin is `shift`, the private mean."""
        matrix = self.matrix.copy()
        matrix[-1, :-1] -= shift[:-1]
        return replace(self, matrix=matrix)

    def scaled(self, axes: Array, moment: Array, length2: float) -> Frame:
        """Return the frame along orthonormal `axes`, in which the second moment is `moment`.

        Coordinates are divided by its root where it is above 1.
        """
        change, rows = axes / np.sqrt(np.maximum(moment, 1.0)), self.rows @ axes
        return replace(
            self,
            matrix=self.matrix @ change,
            rows=rows,
            start=self.start @ change,
            rest=np.maximum(np.minimum(moment, 1.0) - (rows**2).mean(axis=0), 0.0),
            length2=length2,
        )


def public_frame(rows: PrivateRows, public: Any, most: int, mix: float) -> Frame:
    """Return at most so many whitened principal directions of public rows.

    `mix` is the part of their covariance that is replaced by its mean eigenvalue. Of the private
    rows the number of columns is read, and whether they are sparse: public.
    """
    if public.ndim != 2 or public.shape[1] != rows.width or not public.shape[0]:
        raise ValueError(
            f"The public rows have the shape {public.shape}; they need at least one row, and the "
            f"{rows.width} columns of the private rows."
        )

    if sp.issparse(public):
        public = sp.csr_matrix(public).minimum(_LARGEST).maximum(-_LARGEST)
    else:
        public = np.clip(public, -_LARGEST, _LARGEST)
    mean, spread = _mean_and_spread(public)
    lattice = Lattice.of(mean, spread, centred=not sp.issparse(public) and not rows.is_sparse)
    values, axes = _principal(public, mean, most)
    mixed = (1 - mix) * values + mix * values.mean() if len(values) else values
    d, q = len(mean), len(values) + 1
    matrix = np.zeros((d + 1, q))
    matrix[:d, :-1] = axes / np.sqrt(mixed)
    matrix[d, -1] = 1.0
    coordinates = np.asarray(public @ matrix[:d]) - mean @ matrix[:d]
    coordinates[:, -1] = 1.0
    matrix[d, :-1] = (lattice.centre - mean) @ matrix[:d, :-1]
    start = np.diag(np.sqrt(np.append(values.mean() / mixed, 1.0)) if q > 1 else np.ones(1))
    length2 = float((coordinates**2).sum()) / len(coordinates)
    rest = np.append(1 - values / mixed, 0.0)
    return Frame(lattice, matrix, coordinates, start, rest, length2)


def _mean_and_spread(public: Any) -> tuple[Array, Array]:
    if not sp.issparse(public):
        return public.mean(axis=0), public.std(axis=0)
    mean = np.asarray(public.mean(axis=0)).ravel()
    square = np.asarray(public.multiply(public).mean(axis=0)).ravel()
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _principal(public: Any, mean: Array, most: int) -> tuple[Array, Array]:
    """Return the largest variances, falling, and their directions as columns."""
    m, d = public.shape
    if d <= _WIDEST:
        gram = np.asarray(
            (public.T @ public).todense() if sp.issparse(public) else public.T @ public
        )
        values, axes = np.linalg.eigh(gram / m - np.outer(mean, mean))
    else:  # the same from the rows' inner products
        some = public[:: max(1, math.ceil(m / _WIDEST))]
        product = some @ some.T
        product = np.asarray(product.todense() if sp.issparse(product) else product)
        level = np.asarray(some @ mean)
        values, left = np.linalg.eigh(product - level[:, None] - level + mean @ mean)
        values = np.maximum(values, 0)
        axes = np.asarray(some.T @ left) - np.outer(mean, left.sum(axis=0))
        axes, values = axes / np.sqrt(np.maximum(values, 1e-300)), values / some.shape[0]
    order = np.argsort(-values)[:most]
    order = order[values[order] > _NO_VARIANCE * max(float(values.max()), 1e-300)]
    return values[order], axes[:, order]
