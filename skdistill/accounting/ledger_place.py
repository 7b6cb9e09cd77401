"""Where a ledger may live: one file, one name, on a disk of this machine."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LedgerError", "check_place", "foreign_filesystem", "real_path"]

# File systems of one machine. On others, locks or the order of writes may not hold, or two
# machines may use one file. Unknown ones count as others.
LOCAL = re.compile(
    "|apfs|bcachefs|btrfs|ext[234]|f2fs|hfs|jfs|nilfs2|ntfs3?|overlay|ramfs|reiserfs|tmpfs|ubifs"
    "|ufs|xfs|zfs"
)


class LedgerError(RuntimeError):
    """A ledger that cannot be relied on, and therefore refuses."""

    __module__ = "skdistill.accounting.ledger"


def real_path(path: str | os.PathLike[str]) -> str:
    """Return the one absolute name of a ledger: ``~`` and symbolic links are followed."""
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"The path of a ledger must be text, got {path!r}.")
    return os.path.realpath(os.path.expanduser(name))


def check_place(path: str) -> bool:
    """Raise unless a ledger can be kept at `path` (a real path); return whether a file is there."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise LedgerError(f"There is no folder {folder!r} to keep a ledger in. Create it first.")
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LedgerError(f"{path!r} cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise LedgerError(f"{path!r} is not a ledger: it is not a regular file.")
    if found.st_nlink > 1:
        raise LedgerError(
            f"{path!r} has {found.st_nlink} names (hard links). SQLite names its journal after "
            "the file, so that charges made under different names would not see each other. "
            "Remove all names but one."
        )
    return True


def foreign_filesystem(path: str, mounts: str | None = None) -> str:
    """Return the type of the file system that holds a real path, "" if it is of this machine.

    `mounts` lists the mounted file systems as ``/proc/self/mountinfo`` does on Linux, where it is
    read by default, or as ``mount`` prints them on macOS. Where neither exists, only the network
    paths of Windows are recognised; a real path has no letter of a network drive.
    """
    if path.startswith(("\\\\", "//")):
        beyond = path.startswith(("\\\\?\\", "\\\\.\\")) and path[4:8].upper() != "UNC\\"
        return "" if beyond else "smb"
    best, kind = -1, ""
    for point, each in _mounted(_list_of_mounts() if mounts is None else mounts):
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount hides an earlier one
            best, kind = len(point), each
    return "" if LOCAL.fullmatch(kind) else kind


def _list_of_mounts() -> str:
    """Return the system's list of mounted file systems, "" where it gives none."""
    try:
        if sys.platform == "darwin":
            return subprocess.run(["/sbin/mount"], capture_output=True, check=True).stdout.decode()
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""


def _mounted(mounts: str) -> Iterator[tuple[str, str]]:
    """Yield the place and the type of each mounted file system."""
    for line in mounts.splitlines():
        fields, separator, source = line.partition(" - ")
        if separator:  # the kernel of Linux writes a blank as \040
            point = re.sub(r"\\([0-7]{3})", lambda at: chr(int(at[1], 8)), fields.split(" ")[4])
            yield point, source.split(" ")[0]
        elif found := re.fullmatch(r".+? on (/.*) \((\w+)[,)].*", line):  # macOS
            yield found[1], found[2]
