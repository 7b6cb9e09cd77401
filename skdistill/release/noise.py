r"""Exact noise: the rounding of ideal Gaussian or Laplace noise, sampled without error.

Floating-point noise is not private: the low bits of the sum tell which value it was added to
(Mironov, "On significance of the least significant bits for differential privacy", CCS 2012).
Here a release is q + round(Z), for a vector of integers q and the ideal, real-valued noise Z of the
mechanism. Since q is an integer, q + round(Z) = round(q + Z): a function of the ideal mechanism's
output that no longer looks at the data, hence exactly as private ("post-processing", Dwork and
Roth 2014, Proposition 2.1). Ties have probability zero.

It remains to draw round(Z) with exactly its law, and fast. |Z| is the inverse survival function S⁻¹
of a uniform U in (0, 1), whose binary digits come from the operating system. Floating point settles
nearly every draw. One so near to a middle b between two integers that the error matters, or in the
far tail, is settled by comparing U with S(b) in integers, with more digits of U until they tell.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, ndtri_exp

from skdistill._diffprivlib import load
from skdistill.accounting.loss import PrivacyLoss

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_SCALE = 2.0**50  #: In lattice units: sums of values and noise then fit 64-bit integers.
WANTED_SCALE = 2.0**44  #: Lattices that follow the noise have at most so many units for its scale.
_LIMIT = 2**61  # values saturate here before the noise, and releases after it
_NOISE_LIMIT = 2**62  # beyond this much noise, every release saturates
_CHUNK = 1 << 15  # draws at a time: the work arrays stay in the processor's cache
_TAIL = 2**42  # below this prefix the uniform is too coarse to be used as it is
_SIGNIFICANT = 2**53  # digits a uniform is extended to before it is settled exactly
_GUARD = 32  # digits by which a survival function is computed finer than the uniform


class Sampler(Protocol):
    """A source of noise: its name, whether it is private, and how it is applied."""

    name: str
    private: bool

    def perturb(self, values: Integers, loss: PrivacyLoss, sensitivity: float) -> NDArray[Any]:
        """Return `values` with noise calibrated to `loss` and `sensitivity`."""


def active_sampler(name: str) -> Sampler:
    """Return the sampler of this name, or the one that :mod:`skdistill.testing` has put up."""
    if name not in _SAMPLERS:
        raise ValueError(f"sampler must be one of {sorted(_SAMPLERS)}, got {name!r}.")
    return _test_sampler.get() or _SAMPLERS[name]


def check_scale(scale: float) -> None:
    """Raise for noise whose scale, in lattice units, cannot be drawn; the scale is public."""
    if not 0 < scale <= MAX_SCALE:
        raise ValueError(
            f"The noise scale must be in (0, 2**50] lattice units, got {scale:.6g}. Noise of that "
            "size drowns any signal: release fewer queries, or raise epsilon."
        )


WordSource = Callable[[int], NDArray[np.uint64]]  #: Returns that many independent, uniform words.


class ExactSampler:
    r"""Draws round(Z) for ideal Gaussian or Laplace noise Z, with exactly its law.

    A word gives the sign (its lowest digit) and the first 63 digits r of U = 0.r..., so that
    U lies in [r, r + 1) · 2**-63, and \|Z\| = scale · S⁻¹(U). The integer nearest to \|Z\| is
    taken from floating point if that is certain, from :meth:`_settle` if not.

    *Certainty.* Let r ≥ 2**42. (1) û = (r + 1/2) · 2**-63 in floating point is off U by
    at most 1/(2r) + 2**-52 relatively, so ln û is off ln U by at most 1.01 · 2**-43. (2) S⁻¹
    as a function of ln U has a slope of S/\|S'\|: the Mills ratio for the Gaussian, at most
    √(π/2) < 1.2534; 1 for Laplace. (3) The floating-point S⁻¹ is off by 2**-47 relatively (16
    times the error that SciPy documents for ``ndtri``, and 8 times NumPy's 4 ulp for ``log``;
    tested against 60 digits). S⁻¹(2**-21) is below 5.1 for the Gaussian, below 14.6 for
    Laplace, so this is at most 0.32 · 2**-43, and 0.92 · 2**-43. (4) The product with the
    scale is off by 2**-53 relatively: at most 2**-49 scales. The sum of the four is below
    1.97 · 2**-43 scales for both laws, and the code allows 2**-42 scales = 2 · 2**-43 (the
    distance to the nearest integer is exact in floating point).

    Draws that miss this test are tried again with the bound that belongs to their own r, where
    (1) is 1/(2r) + 2**-52: it allows (0.65/r + (1 + z) · 2**-46) scales, for z = S⁻¹. That
    leaves a fraction of about 2**-44 · scale (and the tail, 2**-21) to be settled exactly.

    A sampler with `words` of the caller's own is not private. The operating system's entropy is
    asked anew for every chunk, so that forked processes and threads share no state. `word_bits`,
    the digits in a word, are 64, 32, 16 or 8; fewer than 44 leave every draw to :meth:`_settle`:
    for tests.
    """

    def __init__(self, words: WordSource | None = None, word_bits: int = 64) -> None:
        if word_bits not in (8, 16, 32, 64):
            raise ValueError(f"word_bits must be 8, 16, 32 or 64, got {word_bits!r}.")
        self.private = words is None
        self.name = (
            "exact: integers distributed as the rounded ideal noise, drawn from the operating "
            "system's entropy"
            if words is None
            else "exact, from a given source of bits (NOT private)"
        )
        self._word_bits = word_bits
        self._words = words or _operating_system_words(word_bits)

    def perturb(self, values: Integers, loss: PrivacyLoss, sensitivity: float) -> Integers:
        """Add noise to integers, so that releasing them costs `loss`; no error depends on a value.

        `sensitivity` is how far one record can move the whole release: in L2 for a Gaussian loss,
        in L1 for a Laplace one.

        Proof. `values` are clipped to ±2**61, which moves two neighbouring vectors no farther
        apart. The ideal mechanism adds independent real noise Z of scale
        ``loss.scale(sensitivity)`` to every clipped integer q, and costs `loss` (see
        :meth:`PrivacyLoss.scale`). The result is clip(q + round(Z)) = clip(round(q + Z)), at the
        same limit: post-processing of the ideal mechanism's output (Dwork and Roth 2014,
        Proposition 2.1), so the guarantee carries over without loss. That round(Z) has its law
        exactly is proved at :class:`ExactSampler`; it saturates at ±2**62, where q + round(Z) is
        beyond the limit whatever q.
        """
        if not isinstance(values, np.ndarray) or values.dtype != np.int64:
            raise TypeError("values must be a NumPy array of int64: lattice coordinates.")
        released = np.empty(values.shape, dtype=np.int64)
        np.clip(values, -_LIMIT, _LIMIT, out=released)
        self._add_noise(released.reshape(-1), loss.kind, loss.scale(sensitivity))
        return np.clip(released, -_LIMIT, _LIMIT, out=released)

    def draw(self, kind: str, scale: float, size: int) -> Integers:
        """Return independent draws of round(Z), saturated at ±2**62, for a scale up to 2**50."""
        noise = np.zeros(size, dtype=np.int64)
        self._add_noise(noise, kind, scale)
        return noise

    def _add_noise(self, flat: Integers, kind: str, scale: float) -> None:
        """Add draws to a one-dimensional array, in place."""
        check_scale(scale)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            part += self._draw_chunk(part.size, _LAWS[kind], scale)

    def _draw_chunk(self, size: int, law: _Law, scale: float) -> Integers:
        """Return draws, in floating point where that is certain."""
        words = self._words(size)
        prefix = (words >> np.uint64(1)).view(np.int64)
        u = prefix.astype(np.float64)
        u += 0.5
        u *= 2.0 ** (1 - self._word_bits)
        magnitude = law.quantile(u)
        magnitude *= scale
        nearest = np.rint(magnitude)
        distance = np.abs(np.subtract(magnitude, nearest, out=magnitude), out=magnitude)
        doubtful = distance >= 0.5 - 2.0**-42 * scale
        doubtful |= prefix < _TAIL
        # The word's lowest digit becomes the sign digit of the floating-point integer.
        signed = nearest.view(np.uint64) | (words << np.uint64(63))
        noise = signed.view(np.float64).astype(np.int64)
        where = np.flatnonzero(doubtful)
        if where.size:
            r = prefix[where]
            z = (np.abs(nearest[where]) + 0.5) / scale
            error = (0.65 / np.maximum(r, 1) + (1 + z) * 2.0**-46) * scale
            where = where[(r < _TAIL) | (distance[where] >= 0.5 - error)]
        for i in where:
            settled = self._settle(law, scale, int(prefix[i]))
            noise[i] = -settled if words[i] & np.uint64(1) else settled
        return noise

    def _settle(self, law: _Law, scale: float, prefix: int) -> int:
        r"""Return round(\|Z\|), exactly, given the first digits of U.

        The nearest integer to \|Z\| is the k with S(k + 1/2) ≤ U < S(k - 1/2). The search
        starts at a floating-point guess, whose quality matters for speed alone, and every
        comparison is exact.
        """
        uniform = _Uniform(prefix, self._word_bits - 1, self._words, self._word_bits)
        while uniform.prefix < _SIGNIFICANT:
            uniform.extend()

        def exceeds(middle: Fraction) -> bool:
            return uniform.below(law.survival, middle / Fraction(scale))

        k = min(max(0, round(law.guess(uniform.log()) * scale)), _NOISE_LIMIT)
        while k < _NOISE_LIMIT and exceeds(k + Fraction(1, 2)):
            k += 1
        while k > 0 and not exceeds(k - Fraction(1, 2)):
            k -= 1
        return k


class DiffprivlibSampler:
    """diffprivlib's scalar mechanisms, as the reference that the exact sampler is compared with.

    Its noise is a floating-point number, and so is the sum: low-order bits show which value the
    noise was added to (an attack on 40,000 draws of ``Laplace`` at ε = 1 proves ε > 5). The stated
    epsilon does not hold for such outputs, so `private` is False.
    """

    name = (
        "diffprivlib's floating-point noise (a reference; NOT private: the low-order bits of "
        "its outputs reveal more than epsilon allows)"
    )
    private = False

    def perturb(self, values: Integers, loss: PrivacyLoss, sensitivity: float) -> Array:
        """Return `values` with diffprivlib's noise; see :meth:`ExactSampler.perturb`."""
        mechanisms, scale = load("mechanisms"), loss.scale(sensitivity)
        if loss.kind == "laplace":
            mechanism = mechanisms.Laplace(epsilon=1.0, sensitivity=scale)
        else:  # any (epsilon, delta) will do: the law depends on the scale alone
            pair = {"epsilon": 1.0, "delta": 1e-5}
            unit = mechanisms.GaussianAnalytic(sensitivity=1.0, **pair)._scale
            mechanism = mechanisms.GaussianAnalytic(sensitivity=scale / unit, **pair)
        noisy = [mechanism.randomise(float(value)) for value in values.flat]
        return np.array(noisy, dtype=np.float64).reshape(values.shape)


@dataclass(frozen=True)
class _Law:
    """The half-line law of |Z| / scale."""

    quantile: Callable[[Array], Array]  # S⁻¹, in place
    guess: Callable[[float], float]  # S⁻¹ as a function of ln U, anywhere in the tail
    survival: Callable[[Fraction, int], int]  # S · 2**bits, off by less than 2


def _gaussian_quantile(u: Array) -> Array:
    """Return the z with P(|N(0, 1)| > z) = u, in place."""
    u *= 0.5
    ndtri(u, out=u)
    return np.negative(u, out=u)


def _laplace_quantile(u: Array) -> Array:
    """Return the z with exp(-z) = u, in place."""
    np.log(u, out=u)
    return np.negative(u, out=u)


def _gaussian_survival(z: Fraction, bits: int) -> int:
    r"""Return P(\|N(0, 1)\| > z) · 2**bits, off by less than 2, for z > 0.

    It is 1 - √(2/π) e^(-t) A with t = z²/2 and A = Σ_j z^(2j+1) / (2j+1)!!, all of whose terms
    are positive, and A ≤ √(π/2) e^t. In fixed point with w digits, the two roundings of each
    of J terms are enlarged by later factors to at most 2J e^t units in all, those of z and z²
    to (3z + 1) e^t ≤ 4J e^t. Multiplied by e^(-t), itself off by two units, and by √(2/π),
    off by one, this leaves less than 6J + 3e^t + 3 units, which the t/ln 2 + 32 digits that w
    has more than `bits` turn into less than 2**-16. Dropping those digits adds at most 1.
    Where t > `bits`, the whole is below e^(-bits), and 0 is returned.
    """
    if z * z > 2 * bits:
        return 0
    t = z * z / 2
    width = bits + math.ceil(1.45 * float(t)) + 32
    fixed = math.floor(z * (1 << width))
    square = fixed * fixed >> width
    total, term, j = 0, fixed, 0
    while term:
        total += term
        j += 1
        term = (term * square >> width) // (2 * j + 1)
    product = total * _exponential(math.floor(t * (1 << width)), width) >> width
    root = math.isqrt((2 << (3 * width)) // _pi(width))  # √(2/π) · 2**width
    return ((1 << width) - (product * root >> width)) >> (width - bits)


def _laplace_survival(z: Fraction, bits: int) -> int:
    """Return exp(-z) · 2**bits, off by less than 2, for z > 0."""
    if z > bits:
        return 0
    width = bits + 8
    return _exponential(math.floor(z * (1 << width)), width) >> (width - bits)


def _exponential(x: int, width: int) -> int:
    """Return exp(-x), off by less than 2, for a fixed-point x ≥ 0 with `width` digits.

    The Taylor series of exp(-x / 2**h), for x / 2**h < 2**-7, is off by 2J units for J terms.
    It is squared h times; every squaring doubles the error and adds one unit: less than
    (2J + 2) 2**h units, of which there are 2**(h + 16) in a unit of the result.
    """
    halvings = max(0, x.bit_length() - width + 8)
    fine = width + halvings + 16
    y = x << 16  # x / 2**halvings, in units of 2**-fine
    result = term = 1 << fine
    j = 0
    while term:
        j += 1
        term = (term * y >> fine) // j
        result += -term if j % 2 else term
    for _ in range(halvings):
        result = result * result >> fine
    return result >> (fine - width)


@lru_cache(maxsize=256)
def _pi(width: int) -> int:
    """Return π · 2**width, off by less than 1 (Machin: 16 arctan 1/5 - 4 arctan 1/239)."""
    fine = width + 16

    def arctan_of_inverse(n: int) -> int:
        power, total, j = (1 << fine) // n, 0, 1
        while power:
            total += power // j if j % 4 == 1 else -(power // j)
            power //= n * n
            j += 2
        return total

    return (16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)) >> 16


_LAWS = {
    "gaussian": _Law(
        _gaussian_quantile, lambda log_u: -float(ndtri_exp(log_u - math.log(2))), _gaussian_survival
    ),
    "laplace": _Law(_laplace_quantile, lambda log_u: -log_u, _laplace_survival),
}


@dataclass
class _Uniform:
    """A uniform number in (0, 1), of which the first digits are known."""

    prefix: int
    digits: int
    words: WordSource
    word_bits: int

    def extend(self) -> None:
        """Draw more digits."""
        self.prefix = (self.prefix << self.word_bits) | int(self.words(1)[0])
        self.digits += self.word_bits

    def log(self) -> float:
        """Return its logarithm, roughly."""
        return math.log(2 * self.prefix + 1) - (self.digits + 1) * math.log(2)

    def below(self, survival: Callable[[Fraction, int], int], z: Fraction) -> bool:
        """Return whether the number is below S(z), drawing digits until it is certain.

        The number is in [prefix, prefix + 1) · 2**-digits. S(z), computed with 32 more digits, is
        off by less than two units of those. (S(z) is irrational, so that they will differ.)
        """
        while True:
            value = survival(z, self.digits + _GUARD)
            if (self.prefix + 1) << _GUARD <= value - 2:
                return True
            if self.prefix << _GUARD >= value + 2:
                return False
            self.extend()


def _operating_system_words(word_bits: int) -> WordSource:
    width = word_bits // 8

    def words(count: int) -> NDArray[np.uint64]:
        drawn = np.frombuffer(os.urandom(width * count), dtype=f"u{width}")
        return drawn.astype(np.uint64, copy=False)

    return words


_SAMPLERS: dict[str, Sampler] = {"exact": ExactSampler(), "diffprivlib": DiffprivlibSampler()}
_test_sampler: ContextVar[Sampler | None] = ContextVar("_test_sampler", default=None)
