"""From rows of a schema to numbers: finite whatever the cells, row by row, alike for any table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from skdistill.transfer import Schema
from skdistill.transfer.features import SchemaFeatures, SchemaRows

SCHEMA = Schema(
    {"age": (18, 90), "income": (0, 1e6), "town": ["Bern", "Chur"], "owner": [False, True]},
    missing=["income", "town"],
    edges={"income": "log"},
)
ROWS = [
    [20, 100.0, "Bern", True],
    [40, None, "Chur", False],
    [60, 1e5, None, True],
    [80, 0.0, "Bern", False],
]
STRANGE = [None, np.nan, np.inf, -1e308, 10**400, "x", "", object(), [1], 1j, b"a", True]


def test_numbers_are_standardised_and_categories_indicated():
    features = SchemaFeatures(SCHEMA).fit(ROWS)
    Z = features.transform(ROWS)
    names = features.get_feature_names_out().tolist()
    assert names == [
        *("age", "income", "income_missing"),
        *("town_Bern", "town_Chur", "town_missing", "town_rare"),
        *("owner_False", "owner_True", "owner_rare"),
    ]
    assert Z.shape == (4, len(names))
    assert np.allclose([Z[:, 0].mean(), Z[:, 0].std()], [0, 1])
    assert Z[:, 2].tolist() == [0, 1, 0, 0]
    assert Z[1, 1] == 0  # the mean
    present = np.log1p([100.0, 1e5, 0.0])
    assert np.allclose(Z[[0, 2, 3], 1], (present - present.mean()) / present.std())
    assert Z[:, 3:7].sum(axis=1).tolist() == [1] * 4
    assert Z[2, 5] == 1


def test_unknown_and_rare_categories_share_an_indicator():
    schema = Schema({"c": [f"c{i}" for i in range(300)]})
    rows = [["c0"]] * 500 + [["c1"]] * 499 + [["c2"]]
    features = SchemaFeatures(schema).fit(rows)
    assert features.transform([["c0"], ["c1"], ["c2"], ["c99"], ["?"]]).tolist() == [
        *([1, 0, 0], [0, 1, 0]),
        *[[0, 0, 1]] * 3,
    ]


@pytest.mark.parametrize("column", range(4))
def test_any_cell_gives_finite_numbers_and_touches_no_other_row(column):
    features = SchemaFeatures(SCHEMA).fit(ROWS)
    usual = features.transform(ROWS)
    for strange in STRANGE:
        rows = [list(row) for row in ROWS]
        rows[1][column] = strange
        Z = features.transform(rows)
        assert np.isfinite(Z).all()
        assert (Z[[0, 2, 3]] == usual[[0, 2, 3]]).all()


@pytest.mark.parametrize("rows", [[[None] * 4] * 3, [[18, 0, "Bern", True]]])
def test_columns_without_spread_or_values(rows):
    features = SchemaFeatures(SCHEMA).fit(rows)
    assert np.isfinite(features.transform(ROWS)).all()
    assert np.abs(features.transform(rows)).max() <= 1
    # Within the bounds of the schema, no number is farther than the width of the bounds.
    assert np.abs(features.transform(ROWS)).max() <= 1


def test_the_same_for_every_container():
    frame = pd.DataFrame(ROWS, columns=SCHEMA.names)
    features = SchemaFeatures(SCHEMA).fit(frame)
    usual = features.transform(frame)
    for table in (ROWS, pl.DataFrame(ROWS, schema=SCHEMA.names, orient="row", strict=False)):
        assert (features.transform(table) == usual).all()
    assert (features.transform(frame.to_numpy()) == usual).all()
    assert not hasattr(clone(features), "centres_")


def test_sanitised_rows_have_the_same_features():
    rows = [[200, -5, "Rom", None], [None, "x", [1], 2]]
    features = SchemaFeatures(SCHEMA).fit(ROWS)
    inside = SchemaRows(SCHEMA).fit(rows).transform(rows)
    assert (features.transform(inside) == features.transform(rows)).all()
    assert SchemaRows(SCHEMA).transform(pd.DataFrame(ROWS, columns=SCHEMA.names)).shape == (4, 4)
