"""How far can one record move a teacher? One module per family of proofs."""

from skdistill.certificates.base import (
    AlreadyPrivate,
    Certificate,
    ParameterBall,
    RowBound,
    certify,
    register,
)

# The order is the order in which families are tried.
from skdistill.certificates import (  # isort: skip
    already_private as _already_private,
    worst_case as _worst_case,
    neighbors as _neighbors,
    pipelines as _pipelines,
    stable_linear as _stable_linear,
)

__all__ = [
    "AlreadyPrivate",
    "Certificate",
    "ParameterBall",
    "RowBound",
    "certify",
    "register",
]
