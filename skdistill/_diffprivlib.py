"""The one place that knows how to import diffprivlib.

``import diffprivlib`` imports its models, which subclass private parts of scikit-learn: with
scikit-learn 1.9 the import fails. The sub-modules that skdistill needs do not touch those parts.
:func:`load` imports them without running the package's ``__init__``, and only where the plain
import fails, so that classes have one identity wherever diffprivlib works by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import warnings
from types import ModuleType

SUBMODULES = ("mechanisms", "accountant", "utils", "validation")

_PACKAGE = "diffprivlib"
_NOT_INSTALLED = (
    "skdistill calibrates its noise with diffprivlib, which is not installed. "
    "Install it with: python -m pip install diffprivlib"
)

_lock = threading.RLock()
_private_copies: dict[str, ModuleType] = {}


def load(name: str) -> ModuleType:
    """Return diffprivlib's sub-module "mechanisms", "accountant", "utils" or "validation".

    If ``import diffprivlib`` works (or has been made to work by the user, before or since), the
    sub-module is the one a user gets. If not, it is a private copy, made once per process, and
    ``sys.modules`` is left as it was found, so that a user's own import raises the error it would
    have raised. Objects of a private copy can be copied, not pickled (pickle looks their module up
    by name, which is the import that fails).
    """
    if name not in SUBMODULES:
        raise ValueError(f"{name!r} is not one of the sub-modules {SUBMODULES}.")
    with _lock:
        if name in _private_copies and _PACKAGE not in sys.modules:
            return _private_copies[name]
        before = _entries()
        try:
            importlib.import_module(_PACKAGE)
            return importlib.import_module(f"{_PACKAGE}.{name}")
        except Exception as error:
            if not _private_copies:
                _private_copies.update(_import_without_init(before, error))
            return _private_copies[name]


def _entries() -> dict[str, ModuleType]:
    """Return the entries of ``sys.modules`` that belong to diffprivlib."""
    return {
        name: module
        for name, module in sys.modules.copy().items()
        if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")
    }


def _import_without_init(before: dict[str, ModuleType], error: Exception) -> dict[str, ModuleType]:
    """Import the sub-modules under a package whose ``__init__`` does not run.

    `before` are the entries of ``sys.modules`` to restore, `error` is how the plain import failed.
    (A thread that imports diffprivlib at this very moment may be handed the half-built package.)
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ImportError(_NOT_INSTALLED, name=_PACKAGE) from error
    _replace_entries({_PACKAGE: importlib.util.module_from_spec(spec)})
    try:
        return {name: importlib.import_module(f"{_PACKAGE}.{name}") for name in SUBMODULES}
    finally:
        _replace_entries(before)
        # diffprivlib adds a filter for its own warnings. Its class cannot be pickled, and
        # scikit-learn sends all filters along with its jobs.
        warnings.filters[:] = [  # type: ignore[index]
            each
            for each in warnings.filters
            if getattr(each[2], "__module__", "").split(".")[0] != _PACKAGE
        ]


def _replace_entries(entries: dict[str, ModuleType]) -> None:
    """Make these the only entries of diffprivlib in ``sys.modules``."""
    for name in _entries():
        del sys.modules[name]
    sys.modules.update(entries)
