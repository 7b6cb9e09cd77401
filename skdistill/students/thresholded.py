"""ThresholdedStudent: a fitted student, its classes and its threshold, as one estimator."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils import ClassifierTags, RegressorTags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from skdistill._doc_links import DocLink
from skdistill._scores import ScoreMixin
from skdistill.students.soft_targets import class_scores, probabilities
from skdistill.students.threshold import predicted_codes

Array = NDArray[np.float64]


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
