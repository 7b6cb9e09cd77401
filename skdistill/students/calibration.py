"""Probabilities and a threshold from a noisy histogram of scores by class: post-processing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Array = NDArray[np.float64]

_DOUBT = 15.0  # chosen on simulated histograms of 200 to 30,000 records at noise of 3 to 2,700
_LEAST = 2.0**-21  # half a unit of a count; a smaller one would make slopes infinite
_LARGEST_CHANGE = 1.5  # of the logarithm of the slope
_WIDTH = 0.5  # standard deviations of the prior of the slope's logarithm and of the intercept, in
_SHIFT = 2.0  # units of the scores


def calibration_of(scores: Array, counts: Array, noise: float) -> tuple[float, float]:
    """Return slope a and intercept b of the calibrated log-odds a·score + b.

    Logistic regression of the class on the score, with the noisy counts (a row for each bin, a
    column for each class) as weights (Platt 1999, "Probabilistic outputs for support vector
    machines"), and a prior that keeps it near the identity where the counts are mostly noise.
    """
    # m records in a bin know as much of its log-odds as m·p(1 - p), and the noise moves the
    # gradient by its variance: only the ratio of the two is worth of a likelihood.
    mean = max(float(counts.sum()), 0.0) / len(scores)
    weight = mean / (mean + _DOUBT * noise**2) if mean > 0 else 0.0

    def cost(at: Array) -> float:
        odds = np.exp(at[0]) * scores + at[1]
        likelihood = counts[:, 1] * np.logaddexp(0, -odds) + counts[:, 0] * np.logaddexp(0, odds)
        prior = (at[0] / _WIDTH) ** 2 / 2 + (at[1] / _SHIFT) ** 2 / 2
        return float(weight * likelihood.sum() + prior)

    limits = [(-_LARGEST_CHANGE, _LARGEST_CHANGE), (-8.0, 8.0)]
    best = minimize(cost, np.zeros(2), bounds=limits, method="L-BFGS-B").x
    return float(np.exp(best[0])), float(best[1])


def offsets_from_counts(
    threshold: str, scores: Array, edges: Array, counts: Array, calibration: tuple[float, float]
) -> Array:
    """Return the decision offsets of two classes' log-odds, from a noisy histogram of scores.

    The cut is for most correct predictions ("accuracy"), the largest F1 of the second class ("f1"),
    or predictions of the second class as often as it occurs ("prior"), in log-odds of
    `calibration`.
    """
    if threshold == "accuracy":
        return np.zeros(2)
    slope, shift = calibration
    weights = counts.sum(axis=1)
    weights = np.where(weights > _LEAST, weights, 0.0)
    weights = weights if weights.sum() > 0 else np.ones(len(weights))
    positive = weights * expit(slope * scores + shift)
    # From the last bin down: predicted, and right, where the cut is below a bin.
    predicted = np.cumsum(weights[::-1])[::-1]
    right = np.cumsum(positive[::-1])[::-1]
    limits = np.r_[scores[0] - 1.0, edges, scores[-1] + 1.0]
    if threshold == "f1":
        measure = 2 * right / np.maximum(predicted + right[0], 1e-12)
        cut = float(limits[int(np.argmax(measure))])
    else:  # between two limits, as if the records of a bin were spread evenly
        cut = float(np.interp(-right[0], -np.r_[predicted, 0.0], limits))
    return np.array([0.0, -(slope * cut + shift)])
