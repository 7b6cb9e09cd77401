import numpy as np
import pytest
import scipy.sparse as sp

from skdistill._tables import stack_copies, take_rows

TABLE = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def containers():
    yield np.array(TABLE)
    yield TABLE
    yield sp.csr_matrix(TABLE)
    yield sp.coo_array(TABLE)
    for library in ("pandas", "polars"):
        try:
            yield __import__(library).DataFrame(np.array(TABLE), **(
                {"columns": ["a", "b"]} if library == "pandas" else {"schema": ["a", "b"]}
            ))  # fmt: skip
        except ImportError:
            continue


def values(X):
    return X.toarray() if hasattr(X, "toarray") else np.asarray(X)


@pytest.mark.parametrize("X", list(containers()), ids=lambda X: type(X).__module__.split(".")[0])
def test_rows_keep_their_container(X):
    taken = take_rows(X, np.array([2, 0, 2]))
    assert np.array_equal(values(taken), np.array(TABLE)[[2, 0, 2]])
    stacked = stack_copies(X, 3)
    assert np.array_equal(values(stacked), np.tile(TABLE, (3, 1)))
    if not sp.issparse(X):
        assert type(taken) is type(stacked) is type(X)
