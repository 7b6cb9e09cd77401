"""
How do I train a private model when I have no public data?
==========================================================

Most users have one private table and nothing public. ``PATEClassifier`` needs only what is *known*
of its columns, a schema: bounds, categories, what may be missing. It makes synthetic rows from
noisy counts, lets teachers on disjoint shards label them with noise, and trains a student on that.
One ε pays for all of it, and now the features are protected as well as the labels.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from skdistill.pate import PATEClassifier
from skdistill.teachers import StableLogisticRegression, stable_C
from skdistill.transfer import Schema

# %%
# A private table of numbers, categories and missing values, and whether a loan was paid back.
rng = np.random.default_rng(0)
n = 30_000
TOWNS = ["Basel", "Bern", "Chur", "Genf", "Lugano"]
table = pd.DataFrame(
    {
        "age": rng.integers(18, 91, n),
        "income": rng.lognormal(10.8, 0.6, n),
        "town": rng.choice(TOWNS, n, p=[0.4, 0.3, 0.1, 0.15, 0.05]),
        "debts": rng.poisson(1.2, n),
    }
)
score = np.log(table["income"]) - 10.8 - 0.6 * (table["debts"] - 1.2) + 0.4 * (table["age"] > 40)
y = (score + 0.7 * rng.logistic(size=n) > -0.8).astype(int).to_numpy()
table.loc[rng.random(n) < 0.1, "income"] = np.nan
train, test = slice(0, 25_000), slice(25_000, n)

# %%
# The schema is public knowledge: write it down without a look at the table. What is outside is
# clipped, or becomes "other", silently: whether a record was strange is nobody's business.
schema = Schema(
    {"age": (18, 100), "income": (0, 1_000_000), "town": TOWNS, "debts": (0, 11)},
    integer=["age", "debts"],
    missing=["income"],
    edges={"income": [20_000, 30_000, 40_000, 50_000, 65_000, 80_000, 100_000, 150_000, 250_000]},
)

# %%
# Two kinds of teachers: any classifier on disjoint shards, or one linear model whose parameters
# are released (``stable_C`` sets its regularisation from ε).
EPSILONS = [0.25, 0.5, 1.0, 2.0]
DELTA = 1e-6


def auc(make_estimator, epsilon):
    """Fit on the private rows alone; score on the rest."""
    model = PATEClassifier(
        make_estimator(epsilon), schema=schema, classes=[0, 1], epsilon=epsilon, delta=DELTA
    )
    with warnings.catch_warnings():  # "mostly noise", at a small ε: the table will show it
        warnings.simplefilter("ignore", UserWarning)
        model.fit(table[train], y[train])
    return model, roc_auc_score(y[test], model.predict_proba(table[test])[:, 1])


TEACHERS = {
    "logistic regressions on shards": lambda epsilon: LogisticRegression(),
    "one stable logistic regression": lambda epsilon: StableLogisticRegression(
        stable_C(epsilon, DELTA)
    ),
}
results = {name: [auc(make, e) for e in EPSILONS] for name, make in TEACHERS.items()}
print(f"{'test AUC at ε =':32}" + "".join(f"{e:>8}" for e in EPSILONS))
for name, found in results.items():
    print(f"{name:32}" + "".join(f"{value:>8.3f}" for _, value in found))

# %%
# One statement for the whole says what each part cost; synthetic rows are free to look at.
model = results["logistic regressions on shards"][2][0]
print(model.privacy_)
print(model.sample(5, random_state=0))

# %%
# The same as a picture, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
for name, found in results.items():
    plt.plot(EPSILONS, [value for _, value in found], marker="o", label=name)
plt.gca().set(xscale="log", xlabel="ε of the whole fit", ylabel="test AUC")
plt.legend(loc="lower right")
plt.show()
