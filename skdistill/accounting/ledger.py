"""PrivacyLedger: a privacy budget in a file, which survives clones, processes and crashes."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from skdistill._diffprivlib import load
from skdistill.accounting import ledger_report
from skdistill.accounting.composition import Cap, Totals, _amount, _probability
from skdistill.accounting.ledger_file import Entry, Store
from skdistill.accounting.ledger_place import LedgerError, real_path
from skdistill.accounting.loss import PrivacyLoss

_Budget: Any = load("utils").Budget
_BudgetError: Any = load("utils").BudgetError


class BudgetError(_BudgetError):
    """A charge that the budget has no room for. Nothing was charged, nothing is released.

    Its attributes `spent` and `asked` are pairs (epsilon, delta); `remaining` is the largest
    epsilon for a release with delta = 0, `largest` that for one like the one refused.

    Examples
    --------
    >>> from skdistill.accounting import PrivacyLedger
    >>> from skdistill.accounting.ledger import BudgetError
    >>> ledger = PrivacyLedger.create(":memory:", epsilon=1.0, delta=1e-6)
    >>> try:
    ...     ledger.spend(2.0)
    ... except BudgetError as error:
    ...     print(error.asked, error.spent)
    (2.0, 0.0) (0.0, 0.0)
    """

    spent: tuple[float, float]
    asked: tuple[float, float]
    remaining: float
    largest: float


class PrivacyLedger:
    r"""A privacy budget in a file: charged before every release, never refunded.

    One file is kept for one private data set, and every release about it is charged there, in
    one process or in many. ``PrivacyLedger(path)`` opens a ledger; :meth:`create` makes one.

    Parameters
    ----------
    path : str or path-like
        The file; the attribute is its real name. ``~`` is the home directory. Beside it stand its
        head, ``path + "-head"``, which belongs to it, and SQLite's journal.
    replay : bool, default=True
        Whether distillers may hand out again, at no cost, the releases that this ledger remembers.

    Notes
    -----
    *The guarantee.* All releases that are charged to a ledger are (epsilon, delta)-DP together,
    under its relation and for its unit, also where the kind, the amount or the number of later
    releases depends on earlier answers: theorem of :mod:`skdistill.accounting.composition`.
    Publish the budget (:meth:`statement`), not the total that is spent so far.

    *Why it holds.* Charges are appended one at a time, each only if the counters stay within the
    budget, and a release is made only after its charge is on the disk. A crash between the two
    loses budget, never privacy. The object is a handle: copies and clones are itself, a pickle
    carries path and identity, and forked children and threads share it.

    *diffprivlib's models and tools* do not accept a ledger as their accountant: they spend after
    they have computed, and do not say under which relation. Charge first, ``ledger.spend(2 *
    epsilon)``, and fit with an accountant of their own. (Trees, forests, naive Bayes, k-means and
    histograms cost twice their epsilon if a record is replaced.)

    *Refused*, by a LedgerError, are a file system that is not known to be local, a file that is
    not a ledger or has several names, and a ledger that has lost charges or whose last entries
    were edited. *Not detected* are file and head restored together from one backup, a copy used
    beside the original, and somebody who computes the hashes anew (there is no key).

    Examples
    --------
    >>> from skdistill.accounting import PrivacyLedger, PrivacyLoss
    >>> ledger = PrivacyLedger.create(":memory:", epsilon=1.0, delta=1e-6, pure=0.5)
    >>> ledger.charge(PrivacyLoss.gaussian(0.3, 1e-6)).spend(0.1)
    PrivacyLedger(':memory:'): budget ε = 1, δ = 1e-06, of which ε = 0.5 for releases with δ = 0;
    spent ε = 0.4, δ = 1e-06 in 2 charges
    >>> ledger.remaining()
    (epsilon=0.4, delta=0.0)
    """

    def __init__(self, path: str | os.PathLike[str], *, replay: bool = True) -> None:
        if path == ":memory:":
            raise LedgerError("':memory:' is not opened but made: PrivacyLedger.create(path, ...)")
        self._set_up(Store(real_path(path)), replay)._store.open()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        epsilon: float,
        delta: float,
        pure: float = 0.0,
        relation: str = "replace-one",
        unit: str = "record",
        *,
        replay: bool = True,
        anywhere: bool = False,
    ) -> PrivacyLedger:
        """Make a ledger, and open it.

        Parameters
        ----------
        path : str or path-like
            A file that does not exist, in a folder that does. Keep it with the private data (it
            is readable by its owner only), on a local disk. ``":memory:"`` is a ledger in the
            memory of this process, gone with its last handle.
        epsilon, delta : float
            The budget: all releases together are (epsilon, delta)-DP.
        pure : float, default=0.0
            The part of `epsilon` for releases with δ = 0, whose epsilons add; all of it if `delta`
            is 0. Gaussian releases add in μ², up to (epsilon - pure, delta)-DP. A release with
            δ = 0 that does not fit in `pure` is counted among them, as one with μ of about 1.25 ε.
        relation : {"replace-one", "add-or-remove"}, default="replace-one"
            How neighbouring data sets differ. Losses under add-or-remove count twice in a
            ledger under replace-one; the other direction is refused.
        unit : {"record", "group"}, default="record"
            Who is protected. Losses for another unit are refused.
        replay : bool, default=True
            As for the class.
        anywhere : bool, default=False
            Allow a file system that is not known to be local. On a network file system locks may
            fail, so that the budget is spent twice. The history says that it was allowed.
        """
        cap = Cap.of(epsilon, delta, pure, relation, unit)
        in_memory = path == ":memory:"
        store = Store(":memory:" if in_memory else real_path(path), in_memory=in_memory)
        store.create(cap, bool(anywhere))
        return cls.__new__(cls)._set_up(store, replay)

    def _set_up(self, store: Store, replay: bool) -> PrivacyLedger:
        self.path, self.replay, self._store = store.path, replay, store
        if store.path == ":memory:":
            _IN_THIS_PROCESS[store.identity] = self
        return self

    def __copy__(self, memo: Any = None) -> PrivacyLedger:
        return self

    __deepcopy__ = __sklearn_clone__ = __copy__

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.path, self._store.identity, self.replay)

    def __bool__(self) -> bool:
        return True  # also without charges, although __len__ is then 0

    def charge(self, loss: PrivacyLoss, *, note: str = "") -> PrivacyLedger:
        """Charge a release, and return the ledger when the charge is on the disk.

        Parameters
        ----------
        loss : PrivacyLoss
            The price of the release.
        note : str, default=""
            For the history; it is stored in the clear.

        Returns
        -------
        self : PrivacyLedger
            The ledger, charged.

        Raises
        ------
        BudgetError
            If the budget has no room for it (nothing was charged).
        ValueError
            If the loss cannot be converted to the relation and the unit of the ledger (nothing was
            charged): see ``Cap.factor`` in `accounting/composition.py`.
        LedgerError
            If the ledger cannot be relied on or written. The charge may have been made, as
            after an interrupt; it was not acknowledged.
        """
        if not isinstance(loss, PrivacyLoss) or not isinstance(note, str):
            raise TypeError(f"charge takes a PrivacyLoss and a note, got {loss!r} and {note!r}.")
        kind = "pure" if loss.mu is None else "gaussian"
        note = note.encode("utf-8", "backslashreplace").decode("utf-8")
        self._store.append(
            lambda tip: tip.next(kind, totals=_with(tip, loss), loss=loss, note=note)
        )
        return self

    def spend(self, epsilon: float, delta: float = 0.0) -> PrivacyLedger:
        """Charge a release that is (epsilon, 0)-DP under the relation and unit of this ledger.

        Raises as :meth:`charge` does, and a ValueError if `delta` is positive: a release of which
        nothing is known but (ε, δ) belongs to neither counter.

        Parameters
        ----------
        epsilon : float
            Of the release; positive.
        delta : float, default=0.0
            Must be 0; the argument is diffprivlib's.

        Returns
        -------
        self : PrivacyLedger
            The ledger, charged.
        """
        epsilon, delta = _amount(epsilon, "epsilon"), _probability(delta)
        if delta:
            raise ValueError(
                f"A release of which nothing is known but epsilon={epsilon!r}, delta={delta!r} "
                "cannot be charged: it is neither pure (delta = 0) nor Gaussian, and the budget "
                "has no part for other failures. Charge Gaussian noise by its mu: "
                f"ledger.charge(PrivacyLoss.gaussian({epsilon!r}, {delta!r}))."
            )
        pure = PrivacyLoss.laplace(epsilon)
        return self.charge(replace(pure, relation=self.relation, unit=self.unit))

    def set_cap(self, epsilon: float, delta: float, pure: float | None = None) -> PrivacyLedger:
        """Change the budget of the file for all its users; the change is part of the history.

        It may be higher or lower, but not below the counters (ValueError). `pure` stays as it is
        if it is not given.

        *Effect on the guarantee.* A budget that was raised promises the new (epsilon, delta) for
        all releases, the earlier ones included; one that was lowered still promises the higher.
        Both hold if the new budget does not depend on released values (a new year, new records).
        If it does, the promise is that of a budget which covers all those that might have been
        set: the largest part for pure releases together with the largest part for Gaussian ones.
        So do not raise a budget because of a result.

        Parameters
        ----------
        epsilon, delta : float
            The new budget.
        pure : float, default=None
            The part of epsilon for pure releases; None keeps the old one.

        Returns
        -------
        self : PrivacyLedger
            The ledger with its new budget.
        """

        def decide(tip: Entry) -> Entry:
            old = tip.cap
            part = min(old.pure, epsilon) if pure is None else pure
            cap = Cap.of(epsilon, delta, part, old.relation, old.unit)
            if cap.admits(tip.totals):
                return tip.next("cap", cap=cap)
            spent, in_pure = ledger_report.composed(tip), Totals(pure=tip.totals.pure).epsilon(0.0)
            raise ValueError(
                f"The budget cannot be set to epsilon={cap.epsilon!r}, delta={cap.delta!r}, "
                f"pure={cap.pure!r}: epsilon={spent[0]:.6g}, delta={spent[1]:.3g} is spent, of "
                f"which epsilon={in_pure:.6g} is in the part for pure releases."
            )

        self._store.append(decide)
        return self

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "A PrivacyLedger is not an accountant of diffprivlib's models and tools: they spend "
            "after they have computed, and do not say under which relation. Charge first "
            "(ledger.spend(2 * epsilon)), and fit them with an accountant of their own."
        )

    __exit__ = __enter__  # never reached

    cap = property(lambda self: self._store.tip().cap, doc="The budget, whom it protects and how.")
    totals = property(lambda self: self._store.tip().totals, doc="The two counters of all charges.")
    epsilon = property(lambda self: self.cap.epsilon, doc="Epsilon of the budget.")
    delta = property(lambda self: self.cap.delta, doc="Delta of the budget.")
    pure = property(lambda self: self.cap.pure, doc="The part of epsilon for pure releases.")
    relation = property(lambda self: self.cap.relation, doc="How neighbouring data sets differ.")
    unit = property(lambda self: self.cap.unit, doc="Who is protected.")

    def __len__(self) -> int:
        return self.totals.n

    def total(self) -> Any:
        """Return (epsilon, delta) of all charges so far, a diffprivlib ``Budget``.

        This is a meter, not a promise. It is true of releases whose amounts and number were fixed
        in advance. Where these, or the moment at which it is read, depend on released values, it
        can fail with a multiple of `delta` (11 to 40 times were measured). The promise that always
        holds is the budget: publish :meth:`statement`. `delta` is 0 without Gaussian charges.

        Returns
        -------
        total : Budget
            The pair (epsilon, delta).
        """
        return _Budget(*ledger_report.composed(self._store.tip()))

    def remaining(self) -> Any:
        """Return (epsilon, 0) that one more release with δ = 0 may cost.

        For Gaussian noise see :meth:`largest`.

        Returns
        -------
        budget : Budget
            The pair (epsilon, 0).
        """
        tip = self._store.tip()
        return _Budget(tip.cap.remaining(tip.totals), 0.0)

    def largest(self, loss: PrivacyLoss) -> float:
        """Return the largest epsilon that fits, for a release with this noise and delta.

        Parameters
        ----------
        loss : PrivacyLoss
            A release of the kind in question; its own epsilon does not matter.

        Returns
        -------
        epsilon : float
            0 if nothing fits.
        """
        tip = self._store.tip()
        return tip.cap.largest(tip.totals, loss)

    def statement(self) -> str:
        """Return the sentence to publish. It quotes the budget, not the spent part of it.

        Returns
        -------
        sentence : str
            With the epsilon and delta of the budget, its relation and its unit.
        """
        return ledger_report.statement(self._store.tip())

    @contextmanager
    def locked(self, key: bytes) -> Iterator[PrivacyLedger]:
        """Hold the lock of a release: one thread of one process at a time is inside.

        For an action that must happen once: look up a release, and make it if it is not there.
        Charges, and releases with other keys, go on meanwhile. An interrupt ends the waiting, the
        operating system frees the lock of a holder that dies, and the same thread may enter again.

        Parameters
        ----------
        key : bytes
            The key of the release.

        Yields
        ------
        self : PrivacyLedger
            The ledger, while the lock is held.
        """
        with self._store.locked(_bytes(key, "key")):
            yield self

    def recall(self, key: bytes) -> list[bytes]:
        """Return the bytes remembered under a key, oldest first; a LedgerError if one changed.

        Parameters
        ----------
        key : bytes
            The key that the bytes were remembered under.

        Returns
        -------
        blobs : list of bytes
            Empty if there are none.
        """
        return self._store.recall(_bytes(key, "key"))

    def remember(self, key: bytes, blob: bytes) -> None:
        """Remember a blob under a key, durably, at no cost: a release is public.

        Parameters
        ----------
        key : bytes
            The key to find it by.
        blob : bytes
            A public value, such as a release.
        """
        checked = _bytes(key, "key"), _bytes(blob, "blob")
        self._store.append(lambda tip: tip.next("remember"), *checked)

    def verify(self) -> int:
        """Recompute all hashes, counters and remembered blobs; return the number of entries.

        Raises a LedgerError at the first entry that was edited, swapped or removed.

        Returns
        -------
        n_entries : int
            Number of entries that were checked.
        """
        return ledger_report.verify(self._store)

    def history(self, last: int | None = None, *, events: bool = False) -> Any:
        """Return the charges of the ledger.

        Parameters
        ----------
        last : int, optional
            Only the last so many.
        events : bool, default=False
            List other events as well: ``"open"``, ``"cap"`` (a new budget) and ``"remember"``
            (a release that is kept to be replayed).

        Returns
        -------
        pandas.DataFrame or list of dict
            A list where pandas is not installed. Columns: ``time`` (UTC), ``kind``, ``epsilon``,
            ``delta``, ``mu``, ``relation``, ``unit``, ``note``, ``process``, ``anywhere`` (see
            :meth:`create`), ``total_epsilon`` and ``total_delta`` (see :meth:`total`),
            ``total_pure`` and ``total_mu`` (the two counters), ``cap_epsilon``, ``cap_delta``
            and ``cap_pure`` (the budget), ``intact`` (the entry fits the chain of hashes).
        """
        rows = ledger_report.history(self._store, last, events)
        try:
            from pandas import DataFrame
        except ImportError:
            return rows
        return DataFrame(rows, columns=list(ledger_report.COLUMNS))

    def __repr__(self) -> str:
        try:
            found = dict(ledger_report.figures(self._store.tip()))
        except LedgerError as error:
            return f"<PrivacyLedger {self.path!r}: {error}>"
        name = f"PrivacyLedger({self.path!r}{'' if self.replay else ', replay=False'})"
        return f"{name}: budget {found['budget']}; spent {found['spent']}"

    def _repr_html_(self) -> str:
        return ledger_report.as_html(self.path, self._store.tip())


# Handles of ledgers in memory, by identity: unpickling finds them again.
_IN_THIS_PROCESS: weakref.WeakValueDictionary[str, PrivacyLedger] = weakref.WeakValueDictionary()


def _unpickled(path: str, identity: str, replay: bool) -> PrivacyLedger:
    """Return a handle of the same ledger; the file is opened when it is used."""
    if (ledger := _IN_THIS_PROCESS.get(identity)) is not None:
        return ledger
    return PrivacyLedger.__new__(PrivacyLedger)._set_up(Store(path, identity), replay)


def _with(tip: Entry, loss: PrivacyLoss) -> Totals:
    """Return the totals with one charge more; raise a BudgetError where there is no room."""
    if (after := tip.cap.after(tip.totals, loss)) is not None:
        return after
    cap, spent, asked = tip.cap, ledger_report.composed(tip), (loss.epsilon, loss.delta)
    remaining, largest = cap.remaining(tip.totals), cap.largest(tip.totals, loss)
    law, at, why = "delta = 0", "", ""
    if loss.mu is not None:
        law, at = "Gaussian noise", f" and delta={loss.delta!r}"
        if cap.largest_squares == 0:
            why = " (It has no part for Gaussian noise: delta is 0, or pure is all of epsilon.)"
    elif cap.pure == 0:
        why = " (It has no part for releases with delta = 0: the ledger was made with pure=0.)"
    error = BudgetError(
        f"The privacy budget (epsilon={cap.epsilon!r}, delta={cap.delta!r}, pure={cap.pure!r}) "
        f"has no room.{why} "
        f"Spent: epsilon={spent[0]:.6g}, delta={spent[1]:.3g}, in {tip.totals.n} charges. "
        f"Asked: epsilon={asked[0]!r}, delta={asked[1]!r} ({law}, {loss.relation}). "
        f"Remaining: epsilon={remaining!r} for a release with delta = 0. "
        f"The largest epsilon that still fits for the same call ({law}{at}): {largest!r}."
    )
    error.spent, error.asked, error.remaining, error.largest = spent, asked, remaining, largest
    raise error


def _bytes(value: Any, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, got {type(value).__name__}.")
    return value
