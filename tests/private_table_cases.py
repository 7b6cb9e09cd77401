"""The mixed table of the tests of private tables, and its classifier."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdistill.private_table import PrivateClassifier
from skdistill.teachers import TeacherEnsemble
from skdistill.transfer import Schema

# Tiny tables and budgets: warnings that other tests are about.
QUIET = [
    pytest.mark.filterwarnings("ignore:The model will be mostly noise"),
    pytest.mark.filterwarnings("ignore:The released labels are mostly noise"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

SCHEMA = Schema(
    {"age": (18, 90), "income": (0, 1e6), "town": ["Bern", "Chur", "Genf"], "owner": [False, True]},
    integer=["age"],
    missing=["income", "town"],
    edges={"income": "log"},
)


def mixed(n, seed=0, kind="pandas"):
    """Return a table of numbers, categories and missing values, and labels that depend on it."""
    rng = np.random.default_rng(seed)
    age, income = rng.integers(18, 91, n), rng.lognormal(10, 1, n)
    town, owner = rng.choice(["Bern", "Chur", "Genf"], n), rng.random(n) < 0.5
    score = (age - 50) / 15 + np.log(income) - 10 + (town == "Chur") + owner
    y = np.where(score + rng.logistic(size=n) > 1, "yes", "no")
    income[rng.random(n) < 0.1] = np.nan
    town = np.where(rng.random(n) < 0.1, None, town)
    columns = {"age": age, "income": income, "town": town, "owner": owner}
    if kind == "array":
        return np.column_stack([np.asarray(x, dtype=object) for x in columns.values()]), y
    if kind == "list":
        return [list(row) for row in zip(*columns.values(), strict=True)], y
    library = pd if kind == "pandas" else pl
    columns["town"] = list(town)
    return library.DataFrame(columns), y


def classifier(member=None, n_teachers="auto", **settings):
    """Return a classifier of the mixed table; with a member, of an ensemble of it."""
    settings = {"schema": SCHEMA, "classes": ["no", "yes"], "epsilon": 50.0, **settings}
    teacher = settings.pop("teacher", None)
    if member is not None:
        teacher = TeacherEnsemble(member, n_teachers)
    return PrivateClassifier(teacher, **settings)
