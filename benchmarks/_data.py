"""Data sets of the benchmarks, split once and for all into private, public and scored parts."""

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

    X_private: pd.DataFrame
    y_private: np.ndarray
    X_public: pd.DataFrame
    X_scored: pd.DataFrame
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


def adult(positives: float | None = None) -> Split:
    """Adult (UCI): who earns more than 50,000 dollars a year.

    adult.data is private; a fixed random half of adult.test is public, without its labels; the
    other half is scored. The capital columns are log(1 + x).

    Parameters
    ----------
    positives : float, default=None
        Share of positive rows to thin the data to, for a rare class; None leaves the 24 % there
        are. All three parts are thinned alike, since public rows should come from the population
        that is scored. (Nothing but this staging ever looks at a public row's label.)
    """
    folder = data_folder("adult")
    private, test = _read_adult(folder / "adult.data"), _read_adult(folder / "adult.test")
    order = np.random.default_rng(0).permutation(len(test))
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
