"""Looking for the teacher in what is about to be published."""

from __future__ import annotations

import dis
import gc
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.certificates.base import unwrap
from skdistill.certificates.public_maps import is_public_map

__all__ = ["refuse_private_parts", "refuse_private_settings"]


def refuse_private_parts(student: Any, teacher: Any) -> None:
    """Raise if the teacher, or a part of it, can be found in a student.

    Parameters
    ----------
    student : estimator
        Fitted.
    teacher : estimator or None
        Fitted.

    Raises
    ------
    ValueError
        With the fix.

    Notes
    -----
    A search for mistakes, and no proof: a copy or a function of the teacher is not recognised.
    Objects are looked for by identity, in methods and in what functions refer to, too. Which
    objects a program puts together is its text and not its data, so no private value decides
    whether this raises; to compare contents would tell whether a guess of them is right.
    """
    _refuse(student, teacher)


def refuse_private_settings(student: Any, teacher: Any) -> None:
    """Raise if a student that is yet to be cloned and fitted was given the teacher or a part of it.

    What ``clone`` makes anew may be anything, the teacher itself as a prototype: looked at are
    frozen steps and parameters that are no estimators. ``clone`` copies some of these, so that
    :func:`refuse_private_parts` would not know them afterwards.

    Parameters
    ----------
    student : estimator
    teacher : estimator
        Fitted.

    Raises
    ------
    ValueError
        With the fix.
    """
    _refuse(list(_ready_made(student)), teacher)


def _refuse(held: Any, teacher: Any) -> None:
    parts = [each for each in _private_parts(unwrap(teacher)) if each is not None]
    private = {id(each): each for each in (*parts, *_learned(parts))}  # held: ids are used again
    if any(id(each) in private for each in _reachable(held)):
        raise ValueError(
            "The student holds the teacher, or a part of it, and would publish it. Use only parts "
            "that were made without the private data inside a student."
        )


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _private_parts(teacher: Any) -> Iterator[Any]:
    """Yield a teacher and the estimators in it, but for those said to be public (frozen ones)."""
    yield teacher
    waiting = list(getattr(teacher, "__dict__", {}).values())
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, np.ndarray) and each.dtype.hasobject:
            waiting.extend(each.ravel().tolist())
        elif _is_estimator(each) and not is_public_map(each):
            yield from _private_parts(each)


def _learned(parts: list[Any]) -> Iterator[Any]:
    """Yield the arrays of numbers and the compiled parts that a teacher learned: no parameters."""
    for part in parts:
        given = _parameters(part) if _is_estimator(part) else set()
        for name, value in getattr(part, "__dict__", {}).items():
            if name in given or name == "classes_":
                continue
            for each in _reachable(value, into_estimators=False):
                numbers = isinstance(each, np.ndarray) and each.dtype.kind == "f" and each.size > 1
                compiled = type(each).__module__.startswith("sklearn.") and not _is_estimator(each)
                if numbers or compiled:
                    yield each


def _parameters(part: Any) -> set[str]:
    """Names of an estimator's parameters, also of one that breaks the rules for ``get_params``."""
    try:
        return set(part.get_params(deep=False))
    except Exception:
        return set(inspect.signature(type(part)).parameters)


def _ready_made(student: Any) -> Iterator[Any]:
    """Yield what came into a student as it is: parameters that are not fitted by ``fit``."""
    waiting = [student]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif _is_estimator(each) and not isinstance(each, FrozenEstimator):
            waiting.extend(each.get_params(deep=False).values())
        else:
            yield each


_OPAQUE = (
    *(type, types.ModuleType, types.CodeType, types.FrameType),
    *(str, bytes, int, float, complex, type(None), np.dtype),
)


def _reachable(start: Any, *, into_estimators: bool = True) -> Iterator[Any]:
    """Yield every object that `start` refers to, directly or not."""
    waiting, seen = [start], {}
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _OPAQUE):
            continue
        seen[id(each)] = each  # held, so that no other object gets its id
        yield each
        if into_estimators or not _is_estimator(each):
            waiting.extend(_referents(each))


def _referents(value: Any) -> list[Any]:
    """Return what an object refers to; the garbage collector does not know of all of it."""
    if isinstance(value, np.ndarray):
        return [value.base, *(value.ravel().tolist() if value.dtype.hasobject else ())]
    if isinstance(value, types.FunctionType):
        named = [value.__globals__.get(name) for name in _global_names(value.__code__)]
        # Of other functions, those of its own module: libraries are not searched from here.
        own = [
            each
            for each in named
            if getattr(each, "__globals__", value.__globals__) is value.__globals__
        ]
        return [value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value), *own]
    if not hasattr(value, "__dict__") and type(value).__module__.startswith("sklearn."):
        return [value.__getstate__()]  # compiled: trees
    return gc.get_referents(value)


def _global_names(code: types.CodeType) -> set[str]:
    names = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return names.union(*map(_global_names, inner))
