"""Tables as files hold them, through the README's recipe for one's own table, and a private table.

Each ends in a model whose AUC is within .03 of a plain logistic regression without privacy (which
is given the clean columns), at ε=4 with 12,000 private records; or in an error, before anything is
charged, that names the column and the cure.
"""

import io
from decimal import Decimal

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdistill import (
    NewtonClassifier,
    PrivacyLedger,
    PrivateClassifier,
    PrivateDistiller,
    Schema,
    TableFeatures,
)

pd = pytest.importorskip("pandas")

PRIVATE, PUBLIC, EPSILON, DELTA = 12_000, 4_000, 4.0, 1e-6
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def clean(share=0.35, seed=0):
    """Numbers, a category, a truth value, a year, and the target."""
    rng, n = np.random.default_rng(seed), PRIVATE + PUBLIC
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "income": np.round(rng.lognormal(10, 0.6, n), 2),
            "rate": np.round(rng.uniform(0, 30, n), 1),
            "job": rng.choice(["nurse", "pilot", "cook", "clerk"], n, p=[0.4, 0.1, 0.2, 0.3]),
            "owner": rng.random(n) < 0.4,
            "year": rng.integers(2000, 2024, n),
        }
    )
    score = (
        0.05 * (frame["age"] - 50)
        + 1.2 * (np.log(frame["income"]) - 10)
        - 0.08 * (frame["rate"] - 15)
        + 1.2 * frame["job"].isin(["nurse", "pilot"])
        - 0.9 * frame["owner"]
        + 0.06 * (frame["year"] - 2012)
        + rng.logistic(size=n)
    )
    frame["churn"] = np.where(score > np.quantile(score, 1 - share), "yes", "no")
    return frame


def plain_auc(frame):
    """A logistic regression on the clean columns, trained on the private rows."""
    frame = frame.sample(frac=1, random_state=0)
    numbers = ["age", "income", "rate", "year"]
    frame["income"] = np.log(frame["income"])
    columns = make_column_transformer(
        (StandardScaler(), numbers), (OneHotEncoder(), ["job", "owner"])
    )
    model = make_pipeline(columns, LogisticRegression())
    model.fit(frame[:PRIVATE], frame["churn"][:PRIVATE])
    scores = model.predict_proba(frame[PRIVATE:])[:, 1]
    return roc_auc_score(frame["churn"][PRIVATE:] == "yes", scores)


def private_table(table, accountant, dates=()):
    """A schema of public rows, a model of the private ones alone; its AUC on the public rows."""
    table = table.sample(frac=1, random_state=0)
    y = table.pop("churn")
    private, public = table[:PRIVATE], table[PRIVATE:]
    schema = Schema.from_public(public, dates=dates)
    settings = {"epsilon": EPSILON, "delta": DELTA, "accountant": accountant}
    model = PrivateClassifier(schema=schema, classes=["no", "yes"], **settings)
    model.fit(private, y[:PRIVATE])
    return roc_auc_score(y[PRIVATE:] == "yes", model.predict_proba(public)[:, 1])


def recipe(table, accountant, dates=()):
    """The code of the README, from the table on; the student's AUC on the public rows."""
    table = table.sample(frac=1, random_state=0)
    y = table.pop("churn")
    private, public = table[:PRIVATE], table[PRIVATE:]
    schema = Schema.from_public(public, dates=dates)
    features = TableFeatures(schema, n_components=30).fit(public)
    model = NewtonClassifier(classes=["no", "yes"])
    teacher = make_pipeline(FrozenEstimator(features), model).fit(private, y[:PRIVATE])
    settings = {"epsilon": EPSILON, "delta": DELTA, "accountant": accountant}
    distiller = PrivateDistiller(teacher, **settings).fit(public)
    return roc_auc_score(y[PRIVATE:] == "yes", distiller.predict_proba(public)[:, 1])


def as_read(frame, encoding="utf-8", **options):
    """Write a CSV file with `options`, and read it back as a user who knows its separator."""
    text = frame.to_csv(index=False, **options).encode(encoding)
    return pd.read_csv(io.BytesIO(text), sep=options.get("sep", ","))


def bom(frame):
    return as_read(frame, encoding="utf-8-sig")


def semicolons(frame):
    return as_read(frame, sep=";")


def decimal_commas(frame):
    return as_read(frame, sep=";", decimal=",")


def currency(frame):
    return as_read(frame.assign(income=frame["income"].map("${:,.2f}".format)))


def percent(frame):
    return as_read(frame.assign(rate=frame["rate"].map("{:.1f}%".format)))


def dates_day_first(frame):
    days = np.random.default_rng(1).integers(1, 29, len(frame))
    dates = [
        f"{day:02d}/{1 + day % 12:02d}/{y}" for day, y in zip(days, frame["year"], strict=True)
    ]
    return as_read(frame.assign(year=dates))


def dates(frame):
    return frame.assign(year=pd.to_datetime(frame["year"].astype(str) + "-06-30"))


def mixed_types(frame):
    cells = frame["age"].astype(object)
    cells[::50] = "unknown"
    return frame.assign(age=cells)


def duplicate_headers(frame):
    return pd.concat([frame, frame[["age"]]], axis=1)


def duplicate_headers_of_a_file(frame):
    return as_read(duplicate_headers(frame))


def ids(frame):
    return frame.assign(customer_id=[f"C-{i:07d}" for i in range(len(frame))])


def numbered(frame):
    return frame.assign(row=np.arange(len(frame)))


def booleans(frame):
    cells = frame["owner"].astype(object)
    cells[::40] = None
    return frame.assign(owner=cells)


def nullable(frame):
    frame = frame.convert_dtypes()
    frame.loc[::40, "owner"] = pd.NA
    return frame


def empty_columns(frame):
    return frame.assign(note=np.nan, remark=None, country="NO")


def sorted_by_target(frame):
    return frame.sort_values("churn", ignore_index=True)


def rare_classes(frame):
    return frame


def rare_categories(frame):
    cells = frame["job"].astype(object)
    cells.iloc[::1000] = [f"only {i}" for i in range(len(cells.iloc[::1000]))]
    return frame.assign(job=cells)


def float_categories(frame):
    codes = frame["job"].map({"nurse": 1.0, "pilot": 2.0, "cook": 30.0, "clerk": 47.0})
    return frame.assign(job=codes.mask(np.arange(len(frame)) % 60 == 0))


def intervals(frame):
    return frame.assign(age=pd.cut(frame["age"], range(10, 100, 10)))


def decimals(frame):
    return frame.assign(income=[Decimal(f"{value:.2f}") for value in frame["income"]])


def nested_lists(frame):
    return frame.assign(job=[[job, "x"] for job in frame["job"]])


def spaces_in_names(frame):
    return frame.rename(columns={"age": " Age (years) ", "rate": "Rate %"})


# Of a table: None for a model, or the error that names the column and the cure.
TABLES = {
    bom: None,
    semicolons: None,
    decimal_commas: r"Column 'income' .* commas.*decimal=",
    currency: r"Column 'income' .* currency .*pd\.to_numeric",
    percent: r"Column 'rate' .* percent .*pd\.to_numeric",
    dates_day_first: None,
    dates: r"Column 'year' holds dates.*Schema\.from_public\(table, dates=\['year'\]\)",
    mixed_types: r"Column 'age' holds numbers and text.*pd\.to_numeric",
    duplicate_headers: r"named 'age'.*duplicated\(\)",
    duplicate_headers_of_a_file: None,
    ids: None,
    numbered: None,
    booleans: None,
    nullable: None,
    empty_columns: None,
    sorted_by_target: None,
    rare_classes: None,
    rare_categories: None,
    float_categories: None,
    intervals: None,
    decimals: None,
    nested_lists: r"Column 'job' holds objects of type list.*astype",
    spaces_in_names: None,
}
# In 8 releases of the recipe .016 to .030 were lost with 360 positives, .019 to .028 with dates as
# categories (which are warned of), and below .022 with four others. A private table loses less than
# .022 with 360 positives, in 8 tables.
ALLOWED = {rare_classes: 0.05, dates_day_first: 0.04}
_PLAIN: dict = {}


RECIPES = [recipe, private_table]
each_recipe = pytest.mark.parametrize("use", RECIPES, ids=["distiller", "private table"])


def compare(make, frame, share, use, dates=()):
    """The student's AUC and the plain one; nothing is charged where there is an error."""
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-3)
    if share not in _PLAIN:
        _PLAIN[share] = plain_auc(frame.copy())
    try:
        return use(make(frame), ledger, dates), _PLAIN[share]
    except (TypeError, ValueError):
        assert len(ledger) == 0
        raise


@each_recipe
@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_a_table_makes_a_model_or_an_error_with_a_cure(make, use):
    share = 0.03 if make is rare_classes else 0.35
    if TABLES[make] is not None:
        with pytest.raises((TypeError, ValueError), match=TABLES[make]):
            compare(make, clean(share), share, use)
        return
    found, plain = compare(make, clean(share), share, use)
    asked = 0.03 if use is private_table and make is rare_classes else ALLOWED.get(make, 0.03)
    assert found > plain - asked


CURES = {
    decimal_commas: lambda t: t.assign(
        income=pd.to_numeric(t["income"].str.replace(",", ".")),
        rate=pd.to_numeric(t["rate"].str.replace(",", ".")),
    ),
    currency: lambda t: t.assign(
        income=pd.to_numeric(t["income"].str.replace(r"[^\d.-]", "", regex=True))
    ),
    percent: lambda t: t.assign(
        rate=pd.to_numeric(t["rate"].str.replace(r"[^\d.-]", "", regex=True))
    ),
    dates: lambda t: t,  # and `dates` of the schema
    dates_day_first: lambda t: t.assign(
        year=(pd.to_datetime(t["year"], dayfirst=True) - pd.Timestamp("2000-01-01")).dt.days
    ),
    mixed_types: lambda t: t.assign(age=pd.to_numeric(t["age"], errors="coerce")),
    duplicate_headers: lambda t: t.loc[:, ~t.columns.duplicated()],
    nested_lists: lambda t: t.assign(job=t["job"].astype(str)),
}


@each_recipe
@pytest.mark.parametrize("make", CURES, ids=lambda make: make.__name__)
def test_the_cure_of_the_message_cures(make, use):
    frame, named = clean(), ["year"] if make is dates else []
    found, plain = compare(lambda frame: CURES[make](make(frame)), frame, 0.35, use, named)
    assert found > plain - 0.03


def test_dates_as_text_are_warned_of_with_the_order_of_day_and_month():
    table = dates_day_first(clean()[:1000])
    with pytest.warns(UserWarning, match=r"'year' looks like dates .*dayfirst=True"):
        Schema.from_public(table.drop(columns="churn"))
    with pytest.warns(UserWarning, match=r"'d' looks like dates .*dates=\['d'\]"):
        Schema.from_public(pd.DataFrame({"d": ["2020-01-31", "2021-02-01"] * 20}))


def test_commas_that_are_a_category():
    codes = pd.DataFrame({"codes": ["1,2", "3,4"] * 20})
    with pytest.raises(ValueError, match="commas"):
        Schema.from_public(codes)
    schema = Schema.from_public(codes.astype("category"))
    assert list(schema.columns[0].categories) == ["1,2", "3,4"]
