"""Finding the proof for a teacher: users' own first, then the package's families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skdistill.certificates.already_private import already_private
from skdistill.certificates.base import Certificate, unwrap
from skdistill.certificates.ensembles import disjoint_teachers
from skdistill.certificates.neighbors import uniform_neighbors
from skdistill.certificates.pipelines import pipeline
from skdistill.certificates.stable_linear import stable_logistic_regression
from skdistill.certificates.worst_case import worst_case

__all__ = ["certify", "prove", "register"]

Prover = Callable[[Any], "Certificate | None"]

_REGISTERED: dict[type, Prover] = {}


def register(cls: type) -> Callable[[Prover], Prover]:
    """Register a proof for one class of teachers.

    The proof is found for exactly this class. A subclass may override ``predict_proba``, and a
    bound that was proved for the parent would then be false, so subclasses are registered on
    their own.

    Parameters
    ----------
    cls : type
        The teacher's class.

    Returns
    -------
    decorator : callable
        Takes ``prove(teacher) -> Certificate or None``; None means that this teacher's settings
        admit no proof, and the worst case is used.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skdistill.certificates import RowBound, register
    >>> class ConstantClassifier(DummyClassifier):
    ...     pass
    >>> @register(ConstantClassifier)
    ... def constant(teacher):
    ...     if teacher.strategy != "uniform":
    ...         return None
    ...     return RowBound(1e-9, 1e-9, name="constant", reason="It ignores its records.")
    """

    def decorator(prove: Prover) -> Prover:
        _REGISTERED[cls] = prove
        return prove

    return decorator


def certify(
    teacher: Any, X: Any = None, *, output_range: tuple[float, float] | None = None
) -> Certificate:
    """Find the best certificate that can be proved for a fitted teacher.

    Parameters
    ----------
    teacher : estimator
        A fitted classifier or regressor; a FrozenEstimator is looked into.
    X : array-like, optional
        The transfer set. No built-in proof depends on it; accepted so that a user's own may.
    output_range : tuple of (float, float), optional
        For a regressor, the public range its outputs are clipped to.

    Returns
    -------
    certificate : Certificate
        The registered proof for exactly this class, or else the worst case (the diameter of the
        simplex, or of `output_range`).

    Raises
    ------
    ValueError
        For a regressor without `output_range`: no bound holds for unbounded outputs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.certificates import certify
    >>> teacher = DecisionTreeClassifier().fit(*load_iris(return_X_y=True))
    >>> certify(teacher).name
    'worst case'
    """
    found = prove(unwrap(teacher), output_range)
    return found if found is not None else worst_case(teacher, output_range)


def prove(teacher: Any, output_range: tuple[float, float] | None = None) -> Certificate | None:
    """Return the proof for a teacher that is not wrapped, or None where there is none."""
    registered = _REGISTERED.get(type(teacher))
    if registered is not None:
        return registered(teacher)
    return (
        already_private(teacher)
        or uniform_neighbors(teacher)
        or stable_logistic_regression(teacher)
        or disjoint_teachers(teacher, output_range)
        or pipeline(teacher, lambda last: prove(last, output_range))
    )
