"""refit: from one model of any kind to a certified teacher."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import skdistill
from skdistill import (
    NewtonClassifier,
    NewtonRegressor,
    PrivateDistiller,
    TeacherEnsemble,
    refit,
)
from skdistill.certificates import RowBound, certify, register

X, Y = make_classification(1200, n_features=4, n_redundant=0, class_sep=1.5, random_state=0)
X_PUBLIC = X[1000:]
X, Y = X[:1000], Y[:1000]


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        SVC(),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
        VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())]),
        KNeighborsClassifier(weights="distance"),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(make_column_transformer((Normalizer(), [0, 1, 2, 3])), LogisticRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("fitted", [False, True])
def test_any_model_gets_a_certificate(model, fitted):
    if fitted:
        model = sklearn.base.clone(model).fit(X, Y)
    teacher = refit(model, X, Y, classes=[0, 1], random_state=0)
    assert isinstance(teacher, TeacherEnsemble)
    assert type(teacher.estimator) is type(model)
    assert teacher.n_teachers_ == 12
    assert certify(teacher).l1 == pytest.approx(2 / 12)
    assert teacher.score(X, Y) > 0.85
    assert hasattr(model, "classes_") == fitted
    assert not hasattr(teacher.estimator, "classes_")  # the fitted model stays outside


def test_a_regressor():
    X, y = make_regression(1000, 4, noise=1, random_state=0)
    teacher = refit(RandomForestRegressor(5, random_state=0), X, y, n_teachers=7)
    assert certify(teacher, output_range=(-500, 500)).l1 == pytest.approx(1000 / 7)


@pytest.mark.parametrize(
    "teacher",
    [
        NewtonClassifier(classes=[0, 1]),
        KNeighborsClassifier(50),
        TeacherEnsemble(SVC(), 4, classes=[0, 1]),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("front", [False, True])
def test_a_teacher_with_a_proof_is_fitted_anew_as_it_is(teacher, front):
    model = make_pipeline(FrozenEstimator(StandardScaler().fit(X_PUBLIC)), teacher)
    found = refit(FrozenEstimator(model if front else teacher), X, Y, random_state=0)
    last = found[-1] if front else found
    assert type(last) is type(teacher)
    assert last is not teacher
    assert last.get_params().keys() == teacher.get_params().keys()
    assert certify(found).name != "worst case"
    ensemble = refit(teacher, X, Y, n_teachers=3, random_state=0)
    assert isinstance(ensemble, TeacherEnsemble)
    assert ensemble.n_teachers_ == 3
    assert not isinstance(ensemble.estimator, TeacherEnsemble)


def test_a_newton_regressor_and_groups():
    y = np.clip(X[:, 0], -3, 3)
    groups = np.arange(len(X)) // 2
    found = refit(NewtonRegressor((-3, 3)), X, y, groups)
    assert type(found) is NewtonRegressor
    assert found.group_level_
    # A proof for one record says nothing of a group: an ensemble takes its place.
    found = refit(KNeighborsClassifier(50), X, Y, groups)
    assert type(found) is TeacherEnsemble
    assert found.group_level_
    assert certify(found).unit == "group"
    found = refit(make_pipeline(Normalizer(), SVC()), X, Y, groups)
    assert found[-1].group_level_


def test_public_steps_stay_in_front_and_others_go_into_every_shard():
    scaler = FrozenEstimator(StandardScaler().fit(X_PUBLIC))
    model = make_pipeline("passthrough", Normalizer(), scaler, StandardScaler(), SVC())
    found = refit(model.fit(X, Y), X, Y, n_teachers=5, random_state=0)
    assert [name for name, _ in found.steps] == ["normalizer", "frozenestimator", "teacher"]
    assert [name for name, _ in found[-1].estimator.steps] == ["standardscaler", "svc"]
    bound = certify(found)
    assert bound.name == "disjoint teachers"
    assert any("frozenestimator" in each for each in bound.assumes)
    means = [member[0].mean_[0] for member in found[-1].estimators_]
    assert len(set(means)) == 5  # each of its own shard
    assert found.score(X, Y) > 0.8


def test_a_pipeline_in_a_pipeline():
    inner = make_pipeline(FunctionTransformer(np.tanh), NewtonClassifier(classes=[0, 1]))
    found = refit(make_pipeline(Normalizer(), inner), X, Y)
    assert type(found[-1][-1]) is NewtonClassifier
    assert certify(found).kind == "gradients"


def test_a_selector_that_looks_at_rows_is_no_public_step():
    columns = make_column_transformer((StandardScaler(), lambda X: [0, 1]))
    found = refit(make_pipeline(columns, LogisticRegression()), X, Y, n_teachers=4)
    assert isinstance(found, TeacherEnsemble)


def test_frozen_parts_of_members_are_an_assumption():
    frozen = FrozenEstimator(StandardScaler().fit(X))
    found = refit(make_pipeline(StandardScaler(), frozen, SVC()), X, Y, n_teachers=4)
    assert isinstance(found, TeacherEnsemble)
    (text,) = (each for each in certify(found).assumes if "frozen" in each)
    assert "fitted without the private data" in text and "keep nothing of the rows" in text
    plain = refit(SVC(), X, Y, n_teachers=4)
    assert not any("frozen" in each for each in certify(plain).assumes)


def test_frames_of_texts():
    frame = pd.DataFrame({"town": ["Oslo", "Lom"] * 500, "age": X[:, 0]})
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"])),
        LogisticRegression(),
    )
    labels = np.array(["no", "yes"] * 500)
    found = refit(model.fit(frame, labels), frame, labels, classes=["no", "yes"])
    assert found.score(frame, labels) == 1.0


def test_nothing_of_the_fitted_teacher_and_of_other_shards_reaches_a_member():
    """One record is replaced, and the teacher that was fitted before is another one."""

    def members(first, X, y):
        teacher = DecisionTreeClassifier(max_depth=3, random_state=0).fit(*first)
        found = refit(teacher, X, y, n_teachers=10, classes=[0, 1], random_state=0)
        return [pickle.dumps(each) for each in found.estimators_]

    X_other, y_other = X.copy(), Y.copy()
    X_other[17], y_other[17] = 1e6, 1 - Y[17]
    a, b = members((X, Y), X, Y), members((X_other, 1 - Y), X_other, y_other)
    assert sum(one != other for one, other in zip(a, b, strict=True)) == 1


def test_a_teacher_with_a_registered_proof():
    class Constant(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    assert isinstance(refit(Constant(), X, Y, n_teachers="auto"), TeacherEnsemble)
    register(Constant)(lambda teacher: RowBound(1e-9, 1e-9))
    assert type(refit(Constant(), X, Y)) is Constant


def test_refusals():
    with pytest.raises(TypeError, match="KMeans is neither"):
        refit(KMeans(2), X, Y)
    with pytest.raises(TypeError, match="SVC"):
        refit(SVC, X, Y)
    student = PrivateDistiller(LogisticRegression().fit(X, Y), epsilon=float("inf")).fit(X_PUBLIC)
    with pytest.raises(ValueError, match="private already"):
        refit(student, X, Y)
    with pytest.raises(ValueError, match="inconsistent"):
        refit(SVC(), X, Y[:5])


@pytest.mark.slow
def test_the_way_out_is_one():
    """The same forest: noise by itself, a student once refitted."""
    X, y = make_classification(14_000, n_features=6, class_sep=1.5, random_state=1)
    private, public = slice(0, 12_000), slice(12_000, None)
    forest = RandomForestClassifier(10, max_depth=4, random_state=0).fit(X[private], y[private])
    with pytest.warns(UserWarning, match="mostly noise"):
        PrivateDistiller(forest, epsilon=1.0).fit(X[public])
    teacher = skdistill.refit(forest, X[private], y[private], classes=[0, 1], random_state=0)
    student = PrivateDistiller(teacher, epsilon=1.0).fit(X[public])
    scores = student.predict_proba(X[public])[:, 1]
    assert (
        roc_auc_score(y[public], scores) > 0.9
    )  # .986 to .992 in 10 releases; the forest has .994


def test_networks_too():
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, X):
            return torch.softmax(self.layer(X), dim=-1)

    net = skorch.NeuralNetClassifier(Net, max_epochs=5, lr=0.3, verbose=0)
    found = refit(net, X.astype(np.float32), Y, n_teachers=3, classes=[0, 1])
    assert found.score(X.astype(np.float32), Y) > 0.8
