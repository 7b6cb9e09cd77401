"""Published: a student as an ordinary estimator, and its statement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from skdistill.publishing.private_parts import refuse_private_parts, without_memory
from skdistill.statement import PrivacyStatement
from skdistill.students import ThresholdedStudent

__all__ = ["Published", "export", "publish"]

_OF_THE_ESTIMATOR = (
    *("predict_proba", "predict_log_proba", "decision_function", "score"),
    *("classes_", "n_features_in_", "feature_names_in_"),
)


@dataclass(frozen=True)
class Published:
    """A student that may be published, and the promise that is made about it.

    It predicts: ``predict_proba``, ``predict_log_proba``, ``decision_function``, ``score``,
    ``classes_``, ``n_features_in_`` and ``feature_names_in_`` are those of `estimator`, where it
    has them.

    Parameters
    ----------
    estimator : estimator
        An ordinary fitted estimator: a :class:`~skdistill.students.ThresholdedStudent`.
    statement : PrivacyStatement
        The publisher's claim.

    Notes
    -----
    ``export()`` of a fitted distiller makes one, and so does :func:`load`. In one that was made by
    hand nothing ties the statement to the estimator: :func:`save` asks for ``vouch=True`` then.
    """

    estimator: Any
    statement: PrivacyStatement
    _tied: Any = field(default=None, init=False, repr=False, compare=False)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict with the estimator, at the decision threshold.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        y : ndarray of shape (m,)
        """
        predicted: NDArray[Any] = self.estimator.predict(X)
        return predicted

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_ESTIMATOR:
            return getattr(self.estimator, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def save(self, path: Any, *, vouch: bool = False) -> str:
        """Write both to a file; see :func:`save`.

        Parameters
        ----------
        path : str or path-like
        vouch : bool, default=False
            See :func:`save`.

        Returns
        -------
        digest : str
        """
        from skdistill.publishing.files import save

        return save(self, path, vouch=vouch)

    def is_tied(self) -> bool:
        """Whether the estimator and the statement are those of one fit, or of one file.

        A student that was fitted again in place is not noticed.
        """
        return self._tied is not None and self._tied == _identity(self.estimator)


def _identity(estimator: Any) -> tuple[Any, ...]:
    parts = vars(estimator) if isinstance(estimator, ThresholdedStudent) else {}
    return (id(estimator), *(id(parts.get(name)) for name in ("student", "classes", "offsets")))


def tie(estimator: Any, statement: PrivacyStatement) -> Published:
    """Return an estimator with the statement that was made for it."""
    published = Published(estimator, statement)
    object.__setattr__(published, "_tied", _identity(estimator))
    return published


def publish(model: ThresholdedStudent, statement: PrivacyStatement, teacher: Any) -> Published:
    """Tie a student to the statement of its fit, and look for the teacher in it.

    Parameters
    ----------
    model : ThresholdedStudent
        Its student loses the folder of its cache (:func:`without_memory`).
    statement : PrivacyStatement
        Of the fit in which the student was trained.
    teacher : estimator or None
        Fitted.

    Returns
    -------
    published : Published

    Raises
    ------
    ValueError
        Where the student holds the teacher or a part of it, for instance as a frozen step of a
        pipeline.

    Notes
    -----
    Post-processing: the student, the offsets and the classes are functions of released labels, the
    public X and public settings, so the export has the guarantee of the release and no other cost
    (Dwork and Roth 2014, Proposition 2.1). That the *student* is such a function fails only where
    the user put private parts into it, which is what is searched for.
    """
    refuse_private_parts(model, teacher)
    without_memory(model)
    return tie(model, statement)


def export(distiller: Any) -> Published:
    """Take the student and the statement out of a fitted distiller.

    Parameters
    ----------
    distiller : PrivateDistiller, PATEClassifier or PATERegressor
        Fitted.

    Returns
    -------
    published : Published
        It predicts what the distiller predicts, bit for bit, and holds no teacher, accountant or
        ledger. It shares the student with the distiller.

    Raises
    ------
    TypeError
        For an object that is no distiller, and so makes no statement.
    sklearn.exceptions.NotFittedError
        For a distiller that is not fitted.
    ValueError
        See :func:`publish`.
    """
    if isinstance(distiller, type) or not callable(getattr(distiller, "export", None)):
        raise TypeError(
            f"Only a distiller's student has a statement, and <{type(distiller).__name__}> is no "
            "distiller. Give a fitted PrivateDistiller or PATEClassifier; of a search, its "
            "best_estimator_."
        )
    published = distiller.export()
    assert isinstance(published, Published)
    return published
