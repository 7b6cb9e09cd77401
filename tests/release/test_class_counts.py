import math
from fractions import Fraction

import numpy as np
import pytest

from skdistill.accounting import PrivacyLoss
from skdistill.certificates import RowBound
from skdistill.release.calibration import PRIOR_SHARE, calibrate
from skdistill.release.class_counts import class_counts, counts_query, mean_label, measure_rarity
from skdistill.release.mechanism import TransferSet
from skdistill.release.noise import active_sampler
from skdistill.release.query import answer
from skdistill.testing import replay_audit

CLASSES = np.arange(3)


def loss_of(epsilon, delta):
    whole = PrivacyLoss.gaussian(epsilon, delta) if delta else PrivacyLoss.laplace(epsilon)
    return whole.part(PRIOR_SHARE)


def prior_of(counts, epsilon=1.0, delta=1e-5):
    loss = loss_of(epsilon, delta)
    return answer(class_counts(lambda: counts, CLASSES, loss), loss, active_sampler("exact"))


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_many_records_give_a_good_prior(delta):
    counts = np.array([500_000, 300_000, 200_000])
    prior = prior_of(counts, delta=delta)
    assert prior.sum() == pytest.approx(1)
    assert np.allclose(prior, counts / counts.sum(), atol=0.01)  # the noise is below 200 records


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_few_records_give_none_at_a_small_epsilon(delta):
    assert prior_of(np.array([50, 30, 20]), delta=delta) is None
    assert prior_of(np.array([50, 30, 20]), epsilon=1e6, delta=delta) is not None


def test_it_is_not_bought_unasked():
    def counts():
        raise AssertionError

    bound = RowBound(2.0, 1.4, class_counts=counts)
    asked = TransferSet(np.zeros((4, 1)), np.arange(4), CLASSES)
    release = calibrate(bound, asked, 1.0, 1e-5, with_prior=False)
    assert not release.with_prior
    assert release.label_share == 1
    assert calibrate(bound, asked, 1.0, 1e-5).label_share == 1 - PRIOR_SHARE
    without = RowBound(2.0, 1.4)
    assert not calibrate(without, asked, 1.0, 1e-5).with_prior
    values = TransferSet(np.zeros((4, 1)), np.arange(4), None, (0.0, 1.0))
    assert not calibrate(bound, values, 1.0, 1e-5).with_prior


@pytest.mark.parametrize("counts", [None, "text", [np.nan] * 3, [1, 2], [-5, 0, 0], [np.inf] * 3])
def test_it_is_total(counts):
    prior = prior_of(counts, epsilon=1e9)
    assert prior is None or np.isfinite(prior).all()


def test_what_the_counts_raise_stays_inside():
    class Lazy:
        def __array__(self, dtype=None, copy=None):
            raise BaseException("canary")

    assert not counts_query(Lazy, CLASSES).of(None, Fraction(1)).values.any()


def test_one_record_moves_two_counts_by_one():
    """A record that changes class, in exact arithmetic; the bound is reached."""
    before = counts_query(lambda: np.array([5, 4, 3]), CLASSES).of(None, 1)
    after = counts_query(lambda: np.array([4, 5, 3]), CLASSES).of(None, 1)
    moved = (before.values - after.values).ravel()
    assert np.abs(moved).sum() == before.l1 == 2
    assert (moved**2).sum() <= before.l2**2 * (1 + 2.0**-50)
    assert before.l2 == pytest.approx(math.sqrt(2), rel=1e-14)


def test_the_mean_label_of_exact_labels_is_their_mean():
    labels = np.random.default_rng(0).dirichlet([1, 2, 3], 500)
    assert np.allclose(mean_label(labels, 0.0), labels.mean(axis=0))


def test_the_mean_label_of_no_rows_is_uniform():
    assert mean_label(np.zeros((0, 4)), 0.0).tolist() == [0.25] * 4


def test_the_mean_of_noise_is_shrunk_to_uniform():
    """The mean of 100 rows of noise of sd 50 has sd 5 per class; unshrunk it fills one corner.

    Shrinkage keeps at most 1 - 50/|a|² of it; averaged over 200 draws the distance to uniform is
    well below that of the clipped mean, by more than ten standard errors.
    """
    rng = np.random.default_rng()
    shrunk, clipped = [], []
    for _ in range(200):
        labels = rng.normal(0, 50, size=(100, 3))
        shrunk.append(np.abs(mean_label(labels, 50.0) - 1 / 3).max())
        clipped.append(np.abs(mean_label(labels, 0.0) - 1 / 3).max())
    assert np.mean(shrunk) < 0.8 * np.mean(clipped)


@pytest.mark.parametrize("groups", [None, np.arange(60) // 2])
@pytest.mark.parametrize("loss", [PrivacyLoss.gaussian(2.0, 1e-6), PrivacyLoss.laplace(2.0)])
def test_the_rarity_of_a_class_moves_by_one_record(loss, groups):
    codes = np.arange(60) % 2
    for other in (0, 1, 2):
        changed = codes.copy()
        changed[[6, 7]] = other if groups is not None else [other, codes[7]]
        replay_audit(lambda c: measure_rarity(c, loss, groups), codes, changed, loss=loss)


def test_a_rare_class_is_one_below_three_tenths():
    def rarity(share):
        codes = (np.arange(10_000) < 10_000 * share).astype(int)
        return answer(measure_rarity(codes, None), None, active_sampler("exact"))

    assert rarity(0.5) == rarity(0.3) == 1
    assert rarity(0.03) == rarity(0.97) == pytest.approx(1 / (2.25 * math.sqrt(0.03 * 0.97)))
    assert rarity(0.0) == rarity(0.002)  # noise may leave no record of a class
