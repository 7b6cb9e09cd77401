"""Noise for tests is repeatable and says so; the replay audit finds broken mechanisms."""

import threading
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from skdistill.accounting import PrivacyLoss
from skdistill.release.noise import active_sampler
from skdistill.release.query import Query, RowQuery
from skdistill.testing import ReplayAuditError, no_noise, replay_audit, seeded_noise

VALUES = np.arange(1000, dtype=np.int64)
LOSSES = [PrivacyLoss.gaussian(1.0, 1e-6), PrivacyLoss.laplace(1.0)]


def release(loss=LOSSES[1], sampler="exact"):
    return active_sampler(sampler).perturb(VALUES, loss, 2.0**30)


@pytest.mark.parametrize("loss", LOSSES, ids=["gaussian", "laplace"])
def test_seeded_noise_repeats(loss):
    def seeded(seed):
        with seeded_noise(seed):
            return release(loss), release(loss)

    first, second = seeded(0)
    assert (first == seeded(0)[0]).all()
    assert (second == seeded(0)[1]).all()
    assert (first != second).any()
    assert (first != seeded(1)[0]).any()


def test_seeded_noise_has_the_scale_of_the_real_one():
    """A sample deviation of 20,000 draws is off by 5 % with probability below 1e-9."""
    with seeded_noise(3) as sampler:
        draws = sampler.perturb(np.zeros(20_000, dtype=np.int64), LOSSES[1], 1000.0)
    assert abs(draws.std() / (1000 * np.sqrt(2)) - 1) < 0.05


def test_no_noise():
    with no_noise() as sampler:
        exact = release()
        with pytest.raises(ValueError, match="sensitivity"):
            sampler.perturb(VALUES, LOSSES[0], -1.0)
    assert (exact == VALUES).all()
    assert exact is not VALUES


@pytest.mark.parametrize("name", ["exact", "diffprivlib"])
@pytest.mark.parametrize("context", [no_noise, lambda: seeded_noise(0)])
def test_samplers_say_that_they_are_not_private(context, name):
    with context() as sampler:
        assert active_sampler(name) is sampler
        assert sampler.private is False
        assert "NOT private" in sampler.name
    assert active_sampler("exact").private is True


def test_unknown_names_are_refused_inside_too():
    with no_noise(), pytest.raises(ValueError, match="sampler must be one of"):
        release(sampler="fast")


def test_blocks_nest_and_end_on_errors():
    with pytest.raises(RuntimeError, match="inside"), seeded_noise(0):
        with no_noise():
            assert (release() == VALUES).all()
        assert (release() != VALUES).any()
        raise RuntimeError("inside")
    assert active_sampler("exact").private


def test_other_threads_draw_from_the_operating_system():
    outcomes = []

    def work():
        outcomes.append((active_sampler("exact").private, release()))

    with seeded_noise(0):
        for _ in range(2):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert [private for private, _ in outcomes] == [True, True]
    assert (outcomes[0][1] != outcomes[1][1]).any()


def test_after_the_block_noise_is_private_again():
    with seeded_noise(0):
        pass
    assert (release() != release()).any()


# The replay audit.


def asks(*values, l1=2.0, l2=1.5, share=Fraction(1)):
    return Query(np.array(values, dtype=np.int64), l1, l2, share)


def one_query(x):
    return float((yield asks(x, -x))[0])


@dataclass
class Result:
    values: Any


def test_a_mechanism_that_keeps_its_promise():
    audit = replay_audit(one_query, 3, 4)
    assert audit.n_queries == 1
    assert audit.moved == ((1.0, np.sqrt(2) / 1.5),)
    assert replay_audit(one_query, 3, 3).moved == ((0.0, 0.0),)


def test_a_mechanism_without_a_query():
    def nothing(x):
        return 1
        yield

    assert replay_audit(nothing, 0, 1).moved == ()


def two_queries(x):
    first = yield asks(x, share=Fraction(1, 2))
    yield asks(int(first[0]) + x, share=Fraction(1, 2))  # an earlier answer may decide anything


def _twice_where_positive(x):
    yield asks(0, share=Fraction(1, 2))
    if x > 0:
        yield asks(0, share=Fraction(1, 2))


def _once_where_positive(x):
    yield from _twice_where_positive(-x)


def _raises(error):
    def mechanism(x):
        if x > 0:
            raise error(f"record {x}")
        yield asks(0)

    return mechanism


def _raises_after_the_last_query(x):
    yield asks(0)
    if x > 0:
        raise ValueError


def _returns_its_data(x):
    yield asks(x)
    return x


@pytest.mark.parametrize(
    ("said", "mechanism"),
    [
        (r"moves by 2 \(L1\)", lambda x: (yield asks(x, -x, l1=1.0))),
        (r"its bounds are 2 and 0\.5", lambda x: (yield asks(x, l2=0.5))),
        ("makes 2 queries in place of 1", _twice_where_positive),
        ("makes 1 queries in place of 2", lambda x: _twice_where_positive(1 - x)),
        (r"changes query 1: \(\(2,\).* becomes \(\(3,\)", lambda x: (yield asks(*[0] * (x + 2)))),
        ("changes query 1.*Fraction", lambda x: (yield asks(0, share=Fraction(1, x + 2)))),
        (r"changes query 1.* 2\.0.* 3\.0", lambda x: (yield asks(0, l1=x + 2.0))),
        ("apart: None, 'ValueError: record 1'", _raises(ValueError)),
        ("apart: None, 'Panic: record 1'", _raises(type("Panic", (BaseException,), {}))),
        ("apart: None, 'ValueError: '", _raises_after_the_last_query),
        ("changes the result", _returns_its_data),
    ],
)
def test_a_broken_promise_is_told(said, mechanism):
    with pytest.raises(ReplayAuditError, match=said):
        replay_audit(mechanism, 0, 1)


def test_a_mechanism_yields_queries():
    with pytest.raises(ReplayAuditError, match="something else than a query"):
        replay_audit(lambda x: (yield x), 0, 1)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_audit(stop):
    with pytest.raises(stop):
        replay_audit(_raises(stop), 0, 1)


def test_earlier_answers_may_decide_later_queries():
    assert replay_audit(two_queries, 0, 1).n_queries == 2


def test_a_mechanism_must_be_a_function_of_its_data():
    calls = count()

    def restless(x):
        yield asks(next(calls))

    with pytest.raises(ReplayAuditError, match="second run on the same data gives other values"):
        replay_audit(restless, 0, 0)


def test_bounds_that_no_noise_can_hide_are_the_samplers_error():
    with pytest.raises(ValueError, match="noise scale"):
        replay_audit(lambda x: (yield asks(x, l1=2.0**60, l2=2.0**60)), 0, 1)


def test_shares_beyond_the_price():
    def greedy(x):
        yield asks(0, share=Fraction(2, 3))
        yield asks(0, share=Fraction(1, 2))

    with pytest.raises(ReplayAuditError, match="sum to more than 1"):
        replay_audit(greedy, 0, 0)


def test_a_query_of_rows_is_bounded_row_by_row():
    """A ledger pays for single rows: two units in one of four rows is too far for that row."""

    def rows(x):
        values = np.array(x, dtype=np.int64).reshape(-1, 1)
        yield RowQuery("labels", lambda rows: values, (4, 1), 1.0, 1.0, 1.0)

    assert replay_audit(rows, [0] * 4, [1] * 4).n_queries == 1
    with pytest.raises(ReplayAuditError, match="its bounds are 1 and 1"):
        replay_audit(rows, [0] * 4, [2, 0, 0, 0])


def test_integers_beyond_the_precision_of_floats_are_compared_exactly():
    def far(x):
        yield asks(2**62 + x, l1=2.0**30, l2=2.0**30)

    assert replay_audit(far, 0, 2**30).moved == ((1.0, 1.0),)
    with pytest.raises(ReplayAuditError, match="moves by"):
        replay_audit(far, 0, 2**30 + 1)


@pytest.mark.parametrize("loss", LOSSES, ids=["gaussian", "laplace"])
def test_the_answers_are_as_noisy_as_the_loss_says(loss):
    def mechanism(x):
        noisy.append(np.abs((yield asks(*[0] * 1000, l1=1e6, l2=1e6))).mean())

    noisy = []
    replay_audit(mechanism, 0, 1, loss=loss)
    assert noisy[0] == noisy[1] == noisy[2]
    assert 0.5 < noisy[0] / loss.scale(1e6) < 1.5


@pytest.mark.parametrize(
    ("first", "other", "equal"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([0.0]), np.array([-0.0]), False),
        (np.array([1.0]), np.array([1]), False),
        (np.array([1.0]), np.array([[1.0]]), False),
        (np.array([1.0, "a"], dtype=object), np.array([1.0, "a"], dtype=object), True),
        (np.array([1.0, "a"], dtype=object), np.array([1, "a"], dtype=object), False),
        (float("nan"), float("nan"), True),
        (1, True, False),
        ([1, (2, 3)], [1, (2, 3)], True),
        ([1, 2], [1, 2, 3], False),
        ({"a": np.ones(2)}, {"a": np.ones(2)}, True),
        ({"a": 1}, {"b": 1}, False),
        (Result(np.ones(2)), Result(np.ones(2)), True),
        (Result(np.ones(2)), Result(np.zeros(2)), False),
        (None, None, True),
        (None, 0, False),
        (SimpleNamespace(a=1), SimpleNamespace(a=2), False),
        (threading.Event, threading.Event, True),
    ],
)
def test_results_are_compared_to_the_last_bit(first, other, equal):
    def mechanism(x):
        yield asks(0)
        return x

    if equal:
        replay_audit(mechanism, first, other)
    else:
        with pytest.raises(ReplayAuditError, match="changes the result"):
            replay_audit(mechanism, first, other)


def test_an_audit_says_where_every_run_failed():
    """Such a mechanism tells nothing apart, and nothing after the exception was audited."""

    def fails(table):
        yield Query(np.array([len(table)]), 1.0, 1.0, Fraction(1, 2))
        raise ValueError("always")

    found = replay_audit(fails, [1, 2], [1, 3])
    assert (found.n_queries, found.error) == (1, "ValueError: always")

    def ends(table):
        return (yield Query(np.array([len(table)]), 1.0, 1.0, Fraction(1, 2)))

    assert replay_audit(ends, [1, 2], [1, 3]).error == ""
