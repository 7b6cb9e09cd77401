r"""Gradient rounds: a private linear model, learned in a few noisy Newton steps.

The curvature of a linear model does not depend on the labels: public rows give it for free. A
private model is then learned in steps whose noise is put on sums of clipped gradients. It is the
loop of residual rounds: predict the private rows with the released model, protect a bounded
summary of the errors, learn, repeat.

*Public rows may be few, or unlike the private ones*, and a plain Newton step then overshoots. The
private rows' mean in the coordinates that the public rows give, and their second moment, cost
little; they move and scale the public rows to where the private ones are. Where the gradient
still changed more along a step than the curvature says, the answers show it, and the curvature
is enlarged there.

Everything private enters through :class:`skdistill.release.private_sums.PrivateRows`, whose
methods prove how far one unit moves each sum.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr, softmax

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.coordinates import Frame, public_frame
from skdistill.release.noise import WANTED_SCALE
from skdistill.release.private_sums import TARGETS_MOVED, IntegerMap, PrivateRows, Sum
from skdistill.release.query import Queries, Query, check_noise
from skdistill.release.smoothing import shrunk

Array = NDArray[np.float64]
Answer = Generator[Query, NDArray[Any], Array]

# A first moment, and a second one, of about so many rows is as good as of all of them.
_MOMENT_ROWS = 100_000
# Rows are shortened to √(1.2·q) for the moments: a little more than their mean length.
_RADIUS2 = 1.2
_SMALLEST_CURVATURE = 0.02  # of one public row's loss
_SMALLEST_RESIDUAL = 0.1
_SMALLEST_SPREAD = 0.02  # of a regression's targets
_CURVATURE = 1.2  # public rows' curvature is enlarged a little, since too small a one overshoots
_FIRST_STEP = 0.7
_SHRUNK_RIDGE = 0.5  # of a regression's ridge: its average is shrunk afterwards
# Most directions, and most numbers in the matrix of the coordinates.
_MOST_DIRECTIONS, _MOST_NUMBERS = 1024, 1 << 26
_FEWEST_DIRECTIONS = 10
# Rounds before the last few, whose iterates are hardly averaged, take a part of many rows, as
# long as the noise on a score stays below a level.
_LATE, _EARLY, _EARLY_LEVEL = 4, 10, 0.1
_ONE_ROUND = 0.15  # expected noise on a score, above which one round of Laplace noise is best
_PRIOR_FLOOR = 0.002  # no class is taken to be rarer at the start
_LEAST = 0.01  # of a mean curvature, where that of few public rows is less, or none
_TURNS = 0, 2  # rounds that choose the coordinates of a clip, beside the first of the late ones
_CLEAR = 2.5  # deviations of noise, beyond which a change of the gradient is one of the curvature
_RARITY_POWER = 2  # of the rarity, by which there are fewer directions


@dataclass(frozen=True)
class Rule:
    """Public numbers of the rounds, chosen by benchmarks/gradient_rounds.py.

    Parameters
    ----------
    directions : float
        Number of principal directions, in units of n·μ: the noise on a prediction is
        proportional to their quotient. Twice as many for many classes, half as many again for
        a regression.
    ridge : float
        Penalty, in units of the noise on a prediction and of the mean curvature. Half of it for
        a regression, whose weights are shrunk by their noise at the end.
    mix : float
        Part of the public covariance that is replaced by its mean eigenvalue.
    rounds, rounds_fall : float
        The number of rounds is rounds / level^rounds_fall, from 4 to 10, where the level is the
        expected noise on a score.
    growth : float
        How much more μ² each round takes than the one before.
    clip, clip_falls, largest_clip : float
        The clip of a gradient is twice its expected size, times clip / level^clip_falls, at most
        largest_clip.
    averaged : float
        Part of the rounds' μ² whose iterates are averaged, the last ones.
    shrunk : float
        A regression's average is shrunk by so many times the variance that full steps give it:
        clipped gradients make shorter steps, whose average holds more noise.
    prior, mean, squares, products : Fraction
        Parts of μ² (of ε, for Laplace noise) that buy the classes' shares (or the mean and the
        spread of a regression's targets), and the private rows' mean, squares and second moment.
    """

    directions: float = 0.05
    ridge: float = 1.6
    mix: float = 0.2
    rounds: float = 6.5
    rounds_fall: float = 0.22
    growth: float = 1.3
    clip: float = 0.36
    clip_falls: float = 0.45
    largest_clip: float = 0.9
    averaged: float = 0.7
    shrunk: float = 2.0
    prior: Fraction = Fraction(1, 100)
    mean: Fraction = Fraction(2, 100)
    squares: Fraction = Fraction(4, 100)
    products: Fraction = Fraction(10, 100)


@dataclass(frozen=True, eq=False)
class LinearRelease:
    """Released weights of a linear model; public.

    Parameters
    ----------
    coef : ndarray of shape (k, d)
        Weights of the features: one row (two classes, or a regression), or one for each class.
        A regression's are in units of half the output range.
    intercept : ndarray of shape (k,)
        Score of a row of zeros.
    n_rounds : int
        How many gradients were asked for.
    n_directions : int
        In how many directions of the public rows the model was learned, the constant included.
    prior : ndarray of shape (n_classes,) or None
        Released shares of the classes.
    """

    coef: Array
    intercept: Array
    n_rounds: int
    n_directions: int
    prior: Array | None = None


def gradient_rounds(
    rows: PrivateRows,
    public: Any,
    loss: PrivacyLoss,
    *,
    whole: Fraction = Fraction(1),
    rule: Rule | None = None,
) -> Queries[LinearRelease]:
    r"""Learn a linear model of private rows.

    Parameters
    ----------
    rows : PrivateRows
        The private rows, of which sums are asked. Nothing else here is private.
    public : ndarray or CSR matrix of shape (m, d)
        Public rows without labels, in the features of the private ones, finite.
    loss : PrivacyLoss
        Of the release that this is a part of.
    whole : Fraction, default=1
        The part of it that the rounds may take.
    rule : Rule, optional
        Public numbers.

    Yields
    ------
    query : Query
        Counts of the classes (or the sums of the targets and of their squares), the rows' mean,
        squares and (where the noise allows) products, and one sum of clipped gradients a round.

    Returns
    -------
    LinearRelease

    Raises
    ------
    ValueError
        Before the first query, for public rows that do not fit.

    Notes
    -----
    Proof. The frame, the clip, the weights at which gradients are asked for, and the shares are
    functions of the answers so far and of public values (`public`, n, the numbers of columns and
    classes, `loss`, `rule`), and every query carries the bound that
    :class:`~skdistill.release.private_sums.PrivateRows` proves for its sum. The shares depend on
    public values alone, not on the answers, and sum to at most `whole`. So this is a mechanism as
    :func:`skdistill.release.query.answer` asks for.
    """
    rule, n = rule or Rule(), rows.n_units
    most = _most_directions(rows, loss.part(whole), rule)
    frame = public_frame(rows, public, most, rule.mix)
    bought = _moment_shares(frame.size, n, loss, whole, rule)
    left = whole * (1 - rule.prior) - sum(share for _, share in bought)
    shares = _shares(left, _level(frame.size, rows, loss.part(left)), rule, loss.kind)
    found = rows.targets_sum()
    totals = yield from _ask(found, whole * rule.prior)
    start, rare = _start(totals / n, rows.n_classes), rarity(totals, rows.n_classes)
    noise_of_totals = _deviation(loss.part(whole * rule.prior), found)
    spread = 1.0 if rows.n_classes else _spread(totals / n, noise_of_totals / n)
    frame = frame.first(_most_directions(rows, loss.part(whole), rule, rare**_RARITY_POWER))
    for order, share in bought:
        frame = yield from _nearer(frame, rows, order, share, loss)
    constant = np.zeros((frame.size, rows.n_scores))
    constant[-1] = start
    v: Array = np.asarray(np.linalg.solve(frame.start, constant), dtype=np.float64)
    steps = _Steps(frame, rows, loss.part(left), rule, spread)
    taken: list[tuple[Array, Fraction]] = []
    few = max(_MOMENT_ROWS, n // _EARLY, math.ceil(n * min(1.0, steps.level / _EARLY_LEVEL)))
    for share in shares:
        late = len(taken) - (len(shares) - _LATE)
        clip = steps.at(v, turn=len(taken) in _TURNS or late == 0)
        finest = _finest(loss.part(share), 4, v.size)
        at_most = few if late < 0 else n
        found, asked = rows.gradients(steps.map, frame.matrix @ v, clip, at_most, finest)
        noise = _deviation(loss.part(share), found) / asked
        gradient = (yield from _ask(found, share)) / asked
        gradient *= min(1.0, clip / max(float(np.linalg.norm(gradient)), 1e-300))
        v = steps.next(v, gradient, noise)
        taken.append((v, share))
    v, part = _average(taken, rule.averaged * left)
    if not rows.n_classes:
        v = steps.shrunk(v, noise * math.sqrt(shares[-1] / part))
    weights = IntegerMap(frame.lattice, frame.matrix @ v)
    coef = weights.actual()
    intercept = coef[-1] - frame.lattice.centre @ coef[:-1]
    prior = _prior(totals, noise_of_totals) if rows.n_classes else None
    return LinearRelease(coef[:-1].T, intercept, len(taken), frame.size, prior)


class _Steps:
    """Newton steps whose curvature is learned from public rows, and from the answers.

    Parameters
    ----------
    frame : Frame
        Coordinates.
    rows : PrivateRows
        Whose public facts are used, and nothing else.
    loss : PrivacyLoss
        Of all rounds together: the ridge follows their noise.
    rule : Rule
        Public numbers.
    spread : float
        Released deviation of a regression's targets, in units of half the output range; unused
        for classes.
    """

    def __init__(
        self, frame: Frame, rows: PrivateRows, loss: PrivacyLoss, rule: Rule, spread: float
    ) -> None:
        q, k = frame.size, rows.n_scores
        self.frame, self.rule, self.n_classes, self.spread = frame, rule, rows.n_classes, spread
        noise = q * _relative(loss, q * k) / rows.n_units
        self.level = _level(q, rows, loss)
        factor = rule.clip * self.level**-rule.clip_falls
        self.clip = 2 * min(max(factor, 0.25), rule.largest_clip)
        relative = rule.ridge * noise * (1 if rows.n_classes else _SHRUNK_RIDGE)
        self.penalty = float(np.clip(relative, 1e-3, 0.5)) * frame.start.T @ frame.start
        self.rest = np.diag(frame.rest)
        self.secants = np.zeros((q, q))
        self.before: tuple[Array, Array] | None = None
        self.n_steps, self.first_step = 0, _FIRST_STEP if loss.kind == "gaussian" else 1.0

    def at(self, v: Array, turn: bool) -> float:
        """Learn the curvature at weights v; return the clip.

        With `turn`, gradients are asked for in coordinates in which the curvature is the same in
        all directions. The gradients of a model whose probabilities are right have this as their
        second moment (Fisher's information), so the clip wastes no direction.
        """
        rows = self.frame.rows
        if self.n_classes:
            scores = rows @ v
            p = softmax(scores, axis=1) if self.n_classes > 2 else expit(scores)
            variance = p * (1 - p)
            each = np.maximum(variance.mean(axis=1), _SMALLEST_CURVATURE) * _CURVATURE
            residual = max(math.sqrt(float(variance.sum(axis=1).mean())), _SMALLEST_RESIDUAL)
            self.h = (rows * each[:, None]).T @ rows / len(each) + each.mean() * self.rest
            size = float(each.mean())
        else:
            residual = 0.53 * self.spread * max(0.75**self.n_steps, 0.5)  # held-out housing
            self.h, size = rows.T @ rows / len(rows) + self.rest, 1.0
        self.mean = max(float(np.trace(self.h)) / len(v), _LEAST * size)
        if turn:
            values, axes = np.linalg.eigh(self._hessian())
            self.turn = axes * np.sqrt(size / np.maximum(values, _LEAST * self.mean))
            self.map = IntegerMap(self.frame.lattice, self.frame.matrix @ self.turn)
        part = float((self.turn * (self.h @ self.turn)).sum()) / (size * len(v))
        length = math.sqrt(max(part, _LEAST) * self.frame.length2)
        return self.clip * length * residual

    def next(self, v: Array, gradient: Array, noise: float) -> Array:
        """Return the next weights, from the gradient in the turned coordinates and its noise."""
        gradient = np.linalg.solve(self.turn.T, gradient) - self.mean * self.penalty @ v
        if self.before is not None:
            self._learn(v, gradient, noise)
        self.before = v, gradient
        self.hessian = self._hessian()
        size = self.first_step if self.n_steps == 0 else 1.0
        self.n_steps += 1
        return np.asarray(v + size * np.linalg.solve(self.hessian, gradient))

    def _hessian(self) -> Array:
        return np.asarray(self.h + self.mean * (self.secants + self.penalty))

    def shrunk(self, v: Array, noise: float) -> Array:
        """Return averaged weights, shrunk along the public rows' directions by their noise."""
        start = self.frame.start
        step = start @ np.linalg.solve(self.hessian, np.linalg.inv(self.turn).T)
        w, variance = start @ v, self.rule.shrunk * noise**2 * (step * step).sum(axis=1)
        w[:-1] = shrunk(w[:-1], variance[:-1], 1)
        return np.asarray(np.linalg.solve(start, w))

    def _learn(self, v: Array, gradient: Array, noise: float) -> None:
        """Enlarge the curvature along the last step, where the gradient changed more than it."""
        assert self.before is not None
        step, change = v - self.before[0], self.before[1] - gradient
        size = float((step * step).sum())
        if size == 0:
            return
        expected = float((step * (self._hessian() @ step)).sum())
        excess = (float((step * change).sum()) - expected) / size
        along = float(np.linalg.norm(np.linalg.solve(self.turn, step)))  # noise along the step
        if excess > _CLEAR * math.sqrt(2) / size * along * noise:
            self.secants = self.secants + excess / self.mean * (step @ step.T) / size


def prediction_noise(rows: PrivateRows, loss: PrivacyLoss) -> float:
    """Return the size of the noise on a prediction, in widths of its range; public.

    Raises where noise is too large to be drawn: first that on the counts, of the smallest share.
    """
    rule = Rule()
    check_noise(loss.part(rule.prior), *TARGETS_MOVED)
    size = _most_directions(rows, loss, rule) + 1
    return size * _relative(loss, size * rows.n_scores) / rows.n_units


def least_noise(n_units: int, n_classes: int, loss: PrivacyLoss) -> float:
    """Return the size of the noise on a prediction of a model with ten weights, in its range."""
    kinds = n_classes if n_classes > 2 else 1
    return _FEWEST_DIRECTIONS * _relative(loss, _FEWEST_DIRECTIONS * kinds) / n_units


def _prior(counts: Array, noise: float = 0.0) -> Array:
    """Return noisy counts as shares of the classes.

    With the standard deviation of the `noise`, each count is its mean among those that are not
    negative (a truncated normal's), so that noise alone leaves no class without a share.
    """
    kept = np.maximum(counts, 0.0)
    if noise > 0:
        z = np.maximum(counts / noise, -30.0)  # below, too few digits are left
        kept = noise * (z + np.exp(-(z**2) / 2 - log_ndtr(z)) / math.sqrt(2 * math.pi))
    return kept / kept.sum() if kept.sum() > 0 else np.full(len(kept), 1 / len(kept))


def _ask(found: Sum, share: Fraction) -> Answer:
    """Yield a query of a sum; return the noisy answer in its units."""
    noisy = yield Query(found.values, found.l1, found.l2, share)
    return np.asarray(noisy, dtype=np.float64) * found.unit


def _deviation(loss: PrivacyLoss, found: Sum) -> float:
    """Return the standard deviation of the noise on each entry of an answer, in its units."""
    if loss.kind == "laplace":
        return math.sqrt(2) * loss.scale(found.l1) * found.unit
    return loss.scale(found.l2) * found.unit


def _relative(loss: PrivacyLoss, size: int) -> float:
    """Return the deviation of the noise on the mean of rounds of `size` numbers, moved by 1 in L2.

    With Laplace noise there is one round.
    """
    return loss.scale(1.0) if loss.kind == "gaussian" else loss.scale(math.sqrt(2 * size))


def _finest(loss: PrivacyLoss, moved: float, size: int) -> float:
    """Return how fine a lattice of `size` numbers may be, which move by `moved` times as much."""
    return WANTED_SCALE / (moved * _relative(loss, size))


# Directions and moments.


def rarity(totals: Array, n_classes: int) -> float:
    """Return by how much a rare class enlarges the noise on a score: 1 from shares of 30 % on.

    Noise is in proportion to a residual, √(p(1 - p)), and the curvature to p(1 - p). `totals` are
    noisy counts; there is no such rule for more classes than two.
    """
    if n_classes != 2:
        return 1.0
    p = float(np.clip(_prior(totals).min(), _PRIOR_FLOOR, 0.5))
    return max(1.0, 1 / (_spread_of(2) * math.sqrt(p * (1 - p))))


def _most_directions(rows: PrivateRows, loss: PrivacyLoss, rule: Rule, fewer: float = 1.0) -> int:
    """Return the number of directions that the noise allows."""
    kinds = 1.5 if not rows.n_classes else 1 if rows.n_scores == 1 else 2
    part = min(kinds * rule.directions, 0.6 / _spread_of(rows.n_classes)) * rows.n_units / fewer
    most = min(_MOST_DIRECTIONS, rows.width, max(_FEWEST_DIRECTIONS, _MOST_NUMBERS // rows.width))
    while most > _FEWEST_DIRECTIONS and most * _relative(loss, most * rows.n_scores) > part:
        most -= 1 + most // 64
    return max(most, 1)


def _moment_shares(
    q: int, n: int, loss: PrivacyLoss, whole: Fraction, rule: Rule
) -> list[tuple[Any, Fraction]]:
    """Return which moments are bought, and for how much: none where shares divide ε, not μ²."""
    if loss.kind == "laplace":
        return []
    radius2, counted = _RADIUS2 * q, min(n, _MOMENT_ROWS)
    edges: dict[str, float] = {  # noise relative to the signal at which the signal would drown
        "mean": math.sqrt(radius2 * q) * _relative(loss.part(whole * rule.mean), q),
        "squares": 1.5 * radius2 * _relative(loss.part(whole * rule.squares), 1),
        "products": 3 * math.sqrt(q) * radius2 * _relative(loss.part(whole * rule.products), q**2),
    }
    shares = {"mean": rule.mean, "squares": rule.squares, "products": rule.products}
    return [(order, whole * shares[order]) for order, edge in edges.items() if edge < counted]


def _nearer(
    frame: Frame, rows: PrivateRows, order: Any, share: Fraction, loss: PrivacyLoss
) -> Generator[Query, NDArray[Any], Frame]:
    """Move or scale the frame by a noisy moment of the private rows."""
    radius = math.sqrt(_RADIUS2 * frame.size)
    finest = _finest(loss.part(share), 2, frame.size**2)
    found, n = rows.moments(frame.integers(), radius, order, _MOMENT_ROWS, finest)
    noise = _deviation(loss.part(share), found) / n
    moment = (yield from _ask(found, share)) / n
    if order == "mean":  # shrunk by the average part of the noise (James and Stein 1961)
        known = frame.size * noise**2 / max(float((moment**2).sum()), 1e-300)
        return frame.moved(moment * max(0.0, 1 - known))
    if order == "squares":
        values, axes, edge = moment, np.eye(frame.size), noise
    else:
        values, axes = np.linalg.eigh((moment + moment.T) / 2)
        edge = math.sqrt(2 * frame.size) * noise
    clear = values > 1 + (1.2 if order == "products" else 2.0) * edge
    used = np.where(clear, values, np.clip(values + edge, 0.0, 1.0))
    length2 = max(float((values / np.maximum(used, 1.0)).sum()), frame.length2 / 2)
    return frame.scaled(axes, used, length2)


# Rounds.


def _start(answer: Array, n_classes: int) -> Any:
    """Return the scores of the released shares of the classes, or of the released mean."""
    if not n_classes:
        return np.clip(answer[0], -1, 1)
    shares = np.clip(np.resize(answer, max(n_classes, 2)), min(_PRIOR_FLOOR, 0.1 / n_classes), None)
    shares = shares / shares.sum()
    return np.log(shares) if n_classes > 2 else np.log(shares[1] / shares[0])


def _spread(moments: Array, noise: float) -> float:
    """Return the deviation of a regression's targets; one of the noise is added to its square.

    A square below zero is noise, and the targets are not taken to be closer together than it.
    """
    square = max(float(moments[1] - moments[0] ** 2), 0.0) + noise
    return math.sqrt(min(max(square, _SMALLEST_SPREAD**2), 1.0))


def _spread_of(n_classes: int) -> float:
    """Return the size of a residual in units of the loss's curvature, before anything is known."""
    if not n_classes:
        return 0.3
    if n_classes <= 2:
        return 2.25
    return n_classes / math.sqrt(1 - 1 / n_classes)


def _level(size: int, rows: PrivateRows, loss: PrivacyLoss) -> float:
    """Return the expected noise on a score of a model with so many weights; public."""
    noise = size * _relative(loss, size * rows.n_scores) / rows.n_units
    return 4 * noise * _spread_of(rows.n_classes)


def _shares(left: Fraction, level: float, rule: Rule, law: str) -> list[Fraction]:
    """Split the rest of the budget between the rounds; the exact sum is `left`.

    Rounds divide μ², but with Laplace noise they divide ε: there are one or two of them then.
    """
    n_rounds = round(min(max(rule.rounds * level**-rule.rounds_fall, 4), 10))
    if law == "laplace":
        n_rounds = 1 if level > _ONE_ROUND else 2
    sizes = [Fraction(round(1000 * rule.growth**t)) for t in range(n_rounds)]
    return [left * size / sum(sizes) for size in sizes]


def _average(taken: list[tuple[Array, Fraction]], at_least: float) -> tuple[Array, Fraction]:
    """Average the last iterates, which took `at_least` of the budget; and its sum."""
    used: list[tuple[Array, float]] = []
    total = Fraction(0)
    for v, share in reversed(taken):
        if used and total >= at_least:
            break
        used.append((v, float(share)))
        total += share
    average = np.average([v for v, _ in used], axis=0, weights=[s for _, s in used])
    return np.asarray(average), total
