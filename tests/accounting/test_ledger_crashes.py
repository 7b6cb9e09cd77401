"""Kills, interrupts, threads and forks: acknowledged ≤ charged, and nobody is stuck."""

import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ledger_files import AMOUNT, created, files, filled, holds, opened, snapshot
from processes import forked, needs_fork, run, start

import skdistill
from skdistill.accounting import PrivacyLoss, ledger_file
from skdistill.accounting.ledger import LedgerError, PrivacyLedger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


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
    assert list(map(int, forked(CRASH, path, "charge", *moments).split())) == list(moments.values())


@needs_fork
@pytest.mark.slow
def test_killed_at_each_step_of_the_creation(path):
    """Nothing was acknowledged: the ledger is empty, or says that it was never finished."""
    moments = [
        "dies_before(ledger_file.os, 'close')",
        "dies_before(ledger_file.sqlite3, 'connect')",
        "dies_before(ledger_file.Store, '_make_files')",
        "dies_before(ledger_file, '_insert')",
        "dies_before(ledger_file.Store, '_write_head')",
        "dies_after(ledger_file.Store, '_write_head')",
        "dies_before(ledger_file.os, 'fsync')",
    ]
    assert forked(CRASH, path, "creation", *moments).split() == ["0"] * len(moments)


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
from skdistill.accounting import PrivacyLoss, ledger_file
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
        # The label is returned. (Written data is not lost when its writer is killed.)
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
    assert opened(copy).verify() == charges + 2
    journal = files(copy)["-journal"]
    assert not journal.exists() or not any(journal.read_bytes()[:28])  # it was rolled back, once


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
    forked(script, path)
    assert opened(path).verify() > 60


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_connection_lives_across_a_fork(path):
    """SQLite forbids to use one that was inherited, and even to close it."""
    ledger, in_memory = created(path).spend(AMOUNT), created(":memory:").spend(AMOUNT)
    assert ledger._store._connection is not None
    if (child := os.fork()) == 0:
        try:
            in_memory.spend(AMOUNT)
        except LedgerError:
            os._exit(ledger._store._connection is not None)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert ledger._store._connection is None
    assert len(ledger.spend(AMOUNT)) == len(in_memory.spend(AMOUNT)) == 2


def test_an_open_transaction_is_never_kept(path, monkeypatch):
    """A connection that met an error is closed; the next charge has a new one."""
    ledger = created(path).spend(AMOUNT)
    before = ledger._store._connection

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger_file, "_insert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ledger.spend(AMOUNT)
    monkeypatch.undo()
    assert ledger._store._connection is None
    assert len(opened(path).spend(AMOUNT)) == len(ledger) == 2
    assert ledger._store._connection is not before


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
    assert forked(script, path) == "7 1\n"


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
