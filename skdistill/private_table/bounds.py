"""Bounds of a table that nobody knows, learned at a price of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skdistill._tables import check_lengths, check_table
from skdistill.accounting.charging import charge, check_accountant, counted_by
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release.domain import measure_domain, warn_of_hidden
from skdistill.release.marginals import check_counts, group_numbers
from skdistill.release.noise import active_sampler
from skdistill.release.query import answer
from skdistill.schema import Schema, as_schema
from skdistill.statement import PRIVATE_TABLE, PrivacyStatement


@np.errstate(all="ignore")  # in a user's own state, a private value could raise
def learn_bounds(
    schema: Any,
    X: Any,
    groups: Any = None,
    *,
    epsilon: float,
    delta: float = 1e-6,
    accountant: Any = None,
) -> Schema:
    """Learn the bounds of numbers and dates from a private table, at a price of their own.

    A fit of :class:`~skdistill.PrivateClassifier`, :class:`~skdistill.PrivateRegressor` or
    :class:`~skdistill.transfer.MarginalSampler` learns them by itself, for a part of its own
    price. This function is for bounds that several fits share, or that are to be looked at first.

    Parameters
    ----------
    schema : Schema, or the class float or int
        The columns whose bounds are private are described by the class `float`, `int` or
        `datetime.date`: ``Schema({"income": float, "born": datetime.date, "sex": ["f", "m"]})``.
        A class alone where all columns are numbers. The other columns stay as they are.
    X : array-like or DataFrame of shape (n, d)
        Private rows.
    groups : array-like of shape (n,), default=None
        Label of the group (a person, say) of each row: the unit of privacy; their number is public.
    epsilon, delta : float
        The price. ``delta=0`` uses Laplace noise.
    accountant : PrivacyLedger or diffprivlib.BudgetAccountant, default=None
        Charged before anything is counted.

    Returns
    -------
    Schema
        With bounds for all columns, and with the statement of the release as `privacy`. Rare
        values may be outside of noisy bounds, and are clipped when they are read.

    Raises
    ------
    ValueError, TypeError
        For public reasons: parameters, shapes, names of columns, a schema without private bounds.
    diffprivlib.utils.BudgetError
        The accountant refuses; nothing is counted then.

    Warns
    -----
    UserWarning
        For columns whose bounds cannot be told from noise: -1 to 1 is assumed for these.

    See Also
    --------
    skdistill.PrivateClassifier, skdistill.PrivateRegressor : They learn bounds inside a fit.

    Notes
    -----
    Proof in ``measure_domain`` (`release/domain.py`): each record weighs one in histograms whose
    cells are the same for every table. Bounds are read off the noisy counts by a public rule.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill import Schema, learn_bounds
    >>> incomes = np.random.default_rng(0).lognormal(10, 1, size=(50_000, 1))
    >>> schema = learn_bounds(Schema({"income": float}), incomes, epsilon=0.5)
    >>> inside = (incomes >= schema.columns[0].low) & (incomes <= schema.columns[0].high)
    >>> bool(inside.mean() > 0.99)
    True
    >>> schema.privacy.epsilon
    0.5
    """
    X = check_table(X)
    schema = as_schema(schema, X)
    k = len(schema.unbounded)
    if not k:
        raise ValueError(
            "All columns of the schema have bounds or categories: there is nothing to learn. "
            'Describe a column of private bounds by a class: Schema({"income": float, ...}).'
        )
    loss = PrivacyLoss.gaussian(epsilon, delta) if delta else PrivacyLoss.laplace(epsilon)
    check_accountant(accountant)
    rows = schema.on_grid().sanitize(X)
    if groups is not None:
        check_lengths(X, groups=group_numbers(groups))
        loss = replace(loss, unit=Unit.GROUP)
    check_counts(k, loss)
    sampler = active_sampler("exact")
    charge(accountant, loss, f"bounds of {k} columns")
    found, hidden = answer(measure_domain(schema, rows, loss, groups=groups), loss, sampler)
    unit = loss.unit
    statement = PrivacyStatement(
        epsilon=loss.epsilon,
        delta=loss.delta,
        mu=loss.mu,
        unit=unit,
        subject=PRIVATE_TABLE,
        mechanism=loss.kind,
        certificate={
            "name": "histograms",
            "bound": f"one {unit} moves two cells of each of at most {2 * k} histograms by one",
            "reason": f"Every {unit} weighs one in every histogram.",
            "reference": "",
        },
        n_queries=0,
        assumes=(schema.origin,),
        not_protected=(
            f"the number of {unit}s",
            "the rest of the schema: names and kinds of the columns, stated bounds, categories",
        ),
        sampler=sampler.name,
        private=sampler.private,
        **counted_by(accountant),
    )
    warn_of_hidden(hidden)
    return Schema(found.columns, privacy=statement)
