"""No record moves the counts farther than their noise is for; too little noise is caught."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skdistill.accounting import PrivacyLoss
from skdistill.release import marginals
from skdistill.release.marginals import group_numbers, measure_marginals, weighted_counts
from skdistill.release.noise import active_sampler
from skdistill.release.query import Query, answer
from skdistill.testing import no_noise


def measure(codes, n_codes, loss, sampler, **options):
    """Answer the queries of the marginals."""
    return answer(measure_marginals(codes, n_codes, loss, **options), loss, sampler)


LOSSES = {"gaussian": PrivacyLoss.gaussian(1.0, 1e-6), "laplace": PrivacyLoss.laplace(1.0)}


class Replay:
    """Records the values that it is asked to perturb; answers as an earlier run was answered.

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
    """Check every release of two neighbouring tables, and their joint price."""
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
@given(tables())
def test_a_record_moves_no_release_farther_than_its_sensitivity(loss, drawn):
    n_codes, codes, other = drawn
    compare((codes, None), (other, None), loss, n_codes=n_codes)


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


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@settings(max_examples=150, deadline=None)
@given(grouped_tables())
def test_a_group_moves_no_release_farther_than_its_sensitivity(loss, drawn):
    n_codes, first, second = drawn
    compare(first, second, loss, n_codes=n_codes)


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


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_whole_price_is_spent(loss):
    codes, other = extreme()
    ((_, share, _),) = compare((codes, None), (other, None), loss, n_codes=(2, 3, 4))
    assert share == loss


def at_half_a_bound(values, l1, l2, share=Fraction(1)):
    """Return a query with the noise of half the columns."""
    return Query(values, l1 / 2, l2 / 2, share)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_mutants_of_the_sensitivity_are_caught(monkeypatch, loss):
    codes, other = extreme()
    options = {"n_codes": (2, 3, 4)}
    compare((codes, None), (other, None), loss, **options)

    def for_one_column(values, l1, l2, share=Fraction(1)):
        return Query(values, min(l1, 2.0), min(l2, math.sqrt(2)), share)

    for mutant in (at_half_a_bound, for_one_column):
        monkeypatch.setattr(marginals, "Query", mutant)
        with pytest.raises(AssertionError):
            compare((codes, None), (other, None), loss, **options)


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
            hits += all(x[0] >= 2 and x[1] <= 1 for x in noisy.counts)
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
    monkeypatch.setattr(marginals, "Query", at_half_a_bound)
    assert distinguish(8000) > 1.0


# The release.


def test_without_noise_the_counts_are_true():
    rng = np.random.default_rng(0)
    n_codes = (4, 3, 1)
    codes = np.column_stack([rng.integers(0, k, 5000) for k in n_codes])
    for loss in (None, LOSSES["gaussian"]):
        with no_noise() as sampler:
            noisy = measure(codes, n_codes, loss, sampler)
        assert noisy.total == 5000
        for j, counts in enumerate(noisy.counts):
            assert counts.tolist() == np.bincount(codes[:, j], minlength=n_codes[j]).tolist()


def test_a_column_with_one_code_costs_nothing():
    """It holds every record, in whichever table of as many; another code would be a column."""
    codes = np.zeros((10, 3), dtype=np.int64)
    one = Replay()
    measure(codes, (2, 1, 1), LOSSES["gaussian"], one)
    assert one.asked[0][2] == pytest.approx(math.sqrt(2))
    none = Replay()
    noisy = measure(codes, (1, 1, 1), LOSSES["gaussian"], none)
    assert (none.asked, noisy.noise) == ([], 0.0)
    assert [counts.tolist() for counts in noisy.counts] == [[10.0]] * 3


def test_scales_are_those_of_the_noise():
    """χ² of 4,000 draws each: the two limits fail with probability 1e-6 together."""
    codes, n_codes = np.zeros((10, 2), dtype=np.int64), (2000, 2000)
    noisy = measure(codes, n_codes, LOSSES["gaussian"], active_sampler("exact"))
    noise = np.array(noisy.counts) - 10 * np.eye(1, 2000)
    low, high = stats.chi2.isf([1 - 5e-7, 5e-7], 4000)
    assert low < (noise**2).sum() / noisy.noise**2 < high
    assert noisy.noise == pytest.approx(2 / LOSSES["gaussian"].mu)
    pure = measure(codes, n_codes, LOSSES["laplace"], active_sampler("exact"))
    assert pure.noise == pytest.approx(math.sqrt(2) * 4 / LOSSES["laplace"].epsilon)
    grouped = measure(codes, n_codes, LOSSES["gaussian"], Replay(), groups=range(10))
    assert grouped.noise == noisy.noise  # in groups, as the counts


def test_a_group_counts_as_one_however_many_rows():
    codes = np.array([[0]] * 900 + [[1]] * 100 + [[1]] * 3)
    groups = ["a"] * 1000 + ["b"] * 3
    with no_noise() as sampler:
        noisy = measure(codes, (2,), LOSSES["gaussian"], sampler, groups=groups)
    assert noisy.total == 2
    assert noisy.counts[0] == pytest.approx([0.9, 1.1], abs=1e-5)


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
        noisy = measure(codes, n_codes, LOSSES["gaussian"], active_sampler("exact"))
        assert [len(counts) for counts in noisy.counts] == list(n_codes)
