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

    Parameters
    ----------
    rows : iterable of sequence of str
        Cells. Without `head` the first cell of each row is its title.
    caption : str
    head : sequence of str, default=None
        Titles of the columns.
    good : bool, default=None
        Colour of the caption: green for True, red for False, that of the page for None.

    Returns
    -------
    html : str

    Examples
    --------
    >>> from skdistill._html import html_table
    >>> "<td style='text-align:left;vertical-align:top'>&lt;1</td>" in html_table([["ε", "<1"]], "")
    True
    """
    lines = [] if head is None else [_row(head, "th", "th")]
    lines += [_row(row, "th" if head is None else "td", "td") for row in rows]
    style = f"color:{_COLORS[good]};font-weight:bold;text-align:left"
    return (
        f"<table><caption style='{style}'>{html.escape(caption)}</caption>{''.join(lines)}</table>"
    )


def _row(cells: Sequence[str], first: str, other: str) -> str:
    tags = [first] + [other] * (len(cells) - 1)
    return "<tr>{}</tr>".format(
        "".join(
            f"<{tag} style='text-align:left;vertical-align:top'>{html.escape(cell)}</{tag}>"
            for tag, cell in zip(tags, cells, strict=True)
        )
    )
