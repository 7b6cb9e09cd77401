"""Decision thresholds and calibration, and a fitted student with its threshold as one estimator."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils import ClassifierTags, RegressorTags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from skdistill._doc_links import DocLink
from skdistill._scores import ScoreMixin
from skdistill.students.soft_targets import Array, class_scores, probabilities

_MOST_ROWS = 20_000  # looked at for more than two classes: offsets are found by iteration then
_ITERATIONS = 300
# Of the calibration.
_DOUBT = 15.0  # chosen on simulated histograms of 200 to 30,000 records at noise of 3 to 2,700
_LEAST = 2.0**-21  # half a unit of a count; a smaller one would make slopes infinite
_LARGEST_CHANGE = 1.5  # of the logarithm of the slope
_WIDTH = 0.5  # standard deviations of the prior of the slope's logarithm and of the intercept, in
_SHIFT = 2.0  # units of the scores


def student_has(student: Any, method: str, *, classifies: bool) -> bool:
    """Whether a ThresholdedStudent has a method; a regressor of classes has probabilities."""
    if classifies and is_regressor(student):
        return method != "decision_function"
    if method == "predict_log_proba":
        method = "predict_proba"
    return classifies and hasattr(student, method)


def _offered(method: str) -> Any:
    def check(self: ThresholdedStudent) -> bool:
        return student_has(self.student, method, classifies=self.classes is not None)

    return available_if(check)


class ThresholdedStudent(DocLink, ScoreMixin, BaseEstimator):
    """A fitted student with its class labels and its decision threshold.

    A distiller is published in this form: as an ordinary fitted classifier or
    regressor. It is never fitted again; ``fit`` and :func:`sklearn.base.clone` return it as it is.

    Parameters
    ----------
    student : estimator
        Fitted: a classifier, or a regressor, which predicts classes if trained on soft labels.
    classes : ndarray of shape (n_classes,), default=None
        Class labels. None for a regressor that predicts numbers.
    offsets : ndarray of shape (n_classes,), default=None
        Added to the student's scores before the arg-max. None adds nothing.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels (classification).
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns of X, and their names where the transfer set had them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdistill.students import ThresholdedStudent
    >>> student = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> ThresholdedStudent(student, student.classes_).predict([[1.4], [1.6]])
    array([0, 1])
    >>> ThresholdedStudent(student, student.classes_, np.array([0.0, 1.0])).predict([[1.4]])
    array([1])
    """

    def __init__(
        self, student: Any, classes: NDArray[Any] | None = None, offsets: Array | None = None
    ) -> None:
        self.student = student
        self.classes = classes
        self.offsets = offsets

    @property
    def classes_(self) -> NDArray[Any]:
        """The class labels; a regressor has no such attribute."""
        if self.classes is None:
            raise AttributeError("A regressor has no classes_.")
        return self.classes

    def fit(self, X: Any, y: Any = None) -> ThresholdedStudent:
        """Do nothing: the student is not trained again.

        Parameters
        ----------
        X, y : object
            Not used.

        Returns
        -------
        self : ThresholdedStudent
            Unchanged.
        """
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict class labels at the decision threshold, or numbers.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Rows.

        Returns
        -------
        y : ndarray of shape (m,)
            Class labels, or numbers.
        """
        X = self._checked(X)
        scored = None if self.classes is None else class_scores(self.student, X, self.classes)
        if scored is None:
            return np.asarray(self.student.predict(X))
        offsets = np.zeros(len(self.classes_)) if self.offsets is None else self.offsets
        return np.asarray(self.classes_[predicted_codes(scored[0], offsets)])

    @_offered("predict_proba")
    def predict_proba(self, X: Any) -> Array:
        """Return the student's class probabilities; the threshold does not change them.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (m, n_classes)
            Of a regressor, its outputs projected on the simplex.
        """
        return probabilities(self.student, self._checked(X), self.classes_)

    @_offered("predict_log_proba")
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Rows.

        Returns
        -------
        logarithms : ndarray of shape (m, n_classes)
            −∞ for a probability of 0.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    @_offered("decision_function")
    def decision_function(self, X: Any) -> Array:
        """Return the student's decision function; the threshold does not change it.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Rows.

        Returns
        -------
        scores : ndarray of shape (m,) or (m, n_classes)
            As the student returns them.
        """
        return np.asarray(self.student.decision_function(self._checked(X)))

    def _checked(self, X: Any) -> Any:
        """Check the columns of X; its cells are the student's own affair."""
        if not hasattr(X, "shape") and not hasattr(X, "__len__"):
            X = np.asarray(X)
        if hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, skip_check_array=True)
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> ThresholdedStudent:
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = copy.deepcopy(get_tags(self.student).input_tags)
        if self.classes is None:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags


def predicted_codes(scores: Array, offsets: Array) -> NDArray[np.intp]:
    """Return the arg-max of scores + offsets per row; ties go to the first class."""
    return np.asarray((scores + offsets).argmax(axis=1))


def fixed_offsets(threshold: float, scale: str) -> Array:
    """Return the offsets that predict the second class where its probability passes a threshold."""
    if scale == "margin":
        raise ValueError(
            f"threshold={threshold!r} needs a student with predict_proba (or a regressor); this "
            'one has a decision function only. Use threshold="prior" or None.'
        )
    if scale == "probability":
        return np.array([0.0, 1 - 2 * threshold])
    return np.array([0.0, np.log1p(-threshold) - np.log(threshold)])


def offsets_for_prior(scores: Array, prior: Array) -> Array:
    """Find offsets of the scores with which each class is predicted as often as in the prior.

    At a cut of 0.5 strong regularisation and noise make a rare class vanish. Matching the prior is
    the quantity-based rule of quantification learning (Forman 2008) and needs no label.
    """
    scores = np.nan_to_num(scores, neginf=-1e3, posinf=1e3)
    if scores.shape[1] == 2:
        return np.array([0.0, -_cut(scores[:, 1] - scores[:, 0], float(prior[1]))])
    return _iterate(scores[:: -(-len(scores) // _MOST_ROWS)], prior)


def _cut(gaps: Array, share: float) -> float:
    """Return the cut t for which the share of gaps above t is nearest to `share`."""
    m = len(gaps)
    wanted = share * m
    value = float(np.partition(gaps, m - max(1, round(wanted)))[m - max(1, round(wanted))])
    above, below = gaps[gaps > value], gaps[gaps < value]
    if wanted - len(above) < m - len(below) - wanted:  # cut above the value, not below it
        return value / 2 + float(above.min()) / 2 if len(above) else value + 1
    return value / 2 + float(below.max()) / 2 if len(below) else value - 1


def _iterate(scores: Array, prior: Array) -> Array:
    n_classes = scores.shape[1]
    wanted = np.where(prior > 0, prior, 0)
    # Steps in units of how much the scores of a row differ.
    unit = max(float(np.median(np.ptp(scores, axis=1))) / 4, 1e-12)
    offsets = np.where(wanted > 0, 0.0, -1e6 * unit)
    best, best_error, step = offsets, np.inf, 1.0
    for _ in range(_ITERATIONS):
        codes = predicted_codes(scores, offsets)
        share = np.bincount(codes, minlength=n_classes) / len(scores)
        error = float(np.abs(share - wanted).sum())
        if error < best_error:
            best, best_error = offsets, error
        else:
            step *= 0.97
        if error <= n_classes / len(scores):
            break
        ratio = np.log((wanted + 1e-6) / (share + 1e-6))
        offsets = offsets + step * unit * np.clip(ratio, -2, 2) * (wanted > 0)
    return best


def calibration_of(scores: Array, counts: Array, noise: float) -> tuple[float, float]:
    """Return slope a and intercept b of the calibrated log-odds a·score + b.

    Logistic regression of the class on the score, with the noisy counts (a row for each bin, a
    column for each class) as weights (Platt 1999, "Probabilistic outputs for support vector
    machines"), and a prior that keeps it near the identity where the counts are mostly noise.
    """
    # m records in a bin know as much of its log-odds as m·p(1 - p), and the noise moves the
    # gradient by its variance: only the ratio of the two is worth of a likelihood.
    mean = max(float(counts.sum()), 0.0) / len(scores)
    weight = mean / (mean + _DOUBT * noise**2) if mean > 0 else 0.0

    def cost(at: Array) -> float:
        odds = np.exp(at[0]) * scores + at[1]
        likelihood = counts[:, 1] * np.logaddexp(0, -odds) + counts[:, 0] * np.logaddexp(0, odds)
        prior = (at[0] / _WIDTH) ** 2 / 2 + (at[1] / _SHIFT) ** 2 / 2
        return float(weight * likelihood.sum() + prior)

    limits = [(-_LARGEST_CHANGE, _LARGEST_CHANGE), (-8.0, 8.0)]
    best = minimize(cost, np.zeros(2), bounds=limits, method="L-BFGS-B").x
    return float(np.exp(best[0])), float(best[1])


def offsets_from_counts(
    threshold: str, scores: Array, edges: Array, counts: Array, calibration: tuple[float, float]
) -> Array:
    """Return the decision offsets of two classes' log-odds, from a noisy histogram of scores.

    The cut is for most correct predictions ("accuracy"), the largest F1 of the second class ("f1"),
    or that class as often as it occurs ("prior"), in log-odds of `calibration`.
    """
    if threshold == "accuracy":
        return np.zeros(2)
    slope, shift = calibration
    weights = counts.sum(axis=1)
    weights = np.where(weights > _LEAST, weights, 0.0)
    weights = weights if weights.sum() > 0 else np.ones(len(weights))
    positive = weights * expit(slope * scores + shift)
    # From the last bin down: predicted, and right, where the cut is below a bin.
    predicted = np.cumsum(weights[::-1])[::-1]
    right = np.cumsum(positive[::-1])[::-1]
    limits = np.r_[scores[0] - 1.0, edges, scores[-1] + 1.0]
    if threshold == "f1":
        measure = 2 * right / np.maximum(predicted + right[0], 1e-12)
        cut = float(limits[int(np.argmax(measure))])
    else:  # between two limits, as if the records of a bin were spread evenly
        cut = float(np.interp(-right[0], -np.r_[predicted, 0.0], limits))
    return np.array([0.0, -(slope * cut + shift)])
