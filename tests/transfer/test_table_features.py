"""One feature map for tables: public rows alone, row by row, bounded, alike for any container."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from bounded_means import BoundedMeans
from hypothesis import given
from hypothesis import strategies as st
from shared_data import needs_data, shared_data
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdistill import Schema, TableFeatures
from skdistill.certificates import ParameterBall, certify
from skdistill.transfer.table_features import NumberMap, _products, smooth_metric

SCHEMA = Schema(
    {
        "age": (18, 90),
        "income": (0, 1e6),
        "hours": (0, 99),
        "town": ["Bern", "Chur", "rare", "missing"],
        "owner": [False, True],
    },
    integer=["hours"],
    missing=["income", "town"],
)
RNG = np.random.default_rng(0)
M = 600
PUBLIC = pd.DataFrame(
    {
        "age": RNG.uniform(18, 90, M),
        "income": np.where(RNG.random(M) < 0.1, np.nan, RNG.lognormal(9, 2, M)),
        "hours": np.where(RNG.random(M) < 0.5, 40, RNG.integers(0, 99, M)),
        "town": RNG.choice(np.array(["Bern", "Chur", "missing", None], dtype=object), M),
        "owner": RNG.random(M) < 0.3,
    }
)
ROWS = PUBLIC.astype(object).where(PUBLIC.notna(), None).to_numpy().tolist()
STRANGE = [None, np.nan, np.inf, -1e308, 10**400, "x", "", object(), [1], 1j, b"a", True, pd.NA]
CELLS = st.one_of(
    st.sampled_from(STRANGE),
    st.floats(),
    st.integers(-100, 10**7),
    st.sampled_from(["Bern", "Chur", "rare", "Rom"]),
)
VARIANTS = [
    {},
    {"directions": False},
    {"pairs": None, "n_knots": 0, "directions": False},
]
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)


@parametrize_with_checks(
    [
        TableFeatures((-100, 100)),
        TableFeatures((-100, 100), pairs=None, directions=False),
    ],
    expected_failed_checks=lambda _: {
        "check_complex_data": "no cell raises: a complex number is read as missing"
    },
)
def test_scikit_learn(estimator, check):
    check(estimator)


# Row by row.


@each_variant
def test_a_row_is_the_same_alone_bit_for_bit(variant):
    features = TableFeatures(SCHEMA, **variant).fit(PUBLIC)
    whole = features.transform(PUBLIC)
    assert whole.dtype == np.float64
    for size in (1, 2, 3, 7, 64):
        parts = [features.transform(PUBLIC.iloc[i : i + size]) for i in range(0, 4 * size, size)]
        assert np.array_equal(np.vstack(parts), whole[: 4 * size])


def test_chunks_do_not_show(monkeypatch):
    features = TableFeatures(SCHEMA).fit(PUBLIC)
    whole = features.transform(PUBLIC)
    monkeypatch.setattr("skdistill.transfer.table_features._CHUNK", 17)
    assert np.array_equal(features.transform(PUBLIC), whole)


@given(
    row=st.lists(CELLS, min_size=5, max_size=5),
    where=st.integers(0, 5),
    variant=st.sampled_from(range(len(VARIANTS))),
)
def test_any_record_gives_a_bounded_row_and_touches_no_other(row, where, variant):
    features = FITTED[variant]
    usual = features.transform(ROWS[:6])
    rows = [list(r) for r in ROWS[:6]]
    rows[where] = row
    for table in (rows, object_array(rows)):
        Z = features.transform(table)
        assert np.isfinite(Z).all()
        assert np.linalg.norm(Z, axis=1).max() <= features.norm_bound_
        others = np.arange(6) != where
        assert np.array_equal(Z[others], usual[others])


FITTED = [TableFeatures(SCHEMA, **variant).fit(ROWS) for variant in VARIANTS]


def object_array(rows):
    table = np.empty((len(rows), 5), dtype=object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            table[i, j] = cell
    return table


@each_variant
def test_every_container_gives_the_same(variant):
    features = TableFeatures(SCHEMA, **variant).fit(PUBLIC)
    usual = features.transform(PUBLIC)
    tables = {
        "polars": pl.DataFrame(ROWS, schema=SCHEMA.names, orient="row", strict=False),
        "objects": PUBLIC.astype(object),
    }
    for name, table in tables.items():
        assert np.array_equal(features.transform(table), usual), name
        again = clone(features).fit(table).transform(table)
        assert np.array_equal(again, usual), name
    plain = TableFeatures(SCHEMA, **variant).fit(ROWS)
    for table in (ROWS, object_array(ROWS)):
        assert np.array_equal(plain.transform(table), usual)
    assert np.array_equal(pickle.loads(pickle.dumps(features)).transform(PUBLIC), usual)


def test_fitting_twice_gives_the_same_bits():
    first, second = (TableFeatures(SCHEMA).fit(PUBLIC) for _ in range(2))
    assert np.array_equal(first.transform(PUBLIC), second.transform(PUBLIC))


# As scikit-learn's.


@each_variant
def test_names_are_distinct_and_frames_come_out(variant):
    features = TableFeatures(SCHEMA, **variant).fit(PUBLIC)
    names = features.get_feature_names_out()
    assert len(set(names)) == len(names) == features.transform(PUBLIC[:1]).shape[1]
    for kind, frame in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        shown = clone(features).set_output(transform=kind).fit(PUBLIC).transform(PUBLIC)
        assert isinstance(shown, frame)
        assert list(shown.columns) == names.tolist()


def test_columns_with_the_names_of_features():
    frame = pd.DataFrame(
        {"a": [1.0, None] * 20, "a missing": ["rare", "missing"] * 20, "a rank": [*range(20)] * 2}
    )
    frame["a missing='rare'"] = 1.0
    schema = Schema.from_public(frame)
    features = TableFeatures(schema, directions=False).set_output(transform="polars")
    assert features.fit_transform(frame).shape[0] == 40
    rank = TableFeatures(schema, n_knots=0, directions=False).fit(frame)
    assert len(set(rank.get_feature_names_out())) == len(rank.get_feature_names_out())
    # A feature of column a is called as one of the column called "a='x' * b".
    odd = Schema({"a": (0, 1), "a knot 0 of 4 * a": (0, 1)})
    rows = np.random.default_rng(0).random((100, 2))
    names = TableFeatures(odd, directions=False).fit(rows).get_feature_names_out()
    assert len(set(names)) == len(names)


def test_frozen_in_front_of_a_model():
    y = (PUBLIC["hours"] > 40).to_numpy()
    model = make_pipeline(FrozenEstimator(TableFeatures(SCHEMA).fit(PUBLIC)), LogisticRegression())
    assert clone(model).fit(PUBLIC, y).score(PUBLIC, y) > 0.99


def test_a_frozen_map_keeps_the_certificate_of_a_teacher_and_a_fitted_one_does_not():
    y = (PUBLIC["hours"] > 40).to_numpy()
    features = TableFeatures(SCHEMA).fit(PUBLIC)
    teacher = BoundedMeans(classes=[False, True])
    frozen = make_pipeline(FrozenEstimator(features), clone(teacher)).fit(PUBLIC[:300], y[:300])
    assert isinstance(certify(frozen), ParameterBall)
    fitted = make_pipeline(clone(features), clone(teacher)).fit(PUBLIC[:300], y[:300])
    assert not isinstance(certify(fitted), ParameterBall)
    neighbour, flipped = PUBLIC[:300].copy(), y[:300].copy()
    neighbour.loc[7, "income"] = 1e300
    flipped[7] = ~flipped[7]
    other = clone(frozen).fit(neighbour, flipped)
    moved = np.linalg.norm(frozen[-1].weights_ - other[-1].weights_)
    assert 0 < moved <= certify(frozen).radius


# Accuracy.


@pytest.mark.slow
@needs_data("adult")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of older scikit-learn, by new SciPy
def test_adult_ceiling():
    """A linear model on all features, without privacy: AUC .920; .911 on ten knots a column."""
    names = "age workclass fnlwgt education education-num marital-status occupation relationship "
    names += "race sex capital-gain capital-loss hours-per-week native-country income"
    tables = [
        pd.read_csv(
            shared_data() / "adult" / name,
            names=names.split(),
            skipinitialspace=True,
            comment="|",
        ).dropna()
        for name in ("adult.data", "adult.test")
    ]
    y, y_test = (t.pop("income").str.contains(">50K").to_numpy() for t in tables)
    private, test = (t.drop(columns="fnlwgt").convert_dtypes() for t in tables)
    features = TableFeatures(Schema.from_public(test[:8000])).fit(test[:8000])
    model = LogisticRegression(max_iter=1000).fit(features.transform(private), y)
    scores = model.decision_function(features.transform(test[8000:]))
    assert roc_auc_score(y_test[8000:], scores) > 0.917


# The features.


def test_directions_come_in_the_order_of_their_public_variance():
    features = TableFeatures(SCHEMA).fit(PUBLIC)
    Z = features.transform(PUBLIC)
    assert np.allclose(Z.mean(axis=0), 0)
    covariance = Z.T @ Z / M
    assert np.allclose(covariance, np.diag(features.variances_), atol=1e-9)
    assert (np.diff(features.variances_) <= 0).all()
    few = TableFeatures(SCHEMA, n_components=7).fit(PUBLIC)
    assert np.allclose(few.transform(PUBLIC), Z[:, :7])


def test_the_first_direction_of_a_number_rises_with_it():
    x = np.linspace(0, 1, 500)[:, None]
    first = TableFeatures((0, 1)).fit(x).transform(x)[:, 0]
    assert abs(np.corrcoef(first, x[:, 0])[0, 1]) > 0.95


def test_only_public_rows_decide():
    """A map refitted on private rows would be another: it has to be frozen."""
    features = TableFeatures(SCHEMA).fit(PUBLIC)
    before = pickle.dumps(features)
    features.transform(PUBLIC[::-1])
    assert pickle.dumps(features) == before


def test_rare_unknown_and_missing_categories():
    schema = Schema({"c": [f"c{i}" for i in range(300)], "d": [0, 1]}, missing=["d"])
    rows = [["c0", 0]] * 500 + [["c1", 1]] * 488 + [["c1", None]] * 8
    rows += [["c2", 0]] * 3 + [["c3", 1]]
    features = TableFeatures(schema, directions=False).fit(rows)
    assert features.get_feature_names_out().tolist() == [
        *("c='c0'", "c='c1'", "c rare", "d=0", "d=1", "d missing", "d rare")
    ]
    shown = features.transform([["c1", None], ["c2", 7], ["?", "x"]])
    assert shown.tolist() == [[0, 1, 0, 0, 0, 1, 0]] + [[0, 0, 1, 0, 0, 1, 0]] * 2


def test_few_public_rows_tell_a_tail_from_the_common_value():
    """A column that is zero in most rows is no constant, though 100 rows are few."""
    x = np.r_[np.zeros(96), 10, 20, 30, 40][:, None]
    features = TableFeatures((0, 99), None, directions=False).fit(x)
    zero, small, large = features.transform([[0.0], [15.0], [40.0]])
    assert zero.argmax() != large.argmax()
    assert not np.array_equal(zero, small)


def test_numbers_become_their_rank_or_splines_that_add_up_to_one():
    x = np.r_[np.zeros(500), np.geomspace(1, 1e6, 500)][:, None]
    schema = Schema({"x": (0, 1e6)}, missing=True)
    rank = TableFeatures(schema, n_knots=0, directions=False).fit(x)
    Z = rank.transform(np.vstack([x, [[np.nan]]]))
    assert (np.diff(Z[:-1, 0]) >= 0).all()
    assert len(np.unique(Z[500:-1, 0])) > 400  # a heavy tail keeps its order
    assert Z[-1].tolist() == [0, 1]
    splines = TableFeatures(schema, directions=False, n_knots=8).fit(x)
    Z = splines.transform(np.vstack([x, [[np.nan]]]))
    assert np.allclose(Z.sum(axis=1), 1)
    assert Z.shape[1] <= 8 + 1 + 1
    # Zeros have a knot of their own, and the other half of the rows all the others.
    assert (Z[:500, 0] == 1).all()
    assert not Z[500:, 0].any()
    assert ((Z[500:-1] > 0).sum(axis=0)[1:-1] > 40).all()
    assert Z[-1].tolist() == [0] * (Z.shape[1] - 1) + [1]


def test_common_values_inside_have_a_knot_each():
    rng = np.random.default_rng(0)
    hours = np.where(rng.random(2000) < 0.4, 40, rng.uniform(0, 99, 2000))[:, None]
    Z = TableFeatures((0, 99), directions=False, n_knots=10).fit(hours).transform(hours)
    indicator = (Z == 1).all(axis=1, where=Z > 0) & (hours[:, 0] == 40)
    assert (indicator == (hours[:, 0] == 40)).all()
    at_forty = Z[hours[:, 0] == 40][0].argmax()
    assert not Z[hours[:, 0] != 40][:, at_forty].any()


def test_a_few_values_between_common_ones_lie_between_them():
    values = np.r_[np.zeros(500), [0.5, 0.6], np.ones(500)]
    column = Schema({"x": (0, 1)}).columns[0]
    one = NumberMap.of(column, values, 10, 10)
    assert one.n_positions == 2
    _, places, hats = one.hats(np.array([0.0, 0.5, 0.6, 1.0]), 2)
    assert np.allclose((places * hats).sum(axis=1), [0, 0.25, 0.75, 1])
    ends = NumberMap.of(column, np.r_[-1, values, 2], 10, 10)
    assert ends.positions.min() == 0
    assert ends.positions.max() == 1


def test_pairs_make_products_learnable():
    rng = np.random.default_rng(0)
    x = rng.random((4000, 2))
    y = (x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)
    scores = {}
    for pairs in (None, "auto", [("x1", "x0")]):
        model = make_pipeline(
            TableFeatures(Schema({"x0": (0, 1), "x1": (0, 1)}), pairs),
            LogisticRegression(max_iter=1000),
        )
        scores[str(pairs)] = model.fit(x[:2000], y[:2000]).score(x[2000:], y[2000:])
    assert scores["None"] < 0.6
    assert min(list(scores.values())[1:]) > 0.8


def test_the_public_rule_for_pairs_and_knots():
    rng = np.random.default_rng(0)
    for width, n_pairs, knots in ((5, 10, 4), (13, 78, 3), (16, 120, 2), (30, 0, 0)):
        x = rng.random((200, width))
        features = TableFeatures((0, 1)).fit(x)
        assert (len(features.pairs_), features.pair_knots_) == (n_pairs, knots)
    assert features.maps_[0].n_positions <= 6


def test_the_metric_of_smooth_functions():
    root = smooth_metric(5)
    kernel = root @ root.T
    assert np.allclose(np.diag(kernel), 1 + np.arange(5) / 4)
    assert kernel.max() <= 2 + 1e-9
    assert smooth_metric(1).tolist() == [[1]]


# Edges.


@pytest.mark.parametrize("rows", [[[None] * 5] * 3, [[18, 0, 1, "Bern", True]], ROWS[:2]])
@each_variant
def test_few_rows_constant_columns_nothing_but_missing(rows, variant):
    features = TableFeatures(SCHEMA, **variant).fit(rows)
    Z = features.transform(ROWS[:20])
    assert np.isfinite(Z).all()
    assert Z.shape[1] >= 1
    assert np.linalg.norm(Z, axis=1).max() <= features.norm_bound_


def test_no_numbers_and_no_categories():
    only = Schema({"c": ["u", "v"]})
    assert TableFeatures(only).fit([["u"], ["v"]] * 20).transform([["u"]]).shape == (1, 1)


def test_a_hundred_thousand_categories_take_little_memory():
    n = 100_000
    ids = np.array([f"C{i:06d}" for i in range(n)], dtype=object)[:, None]
    schema = Schema({"id": ids[:, 0].tolist()})
    features = TableFeatures(schema).fit(ids[:20_000])
    assert features.transform(ids).nbytes < 1e6
    features = TableFeatures(schema, directions=False).fit(np.repeat(ids[:3000], 20, axis=0))
    assert features.transform(ids[:10]).shape[1] <= 1001


@pytest.mark.parametrize("share", [0.01, 0.24, 0.26, 1.0])
@pytest.mark.parametrize("width", [3, 64, 200])
def test_products_of_columns_are_the_sparse_ones_to_the_last_bit(width, share):
    columns = sp.random(300, width, share, "csc", random_state=0)
    columns.data -= 0.5
    np.testing.assert_array_equal(_products(columns), (columns.T @ columns).toarray())


@pytest.mark.slow
def test_many_columns():
    rng = np.random.default_rng(0)
    X = rng.random((60, 500))
    Z = TableFeatures((0, 1)).fit(X).transform(X)
    assert Z.shape[1] <= 60
    assert np.isfinite(Z).all()


@pytest.mark.parametrize(
    "settings_",
    [
        *({"pairs": "all"}, {"pairs": [("age", "town")]}, {"pairs": 3}, {"n_knots": -1}),
        *({"n_knots": 1.5}, {"n_knots": "many"}, {"n_components": 0}),
    ],
)
def test_settings_that_are_wrong(settings_):
    with pytest.raises((TypeError, ValueError), match=next(iter(settings_))):
        TableFeatures(SCHEMA, **settings_).fit(ROWS)


def test_other_columns_are_an_error_that_shows_no_cell():
    features = TableFeatures(SCHEMA).fit(PUBLIC)
    with pytest.raises(ValueError, match="names") as error:
        features.transform(PUBLIC.rename(columns={"age": "years"}).assign(town="CANARY"))
    assert "CANARY" not in str(error.value)
    with pytest.raises(TypeError, match="Schema"):
        TableFeatures(None).fit(ROWS)


def test_a_map_from_a_file_cannot_write_outside_its_matrix():
    """A sparse product checks no index: a place that was tampered with must be refused."""
    features = TableFeatures(SCHEMA).fit(PUBLIC)
    places = features.maps_[3].places
    for wrong in (10**6, -(10**6)):
        places[:] = wrong
        with pytest.raises(ValueError, match="changed after they were fitted"):
            features.transform(PUBLIC)
