"""PrivateClassifier and PrivateRegressor as scikit-learn estimators: tables, settings, messages."""

import pickle
import subprocess
import warnings

import numpy as np
import pytest
from matrices import some
from private_table_cases import QUIET, classifier, mixed
from processes import start
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdistill import ResidualRounds
from skdistill.accounting import BudgetAccountant
from skdistill.private_table import PrivateClassifier, PrivateRegressor
from skdistill.teachers import NewtonClassifier, TeacherEnsemble
from skdistill.testing import no_noise

pytestmark = QUIET


@pytest.fixture(autouse=True)
def few_rows(monkeypatch, request):
    """Draw few synthetic rows; for scikit-learn's checks fewer, with fewer products of columns."""
    checks = "scikit_learn_checks" in request.node.name
    monkeypatch.setattr("skdistill.private_table.base._N_ROWS", 300 if checks else 1000)
    if checks:
        monkeypatch.setattr("skdistill.transfer.table_features._ALL_PAIR_FEATURES", 100)


# ----------------------------------------------------------------------------- as an estimator

NOISE = "two fits draw different noise; random_state never reaches it"
EXPECTED = {
    "check_fit_idempotent": NOISE,
    "check_supervised_y_2d": NOISE,
    "check_supervised_y_no_nan": "no private value decides whether fit raises",
}

# Two fits are compared: to .01, which their noise passes at times.
TWO_FITS = ("check_regressor_data_not_an_array", "check_regressors_int")


def checks(*models):
    return parametrize_with_checks(
        list(models),
        expected_failed_checks=lambda estimator: {
            name: why
            for name, why in EXPECTED.items()
            if isinstance(estimator, PrivateRegressor) or name == "check_fit_idempotent"
        },
    )


OF_CLASSES = {"schema": (-20, 20), "classes": "public", "threshold": None, "epsilon": 1e7}


@checks(PrivateClassifier(**OF_CLASSES))
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@checks(
    PrivateClassifier(TeacherEnsemble(LogisticRegression()), **OF_CLASSES),
    PrivateRegressor(schema=(-20, 20), output_range=(-5, 5), epsilon=1e7),
)
def test_scikit_learn_checks_of_others(estimator, check):
    name = getattr(check, "func", check).__name__
    if name in TWO_FITS and isinstance(estimator, PrivateRegressor):
        with no_noise():
            check(estimator.set_params(random_state=0))
    else:
        check(estimator)


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
@pytest.mark.parametrize("kind", some(["pandas", "polars", "array", "list"], 2))
def test_tables_of_numbers_categories_and_missing_values(kind, member):
    X, y = mixed(4000, kind=kind)
    model = classifier(member, random_state=0).fit(X, y)
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
    model = classifier(make_pipeline(encode, DecisionTreeClassifier(max_depth=3)))
    model.fit(X, y)
    assert model.score(X, y) > 0.65
    assert isinstance(model.student_, Pipeline)
    assert model.student_.predict(X).shape == (4000,)


def test_a_pipeline_as_teacher_gets_the_rows_as_they_are():
    X, y = make_classification(3000, n_features=4, class_sep=2, random_state=0)
    teacher = make_pipeline(FunctionTransformer(np.tanh), NewtonClassifier())
    model = PrivateClassifier(teacher, schema=(-8, 8), classes=[0, 1], epsilon=20, random_state=0)
    model.fit(X, y)
    assert model.privacy_.certificate["name"] == "clipped gradients"
    assert model.score(X, y) > 0.85
    groups = np.arange(3000) // 3
    model.fit(X, y, groups=groups)
    assert model.privacy_.neighbours.startswith("replace one group ")
    assert model.score(X, y) > 0.8


def test_cross_validation_search_and_pipeline():
    X, y = make_classification(1500, n_features=4, class_sep=2, random_state=0)
    model = PrivateClassifier(schema=(-8, 8), classes=[0, 1], epsilon=50)
    assert cross_val_score(model, X, y, cv=3).mean() > 0.8
    steps = make_pipeline(FunctionTransformer(np.tanh), clone(model).set_params(schema=(-1, 1)))
    assert steps.fit(X, y).score(X, y) > 0.8
    model.set_params(teacher=TeacherEnsemble(LogisticRegression()))
    grid = {"epsilon": [40, 50], "teacher__estimator__C": [0.1, 1], "teacher__n_teachers": [10]}
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
@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_students(student, member):
    X, y = mixed(3000)
    model = classifier(member, student=student, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.65
    assert hasattr(model, "predict_proba") == (not isinstance(student, LinearSVC))
    if hasattr(model, "predict_proba"):
        assert np.allclose(np.exp(model.predict_log_proba(X)).sum(axis=1), 1)
    assert hasattr(model, "decision_function") == (
        hasattr(student, "decision_function") and not isinstance(student, DecisionTreeRegressor)
    )


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
@pytest.mark.parametrize("threshold", some(["prior", "accuracy", None], 2))
def test_more_than_two_classes(member, threshold):
    X, y = make_classification(
        6000, n_features=6, n_informative=5, n_redundant=0, n_classes=3, class_sep=2, random_state=0
    )
    model = classifier(
        member, schema=(-9, 9), classes=[0, 1, 2], epsilon=20, threshold=threshold, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.6
    assert model.predict_proba(X).shape == (6000, 3)


@pytest.mark.parametrize("teacher", [None, TeacherEnsemble(Ridge())], ids=["newton", "ensemble"])
def test_regression(teacher):
    X, y = make_regression(5000, n_features=5, noise=5, random_state=0)
    model = PrivateRegressor(
        teacher, schema=(-5, 5), output_range=(-400, 400), epsilon=20, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.n_teachers_ == (1 if teacher is None else 125)
    assert "the range of the target" in model.privacy_.not_protected
    assert not any("output_range" in text for text in model.privacy_.assumes)


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_public_rows_take_no_part_of_the_price(member):
    X, y = mixed(3000)
    X_public, _ = mixed(500, 2)
    model = classifier(member, schema=None).fit(X, y, X_public=X_public)
    assert model.score(X, y) > 0.7
    assert model.table_ is None
    parts = ["class counts", "gradients", "scores"] if member is None else ["class prior", "labels"]
    assert list(model.costs_) == parts
    assert "the rows X_public" in model.privacy_.not_protected
    assert model.privacy_.n_queries == 500
    with pytest.raises(ValueError, match="X_public was given"):
        model.sample(3)


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_without_noise_it_is_plain_distillation(member):
    X, y = mixed(3000)
    model = classifier(member, epsilon=float("inf")).fit(X, y)
    assert not model.privacy_.private
    assert model.privacy_.epsilon == float("inf")
    assert set(model.costs_.values()) == {None}
    assert model.score(X, y) > 0.7


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_pure_privacy(member):
    X, y = mixed(3000)
    model = classifier(member, delta=0, epsilon=1e5).fit(X, y)
    assert model.privacy_.delta == 0
    assert model.privacy_.mu is None
    assert "of ε" in model.privacy_.mechanism
    assert sum(loss.epsilon for loss in model.costs_.values()) <= 1e5
    assert model.score(X, y) > 0.65


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_groups(member):
    X, y = mixed(3000)
    groups = np.arange(3000) // 2
    model = classifier(member).fit(X, y, groups=groups)
    assert model.privacy_.neighbours.startswith("replace one group ")
    assert "the number of groups" in model.privacy_.not_protected
    if member is not None:
        assert 1500 // 80 <= model.n_teachers_ < 3000 // 80
    assert model.score(X, y) > 0.6
    with pytest.raises(ValueError, match="one record, not of a group"):
        classifier(teacher=KNeighborsClassifier()).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier(member).fit(X, y, groups=groups[1:])


def test_a_teacher_with_a_bound_of_its_own():
    X, y = mixed(5000)
    model = classifier(teacher=KNeighborsClassifier(200), epsilon=400.0, random_state=0).fit(X, y)
    assert model.privacy_.certificate["name"] == "uniform nearest neighbours"
    assert model.n_teachers_ == 1
    assert model.score(X, y) > 0.6


@pytest.mark.parametrize("teacher", [LogisticRegression(), DecisionTreeClassifier()])
def test_a_teacher_without_a_bound_is_refused_with_the_way_out(teacher):
    X, y = mixed(400)
    accountant = BudgetAccountant()
    with pytest.raises(ValueError, match=rf"TeacherEnsemble\({type(teacher).__name__}\(\)\)"):
        classifier(teacher=teacher, accountant=accountant).fit(X, y)
    assert len(accountant) == 0


def test_a_teacher_with_a_budget_of_its_own_is_refused():
    """Its loss would not be counted, and the statement would be false."""
    X, y = make_classification(400, n_features=4, random_state=0)
    accountant = BudgetAccountant()
    settings = {"schema": (-8, 8), "classes": [0, 1]}
    model = PrivateClassifier(PrivateClassifier(**settings), accountant=accountant, **settings)
    with pytest.raises(ValueError, match="spends a budget of its own"):
        model.fit(X, y)
    assert len(accountant) == 0


def test_a_pipeline_that_learns_from_private_rows_is_refused_with_the_way_out():
    X, y = make_classification(400, n_features=4, random_state=0)
    accountant = BudgetAccountant()
    teacher = make_pipeline(StandardScaler(), NewtonClassifier())
    model = PrivateClassifier(teacher, schema=(-8, 8), classes=[0, 1], accountant=accountant)
    with pytest.raises(ValueError, match=r"pipeline that ends in New.*TeacherEnsemble\(make_pipe"):
        model.fit(X, y)
    assert len(accountant) == 0


@pytest.mark.parametrize("threshold", ["prior", "accuracy", "f1", 0.3, None])
def test_thresholds_without_noise(threshold):
    X, y = mixed(2000)
    assert classifier(epsilon=float("inf"), threshold=threshold).fit(X, y).score(X, y) > 0.6


# ------------------------------------------------------------------------------------- messages

X_FEW, Y_FEW = mixed(60)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"schema": None}, TypeError, "never read off private data"),
        ({"schema": "auto"}, TypeError, "never read off private data"),
        ({"classes": None}, ValueError, "which labels occur may itself be private"),
        ({"classes": ["no"]}, ValueError, "at least two "),
        ({"classes": "auto"}, ValueError, 'a list of labels or "public"'),
        ({"teacher": Ridge()}, TypeError, "must be a classifier"),
        ({"teacher": LogisticRegression}, TypeError, "must be a classifier"),
        ({"epsilon": 0}, ValueError, "epsilon=0"),
        ({"epsilon": "1"}, TypeError, "epsilon="),
        ({"delta": 1.0}, ValueError, "delta=1.0"),
        ({"mechanism": "noise"}, ValueError, "mechanism='noise'"),
        ({"mechanism": ResidualRounds}, TypeError, "pass an object"),
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
        PrivateRegressor(schema=(0, 1), output_range=output_range).fit([[0.5]], [0.5])


def test_a_regressor_needs_regressors():
    with pytest.raises(TypeError, match="must be a regressor"):
        PrivateRegressor(GaussianNB(), schema=(0, 1), output_range=(0, 1)).fit([[0.5]], [0.5])


# ------------------------------------------------------- labels and targets that are none; texts


def test_one_strange_label_changes_no_other():
    X, y = make_classification(400, n_features=3, n_informative=2, n_redundant=0, random_state=0)
    model = PrivateClassifier(
        TeacherEnsemble(GaussianNB()), schema=(-5, 5), classes=[0, 1], epsilon=20.0
    )
    read = model.set_params(classes=[0, 1])._read_targets
    for strange in ("x", None, np.nan, [1], 2, 1.5, {}):
        cells = [*y.tolist()[:-1], strange]
        assert read(cells, cells).tolist() == [*y.tolist()[:-1], None]
        assert model.fit(X, cells).classes_.tolist() == [0, 1]


def test_one_strange_target_changes_no_other():
    model = PrivateRegressor(schema=(0, 1), output_range=(0, 10))
    for strange, becomes in (("x", 5), (None, 5), (np.nan, 5), ([1], 5), (99, 10), (-np.inf, 0)):
        cells = [1.0, 2, strange]
        assert model._read_targets(cells, cells).tolist() == [1, 2, becomes]


@pytest.mark.parametrize(
    "model", [classifier(), classifier(LogisticRegression()), classifier(student=GaussianNB())]
)
def test_clone_pickle_and_texts(model):
    X, y = mixed(400)
    model.set_params(accountant=BudgetAccountant()).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.accountant is None
    assert (loaded.predict(X) == model.predict(X)).all()
    assert loaded.privacy_ == model.privacy_
    assert not hasattr(clone(loaded), "privacy_")
    text = repr(model)
    assert "schema=Schema(4 columns: age, income, town, owner)" in text
    assert "accountant=<BudgetAccountant>" in text
    assert "ε = 50" in model._repr_html_()
    assert "PrivateClassifier" in estimator_html_repr(make_pipeline("passthrough", model))


def test_settings_that_are_fitted_objects_are_left_behind():
    X, y = mixed(400)
    member = GaussianNB().fit([[0.0], [1.0]], [0, 1])
    student = GaussianNB().fit([[0.0], [1.0]], [0, 1])
    model = classifier(member, 5, student=student).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    for left in (loaded.teacher.estimator, loaded.student):
        assert not [attribute for attribute in vars(left) if attribute.endswith("_")]


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_random_state_drives_all_but_the_noise(member):
    X, y = mixed(400)
    X_test, _ = mixed(50, 3)
    model = classifier(member, random_state=3)
    with no_noise():
        first, second = (clone(model).fit(X, y).predict_proba(X_test) for _ in range(2))
    assert (first == second).all()
    first, second = (clone(model).fit(X, y).predict_proba(X_test) for _ in range(2))
    assert (first != second).any()


def test_verbose_prints_the_statement(capsys):
    X, y = mixed(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier(verbose=1).fit(X, y)
    assert "replace one record of the private table" in capsys.readouterr().out


def test_a_rare_class_pays_for_fewer_knots():
    """By the released counts: with 3 % of either class there are fewer knots than with 40 %."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (6000, 2))
    knots = {}
    for share in (0.03, 0.4, 0.97):
        y = (X[:, 0] > np.quantile(X[:, 0], 1 - share)).astype(int)
        model = PrivateClassifier(schema=(-1, 1), classes=[0, 1], epsilon=8.0, random_state=0)
        features = model.fit(X, y).student_[0][-1]
        knots[share] = features.n_knots
        assert model.score(X, y) > 0.8
    assert abs(knots[0.03] - knots[0.97]) <= 3  # the counts have noise
    assert max(knots[0.03], knots[0.97]) < knots[0.4] / 1.5
    assert min(knots.values()) >= 4


def test_previews_follow_the_settings():
    """The law of the noise is that of a fit, one number is a list, and settings are checked."""
    model = PrivateClassifier(schema=(0, 1), classes=[0, 1])
    gaussian = model.preview(1000, 2.0).noise
    assert gaussian.shape == (1, 1)
    laplace = model.set_params(mechanism="laplace").preview(1000, 2.0).noise
    assert laplace > gaussian
    assert (
        model.set_params(delta=0, mechanism="auto").preview([1000], [2.0]).noise == laplace
    ).all()
    for bad in ({"n_records": 0}, {"n_records": [1.5]}, {"epsilons": -1}, {"epsilons": ["a"]}):
        with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
            model.preview(**bad)
    with pytest.raises(ValueError, match="delta"):
        model.set_params(delta=2).preview()


@pytest.mark.parametrize("library", ["default", "pandas", "polars"])
@pytest.mark.parametrize("teacher", [None, TeacherEnsemble(GaussianNB(), 20)])
def test_the_output_that_scikit_learn_is_set_to_changes_nothing(teacher, library):
    """With "polars" the scores could not be counted, after the charge."""
    X, y = make_classification(1500, 4, n_redundant=0, class_sep=2.0, random_state=0)
    model = PrivateClassifier(teacher, schema=(-9, 9), classes=[0, 1], epsilon=30.0)
    with config_context(transform_output=library):
        assert model.fit(X, y).score(X, y) > 0.8


THREADS = """
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.tree import DecisionTreeClassifier
    from skdistill import PrivateClassifier, TeacherEnsemble

    X, y = make_classification(400, 4, random_state=0)
    ensemble = TeacherEnsemble(DecisionTreeClassifier(max_depth=2), 10)
    with joblib.parallel_config("threading", n_jobs=2):
        PrivateClassifier(ensemble, schema=(-9, 9), classes=[0, 1], epsilon=50.0).fit(X, y)
    print("fitted")
"""


def test_threads_of_joblib_do_not_wait_for_the_rehearsal():
    """It held the global generators, which the threads that trained members waited for."""
    with start(THREADS) as process:
        try:
            printed, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert printed == "fitted\n", errors
