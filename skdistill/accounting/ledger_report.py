"""The report of a ledger: totals, the rest of the budget, the history, and whether it is intact.

Functions of entries alone; nothing here changes a ledger, and diffprivlib is not needed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from skdistill._html import html_table
from skdistill.accounting.composition import Cap, Totals
from skdistill.accounting.ledger_file import Entry, Store
from skdistill.accounting.ledger_place import LedgerError
from skdistill.accounting.loss import PrivacyLoss

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Between versions of the numerical libraries the last digits of a cost may differ.
_SAME = 2**30


def composed(tip: Entry) -> tuple[float, float]:
    """Return (epsilon, delta) of all charges up to an entry: see ``PrivacyLedger.total``.

    An epsilon that the roundings of the display would put above that of the cap is that of the
    cap, because the counters are within it.
    """
    epsilon, delta = tip.totals.epsilon(tip.cap.delta), tip.cap.delta if tip.totals.squares else 0.0
    return min(epsilon, tip.cap.epsilon) if tip.cap.admits(tip.totals) else epsilon, delta


def statement(tip: Entry) -> str:
    """Return the promise of a ledger as a sentence. It quotes the cap."""
    changes = {"replace-one": "is replaced by another", "add-or-remove": "is added or removed"}
    return (
        f"All releases charged to this ledger together are {_pair(tip.cap.epsilon, tip.cap.delta)} "
        f"differentially private when one {tip.cap.unit} {changes[tip.cap.relation]}, however "
        "later releases were chosen after seeing earlier ones."
    )


def figures(tip: Entry) -> list[tuple[str, str]]:
    """Return the names and texts of the figures: promised, spent and left."""
    cap, n = tip.cap, tip.totals.n
    part = f", of which ε = {cap.pure:.6g} for releases with δ = 0" if cap.delta * cap.pure else ""
    return [
        ("budget", _pair(cap.epsilon, cap.delta) + part),
        ("spent", f"{_pair(*composed(tip))} in {n} charge{'' if n == 1 else 's'}"),
        ("left", f"ε = {cap.remaining(tip.totals):.6g} for one more release with δ = 0"),
        ("protects", f"one {cap.unit}, {cap.relation}"),
    ]


def share(tip: Entry) -> float:
    """Return how much is spent of the part of the budget that is nearer to its end."""
    pure, squares = tip.cap.largest_pure, tip.cap.largest_squares
    return min(1.0, max(tip.totals.pure / (pure or 1), tip.totals.squares / (squares or 1)))


def as_text(path: str, tip: Entry) -> str:
    """Return the figures and a bar, as lines of text."""
    full = share(tip)
    bar = f"[{'#' * round(40 * full):.<40}] {full:.1%} of the budget"
    return "\n".join([path, bar, *(f"{name:9}{text}" for name, text in figures(tip))])


def as_html(path: str, tip: Entry) -> str:
    """Return a table of the figures, with a bar for the spent part and the rest."""
    full = share(tip)
    bar = f"<progress value='{full:.6g}' max='1' title='{full:.1%} is spent'></progress>"
    return f"<div>{bar}{html_table(figures(tip), path)}</div>"


def _record(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return dict.fromkeys(COLUMNS) | {"intact": False}
    (total_epsilon, total_delta), totals, cap = composed(entry), entry.totals, entry.cap
    loss = entry.loss or PrivacyLoss("laplace", 0.0, 0.0, None, cap.unit, cap.relation)
    return {
        "time": _EPOCH + timedelta(microseconds=entry.time),
        "kind": entry.kind,
        **{name: getattr(loss, name) for name in ("epsilon", "delta", "mu")},
        **{name: str(getattr(loss, name)) for name in ("relation", "unit")},
        **{name: getattr(entry, name) for name in ("note", "process", "anywhere")},
        "total_epsilon": total_epsilon,
        "total_delta": total_delta,
        "total_pure": Totals(pure=totals.pure).epsilon(0.0),
        "total_mu": totals.mu,
        **{f"cap_{name}": getattr(cap, name) for name in ("epsilon", "delta", "pure")},
        "intact": True,
    }


COLUMNS = tuple(_record(Entry(0, 0, Totals(), Cap(1.0, 0.0))))


def history(store: Store, last: int | None, events: bool) -> list[dict[str, Any]]:
    """Return the last charges, or all the last entries. Every altered entry is listed."""
    start = max(0, store.tip().n + 1 - last) if events and last is not None else 0
    found = [entry for entry in store.walk(start) if events or entry is None or entry.loss]
    return [_record(entry) for entry in found[0 if last is None else max(0, len(found) - last) :]]


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text."""
    lines = [f"{'time (UTC)':20}{'kind':13}{'epsilon':>10}{'delta':>10}{'total':>10}  note"]
    line = "{time!s:20.19}{kind:13}{epsilon:10.4g}{delta:10.3g}{total_epsilon:10.4g}  {note}"
    for row in rows:
        lines.append(line.format(**row).rstrip() if row["intact"] else "TAMPERED WITH")
    return "\n".join(lines)


def verify(store: Store) -> int:
    """Recompute the chain, the counters and the digests of blobs; return the number of entries."""
    store.tip()
    before: Entry | None = None
    count = 0
    for entry in store.walk():
        if entry is None or not _adds_up(before, entry):
            raise LedgerError(
                f"Entry {count} of the ledger {store.path!r} was edited, swapped or removed: it "
                "does not fit the chain of hashes or the counters."
            )
        before, count = entry, count + 1
    return count


def _adds_up(before: Entry | None, entry: Entry) -> bool:
    """Whether the counters of an entry are those before it and its charge."""
    if before is None:
        return entry.totals == Totals()
    found, earlier, same_cap = entry.totals, before.totals, entry.cap == before.cap
    if entry.loss is None:
        return found == earlier and (same_cap or entry.kind == "cap")
    return same_cap and any(
        (found.n, found.pure) == (way.n, way.pure)
        and abs(found.squares - way.squares) * _SAME <= way.squares - earlier.squares + _SAME
        for way in before.cap.ways(earlier, entry.loss)
    )


def _pair(epsilon: float, delta: float) -> str:
    return f"ε = {epsilon:.6g}" + (f", δ = {delta:.3g}" if delta else "")
