"""A public map: bounded rows, nothing learned, and the certificate of what comes after it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import needs_data, shared_data
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from skdistill import PrivateDistiller
from skdistill.accounting import PrivacyLoss
from skdistill.certificates import ParameterBall, certify
from skdistill.teachers import BoundedFeatures, StableLogisticRegression, stable_C
from skdistill.transfer import MarginalSampler, Schema

SCHEMA = Schema(
    {"age": (17, 90), "job": ["clerk", "nurse", "smith"], "x": (-1.0, 1.0)}, missing=["x"]
)
CELLS = st.one_of(st.none(), st.floats(), st.sampled_from(["clerk", "nurse", "else", 5, True, []]))
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8)
SHARES = st.integers(0, 2**32 - 1).map(
    lambda seed: [np.random.default_rng(seed).dirichlet(np.full(k, 0.3)) for k in SIZES]
)
SIZES = SCHEMA.n_codes(5)

REFUSED = {"check_complex_data": "no cell raises: a complex number is missing"}


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        case
        for model in (BoundedFeatures((-100, 100)), BoundedFeatures((0, 1), n_bins=3, max_norm=2.0))
        for case in estimator_checks_generator(model, expected_failed_checks=REFUSED, mark="xfail")
    ],
)
def test_estimator_checks(estimator, check):
    check(estimator)


@settings(deadline=None)
@given(rows=ROWS, shares=st.one_of(st.none(), SHARES), max_norm=st.floats(1e-3, 1e3))
def test_no_row_is_longer_than_the_bound(rows, shares, max_norm):
    features = BoundedFeatures(SCHEMA, n_bins=5, max_norm=max_norm, shares=shares)
    mapped = features.transform(rows)
    assert mapped.shape == (len(rows), sum(SIZES))
    norms = np.linalg.norm(mapped, axis=1)
    assert (norms <= max_norm * (1 + 1e-12)).all()
    if shares is None:
        assert norms == pytest.approx(max_norm)


@settings(deadline=None)
@given(rows=ROWS, other=ROWS)
def test_rows_are_mapped_one_by_one(rows, other):
    features = BoundedFeatures(SCHEMA, n_bins=5)
    alone, among = features.transform(rows), features.transform(rows + other)
    assert np.array_equal(alone, among[: len(rows)])


def test_nothing_is_learned():
    rows = [[20, "nurse", None], [60, "clerk", 0.2]]
    unfitted = BoundedFeatures(SCHEMA)
    fitted = clone(unfitted).fit([[90, "smith", -1.0]])
    assert np.array_equal(unfitted.transform(rows), fitted.transform(rows))
    assert np.array_equal(unfitted.fit_transform(rows), fitted.transform(rows))
    assert set(vars(fitted)) - set(vars(BoundedFeatures(SCHEMA))) == {"n_features_in_"}


def test_mean_and_length_under_its_shares():
    """Rows with independent columns of these shares have mean 0 and root mean square norm 1."""
    rng = np.random.default_rng(0)
    p = [rng.dirichlet(np.full(k, 5.0)) for k in SIZES]
    features = BoundedFeatures(SCHEMA, n_bins=5, shares=p)
    codes = np.column_stack([rng.choice(k, 20_000, p=q) for k, q in zip(SIZES, p, strict=True)])
    blocks = features._blocks(SCHEMA)
    rows = np.hstack([block[codes[:, j]] for j, block in enumerate(blocks)])
    assert np.abs(rows.mean(axis=0)).max() < 0.02
    assert np.sqrt((rows**2).sum(axis=1).mean()) == pytest.approx(1, abs=0.02)


def test_centred_on():
    rows = [[20, "nurse", None], [60, "clerk", 0.2], [61, "clerk", 0.9], [62, "clerk", None]]
    features = BoundedFeatures(SCHEMA, n_bins=5, max_norm=2.0).centred_on(rows)
    assert features.max_norm == 2.0
    assert features.shares[1] == (0.75, 0.25, 0.0, 0.0)
    assert sum(features.shares[2][-1:]) == 0.5
    assert np.array_equal(clone(features).transform(rows), features.transform(rows))


def test_names():
    names = BoundedFeatures(SCHEMA, n_bins=2).get_feature_names_out()
    assert len(names) == BoundedFeatures(SCHEMA, n_bins=2).transform([[1, "x", 1]]).shape[1]
    assert list(names[2:6]) == ["job=clerk", "job=nurse", "job=smith", "job=other"]
    assert names[-1] == "x missing"
    frame = pd.DataFrame({"u": [0.5]})
    assert BoundedFeatures((0, 1), n_bins=1).fit(frame).get_feature_names_out() == ["u in 0 to 1"]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"max_norm": 0}, "max_norm"),
        ({"max_norm": np.inf}, "max_norm"),
        ({"max_norm": "1"}, "max_norm"),
        ({"n_bins": 0}, "n_bins"),
        ({"shares": [[1.0]]}, "one number for each code"),
        ({"shares": [-np.ones(k) for k in SCHEMA.n_codes(12)]}, "non-negative"),
        ({"shares": [np.zeros(k) for k in SCHEMA.n_codes(12)]}, "not all zero"),
        ({"shares": [np.full(k, np.nan) for k in SCHEMA.n_codes(12)]}, "non-negative"),
    ],
)
def test_settings_that_cannot_be(settings_, message):
    with pytest.raises(ValueError, match=message):
        BoundedFeatures(SCHEMA, **settings_).fit([[1, "x", 1]])


def test_columns_are_checked():
    with pytest.raises(ValueError, match="the schema has 3 columns"):
        BoundedFeatures(SCHEMA).fit([[1, 2]])
    with pytest.raises(ValueError, match="other order"):
        BoundedFeatures(SCHEMA).fit(pd.DataFrame(columns=["x", "job", "age"], index=[0]))
    with pytest.raises(TypeError, match="never read off private data"):
        BoundedFeatures(None).fit([[1]])


def test_columns_of_one_value():
    schema = Schema({"a": (3, 3), "b": ["u"]})
    assert not BoundedFeatures(schema).transform([[3, "u"], [9, None]])[:, :1].any()


# The certificate.


def teacher_on(rows, y, C=0.5, first=None):
    features = BoundedFeatures(SCHEMA, n_bins=5) if first is None else first
    return make_pipeline(features, StableLogisticRegression(C, classes=[0, 1])).fit(rows, y)


def test_certificate():
    rows, y = [[20, "nurse", None], [60, "clerk", 0.2]], [0, 1]
    ball = certify(teacher_on(rows, y))
    assert isinstance(ball, ParameterBall)
    assert ball.radius == pytest.approx(2 * 0.5 * np.sqrt(2), rel=1e-6)
    assert ball.features(ball.transformer.transform(rows)).shape == (2, sum(SIZES) + 1)
    scaled = make_pipeline(
        BoundedFeatures(SCHEMA), StandardScaler(), StableLogisticRegression(classes=[0, 1])
    )
    assert not isinstance(certify(scaled.fit(rows, y)), ParameterBall)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, other=st.lists(CELLS, min_size=3, max_size=3), where=st.integers(0, 7))
def test_a_record_moves_the_weights_inside_the_ball(rows, other, where):
    """Record and label are replaced, whatever the cells are."""
    where %= len(rows)
    y = np.arange(len(rows)) % 2
    neighbour = [other if i == where else row for i, row in enumerate(rows)]
    flipped = np.where(np.arange(len(rows)) == where, 1 - y, y)
    first, second = teacher_on(rows, y), teacher_on(neighbour, flipped)
    moved = np.linalg.norm(first[-1].weights_ - second[-1].weights_)
    assert moved <= certify(first).radius == certify(second).radius


def test_a_map_that_depends_on_its_rows_breaks_it():
    """The mutant: centred on the rows it is fitted on. Then the ball does not hold."""

    class Centred(BoundedFeatures):
        def fit(self, X, y=None):
            self.shares = self.centred_on(X).shares
            return super().fit(X, y)

    rows = [[17, "nurse", None]] * 3 + [[90, "clerk", 0.2]] * 3
    y = [0, 0, 0, 1, 1, 1]
    first = Centred(SCHEMA, n_bins=5)
    one = teacher_on(rows, y, C=100.0, first=first)
    two = teacher_on([[50, "smith", 1.0], *rows[1:]], y, C=100.0, first=clone(first))
    on_same_row = [t.decision_function([[17, "nurse", None]])[0] for t in (one, two)]
    assert on_same_row[0] != on_same_row[1]
    assert not np.array_equal(one[0].transform(rows), two[0].transform(rows))


# What it is worth.

ADULT = "age workclass fnlwgt education education-num marital-status occupation relationship race "
ADULT = [*(ADULT + "sex capital-gain capital-loss hours-per-week native-country income").split()]
BOUNDS = {
    "age": (17, 90),
    "education-num": (1, 16),
    "capital-gain": (0, 99999),
    "capital-loss": (0, 4356),
    "hours-per-week": (1, 99),
}


def adult(name):
    path = shared_data() / "adult" / name
    table = pd.read_csv(path, names=ADULT, skipinitialspace=True, comment="|").dropna()
    for number in BOUNDS:
        table[number] = pd.to_numeric(table[number])
    return table.drop(columns=["fnlwgt", "income"]), table["income"].str.contains(">50K").to_numpy()


@pytest.mark.slow
@needs_data("adult")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of older scikit-learn, by new SciPy
def test_adult_with_nothing_public_but_the_schema():
    """ε = 1 in all: AUC .903 (spread .001), F1 .68; the limits are 8 standard deviations off."""
    X, y = adult("adult.data")
    X_scored, y_scored = adult("adult.test")
    texts = [name for name in X if name not in BOUNDS]
    both = pd.concat([X, X_scored])
    schema = Schema(
        {name: BOUNDS.get(name) or sorted(both[name].unique()) for name in X},
        integer=list(BOUNDS),
        edges={"capital-gain": "log", "capital-loss": "log"},
    )
    assert texts
    whole = PrivacyLoss.gaussian(1.0, 1e-5)
    marginals, labels = whole.part(0.1), whole.part(0.9)
    rows = MarginalSampler(schema, epsilon=marginals.epsilon, delta=1e-5).fit(X).sample(8000, 0)
    features = BoundedFeatures(schema).centred_on(rows)
    C = stable_C(labels.epsilon, 1e-5, intercept_scaling=0.5, logit_noise=0.25)
    stable = StableLogisticRegression(C, intercept_scaling=0.5, classes=[False, True])
    distiller = PrivateDistiller(
        make_pipeline(features, stable).fit(X, y),
        make_pipeline(features, LogisticRegression(max_iter=1000)),
        epsilon=labels.epsilon,
        delta=1e-5,
    ).fit(rows)
    assert distiller.privacy_.certificate["name"] == "stable logistic regression"
    assert roc_auc_score(y_scored, distiller.predict_proba(X_scored)[:, 1]) > 0.893
    assert f1_score(y_scored, distiller.predict(X_scored)) > 0.63
