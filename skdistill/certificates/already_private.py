"""Teachers that are differentially private themselves."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from skdistill.certificates.base import AlreadyPrivate, Certificate
from skdistill.statement import PrivacyStatement

__all__ = ["already_private"]


def already_private(teacher: Any) -> Certificate | None:
    """Certify diffprivlib's models and teachers that state their own ε.

    A teacher states its ε by a fitted `privacy_` (a :class:`~skdistill.PrivacyStatement` that
    says it is private) or a fitted `epsilon_` (and `delta_`). Proof: post-processing, see
    :class:`~skdistill.certificates.AlreadyPrivate`. That the claim is true is the teacher's
    business, so the statement lists it under "assumes".
    """
    fitted = vars(teacher) if hasattr(teacher, "__dict__") else {}
    name = type(teacher).__name__
    statement = fitted.get("privacy_")
    if isinstance(statement, PrivacyStatement):
        if not statement.private:
            return None
        return AlreadyPrivate(
            statement.epsilon,
            statement.delta,
            name="already private",
            reason=f"The teacher ({name}) is a private release itself; this is post-processing.",
            reference="Dwork and Roth (2014), Proposition 2.1.",
            assumes=statement.assumes,
        )
    if "epsilon_" in fitted:
        epsilon, delta = fitted["epsilon_"], fitted.get("delta_", 0.0)
        source = "`epsilon_`"
    elif any(cls.__module__.startswith("diffprivlib.models") for cls in type(teacher).__mro__):
        epsilon, delta = getattr(teacher, "epsilon", None), getattr(teacher, "delta", 0.0)
        source = "diffprivlib parameters (bounds and data_norm given, not taken from the data)"
    else:
        return None
    if not (_is_number(epsilon) and _is_number(delta) and 0 < epsilon < np.inf and 0 <= delta < 1):
        return None
    return AlreadyPrivate(
        float(epsilon),
        float(delta),
        name="already private",
        reason=f"The teacher ({name}) is differentially private; this is post-processing.",
        reference="Dwork and Roth (2014), Proposition 2.1.",
        assumes=(f"the teacher's own claim, made by its {source}, is true",),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
