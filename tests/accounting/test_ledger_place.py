"""Where a ledger may live."""

import os
import socket
import subprocess
from contextlib import closing

import pytest

from skdistill.accounting import PrivacyLedger, ledger_file, ledger_place
from skdistill.accounting.ledger_place import (
    LedgerError,
    check_place,
    foreign_filesystem,
    real_path,
)

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/team /mnt/team nfs4 rw 0 0
/dev/sdb /mnt/team/fast xfs rw,relatime 0 0
host: /mnt/my\\040disk fuse.sshfs rw 0 0
//server/over /over cifs rw 0 0
tmpfs /over tmpfs rw 0 0
drvfs /win 9p rw 0 0
tmpfs /mnt tmpfs rw 0 0
line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/ledger.db", ""),
        ("/mnt/team", "nfs4"),
        ("/mnt/team/a/ledger.db", "nfs4"),
        ("/mnt/teams/ledger.db", ""),
        ("/mnt/team/fast/ledger.db", ""),
        ("/mnt/my disk/ledger.db", "fuse.sshfs"),
        ("/over/ledger.db", ""),
        ("/win/ledger.db", "9p"),
        ("\\\\server\\share\\ledger.db", "smb"),
        ("//server/share/ledger.db", "smb"),
        ("\\\\?\\C:\\ledger.db", ""),
        ("\\\\?\\UNC\\server\\share\\ledger.db", "smb"),
    ],
)
def test_file_system_of_a_path(monkeypatch, path, kind):
    monkeypatch.setattr(ledger_place.sys, "platform", "linux")
    monkeypatch.setattr(ledger_place.Path, "read_text", lambda *_: MOUNTS)
    assert foreign_filesystem(path) == kind


MOUNTS_OF_MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//me@server/team on /Volumes/team (one) (smbfs, nodev, nosuid, mounted by me)
server:/export on /Volumes/nfs (nfs)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Applications/ledger.db", ""),
        ("/System/Volumes/Data/ledger.db", ""),
        ("/Volumes/team (one)/ledger.db", "smbfs"),
        ("/Volumes/nfs/ledger.db", "nfs"),
    ],
)
def test_file_system_on_macos(monkeypatch, path, kind):
    asked = []

    def mount(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, MOUNTS_OF_MACOS.encode())

    monkeypatch.setattr(ledger_place.sys, "platform", "darwin")
    monkeypatch.setattr(ledger_place.subprocess, "run", mount)
    assert foreign_filesystem(path) == kind
    assert asked == ["/sbin/mount"]


@pytest.mark.parametrize("system", ["darwin", "win32", "freebsd14"])
def test_a_system_that_lists_no_file_systems(tmp_path, monkeypatch, system):
    """Neither /proc nor mount: every path counts as one of this machine."""

    def absent(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(ledger_place.sys, "platform", system)
    monkeypatch.setattr(ledger_place.subprocess, "run", absent)
    monkeypatch.setattr(ledger_place.Path, "read_text", absent)
    assert foreign_filesystem(str(tmp_path)) == ""


def test_macos_is_told_to_write_to_the_disk(tmp_path, monkeypatch):
    """On macOS fsync alone does not: SQLite needs fullfsync."""
    ledger = PrivacyLedger.create(tmp_path / "ledger.db", 1.0, 1e-6)
    for system, expected in (("linux", 0), ("darwin", 1)):
        monkeypatch.setattr(ledger_file.sys, "platform", system)
        with closing(ledger._store._connect()) as connection:
            assert connection.execute("PRAGMA fullfsync").fetchone() == (expected,)


def test_file_system_here_can_be_told(tmp_path):
    assert foreign_filesystem(str(tmp_path)) == ""


@pytest.mark.parametrize("kind", ["nfs", "cifs", "9p", "fuse.sshfs", "fuseblk", "unheard-of"])
def test_what_is_not_known_to_be_local_is_refused(tmp_path, monkeypatch, kind):
    path = tmp_path / "ledger.db"
    monkeypatch.setattr(ledger_file, "foreign_filesystem", lambda path: kind)
    with pytest.raises(LedgerError, match=rf"\({kind}\).*local disk.*anywhere=True"):
        PrivacyLedger.create(path, 1.0, 1e-6)
    assert not any(tmp_path.iterdir())
    ledger = PrivacyLedger.create(path, 1.0, 1e-6, anywhere=True)
    assert list(ledger.history(events=True)["anywhere"]) == [True]
    assert PrivacyLedger(path).epsilon == 1.0
    monkeypatch.undo()
    local = PrivacyLedger.create(tmp_path / "local.db", 1.0, 1e-6)
    assert list(local.history(events=True)["anywhere"]) == [False]
    monkeypatch.setattr(ledger_file, "foreign_filesystem", lambda path: kind)
    with pytest.raises(LedgerError, match="local disk"):  # it was moved there
        PrivacyLedger(local.path)


def test_what_is_there(tmp_path):
    path = tmp_path / "ledger.db"
    assert check_place(str(path)) is False
    path.touch()
    assert check_place(str(path)) is True
    with pytest.raises(LedgerError, match="no folder"):
        check_place(str(tmp_path / "absent" / "ledger.db"))
    with pytest.raises(LedgerError, match="not a regular file"):
        check_place(str(tmp_path))
    with pytest.raises(LedgerError, match="no folder"):
        check_place(str(path / "ledger.db"))
    with pytest.raises(LedgerError, match="cannot be opened"):
        check_place(str(tmp_path / ("x" * 5000)))
    os.link(path, tmp_path / "second")
    with pytest.raises(LedgerError, match="2 names"):
        check_place(str(path))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix")
def test_a_pipe_is_no_ledger(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="not a regular file"):
        check_place(str(tmp_path / "pipe"))


def test_one_name(tmp_path):
    path, link, folder = tmp_path / "ledger.db", tmp_path / "link.db", tmp_path / "folder"
    link.symlink_to(path)
    folder.symlink_to(tmp_path, target_is_directory=True)
    assert real_path(link) == real_path(folder / "link.db") == os.path.realpath(path)
    assert real_path("~/ledger.db") == os.path.realpath(os.path.expanduser("~/ledger.db"))
    assert real_path(os.fsencode(link)) == real_path(path)
    with pytest.raises(TypeError):
        real_path(None)
