"""The file of a ledger: no acknowledged charge is ever lost unnoticed.

`holds` is the promise: a ledger reports all that was acknowledged, or refuses to open.
"""

import json
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import pytest
from processes import needs_fork, run, start

import skdistill
from skdistill.accounting import PrivacyLoss, ledger_file
from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger import LedgerError, PrivacyLedger
from skdistill.accounting.ledger_file import Store

CAP = {"epsilon": 10.0, "delta": 1e-6, "pure": 10.0}
AMOUNT = 0.01


def created(path):
    return PrivacyLedger.create(path, **CAP)


def opened(path):
    return PrivacyLedger(path)


def filled(path, n=5):
    """A ledger of n charges and one remembered blob."""
    ledger = created(path)
    for _ in range(n):
        ledger.spend(AMOUNT, 0)
    ledger.remember(b"key", b"blob" * 1000)
    return n


def files(path):
    return {name: path.with_name(path.name + name) for name in ("", "-journal", "-head")}


def snapshot(path, folder):
    """Copy the files as they are after a power failure (the index is rebuilt)."""
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
    ledger = created(path)
    with ledger._store._session() as (_, connection):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)
    assert not path.with_name(path.name + "-journal").exists()
    if os.name == "posix":
        for name in ("", "-head"):
            assert files(path)[name].stat().st_mode & 0o077 == 0


def test_a_snapshot_at_any_moment_has_all_that_was_acknowledged(path, tmp_path):
    """The power fails right after a charge returned: the copy of the files is what is left."""
    ledger = created(path)
    for n in range(1, 8):
        ledger.spend(AMOUNT, 0)
        copy = snapshot(path, tmp_path / str(n))
        assert holds(copy, n)
        assert len(opened(copy)) == n


def head_of(path):
    with files(path)["-head"].open("rb", buffering=0) as head:
        return Store(str(path))._read_head(head)


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
    assert head_of(copy)[1] == 7
    assert ledger.verify() == 8


CRASH = """
import os, signal, sys
from skdistill.accounting import ledger_file
from skdistill.accounting.ledger import LedgerError, PrivacyLedger

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
        ledger = PrivacyLedger.create(path, epsilon=10.0, delta=0)
        ledger.spend(0.01, 0)
        exec(moment)
        ledger.spend(0.01, 0)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, moment
    try:
        ledger = PrivacyLedger(path)
    except LedgerError as error:
        if sys.argv[2] != "creation":
            raise
        for name in ("", "-head"):  # as the message says
            if os.path.exists(path + name):
                os.unlink(path + name)
        ledger = PrivacyLedger.create(path, epsilon=10.0, delta=0)
    print(len(ledger))
    ledger.spend(0.01, 0)
    assert ledger.verify() == len(ledger) + 1
"""


@needs_fork
@pytest.mark.slow
def test_killed_at_each_step_of_a_charge(path):
    moments = {
        "dies_before(ledger_file, '_insert')": 1,
        "dies_after(ledger_file, '_insert')": 1,
        "dies_before(ledger_file.Store, '_write_head')": 2,
        "dies_after(ledger_file.Store, '_write_head')": 2,
    }
    assert list(map(int, run(CRASH, path, "charge", *moments).split())) == list(moments.values())


@needs_fork
@pytest.mark.slow
def test_killed_at_each_step_of_the_creation(path):
    """Nothing was acknowledged: the ledger is empty, or says that it was never finished."""
    moments = [
        "dies_before(ledger_file.os, 'close')",
        "dies_before(ledger_file.sqlite3, 'connect')",
        "dies_before(ledger_file.Store, '_begin')",
        "dies_before(ledger_file, '_insert')",
        "dies_before(ledger_file.Store, '_write_head')",
        "dies_after(ledger_file.Store, '_write_head')",
        "dies_before(ledger_file.os, 'fsync')",
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
PrivacyLedger.create(path, epsilon=cap, delta=0.0)

def write(name):
    ledger, n = PrivacyLedger(path), 0
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
        ledger = PrivacyLedger(path)
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
    ledger = PrivacyLedger(path)
    charged, cap = list(ledger.history()["note"]), ledger.epsilon
    assert len(acknowledged) > rounds / 5  # something happened
    assert len(set(charged)) == len(charged)
    assert set(acknowledged) <= set(charged)
    assert len(charged) - len(acknowledged) <= 8 * rounds // 5  # the writers there were
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


JOURNAL = """
import os, signal, sqlite3, sys
from skdistill.accounting import ledger_file
from skdistill.accounting.ledger import PrivacyLedger

# The pages of a transaction go to the file as soon as they are changed, and it dies there.
connect = ledger_file.Store._connect
def small_cache(self):
    connection = connect(self)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("PRAGMA cache_spill = 1")
    return connection
ledger_file.Store._connect = small_cache
insert = ledger_file._insert
def and_die(*arguments):
    insert(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
ledger = PrivacyLedger(sys.argv[1])
ledger_file._insert = and_die
ledger.remember(b"key", bytes(200_000))
"""


@pytest.mark.slow
def test_journal_of_a_writer_that_died(path, tmp_path):
    """It is rolled back. Cut short or removed, nothing is missing, or the ledger refuses."""
    charges = filled(path, 12)
    with start(JOURNAL, path) as process:
        assert process.wait(60) == -signal.SIGKILL
    journal = files(path)["-journal"].read_bytes()
    assert len(journal) > 512
    for length in [*range(0, len(journal), 512), None]:
        copy = snapshot(path, tmp_path / "copy")
        if length is None:
            files(copy)["-journal"].unlink()
        else:
            files(copy)["-journal"].write_bytes(journal[:length])
        holds(copy, charges)
    copy = snapshot(path, tmp_path / "copy")
    assert holds(copy, charges)
    assert opened(copy).verify() == charges + 2 and not files(copy)["-journal"].exists()


@pytest.mark.slow
def test_every_byte_flipped(path, tmp_path):
    """Of the file (every seventh, to save time) and of its head."""
    charges, opens = filled(path, 3), 0
    for name, step in (("", 7), ("-head", 1)):
        whole = files(path)[name].read_bytes()
        for position in range(0, len(whole), step):
            copy = snapshot(path, tmp_path / "copy")
            changed = bytearray(whole)
            changed[position] ^= 1 << (position % 8)
            files(copy)[name].write_bytes(changed)
            opens += holds(copy, charges)
    assert opens  # an unused byte does not matter


@pytest.mark.slow
def test_head_cut_at_every_byte(path, tmp_path):
    charges = filled(path)
    head = files(path)["-head"].read_bytes()
    for length in range(0, len(head), 7):
        copy = snapshot(path, tmp_path / "copy")
        files(copy)["-head"].write_bytes(head[:length])
        assert not holds(copy, charges), length
    files(copy)["-head"].unlink()
    with pytest.raises(LedgerError, match="has lost its head"):
        opened(copy)
    assert not files(copy)["-head"].exists()


def test_old_copies(path, tmp_path):
    filled(path, 3)
    old, ledger = snapshot(path, tmp_path / "old"), opened(path)
    for _ in range(4):
        ledger.spend(AMOUNT, 0)
    new = snapshot(path, tmp_path / "new")

    def mixture(main, head, name="mixture"):
        copy = snapshot(main, tmp_path / name)
        shutil.copyfile(files(head)["-head"], files(copy)["-head"])
        return copy

    assert holds(mixture(new, new), 7)
    assert not holds(mixture(old, new), 7)  # an old copy put over it
    with pytest.raises(LedgerError, match="has lost charges: it ends before entry 8"):
        opened(mixture(old, new))
    assert holds(mixture(new, old), 7)  # an old head is brought up to date
    # The limit that is documented: both files, put back as they were together once.
    assert len(opened(mixture(old, old))) == 3
    # A handle that is open remembers more.
    for name in ("", "-head"):
        shutil.copyfile(files(old)[name], files(path)[name])
    for use in (lambda: ledger.spend(AMOUNT, 0), ledger.total, lambda: ledger.recall(b"key")):
        with pytest.raises(LedgerError, match="has lost charges: it ends before entry 8"):
            use()


def test_head_of_another_ledger(path, tmp_path):
    filled(path)
    filled(tmp_path / "other.db")
    ledger = opened(path)
    shutil.copyfile(tmp_path / "other.db-head", tmp_path / "ledger.db-head")
    with pytest.raises(LedgerError, match="another ledger"):
        ledger.spend(AMOUNT)
    with pytest.raises(LedgerError, match="changed"):
        opened(path)


def tampered(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        assert connection.execute(statement).rowcount != 0
    connection.close()


COLUMNS = {
    "n": "n + 7",
    "key": "x'00'",
    "text": "replace(text, '\"n\":', '\"n\": ')",
    "hash": "zeroblob(32)",
}


def edited(path, n, **fields):
    """Change fields of an entry, as somebody would who does not know of the hashes."""
    connection = sqlite3.connect(path, isolation_level=None)
    (text,) = connection.execute("SELECT text FROM entries WHERE n = ?", (n,)).fetchone()
    text = json.dumps(json.loads(text) | fields, separators=(",", ":"))
    connection.execute("UPDATE entries SET text = ? WHERE n = ?", (text, n))
    connection.close()


@pytest.mark.parametrize("column", COLUMNS)
def test_last_row_edited(path, column):
    ledger = created(path)
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


@pytest.mark.parametrize(
    "fields",
    [
        {"totals": {"n": 0, "squares": 0, "pure": 0}},
        {"cap": {"epsilon": 1e9, "delta": 0.5, "pure": 1e9, "relation": "add-or-remove"}},
        {"note": "x"},
        {"time": 0},
        {"previous": "0" * 64},
    ],
)
def test_last_entry_edited(path, fields):
    charges = filled(path, 3)
    edited(path, charges + 1, **fields)
    assert not holds(path, charges)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", [0, 1, 4])
def test_early_row_edited(path, column, row):
    """The total does not change; the history shows it."""
    charges = filled(path, 9)
    tampered(path, f"UPDATE entries SET {column} = -1 - {row} WHERE n = {row}")
    if not holds(path, charges):  # the place of the ledger is in the first row
        assert row == 0
        return
    ledger = opened(path)
    with pytest.raises(LedgerError, match=f"Entry {0 if column == 'n' and row else row} of"):
        ledger.verify()
    assert ledger.total()[0] == pytest.approx(charges * AMOUNT)
    assert not all(intact for _, intact in ledger._store.walk())
    assert not ledger.history(events=True)["intact"].all()


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


@pytest.mark.parametrize(
    "change",
    [
        {"totals": Totals(6, 0, 10**30)},
        {"totals": Totals(6, 0, 5 * 10**38 + 10**37)},
        {"totals": Totals(6, 10**37, 6 * 10**38)},
        {"totals": Totals(5, 0, 6 * 10**38)},
        {"cap": Cap.of(20.0, 1e-6, 20.0)},
        {"kind": "remember"},
    ],
)
def test_totals_that_do_not_add_up(path, change):
    """Somebody who computes the hashes anew is not stopped, but must also add correctly."""
    ledger = created(path)
    for _ in range(4):
        ledger.spend(AMOUNT, 0)
    good = {"epsilon": AMOUNT, "relation": "replace-one", "unit": "record"}
    good |= {"kind": "pure", "totals": Totals(5, 0, 5 * 10**38)}
    ledger._store.append(lambda tip: tip.next(**good))
    assert ledger.verify() == 6
    good["totals"] = Totals(6, 0, 6 * 10**38)
    ledger._store.append(lambda tip: tip.next(**good | change))
    with pytest.raises(LedgerError, match="Entry 6 of .* counters"):
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
    tampered(path, "PRAGMA user_version = 3")
    with pytest.raises(LedgerError, match="another version"):
        opened(path)


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
    with pytest.raises(LedgerError, match="is gone" if not name else "lost its head"):
        opened(path)
    with pytest.raises(LedgerError, match="exists already"):
        created(path)


# -- what is no ledger -------------------------------------------------------------------------


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "text").write_text("epsilon = 1\n" * 1000)
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(os.urandom(9000))
    (tmp_path / "headed").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "headed-head").write_bytes(bytes(151))
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
        with pytest.raises(LedgerError, match="exists already"):
            created(file)
    for use in (opened, created):
        with pytest.raises(LedgerError, match="not a regular file"):
            use(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"text " * 1000, b"skdistill ledger " + b"0" * 200])
def test_head_that_is_none(path, content):
    filled(path)
    files(path)["-head"].write_bytes(content)
    with pytest.raises(LedgerError, match="interrupted" if not content else "head.*is damaged"):
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
        "link.db",
    ]


def test_hard_link_is_refused(path, tmp_path):
    filled(path)
    os.link(path, tmp_path / "second.db")
    with pytest.raises(LedgerError, match="2 names"):
        opened(tmp_path / "second.db")


# -- the clock ---------------------------------------------------------------------------------


def test_clock_put_back_and_forward(path, monkeypatch):
    """Times never go back; the clock decides nothing else."""
    ledger = created(path)
    ledger.spend(AMOUNT, 0)
    now = time.time_ns()
    for days in (5000, -30, 0):
        monkeypatch.setattr(ledger_file.time, "time_ns", lambda days=days: now + days * _DAY)
        ledger.spend(AMOUNT, 0)
    times = [entry.time for entry, _ in ledger._store.walk()]
    assert times == sorted(times) and times[-1] * 1000 > now + 4999 * _DAY
    assert opened(path).verify() == 5


_DAY = 86_400 * 10**9


# -- a disk that is full, or may not be written ------------------------------------------------


@needs_fork
@pytest.mark.slow
def test_disk_full(path):
    """The charge that finds no room raises; the ledger opens, and goes on when there is room."""
    script = """
        import os, resource, sys
        from skdistill.accounting.ledger import LedgerError, PrivacyLedger

        path, room = sys.argv[1], 8_000
        ledger = PrivacyLedger.create(path, epsilon=10.0, delta=0)
        ledger.spend(0.001, 0)
        size = os.path.getsize(path)
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
        assert len(PrivacyLedger(path)) == charges
        """
    run(script, path)


FAILURES = ["INSERT", "COMMIT"]


@pytest.mark.parametrize("statement", FAILURES)
@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY"])
def test_a_disk_that_fails(path, monkeypatch, statement, code):
    """SQLite's errors when the disk is full, or fails, before or after the commit."""
    ledger, connect, failing = created(path), ledger_file.Store._connect, []

    class Failing:
        def __init__(self, store):
            self.connection = connect(store)

        def __getattr__(self, name):
            return getattr(self.connection, name)

        def execute(self, sql, *values):
            fails = failing and sql.startswith(statement)
            if not fails or failing[0] == "after":
                result = self.connection.execute(sql, *values)
            if fails:
                error = sqlite3.OperationalError("the disk fails")
                error.sqlite_errorcode = getattr(sqlite3, code)
                raise error
            return result

    monkeypatch.setattr(ledger_file.Store, "_connect", lambda store: Failing(store))
    acknowledged = 0
    for when in ("before", "after", None, "after"):
        failing[:] = [when] if when else []
        try:
            ledger.spend(AMOUNT)
            acknowledged += 1
        except LedgerError as error:
            assert "not acknowledged" in str(error)  # noqa: PT017
        failing.clear()
        assert acknowledged <= len(ledger) == len(opened(path)) <= acknowledged + 2
    assert acknowledged == 1
    assert ledger.verify() == len(ledger) + 1


def test_a_head_that_cannot_be_written(path, monkeypatch):
    ledger = created(path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger_file.Store, "_write_head", fail)
    with pytest.raises(LedgerError, match="No space left.*not acknowledged"):
        ledger.spend(AMOUNT)
    monkeypatch.undo()
    assert len(opened(path)) == 1
    assert len(ledger.spend(AMOUNT)) == 2 and ledger.verify() == 3


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
        PrivacyLedger(path).spend(0.01, 0)
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
    assert all("could not be written" in line for line in refused)
    assert sum("in 5 charges" in line for line in lines) == 4
    assert sum(line == "verified: all 7 entries are intact" for line in lines) == 4


# -- one process, several threads, children ----------------------------------------------------


def test_threads(path):
    ledger, errors = created(path), []

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


@needs_fork
@pytest.mark.slow
def test_fork_while_threads_charge(path):
    """A child is never born inside SQLite, uses no connection of its parent, and is never stuck."""
    script = """
        import os, sys, threading
        from skdistill.accounting.ledger import PrivacyLedger

        ledger = PrivacyLedger.create(sys.argv[1], epsilon=10.0, delta=0.0)
        stop, charged = threading.Event(), []

        def work():
            while not stop.is_set():
                ledger.spend(0.0001, 0)
                charged.append(1)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            if (child := os.fork()) == 0:
                try:
                    ledger.spend(0.0001, 0)
                    with ledger.locked(b"key"):
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
    assert opened(path).verify() > 60


@needs_fork
def test_fork_while_a_thread_opens_a_handle(path):
    """The child opens one of its own at once: it inherits no lock that is being waited for."""
    script = """
        import os, pickle, sys, threading
        from skdistill.accounting import PrivacyLedger
        from skdistill.accounting.ledger_lock import locked_file

        path = sys.argv[1]
        pickled = pickle.dumps(PrivacyLedger.create(path, epsilon=10.0, delta=0.0))
        with locked_file(path + "-head"):
            threads = [
                threading.Thread(target=work)
                for work in (lambda: pickle.loads(pickled).total(), lambda: PrivacyLedger(path))
            ]
            for thread in threads:
                thread.start()
            threading.Event().wait(0.1)
            if (child := os.fork()) == 0:
                pickle.loads(pickled).spend(0.1)
                os._exit(7)
        for thread in threads:
            thread.join()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(PrivacyLedger(path)))
        """
    assert run(script, path) == "7 1\n"


# -- remembered blobs --------------------------------------------------------------------------


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
    with pytest.raises(LedgerError, match=r"Entry \d of .* was changed"):
        ledger.recall(b"key")
    with pytest.raises(LedgerError):
        ledger.verify()
    assert ledger.recall(b"z") == [b"z"]


def test_the_file_of_large_blobs_is_little_larger(path):
    ledger, blob = created(path), os.urandom(200_000)
    for number in range(10):
        ledger.remember(bytes([number]), blob)
    assert path.stat().st_size < 1.05 * 10 * len(blob)


# -- interrupts --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # hits a finalizer
def test_interrupted_at_random_moments(path):
    """A signal at any moment of a charge: charged or not, never unnoticed, never stuck."""
    ledger, loss, interrupted, acknowledged = created(path), PrivacyLoss.laplace(1e-4), 0, 0

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
