"""
What can a student do with rows that got no label?
==================================================

``mechanism="confident_max"`` is PATE as published: of each row that teachers agree on, the
winning class is released; the other rows are left open. Each answer costs privacy, so only some
of the public rows are asked about at all. scikit-learn's semi-supervised classifiers learn from
the rest as well. They mark a row without a label by −1, and ``PrivateDistiller`` hands them all
rows of X.
"""

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.teachers import TeacherEnsemble

# %%
# Three classes of four clusters each. 24,000 private records, 1,000 public rows, 1,000 to measure.
X, cluster = make_blobs(26_000, centers=12, cluster_std=0.9, center_box=(-12, 12), random_state=2)
y = cluster % 3
X_private, X, y_private, y = train_test_split(X, y, test_size=2_000, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=1_000, random_state=0)
teacher = TeacherEnsemble(DecisionTreeClassifier(), classes=[0, 1, 2], random_state=0)
teacher.fit(X_private, y_private)
print(f"{teacher.n_teachers_} trees, accuracy of their vote {teacher.score(X_test, y_test):.2f}")

# %%
# The same mechanism with two students: nearest neighbours see the answered rows alone, label
# spreading sees all. Classes of a semi-supervised student must be whole numbers from 0 on.
STUDENTS = {
    "answered rows alone": KNeighborsClassifier(5),
    "all rows": LabelSpreading(gamma=3),
}
EPSILONS = [0.5, 1.0, 2.0, 4.0]


def distil(student, epsilon):
    """Return a fitted distiller; each is a release of its own."""
    distiller = PrivateDistiller(
        teacher, student, epsilon=epsilon, delta=1e-5, mechanism="confident_max", threshold=None
    )
    return distiller.fit(X_public)


FITS = {
    (name, e): [distil(s, e) for _ in range(5)] for name, s in STUDENTS.items() for e in EPSILONS
}
ACCURACY = {
    name: [np.mean([f.score(X_test, y_test) for f in FITS[name, e]]) for e in EPSILONS]
    for name in STUDENTS
}
ANSWERS = [
    np.mean([f.released_labels_.any(axis=1).sum() for name in STUDENTS for f in FITS[name, e]])
    for e in EPSILONS
]
print(f"{'epsilon':>24}" + "".join(f"{e:>8}" for e in EPSILONS))
print(f"{'answers to 1,000 rows':>24}" + "".join(f"{n:>8.0f}" for n in ANSWERS))
for name, accuracy in ACCURACY.items():
    print(f"{name:>24}" + "".join(f"{a:>8.2f}" for a in accuracy))

# %%
# One of the releases as a picture, where matplotlib is installed. Colours are classes; grey rows
# were not answered.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
fit = FITS["all rows", 1.0][0]
answered = fit.query_indices_[fit.released_labels_.any(axis=1)]
_, panels = plt.subplots(1, 2, figsize=(5.5, 4.5), sharey=True, layout="constrained")
SHOWN = {"answered at ε=1": answered, "after spreading": np.arange(len(X_public))}
for axes, (title, rows) in zip(panels, SHOWN.items(), strict=True):
    axes.scatter(*X_public.T, s=4, c="0.5", alpha=0.4)
    colors = np.array(["C0", "C1", "C2"])[fit.student_.transduction_[rows]]
    axes.scatter(*X_public[rows].T, s=8, c=colors)
    axes.set(title=f"{len(rows):,} rows {title}", xlabel="first feature")
    axes.title.set_fontsize("medium")
panels[0].set_ylabel("second feature")
plt.show()
