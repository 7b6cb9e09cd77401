"""
How do I publish a model trained on data that must not leak?
============================================================

A hospital has 284 patient records. It wants to publish a model that does not tell whether any one
patient is among them. A teacher is trained on the private records and labels public rows; noise
is added to these labels; a student is trained on them, and the student is published.

How good it is depends on the teacher. Two are compared: one with a proof of how far a single
record can move it (``NewtonClassifier``), and one without (``LogisticRegression``;
it could be any model), for which the worst case is assumed.
"""

import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import NewtonClassifier, PrivateDistiller

# %%
# Half of the rows are private, a quarter is public (its labels are not used), and the last
# quarter measures the result.
X, y = load_breast_cancer(return_X_y=True)
X_private, X, y_private, y = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# A scaler must not learn from private rows, because one record could move it too. So it is fitted
# on the public rows and frozen.
scaler = FrozenEstimator(StandardScaler().fit(X_public))
EPSILONS = [0.5, 1.0, 2.0, 4.0, 8.0, float("inf")]


def accuracies(epsilon, model):
    """Return the test accuracy of ten students, each from a release of its own."""
    teacher = make_pipeline(scaler, model).fit(X_private, y_private)
    student = make_pipeline(scaler, LogisticRegression())
    distiller = PrivateDistiller(teacher, student, epsilon=epsilon, delta=1e-5)
    with warnings.catch_warnings():  # "mostly noise": the table will show it
        warnings.simplefilter("ignore", UserWarning)
        return [distiller.fit(X_public).score(X_test, y_test) for _ in range(10)]


# %%
# A smaller ε is a stronger promise. Ten releases together cost far more than ε: here the data are
# public anyway. With private data, fit once.
MODELS = {
    "NewtonClassifier": NewtonClassifier(classes=[0, 1]),
    "any teacher, worst case": LogisticRegression(),
}
SCORES = {name: np.array([accuracies(e, m) for e in EPSILONS]) for name, m in MODELS.items()}
print(f"Mean test accuracy (lowest to highest); the larger class alone: {np.mean(y_test):.2f}")
print(f"{'epsilon':>8}" + "".join(f"{name:>26}" for name in MODELS))
for epsilon, *both in zip(EPSILONS, *SCORES.values(), strict=True):
    cells = [f"{s.mean():.2f} ({s.min():.2f} to {s.max():.2f})" for s in both]
    print(f"{epsilon:>8}" + "".join(f"{cell:>26}" for cell in cells))

# %%
# The same as a picture, where matplotlib is installed. Bands reach from the lowest to the highest.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for name, found in SCORES.items():
    scores = found[:-1]
    axes.plot(EPSILONS[:-1], scores.mean(axis=1), "o-", label=name)
    axes.fill_between(EPSILONS[:-1], scores.min(axis=1), scores.max(axis=1), alpha=0.2)
axes.axhline(np.mean(y_test), color="0.5", ls=":", label="the larger class alone")
axes.set(xscale="log", ylim=(0, 1), xlabel="ε of the whole release", ylabel="test accuracy")
axes.set_xticks(EPSILONS[:-1], EPSILONS[:-1])
axes.minorticks_off()
axes.legend(loc="lower left")
plt.show()
