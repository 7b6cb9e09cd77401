"""No warnings: for calls whose warnings are private, or come a second time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["silenced"]

_LOCK = threading.Lock()
_INSIDE: list[Any] = []  # one entry for each block that is open, in any thread


@contextmanager
def silenced() -> Iterator[None]:
    """Show no warning while any thread of this process is inside such a block.

    A teacher's warning can quote a private cell. The filters of :mod:`warnings` are global, and
    with ``catch_warnings`` the first thread to leave would put them back while another one still
    asks. So the first to come saves the filters, and the last to go restores them.
    """
    with _LOCK:
        if not _INSIDE:
            _INSIDE.append(warnings.catch_warnings())
            _INSIDE[0].__enter__()
        _INSIDE.append(None)
        warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _LOCK:
            _INSIDE.pop()
            if len(_INSIDE) > 1:
                warnings.simplefilter("ignore")  # whatever was called may have changed it
            else:
                _INSIDE.pop().__exit__(None, None, None)
