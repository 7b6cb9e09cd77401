"""The kinds of certificates.

A certificate is a proved statement of how far *one replaced record* (or group) can move the outputs
of a fitted teacher. It is data, computed from public quantities alone: the class of the teacher,
its settings, and the number of records. The attribute `kind` of its class names its shape, and the
release has one table from kinds to mechanisms. The callables in it may see private records; only
:mod:`skdistill.release` calls them, through its boundary.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator

from skdistill._numbers import check_number, check_whole
from skdistill.accounting.relation import Relation, Unit, as_replace_one
from skdistill.statement import NOT_PROTECTED, PUBLIC_TRANSFER_SET, PrivacyStatement

Array = NDArray[np.float64]

#: An assumption on the private rows of every teacher whose bound is about single records.
OWN_RECORD = (
    "each row that the teacher was fitted on was made from its own record alone (by no scaler or "
    "encoder that was fitted on private rows)"
)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The fields that all kinds of certificates have; not used by itself.

    Parameters
    ----------
    name, reason, reference : str
        A short name; one sentence: why the bound holds; the paper and theorem it rests on.
    assumes : tuple of str
        Conditions that the user asserts and the package cannot check; listed in the statement.
    not_protected : tuple of str
        Facts that the guarantee does not cover, beside those that no release covers.
    relation : Relation
        The neighbouring relation of the bound: replace-one, for which noise is calibrated; only an
        :class:`AlreadyPrivate` can have another one.
    unit : Unit
        The unit that is replaced: a record, or all records of a group.
    class_counts : callable or None
        Returns the integer counts of the teacher's training records per class, shape
        ``(n_classes,)``. Replacing one record moves two of them by one (L2 √2, L1 2).
    transformer : object or None
        The fitted steps of a pipeline before its last step: ``transformer.transform(X)`` turns
        transfer rows into the rows that `outputs`, `member_votes` and `features` take. A teacher
        that is asked as a whole (``outputs=None``, or a private one) does that by itself.
    output_range : tuple of (float, float) or None
        The public range of a regression's outputs, where the teacher was given one.

    Attributes
    ----------
    kind : {"rows", "members", "parameters", "gradients", "private", "none"}
        Attribute of the class: the shape of the bound, which decides the mechanism.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skdistill.certificates import certify
    >>> bound = certify(KNeighborsClassifier(50).fit(*load_iris(return_X_y=True)))
    >>> bound.kind, str(bound.relation), str(bound.unit)
    ('rows', 'replace-one', 'record')
    """

    kind: ClassVar[str] = "none"
    _text: ClassVar[str] = "none"  # of the bound; {0} is the certificate
    #: Whether the release is a model, which is the default student itself.
    gives_model: ClassVar[bool] = False

    name: str = "user-supplied"
    reason: str = "Asserted by the user."
    reference: str = ""
    assumes: tuple[str, ...] = ("the bound passed as `certificate` holds for this teacher",)
    not_protected: tuple[str, ...] = ()
    relation: Relation = Relation.REPLACE_ONE
    unit: Unit = Unit.RECORD
    class_counts: Callable[[], NDArray[np.int64]] | None = field(default=None, repr=False)
    transformer: Any = field(default=None, repr=False)
    output_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        # The dataclass is frozen; strings are accepted and kept as enum members.
        object.__setattr__(self, "relation", Relation(self.relation))
        object.__setattr__(self, "unit", Unit(self.unit))
        if self.relation is not Relation.REPLACE_ONE and self.kind != "private":
            raise ValueError(
                f"{type(self).__name__}(relation={self.relation.value!r}): noise is calibrated "
                "and charged under replace-one. Replacing is removing and adding, so pass twice "
                "the bound and leave the relation out."
            )

    @property
    def bound_text(self) -> str:
        """The bound in words, for the privacy statement."""
        return self._text.format(self)

    @property
    def proof(self) -> dict[str, str]:
        """Name, bound, reason and reference: the field `certificate` of a statement."""
        return {
            "name": self.name,
            "bound": self.bound_text,
            "reason": self.reason,
            "reference": self.reference,
        }

    def rehearse(self, X: Any) -> None:
        """Try on public rows every step that public values decide, and let its exceptions pass.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public rows.
        """


@dataclass(frozen=True)
class RowBound(Certificate):
    """A bound on the move of every transfer row; all rows may move at once.

    One record moves each row of the teacher's output by at most `l1` in the L1 norm and `l2` in the
    L2 norm, so the m rows together by at most ``m * l1`` (L1) and ``sqrt(m) * l2`` (L2).

    Parameters
    ----------
    l1, l2 : float
        For a classifier in units of probability (rows are points of the simplex, of diameter 2
        and √2); for a regressor in units of the target.
    outputs : callable or None
        ``outputs(X) -> (m, n_classes)`` computes the bounded output. None: the teacher's
        ``predict_proba``. It takes rows that went through `transformer`.
    n_votes : int or None
        Where each row is the counts of `n_votes` votes, divided by `n_votes`: a release can put
        noise on the counts, which are integers already.

    Examples
    --------
    >>> from skdistill.certificates import RowBound
    >>> bound = RowBound(0.02, 0.015, name="my proof", reason="Lemma 3 of our report.")
    >>> bound.l2
    0.015
    >>> bound.bound_text
    'each row moves by at most 0.02 (L1), 0.015 (L2)'
    """

    kind: ClassVar[str] = "rows"
    _text: ClassVar[str] = "each row moves by at most {0.l1:.6g} (L1), {0.l2:.6g} (L2)"

    l1: float
    l2: float
    outputs: Callable[[Any], Any] | None = field(default=None, repr=False)
    n_votes: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, "l1", "l2")
        if not self.l2 <= self.l1 * (1 + 1e-12):
            raise ValueError(
                f"RowBound(l1={self.l1!r}, l2={self.l2!r}): a vector's L2 norm never exceeds its "
                "L1 norm, so the smaller valid bound is l2 <= l1. Did you swap them?"
            )
        if self.n_votes is not None:
            check_whole("n_votes", self.n_votes)

    @property
    def vote_bounds(self) -> tuple[float, float] | None:
        """How far one record moves a row of *counts*, in the L1 and the L2 norm; None if no votes.

        The L1 norm and the squared L2 norm of a difference are integers: both are rounded up.
        """
        if self.n_votes is None:
            return None
        l1, l2 = self.l1 * self.n_votes, self.l2 * self.n_votes
        # 1e-9: l1 = 2/k times k is 2 up to rounding, and must not become 3.
        return float(math.ceil(l1 - 1e-9)), math.sqrt(math.ceil(l2**2 - 1e-9))


@dataclass(frozen=True)
class DisjointTeachers(RowBound):
    """Many teachers on disjoint records: no record has been seen by two of them.

    One record moves the answers of one teacher, by at most the diameter of their range, and the sum
    over all teachers by no more. `l1` and `l2` are the bounds of the average.

    Parameters
    ----------
    n_teachers : int
        Number of teachers k, public.
    member_votes : callable
        ``member_votes(X, function) -> iterator`` over ``function(votes)`` for the raw votes of
        one teacher after another, shape ``(m, n_classes)`` or ``(m,)``.
    rehearsal : callable or None
        ``rehearsal(X, transformer)`` trains one member on public rows with made-up labels. Its
        exceptions pass, because nothing has been charged yet.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill import TeacherEnsemble
    >>> from skdistill.certificates import certify
    >>> ensemble = TeacherEnsemble(DecisionTreeClassifier(), 10, classes=[0, 1, 2])
    >>> bound = certify(ensemble.fit(*load_iris(return_X_y=True)))
    >>> bound.n_teachers, bound.l1
    (10, 0.2)
    """

    kind: ClassVar[str] = "members"

    n_teachers: int = 1
    member_votes: Callable[[Any, Callable[[Any], Any]], Iterator[Any]] = field(
        default=lambda X, function: iter(()), repr=False
    )
    rehearsal: Callable[[Any, Any], None] | None = field(default=None, repr=False, kw_only=True)

    def rehearse(self, X: Any) -> None:
        """Train one member on public rows with made-up labels, and ask it."""
        if self.rehearsal is not None:
            self.rehearsal(X, self.transformer)


@dataclass(frozen=True)
class ParameterBall(Certificate):
    """The teacher's scores are Φ(X)·Wᵀ and one record moves W by at most `radius`.

    Noise is put on W once, for any number of transfer rows.

    Parameters
    ----------
    radius : float
        Bound on ``‖W − W'‖`` in the Frobenius norm.
    weights, features, link : callable
        ``weights() -> ndarray of shape (n_scores, n_features)``: the private parameters.
        ``features(X) -> (m, n_features)``, array or CSR: the public map Φ. ``link(scores) -> (m,
        n_classes)`` or, for a regressor, ``(m,)``: from scores to soft labels.
    feature_norm : float or None
        A bound on the norm of a row of Φ(X). Only the stated noise on a score depends on it.
    shape : tuple of (int, int) or None
        Public shape of the parameters. None asks `weights` for it, before the charge.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import expit
    >>> from skdistill.certificates import ParameterBall
    >>> bound = ParameterBall(
    ...     0.01, weights=lambda: np.array([[0.5, -1.0]]), features=np.asarray,
    ...     link=lambda scores: np.column_stack([expit(-scores), expit(scores)]),
    ...     name="my proof", reason="Lemma 4 of our report.")
    >>> bound.bound_text
    'the parameters move by at most 0.01 (L2)'
    """

    kind: ClassVar[str] = "parameters"
    _text: ClassVar[str] = "the parameters move by at most {0.radius:.6g} (L2)"

    radius: float
    weights: Callable[[], Array] = field(repr=False)
    features: Callable[[Any], Any] = field(repr=False)
    link: Callable[[Array], Array] = field(repr=False)
    feature_norm: float | None = None
    shape: tuple[int, int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, "radius")


@dataclass(frozen=True)
class GradientSums(Certificate):
    """The teacher keeps its private rows, and answers integer sums over them.

    Parameters
    ----------
    rows : PrivateRows
        Each of its sums carries its own bound (:mod:`skdistill.release.private_sums`). **Private**,
        but for the numbers of units, columns and classes.
    curvature : ndarray, CSR matrix or None
        Public rows that the steps take their curvature from; None takes the transfer set.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdistill import NewtonClassifier
    >>> from skdistill.certificates import certify
    >>> certify(NewtonClassifier(classes=[0, 1, 2]).fit(*load_iris(return_X_y=True))).bound_text
    'one record moves each sum of gradients by at most twice their clip (L2)'
    """

    kind: ClassVar[str] = "gradients"
    _text: ClassVar[str] = (
        "one {0.unit} moves each sum of gradients by at most twice their clip (L2)"
    )
    gives_model: ClassVar[bool] = True

    rows: Any = field(repr=False)
    curvature: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class AlreadyPrivate(Certificate):
    """The teacher is itself differentially private: everything computed from it is free.

    Proof: differential privacy is closed under post-processing (Dwork and Roth 2014, Proposition
    2.1). The student's guarantee is the teacher's, in the teacher's own relation and unit.

    Parameters
    ----------
    epsilon, delta : float
        The teacher's guarantee under `relation`.
    mu : float or None
        Its Gaussian-DP parameter, if it has one.
    inherited : PrivacyStatement or None
        The teacher's own statement, where it has one: its noise source, the data it is about and
        the cap of its ledger become those of the student's statement.

    Examples
    --------
    >>> from skdistill.certificates import AlreadyPrivate
    >>> AlreadyPrivate(1.0, relation="add-or-remove").as_replace_one().epsilon
    2.0
    """

    kind: ClassVar[str] = "private"
    _text: ClassVar[str] = "nothing more is released than the teacher already protects"

    epsilon: float
    delta: float = 0.0
    mu: float | None = field(default=None, kw_only=True)
    inherited: PrivacyStatement | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epsilon",) if self.mu is None else ("epsilon", "mu"):
            check_number(name, getattr(self, name), "finite, at least 0", lambda v: 0 <= v < np.inf)
        check_number("delta", self.delta, "in [0, 1)", lambda v: 0 <= v < 1)

    def statement(self, n_queries: int) -> PrivacyStatement:
        """Return the statement of a student: the teacher's in full, and the fact that X is public.

        Parameters
        ----------
        n_queries : int
            Number of transfer rows that were labelled.

        Returns
        -------
        statement : PrivacyStatement
            The guarantee of the student.
        """
        public = NOT_PROTECTED if self.inherited is None else (PUBLIC_TRANSFER_SET,)
        names = ("epsilon", "delta", "mu", "relation", "unit", "assumes")
        changed: dict[str, Any] = {name: getattr(self, name) for name in names}
        changed |= {"mechanism": "post-processing", "certificate": self.proof, "private": True}
        changed["not_protected"] = tuple(dict.fromkeys((*self.not_protected, *public)))
        changed["n_queries"] = n_queries
        if self.inherited is not None:
            return replace(self.inherited, **changed)
        return PrivacyStatement(**changed, sampler="the teacher's own noise")

    def as_replace_one(self) -> AlreadyPrivate:
        """Return the same guarantee under the relation replace-one.

        ε and δ are those of :func:`skdistill.accounting.relation.as_replace_one`. μ becomes 2μ
        (group privacy of Gaussian DP for two: Dong, Roth and Su 2022, Theorem 2.14).

        Returns
        -------
        certificate : AlreadyPrivate
            This one, if its relation is replace-one already.

        Raises
        ------
        ValueError
            If the converted δ is 1.
        """
        if self.relation is Relation.REPLACE_ONE:
            return self
        epsilon, delta = as_replace_one(self.epsilon, self.delta, self.relation)
        mu = None if self.mu is None else 2 * self.mu
        return replace(self, epsilon=epsilon, delta=delta, mu=mu, relation=Relation.REPLACE_ONE)


def _check_positive(certificate: Certificate, *names: str) -> None:
    for name in names:
        value, of = getattr(certificate, name), type(certificate).__name__
        check_number(f"{of}: {name}", value, "positive and finite", lambda v: 0 < v < np.inf)


def stated_privacy(teacher: Any) -> Certificate | None:
    """Certify a teacher whose fitted attribute `privacy_` is a private PrivacyStatement.

    Proof: post-processing, see :class:`AlreadyPrivate`. The statement is inherited in full: nobody
    checks it. That of an estimator of this package is about its own answers: a subclass that
    answers otherwise has not made it. A fitted attribute `epsilon_` is *not* taken for a claim:
    scikit-learn's own GaussianNB has one (the variance it adds, about 1e-9), and it promises
    nothing.
    """
    statement = getattr(teacher, "__dict__", {}).get("privacy_")
    if not isinstance(statement, PrivacyStatement) or not statement.private:
        return None
    if not (0 <= statement.epsilon < float("inf") and 0 <= statement.delta < 1):
        return None
    if _answers_otherwise(teacher):
        return None
    name, how = type(teacher).__name__, f"by {statement.mechanism}"
    if statement.mechanism == "post-processing":  # a student of a student
        how += f" ({statement.certificate['reason'].rstrip('.')})"
    fields = ("mu", "relation", "unit", "assumes", "not_protected")
    return AlreadyPrivate(
        statement.epsilon,
        statement.delta,
        **{field: getattr(statement, field) for field in fields},
        inherited=statement,
        name="already private",
        reason=f"The teacher ({name}) is a private release itself, {how}; this is post-processing.",
        reference="Dwork and Roth (2014), Proposition 2.1.",
    )


_ANSWERS = {"fit", "predict", "predict_proba", "decision_function"}


def _answers_otherwise(teacher: Any) -> bool:
    """Whether a subclass of one of this package's replaced a method that learns or answers.

    False for an estimator that is not derived from one of this package: its statement is a claim of
    its own.
    """
    mro, package = type(teacher).__mro__, __name__.partition(".")[0]
    n = next((i for i, cls in enumerate(mro) if cls.__module__.partition(".")[0] == package), 0)
    return any(_ANSWERS & set(vars(cls)) for cls in mro[:n])


def has_own_methods(value: Any) -> bool:
    """Whether a method was replaced on this one object, of which its class says nothing."""
    return any(
        callable(getattr(type(value), name, None)) for name in getattr(value, "__dict__", {})
    )


def unwrap(teacher: Any) -> Any:
    """Return the estimator that FrozenEstimators hold; a subclass of FrozenEstimator stays."""
    while type(teacher) is FrozenEstimator:
        teacher = teacher.estimator
    return teacher


def is_exactly(value: Any, path: str) -> bool:
    """Whether an object is of the class at ``"module.Class"`` and of no subclass.

    A module that was never imported is not imported: no object can be of its class.
    """
    module, _, name = path.rpartition(".")
    return type(value) is getattr(sys.modules.get(module), name, None)
