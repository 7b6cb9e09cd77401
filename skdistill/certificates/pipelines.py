"""Pipelines: the last step's certificate, where the steps before it learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skdistill.certificates.base import Certificate, unwrap
from skdistill.certificates.public_maps import public_map_assumptions


def pipeline(teacher: Any, X: Any, prove: Callable[[Any, Any], Any]) -> Certificate | None:
    """Certify a Pipeline by its last step, if no earlier step learned from the private rows.

    Notes
    -----
    Proof. If the earlier steps T learned nothing from the private rows, replacing record (x, y)
    replaces the last step's record (T(x), y) and nothing else, because T works row by row, and
    the last step's bound holds on T(X). A scaler or encoder that was fitted on the private rows
    moves as well; then no proof is claimed and the worst case is used. The function
    :func:`skdistill.certificates.public_maps.is_public_map` decides which steps learn nothing.
    """
    *steps, (_, last) = teacher.steps
    earlier = [(name, step) for name, step in steps if step not in (None, "passthrough")]
    assumes: list[str] = []
    for name, step in earlier:
        needed = public_map_assumptions(step, name)
        if needed is None:
            return None
        assumes += needed
    found: Certificate | None = prove(unwrap(last), None if earlier else X)
    if found is None or not earlier:
        return found
    inner = found.transformer
    transformer = teacher[:-1]
    if inner is not None:  # a pipeline in a pipeline
        transformer = type(teacher)([("outer", transformer), ("inner", inner)])
    return replace(found, transformer=transformer, assumes=(*found.assumes, *assumes))
