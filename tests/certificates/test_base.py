import dataclasses
import math

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from skdistill import PrivateDistiller
from skdistill.certificates import AlreadyPrivate, ParameterBall, RowBound, certify, register
from skdistill.certificates.public_maps import is_public_map

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


@pytest.mark.parametrize(
    ("step", "public"),
    [
        ("passthrough", True),
        (None, True),
        (Normalizer(), True),
        (FunctionTransformer(np.log1p), True),
        (FrozenEstimator(StandardScaler().fit(X)), True),
        (make_pipeline(Normalizer(), FrozenEstimator(PCA(2).fit(X))), True),
        (FeatureUnion([("a", Normalizer()), ("b", "passthrough")]), True),
        (make_column_transformer((Normalizer(), [0]), remainder="passthrough"), True),
        (StandardScaler(), False),
        (make_pipeline(Normalizer(), PCA(2)), False),
        (FeatureUnion([("a", Normalizer()), ("b", PCA(1))]), False),
        (make_column_transformer((OneHotEncoder(), [0])), False),
        (make_column_transformer((Normalizer(), [0]), remainder=StandardScaler()), False),
        (object(), False),
    ],
)
def test_public_maps(step, public):
    assert is_public_map(step) is public


def test_a_pipelines_frozen_steps_are_listed_as_assumptions():
    scaler = FrozenEstimator(StandardScaler().fit(X))
    bound = certify(make_pipeline(scaler, KNeighborsClassifier(5)).fit(X, Y))
    assert any("frozenestimator" in text and "private data" in text for text in bound.assumes)
    assert certify(make_pipeline(KNeighborsClassifier(5)).fit(X, Y)).assumes == ()


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
        assert not isinstance(certify(teacher), AlreadyPrivate)
        certified += 1
    assert certified > 25


class Claims(LogisticRegression):
    pass


@pytest.mark.parametrize("private", [True, False])
def test_a_privacy_statement_is_a_claim_if_it_says_private(private):
    teacher = Claims().fit(X, Y)
    teacher.privacy_ = PrivateDistiller(LogisticRegression().fit(X, Y), epsilon=2.0).preview(X)
    teacher.privacy_ = dataclasses.replace(teacher.privacy_, private=private)
    bound = certify(teacher)
    if private:
        assert isinstance(bound, AlreadyPrivate)
        assert (bound.epsilon, bound.delta) == (2.0, 1e-6)
    else:
        assert bound.name == "worst case"


def test_a_diffprivlib_model_is_post_processing():
    try:
        from diffprivlib import models
    except ImportError:
        pytest.skip("diffprivlib's models do not import on this scikit-learn")
    teacher = models.GaussianNB(epsilon=0.5, bounds=(X.min(axis=0), X.max(axis=0))).fit(X, Y)
    bound = certify(teacher)
    assert isinstance(bound, AlreadyPrivate)
    assert bound.epsilon == 0.5


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_bounds_must_be_positive_and_finite(value):
    with pytest.raises(ValueError, match="positive"):
        RowBound(value, 0.1)
    with pytest.raises(ValueError, match="positive"):
        ParameterBall(value, lambda: X, lambda X: X, lambda s: s)


@pytest.mark.parametrize("value", [True, "1", None])
def test_bounds_must_be_numbers(value):
    with pytest.raises(TypeError, match="must be a number"):
        RowBound(value, 0.1)


def test_swapped_norms_are_noticed():
    with pytest.raises(ValueError, match="swap"):
        RowBound(0.1, 0.2)


@pytest.mark.parametrize("delta", [-0.1, 1.0])
def test_already_private_needs_a_delta(delta):
    with pytest.raises(ValueError, match="delta"):
        AlreadyPrivate(1.0, delta)
