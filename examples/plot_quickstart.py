"""
How do I publish a model trained on data that must not leak?
============================================================

A hospital has 284 patient records. It wants to publish a model that does not tell whether any one
patient is among them. A teacher is trained on the private records and labels public rows; noise
is added to these labels; a student is trained on them, and the student is published.

How good it is depends on the teacher. Two are compared: one with a proof of how far a single
record can move it (``StableLogisticRegression``), and one without (``LogisticRegression``; it
could be any model), for which the worst case is assumed.
"""

import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import PrivateDistiller, StableLogisticRegression
from skdistill.teachers import stable_C

# %%
# Half of the rows are private, a quarter is public (its labels are not used), and the last
# quarter measures what came out.
X, y = load_breast_cancer(return_X_y=True)
X_private, X, y_private, y = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# What prepares the features must not learn from private rows: one record could move it too. So
# the scaler is fitted on the public rows and frozen, and rows are clipped to their median norm.
scaler = FrozenEstimator(StandardScaler().fit(X_public))
norm = float(np.median(np.linalg.norm(scaler.transform(X_public), axis=1)))
EPSILONS = [0.5, 1.0, 2.0, 4.0, 8.0, float("inf")]


def accuracies(epsilon, stable):
    """Return the test accuracy of ten students, each from a release of its own."""
    model = LogisticRegression()
    if stable:
        C = stable_C(min(epsilon, 100.0), delta=1e-5, max_row_norm=norm)
        model = StableLogisticRegression(C, max_row_norm=norm, classes=[0, 1])
    teacher = make_pipeline(scaler, model).fit(X_private, y_private)
    student = make_pipeline(scaler, LogisticRegression())
    distiller = PrivateDistiller(teacher, student, epsilon=epsilon, delta=1e-5)
    with warnings.catch_warnings():  # "mostly noise": the table will show it
        warnings.simplefilter("ignore", UserWarning)
        return [distiller.fit(X_public).score(X_test, y_test) for _ in range(10)]


# %%
# A smaller ε is a stronger promise. Ten releases together cost far more than ε: here the data are
# public anyway. With private data, fit once.
SCORES = {stable: np.array([accuracies(e, stable) for e in EPSILONS]) for stable in (True, False)}
print(f"Mean test accuracy (lowest to highest); the larger class alone: {np.mean(y_test):.2f}")
print(f"{'epsilon':>8} {'StableLogisticRegression':>26} {'any teacher, worst case':>26}")
for epsilon, *both in zip(EPSILONS, SCORES[True], SCORES[False], strict=True):
    cells = [f"{s.mean():.2f} ({s.min():.2f} to {s.max():.2f})" for s in both]
    print(f"{epsilon:>8} {cells[0]:>26} {cells[1]:>26}")

# %%
# The same as a picture, where matplotlib is installed. Bands reach from the lowest to the highest.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for stable, label in ((True, "StableLogisticRegression"), (False, "any teacher, worst case")):
    scores = SCORES[stable][:-1]
    axes.plot(EPSILONS[:-1], scores.mean(axis=1), "o-", label=label)
    axes.fill_between(EPSILONS[:-1], scores.min(axis=1), scores.max(axis=1), alpha=0.2)
axes.axhline(np.mean(y_test), color="0.5", ls=":", label="the larger class alone")
axes.set(xscale="log", ylim=(0, 1), xlabel="ε of the whole release", ylabel="test accuracy")
axes.set_xticks(EPSILONS[:-1], EPSILONS[:-1])
axes.minorticks_off()
axes.legend(loc="lower left")
plt.show()
