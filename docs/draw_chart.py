"""Draw the charts of _static from the table of Adult in benchmarks.rst.

``python docs/draw_chart.py`` writes the charts, one for wide pages and one for phones; with
``--check`` it only says whether they are up to date, so that table and charts cannot differ. Text
and axes have the colour of the page.
"""

from __future__ import annotations

import math
import re
import sys
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent
# {file: (width and height, left and right end of the axes, whether it is for phones)}
CHARTS = {
    DOCS / "_static" / "chart.svg": ((860, 350), (62, 560), False),
    DOCS / "_static" / "chart-phone.svg": ((400, 500), (68, 388), True),
}

# Start of a row in the table: its name in the chart, and its colour and marks.
CURVES = {
    "NewtonClassifier": ("skdistill, gradient rounds", "#c2410c", ""),
    "800 logistic regressions": ("skdistill, 800 models on shards", "#0e7490", ""),
    "*peer:* diffprivlib": ("diffprivlib LogisticRegression", "#7c8a2e", "7 4"),
    "*peer:* DP-EBM": ("DP-EBM", "#8b6fc4", "7 4"),
    "the same, plain PATE": ("plain PATE, the same 800 models", "#7f7f7f", "2 4"),
}
TOP, BOTTOM = 20, 300
LOW, HIGH = 0.80, 0.93


def read() -> tuple[list[float], dict[str, list[float]], dict[str, float]]:
    """Return the values of ε, the AUC of each curve, and those of models without privacy."""
    text = (DOCS / "benchmarks.rst").read_text("utf-8")
    section = text[text.index("\nAdult\n") : text.index("\nMNIST\n")]
    rows = [re.split(r"\n     - ", row.strip()) for row in section.split("\n   * - ")[1:]]
    epsilons = [float(cell.removeprefix("ε = ")) for cell in rows[0][1:]]
    curves: dict[str, list[float]] = {}
    for name, *cells in rows[1:]:
        for start in CURVES:
            if name.startswith(start) and start not in curves:
                curves[start] = [float(cell.split(" / ")[0]) for cell in cells[: len(epsilons)]]
    missing = set(CURVES) - set(curves)
    if missing:
        raise SystemExit(f"benchmarks.rst has no row that starts with {missing}.")
    found = re.search(
        r"Without privacy: logistic regression (\.\d+) / \.\d+, gradient boosting (\.\d+)", section
    )
    if found is None:
        raise SystemExit("benchmarks.rst has no figures without privacy.")
    without = {"logistic regression": float(found[1]), "gradient boosting": float(found[2])}
    return epsilons, curves, without


def draw(size: tuple[int, int], ends_of_axes: tuple[int, int], phone: bool) -> str:
    """Return the chart as SVG; on phones, names stand inside the axes and below them."""
    left, right = ends_of_axes
    epsilons, curves, without = read()
    ends = math.log(epsilons[0]), math.log(epsilons[-1])

    def x(epsilon: float) -> float:
        return left + (math.log(epsilon) - ends[0]) / (ends[1] - ends[0]) * (right - left)

    def y(auc: float) -> float:
        return BOTTOM - (max(auc, LOW) - LOW) / (HIGH - LOW) * (BOTTOM - TOP)

    lines = [
        f'<svg class="drawn only-{"phone" if phone else "wide"}" '
        f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img"',
        '     aria-label="Area under the ROC curve on Adult against epsilon; the table of the',
        '     benchmarks page holds the same figures." font-family="system-ui, sans-serif"',
        '     font-size="14" fill="currentColor">',
    ]
    for auc in (0.80, 0.84, 0.88, 0.92):
        lines.append(
            f'  <path d="M{left} {y(auc):.1f}H{right}" stroke="currentColor" opacity=".2"/>'
            f'<text x="{left - 8}" y="{y(auc) + 5:.1f}" text-anchor="end">{auc:.2f}</text>'
        )
    for epsilon in epsilons:
        lines.append(
            f'  <text x="{x(epsilon):.1f}" y="{BOTTOM + 22}" '
            f'text-anchor="middle">{epsilon:g}</text>'
        )
    lines.append(
        f'  <text x="{(left + right) / 2}" y="{BOTTOM + 44}" text-anchor="middle">'
        "ε of the whole release (smaller is more private)</text>"
    )
    lines.append(
        f'  <text transform="translate(16 {(TOP + BOTTOM) / 2}) rotate(-90)" '
        'text-anchor="middle">area under the ROC curve</text>'
    )
    for name, auc in without.items():
        lines.append(
            f'  <path d="M{left} {y(auc):.1f}H{right}" stroke="currentColor" stroke-width="1.5" '
            f'stroke-dasharray="1 4"/><text x="{left + 8 if phone else right + 12}" '
            f'y="{y(auc) + (-5 if phone else 5):.1f}">no privacy, {escape(name)} {auc:.3f}</text>'
        )
    place, edge = (BOTTOM + 76, left) if phone else (TOP + 110, right + 14)
    for start, values in curves.items():
        name, color, dash = CURVES[start]
        points = [(x(e), y(auc)) for e, auc in zip(epsilons, values, strict=True) if auc >= LOW]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        lines.append(
            f'  <path d="{path}" fill="none" stroke="{color}" stroke-width="2.5" '
            f'stroke-dasharray="{dash}"/>'
        )
        lines += [f'  <circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{color}"/>' for a, b in points]
        lines.append(
            f'  <path d="M{edge} {place}h28" stroke="{color}" stroke-width="2.5" '
            f'stroke-dasharray="{dash}"/>'
            f'<text x="{edge + 36}" y="{place + 5}">{escape(name)}</text>'
        )
        place += 26
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    """Write the charts, or with ``--check`` say whether they are up to date."""
    drawn = {file: draw(*layout) for file, layout in CHARTS.items()}
    if "--check" in sys.argv:
        current = all(file.exists() and file.read_text("utf-8") == drawn[file] for file in drawn)
        if not current:
            print("out of date: run python docs/draw_chart.py", file=sys.stderr)
        return int(not current)
    for file, text in drawn.items():
        file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
