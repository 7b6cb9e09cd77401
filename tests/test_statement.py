import dataclasses
import json
import math

import pytest

from skdistill import PrivacyStatement
from skdistill.accounting.relation import Relation, Unit
from skdistill.statement import _percent

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
OTHERS = [
    STATEMENT,
    dataclasses.replace(STATEMENT, relation="add-or-remove", unit="group", subject="the table"),
    dataclasses.replace(STATEMENT, accounted=True, cap=(3.0, 1e-5)),
    dataclasses.replace(STATEMENT, accounted=True, cap=(math.inf, 1.0), mu=None),
    dataclasses.replace(STATEMENT, epsilon=math.inf, private=False, not_protected=()),
]


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


@pytest.mark.parametrize("unit", list(Unit))
def test_the_sentence_about_neighbours_is_made_of_fields(unit):
    statement = dataclasses.replace(STATEMENT, unit=unit)
    assert statement.neighbours == (
        f"replace one {unit} of the teacher's training data; the number of {unit}s is public"
    )
    other = dataclasses.replace(statement, relation="add-or-remove", subject="the table")
    assert other.relation is Relation.ADD_OR_REMOVE
    assert other.neighbours == f"add one {unit} to the table, or remove one"
    for text in (str(other), other._repr_html_()):
        assert other.neighbours in text
        assert "replace" not in text


@pytest.mark.parametrize(
    ("field", "value"),
    [("relation", "replace one record"), ("unit", "person"), ("cap_relation", None)],
)
def test_prose_is_no_relation(field, value):
    with pytest.raises(ValueError, match="not a valid"):
        dataclasses.replace(STATEMENT, **{field: value})


def test_what_else_is_counted():
    assert "Other fits on the same data, and a search around this one, are not counted." in str(
        STATEMENT
    )
    capped = dataclasses.replace(STATEMENT, accounted=True, cap=(3.0, 1e-5))
    assert "held to ε=3, δ=1e-05 (replace-one)." in str(capped)
    assert "not counted" not in str(capped)
    twice = dataclasses.replace(capped, cap_relation="add-or-remove")
    assert "(add-or-remove)" in twice.scope
    for cap in (None, (math.inf, 1.0)):
        open_ended = dataclasses.replace(STATEMENT, accounted=True, cap=cap)
        assert open_ended.scope == "An accountant without a cap was charged"
    assert "held to" in capped._repr_html_()


def test_json_is_json_even_for_infinities():
    infinite = dataclasses.replace(
        STATEMENT, epsilon=math.inf, private=False, accounted=True, cap=(math.inf, 1.0)
    )
    record = json.loads(infinite.to_json(allow_nan=False))
    assert record["epsilon"] == "inf"
    assert record["cap"] == ["inf", 1.0]
    assert record["assumes"] == ["the encoder is public"]
    assert (record["relation"], record["unit"]) == ("replace-one", "record")
    assert type(infinite.to_dict()["relation"]) is str
    assert set(record) == {"version", *(field.name for field in dataclasses.fields(STATEMENT))}


@pytest.mark.parametrize("statement", OTHERS)
def test_it_is_read_back(statement):
    found = PrivacyStatement.from_dict(json.loads(statement.to_json()))
    assert found == statement
    assert type(found.relation) is Relation and type(found.unit) is Unit
    assert found.to_json() == statement.to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": "1.5"},
        {"epsilon": None},
        {"epsilon": True},
        {"epsilon": -1.0},
        {"epsilon": "inf"},
        {"epsilon": "nan"},
        {"delta": 1.5},
        {"mu": -0.1},
        {"mu": "big"},
        {"relation": "replace one"},
        {"relation": ["replace-one"]},
        {"unit": "person"},
        {"subject": 3},
        {"subject": "a\u202eb"},
        {"mechanism": "gaussian\x1b[2K"},
        {"certificate": {}},
        {"certificate": {"name": "n", "bound": 1, "reason": "r", "reference": "x"}},
        {"certificate": "n"},
        {"n_queries": 1.0},
        {"n_queries": -1},
        {"n_queries": True},
        {"assumes": "abc"},
        {"assumes": [1]},
        {"not_protected": {}},
        {"private": 1},
        {"accounted": 1, "cap": [1.0, 0.0]},
        {"cap": [1.0, 0.0]},  # of no accountant
        {"accounted": True, "cap": [1.0]},
        {"accounted": True, "cap": "no"},
        {"accounted": True, "cap": [-1.0, 0.0]},
        {"accounted": True, "cap": [1.0, 2.0]},
        {"cap_relation": 0},
        {"more": 1},
        {"version": 2},
        {"version": True},
    ],
    ids=repr,
)
def test_a_record_of_another_form_is_not_read(change):
    """Neither here nor by anybody who checks it with the schema."""
    record = {**STATEMENT.to_dict(), **change}
    with pytest.raises(ValueError):
        PrivacyStatement.from_dict(record)
    same_in_json = type(change.get("n_queries")) is float  # a schema takes 1.0 for an integer
    assert validator().is_valid(json.loads(json.dumps(record))) == same_in_json


def validator():
    jsonschema = pytest.importorskip("jsonschema")
    schema = PrivacyStatement.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("statement", OTHERS)
def test_the_schema_describes_every_statement(statement):
    validator().validate(json.loads(statement.to_json(allow_nan=False)))


def test_the_schema_names_every_field_and_the_version():
    schema = PrivacyStatement.json_schema()
    assert set(schema["properties"]) == set(schema["required"]) == set(STATEMENT.to_dict())
    assert schema["properties"]["version"]["const"] == STATEMENT.to_dict()["version"] == 1
    assert all("description" in each for each in schema["properties"].values())
    assert schema["properties"]["unit"]["enum"] == [each.value for each in Unit]
    assert schema["properties"]["relation"]["enum"] == [each.value for each in Relation]


def test_limits_of_attacks_stand_beside_epsilon():
    gaussian = dataclasses.replace(STATEMENT, epsilon=4.0, mu=1.0)
    assert gaussian.largest_true_positive_rate() == pytest.approx(0.0923622, abs=1e-7)  # by mpmath
    assert gaussian.largest_balanced_accuracy() == pytest.approx(0.6914625, abs=1e-7)
    for shown in (str(gaussian), gaussian._repr_html_()):
        assert "right in at most 69.2 % of cases" in shown  # rounded up
        assert "at 1 % false positives it has at most 9.3 % true positives" in shown
    pure = dataclasses.replace(STATEMENT, epsilon=math.log(3), delta=0.0, mu=None)
    assert pure.largest_true_positive_rate(0.02) == pytest.approx(0.06)
    assert pure.largest_true_positive_rate(0.5) == pytest.approx(1 - 0.5 / 3)
    assert pure.largest_balanced_accuracy() == pytest.approx(0.75)
    with pytest.raises(ValueError, match="from 0 to 1"):
        pure.largest_true_positive_rate(1.5)


def test_no_guarantee_is_no_limit():
    """Seeded noise has an ε of which nothing follows."""
    seeded = dataclasses.replace(STATEMENT, private=False)
    assert seeded.largest_true_positive_rate() == seeded.largest_balanced_accuracy() == 1.0
    assert "right in" not in str(seeded) + seeded._repr_html_()


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50 %"), (0.69146, "69.2 %"), (0.01, "1 %"), (0.0000123, "0.0013 %"), (0, "0 %")]
    + [(0.99, "99 %"), (0.99991, "99.991 %"), (1.0, "100 %")],
)
def test_percent_is_rounded_up(share, text):
    assert _percent(share) == text
    assert float(text.split()[0]) >= 100 * share - 1e-9


def test_grammar_without_noise():
    text = str(dataclasses.replace(STATEMENT, private=False, sampler="no noise", mechanism="none"))
    assert "made with mechanism 'none' and no noise." in text and "noise from" not in text


def test_a_record_that_lacks_a_field_is_not_read():
    for name in STATEMENT.to_dict():
        record = STATEMENT.to_dict()
        del record[name]
        with pytest.raises(ValueError, match="other fields"):
            PrivacyStatement.from_dict(record)
    for record in (None, [], "x", [("epsilon", 1)]):
        with pytest.raises(ValueError, match="other fields"):
            PrivacyStatement.from_dict(record)


def test_html_is_escaped():
    page = STATEMENT._repr_html_()
    assert "&lt;it&gt;" in page
    assert "<it>" not in page


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        STATEMENT.epsilon = 0.1
