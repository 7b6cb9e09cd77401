"""
How do I train a private model when I have no public data?
==========================================================

Most users have one private table and nothing public. ``PrivateClassifier`` needs only public
knowledge of its columns, a schema: bounds, categories, which cells may be missing. It draws
synthetic rows from noisy counts, and learns a linear model of splines in noisy Newton steps on the
private rows, with the curvature of the synthetic ones. One ε pays for all of it, and the features
are protected as well as the labels.
"""

import textwrap
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from skdistill import PrivateClassifier, Schema, TableFeatures, TeacherEnsemble

# %%
# A private table of numbers, categories and missing values, and whether a loan was paid back. (An
# array of objects; a data frame of pandas or polars does as well.)
rng = np.random.default_rng(0)
n = 30_000
TOWNS = ["Basel", "Bern", "Chur", "Genf", "Lugano"]
age, debts = rng.integers(18, 91, n), rng.poisson(1.2, n)
town = rng.choice(TOWNS, n, p=[0.4, 0.3, 0.1, 0.15, 0.05])
income = rng.lognormal(10.8, 0.6, n)
score = np.log(income) - 10.8 - 0.6 * (debts - 1.2) + 0.4 * (age > 40)
y = (score + 0.7 * rng.logistic(size=n) > -0.8).astype(int)
income[rng.random(n) < 0.1] = np.nan
table = np.array([age, income, town, debts], dtype=object).T
train, test = slice(0, 25_000), slice(25_000, n)

# %%
# The schema is public knowledge: write it down without a look at the table. Values outside
# are clipped or become "other", silently: a message would tell that a record was unusual.
schema = Schema(
    {"age": (18, 100), "income": (0, 1_000_000), "town": TOWNS, "debts": (0, 11)},
    integer=["age", "debts"],
    missing=["income"],
)

# %%
# Two kinds of teachers: the default, and any classifier on disjoint shards.
EPSILONS = [0.25, 0.5, 1.0, 2.0]
TEACHERS = {
    "gradient rounds (the default)": None,
    "logistic regressions on shards": TeacherEnsemble(LogisticRegression()),
}


def auc(model):
    """Score on rows that were not trained on."""
    return roc_auc_score(y[test], model.predict_proba(table[test])[:, 1])


def fitted(teacher, epsilon):
    """Return two models, fitted on the private rows alone. (With private data, fit once.)"""
    model = PrivateClassifier(teacher, schema=schema, classes=[0, 1], epsilon=epsilon)
    with warnings.catch_warnings():  # "mostly noise", at a small ε: the table will show it
        warnings.simplefilter("ignore", UserWarning)
        return [clone(model).fit(table[train], y[train]) for _ in range(2)]


models = {(name, e): fitted(each, e) for name, each in TEACHERS.items() for e in EPSILONS}
AUC = {name: [np.mean([auc(m) for m in models[name, e]]) for e in EPSILONS] for name in TEACHERS}
usual = make_pipeline(TableFeatures(schema), LogisticRegression()).fit(table[train], y[train])
print(f"{'test AUC at ε =':32}" + "".join(f"{e:>8}" for e in EPSILONS))
for name, found in AUC.items():
    print(f"{name:32}" + "".join(f"{value:>8.3f}" for value in found))
print(f"{'logistic regression, no privacy':32}{auc(usual):>8.3f}")

# %%
# One statement for the whole lists the price of each part; synthetic rows are free to look at.
model = models["gradient rounds (the default)", 1.0][0]
for paragraph in str(model.privacy_).splitlines():
    print(textwrap.fill(paragraph, 88))
print()
print(*schema.names, sep=", ")
for row in model.sample(5, random_state=0):
    print(*(cell if isinstance(cell, str) else f"{cell:.0f}" for cell in row), sep=", ")

# %%
# The same as a picture, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for name, found in AUC.items():
    axes.plot(EPSILONS, found, marker="o", label=name)
axes.axhline(auc(usual), color="0.5", ls="--", label="logistic regression, no privacy")
axes.set(xscale="log", ylim=(0.7, 0.8), xlabel="ε of the whole fit", ylabel="test AUC")
axes.set_xticks(EPSILONS, EPSILONS)
axes.minorticks_off()
axes.legend(loc="lower right")
plt.show()
