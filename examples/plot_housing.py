"""
How do I predict a number instead of a class?
=============================================

House values by block of houses, from a census whose records are private. A regression needs one
more public quantity than a classification: the range of the target (``output_range``), since one
record could move an unbounded answer without limit. Here the census itself cut values at 500,001
dollars. The error is compared with that of models without privacy, and of guessing.

The data are scikit-learn's California housing, which it downloads once. Without a network, a
generated problem of the same size takes their place (Friedman's first), and the table says so.
"""

import warnings

import numpy as np
from sklearn.datasets import fetch_california_housing, make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import QuantileTransformer
from sklearn.tree import DecisionTreeRegressor

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.teachers import TeacherEnsemble

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Retry downloading"
        X, y = fetch_california_housing(return_X_y=True, n_retries=1)
    data, unit, output_range = "California housing", "100,000 dollars", (0.0, 5.00001)
except OSError:
    X, y = make_friedman1(20_640, n_features=8, noise=1.0, random_state=0)
    data, unit, output_range = "a generated problem (no network)", "its own unit", (0.0, 30.0)

# %%
# 16,640 private records; 2,000 public rows, whose values are not used; 2,000 rows to score.
X_private, X, y_private, y = train_test_split(X, y, test_size=4_000, random_state=0)
X_public, X_test, _, y_test = train_test_split(X, y, test_size=2_000, random_state=0)

# %%
# The transformer of the features learns from public rows alone. It shortens the long tails of the
# census (35 rooms a person). Members of an ensemble may be any regressor, on disjoint shards of
# 40 records each. The worst case stands for one model of any kind, without a bound of its own:
# there one record could move every answer by the whole range.
prepare = QuantileTransformer(n_quantiles=100, output_distribution="normal").fit(X_public)
X_private, X_public, X_test = map(prepare.transform, (X_private, X_public, X_test))
line, tree = Ridge(), DecisionTreeRegressor(max_depth=5, random_state=0)
boosted = HistGradientBoostingRegressor(random_state=0).fit(X_private, y_private)
TEACHERS = {
    "ensemble of Ridge": TeacherEnsemble(line, random_state=0).fit(X_private, y_private),
    "ensemble of trees": TeacherEnsemble(tree, random_state=0).fit(X_private, y_private),
    "boosting, worst case": boosted,
}
EPSILONS = [0.25, 0.5, 1.0, 2.0, 4.0]


def rmse(predicted):
    """Root mean squared error on the scored rows, after a clip to the public range."""
    return root_mean_squared_error(y_test, np.clip(predicted, *output_range))


def errors(teacher, epsilon):
    """Return the errors of three students, each from a release of its own."""
    mechanism = ResidualRounds(basis="pca") if isinstance(teacher, TeacherEnsemble) else "auto"
    distiller = PrivateDistiller(
        teacher, epsilon=epsilon, delta=1e-6, output_range=output_range, mechanism=mechanism
    )
    with warnings.catch_warnings():  # "mostly noise": the table will show it
        warnings.simplefilter("ignore", UserWarning)
        return [rmse(distiller.fit(X_public).predict(X_test)) for _ in range(3)]


# %%
# The data are public here. With private data, fit once: these releases together cost far more
# than ε.
ERRORS = {name: [errors(teacher, e) for e in EPSILONS] for name, teacher in TEACHERS.items()}
BASELINES = {
    "middle of the range": rmse(np.full(len(y_test), np.mean(output_range))),
    "mean of the private values": rmse(np.full(len(y_test), y_private.mean())),
    "one Ridge, not private": rmse(line.fit(X_private, y_private).predict(X_test)),
    "boosting, not private": rmse(boosted.predict(X_test)),
}
print(f"Test RMSE of the student, mean of three releases. Data: {data}, in {unit}")
print(f"{'teacher':32}" + "".join(f"{f'ε={e:g}':>8}" for e in EPSILONS))
for name, found in ERRORS.items():
    print(f"{name:32}" + "".join(f"{np.mean(each):>8.2f}" for each in found))
for name, error in BASELINES.items():
    print(f"{name:32}{error:>8.2f}")

# %%
# From ε=1 on the vote of many rough models is as good as one model of their kind without privacy.
# It does not reach the last row, a model that needs all records in one place. One boosted model
# with noise for the worst case is useless, and too far off for the picture.
try:
    import matplotlib.pyplot as plt
except ImportError:
    raise SystemExit from None
_, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
for name in ("ensemble of Ridge", "ensemble of trees"):
    axes.plot(EPSILONS, np.mean(ERRORS[name], axis=1), "o-", label=f"{name}: the student")
for style, (name, error) in zip((":", "--", "-."), list(BASELINES.items())[1:], strict=True):
    axes.axhline(error, color="0.5", ls=style, lw=1, label=name)
axes.set(xscale="log", xlabel="ε of the whole release", ylabel=f"test RMSE ({unit})")
axes.set_ylim(0, 1.4 * BASELINES["mean of the private values"])
axes.set_xticks(EPSILONS, EPSILONS)
axes.minorticks_off()
axes.set_title(data, fontsize="medium")
axes.legend(loc="upper right", fontsize="small")
plt.show()
