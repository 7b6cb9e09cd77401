"""Which data sets are neighbours: the relation and the unit of a privacy guarantee."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NoReturn


class _Named(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        names = " or ".join(repr(str(each)) for each in cls)
        raise ValueError(f"{value!r} is not a valid {cls.__name__.lower()}: give {names}.")


class Relation(_Named):
    """How two neighbouring data sets differ.

    Examples
    --------
    >>> from skdistill.accounting.relation import Relation
    >>> Relation("replace-one") is Relation.REPLACE_ONE
    True
    """

    REPLACE_ONE = "replace-one"
    """One unit has other content; the number of units is public."""
    ADD_OR_REMOVE = "add-or-remove"
    """One unit is present in one of them only."""

    __hash__ = str.__hash__  # that of an Enum is a function in Python


class Unit(_Named):
    """The object that is replaced, added or removed: one record, or all records of a group.

    Examples
    --------
    >>> from skdistill.accounting.relation import Unit
    >>> str(Unit.GROUP)
    'group'
    """

    RECORD = "record"
    GROUP = "group"

    __hash__ = str.__hash__


def as_replace_one(epsilon: float, delta: float, relation: Relation) -> tuple[float, float]:
    r"""Convert a guarantee to the relation replace-one.

    Parameters
    ----------
    epsilon, delta : float
        The guarantee under `relation`.
    relation : Relation
        Replace-one is returned as it is.

    Returns
    -------
    epsilon, delta : float
        Of add-or-remove: (2ε, δ(1 + e^ε)), rounded up. Proof: to replace a unit is to remove one
        and to add one. For any event S and the data set D₀ between D and D',
        P(S|D) ≤ e^ε P(S|D₀) + δ ≤ e^ε (e^ε P(S|D') + δ) + δ (Dwork and Roth 2014, Theorem 2.2).

    Examples
    --------
    >>> as_replace_one(1.0, 0.0, Relation.ADD_OR_REMOVE)
    (2.0, 0.0)
    """
    if Relation(relation) is Relation.REPLACE_ONE:
        return epsilon, delta
    try:
        twice = delta * (1 + math.exp(epsilon)) * (1 + 2.0**-50) if delta else 0.0
    except OverflowError:
        twice = 1.0
    return 2 * epsilon, min(1.0, twice)
