"""The bound that holds for every teacher: the diameter of its outputs."""

from __future__ import annotations

import math
from typing import Any

from sklearn.base import is_regressor

from skdistill.certificates.base import Certificate, RowBound


def worst_case(teacher: Any, output_range: tuple[float, float] | None) -> Certificate:
    """Bound each row by the diameter of the simplex, or of the output range.

    Proof. Two points p, q of the simplex have ‖p − q‖₁ ≤ ‖p‖₁ + ‖q‖₁ = 2 and
    ‖p − q‖₂² = ‖p‖₂² + ‖q‖₂² − 2⟨p, q⟩ ≤ 2, both attained by two different vertices. Two numbers
    in [low, high] differ by at most high − low. Nothing about the teacher is used, so the bound
    survives a teacher that changes all its answers when one record is present.
    """
    if not is_regressor(teacher):
        return RowBound(
            2.0,
            math.sqrt(2.0),
            name="worst case",
            reason="Two soft labels are never further apart than two corners of the simplex.",
            reference="Diameter of the probability simplex.",
            assumes=(),
        )
    if output_range is None:
        raise ValueError(
            "output_range=None with a regression teacher: its outputs are unbounded, and no noise "
            "hides an unbounded change. Pass output_range=(low, high) in units of the target, "
            "chosen without looking at the private data."
        )
    low, high = output_range
    return RowBound(
        high - low,
        high - low,
        name="worst case",
        reason="Outputs are clipped to a public range: two of them differ by its width at most.",
        reference="Diameter of an interval.",
        assumes=("the range of the outputs was chosen without looking at the private data",),
    )
