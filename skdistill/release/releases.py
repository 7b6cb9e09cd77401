"""The private boundary: the only package that calls a teacher on data.

``plan_release`` decides from public quantities what will be released and at what price; ``draw``
charges that price, then asks the teacher, and returns noisy labels. Everything computed from a
:class:`Released` is post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.charging import charge, replays
from skdistill.certificates import DisjointTeachers, ParameterBall, RowBound
from skdistill.release.class_prior import mean_label, noisy_prior
from skdistill.release.ensembles import ensemble_labels
from skdistill.release.identity import assumed_of
from skdistill.release.parameters import parameter_labels
from skdistill.release.plan import ReleasePlan, plan_release, query_limit
from skdistill.release.replay import rehearsed, replayed
from skdistill.release.shrinkage import smoothed_labels
from skdistill.release.soft_labels import free_labels, noisy_labels
from skdistill.release.teacher_calls import TeacherError, output_method

__all__ = [
    "ReleasePlan",
    "Released",
    "TeacherError",
    "assumed_of",
    "draw",
    "output_method",
    "plan_release",
    "query_limit",
    "rehearsed",
]


@dataclass(frozen=True)
class Released:
    """What came through the boundary; public from here on.

    Parameters
    ----------
    labels : ndarray of shape (m, n_classes) or (m,)
        Noisy soft labels, or noisy outputs of a regressor.
    noise_scale : float
        Standard deviation of the independent noise that one label was released with (smoothing
        comes later); 0 where it is not independent between rows or there is none.
    prior : ndarray of shape (n_classes,) or None
        Class prior; None for a regressor.
    answered : ndarray of bool, shape (m,)
        Rows that got a label: all but those that ``confident_max`` left open.
    """

    labels: NDArray[np.float64]
    noise_scale: float
    prior: NDArray[np.float64] | None
    answered: NDArray[np.bool_]


def draw(
    plan: ReleasePlan,
    teacher: Any,
    X: Any,
    accountant: Any = None,
    n_jobs: int | None = None,
    bases: tuple[NDArray[np.float64], ...] = (),
) -> Released:
    """Charge the price of a release, then ask the teacher and release its noisy answers.

    Parameters
    ----------
    plan : ReleasePlan
        What to release.
    teacher : estimator
        Fitted.
    X : array-like of shape (m, d)
        Transfer rows.
    accountant : PrivacyLedger, BudgetAccountant or None
        Charged before the teacher is asked. A ledger is charged for what it does not hold yet.
    n_jobs : int or None
        Threads that label chunks of X.
    bases : tuple of ndarray of shape (m, p)
        Public bases of functions on X, for residual rounds, and for smoothing.

    Raises
    ------
    diffprivlib.utils.BudgetError
        The budget does not suffice; nothing was asked.
    TeacherError
        The teacher raised; fixed text. What was charged stays charged.
    """

    def labels_for(part: ReleasePlan, rows: Any) -> tuple[Any, NDArray[np.bool_]]:
        everything = np.ones(part.n_rows, dtype=bool)
        if isinstance(part.certificate, ParameterBall):
            return parameter_labels(part, rows, n_jobs), everything
        if part.loss is None:
            return free_labels(part, teacher, rows, n_jobs), everything
        if isinstance(part.certificate, DisjointTeachers):
            return ensemble_labels(part, rows, bases)
        return noisy_labels(part, teacher, rows, n_jobs), everything

    if plan.loss is not None and replays(accountant):
        labels, answered, prior = replayed(plan, teacher, X, accountant, n_jobs, labels_for)
    else:
        charge(accountant, plan.loss, plan.summary)
        labels, answered = labels_for(plan, X)
        prior = noisy_prior(plan)
    by_rows = isinstance(plan.certificate, RowBound) and len(plan.shares) < 2
    noise_scale = plan.row_noise if by_rows else 0.0
    if plan.smoothed and bases:
        labels = smoothed_labels(labels, bases, plan.row_noise, plan.middle)
    if prior is None and plan.classes is not None:
        prior = mean_label(labels[answered], noise_scale)
    return Released(labels, noise_scale, prior, answered)
