"""Warnings: silence around private calls, and warnings that name the caller's line."""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

_FILES = __file__, inspect.getfile(sklearn), inspect.getfile(np)  # NumPy's error state is one
_INNER = contextlib.__file__, *(f"{Path(path).parent}{os.sep}" for path in _FILES)


def warn_caller(text: str) -> None:
    """Warn of a line outside of this package and those it stands on, however deep the call is."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename.startswith(_INNER):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)


_LOCK = threading.Lock()
_INSIDE: list[Any] = []  # one entry for each block that is open, in any thread


@contextmanager
def silenced() -> Iterator[None]:
    """Show no warning while any thread of this process is inside such a block.

    A teacher's warning can quote a private cell. The filters of :mod:`warnings` are global, and
    with ``catch_warnings`` the first thread to leave would put them back while another one still
    asks. So the first to come saves the filters, and the last to go restores them. At the start and
    at the end of each block they are one and the same, whatever a call in between has made of them.
    """
    with _LOCK:
        if not _INSIDE:
            filters = warnings.catch_warnings()
            filters.__enter__()  # before it is kept: an interrupt between would leave one to exit
            _INSIDE.append(filters)
        _INSIDE.append(None)
        _ignore_all()
    try:
        yield
    finally:
        with _LOCK:
            _INSIDE.pop()
            if len(_INSIDE) > 1:
                _ignore_all()
            else:
                _INSIDE.pop().__exit__(None, None, None)


def _ignore_all() -> None:
    warnings.simplefilter("ignore")  # comes first, so that there is no moment without it
    warnings.filters = warnings.filters[:1]
