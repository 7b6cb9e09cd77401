"""Noise for tests is repeatable, says so, and does not leak out of its block."""

import threading

import numpy as np
import pytest

from skdistill.accounting import PrivacyLoss
from skdistill.release.noise import active_sampler
from skdistill.testing import no_noise, seeded_noise

VALUES = np.arange(1000, dtype=np.int64)
LOSSES = [PrivacyLoss.gaussian(1.0, 1e-6), PrivacyLoss.laplace(1.0)]


def release(loss=LOSSES[1], sampler="exact"):
    return active_sampler(sampler).perturb(VALUES, loss, 2.0**30)


@pytest.mark.parametrize("loss", LOSSES, ids=["gaussian", "laplace"])
def test_seeded_noise_repeats(loss):
    def seeded(seed):
        with seeded_noise(seed):
            return release(loss), release(loss)

    first, second = seeded(0)
    assert (first == seeded(0)[0]).all()
    assert (second == seeded(0)[1]).all()
    assert (first != second).any()
    assert (first != seeded(1)[0]).any()


def test_seeded_noise_has_the_scale_of_the_real_one():
    """A sample deviation of 20,000 draws is off by 5 % with probability below 1e-9."""
    with seeded_noise(3) as sampler:
        draws = sampler.perturb(np.zeros(20_000, dtype=np.int64), LOSSES[1], 1000.0)
    assert abs(draws.std() / (1000 * np.sqrt(2)) - 1) < 0.05


def test_no_noise():
    with no_noise() as sampler:
        exact = release()
        with pytest.raises(ValueError, match="sensitivity"):
            sampler.perturb(VALUES, LOSSES[0], -1.0)
    assert (exact == VALUES).all()
    assert exact is not VALUES


@pytest.mark.parametrize("name", ["exact", "diffprivlib"])
@pytest.mark.parametrize("context", [no_noise, lambda: seeded_noise(0)])
def test_samplers_say_that_they_are_not_private(context, name):
    with context() as sampler:
        assert active_sampler(name) is sampler
        assert sampler.private is False
        assert "NOT private" in sampler.name
    assert active_sampler("exact").private is True


def test_unknown_names_are_refused_inside_too():
    with no_noise(), pytest.raises(ValueError, match="sampler must be one of"):
        release(sampler="fast")


def test_blocks_nest_and_end_on_errors():
    with pytest.raises(RuntimeError, match="inside"), seeded_noise(0):
        with no_noise():
            assert (release() == VALUES).all()
        assert (release() != VALUES).any()
        raise RuntimeError("inside")
    assert active_sampler("exact").private


def test_other_threads_draw_from_the_operating_system():
    outcomes = []

    def work():
        outcomes.append((active_sampler("exact").private, release()))

    with seeded_noise(0):
        for _ in range(2):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert [private for private, _ in outcomes] == [True, True]
    assert (outcomes[0][1] != outcomes[1][1]).any()


def test_after_the_block_noise_is_private_again():
    with seeded_noise(0):
        pass
    assert (release() != release()).any()
