"""Teachers that are differentially private themselves."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from skdistill.certificates.base import AlreadyPrivate, Certificate
from skdistill.statement import PrivacyStatement

__all__ = ["already_private"]


def already_private(teacher: Any) -> Certificate | None:
    """Certify diffprivlib's models and teachers that carry a privacy statement.

    Proof: post-processing, see :class:`~skdistill.certificates.AlreadyPrivate`. That the claim is
    true is the teacher's business, so the statement lists it under "assumes".

    A fitted attribute `epsilon_` is *not* taken for a claim: scikit-learn's own GaussianNB has one
    (the variance it adds, about 1e-9), and it promises nothing. A user who knows a teacher to be
    private passes ``certificate=AlreadyPrivate(epsilon, delta)``.
    """
    name = type(teacher).__name__
    statement = getattr(teacher, "__dict__", {}).get("privacy_")
    if isinstance(statement, PrivacyStatement):
        if not statement.private:
            return None
        epsilon, delta, assumes = statement.epsilon, statement.delta, statement.assumes
    elif type(teacher).__module__.startswith("diffprivlib.models"):
        epsilon, delta = teacher.epsilon, getattr(teacher, "delta", 0.0)
        assumes = (
            "the parameters of the diffprivlib model are those it was fitted with, and its bounds "
            "or data_norm were given and not taken from the data",
        )
    else:
        return None
    if not (_is_number(epsilon) and _is_number(delta) and 0 < epsilon < np.inf and 0 <= delta < 1):
        return None
    return AlreadyPrivate(
        float(epsilon),
        float(delta),
        name="already private",
        reason=f"The teacher ({name}) is a private release itself; this is post-processing.",
        reference="Dwork and Roth (2014), Proposition 2.1.",
        assumes=assumes,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
