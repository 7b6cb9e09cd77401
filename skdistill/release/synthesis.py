"""A private table's columns and how they depend on each other, and synthetic rows from these.

The rows follow a Gaussian copula: every column has a normal variable behind it, and the cell of a
row is the quantile of the column's distribution at that variable (Li, Xiong and Jiang 2014,
"Differentially private synthesization of multi-dimensional data using copula functions", EDBT). All
but :func:`measure_table` is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.special import ndtri

from skdistill._numbers import check_whole
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.marginals import group_numbers, measure_marginals
from skdistill.release.noise import WANTED_SCALE
from skdistill.release.private_sums import IntegerMap, Lattice, PrivateRows
from skdistill.release.query import (
    Array,
    Integers,
    Queries,
    Query,
    at_share,
    noise_deviation,
    part_of,
)
from skdistill.schema import Column, Schema

FEWEST_BINS, N_BINS = 64, 300  #: Bins of a number whose column has no edges of its own.
MARGINALS_PART = Fraction(7, 10)  #: Of the price, for counts of several columns; the moment's rest.
# The following were chosen on private rows held out of Adult, California housing and credit
# default, by the number of records times μ. There is one bin for so many of these units:
_PER_BIN = 8
# Rows are shortened to this part of the square length that the counts say they have on average, and
# to the second one where there are few units.
_RADIUS2, _SHORT_RADIUS2, _FEW_UNITS = 1.2, 0.6, 1000
_MOST_ENLARGED = 1.6
# Chosen on private rows held out of Adult, California housing and credit default.
_CLEAR = 2.0  # a difference of fewer standard errors between two halves is taken for noise
_COUNTED = 1.5  # a category's count of fewer standard errors is taken for zero
_EXTREME = 0.002  # ranks nearer to 0 or 1 have the normal score of this one, 2.88
_LARGEST_CORRELATION = 0.97
_SMALLEST_VARIANCE = 0.02  # of a direction of the normal variables
_CONSTANT = 0.995  # a column whose commonest cell has this share depends on no other column


def bins_for(n_units: int, loss: PrivacyLoss | None) -> int:
    """Return the number of bins of a number for :func:`measure_table`, from public numbers."""
    return int(np.clip(_signal(n_units, loss) / _PER_BIN, FEWEST_BINS, N_BINS))


def measure_table(
    schema: Schema,
    codes: Integers,
    loss: PrivacyLoss | None,
    n_bins: int = N_BINS,
    *,
    groups: Any = None,
) -> Queries[SyntheticTable]:
    """Release counts of every column, then the mean products of the columns' normal scores.

    `codes`, of shape (n, d), are private: ``schema.encode(X, n_bins)``. A price of None is no
    noise.

    Proof. The counts cost their share of the loss, by the proof of
    :func:`~skdistill.release.marginals.measure_marginals`. Given them, a row's normal scores are a
    function of its own codes, and their products are summed with the bound of
    :meth:`~skdistill.release.private_sums.PrivateRows.moments`.
    """
    d = len(schema.columns)
    share = MARGINALS_PART if d > 1 else Fraction(1)
    counted = measure_marginals(codes, schema.n_codes(n_bins), part_of(loss, share), groups=groups)
    noisy = yield from at_share(counted, share)
    counts = zip(noisy.counts, schema.columns, strict=True)
    shares = tuple(denoised(each, noisy.noise, column) for each, column in counts)
    orders = tuple(
        np.arange(len(p)) if column.kind == "number" else np.argsort(-p, kind="stable")
        for column, p in zip(schema.columns, shares, strict=True)
    )
    correlation = np.eye(d)
    if d > 1:
        found = [normal_scores(p, order) for p, order in zip(shares, orders, strict=True)]
        length2 = sum(float((p * z**2).sum()) for p, (z, _) in zip(shares, found, strict=True))
        scores = np.column_stack([z[codes[:, j]] for j, (z, _) in enumerate(found)])
        rows = _as_rows(scores, groups)
        frame = IntegerMap(Lattice(np.zeros(d), np.full(d, 2.0**-11)), np.eye(d + 1, d))
        few = _signal(rows.n_units, loss) < _FEW_UNITS
        radius2 = _SHORT_RADIUS2 if few else _RADIUS2
        radius = float(np.sqrt(radius2 * max(length2, 1e-3)))
        part = part_of(loss, 1 - share)
        finest = np.inf if part is None else WANTED_SCALE / part.scale(2.0 * d)
        total, n = rows.moments(frame, radius, "products", rows.n_units, finest)
        moment = (yield Query(total.values, total.l1, total.l2, 1 - share)) * total.unit / n
        noise = 0.0 if part is None else noise_deviation(part, total.l1, total.l2) * total.unit / n
        # Rows were shortened: the known sum of the variances says by how much, on average.
        kept = float(np.clip(length2 / max(float(np.trace(moment)), 1e-300), 1, _MOST_ENLARGED))
        covariances = np.array([c for _, c in found])
        correlation = correlations(kept * moment, kept * noise, covariances, shares)
    return SyntheticTable(schema, n_bins, shares, orders, correlation)


def _signal(n_units: int, loss: PrivacyLoss | None) -> float:
    """Return the number of records times μ (or ε, of Laplace noise)."""
    return np.inf if loss is None else n_units / loss.scale(1.0)


def _as_rows(scores: Any, groups: Any) -> PrivateRows:
    """Return rows to be summed over; their targets are not used."""
    numbers, unused = None if groups is None else group_numbers(groups), np.zeros(len(scores), int)
    return PrivateRows.of(np.ascontiguousarray(scores), unused, 2, numbers)


def denoised(counts: Array, noise: float, column: Column) -> Array:
    """Return the shares of a column's codes from their counts with noise of the deviation `noise`.

    The bins of a number are merged as far as nothing else can be told from noise: from all bins
    together downwards, two halves get different densities only where their counts differ by more
    than two standard errors (Haar wavelets with a threshold: Donoho and Johnstone 1994, "Ideal
    spatial adaptation by wavelet shrinkage"). Other counts are cut at 1.5 standard errors.
    """
    kept = np.where(counts > _COUNTED * noise, counts, 0.0)
    if column.kind == "number":
        n_bins = len(counts) - column.missing
        kept[:n_bins] = _smoothed(counts[:n_bins], noise)
    total = kept.sum()
    return kept / total if total > 0 else np.full(len(counts), 1 / len(counts))


def _smoothed(counts: Array, noise: float) -> Array:
    """Return noisy counts of neighbouring cells, equal where they do not clearly differ."""
    size = 1 << math.ceil(math.log2(max(len(counts), 1)))
    levels = [np.pad(counts, (0, size - len(counts)))]
    n_cells = [np.pad(np.ones(len(counts)), (0, size - len(counts)))]
    while len(levels[-1]) > 1:
        levels.append(levels[-1].reshape(-1, 2).sum(axis=1))
        n_cells.append(n_cells[-1].reshape(-1, 2).sum(axis=1))
    mass = np.maximum(levels[-1], 0.0)
    for found, cells in zip(levels[-2::-1], n_cells[-2::-1], strict=True):
        (left, right), (a, b) = found.reshape(-1, 2).T, cells.reshape(-1, 2).T
        both = np.maximum(a + b, 1)
        even, apart = mass * a / both, (left * b - right * a) / both
        clear = np.abs(apart) > _CLEAR * noise * np.sqrt(a * b / both)
        part = np.clip(np.where(clear, even + apart, even), 0, mass)
        mass = np.column_stack([part, mass - part]).ravel()
    return np.asarray(mass[: len(counts)])


def normal_scores(shares: Array, order: Integers) -> tuple[Array, float]:
    """Return the normal score of each code's mid-rank, and its covariance with the normal variable.

    `order` holds the codes in the order of that variable. Scores are at most 2.88 in absolute
    value; the covariance is their first coefficient in Hermite polynomials.
    """
    p = shares[order]
    ends = np.concatenate([[0.0], np.cumsum(p)])
    scores = np.empty(len(p))
    scores[order] = ndtri(np.clip(ends[:-1] + p / 2, _EXTREME, 1 - _EXTREME))
    limits = ndtri(np.clip(ends, 1e-12, 1 - 1e-12))
    density = np.exp(-(limits**2) / 2) / math.sqrt(2 * math.pi)
    covariance = float((scores[order] * (density[:-1] - density[1:])).sum())
    return scores, max(covariance, 0.05)


def correlations(moment: Array, noise: float, covariances: Array, shares: Sequence[Array]) -> Array:
    """Return the correlations of the normal variables from a noisy moment of the scores.

    `moment` has the mean products of the columns' normal scores; `covariances` are of
    :func:`normal_scores`. Entries are shrunk by the deviation of their noise, and eigenvalues are
    kept positive.
    """
    off = (moment + moment.T) / 2
    off = np.sign(off) * np.maximum(np.abs(off) - noise / math.sqrt(2), 0)
    found = off / np.outer(covariances, covariances)
    found = np.clip(found, -_LARGEST_CORRELATION, _LARGEST_CORRELATION)
    constant = np.array([each.max() > _CONSTANT for each in shares])
    found[constant] = found[:, constant] = 0
    np.fill_diagonal(found, 1)
    values, axes = np.linalg.eigh(found)
    found = (axes * np.maximum(values, _SMALLEST_VARIANCE)) @ axes.T
    size = np.sqrt(np.diag(found))
    return np.asarray(found / np.outer(size, size))


@dataclass(frozen=True, eq=False)
class SyntheticTable:
    """The law of synthetic rows, as it was released; public.

    Parameters
    ----------
    schema : Schema
        The columns.
    n_bins : int
        Most bins of a number.
    shares, orders : tuple of ndarray
        Shares of the codes of every column, and the codes in the order of its normal variable.
    correlation : ndarray of shape (d, d)
        Of the normal variables.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.transfer import Schema, SyntheticTable
    >>> half = np.array([0.5, 0.5])
    >>> schema = Schema({"town": ["Lom", "Oslo"]})
    >>> table = SyntheticTable(schema, 2, (half,), (np.array([0, 1]),), np.eye(1))
    >>> sorted(table.rows(4, np.random.default_rng(0))[:, 0].tolist())
    ['Lom', 'Lom', 'Oslo', 'Oslo']
    """

    schema: Schema
    n_bins: int
    shares: tuple[Array, ...]
    orders: tuple[Integers, ...]
    correlation: Array

    def rows(
        self, n_rows: int, rng: np.random.Generator, kind: str = "array", *, snapped: bool = False
    ) -> Any:
        """Draw rows of the schema's dtypes.

        Parameters
        ----------
        n_rows : int
            How many.
        rng : numpy.random.Generator
            Public randomness.
        kind : {"array", "pandas", "polars"}, default="array"
            Container of the rows.
        snapped : bool, default=False
            Whether numbers are at the middle of their bins, and not anywhere in them.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, d)
            Cells inside the schema.
        """
        codes = self.codes(check_whole("n_rows", n_rows, 0), rng)
        return self.schema.decode(codes, None if snapped else rng, self.n_bins, kind)

    def codes(self, n_rows: int, rng: np.random.Generator) -> Integers:
        """Draw the codes of synthetic rows.

        The numbers of rows are the shares rounded at random: less sampling error than of
        independent draws.

        Parameters
        ----------
        n_rows : int
            Number of rows.
        rng : numpy.random.Generator
            Public randomness.

        Returns
        -------
        codes : ndarray of int, shape (n_rows, d)
            Codes of the columns of the schema.
        """
        values, axes = np.linalg.eigh(self.correlation)
        root = axes * np.sqrt(np.maximum(values, 0))
        normal = rng.standard_normal((n_rows, len(root))) @ root.T
        codes = np.empty(normal.shape, dtype=np.int64)
        for j, (shares, order) in enumerate(zip(self.shares, self.orders, strict=True)):
            ends = np.cumsum(shares[order])
            starts = np.r_[0.0, ends[:-1] / ends[-1]] * n_rows + rng.random()
            counts = np.diff(np.r_[np.floor(starts), n_rows]).astype(np.int64)
            codes[np.argsort(normal[:, j], kind="stable"), j] = np.repeat(order, counts)
        return codes
