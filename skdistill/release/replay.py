"""Releases through a ledger: what was released before is replayed, the rest is charged and drawn.

Three kinds of measurement, by what their noise allows:

- labels row by row (a row bound with Gaussian or Laplace noise), parameters, class counts: a
  :class:`~skdistill.release.ladder.Ladder` each, so that rows shared between folds are paid for
  once, and a higher precision costs the difference;
- votes and residual rounds, where a label depends on all rows together: replayed as a whole if
  everything about them is the same.

*Why replay is safe.* Write k for the key of a measurement (:func:`measurements`): a function of
public settings and of the identity of the teacher (:mod:`~skdistill.release.identity`). The k-th
ladder is an adaptive sequence of mechanisms on the private data, each charged in the ledger before
it runs (:meth:`Ladder.bill`). Everything that leaves is a function of their outputs and of public
randomness: post-processing (Dwork and Roth 2014, Proposition 2.1), however often and wherever it
is given out. The ledger holds a lock from the bill to the answer, so two processes cannot both
pay for, nor both skip, the same step.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skdistill._rows import take_rows
from skdistill.accounting.charging import charge, replays
from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import DisjointTeachers, ParameterBall, RowBound
from skdistill.release.class_prior import counted_prior, noisy_counts, noisy_prior
from skdistill.release.identity import Keys, digest, layout, row_keys, teacher_digest
from skdistill.release.ladder import Ladder, Steps, level_of
from skdistill.release.parameters import labels_of, noisy_weights, private_weights
from skdistill.release.plan import LABEL_ONLY, ReleasePlan

__all__ = ["Book", "Measurement", "measurements", "rehearsed", "replayed"]

Array = NDArray[np.float64]

_ONE = np.array([b"\1"], dtype="S16")
_FORMAT = 1  # part of every key: to be raised when the meaning of a stored release changes


class Book(Protocol):
    """What a ledger does for a release (:class:`skdistill.accounting.PrivacyLedger`)."""

    replay: bool

    def charge(self, loss: PrivacyLoss, *, note: str = "") -> None:
        """Commit a charge."""

    def locked(self, key: bytes) -> AbstractContextManager[Any]:
        """Keep everyone else out."""

    def recall(self, key: bytes) -> list[bytes]:
        """Return what was remembered under a key."""

    def remember(self, key: bytes, blob: bytes) -> None:
        """Remember a release."""


@dataclass(frozen=True)
class Measurement:
    """What one plan asks of one measurement; public.

    Parameters
    ----------
    name : {"labels", "parameters", "counts", "whole"}
        What is measured; "whole" cannot be had row by row.
    key : bytes
        Its identity.
    loss : PrivacyLoss
        What it costs if nothing is known.
    rows : ndarray of shape (n,)
        Keys of the rows.
    sensitivity : float
        How far one record moves a row; 0 for "whole".
    """

    name: str
    key: bytes
    loss: PrivacyLoss
    rows: Keys
    sensitivity: float = 0.0

    @property
    def level(self) -> float:
        """What the rows are asked at."""
        return level_of(self.loss, len(self.rows))


def measurements(plan: ReleasePlan, teacher: Any, X: Any) -> tuple[Measurement, ...]:
    """Say what a plan measures. Empty where it is free, or the teacher has no identity.

    The key holds everything that the law of a release depends on but its rows and its level:
    the teacher, the certificate's bound and unit, the mechanism, the source of noise, the layout
    of X, temperature, classes and range.
    """
    loss, bound = plan.loss, plan.certificate
    # Smoothing comes after what is kept: one round is the same in any basis.
    known = (teacher, plan.basis if len(plan.shares) > 1 else None)
    identity = None if loss is None else teacher_digest(known)
    if loss is None or identity is None:
        return ()

    def key(name: str, *parts: Any) -> bytes:
        common = (_FORMAT, identity, bound.name, bound.unit, loss.kind, plan.sampler.name)
        return digest(name, *common, *parts).encode()

    settings = (layout(X), plan.temperature, plan.classes, plan.output_range)
    found: list[Measurement] = []
    if isinstance(bound, ParameterBall):
        assert plan.label_loss is not None
        name = key("parameters", bound.radius)
        found.append(Measurement("parameters", name, plan.label_loss, _ONE, bound.radius))
    elif isinstance(bound, RowBound) and plan.mechanism not in LABEL_ONLY and len(plan.shares) < 2:
        assert plan.label_loss is not None
        rows, moved = row_keys(X, plan.n_rows), bound.l1 if loss.kind == "laplace" else bound.l2
        name = key("labels", bound.l1, bound.l2, *settings)
        found.append(Measurement("labels", name, plan.label_loss, rows, moved))
    else:
        rows = row_keys(X, plan.n_rows)
        price = (loss.epsilon, loss.delta, loss.mu)
        how = (plan.mechanism, plan.shares, known[1], plan.with_prior, price)
        name = key("whole", *_bound_of(bound), *how, *settings, rows)
        return (Measurement("whole", name, loss, rows),)
    if plan.with_prior:
        assert plan.prior_loss is not None
        moved = 2.0 if loss.kind == "laplace" else math.sqrt(2.0)
        name = key("counts", plan.classes)
        found.append(Measurement("counts", name, plan.prior_loss, _ONE, moved))
    return tuple(found)


def replayed(
    plan: ReleasePlan,
    teacher: Any,
    X: Any,
    book: Book,
    n_jobs: int | None,
    draw_labels: Callable[[ReleasePlan, Any], tuple[Array, NDArray[np.bool_]]],
) -> tuple[Array, NDArray[np.bool_], Array | None]:
    """Charge what is new in a release, draw it, and put it together with what was there.

    Parameters
    ----------
    plan : ReleasePlan
        With a price.
    teacher, X, n_jobs
        As for :func:`skdistill.release.draw`.
    book : Book
        The ledger.
    draw_labels : callable
        ``draw_labels(plan, rows) -> (labels, answered)`` asks the teacher. Called after the charge.

    Returns
    -------
    labels : ndarray of shape (m, n_classes) or (m,)
    answered : ndarray of bool, shape (m,)
    prior : ndarray of shape (n_classes,) or None
        Where class counts were paid for.
    """
    asked = measurements(plan, teacher, X)
    if not asked:  # a teacher without an identity: every release is a new one
        charge(book, plan.loss, plan.summary)
        labels, answered = draw_labels(plan, X)
        return labels, answered, noisy_prior(plan)
    with book.locked(asked[0].key):
        if asked[0].name == "whole":
            return _whole(plan, X, book, asked[0], draw_labels)
        return _by_rows(plan, X, book, asked, n_jobs, draw_labels)


def rehearsed(plan: ReleasePlan, teacher: Any, X: Any, book: Any) -> None:
    """Charge a book what a release would cost, and have it remember the rows. Asks nothing."""
    asked = measurements(plan, teacher, X) if replays(book) else ()
    if not asked:
        charge(book, plan.loss, plan.summary)
    elif asked[0].name == "whole":
        if not book.recall(asked[0].key):
            charge(book, plan.loss, plan.summary)
            book.remember(asked[0].key, b"")
    else:
        ladders, bills = _bills(plan, book, asked)
        charge(book, _sum_of(plan, bills), plan.summary)
        for each, ladder, bill in zip(asked, ladders, bills, strict=True):
            _, blob = ladder.climb(each.rows, each.level, bill, _nothing, plan.sampler, 0)
            if blob is not None:
                book.remember(each.key, blob)


def _nothing(rows: NDArray[np.intp], increment: float) -> Array:
    return np.empty((len(rows), 0))


def _bills(
    plan: ReleasePlan, book: Book, asked: tuple[Measurement, ...]
) -> tuple[list[Ladder], list[Steps]]:
    """Return the ladder of each measurement, as far as it goes, and what is missing."""
    assert plan.loss is not None
    kind = plan.loss.kind
    ladders = [Ladder(kind, each.sensitivity, book.recall(each.key)) for each in asked]
    pairs = zip(ladders, asked, strict=True)
    return ladders, [ladder.bill(each.rows, each.level) for ladder, each in pairs]


def _whole(
    plan: ReleasePlan, X: Any, book: Book, asked: Measurement, draw_labels: Callable[..., Any]
) -> tuple[Array, NDArray[np.bool_], Array | None]:
    """Replay a release as it was, or make it."""
    for blob in book.recall(asked.key):
        with np.load(io.BytesIO(blob), allow_pickle=False) as held:
            prior = held.get("prior")
            return held["labels"], held["answered"], prior
    charge(book, asked.loss, plan.summary)
    labels, answered = draw_labels(plan, X)
    prior = noisy_prior(plan)
    arrays: dict[str, Any] = {"labels": labels, "answered": answered}
    if prior is not None:
        arrays["prior"] = prior
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    book.remember(asked.key, buffer.getvalue())
    return labels, answered, prior


def _by_rows(
    plan: ReleasePlan,
    X: Any,
    book: Book,
    asked: tuple[Measurement, ...],
    n_jobs: int | None,
    draw_labels: Callable[..., Any],
) -> tuple[Array, NDArray[np.bool_], Array | None]:
    """Climb every ladder of a plan, after one charge for all of them."""
    ladders, bills = _bills(plan, book, asked)
    charge(book, _sum_of(plan, bills), plan.summary)
    values: dict[str, Array] = {}
    for each, ladder, bill in zip(asked, ladders, bills, strict=True):
        measure, n_columns = _measure(plan, X, each.name, draw_labels)
        values[each.name], blob = ladder.climb(
            each.rows, each.level, bill, measure, plan.sampler, n_columns
        )
        if blob is not None:
            book.remember(each.key, blob)
    if "labels" in values:
        labels = values["labels"] if plan.classes is not None else values["labels"][:, 0]
    else:
        labels = labels_of(plan, values["parameters"].reshape(_shape(plan)), X, n_jobs)
    prior = counted_prior(plan, values["counts"][0]) if "counts" in values else None
    return labels, np.ones(plan.n_rows, dtype=bool), prior


def _measure(
    plan: ReleasePlan, X: Any, name: str, draw_labels: Callable[..., Any]
) -> tuple[Callable[[NDArray[np.intp], float], Array], int]:
    """Return what releases rows of a measurement at an increment of level, and a row's width."""
    if name == "labels":

        def labels(rows: NDArray[np.intp], increment: float) -> Array:
            part = replace(
                plan,
                n_rows=len(rows),
                loss=_loss_of(plan, len(rows) * increment),
                with_prior=False,
            )
            everything = len(rows) == plan.n_rows
            return np.asarray(draw_labels(part, X if everything else take_rows(X, rows))[0])

        return labels, 1 if plan.classes is None else len(plan.classes)
    if name == "counts":
        assert plan.classes is not None
        return (
            lambda rows, increment: np.asarray(noisy_counts(plan, _loss_of(plan, increment))),
            len(plan.classes),
        )
    ball = plan.certificate
    assert isinstance(ball, ParameterBall)
    weights = private_weights(ball)

    def parameters(rows: NDArray[np.intp], increment: float) -> Array:
        return noisy_weights(weights, ball.radius, _loss_of(plan, increment), plan.sampler)

    return parameters, weights.size


def _shape(plan: ReleasePlan) -> tuple[int, ...]:
    ball = plan.certificate
    assert isinstance(ball, ParameterBall)
    return private_weights(ball).shape


def _loss_of(plan: ReleasePlan, amount: float) -> PrivacyLoss:
    """Return the loss that μ², or ε, of this amount is."""
    assert plan.loss is not None
    if plan.loss.kind == "laplace":
        return PrivacyLoss.laplace(amount)
    return PrivacyLoss.of_mu(math.sqrt(amount), plan.loss.delta)


def _sum_of(plan: ReleasePlan, bills: list[Steps]) -> PrivacyLoss | None:
    """Return the price of several bills together, rounded up; None if it is nothing."""
    total = math.fsum(bill.price for bill in bills)
    return _loss_of(plan, total * (1 + 2.0**-40)) if total > 0 else None


def _bound_of(bound: Any) -> tuple[float, ...]:
    many = bound.n_teachers if isinstance(bound, DisjointTeachers) else 0
    return (bound.l1, bound.l2, many)
