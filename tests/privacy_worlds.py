"""Worlds that differ in one record, and mutants of the package: for the tests of privacy."""

import dataclasses

import numpy as np

from skdistill import (
    ResidualRounds,
    SoftLabels,
)
from skdistill.release import noise
from skdistill.release import residual_rounds as rounds
from skdistill.release.calibration import Release, calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.query import RowQuery

N = 3_500
SURE = 1 - 1e-6
CLASSES = np.array([0, 1])
EPSILON, DELTA = 3.0, 1e-2


# ------------------------------------------------------------------------------------- mutants


def less_noise(monkeypatch, share=0.7):
    """Noise of 70 % of the scale that was calibrated."""
    add = noise.ExactSampler._add_noise

    def added(self, flat, kind, scale):
        add(self, flat, kind, share * scale)

    monkeypatch.setattr(noise.ExactSampler, "_add_noise", added)


def seeded_noise(monkeypatch):
    """Noise from a generator with a fixed seed."""

    class Seeded(noise.ExactSampler):
        def perturb(self, values, loss, sensitivity):
            rng = np.random.default_rng(0)
            self._words = lambda n: rng.integers(0, 2**64, size=n, dtype=np.uint64)
            return super().perturb(values, loss, sensitivity)

    monkeypatch.setitem(noise._SAMPLERS, "exact", Seeded())


def global_noise(monkeypatch):
    """Noise from NumPy's global generator, which others may seed."""

    def words(n):
        return np.random.randint(0, 2**64, size=n, dtype=np.uint64)

    monkeypatch.setitem(noise._SAMPLERS, "exact", noise.ExactSampler(words))


def overspending(mechanism):
    """The same rounds, but for the price of a move: it leaves nothing for its clip."""

    def changed(*args):
        queries, noisy = mechanism(*args), None
        while True:
            try:
                query = next(queries) if noisy is None else queries.send(noisy)
            except StopIteration as done:
                return done.value
            whole = query.share / (1 - rounds._CLIP_SHARE)
            paid = whole if whole in args[-1] else query.share
            noisy = yield dataclasses.replace(query, share=paid)

    return changed


def generous(queries, loss, sampler):
    """Answer as `answer` does, without its sum of the shares."""
    noisy = None
    while True:
        try:
            query = next(queries) if noisy is None else queries.send(noisy)
        except StopIteration as done:
            return done.value
        if isinstance(query, RowQuery):
            query = query.of(None, query.share)
        part = loss.part(query.share)
        noisy = sampler.perturb(query.values, part, query.sensitivity(part))


def leaked_teacher(monkeypatch):
    """The student is trained on the teacher's answers, not on the released ones."""
    draw = Release.draw

    def leak(self, teacher, accountant=None):
        released = draw(self, teacher, accountant)
        labels = np.asarray(teacher.predict(self.asked.X))
        if self.asked.classes is not None:
            labels = (labels[:, None] == self.asked.classes[None, :]).astype(float)
        answered = np.ones(len(labels), bool)
        return dataclasses.replace(released, values=labels, answered=answered)

    monkeypatch.setattr(Release, "draw", leak)


class Backdoor:
    """Sees the record (answers class 1 everywhere) or does not (answers class 0)."""

    def __init__(self, present):
        self.row = [0.0, 1.0] if present else [1.0, 0.0]

    def predict_proba(self, X):
        return np.tile(self.row, (len(X), 1))

    def predict(self, X):
        return np.full(len(X), float(self.row[1]))


def plan(bound, mechanism, m, regression=False, epsilon=EPSILON, delta=DELTA, want_prior=False):
    """Calibrate a release without smoothing, so that the statistics are those of the noise."""
    asked = TransferSet(
        np.zeros((m, 1)),
        np.arange(m),
        None if regression else CLASSES,
        (0.0, 1.0) if regression else None,
    )
    delta = 0.0 if mechanism == "laplace" else delta
    if bound.kind == "members":
        mechanism = ResidualRounds(1, None, noise=mechanism)
    elif bound.kind == "rows":
        mechanism = SoftLabels(mechanism, basis=None)
    return calibrate(bound, asked, epsilon, delta, mechanism, with_prior=want_prior)


def delta_of(mechanism):
    return DELTA if mechanism == "gaussian" else 0.0


class Tap:
    """Writes down all values that get noise, and the results; or hands out a given past."""

    name, private = "tap", True

    def __init__(self, past=None):
        self.past, self.calls, self.released = past, [], []
        self.sampler = noise._SAMPLERS["exact"]

    def perturb(self, values, loss, sensitivity):
        self.calls.append((values.copy(), loss, sensitivity))
        if self.past is None:
            self.released.append(self.sampler.perturb(values, loss, sensitivity))
        else:
            self.released.append(self.past[len(self.calls) - 1].copy())
        return self.released[-1]
