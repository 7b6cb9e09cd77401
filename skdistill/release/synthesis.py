"""A private table's columns and how they depend on each other, as a mechanism."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release.copula import SyntheticTable, correlations, denoised, normal_scores
from skdistill.release.marginals import group_numbers, measure_marginals
from skdistill.release.noise import WANTED_SCALE
from skdistill.release.private_sums import IntegerMap, Lattice, PrivateRows
from skdistill.release.query import Integers, Queries, Query, at_share, noise_deviation
from skdistill.schema import Schema

#: Fewest and most bins of a number whose column has no edges of its own.
FEWEST_BINS, N_BINS = 64, 300
#: Part of the price that the counts of several columns take; the moment takes the rest.
MARGINALS_PART = Fraction(7, 10)
# The following were chosen on private rows held out of Adult, California housing and credit
# default, by the number of records times μ. There is one bin for so many of these units:
_PER_BIN = 8
# Rows are shortened to this part of the square length that the counts say they have on average, and
# to the second one where there are few units.
_RADIUS2, _SHORT_RADIUS2, _FEW_UNITS = 1.2, 0.6, 1000
_MOST_ENLARGED = 1.6


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
    counted = measure_marginals(codes, schema.n_codes(n_bins), _part(loss, share), groups=groups)
    noisy = yield from at_share(counted, share)
    shares = tuple(
        denoised(counts, noisy.noise, column)
        for column, counts in zip(schema.columns, noisy.counts, strict=True)
    )
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
        frame = IntegerMap(
            Lattice(np.zeros(d), np.full(d, 2.0**-11)), np.vstack([np.eye(d), np.zeros((1, d))])
        )
        few = _signal(rows.n_units, loss) < _FEW_UNITS
        radius2 = _SHORT_RADIUS2 if few else _RADIUS2
        radius = float(np.sqrt(radius2 * max(length2, 1e-3)))
        part = _part(loss, 1 - share)
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
    targets, sizes, n_units, unit = np.zeros(len(scores), np.int64), None, len(scores), Unit.RECORD
    if groups is not None:
        numbers = group_numbers(groups)
        counts = np.bincount(numbers)
        sizes, n_units, unit = counts[numbers].astype(np.float64), len(counts), Unit.GROUP
    return PrivateRows(np.ascontiguousarray(scores), targets, 2, n_units, unit, sizes)


def _part(loss: PrivacyLoss | None, share: Fraction) -> PrivacyLoss | None:
    return None if loss is None else loss.part(share)
