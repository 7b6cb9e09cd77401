"""Bounds of the columns whose bounds are private, as a mechanism."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from skdistill._silenced import warn_caller
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.marginals import measure_marginals
from skdistill.release.query import Queries, at_share, noise_deviation
from skdistill.schema import Column, Schema
from skdistill.schema.domain import assumed, is_narrow, on_grid, with_bounds

Result = TypeVar("Result")

# Set on Adult, California housing, credit default, wine and German credit; their scored rows were
# seen while this was done (unlike all other constants of the package).
_WANTED = 100.0  # noise on a count should be at most the number of records divided by this
_SHARES = Fraction(5, 100), Fraction(20, 100)  # least and largest part of the price
_ASSUMED = "-1 to 1 is assumed (1970 to 2069 for dates)"
_FIRST = Fraction(2, 3)  # of that, for the counts where nothing is known


def domain_share(schema: Schema, loss: PrivacyLoss | None, n_units: int) -> Fraction:
    """Return the part of the price that private bounds take, from public numbers; 0 for none.

    Parameters
    ----------
    schema : Schema
        Public.
    loss : PrivacyLoss or None
        The whole price; None for no noise.
    n_units : int
        Number of records, or of groups.
    """
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
) -> Queries[tuple[Schema, list[str]]]:
    r"""Release noisy counts of the columns without bounds in public cells, and read bounds off.

    Columns whose bounds turn out to be near each other and far from zero are counted once more,
    in cells between these bounds.

    Parameters
    ----------
    schema : Schema
        Public; at least one column has no bounds.
    X : array-like or DataFrame of shape (n, d)
        Private.
    loss : PrivacyLoss or None
        The price; None for no noise.
    groups : array-like of shape (n,), optional
        The group of each row.

    Returns
    -------
    schema : Schema
        With bounds for all numbers.
    hidden : list of str
        Names of the columns whose bounds cannot be told from noise: -1 to 1 is assumed there.

    Notes
    -----
    Proof. The first cells are the same for every table (:func:`~skdistill.schema.domain.on_grid`),
    the second ones a function of the first answer, and so are the columns that are counted again.
    The code of a cell of the table is a function of that cell, so one row of codes is replaced,
    and each set of counts costs its part of `loss` by the proof of
    :func:`~skdistill.release.marginals.measure_marginals`. Bounds are post-processing.
    """
    cells = schema.cells(X)
    unknown = {j: c for j, c in enumerate(schema.columns) if not c.bounded}
    first = _bounds(unknown, cells, _part(loss, _FIRST), groups)
    found = yield from at_share(first, _FIRST)
    hidden = [column.name for j, column in unknown.items() if j not in found]
    narrow = {j: column for j, column in found.items() if is_narrow(column)}
    if narrow:
        second = _bounds(narrow, cells, _part(loss, 1 - _FIRST), groups)
        found |= yield from at_share(second, 1 - _FIRST)
    columns = (found.get(j, assumed(column)) for j, column in enumerate(schema.columns))
    return Schema(columns), hidden


def warn_of_hidden(columns: Sequence[str]) -> None:
    """Warn of the columns whose bounds cannot be told from noise, at the end of a fit."""
    if columns:
        warn_caller(
            f"The bounds of {list(columns)} cannot be told from noise, so that {_ASSUMED}. Give "
            "bounds that are public knowledge, or use more records or a larger epsilon."
        )


def with_domain(
    schema: Schema,
    X: Any,
    loss: PrivacyLoss | None,
    learn: Callable[[Schema, PrivacyLoss | None], Queries[Result]],
    *,
    n_units: int,
    groups: Any = None,
) -> Queries[tuple[Fraction, list[str], Result]]:
    """Learn private bounds, then run ``learn(schema, loss)`` at the rest of the price.

    Returns
    -------
    share : Fraction
        The part of the price that the bounds took; 0 where none were private.
    hidden : list of str
        For :func:`warn_of_hidden`.
    result : object
        The result of `learn`.
    """
    hidden: list[str] = []
    share = domain_share(schema, loss, n_units)
    if share:
        bounds = measure_domain(schema, X, _part(loss, share), groups=groups)
        schema, hidden = yield from at_share(bounds, share)
    result = yield from at_share(learn(schema, _part(loss, 1 - share)), 1 - share)
    return share, hidden, result


def _bounds(
    columns: Mapping[int, Column], cells: Sequence[Any], loss: PrivacyLoss | None, groups: Any
) -> Queries[dict[int, Column]]:
    """Count columns on their grids; return those whose counts show bounds, with these."""
    grids = {j: on_grid(column) for j, column in columns.items()}
    codes = np.column_stack([grid.encode(cells[j], 1) for j, grid in grids.items()])
    sizes = [grid.n_codes(1) for grid in grids.values()]
    noisy = yield from measure_marginals(codes, sizes, loss, groups=groups)
    laplace = loss is not None and loss.mu is None
    found = {
        j: with_bounds(column, counts, noisy.noise, laplace=laplace)
        for (j, column), counts in zip(columns.items(), noisy.counts, strict=True)
    }
    return {j: column for j, column in found.items() if column is not None}


def _part(loss: PrivacyLoss | None, share: Fraction) -> PrivacyLoss | None:
    return None if loss is None else loss.part(share)
