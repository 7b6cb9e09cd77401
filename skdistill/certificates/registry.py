"""Find the proof for a teacher: first among the user's own, then in the package's families."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sklearn.base import is_regressor

from skdistill.certificates.base import (
    Certificate,
    RowBound,
    has_own_methods,
    is_exactly,
    stated_privacy,
    unwrap,
)
from skdistill.certificates.diffprivlib_models import diffprivlib_model, why_not_private
from skdistill.certificates.neighbors import uniform_neighbors
from skdistill.certificates.own_teachers import disjoint_teachers, gradient_sums
from skdistill.certificates.public_maps import pipeline
from skdistill.release.boundary import call_privately

Prover = Callable[..., "Certificate | None"]

#: The package's families: a class, and the function that proves a bound for its objects (for
#: exactly this class). A new family is one file and one line here.
FAMILIES: dict[str, Prover] = {
    "sklearn.neighbors.KNeighborsClassifier": uniform_neighbors,
    "skdistill.teachers.NewtonClassifier": gradient_sums,
    "skdistill.teachers.NewtonRegressor": gradient_sums,
    "skdistill.teachers.TeacherEnsemble": disjoint_teachers,
    "sklearn.pipeline.Pipeline": pipeline,
    "diffprivlib.models.DecisionTreeClassifier": diffprivlib_model,
    "diffprivlib.models.RandomForestClassifier": diffprivlib_model,
    "diffprivlib.models.GaussianNB": diffprivlib_model,
    "diffprivlib.models.LogisticRegression": diffprivlib_model,
}

_REGISTERED: dict[type, Prover] = {}


def register(cls: type) -> Callable[[Prover], Prover]:
    """Register a proof for one class of teachers.

    The proof is found for exactly this class: a subclass may override ``predict_proba``, and the
    bound would then be false.

    Parameters
    ----------
    cls : type
        The teacher's class.

    Returns
    -------
    decorator : callable
        Takes the proof: a function of ``(teacher)``, ``(teacher, X)`` or
        ``(teacher, X, output_range)`` that returns a :class:`Certificate`, or None where it does
        not apply; then the package's own families are searched. `teacher` is fitted and without
        its FrozenEstimator, and only public quantities of it may be looked at. `X`, the transfer
        set, is None where :func:`certify` was called without one, and for the last step of a
        pipeline whose earlier steps change X. `output_range` is the distiller's, or None.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skdistill.certificates import RowBound, register
    >>> class ConstantClassifier(DummyClassifier):
    ...     pass
    >>> @register(ConstantClassifier)
    ... def constant(teacher):
    ...     if teacher.strategy != "uniform":
    ...         return None
    ...     return RowBound(1e-9, 1e-9, name="constant", reason="It ignores its records.")
    """

    def decorator(proof: Prover) -> Prover:
        _REGISTERED[cls] = proof
        return proof

    return decorator


def certify(
    teacher: Any, X: Any = None, *, output_range: tuple[float, float] | None = None
) -> Certificate:
    """Find the best certificate that can be proved for a fitted teacher.

    Parameters
    ----------
    teacher : estimator
        A fitted classifier or regressor; the content of a FrozenEstimator counts.
    X : array-like, optional
        The transfer set. No built-in proof depends on it; it is handed to registered proofs.
    output_range : tuple of (float, float), optional
        For a regressor, the public range its outputs are clipped to. Without it, one whose outputs
        have no bound raises a ValueError.

    Returns
    -------
    certificate : Certificate
        Of the proof registered for exactly this class, or of the package's proof for it, or else
        the worst case (the diameter of the simplex, or of `output_range`).

    Raises
    ------
    TypeError
        If a registered proof returns neither a Certificate nor None.
    RuntimeError
        If a registered proof raises. Its message is withheld: it may quote a record.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.certificates import certify
    >>> teacher = DecisionTreeClassifier().fit(*load_iris(return_X_y=True))
    >>> certify(teacher).name
    'worst case'
    """
    found = prove(unwrap(teacher), X, output_range)
    if found is not None:
        return found
    bound, refused = worst_case(teacher, output_range), why_not_private(unwrap(teacher))
    return replace(bound, reason=f"{bound.reason} {refused}") if refused else bound


def public_features(teacher: Any) -> Any:
    """Return the first steps of a Pipeline that a released model would keep in front; or None."""
    found = prove(unwrap(teacher)) if hasattr(teacher, "steps") else None
    return found.transformer if found is not None and found.gives_model else None


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
    width = output_range[1] - output_range[0]
    return RowBound(
        width,
        width,
        name="worst case",
        reason="Outputs are clipped to a public range: two of them differ by its width at most.",
        reference="Diameter of an interval.",
        assumes=("the range of the outputs was chosen without looking at the private data",),
    )


def has_family(teacher: Any) -> bool:
    """Whether there is a proof for exactly the class of a teacher, which may not be fitted."""
    return type(teacher) in _REGISTERED or any(is_exactly(teacher, path) for path in FAMILIES)


def prove(
    teacher: Any, X: Any = None, output_range: tuple[float, float] | None = None
) -> Certificate | None:
    """Return the proof for a teacher that is not wrapped, or None where there is none."""
    if has_own_methods(teacher):
        return None
    public = {"X": X, "output_range": output_range}
    registered = _REGISTERED.get(type(teacher))
    if registered is not None and (found := _ask(registered, teacher, public)) is not None:
        return found
    if (found := stated_privacy(teacher)) is not None:
        return found
    for path, family in FAMILIES.items():
        if is_exactly(teacher, path):
            inner = partial(prove, output_range=output_range)
            return family(teacher, **_public_arguments(family, {**public, "prove": inner}))
    return None


def _ask(proof: Prover, teacher: Any, public: dict[str, Any]) -> Certificate | None:
    """Call a user's proof; see :func:`certify` for its errors."""
    name = getattr(proof, "__qualname__", type(proof).__name__)
    found = call_privately(
        partial(proof, teacher, **_public_arguments(proof, public)),
        error=lambda: RuntimeError(
            f"The proof {name} registered for {type(teacher).__name__} raised an exception; its "
            "message is withheld because it may quote private data. Call the proof by itself to "
            "see it, and let it return None where it does not apply."
        ),
    )
    if found is not None and not isinstance(found, Certificate):
        raise TypeError(
            f"The proof {name} registered for {type(teacher).__name__} must return a Certificate, "
            f"or None where it does not apply; it returned an object of {type(found).__name__}."
        )
    return found


def _public_arguments(proof: Prover, public: dict[str, Any]) -> dict[str, Any]:
    """Return the public arguments that a proof asks for, by name, or else by position."""
    arguments, in_order = {}, iter(public.values())
    for each in list(inspect.signature(proof).parameters.values())[1:]:
        value = next(in_order, None)
        if each.name in public:
            arguments[each.name] = public[each.name]
        elif each.kind is each.POSITIONAL_OR_KEYWORD and each.default is each.empty:
            arguments[each.name] = value
    return arguments
