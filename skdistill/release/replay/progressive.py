r"""Releases of one measurement at rising precision, each drawn given the ones before.

A measurement is a private vector for each row of X (for parameters, or counts: one row), of which
one record moves every row by at most s at a time. A Gaussian release of a row *at level* b is
N(f, s²/b): n rows at level b cost μ² = n·b. Let B(b) be b times the release at level b. The law
of ideal releases at all levels together is that of

    B(b) = b·f + s·W(b),    W a Brownian motion,

because 1/b of it has mean f and variance s²/b, and more noise of its own turns a finer release
into a coarser one. So a finer release (an *upgrade*, from level a to b) adds the independent
increment B(b) − B(a) = (b − a)·N(f, s²/(b − a)), a Gaussian release at level b − a, which is its
price: all releases of a row together cost as much as the finest alone. A coarser one is drawn
from the Brownian bridge between the levels around it and never looks at f: it is free.
(Whitehouse, Ramdas, Wu and Rogers, "Brownian noise reduction", NeurIPS 2022, arXiv:2206.07234.)

Laplace releases have no increments of their own kind that are cheap to draw; a coarser one is
drawn given a finer one, by the mixture that turns Laplace noise of scale b into scale c > b:
nothing with probability (b/c)², else Laplace noise of scale c (the quotient of the characteristic
functions 1/(1 + b²t²) and 1/(1 + c²t²); Koufogiannis, Han and Pappas, "Gradual release of sensitive
data under differential privacy", JPC 7(2), 2016). A finer one is a new release at its full price.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.noise import Sampler
from skdistill.release.query import Array, Queries, Query, answer

Keys = NDArray[np.bytes_]
Kind = Literal["gaussian", "laplace"]

# Levels are asked this much lower than paid for, so that the prices of the refinements to a level,
# each rounded up, sum to no more than the price of the level.
_MARGIN = 1 - 2.0**-30
_SAME = 2.0**-32  # levels this close are one: between them there would be noise without end
_FINE = 2.0**30  # lattice units of the noise of a bridge, which is public
# The end of most keys (of rows that occur once: see cache_keys.row_keys); it is not stored.
_FIRST = np.array([0, 0, 0, 1], dtype=np.uint8)


def level_of(loss: PrivacyLoss, n_rows: int) -> float:
    """Return the level of n rows that are released together for `loss`: μ²/n, or ε/n."""
    whole = loss.mu**2 if loss.mu is not None else loss.epsilon
    return whole / n_rows * _MARGIN


@dataclass(frozen=True)
class _Level:
    """Rows that were released at one level."""

    level: float
    keys: Keys  # sorted
    values: Array  # (len(keys), n_columns)

    def find(self, keys: Keys) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Return which of `keys` are here, and where."""
        where = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.keys[where] == keys, where

    def encode(self) -> bytes:
        buffer = io.BytesIO()
        keys = np.ascontiguousarray(self.keys, dtype="S16").view(np.uint8).reshape(-1, 16)
        if (keys[:, 12:] == _FIRST).all():
            keys = keys[:, :12]
        for array in (np.float64(self.level), keys, self.values):
            np.save(buffer, array, allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def decode(cls, blob: bytes) -> _Level:
        buffer = io.BytesIO(blob)
        level, keys, values = (np.load(buffer, allow_pickle=False) for _ in range(3))
        if keys.shape[1] == 12:
            keys = np.hstack([keys, np.tile(_FIRST, (len(keys), 1))])
        return cls(float(level), np.ascontiguousarray(keys).view("S16")[:, 0], values)


@dataclass(frozen=True)
class Missing:
    """New measurements that bring rows to a level; known before anything is asked."""

    groups: tuple[tuple[NDArray[np.intp], float], ...]  # rows, by the increment that they need

    @property
    def price(self) -> Fraction:
        """The exact sum of μ² (Gaussian) or ε (Laplace) over rows."""
        return sum((len(rows) * Fraction(step) for rows, step in self.groups), Fraction(0))


class ProgressiveRelease:
    """All releases of one measurement that a ledger holds, as :meth:`refine` encoded them.

    `sensitivity` is s, in units of the values, as queries count it (L2 for Gaussian noise, L1 for
    Laplace). It scales bridges only.
    """

    def __init__(self, kind: Kind, sensitivity: float, blobs: Sequence[bytes]) -> None:
        self.kind = kind
        self.sensitivity = sensitivity
        self.levels = sorted((_Level.decode(blob) for blob in blobs), key=lambda each: each.level)
        self._found: tuple[Any, list[Any]] = None, []

    def missing(self, keys: Keys, level: float) -> Missing:
        """Say which new measurements bring rows to `level`.

        Proof of the price. A row that stands at level a < b gets one more Gaussian release, at
        level b − a: noise of variance s²/(b − a) where one record moves it by s. Such steps for n
        rows at once, whatever was released before, are μ-GDP with μ² the sum of their b − a (Dong,
        Roth and Su, arXiv:1905.02383, Theorem 1, with every row in units of its noise), and add
        to the earlier ones (Corollary 2; for levels chosen in view of earlier releases, by the
        filter of Koskela, Tobaben and Honkela, arXiv:2209.15596). Rows that were released at this
        level or a finer one need nothing more from f. Laplace: n rows at ε each are nε-DP.
        """
        low, high = self._around(keys, level)[:2]
        free = np.isfinite(high) | (low >= level * (1 - _SAME))
        start = low if self.kind == "gaussian" else np.zeros_like(low)
        starts = np.unique(start[~free])
        groups = ((np.flatnonzero(~free & (start == a)), float(level - a)) for a in starts)
        return Missing(tuple(groups))

    def refine(
        self, keys: Keys, level: float, measured: Sequence[Any], sampler: Sampler, n_columns: int
    ) -> tuple[Array, bytes | None]:
        """Return rows at a level, and the bytes to remember (None if all was known).

        `measured` has new releases of the groups of :meth:`missing`; `sampler` serves bridges.
        """
        low, high, below, above = self._around(keys, level, n_columns)
        known = low >= level * (1 - _SAME)
        values = np.where(known[:, None], below, np.nan)
        bridged = np.isfinite(high) & ~known
        if bridged.any():
            between = (low[bridged], high[bridged], below[bridged], above[bridged])
            values[bridged] = self._bridge(level, *between, sampler)
        for rows, new in measured:
            a = low[rows, None]
            gaussian = self.kind == "gaussian"
            values[rows] = (a * below[rows] + (level - a) * new) / level if gaussian else new
        if known.all():
            return values, None
        order = np.argsort(keys[~known])
        return values, _Level(level, keys[~known][order], values[~known][order]).encode()

    def _around(self, keys: Keys, level: float, n_columns: int = 0) -> tuple[Array, ...]:
        """Return for each row the levels around, and its releases there; level 0 is 0."""
        m = len(keys)
        low, high = np.zeros(m), np.full(m, np.inf)
        below, above = np.zeros((m, n_columns)), np.zeros((m, n_columns))
        if self._found[0] is not keys:  # the same keys come twice
            self._found = keys, [each.find(keys) for each in self.levels]
        for each, (held, where) in zip(self.levels, self._found[1], strict=True):
            if each.level <= level * (1 + _SAME):
                low[held] = each.level
                below[held] = each.values[where[held], :n_columns]
            else:
                held = held & np.isinf(high)
                high[held] = each.level
                above[held] = each.values[where[held], :n_columns]
        return low, high, below, above

    def _bridge(
        self, b: float, a: Array, c: Array, below: Array, above: Array, sampler: Sampler
    ) -> Array:
        """Draw releases at level b given those at a < b < c. Sees nothing private."""
        shape = above.shape
        if self.kind == "laplace":
            keep = np.frombuffer(os.urandom(8 * above.size), dtype=np.uint64).reshape(shape)
            coarser = keep / 2.0**64 >= (b / c[:, None]) ** 2
            noise = _standard(sampler, shape, PrivacyLoss.laplace(1.0))
            return np.asarray(above + np.where(coarser, noise * self.sensitivity / b, 0.0))
        unit = PrivacyLoss("gaussian", 1.0, 0.5, 1.0)  # the law depends on μ alone
        noise = _standard(sampler, shape, unit) * self.sensitivity
        a, c = a[:, None], c[:, None]
        mean = a * below + (b - a) / (c - a) * (c * above - a * below)
        return np.asarray((mean + np.sqrt((b - a) * (c - b) / (c - a)) * noise) / b)


def _standard(sampler: Sampler, shape: tuple[int, ...], unit: PrivacyLoss) -> Array:
    """Draw noise of scale 1: the answer to a query of zeros, which are public."""

    def zeros() -> Queries[Array]:
        noisy = yield Query(np.zeros(shape, dtype=np.int64), _FINE, _FINE)
        return np.asarray(noisy, dtype=np.float64) / _FINE

    return answer(zeros(), unit, sampler)
