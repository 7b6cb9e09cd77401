"""Pickles without private objects: the object stays on this machine, the pickle has a number.

A distiller that is not fitted holds its teacher, and scikit-learn keeps such a distiller in the
objects that wrap one (``GridSearchCV.estimator``). A pickle of it must not hold the teacher, yet
worker processes receive their distiller as a pickle. So the pickle holds a random number in its
place. The object itself is written to a temporary file of that name, which only this user can read
and which is removed with the object, or when the process ends. Whoever unpickles on this machine
meanwhile gets the teacher; anybody else gets a stand-in that raises when it is used.
"""

from __future__ import annotations

import copyreg
import os
import pickle
import re
import secrets
import tempfile
import weakref
from contextlib import suppress
from typing import Any

import joblib
from joblib import wrap_non_picklable_objects
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils import ClassifierTags, RegressorTags

from skdistill._trained_on import quietly

_NUMBER = re.compile("[0-9a-f]{32}")
# The number of each object that was set aside, by process and id; and the objects by number.
_NUMBERS: dict[tuple[int, int], str] = {}
_OBJECTS: dict[str, weakref.ref[Any]] = {}
# A digest of each file's content. It never leaves the process.
_WRITTEN: dict[str, str | None] = {}
# FrozenEstimators that were set as a teacher by set_params: a grid holds these.
_IN_GRIDS: weakref.WeakSet[Any] = weakref.WeakSet()


class Withheld:
    """Stands where an accountant or a certificate was in an unpickled distiller."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}, withheld when this was pickled: set it again by set_params>"


class WithheldTeacher(BaseEstimator):
    """Stands where the teacher was in an unpickled distiller."""

    def __init__(self, name: str = "teacher", kind: str = "classifier") -> None:
        self.name = name
        self.kind = kind

    def raise_withheld(self) -> None:
        """Raise an error that names the remedy."""
        raise ValueError(
            f"This distiller was loaded without its teacher ({self.name}), which no pickle holds. "
            "To fit again, pass a fitted teacher: distiller.set_params(teacher=...). In a worker "
            "process the teacher was not found in the temporary folder of the process that sent "
            "the distiller. Run in one process then (n_jobs=1, or "
            'joblib.parallel_config("threading")), or let TMPDIR be a folder that both can read.'
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = self.kind
        tags.classifier_tags = ClassifierTags() if self.kind == "classifier" else None
        tags.regressor_tags = RegressorTags() if self.kind == "regressor" else None
        return tags


class SetAside:
    """Put around an object in a state that is to be pickled: unpickled, it is the object itself."""

    def __init__(self, value: Any, kind: str = "") -> None:
        self.value = value
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.value, FrozenEstimator):
            return FrozenEstimator, (SetAside(self.value.estimator, self.kind),)
        return _fetch, (_set_aside(self.value), type(self.value).__name__, self.kind)


def set_aside_in_grids(frozen: FrozenEstimator, *, from_pickle: bool) -> None:
    """Withhold the estimator in a FrozenEstimator from pickles: a search keeps it in its grid.

    In a worker process (`from_pickle`) the grid cannot be reached: a teacher that came in the
    clear raises.
    """
    if from_pickle and frozen not in _IN_GRIDS:
        raise ValueError(
            "A teacher was set on a distiller that was unpickled, as FrozenEstimator("
            f"{type(frozen.estimator).__name__}). If this is a search over teachers in worker "
            "processes, its grid would take the teachers into any pickle of the search: run it in "
            'one process (n_jobs=1, or joblib.parallel_config("threading")). Otherwise set the '
            "fitted teacher itself: distiller.set_params(teacher=fitted)."
        )
    _IN_GRIDS.add(frozen)


def _reduce_frozen(frozen: FrozenEstimator) -> Any:
    """Pickle a FrozenEstimator as ever, but for one that :func:`set_aside_in_grids` was told of."""
    if frozen in _IN_GRIDS:
        return _frozen_again, (SetAside(frozen.estimator, "classifier"),)
    return frozen.__reduce_ex__(pickle.DEFAULT_PROTOCOL)


def _frozen_again(estimator: Any) -> FrozenEstimator:
    frozen = FrozenEstimator(estimator)
    _IN_GRIDS.add(frozen)
    return frozen


copyreg.pickle(FrozenEstimator, _reduce_frozen)


def _set_aside(value: Any) -> str:
    """Write an object to its file, and return the number it is found by; it depends on nothing."""
    key = (os.getpid(), id(value))
    if key not in _NUMBERS:
        number = secrets.token_hex(16)
        try:
            weakref.finalize(value, _forget, key, number)
        except TypeError:  # cannot be referred to weakly: nobody would remove the file
            return ""
        _OBJECTS[number] = weakref.ref(value)
        _NUMBERS[key] = number
    number = _NUMBERS[key]
    if quietly(_store, value, number) is None:  # not picklable, or no place
        _remove(number)
    return number


def _store(value: Any, number: str) -> bool:
    content = _content(value)
    if content is None or content != _WRITTEN.get(number) or not os.path.exists(_path(number)):
        # As joblib sends its jobs: classes of a script or a notebook by value.
        _write(number, pickle.dumps(wrap_non_picklable_objects(value, keep_wrapper=False)))
        _WRITTEN[number] = content
    return True


def _content(value: Any) -> str | None:
    """Return a digest: a teacher of 100 MB is hashed ten times as fast as it is written."""
    with suppress(Exception):
        return str(joblib.hash(value, hash_name="sha1"))
    return None


def _fetch(number: str, name: str, kind: str) -> Any:
    """Return an object that was set aside, or its stand-in."""
    value = _OBJECTS.get(number, lambda: None)()
    if value is None and _NUMBER.fullmatch(number) and (data := _read(number)) is not None:
        value = quietly(pickle.loads, data)
    if value is not None:
        return value
    return WithheldTeacher(name, kind) if kind else Withheld(name)


def _forget(key: tuple[int, int], number: str) -> None:
    _NUMBERS.pop(key, None)
    _OBJECTS.pop(number, None)
    _WRITTEN.pop(number, None)
    if key[0] == os.getpid():  # a forked child leaves the files of its parent alone
        _remove(number)


def _path(number: str) -> str:
    return os.path.join(tempfile.gettempdir(), f"skdistill-{number}")


def _write(number: str, data: bytes) -> None:
    part = f"{_path(number)}-{secrets.token_hex(8)}"
    try:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
        os.replace(part, _path(number))
    except BaseException:
        with suppress(OSError):
            os.remove(part)
        raise


def _read(number: str) -> bytes | None:
    """Return the content of a file that this user wrote; None where there is none."""
    try:
        file = os.open(_path(number), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(file, "rb") as stream:
            if hasattr(os, "getuid") and os.fstat(file).st_uid != os.getuid():
                return None
            return stream.read()
    except OSError:
        return None


def _remove(number: str) -> None:
    with suppress(OSError):
        os.remove(_path(number))
