"""The common part of mechanisms: settings that a grid can reach, and a generator of queries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skdistill._numbers import check_number
from skdistill._tables import take_rows
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.query import Array, Queries

WHOLE = Fraction(1)


@dataclass(frozen=True, eq=False)
class TransferSet:
    """The public rows that a teacher is asked to label.

    Parameters
    ----------
    X, indices : array-like of shape (m, d), ndarray of shape (m,)
        The rows, and where they stand in the X that ``fit`` was given.
    classes : ndarray of shape (n_classes,) or None
        Class labels; None for a regressor.
    output_range : tuple of (float, float) or None
        For a regressor, the range its outputs are clipped to.
    n_jobs : int or None
        Threads that label slices of the rows.
    encoder : transformer or None
        Makes numbers of the rows, for bases of functions on them; public, not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.release.mechanism import TransferSet
    >>> asked = TransferSet(np.zeros((5, 2)), np.arange(5), np.array(["no", "yes"]))
    >>> asked.shape, asked.bounds, asked.middle
    ((5, 2), (0.0, 1.0), 0.5)
    """

    X: Any
    indices: NDArray[np.intp]
    classes: NDArray[Any] | None
    output_range: tuple[float, float] | None = None
    n_jobs: int | None = None
    encoder: Any = None

    @cached_property
    def holds_numbers(self) -> bool:
        """Whether bases of functions on the rows can be made without the user's help."""
        from skdistill.transfer.encoding import holds_numbers

        return holds_numbers(self.X, self.encoder)

    def part(self, rows: NDArray[np.intp] | None) -> tuple[Any, int]:
        """Return some of the rows, or all of them for None, and their number.

        Parameters
        ----------
        rows : ndarray of int, shape (n,), or None
            Row numbers.

        Returns
        -------
        X : array-like of shape (n, ...)
            The rows.
        n : int
            Their number.
        """
        return (self.X, self.n_rows) if rows is None else (take_rows(self.X, rows), len(rows))

    def labelled(self, values: Array, noise_scale: float = 0.0) -> Labels:
        """Return the labels of a release that labelled every row.

        Parameters
        ----------
        values : ndarray of shape (m, n_classes) or (m,)
            Noisy labels.
        noise_scale : float, default=0.0
            Standard deviation of the independent noise on a label.

        Returns
        -------
        labels : Labels
            With `answered` all True.
        """
        return Labels(values, noise_scale, np.ones(self.n_rows, dtype=bool))

    def bases(self, basis: Any, stored: bool = True) -> tuple[Any, ...]:
        """Return public bases of functions on the rows.

        Parameters
        ----------
        basis : "auto", "pca", "graph", callable or ndarray
            As in :class:`~skdistill.SoftLabels`.
        stored : bool, default=True
            Whether all are arrays. False, for products alone: those of many rows are not.

        Returns
        -------
        bases : tuple of ndarray or scipy.sparse.linalg.LinearOperator, each of shape (m, p)
            Orthonormal columns.
        """
        from skdistill.transfer.basis import public_bases, smoothing_bases

        make = public_bases if stored else smoothing_bases
        return make(self.X, basis, encoder=self.encoder)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.indices)

    @property
    def n_classes(self) -> int | None:
        """Number of classes; None for a regressor."""
        return None if self.classes is None else len(self.classes)

    @property
    def n_outputs(self) -> int:
        """Numbers in one label."""
        return self.n_classes or 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return (self.n_rows,) if self.classes is None else (self.n_rows, len(self.classes))

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The range of a label: of a probability (0, 1), or the output range."""
        if self.classes is not None:
            return 0.0, 1.0
        if self.output_range is None:
            raise ValueError("A regression release needs output_range=(low, high).")
        return self.output_range

    @property
    def width(self) -> float:
        """Width of the range of a label."""
        return self.bounds[1] - self.bounds[0]

    @property
    def middle(self) -> float:
        """The uninformative label: equal probabilities, or the middle of the range."""
        return 1 / len(self.classes) if self.classes is not None else sum(self.bounds) / 2


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one release; public.

    Parameters
    ----------
    values : ndarray of shape (m, n_classes) or (m,)
        Noisy soft labels, or noisy outputs of a regressor.
    noise_scale : float
        Standard deviation of the independent noise that one label was released with, before it was
        smoothed; 0 for other noise or none.
    answered : ndarray of bool, shape (m,)
        Rows that got a label.
    prior : ndarray of shape (n_classes,) or None
        Class prior; None for a regressor.
    model : LinearRelease or None
        The released model, where the labels are those of one.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.release.mechanism import Labels
    >>> labels = Labels(np.array([[0.9, 0.1], [-0.2, 1.2]]), 0.3, np.array([True, True]))
    >>> labels.values[labels.answered].shape, labels.noise_scale
    ((2, 2), 0.3)
    """

    values: Array
    noise_scale: float
    answered: NDArray[np.bool_]
    prior: Array | None = None
    model: Any = None


class Mechanism(BaseEstimator):
    """The settings of a mechanism, and the generator that it is.

    A subclass stands in one file, names the `kind` of certificate it takes, and defines
    :meth:`queries`. One line in :mod:`skdistill.release.calibration` reaches it, and a grid its
    parameters, as ``mechanism__n_rounds``.

    Examples
    --------
    >>> from skdistill import ResidualRounds
    >>> ResidualRounds.kind
    'members'
    >>> ResidualRounds(n_rounds=2).set_params(noise="laplace")
    ResidualRounds(n_rounds=2, noise='laplace')
    """

    kind: ClassVar[str]  #: The kind of certificate that it needs (``Certificate.kind``).
    title: ClassVar[str] = ""  #: Its name in a statement, where that is not the law of its noise.
    noise: Any = "auto"
    basis: Any = None
    temperature: Any = 1.0
    sampler: str = "exact"

    def check(self) -> None:
        """Raise a ValueError or TypeError for invalid settings."""
        if self.noise not in ("auto", "gaussian", "laplace"):
            raise ValueError(f'noise={self.noise!r} must be "auto", "gaussian" or "laplace".')
        if self.sampler not in ("exact", "diffprivlib"):
            raise ValueError(f'sampler={self.sampler!r} must be "exact" or "diffprivlib".')
        basis = self.basis
        known = isinstance(basis, str) and basis in ("auto", "pca", "graph")
        if not (known or basis is None or callable(basis) or isinstance(basis, np.ndarray)):
            raise ValueError(
                f'basis={basis!r} must be "auto", "pca", "graph", a function of X, an array with '
                "one row for each row of X, or None."
            )
        allowed = "positive and finite (1 leaves soft labels as they are)"
        check_number("temperature", self.temperature, allowed, lambda v: 0 < v < math.inf)

    def suit(self, bound: Any, asked: TransferSet) -> None:
        """Raise a ValueError where the certificate or the classes rule the settings out.

        Parameters
        ----------
        bound, asked : Certificate, TransferSet
            Of the teacher; the public rows that are asked about.

        Raises
        ------
        ValueError
            With the setting that would suit.
        """

    def price(self, bound: Any, asked: TransferSet, epsilon: float, delta: float) -> PrivacyLoss:
        """Choose the law of the noise, and so the price of the whole release.

        Parameters
        ----------
        bound, asked, epsilon, delta : Certificate, TransferSet, float, float
            Of the teacher; the public rows; the price asked for.

        Returns
        -------
        loss : PrivacyLoss
            Gaussian or Laplace.
        """
        if self.noise == "laplace" or (self.noise == "auto" and delta == 0):
            return PrivacyLoss.laplace(epsilon)
        return PrivacyLoss.gaussian(epsilon, delta)

    def accept(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> None:
        """Raise for noise that the settings rule out, or that is too large to be drawn.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price, from :meth:`price` or part of another one.

        Raises
        ------
        ValueError
            With the setting that would suit.
        """
        if self.noise not in ("auto", loss.kind):
            raise ValueError(
                f"noise={self.noise!r} and a price for {loss.kind} noise: Gaussian noise needs a "
                'delta above 0. Leave noise="auto".'
            )

    def most_rows(self, bound: Any, n_classes: int, loss: PrivacyLoss) -> int | None:
        """Return how many rows to ask about, by a public rule; None for all.

        Parameters
        ----------
        bound, n_classes, loss : Certificate, int, PrivacyLoss
            Of the teacher; the number of classes, or 1; the price of the whole release.

        Returns
        -------
        n_rows : int or None
            Rows to ask about; None for all.
        """
        return None

    def is_progressive(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> bool:
        """Whether all queries are RowQueries, which a ledger can answer row by row.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price of the whole release.

        Returns
        -------
        progressive : bool
            False where the ledger must keep the release as a whole.
        """
        return True

    def rows_matter(self, bound: Any) -> bool:
        """Whether the release depends on the transfer rows, so that other rows need another one.

        Parameters
        ----------
        bound : Certificate
            Of the teacher.

        Returns
        -------
        matter : bool
            False where one release serves any transfer rows.
        """
        return True

    def arrays(self, labels: Labels) -> dict[str, Any]:
        """Return the arrays by which a ledger remembers a release as a whole.

        Parameters
        ----------
        labels : Labels
            Of a finished release.

        Returns
        -------
        held : dict of str to ndarray
            All that :meth:`restored` needs.
        """
        scale = np.float64(labels.noise_scale)
        held = {"values": labels.values, "answered": labels.answered, "noise_scale": scale}
        return held if labels.prior is None else {**held, "prior": labels.prior}

    def restored(self, held: Any, asked: TransferSet, prepared: Any) -> Labels:
        """Return the labels that :meth:`arrays` was called with.

        Parameters
        ----------
        held, asked, prepared : dict of str to ndarray, TransferSet, object
            The result of :meth:`arrays`; the public rows; the result of :meth:`prepare`.

        Returns
        -------
        labels : Labels
            As they were released.
        """
        scale = float(held["noise_scale"])
        return Labels(held["values"], scale, held["answered"], held.get("prior"))

    def prepare(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> Any:
        """Compute public values before the charge; error messages may quote them.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price of the whole release.

        Returns
        -------
        prepared : object
            Handed to :meth:`queries`; None if there is nothing to prepare.
        """
        return None

    def queries(
        self, bound: Any, asked: TransferSet, loss: PrivacyLoss, teacher: Any, prepared: Any
    ) -> Queries[Labels]:
        """Yield the queries, and return the labels made of their answers.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price of the whole release, which decides lattices
            and rounds.
        teacher : estimator
            Fitted; private: called through :mod:`skdistill.release.boundary` alone. None in a dry
            run.
        prepared : object
            The result of :meth:`prepare`.

        Returns
        -------
        labels : Labels
            Made of the answers and of public values.

        Yields
        ------
        query : Query or RowQuery
            It is sent its noisy answer.
        """
        raise NotImplementedError

    def label_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float:
        """Return the standard deviation of the noise on one label, at the end; public.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price of the whole release.

        Returns
        -------
        noise : float
            In the unit of a label.
        """
        raise NotImplementedError

    def row_noise(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> float | None:
        """Return the standard deviation of the independent noise of each row; None without rows.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price of the whole release.

        Returns
        -------
        noise : float or None
            In the unit of a label.
        """
        return None

    def text(self, bound: Any, asked: TransferSet, loss: PrivacyLoss) -> str:
        """Describe the mechanism for a statement.

        Parameters
        ----------
        bound, asked, loss : Certificate, TransferSet, PrivacyLoss
            Of the teacher; the public rows; the price of the whole release.

        Returns
        -------
        text : str
            Such as "gaussian, 2 residual rounds".
        """
        return self.title or loss.kind
