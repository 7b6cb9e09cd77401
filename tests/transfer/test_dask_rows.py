"""Random rows of a dask collection, fetched, labelled and learned from in this process."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from skdistill import PrivateDistiller
from skdistill._partitions import is_dask
from skdistill.transfer.encoding import fetch_rows

pytestmark = pytest.mark.filterwarnings("ignore:The released labels are mostly noise")

A, b = make_classification(1000, 5, n_informative=3, n_redundant=0, random_state=0)
X = A[600:]
NAMES = ["a", "b", "c", "d", "e"]
SIZES = (150, 0, 1, 200, 49)


@pytest.fixture
def array():
    return pytest.importorskip("dask.array")


@pytest.fixture
def frame():
    return pytest.importorskip("dask.dataframe")


def parts_of(array, X):
    return array.from_array(X, chunks=(SIZES, (3, 2)))


def teacher():
    return LogisticRegression().fit(A[:600], b[:600])


class Cashier:
    def __init__(self):
        self.charges = []

    def spend(self, epsilon, delta):
        self.charges.append((epsilon, delta))


def test_what_is_a_dask_collection():
    assert not is_dask(X)
    assert not is_dask(X.tolist())
    assert not is_dask(None)


def test_dask_rows_are_those_of_the_collection(array):
    assert is_dask(parts_of(array, X))
    rows, fetched = fetch_rows(parts_of(array, X), 120, 0)
    assert rows.shape == (120,) and (np.diff(rows) > 0).all()
    assert_array_equal(fetched, X[rows])
    again, _ = fetch_rows(parts_of(array, X), 120, 0)
    assert_array_equal(again, rows)
    assert (fetch_rows(parts_of(array, X), 120, 1)[0] != rows).any()
    rows, fetched = fetch_rows(parts_of(array, X), 10_000, 0)
    assert_array_equal(rows, np.arange(400))
    assert_array_equal(fetched, X)


def test_dask_rows_come_from_everywhere(array):
    """100 draws of 40 of 400 rows: a row that is never drawn has a probability of .9^100, 3e-5.

    Of all rows 5 or more are left out with a probability below 400^5/5! · (3e-5)^5 < 1e-11.
    """
    drawn = np.concatenate([fetch_rows(parts_of(array, X), 40, seed)[0] for seed in range(100)])
    assert 400 - len(np.unique(drawn)) < 5


def test_dask_fit_fetches_random_rows(array):
    distiller = PrivateDistiller(teacher(), epsilon=math.inf, max_queries=120, random_state=0)
    distiller.fit(parts_of(array, X))
    assert distiller.query_indices_.shape == (120,)
    assert (np.diff(distiller.query_indices_) > 0).all()
    expected = teacher().predict_proba(X[distiller.query_indices_])
    assert_allclose(distiller.released_labels_, expected, atol=1e-9)


def test_dask_fit_is_charged_once_for_the_rows_it_fetched(array):
    cashier = Cashier()
    distiller = PrivateDistiller(teacher(), epsilon=2.0, max_queries=50, accountant=cashier)
    distiller.fit(parts_of(array, X))
    assert cashier.charges == [(2.0, 1e-6)]
    assert distiller.privacy_.n_queries == 50
    assert distiller.released_labels_.shape == (50, 2)


def test_dask_all_rows_are_refused_before_the_charge(array):
    cashier = Cashier()
    distiller = PrivateDistiller(teacher(), accountant=cashier)
    with pytest.raises(ValueError, match="max_queries"):
        distiller.fit(parts_of(array, X))
    assert cashier.charges == []


def test_dask_predictions_where_the_rows_lie(array):
    distiller = PrivateDistiller(teacher(), epsilon=math.inf, max_queries=120, random_state=0)
    parts = array.from_array(X, chunks=(100, 5))
    distiller.fit(parts)
    predicted = parts.map_blocks(distiller.predict, drop_axis=1, dtype=int).compute()
    assert_array_equal(predicted, distiller.predict(X))


def test_dask_fit_on_a_data_frame(frame):
    import pandas as pd

    table = pd.DataFrame(X, columns=NAMES)
    by = LogisticRegression().fit(pd.DataFrame(A[:600], columns=NAMES), b[:600])
    distiller = PrivateDistiller(by, epsilon=math.inf, max_queries=90)
    distiller.fit(frame.from_pandas(table, npartitions=4))
    rows = table.iloc[distiller.query_indices_]
    assert_allclose(distiller.released_labels_, by.predict_proba(rows), atol=1e-9)
    assert list(distiller.feature_names_in_) == NAMES


def test_dask_unknown_sizes_are_counted(array):
    parts = parts_of(array, X)
    chosen = parts[parts[:, 0] > 0]
    assert np.isnan(chosen.shape[0])
    rows, fetched = fetch_rows(chosen, 30, 0)
    assert_array_equal(fetched, X[X[:, 0] > 0][rows])


def test_dask_parts_of_differing_types(array):
    """The types of each part are its own, not those that dask believes."""
    import dask

    single = X[:100].astype(np.float32)
    parts = array.concatenate(
        [
            array.from_delayed(dask.delayed(single), single.shape, np.float64),
            array.from_array(X[100:], chunks=(300, 5)),
        ]
    )
    rows, fetched = fetch_rows(parts, 150, 0)
    assert_allclose(fetched, X[rows], atol=1e-6)


def test_dask_frame_with_categories_and_repeated_index(frame):
    import pandas as pd

    names = ["low", "high", "high", "low", "middle"] * 40
    table = pd.DataFrame({"kind": pd.Categorical(names), "x": X[:200, 0]}, index=[7] * 200)
    by = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    by = by.fit(table, np.arange(200) % 2)
    parts = frame.from_pandas(table.reset_index(drop=True), npartitions=4)
    parts = parts.map_partitions(lambda part: part.set_axis([7] * len(part)))
    # One part is empty, and of the sizes nothing is known.
    parts = frame.concat([parts, parts[parts.x > 99], parts[parts.kind == "low"]])
    expected = by.predict_proba(pd.concat([table, table[table.kind == "low"]]))
    distiller = PrivateDistiller(by, clone(by), epsilon=math.inf, max_queries=50).fit(parts)
    assert_allclose(distiller.released_labels_, expected[distiller.query_indices_])


def test_dask_frame_whose_parts_know_other_categories(frame):
    """As files do. pandas would make text of them, which no model takes."""
    import dask
    import pandas as pd

    tables = [
        pd.DataFrame({"kind": pd.Categorical(kinds), "x": np.arange(20.0)})
        for kinds in (["a", "b"] * 10, ["c", "b"] * 10)
    ]
    whole = pd.concat([table.astype({"kind": str}) for table in tables])
    whole = whole.astype({"kind": "category"})
    by = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    by.fit(whole, np.arange(40) % 3 > 0)
    meta = tables[0].iloc[:0].assign(kind=pd.Categorical([]))
    parts = frame.from_delayed(
        [dask.delayed(table) for table in tables], meta=meta, verify_meta=False
    )
    parts = parts.assign(kind=parts.kind.cat.as_unknown())
    expected = np.vstack([by.predict_proba(table) for table in tables])
    distiller = PrivateDistiller(by, clone(by), epsilon=math.inf, max_queries=30).fit(parts)
    assert_allclose(distiller.released_labels_, expected[distiller.query_indices_])


def test_dask_other_collections(array):
    import dask.bag

    distiller = PrivateDistiller(teacher(), max_queries=5)
    with pytest.raises(TypeError, match="a dask array or of a dask data frame"):
        distiller.fit(dask.bag.from_sequence([1, 2]))
    with pytest.raises(ValueError, match="Expected 2D array"):
        distiller.fit(array.zeros(10))
    with pytest.raises(ValueError, match="0 sample"):
        distiller.fit(array.zeros((0, 2)))
