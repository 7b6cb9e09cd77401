"""Attacks on the promise of a whole fit, from the private table to the student.

*Neighbouring tables, the same past.* Adaptive composition bounds each release given all earlier
ones. So the same fit is run on two tables that differ in one record (or group), and the second
run is handed the outputs of the first: then every integer vector that goes into the noise must lie
within its declared sensitivity of the first run's, and *everything else must be equal*, because
all values without noise may depend on released and public numbers only.

*One run.* 500 records with secret labels, each drawn by a coin; the student's predictions of them
bound ε from below (Steinke, Nasr and Jagielski, 2023). At confidence 1 - 1e-6 the bound exceeds
the true ε with probability at most 1e-6, so that each such test fails for nothing at most once in
a million runs.
"""

import io
import math
import pickle
import traceback
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from matrices import some
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_html_repr

import skdistill.private_table.base
from skdistill import ResidualRounds
from skdistill.audit.bounds import one_run_epsilon
from skdistill.private_table import PrivateClassifier, PrivateRegressor
from skdistill.release.noise import _test_sampler as active
from skdistill.release.noise import active_sampler
from skdistill.teachers import NewtonClassifier, TeacherEnsemble
from skdistill.testing import no_noise
from skdistill.transfer import Schema, TableFeatures

pytestmark = [
    pytest.mark.filterwarnings("ignore:The model will be mostly noise"),
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
    pytest.mark.filterwarnings("ignore:The bounds of"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

CANARY = "canary-8f3a1c"
# A root may be rounded down: every scale of noise is enlarged by 2**-40 (PrivacyLoss.scale).
SLACK = 1 + 2.0**-45
SCHEMA = Schema(
    {"age": (18, 90), "income": (0, 1e6), "town": ["Bern", "Chur", "Genf"], "owner": [False, True]},
    integer=["age"],
    missing=["income", "town"],
    edges={"income": "log"},
)
PRIVATE_BOUNDS = Schema(
    {"age": int, "income": float, "town": str, "owner": [False, True]}, missing=["income", "town"]
)


def table(n=400, seed=0):
    """Return rows, labels, targets and groups."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 91, n),
            "income": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(10, 1, n)),
            "town": rng.choice(["Bern", "Chur", "Genf"], n),
            "owner": rng.random(n) < 0.5,
        }
    ).astype(object)
    score = (X["age"].astype(float) - 50) / 15 + (X["town"] == "Chur") + rng.logistic(size=n)
    return X, np.where(score > 0, "yes", "no").astype(object), score.to_numpy(), np.arange(n) // 3


class Tape:
    """Records the values before noise; gives out the noisy ones of another run, if given."""

    name, private = "a tape, for tests (NOT private)", False

    def __init__(self, noisy=None):
        self.calls, self.noisy = [], []
        self._given = None if noisy is None else iter(noisy)

    def perturb(self, values, loss, sensitivity):
        self.calls.append((values.copy(), loss, sensitivity))
        if self._given is not None:
            noisy = next(self._given)
            assert noisy.shape == values.shape, "the shape of a release depends on private values"
        else:
            noisy = self._real.perturb(values, loss, sensitivity)
        self.noisy.append(noisy)
        return noisy

    def run(self, model, *data):
        """Fit a copy of the model with this tape in the place of the noise."""
        self._real = active_sampler("exact")
        token = active.set(self)
        try:
            return clone(model).fit(*data)
        finally:
            active.reset(token)


def compare(model, data, neighbour, X=None):
    """Fit on both, given one past; return the pair of tapes after all checks."""
    first, second = Tape(), None
    one = first.run(model, *data)
    second = Tape(first.noisy)
    two = second.run(model, *neighbour)
    assert len(first.calls) == len(second.calls) > 0
    spent = 0.0
    for (q, loss, sensitivity), (other, other_loss, declared) in zip(
        first.calls, second.calls, strict=True
    ):
        assert (loss, sensitivity) == (other_loss, declared), "a private value set the noise"
        moved = [
            abs(a - b) for a, b in zip(q.ravel().tolist(), other.ravel().tolist(), strict=True)
        ]
        if loss.mu is None:
            spent += loss.epsilon
            assert sum(moved) <= sensitivity * SLACK
        else:
            spent += loss.mu**2
            assert sum(d * d for d in moved) <= (sensitivity * SLACK) ** 2
    whole = one.privacy_
    assert spent <= (whole.epsilon if whole.mu is None else whole.mu**2)
    same_to_the_last_bit(one, two, X)
    return first, second


def same_to_the_last_bit(one, two, X=None):
    """All public parts of two models are equal."""
    X = table(200, 9)[0] if X is None else X
    assert (one.student_.predict(X) == two.student_.predict(X)).all()
    assert (one.predict(X) == two.predict(X)).all()
    if hasattr(one, "classes_"):
        assert (one.predict_proba(X) == two.predict_proba(X)).all()
        assert (one.class_prior_ == two.class_prior_).all()
        assert (one.classes_ == two.classes_).all()
    for name in ("privacy_", "costs_", "schema_", "n_teachers_", "n_features_in_"):
        assert getattr(one, name) == getattr(two, name)
    if one.table_ is not None:
        assert one.sample(50, 0).equals(two.sample(50, 0))
    assert repr(one) == repr(two)
    assert sorted(vars(one)) == sorted(vars(two))


# The record in the place of record 7.
STRANGERS = {
    "extreme": [1e300, -np.inf, "Genf", True],
    "missing": [None, np.nan, None, None],
    "unknown": [CANARY, object(), CANARY, [1, 2]],
    "ordinary": [18, 0.0, "Bern", False],
}
LABELS = {"extreme": "yes", "missing": np.nan, "unknown": CANARY, "ordinary": "no"}
TARGETS = {"extreme": 1e300, "missing": np.nan, "unknown": CANARY, "ordinary": -10.0}


def neighbour(X, y, stranger, label):
    X, y = X.copy(), y.astype(object)
    for j, cell in enumerate(STRANGERS[stranger]):
        X.iat[7, j] = cell
    y[7] = label
    return X, y


@pytest.fixture(autouse=True)
def few_rows(monkeypatch, request):
    """Draw few synthetic rows (for an audit, several of each canary), and use fewer features."""
    n_rows = 2000 if "audit" in request.node.name or "one_run" in request.node.name else 300
    monkeypatch.setattr("skdistill.private_table.base._N_ROWS", n_rows)
    if "500 columns" in request.node.name:  # 2048 features take 10 s
        monkeypatch.setattr("skdistill.transfer.table_features._WIDEST", 256)


COMMON = {"schema": SCHEMA, "epsilon": 1.0, "random_state": 0}
NAMES = {"classes": ["no", "yes"], **COMMON}
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
CLASSIFIERS = {
    "newton": PrivateClassifier(**NAMES),
    "newton laplace": PrivateClassifier(delta=0, **NAMES),
    "newton accurate": PrivateClassifier(threshold="accuracy", **{**NAMES, "epsilon": 20.0}),
    "newton student": PrivateClassifier(student=TREE, **NAMES),
    "newton pipeline": PrivateClassifier(
        make_pipeline(
            FrozenEstimator(TableFeatures(SCHEMA).fit(table(300, 5)[0])), NewtonClassifier()
        ),
        **NAMES,
    ),
    "ensemble": PrivateClassifier(TeacherEnsemble(LogisticRegression(), 30), **NAMES),
    "rounds": PrivateClassifier(TeacherEnsemble(TREE, 20), mechanism=ResidualRounds(3), **NAMES),
    "laplace": PrivateClassifier(TeacherEnsemble(TREE), delta=0, **NAMES),
    "raw": PrivateClassifier(
        TeacherEnsemble(make_pipeline(TableFeatures(SCHEMA), TREE), 20), **NAMES
    ),
    "bounds": PrivateClassifier(**{**NAMES, "schema": PRIVATE_BOUNDS, "epsilon": 8.0}),
    "bounds laplace": PrivateClassifier(delta=0, **{**NAMES, "schema": PRIVATE_BOUNDS}),
    "bounds raw": PrivateClassifier(
        TeacherEnsemble(make_pipeline(TableFeatures(SCHEMA), TREE), 20),
        **{**NAMES, "schema": PRIVATE_BOUNDS, "epsilon": 8.0},
    ),
    "neighbours": PrivateClassifier(KNeighborsClassifier(50), **{**NAMES, "epsilon": 50.0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_record_moves_no_release_further_than_declared(name, stranger):
    X, y, _, _ = table()
    compare(CLASSIFIERS[name], (X, y), neighbour(X, y, stranger, LABELS[stranger]))


@pytest.mark.parametrize("stranger", some(STRANGERS, 2))
@pytest.mark.parametrize(
    "teacher",
    [None, TeacherEnsemble(DecisionTreeRegressor(max_depth=3, random_state=0), 20)],
    ids=["newton", "ensemble"],
)
def test_nor_in_a_regression(teacher, stranger):
    X, _, y, _ = table()
    model = PrivateRegressor(teacher, output_range=(-10, 10), **COMMON)
    compare(model, (X, y), neighbour(X, y, stranger, TARGETS[stranger]))


@pytest.mark.parametrize("stranger", ["extreme", "unknown"])
def test_nor_where_bounds_are_private(stranger):
    X, y, _, _ = table()
    compare(CLASSIFIERS["bounds"], (X, y), neighbour(X, y, stranger, LABELS[stranger]))


@pytest.mark.parametrize("name", ["newton", "ensemble", "bounds"])
@pytest.mark.parametrize("stranger", some(STRANGERS, 2))
def test_nor_with_public_rows(stranger, name):
    X, y, _, _ = table()
    public = table(100, 5)[0]
    other = neighbour(X, y, stranger, LABELS[stranger])
    compare(CLASSIFIERS[name], (X, y, None, public), (*other, None, public))


@pytest.mark.slow
@pytest.mark.parametrize("copies", [0, 1, 40])
@pytest.mark.parametrize(
    "name", ["newton", "newton laplace", "newton pipeline", "ensemble", "bounds"]
)
def test_one_group_moves_no_release_further_than_declared(name, copies):
    """Group 2 (rows 6 to 8) is replaced by one of 1 to 41 strange rows."""
    X, y, _, groups = table()
    X_other, y_other = neighbour(X, y, "extreme", "yes")
    kept = np.r_[0:6, [7], np.full(copies, 7), 9 : len(X)]
    other = (X_other.iloc[kept], y_other[kept], groups[kept])
    compare(CLASSIFIERS[name], (X, y, groups), other)


STRANGE_CELLS = {
    "text": (CANARY, CANARY, 0.5),
    "missing": (None, np.nan, None),
    "far away": (pd.Timestamp("1700-01-01"), 1e300, np.inf),
    "objects": (object(), [1, 2], {}),
    "no day": ("2022-02-30", b"\xff", "x"),
}


@pytest.mark.parametrize("teacher", [None, TeacherEnsemble(TREE, 20)], ids=["newton", "ensemble"])
@pytest.mark.parametrize("stranger", some(STRANGE_CELLS, 2))
def test_nor_with_dates_and_hashed_texts(stranger, teacher):
    rng = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + rng.integers(0, 1500, 400)
    cities = rng.choice(["Bern", "Chur", "Genf"], 400)
    X = pd.DataFrame({"when": pd.to_datetime(days), "city": cities, "x": rng.random(400)})
    X, y = X.astype(object), np.where(days > np.datetime64("2022-01-01"), "yes", "no")
    bounds = np.datetime64("2020-01-01"), np.datetime64("2024-12-31")
    schema = Schema({"when": bounds, "city": str, "x": (0, 1)}, missing=["when", "city"])
    other = X.copy()
    for j, cell in enumerate(STRANGE_CELLS[stranger]):
        other.iat[7, j] = cell
    model = PrivateClassifier(teacher, **{**NAMES, "schema": schema})
    compare(model, (X, y), (other, y), X[:100])


@pytest.mark.parametrize("name", ["newton", "ensemble"])
def test_the_comparison_sees_the_record(name):
    """An ordinary record does move the marginals, their products, and the votes or gradients."""
    X, y, _, _ = table()
    first, second = compare(CLASSIFIERS[name], (X, y), neighbour(X, y, "ordinary", "no"))
    moved = [(a[0] != b[0]).any() for a, b in zip(first.calls, second.calls, strict=True)]
    assert moved[0]
    assert moved[1]
    assert sum(moved) > 2


# ----------------------------------------------------------- the comparison catches broken promises


@pytest.mark.parametrize("name", ["newton", "ensemble"])
def test_features_fitted_on_private_rows_are_caught(monkeypatch, name):
    X, y, _, _ = table()
    private, proper = [], skdistill.private_table.base.PrivateTable._inputs

    def inputs(self, schema, rows, *more):
        return proper(self, schema, private[-1], *more)

    model = clone(CLASSIFIERS[name]).set_params(epsilon=1e4)
    monkeypatch.setattr(skdistill.private_table.base.PrivateTable, "_inputs", inputs)
    first = Tape()
    private.append(SCHEMA.sanitize(X))
    one = first.run(model, X, y)
    other = neighbour(X, y, "extreme", "yes")
    private.append(SCHEMA.sanitize(other[0]))
    with pytest.raises(AssertionError):
        same_to_the_last_bit(one, Tape(first.noisy).run(model, *other))


@pytest.mark.parametrize("name", ["newton", "ensemble"])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_labels_that_are_given_more_than_is_left_are_caught(monkeypatch, share, name):
    X, y, _, _ = table()
    proper = skdistill.private_table.base.at_share

    def generous(queries, part):
        return proper(queries, part + (1 - part) * Fraction(share))

    monkeypatch.setattr(skdistill.private_table.base, "at_share", generous)
    with pytest.raises(ValueError, match="sum to more than 1"):
        CLASSIFIERS[name].fit(X, y)


def test_the_set_of_labels_read_off_the_table_is_caught():
    """With classes="public" the guarantee does assume that it is public."""
    X, y, _, _ = table()
    model = PrivateClassifier(TeacherEnsemble(GaussianNB(), 30), classes="public", **COMMON)
    with pytest.raises(AssertionError):
        compare(model, (X, y), neighbour(X, y, "unknown", CANARY))
    with no_noise():
        assert "the set of class labels is public" in model.fit(X, y).privacy_.assumes


# ------------------------------------------------------------------------------------- canaries


def canaries():
    """Return a table with a record that has a private string wherever there is room for one."""
    X, y, _, _ = table()
    for j in range(4):
        X.iat[7, j] = CANARY
    y[7] = CANARY
    return X, y


def everything(model):
    """Return everything that a published model shows of itself."""
    pickled = io.BytesIO()
    pickle.dump(model, pickled)
    shown = [repr(model), model._repr_html_(), estimator_html_repr(model), str(model.privacy_)]
    shown += [model.privacy_.to_json(), str(vars(model)), model.sample(500, 0).to_csv()]
    shown += [str(model.classes_), str(model.schema_.to_json()), str(model._repr_mimebundle_())]
    return "\n".join(shown) + pickled.getvalue().decode("latin-1")


@pytest.mark.parametrize("name", some(CLASSIFIERS, 2))
def test_a_canary_is_nowhere_in_the_model(name):
    with no_noise():
        model = clone(CLASSIFIERS[name]).fit(*canaries())
    assert CANARY not in everything(model)


KEPT = {
    *("student_", "privacy_", "costs_", "table_", "schema_", "n_teachers_", "_kind"),
    *("n_features_in_", "feature_names_in_", "classes_", "class_prior_", "decision_offsets_"),
}


@pytest.mark.parametrize("name", ["newton", "ensemble", "raw"])
def test_no_teacher_and_no_private_row_is_kept(name):
    model = clone(CLASSIFIERS[name]).fit(*canaries())
    assert set(vars(model)) - set(model.get_params(deep=False)) == KEPT
    pickled = pickle.dumps(model.set_params(teacher=None))
    for teacher in (b"TeacherEnsemble", b"Newton", b"class_count_", b"PrivateRows", b"_Part"):
        assert teacher not in pickled


class Loud(TransformerMixin, BaseEstimator):
    """A stateless step, and a member, that quotes its arguments in warnings and exceptions."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        warnings.warn(f"{X.iloc[7].tolist()}", UserWarning, stacklevel=1)
        if len(X) > 300:
            raise ValueError(f"{X.iloc[7].tolist()}")
        return np.zeros((len(X), 1))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def test_what_a_step_raises_on_private_rows_stays_inside():
    teacher = make_pipeline(FrozenEstimator(Loud()), NewtonClassifier())
    schema = Schema({**dict.fromkeys(("age", "income"), (0, 1)), "town": [CANARY], "owner": [True]})
    X, y = canaries()
    model = PrivateClassifier(teacher, **{**NAMES, "schema": schema})
    with warnings.catch_warnings(record=True) as caught, pytest.raises(ValueError) as error:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert "withheld" in str(error.value)
    chain = error.value
    while chain is not None:
        assert CANARY not in "".join(traceback.format_exception(chain)) + repr(vars(chain))
        chain = chain.__cause__ or chain.__context__
    # The step was fitted on synthetic rows: its text about those is public.
    assert not any("transform" in str(warning.message) for warning in caught)


# ------------------------------------------------------------- columns that could embarrass a fit


def numbers(n_columns, low, high):
    return Schema({f"x{j}": (low, high) for j in range(n_columns)})


def wide(n, d):
    return np.random.default_rng(0).random((n, d))


TABLES = {
    "all missing": (Schema({"a": (0, 1), "b": ["x", "y"]}, missing=True), [[None, None]] * 100),
    "all missing, not allowed": (Schema({"a": (0, 1), "b": ["x", "y"]}), [[None, None]] * 100),
    "constant": (Schema({"a": (0, 1), "b": (3, 3)}), [[0.5, 3.0]] * 100),
    "one category": (Schema({"a": ["x"], "b": [7]}), [["x", 7]] * 100),
    "500 categories": (
        Schema({"a": [f"c{i}" for i in range(500)]}),
        [[f"c{i}"] for i in range(500)],
    ),
    "500 columns": (numbers(500, 0, 1), wide(100, 500)),
    "50 rows": (numbers(3, 0, 1), wide(50, 3)),
    "2 rows": (numbers(3, 0, 1), wide(2, 3)),
    "1 row": (numbers(3, 0, 1), wide(1, 3)),
    "nothing inside": (numbers(3, 5, 6), wide(100, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["both", "one", "neither"])
@pytest.mark.parametrize(
    "teacher", [None, TeacherEnsemble(LogisticRegression())], ids=["newton", "ensemble"]
)
@pytest.mark.parametrize("name", TABLES)
def test_any_table_gives_a_model(name, teacher, labels):
    schema, X = TABLES[name]
    n = len(X)
    y = {"both": np.arange(n) % 2, "one": np.zeros(n), "neither": np.full(n, 7)}[labels]
    model = PrivateClassifier(teacher, schema=schema, classes=[0, 1])
    for threshold in ("prior", 0.5):
        predicted = model.set_params(threshold=threshold).fit(X, y).predict(X)
        assert set(predicted) <= {0, 1}
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("teacher", [None, TeacherEnsemble(Ridge())], ids=["newton", "ensemble"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "500 columns")) for name in TABLES],
)
def test_any_table_gives_a_regression(name, teacher):
    schema, X = TABLES[name]
    model = PrivateRegressor(teacher, schema=schema, output_range=(0, 1))
    assert np.isfinite(model.fit(X, np.full(len(X), np.nan)).predict(X)).all()


# ----------------------------------------------------------------------------------- one-run audit

N_CANARIES, N_GUESSES = 500, 200
DELTA = 1e-11  # so that 2·500·δ is far below the level of 1e-6
IDS = Schema({"id": list(range(N_CANARIES))})


def guesses(model):
    """Fit on records of unique categories with secret labels; return how many guesses are right.

    500 canaries have a category of their own, and a label from a coin; replacing a record is the
    other side of a coin. The 100 largest and the 100 smallest scores are guessed at.
    """
    labels = np.random.default_rng().integers(0, 2, N_CANARIES)
    X = np.arange(N_CANARIES)[:, None]
    model.fit(X, labels)
    scores = model.predict_proba(X)[:, 1]
    order = np.argsort(scores + 1e-12 * np.random.default_rng().random(N_CANARIES))
    half = N_GUESSES // 2
    return int((labels[order[:half]] == 0).sum() + (labels[order[-half:]] == 1).sum())


def audited(epsilon, kind):
    settings = {"schema": IDS, "classes": [0, 1], "epsilon": epsilon, "delta": DELTA}
    every = np.arange(N_CANARIES)[:, None]
    indicators = FrozenEstimator(OneHotEncoder(handle_unknown="ignore").fit(every))
    if kind == "newton":  # a released weight for each canary
        return PrivateClassifier(make_pipeline(indicators, NewtonClassifier()), **settings)
    # Trees that learn their shards by heart: one record in each.
    tree = make_pipeline(indicators, DecisionTreeClassifier())
    student = make_pipeline(indicators, LogisticRegression(C=1e4, max_iter=1000))
    rounds = ResidualRounds(1, None)
    return PrivateClassifier(TeacherEnsemble(tree, 250), student, mechanism=rounds, **settings)


def shown(correct):
    return one_run_epsilon(N_CANARIES, N_GUESSES, correct, delta=DELTA, confidence=1 - 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["newton", "trees"])
@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_one_run_shows_no_more_than_the_claim(epsilon, kind):
    model = audited(epsilon, kind)
    correct = guesses(model)
    assert model.privacy_.epsilon == epsilon
    assert shown(correct) <= epsilon


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_the_audit_catches_a_fit_that_spends_more_than_it_says(monkeypatch, epsilon):
    proper = skdistill.private_table.base.PrivateTable._loss
    monkeypatch.setattr(
        skdistill.private_table.base.PrivateTable,
        "_loss",
        lambda self, task: proper(clone(self).set_params(epsilon=1000.0), task),
    )
    assert shown(guesses(audited(epsilon, "newton"))) > epsilon


@pytest.mark.slow
def test_the_audit_sees_something_at_a_large_epsilon():
    """At ε=1000 most guesses are right (by chance, 150 of 200 have probability 1e-13)."""
    assert guesses(audited(1000.0, "newton")) > 150
    assert math.isclose(shown(100), 0.0)


def test_a_fit_that_fails_leaves_no_earlier_statement(monkeypatch):
    X, y, _, _ = table()
    model = clone(CLASSIFIERS["ensemble"]).fit(X, y)
    assert hasattr(model, "privacy_")
    monkeypatch.setattr(skdistill.private_table.base.PrivateTable, "_statement", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y)
    assert not hasattr(model, "privacy_")
