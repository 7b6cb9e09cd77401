"""When two releases are the same one: digests of the teacher, of the rows, of the settings.

A release that a ledger holds already is public, so giving it out again costs nothing, provided
that *whether it is the same one* says nothing about the private data:

- Rows and settings are public, and so is their equality.
- A teacher of this package is told by the random ``fit_id_`` that it draws in each fit, and by
  nothing that a record can touch: copies have the same one, another fit has another one. Nothing
  of it is read or pickled, so a private part that does not pickle changes no charge. A change by
  hand of its fitted attributes is not noticed, and an earlier answer is given out again.
- Any other teacher is told by all it consists of: class, parameters, fitted state. Copies of one
  fitted teacher (clones, pickles, other processes) are equal whatever the data was. Teachers from
  two fits might be equal on one data set and not on its neighbour; then "the same" would tell the
  two apart. So would a fitted state that pickles on the one and not on the other, because a
  teacher that does not pickle is charged every time. The user asserts that neither happens, and
  the statement lists it (:func:`assumed_of`); a ledger with ``replay=False`` does not need it.

A digest that differs without need (another number of workers, say) costs a release, no more.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from joblib.hashing import NumpyHasher
from numpy.typing import NDArray

from skdistill.certificates.base import is_exactly, unwrap
from skdistill.certificates.public_maps import is_public_map
from skdistill.release.boundary import TeacherError, call_privately
from skdistill.release.partitioned_rows import PartitionedRows

Keys = NDArray[np.bytes_]


# Exactly these draw a random `fit_id_` in each fit, and read their parameters in `fit` alone.
_WITH_FIT_ID = ("NewtonClassifier", "NewtonRegressor", "TeacherEnsemble")


def teacher_digest(teacher: Any) -> str | None:
    """Return a digest that tells a (private) teacher from others, None if there is none.

    Of a teacher of this package: of the random number of its fit and of the steps before it in a
    pipeline. Of any other: of all that it consists of, and None if it cannot be pickled.
    """
    steps, fit_id = _own_fit(teacher)
    told = unwrap(teacher) if fit_id is None else ("fit", fit_id, *steps)
    try:
        return str(call_privately(lambda: _digest_once(told)))
    except TeacherError:
        return None


def _own_fit(teacher: Any) -> tuple[list[Any], str | None]:
    """Return the steps before the last one of pipelines, and its `fit_id_` if it is our teacher."""
    steps: list[Any] = []
    last = unwrap(teacher)
    while is_exactly(last, "sklearn.pipeline.Pipeline"):
        steps += [step for _, step in last.steps[:-1]]
        last = unwrap(last.steps[-1][1])
    if any(is_exactly(last, f"skdistill.teachers.{name}") for name in _WITH_FIT_ID):
        return steps, vars(last).get("fit_id_")
    return steps, None


_DIGESTS: dict[bytes, str] = {}  # of the last teachers, by the SHA-256 of their pickles


def _digest_once(teacher: Any) -> str:
    """Return the digest of a teacher; from memory if its pickle was seen before, as in a search.

    The same pickle is the same content. (The stream ends at its own mark, but does not tell how
    long the buffers are that follow: those of pyarrow could be divided otherwise.)
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        stream = pickle.dumps(teacher, protocol=5, buffer_callback=buffers.append)
        seen = hashlib.sha256(stream)
        for buffer in buffers:
            content = buffer.raw()
            seen.update(content.nbytes.to_bytes(8))
            seen.update(content)
    except Exception:  # `digest` hashes more than pickle does
        return digest(teacher)
    found = _DIGESTS.pop(seen.digest(), None) or digest(teacher)
    _DIGESTS[seen.digest()] = found
    for oldest in list(_DIGESTS)[:-64]:
        _DIGESTS.pop(oldest, None)
    return found


def assumed_of(teacher: Any) -> tuple[str, ...]:
    """Return the assumptions of replaying this teacher's releases, for the statement."""
    steps, fit_id = _own_fit(teacher)
    if fit_id is not None and all(map(is_public_map, steps)):
        return ()
    return (
        "whether a teacher can be pickled, and whether two teachers handed to the ledger are equal "
        "to the last bit, does not depend on one record (the second does not for one fitted "
        "teacher and its copies)",
    )


def digest(*parts: Any) -> str:
    """Return a digest of anything that pickles; equal for copies made by pickling."""
    hasher = _Hasher(hash_name="sha1")
    hasher.fast = True  # without a memo: which parts are one object does not matter
    try:
        return str(hasher.hash(parts))
    except RecursionError:  # an object that holds itself
        return str(_Hasher(hash_name="sha1").hash(parts))


class _Hasher(NumpyHasher):
    """joblib's hasher, blind to how an array lies in memory: a copy may lie otherwise."""

    def save(self, obj: Any) -> None:
        """Hash arrays by type, shape and content, anything else as joblib does."""
        if type(obj) is np.ndarray and not obj.dtype.hasobject:
            # Field by field: the padding in the records of a tree's nodes is arbitrary.
            fields = [obj] if obj.dtype.names is None else [obj[f] for f in obj.dtype.names]
            contents = [hashlib.sha1(f.tobytes()).hexdigest() for f in fields]
            obj = ("array", obj.dtype.str, obj.dtype.names, obj.shape, contents)
        elif isinstance(obj, PartitionedRows):  # which are not read, and are no other fit's
            obj = ("partitions", obj.name)
        super().save(obj)


def layout(X: Any) -> tuple[str, ...]:
    """Describe a table apart from its rows: its container, its columns and their types."""
    columns = [str(name) for name in getattr(X, "columns", ())]
    types = getattr(X, "dtypes", None)
    if types is None:
        types = [getattr(X, "dtype", "")]
    return (type(X).__name__, *columns, *(str(each) for each in types), str(np.shape(X)[1:]))


def row_keys(X: Any, n_rows: int) -> Keys:
    """Return a key of dtype "S16" for each row: a digest of its content, and which equal it is.

    Equal rows of one table are different questions, with noise of their own: the second of them is
    the second in every table that holds both. If digests (96 bits) coincide by chance, two rows get
    the same label, which costs no privacy. The keys of the last arrays are kept, for searches.
    """
    if not isinstance(X, np.ndarray) or X.dtype.kind == "O":
        return _keys(_contents(X, n_rows))
    shape = repr((X.shape, X.dtype.str)).encode()
    table = shape + hashlib.blake2b(np.ascontiguousarray(X)).digest()
    keys = _RECENT.pop(table, None)
    _RECENT[table] = keys = _keys(_contents(X, n_rows)) if keys is None else keys
    for oldest in list(_RECENT)[:-1]:
        if sum(map(len, list(_RECENT.values()))) > _KEPT:
            _RECENT.pop(oldest, None)
    return keys


_RECENT: dict[bytes, Keys] = {}  # by shape, type and content; the last used at the end
_KEPT = 2**22  # keys, of all arrays together


def _keys(contents: list[bytes]) -> Keys:
    seen: Counter[bytes] = Counter()
    keys = []
    for content in contents:
        name = hashlib.blake2b(content, digest_size=12).digest()
        # The last byte is 1, so that no key ends in zeros, which NumPy would drop.
        keys.append(name + (seen[name] % (1 << 24)).to_bytes(3, "little") + b"\1")
        seen[name] += 1
    result = np.array(keys, dtype="S16")
    result.flags.writeable = False
    return result


def _contents(X: Any, n_rows: int) -> list[bytes]:
    """Return the bytes of each row."""
    if hasattr(X, "tocsr"):
        X = X.tocsr().copy()
        X.sum_duplicates()  # also sorts the indices
        indices = X.indices.astype("<i8")
        return [indices[a:b].tobytes() + X.data[a:b].tobytes() for a, b in pairwise(X.indptr)]
    if hasattr(X, "columns"):
        return _joined([_column(X, j) for j in range(X.shape[1])], n_rows)
    if isinstance(X, np.ndarray) and X.dtype.kind != "O":
        return _joined([X], n_rows)
    if isinstance(X, np.ndarray) and X.ndim == 2:
        return _joined(list(X.T), n_rows)
    return [_pickled(row) for row in X]


def _column(X: Any, j: int) -> NDArray[Any]:
    """Return a column of a frame; as objects, cell by cell, where its type is not NumPy's."""
    column = X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column)
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_list()
    return values


def _joined(columns: list[NDArray[Any]], n_rows: int) -> list[bytes]:
    """Return the rows of columns side by side, objects as digests of their own."""
    parts = []
    for column in columns:
        if column.dtype.kind == "O":
            known: dict[Any, bytes] = {}
            column = np.array([_object_digest(value, known) for value in column.flat], dtype="S17")
        parts.append(np.ascontiguousarray(column).view(np.uint8).reshape(n_rows, -1))
    table = np.ascontiguousarray(np.concatenate(parts, axis=1))
    flat, width = table.tobytes(), table.shape[1]
    return [flat[i * width : (i + 1) * width] for i in range(n_rows)]


def _object_digest(value: Any, known: dict[Any, bytes]) -> bytes:
    """Return 16 bytes and a one, the same for equal values of one type."""
    name = (type(value), value) if isinstance(value, (str, int, float)) else None
    found = known.get(name) if name is not None else None
    if found is None:
        found = hashlib.blake2b(_pickled(value), digest_size=16).digest() + b"\1"
        if name is not None:
            known[name] = found
    return found


def _pickled(value: Any) -> bytes:
    """Return bytes that depend on the value and not on which of its parts are one object."""
    if isinstance(value, (str, int, float, bytes, np.generic)):
        return f"{type(value).__name__}:{value!r}".encode()
    return digest(value).encode()
