"""Upgrades and bridges: the law of several releases of a row, and their joint price."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skdistill.accounting import PrivacyLoss
from skdistill.release.noise import ExactSampler
from skdistill.release.replay.progressive import Missing, ProgressiveRelease, level_of
from skdistill.testing import no_noise

ALARM = 1e-7  # of each test below, by the law of its statistic
SENSITIVITY = 3.0
LATTICE = 2.0**12


def keys_of(numbers):
    return np.array([b"%015d\1" % n for n in numbers], dtype="S16")


def gaussian(truth):
    """``measure`` for values that one record moves by SENSITIVITY."""

    def measure(rows, increment):
        loss = PrivacyLoss("gaussian", 1.0, 1e-6, math.sqrt(increment))
        integers = np.rint(truth[rows] * LATTICE).astype(np.int64)
        return ExactSampler().perturb(integers, loss, SENSITIVITY * LATTICE) / LATTICE

    return measure


def laplace(truth):
    def measure(rows, increment):
        integers = np.rint(truth[rows] * LATTICE).astype(np.int64)
        loss = PrivacyLoss.laplace(increment)
        return ExactSampler().perturb(integers, loss, SENSITIVITY * LATTICE) / LATTICE

    return measure


def refine(held, rows, level, measure, sampler, n_columns):
    """Measure the missing rows, and put all rows together."""
    missing = held.missing(rows, level)
    measured = [(part, measure(part, increment)) for part, increment in missing.groups]
    return held.refine(rows, level, measured, sampler, n_columns), missing.price


def climb_to(levels, truth, kind="gaussian"):
    """Release all rows at one level after another; return the releases and the prices."""
    rows, blobs, released, paid = keys_of(range(len(truth))), [], [], []
    measure = (gaussian if kind == "gaussian" else laplace)(truth)
    for level in levels:
        held = ProgressiveRelease(kind, SENSITIVITY, blobs)
        (values, blob), price = refine(held, rows, level, measure, ExactSampler(), truth.shape[1])
        blobs += [blob] if blob is not None else []
        released.append(values)
        paid.append(price)
    return released, paid


def uniform_scores(levels, released, truth):
    """Numbers that are independent and uniform if the releases are B(b)/b of a Brownian motion.

    In rising order of level, the increments of b·y - b·f over s·√(step) are independent N(0, 1).
    """
    order = np.argsort(levels)
    before, level, scores = 0.0, 0.0, []
    for i in order:
        now = levels[i] * (released[i] - truth)
        scores.append((now - before) / (SENSITIVITY * math.sqrt(levels[i] - level)))
        before, level = now, levels[i]
    return stats.norm.cdf(np.stack([score.ravel() for score in scores]))


def chi_square_p(uniform, bins=6):
    """p-value of the hypothesis that the columns are uniform on the unit cube."""
    cells = np.minimum((uniform * bins).astype(int), bins - 1)
    flat = np.ravel_multi_index(cells, (bins,) * len(cells))
    return stats.chisquare(np.bincount(flat, minlength=bins ** len(cells))).pvalue


TRUTH = np.tile([[0.25, 0.75], [1.0, 0.0]], (30_000, 1))


@pytest.mark.parametrize(
    "levels",
    [(0.5, 2.0), (2.0, 0.5), (2.0, 1.9), (0.1, 3.0, 1.0), (1.0, 0.1, 3.0), (3.0, 1.0, 2.0)],
)
def test_releases_at_several_levels_have_the_law_of_the_ideal_ones(levels):
    # The lattice is 2**-12 / 3 of a standard deviation and finer, so that rounding adds less than
    # 1e-7 of the variance: nothing that 120,000 draws could show.
    released, _ = climb_to(levels, TRUTH)
    assert chi_square_p(uniform_scores(levels, released, TRUTH)) > ALARM


def test_a_fresh_draw_at_the_price_of_the_difference_is_caught():
    """The law forbids this: y₂ independent of y₁ lets an attacker average the two."""
    first, _ = climb_to((0.5,), TRUTH)
    second, _ = climb_to((2.0,), TRUTH)
    assert chi_square_p(uniform_scores((0.5, 2.0), [*first, *second], TRUTH)) < 1e-30


@pytest.mark.parametrize(
    ("noise", "caught"), [("upgrade", False), ("fresh", True)], ids=["ours", "mutant"]
)
def test_averaging_two_releases_gains_nothing(noise, caught):
    """The best attack on the pair errs as often as the best attack on the finer release.

    A row is f or f + s, at even odds. At level b the best guess from y₂ errs with probability
    Φ(-√b/2), and no test of a √b-GDP release errs less. The number of errors is binomial.
    """
    a, b, n = 2.0, 4.0, 60_000
    moved = np.random.default_rng().integers(0, 2, size=(n, 1))
    truth = moved * SENSITIVITY
    if noise == "fresh":
        (y1,), _ = climb_to((a,), truth)
        (y2,), _ = climb_to((b,), truth)
    else:
        (y1, y2), _ = climb_to((a, b), truth)
    allowed = stats.norm.cdf(-math.sqrt(b) / 2)
    worst = 1.0
    for weight in (0.0, 0.2, 1 / 3, 0.5):  # 1/3 is best for independent releases
        guess = weight * y1 + (1 - weight) * y2 > SENSITIVITY / 2
        errors = int((guess != moved).sum())
        worst = min(worst, stats.binom.cdf(errors, n, allowed))
    # Four attacks: a false alarm has probability 4e-7 at most; the mutant's best errs with
    # probability Φ(-√6/2) = .110 instead of .159, 32 standard deviations below.
    assert (worst < ALARM) == caught


def test_all_levels_together_cost_what_the_finest_costs():
    for levels in [(0.5, 1.0, 2.0), (2.0, 1.0, 0.5), (1.0, 2.0, 0.5, 2.0)]:
        _, paid = climb_to(levels, TRUTH[:100])
        assert math.fsum(paid) == pytest.approx(100 * 2.0, rel=1e-12)


requests = st.lists(
    st.tuples(
        st.lists(st.integers(0, 12), min_size=1, max_size=13, unique=True),
        st.floats(0.01, 100.0),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@given(requests, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_price_is_that_of_the_highest_level_of_each_row_in_any_order(asked, shuffler):
    def total(sequence):
        blobs, paid = [], []
        for rows, level in sequence:
            held = ProgressiveRelease("gaussian", SENSITIVITY, blobs)
            with no_noise() as sampler:
                (values, blob), price = refine(
                    held, keys_of(rows), level, lambda r, _: np.zeros((len(r), 2)), sampler, 2
                )
            assert np.isfinite(values).all()
            blobs += [blob] if blob is not None else []
            paid.append(price)
        return math.fsum(paid)

    highest = {}
    for rows, level in asked:
        for row in rows:
            highest[row] = max(level, highest.get(row, 0.0))
    shuffled = list(asked)
    shuffler.shuffle(shuffled)
    assert total(asked) == pytest.approx(math.fsum(highest.values()), rel=1e-9)
    assert total(shuffled) == pytest.approx(total(asked), rel=1e-9)


@given(st.lists(st.floats(0.05, 20.0), min_size=1, max_size=6), st.integers(1, 10**6))
@settings(deadline=None)
def test_a_climb_never_costs_more_than_its_top_was_sold_for(epsilons, n_rows):
    """Steps are rounded up one by one; the margin of the level pays for that."""
    losses = [PrivacyLoss.gaussian(epsilon, 1e-6) for epsilon in sorted(epsilons)]
    levels = [level_of(loss, n_rows) for loss in losses]
    steps = np.diff([0.0, *levels])
    rounded_up = math.fsum(n_rows * step * (1 + 2.0**-40) for step in steps)
    assert rounded_up <= losses[-1].mu ** 2


def test_known_levels_come_back_byte_for_byte_without_a_measurement():
    truth, rows = TRUTH[:50], keys_of(range(50))
    first = ProgressiveRelease("gaussian", SENSITIVITY, [])
    (values, blob), _ = refine(first, rows, 1.0, gaussian(truth), ExactSampler(), 2)
    again = ProgressiveRelease("gaussian", SENSITIVITY, [blob])
    part = np.array([7, 3, 40])

    def never(rows, increment):
        raise AssertionError

    (replayed, nothing), price = refine(again, rows[part], 1.0, never, ExactSampler(), 2)
    assert price == 0
    assert_array_equal(replayed, values[part])
    assert nothing is None
    (coarse, bridge), price = refine(again, rows, 0.3, never, ExactSampler(), 2)
    assert price == 0
    both = ProgressiveRelease("gaussian", SENSITIVITY, [blob, bridge])
    (replayed, nothing), _ = refine(both, rows, 0.3, never, ExactSampler(), 2)
    assert_array_equal(replayed, coarse)
    assert nothing is None


def test_levels_apart_by_rounding_are_one():
    rows = keys_of(range(3))
    held = ProgressiveRelease("gaussian", SENSITIVITY, [])
    (_, blob), _ = refine(held, rows, 1.0, lambda r, _: np.ones((3, 1)), ExactSampler(), 1)
    near = ProgressiveRelease("gaussian", SENSITIVITY, [blob])
    for level in (1.0 + 2.0**-40, 1.0 - 2.0**-40):
        (values, new), price = refine(near, rows, level, gaussian(TRUTH), ExactSampler(), 1)
        assert price == 0 and new is None
        assert_allclose(values, 1.0)


# ------------------------------------------------------------------------------------- Laplace


def test_coarser_laplace_releases_have_the_law_of_laplace_noise_and_are_free():
    truth, (fine, coarse) = TRUTH, (2.0, 0.7)
    (y, z), paid = climb_to((fine, coarse), truth, "laplace")
    assert paid[1] == 0
    for level, values in ((fine, y), (coarse, z)):
        p = stats.kstest((values - truth).ravel(), stats.laplace(scale=SENSITIVITY / level).cdf)
        assert p.pvalue > ALARM  # the lattice, 2**-12 of the noise, adds 1e-4: D is .012 at 1e-7
    same = int((y == z).sum())
    expected = (coarse / fine) ** 2
    assert stats.binomtest(same, y.size, expected).pvalue > ALARM
    moved = (z - y)[z != y]
    p = stats.kstest(moved, stats.laplace(scale=SENSITIVITY / coarse).cdf)
    assert p.pvalue > ALARM


def test_finer_laplace_releases_are_new_ones_at_full_price():
    _, paid = climb_to((0.5, 1.0, 1.0, 0.2), TRUTH[:10], "laplace")
    assert paid == pytest.approx([5.0, 10.0, 0.0, 0.0])


def test_the_price_is_an_exact_sum_over_rows():
    missing = Missing(((np.arange(3), 0.5), (np.arange(2), 2.0)))
    assert missing.price == Fraction(11, 2)
    assert Missing(()).price == 0
    tenth = Missing(tuple((np.arange(1), 0.1) for _ in range(10)))
    assert tenth.price == 10 * Fraction(0.1) != 1
