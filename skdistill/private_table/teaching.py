"""Which teachers a private table can have, how many, and groups of records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import Certificate
from skdistill.teachers import NewtonClassifier, NewtonRegressor, TeacherEnsemble
from skdistill.teachers.shards import default_n_teachers


def last_step(teacher: Any) -> Any:
    """Return the last step of a pipeline, or the estimator itself."""
    return teacher.steps[-1][1] if isinstance(teacher, Pipeline) else teacher


def refuse_teacher(bound: Certificate, teacher: Any) -> None:
    """Raise a ValueError for a teacher whose labels the price of the fit cannot pay for."""
    name, steps = type(last_step(teacher)).__name__, getattr(teacher, "steps", ())
    if bound.kind == "private":
        raise ValueError(
            f"teacher={name}(...) is private already and spends a budget of its own, which this "
            "fit would not count. Give a teacher without one, or fit it by itself and pass it to "
            "PrivateDistiller."
        )
    if bound.name == "worst case":
        learns = (
            "Its earlier steps would learn from private rows: put the whole pipeline into an "
            "ensemble, teacher=TeacherEnsemble(make_pipeline(...)), or freeze steps fitted on "
            "public rows. (A ColumnTransformer needs sparse_threshold=0, or a frame.)"
        )
        alone = f"Use teacher=None, or an ensemble of it: teacher=TeacherEnsemble({name}())."
        raise ValueError(
            f"teacher={'a pipeline that ends in ' if steps else ''}{name}(...): nothing bounds the "
            "influence of one record on it, so its labels would be noise. "
            + (learns if len(steps) > 1 else alone)
        )


def takes_groups(teacher: Any) -> bool:
    """Whether the teacher keeps private rows as they are, and can bound a group's influence."""
    return type(last_step(teacher)) in (NewtonClassifier, NewtonRegressor, TeacherEnsemble)


def group_params(teacher: Any, groups: Any) -> dict[str, Any]:
    """Return the fit parameters that hand groups to the last step."""
    if groups is None:
        return {}
    step = f"{teacher.steps[-1][0]}__" if isinstance(teacher, Pipeline) else ""
    return {f"{step}groups": groups}


#: k·μ from which on the noise of a vote of k teachers matters less than the size of their shards.
_ENOUGH = 120.0


def noisy_n_teachers(n: int, n_classes: int, loss: PrivacyLoss | None) -> int:
    """Choose the number of teachers from public numbers: the more noise, the more teachers.

    ``120 / mu``, but at least ``n // (40 * n_classes)``, forty records of each class in a shard
    (:func:`skdistill.teachers.shards.default_n_teachers`), and at most ``n // 40``. A vote of k
    teachers is noisy in proportion to 1/(k·μ).

    Parameters
    ----------
    n, n_classes : int
        Number of records (or of groups), and of classes; 1 for regression.
    loss : PrivacyLoss or None
        The price of the votes; None for no noise.

    Returns
    -------
    n_teachers : int
        Number of shards; public.

    Examples
    --------
    >>> from skdistill.accounting import PrivacyLoss
    >>> [noisy_n_teachers(32_561, 2, PrivacyLoss.gaussian(e, 1e-5)) for e in (0.5, 1, 2)]
    [814, 448, 407]
    """
    few, many = default_n_teachers(n, n_classes), default_n_teachers(n)
    if loss is None:
        return few
    return many if loss.mu is None else int(np.clip(math.ceil(_ENOUGH / loss.mu), few, many))
