"""The package audits itself: can releases from neighbouring data be told apart beyond the claim?

Four kinds of experiment, and for each of them mutants of the package that it must catch:

1. *Two worlds, the released labels*: a backdoor teacher answers one corner of the simplex in one
   world and another in the other; the optimal statistic of many releases tells the worlds apart.
2. *Two worlds, the whole transcript*: every vector that got noise is compared with the one that
   the other world would have released, given the same past. A proof speaks of these vectors and of
   nothing else, so the attack comes close to the claim, and it notices a third less noise.
3. *One run* (:mod:`skdistill.audit`): many canaries, each decided by a coin.
4. *Replay*, without statistics: one world's noisy values are handed to the other world. The
   protected values move by the sensitivity at most, all prices together keep to the claim, and
   everything public comes out the same to the last digit, because it is a function of noisy values.

The statistical ones use bounds with confidence 1 - 1e-6: that is the probability of a false
alarm. How often a mutant is missed is computed beside the tests.
"""

import dataclasses
import functools
import math
import random
import warnings
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from bounded_means import BoundedMeans
from scipy.linalg import hadamard
from scipy.special import ndtr
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import (
    PrivateDistiller,
    ResidualRounds,
    SoftLabels,
    TeacherEnsemble,
)
from skdistill.accounting import PrivacyLoss
from skdistill.audit import (
    audit_distiller,
    clopper_pearson_epsilon,
    clopper_pearson_mu,
    one_run_audit,
    two_world_audit,
)
from skdistill.certificates import DisjointTeachers, ParameterBall, RowBound
from skdistill.release import calibration, noise
from skdistill.release import residual_rounds as rounds
from skdistill.release.calibration import Release, calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.query import RowQuery, answer
from skdistill.release.votes import confident_max
from skdistill.testing import _put_up

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


# ------------------------------------------------------------------ two worlds: the released labels


def experiment(statistic, delta, n=N):
    """Run `statistic(present)` in both worlds and return the ε it shows.

    The threshold (a false alarm in 0.5 % of releases, where Gaussian noise shows most) comes from
    n releases of its own, so it is independent of those that are counted.

    With n = 3,500 and Gaussian noise at the claim, μ = 1.21, nothing is shown with a probability
    below 1e-9 (both rates beyond the threshold are random, and so is the threshold); at 3 μ, or
    with Laplace noise at 3 ε, no more than the claim with one below 1e-12.
    """
    threshold = float(np.quantile([statistic(False) for _ in range(n)], 0.995))
    positive, negative = (
        np.array([statistic(present) for _ in range(n)]) for present in (True, False)
    )
    threshold = np.nextafter(threshold, np.inf)
    return two_world_audit(
        positive, negative, delta=delta, confidence=SURE, threshold=threshold
    ).epsilon


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


def backdoor_statistic(what):
    """Return the log-likelihood ratio of a release, but for its scale: the optimal test."""
    far = np.abs if what.loss.kind == "laplace" else np.square

    def statistic(present):
        labels = what.draw(Backdoor(present)).values
        if labels.ndim == 1:
            return np.sum(far(labels) - far(labels - 1))
        absent, there = np.array([1.0, 0.0]), np.array([0.0, 1.0])
        return np.sum(far(labels - absent) - far(labels - there))

    return statistic


def delta_of(mechanism):
    return DELTA if mechanism == "gaussian" else 0.0


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize(("m", "regression"), [(1, False), (10, False), (1000, False), (10, True)])
def test_a_backdoor_in_every_row_shows_no_more_than_the_claim(mechanism, m, regression):
    bound = RowBound(1.0, 1.0) if regression else RowBound(2.0, math.sqrt(2))
    what = plan(bound, mechanism, m, regression)
    shown = experiment(backdoor_statistic(what), delta_of(mechanism), N if m < 100 else N // 3)
    assert shown <= EPSILON
    if mechanism == "gaussian" and m < 100:
        assert shown > 0  # the experiment does see the record; 1.7 is expected


@pytest.mark.slow
@pytest.mark.parametrize(("mechanism", "m"), [("gaussian", 10), ("laplace", 1)])
def test_the_experiment_catches_a_third_of_the_sensitivity(mechanism, m):
    what = plan(RowBound(2 / 3, math.sqrt(2) / 3), mechanism, m)
    assert experiment(backdoor_statistic(what), delta_of(mechanism)) > EPSILON


@pytest.mark.slow
def test_the_experiment_catches_a_forgotten_number_of_rows():
    what = plan(RowBound(2.0 / 10, math.sqrt(2) / 10), "gaussian", 100)
    assert experiment(backdoor_statistic(what), DELTA) > EPSILON


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("claimed", [1.0, 1 / 3])
def test_parameters_at_both_ends_of_their_ball(mechanism, claimed):
    """Two parameter vectors exactly a radius apart; a third of it claimed is caught."""
    radius = 0.3
    size = 3 if mechanism == "gaussian" else 1

    weights = np.zeros((1, size))
    ball = ParameterBall(
        radius * claimed,
        weights=lambda: weights,
        features=lambda X: X,
        link=lambda scores: np.column_stack([-scores[:, 0], scores[:, 0]]),
    )
    what = plan(ball, mechanism, 1)
    what = dataclasses.replace(what, asked=dataclasses.replace(what.asked, X=np.eye(size)[:1]))

    def statistic(present):
        weights[0, 0] = radius * present
        return what.draw(None).values[0, 1]

    shown = experiment(statistic, delta_of(mechanism))
    assert (shown <= EPSILON) == (claimed == 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [None, seeded_noise, global_noise])
@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_an_attacker_who_seeds_all_that_can_be_seeded(mechanism, mutant, monkeypatch):
    """Before every release. A seeded one is a constant in each world, and shows ε > 5."""
    if mutant is not None:
        mutant(monkeypatch)
    bound = RowBound(2.0, math.sqrt(2))
    statistic = backdoor_statistic(plan(bound, mechanism, 3))
    state = np.random.get_state()

    def seeded(present):
        np.random.seed(7)
        random.seed(7)
        return statistic(present)

    try:
        scores = [[seeded(present) for _ in range(1_000)] for present in (True, False)]
    finally:
        np.random.set_state(state)
    audit = two_world_audit(*scores, delta=delta_of(mechanism), confidence=SURE)
    assert (audit.epsilon > EPSILON) == (mutant is not None)


def test_the_bound_finds_a_known_epsilon():
    """Randomised response at ε=1: shown is below 1 (but for 1e-6) and not far below."""
    rng = np.random.default_rng()
    p = math.exp(1) / (1 + math.exp(1))
    hits, alarms = (int(rng.binomial(20_000, rate)) for rate in (p, 1 - p))
    shown = clopper_pearson_epsilon(hits, 20_000, alarms, 20_000, delta=0, confidence=SURE)
    assert 0.8 < shown <= 1


# ------------------------------------------------------------- two worlds: the whole transcript


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
def quick(monkeypatch):
    """Parts of a loss are looked up, each takes milliseconds to compute; no check of settings."""
    monkeypatch.setattr(PrivacyLoss, "part", functools.cache(PrivacyLoss.part))
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


# ------------------------------------------------------------------------- one run, many coins


def hadamard_audit(epsilon, delta=1e-8, m=512):
    """One release of m members' votes; each votes by its own pattern, or by its opposite.

    The patterns are orthogonal, and a coin turns all of a member's votes around, so that the
    projections on them are independent tests, each as strong as the claim allows one to be.
    """
    patterns, coins = hadamard(m), np.random.default_rng().random(m) < 0.5
    signs = np.where(coins[:, None], patterns, -patterns)

    def votes(X, function):
        for row in signs:
            yield function(np.column_stack([row < 0, row > 0]).astype(float))

    bound = DisjointTeachers(2 / m, math.sqrt(2) / m, n_teachers=m, member_votes=votes)
    what = plan(bound, "gaussian", m, epsilon=epsilon, delta=delta)
    labels = what.draw(None).values
    scores = patterns @ (labels[:, 1] - labels[:, 0])
    return one_run_audit(scores, coins, delta=delta, confidence=SURE)


def forgotten_rows(monkeypatch):
    """Noise for one row, on all of them."""
    monkeypatch.setattr(RowQuery, "moved", lambda self, n_rows: (self.l1, self.l2))


def hardly_any_noise(monkeypatch):
    less_noise(monkeypatch, 0.05)


@pytest.mark.parametrize("mutant", [None, forgotten_rows, hardly_any_noise])
def test_one_run_of_an_ensemble(mutant, monkeypatch):
    """Where the noise is wrong a coin is read off with probability .98: 470 of 512 show ε > 1.7."""
    epsilon = 1.0
    if mutant is not None:
        mutant(monkeypatch)
    assert (hadamard_audit(epsilon).epsilon > epsilon) == (mutant is not None)


# Teachers of every kind of certificate, with the settings that the distiller needs for them. The
# first ones learn every record by heart.
BY_HEART = {
    "tree": (DecisionTreeClassifier(random_state=0), {"mechanism": "gaussian"}),
    "tree, laplace": (DecisionTreeClassifier(random_state=0), {"delta": 0.0}),
    "one neighbour": (KNeighborsClassifier(1), {}),
    "regression tree": (DecisionTreeRegressor(random_state=0), {"output_range": (-1.0, 1.0)}),
}


class Loudest(ClassifierMixin, BaseEstimator):
    """Votes for the label of the record with the largest first feature, on all rows."""

    def fit(self, X, y):
        self.classes_, self.vote_ = np.unique(y), y[np.argmax(X[:, 0])]
        return self

    def predict(self, X):
        return np.repeat(self.vote_, len(X))


ENSEMBLE = TeacherEnsemble(DecisionTreeClassifier(random_state=0), n_teachers=7, random_state=0)
TEACHERS = {
    **BY_HEART,
    "linear": (LogisticRegression(), {}),
    "naive Bayes": (GaussianNB(), {"threshold": None}),
    "neighbours": (KNeighborsClassifier(5), {}),
    "stable": (BoundedMeans(), {}),
    "stable, laplace": (BoundedMeans(), {"delta": 0.0}),
    "ensemble, two rounds": (ENSEMBLE, {"mechanism": ResidualRounds(2)}),
    "ensemble, three rounds": (ENSEMBLE, {"mechanism": ResidualRounds(3)}),
    "ensemble, one round": (ENSEMBLE, {"mechanism": ResidualRounds(1)}),
    "ensemble, laplace": (ENSEMBLE, {"delta": 0.0}),
    "ensemble, noisy_max": (ENSEMBLE, {"mechanism": "noisy_max"}),
    "ensemble, noisy_max, laplace": (ENSEMBLE, {"mechanism": "noisy_max", "delta": 0.0}),
    "ensemble, confident_max": (ENSEMBLE, {"mechanism": "confident_max", "epsilon": 20.0}),
    "ensemble of the loudest": (
        TeacherEnsemble(Loudest(), n_teachers=7, classes=[0, 1], random_state=0),
        {},
    ),
    "regression": (Ridge(), {"output_range": (-1.0, 1.0)}),
    "ensemble of regressors": (
        TeacherEnsemble(LinearRegression(), n_teachers=7, random_state=0),
        {"output_range": (-1.0, 1.0), "mechanism": ResidualRounds(2)},
    ),
}
RNG = np.random.default_rng(0)  # public features and labels; no test depends on the seed
X_PRIVATE, X_PUBLIC = RNG.normal(size=(300, 3)), RNG.normal(size=(400, 3))
Y_PRIVATE = (X_PRIVATE[:, 0] + RNG.normal(size=300) > 0).astype(int)


def distiller_for(name, teacher=None):
    blank, options = TEACHERS[name]
    return PrivateDistiller(
        blank if teacher is None else teacher,
        **{"epsilon": 1.0, "delta": 1e-9, "random_state": 0, **options},
    )


def audited(name, **options):
    return audit_distiller(
        distiller_for(name), X_PRIVATE, Y_PRIVATE, X_PUBLIC, 200, confidence=SURE, **options
    )


@pytest.mark.parametrize("name", TEACHERS)
def test_canaries_of_every_estimator_keep_to_the_claim(name):
    result = audited(name)
    assert result.passed
    assert result.statement.private
    assert result.statement.epsilon == TEACHERS[name][1].get("epsilon", 1.0)


@pytest.mark.parametrize("mutant", [leaked_teacher, hardly_any_noise])
@pytest.mark.parametrize("name", BY_HEART)
def test_canaries_show_a_leak(name, mutant, monkeypatch):
    """A teacher that learns by heart, and nearly no noise: all 200 right shows ε > 2.6.

    A millionth of the noise turns no answer around: its scale is below 0.01 then, and half of
    one is 50 of them.
    """
    if mutant is hardly_any_noise:
        less_noise(monkeypatch, 1e-6)
    else:
        mutant(monkeypatch)
    result = audited(name)
    assert result.n_correct == result.n_guesses
    assert not result.passed
    assert result.epsilon_lower_bound > 2


# ------------------------------------------------------------------------------------- replay

X_ASKED = np.vstack([np.full((1, 3), 4.0), X_PUBLIC[:29]])


def neighbour_teachers(name, y):
    """Train on two data sets that differ in the label of one record, which is far out."""
    X, first = X_PRIVATE[:60].copy(), np.arange(60) == 0
    X[0] = 4.0
    return [clone(TEACHERS[name][0]).fit(X, np.where(first, label, y)) for label in (1, 0)]


def public_face(distiller):
    """All that a fitted distiller shows."""
    face = {
        name: getattr(distiller, name, None)
        for name in (
            "released_labels_",
            "query_indices_",
            "class_prior_",
            "decision_offsets_",
            "classes_",
        )
    }
    face |= {"predict": distiller.predict(X_PUBLIC), "privacy": str(distiller.privacy_)}
    if hasattr(distiller, "predict_proba"):
        face["predict_proba"] = distiller.predict_proba(X_PUBLIC)
    return face


def moved_too_far(own, other, loss, sensitivity):
    """Whether two vectors of integers are farther apart than said, exactly."""
    apart = [int(a) - int(b) for a, b in zip(own.flat, other.flat, strict=True)]
    if loss.kind == "laplace":
        return sum(map(abs, apart)) > Fraction(sensitivity)
    return sum(a * a for a in apart) > Fraction(sensitivity) ** 2


def replay(name, y=Y_PRIVATE[:60], **options):
    """Fit in one world, hand its noisy values to the other, and name all that differs.

    Returns
    -------
    found : set of str
        "settings": the noise depends on more than public numbers; "sensitivity": something moved
        further than its noise is made for; "price": the releases cost more than is claimed;
        "release": the public outcome is no function of the noisy values.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taps, fitted = [], []
        for teacher in neighbour_teachers(name, y):
            taps.append(Tap(taps[0].released if taps else None))
            with _put_up(taps[-1]):
                fitted.append(distiller_for(name, teacher).set_params(**options).fit(X_ASKED))
    found = set()
    calls = [tap.calls for tap in taps]
    assert calls[0]
    if [(loss, far) for _, loss, far in calls[0]] != [(loss, far) for _, loss, far in calls[1]]:
        found.add("settings")
    for (own, loss, far), (other, *_) in zip(*calls, strict=True):
        if moved_too_far(own, other, loss, far):
            found.add("sensitivity")
    claim = fitted[0].privacy_
    if claim.mu is not None:
        spent, budget = sum(Fraction(c[1].mu) ** 2 for c in calls[0]), Fraction(claim.mu) ** 2
    else:
        spent, budget = sum(Fraction(c[1].epsilon) for c in calls[0]), Fraction(claim.epsilon)
    if spent > budget:
        found.add("price")
    faces = [public_face(distiller) for distiller in fitted]
    if any(not np.array_equal(faces[0][key], faces[1][key]) for key in faces[0]):
        found.add("release")
    return found


@pytest.mark.parametrize("student", [None, "tree"])
@pytest.mark.parametrize("name", TEACHERS)
def test_a_fit_is_a_function_of_what_got_noise(name, student):
    regression = is_regressor(TEACHERS[name][0])
    tree = DecisionTreeRegressor() if regression else DecisionTreeClassifier()
    assert replay(name, student=tree if student else None) == set()


@pytest.mark.parametrize("n_rounds", [2, 3])
@pytest.mark.parametrize("agree", [True, False])
def test_a_fit_with_a_small_clip_is_one_too(n_rounds, agree):
    """At a large ε the first answer is good: a member that the record turns around is cut."""
    y = np.ones(60, int) if agree else Y_PRIVATE[:60]
    assert (
        replay("ensemble of the loudest", y, epsilon=100.0, mechanism=ResidualRounds(n_rounds))
        == set()
    )


@pytest.mark.parametrize("name", BY_HEART)
def test_a_replay_finds_a_teacher_that_reaches_the_student(name, monkeypatch):
    """For certain: both worlds' teachers are asked about the record's own features."""
    leaked_teacher(monkeypatch)
    assert replay(name) == {"release"}


@pytest.mark.parametrize("name", ["ensemble, two rounds", "ensemble of regressors"])
def test_a_replay_finds_a_clip_that_is_not_paid_for(name, monkeypatch):
    """Its share is paid, and the move takes it as well: more than all, which `answer` refuses.

    With an `answer` that does not add up the shares, the replay finds it.
    """
    monkeypatch.setattr(rounds, "residual_rounds", overspending(rounds.residual_rounds))
    with pytest.raises(ValueError, match="more than 1"):
        replay(name)
    monkeypatch.setattr(calibration, "answer", generous)
    assert replay(name) == {"price"}


def test_a_replay_finds_a_bound_that_is_too_small():
    assert replay("tree", certificate=RowBound(0.2, 0.1)) == {"sensitivity"}


def test_a_replay_finds_a_clip_without_noise(monkeypatch):
    """Not charged, and taken from the members as it is."""

    def exact(norms, edges, share):
        return float(np.quantile(norms, 0.999))
        yield  # a generator, like the clip that is paid for

    monkeypatch.setattr(rounds, "_private_clip", exact)
    found = replay(
        "ensemble of the loudest", np.ones(60, int), epsilon=100.0, mechanism=ResidualRounds(2)
    )
    assert found >= {"settings"}
