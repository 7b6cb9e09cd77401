"""Private rows in the partitions of a dask collection: the same integers, wherever rows lie.

Each sum of :class:`~skdistill.release.private_sums.PrivateRows` asks the rows one question, whose
answer is integers. Here, one task for each partition answers it, and the answers are added in a
tree. A task is a function of its partition and of public numbers, so a task that runs twice, or
again on another worker, gives the same integers. Noise is drawn where the release is made, never on
a worker.

*A record changes its own row only.* Each partition is read cell by cell, as a table in memory is. A
partition as a whole is another matter: if one record makes a task of the caller raise, or makes
text of a column of numbers, then the other rows of the partition are lost. Nothing is released
then: :class:`PartitionError` is raised, whose text is fixed. Tasks of this module do not raise (a
worker would write their arguments to its log); they return None.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import pairwise
from typing import Any, NoReturn, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skdistill._partitions import blocks_of, counted, is_dask
from skdistill._tables import check_lengths, check_not_empty, text_or_numbers
from skdistill.release.boundary import call_privately
from skdistill.release.private_sums import IntegerMap, Integers, PrivateRows, Question, added

_FAN = 16  # answers that one task adds
_RETRIES = 2  # of a task that raised: a file that could not be read at this moment


class PartitionError(ValueError):
    """A partition of private rows could not be read; the cause may quote one and is left out."""

    def __init__(self) -> None:
        super().__init__(
            "A partition of the private rows could not be read: one of its tasks raised, a worker "
            "was lost for good, or the partition is not as its collection says (columns, numbers "
            "or text, rows). The message is withheld because it may quote private rows. Compute "
            "the partitions one by one, where you may see them: X.partitions[i] or X.blocks[i]."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the message, which the class takes none of."""
        return type(self), ()


@dataclass(frozen=True, eq=False, repr=False)
class _Layout:
    """The layout of every partition, and how it is read; public.

    `names` are those of a frame's columns (None for an array) and `dtypes` theirs or the array's.
    """

    read: Callable[[Any], Any]
    read_targets: Callable[[Any], Integers]
    names: list[Any] | None
    dtypes: list[Any]
    target_dtype: Any
    width: int
    n_classes: int
    is_sparse: bool

    def rows(self, block: Any, n: int) -> Any:
        """Return the cells of a partition of n rows."""
        if self.names is not None and list(block.columns) != self.names:
            block = block[self.names]
        found = [block.dtype] if self.names is None else list(block.dtypes)
        for j, (declared, dtype) in enumerate(zip(self.dtypes, found, strict=True)):
            if text_or_numbers(dtype) != "numbers":
                cells = block if self.names is None else block.iloc[:, j]
                _check_no_numerals(getattr(dtype, "categories", cells), text_or_numbers(declared))
        cells = self.read(block)
        if cells.shape != (n, self.width):
            raise ValueError
        if sp.issparse(cells) == self.is_sparse:
            return cells
        return sp.csr_matrix(cells) if self.is_sparse else np.ascontiguousarray(cells.toarray())

    def targets(self, block: Any, n: int) -> Integers:
        """Return the targets of a partition of n rows."""
        declared = self.target_dtype
        if declared is not None and (
            (text_or_numbers(declared) == "numbers") != (text_or_numbers(block.dtype) == "numbers")
        ):
            raise ValueError
        targets = self.read_targets(block)
        if targets.shape != (n,):
            raise ValueError
        return targets


def _check_no_numerals(cells: Any, declared: str | None) -> None:
    """Raise where numbers have become texts: one record may have done that to all others."""
    is_text = declared == "numbers" and text_or_numbers(cells.dtype) == "text"
    if is_text or any(map(_is_numeral, np.ravel(cells))):
        raise ValueError


def _is_numeral(cell: Any) -> bool:
    """Whether a cell is a text that reads as a number."""
    if type(cell) is not str:
        return False
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


@dataclass(frozen=True, eq=False, repr=False)
class PartitionedRows(PrivateRows):
    """Private rows in partitions; made by :func:`partitioned_rows`.

    The rows are read for each sum, so a collection that fits the memory of the workers should be
    persisted. The workers keep two numbers for each row: its target, and its length. `X`, the
    collection, is not used any more; `targets` and `blocks` hold a Delayed for each partition,
    `starts` the position of its first row. By `name`, which is random, a ledger tells these rows
    from others.
    """

    blocks: Sequence[Any] = ()
    starts: Sequence[int] = ()
    layout: Any = None
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def is_sparse(self) -> bool:
        """Whether the rows are sparse; public."""
        return bool(self.layout.is_sparse)

    def some(self, at_most: int) -> PrivateRows:
        """Fetch about `at_most` rows, in equal steps of their positions, for their owner's eyes."""
        step = max(1, self.n_units // at_most)
        parts = _fetched(self._tasks(partial(PrivateRows._every, step=step)))
        X = [cells for cells, _ in parts]
        targets = np.concatenate([each for _, each in parts])
        rows = sp.vstack(X, format="csr") if self.is_sparse else np.concatenate(X)
        return PrivateRows(rows, targets, self.n_classes, len(targets))

    def _total(self, question: Question, *of_rows: Any, cells: bool = True) -> list[Integers]:
        """Return the total answer of all partitions to a question."""
        import dask

        tasks = self._tasks(question, *of_rows, cells=cells)
        while len(tasks) > 1:
            groups = [tasks[i : i + _FAN] for i in range(0, len(tasks), _FAN)]
            tasks = [dask.delayed(_sum)(group) for group in groups]
        return list(_fetched(tasks)[0])

    def _measured(self, frame: IntegerMap, step: int) -> Any:
        """Return the lengths of the rows of each partition, which stay on the workers."""
        return _kept(self._tasks(partial(PrivateRows._measured, frame=frame, step=step)))

    def _tasks(self, question: Question, *of_rows: Any, cells: bool = True) -> list[Any]:
        """Return the answer of each partition to a question, which is yet to be computed."""
        import dask

        asked = dask.delayed((self.layout, question), traverse=False)
        blocks = self.blocks if cells else [None] * len(self.blocks)
        parts = zip(self.starts, blocks, self.targets, *of_rows, strict=True)
        return [dask.delayed(_ask)(asked, *part) for part in parts]

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled: partitions may lie on workers, or may hold all rows."""
        raise TypeError(
            "A teacher that was fitted on a dask collection is not pickled: its rows are in the "
            "partitions. Fit it again where it is needed, or stay in this process (n_jobs=1, or "
            'joblib.parallel_config("threading")).'
        )

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the rows themselves, which nothing changes."""
        return self


def partitioned_rows(
    X: Any, y: Any, n_classes: int, *, read: Any, read_targets: Any
) -> PartitionedRows:
    """Return the rows of a dask collection, to be summed over; sizes it does not know are counted.

    `y` has private labels or numbers, in any partitions, or is an array of the targets; `n_classes`
    is 0 for a regression. `read` and `read_targets` read one partition by itself; they are pickled.
    Raises for public reasons, and :class:`PartitionError` where a partition cannot be read.
    """
    import dask

    blocks, sizes = _parts(X)
    n = sum(sizes)
    check_not_empty((n, int(X.shape[1])))
    layout = _layout_of(X, y, n_classes, read, read_targets)
    ends = np.cumsum([0, *sizes])
    if is_dask(y):
        y_blocks, y_sizes = _parts(y, n_axes=1)
        check_lengths(range(n), y=range(sum(y_sizes)))
        shared = dask.delayed(layout, traverse=False)
        pairs = zip(y_blocks, y_sizes, strict=True)
        codes = [dask.delayed(_read_targets)(shared, *each) for each in pairs]
        targets = _aligned(codes, np.cumsum([0, *y_sizes]), ends)
    else:
        check_lengths(range(n), y=y)
        targets = [dask.delayed(y[a:b], traverse=False) for a, b in pairwise(ends)]
    full = np.flatnonzero(sizes)
    kept: Any = _kept([targets[i] for i in full])
    found: dict[str, Any] = {
        "blocks": [blocks[i] for i in full],
        "starts": [int(ends[i]) for i in full],
    }
    return PartitionedRows(X, kept, n_classes, n, **found, layout=layout)


def _layout_of(X: Any, y: Any, n_classes: int, read: Any, read_targets: Any) -> _Layout:
    """Return the layout that a collection declares."""
    names = list(X.columns) if hasattr(X, "columns") else None
    dtypes = [X.dtype] if names is None else list(X.dtypes)
    dtypes_of = zip(names or ["X"], dtypes, strict=True)
    if texts := [name for name, each in dtypes_of if text_or_numbers(each) == "text"]:
        raise ValueError(
            f"The columns {texts[:10]} are text. In a dask collection one record that is no number "
            "can make a text of every other one: state numeric dtypes where the rows are read, and "
            "make features of categories by a public map."
        )
    declared, is_sparse = getattr(y, "dtype", None), sp.issparse(getattr(X, "_meta", None))
    width = int(X.shape[1])
    return _Layout(read, read_targets, names, dtypes, declared, width, n_classes, is_sparse)


def _parts(X: Any, n_axes: int = 2) -> tuple[list[Any], list[int]]:
    """Return the partitions of a collection and their sizes."""
    blocks, sizes = blocks_of(X, n_axes)
    if sizes is None:
        sizes = call_privately(partial(counted, blocks), error=PartitionError)
    return blocks, sizes


def _aligned(codes: list[Any], held: NDArray[Any], ends: NDArray[Any]) -> list[Any]:
    """Cut targets whose partitions end at `held` into partitions that end at `ends`."""
    import dask

    targets = []
    for a, b in pairwise(ends):
        first = int(np.searchsorted(held, a, side="right")) - 1
        last = int(np.searchsorted(held, b, side="left"))
        start = held[min(first, len(held) - 1)]
        targets.append(dask.delayed(_cut)(codes[first:last], a - start, b - start))
    return targets


def _fetched(tasks: list[Any]) -> Any:
    """Compute tasks and return their results; no message of one gets out."""
    import dask

    found = call_privately(partial(dask.compute, *tasks, retries=_RETRIES), error=PartitionError)
    if any(each is None for each in found):
        raise PartitionError
    return found


def _kept(tasks: list[Any]) -> list[Any]:
    """Compute tasks, and leave their results where they are."""
    import dask

    keep = partial(dask.persist, *tasks, retries=_RETRIES)
    return list(call_privately(keep, error=PartitionError))


# Tasks. They return None for a partition that cannot be read.


def _ask(asked: Any, first: int, block: Any, targets: Any, *of_rows: Any) -> Any:
    """Ask one partition."""
    layout, question = asked

    def answer() -> Any:
        cells = None if block is None else layout.rows(block, len(targets))
        rows = PrivateRows(cells, targets, layout.n_classes, len(targets), first=first)
        return question(rows, *of_rows)

    return None if any(each is None for each in (targets, *of_rows)) else _or_none(answer)


def _read_targets(layout: _Layout, block: Any, n: int) -> Any:
    return _or_none(partial(layout.targets, block, n)) if n else np.zeros(0, dtype=np.int64)


def _cut(parts: list[Any], first: int, last: int) -> Any:
    return None if any(p is None for p in parts) else np.concatenate(parts)[first:last]


def _sum(answers: list[Any]) -> Any:
    """Add the answers of some partitions."""
    nothing: list[Integers] = []
    return None if any(each is None for each in answers) else reduce(added, answers, nothing)


def _or_none(function: Callable[[], Any]) -> Any:
    """Call a function, silently; None where it raises."""
    try:
        return call_privately(function, error=PartitionError)
    except PartitionError:
        return None
