"""One at a time, in the world; nobody starves; the dead let go."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import needs_fork, run, start

from skdistill.accounting import ledger_lock
from skdistill.accounting.ledger_lock import FairLock

# The module is loaded by itself: importing skdistill would take seconds in each process.
OPEN = f"""
import importlib.util, os, signal, sys, threading, time
spec = importlib.util.spec_from_file_location("ledger_lock", {ledger_lock.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
FairLock = module.FairLock
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
"""


def test_threads_exclude_each_other():
    lock, inside, most = FairLock(None, 0), 0, 0

    def work(_):
        nonlocal inside, most
        for _ in range(200):
            with lock.held():
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == 1


def test_same_thread_may_enter_again():
    lock, entered = FairLock(None, 0), threading.Event()

    def other():
        with lock.held():
            entered.set()

    thread = threading.Thread(target=other)
    with lock.held():
        with lock.held(), lock.held():
            thread.start()
        assert not entered.wait(0.05)  # it is still held
    thread.join()
    assert entered.is_set()


def test_a_thread_that_comes_back_at_once_stands_behind_who_waits():
    """Without the queue the holder, being awake, would win every time."""
    lock, rounds, first = FairLock(None, 0), 20, []
    for _ in range(rounds):
        near, order = threading.Event(), []

        def other(near=near, order=order):
            near.set()
            with lock.held():
                order.append("other")

        with lock.held():
            thread = threading.Thread(target=other)
            thread.start()
            near.wait()
            threading.Event().wait(0.02)
        with lock.held():
            order.append("back")
        thread.join()
        first.append(order[0])
    assert first.count("other") > rounds / 2


def test_exception_lets_go():
    lock = FairLock(None, 0)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), lock.held():
            raise KeyboardInterrupt
    thread = threading.Thread(target=lock.held().__enter__, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@needs_fork
def test_processes_exclude_each_other_and_none_starves(tmp_path):
    """Four processes want the lock 150 times each. Greedy, two would take the first 300 turns."""
    log = tmp_path / "log"
    run(
        OPEN
        + """
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
ready, go = os.pipe(), os.pipe()
children = []
for name in b"abcd":
    if (child := os.fork()) == 0:
        lock = FairLock(descriptor, 0)
        os.write(ready[1], b".")
        os.read(go[0], 1)
        for _ in range(150):
            with lock.held():
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
    turns = events[::4]
    assert set(turns[:300]) == set("abcd")
    longest = max(map(len, turns.replace("b", "a").replace("c", "a").split("d")))
    assert longest < 300  # d never waits for half of all turns


@needs_fork
def test_threads_do_not_starve_processes_nor_each_other(tmp_path):
    turns = run(
        OPEN
        + """
order, lock = [], FairLock(descriptor, 0)
barrier = threading.Barrier(4)
def work(name):
    barrier.wait()
    for _ in range(100):
        with lock.held():
            order.append(name)
            time.sleep(1e-4)
threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("".join(order))
""",
        tmp_path / "file",
    ).strip()
    assert len(turns) == 400
    assert set(turns[:200]) == set("abcd")


HOLDER = (
    OPEN
    + """
with FairLock(descriptor, 0).held():
    print("held", flush=True)
    sys.stdin.readline()
"""
)


@needs_fork
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_dead_let_go(tmp_path, ending):
    with start(HOLDER, tmp_path / "file") as holder:
        assert holder.stdout.readline() == "held\n"
        descriptor = os.open(tmp_path / "file", os.O_RDWR)
        entered = threading.Event()

        def want():
            with FairLock(descriptor, 0).held():
                entered.set()

        thread = threading.Thread(target=want, daemon=True)
        thread.start()
        assert not entered.wait(0.05)
        with FairLock(descriptor, 1).held():  # another number is another lock
            pass
        if ending is None:
            holder.stdin.write("\n")
            holder.stdin.flush()
        else:
            holder.send_signal(ending)
        assert entered.wait(60)
        thread.join()
        os.close(descriptor)


@needs_fork
def test_child_does_not_inherit_a_lock_nor_keep_it(tmp_path):
    """A child that lives on does not hold what its dead parent held."""
    run(
        OPEN
        + """
lock = FairLock(descriptor, 0)
ready, done = os.pipe(), os.pipe()
if (holder := os.fork()) == 0:
    with FairLock(descriptor, 0).held():
        if os.fork() == 0:
            os.write(ready[1], b".")
            os.read(done[0], 1)
            os._exit(0)
        time.sleep(600)
os.read(ready[0], 1)
os.kill(holder, signal.SIGKILL)
os.waitpid(holder, 0)
with lock.held():
    os.write(done[1], b".")
""",
        tmp_path / "file",
    )


WAITING = (
    OPEN
    + """
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in jobs of a script's background
lock = FairLock(descriptor, 0)
try:
    print("waiting", flush=True)
    with lock.held():
        print("held")
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
with lock.held():
    print("held at last")
"""
)


@needs_fork
def test_keyboard_interrupt_ends_the_waiting(tmp_path):
    with start(HOLDER, tmp_path / "file") as holder:
        assert holder.stdout.readline() == "held\n"
        with start(WAITING, tmp_path / "file") as waiting:
            assert waiting.stdout.readline() == "waiting\n"
            threading.Event().wait(0.1)
            waiting.send_signal(signal.SIGINT)
            assert waiting.stdout.readline() == "interrupted\n"
            assert holder.communicate("\n", 60)[0] == ""
            assert waiting.communicate("\n", 60)[0] == "held at last\n"
        assert waiting.returncode == holder.returncode == 0


@needs_fork
def test_false_deadlock_of_threads_is_waited_out(tmp_path):
    """Two processes wait for each other, but with different threads: nobody is stuck.

    The kernel sees processes only, and answers EDEADLK to the second that waits.
    """
    script = (
        OPEN
        + """
mine, other = int(sys.argv[2]), 1 - int(sys.argv[2])
first, second = FairLock(descriptor, mine), FairLock(descriptor, other)
with first.held():
    print("held", flush=True)
    sys.stdin.readline()
    got = []
    def want():
        with second.held():
            got.append(1)
    thread = threading.Thread(target=want)
    thread.start()
    print("waiting", flush=True)
    sys.stdin.readline()
thread.join()
assert got
"""
    )
    with (
        start(script, tmp_path / "file", 0) as one,
        start(script, tmp_path / "file", 1) as two,
    ):
        for expected in ("held\n", "waiting\n"):
            for process in (one, two):
                assert process.stdout.readline() == expected
            threading.Event().wait(0.1)
            for process in (one, two):
                process.stdin.write("\n")
                process.stdin.flush()
        assert one.wait(60) == 0 == two.wait(60), (one.stderr.read(), two.stderr.read())
