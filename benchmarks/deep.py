"""Networks as teachers and students, against ensembles of scikit-learn of the same size: MNIST.

60,000 private training images; the first 5,000 test images are public, without their labels; the
last 5,000 are scored. 50 teachers on 1,200 images each, whose average probabilities are released
at ε=2 and δ=1e-5. The student is of the teachers' kind and learns from the released labels alone.

The network is the same in Keras and in PyTorch: the image at half its size, two convolutions, ten
outputs; Adam, 15 epochs. Its settings were chosen on one teacher, scored on private images that it
had not seen.

    OMP_NUM_THREADS=1 KERAS_BACKEND=torch python benchmarks/deep.py [--only PyTorch] [--releases 8]

Teachers are asked once; each release draws new noise on the same votes. The noise is seeded, the
same for every kind, so that two kinds can be compared release by release (``--details``). Three
columns of students:

auto
    The package's own choice, which for 50 teachers and ten classes at ε=2 is one round, smoothed.
    (The rule was settled on private images alone, 50,000 of them for SVC teachers and 5,000 in the
    place of the public ones, and on private rows of Adult.)
likeliest
    The same labels, but the student learns the likeliest class of each row. The noise that is left
    is smooth in X, so that a network which learns soft labels learns it with them.
two rounds
    ``ResidualRounds(n_rounds=2)``. 50 teachers are few for that: the histogram that finds the
    second round's clip has noise of 15 members in each bin.

    OMP_NUM_THREADS=1 KERAS_BACKEND=torch python benchmarks/deep.py --targets

compares the targets that a student network may be trained on: 3,000 images whose one-hot labels
have Gaussian noise, as they are (negative ones included), projected on the simplex, or the
likeliest class.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from _data import Split, mnist
from _environment import Figures, environment
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.neural import NetworkClassifier, adapted, clone_network
from skdistill.students.soft_targets import hard_labels, project_rows, with_unit_sums
from skdistill.teachers import TeacherEnsemble
from skdistill.testing import seeded_noise
from skdistill.transfer import basis, public_bases

DELTA = 1e-5
CLASSES = np.arange(10)
WAYS = ("auto", "likeliest", "two rounds")
Array = np.ndarray


def logistic(_: Split) -> tuple[Any, Any]:
    """LogisticRegression on the pixels."""
    return LogisticRegression(C=0.05, max_iter=200), None


class OneLabelSVC(SVC):
    """SVC without sample_weight: as a student it gets the likeliest label of each row."""

    def __init__(self, C: float = 5.0, gamma: float = 0.02) -> None:
        super().__init__(C=C, gamma=gamma)

    def fit(self, X: Any, y: Any) -> "OneLabelSVC":  # noqa: D102
        return super().fit(X, y)


def vectors(split: Split) -> tuple[Any, Any]:
    """SVC on 50 principal components of the public images."""
    return OneLabelSVC(), PCA(50, random_state=0).fit(split.X_public)


def keras_network(_: Split) -> tuple[Any, Any]:
    """Keras, on images."""
    import keras

    def build(X: Array, y: Array) -> Any:
        layers = keras.layers
        model = keras.Sequential(
            [
                layers.Input((784,)),
                layers.Reshape((28, 28, 1)),
                layers.AveragePooling2D(2),
                layers.Conv2D(16, 3, activation="relu"),
                layers.Conv2D(32, 3, strides=2, activation="relu"),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "categorical_crossentropy")
        model.optimizer.learning_rate = 5e-3
        return model

    options = {"epochs": 15, "batch_size": 32, "verbose": 0}
    return keras.wrappers.SKLearnClassifier(build, fit_kwargs=options), np.float32


def torch_network(_: Split) -> tuple[Any, Any]:
    """PyTorch by way of skorch, on images."""
    import skorch
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = torch.nn.Sequential(
                torch.nn.AvgPool2d(2),
                torch.nn.Conv2d(1, 16, 3),
                torch.nn.ReLU(),
                torch.nn.Conv2d(16, 32, 3, stride=2),
                torch.nn.ReLU(),
            )
            self.dense = torch.nn.Linear(32 * 5 * 5, 10)

        def forward(self, X: Any) -> Any:
            return self.dense(self.maps(X.reshape(-1, 1, 28, 28)).flatten(1))

    net = skorch.NeuralNetClassifier(
        Network,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=5e-3,
        batch_size=32,
        max_epochs=15,
        train_split=None,
        verbose=0,
    )
    return net, np.float32


KINDS: dict[str, Callable[[Split], tuple[Any, Any]]] = {
    "LogisticRegression": logistic,
    "SVC, 50 components": vectors,
    "Keras": keras_network,
    "PyTorch": torch_network,
}


class Remembered(ClassifierMixin, BaseEstimator):
    """A member of the ensemble that knows its answers on the public rows."""

    def __init__(self, votes: Array) -> None:
        self.votes = votes
        self.classes_ = CLASSES

    def predict_proba(self, X: Array) -> Array:
        """Return them."""
        return self.votes


class Likeliest(ClassifierMixin, BaseEstimator):
    """A student that learns the likeliest label of each row."""

    signed_soft_labels = True

    def __init__(self, student: Any) -> None:
        self.student = student

    def fit_soft(self, X: Array, Y: Array, classes: Array) -> "Likeliest":
        """Train the student on one label for each row."""
        self.student_ = clone_network(self.student).fit(X, classes[hard_labels(Y)])
        self.classes_ = classes
        return self

    def predict(self, X: Array) -> Array:
        """Return the student's classes."""
        return self.student_.predict(X)


@dataclass(frozen=True)
class Row:
    """One kind of teacher."""

    kind: str
    member: float
    ensemble: float
    without_noise: float
    released: dict[str, list[float]]
    seconds: float


def measured(kind: str, split: Split, args: argparse.Namespace) -> Row:
    """Fit the ensemble, ask it, release and train students."""
    model, change = KINDS[kind](split)
    X_private, X_public, X_scored = (
        X if change is None else X.astype(change) if change is np.float32 else change.transform(X)
        for X in (split.X_private, split.X_public, split.X_scored)
    )

    began = time.perf_counter()
    teacher = TeacherEnsemble(model, args.teachers, classes=CLASSES, random_state=0)
    teacher.fit(X_private, split.y_private)
    votes = list(teacher.member_votes(np.concatenate([X_public, X_scored])))
    seconds = time.perf_counter() - began
    m = len(X_public)
    right = [np.mean(each[m:].argmax(axis=1) == split.y_scored) for each in votes]
    together = np.mean(sum(votes)[m:].argmax(axis=1) == split.y_scored)
    teacher.estimators_ = [Remembered(each[:m]) for each in votes]

    bases = public_bases(split.X_public)  # public and always the same: once is enough
    basis.public_bases = lambda X, kind, encoder=None: bases
    ways: dict[str, dict[str, Any]] = {
        "auto": {"student": model},
        "likeliest": {"student": Likeliest(adapted(model))},
        "two rounds": {"student": model, "mechanism": ResidualRounds(n_rounds=2)},
    }

    def student(epsilon: float, **settings: Any) -> float:
        distiller = PrivateDistiller(
            teacher, epsilon=epsilon, delta=DELTA, random_state=0, **settings
        )
        return float(distiller.fit(X_public).score(X_scored, split.y_scored))

    released: dict[str, list[float]] = {way: [] for way in args.ways}
    for seed in range(args.releases):
        for way in args.ways:
            with seeded_noise(seed):
                released[way].append(student(args.epsilon, **ways[way]))
    without_noise = student(float("inf"), student=model)
    return Row(kind, float(np.mean(right)), float(together), without_noise, released, seconds)


def targets(kinds: list[str]) -> Iterator[str]:
    """Compare targets of a student network; a line for each noise."""
    split = mnist()
    X, y = split.X_private[:3000].astype(np.float32), split.y_private[:3000]
    scored = split.X_scored.astype(np.float32)
    ways: dict[str, Callable[[Array], Array]] = {
        "signed": with_unit_sums,
        "projected": project_rows,
        "likeliest": lambda labels: np.eye(10)[labels.argmax(axis=1)],
    }
    columns = [f"{way}, {kind}" for kind in kinds for way in ways]
    yield f"{'noise':>6}" + "".join(f"{column:>20}" for column in columns)
    for noise in (0.0, 0.3, 1.0, 2.0):
        labels = np.eye(10)[y] + np.random.default_rng(0).normal(0, noise, (len(y), 10))
        line = f"{noise:>6}"
        for kind in kinds:
            network = NetworkClassifier(KINDS[kind](split)[0], random_state=0)
            for change in ways.values():
                network.fit_soft(X, change(labels), CLASSES)
                line += f"{network.score(scored, split.y_scored):>20.3f}"
        yield line


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Measure each kind that was asked for."""
    split = mnist()
    for kind in KINDS:
        if not args.only or any(word in kind for word in args.only):
            yield measured(kind, split, args)


def keep(figures: Figures, row: Row, epsilon: float) -> None:
    """Add a row to the file of figures: accuracy without privacy, and of the releases."""
    without = {
        "one teacher": row.member,
        "their mean": row.ensemble,
        "student": row.without_noise,
    }
    figures.add("mnist", row.kind, np.inf, list(without), list(without.values()))
    released = np.column_stack(list(row.released.values()))
    figures.add("mnist", row.kind, epsilon, list(row.released), released)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epsilon", type=float, default=2)
    parser.add_argument("--teachers", type=int, default=50)
    parser.add_argument("--releases", type=int, default=8)
    parser.add_argument("--only", nargs="+", help="parts of the names of kinds")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--details", action="store_true", help="print each release's accuracy")
    parser.add_argument("--targets", action="store_true", help="compare targets of students")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures(args.json)
    warnings.simplefilter("ignore")
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        pass
    print(environment())
    if args.targets:
        for line in targets(
            [kind for kind in ("Keras", "PyTorch") if kind in (args.only or KINDS)]
        ):
            print(line, flush=True)
        return
    print(
        f"{args.teachers} teachers, ε={args.epsilon:g}, δ={DELTA:g}; accuracy on 5,000 images; "
        f"mean and standard deviation of {args.releases} releases\n"
    )
    columns = ["one teacher", "their mean", "student, ε=inf"]
    columns += [f"ε={args.epsilon:g}, {way}" for way in args.ways]
    print(f"{'teachers and student':22}" + "".join(f"{c:>16}" for c in columns) + f"{'fit, s':>8}")
    for row in rows(args):
        cells = [f"{v:.3f}" for v in (row.member, row.ensemble, row.without_noise)]
        for accuracies in row.released.values():
            spread = np.std(accuracies, ddof=min(1, args.releases - 1))
            cells.append(f"{np.mean(accuracies):.3f} ±{spread:.3f}")
        line = f"{row.kind:22}" + "".join(f"{c:>16}" for c in cells) + f"{row.seconds:>8.0f}"
        print(line, flush=True)
        keep(figures, row, args.epsilon)
        if args.details:
            for way, accuracies in row.released.items():
                print(f"    {way}: " + " ".join(f"{each:.3f}" for each in accuracies), flush=True)


if __name__ == "__main__":
    main()
