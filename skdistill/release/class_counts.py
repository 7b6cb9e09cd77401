"""Counts of the classes, alone for a prior, or by score for a threshold and a calibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.boundary import call_privately
from skdistill.release.gradient_rounds import LinearRelease, rarity
from skdistill.release.marginals import measure_marginals
from skdistill.release.private_sums import Lattice, PrivateRows
from skdistill.release.quantization import as_outputs
from skdistill.release.query import (
    SQRT_2,
    Array,
    Integers,
    Queries,
    Query,
    RowQuery,
    noise_deviation,
)

_USELESS_SPREAD = 0.03  # a share less certain than this says less than the mean released label
HISTOGRAM_SHARE = Fraction(1, 20)  #: Part of μ² (or of ε) that the histogram takes.
_MOST_BINS, _FEWEST_BINS = 40, 4
_CLEAR = 10.0  # standard errors of a count that a bin of average size should hold


def class_counts(
    counts: Callable[[], Any], classes: NDArray[Any], loss: PrivacyLoss
) -> Queries[Array | None]:
    """Release the private number of records of each class at the price `loss`; return the prior.

    None where the noise on a share has a standard deviation above 0.03: the mean label is better
    then.
    """
    query = counts_query(counts, classes)
    noisy = np.clip(np.asarray((yield query), dtype=np.float64).reshape(-1) * query.step, 0, None)
    if query.noise_scale(loss) > _USELESS_SPREAD * noisy.sum():
        return None
    return _normalised(noisy)


def counts_query(counts: Callable[[], Any], classes: NDArray[Any]) -> RowQuery:
    """Return the one query of :func:`class_counts`.

    Proof. Replacing one record moves at most two integer counts by one each: √2 in L2, 2 in L1.
    """

    def measure(rows: Any) -> NDArray[np.int64]:
        found = np.nan_to_num(as_outputs(call_privately(counts), (len(classes),)))
        return np.rint(np.clip(found, 0, 2.0**53)).astype(np.int64).reshape(1, -1)

    shape = (1, len(classes))
    return RowQuery("class counts", measure, shape, 2.0, SQRT_2, 1.0, settings=(classes,))


def measure_rarity(codes: Integers, loss: PrivacyLoss | None, groups: Any = None) -> Queries[float]:
    """Release the `rarity` of two classes, from private codes: 0, 1, and 2 for other labels."""
    noisy = yield from measure_marginals(codes[:, None], [3], loss, groups=groups)
    return rarity(noisy.counts[0][:2], 2)


def mean_label(labels: Array, noise_scale: float) -> Array:
    """Return the mean released label as a prior: free, since the labels are released already.

    Its known noise, noise_scale/√m, shrinks it towards the uniform prior by the positive-part
    James-Stein factor (Stein 1956), so that noise alone gives no class all the rows.
    """
    m, n_classes = labels.shape
    uniform = np.full(n_classes, 1 / n_classes)
    if m == 0:
        return uniform
    apart = labels.mean(axis=0) - uniform
    apart -= apart.mean()
    distance = float(apart @ apart)
    noise = (n_classes - 1) * noise_scale**2 / m
    keep = max(0.0, 1 - noise / distance) if distance > 0 else 0.0
    return _normalised(np.clip(uniform + keep * apart, 0, None))


def _normalised(weights: Array) -> Array:
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """Noisy counts, in records or groups, of two classes (columns) by score (bins); public.

    `scores` has one in the middle of each bin, `noise` is the standard deviation on a count.
    """

    scores: Array
    edges: Array
    counts: Array
    noise: float


def measure_scores(
    rows: PrivateRows, public: Any, model: LinearRelease, loss: PrivacyLoss | None
) -> Queries[ScoreHistogram]:
    """Count private records of two classes by class and by the score that a released model gives.

    Proof. The bins, quantiles of the `public` rows' scores, are functions of public values and of
    the released model, and the counts move by the bound of ``PrivateRows.score_histogram``.
    """
    seen = np.asarray(public @ model.coef[0]) + model.intercept[0]
    deviation = 0.0 if loss is None else noise_deviation(loss, 2.0, math.sqrt(2))
    wanted = rows.n_units / (_CLEAR * max(deviation, 1e-9))
    n_bins = int(np.clip(wanted, _FEWEST_BINS, _MOST_BINS))
    limits = np.unique(np.quantile(seen, np.linspace(0, 1, 2 * n_bins + 1)))
    edges = limits[2:-1:2]
    middles = limits[1::2][: len(edges) + 1] if len(limits) > 1 else limits
    squares = public.multiply(public) if sp.issparse(public) else public * public
    spread = np.sqrt(np.asarray(squares.mean(axis=0)).ravel())
    lattice = Lattice.of(np.zeros(rows.width), spread, centred=False)
    weights = np.vstack([model.coef.T, model.intercept])
    found = rows.score_histogram(lattice, weights, edges)
    counts = (yield Query(found.values, found.l1, found.l2)) * found.unit
    return ScoreHistogram(middles, edges, np.asarray(counts, dtype=np.float64), deviation)
