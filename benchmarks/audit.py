"""Members that attacks find on Adult, in an overfitted teacher and in students, and run times.

*Power*: half of adult.data is members, a quarter is scored as non-members, a quarter is reference
records; records that occur on both sides are left out. A forest grown to its last leaf on all
members; its student at ε=1 (worst case); and the student, at ε=1, of 200 trees on disjoint shards.
Shadow students are attacked with shadow students.

*Speed*: 64 shadow models of a LogisticRegression on 20,000 rows each, alone and in a report of all
attacks; and the quantile attack alone. The peers, in the same run and in turns, are written by hand
in this file and do the same work: the shadow models' log-odds; these, all seven scores, and their
areas and rates; two quantile regressions of as many trees. CPU seconds of one process, medians.

    python benchmarks/audit.py [--only power speed] [--shadows 32] [--jobs 2] [--repeats 3]
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from _data import CATEGORIES, NUMBERS, adult
from _environment import environment
from scipy.special import expit
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import auc, roc_curve
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
    odds = log_odds(model.predict_proba(X), y)
    known = odds[:20_000], X[:20_000], odds[20_000:], X[20_000:]
    settings = {"n_shadows": n_shadows, "random_state": 0}
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "train_shadow_models": (
            lambda: train_shadow_models(model, X, y, **settings),
            lambda: shadows_by_hand(model, X, y, n_shadows),
        ),
        "membership_report": (
            lambda: membership_report(model, *records, shadow="clone", **settings),
            lambda: report_by_hand(model, X, y, 20_000, n_shadows),
        ),
        "quantile_attack": (lambda: quantile_attack(*known), lambda: quantiles_by_hand(*known)),
    }
    found = np.empty((len(ways), 2, repeats))
    for i in range(repeats):
        for way, pair in enumerate(ways.values()):
            for side, work in enumerate(pair):
                began = time.process_time()
                work()
                found[way, side, i] = time.process_time() - began
    print(f"{n_shadows} models on 20,000 x 20 rows, all attacks on 40,000 records; CPU seconds")
    for name, (own, peer) in zip(ways, np.median(found, axis=2), strict=True):
        print(f"{name:20}{own:6.2f}   by hand {peer:6.2f}   ratio {own / peer:.2f}")


def shadows_by_hand(model: LogisticRegression, X: np.ndarray, y: np.ndarray, n: int) -> tuple:
    """Train models on random halves; return their log-odds, and who was trained on which row."""
    inside = np.random.default_rng(0).uniform(size=(n, len(y))).argsort(axis=0) < n // 2
    odds = [odds_by_hand(clone(model).fit(X[rows], y[rows]), X, y) for rows in inside]
    return np.array(odds), inside


def odds_by_hand(model: LogisticRegression, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    p = model.predict_proba(X)[np.arange(len(y)), y]
    return np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(1 - p, 1e-12))


def quantiles_by_hand(odds: np.ndarray, X: np.ndarray, others: np.ndarray, Z: np.ndarray) -> object:
    settings = {"loss": "quantile", "learning_rate": 0.3, "max_iter": 25, "early_stopping": False}
    low, high = (
        HistGradientBoostingRegressor(quantile=q, **settings).fit(Z, others).predict(X)
        for q in (0.5, 0.9)
    )
    return (odds - low) / np.maximum(high - low, 1e-3)


def report_by_hand(
    model: LogisticRegression, X: np.ndarray, y: np.ndarray, n: int, n_shadows: int
) -> list[tuple[float, ...]]:
    """Attack n members; of the others, half are scored and half are reference records."""
    shadow, inside = shadows_by_hand(model, X, y, n_shadows)
    odds, scored = odds_by_hand(model, X, y), slice(0, n + (len(y) - n) // 2)
    others = slice(scored.stop, None)
    out = np.ma.array(shadow, mask=inside)
    within = np.ma.array(shadow, mask=~inside)
    offline = (odds - out.mean(axis=0)) / out.std(axis=0)
    online = norm.logpdf(odds, within.mean(axis=0), within.std(axis=0))
    online -= norm.logpdf(odds, out.mean(axis=0), out.std(axis=0))
    lift = expit(odds) / expit(shadow).mean(axis=0)
    p = expit(odds)
    entropy = -(1 - p) * np.log(np.maximum(p, 1e-12)) - (1 - p) * np.log(np.maximum(p, 1e-12))
    classwise = np.empty(len(y))
    for code in (0, 1):
        reference = np.sort(odds[others][y[others] == code])
        classwise[y == code] = np.searchsorted(reference, odds[y == code]) / len(reference)
    labelled = np.column_stack([X, y, 1 - y])
    quantile = quantiles_by_hand(odds[scored], labelled[scored], odds[others], labelled[others])
    scores = [-np.log1p(np.exp(-odds)), -entropy, classwise, offline, online]
    scores = [each[scored] for each in scores]
    scores += [quantile, np.searchsorted(np.sort(lift[others]) * 2, lift[scored])]
    rows = []
    for each in scores:
        fpr, tpr, _ = roc_curve(np.arange(scored.stop) < n, each)
        rates = np.interp([0.01, 0.001], fpr, tpr)
        rows.append((auc(fpr, tpr), *rates, np.max(tpr - fpr)))
    return rows


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
