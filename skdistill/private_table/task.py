"""The arguments of a fit to a private table, and its results."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release.calibration import Release
from skdistill.release.class_counts import ScoreHistogram
from skdistill.release.domain import Hidden
from skdistill.release.mechanism import Labels
from skdistill.release.synthesis import SyntheticTable
from skdistill.schema import Schema


@dataclass(frozen=True)
class Task:
    """The arguments of a fit, every cell inside its public range; private."""

    schema: Schema
    kind: str
    rows: Any
    targets: NDArray[Any]
    groups: Any
    n_units: int
    X_public: Any

    @property
    def unit(self) -> Unit:
        """The unit that one replacement changes: a record or a group."""
        return Unit.RECORD if self.groups is None else Unit.GROUP


@dataclass(frozen=True)
class Found:
    """Everything that one fit released, and its post-processing; public."""

    schema: Schema  # with all bounds
    table: SyntheticTable | None  # None where transfer rows were given
    inputs: Any  # the transformer from rows of the schema to the rows that the teacher sees
    rows: Any  # transfer rows, as the teacher sees them
    release: Release  # of the labels, at their part of the price
    labels: Labels
    histogram: ScoreHistogram | None
    costs: dict[str, Fraction]  # the part of the price that each release took
    hidden: Hidden | None = None  # values that noise on the counts for private bounds may hide

    def cost_text(self, loss: PrivacyLoss | None) -> str:
        """Return the part of the price that each release took, in words."""
        if loss is None:
            return ""
        parts = [f"{name} {float(share):.1%}" for name, share in self.costs.items()]
        return f" ({', '.join(parts)} of {'ε' if loss.mu is None else 'μ²'})"


class PrivateStepError(ValueError):
    """A step before the teacher, or the teacher, raised on private rows."""

    def __init__(self) -> None:
        super().__init__(
            "A step before the teacher, or the teacher itself, raised on the private rows; its "
            "message is withheld because it may quote them. Try it on rows you may see, such as "
            "model.sample(100)."
        )
