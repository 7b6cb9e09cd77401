"""Noise for tests: repeatable, or none. Whatever it touches says ``private=False``.

Private noise cannot be seeded: it comes from the operating system, and ``random_state`` has
no part in it. A test that needs the same release twice, or a release without noise, asks for
it here. The choice holds in the thread that made it: other threads, and other processes, go on
drawing from the operating system.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.noise import ExactSampler, Sampler, _test_sampler

__all__ = ["no_noise", "seeded_noise"]


class _SeededSampler(ExactSampler):
    """The exact sampler, fed by a pseudo-random generator."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)

        def words(count: int) -> NDArray[np.uint64]:
            return generator.integers(0, 2**64, size=count, dtype=np.uint64)

        super().__init__(words)
        self.name = f"noise seeded with {seed}, for tests (NOT private)"


class _NoNoise:
    """A sampler that adds nothing."""

    name = "no noise, for tests (NOT private)"
    private = False

    def perturb(
        self, values: NDArray[np.int64], loss: PrivacyLoss, sensitivity: float
    ) -> NDArray[np.int64]:
        """Return a copy, after the validation that a release would do."""
        loss.scale(sensitivity)
        return values.copy()


@contextmanager
def seeded_noise(seed: int) -> Iterator[Sampler]:
    """Draw the noise of every release in this block from a seeded generator.

    Parameters
    ----------
    seed : int
        Non-negative.

    Yields
    ------
    Sampler
        The sampler in use; its `private` is False.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.accounting import PrivacyLoss
    >>> values, loss = np.zeros(3, dtype=np.int64), PrivacyLoss.laplace(1.0)
    >>> with seeded_noise(0) as sampler:
    ...     first = sampler.perturb(values, loss, sensitivity=100.0)
    >>> with seeded_noise(0) as sampler:
    ...     second = sampler.perturb(values, loss, sensitivity=100.0)
    >>> bool((first == second).all())
    True
    """
    with _put_up(_SeededSampler(seed)) as sampler:
        yield sampler


@contextmanager
def no_noise() -> Iterator[Sampler]:
    """Release exact values in this block: what the rest of a pipeline does without noise.

    Yields
    ------
    Sampler
        The sampler in use; its `private` is False.
    """
    with _put_up(_NoNoise()) as sampler:
        yield sampler


@contextmanager
def _put_up(sampler: Sampler) -> Iterator[Sampler]:
    """Make a sampler the active one, in this thread."""
    token = _test_sampler.set(sampler)
    try:
        yield sampler
    finally:
        _test_sampler.reset(token)
