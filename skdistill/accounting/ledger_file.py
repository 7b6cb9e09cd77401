"""The file of a ledger: an append-only chain of entries that cannot be shortened unnoticed.

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
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import lru_cache
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, NamedTuple

from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger_lock import CONNECTED, IO, locked_file
from skdistill.accounting.ledger_place import LedgerError, check_place, foreign_filesystem
from skdistill.accounting.loss import PrivacyLoss

_APPLICATION, _VERSION = 0x736B646C, 5  # "skdl"
_BUSY_SECONDS = 60.0
_SCHEMA = [
    "CREATE TABLE entries (n INTEGER PRIMARY KEY, key BLOB, text TEXT NOT NULL, "
    "hash BLOB NOT NULL, blob BLOB)",
    "CREATE INDEX by_key ON entries (key) WHERE key IS NOT NULL",
]
_SELECT = (
    "SELECT *, (SELECT hash FROM entries AS before WHERE before.n = entries.n - 1) FROM entries "
)
_HEAD = re.compile(rb"skdistill ledger ([0-9a-f]{32}) ([0-9]{1,18}) ([0-9a-f]{64}) *\n")
_JSON = json.JSONEncoder(separators=(",", ":"), default=vars)
_UNFINISHED = (
    "The creation of this ledger was interrupted. Nothing was charged to it: remove the file and "
    "its head (the same name with '-head'), and create it again."
)
_NEW_LEDGER = (
    "If you moved or copied the ledger, bring the file and its head (the same name with '-head') "
    "together, as they were at one moment. If it is lost, create a new ledger and spend on it "
    "first all that may have been spent; `python -m skdistill ledger FILE` shows what is left."
)
_MACHINE = platform.node()


class Entry(NamedTuple):
    """An event, and the state of the ledger after it."""

    n: int  # counts from 0, the entry that opened the ledger
    time: int  # microseconds since 1970 (UTC); never less than that of the entry before
    totals: Totals  # all charges up to this one
    cap: Cap  # their limit, and whom the ledger protects
    kind: str = ""  # "open", "cap" or "remember"; or a charge: "gaussian" or "pure"
    loss: PrivacyLoss | None = None  # that was charged
    note: str = ""  # of the first entry: the identity of the ledger
    anywhere: bool = False  # of the first entry: it may stand on any file system
    process: str = ""  # its number and the name of its machine

    def next(self, kind: str, **event: Any) -> Entry:
        """Return an event of now that leaves the state as it is, but for the fields given."""
        state: dict[str, Any] = {"totals": self.totals, "cap": self.cap}
        now, process = max(time.time_ns() // 1000, self.time), f"{os.getpid()}@{_MACHINE}"
        return Entry(self.n + 1, now, **state | event, kind=kind, process=process)

    def encode(self) -> str:
        """Return the entry as JSON."""
        n, now, totals, *others = self
        counters = f'{{"n":{totals.n},"squares":{totals.squares},"pure":{totals.pure}}}'
        return f'{{"n":{n},"time":{now},"totals":{counters},{_encoded(*others)}'

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Return the entry that was encoded as this text."""
        content = json.loads(text)
        content["totals"], content["cap"] = Totals(**content["totals"]), _cap(**content["cap"])
        content["loss"] = content["loss"] and PrivacyLoss(**content["loss"])
        return cls(**content)


_cap = lru_cache(maxsize=64)(Cap.of)


@lru_cache(maxsize=64)  # to encode them for each charge would take an eighth of its time
def _encoded(*values: Any) -> str:
    """Return the end of an entry as JSON: the fields that come again and again."""
    return _JSON.encode(dict(zip(Entry._fields[3:], values, strict=True)))[1:]


class Row(NamedTuple):
    """An entry as it is stored (columns of any type, if they were changed)."""

    n: int
    key: Any  # bytes that a remembered blob is found by
    text: Any
    hash: Any
    blob: Any
    previous: Any  # the hash of the row before, None where there is none

    @classmethod
    def of(cls, entry: Entry, previous: bytes | None, key: Any = None, blob: Any = None) -> Row:
        """Return the row of an entry."""
        row = cls(entry.n, key, entry.encode(), b"", blob, previous)
        return row._replace(hash=row.right_hash())

    def right_hash(self) -> bytes:
        """Return the hash of this row, in its place after the one before."""
        blob = hashlib.sha256(self.blob).digest() if isinstance(self.blob, bytes) else self.blob
        columns = self.n, self.key, self.text, blob, self.previous
        return hashlib.sha256(repr(columns).encode()).digest()

    @property
    def intact(self) -> bool:
        """Whether this is the row that was appended to the row before."""
        return bool(self.hash == self.right_hash())

    @property
    def entry(self) -> Entry | None:
        """The entry of an intact row."""
        return Entry.parse(self.text) if self.intact else None


class Store:
    """A ledger file, by its real path, with the identity that it must have.

    `read_only` changes nothing and locks nothing; `in_memory` is one of this process, without
    files. A connection is kept between operations. It is closed before a fork, after an error, and
    where another file stands in its file's place.
    """

    def __init__(
        self, path: str, identity: str = "", *, read_only: bool = False, in_memory: bool = False
    ) -> None:
        self.path, self.identity, self.read_only = path, identity, read_only
        self._head = path + "-head"
        # In memory: the head, a lock for each key, and the process.
        self._memory = BytesIO() if in_memory else None
        self._locks, self._process = dict[bytes, Any](), os.getpid() if in_memory else 0
        # The last entry that this object knows to be on the disk, with its number and hash; and
        # the head and SQLite's version of the file at that moment.
        self._last: Any = None
        self._known: tuple[int, bytes | None] = -1, None
        self._seen: tuple[bytes, Any] = b"", None
        self._connection: sqlite3.Connection | None = None
        self._place = (0, 0)

    def create(self, cap: Cap, anywhere: bool) -> None:
        """Make the file and its head; refuse where there is either."""
        self.identity = secrets.token_hex(16)
        entry = Entry(-1, 0, Totals(), cap).next("open", note=self.identity, anywhere=anywhere)
        if self._memory is None:
            self._make_files(anywhere)
        with self._session() as (file, connection):
            connection.execute("BEGIN IMMEDIATE")
            names = f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {_VERSION}"
            for statement in (*_SCHEMA, *names):
                connection.execute(statement)
            _insert(connection, row := Row.of(entry, None))
            connection.execute("COMMIT")
            self._write_head(file, row, entry)
            if isinstance(file, FileIO):
                os.fsync(file.fileno())

    def _make_files(self, anywhere: bool) -> None:
        self._check_filesystem(anywhere)
        files = self._head, self.path
        if any(map(check_place, files)):
            raise LedgerError(
                f"{self.path!r} or its head exists already. Open a ledger by PrivacyLedger(path). "
                "Remove a head without its ledger only if nothing that was charged there counts."
            )
        for path in files:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def open(self) -> None:
        """Check that this is a ledger, and learn its identity."""
        if not check_place(self.path):
            gone = " It is gone: its head is still there." if os.path.exists(self._head) else ""
            make = "Make one by PrivacyLedger.create(path, epsilon, delta)."
            raise LedgerError(f"There is no ledger {self.path!r}.{gone} {make}")
        # Not through SQLite, which would roll back the journal of somebody else's database. While
        # IO is held no thread has the file open: to close it drops all locks of the process on it.
        with _explained(self.path), IO, open(self.path, "rb") as file:
            application = file.read(72)[68:]
        if application != _APPLICATION.to_bytes(4, "big"):
            unfinished = os.path.exists(self._head) and not os.path.getsize(self._head)
            raise LedgerError(_UNFINISHED if unfinished else f"{self.path!r} is not a ledger.")
        with self._session() as (head, connection):
            version, pages, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("user_version", "page_count", "page_size")
            )
            schema = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")]
            if (version, schema) != (_VERSION, _SCHEMA):
                raise LedgerError(
                    f"{self.path!r} is of another version of skdistill, or its tables were changed."
                )
            tip = self._tip(head, connection)
            self._refuse([tip.n] if os.path.getsize(self.path) < pages * size else [])
            first = next((row.entry for row in _select(connection, "WHERE n = 0")), None)
            self._refuse([] if first else [0])
            self._check_filesystem(first is not None and first.anywhere)

    def _refuse(self, entries: Collection[int]) -> None:
        if entries:
            raise LedgerError(
                f"The ledger {self.path!r} has lost charges, or entries were changed: number "
                f"{max(entries)} is not there as it was (an old copy, one that was used, too, a "
                f"file that was cut short?). {_NEW_LEDGER}"
            )

    def append(
        self, decide: Callable[[Entry], Entry], key: bytes | None = None, blob: bytes | None = None
    ) -> None:
        """Append the entry that `decide` makes of the last one; durable when this returns.

        `decide` may raise; then nothing is appended.
        """
        with self._session() as (file, connection):
            connection.execute("BEGIN IMMEDIATE")
            entry = decide(self._tip(file, connection))
            _insert(connection, row := Row.of(entry, self._known[1], key, blob))
            connection.execute("COMMIT")
            self._write_head(file, row, entry)

    def tip(self) -> Entry:
        """Return the last entry, checked against the head."""
        with self._session() as (file, connection):
            return self._tip(file, connection)

    def recall(self, key: bytes) -> list[bytes]:
        """Return the blobs remembered under `key`, oldest first; refuse those that changed."""
        with self._session() as (file, connection):
            self._tip(file, connection)
            found = list(_select(connection, "WHERE key = ? ORDER BY n", key))
        self._refuse([row.n for row in found if not row.intact])
        return [row.blob for row in found]

    def walk(self, start: int = 0) -> Iterator[Entry | None]:
        """Yield the entries from number `start` on; None for one that is not as it was written."""
        found: list[tuple[int, Entry | None]] = [(start - 1, None)]
        while found:
            start = found[-1][0] + 1
            with self._session() as (_, connection):
                rows = _select(connection, "WHERE n >= ? ORDER BY n LIMIT 500", start)
                found = [(row.n, row.entry) for row in rows]
            yield from (entry for _, entry in found)

    def last_claim(self) -> Entry | None:
        """Return the last entry as it stands; a damaged ledger may still have one."""
        with suppress(sqlite3.Error, LookupError, ValueError), closing(self._connect()) as found:
            return [row.entry for row in _select(found, "ORDER BY n DESC LIMIT 1")][0]
        return None

    def locked(self, key: bytes) -> Any:
        """Hold the lock of a key: one thread of one process at a time; it may enter again."""
        self._check_process()
        if self._memory is not None:
            return self._locks.setdefault(key, threading.RLock())
        name = hashlib.sha256(self.identity.encode() + key).hexdigest()[:24]
        return locked_file(f"{self.path}-{name}.lock", temporary=True)

    def close(self) -> None:
        """Close the connection; the next operation opens another one."""
        with IO:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    __del__ = close

    def _check_process(self) -> None:
        if self.path == ":memory:" and self._process != os.getpid():  # or unpickled elsewhere
            raise LedgerError(
                "This ledger lives in the memory of one process (':memory:') and cannot be charged "
                "from another, where the charge would be lost. Give it a file, or stay in one "
                "process: n_jobs=1, or `with joblib.parallel_backend('threading')`."
            )

    def _check_filesystem(self, anywhere: bool) -> None:
        if not anywhere and (kind := foreign_filesystem(self.path)):
            raise LedgerError(
                f"{self.path!r} is on a file system that is not known to belong to this machine "
                f"alone ({kind}): its locks may not keep two machines apart, so that the budget is "
                "spent twice. Keep the ledger on a local disk. If this is one, create it with "
                "anywhere=True; its history says so."
            )

    @contextmanager
    def _session(self) -> Iterator[tuple[Any, sqlite3.Connection]]:
        """Hold the head's lock and the connection; an exception rolls back."""
        self._check_process()
        with _explained(self.path), self._opened_head() as file, IO:
            ended = False
            try:
                yield file, self._connected()
                ended = True
            finally:
                if self._memory is None:
                    if not (ended and os.name == "posix"):  # Windows removes no file that is open
                        self.close()
                elif self._connection is not None and not ended:
                    self._connection.rollback()

    def _opened_head(self) -> Any:
        if self._memory is not None:
            return nullcontext(self._memory)
        return FileIO(self._head) if self.read_only else locked_file(self._head)

    def _connected(self) -> sqlite3.Connection:
        if self._memory is None:
            found = os.stat(self.path)
            if self._place != (found.st_dev, found.st_ino):
                self.close()
                self._place = found.st_dev, found.st_ino
        if self._connection is None:
            self._connection, self._seen = self._connect(), (b"", None)
            if self._memory is None:
                CONNECTED.add(self)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        name = self.path
        if self._memory is None:
            name = Path(name).as_uri() + ("?mode=ro" if self.read_only else "?mode=rw")
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
        self._last, self._known = entry, (row.n, row.hash)
        self._seen = head.encode(), self._seen[1]
        file.seek(0)
        if file.write(head.encode()) != len(head):
            raise OSError("the head was not written in full")

    def _tip(self, file: Any, connection: sqlite3.Connection) -> Entry:
        """Return the last entry; refuse unless the chain leads from the head to it.

        The row that this object knew before must still be there: a copy that was used beside the
        ledger and then written over it is as long, but it has other rows.
        """
        file.seek(0)  # before the rows: others may append in between
        content, known = file.read(200) or b"", self._known
        seen = content, connection.execute("PRAGMA data_version").fetchone()  # by others only
        if seen == self._seen:
            return self._last
        if (head := _HEAD.fullmatch(content)) is None:
            damaged = f"The head of this ledger is damaged: it may have lost charges. {_NEW_LEDGER}"
            used = content or any(_select(connection, "WHERE n >= 1 LIMIT 1"))
            raise LedgerError(damaged if used else _UNFINISHED)
        n, self.identity = int(head[2]), self.identity or head[1].decode()
        if head[1].decode() != self.identity:
            raise LedgerError(f"{self.path!r} is another ledger than the one that was opened.")
        rows = {row.n: row for row in _select(connection, "WHERE n = ? OR n >= ?", known[0], n)}
        must = [(n, bytes.fromhex(head[3].decode())), *([known] if self._last else [])]
        wrong = {number for number, row in rows.items() if not row.intact}
        self._refuse(wrong | {i for i, right in must if i not in rows or rows[i].hash != right})
        last = rows[max(rows)]
        if (last.n, last.hash) != known:
            self._last, self._known = Entry.parse(last.text), (last.n, last.hash)
        self._seen = seen
        return self._last


def _insert(connection: sqlite3.Connection, row: Row) -> None:
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row[:5])


def _select(connection: sqlite3.Connection, condition: str, *values: Any) -> Iterator[Row]:
    return map(Row._make, connection.execute(_SELECT + condition, values))


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise a LedgerError that explains an error of SQLite or of the system."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise LedgerError(
            f"The ledger {path!r} could not be written or read ({error}). A charge that was being "
            f"made may be there. It was not acknowledged: nothing is released for it. {_NEW_LEDGER}"
        ) from error
