"""The accountant: what it charges, refuses and says; its handles in other threads and processes."""

import copy
import math
import pickle
import threading

import joblib
import numpy as np
import pytest
from processes import needs_fork, run
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skdistill._diffprivlib import load
from skdistill.accounting import PrivacyLoss
from skdistill.accounting.composition import Charge, Totals
from skdistill.accounting.ledger import BudgetError, LedgerError, PrivacyLedger


@pytest.fixture
def ledger():
    return PrivacyLedger(":memory:", epsilon=1.0, delta=1e-6)


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
    # Nothing of the delta was needed; only a charge without epsilon may still use it.
    with pytest.raises(BudgetError):
        ledger.spend(1e-9, 0)
    assert len(ledger) == 10 and ledger.total() == (1.0, 0)


def test_gaussian_charges_add_in_mu_squared(ledger):
    whole = PrivacyLoss.gaussian(1.0, 1e-6)
    for _ in range(4):
        ledger.charge(whole.part(0.25), note="a quarter")
    assert ledger.total() == pytest.approx((1.0, 1e-6))
    assert ledger.total()[0] <= 1.0
    with pytest.raises(BudgetError):
        ledger.charge(whole.part(1e-6))
    assert [row[0] for row in ledger.spent_budget] == [whole.part(0.25).epsilon] * 4


def test_both_kinds_in_one_total(ledger):
    """The total is the least of the bounds, and less than what adding epsilons would give."""
    gaussian, pure = PrivacyLoss.gaussian(0.3, 1e-6), PrivacyLoss.laplace(0.05)
    expected = Totals.zero()
    for loss in (gaussian, pure, gaussian, pure, gaussian):
        ledger.charge(loss)
        expected = expected.add(Charge.of(loss))
    ledger.spend(0.05, 0)
    expected = expected.add(Charge.spend(0.05, 0))
    assert ledger.total() == (expected.epsilon(1e-6), 1e-6)
    assert ledger.total()[0] < 3 * 0.3 + 3 * 0.05
    assert len(ledger) == 6


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
    for call in (ledger.spend, ledger.check):
        with pytest.raises(error):
            call(epsilon, delta)
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
    ],
)
def test_what_is_no_budget_is_refused(path, cap):
    with pytest.raises((TypeError, ValueError)):
        PrivacyLedger(path, **cap)
    assert not path.exists()
    with pytest.raises((TypeError, ValueError)):
        PrivacyLedger(":memory:", epsilon=1.0, delta=0.0).set_cap(**cap)


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


def test_overdraft_says_spent_asked_remaining_and_largest(ledger):
    ledger.spend(0.25, 0)
    ledger.charge(PrivacyLoss.gaussian(0.4, 1e-6))
    asked = PrivacyLoss.gaussian(0.9, 1e-6)
    with pytest.raises(BudgetError) as caught:
        ledger.charge(asked)
    error, text = caught.value, str(caught.value)
    assert isinstance(error, load("utils").BudgetError)
    assert error.spent == ledger.total() and f"{error.spent[0]:.6g}" in text
    assert error.asked == (0.9, 1e-6) and "epsilon=0.9, delta=1e-06" in text
    assert error.remaining == ledger.remaining()[0] and repr(error.remaining) in text
    assert error.largest == ledger.largest(asked) and repr(error.largest) in text
    assert error.largest > error.remaining > 0  # Gaussian releases cost less than pure ones here
    # The figures are true: what is said to fit fits, and a little more does not.
    for figure, loss in (
        (error.largest, lambda x: PrivacyLoss.gaussian(x, 1e-6)),
        (error.remaining, PrivacyLoss.laplace),
    ):
        other = PrivacyLedger(":memory:", epsilon=1.0, delta=1e-6)
        other.spend(0.25, 0).charge(PrivacyLoss.gaussian(0.4, 1e-6))
        with pytest.raises(BudgetError):
            other.charge(loss(figure * (1 + 1e-6)))
        other.charge(loss(figure))


def test_overdraft_survives_pickling(ledger):
    with pytest.raises(BudgetError) as caught:
        ledger.spend(2.0, 0)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert type(copied) is BudgetError and str(copied) == str(caught.value)
    assert copied.largest == caught.value.largest == 1.0


@pytest.mark.parametrize("k", [1, 3, 50])
def test_remaining_is_true(k):
    def fresh():
        ledger = PrivacyLedger(":memory:", epsilon=1.0, delta=1e-6)
        return ledger.spend(0.3, 0).charge(PrivacyLoss.gaussian(0.2, 1e-6))

    epsilon, delta = fresh().remaining(k)
    for amount in ((epsilon, 0), (0, delta)):
        ledger = fresh()
        for _ in range(k):
            ledger.spend(*amount)
        ledger = fresh()
        more = tuple(x * (1 + 1e-9) for x in amount)
        with pytest.raises(BudgetError):
            for _ in range(k):
                ledger.spend(*more)


def test_remaining_of_what(ledger):
    with pytest.raises(TypeError, match="k must be"):
        ledger.remaining(1.0)
    with pytest.raises(TypeError, match="k must be"):
        ledger.remaining(True)
    with pytest.raises(ValueError, match="at least 1"):
        ledger.remaining(0)
    assert ledger.remaining(np.int64(4)).__class__ is load("utils").Budget
    assert ledger.remaining()[0] == 1.0
    ledger.spend(1.0, 0)
    assert ledger.remaining()[0] == 0


def test_check_changes_nothing(ledger):
    assert ledger.check(1.0, 0) is True
    with pytest.raises(BudgetError):
        ledger.check(1.1, 0)
    assert len(ledger) == 0


def test_total_of_other_spends(ledger):
    ledger.spend(0.5, 0)
    assert ledger.total(spent_budget=[(0.1, 0), (0.2, 0)]) == (pytest.approx(0.3), 0)
    assert ledger.total(spent_budget=[]) == (0, 0)
    assert ledger.total(slack=0) == (0.5, 0)
    assert ledger.slack == 0
    ledger.slack = 0.0
    for use in (lambda: ledger.total(slack=1e-7), lambda: setattr(ledger, "slack", 1e-7)):
        with pytest.raises(ValueError, match="slack"):
            use()


# -- the budget belongs to the file ------------------------------------------------------------


def test_changed_budget_is_refused(path):
    PrivacyLedger(path, epsilon=1.0, delta=1e-6).spend(0.5, 0)
    for cap in ({"epsilon": 2.0, "delta": 1e-6}, {"epsilon": 1.0, "delta": 1e-5}):
        with pytest.raises(LedgerError, match=r"epsilon=1.0, delta=1e-06, not .*set_cap"):
            PrivacyLedger(path, **cap)
    assert PrivacyLedger(path, epsilon=1, delta=1e-6).total() == (0.5, 0)


def test_set_cap_is_for_all(path):
    first = PrivacyLedger(path, epsilon=1.0, delta=0.0)
    second = PrivacyLedger(path, epsilon=1.0, delta=0.0)
    first.spend(1.0, 0)
    second.set_cap(1.5, 1e-6)
    assert (first.epsilon, first.delta) == (1.5, 1e-6)
    first.spend(0.25, 0)
    with pytest.raises(ValueError, match=r"epsilon=1.25, delta=0 is spent"):
        second.set_cap(1.2, 0.0)
    second.set_cap(1.25, 0.0)
    with pytest.raises(BudgetError):
        first.spend(0.01, 0)
    kinds = [entry.kind for entry, _ in first._store.walk()]
    assert kinds == ["open", "pure", "cap", "pure", "cap"]
    assert first.verify() == 5


def test_set_cap_needs_the_delta_of_gaussian_charges(ledger):
    ledger.charge(PrivacyLoss.gaussian(1.0, 1e-6))
    for cap in ((1.0, 1e-7), (0.9, 1e-6), (100.0, 0.0)):
        with pytest.raises(ValueError, match="cannot be set"):
            ledger.set_cap(*cap)
    ledger.set_cap(1.5, 1e-7)


# -- handles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_copies_are_the_ledger(path, kind):
    ledger = PrivacyLedger(path if kind == "file" else ":memory:", epsilon=1.0, delta=0.0)
    assert copy.copy(ledger) is ledger and copy.deepcopy([ledger])[0] is ledger
    assert clone(ledger) is ledger
    estimator = LogisticRegression()
    estimator.accountant = ledger
    assert copy.deepcopy(estimator).accountant is ledger
    unpickled = pickle.loads(pickle.dumps(ledger))
    unpickled.spend(0.25, 0)
    assert ledger.total() == unpickled.total() == (0.25, 0)
    assert (unpickled is ledger) == (kind == "memory")
    assert bool(PrivacyLedger(":memory:", epsilon=1.0, delta=0.0))  # though its length is 0


def test_pickle_carries_replay(path):
    ledger = PrivacyLedger(path, epsilon=1.0, delta=0.0, replay=False)
    assert pickle.loads(pickle.dumps(ledger)).replay is False
    assert PrivacyLedger(path, epsilon=1.0, delta=0.0).replay is True


def test_pickle_of_a_ledger_that_was_replaced(path, tmp_path):
    pickled = pickle.dumps(PrivacyLedger(path, epsilon=1.0, delta=0.0))
    for file in tmp_path.iterdir():
        file.unlink()
    gone = pickle.loads(pickled)
    with pytest.raises(LedgerError, match="no ledger"):
        gone.spend(0.1, 0)
    assert "no ledger" in repr(gone)
    assert not path.exists()
    other = PrivacyLedger(path, epsilon=1.0, delta=0.0)
    with pytest.raises(LedgerError, match="another ledger"):
        gone.spend(0.1, 0)
    assert len(other) == 0


def test_pickle_of_a_ledger_in_memory_that_is_gone():
    pickled = pickle.dumps(PrivacyLedger(":memory:", epsilon=1.0, delta=0.0))
    with pytest.raises(LedgerError, match="memory of one process"):
        pickle.loads(pickled).spend(0.1, 0)


def test_ledgers_in_memory_are_apart():
    one, two = (PrivacyLedger(":memory:", epsilon=1.0, delta=0.0) for _ in range(2))
    one.spend(1.0, 0)
    assert two.total() == (0, 0)


def test_threads_share_a_ledger_in_memory():
    ledger, refused = PrivacyLedger(":memory:", epsilon=1.0, delta=0.0), []

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
    """What spawn and every cluster do: a pickle in a new interpreter."""
    on_disk = PrivacyLedger(path, epsilon=1.0, delta=0.0)
    assert run(OTHER_PROCESS, pickle.dumps(on_disk).hex()) == "charged\n"
    assert on_disk.total() == (0.25, 0)
    in_memory = PrivacyLedger(":memory:", epsilon=1.0, delta=0.0)
    answer = run(OTHER_PROCESS, pickle.dumps(in_memory).hex())
    assert "cannot be charged from another" in answer and "n_jobs=1" in answer
    assert in_memory.total() == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(path, backend):
    ledger = PrivacyLedger(path, epsilon=1.0, delta=0.0)
    with joblib.parallel_config(backend, n_jobs=2):
        joblib.Parallel()(joblib.delayed(ledger.spend)(0.01, 0) for _ in range(40))
    assert len(ledger) == 40 and ledger.verify() == 41
    assert (ledger.history()["process"].nunique() > 1) == (backend == "loky")


@needs_fork
@pytest.mark.slow
def test_the_last_unit_of_budget_goes_to_one_of_32(path):
    """Also: 32 processes that create the same ledger at the same time."""
    script = """
        import os, sys
        from skdistill.accounting.ledger import BudgetError, PrivacyLedger

        path, go = sys.argv[1], os.pipe()
        for _ in range(5):
            children = []
            for _ in range(32):
                if (child := os.fork()) == 0:
                    status = 1
                    try:
                        os.read(go[0], 1)
                        PrivacyLedger(path, epsilon=1.0, delta=1e-6).spend(1.0, 0)
                        status = 2
                    except BudgetError:
                        status = 3
                    finally:
                        os._exit(status)
                children.append(child)
            os.write(go[1], bytes(32))
            endings = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            ledger = PrivacyLedger(path, epsilon=1.0, delta=1e-6)
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

        ledger = PrivacyLedger(":memory:", epsilon=1.0, delta=0.0)
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


# -- exclusive ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "memory"])
def test_exclusive(path, place):
    """What is looked up and made inside is made once; others may charge meanwhile."""
    ledger = PrivacyLedger(path if place == "file" else ":memory:", epsilon=1.0, delta=0.0)
    made = []

    def release():
        with ledger.exclusive() as held, ledger.exclusive():
            assert held is ledger
            if not ledger.recall(b"key"):
                ledger.spend(0.1, 0)
                made.append(1)
                ledger.remember(b"key", b"labels")
            return ledger.recall(b"key")

    with ledger.exclusive():
        charging = threading.Thread(target=ledger.spend, args=(0.1, 0))
        charging.start()
        charging.join(60)
        assert len(ledger) == 1
    threads = [threading.Thread(target=release) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(ledger) == 2
    assert release() == [b"labels"]


@needs_fork
@pytest.mark.slow
def test_exclusive_between_processes_and_after_a_kill(path):
    script = """
        import os, signal, sys, time
        from skdistill.accounting.ledger import PrivacyLedger

        ledger = PrivacyLedger(sys.argv[1], epsilon=1.0, delta=0.0)
        children = []
        for number in range(6):
            if (child := os.fork()) == 0:
                with ledger.exclusive():
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


# -- it is a diffprivlib accountant ------------------------------------------------------------


def test_is_an_accountant(ledger):
    accountant = load("accountant").BudgetAccountant
    assert isinstance(ledger, accountant)
    assert accountant.load_default(ledger) is ledger
    assert accountant.pop_default() is None
    with ledger as entered:
        assert entered is ledger and accountant.load_default(None) is ledger
        with PrivacyLedger(":memory:", epsilon=2.0, delta=0.0) as inner:
            assert accountant.load_default(None) is inner
        assert accountant.load_default(None) is ledger
    assert accountant.pop_default() is None
    assert ledger.set_default() is ledger
    assert accountant.pop_default() is ledger


@pytest.mark.skipif(not has_diffprivlib(), reason="import diffprivlib fails here")
def test_models_and_tools_of_diffprivlib(ledger, table):
    from diffprivlib import models, tools

    (X, y), bounds = table, (-1, 1)
    model = models.GaussianNB(epsilon=0.25, bounds=bounds, accountant=ledger)
    model.fit(X, y)
    assert ledger.total() == (0.25, 0)
    assert "PrivacyLedger(" in repr(model)
    clone(model).fit(X, y)  # a clone charges too
    assert ledger.total() == (0.5, 0)
    tools.mean(X[:, 0], epsilon=0.125, bounds=(-5, 5), accountant=ledger)
    with ledger:
        tools.std(X[:, 0], epsilon=0.125, bounds=(-5, 5))
    ledger.charge(PrivacyLoss.gaussian(0.05, 1e-6), note="a distiller")
    assert len(ledger) == 5 and ledger.total()[0] == pytest.approx(0.8, abs=1e-9)
    ledger.set_default()
    try:
        with pytest.raises(load("utils").BudgetError, match="has no room"):
            models.GaussianNB(epsilon=0.5, bounds=bounds).fit(X, y)
        models.GaussianNB(epsilon=0.125, bounds=bounds).fit(X, y)
    finally:
        load("accountant").BudgetAccountant.pop_default()
    assert len(ledger) == 6
    assert ledger.verify() == 7


@pytest.mark.slow
@pytest.mark.skipif(not has_diffprivlib(), reason="import diffprivlib fails here")
def test_grid_search_of_diffprivlib_models(path, table):
    """diffprivlib's own accountant reports (0, 0) after a search: its clones charge copies."""
    from diffprivlib.models import GaussianNB
    from sklearn.model_selection import GridSearchCV

    (X, y), bounds = table, (-1, 1)
    totals = []
    ledger = PrivacyLedger(path, epsilon=10.0, delta=0.0)
    for accountant in (load("accountant").BudgetAccountant(), ledger):
        model = GaussianNB(bounds=bounds, accountant=accountant)
        GridSearchCV(model, {"epsilon": [0.1, 0.2]}, cv=3, n_jobs=2).fit(X, y)
        totals.append(accountant.total()[0])
    assert totals[0] < 0.5
    assert totals[1] == pytest.approx(3 * 0.3 + model.epsilon / 10, abs=0.11)
    assert len(ledger) == 7


@pytest.mark.slow
def test_lazy():
    """Neither sqlite3 nor diffprivlib is imported before a ledger is asked for."""
    run(
        """
        import sys
        import skdistill, skdistill.accounting
        assert not {"sqlite3", "diffprivlib"} & set(sys.modules)
        from skdistill.accounting.ledger import PrivacyLedger
        assert PrivacyLedger(":memory:", epsilon=1.0, delta=0.0).spend(1, 0).total() == (1, 0)
        """
    )
