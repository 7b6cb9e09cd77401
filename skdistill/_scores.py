"""Scores of classes: their probabilities, and pairwise scores, which have no probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

# Where meta-estimators keep the one estimator whose scores they pass on.
_INNER = ("best_estimator_", "estimator_", "estimator")


def probabilities_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return class probabilities: two from the sigmoid of one column, or the softmax of several."""
    if scores.shape[1] == 1:
        return np.hstack([expit(-scores), expit(scores)])
    return np.asarray(softmax(scores, axis=1))


def scores_are_pairs(estimator: Any) -> bool:
    """Whether ``decision_function`` is that of an SVC with one-vs-one scores, however wrapped.

    Looks through pipelines, frozen estimators, searches and other estimators that pass on the
    scores of one estimator; not through those that combine several (with ``estimators_``).
    """
    while not hasattr(estimator, "decision_function_shape"):
        if hasattr(estimator, "steps"):
            inner = estimator.steps[-1][1]
        elif hasattr(estimator, "estimators_"):
            return False
        else:
            found = (getattr(estimator, name, None) for name in _INNER)
            inner = next((each for each in found if each is not None), None)
        if inner is None or inner is estimator or isinstance(inner, str):
            return False
        estimator = inner
    return bool(estimator.decision_function_shape == "ovo")
