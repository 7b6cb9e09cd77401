r"""Gradient rounds: a private linear model, learned in a few noisy Newton steps.

The curvature of a linear model does not depend on the labels: public rows give it for free. A
private model is then learned in steps whose noise is put on sums of clipped gradients. Public
rows may be few, or unlike the private ones, and a plain Newton step would overshoot; the rule
here starts with a cautious curvature, buys a noisy second moment of the private rows where it
can be seen through its noise, and enlarges the curvature along a step where the answers show
that the gradient changed more than expected.

Everything private enters through :class:`skdistill.release.private_sums.PrivateRows`, whose
methods prove how far one unit moves each sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit, softmax

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.private_sums import Lattice, PrivateRows, Sum, quantized
from skdistill.release.query import Mechanism, Query

__all__ = ["LinearRelease", "Rule", "gradient_rounds"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """Public numbers of the rounds; chosen by benchmarks/gradient_rounds.py."""

    n_rounds: int = 10
    clip: float = 0.8
    directions: float = 0.1
    ridge: float = 1.6
    mix: float = 0.2
    share: Fraction = Fraction(15, 100)
    prior: Fraction = Fraction(1, 100)
    moment_rows: int = 100_000
    growth: float = 1.0
    averaged: float = 1 / 3
    visible: float = 1e9


@dataclass(frozen=True, eq=False)
class LinearRelease:
    """Released weights of a linear model; public.

    Parameters
    ----------
    coef : ndarray of shape (k, d)
        One row of weights a score.
    intercept : ndarray of shape (k,)
    n_rounds, n_directions : int
    """

    coef: Array
    intercept: Array
    n_rounds: int
    n_directions: int


def gradient_rounds(
    rows: PrivateRows,
    public: Any,
    loss: PrivacyLoss,
    *,
    whole: Fraction = Fraction(1),
    rule: Rule = Rule(),
) -> Mechanism[LinearRelease]:
    """Learn."""
    n, k = rows.n_units, rows.n_scores
    mean, lattice, axes = _directions(public, _most_directions(rows, loss.part(whole), rule))
    q = axes.shape[1] + 1
    # first coordinates
    V = _coordinates(public, mean, axes)
    S = V[:, :-1].T @ V[:, :-1] / len(V)
    if q > 1:
        S = (1 - rule.mix) * S + rule.mix * np.trace(S) / (q - 1) * np.eye(q - 1)
    W0 = np.zeros((q, q))
    W0[:-1, :-1] = _whitening(S)
    W0[-1, -1] = 1.0
    base = np.zeros((len(mean) + 1, q))
    base[:-1, :-1] = axes
    base[-1, -1] = 1.0
    if not np.any(lattice.centre):
        base[-1, :-1] = -(mean @ axes)
    start, w = (yield from _ask(rows.targets_sum(), whole * rule.prior)) / n, np.zeros((q, k))
    w[-1] = _start(start, rows.n_classes)
    share = whole * rule.share
    radius = math.sqrt(1.2 * q)
    n_moment = n
    edge = 2 * math.sqrt(q) * radius**2 * loss.part(share).scale(1.0) / n_moment if loss.kind == "gaussian" else 1e99
    seen_m = edge < rule.visible
    left = whole * (1 - rule.prior - (rule.share if seen_m else 0))
    frame = quantized(lattice, base @ W0)
    if seen_m:
        moment, n_moment = rows.second_moment(frame, radius, rule.moment_rows)
        sd = _deviation(loss.part(share), moment)
        M = yield from _ask(moment, share)
        M = (M + M.T) / 2 / n_moment
        edge = math.sqrt(2 * q) * sd / n_moment
        values, U = np.linalg.eigh(M)
        H = np.where(values > 1 + 1.2 * edge, values, np.clip(values + edge, 0.3, 1))
    else:
        U, H = np.eye(q), np.ones(q)
    W = W0 @ (U / np.sqrt(H))
    frame = quantized(lattice, base @ W)
    v = np.linalg.solve(W, w)
    V = V @ W
    sizes = [Fraction(round(1000 * rule.growth**t)) for t in range(rule.n_rounds)]
    shares = [left * size / sum(sizes) for size in sizes]
    H, seen, before = np.eye(q), [], None
    unit = loss.part(left)
    ridge = float(np.clip(rule.ridge * q * _relative(unit, q * k) / n, 1e-3, 0.5))
    R = np.linalg.inv(H)
    penalty = W.T @ np.linalg.inv(W0 @ W0.T) @ W  # identity of the first coordinates
    penalty = np.linalg.inv(W0) @ W
    penalty = penalty.T @ penalty
    for t in range(rule.n_rounds):
        each = shares[t]
        h, spread = _curvature(V @ v, rows.n_classes, t)
        C = 1.4 * rule.clip * math.sqrt(q) * spread
        found = rows.gradients(frame, base @ W @ v, C)
        sd = _deviation(loss.part(each), found) / n
        G = (yield from _ask(found, each)) / n
        gradient = G - ridge * h * penalty @ v
        if before is not None and ((v - before[0]) ** 2).sum() > 0:
            s, change = v - before[0], before[1] - gradient
            size = float((s * s).sum())
            now, seen_now = float((s * (H @ s)).sum()) / size, float((s * change).sum()) / size / h
            noise = math.sqrt(2) * sd / math.sqrt(size) / h
            if seen_now > now + noise:
                # the direction of the step, over the classes together
                left_s = s @ s.T / size
                H = H + (seen_now - now) * left_s
        before = v, gradient
        v = v + np.linalg.solve(h * H + ridge * h * penalty, gradient) * (0.7 if t == 0 else 1)
        seen.append(v)
    total, used, kept = Fraction(0), [], []
    for v_t, s_t in zip(reversed(seen), reversed(shares), strict=True):
        if total < rule.averaged * left or len(used) < 2:
            used.append(v_t)
            kept.append(float(s_t))
            total += s_t
    v = np.average(used, axis=0, weights=kept)
    weights = quantized(lattice, base @ W @ v).actual()
    coef = weights[:-1].T
    return LinearRelease(coef, weights[-1] - lattice.centre @ weights[:-1], rule.n_rounds, q)


def _ask(found: Sum, share: Fraction) -> Any:
    """Yield a query of a sum; return the noisy answer in its units."""
    noisy = yield Query(found.values, found.l1, found.l2, share)
    return np.asarray(noisy, dtype=np.float64) * found.unit


def _deviation(loss: PrivacyLoss, found: Sum) -> float:
    """Return the standard deviation of the noise on each entry of an answer, in its units."""
    if loss.kind == "laplace":
        return math.sqrt(2) * loss.scale(found.l1) * found.unit
    return loss.scale(found.l2) * found.unit


def _relative(loss: PrivacyLoss, size: int) -> float:
    """Return the standard deviation of the noise on a sum of `size` numbers, moved by 1 in L2."""
    return loss.scale(1.0) if loss.kind == "gaussian" else loss.scale(math.sqrt(2 * size))


def _most_directions(rows: PrivateRows, loss: PrivacyLoss, rule: Rule) -> int:
    most = int(rule.directions * rows.n_units / _relative(loss, rows.n_scores))
    return max(10, most)


def _moments(public: Any) -> tuple[Array, Array]:
    if sp.issparse(public):
        mean = np.asarray(public.mean(axis=0)).ravel()
        square = np.asarray(public.multiply(public).mean(axis=0)).ravel()
        return mean, np.sqrt(np.maximum(square - mean**2, 0))
    return public.mean(axis=0), public.std(axis=0)


def _directions(public: Any, most: int) -> tuple[Array, Lattice, Array]:
    """Return the mean, the lattice and at most `most` principal axes of public rows."""
    mean, spread = _moments(public)
    lattice = Lattice.of(mean, spread, centred=not sp.issparse(public))
    if public.shape[1] <= public.shape[0]:
        centred = public - mean
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        order = np.argsort(-values)[:most]
        order = order[values[order] > 1e-6 * max(values.max(), 1e-300)]
        return mean, lattice, axes[:, order]
    centred = np.asarray(public.todense() if sp.issparse(public) else public) - mean
    U, values, axes = np.linalg.svd(centred, full_matrices=False)
    kept = min(most, int((values > 1e-3 * values[0]).sum()))
    return mean, lattice, axes[:kept].T


def _coordinates(public: Any, mean: Array, axes: Array) -> Array:
    return np.hstack([np.asarray(public @ axes) - mean @ axes, np.ones((public.shape[0], 1))])


def _whitening(S: Array) -> Array:
    values, axes = np.linalg.eigh(S)
    return np.asarray(axes / np.sqrt(values))


def _start(answer: Array, n_classes: int) -> Any:
    if not n_classes:
        return np.clip(answer[0], -1, 1)
    shares = np.clip(np.resize(answer, max(n_classes, 2)), 0.002, None)
    shares = shares / shares.sum()
    return np.log(shares) if n_classes > 2 else np.log(shares[1] / shares[0])


def _curvature(scores: Array, n_classes: int, t: int) -> tuple[float, float]:
    """Return the mean curvature and the size of residuals, at public rows."""
    if not n_classes:
        return 1.0, max(0.5 * 0.8**t, 0.25)
    q = softmax(scores, axis=1) if n_classes > 2 else expit(scores)
    variance = q * (1 - q)
    if n_classes > 2:
        return max(float(variance.mean()), 0.02) * 1.2, math.sqrt(float(variance.sum(axis=1).mean()))
    v = float(variance.mean())
    return max(v, 0.05) * 1.2, max(math.sqrt(2 * v), 0.3)
