"""The teachers of this package: disjoint shards, and sums of clipped gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.accounting.relation import Unit
from skdistill.certificates.base import OWN_RECORD, Certificate, DisjointTeachers, GradientSums
from skdistill.certificates.public_maps import schemas_in

_CHOSEN = "was chosen without looking at the private data"
_CURVATURE = "the rows given as curvature: the model is computed from their features in the clear"


def disjoint_teachers(teacher: Any, output_range: tuple[float, float] | None) -> Certificate | None:
    """Certify a TeacherEnsemble of k members: RowBound(2/k, √2/k), or the range by k.

    Proof. Replacing one record changes the training rows of one shard and of no other
    (:func:`skdistill.teachers.shards.shards_of_records`; for groups ``shards_of_groups``), so only
    the answers of one member change. Each member's answers are brought on the simplex (or clipped
    to the output range). They move by at most its diameter, (2, √2) or the width of the range, and
    their average over k by 1/k of that (PATE, Papernot et al., ICLR 2017).

    The proof needs every member to be a function of its own rows, of public rows and of a public
    seed. :func:`skdistill.release.boundary.call_privately` and :mod:`skdistill._tables` enforce
    that. The Notes of :class:`~skdistill.TeacherEnsemble` list the channels that they close.
    """
    k, classifies = len(teacher.estimators_), hasattr(teacher, "classes_")
    if classifies:
        l1, l2 = 2.0 / k, math.sqrt(2.0) / k
    elif output_range is None:
        return None
    else:
        l1 = l2 = (output_range[1] - output_range[0]) / k
    unit, assumes = _unit_and_assumptions(teacher)
    assumes.insert(0, "the records were not sorted or filtered by their content before the shards")
    schemas = schemas_in(teacher.estimator)
    if not all(schema.is_private for schema in schemas):
        return None  # bounds were read off private rows without noise
    if _holds_frozen_parts(teacher.estimator):
        learned = any(schema.privacy is not None for schema in schemas)
        but = " (but for the bounds in a schema)" if learned else ""
        assumes.append(  # clone shares them: the members have one object
            f"frozen parts of the members were fitted without the private data{but}, and keep "
            "nothing of the rows that they see"
        )
    assumes += dict.fromkeys(schema.origin for schema in schemas)
    if not classifies:
        assumes.append(f"the range of the outputs {_CHOSEN}")
    return DisjointTeachers(
        l1,
        l2,
        n_teachers=k,
        member_votes=teacher.member_votes,
        rehearsal=teacher.rehearse,
        name="disjoint teachers",
        reason=f"One {unit} was seen by one of {k} teachers.",
        reference="Papernot et al. (ICLR 2017), arXiv:1610.05755, section 2.1.",
        assumes=tuple(assumes),
        class_counts=(lambda: np.asarray(teacher.class_count_, np.int64)) if classifies else None,
        unit=unit,
    )


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
    unit, assumes = _unit_and_assumptions(teacher)
    if regressor:
        assumes.append(f"the range of the target {_CHOSEN}")
    shown = () if teacher.curvature_ is None else (_CURVATURE,)
    return GradientSums(
        teacher.private_rows_,
        teacher.curvature_,
        name="clipped gradients",
        reason="In every sum over the private rows, the part of one unit is bounded, in integers.",
        reference="Abadi et al. (CCS 2016), arXiv:1607.00133, section 3.1, for the clip.",
        assumes=tuple(assumes),
        not_protected=shown,
        output_range=teacher.output_range_ if regressor else None,
        unit=unit,
    )


def _unit_and_assumptions(teacher: Any) -> tuple[Unit, list[str]]:
    assumes = [OWN_RECORD]
    if hasattr(teacher, "classes_") and not teacher.classes_given_:
        assumes.append("the set of class labels is public")
    if not teacher.group_level_:
        return Unit.RECORD, assumes
    assumes.append("the set of group labels is public: a group's records are replaced")
    return Unit.GROUP, assumes


def _holds_frozen_parts(estimator: Any) -> bool:
    """Whether a setting of the members is a FrozenEstimator, whose clones stay fitted."""
    found = estimator.get_params().values() if hasattr(estimator, "get_params") else ()
    return any(isinstance(each, FrozenEstimator) for each in (estimator, *found))
