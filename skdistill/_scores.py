"""Scores of classes: their probabilities, and pairwise scores, which have no probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score

# Where meta-estimators keep the one estimator whose scores they pass on.
_INNER = ("best_estimator_", "estimator_", "estimator")


class ScoreMixin:
    """The score of an estimator that may be a classifier or a regressor."""

    predict: Any

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy (classification) or R² (regression) of ``predict``.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Rows.
        y : array-like of shape (m,)
            True labels or numbers.
        sample_weight : array-like of shape (m,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            At most 1.
        """
        metric = accuracy_score if is_classifier(self) else r2_score
        return float(metric(y, self.predict(X), sample_weight=sample_weight))


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
