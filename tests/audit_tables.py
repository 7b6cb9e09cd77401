"""Containers of the records that the audits take."""

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse

NAMES = ["a", "b", "c"]
CONTAINERS = {
    "array": lambda X: X,
    "list": lambda X: X.tolist(),
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES, index=[f"row {i}" for i in range(len(X))]),
    "polars": lambda X: pl.DataFrame({name: X[:, i] for i, name in enumerate(NAMES)}),
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
}


def dense(X):
    return X.toarray() if sparse.issparse(X) else np.asarray(X)
