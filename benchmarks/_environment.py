"""The environment that a table was measured in, and the figures of a run as JSON."""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np


def environment() -> str:
    """Return one line: Python, package versions, processor, cores."""
    found = []
    peers = ("diffprivlib", "interpret-core", "smartnoise-synth")
    for name in ("numpy", "scipy", "scikit-learn", *peers):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"Python {platform.python_version()}, {', '.join(found)}; {processor()}, "
        f"{os.cpu_count()} cores"
    )


def processor() -> str:
    """Return the processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Figures:
    """The figures of a run, kept in a JSON file beside the printed table.

    The file is a list of runs: command, date, environment, and rows. A row has the data set, the
    model, ε (null without privacy), the number of fits, and for each metric the mean and the
    standard deviation (null for a single fit). A new run goes to the end of the file, and its
    rows take the place of earlier ones of the same data set, model and ε. docs/draw_figures.py
    makes the tables and charts of the documentation from the files in docs/figures.

    Parameters
    ----------
    path : str or None
        The file, which need not exist; None keeps nothing.
    """

    def __init__(self, path: str | None) -> None:
        self.path = None if path is None else Path(path)
        self.earlier = []
        if self.path is not None and self.path.exists():
            self.earlier = json.loads(self.path.read_text("utf-8"))
        self.rows = []

    @staticmethod
    def option(parser: argparse.ArgumentParser) -> None:
        """Add the option ``--json`` to a parser."""
        parser.add_argument("--json", metavar="FILE", help="add the figures to a file of runs")

    def add(
        self, data: str, model: str, epsilon: float, metrics: Sequence[str], scores: Iterable
    ) -> None:
        """Add a row, and write the file: a run that is stopped has kept its rows.

        `scores` has one line a fit and one column a metric; columns that are not a number are
        left out.
        """
        if self.path is None:
            return
        scores = np.asarray(scores, dtype=float).reshape(-1, len(metrics))
        found = {}
        for metric, column in zip(metrics, scores.T, strict=True):
            if not np.isnan(column).any():
                spread = _short(column.std(ddof=1)) if len(column) > 1 else None
                found[metric] = [_short(column.mean()), spread]
        key = {
            "data": data,
            "model": model,
            "epsilon": float(epsilon) if np.isfinite(epsilon) else None,
        }
        self.rows.append({**key, "fits": len(scores), "scores": found})
        run = {
            "command": shlex.join(["python", *sys.argv]),
            "date": date.today().isoformat(),
            "environment": environment(),
            "rows": self.rows,
        }
        self.path.write_text(as_json([*without(self.earlier, self.rows), run]), "utf-8")


def without(runs: list[dict], rows: list[dict]) -> list[dict]:
    """Return runs without the rows that later rows replace, and without runs that lose all."""
    later = {_key(row) for row in rows}
    kept = [{**run, "rows": [r for r in run["rows"] if _key(r) not in later]} for run in runs]
    return [run for run in kept if run["rows"]]


def as_json(runs: list[dict]) -> str:
    """Return runs as JSON, one row a line, so that a difference can be read."""
    texts = []
    for run in runs:
        head = {name: value for name, value in run.items() if name != "rows"}
        rows = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in run["rows"])
        start = json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}")
        texts.append(f'{start},\n  "rows": [\n    {rows}\n  ]\n}}')
    return "[\n" + ",\n".join(texts) + "\n]\n"


def _key(row: dict) -> tuple:
    return row["data"], row["model"], row["epsilon"]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
