"""Rows of a Gaussian copula: a law for any noise, and the right one where there is little."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from skdistill.release.synthesis import SyntheticTable, correlations, denoised, normal_scores
from skdistill.schema import Column, Schema


def number(k, missing=False):
    """Return a column with k bins, one a whole number."""
    return Column("x", low=0, high=k - 1, integer=True, missing=missing)


def category(k, missing=False):
    return Column("c", "category", categories=tuple(range(k)), missing=missing)


def table(shares, correlation=None, kinds=None):
    """Return the law of whole numbers 0, 1, .. with these shares."""
    shares = [np.array(p, dtype=float) for p in shares]
    columns = [Column(f"x{j}", low=0, high=len(p) - 1, integer=True) for j, p in enumerate(shares)]
    correlation = np.eye(len(shares)) if correlation is None else np.array(correlation)
    orders = tuple(np.arange(len(p)) for p in shares)
    return SyntheticTable(Schema(columns), 300, tuple(shares), orders, correlation)


# Shares from noisy counts.

COUNTS = arrays(float, st.integers(1, 40), elements=st.floats(-1e9, 1e9))
NOISE = st.one_of(st.just(0.0), st.floats(1e-6, 1e9))


@settings(deadline=None)
@given(COUNTS, NOISE, st.booleans(), st.booleans())
def test_shares_are_shares_under_any_counts(counts, noise, missing, is_number):
    missing = missing and len(counts) > 1
    column = (number if is_number else category)(len(counts) - missing, missing)
    shares = denoised(counts, noise, column)
    assert shares.shape == counts.shape
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("counts", [[0.0] * 5, [-3.0, -1, -2, -9, -4], [1.0, 0, -1, 0, 0]])
@pytest.mark.parametrize("column", [number(5), number(4, True), category(5), category(4, True)])
def test_where_nothing_is_known_every_code_is_as_likely(counts, column):
    shares = denoised(np.array(counts), 100.0, column)
    assert shares[: len(shares) - column.missing] == pytest.approx(shares[0])


def test_one_cell_holds_everything():
    for column in (number(1), category(1)):
        for counts in ([5.0], [0.0], [-5.0]):
            assert denoised(np.array(counts), 1.0, column).tolist() == [1.0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=70).filter(any), st.booleans())
def test_without_noise_shares_are_the_counts(counts, missing):
    counts = np.array(counts, dtype=float)
    missing = missing and len(counts) > 1
    for make in (number, category):
        shares = denoised(counts, 0.0, make(len(counts) - missing, missing))
        assert shares == pytest.approx(counts / counts.sum(), abs=1e-12)


def test_a_point_mass_survives():
    """Half of all records are zero, in 1 of 300 bins, which their neighbours do not share."""
    rng = np.random.default_rng(0)
    true = np.full(300, 5000 / 299)
    true[0] = 5000.0
    shares = denoised(true + rng.normal(0, 20, 300), 20.0, number(300))
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[1:8].max() < 0.03
    inside = np.full(300, 5000 / 299)
    inside[137] = 5000.0
    shares = denoised(inside + rng.normal(0, 20, 300), 20.0, number(300))
    assert shares[137] == pytest.approx(0.5, abs=0.03)


def test_bins_are_less_noisy_than_their_counts():
    """A bell of 10,000 records in 256 bins: the distance is a third of the counts' own."""
    bell = stats.norm.pdf(np.linspace(-3, 3, 256))
    bell /= bell.sum()
    rng = np.random.default_rng(0)
    counts = 10_000 * bell + rng.normal(0, 30, 256)
    plain = np.maximum(counts, 0) / np.maximum(counts, 0).sum()
    found = denoised(counts, 30.0, number(256))
    assert np.abs(found - bell).sum() < np.abs(plain - bell).sum() / 2


def test_bins_that_do_not_differ_have_one_density():
    """Also where their number is no power of two, and the last block is not full."""
    rng = np.random.default_rng(0)
    shares = denoised(100 + rng.uniform(-5, 5, 300), 10.0, number(300))
    assert shares == pytest.approx(1 / 300)


def test_rare_categories_are_cut_and_common_ones_kept():
    counts = np.array([1000.0, 14.0, 16.0, -3.0, 12.0])
    shares = denoised(counts, 10.0, category(4, True))
    assert shares == pytest.approx(np.array([1000, 0, 16, 0, 0]) / 1016)


def test_missing_cells_are_no_neighbours_of_the_last_bin():
    counts = np.array([0.0, 0, 0, 0, 500])
    assert denoised(counts, 10.0, number(4, True)).tolist() == [0, 0, 0, 0, 1]
    few = np.array([40.0, 41, 39, 40, 12])
    assert denoised(few, 10.0, number(4, True)) == pytest.approx([0.25] * 4 + [0])


# Scores, and how they vary with the normal variable.

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda p: sum(p) > 0.01)


def score_of(z, shares, order, scores):
    """Return the score of the code that a normal variable z has."""
    ends = np.cumsum(shares[order])
    place = min(int(np.searchsorted(ends / ends[-1], stats.norm.cdf(z))), len(order) - 1)
    return scores[order[place]]


@pytest.mark.parametrize("seed", range(6))
def test_the_covariance_is_that_of_an_integral(seed):
    """E[score(Z)·Z], by quadrature between the jumps of the score."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(int(rng.integers(2, 9)), 0.7))
    order = rng.permutation(len(shares))
    scores, covariance = normal_scores(shares, order)
    jumps = stats.norm.ppf(np.clip(np.cumsum(shares[order])[:-1], 1e-12, 1 - 1e-12))
    wanted = 0.0
    ends = np.unique(np.clip(np.r_[-12.0, jumps, 12.0], -12, 12))
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        score = score_of((low + high) / 2, shares, order, scores)
        wanted += score * integrate.quad(lambda z: z * stats.norm.pdf(z), low, high)[0]
    assert covariance == pytest.approx(max(wanted, 0.05), abs=1e-7)


def test_scores_are_quantiles_of_mid_ranks():
    shares, order = np.array([0.5, 0.2, 0.3]), np.array([2, 0, 1])
    scores, _ = normal_scores(shares, order)
    assert scores == pytest.approx(stats.norm.ppf([0.55, 0.9, 0.15]))
    fine, covariance = normal_scores(np.full(3000, 1 / 3000), np.arange(3000))
    assert covariance == pytest.approx(1, abs=0.01)  # the scores are nearly the variable itself
    assert np.abs(fine).max() == pytest.approx(stats.norm.isf(0.002))


@settings(deadline=None)
@given(SHARES)
def test_scores_rise_in_order_and_are_bounded(shares):
    shares = np.array(shares) / sum(shares)
    order = np.random.default_rng(0).permutation(len(shares))
    scores, covariance = normal_scores(shares, order)
    assert (np.diff(scores[order]) >= 0).all()
    assert np.abs(scores).max() <= 2.8782
    assert 0.05 <= covariance <= 1


# Correlations.


def correlations_of(moment, noise, covariances=None, shares=None):
    d = len(moment)
    covariances = np.ones(d) if covariances is None else np.array(covariances)
    return correlations(np.array(moment), noise, covariances, shares or [np.full(9, 1 / 9)] * d)


def is_a_correlation(found):
    assert np.isfinite(found).all()
    assert np.array_equal(found, found.T) or np.allclose(found, found.T, rtol=0, atol=1e-14)
    assert np.diag(found) == pytest.approx(1)
    assert np.linalg.eigvalsh(found).min() > 1e-4
    assert np.abs(found).max() < 1 + 1e-9


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.floats(-6, 12),
    st.floats(0, 12),
    st.booleans(),
)
def test_it_is_a_correlation_under_any_noise(d, seed, size, noise, points):
    """Also where the moment is noise of 1e12, or not near any matrix of correlations."""
    rng = np.random.default_rng(seed)
    moment = rng.normal(0, 10**size, (d, d))
    shares = [np.array([0.999, 0.001]) if points and rng.random() < 0.3 else np.full(4, 0.25)] * d
    covariances = rng.uniform(0.05, 1, d)
    is_a_correlation(correlations_of(moment, 10**noise - 1, covariances, shares))


@pytest.mark.parametrize("d", [2, 5, 60])
def test_all_columns_equal(d):
    """Every entry at its limit, of either sign."""
    sign = np.resize([1, -1], d)
    found = correlations_of(1e6 * np.outer(sign, sign), 0.0)
    is_a_correlation(found)
    assert (np.sign(found) == np.outer(sign, sign)).all()
    assert np.abs(found).min() > 0.9


def test_a_moment_of_the_copula_gives_its_correlations():
    """Coarse scores, of three codes each: the covariances say by how much they fall short.

    To first order in Hermite polynomials; the next one is of ρ³.
    """
    wanted = np.array([[1, 0.4, 0.0], [0.4, 1, -0.3], [0.0, -0.3, 1]])
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal(np.zeros(3), wanted, 400_000)
    shares = [np.array(p) for p in ([0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.4, 0.6])]
    scored, covariances = np.empty_like(z), []
    for j, p in enumerate(shares):
        scores, covariance = normal_scores(p, np.arange(len(p)))
        place = np.searchsorted(np.cumsum(p)[:-1], stats.norm.cdf(z[:, j]))
        scored[:, j] = scores[place]
        covariances.append(covariance)
    moment = scored.T @ scored / len(z)
    found = correlations_of(moment, 0.0, covariances, shares)
    assert found == pytest.approx(wanted, abs=0.03)


def test_what_may_be_noise_is_independence():
    """Noise of either sign up to 1/√2 of its standard deviation on an entry leaves nothing."""
    noise = 0.3
    moment = np.eye(2) + np.array([[0, 0.2], [0.2, 0]])
    assert np.array_equal(correlations_of(moment, noise), np.eye(2))
    found = correlations_of(np.eye(2) + np.array([[0, 0.7], [0.7, 0]]), noise)
    assert found[0, 1] == pytest.approx(0.7 - 0.3 / math.sqrt(2))
    one_sided = np.array([[1, 0.7], [0.0, 1]])  # both entries estimate the same number
    assert correlations_of(one_sided, 0.0)[0, 1] == pytest.approx(0.35)


def test_a_column_of_nearly_one_value_depends_on_nothing():
    shares = [np.array([0.999, 0.001]), np.full(4, 0.25), np.full(4, 0.25)]
    found = correlations_of(np.full((3, 3), 0.8), 0.0, shares=shares)
    assert np.array_equal(found[0], [1, 0, 0])
    assert found[1, 2] == pytest.approx(0.8)


# Rows.


@settings(deadline=None)
@given(st.lists(SHARES, min_size=1, max_size=4), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_shares_are_met_to_a_row(shares, n_rows, seed):
    """Every code has its share of the rows, rounded up or down; a share of zero has no row."""
    shares = [np.array(p) / sum(p) for p in shares]
    d = len(shares)
    law = table(shares, 0.7 * np.ones((d, d)) + 0.3 * np.eye(d))
    codes = law.codes(n_rows, np.random.default_rng(seed))
    assert codes.shape == (n_rows, d)
    for j, p in enumerate(shares):
        counts = np.bincount(codes[:, j], minlength=len(p))
        assert len(counts) == len(p)
        assert np.abs(counts - p * n_rows).max() < 1 + 1e-9
        assert (counts[p == 0] == 0).all()


def test_shares_are_right_on_average():
    """Rounding at random favours no code: 3,000 draws of 3 rows, to 5 standard errors."""
    p = np.array([0.5, 0.05, 0.45])
    law = table([p])
    rng = np.random.default_rng(0)
    counts = sum(np.bincount(law.codes(3, rng)[:, 0], minlength=3) for _ in range(3000))
    assert counts / 9000 == pytest.approx(p, abs=5 * math.sqrt(0.25 / 9000))


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.5])
def test_rows_depend_as_the_normal_variables_do(rho):
    """Two codes in halves: they are equal with probability 1/2 + arcsin(ρ)/π (Sheppard 1899)."""
    law = table([[0.5, 0.5]] * 2, [[1, rho], [rho, 1]])
    codes = law.codes(100_000, np.random.default_rng(0))
    wanted = 0.5 + math.asin(rho) / math.pi
    assert (codes[:, 0] == codes[:, 1]).mean() == pytest.approx(wanted, abs=0.01)


def test_the_order_of_codes_is_that_of_the_variable():
    law = table([[0.2, 0.3, 0.5]] * 2, [[1, 0.99], [0.99, 1]])
    turned = SyntheticTable(
        law.schema, 300, law.shares, (np.array([2, 0, 1]), np.array([1, 0, 2])), law.correlation
    )
    codes = turned.codes(5000, np.random.default_rng(0))
    lowest = codes[:, 0] == 2  # the first half of its variable has mostly codes 1 and 0 beside it
    assert (codes[lowest, 1] != 2).mean() > 0.9


def test_rows_are_of_the_schema():
    schema = Schema({"a": (0, 10), "c": ["u", "v"]}, missing=["a"])
    shares = (np.full(6, 1 / 6), np.array([0.5, 0.5, 0.0]))
    law = SyntheticTable(schema, 5, shares, (np.arange(6), np.arange(3)), np.eye(2))
    rows = law.rows(60, np.random.default_rng(0), "pandas")
    assert rows.dtypes.astype(str).tolist() == ["float64", "category"]
    assert rows["a"].isna().sum() == 10
    assert set(rows["c"]) == {"u", "v"}
    codes = law.codes(60, np.random.default_rng(0))
    assert np.array_equal(schema.encode(rows, 5), codes)
    again = law.rows(60, np.random.default_rng(0), "pandas")
    assert again.equals(rows)
    middles = law.rows(60, np.random.default_rng(0), snapped=True)
    assert repr(middles.tolist()) == repr(schema.decode(codes, None, 5).tolist())
    assert len({repr(row) for row in middles.tolist()}) <= 12
