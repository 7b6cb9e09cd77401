import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from skdistill.release import lattice

ANYTHING = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6),
    elements=st.floats(allow_nan=True, allow_infinity=True, width=64),
)
BITS = st.integers(1, 20)


@given(ANYTHING, BITS, st.floats(0.05, 20))
def test_any_rows_become_integers_with_an_exact_sum(rows, bits, temperature):
    simplex = lattice.to_simplex(rows, temperature)
    labels = lattice.quantize_simplex(simplex, bits)
    assert labels.dtype == np.int64
    assert (labels >= 0).all()
    assert (labels.sum(axis=1) == 1 << bits).all()
    assert (np.abs(labels - simplex * (1 << bits)) < 1 + 2.0**-20).all()


@given(ANYTHING, BITS)
def test_a_bad_row_is_uniform_and_leaves_its_neighbours_alone(rows, bits):
    good = np.isfinite(rows).all(axis=1) & (rows >= 0).all(axis=1) & (rows.max(axis=1) > 0)
    simplex = lattice.to_simplex(rows)
    assert np.allclose(simplex[~good], 1 / rows.shape[1])
    for i in np.flatnonzero(good):
        assert np.array_equal(simplex[i], lattice.to_simplex(rows[[i]])[0])


def weight_pairs(n):
    weights = arrays(np.float64, (2, n), elements=st.floats(0, 1, allow_subnormal=False))
    return st.tuples(weights, st.floats(0, 1))


@given(st.integers(2, 8).flatmap(weight_pairs), BITS)
def test_the_lattice_never_stretches_a_move_beyond_its_bound(pair, bits):
    weights, mix = pair
    p, q = lattice.to_simplex(weights)
    q = mix * p + (1 - mix) * q  # any distance, small ones too
    moved = np.diff(lattice.quantize_simplex(np.stack([p, q]), bits), axis=0)[0]
    l1, l2 = np.abs(p - q).sum(), np.linalg.norm(p - q)
    if l1 == 0:
        return
    bound1, bound2 = lattice.simplex_sensitivity(l1, max(l2, 1e-300), len(p), bits)
    assert np.abs(moved).sum() <= bound1
    assert np.linalg.norm(moved) <= bound2 * (1 + 1e-15)


def test_the_worst_case_needs_no_slack():
    assert lattice.simplex_sensitivity(2, math.sqrt(2), 10, 20) == (2 * 2**20, math.sqrt(2) * 2**20)
    corners = lattice.quantize_simplex(np.eye(3))
    assert np.linalg.norm(corners[0] - corners[1]) == math.sqrt(2) * 2**20


@given(
    arrays(np.float64, 5, elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.floats(-1e12, 1e12),
    st.floats(1e-6, 1e12),
    BITS,
)
def test_any_value_lands_in_its_range(values, low, width, bits):
    high = low + width
    if not high > low:
        return
    steps = lattice.quantize_range(values, low, high, bits)
    assert ((steps >= 0) & (steps <= 1 << bits)).all()
    assert (steps[values >= high] == 1 << bits).all()
    assert (steps[values <= low] == 0).all()


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
