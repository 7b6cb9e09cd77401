import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matrices import some

from skdistill.release import quantization as lattice

ANYTHING = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6),
    elements=st.floats(allow_nan=True, allow_infinity=True, width=64),
)


@given(ANYTHING, st.integers(1, 1 << 20), st.floats(0.05, 20))
def test_any_rows_become_integers_with_an_exact_sum(rows, total, temperature):
    simplex = lattice.to_simplex(rows, temperature)
    labels = lattice.quantize_simplex(simplex, total)
    assert labels.dtype == np.int64
    assert (labels >= 0).all()
    assert (labels.sum(axis=1) == total).all()
    assert (np.abs(labels - simplex * total) < 1 + 2.0**-20).all()


@given(ANYTHING)
def test_a_bad_row_is_uniform_and_leaves_its_neighbours_alone(rows):
    good = np.isfinite(rows).all(axis=1) & (rows >= 0).all(axis=1) & (rows.max(axis=1) > 0)
    simplex = lattice.to_simplex(rows)
    assert np.allclose(simplex[~good], 1 / rows.shape[1])
    for i in np.flatnonzero(good):
        assert np.array_equal(simplex[i], lattice.to_simplex(rows[[i]])[0])


def weight_pairs(n):
    weights = arrays(np.float64, (2, n), elements=st.floats(0, 1, allow_subnormal=False))
    return st.tuples(weights, st.one_of(st.floats(0, 1), st.floats(1 - 1e-7, 1)))


NOISE = st.floats(1e-9, 1e9)


@given(st.integers(2, 8).flatmap(weight_pairs), NOISE)
def test_the_lattice_never_stretches_a_move_beyond_its_bound(pair, noise):
    """In exact arithmetic, for moves of any size down to 1e-9."""
    weights, mix = pair
    p, q = lattice.to_simplex(weights)
    q = mix * p + (1 - mix) * q
    l1, l2 = np.abs(p - q).sum(), np.linalg.norm(p - q)
    if l1 < 1e-9:
        return
    l1, l2 = l1 * (1 + 1e-12), l2 * (1 + 1e-12)
    found = lattice.simplex_lattice(l1, l2, len(p), noise)
    moved = np.diff(lattice.quantize_simplex(np.stack([p, q]), found.total), axis=0)[0]
    assert sum(abs(int(v)) for v in moved) <= Fraction(found.l1)
    assert sum(int(v) ** 2 for v in moved) <= Fraction(found.l2) ** 2


def worst_pairs(l2, n_classes, lattice_, rng, n=200):
    """Rows l2 apart whose roundings add up: entries just beside half a step, on both sides."""
    total = lattice_.total
    for _ in range(n):
        direction = rng.normal(size=n_classes)
        direction -= direction.mean()
        direction *= l2 * (1 - 1e-9) / np.linalg.norm(direction)
        p = np.full(n_classes, 1 / n_classes) - direction / 2
        ends = np.rint(np.cumsum(p) * total) + rng.choice([-0.499, 0.499, 0.5], n_classes)
        p = np.diff(ends, prepend=0.0) / total
        p[-1] = 1 - p[:-1].sum()
        q = p + direction
        if min(p.min(), q.min()) >= 0:
            yield np.stack([p, q])


@pytest.mark.parametrize("l2", some([1.2, 0.3, 1e-3, 1e-6, 1e-9], 2))
@pytest.mark.parametrize("n_classes", [2, 3, 10, 100])
@pytest.mark.parametrize("noise", [1e-6, 1.0, 1e6])
def test_bounds_of_the_simplex_hold_for_the_worst_roundings(l2, n_classes, noise):
    found = lattice.simplex_lattice(l2 * math.sqrt(n_classes), l2, n_classes, noise)
    for pair in worst_pairs(l2, n_classes, found, np.random.default_rng()):
        moved = np.diff(lattice.quantize_simplex(pair, found.total), axis=0)[0]
        assert sum(abs(int(v)) for v in moved) <= Fraction(found.l1)
        assert sum(int(v) ** 2 for v in moved) <= Fraction(found.l2) ** 2


@given(
    st.floats(1e-9, 2.0),
    st.floats(0.3, 1.0),
    st.integers(2, 1000),
    st.lists(NOISE, min_size=2, max_size=4),
)
def test_the_bound_in_units_of_probability_does_not_depend_on_the_noise(l1, part, c, noises):
    """So releases of any precision have one sensitivity, and a bridge between them is true."""
    l2 = max(part * l1, l1 / math.sqrt(c))
    found = [lattice.simplex_lattice(l1, l2, c, noise) for noise in noises]
    assert len({(each.l1 / each.total, each.l2 / each.total) for each in found}) == 1
    if c <= 8 or l1 > 1e-4:  # there are bits enough
        assert found[0].l2 / found[0].total <= l2 * (1 + 2.0**-9)


@given(st.floats(1e-9, 2.0), st.lists(NOISE, min_size=2, max_size=4))
def test_the_bound_of_a_range_does_not_depend_on_the_noise(width, noises):
    found = [lattice.range_lattice(min(width, 1.0), noise) for noise in noises]
    assert len({each.l2 / each.total for each in found}) == 1
    assert found[0].l1 == found[0].l2
    assert found[0].l2 / found[0].total <= min(1.0, width) * (1 + 2.0**-10)


@given(st.floats(1e-9, 1.0), st.floats(0, 1), NOISE, st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_the_range_never_stretches_a_move_beyond_its_bound(width, start, noise, low, size):
    a = min(start, 1 - width)
    found = lattice.range_lattice(width, noise)
    ends = np.array([low + size * a, low + size * (a + width)])
    width = (ends[1] - ends[0]) / size
    if not 0 < width <= 1:
        return
    found = lattice.range_lattice(width, noise)
    steps = lattice.quantize_range(ends, low, low + size, found.total)
    assert abs(int(steps[1]) - int(steps[0])) <= found.l2


def test_the_worst_case_needs_no_slack():
    found = lattice.simplex_lattice(2, math.sqrt(2), 10, 1e-6)
    assert found.l1 == 2 * found.total
    assert math.sqrt(2) * found.total <= found.l2 <= math.sqrt(2) * found.total * (1 + 2.0**-51)
    assert lattice.range_lattice(1.0, 1e-6).l2 == lattice.range_lattice(1.0, 1e-6).total
    corners = lattice.quantize_simplex(np.eye(3))
    assert np.linalg.norm(corners[0] - corners[1]) == math.sqrt(2) * 2**20


@given(st.integers(1, 10**6), st.integers(2, 9), st.integers(0, 2**32), NOISE)
def test_votes_are_exact_counts(n_votes, n_classes, seed, noise):
    """Fractions of any number of votes come back as the votes; no rounding is charged."""
    rng = np.random.default_rng(seed)
    votes = rng.multinomial(n_votes, rng.dirichlet(np.ones(n_classes)), size=5)
    assert (lattice.quantize_simplex(lattice.to_simplex(votes / n_votes), n_votes) == votes).all()
    found = lattice.vote_lattice((2.0, math.sqrt(2)), n_votes, noise)
    unit = found.total // n_votes
    assert found.total == unit * n_votes and unit & (unit - 1) == 0
    assert found.l1 == 2 * unit
    assert 2 * unit**2 <= Fraction(found.l2) ** 2 <= 2 * unit**2 * (1 + Fraction(1, 2**50))


@given(
    arrays(np.float64, 5, elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.floats(-1e12, 1e12),
    st.floats(1e-6, 1e12),
    st.integers(1, 44),
)
def test_any_value_lands_in_its_range(values, low, width, bits):
    high = low + width
    if not high > low:
        return
    steps = lattice.quantize_range(values, low, high, 1 << bits)
    assert ((steps >= 0) & (steps <= 1 << bits)).all()
    assert (steps[values >= high] == 1 << bits).all()
    assert (steps[values <= low] == 0).all()


@given(
    arrays(np.float64, 5, elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.floats(-1e300, 1e300),
    st.floats(1e-6, 1e300),
)
def test_a_second_clip_would_change_nothing(values, low, width):
    high = low + width
    if high > low:
        steps = lattice.range_steps(values.copy(), low, high)
        assert (steps == np.clip(steps, 0, 1 << 20)).all()
        assert (steps == lattice.quantize_range(values, low, high)).all()


def test_the_outputs_of_a_teacher_are_copied():
    """A teacher may keep the array that it returned."""
    kept = np.full((2, 2), 0.5)
    assert not np.shares_memory(lattice.as_outputs(kept, (2, 2)), kept)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "canary",
        object(),
        np.array([["a", "b"]]),
        np.ones((3, 3)),
        np.ones(3),
        [[1, 2], [3]],
        np.array([[1j, 2], [3, 4]]),
        np.array([[object(), 1], [2, 3]]),
        iter([1, 2]),
    ],
)
def test_what_is_no_table_of_numbers_is_all_nan(value):
    assert np.isnan(lattice.as_outputs(value, (2, 2))).all()


def test_tables_of_numbers_are_kept():
    import scipy.sparse

    table = [[0.25, 0.75], [1, 0]]
    assert np.array_equal(lattice.as_outputs(table, (2, 2)), table)
    assert np.array_equal(lattice.as_outputs(scipy.sparse.csr_matrix(table), (2, 2)), table)
    assert np.array_equal(lattice.as_outputs([[1.0], [2.0]], (2,)), [1, 2])


def test_temperature_is_a_power():
    rows = lattice.to_simplex(np.array([[0.2, 0.8]]), temperature=2)
    root = np.sqrt([0.2, 0.8])
    assert np.allclose(rows, root / root.sum())


@pytest.mark.parametrize("scale", [0, 1e-9, 1, 2.0**10, 2.0**22, 2.0**29, 2.0**60])
def test_the_lattice_step_stays_far_below_the_noise(scale):
    bits = lattice.lattice_bits(scale)
    assert 1 <= bits <= lattice.LATTICE_BITS
    if bits < lattice.LATTICE_BITS and bits > 1:
        assert 2.0**-bits <= scale * 2.0**-28
