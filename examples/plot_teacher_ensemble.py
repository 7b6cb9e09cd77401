"""
How do I distil any kind of model at a small ε?
===============================================

For most models nobody can say how far one record moves them. Many models on disjoint shards of
the data need no such proof: one record reaches one of them. ``TeacherEnsemble`` trains them, and
they vote.

Two ways to release the vote are compared. *Plain PATE* (``n_rounds=1``) puts all the noise on the
average vote. *Residual rounds* (the default) spend a part of ε on a first, rough answer; teachers
differ little from it, so what is left to release needs less noise.
"""

import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.teachers import TeacherEnsemble

# %%
# 20,000 private records; 2,000 public rows, whose labels are not used; 2,000 rows to measure.
X, y = make_classification(24_000, n_features=12, n_informative=6, random_state=0)
X_private, X, y_private, y = train_test_split(X, y, test_size=4_000, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=2_000, random_state=0)

# %%
# 250 teachers with 80 records each: what ``n_teachers="auto"`` chooses for two classes. Members
# may be anything that fits and predicts.
TEACHERS = {
    name: TeacherEnsemble(member, classes=[0, 1], random_state=0).fit(X_private, y_private)
    for name, member in {
        "trees": DecisionTreeClassifier(max_depth=4),
        "LogisticRegression": LogisticRegression(),
    }.items()
}
EPSILONS = [0.25, 0.5, 1.0, 2.0]
ROUNDS = {"plain PATE": 1, "two rounds": 2}


def accuracies(teacher, epsilon, n_rounds):
    """Return the test accuracy of four students, each from a release of its own."""
    distiller = PrivateDistiller(teacher, epsilon=epsilon, delta=1e-5, n_rounds=n_rounds)
    with warnings.catch_warnings():  # "mostly noise": the table will show it
        warnings.simplefilter("ignore", UserWarning)
        return [distiller.fit(X_public).score(X_test, y_test) for _ in range(4)]


# %%
# The data are public here. With private data, fit once: these releases together cost far more
# than ε. (Rounds need a first answer to start from. Where that is noise alone, at a still smaller
# ε, with fewer teachers or more features, they gain nothing.)
SCORES = {
    (name, label): np.array([accuracies(teacher, e, rounds) for e in EPSILONS])
    for name, teacher in TEACHERS.items()
    for label, rounds in ROUNDS.items()
}
print("Mean test accuracy of the student, by the ε of the whole release")
print(f"{'teachers, release':>30}" + "".join(f"{e:>8}" for e in EPSILONS) + "  their vote itself")
for (name, label), scores in SCORES.items():
    row = "".join(f"{mean:>8.3f}" for mean in scores.mean(axis=1))
    print(f"{name + ', ' + label:>30}{row}{TEACHERS[name].score(X_test, y_test):>8.3f}")

# %%
# The same as a picture, where matplotlib is installed.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
for (name, label), scores in SCORES.items():
    style = {"color": f"C{list(TEACHERS).index(name)}", "ls": ":" if "plain" in label else "-"}
    plt.plot(EPSILONS, scores.mean(axis=1), marker="o", label=f"{name}, {label}", **style)
plt.gca().set(xscale="log", xlabel="ε of the whole release", ylabel="test accuracy of the student")
plt.legend(loc="lower right")
plt.show()
