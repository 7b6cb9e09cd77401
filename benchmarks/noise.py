"""Draws per second: the exact sampler, diffprivlib's and OpenDP's, NumPy's insecure ones.

Run ``python benchmarks/noise.py``. All in one process and one thread; every figure is the
median of several repeats, taken in turns so that a busy machine is busy for all of them.
OpenDP is measured where it is installed (``pip install opendp``); its sampler is exact too.
"""

import os
import statistics
import time
from functools import partial

import numpy as np
from _environment import environment

from skdistill._diffprivlib import load
from skdistill.release.noise import ExactSampler

REPEATS = 7
BULK = 2_000_000


def opendp(scale):
    """Return rows of OpenDP's vector mechanisms on integers: discrete laws, drawn exactly."""
    try:
        import opendp.prelude as dp
    except ImportError:
        return []
    dp.enable_features("contrib")
    vectors, zeros = dp.vector_domain(dp.atom_domain(T=dp.i64)), np.zeros(20_000, dtype=np.int64)
    gaussian = dp.m.make_gaussian(vectors, dp.l2_distance(T=dp.i64), scale=scale)
    laplace = dp.m.make_laplace(vectors, dp.l1_distance(T=dp.i64), scale=scale)
    return [
        (f"OpenDP {name}, integers, scale 3 * 2**20", len(zeros), partial(mechanism, zeros))
        for name, mechanism in (("Gaussian", gaussian), ("Laplace", laplace))
    ]


def contestants():
    """Return (name, draws per call, call)."""
    mechanisms, exact, generator = load("mechanisms"), ExactSampler(), np.random.default_rng()
    pair = {"epsilon": 1.0, "delta": 1e-5}

    def ours(kind, scale):
        return lambda: exact.draw(kind, scale, BULK)

    def scalar(mechanism, count):
        return count, lambda: [mechanism.randomise(0) for _ in range(count)]

    small, large = 3 * 2.0**20, 2.0**33
    return opendp(small) + [
        ("exact Gaussian, scale 3 * 2**20", BULK, ours("gaussian", small)),
        ("exact Gaussian, scale 2**33", BULK, ours("gaussian", large)),
        ("exact Laplace, scale 3 * 2**20", BULK, ours("laplace", small)),
        ("exact Laplace, scale 2**33", BULK, ours("laplace", large)),
        (
            "diffprivlib GaussianAnalytic (float)",
            *scalar(mechanisms.GaussianAnalytic(sensitivity=1.0, **pair), 20_000),
        ),
        (
            "diffprivlib Laplace (float)",
            *scalar(mechanisms.Laplace(epsilon=1.0, sensitivity=1.0), 20_000),
        ),
        (
            "diffprivlib GaussianDiscrete, scale 3.7",
            *scalar(mechanisms.GaussianDiscrete(sensitivity=1, **pair), 1000),
        ),
        (
            "diffprivlib GaussianDiscrete, scale 373",
            *scalar(mechanisms.GaussianDiscrete(sensitivity=100, **pair), 50),
        ),
        ("NumPy normal (insecure)", BULK, lambda: generator.standard_normal(BULK)),
        ("NumPy Laplace (insecure)", BULK, lambda: generator.laplace(size=BULK)),
        ("os.urandom, 64-bit words", BULK, lambda: os.urandom(8 * BULK)),
    ]


def main():
    rows = contestants()
    seconds = {name: [] for name, _, _ in rows}
    for repeat in range(REPEATS + 1):  # the first round warms up
        for name, _, call in rows:
            began = time.perf_counter()
            call()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    rate = {name: count / statistics.median(seconds[name]) for name, count, _ in rows}
    print(environment())
    print(f"median of {REPEATS} repeats; ratio to the scalar mechanism of the same law\n")
    print(f"{'':42}{'million/s':>12}{'x diffprivlib':>15}{'x NumPy normal':>16}")
    for name, value in rate.items():
        law = "Laplace" if "Laplace" in name else "GaussianAnalytic"
        ratio = value / rate[f"diffprivlib {law} (float)"]
        against = value / rate["NumPy normal (insecure)"]
        print(f"{name:42}{value / 1e6:12.4g}{ratio:15.3g}{against:16.3g}")


if __name__ == "__main__":
    main()
