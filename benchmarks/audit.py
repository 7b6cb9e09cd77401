"""Members that attacks find on Adult, in an overfitted teacher and in students, and run times.

*Power*: half of adult.data is members, a quarter is scored as non-members, a quarter is reference
records; records that occur on both sides are left out. A forest grown to its last leaf on all
members; its student at ε=1 (worst case); and the student, at ε=1, of 200 trees on disjoint shards.
Shadow students are attacked with shadow students.

*Speed*: 64 shadow models of a LogisticRegression on 20,000 rows each, alone and in a report of all
attacks; and the quantile attack alone. The peers, in the same run and in turns: a loop that trains
the same models and asks them for all rows, and the two quantile regressions that scikit-learn's
default settings make. CPU seconds of one process, medians.

    python benchmarks/audit.py [--only power speed] [--shadows 32] [--jobs 2] [--repeats 3]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
from _data import CATEGORIES, NUMBERS, adult
from _environment import environment
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.audit import ShadowDistiller, membership_report, train_shadow_models
from skdistill.audit.attacks import log_odds, quantile_attack
from skdistill.teachers import TeacherEnsemble


def power(shadows: int, jobs: int) -> None:
    """Attack a forest and students on Adult."""
    split = adult()
    encode = make_column_transformer(
        (OneHotEncoder(min_frequency=20, handle_unknown="ignore"), CATEGORIES),
        (StandardScaler(), NUMBERS),
        sparse_threshold=0,
    ).fit(split.X_public)
    X, X_public, X_scored = map(encode.transform, (split.X_private, split.X_public, split.X_scored))
    y, X_public = split.y_private, X_public[:4000]
    order = np.random.default_rng(0).permutation(len(y))
    member, other = order[: len(y) // 2], order[len(y) // 2 :]
    forest = ExtraTreesClassifier(20, random_state=0).fit(X[member], y[member])
    trees = TeacherEnsemble(
        DecisionTreeClassifier(random_state=0), n_teachers=200, classes=[0, 1], random_state=0
    ).fit(X[member], y[member])
    of_forest = PrivateDistiller(forest, epsilon=1.0).fit(X_public)
    of_trees = PrivateDistiller(trees, epsilon=1.0).fit(X_public)
    models = {"forest": forest, "its student": of_forest, "trees' student": of_trees}
    for name, model in models.items():
        on_members = model.score(X[member], y[member])
        print(f"{name:15} accuracy {on_members:.3f} on members", end=", ")
        print(f"{model.score(X_scored, split.y_scored):.3f} on adult.test")
    began = time.perf_counter()
    report = membership_report(
        models,
        *(X[member], y[member], X[other], y[other]),
        shadow={
            "forest": forest,
            "its student": ShadowDistiller(of_forest, X_public),
            "trees' student": ShadowDistiller(of_trees, X_public),
        },
        n_shadows=shadows,
        overlap="drop",
        random_state=0,
        n_jobs=jobs,
    )
    print(
        f"\n{report}\n\nTrue-positive rate at 0.1 % false positives, as a multiple of chance, ",
        end="",
    )
    print("and p-value of chance")
    for row in report.rows:
        fpr, tpr, *_, p_value = row.tpr[1]
        print(f"{row.model:15} {row.attack:17} {tpr / fpr:6.1f} {p_value:10.2g}")
    print(f"\n{shadows} shadow models of each kind: {time.perf_counter() - began:.0f} s")


def speed(repeats: int, n_shadows: int = 64) -> None:
    """Time shadow models, a report with them, and the quantile attack; each beside its peer."""
    X, y = make_classification(40_000, n_features=20, n_informative=8, flip_y=0.1, random_state=0)
    model = LogisticRegression().fit(X[:20_000], y[:20_000])
    records = X[:20_000], y[:20_000], X[20_000:], y[20_000:]
    halves = [np.random.default_rng(i).permutation(40_000)[:20_000] for i in range(n_shadows)]
    odds = log_odds(model.predict_proba(X), y)
    known = odds[:20_000], X[:20_000], odds[20_000:], X[20_000:]
    default = HistGradientBoostingRegressor(loss="quantile", quantile=0.5, random_state=0)
    settings = {"n_shadows": n_shadows, "random_state": 0}
    ways: dict[str, Callable[[], object]] = {
        "loop of fit and predict_proba": lambda: [trained(model, X, y, rows) for rows in halves],
        "train_shadow_models": lambda: train_shadow_models(model, X, y, **settings),
        "membership_report": lambda: membership_report(model, *records, shadow="clone", **settings),
        "default quantile regressions": lambda: quantile_attack(*known, regressor=default),
        "quantile_attack": lambda: quantile_attack(*known),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            began = time.process_time()
            work()
            found[name].append(time.process_time() - began)
    seconds = {name: median(times) for name, times in found.items()}
    print(f"{n_shadows} models on 20,000 x 20 rows, all attacks on 40,000 records; CPU seconds")
    peers = list(ways)[0], list(ways)[3]
    for name, time_ in seconds.items():
        peer = peers["quantile" in name]
        ratio = "" if name == peer else f"   {time_ / seconds[peer]:.2f} x {peer}"
        print(f"{name:32}{time_:6.2f}{ratio}")


def trained(model: LogisticRegression, X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> object:
    return clone(model).fit(X[rows], y[rows]).predict_proba(X)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=["power", "speed"], default=["power", "speed"])
    parser.add_argument("--shadows", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # the worst case warns that it is useless: that is the point
    print(environment())
    if "power" in args.only:
        print()
        power(args.shadows, args.jobs)
    if "speed" in args.only:
        print()
        speed(args.repeats)


if __name__ == "__main__":
    main()
