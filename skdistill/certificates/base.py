"""The shapes a certificate can have.

A certificate is a proved statement of how far *one replaced record* (or one replaced group, for
a teacher trained with groups) can move what a fitted teacher says. It is computed from public
quantities only: the kind of the teacher, its settings, and the number of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags

__all__ = [
    "AlreadyPrivate",
    "Certificate",
    "DisjointTeachers",
    "ParameterBall",
    "RowBound",
    "is_public_map",
    "unwrap",
]

Array = NDArray[np.float64]


def iter_nothing(X: Any, function: Callable[[Any], Any]) -> Iterator[Any]:
    """Iterate over the votes of no teacher."""
    return iter(())


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What the shapes of a certificate have in common; not used by itself.

    Parameters
    ----------
    name : str
        A short name, shown in the privacy statement.
    reason : str
        One sentence: why the bound holds.
    reference : str
        The paper and theorem the reason rests on.
    assumes : tuple of str
        What the user asserts and the package cannot check; listed in the statement.
    class_counts : callable or None
        Returns the integer counts of the teacher's training records per class, shape
        ``(n_classes,)``. Replacing one record moves two of them by one (L2 √2, L1 2). None where
        a teacher keeps no such counts.
    unit : {"record", "group"}
        What is replaced in the neighbouring relation.
    """

    name: str = "user-supplied"
    reason: str = "Asserted by the user."
    reference: str = ""
    assumes: tuple[str, ...] = ("the bound passed as `certificate` holds for this teacher",)
    class_counts: Callable[[], NDArray[np.int64]] | None = None
    unit: str = "record"


@dataclass(frozen=True)
class RowBound(Certificate):
    """Every transfer row moves at most this far, all rows at once.

    Replacing one record moves each row of the teacher's output by at most `l1` in the L1 norm and
    `l2` in the L2 norm, so the m rows together by at most ``m * l1`` (L1) and ``sqrt(m) * l2``
    (L2).

    Parameters
    ----------
    l1, l2 : float
        For a classifier in units of probability (rows are points of the simplex, of diameter 2
        and √2); for a regressor in units of the target.
    outputs : callable or None
        ``outputs(teacher, X) -> (m, n_classes)``: how the bounded output is computed, where that
        is not ``predict_proba``. Only :mod:`skdistill.release` calls it.

    Examples
    --------
    >>> from skdistill.certificates import RowBound
    >>> bound = RowBound(0.02, 0.015, name="my proof", reason="Lemma 3 of our report.")
    >>> bound.l2
    0.015
    """

    l1: float
    l2: float
    outputs: Callable[[Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        for field in ("l1", "l2"):
            _check_positive(self, field)
        if not self.l2 <= self.l1 * (1 + 1e-12):
            raise ValueError(
                f"RowBound(l1={self.l1!r}, l2={self.l2!r}): a vector's L2 norm never exceeds its "
                "L1 norm, so the smaller valid bound is l2 <= l1. Did you swap them?"
            )


@dataclass(frozen=True)
class DisjointTeachers(RowBound):
    """Many teachers, no record of which has been seen by two of them.

    One record moves one teacher's answers, by the diameter of what it can say at most, and the
    sum over all teachers by no more: `l1` and `l2` are those of the average.

    Parameters
    ----------
    n_teachers : int
        Number of teachers k, public.
    member_votes : callable
        ``member_votes(X, function) -> iterator`` over ``function(votes)`` for the raw votes of
        one teacher after another, shape ``(m, n_classes)`` or ``(m,)``. Only
        :mod:`skdistill.release` calls it.
    """

    n_teachers: int = 1
    member_votes: Callable[[Any, Callable[[Any], Any]], Iterator[Any]] = iter_nothing


@dataclass(frozen=True)
class ParameterBall(Certificate):
    """The teacher's scores are Φ(X)·Wᵀ and one record moves W by at most `radius`.

    Noise is put on W, once, whatever the number of transfer rows.

    Parameters
    ----------
    radius : float
        Bound on ``‖W − W'‖`` in the Frobenius norm.
    weights : callable
        ``weights() -> ndarray of shape (n_scores, n_features)``: the private parameters. Only
        :mod:`skdistill.release` calls it.
    features : callable
        ``features(X) -> (m, n_features)``, array or CSR: the public map Φ.
    link : callable
        ``link(scores) -> (m, n_classes)`` or, for a regressor, ``(m,)``: from scores to soft
        labels.
    feature_norm : float or None
        A bound on the norm of a row of Φ(X), used only to say how large the noise on a score is.
    """

    radius: float
    weights: Callable[[], Array]
    features: Callable[[Any], Any]
    link: Callable[[Array], Array]
    feature_norm: float | None = None

    def __post_init__(self) -> None:
        _check_positive(self, "radius")


@dataclass(frozen=True)
class AlreadyPrivate(Certificate):
    """The teacher is itself differentially private: whatever is computed from it is free.

    Proof: differential privacy is closed under post-processing (Dwork and Roth 2014,
    Proposition 2.1); the labels are a function of the teacher and of the public X alone.

    Parameters
    ----------
    epsilon, delta : float
        What the teacher says of itself.
    """

    epsilon: float
    delta: float = 0.0

    def __post_init__(self) -> None:
        _check_positive(self, "epsilon", zero=True)
        if not 0 <= self.delta < 1:
            raise ValueError(f"AlreadyPrivate: delta must be in [0, 1), got {self.delta!r}.")


def _check_positive(certificate: Certificate, field: str, zero: bool = False) -> None:
    value = getattr(certificate, field)
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    if isinstance(value, (bool, np.bool_)) or not is_number:
        raise TypeError(f"{type(certificate).__name__}: {field} must be a number, got {value!r}.")
    if not (0 < value < np.inf or (zero and value == 0)):
        raise ValueError(
            f"{type(certificate).__name__}: {field} must be positive and finite, got {value!r}."
        )


def unwrap(teacher: Any) -> Any:
    """Return what FrozenEstimators hold."""
    while isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    return teacher


def is_public_map(step: Any) -> bool:
    """Whether a transformer learned nothing from the rows a pipeline was fitted on.

    True for ``"passthrough"``, ``"drop"``, None, transformers that declare that they need no fit
    (scikit-learn's tag ``requires_fit``), FrozenEstimators, and Pipelines, FeatureUnions and
    ColumnTransformers made of those alone.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion, Pipeline

    if step is None or isinstance(step, (str, FrozenEstimator)):
        return True
    if type(step) is Pipeline:
        return all(is_public_map(inner) for _, inner in step.steps)
    if type(step) is FeatureUnion:
        return all(is_public_map(inner) for _, inner in step.transformer_list)
    if type(step) is ColumnTransformer:
        inner = [transformer for _, transformer, _ in step.transformers]
        return all(is_public_map(each) for each in [*inner, step.remainder])
    try:
        return not get_tags(step).requires_fit
    except (AttributeError, TypeError):
        return False
