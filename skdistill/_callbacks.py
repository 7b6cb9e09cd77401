"""Progress: scikit-learn's callbacks where it has them (1.9), stand-ins without effect below."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class _NoContext:
        """A context that has no callback to call."""

        def subcontext(self, **task: Any) -> _NoContext:
            return self

        def call_on_fit_task_begin(self, **told: Any) -> _NoContext:
            return self

        def call_on_fit_task_end(self, **told: Any) -> bool:
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Offers no `set_callbacks`: scikit-learn below 1.9 has no callbacks to set."""

        def _init_callback_context(self, **task: Any) -> _NoContext:
            return _NoContext()

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Leave `method` as it is: no callback needs to be torn down."""
        return method


def own_callbacks(estimator: Any) -> Any:
    """Give every part of a clone callbacks of its own, in place; ``clone`` shares the objects.

    A callback is handed the rows, keeps what it likes and may stop a fit: one that several members
    shared would carry a record of one to the others.
    """
    for part in _with_callbacks_set(estimator):
        part._skl_callbacks = copy.deepcopy(part._skl_callbacks)
    return estimator


def without_callbacks(estimator: Any) -> Any:
    """Return an estimator without its callbacks, which may hold rows that they were shown."""
    if next(_with_callbacks_set(estimator), None) is not None:
        estimator = copy.deepcopy(estimator)  # clone shares frozen parts with the caller
    for part in _with_callbacks_set(estimator):
        del part._skl_callbacks
    return estimator


def _with_callbacks_set(estimator: Any) -> Iterator[Any]:
    if hasattr(estimator, "get_params") and not isinstance(estimator, type):
        parts = (estimator, *estimator.get_params().values())
        yield from (each for each in parts if "_skl_callbacks" in getattr(each, "__dict__", ()))


__all__ = ["CallbackSupportMixin", "own_callbacks", "with_callbacks", "without_callbacks"]
