"""Draw _static/architecture.svg from the table of imports, tests/imports.toml.

``python docs/draw_architecture.py`` writes the picture; with ``--check`` it only says whether the
picture is up to date. The order is that of a release: what a user calls, what is private, the
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

# Rows of the picture from top to bottom: (height, [(room, width), ...]).
ROWS = [
    (96, [("distiller", 430), ("pate", 430)]),
    (122, [("teachers", 280), ("certificates", 280), ("transfer", 280)]),
    (138, [("release", 580), ("accounting", 280)]),
    (112, [("students", 205), ("neural", 205), ("publishing", 205), ("statement", 205)]),
    (112, [("audit", 205), ("inspection", 205), ("testing", 205), ("schema", 205)]),
]
PRIVATE, PUBLIC, PLAIN = "#b3261e", "#2a7d4f", "#555"
COLOURS = {"release": PRIVATE, **dict.fromkeys(("students", "neural", "publishing"), PUBLIC)}
# Rooms that everything may import and scripts import from: they would only fill the lists.
COMMON = {"tables", "entry"}
LEFT, GAP, WIDTH = 20, 20, 920
BOUNDARY_AFTER = "release"


def draw(rooms: dict[str, dict]) -> str:
    """Return the picture of the rooms."""
    room_of = {file: name for name, room in rooms.items() for file in room["files"]}
    parts, top = [], 64
    for height, row in ROWS:
        left = LEFT
        for name, width in row:
            parts += box(name, rooms, room_of, left, top, width, height)
            left += width + GAP
        top += height + 22
        if BOUNDARY_AFTER in dict(row):
            parts += boundary(top + 4)
            top += 34
    height = top + 4
    words = "Files import each other in one direction, by the table tests/imports.toml"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
            '     aria-label="The rooms of the package in the order of a release. The room release,'
            ' framed in red, is the private boundary. Rooms framed in green are behind it."',
            '     font-family="system-ui, sans-serif" font-size="13" fill="#1c1c1c">',
            f'  <rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="12" fill="#fff"'
            ' stroke="#d8d8d8"/>',
            text(LEFT, 30, words, size=14),
            text(LEFT, 50, "(each box: a folder, its purpose, and the folders that it imports)"),
            *parts,
            "</svg>\n",
        ]
    )


def box(name, rooms, room_of, left, top, width, height):
    """Return one room: its title, its purpose, and what it imports."""
    room = rooms[name]
    used = {room_of[target] for targets in room["files"].values() for target in targets}
    used = [each for each in rooms if each in used - COMMON - {name}]
    colour = COLOURS.get(name, PLAIN)
    lines = textwrap.wrap(room["does"], int((width - 20) / 6.9))
    listed = []
    if name == "release":
        files = [Path(file).stem for file in room["files"] if "__init__" not in file]
        listed = textwrap.wrap(" · ".join(files).replace("_", " "), int((width - 20) / 6.9))
    imported = "imports " + ", ".join(used) if used else "imports no other folder"
    small = textwrap.wrap(imported, int((width - 24) / 6.1))
    at = top + 44
    out = [
        f'  <rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8" fill="#fff"'
        f' stroke="{colour}" stroke-width="{3 if colour == PRIVATE else 1.8}"/>',
        text(left + 12, top + 23, room["title"], size=16, weight="bold", colour="#1c1c1c"),
    ]
    for line in lines:
        out.append(text(left + 12, at, line, colour="#1c1c1c"))
        at += 17
    for line in listed:
        out.append(text(left + 12, at + 6, line, colour=PRIVATE))
        at += 17
    at = top + height - 10 - 15 * (len(small) - 1)
    return out + [text(left + 12, at + 15 * i, line, size=12) for i, line in enumerate(small)]


def boundary(y):
    """Return the line that divides private from free."""
    return [
        f'  <line x1="{LEFT}" y1="{y}" x2="{WIDTH - LEFT}" y2="{y}" stroke="{PRIVATE}"'
        ' stroke-width="3" stroke-dasharray="10 6"/>',
        text(LEFT, y - 9, "above: may hold private values", colour=PRIVATE),
        f'  <text x="{WIDTH - LEFT}" y="{y + 18}" text-anchor="end" fill="{PUBLIC}">'
        "below: sees noisy answers and public rows only</text>",
    ]


def text(x, y, words, size=13, weight="normal", colour="#555"):
    """Return one line of text."""
    return (
        f'  <text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}">'
        f"{escape(words)}</text>"
    )


if __name__ == "__main__":
    picture = draw(tomllib.loads(TABLE.read_text("utf-8")))
    if "--check" not in sys.argv:
        PICTURE.write_text(picture, "utf-8")
    elif PICTURE.read_text("utf-8") != picture:
        sys.exit("The picture is not that of the table: run python docs/draw_architecture.py.")
