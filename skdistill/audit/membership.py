"""Membership reports: how well attacks tell a model's training records from other records.

**What is asked, and who may see it.** Elsewhere in this package only :mod:`skdistill.release` calls
a teacher on data. An audit of a teacher cannot go through a release: it measures what the teacher
leaks *without* noise. So every model here is one that the caller hands over, on the caller's own
machine, together with the records it was trained on; the distiller never calls this module; and
what comes back is not a release. Scores, reports and their figures are computed from private
records (and, for a teacher, from its answers without noise), so they are marked **not for
publication**, and no ledger is charged because nothing leaves. What a model raises may quote a
record: errors carry numbers of rows and fixed text.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import beta, hypergeom, norm, rankdata
from sklearn.base import is_regressor
from sklearn.utils import check_random_state

from skdistill._tables import take_rows
from skdistill.audit.attacks import (
    classwise_attack,
    lira_attack,
    log_odds,
    loss_attack,
    modified_entropy_attack,
    quantile_attack,
    rmia_attack,
    squared_error_attack,
)
from skdistill.audit.shadow import (
    ShadowModels,
    aligned_probabilities,
    stacked,
    train_shadow_models,
    unfrozen,
    withheld,
)

__all__ = [
    "ATTACKS",
    "AttackResult",
    "MembershipReport",
    "attack",
    "auc_interval",
    "balanced_accuracy_interval",
    "membership_report",
    "roc_points",
    "tpr_at_fpr",
]

Array = NDArray[np.float64]

ATTACKS = (
    "loss",
    "modified_entropy",
    "classwise",
    "quantile",
    "rmia",
    "lira_offline",
    "lira_online",
)
_WITH_REFERENCE = {"classwise", "quantile", "rmia"}
_WITH_SHADOWS = {"rmia", "lira_offline", "lira_online"}

NOT_FOR_PUBLICATION = (
    "Not for publication: computed from private records, and for a teacher from its answers "
    "without noise. It is not covered by any ε."
)


# ------------------------------------------------------------------------------- figures and tests


def auc_interval(
    member_scores: ArrayLike, nonmember_scores: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the area under the ROC curve and DeLong's interval for it, on the logit scale.

    Where the sample area is 0 or 1 its variance is estimated as 0; the interval then is the one of
    Clopper and Pearson for min(n_members, n_nonmembers) disjoint, hence independent, pairs that
    were all ordered alike.

    Parameters
    ----------
    member_scores, nonmember_scores : array-like of shape (n,) and (m,)
        At least two each.
    confidence : float, default=0.95

    Returns
    -------
    auc, low, high : float

    References
    ----------
    .. [1] DeLong, DeLong, Clarke-Pearson. "Comparing the areas under two or more correlated
       receiver operating characteristic curves". Biometrics 44, 1988.
    .. [2] Sun, Xu. "Fast implementation of DeLong's algorithm". IEEE Signal Processing Letters
       21, 2014.

    Examples
    --------
    >>> from skdistill.audit.membership import auc_interval
    >>> [round(float(v), 3) for v in auc_interval([3, 4, 5, 2, 1], [0, 1, 2, 3, 2])]
    [0.76, 0.357, 0.947]
    """
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    n, m = len(inside), len(outside)
    if min(n, m) < 2:
        raise ValueError(f"{n} members and {m} non-members: an interval needs two of each.")
    together = rankdata(np.concatenate([inside, outside]))
    beats = (together[:n] - rankdata(inside)) / m  # share of non-members below each member
    beaten = 1 - (together[n:] - rankdata(outside)) / n
    auc = float(beats.mean())
    if auc in (0.0, 1.0):
        bound = ((1 - confidence) / 2) ** (1 / min(n, m))
        return (auc, bound, 1.0) if auc == 1.0 else (auc, 0.0, 1 - bound)
    variance = beats.var(ddof=1) / n + beaten.var(ddof=1) / m
    half = norm.ppf((1 + confidence) / 2) * math.sqrt(variance) / (auc * (1 - auc))
    return auc, float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def tpr_at_fpr(
    member_scores: ArrayLike,
    nonmember_scores: ArrayLike,
    fpr: float,
    confidence: float = 0.95,
) -> tuple[float, float, float, float]:
    """Return the true-positive rate at a false-positive rate, its interval and a p-value.

    "Member" is said of scores strictly above the (k+1)-th highest of the m non-members,
    k = ⌊fpr·m⌋, so that at most k of them are mistaken for members. The interval is the one of
    Clopper and Pearson at that threshold. With a small k the threshold itself is uncertain (by
    about 1/√k of the rate), so whether a rate is more than chance is for the p-value to say.

    *p-value.* If scores said nothing of membership, all orders of the n + m scores would be
    equally likely. At least h members lie above the (k+1)-th non-member exactly if at most k of
    the highest h + k are non-members, that is, at least h of them members, whose number is
    hypergeometric. (Ties count against the attack, so the p-value can only be too large.)

    Parameters
    ----------
    member_scores, nonmember_scores : array-like of shape (n,) and (m,)
    fpr : float
        Between 0 and 1; m must be at least 1/fpr.
    confidence : float, default=0.95

    Returns
    -------
    tpr, low, high, p_value : float

    Raises
    ------
    ValueError
        For too few non-members; the message says how many are needed.

    Examples
    --------
    >>> from skdistill.audit.membership import tpr_at_fpr
    >>> [round(float(v), 3) for v in tpr_at_fpr([3, 4, 5, 2, 1], [0, 1, 2, 4, 2], fpr=0.2)]
    [0.6, 0.147, 0.947, 0.262]
    """
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    _check_fprs([fpr], len(outside))
    n, m = len(inside), len(outside)
    k = math.floor(fpr * m + 1e-9)
    threshold = np.partition(outside, m - 1 - k)[m - 1 - k] if k < m else -math.inf
    hits = int((inside > threshold).sum())
    low, high = clopper_pearson(hits, n, confidence)
    p_value = float(hypergeom.sf(hits - 1, n + m, n, min(hits + k, n + m)))
    return hits / n, low, high, p_value


def balanced_accuracy_interval(
    member_scores: ArrayLike,
    nonmember_scores: ArrayLike,
    confidence: float = 0.95,
    random_state: Any = None,
) -> tuple[float, float, float]:
    """Return the balanced accuracy of the best threshold and an interval for it.

    The best threshold is looked for on a random half of the scores and measured on the other: on
    the same ones chance would look better than 0.5. The interval joins those of Clopper and
    Pearson for the two rates.

    Parameters
    ----------
    member_scores, nonmember_scores : array-like of shape (n,) and (m,)
        At least two each.
    confidence : float, default=0.95
    random_state : int, RandomState or None, default=None
        Draws the halves.

    Returns
    -------
    accuracy, low, high : float

    References
    ----------
    .. [1] Zou, Donner. "Construction of confidence limits about effect measures: a general
       approach". Statistics in Medicine 27, 2008 (the square-and-add rule).
    """
    rng = check_random_state(random_state)
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    if min(len(inside), len(outside)) < 2:
        raise ValueError(
            f"{len(inside)} members and {len(outside)} non-members: two of each are needed."
        )
    inside, outside = rng.permutation(inside), rng.permutation(outside)
    i, o = len(inside) // 2, len(outside) // 2
    threshold = _best_threshold(inside[:i], outside[:o])
    right = int((inside[i:] > threshold).sum()), int((outside[o:] <= threshold).sum())
    sizes = len(inside) - i, len(outside) - o
    rates = [hits / n for hits, n in zip(right, sizes, strict=True)]
    limits = [clopper_pearson(h, n, confidence) for h, n in zip(right, sizes, strict=True)]
    below = math.hypot(*(rate - low for rate, (low, _) in zip(rates, limits, strict=True)))
    above = math.hypot(*(high - rate for rate, (_, high) in zip(rates, limits, strict=True)))
    mean = sum(rates) / 2
    return mean, max(mean - below / 2, 0.0), min(mean + above / 2, 1.0)


def roc_points(member_scores: ArrayLike, nonmember_scores: ArrayLike) -> tuple[Array, Array]:
    """Return false- and true-positive rates at every threshold, ascending, (0, 0) and (1, 1) too.

    Parameters
    ----------
    member_scores, nonmember_scores : array-like of shape (n,) and (m,)

    Returns
    -------
    fpr, tpr : ndarray of shape (n_thresholds + 1,)
    """
    inside = np.sort(np.asarray(member_scores, float))
    outside = np.sort(np.asarray(nonmember_scores, float))
    cuts = np.unique(np.concatenate([inside, outside]))[::-1]
    rates = [
        np.concatenate([[0.0], 1 - np.searchsorted(known, cuts, side="left") / len(known)])
        for known in (outside, inside)
    ]
    return rates[0], rates[1]


def clopper_pearson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the two-sided interval of Clopper and Pearson (1934) for a rate."""
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def _best_threshold(inside: Array, outside: Array) -> float:
    """Return the cut above which "member" is right most often, both kinds counting alike."""
    cuts = np.concatenate([[-np.inf], np.unique(np.concatenate([inside, outside]))])
    hits = 1 - np.searchsorted(np.sort(inside), cuts, side="right") / len(inside)
    alarms = 1 - np.searchsorted(np.sort(outside), cuts, side="right") / len(outside)
    return float(cuts[int(np.argmax(hits - alarms))])


# ------------------------------------------------------------------------------------- the report


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """What one attack found of one model.

    Parameters
    ----------
    model, attack : str
    epsilon, delta : float
        What the model's privacy statement claims; ∞ and 0 where it makes no claim.
    auc, accuracy : tuple of (float, float, float)
        Value, lower and upper end of the interval. `accuracy` is balanced.
    tpr : tuple of (float, float, float, float, float)
        For each false-positive rate asked for: it, the true-positive rate, lower and upper end of
        its interval, and the p-value of "no better than chance".
    """

    model: str
    attack: str
    epsilon: float
    delta: float
    auc: tuple[float, float, float]
    accuracy: tuple[float, float, float]
    tpr: tuple[tuple[float, float, float, float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dictionary: one column for each number."""
        record: dict[str, Any] = {
            "model": self.model,
            "attack": self.attack,
            "claimed_epsilon": self.epsilon,
            "claimed_delta": self.delta,
        }
        for name, interval in (("auc", self.auc), ("balanced_accuracy", self.accuracy)):
            record |= zip((name, f"{name}_low", f"{name}_high"), interval, strict=True)
        for fpr, *found in self.tpr:
            name = f"tpr_at_{fpr:g}"
            names = (name, f"{name}_low", f"{name}_high", f"{name}_p_value")
            record |= zip(names, found, strict=True)
        return record


@dataclass(frozen=True, kw_only=True)
class MembershipReport:
    """Attacks on one or several models, side by side.

    Not for publication: see :mod:`skdistill.audit.membership`.

    Parameters
    ----------
    rows : tuple of AttackResult
        One for each model and attack.
    n_members, n_nonmembers : int
        Records that were scored.
    confidence : float
        Of every interval by itself.
    scores : dict
        ``(model, attack)`` to a pair of arrays: scores of members and of non-members.
    """

    rows: tuple[AttackResult, ...]
    n_members: int
    n_nonmembers: int
    confidence: float
    scores: Mapping[tuple[str, str], tuple[Array, Array]] = field(repr=False, compare=False)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dictionary for each row."""
        return [row.to_dict() for row in self.rows]

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, or a list of dictionaries where pandas is missing."""
        try:
            from pandas import DataFrame
        except ImportError:
            return self.to_records()
        return DataFrame(self.to_records())

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        fprs = [point[0] for point in self.rows[0].tpr]
        head = ["model", "attack", "claim", "AUC", "balanced accuracy"]
        head += [f"TPR at {100 * fpr:g} % FPR" for fpr in fprs]
        return head, [
            [
                row.model,
                row.attack,
                "none" if math.isinf(row.epsilon) else f"ε={row.epsilon:.3g}",
                _with_interval(*row.auc),
                _with_interval(*row.accuracy),
                *(
                    _with_interval(*point[1:4]) + (" *" if point[4] < self._level() else "")
                    for point in row.tpr
                ),
            ]
            for row in self.rows
        ]

    def __str__(self) -> str:
        head, body = self._cells()
        widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *body]
        ]
        width = max(88, *map(len, lines))
        return "\n".join([*lines, textwrap.fill(self._caption(), width), NOT_FOR_PUBLICATION])

    def _level(self) -> float:
        """Return the level of each test of a true-positive rate, after Bonferroni."""
        return (1 - self.confidence) / max(sum(len(row.tpr) for row in self.rows), 1)

    def _caption(self) -> str:
        return (
            f"{self.n_members:,} members, {self.n_nonmembers:,} non-members; "
            f"{100 * self.confidence:g} % intervals, each by itself; chance is an AUC and a "
            "balanced accuracy of 0.5 and a TPR equal to the FPR. * more than chance, by an exact "
            f"test at {100 * (1 - self.confidence):.3g} % for the whole table (Bonferroni)."
        )

    def _repr_html_(self) -> str:
        head, body = self._cells()

        def line(cells: list[str], tag: str) -> str:
            inner = (f"<{tag} style='text-align:left'>{html.escape(c)}</{tag}>" for c in cells)
            return f"<tr>{''.join(inner)}</tr>"

        return (
            "<table><caption style='color:#b3261e;font-weight:bold;text-align:left'>"
            f"{html.escape(NOT_FOR_PUBLICATION)}</caption>{line(head, 'th')}"
            f"{''.join(line(row, 'td') for row in body)}</table>"
            f"<p>{html.escape(self._caption())}</p>"
        )


def _with_interval(value: float, low: float, high: float) -> str:
    digits = 3 if value >= 0.01 or high >= 0.1 else 4
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def membership_report(
    model: Any,
    X_member: Any,
    y_member: ArrayLike,
    X_nonmember: Any,
    y_nonmember: ArrayLike,
    *,
    attacks: str | Sequence[str] = "auto",
    shadow: Any = None,
    n_shadows: int = 64,
    X_reference: Any = None,
    y_reference: ArrayLike | None = None,
    fprs: Sequence[float] = (0.01, 0.001),
    confidence: float = 0.95,
    overlap: str = "raise",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> MembershipReport:
    """Attack one or several models and report how well members can be told from others.

    The report is for the auditor, who has the private records; it is **not for publication**.
    No ledger is charged, since nothing leaves.

    Parameters
    ----------
    model : estimator, PrivateDistiller or dict of str to estimator
        Fitted. A fitted PrivateDistiller is two models: its "teacher" and itself, the "student".
    X_member : array-like of shape (n, d)
        Records the model (the teacher) was trained on.
    y_member : array-like of shape (n,)
    X_nonmember : array-like of shape (m, d)
        Other records of the same kind.
    y_nonmember : array-like of shape (m,)
    attacks : "auto" or sequence of str, default="auto"
        Of :data:`ATTACKS`. "auto" is all that are possible: those with shadow models only if
        `shadow` is given, the loss alone for regression models.
    shadow : None, "clone", estimator or dict of str to estimator, default=None
        What to train shadow models of. "clone" takes each model's own kind, and for a student its
        teacher's; stronger against a student is ``{"teacher": kind_of_teacher, "student":
        ShadowDistiller(distiller, X_transfer)}``. None trains none.
    n_shadows : int, default=64
        Shadow models of each kind. They are trained on random halves of all records given.
    X_reference : array-like of shape (r, d), default=None
        Further records that are not members, for the attacks that need some to compare with. None
        sets half of the non-members aside if such an attack is asked for.
    y_reference : array-like of shape (r,), default=None
    fprs : sequence of float, default=(0.01, 0.001)
        False-positive rates at which the true-positive rate is wanted.
    confidence : float, default=0.95
        Of every interval by itself.
    overlap : {"raise", "drop"}, default="raise"
        A record (with its label) that is a member and a non-member, too, makes no sense. "drop"
        leaves out all copies of it, on both sides and among the reference records.
    random_state : int, RandomState or None, default=None
        Draws reference records, shadow halves and the halves for the accuracy's threshold.
    n_jobs : int, default=None
        Jobs of joblib that train shadow models.
    verbose : int, default=0
        Progress of the shadow models, as joblib prints it.

    Returns
    -------
    report : MembershipReport

    Raises
    ------
    ValueError, TypeError
        For members that are non-members, too; labels the model does not know; a model without
        probabilities; too few non-members for a false-positive rate. Messages hold numbers of
        rows, never a value of one; what a model raises is withheld.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.audit import membership_report
    >>> X, y = make_classification(800, flip_y=0.2, random_state=0)
    >>> model = DecisionTreeClassifier(random_state=0).fit(X[:400], y[:400])
    >>> report = membership_report(model, X[:400], y[:400], X[400:], y[400:],
    ...                            attacks=["loss"], fprs=[0.01], random_state=0)
    >>> report.rows[0].auc[0] > 0.6
    True
    """
    rng = check_random_state(random_state)
    models = _named(model)
    regression = _all_regressors(models)
    wanted = _check_attacks(attacks, shadow, regression)
    member, nonmember = (X_member, np.asarray(y_member)), (X_nonmember, np.asarray(y_nonmember))
    _check_lengths(members=member, nonmembers=nonmember)
    reference = None if X_reference is None else (X_reference, np.asarray(y_reference))
    if reference is not None:
        _check_lengths(reference=reference)
    member, nonmember, reference = _without_overlap(member, nonmember, reference, overlap)
    if reference is None and _WITH_REFERENCE & set(wanted):
        nonmember, reference = _set_aside(nonmember, rng, fprs)
    n, m = len(member[1]), len(nonmember[1])
    _check_sizes(n, m, fprs)
    parts = [member, nonmember] if reference is None else [member, nonmember, reference]
    y = np.concatenate([labels for _, labels in parts])
    pool = _Pool(stacked([table for table, _ in parts]), y, n + m)
    for name, each in models.items():
        _check_model(name, each, y, regression)
    kinds = _shadow_kinds(shadow, models) if _WITH_SHADOWS & set(wanted) else {}
    trained: dict[int, ShadowModels] = {}
    rows, scores = [], {}
    for name, each in models.items():
        kind = kinds.get(name)
        if kind is not None and id(kind) not in trained:
            trained[id(kind)] = train_shadow_models(
                kind, pool.X, y, n_shadows=n_shadows, random_state=rng, n_jobs=n_jobs,
                verbose=verbose,
            )  # fmt: skip
        shadows = None if kind is None else trained[id(kind)]
        for method, found in _scores(each, pool, wanted, shadows, regression).items():
            pair = scores[name, method] = found[:n], found[n:]
            rows.append(_result(name, method, each, pair, fprs, confidence, rng))
    return MembershipReport(
        rows=tuple(rows), n_members=n, n_nonmembers=m, confidence=confidence, scores=scores
    )


def attack(
    model: Any,
    X: Any,
    y: ArrayLike,
    X_reference: Any = None,
    y_reference: ArrayLike | None = None,
    *,
    method: str = "loss",
    shadow: Any = "clone",
    n_shadows: int = 64,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Array:
    """Score records of which it is not known whether they are members.

    Parameters
    ----------
    model : estimator
        Fitted, with `predict_proba`; or a regressor, for ``method="loss"``.
    X : array-like of shape (n, d)
        Records to score.
    y : array-like of shape (n,)
        Their labels.
    X_reference : array-like of shape (r, d), default=None
        Records of the same kind that are not members. Needed for all methods but "loss" and
        "modified_entropy".
    y_reference : array-like of shape (r,), default=None
    method : str, default="loss"
        One of :data:`ATTACKS`. "rmia" and "lira_offline" train shadow models on reference records
        only; "lira_online" trains them on the scored records, too.
    shadow : "clone" or estimator, default="clone"
        What to train shadow models of; "clone" is the model's own kind.
    n_shadows : int, default=64
    random_state : int, RandomState or None, default=None
        Draws the halves shadow models are trained on.
    n_jobs : int, default=None
        Jobs of joblib that train shadow models.
    verbose : int, default=0
        Progress of the shadow models.

    Returns
    -------
    scores : ndarray of shape (n,)
        Higher means member.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.audit import attack
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DecisionTreeClassifier(max_depth=1).fit(X[::2], y[::2])
    >>> scores = attack(model, X[::2], y[::2], X[1::2], y[1::2], method="lira_offline",
    ...                 n_shadows=8)
    >>> scores.shape
    (75,)
    """
    regression = is_regressor(model)
    _check_attacks([method], shadow, regression)
    needs_shadows = method in _WITH_SHADOWS
    if X_reference is None and (needs_shadows or method in _WITH_REFERENCE):
        raise ValueError(
            f"method={method!r} needs reference records, known not to be members: pass "
            "X_reference and y_reference."
        )
    parts = [(X, np.asarray(y))]
    if X_reference is not None:
        parts.append((X_reference, np.asarray(y_reference)))
    _check_lengths(**dict(zip(("records", "reference"), parts, strict=False)))
    labels = np.concatenate([part[1] for part in parts])
    _check_model("model", model, labels, regression)
    n = len(parts[0][1])
    pool = _Pool(stacked([part[0] for part in parts]), labels, n)
    shadows = None
    if needs_shadows:
        scored = np.arange(len(labels)) < n
        shadows = train_shadow_models(
            model if isinstance(shadow, str) else shadow,
            pool.X,
            labels,
            n_shadows=n_shadows,
            trainable=None if method == "lira_online" else ~scored,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
    return _scores(model, pool, [method], shadows, regression)[method]


# ------------------------------------------------------------------------------------------ parts


@dataclass(frozen=True)
class _Pool:
    """All records of an audit: those to score first, then the reference records."""

    X: Any
    y: NDArray[Any]
    n_scored: int


def _scores(
    model: Any,
    pool: _Pool,
    attacks: Iterable[str],
    shadows: ShadowModels | None,
    regression: bool,
) -> dict[str, Array]:
    """Return each attack's scores of the records to score."""
    n = pool.n_scored
    if regression:
        said = withheld(lambda: model.predict(pool.X), "The model's predict")
        return {"loss": squared_error_attack(said, pool.y)[:n]}
    classes = np.asarray(model.classes_)
    p = aligned_probabilities(model, pool.X, classes)
    codes = _codes(pool.y, classes)
    confidences = log_odds(p, codes)
    scored, others = slice(0, n), slice(n, None)
    found: dict[str, Array] = {}
    for name in attacks:
        if name == "loss":
            found[name] = loss_attack(p[scored], codes[scored])
        elif name == "modified_entropy":
            found[name] = modified_entropy_attack(p[scored], codes[scored])
        elif name == "classwise":
            found[name] = classwise_attack(p[scored], codes[scored], p[others], codes[others])
        elif name == "quantile":
            features = np.column_stack([numbers(pool.X), np.eye(len(classes))[codes]])
            found[name] = quantile_attack(
                confidences[scored], features[scored], confidences[others], features[others]
            )
        elif shadows is not None:
            inside, outside = shadows.take(scored), shadows.take(others)
            found[name] = (
                rmia_attack(
                    confidences[scored],
                    inside.confidences,
                    confidences[others],
                    outside.confidences,
                    inside.member,
                    outside.member,
                )
                if name == "rmia"
                else lira_attack(
                    confidences[scored],
                    inside.confidences,
                    inside.member,
                    online=name == "lira_online",
                )
            )
    return found


def _result(
    name: str,
    method: str,
    model: Any,
    pair: tuple[Array, Array],
    fprs: Sequence[float],
    confidence: float,
    rng: np.random.RandomState,
) -> AttackResult:
    claim = getattr(model, "privacy_", None)
    claims = claim is not None and getattr(claim, "private", False)
    return AttackResult(
        model=name,
        attack=method,
        epsilon=float(claim.epsilon) if claims and claim is not None else math.inf,
        delta=float(claim.delta) if claims and claim is not None else 0.0,
        auc=auc_interval(*pair, confidence),
        accuracy=balanced_accuracy_interval(*pair, confidence, rng),
        tpr=tuple((float(fpr), *tpr_at_fpr(*pair, fpr, confidence)) for fpr in fprs),
    )


def _named(model: Any) -> dict[str, Any]:
    """Return the models to attack by name; a fitted distiller is its teacher and itself."""
    if isinstance(model, Mapping):
        if not model:
            raise ValueError("model={} holds no model to attack.")
        return {str(name): unfrozen(each) for name, each in model.items()}
    if _is_distilled(model):
        return {"teacher": unfrozen(model.teacher), "student": model}
    return {"model": unfrozen(model)}


def _is_distilled(model: Any) -> bool:
    """Whether a model is a fitted distiller, which brings its teacher along."""
    return hasattr(model, "student_") and hasattr(model, "teacher")


def _all_regressors(models: Mapping[str, Any]) -> bool:
    kinds = {bool(is_regressor(each)) for each in models.values()}
    if len(kinds) > 1:
        raise ValueError("Regressors and classifiers cannot be attacked in one report.")
    return kinds.pop()


def _check_attacks(attacks: str | Sequence[str], shadow: Any, regression: bool) -> list[str]:
    """Return the names of the attacks, or raise for those that cannot be."""
    if isinstance(attacks, str) and attacks == "auto":
        if regression:
            return ["loss"]
        return [name for name in ATTACKS if shadow is not None or name not in _WITH_SHADOWS]
    names = [attacks] if isinstance(attacks, str) else list(attacks)
    unknown = [name for name in names if name not in ATTACKS]
    if unknown or not names:
        raise ValueError(f'attacks={attacks!r}: use "auto" or names among {", ".join(ATTACKS)}.')
    if regression and names != ["loss"]:
        raise ValueError(
            f"attacks={names!r}: a regression model has no class probabilities, and only the "
            'attack "loss" (squared errors) works without. Use attacks=["loss"].'
        )
    if shadow is None and _WITH_SHADOWS & set(names):
        raise ValueError(
            f"{sorted(_WITH_SHADOWS & set(names))} need shadow models. Pass "
            'shadow="clone" to train clones of the model.'
        )
    return names


def _check_lengths(**sides: tuple[Any, NDArray[Any]]) -> None:
    for name, (X, y) in sides.items():
        rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if y.shape != (rows,):
            raise ValueError(f"{name}: X has {rows} rows, but y has shape {y.shape}.")


def _check_sizes(n: int, m: int, fprs: Sequence[float], set_aside: str = "") -> None:
    if min(n, m) < 2:
        raise ValueError(f"{n} members and {m} non-members to score: two of each are needed.")
    _check_fprs(fprs, m, set_aside)


def _check_fprs(fprs: Sequence[float], m: int, set_aside: str = "") -> None:
    for fpr in fprs:
        if not 0 < fpr < 1:
            raise ValueError(f"A false-positive rate of {fpr!r} is not between 0 and 1.")
        needed = math.ceil(1 / fpr - 1e-9)
        if m < needed:
            raise ValueError(
                f"A true-positive rate at {fpr:g} false positives needs at least {needed:,} "
                f"non-members to score; there are {m:,}{set_aside}. Give more, or ask for larger "
                f"rates, such as fprs=[{_round_up(1 / m) if m else 1:g}]."
            )


def _round_up(value: float) -> float:
    """Round up to one significant digit."""
    size = 10.0 ** math.floor(math.log10(value))
    return min(math.ceil(value / size - 1e-9) * size, 0.5)


def _check_model(name: str, model: Any, y: NDArray[Any], regression: bool) -> None:
    """Raise for a model that cannot be attacked, or knows other classes."""
    if regression:
        return
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"{name}={type(model).__name__} has no predict_proba (a loaded distiller comes "
            "without its teacher): attacks need class probabilities. Wrap it in "
            "CalibratedClassifierCV, or attack the other models alone, by name: "
            '{"student": distiller}.'
        )
    classes = getattr(model, "classes_", None)
    if classes is None or np.ndim(classes) != 1 or len(classes) < 2:
        raise ValueError(
            f"{name}={type(model).__name__} is not fitted, or has no one-dimensional classes_ of "
            "at least two labels: multi-output models are not supported."
        )
    unknown = ~np.isin(y, np.asarray(classes))
    if unknown.any():
        raise ValueError(
            f"{int(unknown.sum())} of {len(y)} records have a label that is none of the "
            f"{len(classes)} classes of {name}={type(model).__name__}."
        )


def _shadow_kinds(shadow: Any, models: Mapping[str, Any]) -> dict[str, Any]:
    """Return, for each model by name, the estimator to train shadow models of."""
    if isinstance(shadow, Mapping):
        missing = sorted(set(models) - {str(name) for name in shadow})
        if missing:
            raise ValueError(f"shadow names no estimator for {missing}.")
        return {name: shadow[name] for name in models}
    if isinstance(shadow, str):
        if shadow != "clone":
            raise ValueError(f'shadow={shadow!r} must be None, "clone", an estimator or a dict.')
        kinds = {
            name: unfrozen(each.teacher) if _is_distilled(each) else each
            for name, each in models.items()
        }
        bare = [name for name, kind in kinds.items() if not hasattr(kind, "fit")]
        if bare or any(not hasattr(kind, "predict_proba") for kind in kinds.values()):
            raise TypeError(
                'shadow="clone" needs models (for a student: its teacher) that can be trained and '
                "give probabilities. Pass the estimator to train as shadow=..."
            )
        return kinds
    return dict.fromkeys(models, shadow)


def _set_aside(
    nonmember: tuple[Any, NDArray[Any]], rng: np.random.RandomState, fprs: Sequence[float]
) -> tuple[tuple[Any, NDArray[Any]], tuple[Any, NDArray[Any]]]:
    """Return the non-members to score and, a random half, those to compare with."""
    X, y = nonmember
    order = rng.permutation(len(y))
    rows = np.sort(order[: (len(y) + 1) // 2]), np.sort(order[(len(y) + 1) // 2 :])
    aside = f" (of {len(y):,}; half were set aside, since no X_reference was given)"
    _check_fprs(fprs, len(rows[0]), aside)
    return tuple((take_rows(X, each), y[each]) for each in rows)  # type: ignore[return-value]


def _without_overlap(
    member: tuple[Any, NDArray[Any]],
    nonmember: tuple[Any, NDArray[Any]],
    reference: tuple[Any, NDArray[Any]] | None,
    overlap: str,
) -> tuple[tuple[Any, NDArray[Any]], tuple[Any, NDArray[Any]], tuple[Any, NDArray[Any]] | None]:
    """Raise for, or drop, records (labels included) that are members and something else."""
    if overlap not in ("raise", "drop"):
        raise ValueError(f'overlap={overlap!r} must be "raise" or "drop".')
    sides = [member, nonmember] if reference is None else [member, nonmember, reference]
    keys = _row_keys(stacked([X for X, _ in sides]), np.concatenate([y for _, y in sides]))
    bounds = np.cumsum([0, *(len(y) for _, y in sides)])
    each = [keys[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    twice = set(each[0]) & set().union(*each[1:])
    if twice and overlap == "raise":
        raise ValueError(
            f"Members and non-members overlap: {sum(k in twice for k in each[0])} of "
            f"{len(each[0])} members, with their labels, are among the {len(keys) - len(each[0])} "
            'others, too. Split the records anew, or use overlap="drop", which leaves out all '
            "copies of such records."
        )
    if twice:
        sides = [
            _kept(side, np.array([k not in twice for k in own], dtype=bool))
            for side, own in zip(sides, each, strict=True)
        ]
    return sides[0], sides[1], sides[2] if reference is not None else None


def _kept(side: tuple[Any, NDArray[Any]], keep: NDArray[np.bool_]) -> tuple[Any, NDArray[Any]]:
    rows = np.flatnonzero(keep)
    return take_rows(side[0], rows), side[1][rows]


def _row_keys(X: Any, y: NDArray[Any]) -> list[bytes]:
    """Return one key for each record; equal keys mean equal cells and labels."""
    labels = np.unique(y, return_inverse=True)[1]
    if hasattr(X, "tocsr"):
        table = X.tocsr().copy()
        table.sum_duplicates()
        table.eliminate_zeros()
        spans = zip(table.indptr[:-1], table.indptr[1:], labels, strict=True)
        return [
            b"|".join((table.indices[a:b].tobytes(), table.data[a:b].tobytes(), b"%d" % label))
            for a, b, label in spans
        ]
    table = np.column_stack([numbers(X), labels]) + 0.0  # -0 becomes 0
    table[np.isnan(table)] = np.nan  # one of the many
    return [row.tobytes() for row in np.ascontiguousarray(table)]


def numbers(X: Any) -> Array:
    """Return a table as numbers, shape ``(n, d)``; columns of other things as codes.

    Raises
    ------
    ValueError
        For a sparse matrix.
    """
    if hasattr(X, "tocsr"):
        raise ValueError(
            "The quantile regression attack needs a dense X. Leave it out of `attacks`, or pass "
            "X.toarray()."
        )
    if hasattr(X, "columns"):
        columns = [np.asarray(X[name]) for name in X.columns]
    else:
        table = np.asarray(X) if hasattr(X, "dtype") else np.asarray(X, dtype=object)
        if table.dtype.kind in "biuf":
            return np.asarray(table.reshape(len(table), -1), dtype=float)
        columns = list(table.reshape(len(table), -1).T)
    return np.column_stack([_as_numbers(column) for column in columns])


def _as_numbers(column: NDArray[Any]) -> Array:
    try:
        return np.asarray(column, dtype=float)
    except (TypeError, ValueError):
        return np.unique(column.astype(str), return_inverse=True)[1].astype(float)


def _codes(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Return labels as positions in `classes`, which need not be sorted."""
    order = np.argsort(classes)
    return np.asarray(order[np.searchsorted(classes, y, sorter=order)], dtype=np.intp)
