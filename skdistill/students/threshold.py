"""The decision threshold: cut where the predicted share of each class is the class prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Rows that are looked at for more than two classes, where the offsets are found by iteration.
_MOST_ROWS = 20_000
_ITERATIONS = 300


def predicted_codes(scores: Array, offsets: Array) -> NDArray[np.intp]:
    """Return the arg-max of scores + offsets per row; ties go to the first class."""
    return np.asarray((scores + offsets).argmax(axis=1))


def fixed_offsets(threshold: float, scale: str) -> Array:
    """Return the offsets that predict the second class where its probability passes a threshold."""
    if scale == "margin":
        raise ValueError(
            f"threshold={threshold!r} needs a student with predict_proba (or a regressor); this "
            'one has a decision function only. Use threshold="prior" or None.'
        )
    if scale == "probability":
        return np.array([0.0, 1 - 2 * threshold])
    return np.array([0.0, np.log1p(-threshold) - np.log(threshold)])


def offsets_for_prior(scores: Array, prior: Array) -> Array:
    """Find offsets of the scores with which each class is predicted as often as in the prior.

    At a cut of 0.5 strong regularisation and noise, which pull all probabilities together, make a
    rare class vanish. Matching the prior is the quantity-based rule of quantification learning
    (Forman 2008) and needs no label.
    """
    scores = np.nan_to_num(scores, neginf=-1e3, posinf=1e3)
    if scores.shape[1] == 2:
        return np.array([0.0, -_cut(scores[:, 1] - scores[:, 0], float(prior[1]))])
    scores = scores[:: -(-len(scores) // _MOST_ROWS)]
    return _iterate(scores, prior)


def _cut(gaps: Array, share: float) -> float:
    """Return the cut t for which the share of gaps above t is nearest to `share`."""
    m = len(gaps)
    wanted = share * m
    value = float(np.partition(gaps, m - max(1, round(wanted)))[m - max(1, round(wanted))])
    above, below = gaps[gaps > value], gaps[gaps < value]
    if wanted - len(above) < m - len(below) - wanted:  # cut above the value, not below it
        return value / 2 + float(above.min()) / 2 if len(above) else value + 1
    return value / 2 + float(below.max()) / 2 if len(below) else value - 1


def _iterate(scores: Array, prior: Array) -> Array:
    n_classes = scores.shape[1]
    wanted = np.where(prior > 0, prior, 0)
    # Steps in units of how much the scores of a row differ.
    unit = max(float(np.median(np.ptp(scores, axis=1))) / 4, 1e-12)
    offsets = np.where(wanted > 0, 0.0, -1e6 * unit)
    best, best_error, step = offsets, np.inf, 1.0
    for _ in range(_ITERATIONS):
        codes = predicted_codes(scores, offsets)
        share = np.bincount(codes, minlength=n_classes) / len(scores)
        error = float(np.abs(share - wanted).sum())
        if error < best_error:
            best, best_error = offsets, error
        else:
            step *= 0.97
        if error <= n_classes / len(scores):
            break
        ratio = np.log((wanted + 1e-6) / (share + 1e-6))
        offsets = offsets + step * unit * np.clip(ratio, -2, 2) * (wanted > 0)
    return best
