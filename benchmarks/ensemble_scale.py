"""Size and time of a release from many teachers.

1. Labels of 1,000 teachers for 100,000 rows and ten classes, in a process of its own: peak memory
   and time, where the cube of all votes would take 8 GB. LogisticRegression on 20 features, the
   labels released in two residual rounds, in one, and by noisy_max.
2. A one-round release (``PrivateDistiller.release``: votes brought on the simplex and the lattice,
   summed, exact noise) against merely calling the same teachers with the same number of jobs,
   ``member.predict_proba(X)`` of each: the ratio of the two times, in turns, median of several
   repeats. The cheaper the teachers, the dearer the rest: LogisticRegression, one product of
   small matrices, is the worst case there is.
3. Fits and releases of 100, 300 and 1,000 members on 30,000 rows of 40 columns, six of them
   numbers and 34 of them categories as in Adult, against the bare loop of joblib that does the
   same: ``clone(member).fit`` on each shard, ``member.predict_proba`` on 5,000 public rows. The
   numbers are ratios, bare loop by package, of CPU times (medians, in turns). Linear members are
   fitted and asked together; a tree is not. "votes" are the members' votes, made integers and
   added up; "release" is all of ``PrivateDistiller.release``: proof, price and noise as well.

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
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.release.residual_rounds import collect_votes
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

ALIKE: dict[str, Any] = {
    "LogisticRegression": LogisticRegression(),
    "Ridge": Ridge(),
    "GaussianNB": GaussianNB(),
    "DecisionTree": DecisionTreeClassifier(max_depth=6, random_state=0),
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


def like_adult() -> tuple[Array, Array]:
    """30,000 rows: six numbers, 34 columns of zeros and ones, four in ten positive."""
    rng = np.random.default_rng(0)
    frequency = rng.uniform(0.02, 0.5, 34)
    X = np.hstack([rng.normal(size=(30_000, 6)), rng.random((30_000, 34)) < frequency])
    score = X @ (0.7 * rng.normal(size=40)) + rng.logistic(size=30_000)
    return X, score - np.quantile(score, 0.6)


def against_loop(member: Any, k: int, repeats: int) -> tuple[float, ...]:
    """Seconds of a bare loop of fits, and how many times as fast are a fit, votes and a release."""
    X, score = like_adult()
    regression = isinstance(member, Ridge)
    y, ask = (score, "predict") if regression else (score > 0, "predict_proba")
    n_classes, output_range = (None, (-10.0, 10.0)) if regression else (2, None)
    shards = np.array_split(np.random.default_rng(1).permutation(len(X)), k)
    mechanism = ResidualRounds(n_rounds=1, basis=None)
    fitted = [clone(member).fit(X[shard], y[shard]) for shard in shards]
    teacher = TeacherEnsemble(member, k, random_state=0).fit(X, y)
    distiller = PrivateDistiller(teacher, mechanism=mechanism, output_range=output_range)
    asked, rows = X[:5000], 5000
    steps: list[Callable[[], Any]] = [
        lambda: Parallel(1)(delayed(clone(member).fit)(X[shard], y[shard]) for shard in shards),
        lambda: TeacherEnsemble(member, k, random_state=0).fit(X, y),
        lambda: Parallel(1)(delayed(getattr(one, ask))(asked) for one in fitted),
        lambda: collect_votes(teacher.member_votes, asked, (), rows, n_classes, output_range),
        lambda: distiller.release(asked),
    ]
    times: list[list[float]] = []
    for _ in range(repeats):
        times.append([])
        for step in steps:
            began = time.process_time()
            step()
            times[-1].append(time.process_time() - began)
    loop, fit, called, votes, released = np.median(times, axis=0)
    return loop, loop / fit, called / votes, called / released


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teachers", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["scale", "overhead", "loop"])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # noise is no matter here
    if args.child:
        setting, *numbers = args.child
        scale(setting, *map(int, numbers))
        return
    print(environment())
    print(f"{args.n_jobs} job(s)")
    if args.only in (None, "loop"):
        print("\nmembers on 30,000 rows of 40 columns, ratios of the bare loop to the package")
        print(f"{'teachers':28}{'loop, fits':>12}{'fit':>8}{'votes':>8}{'release':>8}")
        for name in ALIKE:
            for k in (100, 300, 1000):
                loop, *ratios = against_loop(ALIKE[name], k, args.repeats)
                columns = "".join(f"{ratio:8.1f}" for ratio in ratios)
                print(f"{k:5,} {name:22}{loop:10.2f} s{columns}", flush=True)
    if args.only in (None, "scale"):
        teachers, rows = args.teachers, args.rows
        print(f"\n{teachers:,} teachers (LogisticRegression), {rows:,} rows, {CLASSES} classes")
        print(f"{'release':28}{'fit':>9}{'release':>11}{'peak':>10}")
        for setting in SETTINGS:
            numbers = [str(n) for n in (teachers, rows, args.n_jobs)]
            command = [sys.executable, __file__, "--child", setting, *numbers]
            fit, release, peak = json.loads(subprocess.check_output(command))
            print(f"{setting:28}{fit:7.1f} s{release:9.1f} s{peak:7.2f} GB", flush=True)
    if args.only in (None, "overhead"):
        teachers, rows = args.teachers // 10, args.rows // 5
        print(f"\none round of {teachers:,} teachers on {rows:,} rows, against calling them")
        print(f"{'teachers':28}{'calls':>9}{'release':>11}{'ratio':>10}")
        for name in MEMBERS:
            called, released = overhead(name, teachers, rows, args.n_jobs, args.repeats)
            print(f"{name:28}{called:7.2f} s{released:9.2f} s{released / called:10.2f}", flush=True)


if __name__ == "__main__":
    main()
