"""How the training of an ensemble went: counts for the owner's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.teachers.members import ConstantVoter


@dataclass(frozen=True, repr=False)
class EnsembleReport:
    """The state of the members and records of an ensemble. Private: for the owner alone.

    Parameters
    ----------
    trained : int
        Members that learned something.
    one_class : int
        Members whose records are all of one class: they vote for it.
    uninformed : int
        Members that know nothing: no record was left, or training raised.
    records : dict
        Records (of groups: groups) of each class; {} in a regression.
    left_out : int
        Rows whose label is none of the classes, or whose target is no finite number.
    """

    trained: int
    one_class: int
    uninformed: int
    records: dict[Any, int]
    left_out: int

    def __repr__(self) -> str:
        lines = [
            "EnsembleReport (private: not to be published)",
            f"  members      {self.trained} trained, {self.one_class} of one class, "
            f"{self.uninformed} that know nothing",
            *(f"  class {label!s:<7}{n} records" for label, n in self.records.items()),
            f"  left out     {self.left_out} rows: no such class, or no finite target",
        ]
        return "\n".join(lines)


def ensemble_report(
    members: Sequence[Any], classes: Any, class_count: Any, left_out: int
) -> EnsembleReport:
    """Count the members by the result of their training."""
    votes = [np.asarray(each.vote) for each in members if type(each) is ConstantVoter]
    one_class = sum(bool((vote == 1).any()) for vote in votes)
    records = (
        {} if classes is None else dict(zip(classes.tolist(), class_count.tolist(), strict=True))
    )
    return EnsembleReport(
        trained=len(members) - len(votes),
        one_class=one_class,
        uninformed=len(votes) - one_class,
        records=records,
        left_out=left_out,
    )
