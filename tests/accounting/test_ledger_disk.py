"""A disk that is full, fails, or may not be written: never less than was acknowledged."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ledger_files import AMOUNT, created, filled, opened
from processes import needs_fork, run

from skdistill.accounting import ledger_file
from skdistill.accounting.ledger import LedgerError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@needs_fork
@pytest.mark.slow
def test_disk_full(path):
    """The charge that finds no room raises; the ledger opens, and goes on when there is room."""
    script = """
        import os, resource, sys
        from skdistill.accounting.ledger import LedgerError, PrivacyLedger

        path, room = sys.argv[1], 8_000
        ledger = PrivacyLedger.create(path, epsilon=10.0, delta=0)
        ledger.spend(0.001, 0)
        size = os.path.getsize(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
        acknowledged, refused = 1, 0
        for _ in range(50):
            try:
                ledger.spend(0.001, 0)
                acknowledged += 1
            except LedgerError as error:
                assert "not acknowledged" in str(error), error
                refused += 1
        assert refused
        try:
            ledger.remember(b"key", bytes(10**6))
        except LedgerError:
            assert ledger.recall(b"key") == []
        else:
            raise AssertionError("there was room for a megabyte")
        assert acknowledged <= len(ledger)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        ledger.spend(0.001, 0)
        assert acknowledged + 1 <= len(ledger) <= acknowledged + 1 + refused
        assert ledger.verify() == len(ledger) + 1
        charges = len(ledger)
        del ledger
        assert len(PrivacyLedger(path)) == charges
        """
    run(script, path)


def test_a_head_that_cannot_be_written(path, monkeypatch):
    ledger = created(path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger_file.Store, "_write_head", fail)
    with pytest.raises(LedgerError, match="No space left.*not acknowledged"):
        ledger.spend(AMOUNT)
    monkeypatch.undo()
    assert len(opened(path)) == 1
    assert len(ledger.spend(AMOUNT)) == 2 and ledger.verify() == 3


READ_ONLY = """
import os, sys
from skdistill.__main__ import main
from skdistill.accounting import ledger_report
from skdistill.accounting.ledger import LedgerError, PrivacyLedger

folders = sys.argv[1:]
if os.geteuid() == 0:  # nothing is read-only for root: be nobody
    for folder in folders:
        for file in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):
            os.chown(file, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for folder, what in zip(folders, ["folder", "file", "head", "all"], strict=True):
    path = os.path.join(folder, "ledger.db")
    if what in ("file", "all"):
        os.chmod(path, 0o400)
    if what in ("head", "all"):
        os.chmod(path + "-head", 0o400)
    if what in ("folder", "all"):
        os.chmod(folder, 0o500)
    try:
        PrivacyLedger(path).spend(0.01, 0)
    except LedgerError as error:
        print("refused", error)
    assert main(["ledger", path, "--verify"]) == 0
"""


@needs_fork
@pytest.mark.slow
def test_read_only():
    """Nothing can be charged where a file cannot be written; the command line reads it.

    A folder that cannot be written is no hindrance: the three files are there already.
    """
    folders = [Path(tempfile.mkdtemp()) for _ in range(4)]
    try:
        for folder in folders:
            filled(folder / "ledger.db")
        lines = run(READ_ONLY, *folders).splitlines()
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 3
    assert all("could not be written" in line for line in refused)
    for charges, ledgers in ((5, 3), (6, 1)):
        verified = f"verified: all {charges + 2} entries are intact"
        assert sum(f"in {charges} charges" in line for line in lines) == ledgers
        assert sum(line == verified for line in lines) == ledgers


KINDS = ["full", "broken", "short", "unsynced", "readonly", "unreadable"]
FAILING = """
import ctypes, os, shutil, sys
from pathlib import Path
from skdistill.accounting.ledger import LedgerError, PrivacyLedger

disk, folder, kind = ctypes.CDLL(None), Path(sys.argv[1]), int(sys.argv[2])
path = folder / "ledger.db"
ledger = PrivacyLedger.create(path, epsilon=10.0, delta=0.0)
least = failures = 0

def holds(path, least, most):
    try:
        n = len(PrivacyLedger(path))
    except LedgerError:
        return False
    assert least <= n <= most, (least, n, most)
    return True

def release(number):
    ledger.spend(0.001)
    global least
    least += 1
    ledger.remember(b"key", bytes([number % 256]) * (20_000 if number % 2 else 10))

for once in (0, 1):
    for number in range(1000):
        before = len(ledger)
        disk.fail_from(kind, number, once)
        try:
            release(number)
        except LedgerError as error:
            assert "not acknowledged" in str(error) or "damaged" in str(error), error
        failed = disk.failed()
        disk.fail_from(0, 0, 0)
        # The files of a machine that lost its power now, and those that the next handle finds.
        copy = folder / "copy"
        copy.mkdir()
        for file in folder.glob("ledger.db*"):
            shutil.copyfile(file, copy / file.name)
        holds(copy / "ledger.db", least, before + 1)
        shutil.rmtree(copy)
        failures += failed
        if holds(path, least, before + 1):
            assert ledger.verify() > len(ledger) >= least
            least = len(ledger)
        else:  # half of the head was written: the ledger refuses from now on
            assert kind == 3
            for file in folder.glob("ledger.db*"):
                file.unlink()
            ledger, least = PrivacyLedger.create(path, epsilon=10.0, delta=0.0), 0
        if not failed:
            break
    assert not failed
print(failures)
"""


@pytest.fixture(scope="module")
def failing_disk(tmp_path_factory):
    """A library that fails calls of the system: see tests/failing_disk.c."""
    compiler, library = shutil.which("cc"), tmp_path_factory.mktemp("disk") / "failing_disk.so"
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    source = Path(__file__).parents[1] / "failing_disk.c"
    command = [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("the library cannot be compiled here")
    return library


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fails_at_any_call(failing_disk, kind):
    """No space, errors, short writes, failing fsync, read-only; at each call, once or for good."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        printed = run(FAILING, folder, KINDS.index(kind) + 1, preload=failing_disk)
    assert int(printed) > 10
