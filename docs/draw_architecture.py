"""Draw _static/architecture.svg from the table of imports, tests/imports.toml.

``python docs/draw_architecture.py`` writes the picture; with ``--check`` it only says whether the
picture is up to date. The order is that of a release: the user's calls, the private part, the
boundary with the only noise, and everything behind it that is free.
"""

from __future__ import annotations

import sys
import textwrap
import tomllib
from html import escape
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "tests" / "imports.toml"
PICTURE = Path(__file__).parent / "_static" / "architecture.svg"

# Rows of the picture from top to bottom: (room, width) from left to right.
ROWS = [
    [("distiller", 430), ("private_table", 430)],
    [("teachers", 280), ("certificates", 280), ("transfer", 280)],
    [("release", 580), ("accounting", 280)],
    [("students", 205), ("neural", 205), ("publishing", 205), ("statement", 205)],
    [("audit", 205), ("inspection", 205), ("testing", 205), ("schema", 205)],
]
PRIVATE, PUBLIC, PLAIN = "#b3261e", "#2a7d4f", "#555"
COLOURS = {
    "release": PRIVATE,
    **dict.fromkeys(("students", "neural", "statement", "schema"), PUBLIC),
}
# Rooms that everything may import and scripts import from: they would only fill the lists.
COMMON = {"tables", "entry"}
LEFT, GAP, WIDTH = 20, 20, 920
BOUNDARY_AFTER = "release"


def draw(rooms: dict[str, dict]) -> str:
    """Return the picture of the rooms."""
    parts, top = [], 64
    for row in ROWS:
        texts = {name: words(name, rooms, width) for name, width in row}
        height, left = max(38 + sum(map(space, lines)) for lines in texts.values()), LEFT
        for name, width in row:
            parts += box(rooms[name]["title"], name, texts[name], left, top, width, height)
            left += width + GAP
        top += height + 22
        if BOUNDARY_AFTER in dict(row):
            parts += boundary(top + 4)
            top += 34
    height = top + 4
    heading = "Files import each other in one direction, by the table tests/imports.toml"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
            '     aria-label="The rooms of the package in the order of a release. The room release,'
            ' in red, is the private boundary. Rooms in green cannot reach a teacher."',
            '     font-family="system-ui, sans-serif" font-size="13" fill="#1c1c1c">',
            f'  <rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="12" fill="#fff"'
            ' stroke="#d8d8d8"/>',
            text(LEFT, 30, heading, size=14),
            text(LEFT, 50, "(each box: a folder, its purpose, and the folders that it imports)"),
            *parts,
            "</svg>\n",
        ]
    )


def words(name, rooms, width):
    """Return the texts of a room as lines: its purpose, its files, and its imports."""
    room = rooms[name]
    room_of = {file: each for each, other in rooms.items() for file in other["files"]}
    used = {room_of[target] for targets in room["files"].values() for target in targets}
    used = [each for each in rooms if each in used - COMMON - {name}]
    files = [Path(file).stem.replace("_", " ") for file in room["files"] if "__init__" not in file]
    return (
        textwrap.wrap(room["does"], int((width - 20) / 6.9)),
        textwrap.wrap(" · ".join(files), int((width - 20) / 6.9)) if name == "release" else [],
        textwrap.wrap(
            "imports " + ", ".join(used) if used else "imports no other folder",
            int((width - 24) / 6.1),
        ),
    )


def space(lines):
    """Return the height that lines take."""
    return 17 * len(lines) + 6


def box(title, name, texts, left, top, width, height):
    """Return one room."""
    colour = COLOURS.get(name, PLAIN)
    does, files, imported = texts
    out = [
        f'  <rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8" fill="#fff"'
        f' stroke="{colour}" stroke-width="{3 if colour == PRIVATE else 1.8}"/>',
        text(left + 12, top + 23, title, size=16, weight="bold", colour="#1c1c1c"),
    ]
    at = top + 44
    out += [text(left + 12, at + 17 * i, line, colour="#1c1c1c") for i, line in enumerate(does)]
    at += space(does)
    out += [text(left + 12, at + 17 * i, line, colour=PRIVATE) for i, line in enumerate(files)]
    at = top + height - 10 - 17 * (len(imported) - 1)
    return out + [text(left + 12, at + 17 * i, line, size=12) for i, line in enumerate(imported)]


def boundary(y):
    """Return the line that divides private from free."""
    return [
        f'  <line x1="{LEFT}" y1="{y}" x2="{WIDTH - LEFT}" y2="{y}" stroke="{PRIVATE}"'
        ' stroke-width="3" stroke-dasharray="10 6"/>',
        text(LEFT, y - 9, "above: private values, up to the noise", colour=PRIVATE),
        f'  <text x="{WIDTH - LEFT}" y="{y + 18}" text-anchor="end" fill="{PUBLIC}">'
        "green: no chain of imports leads to a teacher</text>",
    ]


def text(x, y, line, size=13, weight="normal", colour="#555"):
    """Return one line of text."""
    return (
        f'  <text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}">'
        f"{escape(line)}</text>"
    )


if __name__ == "__main__":
    picture = draw(tomllib.loads(TABLE.read_text("utf-8")))
    if "--check" not in sys.argv:
        PICTURE.write_text(picture, "utf-8")
    elif PICTURE.read_text("utf-8") != picture:
        sys.exit("The picture is not that of the table: run python docs/draw_architecture.py.")
