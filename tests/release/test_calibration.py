"""The noise that is really on a release, measured end to end, for every kind of release.

Each test draws N values whose law is known (rounded noise of a stated scale on constant labels)
and compares their mean square with its expectation. By the central limit theorem the relative
error of a mean of squares has standard deviation √(κ-1)/√N (κ the kurtosis: 3 or 6); N is such
that 6 standard deviations (false alarm 2e-9) stay below 2 %, and noise that is 3 % too small
(6 % in the square) is seen with certainty.
"""

import math

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from skdistill import PrivateDistiller
from skdistill.accounting import PrivacyLoss
from skdistill.certificates import ParameterBall, RowBound
from skdistill.release.parameters import noisy_weights
from skdistill.release.releases import draw, plan_release

CLASSES = np.array([0, 1, 2, 3])
M = 120_000


class Constant(ClassifierMixin, BaseEstimator):
    classes_ = CLASSES

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.full((len(X), 4), 0.25)


class ConstantValue(RegressorMixin, BaseEstimator):
    def predict(self, X):
        return np.full(len(X), 3.0)


def agrees(noise, scale, kind):
    mean_square = np.mean(np.square(noise))
    expected = scale**2 * (2 if kind == "laplace" else 1)
    tolerance = 6 * math.sqrt((5 if kind == "laplace" else 2) / noise.size)
    assert tolerance < 0.03
    return abs(mean_square / expected - 1) < tolerance


def plan(certificate, kind, **options):
    return plan_release(
        certificate,
        n_rows=options.pop("n_rows", M),
        epsilon=1.0,
        delta=0.0 if kind == "laplace" else 1e-5,
        mechanism=kind,
        sampler="exact",
        classes=options.pop("classes", CLASSES),
        output_range=options.pop("output_range", None),
        **options,
    )


def loss(kind):
    return PrivacyLoss.laplace(1.0) if kind == "laplace" else PrivacyLoss.gaussian(1.0, 1e-5)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
@pytest.mark.parametrize(("l1", "l2"), [(2.0, math.sqrt(2)), (0.5, 0.3)])
def test_noise_on_soft_labels(kind, l1, l2):
    released = draw(plan(RowBound(l1, l2), kind), Constant(), np.zeros((M, 1)))
    moved = M * l1 if kind == "laplace" else math.sqrt(M) * l2
    assert released.labels.shape == (M, 4)
    assert agrees(released.labels - 0.25, loss(kind).scale(moved), kind)
    assert not agrees((released.labels - 0.25) * 0.97, loss(kind).scale(moved), kind)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noise_on_values(kind):
    what = plan(RowBound(10.0, 10.0), kind, classes=None, output_range=(-2.0, 8.0), n_rows=4 * M)
    released = draw(what, ConstantValue(), np.zeros((4 * M, 1)))
    moved = 10 * (4 * M if kind == "laplace" else math.sqrt(4 * M))
    assert agrees(released.labels - 3.0, loss(kind).scale(moved), kind)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noise_on_parameters(kind):
    weights = np.zeros((600, 700))
    noisy = noisy_weights(weights, 0.37, loss(kind), plan(RowBound(1, 1), kind).sampler)
    moved = 0.37 * math.sqrt(weights.size) if kind == "laplace" else 0.37
    assert agrees(noisy, loss(kind).scale(moved), kind)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noise_on_the_class_counts_and_what_is_left_for_the_labels(kind):
    counts = np.full(400_000, 10**9)
    certificate = RowBound(2.0, math.sqrt(2), class_counts=lambda: counts)
    what = plan(certificate, kind, classes=np.arange(400_000), want_prior=True, n_rows=1)
    from skdistill.release.class_counts import noisy_prior

    noise = noisy_prior(what) * counts.sum() - counts  # the total's own noise is negligible
    share = loss(kind).part(0.02)
    assert agrees(noise, share.scale(2.0 if kind == "laplace" else math.sqrt(2)), kind)
    left = what.label_loss
    if kind == "laplace":
        assert left.epsilon + share.epsilon <= 1.0
        assert left.epsilon + share.epsilon == pytest.approx(1.0)
    else:
        total = left.mu**2 + share.mu**2
        assert total <= loss(kind).mu ** 2
        assert total == pytest.approx(loss(kind).mu ** 2)


def test_parameters_are_released_once_whatever_the_number_of_rows():
    ball = ParameterBall(
        0.1,
        weights=lambda: np.zeros((1, 3)),
        features=lambda X: X,
        link=lambda scores: np.column_stack([1 - scores[:, 0], scores[:, 0]]),
    )
    X = np.tile(np.eye(3), (1000, 1))
    labels = draw(plan(ball, "gaussian", classes=np.array([0, 1]), n_rows=len(X)), None, X).labels[
        :, 1
    ]
    assert len(np.unique(labels)) == 3  # the same noisy parameters for every row


@pytest.mark.parametrize("width", [1e-9, 1.0, 1e9])
def test_the_statement_tells_the_noise_scale(width):
    what = plan(RowBound(width, width), "gaussian", classes=None, output_range=(0.0, width))
    released = draw(what, ConstantValue(), np.zeros((M, 1)))
    spread = np.std(released.labels)
    assert spread == pytest.approx(what.noise_scale, rel=6 / math.sqrt(2 * M))


def test_a_share_of_the_budget_is_the_whole_budget():
    distiller = PrivateDistiller(Constant(), epsilon=1.0, delta=1e-5)
    statement = distiller.preview(np.zeros((5, 1)))
    assert (statement.epsilon, statement.delta) == (1.0, 1e-5)
