"""Records in any container, and answers of models: without the text of an exception."""

import numpy as np
import pytest
from audit_tables import CONTAINERS, NAMES, dense
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin

from skdistill._tables import as_numbers
from skdistill.audit.records import ask, class_codes, class_probabilities, row_keys, stack_rows

X = np.random.default_rng(0).normal(size=(12, 3))
CONTAINERS = CONTAINERS | {"coo_array": sparse.coo_array}


@pytest.mark.parametrize("container", CONTAINERS)
def test_stacks_keep_the_first_container_and_the_order(container):
    make = CONTAINERS[container]
    parts = [make(X[:5]), make(X[5:6]), make(X[6:])]
    both = stack_rows(*parts)
    assert np.array_equal(dense(both), X)
    assert type(both) is type(parts[0]) or container == "coo_array"
    if hasattr(both, "columns"):
        assert list(both.columns) == NAMES
        assert np.array_equal(dense(stack_rows(parts[0], X[5:])), X)  # an array of the user's
    if container == "pandas":
        assert both.index.is_unique
    assert np.array_equal(dense(stack_rows(parts[0])), X[:5])


def test_columns_of_other_things_are_coded():
    table = np.array([["b", 1.5], ["a", 2.5], ["b", 1.5]], dtype=object)
    assert as_numbers(table).tolist() == [[1.0, 1.5], [0.0, 2.5], [1.0, 1.5]]
    assert as_numbers(["x", "y", "x"]).tolist() == [[0.0], [1.0], [0.0]]


def test_keys_are_equal_for_equal_records_only():
    table = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0], [np.nan, 1.0], [-np.nan, 1.0]])
    y = np.array(["b", "b", "a", "b", "b"])
    first, same, other_label, missing, also_missing = row_keys(table, y)
    assert first == same != other_label and missing == also_missing != first
    assert row_keys(sparse.csr_array(table[:3]), y[:3])[0] != other_label
    keys = row_keys(sparse.csr_array(table[:3]), y[:3])
    assert keys[0] == keys[1] != keys[2]


class Reversed(ClassifierMixin, BaseEstimator):
    classes_ = np.array(["b", "a"])

    def predict_proba(self, X):
        return np.tile([0.9, 0.1], (len(X), 1))


def test_columns_and_codes_are_matched_by_label():
    found = class_probabilities(Reversed(), np.zeros((2, 1)), np.array(["a", "b", "c"]))
    assert found.tolist() == [[0.1, 0.9, 0.0]] * 2
    assert class_codes(["a", "b", "a"], Reversed.classes_).tolist() == [1, 0, 1]


class Panic(BaseException):
    """As extension modules raise them."""


@pytest.mark.parametrize("kind", [KeyError, Panic])
def test_no_exception_quotes_a_record(kind):
    def quote(X):
        raise kind(f"cell {X[0, 0]}")

    with pytest.raises(ValueError, match="The model raised an exception; its message is") as caught:
        ask(quote, "The model", np.full((1, 1), 731.25))
    assert "731" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_model_that_writes_into_its_rows_changes_nothing():
    X = np.ones((2, 2))
    ask(lambda rows: rows.fill(0.0), "The model", X)
    assert X.all()
