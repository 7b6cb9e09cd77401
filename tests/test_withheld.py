"""The file in which a teacher waits for worker processes, and the number in the pickle."""

import gc
import os
import pickle
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from processes import ENVIRONMENT, forked, needs_fork
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

import skdistill._withheld
from skdistill import PrivateDistiller
from skdistill._withheld import SetAside, Withheld, WithheldTeacher, _fetch

pytestmark = [
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

RNG = np.random.default_rng(0)
SECRET = 987.654321  # one cell of one private row
PRIVATE = RNG.normal(size=(300, 2))
PRIVATE[0, 1] = SECRET
LABELS = (PRIVATE[:, 0] > 0).astype(int)
X = RNG.normal(size=(60, 2))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(autouse=True)
def temporary_folder(monkeypatch, tmp_path_factory):
    """Give each test a folder of its own: other processes write to the usual one."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", folder)


def teacher(k=15):
    return KNeighborsClassifier(k).fit(PRIVATE, LABELS)


def distiller(about=None):
    return PrivateDistiller(teacher() if about is None else about, epsilon=1e6)


def files():
    return set(Path(tempfile.gettempdir()).glob("skdistill-*"))


def test_the_file_is_the_users_own_and_goes_with_the_teacher():
    before = files()
    about = teacher()
    model = distiller(about)
    blobs = [pickle.dumps(model) for _ in range(3)] + [pickle.dumps(clone(model))]
    (file,) = files() - before
    assert file.stat().st_mode & 0o777 == 0o600
    assert np.float64(SECRET).tobytes() in file.read_bytes()
    assert all(file.name.removeprefix("skdistill-").encode() in blob for blob in blobs)
    assert all(pickle.loads(blob).teacher in (about,) for blob in blobs[:3])
    del about, model
    gc.collect()
    assert not files() - before
    left = pickle.loads(blobs[0])
    assert isinstance(left.teacher, WithheldTeacher)


def test_the_number_says_nothing_about_the_teacher():
    """It is that of the object, so two pickles of a teacher that was fitted again are equal."""
    about = teacher()
    blob = pickle.dumps(distiller(about))
    about.fit(PRIVATE[1:], LABELS[1:])
    assert pickle.dumps(distiller(about)) == blob
    assert pickle.dumps(distiller(teacher())) != blob  # the number is random


def test_the_file_follows_the_teacher_and_is_not_written_twice():
    before, about = files(), teacher()
    pickle.dumps(distiller(about))
    (file,) = files() - before
    os.utime(file, (0, 0))
    pickle.dumps(distiller(about))
    assert file.stat().st_mtime == 0
    about._fit_X[0, 0] = 5.0  # in place
    pickle.dumps(distiller(about))
    assert pickle.loads(file.read_bytes())._fit_X[0, 0] == 5.0
    file.unlink()  # by whoever tidies temporary folders
    pickle.dumps(distiller(about))
    assert file.exists()


def in_another_process(code, *arguments):
    script = "import pickle, sys, warnings\nwarnings.simplefilter('ignore')\n" + code
    return forked(script, *arguments)


FIT = """
model = pickle.load(open(sys.argv[1], "rb"))
try:
    print("fitted", model.fit([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 9).privacy_.private)
except ValueError as error:
    print(error)
"""


def test_another_process_fits_while_this_one_lives(tmp_path):
    about = teacher()
    (tmp_path / "x").write_bytes(pickle.dumps(distiller(about)))
    assert in_another_process(FIT, tmp_path / "x") == "fitted True\n"
    about.fit(PRIVATE, LABELS)  # its file is as the last pickle found it
    del about
    gc.collect()
    said = in_another_process(FIT, tmp_path / "x")
    assert "loaded without its teacher (KNeighborsClassifier)" in said
    assert "set_params(teacher=...)" in said
    assert "n_jobs=1" in said


SEND = """
import glob, tempfile
import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from skdistill import PrivateDistiller
class Mine(KNeighborsClassifier):
    pass
X = np.random.default_rng(0).normal(size=(60, 2))
teacher = Mine(5).fit(X, X[:, 0] > 0)
if __name__ == "__main__":
    from sklearn.model_selection import GridSearchCV
    model = PrivateDistiller(teacher, epsilon=1e6)
    search = GridSearchCV(model, {"epsilon": [1e5, 1e6]}, cv=2, n_jobs=2, error_score="raise")
    search.fit(X, X[:, 0] > 0)
    pickle.dump(model, open(sys.argv[1], "wb"))
    print(len(glob.glob(tempfile.gettempdir() + "/skdistill-*")))
"""


@pytest.mark.slow
def test_a_script_sends_its_own_classes_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(tmp_path))
    assert in_another_process(SEND, tmp_path / "x") == "1\n"
    assert not list(tmp_path.glob("skdistill-*"))
    assert "loaded without its teacher (Mine)" in in_another_process(FIT, tmp_path / "x")


@needs_fork
def test_a_forked_child_leaves_the_files_of_its_parent(tmp_path):
    about = teacher()
    blob = pickle.dumps(distiller(about))
    before = files()
    child = os.fork()
    if child == 0:
        try:
            same = pickle.loads(blob).teacher is about
            del about
            gc.collect()
            skdistill._withheld.weakref.finalize._exitfunc()
            os._exit(0 if same and files() >= before else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert files() == before


def test_threads_pickle_at_once():
    model, found = distiller(), []
    work = [
        threading.Thread(target=lambda: found.append(pickle.loads(pickle.dumps(model))))
        for _ in range(8)
    ]
    for each in work:
        each.start()
    for each in work:
        each.join()
    assert all(each.teacher is model.teacher for each in found)
    assert len(found) == 8


@pytest.mark.parametrize("number", ["", "../../etc/passwd", "0" * 32, "0" * 31 + "/", "\x00" * 32])
def test_a_number_that_nobody_gave_finds_nothing(number):
    assert isinstance(_fetch(number, "Any", "classifier"), WithheldTeacher)
    assert isinstance(_fetch(number, "Any", ""), Withheld)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users")
def test_a_file_of_another_user_or_a_link_is_not_read(monkeypatch):
    number = "a" * 32
    file = Path(tempfile.gettempdir()) / f"skdistill-{number}"
    try:
        file.write_bytes(pickle.dumps("theirs"))
        assert _fetch(number, "Any", "") == "theirs"
        monkeypatch.setattr(os, "getuid", lambda: -1)
        assert isinstance(_fetch(number, "Any", ""), Withheld)
        monkeypatch.undo()
        file.rename(f"{file}-moved")
        file.symlink_to(f"{file}-moved")
        assert isinstance(_fetch(number, "Any", ""), Withheld)
    finally:
        file.unlink(missing_ok=True)
        Path(f"{file}-moved").unlink(missing_ok=True)


class Stubborn(KNeighborsClassifier):
    """Cannot be pickled, and quotes a private row."""

    def __getstate__(self):
        raise TypeError(SECRET)


def test_a_teacher_that_cannot_be_pickled_stops_no_pickle():
    about = Stubborn(5).fit(PRIVATE, LABELS)
    search = GridSearchCV(distiller(about), {"epsilon": [1e5, 1e6]}, cv=2).fit(X, Y)
    before = files()
    assert str(SECRET).encode() not in pickle.dumps(search)
    assert files() == before
    assert pickle.loads(pickle.dumps(search)).estimator.teacher is about


class Panic(BaseException):
    """Raised by a compiled extension, say."""


def stubborn(name, error):
    def refuse(self, *args):
        raise error(SECRET)

    return type("Stubborn", (KNeighborsClassifier,), {name: refuse})(5).fit(PRIVATE, LABELS)


@pytest.mark.parametrize("name", ["__getstate__", "__reduce_ex__", "__sklearn_is_fitted__"])
@pytest.mark.parametrize("error", [ValueError, Panic, KeyboardInterrupt, SystemExit])
def test_no_error_of_a_teachers_own_code_comes_out_of_a_copy(name, error):
    model = distiller(stubborn(name, error))
    for copied in (clone, pickle.dumps):
        try:
            copied(model)
        except (KeyboardInterrupt, SystemExit) as stop:
            assert type(stop) is error and stop.args == () and stop.__context__ is None


class Unreadable(KNeighborsClassifier):
    def __setstate__(self, state):
        raise Panic(SECRET)


def test_no_error_of_a_teacher_that_is_read_again_comes_out():
    model = distiller(Unreadable(5).fit(PRIVATE, LABELS))
    pickled = pickle.dumps(model)
    skdistill._withheld._OBJECTS.clear()  # as in another process
    assert isinstance(pickle.loads(pickled).teacher, WithheldTeacher)


class Slotted:
    """Cannot be referred to weakly, so nobody could tell when its file is to go."""

    __slots__ = ("value",)


def test_an_object_that_cannot_be_watched_is_withheld_for_good():
    before = files()
    assert isinstance(pickle.loads(pickle.dumps(SetAside(Slotted(), "regressor"))), WithheldTeacher)
    assert files() == before


def test_without_a_place_for_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    model = distiller()
    assert pickle.loads(pickle.dumps(model)).teacher is model.teacher
