"""Tables and diagrams in HTML. Every text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# Of a bar beside the caption: no green or red has enough contrast as text on light and on dark.
_COLORS = {True: "#2a7d4f", False: "#b3261e"}


def html_table(
    rows: Iterable[Sequence[str]],
    caption: str,
    *,
    head: Sequence[str] | None = None,
    good: bool | None = None,
) -> str:
    """Return a table in HTML; `good` puts a bar beside the caption, green for True, red for False.

    Without `head`, the first cell of each row is its title.
    """
    lines = [_line(row, "td" if head else "th", "td") for row in rows]
    if head:
        lines.insert(0, _line(head, "th", "th"))
    style = "color:inherit;font-weight:bold;text-align:left"
    if good is not None:
        style += f";border-left:.3em solid {_COLORS[good]};padding-left:.4em"
    return (
        f"<table><caption style='{style}'>{html.escape(caption)}</caption>{''.join(lines)}</table>"
    )


def html_steps(steps: Iterable[Sequence[str]]) -> str:
    """Return a diagram in HTML: boxes in one row with arrows between them.

    Each step is a role ("teacher"), a title, a text that a click unfolds, and perhaps the address
    of the documentation. Colours come from the page, so that dark pages stay readable.
    """
    arrow = "<div style='align-self:center' aria-hidden='true'>&#8594;</div>"
    outer = "display:flex;flex-wrap:wrap;gap:.5em;align-items:stretch;margin:.4em 0"
    return f"<div style='{outer}'>{arrow.join(_box(*step) for step in steps)}</div>"


def _box(role: str, title: str, text: str, link: str = "") -> str:
    style = "border:1px dashed currentColor;border-radius:.25em;padding:.3em .7em;max-width:24em"
    inner = f"<div>{html.escape(text)}</div>"
    if link:
        name = html.escape(f"Documentation of {title.split(': ')[-1]}")
        inner += f"<a href='{html.escape(link)}' rel='noreferrer' target='_blank'>{name}</a>"
    return (
        f"<div style='{style}'><div style='font-size:.85em'>{html.escape(role)}</div>"
        f"{folded(title, inner, bold=True)}</div>"
    )


def folded(title: str, inner: str, *, bold: bool = False) -> str:
    """Return HTML that shows a title; a click unfolds `inner`, which is HTML already."""
    weight = "bold" if bold else "normal"
    summary = f"<summary style='cursor:pointer;font-weight:{weight}'>{html.escape(title)}</summary>"
    return f"<details>{summary}{inner}</details>"


def _line(cells: Sequence[str], first: str, others: str) -> str:
    tags = [first, *[others] * (len(cells) - 1)]
    style = "text-align:left;vertical-align:top"
    pairs = zip(tags, cells, strict=True)
    inner = (f"<{tag} style='{style}'>{html.escape(cell)}</{tag}>" for tag, cell in pairs)
    return f"<tr>{''.join(inner)}</tr>"
