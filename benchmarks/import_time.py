"""CPU time of ``import skdistill``, as a multiple of that of ``import sklearn.linear_model``.

Each import is a process of its own, in turns; bytecode is compiled before, as pip does.

    python benchmarks/import_time.py [--repeats 25]
"""

import argparse
import os
import subprocess
import sys
from statistics import median

from _environment import environment

MODULES = "sklearn.linear_model", "skdistill"


def seconds(module: str) -> float:
    """Return the CPU seconds of a process that imports a module."""
    before = os.times()
    known = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=known)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=25)
    repeats = parser.parse_args().repeats
    print(environment())
    for module in MODULES:
        seconds(module)  # compiles
    peer, ours = zip(*(map(seconds, MODULES) for _ in range(repeats)), strict=True)
    for name, of in (("median", median), ("least", min)):
        print(f"{name}: {of(peer):.2f} s and {of(ours):.2f} s, {of(ours) / of(peer):.2f} times")
