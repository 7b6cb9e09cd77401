"""The private boundary: the only package that calls a teacher on data.

``plan_release`` decides from public quantities what will be released and at what price; the
caller charges that price; ``draw`` then asks the teacher and returns noisy labels. Everything
computed from a :class:`Released` is post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.certificates import DisjointTeachers, ParameterBall
from skdistill.release.class_prior import mean_label, noisy_prior
from skdistill.release.ensembles import ensemble_labels
from skdistill.release.parameters import parameter_labels
from skdistill.release.plan import ReleasePlan, plan_release, query_limit
from skdistill.release.soft_labels import free_labels, noisy_labels
from skdistill.release.teacher_calls import TeacherError, output_method

__all__ = [
    "ReleasePlan",
    "Released",
    "TeacherError",
    "draw",
    "output_method",
    "plan_release",
    "query_limit",
]


@dataclass(frozen=True)
class Released:
    """What came through the boundary; public from here on.

    Parameters
    ----------
    labels : ndarray of shape (m, n_classes) or (m,)
        Noisy soft labels, or noisy outputs of a regressor.
    noise_scale : float
        Standard deviation of the independent noise on one label; 0 where it is not independent
        between rows or there is none.
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
    n_jobs: int | None = None,
    bases: tuple[NDArray[np.float64], ...] = (),
) -> Released:
    """Ask the teacher and release its noisy answers. The price must be charged before.

    Parameters
    ----------
    plan : ReleasePlan
        What to release.
    teacher : estimator
        Fitted.
    X : array-like of shape (m, d)
        Transfer rows.
    n_jobs : int or None
        Threads that label chunks of X.
    bases : tuple of ndarray of shape (m, p)
        Public bases of functions on X, for residual rounds.

    Raises
    ------
    TeacherError
        The teacher raised; fixed text.
    """
    noise_scale, answered = 0.0, np.ones(plan.n_rows, dtype=bool)
    if isinstance(plan.certificate, ParameterBall):
        labels = parameter_labels(plan, X, n_jobs)
    elif plan.loss is None:
        labels = free_labels(plan, teacher, X, n_jobs)
    elif isinstance(plan.certificate, DisjointTeachers):
        labels, answered = ensemble_labels(plan, X, bases)
        noise_scale = plan.noise_scale if len(plan.shares) == 1 else 0.0
    else:
        labels = noisy_labels(plan, teacher, X, n_jobs)
        noise_scale = plan.noise_scale
    prior = None
    if plan.classes is not None:
        prior = noisy_prior(plan)
        if prior is None:
            prior = mean_label(labels[answered], noise_scale)
    return Released(labels, noise_scale, prior, answered)
