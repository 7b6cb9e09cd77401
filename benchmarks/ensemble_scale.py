"""Size and time of a release from many teachers.

1. Labels of 1,000 teachers for 100,000 rows and ten classes, in a process of its own: peak memory
   and time, where the cube of all votes would take 8 GB. LogisticRegression on 20 features, the
   labels released in two residual rounds, in one, and by noisy_max.
2. A one-round release (``PrivateDistiller.release``: votes brought on the simplex and the lattice,
   summed, exact noise) against merely calling the same teachers with the same number of jobs,
   ``member.predict_proba(X)`` of each: the ratio of the two times, in turns, median of several
   repeats. The cheaper the teachers, the dearer the rest: LogisticRegression, one product of
   small matrices, is the worst case there is.

    OMP_NUM_THREADS=1 python benchmarks/ensemble_scale.py [--teachers 1000] [--rows 100000]
        [--n-jobs 1] [--only scale]

Times are CPU times of the process for one job (a busy machine does not matter), by the clock for
more. Nothing is tuned. Peaks are by ``getrusage``, without those of workers, if there are any.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from _environment import environment
from joblib import Parallel, delayed
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.teachers import TeacherEnsemble

FEATURES, CLASSES, SHARD = 20, 10, 100
SETTINGS: dict[str, dict[str, Any]] = {
    "two residual rounds": {},
    "one round": {"mechanism": ResidualRounds(n_rounds=1)},
    "noisy_max": {"mechanism": "noisy_max"},
}
MEMBERS = {
    "GaussianNB": GaussianNB(),
    "LogisticRegression": LogisticRegression(max_iter=200),
    "RandomForest, 20 trees": RandomForestClassifier(20, random_state=0),
    "SVC (hard votes)": SVC(),
    "HistGradientBoosting": HistGradientBoostingClassifier(max_iter=20),
}

Array = np.ndarray


def private(teachers: int) -> tuple[Array, Array]:
    """Shards of 100 rows."""
    return make_classification(
        teachers * SHARD, FEATURES, n_informative=10, n_classes=CLASSES, random_state=0
    )


def clock(jobs: int) -> Callable[[], float]:
    """CPU time where all work is in this process, so that a busy machine does not matter."""
    return time.process_time if jobs == 1 else time.perf_counter


def scale(setting: str, teachers: int, rows: int, jobs: int) -> None:
    """In a child: fit, release; print seconds of both and the peak in GB."""
    X = np.random.default_rng(0).normal(size=(rows, FEATURES)) * 2
    now = clock(jobs)
    began = now()
    teacher = TeacherEnsemble(MEMBERS["LogisticRegression"], teachers, random_state=0, n_jobs=jobs)
    teacher.fit(*private(teachers))
    fitted = now()
    distiller = PrivateDistiller(teacher, epsilon=1.0, delta=1e-6, **SETTINGS[setting])
    labels = distiller.release(X)
    assert labels.shape == (rows, CLASSES)
    released = now()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([fitted - began, released - fitted, peak]))


def overhead(name: str, teachers: int, rows: int, jobs: int, repeats: int) -> tuple[float, float]:
    """Median seconds of calling the members, and of a one-round release."""
    X = np.random.default_rng(0).normal(size=(rows, FEATURES)) * 2
    teacher = TeacherEnsemble(MEMBERS[name], teachers, random_state=0, n_jobs=jobs)
    teacher.fit(*private(teachers))
    ask = "predict_proba" if hasattr(teacher.estimators_[0], "predict_proba") else "predict"
    distiller = PrivateDistiller(
        teacher, epsilon=1.0, delta=1e-6, mechanism=ResidualRounds(n_rounds=1)
    )
    now = clock(jobs)
    called, released = [], []
    for _ in range(repeats):
        began = now()
        for _ in Parallel(n_jobs=jobs, return_as="generator")(
            delayed(getattr(member, ask))(X) for member in teacher.estimators_
        ):
            pass
        between = now()
        distiller.release(X)
        called.append(between - began)
        released.append(now() - between)
    return median(called), median(released)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teachers", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["scale", "overhead"])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # noise is no matter here
    if args.child:
        setting, *numbers = args.child
        scale(setting, *map(int, numbers))
        return
    print(environment())
    print(f"{args.n_jobs} job(s)")
    if args.only != "overhead":
        teachers, rows = args.teachers, args.rows
        print(f"\n{teachers:,} teachers (LogisticRegression), {rows:,} rows, {CLASSES} classes")
        print(f"{'release':28}{'fit':>9}{'release':>11}{'peak':>10}")
        for setting in SETTINGS:
            numbers = [str(n) for n in (teachers, rows, args.n_jobs)]
            command = [sys.executable, __file__, "--child", setting, *numbers]
            fit, release, peak = json.loads(subprocess.check_output(command))
            print(f"{setting:28}{fit:7.1f} s{release:9.1f} s{peak:7.2f} GB", flush=True)
    if args.only != "scale":
        teachers, rows = args.teachers // 10, args.rows // 5
        print(f"\none round of {teachers:,} teachers on {rows:,} rows, against calling them")
        print(f"{'teachers':28}{'calls':>9}{'release':>11}{'ratio':>10}")
        for name in MEMBERS:
            called, released = overhead(name, teachers, rows, args.n_jobs, args.repeats)
            print(f"{name:28}{called:7.2f} s{released:9.2f} s{released / called:10.2f}", flush=True)


if __name__ == "__main__":
    main()
