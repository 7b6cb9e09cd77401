"""The transfer set: what can be computed from it alone, which is public and so costs nothing."""

from skdistill.transfer.basis import (
    MAX_GRAPH_ROWS,
    graph_eigenvectors,
    principal_components,
    public_bases,
    public_features,
)

__all__ = [
    "MAX_GRAPH_ROWS",
    "graph_eigenvectors",
    "principal_components",
    "public_bases",
    "public_features",
]
