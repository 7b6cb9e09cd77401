"""Publishing a student: an ordinary estimator, its statement, and a file that runs no code.

The file is a zip archive: a skops file (``schema.json`` and arrays) with two more entries,
``privacy.json`` (the statement) and ``digest.txt``.
"""

from __future__ import annotations

import dis
import gc
import hashlib
import io
import json
import math
import os
import re
import stat
import types
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill.certificates.base import is_public_map, unwrap
from skdistill.statement import PrivacyStatement
from skdistill.students import predicted_labels, probabilities

__all__ = [
    "Published",
    "PublishedClassifier",
    "UnsafeFileError",
    "export",
    "load",
    "save",
]

#: Bytes that a file may unpack to, unless ``load`` is told otherwise.
MAX_BYTES = 1 << 30

_STATEMENT, _DIGEST, _SCHEMA = "privacy.json", "digest.txt", "schema.json"
_ENTRY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?")
_MOST_ENTRIES = 100_000
_LONGEST_STATEMENT = 1 << 20
# Types that a student may hold beside those skops trusts. They store arrays, numbers and other
# estimators; reading one calls nothing but its ``__new__`` and sets its attributes.
_TRUSTED = (
    "skdistill.publishing.PublishedClassifier",
    *("skdistill.schema.column.Column", "skdistill.schema.schema.Schema"),
    *(f"skdistill.transfer.features.{name}" for name in ("SchemaFeatures", "SchemaRows")),
    "skdistill.teachers.stable_linear.ClippedRows",
    *("sklearn._loss.loss.HalfTweedieLoss", "sklearn._loss.loss.HalfTweedieLossIdentity"),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            *("ConstantKernel", "WhiteKernel", "RBF", "Matern", "RationalQuadratic"),
            *("ExpSineSquared", "DotProduct", "Sum", "Product", "Exponentiation"),
        )
    ),
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
)
# Compiled structures whose indices nobody checks: made-up ones crash the process when they are
# used, or worse. They are read from a file that is known to be the one announced.
_COMPILED = (
    *("sklearn.tree._tree.Tree", "sklearn.metrics._dist_metrics.EuclideanDistance64"),
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *("sklearn.neighbors._kd_tree.KDTree", "sklearn.neighbors._ball_tree.BallTree"),
    *("scipy.sparse._csr.csr_matrix", "scipy.sparse._csr.csr_array"),
    *("scipy.sparse._csc.csc_matrix", "scipy.sparse._csc.csc_array"),
)
# These build one of the above, whatever type they name; so they must name it.
_COMPILED_LOADERS = {
    "SparseMatrixNode": re.compile(r"scipy\.sparse\._[a-z]+\.[a-z]+_(matrix|array)"),
    "TreeNode": re.compile(r"sklearn\.tree\._tree\.Tree"),
}


class UnsafeFileError(ValueError):
    """A file was refused before anything in it was built."""


def _student_has(method: str) -> Any:
    def check(self: PublishedClassifier) -> bool:
        if is_regressor(self.student):
            return method != "decision_function"
        if method == "predict_log_proba":
            return hasattr(self.student, "predict_proba")
        return hasattr(self.student, method)

    return check


class PublishedClassifier(ClassifierMixin, BaseEstimator):
    """A student with its decision threshold: what remains of a distiller once it is published.

    It predicts what the distiller predicts. It is fitted for good: ``fit`` returns it as it is,
    and so does :func:`sklearn.base.clone`.

    Parameters
    ----------
    student : estimator
        The fitted student.
    classes : ndarray of shape (n_classes,)
        Class labels.
    offsets : ndarray of shape (n_classes,) or None
        Added to the student's scores before the arg-max.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Column names of X, where the transfer set had them.
    """

    def __init__(
        self, student: Any, classes: NDArray[Any], offsets: NDArray[np.float64] | None = None
    ) -> None:
        self.student = student
        self.classes = classes
        self.offsets = offsets

    @property
    def classes_(self) -> NDArray[Any]:
        """The class labels."""
        return self.classes

    def fit(self, X: Any, y: Any = None) -> PublishedClassifier:
        """Do nothing: a published student is not trained again.

        Parameters
        ----------
        X, y : object
            Not used.

        Returns
        -------
        self : PublishedClassifier
        """
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict class labels, at the decision threshold.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        y : ndarray of shape (m,)
        """
        return predicted_labels(self.student, self._checked(X), self.classes, self.offsets)

    @available_if(_student_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the student's class probabilities.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        probabilities : ndarray of shape (m, n_classes)
        """
        return probabilities(self.student, self._checked(X), self.classes)

    @available_if(_student_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        log_probabilities : ndarray of shape (m, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    @available_if(_student_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the student's decision function.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        scores : ndarray of shape (m,) or (m, n_classes)
        """
        return np.asarray(self.student.decision_function(self._checked(X)))

    def _checked(self, X: Any) -> Any:
        if not hasattr(X, "shape") and not hasattr(X, "__len__"):
            X = np.asarray(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> PublishedClassifier:
        return self


@dataclass(frozen=True)
class Published:
    """A student that may be published, and what is promised about it.

    Parameters
    ----------
    estimator : estimator
        An ordinary fitted estimator: a :class:`PublishedClassifier`, or a regressor as it is.
    statement : PrivacyStatement
        The publisher's claim.
    """

    estimator: Any
    statement: PrivacyStatement

    def save(self, path: Any) -> str:
        """Write both to a file; see :func:`save`.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        digest : str
        """
        return save(self, path)


def export(distiller: Any) -> Published:
    """Take the student and the statement out of a fitted distiller.

    Parameters
    ----------
    distiller : PrivateDistiller
        Fitted.

    Returns
    -------
    published : Published
        ``estimator`` predicts what the distiller predicts, bit for bit, and holds no teacher,
        accountant or ledger. It shares the student with the distiller.

    Raises
    ------
    TypeError
        For anything that is no distiller and makes no statement.
    sklearn.exceptions.NotFittedError
        For a distiller that is not fitted.
    ValueError
        Where the student holds the teacher or a part of it, for instance as a frozen step of a
        pipeline: publishing it would publish the teacher.

    Notes
    -----
    Post-processing: the student, the offsets and the classes are functions of released labels, the
    public X and public settings, so the export has the guarantee of the release and no other cost
    (Dwork and Roth 2014, Proposition 2.1). That the *student* is such a function fails only where
    the user put private parts into it, which is what is searched for
    (:func:`refuse_private_parts`).
    """
    if not hasattr(distiller, "epsilon") or not hasattr(distiller, "student"):
        raise TypeError(
            f"Only a distiller's student has a statement, and a {type(distiller).__name__} is "
            "none. Give a fitted PrivateDistiller or PATEClassifier; of a search, its "
            "best_estimator_."
        )
    check_is_fitted(distiller)
    student = distiller.student_
    refuse_private_parts(student, getattr(distiller, "teacher", None))
    classes = getattr(distiller, "classes_", None)
    if classes is None:
        return Published(student, distiller.privacy_)
    estimator = PublishedClassifier(student, classes, distiller.decision_offsets_)
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(distiller, name):
            setattr(estimator, name, getattr(distiller, name))
    return Published(estimator, distiller.privacy_)


def save(published: Any, path: Any) -> str:
    """Write a student and its statement to a file that can be read without running code.

    Needs skops (``pip install "skdistill[publish]"``). Networks cannot be written: save those by
    their own library.

    Parameters
    ----------
    published : Published or PrivateDistiller
        A distiller is exported first.
    path : str or path-like
        The file; by convention it ends in ``.skops``.

    Returns
    -------
    digest : str
        SHA-256 of the student and the statement together. Announce it where the file cannot be
        changed along with it, and pass it to :func:`load`.

    Raises
    ------
    TypeError
        For what has no statement, and for a student that cannot be written without pickle.
    ValueError
        For a student that holds the teacher (see :func:`export`).
    """
    if not isinstance(published, Published):
        published = export(published)
    if not isinstance(published.statement, PrivacyStatement):
        raise TypeError(
            f"A student is published with its PrivacyStatement, not with "
            f"{published.statement!r}: save what distiller.export() returns."
        )
    skops = _skops()
    try:
        data = skops.dumps(published.estimator, compression=zipfile.ZIP_DEFLATED)
    except Exception as error:
        raise TypeError(
            f"This student ({_named(published.estimator)}) cannot be written without pickle. Save "
            "a network by its own library, and published.statement.to_json() beside it."
        ) from error
    entries = dict(_entries(data, MAX_BYTES))
    entries[_STATEMENT] = published.statement.to_json(indent=1).encode()
    try:
        _statement(entries[_STATEMENT])
    except UnsafeFileError:
        raise ValueError(
            f"No release promises this, so no file says it: {published.statement!r}"
        ) from None
    digest = _digest(entries)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.writestr(_DIGEST, digest)
    Path(path).write_bytes(buffer.getvalue())
    return digest


def load(
    path: Any, *, digest: str | None = None, trusted: Iterable[str] = (), max_bytes: int = MAX_BYTES
) -> Published:
    """Read a student and its statement from a file.

    Parameters
    ----------
    path : str or path-like
        A file that :func:`save` wrote.
    digest : str, default=None
        What ``save`` returned, from a source you trust. Without it a file that somebody rebuilt as
        a whole, statement included, looks as good as the original; students with compiled parts
        (trees, nearest neighbours, sparse matrices) are refused then.
    trusted : iterable of str, default=()
        Full names of further types that the file may hold, ``"lightgbm.sklearn.LGBMClassifier"``
        for instance.
    max_bytes : int, default=1073741824
        The most that the file may unpack to.

    Returns
    -------
    published : Published

    Raises
    ------
    UnsafeFileError
        For anything but a file that ``save`` writes: no zip archive (a pickle, say), unpacked too
        large, entries with paths, a digest that does not fit, a statement of another form, a
        student that would be larger than its description, types that are neither scikit-learn's,
        NumPy's, SciPy's, this package's nor in `trusted`. Nothing in the file has been built or
        called then.
    ValueError
        The types are trusted and do not fit together: a file of other versions of scikit-learn or
        NumPy, or made up. OSError where the file cannot be read.

    Notes
    -----
    The digest inside the file finds damage, and a statement that was put to another student. It
    is no signature: who can rewrite the file can rewrite the digest. The statement is the
    publisher's claim; nothing in a file can prove how its labels were made.

    Types are checked and numbers are not: an estimator of scikit-learn with made-up arrays can
    fail, or crash the process, when it predicts. Where that matters, load with `digest`.
    """
    if not isinstance(digest, str | None):
        raise TypeError(f"digest={digest!r} must be the text that save() returned.")
    trusted = [trusted] if isinstance(trusted, str) else list(trusted)
    skops = _skops()
    entries = dict(_entries(_read(path, max_bytes), max_bytes))
    for name in (_SCHEMA, _STATEMENT, _DIGEST):
        if name not in entries:
            raise UnsafeFileError(f"This is no file of skdistill.save: it has no {name}.")
    written = entries.pop(_DIGEST).decode("ascii", "replace")
    found = _digest(entries)
    if found != written or (digest is not None and found != digest.strip().lower()):
        raise UnsafeFileError(
            f"The content has the digest {found} and not {digest or written}: the file was damaged "
            "or changed after it was saved."
        )
    statement = _statement(entries.pop(_STATEMENT))
    _check_arrays(entries, max_bytes)
    compiled = _check_schema(entries, max_bytes if digest is not None else max_bytes // 16)
    data = _packed(entries)
    trusted = [*_TRUSTED, *trusted, *(_COMPILED if digest is not None else ())]
    try:
        unknown = set(skops.get_untrusted_types(data=data))
    except Exception:
        raise UnsafeFileError(_UNREADABLE) from None
    unknown = (unknown | compiled).difference(trusted)
    if unknown:
        mend = "If you know them and whom the file is from, name them in `trusted`."
        if digest is None and unknown <= set(_COMPILED):
            mend = "Pass the digest that save() returned: then the file is the one that was saved."
        names = ", ".join(sorted(unknown))
        raise UnsafeFileError(f"The file holds types that are not trusted: {names}. {mend}")
    try:
        estimator = skops.loads(data, trusted=trusted)
        predicts = hasattr(estimator, "predict")
    except Exception as error:
        raise ValueError("The student in the file cannot be rebuilt.") from error
    if not predicts:
        raise ValueError("The file holds no student: nothing in it predicts.")
    return Published(estimator, statement)


def _skops() -> Any:
    try:
        import skops.io
    except ImportError:
        raise ImportError(
            'Saving and loading students needs skops: pip install "skdistill[publish]".'
        ) from None
    return skops.io


def _named(estimator: Any) -> str:
    return type(getattr(estimator, "student", estimator)).__name__


# ------------------------------------------------------------------------- what a student holds


def refuse_private_parts(student: Any, teacher: Any) -> None:
    """Raise if the teacher, or a part of it, can be found in a student.

    Parts are looked for by identity everywhere, in methods and in what functions refer to, too;
    and, since ``clone`` and pickle copy, arrays of the teacher are looked for by content in what
    a student was given ready-made: frozen steps and parameters.

    Parameters
    ----------
    student : estimator
        Fitted or not.
    teacher : estimator or None
        Fitted.

    Raises
    ------
    ValueError
        With the fix.

    Notes
    -----
    A search for mistakes, and no proof: a function of the teacher (two rows of its coefficients,
    say) is not recognised.
    """
    parts = list(_private_parts(unwrap(teacher)))
    private = {id(each) for each in parts if each is not None}
    found = any(id(each) in private for each in _reachable(student))
    if not found:
        given = {_print(each) for each in _reachable(list(_ready_made(student)))} - {None}
        found = bool(given) and not given.isdisjoint(_learned(parts))
    if found:
        raise ValueError(
            "The student holds the teacher, or a part of it, and would publish it. Use only parts "
            "that were made without the private data inside a student."
        )


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _private_parts(teacher: Any) -> Iterator[Any]:
    """Yield a teacher and the estimators in it, but for those said to be public (frozen ones)."""
    yield teacher
    waiting = list(getattr(teacher, "__dict__", {}).values())
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, np.ndarray) and each.dtype.hasobject:
            waiting.extend(each.ravel().tolist())
        elif _is_estimator(each) and not is_public_map(each):
            yield from _private_parts(each)


def _learned(parts: list[Any]) -> set[Any]:
    """Return the contents of arrays that a teacher's parts learned: no parameters."""
    parameters: set[Any] = set()
    learned: set[Any] = set()
    for part in parts:
        given = part.get_params(deep=False) if _is_estimator(part) else {}
        for name, value in getattr(part, "__dict__", {}).items():
            prints = map(_print, _reachable(value, into_estimators=False))
            (parameters if name in given else learned).update(prints)
    return learned - parameters


def _ready_made(student: Any) -> Iterator[Any]:
    """Yield what came into a student as it is: parameters that are not fitted by ``fit``."""
    waiting = [student]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif _is_estimator(each) and not isinstance(each, FrozenEstimator):
            waiting.extend(each.get_params(deep=False).values())
        else:
            yield each


def _print(value: Any) -> Any:
    """Return what identifies the content of an array of floats; None for all else.

    Constant arrays are left out, such as an intercept of zero: they tell nothing.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size < 2:
        return None
    if (value == value.flat[0]).all():
        return None
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()
    return value.dtype.str, value.shape, content


_OPAQUE = (
    *(type, types.ModuleType, types.CodeType, types.FrameType),
    *(str, bytes, int, float, complex, type(None), np.dtype),
)


def _reachable(start: Any, *, into_estimators: bool = True) -> Iterator[Any]:
    """Yield every object that `start` refers to, directly or not."""
    waiting, seen = [start], {}
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _OPAQUE):
            continue
        seen[id(each)] = each  # held, so that no other object gets its id
        yield each
        if into_estimators or not _is_estimator(each):
            waiting.extend(_referents(each))


def _referents(value: Any) -> list[Any]:
    """Return what an object refers to; the garbage collector does not know of all of it."""
    if isinstance(value, np.ndarray):
        return [value.base, *(value.ravel().tolist() if value.dtype.hasobject else ())]
    if isinstance(value, types.FunctionType):
        named = [value.__globals__.get(name) for name in _global_names(value.__code__)]
        # Of other functions, those of its own module: libraries are not searched from here.
        own = [
            each
            for each in named
            if getattr(each, "__globals__", value.__globals__) is value.__globals__
        ]
        return [value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value), *own]
    if not hasattr(value, "__dict__") and type(value).__module__.startswith("sklearn."):
        return [value.__getstate__()]  # compiled: trees
    return gc.get_referents(value)


def _global_names(code: types.CodeType) -> set[str]:
    names = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return names.union(*map(_global_names, inner))


# ------------------------------------------------------------------------------------- the file


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting: for the other end of a pipe, say."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(path: Any, max_bytes: int) -> bytes:
    """Read a file, once, that is no larger than what it may unpack to."""
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeFileError("This is no ordinary file (a pipe or a device).")
        if status.st_size > max_bytes:
            raise UnsafeFileError(f"The file is larger than max_bytes={max_bytes}.")
        return file.read(status.st_size)


def _entries(data: bytes, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield the entries of a zip archive of bounded size, whose names are no paths.

    Sizes are those the archive declares, checked before anything is unpacked. No more is unpacked
    than was declared: a read of all there is would unpack first and cut afterwards.
    """
    if not data.startswith(b"PK\x03\x04"):
        raise UnsafeFileError("This is no zip archive, so no file of skdistill.save.")
    if data.count(b"PK\x01\x02") > _MOST_ENTRIES:  # before zipfile makes an object of each
        raise UnsafeFileError("The archive has too many entries.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            names = [entry.filename for entry in listed]
            if len(set(names)) < len(names):
                raise UnsafeFileError("The archive has two entries of one name.")
            if sum(entry.file_size for entry in listed) > max_bytes:
                raise UnsafeFileError(f"The archive unpacks to more than max_bytes={max_bytes}.")
            for entry in listed:
                allowed = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                if not _ENTRY.fullmatch(entry.filename) or entry.flag_bits & 1 or not allowed:
                    raise UnsafeFileError(f"The archive has a strange entry {entry.filename!r}.")
                with archive.open(entry) as content:
                    yield entry.filename, content.read(entry.file_size + 1)
    except UnsafeFileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError):
        raise UnsafeFileError("The zip archive is damaged.") from None


def _packed(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _digest(entries: dict[str, bytes]) -> str:
    """SHA-256 over names and contents, each with its length before it: no two sets collide."""
    total = hashlib.sha256(b"skdistill 1")
    for name in sorted(entries):
        for part in (name.encode(), entries[name]):
            total.update(len(part).to_bytes(8, "big"))
            total.update(part)
    return total.hexdigest()


def _check_arrays(entries: dict[str, bytes], max_bytes: int) -> None:
    """Raise for arrays that claim to be larger than they are, and for archives in the archive.

    ``numpy.load`` makes room for what the header of an array says, and sparse matrices are zip
    archives themselves: both are measured before anyone opens them.
    """
    left = max_bytes - sum(map(len, entries.values()))
    for content in entries.values():
        if content.startswith(b"PK"):
            inner = dict(_entries(content, max(left, 0)))
            left -= sum(map(len, inner.values()))
            arrays = list(inner.values())
        else:
            arrays = [content]
        for array in arrays:
            if array.startswith(b"\x93NUMPY"):
                _header(array)


def _header(array: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an array that is as large as its header says."""
    stream = io.BytesIO(array)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(stream)
    except Exception:
        raise UnsafeFileError("An array in the file has a damaged header.") from None
    size = math.prod(shape)
    if dtype.hasobject or size * dtype.itemsize != len(array) - stream.tell() or size > len(array):
        raise UnsafeFileError("An array in the file is not as large as its header says.")
    return shape, dtype


_UNREADABLE = "The file's description of the student cannot be read."


def _check_schema(entries: dict[str, bytes], longest: int) -> set[str]:
    """Raise for a student larger than its description; return the compiled types in it.

    skops writes whatever occurs twice twice, with one number, and reads it once. A file made up
    can write a number alone, inside of what has that number, or 40 times two in each other: then
    the audit never ends. So everything of one number must be of one size. By induction over
    sizes, the student is then no larger than the text; a cycle would be smaller than itself. For
    the same reason no content is read twice, and a number is no request for as many bytes.

    Parameters
    ----------
    entries : dict of str to bytes
    longest : int
        Bytes that the text may have; reading takes about 30 times as much memory.
    """
    text = entries[_SCHEMA]
    if len(text) > longest:
        raise UnsafeFileError("The file's description of the student is too long.")
    sizes: dict[Any, int] = {}
    compiled: set[str] = set()
    left = sum(map(len, entries.values()))

    def measure(value: Any) -> int:
        nonlocal left
        if not isinstance(value, (dict, list)):
            return 1
        size = 1
        for each in value.values() if isinstance(value, dict) else value:
            size += measure(each)
        if isinstance(value, dict) and not value.keys().isdisjoint(("__loader__", "__id__")):
            number = value.get("__id__")
            if not number or number not in sizes:
                left -= _check_node(value, entries)
                if number:
                    sizes[number] = size
            if sizes.get(number, size) != size or left < 0:
                raise ValueError
            name = f"{value['__module__']}.{value['__class__']}"
            builds = _COMPILED_LOADERS.get(value["__loader__"])
            if builds and not builds.fullmatch(name):
                raise ValueError
            if name in _COMPILED:
                compiled.add(name)
        return size

    try:
        measure(json.loads(text))
    except Exception:
        raise UnsafeFileError(_UNREADABLE) from None
    return compiled


def _check_node(node: dict[str, Any], entries: dict[str, bytes]) -> int:
    """Return the bytes of the entry that a node reads; raise where it is another kind of number."""
    if not isinstance(node.get("file"), str):
        return 0
    content = entries[node["file"]]
    if node["__loader__"] == "NdArrayNode":
        shape, dtype = _header(content)
        kind = {"str_": "U", "bytes_": "S", "void": ""}.get(node["__class__"], "biufcmM")
        if node["__class__"] != "ndarray" and (shape or dtype.kind not in kind):
            raise ValueError
    return len(content)


_WRITTEN_AS_TEXT = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def _statement(data: bytes) -> PrivacyStatement:
    """Read a statement, and nothing but a statement in the one form in which it is written.

    Another form could say one thing to a person and another to a program: a name given twice.
    """
    try:
        if len(data) > _LONGEST_STATEMENT:
            raise ValueError
        record = dict(json.loads(data))
        if set(record) != {field.name for field in fields(PrivacyStatement)}:
            raise ValueError
        for name in ("epsilon", "delta", "mu"):
            value = _WRITTEN_AS_TEXT.get(record[name], record[name])
            if not (type(value) in (int, float) or (value is None and name == "mu")):
                raise ValueError
            record[name] = value
        for name in ("assumes", "not_protected"):
            if type(record[name]) is not list or not _all_text(record[name]):
                raise ValueError
            record[name] = tuple(record[name])
        certificate = record["certificate"]
        kinds = (
            type(certificate) is dict and _all_text(certificate.values()),
            _all_text([record["relation"], record["mechanism"], record["sampler"]]),
            type(record["n_queries"]) is int,
            type(record["private"]) is bool,
        )
        if not all(kinds) or {"name", "bound", "reason", "reference"} - set(certificate):
            raise ValueError
        statement = PrivacyStatement(**record)
        if not _is_sound(statement) or statement.to_json(indent=1).encode() != data:
            raise ValueError
        return statement
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        raise UnsafeFileError("The file's privacy.json is no privacy statement.") from None


def _is_sound(statement: PrivacyStatement) -> bool:
    """Whether the numbers could be those of a guarantee."""
    epsilon, mu = statement.epsilon, statement.mu
    return (
        epsilon >= 0
        and 0 <= statement.delta <= 1
        and (mu is None or mu >= 0)
        and statement.n_queries >= 0
        and (math.isfinite(epsilon) or not statement.private)
    )


def _all_text(values: Iterable[Any]) -> bool:
    """Whether all is text that shows itself: no controls that move or hide what is printed."""
    return all(
        type(value) is str
        and not any(category(each) in ("Cc", "Cf") and each not in "\n\t" for each in value)
        for value in values
    )
