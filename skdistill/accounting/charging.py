"""Charging an accountant before the teacher is asked."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from skdistill._silenced import warn_caller
from skdistill._trained_on import last_step
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Relation

_LOCK = threading.Lock()
# The process in which each accountant was first handed to a distiller.
_HOME: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
# Fitted parts of teachers whose releases nobody counts, by id.
_UNCOUNTED: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

_WRONG_PROCESS = (
    "This accountant lives in the memory of another process, so a charge made here would be lost "
    "there. Run in one process: n_jobs=1 (or None) in the search or cross-validation, or "
    '`with joblib.parallel_backend("threading")`.'
)


class DetachedAccountant:
    """The pickle of an accountant in memory: it refuses every charge."""

    def spend(self, epsilon: float, delta: float) -> None:
        """Refuse the charge."""
        raise RuntimeError(_WRONG_PROCESS)


def check_accountant(accountant: Any) -> None:
    """Raise unless `accountant` can be charged (None is no accountant)."""
    if accountant is not None and not callable(getattr(accountant, "spend", None)):
        raise TypeError(
            f"accountant={accountant!r} cannot be charged: it has no method spend(epsilon, delta). "
            "Pass a PrivacyLedger, a diffprivlib.BudgetAccountant, or None."
        )


def is_ledger(accountant: Any) -> bool:
    """Whether an accountant looks after itself in other processes and threads."""
    return callable(getattr(accountant, "charge", None))


def replays(accountant: Any) -> bool:
    """Whether a ledger gives out again, at no cost, the releases that it remembers."""
    return is_ledger(accountant) and bool(getattr(accountant, "replay", False))


def counted_by(accountant: Any) -> dict[str, Any]:
    """Return the fields of a statement that say who counts the release, and up to which cap."""
    if accountant is None:
        return {}
    cap = None  # an object with `spend` alone has none, which is no error after the charge
    if hasattr(accountant, "epsilon"):
        cap = float(accountant.epsilon), float(getattr(accountant, "delta", 0.0))
    relation = getattr(accountant, "relation", Relation.REPLACE_ONE)
    return {"accounted": True, "cap": cap, "cap_relation": relation}


def bind_to_process(accountant: Any) -> int:
    """Return the process in which an accountant in memory was handed over first."""
    try:
        return _HOME.setdefault(accountant, os.getpid())
    except TypeError:  # not weakly referencable: a string, None
        return os.getpid()


def for_pickle(accountant: Any) -> Any:
    """Return the object that takes the accountant's place in a pickle."""
    return accountant if accountant is None or is_ledger(accountant) else DetachedAccountant()


def charge(accountant: Any, loss: PrivacyLoss | None, note: str = "") -> None:
    """Charge the price of a release, before the release. There is no refund.

    A ledger is told the kind of noise, the relation and the unit; another accountant is asked to
    ``spend(epsilon, delta)``. No accountant and no loss cost nothing. `note` is for a ledger's
    history, and public. Raises a RuntimeError in a process other than the one where an accountant
    in memory was handed over, because the charge would be lost, and a diffprivlib ``BudgetError``
    where the budget does not suffice; nothing is charged or released then.
    """
    if accountant is None or loss is None:
        return
    if is_ledger(accountant):
        accountant.charge(loss, note=note)
        return
    if bind_to_process(accountant) != os.getpid():
        raise RuntimeError(_WRONG_PROCESS)
    with _LOCK:  # `spend` checks and then appends: two threads could both pass the check
        accountant.spend(loss.epsilon, loss.delta)


def warn_uncounted(teacher: Any) -> None:
    """Warn of the second release of a fitted teacher in this process that no accountant counts.

    A teacher that was refitted in between is another one: its fitted attributes are.
    """
    parts = _fitted_parts(teacher)
    if parts and all(_UNCOUNTED.get(id(part)) is part for part in parts):
        warn_caller(
            "This teacher has answered before, and no accountant counts its answers: every fit "
            "costs its own epsilon, those of a search or a cross-validation too. Keep one ledger "
            "for the private data: accountant=PrivacyLedger.create(path, epsilon, delta)."
        )
    _UNCOUNTED.update({id(part): part for part in parts})


def _fitted_parts(teacher: Any) -> list[Any]:
    """Return the objects that a fit of the last step made, or the teacher; not their contents."""
    last = last_step(teacher)
    fitted = [value for name, value in getattr(last, "__dict__", {}).items() if name[-1:] == "_"]
    firsts = [value[0] if isinstance(value, list) and value else value for value in fitted]
    parts = [part for part in firsts if type(part).__weakrefoffset__]
    return parts or [each for each in [teacher] if type(each).__weakrefoffset__]
