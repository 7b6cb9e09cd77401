"""An audit of a whole distiller: canaries among the private records, one run, a bound on ε."""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_regressor
from sklearn.utils import check_consistent_length, check_random_state

from skdistill._tables import take_rows
from skdistill._validate import check_settings
from skdistill.accounting.relation import Unit
from skdistill.audit.bounds import OneRunAudit, one_run_audit
from skdistill.audit.canaries import Canaries, make_canaries, stack_rows
from skdistill.certificates import Certificate, DisjointTeachers, ParameterBall
from skdistill.certificates.base import unwrap
from skdistill.distiller import PrivateDistiller
from skdistill.statement import PrivacyStatement

__all__ = ["AuditResult", "audit_distiller"]

Array = NDArray[np.float64]

_VIEWS = {"labels": "the released labels", "student": "the student"}
_SMALLEST = 1e-12


@dataclass(frozen=True)
class AuditResult:
    """What an audit found, beside what was claimed.

    Parameters
    ----------
    bound : OneRunAudit
        The lower bound on ε and its counts.
    statement : PrivacyStatement
        The claim, as the audited fit made it.
    canaries : str
        Kind of canaries.
    n_canaries : int
        Number of canaries that were put in (a hold-out search counts half of them).
    view : {"labels", "student"}
        What was attacked.
    """

    bound: OneRunAudit
    statement: PrivacyStatement
    canaries: str
    n_canaries: int
    view: str

    @property
    def epsilon_lower_bound(self) -> float:
        """The release is not (ε, δ)-DP for an ε below this, with confidence `confidence`."""
        return self.bound.epsilon

    @property
    def epsilon(self) -> float:
        """The claimed ε; infinite where the statement promises nothing."""
        return self.statement.epsilon if self.statement.private else math.inf

    @property
    def delta(self) -> float:
        """The claimed δ, for which the bound holds."""
        return self.bound.delta

    @property
    def confidence(self) -> float:
        """With which the bound holds."""
        return self.bound.confidence

    @property
    def n_guesses(self) -> int:
        """Canaries that were guessed."""
        return self.bound.n_guesses

    @property
    def n_correct(self) -> int:
        """Right guesses."""
        return self.bound.n_correct

    @property
    def p_value(self) -> float:
        """How likely so many right guesses were, at most, if the claim is true."""
        return self.bound.p_value(self.epsilon)

    @property
    def passed(self) -> bool:
        """Whether the bound leaves the claim standing."""
        return self.epsilon_lower_bound <= self.epsilon

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON-serialisable dictionary (an infinite ε as a string)."""
        epsilon = self.epsilon if math.isfinite(self.epsilon) else str(self.epsilon)
        return {
            "epsilon_lower_bound": self.epsilon_lower_bound,
            "epsilon": epsilon,
            "delta": self.delta,
            "confidence": self.confidence,
            "p_value": self.p_value,
            "passed": self.passed,
            "canaries": self.canaries,
            "n_canaries": self.n_canaries,
            "n_guesses": self.n_guesses,
            "n_correct": self.n_correct,
            "view": self.view,
            "statement": self.statement.to_dict(),
        }

    def _sentences(self) -> list[tuple[str, str]]:
        delta = f" at δ={self.delta:.3g}" if self.delta else ""
        claim = f"ε={self.epsilon:.6g}{delta}" if math.isfinite(self.epsilon) else "no guarantee"
        verdict = (
            "the claim stands, as far as this attack can see; a low bound proves nothing"
            if self.passed
            else f"the claim is CONTRADICTED (p-value {self.p_value:.2g})"
        )
        return [
            ("attack", f"{self.n_canaries} {self.canaries} canaries, on {_VIEWS[self.view]}"),
            ("right guesses", f"{self.n_correct} of {self.n_guesses}"),
            (
                "lower bound",
                f"ε ≥ {self.epsilon_lower_bound:.4g}{delta}, with {100 * self.confidence:.6g} % "
                "confidence",
            ),
            ("claimed", claim),
            ("verdict", verdict if math.isfinite(self.epsilon) else "there is no claim to test"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self._sentences())

    def _repr_html_(self) -> str:
        color = "#2a7d4f" if self.passed else "#b3261e"
        head = f"privacy audit: ε ≥ {self.epsilon_lower_bound:.4g}"
        body = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._sentences()
        )
        return (
            f"<table><caption style='color:{color};font-weight:bold;text-align:left'>"
            f"{html.escape(head)}</caption>{body}</table>"
        )


def audit_distiller(
    distiller: PrivateDistiller,
    X_private: Any,
    y_private: Any,
    X_transfer: Any,
    n_canaries: int = 1000,
    *,
    canaries: str | Canaries = "mislabelled",
    view: str = "labels",
    query_canaries: bool = True,
    reference: Any = "auto",
    guesses: str | int | Sequence[int] = "bonferroni",
    confidence: float = 0.95,
    certificate: Certificate | Callable[[Any], Certificate] | None = None,
    groups: Any = None,
    charge: bool = False,
    random_state: Any = None,
    verbose: int = 0,
) -> AuditResult:
    """Train and distil once with canaries among the private records, and look for them.

    The teacher is trained anew, on `X_private` and the canaries, by a clone of the distiller's; the
    distiller and its teacher stay as they are.

    Parameters
    ----------
    distiller : PrivateDistiller
        What to audit. Its teacher is cloned and fitted; it need not be fitted itself.
    X_private, y_private : array-like of shape (n, d), (n,)
        Private records, as the teacher's ``fit`` takes them.
    X_transfer : array-like of shape (m, d)
        Public transfer rows. Canaries are made from them.
    n_canaries : int, default=1000
        Number of canary slots. More canaries show more, and disturb the teacher more.
    canaries : {"mislabelled", "outlier", "duplicated"} or Canaries, default="mislabelled"
        See :func:`~skdistill.audit.canaries.make_canaries`; or pairs of your own, then
        `n_canaries` is their number. For a regressor the two targets are the ends of
        ``distiller.output_range``.
    view : {"labels", "student"}, default="labels"
        What is attacked: the released labels of the canaries' rows (all that a student can know of
        them), or the student's answers.
    query_canaries : bool, default=True
        Whether the canaries' features are among the transfer rows; it is what shows most.
    reference : "auto", None or estimator, default="auto"
        Whose answers on the canaries' features are taken off, so that what is left is due to the
        canary and not to its neighbourhood (difficulty calibration [3]_). "auto" is the student
        where it is the default one and `view` is "labels", and nothing otherwise. An estimator
        fitted on records like the private ones makes a better attack; fitted on the private
        records themselves, it makes the result private: it is no longer covered by the claim.
    guesses : {"bonferroni", "holdout"}, int or sequence of int, default="bonferroni"
        How many canaries are guessed, see :func:`~skdistill.audit.one_run_audit`.
    confidence : float, default=0.95
        Of the bound: a true claim fails the audit with probability 1 - confidence at most.
    certificate : Certificate or callable, default=None
        Proof of your own for the teacher that is trained here; ``certificate(teacher)`` where it
        holds the teacher. None is the distiller's.
    groups : array-like of shape (n,), default=None
        For the teacher's ``fit``, where a person has many records; every slot is a group.
    charge : bool, default=False
        Whether the distiller's accountant may be charged. It must be True if there is one.
    random_state : int, RandomState or None, default=None
        Draws the coins and the canaries.
    verbose : int, default=0
        Above 0, says what the audit will cost, and each of its steps. (What a teacher or a
        distiller says while it works, is said by their own `verbose`.)

    Returns
    -------
    AuditResult
        The bound beside the claim; print it.

    Raises
    ------
    ValueError, TypeError
        For settings that cannot be; before anything is trained or charged.

    Notes
    -----
    **Proof.** Slot i holds one of two fixed records, by a fair coin, so the number of records is
    the same whatever the coins, and flipping one coin replaces one record: exactly the relation of
    the claim. (Coins that put a canary in or leave it out would need the other relation.) Given
    all else, teacher and release are (ε, δ)-DP in the coins; scores and guesses are functions of
    the release and of public rows, hence post-processing. Theorem 5.2 of Steinke, Nasr and
    Jagielski [1]_ is about just that game, and :func:`~skdistill.audit.one_run_audit` pays for the
    choice of the number of guesses. A slot of k equal records is k replacements: there the bound is
    for one of them, by group privacy (or for the group, where `groups` is given).

    **What an audit costs.** It trains on the private records and releases labels, so it costs them
    what one ``fit`` costs, and nothing else: canaries come from public rows, and its result, this
    bound included, is a function of the release. With an accountant it refuses to start without
    ``charge=True``; a teacher that has an accountant of its own (a diffprivlib model) is treated
    alike.

    **What it shows.** A bound above the claim disproves it, but for the chance of 1 - confidence.
    A bound below proves nothing. Where noise hides what *one* record could do to *all* rows, each
    of many canaries that moves its own row alone shows little: expect 0 of a sound release, and a
    large bound of one that leaks labels.

    References
    ----------
    .. [1] T. Steinke, M. Nasr, M. Jagielski, "Privacy auditing with one (1) training run", NeurIPS
       2023, arXiv:2305.08846.
    .. [2] M. Jagielski, J. Ullman, A. Oprea, "Auditing differentially private machine learning",
       NeurIPS 2020, arXiv:2006.07709.
    .. [3] L. Watson, C. Guo, G. Cormode, A. Sablayrolles, "On the importance of difficulty
       calibration in membership inference attacks", ICLR 2022, arXiv:2111.08440.

    Examples
    --------
    A tree learns every record by heart. Distilled without noise, it gives all canaries away:

    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill import PrivateDistiller
    >>> from skdistill.audit import audit_distiller
    >>> X, y = make_classification(600, random_state=0)
    >>> leaky = PrivateDistiller(DecisionTreeClassifier(), epsilon=float("inf"))
    >>> audit = audit_distiller(leaky, X[:300], y[:300], X[300:], 100, guesses=100)
    >>> audit.n_correct, round(audit.epsilon_lower_bound, 2)
    (100, 3.49)

    With noise for ε = 1 they are hidden:

    >>> private = PrivateDistiller(DecisionTreeClassifier(), epsilon=1.0)
    >>> audit = audit_distiller(private, X[:300], y[:300], X[300:], 100, guesses=100)
    >>> audit.passed
    True
    """
    say = print if verbose > 0 else _silent
    _check(distiller, X_private, y_private, charge)
    _check_attack(view, query_canaries, canaries, reference)
    teacher, labels = clone(unwrap(distiller.teacher)), np.asarray(y_private)
    _check_certificate(distiller, certificate)
    say(_cost_text(distiller))
    rng = check_random_state(random_state)
    pairs = _pairs(distiller, labels, X_transfer, n_canaries, canaries, rng)
    coins = rng.randint(2, size=len(pairs)).astype(bool)
    X_slots, y_slots = pairs.fill(coins)

    say(f"audit, step 1 of 3: training the teacher, with {len(pairs)} {pairs.kind} canaries")
    params = {} if groups is None else {"groups": _slot_groups(groups, len(labels), pairs)}
    teacher.fit(stack_rows(X_private, X_slots), np.concatenate([labels, y_slots]), **params)

    say("audit, step 2 of 3: distilling")
    transfer, where = _transfer_set(X_transfer, pairs, query_canaries)
    audited = clone(distiller).set_params(teacher=teacher)
    if certificate is not None:
        given = isinstance(certificate, Certificate)
        audited.set_params(certificate=certificate if given else certificate(teacher))  # type: ignore[operator]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The released labels are mostly noise")
        student = audited.fit(transfer)

    say(f"audit, step 3 of 3: guessing the coins from {_VIEWS[view]}")
    statement = student.privacy_
    bound = one_run_audit(
        _scores(student, pairs, view, where, reference),
        coins,
        delta=statement.delta if statement.private else float(distiller.delta),
        confidence=confidence,
        guesses=guesses,
        middle=0.0,
        group_size=1 if statement.unit is Unit.GROUP else pairs.n_copies,
    )
    result = AuditResult(bound, statement, pairs.kind, len(pairs), view)
    say(result)
    return result


# -- The attack --------------------------------------------------------------------------------


def _scores(
    student: PrivateDistiller, pairs: Canaries, view: str, where: Any, reference: Any
) -> Array:
    """Return one score for each canary: how much more its first label shows than its second.

    From what was released and from public rows alone. Which label is the first is a coin of its
    own, so that 0 speaks for neither.
    """
    if isinstance(reference, str):
        own = view == "labels" and student.student is None
        reference = student if own else None
    if view == "labels":
        found = np.searchsorted(student.query_indices_, where)
        found = np.minimum(found, len(student.query_indices_) - 1)
        asked = student.query_indices_[found] == where
        scores = _margin(student.released_labels_[found], student, pairs)
    else:
        asked = np.ones(len(pairs), dtype=bool)
        scores = _margin(_answers(student, pairs.X, student, logarithm=True), student, pairs)
    if reference is not None:
        answers = _answers(reference, pairs.X, student, logarithm=view == "student")
        scores = scores - _margin(answers, student, pairs)
    return np.where(asked & np.isfinite(scores), scores, 0.0)


def _answers(reference: Any, X: Any, student: PrivateDistiller, logarithm: bool) -> Array:
    """Return what a student or a reference says of X: one column per class, or one value."""
    classes = getattr(student, "classes_", None)
    if classes is None:
        return np.asarray(reference.predict(X), dtype=np.float64)
    if not hasattr(reference, "predict_proba"):
        return np.asarray(reference.predict(X)[:, None] == classes[None, :], dtype=np.float64)
    known = np.asarray(reference.predict_proba(X), dtype=np.float64)
    answers = np.zeros((len(known), len(classes)))
    same = np.asarray(reference.classes_)[:, None] == classes[None, :]
    answers += known @ same
    return np.log(np.maximum(answers, _SMALLEST)) if logarithm else answers


def _margin(answers: Array, student: PrivateDistiller, pairs: Canaries) -> Array:
    """Return by how much the first label of each slot is ahead of the second."""
    if answers.ndim == 1:
        first, second = np.asarray(pairs.first, float), np.asarray(pairs.second, float)
        return np.asarray((answers - (first + second) / 2) * np.sign(first - second))
    classes = student.classes_
    rows = np.arange(len(pairs))
    ahead, behind = (
        np.argmax(np.asarray(labels)[:, None] == classes[None, :], axis=1)
        for labels in (pairs.first, pairs.second)
    )
    return np.asarray(answers[rows, ahead] - answers[rows, behind])


# -- What goes in ------------------------------------------------------------------------------


def _pairs(
    distiller: PrivateDistiller,
    labels: NDArray[Any],
    X_transfer: Any,
    n_canaries: int,
    canaries: str | Canaries,
    rng: np.random.RandomState,
) -> Canaries:
    """Return the user's canaries, or make some from the transfer set."""
    if isinstance(canaries, Canaries):
        return canaries
    teacher = unwrap(distiller.teacher)
    if is_regressor(teacher):
        if distiller.output_range is None:
            raise ValueError(
                "A regression audit needs the distiller's output_range=(low, high): its ends are "
                "the targets of the canaries."
            )
        return make_canaries(
            X_transfer,
            n_canaries,
            output_range=distiller.output_range,
            kind=canaries,
            random_state=rng,
        )
    classes = getattr(teacher, "classes_", None)
    classes = np.unique(labels) if classes is None else classes
    return make_canaries(X_transfer, n_canaries, classes=classes, kind=canaries, random_state=rng)


def _transfer_set(X: Any, pairs: Canaries, query_canaries: bool) -> tuple[Any, NDArray[np.intp]]:
    """Return the transfer set, and where in it the canaries' rows are (empty for nowhere)."""
    m = X.shape[0] if hasattr(X, "shape") else len(X)
    if query_canaries and pairs.rows is not None:
        return X, pairs.rows
    if query_canaries:
        return stack_rows(X, pairs.X), np.arange(m, m + len(pairs))
    nowhere = np.empty(0, dtype=np.intp)
    if pairs.rows is None:
        return X, nowhere
    rest = np.setdiff1d(np.arange(m), pairs.rows)
    if not len(rest):
        raise ValueError(
            f"All {m} rows of X_transfer are canaries, and query_canaries=False leaves none to "
            "distil on. Use fewer canaries."
        )
    return take_rows(X, rest), nowhere


def _slot_groups(groups: Any, n: int, pairs: Canaries) -> NDArray[Any]:
    """Return a group label for each record: the user's, and one of its own for each slot."""
    names = np.empty(n + len(pairs) * pairs.n_copies, dtype=object)
    names[:n] = list(groups)
    slots = np.repeat(np.arange(len(pairs)), pairs.n_copies)
    names[n:] = [f"canary slot {i}" for i in slots]
    return names


# -- Checks ------------------------------------------------------------------------------------


def _silent(text: Any) -> None:
    """Say nothing."""


def _check(distiller: Any, X_private: Any, y_private: Any, charge: bool) -> None:
    if not isinstance(distiller, PrivateDistiller):
        raise TypeError(
            f"distiller is a {type(distiller).__name__}; audit_distiller audits a PrivateDistiller."
        )
    if not hasattr(unwrap(distiller.teacher), "fit"):
        raise TypeError(
            f"The teacher ({type(unwrap(distiller.teacher)).__name__}) has no fit: an audit trains "
            "it anew. (A distiller that was loaded after fit comes without its teacher.)"
        )
    check_settings(distiller)
    check_consistent_length(X_private, y_private)
    _check_charge(distiller, charge)


def _check_attack(view: Any, query_canaries: bool, canaries: Any, reference: Any) -> None:
    if view not in _VIEWS:
        raise ValueError(f"view={view!r} is unknown. Use one of {', '.join(map(repr, _VIEWS))}.")
    if view == "labels" and not query_canaries:
        raise ValueError(
            'view="labels" looks at the labels of the canaries\' rows, and query_canaries=False '
            'releases none. Use view="student".'
        )
    if not isinstance(canaries, (str, Canaries)):
        raise TypeError(f"canaries must be a kind or Canaries, got {type(canaries).__name__}.")
    auto = isinstance(reference, str) and reference == "auto"
    if not (auto or reference is None or hasattr(reference, "predict")):
        raise TypeError(f'reference={reference!r} must be "auto", None or a fitted estimator.')


def _check_charge(distiller: PrivateDistiller, charge: bool) -> None:
    """Raise where an accountant would be charged that nobody agreed to."""
    inner = unwrap(distiller.teacher).get_params(deep=True)
    names = [n for n, v in inner.items() if n.split("__")[-1] == "accountant" and v is not None]
    accountants = ["distiller.accountant"] if distiller.accountant is not None else []
    accountants += [f"the teacher's {name}" for name in names]
    if accountants and charge is not True:
        raise ValueError(
            f"{_cost_text(distiller)} It would be charged to {', '.join(accountants)}. Pass "
            "charge=True to have it charged, or set the accountant to None to keep the account "
            "yourself."
        )


def _cost_text(distiller: PrivateDistiller) -> str:
    """Say what the audit costs."""
    if math.isinf(distiller.epsilon):
        return (
            "audit: epsilon=inf, so the result is protected by nothing; do not publish it or what "
            "it was computed from."
        )
    return (
        "audit: it trains on the private records and releases labels once, which costs what one "
        f"fit costs: epsilon={distiller.epsilon:g}, delta={distiller.delta:g}."
    )


def _check_certificate(distiller: PrivateDistiller, given: Any) -> None:
    """Raise where a certificate speaks of another teacher than the one that will be trained."""
    certificate = distiller.certificate if given is None else given
    if isinstance(certificate, Certificate):
        if (
            isinstance(certificate, (ParameterBall, DisjointTeachers))
            or certificate.class_counts is not None
        ):
            raise ValueError(
                f"The {type(certificate).__name__} passed as certificate holds a teacher that was "
                "trained already, and the audit trains another one. Pass "
                "certificate=lambda teacher: ..., a function of the teacher."
            )
    elif given is not None and not callable(given):
        raise TypeError(
            f"certificate must be a Certificate or a function of the teacher, got "
            f"{type(given).__name__}."
        )
