"""The reports of a ledger: history, text, HTML."""

import re
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import pytest

from skdistill.accounting import PrivacyLoss, ledger_file, ledger_report
from skdistill.accounting.ledger import PrivacyLedger


@pytest.fixture
def ledger(tmp_path):
    ledger = PrivacyLedger.create(tmp_path / "<ledger>.db", epsilon=2.0, delta=1e-6, pure=1.0)
    ledger.spend(0.5, 0)
    ledger.charge(PrivacyLoss.gaussian(0.5, 1e-6), note="<b>teacher</b>")
    ledger.remember(b"key", b"labels")
    ledger.spend(0.25)
    return ledger


COLUMNS = (
    "time kind epsilon delta mu relation unit note process anywhere total_epsilon "  # noqa: SIM905
    "total_delta total_pure total_mu cap_epsilon cap_delta cap_pure intact".split()
)


def test_history_lists_charges(ledger):
    frame = ledger.history()
    assert list(frame.columns) == COLUMNS
    assert list(frame["kind"]) == ["pure", "gaussian", "pure"]
    assert len(frame) == len(ledger)
    for last in (0, 1, 2, 3, 100):
        assert list(ledger.history(last)["epsilon"]) == [0.5, 0.5, 0.25][-last or 3 :]
    for _ in range(5):
        ledger.remember(b"other", b"release")
    assert list(ledger.history(2)["kind"]) == ["gaussian", "pure"]


def test_history_of_all_events(ledger):
    frame = ledger.history(events=True)
    assert list(frame.columns) == COLUMNS
    assert list(frame["kind"]) == ["open", "pure", "gaussian", "remember", "pure"]
    assert list(frame["epsilon"]) == [0.0, 0.5, 0.5, 0.0, 0.25]
    assert frame["mu"][2] == PrivacyLoss.gaussian(0.5, 1e-6).mu
    assert frame["note"][2] == "<b>teacher</b>"
    assert list(frame["total_epsilon"][:2]) == [0.0, 0.5]
    assert frame["total_epsilon"][2] == frame["total_epsilon"][3]
    assert (frame["total_epsilon"][4], frame["total_delta"][4]) == ledger.total()
    assert frame["total_epsilon"].is_monotonic_increasing
    assert frame["intact"].all() and not frame["anywhere"].any()
    assert abs(frame["time"][4].to_pydatetime() - datetime.now(UTC)) < timedelta(hours=1)


def test_last_entries(ledger):
    whole = ledger_report.history(ledger._store, None, True)
    for last in (1, 2, 5, 100):
        assert ledger_report.history(ledger._store, last, True) == whole[-last:]
        assert len(ledger.history(last, events=True)) == min(last, 5)


def test_history_without_pandas(ledger, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = ledger.history(events=True)
    assert isinstance(rows, list) and list(rows[0]) == COLUMNS
    assert rows[1]["epsilon"] == 0.5 and rows[2]["mu"] is not None and rows[1]["mu"] is None


def test_history_shows_what_was_tampered_with(ledger):
    connection = sqlite3.connect(ledger.path, isolation_level=None)
    connection.execute("UPDATE entries SET text = replace(text, '0.5', '0.4') WHERE n = 1")
    connection.close()
    assert list(ledger.history()["intact"]) == [False, True, True]
    assert list(ledger.history(events=True)["intact"]) == [True, False, True, True, True]
    rows = ledger_report.history(ledger._store, None, True)
    assert ledger_report.as_table(rows).count("TAMPERED WITH") == 1
    assert ledger.total()[0] > 0.5


def test_text(ledger):
    text = ledger_report.as_text(ledger.path, ledger._store.tip())
    bar = re.search(r"\[(#*)(\.*)\] ([\d.]+)% of the budget", text)
    assert bar[3] == "75.0" and len(bar[1]) == 30 and len(bar[2]) == 10
    assert f"ε = {ledger.total()[0]:.6g}, δ = 1e-06 in 3 charges" in text
    assert "budget   ε = 2, δ = 1e-06, of which ε = 1 for releases with δ = 0" in text
    assert f"ε = {ledger.remaining()[0]:.6g} for one more" in text
    assert "one record, replace-one" in text
    ledger.charge(PrivacyLoss.gaussian(0.7, 1e-6))
    assert ledger_report.share(ledger._store.tip()) > 0.75  # the fuller part


def test_html(ledger):
    html = ledger._repr_html_()
    assert re.search(r"<progress value='0.75' max='1'", html)
    assert "&lt;ledger&gt;.db" in html and "<ledger>" not in html
    assert "in 3 charges" in html and "budget" in html and "left" in html
    ledger.spend(0.25)
    assert "value='1'" in ledger._repr_html_()


def test_repr(ledger):
    assert re.fullmatch(
        r"PrivacyLedger\('.*<ledger>\.db'\): budget ε = 2, δ = 1e-06, of which ε = 1 for releases "
        r"with δ = 0; spent ε = [\d.]+, δ = 1e-06 in 3 charges",
        repr(ledger),
    )
    ledger.replay = False
    assert "replay=False" in repr(ledger)


def test_empty_ledger_says_so():
    ledger = PrivacyLedger.create(":memory:", epsilon=1.0, delta=0.0)
    text = ledger_report.as_text(":memory:", ledger._store.tip())
    assert "ε = 0 in 0 charges" in text and "[" + "." * 40 + "] 0.0%" in text
    assert list(ledger.history().columns) == COLUMNS and len(ledger.history()) == 0
    assert len(ledger.history(events=True)) == 1
    ledger.spend(0.5, 0)
    assert "in 1 charge\n" in ledger_report.as_text(":memory:", ledger._store.tip())


def test_a_total_above_the_cap_is_told(ledger):
    """Of a file that somebody changed who computes the hashes, too: nothing is made smaller."""
    loss = PrivacyLoss.laplace(9.0)
    ledger._store.append(lambda tip: tip.next("pure", totals=tip.totals.add(loss), loss=loss))
    assert ledger.total()[0] > 9 > ledger.epsilon
    assert ledger.remaining() == (0, 0)


def test_a_long_history_is_read_in_parts_that_join(tmp_path):
    store, loss = (
        PrivacyLedger.create(tmp_path / "l.db", 9.0, 0.0)._store,
        PrivacyLoss.laplace(1e-3),
    )
    with store._session() as (file, connection):  # charge by charge it takes long
        entry, (_, previous) = store._tip(file, connection), store._known
        connection.execute("BEGIN")
        for _ in range(1_200):
            entry = entry.next("pure", totals=entry.totals.add(loss), loss=loss)
            row = ledger_file.Row.of(entry, previous)
            ledger_file._insert(connection, row)
            previous = row.hash
        connection.execute("COMMIT")
        store._write_head(file, row, entry)
    ledger = PrivacyLedger(tmp_path / "l.db")
    assert ledger.verify() == 1_201 == len(ledger) + 1 == ledger._store.tip().n + 1
    assert [entry.totals.n for entry in ledger._store.walk()] == list(range(1_201))
    assert [entry.totals.n for entry in ledger._store.walk(499)] == list(range(499, 1_201))
