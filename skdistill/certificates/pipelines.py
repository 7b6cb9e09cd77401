"""Pipelines: the last step's certificate, where the steps before it learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sklearn.frozen import FrozenEstimator

from skdistill.certificates.base import (
    Certificate,
    DisjointTeachers,
    ParameterBall,
    RowBound,
    is_public_map,
    unwrap,
)

__all__ = ["pipeline"]


def pipeline(teacher: Any, prove: Callable[[Any], Certificate | None]) -> Certificate | None:
    """Certify a Pipeline by its last step, if every earlier step is stateless or frozen.

    Proof. If the earlier steps T learned nothing from the private rows, replacing record (x, y)
    replaces the last step's record (T(x), y) and nothing else, T works row by row, and the last
    step's bound holds on T(X). A scaler or encoder that was fitted on the private rows moves as
    well; then no proof is claimed and the worst case is used.
    """
    if type(teacher).__name__ != "Pipeline":
        return None
    from sklearn.pipeline import Pipeline

    if type(teacher) is not Pipeline:
        return None
    *earlier, (_, last) = teacher.steps
    if not all(is_public_map(step) for _, step in earlier):
        return None
    last = unwrap(last)
    found = prove(last)
    if found is None or not earlier:
        return found
    transform = teacher[:-1].transform
    assumes = found.assumes + tuple(
        f"the {'frozen' if isinstance(step, FrozenEstimator) else 'stateless'} step {name!r} was "
        "built without the private data and works row by row"
        for name, step in earlier
        if step is not None and step != "passthrough"
    )
    if isinstance(found, ParameterBall):
        return replace(found, features=_after(found.features, transform), assumes=assumes)
    if isinstance(found, DisjointTeachers):
        votes = found.member_votes
        return replace(
            found, member_votes=lambda X, function: votes(transform(X), function), assumes=assumes
        )
    if isinstance(found, RowBound) and found.outputs is not None:
        outputs = found.outputs
        return replace(found, outputs=lambda _, X: outputs(last, transform(X)), assumes=assumes)
    return replace(found, assumes=assumes)


def _after(features: Callable[[Any], Any], transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda X: features(transform(X))
