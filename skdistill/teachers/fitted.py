"""The arguments and the state of a teacher's fit."""

from __future__ import annotations

from collections.abc import Callable
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
from skdistill.teachers.shards import label_counts


def read_arguments(
    estimator: Any, X: Any, y: Any, groups: Any = None, read: Callable[[Any], Any] | None = None
) -> tuple[Any, list[Any], list[str] | None, dict[str, Any]]:
    """Read private rows, labels and groups; raise for public reasons alone.

    Returns the rows as `read` gives them (:func:`read_table` by default), the labels one by one,
    the names of the groups (None without groups), and the state that says which columns were seen.
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
    """Replace the state of an earlier fit by `state`, in one assignment; remember the table X.

    A fit that is interrupted before leaves the earlier state whole: members of one fit never stand
    beside the unit, the counts or the certificate of another.
    """
    kept = {name: value for name, value in vars(estimator).items() if not name.endswith("_")}
    estimator.__dict__ = kept | state
    remember(estimator, X)
