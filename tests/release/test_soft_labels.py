"""Soft labels: no pair of neighbouring teachers moves the integers farther than the query says."""

import math
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from skdistill import PrivateDistiller
from skdistill.accounting import PrivacyLoss
from skdistill.certificates import AlreadyPrivate, RowBound, certify
from skdistill.release.boundary import TeacherError
from skdistill.release.calibration import calibrate
from skdistill.release.mechanism import TransferSet
from skdistill.release.soft_labels import SoftLabels, Unprotected, row_lattice
from skdistill.testing import no_noise

LOSSES = {"gaussian": PrivacyLoss.gaussian(1.0, 1e-6), "laplace": PrivacyLoss.laplace(1.0)}
WORST = RowBound(2.0, math.sqrt(2))


class Says:
    """Answers as it is told."""

    def __init__(self, answer):
        self.answer = answer

    def predict_proba(self, X):
        return self.answer[: len(X)]

    def predict(self, X):
        return self.answer[: len(X)]


def query_of(bound, answer, loss, classes=None, output_range=None, n_rows=None, **settings):
    n_rows = len(answer) if n_rows is None else n_rows
    asked = TransferSet(np.arange(n_rows)[:, None], np.arange(n_rows), classes, output_range)
    mechanism = SoftLabels(basis=None, **settings)
    query = next(mechanism.queries(bound, asked, loss, Says(answer), ()))
    return query.of(None, query.share)


def within(one, other):
    """Whether two answers keep to both bounds of their query, in exact arithmetic."""
    assert (one.l1, one.l2, one.share) == (other.l1, other.l2, other.share)
    moved = [int(a) - int(b) for a, b in zip(one.values.flat, other.values.flat, strict=True)]
    l1, l2 = sum(map(abs, moved)), sum(v * v for v in moved)
    assert l1 <= Fraction(one.l1)
    assert l2 <= Fraction(one.l2) ** 2
    return l1 / one.l1, math.sqrt(l2) / one.l2


HOSTILE = [np.nan, np.inf, -np.inf, -1.0, 0.0, 5e-324, 1e308, 1.0]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("c", [2, 3, 10])
@pytest.mark.parametrize("m", [1, 7])
def test_no_two_teachers_are_farther_apart_than_the_worst_case(loss, c, m):
    corners = [np.tile(row, (m, 1)) for row in np.eye(c)[:2]]
    hostile = [np.full((m, c), value) for value in HOSTILE]
    answers = [*corners, *hostile, np.ones((m + 1, c)), np.full((m, c), "text"), None]
    classes = np.arange(c)
    queries = [query_of(WORST, answer, loss, classes, n_rows=m) for answer in answers[:-1]]
    for one in queries:
        for other in queries:
            within(one, other)
    reached = within(*queries[:2])
    assert min(reached) > 1 - 1e-12  # opposite corners take all of both bounds


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("l2", [0.7, 0.01, 1e-5, 1e-9])
@pytest.mark.parametrize("c", [2, 5])
def test_rows_that_are_apart_by_their_bound_stay_within_the_query(loss, l2, c):
    """Moves of exactly the bound in many directions, from points just beside half a step."""
    rng, m = np.random.default_rng(), 40
    classes, l1 = np.arange(c), l2 * math.sqrt(c)
    bound = RowBound(l1, l2)
    asked = TransferSet(np.zeros((m, 1)), np.arange(m), classes)
    total = row_lattice(bound, asked, loss).total
    for _ in range(20):
        direction = rng.normal(size=(m, c))
        direction -= direction.mean(axis=1, keepdims=True)
        direction *= l2 * (1 - 1e-6) / np.linalg.norm(direction, axis=1, keepdims=True)
        p = np.full((m, c), 1 / c) - direction / 2
        ends = np.rint(np.cumsum(p, axis=1) * total) + rng.choice([0.499, 0.501], (m, c))
        p[:, :-1] = np.diff(ends, axis=1, prepend=0)[:, :-1] / total
        p[:, -1] = 1 - p[:, :-1].sum(axis=1)
        q = p + direction
        if min(p.min(), q.min()) < 0:
            continue
        reached = within(*(query_of(bound, rows, loss, classes) for rows in (p, q)))
        assert reached[1] > 0.5


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@given(
    st.floats(1e-9, 1.0),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_values_that_are_apart_by_their_bound_stay_within_the_query(loss, part, starts, low, width):
    output_range = (low, low + width)
    first = low + width * (1 - part) * np.array(starts)
    second = first + part * width
    apart = float(np.abs(second - first).max())
    if not apart > 0:
        return
    bound = RowBound(apart, apart)
    within(*(query_of(bound, each, loss, output_range=output_range) for each in (first, second)))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_values_out_of_range_are_clipped(loss):
    bound, m = RowBound(10.0, 10.0), 6
    answers = [np.full(m, value) for value in (*HOSTILE, -1e9, 1e9)]
    queries = [query_of(bound, each, loss, output_range=(-5.0, 5.0)) for each in answers]
    reached = [within(one, other) for one in queries for other in queries]
    assert max(r[1] for r in reached) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("k", [3, 7, 1000, 99_991])
def test_votes_are_released_as_counts(loss, k):
    """One vote moves from a class to another: √2 counts, exactly; no room is made for rounding."""
    classes, rng = np.arange(3), np.random.default_rng()
    bound = RowBound(2 / k, math.sqrt(2) / k, n_votes=k)
    votes = rng.multinomial(k - 1, [0.5, 0.3, 0.2], 50)
    ends = [(votes + row) / k for row in np.eye(3)[:2]]
    queries = [query_of(bound, rows, loss, classes) for rows in ends]
    assert min(within(*queries)) > 1 - 1e-12
    asked = TransferSet(np.zeros((50, 1)), np.arange(50), classes)
    unit = row_lattice(bound, asked, loss).total // k
    assert (queries[0].values == unit * (votes + [1, 0, 0])).all()


def test_neighbours_of_a_real_k_nn_teacher_move_by_the_bound():
    rng = np.random.default_rng()
    X, y, rows = rng.normal(size=(60, 2)), rng.integers(0, 2, 60), rng.normal(size=(40, 2))
    asked = TransferSet(rows, np.arange(40), np.arange(2))
    queries = []
    for label in (0, 1):
        changed_X, changed = X.copy(), y.copy()
        changed[0] = label
        changed_X[0] = rows[0]
        teacher = KNeighborsClassifier(5, algorithm="brute").fit(changed_X, changed)
        bound = certify(teacher)
        assert bound.n_votes == 5
        query = next(SoftLabels(basis=None).queries(bound, asked, LOSSES["gaussian"], teacher, ()))
        queries.append(query.of(None, query.share))
    within(*queries)


def test_rows_can_be_had_one_by_one():
    rng = np.random.default_rng()
    rows = rng.dirichlet(np.ones(3), size=30)

    class Public:
        def predict_proba(self, X):
            return rows[np.asarray(X)[:, 0]]

    asked = TransferSet(np.arange(30)[:, None], np.arange(30), np.arange(3))
    query = next(SoftLabels().queries(WORST, asked, LOSSES["gaussian"], Public(), ()))
    whole, part = query.measure(None), np.array([7, 3, 29])
    assert (query.measure(part) == whole[part]).all()
    some = query.of(part, Fraction(1, 3))
    assert (some.values == whole[part]).all()
    assert some.share == Fraction(1, 3)
    assert some.l1 == 3 * query.l1
    assert Fraction(some.l2) ** 2 >= 3 * Fraction(query.l2) ** 2  # rounded up
    assert some.l2 == pytest.approx(math.sqrt(3) * query.l2, rel=1e-14)


@given(st.integers(1, 10**9), st.floats(1e-9, 1e9))
def test_what_many_rows_move_is_rounded_up(n, l2):
    from skdistill.release.query import RowQuery

    query = RowQuery("labels", lambda rows: None, (n, 2), 2 * l2, l2, 1.0)
    assert Fraction(query.moved(n)[1]) ** 2 >= n * Fraction(l2) ** 2


def test_the_bound_does_not_depend_on_the_price_and_the_settings_tell_releases_apart():
    def settings_of(bound, epsilon, **settings):
        asked = TransferSet(np.zeros((9, 1)), np.arange(9), np.arange(2))
        loss = PrivacyLoss.gaussian(epsilon, 1e-6)
        query = next(SoftLabels(**settings).queries(bound, asked, loss, None, ()))
        return query.l2 * query.step, query.settings[0], query.settings[3:]

    for bound in (WORST, RowBound(0.02, 0.01), RowBound(2e-9, 1e-9)):
        found = {settings_of(bound, epsilon) for epsilon in (1e-3, 0.1, 1.0, 100.0)}
        assert len(found) == 1
    assert settings_of(WORST, 1.0) != settings_of(WORST, 1.0, temperature=2.0)
    assert settings_of(WORST, 1.0) != settings_of(RowBound(0.02, 0.01), 1.0)


def test_temperature_softens_and_sharpens():
    answer = np.tile([0.2, 0.8], (4, 1))
    asked = TransferSet(np.zeros((4, 1)), np.arange(4), np.arange(2))
    with no_noise():
        for temperature in (0.5, 1.0, 2.0):
            mechanism = SoftLabels(basis=None, temperature=temperature)
            labels = calibrate(WORST, asked, 1.0, 1e-6, mechanism).draw(Says(answer)).values
            expected = answer ** (1 / temperature)
            expected /= expected.sum(axis=1, keepdims=True)
            assert np.allclose(labels, expected, atol=1e-5)


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr("skdistill.release.outputs._CHUNK", 10)
    rows = np.random.default_rng().dirichlet(np.ones(2), size=97)
    seen = set()

    class Public:
        def predict_proba(self, X):
            seen.add(threading.get_ident())
            return rows[np.asarray(X)[:, 0]]

    asked = [
        TransferSet(np.arange(97)[:, None], np.arange(97), np.arange(2), None, n) for n in (None, 3)
    ]
    found = [
        next(SoftLabels().queries(WORST, each, LOSSES["gaussian"], Public(), ())).measure(None)
        for each in asked
    ]
    assert (found[0] == found[1]).all()


def test_what_a_teacher_raises_stays_inside():
    class Fails:
        def predict_proba(self, X):
            raise ValueError("canary")

    asked = TransferSet(np.zeros((4, 1)), np.arange(4), np.arange(2))
    with pytest.raises(TeacherError) as caught:
        calibrate(WORST, asked, 1.0, 1e-6).draw(Fails())
    assert caught.value.__context__ is None


def test_unprotected_labels_are_the_teachers_own():
    answer = np.random.default_rng().dirichlet(np.ones(3), size=20)
    asked = TransferSet(np.zeros((20, 1)), np.arange(20), np.arange(3))
    release = calibrate(AlreadyPrivate(1.0), asked, 1.0, 1e-6, SoftLabels(temperature=2.0))
    assert isinstance(release.mechanism, Unprotected)
    labels = release.draw(Says(answer))
    softened = np.sqrt(answer) / np.sqrt(answer).sum(axis=1, keepdims=True)
    assert np.allclose(labels.values, softened)
    assert labels.noise_scale == 0 and labels.answered.all()
    values = TransferSet(np.zeros((20, 1)), np.arange(20), None)
    plain = calibrate(AlreadyPrivate(1.0), values, 1.0, 1e-6).draw(Says(np.arange(20.0)))
    assert (plain.values == np.arange(20.0)).all()


def test_a_regression_needs_its_range():
    values = TransferSet(np.zeros((20, 1)), np.arange(20), None)
    with pytest.raises(ValueError, match="output_range"):
        calibrate(RowBound(1.0, 1.0), values, 1.0, 1e-6)


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_diffprivlibs_own_sampler_is_an_option_and_says_so(binary):
    _, _, X, _, teacher = binary
    fitted = PrivateDistiller(teacher, mechanism=SoftLabels(sampler="diffprivlib")).fit(X[:50])
    assert "diffprivlib" in fitted.privacy_.sampler
