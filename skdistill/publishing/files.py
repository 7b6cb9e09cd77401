"""A file that runs no code: a student and its statement, written and read.

The file is a zip archive: a skops file (``schema.json`` and arrays) with two more entries,
``privacy.json`` (the statement) and ``digest.txt``.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skdistill.publishing.archive import (
    UnsafeFileError,
    digest_of,
    entries_of,
    packed,
    read_file,
)
from skdistill.publishing.published import Published, export
from skdistill.publishing.schema_check import (
    COMPILED,
    SCHEMA,
    TRUSTED,
    UNREADABLE,
    check_arrays,
    check_schema,
)
from skdistill.publishing.statement_check import read_statement
from skdistill.statement import PrivacyStatement

__all__ = ["MAX_BYTES", "load", "save"]

#: Bytes that a file may unpack to, unless ``load`` is told otherwise.
MAX_BYTES = 1 << 30

_STATEMENT, _DIGEST = "privacy.json", "digest.txt"


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

    Warns
    -----
    UserWarning
        For types that readers will have to name, such as an estimator of your own.
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
    unknown = set(skops.get_untrusted_types(data=data)).difference(TRUSTED, COMPILED)
    if unknown:
        warnings.warn(
            f"Readers of this file have to name types that load does not trust by itself: "
            f"load(..., trusted={sorted(unknown)}).",
            stacklevel=2,
        )
    entries = dict(entries_of(data, MAX_BYTES))
    entries[_STATEMENT] = published.statement.to_json(indent=1).encode()
    try:
        read_statement(entries[_STATEMENT])
    except UnsafeFileError:
        raise ValueError(
            f"No release promises this, so no file says it: {published.statement!r}"
        ) from None
    digest = digest_of(entries)
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
    entries = dict(entries_of(read_file(path, max_bytes), max_bytes))
    for name in (SCHEMA, _STATEMENT, _DIGEST):
        if name not in entries:
            raise UnsafeFileError(f"This is no file of skdistill.save: it has no {name}.")
    written = entries.pop(_DIGEST).decode("ascii", "replace")
    found = digest_of(entries)
    if found != written or (digest is not None and found != digest.strip().lower()):
        raise UnsafeFileError(
            f"The content has the digest {found} and not {digest or written}: the file was damaged "
            "or changed after it was saved."
        )
    statement = read_statement(entries.pop(_STATEMENT))
    check_arrays(entries, max_bytes)
    compiled = check_schema(entries, max_bytes if digest is not None else max_bytes // 16)
    data = packed(entries)
    trusted = [*TRUSTED, *trusted, *(COMPILED if digest is not None else ())]
    try:
        unknown = set(skops.get_untrusted_types(data=data))
    except Exception:
        raise UnsafeFileError(UNREADABLE) from None
    unknown = (unknown | compiled).difference(trusted)
    if unknown:
        mend = "If you know them and whom the file is from, name them in `trusted`."
        if digest is None and unknown <= set(COMPILED):
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
