import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill.students.thresholded import (
    fixed_offsets,
    offsets_for_prior,
    predicted_codes,
)


def share(scores, offsets):
    return np.bincount(predicted_codes(scores, offsets), minlength=scores.shape[1]) / len(scores)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.floats(0, 1))
def test_two_classes_match_to_the_nearest_row(seed, m, prior):
    scores = np.random.default_rng(seed).normal(size=(m, 2))
    offsets = offsets_for_prior(scores, np.array([1 - prior, prior]))
    assert abs(share(scores, offsets)[1] - prior) <= 0.5 / m + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.sampled_from([0.01, 1.0, 100.0]))
def test_more_classes_match_closely_at_any_scale(seed, n_classes, unit):
    rng = np.random.default_rng(seed)
    scores = unit * rng.normal(size=(2000, n_classes))
    prior = rng.dirichlet(np.full(n_classes, 2.0))
    offsets = offsets_for_prior(scores, prior)
    assert np.abs(share(scores, offsets) - prior).sum() < 0.03


def test_tied_scores_get_the_nearest_share_there_is():
    scores = np.column_stack([np.zeros(10), np.repeat([0.0, 1.0], [7, 3])])
    assert share(scores, offsets_for_prior(scores, np.array([0.6, 0.4])))[1] == 0.3
    assert share(scores, offsets_for_prior(scores, np.array([0.1, 0.9])))[1] == 1.0
    assert share(scores, offsets_for_prior(scores, np.array([0.95, 0.05])))[1] == 0.0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_infinite_scores_and_empty_classes(n_classes):
    scores = np.full((50, n_classes), -np.inf)
    scores[:, 0] = 0.0
    prior = np.zeros(n_classes)
    prior[0] = 1.0
    assert share(scores, offsets_for_prior(scores, prior))[0] == 1.0


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_fixed_thresholds(threshold):
    p = np.linspace(0.005, 0.995, 199)
    p = p[np.abs(p - threshold) > 1e-9]
    table = np.column_stack([1 - p, p])
    for scores, scale in ((table, "probability"), (np.log(table), "log-probability")):
        codes = predicted_codes(scores, fixed_offsets(threshold, scale))
        assert np.array_equal(codes, p > threshold)
    with pytest.raises(ValueError, match="predict_proba"):
        fixed_offsets(threshold, "margin")
