"""Parameters, once: for a teacher whose scores are a public map times a bounded matrix."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.boundary import call_privately
from skdistill.release.mechanism import Labels, Mechanism, TransferSet
from skdistill.release.outputs import before_last_step, in_chunks
from skdistill.release.query import ROUND_UP, Array, Integers, Queries, RowQuery

_ROUNDING_BITS = 16  # the rounding of the parameters costs at most this part of the radius


class Parameters(Mechanism):
    """Noise on the teacher's parameters. The price does not grow with the transfer rows.

    Parameters
    ----------
    noise : {"auto", "gaussian", "laplace"}, default="auto"
        The law of the noise; "auto" is "gaussian", and "laplace" for ``delta=0``.
    temperature : float, default=1.0
        Softens (above 1) or sharpens (below 1) the labels that the parameters give.
    sampler : {"exact", "diffprivlib"}, default="exact"
        Where noise comes from; see :class:`~skdistill.release.soft_labels.SoftLabels`.

    Notes
    -----
    Proof. Let D be the number of entries and h the step of the lattice, a power of two. Dividing
    by h is exact and rounding moves an entry by at most 1/2, so on the lattice
    ‖q − q'‖₂ ≤ radius/h + √D, and by Cauchy-Schwarz ‖q − q'‖₁ ≤ √D·radius/h + D. Integers are
    clipped to ±2⁶⁰, which moves two of them no further apart. Labels are post-processing.

    Examples
    --------
    A linear classifier with weights in a ball whose size you can prove:

    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdistill import Parameters, PrivateDistiller
    >>> from skdistill.certificates import ParameterBall
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3_000, 2)) / 4
    >>> teacher = LogisticRegression().fit(X[:2_000], X[:2_000, 0] > 0)
    >>> proof = ParameterBall(
    ...     0.002,  # suppose that you have proved it
    ...     weights=lambda: teacher.coef_,
    ...     features=lambda rows: rows,
    ...     link=lambda scores: np.hstack([1 / (1 + np.exp(scores)), 1 / (1 + np.exp(-scores))]))
    >>> distiller = PrivateDistiller(teacher, certificate=proof, mechanism=Parameters())
    >>> distiller.fit(X[2_000:]).privacy_.mechanism
    'gaussian'
    """

    kind = "parameters"

    def __init__(self, noise: str = "auto", *, temperature: float = 1.0, sampler: str = "exact"):
        self.noise = noise
        self.temperature = temperature
        self.sampler = sampler

    def queries(
        self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Yield one query of all parameters, and label the rows with the answer."""
        query = self._query(bound)
        noisy = np.asarray((yield query), dtype=np.float64) * query.step
        weights = noisy.reshape(_shape(bound))

        def features(rows: Any) -> Any:  # behind the boundary, since the teacher holds the map
            return bound.features(before_last_step(bound, rows))

        def label(rows: Any, n_rows: int) -> Array:
            scores = np.asarray(call_privately(features, rows) @ weights.T)
            return np.asarray(bound.link(scores / self.temperature))

        return asked.labelled(in_chunks(label, asked.X, asked.shape, np.float64, asked.n_jobs))

    def label_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the noise on a score, divided by 4: the steepest slope of the sigmoid."""
        if bound.feature_norm is None:
            return 0.0
        return self._query(bound).noise_scale(loss) * bound.feature_norm / 4

    def _query(self, bound: Any) -> RowQuery:
        size = math.prod(_shape(bound))
        step = 2.0 ** math.floor(math.log2(bound.radius / math.sqrt(size)) - _ROUNDING_BITS)
        moved = bound.radius / step
        l1, l2 = math.sqrt(size) * moved + size, moved + math.sqrt(size)
        measure, settings = partial(_integers, bound, step), (bound.radius, _shape(bound))
        rounded = l1 * ROUND_UP, l2 * ROUND_UP
        return RowQuery("parameters", measure, (1, size), *rounded, step, settings=settings)


def _shape(bound: Any) -> tuple[int, int]:
    """Return the shape of the parameters: the numbers of scores and of features are public."""
    if bound.shape is not None:
        return bound.shape
    rows, columns = call_privately(lambda: np.shape(np.atleast_2d(bound.weights())))
    return int(rows), int(columns)


def _integers(bound: Any, step: float, rows: Any) -> Integers:
    """Return the parameters on the lattice; an entry that is not finite counts as zero. Private."""
    # The conversion is inside the boundary: NumPy's message would quote a cell that is no number.
    weights = call_privately(lambda: np.asarray(bound.weights(), dtype=np.float64))
    if weights.size != math.prod(_shape(bound)):
        weights = np.zeros(_shape(bound))
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0) / step
        return np.rint(np.clip(scaled, -(2.0**60), 2.0**60)).astype(np.int64).reshape(1, -1)
