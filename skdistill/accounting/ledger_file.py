r"""The file of a ledger: an append-only chain of entries that cannot be shortened unnoticed.

*What is written.* The entries are one SQLite table. Each row holds the totals and the cap that
hold after it, and SHA-256 of itself and of the hash before it; nothing else is state. So the last
row alone says what is spent, whatever happened to earlier ones, and it costs the same to read in
a file of ten or of ten million rows. Beside the file stands a second one, its *head*: the number
and the hash of the last row.

*Order of writes.* An entry is committed (write-ahead log, ``synchronous=FULL``: it is on the disk
when COMMIT returns), then the head is overwritten, and only then does :meth:`Store.append` return.
One process at a time does so, under a lock of the head. Hence at every moment, and after a kill at
any moment,

    what was acknowledged  ≤  head  ≤  file  ≤  head + 1 entry.

The head is not flushed to the disk (that would halve the speed). It is written after the entry is
on the disk, so that a failure of power can only take it back: still head ≤ file, and the file has
all that was acknowledged.

*What is detected, when the file is opened and at every entry.* A file that ends before its head
has lost charges: truncated, its write-ahead log removed or cut short, an old copy put in its
place, its last rows deleted. A row at the head, or after it, that does not fit its hash was
edited. In both cases the ledger refuses. Older rows cannot lower the total; :meth:`walk` finds
the first one that was edited, swapped or removed.

*What cannot be detected.* Copies of *both* files, of one moment, put back together: that is a
ledger as it truly was (do not restore a ledger from a backup). A copy that is used beside the
original. Somebody who computes the hashes anew: there is no key, and a ledger protects from
accidents and from rewriting history by hand, not from its owner. A clock that was put back by
less than a day, or forward.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from skdistill.accounting.ledger_lock import FairLock, pause
from skdistill.accounting.ledger_place import LedgerError, check_place

__all__ = ["Entry", "Store", "read_store", "release_store", "shared_store"]

_APPLICATION = 0x736B646C  # "skdl"
_VERSION = 1
_START = bytes(32)
_DAY = 86_400 * 10**6
_BUSY_SECONDS = 60.0

_SCHEMA = (
    "CREATE TABLE entries (n INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, "
    "epsilon REAL NOT NULL, delta REAL NOT NULL, mu REAL, note TEXT NOT NULL, "
    "process TEXT NOT NULL, totals TEXT NOT NULL, cap_epsilon REAL NOT NULL, "
    "cap_delta REAL NOT NULL, key BLOB, digest BLOB, hash BLOB NOT NULL)",
    "CREATE TABLE blobs (n INTEGER PRIMARY KEY, blob BLOB NOT NULL)",
    "CREATE INDEX by_key ON entries (key) WHERE key IS NOT NULL",
)

# Held during every call of SQLite, and across `fork`: no child is born while a thread of its
# parent is inside SQLite, whose own mutexes would stay locked in the child for ever.
_IO = threading.RLock()
_STORES: dict[tuple[int, int], Store] = {}
# Connections of the parent. A child must neither use nor close them.
_INHERITED: list[Store] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row: an event, and the state of the ledger after it.

    Parameters
    ----------
    n : int
        Counts from 0, the entry that opened the ledger.
    time : int
        Microseconds since 1970 (UTC); never less than that of the entry before.
    kind : str
        ``"open"``, ``"cap"``, ``"remember"``, or the kind of a charge.
    epsilon, delta : float
        What was charged.
    mu : float or None
        Gaussian-DP parameter of what was charged.
    note : str
        Of the first entry: the identity of the ledger.
    process : str
        Number of the process and name of its machine.
    totals : str
        All charges up to this one, composed.
    cap_epsilon, cap_delta : float
        What the totals must stay within.
    key, digest : bytes or None
        What a remembered blob is found by, and its SHA-256.
    hash : bytes
        SHA-256 of the hash before and of everything above.
    """

    n: int = -1
    time: int = 0
    kind: str = ""
    epsilon: float = 0.0
    delta: float = 0.0
    mu: float | None = None
    note: str = ""
    process: str = ""
    totals: str = ""
    cap_epsilon: float = 0.0
    cap_delta: float = 0.0
    key: bytes | None = None
    digest: bytes | None = None
    hash: bytes = _START

    def sealed(self, previous: bytes) -> Entry:
        """Return the entry with the hash that it has after `previous`."""
        content = [v.hex() if isinstance(v, bytes) else v for v in _values(self)[:-1]]
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        return replace(self, hash=hashlib.sha256(previous + text.encode("ascii")).digest())

    def follows(self, previous: Entry) -> bool:
        """Whether the entry is the one that was appended to `previous`."""
        return (
            isinstance(previous.hash, bytes)
            and self.hash == self.sealed(previous.hash).hash
            and self.n == previous.n + 1
            and self.time >= previous.time
        )


_NAMES = tuple(field.name for field in fields(Entry))
_COLUMNS = ", ".join(_NAMES)
_values = attrgetter(*_NAMES)
_BEFORE_FIRST = Entry()


@dataclass(frozen=True, slots=True)
class Mark:
    """What the head remembers: number and hash of the last entry, and whose it is."""

    n: int
    hash: bytes
    identity: str


class Head:
    """The head of a ledger: two slots of a small file, written in turn.

    A write that is torn by a power failure damages the slot that is written, and the other
    still holds the entry before: the head falls back by one, never forward.
    """

    _SLOT = 512
    _LAYOUT = struct.Struct(">16sQ32s32s32s")
    _MAGIC = b"skdistill head 1"

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._next = 0

    def read(self) -> Mark | None:
        """Return the mark, None of a head that was never written."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        content = os.read(self.descriptor, 2 * self._SLOT + 1)
        if not content:
            return None
        marks = []
        if len(content) == 2 * self._SLOT:
            marks = [self._parse(content[: self._SLOT], 0), self._parse(content[self._SLOT :], 1)]
        best = max((mark for mark in marks if mark), key=lambda mark: mark[0].n, default=None)
        if best is None:
            raise LedgerError(
                "The head of this ledger is damaged, so that it cannot be told whether charges "
                f"were lost. {_NEW_LEDGER}"
            )
        self._next = 1 - best[1]
        return best[0]

    def write(self, mark: Mark) -> None:
        """Replace the older slot (the first time, both, and flush them to the disk)."""
        body = self._LAYOUT.pack(
            self._MAGIC, mark.n, mark.hash, mark.identity.encode("ascii"), bytes(32)
        )[:-32]
        slot = (body + hashlib.sha256(body).digest()).ljust(self._SLOT, b"\0")
        first = os.fstat(self.descriptor).st_size == 0
        os.lseek(self.descriptor, 0 if first else self._next * self._SLOT, os.SEEK_SET)
        content = slot * 2 if first else slot
        if os.write(self.descriptor, content) != len(content):
            raise LedgerError("The head of the ledger could not be written: is the disk full?")
        if first:
            os.fsync(self.descriptor)

    def _parse(self, slot: bytes, position: int) -> tuple[Mark, int] | None:
        magic, n, tip, identity, check = self._LAYOUT.unpack_from(slot)
        body = slot[: self._LAYOUT.size - 32]
        if magic != self._MAGIC or check != hashlib.sha256(body).digest():
            return None
        return Mark(n, tip, identity.decode("ascii")), position


class MemoryHead:
    """The head of a ledger in memory."""

    descriptor = None
    _mark: Mark | None = None

    def read(self) -> Mark | None:
        """Return the mark, None of a head that was never written."""
        return self._mark

    def write(self, mark: Mark) -> None:
        """Replace the mark."""
        self._mark = mark


_NEW_LEDGER = (
    "If you moved or copied the ledger, bring the file and its head (the same name with '-head') "
    "together, as they were at one moment. If it is lost, open a new ledger and spend on it first "
    "whatever may have been spent; `python -m skdistill ledger FILE` shows what is left of this."
)


class Store:
    """An open ledger file; one per file and process, shared by all handles and threads.

    Parameters
    ----------
    path : str
        A real path, or ``":memory:"``.
    descriptor : int or None
        Of the head, open; None in memory.
    read_only : bool, default=False
        Change nothing, lock nothing.
    """

    def __init__(self, path: str, descriptor: int | None, *, read_only: bool = False) -> None:
        self.path, self.pid, self.read_only = path, os.getpid(), read_only
        self.head: Head | MemoryHead = MemoryHead() if descriptor is None else Head(descriptor)
        self.writer, self.exclusive = FairLock(descriptor, 0), FairLock(descriptor, 1)
        self.users = 0
        self.identity = ""
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def connect(self, first: Entry | None) -> None:
        """Open the database if it is not open; where there is none, begin it with `first`."""
        with contextlib.nullcontext() if self.read_only else self.writer.held():
            self._patiently(lambda: self._connect(first))

    def append(self, decide: Callable[[Entry], Entry], blob: bytes | None = None) -> Entry:
        """Append the entry that `decide` makes of the last one; durable when this returns.

        `decide` may raise: then nothing is appended. It fills in what the event is and the
        state after it; number, time, process and hash are filled in here.
        """
        with self.writer.held():
            return self._patiently(lambda: self._append(decide, blob))

    def tip(self) -> Entry:
        """Return the last entry, checked against the head."""
        return self._patiently(self._tip)

    def recall(self, key: bytes) -> list[bytes]:
        """Return the blobs remembered under `key`, oldest first; refuse those that changed."""

        def step() -> list[bytes]:
            self._tip()
            found = self._select("WHERE key = ? ORDER BY n", key)
            return [self._intact_blob(entry) for entry in found]

        return self._patiently(step)

    def walk(self, blobs: bool = True, start: int = 0) -> Iterator[tuple[Entry, bool]]:
        """Yield every entry from number `start` on, and whether it is the one appended there."""

        def rows(condition: str, number: int) -> list[Entry]:
            return self._patiently(lambda: self._select(condition, number))

        previous, after = _BEFORE_FIRST, -(2**63)
        if start > 0:
            after = start - 1
            previous = next(iter(rows("WHERE n < ? ORDER BY n DESC LIMIT 1", start)), previous)
        while chunk := rows("WHERE n > ? ORDER BY n LIMIT 1000", after):
            for entry in chunk:
                intact = entry.follows(previous)
                if blobs and entry.key is not None:
                    intact = intact and self._patiently(partial(self._blob, entry)) is not None
                yield entry, intact
                previous = entry
            after = previous.n

    def last_claim(self) -> Entry | None:
        """Return the last entry as it stands, unchecked: what a damaged ledger still says."""
        with contextlib.suppress(LedgerError, sqlite3.Error):
            self._connection = self._connection or _read_only(self.path)
            found = self._patiently(lambda: self._select("ORDER BY n DESC LIMIT 1"))
            return found[0] if found else None
        return None

    def close(self) -> None:
        """Close what this process opened."""
        if self.pid != os.getpid():
            return
        with _IO:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if isinstance(self.head, Head) and self.head.descriptor >= 0:
                os.close(self.head.descriptor)
                self.head.descriptor = -1

    # -- everything below runs inside _IO --------------------------------------------------

    def _patiently(self, step: Callable[[], Any]) -> Any:
        """Run a step, again while another program holds the database, not holding _IO."""
        attempt, deadline = 0, time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                with _IO:
                    return step()
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise _explained(self.path, error) from error
                if time.monotonic() > deadline:
                    raise LedgerError(
                        f"Another program has held the ledger {self.path!r} for "
                        f"{_BUSY_SECONDS:.0f} seconds."
                    ) from error
            except (sqlite3.Error, OSError) as error:
                raise _explained(self.path, error) from error
            pause(attempt := attempt + 1)

    def _connect(self, first: Entry | None) -> None:
        if self._connection is not None:
            return
        log = self.path + "-wal"
        has_log = os.path.exists(log) and os.path.getsize(log) > 0
        self._connection = self._opened(first)
        try:
            self._check_kind(first, has_log)
            if self.path != ":memory:":
                self._file = _inode(self.path)
            _check_clock(self._tip())
            beginning = self._select("WHERE n = 0")
            mark = self.head.read()
            if not beginning or (mark is not None and beginning[0].note != mark.identity):
                raise LedgerError(f"The head of {self.path!r} is that of another ledger.")
            self.identity = beginning[0].note
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def _opened(self, first: Entry | None) -> sqlite3.Connection:
        """Return a connection that is as durable as SQLite can be."""
        if self.path == ":memory:":
            return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        if self.read_only:
            return _read_only(self.path)
        if not check_place(self.path):
            if first is None or self.head.read() is not None:
                raise LedgerError(f"The ledger {self.path!r} is gone. {_NEW_LEDGER}")
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = 1")
        return connection

    def _check_kind(self, first: Entry | None, has_log: bool) -> None:
        """Raise unless this is a ledger; make one of an empty file whose head is empty too."""
        execute = self._connected().execute
        application, version, pages, size = (
            execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "page_count", "page_size")
        )
        schema = {row[0] for row in execute("SELECT sql FROM sqlite_master")}
        if first is not None and application == 0 and not schema and self.head.read() is None:
            self._begin(first)
            return
        if application != _APPLICATION:
            raise LedgerError(f"{self.path!r} is not a ledger.")
        if version != _VERSION or schema != set(_SCHEMA):
            raise LedgerError(
                f"{self.path!r} is a ledger of another version of skdistill, or its tables were "
                "changed."
            )
        if not has_log and os.path.getsize(self.path) < pages * size:
            raise LedgerError(f"The ledger {self.path!r} was cut short. {_NEW_LEDGER}")

    def _begin(self, first: Entry) -> None:
        """Write the first entry, with a new identity."""
        assert self._connection is not None
        execute = self._connection.execute
        if self.path != ":memory:" and execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise LedgerError(f"The file system of {self.path!r} supports no write-ahead log.")
        execute("BEGIN IMMEDIATE")
        try:
            for statement in _SCHEMA:
                execute(statement)
            execute(f"PRAGMA application_id = {_APPLICATION}")
            execute(f"PRAGMA user_version = {_VERSION}")
            identity = secrets.token_hex(16)
            entry = self._insert(_BEFORE_FIRST, replace(first, kind="open", note=identity))
            execute("COMMIT")
        finally:
            self._roll_back()
        self.head.write(Mark(entry.n, entry.hash, identity))
        _flush_folder(self.path)

    def _append(self, decide: Callable[[Entry], Entry], blob: bytes | None) -> Entry:
        connection = self._connected()
        self._roll_back()  # what an interrupt left between BEGIN and the next line
        connection.execute("BEGIN IMMEDIATE")
        try:
            tip = self._tip()
            _check_clock(tip)
            entry = decide(tip)
            if blob is not None:
                entry = replace(entry, digest=hashlib.sha256(blob).digest())
            entry = self._insert(tip, entry)
            if blob is not None:
                connection.execute("INSERT INTO blobs VALUES (?, ?)", (entry.n, blob))
            connection.execute("COMMIT")
        finally:
            self._roll_back()
        self.head.write(Mark(entry.n, entry.hash, self.identity))
        return entry

    def _insert(self, tip: Entry, entry: Entry) -> Entry:
        now = time.time_ns() // 1000
        process = f"{os.getpid()}@{platform.node()}"
        entry = replace(entry, n=tip.n + 1, time=max(now, tip.time), process=process)
        entry = entry.sealed(tip.hash)
        assert self._connection is not None
        marks = ", ".join("?" * len(_NAMES))
        self._connection.execute(f"INSERT INTO entries VALUES ({marks})", _values(entry))
        return entry

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _tip(self) -> Entry:
        """Return the last entry; refuse unless the chain leads from the head to it."""
        self._check_in_place()
        mark = self.head.read()  # before the rows: others may append in between
        start = -1 if mark is None else mark.n
        rows = self._select("WHERE n >= ? ORDER BY n", start - 1)
        if mark is None:
            # The first process died before it wrote the head: it had acknowledged nothing.
            if [row.n for row in rows] != [0] or not rows[0].follows(_BEFORE_FIRST):
                raise LedgerError(f"The ledger {self.path!r} has lost its head. {_NEW_LEDGER}")
            if not self.read_only:
                self.head.write(Mark(0, rows[0].hash, rows[0].note))
            return rows[0]
        if not rows or rows[-1].n < mark.n:
            raise LedgerError(
                f"The ledger {self.path!r} has lost charges: it ends before entry {mark.n}, which "
                f"it had written (an old copy, or a file that was cut short?). {_NEW_LEDGER}"
            )
        chain = [_BEFORE_FIRST, *rows] if mark.n <= 1 and rows[0].n == 0 else rows
        intact = all(after.follows(before) for before, after in zip(chain, chain[1:], strict=False))
        at_head = [row for row in rows if row.n == mark.n and row.hash == mark.hash]
        if len(chain) < 2 or not intact or not at_head:
            raise LedgerError(
                f"The last entries of the ledger {self.path!r} were changed: they do not fit the "
                f"chain of hashes. {_NEW_LEDGER}"
            )
        if self.identity and mark.identity != self.identity:
            raise LedgerError(f"The head of {self.path!r} is that of another ledger.")
        return rows[-1]

    def _check_in_place(self) -> None:
        if self._file is None or self.read_only:
            return
        try:
            same = _inode(self.path) == self._file and (
                _inode(self.path + "-head") == _inode(self.head.descriptor)
            )
        except OSError:
            same = False
        if not same:
            raise LedgerError(
                f"The ledger {self.path!r} (or its head) was removed, or another file was put in "
                "its place, while it was in use. Nothing more can be charged here."
            )

    def _select(self, condition: str, *values: Any) -> list[Entry]:
        connection = self._connected()
        rows = connection.execute(f"SELECT {_COLUMNS} FROM entries {condition}", values)
        return [Entry(**dict(zip(_NAMES, row, strict=True))) for row in rows]

    def _blob(self, entry: Entry) -> bytes | None:
        """Return what an entry remembers, None unless it is what was remembered."""
        query = "SELECT blob FROM blobs WHERE n = ?"
        found = self._connected().execute(query, (entry.n,)).fetchone()
        if found is None or not isinstance(found[0], bytes):
            return None
        return found[0] if hashlib.sha256(found[0]).digest() == entry.digest else None

    def _intact_blob(self, entry: Entry) -> bytes:
        before = self._select("WHERE n = ?", entry.n - 1)
        blob = self._blob(entry)
        if blob is None or not before or not entry.follows(before[0]):
            raise LedgerError(f"Entry {entry.n} of the ledger {self.path!r} was changed.")
        return blob

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None or self.pid != os.getpid():
            raise LedgerError(f"The ledger {self.path!r} is not open in this process.")
        return self._connection


def shared_store(path: str, first: Entry | None) -> Store:
    """Return this process's store of a file; count one more user.

    There is one per file: closing a second one would drop the locks that the first one holds
    (POSIX forgets all locks of a process on a file when any descriptor of it is closed).

    Parameters
    ----------
    path : str
        A real path.
    first : Entry or None
        What to begin a new ledger with; None to open only one that exists.
    """
    exists = check_place(path)
    head = path + "-head"
    with _IO:
        store = _STORES.get(_inode(head)) if os.path.exists(head) else None
        if store is None:
            store = Store(path, _open_head(path, create=not exists and first is not None))
            _STORES[_inode(store.head.descriptor)] = store
        store.users += 1
    try:
        store.connect(first)
    except BaseException:
        release_store(store)
        raise
    return store


def release_store(store: Store) -> None:
    """Count one user less; close with the last."""
    if store.pid != os.getpid():
        return
    with _IO:
        store.users -= 1
        if store.users <= 0:
            for key in [key for key, value in _STORES.items() if value is store]:
                del _STORES[key]
            store.close()


@contextlib.contextmanager
def read_store(path: str) -> Iterator[Store]:
    """Open a file for reading only, whoever is writing it; nothing is locked or changed."""
    if not check_place(path):
        raise LedgerError(f"There is no ledger {path!r}.")
    try:
        descriptor = os.open(path + "-head", os.O_RDONLY)
    except OSError:
        descriptor = None
    store = Store(path, descriptor, read_only=True)
    try:
        yield store
    finally:
        store.close()


def _read_only(path: str) -> sqlite3.Connection:
    """Return a connection that writes nothing, not even the index of the write-ahead log.

    Without a log there is nothing but the file, and SQLite may take it for immutable.
    """
    name = Path(path).as_uri()
    options = "?mode=ro" if os.path.exists(path + "-wal") else "?mode=ro&immutable=1"
    return sqlite3.connect(
        name + options, uri=True, timeout=1.0, isolation_level=None, check_same_thread=False
    )


def _open_head(path: str, create: bool) -> int:
    """Return a descriptor of the head; make one only where there is no ledger yet."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path + "-head", flags, 0o600)
    except FileNotFoundError:
        if not os.path.exists(path):
            raise LedgerError(f"There is no ledger {path!r}.") from None
    except OSError as error:
        raise LedgerError(
            f"The ledger {path!r} cannot be written ({error.strerror}), so nothing can be charged "
            "to it. `python -m skdistill ledger FILE` reads it."
        ) from error
    if not _looks_like_a_ledger(path):
        raise LedgerError(f"{path!r} is not a ledger: it exists already, and is something else.")
    raise LedgerError(f"The ledger {path!r} has lost its head, {path + '-head'!r}. {_NEW_LEDGER}")


def _looks_like_a_ledger(path: str) -> bool:
    """Whether a file is an SQLite database marked as a ledger (it is not touched)."""
    try:
        with contextlib.closing(_read_only(path)) as connection:
            return connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION
    except sqlite3.Error:
        return False


def _explained(path: str, error: Exception) -> LedgerError:
    """Return what an error of SQLite or of the system means for the ledger."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return LedgerError(f"{path!r} is not a ledger.")
    if code == sqlite3.SQLITE_CORRUPT:
        return LedgerError(f"The ledger {path!r} is damaged ({error}). {_NEW_LEDGER}")
    return LedgerError(
        f"The ledger {path!r} could not be written or read ({error}). What was being charged may "
        "or may not have been; it was not acknowledged, and nothing is released for it."
    )


def _check_clock(tip: Entry) -> None:
    """Refuse a clock that is more than a day behind the last entry."""
    ahead = tip.time - time.time_ns() // 1000
    if ahead > _DAY:
        raise LedgerError(
            f"The last entry of this ledger was made {ahead / _DAY:.1f} days in the future of this "
            "computer's clock. Set the clock right. If it was wrong when the entry was made, wait, "
            "or open a new ledger and spend on it first what this one has spent."
        )


def _inode(file: str | int | None) -> tuple[int, int]:
    """Return what identifies a file, by name or descriptor."""
    assert file is not None
    found = os.stat(file)
    return found.st_dev, found.st_ino


def _flush_folder(path: str) -> None:
    """Return when the names in the folder of a new file are on the disk."""
    if path == ":memory:" or os.name == "nt":
        return
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_child() -> None:
    """Forget the parent's connections, keeping them alive: closing them would meddle with it."""
    _INHERITED.extend(_STORES.values())
    _STORES.clear()
    _IO.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_IO.acquire, after_in_parent=_IO.release, after_in_child=_in_child)
