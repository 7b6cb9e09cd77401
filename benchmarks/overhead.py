"""What PrivateDistiller.fit costs beyond its parts, on 1,000,000 x 20 rows.

The peer, in the same run: ``teacher.predict_proba(X)`` and ``student.fit`` written by hand with
the same student inputs (one weighted copy of each row per class, the same released labels).
Each repetition is a process of its own; time is that of the work, memory the peak of the process.

    python benchmarks/overhead.py [--rows 1000000] [--repeats 5]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import joblib
import numpy as np
from _environment import environment
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

FEATURES = 20


def prepare(folder: Path, rows: int) -> None:
    """Write X, a fitted teacher and the labels that both ways train on."""
    from skdistill import PrivateDistiller

    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, FEATURES))
    y = (X[:20_000, :5].sum(axis=1) + rng.normal(size=20_000) > 0).astype(int)
    np.save(folder / "X.npy", X)
    for name, teacher in (
        ("LogisticRegression", LogisticRegression()),
        ("HistGradientBoosting", HistGradientBoostingClassifier(random_state=0)),
    ):
        joblib.dump(teacher.fit(X[:20_000], y), folder / f"{name}.joblib")
    distiller = PrivateDistiller(teacher, epsilon=1000.0)
    np.save(folder / "labels.npy", distiller.release(X))


def by_hand(folder: Path, name: str) -> float:
    """Time predict_proba and the student's fit."""
    teacher, X = joblib.load(folder / f"{name}.joblib"), np.load(folder / "X.npy")
    labels = np.load(folder / "labels.npy")
    began = time.perf_counter()
    teacher.predict_proba(X)
    labels -= (labels.sum(axis=1, keepdims=True) - 1) / 2
    LogisticRegression(C=1e-3, max_iter=1000).fit(
        np.concatenate([X, X]), np.repeat([0, 1], len(X)), sample_weight=labels.T.ravel()
    )
    return time.perf_counter() - began


def distilled(folder: Path, name: str) -> float:
    """Time PrivateDistiller.fit."""
    from skdistill import PrivateDistiller

    teacher, X = joblib.load(folder / f"{name}.joblib"), np.load(folder / "X.npy")
    np.load(folder / "labels.npy")  # the same memory and page cache as by hand
    student = LogisticRegression(C=1e-3, max_iter=1000)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PrivateDistiller(teacher, student, epsilon=1000.0).fit(X)
    return time.perf_counter() - began


def child(way: str, folder: str, name: str) -> None:
    seconds = {"by hand": by_hand, "distiller": distilled}[way](Path(folder), name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([seconds, peak]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=3)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return
    print(environment())
    print(f"\nfit on {args.rows:,} x {FEATURES} rows, median of {args.repeats} processes each\n")
    print(f"{'teacher':22}{'by hand':>19}{'PrivateDistiller':>21}{'ratio':>16}")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), args.rows)
        for name in ("LogisticRegression", "HistGradientBoosting"):
            runs: dict[str, list[list[float]]] = {"by hand": [], "distiller": []}
            for _ in range(args.repeats):
                for way, found in runs.items():
                    command = [sys.executable, __file__, "--child", way, folder, name]
                    found.append(json.loads(subprocess.check_output(command)))
            times, peaks = (
                {way: median(run[i] for run in found) for way, found in runs.items()}
                for i in (0, 1)
            )
            cells = [f"{times[way]:6.2f} s {peaks[way]:5.2f} GB" for way in runs]
            ratio = f"{times['distiller'] / times['by hand']:.2f} / "
            ratio += f"{peaks['distiller'] / peaks['by hand']:.2f}"
            print(f"{name:22}{cells[0]:>19}{cells[1]:>21}{ratio:>16}")
    print("\nratio: time / peak memory")


if __name__ == "__main__":
    main()
