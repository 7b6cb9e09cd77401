"""Time to train a student on soft labels, compared with its parts, and how it grows.

Fit: ``PrivateDistiller.fit`` on 300,000 x 20 public rows beside its parts written by hand,
``teacher.predict_proba(X)`` and a student without copies of X: "soft", the cross-entropy of (X, Y)
in plain NumPy with SciPy's L-BFGS-B, or "hard", scikit-learn's ``LogisticRegression.fit`` on the
arg-max labels. "no basis" is ``PrivateDistiller.fit`` with ``SoftLabels(basis=None)``: without the
smoothing of the labels, which reads X more often than the student does. Growth: the student alone,
on 2 to 100 classes, beside the same, and "copies", scikit-learn's fit on one weighted copy of X per
class.

Each repetition is a process of its own, the ways take turns, and the table shows medians of CPU
seconds and of peak memory (all of the process, X and libraries included).

    python benchmarks/students.py [--rows 300000] [--repeats 5] [--only fit]
"""

import argparse
import json
import re
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
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skdistill import NewtonClassifier, PrivateDistiller, SoftLabels
from skdistill.students.soft_targets import fit_on_soft_labels

TEACHERS = {
    "LogisticRegression": LogisticRegression(),
    "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
    "RandomForest": RandomForestClassifier(50, max_leaf_nodes=200, random_state=0),
    "NewtonClassifier": NewtonClassifier(),
}
STUDENT = LogisticRegression(C=1e-3, max_iter=1000)
EPSILON = 1000.0
COPIES_UP_TO = 30  # copies of more classes take minutes and gigabytes


def prepare(folder: Path, kind: str, size: int) -> None:
    """Write the data that the repetitions read, in a process of its own."""
    {"fit": prepare_fit, "growth": prepare_growth}[kind](folder, size)


def prepare_fit(folder: Path, rows: int) -> None:
    """Write X, fitted teachers, and labels as a release makes them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 20))
    y = (X[:20_000, :5].sum(axis=1) + rng.normal(size=len(X[:20_000])) > 0).astype(int)
    for name, teacher in TEACHERS.items():
        joblib.dump(teacher.fit(X[:20_000], y), folder / f"{name}.joblib")
    labels = PrivateDistiller(TEACHERS["LogisticRegression"], epsilon=EPSILON).release(X)
    save(folder, X, labels - (labels.sum(axis=1, keepdims=True) - 1) / 2)


def prepare_growth(folder: Path, n_classes: int) -> None:
    """Write X and noisy labels of many classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 50))
    labels = softmax(X @ rng.normal(size=(50, n_classes)) / 2, axis=1)
    labels += rng.normal(0, 0.1, size=labels.shape)
    save(folder, X, labels - (labels.sum(axis=1, keepdims=True) - 1) / n_classes)


def save(folder: Path, X: np.ndarray, labels: np.ndarray) -> None:
    np.save(folder / "X.npy", X)
    np.save(folder / "labels.npy", labels)


def soft_by_hand(X: np.ndarray, labels: np.ndarray) -> int:
    """Minimise the soft cross-entropy, in arrays of all rows."""
    width, total = labels.shape[1], len(X)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(-1, width)
        z = X @ W[:-1] + W[-1]
        logs = log_softmax(z, axis=1)
        p = np.exp(logs) - labels
        gradient = np.vstack([X.T @ p, p.sum(axis=0)])
        gradient[:-1] += W[:-1] / STUDENT.C
        value = -np.vdot(labels, logs) + np.vdot(W[:-1], W[:-1]) / (2 * STUDENT.C)
        return value / total, gradient.ravel() / total

    start = np.zeros((X.shape[1] + 1) * width)
    options = {"maxiter": 1000, "gtol": 1e-4}
    return minimize(loss, start, jac=True, method="L-BFGS-B", options=options).nit


def copies_by_hand(X: np.ndarray, labels: np.ndarray) -> int:
    """Fit on one weighted copy of X per class."""
    n_classes = labels.shape[1]
    fitted = STUDENT.fit(
        np.concatenate([X] * n_classes),
        np.repeat(np.arange(n_classes), len(X)),
        sample_weight=labels.T.ravel(),
    )
    return fitted.n_iter_[0]


def hard_by_hand(X: np.ndarray, labels: np.ndarray) -> int:
    return STUDENT.fit(X, labels.argmax(axis=1)).n_iter_[0]


def soft_student(X: np.ndarray, labels: np.ndarray) -> int:
    classes = np.arange(labels.shape[1])
    return fit_on_soft_labels(STUDENT, X, labels, classes, {}).n_iter_[0]


def distilled(X: np.ndarray, teacher: object, basis: str | None) -> int:
    mechanism = "auto" if isinstance(teacher, NewtonClassifier) else SoftLabels(basis=basis)
    distiller = PrivateDistiller(teacher, STUDENT, epsilon=EPSILON, mechanism=mechanism)
    return distiller.fit(X).student_.n_iter_[0]


STUDENTS = {
    "soft": soft_by_hand,
    "hard": hard_by_hand,
    "copies": copies_by_hand,
    "skdistill": soft_student,
}


def run_once(folder: Path, way: str, name: str) -> None:
    """Do the work of one repetition; print CPU seconds, peak memory and the solver's steps."""
    X, labels = np.load(folder / "X.npy"), np.load(folder / "labels.npy")
    teacher = joblib.load(folder / f"{name}.joblib") if name else None
    warnings.simplefilter("ignore")
    began = time.process_time()
    if teacher is not None and way in ("skdistill", "no basis"):
        steps = distilled(X, teacher, "auto" if way == "skdistill" else None)
    else:
        if teacher is not None:
            teacher.predict_proba(X)
        steps = STUDENTS[way](X, labels)
    seconds = time.process_time() - began
    print(json.dumps([seconds, peak(), int(steps)]))


def peak() -> float:
    """Return the peak of this process in megabytes; getrusage would count that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10


def measured(folder: Path, ways: list[str], name: str, repeats: int) -> dict[str, list[float]]:
    """Return the medians of seconds, megabytes and solver's steps of each way."""
    runs: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, found in runs.items():
            command = [sys.executable, __file__, "--once", str(folder), way, name]
            found.append(json.loads(subprocess.check_output(command)))
    return {
        way: [median(column) for column in zip(*found, strict=True)] for way, found in runs.items()
    }


def line(name: str, found: dict[str, list[float]]) -> str:
    """Return a line of a table: each way, and its time and memory by each of the by-hand ways'."""
    text = f"{name:21}"
    for way, (seconds, megabytes, steps) in found.items():
        text += f"\n  {way:10} {seconds:7.2f} s {megabytes:6.0f} MB {steps:4.0f} steps"
        for other in ("soft", "hard", "copies"):
            if way in ("skdistill", "no basis") and other in found:
                text += f"   {other} x {seconds / found[other][0]:.2f} / "
                text += f"{megabytes / found[other][1]:.2f}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["fit", "growth"])
    parser.add_argument("--once", nargs=3)
    parser.add_argument("--prepare", nargs=3)
    args = parser.parse_args()
    if args.once:
        run_once(Path(args.once[0]), *args.once[1:])
        return
    if args.prepare:
        prepare(Path(args.prepare[0]), args.prepare[1], int(args.prepare[2]))
        return
    print(environment())
    print("CPU time and peak memory; x: time / memory by those of a way by hand")
    with tempfile.TemporaryDirectory() as temporary:
        folder, command = Path(temporary), [sys.executable, __file__, "--prepare", temporary]
        if args.only != "growth":
            print(f"\nteacher's labels and student, {args.rows:,} x 20 rows, 2 classes")
            subprocess.check_call([*command, "fit", str(args.rows)])
            for name in TEACHERS:
                ways = ["soft", "hard", "skdistill"]
                ways += [] if name == "NewtonClassifier" else ["no basis"]
                print(line(name, measured(folder, ways, name, args.repeats)), flush=True)
        if args.only != "fit":
            print("\nstudent, 20,000 x 50 rows")
            ours = {}
            for n_classes in (2, 10, 30, 100):
                subprocess.check_call([*command, "growth", str(n_classes)])
                ways = ["soft", "hard", *["copies"] * (n_classes <= COPIES_UP_TO), "skdistill"]
                found = measured(folder, ways, "", args.repeats)
                ours[n_classes] = found["skdistill"]
                print(line(f"{n_classes} classes", found), flush=True)
            (few, _, few_steps), (many, _, many_steps) = ours[10], ours[100]
            print(f"\n100 classes by 10 classes: {many / few:.1f} in all, ", end="")
            print(f"{many / many_steps / few * few_steps:.1f} for each step of the solver")


if __name__ == "__main__":
    main()
