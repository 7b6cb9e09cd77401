"""Looking for the teacher in what is about to be published."""

from __future__ import annotations

import dis
import gc
import hashlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.certificates.base import is_public_map, unwrap

__all__ = ["refuse_private_parts"]


def refuse_private_parts(student: Any, teacher: Any) -> None:
    """Raise if the teacher, or a part of it, can be found in a student.

    Parts are looked for by identity everywhere, in methods and in what functions refer to, too;
    and, since ``clone`` and pickle copy, arrays of the teacher are looked for by content in what
    a student was given ready-made: frozen steps and parameters.

    Parameters
    ----------
    student : estimator
        Fitted or not.
    teacher : estimator or None
        Fitted.

    Raises
    ------
    ValueError
        With the fix.

    Notes
    -----
    A search for mistakes, and no proof: a function of the teacher (two rows of its coefficients,
    say) is not recognised.
    """
    parts = list(_private_parts(unwrap(teacher)))
    private = {id(each) for each in parts if each is not None}
    found = any(id(each) in private for each in _reachable(student))
    if not found:
        given = {_print(each) for each in _reachable(list(_ready_made(student)))} - {None}
        found = bool(given) and not given.isdisjoint(_learned(parts))
    if found:
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


def _learned(parts: list[Any]) -> set[Any]:
    """Return the contents of arrays that a teacher's parts learned: no parameters."""
    parameters: set[Any] = set()
    learned: set[Any] = set()
    for part in parts:
        given = part.get_params(deep=False) if _is_estimator(part) else {}
        for name, value in getattr(part, "__dict__", {}).items():
            prints = map(_print, _reachable(value, into_estimators=False))
            (parameters if name in given else learned).update(prints)
    return learned - parameters


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


def _print(value: Any) -> Any:
    """Return what identifies the content of an array of floats; None for all else.

    Constant arrays are left out, such as an intercept of zero: they tell nothing.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size < 2:
        return None
    if (value == value.flat[0]).all():
        return None
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()
    return value.dtype.str, value.shape, content


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
