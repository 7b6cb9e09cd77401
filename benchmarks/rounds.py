"""One round, smoothed, or two? Measured on private rows that no teacher has seen.

The package's rule for the number of rounds, and how labels of one round are smoothed, were settled
by such figures: the private rows of MNIST and of Adult are split once more, into rows for the
teachers, rows that play the public ones, and rows that are scored. No row of the other benchmarks'
public or scored parts is looked at. δ=1e-5. Every figure is the mean and the standard deviation
over releases from the same votes: for MNIST (SVC teachers that vote hard) the accuracy of an SVC
that learns the likeliest class, for Adult the AUC of the default student.

``first answer`` is the number that the rule looks at: the noise that the first of two rounds would
leave on the fewest columns of a basis, in units of the distance of two members' extreme votes.

*Speed*: 100 logistic regressions and 10,000 rows; the calls of ``predict_proba`` alone, a release
in two rounds with its student where the graph of the rows is not known yet, and another on the same
rows; and the graph alone. CPU seconds of one process, in turns, medians.

    OMP_NUM_THREADS=1 python benchmarks/rounds.py [--only mnist adult speed] [--releases 8]
"""

import argparse
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from _data import CATEGORIES, NUMBERS, adult, mnist
from _environment import environment
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.accounting.loss import PrivacyLoss
from skdistill.teachers import TeacherEnsemble
from skdistill.transfer import basis, public_bases

DELTA = 1e-5
WAYS: dict[str, dict[str, Any]] = {
    "plain PATE": {"mechanism": ResidualRounds(n_rounds=1, basis=None)},
    "one round": {"mechanism": ResidualRounds(n_rounds=1)},
    "two rounds": {"mechanism": ResidualRounds(n_rounds=2)},
}
Array = np.ndarray


class LikeliestSVC(SVC):
    """The teachers' SVC as a student: no sample_weight, so it gets the arg-max of each row."""

    def __init__(self, C: float = 5.0, gamma: float = 0.02) -> None:
        super().__init__(C=C, gamma=gamma)

    def fit(self, X: Any, y: Any) -> "LikeliestSVC":  # noqa: D102
        return super().fit(X, y)


class Remembered(ClassifierMixin, BaseEstimator):
    """A member that knows its answers on the rows in the place of the public ones."""

    def __init__(self, votes: Array) -> None:
        self.votes = votes
        self.classes_ = np.arange(votes.shape[1])

    def predict_proba(self, X: Array) -> Array:
        """Return them."""
        return self.votes


@dataclass(frozen=True)
class Case:
    """An ensemble's votes on held-out rows, and how a student is scored."""

    name: str
    teacher: TeacherEnsemble
    X: Array
    X_scored: Array
    y_scored: Array
    student: Any
    epsilons: tuple[float, ...]

    def score(self, epsilon: float, **settings: Any) -> float:
        """Release, train and score one student."""
        distiller = PrivateDistiller(
            self.teacher, self.student, epsilon=epsilon, delta=DELTA, **settings
        ).fit(self.X)
        if len(self.teacher.classes_) > 2:
            return float(np.mean(distiller.student_.predict(self.X_scored) == self.y_scored))
        return roc_auc_score(self.y_scored, distiller.predict_proba(self.X_scored)[:, 1])


def case(name: str, member: Any, k: int, parts: tuple[Array, ...], *rest: Any) -> Case:
    """Fit an ensemble, and put its votes in the place of its members."""
    X, y, X_public, X_scored, y_scored = parts
    teacher = TeacherEnsemble(member, k, classes=np.unique(y), random_state=0).fit(X, y)
    votes = [np.asarray(each) for each in teacher.member_votes(X_public)]
    teacher.estimators_ = [Remembered(each) for each in votes]
    return Case(f"{k} {name}", teacher, X_public, X_scored, y_scored, *rest)


def split(X: Any, y: Array, sizes: tuple[int, int]) -> tuple[Any, ...]:
    """Split private rows into those for teachers, in the place of public ones, and scored."""
    a, b, c = np.split(np.random.default_rng(0).permutation(len(y)), np.cumsum(sizes))
    take = X.iloc if hasattr(X, "iloc") else X
    return take[a], y[a], take[b], take[c], y[c]


def mnist_cases() -> Iterator[Case]:
    """SVC on 50 principal components of the rows in the place of public ones."""
    data = mnist()
    X, y, X_public, X_scored, y_scored = split(data.X_private, data.y_private, (50_000, 5_000))
    pca = PCA(50, random_state=0).fit(X_public)
    X, X_public, X_scored = (
        np.ascontiguousarray(pca.transform(each)) for each in (X, X_public, X_scored)
    )
    parts = X, y, X_public, X_scored, y_scored
    for k, epsilons in ((50, (1, 2, 4)), (250, (0.5, 1, 2))):
        yield case("SVC, MNIST", SVC(C=5, gamma=0.02), k, parts, LikeliestSVC(), epsilons)


def adult_cases() -> Iterator[Case]:
    """Logistic regressions and boostings on one-hot categories."""
    data = adult()
    X, y, X_public, X_scored, y_scored = split(data.X_private, data.y_private, (20_000, 6_000))
    one_hot = OneHotEncoder(handle_unknown="ignore", min_frequency=40, sparse_output=False)
    encoder = make_column_transformer((StandardScaler(), NUMBERS), (one_hot, CATEGORIES))
    encoder.fit(X_public)
    X, X_public, X_scored = (encoder.transform(each) for each in (X, X_public, X_scored))
    parts = X, y, X_public, X_scored, y_scored
    for k, epsilons in ((300, (0.1, 0.25, 0.5, 1)), (800, (0.05, 0.1, 0.25))):
        yield case("LR, Adult", LogisticRegression(max_iter=300), k, parts, None, epsilons)
    boosting = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5)
    yield case("boostings, Adult", boosting, 150, parts, None, (0.25, 0.5, 1))


CASES = {"mnist": mnist_cases, "adult": adult_cases}


def speed(repeats: int) -> None:
    """Print what two residual rounds take, as a multiple of the members' calls."""
    X, y = make_classification(40_000, n_features=20, n_informative=8, random_state=0)
    teacher = TeacherEnsemble(LogisticRegression(), 100, classes=[0, 1], random_state=0)
    teacher.fit(X[:30_000], y[:30_000])
    rows = X[30_000:]
    distiller = PrivateDistiller(teacher, delta=DELTA, mechanism=ResidualRounds(2))
    ways = {
        "the members' calls": lambda: [each.predict_proba(rows) for each in teacher.estimators_],
        "first release, student included": lambda: distiller.fit(rows),
        "another on the same rows": lambda: distiller.fit(rows),
        "the graph alone, 10,000 x 20": lambda: basis.graph_eigenvectors(rows),
        "the graph alone, 20,000 x 20": lambda: basis.graph_eigenvectors(X[:20_000]),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        public_bases(X[:100])  # other rows than those that are timed
        for name, work in ways.items():
            began = time.process_time()
            work()
            found[name].append(time.process_time() - began)
    bare = median(found["the members' calls"])
    for name, seconds in found.items():
        print(f"{name:32}{median(seconds):8.3f} s{median(seconds) / bare:8.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*CASES, "speed"], default=[*CASES, "speed"])
    parser.add_argument("--releases", type=int, default=8)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # where labels are mostly noise, the package says so
    print(environment())
    if "speed" in args.only:
        speed(args.releases)
    cases = [name for name in args.only if name in CASES]
    if not cases:
        return
    print(f"mean and standard deviation of {args.releases} releases; δ={DELTA:g}\n")
    print(f"{'':22}{'ε':>6}{'first answer':>14}" + "".join(f"{way:>16}" for way in WAYS))
    for name in cases:
        for each in CASES[name]():
            c = len(each.teacher.classes_)
            for epsilon in each.epsilons:
                mu = PrivacyLoss.gaussian(epsilon, DELTA).part(0.3).mu or math.inf
                noise = math.sqrt(max(8, 2 * c) * (c - 1)) / (len(each.teacher.estimators_) * mu)
                line = f"{each.name:22}{epsilon:>6g}{noise:>14.2f}"
                for settings in WAYS.values():
                    found = [each.score(epsilon, **settings) for _ in range(args.releases)]
                    line += f"{np.mean(found):>9.3f} ±{np.std(found, ddof=1):.3f}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
