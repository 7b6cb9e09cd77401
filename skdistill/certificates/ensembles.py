"""Teachers on disjoint shards: one record reaches one of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.accounting.relation import Unit
from skdistill.certificates.base import Certificate, DisjointTeachers


def disjoint_teachers(teacher: Any, output_range: tuple[float, float] | None) -> Certificate | None:
    """Certify a TeacherEnsemble of k members: RowBound(2/k, √2/k), or the range by k.

    Proof. Replacing one record changes the training rows of one shard and of no other
    (:func:`skdistill.teachers.shards.shards_of_records`; for groups ``shards_of_groups``), so only
    the answers of one member change. Each member's answers are brought on the simplex (or clipped
    to the output range). They move by at most its diameter, (2, √2) or the width of the range, and
    their average over k by 1/k of that (PATE, Papernot et al., ICLR 2017).

    The proof needs every member to be a function of its own rows, of public rows and of a public
    seed. :func:`skdistill.release.boundary.call_privately` and :mod:`skdistill._tables` enforce
    that. The Notes of :class:`~skdistill.TeacherEnsemble` list the channels that they
    close.
    """
    k = len(teacher.estimators_)
    classes = getattr(teacher, "classes_", None)
    if classes is None:
        if output_range is None:
            return None
        l1 = l2 = (output_range[1] - output_range[0]) / k
    else:
        l1, l2 = 2.0 / k, math.sqrt(2.0) / k
    unit = Unit.GROUP if teacher.group_level_ else Unit.RECORD
    assumes = ["the records were not sorted or filtered by their content before the shards"]
    if classes is not None and not teacher.classes_given_:
        assumes.append("the set of class labels is public")
    if teacher.group_level_:
        assumes.append("the set of group labels is public: a group's records are replaced")
    if _holds_frozen_parts(teacher.estimator):
        assumes.append("frozen parts of the members were fitted without the private data")
    if output_range is not None and classes is None:
        assumes.append("the range of the outputs was chosen without looking at the private data")
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
        class_counts=None
        if classes is None
        else lambda: np.asarray(teacher.class_count_, dtype=np.int64),
        unit=unit,
    )


def _holds_frozen_parts(estimator: Any) -> bool:
    """Whether a setting of the members is a FrozenEstimator, whose clones stay fitted."""
    found = estimator.get_params().values() if hasattr(estimator, "get_params") else ()
    return any(isinstance(each, FrozenEstimator) for each in (estimator, *found))
