"""Gradient rounds: the study that chose their public numbers, and the figures they reach.

``study`` splits the *private* rows of Adult, MNIST and California housing once more, into rows to
learn from, rows that play the public ones, and rows that are scored, and changes one number of
the rule at a time. No row of the other benchmarks' public or scored parts is looked at. ``check``
does the same on tables that chose nothing (German credit, wine, digits). ``adult``, ``pure``,
``shift``, ``housing`` and ``mnist`` print the figures on the scored rows, ``halves`` those of
``adult`` on four divisions of adult.test into public and scored rows, ``time`` a million rows
against scikit-learn's LogisticRegression::

    python benchmarks/gradient_rounds.py study check
    python benchmarks/gradient_rounds.py adult pure shift housing mnist time --json FILE

Noise comes from the operating system; figures are means of `--draws` releases.
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import _data
import numpy as np
import pandas as pd
from _environment import Figures, environment
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from skdistill import Schema, TableFeatures
from skdistill.accounting import PrivacyLoss
from skdistill.release.gradient_rounds import Rule, gradient_rounds
from skdistill.release.noise import ExactSampler
from skdistill.release.private_sums import PrivateRows
from skdistill.release.query import answer
from skdistill.teachers.newton import NewtonClassifier, NewtonRegressor

Array = NDArray[np.float64]
HOUSES = (14_999.0, 500_001.0)
# By the name of the function that scores a case.
METRICS = {
    "score": ("AUC", "F1 at prior", "log loss"),
    "accuracy": ("accuracy",),
    "dollars": ("RMSE",),
}
figures = Figures(None)  # the option --json sets another


@dataclass(frozen=True)
class Case:
    """Private rows, public rows, and rows that are scored, as features."""

    name: str
    delta: float
    rows: PrivateRows
    public: Array
    scored: Array
    target: Array
    score: Callable[[Array, Array], tuple[float, ...]]

    def scores(self, epsilon: float, draws: int, rule: Rule | None = None) -> Array:
        """Return the scores of some releases, one line each."""
        pure, found = self.delta == 0, []
        loss = PrivacyLoss.laplace(epsilon) if pure else PrivacyLoss.gaussian(epsilon, self.delta)
        for _ in range(draws):
            released = gradient_rounds(self.rows, self.public, loss, rule=rule)
            model = answer(released, loss, ExactSampler())
            found.append(self.score(self.target, self.scored @ model.coef.T + model.intercept))
        return np.array(found)


def ranking(positives: float) -> Callable[[Array, Array], tuple[float, ...]]:
    """Return AUC, F1 of the likeliest rows of a given share, log loss."""

    def score(y: Array, scores: Array) -> tuple[float, ...]:
        s = scores[:, 0]
        likely = s > np.quantile(s, 1 - positives)
        return roc_auc_score(y, s), f1_score(y, likely), log_loss(y, 1 / (1 + np.exp(-s)))

    return score


def accuracy(y: Array, scores: Array) -> tuple[float, ...]:
    """Return the accuracy."""
    guess = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0] > 0
    return (float(np.mean(guess == y)),)


def dollars(y: Array, scores: Array) -> tuple[float, ...]:
    """Return the root mean squared error."""
    low, high = HOUSES
    guess = low + (np.clip(scores[:, 0], -1, 1) + 1) / 2 * (high - low)
    return (float(np.sqrt(np.mean((guess - y) ** 2))),)


def split(n: int, *sizes: int) -> list[NDArray[np.intp]]:
    """Return disjoint random parts: the rest, then parts of these sizes."""
    order = np.random.default_rng(11).permutation(n)
    ends = np.cumsum(sizes)
    return [order[ends[-1] :], *np.split(order[: ends[-1]], ends[:-1])]


def table_case(name: str, parts: Any, pairs: Any = "auto", delta: float = 1e-5) -> Case:
    """Return a case of data frames: (private, y, public, scored, y)."""
    X, y, public, scored, target = parts
    features = TableFeatures(Schema.from_public(public), pairs).fit(public)
    X, public, scored = (features.transform(table) for table in (X, public, scored))
    regression = np.asarray(y).dtype.kind == "f"
    teacher = NewtonRegressor(HOUSES) if regression else NewtonClassifier()
    rows = teacher.fit(X, y).private_rows_
    score = dollars if regression else ranking(float(np.mean(y)))
    return Case(name, delta, rows, public, scored, target, score)


def kinds_of(public: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return public rows that are unlike the private ones, or few."""
    return {
        "like the private": public,
        "below 35": public[public["age"] < 35],
        "women": public[public["sex"] == "Female"],
        "part time": public[public["hours-per-week"] < 40],
        "married": public[public["marital-status"] == "Married-civ-spouse"],
        "500": public[:500],
        "100": public[:100],
    }


def image_case(name: str, X: Array, y: Array, public: Array, scored: Array, target: Array) -> Case:
    """Return a case of images: Nystroem features of public images."""
    pca = PCA(min(60, public.shape[1] - 1), random_state=0).fit(public)
    gamma = 0.02 if public.shape[1] > 100 else 0.6
    count = min(400, len(public))
    kernel = Nystroem(gamma=gamma, n_components=count, random_state=0).fit(pca.transform(public))
    images = [kernel.transform(pca.transform(part)) for part in (X, public, scored)]
    rows = NewtonClassifier(classes=np.arange(10)).fit(images[0], y).private_rows_
    return Case(name, 1e-5, rows, images[1], images[2], target, accuracy)


def held_out() -> Iterator[tuple[Case, tuple[float, ...]]]:
    """Yield cases made of private rows alone."""
    data = _data.adult()
    X, y = data.X_private, data.y_private
    learned, public, scored = split(len(y), 5000, 5000)
    for kind, part in kinds_of(X.iloc[public]).items():
        parts = X.iloc[learned], y[learned], part, X.iloc[scored], y[scored]
        yield table_case(f"adult, {kind}", parts), (0.1, 0.25, 0.5, 2)
    data = _data.housing()
    X, y = data.X_private, data.y_private
    learned, public, scored = split(len(y), 2500, 2500)
    for pairs in (None, "auto"):
        parts = X.iloc[learned], y[learned], X.iloc[public], X.iloc[scored], y[scored]
        yield table_case(f"housing, pairs={pairs}", parts, pairs, 1e-6), (0.25, 1, 2)
    data = _data.mnist()
    X, y = data.X_private, data.y_private
    learned, public, scored = split(len(y), 5000, 5000)
    parts = X[learned], y[learned], X[public], X[scored], y[scored]
    yield image_case("mnist", *parts), (0.25, 1)


def study(draws: int, only: str = "") -> None:
    """Change one number of the rule at a time; differences with their standard errors."""

    def releases(case: Case, epsilon: float, rule: Rule | None = None) -> tuple[float, float]:
        found = case.scores(epsilon, draws, rule)[:, 0]
        return float(np.mean(found)), float(np.var(found, ddof=min(1, draws - 1)) / draws)

    for case, epsilons in held_out():
        for epsilon in epsilons if only in case.name else ():
            base, noise = releases(case, epsilon)
            print(f"\n{case.name}, epsilon={epsilon}: {base:,.4f}", flush=True)
            for field in fields(Rule):
                value = getattr(Rule(), field.name)
                for factor in (0.5, 2):
                    rule = Rule(**{field.name: type(value)(value * Fraction(factor))})
                    found, more = releases(case, epsilon, rule)
                    error = np.sqrt(noise + more)
                    change = f"{found - base:+,.4f} ±{error:,.4f}"
                    print(f"  {field.name} x {factor}: {change}", flush=True)


def check(draws: int) -> None:
    """Score tables that chose no number of the rule."""
    folder = _data.data_folder
    credit = pd.read_csv(folder("german_credit") / "german.data", sep=" ", header=None)
    bad = (credit.pop(20) == 2).to_numpy(int)
    wine = pd.read_csv(folder("wine_quality") / "winequality-white.csv", sep=";")
    good = (wine.pop("quality") > 5).to_numpy(int)
    for name, table, y in (("german credit", credit, bad), ("wine", wine, good)):
        learned, public, scored = split(len(y), len(y) // 5, len(y) // 5)
        parts = table.iloc[learned], y[learned], table.iloc[public], table.iloc[scored], y[scored]
        show(table_case(name, parts), draws)
    images, digits = load_digits(return_X_y=True)
    learned, public, scored = split(len(digits), 300, 400)
    images /= 16
    parts = images[learned], digits[learned], images[public], images[scored], digits[scored]
    show(image_case("digits", *parts), draws)


def show(case: Case, draws: int, epsilons: tuple[float, ...] = (0.1, 0.25, 0.5, 1, 2)) -> None:
    """Print the mean scores at each epsilon."""
    for epsilon in epsilons:
        keep(case, epsilon, case.scores(epsilon, draws))


def keep(case: Case, epsilon: float, scores: Array) -> None:
    """Print mean scores, and add them to the file of figures."""
    found = "  ".join(f"{value:,.4f}" for value in scores.mean(axis=0))
    print(f"{case.name}, epsilon={epsilon}: {found}", flush=True)
    figures.add(case.name, "gradient rounds", epsilon, METRICS[case.score.__name__], scores)


def adult(draws: int) -> None:
    """AUC, F1 at the prior and log loss on Adult."""
    d = _data.adult()
    parts = d.X_private, d.y_private, d.X_public, d.X_scored, d.y_scored
    show(table_case("adult", parts), draws)


def halves(draws: int) -> None:
    """Repeat that with other halves of adult.test public and scored."""
    for half in range(4):
        d = _data.adult(half=half)
        parts = d.X_private, d.y_private, d.X_public, d.X_scored, d.y_scored
        show(table_case(f"adult, half {half}", parts), draws)


def pure(draws: int) -> None:
    """Repeat that with pure differential privacy, and with 5 % positives."""
    for positives in (None, 0.05):
        d = _data.adult(positives)
        parts = d.X_private, d.y_private, d.X_public, d.X_scored, d.y_scored
        for delta in (0.0, 1e-5) if positives else (0.0,):
            name = f"adult, {d.y_private.mean():.0%} positives, delta={delta:g}"
            show(table_case(name, parts, delta=delta), draws, (0.25, 0.5, 1, 2, 4, 8))


def shift(draws: int) -> None:
    """Repeat that with public rows that are unlike the private ones, or few."""
    d = _data.adult()
    for kind, public in kinds_of(d.X_public).items():
        parts = d.X_private, d.y_private, public, d.X_scored, d.y_scored
        show(table_case(f"adult, {kind} ({len(public)})", parts), draws, (0.25, 0.5, 2))


def housing(draws: int) -> None:
    """Root mean squared error on California housing, mean of splits."""
    for pairs in (None, "auto"):
        cases = []
        for seed in range(max(draws, 3)):
            d = _data.housing(seed)
            parts = d.X_private, d.y_private, d.X_public, d.X_scored, d.y_scored
            cases.append(table_case(f"housing, pairs={pairs}", parts, pairs, 1e-6))
        for epsilon in (0.25, 0.5, 1, 2):
            keep(cases[0], epsilon, np.concatenate([case.scores(epsilon, 1) for case in cases]))


def mnist(draws: int) -> None:
    """Accuracy on MNIST, and seconds of one release."""
    d = _data.mnist()
    case = image_case("mnist", d.X_private, d.y_private, d.X_public, d.X_scored, d.y_scored)
    began = time.perf_counter()
    show(case, draws, (0.25, 0.5, 1, 2))
    print(f"mnist: {(time.perf_counter() - began) / (4 * draws):.0f} s a release")


def timing(draws: int, n: int = 1_000_000, d: int = 100) -> None:
    """Measure a million rows, seconds and peak memory, after scikit-learn's LogisticRegression."""
    rng = np.random.default_rng(0)
    mixing = np.eye(d) + 0.3 * rng.normal(size=(d, d))
    X = rng.standard_normal((n, d))
    for start in range(0, n, 10_000):
        X[start : start + 10_000] = X[start : start + 10_000] @ mixing
    y = (X[:, :20] @ np.linspace(-0.5, 0.5, 20) + rng.logistic(size=n) > 0).astype(int)
    public, loss = X[:5000].copy(), PrivacyLoss.gaussian(1.0, 1e-6)

    def measured(name: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{name}: {time.perf_counter() - began:.1f} s, peak {peak:.2f} GB", flush=True)
        return result

    measured("LogisticRegression", lambda: LogisticRegression().fit(X, y))
    teacher = measured("NewtonClassifier.fit", lambda: NewtonClassifier(classes=[0, 1]).fit(X, y))
    rounds = gradient_rounds(teacher.private_rows_, public, loss)
    measured("release", lambda: answer(rounds, loss, ExactSampler()))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = {f.__name__: f for f in (study, check, adult, halves, pure, shift, housing, mnist)} | {
        "time": timing
    }
    parser.add_argument("what", nargs="+", choices=chosen)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--only", default="", help="cases of the study whose name holds this")
    Figures.option(parser)
    arguments = parser.parse_args()
    figures = Figures(arguments.json)
    print(environment())
    for what in arguments.what:
        more = {"only": arguments.only} if what == "study" else {}
        chosen[what](arguments.draws, **more)
