"""The transfer set: its schema, synthetic rows from noisy marginals, and features of rows.

A basis is computed from the transfer set alone, which is public, and so costs nothing. Where there
is no public table, :class:`MarginalSampler` makes synthetic rows from a private one.
"""

from skdistill.release.synthesis import SyntheticTable
from skdistill.schema import Column, Schema
from skdistill.transfer.basis import (
    MAX_GRAPH_ROWS,
    graph_eigenvectors,
    principal_components,
    public_bases,
)
from skdistill.transfer.encoding import public_features
from skdistill.transfer.marginals import MarginalSampler
from skdistill.transfer.table_features import TableFeatures

__all__ = [
    "MAX_GRAPH_ROWS",
    "Column",
    "MarginalSampler",
    "Schema",
    "SyntheticTable",
    "TableFeatures",
    "graph_eigenvectors",
    "principal_components",
    "public_bases",
    "public_features",
]
