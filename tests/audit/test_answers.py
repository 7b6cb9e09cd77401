"""Answers of models: by class label, on copies, and without the text of an exception."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from skdistill.audit.answers import ask, class_codes, class_probabilities


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
