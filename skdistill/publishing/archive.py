"""Reading a zip archive that somebody else made, without trusting it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

__all__ = ["UnsafeFileError", "digest_of", "entries_of", "packed", "read_file"]

_ENTRY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?")
_MOST_ENTRIES = 100_000


class UnsafeFileError(ValueError):
    """A file was refused before anything in it was built."""


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting: for the other end of a pipe, say."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file(path: Any, max_bytes: int) -> bytes:
    """Read a file, once, that is no larger than what it may unpack to."""
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeFileError("This is no ordinary file (a pipe or a device).")
        if status.st_size > max_bytes:
            raise UnsafeFileError(f"The file is larger than max_bytes={max_bytes}.")
        return file.read(status.st_size)


def entries_of(data: bytes, max_bytes: int) -> Iterator[tuple[str, bytes]]:
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


def packed(entries: dict[str, bytes]) -> bytes:
    """Return an archive of these entries, not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def digest_of(entries: dict[str, bytes]) -> str:
    """SHA-256 over names and contents, each with its length before it: no two sets collide."""
    total = hashlib.sha256(b"skdistill 1")
    for name in sorted(entries):
        for part in (name.encode(), entries[name]):
            total.update(len(part).to_bytes(8, "big"))
            total.update(part)
    return total.hexdigest()
