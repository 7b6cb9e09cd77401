"""Tables in HTML. Every text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["html_table"]

_COLORS = {True: "#2a7d4f", False: "#b3261e", None: "inherit"}


def html_table(
    rows: Iterable[Sequence[str]],
    caption: str,
    *,
    head: Sequence[str] | None = None,
    good: bool | None = None,
) -> str:
    """Return a table in HTML, with all texts escaped.

    `good` colours the caption: green for True, red for False. Without `head`, the first cell of
    each row is its title.
    """
    lines = [_line(row, "td" if head else "th", "td") for row in rows]
    if head:
        lines.insert(0, _line(head, "th", "th"))
    style = f"color:{_COLORS[good]};font-weight:bold;text-align:left"
    return (
        f"<table><caption style='{style}'>{html.escape(caption)}</caption>{''.join(lines)}</table>"
    )


def _line(cells: Sequence[str], first: str, others: str) -> str:
    tags = [first, *[others] * (len(cells) - 1)]
    style = "text-align:left;vertical-align:top"
    inner = [
        f"<{t} style='{style}'>{html.escape(c)}</{t}>" for t, c in zip(tags, cells, strict=True)
    ]
    return f"<tr>{''.join(inner)}</tr>"
