"""Published: a student as an ordinary estimator, and its statement."""

from __future__ import annotations

import html
import operator
from dataclasses import dataclass, field
from typing import Any

from skdistill._html import folded
from skdistill.publishing.private_parts import refuse_private_parts, without_memory
from skdistill.statement import PrivacyStatement

_OF_THE_ESTIMATOR = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "score"),
    *("classes_", "n_features_in_", "feature_names_in_"),
)


@dataclass(frozen=True, repr=False)
class Published:
    """A student that may be published, and the promise that is made about it.

    It predicts: ``predict``, ``predict_proba``, ``predict_log_proba``, ``decision_function``,
    ``score``, ``classes_``, ``n_features_in_`` and ``feature_names_in_`` are those of `estimator`,
    where it has them.

    Parameters
    ----------
    estimator : estimator
        An ordinary fitted estimator: a :class:`~skdistill.students.ThresholdedStudent`.
    statement : PrivacyStatement
        The publisher's claim.

    Notes
    -----
    ``export()`` of a fitted distiller and :func:`skdistill.load` make one. If it was made by hand,
    nothing ties the statement to the estimator, and :func:`skdistill.save` asks for ``vouch=True``.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdistill import NewtonClassifier, PrivateDistiller
    >>> X, y = make_classification(3_000, random_state=0)
    >>> teacher = NewtonClassifier(classes=[0, 1]).fit(X[:2_000], y[:2_000])
    >>> published = PrivateDistiller(teacher, epsilon=4.0).fit(X[2_000:]).export()
    >>> published
    Published(LogisticRegression, ε=4, δ=1e-06)
    >>> published.predict(X[:3]).shape, published.statement.epsilon
    ((3,), 4.0)
    """

    estimator: Any
    statement: PrivacyStatement
    _tied: tuple[Any, ...] = field(default=(), init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        student = type(getattr(self.estimator, "student", self.estimator)).__name__
        promise = f"ε={self.statement.epsilon:.6g}, δ={self.statement.delta:.3g}"
        return f"Published({student}, {promise if self.statement.private else 'NOT private'})"

    def _repr_html_(self) -> str:
        statement = folded("privacy statement", self.statement._repr_html_())
        text = f"<pre style='white-space:pre-wrap'>{html.escape(repr(self))}</pre>"
        return f"<div>{text}{statement}</div>"

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_ESTIMATOR:
            return getattr(self.estimator, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def is_tied(self) -> bool:
        """Whether the estimator is the one that the statement was made for.

        Returns
        -------
        tied : bool
            False for an object that was made by hand.
        """
        now = _parts(self.estimator)
        return len(self._tied) == len(now) and all(map(operator.is_, self._tied, now))


def _parts(estimator: Any) -> tuple[Any, ...]:
    return (estimator, *getattr(estimator, "__dict__", {}).values())


def publish(model: Any, statement: PrivacyStatement, teacher: Any = None) -> Published:
    """Tie a student to the statement of its fit, after a search for the teacher in it.

    Proof. Post-processing: the student, the offsets and the classes are functions of released
    labels, the public X and public settings, so the export has the guarantee of the release and no
    other cost (Dwork and Roth 2014, Proposition 2.1), unless the user put private parts into it:
    the search raises for them.
    """
    refuse_private_parts(model, teacher)
    published = Published(without_memory(model), statement)
    object.__setattr__(published, "_tied", _parts(model))
    return published
