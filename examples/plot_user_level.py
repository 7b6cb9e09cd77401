"""
What if one person has many records?
====================================

A phone learns to tell from its sensors whether its owner walks, cycles or sits. People gave many
recordings each. An ε for a *record* hides a single recording; that somebody took part at all still
shows, from the many that they gave. Most people want the *person* hidden.

``TeacherEnsemble.fit(X, y, groups=person)`` gives all records of a person to the same teacher, and
ε is then for persons. The same number is a far stronger promise. Its price in accuracy depends
on the number of *persons*, not on the number of records.
"""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

from skdistill import PrivateDistiller, TeacherEnsemble
from skdistill.accounting import gaussian_epsilon, gaussian_mu

# %%
# 24,000 recordings of three activities, made up: from 100 persons with 240 recordings each, or
# from 400 with 60, or from 1,600 with 15. Everyone moves a little differently.
N, CLASSES, PERSONS, DELTA = 24_000, [0, 1, 2], [100, 400, 1_600], 1e-5
EPSILONS = [0.5, 1.0, 2.0, 4.0, 8.0]
CENTRES = np.random.default_rng(1).normal(scale=1.3, size=(3, 6))


def recordings(n_persons, n, seed):
    """Return features, activities, and who it was."""
    rng = np.random.default_rng(seed)
    y, person = rng.integers(3, size=n), np.arange(n) % n_persons
    manner = rng.normal(scale=0.8, size=(n_persons, 3, 6))  # how each person does each activity
    return CENTRES[y] + manner[person, y] + rng.normal(size=(n, 6)), y, person


X_public, _, _ = recordings(500, 1_000, seed=2)  # other people; their labels are not used
X_test, y_test, _ = recordings(500, 4_000, seed=3)  # and others again, to measure


# %%
# At record level ``n_teachers="auto"`` takes 200 teachers, whoever gave the recordings. At person
# level there cannot be more teachers than persons; the guide asks for five persons in each.
def accuracies(n_persons, by_person):
    """Return the test accuracy, averaged over four students, at every ε."""
    X, y, person = recordings(n_persons, N, seed=4)
    k = min(200, n_persons // 5) if by_person else "auto"
    teacher = TeacherEnsemble(LogisticRegression(), k, classes=CLASSES, random_state=0)
    teacher.fit(X, y, groups=person if by_person else None)
    found = []
    for epsilon in [*EPSILONS, np.inf]:
        distiller = PrivateDistiller(teacher, epsilon=epsilon, delta=DELTA)
        with warnings.catch_warnings():  # "mostly noise": the table will show it
            warnings.simplefilter("ignore", UserWarning)
            scores = [distiller.fit(X_public).score(X_test, y_test) for _ in range(4)]
        found.append(np.mean(scores))
    return teacher.n_teachers_, found


RESULTS = {("a recording", 1_600): accuracies(1_600, by_person=False)}
RESULTS |= {("a person", p): accuracies(p, by_person=True) for p in PERSONS}
print(f"Test accuracy of the student by ε; chance is 0.33; {N:,} recordings in every row")
head = "".join(f"{e:>7}" for e in [*EPSILONS, "∞"])
print(f"{'hidden':>12}{'persons':>9}{'teachers':>10}{head}")
for (unit, persons), (k, found) in RESULTS.items():
    row = "".join(f"{value:>7.2f}" for value in found)
    print(f"{unit:>12}{persons:>9,}{k:>10}{row}")

# %%
# With 1,600 persons the stronger promise costs next to nothing. With 400 it costs a good deal below
# ε=1, and little above. With 100 there are 20 teachers, and noise that hides one of 20 votes
# drowns the others at any ε that promises something. No number of recordings makes up for it.
# (In exchange, the names of the persons are public.)
#
# A release at *record* level promises something to a person, too. Replacing r records moves a
# Gaussian release r times as far: its μ is r times as large (Dong, Roth and Su 2022, group
# privacy). As ε at the same δ:
print(f"\n{'hidden: a recording, at ε =':>38}" + "".join(f"{e:>9}" for e in EPSILONS))
for persons in reversed(PERSONS):
    r = N // persons
    worth = [gaussian_epsilon(r * gaussian_mu(e, DELTA), DELTA) for e in EPSILONS]
    print(f"{f'a person with {r} recordings: ε =':>38}" + "".join(f"{e:>9,.0f}" for e in worth))

# %%
# None of these numbers promises anything. The first row of the upper table is no bargain: it hides
# something else.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
for (unit, persons), (_, found) in RESULTS.items():
    style = "k--" if unit == "a recording" else "o-"
    label = unit if unit == "a recording" else f"{unit}, of {persons:,}"
    axes.plot(EPSILONS, found[:-1], style, label=label)
axes.axhline(1 / 3, color="0.5", ls=":", label="chance")
axes.set(xscale="log", xlabel="ε of the whole release", ylabel="test accuracy of the student")
axes.set_xticks(EPSILONS, EPSILONS)
axes.minorticks_off()
axes.legend(title="hidden by ε", loc="lower right")
plt.show()
