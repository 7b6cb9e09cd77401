"""What a ledger says: totals, what is left, its history, as text and as HTML; and whether it holds.

Functions of entries alone; nothing here changes a ledger, and diffprivlib is not needed.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from skdistill.accounting.composition import Charge, Totals, _last
from skdistill.accounting.ledger_file import Entry, Store
from skdistill.accounting.ledger_place import LedgerError
from skdistill.accounting.loss import PrivacyLoss

__all__ = [
    "Summary",
    "as_frame",
    "as_html",
    "as_text",
    "composed",
    "history",
    "left",
    "records",
    "verify",
]

CHARGES = {"gaussian", "pure", "approximate"}
COLUMNS = (
    "time",
    "kind",
    "epsilon",
    "delta",
    "mu",
    "note",
    "process",
    "total_epsilon",
    "total_delta",
    "intact",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Between versions of the numerical libraries the last digits of a cost may differ.
_SAME = 2**30


def composed(tip: Entry) -> tuple[float, float]:
    """Return (epsilon, delta) of all charges up to an entry.

    The δ is 0 where the sum of the epsilons alone is the best bound, else that of the budget.
    Both are within the budget, as the charges are: the bound that admitted the last charge may
    differ in its last digits from the one that is shown.
    """
    totals = Totals.from_text(tip.totals)
    if totals.n == 0:
        return 0.0, 0.0
    epsilon = totals.epsilon(tip.cap_delta)
    if totals.squares == totals.delta == 0 and totals.spent_epsilon <= epsilon:
        return totals.spent_epsilon, 0.0
    if totals.fits(tip.cap_epsilon, tip.cap_delta):
        epsilon = min(epsilon, tip.cap_epsilon)
    return epsilon, tip.cap_delta


def left(tip: Entry, k: int = 1) -> tuple[float, float]:
    """Return the largest ε for which `k` more charges (ε, 0) fit, and δ for `k` more (0, δ)."""
    before = Totals.from_text(tip.totals)

    def fits(charge: Charge) -> bool:
        cost = Totals(*(k * part for part in astuple(charge.cost)))
        total = before.add(replace(charge, cost=cost))
        return total.fits(tip.cap_epsilon, tip.cap_delta)

    return (
        _last(lambda epsilon: fits(Charge.spend(epsilon, 0.0))),
        _last(lambda delta: delta < 1 and fits(Charge.spend(0.0, delta))),
    )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is spent, what may be spent, and what is left (see :func:`left`)."""

    charges: int
    epsilon: float
    delta: float
    cap_epsilon: float
    cap_delta: float
    left: float

    @classmethod
    def of(cls, tip: Entry) -> Summary:
        """Return the summary at an entry."""
        epsilon, delta = composed(tip)
        return cls(
            charges=Totals.from_text(tip.totals).n,
            epsilon=epsilon,
            delta=delta,
            cap_epsilon=tip.cap_epsilon,
            cap_delta=tip.cap_delta,
            left=left(tip)[0],
        )

    @property
    def share(self) -> float:
        """How much of the budget's epsilon is spent."""
        return min(1.0, self.epsilon / self.cap_epsilon)

    def lines(self) -> list[tuple[str, str]]:
        """Return the names and texts of the figures."""
        plural = "" if self.charges == 1 else "s"
        return [
            ("spent", f"{_pair(self.epsilon, self.delta)} in {self.charges} charge{plural}"),
            ("budget", _pair(self.cap_epsilon, self.cap_delta)),
            ("left", f"ε = {self.left:.6g} for one more release with δ = 0"),
        ]


def as_text(path: str, tip: Entry) -> str:
    """Return the figures and a bar, as lines of text."""
    summary, width = Summary.of(tip), 40
    full = round(width * summary.share)
    bar = "[" + "#" * full + "." * (width - full) + f"] {summary.share:.1%} of ε"
    return "\n".join([path, bar, *(f"{name:8}{text}" for name, text in summary.lines())])


def as_html(path: str, tip: Entry) -> str:
    """Return a table of the figures with a bar of what is spent and what is left."""
    summary = Summary.of(tip)
    color = "#2a7d4f" if summary.share < 0.8 else "#b3261e"
    bar = (
        "<div style='width:20em;height:1em;border:1px solid gray;background:transparent' "
        f"role='img' aria-label='{summary.share:.1%} of epsilon is spent'>"
        f"<div style='width:{100 * summary.share:.4g}%;height:100%;background:{color}'></div></div>"
    )
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in summary.lines()
    )
    caption = f"<caption style='text-align:left;font-weight:bold'>{html.escape(path)}</caption>"
    return f"<div>{bar}<table>{caption}{rows}</table></div>"


def records(store: Store, last: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the entries as dictionaries, oldest first (see ``PrivacyLedger.history``)."""
    start = 0 if last is None else max(0, store.tip().n + 1 - last)
    shown, total = None, (0.0, 0.0)
    for entry, intact in store.walk(start=start):
        if (state := (entry.totals, entry.cap_epsilon, entry.cap_delta)) != shown:
            shown, total = state, composed(entry) if intact else (float("nan"), float("nan"))
        yield {
            "time": _EPOCH + timedelta(microseconds=entry.time) if intact else None,
            "kind": entry.kind,
            "epsilon": entry.epsilon,
            "delta": entry.delta,
            "mu": entry.mu,
            "note": entry.note,
            "process": entry.process,
            "total_epsilon": total[0],
            "total_delta": total[1],
            "intact": intact,
        }


def history(store: Store, last: int | None, events: bool) -> list[dict[str, Any]]:
    """Return the last charges, or all the last entries. What was tampered with is listed always."""

    def kept(window: int | None) -> list[dict[str, Any]]:
        rows = records(store, window)
        return [row for row in rows if events or row["kind"] in CHARGES or not row["intact"]]

    if events or last is None:
        return kept(last)
    window, n = last, store.tip().n + 1
    while window < n and len(kept(window)) < last:
        window *= 2
    rows = kept(window)
    return rows[max(0, len(rows) - last) :]


def as_frame(rows: list[dict[str, Any]]) -> Any:
    """Return a pandas DataFrame of the rows, or the rows where pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        return rows
    return pd.DataFrame(rows, columns=list(COLUMNS))


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text."""
    lines = [f"{'time (UTC)':20}{'kind':13}{'epsilon':>10}{'delta':>10}{'total':>10}  note"]
    for row in rows:
        if not row["intact"]:
            lines.append("TAMPERED WITH")
            continue
        time = f"{row['time']:%Y-%m-%d %H:%M:%S}"
        amounts = f"{row['epsilon']:10.4g}{row['delta']:10.3g}{row['total_epsilon']:10.4g}"
        lines.append(f"{time:20}{row['kind']:13}{amounts}  {row['note']}".rstrip())
    return "\n".join(lines)


def verify(store: Store) -> int:
    """Recompute the chain, the totals and the digests of blobs; return the number of entries."""
    store.tip()
    before = Totals.zero()
    count = 0
    for entry, intact in store.walk():
        if not intact or not _adds_up(before, entry):
            raise LedgerError(
                f"Entry {count} of the ledger {store.path!r} was edited, swapped or removed: it "
                "does not fit the chain of hashes or the totals."
            )
        before = Totals.from_text(entry.totals)
        count += 1
    return count


def _adds_up(before: Totals, entry: Entry) -> bool:
    """Whether the totals of an entry are those before it and its charge."""
    after = Totals.from_text(entry.totals)
    if entry.kind not in CHARGES:
        return before == after
    if entry.kind == "gaussian":
        charge = Charge.of(PrivacyLoss("gaussian", entry.epsilon, entry.delta, entry.mu))
    else:
        charge = Charge.spend(entry.epsilon, entry.delta)
    expected = astuple(before.add(charge))
    return all(
        abs(found - wanted) * _SAME <= wanted - earlier + _SAME
        for found, wanted, earlier in zip(astuple(after), expected, astuple(before), strict=True)
    )


def _pair(epsilon: float, delta: float) -> str:
    return f"ε = {epsilon:.6g}" + (f", δ = {delta:.3g}" if delta else "")
