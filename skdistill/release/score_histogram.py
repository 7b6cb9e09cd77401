"""A noisy histogram of the private rows' scores by class: for a threshold and a calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.gradient_rounds import LinearRelease
from skdistill.release.private_sums import Lattice, PrivateRows
from skdistill.release.query import Queries, Query, noise_deviation

Array = NDArray[np.float64]

#: Part of μ² (or of ε) that the histogram takes.
HISTOGRAM_SHARE = Fraction(1, 20)
_MOST_BINS, _FEWEST_BINS = 40, 4
_CLEAR = 10.0  # standard errors of a count that a bin of average size should hold


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """Noisy counts of records (or groups) by score and class; public.

    `scores` has a score in the middle of each of b bins, `edges` the b - 1 limits between them,
    `counts` a column for each of two classes; `noise` is the standard deviation on a count.
    """

    scores: Array
    edges: Array
    counts: Array
    noise: float


def measure_scores(
    rows: PrivateRows, public: Any, model: LinearRelease, loss: PrivacyLoss | None
) -> Queries[ScoreHistogram]:
    """Count private records of two classes by class and by the score that a released model gives.

    The bins are quantiles of the scores of the `public` rows.

    Proof. The bins are functions of public values and of the released model, and the counts move by
    the bound of :meth:`~skdistill.release.private_sums.PrivateRows.score_histogram`.
    """
    seen = np.asarray(public @ model.coef[0]) + model.intercept[0]
    deviation = 0.0 if loss is None else noise_deviation(loss, 2.0, math.sqrt(2))
    wanted = rows.n_units / (_CLEAR * max(deviation, 1e-9))
    n_bins = int(np.clip(wanted, _FEWEST_BINS, _MOST_BINS))
    limits = np.unique(np.quantile(seen, np.linspace(0, 1, 2 * n_bins + 1)))
    edges = limits[2:-1:2]
    middles = limits[1::2][: len(edges) + 1] if len(limits) > 1 else limits
    lattice = Lattice.of(np.zeros(rows.width), _spread(public), centred=False)
    weights = np.vstack([model.coef.T, model.intercept])
    found = rows.score_histogram(lattice, weights, edges)
    counts = (yield Query(found.values, found.l1, found.l2)) * found.unit
    return ScoreHistogram(middles, edges, np.asarray(counts, dtype=np.float64), deviation)


def _spread(public: Any) -> Array:
    """Return the root mean square of each column."""
    squares = public.multiply(public) if sp.issparse(public) else public * public
    return np.asarray(np.sqrt(np.asarray(squares.mean(axis=0)).ravel()))
