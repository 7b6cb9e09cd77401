import dataclasses
import math

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from skdistill import NewtonClassifier, NewtonRegressor, PrivateDistiller, TeacherEnsemble
from skdistill.accounting.relation import Relation, Unit
from skdistill.certificates import (
    AlreadyPrivate,
    DisjointTeachers,
    ParameterBall,
    RowBound,
    certify,
    register,
)
from skdistill.certificates.base import OWN_RECORD

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def test_the_worst_case_is_the_diameter():
    bound = certify(DecisionTreeClassifier().fit(X, Y))
    assert (bound.l1, bound.l2) == (2.0, math.sqrt(2.0))
    assert bound.assumes == ()
    bound = certify(Ridge().fit(X, Y), output_range=(-1.0, 3.0))
    assert (bound.l1, bound.l2) == (4.0, 4.0)
    with pytest.raises(ValueError, match="output_range"):
        certify(Ridge().fit(X, Y))


@pytest.mark.parametrize(
    "teacher",
    [
        KNeighborsClassifier(5),
        NewtonClassifier(classes=[0, 1]),
        NewtonRegressor(output_range=(0, 1)),
        TeacherEnsemble(DecisionTreeClassifier(), 5, classes=[0, 1]),
    ],
)
def test_rows_of_one_s_own_record_are_an_assumption(teacher):
    """Rows that a scaler made of all private rows move together, and look like any others."""
    assert OWN_RECORD in certify(teacher.fit(X, Y)).assumes
    assert OWN_RECORD in PrivateDistiller(teacher, epsilon=100.0).preview(X + 1).assumes


def test_a_subclass_does_not_inherit_a_proof():
    class Twisted(KNeighborsClassifier):
        def predict_proba(self, X):
            return np.eye(2)[np.zeros(len(X), dtype=int)]

    assert certify(Twisted(5).fit(X, Y)).name == "worst case"


def test_a_users_proof_is_found_for_its_class_and_through_a_frozen_teacher():
    class Mine(DecisionTreeClassifier):
        pass

    @register(Mine)
    def proof(teacher):
        return RowBound(0.1, 0.1, name="mine") if teacher.max_depth == 1 else None

    teacher = Mine(max_depth=1).fit(X, Y)
    assert certify(teacher).name == "mine"
    assert certify(FrozenEstimator(teacher)).name == "mine"
    assert certify(make_pipeline(Normalizer(), teacher)).name == "mine"
    assert certify(Mine().fit(X, Y)).name == "worst case"


@pytest.mark.parametrize("attribute", ["epsilon_", "delta_", "privacy_"])
def test_an_attribute_that_looks_like_a_claim_is_none(attribute):
    """GaussianNB().fit has an `epsilon_` of about 1e-9, which is a variance and no promise."""
    teacher = GaussianNB().fit(X, Y)
    assert hasattr(teacher, "epsilon_")
    setattr(teacher, attribute, 0.5)
    assert certify(teacher).name == "worst case"


@pytest.mark.filterwarnings("ignore")
def test_no_classifier_of_scikit_learn_passes_for_private():
    certified = 0
    for _, kind in all_estimators("classifier"):
        try:
            teacher = kind().fit(np.abs(X), Y)
        except (TypeError, ValueError):
            continue  # needs arguments, or data of another kind
        assert certify(teacher).kind != "private"
        certified += 1
    assert certified > 25


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_bounds_must_be_positive_and_finite(value):
    with pytest.raises(ValueError, match="positive"):
        RowBound(value, 0.1)
    with pytest.raises(ValueError, match="positive"):
        ParameterBall(value, lambda: X, lambda X: X, lambda s: s)


@pytest.mark.parametrize("value", [True, "1", None])
def test_bounds_must_be_numbers(value):
    with pytest.raises(TypeError, match="is not a number"):
        RowBound(value, 0.1)


def test_swapped_norms_are_noticed():
    with pytest.raises(ValueError, match="swap"):
        RowBound(0.1, 0.2)


@pytest.mark.parametrize("delta", [-0.1, 1.0])
def test_already_private_needs_a_delta(delta):
    with pytest.raises(ValueError, match="delta"):
        AlreadyPrivate(1.0, delta)


KINDS = [
    (RowBound(0.02, 0.015), "rows", "each row moves by at most 0.02 (L1), 0.015 (L2)"),
    (DisjointTeachers(0.02, 0.015, n_teachers=100), "members", "each row moves by at most 0.02"),
    (ParameterBall(0.3, lambda: X, lambda X: X, lambda s: s), "parameters", "move by at most 0.3"),
    (AlreadyPrivate(1.0), "private", "nothing more is released"),
]


@pytest.mark.parametrize(("bound", "kind", "text"), KINDS)
def test_a_kind_says_its_bound_in_words(bound, kind, text):
    assert bound.kind == type(bound).kind == kind
    assert text in bound.bound_text
    assert bound.proof["bound"] == bound.bound_text
    assert bound.relation is Relation.REPLACE_ONE
    assert bound.unit is Unit.RECORD


@pytest.mark.parametrize(("bound", "kind", "text"), KINDS)
def test_relation_and_unit_are_fields(bound, kind, text):
    assert dataclasses.replace(bound, unit="group").unit is Unit.GROUP
    with pytest.raises(ValueError, match="household"):
        dataclasses.replace(bound, unit="household")
    with pytest.raises(ValueError, match="neighbours"):
        dataclasses.replace(bound, relation="neighbours")
    if kind == "private":
        return
    with pytest.raises(ValueError, match="twice the bound"):
        dataclasses.replace(bound, relation="add-or-remove")


@pytest.mark.parametrize(
    ("l1", "l2", "n_votes", "expected"),
    [
        (2 / 3, math.sqrt(2) / 3, 3, (2.0, math.sqrt(2))),
        (2 / 49, math.sqrt(2) / 49, 49, (2.0, math.sqrt(2))),
        (0.05, 0.04, 50, (3.0, 2.0)),  # counts are integers: 2.5 is 3, and 4 is 4
        (2.0, math.sqrt(2.0), None, None),
    ],
)
def test_bounds_of_counts(l1, l2, n_votes, expected):
    assert RowBound(l1, l2, n_votes=n_votes).vote_bounds == expected


@pytest.mark.parametrize("n_votes", [0, -1, 2.0, True, "3"])
def test_votes_are_counted_by_an_integer(n_votes):
    with pytest.raises((TypeError, ValueError), match="n_votes"):
        RowBound(0.1, 0.1, n_votes=n_votes)


def test_a_regressor_in_words():
    (text,) = certify(Ridge().fit(X, Y), output_range=(-1.0, 3.0)).assumes
    assert "output_range" not in text  # estimators call it by names of their own
