"""Files that were cut, edited, swapped or restored: nothing acknowledged is lost unnoticed."""

import shutil
import sqlite3

import pytest
from ledger_files import AMOUNT, created, edited, files, filled, holds, opened, snapshot, tampered

from skdistill.accounting import PrivacyLedger, PrivacyLoss, ledger_file
from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger import LedgerError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


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
    with pytest.raises(LedgerError, match="could not be written or read.*-head"):
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
    with pytest.raises(LedgerError, match="has lost charges.* 8 is not there"):
        opened(mixture(old, new))
    assert holds(mixture(new, old), 7)  # an old head is brought up to date
    # The limit that is documented: both files, put back as they were together once.
    assert len(opened(mixture(old, old))) == 3
    # A handle that is open remembers more.
    for name in ("", "-head"):
        shutil.copyfile(files(old)[name], files(path)[name])
    for use in (lambda: ledger.spend(AMOUNT, 0), ledger.total, lambda: ledger.recall(b"key")):
        with pytest.raises(LedgerError, match="has lost charges.* 8 is not there"):
            use()


@pytest.mark.parametrize("more", [0, 1, 4])
@pytest.mark.parametrize("names", [("", "-head"), ("",), ("-head",)])
def test_a_copy_that_was_used_is_written_over_the_ledger(path, tmp_path, more, names):
    """In place (the file keeps its inode), as long or longer, with a chain and a head of its own.

    The handle that is open knows a charge that is not there.
    """
    filled(path, 2)
    ledger, twin = opened(path), snapshot(path, tmp_path / "twin")
    for _ in range(3):
        ledger.spend(AMOUNT, 0)
    other = opened(twin)
    for _ in range(3 + more):
        other.spend(AMOUNT / 100, 0)
    del other
    for name in names:
        shutil.copyfile(files(twin)[name], files(path)[name])
    if (names, more) == (("",), 0):
        # As many commits as before: SQLite takes its cache for the file. All that the handle
        # knows is there, and its next charge writes it back.
        assert len(ledger.spend(AMOUNT, 0)) == 6 and ledger.total()[0] >= 6 * AMOUNT
        assert holds(path, 6)
        return
    uses = [ledger.total, lambda: ledger.recall(b"key"), lambda: ledger.spend(AMOUNT, 0)]
    for use in [*uses, ledger.verify]:
        with pytest.raises(LedgerError, match="lost charges|were changed"):
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


COLUMNS = {
    "n": "n + 7",
    "key": "x'00'",
    "text": "replace(text, '\"n\":', '\"n\": ')",
    "hash": "zeroblob(32)",
}


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
    open_before = opened(path)
    tampered(path, f"UPDATE entries SET {column} = -1 - {row} WHERE n = {row}")
    if row == 0:
        with pytest.raises(LedgerError, match="not there as it was"):
            opened(path)
    ledger = opened(path) if row else open_before
    with pytest.raises(LedgerError, match=f"Entry {row} of"):
        ledger.verify()
    assert ledger.total()[0] == pytest.approx(charges * AMOUNT)
    assert None in list(ledger._store.walk())
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


@pytest.mark.parametrize("delete", ["n = 1", "n = 5", "n < 0"])
@pytest.mark.parametrize("copied", ["n = 0", "n < 4", "n = 9"])
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "another's"])
def test_rows_pasted_after_the_last(path, tmp_path, delete, copied, ours):
    """An earlier row, or one of a ledger with a larger cap, is no last entry anywhere."""
    charges, other = filled(path, 9), tmp_path / "other.db"
    rich = PrivacyLedger.create(other, 100.0, 0.0)
    for _ in range(9):
        rich.spend(AMOUNT, 0)
    rich._store.close()
    source = "main" if ours else "other"
    for place in (1, 40):  # beside the last entry, and after a gap
        copy = snapshot(path, tmp_path / f"copy{place}")
        open_before = opened(copy)
        rows = "SELECT n + 10 + {}, key, text, hash, blob FROM {}.entries WHERE {}"
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute("ATTACH ? AS other", [str(other)])
        connection.execute("DELETE FROM main.entries WHERE " + delete)
        connection.execute("INSERT INTO main.entries " + rows.format(place, source, copied))
        connection.close()
        assert not holds(copy, charges)
        with pytest.raises(LedgerError, match="not there as it was"):
            open_before.spend(AMOUNT, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"totals": Totals(6, 0, 10**30)},
        {"totals": Totals(6, 0, 5 * 10**38 + 10**37)},
        {"totals": Totals(6, 10**37, 6 * 10**38)},
        {"totals": Totals(5, 0, 6 * 10**38)},
        {"cap": Cap.of(20.0, 1e-6, 20.0)},
        {"kind": "remember", "loss": None},
        {
            "kind": "remember",
            "loss": None,
            "cap": Cap.of(20.0, 1e-6, 20.0),
            "totals": Totals(5, 0, 5 * 10**38),
        },
    ],
)
def test_totals_that_do_not_add_up(path, change):
    """Somebody who computes the hashes anew is not stopped, but must also add correctly."""
    ledger = created(path)
    for _ in range(4):
        ledger.spend(AMOUNT, 0)
    good = {"kind": "pure", "loss": PrivacyLoss.laplace(AMOUNT)}
    good["totals"] = Totals(5, 0, 5 * 10**38)
    ledger._store.append(lambda tip: tip.next(**good))
    assert ledger.verify() == 6
    good["totals"] = Totals(6, 0, 6 * 10**38)
    ledger._store.append(lambda tip: tip.next(**good | change))
    with pytest.raises(LedgerError, match="Entry 6 of .* counters"):
        ledger.verify()


def test_a_ledger_that_begins_with_a_total(path, monkeypatch):
    monkeypatch.setattr(ledger_file, "Totals", lambda: Totals(1, 0, 5))
    created(path)
    monkeypatch.undo()
    with pytest.raises(LedgerError, match="Entry 0 of .* counters"):
        opened(path).verify()
