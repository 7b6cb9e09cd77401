"""Canaries: records that fair coins choose, and that an audit looks for after the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skdistill._numbers import check_whole
from skdistill._tables import n_rows, take_rows
from skdistill.audit.records import frame_like

#: The kinds that :func:`make_canaries` knows.
KINDS = ("mislabelled", "outlier", "duplicated")

_FAR = 10.0  # standard deviations between an outlier and the middle of the transfer set
_COPIES = 5  # of a duplicated canary


@dataclass(frozen=True)
class Canaries:
    """Pairs of records: slot i holds ``(X[i], first[i])`` or ``(X[i], second[i])``.

    Only if both are chosen without looking at the private records, the guarantee covers the audit.

    Parameters
    ----------
    X : array-like of shape (n_canaries, d)
        Features, the same for both records of a slot.
    first, second : ndarray of shape (n_canaries,)
        Their labels or targets; different in every slot.
    kind, n_copies : str and int
        For the report, and number of equal records in a slot.
    rows : ndarray of shape (n_canaries,) or None
        Rows of the transfer set that X was taken from, if any.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.audit import Canaries
    >>> canaries = Canaries(np.zeros((2, 3)), np.array(["no", "yes"]), np.array(["yes", "no"]))
    >>> len(canaries), canaries.kind
    (2, 'user-supplied')
    """

    X: Any
    first: NDArray[Any]
    second: NDArray[Any]
    kind: str = "user-supplied"
    n_copies: int = 1
    rows: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        n = n_rows(self.X)
        if not 1 <= n == len(self.first) == len(self.second):
            sizes = f"{n} rows, {len(self.first)} and {len(self.second)} labels"
            raise ValueError(f"Canaries: {sizes}; all must have the same length, at least 1.")
        if (np.asarray(self.first) == np.asarray(self.second)).any():
            raise ValueError("Canaries: `first` and `second` are equal in some slots.")
        check_whole("n_copies", self.n_copies, 1)

    def __len__(self) -> int:
        return len(self.first)

    def fill(self, coins: NDArray[np.bool_]) -> tuple[Any, NDArray[Any]]:
        """Return features and labels of all slots: the first of a pair where its coin is True.

        Parameters
        ----------
        coins : ndarray of bool, shape (n,)
            One for each slot.

        Returns
        -------
        X : array-like of shape (n, d)
            Features.
        y : ndarray of shape (n,)
            Labels.
        """
        again = np.repeat(np.arange(len(self)), self.n_copies)
        return take_rows(self.X, again), np.where(coins, self.first, self.second)[again]


def make_canaries(
    X_transfer: Any,
    n_canaries: int,
    *,
    classes: Sequence[Any] | NDArray[Any] | None = None,
    output_range: tuple[float, float] | None = None,
    kind: str = "mislabelled",
    random_state: Any = None,
) -> Canaries:
    """Make pairs of records for the slots of an audit, from public data alone.

    Parameters
    ----------
    X_transfer, n_canaries : array-like of shape (m, d), and int
        Public rows, and the number of slots.
    classes, output_range : array-like of shape (n_classes,), tuple of (float, float), default=None
        The two labels of a slot are drawn from `classes`; in regression, they are these ends.
    kind : {"mislabelled", "outlier", "duplicated"}, default="mislabelled"
        "mislabelled" takes distinct transfer rows with two labels, at least one of which is wrong.
        "outlier" makes rows ten standard deviations from the middle of X_transfer, in random
        directions; numeric features only. "duplicated" enters mislabelled rows five times each.
    random_state : int, RandomState or None, default=None
        For rows, labels and directions.

    Returns
    -------
    canaries : Canaries
        The order of the two labels is random, so that no label speaks for a coin.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> canaries = make_canaries(X, 4, classes=["no", "yes"], random_state=0)
    >>> len(canaries), sorted({canaries.first[0], canaries.second[0]}) == ["no", "yes"]
    (4, True)
    """
    n, rng = check_whole("n_canaries", n_canaries, 1), check_random_state(random_state)
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown. Use one of {', '.join(map(repr, KINDS))}.")
    first, second = _labels(n, output_range if classes is None else classes, rng)
    n_copies = _COPIES if kind == "duplicated" else 1
    if kind == "outlier":
        return Canaries(_outliers(X_transfer, n, rng), first, second, kind, n_copies)
    m = n_rows(X_transfer)
    if n > m:
        raise ValueError(
            f"n_canaries={n}: {kind} canaries are distinct rows of X_transfer, and it has {m}. "
            f'Use n_canaries={m} at most, more transfer rows, or kind="outlier".'
        )
    rows = rng.permutation(m)[:n]
    return Canaries(take_rows(X_transfer, rows), first, second, kind, n_copies, rows)


def _labels(n: int, choices: Any, rng: np.random.RandomState) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw two different labels for each slot, in random order."""
    if choices is None:
        raise ValueError("Give classes (classification) or output_range (regression).")
    choices = np.asarray(choices)
    if len(choices) < 2:
        raise ValueError(f"Two labels are needed for a pair; there is {len(choices)}.")
    codes = rng.randint(len(choices), size=n)
    others = (codes + rng.randint(1, len(choices), size=n)) % len(choices)
    return choices[codes], choices[others]


def _outliers(X: Any, n: int, rng: np.random.RandomState) -> Any:
    """Return rows far from the middle of X, one in each random direction, as X's container."""
    try:
        values = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 2 or not np.isfinite(values).any(axis=0).all():
        raise TypeError(
            'kind="outlier" needs numeric features. Use kind="mislabelled", or your own Canaries.'
        )
    values = np.where(np.isfinite(values), values, np.nan)
    spread = np.nanstd(values, axis=0)
    directions = rng.normal(size=(n, values.shape[1]))
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)
    steps = _FAR * np.sqrt(values.shape[1]) * directions
    far = np.nanmean(values, axis=0) + steps * np.where(spread > 0, spread, 1.0)
    if isinstance(X, np.ndarray):
        return far.astype(X.dtype) if X.dtype.kind == "f" else far
    if hasattr(X, "tocsr"):
        from scipy import sparse

        return sparse.csr_array(far) if isinstance(X, sparse.sparray) else sparse.csr_matrix(far)
    return frame_like(X, far) if hasattr(X, "columns") else far.tolist()
