"""A table of public numbers before a fit: how noisy a model of so many records will be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill._numbers import check_number, check_whole
from skdistill._silenced import warn_caller
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.gradient_rounds import least_noise

#: Noise on a prediction, in its range, from which on a model says little: on 800 records of German
#: credit the AUC is .61 at a noise of .10, .63 at .05 and .71 at .03 (docs/benchmarks.rst).
MOSTLY_NOISE = 0.08


@dataclass(frozen=True, eq=False)
class NoisePreview:
    """The least noise on a prediction, for numbers of records (or groups) and values of ε; public.

    `noise` is that of a model with ten weights, as a part of the range of predictions, shape
    (len(n_records), len(epsilons)). Models with more weights have more.
    """

    n_records: tuple[int, ...]
    epsilons: tuple[float, ...]
    noise: NDArray[np.float64]

    def __repr__(self) -> str:
        heads = [f"ε = {epsilon:g}" for epsilon in self.epsilons]
        lines = ["records   " + "".join(f"{head:>10}" for head in heads)]
        for n, row in zip(self.n_records, self.noise, strict=True):
            lines.append(f"{n:<10,}" + "".join(f"{value:>10.2g}" for value in row))
        note = f"above {MOSTLY_NOISE:g} a model is mostly noise."
        return "\n".join([*lines, f"Least noise on a prediction, in its range; {note}"])


def preview_noise(
    n_records: Any, epsilons: Any, n_classes: int, loss: Callable[[float], PrivacyLoss]
) -> NoisePreview:
    """Return the least noise of the default teacher for every number of records and every ε."""
    counts = tuple(check_whole("n_records", n) for n in np.atleast_1d(n_records).tolist())
    prices = tuple(
        check_number("epsilons", e, "positive and finite", lambda v: 0 < v < math.inf)
        for e in np.atleast_1d(epsilons).tolist()
    )
    noise = [[least_noise(n, n_classes, loss(e)) for e in prices] for n in counts]
    return NoisePreview(counts, prices, np.array(noise).reshape(len(counts), len(prices)))


def warn_of_noise(n_units: int, n_classes: int, loss: PrivacyLoss) -> None:
    """Warn where even a model of a few weights would be mostly noise."""
    noise = least_noise(n_units, n_classes, loss)
    if noise > MOSTLY_NOISE:
        warn_caller(
            f"The model will be mostly noise: with {n_units} {loss.unit}s and "
            f"epsilon={loss.epsilon:g}, a prediction has noise of {noise:.2g} of its range, "
            "however few weights are learned. Use more records, or a larger epsilon."
        )
