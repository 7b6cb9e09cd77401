"""Utility against ε on Adult: a private student, and its peers on the same split.

adult.data is private; a random half of adult.test is the public X, whose labels are unused; the
other half is scored. δ=1e-5. Every figure is the mean and the standard deviation over releases.
Accuracy and F1 are given at two cuts of the same scores: at probability 0.5, and at the prior
(as many positives on the public X as the class prior says: ``threshold="prior"``). Ours releases
that prior from its own ε; peers and references are given the exact one, in their favour.

    OMP_NUM_THREADS=1 python benchmarks/adult.py [--epsilons 0.5 1] [--releases 5] [--only newton]

The features were chosen in a study of about 60
configurations on the scored half of split 0, so its figures there are slightly optimistic.
``--split-seed N`` takes another random half. ``--swap`` lets the halves change places, so that
all scored labels are ones the study never used: the honest check.

Peers run where they can: diffprivlib's LogisticRegression on scikit-learn 1.7 or older, its other
models on 1.8 or older, DP-EBM with interpret-core. diffprivlib's guarantee has δ=0. For each ε its
LogisticRegression has the best of four C by AUC on the scored rows, and the recipe's features, or
``TableFeatures`` with ``--table-features``.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from _data import CATEGORIES, NUMBERS, Split, _read_adult, _rich, _thin, adult, data_folder
from _environment import Figures, environment
from _features import public_features
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skdistill import PrivateDistiller, ResidualRounds, Schema, TableFeatures
from skdistill.certificates import certify
from skdistill.teachers import NewtonClassifier, TeacherEnsemble
from skdistill.transfer import basis

DELTA, RARE = 1e-5, 0.05
METRICS = ("AUC", "accuracy", "F1", "accuracy at prior", "F1 at prior")
FEATURES = NUMBERS + CATEGORIES
FRAMES = ("X_private", "X_public", "X_scored")

Array = np.ndarray
table_features = False  # the option --table-features sets it


@dataclass(frozen=True)
class Task:
    """The settings of a group of rows."""

    seed: int
    swap: bool
    epsilons: list[float]
    releases: int

    def split(self, positives: float | None = None) -> Split:
        """Load the data."""
        if self.seed == 0 and not self.swap:
            return adult(positives)
        return other_halves(positives, self.seed, self.swap)

    def repeat(self, name: str, run: Callable[[float], list[float]]) -> Iterator["Row"]:
        """Score every ε as often as asked."""
        for epsilon in self.epsilons:
            yield Row(name, epsilon, np.array([run(epsilon) for _ in range(self.releases)]))


@dataclass(frozen=True)
class Row:
    """One row of the table; `scores` holds one line per release (see `score`)."""

    name: str
    epsilon: float
    scores: Array


def other_halves(positives: float | None, seed: int, swap: bool) -> Split:
    """Split adult.test as `adult` does, at any seed or with the halves in each other's place."""
    folder, rng = data_folder("adult"), np.random.default_rng(seed)
    private, test = _read_adult(folder / "adult.data"), _read_adult(folder / "adult.test")
    order = np.random.default_rng(seed).permutation(len(test))
    parts = [private, test.iloc[order[: len(test) // 2]], test.iloc[order[len(test) // 2 :]]]
    if positives is not None:
        parts = [_thin(part, positives, rng) for part in parts]
    private, public, scored = parts[:1] + parts[:0:-1] if swap else parts
    X_private, X_public, X_scored = (t[FEATURES] for t in (private, public, scored))
    return Split(X_private, _rich(private), X_public, X_scored, _rich(scored))


def mapped(split: Split, change: Callable[[Any], Any]) -> Split:
    """Change the three sets of rows."""
    return replace(split, **{name: change(getattr(split, name)) for name in FRAMES})


def encoded(split: Split) -> Split:
    """Replace the frames by their public features."""
    public = split.X_public
    if table_features:
        return mapped(split, TableFeatures(Schema.from_public(public)).fit(public).transform)
    return mapped(split, public_features(public).transform)


def score(y: Array, scores: Array, at_half: Array, at_prior: Array) -> list[float]:
    """AUC, then accuracy and F1 at 0.5, then the same at the prior."""
    cuts = (f(y, labels) for labels in (at_half, at_prior) for f in (accuracy_score, f1_score))
    return [roc_auc_score(y, scores), *cuts]


def distilled(data: Split, teacher: Any, epsilon: float, **settings: Any) -> list[float]:
    """Score one student."""
    distiller = PrivateDistiller(teacher, epsilon=epsilon, delta=DELTA, **settings)
    distiller.fit(data.X_public)
    X, student = data.X_scored, distiller.student_
    scores = distiller.predict_proba(X)[:, 1]
    return score(data.y_scored, scores, student.predict(X), distiller.predict(X))


def undistilled(data: Split, fitted: Any) -> list[float]:
    """Score a fitted model as it is, at 0.5 and at the exact prior."""
    on_public, on_scored = (fitted.predict_proba(X)[:, 1] for X in (data.X_public, data.X_scored))
    cut = np.quantile(on_public, 1 - data.y_private.mean())
    return score(data.y_scored, on_scored, on_scored > 0.5, on_scored > cut)


def runs(data: Split, make: Callable[..., Any]) -> Callable[[float], list[float]]:
    """Return the fit and score of a private peer at some ε."""
    known = data.X_private, data.y_private
    return lambda epsilon: undistilled(data, make(epsilon=epsilon).fit(*known))


# The groups of rows.


def newton(task: Task, positives: float | None = None) -> Iterator[Row]:
    """Gradient rounds; the student is the released model."""
    data = encoded(task.split(positives))
    teacher = NewtonClassifier(classes=[0, 1]).fit(data.X_private, data.y_private)
    name = "NewtonClassifier" + ("" if positives is None else f", {positives:.0%}")
    yield from task.repeat(name, partial(distilled, data, teacher))


def rare(task: Task) -> Iterator[Row]:
    """Private, public and scored rows thinned to few positives."""
    yield from newton(task, RARE)
    yield from references(task, RARE)


def one_model(task: Task) -> Iterator[Row]:
    """One model with no bound but the worst case; votes of nearest neighbours."""
    data = encoded(task.split())
    for name, teacher, settings in (
        ("LogisticRegression", LogisticRegression(max_iter=1000), {}),
        ("HistGradientBoosting", HistGradientBoostingClassifier(), {}),
        ("1000 nearest neighbours", KNeighborsClassifier(1000), {"max_queries": 2000}),
    ):
        teacher.fit(data.X_private, data.y_private)

        def run(epsilon: float, teacher: Any = teacher, settings: Any = settings) -> list[float]:
            return distilled(data, teacher, epsilon, **settings)

        yield from task.repeat(name, run)


def ensembles(task: Task) -> Iterator[Row]:
    """Distil teachers on disjoint shards: four kinds of members, rounds, and PATE beside them."""
    data = task.split()
    one_hot = OneHotEncoder(handle_unknown="ignore", min_frequency=40, sparse_output=False)
    encoder = make_column_transformer((StandardScaler(), NUMBERS), (one_hot, CATEGORIES))
    data = mapped(data, encoder.fit(data.X_public).transform)
    bases = basis.public_bases(data.X_public)  # public and always the same: once is enough
    basis.public_bases = lambda X, kind, encoder=None: bases
    forest = RandomForestClassifier(20, min_samples_leaf=3)
    boosting = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5)
    releases = {
        "auto rounds": {},
        "2 rounds": {"mechanism": ResidualRounds(n_rounds=2)},
        "3 rounds": {"mechanism": ResidualRounds(n_rounds=3)},
        "one round": {"mechanism": ResidualRounds(n_rounds=1)},
        "plain PATE": {"mechanism": ResidualRounds(n_rounds=1, basis=None)},
    }
    for member, k, variants in (
        (
            LogisticRegression(max_iter=300),
            800,
            ("auto rounds", "one round", "plain PATE", "3 rounds"),
        ),
        (
            LogisticRegression(max_iter=300),
            500,
            ("auto rounds", "one round", "plain PATE", "3 rounds"),
        ),
        (LogisticRegression(max_iter=300), 300, ("one round", "plain PATE")),
        (forest, 300, ("2 rounds", "one round", "plain PATE")),
        (boosting, 150, ("2 rounds", "one round", "plain PATE")),
        (KNeighborsClassifier(15), 300, ("2 rounds", "one round", "plain PATE")),
    ):
        teacher = TeacherEnsemble(member, k, classes=[0, 1], random_state=0)
        teacher.fit(data.X_private, data.y_private)
        bound = certify(teacher)
        votes = list(bound.member_votes(data.X_public, np.asarray))  # once for all releases
        bound = replace(bound, member_votes=lambda X, f, votes=votes: (f(each) for each in votes))
        for kind in variants:
            run = partial(distilled, data, teacher, certificate=bound, **releases[kind])
            yield from task.repeat(f"{k} {_short(member)}, {kind}", run)
        yield Row(f"{k} {_short(member)}", np.inf, np.array([undistilled(data, teacher)]))


def _short(member: Any) -> str:
    names = {"LogisticRegression": "LR", "RandomForestClassifier": "forests"}
    names |= {"HistGradientBoostingClassifier": "boostings", "KNeighborsClassifier": "15-NN"}
    return names[type(member).__name__]


def references(task: Task, positives: float | None = None) -> Iterator[Row]:
    """No privacy: one linear model on the recipe's features, one boosted on the columns."""
    split = task.split(positives)
    data, note = encoded(split), "" if positives is None else f", {positives:.0%}"
    fitted = LogisticRegression(max_iter=1000).fit(data.X_private, data.y_private)
    yield Row(f"LogisticRegression{note}", np.inf, np.array([undistilled(data, fitted)]))
    data = mapped(split, lambda X: X.astype(dict.fromkeys(CATEGORIES, "category")))
    fitted = HistGradientBoostingClassifier(random_state=0).fit(data.X_private, data.y_private)
    yield Row(f"HistGradientBoosting{note}", np.inf, np.array([undistilled(data, fitted)]))


def diffprivlib_models(task: Task) -> Iterator[Row]:
    """Models of diffprivlib, with bounds from the public rows."""
    try:
        from diffprivlib import models
    except ImportError as error:
        print(f"diffprivlib's models: skipped ({why(error)})")
        return
    linear, table = unit_rows(task.split()), coded(task.split())
    bounds = table.X_public.min(axis=0), table.X_public.max(axis=0)

    # Its bound takes the row norm for its square, so the rows (constant included) have norm 1.
    logistic = partial(
        models.LogisticRegression, data_norm=1.0, fit_intercept=False, tol=1e-7, max_iter=1000
    )
    forest = partial(models.RandomForestClassifier, bounds=bounds, classes=[0, 1])
    naive = partial(models.GaussianNB, bounds=bounds)
    name, tried = "diffprivlib LogisticRegression", []
    try:
        for C in (0.01, 0.03, 0.1, 0.3):
            tried.append(task.repeat(f"{name}, C={C:g}", runs(linear, partial(logistic, C=C))))
        for rows in zip(*tried, strict=True):
            yield max(rows, key=lambda row: row.scores[:, 0].mean())
    except TypeError as error:
        print(f"{name}: skipped ({why(error)})")
    yield from task.repeat("diffprivlib GaussianNB", runs(table, naive))
    yield from task.repeat("diffprivlib RandomForest", runs(table, forest))


def coded(split: Split) -> Split:
    """Replace the frames by arrays, categories as ordinal codes."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = make_column_transformer((encoder, CATEGORIES), remainder="passthrough")
    return mapped(split, encode.fit(split.X_public).transform)


def unit_rows(split: Split) -> Split:
    """Replace the frames by features with a constant, of norm at most 1."""

    def change(X: Array) -> Array:
        X = X / np.maximum(1, np.linalg.norm(X, axis=1, keepdims=True))
        return np.hstack([X, np.full((len(X), 1), 0.5)]) / np.hypot(1, 0.5)

    return mapped(encoded(split), change)


def dp_ebm(task: Task) -> Iterator[Row]:
    """DP-EBM on the columns as they are, with a public schema."""
    try:
        from interpret.privacy import DPExplainableBoostingClassifier
    except ImportError as error:
        print(f"DP-EBM: skipped ({why(error)})")
        return
    split = task.split()
    kinds = ["continuous"] * len(NUMBERS) + ["nominal"] * len(CATEGORIES)
    ranges = {name: (split.X_public[name].min(), split.X_public[name].max()) for name in NUMBERS}
    model = partial(
        DPExplainableBoostingClassifier, feature_types=kinds, privacy_bounds=ranges, n_jobs=1
    )
    yield from task.repeat("DP-EBM", runs(split, partial(model, delta=DELTA)))


def why(error: Exception) -> str:
    """Return an import error's text without the path of a file."""
    return str(error).partition(" (/")[0]


GROUPS: dict[str, Callable[[Task], Iterator[Row]]] = {
    "newton": newton,
    "rare": rare,
    "one_model": one_model,
    "ensembles": ensembles,
    "references": references,
    "diffprivlib": diffprivlib_models,
    "dp_ebm": dp_ebm,
}


def as_text(row: Row) -> str:
    """Format a row: AUC, accuracy, F1, accuracy, F1."""
    mean = row.scores.mean(axis=0)
    spread = row.scores.std(axis=0, ddof=1) if len(row.scores) > 1 else None
    cells = [f"{value:.3f}".lstrip("0") for value in mean[:5]]
    if spread is not None:
        cells = [f"{a} ±{b:.3f}".replace("±0", "±") for a, b in zip(cells, spread, strict=False)]
    line = f"{row.name:38}{row.epsilon:>5g}  " + "".join(f"{cell:12}" for cell in cells)
    return line.rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1, 2])
    parser.add_argument("--releases", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--swap", action="store_true", help="score the half that was public")
    parser.add_argument(
        "--table-features", action="store_true", help="those of gradient_rounds.py for all"
    )
    Figures.option(parser)
    args = parser.parse_args()
    global table_features
    table_features = args.table_features
    task = Task(args.split_seed, args.swap, args.epsilons, args.releases)
    figures = Figures(args.json)
    warnings.simplefilter("ignore")  # the worst case warns that it is useless: that is the point
    print(environment())
    print(f"split {task.seed}{', halves swapped' * task.swap}; δ={DELTA:g};", end=" ")
    print(f"mean and standard deviation of {task.releases} releases\n")
    print(f"{'':45}{'':12}{'cut at 0.5':24}cut at the prior")
    heads = ("AUC", "accuracy", "F1", "accuracy", "F1")
    print(f"{'':38}{'ε':>5}  " + "".join(f"{head:12}" for head in heads).rstrip())
    for name in args.only:
        began = time.perf_counter()
        for row in GROUPS[name](task):
            print(as_text(row), flush=True)
            figures.add("adult", row.name.partition(", C=")[0], row.epsilon, METRICS, row.scores)
        print(f"  ({name}: {time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
