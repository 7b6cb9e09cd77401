"""Tables in HTML: structure, colours, and every text escaped."""

import xml.etree.ElementTree as ElementTree

import pytest

from skdistill._html import html_table

HOSTILE = "<script>alert('1')</script> & \"x\" ε"


def cells(table):
    """Return the caption and, row by row, tags and texts, as a parser reads them."""
    tree = ElementTree.fromstring(table)
    rows = [[(cell.tag, cell.text) for cell in row] for row in tree.iter("tr")]
    return tree.find("caption").text, rows


def test_the_first_cell_titles_a_row():
    caption, rows = cells(html_table([("a", "b"), ("c", "d")], "title"))
    assert caption == "title"
    assert rows == [[("th", "a"), ("td", "b")], [("th", "c"), ("td", "d")]]


def test_a_head_titles_the_columns():
    _, rows = cells(html_table([["c", "d"]], "", head=["a", "b"]))
    assert rows == [[("th", "a"), ("th", "b")], [("td", "c"), ("td", "d")]]


def test_every_text_is_escaped():
    table = html_table([[HOSTILE, HOSTILE]], HOSTILE, head=[HOSTILE, HOSTILE])
    assert "<script" not in table
    caption, rows = cells(table)
    assert {caption, *(text for row in rows for _, text in row)} == {HOSTILE}


@pytest.mark.parametrize(("good", "color"), [(True, "#2a7d4f"), (False, "#b3261e"), (None, "inh")])
def test_the_caption_is_coloured(good, color):
    assert f"color:{color}" in html_table([], "x", good=good)
