"""The file of a ledger: its content on disk, files that are none, and its memory of releases."""

import os
import sqlite3
import time

import pytest
from ledger_files import AMOUNT, created, files, filled, holds, opened, snapshot, tampered

from skdistill.accounting import ledger_file
from skdistill.accounting.ledger import LedgerError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def test_settings_are_the_durable_ones(path):
    ledger = created(path)
    with ledger._store._session() as (_, connection):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("persist",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)
    assert not any(files(path)["-journal"].read_bytes()[:28])  # it holds nothing to roll back
    if os.name == "posix":
        for file in files(path).values():
            assert file.stat().st_mode & 0o077 == 0


def test_no_statement_of_a_charge_reads_all_rows(path):
    """A charge costs the same on a ledger of a million charges."""
    ledger, other = created(path), opened(path)
    with ledger._store._session() as (_, connection):
        statements = []
        connection.set_trace_callback(statements.append)
    for each in (ledger, other, ledger, ledger):  # what is known is the last row, or an older one
        each.spend(AMOUNT, 0)
    connection.set_trace_callback(None)
    assert sum(statement.startswith("INSERT") for statement in statements) == 3
    asked = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(asked) >= 2
    for statement in asked:
        plan = connection.execute("EXPLAIN QUERY PLAN " + statement).fetchall()
        assert plan and not any("SCAN" in line[-1] or "<" in line[-1] for line in plan), plan


def test_a_snapshot_at_any_moment_has_all_that_was_acknowledged(path, tmp_path):
    """The power fails right after a charge returned: only the copy of the files is left."""
    ledger = created(path)
    for n in range(1, 8):
        ledger.spend(AMOUNT, 0)
        copy = snapshot(path, tmp_path / str(n))
        assert holds(copy, n)
        assert len(opened(copy)) == n


def head_of(path):
    """The number of the entry that the head names."""
    return int(files(path)["-head"].read_bytes().split()[3])


def test_a_head_that_was_not_flushed_falls_back(path, tmp_path):
    """A failure of power may keep the head of earlier charges: the file has them all."""
    ledger = created(path)
    ledger.spend(AMOUNT, 0)
    old = files(path)["-head"].read_bytes()
    for _ in range(5):
        ledger.spend(AMOUNT, 0)
    copy = snapshot(path, tmp_path / "copy")
    files(copy)["-head"].write_bytes(old)
    for statement in (
        "DELETE FROM entries WHERE n = 4",
        "UPDATE entries SET text = '' WHERE n = 6",
    ):
        damaged = snapshot(copy, tmp_path / "damaged")
        tampered(damaged, statement)
        with pytest.raises(LedgerError, match="were changed"):
            opened(damaged)
    ledger = opened(copy)
    assert len(ledger) == 6
    assert len(ledger.spend(AMOUNT, 0)) == 7
    assert head_of(copy) == 7
    assert ledger.verify() == 8


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "text").write_text("epsilon = 1\n" * 1000)
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(os.urandom(9000))
    (tmp_path / "headed").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "signed").write_bytes(bytes(68) + b"skdl" + bytes(28))
    (tmp_path / "headed-head").write_bytes(bytes(151))
    for mode in ("delete", "wal"):
        connection = sqlite3.connect(tmp_path / f"database-{mode}")
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE entries (n INTEGER PRIMARY KEY)")
        connection.commit()
        connection.close()
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file in before:
        with pytest.raises(LedgerError, match="not a ledger|not a database|No such file"):
            opened(file)
        with pytest.raises(LedgerError, match="exists already"):
            created(file)
    for use in (opened, created):
        with pytest.raises(LedgerError, match="not a regular file"):
            use(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_two_that_create_at_one_moment(path, monkeypatch):
    ledger = created(path)
    before = {name: file.read_bytes() for name, file in files(path).items()}
    monkeypatch.setattr(ledger_file, "check_place", lambda path: False)
    with pytest.raises(FileExistsError):
        created(path)
    assert {name: file.read_bytes() for name, file in files(path).items()} == before
    assert len(ledger.spend(AMOUNT)) == 1


@pytest.mark.parametrize("content", [b"", b"text " * 1000, b"skdistill ledger " + b"0" * 200])
def test_head_that_is_none(path, content):
    filled(path)
    files(path)["-head"].write_bytes(content)
    with pytest.raises(LedgerError, match="head.*is damaged"):
        opened(path)


def test_a_creation_that_was_killed_before_its_head(path):
    created(path)._store.close()
    files(path)["-head"].write_bytes(b"")
    with pytest.raises(LedgerError, match="interrupted.*Nothing was charged"):
        opened(path)


def test_two_names_are_one_ledger(path, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    ledger = created(link)
    ledger.spend(AMOUNT, 0)
    assert len(opened(path)) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "ledger.db",
        "ledger.db-head",
        "ledger.db-journal",
        "link.db",
    ]


def test_hard_link_is_refused(path, tmp_path):
    filled(path)
    os.link(path, tmp_path / "second.db")
    with pytest.raises(LedgerError, match="2 names"):
        opened(tmp_path / "second.db")


def test_file_replaced_while_in_use(path, tmp_path):
    ledger = created(path)
    ledger.spend(AMOUNT, 0)
    copy = snapshot(path, tmp_path / "copy")
    ledger.spend(AMOUNT, 0)
    os.replace(copy, path)
    for use in (lambda: ledger.spend(AMOUNT, 0), ledger.total, ledger.verify):
        with pytest.raises(LedgerError, match="lost charges"):
            use()
    assert not holds(path, 2)


@pytest.mark.parametrize("name", ["", "-head"])
def test_file_removed_while_in_use(path, name):
    ledger = created(path)
    ledger.spend(AMOUNT, 0)
    files(path)[name].unlink()
    with pytest.raises(LedgerError):
        ledger.spend(AMOUNT, 0)
    assert not files(path)[name].exists()  # it is not made again
    with pytest.raises(LedgerError, match="is gone" if not name else "No such file.*-head"):
        opened(path)
    with pytest.raises(LedgerError, match="exists already"):
        created(path)


def test_tables_changed(path):
    filled(path)
    tampered(
        path,
        "CREATE TRIGGER thief AFTER INSERT ON entries BEGIN DELETE FROM entries WHERE n = 1; END",
    )
    with pytest.raises(LedgerError, match="tables were changed"):
        opened(path)


def test_later_version(path):
    filled(path)
    tampered(path, "PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="another version"):
        opened(path)


def test_clock_put_back_and_forward(path, monkeypatch):
    """Times never go back; the clock decides nothing else."""
    ledger = created(path)
    ledger.spend(AMOUNT, 0)
    now = time.time_ns()
    for days in (5000, -30, 0):
        monkeypatch.setattr(ledger_file.time, "time_ns", lambda days=days: now + days * _DAY)
        ledger.spend(AMOUNT, 0)
    times = [entry.time for entry in ledger._store.walk()]
    assert times == sorted(times) and times[-1] * 1000 > now + 4999 * _DAY
    assert opened(path).verify() == 5


_DAY = 86_400 * 10**9


def test_remember_and_recall(path):
    ledger = created(path)
    blobs = [b"", os.urandom(100_000), b"third"]
    for blob in blobs:
        ledger.remember(b"key", blob)
        ledger.remember(b"other", b"x" + blob)
    assert ledger.recall(b"key") == blobs
    assert ledger.recall(b"none") == []
    assert ledger.total() == (0, 0) and len(ledger) == 0
    del ledger
    assert opened(path).recall(b"key") == blobs


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET blob = 'blob' WHERE n = 2",
        "UPDATE entries SET blob = x'00' WHERE n = 2",
        "UPDATE entries SET blob = NULL WHERE n = 2",
        "UPDATE entries SET text = text || ' ' WHERE n = 2",
        "UPDATE entries SET key = CAST('key' AS BLOB) WHERE n = 3",
        "DELETE FROM entries WHERE n = 1",
    ],
)
def test_changed_blob_is_not_recalled(path, statement):
    ledger = created(path)
    ledger.spend(AMOUNT, 0)
    for key, blob in ((b"key", b"x"), (b"other", b"y"), (b"z", b"z")):
        ledger.remember(key, blob)
    tampered(path, statement)
    with pytest.raises(LedgerError, match=r"were changed: number \d is not"):
        ledger.recall(b"key")
    with pytest.raises(LedgerError):
        ledger.verify()
    assert ledger.recall(b"z") == [b"z"]


def test_the_file_of_large_blobs_is_little_larger(path):
    ledger, blob = created(path), os.urandom(200_000)
    for number in range(10):
        ledger.remember(bytes([number]), blob)
    assert path.stat().st_size < 1.05 * 10 * len(blob)
