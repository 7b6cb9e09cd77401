"""Synthetic rows are post-processing of noisy marginals; the sampler charges before it counts."""

import math
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from skdistill._diffprivlib import load
from skdistill.accounting import PrivacyLoss
from skdistill.release.marginals import NoisyMarginals
from skdistill.testing import no_noise
from skdistill.transfer import MarginalSampler, Schema, marginals, synthetic_rows
from skdistill.transfer.marginals import consistent_pair, synthetic_codes

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
            MarginalSampler((-100, 100), n_bins=4), expected_failed_checks=REFUSED, mark="xfail"
        )
    ),
)
def test_estimator_checks(estimator, check):
    check(estimator)


# Rows.


def noisy_marginals(one_way, scale=0.0, total=1000, pairs=(), two_way=(), two_scale=0.0):
    as_arrays = [tuple(np.array(x, dtype=float) for x in xs) for xs in (one_way, two_way)]
    return NoisyMarginals(total, as_arrays[0], scale, tuple(pairs), as_arrays[1], two_scale)


TABLES = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def fitted_pair(rng, k, m, noise):
    """Return a noisy table, the shares of its columns, and the joint shares made of them."""
    table = rng.dirichlet(np.full(k * m, 0.3)).reshape(k, m) * 1000
    first, second = (rng.dirichlet(np.ones(size)) for size in (k, m))
    table += rng.normal(0, noise, (k, m))
    noisy = noisy_marginals([first, second], two_scale=noise)
    return table, first, second, consistent_pair(table, first, second, noisy)


@settings(deadline=None)
@given(TABLES, st.integers(1, 6), st.integers(1, 6), st.floats(0, 50))
def test_a_pair_has_the_marginals_of_its_columns(rng, k, m, noise):
    """Up to what 50 rounds of fitting have not reached where cells are almost empty.

    A round takes D(first || rows) off D(product || table) (Csiszar 1975), which is ln(10^6 s) at
    most at the start: the table sums to s and is nowhere below 10^-6 of the product. By the data
    processing inequality D(first || rows) never rises, so that the last is below 1/50 of that;
    Pinsker's inequality turns it into a distance.
    """
    table, first, second, joint = fitted_pair(rng, k, m, noise)
    assert (joint >= 0).all()
    assert joint.sum(axis=0) == pytest.approx(second, abs=1e-12)
    start = math.log(1e6 * (1 + table.clip(0).sum() / 1000))
    assert np.abs(joint.sum(axis=1) - first).sum() <= math.sqrt(2 * start / 50)


def test_most_pairs_are_far_closer_to_the_marginals_than_what_is_sure():
    """These tables are the same in every run; of others, one in a million is off by 0.05."""
    for seed in range(300):
        _, first, _, joint = fitted_pair(np.random.default_rng(seed), 4, 5, seed % 50)
        assert np.abs(joint.sum(axis=1) - first).max() < 0.05


def test_a_pair_of_noise_is_independent():
    """No cell is off by a standard error: soft thresholding leaves the product."""
    first, second = np.array([0.3, 0.7]), np.array([0.5, 0.5])
    noisy = noisy_marginals([first, second], two_scale=10.0)
    table = np.outer(first, second) * 1000 + np.array([[9, -9], [-9, 9]])
    assert np.allclose(consistent_pair(table, first, second, noisy), np.outer(first, second))


def test_dependence_is_kept():
    table = np.array([[480.0, 20], [20, 480]])
    noisy = noisy_marginals([[500, 500]] * 2, pairs=[(0, 1)], two_way=[table], two_scale=5.0)
    codes = synthetic_codes(noisy, 10_000, np.random.default_rng(0))
    equal = (codes[:, 0] == codes[:, 1]).mean()
    assert equal == pytest.approx(0.95, abs=0.005)  # 0.96 less two thresholds, exactly allotted


@pytest.mark.parametrize("pairs", [[(0, 1), (1, 2)], [(1, 2), (0, 2)], [(0, 2)], []])
def test_shares_are_met_to_a_row(pairs):
    """In a tree of any shape; a child, to a row for each code of its parent."""
    one_way = [[600, 300, 100], [0, 1000], [250, 250, 500]]
    two_way = [np.outer(one_way[i], one_way[j]) / 1000 for i, j in pairs]
    noisy = noisy_marginals(one_way, pairs=pairs, two_way=two_way)
    codes = synthetic_codes(noisy, 777, np.random.default_rng(0))
    for j, counts in enumerate(one_way):
        found = np.bincount(codes[:, j], minlength=len(counts))
        assert np.abs(found - np.array(counts) * 0.777).max() <= 3
    assert (codes[:, 1] == 1).all()  # a share of zero has no row


@pytest.mark.parametrize("counts", [[0.0, 0, 0], [-50.0, -7, -60], [1e9, -1e9, 0], [5.0, 5, 5]])
@pytest.mark.parametrize("n_rows", [1, 100])
def test_any_noise_gives_rows(counts, n_rows):
    noisy = noisy_marginals([counts, counts], total=10, pairs=[(0, 1)], two_way=[np.zeros((3, 3))])
    codes = synthetic_codes(noisy, n_rows, np.random.default_rng(0))
    assert codes.shape == (n_rows, 2)
    assert set(np.unique(codes)) <= {0, 1, 2}


def test_no_records():
    noisy = noisy_marginals([[0.0, 0.0]], total=0)
    assert len(synthetic_codes(noisy, 5, np.random.default_rng(0))) == 5


def test_rows_have_the_dtypes_of_the_schema():
    noisy = noisy_marginals([[1] * 24, [1, 1, 1], [1] * 25])
    rows = synthetic_rows(noisy, SCHEMA, 50, np.random.default_rng(0), kind="pandas")
    assert rows.dtypes.astype(str).tolist() == ["int64", "category", "float64"]
    assert set(rows["job"]) <= {"clerk", "nurse", "other"}


# The sampler.


def test_rows_are_like_the_private_ones():
    """At ε = 8 every share is within 0.02 (noise: sd 1.5 of 2,000 records)."""
    X = people()
    rows = MarginalSampler(SCHEMA, epsilon=8.0).fit(X).sample(5000, random_state=0)
    assert type(rows) is pd.DataFrame
    assert (rows["job"] == "clerk").mean() == pytest.approx((X["job"] == "clerk").mean(), abs=0.02)
    assert rows["x"].isna().mean() == pytest.approx(X["x"].isna().mean(), abs=0.02)
    old = rows["age"] > 60
    assert (rows["job"][old] == "clerk").mean() > 0.9 > (rows["job"][~old] == "clerk").mean() + 0.4


def test_degree():
    X = people()
    pairs = {
        degree: len(MarginalSampler(SCHEMA, epsilon=8.0, degree=degree).fit(X).marginals_.pairs)
        for degree in (1, 2, "auto")
    }
    assert pairs[1] == 0
    assert pairs[2] == pairs["auto"] > 0
    tiny = MarginalSampler(SCHEMA, epsilon=0.1).fit(X.head(30))
    assert tiny.marginals_.pairs == ()


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
    assert grouped.marginals_.total == 286
    assert not MarginalSampler(SCHEMA, epsilon=float("inf")).fit(people()).privacy_.private
    with no_noise():
        assert not MarginalSampler(SCHEMA).fit(people()).privacy_.private


def test_it_charges_before_it_counts(monkeypatch):
    accountant = load("accountant").BudgetAccountant(epsilon=1.0, delta=1e-3)
    order = []
    honest, spend = marginals.measure_marginals, accountant.spend
    monkeypatch.setattr(
        marginals, "measure_marginals", lambda *a, **k: order.append("count") or honest(*a, **k)
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
    assert not hasattr(twin, "marginals_")


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
        ({"degree": 3}, "degree=3"),
        ({"degree": True}, "degree=True"),
        ({"epsilon": -1}, "epsilon"),
        ({"delta": 2}, "delta"),
        ({"n_bins": 0}, "n_bins"),
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
        assert [counts.max() for counts in sampler.marginals_.one_way] == [
            max(short, 20 - short)
        ] * 3
