"""A student to publish: the same predictions, no teacher, and a file that runs no code."""

import io
import json
import os
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import skdistill
from skdistill import PrivateDistiller, StableLogisticRegression, TeacherEnsemble
from skdistill.accounting import BudgetAccountant
from skdistill.publishing import (
    Published,
    PublishedClassifier,
    UnsafeFileError,
    _digest,
    _reachable,
    export,
    load,
    save,
)

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
    make_pipeline(StandardScaler(), LogisticRegression()),
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
    distiller = PrivateDistiller(teacher, student, epsilon=2.0)
    if inside == "whole":
        # Hidden in a bound method, which is code: put where it can be seen.
        distiller.fit(IRIS)
        distiller.student_.note_ = [teacher]
    else:
        distiller.fit(IRIS)
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        distiller.export()


def test_a_public_step_may_be_shared():
    public = FrozenEstimator(StandardScaler().fit(IRIS))
    teacher = make_pipeline(public, LogisticRegression()).fit(IRIS, NAMES)
    student = make_pipeline(public, LogisticRegression())
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
    trusted = ["skdistill.publishing.PublishedClassifier"]
    assert np.array_equal(io_.load(path, trusted=trusted).predict(IRIS), distiller.predict(IRIS))


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(entries, path, order=None):
    with zipfile.ZipFile(path, "w") as archive:
        for name in order or entries:
            archive.writestr(name, entries[name])
    return path


def signed(entries):
    """What an attacker can do: put the right digest of the changed content."""
    content = {name: value for name, value in entries.items() if name != "digest.txt"}
    return {**content, "digest.txt": _digest(content).encode()}


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
    entries["privacy.json"] = json.dumps({**record, "epsilon": 0.01}).encode()
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
    "epsilon": ["1", None, [1], True, "1e999"],
    "delta": ["x", None, {}],
    "mu": ["x", [], True],
    "relation": [3, None, ["a"]],
    "mechanism": [None],
    "sampler": [7],
    "certificate": [None, [], {}, {"name": 1, "bound": "", "reason": "", "reference": ""}],
    "n_queries": ["3", 3.5, True],
    "assumes": ["text", [1], None],
    "not_protected": ["text", [[]]],
    "private": [1, "true", None],
}


def test_no_two_contents_have_one_digest():
    assert _digest({"ab": b"c"}) != _digest({"a": b"bc"})
    assert _digest({"a": b"b", "c": b"d"}) != _digest({"a": b"bcd"})


@pytest.mark.parametrize("name", FIELDS)
def test_a_statement_of_another_form(written, tmp_path, name):
    entries = entries_of(written[0])
    record = json.loads(entries["privacy.json"])
    for value in FIELDS[name]:
        changed = json.dumps({**record, name: value}).encode()
        forged = signed({**entries, "privacy.json": changed})
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


@pytest.mark.parametrize(
    "function", [os.system, print, np.load, pickle.loads, "sklearn.datasets.load_iris"]
)
def test_functions_are_not_trusted(written, tmp_path, function):
    if isinstance(function, str):
        function = load_iris
    student = make_pipeline(FunctionTransformer(function), LogisticRegression())
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
    with pytest.raises(UnsafeFileError, match="two of one name"):
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
