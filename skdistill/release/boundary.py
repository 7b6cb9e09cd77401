"""The private boundary: the only place that calls a teacher, or code that sees private rows.

A teacher is a function of its own rows, of public rows and of a public seed, and of nothing else.
:func:`call_privately` enforces it for one call: the called function gets copies of its own, global
random generators that start from a public seed, and no way out but its return value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from decimal import localcontext
from typing import Any

import numpy as np
import sklearn

from skdistill._randomness import own_randomness
from skdistill._silenced import silenced
from skdistill._tables import own_copy


class TeacherError(ValueError):
    """The teacher raised while it labelled the transfer set.

    The message is fixed and nothing is chained to it, since a teacher's own message may quote a
    private record. The charge stays.

    Examples
    --------
    >>> from skdistill.release.boundary import TeacherError
    >>> str(TeacherError())[:52]
    'The teacher raised an exception on the transfer set;'
    """

    def __init__(self) -> None:
        super().__init__(
            "The teacher raised an exception on the transfer set; its message is withheld because "
            "it may quote private data. The budget stays charged. Usual causes: X is not "
            "what the teacher was trained on (columns, dtypes, missing values: NaN or inf). Try "
            "teacher.predict on rows you may see."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the message, which the class takes none of."""
        return type(self), ()


def call_privately(
    function: Callable[..., Any],
    *data: Any,
    seed: int | None = None,
    error: Callable[[], Exception] = TeacherError,
) -> Any:
    """Call code that may look at private records; only its return value comes out.

    Parameters
    ----------
    function : callable
        A teacher's method, a member's fit, a user's transformer.
    *data : object
        Its arguments. Each is copied, so that a function which writes into it changes nothing for
        the student or for another member.
    seed : int or None, default=None
        Public, below 2^31. The global generators of Python, NumPy, PyTorch and Keras start from
        it and are put back afterwards. None leaves them alone: for a teacher that is by itself.
    error : callable, default=TeacherError
        ``error()``, of a fixed text, is raised in place of any exception of the function:
        ``BaseException`` as well, since panics of extension modules quote values too.
        KeyboardInterrupt and SystemExit pass, without arguments and without a context.

    Returns
    -------
    result : object
        The return value of the function.

    Raises
    ------
    TeacherError
        Or the exception of `error`, if the function raises any.

    Notes
    -----
    The exception is dropped inside the ``except`` block and a new one is raised after it, so
    neither ``__cause__`` nor ``__context__`` nor a frame of its traceback holds it. That *some*
    exception was raised is visible; the statement says so. Filters of warnings, NumPy's error state
    (in which nothing raises), scikit-learn's configuration, environment variables and context
    variables (contextvars, with the precision of decimal) are restored.

    Examples
    --------
    >>> from skdistill.release.boundary import call_privately
    >>> call_privately(sum, [1, 2, 3])
    6
    >>> def failing(rows):
    ...     raise KeyError(rows)  # its message would be private
    >>> call_privately(failing, ["Ada"])
    Traceback (most recent call last):
    skdistill.release.boundary.TeacherError: The teacher raised an exception on the ...
    """
    stopped: type[BaseException] | None = None
    try:
        with (
            own_randomness(seed),
            np.errstate(all="ignore"),
            localcontext(),
            sklearn.config_context(),
            silenced(),
            _own_environment(),
        ):
            return copy_context().run(function, *map(own_copy, data))
    except KeyboardInterrupt:
        stopped = KeyboardInterrupt
    except SystemExit:
        stopped = SystemExit
    except BaseException:
        stopped = None
    if stopped is not None:
        raise stopped
    raise error()


@contextmanager
def _own_environment() -> Iterator[None]:
    environ = os.environ
    held = getattr(environ, "_data", environ)  # without decoding: a hundred times faster
    before = dict(held)
    try:
        yield
    finally:
        if held != before:
            for name in held.keys() - before.keys():
                del environ[os.fsdecode(name)]
            for name, value in before.items():
                if held.get(name) != value:
                    environ[os.fsdecode(name)] = os.fsdecode(value)
