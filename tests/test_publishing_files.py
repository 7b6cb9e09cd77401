"""Files of published students: there and back, digests, hostile files, false claims."""

import copy
import dataclasses
import hashlib
import io
import json
import os
import pickle
import warnings
import zipfile

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from published_cases import CANARY, IRIS, NAMES, SPECIES, STUDENTS, TEACHER, distilled, needs_skops
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OutputCodeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import skdistill
import skdistill.publishing.files
from skdistill import (
    PrivateClassifier,
    PrivateDistiller,
    TeacherEnsemble,
)
from skdistill.publishing import (
    Published,
    UnsafeFileError,
    load,
    save,
)
from skdistill.publishing.private_parts import holds_network
from skdistill.schema import Column, Schema
from skdistill.students import ThresholdedStudent
from skdistill.transfer import TableFeatures

pytestmark = [
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
    pytest.mark.usefixtures("few_synthetic_rows"),
]

# ------------------------------------------------------------------------------------- the file


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file, its digest and its content."""
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
    digest = save(published, tmp_path / "x.skops")
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


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["rounds", "ensemble"])
def test_a_file_of_a_model_without_public_data(tmp_path, member):
    needs_skops()
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    schema = Schema([Column(name, low=0.0, high=8.0) for name in "abcd"])
    settings = {"schema": schema, "epsilon": 5.0, "classes": np.unique(NAMES)}
    teacher = None if member is None else TeacherEnsemble(member, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 150 rows are too few
        model = PrivateClassifier(teacher, **settings).fit(frame, NAMES)
    digest = save(model, tmp_path / "x")
    found = load(tmp_path / "x", digest=digest)
    assert found.statement == model.privacy_
    assert found.estimator.predict(frame).tolist() == model.predict(frame).tolist()


def test_infinite_epsilon_and_regression(tmp_path):
    needs_skops()
    teacher = Ridge().fit(IRIS[:, 1:], IRIS[:, 0])
    distiller = PrivateDistiller(teacher, epsilon=float("inf")).fit(IRIS[:, 1:])
    digest = skdistill.save(distiller, tmp_path / "x")
    found = skdistill.load(tmp_path / "x", digest=digest)
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
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("privacy.json")) == distiller.privacy_.to_dict()
        assert CANARY.encode() not in b"".join(archive.read(name) for name in archive.namelist())
    io_ = needs_skops()
    trusted = ["skdistill.students.thresholded.ThresholdedStudent"]
    assert np.array_equal(io_.load(path, trusted=trusted).predict(IRIS), distiller.predict(IRIS))


# ----------------------------------------------------------------------------- digest or trust


def test_a_file_needs_its_digest_or_a_word(written):
    path, digest, distiller = written
    for nothing in ({}, {"trust": False}, {"trust": []}):
        with pytest.raises(ValueError, match=r"digest=\.\.\..*trust=True"):
            load(path, **nothing)
    for enough in ({"digest": digest}, {"trust": True}, {"digest": f" {digest.upper()}\n"}):
        found = load(path, **enough)
        assert found.statement == distiller.privacy_
        assert np.array_equal(found.predict(IRIS), distiller.predict(IRIS))
    for wrong in (digest.encode(), 5):
        with pytest.raises(TypeError, match="must be the text that save"):
            load(path, digest=wrong)


@pytest.fixture
def nothing_is_parsed(monkeypatch):
    """From now on, nobody opens an archive, reads JSON or imports skops."""

    def fail(*args, **kwargs):
        raise AssertionError("parsed")

    def start():
        monkeypatch.setattr(zipfile, "ZipFile", fail)
        monkeypatch.setattr(json, "loads", fail)
        monkeypatch.setattr(skdistill.publishing.files, "_skops", fail)

    return start


def test_the_digest_is_compared_before_anything_is_parsed(written, tmp_path, nothing_is_parsed):
    path, digest, _ = written
    data = path.read_bytes()
    (tmp_path / "changed").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (tmp_path / "longer").write_bytes(data + b"\0")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "empty").write_bytes(b"")
    nothing_is_parsed()
    RAN.clear()
    for name in ("changed", "longer", "pickle", "empty"):
        for trust in (False, True, ["anything"]):
            with pytest.raises(UnsafeFileError, match="damaged or changed"):
                load(tmp_path / name, digest=digest, trust=trust)
        with pytest.raises(ValueError, match="Without a digest"):
            load(tmp_path / name)
    for other in ("", "0" * 64, digest[::-1], digest[:-1]):
        with pytest.raises(UnsafeFileError, match="damaged or changed"):
            load(path, digest=other)
    assert RAN == []
    with pytest.raises(AssertionError, match="parsed"):  # the search works
        load(path, digest=digest)


def test_a_statement_put_to_another_student(written, tmp_path):
    path, digest, _ = written
    entries = entries_of(path)
    record = json.loads(entries["privacy.json"])
    forged = rewritten(
        {**entries, "privacy.json": as_written({**record, "epsilon": 0.01})}, tmp_path
    )
    assert load(forged, trust=True).statement.epsilon == 0.01
    with pytest.raises(UnsafeFileError, match="damaged or changed"):
        load(forged, digest=digest)


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(entries, folder):
    with zipfile.ZipFile(folder / "rewritten", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return folder / "rewritten"


def as_written(record):
    return json.dumps(record, indent=1).encode()


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


def test_an_unknown_type_is_named_and_not_built(written, tmp_path):
    name = f"{Unknown.__module__}.Unknown"
    with pytest.warns(UserWarning, match=rf"Readers of this file .*trust=\['{name}'\]"):
        digest = save(Published(Unknown(), written[2].privacy_), tmp_path / "x", vouch=True)
    RAN.clear()
    for known in ({"digest": digest}, {"trust": True}, {"trust": ["some.Other"]}):
        with pytest.raises(UnsafeFileError, match=r"types that are not trusted: .*Unknown"):
            load(tmp_path / "x", **known)
    assert RAN == []
    for trust in (name, [name], {name}):
        assert load(tmp_path / "x", trust=trust).predict(IRIS).shape == (150,)
        assert load(tmp_path / "x", digest=digest, trust=trust)
    assert RAN == ["new", "setstate"] * 6


@pytest.mark.parametrize("function", [os.system, print, np.load, pickle.loads, load_iris])
def test_functions_are_not_trusted(written, tmp_path, function):
    student = make_pipeline(FunctionTransformer(function), LogisticRegression())
    with pytest.warns(UserWarning, match="Readers of this file"):
        save(Published(student, written[2].privacy_), tmp_path / "x", vouch=True)
    with pytest.raises(UnsafeFileError, match="types that are not trusted"):
        load(tmp_path / "x", trust=True)


def test_what_save_did_not_write_is_refused_and_not_run(written, tmp_path):
    entries = entries_of(written[0])
    harm = {"__class__": "system", "__module__": "os", "__id__": 1, "protocol": 2}
    schemas = [b"[" * 10**5, b"[]", b"{}"]
    for loader in ("FunctionNode", "TypeNode", "ObjectNode", "ReduceNode", "NoSuchNode"):
        schemas.append(json.dumps({**harm, "__loader__": loader, "content": None}).encode())
    files = [pickle.dumps(Evil()), b"PK\x03\x04" + pickle.dumps(Evil()), b"", b"PK"]
    files.append(written[0].read_bytes()[:-30])
    for text in (b"", b"[]", b"{}", b"null", b"\xff", b"[" * 10**5, b"1e9", b'{"epsilon": 1}'):
        files.append(rewritten({**entries, "privacy.json": text}, tmp_path).read_bytes())
    for text in schemas:
        files.append(rewritten({**entries, "schema.json": text}, tmp_path).read_bytes())
    for name in ("privacy.json", "schema.json"):
        rest = {key: value for key, value in entries.items() if key != name}
        files.append(rewritten(rest, tmp_path).read_bytes())
    RAN.clear()
    for content in files:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(UnsafeFileError):
            load(tmp_path / "x", trust=True)
    array = next(name for name in entries if name.endswith(".npy"))
    objects = io.BytesIO()
    np.save(objects, np.array([Evil()], dtype=object), allow_pickle=True)
    for content in (pickle.dumps(Evil()), objects.getvalue()):
        with pytest.raises(ValueError):
            load(rewritten({**entries, array: content}, tmp_path), trust=True)
    assert RAN == []


@pytest.mark.parametrize(
    "student", [RandomForestClassifier(5), KNeighborsClassifier(5, algorithm="kd_tree")]
)
def test_compiled_parts_are_read(student, tmp_path):
    needs_skops()
    distiller = distilled(student)
    digest = save(distiller, tmp_path / "x")
    for known in ({"digest": digest}, {"trust": True}):
        found = load(tmp_path / "x", **known)
        assert np.array_equal(found.predict(IRIS), distiller.predict(IRIS))


def test_an_estimator_that_is_no_student(written, tmp_path):
    save(Published(StandardScaler(), written[2].privacy_), tmp_path / "x", vouch=True)
    with pytest.raises(ValueError, match="nothing in it predicts"):
        load(tmp_path / "x", trust=True)


def test_a_student_that_cannot_be_written(written, tmp_path):
    lock = ThresholdedStudent(type("Odd", (), {"__reduce__": None})(), np.array([0, 1]))
    with pytest.raises(TypeError, match="cannot be written without pickle"):
        save(Published(lock, written[2].privacy_), tmp_path / "x", vouch=True)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("module", ["torch.nn", "skorch.classifier", "keras.src", "my.torch"])
def test_a_network_is_refused_before_anything_is_written(written, tmp_path, module):
    """skops would write a net of skorch, whose own code unpickles its weights at the reader's."""
    library = type("Library", (), {"__module__": module})
    net = ThresholdedStudent(LogisticRegression(), np.array([0, 1]))
    net.steps_ = {"inside": [type("Mine", (library,), {})()]}
    published = Published(net, written[2].privacy_)
    assert holds_network(net) == (module != "my.torch")
    if module == "my.torch":
        return
    with pytest.raises(TypeError, match="cannot be written without pickle. Save a network"):
        save(published, tmp_path / "x", vouch=True)
    assert not (tmp_path / "x").exists()


# --------------------------------------------------------------------------------- false claims


def test_what_makes_no_statement_is_not_published(written, tmp_path):
    search = GridSearchCV(distilled(), {"epsilon": [2.0]})
    for thing in (TEACHER, LogisticRegression(), search, None, "student", written[2].student_):
        with pytest.raises(TypeError, match="has a statement"):
            save(thing, tmp_path / "x")
    for statement in (None, written[2].privacy_.to_dict(), str(written[2].privacy_)):
        with pytest.raises(TypeError, match="with its PrivacyStatement"):
            save(Published(TEACHER, statement), tmp_path / "x", vouch=True)
    assert not (tmp_path / "x").exists()


def test_a_claim_that_nothing_ties_to_its_student_needs_a_word(written, tmp_path):
    honest = written[2].export()
    better = dataclasses.replace(honest.statement, epsilon=0.01)
    other = distilled().export()
    for claim in (
        Published(TEACHER, honest.statement),
        Published(honest.estimator, honest.statement),
        dataclasses.replace(honest, statement=better),
        dataclasses.replace(honest, estimator=other.estimator),
    ):
        with pytest.raises(ValueError, match=r"made by hand.*vouch=True"):
            save(claim, tmp_path / "x")
        assert not (tmp_path / "x").exists()
        save(claim, tmp_path / "y", vouch=True)
    other.estimator.set_params(student=TEACHER)
    with pytest.raises(ValueError, match="estimator was changed"):
        save(other, tmp_path / "x")


def test_a_claim_keeps_its_tie_through_copies_and_its_own_file(written, tmp_path):
    path, digest, distiller = written
    for same in (
        distiller.export(),
        copy.deepcopy(distiller.export()),
        pickle.loads(pickle.dumps(distiller.export())),
        load(path, digest=digest),
    ):
        assert save(same, tmp_path / "x")
    with pytest.raises(ValueError, match="vouch=True"):  # whose claim it is, is not known
        save(load(path, trust=True), tmp_path / "x")


@pytest.mark.parametrize("how", ["a folder", "joblib"])
def test_the_folder_of_a_cache_is_not_published(tmp_path, how):
    needs_skops()
    folder = tmp_path / "wards-of-clinic-7"
    memory = str(folder) if how == "a folder" else joblib.Memory(folder, verbose=0)
    inner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500), memory=memory)
    distiller = distilled(make_pipeline(StandardScaler(), inner, memory=memory))
    digest = save(copy.deepcopy(distiller), tmp_path / "x")
    assert b"wards-of-clinic-7" not in b"".join(entries_of(tmp_path / "x").values())
    assert b"wards-of-clinic-7" not in pickle.dumps(distiller)
    found = load(tmp_path / "x", digest=digest)
    assert np.array_equal(found.predict(IRIS), distiller.predict(IRIS))


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
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ImportError, match=r'pip install "skdistill\[publish\]"'):
        load(tmp_path / "x", trust=True)


@pytest.mark.parametrize("which", ["imputers", "table features", "frozen", "ranks"])
def test_encoders_of_raw_tables_are_read_again(tmp_path, which):
    """The types that one's own table needs; no other type has to be named."""
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
        "frozen": FrozenEstimator(TableFeatures(schema).fit(table)),
        "ranks": TableFeatures(schema, None, n_knots=0, directions=False),
    }[which]
    student = make_pipeline(encode, LogisticRegression())
    teacher = make_pipeline(clone(encode), LogisticRegression()).fit(table, table["a"] > 0)
    distiller = PrivateDistiller(teacher, student, epsilon=50.0).fit(table)
    digest = save(distiller, tmp_path / "x")
    found = load(tmp_path / "x", digest=digest)
    np.testing.assert_array_equal(found.predict(table), distiller.predict(table))
