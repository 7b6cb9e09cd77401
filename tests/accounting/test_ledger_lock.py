"""One at a time, in the world; nobody starves; the dead let go."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import forked, needs_fork, run, start

from skdistill.accounting import ledger_lock
from skdistill.accounting.ledger_lock import locked_file

# The module is loaded by itself: importing skdistill would take seconds in each process.
OPEN = f"""
import importlib.util, os, signal, sys, threading, time
spec = importlib.util.spec_from_file_location("ledger_lock", {ledger_lock.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
path = sys.argv[1]
def lock():
    return module.locked_file(path, temporary=True)
"""


@pytest.mark.parametrize("temporary", [True, False])
def test_threads_exclude_each_other(tmp_path, temporary):
    path, inside, most = str(tmp_path / "file"), 0, 0
    if not temporary:
        (tmp_path / "file").touch()

    def work(_):
        nonlocal inside, most
        for _ in range(100):
            with locked_file(path, temporary=temporary):
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == 1
    assert os.path.exists(path) == (not temporary)


def test_the_same_thread_may_enter_again(tmp_path):
    path, entered = str(tmp_path / "file"), threading.Event()

    def other():
        with locked_file(path, temporary=True):
            entered.set()

    thread = threading.Thread(target=other)
    with locked_file(path, temporary=True) as outer:
        with locked_file(path, temporary=True) as inner:
            assert inner is outer
            thread.start()
        assert not entered.wait(0.05)  # it is still held
    thread.join()
    assert entered.is_set()


def test_a_copy_that_somebody_keeps_does_not_keep_the_lock(tmp_path):
    """Such as a child that a library forked, without Python."""
    path, entered = str(tmp_path / "file"), threading.Event()
    (tmp_path / "file").touch()

    def other():
        with locked_file(path):
            entered.set()

    with locked_file(path) as file:
        copy = os.dup(file.fileno())
    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    assert entered.wait(60)
    os.close(copy)
    thread.join()


def test_a_file_that_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError), locked_file(str(tmp_path / "file")):
        pass
    assert not any(tmp_path.iterdir())


def test_exception_lets_go(tmp_path):
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), locked_file(str(tmp_path / "f"), temporary=True):
            raise KeyboardInterrupt
    assert not any(tmp_path.iterdir())


@needs_fork
def test_processes_exclude_each_other_and_none_starves(tmp_path):
    """Four processes want the lock 150 times each. Greedy, one would take the first 150 turns."""
    log = tmp_path / "log"
    run(
        OPEN
        + """
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
ready, go = os.pipe(), os.pipe()
children = []
for name in b"abcd":
    if (child := os.fork()) == 0:
        os.write(ready[1], b".")
        os.read(go[0], 1)
        for _ in range(150):
            with lock():
                os.write(log, bytes([name, 40]))
                time.sleep(2e-4)
                os.write(log, bytes([name, 41]))
        os._exit(0)
    children.append(child)
for _ in children:
    os.read(ready[0], 1)
os.write(go[1], b"....")
for child in children:
    assert os.waitpid(child, 0)[1] == 0
""",
        tmp_path / "file",
        log,
    )
    events = log.read_text()
    assert len(events) == 4 * 150 * 4
    for enter, leave in zip(
        *[iter([events[i : i + 2] for i in range(0, len(events), 2)])] * 2, strict=True
    ):
        assert enter[0] == leave[0] and enter[1] == "(" and leave[1] == ")"
    assert set(events[::4][:400]) == set("abcd")


HOLDER = (
    OPEN
    + """
with lock():
    print("held", flush=True)
    sys.stdin.readline()
"""
)


@needs_fork
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_dead_let_go(tmp_path, ending):
    path, entered = str(tmp_path / "file"), threading.Event()
    with start(HOLDER, path) as holder:
        assert holder.stdout.readline() == "held\n"

        def want():
            with locked_file(path, temporary=True):
                entered.set()

        thread = threading.Thread(target=want, daemon=True)
        thread.start()
        assert not entered.wait(0.05)
        with locked_file(path + "2", temporary=True):  # another file is another lock
            pass
        if ending is None:
            holder.stdin.write("\n")
            holder.stdin.flush()
        else:
            holder.send_signal(ending)
        assert entered.wait(60)
        thread.join()


@needs_fork
def test_child_does_not_inherit_a_lock_nor_keep_it(tmp_path):
    """A child that lives on does not hold the lock of its dead parent, nor free a living one's."""
    run(
        OPEN
        + """
ready, done = os.pipe(), os.pipe()
if (holder := os.fork()) == 0:
    with lock():
        if os.fork() == 0:
            os.write(ready[1], b".")
            os.read(done[0], 1)
            os._exit(0)
        time.sleep(600)
os.read(ready[0], 1)
os.kill(holder, signal.SIGKILL)
os.waitpid(holder, 0)
got = []
def want():
    with lock():
        got.append(1)
with lock():
    os.write(done[1], b".")
    with_child = os.fork()
    if with_child == 0:
        sys.exit(0)  # the copies of the lock are closed on the way out
    os.waitpid(with_child, 0)
    thread = threading.Thread(target=want)
    thread.start()
    thread.join(0.1)
    assert not got
thread.join()
assert got
""",
        tmp_path / "file",
    )


@needs_fork
def test_keyboard_interrupt_ends_the_waiting(tmp_path):
    waiting = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in jobs of a script's background
try:
    print("waiting", flush=True)
    with lock():
        print("held")
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
with lock():
    print("held at last")
"""
    with start(HOLDER, tmp_path / "file") as holder:
        assert holder.stdout.readline() == "held\n"
        with start(OPEN + waiting, tmp_path / "file") as waiter:
            assert waiter.stdout.readline() == "waiting\n"
            threading.Event().wait(0.1)
            waiter.send_signal(signal.SIGINT)
            assert waiter.stdout.readline() == "interrupted\n"
            assert holder.communicate("\n", 60)[0] == ""
            assert waiter.communicate("\n", 60)[0] == "held at last\n"
        assert waiter.returncode == holder.returncode == 0


@needs_fork
def test_an_interrupted_waiter_leaves_the_lock_to_its_holder(tmp_path):
    """Would it remove the file, a third process would lock a new one beside the holder."""
    path, entered = str(tmp_path / "file"), threading.Event()
    waiting = """
signal.signal(signal.SIGINT, signal.default_int_handler)
print("waiting", flush=True)
try:
    with lock():
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with start(HOLDER, path) as holder:
        assert holder.stdout.readline() == "held\n"
        with start(OPEN + waiting, path) as waiter:
            assert waiter.stdout.readline() == "waiting\n"
            threading.Event().wait(0.1)
            waiter.send_signal(signal.SIGINT)
            assert waiter.communicate(timeout=60)[0] == "interrupted\n"
        assert os.path.exists(path)

        def third():
            with locked_file(path, temporary=True):
                entered.set()

        thread = threading.Thread(target=third, daemon=True)
        thread.start()
        assert not entered.wait(0.2)
        holder.communicate("\n", 60)
        assert entered.wait(60)
        thread.join()


# Windows: no fcntl, no fork, and msvcrt instead, here a stand-in with its rules. A lock belongs to
# one opening of a file, a second one fails at once, only a held one can be let go, and an open file
# cannot be removed.
WINDOWS = (
    """
import errno, fcntl, os, sys, types
real, held, fail = fcntl.flock, set(), []

def locking(fd, mode, n):
    assert os.lseek(fd, 0, os.SEEK_CUR) == 2**30 and n == 1
    if fail:
        raise OSError(fail[0], "simulated")
    if mode == "unlock":
        if fd not in held:
            raise PermissionError(errno.EACCES, "not locked")
        held.discard(fd)
        return real(fd, fcntl.LOCK_UN)
    try:
        real(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise PermissionError(errno.EACCES, "locked by another") from None
    held.add(fd)

def unlink(path):
    raise PermissionError(errno.EACCES, "in use")

msvcrt = types.SimpleNamespace(LK_NBLCK="lock", LK_UNLCK="unlock", locking=locking)
sys.modules["msvcrt"], sys.modules["fcntl"] = msvcrt, None
for name in ("fork", "register_at_fork", "O_CLOEXEC"):
    delattr(os, name)
here, sys.platform, os.unlink = sys.platform, "win32", unlink
"""
    + OPEN
)


@needs_fork
def test_windows_threads_exclude_each_other(tmp_path):
    run(
        WINDOWS
        + """
inside = most = 0
def work():
    global inside, most
    for _ in range(20):
        with lock() as outer, lock() as inner:
            assert inner is outer
            inside += 1
            most = max(most, inside)
            time.sleep(1e-4)
            inside -= 1
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert most == 1 and not held and os.path.getsize(path) == 0
""",
        tmp_path / "file",
    )


@needs_fork
def test_windows_ends_of_the_waiting(tmp_path):
    """An interrupt stays one, and a disk that cannot lock is an error, not a wait without end."""
    run(
        WINDOWS
        + """
def interrupted(seconds):
    raise KeyboardInterrupt
waiting = threading.Event()
def want():
    try:
        with lock():
            raise AssertionError
    except KeyboardInterrupt:
        waiting.set()
module.time = types.SimpleNamespace(sleep=interrupted)
with lock():
    thread = threading.Thread(target=want)
    thread.start()
    thread.join()
    assert waiting.is_set() and len(held) == 1
fail.append(errno.EINVAL)
try:
    with lock():
        raise AssertionError
except OSError as error:
    assert error.errno == errno.EINVAL
""",
        tmp_path / "file",
    )


@needs_fork
def test_windows_ledger(tmp_path):
    """A whole ledger, written by four threads."""
    forked(
        """
from skdistill.accounting import PrivacyLedger, ledger_file
"""
        + WINDOWS
        + """
sys.platform = here
ledger_file.locked_file, ledger_file.IO = module.locked_file, module.IO
ledger = PrivacyLedger.create(path, 1.0, 0.0)
def work():
    for _ in range(10):
        with ledger.locked(b"key"):
            ledger.spend(0.01)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert round(ledger.total()[0], 9) == 0.4 and ledger.verify() == 41
""",
        tmp_path / "ledger.db",
    )
