"""Bounds that nobody knows: learned at a price of their own, or inside a fit."""

import datetime
import io
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matrices import some
from sklearn.base import clone

from skdistill import (
    PrivacyLedger,
    PrivateClassifier,
    PrivateRegressor,
    Schema,
    learn_bounds,
    load,
    save,
)
from skdistill._diffprivlib import load as diffprivlib
from skdistill.accounting import PrivacyLoss
from skdistill.private_table import bounds
from skdistill.testing import no_noise, seeded_noise
from skdistill.transfer import MarginalSampler

pytestmark = [
    pytest.mark.filterwarnings("ignore:The model will be mostly noise"),
    pytest.mark.usefixtures("few_synthetic_rows"),
]

SCHEMA = Schema(
    {"age": int, "income": float, "born": datetime.date, "town": ["Bern", "Chur"], "x": (0, 1)},
    missing=["income"],
)


def people(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 91, n)
    return pd.DataFrame(
        {
            "age": age,
            "income": np.where(rng.random(n) < 0.2, np.nan, rng.lognormal(10, 1, n)),
            "born": np.datetime64("2020-01-01") - 365 * age.astype("timedelta64[D]"),
            "town": rng.choice(["Bern", "Chur"], n),
            "x": rng.random(n),
        }
    )


def target(X, seed=1):
    return (X["age"] + np.random.default_rng(seed).normal(0, 10, len(X)) > 50).astype(int)


def cover(schema, X, least=0.98):
    """Whether nearly all cells of each column of numbers are within their bounds, not far off."""
    report = schema.report(X)
    numbers = [c for c in report.columns if c.name in ("age", "income", "born")]
    return all(c.fits + c.missing >= least * len(X) for c in numbers)


# A price of its own.


def test_bounds_are_learned_at_the_stated_price():
    X = people()
    schema = learn_bounds(SCHEMA, X, epsilon=2.0, delta=1e-5)
    assert schema.unbounded == []
    assert cover(schema, X)
    assert schema.columns[3:] == SCHEMA.columns[3:]
    assert schema.columns[0].integer
    assert schema.columns[1].missing
    statement = schema.privacy
    assert (statement.epsilon, statement.delta, statement.private) == (2.0, 1e-5, True)
    assert statement.mu == PrivacyLoss.gaussian(2.0, 1e-5).mu
    assert statement.certificate["bound"] == (
        "one record moves two cells of each of at most 6 histograms by one"
    )
    assert "replace one record" in str(statement)
    pure = learn_bounds(SCHEMA, X, epsilon=3.0, delta=0).privacy
    assert (pure.mechanism, pure.delta, pure.mu) == ("laplace", 0.0, None)
    grouped = learn_bounds(SCHEMA, X, groups=np.arange(4000) // 2, epsilon=3.0)
    assert "replace one group" in grouped.privacy.neighbours
    with no_noise():
        exact = learn_bounds(SCHEMA, X, epsilon=2.0)
    assert not exact.privacy.private
    assert 0 <= exact.columns[0].low <= 18
    assert 90 <= exact.columns[0].high < 1000  # with noise, one in 300 has a wider cell


def test_the_statement_is_kept_and_does_not_count_in_a_comparison():
    schema = learn_bounds(SCHEMA, people(), epsilon=2.0)
    plain = Schema(schema.columns)
    assert schema == plain
    assert hash(schema) == hash(plain)
    for again in (
        Schema.from_json(schema.to_json()),
        pickle.loads(pickle.dumps(schema)),
        clone(PrivateClassifier(schema=schema)).schema,
    ):
        assert again == schema
        assert again.privacy == schema.privacy
    assert "privacy" not in plain.to_json()


def test_a_fit_says_that_its_bounds_are_counted_elsewhere():
    X = people(1000)
    schema = learn_bounds(SCHEMA, X, epsilon=5.0)
    model = PrivateClassifier(schema=schema, classes=[0, 1], random_state=0).fit(X, target(X))
    (said,) = model.privacy_.assumes
    assert "learned from private records at ε=5 and δ=1e-06, are counted by nobody" in said
    assert "bounds" not in model.costs_


def test_it_is_charged_once_and_before_anything_is_counted(monkeypatch, tmp_path):
    order = []
    honest, spend = bounds.measure_domain, bounds.charge
    monkeypatch.setattr(
        bounds, "measure_domain", lambda *a, **k: order.append("count") or honest(*a, **k)
    )
    monkeypatch.setattr(bounds, "charge", lambda *a: order.append("charge") or spend(*a))
    ledger = PrivacyLedger.create(tmp_path / "ledger.db", epsilon=1.0, delta=1e-5)
    learn_bounds(SCHEMA, people(), epsilon=0.8, accountant=ledger)
    assert order == ["charge", "count"]
    with pytest.raises(diffprivlib("utils").BudgetError):
        learn_bounds(SCHEMA, people(), epsilon=0.8, accountant=ledger)
    assert order == ["charge", "count", "charge"]


@pytest.mark.parametrize(
    ("schema", "settings", "error", "message"),
    [
        (Schema({"a": (0, 1)}), {}, ValueError, "there is nothing to learn"),
        (Schema({"b": float}), {}, ValueError, "are not those of the schema"),
        (Schema({"a": float}), {"epsilon": -1}, ValueError, "epsilon"),
        (Schema({"a": float}), {"accountant": "x"}, TypeError, "cannot be charged"),
        (Schema({"a": float}), {"groups": [1]}, ValueError, "inconsistent"),
        ("private", {}, TypeError, r'Schema\(\{"age": float, "town": str\}\)'),
    ],
)
def test_what_cannot_be_fails_before_the_charge(monkeypatch, schema, settings, error, message):
    monkeypatch.setattr(bounds, "charge", lambda *_: pytest.fail("charged"))
    with pytest.raises(error, match=message):
        learn_bounds(schema, pd.DataFrame({"a": [1.0, 2.0]}), **{"epsilon": 1.0, **settings})


def test_every_container_has_the_same_bounds():
    X = people(500)
    frames = [X, X.convert_dtypes(), pl.DataFrame(X.to_dict("list")), X.astype(object).to_numpy()]
    found = []
    for frame in frames:
        with seeded_noise(0):
            found.append(learn_bounds(SCHEMA, frame, epsilon=8.0))
    assert found[0] == found[1] == found[2] == found[3]


def test_all_columns_of_an_array():
    X = np.random.default_rng(0).normal(0, 30, (3000, 2))
    schema = learn_bounds(float, X, epsilon=2.0)
    assert schema.names == ["x0", "x1"]
    assert all(c.low < -50 and c.high > 50 for c in schema.columns)


# Inside a fit.


def test_a_fit_learns_its_bounds_for_a_part_of_its_price():
    X = people()
    y = target(X)
    model = PrivateClassifier(schema=SCHEMA, classes=[0, 1], epsilon=4.0, random_state=0)
    model.preview()
    model.fit(X, y)
    assert model.score(X, y) > 0.8
    assert cover(model.schema_, X)
    assert model.schema is SCHEMA
    assert SCHEMA.unbounded == ["age", "income", "born"]
    assert clone(model).schema == SCHEMA
    spent = sum(cost.mu**2 for cost in model.costs_.values())
    assert spent == pytest.approx(model.privacy_.mu**2)
    assert model.costs_["bounds"].mu ** 2 == pytest.approx(0.05 * spent)
    assert "bounds 5.0%" in model.privacy_.mechanism
    assert "at most 6 histograms" in model.privacy_.certificate["bound"]
    assert model.privacy_.assumes == ("the schema was not read off the private table",)
    assert model.schema_.privacy == model.privacy_
    assert cover(model.schema_, model.sample(200, 0), 1.0)


@pytest.mark.filterwarnings("ignore:The bounds of")
def test_a_ledger_is_charged_once(tmp_path):
    X = people(500)
    ledger = PrivacyLedger.create(tmp_path / "ledger.db", epsilon=5.0, delta=1e-5)
    model = PrivateClassifier(
        schema=SCHEMA, classes=[0, 1], epsilon=4.0, accountant=ledger, random_state=0
    )
    model.fit(X, target(X))
    with pytest.raises(diffprivlib("utils").BudgetError):
        clone(model).fit(X, target(X))


def test_a_regression_and_public_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(100, 5, (5000, 3))
    y = X[:, 0] + rng.normal(0, 1, 5000)
    model = PrivateRegressor(schema=float, output_range=(50, 150), epsilon=4.0, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8
    public = rng.normal(100, 5, (500, 3))
    assert clone(model).fit(X, y, X_public=public).score(X, y) > 0.8


@pytest.mark.filterwarnings("ignore:The bounds of")
@pytest.mark.parametrize("learned", [False, True], ids=["in the fit", "before"])
def test_published_with_its_bounds(tmp_path, learned):
    pytest.importorskip("skops")
    X = people(1000)
    schema = learn_bounds(SCHEMA, X, epsilon=4.0) if learned else SCHEMA
    model = PrivateClassifier(schema=schema, classes=[0, 1], epsilon=4.0, random_state=0)
    model.fit(X, target(X))
    digest = save(model, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", digest=digest)
    assert (again.predict(X) == model.predict(X)).all()
    pickled = pickle.loads(pickle.dumps(model))
    assert pickled.schema_ == model.schema_
    assert (pickled.predict(X) == model.predict(X)).all()


def test_synthetic_rows_with_private_bounds():
    X = people()
    sampler = MarginalSampler(SCHEMA, epsilon=4.0, random_state=0).fit(X)
    assert cover(sampler.schema_, X)
    assert sampler.schema_.privacy == sampler.privacy_
    assert "at most 6 histograms" in sampler.privacy_.certificate["bound"]
    rows = sampler.sample(2000)
    assert rows["age"].median() == pytest.approx(X["age"].median(), abs=6)
    assert rows["income"].isna().mean() == pytest.approx(0.2, abs=0.05)


# Tables that could go wrong.


TABLES = {
    "missing": lambda rng, n: np.full(n, np.nan),
    "constant": lambda rng, n: np.full(n, 17.5),
    "zero": lambda rng, n: np.zeros(n),
    "huge": lambda rng, n: np.full(n, 1e300),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.5, np.inf, -np.inf),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.95, 0, rng.pareto(1, n)),
    "negative": lambda rng, n: -rng.lognormal(0, 2, n),
    "text": lambda rng, n: np.full(n, "x", dtype=object),
}


@pytest.mark.filterwarnings("ignore:The bounds of")
@pytest.mark.filterwarnings("ignore:Column .* holds texts only")
@pytest.mark.parametrize("n", some([1, 50, 2000], 2))
@pytest.mark.parametrize("name", TABLES)
def test_no_table_makes_a_fit_fail(name, n):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({name: TABLES[name](rng, n), "z": rng.normal(0, 1, n)})
    for epsilon in (0.1, 100.0):
        schema = learn_bounds(Schema({name: float, "z": float}), X, epsilon=epsilon)
        assert all(c.low <= c.high for c in schema.columns)
    model = PrivateClassifier(schema=Schema({name: float, "z": float}), classes=[0, 1])
    assert model.fit(X, rng.integers(0, 2, n)).predict(X).shape == (n,)


@pytest.mark.filterwarnings("ignore:The bounds of")
def test_a_canary_is_nowhere():
    """An extreme value, and a text in a column of numbers, in one record: without noise."""
    X = people(3000).astype(object)
    X.iloc[7] = [1e300, 8.7654321e9, datetime.date(1801, 2, 3), "canary-8f3a1c", "canary-8f3a1c"]
    X.iloc[8, 0] = "canary-8f3a1c"
    X.iloc[9, 1] = -8.7654321e9
    y = target(people(3000))
    with no_noise():
        model = PrivateClassifier(schema=SCHEMA, classes=[0, 1], random_state=0).fit(X, y)
        schema = learn_bounds(SCHEMA, X, epsilon=1.0)
    pickled = io.BytesIO()
    pickle.dump((model, schema), pickled)
    shown = [str(vars(model)), repr(model), schema.to_json(), schema._repr_html_()]
    shown += [
        model.sample(500, 0).to_csv(),
        str(schema.columns),
        pickled.getvalue().decode("latin1"),
    ]
    for found in (schema, model.schema_):
        assert found.columns[0].high < 1e4
        assert -1 <= found.columns[1].low < found.columns[1].high < 1e8
        assert found.columns[2].as_dates(np.array([found.columns[2].low]))[0].astype(int) > -36_524
    for text in ("8765432", "canary", "1801-02-03", "e+300"):
        assert not any(text in each for each in shown), text
