import numpy as np
import pytest

from skdistill.certificates import RowBound
from skdistill.release.class_counts import mean_label, noisy_prior
from skdistill.release.releases import plan_release


def prior_of(counts, epsilon=1.0, **options):
    plan = plan_release(
        RowBound(2.0, 1.4, class_counts=lambda: counts),
        n_rows=10,
        epsilon=epsilon,
        delta=options.pop("delta", 1e-5),
        mechanism="auto",
        sampler="exact",
        classes=np.arange(3),
        output_range=None,
        want_prior=options.pop("want_prior", True),
    )
    return noisy_prior(plan)


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
    assert prior_of(np.array([5, 3, 2]), want_prior=False) is None


@pytest.mark.parametrize("counts", [None, "text", [np.nan] * 3, [1, 2], [-5, 0, 0], [np.inf] * 3])
def test_it_is_total(counts):
    prior = prior_of(counts, epsilon=1e9)
    assert prior is None or np.isfinite(prior).all()


def test_the_mean_label_of_exact_labels_is_their_mean():
    labels = np.random.default_rng(0).dirichlet([1, 2, 3], 500)
    assert np.allclose(mean_label(labels, 0.0), labels.mean(axis=0))


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
