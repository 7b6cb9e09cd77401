"""Shrinkage takes noise away, keeps signal, and looks at released values alone."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skdistill import PrivateDistiller, TeacherEnsemble
from skdistill.certificates import DisjointTeachers, RowBound
from skdistill.release.calibration import calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.residual_rounds import ResidualRounds, automatic_rounds
from skdistill.release.smoothing import (
    _smoothed,
    centred,
    shrunk,
    smoothed_labels,
    smooths,
)
from skdistill.release.soft_labels import SoftLabels
from skdistill.testing import _put_up
from skdistill.transfer import MAX_GRAPH_ROWS, public_bases

RNG = np.random.default_rng()  # public data and noise of our own; no test depends on the seed
M, P = 1_000, 32


@functools.cache
def cosines(m=M, p=P):
    rows = np.arange(m)[:, None] + 0.5
    return np.linalg.qr(np.cos(np.pi * rows * np.arange(p) / m))[0]


def random_basis(m=M, p=P):
    return np.linalg.qr(RNG.normal(size=(m, p)))[0]


def smooth_labels(c, size=0.3):
    """Labels that four functions of a basis hold; of length `size` times √m."""
    signal = cosines()[:, :4] @ centred(RNG.normal(size=(4, c)))
    return signal * size * math.sqrt(M) / np.linalg.norm(signal)


def error(labels, truth):
    return float(np.sum((labels - truth) ** 2))


@pytest.mark.parametrize("c", [1, 2, 5])
def test_without_noise_labels_stay_as_they_are(c):
    labels = RNG.normal(size=(M, c)) + 0.5 if c == 1 else RNG.dirichlet(np.ones(c), size=M)
    middle = 0.5 if c == 1 else 1 / c
    for noise in (0.0, 1e-9):
        kept = smoothed_labels(labels, [cosines()], noise, middle)
        assert np.allclose(kept, labels, atol=1e-9)
    flat = smoothed_labels(labels[:, 0], [cosines()], 0.0, middle)
    assert flat.shape == (M,)
    assert np.allclose(flat, labels[:, 0])


@pytest.mark.parametrize("c", [1, 2, 5])
def test_noise_alone_is_dropped(c):
    """Of the energy of all m·(c - 1) numbers, no block keeps as much as noise has on average.

    The basis holds 3.2 % of it. Of the rest, a χ² of n > 900 degrees, the part that is kept is
    below 6·√(2/n) = 0.28 in length, 8 % in energy, but for 1e-8.
    """
    noise = RNG.normal(scale=3.0, size=(M, c))
    left = smoothed_labels(noise + 0.2, [cosines()], 3.0, 0.2) - 0.2
    assert np.sum(left**2) < 0.15 * np.sum(centred(noise) ** 2)


@pytest.mark.parametrize("c", [1, 2, 5])
@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_smooth_labels_are_found(c, noise):
    """32 of 1,000 numbers are noise afterwards; at most a fifth of the error stays.

    Where all of the basis is kept that is 3.2 %, the rest is the block outside, as above.
    """
    truth = smooth_labels(c, size=1.0)
    noisy = truth + RNG.normal(scale=noise, size=truth.shape)
    smooth = smoothed_labels(noisy + 0.4, [cosines()], noise, 0.4) - 0.4
    assert error(smooth, truth) < 0.2 * error(centred(noisy), truth)


@pytest.mark.parametrize("size", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("inside", [True, False])
def test_shrinkage_never_costs_much(size, inside):
    """Stein: the mean error of a block of more than two is below that of the labels as they are.

    Whether the basis holds them or not. For the four single functions it may be above, by their
    own energy at most; the mean of 40 runs, a χ² of 40,000 degrees, is within 4.2 % but for 1e-8.
    """
    before = after = 0.0
    for _ in range(40):
        truth = smooth_labels(2, size)
        if not inside:
            truth = truth[RNG.permutation(M)]
        noisy = truth + centred(RNG.normal(size=truth.shape))
        before += error(noisy, truth)
        after += error(
            smoothed_labels(noisy, [cosines()], math.sqrt(0.5) * math.sqrt(2), 0.0), truth
        )
    assert after < before * (1.05 + 4 / M)


def test_half_is_kept_where_signal_and_noise_are_of_one_size():
    """Half of the error is left, as with the best factor; in 968 numbers 1/10 is 6 deviations."""
    truth = random_basis()[:, :1] + RNG.normal(size=(M, 1))
    noisy = truth + RNG.normal(size=truth.shape)
    left = error(smoothed_labels(noisy, [cosines()], 1.0, 0.0), truth)
    assert 0.35 * M < left < 0.65 * M


def test_the_better_basis_smooths():
    truth = smooth_labels(3, size=1.0)
    noisy = truth + centred(RNG.normal(size=truth.shape))
    best = error(smoothed_labels(noisy, [cosines()], 1.0, 0.0), truth)
    for bases in ([random_basis(), cosines()], [cosines(), random_basis()]):
        assert error(smoothed_labels(noisy, bases, 1.0, 0.0), truth) == pytest.approx(best)


@pytest.mark.parametrize("size", [0.1, 0.5, 1.0])
def test_the_error_is_known_without_the_truth(size):
    """Stein's estimate has no bias. 200 runs: the mean's deviation is below 4, 25 is 6 of it.

    (The deviation of one estimate is about √(2m) = 45. The four single functions hold large
    values, so that their part of the estimate is right as well.)
    """
    apart = []
    for _ in range(200):
        truth = cosines()[:, :4] @ np.full((4, 1), 100.0) + size * RNG.normal(size=(M, 1))
        noisy = truth + RNG.normal(size=truth.shape)
        risk, smooth = _smoothed(noisy, cosines(), 1.0)
        apart.append(risk - error(smooth, truth))
    assert abs(np.mean(apart)) < 25


def test_rows_sum_to_what_they_should():
    noisy = RNG.dirichlet(np.ones(4), size=M) + RNG.normal(size=(M, 4))
    assert np.allclose(smoothed_labels(noisy, [cosines()], 1.0, 0.25).sum(axis=1), 1.0)


@given(
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from([0.0, 1e-300, 1.0, 1e9]),
    st.lists(st.floats(-1e9, 1e9), min_size=24, max_size=24),
)
def test_anything_released_becomes_finite_numbers(p, c, noise, numbers):
    labels = np.array(numbers).reshape(-1, c)
    basis = cosines(len(labels), min(p, len(labels)))
    smooth = smoothed_labels(labels, [basis], noise, 0.5)
    assert smooth.shape == labels.shape
    assert np.isfinite(smooth).all()


def test_blocks_are_kept_or_dropped_with_all_their_classes():
    variance = np.full(6, 4.0)
    estimate = np.array([[1e6, 0], [1, 1], [0, 0], [1e6, 1e6], [1e3, -1e3], [1, 2]])
    out = shrunk(estimate, variance, 2)
    assert np.allclose(out[[0, 3, 4, 5]], estimate[[0, 3, 4, 5]], rtol=1e-4)
    assert not out[[1, 2]].any()


# -- Where it is used ---------------------------------------------------------------------------


BASIS = np.linalg.qr(RNG.normal(size=(400, 10)))[0]


def release_of(mechanism, classes=(0, 1, 2), n_rows=400, epsilon=1.0, delta=1e-5, votes=None):
    if mechanism.kind == "members":
        bound = DisjointTeachers(0.04, 0.02 * math.sqrt(2), n_teachers=50, member_votes=votes)
    else:
        bound = RowBound(0.04, 0.02 * math.sqrt(2))
    asked = TransferSet(np.zeros((n_rows, 1)), np.arange(n_rows), np.array(classes))
    return calibrate(bound, asked, epsilon, delta, mechanism)


@pytest.mark.parametrize(
    ("mechanism", "delta", "n_bases"),
    [
        (ResidualRounds(1, BASIS), 1e-5, 1),
        (ResidualRounds(1, BASIS, noise="laplace"), 0.0, 1),
        (ResidualRounds(1, None), 1e-5, 0),
        (ResidualRounds("auto", None), 1e-5, 0),
        (SoftLabels(basis=BASIS), 1e-5, 1),
        (SoftLabels("laplace", basis=BASIS), 0.0, 1),
        (SoftLabels(basis=None), 1e-5, 0),
    ],
)
def test_who_is_smoothed(mechanism, delta, n_bases):
    release = release_of(mechanism, delta=delta)
    assert len(release.prepare()) == n_bases
    assert release.is_progressive


def test_auto_smooths_where_there_is_noise_and_something_to_see():
    for noise, n_rows, expected in (
        (0.01, 400, False),
        (0.1, 400, True),
        (3.0, 400, True),
        (4.0, 400, False),
        (4.0, 4000, True),
        (0.0, 400, False),
    ):
        asked = TransferSet(np.zeros((n_rows, 1)), np.arange(n_rows), np.arange(2))
        assert smooths("auto", asked, noise) == expected
    assert smooths("pca", asked, 1e-9) and not smooths(None, asked, 1.0)


@pytest.mark.parametrize("kind", [ResidualRounds, SoftLabels])
def test_what_noise_is_said_to_be_left(kind):
    plain, smooth = (release_of(kind(basis=basis)) for basis in (None, "auto"))
    if kind is ResidualRounds:
        smooth = release_of(ResidualRounds(1))
    query = next(smooth.queries(None, ()))
    assert plain.noise_scale == query.noise_scale(smooth.label_loss)
    size = 8 if kind is ResidualRounds else 64
    assert smooth.noise_scale == pytest.approx(plain.noise_scale * math.sqrt(size / 400))


@pytest.mark.parametrize("kind", [ResidualRounds, SoftLabels])
def test_smoothing_is_a_function_of_what_was_released(kind):
    """For every teacher: no vote and no label is looked at again."""

    class Fixed:
        """Gives the same answer to all values."""

        name, private = "fixed", False

        def perturb(self, values, loss, sensitivity):
            return (np.arange(values.size).reshape(values.shape) % 7 - 3) << 22

    found = []
    for row in ([0.0, 1.0], [1.0, 0.0]):

        def votes(X, function, row=row):
            return (function(np.tile(row, (M, 1))) for _ in range(50))

        class Teacher:
            def predict_proba(self, X, row=row):
                return np.tile(row, (len(X), 1))

        mechanism = (
            ResidualRounds(1, cosines()) if kind is ResidualRounds else kind(basis=cosines())
        )
        release = release_of(mechanism, (0, 1), M, votes=votes)
        with _put_up(Fixed()):
            found.append(release.draw(Teacher()).values.tobytes())
    assert found[0] == found[1]


def test_two_rounds_take_more_members_for_more_classes():
    def fewest(c):
        return next(k for k in range(1, 10_000) if automatic_rounds(k, 0.5, c) == 2)

    counts = [fewest(c) for c in (None, 2, 3, 10, 100)]
    assert counts[0] == counts[1]
    assert counts == sorted(counts)
    assert counts[2] > counts[1]
    for c in (None, 2, 10):
        k = fewest(c)
        assert automatic_rounds(k, 0.49, c) == 1  # and more noise
        assert automatic_rounds(10 * k, 0.5, c) == 2


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_a_distiller_smooths_unless_it_is_told_not_to():
    """Of 600 labels 64 functions are kept at most, so that a ninth of the error is left."""
    X = RNG.normal(size=(600, 3))
    y = (X[:, 0] > 0).astype(int)
    teacher = TeacherEnsemble(LogisticRegression(), 10, random_state=0).fit(X, y)
    exact = teacher.predict_proba(X)
    plain, smooth = (
        PrivateDistiller(teacher, epsilon=3.0, mechanism=ResidualRounds(1, basis)).release(X)
        for basis in (None, "auto")
    )
    assert error(smooth, exact) < 0.3 * error(plain, exact)


@pytest.mark.parametrize("m", [1, 4])
def test_a_basis_that_holds_everything_leaves_no_risk(m):
    """Labels without anything outside of a complete basis: an empty block has no error."""
    smoothed = smoothed_labels(np.full(m, 0.5), [np.eye(m)], 0.1, 0.5)
    assert (smoothed == 0.5).all()


@pytest.mark.parametrize("mechanism", [SoftLabels(), ResidualRounds(1)])
def test_labels_of_many_rows_are_smoothed_as_in_a_stored_basis(mechanism):
    """The basis is used after the integers are released, and differs by rounding alone."""
    X = RNG.normal(size=(MAX_GRAPH_ROWS + 1, 4))
    bound = release_of(mechanism).bound
    asked = TransferSet(X, np.arange(len(X)), np.arange(2))
    (found,) = calibrate(bound, asked, 4.0, 1e-5, mechanism).prepare()
    assert not isinstance(found, np.ndarray)
    labels = RNG.dirichlet(np.ones(2), size=len(X))
    smooth, expected = (
        smoothed_labels(labels, [basis], 0.3, 0.5) for basis in (found, *public_bases(X, "pca"))
    )
    np.testing.assert_allclose(smooth, expected, rtol=0, atol=1e-10)


def test_several_rounds_have_a_stored_basis():
    """Members' coefficients are exact only in a basis that is rounded, entry by entry."""
    X = RNG.normal(size=(MAX_GRAPH_ROWS + 1, 2))
    asked = TransferSet(X, np.arange(len(X)), np.arange(2))
    release = calibrate(release_of(ResidualRounds(2)).bound, asked, 4.0, 1e-5, ResidualRounds(2))
    (basis,) = release.prepare()
    assert isinstance(basis, np.ndarray)
