"""Search a student for the teacher, the curator's folders and networks before it is published."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skdistill.certificates.base import unwrap
from skdistill.certificates.public_maps import is_public_map

# Their objects are rebuilt by code of their own: skorch's nets unpickle their weights.
_NETWORK_LIBRARIES = frozenset({"keras", "skorch", "tensorflow", "torch"})
_OPAQUE = (type, types.ModuleType, str, bytes, int, float, complex, type(None), np.dtype)


def refuse_private_parts(student: Any, teacher: Any) -> None:
    """Raise a ValueError if a student holds the teacher, an estimator in it or one of its arrays.

    Parameters
    ----------
    student, teacher : estimator
        Fitted; the teacher may be None.

    Raises
    ------
    ValueError
        With the fix.

    Notes
    -----
    The search finds mistakes and proves nothing: a copy or a function of the teacher is not
    recognised. Objects are compared by identity, in attributes, containers, bound methods and
    partial functions. The text of a program decides which objects it puts together, not its data,
    so no private value decides whether this raises. A comparison of contents would confirm a guess.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.publishing import refuse_private_parts
    >>> teacher = DecisionTreeClassifier().fit(*load_iris(return_X_y=True))
    >>> refuse_private_parts(LogisticRegression(), teacher)
    >>> refuse_private_parts(make_pipeline(teacher), teacher)
    Traceback (most recent call last):
    ValueError: The student holds the teacher, or a part of it, and would publish it. ...
    """
    private = _private_objects(unwrap(teacher))
    if any(id(each) in private for each in _reachable(student)):
        raise ValueError(
            "The student holds the teacher, or a part of it, and would publish it. Use only parts "
            "that were made without the private data inside a student."
        )


def refuse_private_settings(student: Any, teacher: Any) -> None:
    """Raise as :func:`refuse_private_parts` for a student that is yet to be cloned and fitted.

    ``clone`` makes new estimators, so any estimator may be passed, even the teacher as a prototype.
    ``clone`` keeps frozen steps and copies all other parameters: these are searched.

    Parameters
    ----------
    student, teacher : estimator
        The prototype, before it is cloned, and the fitted teacher or None.

    Raises
    ------
    ValueError
        With the fix.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import BaggingClassifier
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill.publishing import refuse_private_settings
    >>> teacher = DecisionTreeClassifier().fit(*load_iris(return_X_y=True))
    >>> refuse_private_settings(BaggingClassifier(teacher), teacher)  # trained anew
    >>> refuse_private_settings(BaggingClassifier(FrozenEstimator(teacher)), teacher)
    Traceback (most recent call last):
    ValueError: The student holds the teacher, or a part of it, and would publish it. ...
    """
    refuse_private_parts(list(_ready_made(student)), teacher)


def without_memory(student: Any) -> Any:
    """Set ``memory=None`` in every pipeline inside a student, in place, and return the student.

    The setting names a folder of the curator, and a fitted pipeline predicts without its cache.
    """
    for each in _reachable(student):
        if _is_estimator(each) and vars(each).get("memory") is not None:
            each.memory = None
    return student


def holds_network(student: Any) -> bool:
    """Whether an object of Keras, PyTorch or skorch, or of a class derived from theirs, is inside.

    Parameters
    ----------
    student : estimator
        Searched in attributes, containers and functions.

    Returns
    -------
    found : bool
    """
    classes = {cls for each in _reachable(student) for cls in type(each).__mro__}
    return any(str(cls.__module__).partition(".")[0] in _NETWORK_LIBRARIES for cls in classes)


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _private_objects(teacher: Any) -> dict[int, Any]:
    """Return the estimators in a teacher, and the arrays and compiled parts that they learned.

    Frozen steps are public by assumption. The value of a parameter does not count as learned.
    """
    private: dict[int, Any] = {}
    given: dict[int, Any] = {}
    waiting = [] if teacher is None else [teacher]
    while waiting:
        part = waiting.pop()
        if id(part) in private:
            continue
        private[id(part)] = part
        parameters = _parameters(part)
        for name, value in getattr(part, "__dict__", {}).items():
            target = given if name in parameters or name == "classes_" else private
            for each in _reachable(value, into_estimators=False):
                if _is_estimator(each):
                    waiting += [] if is_public_map(each) else [each]
                elif _is_learned(each):
                    target[id(each)] = each
    return {key: each for key, each in private.items() if key not in given}


def _is_learned(value: Any) -> bool:
    """Whether a value is an array of numbers, a compiled part such as a tree, or a dask object."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and value.size > 1
    return type(value).__module__.startswith(("sklearn.", "dask.", "distributed."))


def _parameters(part: Any) -> set[str]:
    """Names of an estimator's parameters, also of one that breaks the rules for ``get_params``."""
    try:
        return set(part.get_params(deep=False))
    except Exception:
        return set(inspect.signature(type(part)).parameters)


def _ready_made(student: Any) -> Iterator[Any]:
    """Yield the parameters of a student, at any depth, that ``clone`` does not make anew."""
    waiting = [student]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif _is_estimator(each) and not isinstance(each, FrozenEstimator):
            waiting.extend(each.get_params(deep=False).values())
        else:
            yield each


def _reachable(start: Any, *, into_estimators: bool = True) -> Iterator[Any]:
    """Yield every object that `start` holds in attributes, containers and functions."""
    waiting, seen = [start], {}
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _OPAQUE):
            continue
        seen[id(each)] = each  # held, so that no other object gets its id
        yield each
        if into_estimators or not _is_estimator(each):
            waiting.extend(_held_by(each))


def _held_by(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, np.ndarray):
        return [value.base, *(value.ravel().tolist() if value.dtype.hasobject else ())]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    return list(getattr(value, "__dict__", {}).values())
