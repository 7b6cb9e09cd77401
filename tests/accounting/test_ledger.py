"""The accountant: charges, refusals, texts; its handles in other threads and processes."""

import copy
import math
import os
import pickle
import re
import threading
from dataclasses import replace

import joblib
import numpy as np
import pytest
from processes import needs_fork, run
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skdistill._diffprivlib import load
from skdistill.accounting import PrivacyLoss
from skdistill.accounting.composition import Totals
from skdistill.accounting.ledger import BudgetError, LedgerError, PrivacyLedger
from skdistill.accounting.relation import Relation, Unit


@pytest.fixture
def ledger():
    return PrivacyLedger.create(":memory:", epsilon=1.0, delta=1e-6, pure=1.0)


def shared():
    """Half for pure releases, half for Gaussian ones."""
    return PrivacyLedger.create(":memory:", epsilon=1.0, delta=1e-6, pure=0.5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (200, 3)), np.arange(200) % 2


def has_diffprivlib():
    try:
        import diffprivlib  # noqa: F401
    except Exception:
        return False
    return True


# -- charging ----------------------------------------------------------------------------------


def test_ten_tenths_are_one(ledger):
    for _ in range(10):
        ledger.spend(0.1, 0)
    assert ledger.total() == (1.0, 0)
    assert len(ledger) == 10
    with pytest.raises(BudgetError):
        ledger.spend(1e-9, 0)
    assert len(ledger) == 10 and ledger.total() == (1.0, 0)


def test_gaussian_charges_add_in_mu_squared():
    ledger, whole = PrivacyLedger.create(":memory:", 1.0, 1e-6), PrivacyLoss.gaussian(1.0, 1e-6)
    for _ in range(4):
        ledger.charge(whole.part(0.25), note="a quarter")
    assert ledger.total() == pytest.approx((1.0, 1e-6))
    assert ledger.total()[0] <= 1.0
    with pytest.raises(BudgetError):
        ledger.charge(whole.part(1e-6))
    assert list(ledger.history()["epsilon"]) == [whole.part(0.25).epsilon] * 4


def test_both_kinds_in_one_total():
    ledger = shared()
    gaussian, pure = PrivacyLoss.gaussian(0.2, 1e-6), PrivacyLoss.laplace(0.05)
    expected = Totals()
    for loss in (gaussian, pure, gaussian, pure, gaussian):
        ledger.charge(loss)
        expected = expected.add(loss)
    ledger.spend(0.05, 0)
    expected = expected.add(PrivacyLoss.laplace(0.05))
    assert ledger.total() == (expected.epsilon(1e-6), 1e-6)
    assert ledger.total()[0] < 3 * 0.2 + 3 * 0.05
    assert len(ledger) == 6


def test_the_promise_is_the_budget():
    ledger = shared().spend(0.1)
    assert "ε = 1, δ = 1e-06" in ledger.statement() and "0.1" not in ledger.statement()
    assert "one record is replaced" in ledger.statement()
    groups = PrivacyLedger.create(":memory:", 1.0, 0, unit="group", relation="add-or-remove")
    assert "one group is added or removed" in groups.statement()
    for word in ("meter", "not a promise", "publish"):
        assert word in PrivacyLedger.total.__doc__


def test_relation_and_unit_are_fields(ledger):
    assert (ledger.relation, ledger.unit) == (Relation.REPLACE_ONE, Unit.RECORD)
    added = replace(PrivacyLoss.laplace(0.2), relation=Relation.ADD_OR_REMOVE)
    ledger.charge(added)
    assert ledger.total() == (0.4, 0)
    assert list(ledger.history()["relation"]) == ["add-or-remove"]
    with pytest.raises(ValueError, match="protects one group"):
        ledger.charge(replace(added, unit=Unit.GROUP))
    other = PrivacyLedger.create(":memory:", 1.0, 0, relation="add-or-remove", unit="group")
    other.charge(replace(added, unit=Unit.GROUP)).spend(0.3)
    assert other.total() == (0.5, 0)
    assert list(other.history()["unit"]) == ["group", "group"]
    with pytest.raises(ValueError, match="takes the number of records for public"):
        other.charge(replace(PrivacyLoss.laplace(0.2), unit=Unit.GROUP))
    assert len(ledger) == 1 and len(other) == 2 and ledger.verify() == 2 and other.verify() == 3


def test_a_release_of_unknown_law_is_refused(ledger):
    with pytest.raises(ValueError, match=r"neither pure.* nor Gaussian.*PrivacyLoss\.gaussian"):
        ledger.spend(0.1, 1e-9)
    assert len(ledger) == 0


def test_return_value_is_the_ledger(ledger):
    assert ledger.spend(0.1, 0) is ledger
    assert ledger.charge(PrivacyLoss.laplace(0.1)) is ledger
    assert ledger.set_cap(2.0, 1e-6) is ledger


@pytest.mark.parametrize(
    ("epsilon", "delta", "error"),
    [
        (math.nan, 0, ValueError),
        (math.inf, 0, ValueError),
        (-0.1, 0, ValueError),
        (5e-324, 0, ValueError),
        (0, 0, ValueError),
        (0.1, 1e-9, ValueError),
        (0.1, 1, ValueError),
        (0.1, math.nan, ValueError),
        (0.1, 5e-324, ValueError),
        (True, 0, TypeError),
        ("0.1", 0, TypeError),
        (None, 0, TypeError),
        (0.1, "0", TypeError),
        (0.1j, 0, TypeError),
    ],
)
def test_what_is_no_amount_is_refused(ledger, epsilon, delta, error):
    with pytest.raises(error):
        ledger.spend(epsilon, delta)
    assert len(ledger) == 0


@pytest.mark.parametrize(
    "cap",
    [
        {"epsilon": 0, "delta": 0},
        {"epsilon": math.inf, "delta": 0},
        {"epsilon": math.nan, "delta": 0},
        {"epsilon": 1.0, "delta": 1.0},
        {"epsilon": 1.0, "delta": -1e-6},
        {"epsilon": True, "delta": 0},
        {"epsilon": 1.0, "delta": "0"},
        {"epsilon": 1.0, "delta": 1e-6, "pure": 1.5},
        {"epsilon": 1.0, "delta": 1e-6, "pure": -0.5},
    ],
)
def test_what_is_no_budget_is_refused(path, cap):
    with pytest.raises((TypeError, ValueError)):
        PrivacyLedger.create(path, **cap)
    assert not path.exists()
    with pytest.raises((TypeError, ValueError)):
        PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0).set_cap(**cap)


def test_numpy_amounts(ledger):
    ledger.spend(np.float64(0.25), np.int64(0))
    ledger.spend(np.float32(0.25), 0)
    assert ledger.total() == (0.5, 0)


def test_notes(ledger):
    for note in ("", "a note", "nul \0 and ümlaut", "lone \ud800 surrogate", "x" * 10_000):
        ledger.charge(PrivacyLoss.laplace(0.01), note=note)
    assert ledger.verify() == 6
    with pytest.raises(TypeError, match="note"):
        ledger.charge(PrivacyLoss.laplace(0.01), note=b"bytes")


def test_charge_wants_a_loss(ledger):
    with pytest.raises((TypeError, AttributeError)):
        ledger.charge(0.1)
    assert len(ledger) == 0


# -- overdrafts --------------------------------------------------------------------------------


def test_overdraft_says_spent_asked_remaining_and_largest():
    def fresh():
        return shared().spend(0.25, 0).charge(PrivacyLoss.gaussian(0.2, 1e-6))

    ledger, asked = fresh(), PrivacyLoss.gaussian(0.9, 1e-6)
    with pytest.raises(BudgetError) as caught:
        ledger.charge(asked)
    error, text = caught.value, str(caught.value)
    assert isinstance(error, load("utils").BudgetError)
    assert error.spent == ledger.total() and f"{error.spent[0]:.6g}" in text
    assert error.asked == (0.9, 1e-6) and "epsilon=0.9, delta=1e-06" in text
    assert error.remaining == ledger.remaining()[0] and repr(error.remaining) in text
    assert error.largest == ledger.largest(asked) and repr(error.largest) in text
    assert error.largest > error.remaining > 0
    # The figures are true: what is said to fit fits, and a little more does not.
    for figure, loss in (
        (error.largest, lambda x: PrivacyLoss.gaussian(x, 1e-6)),
        (error.remaining, PrivacyLoss.laplace),
    ):
        with pytest.raises(BudgetError):
            fresh().charge(loss(figure * (1 + 1e-6)))
        fresh().charge(loss(figure))


def test_overdraft_says_which_part_is_missing(ledger):
    with pytest.raises(BudgetError, match="no part for Gaussian noise"):
        ledger.charge(PrivacyLoss.gaussian(0.1, 1e-6))
    with pytest.raises(BudgetError, match="made with pure=0"):
        PrivacyLedger.create(":memory:", 1.0, 1e-6).spend(0.5)


def test_overdraft_survives_pickling(ledger):
    with pytest.raises(BudgetError) as caught:
        ledger.spend(2.0, 0)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert type(copied) is BudgetError and str(copied) == str(caught.value)
    assert copied.largest == caught.value.largest == 1.0


def test_remaining_is_true(ledger):
    assert ledger.remaining().__class__ is load("utils").Budget
    epsilon, delta = ledger.spend(0.3, 0).remaining()
    assert delta == 0
    with pytest.raises(BudgetError):
        ledger.spend(epsilon * (1 + 1e-9))
    ledger.spend(epsilon)
    assert ledger.remaining()[0] == 0


# -- the budget belongs to the file ------------------------------------------------------------


def test_creating_and_opening(path, tmp_path, monkeypatch):
    with pytest.raises(LedgerError, match=re.escape(str(path)) + r".*create\(path, epsilon, delta"):
        PrivacyLedger(path)
    assert not any(tmp_path.iterdir())
    ledger = PrivacyLedger.create(path, 1.0, 1e-6, pure=0.25)
    assert (ledger.epsilon, ledger.delta, ledger.pure) == (1.0, 1e-6, 0.25)
    with pytest.raises(LedgerError, match="exists already"):
        PrivacyLedger.create(path, 1.0, 1e-6)
    ledger.spend(0.25)
    assert PrivacyLedger(path).total() == (0.25, 0)
    # Another working directory is not a fresh budget.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    assert PrivacyLedger(path.name).total() == (0.25, 0)
    monkeypatch.chdir(elsewhere)
    with pytest.raises(LedgerError, match=re.escape(str(elsewhere / path.name))):
        PrivacyLedger(path.name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert PrivacyLedger("~/" + path.name).path == os.path.realpath(path)
    with pytest.raises(LedgerError, match="create"):
        PrivacyLedger(":memory:")


def test_without_delta_all_is_pure():
    ledger = PrivacyLedger.create(":memory:", epsilon=3.0, delta=0)
    assert ledger.pure == 3.0 and ledger.spend(3.0).total() == (3.0, 0)


def test_set_cap_is_for_all(path):
    first = PrivacyLedger.create(path, epsilon=1.0, delta=0.0)
    second = PrivacyLedger(path)
    first.spend(1.0, 0)
    second.set_cap(1.5, 1e-6, pure=1.5)
    assert (first.epsilon, first.delta, first.pure) == (1.5, 1e-6, 1.5)
    first.spend(0.25, 0)
    with pytest.raises(ValueError, match=r"epsilon=1.25, delta=0 is spent"):
        second.set_cap(1.2, 0.0)
    second.set_cap(1.25, 0.0)
    assert first.pure == 1.25
    with pytest.raises(BudgetError):
        first.spend(0.01, 0)
    assert list(first.history(events=True)["kind"]) == ["open", "pure", "cap", "pure", "cap"]
    assert first.verify() == 5


def test_set_cap_keeps_the_parts():
    ledger = shared().charge(PrivacyLoss.gaussian(0.5, 1e-6))
    for cap in ((1.0, 1e-7), (0.9, 1e-6), (100.0, 0.0), (1.0, 1e-6, 0.6)):
        with pytest.raises(ValueError, match="cannot be set"):
            ledger.set_cap(*cap)
    ledger.set_cap(1.5, 1e-7)
    assert ledger.pure == 0.5
    ledger.set_cap(1.5, 1e-7, pure=0.1)
    with pytest.raises(ValueError, match="in the part for pure"):
        ledger.spend(0.1).set_cap(1.5, 1e-7, pure=0.05)
    ledger = PrivacyLedger.create(":memory:", epsilon=1.0, delta=0)
    assert ledger.set_cap(2.0, 0).pure == 2.0
    assert ledger.set_cap(3.0, 1e-6).pure == 2.0
    assert ledger.set_cap(1.0, 1e-6).pure == 1.0
    for word in ("raised", "lowered", "depend"):
        assert word in PrivacyLedger.set_cap.__doc__


# -- handles -----------------------------------------------------------------------------------


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
    with pytest.raises(LedgerError, match="is gone"):
        gone.spend(0.1, 0)
    assert "is gone" in repr(gone)
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
    assert run(OTHER_PROCESS, pickle.dumps(on_disk).hex()) == "charged\n"
    assert on_disk.total() == (0.25, 0)
    in_memory = PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0)
    answer = run(OTHER_PROCESS, pickle.dumps(in_memory).hex())
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
    assert run(script, path).splitlines() == ["1 31 1 1.0"] * 5


@needs_fork
@pytest.mark.slow
def test_ledger_in_memory_refuses_in_a_forked_child():
    script = """
        import os
        from skdistill.accounting.ledger import LedgerError, PrivacyLedger

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
    assert "cannot be charged from another" in run(script)


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
    assert run(script, path) == "3 [b'labels']\n"


def test_keys_and_blobs_are_bytes(ledger):
    for call in (
        lambda: ledger.remember("key", b"blob"),
        lambda: ledger.remember(b"key", "blob"),
        lambda: ledger.remember(b"key", bytearray(b"blob")),
        lambda: ledger.recall("key"),
    ):
        with pytest.raises(TypeError, match="must be bytes"):
            call()


# -- diffprivlib's models and tools compute, and spend then --------------------------------------


def test_is_no_accountant_of_diffprivlib(ledger):
    with pytest.raises(TypeError, match="BudgetAccountant"):
        load("accountant").BudgetAccountant.load_default(ledger)
    for _ in range(2):
        with pytest.raises(TypeError, match="spend after they have computed.*Charge first"), ledger:
            pass
    assert load("accountant").BudgetAccountant.pop_default() is None


@pytest.mark.skipif(not has_diffprivlib(), reason="import diffprivlib fails here")
def test_models_and_tools_of_diffprivlib_compute_nothing(ledger, table):
    from diffprivlib import models, tools

    X, y = table
    with pytest.raises(TypeError, match="BudgetAccountant"):
        models.GaussianNB(epsilon=0.25, bounds=(-1, 1), accountant=ledger).fit(X, y)
    with pytest.raises(TypeError, match="BudgetAccountant"):
        tools.mean(X[:, 0], epsilon=0.125, bounds=(-5, 5), accountant=ledger)
    assert len(ledger) == 0


@pytest.mark.slow
def test_lazy():
    """Neither sqlite3 nor diffprivlib is imported before a ledger is asked for."""
    run(
        """
        import sys
        import skdistill, skdistill.accounting
        assert not {"sqlite3", "diffprivlib"} & set(sys.modules)
        from skdistill.accounting.ledger import PrivacyLedger
        assert PrivacyLedger.create(":memory:", 1.0, 0.0).spend(1, 0).total() == (1, 0)
        """
    )


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
