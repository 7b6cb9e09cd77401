"""
How do I get from a CSV file to a model that I may publish?
===========================================================

A gym has a table of its members and of who cancelled. It wants to publish a model that tells who
is likely to cancel, and nothing about any one member. This is the whole way, from the file with
numbers, categories, dates and gaps to another file that anybody may read.
"""

import csv
import tempfile
import textwrap
import warnings
from datetime import date, timedelta
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import skdistill
from skdistill import (
    NewtonClassifier,
    PrivacyLedger,
    PrivateDistiller,
    Schema,
    TableFeatures,
    TeacherEnsemble,
)

folder = Path(tempfile.mkdtemp())

# %%
# The file
# --------
# It is made up here; take your own.
rng = np.random.default_rng(0)
n = 16_000
age, visits, months = rng.integers(18, 80, n), rng.poisson(5, n), rng.integers(0, 96, n)
town = rng.choice(["Basel", "Bern", "Chur", "Genf", ""], n, p=[0.4, 0.3, 0.15, 0.1, 0.05])
plan = rng.choice(["basic", "plus", "family"], n, p=[0.5, 0.3, 0.2])
score = 1.5 - 0.6 * visits + 0.06 * (visits - 5) ** 2 - 0.02 * months + 1.2 * (plan == "basic")
cancelled = np.where(score + 0.7 * (age < 30) + rng.logistic(size=n) > 0, "yes", "no")
joined = [date(2025, 12, 31) - timedelta(days=int(30 * m)) for m in months]
age = np.where(rng.random(n) < 0.08, "", age.astype(str))
with open(folder / "members.csv", "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["member", "age", "town", "plan", "joined", "visits", "cancelled"])
    out.writerows(zip(range(n), age, town, plan, joined, visits, cancelled, strict=True))
print("".join((folder / "members.csv").read_text().splitlines(keepends=True)[:5]))


# %%
# Read it
# -------
# Numbers are read as numbers, categories as text, an empty cell as a missing value, and a date as
# the years since then. The member's number is left out: it only identifies a person. (A data frame
# of pandas or polars with these columns will do for all that follows, too.)
def number(text):
    return float(text) if text else np.nan


def years(text):
    return (date(2026, 1, 1) - date.fromisoformat(text)).days / 365.25


COLUMNS = {"age": number, "town": str, "plan": str, "joined": years, "visits": number}
with open(folder / "members.csv", newline="") as file:
    rows = list(csv.DictReader(file))
X = np.array([[read(row[name]) for name, read in COLUMNS.items()] for row in rows], dtype=object)
y = np.array([row["cancelled"] for row in rows])

# %%
# Private rows, public rows
# -------------------------
# 12,000 members are private. 2,000 rows are public and label the way from teacher to student
# (they might come from members who agreed to it; their answers are not used). 2,000 more,
# with answers, measure the result; if these were private, the measurement would be a leak.
X_private, X_public, X_test = np.split(X, [12_000, 14_000])
y_private, _, y_test = np.split(y, [12_000, 14_000])

# %%
# Public knowledge about the columns is written down, not read off private rows. Features are made
# with this schema and centred on the public rows, so no member can move them.
schema = Schema(
    {
        "age": (16, 90),
        "town": ["Basel", "Bern", "Chur", "Genf"],
        "plan": ["basic", "plus", "family"],
        "joined": (0, 10),
        "visits": (0, 15),
    },
    integer=["age", "visits"],
    missing=["age", "town"],
)
features = FrozenEstimator(TableFeatures(schema).fit(X_public))

# %%
# Choose a teacher
# ----------------
# A release hides one member, so the influence of one member on the teacher counts.
# ``preview`` returns the statement that a fit would make, and warns if the student would learn
# little but noise. It asks the teacher nothing and costs nothing.
EPSILON, DELTA, CLASSES = 1.0, 1e-6, ["no", "yes"]
TEACHERS = {
    "one forest": RandomForestClassifier(50, max_depth=8, random_state=0),
    "150 trees on shards": TeacherEnsemble(
        DecisionTreeClassifier(max_depth=4), 150, classes=CLASSES, random_state=0
    ),
    "gradient rounds": NewtonClassifier(classes=CLASSES),
}
distillers = {}
for name, model in TEACHERS.items():
    teacher = make_pipeline(features, model).fit(X_private, y_private)
    student = make_pipeline(TableFeatures(schema), LogisticRegression())
    distillers[name] = PrivateDistiller(teacher, student, epsilon=EPSILON, delta=DELTA)
    with warnings.catch_warnings(record=True, action="always") as mostly_noise:
        statement = distillers[name].preview(X_public)
    print(f"{name:>24}: {statement.certificate['bound']}", "(mostly noise)" * bool(mostly_noise))

# %%
# One member may have turned every answer of the forest; nothing better is known. With 150 trees on
# disjoint shards, one member moves the average vote by at most 2/150. Gradient rounds learn a
# linear model from sums over all members, and no member adds more to a sum than the clip. Their
# noise does not grow with the number of rows, so this teacher is the first to try.
#
# Fit
# ---
# The ledger is a file that lives beside the table. It is charged before the teacher is asked, adds
# up all releases that were ever made from these members, and refuses a release beyond the total.
ledger = PrivacyLedger.create(folder / "members.ledger", epsilon=2.0, delta=DELTA)
distiller = distillers["gradient rounds"].set_params(accountant=ledger)
distiller.fit(X_public)
for paragraph in str(distiller.privacy_).splitlines():
    print(textwrap.fill(paragraph, 88))
print(f"\nspent: ε = {ledger.total()[0]:.2f}. " + textwrap.fill(ledger.statement(), 88))

# %%
# Publish
# -------
# Only the student and the statement go into the file. With skops it is one that cannot run code
# when it is read, and the digest, announced elsewhere, shows that it is the one you saved.
# Without skops it is a pickle: readers must trust whom they got it from.
try:
    digest = skdistill.save(distiller, folder / "student.skops")
    published = skdistill.load(folder / "student.skops", digest=digest)
except ImportError:  # pip install "skdistill[publish]"
    joblib.dump(distiller.export(), folder / "student.joblib")
    published = joblib.load(folder / "student.joblib")
print("files:", sorted(path.name for path in folder.iterdir() if "student" in path.name))
print("promised to members: ε =", published.statement.epsilon)
print("cancels?", published.estimator.predict([[25, "Bern", "basic", 0.5, 1], X_test[0]]))


# %%
# How good is the model?
# ----------------------
# The published model, next to the same kind of model without privacy, which must not be published.
def scores(model):
    return model.predict_proba(X_test)[:, 1]


open_model = make_pipeline(features, LogisticRegression()).fit(X_private, y_private)
FOUND = {"published student, ε=1": published.estimator, "no privacy": open_model}
larger = max(np.mean(y_test == label) for label in CLASSES)
print(f"{'on 2,000 rows':24}{'accuracy':>10}{'AUC':>8}")
print(f"{'always the larger class':24}{larger:>10.3f}")
for name, model in FOUND.items():
    auc = roc_auc_score(y_test, scores(model))
    print(f"{name:24}{model.score(X_test, y_test):>10.3f}{auc:>8.3f}")

# %%
# Members sorted by the model's score and cut into ten equal parts: how many of each part cancelled?
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for shift, (name, model) in zip((-0.2, 0.2), FOUND.items(), strict=True):
    tenths = np.array_split(y_test[np.argsort(scores(model))], 10)
    shares = [100 * np.mean(part == "yes") for part in tenths]
    axes.bar(np.arange(1, 11) + shift, shares, 0.4, label=name)
axes.set(xticks=range(1, 11), xlabel="tenth of the members, by score", ylabel="cancelled (%)")
axes.legend(loc="upper left")
plt.show()
