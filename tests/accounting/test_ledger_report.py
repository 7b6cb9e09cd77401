"""What a ledger says: history, text, HTML."""

import re
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import pytest

from skdistill.accounting import PrivacyLoss, ledger_report
from skdistill.accounting.ledger import PrivacyLedger


@pytest.fixture
def ledger(tmp_path):
    ledger = PrivacyLedger(tmp_path / "<ledger>.db", epsilon=2.0, delta=1e-6)
    ledger.spend(0.5, 0)
    ledger.charge(PrivacyLoss.gaussian(0.5, 1e-6), note="<b>teacher</b>")
    ledger.remember(b"key", b"labels")
    ledger.spend(0.25, 1e-8)
    return ledger


COLUMNS = (
    "time kind epsilon delta mu note process total_epsilon total_delta intact".split()  # noqa: SIM905
)


def test_history_lists_charges(ledger):
    frame = ledger.history()
    assert list(frame.columns) == COLUMNS
    assert list(frame["kind"]) == ["pure", "gaussian", "approximate"]
    assert len(frame) == len(ledger)
    for last in (0, 1, 2, 3, 100):
        assert list(ledger.history(last)["epsilon"]) == [0.5, 0.5, 0.25][-last or 3 :]
    for _ in range(5):
        ledger.remember(b"other", b"release")
    assert list(ledger.history(2)["kind"]) == ["gaussian", "approximate"]


def test_history_of_all_events(ledger):
    frame = ledger.history(events=True)
    assert list(frame.columns) == COLUMNS
    assert list(frame["kind"]) == ["open", "pure", "gaussian", "remember", "approximate"]
    assert list(frame["epsilon"]) == [0.0, 0.5, 0.5, 0.0, 0.25]
    assert frame["mu"][2] == PrivacyLoss.gaussian(0.5, 1e-6).mu
    assert frame["note"][2] == "<b>teacher</b>"
    assert list(frame["total_epsilon"][:2]) == [0.0, 0.5]
    assert frame["total_epsilon"][2] == frame["total_epsilon"][3]
    assert (frame["total_epsilon"][4], frame["total_delta"][4]) == ledger.total()
    assert frame["total_epsilon"].is_monotonic_increasing
    assert frame["intact"].all()
    assert abs(frame["time"][4].to_pydatetime() - datetime.now(UTC)) < timedelta(hours=1)


def test_last_entries(ledger):
    whole = list(ledger_report.records(ledger._store))
    for last in (1, 2, 5, 100):
        assert list(ledger_report.records(ledger._store, last)) == whole[-last:]
        assert len(ledger.history(last, events=True)) == min(last, 5)


def test_history_without_pandas(ledger, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = ledger.history(events=True)
    assert isinstance(rows, list) and list(rows[0]) == COLUMNS
    assert rows[1]["epsilon"] == 0.5 and rows[2]["mu"] is not None and rows[1]["mu"] is None


def test_history_shows_what_was_tampered_with(ledger):
    connection = sqlite3.connect(ledger.path, isolation_level=None)
    connection.execute("UPDATE entries SET epsilon = 'abc' WHERE n = 1")
    connection.close()
    assert list(ledger.history()["intact"]) == [False, True, True]
    assert list(ledger.history(events=True)["intact"]) == [True, False, True, True, True]
    rows = list(ledger_report.records(ledger._store))
    assert ledger_report.as_table(rows).count("TAMPERED WITH") == 1
    assert ledger.total()[0] > 0.5


def test_text(ledger):
    text = ledger_report.as_text(ledger.path, ledger._store.tip())
    bar = re.search(r"\[(#*)(\.*)\] ([\d.]+)% of ε", text)
    share = ledger.total()[0] / 2.0
    assert len(bar[1]) == round(40 * share) and len(bar[1] + bar[2]) == 40
    assert float(bar[3]) == pytest.approx(100 * share, abs=0.06)
    assert f"ε = {ledger.total()[0]:.6g}, δ = 1e-06 in 3 charges" in text
    assert "budget  ε = 2, δ = 1e-06" in text
    assert f"ε = {ledger.remaining()[0]:.6g} for one more" in text


def test_html(ledger):
    html = ledger._repr_html_()
    width = float(re.search(r"<div style='width:([\d.]+)%", html)[1])
    assert width == pytest.approx(100 * ledger.total()[0] / 2.0, rel=1e-3)
    assert "&lt;ledger&gt;.db" in html and "<ledger>" not in html
    assert "in 3 charges" in html and "budget" in html and "left" in html
    ledger.set_cap(ledger.total()[0] * (1 + 1e-9), 1e-6)
    assert "width:100%" in ledger._repr_html_()


def test_repr(ledger):
    assert re.fullmatch(
        r"PrivacyLedger\('.*<ledger>\.db', epsilon=2.0, delta=1e-06\): spent ε=[\d.]+ in 3 charges",
        repr(ledger),
    )
    ledger.replay = False
    assert "replay=False" in repr(ledger)


def test_empty_ledger_says_so():
    ledger = PrivacyLedger(":memory:", epsilon=1.0, delta=0.0)
    text = ledger_report.as_text(":memory:", ledger._store.tip())
    assert "ε = 0 in 0 charges" in text and "[" + "." * 40 + "] 0.0%" in text
    assert list(ledger.history().columns) == COLUMNS and len(ledger.history()) == 0
    assert len(ledger.history(events=True)) == 1
    ledger.spend(0.5, 0)
    assert "in 1 charge\n" in ledger_report.as_text(":memory:", ledger._store.tip())
