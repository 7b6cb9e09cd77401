"""The study that chose the public constants of a private table's fit, on private rows held out.

A fifth of the *private* rows of Adult, credit default and California housing is held out in every
run, and scored. No row that benchmarks/no_public_data.py scores is looked at (on housing, where it
scores other rows in each run: those of its first run), and German credit and wine have no part. One
constant changes at a time, the others are those of the package::

    OMP_NUM_THREADS=1 python benchmarks/private_table_study.py [--only adult] [--epsilons 0.25 1]
        [--runs 5] [--first-run 0] [--records 800] [--constants SYNTHESIS_SHARE directions]

AUC and log loss, or RMSE: the mean over runs, and the mean difference from the package's constants
with its standard error. Both have the same split in a run; the package's constants get three
releases on each, since the differences share their noise. `--records` learns from so many of the
private rows, which stands for small tables; `--together FEWEST_BINS=300 _SHORT_RADIUS2=1.2` tries
several changes as one (these: one number for all budgets). With some fifty differences a table, one
in twenty is two standard errors from zero by chance: repeat one that looks good with another
`--first-run`.
"""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from _environment import environment
from no_public_data import DATA, Data, ours
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from skdistill.private_table import base
from skdistill.release import class_counts, gradient_rounds, synthesis
from skdistill.release.gradient_rounds import Rule
from skdistill.transfer import table_features

Array = NDArray[np.float64]
RELEASES = 3  # of the package's constants, for each split

# Where a constant is read, and values to try in its place. The shares are parts of μ²: synthetic
# rows (counts of columns, then the moment, by MARGINALS_PART), the histogram; gradients the rest.
MODULES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "SYNTHESIS_SHARE": ((base,), tuple(Fraction(k, 100) for k in (6, 10, 25, 35))),
    "HISTOGRAM_SHARE": ((base,), (Fraction(1, 50), Fraction(1, 10))),
    "MARGINALS_PART": ((synthesis,), (Fraction(4, 10), Fraction(85, 100))),
    "N_BINS": ((synthesis,), (64, 128, 600)),
    "FEWEST_BINS": ((synthesis,), (32, 128, 300)),
    "_PER_BIN": ((synthesis,), (4, 16)),
    "_N_ROWS": ((base,), (3000, 30_000)),
    "_RADIUS2": ((synthesis,), (0.6, 2.4)),
    "_SHORT_RADIUS2": ((synthesis,), (0.4, 1.2)),
    "_CLEAR": ((synthesis,), (1.4, 2.8)),
    "_COUNTED": ((synthesis,), (0.75, 3.0)),
    "_MOST_BINS": ((class_counts,), (20, 80)),
    "_CURVATURE": ((gradient_rounds,), (1.0, 1.5)),
    "_FIRST_STEP": ((gradient_rounds,), (0.5, 1.0)),
    "_MOST_KNOTS": ((table_features,), (5, 10, 30)),
    "_ALL_KNOTS": ((table_features,), (80, 320)),
    "_RARE_SHARE": ((table_features,), (1 / 1000, 1 / 100)),
}
RULE: dict[str, tuple[Any, ...]] = {
    "directions": (0.0125, 0.025, 0.1),
    "ridge": (0.4, 0.8, 3.2, 6.4),
    "mix": (0.1, 0.4),
    "rounds": (4.5, 9.0),
    "growth": (1.1, 1.6),
    "clip": (0.25, 0.5),
    "averaged": (0.5, 0.9),
    "mean": (Fraction(1, 100), Fraction(4, 100)),
    "squares": (Fraction(2, 100), Fraction(8, 100)),
    "products": (Fraction(5, 100), Fraction(2, 10)),
}


@contextmanager
def constants(values: dict[str, Any]) -> Iterator[None]:
    """Set constants of the package."""
    with ExitStack() as stack:
        rule = partial(Rule, **{name: value for name, value in values.items() if name in RULE})
        stack.enter_context(patch.object(gradient_rounds, "Rule", rule))
        for name in values.keys() - RULE.keys():
            for module in MODULES[name][0]:
                stack.enter_context(patch.object(module, name, values[name]))
        yield


def current(name: str) -> Any:
    """Return the package's value of a constant."""
    return getattr(Rule(), name) if name in RULE else getattr(MODULES[name][0][0], name)


def held_out(data: Data, run: int, records: int | None) -> Data:
    """Return private rows to learn from, and a fifth of the private rows to score."""
    X, X_scored, y, y_scored = train_test_split(data.X, data.y, test_size=0.2, random_state=run)
    return replace(data, X=X[:records], y=y[:records], X_scored=X_scored, y_scored=y_scored)


def figures(data: Data, epsilon: float) -> Array:
    """Return AUC and log loss of one release, or its RMSE."""
    model = ours(data, epsilon)
    if data.output_range is not None:
        off = np.clip(model.predict(data.X_scored), *data.output_range) - data.y_scored
        return np.array([np.sqrt(np.mean(off**2))])
    scores = model.predict_proba(data.X_scored)[:, 1]
    return np.array([roc_auc_score(data.y_scored, scores), log_loss(data.y_scored, scores)])


def study(parts: list[Data], epsilon: float, changes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for the package's constants, and for each change of them."""
    fits = [[figures(data, epsilon) for _ in range(RELEASES)] for data in parts]
    before = np.mean(fits, axis=1)
    yield f"{'as in the package':34}" + _cells(before.mean(axis=0))
    for change in changes:
        with constants(change):
            apart = np.array([figures(data, epsilon) for data in parts]) - before
        mean, error = apart.mean(axis=0), apart.std(axis=0, ddof=1) / np.sqrt(len(parts))
        label = ", ".join(
            f"{name} {float(current(name)):.3g} -> {float(value):.3g}"
            for name, value in change.items()
        )
        clear = " *" if (np.abs(mean) > 2 * error).any() else ""
        yield f"{label:33} " + _cells(mean, error) + clear


def _cells(mean: Array, error: Array | None = None) -> str:
    digits, sign = 4 if abs(mean[-1]) < 5 and len(mean) > 1 else 0, "" if error is None else "+"
    errors = [""] * len(mean) if error is None else [f" ±{e:.{digits}f}" for e in error]
    return "".join(f"{f'{m:{sign},.{digits}f}{e}':20}" for m, e in zip(mean, errors, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    tables, names = ["adult", "credit", "housing"], [*MODULES, *RULE]
    parser.add_argument("--only", nargs="+", choices=tables, default=tables)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.25, 0.5, 1, 2])
    parser.add_argument("--constants", nargs="+", choices=names, default=names)
    parser.add_argument("--together", nargs="+", metavar="NAME=VALUE", help="one change of several")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--first-run", type=int, default=0)
    parser.add_argument("--records", type=int, help="private rows to learn from; all of them")
    args = parser.parse_args()
    changes = [{n: v} for n in args.constants for v in (RULE.get(n) or MODULES[n][1])]
    if args.together:
        pairs = [text.split("=") for text in args.together]
        changes = [{name: type(current(name))(value) for name, value in pairs}]
    warnings.simplefilter("ignore")
    print(environment())
    for table in args.only:
        data, runs = DATA[table](0), range(args.first_run, args.first_run + args.runs)
        parts = [held_out(data, run, args.records) for run in runs]
        for epsilon in args.epsilons:
            heads = "AUC, log loss" if data.output_range is None else "RMSE"
            size = f"{len(parts[0].y):,} records, ε={epsilon:g}, δ={data.delta:g}"
            print(f"\n{table}: {size}; {heads}, {args.runs} runs")
            for line in study(parts, epsilon, changes):
                print(line, flush=True)


if __name__ == "__main__":
    main()
