import functools
import gc
import os

import numpy as np
import pytest
from hypothesis import settings
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge

from skdistill.accounting import PrivacyLoss

# A test that names its own number of examples keeps it. The examples are the same in each run, so
# that a change is not blamed for a fault that was there before; "random" looks for new ones.
settings.register_profile("fast", max_examples=30, deadline=None, derandomize=True)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("random", max_examples=1000, deadline=None)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "fast")
)


def pytest_collection_finish():
    """Spare the collector all modules, which live as long as the tests do."""
    gc.freeze()


@pytest.fixture(scope="session")
def binary():
    """A private half, a public half and a fitted teacher: two classes, four features."""
    X, y = make_classification(
        600,
        n_features=4,
        n_informative=3,
        n_redundant=0,
        n_clusters_per_class=1,
        class_sep=1.5,
        random_state=0,
    )
    teacher = LogisticRegression().fit(X[:300], y[:300])
    return X[:300], y[:300], X[300:], y[300:], teacher


@pytest.fixture(scope="session")
def regression():
    """A private half, a public half and a fitted regressor; targets within ±500."""
    X, y = make_regression(600, n_features=4, noise=5, random_state=0)
    teacher = Ridge().fit(X[:300], y[:300])
    assert np.abs(y).max() < 500
    return X[:300], y[:300], X[300:], y[300:], teacher


@pytest.fixture
def few_synthetic_rows(monkeypatch):
    """Draw 1,000 rows in place of 10,000 in the fit of a private table."""
    monkeypatch.setattr("skdistill.private_table.base._N_ROWS", 1000)


@pytest.fixture
def prices_once(monkeypatch):
    """Calibrate every price once: the thousands of releases of an experiment have the same."""
    for name in ("part", "scale"):
        monkeypatch.setattr(PrivacyLoss, name, functools.cache(getattr(PrivacyLoss, name)))
