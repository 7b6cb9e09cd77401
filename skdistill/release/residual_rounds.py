"""Residual rounds: the votes of teachers on disjoint shards, released in rounds of falling noise.

The first round releases the sum of the votes on all rows: soft PATE (Papernot et al., ICLR 2017).
Every later round asks each member how far its votes, in a public basis of the rows, are from the
answer so far, clips that residual, and releases the sum of the clipped ones. Members differ less
from a good answer than from each other's extremes, so that the clip, and the noise with it,
shrinks: private mean estimation as in CoinPress (Biswas et al., NeurIPS 2020, arXiv:2006.06618).

Units: a member's vote on a row is a row of integers that sum to S = 2**LATTICE_BITS (a regressor's
is one integer in [0, S]); m rows, c columns, k members. Replacing one record replaces one member's
votes by any others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.boundary import call_privately
from skdistill.release.mechanism import WHOLE, Labels, Mechanism, TransferSet
from skdistill.release.outputs import member_votes
from skdistill.release.quantization import (
    LATTICE_BITS,
    as_outputs,
    quantize_simplex,
    range_steps,
    to_simplex,
)
from skdistill.release.query import ROUND_UP, SQRT_2, Integers, Queries, Query, RowQuery
from skdistill.release.smoothing import MAX_BASIS, MIN_BASIS, centred, row_labels, shrunk

Array = NDArray[np.float64]

_UNIT = 1 << LATTICE_BITS
# Diameters of noise that the first round may leave on all the columns used together: √p/(k·μ).
_FIRST_NOISE = 0.177
# Diameters of noise, in all classes together, that it may leave on the fewest columns if there is
# to be a second one: √(p·(c - 1))/(k·μ). (benchmarks/rounds.py: on MNIST one smoothed round is
# ahead at 0.53 and they are level at 0.37; on Adult two rounds are ahead at 0.24 and below.)
_FIRST_ANSWER = 0.4
# Part of a later round's μ² that buys its clip, and the clips to choose from (diameters).
_CLIP_SHARE = Fraction(1, 20)
_CLIPS = 2.0 ** (np.arange(19) / 3 - 6)
# Members spread less in later coefficients: those are enlarged by i^_WEIGHT before the clip.
_WEIGHT = 0.25
# A clip below this part of the answer's own known error would cut off that error's correction.
_FLOOR = 0.35
# Standard deviations of evidence that it takes to leave the first basis. (On MNIST, where the graph
# is right, 95 % of releases show more than 1.2 at ε=1; on Adult, where it is not, less at any ε.)
_EVIDENCE = 1.0


class ResidualRounds(Mechanism):
    """The average vote of teachers on disjoint shards, released in rounds of falling noise.

    Parameters
    ----------
    n_rounds : int or "auto", default="auto"
        Number of rounds in which labels are released. The first adds noise to the average vote;
        each later round releases the members' clipped residuals, with less noise. 1 is PATE with
        soft labels; "auto" is 2, or 1 where a first of two answers would show too little.
    basis : {"auto", "pca", "graph"}, callable, ndarray or None, default="auto"
        Public functions on X in which later rounds are made, and the labels of a single round are
        smoothed at no cost: principal components, eigenvectors of the neighbour graph, the result
        of ``basis(X)``, or an array of shape (m, p). "auto" takes the kind that fits the first
        answer. None: one round, and no smoothing.
    noise : {"auto", "gaussian", "laplace"}, default="auto"
        The law of the noise. "auto" is "gaussian", and "laplace" for ``delta=0``, which allows
        one round alone.
    temperature : float, default=1.0
        Softens (above 1) or sharpens (below 1) each member's vote.
    sampler : {"exact", "diffprivlib"}, default="exact"
        Where noise comes from; see :class:`~skdistill.release.soft_labels.SoftLabels`.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skdistill import PrivateDistiller, ResidualRounds, TeacherEnsemble
    >>> X, y = make_classification(3_000, random_state=0)
    >>> trees = TeacherEnsemble(DecisionTreeClassifier(max_depth=3), 50, classes=[0, 1])
    >>> trees = trees.fit(X[:2_000], y[:2_000])
    >>> distiller = PrivateDistiller(trees, epsilon=4.0, mechanism=ResidualRounds(2))
    >>> distiller.preview(X[2_000:]).mechanism
    'gaussian, 2 residual rounds'
    """

    kind = "members"

    def __init__(
        self,
        n_rounds: int | str = "auto",
        basis: Any = "auto",
        *,
        noise: str = "auto",
        temperature: float = 1.0,
        sampler: str = "exact",
    ) -> None:
        self.n_rounds = n_rounds
        self.basis = basis
        self.noise = noise
        self.temperature = temperature
        self.sampler = sampler

    def check(self) -> None:
        """Raise for invalid settings."""
        super().check()
        n = self.n_rounds
        if isinstance(n, str) and n == "auto":
            return
        if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= 8:
            raise ValueError(f'n_rounds={n!r} must be "auto" or a whole number from 1 to 8.')
        if n > 1 and self.basis is None:
            raise ValueError(f"n_rounds={n!r} with basis=None: residual rounds need a basis.")

    def accept(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> None:
        """Raise for several rounds of Laplace noise."""
        super().accept(bound, asked, loss)
        if loss.kind == "laplace" and self.n_rounds not in ("auto", 1):
            raise ValueError(
                f"n_rounds={self.n_rounds!r} with Laplace noise: residual rounds need Gaussian "
                'noise (delta above 0). Leave n_rounds="auto".'
            )

    def shares(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> tuple[Fraction, ...]:
        """Return the part of the loss that each round takes; public.

        Parameters
        ----------
        bound : Certificate
            Of the teacher.
        asked : TransferSet
            The public rows that are asked about.
        loss : PrivacyLoss
            The price of the whole release.

        Returns
        -------
        shares : tuple of Fraction
            They sum to 1.
        """
        if loss.kind == "laplace" or self.basis is None:
            return (WHOLE,)
        if self.n_rounds == "auto":
            rounds = automatic_rounds(bound.n_teachers, loss.mu or 0.0, asked.n_classes)
            named = isinstance(self.basis, str)
            return default_shares(rounds if not named or asked.holds_numbers else 1)
        return default_shares(int(self.n_rounds))

    def is_progressive(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> bool:
        """Rows of one round can be had one by one; later rounds look at all rows together."""
        return len(self.shares(bound, asked, loss)) == 1

    def prepare(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> tuple[Array, ...]:
        """Compute the public bases of the rounds, or for smoothing one round."""
        unfit = self.basis is None or (isinstance(self.basis, str) and not asked.holds_numbers)
        several = len(self.shares(bound, asked, loss)) > 1
        return asked.bases(self.basis, stored=several) if several or not unfit else ()

    def queries(
        self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Yield one query of all rows, or the queries of ``residual_rounds``."""
        shares = self.shares(bound, asked, loss)
        if len(shares) == 1:
            query = self._one_round(bound, asked)
            return (yield from row_labels(query, loss, asked, prepared))
        votes = self._collect(bound, asked, prepared, None)
        found = yield from residual_rounds(votes, prepared, loss, shares)
        return asked.labelled(asked.bounds[0] + asked.width * found.reshape(asked.shape))

    def label_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the noise that one round, or the first of several, leaves in its basis."""
        noise = self.row_noise(bound, asked, loss)
        if self.basis is None or loss.mu is None:
            return noise
        shares = self.shares(bound, asked, loss)
        size = basis_size(bound.n_teachers, loss.part(shares[0]).mu or 0.0, asked.n_classes)
        return noise * math.sqrt(min(1.0, size / asked.n_rows))

    def row_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the noise of the first round on a row."""
        shares = self.shares(bound, asked, loss)
        return self._one_round(bound, asked).noise_scale(loss.part(shares[0]))

    def text(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> str:
        """Name the law of the noise, and the rounds."""
        rounds = len(self.shares(bound, asked, loss))
        return loss.kind + (f", {rounds} residual rounds" if rounds > 1 else "")

    def _one_round(self, bound: Any, asked: TransferSet) -> RowQuery:
        """Return the query of the sum of the votes.

        Proof. One member's integer rows sum to S = 2^bits (or lie in [0, S]), so replacing it
        moves each row of the sum by at most 2S (or S) in L1 and √2·S (or S) in L2.
        """
        total = float(_UNIT)
        moved = (total, total) if asked.classes is None else (2 * total, SQRT_2 * total)
        return RowQuery(
            "labels",
            lambda rows: self._collect(bound, asked, (), rows).total,
            (asked.n_rows, asked.n_outputs),
            *moved,
            asked.width / (bound.n_teachers * total),
            X=asked.X,
            settings=(self.temperature, asked.classes, asked.output_range, bound.n_teachers),
        )

    def _collect(
        self, bound: Any, asked: TransferSet, bases: tuple[Array, ...], rows: Any
    ) -> Votes:
        """Ask the members. Private."""
        settings = asked.n_classes, asked.bounds, self.temperature
        X, n = asked.part(rows)
        return collect_votes(partial(member_votes, bound), X, bases, n, *settings)


@dataclass(frozen=True, repr=False)
class Votes:
    """The result of one pass over the members. Private, but for their number."""

    total: Integers  # (m, c): the sum of all votes. Rows sum to k·S; for a regressor, in [0, k·S]
    coefficients: tuple[Array, ...]  # (k, n_columns, c) for each basis: members' centred votes
    n_members: int


def default_shares(n_rounds: int) -> tuple[Fraction, ...]:
    """Return the part of μ² that each round takes; the parts sum to 1.

    One, two and three rounds: (1), (.3, .7), (.2, .3, .5); from four on, each takes 1.5 times the
    μ² of the one before. The first round need only show where the members are; the last one makes
    the answer.

    Parameters
    ----------
    n_rounds : int
        At least 1.

    Returns
    -------
    shares : tuple of Fraction
        One for each round; they sum to 1.

    Examples
    --------
    >>> default_shares(2)
    (Fraction(3, 10), Fraction(7, 10))
    """
    growing = [Fraction(3, 2) ** i for i in range(n_rounds)]
    weights = {2: (3, 7), 3: (2, 3, 5)}.get(n_rounds, growing)
    return tuple(Fraction(weight) / sum(weights) for weight in weights)


def automatic_rounds(n_members: int, mu: float, n_classes: int | None) -> int:
    """Choose between one round and two at the price `mu`, from public numbers.

    One, where the first of two rounds would leave more noise on the fewest columns of a basis
    than 0.4 of the distance of two members' extreme votes: there is no answer yet to take
    residuals from. Noise has a part in every class, so more classes take more members.

    Examples
    --------
    >>> automatic_rounds(500, 0.25, 10), automatic_rounds(50, 0.5, 10), automatic_rounds(50, 0.5, 2)
    (2, 1, 2)
    """
    noise = math.sqrt(_fewest_columns(n_classes) * max(1, (n_classes or 2) - 1))
    first = n_members * mu * math.sqrt(default_shares(2)[0])
    return 2 if noise <= _FIRST_ANSWER * first else 1


def _fewest_columns(n_classes: int | None) -> int:
    return min(MAX_BASIS, max(MIN_BASIS, 2 * (n_classes or 0)))


def basis_size(n_members: int, mu: float, n_classes: int | None) -> int:
    """Choose how many columns of a basis to use for a first round at `mu`, from public numbers.

    ``(0.177 * n_members * mu)**2``, between 8 (or twice the number of classes) and 64. The first
    round's noise on p coefficients has the length √p / (n_members·mu), in units of the distance
    of two members' extreme votes; the rule lets it be 0.177, since every member's residual from
    the first answer is that much longer.

    Parameters
    ----------
    n_members : int
        Number of teachers.
    mu : float
        Gaussian-DP parameter of the first round.
    n_classes : int or None
        Number of classes; None for a regression.

    Returns
    -------
    size : int
        Number of columns.

    Examples
    --------
    >>> from skdistill.release.residual_rounds import basis_size
    >>> basis_size(250, mu=0.1, n_classes=2)
    19
    """
    worthwhile = min(_FIRST_NOISE * n_members * mu, 1e3) ** 2
    return max(int(min(worthwhile, MAX_BASIS)), _fewest_columns(n_classes))


# -- One pass over the members ------------------------------------------------------------------


_Reduced = tuple[NDArray[np.int32], tuple[Array, ...], int]


@dataclass(frozen=True)
class _Reduce:
    """Make integers of votes, and coefficients from `offsets` in the bases. Total; picklable.

    Both calls return the sum of the integers, shape (m, c), each member's coefficients, shape
    (b, n_columns, c) for every basis, and the number b of members.
    """

    n_classes: int | None
    output_range: tuple[float, float] | None
    temperature: float
    bases: tuple[Array, ...]
    offsets: tuple[Array, ...]
    n_rows: int

    def __call__(self, votes: Any) -> _Reduced:
        """Take one member's votes, of any form."""
        if self.n_classes is None:
            return self.stacked(as_outputs(votes, (self.n_rows,))[None, None])
        rows = to_simplex(as_outputs(votes, (self.n_rows, self.n_classes)), self.temperature)
        return self._sums(self._integers(rows.T[:, None]))

    @property
    def first(self) -> bool:
        """Whether the votes for the first of two classes are enough: the others are the rest."""
        return self.n_classes == 2 and self.temperature == 1.0

    def stacked(self, votes: Array) -> _Reduced:
        """Take votes of b < 2^11 members, overwriting them.

        Any numbers (1, b, m) of regressors, else probability vectors (c, b, m), or the first of
        two entries alone.
        """
        if self.n_classes is None:
            assert self.output_range is not None
            return self._sums(range_steps(votes, *self.output_range))
        if self.temperature != 1.0:
            rows = to_simplex(votes.reshape(self.n_classes, -1).T, self.temperature)
            votes = rows.T.reshape(votes.shape)
        return self._sums(self._integers(votes))

    def _integers(self, votes: Array) -> Array:
        """Round probability vectors (c, b, m), overwritten; the first of two entries alone."""
        if self.n_classes == 2:
            votes = votes[:1]
            votes *= _UNIT
            return np.rint(votes, out=votes)
        integers = quantize_simplex(votes.reshape(len(votes), -1).T).T
        return integers.astype(np.float64).reshape(votes.shape)

    def _sums(self, exact: Array) -> _Reduced:
        """Add up integers, shape (c, b, m); the first of two classes is enough.

        The vote for the second is the rest of S, and its coefficients are those of the first with
        the other sign; all of these numbers are exact.
        """
        b, total = exact.shape[1], exact.sum(axis=1)
        if self.n_classes == 2:
            total = np.concatenate([total, b * _UNIT - total])
        pairs = zip(self.bases, self.offsets, strict=True)
        coefficients = tuple(self._coefficients(exact, *pair) for pair in pairs)
        return total.T.astype(np.int64).astype(np.int32), coefficients, b

    def _coefficients(self, exact: Array, U: Array, offset: Array) -> Array:
        c, b, m = exact.shape
        found = (exact.reshape(c * b, m) @ U).reshape(c, b, -1) - offset
        if self.n_classes == 2:
            found = np.concatenate([found, -found])
        return found.transpose(1, 2, 0)


def collect_votes(
    member_votes: Callable[[Any, Callable[[Any], Any]], Iterable[Any]],
    X: Any,
    bases: Sequence[Array],
    n_rows: int,
    n_classes: int | None,
    output_range: tuple[float, float] | None = None,
    temperature: float = 1.0,
) -> Votes:
    """Ask every member once; keep the sum of the votes and each member's coefficients.

    ``member_votes(X, function)`` iterates over ``function(raw votes)`` of all members. Replacing
    one member's votes changes ``total`` by the difference of two lattice answers and, in
    ``coefficients``, one slice.
    """
    # Proof. A member's integers and coefficients are a function of its own votes and of public
    # numbers, whatever the votes are. No rounding lets one member's values reach another's, or
    # vary with the machine: the columns of a basis are rounded so coarsely that every partial sum
    # of a projection is exact in float64, in any order of summation (`_on_lattice`). The rest
    # is sums and products of single entries, which IEEE 754 fixes.
    exact = tuple(_on_lattice(np.asarray(U, dtype=np.float64)) for U in bases)
    middle = _UNIT / (n_classes or 2)
    offsets = tuple(middle * U.sum(axis=0) for U in exact)
    reduce = _Reduce(n_classes, output_range, temperature, exact, offsets, n_rows)
    total = np.zeros((n_rows, n_classes or 1), dtype=np.int64)
    kept: list[tuple[Array, ...]] = []
    n_members = 0

    def add_up(rows: Any) -> None:
        nonlocal n_members
        for part in member_votes(rows, reduce):
            np.add(total, part[0], out=total)
            kept.append(part[1])
            n_members += part[2]
            del part  # or it would live on beside the next member's

    call_privately(add_up, X)
    if not kept:
        raise ValueError("There are no members to ask.")
    coefficients = tuple(np.concatenate(each) for each in zip(*kept, strict=True))
    return Votes(total, coefficients, n_members)


def _on_lattice(U: Array) -> Array:
    """Round a basis so that its product with integers in [0, S] is exact in float64.

    Proof. With h = 2^(e-51) and S·Σᵢ|Uᵢⱼ| < 2^e for every column j, rounding to multiples of h
    adds at most m·h/2 to a column's sum, so S·Σᵢ|Uᵢⱼ| stays below 2^51·h + 2^19·m·h ≤ 2^52·h for
    m ≤ 2^32. Any partial sum of the products is a multiple of h within that bound.
    """
    largest = float(_UNIT * np.abs(U).sum(axis=0).max(initial=0.0))
    step = 2.0 ** (math.frexp(largest)[1] - 51)
    rounded = U / step
    np.rint(rounded, out=rounded)
    rounded *= step
    return rounded


# -- The rounds ---------------------------------------------------------------------------------


def residual_rounds(
    votes: Votes, bases: Sequence[Array], loss: PrivacyLoss, shares: tuple[Fraction, ...]
) -> Queries[Array]:
    """Release the members' average vote on all rows, in one round or more.

    `loss` is the Gaussian price of all rounds, of which each takes its part of `shares`; `bases`
    are those that the votes were collected in. The answer is in units of probability (and may
    leave the simplex), or of the output range.

    Proof. *Round 1*: the total changes by the difference of two members' integer answers, in L2
    at most :func:`_diameter`. *Later rounds*, given the earlier answers: the answer, p, the
    basis, the weights and the clip C are functions of released and public numbers, so each
    member's clipped integers are a function of its own coefficients; one member changes, and the
    sum moves by at most 2C (:func:`clip_to_lattice`); the clip itself comes from a histogram of
    sensitivity √2 (:func:`_private_clip`).
    """
    if loss.kind != "gaussian":
        raise TypeError(f"Residual rounds need a Gaussian loss (δ > 0), got {loss.kind}.")
    if len(shares) > 1 and not bases:
        raise ValueError("More than one round needs a basis of the transfer rows.")
    (m, c), k = votes.total.shape, votes.n_members
    diameter, middle, dof = _diameter(m, c), _UNIT / max(c, 2), max(1, c - 1)

    first = loss.part(shares[0])
    noisy = yield Query(votes.total, (2.0 if c > 1 else 1.0) * m * _UNIT, diameter, shares[0])
    noisy = np.asarray(noisy, dtype=np.float64) / k
    if len(shares) == 1:
        return noisy / _UNIT

    noisy -= middle
    sd = first.scale(diameter) / k
    size = basis_size(k, first.mu or 0.0, None if c == 1 else c)
    p = min(size, *(U.shape[1] for U in bases))
    chosen = _choose_basis(noisy, [U[:, :p] for U in bases], sd, dof)
    U, coefficients = bases[chosen][:, :p], votes.coefficients[chosen][:, :p]
    weights = np.arange(1, p + 1) ** _WEIGHT
    largest = diameter * p ** (_WEIGHT / 2)
    estimate, variance = centred(U.T @ noisy), np.full(p, sd**2)
    for share in shares[1:]:
        answer = shrunk(estimate, variance, dof)
        with np.errstate(all="ignore"):  # no vote decides whether there is a warning
            residuals = (coefficients - answer) * weights[:, None]
        clip = yield from _private_clip(_norms(residuals), _CLIPS * largest, share * _CLIP_SHARE)
        error = math.sqrt(dof * float((weights**2 * variance).sum()))
        clip = min(max(clip, _FLOOR * error), largest)
        moved = clip_to_lattice(residuals, clip).sum(axis=0)
        for_move = share * (1 - _CLIP_SHARE)
        l1 = 2 * clip * math.sqrt(moved.size) * ROUND_UP
        released = yield Query(moved, l1, 2 * clip, for_move)
        step = centred(np.asarray(released, dtype=np.float64) / k) / weights[:, None]
        step_variance = (loss.part(for_move).scale(2 * clip) / k / weights) ** 2
        kept = (step_variance / (step_variance + variance))[:, None]
        estimate = kept * estimate + (1 - kept) * (answer + step)
        variance = step_variance * variance / (step_variance + variance)
    return np.asarray((U @ shrunk(estimate, variance, dof) + middle) / _UNIT)


def clip_to_lattice(residuals: Array, clip: float) -> Integers:
    """Make integers of each member's residual, of an exact L2 norm of at most `clip`.

    Two possible results of one member, and so the sums on neighbouring data sets, are at most
    2·clip apart.
    """
    # Proof. Whatever `residuals` holds and whatever rounding did, q of a member is kept only if
    # Σq² ≤ clip² *holds for q itself*, in Python's integers and fractions; otherwise q is 0. It is
    # a function of that member's residual alone. (For accuracy: rounding is toward zero, and the
    # factor 1 - 2^-40 is more than the error of the norm, so that only infinite values fail.)
    rows = residuals.reshape(len(residuals), -1)
    with np.errstate(all="ignore"):
        q = np.trunc(rows * _shrinkage(_norms(rows), clip)[:, None])
        q = np.where(np.abs(q) <= clip, q, np.inf).astype(np.float64)
        finite = np.isfinite(q).all(axis=1, keepdims=True)
        integers = np.where(finite, q, 0.0).astype(np.int64)
    exact = integers.astype(object)
    too_long = (exact * exact).sum(axis=1) > Fraction(clip) ** 2
    integers[too_long.astype(bool)] = 0
    return integers.reshape(residuals.shape)


def _shrinkage(norms: Array, clip: float) -> Array:
    """Return the factor that brings each norm below `clip`, but for rounding."""
    return np.minimum(1.0, clip / np.maximum(norms, 1e-300)) * (1 - 2.0**-40)


def _private_clip(norms: Array, edges: Array, share: Fraction) -> Queries[float]:
    """Release a median of the members' norms, rounded up to one of `edges`.

    Proof. Replacing one member moves two counts of the histogram by one each: √2 in L2. The rest
    is post-processing: prefix counts, from both ends towards the public number of members with
    weights that minimise their variance, made monotone (Hay et al., VLDB 2010).
    """
    bins = np.searchsorted(edges, np.nan_to_num(norms, nan=np.inf))
    counts = np.bincount(bins, minlength=len(edges) + 1).astype(np.int64)
    noisy = np.asarray((yield Query(counts, 2.0, SQRT_2, share)), dtype=np.float64)
    k, n, j = len(norms), len(noisy), np.arange(1, len(noisy))
    below = np.cumsum(noisy)[:-1]
    prefix = (below * (n - j) + (k - noisy.sum() + below) * j) / n
    prefix = isotonic_regression(prefix, weights=1 / (j * (n - j))).x
    enough = prefix >= k / 2
    return float(edges[np.argmax(enough)] if enough.any() else edges[-1])


def _choose_basis(mean: Array, bases: Sequence[Array], sd: float, dof: int) -> int:
    """Choose the first basis, unless another holds more of the noisy labels' energy.

    "More" is 1 standard deviation of the difference. For y = f + N(0, sd²) in each cell and
    A = P₂ - P₁ (the projections), Var(yᵀAy) = 2·sd⁴·dof·tr(A²) + 4·sd²·‖Af‖²; ‖Ay‖² takes the
    place of ‖Af‖², too large and so on the cautious side. Both hold the same energy of the noise.
    """
    first, best, best_z = bases[0], 0, _EVIDENCE
    y1 = centred(first.T @ mean)
    for b, U in enumerate(bases[1:], 1):
        y2, cross = centred(U.T @ mean), U.T @ first
        trace = 2 * U.shape[1] - 2 * float((cross**2).sum())
        moved = float((y1**2).sum() + (y2**2).sum() - 2 * (y2 * (cross @ y1)).sum())
        spread = 2 * sd**4 * dof * max(trace, 0.0) + 4 * sd**2 * max(moved, 0.0)
        z = float((y2**2).sum() - (y1**2).sum()) / math.sqrt(spread) if spread > 0 else 0.0
        if z > best_z:
            best, best_z = b, z
    return best


def _diameter(m: int, c: int) -> float:
    """Return the largest L2 distance of two members' answers, rounded up.

    m rows of non-negative integers that sum to S are √2·S·√m apart at most, m numbers in [0, S]
    S·√m.
    """
    return _UNIT * math.nextafter(math.sqrt((2 if c > 1 else 1) * m), math.inf)


def _norms(residuals: Array) -> Array:
    """L2 norm of each member's slice."""
    rows = residuals.reshape(len(residuals), -1)
    with np.errstate(all="ignore"):
        return np.sqrt((rows * rows).sum(axis=1))
