"""The release for teachers on disjoint shards: sums of integers, in rounds or as votes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.certificates import DisjointTeachers
from skdistill.release.lattice import LATTICE_BITS
from skdistill.release.noisy_max import confident_max, count_votes, noisy_max
from skdistill.release.plan import LABEL_ONLY, ReleasePlan
from skdistill.release.rounds import Votes, collect_votes, residual_rounds
from skdistill.release.teacher_calls import guarded, transformed

__all__ = ["ensemble_labels"]

Array = NDArray[np.float64]


def ensemble_labels(
    plan: ReleasePlan, X: Any, bases: tuple[Array, ...]
) -> tuple[Array, NDArray[np.bool_]]:
    """Release labels from the votes of disjoint teachers.

    Parameters
    ----------
    plan : ReleasePlan
        With DisjointTeachers; its price is already charged.
    X : array-like of shape (m, d)
        Transfer rows.
    bases : tuple of ndarray of shape (m, p)
        Public bases for residual rounds.

    Returns
    -------
    labels : ndarray of shape (m, n_classes) or (m,)
    answered : ndarray of bool, shape (m,)
        False for rows that ``confident_max`` left open; their labels are all zero.
    """
    bound, loss = plan.certificate, plan.label_loss
    if not isinstance(bound, DisjointTeachers) or loss is None:
        raise TypeError("ensemble_labels needs DisjointTeachers and a price.")

    def ask(function: Callable[[Any], Any]) -> Iterator[Any]:
        return bound.member_votes(transformed(bound, X), function)

    everything = np.ones(plan.n_rows, dtype=bool)
    if plan.mechanism in LABEL_ONLY and plan.classes is not None:
        n_classes = len(plan.classes)
        counts = guarded(lambda: count_votes(ask, plan.n_rows, n_classes))
        if plan.mechanism == "noisy_max":
            winners = noisy_max(counts, loss, plan.sampler).labels
        else:
            k = bound.n_teachers
            winners = confident_max(counts, loss, plan.sampler, n_teachers=k).labels
        answered = winners >= 0
        labels = np.zeros((plan.n_rows, len(plan.classes)))
        labels[np.flatnonzero(answered), winners[answered]] = 1.0
        return labels, answered
    votes = guarded(
        lambda: collect_votes(
            ask,
            bases if len(plan.shares) > 1 else (),
            plan.n_rows,
            None if plan.classes is None else len(plan.classes),
            plan.output_range,
            plan.temperature,
        )
    )
    if plan.mechanism == "laplace":
        labels = _laplace_sum(plan, votes)
    else:
        labels = residual_rounds(votes, bases, loss, plan.sampler, plan.shares).labels
    if plan.output_range is not None and plan.classes is None:
        low, high = plan.output_range
        labels = low + (high - low) * labels.reshape(plan.n_rows)
    return labels, everything


def _laplace_sum(plan: ReleasePlan, votes: Votes) -> Array:
    """Release the sum of the votes with Laplace noise, and divide it by their number.

    Proof. One member's integer rows sum to S = 2^bits (or lie in [0, S]), so replacing it moves
    each of the m rows of the sum by at most 2S (or S) in L1, all rows by m times that. The rest
    is the Laplace mechanism (Dwork et al. 2006, Proposition 1), rounded.
    """
    assert plan.label_loss is not None
    total = float(1 << LATTICE_BITS)
    moved = plan.n_rows * total * (1 if plan.classes is None else 2)
    noisy = plan.sampler.perturb(votes.total, plan.label_loss, moved)
    return np.asarray(noisy / (votes.n_members * total), dtype=np.float64)
