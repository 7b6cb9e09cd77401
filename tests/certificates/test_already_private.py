"""A private teacher's guarantee is its student's, whole."""

import dataclasses
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skdistill import PrivacyStatement, PrivateDistiller
from skdistill.accounting.relation import Relation, Unit
from skdistill.certificates import AlreadyPrivate, certify
from skdistill.certificates.public_maps import _AS_FITTED

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 2

STATEMENT = PrivacyStatement(
    epsilon=1.0,
    delta=1e-5,
    mu=0.3,
    relation=Relation.ADD_OR_REMOVE,
    unit=Unit.GROUP,
    subject="the private table, features and labels",
    mechanism="gaussian, 3 residual rounds",
    certificate={"name": "n", "bound": "b", "reason": "r", "reference": ""},
    n_queries=300,
    assumes=("the groups are the patients",),
    not_protected=("the number of groups", "the schema"),
    sampler="a named source",
    private=True,
    accounted=True,
    cap=(2.0, 1e-5),
)


def teacher_with(statement):
    teacher = LogisticRegression().fit(X, Y)
    teacher.privacy_ = statement
    return teacher


@pytest.mark.parametrize(
    ("wrap", "more"),
    [(lambda t: t, ()), (lambda t: make_pipeline(Normalizer(), t), (_AS_FITTED,))],
)
def test_everything_is_inherited(wrap, more):
    student = PrivateDistiller(wrap(teacher_with(STATEMENT)), LogisticRegression()).fit(X)
    found = student.privacy_
    for name in ("epsilon", "delta", "mu", "relation", "unit", "subject", "sampler"):
        assert getattr(found, name) == getattr(STATEMENT, name), name
    assert found.assumes == (*STATEMENT.assumes, *more)
    assert (found.accounted, found.cap) == (True, (2.0, 1e-5))
    assert found.mechanism == "post-processing"
    assert "by gaussian, 3 residual rounds" in found.certificate["reason"]
    assert found.n_queries == len(X)
    assert found.private
    assert set(STATEMENT.not_protected) < set(found.not_protected)
    assert any("transfer set X" in text for text in found.not_protected)
    assert "add one group to the private table" in str(found)


def test_the_student_of_a_student():
    first = PrivateDistiller(teacher_with(STATEMENT), LogisticRegression()).fit(X)
    second = PrivateDistiller(first, LogisticRegression()).fit(X)
    assert second.privacy_ == dataclasses.replace(
        first.privacy_, certificate=second.privacy_.certificate
    )
    assert "by gaussian, 3 residual rounds" in second.privacy_.certificate["reason"]


def test_a_statement_without_privacy_is_no_certificate():
    for change in ({"private": False}, {"epsilon": math.inf}, {"delta": 1.0}):
        teacher = teacher_with(dataclasses.replace(STATEMENT, **change))
        assert certify(teacher).name == "worst case"


def test_a_step_that_learned_without_privacy_before_a_private_one():
    model = make_pipeline(StandardScaler().fit(X), teacher_with(STATEMENT))
    assert certify(model).name == "worst case"


def test_add_or_remove_is_no_claim_of_replace_one():
    claim = AlreadyPrivate(1.0, 1e-5, mu=0.3, relation="add-or-remove")
    assert claim.relation is Relation.ADD_OR_REMOVE
    other = claim.as_replace_one()
    assert other.relation is Relation.REPLACE_ONE
    assert other.epsilon == 2.0
    assert other.delta == pytest.approx(1e-5 * (1 + math.e))
    assert other.delta >= 1e-5 * (1 + math.e)
    assert other.mu == 0.6
    assert other.as_replace_one() is other
    with pytest.raises(ValueError, match="delta"):
        AlreadyPrivate(1.0, 0.5, relation="add-or-remove").as_replace_one()


def test_a_users_own_claim():
    teacher = LogisticRegression().fit(X, Y)
    claim = AlreadyPrivate(0.5, relation=Relation.ADD_OR_REMOVE, unit="group")
    statement = PrivateDistiller(teacher, certificate=claim).preview(X)
    assert (statement.epsilon, statement.delta, statement.mu) == (0.5, 0.0, None)
    assert (statement.relation, statement.unit) == ("add-or-remove", "group")
    assert statement.mechanism == "post-processing"
    assert not statement.accounted
    assert any("certificate" in text for text in statement.assumes)


class Renamed(PrivateDistiller):
    """Answers as its base does."""


class AsksTheTeacher(PrivateDistiller):
    def predict_proba(self, X):
        return self.teacher.predict_proba(X)


def one_method(student):
    student.predict_proba = student.teacher.predict_proba
    return student


@pytest.mark.parametrize(
    ("cls", "change", "private"),
    [
        (Renamed, lambda student: student, True),
        (AsksTheTeacher, lambda student: student, False),
        (type("Derived", (AsksTheTeacher,), {}), lambda student: student, False),
        (Renamed, one_method, False),
    ],
)
def test_a_subclass_that_answers_by_itself_has_made_no_statement(cls, change, private):
    """It inherits the attribute, and released the teacher's answers without any noise."""
    student = cls(LogisticRegression().fit(X, Y), LogisticRegression(), epsilon=1.0, delta=0.02)
    with pytest.warns(UserWarning, match="mostly noise"):
        student = change(student.fit(X))
    assert (certify(student).name == "already private") is private
    assert (certify(make_pipeline(Normalizer(), student)).name == "already private") is private
