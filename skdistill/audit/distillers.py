"""An audit of a whole distiller: canaries among the private records, one run, a bound on ε."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_regressor
from sklearn.utils import check_consistent_length, check_random_state

from skdistill._html import html_table
from skdistill._tables import n_rows
from skdistill._trained_on import attribute, last_step
from skdistill._validate import check_settings
from skdistill.accounting.relation import Relation, Unit, as_replace_one
from skdistill.audit.canaries import Canaries, make_canaries
from skdistill.audit.experiments import OneRunAudit, one_run_audit
from skdistill.audit.records import ask, class_codes, class_probabilities, stack_rows
from skdistill.certificates.base import unwrap
from skdistill.distiller import PrivateDistiller
from skdistill.statement import PrivacyStatement

Array = NDArray[np.float64]

_VIEWS = {"labels": "the released labels", "student": "the student"}
_SMALLEST = 1e-12
_HELD = ("members", "parameters", "gradients")  # kinds of certificates that hold a teacher


@dataclass(frozen=True)
class AuditResult:
    """The lower bound on ε that an audit found, beside the claim.

    Parameters
    ----------
    bound : OneRunAudit
        The lower bound on ε, its δ and confidence, and the counts it rests on.
    statement : PrivacyStatement
        The claim, as the audited fit made it.
    canaries : str
        Kind of canaries.
    n_canaries : int
        Number of canaries that were put in.
    view : {"labels", "student"}
        The attacked part of the release.

    Examples
    --------
    >>> from skdistill.audit import AuditResult, OneRunAudit
    >>> from skdistill.certificates import AlreadyPrivate
    >>> bound = OneRunAudit(0.2, 0.0, 0.95, 100, 100, 62)
    >>> audit = AuditResult(bound, AlreadyPrivate(1.0).statement(500), "outlier", 100, "labels")
    >>> audit.epsilon_lower_bound, audit.epsilon, audit.passed
    (0.2, 1.0, True)
    """

    bound: OneRunAudit
    statement: PrivacyStatement
    canaries: str
    n_canaries: int
    view: str

    @property
    def epsilon_lower_bound(self) -> float:
        """The release is not (ε, δ)-DP for an ε below this, with the bound's confidence."""
        return self.bound.epsilon

    @property
    def epsilon(self) -> float:
        """The claimed ε under replace-one; infinite where the statement promises nothing.

        The audit's game replaces records. So the bound is compared with the claim in that relation,
        which is twice the ε of a statement under add-or-remove.
        """
        return _claim(self.statement)[0]

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
        """Upper bound on the probability of so many right guesses if the claim is true."""
        return self.bound.p_value(self.epsilon)

    @property
    def passed(self) -> bool:
        """Whether the bound is consistent with the claim."""
        return self.epsilon_lower_bound <= self.epsilon

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON-serialisable dictionary (an infinite ε as a string).

        Returns
        -------
        record : dict
            Fields by name.
        """
        names = "epsilon_lower_bound p_value passed canaries n_canaries n_guesses n_correct view"
        return {name: getattr(self, name) for name in names.split()} | {
            "epsilon": str(self.epsilon) if math.isinf(self.epsilon) else self.epsilon,
            "delta": self.bound.delta,
            "confidence": self.bound.confidence,
            "statement": self.statement.to_dict(),
        }

    def _lines(self) -> list[tuple[str, str]]:
        delta = f" at δ={self.bound.delta:.3g}" if self.bound.delta else ""
        if math.isinf(self.epsilon):
            claim, verdict = "no guarantee", "there is no claim to test"
        else:
            claim = f"ε={self.epsilon:.6g}{delta} under {Relation.REPLACE_ONE}"
            if self.statement.relation is not Relation.REPLACE_ONE:
                said = self.statement
                stated = f"ε={said.epsilon:.6g}" + (f", δ={said.delta:.3g}" if said.delta else "")
                claim += f" (stated: {stated} under {said.relation})"
            verdict = (
                "the claim stands, as far as this attack can see; a low bound proves nothing"
                if self.passed
                else f"the claim is CONTRADICTED (p-value {self.p_value:.2g})"
            )
        bound, percent = self.epsilon_lower_bound, 100 * self.bound.confidence
        return [
            ("attack", f"{self.n_canaries} {self.canaries} canaries, on {_VIEWS[self.view]}"),
            ("right guesses", f"{self.n_correct} of {self.n_guesses}"),
            ("lower bound", f"ε ≥ {bound:.4g}{delta}, with {percent:.6g} % confidence"),
            ("claimed", claim),
            ("verdict", verdict),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self._lines())

    def _repr_html_(self) -> str:
        caption = f"privacy audit: ε ≥ {self.epsilon_lower_bound:.4g}"
        return html_table(self._lines(), caption, good=self.passed)


def audit_distiller(
    distiller: PrivateDistiller,
    X_private: Any,
    y_private: Any,
    X_transfer: Any,
    n_canaries: int = 1000,
    *,
    canaries: str | Canaries = "mislabelled",
    view: str = "labels",
    guesses: str | int | Sequence[int] = "bonferroni",
    confidence: float = 0.95,
    groups: Any = None,
    charge: bool = False,
    random_state: Any = None,
    verbose: int = 0,
) -> AuditResult:
    """Train and distil once with canaries among the private records, and look for them.

    A clone of the distiller's teacher is trained on `X_private` and the canaries.

    **Cost.** An audit trains on the private records and releases labels, so it costs as much as one
    ``fit``. Its result costs nothing more, because canaries come from public rows and the result is
    a function of the release.

    **Meaning.** A bound above the claim disproves it, but for the chance of 1 - confidence. A bound
    below proves nothing. Expect 0 of a sound release, and a large bound of one that leaks labels.

    Parameters
    ----------
    distiller : PrivateDistiller
        The distiller to audit. It need not be fitted.
    X_private, y_private, X_transfer : array-like of shape (n, d), (n,) and (m, d)
        Private records, as the teacher's ``fit`` takes them, and public transfer rows.
    n_canaries : int, default=1000
        Number of canary slots. More canaries show more, and disturb the teacher more.
    canaries : {"mislabelled", "outlier", "duplicated"} or Canaries, default="mislabelled"
        See :func:`~skdistill.audit.make_canaries`; or pairs of your own, then `n_canaries` is
        their number. For a regressor the two targets are the ends of ``distiller.output_range``, or
        of the teacher's. Their features are among the transfer rows, which shows most.
    view : {"labels", "student"}, default="labels"
        The attacked part of the release: the released labels of the canaries' rows (a student
        cannot know more of them), or the student's answers. From labels, the answers of a default
        student are subtracted, so that the remainder is due to the canary and not to its
        neighbourhood (difficulty calibration: Watson et al., ICLR 2022, arXiv:2111.08440).
    guesses : "bonferroni", int or sequence of int, default="bonferroni"
        How many canaries are guessed, see :func:`~skdistill.audit.one_run_audit`.
    confidence : float, default=0.95
        Of the bound: a true claim fails the audit with probability 1 - confidence at most.
    groups : array-like of shape (n,), default=None
        For the teacher's ``fit``, where a person has many records; every slot is a group.
    charge : bool, default=False
        Must be True if the distiller, or a teacher such as a diffprivlib model, has an accountant:
        whether it may be charged.
    random_state, verbose : int or RandomState, and int, default=None and 0
        Draws the coins and the canaries; above 0, prints the cost of the audit and its steps.

    Returns
    -------
    AuditResult
        The bound beside the claim; print it.

    Raises
    ------
    ValueError, TypeError
        For impossible settings, before anything is trained or charged; for a teacher that raises
        in ``fit``, with a fixed text.

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
    # Proof. Slot i holds one of two fixed records, by a fair coin: flipping one coin replaces one
    # record, which is the relation replace-one: a claim under add-or-remove is converted, ε and δ.
    # (Coins that put a canary in or leave it out would need the other relation.) Given all else,
    # teacher and release are (ε, δ)-DP in the coins; scores and guesses are post-processing of the
    # release and of public rows. Theorem 5.2 of Steinke, Nasr and Jagielski (NeurIPS 2023,
    # arXiv:2305.08846) is about this game. A slot of k equal records is k replacements: there the
    # bound is for one of them, by group privacy (or for the group, where `groups` is given).
    say: Callable[[Any], None] = print if verbose > 0 else lambda text: None
    _check_distiller(distiller, X_private, y_private, charge)
    if view not in _VIEWS:
        raise ValueError(f"view={view!r} is unknown. Use one of {', '.join(map(repr, _VIEWS))}.")
    if not isinstance(canaries, (str, Canaries)):
        raise TypeError(f"canaries must be a kind or Canaries, got {type(canaries).__name__}.")
    teacher, labels = clone(unwrap(distiller.teacher)), np.asarray(y_private)
    say(_cost(distiller))
    rng = check_random_state(random_state)
    if isinstance(canaries, str):
        given = {"kind": canaries, "random_state": rng, **_choices(distiller, labels)}
        canaries = make_canaries(X_transfer, n_canaries, **given)
    coins = rng.randint(2, size=len(canaries)).astype(bool)
    X_slots, y_slots = canaries.fill(coins)
    transfer, where = _transfer_set(X_transfer, canaries)

    say(f"audit, step 1 of 3: training the teacher, with {len(canaries)} {canaries.kind} canaries")
    params = {} if groups is None else {"groups": _slot_groups(groups, canaries)}
    X, y = stack_rows(X_private, X_slots), np.concatenate([labels, y_slots])
    ask(partial(teacher.fit, **params), "The teacher's fit", X, y)

    say("audit, step 2 of 3: distilling")
    student = clone(distiller).set_params(teacher=teacher)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The released labels are mostly noise")
        student.fit(transfer)

    say(f"audit, step 3 of 3: guessing the coins from {_VIEWS[view]}")
    statement = student.privacy_
    bound = one_run_audit(
        _scores(student, canaries, view, where),
        coins,
        delta=_claim(statement)[1] if statement.private else float(distiller.delta),
        confidence=confidence,
        guesses=guesses,
        middle=0.0,
        group_size=1 if statement.unit is Unit.GROUP else canaries.n_copies,
    )
    result = AuditResult(bound, statement, canaries.kind, len(canaries), view)
    say(result)
    return result


def _claim(statement: PrivacyStatement) -> tuple[float, float]:
    """Return ε and δ under replace-one; an ε of infinity, with δ 0, where nothing is promised."""
    if not statement.private:
        return math.inf, 0.0
    epsilon, delta = as_replace_one(statement.epsilon, statement.delta, statement.relation)
    return (epsilon, delta) if delta < 1 else (math.inf, 0.0)


def _scores(student: PrivateDistiller, pairs: Canaries, view: str, where: Any) -> Array:
    """Return how much more the first label of each canary shows than its second.

    Scores come from the release and from public rows alone. Which label is the first is a coin of
    its own, so that 0 speaks for neither.
    """
    if view == "student":
        scores = _margin(_answers(student, pairs.X, logarithm=True), student, pairs)
        return np.where(np.isfinite(scores), scores, 0.0)
    found = np.searchsorted(student.query_indices_, where)
    found = np.minimum(found, len(student.query_indices_) - 1)
    scores = _margin(student.released_labels_[found], student, pairs)
    if student.student is None:
        scores = scores - _margin(_answers(student, pairs.X), student, pairs)
    asked = student.query_indices_[found] == where
    return np.where(asked & np.isfinite(scores), scores, 0.0)


def _answers(student: PrivateDistiller, X: Any, *, logarithm: bool = False) -> Array:
    """Return the student's answers on X: one column for each class, or targets."""
    classes = getattr(student, "classes_", None)
    if classes is not None and hasattr(student, "predict_proba"):
        answers = class_probabilities(student, X, classes)
        return np.log(np.maximum(answers, _SMALLEST)) if logarithm else answers
    predictions = ask(student.predict, "The student's predict", X)
    if classes is not None:
        predictions = predictions[:, None] == classes[None, :]
    return np.asarray(predictions, dtype=np.float64)


def _margin(answers: Array, student: PrivateDistiller, pairs: Canaries) -> Array:
    """Return by how much the first label of each slot is ahead of the second."""
    if answers.ndim == 1:
        first, second = np.asarray(pairs.first, float), np.asarray(pairs.second, float)
        return np.asarray((answers - (first + second) / 2) * np.sign(first - second))
    first, second = (class_codes(y, student.classes_) for y in (pairs.first, pairs.second))
    rows = np.arange(len(pairs))
    return np.asarray(answers[rows, first] - answers[rows, second])


def _choices(distiller: PrivateDistiller, labels: NDArray[Any]) -> dict[str, Any]:
    """Return the labels or targets that canaries may have."""
    teacher = unwrap(distiller.teacher)
    if not is_regressor(teacher):
        return {"classes": getattr(teacher, "classes_", np.unique(labels))}
    given = distiller.output_range
    if given is None:
        given = attribute(unwrap(last_step(teacher)), "output_range")
    if given is None:
        raise ValueError(
            "A regression audit needs output_range=(low, high), the canaries' targets."
        )
    return {"output_range": given}


def _transfer_set(X: Any, pairs: Canaries) -> tuple[Any, NDArray[np.intp]]:
    """Return the transfer set with the canaries' rows in it, and where these are."""
    if pairs.rows is not None:
        return X, pairs.rows
    return stack_rows(X, pairs.X), n_rows(X) + np.arange(len(pairs))


def _slot_groups(groups: Any, pairs: Canaries) -> NDArray[Any]:
    """Return a group label for each record: the user's, and one of its own for each slot."""
    slots = np.repeat(np.arange(len(pairs)), pairs.n_copies)
    names = [*groups, *(f"canary slot {i}" for i in slots)]
    return np.array(names, dtype=object)


def _check_distiller(distiller: Any, X_private: Any, y_private: Any, charge: bool) -> None:
    if not isinstance(distiller, PrivateDistiller):
        raise TypeError(
            f"distiller is a {type(distiller).__name__}; audit_distiller audits a PrivateDistiller."
        )
    teacher = unwrap(distiller.teacher)
    if not hasattr(teacher, "fit"):
        raise TypeError(
            f"The teacher ({type(teacher).__name__}) has no fit: an audit trains it anew."
        )
    check_settings(distiller)
    bound = distiller.certificate
    callables = (getattr(bound, name, None) for name in ("outputs", "class_counts"))
    if getattr(bound, "kind", "") in _HELD or any(callables):
        raise ValueError(
            f"The certificate, {type(bound).__name__}, holds a teacher that was trained, and the "
            "audit trains another one. Register the proof: skdistill.certificates.register."
        )
    check_consistent_length(X_private, y_private)
    accountants = ["distiller.accountant"] if distiller.accountant is not None else []
    for name, value in teacher.get_params(deep=True).items():
        if name.split("__")[-1] == "accountant" and value is not None:
            accountants.append(f"the teacher's {name}")
    if accountants and charge is not True:
        raise ValueError(
            f"{_cost(distiller)} It would be charged to {', '.join(accountants)}. Pass charge=True "
            "to have it charged, or set the accountant to None to keep the account yourself."
        )


def _cost(distiller: PrivateDistiller) -> str:
    if math.isinf(distiller.epsilon):
        return (
            "audit: epsilon=inf, so nothing protects the result; do not publish the result or the "
            "student."
        )
    return (
        "audit: it trains on the private records and releases labels once, which costs as much as "
        f"one fit: epsilon={distiller.epsilon:g}, delta={distiller.delta:g}."
    )
