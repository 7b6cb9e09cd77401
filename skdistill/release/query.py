"""Query and answer: the one place that adds noise.

A *mechanism* is a generator. It yields bounded queries, is sent the noisy answers one by one, and
returns a result made of them. :func:`answer` runs it. A dry run sends zeros instead, a ledger sends
the answers that it holds, and the replay audit (:func:`skdistill.testing.replay_audit`) sends the
answers of one data set to a neighbouring one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from skdistill._randomness import moved_on
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.noise import Sampler, check_scale

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Result = TypeVar("Result")

ROUND_UP = 1 + 2.0**-50  #: More than the roundings of a product of a few numbers.
SQRT_2 = math.nextafter(math.sqrt(2), 2)  #: √2, rounded up.


@dataclass(frozen=True, eq=False)
class Query:
    """Private integers, how far one record moves them, and the price of their noise.

    Parameters
    ----------
    values : ndarray of int64
        Private; of any shape.
    l1, l2 : float
        How far one replaced unit moves `values`, all entries together, in the L1 and the L2 norm.
        Public, finite and positive.
    share : Fraction
        The part of the release's loss, in (0, 1], that the answer takes: of μ² (Gaussian noise) or
        of ε (Laplace).

    Raises
    ------
    TypeError, ValueError
        For other arguments; fixed texts, without any of the values.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.release.query import Query
    >>> Query(np.array([7, 3]), l1=2, l2=1.5)  # its text has no private value
    Query(l1=2, l2=1.5, share=Fraction(1, 1))
    """

    values: Integers = field(repr=False)
    l1: float
    l2: float
    share: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray) or self.values.dtype != np.int64:
            raise TypeError("Query: the values must be an array of 64-bit integers.")
        for bound in (self.l1, self.l2):
            if isinstance(bound, bool) or not isinstance(bound, (int, float, np.number)):
                raise TypeError("Query: the bounds l1 and l2 must be numbers.")
            if not 0 < bound < math.inf:
                raise ValueError("Query: the bounds l1 and l2 must be positive and finite.")
        if not isinstance(self.share, (int, Fraction)) or isinstance(self.share, bool):
            raise TypeError("Query: the share must be a Fraction, so that shares add exactly.")
        if not 0 < self.share <= 1:
            raise ValueError("Query: the share must be above 0 and at most 1.")

    def sensitivity(self, loss: PrivacyLoss) -> float:
        """Return the bound that noise of this law is calibrated to.

        Parameters
        ----------
        loss : PrivacyLoss
            Its kind chooses the norm.

        Returns
        -------
        sensitivity : float
            `l1` for Laplace noise, `l2` for Gaussian noise; in the integers of `values`.
        """
        return float(self.l1 if loss.kind == "laplace" else self.l2)


@dataclass(frozen=True, eq=False)
class RowQuery:
    """A query of many rows, each of which one unit moves equally far.

    Its values are computed when it is answered, and for some of the rows alone if these are asked
    for. So a dry run never calls the teacher, and a ledger pays for the rows that it does not hold.

    Parameters
    ----------
    name : str
        The kind of quantity, such as "labels".
    measure : callable
        ``measure(rows) -> ndarray of int64, shape (len(rows), n_columns)`` for an array of row
        numbers, or for None, which is all of them. Private.
    shape : tuple of (int, int)
        Number of rows and of columns.
    l1, l2 : float
        How far one unit moves *one row*, in the integers; all rows may move at once.
    step : float
        The value of one integer, in the unit of the quantity.
    share : Fraction
        As for :class:`Query`.
    X : array-like of shape (n_rows, ...) or None
        Public; tells the rows apart. None where there is one row.
    settings : tuple
        All other public settings on which the law of the values depends.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.release.query import RowQuery
    >>> votes = np.array([[3, 1], [0, 4], [2, 2], [1, 3]])
    >>> query = RowQuery("votes", lambda rows: votes if rows is None else votes[rows],
    ...                  shape=(4, 2), l1=2, l2=1.5, step=1.0)
    >>> query.moved(4)[0]  # one record moves each of the four rows
    8
    """

    name: str
    measure: Callable[[NDArray[np.intp] | None], Integers] = field(repr=False)
    shape: tuple[int, int]
    l1: float
    l2: float
    step: float
    share: Fraction = Fraction(1)
    X: Any = None
    settings: tuple[Any, ...] = ()

    def of(self, rows: NDArray[np.intp] | None, share: Fraction) -> Query:
        """Return the query of some rows, or of all.

        Parameters
        ----------
        rows : ndarray of int, shape (n,), or None
            Row numbers; None for all.
        share : Fraction
            The part of the loss that the answer takes.

        Returns
        -------
        query : Query
            With the private integers of these rows.
        """
        l1, l2 = self.moved(self.shape[0] if rows is None else len(rows))
        return Query(self.measure(rows), l1, l2, share)

    def moved(self, n_rows: int) -> tuple[float, float]:
        """Return how far one unit moves n rows together: by n·l1 and √n·l2, rounded up.

        Parameters
        ----------
        n_rows : int
            Number of rows.

        Returns
        -------
        l1, l2 : float
            In the integers of the query.
        """
        l1 = n_rows * self.l1
        if Fraction(l1) < n_rows * Fraction(self.l1):
            l1 = math.nextafter(l1, math.inf)
        return l1, math.sqrt(n_rows) * ROUND_UP * self.l2

    def noise_scale(self, loss: PrivacyLoss) -> float:
        """Return the standard deviation of the noise on one value, in its unit; public.

        Parameters
        ----------
        loss : PrivacyLoss
            The price of the whole release, of which `share` is taken.

        Returns
        -------
        noise : float
            In the unit of the quantity.

        Raises
        ------
        ValueError
            If the noise is too large to be drawn.
        """
        part, moved = loss.part(self.share), self.moved(self.shape[0])
        check_noise(part, *moved)
        return noise_deviation(part, *moved) * self.step


def check_noise(loss: PrivacyLoss, l1: float, l2: float) -> None:
    """Raise where the noise on integers that move by (l1, l2) is too large to be drawn; public."""
    check_scale(loss.scale(l2 if loss.kind == "gaussian" else l1))


def noise_deviation(loss: PrivacyLoss, l1: float, l2: float) -> float:
    """Return the standard deviation of the noise on one of the integers that move by (l1, l2)."""
    return math.sqrt(2.0) * loss.scale(l1) if loss.kind == "laplace" else loss.scale(l2)


def part_of(loss: PrivacyLoss | None, share: Fraction) -> PrivacyLoss | None:
    """Return a part of a price; None for no noise."""
    return None if loss is None else loss.part(share)


Queries = Generator[Any, NDArray[Any], Result]  #: Of queries, which is sent their noisy answers.


@moved_on()
@np.errstate(all="ignore")  # in a user's own state, a private value could raise
def answer(mechanism: Queries[Result], loss: PrivacyLoss | None, sampler: Sampler) -> Result:
    """Run a mechanism: answer each of its queries with noise.

    Parameters
    ----------
    mechanism : generator of Query
        Not started.
    loss : PrivacyLoss
        The price of the whole; charged already. None adds no noise, for no guarantee.
    sampler : Sampler
        Where the noise comes from.

    Returns
    -------
    result : object
        The return value of the generator: a function of the answers and of public values.

    Raises
    ------
    TypeError, ValueError
        If the mechanism yields something else than a Query or a RowQuery; before any query with
        which the shares sum to more than 1 is answered.

    Notes
    -----
    Proof, for every mechanism. Given the earlier answers, the next integers are a function of the
    private data that one replaced unit moves by at most (l1, l2): a mechanism has to prove that
    of each of its queries. The sampler's rounded noise at that bound makes the answer
    μᵢ-GDP with μᵢ² = share·μ² (or εᵢ-DP with εᵢ = share·ε), whatever the earlier answers were
    (``ExactSampler.perturb`` in `release/noise.py`). The shares are exact fractions that sum to at
    most 1, so adaptive composition gives μ-GDP (Dong, Roth and Su 2022, Corollary 2) or ε-DP (Dwork
    and Roth 2014, Theorem 3.16), and the result is post-processing (the latter, Proposition 2.1).

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.accounting import PrivacyLoss
    >>> from skdistill.release.noise import ExactSampler
    >>> from skdistill.release.query import Query, answer
    >>> def count(records):
    ...     noisy = yield Query(np.array([len(records)]), l1=1, l2=1)
    ...     return int(noisy[0])
    >>> abs(answer(count(range(100)), PrivacyLoss.laplace(1.0), ExactSampler()) - 100) < 40
    True
    """
    spent, noisy = Fraction(0), cast(Any, None)  # sending None starts a generator
    while True:
        try:
            query = mechanism.send(noisy)
        except StopIteration as done:
            return done.value
        if isinstance(query, RowQuery):
            query = query.of(None, query.share)
        if not isinstance(query, Query):
            raise TypeError("A mechanism must yield objects of the class Query.")
        spent += query.share
        if spent > 1:
            raise ValueError("The shares of a mechanism's queries sum to more than 1.")
        if loss is None:
            noisy = query.values
        else:
            part = loss.part(query.share)
            noisy = sampler.perturb(query.values, part, query.sensitivity(part))
        del query  # its values may be as large as the answer


def at_share(mechanism: Queries[Result], share: Fraction) -> Queries[Result]:
    """Run a mechanism at a part of the price: ``yield from`` joins several under one.

    Parameters
    ----------
    mechanism : generator of Query
        Not started.
    share : Fraction
        In (0, 1]; the shares of all parts must sum to at most 1.

    Returns
    -------
    result : object
        The return value of the generator.

    Yields
    ------
    query : Query or RowQuery
        Those of `mechanism`, at their part of the price.

    Examples
    --------
    >>> from fractions import Fraction
    >>> import numpy as np
    >>> from skdistill.release.query import Query, at_share
    >>> def count():
    ...     return (yield Query(np.array([7]), 1, 1))
    >>> next(at_share(count(), Fraction(1, 4))).share
    Fraction(1, 4)
    """
    noisy = cast(Any, None)
    while True:
        try:
            query = mechanism.send(noisy)
        except StopIteration as done:
            return done.value
        noisy = yield replace(query, share=query.share * share)
