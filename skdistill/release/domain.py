"""Bounds of the columns whose bounds are private, as a mechanism."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from skdistill._silenced import warn_caller
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.marginals import NoisyMarginals, measure_marginals
from skdistill.release.query import Queries, at_share, noise_deviation, part_of
from skdistill.schema import Column, Schema
from skdistill.schema.domain import assumed, is_narrow, on_grid, with_bounds

Result = TypeVar("Result")

# Set on Adult, California housing, credit default, wine and German credit; their scored rows were
# seen while this was done (unlike all other constants of the package).
_WANTED = 100.0  # noise on a count should be at most the number of records divided by this
_SHARES = Fraction(5, 100), Fraction(20, 100)  # least and largest part of the price
_ASSUMED = "-1 to 1 is assumed (1970 to 2069 for dates)"
_FIRST = Fraction(2, 3)  # of that, for the first counts
# Values that make fewer records than so many deviations of the noise on a count may not be seen;
# where that is more than this part of the records, a third of the values can be outside.
_SEEN, _MUCH = 5.5, 0.05


@dataclass(frozen=True)
class Hidden:
    """Values that noise may hide, public: of `unknown` columns all, of `learned` ones some.

    `share` is the part of the records that noise may hide at each end.
    """

    unknown: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    share: float = 0.0


def domain_share(schema: Schema, loss: PrivacyLoss | None, n_units: int) -> Fraction:
    """Return the part of the price that private bounds take, from public numbers; 0 for none."""
    k = len(schema.unbounded)
    if not k:
        return Fraction(0)
    if loss is None:
        return _SHARES[0]
    noise = _WANTED * noise_deviation(loss, 2.0 * k, (2.0 * k) ** 0.5) / n_units
    wanted = noise if loss.mu is None else noise**2
    return min(max(_SHARES[0], Fraction(round(1000 * min(wanted, 1.0)), 1000)), _SHARES[1])


def measure_domain(
    schema: Schema, X: Any, loss: PrivacyLoss | None, *, groups: Any = None
) -> Queries[tuple[Schema, Hidden]]:
    """Release noisy counts of the columns without bounds in public cells, and read bounds off.

    Columns whose bounds turn out to be near each other and far from zero are counted once more, in
    cells between these bounds. Where there is none, all are counted once more in the same cells.

    Proof. The first cells are the same for every table (:func:`~skdistill.schema.domain.on_grid`),
    the second ones a function of the first answer, and so are the columns that are counted again.
    The code of a cell of the table is a function of that cell, so one row of codes is replaced, and
    each set of counts costs its part of `loss` by the proof of :func:`measure_marginals`. Bounds
    are post-processing.
    """
    cells = schema.cells(X)
    unknown = {j: c for j, c in enumerate(schema.columns) if not c.bounded}
    first = _counts(unknown, cells, part_of(loss, _FIRST), groups)
    noisy = yield from at_share(first, _FIRST)
    found = _bounds(unknown, noisy, loss)
    clear = _bounds(unknown, noisy, loss, near=False)
    narrow = {j: found[j] for j, column in clear.items() if is_narrow(column)}
    second = _counts(narrow or unknown, cells, part_of(loss, 1 - _FIRST), groups)
    more = yield from at_share(second, 1 - _FIRST)
    if narrow:
        found |= _bounds(narrow, more, loss)
    else:
        noisy = _mean(noisy, more)
        found = _bounds(unknown, noisy, loss)
    names = {j: column.name for j, column in unknown.items()}
    hidden = Hidden(
        tuple(name for j, name in names.items() if j not in found),
        tuple(name for j, name in names.items() if j in found),
        min(1.0, _SEEN * noisy.noise / max(noisy.total, 1)),
    )
    columns = (found.get(j, assumed(column)) for j, column in enumerate(schema.columns))
    return Schema(columns), hidden


def warn_of_hidden(hidden: Hidden | None) -> None:
    """Warn of values that noise may hide, at the end of a fit: a warning may be an error."""
    cure = "Give bounds that are public knowledge, or use more records or a larger epsilon."
    if hidden and hidden.unknown:
        unknown = list(hidden.unknown)
        warn_caller(
            f"The bounds of {unknown} cannot be told from noise, so that {_ASSUMED}. {cure}"
        )
    if hidden and hidden.learned and hidden.share > _MUCH:
        warn_caller(
            f"The bounds of {list(hidden.learned)} were learned from so few records that noise may "
            f"hide {hidden.share:.0%} of them at each end: these values are clipped. {cure}"
        )


def with_domain(
    schema: Schema,
    X: Any,
    loss: PrivacyLoss | None,
    learn: Callable[[Schema, PrivacyLoss | None], Queries[Result]],
    *,
    n_units: int,
    groups: Any = None,
) -> Queries[tuple[Fraction, Hidden | None, Result]]:
    """Learn private bounds, then run ``learn(schema, loss)`` at the rest of the price.

    Returns the part of the price that the bounds took (0 where none were private), the values that
    noise may hide (or None), and the result of `learn`.
    """
    hidden = None
    share = domain_share(schema, loss, n_units)
    if share:
        bounds = measure_domain(schema, X, part_of(loss, share), groups=groups)
        schema, hidden = yield from at_share(bounds, share)
    result = yield from at_share(learn(schema, part_of(loss, 1 - share)), 1 - share)
    return share, hidden, result


def _counts(
    columns: Mapping[int, Column], cells: Sequence[Any], loss: PrivacyLoss | None, groups: Any
) -> Queries[NoisyMarginals]:
    """Count columns on their grids."""
    grids = {j: on_grid(column) for j, column in columns.items()}
    codes = np.column_stack([grid.encode(cells[j], 1) for j, grid in grids.items()])
    sizes = [grid.n_codes(1) for grid in grids.values()]
    return (yield from measure_marginals(codes, sizes, loss, groups=groups))


def _mean(first: NoisyMarginals, second: NoisyMarginals) -> NoisyMarginals:
    """Average two counts of the same cells, by the inverse variances of their noise."""
    if not first.noise:
        return first
    whole = math.hypot(first.noise, second.noise)
    part = (second.noise / whole) ** 2
    pairs = zip(first.counts, second.counts, strict=True)
    counts = tuple(part * a + (1 - part) * b for a, b in pairs)
    return NoisyMarginals(first.total, counts, first.noise * second.noise / whole)


def _bounds(
    columns: Mapping[int, Column],
    noisy: NoisyMarginals,
    loss: PrivacyLoss | None,
    near: bool = True,
) -> dict[int, Column]:
    """Return the columns whose counts show bounds, with these."""
    laplace = loss is not None and loss.mu is None
    found = {
        j: with_bounds(column, counts, noisy.noise, laplace=laplace, near=near)
        for (j, column), counts in zip(columns.items(), noisy.counts, strict=True)
    }
    return {j: column for j, column in found.items() if column is not None}
