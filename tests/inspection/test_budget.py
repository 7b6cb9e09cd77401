from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from skdistill.inspection import BudgetDisplay

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def history():
    """The history of a ledger: its opening, three charges, a new cap between them."""
    rows = [("open", 0.0, 0.0), ("gaussian", 0.4, 0.4), ("pure", 0.5, 0.9), ("cap", 0.0, 0.9),
            ("gaussian", 0.3, 1.1)]  # fmt: skip
    return [
        {"time": START + timedelta(hours=i), "kind": kind, "epsilon": epsilon, "delta": 0.0,
         "total_epsilon": total, "intact": True}
        for i, (kind, epsilon, total) in enumerate(rows)
    ]  # fmt: skip


@pytest.fixture
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    yield pyplot
    pyplot.close("all")


def test_times_are_read_in_utc():
    east = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    times = [START, east, START.replace(tzinfo=None)]
    display = BudgetDisplay(times=times, totals=[0.1] * 3, epsilon=1.0)
    assert set(display.times) == {datetime(2026, 3, 1, 12)}
    assert display.remaining == 0.9
    assert BudgetDisplay(times=[], totals=[], epsilon=1.0).remaining == 1.0
    assert BudgetDisplay(times=[START], totals=[1.1], epsilon=1.0).remaining == 0.0
    with pytest.raises(ValueError, match="1 times, 2 totals, 1 kinds"):
        BudgetDisplay(times=[START], totals=[1, 2], epsilon=1.0)


@pytest.mark.parametrize("frame", [False, True])
def test_picture_shows_the_charges(plt, frame):
    rows = history()
    if frame:
        rows = pytest.importorskip("pandas").DataFrame(rows)
    display = BudgetDisplay.from_history(rows, epsilon=2.0, delta=1e-6, x="release")
    x, y = display.line_.get_data()
    assert np.allclose(x, [1, 1, 2, 3]) and np.allclose(y, [0, 0.4, 0.9, 1.1])
    assert display.line_.get_drawstyle() == "steps-post"
    assert {kind: len(mark.get_xdata()) for kind, mark in display.marks_.items()} == {
        "gaussian": 2,
        "pure": 1,
    }
    assert display.limit_line_.get_ydata()[0] == 2.0
    assert display.ax_.get_ylim() == pytest.approx((0, 2.16))
    assert "δ=1e-06" in display.ax_.get_ylabel() and display.ax_.get_xlabel() == "releases"
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["spent", "gaussian", "pure", "budget, ε=2"]


def test_by_time_and_empty(plt):
    display = BudgetDisplay.from_history(history(), epsilon=2.0)
    assert list(display.line_.get_xdata())[1:] == display.times
    display.figure_.canvas.draw()
    assert display.ax_.get_xlabel() == "time (UTC)"
    empty = BudgetDisplay.from_history(history()[:1], epsilon=2.0, ax=display.ax_)
    assert empty.ax_.texts[-1].get_text() == "nothing charged yet" and empty.remaining == 2.0
    with pytest.raises(ValueError, match="x='week'"):
        display.plot(x="week")


def test_a_tampered_history_is_not_drawn():
    rows = history()
    rows[2] |= {"intact": False, "time": None}
    with pytest.raises(ValueError, match="1 of 5 entries were tampered with"):
        BudgetDisplay.from_history(rows, epsilon=2.0)


def test_a_ledger_is_drawn(plt, tmp_path):
    from skdistill.accounting import PrivacyLoss
    from skdistill.accounting.ledger import PrivacyLedger

    ledger = PrivacyLedger.create(str(tmp_path / "ledger.db"), epsilon=2.0, delta=1e-6, pure=2.0)
    ledger.charge(PrivacyLoss.laplace(0.25))
    ledger.set_cap(3.0, 1e-6)
    ledger.charge(PrivacyLoss.laplace(0.5))
    display = BudgetDisplay.from_ledger(ledger)
    assert display.totals == pytest.approx([0.25, 0.75])
    assert display.epsilon == 3.0 and display.remaining == pytest.approx(2.25)
