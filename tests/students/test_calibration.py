"""Slope, intercept and cut from a noisy histogram: right ones from right counts, always finite."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from skdistill.students import calibration_of, offsets_from_counts

EDGES = np.linspace(-4, 4, 39)
SCORES = np.linspace(-4.1, 4.1, 40)
IDENTITY = (1.0, 0.0)


def exact_counts(slope, shift, n=1e6, scores=SCORES):
    """Counts of a bell of scores whose log-odds are slope·score + shift."""
    weight = np.exp(-(scores**2) / 4)
    weight *= n / weight.sum()
    p = expit(slope * scores + shift)
    return np.column_stack([weight * (1 - p), weight * p])


# Calibration.


@pytest.mark.parametrize("slope", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("shift", [-2.0, 0.0, 0.5])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_exact_counts_give_their_slope_and_intercept(slope, shift, noise):
    found = calibration_of(SCORES, exact_counts(slope, shift), noise)
    assert found == pytest.approx((slope, shift), rel=0.01, abs=0.01)


def test_slopes_have_limits():
    for sign in (1, -1):
        slope, _ = calibration_of(SCORES, exact_counts(sign * 50.0, 0.0), 0.0)
        assert slope == pytest.approx(math.exp(sign * 1.5), rel=1e-6)
    _, shift = calibration_of(SCORES, np.tile([0.0, 1e9], (40, 1)), 0.0)
    assert shift <= 8


@pytest.mark.parametrize("noise", [10.0, 1000.0, 1e6])
def test_noise_alone_leaves_nearly_the_identity(noise):
    """Of 200 histograms of noise, as wide as they can be and as narrow."""
    rng = np.random.default_rng(0)
    for scores in (SCORES, np.array([-1.5, -0.5, 0.4, 1.6])):
        noisy = [rng.normal(0, noise, (len(scores), 2)) for _ in range(200)]
        found = [calibration_of(scores, counts, noise) for counts in noisy]
        slopes, shifts = np.transpose(found)
        assert np.quantile(np.abs(np.log(slopes)), 0.9) < 0.3
        assert np.quantile(np.abs(shifts), 0.9) < 0.5


@pytest.mark.parametrize(
    ("n", "noise", "part"), [(200, 3, 0.7), (1000, 27, 0.9), (5000, 270, 1.0), (200, 30, 1.1)]
)
def test_it_is_better_than_none_or_does_little_harm(n, noise, part):
    """Nats lost by its probabilities, in 100 histograms with truths that are not far off."""
    rng = np.random.default_rng(0)
    lost, before = [], []
    for _ in range(100):
        slope, shift = math.exp(rng.normal(0, 0.3)), rng.normal(0, 0.5)
        counts = exact_counts(slope, shift, n, np.linspace(-3, 3, 6))
        noisy = counts + rng.normal(0, noise, counts.shape)
        found = calibration_of(np.linspace(-3, 3, 6), noisy, noise)
        lost.append(divergence((slope, shift), found))
        before.append(divergence((slope, shift), IDENTITY))
    assert np.mean(lost) < part * np.mean(before)


def divergence(truth, found):
    """Mean divergence of probabilities, over scores of deviation 1.4."""
    z = 1.4 * np.linspace(-2.5, 2.5, 101)
    weight = np.exp(-((z / 1.4) ** 2) / 2)
    p, q = (expit(slope * z + shift) for slope, shift in (truth, found))
    each = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return (weight * each).sum() / weight.sum()


def test_noise_moves_less_than_it_would_without_the_prior():
    """Counts of 2,000 records at a noise of 30: closer to the truth than to either limit."""
    rng = np.random.default_rng(0)
    found = [
        calibration_of(SCORES, exact_counts(1.5, 0.3, 2000) + rng.normal(0, 30, (40, 2)), 30.0)
        for _ in range(50)
    ]
    slopes, shifts = np.transpose(found)
    assert np.median(slopes) == pytest.approx(1.5, abs=0.4)
    assert np.median(shifts) == pytest.approx(0.3, abs=0.3)


def test_more_noise_means_more_of_the_prior():
    counts = exact_counts(2.5, 1.0, 500)
    slopes = [calibration_of(SCORES, counts, noise)[0] for noise in (0.0, 3.0, 30.0, 1e4)]
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[0] == pytest.approx(2.5, abs=0.2)
    assert slopes[-1] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("counts", [np.zeros((40, 2)), -np.ones((40, 2))])
def test_no_counts(counts):
    slope, shift = calibration_of(SCORES, counts, 1e4)
    assert (slope, shift) == pytest.approx((1, 0), abs=0.02)


HISTOGRAM = st.integers(1, 40).flatmap(
    lambda b: st.tuples(
        st.lists(st.floats(-1e3, 1e3), min_size=b, max_size=b, unique=True).map(sorted),
        st.lists(st.tuples(*[st.floats(-1e7, 1e7)] * 2), min_size=b, max_size=b),
    )
)


def histogram(drawn):
    scores, counts = (np.array(x) for x in drawn)
    return scores, scores[:-1] / 2 + scores[1:] / 2, counts


@settings(deadline=None)
@given(HISTOGRAM, st.floats(0, 1e7))
def test_it_is_finite_whatever_the_counts_are(drawn, noise):
    scores, edges, counts = histogram(drawn)
    slope, shift = calibration = calibration_of(scores, counts, noise)
    assert math.exp(-1.5) * 0.999 <= slope <= math.exp(1.5) * 1.001
    assert -8 <= shift <= 8
    for threshold in ("accuracy", "f1", "prior"):
        offsets = offsets_from_counts(threshold, scores, edges, counts, calibration)
        assert offsets.shape == (2,) and np.isfinite(offsets).all()


# Cuts.


def cut_of(offsets, calibration):
    """Return the score from which on the second class is predicted."""
    slope, shift = calibration
    return (offsets[0] - offsets[1] - shift) / slope


def measured(cut, scores, counts):
    """Accuracy and F1 of a cut, and the share that it predicts; bins above it as a whole."""
    above = scores > cut
    right = counts[above, 1].sum()
    accuracy = (right + counts[~above, 0].sum()) / counts.sum()
    return accuracy, 2 * right / (counts[above].sum() + counts[:, 1].sum()), counts[above].sum()


CASES = [(1.0, 0.0), (1.0, -2.0), (2.0, 1.0), (0.4, -1.5)]


@pytest.mark.parametrize("calibration", CASES)
def test_accuracy(calibration):
    """No cut has more right predictions than calibrated log-odds of zero."""
    counts = exact_counts(*calibration)
    cut = cut_of(offsets_from_counts("accuracy", SCORES, EDGES, counts, calibration), calibration)
    best = max(measured(each, SCORES, counts)[0] for each in np.r_[-9, EDGES, 9])
    assert measured(cut, SCORES, counts)[0] == pytest.approx(best)


@pytest.mark.parametrize("calibration", CASES)
def test_f1(calibration):
    """No cut between bins has a larger F1, by brute force."""
    counts = exact_counts(*calibration)
    cut = cut_of(offsets_from_counts("f1", SCORES, EDGES, counts, calibration), calibration)
    best = max(measured(each, SCORES, counts)[1] for each in np.r_[-9, EDGES, 9])
    assert measured(cut, SCORES, counts)[1] == pytest.approx(best)
    assert np.isclose(np.r_[SCORES[0] - 1, EDGES, SCORES[-1] + 1], cut).any()


@pytest.mark.parametrize("calibration", CASES)
def test_prior(calibration):
    """As many predictions of the second class as it has records, to a part of a bin."""
    counts = exact_counts(*calibration)
    cut = cut_of(offsets_from_counts("prior", SCORES, EDGES, counts, calibration), calibration)
    limits = np.r_[SCORES[0] - 1, EDGES, SCORES[-1] + 1]
    part = np.clip((limits[1:] - cut) / np.diff(limits), 0, 1)  # of each bin, above the cut
    assert (part * counts.sum(axis=1)).sum() == pytest.approx(counts[:, 1].sum(), rel=1e-6)


def test_the_second_class_never_or_always():
    for shift, wanted in ((-40.0, False), (40.0, True)):
        counts = exact_counts(1.0, shift)
        offsets = offsets_from_counts("prior", SCORES, EDGES, counts, (1.0, shift))
        assert ((cut_of(offsets, (1.0, shift)) < SCORES) == wanted).all()


def test_offsets_are_added_to_calibrated_log_odds():
    """The first class has log-odds of zero; its offset is zero."""
    calibration = (2.0, -1.0)
    counts = exact_counts(*calibration)
    assert offsets_from_counts("accuracy", SCORES, EDGES, counts, calibration).tolist() == [0, 0]
    offsets = offsets_from_counts("f1", SCORES, EDGES, counts, calibration)
    decided = 2.0 * SCORES - 1.0 + offsets[1] > offsets[0]
    assert (decided == (cut_of(offsets, calibration) < SCORES)).all()


@pytest.mark.parametrize("threshold", ["f1", "prior"])
@pytest.mark.parametrize("counts", [0.0, -5.0])
def test_where_nothing_was_counted_bins_weigh_the_same(threshold, counts):
    empty, even = np.full((40, 2), counts), np.full((40, 2), 0.5)
    found = offsets_from_counts(threshold, SCORES, EDGES, empty, IDENTITY)
    assert found == pytest.approx(offsets_from_counts(threshold, SCORES, EDGES, even, IDENTITY))


def test_negative_counts_count_as_none():
    counts = exact_counts(1.0, 0.0)
    counts[:10], zero = -1e5, counts.copy()
    zero[:10] = 0.0
    for threshold in ("f1", "prior"):
        found = [offsets_from_counts(threshold, SCORES, EDGES, x, IDENTITY) for x in (counts, zero)]
        assert np.array_equal(*found)


def test_one_bin():
    for threshold in ("accuracy", "f1", "prior"):
        offsets = offsets_from_counts(
            threshold, np.array([0.3]), np.array([]), np.array([[5.0, 7.0]]), IDENTITY
        )
        assert np.isfinite(offsets).all()
