"""Gradient rounds from the teacher to the student: prices, replay, students, pipelines."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bounded_means import BoundedMeans
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdistill import (
    GradientRounds,
    NewtonClassifier,
    NewtonRegressor,
    PrivacyLedger,
    PrivateDistiller,
    PrivateRegressor,
    ResidualRounds,
    Schema,
    TableFeatures,
)
from skdistill.accounting import BudgetAccountant, PrivacyLoss
from skdistill.certificates import certify
from skdistill.release.gradient_rounds import LinearRelease
from skdistill.testing import ReplayAuditError, replay_audit

X, Y = make_classification(12_000, n_features=8, random_state=0)
PRIVATE, LABELS, PUBLIC, TRUTH = X[:9000], Y[:9000], X[9000:], Y[9000:]
TEACHER = NewtonClassifier(classes=[0, 1]).fit(PRIVATE, LABELS)


def mechanism(data, teacher=None, public=PUBLIC[:300], **options):
    teacher = teacher or NewtonClassifier(classes=[0, 1])
    release = PrivateDistiller(teacher.fit(*data), **options).calibrate(public)
    return release.queries(None, release.prepare())


def neighbour(row, label):
    X, y = PRIVATE[:2000].copy(), LABELS[:2000].copy()
    X[7], y[7] = row, label
    return X, y


def test_the_student_is_the_released_model_and_nearly_as_good_as_the_teacher():
    student = PrivateDistiller(TEACHER, epsilon=1.0).fit(PUBLIC)
    assert type(student.student_) is LogisticRegression
    np.testing.assert_allclose(student.predict_proba(PUBLIC), student.released_labels_)
    assert not np.array_equal(student.student_.coef_, TEACHER.coef_)
    # 9,000 records at ε=1: the noise costs less than a point; five is far outside.
    assert student.score(PUBLIC, TRUTH) > TEACHER.score(PUBLIC, TRUTH) - 0.05
    assert "gradient rounds" in student.privacy_.mechanism
    assert student.privacy_.certificate["name"] == "clipped gradients"
    np.testing.assert_array_equal(
        student.export().estimator.predict(PUBLIC), student.predict(PUBLIC)
    )


@pytest.mark.parametrize("student", [RandomForestClassifier(20, random_state=0), Ridge()])
def test_another_student_learns_from_its_labels(student):
    distiller = PrivateDistiller(TEACHER, student, epsilon=4.0).fit(PUBLIC)
    assert type(distiller.student_) is type(student)
    assert distiller.score(PUBLIC, TRUTH) > 0.8


def test_the_whole_price_is_spent_once_and_first():
    accountant = BudgetAccountant()
    PrivateDistiller(TEACHER, epsilon=1.5, delta=1e-6, accountant=accountant).fit(PUBLIC)
    assert accountant.total() == (1.5, 1e-6)
    with pytest.raises(Exception, match="budget"):
        PrivateDistiller(TEACHER, accountant=BudgetAccountant(0.5, 0.1)).fit(PUBLIC)


def test_pure_privacy_takes_laplace_noise():
    student = PrivateDistiller(TEACHER, epsilon=20.0, delta=0.0).fit(PUBLIC)
    assert (student.privacy_.delta, student.privacy_.mu) == (0.0, None)
    assert student.score(PUBLIC, TRUTH) > 0.8


def test_one_release_serves_every_fold_where_the_teacher_has_public_rows():
    ledger = PrivacyLedger.create(":memory:", epsilon=1.01, delta=1e-6)
    teacher = NewtonClassifier(classes=[0, 1], curvature=PUBLIC[:500]).fit(PRIVATE, LABELS)
    distiller = PrivateDistiller(teacher, LogisticRegression(), epsilon=1.0, accountant=ledger)
    search = GridSearchCV(distiller, {"student__C": [0.1, 1.0]}, cv=3).fit(PUBLIC, TRUTH)
    assert len(ledger) == 1
    again = PrivateDistiller(teacher, epsilon=1.0, accountant=ledger).fit(PUBLIC[:100])
    assert len(ledger) == 1
    both = again.student_.predict_proba(PUBLIC[:50])
    np.testing.assert_allclose(both, search.best_estimator_.released_labels_[:50])


def test_without_them_other_rows_are_another_release():
    ledger = PrivacyLedger.create(":memory:", epsilon=3.0, delta=1e-6)
    first, same, other = (
        PrivateDistiller(TEACHER, epsilon=1.0, accountant=ledger).release(rows)
        for rows in (PUBLIC, PUBLIC, PUBLIC[:1000])
    )
    assert len(ledger) == 2
    np.testing.assert_array_equal(first, same)
    assert other.shape == (1000, 2)


def test_a_pipeline_of_public_steps_keeps_its_features_in_the_student():
    scaler = StandardScaler().fit(PUBLIC)
    teacher = make_pipeline(FrozenEstimator(scaler), NewtonClassifier(classes=["a", "b"]))
    teacher.fit(PRIVATE, np.where(LABELS == 1, "b", "a"))
    student = PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC)
    assert student.score(PUBLIC, np.where(TRUTH == 1, "b", "a")) > 0.8
    np.testing.assert_allclose(student.predict_proba(PUBLIC), student.released_labels_)
    leaky = make_pipeline(StandardScaler(), NewtonClassifier(classes=[0, 1])).fit(PRIVATE, LABELS)
    assert certify(leaky).name == "worst case"


@pytest.mark.parametrize("regression", [False, True])
def test_without_noise_the_default_student_learns_from_the_same_features(regression):
    """A baseline with epsilon=inf takes the frames that a release takes."""
    table = pd.DataFrame({"x": PRIVATE[:, 0].round(), "c": np.where(LABELS, "u", "v")})
    schema = Schema({"x": (-9, 9), "c": ["u", "v"]})
    model = NewtonRegressor((-9, 9)) if regression else NewtonClassifier(["a", "b"])
    y = table["x"] + 3 * LABELS if regression else np.where(LABELS, "b", "a")
    front = FrozenEstimator(TableFeatures(schema).fit(table))
    teacher = make_pipeline(front, model).fit(table[:6000], y[:6000])
    X = table[6000:]
    baseline = PrivateDistiller(teacher, epsilon=np.inf).fit(X)
    release = PrivateDistiller(teacher, epsilon=100.0).fit(X)
    assert list(baseline.student_.named_steps)[0] == list(release.student_.named_steps)[0]
    assert baseline.score(X, y[6000:]) > 0.9
    assert baseline.score(X, y[6000:]) == pytest.approx(teacher.score(X, y[6000:]), abs=0.05)
    assert not baseline.privacy_.private
    with pytest.raises(ValueError, match="not numbers"):  # earlier steps learned: no released model
        leaky = make_pipeline(OneHotEncoder(), model).fit(table, y)
        PrivateDistiller(leaky, epsilon=np.inf).fit(X)


@pytest.mark.parametrize("kept_apart", [False, True])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_a_column_that_drowns_the_others_warns(container, kept_apart):
    """Public rows alone decide: those that give the curvature."""
    scales = np.r_[1.0, 30_000, np.ones(5), 0.0]
    public = container(PUBLIC * scales)
    model = NewtonClassifier([0, 1], curvature=public if kept_apart else None)
    teacher = model.fit(PRIVATE * scales, LABELS)
    with pytest.warns(UserWarning, match="Column 1 of the features .* Standardise them by public"):
        PrivateDistiller(teacher, epsilon=1.0).fit(public)


@pytest.mark.parametrize("scales", [[1, 30, 1, 1], [1, 1e-9, 1, 0], [0, 0, 0, 7], [0] * 4])
def test_other_scales_do_not_warn(scales):
    """Rare indicators are small columns, and columns of one value say nothing."""
    teacher = NewtonClassifier([0, 1]).fit(PRIVATE[:, :4] * scales, LABELS)
    PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC[:, :4] * scales)  # warnings are errors


def test_regression_takes_the_range_of_the_teacher():
    targets = 3 * PRIVATE[:, 0] + 5
    teacher = NewtonRegressor(output_range=(-15, 25)).fit(PRIVATE, targets)
    student = PrivateDistiller(teacher, epsilon=1.0).fit(PUBLIC)
    assert type(student.student_) is Ridge
    np.testing.assert_allclose(student.predict(PUBLIC), 3 * PUBLIC[:, 0] + 5, atol=1.0)
    # Of another range nothing is proved for it: the worst case.
    assert certify(teacher, output_range=(0, 10)).name == "worst case"
    with pytest.warns(UserWarning, match=r"A remedy is output_range=\(-15.0, 25.0\), for which"):
        PrivateDistiller(teacher, epsilon=1.0, output_range=(0, 10)).preview(PUBLIC)


@pytest.mark.parametrize("like", [list, np.array], ids=["list", "array"])
def test_a_range_in_any_container_is_that_of_the_teacher(like):
    teacher = NewtonRegressor(output_range=(-15, 25)).fit(PRIVATE, 3 * PRIVATE[:, 0] + 5)
    ledger = PrivacyLedger.create(":memory:", 3.0, 1e-6)
    for given in (None, (-15, 25), like([-15, 25])):
        distiller = PrivateDistiller(teacher, output_range=given, accountant=ledger)
        assert distiller.fit(PUBLIC).privacy_.certificate["name"] == "clipped gradients"
    assert len(ledger.history()) == 1  # one release for all
    model = PrivateRegressor(schema=(-5, 5), output_range=like([-15, 25]))
    assert "gradient rounds" in model.fit(PRIVATE, 3 * PRIVATE[:, 0] + 5).privacy_.mechanism


def test_many_classes():
    digits, y = load_digits(return_X_y=True)
    teacher = NewtonClassifier(classes=range(10)).fit(digits[:1400] / 16, y[:1400])
    student = PrivateDistiller(teacher, epsilon=100.0).fit(digits[1400:] / 16)
    assert student.predict_proba(digits[:3] / 16).shape == (3, 10)
    assert student.score(digits[1400:] / 16, y[1400:]) > 0.7


def test_mechanisms_and_teachers_must_fit():
    with pytest.raises(ValueError, match="needs a NewtonClassifier"):
        stable = BoundedMeans(classes=[0, 1]).fit(PRIVATE, LABELS)
        PrivateDistiller(stable, mechanism=GradientRounds()).fit(PUBLIC)
    with pytest.raises(ValueError, match="needs a TeacherEnsemble"):
        PrivateDistiller(TEACHER, mechanism=ResidualRounds()).fit(PUBLIC)


HOSTILE = {
    "far": np.full(8, 1e6),
    "opposite": -PRIVATE[7],
    "missing": np.full(8, np.nan),
    "infinite": np.full(8, np.inf),
    "huge": np.full(8, 1e300),
}


@pytest.mark.parametrize("label", [0, 1, 5])
@pytest.mark.parametrize("row", HOSTILE.values(), ids=HOSTILE)
def test_one_record_moves_no_sum_further_than_its_bound(row, label):
    data = PRIVATE[:2000], LABELS[:2000]
    found = replay_audit(mechanism, data, neighbour(row, label))
    assert found.n_queries > 5


@pytest.mark.parametrize("loss", [PrivacyLoss.laplace(1.0), None])
def test_groups_move_no_sum_further_than_one_record(loss):
    groups = np.repeat(np.arange(200), 10)
    data = PRIVATE[:2000], LABELS[:2000], groups
    other, y = data[0].copy(), data[1].copy()
    other[70:80], y[70:80] = 40.0, 1 - y[70:80]
    options = {} if loss is None else {"delta": 0.0}
    replay_audit(lambda d: mechanism(d, **options), data, (other, y, groups), loss=loss)


def test_a_clip_that_is_left_out_is_caught(monkeypatch):
    from skdistill.release import gradient_rounds

    proper = gradient_rounds.PrivateRows.gradients

    def unclipped(self, frame, weights, clip, *args):
        found, n_units = proper(self, frame, weights, clip, *args)
        wide, _ = proper(self, frame, weights, 1e3 * clip, *args)
        values = np.rint(wide.values * (wide.unit / found.unit)).astype(np.int64)
        return replace(found, values=values), n_units

    monkeypatch.setattr(gradient_rounds.PrivateRows, "gradients", unclipped)
    with pytest.raises(ReplayAuditError, match="moves by"):
        replay_audit(mechanism, (PRIVATE[:2000], LABELS[:2000]), neighbour(np.full(8, 50.0), 0))


def test_a_number_of_private_rows_that_is_not_public_is_caught():
    def counted(data):
        keep = np.abs(data[0]).max(axis=1) < 20  # one record decides how many there are
        return mechanism((data[0][keep], data[1][keep]))

    with pytest.raises(ReplayAuditError):
        replay_audit(counted, (PRIVATE[:2000], LABELS[:2000]), neighbour(np.full(8, 50.0), 0))


@pytest.mark.parametrize("prior", [None, np.array([0.25, 0.75])])
def test_a_model_that_was_kept_labels_as_it_did(prior):
    """By its arrays, as a ledger keeps them; a regressor's scores are places in its range."""
    features = np.array([[0.0, -3.0], [0.0, -0.5], [0.0, 0.0], [0.0, 1.0], [0.0, 7.0]])
    model = LinearRelease(np.array([[0.0, 1.0]]), np.zeros(1), 3, 2, prior)
    asked = SimpleNamespace(
        classes=None if prior is None else np.array([0, 1]), bounds=(10.0, 30.0), n_rows=5
    )
    mechanism = GradientRounds()
    held = mechanism.arrays(SimpleNamespace(model=model))
    assert ("prior" in held) == (prior is not None)
    labels = mechanism.restored(held, asked, features)
    assert labels.model.n_rounds == 3 and labels.model.n_directions == 2
    assert labels.answered.all() and labels.noise_scale == 0.0
    if prior is None:
        assert labels.values.tolist() == [10.0, 15.0, 20.0, 30.0, 30.0]
        assert labels.prior is None
    else:
        assert labels.values.shape == (5, 2) and (np.diff(labels.values[:, 1]) > 0).all()
        assert labels.prior.tolist() == prior.tolist()
