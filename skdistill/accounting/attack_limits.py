r"""Limits that a privacy guarantee sets to any attack on one record.

An attack looks at everything released and decides which of two neighbouring data sets was used. Its
false-positive rate is the probability of the answer "the second" on the first, its true-positive
rate the probability of that answer on the second, its balanced accuracy the probability of a right
answer where both are equally likely.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]


def private_tpr(fpr: ArrayLike, epsilon: ArrayLike, delta: float = 0.0) -> Array:
    r"""Return the highest true-positive rate that (ε, δ)-differential privacy allows.

    :math:`\min(1,\ e^\varepsilon \mathrm{FPR} + \delta,\
    1 - e^{-\varepsilon}(1 - \delta - \mathrm{FPR}))`, for any attack on one record (Kairouz, Oh and
    Viswanath, arXiv:1311.0776, Theorem 2.1).

    Examples
    --------
    >>> private_tpr([0.0, 0.01, 1.0], epsilon=1.0).round(4)
    array([0.    , 0.0272, 1.    ])
    """
    x, factor = np.asarray(fpr, dtype=float), np.exp(np.minimum(epsilon, 700.0))
    flat = 1 - np.maximum(1 - delta - x, 0.0) / factor
    return np.minimum(np.minimum(factor * x + delta, flat), 1.0)


def gaussian_tpr(fpr: ArrayLike, mu: float) -> Array:
    r"""Return the highest true-positive rate that μ-Gaussian differential privacy allows.

    :math:`\Phi(\Phi^{-1}(\mathrm{FPR}) + \mu)` (Dong, Roth and Su, arXiv:1905.02383, section 2.2).

    Examples
    --------
    >>> gaussian_tpr([0.0, 0.01, 1.0], mu=1.0).round(4)
    array([0.    , 0.0924, 1.    ])
    """
    return np.asarray(ndtr(ndtri(np.asarray(fpr, dtype=float)) + mu))


def largest_balanced_accuracy(epsilon: float, delta: float = 0.0, mu: float | None = None) -> float:
    r"""Return the highest balanced accuracy of an attack: :math:`\Phi(\mu/2)` for μ-GDP.

    Without μ it is :math:`(e^\varepsilon + \delta) / (1 + e^\varepsilon)`: the two lines of
    :func:`private_tpr` meet where the false-positive rate and the false-negative rate are equal.

    Examples
    --------
    >>> round(largest_balanced_accuracy(1.0), 4), round(largest_balanced_accuracy(1.0, mu=1.0), 4)
    (0.7311, 0.6915)
    """
    if mu is not None:
        return float(ndtr(mu / 2))
    return min(1.0, (1 + delta * math.exp(-epsilon)) / (1 + math.exp(-epsilon)))
