"""The hook, with estimators that need neither Keras nor PyTorch."""

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skdistill import PrivateDistiller, TeacherEnsemble
from skdistill.neural import (
    NetworkClassifier,
    NetworkRegressor,
    adapted,
    clone_network,
    fresh,
    takes_soft_labels,
)
from skdistill.neural.backends import backend_of
from skdistill.students.soft_targets import fit_on_soft_labels, how_to_train

X = np.random.default_rng(0).normal(size=(90, 3))
CLASSES = np.array(["a", "b", "c"])
NOISY = np.eye(3)[np.arange(90) % 3] + np.random.default_rng(1).normal(0, 2, (90, 3))


class Soft(ClassifierMixin, BaseEstimator):
    """Predicts the mean soft label, and remembers its arguments."""

    def fit_soft(self, X, Y, classes, sample_weight=None, **others):
        self.X_, self.Y_, self.classes_, self.others_ = X, Y, classes, others
        self.weight_ = sample_weight
        return self

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("the hook is there to be used instead")

    def predict_proba(self, X):
        return np.tile(self.Y_.mean(axis=0), (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Signed(Soft):
    signed_soft_labels = True


def test_a_network_library_is_not_imported():
    assert backend_of(LogisticRegression()) is None
    assert adapted(model := SVC()) is model
    assert adapted(pipe := make_pipeline(StandardScaler(), SVC())) is pipe
    with pytest.raises(TypeError, match="must be a Keras wrapper"):
        NetworkClassifier(SVC()).fit(X, CLASSES[np.arange(90) % 3])
    with pytest.raises(TypeError, match="must be a Keras wrapper"):
        NetworkRegressor(Ridge()).fit(X, X[:, 0])


def test_a_fresh_copy_is_a_clone():
    fitted = LogisticRegression(C=3).fit(X, CLASSES[np.arange(90) % 3])
    twin = fresh(fitted)
    assert twin.C == 3
    assert not hasattr(twin, "coef_")
    assert hasattr(fitted, "coef_")


def test_the_hook_is_found():
    assert takes_soft_labels(Soft())
    assert not takes_soft_labels(LogisticRegression())
    for student in (Soft(), make_pipeline(StandardScaler(), Soft())):
        assert how_to_train(student) == "fit_soft"


def test_labels_come_projected_unless_signed_ones_are_asked_for():
    student = fit_on_soft_labels(Soft(), X, NOISY, CLASSES, {})
    assert (student.Y_ >= 0).all()
    assert np.allclose(student.Y_.sum(axis=1), 1)
    student = fit_on_soft_labels(Signed(), X, NOISY, CLASSES, {})
    assert (student.Y_ < 0).any()
    assert np.allclose(student.Y_.sum(axis=1), 1)
    assert np.array_equal(student.classes_, CLASSES)
    differences = NOISY - NOISY[:, :1]
    assert np.allclose(student.Y_ - student.Y_[:, :1], differences)  # nothing else was changed


def test_in_a_pipeline():
    """Earlier steps are fitted, also those that look at labels; the given object stays as it is."""
    pipeline = make_pipeline(StandardScaler(), SelectKBest(f_classif, k=2), Soft())
    fitted = fit_on_soft_labels(pipeline, X, NOISY, CLASSES, {"soft__sample_weight": X[:, 0]})
    assert fitted[-1].X_.shape == (90, 2)
    assert np.allclose(fitted[-1].X_, fitted[:-1].transform(X))
    assert np.array_equal(fitted[-1].weight_, X[:, 0])
    assert not hasattr(pipeline[-1], "Y_")
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), Soft()))
    assert fit_on_soft_labels(nested, X, NOISY, CLASSES, {})[-1][-1].Y_.shape == (90, 3)
    assert clone(fitted).get_params().keys() == pipeline.get_params().keys()


def test_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        last = Soft().set_fit_request(sample_weight=True)
        teacher = LogisticRegression().fit(X, np.arange(90) % 3)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        for student in (last, make_pipeline(scaler, last)):
            distiller = PrivateDistiller(teacher, student, epsilon=float("inf"))
            distiller.fit(X, sample_weight=X[:, 0])
            found = distiller.student_
            found = found[-1] if hasattr(found, "steps") else found
            assert np.array_equal(found.weight_, X[:, 0])


def test_through_the_distiller():
    teacher = LogisticRegression().fit(X, CLASSES[np.arange(90) % 3])
    distiller = PrivateDistiller(teacher, Soft(), epsilon=float("inf")).fit(X, colour="red")
    assert distiller.student_.others_ == {"colour": "red"}
    assert np.allclose(distiller.student_.Y_, distiller.released_labels_)
    assert np.allclose(distiller.predict_proba(X[:2]), distiller.released_labels_.mean(axis=0))


def test_members_of_an_ensemble():
    y = np.arange(90) % 2  # "c" has no record
    ensemble = TeacherEnsemble(Soft(), 5, classes=CLASSES, random_state=0).fit(X, CLASSES[y])
    for member in ensemble.estimators_:
        assert member.Y_.shape[1] == 3
        assert np.isin(member.Y_, [0.0, 1.0]).all()
    assert np.allclose(ensemble.predict_proba(X[:1])[0, 2], 0)


def test_clones_of_anything():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]})
    assert clone_network(search).estimator.alpha == 1.0
    assert clone_network("auto") == "auto"
    assert clone_network(None) is None


class Backwards(Soft):
    """Keeps its classes in an order of its own, as scikit-learn's estimators do."""

    def fit_soft(self, X, Y, classes):
        order = np.argsort(classes)[::-1]
        return super().fit_soft(X, Y[:, order], classes[order])


class Forgetful(Soft):
    def fit_soft(self, X, Y, classes):
        super().fit_soft(X, Y, classes)  # and returns nothing


class Unsorted(ClassifierMixin, BaseEstimator):
    """A teacher whose columns are in no alphabetical order."""

    def fit(self, X=None, y=None):
        self.classes_ = np.array(["b", "c", "a"])
        return self

    def predict_proba(self, X):
        return np.tile([0.7, 0.2, 0.1], (len(X), 1))


@pytest.mark.parametrize("student", [Soft(), Backwards(), Forgetful(), Signed()])
@pytest.mark.parametrize("scaled", [False, True])
def test_each_column_belongs_to_its_class(student, scaled):
    """Teacher and student may keep the classes in different orders."""
    if scaled:
        student = make_pipeline(StandardScaler(), student)
    distiller = PrivateDistiller(Unsorted().fit(), student, epsilon=float("inf")).fit(X)
    shown = dict(zip(distiller.classes_, distiller.predict_proba(X[:1])[0], strict=True))
    assert shown == pytest.approx({"a": 0.1, "b": 0.7, "c": 0.2}, abs=1e-5)
    assert distiller.predict(X[:1]) == ["b"]


@pytest.mark.parametrize("signed", [False, True])
def test_what_a_private_release_hands_over(signed):
    """At this noise nearly every row leaves the simplex; its sum does not change."""
    teacher = LogisticRegression().fit(X, CLASSES[np.arange(90) % 3])
    student = make_pipeline(StandardScaler(), Signed() if signed else Soft())
    with pytest.warns(UserWarning, match="mostly noise"):
        distiller = PrivateDistiller(teacher, student, epsilon=1.0, threshold=None).fit(X)
    Y = distiller.student_[-1].Y_
    assert Y.shape == (90, 3)
    assert np.allclose(Y.sum(axis=1), 1)
    assert (Y < 0).any() == signed
    assert (Y.argmax(axis=1) == distiller.released_labels_.argmax(axis=1)).all()


class Shrunken(Signed):
    """A linear model of soft labels with a setting worth searching."""

    def __init__(self, amount=0.0):
        self.amount = amount

    def predict_proba(self, X):
        mean = self.Y_.mean(axis=0)
        return np.tile((1 - self.amount) * mean + self.amount / len(mean), (len(X), 1))


def test_in_a_search():
    """Settings of the student are searched around the distiller."""
    y = CLASSES[np.minimum(np.arange(90) % 5, 2)]
    teacher = LogisticRegression().fit(X, y)
    for student, name in (
        (Shrunken(), "student__amount"),
        (make_pipeline(StandardScaler(), Shrunken()), "student__shrunken__amount"),
    ):
        distiller = PrivateDistiller(teacher, student, epsilon=float("inf"), threshold=None)
        search = GridSearchCV(
            distiller, {name: [1.0, 0.0]}, scoring="neg_log_loss", error_score="raise"
        )
        search.fit(X, y)
        assert search.best_params_ == {name: 0.0}
        found = search.best_estimator_.student_
        assert (found[-1] if hasattr(found, "steps") else found).Y_.shape == (90, 3)


class Regressor(RegressorMixin, Soft):
    """Has both; values are for `fit`, soft labels for the hook."""

    def fit(self, X, y):
        self.mean_ = y.mean(axis=0)
        return self

    def predict(self, X):
        mean = self.mean_ if hasattr(self, "mean_") else self.Y_.mean(axis=0)
        return np.full((len(X), *np.shape(mean)), mean)


def test_a_regressor_with_the_hook():
    teacher = Ridge().fit(X, X[:, 0])
    distiller = PrivateDistiller(
        teacher, Regressor(), epsilon=float("inf"), output_range=(-9, 9)
    ).fit(X)
    assert distiller.predict(X[:2]) == pytest.approx(distiller.released_labels_.mean())
    assert not hasattr(distiller.student_, "Y_")
    distiller = PrivateDistiller(Unsorted().fit(), Regressor(), epsilon=float("inf")).fit(X)
    assert hasattr(distiller.student_, "Y_")
    assert distiller.predict_proba(X[:1])[0] == pytest.approx([0.7, 0.2, 0.1], abs=1e-5)
