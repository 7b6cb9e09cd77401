"""Locks between all threads of all processes of one machine; and state that no fork may share."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import Any

# Held during every call of SQLite, and across `fork`: no child is born while a thread of its
# parent is inside SQLite, whose own mutexes would stay locked in the child for ever. Nobody waits
# for a lock of another process while holding it.
IO = threading.RLock()
# Objects with a connection, which their method `close` closes. It is called before a fork.
CONNECTED: weakref.WeakSet[Any] = weakref.WeakSet()
_OPEN: weakref.WeakSet[FileIO] = weakref.WeakSet()
# The locks that each thread holds. (An interrupt may come so late that one is not let go before
# the garbage collector finds it.)
_HELD: weakref.WeakValueDictionary[tuple[int, str], FileIO] = weakref.WeakValueDictionary()
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

if sys.platform == "win32":  # run in tests with a stand-in for msvcrt
    import msvcrt
    import time

    def _lock(file: FileIO) -> None:
        """Wait for the lock: for a byte far behind the end of the file."""
        while True:
            file.seek(2**30)
            try:
                return msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except PermissionError:  # another one holds it
                time.sleep(0.002)

    def _unlock(file: FileIO) -> None:
        file.seek(2**30)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    from fcntl import LOCK_EX, LOCK_UN, flock

    def _lock(file: FileIO) -> None:
        """Wait for the lock in the kernel; an interrupt ends the waiting."""
        flock(file, LOCK_EX)

    def _unlock(file: FileIO) -> None:
        """Let go, also for a child that a library forked and that still has the file open."""
        flock(file, LOCK_UN)


@contextmanager
def locked_file(path: str, *, temporary: bool = False) -> Iterator[FileIO]:
    """Hold the lock of a file, and yield it open: one thread of one process is inside.

    The file must exist, but a `temporary` one is made, and removed at the end. The lock belongs
    to one opening of the file (``flock``), not to a process, so that it also keeps the threads of
    one process apart. When its holder dies, the operating system frees it. A child that is forked
    meanwhile closes its copy before it does anything else. The same thread may enter again.
    """
    me = threading.get_ident(), path
    if (mine := _HELD.get(me)) is not None and not mine.closed:
        yield mine
        return
    ours = False
    while not ours:
        with IO:
            file = FileIO(os.open(path, _FLAGS | (os.O_CREAT if temporary else 0), 0o600), "r+b")
            _OPEN.add(file)
        try:
            _lock(file)
            with suppress(FileNotFoundError):  # while this thread waited, the file was removed
                ours = not temporary or os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            if ours:
                _HELD[me] = file
                yield file
        finally:
            # A waiter that is interrupted leaves the holder's file alone, and a forked child,
            # whose copy is closed, its parent's.
            if ours and not file.closed:
                if temporary:
                    with suppress(OSError):  # Windows removes no open file: it stays, empty
                        os.unlink(path)
                _unlock(file)
            file.close()


def _before_fork() -> None:
    """Close all connections: SQLite forbids to use, and even to close, one that was inherited."""
    IO.acquire()
    for each in list(CONNECTED):
        each.close()


def _in_child() -> None:
    """Close the copies of the parent's locks: they would outlive a parent that is killed."""
    for file in list(_OPEN):
        file.close()
    IO.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=IO.release, after_in_child=_in_child)
