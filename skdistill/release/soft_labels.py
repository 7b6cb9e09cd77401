"""Soft labels, row by row: for a teacher whose every answer one unit moves by a bounded amount."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._tables import take_rows
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.mechanism import (
    Labels,
    Mechanism,
    TransferSet,
    check_basis,
    check_temperature,
)
from skdistill.release.outputs import (
    before_last_step,
    class_outputs,
    in_chunks,
    value_outputs,
)
from skdistill.release.quantization import (
    Integers,
    Lattice,
    quantize_range,
    quantize_simplex,
    range_lattice,
    simplex_lattice,
    to_simplex,
    vote_lattice,
)
from skdistill.release.query import Queries, RowQuery
from skdistill.release.smoothing import MAX_BASIS, smoothed_labels, smoothing_bases, smooths

__all__ = ["SoftLabels", "Unprotected"]

Array = NDArray[np.float64]

# The diameter of the simplex, which any map into it satisfies.
_DIAMETER = math.sqrt(2) * (1 - 1e-12)


class SoftLabels(Mechanism):
    """Noise on the teacher's probabilities, or on a regressor's outputs.

    Parameters
    ----------
    noise : {"auto", "gaussian", "laplace"}, default="auto"
        The law of the noise; "auto" takes the one with less of it, and "laplace" for ``delta=0``.
    basis : {"auto", "pca", "graph"}, callable, ndarray or None, default="auto"
        Public functions on X in which the labels are smoothed after their release, at no cost:
        principal components, eigenvectors of the neighbour graph, the result of ``basis(X)``, or
        an array of shape (m, p). "auto" takes the better of the first two by the labels
        themselves. None: no smoothing.
    temperature : float, default=1.0
        Softens (above 1) or sharpens (below 1) the teacher's labels (Hinton, Vinyals and Dean
        2015). Only where the bound is the worst case, which any map into the simplex satisfies.
    sampler : {"exact", "diffprivlib"}, default="exact"
        Where noise comes from. "diffprivlib" calls that library's scalar mechanisms, whose
        floating-point noise leaks; it is there to compare with, and the statement says so.

    Notes
    -----
    Proof. Let q be the m integer rows on a data set and q' on a neighbour. A row moves by at most
    (Δ₁, Δ₂), the numbers of its :class:`~skdistill.release.quantization.Lattice`, so
    ‖q − q'‖₁ ≤ m·Δ₁ and ‖q − q'‖₂ ≤ √m·Δ₂, and the query says so. Slices of X change the order of
    the work only. Smoothing is post-processing.
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

    def check(self) -> None:
        """Raise for settings that cannot be."""
        super().check()
        check_basis(self.basis)
        check_temperature(self.temperature)

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
        noise = self._query(bound, asked, loss, None).noise_scale(loss)
        return smoothing_bases(self.basis, asked, noise / asked.width)

    def queries(
        self,
        bound: Any,
        asked: TransferSet,
        loss: PrivacyLoss,
        teacher: Any,
        bases: tuple[Array, ...],
    ) -> Queries[Labels]:
        """Yield one query of all rows."""
        query = self._query(bound, asked, loss, teacher)
        values = np.multiply((yield query), query.step)
        values += asked.bounds[0]
        values = values.reshape(asked.shape)
        noise = query.noise_scale(loss)
        if bases:
            values = smoothed_labels(values, bases, noise, asked.middle)
        return Labels(values, noise, np.ones(asked.n_rows, dtype=bool))

    def label_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the noise on a label, or the part of it that smoothing leaves."""
        noise = self._query(bound, asked, loss, None).noise_scale(loss)
        if not smooths(self.basis, asked, noise / asked.width):
            return noise
        return noise * math.sqrt(min(1.0, MAX_BASIS / asked.n_rows))

    def _query(self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any) -> RowQuery:
        lattice = row_lattice(bound, asked, loss)
        ask = partial(_integers, self, bound, asked, lattice, teacher)
        shape = (asked.n_rows, asked.n_outputs)
        settings = (self.temperature, asked.classes, asked.output_range, bound.l1, bound.l2)
        return RowQuery(
            "labels",
            ask,
            shape,
            lattice.l1,
            lattice.l2,
            asked.width / lattice.total,
            X=asked.X,
            settings=settings,
        )


class Unprotected(Mechanism):
    """The teacher's labels as they are: of a private teacher, or without a guarantee.

    Parameters
    ----------
    temperature : float, default=1.0
        As for :class:`SoftLabels`.
    """

    kind = "none"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def queries(
        self, bound: Any, asked: TransferSet, loss: Any, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Return the labels without a query."""
        values = in_chunks(
            lambda rows, n: _said(self, bound, asked, teacher, rows, n),
            asked.X,
            asked.shape,
            np.float64,
            asked.n_jobs,
        )
        return Labels(values, 0.0, np.ones(asked.n_rows, dtype=bool))
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
    mechanism: SoftLabels,
    bound: Any,
    asked: TransferSet,
    lattice: Lattice,
    teacher: Any,
    rows: NDArray[np.intp] | None,
) -> Integers:
    """Return the teacher's labels for some rows, on the lattice. Private."""

    def label(part: Any, n: int) -> Integers:
        said = _said(mechanism, bound, asked, teacher, part, n)
        if asked.classes is None:
            return quantize_range(said, *asked.bounds, lattice.total)[:, None]
        if bound.n_votes is None:
            return quantize_simplex(said, lattice.total)
        return quantize_simplex(said, bound.n_votes) * (lattice.total // bound.n_votes)

    X = asked.X if rows is None else take_rows(asked.X, rows)
    n_rows = asked.n_rows if rows is None else len(rows)
    return in_chunks(label, X, (n_rows, asked.n_outputs), np.int64, asked.n_jobs)


def _said(
    mechanism: Any, bound: Any, asked: TransferSet, teacher: Any, rows: Any, n_rows: int
) -> Array:
    """Return a teacher's labels: on the simplex, or a regressor's as they are. Private."""
    if asked.classes is None:
        return value_outputs(teacher, rows, n_rows)
    outputs = None
    if getattr(bound, "outputs", None) is not None:
        outputs = partial(bound_outputs, bound)
    said = class_outputs(teacher, rows, n_rows, asked.classes, outputs)
    return to_simplex(said, mechanism.temperature)


def bound_outputs(bound: Any, X: Any) -> Any:
    """Return the outputs that a certificate bounds, where they are its own. Private."""
    return bound.outputs(before_last_step(bound, X))
