"""Votes, bases and recorders for the tests of residual rounds."""

import math
from fractions import Fraction

import numpy as np

from skdistill.certificates import DisjointTeachers
from skdistill.release.mechanism import TransferSet
from skdistill.release.noise import ExactSampler
from skdistill.release.query import answer
from skdistill.release.residual_rounds import (
    collect_votes,
    default_shares,
    residual_rounds,
)

S = 1 << 20
LEVEL = 5e-7
SHARES = [default_shares(1), default_shares(2), default_shares(3)]
BOUND = DisjointTeachers(0.02, 0.01 * math.sqrt(2), n_teachers=100)
ASKED = TransferSet(np.zeros((500, 1)), np.arange(500), np.arange(2))
RNG = np.random.default_rng()  # public data only; no test depends on the seed


def release(votes, bases, loss, sampler, shares):
    """Answer the queries of the rounds; one column is an array of one axis, as the votes are."""
    labels = answer(residual_rounds(votes, bases, loss, shares), loss, sampler)
    return labels[:, 0] if labels.shape[1] == 1 else labels


class Recorder:
    """Keeps the values that it is asked to protect; returns noisy values, or the given past."""

    name, private = "recorder", False

    def __init__(self, past=None, sampler=None, narrow=None):
        self.calls, self.released = [], []
        self.past, self.narrow = past, narrow
        self.sampler = sampler or ExactSampler()

    def perturb(self, values, loss, sensitivity):
        assert values.dtype == np.int64
        self.calls.append((values.copy(), loss, sensitivity))
        if self.past is not None:
            return self.past[len(self.calls) - 1].copy()
        if self.narrow is not None:
            sensitivity = self.narrow(sensitivity)
        self.released.append(self.sampler.perturb(values, loss, sensitivity))
        return self.released[-1]

    @property
    def price(self):
        return sum(Fraction(loss.mu) ** 2 for _, loss, _ in self.calls)


def cosines(m, p):
    rows = np.arange(m)[:, None] + 0.5
    return np.linalg.qr(np.cos(np.pi * rows * np.arange(p) / m))[0]


def random_basis(m, p):
    return np.linalg.qr(RNG.normal(size=(m, p)))[0]


def iterate(raw):
    """Return `member_votes` of members that answer `raw`."""
    return lambda X, function: (function(votes) for votes in raw)


def agreeing(k, m, c, spread=0.02, basis=None):
    """Raw votes of k members that differ little from one smooth answer."""
    U = cosines(m, 6) if basis is None else basis
    shift = [RNG.normal(size=(6, c or 1)) * spread for _ in range(k)]
    signs = np.where(np.add.outer(np.arange(6), np.arange(c or 1)) % 2, 1, -1)
    truth = 0.1 * math.sqrt(m) * signs / np.arange(1, 7)[:, None]
    answers = [U[:, :6] @ (truth + s * math.sqrt(m)) for s in shift]
    if c is None:
        return [np.clip(0.5 + a[:, 0], 0, 1) for a in answers]
    return [rows / rows.sum(1, keepdims=True) for rows in (np.clip(1 + a, 0, 2) for a in answers)]


def collect(raw, bases, m, c):
    output_range = (0.0, 1.0) if c is None else None
    return collect_votes(iterate(raw), np.zeros((m, 1)), bases, m, c, output_range)


def square(integers):
    return sum(int(v) * int(v) for v in np.ravel(integers))


def worst_votes(m, c, past_answer, U):
    """Answers a member could give to move the release; some know the release."""
    shape = (m,) if c is None else (m, c)
    yield np.full(shape, np.nan)
    yield np.full(shape, np.inf)
    yield np.where(RNG.random(shape) < 0.5, -1e308, 1e308)
    yield np.full(shape, 5e-324)
    yield np.zeros(shape)
    yield "canary"
    yield np.ones((m + 1, 7))
    yield None
    for direction in [1, *U.T]:  # along, and against, the answer or a column of the basis
        for sign in (1, -1):
            if c is None:
                yield np.where(sign * direction * (past_answer - 0.5) > 0, 1.0, 0.0)
            else:
                scores = sign * np.reshape(direction, (-1, 1)) * past_answer
                yield np.eye(c)[scores.argmax(1)]


def check_the_move(past, other):
    """Return the part of each sensitivity that the move takes, after comparing exactly."""
    return check_the_move_of(past.calls, other.calls)


def check_the_move_of(past, other):
    taken = []
    for (was, loss, sensitivity), (now, loss2, sensitivity2) in zip(past, other, strict=True):
        # Everything public is a function of earlier releases.
        assert (loss, sensitivity) == (loss2, sensitivity2)
        moved, allowed = square(was.astype(object) - now.astype(object)), Fraction(sensitivity) ** 2
        assert moved <= allowed
        taken.append(math.sqrt(moved / allowed))
    return taken
