r"""PrivacyLedger: a privacy budget in a file, which survives clones, processes and crashes.

This module imports diffprivlib (the accountant alone) and sqlite3; it is imported when
``PrivacyLedger`` is asked for.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from typing import Any

from skdistill._diffprivlib import load
from skdistill.accounting import ledger_file, ledger_report
from skdistill.accounting.composition import Charge, Totals, _probability
from skdistill.accounting.ledger_file import Entry, Store
from skdistill.accounting.ledger_place import LedgerError, real_path
from skdistill.accounting.loss import PrivacyLoss, _positive

__all__ = ["BudgetError", "LedgerError", "PrivacyLedger"]

_Budget = load("utils").Budget
_BudgetError: Any = load("utils").BudgetError
_BudgetAccountant: Any = load("accountant").BudgetAccountant

_IN_MEMORY = (
    "This ledger lives in the memory of one process (':memory:') and cannot be charged from "
    "another: the charge would be lost there. Give the ledger a file, PrivacyLedger('budget.db', "
    "...), or stay in one process: n_jobs=1, or `with joblib.parallel_backend('threading')`."
)


class BudgetError(_BudgetError):
    """A charge that the budget has no room for. Nothing was charged, nothing is released.

    A diffprivlib ``BudgetError``, with the figures of its message as attributes.

    Attributes
    ----------
    spent : tuple of float
        (epsilon, delta) of all charges so far, composed.
    asked : tuple of float
        (epsilon, delta) of the charge that was refused.
    remaining : float
        The largest epsilon that a release with delta = 0 may have.
    largest : float
        The largest epsilon that a release of the kind that was refused, at its delta, may have.
    """

    spent: tuple[float, float]
    asked: tuple[float, float]
    remaining: float
    largest: float


class PrivacyLedger(_BudgetAccountant):
    r"""A privacy budget in a file: charged before every release, never refunded.

    One file is kept for one private data set, and every release about it is charged there: by
    distillers, by diffprivlib's models and tools (a ledger is a diffprivlib
    ``BudgetAccountant``), in one process or in many. A charge is on the disk before the call
    that makes it returns, and a charge that would pass the budget is refused.

    Parameters
    ----------
    path : str or path-like
        The file; created if there is none. Beside it stands its head, ``path + "-head"``, and
        while it is open SQLite's write-ahead log: they belong together. Keep it with the private
        data (it is readable by its owner only), on a local disk. ``":memory:"`` is a ledger in
        the memory of this process, gone with its last handle.
    epsilon, delta : float
        The budget: all releases together are (epsilon, delta)-DP. It belongs to the file; to
        open an existing ledger it must be given as it is there, and :meth:`set_cap` changes it.
    replay : bool, default=True
        Whether distillers may hand out again, at no cost, what this ledger remembers to have
        been released before.

    Attributes
    ----------
    path : str
        The file, by its real name.
    replay : bool
        As given.

    See Also
    --------
    diffprivlib.BudgetAccountant : In memory, lost by clones, processes and crashes.

    Notes
    -----
    *What holds.* Let the releases of M₁, M₂, … be charged one after another, whoever makes them.
    Charges are appended one at a time (a transaction with the writer's lock), each is appended
    only if the totals with it fit the budget, and a release is made only after its charge was
    acknowledged, that is, after it was on the disk. So at every moment the releases ever made
    are among the charges, and the charges fit; by the composition theorem named in
    :meth:`~skdistill.accounting.composition.Totals.epsilon` all releases together are
    (epsilon, delta)-DP. A crash, a kill or an exception between charge and release loses budget,
    never privacy. (Charges whose amounts depend on earlier answers: see
    :meth:`~skdistill.accounting.composition.Totals.fits`.)

    The object is a handle: ``copy``, ``deepcopy`` and :func:`sklearn.base.clone` return itself,
    a pickle carries the path and the identity of the ledger, a forked child opens the file anew,
    threads share it.

    *What is refused*: a network file system, a file that is not a ledger or has several names,
    a ledger that has lost charges (cut short, or an old copy put back), whose last entries do
    not fit the chain of hashes, or whose last entry lies more than a day in the future. *What
    cannot be detected*: file and head restored together from one backup, a copy used beside the
    original, somebody who computes the hashes anew (there is no key). See
    :meth:`verify` for the whole history.

    Examples
    --------
    >>> from skdistill.accounting.ledger import PrivacyLedger
    >>> ledger = PrivacyLedger(":memory:", epsilon=1.0, delta=1e-6)
    >>> for _ in range(9):
    ...     _ = ledger.spend(0.1, 0)
    >>> ledger
    PrivacyLedger(':memory:', epsilon=1.0, delta=1e-06): spent ε=0.9 in 9 charges
    >>> ledger.remaining()
    (epsilon=0.1, delta=1e-06)
    """

    def __init__(
        self, path: str | os.PathLike[str], *, epsilon: float, delta: float, replay: bool = True
    ) -> None:
        cap = _positive(epsilon, "epsilon"), _probability(delta)
        first = Entry(totals=Totals.zero().to_text(), cap_epsilon=cap[0], cap_delta=cap[1])
        self._set_up(":memory:" if path == ":memory:" else real_path(path), replay)
        self._attach(self._open(first))
        tip = self._store.tip()
        if (tip.cap_epsilon, tip.cap_delta) != cap:
            raise LedgerError(
                f"The budget of the ledger {self.path!r} is epsilon={tip.cap_epsilon!r}, "
                f"delta={tip.cap_delta!r}, not epsilon={cap[0]!r}, delta={cap[1]!r}. Open it with "
                "its own, and change it, if you mean to, by set_cap(epsilon, delta)."
            )

    def _set_up(self, path: str, replay: bool) -> None:
        self.path, self.replay = path, replay
        self._identity = ""
        self._opened: Store | None = None
        self._finalizer: Any = None

    # -- the handle ------------------------------------------------------------------------

    def _open(self, first: Entry | None) -> Store:
        if self.path != ":memory:":
            return ledger_file.shared_store(self.path, first)
        store = Store(self.path, None)
        store.connect(first)
        return store

    def _attach(self, store: Store) -> None:
        self._opened, self._identity = store, store.identity
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = weakref.finalize(self, ledger_file.release_store, store)
        if self.path == ":memory:":
            _IN_THIS_PROCESS[self._identity] = self

    @property
    def _store(self) -> Store:
        """The open file; opened anew in a child process or after unpickling."""
        if self._opened is not None and self._opened.pid == os.getpid():
            return self._opened
        if self.path == ":memory:":
            raise LedgerError(_IN_MEMORY)
        with _ATTACHING:
            if self._opened is None or self._opened.pid != os.getpid():
                store = self._open(None)
                if store.identity != self._identity:
                    ledger_file.release_store(store)
                    raise LedgerError(
                        f"{self.path!r} is another ledger than the one this object was made for."
                    )
                self._attach(store)
        assert self._opened is not None
        return self._opened

    def __copy__(self) -> PrivacyLedger:
        return self

    def __deepcopy__(self, memo: Any) -> PrivacyLedger:
        return self

    def __sklearn_clone__(self) -> PrivacyLedger:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.path, self._identity, self.replay)

    def __bool__(self) -> bool:
        return True  # also without charges, although __len__ is then 0

    # -- charging --------------------------------------------------------------------------

    def charge(self, loss: PrivacyLoss, *, note: str = "") -> PrivacyLedger:
        """Charge a release: Gaussian noise in μ², Laplace noise in ε.

        Parameters
        ----------
        loss : PrivacyLoss
            What the release costs.
        note : str, default=""
            For the history; it is stored in the clear.

        Returns
        -------
        PrivacyLedger
            Itself; the charge is on the disk, and every process sees it.

        Raises
        ------
        BudgetError
            If the budget has no room for it (nothing was charged).
        LedgerError
            If the ledger cannot be relied on or written. The charge may have been made, as
            after an interrupt; it was not acknowledged.
        """
        return self._append_charge(Charge.of(loss), loss.mu, note)

    def spend(self, epsilon: float, delta: float) -> PrivacyLedger:
        """Charge any (epsilon, delta)-DP release (diffprivlib's way to charge).

        Parameters
        ----------
        epsilon, delta : float
            As :meth:`~skdistill.accounting.composition.Charge.spend` takes them.

        Returns
        -------
        PrivacyLedger
            Itself.

        Raises
        ------
        BudgetError, LedgerError
            See :meth:`charge`.
        TypeError, ValueError
            If they are no amounts: a bool, a string, nan, infinite, negative, subnormal.
        """
        return self._append_charge(Charge.spend(epsilon, delta), None, "")

    def check(self, epsilon: float, delta: float) -> bool:
        """Return True if this can be spent now; raise otherwise, as :meth:`spend` would.

        Others may spend it in between: only :meth:`spend` and :meth:`charge` are binding.
        """
        self._with(self._store.tip(), Charge.spend(epsilon, delta))
        return True

    def set_cap(self, epsilon: float, delta: float) -> PrivacyLedger:
        """Change the budget of the file, for all who use it; the change is part of the history.

        Parameters
        ----------
        epsilon, delta : float
            The new budget, higher or lower.

        Returns
        -------
        PrivacyLedger
            Itself.

        Raises
        ------
        ValueError
            If it is below what is spent already.
        """
        cap = _positive(epsilon, "epsilon"), _probability(delta)

        def decide(tip: Entry) -> Entry:
            totals = Totals.from_text(tip.totals)
            if totals.n and not totals.fits(*cap):
                spent = ledger_report.composed(tip)
                raise ValueError(
                    f"The budget cannot be set to epsilon={cap[0]!r}, delta={cap[1]!r}: "
                    f"epsilon={spent[0]:.6g}, delta={spent[1]:.3g} is spent."
                )
            return _event("cap", tip, cap_epsilon=cap[0], cap_delta=cap[1])

        self._store.append(decide)
        return self

    def _append_charge(self, charge: Charge, mu: float | None, note: str) -> PrivacyLedger:
        if not isinstance(note, str):
            raise TypeError(f"note must be text, got {note!r}.")
        note = note.encode("utf-8", "backslashreplace").decode("utf-8")

        def decide(tip: Entry) -> Entry:
            return _event(
                charge.kind,
                tip,
                epsilon=charge.epsilon,
                delta=charge.delta,
                mu=mu,
                note=note,
                totals=self._with(tip, charge).to_text(),
            )

        self._store.append(decide)
        return self

    def _with(self, tip: Entry, charge: Charge) -> Totals:
        """Return the totals with one charge more, or raise where they do not fit."""
        before = Totals.from_text(tip.totals)
        after = before.add(charge)
        if after.fits(tip.cap_epsilon, tip.cap_delta):
            return after
        raise _overdraft(tip, before, charge)

    # -- what is spent and left ------------------------------------------------------------

    @property
    def epsilon(self) -> float:
        """Epsilon of the budget."""
        return self._store.tip().cap_epsilon

    @property
    def delta(self) -> float:
        """Delta of the budget, at which everything is composed."""
        return self._store.tip().cap_delta

    @property
    def slack(self) -> float:
        """Always 0: the composition uses all of :attr:`delta` by itself."""
        return 0.0

    @slack.setter
    def slack(self, slack: float) -> None:
        _no_slack(slack)

    @property
    def spent_budget(self) -> list[tuple[float, float]]:
        """(epsilon, delta) of every charge, in order; they do not add: see :meth:`total`."""
        entries = (entry for entry, _ in self._store.walk(blobs=False))
        return [(e.epsilon, e.delta) for e in entries if e.kind in ledger_report.CHARGES]

    def __len__(self) -> int:
        return Totals.from_text(self._store.tip().totals).n

    def total(self, spent_budget: Any = None, slack: Any = None) -> Any:
        """Return what all charges cost together.

        Parameters
        ----------
        spent_budget : list of (epsilon, delta), optional
            Compose these instead of the charges of the ledger.
        slack : float, optional
            Must be 0: the composition uses all of :attr:`delta`.

        Returns
        -------
        epsilon, delta : float
            A diffprivlib ``Budget``. `delta` is 0 where the sum of the epsilons is the best
            bound, else that of the ledger's budget.
        """
        _no_slack(slack)
        tip = self._store.tip()
        if spent_budget is not None:
            totals = Totals.zero()
            for epsilon, delta in spent_budget:
                totals = totals.add(Charge.spend(epsilon, delta))
            tip = replace(tip, totals=totals.to_text())
        return _Budget(*ledger_report.composed(tip))

    def remaining(self, k: int = 1) -> Any:
        """Return what `k` more releases may cost each.

        Parameters
        ----------
        k : int, default=1
            Number of releases.

        Returns
        -------
        epsilon, delta : float
            A diffprivlib ``Budget``: `k` more charges of (epsilon, 0) fit, and `k` more of
            (0, delta) fit, but not both. For Gaussian noise see :meth:`largest`.
        """
        if isinstance(k, bool) or not isinstance(k, Integral):
            raise TypeError(f"k must be an integer, got {k!r}.")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k!r}.")
        return _Budget(*ledger_report.left(self._store.tip(), int(k)))

    def largest(self, loss: PrivacyLoss) -> float:
        """Return the largest epsilon that fits, for a release with this noise and delta."""
        tip = self._store.tip()
        totals = Totals.from_text(tip.totals)
        return totals.largest(tip.cap_epsilon, tip.cap_delta, Charge.of(loss))

    # -- what was released -----------------------------------------------------------------

    @contextmanager
    def locked(self, key: bytes = b"") -> Iterator[PrivacyLedger]:
        """Hold the ledger alone: one thread of one process in the world is inside at a time.

        For what must happen once: look up a release, and make it if it is not there. Charges of
        others go on meanwhile. Waiting is fair and ends with a KeyboardInterrupt; when the
        holder dies the operating system frees it; the same thread may enter again.
        """
        with self._store.exclusive.held():
            yield self

    def recall(self, key: bytes) -> list[bytes]:
        """Return what was remembered under a key, oldest first.

        Raises
        ------
        LedgerError
            If it is not what was remembered.
        """
        return self._store.recall(_bytes(key, "key"))

    def remember(self, key: bytes, blob: bytes) -> None:
        """Remember a blob under a key, durably, at no cost: a release is public."""
        key, blob = _bytes(key, "key"), _bytes(blob, "blob")
        self._store.append(lambda tip: _event("remember", tip, key=key), blob)

    # -- what happened ---------------------------------------------------------------------

    def verify(self) -> int:
        """Recompute the whole chain of hashes, every total and every remembered blob.

        Returns
        -------
        int
            The number of entries.

        Raises
        ------
        LedgerError
            At the first entry that was edited, swapped or removed.
        """
        return ledger_report.verify(self._store)

    def history(self, last: int | None = None, *, events: bool = False) -> Any:
        """Return the charges of the ledger.

        Parameters
        ----------
        last : int, optional
            Only the last so many. (The totals take about a millisecond a row.)
        events : bool, default=False
            List what is no charge as well: ``"open"``, ``"cap"`` (a new budget) and ``"remember"``
            (a release that is kept to be replayed).

        Returns
        -------
        pandas.DataFrame or list of dict
            A list where pandas is not installed. Columns: ``time`` (UTC), ``kind``, ``epsilon``,
            ``delta``, ``mu``, ``note``, ``process``, ``total_epsilon`` and ``total_delta`` (all
            charges so far, as :meth:`total` composes them), ``intact`` (the entry fits the chain
            of hashes).
        """
        return ledger_report.as_frame(ledger_report.history(self._store, last, events))

    def __repr__(self, n_budget_max: int = 5) -> str:
        try:
            tip = self._store.tip()
        except LedgerError as error:
            return f"<PrivacyLedger {self.path!r}: {error}>"
        replay = "" if self.replay else ", replay=False"
        return (
            f"PrivacyLedger({self.path!r}, epsilon={tip.cap_epsilon!r}, "
            f"delta={tip.cap_delta!r}{replay}): spent ε={ledger_report.composed(tip)[0]:.6g} in "
            f"{Totals.from_text(tip.totals).n} charges"
        )

    def _repr_html_(self) -> str:
        return ledger_report.as_html(self.path, self._store.tip())


# Handles of ledgers in memory, by identity: unpickling finds them again.
_IN_THIS_PROCESS: weakref.WeakValueDictionary[str, PrivacyLedger] = weakref.WeakValueDictionary()
_ATTACHING = threading.RLock()


def _unpickled(path: str, identity: str, replay: bool) -> PrivacyLedger:
    """Return a handle of the same ledger; the file is opened when it is needed."""
    if path == ":memory:" and identity in _IN_THIS_PROCESS:
        return _IN_THIS_PROCESS[identity]
    ledger = PrivacyLedger.__new__(PrivacyLedger)
    ledger._set_up(path, replay)
    ledger._identity = identity
    return ledger


def _event(kind: str, tip: Entry, **what: Any) -> Entry:
    """Return an entry that leaves the state as it is, but for what is given."""
    state = Entry(
        kind=kind, totals=tip.totals, cap_epsilon=tip.cap_epsilon, cap_delta=tip.cap_delta
    )
    return replace(state, **what)


def _overdraft(tip: Entry, before: Totals, charge: Charge) -> BudgetError:
    """Return the error for a charge that does not fit: spent, asked, remaining, largest."""
    spent, asked = ledger_report.composed(tip), (charge.epsilon, charge.delta)
    remaining = ledger_report.left(tip)[0]
    largest = before.largest(tip.cap_epsilon, tip.cap_delta, charge)
    law = {"gaussian": "Gaussian noise", "pure": "delta = 0"}.get(charge.kind, "unknown law")
    at = f" and delta={charge.delta!r}" if charge.delta else ""
    error = BudgetError(
        f"The privacy budget (epsilon={tip.cap_epsilon!r}, delta={tip.cap_delta!r}) has no room. "
        f"Spent: epsilon={spent[0]:.6g}, delta={spent[1]:.3g}, in {before.n} charges. "
        f"Asked: epsilon={asked[0]!r}, delta={asked[1]!r} ({law}). "
        f"Remaining: epsilon={remaining!r} for a release with delta = 0. "
        f"The largest epsilon that still fits for the same call ({law}{at}): {largest!r}."
    )
    error.spent, error.asked, error.remaining, error.largest = spent, asked, remaining, largest
    return error


def _no_slack(slack: Any) -> None:
    if slack is not None and (isinstance(slack, bool) or slack != 0):
        raise ValueError(
            f"slack={slack!r} is not supported: a PrivacyLedger composes at the delta of its "
            "budget already."
        )


def _bytes(value: Any, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, got {type(value).__name__}.")
    return value
