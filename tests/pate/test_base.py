"""PATEClassifier and PATERegressor as scikit-learn estimators: tables, settings, messages."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdistill import PrivacyLedger
from skdistill.accounting import BudgetAccountant, PrivacyLoss
from skdistill.pate import PATEClassifier, PATERegressor, noisy_n_teachers
from skdistill.testing import no_noise, seeded_noise
from skdistill.transfer import Schema

pytestmark = [
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

SCHEMA = Schema(
    {"age": (18, 90), "income": (0, 1e6), "town": ["Bern", "Chur", "Genf"], "owner": [False, True]},
    integer=["age"],
    missing=["income", "town"],
    edges={"income": "log"},
)


def mixed(n, seed=0, kind="pandas"):
    """Return a table of numbers, categories and missing values, and labels that depend on it."""
    rng = np.random.default_rng(seed)
    age, income = rng.integers(18, 91, n), rng.lognormal(10, 1, n)
    town, owner = rng.choice(["Bern", "Chur", "Genf"], n), rng.random(n) < 0.5
    score = (age - 50) / 15 + np.log(income) - 10 + (town == "Chur") + owner
    y = np.where(score + rng.logistic(size=n) > 1, "yes", "no")
    income[rng.random(n) < 0.1] = np.nan
    town = np.where(rng.random(n) < 0.1, None, town)
    columns = {"age": age, "income": income, "town": town, "owner": owner}
    if kind == "array":
        return np.column_stack([np.asarray(x, dtype=object) for x in columns.values()]), y
    if kind == "list":
        return [list(row) for row in zip(*columns.values(), strict=True)], y
    library = pd if kind == "pandas" else pl
    columns["town"] = list(town)
    return library.DataFrame(columns), y


def classifier(**settings):
    settings = {"schema": SCHEMA, "classes": ["no", "yes"], "epsilon": 50.0, **settings}
    return PATEClassifier(settings.pop("estimator", LogisticRegression()), **settings)


# ----------------------------------------------------------------------------- as an estimator

NOISE = "two fits draw different noise; random_state never reaches it"
EXPECTED = {
    "check_fit_idempotent": NOISE,
    "check_supervised_y_2d": NOISE,
    "check_supervised_y_no_nan": "no private value decides whether fit raises",
}


@parametrize_with_checks(
    [
        PATEClassifier(
            LogisticRegression(), schema=(-20, 20), classes="public", threshold=None, epsilon=1e7
        ),
        PATERegressor(Ridge(), schema=(-20, 20), output_range=(-5, 5), epsilon=1e7),
    ],
    expected_failed_checks=lambda estimator: {
        name: why
        for name, why in EXPECTED.items()
        if isinstance(estimator, PATERegressor) or name == "check_fit_idempotent"
    },
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", ["pandas", "polars", "array", "list"])
def test_tables_of_numbers_categories_and_missing_values(kind):
    X, y = mixed(4000, kind=kind)
    model = classifier(random_state=0).fit(X, y)
    X_test, y_test = mixed(1000, 1, kind)
    assert model.score(X_test, y_test) > 0.7
    assert model.predict_proba(X_test).shape == (1000, 2)
    assert set(model.predict(X_test)) == {"no", "yes"}
    assert model.n_features_in_ == 4
    assert type(model.sample(5)) is (np.ndarray if kind == "list" else type(X))
    assert np.shape(model.sample(5)) == (5, 4)


def test_a_pipeline_gets_the_rows_as_they_are():
    X, y = mixed(4000)
    encode = make_column_transformer(
        (StandardScaler(), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["town", "owner"]),
    )
    model = classifier(estimator=make_pipeline(encode, DecisionTreeClassifier(max_depth=3)))
    model.fit(X, y)
    assert model.score(X, y) > 0.65
    assert isinstance(model.student_, Pipeline)
    assert model.student_.predict(X).shape == (4000,)


def test_an_encoder_of_ones_own_is_fitted_on_synthetic_rows():
    X, y = mixed(4000)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town", "owner"]), remainder="drop"
    )
    model = classifier(encoder=encode, random_state=0).fit(X, y)
    assert not hasattr(encode, "transformers_")
    assert "the encoder maps rows one by one" in model.privacy_.assumes
    assert model.score(X, y) > 0.5


def test_cross_validation_search_and_pipeline():
    X, y = make_classification(1500, n_features=4, class_sep=2, random_state=0)
    model = PATEClassifier(
        LogisticRegression(), schema=(-8, 8), classes=[0, 1], epsilon=50, n_transfer=500
    )
    assert cross_val_score(model, X, y, cv=3).mean() > 0.8
    steps = make_pipeline(FunctionTransformer(np.tanh), clone(model).set_params(schema=(-1, 1)))
    assert steps.fit(X, y).score(X, y) > 0.8
    grid = {"epsilon": [0.1, 50], "estimator__C": [0.1, 1], "n_teachers": [10]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_estimator_.n_teachers_ == 10
    assert search.best_estimator_.score(X, y) > 0.8


@pytest.mark.parametrize(
    "student",
    [
        GaussianNB(),
        RandomForestClassifier(20, max_depth=4),
        LinearSVC(),
        DecisionTreeRegressor(max_depth=4),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda student: type(student).__name__,
)
def test_students(student):
    X, y = mixed(3000)
    model = classifier(student=student, n_transfer=2000, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.65
    assert hasattr(model, "predict_proba") == (not isinstance(student, LinearSVC))
    if hasattr(model, "predict_proba"):
        assert np.allclose(np.exp(model.predict_log_proba(X)).sum(axis=1), 1)
    assert hasattr(model, "decision_function") == (
        hasattr(student, "decision_function") and not isinstance(student, DecisionTreeRegressor)
    )


def test_more_than_two_classes():
    X, y = make_classification(
        6000, n_features=6, n_informative=5, n_redundant=0, n_classes=3, class_sep=2, random_state=0
    )
    model = PATEClassifier(
        LogisticRegression(), schema=(-9, 9), classes=[0, 1, 2], epsilon=20, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.6
    assert model.predict_proba(X).shape == (6000, 3)


def test_regression():
    X, y = make_regression(5000, n_features=5, noise=5, random_state=0)
    model = PATERegressor(Ridge(), schema=(-5, 5), output_range=(-400, 400), epsilon=20)
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.n_teachers_ == 125
    assert "the range of the target" in model.privacy_.not_protected
    assert not any("output_range" in text for text in model.privacy_.assumes)


def test_public_rows_take_no_part_of_the_price():
    X, y = mixed(3000)
    X_public, _ = mixed(500, 2)
    model = classifier(schema=None).fit(X, y, X_public=X_public)
    assert model.score(X, y) > 0.7
    assert model.marginals_ is None
    assert list(model.costs_) == ["class prior", "labels"]
    assert "the rows X_public" in model.privacy_.not_protected
    assert model.privacy_.n_queries == 500
    with pytest.raises(ValueError, match="X_public was given"):
        model.sample(3)


def test_without_noise_it_is_plain_distillation():
    X, y = mixed(3000)
    model = classifier(epsilon=float("inf")).fit(X, y)
    assert not model.privacy_.private
    assert model.privacy_.epsilon == float("inf")
    assert set(model.costs_.values()) == {None}
    assert model.score(X, y) > 0.7


def test_pure_privacy():
    X, y = mixed(3000)
    model = classifier(delta=0, epsilon=1e5).fit(X, y)
    assert model.privacy_.delta == 0
    assert model.privacy_.mu is None
    assert "of ε" in model.privacy_.mechanism
    assert sum(loss.epsilon for loss in model.costs_.values()) <= 1e5
    assert model.score(X, y) > 0.65


def test_groups():
    X, y = mixed(3000)
    groups = np.arange(3000) // 2
    model = classifier().fit(X, y, groups=groups)
    assert model.privacy_.neighbours.startswith("replace one group ")
    assert model.marginals_.total == 1500
    assert 1500 // 80 <= model.n_teachers_ < 3000 // 80
    assert model.score(X, y) > 0.6
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier().fit(X, y, groups=groups[1:])


# ---------------------------------------------------------------- one price, and what it is for


@pytest.mark.parametrize("share", [1e-6, 0.1, 1 / 3, 0.9])
@pytest.mark.parametrize("delta", [0.0, 1e-6])
def test_the_parts_cost_no_more_than_the_whole(share, delta):
    X, y = mixed(400)
    model = classifier(epsilon=1.0, delta=delta, marginals_share=share, n_transfer=50)
    with seeded_noise(0):
        model.fit(X, y)
    whole = model.privacy_
    if delta == 0:
        assert sum(loss.epsilon for loss in model.costs_.values()) <= 1.0
    else:
        assert sum(loss.mu**2 for loss in model.costs_.values()) <= whole.mu**2
        assert whole.mu == PrivacyLoss.gaussian(1.0, delta).mu
    assert (whole.epsilon, whole.delta) == (1.0, delta)


def test_the_statement_says_what_each_part_cost():
    X, y = mixed(400)
    text = str(classifier(epsilon=1.0, n_transfer=50).fit(X, y).privacy_)
    for words in (
        "marginals 10.0%, class prior 1.8%, labels 88.2% of μ²",
        "features and labels",
        "synthetic transfer rows",
        "two cells of each of 4 marginals",
        "the schema was not read off the private table",
    ):
        assert words in text
    assert "the transfer set X: the student sees its features" not in text


def test_the_accountant_is_charged_once_and_before():
    X, y = mixed(400)
    accountant = BudgetAccountant()
    model = classifier(epsilon=1.0, n_transfer=50, accountant=accountant)
    assert clone(model).accountant is accountant
    assert copy.deepcopy(model).accountant is accountant
    clone(model).fit(X, y)
    assert [tuple(map(float, spent)) for spent in accountant.spent_budget] == [(1.0, 1e-6)]

    charges = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            charges.append(len(accountant))
            return super().fit(X, y)

    model.set_params(estimator=Spy()).fit(X, y)
    assert charges[0] == 1  # the rehearsal, on rows of the schema
    assert set(charges[1:]) == {2}
    assert len(accountant) == 2


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("encoder", ["auto", None])
def test_a_member_that_cannot_work_is_an_error_before_the_charge(encoder, public):
    X, y = mixed(400)
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-5)
    member = make_pipeline(
        make_column_transformer((StandardScaler(), ["Agee"])), LogisticRegression()
    )
    if encoder == "auto":
        member = LogisticRegression(C=-1.0)
    model = classifier(estimator=member, encoder=encoder, accountant=ledger)
    with pytest.raises(ValueError, match="made-up labels; nothing was charged"):
        model.fit(X, y, X_public=X[:100] if public else None)
    assert len(ledger) == 0


def test_a_refused_charge_releases_nothing(monkeypatch):
    X, y = mixed(400)
    import skdistill.pate.base

    def fail(*args, **kwargs):
        raise AssertionError

    for name in ("measure_marginals", "TeacherEnsemble"):
        monkeypatch.setattr(skdistill.pate.base, name, fail)
    model = classifier(accountant=BudgetAccountant(epsilon=0.5, delta=1))
    with pytest.raises(Exception, match="budget"):
        model.fit(X, y)


@pytest.mark.parametrize("name", ["measure_marginals", "TeacherEnsemble"])
def test_no_failure_refunds_the_charge(monkeypatch, name):
    import skdistill.pate.base

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    X, y = mixed(400)
    monkeypatch.setattr(skdistill.pate.base, name, fail)
    accountant = BudgetAccountant()
    with pytest.raises(KeyboardInterrupt):
        classifier(accountant=accountant, epsilon=1.0).fit(X, y)
    assert len(accountant) == 1


def test_number_of_teachers_is_a_rule_of_public_numbers():
    loss = {e: PrivacyLoss.gaussian(e, 1e-5) for e in (0.1, 1.0, 10.0)}
    assert noisy_n_teachers(32_561, 2, loss[0.1]) == 814
    assert noisy_n_teachers(32_561, 2, loss[10.0]) == 407
    assert noisy_n_teachers(32_561, 2, None) == 407
    assert noisy_n_teachers(32_561, 2, PrivacyLoss.laplace(1.0)) == 814
    assert noisy_n_teachers(10, 5, loss[1.0]) == 1


# ------------------------------------------------------------------------------------- messages

X_FEW, Y_FEW = mixed(60)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"schema": None}, TypeError, "never read off private data"),
        ({"schema": "auto"}, TypeError, "never read off private data"),
        ({"classes": None}, ValueError, "which labels occur may itself be private"),
        ({"classes": ["no"]}, ValueError, "at least two classes"),
        ({"classes": "auto"}, ValueError, 'a list of labels or "public"'),
        ({"estimator": Ridge()}, TypeError, "must be a classifier"),
        ({"estimator": LogisticRegression}, TypeError, "must be a classifier"),
        ({"epsilon": 0}, ValueError, "epsilon=0"),
        ({"epsilon": "1"}, TypeError, "epsilon="),
        ({"delta": 1.0}, ValueError, "delta=1.0"),
        ({"marginals_share": 1.0}, ValueError, "marginals_share=1.0"),
        ({"marginals_share": True}, ValueError, "marginals_share=True"),
        ({"n_transfer": 0}, ValueError, "n_transfer=0"),
        ({"n_teachers": 0}, ValueError, 'or "auto"'),
        ({"n_teachers": "many"}, ValueError, "n_teachers='many'"),
        ({"n_bins": 2.5}, ValueError, "n_bins=2.5"),
        ({"degree": 3}, ValueError, "degree=3"),
        ({"encoder": "one-hot"}, ValueError, "encoder='one-hot'"),
        ({"encoder": OneHotEncoder}, ValueError, "encoder="),
        ({"n_rounds": 0}, ValueError, "n_rounds=0"),
        ({"threshold": 2.0}, ValueError, "threshold=2.0"),
        ({"accountant": 1.0}, TypeError, "accountant=1.0"),
        ({"epsilon": float("inf"), "accountant": BudgetAccountant()}, ValueError, "epsilon=inf"),
    ],
)
def test_settings_that_cannot_be(settings, error, message):
    accountant = settings.setdefault("accountant", BudgetAccountant())
    with pytest.raises(error, match=message):
        classifier(**settings).fit(X_FEW, Y_FEW)
    assert not isinstance(accountant, BudgetAccountant) or len(accountant) == 0


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X_FEW, None, "requires y to be passed"),
        (X_FEW, Y_FEW[1:], "inconsistent numbers of samples"),
        (X_FEW.iloc[:0], Y_FEW[:0], "0 sample"),
        (X_FEW.drop(columns="age"), Y_FEW, "missing \\['age'\\]|3 features"),
        (X_FEW[["town", "age", "income", "owner"]], Y_FEW, "order"),
        (X_FEW, np.zeros(60), "no label would be known"),
        (X_FEW, np.zeros((60, 2)), "1d array"),
    ],
)
def test_tables_that_cannot_be(X, y, message):
    accountant = BudgetAccountant()
    with pytest.raises(ValueError, match=message):
        classifier(accountant=accountant).fit(X, y)
    assert len(accountant) == 0


@pytest.mark.parametrize("output_range", [None, (1, 0), (0, np.inf), "range"])
def test_a_regressor_needs_a_public_range(output_range):
    with pytest.raises(ValueError, match="range"):
        PATERegressor(Ridge(), schema=(0, 1), output_range=output_range).fit([[0.5]], [0.5])


def test_a_regressor_needs_regressors():
    with pytest.raises(TypeError, match="must be a regressor"):
        PATERegressor(GaussianNB(), schema=(0, 1), output_range=(0, 1)).fit([[0.5]], [0.5])


# ------------------------------------------------------- labels and targets that are none; texts


def test_one_strange_label_changes_no_other():
    X, y = make_classification(400, n_features=3, n_informative=2, n_redundant=0, random_state=0)
    model = PATEClassifier(GaussianNB(), schema=(-5, 5), classes=[0, 1], epsilon=20.0)
    read = model.set_params(classes=[0, 1])._read_targets
    for strange in ("x", None, np.nan, [1], 2, 1.5, {}):
        cells = [*y.tolist()[:-1], strange]
        targets, n_classes = read(cells, cells)
        assert targets.tolist() == [*y.tolist()[:-1], None]
        assert n_classes == 2
        assert model.fit(X, cells).classes_.tolist() == [0, 1]


def test_one_strange_target_changes_no_other():
    model = PATERegressor(LinearRegression(), schema=(0, 1), output_range=(0, 10))
    for strange, becomes in (("x", 5), (None, 5), (np.nan, 5), ([1], 5), (99, 10), (-np.inf, 0)):
        targets, _ = model._read_targets(None, [1.0, 2, strange])
        assert targets.tolist() == [1, 2, becomes]


@pytest.mark.parametrize("model", [classifier(), classifier(student=GaussianNB())])
def test_clone_pickle_and_texts(model):
    X, y = mixed(400)
    model.set_params(n_transfer=100, accountant=BudgetAccountant()).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.accountant is None
    assert (loaded.predict(X) == model.predict(X)).all()
    assert loaded.privacy_ == model.privacy_
    assert not hasattr(clone(loaded), "privacy_")
    text = repr(model)
    assert "schema=Schema(4 columns: age, income, town, owner)" in text
    assert "accountant=<BudgetAccountant>" in text
    assert "ε = 50" in model._repr_html_()
    assert "PATEClassifier" in estimator_html_repr(make_pipeline("passthrough", model))


def test_settings_that_are_fitted_objects_are_left_behind():
    X, y = mixed(400)
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]))
    settings = {
        "estimator": GaussianNB().fit([[0.0], [1.0]], [0, 1]),
        "student": GaussianNB().fit([[0.0], [1.0]], [0, 1]),
        "encoder": encoder.set_params(sparse_threshold=0).fit(X),
    }
    model = classifier(**settings, n_transfer=100).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    for name, object_ in settings.items():
        assert [attribute for attribute in vars(object_) if attribute.endswith("_")]
        left = vars(getattr(loaded, name))
        assert not [attribute for attribute in left if attribute.endswith("_")]


def test_random_state_drives_all_but_the_noise():
    X, y = mixed(400)
    X_test, _ = mixed(50, 3)
    model = classifier(n_transfer=100, random_state=3)
    with no_noise():
        first, second = (clone(model).fit(X, y).predict_proba(X_test) for _ in range(2))
    assert (first == second).all()
    first, second = (clone(model).fit(X, y).predict_proba(X_test) for _ in range(2))
    assert (first != second).any()


def test_verbose_prints_the_statement(capsys):
    X, y = mixed(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier(n_transfer=20, verbose=1).fit(X, y)
    assert "replace one record of the private table" in capsys.readouterr().out
