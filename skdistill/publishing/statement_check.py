"""Reading a statement that somebody else wrote."""

from __future__ import annotations

import json

from skdistill.publishing.archive import UnsafeFileError
from skdistill.statement import PrivacyStatement

__all__ = ["read_statement"]

_LONGEST_STATEMENT = 1 << 20


def read_statement(data: bytes) -> PrivacyStatement:
    """Read a statement, and nothing but a statement in the one form in which it is written.

    Another form could say one thing to a person and another to a program: a name given twice.
    """
    try:
        if len(data) > _LONGEST_STATEMENT:
            raise ValueError
        statement = PrivacyStatement.from_dict(json.loads(data))
        if statement.to_json(indent=1).encode() != data:
            raise ValueError
        return statement
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        raise UnsafeFileError("The file's privacy.json is no privacy statement.") from None
