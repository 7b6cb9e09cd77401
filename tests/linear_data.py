"""Data for ensembles of linear members."""

import warnings

import numpy as np

from skdistill.teachers import TeacherEnsemble

N, K = 240, 7


def data(n_classes=2, n=N, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[:, 1] = X[:, 1] > 0.3  # some columns are constant in a class
    score = X @ rng.normal(size=d) + rng.logistic(size=n)
    X[:, 2] *= 100
    if not n_classes:
        return X, score
    return X, np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))


def fit(estimator, X, y, k=K, **settings):
    groups = settings.pop("groups", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TeacherEnsemble(estimator, k, random_state=0, **settings).fit(X, y, groups=groups)
