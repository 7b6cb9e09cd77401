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
    epsilon = tip.totals.epsilon(tip.cap.delta)
    if tip.cap.admits(tip.totals):
        epsilon = min(epsilon, tip.cap.epsilon)
    return epsilon, tip.cap.delta if tip.totals.squares else 0.0


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
    left = cap.remaining(tip.totals)
    return [
        ("budget", _pair(cap.epsilon, cap.delta) + part),
        ("spent", f"{_pair(*composed(tip))} in {n} charge{'' if n == 1 else 's'}"),
        ("left", f"ε = {left:.6g} for one more release with δ = 0"),
        ("protects", f"one {cap.unit}, {cap.relation}"),
    ]


def share(tip: Entry) -> float:
    """Return how much is spent of the part of the budget that is nearer to its end."""
    parts = [
        (tip.totals.pure, tip.cap.largest_pure),
        (tip.totals.squares, tip.cap.largest_squares),
    ]
    return min(1.0, max(spent / part if part else 0.0 for spent, part in parts))


def as_text(path: str, tip: Entry) -> str:
    """Return the figures and a bar, as lines of text."""
    full, width = share(tip), 40
    filled = "#" * round(width * full)
    bar = f"[{filled:.<{width}}] {full:.1%} of the budget"
    return "\n".join([path, bar, *(f"{name:9}{text}" for name, text in figures(tip))])


def as_html(path: str, tip: Entry) -> str:
    """Return a table of the figures, with a bar for the spent part and the rest."""
    full = share(tip)
    bar = f"<progress value='{full:.6g}' max='1' title='{full:.1%} is spent'></progress>"
    return f"<div>{bar}{html_table(figures(tip), path)}</div>"


def _record(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return dict.fromkeys(COLUMNS) | {"intact": False}
    total, totals, cap = composed(entry), entry.totals, entry.cap
    loss = entry.loss or PrivacyLoss("laplace", 0.0, 0.0, None, cap.unit, cap.relation)
    return {
        "time": _EPOCH + timedelta(microseconds=entry.time),
        "kind": entry.kind,
        "epsilon": loss.epsilon,
        "delta": loss.delta,
        "mu": loss.mu,
        "relation": str(loss.relation),
        "unit": str(loss.unit),
        "note": entry.note,
        "process": entry.process,
        "anywhere": entry.anywhere,
        "total_epsilon": total[0],
        "total_delta": total[1],
        "total_pure": Totals(pure=totals.pure).epsilon(0.0),
        "total_mu": totals.mu,
        "cap_epsilon": cap.epsilon,
        "cap_delta": cap.delta,
        "cap_pure": cap.pure,
        "intact": True,
    }


COLUMNS = tuple(_record(Entry(kind="open", totals=Totals(), cap=Cap(1.0, 0.0))))


def history(store: Store, last: int | None, events: bool) -> list[dict[str, Any]]:
    """Return the last charges, or all the last entries. Every altered entry is listed."""
    start = max(0, store.count() - last) if events and last is not None else 0
    found = [entry for entry in store.walk(start) if events or entry is None or entry.loss]
    return [_record(entry) for entry in found[0 if last is None else max(0, len(found) - last) :]]


def as_frame(rows: list[dict[str, Any]]) -> Any:
    """Return a pandas DataFrame of the rows, or the rows where pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        return rows
    return pd.DataFrame(rows, columns=list(COLUMNS))


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text."""
    rows_of_text = [f"{'time (UTC)':20}{'kind':13}{'epsilon':>10}{'delta':>10}{'total':>10}  note"]
    for row in rows:
        if not row["intact"]:
            rows_of_text.append("TAMPERED WITH")
            continue
        time = f"{row['time']:%Y-%m-%d %H:%M:%S}"
        amounts = f"{row['epsilon']:10.4g}{row['delta']:10.3g}{row['total_epsilon']:10.4g}"
        rows_of_text.append(f"{time:20}{row['kind']:13}{amounts}  {row['note']}".rstrip())
    return "\n".join(rows_of_text)


def verify(store: Store) -> int:
    """Recompute the chain, the counters and the digests of blobs; return the number of entries."""
    store.tip()
    before, count = None, 0
    for entry in store.walk():
        if entry is None or not _adds_up(before, entry):
            raise LedgerError(
                f"Entry {count} of the ledger {store.path!r} was edited, swapped or removed: it "
                "does not fit the chain of hashes or the counters."
            )
        before = entry
        count += 1
    return count


def _adds_up(before: Entry | None, entry: Entry) -> bool:
    """Whether the counters of an entry are those before it and its charge."""
    if before is None:
        return entry.totals == Totals()
    if entry.loss is None:
        return entry.totals == before.totals and (entry.kind == "cap" or entry.cap == before.cap)
    found, earlier = entry.totals, before.totals
    return entry.cap == before.cap and any(
        (found.n, found.pure) == (way.n, way.pure)
        and abs(found.squares - way.squares) * _SAME <= way.squares - earlier.squares + _SAME
        for way in before.cap.ways(earlier, entry.loss)
    )


def _pair(epsilon: float, delta: float) -> str:
    return f"ε = {epsilon:.6g}" + (f", δ = {delta:.3g}" if delta else "")
