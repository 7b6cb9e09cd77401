"""
How do I distil any kind of model at a small ε?
===============================================

For most models nobody can say how far one record moves them. Many models on disjoint shards of
the data need no such proof: one record reaches one of them. ``TeacherEnsemble`` trains them, and
they vote.

Four ways to release the vote are compared. *Winners* (``mechanism="noisy_max"``) is PATE as it
was published: of some of the rows, the class with most votes after noise. *Plain PATE* puts the
noise on the average vote of every row. *One round* is the same release, but its labels are
smoothed in public functions of the rows, at no cost. *Two rounds* spend a part of ε on a first,
rough answer; teachers differ little from it, so the differences need less noise. The
default, ``ResidualRounds(n_rounds="auto")``, chooses between the last two by a public rule.
"""

import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from skdistill import NoisyMax, PrivateDistiller, ResidualRounds
from skdistill.teachers import TeacherEnsemble

# %%
# 40,000 private records of four classes; 2,000 public rows, whose labels are not used; 2,000 rows
# to measure.
X, y = make_classification(
    44_000, 10, n_informative=8, n_classes=4, n_clusters_per_class=1, class_sep=1.5, random_state=0
)
X_private, X, y_private, y = train_test_split(X, y, test_size=4_000, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=2_000, random_state=0)

# %%
# 250 trees with 160 records each: the choice of ``n_teachers="auto"`` for four classes. Members may
# be anything that fits and predicts.
tree = DecisionTreeClassifier(max_depth=6)
teacher = TeacherEnsemble(tree, classes=range(4), random_state=0).fit(X_private, y_private)
EPSILONS = [0.5, 1.0, 2.0, 4.0]
RELEASES = {
    "winners": NoisyMax(),
    "plain PATE": ResidualRounds(n_rounds=1, basis=None),
    "one round": ResidualRounds(n_rounds=1),
    "two rounds": ResidualRounds(n_rounds=2),
}


def accuracies(epsilon, how):
    """Return the test accuracy of six students, each from a release of its own."""
    distiller = PrivateDistiller(teacher, epsilon=epsilon, delta=1e-5, mechanism=how)
    with warnings.catch_warnings():  # "mostly noise": the table will show it
        warnings.simplefilter("ignore", UserWarning)
        return [distiller.fit(X_public).score(X_test, y_test) for _ in range(6)]


# %%
# The data are public here. With private data, fit once: these releases together cost far more
# than ε.
SCORES = {name: np.array([accuracies(e, how) for e in EPSILONS]) for name, how in RELEASES.items()}
one_tree = tree.fit(X_private[:160], y_private[:160]).score(X_test, y_test)
print(f"Accuracy of one tree: {one_tree:.3f}; of the vote: {teacher.score(X_test, y_test):.3f}")
print("Mean accuracy of the student (lowest to highest), by the ε of the whole release")
print(f"{'ε':>6}" + "".join(f"{name:>24}" for name in RELEASES))
for i, epsilon in enumerate(EPSILONS):
    found = [scores[i] for scores in SCORES.values()]
    cells = [f"{each.mean():.3f} ({each.min():.3f} to {each.max():.3f})" for each in found]
    print(f"{epsilon:>6}" + "".join(f"{cell:>24}" for cell in cells))

# %%
# Rounds need a first answer to start from. Where that is mostly noise, at a small ε, with few
# teachers or many classes, they gain nothing, and one round is the better choice.
#
# The same as a picture, where matplotlib is installed. Bands reach from the lowest to the highest.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for (name, scores), style in zip(SCORES.items(), ("o:", "o--", "s-", "o-"), strict=True):
    axes.plot(EPSILONS, scores.mean(axis=1), style, label=name)
    axes.fill_between(EPSILONS, scores.min(axis=1), scores.max(axis=1), alpha=0.15)
axes.set(xscale="log", xlabel="ε of the whole release", ylabel="test accuracy of the student")
axes.set_xticks(EPSILONS, EPSILONS)
axes.minorticks_off()
axes.legend(loc="lower right")
plt.show()
