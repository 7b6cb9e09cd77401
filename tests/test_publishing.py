"""A student to publish: the same predictions, no teacher, and a file that runs no code."""

import copy
import functools
import pickle

import numpy as np
import pytest
from published_cases import CANARY, IRIS, NAMES, SPECIES, STUDENTS, TEACHER, Secretive, distilled
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill import (
    NewtonClassifier,
    PrivateDistiller,
    TeacherEnsemble,
)
from skdistill.accounting import BudgetAccountant
from skdistill.publishing import (
    refuse_private_parts,
    refuse_private_settings,
    save,
)
from skdistill.publishing.private_parts import _reachable

pytestmark = pytest.mark.filterwarnings("ignore:The released labels are mostly noise")


@pytest.mark.parametrize("student", STUDENTS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("threshold", ["prior", None])
def test_the_export_predicts_what_the_distiller_predicts(student, threshold):
    distiller = distilled(student, threshold=threshold)
    plain = distiller.export().estimator
    assert is_classifier(plain)
    assert np.array_equal(plain.classes_, distiller.classes_)
    assert np.array_equal(plain.predict(IRIS), distiller.predict(IRIS))
    assert plain.score(IRIS, NAMES) == distiller.score(IRIS, NAMES)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert hasattr(plain, method) == hasattr(distiller, method), method
        if hasattr(plain, method):
            assert np.array_equal(getattr(plain, method)(IRIS), getattr(distiller, method)(IRIS))
            assert np.array_equal(
                getattr(distiller.export(), method)(IRIS), getattr(distiller, method)(IRIS)
            )


def test_a_published_student_predicts():
    distiller = distilled()
    published = distiller.export()
    assert np.array_equal(published.predict(IRIS), distiller.predict(IRIS))
    assert published.classes_.tolist() == distiller.classes_.tolist()
    assert published.n_features_in_ == 4
    assert not hasattr(published, "feature_names_in_")
    assert not hasattr(published, "fit")
    assert np.array_equal(copy.deepcopy(published).predict(IRIS), distiller.predict(IRIS))


def test_a_cut_of_ones_own():
    distiller = distilled(labels=SPECIES > 0, threshold=0.3)
    assert np.array_equal(distiller.export().estimator.predict(IRIS), distiller.predict(IRIS))


def test_a_regressor_is_exported_too():
    teacher = Ridge().fit(IRIS[:, 1:], IRIS[:, 0])
    distiller = PrivateDistiller(teacher, epsilon=50, output_range=(4, 8)).fit(IRIS[:, 1:])
    published = distiller.export()
    assert published.estimator.student is distiller.student_
    assert is_regressor(published.estimator)
    assert not hasattr(published, "predict_proba")
    assert not hasattr(published, "classes_")
    assert published.score(IRIS[:, 1:], IRIS[:, 0]) == distiller.score(IRIS[:, 1:], IRIS[:, 0])
    assert published.statement is distiller.privacy_
    assert np.array_equal(published.estimator.predict(IRIS[:, 1:]), distiller.predict(IRIS[:, 1:]))


def test_an_export_is_an_ordinary_estimator():
    plain = distilled().export().estimator
    assert clone(plain) is plain
    assert plain.fit(IRIS[:1], NAMES[:1]) is plain
    assert np.isfinite(cross_val_score(plain, IRIS, NAMES, cv=2)).all()
    assert pickle.loads(pickle.dumps(plain)).predict(IRIS).shape == (150,)
    with pytest.raises(ValueError, match="2 features"):
        plain.predict(IRIS[:, :2])


def test_names_of_columns_are_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    teacher = LogisticRegression(max_iter=500).fit(frame, NAMES)
    plain = PrivateDistiller(teacher, epsilon=2.0).fit(frame).export().estimator
    assert plain.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        plain.predict(frame[list("dcba")])


def test_nothing_private_goes_along():
    accountant = BudgetAccountant()
    teacher = Secretive(max_iter=500).fit(IRIS, NAMES)
    distiller = PrivateDistiller(teacher, accountant=accountant, epsilon=2.0).fit(IRIS)
    published = distiller.export()
    forbidden = {id(each) for each in (teacher, accountant, distiller, teacher.secret_)}
    assert not any(id(each) in forbidden for each in _reachable(published))
    assert CANARY.encode() not in pickle.dumps(published)
    # The search would find it.
    assert any(each is teacher for each in _reachable([{"deep": (FrozenEstimator(teacher),)}]))


@pytest.mark.parametrize("inside", ["whole", "step", "member"])
def test_a_student_that_holds_the_teacher_is_not_exported(inside):
    scaler = StandardScaler().fit(IRIS)
    if inside == "whole":
        teacher = part = NewtonClassifier().fit(IRIS, NAMES)
    elif inside == "step":
        teacher = make_pipeline(scaler, LogisticRegression()).fit(IRIS, NAMES)
        part = teacher[0]
    else:
        member = make_pipeline(StandardScaler(), LogisticRegression())
        teacher = TeacherEnsemble(member, 3, classes=np.unique(NAMES)).fit(IRIS, NAMES)
        part = teacher.estimators_[1][0]
    frozen = FrozenEstimator(part)
    if inside == "whole":
        frozen = FunctionTransformer(frozen.decision_function)  # a method of the teacher
    student = make_pipeline(frozen, LogisticRegression())
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        PrivateDistiller(teacher, student, epsilon=2.0).fit(IRIS).export()


FOREST = RandomForestClassifier(3, random_state=0).fit(IRIS, NAMES)


def scores_of(A, part=None):
    return A


HOLDERS = {
    "method": lambda: FunctionTransformer(TEACHER.decision_function),
    "partial": lambda: FunctionTransformer(functools.partial(TEACHER.decision_function)),
    "array": lambda: FunctionTransformer(scores_of, kw_args={"part": TEACHER.coef_}),
    "array of objects": lambda: FunctionTransformer(
        scores_of, kw_args={"part": np.array([TEACHER, None])}
    ),
    "array in a list": lambda: FunctionTransformer(
        scores_of, kw_args={"part": [{"a": (TEACHER.coef_,)}]}
    ),
    "view": lambda: FunctionTransformer(scores_of, kw_args={"part": TEACHER.coef_.view()}),
    "tree": lambda: FunctionTransformer(scores_of, kw_args={"part": FOREST.estimators_[1].tree_}),
    "frozen": lambda: FrozenEstimator(FOREST),
}


@pytest.mark.parametrize("refuse", [refuse_private_parts, refuse_private_settings])
@pytest.mark.parametrize("name", HOLDERS)
def test_what_holds_a_part_of_the_teacher(name, refuse):
    teacher = FOREST if name in ("tree", "frozen") else TEACHER
    student = make_pipeline(HOLDERS[name](), LogisticRegression())
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        refuse(student, FrozenEstimator(teacher))
    refuse(student, Ridge().fit(IRIS[:, 1:], IRIS[:, 0]))
    refuse(student, None)


@pytest.mark.parametrize("name", ["array", "tree", "array in a list"])
def test_a_guess_of_what_the_teacher_learned_is_neither_confirmed_nor_denied(name):
    """No private value decides whether a fit or an export raises: contents are not compared."""
    teacher = FOREST if name == "tree" else TEACHER
    right = make_pipeline(copy.deepcopy(HOLDERS[name]()), LogisticRegression(max_iter=500))
    for student in (right, make_pipeline(FrozenEstimator(copy.deepcopy(teacher)), right)):
        refuse_private_settings(student, teacher)
        refuse_private_parts(student, teacher)
    assert PrivateDistiller(teacher, right, epsilon=50.0).fit(IRIS).export()


class KeepsNoParameter(ClassifierMixin, BaseEstimator):
    """Of someone who does not follow scikit-learn's rules: get_params raises."""

    def __init__(self, names):
        self.classes_ = np.array(names)

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_a_teacher_whose_get_params_raises_is_a_teacher_too():
    teacher = KeepsNoParameter([0, 1])
    with pytest.raises(AttributeError):
        teacher.get_params()
    refuse_private_settings(LogisticRegression(), teacher)
    with pytest.raises(ValueError, match="holds the teacher"):
        refuse_private_settings(make_pipeline(FrozenEstimator(teacher), Ridge()), teacher)


def test_a_prototype_may_be_the_teacher_itself():
    refuse_private_settings(TEACHER, TEACHER)
    refuse_private_settings(make_pipeline(StandardScaler(), TEACHER), TEACHER)
    with pytest.raises(ValueError, match="holds the teacher"):
        refuse_private_parts(make_pipeline(StandardScaler(), TEACHER), TEACHER)


class Rule(ClassifierMixin, BaseEstimator):
    """A teacher that learned a number, and no array."""

    def fit(self, X, y):
        self.cut_ = float(np.median(X))
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0] > self.cut_


def test_a_teacher_without_arrays_is_known_by_itself():
    rule = Rule().fit(IRIS, NAMES)
    for teacher in (rule, make_pipeline(StandardScaler(), rule)):
        student = make_pipeline(FunctionTransformer(rule.predict), LogisticRegression())
        with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
            refuse_private_parts(student, teacher)


def test_equal_settings_are_no_parts():
    """Objects given to teacher and student alike are public; so are those without values."""
    prior = np.array([0.2, 0.3, 0.5])
    teacher = GaussianNB(priors=prior).fit(IRIS, NAMES)
    assert np.array_equal(teacher.class_prior_, prior)
    refuse_private_parts(GaussianNB(priors=prior.copy()), teacher)
    refuse_private_parts(GaussianNB(priors=prior), teacher)
    refuse_private_parts(GaussianNB(priors=prior.copy()), GaussianNB(priors=prior).fit(IRIS, NAMES))
    zero = FunctionTransformer(scores_of, kw_args={"part": np.zeros(2)})
    teacher = PrivateDistiller(TEACHER, Ridge(fit_intercept=False), epsilon=2.0)
    refuse_private_parts(zero, Ridge(fit_intercept=False).fit(np.zeros((9, 2)), np.ones(9)))
    # The same rows, learned from by both: the student was not given anything.
    refuse_private_parts(StandardScaler().fit(IRIS), StandardScaler().fit(IRIS))


def test_no_array_of_the_teacher_and_no_label_without_noise_goes_along():
    teacher = make_pipeline(StandardScaler(), Secretive(max_iter=500)).fit(IRIS[:90], NAMES[:90])
    public = IRIS[90:] + 0.01
    published = PrivateDistiller(teacher, epsilon=2.0).fit(public).export()
    learned = [teacher.predict_proba(public), teacher.predict(public), IRIS[:90]]
    learned += [each for each in _reachable(teacher) if isinstance(each, np.ndarray)]
    learned = [each for each in learned if each.dtype.kind == "f" and np.ptp(each) > 0]
    assert len(learned) >= 5  # coefficients, intercept, means, scales, rows, probabilities
    kept = [each for each in _reachable(published) if isinstance(each, np.ndarray)]
    assert any(each.shape == (2, 4) or each.shape == (1, 4) for each in kept)
    for mine in kept:
        for theirs in learned:
            assert mine.shape != theirs.shape or not np.allclose(mine, theirs)
    blob = pickle.dumps(published)
    for each in learned:
        for order in "CF":
            assert each.tobytes(order) not in blob


def test_a_teacher_that_got_into_the_student_after_the_fit_is_not_exported(tmp_path):
    distiller = distilled()
    distiller.student_ = make_pipeline(FrozenEstimator(distiller.teacher), distiller.student_)
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        distiller.export()
    with pytest.raises(ValueError, match="holds the teacher, or a part of it"):
        save(distiller, tmp_path / "x")


def test_a_public_step_may_be_shared():
    public = FrozenEstimator(StandardScaler().fit(IRIS))
    teacher = make_pipeline(public, LogisticRegression()).fit(IRIS, NAMES)
    student = make_pipeline(public, LogisticRegression(max_iter=500))  # noise: 60 steps and more
    assert PrivateDistiller(teacher, student, epsilon=2.0).fit(IRIS).export()
    columns = make_column_transformer((public, slice(0, 4)), (StandardScaler(), [0]))
    teacher = make_pipeline(columns, LogisticRegression()).fit(IRIS, NAMES)
    assert PrivateDistiller(teacher, student, epsilon=2.0).fit(IRIS).export()


def test_a_distiller_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        PrivateDistiller(LogisticRegression(max_iter=500).fit(IRIS, NAMES)).export()


def test_a_distiller_that_was_pickled_exports_too():
    distiller = distilled()
    twin = pickle.loads(pickle.dumps(distiller))
    assert np.array_equal(twin.export().estimator.predict(IRIS), distiller.predict(IRIS))
