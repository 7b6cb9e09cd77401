"""Reading a statement that somebody else wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any
from unicodedata import category

from skdistill.publishing.archive import UnsafeFileError
from skdistill.statement import PrivacyStatement

__all__ = ["read_statement"]

_LONGEST_STATEMENT = 1 << 20

_WRITTEN_AS_TEXT = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def read_statement(data: bytes) -> PrivacyStatement:
    """Read a statement, and nothing but a statement in the one form in which it is written.

    Another form could say one thing to a person and another to a program: a name given twice.
    """
    try:
        if len(data) > _LONGEST_STATEMENT:
            raise ValueError
        record = dict(json.loads(data))
        if set(record) != {field.name for field in fields(PrivacyStatement)}:
            raise ValueError
        for name in ("epsilon", "delta", "mu"):
            value = _WRITTEN_AS_TEXT.get(record[name], record[name])
            if not (type(value) in (int, float) or (value is None and name == "mu")):
                raise ValueError
            record[name] = value
        for name in ("assumes", "not_protected"):
            if type(record[name]) is not list or not _all_text(record[name]):
                raise ValueError
            record[name] = tuple(record[name])
        certificate = record["certificate"]
        kinds = (
            type(certificate) is dict and _all_text(certificate.values()),
            _all_text([record["relation"], record["mechanism"], record["sampler"]]),
            type(record["n_queries"]) is int,
            type(record["private"]) is bool,
        )
        if not all(kinds) or {"name", "bound", "reason", "reference"} - set(certificate):
            raise ValueError
        statement = PrivacyStatement(**record)
        if not _is_sound(statement) or statement.to_json(indent=1).encode() != data:
            raise ValueError
        return statement
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        raise UnsafeFileError("The file's privacy.json is no privacy statement.") from None


def _is_sound(statement: PrivacyStatement) -> bool:
    """Whether the numbers could be those of a guarantee."""
    epsilon, mu = statement.epsilon, statement.mu
    return (
        epsilon >= 0
        and 0 <= statement.delta <= 1
        and (mu is None or mu >= 0)
        and statement.n_queries >= 0
        and (math.isfinite(epsilon) or not statement.private)
    )


def _all_text(values: Iterable[Any]) -> bool:
    """Whether all is text that shows itself: no controls that move or hide what is printed."""
    return all(
        type(value) is str
        and not any(category(each) in ("Cc", "Cf") and each not in "\n\t" for each in value)
        for value in values
    )
