r"""The file of a ledger: an append-only chain of entries that cannot be shortened unnoticed.

The entries are one SQLite table. Each is a text with the event and the state of the ledger after
it, so that the last one alone tells the total, and the SHA-256 of the entry and of the hash
before. Beside the file stands its *head*: the number and the hash of the last entry. An entry is
committed (``synchronous=EXTRA``: it is on the disk when COMMIT returns; the rollback journal is a
file that stays, because to make and remove it flushes the folder twice), then the head is
overwritten, and then :meth:`Store.append` returns; one thread of one process at a time
does so, under a lock of the head. Hence at every moment, and after a kill at any moment,

    acknowledged charges  ≤  head  ≤  file  ≤  head + 1 entry.

The head is not flushed to the disk. A failure of power can only take it back: head ≤ file.

*Detected, at every use.* A file that ends before its head has lost charges: it was truncated, its
journal was removed after a crash, an old copy was put in its place, or its last rows were
deleted. An entry at the head that does not fit its hash was edited. In both cases the ledger
refuses. Older rows cannot lower the counters; :meth:`Store.walk` finds those that were changed.

*Not detected.* Copies of *both* files, of one moment, put back together while no handle is open
(do not restore a ledger from a backup). A copy that is used beside the original. Somebody who
computes the hashes anew: there is no key.

A connection is kept between operations. It is closed before a fork, after an error, and where
another file stands in the place of the one that it has open.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, NamedTuple

from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger_lock import CONNECTED, IO, locked_file
from skdistill.accounting.ledger_place import LedgerError, check_place, foreign_filesystem
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Relation, Unit

_APPLICATION = 0x736B646C  # "skdl"
_VERSION = 3
_BUSY_SECONDS = 60.0
_SCHEMA = {
    "CREATE TABLE entries (n INTEGER PRIMARY KEY, key BLOB, text TEXT NOT NULL, "
    "hash BLOB NOT NULL, blob BLOB)",
    "CREATE INDEX by_key ON entries (key) WHERE key IS NOT NULL",
}
_HEAD = re.compile(rb"skdistill ledger ([0-9a-f]{32}) ([0-9]{1,18}) ([0-9a-f]{64}) *\n")
_JSON = json.JSONEncoder(separators=(",", ":"), default=vars)
_encoded = lru_cache(maxsize=64)(_JSON.encode)  # values that come again and again
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
_MACHINE = platform.node()
_IN_MEMORY = (
    "This ledger lives in the memory of one process (':memory:') and cannot be charged from "
    "another: the charge would be lost there. Give the ledger a file, "
    "PrivacyLedger.create('budget.db', ...), or stay in one process: n_jobs=1, or `with "
    "joblib.parallel_backend('threading')`."
)


class Entry(NamedTuple):
    """An event, and the state of the ledger after it."""

    kind: str  # "open", "cap" or "remember"; or a charge: "gaussian" or "pure"
    totals: Totals  # all charges up to this one
    cap: Cap  # their limit, and whom the ledger protects
    loss: PrivacyLoss | None = None  # that was charged
    note: str = ""  # of the first entry: the identity of the ledger
    anywhere: bool = False  # of the first entry: it may stand on any file system
    digest: str = ""  # SHA-256 of a remembered blob
    time: int = 0  # microseconds since 1970 (UTC); never less than that of the entry before
    process: str = ""  # its number and the name of its machine

    def next(self, kind: str, **event: Any) -> Entry:
        """Return an event of now that leaves the state as it is, but for the fields given."""
        state: dict[str, Any] = {"totals": self.totals, "cap": self.cap}
        now, process = time.time_ns() // 1000, f"{os.getpid()}@{_MACHINE}"
        return Entry(kind, **state | event, time=max(now, self.time), process=process)

    def encode(self) -> str:
        """Return the entry as JSON (an encoder would take a tenth of the time of a charge)."""
        totals, cap, loss = self.totals, _encoded(self.cap), _encoded(self.loss)
        return (
            f'{{"kind":"{self.kind}","totals":{{"n":{totals.n},"squares":{totals.squares},"pure":'
            f'{totals.pure}}},"cap":{cap},"loss":{loss},"note":{_encoded(self.note)},"anywhere":'
            f'{_encoded(self.anywhere)},"digest":"{self.digest}","time":{self.time},"process":'
            f"{_encoded(self.process)}}}"
        )

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Return the entry that was encoded as this text."""
        content = json.loads(text)
        content["totals"] = Totals(**content["totals"])
        for name, kind in (("cap", Cap), ("loss", PrivacyLoss)):
            if fields := content[name]:
                fields["relation"], fields["unit"] = (
                    Relation(fields["relation"]),
                    Unit(fields["unit"]),
                )
                content[name] = kind(**fields)
        return cls(**content)


class Row(NamedTuple):
    """An entry as it is stored (columns of any type, if they were changed)."""

    n: int  # counts from 0, the entry that opened the ledger
    key: Any  # bytes that a remembered blob is found by
    text: Any
    hash: Any
    previous: Any  # the hash of the row before, None where there is none

    @classmethod
    def of(cls, n: int, key: bytes | None, entry: Entry, previous: bytes | None) -> Row:
        """Return the row of an entry."""
        text = entry.encode()
        return cls(n, key, text, _hash(n, key, text, previous), previous)

    @property
    def intact(self) -> bool:
        """Whether this is the row that was appended to the row before."""
        return bool(self.hash == _hash(self.n, self.key, self.text, self.previous))


_SELECT = (
    "SELECT n, key, text, hash, (SELECT hash FROM entries AS before WHERE before.n = entries.n - 1)"
    " FROM entries "
)


class Store:
    """A ledger file, by its real path, with the identity that it must have.

    `read_only` changes nothing and locks nothing.
    """

    def __init__(self, path: str, identity: str = "", *, read_only: bool = False) -> None:
        self.path, self.identity, self.read_only = path, identity, read_only
        # The last row that this object knows to be on the disk, and its entry; and the head and
        # SQLite's version of the file at that moment.
        self._known: tuple[Row, Any] = Row(-1, None, "", b"", None), None
        self._head_then, self._version = b"", None
        self._connection: sqlite3.Connection | None = None
        self._place = (0, 0)

    def create(self, cap: Cap, anywhere: bool) -> None:
        """Make the file and its head; refuse where there is either."""
        self.identity = secrets.token_hex(16)
        first = Entry("", Totals(), cap).next("open", note=self.identity, anywhere=anywhere)
        row = Row.of(0, None, first, None)
        with ExitStack() as undo:
            self._make_files(first, undo)
            with self._session() as (file, connection):
                connection.execute("BEGIN IMMEDIATE")
                for statement in sorted(_SCHEMA, reverse=True):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                _insert(connection, row, None)
                connection.execute("COMMIT")
                self._write_head(file, row, first)
                if isinstance(file, FileIO):
                    os.fsync(file.fileno())
            undo.pop_all()

    def _make_files(self, first: Entry, undo: ExitStack) -> None:
        self._check_filesystem(first)
        for path in (self._head, self.path):
            if check_place(path):
                raise LedgerError(
                    f"{path!r} exists already. Open a ledger by PrivacyLedger(path). (A head "
                    "without its ledger was left by one that was removed or never finished. "
                    "Remove it if nothing that was charged there counts any more.)"
                )
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            undo.callback(os.unlink, path)

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
            tip, _ = self._tip(file, connection)
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
            if short or not first or not first[0].intact:
                raise LedgerError(
                    f"The ledger {self.path!r} was cut short, or its first entry was changed "
                    f"(its last is number {tip.n}). {_NEW_LEDGER}"
                )
            self._check_filesystem(Entry.parse(first[0].text))

    def append(
        self,
        decide: Callable[[Entry], Entry],
        key: bytes | None = None,
        blob: bytes | None = None,
    ) -> None:
        """Append the entry that `decide` makes of the last one; durable when this returns.

        `decide` may raise; then nothing is appended.
        """
        with self._session() as (file, connection):
            connection.execute("BEGIN IMMEDIATE")
            tip, last = self._tip(file, connection)
            entry = decide(last)
            row = Row.of(tip.n + 1, key, entry, tip.hash)
            _insert(connection, row, blob)
            connection.execute("COMMIT")
            self._write_head(file, row, entry)

    def tip(self) -> Entry:
        """Return the last entry, checked against the head."""
        with self._session() as (file, connection):
            return self._tip(file, connection)[1]

    def count(self) -> int:
        """Return the number of entries."""
        with self._session() as (file, connection):
            return self._tip(file, connection)[0].n + 1

    def recall(self, key: bytes) -> list[bytes]:
        """Return the blobs remembered under `key`, oldest first; refuse those that changed."""
        with self._session() as (file, connection):
            self._tip(file, connection)
            found = []
            for row in _select(connection, "WHERE key = ? ORDER BY n", key):
                if (blob := _blob(connection, row)) is None:
                    raise LedgerError(f"Entry {row.n} of the ledger {self.path!r} was changed.")
                found.append(blob)
            return found

    def walk(self, start: int = 0) -> Iterator[Entry | None]:
        """Yield the entries from number `start` on; None for one that is not as it was written."""
        rows = None
        while rows is None or rows:
            with self._session() as (_, connection):
                rows = _select(connection, "WHERE n >= ? ORDER BY n LIMIT 500", start)
                found = [_entry(connection, row) for row in rows]
            yield from found
            start = rows[-1].n + 1 if rows else start

    def last_claim(self) -> Entry | None:
        """Return the last entry as it stands; a damaged ledger may still have one."""
        with suppress(sqlite3.Error, LookupError, ValueError), closing(self._connect()) as found:
            return _entry(found, _select(found, "ORDER BY n DESC LIMIT 1")[0])
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

    def close(self) -> None:
        """Close the connection; the next operation opens another one."""
        with IO:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    __del__ = close

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
        """Hold the head's lock and the connection; an exception rolls back."""
        self._check_process()
        opened: Any = FileIO if self.read_only else locked_file
        with _explained(self.path), opened(self._head) as file, IO:
            keep = False
            try:
                found = os.stat(self.path)
                if self._connection is None or self._place != (found.st_dev, found.st_ino):
                    self.close()
                    self._connection, self._version = self._connect(), None
                    self._place = found.st_dev, found.st_ino
                    CONNECTED.add(self)
                yield file, self._connection
                keep = os.name == "posix"  # Windows removes no file that is open
            finally:
                if not keep:
                    self.close()

    def _connect(self) -> sqlite3.Connection:
        name = Path(self.path).as_uri() + ("?mode=ro" if self.read_only else "?mode=rw")
        options: dict[str, Any] = {"uri": True, "isolation_level": None, "check_same_thread": False}
        connection = sqlite3.connect(name, timeout=_BUSY_SECONDS, **options)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA journal_mode = PERSIST")
            if sys.platform == "darwin":  # where fsync alone does not reach the disk
                connection.execute("PRAGMA fullfsync = 1")
        except BaseException:  # of a file that is no database, for instance
            connection.close()
            raise
        return connection

    def _write_head(self, file: Any, row: Row, entry: Entry) -> None:
        head = f"skdistill ledger {self.identity} {row.n} {row.hash.hex()}".ljust(150) + "\n"
        self._known, self._head_then = (row, entry), head.encode()
        file.seek(0)
        if file.write(self._head_then) != len(self._head_then):
            raise OSError("the head was not written in full")

    def _tip(self, file: Any, connection: sqlite3.Connection) -> tuple[Row, Entry]:
        """Return the last row and its entry; refuse unless the chain leads from the head to it.

        The row that this object knew before must still be there: a copy that was used beside the
        ledger and then written over it is as long, but it has other rows.
        """
        file.seek(0)  # before the rows: others may append in between
        content, known = file.read(200) or b"", self._known[0]
        version = connection.execute("PRAGMA data_version").fetchone()  # changed by others only
        if (content, version) == (self._head_then, self._version):
            return self._known
        head = _HEAD.fullmatch(content)
        if head is None:
            raise LedgerError(_UNFINISHED if not content else f"{_DAMAGED} {_NEW_LEDGER}")
        n, tip = int(head[2]), bytes.fromhex(head[3].decode())
        self.identity = self.identity or head[1].decode()
        if head[1].decode() != self.identity:
            raise LedgerError(f"{self.path!r} is another ledger than the one that was opened.")
        rows = _select(connection, "WHERE n = ? AND n < ?", known.n, n)
        rows += _select(connection, "WHERE n >= ? ORDER BY n", n)
        found = {row.n: row for row in rows}
        if lost := {n, known.n} - {-1, *found}:
            raise LedgerError(
                f"The ledger {self.path!r} has lost charges: it ends before entry {max(lost)}, "
                f"which it had (an old copy, or a file that was cut short?). {_NEW_LEDGER}"
            )
        if found.get(known.n, known) != known:
            raise LedgerError(
                f"The ledger {self.path!r} has lost charges: another ledger's entry stands in the "
                f"place of entry {known.n} (a copy that was used, too?). {_NEW_LEDGER}"
            )
        if found[n].hash != tip or not all(row == known or row.intact for row in rows):
            raise LedgerError(
                f"The last entries of the ledger {self.path!r} were changed: they do not fit the "
                f"chain of hashes. {_NEW_LEDGER}"
            )
        self._head_then, self._version = content, version
        if rows[-1] != known:
            self._known = rows[-1], Entry.parse(rows[-1].text)
        return self._known


class MemoryStore(Store):
    """A ledger in the memory of this process."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self._pid, self._file, self._keys = os.getpid(), BytesIO(), dict[bytes, Any]()
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )

    def _make_files(self, first: Entry, undo: ExitStack) -> None:
        """There are none."""

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
            assert self._connection is not None
            try:
                yield self._file, self._connection
            except BaseException:
                self._connection.rollback()
                raise

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise LedgerError(_IN_MEMORY)


def _hash(*columns: Any) -> bytes:
    return hashlib.sha256(repr(columns).encode("utf-8", "backslashreplace")).digest()


def _insert(connection: sqlite3.Connection, row: Row, blob: bytes | None) -> None:
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (*row[:4], blob))


def _select(connection: sqlite3.Connection, condition: str, *values: Any) -> list[Row]:
    return [Row(*columns) for columns in connection.execute(_SELECT + condition, values)]


def _blob(connection: sqlite3.Connection, row: Row) -> bytes | None:
    """Return the blob of a row, None unless it is the one that was remembered."""
    (blob,) = connection.execute("SELECT blob FROM entries WHERE n = ?", (row.n,)).fetchone()
    same = isinstance(blob, bytes) and row.intact
    return (
        blob if same and Entry.parse(row.text).digest == hashlib.sha256(blob).hexdigest() else None
    )


def _entry(connection: sqlite3.Connection, row: Row) -> Entry | None:
    """Return the entry of a row, None where the row or its blob is not as it was written."""
    if not row.intact:
        return None
    entry = Entry.parse(row.text)
    return None if entry.digest and _blob(connection, row) is None else entry


class _explained:
    """Raise a LedgerError that explains an error of SQLite or of the system."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, sqlite3.Error | OSError | UnicodeDecodeError):
            return
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if damaged or isinstance(error, UnicodeDecodeError):  # of a damaged schema
            text = f"The ledger {self.path!r} is damaged ({error}). {_NEW_LEDGER}"
        elif isinstance(error, FileNotFoundError):
            text = f"The ledger {self.path!r} is gone, or it has lost its head. {_NEW_LEDGER}"
        else:
            text = (
                f"The ledger {self.path!r} could not be written or read ({error}). A charge that "
                "was being made may have been made. It was not acknowledged, and nothing is "
                "released for it. `python -m skdistill ledger FILE` reads the ledger."
            )
        raise LedgerError(text) from error
