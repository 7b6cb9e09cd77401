"""MarginalSampler: rows like the private ones; it charges before it counts; no record shows."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from skdistill import PrivacyLedger, PrivateClassifier, learn_bounds
from skdistill._diffprivlib import load
from skdistill.accounting import PrivacyLoss
from skdistill.testing import no_noise
from skdistill.transfer import MarginalSampler, Schema, SyntheticTable, marginals

SCHEMA = Schema(
    {"age": (17, 90), "job": ["clerk", "nurse"], "x": (-1.0, 1.0)}, integer=["age"], missing=["x"]
)


def people(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.integers(17, 91, n)
    return pd.DataFrame(
        {
            "age": age,
            "job": np.where(age + rng.normal(0, 5, n) > 50, "clerk", "nurse"),
            "x": np.where(rng.random(n) < 0.2, np.nan, rng.uniform(-1, 1, n)),
        }
    )


REFUSED = {"check_complex_data": "no cell raises: a complex number is missing"}


@pytest.mark.parametrize(
    ("estimator", "check"),
    list(
        estimator_checks_generator(
            MarginalSampler((-100, 100)), expected_failed_checks=REFUSED, mark="xfail"
        )
    ),
)
def test_estimator_checks(estimator, check):
    check(estimator)


# The sampler.


def test_rows_are_like_the_private_ones():
    """At ε = 8 every share is within 0.02 (noise: sd 1.5 of 2,000 records)."""
    X = people()
    rows = MarginalSampler(SCHEMA, epsilon=8.0).fit(X).sample(5000, random_state=0)
    assert type(rows) is pd.DataFrame
    assert (rows["job"] == "clerk").mean() == pytest.approx((X["job"] == "clerk").mean(), abs=0.02)
    assert rows["x"].isna().mean() == pytest.approx(X["x"].isna().mean(), abs=0.02)
    old = rows["age"] > 60
    # The copula's: 0.896 and 0.320, with a standard deviation of 0.005 each. Truly 0.99 and 0.25.
    assert (rows["job"][old] == "clerk").mean() > 0.85
    assert (rows["job"][~old] == "clerk").mean() < 0.37


def test_what_is_released():
    """One law of rows; the private table is nowhere in the estimator."""
    sampler = MarginalSampler(SCHEMA, epsilon=8.0).fit(people())
    table = sampler.table_
    assert isinstance(table, SyntheticTable)
    assert [len(shares) for shares in table.shares] == list(SCHEMA.n_codes())
    assert table.correlation.shape == (3, 3)
    assert abs(table.correlation[0, 1]) > 0.5 > 0.2 > abs(table.correlation[0, 2])
    assert len(pickle.dumps(sampler)) < 30_000  # 2,000 rows of three numbers have 48,000


def test_one_column_has_no_moment():
    sampler = MarginalSampler((0, 1), epsilon=8.0).fit(np.full((500, 1), 0.25))
    assert sampler.table_.correlation.tolist() == [[1.0]]
    assert np.median(sampler.sample(51, 0)) == pytest.approx(0.25, abs=0.02)


CONTAINERS = {
    "pandas": lambda X: X,
    "polars": lambda X: pl.DataFrame(X.to_dict("list")),
    "array": lambda X: X.to_numpy(),
    "list": lambda X: X.to_numpy().tolist(),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_containers(make):
    X = make(people(300))
    sampler = MarginalSampler(SCHEMA, random_state=0).fit(X)
    rows = sampler.sample(20)
    assert Schema.kind_of(rows) == Schema.kind_of(X)
    assert np.array_equal(SCHEMA.encode(rows), SCHEMA.encode(sampler.sample(20)))
    assert not np.array_equal(SCHEMA.encode(rows), SCHEMA.encode(sampler.sample(20, 1)))


def test_statement():
    statement = MarginalSampler(SCHEMA, epsilon=1.5, delta=1e-5).fit(people()).privacy_
    assert (statement.epsilon, statement.delta, statement.private) == (1.5, 1e-5, True)
    assert statement.mu == PrivacyLoss.gaussian(1.5, 1e-5).mu
    assert "replace one record" in statement.neighbours
    assert any("schema" in text for text in statement.assumes)
    assert not any("transfer set" in text for text in statement.not_protected)
    pure = MarginalSampler(SCHEMA, epsilon=1.5, delta=0).fit(people()).privacy_
    assert (pure.mechanism, pure.delta, pure.mu) == ("laplace", 0.0, None)
    grouped = MarginalSampler(SCHEMA).fit(people(), groups=np.arange(2000) // 7)
    assert "replace one group" in grouped.privacy_.neighbours
    assert "one group moves" in grouped.privacy_.certificate["bound"]
    assert not MarginalSampler(SCHEMA, epsilon=float("inf")).fit(people()).privacy_.private
    with no_noise():
        assert not MarginalSampler(SCHEMA).fit(people()).privacy_.private


def test_groups_are_charged_as_groups():
    """A ledger of records refuses: a record that is replaced may touch two groups."""
    groups = np.arange(2000) // 7
    records = PrivacyLedger.create(":memory:", 10, 1e-3)
    with pytest.raises(ValueError, match="group"):
        MarginalSampler(SCHEMA, accountant=records).fit(people(), groups=groups)
    assert len(records) == 0
    ledger = PrivacyLedger.create(":memory:", 10, 1e-3, unit="group")
    said = MarginalSampler(SCHEMA, accountant=ledger).fit(people(), groups=groups).privacy_
    assert len(ledger) == 1
    assert (said.accounted, said.cap) == (True, (10, 1e-3))


def test_bounds_read_without_noise_make_no_private_release():
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=500)})
    with no_noise():
        schema = learn_bounds(Schema({"x": float}), table, epsilon=20.0)
    said = MarginalSampler(schema).fit(table).privacy_
    assert not said.private
    assert any("without private noise" in text for text in said.assumes)
    model = PrivateClassifier(schema=schema, classes=[0, 1], epsilon=50.0)
    assert not model.fit(table, np.arange(500) % 2).privacy_.private


def test_it_charges_before_it_counts(monkeypatch):
    accountant = load("accountant").BudgetAccountant(epsilon=1.0, delta=1e-3)
    order = []
    honest, spend = marginals.measure_table, accountant.spend
    monkeypatch.setattr(
        marginals, "measure_table", lambda *a, **k: order.append("count") or honest(*a, **k)
    )
    monkeypatch.setattr(accountant, "spend", lambda *a: order.append("charge") or spend(*a))
    sampler = MarginalSampler(SCHEMA, epsilon=0.8, accountant=accountant)
    twin = clone(sampler)
    assert twin.accountant is accountant
    sampler.fit(people(100)).sample(10)
    assert order == ["charge", "count"]
    with pytest.raises(load("utils").BudgetError):
        twin.fit(people(100))
    assert order == ["charge", "count", "charge"]
    assert not hasattr(twin, "table_")


def test_pickles():
    accountant = load("accountant").BudgetAccountant()
    sampler = MarginalSampler(SCHEMA, accountant=accountant)
    with pytest.raises(RuntimeError, match="another process"):
        pickle.loads(pickle.dumps(sampler)).fit(people(100))
    fitted = pickle.loads(pickle.dumps(sampler.fit(people(100))))
    assert fitted.accountant is None
    assert fitted.sample(5).shape == (5, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -1}, "epsilon"),
        ({"delta": 2}, "delta"),
        ({"epsilon": float("inf"), "accountant": load("accountant").BudgetAccountant()}, "no cost"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        MarginalSampler(SCHEMA, **settings).fit(people(50))


def test_other_lengths_and_accountants():
    with pytest.raises(ValueError, match="inconsistent"):
        MarginalSampler(SCHEMA).fit(people(50), groups=[1, 2])
    with pytest.raises(TypeError, match="cannot be charged"):
        MarginalSampler(SCHEMA, accountant="ledger").fit(people(50))
    with pytest.raises(TypeError, match="never read off private data"):
        MarginalSampler(None).fit(people(50))


# A record that is like no other.

CANARY = ["CANARY", 77_777.5, -77_777.5, [77_777.5], object(), None, b"CANARY", "77777.5"]


@pytest.mark.parametrize("canary", CANARY, ids=lambda cell: type(cell).__name__)
def test_a_canary_never_shows(canary):
    """In any column: no error, no warning, and no trace in rows, texts, pickles."""
    for name in SCHEMA.names:
        X = people(200).astype(object)
        X.at[3, name] = canary
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sampler = MarginalSampler(SCHEMA, epsilon=1e6, delta=1e-6).fit(X)
        rows = sampler.sample(500, random_state=0)
        shown = [repr(sampler), str(sampler.privacy_), rows.to_csv(), str(vars(sampler))]
        assert not any("CANARY" in text or "77777" in text for text in shown)
        assert b"CANARY" not in pickle.dumps(sampler)
        inside = rows["x"].dropna()
        assert rows["age"].between(17, 90).all()
        assert inside.between(-1, 1).all()


@pytest.mark.filterwarnings("ignore:Column .* holds texts only")
@pytest.mark.parametrize("shape", [(50, 500), (1, 1), (50, 3)])
@pytest.mark.parametrize("fill", [None, 0.5, "text"])
def test_odd_tables(shape, fill):
    """All missing, constant, or text in columns of numbers."""
    X = np.full(shape, fill, dtype=object)
    assert MarginalSampler((0, 1)).fit(X).sample(30, 0).shape == (30, shape[1])


def test_one_and_many_categories():
    schema = Schema({"one": ["u"], "many": [str(v) for v in range(500)]})
    X = pd.DataFrame({"one": ["u"] * 50, "many": [str(v) for v in range(50)]})
    rows = MarginalSampler(schema).fit(X).sample(100, 0)
    assert set(rows["many"]) <= set(schema.columns[1].values)


def test_the_schema_knows_the_width_of_rows_in_a_list():
    """Half of the rows are short: one more of them changes no other row, and raises nothing."""
    schema = Schema(dict.fromkeys("abc", (-1, 1)), missing=True)
    rows = [[0.7] * 3] * 10 + [[0.7] * 2] * 10
    for table in (rows, [[0.7] * 2, *rows[1:]]):
        sampler = MarginalSampler(schema, epsilon=float("inf")).fit(table)
        short = sum(len(row) == 2 for row in table)
        assert sampler.n_features_in_ == 3
        for shares in sampler.table_.shares:
            assert shares[-1] == pytest.approx(short / 20)
            assert np.sort(shares)[-2:].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("n_rows", [-1, 2.5, "many", None])
def test_numbers_of_rows_that_cannot_be(n_rows):
    sampler = MarginalSampler(SCHEMA).fit(people(100))
    assert len(sampler.sample(0)) == 0
    with pytest.raises((TypeError, ValueError), match="n_rows="):
        sampler.sample(n_rows)
