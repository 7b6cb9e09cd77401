"""A ledger against a model in memory: any sequence of uses, crashes and damages."""

import contextlib
import os
import pickle
import shutil
import signal
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from skdistill.accounting import PrivacyLoss, ledger_file
from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger import BudgetError, LedgerError, PrivacyLedger

CAP = {"epsilon": 4.0, "delta": 1e-6, "pure": 1.5}
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a kill loses no page there either
LOSSES = st.builds(PrivacyLoss.laplace, st.sampled_from([0.05, 0.3, 1.0])) | st.builds(
    PrivacyLoss.gaussian, st.sampled_from([0.1, 0.7, 2.0]), st.just(1e-6)
)
NAMES = ("", "-head", "-journal")
STEPS = ["_insert", "_write_head", "after _insert", "after _write_head"]


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.path = self.folder / "ledger.db"
        self.ledger = PrivacyLedger.create(self.path, **CAP)
        self.cap, self.totals, self.held = Cap.of(**CAP), Totals(), []
        self.possible = [self.totals]  # an entry that was not acknowledged may be there
        self.old = None

    def teardown(self):
        shutil.rmtree(self.folder)

    def settle(self):
        """Learn whether unacknowledged charges are there. Acknowledged ones always are."""
        found = self.ledger._store.tip().totals
        assert found in self.possible
        self.totals, self.possible = found, [found]

    def charge(self, ledger, loss):
        after = self.cap.after(self.totals, loss)
        if after is None:
            with pytest.raises(BudgetError):
                ledger.charge(loss)
        else:
            ledger.charge(loss, note="x")
            self.totals, self.possible = after, [after]

    @rule(loss=LOSSES)
    def charges(self, loss):
        self.charge(self.ledger, loss)

    @rule(loss=LOSSES)
    def charges_through_another_handle(self, loss):
        self.charge(PrivacyLedger(self.path), loss)
        self.charge(pickle.loads(pickle.dumps(self.ledger)), loss)

    @rule()
    def reopens(self):
        self.ledger = PrivacyLedger(self.path)

    @rule(loss=LOSSES, blob=st.binary(max_size=9000))
    def releases_once_and_replays(self, loss, blob):
        """A first release, or an upgrade of it; then the same again."""
        for _ in range(2):
            with self.ledger.locked(b"key"):
                if blob not in self.ledger.recall(b"key"):
                    if self.cap.after(self.totals, loss) is None:
                        return
                    self.charge(self.ledger, loss)
                    self.ledger.remember(b"key", blob)
                    self.held.append(blob)
            assert self.ledger.recall(b"key") == self.held

    @rule(larger=st.booleans())
    def sets_another_cap(self, larger):
        cap = Cap.of(5.0 if larger else 4.0, 1e-6, 2.0 if larger else 1.5)
        if cap.admits(self.totals):
            self.ledger.set_cap(cap.epsilon, cap.delta, cap.pure)
            self.cap = cap
        else:
            with pytest.raises(ValueError, match="cannot be set"):
                self.ledger.set_cap(cap.epsilon, cap.delta, cap.pure)

    @precondition(lambda self: hasattr(os, "fork"))
    @rule(loss=LOSSES, step=st.sampled_from([None, *STEPS]))
    def a_child_charges_and_may_be_killed(self, loss, step):
        after = self.cap.after(self.totals, loss)
        child = os.fork()
        if child == 0:
            try:
                if step is not None:
                    die_at(step)
                self.ledger.charge(loss)
                os._exit(0)
            except BudgetError:
                os._exit(3)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if after is None:
            assert status == 3
        elif step is None:
            assert status == 0
            self.totals, self.possible = after, [after]
        else:
            assert status == -signal.SIGKILL
            self.possible = [after] if "head" in step else [self.totals]
            self.old = None  # as where the disk fails
            self.settle()

    @rule(loss=LOSSES, step=st.sampled_from(STEPS), code=st.sampled_from([5, 28]))
    def the_disk_fails(self, loss, step, code):
        """Input/output error or no space, at any step."""
        after = self.cap.after(self.totals, loss)
        if after is None:
            return
        original = fail_at(step, OSError(code, os.strerror(code)))
        try:
            with pytest.raises(LedgerError, match="not acknowledged"):
                self.ledger.charge(loss)
        finally:
            setattr(*original)
        self.possible = [self.totals, after]
        self.old = None  # an old file may take back a charge that was not acknowledged
        self.settle()

    @rule()
    def keeps_a_copy(self):
        self.old = (self.totals, {name: self.read(name) for name in NAMES})

    def read(self, name):
        file = self.path.with_name(self.path.name + name)
        return file.read_bytes() if file.exists() else None

    @rule(part=st.floats(0, 1), name=st.sampled_from(NAMES[:2]))
    def a_copy_is_cut_short(self, part, name):
        content = self.read(name)
        self.check_damaged({name: content[: int(part * (len(content) - 1))]}, least=self.totals)

    @precondition(lambda self: self.old is not None)
    @rule(name=st.sampled_from(NAMES[:2]))
    def one_old_file_is_put_back(self, name):
        self.check_damaged({name: self.old[1][name]}, least=self.totals)

    @precondition(lambda self: self.old is not None)
    @rule()
    def both_old_files_are_put_back_while_a_handle_is_open(self):
        now = {name: self.read(name) for name in NAMES[:2]}
        for name in now:
            self.path.with_name(self.path.name + name).write_bytes(self.old[1][name])
        with contextlib.suppress(LedgerError):
            assert self.ledger.total()[0] >= self.totals.epsilon(1e-6) * (1 - 1e-12)
        for name, content in now.items():
            self.path.with_name(self.path.name + name).write_bytes(content)

    @rule(position=st.integers(0, 2**20), bit=st.integers(0, 7), name=st.sampled_from(NAMES[:2]))
    def a_bit_is_flipped(self, position, bit, name):
        content = bytearray(self.read(name))
        content[position % len(content)] ^= 1 << bit
        self.check_damaged({name: bytes(content)}, least=self.totals)

    def check_damaged(self, changed, least):
        """A copy with other contents reports all that was acknowledged, or refuses."""
        folder = self.folder / "damaged"
        folder.mkdir()
        try:
            for name in NAMES:
                content = changed.get(name, self.read(name))
                if content is not None:
                    (folder / ("ledger.db" + name)).write_bytes(content)
            found = PrivacyLedger(folder / "ledger.db")._store.tip().totals
            assert (found.n, found.pure, found.squares) >= (least.n, least.pure, least.squares)
        except LedgerError:
            pass
        finally:
            shutil.rmtree(folder)

    @invariant()
    def nothing_is_lost(self):
        for ledger in (self.ledger, PrivacyLedger(self.path)):
            assert ledger._store.tip().totals == self.totals and ledger.cap == self.cap
        assert self.cap.admits(self.totals)
        assert not list(self.folder.glob("*.lock"))


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(step):
    replace_step(step, die)


def fail_at(step, error):
    def fail(*_):
        raise error

    return replace_step(step, fail)


def replace_step(step, other):
    """Put something before or after a step of an append; return a function that undoes it."""
    name = step.removeprefix("after ")
    owner = ledger_file if name == "_insert" else ledger_file.Store
    original = getattr(owner, name)

    def after(*arguments):
        original(*arguments)
        other()

    setattr(owner, name, after if step.startswith("after") else other)
    return owner, name, original


def test_any_sequence():
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=12, stateful_step_count=15, deadline=None)
    )


@pytest.mark.slow
def test_many_long_sequences():
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None)
    )


def test_sqlite_is_recent_enough():
    assert sqlite3.sqlite_version_info >= (3, 12)  # synchronous=EXTRA
