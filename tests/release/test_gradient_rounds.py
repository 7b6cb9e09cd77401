"""Gradient rounds: no unit moves a sum by more than its bound, and nobody else's part moves."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrices import some
from threadpoolctl import threadpool_limits

from skdistill.accounting import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release import private_sums as module
from skdistill.release.coordinates import public_frame
from skdistill.release.gradient_rounds import Rule, _prior, _spread, _Steps, gradient_rounds
from skdistill.release.private_sums import MISSING, TARGET_ONE, IntegerMap, Lattice, PrivateRows
from skdistill.release.query import answer
from skdistill.testing import _SeededSampler

relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))
LOSS = PrivacyLoss.gaussian(1.0, 1e-5)


def cells(rng, kind, shape):
    """Rows that try to break a bound."""
    X = rng.normal(size=shape)
    if kind == "huge":
        X *= 10.0 ** rng.integers(-300, 100, size=(shape[0], 1))
    elif kind == "extreme":
        X = np.sign(X) * rng.choice([0.0, 1e-300, 1.0, 1e6, 1e100], size=shape)
    elif kind == "constant":
        X[:] = X[0]
    elif kind == "aligned":
        X[:] = 50 * np.sign(X[0])
    return X


def targets(rng, n_classes, n):
    if not n_classes:
        return rng.choice([-TARGET_ONE, 0, TARGET_ONE, MISSING, 12345], size=n).astype(np.int64)
    return rng.integers(-1, n_classes, size=n)


def rows_of(X, y, n_classes, groups=None):
    if groups is None:
        return PrivateRows(X, y, n_classes, len(y))
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    of_row = sizes[index].astype(float)
    return PrivateRows(X, y, n_classes, len(names), Unit.GROUP, of_row)


@st.composite
def neighbours(draw, grouped):
    """Two neighbouring data sets, and public numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_classes, d, n = draw(st.sampled_from([0, 2, 4])), draw(st.integers(1, 5)), 40
    kinds = st.sampled_from(["normal", "huge", "extreme", "constant", "aligned"])
    X, y = cells(rng, draw(kinds), (n, d)), targets(rng, n_classes, n)
    groups = np.repeat(np.arange(8), 5) if grouped else None
    if grouped:
        size = draw(st.integers(1, 12))
        new = cells(rng, draw(kinds), (size, d)), targets(rng, n_classes, size)
        at = draw(st.integers(0, 35))  # the newcomer's rows may stand anywhere
        kept = groups != 3
        X2 = np.insert(X[kept], at, new[0], axis=0)
        y2 = np.insert(y[kept], at, new[1])
        groups2 = np.insert(groups[kept], at, np.full(size, 3))
    else:
        i = draw(st.integers(0, n - 1))
        X2, y2, groups2 = X.copy(), y.copy(), None
        X2[i], y2[i] = cells(rng, draw(kinds), (2, d))[0], targets(rng, n_classes, 1)[0]
        if draw(st.booleans()):
            X2[i] = -X[i]
    if draw(st.booleans()):
        X, X2 = sp.csr_matrix(X), sp.csr_matrix(X2)
    pair = rows_of(X, y, n_classes, groups), rows_of(X2, y2, n_classes, groups2)
    q, k = draw(st.integers(1, 4)), pair[0].n_scores
    lattice = Lattice(np.zeros(d), 10.0 ** rng.uniform(-6, 0, size=d))
    frame = IntegerMap(lattice, rng.normal(size=(d + 1, q)) * 10.0 ** draw(st.integers(-3, 3)))
    weights = rng.normal(size=(d + 1, k)) * draw(st.sampled_from([0.0, 0.1, 10.0]))
    clip = 10.0 ** draw(st.floats(-3, 3))
    return pair, frame, weights, clip


def sums(rows, frame, weights, clip):
    yield rows.targets_sum()
    yield rows.gradients(frame, weights, clip, 10**6)[0]
    yield rows.gradients(frame, weights, clip, 7)[0]
    for order in ("mean", "squares", "products"):
        yield rows.moments(frame, clip, order, 10**6)[0]
    if rows.n_classes:
        yield rows.score_histogram(frame.lattice, weights, np.linspace(-2, 2, 7))


@pytest.mark.parametrize("grouped", [False, True])
@relaxed
@given(data=st.data())
def test_no_unit_moves_a_sum_by_more_than_its_bound(grouped, data):
    (first, second), *public = data.draw(neighbours(grouped))
    assert first.n_units == second.n_units
    for a, b in zip(sums(first, *public), sums(second, *public), strict=True):
        assert (a.l1, a.l2, a.unit, a.values.shape) == (b.l1, b.l2, b.unit, b.values.shape)
        moved = (a.values.astype(object) - b.values.astype(object)).ravel()
        assert sum(m * m for m in moved) <= Fraction(a.l2) ** 2
        assert sum(abs(m) for m in moved) <= Fraction(a.l1)


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_bound_is_nearly_reached(n_classes):
    """Two opposite records, both clipped: a bound that is halved is found out."""
    X = np.array([[40.0, 0.0], [0.0, 0.0]])
    y = np.array([0 if n_classes else -TARGET_ONE] * 2)
    other = X.copy()
    other[0, 0] = -40.0
    lattice = Lattice(np.zeros(2), np.full(2, 1e-3))
    frame = IntegerMap(lattice, np.vstack([np.eye(2), np.zeros(2)]))
    k = 3 if n_classes > 2 else 1
    for reached, call in (
        (0.999, lambda rows: rows.gradients(frame, np.zeros((3, k)), 1.0, 9)[0]),
        (0.999, lambda rows: rows.moments(frame, 1.0, "mean", 9)[0]),
    ):
        a, b = (call(rows_of(rows, y, n_classes)) for rows in (X, other))
        assert np.linalg.norm((a.values - b.values).astype(float)) >= reached * a.l2
    other[0] = 0.0, 40.0
    for order in ("squares", "products"):
        a, b = (rows_of(r, y, n_classes).moments(frame, 1.0, order, 9)[0] for r in (X, other))
        assert np.linalg.norm((a.values - b.values).astype(float)) >= 0.999 * a.l2


def problem(n_classes=2, n=3000, d=7, m=500, seed=0):
    rng = np.random.default_rng(seed)
    X, public = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    scores = X @ rng.normal(size=(d, max(n_classes, 1)))
    if not n_classes:
        y = np.rint(np.clip(scores[:, 0] / 8, -1, 1) * TARGET_ONE).astype(np.int64)
    elif n_classes == 2:
        y = (scores[:, 0] + rng.logistic(size=n) > 0).astype(np.int64)
    else:
        y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return X, y, public


def transcript(mechanism, answers=None, seed=0):
    """Queries of a mechanism, the answers sent to it, and its result."""
    sampler, queries, sent = _SeededSampler(seed), [], []
    query = next(mechanism)
    while True:
        queries.append(query)
        if answers is None:
            sent.append(sampler.perturb(query.values, LOSS.part(query.share), query.l2))
        else:
            sent.append(answers[len(sent)])
        try:
            query = mechanism.send(sent[-1])
        except StopIteration as done:
            return queries, sent, done.value


HOSTILE = {
    "opposite": lambda X, y: (-X[0], 1 - y[0]),
    "zero": lambda X, y: (0 * X[0], y[0]),
    "huge": lambda X, y: (X[0] * 0 + 1e100, y[0]),
    "outside": lambda X, y: (X[0], -1),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_replay_with_a_neighbour(n_classes, kind):
    X, y, public = problem(n_classes)
    X2, y2 = X.copy(), y.copy()
    X2[0], y2[0] = HOSTILE[kind](X, y)
    if not n_classes:
        y2[0] = MISSING
    first = gradient_rounds(rows_of(X, y, n_classes), public, LOSS)
    queries, sent, result = transcript(first)
    second = gradient_rounds(rows_of(X2, y2, n_classes), public, LOSS)
    others, _, replayed = transcript(second, answers=sent)
    assert len(queries) == len(others) and sum(q.share for q in queries) == 1
    assert np.array_equal(result.coef, replayed.coef)
    for a, b in zip(queries, others, strict=True):
        assert (a.l1, a.l2, a.share, a.values.shape) == (b.l1, b.l2, b.share, b.values.shape)
        moved = (a.values - b.values).astype(object).ravel()
        assert sum(m * m for m in moved) <= Fraction(a.l2) ** 2


def test_only_private_sums_depend_on_private_rows():
    """Curvature from private rows would change the next query after the same answers."""
    X, y, public = problem()
    _, sent, result = transcript(gradient_rounds(rows_of(X, y, 2), public, LOSS))
    X2, y2, _ = problem(seed=1)  # other data of the same size, not a neighbour
    queries, _, replayed = transcript(gradient_rounds(rows_of(9 * X2, y2, 2), public, LOSS), sent)
    assert np.array_equal(result.coef, replayed.coef)
    assert sum(q.share for q in queries) == 1


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", some([0, 2, 5], 2))
@pytest.mark.parametrize(("n", "blocks"), [(100, [1, 7]), (2500, [1000])], ids=["100", "2500"])
def test_chunks_give_the_same_integers(n, blocks, n_classes, sparse, groups, monkeypatch):
    X, y, public = problem(n_classes, n=n)
    X[::7] *= 30.0
    if sparse:
        X = sp.csr_matrix(np.where(np.abs(X) > 1, X, 0))
    names = np.arange(len(y)) // 3 if groups else None
    rows, rng = rows_of(X, y, n_classes, names), np.random.default_rng(0)
    lattice = Lattice.of(public.mean(0), public.std(0), centred=not sparse)
    frame = IntegerMap(lattice, rng.normal(size=(8, 6)))
    weights = rng.normal(size=(8, rows.n_scores))
    expected = [s.values for s in sums(rows, frame, weights, 2.0)]
    for block in blocks:
        monkeypatch.setattr(module, "_BLOCK", block)
        again = replace(rows, _lengths=[])
        for a, b in zip(expected, sums(again, frame, weights, 2.0), strict=True):
            assert np.array_equal(a, b.values)


def test_threads_of_blas_give_the_same_integers():
    X, y, _ = problem(3, n=4000, d=60)
    rng = np.random.default_rng(0)
    frame = IntegerMap(Lattice(np.zeros(60), np.full(60, 1e-3)), rng.normal(size=(61, 70)))
    weights, found = rng.normal(size=(61, 3)), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append([s.values for s in sums(rows_of(X, y, 3), frame, weights, 3.0)])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_part_of_a_record_does_not_depend_on_its_place():
    """A group with one row more moves every row behind it: their integers stay."""
    X, y, _ = problem(3, n=1500)
    frame = IntegerMap(
        Lattice(np.zeros(7), np.full(7, 1e-4)), np.random.default_rng(0).normal(size=(8, 9))
    )
    weights = np.random.default_rng(1).normal(size=(8, 3))
    order = np.random.default_rng(2).permutation(len(y))
    first = sums(rows_of(X, y, 3), frame, weights, 1.0)
    second = sums(rows_of(X[order], y[order], 3), frame, weights, 1.0)
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        if number == 2:  # takes rows by their positions
            continue
        assert np.array_equal(a.values, b.values)


def test_rounds_have_noise_of_their_own():
    queries, sent, _ = transcript(gradient_rounds(rows_of(*problem()[:2], 2), problem()[2], LOSS))
    noise = [(s - q.values).ravel()[:3].tolist() for q, s in zip(queries, sent, strict=True)]
    assert len({tuple(each) for each in noise}) == len(noise)


def test_floor_keeps_sums_of_any_size_exact():
    integers = np.array([[3.0, -(2.0**20)], [2.0**20, 1.0]])
    high, low = np.array([[2**33], [-(2**33)]]), np.array([[5], [2**20 - 1]])
    for shift in (20, 33):
        total = [[int(h) * 2**20 + int(v)] for h, v in zip(high[:, 0], low[:, 0], strict=True)]
        exact = [
            sum(int(integers[i, j]) * total[i][0] for i in range(2)) * Fraction(1, 2) ** shift
            for j in range(2)
        ]
        found = module._apply(integers, high, low, shift)
        assert found[:, 0].tolist() == [e.numerator // e.denominator for e in exact]


@pytest.mark.parametrize(
    ("change", "n_classes"),
    [
        (lambda X, y, P: (X, y, P[:1]), 2),
        (lambda X, y, P: (X, y, P[:3]), 2),
        (lambda X, y, P: (X, y, P * [1, 0, 1, 1, 1, 1, 1]), 2),
        (lambda X, y, P: (X * [1, 0, 1, 1, 1, 1, 1], y, P), 2),
        (lambda X, y, P: (X, y * 0, P), 2),
        (lambda X, y, P: (X, y * 0 + 1, P), 2),
        (lambda X, y, P: (X, y * 0, P * 0), 3),
        (lambda X, y, P: (X * 1e80, y, P), 2),
        (lambda X, y, P: (X, y, P * 1e60), 2),
        (lambda X, y, P: (X, y, P * 1e-60), 2),
        (lambda X, y, P: (X, y * 0 + MISSING, P), 0),
        (lambda X, y, P: (sp.csr_matrix(X), y, P), 2),
        (lambda X, y, P: (X, y, sp.csr_matrix(P)), 2),
        pytest.param(lambda X, y, P: (X, y, P), 1000, marks=pytest.mark.slow),
        (lambda X, y, P: (X[:5], y[:5], P), 2),
    ],
)
@pytest.mark.parametrize("loss", [LOSS, PrivacyLoss.laplace(0.5), PrivacyLoss.gaussian(1e-4, 1e-6)])
def test_a_finite_model_of_anything(change, n_classes, loss):
    X, y, public = change(*problem(n_classes))
    with np.errstate(all="raise", under="ignore"):
        found = answer(
            gradient_rounds(rows_of(X, y, n_classes), public, loss), loss, _SeededSampler(0)
        )
    assert np.isfinite(found.coef).all() and np.isfinite(found.intercept).all()


def test_sparse_rows_with_many_columns():
    rng = np.random.default_rng(0)
    X = sp.random(2000, 20_000, 1e-3, format="csr", random_state=rng)
    y = (np.asarray(X[:, :10_000].sum(axis=1)).ravel() > 1).astype(np.int64)
    public = sp.random(300, 20_000, 1e-3, format="csr", random_state=rng)
    found = answer(gradient_rounds(rows_of(X, y, 2), public, LOSS), LOSS, _SeededSampler(0))
    assert found.coef.shape == (1, 20_000) and np.isfinite(found.coef).all()


@pytest.mark.parametrize("shape", [(0, 7), (5, 6), (5,)])
def test_public_rows_that_do_not_fit_are_refused_before_anything_is_asked(shape):
    X, y, _ = problem()
    with pytest.raises(ValueError, match="public rows have the shape"):
        next(gradient_rounds(rows_of(X, y, 2), np.zeros(shape), LOSS))


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_learns(n_classes):
    X, y, public = problem(n_classes, n=20_000)
    loss = PrivacyLoss.gaussian(2.0, 1e-6)
    found = answer(gradient_rounds(rows_of(X, y, n_classes), public, loss), loss, _SeededSampler(0))
    scores = X @ found.coef.T + found.intercept
    if not n_classes:
        assert np.corrcoef(scores[:, 0], y)[0, 1] > 0.97
    else:
        guess = scores.argmax(axis=1) if n_classes > 2 else scores[:, 0] > 0
        assert np.mean(guess == y) > 0.7


def test_shares_of_a_part():
    X, y, public = problem()
    mechanism = gradient_rounds(rows_of(X, y, 2), public, LOSS, whole=Fraction(9, 10), rule=Rule())
    queries, _, _ = transcript(mechanism)
    assert sum(q.share for q in queries) == Fraction(9, 10)


def test_origin_of_the_features_does_not_matter():
    X, y, public = problem(n=20_000)
    found = []
    for shift in (0.0, 1000.0):
        mechanism = gradient_rounds(rows_of(X + shift, y, 2), public + shift, LOSS)
        found.append(answer(mechanism, LOSS, _SeededSampler(0)))
    assert np.allclose(found[0].coef, found[1].coef, atol=0.02)


def test_many_rows_are_asked_in_part_at_first(monkeypatch):
    """The bound does not depend on how many rows are summed over, and the shares stay."""
    from skdistill.release import gradient_rounds as rounds

    monkeypatch.setattr(rounds, "_MOMENT_ROWS", 300)
    X, y, public = problem(n=3000)
    queries, sent, _ = transcript(gradient_rounds(rows_of(X, y, 2), public, LOSS))
    X[0], y[0] = -X[0], 1 - y[0]
    others, _, _ = transcript(gradient_rounds(rows_of(X, y, 2), public, LOSS), sent)
    for a, b in zip(queries, others, strict=True):
        assert np.linalg.norm((a.values - b.values).astype(float)) <= a.l2
    assert sum(q.share for q in queries) == 1


@pytest.mark.parametrize("size", [1, 9])
@pytest.mark.parametrize("n_classes", [0, 2])
def test_replay_with_a_group_of_another_size(n_classes, size):
    """How many rows there are is private where the unit is a group."""
    X, y, public = problem(n_classes, n=3000)
    groups = np.arange(3000) // 4
    kept = groups != 5
    X2 = np.insert(X[kept], 100, np.full((size, 7), 3.0), axis=0)
    y2 = np.insert(y[kept], 100, np.full(size, y[0]))
    groups2 = np.insert(groups[kept], 100, np.full(size, 5))
    first = gradient_rounds(rows_of(X, y, n_classes, groups), public, LOSS)
    queries, sent, result = transcript(first)
    second = gradient_rounds(rows_of(X2, y2, n_classes, groups2), public, LOSS)
    others, _, replayed = transcript(second, sent)
    assert np.array_equal(result.coef, replayed.coef)
    for a, b in zip(queries, others, strict=True):
        assert (a.l1, a.l2, a.share) == (b.l1, b.l2, b.share)
        moved = (a.values - b.values).astype(object).ravel()
        assert sum(m * m for m in moved) <= Fraction(a.l2) ** 2


def test_rows_that_two_fits_share_have_the_lengths_of_each_frame():
    """Another thread asks for its own frame just after this one has kept its lengths."""
    lattice = Lattice(np.zeros(2), np.full(2, 1e-3))
    mine, other = (IntegerMap(lattice, np.eye(3, 2) * size) for size in (1.0, 0.01))

    class Racing(list):
        def __setitem__(self, where, value):
            super().__setitem__(where, value)
            if value[0] is mine:
                rows._row_lengths(other)

    X = np.random.default_rng(0).normal(size=(50, 2))
    rows = PrivateRows(X, np.zeros(50, np.int64), 2, 50, _lengths=Racing())
    for _ in range(2):
        assert (rows._row_lengths(mine) >= 0.999 * np.linalg.norm(X, axis=1)).all()
    assert "[" not in repr(rows) and "[" not in repr(rows.targets_sum())


def test_lengths_are_those_of_the_frame_and_of_the_rows_that_are_asked():
    """A round that turns the coordinates, or asks more rows, clips by no length of before."""
    X, y, _ = problem(2, n=60)
    lattice, rows = Lattice(np.zeros(7), np.full(7, 1e-3)), rows_of(X, y, 2)
    weights, frames = np.zeros((8, 1)), [IntegerMap(lattice, np.eye(8, 3) * s) for s in (0.01, 9)]
    for frame, at_most in [(f, m) for f in (*frames, frames[0]) for m in (20, 60)]:
        found, n = rows.gradients(frame, weights, 0.5, at_most)
        alone, _ = rows_of(X, y, 2).gradients(frame, weights, 0.5, at_most)
        assert n == at_most and np.array_equal(found.values, alone.values)


@pytest.mark.parametrize("order", ["mean", "squares", "products"])
def test_a_moment_of_very_many_groups_fits_its_integers(order):
    lattice, n_units = Lattice(np.zeros(2), np.full(2, 1e-3)), 1 << 32
    rows = PrivateRows(
        np.full((4, 2), 2.0), np.zeros(4, np.int64), 2, n_units, Unit.GROUP, np.ones(4)
    )
    found, n = rows.moments(IntegerMap(lattice, np.eye(3, 2)), 2.0, order, 10)
    assert n == n_units and n * np.abs(found.values).max() / 4 < 2.0**62
    assert found.values.all() and n * found.l2 < 2.0**62


@pytest.mark.parametrize("grouped", [False, True])
def test_moments_have_their_unit(grouped):
    X, y, _ = problem(2, n=1000)
    rows = rows_of(X, y, 2, np.arange(1000) // 4 if grouped else None)
    weights = np.random.default_rng(0).normal(size=(8, 3))
    t = (X @ weights[:7] + weights[7]).reshape(250 if grouped else 1000, -1, 3).mean(axis=1)
    frame = IntegerMap(Lattice(np.zeros(7), np.full(7, 1e-4)), weights)
    for order, expected in (("mean", t.sum(axis=0)), ("products", t.T @ t)):
        if order == "products" and grouped:
            continue
        found, n_units = rows.moments(frame, 100.0, order, 10**6)
        assert n_units == len(t)
        assert found.values.ravel() * found.unit == pytest.approx(expected.ravel(), rel=0.01)
    squares = rows.moments(frame, 100.0, "squares", 10**6)[0]
    if not grouped:
        assert squares.values * squares.unit == pytest.approx((t**2).sum(axis=0), rel=0.01)


def test_score_histogram_counts_by_class():
    X, y, _ = problem(2, n=1000)
    y[::10] = -1
    rows, lattice = rows_of(X, y, 2), Lattice(np.zeros(7), np.full(7, 1e-4))
    weights, edges = np.random.default_rng(0).normal(size=(8, 1)), np.linspace(-3, 3, 13)
    found = rows.score_histogram(lattice, weights, edges)
    scores = X @ weights[:7, 0] + weights[7, 0]
    expected = [
        [np.sum((np.searchsorted(edges, scores) == b) & (y == c)) for c in (0, 1)]
        for b in range(14)
    ]
    assert np.abs(found.values * found.unit - expected).max() <= 1  # a score beside an edge
    assert found.values.sum() * found.unit == np.sum(y >= 0)


def asked_of(rows, public, loss, answers):
    """Return the shares and shapes of the queries, and the release, under given answers."""
    mechanism, asked = gradient_rounds(rows, public, loss), []
    query = next(mechanism)
    while True:
        asked.append((query.share, query.values.shape))
        try:
            query = mechanism.send(answers(query, len(asked)))
        except StopIteration as done:
            return asked, done.value


def binary(n, share, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 60))
    y = (np.argsort(np.argsort(X[:, 0] + rng.normal(size=n))) >= (1 - share) * n).astype(np.int64)
    return PrivateRows(X, y, 2, n), X[:500]


@pytest.mark.parametrize("loss", [LOSS, PrivacyLoss.laplace(1.0)], ids=["gaussian", "laplace"])
def test_the_shares_do_not_depend_on_the_answers(loss):
    """Neither their number nor their size depends on the released class shares."""
    rows, public = binary(3000, 0.3)
    rng = np.random.default_rng(0)
    given = [
        lambda query, k: query.values,
        lambda query, k: np.zeros_like(query.values),
        lambda query, k: -query.values,
        lambda query, k: rng.integers(-(2**40), 2**40, query.values.shape),
    ]
    shares = [[share for share, _ in asked_of(rows, public, loss, each)[0]] for each in given]
    assert all(each == shares[0] for each in shares)
    assert sum(shares[0]) == 1


def test_laplace_noise_takes_one_round_or_two_and_no_moment():
    """Rounds divide ε then, and many of them would be noise alone."""
    counts = []
    for epsilon in (0.1, 1.0, 50.0):
        rows, public = binary(3000, 0.3)
        loss = PrivacyLoss.laplace(epsilon)
        asked, model = asked_of(rows, public, loss, lambda query, k: query.values)
        assert len(asked) == 1 + model.n_rounds
        counts.append(model.n_rounds)
    assert counts[0] == 1
    assert counts[-1] == 2


def test_a_rare_class_is_learned_in_fewer_directions():
    """The noise on a score grows with 1/√(p(1 - p)), and directions fall with its square."""
    sizes = []
    for share in (0.5, 0.3, 0.15, 0.03):
        rows, public = binary(3000, share)
        _, model = asked_of(rows, public, LOSS, lambda query, k: query.values)
        sizes.append(model.n_directions)
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3] >= 2


@pytest.mark.parametrize("counts", [[-200, 500], [0, 400], [-1e12, 1e12], [-5, -9], [3, 200, 90]])
def test_noise_leaves_no_class_without_a_share(counts):
    """Each count is the mean of those that are not negative, under its noise."""
    noise, at = 64.0, np.linspace(0, 2000, 2_000_001)
    shares = _prior(np.array(counts, dtype=float), noise)
    assert (shares > 0).all() and shares.sum() == pytest.approx(1)
    if min(counts) > -1e3 and max(counts) < 1e3:
        density = np.exp(-(((at - np.array(counts)[:, None]) / noise) ** 2) / 2)
        means = (density * at).sum(axis=1) / density.sum(axis=1)
        assert shares == pytest.approx(means / means.sum(), rel=1e-3)
    assert _prior(1e6 * np.array([1.0, 3.0]), noise) == pytest.approx([0.25, 0.75])


@pytest.mark.slow
def test_a_regression_is_shrunk_by_its_noise():
    """The error falls with much noise, and next to nothing changes with little."""
    rng = np.random.default_rng(3)
    X, public = rng.normal(size=(2, 3000, 60)) * np.geomspace(1, 0.1, 60)
    signal = 0.3 * np.tanh(X[:, 0])
    y = np.rint((signal + rng.uniform(-0.3, 0.3, size=3000)) * TARGET_ONE).astype(np.int64)

    def errors(epsilon, shrunk):
        loss = PrivacyLoss.gaussian(epsilon, 1e-5)
        for seed in range(10):
            rounds = gradient_rounds(rows_of(X, y, 0), public, loss, rule=Rule(shrunk=shrunk))
            found = answer(rounds, loss, _SeededSampler(seed))
            yield np.mean((X @ found.coef[0] + found.intercept - signal) ** 2)

    noisy, shrunk = (np.array(list(errors(0.4, each))) for each in (0.0, Rule().shrunk))
    assert (shrunk < noisy).all()
    assert shrunk.mean() < 0.9 * noisy.mean()
    clear, kept = (np.mean(list(errors(50.0, each))) for each in (0.0, Rule().shrunk))
    assert kept < 1.1 * clear


@pytest.mark.parametrize("n_classes", [0, 2, 5])
def test_a_clip_is_taken_where_the_curvature_is_the_same_in_all_directions(n_classes):
    """The step is the one of the coordinates before; a noisy change is no curvature."""
    X, y, public = problem(n_classes, n=400)
    rows, rng = rows_of(X, y, n_classes), np.random.default_rng(0)
    frame = public_frame(rows, public, 5, 0.2)
    steps = _Steps(frame, rows, PrivacyLoss.gaussian(1.0, 1e-6), Rule(), 1.0)
    v = rng.normal(size=(frame.size, rows.n_scores))
    steps.at(v, turn=True)
    same = steps.turn.T @ steps._hessian() @ steps.turn
    assert same == pytest.approx(same[0, 0] * np.eye(frame.size), abs=1e-9)
    assert steps.map.actual() == pytest.approx(frame.matrix @ steps.turn, rel=1e-4, abs=1e-6)
    for size in (steps.first_step, 1.0):
        gradient, hessian = rng.normal(size=v.shape), steps._hessian()
        step = np.linalg.solve(hessian, gradient - steps.mean * steps.penalty @ v)
        after = steps.next(v, steps.turn.T @ gradient, noise=1e9)
        assert after == pytest.approx(v + size * step, rel=1e-6, abs=1e-9)
        assert not steps.secants.any()
        v = after
        steps.at(v, turn=False)
    steps.next(v, steps.turn.T @ (gradient - 99 * (v - steps.before[0])), noise=1e-9)
    assert np.linalg.eigvalsh(steps.secants).max() > 1


def test_a_number_and_its_square_move_as_far_as_the_number():
    """Every pair of records on a grid, and pairs of groups of up to three rows."""
    grid = np.r_[np.linspace(-1, 1, 33), -0.999, 1 / 3, 1e-6]
    one = np.rint(grid * TARGET_ONE).astype(np.int64)
    X = np.zeros((1, 1))

    def added(targets, n_rows=None):
        rows = PrivateRows(
            np.repeat(X, len(targets), axis=0),
            np.array(targets),
            0,
            1,
            Unit.RECORD if n_rows is None else Unit.GROUP,
            n_rows,
        )
        found = rows.targets_sum()
        return found.values, found

    parts = [added([t]) for t in one]
    moved = np.array([[a[0] - b[0] for a in parts] for b in parts])
    found = parts[0][1]
    assert np.sqrt((moved.astype(float) ** 2).sum(axis=2)).max() <= found.l2
    assert np.abs(moved).sum(axis=2).max() <= found.l1
    assert np.sqrt((moved.astype(float) ** 2).sum(axis=2)).max() > 0.999 * found.l2
    assert np.abs(moved).sum(axis=2).max() > 0.99 * found.l1
    groups = [added([a] * s, np.full(s, float(s))) for a in one for s in (1, 2, 3)]
    groups += [added([a, b], np.full(2, 2.0)) for a in one[::3] for b in one[::4]]
    values = np.array([g[0] for g in groups]).astype(float)
    moved, found = values[:, None] - values, groups[0][1]
    assert np.sqrt((moved**2).sum(axis=2)).max() <= found.l2
    assert np.abs(moved).sum(axis=2).max() <= found.l1
    assert found.l1 <= module.TARGETS_MOVED[0] and found.l2 <= module.TARGETS_MOVED[1]
    assert parts[0][1].l1 <= module.TARGETS_MOVED[0] and parts[0][1].l2 <= module.TARGETS_MOVED[1]


def test_the_clip_of_a_regression_follows_the_spread_of_its_targets(monkeypatch):
    """Targets in a tenth of the range have a tenth of the clip, as far as noise can tell."""
    rng, clips = np.random.default_rng(0), []
    X, public = rng.normal(size=(2, 20_000, 4))
    at = _Steps.at
    monkeypatch.setattr(
        _Steps, "at", lambda *args, **kw: clips.append(at(*args, **kw)) or clips[-1]
    )
    for size in (0.5, 0.05):
        y = np.rint(size * np.sign(X[:, 0]) * TARGET_ONE).astype(np.int64)
        loss = PrivacyLoss.gaussian(20.0, 1e-6)
        answer(gradient_rounds(rows_of(X, y, 0), public, loss), loss, _SeededSampler(0))
    first, second = clips[0], clips[len(clips) // 2]
    assert 0.08 < second / first < 0.2


@pytest.mark.parametrize("deviations", [-4, -1, 0, 3])
def test_the_spread_of_targets_is_not_below_its_noise(deviations):
    """A square that noise makes negative gave a clip so small that steps hardly moved."""
    noise = 0.005
    assert noise <= _spread(np.array([0.0, deviations * noise]), noise) ** 2 <= 5 * noise


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("kind", ["heavy tail", "far from zero", "constant", "one row"])
def test_public_rows_of_hardly_any_curvature(kind, n_classes):
    """A curvature that rounding or few rows make negative stops nothing after the charge."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X, public = rng.normal(size=(2, 300, 6))
        if kind == "heavy tail":
            X[:, 0], public[:, 0] = 10 * rng.standard_t(1.2, size=(2, 300))
        elif kind == "far from zero":
            X[:, 0] += 10.0 ** (7 + seed % 5)
            public[:, 0] += 10.0 ** (7 + seed % 5)
        elif kind == "constant":
            public[:] = 10.0 ** (seed - 3)
        else:
            public = public[:1]
        y = rng.integers(0, max(n_classes, 1), 300)
        for epsilon in (0.1, 1.0):
            loss = PrivacyLoss.gaussian(epsilon, 1e-6)
            rounds = gradient_rounds(rows_of(X, y, n_classes), public, loss)
            found = answer(rounds, loss, _SeededSampler(seed))
            assert np.isfinite(found.coef).all()
