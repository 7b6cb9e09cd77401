"""Gradient rounds over private rows in the partitions of a dask array: time and memory.

A LocalCluster of two worker processes holds n rows of 20 columns in partitions of 100,000 rows, and
their labels. Printed, for each n:

1. CPU seconds (of both workers together) of one gradient round over all rows, of the same products
   as a bare map-reduce in dask (``X @ w``, ``expit``, ``X.T @ r`` on each partition, added in a
   tree), and their ratio. In turns, median of several repeats: a busy machine does not matter.
2. CPU and wall seconds of the fit, and of a whole release by ``PrivateDistiller``.
3. The peak memory of a worker: with the rows alone, after the bare map-reduce, and after the
   release.

    OMP_NUM_THREADS=1 python benchmarks/dask_private_rows.py [--rows 1000000 10000000]
        [--partition 100000] [--repeats 5]

Nothing is tuned.
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import dask
import dask.array as da
import distributed
import numpy as np
from _environment import environment
from scipy.special import expit

from skdistill import NewtonClassifier, PrivateDistiller
from skdistill.release.private_sums import IntegerMap, Lattice

D, PUBLIC = 20, 5_000


def bare(block: Any, y: Any, w: Any) -> Any:
    """Gradient of the logistic loss of one partition, in floating point."""
    return block.T @ (y - expit(block @ w))


def add(parts: list[Any]) -> Any:
    """Add the gradients of some partitions."""
    return sum(parts)


def bare_round(blocks: list[Any], labels: list[Any], w: Any) -> Any:
    """Sum the gradients of all partitions in a tree."""
    shared = dask.delayed(w)
    parts = [dask.delayed(bare)(*each, shared) for each in zip(blocks, labels, strict=True)]
    while len(parts) > 1:
        parts = [dask.delayed(add)(parts[i : i + 16]) for i in range(0, len(parts), 16)]
    return dask.compute(parts[0])[0]


def private(n: int, partition: int) -> tuple[Any, Any]:
    """Rows and labels, in the memory of the workers."""
    rng = da.random.default_rng(0)
    X = rng.normal(size=(n, D), chunks=(partition, D))
    y = (X[:, 0] + X[:, 1] / 2 + rng.logistic(size=n, chunks=partition) > 0).astype(np.int64)
    X, y = dask.persist(X, y)
    distributed.wait([X, y])
    return X, y


def measure(n: int, partition: int, repeats: int, client: distributed.Client) -> None:
    """Print all figures for n rows."""

    def cpu() -> float:
        return sum(client.run(time.process_time).values())

    def peak() -> float:
        usage = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return max(usage.values())

    def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
        began, wall = cpu(), time.perf_counter()
        result = call()
        return result, cpu() - began, time.perf_counter() - wall

    public = np.random.default_rng(1).normal(size=(PUBLIC, D))
    X, y = private(n, partition)
    held = peak()
    blocks, labels = list(X.to_delayed().ravel()), list(y.to_delayed().ravel())
    w, weights = np.zeros(D), np.zeros((D + 1, 1))
    bare_round(blocks, labels, w)  # imports
    reduced = peak()
    estimator = NewtonClassifier(classes=[0, 1], curvature=public)
    teacher, fit, fit_wall = timed(lambda: estimator.fit(X, y))
    lattice = Lattice.of(public.mean(axis=0), public.std(axis=0), centred=True)
    frame = IntegerMap(lattice, np.eye(D + 1))
    rows = teacher.private_rows_
    _, first, _ = timed(lambda: rows.gradients(frame, weights, 3.0, n))  # with the lengths
    rounds, plain = [], []
    for _ in range(repeats):
        plain.append(timed(lambda: bare_round(blocks, labels, w)))
        rounds.append(timed(lambda: rows.gradients(frame, weights, 3.0, n)))
    distiller = PrivateDistiller(teacher, epsilon=1.0, delta=1e-9)
    _, release, release_wall = timed(lambda: distiller.fit(public))
    ratio = median(a[1] / b[1] for a, b in zip(rounds, plain, strict=True))
    print(
        f"{n:>10,} rows, {len(blocks)} partitions: CPU seconds of a round "
        f"{median(r[1] for r in rounds):.2f} (wall {median(r[2] for r in rounds):.2f}), bare "
        f"{median(r[1] for r in plain):.2f} (wall {median(r[2] for r in plain):.2f}), ratio "
        f"{ratio:.2f}; of the first round, with the lengths, {first:.2f}\n"
        f"{'':>10} fit {fit:.1f} (wall {fit_wall:.1f}), release {release:.1f} "
        f"(wall {release_wall:.1f})\n"
        f"{'':>10} peak of a worker in GB: rows {held:.2f}, bare {reduced:.2f}, "
        f"release {peak():.2f}",
        flush=True,
    )


def main() -> None:
    """Print the figures for each number of rows, on a cluster of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--partition", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(environment(), f"dask {dask.__version__}")
    for n in args.rows:
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, memory_limit="3GiB", dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            measure(n, args.partition, args.repeats, client)


if __name__ == "__main__":
    main()
