"""StableLogisticRegression: its parameters move inside a ball."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdistill._scores import probabilities_of
from skdistill.certificates.base import Certificate, ParameterBall

__all__ = ["stable_logistic_regression"]


def stable_logistic_regression(teacher: Any) -> Certificate:
    """Certify a StableLogisticRegression: ParameterBall(2·L·C·R + slack).

    The number is computed in :class:`skdistill.teachers.StableLogisticRegression`. Its docstring
    has the proof, and the slack for the rounding errors of a computer.
    """
    return ParameterBall(
        teacher.sensitivity_,
        lambda: np.asarray(teacher.weights_, dtype=np.float64),
        teacher.bounded_features,
        probabilities_of,
        teacher.row_norm_,
        shape=np.atleast_2d(teacher.weights_).shape,
        name="stable logistic regression",
        reason=(
            "The objective is 1-strongly convex, and one record changes its gradient by a bounded "
            "amount."
        ),
        reference="Chaudhuri, Monteleoni and Sarwate (JMLR 2011), Lemma 7 and Corollary 8.",
        assumes=() if teacher.classes_given_ else ("the set of class labels is public",),
        class_counts=lambda: np.asarray(teacher.class_count_, dtype=np.int64),
    )
