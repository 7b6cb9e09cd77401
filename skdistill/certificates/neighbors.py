"""k-nearest neighbours with uniform weights: one record holds one vote at most."""

from __future__ import annotations

import math
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skdistill.certificates.base import OWN_RECORD, Array, Certificate, RowBound

# Metrics that look at two rows alone. Others ("seuclidean", "mahalanobis") may take a scale from
# all training rows, and then every distance moves with one record. A function of the user's, or
# "precomputed" distances, may do the same.
_PAIRWISE_METRICS = (
    *("minkowski", "euclidean", "l2", "manhattan", "cityblock", "l1", "chebyshev"),
    *("cosine", "canberra", "braycurtis", "hamming", "nan_euclidean"),
)


def uniform_neighbors(teacher: Any) -> Certificate | None:
    """Certify a KNeighborsClassifier with uniform weights: RowBound(2/k, √2/k).

    Proof. Order the records by (distance to the query, position). The votes are those of the
    first k. Replacing the record at one position changes that record's key alone, so of the first
    k at most one leaves and one enters: one vote moves from one class to another, which is 2/k in
    L1 and √2/k in L2. The bound is per row; all rows may move at once. The rows are counts of k
    votes, and in counts the bound is 2 and √2.

    It needs a distance that looks at two rows alone. The distance in use is the fitted
    ``effective_metric_`` with ``effective_metric_params_``, and not the parameter `metric`, which
    may have been changed since; parameters other than the power p (weights, scales) may come from
    the records.

    The order matters: scikit-learn breaks ties between equal distances by the inner order of its
    search, which replacing one record can change for *every* tied record (on integer-valued
    tables ties are the rule), so ``predict_proba`` itself has no better bound than the worst case.
    :func:`neighbor_votes` computes the same votes with ties broken by position, from distances in
    float64: one record can choose the dtype of all of them, and with it which distances are tied.

    A KNeighborsRegressor has the worst case: its mean of k targets moves by the width of the
    range over k, but only if each target is clipped before they are averaged, which it does not.
    """
    k = int(teacher.n_neighbors) if isinstance(teacher.n_neighbors, Integral) else 0
    metric = getattr(teacher, "effective_metric_", None)
    given = getattr(teacher, "effective_metric_params_", None) or {}
    parameters = {name for name, value in given.items() if value is not None}
    provable = (
        isinstance(teacher.weights, str | None)
        and teacher.weights in ("uniform", None)
        and isinstance(metric, str)
        and metric in _PAIRWISE_METRICS
        and parameters <= ({"p"} if metric == "minkowski" else set())
        and hasattr(teacher, "_fit_X")
        and np.ndim(teacher._y) == 1
        and 1 <= k <= teacher.n_samples_fit_
    )
    if not provable:
        return None
    return RowBound(
        2.0 / k,
        math.sqrt(2.0) / k,
        partial(neighbor_votes, teacher),
        n_votes=k,
        name="uniform nearest neighbours",
        reason=f"One record holds at most one of the {k} votes on each transfer row.",
        reference="Counting argument in skdistill.certificates.neighbors.",
        assumes=(OWN_RECORD,),
        class_counts=lambda: np.bincount(teacher._y, minlength=len(teacher.classes_)),
    )


def neighbor_votes(teacher: Any, X: Any) -> Array:
    """Return the share of each class among the k nearest records, ties broken by position.

    Where the k-th distance has no tie, the shares equal ``teacher.predict_proba(X)``.
    """
    from sklearn.metrics import pairwise_distances_chunked

    k, one_hot = int(teacher.n_neighbors), np.eye(len(teacher.classes_))[np.asarray(teacher._y)]
    # A record that is no float32 makes float64 of a float32 table, whose distances are others.
    X = check_array(X, accept_sparse=True, dtype=np.float64, ensure_all_finite=False)
    records = teacher._fit_X.astype(np.float64, copy=False)
    metric, options = teacher.effective_metric_, dict(teacher.effective_metric_params_ or {})

    def count(distances: Array, start: int) -> Array:
        distances = np.where(np.isnan(distances), np.inf, distances)
        # The k-th smallest distance is a value, whichever record bears it.
        kth = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        closer = distances < kth
        left = k - closer.sum(axis=1, keepdims=True)
        tied = distances == kth
        chosen = closer | (tied & (np.cumsum(tied, axis=1) <= left))
        return np.asarray(chosen @ one_hot) / k

    chunks = pairwise_distances_chunked(
        X, records, reduce_func=count, metric=metric, working_memory=256, **options
    )
    return np.concatenate(list(chunks))
