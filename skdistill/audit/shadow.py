"""Shadow models: copies of the attacked model that were trained on other members.

They look at the auditor's own records: nothing here is for publication.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state

from skdistill._tables import take_rows
from skdistill.audit.attacks import log_odds
from skdistill.audit.records import ask, class_probabilities
from skdistill.certificates.base import unwrap

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShadowModels:
    """Confidences of shadow models on a pool of records.

    Parameters
    ----------
    confidences : ndarray of shape (n_shadows, n)
        :func:`~skdistill.audit.log_odds` of each model on each record of the pool.
    member : ndarray of bool, shape (n_shadows, n)
        Which model was trained with which record.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.audit import ShadowModels
    >>> ShadowModels(np.zeros((4, 10)), np.arange(40).reshape(4, 10) % 2 == 0)
    ShadowModels(4 models, 10 records)
    """

    confidences: Array
    member: NDArray[np.bool_]

    def __repr__(self) -> str:
        return "ShadowModels({} models, {} records)".format(*self.confidences.shape)


def train_shadow_models(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_shadows: int = 64,
    trainable: ArrayLike | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ShadowModels:
    """Train clones of an estimator on random halves of a pool of records.

    Exactly half of the shadow models are trained with any given record, as in LiRA.

    Parameters
    ----------
    estimator : estimator
        Classifier with `predict_proba`; for a PrivateDistiller, a :class:`ShadowDistiller`. A
        fitted one is cloned, FrozenEstimators are opened. An `accountant` it has is left out:
        shadow models stay with the auditor, and charge nothing.
    X, y : array-like of shape (n, d) and (n,)
        The pool: suspected members and known non-members together.
    n_shadows : int, default=64
        At least 2.
    trainable : array-like of bool, shape (n,), default=None
        Records that shadow models may be trained on (for offline attacks). None is all.
    random_state, n_jobs, verbose : int, default=None, None, 0
        The first draws the halves; the others are for joblib.

    Returns
    -------
    shadows : ShadowModels
        Their confidences on all records of the pool, and who was trained on which record.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skdistill.audit import train_shadow_models
    >>> X, y = load_iris(return_X_y=True)
    >>> shadows = train_shadow_models(GaussianNB(), X, y, n_shadows=4)
    >>> shadows
    ShadowModels(4 models, 150 records)
    >>> print(shadows.member.sum(axis=0)[:5])
    [2 2 2 2 2]
    """
    labels = np.asarray(y)
    n, known = len(labels), np.unique(labels, return_inverse=True)
    allowed = np.ones(n, bool) if trainable is None else np.asarray(trainable, dtype=bool)
    if n_shadows < 2 or allowed.shape != (n,) or allowed.sum() < 2:
        raise ValueError(
            f"n_shadows={n_shadows}, {int(allowed.sum())} records to train on: give two of each."
        )
    order = check_random_state(random_state).uniform(size=(n_shadows, n)).argsort(axis=0)
    member = (order < n_shadows // 2) & allowed
    blank = _uncharged(estimator)
    confidences = Parallel(n_jobs=n_jobs, verbose=verbose)(
        delayed(_shadow_confidences)(blank, X, labels, *known, np.flatnonzero(row))
        for row in member
    )
    return ShadowModels(np.array(confidences), member)


def _uncharged(estimator: Any) -> Any:
    """Return an unfitted clone that charges no accountant: shadow models stay with the auditor."""
    blank = clone(unwrap(estimator))
    if "teacher" in getattr(blank, "_shared", ()):  # a PrivateClassifier fits its own
        raise TypeError(
            f"{type(blank).__name__} is trained on a transfer set, so it makes no shadow model on "
            "private records by itself. Use ShadowDistiller(distiller, X_transfer)."
        )
    names = [name for name in blank.get_params() if name.rpartition("__")[2] == "accountant"]
    return blank.set_params(**dict.fromkeys(names))


def _shadow_confidences(
    estimator: Any, X: Any, y: Any, classes: Any, codes: Any, rows: NDArray[np.intp]
) -> Array:
    """Train one shadow model on some rows and return its log-odds on all."""
    model = clone(estimator)
    ask(model.fit, "A shadow model's fit", take_rows(X, rows), y[rows])
    p = class_probabilities(model, X, classes)
    if p.shape[1] == 1:  # all records of the pool are of one class
        p = np.column_stack([p, np.zeros(len(p))])
    return log_odds(p, codes)


class ShadowDistiller(ClassifierMixin, BaseEstimator):
    """Train a teacher and distil it, in one ``fit`` on private records: a shadow student.

    Parameters
    ----------
    distiller : PrivateDistiller
        The audited one, with its teacher. Its accountant is left out: nothing leaves.
    X_transfer : array-like of shape (m, d)
        The transfer set it was fitted on.

    Attributes
    ----------
    model_ : PrivateDistiller
        Fitted.
    classes_ : ndarray of shape (n_classes,)

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdistill import NewtonClassifier, PrivateDistiller
    >>> from skdistill.audit import ShadowDistiller
    >>> X, y = make_classification(3_000, random_state=0)
    >>> distiller = PrivateDistiller(NewtonClassifier(classes=[0, 1]), epsilon=4.0)
    >>> shadow = ShadowDistiller(distiller, X[2_000:]).fit(X[:2_000], y[:2_000])
    >>> shadow.predict(X[:3]).shape
    (3,)
    """

    def __init__(self, distiller: Any, X_transfer: Any) -> None:
        self.distiller = distiller
        self.X_transfer = X_transfer

    def fit(self, X: Any, y: Any) -> ShadowDistiller:
        """Train the teacher's clone on records, shape (n, d) and (n,), and distil it.

        Parameters
        ----------
        X, y : array-like of shape (n, d) and (n,)
            Records for the clone of the teacher, and their labels.

        Returns
        -------
        self : ShadowDistiller
            Fitted.
        """
        blank = self._blank()
        blank.teacher.fit(X, y)
        self.model_ = blank.fit(self.X_transfer)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the student's class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            Columns in the order of `classes_`.
        """
        return np.asarray(self.model_.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the student's predictions.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.

        Returns
        -------
        y : ndarray of shape (n,)
            Class labels.
        """
        return np.asarray(self.model_.predict(X))

    def _blank(self) -> Any:
        """Return an unfitted distiller with an unfitted teacher and without an accountant."""
        teacher = clone(unwrap(self.distiller.teacher))
        return clone(self.distiller).set_params(teacher=teacher, accountant=None)

    def __sklearn_clone__(self) -> ShadowDistiller:
        """Share the transfer set; the fitted teacher and the accountant stay behind."""
        return type(self)(self._blank(), self.X_transfer)
