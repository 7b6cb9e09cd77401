"""Where a ledger may live: one file, one name, on a disk of this machine."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

__all__ = ["LedgerError", "check_place", "filesystem", "real_path"]

# File systems on which locks or the order of writes cannot be relied on from several machines.
NETWORK = {
    "9p",
    "acfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs3",
    "nfs4",
    "ocfs2",
    "orangefs",
    "panfs",
    "pvfs2",
    "s3fs",
    "smb",
    "smb2",
    "smb3",
    "smbfs",
    "sshfs",
}


class LedgerError(RuntimeError):
    """A ledger that cannot be relied on, and therefore refuses."""

    __module__ = "skdistill.accounting.ledger"


def real_path(path: str | os.PathLike[str]) -> str:
    """Return the one absolute name of a ledger: symbolic links are followed."""
    name = os.path.realpath(os.fspath(path))
    if not isinstance(name, str):
        raise TypeError(f"The path of a ledger must be text, got {path!r}.")
    return name


def check_place(path: str) -> bool:
    """Raise unless a ledger can be kept at `path` (a real path); return whether a file is there."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise LedgerError(f"There is no folder {folder!r} to keep a ledger in. Create it first.")
    kind = filesystem(path)
    if kind in NETWORK:
        raise LedgerError(
            f"{path!r} is on a network file system ({kind}), where locks do not keep two machines "
            "apart and the budget could be spent twice. Keep the ledger on a local disk."
        )
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


def filesystem(path: str, mounts: str | None = None) -> str:
    """Return the type of the file system that holds `path`, "" where that cannot be told.

    Parameters
    ----------
    path : str
        Absolute, without symbolic links.
    mounts : str, optional
        The text of ``/proc/self/mountinfo``; read from there by default. (Other systems than
        Linux have no such file; there, only the network paths of Windows are recognised.)
    """
    if path.startswith(("\\\\", "//")) and not path.startswith(("\\\\?\\", "\\\\.\\")):
        return "smb"
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
        except OSError:
            return ""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields, separator, source = line.partition(" - ")
        if not separator:
            continue
        point = _unescape(fields.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount hides an earlier one
            best, kind = len(point), source.split(" ")[0]
    return kind.removeprefix("fuse.")


def _unescape(point: str) -> str:
    r"""Return a mount point as it is called: the kernel writes a blank as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
