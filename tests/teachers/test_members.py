"""Members that refuse the labels, and are trained on codes."""

import joblib
import numpy as np
import pytest
from matrices import some
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from skdistill import PrivateDistiller, TeacherEnsemble
from skdistill._tables import read_table
from skdistill.teachers.members import fit_member, unchecked_trees, votes_of


class WantsCodes(ClassifierMixin, BaseEstimator):
    """Insists on the labels 0, ..., k-1, each of them there, as XGBoost does."""

    def fit(self, X, y):
        classes = np.unique(y)
        if list(classes) != list(range(len(classes))):
            raise ValueError(f"Invalid classes inferred, got {classes}")
        self.model_ = GaussianNB().fit(X, y)
        self.classes_ = classes
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


class WantsCodesHard(WantsCodes):
    predict_proba = property()


@pytest.mark.parametrize("member", [WantsCodes(), WantsCodesHard()])
@pytest.mark.parametrize("labels", [["no", "yes"], [1, 2], [False, True], [0, 2, 7]])
@pytest.mark.parametrize("n_jobs", some([None, 2], 2))
def test_members_that_need_codes_just_work(member, labels, n_jobs):
    """The votes are those of an ensemble on codes, class by class."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, len(labels), 600)
    X = rng.normal(size=(600, 2)) + 3 * codes[:, None]
    y = np.array(labels, dtype=object)[codes]
    y = np.array(y.tolist())
    wanted, given = (
        TeacherEnsemble(member, 8, classes=classes, random_state=0, n_jobs=n_jobs)
        for classes in (np.arange(len(labels)), labels)
    )
    with joblib.parallel_config(backend="threading"):  # packed as for another process
        wanted.fit(X, codes)
        given.fit(X, y)
        assert given.report().trained == 8
        np.testing.assert_array_equal(given.predict_proba(X), wanted.predict_proba(X))
        assert given.score(X, y) > 0.9
        student = PrivateDistiller(given, epsilon=1e6).fit(X)
    assert np.mean(student.predict(X) == y) > 0.9


def test_a_shard_without_one_class_has_codes_without_a_gap():
    X = np.array([[0.0], [0.1], [2.0], [2.1]])
    member = fit_member(WantsCodes(), X, np.array([0, 0, 2, 2]), np.arange(3), 0)
    votes = votes_of(member, X, 4, np.arange(3), 0)
    np.testing.assert_array_equal(votes.argmax(axis=1), [0, 0, 2, 2])
    np.testing.assert_array_equal(votes[:, 1], 0)


def test_a_member_that_takes_labels_is_trained_on_them():
    """Settings that name labels keep their meaning."""
    X = np.arange(40.0)[:, None]
    y = np.array(["no", "yes"] * 20)
    model = LogisticRegression(class_weight={"no": 1.0, "yes": 50.0})
    ensemble = TeacherEnsemble(model, 2, classes=["no", "yes"], random_state=0).fit(X, y)
    assert (ensemble.predict(X) == "yes").all()
    assert all(list(each.classes_) == ["no", "yes"] for each in ensemble.estimators_)


def test_the_second_attempt_starts_afresh_and_its_error_stays_inside():
    class Once(WantsCodes):
        def fit(self, X, y):
            assert not hasattr(self, "touched_")
            self.touched_ = 1
            return super().fit(X, y)

    class Fails(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            raise ValueError(f"secret {X[0, 0]}")

    X = np.arange(20.0)[:, None]
    y = np.array(["no", "yes"] * 10)
    assert TeacherEnsemble(Once(), 2, classes=["no", "yes"]).fit(X, y).report().trained == 2
    ensemble = TeacherEnsemble(Fails(), 2, classes=["no", "yes"]).fit(X, y)
    assert ensemble.report().uninformed == 2
    with pytest.raises(ValueError, match="secret 0.0"):  # of public rows, and of the labels
        ensemble.rehearse(X)


def test_a_row_that_members_cannot_read_costs_no_other_row_its_votes():
    """A category that no shard has, and an encoder that raises on it."""
    X = np.random.default_rng(0).choice(["a", "b", "c"], (600, 1)).astype(object)
    y = np.where(X[:, 0] == "a", 1, 0)
    member = make_pipeline(OneHotEncoder(sparse_output=False), GaussianNB())
    ensemble = TeacherEnsemble(member, 10, classes=[0, 1]).fit(X, y)
    asked = X[:200].copy()
    known = ensemble.predict_proba(asked)
    assert (known.argmax(axis=1) == y[:200]).all()
    asked[[3, 150], 0] = "d"
    found = ensemble.predict_proba(asked)
    assert (found[[3, 150]] == 0.5).all()
    others = np.delete(np.arange(200), [3, 150])
    assert np.array_equal(found[others], known[others])


def test_the_generators_start_from_the_seed_in_both_attempts():
    class Draws(WantsCodes):
        def fit(self, X, y):
            self.drawn_ = np.random.random()
            return super().fit(X, y)

    X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    coded, plain = (
        fit_member(Draws(), X, y, np.array(labels), 5) for labels in (["a", "b"], [0, 1])
    )
    assert coded.member.drawn_ == plain.drawn_


TREES = DecisionTreeClassifier, ExtraTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("n_jobs", some([None, 2], 2))
@pytest.mark.parametrize("form", [np.asfortranarray, np.float32, lambda X: (8 * X).astype(int)])
def test_trees_asked_without_checks_answer_the_same(kind, n_jobs, form):
    """Bit for bit; one has a class less, one is a voter of one class, and the rows are frozen."""
    X = form(np.random.default_rng(0).normal(size=(400, 5)))
    y = np.arange(400) % 3 if kind in TREES[:2] else X[:, 0] + np.arange(400) / 80
    ensemble = TeacherEnsemble(kind(random_state=0), 4, random_state=0, n_jobs=n_jobs).fit(X, y)
    if kind in TREES[:2]:
        ensemble.estimators_[1] = kind(random_state=0).fit(X[y < 2], y[y < 2])
        ensemble.estimators_[2] = fit_member(kind(), X[y == 1], y[y == 1], np.arange(3), 0)
    found = unchecked_trees(ensemble.estimator, ensemble.estimators_, read_table(X))
    assert found is not None and not found[1].flags.writeable
    expected = []
    for member in ensemble.estimators_:
        votes = np.zeros((400, 3))
        if type(member) is not kind:
            votes[:, 1] = 1.0
        elif kind in TREES[:2]:
            votes[:, member.classes_] = member.predict_proba(X)
        else:
            votes = member.predict(X)
        expected.append(votes)
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_array_equal(list(ensemble.member_votes(X)), expected)


class OwnTree(DecisionTreeClassifier):
    """It may look at its rows."""


def test_other_trees_and_other_rows_are_checked():
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.arange(40) % 2
    tree = DecisionTreeClassifier().fit(X, y)
    for bad in (np.nan, np.inf, 1e39):
        rows = X.copy()
        rows[3, 1] = bad
        assert unchecked_trees(tree, [tree], read_table(rows)) is None
    rows = rows.astype(object)
    assert unchecked_trees(tree, [tree], read_table(rows)) is None
    assert unchecked_trees(OwnTree(), [tree], read_table(X)) is None
    own = OwnTree().fit(X, y)
    assert unchecked_trees(tree, [own], read_table(X))[0] == [own]
    ensemble = TeacherEnsemble(DecisionTreeClassifier(), 1, random_state=0).fit(X, y)
    X[3, 1] = 1e39  # refused as every tree refuses it: this row alone costs its vote
    votes = ensemble.predict_proba(X)
    np.testing.assert_array_equal(votes[3], 0.5)
    assert (votes[4:] != 0.5).all()
