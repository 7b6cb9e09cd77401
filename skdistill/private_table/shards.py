"""The number of teachers of an ensemble from the price of their votes."""

from __future__ import annotations

import math

import numpy as np

from skdistill.accounting.loss import PrivacyLoss
from skdistill.teachers.shards import default_n_teachers

#: k·μ from which on the noise of a vote of k teachers matters less than the size of their shards.
_ENOUGH = 120.0


def noisy_n_teachers(n: int, n_classes: int, loss: PrivacyLoss | None) -> int:
    """Choose the number of teachers from public numbers: the more noise, the more teachers.

    ``120 / mu``, but at least ``n // (40 * n_classes)``, forty records of each class in a shard
    (:func:`skdistill.teachers.shards.default_n_teachers`), and at most ``n // 40``. A vote of k
    teachers is noisy in proportion to 1/(k·μ).

    Parameters
    ----------
    n : int
        Number of records, or of groups.
    n_classes : int
        Number of classes; 1 for regression.
    loss : PrivacyLoss or None
        The price of the votes; None for no noise.

    Returns
    -------
    n_teachers : int
        Number of shards; public.

    Examples
    --------
    >>> from skdistill.accounting import PrivacyLoss
    >>> [noisy_n_teachers(32_561, 2, PrivacyLoss.gaussian(e, 1e-5)) for e in (0.5, 1, 2)]
    [814, 448, 407]
    """
    few, many = default_n_teachers(n, n_classes), default_n_teachers(n)
    if loss is None:
        return few
    return many if loss.mu is None else int(np.clip(math.ceil(_ENOUGH / loss.mu), few, many))
