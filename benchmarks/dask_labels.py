"""What it takes to label a partitioned X: time, rows per second, peak memory of each worker.

X has 20 columns and lies in partitions of 100,000 rows (16 MB) that the workers make themselves,
as they would read files. Each row of the table is a cluster of its own: two processes of one
thread. The labels stay on the workers; their mean is computed at the end. "client" is the peak of
the process that called ``release``, where nothing but the plan and the mean should be.

    OMP_NUM_THREADS=1 python benchmarks/dask_labels.py [--rows 100000 1000000 10000000]
        [--only stable ensemble boosting]
"""

import argparse
import resource
import time
import warnings
from pathlib import Path

import dask.array as da
import numpy as np
from _environment import environment
from distributed import Client, LocalCluster
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from skdistill import PrivateDistiller, StableLogisticRegression
from skdistill.teachers import TeacherEnsemble

FEATURES, PARTITION, PRIVATE = 20, 100_000, 20_000
TEACHERS = {
    "stable": StableLogisticRegression(0.1, max_row_norm=4.0, classes=[0, 1]),
    "ensemble": TeacherEnsemble(LogisticRegression(), 50, classes=[0, 1], random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
}


def peak() -> float:
    """Peak memory of this process in GB."""
    status = Path("/proc/self/status")
    if status.exists():  # where getrusage would count what the parent held before the start
        (kilobytes,) = (line.split()[1] for line in status.open() if line.startswith("VmHWM"))
        return int(kilobytes) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name: str, rows: int) -> str:
    """Label X on a cluster of its own."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(PRIVATE, FEATURES))
    y = (X[:, :5].sum(axis=1) + rng.normal(size=PRIVATE) > 0).astype(int)
    teacher = TEACHERS[name].fit(X, y)
    public = da.random.default_rng(0).normal(
        size=(rows, FEATURES), chunks=(min(PARTITION, rows // 2), FEATURES)
    )
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        LocalCluster(memory_limit="1.5GB", **settings) as cluster,
        Client(cluster) as client,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # "mostly noise": it is time that is measured
        idle = max(client.run(peak).values())
        began = time.perf_counter()
        labels = PrivateDistiller(teacher, epsilon=1.0, n_rounds=1).release(public)
        called = time.perf_counter() - began
        mean = labels.mean(axis=0).compute()
        seconds = time.perf_counter() - began
        worst = max(client.run(peak).values())
    assert mean.shape == (2,)
    return (
        f"{name:10}{rows:>12,}{labels.numblocks[0]:>12}{called:>9.1f} s{seconds:>9.1f} s"
        f"{rows / seconds:>13,.0f}{idle:>9.2f} GB{worst:>9.2f} GB{peak():>9.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--only", nargs="+", choices=list(TEACHERS), default=list(TEACHERS))
    args = parser.parse_args()
    print(environment())
    print(
        f"\n{'teacher':10}{'rows':>12}{'partitions':>12}{'call':>11}{'all':>11}{'rows/s':>13}"
        f"{'idle':>12}{'worker':>12}{'client':>12}"
    )
    for name in args.only:
        for rows in args.rows:
            print(measure(name, rows), flush=True)
    print("\ncall: until release() returns; idle, worker: peak memory of a worker before and after")


if __name__ == "__main__":
    main()
