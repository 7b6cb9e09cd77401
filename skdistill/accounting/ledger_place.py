"""Where a ledger may live: one file, one name, on a disk of this machine."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

# File systems of one machine. On others, locks or the order of writes may not hold, or two
# machines may use one file. Unknown ones count as others.
LOCAL = re.compile(
    "|apfs|bcachefs|btrfs|ext[234]|f2fs|hfs|jfs|nilfs2|ntfs3?|overlay|ramfs|reiserfs|tmpfs|ubifs"
    "|ufs|xfs|zfs"
)
# Place and type of a mounted file system: a line of /proc/mounts, or of `mount` on macOS.
_MOUNTED = {
    "linux": re.compile(r"\S+ (?P<point>\S+) (?P<kind>\S+) "),
    "darwin": re.compile(r".+? on (?P<point>/.*) \((?P<kind>\w+)[,)]"),
}


class LedgerError(RuntimeError):
    """A ledger that cannot be relied on, and therefore refuses.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skdistill.accounting import PrivacyLedger
    >>> path = Path(tempfile.mkdtemp()) / "budget"
    >>> _ = path.write_text("not a ledger")
    >>> PrivacyLedger(path)
    Traceback (most recent call last):
    skdistill.accounting.ledger.LedgerError: '...' is not a ledger.
    """

    __module__ = "skdistill.accounting.ledger"


def real_path(path: str | os.PathLike[str]) -> str:
    """Return the one absolute name of a ledger: ``~`` and symbolic links are followed."""
    return os.path.realpath(os.path.expanduser(os.fsdecode(path)))


def check_place(path: str) -> bool:
    """Raise unless a ledger can be kept at `path` (a real path); return whether a file is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(os.path.dirname(path)):
            return False
        raise LedgerError(f"There is no folder for {path!r}. Create it first.") from None
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


def foreign_filesystem(path: str) -> str:
    """Return the type of the file system that holds a real path, "" if it is of this machine.

    Where the system gives no list of mounted file systems, only the network paths of Windows are
    recognised; a real path has no letter of a network drive.
    """
    if path.startswith(("\\\\", "//")):
        beyond = path.startswith(("\\\\?\\", "\\\\.\\")) and path[4:8].upper() != "UNC\\"
        return "" if beyond else "smb"
    mounts, best, kind = "", -1, ""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            mounts = subprocess.run("/sbin/mount", capture_output=True, check=True).stdout.decode()
        elif sys.platform == "linux":
            mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape")
    for line in mounts.splitlines():
        if found := _MOUNTED[sys.platform].match(line):
            # The kernel of Linux writes a blank as \040.
            point = re.sub(r"\\([0-7]{3})", lambda at: chr(int(at[1], 8)), found["point"])
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= best:  # a later mount hides an earlier one
                best, kind = len(point), found["kind"]
    return "" if LOCAL.fullmatch(kind) else kind
