"""A mechanism answered by a ledger: known rows cost nothing, the rest is charged and measured.

Replay wraps a generator. :func:`replayed` runs the same generator twice: once *dry*, answered with
zeros, which gives the missing rows and their price without touching the teacher; then, after the
charge, with each query answered from the ledger and from new measurements of the missing rows.

A RowQuery (labels of one round, votes, parameters, class counts) is a ``ProgressiveRelease``, so
that rows shared between folds are paid for once, and a higher precision costs the difference. A
mechanism with other queries is replayed as a whole if everything about it is the same.

*Why replay is safe.* Write k for the key of a measurement: a function of public settings and of the
identity of the teacher (:mod:`~skdistill.release.replay.cache_keys`). The k-th progressive release
is an adaptive sequence of mechanisms on the private data, each charged in the ledger before it
runs. Everything that is given out is a function of their outputs and of public randomness:
post-processing (Dwork and Roth 2014, Proposition 2.1), however often and wherever it is given out.
The ledger holds a lock from the price to the answer, so two processes cannot both pay for, nor both
skip, the same step.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from skdistill.accounting.charging import charge, replays
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.mechanism import Labels
from skdistill.release.noise import Sampler
from skdistill.release.query import Array, Queries, RowQuery, answer
from skdistill.release.replay.cache_keys import Keys, digest, layout, row_keys, teacher_digest
from skdistill.release.replay.progressive import Missing, ProgressiveRelease, level_of

_ONE = np.array([b"\1"], dtype="S16")
_FORMAT = 3  # part of every key: to be raised when the meaning of a stored release changes


def replayed(release: Any, teacher: Any, ledger: Any, prepared: Any = None) -> Labels:
    """Charge the new part of a release, measure it, and put it together with the known part."""
    identity = teacher_digest(teacher)
    if identity is None:  # a teacher without an identity: every release is a new one
        charge(ledger, release.loss, release.summary)
        return answer(release.queries(teacher, prepared), release.loss, release.sampler)
    with ledger.locked(digest("release", identity).encode()):
        if not release.is_progressive:
            return _whole(release, teacher, identity, ledger, prepared)
        steps = _dry_run(release, identity, ledger)
        price = _price(release, steps)
        charge(ledger, price, release.summary)
        refined = _refined(release.queries(teacher, prepared), steps, release.sampler, ledger)
        return answer(refined, price or release.loss, release.sampler)


def charge_dry_run(release: Any, teacher: Any, ledger: Any) -> None:
    """Charge a ledger for a release and have it remember the rows. Nothing is measured."""
    identity = teacher_digest(teacher) if replays(ledger) else None
    if identity is None:
        charge(ledger, release.loss, release.summary)
    elif not release.is_progressive:
        key = _whole_key(release, identity, None)
        if not ledger.recall(key):
            charge(ledger, release.loss, release.summary)
            ledger.remember(key, b"")
    else:
        steps = _dry_run(release, identity, ledger)
        charge(ledger, _price(release, steps), release.summary)
        for step in steps:
            empty = [(rows, np.empty((len(rows), 0))) for rows, _ in step.missing.groups]
            _, blob = step.held.refine(step.keys, step.level, empty, release.sampler, 0)
            if blob is not None:
                ledger.remember(step.key, blob)


@dataclass(frozen=True)
class _Step:
    """One RowQuery of a release, beside its rows in the ledger; public."""

    query: RowQuery
    key: bytes
    keys: Keys
    level: float
    held: ProgressiveRelease
    missing: Missing


def _dry_run(release: Any, identity: str, ledger: Any) -> list[_Step]:
    """Run a mechanism on zeros, without a teacher, and say which rows of its queries are missing.

    It is not run to its end, where it would make labels of the zeros.
    """
    mechanism = release.queries(None)
    steps = [_step(release, identity, ledger, next(mechanism))]
    if release.with_prior:  # the class counts come before the labels
        zeros = np.zeros(steps[0].query.shape)
        steps.append(_step(release, identity, ledger, mechanism.send(zeros)))
    mechanism.close()
    return steps


def _step(release: Any, identity: str, ledger: Any, query: RowQuery) -> _Step:
    kind, bound = release.loss.kind, release.bound
    sensitivity = (query.l1 if kind == "laplace" else query.l2) * query.step
    table = () if query.X is None else layout(query.X)
    common = (_FORMAT, identity, bound.name, str(bound.unit), kind)
    settings = (release.sampler.name, sensitivity, table, *query.settings)
    key = digest(query.name, *common, *settings).encode()
    keys = _ONE if query.X is None else row_keys(query.X, query.shape[0])
    level = level_of(release.loss.part(query.share), query.shape[0])
    held = ProgressiveRelease(kind, sensitivity, ledger.recall(key))
    return _Step(query, key, keys, level, held, held.missing(keys, level))


def _price(release: Any, steps: list[_Step]) -> PrivacyLoss | None:
    """Return the price of everything that is missing, rounded up; None if it is nothing."""
    total = sum((step.missing.price for step in steps), Fraction(0))
    if not total:
        return None
    amount, whole = float(total) * (1 + 2.0**-40), release.loss
    if whole.kind == "laplace":
        loss = PrivacyLoss.laplace(amount)
    else:
        loss = PrivacyLoss.of_mu(math.sqrt(amount), whole.delta)
    return replace(loss, unit=whole.unit, relation=whole.relation)


def _refined(
    mechanism: Queries[Labels], steps: list[_Step], sampler: Sampler, ledger: Any
) -> Queries[Labels]:
    """Answer a mechanism from a ledger; yield queries of the missing rows alone."""
    total = sum((step.missing.price for step in steps), Fraction(0))
    noisy: Array | None = None
    for step in steps:
        query = next(mechanism) if noisy is None else mechanism.send(noisy)
        measured = []
        for rows, increment in step.missing.groups:
            share = len(rows) * Fraction(increment) / total
            everything = len(rows) == query.shape[0]
            new = yield query.of(None if everything else rows, share)
            measured.append((rows, np.asarray(new, dtype=np.float64) * query.step))
        values, blob = step.held.refine(step.keys, step.level, measured, sampler, query.shape[1])
        if blob is not None:
            ledger.remember(step.key, blob)
        noisy = values / query.step
    assert noisy is not None
    try:
        mechanism.send(noisy)
    except StopIteration as done:
        return done.value
    raise RuntimeError("A progressive mechanism asked more after its answers than in its dry run.")


def _whole_key(release: Any, identity: str, prepared: Any) -> bytes:
    bound, loss, asked = release.bound, release.loss, release.asked
    price = (loss.epsilon, loss.delta, loss.mu, release.with_prior, release.sampler.name)
    how = (bound.name, str(bound.unit), bound.bound_text, asked.classes, asked.output_range)
    settings = release.mechanism.get_params()
    if callable(settings.get("basis")):  # two functions of one name need not be the same
        settings["basis"] = release.prepare() if prepared is None else prepared
    mechanism = (type(release.mechanism).__name__, settings)
    rows: tuple[Any, ...] = ()
    if release.mechanism.rows_matter(bound):
        rows = layout(asked.X), row_keys(asked.X, asked.n_rows)
    return digest("whole", _FORMAT, identity, *price, *how, *mechanism, *rows).encode()


def _whole(release: Any, teacher: Any, identity: str, ledger: Any, prepared: Any) -> Labels:
    """Replay a release as it was, or make it."""
    key = _whole_key(release, identity, prepared)
    for blob in ledger.recall(key):
        with np.load(io.BytesIO(blob), allow_pickle=False) as held:
            return release.mechanism.restored(held, release.asked, prepared)
    charge(ledger, release.loss, release.summary)
    labels = answer(release.queries(teacher, prepared), release.loss, release.sampler)
    buffer = io.BytesIO()
    np.savez(buffer, **release.mechanism.arrays(labels))
    ledger.remember(key, buffer.getvalue())
    return labels
