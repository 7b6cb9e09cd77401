"""State of a fit: assigned at its end, all of it at once."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from skdistill._tables import Table

__all__ = ["layout_of", "set_fitted"]


def layout_of(X: Any, table: Table) -> dict[str, Any]:
    """Return ``n_features_in_`` and ``feature_names_in_`` of a table, where it has them.

    The width of rows in a list is that of the table that was read, and not the length of row 0.
    """
    layout = {} if table.width is None else {"n_features_in_": table.width}
    if isinstance(X, (list, tuple)):
        return layout
    seen = BaseEstimator()
    validate_data(seen, X, skip_check_array=True)
    return layout | vars(seen)


def set_fitted(estimator: Any, state: dict[str, Any]) -> None:
    """Replace what an earlier fit left by `state`, in one assignment.

    A fit that is interrupted before leaves the earlier state whole: members of one fit never stand
    beside the unit, the counts or the certificate of another.
    """
    kept = {name: value for name, value in vars(estimator).items() if not name.endswith("_")}
    estimator.__dict__ = kept | state
