"""How time and memory grow with rows, columns, classes and teachers.

Four ways through the package, on made-up data with one size changed at a time:

- newton: ``NewtonClassifier.fit`` on private rows, and ``PrivateDistiller.release`` of its model
  on 2,000 public rows;
- distiller: ``PrivateDistiller.fit`` on public rows, with a LogisticRegression as teacher (its
  certificate is the worst case) and as student;
- ensemble: ``TeacherEnsemble(LogisticRegression()).fit`` on private rows, and a release of its
  labels of 2,000 public rows;
- table: ``PrivateClassifier.fit`` on a private data frame, in which every second column is one of
  five categories.

Each cell of the table is a process of its own: CPU seconds of the work, without imports and the
making of data; the memory that the work takes beyond what was there before it, in GB and as a
multiple of X; and the exponents of both against the size before, log(after / before) divided by the
logarithm of the sizes' ratio. 1 is linear, 0 is no growth. Small cells measure what every call
costs. A cell that needs more than the caps is not measured; its reason stands in its place, and
larger sizes are not tried.

    python benchmarks/growth.py --quick
    OMP_NUM_THREADS=1 python benchmarks/growth.py [--only newton ...] [--sizes rows ...]
        [--seconds 600] [--gigabytes 8]

Nothing here fails: it shows where growth is more than linear.
"""

import argparse
import json
import math
import re
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _environment import environment
from sklearn.linear_model import LogisticRegression

from skdistill import NewtonClassifier, PrivateClassifier, PrivateDistiller, Schema, TeacherEnsemble

Array = np.ndarray
Work = Callable[[Any], object]

PUBLIC_ROWS = 2_000
CELLS_A_ROW = 20  # of a sparse table
CATEGORIES = np.array(["one", "two", "three", "four", "five"], dtype=object)


@dataclass(frozen=True)
class Size:
    """The numbers that a cell is measured at."""

    rows: int = 20_000
    columns: int = 20
    classes: int = 2
    teachers: int = 100
    sparse: bool = False


FULL: dict[str, tuple[int, ...]] = {
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
    "columns": (10, 100, 1_000, 10_000),
    "sparse": (100, 1_000, 10_000, 100_000),
    "classes": (2, 10, 100, 1_000),
    "teachers": (10, 100, 1_000),
}
QUICK: dict[str, tuple[int, ...]] = {
    "rows": (10_000, 100_000),
    "columns": (10, 100, 500),
    "sparse": (100, 1_000, 5_000),
    "classes": (2, 10, 50),
    "teachers": (10, 100),
}


def rows_of(size: Size, seed: int = 0) -> Any:
    """Return normal numbers, or a sparse table of them."""
    rng, shape = np.random.default_rng(seed), (size.rows, size.columns)
    if not size.sparse:
        return rng.standard_normal(shape)
    cells = size.rows * CELLS_A_ROW
    places = np.sort(rng.integers(0, size.columns, (size.rows, CELLS_A_ROW)), axis=1).ravel()
    ends = np.arange(size.rows + 1) * CELLS_A_ROW
    X = sp.csr_array((rng.standard_normal(cells), places, ends), shape=shape)
    X.sum_duplicates()
    return X


def labels_of(X: Any, classes: int) -> Array:
    """Return labels that the first ten columns tell something about; each class occurs."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((10, classes))
    y = np.empty(X.shape[0], dtype=np.int64)
    step = max(1, 10_000_000 // classes)
    for start in range(0, len(y), step):
        part = X[start : start + step, :10]
        scores = (part.toarray() if sp.issparse(part) else part) @ weights
        y[start : start + step] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    y[:classes] = np.arange(classes)
    return y


def newton(size: Size) -> tuple[Any, Work]:
    X = rows_of(size)
    y, public = labels_of(X, size.classes), rows_of(replace(size, rows=PUBLIC_ROWS), 2)
    return X, lambda X: PrivateDistiller(NewtonClassifier().fit(X, y)).release(public)


def distiller(size: Size) -> tuple[Any, Work]:
    X = rows_of(size)
    teacher, n = LogisticRegression(), 1 if size.classes == 2 else size.classes
    teacher.classes_, teacher.n_features_in_ = np.arange(size.classes), size.columns
    teacher.coef_ = np.random.default_rng(1).standard_normal((n, size.columns))
    teacher.coef_ /= math.sqrt(size.columns)
    teacher.intercept_ = np.zeros(n)
    student = LogisticRegression(C=1e-3, max_iter=1000)
    return X, PrivateDistiller(teacher, student, epsilon=1000.0).fit


def ensemble(size: Size) -> tuple[Any, Work]:
    X = rows_of(size)
    y, public = labels_of(X, size.classes), rows_of(replace(size, rows=PUBLIC_ROWS), 2)
    teachers = TeacherEnsemble(LogisticRegression(), size.teachers, random_state=0)
    return X, lambda X: PrivateDistiller(teachers.fit(X, y)).release(public)


def table(size: Size) -> tuple[Any, Work]:
    X = rows_of(size)
    y = labels_of(X, size.classes)
    columns: dict[str, Any] = {}
    for j in range(size.columns):
        codes = np.clip(np.floor(2.5 + X[:, j]), 0, 4).astype(int)
        columns[f"x{j}"] = CATEGORIES[codes] if j % 2 else X[:, j].copy()
    del X
    schema = Schema({f"x{j}": [*CATEGORIES] if j % 2 else (-6.0, 6.0) for j in range(size.columns)})
    model = PrivateClassifier(schema=schema, classes=range(size.classes), epsilon=1.0, delta=1e-9)
    frame = pd.DataFrame(columns)
    return frame, lambda X: model.fit(X, y)


WAYS = {"newton": newton, "distiller": distiller, "ensemble": ensemble, "table": table}
SWEEPS = {
    "newton": ("rows", "columns", "sparse", "classes"),
    "distiller": ("rows", "columns", "sparse", "classes"),
    "ensemble": ("rows", "columns", "sparse", "classes", "teachers"),
    "table": ("rows", "columns", "classes"),
}


def bytes_of(X: Any) -> int:
    if isinstance(X, pd.DataFrame):
        return int(X.memory_usage(index=False).sum())
    return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) if sp.issparse(X) else X.nbytes


def in_kilobytes(name: str) -> int:
    """Return the resident memory now (VmRSS) or at most (VmHWM) of this process."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def run_once(way: str, size: Size, gigabytes: float, seconds: float) -> None:
    """In a child: make the data, do the work; print seconds, GB beyond the start, and GB of X."""
    warnings.simplefilter("ignore")
    X, work = WAYS[way](Size(rows=500, teachers=2))
    work(X)  # imports, and pools of BLAS
    most = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    until = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, until + 5))
    try:
        X, work = WAYS[way](size)
        # Forget the peak of the making of data.
        Path("/proc/self/clear_refs").write_text("5")
        before, began = in_kilobytes("VmRSS"), time.process_time()
        work(X)
        took = time.process_time() - began
        beyond = (in_kilobytes("VmHWM") - before) / 2**20
        print(json.dumps([took, beyond, bytes_of(X) / 2**30]))
    except MemoryError:
        print(json.dumps(f"needs more than {gigabytes:g} GB"))
    except ValueError as error:  # the package says no: too little memory is no reason for it
        print(json.dumps(" ".join(str(error).split())[:100]))


def measured(way: str, size: Size, args: argparse.Namespace) -> list[float] | str:
    """Return the numbers of one cell, the least of several runs; or a reason."""
    runs = []
    for _ in range(args.repeats):
        cell = json.dumps([way, asdict(size), args.gigabytes, args.seconds])
        command = [sys.executable, __file__, "--once", cell]
        child = subprocess.run(command, capture_output=True, check=False)
        if child.returncode == -signal.SIGXCPU:
            return f"takes more than {args.seconds:g} s"
        if child.returncode:
            said = child.stderr.decode(errors="replace").strip().splitlines()
            return f"ended with {child.returncode}: {said[-1][:100] if said else 'killed'}"
        found = json.loads(child.stdout)
        if isinstance(found, str):
            return found
        runs.append(found)
    return [min(column) for column in zip(*runs, strict=True)]


def exponent(before: float, after: float, ratio: float) -> str:
    """Return the slope between two sizes; none where there is nothing to take a logarithm of."""
    if before <= 0 or after <= 0:
        return ""
    return f"{math.log(after / before) / math.log(ratio):.2f}"


def sweep(way: str, name: str, sizes: tuple[int, ...], args: argparse.Namespace) -> None:
    """Print a line for each size."""
    last: tuple[int, list[float]] | None = None
    for number in sizes:
        named: dict[str, Any] = {"columns" if name == "sparse" else name: number}
        found = measured(way, Size(**named, sparse=name == "sparse"), args)
        label = f"{way:11}{name:9}{number:12,}  "
        if isinstance(found, str):
            print(f"{label}{found}", flush=True)
            return
        seconds, beyond, own = found
        slopes = ["", ""]
        if last is not None:
            pairs = zip(last[1][:2], found[:2], strict=True)
            slopes = [exponent(*pair, number / last[0]) for pair in pairs]
        print(
            f"{label}{seconds:8.2f} s{slopes[0]:>6}  {beyond:8.3f} GB{slopes[1]:>6}  "
            f"{beyond / own:8.2f} X of {own:.3f} GB",
            flush=True,
        )
        last = number, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, in minutes")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--sizes", nargs="+", choices=FULL, default=list(FULL))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600.0, help="most CPU time of a cell")
    parser.add_argument("--gigabytes", type=float, default=8.0, help="most memory of a cell")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        way, size, gigabytes, seconds = json.loads(args.once)
        run_once(way, Size(**size), gigabytes, seconds)
        return
    print(environment())
    given = asdict(Size())
    print("unless swept: " + ", ".join(f"{given[n]:,} {n}" for n in given if n != "sparse"))
    heads = f"{'way':11}{'swept':9}{'size':>12}  {'CPU time':>10}{'exp.':>6}"
    print(f"{heads}  {'beyond X':>11}{'exp.':>6}")
    for way in args.only:
        for name in (name for name in SWEEPS[way] if name in args.sizes):
            sweep(way, name, (QUICK if args.quick else FULL)[name], args)


if __name__ == "__main__":
    main()
