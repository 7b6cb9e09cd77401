"""Every cell inside the schema, in the container that was given."""

import numpy as np
import pandas as pd
from sklearn.base import clone

from skdistill import Schema, TableFeatures
from skdistill.transfer.encoding import SchemaRows

SCHEMA = Schema({"age": (18, 90), "income": (0, 1e6), "town": ["Bern", "Chur"]}, missing=["income"])
ROWS = [[20, 100.0, "Bern"], [40, None, "Chur"], [60, 1e5, None], [80, 0.0, "Bern"]]


def test_rows_inside_the_schema_have_the_same_features():
    rows = [[200, -5, "Rom"], [None, "x", [1]]]
    features = TableFeatures(SCHEMA).fit(ROWS)
    inside = SchemaRows(SCHEMA).fit(rows).transform(rows)
    assert np.array_equal(features.transform(inside), features.transform(rows))
    frame = SchemaRows(SCHEMA).transform(pd.DataFrame(ROWS, columns=SCHEMA.names))
    assert isinstance(frame, pd.DataFrame)
    assert frame["town"].tolist() == ["Bern", "Chur", "other", "Bern"]


def test_numbers_in_the_middle_of_their_bins():
    """As rows that are drawn from counts of the bins are: the same codes, the same features."""
    rows = [[200, -5, "Rom"], [None, "x", [1]], [40.2, 12345.6, "Chur"]]
    step = SchemaRows(SCHEMA, 20)
    inside = step.fit(rows).transform(rows)
    codes = SCHEMA.encode(rows, 20)
    assert np.array_equal(SCHEMA.encode(inside, 20), codes)
    assert repr(inside.tolist()) == repr(SCHEMA.decode(codes, None, 20).tolist())
    assert clone(step).n_bins == 20
    assert SchemaRows(SCHEMA).transform(rows)[2, 1] == 12345.6 != inside[2, 1]
