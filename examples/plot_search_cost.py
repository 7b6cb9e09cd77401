"""
What does my grid search cost?
==============================

A search over ε, mechanisms and student settings fits dozens of times, and every fit asks the
private teacher again. Without a record of earlier releases, each fit is a release of its own, and
the sum is the price. A ``PrivacyLedger`` keeps that record in a file. Earlier releases are
replayed; rows that folds share are paid for once; a finer release of the same rows costs the
difference.
"""

import os
import tempfile
import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skdistill import (
    NewtonClassifier,
    PrivacyLedger,
    PrivateDistiller,
    ResidualRounds,
    TeacherEnsemble,
)
from skdistill.accounting import search_cost

warnings.filterwarnings("ignore", message="The released labels are mostly noise")

# %%
# 9,000 private records; 1,000 public rows, with public labels to score with. (Labels that are
# private themselves would make the *choice* of the best candidate a leak of its own, which no
# ledger sees. See "What does a grid search cost?" in the guide.)
X, y = make_classification(10_000, n_features=12, n_informative=6, random_state=0)
X_private, y_private, X_public, y_public = X[:9_000], y[:9_000], X[9_000:], y[9_000:]

# %%
# One ledger for one private data set: 3 ε × 4 student settings × 5 folds and a refit, 61 fits.
# ``search_cost`` computes their price before anything is asked.
folder = tempfile.mkdtemp()
ledger = PrivacyLedger.create(os.path.join(folder, "census.ledger"), epsilon=12.0, delta=1e-6)
GRID = {"epsilon": [0.5, 1.0, 2.0], "student__C": [0.01, 0.1, 1.0, 10.0]}


def mechanism(teacher):
    """One round for an ensemble, so that folds share its rows; the default for other teachers."""
    return ResidualRounds(n_rounds=1) if isinstance(teacher, TeacherEnsemble) else "auto"


def search(teacher):
    """Return the search for one teacher."""
    distiller = PrivateDistiller(
        teacher,
        LogisticRegression(),
        delta=1e-6,
        mechanism=mechanism(teacher),
        accountant=ledger,
    )
    return GridSearchCV(distiller, GRID, scoring="f1", cv=5, error_score="raise")


TEACHERS = {
    "random forest": RandomForestClassifier(20, random_state=0),
    "ensemble of 100": TeacherEnsemble(
        LogisticRegression(), n_teachers=100, classes=[0, 1], random_state=0
    ),
    "gradient rounds": NewtonClassifier(classes=[0, 1], curvature=X_public),
}
print(f"{'teacher':>16} {'foreseen':>9} {'added':>8} {'no ledger':>10} {'F1':>6}  best")
COSTS = {}
for name, teacher in TEACHERS.items():
    teacher.fit(X_private, y_private)
    foreseen = search_cost(search(teacher), X_public, y_public)
    before = ledger.total()[0]
    found = search(teacher).fit(X_public, y_public)
    alone = search_cost(search(teacher), X_public, y_public)  # all of it is released: free now
    COSTS[name] = (foreseen.epsilon, foreseen.epsilon_without_ledger)
    print(
        f"{name:>16} {foreseen.epsilon:>9.3f} {ledger.total()[0] - before:>8.3f} "
        f"{foreseen.epsilon_without_ledger:>10.2f} {found.best_score_:>6.3f}  {found.best_params_}"
    )
    assert alone.epsilon == 0.0

# %%
# Teachers that answer row by row cost a little more than their largest ε = 2: a fold has fewer
# rows, so each of its labels is less noisy than in a release of all rows. Gradient rounds whose
# teacher was given public rows (``curvature``) release a model that does not depend on the rows
# asked: all folds share it. Each ε is a release of its own, and their μ² add.
#
# ("Added" is how much the ledger's total rose. Three searches of one data set add up by μ², to less
# than the sum of their ε.)
spent, left = ledger.total()[0], ledger.remaining()[0]
print(f"\nIn all: ε = {spent:.3f} at δ = {ledger.delta:g}; left {left:.3f}")

# %%
# The free way: put the search *inside* the distiller. One release, and students chosen on the
# released labels, which are public: however many settings, the cost is one ε.
teacher = TEACHERS["ensemble of 100"]
before = ledger.total()[0]
student = GridSearchCV(LogisticRegression(), {"C": [0.001, 0.01, 0.1, 1.0, 10.0]}, scoring="f1")
PrivateDistiller(
    teacher, student, epsilon=2.0, delta=1e-6, mechanism=mechanism(teacher), accountant=ledger
).fit(X_public)
print(f"Search inside the distiller: {ledger.total()[0] - before:.3f} more (this one was held)")

# %%
# The same as a picture, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for shift, label in ((-0.2, "with a ledger"), (0.2, "without")):
    heights = [cost[shift > 0] for cost in COSTS.values()]
    bars = axes.bar(np.arange(3) + shift, heights, width=0.38, label=label)
    axes.bar_label(bars, fmt="%.2f")
axes.axhline(max(GRID["epsilon"]), color="0.5", lw=1, ls=":", label="largest ε of the grid")
axes.set_xticks(range(3), COSTS)
axes.set(ylabel=f"ε of 61 fits, at δ = {ledger.delta:g}")
axes.margins(y=0.35)
axes.legend(loc="upper center", ncols=2, fontsize="small")
plt.show()
