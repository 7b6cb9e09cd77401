r"""The file of a ledger: an append-only chain of entries that cannot be shortened unnoticed.

The entries are one SQLite table. Each is a text with the event, the state of the ledger after it
and the SHA-256 of the entry before, so that the last one alone tells the total. Beside the file
stands its *head*: the number and the SHA-256 of the last entry. An entry is committed (rollback
journal, ``synchronous=EXTRA``: it is on the disk when COMMIT returns), then the head is
overwritten, and then :meth:`Store.append` returns; one thread of one process at a time does so,
under a lock of the head. Hence at every moment, and after a kill at any moment,

    acknowledged charges  ≤  head  ≤  file  ≤  head + 1 entry.

The head is not flushed to the disk. A failure of power can only take it back: head ≤ file.

*Detected, at every use.* A file that ends before its head has lost charges: it was truncated, its
journal was removed after a crash, an old copy was put in its place, or its last rows were
deleted. An entry at the head that does not fit its hash was edited. In both cases the ledger
refuses. Older rows cannot lower the counters; :meth:`Store.walk` finds the first that was changed.

*Not detected.* Copies of *both* files, of one moment, put back together while no handle is open
(do not restore a ledger from a backup). A copy that is used beside the original. Somebody who
computes the hashes anew: there is no key.

A connection lives for one operation, so that a handle has nothing that a fork could break.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger_lock import IO, locked_file
from skdistill.accounting.ledger_place import LedgerError, check_place, foreign_filesystem
from skdistill.accounting.relation import Relation, Unit

__all__ = ["Entry", "MemoryStore", "Store"]

_APPLICATION = 0x736B646C  # "skdl"
_VERSION = 2
_BUSY_SECONDS = 60.0
_SCHEMA = {
    "CREATE TABLE entries (n INTEGER PRIMARY KEY, key BLOB, text TEXT NOT NULL, "
    "hash BLOB NOT NULL, blob BLOB)",
    "CREATE INDEX by_key ON entries (key) WHERE key IS NOT NULL",
}
_HEAD = re.compile(r"skdistill ledger ([0-9a-f]{32}) ([0-9]{1,18}) ([0-9a-f]{64}) *\n")
_UNFINISHED = (
    "The creation of this ledger was interrupted. Nothing was charged to it: remove the file and "
    "its head (the same name with '-head'), and create it again."
)
_DAMAGED = "The head of this ledger is damaged, so that lost charges would not be noticed."
_NEW_LEDGER = (
    "If you moved or copied the ledger, bring the file and its head (the same name with '-head') "
    "together, as they were at one moment. If it is lost, create a new ledger and spend on it "
    "first all that may have been spent; `python -m skdistill ledger FILE` shows what is left."
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An event, and the state of the ledger after it."""

    kind: str  # "open", "cap" or "remember"; or a charge: "gaussian" or "pure"
    totals: Totals  # all charges up to this one
    cap: Cap  # their limit, and whom the ledger protects
    epsilon: float = 0.0  # of the release that was charged, as are the next four
    delta: float = 0.0
    mu: float | None = None
    relation: str = ""
    unit: str = ""
    note: str = ""  # of the first entry: the identity of the ledger
    anywhere: bool = False  # of the first entry: it may stand on any file system
    key: str = ""  # of a remembered blob, in hexadecimal
    digest: str = ""  # SHA-256 of the blob
    n: int = 0  # counts from 0, the entry that opened the ledger
    time: int = 0  # microseconds since 1970 (UTC); never less than that of the entry before
    process: str = ""  # its number and the name of its machine
    previous: str = ""  # SHA-256 of the entry before

    def next(self, kind: str, **event: Any) -> Entry:
        """Return an event that leaves the state as it is, but for the fields that are given."""
        state: dict[str, Any] = {"totals": self.totals, "cap": self.cap}
        return Entry(kind=kind, **state | event)

    def text(self) -> str:
        """Return the entry as it is stored."""
        state = {"totals": vars(self.totals), "cap": vars(self.cap)}
        return json.dumps(vars(self) | state, separators=(",", ":"))

    def stored_key(self) -> bytes | None:
        """Return the key as it is stored beside the text."""
        return bytes.fromhex(self.key) if self.kind == "remember" else None

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Return the entry that :meth:`text` wrote."""
        content = json.loads(text)
        cap = content["cap"]
        cap = replace(Cap(**cap), relation=Relation(cap["relation"]), unit=Unit(cap["unit"]))
        return cls(**content | {"totals": Totals(**content["totals"]), "cap": cap})


@dataclass(frozen=True)
class Row:
    """An entry as it was read, None where it is not as it was written; and its stored hash."""

    n: int
    entry: Entry | None
    hash: str

    @classmethod
    def read(cls, n: int, key: Any, text: Any, stored: Any) -> Row:
        """Check the columns of a row against each other."""
        chained = stored.hex() if isinstance(stored, bytes) else ""
        try:
            entry, found = Entry.parse(text), hashlib.sha256(text.encode())
            known = (entry.n, found.digest(), entry.stored_key())
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls(n, None, chained)
        return cls(n, entry if known == (n, stored, key) else None, chained)

    def follows(self, before: Row | None) -> bool:
        """Whether the entry is intact and was appended to the one before (None: to nothing)."""
        n, previous = (0, "") if before is None else (before.n + 1, before.hash)
        return self.entry is not None and (self.n, self.entry.previous) == (n, previous)


class Store:
    """A ledger file, by its real path, with the identity that it must have.

    `read_only` changes nothing and locks nothing.
    """

    def __init__(self, path: str, identity: str = "", *, read_only: bool = False) -> None:
        self.path, self.identity, self.read_only = path, identity, read_only
        self._seen = -1  # the last entry that this object knows

    def create(self, first: Entry) -> None:
        """Make the file and its head; refuse where there is either."""
        self._check_filesystem(first)
        self.identity, made = secrets.token_hex(16), list[str]()
        try:
            for path in (self._head, self.path):
                if check_place(path):
                    raise LedgerError(
                        f"{path!r} exists already. Open a ledger by PrivacyLedger(path). (A head "
                        "without its ledger was left by one that was removed or never finished. "
                        "Remove it if nothing that was charged there counts any more.)"
                    )
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                made.append(path)
            self._begin(first)
            if os.name != "nt":  # the names are on the disk, too
                folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        except BaseException:
            for path in made:
                with suppress(OSError):
                    os.unlink(path)
            raise

    def open(self) -> None:
        """Check that this is a ledger, and learn its identity."""
        if not check_place(self.path):
            gone = " It is gone: its head is still there." if os.path.exists(self._head) else ""
            raise LedgerError(
                f"There is no ledger {self.path!r}.{gone} Make one by "
                "PrivacyLedger.create(path, epsilon, delta)."
            )
        # Not through SQLite, which would roll back the journal of somebody else's database. While
        # IO is held no thread has the file open: to close it drops all locks of the process on it.
        with _explained(self.path), IO, open(self.path, "rb") as file:
            header = file.read(72)
        if header[:16] != b"SQLite format 3\0" or header[68:] != _APPLICATION.to_bytes(4, "big"):
            unfinished = os.path.exists(self._head) and not os.path.getsize(self._head)
            raise LedgerError(_UNFINISHED if unfinished else f"{self.path!r} is not a ledger.")
        with self._session() as (file, connection):
            tip = self._tip(file, connection)
            version, pages, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("user_version", "page_count", "page_size")
            )
            schema = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master")}
            if (version, schema) != (_VERSION, _SCHEMA):
                raise LedgerError(
                    f"{self.path!r} is a ledger of another version of skdistill, or its tables "
                    "were changed."
                )
            first = _select(connection, "WHERE n = 0")
            short = os.path.getsize(self.path) < pages * size
            if short or not first or first[0].entry is None:
                raise LedgerError(
                    f"The ledger {self.path!r} was cut short, or its first entry was changed "
                    f"(its last is number {tip.n}). {_NEW_LEDGER}"
                )
            self._check_filesystem(first[0].entry)

    def append(self, decide: Callable[[Entry], Entry], blob: bytes | None = None) -> None:
        """Append the entry that `decide` makes of the last one; durable when this returns.

        `decide` may raise; then nothing is appended. It fills in the event and the state after
        it; number, time, process and hashes are filled in here.
        """
        with self._session() as (file, connection):
            connection.execute("BEGIN IMMEDIATE")
            try:
                tip = self._tip(file, connection)
                assert tip.entry is not None
                entry = replace(
                    decide(tip.entry),
                    n=tip.n + 1,
                    time=tip.entry.time,
                    previous=tip.hash,
                    digest="" if blob is None else hashlib.sha256(blob).hexdigest(),
                )
                row = _insert(connection, entry, blob)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            self._write_head(file, row)

    def tip(self) -> Entry:
        """Return the last entry, checked against the head."""
        with self._session() as (file, connection):
            entry = self._tip(file, connection).entry
            assert entry is not None
            return entry

    def recall(self, key: bytes) -> list[bytes]:
        """Return the blobs remembered under `key`, oldest first; refuse those that changed."""
        with self._session() as (file, connection):
            self._tip(file, connection)
            found = []
            for row in _select(connection, "WHERE key = ? ORDER BY n", key):
                before = _select(connection, "WHERE n = ?", row.n - 1)
                blob = _blob(connection, row)
                if not before or not row.follows(before[0]) or blob is None:
                    raise LedgerError(f"Entry {row.n} of the ledger {self.path!r} was changed.")
                found.append(blob)
            return found

    def walk(self, start: int = 0) -> Iterator[tuple[Entry | None, bool]]:
        """Yield the entries from number `start` on, and whether each is the one appended there.

        An entry that cannot be read is None.
        """
        with self._session() as (_, connection):
            earlier = _select(connection, "WHERE n < ? ORDER BY n DESC LIMIT 1", start)
        before, last = earlier[0] if earlier else None, start - 1
        while True:
            found = []
            with self._session() as (_, connection):
                for row in _select(connection, "WHERE n > ? ORDER BY n LIMIT 500", last):
                    kept = row.entry is None or not row.entry.digest or _blob(connection, row)
                    found.append((row.entry, row.follows(before) and kept is not None))
                    before, last = row, row.n
            if not found:
                return
            yield from found

    def last_claim(self) -> Entry | None:
        """Return the last entry as it stands, unchecked; a damaged ledger may still have one."""
        with (
            suppress(sqlite3.Error, LookupError, UnicodeError),
            closing(self._connect()) as connection,
        ):
            return _select(connection, "ORDER BY n DESC LIMIT 1")[0].entry
        return None

    @contextmanager
    def locked(self, key: bytes) -> Iterator[None]:
        """Hold the lock of a key: one thread of one process at a time; it may enter again."""
        self._check_process()
        name = hashlib.sha256(self.identity.encode() + key).hexdigest()[:24]
        with ExitStack() as stack:
            with _explained(self.path):
                stack.enter_context(locked_file(f"{self.path}-{name}.lock", temporary=True))
            yield

    def _check_process(self) -> None:
        if self.path == ":memory:":  # unpickled where that ledger is not
            raise LedgerError(_IN_MEMORY)

    @property
    def _head(self) -> str:
        return self.path + "-head"

    def _check_filesystem(self, first: Entry) -> None:
        if not first.anywhere and (kind := foreign_filesystem(self.path)):
            raise LedgerError(
                f"{self.path!r} is on a file system that is not known to belong to this machine "
                f"alone ({kind}). On a network file system locks may not keep two machines apart, "
                "so that the budget is spent twice. Keep the ledger on a local disk. If this is "
                "one, PrivacyLedger.create(..., anywhere=True) makes a ledger that may stand here, "
                "and its history says so."
            )

    @contextmanager
    def _session(self) -> Iterator[tuple[Any, sqlite3.Connection]]:
        """Hold the head's lock and a connection."""
        self._check_process()
        opened: Any = FileIO if self.read_only else locked_file
        with (
            _explained(self.path),
            opened(self._head) as file,
            IO,
            closing(self._connect()) as connection,
        ):
            yield file, connection

    def _connect(self) -> sqlite3.Connection:
        options = "?mode=ro" if self.read_only else "?mode=rw"
        name = Path(self.path).as_uri() + options
        connection = sqlite3.connect(name, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            if sys.platform == "darwin":  # where fsync alone does not reach the disk
                connection.execute("PRAGMA fullfsync = 1")
        except BaseException:  # of a file that is no database, for instance
            connection.close()
            raise
        return connection

    def _begin(self, first: Entry) -> None:
        with self._session() as (file, connection):
            connection.execute("BEGIN IMMEDIATE")
            for statement in sorted(_SCHEMA, reverse=True):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            row = _insert(connection, replace(first, note=self.identity), None)
            connection.execute("COMMIT")
            self._write_head(file, row)
            if file is not None:
                os.fsync(file.fileno())

    def _read_head(self, file: Any) -> tuple[str, int, str]:
        """Return identity, number and hash of the last entry."""
        file.seek(0)
        content = (file.read(200) or b"").decode("ascii", "replace")
        found = _HEAD.fullmatch(content)
        if found is None:
            raise LedgerError(_UNFINISHED if not content else f"{_DAMAGED} {_NEW_LEDGER}")
        return found[1], int(found[2]), found[3]

    def _write_head(self, file: Any, row: Row) -> None:
        self._seen = row.n
        content = f"skdistill ledger {self.identity} {row.n} {row.hash}".ljust(150) + "\n"
        file.seek(0)
        if file.write(content.encode("ascii")) != len(content):
            raise LedgerError(f"The head of {self.path!r} was not written: is the disk full?")

    def _tip(self, file: Any, connection: sqlite3.Connection) -> Row:
        """Return the last row; refuse unless the chain leads from the head to it."""
        identity, n, tip = self._read_head(file)  # before the rows: others may append in between
        self.identity = self.identity or identity
        if identity != self.identity:
            raise LedgerError(f"{self.path!r} is another ledger than the one that was opened.")
        rows = _select(connection, "WHERE n >= ? ORDER BY n", n)
        if not rows or rows[0].n != n or rows[-1].n < self._seen:
            raise LedgerError(
                f"The ledger {self.path!r} has lost charges: it ends before entry "
                f"{max(n, self._seen)}, which it had (an old copy, or a file that was cut "
                f"short?). {_NEW_LEDGER}"
            )
        intact = all(after.follows(before) for before, after in pairwise(rows))
        if rows[0].hash != tip or rows[0].entry is None or not intact:
            raise LedgerError(
                f"The last entries of the ledger {self.path!r} were changed: they do not fit the "
                f"chain of hashes. {_NEW_LEDGER}"
            )
        self._seen = rows[-1].n
        return rows[-1]


class MemoryStore(Store):
    """A ledger in the memory of this process."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self._pid, self._keys, self._last = os.getpid(), dict[bytes, Any](), ("", 0, "")
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self.connection.close)

    def create(self, first: Entry) -> None:
        """Write the first entry."""
        self.identity = secrets.token_hex(16)
        self._begin(first)

    @contextmanager
    def locked(self, key: bytes) -> Iterator[None]:
        """Hold the lock of a key."""
        self._check_process()
        with self._keys.setdefault(key, threading.RLock()):
            yield

    @contextmanager
    def _session(self) -> Iterator[tuple[Any, sqlite3.Connection]]:
        self._check_process()
        with IO, _explained(self.path):
            yield None, self.connection

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise LedgerError(_IN_MEMORY)

    def _read_head(self, file: Any) -> tuple[str, int, str]:
        return self._last

    def _write_head(self, file: Any, row: Row) -> None:
        self._last = (self.identity, row.n, row.hash)


_IN_MEMORY = (
    "This ledger lives in the memory of one process (':memory:') and cannot be charged from "
    "another: the charge would be lost there. Give the ledger a file, "
    "PrivacyLedger.create('budget.db', ...), or stay in one process: n_jobs=1, or `with "
    "joblib.parallel_backend('threading')`."
)


def _insert(connection: sqlite3.Connection, entry: Entry, blob: bytes | None) -> Row:
    now, process = time.time_ns() // 1000, f"{os.getpid()}@{platform.node()}"
    entry = replace(entry, time=max(now, entry.time), process=process)
    text = entry.text()
    digest = hashlib.sha256(text.encode())
    columns = entry.n, entry.stored_key(), text, digest.digest(), blob
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", columns)
    return Row(entry.n, entry, digest.hexdigest())


def _select(connection: sqlite3.Connection, condition: str, *values: Any) -> list[Row]:
    rows = connection.execute(f"SELECT n, key, text, hash FROM entries {condition}", values)
    return [Row.read(*row) for row in rows]


def _blob(connection: sqlite3.Connection, row: Row) -> bytes | None:
    """Return the blob of a row, None unless it is the one that was remembered."""
    blob = connection.execute("SELECT blob FROM entries WHERE n = ?", (row.n,)).fetchone()[0]
    if row.entry is None or not isinstance(blob, bytes):
        return None
    return blob if hashlib.sha256(blob).hexdigest() == row.entry.digest else None


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise a LedgerError that explains an error of SQLite or of the system."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last: in a damaged schema
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if damaged or isinstance(error, UnicodeDecodeError):
            text = f"The ledger {path!r} is damaged ({error}). {_NEW_LEDGER}"
        elif isinstance(error, FileNotFoundError):
            text = f"The ledger {path!r} is gone, or it has lost its head. {_NEW_LEDGER}"
        else:
            text = (
                f"The ledger {path!r} could not be written or read ({error}). A charge that was "
                "being made may have been made. It was not acknowledged, and nothing is released "
                "for it. `python -m skdistill ledger FILE` reads the ledger."
            )
        raise LedgerError(text) from error
