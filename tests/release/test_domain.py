"""Private bounds: how far one record moves them, in every container; only the schema is released.

The replay audit sends a neighbouring table the answers of the first one. Then the grids of the
second counts, the columns that are counted again and the bounds must be equal.
"""

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import CONTAINERS, N, cells, hostile_rows, table
from replay_checks import GAUSSIAN, LAPLACE, heard

from skdistill.accounting import PrivacyLoss
from skdistill.release import domain, marginals
from skdistill.release.domain import (
    domain_share,
    measure_domain,
    warn_of_hidden,
    with_domain,
)
from skdistill.release.noise import active_sampler
from skdistill.release.query import Query, answer
from skdistill.schema import Schema
from skdistill.testing import ReplayAuditError, _Recorded, no_noise, replay_audit, seeded_noise

EACH_LAW = pytest.mark.parametrize("loss", [GAUSSIAN, LAPLACE], ids=lambda loss: loss.kind)
# So little noise that each record counts, and that narrow columns are counted again.
STRONG = PrivacyLoss.gaussian(1e4, 1e-6)
SCHEMAS = {
    "numbers": Schema({"u": float, "v": int, "c": (0, 2)}),
    "mixed": Schema({"u": float, "v": float, "c": str}, missing=["v"]),
}

pytestmark = pytest.mark.filterwarnings("ignore:The bounds of")


def groups_of(row):
    """Return a group for each row: record 7 has one of its own, and it may be an odd one."""
    names = [i // 2 for i in range(N)]
    names[7] = {"same": 7000, "large": "seven", "nan": np.nan}.get(row, 7001.5)
    return names


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "sparse"])
def test_no_record_in_any_container_moves_more_than_its_bound(container):
    kind = "numbers" if container in ("array", "float32") else "mixed"
    schema, moved = SCHEMAS[kind], {}

    @functools.cache
    def recorded(loss, grouped):
        def mechanism(name):
            X, _ = table(container, kind, name)
            before = cells(X)
            groups = groups_of(name) if grouped else None
            queries = measure_domain(schema, schema.on_grid().sanitize(X), loss, groups=groups)
            assert cells(X) == before
            return queries

        return _Recorded(mechanism, "same", loss)

    for i, row in enumerate(hostile_rows(container, kind)):
        loss = (STRONG, GAUSSIAN, LAPLACE)[(i + len(container)) % 3]
        grouped = (i + len(container)) % 2 == 0
        audit, _ = heard(lambda *case, r=row: recorded(*case).audit(r), loss, grouped)
        assert not audit.error
        moved[row] = audit.moved
    assert any(moves[0][1] > 0.99 for moves in moved.values())


CELL = st.one_of(
    st.floats(),
    st.integers(1990, 2020),
    st.sampled_from([0.0, -0.0, 1e300, -1e18, None, "text", True, np.inf]),
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=9),
    st.tuples(CELL, CELL, CELL),
    st.integers(0, 8),
    st.sampled_from([GAUSSIAN, LAPLACE, STRONG]),
)
def test_one_row_moves_one_row_of_codes(rows, other, place, loss):
    schema = Schema({"a": float, "b": int, "c": float}, missing=["a"])
    changed = [*rows]
    changed[place % len(rows)] = other

    def mechanism(case):
        return measure_domain(schema, [list(row) for row in case], loss)

    replay_audit(mechanism, rows, changed, loss=loss)


@pytest.mark.parametrize("copies", [1, 3, 30])
def test_one_group_moves_as_much_as_one_record(copies):
    def mechanism(case):
        rows, groups = case
        return measure_domain(Schema({"a": float, "b": float}), rows, STRONG, groups=groups)

    kept, names = [[2000.0, 1.0 + i] for i in range(20)], list(range(20))
    first = [*kept, [2001.0, 5.0]], [*names, "g"]
    other = [*kept, *[[1e9 + i, -1e9] for i in range(copies)]], [*names, *["g"] * copies]
    moved = replay_audit(mechanism, first, other, loss=STRONG).moved
    assert moved[0] == pytest.approx((1, 1), rel=1e-3)


# Mutants.


def years(copies=1):
    """Return tables whose one column is narrow, and is counted twice."""
    rows = [[1990.0 + i % 30] for i in range(300)]
    return rows, [*rows[:-1], [1e300]]


def audit(pair=None, schema=None):
    schema = schema or Schema({"year": int})
    pair = years() if pair is None else pair
    return replay_audit(lambda X: measure_domain(schema, X, STRONG), *pair, loss=STRONG).moved


def test_narrow_columns_are_counted_twice():
    assert np.array(audit()) == pytest.approx(np.ones((2, 2)))
    with no_noise() as sampler:
        found, _ = answer(
            measure_domain(Schema({"year": int}), years()[0], STRONG), STRONG, sampler
        )
    assert 1950 <= found.columns[0].low <= 1990
    assert 2019 <= found.columns[0].high <= 2070


@pytest.mark.parametrize("factor", [0.5, 0.98])
def test_a_smaller_bound_is_caught(monkeypatch, factor):
    def less(values, l1, l2, share=Fraction(1)):
        return Query(values, factor * l1, factor * l2, share)

    monkeypatch.setattr(marginals, "Query", less)
    with pytest.raises(ReplayAuditError, match="query 1 moves by"):
        audit()


def test_bounds_of_the_private_rows_are_caught(monkeypatch):
    """The mutant pays for noisy counts and reads the largest value off the table."""
    counts, bounds, largest = domain._counts, domain._bounds, []

    def look(columns, cells, loss, groups):
        largest[:] = [float(max(min(x, 1e9) for x in cells[0]))]
        return (yield from counts(columns, cells, loss, groups))

    def exact(columns, noisy, loss, **settings):
        found = bounds(columns, noisy, loss, **settings)
        return {j: column.__class__("year", low=0, high=largest[0]) for j, column in found.items()}

    monkeypatch.setattr(domain, "_counts", look)
    monkeypatch.setattr(domain, "_bounds", exact)
    with pytest.raises(ReplayAuditError, match="changes the result"):
        audit()


def test_columns_that_private_rows_choose_are_caught(monkeypatch):
    """The mutant counts one column again in the first two runs, and both for the neighbour."""
    again = iter([True, False, True, False, True, True])
    monkeypatch.setattr(domain, "is_narrow", lambda column: next(again))
    rows = [[1990.0 + i % 30, 1.0] for i in range(300)]
    with pytest.raises(ReplayAuditError, match="changes query 2"):
        audit((rows, [*rows[:-1], [1e300, 2.0]]), Schema({"year": int, "b": int}))


def test_a_share_of_more_than_all_is_caught(monkeypatch):
    honest = domain.at_share
    monkeypatch.setattr(domain, "at_share", lambda queries, share: honest(queries, Fraction(1)))
    with pytest.raises(ReplayAuditError, match="sum to more than 1"):
        audit()


# The price.


class Spy:
    """Adds the noise of another sampler; remembers the prices."""

    name, private = "a spy, for tests (NOT private)", False

    def __init__(self):
        self.losses = []

    def perturb(self, values, loss, sensitivity):
        self.losses.append(loss)
        return active_sampler("exact").perturb(values, loss, sensitivity)


@EACH_LAW
def test_at_most_the_whole_price_is_spent(loss):
    rng = np.random.default_rng(0)
    spy, X = Spy(), np.column_stack([rng.uniform(2000, 2010, 9000), rng.normal(0, 1, 9000)])
    answer(measure_domain(Schema({"a": float, "b": float}), X, loss), loss, spy)
    spent = sum(part.epsilon if part.mu is None else part.mu**2 for part in spy.losses)
    assert len(spy.losses) == 2
    assert spent <= (loss.epsilon if loss.mu is None else loss.mu**2)


def test_the_rule_for_the_share():
    """At least a twentieth, at most a fifth; more where there are few records for the noise."""
    schema = Schema({"a": float, "b": float, "c": (0, 1)})
    loss = PrivacyLoss.gaussian(1.0, 1e-6)
    shares = [domain_share(schema, loss, n) for n in (100, 2_500, 10**6)]
    assert shares[0] == Fraction(1, 5)
    assert Fraction(1, 20) < shares[1] < Fraction(1, 5)
    assert shares[2] == Fraction(1, 20)
    assert math.isclose(float(shares[1]), (100 * 2 / loss.mu / 2_500) ** 2, abs_tol=5e-4)
    assert domain_share(Schema({"c": (0, 1)}), loss, 100) == 0
    assert domain_share(schema, None, 100) == Fraction(1, 20)
    assert domain_share(schema, PrivacyLoss.laplace(1e3), 10**6) == Fraction(1, 20)


def test_the_rest_of_the_price_is_left():
    told = []

    def learn(schema, loss):
        told.append((schema, loss))
        return (yield Query(np.zeros(1, np.int64), 1.0, 1.0))

    schema, loss, spy = Schema({"a": float}), PrivacyLoss.gaussian(1.0, 1e-6), Spy()
    X = np.random.default_rng(0).normal(0, 1, (5000, 1))
    queries = with_domain(schema, X, loss, learn, n_units=5000)
    share, *_ = answer(queries, loss, spy)
    assert spy.losses[-1].mu ** 2 == pytest.approx(float(1 - share) * loss.mu**2)
    assert told[0][0].unbounded == []
    assert told[0][1].mu ** 2 == pytest.approx(float(1 - share) * loss.mu**2)
    known = Schema({"a": (0, 1)})
    share, *_ = answer(with_domain(known, X, loss, learn, n_units=5000), loss, spy)
    assert share == 0
    assert told[1] == (known, loss)


def test_noise_beside_a_narrow_column_does_not_hide_that_it_is_narrow():
    """In one fit of thirty a cell beside those of the values has 2.5 deviations of noise."""
    loss = PrivacyLoss.gaussian(1.3, 1e-6)
    schema, X = Schema({"a": float}), np.random.default_rng(0).normal(100, 5, (5000, 1))
    for seed in range(100):
        with seeded_noise(seed) as sampler:
            found, _ = answer(
                measure_domain(schema, schema.on_grid().sanitize(X), loss), loss, sampler
            )
        assert 40 < found.columns[0].low < 90
        assert 110 < found.columns[0].high < 200


def test_a_column_that_noise_hides_is_named():
    loss = PrivacyLoss.gaussian(0.01, 1e-6)
    queries = measure_domain(Schema({"a": float, "b": int}), [[5.0, 3]] * 50, loss)
    with no_noise() as sampler:  # the rule alone: one fit in 25 takes a cell of noise for values
        found, hidden = answer(queries, loss, sampler)
    with pytest.warns(UserWarning, match=r"bounds of \['a', 'b'\] cannot be told from noise"):
        warn_of_hidden(hidden)
    assert [(c.low, c.high) for c in found.columns] == [(-1, 1)] * 2


@pytest.mark.parametrize("schema", [Schema({"a": float}), Schema({"a": int, "b": float})])
@pytest.mark.parametrize("group_size", [1, 2])
def test_values_that_noise_may_hide_are_told_by_public_numbers(schema, group_size, monkeypatch):
    """Of 1,000 records at a small price a third of the values may be outside."""
    monkeypatch.setattr(domain, "is_narrow", lambda column: False)  # as noise may make it
    rng = np.random.default_rng(0)
    X = rng.normal(0, 100, (1000, len(schema.columns)))
    groups = np.arange(1000) // group_size
    shares = []
    for epsilon in (0.5, 50.0):
        loss = PrivacyLoss.gaussian(epsilon, 1e-6)
        queries = measure_domain(schema, X, loss, groups=groups)
        _, hidden = answer(queries, loss, active_sampler("exact"))
        k = len(schema.columns)
        noise = loss.scale(math.sqrt(2 * k))  # all of the price: no column is counted again
        assert hidden.share == pytest.approx(min(1, 5.5 * noise * group_size / 1000), rel=1e-3)
        shares.append(hidden.share)
    few = domain.Hidden((), ("a",), 0.051)
    with pytest.warns(UserWarning, match=r"bounds of \['a'\] .* may hide 5% of them at each end"):
        warn_of_hidden(few)
    warn_of_hidden(domain.Hidden((), ("a",), 0.049))
    warn_of_hidden(None)
    assert shares[0] > 0.05 > shares[1]


def test_without_noise():
    found, hidden = answer(measure_domain(Schema({"a": float}), [[3.0], [70.0]], None), None, None)
    assert hidden == domain.Hidden((), ("a",), 0.0)
    assert found.columns[0].low <= 3
    assert found.columns[0].high >= 70
