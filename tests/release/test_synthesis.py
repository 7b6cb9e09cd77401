"""Counts, then a moment of scores that the counts define: no record moves either beyond its bound.

The replay audit (:func:`skdistill.testing.replay_audit`) sends a neighbouring table the answers of
the first one. The counts are then the same for both, and so must be the scores of a code, the
radius and every bound; only the moment may move.
"""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill.accounting import PrivacyLoss
from skdistill.release import synthesis
from skdistill.release.noise import active_sampler
from skdistill.release.query import Query, answer, noise_deviation
from skdistill.release.synthesis import (
    MARGINALS_PART,
    N_BINS,
    bins_for,
    measure_table,
    normal_scores,
)
from skdistill.schema import Column, Schema
from skdistill.testing import ReplayAuditError, no_noise, replay_audit

LOSSES = {"gaussian": PrivacyLoss.gaussian(1.0, 1e-6), "laplace": PrivacyLoss.laplace(1.0)}
# So little noise that the extreme codes are seen in the counts, and have extreme scores.
STRONG = {"gaussian": PrivacyLoss.gaussian(50.0, 1e-6), "laplace": PrivacyLoss.laplace(200.0)}
EACH_LAW = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def whole_numbers(*sizes):
    """Return a schema of columns with so many values, each with a bin of its own."""
    return Schema([Column(f"x{j}", low=0, high=k - 1, integer=True) for j, k in enumerate(sizes)])


def audit(schema, table, neighbour, loss, groups=(None, None)):
    """Audit two tables of codes; return how far the counts and the moment moved."""

    def mechanism(case):
        codes, names = case
        return measure_table(schema, np.asarray(codes, dtype=np.int64), loss, groups=names)

    pair = [(table, groups[0]), (neighbour, groups[1])]
    moved = replay_audit(mechanism, *pair, loss=loss).moved
    asks = len(schema.columns) > 1, any(k > 1 for k in schema.n_codes(N_BINS))
    assert len(moved) == sum(asks)  # it did not raise in both
    return moved


@st.composite
def schemas(draw):
    columns = [
        draw(
            st.one_of(
                st.builds(
                    Column,
                    st.just(f"x{j}"),
                    low=st.just(0),
                    high=st.integers(0, 9),
                    integer=st.booleans(),
                    missing=st.booleans(),
                ),
                st.builds(
                    Column,
                    st.just(f"x{j}"),
                    st.just("category"),
                    categories=st.sampled_from([("a",), ("a", "b"), tuple("abcdefg")]),
                    missing=st.booleans(),
                ),
            )
        )
        for j in range(draw(st.integers(1, 5)))
    ]
    return Schema(columns)


def row_of(schema):
    """Codes of one row; the first and the last one, whose scores are extreme, come up often."""
    ends = [st.sampled_from([0, k - 1]) for k in schema.n_codes(N_BINS)]
    inside = [st.integers(0, k - 1) for k in schema.n_codes(N_BINS)]
    return st.tuples(*map(st.one_of, ends, inside))


@st.composite
def tables(draw):
    """A table, and one in which another record takes the place of one."""
    schema = draw(schemas())
    codes = draw(st.lists(row_of(schema), min_size=1, max_size=9))
    other = list(codes)
    other[draw(st.integers(0, len(codes) - 1))] = draw(row_of(schema))
    return schema, codes, other


@EACH_LAW
@settings(max_examples=60, deadline=None)
@given(drawn=tables())
def test_a_record_moves_nothing_beyond_its_bound(loss, drawn):
    audit(*drawn, loss)


@st.composite
def grouped_tables(draw):
    """A table of groups, and one in which a group of any size takes the place of one."""
    schema = draw(schemas())
    group = st.lists(row_of(schema), min_size=1, max_size=9)
    kept = draw(st.lists(group, max_size=4))
    place = draw(st.integers(0, len(kept)))

    def table(changed):
        members = [*kept[:place], changed, *kept[place:]]
        names = np.repeat(np.arange(len(members)), [len(rows) for rows in members])
        return [cells for rows in members for cells in rows], names.tolist()

    (codes, names), (other, other_names) = table(draw(group)), table(draw(group))
    return schema, codes, other, (names, other_names)


@EACH_LAW
@settings(max_examples=60, deadline=None)
@given(drawn=grouped_tables())
def test_a_group_moves_nothing_beyond_its_bound(loss, drawn):
    schema, codes, other, groups = drawn
    audit(schema, codes, other, loss, groups)


# The neighbours that move the most, and mutants.

WIDE = whole_numbers(*[9] * 6)


def extreme(copies=1):
    """A record of extreme scores in every column, of signs that cancel, in place of one of others.

    The outer products of (1, 1, ..) and (1, -1, ..) are orthogonal: √2 as far as one of them.
    """
    rows = np.repeat(np.arange(9), 30)[:, None] * np.ones((1, 6), dtype=np.int64)
    same, signs = np.full((copies, 6), 8), np.tile([8, 0], (copies, 3))
    return np.vstack([rows, same]), np.vstack([rows, signs])


def extreme_groups(copies):
    first, other = extreme(copies)
    names = [*range(len(first) - copies), *["g"] * copies]
    return first, other, (names, names)


@pytest.mark.parametrize("loss", STRONG.values(), ids=STRONG)
def test_the_bound_is_nearly_reached(loss):
    """In L2: the noise is no larger than it has to be. In L1, to a half."""
    (_, moment) = audit(WIDE, *extreme(), loss)
    assert moment[1] > 0.99
    assert moment[0] > 0.49


@pytest.mark.parametrize("copies", [1, 2, 17])
def test_a_group_moves_the_moment_as_far_as_a_record(copies):
    first, other, groups = extreme_groups(copies)
    (_, moment) = audit(WIDE, first, other, STRONG["gaussian"], groups)
    assert 0.95 < moment[1] <= 1


def half(values, l1, l2, share=Fraction(1)):
    return Query(values, l1 / 2, l2 / 2, share)


def barely_less(values, l1, l2, share=Fraction(1)):
    return Query(values, l1, 0.98 * l2, share)


@pytest.mark.parametrize("mutant", [half, barely_less])
def test_a_smaller_bound_of_the_moment_is_caught(monkeypatch, mutant):
    monkeypatch.setattr(synthesis, "Query", mutant)
    with pytest.raises(ReplayAuditError, match="query 2 moves by"):
        audit(WIDE, *extreme(), STRONG["gaussian"])


def test_a_share_of_more_than_all_is_caught(monkeypatch):
    honest = synthesis.at_share
    monkeypatch.setattr(synthesis, "at_share", lambda queries, share: honest(queries, Fraction(1)))
    with pytest.raises(ReplayAuditError, match="sum to more than 1"):
        audit(WIDE, *extreme(), STRONG["gaussian"])


def test_scores_of_private_counts_are_caught(monkeypatch):
    """The mutant pays for noisy counts and uses the true ones."""
    honest = synthesis.measure_marginals

    def true_counts(codes, n_codes, loss, groups=None):
        noisy = yield from honest(codes, n_codes, loss, groups=groups)
        counts = [np.bincount(codes[:, j], minlength=k) for j, k in enumerate(n_codes)]
        return replace(noisy, counts=tuple(np.array(c, dtype=float) for c in counts))

    schema = Schema({f"x{j}": list("abcdefghi") for j in range(6)})  # no bins that are merged
    audit(schema, *extreme(), STRONG["gaussian"])
    monkeypatch.setattr(synthesis, "measure_marginals", true_counts)
    with pytest.raises(ReplayAuditError, match="changes"):
        audit(schema, *extreme(), STRONG["gaussian"])


def test_rows_that_are_not_shortened_are_caught(monkeypatch):
    """The mutant sums whole products of scores, under the bound for shortened ones."""
    honest = synthesis.PrivateRows.moments

    def unclipped(self, frame, radius, *others):
        bound, n = honest(self, frame, radius, *others)
        products = np.rint(self.X.T @ self.X / bound.unit).astype(np.int64)
        return replace(bound, values=products), n

    monkeypatch.setattr(synthesis.PrivateRows, "moments", unclipped)
    with pytest.raises(ReplayAuditError, match="query 2 moves by"):
        audit(WIDE, *extreme(), STRONG["gaussian"])


def test_groups_that_weigh_as_their_rows_do_are_caught(monkeypatch):
    first, other, groups = extreme_groups(5)
    audit(WIDE, first, other, STRONG["gaussian"], groups)
    honest = synthesis._as_rows
    monkeypatch.setattr(synthesis, "_as_rows", lambda scores, _: honest(scores, None))
    with pytest.raises(ReplayAuditError, match="query 2 moves by"):
        audit(WIDE, first, other, STRONG["gaussian"], groups)


def test_groups_whose_rows_are_counted_are_caught(monkeypatch):
    """How many rows a group has is private: it must decide neither a bound nor a mean."""
    first, other, (names, _) = extreme_groups(5)
    audit(WIDE, first, other[:-3], STRONG["gaussian"], (names, names[:-3]))
    honest = synthesis._as_rows

    def by_rows(scores, groups):
        return replace(honest(scores, groups), n_units=len(scores))

    monkeypatch.setattr(synthesis, "_as_rows", by_rows)
    monkeypatch.setattr(synthesis, "_MOST_ENLARGED", 1)  # else the scale of the moment cancels
    with pytest.raises(ReplayAuditError, match="changes"):
        audit(WIDE, first, other[:-3], STRONG["gaussian"], (names, names[:-3]))


# The results.


class Spy:
    """Adds the noise of another sampler; remembers the prices."""

    name, private = "a spy, for tests (NOT private)", False

    def __init__(self):
        self.losses = []

    def perturb(self, values, loss, sensitivity):
        self.losses.append(loss)
        return active_sampler("exact").perturb(values, loss, sensitivity)


@EACH_LAW
@pytest.mark.parametrize("d", [1, 2, 7])
def test_the_whole_price_is_spent(loss, d):
    spy = Spy()
    answer(measure_table(whole_numbers(*[3] * d), np.zeros((9, d), np.int64), loss), loss, spy)
    assert len(spy.losses) == (2 if d > 1 else 1)
    spent = sum(part.epsilon if part.mu is None else part.mu**2 for part in spy.losses)
    assert spent == pytest.approx(loss.epsilon if loss.mu is None else loss.mu**2)
    if d > 1 and loss.mu is not None:
        assert spy.losses[0].mu ** 2 == pytest.approx(float(MARGINALS_PART) * loss.mu**2)


def test_the_noise_that_is_known_is_the_noise_that_was_added(monkeypatch):
    """The moment of 60 columns without dependence, at 4 of the noise's standard errors.

    The rows are few: they are shortened to .6 of their square length, and the moment is enlarged
    by 1.6. Columns of two codes in exact balance: every score is ±s and the scores' products sum
    to 0.
    """
    told = []
    honest = synthesis.correlations

    def listen(moment, noise, covariances, shares):
        told.append((moment, noise))
        return honest(moment, noise, covariances, shares)

    monkeypatch.setattr(synthesis, "correlations", listen)
    d, loss = 60, LOSSES["gaussian"]
    columns = np.array([[(i >> j) & 1 for j in range(6)] for i in range(64)])
    codes = np.tile(columns[:, np.arange(d) % 6], (20, 1))
    answer(measure_table(whole_numbers(*[2] * d), codes, loss), loss, active_sampler("exact"))
    ((moment, noise),) = told
    independent = (np.arange(d)[:, None] - np.arange(d)) % 6 != 0
    size = moment[independent].std()
    assert abs(size / noise - 1) < 4 / math.sqrt(2 * independent.sum())
    radius2 = 1.6 * 0.6 * 60 * normal_scores(np.array([0.5, 0.5]), np.arange(2))[0][0] ** 2
    part = loss.part(1 - MARGINALS_PART)
    assert noise == pytest.approx(noise_deviation(part, 0, math.sqrt(2) * radius2) / 1280, rel=0.2)


def normal_columns(n, rho, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal([0, 0, 0], [[1, rho, 0], [rho, 1, 0], [0, 0, 1]], n)
    schema = Schema({"a": (-5, 5), "b": (-5, 5), "c": (-5, 5)})
    return schema, schema.encode(z, N_BINS)


def test_bins_follow_the_budget():
    loss = LOSSES["gaussian"]
    found = [bins_for(round(s / loss.mu), loss) for s in (10, 604, 1604, 3000)]
    assert found == [64, 75, 200, 300]
    assert bins_for(10, None) == 300


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.6])
def test_the_correlation_of_normal_columns_is_found(rho):
    """That of rows shortened to a squared length of 3·1.2, enlarged to a trace of 3 again."""
    rng = np.random.default_rng(1)
    z = rng.multivariate_normal([0, 0, 0], [[1, rho, 0], [rho, 1, 0], [0, 0, 1]], 200_000)
    short = np.minimum(1, 3.6 / (z**2).sum(axis=1))
    wanted = (short * z[:, 0] * z[:, 1]).mean() * 3 / (short * (z**2).sum(axis=1)).mean()
    assert abs(wanted) >= 0.75 * abs(rho)
    schema, codes = normal_columns(20_000, rho)
    for loss in (None, LOSSES["gaussian"]):
        with no_noise() as sampler:
            table = answer(measure_table(schema, codes, loss), loss, sampler)
        assert table.correlation[0, 1] == pytest.approx(wanted, abs=0.03)
        assert abs(table.correlation[0, 2]) < 0.03
        assert [p.sum() for p in table.shares] == pytest.approx([1, 1, 1])


def test_dependence_of_other_kinds():
    """Dependent columns are found: categories by falling frequency, missing cells last."""
    rng = np.random.default_rng(0)
    a = rng.choice(4, 20_000, p=[0.1, 0.5, 0.25, 0.15])
    schema = Schema(
        [
            Column("a", "category", categories=tuple("abcd")),
            Column("b", "category", categories=tuple("efgh")),
            Column("x", low=0, high=1, missing=True),
        ]
    )
    x = np.where(a == 1, schema.n_codes(N_BINS)[2] - 1, rng.integers(0, 100, 20_000))
    codes = np.column_stack([a, a, x])
    loss = PrivacyLoss.gaussian(4.0, 1e-6)
    table = answer(measure_table(schema, codes, loss), loss, active_sampler("exact"))
    assert table.orders[0].tolist() == table.orders[1].tolist() == [1, 2, 3, 0]
    drawn = table.codes(20_000, np.random.default_rng(1))
    assert (drawn[:, 0] == drawn[:, 1]).mean() > 0.65  # 0.35 if they were independent
    lost = drawn[:, 2] == codes.max()
    assert lost.mean() == pytest.approx(0.5, abs=0.02)
    assert (drawn[lost, 0] == 1).mean() > 0.75


@EACH_LAW
@pytest.mark.parametrize("n", [1, 2, 50])
@pytest.mark.parametrize("d", [1, 2, 40])
def test_small_tables_under_any_noise(loss, n, d):
    """With any noise the result is a law of rows: shares, and a correlation matrix."""
    schema = Schema({f"x{j}": (0, 1) for j in range(d)}, missing=True)
    codes = np.zeros((n, d), dtype=np.int64)
    for epsilon in (1e-3, 1.0, 1e4):
        law = (
            PrivacyLoss.laplace(epsilon) if loss.mu is None else PrivacyLoss.gaussian(epsilon, 1e-9)
        )
        for groups in (None, [0] * n):
            table = answer(
                measure_table(schema, codes, law, groups=groups), law, active_sampler("exact")
            )
            assert np.linalg.eigvalsh(table.correlation).min() > 0
            assert np.diag(table.correlation) == pytest.approx(1)
            for shares in table.shares:
                assert (shares >= 0).all() and shares.sum() == pytest.approx(1)
            assert table.codes(30, np.random.default_rng(0)).shape == (30, d)


def test_columns_of_one_code_ask_for_no_counts():
    schema = whole_numbers(1, 1, 1)
    loss = LOSSES["gaussian"]
    table = answer(
        measure_table(schema, np.zeros((5, 3), np.int64), loss), loss, active_sampler("exact")
    )
    assert np.array_equal(table.correlation, np.eye(3))
    assert [p.tolist() for p in table.shares] == [[1.0]] * 3
