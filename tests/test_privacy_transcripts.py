"""Two worlds, the whole transcript: see test_privacy.py."""

import functools
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from privacy_worlds import CLASSES, SURE, Backdoor, Tap, generous, less_noise, overspending, plan
from scipy.special import ndtr
from scipy.stats import binom

from skdistill.accounting import PrivacyLoss
from skdistill.audit import (
    clopper_pearson_epsilon,
    clopper_pearson_mu,
    two_world_audit,
)
from skdistill.certificates import DisjointTeachers, ParameterBall, RowBound
from skdistill.release import residual_rounds as rounds
from skdistill.release.calibration import calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.query import answer
from skdistill.release.votes import confident_max
from skdistill.testing import _put_up

pytestmark = pytest.mark.usefixtures("prices_once")


def log_likelihood_ratio(release, present):
    """Return log P(transcript | record present) / P(transcript | not), after a release.

    The transcript is all noisy values, before anything is made of them. The other world is handed
    the same past, which shows the values that it would have released.
    """
    here = Tap()
    release(present, here)
    there = Tap(here.released)
    release(not present, there)
    ratio = 0.0
    for (own, loss, moved), (other, *_), out in zip(
        here.calls, there.calls, here.released, strict=True
    ):
        near, far = (out - own).astype(float), (out - other).astype(float)
        scale = loss.scale(moved)
        if loss.kind == "laplace":
            ratio += float((np.abs(far) - np.abs(near)).sum()) / scale
        else:
            ratio += float((far**2 - near**2).sum()) / (2 * scale**2)
    return ratio if present else -ratio


def members(k, target):
    """A certificate of k teachers: half vote 0, half vote 1, and `target()` decides."""
    m_votes = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]

    def votes(X, function):
        for i in range(k - 1):
            yield function(np.tile(m_votes[i % 2], (len(X), 1)))
        yield function(target(len(X)))

    return DisjointTeachers(2 / k, math.sqrt(2) / k, n_teachers=k, member_votes=votes)


def cosines(m, p):
    wave = np.cos(np.pi * (np.arange(m)[:, None] + 0.5) * np.arange(p) / m)
    return np.linalg.qr(wave)[0]


# ε and δ for which μ is about 2, where the fewest releases in each world see 30 % less noise.
STRONG = {"epsilon": 6.5, "delta": 1e-2}
M = 6


def all_rows(what, votes=None, teachers=lambda present: None):
    """Return ``release(present, sampler)`` for a plan; `votes` holds the votes of the target."""

    def release(present, sampler):
        if votes is not None:
            votes[0] = present
        with _put_up(sampler):
            return what.draw(teachers(present))

    return release


def rows_case():
    what = plan(RowBound(2.0, math.sqrt(2)), "gaussian", M, **STRONG)
    return what, all_rows(what, teachers=Backdoor)


def laplace_case():
    """One number, so that half of all releases show all of ε."""
    what = plan(RowBound(1.0, 1.0), "laplace", 1, regression=True, epsilon=1.7)
    return what, all_rows(what, teachers=Backdoor)


def one_round_case(k=5):
    votes = [True]
    bound = members(k, lambda n: np.tile([0.0, 1.0] if votes[0] else [1.0, 0.0], (n, 1)))
    what = plan(bound, "gaussian", M, **STRONG)
    return what, all_rows(what, votes)


def noisy_max_case(m, **price):
    """A member's vote moves two counts in every row."""
    votes = [True]
    bound = members(5, lambda n: np.tile([0.0, 1.0] if votes[0] else [1.0, 0.0], (n, 1)))
    asked = TransferSet(np.zeros((m, 1)), np.arange(m), CLASSES)
    what = calibrate(bound, asked, mechanism="noisy_max", **price)
    return what, all_rows(what, votes)


def rounds_case(shares=(Fraction(1, 10), Fraction(9, 10)), m=16, k=50, mechanism=None, run=answer):
    """All but one member know nothing; that one answers far off, one way or farther the other.

    Its residuals from the first answer are clipped both ways, so that they move the sum of the
    second round as far as can be, and are of different length, so that they move the histogram
    that the clip is read from.
    """
    bases, uniform = (cosines(m, 8),), np.full((m, 2), 0.5)
    votes = {}
    for present, row in ((True, [0.0, 1.0]), (False, [0.75, 0.25])):
        raw = [*[uniform] * (k - 1), np.tile(row, (m, 1))]
        votes[present] = rounds.collect_votes(
            lambda X, function, raw=raw: (function(each) for each in raw),
            np.zeros((m, 1)),
            bases,
            m,
            2,
        )
    loss = PrivacyLoss.gaussian(**STRONG)

    def release(present, sampler):
        queries = (mechanism or rounds.residual_rounds)(votes[present], bases, loss, shares)
        return run(queries, loss, sampler)

    return SimpleNamespace(loss=loss), release


def confident_case(k=40):
    """All others agree, so that a vote moves the largest count of every row, and the answer."""
    counts = {True: np.tile([0, k], (M, 1)), False: np.tile([1, k - 1], (M, 1))}
    loss = PrivacyLoss.gaussian(**STRONG)
    return SimpleNamespace(loss=loss), lambda present, sampler: answer(
        confident_max(counts[present], loss, k / 2, M), loss, sampler
    )


def parameters_case():
    weights = np.zeros((1, 3))
    ball = ParameterBall(
        0.3,
        weights=lambda: weights,
        features=lambda X: np.repeat(X, 3, axis=1),
        link=lambda scores: np.column_stack([-scores[:, 0], scores[:, 0]]),
    )
    what = plan(ball, "gaussian", M, **STRONG)

    def teachers(present):
        weights[0] = 0.3 * present, 0, 0

    return what, all_rows(what, teachers=teachers)


def prior_case():
    """Labels and class counts: the record moves both as far as it can."""
    present = [True]
    bound = RowBound(
        2.0,
        math.sqrt(2),
        class_counts=lambda: np.array([50, 51]) if present[0] else np.array([51, 50]),
    )
    what = plan(bound, "gaussian", M, want_prior=True, **STRONG)
    assert what.with_prior
    return what, all_rows(what, present, teachers=Backdoor)


CASES = {
    "gaussian": rows_case,
    "laplace": laplace_case,
    "noisy_max": lambda: noisy_max_case(M, **STRONG),
    "noisy_max without delta": lambda: noisy_max_case(1, epsilon=1.7),
    "confident_max": confident_case,
    "one round": one_round_case,
    "two rounds": rounds_case,
    "parameters": parameters_case,
    "class prior": prior_case,
}
RELEASES = 1_100


@pytest.fixture
def quick():
    """No check of scikit-learn's settings."""
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        yield


def transcript_audit(what, release, n):
    """Audit n releases in each world; the threshold is that of the optimal test.

    Gaussian noise shows its μ at any threshold, Laplace noise its ε where the ratio is largest.
    """
    ratios = [
        np.array([log_likelihood_ratio(release, present) for _ in range(n)])
        for present in (True, False)
    ]
    return two_world_audit(
        *ratios,
        delta=what.loss.delta,
        confidence=SURE,
        threshold=0.0 if what.loss.mu is not None else what.loss.epsilon * (1 - 1e-6),
    )


def shown_beyond_claim(what, audit):
    """By how much the audit contradicts the claim: positive for a violation."""
    if what.loss.mu is None:
        return audit.epsilon - what.loss.epsilon
    return audit.mu - what.loss.mu


def probability_of_missing(rates, n, bound, claim):
    """Return how likely `bound` is to stay at or below the claim, at these true rates; exactly."""
    k = np.arange(n + 1)
    hits, alarms = binom.pmf(k, n, rates[0]), binom.pmf(k, n, rates[1])
    shown = bound(k[:, None], n, k[None, :], n) > claim
    return 1 - float(hits @ shown @ alarms)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_whole_transcript_shows_no_more_than_the_claim(case, quick):
    """And nearly as much: the attack is the optimal one (2.1 is claimed, 1.0 surely seen).

    Less is seen with a probability below 1e-6, see `test_releases_are_enough`.
    """
    what, release = CASES[case]()
    audit = transcript_audit(what, release, releases_for(case))
    assert shown_beyond_claim(what, audit) <= 0
    assert what.loss.mu is None or audit.mu > 1.0
    assert audit.epsilon > 0.3


MU = PrivacyLoss.gaussian(**STRONG).mu


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c != "noisy_max without delta"])
def test_a_third_less_noise_is_caught(case, quick, monkeypatch):
    """With 70 % of the noise, μ is 1.43 times as large as claimed; so is the ε of Laplace noise.

    Missed with a probability below 1e-6, see the next test. (The two rounds reach 0.95 of their
    claim at least.)
    """
    what, release = CASES[case]()
    less_noise(monkeypatch)
    assert shown_beyond_claim(what, transcript_audit(what, release, releases_for(case))) > 0


def releases_for(case):
    more = {
        "laplace": 4_000,
        "noisy_max without delta": 1_500,
        "two rounds": 1_500,
        "confident_max": 1_500,
        "free clip": 3_000,
    }
    return more.get(case, RELEASES)


@pytest.mark.slow
def test_releases_are_enough():
    """A mutant is missed with a probability of 1e-6 at most.

    A ratio of Laplace noise is its largest where the noise is on the far side: on one side of
    one number in a half of all releases, and of both of two counts in a quarter.
    """

    def shown_mu(*counts):
        return clopper_pearson_mu(*counts, confidence=SURE)

    def shown_epsilon(*counts, delta=0.0):
        return clopper_pearson_epsilon(*counts, delta=delta, confidence=SURE)

    rates = ndtr(0.95 * MU / 2), ndtr(-0.95 * MU / 2)
    with_delta = functools.partial(shown_epsilon, delta=STRONG["delta"])
    assert probability_of_missing(rates, RELEASES, shown_mu, 1.0) < 1e-6
    assert probability_of_missing(rates, RELEASES, with_delta, 0.3) < 1e-6
    for case, share in (("laplace", 0.5), ("noisy_max without delta", 0.25)):
        rates = share, share * math.exp(-1.7)
        assert probability_of_missing(rates, releases_for(case), shown_epsilon, 0.3) < 1e-6

    for case, times in (("gaussian", 1 / 0.7), ("two rounds", 0.95 / 0.7), ("free clip", 1.25)):
        rates = ndtr(times * MU / 2), ndtr(-times * MU / 2)
        assert probability_of_missing(rates, releases_for(case), shown_mu, MU) < 1e-6
    rates = 0.5, 0.5 * math.exp(-1.7 / 0.7)
    assert probability_of_missing(rates, releases_for("laplace"), shown_epsilon, 1.7) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [False, True])
def test_a_clip_that_is_not_paid_for_is_caught(mutant, quick, monkeypatch):
    """The clip takes 9/10 of the second round's price here, so that without it μ is 1.34 times.

    1.25 to 1.3 of that reach the transcript. (At the usual 5 % it is 1.02 times, which statistics
    do not see; the replays below see it.)
    """
    monkeypatch.setattr(rounds, "_CLIP_SHARE", Fraction(9, 10))
    mechanism = overspending(rounds.residual_rounds) if mutant else None
    what, release = rounds_case(mechanism=mechanism, run=generous if mutant else answer)
    n = releases_for("free clip") if mutant else RELEASES // 2
    shown = shown_beyond_claim(what, transcript_audit(what, release, n))
    assert (shown > 0) == mutant
