"""Make the tables and charts of benchmarks from the JSON files of their runs, in docs/figures.

A benchmark adds its run to such a file with the option ``--json``. ``python docs/draw_figures.py``
then writes the tables of the pages and the charts in _static; with ``--check`` it only says
whether they are up to date. The build of the documentation and the tests do the same, so that no
table and no chart can differ from the figures. Text and axes of a chart have the page's colour.
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent
SMALL, LARGE = (0.25, 0.5, 1.0, 2.0), (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Source:
    """The figures of one row or curve: a file, a data set, a model in it, and metrics.

    A metric is that of another model where it begins with the model's name and a colon.
    """

    file: str
    data: str
    model: str
    metrics: tuple[str, ...]

    def at(self, epsilon: float | None) -> list[tuple[float, float | None]]:
        """Return mean and spread of each metric; nothing where the benchmark was not run."""
        found = []
        for name in self.metrics:
            *other, metric = name.split(": ")
            scores = figures(self.file).get((self.data, *(other or [self.model]), epsilon), {})
            found.append(scores.get(metric))
        return [] if None in found else [tuple(each) for each in found]


@cache
def figures(file: str) -> dict[tuple[str, str, float | None], dict[str, list]]:
    """Return the scores of a file by data set, model and ε (None: no privacy)."""
    runs = json.loads((DOCS / "figures" / f"{file}.json").read_text("utf-8"))
    return {
        (row["data"], row["model"], row["epsilon"]): row["scores"]
        for run in runs
        for row in run["rows"]
    }


def adult(model: str) -> Source:
    """Return a row of benchmarks/adult.py."""
    return Source("adult", "adult", model, ("AUC", "F1 at prior"))


def mnist(model: str) -> Source:
    """Return a row of benchmarks/mnist.py."""
    return Source("mnist", "mnist", model, ("accuracy",))


def housing(model: str) -> Source:
    """Return a row of benchmarks/housing.py."""
    return Source("housing", "housing", model, ("RMSE",))


def network(kind: str) -> tuple[tuple[Source, float | None], ...]:
    """Return the cells of a row of benchmarks/deep.py: without privacy, and at ε = 2."""
    without, private = ("one teacher", "their mean", "student"), ("auto", "likeliest", "two rounds")
    cells = [(metric, None) for metric in without] + [(metric, 2.0) for metric in private]
    return tuple((Source("deep", "mnist", kind, (metric,)), e) for metric, e in cells)


def alone(data: str, model: str, n_metrics: int | None = None) -> Source:
    """Return a row of benchmarks/no_public_data.py, with all its metrics or with the first ones."""
    ours = ("AUC", "accurate: accuracy", "F1", "log loss")  # accuracy is that of other fits
    peers = ("AUC", "accuracy", "F1 at prior", "log loss")
    metrics = ("RMSE",) if data in ("housing", "wine") else ours if model == "ours" else peers
    return Source("no_public_data", data, model, metrics[:n_metrics])


def models(data: str) -> dict[str, str]:
    """Return the models of benchmarks/no_public_data.py, by the names that pages give them."""
    linear = "LinearRegression" if data in ("housing", "wine") else "LogisticRegression"
    return {
        "skdistill": "ours",
        "DP-EBM": "dp_ebm",
        f"diffprivlib {linear}": "diffprivlib",
        "MST and boosting": "synthesiser",
    }


def alone_rows(data: str, name: str) -> tuple[tuple[str, Source], ...]:
    """Return our row and the peers' for a data set."""
    return tuple(
        (f"{name}: {label}" if model == "ours" else f"*peer:* {label}", alone(data, model))
        for label, model in models(data).items()
    )


def rounds(data: str, *metrics: str) -> Source:
    """Return a row of benchmarks/gradient_rounds.py."""
    return Source("gradient_rounds", data, "gradient rounds", metrics or ("RMSE",))


NEWTON = rounds("adult", "AUC", "F1 at prior")
BOUNDS = ("ours", "private_bounds")


@dataclass(frozen=True)
class Table:
    """A table of a page: heads of the columns, widths, and rows with their label and cells."""

    page: str
    heads: tuple[str, ...]
    widths: tuple[int, ...]
    rows: tuple[tuple[str, tuple[tuple[Source, float | None], ...]], ...]
    spreads: bool = True

    def __str__(self) -> str:
        """Return the table as reStructuredText."""
        cells = [self.heads]
        for label, sources in self.rows:
            cells.append((label, *(cell(s.at(epsilon), self.spreads) for s, epsilon in sources)))
        lines = [".. list-table::", "   :header-rows: 1", "   :class: figures"]
        if self.widths:
            lines.append("   :widths: " + " ".join(map(str, self.widths)))
        lines.append("")
        for row in cells:
            lines += [f"   {' ' if i else '*'} - {each}".rstrip() for i, each in enumerate(row)]
        return "\n".join(lines) + "\n"


def by_epsilon(
    page: str,
    head: str,
    epsilons: tuple[float, ...],
    widths: tuple[int, ...],
    rows: tuple[tuple[str, Source], ...],
    **settings: bool,
) -> Table:
    """Return a table with one value of ε a column; `widths` are those of the first and another."""
    first, *others = [f"{epsilon:g}" for epsilon in epsilons]
    filled = tuple((label, tuple((source, e) for e in epsilons)) for label, source in rows)
    all_widths = widths[:1] + widths[1:] * len(epsilons)
    return Table(page, (head, f"ε = {first}", *others), all_widths, filled, **settings)


TABLES = {  # by the name that a comment of the page gives
    "adult": by_epsilon(
        "benchmarks",
        "student of",
        (0.1, *SMALL),
        (34, 13),
        (
            ("NewtonClassifier, its released model", NEWTON),
            ("1,000 nearest neighbours, 2,000 rows", adult("1000 nearest neighbours")),
            ("800 logistic regressions, ResidualRounds()", adult("800 LR, auto rounds")),
            ("the same, plain PATE", adult("800 LR, plain PATE")),
            ("500 logistic regressions, ResidualRounds()", adult("500 LR, auto rounds")),
            ("the same, plain PATE", adult("500 LR, plain PATE")),
            ("300 random forests, 2 rounds", adult("300 forests, 2 rounds")),
            ("the same, plain PATE", adult("300 forests, plain PATE")),
            ("one LogisticRegression, worst case", adult("LogisticRegression")),
            ("*peer:* diffprivlib LogisticRegression", adult("diffprivlib LogisticRegression")),
            ("*peer:* DP-EBM", adult("DP-EBM")),
        ),
        spreads=False,
    ),
    "mnist": by_epsilon(
        "benchmarks",
        "release",
        LARGE[:3],
        (46, 18),
        (
            ("`ResidualRounds()`", mnist("auto rounds, SVC")),
            ("two rounds", mnist("two rounds, SVC")),
            ("one round, smoothed", mnist("one round, smoothed, SVC")),
            ("one round (soft PATE)", mnist("one round (soft PATE), SVC")),
            ("noisy_max with LabelSpreading", mnist("noisy_max, LabelSpreading")),
            ("confident_max with LabelSpreading", mnist("confident_max, LabelSpreading")),
        ),
    ),
    "networks": Table(
        "benchmarks",
        ("teachers and student", "one teacher", "their mean", "student, no noise")
        + ("default", "likeliest", "two rounds"),
        (),
        tuple(
            (kind, network(kind))
            for kind in ("Keras", "PyTorch", "SVC, 50 components", "LogisticRegression")
        ),
    ),
    "housing": by_epsilon(
        "benchmarks",
        "model",
        LARGE,
        (40, 15),
        (
            ('312 Ridge teachers ("auto"), 2 rounds', housing('312 ("auto") Ridge, auto rounds')),
            ("250 Ridge teachers, 2 rounds", housing("250 Ridge, auto rounds")),
            ("250 Ridge teachers, one round", housing("250 Ridge, one round")),
            ("*peer:* DP-EBM, the eight raw columns", housing("DP-EBM, its eight columns")),
            ("*peer:* DP-EBM, our features", housing("DP-EBM, our features")),
            ("*peer:* diffprivlib LinearRegression", housing("diffprivlib LinearRegression")),
        ),
    ),
    "housing_rounds": by_epsilon(
        "benchmarks",
        "NewtonRegressor",
        SMALL,
        (40, 15),
        (
            ("on splines", rounds("housing, pairs=None")),
            ("with products of two columns", rounds("housing, pairs=auto")),
        ),
    ),
    "private_classes": by_epsilon(
        "benchmarks",
        "",
        SMALL,
        (20, 20),
        (*alone_rows("adult", "Adult"), *alone_rows("credit", "credit default")),
    ),
    "private_german": by_epsilon(
        "benchmarks", "", LARGE, (20, 20), alone_rows("german", "German credit")
    ),
    "private_numbers": by_epsilon(
        "benchmarks",
        "",
        SMALL,
        (32, 17),
        (*alone_rows("housing", "California housing"), *alone_rows("wine", "wine")),
    ),
    "private_bounds": Table(
        "guide/no_public_data",
        ("", "stated bounds, ε = 0.5", "private, 0.5", "stated, 1", "private, 1"),
        (28, 18, 18, 18, 18),
        tuple(
            (name, tuple((alone(data, m, 1), e) for e in (0.5, 1.0) for m in BOUNDS))
            for data, name in (
                ("adult", "Adult"),
                ("credit", "credit default"),
                ("german", "German credit"),
                ("housing", "California housing"),
                ("wine", "wine"),
            )
        ),
    ),
    "compared_adult": by_epsilon(
        "comparison",
        "model",
        SMALL,
        (),
        (
            ("skdistill, NewtonClassifier", NEWTON),
            ("skdistill, 800 logistic regressions on shards", adult("800 LR, auto rounds")),
            ("skdistill, 300 random forests on shards", adult("300 forests, 2 rounds")),
            ("plain PATE, soft votes, 800 logistic regressions", adult("800 LR, plain PATE")),
            (
                "diffprivlib LogisticRegression (our features, C tuned on test, δ = 0)",
                adult("diffprivlib LogisticRegression"),
            ),
            ("DP-EBM", adult("DP-EBM")),
        ),
        spreads=False,
    ),
    "compared_housing": by_epsilon(
        "comparison",
        "model",
        LARGE[:3],
        (),
        (
            (
                "skdistill, NewtonRegressor with products of two columns",
                rounds("housing, pairs=auto"),
            ),
            (
                "skdistill, 312 ridge regressions on shards",
                housing('312 ("auto") Ridge, auto rounds'),
            ),
            ("DP-EBM, raw columns", housing("DP-EBM, its eight columns")),
            ("DP-EBM, our features", housing("DP-EBM, our features")),
            ("diffprivlib LinearRegression", housing("diffprivlib LinearRegression")),
        ),
        spreads=False,
    ),
    "compared_classes": Table(
        "comparison",
        ("ε = 1", "Adult", "credit default", "German credit"),
        (28, 24, 24, 24),
        tuple(
            (name, tuple((alone(data, model), 1.0) for data in ("adult", "credit", "german")))
            for name, model in models("adult").items()
        ),
        spreads=False,
    ),
    "compared_numbers": Table(
        "comparison",
        ("", "housing, ε = 0.25", "1", "2", "wine, ε = 0.25", "1", "2"),
        (28, *[12] * 6),
        tuple(
            (name, tuple((alone(d, m), e) for d in ("housing", "wine") for e in (0.25, 1.0, 2.0)))
            for name, m in models("wine").items()
        ),
        spreads=False,
    ),
}


def number(value: float) -> str:
    """Return three digits after the point below one, two below ten, and none above."""
    if value < 10:
        return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.2f}"
    return f"{value:,.0f}"


def cell(scores: list[tuple[float, float | None]], spreads: bool) -> str:
    """Return the text of a cell: means, and the spread of the first metric where there is one."""
    texts = [number(mean) for mean, _ in scores]
    if spreads and scores and scores[0][1] is not None:
        texts[0] += f" ± {number(scores[0][1])}"
    return " / ".join(texts) or "–"


def page(name: str) -> str:
    """Return a page with its tables made anew."""
    text = (DOCS / f"{name}.rst").read_text("utf-8")
    expected = sorted(table for table in TABLES if TABLES[table].page == name)
    marked = (
        r"(\.\. draw_figures\.py makes the table (\w+)\n\n)\.\. list-table::\n(?: .*\n|\n(?= ))*"
    )
    found = sorted(match[1] for match in re.findall(marked, text))
    if found != expected:
        raise SystemExit(f"{name}.rst has the tables {found}, not {expected}.")
    return re.sub(marked, lambda match: match[1] + str(TABLES[match[2]]), text)


@dataclass(frozen=True)
class Curve:
    """A curve of a chart: name, colour, dashes, and figures."""

    name: str
    color: str
    dash: str
    source: Source

    def points(self, epsilons: tuple[float, ...], low: float, high: float) -> list[tuple]:
        """Return ε and value where the value is known and inside the axes."""
        found = [(epsilon, self.source.at(epsilon)) for epsilon in epsilons]
        return [(e, s[0][0]) for e, s in found if s and low <= s[0][0] <= high]


@dataclass(frozen=True)
class Panel:
    """One pair of axes: ε on a logarithmic scale, values between two ends, and marks."""

    title: str
    curves: tuple[Curve, ...]
    epsilons: tuple[float, ...]
    ends: tuple[float, float]
    marks: tuple[float, ...]
    without: tuple[tuple[str, float], ...] = ()  # values without privacy


RUST, BLUE, GREEN, VIOLET, GREY = "#c2410c", "#0e7490", "#7c8a2e", "#8b6fc4", "#7f7f7f"


def without_privacy(model: str) -> float:
    """Return the AUC on Adult of a model without privacy."""
    return adult(model).at(None)[0][0]


def adult_panel() -> Panel:
    """Return the chart of the landing page."""
    curves = (
        Curve("skdistill, gradient rounds", RUST, "", NEWTON),
        Curve("skdistill, 800 models on shards", BLUE, "", adult("800 LR, auto rounds")),
        Curve("plain PATE, the same 800 models", GREY, "2 4", adult("800 LR, plain PATE")),
        Curve(
            "diffprivlib LogisticRegression", GREEN, "7 4", adult("diffprivlib LogisticRegression")
        ),
        Curve("DP-EBM", VIOLET, "7 4", adult("DP-EBM")),
    )
    without = (
        ("no privacy, logistic regression", without_privacy("LogisticRegression")),
        ("no privacy, gradient boosting", without_privacy("HistGradientBoosting")),
    )
    marks = (0.80, 0.84, 0.88, 0.92)
    return Panel("area under the ROC curve", curves, (0.1, *SMALL), (0.80, 0.93), marks, without)


def alone_panels() -> list[Panel]:
    """Return the charts of private tables, one for each data set."""
    layouts = {
        "adult": ("Adult, AUC", (0.80, 0.93), (0.80, 0.84, 0.88, 0.92), SMALL),
        "credit": ("credit default, AUC", (0.60, 0.79), (0.60, 0.66, 0.72, 0.78), SMALL),
        "german": ("German credit, AUC", (0.52, 0.78), (0.52, 0.60, 0.68, 0.76), LARGE),
        "housing": ("housing, RMSE", (50_000, 90_000), (50_000, 60_000, 70_000, 80_000), SMALL),
        "wine": ("wine, RMSE", (0.65, 1.4), (0.7, 0.9, 1.1, 1.3), SMALL),
    }
    panels = []
    for data, (title, ends, marks, epsilons) in layouts.items():
        curves = (
            Curve("skdistill", RUST, "", alone(data, "ours")),
            Curve("diffprivlib, linear", GREEN, "7 4", alone(data, "diffprivlib")),
            Curve("DP-EBM", VIOLET, "7 4", alone(data, "dp_ebm")),
            Curve("MST and boosting", GREY, "", alone(data, "synthesiser")),
        )
        panels.append(Panel(title, curves, epsilons, ends, marks))
    return panels


def svg(size: tuple[int, int], phone: bool, label: str, lines: list[str]) -> str:
    """Return a picture that the pages show on wide screens, or on phones."""
    head = (
        f'<svg class="drawn only-{"phone" if phone else "wide"}" '
        f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img"\n'
        f'     aria-label="{label}"\n'
        '     font-family="system-ui, sans-serif" font-size="14" fill="currentColor">'
    )
    return "\n".join([head, *lines, "</svg>", ""])


def axes(panel: Panel, box: tuple[int, int, int, int]) -> list[str]:
    """Return the grid, the marks and the curves of a panel inside left, right, top, bottom."""
    left, right, top, bottom = box
    start, end = math.log(panel.epsilons[0]), math.log(panel.epsilons[-1])
    low, high = panel.ends

    def x(epsilon: float) -> float:
        return left + (math.log(epsilon) - start) / (end - start) * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    lines = []
    for mark in panel.marks:
        text = f"{mark:,.0f}" if mark > 10 else f"{mark:.2f}"
        lines.append(
            f'  <path d="M{left} {y(mark):.1f}H{right}" stroke="currentColor" opacity=".2"/>'
            f'<text x="{left - 8}" y="{y(mark) + 5:.1f}" text-anchor="end">{text}</text>'
        )
    for epsilon in panel.epsilons:
        lines.append(
            f'  <text x="{x(epsilon):.1f}" y="{bottom + 22}" '
            f'text-anchor="middle">{epsilon:g}</text>'
        )
    for name, value in panel.without:
        beside = right - left < 400  # on phones the name stands inside the axes
        place = (left + 8, y(value) - 5) if beside else (right + 12, y(value) + 5)
        lines.append(
            f'  <path d="M{left} {y(value):.1f}H{right}" stroke="currentColor" stroke-width="1.5" '
            f'stroke-dasharray="1 4"/><text x="{place[0]}" y="{place[1]:.1f}">'
            f"{escape(name)} {value:.3f}</text>"
        )
    for curve in panel.curves:
        points = [(x(e), y(value)) for e, value in curve.points(panel.epsilons, low, high)]
        if len(points) > 1:
            path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
            lines.append(
                f'  <path d="{path}" fill="none" stroke="{curve.color}" stroke-width="2.5" '
                f'stroke-dasharray="{curve.dash}"/>'
            )
        lines += [
            f'  <circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{curve.color}"/>' for a, b in points
        ]
    return lines


def legend(curves: tuple[Curve, ...], left: int, top: int) -> list[str]:
    """Return the names of curves, one below the other."""
    return [
        f'  <path d="M{left} {top + 26 * i}h28" stroke="{curve.color}" stroke-width="2.5" '
        f'stroke-dasharray="{curve.dash}"/><text x="{left + 36}" y="{top + 26 * i + 5}">'
        f"{escape(curve.name)}</text>"
        for i, curve in enumerate(curves)
    ]


def adult_chart(phone: bool) -> str:
    """Return the chart of Adult; on phones, the names of curves stand below the axes."""
    panel, top, bottom = adult_panel(), 20, 300
    size, left, right = ((400, 500), 68, 388) if phone else ((860, 350), 62, 560)
    lines = axes(panel, (left, right, top, bottom))
    lines.append(
        f'  <text x="{(left + right) / 2}" y="{bottom + 44}" text-anchor="middle">'
        "ε of the whole release (smaller is more private)</text>"
    )
    lines.append(
        f'  <text transform="translate(16 {(top + bottom) / 2}) rotate(-90)" '
        f'text-anchor="middle">{panel.title}</text>'
    )
    place = (left, bottom + 76) if phone else (right + 14, top + 110)
    label = "Area under the ROC curve on Adult against epsilon; the table of the benchmarks page"
    lines += legend(panel.curves, *place)
    return svg(size, phone, label + " holds the same figures.", lines)


def alone_chart(phone: bool) -> str:
    """Return the charts of private tables side by side."""
    panels, lines = alone_panels(), []
    columns, wide, high = (1, 400, 230) if phone else (3, 286, 250)
    for i, panel in enumerate(panels):
        left, top = 62 + i % columns * wide, 30 + i // columns * high
        right, bottom = left + wide - 78, top + high - 80
        lines.append(f'  <text x="{left}" y="{top - 12}" font-weight="600">{panel.title}</text>')
        lines += axes(panel, (left, right, top, bottom))
    place = (62, 30 + 5 * high) if phone else (62 + 2 * wide, 60 + high)
    lines += legend(panels[0].curves, *place)
    size = (400, 30 + 5 * high + 110) if phone else (860, 2 * high)
    label = (
        "Five data sets without public rows, against epsilon; the tables below hold the figures."
    )
    return svg(size, phone, label, lines)


def made() -> dict[Path, str]:
    """Return every file that is made from figures, with its text."""
    names = sorted({table.page for table in TABLES.values()})
    files = {DOCS / f"{name}.rst": page(name) for name in names}
    for phone, end in ((False, ""), (True, "-phone")):
        files[DOCS / "_static" / f"chart{end}.svg"] = adult_chart(phone)
        files[DOCS / "_static" / f"chart-private{end}.svg"] = alone_chart(phone)
    return files


def stale() -> list[str]:
    """Return the names of files that differ from the figures."""
    return [
        file.name
        for file, text in made().items()
        if not file.exists() or file.read_text("utf-8") != text
    ]


def main() -> int:
    """Write the files, or with ``--check`` say which are out of date."""
    if "--check" in sys.argv:
        if found := stale():
            print(f"out of date, run python docs/draw_figures.py: {found}", file=sys.stderr)
        return int(bool(found))
    for file, text in made().items():
        file.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
