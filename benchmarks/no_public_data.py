"""Models of a private table alone: nothing is public but a schema of bounds and categories.

PrivateClassifier and PrivateRegressor with their defaults (gradient rounds), and with ensembles as
teachers; ε is for the whole of a fit. The schemas hold the bounds of the data sets' own
documentation, or round bounds that anyone would name without a look at the rows; peers get the same
bounds. δ=1e-5, and 1e-6 for California housing.

Adult: all of adult.data is private, all of adult.test is scored. Credit default: a fixed 70 % is
private, the rest is scored. German credit, California housing and wine (red and white together): a
random fifth is scored, the rest is private, another split for every run. `--only million` is Adult
with a million private rows, for seconds and memory. Every figure is the mean and the standard
deviation over runs. AUC; accuracy and F1 of `predict` (ours cuts at the released class prior, and
in the row "for accuracy" for that; peers at one half); log loss and Brier score of `predict_proba`;
RMSE. Seconds and memory are those of one fit: the peak of a process of its own, less its memory at
the start.

    OMP_NUM_THREADS=1 python benchmarks/no_public_data.py [--only adult] [--models ours dp_ebm]
        [--epsilons 0.5 1] [--runs 5] [--json docs/figures/no_public_data.json]

Shares of the budget and all constants were chosen on a fifth of the private rows of Adult, credit
default and California housing, held out. German credit and wine had no part in any of these
choices; those of private bounds alone were made with a look at the scored rows of all five. The
peers run where they can: DP-EBM with interpret-core, whose ε is for the weaker relation "add or
remove a record"; diffprivlib's models on scikit-learn 1.8 or older (its LogisticRegression on 1.7
or older; δ=0); boosting on rows of MST with smartnoise-synth, whose ε is for "add or remove a
record" too. F1 at the prior is that of the likeliest rows, as many as the private rows have
positives: our `predict` does about that, and a peer would have to pay for the number.
"""

import argparse
import contextlib
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from _data import CATEGORIES, NUMBERS, _read_adult, _rich, data_folder
from _environment import Figures, environment
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skdistill import PrivateClassifier, PrivateRegressor, TeacherEnsemble
from skdistill.transfer import Schema
from skdistill.transfer.table_features import TableFeatures

Array = np.ndarray


@dataclass(frozen=True)
class Data:
    """A private table, rows to score, and the public knowledge about both."""

    schema: Schema
    output_range: tuple[float, float] | None  # None for a classification into 0 and 1
    X: pd.DataFrame
    y: Array
    X_scored: pd.DataFrame
    y_scored: Array
    delta: float = 1e-5
    heavy: tuple[str, ...] = ()  # columns that get logarithmic bins in the peers' features


# The data sets, as they are, and their schemas.

ADULT = {
    "workclass": (
        "Private, Self-emp-not-inc, Self-emp-inc, Federal-gov, Local-gov, State-gov, Without-pay, "
        "Never-worked"
    ),
    "education": (
        "Bachelors, Some-college, 11th, HS-grad, Prof-school, Assoc-acdm, Assoc-voc, 9th, 7th-8th, "
        "12th, Masters, 1st-4th, 10th, Doctorate, 5th-6th, Preschool"
    ),
    "marital-status": (
        "Married-civ-spouse, Divorced, Never-married, Separated, Widowed, Married-spouse-absent, "
        "Married-AF-spouse"
    ),
    "occupation": (
        "Tech-support, Craft-repair, Other-service, Sales, Exec-managerial, Prof-specialty, "
        "Handlers-cleaners, Machine-op-inspct, Adm-clerical, Farming-fishing, Transport-moving, "
        "Priv-house-serv, Protective-serv, Armed-Forces"
    ),
    "relationship": "Wife, Own-child, Husband, Not-in-family, Other-relative, Unmarried",
    "race": "White, Asian-Pac-Islander, Amer-Indian-Eskimo, Other, Black",
    "sex": "Female, Male",
    "native-country": (
        "United-States, Cambodia, England, Puerto-Rico, Canada, Germany, "
        "Outlying-US(Guam-USVI-etc), India, Japan, Greece, South, China, Cuba, Iran, Honduras, "
        "Philippines, Italy, Poland, Jamaica, Vietnam, Mexico, Portugal, Ireland, France, "
        "Dominican-Republic, Laos, Ecuador, Taiwan, Haiti, Columbia, Hungary, Guatemala, "
        "Nicaragua, Scotland, Thailand, Yugoslavia, El-Salvador, Trinadad&Tobago, Peru, Hong, "
        "Holand-Netherlands"
    ),
}


@cache
def adult(run: int) -> Data:
    """Adult; the same split in every run. A question mark is a category of its own."""
    ages = {"age": (17, 90), "education-num": (1, 16), "hours-per-week": (1, 99)}
    capital = {"capital-gain": (0, 99_999), "capital-loss": (0, 5_000)}
    categories = {name: [*text.split(", "), "?"] for name, text in ADULT.items()}
    schema = Schema(
        {name: {**ages, **capital, **categories}[name] for name in NUMBERS + CATEGORIES},
        integer=NUMBERS,
    )
    private, test = (
        _read_adult(data_folder("adult") / f"adult.{part}") for part in ("data", "test")
    )
    for table in (private, test):
        for name in capital:  # stored as log(1 + x)
            table[name] = np.rint(np.expm1(table[name]))
    tables = [table[NUMBERS + CATEGORIES] for table in (private, test)]
    heavy = tuple(capital)
    return Data(schema, None, tables[0], _rich(private), tables[1], _rich(test), heavy=heavy)


def million(run: int) -> Data:
    """Adult with a million private rows, drawn from adult.data with replacement."""
    data = adult(run)
    rows = np.random.default_rng(run).integers(0, len(data.y), 1_000_000)
    return replace(data, X=data.X.iloc[rows].reset_index(drop=True), y=data.y[rows])


def credit(run: int) -> Data:
    """Default of credit card clients (UCI): 30,000 clients; the same split in every run."""
    table = pd.read_csv(data_folder("credit_default") / "credit_default.csv")
    months = ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"]
    amounts = {f"{kind}_AMT{i}": (0, 1_000_000) for kind in ("BILL", "PAY") for i in range(1, 7)}
    codes = ("SEX", "EDUCATION", "MARRIAGE")
    columns = {"LIMIT_BAL": (10_000, 1_000_000), "AGE": (18, 80)}
    columns |= dict.fromkeys(codes, [1, 2, 3, 4]) | dict.fromkeys(months, (-2, 9)) | amounts
    schema = Schema(columns, integer=["AGE", *months], missing=codes)
    X, y = table[schema.names], table["default.payment.next.month"].to_numpy().astype(int)
    order = np.random.default_rng(0).permutation(len(table))
    private, scored = order[9_000:], order[:9_000]
    heavy = tuple(amounts)
    return Data(schema, None, X.iloc[private], y[private], X.iloc[scored], y[scored], heavy=heavy)


GERMAN = (  # (low, high), or how many codes A<column>1, A<column>2, ... there are
    *(4, (0, 72), 5, 11, (0, 20_000), 5, 5, (1, 4), 5, 3, (1, 4), 4, (18, 80), 3, 3),
    *((1, 5), 4, (1, 2), 2, 2),
)


def german(run: int) -> Data:
    """German credit: 1,000 records; the positive class is a bad risk."""
    table = pd.read_csv(data_folder("german_credit") / "german.data", sep=" ", header=None)
    y = (table.pop(20) == 2).to_numpy().astype(int)
    table.columns = [f"attribute {j}" for j in range(1, 21)]
    meaning: dict[str, Any] = {}
    for j, what in enumerate(GERMAN, 1):
        # The history codes begin with A30, the purpose codes with A40.
        first = 0 if j in (3, 4) else 1
        meaning[f"attribute {j}"] = (
            what if isinstance(what, tuple) else [f"A{j}{i}" for i in range(first, first + what)]
        )
    numbers = [name for name, what in meaning.items() if isinstance(what, tuple)]
    schema = Schema(meaning, integer=numbers)
    return _split(schema, None, table, y, run, heavy=("attribute 5",))


def housing(run: int) -> Data:
    """California housing: the median house value of 20,640 block groups, in dollars."""
    table = pd.read_csv(data_folder("california_housing") / "housing.csv")
    y = table.pop("median_house_value").to_numpy(dtype=float)
    counts = {
        "total_rooms": (1, 40_000),
        "total_bedrooms": (1, 7_000),
        "population": (1, 40_000),
        "households": (1, 7_000),
    }
    schema = Schema(
        {
            "longitude": (-124.5, -114),
            "latitude": (32.5, 42),
            "housing_median_age": (1, 52),
            **counts,
            "median_income": (0.5, 15),
            "ocean_proximity": ["<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN"],
        },
        missing=["total_bedrooms"],
    )
    return _split(schema, (0.0, 500_001.0), table, y, run, delta=1e-6, heavy=tuple(counts))


def wine(run: int) -> Data:
    """Wine quality, red and white: 6,497 tastings, graded from 0 to 10."""
    folder = data_folder("wine_quality")
    parts = [pd.read_csv(folder / f"winequality-{kind}.csv", sep=";") for kind in ("red", "white")]
    table = pd.concat(parts, keys=["red", "white"], names=["kind", None]).reset_index("kind")
    y = table.pop("quality").to_numpy(dtype=float)
    bounds = {
        "fixed acidity": (3, 16),
        "volatile acidity": (0, 1.6),
        "citric acid": (0, 1.7),
        "residual sugar": (0, 70),
        "chlorides": (0, 0.7),
        "free sulfur dioxide": (0, 300),
        "total sulfur dioxide": (0, 450),
        "density": (0.98, 1.04),
        "pH": (2.5, 4.2),
        "sulphates": (0, 2.1),
        "alcohol": (8, 15),
    }
    schema = Schema({"kind": ["red", "white"], **bounds})
    table, heavy = table.reset_index(drop=True), ("residual sugar",)
    return _split(schema, (0.0, 10.0), table, y, run, heavy=heavy)


def _split(
    schema: Schema,
    output_range: tuple[float, float] | None,
    table: pd.DataFrame,
    y: Array,
    run: int,
    **known: Any,
) -> Data:
    X, X_scored, y, y_scored = train_test_split(table, y, test_size=0.2, random_state=run)
    return Data(schema, output_range, X, y, X_scored, y_scored, **known)


DATA: dict[str, Callable[[int], Data]] = {
    "adult": adult,
    "credit": credit,
    "german": german,
    "housing": housing,
    "wine": wine,
    "million": million,
}

# The models: from a data set and ε to something fitted, with predict.


def ours(data: Data, epsilon: float, teacher: Any = None, **settings: Any) -> Any:
    """Return a model with default settings, but for a teacher that may be given."""
    settings |= {"schema": data.schema, "epsilon": epsilon, "delta": data.delta}
    if data.output_range is None:
        model = PrivateClassifier(teacher, classes=[0, 1], **settings)
    else:
        model = PrivateRegressor(teacher, output_range=data.output_range, **settings)
    return model.fit(data.X, data.y)


def accurate(data: Data, epsilon: float) -> Any:
    """Return the default classifier, cut for accuracy."""
    return None if data.output_range else ours(data, epsilon, threshold="accuracy")


def private_bounds(data: Data, epsilon: float) -> Any:
    """Return the default model where no bounds of numbers are known."""
    unknown = [
        replace(column, low=None, high=None, edges=None) if column.kind == "number" else column
        for column in data.schema.columns
    ]
    return ours(replace(data, schema=Schema(unknown)), epsilon)


def ensemble(data: Data, epsilon: float) -> Any:
    """Return a model of linear teachers on disjoint shards, their number by the rule."""
    member = LogisticRegression(max_iter=300) if data.output_range is None else Ridge()
    return ours(data, epsilon, TeacherEnsemble(member))


def dp_ebm(data: Data, epsilon: float) -> Any:
    """DP-EBM with its defaults and the bounds of the schema."""
    from interpret.privacy import DPExplainableBoostingClassifier, DPExplainableBoostingRegressor

    kinds = ["nominal" if c.kind == "category" else "continuous" for c in data.schema.columns]
    bounds = {c.name: (c.low, c.high) for c in data.schema.columns if c.kind == "number"}
    settings = {
        "feature_types": kinds,
        "privacy_bounds": bounds,
        "epsilon": epsilon,
        "delta": data.delta,
        "n_jobs": 1,
    }
    X = plain(data, data.X)
    if data.output_range is None:
        fitted = DPExplainableBoostingClassifier(**settings).fit(X, data.y)
    else:
        low, high = data.output_range
        model = DPExplainableBoostingRegressor(
            privacy_target_min=low, privacy_target_max=high, **settings
        )
        fitted = model.fit(X, data.y)
    return On(partial(plain, data), fitted)


def plain(data: Data, X: pd.DataFrame) -> pd.DataFrame:
    """Return sanitised rows without missing numbers, categories as text."""
    table = data.schema.sanitize(X)
    for column in data.schema.columns:
        if column.kind == "category":
            table[column.name] = table[column.name].astype(str)
        else:
            table[column.name] = table[column.name].fillna(column.low)
    return table


def coarse(data: Data, n_bins: int = 12) -> Schema:
    """Return the schema with so many bins a number, as wide as each other or in powers."""
    columns = []
    for c in data.schema.columns:
        if c.kind == "number":
            even = tuple(np.linspace(c.low, c.high, n_bins + 1)[1:-1])
            c = replace(c, edges="log" if c.name in data.heavy else even)
        columns.append(c)
    return Schema(columns)


def bins(data: Data) -> Any:
    """Make indicators of the bins and categories that the schema itself says."""
    schema = coarse(data)
    codes = FunctionTransformer(schema.encode, kw_args={"n_bins": 12})
    sizes = [list(range(k)) for k in schema.n_codes(12)]
    onehot = OneHotEncoder(categories=sizes, sparse_output=False)
    rows = [[min(i, len(codes) - 1) for codes in sizes] for i in range(max(map(len, sizes)))]
    return make_pipeline(codes, FrozenEstimator(onehot.fit(rows)))


def diffprivlib_linear(data: Data, epsilon: float) -> Any:
    """Diffprivlib's LogisticRegression or LinearRegression, on bounded features."""
    from diffprivlib.models import LinearRegression, LogisticRegression

    features = bins(data)
    A = features.transform(data.X)
    norm = float(np.linalg.norm(A, axis=1).max())  # a liberty in its favour
    if data.output_range is None:
        model = LogisticRegression(
            epsilon=epsilon, data_norm=1.0, fit_intercept=False, C=0.03, max_iter=1000
        )
        return On(lambda X: features.transform(X) / norm, model.fit(A / norm, data.y))
    bounds = (A.min(axis=0), A.max(axis=0))
    model = LinearRegression(epsilon=epsilon, bounds_X=bounds, bounds_y=data.output_range)
    return On(features.transform, model.fit(A, data.y))


def diffprivlib_forest(data: Data, epsilon: float) -> Any:
    """Diffprivlib's RandomForestClassifier on codes."""
    from diffprivlib.models import RandomForestClassifier

    if data.output_range is not None:
        return None
    encode = partial(coarse(data).encode, n_bins=24)
    bounds = (np.zeros(len(data.schema)), np.array(coarse(data).n_codes(24)) - 1)
    model = RandomForestClassifier(epsilon=epsilon, bounds=bounds, classes=[0, 1])
    return On(encode, model.fit(encode(data.X), data.y))


def synthesiser(data: Data, epsilon: float) -> Any:
    """Boosting on rows of MST (smartnoise-synth), whose domain is that of the schema's bins."""
    from mbi import Dataset, Domain
    from snsynth.mst import MSTSynthesizer

    schema, target = coarse(data, 24), data.y
    if data.output_range is not None:
        ends = np.linspace(*data.output_range, 33)
        target = np.clip(np.searchsorted(ends, data.y, side="right") - 1, 0, 31)
    encode = partial(schema.encode, n_bins=24)
    sizes = [*schema.n_codes(24), 2 if data.output_range is None else 32]
    domain = Domain([f"column {j}" for j in range(len(sizes))], sizes)
    model = MSTSynthesizer(epsilon, data.delta)
    table = Dataset(np.column_stack([encode(data.X), target]), domain)
    with contextlib.redirect_stdout(None):
        model.MST(table, epsilon, data.delta)
    # Independent rows: rounded ones (the default of mbi 1.1.0) sort all columns of a group alike.
    drawn = model.undo_compress_fn(model.synthesizer.synthetic_data(len(data.y), "sample"))
    *columns, label = drawn.df[list(domain.attrs)].to_numpy().T
    categories = [c.kind == "category" for c in schema.columns]
    kind = HistGradientBoostingClassifier
    if data.output_range is not None:
        kind, label = HistGradientBoostingRegressor, (ends[label] + ends[label + 1]) / 2
    fitted = kind(random_state=0, categorical_features=categories).fit(np.array(columns).T, label)
    return On(encode, fitted)


def reference_linear(data: Data, epsilon: float) -> Any:
    """One linear model without privacy, on the features that our teachers get."""
    features = TableFeatures(data.schema)
    model = LogisticRegression(max_iter=1000) if data.output_range is None else Ridge()
    return make_pipeline(features, model).fit(data.X, data.y)


def reference_boosting(data: Data, epsilon: float) -> Any:
    """Gradient boosting without privacy."""
    kind = (
        HistGradientBoostingClassifier
        if data.output_range is None
        else HistGradientBoostingRegressor
    )
    features = TableFeatures(data.schema, None, n_knots=0, directions=False)
    return make_pipeline(features, clone(kind(random_state=0))).fit(data.X, data.y)


class On:
    """A model behind a map of the rows."""

    def __init__(self, change: Callable[[Any], Any], model: Any) -> None:
        self.change, self.model = change, model

    def predict(self, X: Any) -> Array:
        """Predict."""
        return self.model.predict(self.change(X))

    def predict_proba(self, X: Any) -> Array:
        """Predict probabilities."""
        return self.model.predict_proba(self.change(X))


MODELS: dict[str, tuple[Callable[[Data, float], Any], bool]] = {  # and whether ε matters
    "ours": (ours, True),
    "accurate": (accurate, True),
    "private_bounds": (private_bounds, True),
    "ensemble": (ensemble, True),
    "dp_ebm": (dp_ebm, True),
    "diffprivlib": (diffprivlib_linear, True),
    "forest": (diffprivlib_forest, True),
    "synthesiser": (synthesiser, True),
    "no_noise": (ours, False),
    "linear": (reference_linear, False),
    "boosting": (reference_boosting, False),
}
NAMES = {
    "ours": "gradient rounds (the default)",
    "accurate": "gradient rounds, for accuracy",
    "private_bounds": "gradient rounds, private bounds",
    "ensemble": "an ensemble of linear teachers",
    "dp_ebm": "DP-EBM",
    "diffprivlib": "diffprivlib, linear",
    "forest": "diffprivlib, random forest",
    "synthesiser": "MST (smartnoise), boosting",
    "no_noise": "the same without noise",
    "linear": "linear model, not private",
    "boosting": "boosting, not private",
}


def score(data: Data, model: Any) -> list[float]:
    """Return the scores that `metrics` names; F1 is that of `predict`, and that at the prior."""
    predicted = model.predict(data.X_scored)
    if data.output_range is not None:
        off = np.clip(predicted, *data.output_range) - data.y_scored
        return [float(np.sqrt(np.mean(off**2)))]
    scores = model.predict_proba(data.X_scored)[:, 1]
    y = data.y_scored
    likely = scores > np.quantile(scores, 1 - data.y.mean())
    found = [roc_auc_score(y, scores), accuracy_score(y, predicted), f1_score(y, predicted)]
    return [*found, f1_score(y, likely), log_loss(y, scores), brier_score_loss(y, scores)]


def one_run(task: tuple[str, str, float, int]) -> tuple[list[float], float, float] | str | None:
    """Fit and score in this process: scores, seconds, megabytes."""
    dataset, name, epsilon, run = task
    warnings.simplefilter("ignore")
    data = DATA[dataset](run)
    before, began = peak(), time.perf_counter()
    try:
        model = MODELS[name][0](data, epsilon)
    except (ImportError, TypeError) as error:
        return f"{type(error).__name__}: {str(error).partition(' (/')[0]}"[:80]
    if model is None:
        return None
    seconds, megabytes = time.perf_counter() - began, peak() - before
    return score(data, model), seconds, megabytes


def peak() -> float:
    """Return the most memory this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


CLASSES = ("AUC", "accuracy", "F1", "F1 at prior", "log loss", "Brier score")


def metrics(data: Data) -> tuple[str, ...]:
    """Return the names of the scores."""
    return CLASSES if data.output_range is None else ("RMSE",)


def rows(
    dataset: str, models: list[str], epsilons: list[float], runs: int, figures: Figures
) -> Iterator[str]:
    """Return the lines of one table."""
    heads = metrics(DATA[dataset](0))
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in models:
            for epsilon in epsilons if MODELS[name][1] else [np.inf]:
                tasks = [(dataset, name, epsilon, run) for run in range(runs)]
                found = pool.map(one_run, tasks, chunksize=1)
                if isinstance(found[0], str):
                    yield f"{NAMES[name]:32} skipped ({found[0]})"
                    break
                if found[0] is not None:
                    figures.add(dataset, name, epsilon, heads, [scores for scores, _, _ in found])
                    yield as_text(name, epsilon, found)


def as_text(name: str, epsilon: float, found: list[Any]) -> str:
    """Format a row."""
    scores = np.array([scores for scores, _, _ in found])
    mean, spread = scores.mean(axis=0), scores.std(axis=0, ddof=min(1, len(scores) - 1))
    digits = 3 if mean[0] < 10 else 0
    cells = [f"{a:,.{digits}f} ±{b:,.{digits}f}" for a, b in zip(mean, spread, strict=True)]
    seconds, megabytes = (np.mean([row[i] for row in found]) for i in (1, 2))
    line = f"{NAMES[name]:32}{epsilon:>6g}  " + "".join(f"{cell:17}" for cell in cells)
    return f"{line}{seconds:7.1f} s {megabytes:6.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(DATA), default=list(DATA)[:-1])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.25, 0.5, 1, 2, 4])
    parser.add_argument("--runs", type=int, default=5)
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures(args.json)
    print(environment())
    print(f"mean and standard deviation of {args.runs} runs")
    for dataset in args.only:
        data, began = DATA[dataset](0), time.perf_counter()
        size = f"{len(data.y):,} private records, {len(data.schema)} columns"
        print(f"\n{dataset}: {size}, δ={data.delta:g}")
        print(f"{'':32}{'ε':>6}  " + "".join(f"{head:17}" for head in metrics(data)))
        for line in rows(dataset, args.models, args.epsilons, args.runs, figures):
            print(line, flush=True)
        print(f"  ({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
