"""No record moves the counts farther than their noise is for; too little noise is caught."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skdistill.accounting import PrivacyLoss
from skdistill.release import marginals
from skdistill.release.marginals import (
    MAX_PAIRED_COLUMNS,
    group_numbers,
    measure_marginals,
    weighted_counts,
)
from skdistill.release.noise import active_sampler
from skdistill.release.query import answer
from skdistill.testing import no_noise


def measure(codes, n_codes, loss, sampler, **options):
    """Answer the queries of the marginals."""
    return answer(measure_marginals(codes, n_codes, loss, **options), loss, sampler)


LOSSES = {"gaussian": PrivacyLoss.gaussian(1.0, 1e-6), "laplace": PrivacyLoss.laplace(1.0)}


class Replay:
    """Records what it is asked to perturb; answers as an earlier run was answered.

    Every release may depend on earlier outputs. Adaptive composition compares two tables given
    the same earlier outputs, so the second table's run is told the first one's.
    """

    name, private = "replay, for tests (NOT private)", False

    def __init__(self, answers=None):
        self.asked, self.answers = [], answers
        self.given = []

    def perturb(self, values, loss, sensitivity):
        self.asked.append((values.copy(), loss, sensitivity))
        answer = values if self.answers is None else self.answers[len(self.given)]
        self.given.append(answer)
        return answer.copy()


def compare(first, second, loss, **options):
    """Check every release of two neighbouring tables, and what they cost together."""
    codes, groups = first
    other, other_groups = second
    n_codes = options.pop("n_codes")
    one = Replay()
    measure(codes, n_codes, loss, one, groups=groups, **options)
    two = Replay(one.given)
    measure(other, n_codes, loss, two, groups=other_groups, **options)
    assert len(one.asked) == len(two.asked)
    spent = 0.0
    for (x, share, sensitivity), (y, same, equal) in zip(one.asked, two.asked, strict=True):
        assert (share, sensitivity) == (same, equal)
        moved = (x - y).astype(float).ravel()
        norm = np.abs(moved).sum() if loss.kind == "laplace" else math.sqrt(moved @ moved)
        assert norm <= sensitivity * (1 + 1e-12)
        spent += share.epsilon if loss.mu is None else share.mu**2
    assert spent <= (loss.epsilon if loss.mu is None else loss.mu**2)
    return one.asked


N_CODES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


@st.composite
def tables(draw):
    """A table of codes, and one in which another record takes the place of one."""
    n_codes = draw(N_CODES)
    n = draw(st.integers(1, 12))
    codes = np.array([[draw(st.integers(0, k - 1)) for k in n_codes] for _ in range(n)])
    other = codes.copy()
    other[draw(st.integers(0, n - 1))] = [draw(st.integers(0, k - 1)) for k in n_codes]
    return n_codes, codes, other


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@settings(max_examples=150, deadline=None)
@given(tables(), st.booleans())
def test_a_record_moves_no_release_farther_than_its_sensitivity(loss, drawn, pairs):
    n_codes, codes, other = drawn
    compare((codes, None), (other, None), loss, n_codes=n_codes, pairs=pairs)


@st.composite
def grouped_tables(draw):
    """A table of groups, and one in which a group of any size takes the place of one."""
    n_codes = draw(N_CODES)
    row = st.tuples(*(st.integers(0, k - 1) for k in n_codes))
    group = st.lists(row, min_size=1, max_size=9)
    kept = draw(st.lists(group, max_size=4))

    def table(changed):
        members = [*kept, changed]
        labels = np.repeat(np.arange(len(members)), [len(rows) for rows in members])
        return np.array([cells for rows in members for cells in rows]), labels

    return n_codes, table(draw(group)), table(draw(group))


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@settings(max_examples=150, deadline=None)
@given(grouped_tables(), st.booleans())
def test_a_group_moves_no_release_farther_than_its_sensitivity(loss, drawn, pairs):
    n_codes, first, second = drawn
    compare(first, second, loss, n_codes=n_codes, pairs=pairs)


def extreme(n_codes=(2, 3, 4), n=40):
    """Neighbours that differ in every column, with columns that depend on each other."""
    codes = np.repeat(np.arange(2), n // 2)[:, None] * np.ones(len(n_codes), dtype=np.int64)
    other = codes.copy()
    other[0] = np.array(n_codes) - 1
    return codes.astype(np.int64), other


def test_the_bound_is_reached():
    """Otherwise the noise would be more than is needed."""
    codes, other = extreme()
    one = Replay()
    measure(codes, (2, 3, 4), LOSSES["gaussian"], one)
    two = Replay()
    measure(other, (2, 3, 4), LOSSES["gaussian"], two)
    (x, _, sensitivity), (y, _, _) = one.asked[0], two.asked[0]
    assert np.linalg.norm(x - y) == pytest.approx(sensitivity) == pytest.approx(math.sqrt(6))


@pytest.mark.parametrize("pairs", [False, True])
def test_the_whole_price_is_spent(pairs):
    codes, other = extreme()
    loss = LOSSES["gaussian"]
    asked = compare((codes, None), (other, None), loss, n_codes=(2, 3, 4), pairs=pairs)
    assert len(asked) == (3 if pairs else 1)
    assert sum(share.mu**2 for _, share, _ in asked) == pytest.approx(loss.mu**2)


def test_mutants_of_the_sensitivity_are_caught(monkeypatch):
    codes, other = extreme()
    options = {"n_codes": (2, 3, 4), "pairs": True}
    compare((codes, None), (other, None), LOSSES["gaussian"], **options)
    honest = marginals._Counter.noise

    def for_one_marginal(self, integers, share, l1, l2):
        return honest(self, integers, share, min(l1, 2.0), min(l2, math.sqrt(2)))

    def at_double_share(self, integers, share, l1, l2):
        return honest(self, integers, min(1, 2 * share), l1, l2)

    for mutant, error in ((for_one_marginal, AssertionError), (at_double_share, ValueError)):
        monkeypatch.setattr(marginals._Counter, "noise", mutant)
        with pytest.raises(error):
            compare((codes, None), (other, None), LOSSES["gaussian"], **options)


def test_groups_that_count_by_rows_are_caught(monkeypatch):
    """The mutant forgets to divide by the size of a group."""
    codes = np.array([[0]] * 5 + [[1]])
    other = np.array([[1]] * 6)
    labels = np.array([0] * 5 + [1])
    options = {"n_codes": (2,)}
    compare((codes, labels), (other, labels), LOSSES["gaussian"], **options)

    def by_rows(cells, n_cells, groups, unit):
        return weighted_counts(cells, n_cells, None, unit)

    monkeypatch.setattr(marginals, "weighted_counts", by_rows)
    with pytest.raises(AssertionError):
        compare((codes, labels), (other, labels), LOSSES["gaussian"], **options)


# Two worlds, with noise.


def proved_epsilon(first, second, alpha):
    """Lower bound on ε from how often an event happened in either world, of as many trials.

    P(E) ≤ e^ε Q(E) for (ε, 0)-DP. Two Clopper-Pearson bounds, each wrong with probability
    alpha / 2.
    """
    (hits, n), (misses, m) = first, second
    low = stats.beta.ppf(alpha / 2, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.isf(alpha / 2, misses + 1, m - misses)
    return math.log(max(low, 1e-300) / high)


def distinguish(trials):
    """Release two marginals of two neighbouring tables; count when both look like the first."""
    loss, n_codes = LOSSES["laplace"], (2, 2)
    counts = []
    for record in (0, 1):
        codes = np.array([[0, 0], [1, 1], [record, record]])
        hits = 0
        for _ in range(trials):
            noisy = measure(codes, n_codes, loss, active_sampler("exact"))
            hits += all(x[0] >= 2 and x[1] <= 1 for x in noisy.one_way)
        counts.append((hits, trials))
    return proved_epsilon(*counts, alpha=1e-6)


@pytest.mark.slow
def test_two_worlds():
    """False alarm: the bound exceeds ε with probability at most 1e-6, for a right mechanism."""
    assert distinguish(8000) <= 1.0


@pytest.mark.slow
def test_noise_for_one_of_two_marginals_is_caught(monkeypatch):
    """Half the noise, of scale 2 in whole numbers, gives ε = 2: an event of four numbers that are
    right or better, P = (1 - e^(-1/4)/2)^4 = 0.139, against Q = (e^(-1/4)/2)^4 = 0.023.

    Of 8000 trials 1112 and 184 are expected, which prove ε > 1.32; 1 is not exceeded with
    probability 3e-7 (exactly, over both binomial counts).
    """
    honest = marginals._Counter.noise

    def half(self, integers, share, l1, l2):
        return honest(self, integers, share, l1 / 2, l2 / 2)

    monkeypatch.setattr(marginals._Counter, "noise", half)
    assert distinguish(8000) > 1.0


# What is released.


def dependent(n=5000, seed=0):
    """Columns 0 and 2 are equal, column 1 is independent of them, 3 has one value."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, n), rng.integers(0, 3, n)
    return np.column_stack([a, b, a, np.zeros(n, dtype=np.int64)]), (4, 3, 4, 1)


def test_without_noise_the_counts_are_true():
    codes, n_codes = dependent()
    for loss in (None, LOSSES["gaussian"]):
        with no_noise() as sampler:
            noisy = measure(codes, n_codes, loss, sampler, pairs=True)
        assert noisy.total == 5000
        for j, counts in enumerate(noisy.one_way):
            assert counts.tolist() == np.bincount(codes[:, j], minlength=n_codes[j]).tolist()
        table = noisy.two_way[noisy.pairs.index((0, 2))]
        assert np.array_equal(table, np.diag(np.bincount(codes[:, 0])))


def test_pairs_are_those_that_depend_on_each_other():
    """The noise on a distance is 15 of 7,500 (sd); that of independent columns is about 100.

    A wrong choice needs noise beyond 100 standard deviations.
    """
    codes, n_codes = dependent()
    loss = PrivacyLoss.gaussian(8.0, 1e-6)
    noisy = measure(codes, n_codes, loss, active_sampler("exact"), pairs=True)
    assert (0, 2) in noisy.pairs
    assert all(3 not in pair for pair in noisy.pairs)


def test_where_no_pair_is_worth_it_the_columns_are_counted_again():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 30, size=(200, 3))
    asked = compare((codes, None), (codes, None), LOSSES["gaussian"], n_codes=(30,) * 3, pairs=True)
    assert [len(values) for values, _, _ in asked] == [90, 3, 90]
    with no_noise() as sampler:
        noisy = measure(codes, (30,) * 3, LOSSES["gaussian"], sampler, pairs=True)
    assert noisy.pairs == ()
    assert noisy.one_way[0] == pytest.approx(np.bincount(codes[:, 0], minlength=30))
    alone = measure(codes, (30,) * 3, LOSSES["gaussian"], active_sampler("exact"))
    assert alone.one_way_scale < noisy.one_way_scale < 1.03 * alone.one_way_scale


@pytest.mark.parametrize(("n", "asked"), [(100, 1), (100_000, 3)])
def test_auto_is_decided_by_public_numbers(n, asked):
    sampler = Replay()
    codes = np.zeros((n, 3), dtype=np.int64)
    measure(codes, (2, 2, 2), LOSSES["gaussian"], sampler, pairs="auto")
    assert len(sampler.asked) == asked


def test_many_columns_have_no_pairs():
    d = MAX_PAIRED_COLUMNS + 1
    sampler = Replay()
    codes = np.zeros((10, d), dtype=np.int64)
    measure(codes, (2,) * d, LOSSES["gaussian"], sampler, pairs=True)
    assert len(sampler.asked) == 1


def test_scales_are_those_of_the_noise():
    """χ² of 4,000 draws each: the two limits fail with probability 1e-6 together."""
    codes, n_codes = np.zeros((10, 2), dtype=np.int64), (2000, 2000)
    noisy = measure(codes, n_codes, LOSSES["gaussian"], active_sampler("exact"))
    noise = np.array(noisy.one_way) - 10 * np.eye(1, 2000)
    low, high = stats.chi2.isf([1 - 5e-7, 5e-7], 4000)
    assert low < (noise**2).sum() / noisy.one_way_scale**2 < high
    assert noisy.one_way_scale == pytest.approx(2 / LOSSES["gaussian"].mu)


def test_a_group_counts_as_one_however_many_rows():
    codes = np.array([[0]] * 900 + [[1]] * 100 + [[1]] * 3)
    groups = ["a"] * 1000 + ["b"] * 3
    with no_noise() as sampler:
        noisy = measure(codes, (2,), LOSSES["gaussian"], sampler, groups=groups)
    assert noisy.total == 2
    assert noisy.one_way[0] == pytest.approx([0.9, 1.1], abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1), st.integers(0, 20))
def test_weights_of_groups_sum_to_at_most_one(rows, bits):
    groups, cells = (np.array(x) for x in zip(*rows, strict=True))
    groups = group_numbers(groups)
    counts = weighted_counts(cells, 5, groups, 1 << bits)
    assert 0 <= counts.sum() <= (groups.max() + 1) << bits
    assert counts.sum() > ((groups.max() + 1) << bits) - 5 * (groups.max() + 1)


def test_group_labels():
    assert group_numbers([7, 7.0, "7", "x", None]).tolist() == [0, 0, 0, 1, 2]
    assert group_numbers(np.array([3, 1, 3])).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="one-dimensional"):
        group_numbers([[1], [2]])


@pytest.mark.parametrize("shape", [(50, 500), (1, 1), (3, 2)])
def test_small_and_wide(shape):
    codes = np.zeros(shape, dtype=np.int64)
    for n_codes in ((1,) * shape[1], (500,) * shape[1]):
        noisy = measure(codes, n_codes, LOSSES["gaussian"], active_sampler("exact"), pairs=True)
        assert [len(counts) for counts in noisy.one_way] == list(n_codes)
