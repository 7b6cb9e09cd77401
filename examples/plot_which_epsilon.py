"""
Which ε do I need?
==================

A smaller ε costs accuracy and buys protection. Two numbers describe the protection: the members
that attacks *find*, which is a measurement, and the limit that no attack on a single record can
*exceed*, which is the guarantee. Attacks improve; a guarantee stays.
"""

import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.audit import membership_report
from skdistill.inspection import PrivacyUtilityDisplay
from skdistill.inspection.membership import private_tpr
from skdistill.teachers import TeacherEnsemble

# %%
# 4,000 private records, as many others to compare them with, 1,000 public rows to distil on and
# 3,000 to measure accuracy. Every fifth label is wrong, so no model reaches more than 0.8.
X, y = make_classification(
    12_000, 10, n_informative=5, n_clusters_per_class=1, class_sep=1.5, flip_y=0.4, random_state=0
)
X_member, X_other, X_public, X_test = np.split(X, [4_000, 8_000, 9_000])
y_member, y_other, _, y_test = np.split(y, [4_000, 8_000, 9_000])
trees = TeacherEnsemble(DecisionTreeClassifier(max_depth=4), 100, classes=[0, 1], random_state=0)
trees.fit(X_member, y_member)
forest = ExtraTreesClassifier(15, random_state=0).fit(X_member, y_member)  # without privacy
EPSILONS, FPR = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0], 0.01

# %%
# Four students at each ε. (These data are public. On private ones the releases would add up:
# decide on ε with public data of the same kind, or let a ledger count.)
models = {"forest": forest}
with warnings.catch_warnings():  # "mostly noise": the table will show it
    warnings.simplefilter("ignore", UserWarning)
    for epsilon in [*EPSILONS, np.inf]:
        for draw in range(4):
            student = PrivateDistiller(trees, epsilon=epsilon, delta=1e-5).fit(X_public)
            models[f"{epsilon} {draw}"] = student
shadow, data = DecisionTreeClassifier(max_depth=10), (X_member, y_member, X_other, y_other)
report = membership_report(
    models, *data, attacks="lira_online", shadow=shadow, n_shadows=16, fprs=[FPR], random_state=0
)
accuracy = [model.score(X_test, y_test) for model in models.values()]
found = [row.tpr[0][1] for row in report.rows]  # true positives at 1 % false positives
accuracies, founds = np.reshape(accuracy[1:], (-1, 4)), np.reshape(found[1:], (-1, 4))
allowed = private_tpr(FPR, np.array([*EPSILONS, np.inf]), 1e-5)
print("Students, mean of four: accuracy, and members found at 1 % false positives")
print(f"{'ε':>8}{'accuracy':>12}{'found':>12}{'at most':>12}")
for epsilon, *values in zip([*EPSILONS, "∞"], accuracies, founds, allowed, strict=True):
    print("{:>8}{:>12.3f}{:>12.2%}{:>12.2%}".format(epsilon, *(np.mean(v) for v in values)))
print(f"{'forest':>8}{accuracy[0]:>12.3f}{found[0]:>12.2%}")

# %%
# From ε=1 on a student is about as good as one without noise, and LiRA finds no more members
# than chance at any ε: averages over 100 trees hide single records well. A smaller ε
# lowers the dashed line: the limit for attacks that nobody has thought of.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, (upper, lower) = plt.subplots(2, 1, figsize=(5.5, 7), sharex=True, layout="constrained")
baselines = {"forest": accuracy[0], "student without noise": accuracies[-1].mean()}
PrivacyUtilityDisplay(
    epsilons=EPSILONS, scores=accuracies[:-1], baselines=baselines, metric_name="test accuracy"
).plot(ax=upper)
name, baselines = "members found at 1 % false positives", {"forest": found[0], "chance": FPR}
PrivacyUtilityDisplay(
    epsilons=EPSILONS, scores=founds[:-1], baselines=baselines, metric_name=name
).plot(ax=lower)
lower.plot(EPSILONS, allowed[:-1], "--", color="C3", label="most that ε allows")
lower.set_yscale("log")
lower.legend(loc="center left", fontsize="small")
plt.show()
