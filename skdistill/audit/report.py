"""Reports of membership attacks, as text, HTML, records and frames. Not for publication."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._html import html_table

Array = NDArray[np.float64]

NOT_FOR_PUBLICATION = (
    "Not for publication: computed from private records, and for a teacher from its answers "
    "without noise. It is not covered by any ε."
)


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """Success of one attack on one model.

    `epsilon` and `delta` are the model's claim; ∞ and 0 without one. `auc` and (balanced)
    `accuracy` are value, lower and upper end. Each element of `tpr` is a false-positive rate, its
    true-positive rate, lower and upper end, and the p-value of "no better than chance".
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
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.audit import membership_report
    >>> X, y = make_classification(400, flip_y=0.2, random_state=0)
    >>> model = DecisionTreeClassifier(random_state=0).fit(X[:200], y[:200])
    >>> report = membership_report(model, X[:200], y[:200], X[200:], y[200:], attacks=["loss"],
    ...                            fprs=[0.05])
    >>> report.n_members, [row["attack"] for row in report.to_records()]
    (200, ['loss'])
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
        """Return a pandas DataFrame, or a list of dictionaries where pandas is missing.

        Returns
        -------
        frame : DataFrame or list of dict
            One row for each model and attack.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            return self.to_records()
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
