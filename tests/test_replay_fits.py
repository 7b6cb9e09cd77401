"""The replay audit of single teachers, of whole fits of private tables, and of groups."""

import traceback
from functools import lru_cache

import numpy as np
import pytest
from bounded_means import BoundedMeans
from matrices import some
from replay_cases import (
    CONTAINERS,
    IN_PLACE,
    JOBS,
    LABELS,
    MEMBERS,
    REGRESSORS,
    ROWS,
    TEXT,
    N,
    cells,
    hostile_rows,
    labels_of,
    public_rows,
    rows_of,
    table,
)
from replay_checks import (
    GAUSSIAN,
    LAPLACE,
    LAWS,
    SCHEMAS,
    VOTES,
    Way,
    audit_teachers,
    basis,
    heard,
    members_changed,
    tells_nothing,
)
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    Normalizer,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import PrivateClassifier, PrivateDistiller, PrivateRegressor, ResidualRounds
from skdistill._tables import n_rows
from skdistill.certificates import certify
from skdistill.certificates.public_maps import is_public_map
from skdistill.private_table import PrivateStepError
from skdistill.release.boundary import TeacherError
from skdistill.release.parameters import Parameters
from skdistill.release.synthesis import N_BINS, measure_table
from skdistill.teachers import TeacherEnsemble
from skdistill.testing import _Recorded, replay_audit

K = 4
# One teacher.

TEACHERS = {
    "logistic": (LogisticRegression(), LAWS),
    "tree": (DecisionTreeClassifier(), LAWS),
    "scaled in place": (make_pipeline(StandardScaler(copy=False), KNeighborsClassifier(1)), LAWS),
    "writes": (MEMBERS["writes"], LAWS),
    "uniform neighbours": (KNeighborsClassifier(5), LAWS),
    "weighted neighbours": (KNeighborsClassifier(5, weights="distance"), LAWS),
    "regression neighbours": (KNeighborsRegressor(5), LAWS),
    "ridge": (make_pipeline(StandardScaler(copy=False), Ridge()), LAWS),
    "regression tree": (DecisionTreeRegressor(), LAWS),
    "stable": (
        BoundedMeans(classes=[0, 1]),
        {"parameters": Way(Parameters()), "by laplace": Way(Parameters("laplace"), LAPLACE)},
    ),
}
TEACHERS |= {
    name: (member, LAWS) for name, member in MEMBERS.items() if name.endswith("(copy=False)")
}


@pytest.mark.parametrize("container", some(["array", "sparse", "list", "frame", "polars"], 4))
@pytest.mark.parametrize("name", TEACHERS)
def test_a_single_teacher(name, container):
    """The caller fits the teacher; the record is one that the teacher accepts."""
    prototype, ways = TEACHERS[name]
    X_public = public_rows(container, "numbers")
    if container == "sparse" and name in ("scaled in place", "ridge", "writes"):
        pytest.skip("no centring and no sums of sparse matrices")
    try:
        pair = [
            clone(prototype).fit(*_fresh(container, *case))
            for case in (("same", None), ("large", "flipped label"))
        ]
    except (TypeError, ValueError):
        pytest.skip("not a container for this teacher")
    for way in ways.values():
        audit_teachers(way, *pair, X_public)


def _fresh(container, row, label):
    X, y = table(container, "numbers", row, label)
    return X, np.array(y)


class Remembers(ClassifierMixin, BaseEstimator):
    """A student that keeps its rows."""

    def fit(self, X, y):
        self.classes_, self.seen_ = np.unique(y), X
        return self

    def predict(self, X):
        return np.full(n_rows(X), self.classes_[0])


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
@pytest.mark.parametrize("container", some(["array", "sparse", "frame", "objects"], 2))
@pytest.mark.parametrize("name", IN_PLACE)
def test_the_student_is_trained_on_the_callers_own_rows(name, container):
    """No statistic of the private rows gets into X, neither the caller's nor the student's."""
    step = clone(IN_PLACE[name])
    if container == "sparse" and name == "QuantileTransformer":
        pytest.skip("no negative numbers in its sparse matrices")
    if container == "sparse" and "with_centering" in step.get_params():
        step.set_params(with_centering=False)
    if container == "sparse" and "with_mean" in step.get_params():
        step.set_params(with_mean=False)
    X, y = table(container, "numbers")
    teacher = make_pipeline(step, LogisticRegression()).fit(X, y)
    X_public = public_rows(container, "numbers")
    before = cells(X_public)
    for given in (teacher, TeacherEnsemble(teacher, K, random_state=0).fit(X, y)):
        distiller = PrivateDistiller(given, Remembers(), threshold=None).fit(X_public)
        assert cells(X_public) == before
        assert set(map(tuple, _dense(distiller.student_.seen_))) <= set(
            map(tuple, _dense(X_public))
        )


def _dense(X):
    return (X.toarray() if hasattr(X, "toarray") else np.asarray(X)).tolist()


# Whole fits of a private table, and marginals.

DENSE = [name for name in CONTAINERS if name != "sparse"]


def groups_of(row):
    """Return a group for each row: record 7 has one of its own, and it may be an odd one."""
    names = [i // 2 for i in range(N)]
    names[7] = {"same": 7000, "large": "seven", "nan": np.nan}.get(row, 7001.5)
    return names


def audit_tables(container, kind, row, *, loss, grouped=False):
    """Audit the law of synthetic rows: the counts, then the moment of scores."""
    return silent(silent(recorded_table, container, kind, loss, grouped).audit, row).moved


def silent(function, *args):
    """Return the result of a function that warns of nothing."""
    result, said = heard(function, *args)
    assert not said
    return result


@lru_cache(maxsize=4)
def recorded_table(container, kind, loss, grouped):
    """Return the runs on the table without a hostile record."""
    schema = SCHEMAS[kind]

    def mechanism(name):
        X, _ = table(container, kind, name)
        before = cells(X)
        codes = schema.encode(X, N_BINS)
        assert cells(X) == before
        groups = groups_of(name) if grouped else None
        return measure_table(schema, codes, loss, groups=groups)

    return _Recorded(mechanism, "same", loss)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("loss", [GAUSSIAN, LAPLACE], ids=lambda loss: loss.kind)
@pytest.mark.parametrize("container", some(DENSE, 3))
def test_synthetic_rows(container, loss, grouped):
    kind = "numbers" if container in ("array", "float32") else "mixed"
    for row in hostile_rows(container, kind):
        moved = audit_tables(container, kind, row, loss=loss, grouped=grouped)
        assert len(moved) == 2


def audit_fit(name, container, row, label, *, public=False, grouped=False):
    """Audit the one generator of a whole fit; return how far its queries moved."""
    recorded, X_public, ended = recorded_fit(name, container, public, grouped)
    assert len(ended) == 2
    shown = cells(X_public)
    found = silent(recorded.audit, (row, label))
    assert len(ended) == 3
    ended.pop()
    assert cells(X_public) == shown
    return found.moved


@lru_cache(maxsize=4)
def recorded_fit(name, container, public, grouped):
    """Return the runs of a fit without a hostile record, the public rows, and a list of ends."""
    model, ended = FITS[name], []
    kind = "mixed" if model.schema is SCHEMAS["mixed"] else "numbers"
    X_public = public_rows(container, kind) if public else None

    def mechanism(case):
        fit, (X, y) = clone(model), table(container, kind, *case)
        if is_regressor(model):
            y = [cell if i == 7 else float(cell) for i, cell in enumerate(y)]
        before = cells(X), cells(y)
        groups = groups_of("same") if grouped else None  # the set of labels is public
        task = fit._check(X, y, groups, X_public)
        fit._rehearse(task, fit._loss(task))
        queries = fit._queries(task, fit._loss(task), np.random.RandomState(0))
        assert (cells(X), cells(y)) == before
        return _public_parts(queries, ended)

    loss, shown = GAUSSIAN if model.delta else LAPLACE, cells(X_public)
    recorded = silent(_Recorded, mechanism, ("same", None), loss)
    assert cells(X_public) == shown
    return recorded, X_public, ended


def _public_parts(queries, ended):
    found = yield from queries
    ended.append(True)  # an audit also passes where all runs raise the same exception
    return found.table, cells(found.rows), found.labels, found.histogram


def private_table(teacher, kind, **settings):
    """Return an unfitted estimator of a private table."""
    common = {"schema": SCHEMAS[kind], "epsilon": 8.0, "random_state": 0, **settings}
    if teacher == "rounds of regression":
        return PrivateRegressor(output_range=(-1.0, 1.0), **common)
    if teacher == "rounds":
        return PrivateClassifier(classes=[0, 1], **common)
    member = member_of(teacher)
    ensemble = TeacherEnsemble(member, 3)
    if is_regressor(member):
        return PrivateRegressor(ensemble, output_range=(-1.0, 1.0), **common)
    return PrivateClassifier(ensemble, classes=[0, 1], **common)


def member_of(name):
    return REGRESSORS[name] if name in REGRESSORS else MEMBERS[name]


def as_they_are(name, kind):
    """Return an ensemble of pipelines, which see rows as they are."""
    return TeacherEnsemble(make_pipeline(FunctionTransformer(), member_of(name)), 3)


TWO_ROUNDS = ResidualRounds(2, basis)
FITS = {
    "gradient rounds": private_table("rounds", "mixed"),
    "pure gradient rounds": private_table("rounds", "mixed", delta=0.0, threshold="f1"),
    "three classes": private_table("rounds", "numbers").set_params(classes=[0, 1, 2]),
    "rounds of regression": private_table("rounds of regression", "mixed"),
    "pure rounds of regression": private_table("rounds of regression", "numbers", delta=0.0),
    "logistic regression": private_table("logistic", "mixed", threshold=0.5),
    "two rounds": private_table("tree", "mixed", mechanism=TWO_ROUNDS),
    "pure": private_table("neighbours", "mixed", delta=0.0),
    "in place": private_table("StandardScaler(copy=False)", "numbers").set_params(
        teacher=as_they_are("StandardScaler(copy=False)", "numbers")
    ),
    "writes": private_table("writes", "mixed"),
    "draws": private_table("draws", "mixed"),
    "panics": private_table("panics when asked", "numbers").set_params(
        teacher=as_they_are("panics when asked", "numbers")
    ),
    "ridge": private_table("ridge", "mixed"),
    "loud regressor": private_table("loud regressor", "numbers").set_params(
        teacher=as_they_are("loud regressor", "numbers")
    ),
}


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr("skdistill.private_table.base._N_ROWS", 30)


@pytest.mark.parametrize("public", [False, True], ids=["synthetic", "public"])
@pytest.mark.parametrize("name", some(FITS, 3))
def test_whole_fits(name, public):
    rows = ["large", "shorter", "raising cell"]
    for i, row in enumerate(rows):
        label = list(LABELS)[(i + len(name)) % len(LABELS)]
        audit_fit(name, "list", row, label, public=public, grouped=i == 1)


# Whole groups: other rows, more of them, in other places.


def people(kind, replaced):
    """Return a table of twelve groups of four; group 3 is another one where it is `replaced`."""
    rows, names = rows_of(kind, N), [i // 4 for i in range(N)]
    y = labels_of(rows)
    if replaced:
        kept = [i for i in range(N) if names[i] != 3]
        odd = ["large", "text among numbers", "shorter", "missing", "huge", "large", "large"]
        rows = [ROWS[row][1](rows[i]) for i, row in enumerate(odd)] + [rows[i] for i in kept]
        y = [TEXT, None, 1, 1, 1, 0, 1] + [y[i] for i in kept]
        names = [3.0, "3", 3, 3, 3, 3, 3] + [names[i] for i in kept]
    return rows, y, names


@pytest.mark.parametrize("way", VOTES)
@pytest.mark.parametrize("name", some(["loud", "tree", "writes"], 3))
def test_a_whole_group_of_an_ensemble(name, way):
    pair = []
    for replaced in (False, True):
        teacher = TeacherEnsemble(MEMBERS[name], K, classes=[0, 1], random_state=0)
        pair.append(heard(teacher.fit, *people("numbers", replaced))[0])
    X_public = public_rows("list", "numbers")
    assert members_changed(*pair, X_public) <= 1
    audit_teachers(VOTES[way], *pair, X_public)


@pytest.mark.parametrize("loss", [GAUSSIAN, LAPLACE], ids=lambda loss: loss.kind)
def test_a_whole_group_of_synthetic_rows(loss):
    schema = SCHEMAS["mixed"]

    def mechanism(replaced):
        rows, _, names = people("mixed", replaced)
        return measure_table(schema, schema.encode(rows, N_BINS), loss, groups=names)

    moved = replay_audit(mechanism, False, True, loss=loss).moved
    assert len(moved) == 2
    assert moved[0][0] > 0.5


@pytest.mark.parametrize("public", [False, True], ids=["synthetic", "public"])
@pytest.mark.parametrize(
    "name",
    [
        *("gradient rounds", "pure gradient rounds", "three classes", "rounds of regression"),
        *("logistic regression", "two rounds", "pure", "ridge"),
    ],
)
def test_a_whole_group_of_a_fit(name, public):
    model = FITS[name]
    kind, ended = "mixed" if model.schema is SCHEMAS["mixed"] else "numbers", []

    def mechanism(replaced):
        fit, (X, y, names) = clone(model), people(kind, replaced)
        task = fit._check(X, y, names, public_rows("list", kind) if public else None)
        queries = fit._queries(task, fit._loss(task), np.random.RandomState(0))
        return _public_parts(queries, ended)

    loss = GAUSSIAN if model.delta else LAPLACE
    heard(lambda: replay_audit(mechanism, False, True, loss=loss))
    assert len(ended) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("container", DENSE)
def test_whole_fits_of_every_container(name, container):
    model = FITS[name]
    kind = "mixed" if model.schema is SCHEMAS["mixed"] else "numbers"
    for i, row in enumerate(hostile_rows(container, kind)):
        label = list(LABELS)[i % len(LABELS)]
        audit_fit(name, container, row, label, public=i % 2 == 1)


@pytest.mark.parametrize(
    "name", ["gradient rounds", "rounds of regression", "logistic regression", "panics", "ridge"]
)
def test_a_whole_fit_tells_nothing_of_a_hostile_record(name):
    model = clone(FITS[name])
    kind = "mixed" if model.schema is SCHEMAS["mixed"] else "numbers"
    X, y = table("list", kind, "raising cell", "raising label")
    heard(model.fit, X, y)
    tells_nothing(repr(model), str(model.privacy_), model._repr_html_())


@pytest.mark.parametrize("container", ["list", "frame"])
def test_a_single_teacher_of_a_fit_does_not_quote_a_row(monkeypatch, container):
    """Text for a teacher that wants numbers: scikit-learn's message quotes the first row.

    The rehearsal meets the error on rows that the schema makes up, before the charge.
    """
    teacher = make_pipeline(FunctionTransformer(), KNeighborsClassifier(3))
    model = PrivateClassifier(teacher, schema=SCHEMAS["mixed"], classes=[0, 1], random_state=0)
    X, y = table(container, "mixed")
    with pytest.raises(ValueError, match="could not convert"):
        model._rehearse(model._check(X, y, None, None), GAUSSIAN)
    monkeypatch.setattr(PrivateClassifier, "_rehearse", lambda *_: None)
    with pytest.raises((PrivateStepError, TeacherError)) as caught:
        model.fit(X, y)
    assert not any(job in "".join(traceback.format_exception(caught.value)) for job in JOBS)


class Stops(DecisionTreeClassifier):
    """A member that can be interrupted."""

    stops = False

    def fit(self, X, y):
        if Stops.stops:
            raise KeyboardInterrupt(TEXT)
        return super().fit(X, y)


@pytest.mark.parametrize("first_grouped", [False, True])
def test_an_interrupted_refit_keeps_the_unit_of_the_members_that_are_there(
    monkeypatch, first_grouped
):
    X, y = table("array", "numbers")
    groups = [i // 4 for i in range(N)]
    teacher = TeacherEnsemble(Stops(), K, classes=[0, 1], random_state=0)
    teacher.fit(X, y, groups if first_grouped else None)
    before = certify(teacher), teacher.estimators_, teacher.fit_id_
    monkeypatch.setattr(Stops, "stops", True)
    with pytest.raises(KeyboardInterrupt) as caught:
        teacher.fit(X, y, None if first_grouped else groups)
    tells_nothing("".join(traceback.format_exception(caught.value)))
    assert (certify(teacher).unit, teacher.estimators_, teacher.fit_id_) == (
        before[0].unit,
        *before[1:],
    )


STATELESS = [
    Normalizer,
    Binarizer,
    PolynomialFeatures,
    FunctionTransformer,
    AdditiveChi2Sampler,
    HashingVectorizer,
    FeatureHasher,
]


@pytest.mark.parametrize("family", STATELESS)
def test_a_subclass_with_an_inherited_tag_may_have_learned(family):
    """A tag of scikit-learn (``requires_fit=False``) is inherited; a proof is not."""

    class Learns(family):
        def fit(self, X, y=None):
            self.mean_ = np.asarray(X).mean(axis=0)
            return super().fit(X, y)

    class Untouched(family):
        pass

    assert is_public_map(family())
    assert not is_public_map(Learns())
    assert not is_public_map(Untouched())
    assert not is_public_map(make_pipeline(family(), Learns()))
    assert not is_public_map(FeatureUnion([("a", family()), ("b", Learns())]))
    assert is_public_map(FrozenEstimator(Learns()))


def test_a_teacher_behind_a_step_that_learned_has_the_worst_case():
    class Centres(FunctionTransformer):
        def fit(self, X, y=None):
            self.mean_ = np.mean(X, axis=0)
            return super().fit(X, y)

        def transform(self, X):
            return X - self.mean_

    X, y = table("array", "numbers")
    for last in (KNeighborsClassifier(5), BoundedMeans(classes=[0, 1])):
        known = certify(make_pipeline(FunctionTransformer(), last).fit(X, y))
        learned = certify(make_pipeline(Centres(), last).fit(X, y))
        assert known.name != "worst case"
        assert learned.name == "worst case"
