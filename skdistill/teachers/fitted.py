"""State of a fit: assigned at its end, all of it at once."""

from __future__ import annotations

from typing import Any

from skdistill._trained_on import remember

__all__ = ["set_fitted"]


def set_fitted(estimator: Any, state: dict[str, Any], X: Any) -> None:
    """Replace the state of an earlier fit by `state`, in one assignment; remember the table X.

    A fit that is interrupted before leaves the earlier state whole: members of one fit never stand
    beside the unit, the counts or the certificate of another.
    """
    kept = {name: value for name, value in vars(estimator).items() if not name.endswith("_")}
    estimator.__dict__ = kept | state
    remember(estimator, X)
