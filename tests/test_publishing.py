"""A student to publish: the same predictions, no teacher, and a file that runs no code."""

import copy
import dataclasses
import functools
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OutputCodeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

import skdistill
from skdistill import (
    PATEClassifier,
    PrivateDistiller,
    StableLogisticRegression,
    TeacherEnsemble,
)
from skdistill.accounting import BudgetAccountant
from skdistill.publishing import (
    Published,
    PublishedClassifier,
    UnsafeFileError,
    export,
    load,
    refuse_private_parts,
    refuse_private_settings,
    save,
)
from skdistill.publishing.archive import digest_of
from skdistill.publishing.private_parts import _reachable
from skdistill.schema import Column, Schema
from skdistill.transfer import TableFeatures

pytestmark = pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
CANARY = "canary-51b9e2"
IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = load_iris().target_names[SPECIES]


def needs_skops():
    return pytest.importorskip("skops.io")


class Secretive(LogisticRegression):
    """A teacher with something to hide."""

    def fit(self, X, y):
        self.secret_ = [CANARY] * 3
        return super().fit(X, y)


def distilled(student=None, labels=NAMES, **settings):
    teacher = Secretive(max_iter=500).fit(IRIS, labels)
    return PrivateDistiller(teacher, student, **{"epsilon": 2.0, **settings}).fit(IRIS)


STUDENTS = [
    None,
    KNeighborsClassifier(),
    SVC(),
    RandomForestClassifier(5, random_state=0),
    Ridge(),
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=5)),
]


@pytest.mark.parametrize("student", STUDENTS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("threshold", ["prior", None])
def test_the_export_predicts_what_the_distiller_predicts(student, threshold):
    distiller = distilled(student, threshold=threshold)
    plain = distiller.export().estimator
    assert is_classifier(plain)
    assert np.array_equal(plain.classes_, distiller.classes_)
    assert np.array_equal(plain.predict(IRIS), distiller.predict(IRIS))
    assert plain.score(IRIS, NAMES) == distiller.score(IRIS, NAMES)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert hasattr(plain, method) == hasattr(distiller, method), method
        if hasattr(plain, method):
            assert np.array_equal(getattr(plain, method)(IRIS), getattr(distiller, method)(IRIS))


def test_a_cut_of_ones_own():
    distiller = distilled(labels=SPECIES > 0, threshold=0.3)
    assert np.array_equal(distiller.export().estimator.predict(IRIS), distiller.predict(IRIS))


def test_a_regressor_is_exported_as_it_is():
    teacher = Ridge().fit(IRIS[:, 1:], IRIS[:, 0])
    distiller = PrivateDistiller(teacher, epsilon=50, output_range=(4, 8)).fit(IRIS[:, 1:])
    published = export(distiller)
    assert published.estimator is distiller.student_
    assert published.statement is distiller.privacy_
    assert np.array_equal(published.estimator.predict(IRIS[:, 1:]), distiller.predict(IRIS[:, 1:]))


def test_an_export_is_an_ordinary_estimator():
    plain = distilled().export().estimator
    assert clone(plain) is plain
    assert plain.fit(IRIS[:1], NAMES[:1]) is plain
    assert np.isfinite(cross_val_score(plain, IRIS, NAMES, cv=2)).all()
    assert pickle.loads(pickle.dumps(plain)).predict(IRIS).shape == (150,)
    with pytest.raises(ValueError, match="2 features"):
        plain.predict(IRIS[:, :2])


def test_names_of_columns_are_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    teacher = LogisticRegression(max_iter=500).fit(frame, NAMES)
    plain = PrivateDistiller(teacher, epsilon=2.0).fit(frame).export().estimator
    assert plain.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        plain.predict(frame[list("dcba")])


def test_nothing_private_goes_along():
    accountant = BudgetAccountant()
    teacher = Secretive(max_iter=500).fit(IRIS, NAMES)
    distiller = PrivateDistiller(teacher, accountant=accountant, epsilon=2.0).fit(IRIS)
    published = distiller.export()
    forbidden = {id(each) for each in (teacher, accountant, distiller, teacher.secret_)}
    assert not any(id(each) in forbidden for each in _reachable(published))
    assert CANARY.encode() not in pickle.dumps(published)
    # The search would find it.
    assert any(each is teacher for each in _reachable([{"deep": (FrozenEstimator(teacher),)}]))


@pytest.mark.parametrize("inside", ["whole", "step", "member"])
def test_a_student_that_holds_the_teacher_is_not_exported(inside):
    scaler = StandardScaler().fit(IRIS)
    if inside == "whole":
        teacher = part = StableLogisticRegression().fit(IRIS, NAMES)
    elif inside == "step":
        teacher = make_pipeline(scaler, LogisticRegression()).fit(IRIS, NAMES)
        part = teacher[0]
    else:
        member = make_pipeline(StandardScaler(), LogisticRegression())
        teacher = TeacherEnsemble(member, 3, classes=np.unique(NAMES)).fit(IRIS, NAMES)
        part = teacher.estimators_[1][0]
    frozen = FrozenEstimator(part)
    if inside == "whole":
        frozen = FunctionTransformer(frozen.decision_function)  # a method of the teacher
    student = make_pipeline(frozen, LogisticRegression())
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        PrivateDistiller(teacher, student, epsilon=2.0).fit(IRIS).export()


TEACHER = LogisticRegression(max_iter=500).fit(IRIS, NAMES)
FOREST = RandomForestClassifier(3, random_state=0).fit(IRIS, NAMES)


def scores_by_name(A):
    return (lambda: TEACHER.decision_function(A))()


def scores_by_default(A, teacher=TEACHER):
    return teacher.decision_function(A)


def scores_of(A, part=None):
    return A


def scores_by_another(A):
    return scores_by_name(A)


def enclosing(teacher):
    def scores(A):
        return teacher.decision_function(A)

    return scores


HOLDERS = {
    "method": lambda: FunctionTransformer(TEACHER.decision_function),
    "partial": lambda: FunctionTransformer(functools.partial(TEACHER.decision_function)),
    "name": lambda: FunctionTransformer(scores_by_name),
    "name in another": lambda: FunctionTransformer(scores_by_another),
    "default": lambda: FunctionTransformer(scores_by_default),
    "closure": lambda: FunctionTransformer(enclosing(TEACHER)),
    "array": lambda: FunctionTransformer(scores_of, kw_args={"part": TEACHER.coef_}),
    "array of objects": lambda: FunctionTransformer(
        scores_of, kw_args={"part": np.array([TEACHER, None])}
    ),
    "array in a list": lambda: FunctionTransformer(
        scores_of, kw_args={"part": [{"a": (TEACHER.coef_,)}]}
    ),
    "view": lambda: FunctionTransformer(scores_of, kw_args={"part": TEACHER.coef_.view()}),
    "tree": lambda: FunctionTransformer(scores_of, kw_args={"part": FOREST.estimators_[1].tree_}),
    "frozen": lambda: FrozenEstimator(FOREST),
}


@pytest.mark.parametrize("refuse", [refuse_private_parts, refuse_private_settings])
@pytest.mark.parametrize("name", HOLDERS)
def test_what_holds_a_part_of_the_teacher(name, refuse):
    teacher = FOREST if name in ("tree", "frozen") else TEACHER
    student = make_pipeline(HOLDERS[name](), LogisticRegression())
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        refuse(student, FrozenEstimator(teacher))
    refuse(student, Ridge().fit(IRIS[:, 1:], IRIS[:, 0]))
    refuse(student, None)


@pytest.mark.parametrize("name", ["array", "tree", "array in a list"])
def test_a_guess_of_what_the_teacher_learned_is_neither_confirmed_nor_denied(name):
    """No private value decides whether a fit or an export raises: contents are not compared."""
    teacher = FOREST if name == "tree" else TEACHER
    right = make_pipeline(copy.deepcopy(HOLDERS[name]()), LogisticRegression(max_iter=500))
    for student in (right, make_pipeline(FrozenEstimator(copy.deepcopy(teacher)), right)):
        refuse_private_settings(student, teacher)
        refuse_private_parts(student, teacher)
    assert PrivateDistiller(teacher, right, epsilon=50.0).fit(IRIS).export()


class KeepsNoParameter(ClassifierMixin, BaseEstimator):
    """Of someone who does not follow scikit-learn's rules: get_params raises."""

    def __init__(self, names):
        self.classes_ = np.array(names)

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_a_teacher_whose_get_params_raises_is_a_teacher_too():
    teacher = KeepsNoParameter([0, 1])
    with pytest.raises(AttributeError):
        teacher.get_params()
    refuse_private_settings(LogisticRegression(), teacher)
    with pytest.raises(ValueError, match="holds the teacher"):
        refuse_private_settings(make_pipeline(FrozenEstimator(teacher), Ridge()), teacher)


def test_a_prototype_may_be_the_teacher_itself():
    refuse_private_settings(TEACHER, TEACHER)
    refuse_private_settings(make_pipeline(StandardScaler(), TEACHER), TEACHER)
    with pytest.raises(ValueError, match="holds the teacher"):
        refuse_private_parts(make_pipeline(StandardScaler(), TEACHER), TEACHER)


class Rule(ClassifierMixin, BaseEstimator):
    """A teacher that learned a number, and no array."""

    def fit(self, X, y):
        self.cut_ = float(np.median(X))
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0] > self.cut_


def test_a_teacher_without_arrays_is_known_by_itself():
    rule = Rule().fit(IRIS, NAMES)
    for teacher in (rule, make_pipeline(StandardScaler(), rule)):
        student = make_pipeline(FunctionTransformer(rule.predict), LogisticRegression())
        with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
            refuse_private_parts(student, teacher)


def test_equal_settings_are_no_parts():
    """What is given to teacher and student alike is public; so is what tells nothing."""
    prior = np.array([0.2, 0.3, 0.5])
    teacher = GaussianNB(priors=prior).fit(IRIS, NAMES)
    assert np.array_equal(teacher.class_prior_, prior)
    refuse_private_parts(GaussianNB(priors=prior.copy()), teacher)
    refuse_private_parts(GaussianNB(priors=prior.copy()), GaussianNB(priors=prior).fit(IRIS, NAMES))
    zero = FunctionTransformer(scores_of, kw_args={"part": np.zeros(2)})
    teacher = PrivateDistiller(TEACHER, Ridge(fit_intercept=False), epsilon=2.0)
    refuse_private_parts(zero, Ridge(fit_intercept=False).fit(np.zeros((9, 2)), np.ones(9)))
    # The same rows, learned from by both: the student was not given anything.
    refuse_private_parts(StandardScaler().fit(IRIS), StandardScaler().fit(IRIS))


def test_no_array_of_the_teacher_and_no_label_without_noise_goes_along():
    teacher = make_pipeline(StandardScaler(), Secretive(max_iter=500)).fit(IRIS[:90], NAMES[:90])
    public = IRIS[90:] + 0.01
    published = PrivateDistiller(teacher, epsilon=2.0).fit(public).export()
    learned = [teacher.predict_proba(public), teacher.predict(public), IRIS[:90]]
    learned += [each for each in _reachable(teacher) if isinstance(each, np.ndarray)]
    learned = [each for each in learned if each.dtype.kind == "f" and np.ptp(each) > 0]
    assert len(learned) >= 5  # coefficients, intercept, means, scales, rows, probabilities
    kept = [each for each in _reachable(published) if isinstance(each, np.ndarray)]
    assert any(each.shape == (2, 4) or each.shape == (1, 4) for each in kept)
    for mine in kept:
        for theirs in learned:
            assert mine.shape != theirs.shape or not np.allclose(mine, theirs)
    blob = pickle.dumps(published)
    for each in learned:
        for order in "CF":
            assert each.tobytes(order) not in blob


def test_what_makes_no_statement_is_not_published(written, tmp_path):
    search = GridSearchCV(distilled(), {"epsilon": [2.0]})
    for thing in (TEACHER, LogisticRegression(), search, None, "student", written[2].student_):
        with pytest.raises(TypeError, match="has a statement"):
            save(thing, tmp_path / "x")
    for statement in (None, written[2].privacy_.to_dict(), str(written[2].privacy_)):
        with pytest.raises(TypeError, match="with its PrivacyStatement"):
            save(Published(TEACHER, statement), tmp_path / "x")
    for change in ({"epsilon": -1.0}, {"epsilon": math.inf}, {"delta": 2.0}, {"mu": math.nan}):
        statement = dataclasses.replace(written[2].privacy_, **change)
        with pytest.raises(ValueError, match="No release promises this"):
            save(Published(TEACHER, statement), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_public_step_may_be_shared():
    public = FrozenEstimator(StandardScaler().fit(IRIS))
    teacher = make_pipeline(public, LogisticRegression()).fit(IRIS, NAMES)
    student = make_pipeline(public, LogisticRegression(max_iter=500))  # noise: 60 steps and more
    assert PrivateDistiller(teacher, student, epsilon=2.0).fit(IRIS).export()
    columns = make_column_transformer((public, slice(0, 4)), (StandardScaler(), [0]))
    teacher = make_pipeline(columns, LogisticRegression()).fit(IRIS, NAMES)
    assert PrivateDistiller(teacher, student, epsilon=2.0).fit(IRIS).export()


def test_a_distiller_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        export(PrivateDistiller(LogisticRegression(max_iter=500).fit(IRIS, NAMES)))


def test_a_distiller_that_was_pickled_exports_too():
    distiller = distilled()
    twin = pickle.loads(pickle.dumps(distiller))
    assert np.array_equal(twin.export().estimator.predict(IRIS), distiller.predict(IRIS))


# ------------------------------------------------------------------------------------- the file


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file, its digest and what is in it."""
    needs_skops()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        distiller = distilled()
    path = tmp_path_factory.mktemp("students") / "student.skops"
    return path, save(distiller, path), distiller


@pytest.mark.parametrize("student", STUDENTS[:-1], ids=lambda s: type(s).__name__)
def test_a_file_gives_back_what_was_saved(student, tmp_path):
    needs_skops()
    published = distilled(student).export()
    digest = published.save(tmp_path / "x.skops")
    found = load(tmp_path / "x.skops", digest=digest)
    assert isinstance(found, Published)
    assert found.statement == published.statement
    assert np.array_equal(found.estimator.predict(IRIS), published.estimator.predict(IRIS))
    assert found.estimator.n_features_in_ == 4


FRAME_STUDENTS = [
    HistGradientBoostingClassifier(max_iter=5),
    make_pipeline(StandardScaler(), CalibratedClassifierCV(LogisticRegression(), cv=2)),
    GaussianProcessClassifier(),
    OutputCodeClassifier(LogisticRegression(), random_state=0),
    TweedieRegressor(power=0),
]


@pytest.mark.parametrize("student", FRAME_STUDENTS, ids=lambda s: type(s).__name__)
def test_a_file_keeps_names_of_columns_and_classes(student, tmp_path):
    needs_skops()
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    teacher = LogisticRegression(max_iter=500).fit(frame, NAMES)
    distiller = PrivateDistiller(teacher, student, epsilon=50.0, random_state=0).fit(frame)
    digest = save(distiller, tmp_path / "x")
    found = load(tmp_path / "x", digest=digest).estimator
    assert found.feature_names_in_.tolist() == list("abcd")
    assert found.predict(frame).tolist() == distiller.predict(frame).tolist()
    assert set(found.classes_) == set(NAMES)
    with pytest.raises(ValueError, match="feature names"):
        found.predict(frame[list("dcba")])


def test_a_file_of_a_model_without_public_data(tmp_path):
    needs_skops()
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    schema = Schema([Column(name, low=0.0, high=8.0) for name in "abcd"])
    settings = {"schema": schema, "epsilon": 5.0, "classes": np.unique(NAMES), "n_teachers": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 150 rows are too few
        model = PATEClassifier(LogisticRegression(), **settings).fit(frame, NAMES)
    digest = save(model, tmp_path / "x")
    found = load(tmp_path / "x", digest=digest)
    assert found.statement == model.privacy_
    assert found.estimator.predict(frame).tolist() == model.predict(frame).tolist()


def test_infinite_epsilon_and_regression(tmp_path):
    needs_skops()
    teacher = Ridge().fit(IRIS[:, 1:], IRIS[:, 0])
    distiller = PrivateDistiller(teacher, epsilon=float("inf")).fit(IRIS[:, 1:])
    skdistill.save(distiller, tmp_path / "x")
    found = skdistill.load(tmp_path / "x")
    assert found.statement == distiller.privacy_
    assert not found.statement.private
    assert np.array_equal(found.estimator.predict(IRIS[:, 1:]), distiller.predict(IRIS[:, 1:]))


def test_sparse_parts_are_read(tmp_path):
    needs_skops()
    X = sp.csr_matrix(IRIS)
    teacher = LogisticRegression(max_iter=500).fit(X, SPECIES)
    student = KNeighborsClassifier(algorithm="brute")
    distiller = PrivateDistiller(teacher, student, epsilon=2.0).fit(X)
    digest = save(distiller, tmp_path / "x")
    found = load(tmp_path / "x", digest=digest)
    assert np.array_equal(found.estimator.predict(X), distiller.predict(X))


def test_the_file_is_a_skops_file_and_says_what_it_promises(written):
    path, digest, distiller = written
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("privacy.json")) == distiller.privacy_.to_dict()
        assert archive.read("digest.txt").decode() == digest
        assert CANARY.encode() not in b"".join(archive.read(name) for name in archive.namelist())
    io_ = needs_skops()
    trusted = ["skdistill.publishing.published.PublishedClassifier"]
    assert np.array_equal(io_.load(path, trusted=trusted).predict(IRIS), distiller.predict(IRIS))


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(entries, path, order=None):
    with zipfile.ZipFile(path, "w") as archive:
        for name in order or entries:
            archive.writestr(name, entries[name])
    return path


def as_written(record):
    return json.dumps(record, indent=1).encode()


def signed(entries):
    """What an attacker can do: put the right digest of the changed content."""
    content = {name: value for name, value in entries.items() if name != "digest.txt"}
    return {**content, "digest.txt": digest_of(content).encode()}


def test_every_flipped_byte_is_found(written, tmp_path):
    """Each byte that matters: 400 places, all over the file."""
    path, _, distiller = written
    data = path.read_bytes()
    expected = distiller.predict_proba(IRIS)
    refused = 0
    for place in np.linspace(0, len(data) - 1, 400).astype(int):
        broken = bytearray(data)
        broken[place] ^= 0x55
        (tmp_path / "x").write_bytes(broken)
        try:
            found = load(tmp_path / "x")
        except UnsafeFileError:
            refused += 1
            continue
        # What zip does not read (times, attributes) may change; what is loaded may not.
        assert np.array_equal(found.estimator.predict_proba(IRIS), expected)
        assert found.statement == distiller.privacy_
    assert refused > 250


def test_cut_short(written, tmp_path):
    data = written[0].read_bytes()
    for length in (0, 1, 4, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "x").write_bytes(data[:length])
        with pytest.raises(UnsafeFileError):
            load(tmp_path / "x")


def test_a_statement_put_to_another_student(written, tmp_path):
    path, digest, _ = written
    entries = entries_of(path)
    record = json.loads(entries["privacy.json"])
    entries["privacy.json"] = as_written({**record, "epsilon": 0.01})
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(rewritten(entries, tmp_path / "x"))
    # With the digest rebuilt the file is consistent: the announced digest is what protects.
    forged = rewritten(signed(entries), tmp_path / "y")
    assert load(forged).statement.epsilon == 0.01
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(forged, digest=digest)


def test_added_removed_and_moved_entries(written, tmp_path):
    entries = entries_of(written[0])
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(rewritten({**entries, "extra.npy": b"1"}, tmp_path / "x"))
    for name in entries:
        rest = {key: value for key, value in entries.items() if key != name}
        with pytest.raises(UnsafeFileError):
            load(rewritten(rest, tmp_path / "x"))
    assert load(rewritten(entries, tmp_path / "x", order=sorted(entries)))
    arrays = [name for name in entries if name.endswith(".npy")]
    first, second = arrays[:2]
    swapped = {**entries, first: entries[second], second: entries[first]}
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(rewritten(swapped, tmp_path / "x"))


FIELDS = {
    "epsilon": ["1", None, [1], True, "1e999", -1.0, "nan", "inf", 10**400, math.nan, math.inf],
    "delta": ["x", None, {}, -1e-6, 1.5, "nan"],
    "mu": ["x", [], True, -0.1, "nan"],
    "relation": [3, None, ["a"], "\x1b[2J", "\u202egnihton"],
    "mechanism": [None],
    "sampler": [7],
    "certificate": [None, [], {}, {"name": 1, "bound": "", "reason": "", "reference": ""}],
    "n_queries": ["3", 3.5, True, -1],
    "assumes": ["text", [1], None],
    "not_protected": ["text", [[]]],
    "private": [1, "true", None],
}


def test_no_two_contents_have_onedigest_of():
    assert digest_of({"ab": b"c"}) != digest_of({"a": b"bc"})
    assert digest_of({"a": b"b", "c": b"d"}) != digest_of({"a": b"bcd"})


@pytest.mark.parametrize("name", FIELDS)
def test_a_statement_of_another_form(written, tmp_path, name):
    entries = entries_of(written[0])
    record = json.loads(entries["privacy.json"])
    for value in FIELDS[name]:
        changed = as_written({**record, name: value})
        forged = signed({**entries, "privacy.json": changed})
        with pytest.raises(UnsafeFileError, match="no privacy statement"):
            load(rewritten(forged, tmp_path / "x"))


def test_a_statement_that_says_two_things(written, tmp_path):
    """A person reads the first ε of two, a program the last."""
    text = entries_of(written[0])["privacy.json"]
    for changed in (
        text.replace(b'"epsilon": 2.0', b'"epsilon": 0.1,\n "epsilon": 2.0'),
        text.replace(b"2.0", b"2.00"),
        text + b"\n",
        b"\xef\xbb\xbf" + text,
    ):
        assert changed != text
        forged = signed({**entries_of(written[0]), "privacy.json": changed})
        with pytest.raises(UnsafeFileError, match="no privacy statement"):
            load(rewritten(forged, tmp_path / "x"))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b"1e9"])
def test_a_statement_that_is_none(written, tmp_path, text):
    forged = signed({**entries_of(written[0]), "privacy.json": text})
    with pytest.raises(UnsafeFileError, match="no privacy statement"):
        load(rewritten(forged, tmp_path / "x"))


RAN = []


class Unknown(BaseEstimator):
    """A type nobody trusts; it tells when any of it runs."""

    def __new__(cls):
        RAN.append("new")
        return super().__new__(cls)

    def __setstate__(self, state):
        RAN.append("setstate")
        super().__setstate__(state)

    def predict(self, X):
        return np.zeros(len(X))


class Evil:
    def __reduce__(self):
        return RAN.append, ("reduced",)


@pytest.fixture
def nothing_ran():
    RAN.clear()
    yield
    assert RAN == []


def test_an_unknown_type_is_named_and_not_built(written, tmp_path):
    published = Published(Unknown(), written[2].privacy_)
    with pytest.warns(UserWarning, match=r"Readers of this file .*Unknown"):
        save(published, tmp_path / "x")
    RAN.clear()
    with pytest.raises(UnsafeFileError, match=r"types that are not trusted: .*Unknown"):
        load(tmp_path / "x")
    assert RAN == []
    name = f"{Unknown.__module__}.Unknown"
    assert load(tmp_path / "x", trusted=[name]).estimator.predict(IRIS).shape == (150,)
    assert RAN == ["new", "setstate"]


@pytest.mark.parametrize(
    "student", [RandomForestClassifier(5), KNeighborsClassifier(5, algorithm="kd_tree")]
)
def test_compiled_parts_are_read_from_a_known_file_alone(student, tmp_path):
    needs_skops()
    student = clone(student).set_params(
        **{"algorithm": "kd_tree"} if student is STUDENTS[1] else {}
    )
    digest = save(distilled(student), tmp_path / "x")
    with pytest.raises(UnsafeFileError, match=r"Pass the digest that save\(\) returned"):
        load(tmp_path / "x")
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(tmp_path / "x", digest=digest[::-1])
    assert load(tmp_path / "x", digest=digest).estimator.predict(IRIS).shape == (150,)


def test_compiled_parts_are_ours_to_refuse(tmp_path, monkeypatch):
    """Whatever a later skops may trust."""
    skops = needs_skops()
    digest = save(distilled(RandomForestClassifier(2)), tmp_path / "x")
    monkeypatch.setattr(skops, "get_untrusted_types", lambda **_: [])
    with pytest.raises(UnsafeFileError, match=r"_tree.Tree. Pass the digest"):
        load(tmp_path / "x")
    assert load(tmp_path / "x", digest=digest)


@pytest.mark.parametrize(
    "function", [os.system, print, np.load, pickle.loads, "sklearn.datasets.load_iris"]
)
def test_functions_are_not_trusted(written, tmp_path, function):
    if isinstance(function, str):
        function = load_iris
    student = make_pipeline(FunctionTransformer(function), LogisticRegression())
    with pytest.warns(UserWarning, match="Readers of this file"):
        save(Published(student, written[2].privacy_), tmp_path / "x")
    with pytest.raises(UnsafeFileError, match="types that are not trusted"):
        load(tmp_path / "x")


def test_a_pickle_is_not_read(tmp_path, nothing_ran):
    pytest.importorskip("skops")
    for data in (pickle.dumps(Evil()), b"PK\x03\x04" + pickle.dumps(Evil())):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(UnsafeFileError):
            load(tmp_path / "x")


def test_a_pickle_in_the_place_of_an_array(written, tmp_path, nothing_ran):
    entries = entries_of(written[0])
    objects = io.BytesIO()
    np.save(objects, np.array([Evil()], dtype=object), allow_pickle=True)
    name = next(name for name in entries if name.endswith(".npy"))
    for content in (pickle.dumps(Evil()), objects.getvalue()):
        with pytest.raises((UnsafeFileError, ValueError)):
            load(rewritten(signed({**entries, name: content}), tmp_path / "x"))


def test_a_made_up_schema(written, tmp_path, nothing_ran):
    """Loaders of every kind, pointed at functions that would do harm."""
    entries = entries_of(written[0])
    schema = json.loads(entries["schema.json"])
    harm = {"__class__": "system", "__module__": "os", "__id__": 1}
    empty = {
        "__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode",
        "content": [], "__id__": 2,
    }  # fmt: skip
    for node in (
        {**harm, "__loader__": "FunctionNode"},
        {**harm, "__loader__": "TypeNode"},
        {**harm, "__loader__": "ObjectNode", "content": empty},
        {**harm, "__loader__": "ConstructorFromReduceNode", "content": empty},
        {**harm, "__loader__": "ReduceNode", "reduce": {"args": empty}, "content": empty},
        {**harm, "__loader__": "MethodNode", "content": {"func": "popen", "obj": empty}},
        {**harm, "__loader__": "OperatorFuncNode", "attrs": empty},
        {**harm, "__loader__": "NoSuchNode"},
        {"__loader__": "ListNode"},
        [],
    ):
        if isinstance(node, dict):
            node = {**node, "protocol": schema["protocol"]}
        text = json.dumps(node).encode()
        with pytest.raises(UnsafeFileError):
            load(rewritten(signed({**entries, "schema.json": text}), tmp_path / "x"))


@pytest.mark.parametrize(
    "name", ["../x.npy", "/etc/x", "a/b.npy", "..", ".", "a\\b.npy", "C:x", "x\n.npy", "é.npy"]
)
def test_names_that_are_paths(written, tmp_path, name):
    entries = {**entries_of(written[0]), name: b"x"}
    with pytest.raises(UnsafeFileError, match="strange entry"):
        load(rewritten(signed(entries), tmp_path / "x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_two_entries_of_one_name(written, tmp_path):
    entries = entries_of(written[0])
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "x", "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.writestr("privacy.json", b"{}")
    with pytest.raises(UnsafeFileError, match="two entries of one name"):
        load(tmp_path / "x")


def test_bombs(written, tmp_path):
    """An entry of 50 MB from 50 kB, by itself, in an archive in the archive, and one that lies."""
    entries = entries_of(written[0])
    zeros = bytes(50_000_000)
    path = tmp_path / "x"

    def packed(name, content, **more):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in signed({**entries, **more}).items():
                archive.writestr(key, value)
            archive.writestr(name, content)

    packed("bomb.npy", zeros)
    assert path.stat().st_size < 200_000
    with pytest.raises(UnsafeFileError, match="unpacks to more than max_bytes"):
        load(path, max_bytes=1_000_000)

    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", zeros)
    rewritten(signed({**entries, "bomb.npz": inner.getvalue()}), path)
    with pytest.raises(UnsafeFileError, match="unpacks to more than max_bytes"):
        load(path, max_bytes=1_000_000)

    packed("bomb.npy", zeros)
    data = bytearray(path.read_bytes())
    size = struct.pack("<L", len(zeros))
    while size in data:  # the size, wherever it is declared
        data[data.index(size) : data.index(size) + 4] = struct.pack("<L", 10)
    path.write_bytes(data)
    with pytest.raises(UnsafeFileError):
        load(path, max_bytes=1_000_000)
    with pytest.raises(UnsafeFileError, match="larger than max_bytes"):
        load(written[0], max_bytes=100)


@pytest.mark.parametrize("shape", [(10**12,), (3, 10**11), (0,), (2**62, 4)])
def test_an_array_larger_than_its_bytes(written, tmp_path, shape):
    entries = entries_of(written[0])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": shape, "fortran_order": False, "descr": "<f8"}
    )
    name = next(name for name in entries if name.endswith(".npy"))
    forged = signed({**entries, name: header.getvalue() + b"12345678"})
    with pytest.raises(UnsafeFileError, match="not as large as its header says"):
        load(rewritten(forged, tmp_path / "x"))


# ------------------------------------------------------------- a student larger than it looks


def node(loader, content, number, kind="list", module="builtins", **more):
    names = {"__class__": kind, "__module__": module, "__loader__": loader, "__id__": number}
    return {**names, "content": content, **more}


def with_note(entries, note, **more):
    """The student with one more attribute, as an attacker writes it."""
    schema = json.loads(entries["schema.json"])
    state = schema["content"]["content"]
    state["note"] = note
    types = schema["content"]["key_types"]["content"]
    types.append(types[0])
    return signed({**entries, "schema.json": json.dumps(schema).encode(), **more})


def array_file(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def reads(name, number, kind="ndarray"):
    return node("NdArrayNode", None, number, kind, "numpy", type="numpy", file=name)


def doubled(depth, mark):
    """Two of two of two ...: a text of a few kB, a list of 2^depth."""
    note = node("ListNode", [], 10**6)
    for k in range(depth):
        note = node("ListNode", [note, {**mark, "__id__": 10**6 + k}], 10**6 + k + 1)
    return note


def test_the_notes_of_this_test_are_well_formed(written, tmp_path):
    """What follows is refused for what it does, not for how it is written."""
    shared = node("ListNode", [node("JsonNode", "1", 5, "str", is_json=True)], 10**6)
    for note in (shared, node("ListNode", [shared, shared], 7), reads("a.npy", 8)):
        forged = with_note(entries_of(written[0]), note, **{"a.npy": array_file(np.arange(3))})
        found = load(rewritten(forged, tmp_path / "x"))
        assert hasattr(found.estimator, "note")
    scalars = [np.float64(0.5), np.int64(2), np.str_("text"), np.bytes_(b"text"), np.bool_(True)]
    for value in scalars:
        note = reads("a.npy", 8, type(value).__name__.replace("bool", "bool_").rstrip("_"))
        note["__class__"] = {"str": "str_", "bytes": "bytes_"}.get(note["__class__"]) or (
            type(value).__name__
        )
        forged = with_note(entries_of(written[0]), note, **{"a.npy": array_file(value)})
        assert load(rewritten(forged, tmp_path / "x")).estimator.note == value


NOTES = {
    "doubled 60 times": doubled(60, node("ListNode", [], 0)),
    "doubled, numbers alone": doubled(60, {}),
    "doubled, by reference": doubled(60, node("CachedNode", None, 0)),
    "inside of itself": node("ListNode", [node("ListNode", [], 7)], 7),
    "inside of each other": node(
        "ListNode",
        [
            node("ListNode", [node("ListNode", [], 7)], 8),
            node("ListNode", [node("ListNode", [], 8)], 9),
        ],
        7,
    ),
    "a number nobody has": node("ListNode", [{"__id__": 7}], 8),
    "a number that is a list": node("ListNode", [node("ListNode", [], [1])], 8),
    "read 30 times": node("ListNode", [reads("a.npy", 100 + k) for k in range(30)], 8),
    "read 30 times, no number": node("ListNode", [reads("a.npy", 0) for _ in range(30)], 8),
    "read from nowhere": reads("b.npy", 8),
    "bytes from a number": reads("number.npy", 8, "bytes_"),
    "structure from a number": reads("number.npy", 8, "void"),
    "text from an array": reads("a.npy", 8, "str_"),
    "number from an array": reads("a.npy", 8, "float64"),
    "400 deep": functools.reduce(lambda a, k: node("ListNode", [a], k), range(9, 409), {}),
}


FILES = {"a.npy": array_file(np.zeros(10_000)), "number.npy": array_file(np.array(10**9))}


@pytest.mark.parametrize("name", NOTES)
def test_a_student_larger_than_its_description(written, tmp_path, name):
    rewritten(with_note(entries_of(written[0]), NOTES[name], **FILES), tmp_path / "x")
    with pytest.raises(UnsafeFileError, match="description of the student cannot be read"):
        load(tmp_path / "x")


def test_a_description_that_is_too_long(written, tmp_path):
    entries = entries_of(written[0])
    text = entries["schema.json"] + b" " * (1 << 20)
    path = rewritten(signed({**entries, "schema.json": text}), tmp_path / "x")
    assert load(path)
    with pytest.raises(UnsafeFileError, match="too long"):
        load(path, max_bytes=4 << 20)
    digest = entries_of(path)["digest.txt"].decode()
    assert load(path, digest=digest, max_bytes=4 << 20)  # a known file may use it all


def test_elements_without_bytes(written, tmp_path):
    """A hundred million elements of no bytes, which a conversion to objects would write out."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (10**8,), "fortran_order": False, "descr": "|V0"}
    )
    forged = signed({**entries_of(written[0]), "a.npy": header.getvalue()})
    with pytest.raises(UnsafeFileError, match="not as large as its header says"):
        load(rewritten(forged, tmp_path / "x"))


def test_sparse_matrices_by_any_name(written, tmp_path):
    """skops trusts the base class, and builds whatever the content says; indices unchecked."""
    matrix = sp.csr_matrix(np.eye(3))
    file = io.BytesIO()
    np.savez(
        file,
        **{"format": b"csr", "shape": (3, 3), "data": matrix.data, "indptr": matrix.indptr},
        indices=np.array([0, 10**6, 2], dtype=np.int32),
    )
    for name in (
        "scipy.sparse._matrix.spmatrix",
        "scipy.sparse._base.sparray",
        "scipy.sparse._csr.csr_matrix",
        "sklearn.utils._bunch.Bunch",  # trusted, but not as this
        "sklearn.linear_model._logistic.LogisticRegression",
    ):
        module, _, kind = name.rpartition(".")
        note = node("SparseMatrixNode", None, 8, kind, module, type="scipy", file="a.npz")
        forged = with_note(entries_of(written[0]), note, **{"a.npz": file.getvalue()})
        match = "not trusted.*Pass the digest" if "csr" in name else "cannot be read"
        with pytest.raises(UnsafeFileError, match=match):
            load(rewritten(forged, tmp_path / "x"))
        tree = node("TreeNode", None, 8, kind, module, __reduce__={"args": note})
        forged = with_note(entries_of(written[0]), tree, **{"a.npz": file.getvalue()})
        with pytest.raises(UnsafeFileError, match="cannot be read"):
            load(rewritten(forged, tmp_path / "x"))


# ------------------------------------------------------------------------ nothing is executed


WATCH = """
import glob, json, sys, warnings
from skdistill import load
from skdistill.publishing import UnsafeFileError
warnings.simplefilter("error")
load("good"), load("good")  # all imports are made
seen, watching = [], False
def hook(event, arguments):
    if watching and event not in ("compile", "builtins.id"):
        seen.append([event, repr(arguments[:2])])
sys.addaudithook(hook)
result = {}
for path in ["good", *sorted(glob.glob("bad*"))]:
    seen.clear()
    watching = True
    try:
        load(path)
        outcome = "loaded"
    except UnsafeFileError as error:
        outcome = "refused"
    except Exception as error:
        outcome = repr(error)
    finally:
        watching = False
    result[path] = [outcome, list(seen)]
seen.clear()
watching = True
eval("1")  # the hook sees what is executed
watching = False
result["control"] = ["", list(seen)]
print(json.dumps(result))
"""


def test_no_hostile_file_makes_anything_happen(written, tmp_path):
    """Python's audit events during each load: the file is opened to be read, and no more.

    Left out are "builtins.id" and "compile": NumPy reads headers by ``ast.literal_eval``, which
    compiles to a tree and executes nothing ("exec" is the event of that).
    """
    entries = entries_of(written[0])
    first = next(name for name in entries if name.endswith(".npy"))
    objects = io.BytesIO()
    np.save(objects, np.array([Evil()], dtype=object), allow_pickle=True)
    (tmp_path / "good").write_bytes(written[0].read_bytes())
    hostile = [
        pickle.dumps(Evil()),
        b"PK\x03\x04" + pickle.dumps(Evil()),
        written[0].read_bytes()[:-30],
        b"",
    ]
    harm = ("system", "os")
    for note in (
        node("FunctionNode", None, 8, *harm),
        node("TypeNode", None, 8, *harm),
        node("TypeNode", None, 8, "anything", "not_yet_imported.package"),
        node("ObjectNode", None, 8, *harm),
        node("ConstructorFromReduceNode", node("TupleNode", [], 9, "tuple"), 8, *harm),
        node("MethodNode", {"func": "popen", "obj": node("ListNode", [], 9)}, 8),
        node("LossNode", node("DictNode", {}, 9), 8, *harm, __reduce__={"args": {}}),
        node("OperatorFuncNode", None, 8, "methodcaller", "operator", attrs={}),
        node("RandomGeneratorNode", {"bit_generator": {}, "seed_seq": {}}, 8, "seed", "numpy"),
        node("BytesNode", None, 8, file="../../etc/passwd"),
        *NOTES.values(),
    ):
        hostile.append(with_note(entries, note, **FILES))
    hostile += [
        signed({**entries, first: pickle.dumps(Evil())}),
        signed({**entries, first: objects.getvalue()}),
        signed({**entries, "schema.json": b"[" * 10**6}),
        {**entries, "schema.json": entries["schema.json"] + b" "},
    ]
    for k, content in enumerate(hostile):
        path = tmp_path / f"bad{k:02}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            rewritten(content, path)
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [event for event, _ in result.pop("control")[1]] == ["exec"]
    assert result.pop("good")[0] == "loaded"
    assert len(result) == len(hostile)
    for path, (outcome, events) in result.items():
        assert (path, outcome) == (path, "refused")
        # Once: io.open and the os.open that it calls.
        opened = [["open", f"({path!r}, 'r')"], ["open", f"({path!r}, None)"]]
        assert events == opened, (path, events)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(written, tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(UnsafeFileError, match="no ordinary file"):
        load(tmp_path / "x")
    with pytest.raises(OSError):
        load(tmp_path)
    (tmp_path / "link").symlink_to(written[0])
    assert load(tmp_path / "link")


def test_memory_is_not_taken_before_the_content_asks_for_it(written, tmp_path):
    """Neither as much as a file may have, nor as much as a lying entry unpacks to."""
    zeros = bytes(50_000_000)
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", zeros)
    data = (tmp_path / "x").read_bytes()
    size = struct.pack("<L", len(zeros))
    assert data.count(size) == 2
    (tmp_path / "x").write_bytes(data.replace(size, struct.pack("<L", 10)))
    del zeros
    tracemalloc.start()
    try:
        with pytest.raises(UnsafeFileError, match="damaged"):
            load(tmp_path / "x")
        load(written[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_too_many_entries(written, tmp_path):
    data = written[0].read_bytes() + b"PK\x01\x02" * 100_001
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UnsafeFileError, match="too many entries"):
        load(tmp_path / "x")


def test_arguments_that_are_easily_mistaken(written, tmp_path):
    path, digest, _ = written
    for wrong in (digest.encode(), 5):
        with pytest.raises(TypeError, match="must be the text that save"):
            load(path, digest=wrong)
    assert load(path, digest=f" {digest.upper()}\n")
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(path, digest="")
    with pytest.warns(UserWarning, match="Readers of this file"):
        save(Published(Unknown(), written[2].privacy_), tmp_path / "x")
    RAN.clear()
    assert load(tmp_path / "x", trusted=f"{Unknown.__module__}.Unknown")


def test_a_student_made_of_parts_that_do_not_fit(written, tmp_path):
    """Types are trusted, so the file is not refused; but what it does not hold is not guessed."""
    entries = entries_of(written[0])
    schema = json.loads(entries["schema.json"])
    pipeline = node("ObjectNode", None, 8, "Pipeline", "sklearn.pipeline")
    steps = node("JsonNode", "5", 9, "str", is_json=True)
    text = schema["content"]["key_types"]["content"][0]
    keys = node("ListNode", [text], 10)
    pipeline["content"] = node("DictNode", {"steps": steps}, 11, "dict", key_types=keys)
    pipeline["protocol"] = schema["protocol"]
    forged = signed({**entries, "schema.json": json.dumps(pipeline).encode()})
    with pytest.raises(ValueError, match=r"cannot be rebuilt|nothing in it predicts"):
        load(rewritten(forged, tmp_path / "x"))


def test_something_that_is_no_student(written, tmp_path):
    save(Published(StandardScaler(), written[2].privacy_), tmp_path / "x")
    with pytest.raises(ValueError, match="nothing in it predicts"):
        load(tmp_path / "x")


def test_a_student_that_cannot_be_written(written, tmp_path):
    lock = PublishedClassifier(type("Odd", (), {"__reduce__": None})(), np.array([0, 1]))
    with pytest.raises(TypeError, match="cannot be written without pickle"):
        save(Published(lock, written[2].privacy_), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_without_skops(monkeypatch, tmp_path):
    import builtins

    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("skops"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pip install "skdistill\[publish\]"'):
        save(distilled(), tmp_path / "x")
    with pytest.raises(ImportError, match=r'pip install "skdistill\[publish\]"'):
        load(tmp_path / "x")


@pytest.mark.parametrize("which", ["imputers", "table features", "frozen", "ranks"])
def test_encoders_of_raw_tables_are_read_again(tmp_path, which):
    """What a table of one's own needs, and no more than that needs to be named."""
    needs_skops()
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    values, places = rng.choice([1.0, 2.0, np.nan], 400), rng.choice(["Oslo", "Lom"], 400)
    table = pd.DataFrame({"a": rng.normal(size=400), "b": places, "c": values})
    schema = Schema.from_public(table)
    encode = {
        "imputers": make_column_transformer(
            (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["a", "c"]),
            (OneHotEncoder(handle_unknown="ignore"), ["b"]),
        ),
        "table features": TableFeatures(schema),
        "frozen": FrozenEstimator(TableFeatures(schema, max_norm=1.0).fit(table)),
        "ranks": TableFeatures(schema, None, n_knots=0, directions=False),
    }[which]
    student = make_pipeline(encode, LogisticRegression())
    teacher = make_pipeline(clone(encode), LogisticRegression()).fit(table, table["a"] > 0)
    distiller = PrivateDistiller(teacher, student, epsilon=50.0).fit(table)
    save(distiller, tmp_path / "x")
    np.testing.assert_array_equal(
        load(tmp_path / "x").estimator.predict(table), distiller.predict(table)
    )
