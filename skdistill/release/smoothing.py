"""Smoothing: released labels are shrunk by the known size of their noise; post-processing.

Labels vary less over the transfer rows than their noise does, so that most of the signal
lies in a few public functions of the rows, and most of the noise outside of them. Both parts are
shrunk by the known noise (James and Stein 1961), the functions block by block (Cai,
Annals of Statistics 1999). Nothing here looks at private data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.mechanism import Labels, TransferSet
from skdistill.release.query import Array, Queries, RowQuery

MIN_BASIS, MAX_BASIS = 8, 64  #: Fewest (where a basis has them) and most functions that are used.
_NEGLIGIBLE = 0.02  # noise below this part of a label's range is not worth a basis
_HOPELESS = 0.5  # noise on the fewest functions above this part leaves nothing that could be shown


def smooths(basis: Any, asked: TransferSet, noise: float) -> bool:
    """Whether labels with this noise (in widths of their range) are smoothed; public.

    None: never. "auto": where the rows are numbers, there is noise to take away, and the fewest
    functions show something. Any other basis: always.
    """
    if basis is None or not (isinstance(basis, str) and basis == "auto"):
        return basis is not None
    enough = _NEGLIGIBLE <= noise <= _HOPELESS * math.sqrt(asked.n_rows / MIN_BASIS)
    return enough and asked.holds_numbers


def row_labels(
    query: RowQuery, loss: PrivacyLoss, asked: TransferSet, bases: tuple[Array, ...]
) -> Queries[Labels]:
    """Ask for the labels of all rows at once, and smooth the answer in the public bases."""
    values = np.multiply((yield query), query.step)
    values += asked.bounds[0]
    values = values.reshape(asked.shape)
    noise = query.noise_scale(loss)
    if bases:
        values = smoothed_labels(values, bases, noise, asked.middle)
    return asked.labelled(values, noise)


def smoothed_labels(labels: Array, bases: Sequence[Array], noise: float, middle: float) -> Array:
    """Shrink released labels in a public basis, and as one block the part outside of it.

    They are shrunk towards `middle`; rows of several classes sum to ``n_classes * middle``
    afterwards. Of several bases (of orthonormal columns) the one is taken that leaves the least
    error by Stein's estimate. `noise` is the deviation of independent noise on one label. All of
    it is a function of released labels and of public numbers: post-processing.

    Examples
    --------
    >>> import numpy as np
    >>> constant, labels = np.full((8, 1), 8**-0.5), np.array([1.0, 0, 1, 0, 1, 0, 1, 1])
    >>> smoothed_labels(labels, [constant], noise=0.1, middle=0.5).round(2)
    array([0.98, 0.01, 0.98, 0.01, 0.98, 0.01, 0.98, 0.98])
    >>> smoothed_labels(labels, [constant], noise=0.6, middle=0.0).round(2)
    array([0.57, 0.53, 0.57, 0.53, 0.57, 0.53, 0.57, 0.57])
    """
    columns = labels[:, None] if labels.ndim == 1 else labels
    noisy = centred(columns - middle)
    tried = [_smoothed(noisy, U, noise) for U in bases]
    _, smooth = min(tried, key=lambda each: each[0])
    return np.asarray((smooth + middle).reshape(labels.shape))


def _smoothed(noisy: Array, U: Array, noise: float) -> tuple[float, Array]:
    """Shrink in one basis; also return Stein's estimate of the error left (1981), in noise²."""
    dof = max(1, noisy.shape[1] - 1)
    coefficients = U.T @ noisy
    left = noisy - U @ coefficients
    blocks = [coefficients[block] for block in _blocks(len(coefficients))]
    sizes = [dof * len(each) for each in blocks] + [dof * (len(noisy) - len(coefficients))]
    energies = [float(_energies(each, noise**2).sum()) for each in (*blocks, left)]
    kept = [_kept(n, energy) for n, energy in zip(sizes, energies, strict=True)]
    risk = math.fsum(_risk(n, energy) for n, energy in zip(sizes, energies, strict=True))
    inside = np.concatenate([k * each for k, each in zip(kept, blocks, strict=False)])
    return risk, U @ inside + kept[-1] * left


def shrunk(estimate: Array, variance: Array, dof: int) -> Array:
    """Shrink blocks {0}, {1}, {2}, {3}, {4, 5}, ... by the known noise (Cai 1999)."""
    out, energies = np.zeros_like(estimate), _energies(estimate, variance[:, None])
    for block in _blocks(len(estimate)):
        kept = _kept(dof * len(variance[block]), float(energies[block].sum()))
        out[block] = kept * estimate[block]
    return out


def _blocks(size: int) -> Iterator[slice]:
    start = 0
    while start < size:
        block = slice(start, min(size, start + max(1, start // 2)))
        yield block
        start = block.stop


def _energies(values: Array, variance: float | Array) -> Array:
    """Squares in units of the noise's; zeros without noise count as nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = values**2 / np.asarray(variance)
    return np.where(np.isnan(found), 0.0, found)


def _kept(n: int, energy: float) -> float:
    """Part of n numbers that is kept."""
    return max(0.0, 1 - (n - 2 if n > 2 else n) / max(energy, 1e-300))


def _risk(n: int, energy: float) -> float:
    """Squared error to expect of n numbers, when :func:`_kept` of them are kept."""
    return n - max(0, n - 2) ** 2 / max(energy, 1e-300) if _kept(n, energy) else energy - n


def centred(coefficients: Array) -> Array:
    """Take away the mean of the classes: rows that sum to a constant have none."""
    if coefficients.shape[1] == 1:
        return coefficients
    return np.asarray(coefficients - coefficients.mean(axis=1, keepdims=True))
