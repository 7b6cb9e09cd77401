"""Soft labels, row by row: for a teacher whose every answer one unit moves by a bounded amount."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.mechanism import Labels, Mechanism, TransferSet
from skdistill.release.outputs import before_last_step, class_outputs, in_chunks, value_outputs
from skdistill.release.quantization import (
    Lattice,
    quantize_range,
    quantize_simplex,
    range_lattice,
    simplex_lattice,
    to_simplex,
    vote_lattice,
)
from skdistill.release.query import Array, Integers, Queries, RowQuery
from skdistill.release.smoothing import MAX_BASIS, row_labels, smooths

_GRAPH_ROWS = 2_000  # a neighbour graph of more takes longer than most teachers take to answer
_DIAMETER = math.sqrt(2) * (1 - 1e-12)  # of the simplex, which any map into it satisfies


class SoftLabels(Mechanism):
    """Noise on the teacher's probabilities, or on a regressor's outputs.

    Parameters
    ----------
    noise : {"auto", "gaussian", "laplace"}, default="auto"
        The law of the noise; "auto" takes the one with less of it, and "laplace" for ``delta=0``.
    basis : {"auto", "pca", "graph"}, callable, ndarray or None, default="auto"
        Public functions on X in which the labels are smoothed after their release, at no cost:
        principal components, eigenvectors of the neighbour graph, the result of ``basis(X)``, or
        an array of shape (m, p). "auto" takes the better of the first two by the labels themselves
        (of more than 2,000 rows the first), where that can help. None: no smoothing.
    temperature : float, default=1.0
        Softens (above 1) or sharpens (below 1) the teacher's labels (Hinton, Vinyals and Dean
        2015). Only where the bound is the worst case, which any map into the simplex satisfies.
    sampler : {"exact", "diffprivlib"}, default="exact"
        Where noise comes from. "diffprivlib" calls that library's scalar mechanisms, whose
        floating-point noise leaks; it is there to compare with, and the statement says so.

    Notes
    -----
    Proof. Let q be the m integer rows on a data set and q' on a neighbour. A row moves by at most
    (Δ₁, Δ₂), the numbers of its ``Lattice`` (`release/quantization.py`), so
    ‖q − q'‖₁ ≤ m·Δ₁ and ‖q − q'‖₂ ≤ √m·Δ₂. Smoothing is post-processing.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skdistill import PrivateDistiller, SoftLabels
    >>> X, y = make_classification(3_000, random_state=0)
    >>> teacher = KNeighborsClassifier(500).fit(X[:2_000], y[:2_000])
    >>> smooth = SoftLabels("gaussian", basis="pca")
    >>> distiller = PrivateDistiller(teacher, mechanism=smooth, max_queries=100)
    >>> distiller.preview(X[2_000:]).mechanism
    'gaussian'
    """

    kind = "rows"

    def __init__(
        self,
        noise: str = "auto",
        *,
        basis: Any = "auto",
        temperature: float = 1.0,
        sampler: str = "exact",
    ) -> None:
        self.noise = noise
        self.basis = basis
        self.temperature = temperature
        self.sampler = sampler

    def suit(self, bound: Any, asked: TransferSet) -> None:
        """Raise where tempering could stretch a small change without limit."""
        if self.temperature != 1 and asked.classes is not None and bound.l2 < _DIAMETER:
            raise ValueError(
                f"temperature={self.temperature!r} with the certificate {bound.name!r}: its bound "
                "holds for the teacher's own probabilities, and tempering can stretch a small "
                "change without limit. Use temperature=1."
            )

    def price(self, bound: Any, asked: TransferSet, epsilon: float, delta: float) -> PrivacyLoss:
        """Take the law with less noise: both standard deviations are public."""
        if self.noise != "auto" or delta == 0:
            return super().price(bound, asked, epsilon, delta)
        losses = PrivacyLoss.laplace(epsilon), PrivacyLoss.gaussian(epsilon, delta)
        return min(losses, key=lambda loss: self._query(bound, asked, loss, None).noise_scale(loss))

    def prepare(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> tuple[Array, ...]:
        """Compute the public bases in which the labels are smoothed."""
        noise = self.row_noise(bound, asked, loss)
        if not smooths(self.basis, asked, noise / asked.width):
            return ()
        quick = isinstance(self.basis, str) and self.basis == "auto" and asked.n_rows > _GRAPH_ROWS
        return asked.bases("pca" if quick else self.basis, stored=False)

    def queries(
        self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Yield one query of all rows."""
        return row_labels(self._query(bound, asked, loss, teacher), loss, asked, prepared)

    def label_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the noise on a label, or the part of it that smoothing leaves."""
        noise = self.row_noise(bound, asked, loss)
        if not smooths(self.basis, asked, noise / asked.width):
            return noise
        return noise * math.sqrt(min(1.0, MAX_BASIS / asked.n_rows))

    def row_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the noise on a row before it is smoothed."""
        return self._query(bound, asked, loss, None).noise_scale(loss)

    def _query(self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any) -> RowQuery:
        lattice, shape = row_lattice(bound, asked, loss), (asked.n_rows, asked.n_outputs)
        measure = partial(_integers, self.temperature, bound, asked, lattice, teacher)
        moved, step = (lattice.l1, lattice.l2), asked.width / lattice.total
        settings = (self.temperature, asked.classes, asked.output_range, bound.l1, bound.l2)
        return RowQuery("labels", measure, shape, *moved, step, X=asked.X, settings=settings)


class Unprotected(Mechanism):
    """The teacher's labels as they are: of a private teacher, or without a guarantee."""

    kind = "none"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def queries(
        self, bound: Any, asked: TransferSet, loss: Any, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Return the labels without a query."""
        ask = partial(_said, self.temperature, bound, asked, teacher)
        return asked.labelled(in_chunks(ask, asked.X, asked.shape, np.float64, asked.n_jobs))
        yield  # a generator, like the others

    def label_noise(self, bound: Any, asked: TransferSet, loss: Any) -> float:
        """Return 0: there is no noise."""
        return 0.0


def row_lattice(bound: Any, asked: TransferSet, loss: PrivacyLoss) -> Lattice:
    """Choose the integers for a bound on every row, from public numbers."""
    l1, l2 = bound.l1 / asked.width, bound.l2 / asked.width
    moved = asked.n_rows * l1 if loss.kind == "laplace" else np.sqrt(asked.n_rows) * l2
    noise = loss.scale(float(moved))
    if asked.classes is None:
        return range_lattice(min(l1, 1.0), noise)
    if bound.n_votes is not None:
        return vote_lattice(bound.vote_bounds, bound.n_votes, noise)
    return simplex_lattice(l1, l2, len(asked.classes), noise)


def _integers(
    temperature: float, bound: Any, asked: TransferSet, lattice: Lattice, teacher: Any, rows: Any
) -> Integers:
    """Return the teacher's labels for some rows, on the lattice. Private."""

    def label(part: Any, n: int) -> Integers:
        said = _said(temperature, bound, asked, teacher, part, n)
        if asked.classes is None:
            return quantize_range(said, *asked.bounds, lattice.total)[:, None]
        if bound.n_votes is None:
            return quantize_simplex(said, lattice.total)
        return quantize_simplex(said, bound.n_votes) * (lattice.total // bound.n_votes)

    X, n_rows = asked.part(rows)
    return in_chunks(label, X, (n_rows, asked.n_outputs), np.int64, asked.n_jobs)


def _said(
    temperature: float, bound: Any, asked: TransferSet, teacher: Any, rows: Any, n_rows: int
) -> Array:
    """Return a teacher's labels: on the simplex, or a regressor's as they are. Private."""
    if asked.classes is None:
        return value_outputs(teacher, rows, n_rows)
    own = getattr(bound, "outputs", None)
    outputs = None if own is None else lambda X: own(before_last_step(bound, X))
    return to_simplex(class_outputs(teacher, rows, n_rows, asked.classes, outputs), temperature)
