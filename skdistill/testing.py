"""Tests of mechanisms: the replay audit, and noise that is repeatable, or none.

Private noise comes from the operating system, and ``random_state`` has no part in it. A test that
needs the same release twice, or a release without noise, asks for it here. The choice holds in the
thread that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.noise import ExactSampler, Sampler, _test_sampler
from skdistill.release.query import Queries, Query, RowQuery
from skdistill.release.replay.cache_keys import digest

__all__ = ["ReplayAudit", "ReplayAuditError", "no_noise", "replay_audit", "seeded_noise"]


class ReplayAuditError(AssertionError):
    """A mechanism does not keep its promise on a pair of neighbouring data sets.

    Examples
    --------
    >>> from skdistill.testing import replay_audit
    >>> replay_audit(lambda table: iter(table), ["no query"], [])
    Traceback (most recent call last):
    skdistill.testing.ReplayAuditError: the mechanism yields something else than a query
    """


@dataclass(frozen=True)
class ReplayAudit:
    """The result of a replay audit that found nothing.

    Parameters
    ----------
    n_queries : int
        Number of queries that were compared.
    moved : tuple of (float, float)
        For each query, how far its values moved, in parts of the bounds l1 and l2.
    error : str, default=""
        The exception that every run raised, with the same text, if any. Queries after it were not
        audited, so a mechanism that always fails passes.

    Examples
    --------
    >>> from skdistill.testing import ReplayAudit
    >>> audit = ReplayAudit(n_queries=1, moved=((0.5, 0.5),))  # as replay_audit returns it
    >>> all(l1 <= 1 and l2 <= 1 for l1, l2 in audit.moved)
    True
    """

    n_queries: int
    moved: tuple[tuple[float, float], ...]
    error: str = ""


def replay_audit(
    make_mechanism: Callable[[Any], Queries[Any]],
    data: Any,
    neighbour: Any,
    *,
    loss: PrivacyLoss | None = None,
) -> ReplayAudit:
    """Check a mechanism on two neighbouring data sets, answer by answer.

    The mechanism is run on `data`, and its answers are kept. It is run on `data` again and on
    `neighbour`, *and is sent the same answers*. Then everything must be the same but the values of
    the queries, and these may be no further apart than the queries' own bounds.

    Parameters
    ----------
    make_mechanism : callable
        ``make_mechanism(data)`` returns a generator of queries that has not been started. It must
        be a function of its argument (give a `random_state` to everything that has one), and its
        result picklable, since results are compared by their pickles.
    data, neighbour : object
        Two data sets that differ in one record (or one group).
    loss : PrivacyLoss, default=None
        The price that the answers are drawn for. None is ε = 1 at δ = 1e-6.

    Returns
    -------
    ReplayAudit
        The number of queries, and how far the values of each moved.

    Raises
    ------
    ReplayAuditError
        If the second run on `data` differs from the first (the mechanism is not a function of its
        data), if the number of queries, a shape, a share or a bound differs, if a value moves
        further than its query says, if the results differ, or if one run raises an exception that
        the other does not.

    Notes
    -----
    A mechanism that passes for *all* neighbours and all answers costs `loss` when
    :func:`skdistill.release.query.answer` runs it. An audit tries one pair and one list of
    answers, so it can refute and not prove (grey-box auditing: Re:cord-play, arXiv:2602.17454).

    Examples
    --------
    >>> from fractions import Fraction
    >>> import numpy as np
    >>> from skdistill.release.query import Query
    >>> from skdistill.testing import replay_audit
    >>> def count_positive(table):
    ...     count = np.array([sum(x > 0 for x in table)])
    ...     return float((yield Query(count, 1.0, 1.0, Fraction(1)))[0])
    >>> replay_audit(count_positive, [1, 2, -3], [1, 2, 3]).moved
    ((1.0, 1.0),)
    >>> def total(table):
    ...     return float((yield Query(np.array([sum(table)]), 1.0, 1.0, Fraction(1)))[0])
    >>> replay_audit(total, [1, 2, -3], [1, 2, 3])
    Traceback (most recent call last):
    skdistill.testing.ReplayAuditError: query 1 moves by 6 (L1) and 6 (L2); its bounds are 1 and 1
    """
    return _Recorded(make_mechanism, data, loss).audit(neighbour)


class _Recorded:
    """Two runs of a mechanism on the same data, which any number of neighbours is held against."""

    def __init__(
        self, make_mechanism: Callable[[Any], Queries[Any]], data: Any, loss: PrivacyLoss | None
    ) -> None:
        loss = loss or PrivacyLoss.gaussian(1.0, 1e-6)
        self.make_mechanism = make_mechanism
        self.answers: list[NDArray[Any]] = []
        self.first = _run(make_mechanism, data, self.answers, loss)
        again = _run(make_mechanism, data, self.answers, None)
        _compare(self.first, again, "a second run on the same data")

    def audit(self, neighbour: Any) -> ReplayAudit:
        """Compare a neighbour's run with them."""
        first, other = self.first, _run(self.make_mechanism, neighbour, self.answers, None)
        _compare(first, other, "the neighbour")
        pairs = zip(first.queries, other.queries, strict=True)
        moved = tuple(_moved(i, *pair) for i, pair in enumerate(pairs, 1))
        return ReplayAudit(len(self.answers), moved, first.error)


@dataclass
class _Run:
    """The transcript of one run; its queries hold private values."""

    queries: list[tuple[Any, Query]]
    result: Any = None
    error: str = ""


def _run(
    make_mechanism: Any, data: Any, answers: list[NDArray[Any]], loss: PrivacyLoss | None
) -> _Run:
    """Run a mechanism; draw its answers where there is a loss, send the given ones otherwise."""
    run, mechanism, noisy, spent = _Run([]), None, None, Fraction(0)
    while True:
        try:
            mechanism = mechanism or make_mechanism(data)
            asked = next(mechanism) if noisy is None else mechanism.send(noisy)
            query = asked.of(None, asked.share) if isinstance(asked, RowQuery) else asked
        except StopIteration as done:
            run.result = done.value
            return run
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # panics of extension modules are not Exceptions
            run.error = f"{type(error).__name__}: {error}"
            return run
        if not isinstance(query, Query):
            raise ReplayAuditError("the mechanism yields something else than a query")
        run.queries.append((asked, query))
        spent += query.share
        if spent > 1:
            raise ReplayAuditError("the shares of the queries sum to more than 1")
        if loss is not None:
            part = loss.part(query.share)
            scale = part.scale(query.sensitivity(part))
            noise = ExactSampler().draw(part.kind, scale, query.values.size)
            answers.append(query.values + noise.reshape(query.values.shape))
        elif len(run.queries) > len(answers):
            return run  # one query more than in the first run: told by the comparison
        noisy = answers[len(run.queries) - 1].copy()


def _compare(first: _Run, other: _Run, where: str) -> None:
    """Raise where two runs with the same answers differ in anything that is public."""
    if first.error != other.error:
        said = f"{first.error or None!r}, {other.error or None!r}"
        raise ReplayAuditError(f"an exception tells {where} apart: {said}")
    if len(first.queries) != len(other.queries):
        counts = f"{len(other.queries)} queries in place of {len(first.queries)}"
        raise ReplayAuditError(f"{where} makes {counts}")
    for i, ((_, a), (_, b)) in enumerate(zip(first.queries, other.queries, strict=True), 1):
        public = (a.values.shape, a.l1, a.l2, a.share), (b.values.shape, b.l1, b.l2, b.share)
        if public[0] != public[1]:
            raise ReplayAuditError(f"{where} changes query {i}: {public[0]} becomes {public[1]}")
        if where.startswith("a second run") and (a.values != b.values).any():
            raise ReplayAuditError(f"{where} gives other values in query {i}")
    if digest(first.result) != digest(other.result):
        raise ReplayAuditError(f"{where} changes the result, although the answers are the same")


def _moved(i: int, first: tuple[Any, Query], other: tuple[Any, Query]) -> tuple[float, float]:
    """Return how far a query's values moved, in parts of its bounds; raise beyond them."""
    (asked, a), (_, b) = first, other
    moves = [(_differences(a.values, b.values), a.l1, a.l2)]
    if isinstance(asked, RowQuery):  # a ledger pays row by row
        rows = zip(a.values, b.values, strict=True)
        moves += [(_differences(x, y), asked.l1, asked.l2) for x, y in rows]
    for moved, l1, l2 in moves:
        sizes = sum(map(abs, moved)), sum(d * d for d in moved)
        if sizes[0] > Fraction(l1) or sizes[1] > Fraction(l2) ** 2:
            raise ReplayAuditError(
                f"query {i} moves by {sizes[0]:.6g} (L1) and {sizes[1] ** 0.5:.6g} (L2); its "
                f"bounds are {l1:.6g} and {l2:.6g}"
            )
    moved = moves[0][0]
    return sum(map(abs, moved)) / a.l1, sum(d * d for d in moved) ** 0.5 / a.l2


def _differences(a: NDArray[Any], b: NDArray[Any]) -> list[int]:
    """Return the exact differences of two arrays of integers that are not 0."""
    pairs = zip(a[a != b].tolist(), b[a != b].tolist(), strict=True)
    return [x - y for x, y in pairs]


class _SeededSampler(ExactSampler):
    """The exact sampler, fed by a pseudo-random generator."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)

        def words(count: int) -> NDArray[np.uint64]:
            return generator.integers(0, 2**64, size=count, dtype=np.uint64)

        super().__init__(words)
        self.name = f"noise seeded with {seed}, for tests (NOT private)"


class _NoNoise:
    """A sampler that adds nothing."""

    name = "no noise, for tests (NOT private)"
    private = False

    def perturb(
        self, values: NDArray[np.int64], loss: PrivacyLoss, sensitivity: float
    ) -> NDArray[np.int64]:
        """Return a copy, after the validation that a release would do."""
        loss.scale(sensitivity)
        return values.copy()


@contextmanager
def seeded_noise(seed: int) -> Iterator[Sampler]:
    """Draw the noise of every release in this block from a seeded generator.

    Parameters
    ----------
    seed : int
        Non-negative.

    Yields
    ------
    Sampler
        The sampler in use; its `private` is False.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.accounting import PrivacyLoss
    >>> from skdistill.release.query import Query, answer
    >>> def count():
    ...     return (yield Query(np.array([7]), 1.0, 1.0))
    >>> with seeded_noise(0) as sampler:
    ...     noisy = answer(count(), PrivacyLoss.laplace(1.0), sampler)
    >>> sampler.private
    False
    """
    with _put_up(_SeededSampler(seed)) as sampler:
        yield sampler


@contextmanager
def no_noise() -> Iterator[Sampler]:
    """Release exact values in this block, to see the rest of a pipeline without noise.

    Yields
    ------
    Sampler
        The sampler in use; its `private` is False.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.accounting import PrivacyLoss
    >>> from skdistill.release.query import Query, answer
    >>> from skdistill.testing import no_noise
    >>> def count():
    ...     return (yield Query(np.array([7]), 1.0, 1.0))
    >>> with no_noise() as sampler:
    ...     answer(count(), PrivacyLoss.laplace(1.0), sampler)
    array([7])
    """
    with _put_up(_NoNoise()) as sampler:
        yield sampler


@contextmanager
def _put_up(sampler: Sampler) -> Iterator[Sampler]:
    """Make a sampler the active one, in this thread."""
    token = _test_sampler.set(sampler)
    try:
        yield sampler
    finally:
        _test_sampler.reset(token)
