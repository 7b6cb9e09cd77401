"""Texts with a private domain: hashed to public cells, each by itself, the same everywhere."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import forked

from skdistill import PrivateClassifier, Schema
from skdistill.testing import no_noise

SCHEMA = Schema({"city": str, "x": (0, 1)}, missing=["city"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def test_the_schema_holds_no_text_of_the_table():
    column = SCHEMA.columns[0]
    assert column.in_words() == "texts, hashed to 256 cells"
    assert column.n_codes(300) == 257
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA


@given(st.lists(TEXT, min_size=1, max_size=10), st.integers(0, 9), TEXT)
def test_one_text_changes_no_other(texts, place, strange):
    place %= len(texts)
    before = SCHEMA.columns[0].read(texts)
    after = SCHEMA.columns[0].read([*texts[:place], strange, *texts[place + 1 :]])
    kept = np.arange(len(texts)) != place
    assert (before[kept] == after[kept]).all()
    assert ((before >= 0) & (before < 256)).all()


def test_the_same_cells_in_every_container_and_process():
    cities = ["Bern", "Zürich", "", "cell 7", None, "Bern"]
    frames = [
        pd.DataFrame({"city": cities, "x": 0.5}),
        pl.DataFrame({"city": cities, "x": [0.5] * 6}),
        [[city, 0.5] for city in cities],
        np.array([[city, 0.5] for city in cities], dtype=object),
    ]
    codes = [SCHEMA.encode(X)[:, 0].tolist() for X in frames]
    assert codes[0] == codes[1] == codes[2] == codes[3]
    assert codes[0][3] == 7
    assert codes[0][4] == 256
    assert codes[0][0] == codes[0][5]
    assert len({codes[0][0], codes[0][1], codes[0][2]}) == 3
    clean = SCHEMA.sanitize(frames[0])
    assert set(clean["city"].dropna()) <= {f"cell {k}" for k in range(256)}
    assert SCHEMA.encode(clean)[:, 0].tolist() == codes[0]
    program = "from skdistill import Schema; print(Schema({'c': str}).encode([['Bern']])[0, 0])"
    assert int(forked(program)) == codes[0][0]


@pytest.mark.parametrize("cell", [7, 7.5, True, np.inf, b"x", pd.Timestamp("2020-01-01")], ids=str)
def test_cells_that_are_no_text_have_a_cell_too(cell):
    assert 0 <= SCHEMA.columns[0].read([cell])[0] < 256


@pytest.mark.usefixtures("few_synthetic_rows")
def test_a_canary_never_shows():
    rng = np.random.default_rng(0)
    city = np.array(["Bern", "Chur", "Genf"])[rng.integers(0, 3, 3000)].astype(object)
    y = (city == "Bern").astype(int)
    city[3] = "canary-8f3a1c"
    X = pd.DataFrame({"city": city, "x": rng.random(3000)})
    model = PrivateClassifier(schema=SCHEMA, classes=[0, 1], epsilon=8.0, random_state=0)
    with no_noise():
        model.fit(X, y)
    assert model.score(X, y) > 0.99
    shown = str(vars(model)) + model.sample(500, 0).to_csv() + repr(model) + SCHEMA.to_json()
    assert "canary" not in shown
    assert "Bern" not in shown


@pytest.mark.parametrize("strange", ["n/k", -0.0, None, True, np.datetime64("2020-01-01")])
@pytest.mark.parametrize("container", [list, lambda c: np.array(c, dtype=object), pd.Series])
def test_one_cell_changes_no_number(container, strange):
    """A column of numbers alone has another dtype than one with a text; and 0.0 is -0.0."""
    cells = [0.0, 1.0, 2.5, 0.0, 7.0]
    column = SCHEMA.columns[0]
    before = column.read(container([*cells, 0.0]))
    after = column.read(container([*cells, strange]))
    first = column.read(container([strange, *cells]))
    assert before[:5].tolist() == after[:5].tolist() == first[1:].tolist()
