"""Data sets of the benchmarks, split once and for all into private, public and scored parts."""

import gzip
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

NUMBERS = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
CATEGORIES = [
    "workclass",
    "education",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "native-country",
]
_COLUMNS = [  # in the order of the files
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
]


@dataclass(frozen=True)
class Split:
    """Private labelled rows, public rows without labels, and labelled rows to score on."""

    X_private: pd.DataFrame | np.ndarray
    y_private: np.ndarray
    X_public: pd.DataFrame | np.ndarray
    X_scored: pd.DataFrame | np.ndarray
    y_scored: np.ndarray


def data_folder(name: str) -> Path:
    """Folder of one data set: in SKDISTILL_DATA, else in ``shared/data`` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKDISTILL_DATA") or beside) / name
    if not folder.is_dir():
        sys.exit(
            f"The data set {name!r} is absent. Set SKDISTILL_DATA to the folder that holds it."
        )
    return folder


def adult(positives: float | None = None, half: int = 0) -> Split:
    """Adult (UCI): who earns more than 50,000 dollars a year.

    adult.data is private; a fixed random half of adult.test is public, without its labels; the
    other half is scored. The capital columns are log(1 + x).

    Parameters
    ----------
    positives : float, default=None
        Share of positive rows to thin the data to, for a rare class; None leaves the 24 % there
        are. All three parts are thinned alike, since public rows should come from the population
        that is scored. (Nothing but this staging ever looks at a public row's label.)
    half : int, default=0
        Draws the half.
    """
    folder = data_folder("adult")
    private, test = _read_adult(folder / "adult.data"), _read_adult(folder / "adult.test")
    order = np.random.default_rng(half).permutation(len(test))
    public, scored = test.iloc[order[: len(test) // 2]], test.iloc[order[len(test) // 2 :]]
    if positives is not None:
        rng = np.random.default_rng(0)
        private, public, scored = (_thin(t, positives, rng) for t in (private, public, scored))
    features = NUMBERS + CATEGORIES
    return Split(
        private[features], _rich(private), public[features], scored[features], _rich(scored)
    )


def _read_adult(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, names=_COLUMNS, skipinitialspace=True, comment="|").dropna()
    for name in NUMBERS:
        table[name] = pd.to_numeric(table[name])
    for name in ("capital-gain", "capital-loss"):
        table[name] = np.log1p(table[name])
    return table


def _rich(table: pd.DataFrame) -> np.ndarray:
    return table["income"].str.contains(">50K").to_numpy().astype(int)


def _thin(table: pd.DataFrame, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Drop positive rows at random until `share` of the table is positive."""
    y = _rich(table)
    negative, positive = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    wanted = round(share / (1 - share) * len(negative))
    return table.iloc[np.sort(np.r_[negative, rng.choice(positive, wanted, replace=False)])]


def mnist() -> Split:
    """MNIST: ten digits, 784 pixels from 0 to 1.

    The 60,000 training images are private; the first 5,000 test images are public, without their
    labels; the last 5,000 are scored.
    """
    folder = data_folder("mnist")

    def read(name: str, header: int) -> np.ndarray:
        packed = (folder / f"{name}-ubyte.gz").read_bytes()
        return np.frombuffer(gzip.decompress(packed), np.uint8, offset=header)

    private, test = (
        read(f"{part}-images-idx3", 16).reshape(-1, 784) / 255.0 for part in ("train", "t10k")
    )
    digits = {part: read(f"{part}-labels-idx1", 8).astype(int) for part in ("train", "t10k")}
    return Split(private, digits["train"], test[:5000], test[5000:], digits["t10k"][5000:])


def housing(seed: int = 0, n_public: int = 4000) -> Split:
    """California housing (1990 census): the median house value of 20,640 block groups, in dollars.

    A random fifth is scored; of the other rows `n_public` are public, without their values, and
    the rest (12,512) is private. Blanks (207 in total_bedrooms) are left.

    Parameters
    ----------
    seed : int, default=0
        Draws the split.
    n_public : int, default=4000
        Size of the public part. The scored part does not depend on it.
    """
    table = pd.read_csv(data_folder("california_housing") / "housing.csv")
    values = table.pop("median_house_value").to_numpy(dtype=float)
    order = np.random.default_rng(seed).permutation(len(table))
    scored, public, private = np.split(order, [len(table) // 5, len(table) // 5 + n_public])
    return Split(
        table.iloc[private],
        values[private],
        table.iloc[public],
        table.iloc[scored],
        values[scored],
    )


def published(dataset: str) -> pd.DataFrame:
    """Rows of the collection of published results whose data set begins with `dataset`.

    Columns: dataset, method, epsilon, delta, metric, value, spread, setting, source, how_read.
    Empty where the file is absent.
    """
    path = data_folder(".") / "published_results.csv"
    if not path.exists():
        return pd.DataFrame({"dataset": []})
    table = pd.read_csv(path)
    return table[table["dataset"].str.startswith(dataset)]
