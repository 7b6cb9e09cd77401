"""How far can one record move a teacher? One module per family of proofs."""

from skdistill.certificates.base import (
    AlreadyPrivate,
    Certificate,
    DisjointTeachers,
    GradientSums,
    ParameterBall,
    RowBound,
)
from skdistill.certificates.registry import certify, register

__all__ = [
    "AlreadyPrivate", "Certificate", "DisjointTeachers", "GradientSums", "ParameterBall",
    "RowBound", "certify", "register",
]  # fmt: skip
