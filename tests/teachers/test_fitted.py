"""The owner's report: members that failed, labels that match no class."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge

from skdistill import NewtonClassifier, NewtonRegressor, PrivateDistiller, TeacherEnsemble

X = np.random.default_rng(0).normal(size=(400, 2))
y = np.where(X[:, 0] > 0, "yes", "no")


class Picky(ClassifierMixin, BaseEstimator):
    """Fails on shards whose first cell is negative."""

    def fit(self, X, y):
        if X[0, 0] < 0:
            raise ValueError("negative")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_members_and_records_are_counted():
    teacher = TeacherEnsemble(LogisticRegression(), 10, classes=["no", "yes"]).fit(X, y)
    report = teacher.report()
    assert (report.trained, report.one_class, report.uninformed, report.left_out) == (10, 0, 0, 0)
    assert report.records == {"no": (y == "no").sum(), "yes": (y == "yes").sum()}
    assert "private: not to be published" in repr(report)


def test_labels_that_match_no_class_are_seen_by_the_owner():
    teacher = TeacherEnsemble(LogisticRegression(), 10, classes=["No", "Yes"]).fit(X, y)
    report = teacher.report()
    assert (report.trained, report.uninformed, report.left_out) == (0, 10, 400)
    assert report.records == {"No": 0, "Yes": 0}


def test_members_that_failed_and_members_of_one_class():
    teacher = TeacherEnsemble(Picky(), 10, classes=["no", "yes"], random_state=0).fit(X, y)
    report = teacher.report()
    assert 0 < report.uninformed < 10 and report.trained == 10 - report.uninformed
    alone = TeacherEnsemble(Picky(), 10, classes=["no", "yes"]).fit(X, np.full(400, "no"))
    assert alone.report().one_class == 10


def test_a_regression():
    target = X[:, 0].copy()
    target[:3] = np.nan
    report = TeacherEnsemble(Ridge(), 10).fit(X, target).report()
    assert (report.trained, report.left_out, report.records) == (10, 3, {})


def test_newton_teachers():
    report = NewtonClassifier(classes=["no", "Yes"]).fit(X, y).report()
    assert report.records == {"Yes": 0, "no": (y == "no").sum()}
    assert report.left_out == (y == "yes").sum()
    assert "private: not to be published" in repr(report) and "members" not in repr(report)
    target = X[:, 0].copy()
    target[:3] = np.nan
    report = NewtonRegressor((-4, 4)).fit(X, target).report()
    assert (report.records, report.left_out) == ({}, 3)


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_nothing_of_it_leaves():
    """Two teachers that differ in it alone make the same statement."""
    statements = []
    for labels in (y, np.r_[["other"] * 100, y[100:]]):
        teacher = TeacherEnsemble(LogisticRegression(), 10, classes=["no", "yes"], random_state=0)
        statements.append(str(PrivateDistiller(teacher.fit(X, labels)).preview(X)))
    assert statements[0] == statements[1]
