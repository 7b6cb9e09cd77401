"""Which steps of a pipeline learned nothing: by exact class, and by how columns are chosen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, SparseCoder
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import AdditiveChi2Sampler, RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KernelCenterer,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.utils import all_estimators, get_tags

from skdistill import NewtonClassifier, PrivateDistiller, TeacherEnsemble
from skdistill.certificates import AlreadyPrivate, certify
from skdistill.certificates.base import OWN_RECORD
from skdistill.certificates.neighbors import neighbor_votes
from skdistill.certificates.public_maps import (
    _LEARN_NOTHING,
    is_public_map,
    public_map_assumptions,
)
from skdistill.transfer import Schema, TableFeatures
from skdistill.transfer.encoding import SchemaRows

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), np.arange(40) % 2
SCHEMA = Schema({"a": (-1, 1), "b": (-1, 1), "c": (-1, 1)})


class RemembersTheMean(Normalizer):
    """Learns, and inherits the tag that says it does not."""

    def fit(self, X, y=None):
        self.mean_ = np.mean(X, axis=0)
        return super().fit(X, y)


class SaysSo(TransformerMixin, BaseEstimator):
    """Learns, and declares that it needs no fit."""

    def fit(self, X, y=None):
        self.mean_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        return X - self.mean_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class MyPipeline(Pipeline):
    pass


class MyFrozen(FrozenEstimator):
    pass


CHOSEN = ColumnTransformer([("keep", "passthrough", lambda X: [0])])


@pytest.mark.parametrize(
    ("step", "public"),
    [
        ("passthrough", True),
        ("drop", True),
        (None, True),
        ("anything else", False),
        (Normalizer(), True),
        (Binarizer(threshold=0.5), True),
        (PolynomialFeatures(), True),
        (AdditiveChi2Sampler(), True),
        (FeatureHasher(8), True),
        (HashingVectorizer(), True),
        (FunctionTransformer(np.log1p), True),
        (SchemaRows(SCHEMA), True),
        (TableFeatures(SCHEMA), False),
        (FrozenEstimator(TableFeatures(SCHEMA)), True),
        (FrozenEstimator(StandardScaler().fit(X)), True),
        (make_pipeline(Normalizer(), FrozenEstimator(PCA(2).fit(X))), True),
        (FeatureUnion([("a", Normalizer()), ("b", "passthrough")]), True),
        (make_column_transformer((Normalizer(), [0]), remainder="passthrough"), True),
        (StandardScaler(), False),
        (KernelCenterer(), False),
        (RBFSampler(), False),
        (PatchExtractor(), False),
        (SparseCoder(np.eye(3)), False),
        (TfidfVectorizer(), False),
        (make_pipeline(Normalizer(), PCA(2)), False),
        (FeatureUnion([("a", Normalizer()), ("b", PCA(1))]), False),
        (make_column_transformer((OneHotEncoder(), [0])), False),
        (make_column_transformer((Normalizer(), [0]), remainder=StandardScaler()), False),
        (RemembersTheMean(), False),
        (SaysSo(), False),
        (make_pipeline(SaysSo()), False),
        (MyPipeline([("a", Normalizer())]), False),
        (MyFrozen(Normalizer()), False),
        (Normalizer, False),
        (object(), False),
    ],
)
def test_public_maps(step, public):
    assert is_public_map(step) is public


@pytest.mark.parametrize(
    ("columns", "public"),
    [
        (0, True),
        ("age", True),
        (["age", "sex"], True),
        ((0, 2), True),
        (np.array([0, 2]), True),
        (np.array(["age"]), True),
        (pd.Index(["age"]), True),
        (slice(0, 2), True),
        (slice("age", "sex"), True),
        ([True, False, True], True),
        (np.array([True, False, True]), True),
        (make_column_selector(dtype_include="number"), False),
        (make_column_selector(pattern="a"), False),
        (lambda X: [0], False),
        ([lambda X: [0]], False),
        (None, False),
    ],
)
def test_columns_that_a_function_chooses_are_learned(columns, public):
    transformer = ColumnTransformer([("keep", "passthrough", columns)])
    assert is_public_map(transformer) is public
    assert is_public_map(make_pipeline(Normalizer(), transformer)) is public
    assert is_public_map(FeatureUnion([("a", transformer)])) is public
    nested = ColumnTransformer([("outer", transformer, [0])])
    assert is_public_map(nested) is public
    assert is_public_map(ColumnTransformer([("a", "drop", [0])], remainder=transformer)) is public


def test_a_selected_column_moves_every_record():
    """The bound of the last step would be broken: one outlier takes a column from every record."""
    calm = make_column_selector(dtype_include="number")
    table = pd.DataFrame({"u": X[:, 0], "v": X[:, 1]})
    other = table.astype({"v": object})
    other.loc[0, "v"] = "n/a"
    a, b = (
        make_pipeline(
            ColumnTransformer([("keep", "passthrough", calm)]), KNeighborsClassifier(5)
        ).fit(each, Y)
        for each in (table, other)
    )
    queries = pd.DataFrame(RNG.normal(size=(50, 2)), columns=["u", "v"])
    moved = np.abs(a.predict_proba(queries) - b.predict_proba(queries)).sum(axis=1).max()
    assert moved > 2 / 5 + 0.1
    assert certify(a).name == certify(b).name == "worst case"


@pytest.mark.parametrize("step", [Normalizer(), make_pipeline(Normalizer())])
def test_a_method_that_is_replaced_on_one_object_may_learn(step):
    assert is_public_map(step)
    step.transform = lambda rows: rows - X.mean(axis=0)
    assert not is_public_map(step)
    assert not is_public_map(make_pipeline(step))


def test_how_many_zeros_sparse_rows_have_is_learned_too():
    """Rows without names may have been sparse. Sums of sparse and of dense rows round differently.

    All records are permutations of one row, so all are equally far from a constant one.
    """
    rng, cells = np.random.default_rng(0), np.random.default_rng(1).uniform(0.1, 1, 12)
    rows = np.zeros((400, 40))
    for row in rows:
        row[rng.choice(40, 12, replace=False)] = rng.permutation(cells)
    y, other = rng.integers(0, 2, 400), rows.copy()
    other[0, np.flatnonzero(other[0])[:6]] = 0
    queries = sp.csr_matrix(np.repeat(rng.uniform(0.1, 1, (30, 1)), 40, axis=1))
    votes = []
    for table in (rows, other):
        columns = ColumnTransformer([("keep", "passthrough", list(range(40)))])
        model = make_pipeline(columns, KNeighborsClassifier(100)).fit(sp.csr_matrix(table), y)
        votes.append(neighbor_votes(model[-1], columns.transform(queries)))
        assert certify(model).name == "worst case"
        named = ColumnTransformer([("keep", "passthrough", ["a"])])
        assert is_public_map(named.fit(pd.DataFrame({"a": table[:, 0]})))
        assert is_public_map(columns.set_params(sparse_threshold=0).fit(table))
    assert np.abs(votes[0] - votes[1]).max() * 100 > 1.5  # more than one vote


@pytest.mark.parametrize("inner", [FeatureHasher(4), make_pipeline(FeatureHasher(4))])
def test_how_many_zeros_there_are_is_learned(inner):
    """A ColumnTransformer chooses between sparse and dense by the private rows' zeros."""
    transformer = ColumnTransformer([("hash", inner, [0])])
    assert not is_public_map(transformer)
    assert is_public_map(transformer.set_params(sparse_threshold=0))


@pytest.mark.parametrize("path", sorted(_LEARN_NOTHING))
def test_the_listed_classes_learn_nothing_and_work_row_by_row(path):
    module, _, name = path.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    step = cls(SCHEMA) if name == "SchemaRows" else cls()
    rows = np.abs(RNG.normal(size=(30, 3)))
    other = 50 * np.abs(RNG.normal(size=(30, 3))) + 7
    if name == "FeatureHasher":
        rows, other = ([{"a": v, "b": w} for v, w, _ in each.tolist()] for each in (rows, other))
    elif name == "HashingVectorizer":
        rows, other = ([f"w{v:.1f} v{w:.1f}" for v, w, _ in each] for each in (rows, other))
    else:
        rows, other = (pd.DataFrame(each, columns=["a", "b", "c"]) for each in (rows, other))

    def dense(Z):
        return np.asarray(Z.toarray() if sp.issparse(Z) else Z, dtype=float)

    whole = dense(step.fit(rows).transform(rows))
    assert np.array_equal(dense(cls(**step.get_params()).fit(other).transform(rows)), whole)
    for i in (0, 17, 29):
        one = rows[i : i + 1] if isinstance(rows, list) else rows.iloc[i : i + 1]
        assert np.allclose(dense(step.transform(one))[0], whole[i], rtol=1e-12)


def test_the_list_knows_every_class_of_scikit_learn_that_needs_no_fit():
    """A new stateless class shows up here: list it, or say why not."""
    for name, cls in all_estimators("transformer"):
        try:
            step = cls()
        except TypeError:
            continue
        known = any(path.endswith(f".{name}") for path in _LEARN_NOTHING)
        assert get_tags(step).requires_fit or known or name == "PatchExtractor", name


def texts(step):
    return public_map_assumptions(step, "s")


def test_assumptions_are_listed_for_users_functions_alone():
    assert texts(Normalizer()) == texts(FunctionTransformer()) == texts("drop") == ()
    assert texts(make_pipeline(Normalizer(), "passthrough")) == ()
    assert texts(StandardScaler()) is None
    (text,) = texts(FunctionTransformer(np.log1p))
    assert "function in the step 's'" in text and "row by row" in text
    (text,) = texts(make_pipeline(Normalizer(), FunctionTransformer(np.log1p)))
    assert "'s.functiontransformer'" in text
    (text,) = texts(HashingVectorizer(tokenizer=str.split))
    assert "function" in text
    (text,) = texts(FrozenEstimator(StandardScaler()))
    assert "frozen" in text and "private data" in text


def test_a_pipelines_certificate_lists_them_and_carries_the_steps():
    scaler = FrozenEstimator(StandardScaler().fit(X))
    model = make_pipeline(scaler, Normalizer(), KNeighborsClassifier(5)).fit(X, Y)
    bound = certify(model)
    own, kept, frozen = bound.assumes
    assert own == OWN_RECORD and "fitted with" in kept and "'frozenestimator'" in frozen
    assert np.array_equal(bound.transformer.transform(X), model[:-1].transform(X))
    assert certify(make_pipeline(KNeighborsClassifier(5)).fit(X, Y)).transformer is None


def columns(step, **settings):
    return ColumnTransformer([("num", step, [0, 1, 2])], sparse_threshold=0, **settings)


@pytest.mark.parametrize(
    "place",
    [
        lambda each: each,
        lambda each: make_pipeline(Normalizer(), each),
        lambda each: FeatureUnion([("a", each)]),
        lambda each: ColumnTransformer([("a", each, [0, 1, 2])], sparse_threshold=0),
    ],
)
def test_columns_are_transformed_by_the_parts_that_were_fitted(place):
    """set_params after the fit leaves the private scaler where it is."""
    fitted = place(columns(StandardScaler())).fit(X)
    scaler = columns("passthrough", remainder=StandardScaler()).fit(np.c_[X, X])
    for step in (fitted, place(scaler)):
        for name in [each for each in step.get_params() if each.endswith(("num", "remainder"))]:
            step.set_params(**{name: "passthrough"})
        assert not is_public_map(step)
    assert is_public_map(place(columns(Normalizer())).fit(X))
    assert texts(place(columns(FunctionTransformer(np.log1p))).fit(X + 9)) != ()


def test_a_scaler_taken_out_of_columns_after_the_fit_moves_every_record():
    other = X.copy()
    other[3] = 1e4
    bounds, votes = [], []
    for rows in (X, other):
        model = make_pipeline(columns(StandardScaler()), KNeighborsClassifier(15)).fit(rows, Y)
        model.set_params(columntransformer__num="passthrough")
        bounds.append(certify(model))
        votes.append(model.predict_proba(X))
    assert np.abs(votes[0] - votes[1]).sum(axis=1).max() > 2 / 15 + 0.1
    assert [each.name for each in bounds] == ["worst case"] * 2


def test_steps_replaced_after_the_fit_leave_no_trace_and_are_an_assumption():
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(X, Y)
    own, text = certify(model.set_params(standardscaler="passthrough")).assumes
    assert own == OWN_RECORD
    assert "steps of the pipeline" in text and "fitted with" in text
    assert certify(make_pipeline(KNeighborsClassifier(5)).fit(X, Y)).assumes == (OWN_RECORD,)


def test_a_pipeline_in_a_pipeline():
    inner = make_pipeline(PolynomialFeatures(), KNeighborsClassifier(5))
    model = make_pipeline(Normalizer(), inner).fit(X, Y)
    bound = certify(model)
    assert bound.l1 == 2 / 5
    assert len(bound.assumes) == 2  # each once for both pipelines
    votes = bound.outputs(bound.transformer.transform(X))
    assert np.allclose(votes, model.predict_proba(X))
    learned = make_pipeline(Normalizer(), make_pipeline(StandardScaler(), inner)).fit(X, Y)
    assert certify(learned).name == "worst case"


# --------------------------------------------------------------------------------- schemas

LEARNED = Schema(SCHEMA.columns, privacy=AlreadyPrivate(5.0).statement(0))
SHOWN = Schema(LEARNED.columns, privacy=replace(LEARNED.privacy, private=False))


def with_schema(schema, where):
    """Teachers with a schema in a frozen step, in a step by itself, deeper, and in members."""
    features = TableFeatures(schema, n_knots=0, n_components=2).fit(X)
    if where == "members":
        member = make_pipeline(TableFeatures(schema), LogisticRegression())
        return TeacherEnsemble(member, 5, classes=[0, 1])
    if where == "frozen members":
        member = make_pipeline(FrozenEstimator(features), LogisticRegression())
        return TeacherEnsemble(member, 5, classes=[0, 1])
    step = {
        "frozen": FrozenEstimator(features),
        "frozen pipeline": FrozenEstimator(make_pipeline(FunctionTransformer(), features).fit(X)),
        "part": make_pipeline(FunctionTransformer(), FrozenEstimator(features)),
        "rows": SchemaRows(schema),
    }[where]
    return make_pipeline(step, NewtonClassifier(classes=[0, 1]))


@pytest.mark.parametrize(
    "where", ["frozen", "frozen pipeline", "part", "rows", "members", "frozen members"]
)
def test_the_origin_of_a_schema_is_an_assumption(where):
    """Bounds that were learned with privacy have a price; without, they void the bound."""
    learned = certify(with_schema(LEARNED, where).fit(X, Y))
    assert learned.assumes.count(LEARNED.origin) == 1
    assert "learned from private records at ε=5" in LEARNED.origin
    frozen = "frozen" in where or where == "part"
    assert any("but for the bounds" in text for text in learned.assumes) == frozen
    stated = certify(with_schema(SCHEMA, where).fit(X, Y))
    assert not any("but for the bounds" in text for text in stated.assumes)
    assert any("without the private data" in text for text in stated.assumes) or (
        SCHEMA.origin in stated.assumes
    )
    assert certify(with_schema(SHOWN, where).fit(X, Y)).name == "worst case"


@pytest.mark.filterwarnings("ignore:The model will be mostly noise")
def test_a_student_that_reads_a_learned_schema_says_so():
    """Its features are published with it: their price belongs to the statement."""
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, Y)

    def statement(schema):
        student = make_pipeline(TableFeatures(schema), LogisticRegression())
        return PrivateDistiller(teacher, student, epsilon=20.0).fit(X.copy()).privacy_

    learned, stated, shown = map(statement, (LEARNED, SCHEMA, SHOWN))
    assert learned.private
    assert learned.assumes.count(LEARNED.origin) == 1
    assert LEARNED.origin not in stated.assumes
    assert stated.assumes.count(SCHEMA.origin) == 1
    assert not shown.private
    assert SHOWN.origin in shown.assumes
