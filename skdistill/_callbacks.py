"""Progress: scikit-learn's callbacks where it has them (1.9), stand-ins without effect below."""

from __future__ import annotations

from collections.abc import Callable
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


__all__ = ["CallbackSupportMixin", "with_callbacks"]
