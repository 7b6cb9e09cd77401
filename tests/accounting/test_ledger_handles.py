"""Handles of one ledger: copies, pickles, threads, processes, and the lock of a release."""

import copy
import pickle
import threading

import joblib
import pytest
from processes import forked, needs_fork
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skdistill.accounting.ledger import BudgetError, LedgerError, PrivacyLedger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_copies_are_the_ledger(path, kind):
    ledger = PrivacyLedger.create(path if kind == "file" else ":memory:", epsilon=1.0, delta=0.0)
    assert copy.copy(ledger) is ledger and copy.deepcopy([ledger])[0] is ledger
    assert clone(ledger) is ledger
    estimator = LogisticRegression()
    estimator.accountant = ledger
    assert copy.deepcopy(estimator).accountant is ledger
    unpickled = pickle.loads(pickle.dumps(ledger))
    unpickled.spend(0.25, 0)
    assert ledger.total() == unpickled.total() == (0.25, 0)
    assert (unpickled is ledger) == (kind == "memory")
    assert bool(PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0))  # though its length is 0


def test_the_text_of_a_handle_says_what_is_not_usual(path):
    PrivacyLedger.create(path, 1.0, 0.0)
    assert "replay" not in repr(PrivacyLedger(path))
    assert ", replay=False):" in repr(PrivacyLedger(path, replay=False))


def test_pickle_carries_replay(path):
    ledger = PrivacyLedger.create(path, epsilon=1.0, delta=0.0, replay=False)
    assert pickle.loads(pickle.dumps(ledger)).replay is False
    assert PrivacyLedger(path).replay is True
    assert PrivacyLedger(path, replay=False).replay is False


def test_pickle_of_a_ledger_that_was_replaced(path, tmp_path):
    pickled = pickle.dumps(PrivacyLedger.create(path, epsilon=1.0, delta=0.0))
    for file in tmp_path.iterdir():
        file.unlink()
    gone = pickle.loads(pickled)
    with pytest.raises(LedgerError, match="No such file"):
        gone.spend(0.1, 0)
    assert "No such file" in repr(gone)
    assert not path.exists()
    other = PrivacyLedger.create(path, epsilon=1.0, delta=0.0)
    with pytest.raises(LedgerError, match="another ledger"):
        gone.spend(0.1, 0)
    assert len(other) == 0


def test_pickle_of_a_ledger_in_memory_that_is_gone():
    pickled = pickle.dumps(PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0))
    with pytest.raises(LedgerError, match="memory of one process"):
        pickle.loads(pickled).spend(0.1, 0)


def test_ledgers_in_memory_are_apart():
    one, two = (PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0) for _ in range(2))
    one.spend(1.0, 0)
    assert two.total() == (0, 0)


def test_threads_share_a_ledger_in_memory():
    ledger, refused = PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0), []

    def work():
        for _ in range(30):
            try:
                ledger.spend(0.01, 0)
                ledger.remember(b"key", b"blob")
            except BudgetError as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger) == 100 and len(refused) == 20
    assert len(ledger.recall(b"key")) == 100


OTHER_PROCESS = """
import pickle, sys
ledger = pickle.loads(bytes.fromhex(sys.argv[1]))
try:
    ledger.spend(0.25, 0)
    print("charged")
except RuntimeError as error:
    print(error)
"""


@pytest.mark.slow
def test_copies_in_another_process(path):
    """As spawn and every cluster do: a pickle in a new interpreter."""
    on_disk = PrivacyLedger.create(path, epsilon=1.0, delta=0.0)
    assert forked(OTHER_PROCESS, pickle.dumps(on_disk).hex()) == "charged\n"
    assert on_disk.total() == (0.25, 0)
    in_memory = PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0)
    answer = forked(OTHER_PROCESS, pickle.dumps(in_memory).hex())
    assert "cannot be charged from another" in answer and "n_jobs=1" in answer
    assert in_memory.total() == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(path, backend):
    ledger = PrivacyLedger.create(path, epsilon=1.0, delta=0.0)
    with joblib.parallel_config(backend, n_jobs=2):
        joblib.Parallel()(joblib.delayed(ledger.spend)(0.01, 0) for _ in range(40))
    assert len(ledger) == 40 and ledger.verify() == 41
    assert (ledger.history()["process"].nunique() > 1) == (backend == "loky")


@needs_fork
@pytest.mark.slow
def test_the_last_unit_of_budget_goes_to_one_of_32(path):
    script = """
        import os, sys
        from skdistill.accounting.ledger import BudgetError, PrivacyLedger

        path, go = sys.argv[1], os.pipe()
        for _ in range(5):
            children = []
            PrivacyLedger.create(path, epsilon=1.0, delta=0)
            for _ in range(32):
                if (child := os.fork()) == 0:
                    status = 1
                    try:
                        os.read(go[0], 1)
                        PrivacyLedger(path).spend(1.0)
                        status = 2
                    except BudgetError:
                        status = 3
                    finally:
                        os._exit(status)
                children.append(child)
            os.write(go[1], bytes(32))
            endings = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            ledger = PrivacyLedger(path)
            print(endings.count(2), endings.count(3), len(ledger), ledger.total()[0])
            path += "x"
        """
    assert forked(script, path).splitlines() == ["1 31 1 1.0"] * 5


@needs_fork
@pytest.mark.slow
def test_ledger_in_memory_refuses_in_a_forked_child():
    script = """
        import os
        from skdistill.accounting.ledger import BudgetError, LedgerError, PrivacyLedger

        ledger = PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0)
        if os.fork() == 0:
            try:
                ledger.spend(0.1, 0)
            except LedgerError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
        assert len(ledger) == 0
        """
    assert "cannot be charged from another" in forked(script)


# -- a lock for each release -------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "memory"])
def test_locked(path, tmp_path, place):
    """A release is made once; charges and other releases go on meanwhile."""
    ledger = PrivacyLedger.create(path if place == "file" else ":memory:", epsilon=1.0, delta=0.0)
    made = []

    def release():
        with ledger.locked(b"key") as held, ledger.locked(b"key"):
            assert held is ledger
            if not ledger.recall(b"key"):
                ledger.spend(0.1, 0)
                made.append(1)
                ledger.remember(b"key", b"labels")
            return ledger.recall(b"key")

    def other():
        with ledger.locked(b"other"):
            ledger.spend(0.1, 0)

    with ledger.locked(b"key"):
        for work in (other, lambda: ledger.spend(0.1, 0)):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join(60)
        assert len(ledger) == 2
        waiting = threading.Thread(target=release)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive() and not made
    threads = [threading.Thread(target=release) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in [*threads, waiting]:
        thread.join()
    assert len(made) == 1 and len(ledger) == 3
    assert release() == [b"labels"]
    assert sorted(file.name for file in tmp_path.iterdir()) == (
        ["ledger.db", "ledger.db-head", "ledger.db-journal"] if place == "file" else []
    )
    with pytest.raises(OSError, match="the teacher's"), ledger.locked(b"key"):
        raise OSError("the teacher's")
    assert release() == [b"labels"]


@needs_fork
@pytest.mark.slow
def test_locked_between_processes_and_after_a_kill(path):
    script = """
        import os, signal, sys, time
        from skdistill.accounting.ledger import PrivacyLedger

        ledger = PrivacyLedger.create(sys.argv[1], epsilon=1.0, delta=0.0)
        children = []
        for number in range(6):
            if (child := os.fork()) == 0:
                with ledger.locked(b"key"):
                    if number < 2:  # dies inside
                        ledger.spend(0.1, 0)
                        os.kill(os.getpid(), signal.SIGKILL)
                    if not ledger.recall(b"key"):
                        ledger.spend(0.1, 0)
                        time.sleep(0.01)
                        ledger.remember(b"key", b"labels")
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        print(len(ledger), ledger.recall(b"key"))
        """
    assert forked(script, path) == "3 [b'labels']\n"


def test_a_ledger_in_memory_that_is_gone_locks_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = pickle.loads(pickle.dumps(PrivacyLedger.create(":memory:", 1.0, 0.0)))
    with pytest.raises(LedgerError, match="memory of one process"), gone.locked(b"key"):
        pass
    assert not any(tmp_path.iterdir())


def test_handles_of_one_thread_share_its_lock(path):
    PrivacyLedger.create(path, 1.0, 0.0)
    with PrivacyLedger(path).locked(b"key"), PrivacyLedger(path).locked(b"key"):
        pass


def test_a_look_at_a_ledger_in_memory_inside_a_charge():
    ledger = PrivacyLedger.create(":memory:", 1.0, 0.0)
    store = ledger._store

    def decide(tip):
        assert store.tip() == tip
        return tip.next("remember")

    store.append(decide)
    ledger.spend(0.5, 0)
    assert ledger.verify() == 3
