"""Teachers that carry a privacy statement: students, and estimators for private tables."""

from __future__ import annotations

from typing import Any

from skdistill.certificates.base import AlreadyPrivate, Certificate
from skdistill.statement import PrivacyStatement


def stated_privacy(teacher: Any) -> Certificate | None:
    """Certify a teacher whose fitted attribute `privacy_` is a private PrivacyStatement.

    Proof: post-processing, see :class:`~skdistill.certificates.AlreadyPrivate`. The statement is
    inherited in full: relation, unit, μ, mechanism, noise source, assumptions and the list of
    facts that are not protected. Nobody checks the statement of the teacher.

    A fitted attribute `epsilon_` is *not* taken for a claim: scikit-learn's own GaussianNB has one
    (the variance it adds, about 1e-9), and it promises nothing. A user who knows a teacher to be
    private passes ``certificate=AlreadyPrivate(epsilon, delta)``.
    """
    statement = getattr(teacher, "__dict__", {}).get("privacy_")
    if not isinstance(statement, PrivacyStatement) or not statement.private:
        return None
    if not (0 <= statement.epsilon < float("inf") and 0 <= statement.delta < 1):
        return None
    name, how = type(teacher).__name__, f"by {statement.mechanism}"
    if statement.mechanism == "post-processing":  # a student of a student
        how += f" ({statement.certificate['reason'].rstrip('.')})"
    return AlreadyPrivate(
        statement.epsilon,
        statement.delta,
        mu=statement.mu,
        relation=statement.relation,
        unit=statement.unit,
        assumes=statement.assumes,
        not_protected=statement.not_protected,
        inherited=statement,
        name="already private",
        reason=(
            f"The teacher ({name}) is a private release itself, {how}; this is post-processing."
        ),
        reference="Dwork and Roth (2014), Proposition 2.1.",
    )
