"""A lock between all threads of all processes of a machine: first come, nearly first served."""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FairLock", "pause"]

# Locks are put on bytes far behind the end of the file, where nothing is ever stored.
_FIRST_BYTE = 2**30

# Only for the length of a pause: no secret, and no result, depends on it.
_JITTER = random.SystemRandom()


def pause(attempt: int) -> None:
    """Sleep for a random time, longer after each attempt, at most 20 ms."""
    time.sleep(_JITTER.uniform(0.5, 1) * min(2e-4 * 1.5**attempt, 0.02))


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    LOCK_EX, LOCK_UN = msvcrt.LK_NBLCK, msvcrt.LK_UNLCK
    _POSITION = threading.Lock()

    def _try(descriptor: int, operation: int, length: int, start: int) -> bool:
        with _POSITION:
            os.lseek(descriptor, start, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, operation, length)
            except OSError:
                return False
            return True

    def lockf(descriptor: int, operation: int, length: int, start: int) -> None:
        """Wait for bytes of the file and lock them, or unlock them."""
        attempt = 0
        while not _try(descriptor, operation, length, start) and operation == LOCK_EX:
            pause(attempt := attempt + 1)

else:
    from fcntl import LOCK_EX, LOCK_UN, lockf


def _wait_for_byte(descriptor: int, byte: int) -> None:
    """Wait for a byte of the file, and lock it.

    The kernel believes in a deadlock when two processes wait for each other, although it may be
    different threads of theirs that wait and that hold: then it is asked again.
    """
    attempt = 0
    while True:
        try:
            return lockf(descriptor, LOCK_EX, 1, byte)
        except OSError as error:
            if error.errno != errno.EDEADLK:
                raise
        pause(attempt := attempt + 1)


class FairLock:
    """One thread of one process in the world, re-entrant in that thread.

    Who waits, waits in the kernel, and a KeyboardInterrupt ends it. When the holder dies, by
    whatever cause, the operating system frees the lock. A child of ``fork`` does not inherit
    it: the child needs a lock object of its own.

    Notes
    -----
    It does not starve anybody. Each lock is a turnstile of two, `queue` and `turn`: who wants
    the turn waits for it inside the queue, and leaves the queue when it has it. A holder that
    comes back at once finds the queue occupied, and the turn goes to who waited in it; so of
    two that want it, neither gets it twice while the other waits. (Plain retrying starves:
    the holder is always awake when the lock comes free.) There is one turnstile between the
    threads of this process, and one between processes, because a process has all its record
    locks in common.

    Parameters
    ----------
    descriptor : int or None
        Of the open file whose bytes are locked. It must stay open, and nothing in this process
        may open and close that file besides: POSIX then drops the locks. None for a lock
        between the threads of this process alone.
    number : int
        Locks of different numbers on one file are independent.
    """

    def __init__(self, descriptor: int | None, number: int) -> None:
        self._descriptor = descriptor
        self._bytes = (_FIRST_BYTE + 2 * number, _FIRST_BYTE + 2 * number + 1)
        self._queue, self._turn = threading.RLock(), threading.RLock()
        self._owner: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        An interrupt comes, if it comes, when a function is called or has returned. It may come
        so late that the end of a ``with`` is not run: this generator is then closed when its
        last reference goes, and comes to its end so. Nothing is called between the clauses
        below, and they undo what may have been done, whether it was or not.
        """
        me = threading.get_ident()
        if self._owner == me:
            yield
            return
        try:
            with self._queue:
                self._turn.acquire()
            try:
                self._lock_file()
                self._owner = me
                yield
            finally:
                self._owner = None
                if self._descriptor is not None:
                    lockf(self._descriptor, LOCK_UN, 1, self._bytes[1])
        finally:
            try:  # noqa: SIM105 (`suppress` would be a call)
                self._turn.release()
            except RuntimeError:  # interrupted before it had the turn
                pass

    def _lock_file(self) -> None:
        """Wait for this process's turn."""
        if self._descriptor is not None:
            queue, turn = self._bytes
            try:
                _wait_for_byte(self._descriptor, queue)
                _wait_for_byte(self._descriptor, turn)
            finally:
                lockf(self._descriptor, LOCK_UN, 1, queue)
