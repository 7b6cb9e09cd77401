"""The arguments and the state of a teacher's fit, and a report of it for the owner's eyes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from skdistill._tables import (
    cells_of,
    check_lengths,
    group_names,
    known_classes,
    label_codes,
    layout_of,
    read_table,
)
from skdistill._trained_on import remember
from skdistill.teachers.members import ConstantVoter
from skdistill.teachers.shards import label_counts


def read_arguments(
    estimator: Any, X: Any, y: Any, groups: Any = None, read: Callable[[Any], Any] | None = None
) -> tuple[Any, list[Any], list[str] | None, dict[str, Any]]:
    """Read private rows, labels and groups; raise for public reasons alone.

    Returns the rows as `read` gives them (:func:`read_table` by default), the labels one by one,
    the names of the groups or None, and the state that says which columns were seen.
    """
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    rows, cells = (read or read_table)(X), cells_of(y)
    names = None if groups is None else group_names(groups)
    check_lengths(rows, y=cells, groups=names)
    seen = BaseEstimator()
    validate_data(seen, layout_of(X), skip_check_array=True)
    return rows, cells, names, vars(seen)


def read_classes(
    estimator: Any, y: Any, cells: list[Any], names: list[str] | None = None
) -> tuple[NDArray[np.intp], dict[str, Any]]:
    """Return the index of each label, -1 for an unknown one, and the state of the classes."""
    numbers = isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biuf"
    labels = y if numbers else cells
    classes = known_classes(y, estimator.classes, labels)
    codes = label_codes(labels, classes)
    return codes, {
        "classes_": classes,
        "classes_given_": estimator.classes is not None,
        "class_count_": label_counts(codes, len(classes), names),
    }


def set_fitted(estimator: Any, state: dict[str, Any], X: Any) -> None:
    """Replace the state of an earlier fit, in one assignment that no interruption can split."""
    kept = {name: value for name, value in vars(estimator).items() if not name.endswith("_")}
    estimator.__dict__ = kept | state
    remember(estimator, X)


@dataclass(frozen=True, repr=False)
class TeacherReport:
    """The state of a teacher's records, and of its members. Private: for the owner alone."""

    trained: int  # members that learned something; a Newton teacher has no members
    one_class: int  # members whose records are all of one class: they vote for it
    uninformed: int  # members that know nothing: no record was left, or training raised
    records: dict[Any, int]  # records (of groups: groups) of each class; {} in a regression
    left_out: int | None  # rows with an unknown label, or no finite target; None: not counted

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
    records = {}
    if classes is not None:
        records = dict(zip(classes.tolist(), class_count.tolist(), strict=True))
    trained, uninformed = len(members) - len(votes), len(votes) - one_class
    return TeacherReport(trained, one_class, uninformed, records, left_out)
