import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from skdistill.accounting import PrivacyLoss
from skdistill.release.noise import ExactSampler
from skdistill.release.query import (
    ROUND_UP,
    SQRT_2,
    Query,
    RowQuery,
    answer,
    at_share,
    noise_deviation,
)

GAUSSIAN, LAPLACE = PrivacyLoss.gaussian(1.0, 1e-6), PrivacyLoss.laplace(1.0)
VALUES = np.arange(4, dtype=np.int64)


class Recorder:
    """Adds nothing, and keeps its arguments."""

    name, private = "recorder", False

    def __init__(self):
        self.calls = []

    def perturb(self, values, loss, sensitivity):
        self.calls.append((values.copy(), loss, sensitivity))
        return values


def ask(*queries):
    answers = []
    for query in queries:
        answers.append((yield query))
    return answers


@pytest.mark.parametrize("loss", [GAUSSIAN, LAPLACE])
def test_every_query_is_answered_at_its_share_and_bound(loss):
    recorder = Recorder()
    shares = Fraction(1, 3), Fraction(2, 3)
    result = answer(ask(*(Query(VALUES, 5.0, 2.0, s) for s in shares)), loss, recorder)
    assert [r.tolist() for r in result] == [VALUES.tolist()] * 2
    assert [call[1] for call in recorder.calls] == [loss.part(s) for s in shares]
    assert {call[2] for call in recorder.calls} == {5.0 if loss is LAPLACE else 2.0}


def test_noise_is_exact_and_independent_between_queries():
    query = Query(np.zeros(50, dtype=np.int64), 1e6, 1e6, Fraction(1, 2))
    first, second = answer(ask(query, query), GAUSSIAN, ExactSampler())
    assert (first != second).any()


def test_no_noise_is_drawn_for_shares_above_one():
    recorder = Recorder()
    half = Query(VALUES, 1.0, 1.0, Fraction(1, 2))
    over = Query(VALUES, 1.0, 1.0, Fraction(1, 2) + Fraction(1, 10**30))
    with pytest.raises(ValueError, match="more than 1"):
        answer(ask(half, over), GAUSSIAN, recorder)
    assert len(recorder.calls) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"values": VALUES.astype(float)}, TypeError),
        ({"values": VALUES.tolist()}, TypeError),
        ({"values": VALUES.astype(np.int32)}, TypeError),
        ({"l1": math.inf}, ValueError),
        ({"l1": math.nan}, ValueError),
        ({"l2": 0.0}, ValueError),
        ({"l2": -1.0}, ValueError),
        ({"l2": "1"}, TypeError),
        ({"l2": True}, TypeError),
        ({"share": Fraction(0)}, ValueError),
        ({"share": Fraction(3, 2)}, ValueError),
        ({"share": 0.5}, TypeError),
        ({"share": True}, TypeError),
    ],
)
def test_bad_query_is_refused_with_fixed_text(change, error):
    with pytest.raises(error) as caught:
        Query(**{"values": VALUES, "l1": 1.0, "l2": 1.0, "share": Fraction(1), **change})
    text = str(caught.value)
    assert text.startswith("Query: ")
    assert text in {
        "Query: the values must be an array of 64-bit integers.",
        "Query: the bounds l1 and l2 must be numbers.",
        "Query: the bounds l1 and l2 must be positive and finite.",
        "Query: the share must be a Fraction, so that shares add exactly.",
        "Query: the share must be above 0 and at most 1.",
    }


@pytest.mark.parametrize("l1", [0.1, 0.7, 1 / 3, 2.0])
def test_the_bounds_of_many_rows_are_rounded_up(l1):
    query = RowQuery("labels", lambda rows: VALUES, (1, 1), l1, l1, 1.0)
    for n in (*range(1, 200), 10**6 + 3):
        moved = query.moved(n)
        assert n * Fraction(l1) <= Fraction(moved[0]) <= n * Fraction(l1) * (1 + Fraction(2) ** -50)
        assert n * Fraction(l1) ** 2 <= Fraction(moved[1]) ** 2


def test_no_text_of_a_query_shows_a_private_value():
    values = np.array([4711], dtype=np.int64)
    assert "4711" not in repr(Query(values, 1.0, 1.0))
    assert "4711" not in repr(RowQuery("labels", partial(np.add, values), (1, 1), 1.0, 1.0, 1.0))


def test_what_is_no_query_is_refused():
    with pytest.raises(TypeError, match="class Query"):
        answer(ask(VALUES), GAUSSIAN, Recorder())


def test_a_generator_without_queries_returns_its_value():
    assert answer(ask(), GAUSSIAN, Recorder()) == []


def test_margins_are_above_and_small():
    assert 0 < ROUND_UP - 1 < 1e-14
    assert 2 < Fraction(SQRT_2) ** 2 < 2 * (1 + Fraction(1, 2**50))


def test_rows_move_by_a_bound_of_all_of_them():
    """Rows, not columns; rounded up, and not farther than that."""
    query = RowQuery("labels", lambda rows: VALUES[:, None], (4, 7), 0.1, 0.5, 1.0)
    assert query.moved(4) == query.moved(len(VALUES))
    whole, some = query.of(None, Fraction(1)), query.of(np.arange(3), Fraction(1, 2))
    assert (whole.l1, some.l1) == (0.4, math.nextafter(3 * 0.1, 1.0) if 3 * 0.1 < 0.3 else 3 * 0.1)
    assert Fraction(some.l1) >= 3 * Fraction(0.1)
    assert whole.l2 == pytest.approx(1.0) and whole.l2 > 1.0
    exact = RowQuery("labels", lambda rows: VALUES[:, None], (4, 7), 0.5, 0.5, 1.0)
    assert exact.moved(3)[0] == 1.5  # nothing was rounded


@pytest.mark.parametrize("loss", [GAUSSIAN, LAPLACE])
def test_the_noise_that_is_announced_is_the_one_that_is_drawn(loss):
    query = RowQuery(
        "labels", lambda rows: np.zeros((4, 500), dtype=np.int64), (4, 500), 3e5, 1e5, 0.25
    )
    drawn = answer(ask(query.of(None, Fraction(1))), loss, ExactSampler())[0] * query.step
    assert np.std(drawn) == pytest.approx(query.noise_scale(loss), rel=0.15)
    moved = {"l1": 12.0, "l2": 5.0}
    law = math.sqrt(2) * 12.0 if loss is LAPLACE else loss.scale(5.0)
    assert noise_deviation(loss, **moved) == pytest.approx(law)


def test_a_part_of_the_price():
    queries = [Query(VALUES, 1.0, 1.0, Fraction(s)) for s in ("1/3", "2/3")]
    recorder = Recorder()
    result = answer(at_share(ask(*queries), Fraction(1, 4)), GAUSSIAN, recorder)
    assert len(result) == 2
    assert [call[1] for call in recorder.calls] == [
        GAUSSIAN.part(Fraction(1, 12)),
        GAUSSIAN.part(Fraction(1, 6)),
    ]
