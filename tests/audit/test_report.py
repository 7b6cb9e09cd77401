"""Membership reports: rates, intervals and tests; as text, HTML, records and frame."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score, roc_curve

from skdistill.audit.report import (
    AttackResult,
    MembershipReport,
    auc_interval,
    balanced_accuracy_interval,
    roc_points,
    tpr_at_fpr,
)


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


@pytest.mark.parametrize("text", [str, lambda r: r._repr_html_()], ids=["text", "html"])
def test_report_says_that_it_is_private_and_shows_no_score(text):
    shown = text(small_report())
    assert "Not for publication: computed from private records" in shown
    assert "0.200 [0.100, 0.300] *" in shown and "0.0020 [0.0000, 0.0040]" in shown
    assert "0.0040] *" not in shown
    assert "ε=1" in shown and "1,000 members, 2,000 non-members" in shown
    assert "731" not in shown and "731" not in repr(small_report())
    assert text is str or "&lt;b&gt;student" in shown and "<b>student" not in shown


RNG = np.random.default_rng()


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_curve_are_those_of_scikit_learn(ties):
    inside, outside = RNG.normal(0.5, size=60), RNG.normal(size=80)
    if ties:
        inside, outside = inside.round(), outside.round()
    truth, scores = np.repeat([1, 0], [60, 80]), np.concatenate([inside, outside])
    assert auc_interval(inside, outside)[0] == pytest.approx(roc_auc_score(truth, scores))
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    mine = roc_points(inside, outside)
    assert np.allclose(mine[0], fpr) and np.allclose(mine[1], tpr)


def test_auc_interval_is_delongs():
    """Against the definition: variances of the shares each score beats, counted pair by pair."""
    inside, outside = RNG.normal(0.5, size=40).round(1), RNG.normal(size=30).round(1)
    pairs = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    auc = pairs.mean()
    deviation = math.sqrt(pairs.mean(axis=1).var(ddof=1) / 40 + pairs.mean(axis=0).var(ddof=1) / 30)
    half = 1.959964 * deviation / (auc * (1 - auc))
    ends = [1 / (1 + math.exp(-math.log(auc / (1 - auc)) - sign * half)) for sign in (-1, 1)]
    assert auc_interval(inside, outside) == pytest.approx((auc, *ends), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0])
def test_auc_interval_covers(gap):
    """2,000 runs of 100 against 100: at least 90.5 % are covered.

    At a true coverage of 93.5 % or more (DeLong's interval on the logit scale is asymptotic; its
    nominal one is 95 %) that fails with probability P[Bin(2000, .935) < 1810] < 1e-6.
    """
    assert binom.cdf(1809, 2000, 0.935) < 1e-6
    truth = norm.cdf(gap / math.sqrt(2))
    found = [auc_interval(RNG.normal(gap, size=100), RNG.normal(size=100)) for _ in range(2000)]
    assert sum(low <= truth <= high for _, low, high in found) >= 1810


def test_perfect_separation_still_has_an_interval():
    """All of 10 disjoint pairs in the right order: 0.025 = low ** 10."""
    auc, low, high = auc_interval(np.arange(10) + 100.0, np.arange(30.0))
    assert (auc, high) == (1.0, 1.0) and low**10 == pytest.approx(0.025)
    auc, low, high = auc_interval(np.arange(10.0), np.arange(30) + 100.0)
    assert (auc, low) == (0.0, 0.0) and (1 - high) ** 10 == pytest.approx(0.025)
    with pytest.raises(ValueError, match="1 members and 30 non-members"):
        auc_interval([1.0], np.arange(30.0))


def test_true_positive_rate_by_hand():
    outside = np.arange(100.0)
    inside = np.array([98.5, 99.5, 97.5, 98.0, 98.9])
    assert tpr_at_fpr(inside, outside, 0.01)[0] == 3 / 5  # above 98
    assert tpr_at_fpr(inside, outside, 0.02)[0] == 1.0
    assert tpr_at_fpr(inside, outside, 0.019)[0] == 3 / 5  # never more false positives than asked
    tied = np.repeat([0.0, 1.0], [90, 10])
    assert tpr_at_fpr([1.0, 1.0, 2.0], tied, 0.05)[0] == pytest.approx(1 / 3)
    rate, low, high, _ = tpr_at_fpr([2.0] * 20, tied, 0.05)
    assert (rate, high) == (1.0, 1.0) and low == pytest.approx(0.025 ** (1 / 20))
    with pytest.raises(ValueError, match="at 0.001 false positives needs at least 1,000 non-memb"):
        tpr_at_fpr(inside, outside, 0.001)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        tpr_at_fpr(inside, outside, 0.0)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_p_value_is_exact(k):
    """All 126 orders of 5 members and 4 non-members: P[rate this high or higher]."""
    rates, p_values = [], []
    for places in combinations(range(9), 5):
        inside = np.array(places, dtype=float)
        outside = np.setdiff1d(np.arange(9.0), inside)
        rate, *_, p_value = tpr_at_fpr(inside, outside, fpr=0.25 * max(k, 1) + 0.01)
        rates.append(rate)
        p_values.append(p_value)
    for rate, p_value in zip(rates, p_values, strict=True):
        assert p_value == pytest.approx(np.mean(np.array(rates) >= rate))


@pytest.mark.slow
def test_balanced_accuracy_of_chance_is_one_half():
    """The mean of 4,000 estimates is within 0.03 of 0.5.

    One estimate (two rates of 3 scores each, halved) has deviation 0.21 at most, the mean 0.0033:
    0.03 is 9 of them. A threshold measured on the scores it was chosen on shows 0.65 and more.
    """
    found = [
        balanced_accuracy_interval(RNG.normal(size=6), RNG.normal(size=6))[0] for _ in range(4000)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_balanced_accuracy_interval_covers():
    """The rates of the chosen threshold are covered in 93 % or more of 2,000 runs.

    P[Bin(2000, .95) < 1820] < 1e-6; the interval's rates are Clopper-Pearson's, which are wide.
    The truth depends on the threshold; where both sides are far apart any is right.
    """
    assert binom.cdf(1819, 2000, 0.95) < 1e-6
    hits = 0
    for _ in range(2000):
        inside, outside = RNG.uniform(size=(2, 60)) < [[0.7], [0.3]]
        _, low, high = balanced_accuracy_interval(inside, outside)
        hits += low <= 0.7 <= high
    assert hits >= 1820


def test_balanced_accuracy_finds_the_threshold():
    accuracy, low, high = balanced_accuracy_interval(np.arange(100.0) + 90, np.arange(100.0))
    assert accuracy > 0.8 and low < accuracy < high <= 1
    assert balanced_accuracy_interval([1.0] * 9, [0.0] * 9)[0] == 1.0
    with pytest.raises(ValueError, match="two of each"):
        balanced_accuracy_interval([1.0], [0.0, 1.0])
