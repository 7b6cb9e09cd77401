import dataclasses
import json

import pytest

from skdistill import PrivacyStatement

STATEMENT = PrivacyStatement(
    epsilon=1.5,
    delta=1e-6,
    mu=0.34,
    mechanism="gaussian",
    certificate={"name": "n", "bound": "b", "reason": "Because <it> holds.", "reference": "R. 1."},
    n_queries=10,
    assumes=("the encoder is public",),
    sampler="exact",
    private=True,
)


def test_text():
    text = str(STATEMENT)
    for part in ("ε=1.5", "δ=1e-06", "μ=0.34", "whole release of 10", "replace one record"):
        assert part in text
    assert "It assumes that the encoder is public." in text
    assert "Not protected: the transfer set X" in text


def test_a_statement_without_privacy_says_so_first():
    text = str(dataclasses.replace(STATEMENT, private=False))
    assert text.startswith("This release gives NO differential privacy guarantee")
    assert "is differentially private" not in text


def test_json_is_json_even_for_infinities():
    infinite = dataclasses.replace(STATEMENT, epsilon=float("inf"), private=False)
    record = json.loads(infinite.to_json(allow_nan=False))
    assert record["epsilon"] == "inf"
    assert record["assumes"] == ["the encoder is public"]
    assert set(record) == {field.name for field in dataclasses.fields(STATEMENT)}


def test_html_is_escaped():
    page = STATEMENT._repr_html_()
    assert "&lt;it&gt;" in page
    assert "<it>" not in page


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        STATEMENT.epsilon = 0.1
