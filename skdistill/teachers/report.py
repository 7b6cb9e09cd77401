"""How the training of a teacher went: counts for the owner's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdistill.teachers.members import ConstantVoter


@dataclass(frozen=True, repr=False)
class TeacherReport:
    """The state of a teacher's records, and of its members. Private: for the owner alone.

    Parameters
    ----------
    trained : int
        Members that learned something. A Newton teacher has no members.
    one_class : int
        Members whose records are all of one class: they vote for it.
    uninformed : int
        Members that know nothing: no record was left, or training raised.
    records : dict
        Records (of groups: groups) of each class; {} in a regression.
    left_out : int or None
        Rows whose label is none of the classes, or whose target is no finite number. None where
        the targets of a regression are in a dask collection: they are not counted.
    """

    trained: int
    one_class: int
    uninformed: int
    records: dict[Any, int]
    left_out: int | None

    def __repr__(self) -> str:
        members = (
            f"  members      {self.trained} trained, {self.one_class} of one class, "
            f"{self.uninformed} that know nothing"
        )
        left_out = "?" if self.left_out is None else self.left_out
        lines = [
            "TeacherReport (private: not to be published)",
            *([members] if self.trained or self.one_class or self.uninformed else []),
            *(f"  class {label!s:<7}{n} records" for label, n in self.records.items()),
            f"  left out     {left_out} rows: no such class, or no finite target",
        ]
        return "\n".join(lines)


def report_of(
    members: Sequence[Any], classes: Any, class_count: Any, left_out: int | None
) -> TeacherReport:
    """Count the members by the result of their training; a Newton teacher has none."""
    votes = [np.asarray(each.vote) for each in members if type(each) is ConstantVoter]
    one_class = sum(bool((vote == 1).any()) for vote in votes)
    records = (
        {} if classes is None else dict(zip(classes.tolist(), class_count.tolist(), strict=True))
    )
    return TeacherReport(
        trained=len(members) - len(votes),
        one_class=one_class,
        uninformed=len(votes) - one_class,
        records=records,
        left_out=left_out,
    )
