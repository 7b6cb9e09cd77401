"""Reports of membership attacks: rates with intervals and tests, as text, HTML and frames."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import hypergeom, norm, rankdata
from sklearn.metrics import roc_curve
from sklearn.utils import check_random_state

from skdistill._html import html_table
from skdistill.audit.bounds import clopper_pearson

Array = NDArray[np.float64]

NOT_FOR_PUBLICATION = (
    "Not for publication: computed from private records, and for a teacher from its answers "
    "without noise. It is not covered by any ε."
)


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """Success of one attack on one model.

    `epsilon` and `delta` are the model's claim under replace-one; ∞ and 0 without one. `auc` and
    (balanced) `accuracy` are value, lower and upper end. Each element of `tpr` is a false-positive
    rate, its true-positive rate, lower and upper end, and the p-value of "no better than chance".
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
        record: dict[str, Any] = {"model": self.model, "attack": self.attack}
        record |= {"claimed_epsilon": self.epsilon, "claimed_delta": self.delta}
        rates = [(f"tpr_at_{point[0]:g}", point[1:]) for point in self.tpr]
        for name, found in [("auc", self.auc), ("balanced_accuracy", self.accuracy), *rates]:
            names = (name, f"{name}_low", f"{name}_high", f"{name}_p_value")
            record |= zip(names, found, strict=False)
        return record

    def cells(self, level: float) -> list[str]:
        """Return the row of a printed table; rates with a p-value below `level` get a star."""
        return [
            self.model,
            self.attack,
            "none" if math.isinf(self.epsilon) else f"ε={self.epsilon:.3g}",
            _with_interval(*self.auc),
            _with_interval(*self.accuracy),
            *(_with_interval(*p[1:4]) + (" *" if p[4] < level else "") for p in self.tpr),
        ]


def _with_interval(value: float, low: float, high: float) -> str:
    digits = 3 if value >= 0.01 or high >= 0.1 else 4
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


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

    Examples
    --------
    >>> from skdistill.audit import MembershipReport  # membership_report makes one
    >>> report = MembershipReport(rows=(), n_members=2, n_nonmembers=2, confidence=0.95, scores={})
    >>> report.to_records()
    []
    """

    rows: tuple[AttackResult, ...]
    n_members: int
    n_nonmembers: int
    confidence: float
    scores: Mapping[tuple[str, str], tuple[Array, Array]] = field(repr=False, compare=False)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dictionary for each row.

        Returns
        -------
        records : list of dict
            Columns by name.
        """
        return [row.to_dict() for row in self.rows]

    def to_frame(self) -> Any:
        """Return the records as a pandas DataFrame.

        Returns
        -------
        frame : DataFrame
            One row for each model and attack.
        """
        from pandas import DataFrame

        return DataFrame(self.to_records())

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        head = ["model", "attack", "claim", "AUC", "balanced accuracy"]
        head += [f"TPR at {100 * fpr:g} % FPR" for fpr, *_ in self.rows[0].tpr]
        level = (1 - self.confidence) / max(sum(len(row.tpr) for row in self.rows), 1)  # Bonferroni
        return head, [row.cells(level) for row in self.rows]

    def _caption(self) -> str:
        return (
            f"{self.n_members:,} members, {self.n_nonmembers:,} non-members; "
            f"{100 * self.confidence:g} % intervals, each by itself; chance is an AUC and a "
            "balanced accuracy of 0.5 and a TPR equal to the FPR. * more than chance, by an exact "
            f"test at {100 * (1 - self.confidence):.3g} % for the whole table (Bonferroni)."
        )

    def __str__(self) -> str:
        head, body = self._cells()
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *body]]
        caption = textwrap.fill(self._caption(), max(88, *map(len, lines)))
        return "\n".join([*lines, caption, NOT_FOR_PUBLICATION])

    def _repr_html_(self) -> str:
        head, body = self._cells()
        table = html_table(body, NOT_FOR_PUBLICATION, head=head, good=False)
        return f"{table}<p>{self._caption()}</p>"


def auc_interval(
    member_scores: ArrayLike, nonmember_scores: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the area under the ROC curve and DeLong's interval for it, on the logit scale.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, computed from ranks (Sun and Xu,
    IEEE Signal Processing Letters 21, 2014). Where the sample area is 0 or 1, its variance is
    estimated as 0; the interval is then that of Clopper and Pearson for min(n, m) disjoint, hence
    independent, pairs in the same order.
    """
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    n, m = len(inside), len(outside)
    check_sizes(n, m)
    together = rankdata(np.concatenate([inside, outside]))
    beats = (together[:n] - rankdata(inside)) / m  # share of non-members below each member
    beaten = 1 - (together[n:] - rankdata(outside)) / n
    auc = float(beats.mean())
    if auc in (0.0, 1.0):
        pairs = min(n, m)
        low, high = clopper_pearson(int(auc) * pairs, pairs, confidence)
        return auc, float(low), float(high)
    variance = beats.var(ddof=1) / n + beaten.var(ddof=1) / m
    half = norm.ppf((1 + confidence) / 2) * math.sqrt(variance) / (auc * (1 - auc))
    return auc, float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def tpr_at_fpr(
    member_scores: ArrayLike, nonmember_scores: ArrayLike, fpr: float, confidence: float = 0.95
) -> tuple[float, float, float, float]:
    """Return the true-positive rate at a false-positive rate, its interval and a p-value.

    Scores strictly above the (k+1)-th highest of the m non-members are called members,
    k = ⌊fpr·m⌋, so that at most k non-members are mistaken. The interval is that of Clopper and
    Pearson at this threshold. With a small k the threshold itself is uncertain (by about 1/√k of
    the rate); the p-value of "no better than chance" is exact all the same.
    """
    # Proof of the p-value. If scores were independent of membership, all orders of the n + m
    # scores would be equally likely. At least h members lie above the (k+1)-th non-member exactly
    # if at least h of the highest h + k are members, whose number is hypergeometric. Ties count
    # against the attack, so the p-value can only be too large.
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    n, m = len(inside), len(outside)
    check_fprs([fpr], m)
    k = math.floor(fpr * m + 1e-9)
    threshold = np.partition(outside, m - 1 - k)[m - 1 - k] if k < m else -math.inf
    hits = int((inside > threshold).sum())
    low, high = clopper_pearson(hits, n, confidence)
    p_value = float(hypergeom.sf(hits - 1, n + m, n, min(hits + k, n + m)))
    return hits / n, float(low), float(high), p_value


def balanced_accuracy_interval(
    member_scores: ArrayLike,
    nonmember_scores: ArrayLike,
    confidence: float = 0.95,
    random_state: Any = None,
) -> tuple[float, float, float]:
    """Return the balanced accuracy of the best threshold and an interval for it.

    The best threshold is chosen on a random half of the scores and measured on the other half,
    since on the same scores chance would look better than 0.5. The interval joins those of Clopper
    and Pearson for the two rates by the square-and-add rule (Zou and Donner, Statistics in
    Medicine 27, 2008).
    """
    rng = check_random_state(random_state)
    inside, outside = np.asarray(member_scores, float), np.asarray(nonmember_scores, float)
    check_sizes(len(inside), len(outside))
    inside, outside = rng.permutation(inside), rng.permutation(outside)
    i, o = len(inside) // 2, len(outside) // 2
    threshold = _best_threshold(inside[:i], outside[:o])
    right = np.array([(inside[i:] > threshold).sum(), (outside[o:] <= threshold).sum()])
    sizes = np.array([len(inside) - i, len(outside) - o])
    rates, (low, high) = right / sizes, clopper_pearson(right, sizes, confidence)
    mean = float(rates.mean())
    below, above = math.hypot(*(rates - low)), math.hypot(*(high - rates))
    return mean, max(mean - below / 2, 0.0), min(mean + above / 2, 1.0)


def _best_threshold(inside: Array, outside: Array) -> float:
    """Return the cut above which "member" is right most often, both kinds counting alike."""
    cuts = np.concatenate([[-np.inf], np.unique(np.concatenate([inside, outside]))])
    hits, alarms = (
        1 - np.searchsorted(np.sort(side), cuts, side="right") / len(side)
        for side in (inside, outside)
    )
    return float(cuts[int(np.argmax(hits - alarms))])


def roc_points(member_scores: ArrayLike, nonmember_scores: ArrayLike) -> tuple[Array, Array]:
    """Return false- and true-positive rates at every threshold, from (0, 0) to (1, 1)."""
    sides = np.asarray(member_scores), np.asarray(nonmember_scores)
    truth = np.repeat([1, 0], list(map(len, sides)))
    fpr, tpr, _ = roc_curve(truth, np.concatenate(sides), drop_intermediate=False)
    return fpr, tpr


def check_sizes(n: int, m: int) -> None:
    """Raise unless there are two members and two non-members at least."""
    if min(n, m) < 2:
        raise ValueError(f"{n} members and {m} non-members to score: two of each are needed.")


def check_fprs(fprs: Sequence[float], m: int, remark: str = "") -> None:
    """Raise for false-positive rates that m non-members cannot show."""
    for fpr in fprs:
        if not 0 < fpr < 1:
            raise ValueError(f"A false-positive rate of {fpr!r} is not between 0 and 1.")
        needed = math.ceil(1 / fpr - 1e-9)
        if m < needed:
            size = 10.0 ** math.floor(math.log10(1 / max(m, 1)))
            possible = min(math.ceil(1 / max(m, 1) / size - 1e-9) * size, 0.5)  # one digit, up
            raise ValueError(
                f"A true-positive rate at {fpr:g} false positives needs at least {needed:,} "
                f"non-members to score; there are {m:,}{remark}. Give more, or ask for larger "
                f"rates, such as fprs=[{possible:g}]."
            )
