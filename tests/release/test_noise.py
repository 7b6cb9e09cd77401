"""The exact sampler's law, digit by digit and in bulk."""

import dataclasses
import math
import os
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from scipy import stats

from skdistill.accounting import PrivacyLoss
from skdistill.release import noise
from skdistill.release.noise import MAX_SCALE, ExactSampler, active_sampler

KINDS = ["gaussian", "laplace"]
both = pytest.mark.parametrize("kind", KINDS)
LIMIT = 2**61


def exact_survival(kind, z):
    """P(|Z| > z), in mpmath's working precision."""
    return mpmath.erfc(z / mpmath.sqrt(2)) if kind == "gaussian" else mpmath.exp(-z)


def middle_over_scale(k, scale):
    """(k + 1/2) / scale, in mpmath's working precision."""
    return (mpmath.mpf(k) + mpmath.mpf("0.5")) / mpmath.mpf(scale)


# -- In bulk: chi-square against exact probabilities ----------------------------------------


def law_p_value(draws, kind, scale):
    """P-value of a chi-square test that integers are distributed as round(Z).

    Cells lie between 200 quantiles at most (single integers where the scale is small); zero is a
    cell of its own where a hundred are expected. Every cell expects at least 100 draws, so that
    the statistic's law is chi-square to well within the thresholds used below.
    """
    law = {"gaussian": stats.norm, "laplace": stats.laplace}[kind](scale=scale)
    quantiles = np.linspace(0.002, 0.998, min(200, draws.size // 100))
    edges = set(np.rint(law.ppf(quantiles)).astype(int).tolist())
    if draws.size * (1 - 2 * law.sf(0.5)) >= 100:
        edges |= {-1, 0}
    edges = sorted(edges)
    while edges and draws.size * law.cdf(edges[0] + 0.5) < 100:
        del edges[0], edges[-1]
    # Probabilities by survival functions on the side where they do not cancel.
    below = [-math.inf, *(edge + 0.5 for edge in edges), math.inf]
    expected = [
        law.cdf(high) - law.cdf(low) if high <= 0 else law.sf(low) - law.sf(high)
        for low, high in pairwise(below)
    ]
    observed = np.bincount(np.searchsorted(edges, draws), minlength=len(edges) + 1)
    return stats.chisquare(observed, draws.size * np.array(expected)).pvalue


SCALES = [0.3, 1.0, 7.7, 1000.5, 3 * 2.0**20, 2.0**34]


@pytest.mark.slow
@both
@pytest.mark.parametrize("scale", SCALES)
def test_law(kind, scale):
    """False alarms: 1e-7 for each of the 12 cases, and for the 12 of the low digits."""
    draws = ExactSampler().draw(kind, scale, 1_000_000)
    assert law_p_value(draws, kind, scale) > 1e-7
    if scale > 100:
        # round(Z) modulo 16 is uniform: the characteristic function at 2 pi j / 16 is < 1e-30.
        assert stats.chisquare(np.bincount(draws % 16, minlength=16)).pvalue > 1e-7


@pytest.mark.slow
@both
@pytest.mark.parametrize("scale", [0.7, 20.0, 3 * 2.0**20])
def test_wrong_laws_are_caught(kind, scale):
    """Power: with a million draws each of these has a p-value below 1e-20, not 1e-7."""
    sampler, n = ExactSampler(), 1_000_000
    right = sampler.draw(kind, scale, n)
    wrong = {
        "3 % too much": sampler.draw(kind, 1.03 * scale, n),
        "3 % too little": sampler.draw(kind, 0.97 * scale, n),
        "no sign": np.abs(right),
        "sign of one in 20 lost": np.where(np.arange(n) % 20, right, np.abs(right)),
        "another law": sampler.draw(KINDS[kind == "gaussian"], scale, n),
    }
    if scale < 100:
        wrong["no zero"] = np.where(right == 0, 1, right)
        wrong["zero twice"] = np.where(np.abs(right) == 1, 0, right)
        wrong["rounded down"] = np.floor(
            np.random.default_rng().normal(0, scale, n)
            if kind == "gaussian"
            else np.random.default_rng().laplace(0, scale, n)
        ).astype(int)
    for name, draws in wrong.items():
        assert law_p_value(draws, kind, scale) < 1e-20, name


@both
@pytest.mark.slow
@pytest.mark.parametrize(("word_bits", "scale"), [(8, 3.0), (8, 1e5), (16, 0.4), (64, 2.0**44)])
def test_law_when_every_draw_is_settled_exactly(kind, word_bits, scale):
    """False alarms: 1e-7 for each of 8 cases."""
    draws = ExactSampler(word_bits=word_bits).draw(kind, scale, 20_000)
    assert law_p_value(draws, kind, scale) > 1e-7


# -- Digit by digit: strings of bits against mpmath -----------------------------------------


class Fed:
    """A source that deals out given words, and a constant one where digits are refined."""

    def __init__(self, words, filler):
        self.words = np.asarray(words, dtype=np.uint64)
        self.filler = filler
        self.refinements = 0

    def __call__(self, count):
        if count == 1:
            self.refinements += 1
            return np.array([self.filler], dtype=np.uint64)
        dealt, self.words = self.words[:count], self.words[count:]
        assert dealt.size == count
        return dealt


def counts_by_enumeration(kind, scale, strings, offset, largest):
    """How many of the uniforms (r + offset) / strings have k = round(|Z|), for k = 0, 1, ...

    |Z| > k + 1/2 if and only if U < S(k + 1/2), that is r < strings * S - offset.
    """
    with mpmath.workdps(60):
        above = [
            max(
                0,
                int(
                    mpmath.ceil(
                        strings * exact_survival(kind, middle_over_scale(k, scale)) - offset
                    )
                ),
            )
            for k in range(largest + 1)
        ]
    return -np.diff([strings, *above])


@both
@pytest.mark.parametrize("scale", [0.25, 1.0, 3.3, 41.0])
@pytest.mark.parametrize("filler", [0x01, 0x5A, 0xFE])
def test_all_strings_of_8_bits(kind, scale, filler):
    check_all_strings(kind, scale, 8, filler)


@both
@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_all_strings_of_16_bits(kind, scale):
    check_all_strings(kind, scale, 16, 0x5A5A)


def check_all_strings(kind, scale, bits, filler):
    """One string in, one integer out: the counts are known exactly, not statistically.

    Refinement digits are constant, so that the uniform of a string is one known number.
    """
    n_strings = 2**bits
    source = Fed(np.arange(n_strings), filler)
    draws = ExactSampler(source, word_bits=bits).draw(kind, scale, n_strings)
    largest = int(np.abs(draws).max())
    with mpmath.workdps(60):
        offset = mpmath.mpf(filler) / (n_strings - 1)
    expected = counts_by_enumeration(kind, scale, n_strings // 2, offset, largest)
    for sign in (1, -1):  # the lowest digit is the sign
        half = sign * draws[slice(0, None, 2) if sign == 1 else slice(1, None, 2)]
        assert half.min() >= 0
        assert_array_equal(np.bincount(half, minlength=largest + 1), expected)
    # Hence every cell has its probability to within the strings that a boundary cuts.
    cells = np.bincount(np.abs(draws), minlength=largest + 1) / n_strings
    middles = (np.arange(largest) + 0.5) / scale
    survival = np.array([1.0, *(float(exact_survival(kind, z)) for z in middles)])
    assert np.abs(cells[:-1] - (survival[:-1] - survival[1:])).max() <= 4 / n_strings


@both
@pytest.mark.parametrize("scale", [0.3, 1.0, 100.0])
@pytest.mark.parametrize("low", [0, 2**47 - 1])
def test_all_strings_of_16_bits_through_floating_point(kind, scale, low):
    """The same with 16 enumerated digits ahead of 47 constant ones: the fast path decides."""
    filler = 0x5555555555555555
    for sign in (0, 1):
        words = (np.arange(2**16, dtype=np.uint64) << np.uint64(48)) | np.uint64(2 * low + sign)
        source = Fed(words, filler)
        draws = ExactSampler(source).draw(kind, scale, 2**16)
        magnitudes = -draws if sign else draws
        assert magnitudes.min() >= 0
        assert source.refinements <= 8  # all but a few were decided in floating point
        with mpmath.workdps(60):
            offset = (low + mpmath.mpf(1) / 3) / mpmath.mpf(2**47)
        expected = counts_by_enumeration(kind, scale, 2**16, offset, int(magnitudes.max()))
        assert_array_equal(np.bincount(magnitudes), expected)


@pytest.mark.slow
@both
@pytest.mark.parametrize("scale", [1.0, 300.0, 3 * 2.0**20, 2.0**27, 2.0**36])
def test_words_next_to_a_middle(kind, scale):
    """The uniforms for which floating point is wrong, or nearly: exact arithmetic takes over.

    For 300 random middles, words whose uniform lies 1 to 2**40 units on either side of S.
    """
    filler = 0x5555555555555555
    generator = np.random.default_rng()
    with mpmath.workdps(60):
        words, expected = [], []
        for z in generator.uniform(0, 4.5, 300):
            k = int(z * scale)
            cut = exact_survival(kind, middle_over_scale(k, scale)) * 2**63
            for offset in (0, 1, 3, 50, 300, 1000, 2**14, 2**18, 2**22, 2**26, 2**32, 2**40):
                for prefix in (int(cut) - offset, int(cut) + offset):
                    if not 2**42 <= prefix < 2**63:
                        continue
                    # |Z|, by Newton's step from the middle, to more digits than it needs
                    uniform = prefix + mpmath.mpf(1) / 3
                    beyond = mpmath.log(cut / uniform) * scale * slope(kind, k, scale)
                    if abs(beyond) < 0.4:
                        words.append(prefix << 1)
                        expected.append(k + 1 if uniform < cut else k)
    assert len(words) > 300
    assert_array_equal(ExactSampler(Fed(words, filler)).draw(kind, scale, len(words)), expected)


def slope(kind, k, scale):
    """The derivative of the quantile by -ln U at a middle: the Mills ratio, or 1."""
    if kind == "laplace":
        return 1
    z = middle_over_scale(k, scale)
    return mpmath.sqrt(mpmath.pi / 2) * mpmath.erfc(z / mpmath.sqrt(2)) * mpmath.exp(z * z / 2)


@pytest.mark.slow
@both
@pytest.mark.parametrize("scale", [5.0, 3 * 2.0**20, 2.0**40])
def test_fast_path_and_exact_path_agree(kind, scale, monkeypatch):
    words = np.frombuffer(os.urandom(8 * 5000), dtype=np.uint64)
    fast = ExactSampler(Fed(words, 0x5555555555555555)).draw(kind, scale, words.size)
    monkeypatch.setattr(noise, "_TAIL", 2**63 - 1)
    exact = ExactSampler(Fed(words, 0x5555555555555555)).draw(kind, scale, words.size)
    assert_array_equal(fast, exact)


@both
@pytest.mark.parametrize("guess", [0.0, 10.0])
def test_the_guess_matters_for_speed_alone(kind, guess, monkeypatch):
    """A search that starts at 0, or far out, ends where the others end."""

    def draw():
        return ExactSampler(Fed(np.arange(256), 0x5A), word_bits=8).draw(kind, 3.3, 256)

    expected = draw()
    law = dataclasses.replace(noise._LAWS[kind], guess=lambda log_u: guess)
    monkeypatch.setitem(noise._LAWS, kind, law)
    assert_array_equal(draw(), expected)


@both
@pytest.mark.slow
def test_error_of_the_quantile_functions(kind):
    """The budget in the proof of ExactSampler: 2**-47, relatively, where the fast path is used.

    Random points, evenly in U and in ln U, and on both sides of the points where ndtri changes
    its formula (u/2 = e**-2 and z = 8 are those of Cephes), of 1/2, and of the ends.
    """
    generator = np.random.default_rng()
    special = [2 * math.exp(-2), 2 - 2 * math.exp(-2), 1.0, 0.5, 2.0**-21, math.sqrt(0.5)]
    near = [point * (1 + step * 2.0**-50) for point in special for step in range(-40, 41)]
    u = np.concatenate(
        [
            generator.uniform(0, 1, 4000),
            2.0 ** -generator.uniform(0, 21, 4000),
            1 - 2.0 ** -generator.uniform(1, 53, 500),
            near,
        ]
    )
    u = u[(u >= 2.0**-21) & (u < 1)]
    z = noise._LAWS[kind].quantile(u.copy())
    with mpmath.workdps(60):
        for point, value in zip(u.tolist(), z.tolist(), strict=True):
            value = mpmath.mpf(value)
            density = -mpmath.diff(lambda x: exact_survival(kind, x), value, h=1e-25)
            error = (exact_survival(kind, value) - mpmath.mpf(point)) / density
            assert abs(error) <= value * mpmath.mpf(2) ** -47, point
    assert z.max() < {"gaussian": 5.1, "laplace": 14.6}[kind]


@both
def test_survival_functions_in_integers(kind):
    """Off by less than 2 units, at any precision, from z = 1e-9 to where they vanish."""
    generator = np.random.default_rng()
    survival = noise._LAWS[kind].survival
    ends = [Fraction(1, 10**9), Fraction(2**70 + 1, 2), Fraction(1, 2) / Fraction(1e-300)]
    points = [Fraction(float(x)) for x in np.exp(generator.uniform(-12, 3.5, 600))] + ends
    with mpmath.workprec(1500):
        for z in points:
            bits = int(generator.integers(40, 400))
            point = min(z, Fraction(1000))  # beyond, the exact value is 0 to 400 digits
            exact = exact_survival(kind, mpmath.mpf(point.numerator) / point.denominator)
            assert abs(survival(z, bits) - exact * mpmath.mpf(2) ** bits) < 2


@pytest.mark.slow
@both
@pytest.mark.parametrize("zeros", [1, 3, 40])
def test_far_tail(kind, zeros):
    """Words of zeros: the uniform is 2**(-64 * zeros), and so is the survival function."""
    scale = 1000.0
    words = iter([0] * zeros)
    source = lambda count: np.array([next(words, 2**63)], dtype=np.uint64)  # noqa: E731
    (draw,) = ExactSampler(source).draw(kind, scale, 1)
    with mpmath.workprec(64 * zeros + 200):
        digits = 64 * zeros - 1
        uniform = mpmath.mpf(2**63) / (2**64 - 1) / mpmath.mpf(2) ** digits
        assert exact_survival(kind, middle_over_scale(int(draw), scale)) <= uniform
        assert exact_survival(kind, middle_over_scale(int(draw) - 1, scale)) > uniform


# -- Scales and shapes ------------------------------------------------------------------------


@both
def test_tiny_scales_give_zeros(kind):
    """P(|Z| > 1/2) is below e**-500 at these scales."""
    for scale in (1e-3, 1e-300, sys.float_info.min):
        assert not ExactSampler().draw(kind, scale, 10_000).any()
        assert not ExactSampler(Fed([0, 1, 2, 3], 1)).draw(kind, scale, 4).any()  # the tail


@both
def test_largest_scale(kind):
    draws = ExactSampler().draw(kind, MAX_SCALE, 2000)
    assert law_p_value(draws, kind, MAX_SCALE) > 1e-7


@both
def test_scales_beyond_the_limit_are_refused(kind):
    for scale in (MAX_SCALE * (1 + 2.0**-52), 1e300):
        with pytest.raises(ValueError, match="release fewer queries, or raise epsilon"):
            ExactSampler().draw(kind, scale, 1)


LOSSES = [PrivacyLoss.gaussian(1.0, 1e-6), PrivacyLoss.laplace(1.0)]


def perturb(values, loss, sensitivity, sampler="exact"):
    return active_sampler(sampler).perturb(values, loss, sensitivity)


@pytest.mark.parametrize("loss", LOSSES, ids=KINDS)
def test_values_saturate_instead_of_overflowing(loss):
    info = np.iinfo(np.int64)
    values = np.array([info.min, info.max, 2**61, -(2**61), 0] * 100)
    for sensitivity in (1.0, loss.mu * 2.0**49 if loss.mu else 2.0**49):
        released = perturb(values, loss, sensitivity)
        assert np.abs(released).max() <= LIMIT
        assert (np.sign(released) * np.sign(values) >= 0).all()  # noise is below 2**56
    assert values[0] == info.min


@pytest.mark.parametrize("sampler", ["exact", "diffprivlib"])
@pytest.mark.parametrize("loss", LOSSES, ids=KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, 3, 4)])
def test_shapes(sampler, loss, shape):
    values = np.full(shape, 10**9, dtype=np.int64)
    released = perturb(values, loss, 0.01, sampler)
    assert isinstance(released, np.ndarray)
    assert released.shape == shape
    assert released.dtype == (np.int64 if sampler == "exact" else np.float64)
    assert (np.abs(released - values) < 1000).all()
    assert (values == 10**9).all()


def test_order_of_memory_does_not_matter():
    values = np.arange(12_000).reshape(100, 120) * 10**6
    for view in (values.T, values[::2, ::-3], np.asfortranarray(values)):
        assert np.abs(perturb(view, LOSSES[1], 0.01) - view).max() < 1000


def test_releases_longer_than_a_chunk():
    size = 2 * noise._CHUNK + 17
    released = perturb(np.arange(size) * 2**40, LOSSES[1], 2.0**20)
    errors = released - np.arange(size) * 2**40
    assert np.abs(errors).max() < 2**27
    assert np.unique(errors).size > size * 0.9  # no chunk repeats another's noise
    assert law_p_value(errors, "laplace", 2.0**20) > 1e-7


@pytest.mark.parametrize("bad", [[1, 2], np.zeros(2), np.zeros(2, np.int32), 3])
def test_values_must_be_int64(bad):
    with pytest.raises(TypeError, match="int64"):
        perturb(bad, LOSSES[0], 1.0)


def test_unknown_sampler():
    with pytest.raises(ValueError, match=r"sampler must be one of \['diffprivlib', 'exact'\]"):
        perturb(np.zeros(1, np.int64), LOSSES[0], 1.0, "fast")


def test_word_bits():
    with pytest.raises(ValueError, match="word_bits"):
        ExactSampler(word_bits=53)
    for bits in (8, 16, 32, 64):
        assert ExactSampler(word_bits=bits).draw("laplace", 1.0, 3).shape == (3,)


def test_no_message_depends_on_values():
    canary = 8_675_309_867
    values = np.full(4, canary)
    for sensitivity in (-1.0, math.nan, 1e300):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            perturb(values, LOSSES[0], sensitivity)
        assert str(canary) not in str(caught.value)


def test_what_samplers_say():
    exact, reference = active_sampler("exact"), active_sampler("diffprivlib")
    assert exact.private
    assert "exact" in exact.name
    assert "operating system" in exact.name
    assert not reference.private
    assert "NOT private" in reference.name
    given = ExactSampler(Fed([], 1))
    assert not given.private
    assert "NOT private" in given.name


@pytest.mark.parametrize("loss", LOSSES, ids=KINDS)
def test_reference_sampler_has_the_same_scale(loss):
    """Standard error of the deviation is below 0.6 % here; 5 % is more than 8 of them."""
    values = np.zeros(20_000, dtype=np.int64)
    reference = perturb(values, loss, 1000.0, "diffprivlib").std()
    exact = perturb(np.zeros(1_000_000, np.int64), loss, 1000.0).std()
    assert abs(reference / exact - 1) < 0.05


# -- Independence -------------------------------------------------------------------------------


def one_release():
    """Forty draws of scale 2**40.

    Two draws are equal with a probability below 2**-41, so that any two among 320 are with
    less than 51,040 * 2**-41 < 2.4e-8.
    """
    return perturb(np.zeros(40, dtype=np.int64), PrivacyLoss.laplace(1.0), 2.0**40).tolist()


def test_no_seed_makes_it_repeat():
    releases = []
    for _ in range(4):
        np.random.seed(0)
        releases.append(one_release())
    assert len(set(map(tuple, releases))) == 4


def test_threads_never_repeat():
    releases = []
    threads = [
        threading.Thread(target=lambda: releases.append(tuple(one_release()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(releases)) == 8
    assert len(set(sum(releases, ()))) == 320


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forks_never_repeat():
    script = """
import os
import numpy as np
from skdistill.accounting import PrivacyLoss
from skdistill.release.noise import active_sampler
sampler = active_sampler("exact")
def release():
    values = np.zeros(8, dtype=np.int64)
    return " ".join(map(str, sampler.perturb(values, PrivacyLoss.laplace(1.0), 2.0**40)))
release()
for _ in range(6):
    child = os.fork()
    if not child:
        os.write(1, (release() + "\\n").encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.write(1, (release() + "\\n").encode())
"""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    draws = done.stdout.split()
    assert len(draws) == 96
    assert len(set(draws)) == 96


@pytest.mark.slow
def test_worker_processes_never_repeat():
    values = np.zeros(40, dtype=np.int64)
    releases = Parallel(n_jobs=2, backend="loky")(
        delayed(active_sampler("exact").perturb)(values, LOSSES[1], 2.0**40) for _ in range(8)
    )
    assert len(set(map(tuple, releases))) == 8
    assert np.unique(np.concatenate(releases)).size == 320


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_perturb_adds_noise_of_the_scale_of_the_loss(kind):
    """Noise of 3 % less is seen: limits are 6 standard errors, a false alarm below 1e-8."""
    n, sensitivity = 250_000, 1e6
    loss = PrivacyLoss.gaussian(1.0, 1e-6) if kind == "gaussian" else PrivacyLoss.laplace(0.5)
    noise = ExactSampler().perturb(np.zeros(n, dtype=np.int64), loss, sensitivity).astype(float)
    if kind == "gaussian":  # sensitivity / mu; the variance of a square is 2
        found = np.mean((noise * loss.mu / sensitivity) ** 2)
        limit = 6 * np.sqrt(2 / n)
    else:  # sensitivity / epsilon; the variance of an absolute value is 1
        found, limit = np.mean(np.abs(noise) * loss.epsilon / sensitivity), 6 / np.sqrt(n)
    assert abs(found - 1) < limit
