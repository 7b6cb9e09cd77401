"""What is published: a student as an ordinary estimator, and its statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, is_regressor
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.publishing.private_parts import refuse_private_parts
from skdistill.statement import PrivacyStatement
from skdistill.students import predicted_labels, probabilities

__all__ = ["Published", "PublishedClassifier", "export"]


def _student_has(method: str) -> Any:
    def check(self: PublishedClassifier) -> bool:
        if is_regressor(self.student):
            return method != "decision_function"
        if method == "predict_log_proba":
            return hasattr(self.student, "predict_proba")
        return hasattr(self.student, method)

    return check


class PublishedClassifier(ClassifierMixin, BaseEstimator):
    """A student with its decision threshold: what remains of a distiller once it is published.

    It predicts what the distiller predicts. It is fitted for good: ``fit`` returns it as it is,
    and so does :func:`sklearn.base.clone`.

    Parameters
    ----------
    student : estimator
        The fitted student.
    classes : ndarray of shape (n_classes,)
        Class labels.
    offsets : ndarray of shape (n_classes,) or None
        Added to the student's scores before the arg-max.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Column names of X, where the transfer set had them.
    """

    def __init__(
        self, student: Any, classes: NDArray[Any], offsets: NDArray[np.float64] | None = None
    ) -> None:
        self.student = student
        self.classes = classes
        self.offsets = offsets

    @property
    def classes_(self) -> NDArray[Any]:
        """The class labels."""
        return self.classes

    def fit(self, X: Any, y: Any = None) -> PublishedClassifier:
        """Do nothing: a published student is not trained again.

        Parameters
        ----------
        X, y : object
            Not used.

        Returns
        -------
        self : PublishedClassifier
        """
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict class labels, at the decision threshold.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        y : ndarray of shape (m,)
        """
        return predicted_labels(self.student, self._checked(X), self.classes, self.offsets)

    @available_if(_student_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the student's class probabilities.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        probabilities : ndarray of shape (m, n_classes)
        """
        return probabilities(self.student, self._checked(X), self.classes)

    @available_if(_student_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        log_probabilities : ndarray of shape (m, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    @available_if(_student_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the student's decision function.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        scores : ndarray of shape (m,) or (m, n_classes)
        """
        return np.asarray(self.student.decision_function(self._checked(X)))

    def _checked(self, X: Any) -> Any:
        if not hasattr(X, "shape") and not hasattr(X, "__len__"):
            X = np.asarray(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> PublishedClassifier:
        return self


@dataclass(frozen=True)
class Published:
    """A student that may be published, and what is promised about it.

    Parameters
    ----------
    estimator : estimator
        An ordinary fitted estimator: a :class:`PublishedClassifier`, or a regressor as it is.
    statement : PrivacyStatement
        The publisher's claim.
    """

    estimator: Any
    statement: PrivacyStatement

    def save(self, path: Any) -> str:
        """Write both to a file; see :func:`save`.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        digest : str
        """
        from skdistill.publishing.files import save

        return save(self, path)


def export(distiller: Any) -> Published:
    """Take the student and the statement out of a fitted distiller.

    Parameters
    ----------
    distiller : PrivateDistiller
        Fitted.

    Returns
    -------
    published : Published
        ``estimator`` predicts what the distiller predicts, bit for bit, and holds no teacher,
        accountant or ledger. It shares the student with the distiller.

    Raises
    ------
    TypeError
        For anything that is no distiller and makes no statement.
    sklearn.exceptions.NotFittedError
        For a distiller that is not fitted.
    ValueError
        Where the student holds the teacher or a part of it, for instance as a frozen step of a
        pipeline: publishing it would publish the teacher.

    Notes
    -----
    Post-processing: the student, the offsets and the classes are functions of released labels, the
    public X and public settings, so the export has the guarantee of the release and no other cost
    (Dwork and Roth 2014, Proposition 2.1). That the *student* is such a function fails only where
    the user put private parts into it, which is what is searched for
    (:func:`refuse_private_parts`).
    """
    if not hasattr(distiller, "epsilon") or not hasattr(distiller, "student"):
        raise TypeError(
            f"Only a distiller's student has a statement, and a {type(distiller).__name__} is "
            "none. Give a fitted PrivateDistiller or PATEClassifier; of a search, its "
            "best_estimator_."
        )
    check_is_fitted(distiller)
    student = distiller.student_
    refuse_private_parts(student, getattr(distiller, "teacher", None))
    classes = getattr(distiller, "classes_", None)
    if classes is None:
        return Published(student, distiller.privacy_)
    estimator = PublishedClassifier(student, classes, distiller.decision_offsets_)
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(distiller, name):
            setattr(estimator, name, getattr(distiller, name))
    return Published(estimator, distiller.privacy_)
