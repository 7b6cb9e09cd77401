"""Accuracy against ε on MNIST: ten classes, released in residual rounds or as votes.

60,000 private training images; the first 5,000 test images are public, without their labels; the
last 5,000 are scored. Features: 50 principal components of the public images. 250 teachers,
SVC(C=5, gamma=0.02) on 240 images each, vote for one digit. δ=1e-5. Every figure is the mean and
the standard deviation over releases from the same votes.

The students learn from released labels alone: the same SVC from the arg-max of each row,
scikit-learn's LabelSpreading (7 neighbours) from the rows that were answered, or the package's
default, a LogisticRegression on soft labels. The label-only mechanisms of PATE ask about as many
rows as the package's public rule says (``most_queries``).
Accuracy is given for the student's own decision (``threshold=None``) and at the released class
prior (``threshold="prior"``, the default).

    OMP_NUM_THREADS=1 python benchmarks/mnist.py [--epsilons 1] [--releases 5] [--cache DIR]

Teachers are fitted, and asked, once: ``--cache`` keeps their votes for the next run. The SVC's
parameters were chosen for single teachers; the package's rules for rounds and bases were settled
in a study that scored the same 5,000 images, in which nothing was fitted to their labels.
"""

import argparse
import re
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np
from _data import Split, mnist
from _environment import Figures, environment
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.accounting.loss import PrivacyLoss
from skdistill.release.calibration import PRIOR_SHARE
from skdistill.release.votes import TEST_SHARE, most_queries
from skdistill.teachers import TeacherEnsemble

DELTA = 1e-5
N_TEACHERS = 250
FRAMES = ("X_private", "X_public", "X_scored")

Array = np.ndarray


class HardSVC(SVC):
    """The teachers' SVC as a student: no sample_weight, so it gets the arg-max of each row."""

    def __init__(self, C: float = 5.0, gamma: float = 0.02) -> None:
        super().__init__(C=C, gamma=gamma)

    def fit(self, X: Any, y: Any) -> "HardSVC":  # noqa: D102
        return super().fit(X, y)


class Remembered(ClassifierMixin, BaseEstimator):
    """A member of the ensemble that knows its answers on the rows it will be asked about."""

    def __init__(self, rows: dict[bytes, int], codes: Array, classes: Array) -> None:
        self.rows, self.codes, self.classes = rows, codes, classes
        self.classes_ = classes

    def predict(self, X: Array) -> Array:
        """Look the answers up."""
        return self.classes_[self.codes[[self.rows[row.tobytes()] for row in X]]]


@dataclass(frozen=True)
class Row:
    """One row of the table: accuracy of the student's own decision, and at the prior."""

    name: str
    epsilon: float
    scores: list[tuple[float, float]]


def projected() -> Split:
    """MNIST on the principal components of its public rows."""
    split = mnist()
    pca = PCA(50, random_state=0).fit(split.X_public)
    parts = {name: np.ascontiguousarray(pca.transform(getattr(split, name))) for name in FRAMES}
    return replace(split, **parts)


def all_votes(split: Split, n_jobs: int | None) -> tuple[TeacherEnsemble, Array]:
    """Fit the teachers; return them, and their votes on public and scored rows as codes."""
    teacher = TeacherEnsemble(SVC(C=5, gamma=0.02), N_TEACHERS, random_state=0, n_jobs=n_jobs)
    teacher.fit(split.X_private, split.y_private)
    rows = np.concatenate([split.X_public, split.X_scored])
    return teacher, np.array([v.argmax(axis=1) for v in teacher.member_votes(rows)], np.uint8)


def remembering(teacher: TeacherEnsemble, split: Split, votes: Array) -> TeacherEnsemble:
    """Put the votes in the place of the members: each release would ask them the same again."""
    rows = {row.tobytes(): i for i, row in enumerate(split.X_public)}
    teacher.estimators_ = [Remembered(rows, codes, teacher.classes_) for codes in votes]
    return teacher.set_params(n_jobs=None)


def one_model(split: Split) -> float:
    """Accuracy of the SVC on all private rows, without privacy."""
    model = SVC(C=5, gamma=0.02).fit(split.X_private, split.y_private)
    return float(model.score(split.X_scored, split.y_scored))


def n_queries(epsilon: float, confident: bool) -> int:
    """How many rows the package's rule asks a label-only mechanism about."""
    loss = PrivacyLoss.gaussian(epsilon, DELTA).part(1 - PRIOR_SHARE)
    if confident:
        return 4 * most_queries(N_TEACHERS, 10, loss.part(1 - TEST_SHARE))
    return most_queries(N_TEACHERS, 10, loss)


def methods(epsilon: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and settings of each distiller."""
    spreading = LabelSpreading(kernel="knn", n_neighbors=7)
    yield "auto rounds, SVC", {"student": HardSVC()}
    yield "two rounds, SVC", {"student": HardSVC(), "mechanism": ResidualRounds(2)}
    yield "three rounds, SVC", {"student": HardSVC(), "mechanism": ResidualRounds(3)}
    yield "one round, smoothed, SVC", {"student": HardSVC(), "mechanism": ResidualRounds(1)}
    yield (
        "one round (soft PATE), SVC",
        {"student": HardSVC(), "mechanism": ResidualRounds(1, basis=None)},
    )
    yield "auto rounds, default student", {}
    yield "one round (soft PATE), default student", {"mechanism": ResidualRounds(1, basis=None)}
    few = {"mechanism": "noisy_max", "max_queries": n_queries(epsilon, False)}
    yield "noisy_max, SVC", {"student": HardSVC(), **few}
    yield "noisy_max, LabelSpreading", {"student": spreading, **few}
    tested = {"mechanism": "confident_max", "max_queries": n_queries(epsilon, True)}
    yield "confident_max, LabelSpreading", {"student": spreading, **tested}


def distilled(teacher: Any, split: Split, epsilon: float, **settings: Any) -> tuple[float, float]:
    """Release, train and score one student."""
    distiller = PrivateDistiller(teacher, epsilon=epsilon, delta=DELTA, **settings)
    distiller.fit(split.X_public)
    own = distiller.student_.predict(split.X_scored)
    at_prior = distiller.predict(split.X_scored)
    return float(np.mean(own == split.y_scored)), float(np.mean(at_prior == split.y_scored))


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Measure everything."""
    keep = joblib.Memory(args.cache, verbose=0).cache
    split = projected()
    began = time.perf_counter()
    teacher, votes = keep(all_votes, ignore=["n_jobs"])(split, args.n_jobs)
    print(f"  (teachers and votes: {time.perf_counter() - began:.0f} s)", flush=True)
    m = len(split.X_public)
    winners = [np.bincount(column, minlength=10).argmax() for column in votes[:, m:].T]
    alone = float(np.mean(votes[:, m:] == split.y_scored))
    ensemble = float(np.mean(winners == split.y_scored))
    whole = keep(one_model)(split)
    yield Row("SVC on all private rows, no privacy", np.inf, [(whole, np.nan)])
    yield Row("the ensemble's plurality, no privacy", np.inf, [(ensemble, np.nan)])
    yield Row("one teacher (mean), no privacy", np.inf, [(alone, np.nan)])
    teacher = remembering(teacher, split, votes[:, :m])
    yield Row(
        "student without noise, SVC",
        np.inf,
        [distilled(teacher, split, np.inf, student=HardSVC())],
    )
    for epsilon in args.epsilons:
        for name, settings in methods(epsilon):
            if args.only and not any(word in name for word in args.only):
                continue
            scores = [distilled(teacher, split, epsilon, **settings) for _ in range(args.releases)]
            if "max_queries" in settings:
                name += f", {settings['max_queries']} rows"
            yield Row(name, epsilon, scores)


def as_text(row: Row) -> str:
    """Format a row."""
    scores = np.array(row.scores)
    spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.full(2, np.nan)
    line = f"{row.name:42}{row.epsilon:>5g}  "
    for mean, deviation in zip(scores.mean(axis=0), spread, strict=True):
        cell = "" if np.isnan(mean) else f"{mean:.4f}".lstrip("0")
        cell += "" if np.isnan(deviation) else f" ±{deviation:.4f}".replace("±0", "±")
        line += f"{cell:17}"
    return line.rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.5, 1, 2, 4])
    parser.add_argument("--releases", type=int, default=5)
    parser.add_argument("--cache", help="folder that keeps the teachers' votes")
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--only", nargs="+", help="parts of the names of methods")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures(args.json)
    warnings.simplefilter("ignore")  # where labels are mostly noise, the package says so
    print(environment())
    print(f"mean and standard deviation of {args.releases} releases; δ={DELTA:g}\n")
    print(f"{'':42}{'ε':>5}  {'own decision':17}at the prior")
    with tempfile.TemporaryDirectory() as folder:
        args.cache = args.cache or folder
        for row in rows(args):
            print(as_text(row), flush=True)
            heads = ("accuracy", "accuracy at prior")
            name = re.sub(r", \d+ rows$", "", row.name)
            figures.add("mnist", name, row.epsilon, heads, row.scores)


if __name__ == "__main__":
    main()
