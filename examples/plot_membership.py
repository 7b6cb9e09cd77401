"""
How much does my teacher leak, and my student?
==============================================

A forest grown to its last leaf knows its training records by heart. Anyone who may ask it for
probabilities can tell many of them from other people's records. How many can be told from a
student that was distilled with differential privacy?

``membership_report`` runs the attacks of the literature on both. The strongest (LiRA, RMIA)
train *shadow models*: models of the same kind on random halves of the records, which show the
answers of the attacked model with and without each of them. Such a report is for the auditor: it
is computed from private records, so it is not for publication.
"""

import warnings

from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.audit import ShadowDistiller, membership_report
from skdistill.inspection import MembershipDisplay
from skdistill.teachers import TeacherEnsemble

# %%
# 4,000 private records (the members), 6,000 further records of the same kind, and 1,000 public
# rows. Every fifth label is wrong: only a model that has seen a record knows its label.
X, y = make_classification(
    11_000, n_features=10, n_informative=5, n_clusters_per_class=1, class_sep=1.5, flip_y=0.4,
    random_state=0,
)  # fmt: skip
X_member, y_member = X[:4_000], y[:4_000]
X_other, y_other = X[4_000:10_000], y[4_000:10_000]
X_public = X[10_000:]

# %%
# One forest on all members; and a student of 100 trees on disjoint shards, at ε=1.
forest = ExtraTreesClassifier(15, random_state=0).fit(X_member, y_member)
trees = DecisionTreeClassifier(max_depth=4, random_state=0)
ensemble = TeacherEnsemble(trees, n_teachers=100, classes=[0, 1], random_state=0)
ensemble.fit(X_member, y_member)
distiller = PrivateDistiller(ensemble, epsilon=1.0, delta=1e-5).fit(X_public)
for name, model in {"forest": forest, "student": distiller}.items():
    print(
        f"{name}: accuracy {model.score(X_member, y_member):.2f} on members, "
        f"{model.score(X_other, y_other):.2f} on others"
    )

# %%
# Shadow models of the student are students, too: each is distilled from an ensemble on half of the
# records by the same distiller. (These releases stay with the auditor, and charge nothing.)
with warnings.catch_warnings():  # some shadow students are mostly noise
    warnings.simplefilter("ignore", UserWarning)
    report = membership_report(
        {"forest": forest, "student": distiller},
        X_member,
        y_member,
        X_other,
        y_other,
        shadow={"forest": forest, "student": ShadowDistiller(distiller, X_public)},
        n_shadows=16,
        random_state=0,
    )
print(report)

# %%
# An AUC hides the number that matters: how many members are found beyond doubt, with next to no
# false positives. That is the left edge of the ROC curve on logarithmic axes. The band is a 95 %
# interval at each point; the dashed line is the most that any attack on a single record can reach
# against ε=1. (For each model its strongest attack is drawn, so chance looks a little better than
# it is. The far left rests on a few of 3,000 non-members: a step over the dashed line there is
# chance. A line that stays above it would be a broken promise.)
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
MembershipDisplay.from_report(report)
plt.show()
