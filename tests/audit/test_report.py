"""The membership report as text, HTML, records and frame."""

import numpy as np
import pytest

from skdistill.audit.report import AttackResult, MembershipReport


def small_report():
    points = (0.01, 0.2, 0.1, 0.3, 1e-9), (0.001, 0.002, 0.0, 0.004, 0.5)
    row = AttackResult(
        model="<b>student</b>", attack="loss", epsilon=1.0, delta=1e-6, auc=(0.6, 0.5, 0.7),
        accuracy=(0.55, 0.5, 0.6), tpr=points,
    )  # fmt: skip
    return MembershipReport(
        rows=(row,), n_members=1000, n_nonmembers=2000, confidence=0.95,
        scores={("<b>student</b>", "loss"): (np.full(1000, 731.25), np.full(2000, 731.25))},
    )  # fmt: skip


def test_report_as_records_and_frame():
    (record,) = small_report().to_records()
    assert record["tpr_at_0.01"] == 0.2 and record["tpr_at_0.001_p_value"] == 0.5
    assert record["claimed_epsilon"] == 1.0 and record["balanced_accuracy_high"] == 0.6
    pd = pytest.importorskip("pandas")
    frame = small_report().to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.to_dict("records") == [record]


def test_report_without_pandas(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert small_report().to_frame() == small_report().to_records()


@pytest.mark.parametrize("text", [str, lambda r: r._repr_html_()], ids=["text", "html"])
def test_report_says_that_it_is_private_and_shows_no_score(text):
    shown = text(small_report())
    assert "Not for publication: computed from private records" in shown
    assert "0.200 [0.100, 0.300] *" in shown and "0.0020 [0.0000, 0.0040]" in shown
    assert "0.0040] *" not in shown
    assert "ε=1" in shown and "1,000 members, 2,000 non-members" in shown
    assert "731" not in shown and "731" not in repr(small_report())
    assert text is str or "&lt;b&gt;student" in shown and "<b>student" not in shown
