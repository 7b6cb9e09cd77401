"""Canaries: pairs of records from public data alone, in every container."""

import numpy as np
import pandas as pd
import pytest
from audit_tables import CONTAINERS, NAMES, dense

from skdistill.audit import Canaries, make_canaries
from skdistill.audit.canaries import KINDS

X = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 10.0, 100.0] + [0, 5, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container(kind, container):
    public = CONTAINERS[container](X)
    canaries = make_canaries(public, 20, classes=[0, 1], kind=kind, random_state=0)
    assert len(canaries) == 20
    features, labels = canaries.fill(np.ones(20, bool))
    assert type(features) is type(public)
    n = 20 * canaries.n_copies
    assert dense(features).shape == (n, 3)
    assert labels.shape == (n,)
    if hasattr(public, "columns"):
        assert list(features.columns) == NAMES


@pytest.mark.parametrize("kind", ["mislabelled", "duplicated"])
def test_rows_are_distinct_transfer_rows(kind):
    canaries = make_canaries(X, 50, classes=["no", "yes", "maybe"], kind=kind)
    assert np.array_equal(np.sort(canaries.rows), np.arange(50))
    assert np.array_equal(canaries.X, X[canaries.rows])
    assert (canaries.first != canaries.second).all()


def test_outliers_are_far_and_in_different_directions():
    canaries = make_canaries(X, 30, classes=[0, 1], kind="outlier")
    standard = (canaries.X - X.mean(axis=0)) / X.std(axis=0)
    length = np.linalg.norm(standard, axis=1)
    assert np.allclose(length, 10 * np.sqrt(3))
    assert canaries.rows is None
    directions = standard / length[:, None]
    assert np.max(directions @ directions.T - np.eye(30)) < 1 - 1e-9
    constant = make_canaries(np.ones((5, 2)), 9, classes=[0, 1], kind="outlier")
    assert np.isfinite(constant.X).all()
    assert len(np.unique(constant.X, axis=0)) == 9


def test_coins_decide_the_label_and_nothing_else():
    canaries = make_canaries(X, 40, output_range=(-2.0, 3.0), kind="duplicated")
    coins = np.random.default_rng().random(40) < 0.5
    features, targets = canaries.fill(coins)
    other, opposite = canaries.fill(~coins)
    assert np.array_equal(features, other)
    assert (targets != opposite).all()
    assert set(targets) <= {-2.0, 3.0}
    assert np.array_equal(targets, np.repeat(targets[::5], 5))
    assert np.array_equal(targets[::5], np.where(coins, canaries.first, canaries.second))


def test_the_order_of_a_pair_is_random():
    """Either label comes first in 4,000 ± 5σ of 8,000 pairs: a false alarm in 1e-6."""
    canaries = make_canaries(X, 8_000, classes=[0, 1], kind="outlier")
    assert abs(canaries.first.sum() - 4_000) < 225


def test_random_state_repeats():
    first, again = (make_canaries(X, 9, classes=[0, 1, 2], random_state=3) for _ in range(2))
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.first, again.first)
    assert np.array_equal(first.second, again.second)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_canaries": 51}, ValueError, "it has 50"),
        ({"n_canaries": 0}, ValueError, "n_canaries=0"),
        ({"n_canaries": 2.5}, TypeError, "whole number"),
        ({"kind": "inverted"}, ValueError, "kind='inverted' is unknown"),
        ({"classes": [1]}, ValueError, "Two labels are needed"),
        ({"classes": None}, ValueError, "Give classes"),
    ],
)
def test_what_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        make_canaries(X, **{"n_canaries": 5, "classes": [0, 1], **options})


def test_outliers_need_numbers():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(TypeError, match="numeric features"):
        make_canaries(frame, 5, classes=[0, 1], kind="outlier")
    assert len(make_canaries(frame, 2, classes=[0, 1])) == 2


def test_pairs_of_one_s_own():
    with pytest.raises(ValueError, match="equal in some slots"):
        Canaries(X[:2], np.array([0, 1]), np.array([1, 1]))
    with pytest.raises(ValueError, match="same length"):
        Canaries(X[:3], np.array([0, 1]), np.array([1, 0]))
    with pytest.raises(ValueError, match="n_copies=0"):
        Canaries(X[:2], np.array([0, 1]), np.array([1, 0]), n_copies=0)
    assert len(Canaries(X[:2].tolist(), np.array([0, 1]), np.array([1, 0]))) == 2
