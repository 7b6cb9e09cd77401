"""Releases on many machines: X lies in partitions, and each is labelled where it lies.

Dask holds X and the labels; neither is ever in one place. What one machine does in one go is
split into a release for each partition, at its share of the price.

*Proof.* Partition j, with n_j of the m rows, is a release of its own
(:mod:`~skdistill.release.soft_labels`, :mod:`~skdistill.release.ensembles`) for the fraction
n_j/m of μ², or of ε (:meth:`~skdistill.accounting.PrivacyLoss.part`). The sizes are public and
fixed before anything is asked, the fractions sum to 1, and noise is independent: the whole costs
what was charged (Dong, Roth and Su, arXiv:1905.02383, Corollary 2; for Laplace noise Dwork and
Roth 2014, Theorem 3.16). A row gets the noise it would get on one machine, since
√n_j/√(n_j/m) = √m. Parameters (a ParameterBall) are released once, in the calling process; labels
are computed from them in any number of places for nothing.

*No second draw.* Dask repeats a task whose result was lost, and fresh noise on the same row is a
second release, which nobody paid for. The premise of the proof is therefore enforced and not
assumed: before a task asks the teacher, it takes a ticket, and the caller issued one for each
partition and no more. A scheduler hands an item of a queue out once; a queue that has vanished
with its scheduler hands out nothing. So every partition is drawn at most once, whatever fails,
and a loss is an error (:class:`LabelsLost`). Noise that a key in the graph could reproduce would
be the other way; but then the graph, which is copied to every machine and may be pickled with the
labels, would hold what takes the noise off again.

The machines of the cluster are inside the private boundary: they see the teacher.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skdistill._tables import take_rows
from skdistill.accounting.charging import charge
from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates import DisjointTeachers, ParameterBall
from skdistill.release.ensembles import ensemble_labels
from skdistill.release.parameters import labels_of, noisy_weights, private_weights
from skdistill.release.plan import ReleasePlan
from skdistill.release.soft_labels import free_labels, noisy_labels
from skdistill.release.teacher_calls import guarded

__all__ = [
    "LabelsLost",
    "Partitions",
    "draw_partitions",
    "fetch_rows",
    "is_partitioned",
    "partitions_of",
]

Array = NDArray[np.float64]


class LabelsLost(RuntimeError):
    """The noisy labels of a partition were drawn once and are gone.

    A worker died, or was believed dead, and took them along. To draw them again would be another
    release. The other partitions are intact: ``labels.blocks[j]``. (When all partitions are done,
    workers forget the teacher; a later loss is dask's own error, "lost dependencies".)
    """


@dataclass(frozen=True)
class Partitions:
    """A table that lies in parts.

    Parameters
    ----------
    blocks : tuple of dask.delayed.Delayed
        The parts, each with all columns; nothing has been computed.
    sizes : tuple of int
        Rows of each.
    example : array or data frame of shape (1, d)
        One row of the right columns and types, made up.
    """

    blocks: tuple[Any, ...]
    sizes: tuple[int, ...]
    example: Any

    @property
    def n_rows(self) -> int:
        """Rows of all parts."""
        return sum(self.sizes)


def is_partitioned(X: Any) -> bool:
    """Whether X is a dask array or data frame. Does not import dask."""
    return type(X).__module__.partition(".")[0] in ("dask", "dask_expr")


def partitions_of(X: Any) -> Partitions:
    """Split a dask array or data frame into its parts.

    Sizes that dask does not know (of most data frames) are counted, which reads X once more.

    Parameters
    ----------
    X : dask array or dask data frame of shape (m, d)

    Returns
    -------
    parts : Partitions

    Raises
    ------
    TypeError
        For another dask collection.
    ValueError
        For an array that has not two dimensions, or no rows.
    """
    import dask

    sizes: Any = None
    if hasattr(X, "chunks"):
        if X.ndim != 2:
            raise ValueError(
                f"Expected 2D array, got {X.ndim}D array instead: a row for each record, a column "
                "for each feature."
            )
        X = X.rechunk({1: -1})
        sizes = X.chunks[0]
        example = np.zeros((1, X.shape[1]), dtype=X.dtype)
    elif hasattr(X, "partitions") and hasattr(X, "columns"):
        example = X._meta_nonempty.iloc[:1]
    else:
        raise TypeError(
            f"X is a {type(X).__name__}; of dask's collections an array or a data frame can be "
            "labelled."
        )
    blocks = tuple(np.ravel(np.asarray(X.to_delayed(), dtype=object)))
    if sizes is None or np.isnan(sizes).any():
        (sizes,) = dask.compute([dask.delayed(_height)(block) for block in blocks])
    parts = Partitions(blocks, tuple(int(size) for size in sizes), example)
    if not parts.n_rows:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    return parts


def fetch_rows(
    X: Any, limit: int | None, choose: Callable[[int, int], NDArray[np.intp]]
) -> tuple[NDArray[np.intp], Any]:
    """Bring some rows of a partitioned X into this process.

    Parameters
    ----------
    X : dask array or dask data frame of shape (m, d)
    limit : int or None
        How many; None is refused, since all of them may not fit.
    choose : callable
        ``choose(m, n)`` returns n of the m row numbers; public.

    Returns
    -------
    indices : ndarray of shape (min(limit, m),)
        Sorted.
    rows : array or data frame of shape (min(limit, m), d)
    """
    import dask

    if limit is None:
        raise ValueError(
            "X is partitioned, and a student is trained in one process: set max_queries to the "
            "number of rows to fetch and label. (release(X) labels all rows where they lie.)"
        )
    parts = partitions_of(X)
    rows = np.sort(choose(parts.n_rows, min(limit, parts.n_rows))).astype(np.intp)
    starts = np.cumsum([0, *parts.sizes])
    cuts = np.searchsorted(rows, starts)
    taken = [
        dask.delayed(take_rows)(block, rows[a:b] - start)
        for block, start, a, b in zip(parts.blocks, starts[:-1], cuts[:-1], cuts[1:], strict=True)
        if b > a
    ]
    (fetched,) = dask.compute(taken)
    if hasattr(fetched[0], "iloc"):
        from dask.dataframe.dispatch import concat  # unites categories, where pandas drops them

        return rows, concat(fetched)
    return rows, np.concatenate(fetched)


def draw_partitions(plan: ReleasePlan, teacher: Any, parts: Partitions, accountant: Any) -> Any:
    """Charge the price of a release, then have every partition labelled where it lies.

    Returns once the work is handed out. With a ``distributed.Client`` the labels are made on its
    workers and stay there; without one, they are made here, by dask's threads.

    Parameters
    ----------
    plan : ReleasePlan
        For all rows. In one round, and without class counts.
    teacher : estimator
        Fitted. Sent to each worker once.
    parts : Partitions
        The transfer set.
    accountant : PrivacyLedger, BudgetAccountant or None
        Charged once, here, before anything is handed out.

    Returns
    -------
    labels : dask.array.Array of shape (m, n_classes) or (m,)
        A partition for each of X. Whatever is computed from it sees the same labels; its graph
        holds neither teacher nor X.

    Raises
    ------
    ValueError
        For a release in rounds, which looks at all rows together, and for a scheduler that is
        neither dask's nor a ``distributed.Client``.
    diffprivlib.utils.BudgetError
        The budget does not suffice; nothing was asked.
    TeacherError, LabelsLost
        When the labels are computed: the teacher raised, or a worker was lost.
    """
    import dask

    if len(plan.shares) > 1:
        raise ValueError(
            f"A release in {len(plan.shares)} residual rounds looks at all rows of X together, "
            "and X is partitioned. Use n_rounds=1, or fit with max_queries rows."
        )
    client = _client()
    charge(accountant, plan.loss, plan.summary)
    job = _job(plan, teacher)
    tickets = [""] * len(parts.sizes)
    sent: Any = dask.delayed(job, pure=False, traverse=False)
    if client is not None and job.draws:
        tickets = [f"skdistill-{uuid.uuid4().hex}" for _ in parts.sizes]
        client.sync(_issue, client, tickets)
        sent = client.scatter(job, broadcast=True, hash=False)
    label = dask.delayed(_label, pure=False)
    jobs = [
        label(sent, block, size, ticket)
        for block, size, ticket in zip(parts.blocks, parts.sizes, tickets, strict=True)
    ]
    done = dask.persist(*jobs) if client is None else client.persist(jobs)
    return _side_by_side(done, parts.sizes, plan)


def _side_by_side(done: Any, sizes: tuple[int, ...], plan: ReleasePlan) -> Any:
    """Make one dask array of labelled partitions, empty ones included."""
    from dask.array import Array as DaskArray
    from dask.highlevelgraph import HighLevelGraph

    width = () if plan.classes is None else (len(plan.classes),)
    name = f"labels-{uuid.uuid4().hex}"
    layer = {(name, j, *(0 for _ in width)): each.key for j, each in enumerate(done)}
    graph = HighLevelGraph.from_collections(name, layer, dependencies=done)
    return DaskArray(graph, name, (sizes, *((w,) for w in width)), np.float64)


class _Job:
    """What a worker needs to label a partition; private.

    Shows nothing of itself: dask writes the arguments of a task that fails to its log.
    """

    def __init__(self, plan: ReleasePlan, teacher: Any, weights: Array | None) -> None:
        self.plan = plan
        self.teacher = teacher
        self.weights = weights
        self.draws = plan.loss is not None and weights is None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with fixed text for an error, whatever the teacher is made of."""
        from cloudpickle import dumps

        return _Job._load, (guarded(lambda: dumps((self.plan, self.teacher, self.weights))),)

    @staticmethod
    def _load(blob: bytes) -> _Job:
        return _Job(*pickle.loads(blob))

    def labels(self, X: Any, size: int) -> Array:
        """Label one partition at its share of the price."""
        plan = self.plan
        share = None if plan.loss is None else _share(plan.loss, size / plan.n_rows)
        part = replace(plan, n_rows=size, loss=share)
        if self.weights is not None:
            return labels_of(part, self.weights, X, None)
        if share is None:
            return free_labels(part, self.teacher, X, None)
        if isinstance(plan.certificate, DisjointTeachers):
            return ensemble_labels(part, X, ())[0]
        return noisy_labels(part, self.teacher, X, None)


@lru_cache(maxsize=1024)
def _share(loss: PrivacyLoss, fraction: float) -> PrivacyLoss:
    """Return a part of a loss; most partitions are of one size, and its ε takes a search."""
    return loss.part(fraction)


def _job(plan: ReleasePlan, teacher: Any) -> _Job:
    """Put together what workers need; for parameters, release them."""
    ball = plan.certificate
    if not isinstance(ball, ParameterBall):
        return _Job(plan, teacher, None)
    weights = private_weights(ball)
    if plan.label_loss is not None:
        weights = noisy_weights(weights, ball.radius, plan.label_loss, plan.sampler)
    public = replace(ball, weights=_nothing, class_counts=None)  # what travels
    return _Job(replace(plan, certificate=public), None, weights)


def _nothing() -> Array:
    return np.empty((0, 0))


def _label(job: _Job, X: Any, size: int, ticket: str) -> Array:
    """Label one partition. Runs on the machine that holds it."""
    if _height(X) != size:
        raise ValueError(
            f"A partition of X has {_height(X)} rows and had {size} when the noise was calibrated: "
            "X changes between two reads. Persist it, or write it to a file, first."
        )
    if not size:
        classes = job.plan.classes
        return np.empty((0,) if classes is None else (0, len(classes)))
    if ticket:
        _take(ticket)
    # The workers are the parallelism; a pool inside one would start processes for each task.
    with _quiet(), joblib.parallel_config(backend="sequential"):
        return job.labels(X, size)


def _height(X: Any) -> int:
    return int(X.shape[0])


# -- Tickets ------------------------------------------------------------------------------------


def _client() -> Any:
    """Return the client of the cluster that dask would use, None if it works in this machine.

    Asked of dask itself: the client may be the default one, stand in dask's configuration, or be
    the one of the task that calls (a release inside of a task). A client that was overlooked is
    one whose tasks are repeated without tickets.
    """
    from dask.base import get_scheduler
    from dask.delayed import Delayed

    scheduler = get_scheduler(cls=Delayed)
    if getattr(scheduler, "__module__", "").startswith("dask."):
        return None  # threads, processes or none: what is lost there is an error
    owner = getattr(scheduler, "__self__", None)
    if "distributed" in sys.modules and isinstance(owner, sys.modules["distributed"].Client):
        return owner
    raise ValueError(
        f"dask's scheduler {scheduler!r} is neither one of its own nor a distributed.Client. It "
        "may repeat tasks, and every repetition of a noisy label is another release."
    )


async def _issue(client: Any, tickets: list[str]) -> None:
    """Put one item in a queue of its own for each partition."""
    from distributed import Queue

    async def issue(name: str) -> None:
        queue = await Queue(name, client=client)
        await queue.put(1)

    for start in range(0, len(tickets), 256):
        await asyncio.gather(*(issue(name) for name in tickets[start : start + 256]))


def _take(ticket: str) -> None:
    """Take the one item out of a queue, or raise."""
    from distributed import Queue

    try:
        Queue(ticket).get(timeout=1)
    except TimeoutError:
        raise LabelsLost(
            "The noisy labels of a partition were drawn before and are lost: a worker died, or "
            "was believed dead. Drawing them again would be another release that nobody paid for. "
            "The other partitions are intact, see labels.blocks; release(X) again charges again. "
            "To keep labels safe from the loss of workers, write them to a file at once."
        ) from None


# -- Warnings -----------------------------------------------------------------------------------

_LOCK = threading.Lock()
_filters: list[Any] = []  # the filters to go back to, and a mark for each thread inside


@contextmanager
def _quiet() -> Iterator[None]:
    """Show no warning while any thread of this process asks a teacher.

    What a teacher warns of can quote a private cell, and workers write warnings to their logs.
    ``warnings.catch_warnings`` is not made for threads: the first to leave would put the filters
    back while another still asks. So the first to come saves them, and the last to go restores.
    """
    with _LOCK:
        if not _filters:
            saved = warnings.catch_warnings()
            saved.__enter__()
            warnings.simplefilter("ignore")
            _filters.append(saved)
        _filters.append(None)
    try:
        yield
    finally:
        with _LOCK:
            _filters.pop()
            if len(_filters) == 1:
                _filters.pop().__exit__(None, None, None)
