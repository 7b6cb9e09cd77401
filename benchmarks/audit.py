"""What attacks find on Adult, in an overfitted teacher and in students; and how long they take.

*Power*: half of adult.data is members, a quarter is scored as non-members, a quarter is reference
records; records that occur on both sides are left out. A forest grown to its last leaf on all
members; its student at ε=1 (worst case); and the student, at ε=1, of 200 trees on disjoint shards.
Shadow students are attacked with shadow students.

*Speed*: 64 shadow models of a LogisticRegression on 20,000 rows each, and all attacks. The peer, in
the same run: training the same 64 models on the same rows, and nothing else.

    python benchmarks/audit.py [--only power speed] [--shadows 32] [--jobs 2]
"""

import argparse
import time
import warnings

import joblib
import numpy as np
from _data import CATEGORIES, NUMBERS, adult
from _environment import environment
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.audit import ShadowDistiller, membership_report
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


def speed(jobs: int, n_shadows: int = 64) -> None:
    """Time a report with 64 shadow models, and the training of these models alone."""
    X, y = make_classification(40_000, n_features=20, n_informative=8, flip_y=0.1, random_state=0)
    model = LogisticRegression().fit(X[:20_000], y[:20_000])
    halves = [np.random.default_rng(i).permutation(40_000)[:20_000] for i in range(n_shadows)]
    joblib.Parallel(jobs)(joblib.delayed(abs)(i) for i in range(jobs))  # start the workers
    began = time.perf_counter()
    joblib.Parallel(jobs)(joblib.delayed(trained)(model, X, y, rows) for rows in halves)
    alone = time.perf_counter() - began
    began = time.perf_counter()
    report = membership_report(
        model,
        *(X[:20_000], y[:20_000], X[20_000:], y[20_000:]),
        shadow="clone",
        n_shadows=n_shadows,
        random_state=0,
        n_jobs=jobs,
    )
    whole = time.perf_counter() - began
    attacks = ", ".join(row.attack for row in report.rows)
    print(f"{n_shadows} models on 20,000 x 20 rows, {jobs} jobs")
    print(f"training them alone (peer)       {alone:6.1f} s")
    print(f"membership_report with them      {whole:6.1f} s   ({attacks})")


def trained(model: LogisticRegression, X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> object:
    return clone(model).fit(X[rows], y[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=["power", "speed"], default=["power", "speed"])
    parser.add_argument("--shadows", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # the worst case warns that it is useless: that is the point
    print(environment())
    if "power" in args.only:
        print()
        power(args.shadows, args.jobs)
    if "speed" in args.only:
        print()
        speed(args.jobs)


if __name__ == "__main__":
    main()
