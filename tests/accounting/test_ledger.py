"""The accountant: charges, refusals, texts."""

import math
import os
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from processes import run

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
    # The figures are true: the largest release fits, and a little more does not.
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
    assert ledger.replay and PrivacyLedger(path).replay
    with pytest.raises(LedgerError, match="exists already"):
        PrivacyLedger.create(path, 1.0, 1e-6)
    ledger.spend(0.25)
    assert PrivacyLedger(path).total() == (0.25, 0)
    assert PrivacyLedger(path).relation is Relation.REPLACE_ONE
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
