"""Which teachers a private table can have: their bound, and groups of records."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skdistill.certificates import Certificate
from skdistill.teachers import NewtonClassifier, NewtonRegressor, TeacherEnsemble


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
            "public rows."
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
