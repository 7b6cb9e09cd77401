"""The file of a ledger: nothing acknowledged is ever lost unnoticed, whatever is done to it.

`holds` is the promise: a ledger reports all that was acknowledged, or refuses to open.
"""

import hashlib
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import pytest
from processes import needs_fork, run

import skdistill
from skdistill.accounting import PrivacyLoss, ledger_file
from skdistill.accounting.ledger import LedgerError, PrivacyLedger

CAP = {"epsilon": 10.0, "delta": 1e-6}
AMOUNT = 0.01


def opened(path):
    return PrivacyLedger(path, **CAP)


def filled(path, n=5):
    """A ledger of n charges and one remembered blob, closed."""
    ledger = opened(path)
    for _ in range(n):
        ledger.spend(AMOUNT, 0)
    ledger.remember(b"key", b"blob" * 1000)
    return n


def files(path):
    return {name: path.with_name(path.name + name) for name in ("", "-wal", "-head")}


def snapshot(path, folder):
    """Copy what a machine would find after it lost its power (the index is rebuilt)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files(path).items():
        target = folder / (path.name + name)
        target.unlink(missing_ok=True)
        if file.exists():
            shutil.copyfile(file, target)
    return folder / path.name


def holds(path, acknowledged):
    """Whether it opened; if so, it must report all that was acknowledged."""
    try:
        ledger = opened(path)
    except LedgerError:
        return False
    assert len(ledger) >= acknowledged
    assert ledger.total()[0] >= acknowledged * AMOUNT * (1 - 1e-12)
    return True


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


# -- what is on the disk when ------------------------------------------------------------------


def test_settings_are_the_durable_ones(path):
    ledger = opened(path)
    execute = ledger._store._connection.execute
    assert execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert execute("PRAGMA synchronous").fetchone() == (2,)
    if os.name == "posix":
        for file in files(path).values():
            assert file.stat().st_mode & 0o077 == 0


def test_a_snapshot_at_any_moment_has_all_that_was_acknowledged(path, tmp_path):
    """The power fails right after a charge returned: the copy of the files is what is left."""
    ledger = opened(path)
    for n in range(1, 8):
        ledger.spend(AMOUNT, 0)
        copy = snapshot(path, tmp_path / str(n))
        assert holds(copy, n)
        assert len(opened(copy)) == n


def test_a_head_that_was_not_flushed_falls_back(path, tmp_path):
    """A failure of power may keep the head of earlier charges: the file has them all."""
    ledger = opened(path)
    ledger.spend(AMOUNT, 0)
    old = files(path)["-head"].read_bytes()
    for _ in range(5):
        ledger.spend(AMOUNT, 0)
    copy = snapshot(path, tmp_path / "copy")
    files(copy)["-head"].write_bytes(old)
    ledger = opened(copy)
    assert len(ledger) == 6
    assert len(ledger.spend(AMOUNT, 0)) == 7
    assert ledger_file.Head(ledger._store.head.descriptor).read().n == 7
    assert ledger.verify() == 8


def test_torn_write_of_the_head(path, tmp_path):
    ledger = opened(path)
    for n in range(1, 5):
        ledger.spend(AMOUNT, 0)
        whole = files(path)["-head"].read_bytes()
        copy = snapshot(path, tmp_path / "copy")
        for start in (0, 512):
            torn = whole[: start + 20] + bytes(20) + whole[start + 40 :]
            files(copy)["-head"].write_bytes(torn)
            with files(copy)["-head"].open("rb") as head:
                assert ledger_file.Head(head.fileno()).read().n in (n - 1, n)
            assert holds(copy, n)
        files(copy)["-head"].write_bytes(whole[:20] + bytes(512) + whole[532:])
        with pytest.raises(LedgerError, match="head of this ledger is damaged"):
            opened(copy)


CRASH = """
import os, signal, sys
from skdistill.accounting import ledger_file
from skdistill.accounting.ledger import PrivacyLedger

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_before(owner, name):
    setattr(owner, name, die)

def dies_after(owner, name):
    original = getattr(owner, name)
    def and_die(*arguments):
        original(*arguments)
        die()
    setattr(owner, name, and_die)

for number, moment in enumerate(sys.argv[3:]):
    path = f"{sys.argv[1]}.{number}"
    if (child := os.fork()) == 0:
        if sys.argv[2] == "creation":
            exec(moment)
        ledger = PrivacyLedger(path, epsilon=10.0, delta=1e-6)
        ledger.spend(0.01, 0)
        exec(moment)
        ledger.spend(0.01, 0)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, moment
    ledger = PrivacyLedger(path, epsilon=10.0, delta=1e-6)
    print(len(ledger))
    ledger.spend(0.01, 0)
    assert ledger.verify() == len(ledger) + 1
"""


@needs_fork
@pytest.mark.slow
def test_killed_at_each_step_of_a_charge(path):
    moments = {
        "dies_before(ledger_file.Store, '_insert')": 1,
        "dies_after(ledger_file.Store, '_insert')": 1,
        "dies_before(ledger_file.Head, 'write')": 2,
        "dies_after(ledger_file.Head, 'write')": 2,
    }
    assert list(map(int, run(CRASH, path, "charge", *moments).split())) == list(moments.values())


@needs_fork
@pytest.mark.slow
def test_killed_at_each_step_of_the_creation(path):
    """Nothing was acknowledged: the next one begins, or goes on with, an empty ledger."""
    moments = [
        "dies_before(ledger_file.os, 'close')",
        "dies_before(ledger_file.sqlite3, 'connect')",
        "dies_before(ledger_file.Store, '_begin')",
        "dies_before(ledger_file.Store, '_insert')",
        "dies_before(ledger_file.Head, 'write')",
        "dies_after(ledger_file.Head, 'write')",
        "dies_before(ledger_file, '_flush_folder')",
    ]
    assert run(CRASH, path, "creation", *moments).split() == ["0"] * len(moments)


# A small interpreter forks fast: neither scikit-learn nor diffprivlib's models are imported.
LIGHT = """
import sys, types
package = sys.modules["skdistill"] = types.ModuleType("skdistill")
package.__path__ = [sys.argv.pop(1)]
sys.modules["diffprivlib.models"] = None
"""

STORM = (
    LIGHT
    + """
import os, random, signal, sys, time, traceback
from skdistill.accounting import PrivacyLoss
from skdistill.accounting.ledger import BudgetError, PrivacyLedger

path, rounds, amount, cap = sys.argv[1], int(sys.argv[2]), 0.001, 0.05
log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
PrivacyLedger(path, epsilon=cap, delta=0.0)

def write(name):
    ledger, n = PrivacyLedger(path, epsilon=cap, delta=0.0), 0
    while True:
        n += 1
        tag = f"{name}.{n}"
        try:
            ledger.charge(PrivacyLoss.laplace(amount), note=tag)
        except BudgetError:
            continue
        # The label is returned. (What was written is not lost when its writer is killed.)
        os.write(log, (tag + chr(10)).encode())

def begin(name):
    if (child := os.fork()) != 0:
        return child
    try:
        write(name)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

children = []
for round in range(rounds):
    children += [begin(f"{round}.{writer}") for writer in range(4 - len(children))]
    random.shuffle(children)
    # Mostly one dies amid the others; every fifth time nobody is left.
    killed, children = (children, []) if round % 5 == 4 else (children[:1], children[1:])
    for child in killed:
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if not children:
        ledger = PrivacyLedger(path, epsilon=cap, delta=0.0)
        assert ledger.total()[0] <= cap
        cap = (len(ledger) + random.choice([5, 50])) * amount  # sometimes full, never for long
        ledger.set_cap(cap, 0.0)
        del ledger
"""
)


@needs_fork
@pytest.mark.slow
def test_killed_at_random_moments():
    """500 rounds of four writers and SIGKILL: acknowledged ≤ charged ≤ budget.

    Each writer has at most one charge in flight when it dies, so that the ledger has at most one
    more of each than was acknowledged.
    """
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a kill loses no page of either
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        check_storm(Path(folder) / "ledger.db", Path(folder) / "acknowledged", rounds=500)


def check_storm(path, log, rounds):
    run(STORM, Path(skdistill.__file__).parent, path, rounds, log)
    acknowledged = log.read_text().splitlines()
    connection = sqlite3.connect(path)
    charged = [row[0] for row in connection.execute("SELECT note FROM entries WHERE kind='pure'")]
    (cap,) = connection.execute(
        "SELECT cap_epsilon FROM entries ORDER BY n DESC LIMIT 1"
    ).fetchone()
    connection.close()
    assert len(acknowledged) > rounds / 5  # something happened
    assert len(set(charged)) == len(charged)
    assert set(acknowledged) <= set(charged)
    assert len(charged) - len(acknowledged) <= 8 * rounds // 5  # the writers there were
    ledger = PrivacyLedger(path, epsilon=cap, delta=0.0)
    assert ledger.verify() > len(ledger) == len(charged)
    assert 0.001 * len(charged) * (1 - 1e-12) <= ledger.total()[0] <= cap


# -- what is done to the files -----------------------------------------------------------------


@pytest.mark.slow
def test_file_cut_at_every_512th_byte(path, tmp_path):
    charges = filled(path, 12)
    whole = path.read_bytes()
    assert holds(snapshot(path, tmp_path / "copy"), charges)
    for length in range(0, len(whole), 512):
        copy = snapshot(path, tmp_path / "copy")
        copy.write_bytes(whole[:length])
        assert not holds(copy, charges), length
        assert copy.read_bytes() == whole[:length]  # nothing was made worse


@pytest.mark.slow
def test_log_cut_at_every_512th_byte(path, tmp_path):
    """The write-ahead log of a ledger whose process died, cut short."""
    ledger = opened(path)
    for _ in range(4):
        ledger.spend(AMOUNT, 0)
    log = files(path)["-wal"].read_bytes()
    assert len(log) > 4 * 4096
    for length in range(0, len(log), 512):
        copy = snapshot(path, tmp_path / "copy")
        files(copy)["-wal"].write_bytes(log[:length])
        assert not holds(copy, 4), length
    copy = snapshot(path, tmp_path / "copy")
    files(copy)["-wal"].unlink()
    assert not holds(copy, 4)
    assert holds(snapshot(path, tmp_path / "copy"), 4)


@pytest.mark.slow
def test_head_cut_at_every_byte(path, tmp_path):
    charges = filled(path)
    head = files(path)["-head"].read_bytes()
    for length in range(0, len(head), 37):
        copy = snapshot(path, tmp_path / "copy")
        files(copy)["-head"].write_bytes(head[:length])
        assert not holds(copy, charges), length
    files(copy)["-head"].unlink()
    with pytest.raises(LedgerError, match="has lost its head"):
        opened(copy)
    assert not files(copy)["-head"].exists()


def test_old_copies(path, tmp_path):
    filled(path, 3)
    old = snapshot(path, tmp_path / "old")
    ledger = opened(path)
    for _ in range(4):
        ledger.spend(AMOUNT, 0)
    new = snapshot(path, tmp_path / "new")  # with a log
    assert files(new)["-wal"].stat().st_size > 0
    del ledger
    closed = snapshot(path, tmp_path / "closed")  # without
    assert not files(closed)["-wal"].exists() or files(closed)["-wal"].stat().st_size == 0

    def mixture(main, log, head):
        copy = snapshot(main, tmp_path / "mixture")
        for source, name in ((log, "-wal"), (head, "-head")):
            files(copy)[name].unlink(missing_ok=True)
            if source is not None and files(source)[name].exists():
                shutil.copyfile(files(source)[name], files(copy)[name])
        return copy

    assert holds(mixture(new, new, new), 7)
    assert holds(mixture(closed, None, closed), 7)
    assert not holds(mixture(old, None, closed), 7)  # an old copy put over it
    assert not holds(mixture(new, None, new), 7)  # the log removed
    assert not holds(mixture(old, None, new), 7)
    with pytest.raises(LedgerError, match="has lost charges: it ends before entry 8"):
        opened(mixture(old, None, new))
    holds(mixture(old, new, new), 7)
    holds(mixture(closed, new, new), 7)
    assert holds(mixture(closed, None, old), 7)  # an old head is brought up to date
    # The limit that is documented: both files, put back as they were together once.
    assert len(opened(mixture(old, None, old))) == 3


def test_head_of_another_ledger(path, tmp_path):
    filled(path)
    filled(tmp_path / "other.db")
    shutil.copyfile(tmp_path / "other.db-head", tmp_path / "ledger.db-head")
    with pytest.raises(LedgerError, match="changed"):
        opened(path)


def test_head_of_another_ledger_with_the_same_hash(path, tmp_path):
    """Only the identity tells them apart (the first entries could hash alike by construction)."""
    ledger = opened(path)
    store = ledger._store
    mark = store.head.read()
    store.head.write(ledger_file.Mark(mark.n, mark.hash, "f" * 32))
    store.head._next = 1 - store.head._next
    store.head.write(ledger_file.Mark(mark.n, mark.hash, "f" * 32))
    with pytest.raises(LedgerError, match="another ledger"):
        ledger.spend(AMOUNT, 0)


def tampered(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        assert connection.execute(statement).rowcount != 0
    connection.close()


COLUMNS = {
    "n": "n + 7",
    "time": "time - 1",
    "kind": "'cap'",
    "epsilon": "epsilon / 2",
    "delta": "1e-9",
    "mu": "1.0",
    "note": "'x'",
    "process": "'x'",
    "totals": "'0 0 0 0 0 0'",
    "cap_epsilon": "1e9",
    "cap_delta": "0.5",
    "key": "x'00'",
    "digest": "x'00'",
    "hash": "zeroblob(32)",
}


def test_all_columns_are_tampered_with():
    assert list(COLUMNS) == list(ledger_file._NAMES)


@pytest.mark.parametrize("column", COLUMNS)
def test_last_row_edited(path, column):
    ledger = opened(path)
    for _ in range(3):
        ledger.spend(AMOUNT, 0)
    # An open ledger sees it at its next charge, the others when they open it.
    tampered(path, f"UPDATE entries SET {column} = {COLUMNS[column]} WHERE n = 3")
    with pytest.raises(LedgerError, match="were changed|lost charges"):
        ledger.spend(AMOUNT, 0)
    with pytest.raises(LedgerError, match="were changed|lost charges"):
        ledger.total()
    del ledger
    assert not holds(path, 3)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", [0, 1, 4])
def test_early_row_edited(path, column, row):
    """The total does not change; the history shows it."""
    charges = filled(path, 9)
    tampered(path, f"UPDATE entries SET {column} = -1 - {row} WHERE n = {row}")
    if not holds(path, charges):  # the identity of the ledger is in the first row
        assert row == 0
        return
    ledger = opened(path)
    with pytest.raises(LedgerError, match=f"Entry {0 if column == 'n' and row else row} of"):
        ledger.verify()
    assert ledger.total()[0] == pytest.approx(charges * AMOUNT)
    rows = list(ledger_file.Store.walk(ledger._store))
    assert not all(intact for _, intact in rows)


def test_rows_swapped_or_removed(path, tmp_path):
    charges = filled(path, 9)
    swap = (
        "UPDATE entries SET n = -5 WHERE n = 3",
        "UPDATE entries SET n = 3 WHERE n = 4",
        "UPDATE entries SET n = 4 WHERE n = -5",
    )
    for number, statements in enumerate([swap, ["DELETE FROM entries WHERE n = 3"]]):
        copy = snapshot(path, tmp_path / str(number))
        tampered(copy, *statements)
        assert holds(copy, charges)
        with pytest.raises(LedgerError, match="Entry 3 of"):
            opened(copy).verify()
    for number, condition in enumerate(["n = 10", "n >= 5", "n >= 1", "n >= 0"]):
        copy = snapshot(path, tmp_path / f"last{number}")
        tampered(copy, f"DELETE FROM entries WHERE {condition}")
        assert not holds(copy, charges)


def test_totals_that_do_not_add_up(path):
    """Somebody who computes the hashes anew is not stopped, but must also add correctly."""
    ledger = opened(path)
    for _ in range(3):
        ledger.spend(AMOUNT, 0)
    store = ledger._store
    store.append(lambda tip: ledger_file.replace(tip, kind="pure", epsilon=1.0, key=None))
    assert holds(path, 3)
    with pytest.raises(LedgerError, match="Entry 4 of .* totals"):
        ledger.verify()


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
    tampered(path, "PRAGMA user_version = 2")
    with pytest.raises(LedgerError, match="another version"):
        opened(path)


def test_file_replaced_while_in_use(path, tmp_path):
    ledger = opened(path)
    ledger.spend(AMOUNT, 0)
    copy = snapshot(path, tmp_path / "copy")
    ledger.spend(AMOUNT, 0)
    os.replace(copy, path)
    for use in (lambda: ledger.spend(AMOUNT, 0), ledger.total, ledger.verify):
        with pytest.raises(LedgerError, match="put in its place"):
            use()
    assert not holds(path, 2)


@pytest.mark.parametrize("name", ["", "-head"])
def test_file_removed_while_in_use(path, name):
    ledger = opened(path)
    ledger.spend(AMOUNT, 0)
    files(path)[name].unlink()
    with pytest.raises(LedgerError, match="removed"):
        ledger.spend(AMOUNT, 0)
    with pytest.raises(LedgerError):
        opened(path)


def test_ledger_gone(path):
    filled(path)
    path.unlink()
    with pytest.raises(LedgerError, match="is gone"):
        opened(path)
    assert not path.exists()


# -- what is no ledger -------------------------------------------------------------------------


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "text").write_text("epsilon = 1\n" * 1000)
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(os.urandom(9000))
    for mode in ("delete", "wal"):
        connection = sqlite3.connect(tmp_path / f"database-{mode}")
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE entries (n INTEGER PRIMARY KEY)")
        connection.commit()
        connection.close()
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for file in before:
        with pytest.raises(LedgerError, match="not a ledger"):
            opened(file)
    with pytest.raises(LedgerError, match="not a regular file"):
        opened(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_other_file_beside_a_head_is_refused(path):
    for content in (b"text " * 1000, b"", b"SQLite format 3\0" + bytes(100)):
        path.write_bytes(content)
        files(path)["-head"].write_bytes(bytes(1024))
        with pytest.raises(LedgerError):
            opened(path)
        assert path.read_bytes() == content


def test_two_names_are_one_ledger(path, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    ledger = opened(link)
    ledger.spend(AMOUNT, 0)
    assert len(opened(path)) == 1
    assert opened(path)._store is ledger._store
    assert sorted(file.name for file in tmp_path.iterdir() if "-" in file.name) == [
        "ledger.db-head",
        "ledger.db-shm",
        "ledger.db-wal",
    ]


def test_hard_link_is_refused(path, tmp_path):
    filled(path)
    os.link(path, tmp_path / "second.db")
    with pytest.raises(LedgerError, match="2 names"):
        opened(tmp_path / "second.db")


# -- the clock ---------------------------------------------------------------------------------


def test_clock_put_back(path, monkeypatch):
    ledger = opened(path)
    ledger.spend(AMOUNT, 0)
    now = time.time_ns()
    monkeypatch.setattr(ledger_file.time, "time_ns", lambda: now - 3600 * 10**9)
    ledger.spend(AMOUNT, 0)
    times = [entry.time for entry, _ in ledger._store.walk()]
    assert times == sorted(times)
    assert ledger.verify() == 3
    monkeypatch.setattr(ledger_file.time, "time_ns", lambda: now - 30 * 3600 * 10**9)
    with pytest.raises(LedgerError, match=r"1\.2 days in the future"):
        ledger.spend(AMOUNT, 0)
    del ledger
    with pytest.raises(LedgerError, match="Set the clock right"):
        opened(path)
    monkeypatch.undo()
    assert len(opened(path)) == 2


# -- a disk that is full, or may not be written ------------------------------------------------


@needs_fork
@pytest.mark.slow
def test_disk_full(path):
    """The charge that finds no room raises; the ledger opens, and goes on when there is room."""
    script = """
        import os, resource, sys
        from skdistill.accounting.ledger import LedgerError, PrivacyLedger

        path, room = sys.argv[1], 30_000
        ledger = PrivacyLedger(path, epsilon=10.0, delta=1e-6)
        ledger.spend(0.001, 0)
        size = os.path.getsize(path + "-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
        acknowledged, refused = 1, 0
        for _ in range(50):
            try:
                ledger.spend(0.001, 0)
                acknowledged += 1
            except LedgerError as error:
                assert "not acknowledged" in str(error), error
                refused += 1
        assert refused
        try:
            ledger.remember(b"key", bytes(10**6))
        except LedgerError:
            assert ledger.recall(b"key") == []
        else:
            raise AssertionError("there was room for a megabyte")
        assert acknowledged <= len(ledger)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        ledger.spend(0.001, 0)
        assert acknowledged + 1 <= len(ledger) <= acknowledged + 1 + refused
        assert ledger.verify() == len(ledger) + 1
        charges = len(ledger)
        del ledger
        assert len(PrivacyLedger(path, epsilon=10.0, delta=1e-6)) == charges
        """
    run(script, path)


def test_database_full(path):
    ledger = opened(path)
    ledger.spend(AMOUNT, 0)
    execute = ledger._store._connection.execute
    pages = execute("PRAGMA page_count").fetchone()[0]
    execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match="full.*not acknowledged"):
        ledger.remember(b"key", bytes(100_000))
    assert ledger.recall(b"key") == [] and len(ledger) == 1
    execute("PRAGMA max_page_count = 1000000")
    ledger.remember(b"key", bytes(100_000))
    assert ledger.recall(b"key") == [bytes(100_000)]
    assert ledger.verify() == 3


READ_ONLY = """
import os, sys
from skdistill.__main__ import main
from skdistill.accounting import ledger_report
from skdistill.accounting.ledger import LedgerError, PrivacyLedger

folders = sys.argv[1:]
if os.geteuid() == 0:  # nothing is read-only for root: be nobody
    for folder in folders:
        for file in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):
            os.chown(file, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for folder, what in zip(folders, ["folder", "file", "head", "all"], strict=True):
    path = os.path.join(folder, "ledger.db")
    if what in ("file", "all"):
        os.chmod(path, 0o400)
    if what in ("head", "all"):
        os.chmod(path + "-head", 0o400)
    if what in ("folder", "all"):
        os.chmod(folder, 0o500)
    try:
        PrivacyLedger(path, epsilon=10.0, delta=1e-6).spend(0.01, 0)
    except LedgerError as error:
        print("refused", error)
    assert main(["ledger", path, "--verify"]) == 0
"""


@needs_fork
@pytest.mark.slow
def test_read_only():
    """Nothing can be charged where nothing can be written; the command line reads it."""
    folders = [Path(tempfile.mkdtemp()) for _ in range(4)]
    try:
        for folder in folders:
            filled(folder / "ledger.db")
        lines = run(READ_ONLY, *folders).splitlines()
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 4
    assert all("could not be written" in line or "cannot be written" in line for line in refused)
    assert sum("in 5 charges" in line for line in lines) == 4
    assert sum(line == "verified: all 7 entries are intact" for line in lines) == 4


# -- one process, several threads, children ----------------------------------------------------


def test_threads(path):
    ledger, errors = opened(path), []

    def work(number):
        try:
            for _ in range(10):
                opened(path).spend(AMOUNT, 0)
                ledger.remember(bytes([number]), b"x")
                assert ledger.total()[0] >= AMOUNT
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(ledger) == 60 and ledger.verify() == 121


def test_stores_are_shared_and_closed(path):
    first, second = opened(path), opened(path)
    assert first._store is second._store and len(ledger_file._STORES) >= 1
    store = first._store
    del first
    second.spend(AMOUNT, 0)
    assert store.users == 1
    del second
    assert store.users == 0 and store._connection is None
    assert store not in ledger_file._STORES.values()
    assert not files(path)["-wal"].exists()  # the last one cleans up
    assert len(opened(path)) == 1


@needs_fork
@pytest.mark.slow
def test_fork_while_threads_charge(path):
    """A child is never born inside SQLite, uses no connection of its parent, and is never stuck."""
    script = """
        import os, sys, threading
        from skdistill.accounting import ledger_file
        from skdistill.accounting.ledger import PrivacyLedger

        path = sys.argv[1]
        ledger, stop, charged = PrivacyLedger(path, epsilon=10.0, delta=0.0), threading.Event(), []

        def work():
            while not stop.is_set():
                ledger.spend(0.0001, 0)
                charged.append(1)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        store = ledger._store
        for _ in range(30):
            if (child := os.fork()) == 0:
                try:
                    ledger.spend(0.0001, 0)
                    assert ledger._store is not store and store in ledger_file._INHERITED
                    with ledger.exclusive():
                        ledger.remember(b"key", b"child")
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        assert len(ledger) == len(charged) + 30
        assert len(ledger.recall(b"key")) == 30
        assert ledger.verify() == 1 + len(charged) + 60
        # A child that ends like any program, and one that outlives its parent.
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        ledger.spend(0.0001, 0)
        parent = os.getpid()
        if os.fork() != 0:
            os._exit(0)
        while os.getppid() == parent:
            pass
        before = len(ledger)
        ledger.spend(0.0001, 0)
        assert len(ledger) == before + 1 == len(charged) + 32
        """
    run(script, path)
    assert opened_zero(path).verify() > 60


def opened_zero(path):
    return PrivacyLedger(path, epsilon=10.0, delta=0.0)


# -- remembered blobs --------------------------------------------------------------------------


def test_remember_and_recall(path):
    ledger = opened(path)
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
        "UPDATE blobs SET blob = 'blob' WHERE n = 2",
        "UPDATE blobs SET blob = x'00' WHERE n = 2",
        "DELETE FROM blobs WHERE n = 2",
        f"UPDATE entries SET digest = x'{hashlib.sha256(b'y').hexdigest()}' WHERE n = 2",
        "UPDATE entries SET key = CAST('key' AS BLOB) WHERE n = 3",
        "DELETE FROM entries WHERE n = 1",
    ],
)
def test_changed_blob_is_not_recalled(path, statement):
    ledger = opened(path)
    ledger.spend(AMOUNT, 0)
    for key, blob in ((b"key", b"x"), (b"other", b"y"), (b"z", b"z")):
        ledger.remember(key, blob)
    tampered(path, statement)
    with pytest.raises(LedgerError, match=r"Entry \d of .* was changed"):
        ledger.recall(b"key")
    with pytest.raises(LedgerError):
        ledger.verify()
    assert ledger.recall(b"z") == [b"z"]


# -- interrupts --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_interrupted_at_random_moments(path):
    """A signal at any moment of a charge: charged or not, never unnoticed, never stuck."""
    ledger, loss, interrupted, acknowledged = opened(path), PrivacyLoss.laplace(1e-4), 0, 0

    def interrupt(*_):
        raise KeyboardInterrupt

    def seconds():
        began = time.perf_counter()
        ledger.charge(loss)
        return time.perf_counter() - began

    took = sorted(seconds() for _ in range(11))[5]
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(400):
            before = len(ledger)
            try:
                signal.setitimer(signal.ITIMER_REAL, took * (number % 100 + 1) / 80)
                ledger.charge(loss)
                signal.setitimer(signal.ITIMER_REAL, 0)
                acknowledged += 1
            except KeyboardInterrupt:
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert before <= len(ledger) <= before + 1
            other = threading.Thread(target=ledger.spend, args=(1e-4, 0), daemon=True)
            other.start()
            other.join(60)
            assert not other.is_alive(), "stuck after an interrupt"
            acknowledged += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > 40
    assert 11 + acknowledged <= len(ledger) <= 11 + acknowledged + interrupted
    assert ledger.verify() == len(ledger) + 1
