import math
from fractions import Fraction

import pytest

from skdistill.accounting.relation import Relation, Unit, as_replace_one


def test_replace_one_stays():
    assert as_replace_one(0.7, 1e-7, Relation.REPLACE_ONE) == (0.7, 1e-7)
    assert as_replace_one(0.7, 1e-7, "replace-one") == (0.7, 1e-7)


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 0.0), (0.5, 1e-6), (3.0, 1e-9)])
def test_add_or_remove_costs_twice_and_is_rounded_up(epsilon, delta):
    twice, more = as_replace_one(epsilon, delta, Relation.ADD_OR_REMOVE)
    assert twice == 2 * epsilon
    assert Fraction(more) >= Fraction(delta) * (1 + Fraction(math.exp(epsilon))) * (delta > 0)
    assert more == pytest.approx(delta * (1 + math.exp(epsilon)), rel=1e-12)


def test_conversion_is_needed_and_enough_for_randomised_response():
    """Two data sets that differ in one record, through the one without it, at ε each way."""
    epsilon = 0.8
    odds = math.exp(epsilon)
    with_zero, without, with_one = 1 / (1 + odds**2), 1 / (1 + odds), 1 / 2
    assert max(without / with_zero, with_one / without) <= odds * (1 + 1e-12)
    assert with_one / with_zero > odds  # ε alone would be false
    assert with_one / with_zero <= math.exp(as_replace_one(epsilon, 0.0, "add-or-remove")[0])


def test_a_delta_that_cannot_hold_is_one():
    assert as_replace_one(1e4, 1e-6, Relation.ADD_OR_REMOVE) == (2e4, 1.0)


def test_unknown_relations_are_refused():
    with pytest.raises(ValueError, match="neighbour"):
        as_replace_one(1.0, 0.0, "neighbour")
    assert {str(u) for u in Unit} == {"record", "group"}
