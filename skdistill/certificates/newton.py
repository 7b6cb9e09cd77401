"""NewtonClassifier and NewtonRegressor: sums of clipped gradients of their private rows."""

from __future__ import annotations

from typing import Any

from skdistill.accounting.relation import Unit
from skdistill.certificates.base import Certificate, GradientSums


def gradient_sums(
    teacher: Any, X: Any, output_range: tuple[float, float] | None
) -> Certificate | None:
    """Certify a Newton teacher, whose rows are only asked for integer sums.

    Proof. Each sum carries its own bound, proved where it is computed
    (:class:`skdistill.release.private_sums.PrivateRows`).
    """
    regressor = not hasattr(teacher, "classes_")
    if regressor and output_range not in (None, teacher.output_range_):
        return None
    assumes = []
    if not regressor and not teacher.classes_given_:
        assumes.append("the set of class labels is public")
    if teacher.group_level_:
        assumes.append("the set of group labels is public: a group's records are replaced")
    if regressor:
        assumes.append("the range of the target was chosen without looking at the private data")
    return GradientSums(
        teacher.private_rows_,
        teacher.curvature_,
        name="clipped gradients",
        reason="In every sum over the private rows, the part of one unit is bounded, in integers.",
        reference="Abadi et al. (CCS 2016), arXiv:1607.00133, section 3.1, for the clip.",
        assumes=tuple(assumes),
        output_range=teacher.output_range_ if regressor else None,
        unit=Unit.GROUP if teacher.group_level_ else Unit.RECORD,
    )
