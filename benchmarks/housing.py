"""RMSE against ε on California housing: a private regression and its peers.

A random fifth of the rows is scored, 4,000 of the others are public without their values, 12,512
are private; δ=1e-6. Every figure is the mean and the standard deviation over random splits, one
release each, in dollars.

The teachers are Ridge(alpha=1) on logarithms and ratios of the columns (blanks filled, and
columns scaled, by the public rows); the student is the package's default; house values lie in a
public range, since the census cut them at 500,001 dollars.

Peers are given all training rows, our public 4,000 among them, as private records. DP-EBM is
quoted (published_results.csv: eight numeric columns, ten splits) and recomputed where
interpret-core is installed, on those eight columns and on our features; diffprivlib's
LinearRegression (δ=0) gets our features, with bounds from the public rows. All predictions are
clipped to the public range before they are scored.

    OMP_NUM_THREADS=1 python benchmarks/housing.py [--epsilons 0.5 1] [--splits 5] [--only ours]

The features and the numbers of teachers, 250 and 1,000, were chosen in studies on scored rows of
random splits; n_teachers="auto" and ResidualRounds(n_rounds="auto") are the package's public rules.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from _data import Split, housing, published
from _environment import Figures, environment
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.teachers import TeacherEnsemble

DELTA = 1e-6
RANGE = (0.0, 500_001.0)
PLACES = ["<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN"]

Array = np.ndarray
Describe = Callable[[pd.DataFrame], Array]


@dataclass(frozen=True)
class Row:
    """One row of the table; without values, a quotation of mean and spread."""

    name: str
    epsilon: float
    errors: list[float]
    quoted: str = ""


@dataclass(frozen=True)
class Task:
    """The settings of every group of rows."""

    epsilons: list[float]
    splits: int

    def rows(
        self, name: str, run: Callable[[int, float], float], epsilons: list[float] | None = None
    ) -> Iterator[Row]:
        """Run on every split at every ε; give up where a peer cannot."""
        for epsilon in epsilons or self.epsilons:
            yield Row(name, epsilon, [run(seed, epsilon) for seed in range(self.splits)])


def features(public: pd.DataFrame) -> Describe:
    """Return the map from columns to features: logarithms, ratios, places."""
    fill = {"total_bedrooms": public["total_bedrooms"].median()}
    scaler = StandardScaler().fit(_ratios(public.fillna(fill)))
    return lambda table: scaler.transform(_ratios(table.fillna(fill)))


def _ratios(table: pd.DataFrame) -> Array:
    rooms, bedrooms, people, homes = (
        table[name] for name in ("total_rooms", "total_bedrooms", "population", "households")
    )
    income, age = table["median_income"], table["housing_median_age"]
    columns = [np.log1p(column) for column in (rooms, bedrooms, people, homes, income, age)]
    columns += [np.log(rooms / homes), np.log(bedrooms / rooms), np.log(people / homes)]
    columns += [income, age, table["latitude"], table["longitude"]]
    columns += [table["ocean_proximity"] == place for place in PLACES]
    return np.column_stack(columns).astype(float)


def numeric(table: pd.DataFrame) -> Array:
    """Return the eight numeric columns, blanks as 0, as for DP-EBM's published figure."""
    return table.drop(columns="ocean_proximity").fillna(0).to_numpy()


def rmse(split: Split, predicted: Array) -> float:
    """Root mean squared error in dollars, after a clip to the public range."""
    return float(np.sqrt(np.mean((np.clip(predicted, *RANGE) - split.y_scored) ** 2)))


# The groups of rows.


def ours(task: Task) -> Iterator[Row]:
    """Ensembles of Ridge, released in rounds or all at once."""
    for n_teachers in (250, "auto", 1000):
        fitted = {}
        for seed in range(task.splits):
            split = housing(seed)
            describe = features(split.X_public)
            teacher = TeacherEnsemble(Ridge(), n_teachers, random_state=seed)
            fitted[seed] = split, describe, teacher.fit(describe(split.X_private), split.y_private)
        k = teacher.n_teachers_

        def run(seed: int, epsilon: float, fitted: Any = fitted, **settings: Any) -> float:
            split, describe, teacher = fitted[seed]
            distiller = PrivateDistiller(
                teacher, epsilon=epsilon, delta=DELTA, output_range=RANGE, **settings
            )
            distiller.fit(describe(split.X_public))
            return rmse(split, distiller.predict(describe(split.X_scored)))

        how = "" if n_teachers != "auto" else ' ("auto")'
        yield from task.rows(f"{k}{how} Ridge, auto rounds", run)
        yield from task.rows(
            f"{k}{how} Ridge, one round", partial(run, mechanism=ResidualRounds(1))
        )
        plain = partial(run, mechanism=ResidualRounds(1, basis=None))
        yield from task.rows(f"{k}{how} Ridge, plain PATE", plain)
        yield from task.rows(f"{k}{how} Ridge, no noise", run, [np.inf])


def quoted(task: Task) -> Iterator[Row]:
    """Quote the figures that others report."""
    for row in published("california_housing").itertuples():
        text = f"{float(row.value):,.0f} ±{float(row.spread):,.0f}"
        if float(row.epsilon) in task.epsilons:
            source = f"   ({row.setting}; {row.source}, {row.how_read})"
            yield Row("DP-EBM, published_results.csv", float(row.epsilon), [], text + source)


def dp_ebm(task: Task) -> Iterator[Row]:
    """DP-EBM with its defaults, with bounds from the public rows."""
    try:
        from interpret.privacy import DPExplainableBoostingRegressor
    except ImportError as error:
        print(f"DP-EBM: skipped ({error})")
        return

    def run(seed: int, epsilon: float, own_columns: bool) -> float:
        split, public = housing(seed, n_public=0), housing(seed).X_public
        describe = numeric if own_columns else features(public)
        X, X_public = describe(split.X_private), describe(public)
        bounds = np.column_stack([X_public.min(axis=0), X_public.max(axis=0)])
        model = DPExplainableBoostingRegressor(
            feature_types=["continuous"] * X.shape[1],
            epsilon=epsilon,
            delta=DELTA,
            privacy_bounds=bounds,
            privacy_target_min=RANGE[0],
            privacy_target_max=RANGE[1],
            n_jobs=1,
        )
        model.fit(X, split.y_private)
        return rmse(split, model.predict(describe(split.X_scored)))

    yield from task.rows("DP-EBM, its eight columns", partial(run, own_columns=True))
    yield from task.rows("DP-EBM, our features", partial(run, own_columns=False))


def diffprivlib_models(task: Task) -> Iterator[Row]:
    """LinearRegression of diffprivlib: a noisy polynomial of the loss."""
    try:
        from diffprivlib.models import LinearRegression
    except ImportError as error:
        print(f"diffprivlib's LinearRegression: skipped ({error})")
        return

    def run(seed: int, epsilon: float) -> float:
        split, public = housing(seed, n_public=0), housing(seed).X_public
        describe = features(public)
        X_public = describe(public)
        model = LinearRegression(
            epsilon=epsilon,
            bounds_X=(X_public.min(axis=0), X_public.max(axis=0)),
            bounds_y=RANGE,
        )
        model.fit(describe(split.X_private), split.y_private)
        return rmse(split, model.predict(describe(split.X_scored)))

    yield from task.rows("diffprivlib LinearRegression", run)


def references(task: Task) -> Iterator[Row]:
    """No privacy: our private rows, our features; and the mean of the public range."""

    def run(seed: int, epsilon: float, make: Callable[[], Any]) -> float:
        split = housing(seed)
        describe = features(split.X_public)
        model = make().fit(describe(split.X_private), split.y_private)
        return rmse(split, model.predict(describe(split.X_scored)))

    yield from task.rows("Ridge", partial(run, make=Ridge), [np.inf])
    boosted = partial(HistGradientBoostingRegressor, random_state=0)
    yield from task.rows("HistGradientBoosting", partial(run, make=boosted), [np.inf])


GROUPS: dict[str, Callable[[Task], Iterator[Row]]] = {
    "ours": ours,
    "quoted": quoted,
    "dp_ebm": dp_ebm,
    "diffprivlib": diffprivlib_models,
    "references": references,
}


def as_text(row: Row) -> str:
    """Format a row."""
    spread = np.std(row.errors, ddof=1) if len(row.errors) > 1 else 0.0
    cell = row.quoted or f"{np.mean(row.errors):,.0f} ±{spread:,.0f}"
    return f"{row.name:38}{row.epsilon:>6g}   {cell}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.25, 0.5, 1, 2, 4])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    Figures.option(parser)
    args = parser.parse_args()
    task, figures = Task(args.epsilons, args.splits), Figures(args.json)
    warnings.simplefilter("ignore")  # one round at a small ε warns that it is mostly noise
    print(environment())
    print(f"mean and standard deviation over {task.splits} random splits; δ={DELTA:g}\n")
    print(f"{'':38}{'ε':>6}   test RMSE (dollars)")
    for name in args.only:
        began = time.perf_counter()
        for row in GROUPS[name](task):
            print(as_text(row), flush=True)
            if row.errors:
                figures.add("housing", row.name, row.epsilon, ["RMSE"], row.errors)
        print(f"  ({name}: {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
