"""Parameters: released once, moved by their radius and by no more than the query says."""

import math
import traceback
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdistill.accounting import PrivacyLoss
from skdistill.certificates import ParameterBall
from skdistill.release.boundary import TeacherError
from skdistill.release.calibration import calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.parameters import Parameters
from skdistill.testing import no_noise

LOSS = PrivacyLoss.gaussian(1.0, 1e-6)


def sigmoid(scores):
    positive = 1 / (1 + np.exp(-scores[:, 0]))
    return np.column_stack([1 - positive, positive])


def ball_of(weights, radius=0.3, **options):
    return ParameterBall(
        radius, weights=lambda: weights, features=lambda X: X, link=sigmoid, **options
    )


def asked(X):
    return TransferSet(X, np.arange(len(X)), np.arange(2))


def query_of(weights, radius=0.3):
    query = next(Parameters().queries(ball_of(weights, radius), asked(np.eye(2)), LOSS, None, None))
    return query.of(None, query.share)


@pytest.mark.parametrize("radius", [1e-9, 0.3, 1e6])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 25)])
def test_parameters_a_radius_apart_stay_within_the_query(radius, shape):
    """All roundings on one side, and in random directions; exactly."""
    rng = np.random.default_rng()
    spread = np.full(shape, 1 / math.sqrt(math.prod(shape)))
    for direction in (spread, np.eye(*shape), *rng.normal(size=(50, *shape))):
        move = direction * (radius * (1 - 1e-12) / np.linalg.norm(direction))
        step = 2.0 ** math.floor(math.log2(radius / math.sqrt(math.prod(shape))) - 16)
        start = step * (rng.integers(-(10**6), 10**6, shape) + 0.4999)
        one, other = query_of(start, radius), query_of(start + move, radius)
        assert (one.l1, one.l2) == (other.l1, other.l2)
        moved = [int(a) - int(b) for a, b in zip(one.values.flat, other.values.flat, strict=True)]
        assert sum(map(abs, moved)) <= Fraction(one.l1)
        assert sum(v * v for v in moved) <= Fraction(one.l2) ** 2
        assert sum(v * v for v in moved) > 0.99 * Fraction(one.l2) ** 2


def test_the_room_for_rounding_is_small():
    query = next(
        Parameters().queries(ball_of(np.zeros((3, 50))), asked(np.eye(2)), LOSS, None, None)
    )
    assert 0.3 < query.l2 * query.step < 0.3 * (1 + 2.0**-14)
    assert query.l1 * query.step < 0.3 * math.sqrt(150) * (1 + 2.0**-14)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3),
    st.floats(1e-9, 1e9),
)
def test_any_parameters_become_integers(weights, radius):
    query = query_of(np.array([weights]), radius)
    assert query.values.dtype == np.int64 and query.values.shape == (1, 3)
    assert (np.abs(query.values) <= 2**60).all()


def test_an_entry_that_is_not_finite_counts_as_zero():
    values = query_of(np.array([[np.nan, np.inf, -np.inf, 1.0]])).values
    assert values[0, :3].tolist() == [0, 0, 0] and values[0, 3] > 0


def test_labels_without_noise_are_those_of_the_teacher():
    rng = np.random.default_rng()
    weights, X = rng.normal(size=(1, 4)), rng.normal(size=(30, 4))
    for temperature in (1.0, 2.0):
        mechanism = Parameters(temperature=temperature)
        with no_noise():
            labels = calibrate(ball_of(weights), asked(X), 1.0, 1e-6, mechanism).draw(None)
        assert np.allclose(labels.values, sigmoid(X @ weights.T / temperature), atol=1e-4)
        assert labels.noise_scale == 0 and labels.answered.all()


def test_the_noise_on_a_label_is_known_where_the_norm_of_rows_is():
    release = calibrate(ball_of(np.zeros((1, 2)), feature_norm=2.0), asked(np.eye(2)), 1.0, 1e-6)
    expected = LOSS.scale(0.3) * 2.0 / 4
    assert release.noise_scale == pytest.approx(expected, rel=1e-3)
    assert calibrate(ball_of(np.zeros((1, 2))), asked(np.eye(2)), 1.0, 1e-6).noise_scale == 0


@pytest.mark.parametrize(
    "change",
    [
        {"weights": lambda: [["canary", 1.0]]},
        {"weights": lambda: 1 / 0},
        {"features": lambda X: [["canary"]][2]},
    ],
)
def test_what_the_teacher_raises_stays_inside(change):
    weights = np.zeros((1, 2))
    fields = {"weights": lambda: weights, "features": lambda X: X, "link": sigmoid, **change}
    release = calibrate(ParameterBall(0.3, **fields), asked(np.eye(2)), 1.0, 1e-6)
    with pytest.raises(TeacherError) as caught:
        release.draw(None)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_no_feature_map_changes_the_rows():
    X = np.eye(2)

    def vandal(rows):
        rows[...] = 7
        return rows

    bound = ParameterBall(0.3, weights=lambda: np.zeros((1, 2)), features=vandal, link=sigmoid)
    calibrate(bound, asked(X), 1.0, 1e-6).draw(None)
    assert X.tolist() == [[1, 0], [0, 1]]


def test_parameters_of_another_shape_count_as_zero():
    """A shape that the certificate does not promise would tell of the data."""
    bound = ball_of(np.ones((1, 2)), shape=(2, 3))
    query = next(Parameters().queries(bound, asked(np.eye(2)), LOSS, None, None))
    assert not query.of(None, query.share).values.any()
