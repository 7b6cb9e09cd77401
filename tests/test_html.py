"""Tables and diagrams in HTML: structure, colours, and every text escaped."""

import xml.etree.ElementTree as ElementTree

import pytest

from skdistill._html import folded, html_steps, html_table

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


@pytest.mark.parametrize(("good", "color"), [(True, "#2a7d4f"), (False, "#b3261e"), (None, None)])
def test_a_bar_beside_the_caption_is_coloured(good, color):
    """The caption itself has the colour of the page, so that it can be read on light and dark."""
    table = html_table([], "x", good=good)
    assert "color:inherit" in table
    assert (f"solid {color}" in table) if color else ("solid" not in table)


def test_a_diagram_has_its_boxes_in_order_and_every_text_escaped():
    diagram = html_steps([("one", HOSTILE, "first"), (HOSTILE, "two", HOSTILE)])
    assert "<script" not in diagram
    tree = ElementTree.fromstring(diagram)
    assert [box.text for box in tree.iter("summary")] == [HOSTILE, "two"]
    texts = [text for text in tree.itertext() if text != "\u2192"]
    assert texts == ["one", HOSTILE, "first", HOSTILE, "two", HOSTILE]
    assert "".join(tree.itertext()).count("\u2192") == 1
    assert len(list(tree.iter("details"))) == 2


def test_a_title_unfolds_html():
    tree = ElementTree.fromstring(folded(HOSTILE, "<b>inner</b>"))
    assert tree.tag == "details" and "open" not in tree.attrib
    assert (tree.find("summary").text, tree.find("b").text) == (HOSTILE, "inner")
