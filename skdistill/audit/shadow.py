"""Shadow models: what the attacked model would say had other records been its members.

Shadow models are trained like the attacked one on random halves of the records at hand, so that
every record is a member of half of them. They look at the auditor's own records, and so does
everything computed from them: none of it is for publication.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from skdistill._tables import take_rows
from skdistill.audit.attacks import log_odds

__all__ = ["ShadowDistiller", "ShadowModels", "train_shadow_models"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShadowModels:
    """What shadow models say of a pool of records.

    Parameters
    ----------
    confidences : ndarray of shape (n_shadows, n)
        :func:`~skdistill.audit.attacks.log_odds` of each model on each record of the pool.
    member : ndarray of bool, shape (n_shadows, n)
        Which model was trained with which record.
    """

    confidences: Array
    member: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp] | slice) -> ShadowModels:
        """Return the columns of some records of the pool.

        Parameters
        ----------
        rows : ndarray of int or slice

        Returns
        -------
        shadow_models : ShadowModels
        """
        return ShadowModels(self.confidences[:, rows], self.member[:, rows])

    def __repr__(self) -> str:
        models, records = self.confidences.shape
        return f"ShadowModels({models} models, {records} records)"


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

    Of every record's `n_shadows` models exactly half are trained with it, as in LiRA.

    Parameters
    ----------
    estimator : estimator
        Classifier with `predict_proba`. A fitted one is cloned, FrozenEstimators are opened. An
        `accountant` it has is left out: shadow models stay with the auditor, and charge nothing.
    X : array-like of shape (n, d)
        The pool: suspected members and known non-members together.
    y : array-like of shape (n,)
    n_shadows : int, default=64
        At least 2.
    trainable : array-like of bool, shape (n,), default=None
        Records that shadow models may be trained on; the others are only asked about (for offline
        attacks). None is all.
    random_state : int, RandomState or None, default=None
        Draws the halves.
    n_jobs : int, default=None
        Jobs of joblib, whichever backend is active.
    verbose : int, default=0
        Progress, as joblib prints it.

    Returns
    -------
    shadow_models : ShadowModels

    Raises
    ------
    TypeError
        For a PrivateDistiller, which needs :class:`ShadowDistiller`.
    ValueError
        For fewer than two shadow models or records. Where a shadow model raises, its message is
        withheld, since it may quote a record.

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
    codes, classes = coded(y)
    n = len(codes)
    allowed = np.ones(n, bool) if trainable is None else np.asarray(trainable, dtype=bool)
    if n_shadows < 2 or allowed.shape != (n,) or allowed.sum() < 2:
        raise ValueError(
            f"n_shadows={n_shadows} and {int(allowed.sum())} records to train on (of {n}): there "
            "must be at least two of each."
        )
    rng = check_random_state(random_state)
    order = rng.uniform(size=(n_shadows, n)).argsort(axis=0)
    member = (order < n_shadows // 2) & allowed
    blank = _uncharged(estimator)
    labels = np.asarray(y)
    confidences = Parallel(n_jobs=n_jobs, verbose=verbose)(
        delayed(_one_shadow)(blank, X, labels, codes, classes, np.flatnonzero(row))
        for row in member
    )
    return ShadowModels(np.array(confidences), member)


class ShadowDistiller(ClassifierMixin, BaseEstimator):
    """Train a teacher and distil it, in one ``fit`` on private records: a shadow student.

    Students are attacked best with shadow students: each shadow model is a teacher of its own
    and what the same distiller makes of it.

    Parameters
    ----------
    distiller : PrivateDistiller
        The audited one, with its teacher. Its accountant is left out: shadow students stay with
        the auditor, who has the records anyway.
    X_transfer : array-like of shape (m, d)
        The transfer set it was fitted on.

    Attributes
    ----------
    model_ : PrivateDistiller
        Fitted.
    classes_ : ndarray of shape (n_classes,)
    """

    def __init__(self, distiller: Any, X_transfer: Any) -> None:
        self.distiller = distiller
        self.X_transfer = X_transfer

    def fit(self, X: Any, y: Any) -> ShadowDistiller:
        """Train the teacher's clone on (X, y) and distil it.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)

        Returns
        -------
        self : ShadowDistiller
        """
        teacher = clone(unfrozen(self.distiller.teacher)).fit(X, y)
        blank = clone(self.distiller).set_params(teacher=teacher, accountant=None)
        self.model_ = blank.fit(self.X_transfer)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the student's class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
        """
        model = self.model_
        return np.asarray(model.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the student's predictions.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        y : ndarray of shape (n,)
        """
        model = self.model_
        return np.asarray(model.predict(X))

    def __sklearn_clone__(self) -> ShadowDistiller:
        """Share the transfer set, and leave behind what the teacher has learned."""
        teacher = clone(unfrozen(self.distiller.teacher))
        blank = clone(self.distiller).set_params(teacher=teacher, accountant=None)
        return type(self)(blank, self.X_transfer)


# ------------------------------------------------------------------------------------------ parts


def coded(y: ArrayLike) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return labels as codes, and the labels they stand for, sorted."""
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    return codes, classes


def unfrozen(estimator: Any) -> Any:
    """Return what FrozenEstimators hold."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def withheld(call: Callable[[], Any], what: str) -> Any:
    """Call; raise fixed text where it raises, since a message may quote a record."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except Exception as error:
        kind = type(error).__name__
    raise ValueError(
        f"{what} raised {kind}; its message is withheld because it may quote a record. Call it "
        "yourself on a few rows to see it."
    )


def aligned_probabilities(model: Any, X: Any, classes: NDArray[Any]) -> Array:
    """Return a model's probabilities, with one column for each of `classes` (0 where unknown).

    Raises
    ------
    ValueError
        If the model raises (its message is withheld), or answers in another shape.
    """
    answers = np.asarray(withheld(lambda: model.predict_proba(X), "The model's predict_proba"))
    known = np.asarray(model.classes_)
    if answers.ndim != 2 or answers.shape[1] != len(known):
        raise ValueError(
            f"The model's predict_proba has shape {answers.shape} for {len(known)} classes; "
            "multi-output models are not supported."
        )
    p = np.zeros((len(answers), len(classes)))
    found = {label: column for column, label in enumerate(known.tolist())}
    for column, label in enumerate(classes.tolist()):
        if label in found:
            p[:, column] = answers[:, found[label]]
    return p


def stacked(parts: list[Any]) -> Any:
    """Return tables one below the other, in the container they came in."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if hasattr(first, "tocsr"):
        from scipy import sparse

        return sparse.vstack(parts, format="csr")
    library = sys.modules.get(type(first).__module__.partition(".")[0])  # pandas or polars
    concat = getattr(library, "concat", None)
    if concat is not None and not isinstance(first, np.ndarray):
        return concat(parts)
    if isinstance(first, (list, tuple)):
        return [row for part in parts for row in part]
    return np.concatenate([np.asarray(part) for part in parts])


def _uncharged(estimator: Any) -> Any:
    """Return an unfitted clone that charges no accountant: shadow models stay with the auditor."""
    blank = clone(unfrozen(estimator))
    if hasattr(blank, "teacher"):
        raise TypeError(
            f"{type(blank).__name__} is trained on a transfer set, so it makes no shadow model on "
            "private records by itself. Use ShadowDistiller(distiller, X_transfer)."
        )
    names = [name for name in blank.get_params() if name.rpartition("__")[2] == "accountant"]
    return blank.set_params(**dict.fromkeys(names))


def _one_shadow(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    rows: NDArray[np.intp],
) -> Array:
    """Train one shadow model on some rows and return its log-odds on all."""
    model = withheld(
        lambda: clone(estimator).fit(take_rows(X, rows), y[rows]), "A shadow model's fit"
    )
    p = aligned_probabilities(model, X, classes)
    return log_odds(_with_two_columns(p), codes)


def _with_two_columns(p: Array) -> Array:
    """Add an empty column to a single one: a pool may hold one class."""
    return np.column_stack([p, np.zeros(len(p))]) if p.shape[1] == 1 else p
