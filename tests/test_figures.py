"""Figures of benchmarks: runs are kept as JSON, and pages, charts and README agree with them."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "docs" / "figures").glob("*.json"))
PAGE = (ROOT / "docs" / "benchmarks.rst").read_text("utf-8")


def module(path):
    """Load a script that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, ROOT / path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded  # dataclasses look their module up
    try:
        spec.loader.exec_module(loaded)
    finally:
        del sys.modules[path.stem]
    return loaded


draw = module(Path("docs/draw_figures.py"))
environment = module(Path("benchmarks/_environment.py"))
style = module(Path("docs/gallery_style.py"))


def test_tables_and_charts_are_those_of_the_figures():
    script = [sys.executable, "-X", "utf8", str(ROOT / "docs" / "draw_figures.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("key", "metric", "stale"),
    [
        (
            ("adult", "gradient rounds", 0.5),
            "AUC",
            {"benchmarks.rst", "comparison.rst", "chart.svg", "chart-phone.svg"},
        ),
        (
            ("wine", "ours", 1.0),
            "RMSE",
            {"benchmarks.rst", "comparison.rst", "no_public_data.rst"}
            | {"chart-private.svg", "chart-private-phone.svg"},
        ),
        (("housing", "250 Ridge, one round", 4.0), "RMSE", {"benchmarks.rst"}),
    ],
)
def test_another_figure_makes_pages_and_charts_stale(key, metric, stale, monkeypatch):
    original = draw.figures

    def changed(file):
        found = dict(original(file))
        if key in found:
            found[key] = {**found[key], metric: [found[key][metric][0] * 1.01, None]}
        return found

    monkeypatch.setattr(draw, "figures", changed)
    assert set(draw.stale()) == stale


def test_a_table_without_a_place_on_the_page_is_an_error(monkeypatch):
    monkeypatch.setitem(draw.TABLES, "another", draw.TABLES["adult"])
    with pytest.raises(SystemExit, match="benchmarks.rst has the tables .* not .*'another'"):
        draw.page("benchmarks")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_figures_says_where_they_come_from(path):
    runs = json.loads(path.read_text("utf-8"))
    assert path.read_text("utf-8") == environment.as_json(runs)
    keys = [environment._key(row) for run in runs for row in run["rows"]]
    assert len(keys) == len(set(keys)) > 0
    for run in runs:
        script = run["command"].split()[1]
        assert script == f"benchmarks/{path.stem}.py"
        assert "Figures.option(parser)" in (ROOT / script).read_text("utf-8")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run["date"]) and run["environment"]
        for row in run["rows"]:
            assert all(len(each) == 2 for each in row["scores"].values())


@pytest.mark.parametrize(
    ("begin", "file", "data"),
    [
        ("Without privacy: logistic regression", "adult", {"adult"}),
        ("Without privacy: Ridge", "housing", {"housing"}),
        ("**Where a peer wins.**", "no_public_data", {"german", "credit"}),
        ("All rows are over 10 releases", "mnist", {"mnist"}),
    ],
)
def test_figures_in_sentences_are_those_of_the_runs(begin, file, data):
    (paragraph,) = [each for each in PAGE.split("\n\n") if each.startswith(begin)]
    known = {
        draw.number(mean)
        for key, scores in draw.figures(file).items()
        for mean, _ in scores.values()
        if key[0] in data and (key[2] is None or not begin.startswith("Without privacy"))
    }
    written = re.findall(r"(?<![\d.])(?:\.\d{3}|\d\d,\d{3})(?!\d)", paragraph)
    assert written and set(written) <= known


def readme_rows():
    """Yield start of each row of the README's table, its source and its values of ε."""
    yield "one fitted model of any kind", draw.adult("LogisticRegression")
    yield "`KNeighborsClassifier`", draw.adult("1000 nearest neighbours")
    yield "`NewtonClassifier`", draw.NEWTON
    yield "`PrivateClassifier`", draw.alone("adult", "ours")
    yield "`TeacherEnsemble`, 800 logistic", draw.adult("800 LR, auto rounds")
    yield "the same, plain PATE", draw.adult("800 LR, plain PATE")
    yield "`TeacherEnsemble`, 300 random forests", draw.adult("300 forests, 2 rounds")
    yield "for comparison: diffprivlib", draw.adult("diffprivlib LogisticRegression")
    yield "for comparison: DP-EBM", draw.adult("DP-EBM")


def test_the_table_of_the_readme_has_the_same_figures():
    readme = (ROOT / "README.md").read_text("utf-8")
    for start, source in readme_rows():
        (row,) = re.findall(rf"^\| {re.escape(start)}.*$", readme, re.M)
        cells = [cell.strip() for cell in row.strip("|").split("|")][-4:]
        assert cells == [draw.number(source.at(e)[0][0]) for e in draw.SMALL], start
    without = [
        draw.number(draw.without_privacy(m)) for m in ("LogisticRegression", "HistGradientBoosting")
    ]
    assert " / ".join(without) in readme


def test_a_run_is_kept_with_means_spreads_and_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/some.py", "--only", "two words"])
    file = tmp_path / "some.json"
    figures = environment.Figures(str(file))
    figures.add("wine", "ours", 1.0, ["RMSE"], [0.5, 0.7])
    figures.add("adult", "a peer", np.inf, ("AUC", "F1"), [[0.9, np.nan]])
    (run,) = json.loads(file.read_text("utf-8"))
    assert run["command"] == "python benchmarks/some.py --only 'two words'"
    assert run["rows"] == [
        {
            "data": "wine",
            "model": "ours",
            "epsilon": 1.0,
            "fits": 2,
            "scores": {"RMSE": [0.6, 0.14142]},
        },
        {
            "data": "adult",
            "model": "a peer",
            "epsilon": None,
            "fits": 1,
            "scores": {"AUC": [0.9, None]},
        },
    ]


def test_a_later_run_takes_the_place_of_the_same_rows_alone(tmp_path):
    file = str(tmp_path / "some.json")
    first = environment.Figures(file)
    for epsilon in (1.0, 2.0):
        first.add("wine", "ours", epsilon, ["RMSE"], [0.5])
    environment.Figures(file).add("wine", "ours", 1.0, ["RMSE"], [0.4])
    runs = json.loads(Path(file).read_text("utf-8"))
    found = [[(row["epsilon"], row["scores"]["RMSE"][0]) for row in run["rows"]] for run in runs]
    assert found == [[(2.0, 0.5)], [(1.0, 0.4)]]
    environment.Figures(file).add("wine", "ours", 2.0, ["RMSE"], [0.3])
    assert len(json.loads(Path(file).read_text("utf-8"))) == 2  # the first run has no rows left


def test_without_a_file_nothing_is_kept():
    figures = environment.Figures(None)
    figures.add("wine", "ours", 1.0, ["RMSE"], [0.5])
    assert figures.rows == []


def contrast(one, other):
    """Return the contrast of two colours, as the accessibility guidelines (WCAG 2.1) define it."""

    def luminance(color):
        parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#14181e"])  # of the theme's pages
def test_pictures_are_readable_on_light_and_on_dark_pages(background):
    charts = [curve.color for panel in draw.alone_panels() for curve in panel.curves]
    charts += [curve.color for curve in draw.adult_panel().curves]
    for color in {style.TEXT, *style.CURVES, *charts}:
        assert contrast(color, background) > 3, color


def test_the_settings_of_the_gallery_are_settings_of_matplotlib():
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context():
        style.apply(None, None)
        assert matplotlib.rcParams["text.color"] == style.TEXT
        assert matplotlib.rcParams["figure.facecolor"] == "none"
