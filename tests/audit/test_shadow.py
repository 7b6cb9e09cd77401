"""Shadow models: the records of each, their answers, and their silence about errors."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.accounting import BudgetAccountant
from skdistill.audit.attacks import log_odds
from skdistill.audit.records import stack_rows
from skdistill.audit.shadow import ShadowDistiller, train_shadow_models

pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


@pytest.mark.parametrize("n_shadows", [2, 5, 8])
def test_every_record_is_in_half_of_the_models(binary, n_shadows):
    X, y, *_ = binary
    found = train_shadow_models(GaussianNB(), X, y, n_shadows=n_shadows)
    assert found.confidences.shape == found.member.shape == (n_shadows, len(y))
    assert set(found.member.sum(axis=0)) == {n_shadows // 2}
    assert repr(found) == f"ShadowModels({n_shadows} models, {len(y)} records)"


def test_confidences_are_those_of_models_trained_by_hand(binary):
    X, y, *_ = binary
    labels = np.array(["yes", "no"])[y]
    found = train_shadow_models(LogisticRegression(), X, labels, n_shadows=4, random_state=0)
    for confidences, member in zip(found.confidences, found.member, strict=True):
        model = LogisticRegression().fit(X[member], labels[member])
        codes = np.searchsorted(model.classes_, labels)
        assert np.allclose(confidences, log_odds(model.predict_proba(X), codes))


def test_shadow_models_know_their_members(binary):
    X, y, *_ = binary
    noise = np.random.default_rng(0).integers(2, size=len(y))
    found = train_shadow_models(DecisionTreeClassifier(), X, noise, n_shadows=8)
    assert found.confidences[found.member].min() > 0  # it has learned them by heart
    assert found.confidences[~found.member].min() < 0


def test_only_trainable_records_are_trained_on(binary):
    X, y, *_ = binary
    allowed = np.arange(len(y)) < 100
    found = train_shadow_models(GaussianNB(), X, y, n_shadows=4, trainable=allowed)
    assert not found.member[:, 100:].any()
    assert set(found.member[:, :100].sum(axis=0)) == {2}


def test_halves_are_drawn_by_random_state_and_jobs_do_not_matter(binary):
    X, y, *_ = binary
    first, same, jobs, other = (
        train_shadow_models(GaussianNB(), X, y, n_shadows=4, random_state=seed, n_jobs=n_jobs)
        for seed, n_jobs in ((0, None), (0, None), (0, 2), (1, None))
    )
    assert np.array_equal(first.confidences, same.confidences)
    assert np.array_equal(first.confidences, jobs.confidences)
    assert not np.array_equal(first.member, other.member)


def test_fitted_and_frozen_estimators_are_trained_anew(binary):
    X, y, *_, teacher = binary
    before = teacher.coef_.copy()
    for estimator in (teacher, FrozenEstimator(teacher)):
        found = train_shadow_models(estimator, X, y, n_shadows=4, random_state=0)
        assert not np.allclose(found.confidences[0], found.confidences[1])
    assert np.array_equal(teacher.coef_, before)


def test_a_class_that_a_half_lacks_has_probability_zero():
    """(All 60 records of a class are in one half, or a half is empty, with probability 2**-58.)"""
    X = np.arange(121.0).reshape(-1, 1)
    y = np.repeat([0, 1, 2], [60, 60, 1])
    found = train_shadow_models(KNeighborsClassifier(1), X, y, n_shadows=4)
    assert np.isfinite(found.confidences).all()
    assert np.all(found.confidences[~found.member[:, 120], 120] < -20)
    one = train_shadow_models(KNeighborsClassifier(1), X[:60], y[:60], n_shadows=2)
    assert np.all(one.confidences > 20)


@pytest.mark.parametrize("as_container", [
    lambda X: X, lambda X: X.tolist(), sp.csr_matrix, sp.coo_array,
    lambda X: pytest.importorskip("pandas").DataFrame(X, columns=list("abcd")),
    lambda X: pytest.importorskip("polars").DataFrame(X, schema=list("abcd")),
], ids=["array", "list", "csr", "coo", "pandas", "polars"])  # fmt: skip
def test_pools_come_in_any_container(binary, as_container):
    X, y, *_ = binary
    pool = stack_rows(as_container(X[:100]), as_container(X[100:]))
    found = train_shadow_models(LogisticRegression(), pool, y, n_shadows=2, random_state=0)
    same = train_shadow_models(LogisticRegression(), X, y, n_shadows=2, random_state=0)
    assert np.allclose(found.confidences, same.confidences, atol=1e-3)


@pytest.mark.parametrize("change", [{"n_shadows": 1}, {"trainable": np.arange(300) < 1}])
def test_fewer_than_two_of_anything_are_refused(binary, change):
    X, y, *_ = binary
    with pytest.raises(ValueError, match="give two of each"):
        train_shadow_models(GaussianNB(), X, y, **change)


class Talkative(ClassifierMixin, BaseEstimator):
    """Quotes a cell when it fails."""

    def __init__(self, where="fit"):
        self.where = where

    def fit(self, X, y):
        if self.where == "fit":
            raise KeyError(f"cell {X[0, 0]}")
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        raise KeyError(f"cell {X[0, 0]}")


@pytest.mark.parametrize("where", ["fit", "predict_proba"])
def test_what_a_shadow_model_raises_is_withheld(where):
    X, y = np.full((100, 1), 731.25), np.arange(100) % 2  # a half of them is never empty
    with pytest.raises(
        ValueError, match=f"{where} raised an exception; its message is withheld"
    ) as e:
        train_shadow_models(Talkative(where), X, y, n_shadows=2)
    assert "731" not in str(e.value)
    assert e.value.__cause__ is None and e.value.__context__ is None


def test_two_dimensional_answers_are_needed():
    class Multi(Talkative):
        def predict_proba(self, X):
            return np.zeros((len(X), 2, 2))

    with pytest.raises(ValueError, match=r"shape \(10, 2, 2\).*multi-output"):
        train_shadow_models(Multi("nowhere"), np.zeros((10, 1)), np.arange(10) % 2, n_shadows=2)


# -------------------------------------------------------------------------------- shadow students


def test_a_shadow_student_is_a_teacher_of_its_own_distilled_anew(binary):
    X, y, X_public, _, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=float("inf")).fit(X_public)
    shadow = clone(ShadowDistiller(distiller, X_public)).fit(X, 1 - y)
    assert np.mean(shadow.predict(X) == 1 - y) > 0.8  # it has learned the other labels
    assert np.mean(distiller.predict(X) == y) > 0.8  # and the distiller is as it was
    assert np.array_equal(shadow.classes_, [0, 1])
    assert shadow.predict_proba(X).shape == (len(X), 2)


def test_clones_share_the_transfer_set_and_leave_the_fitted_teacher_behind(binary):
    X, y, X_public, _, teacher = binary
    distiller = PrivateDistiller(FrozenEstimator(teacher), epsilon=1.0).fit(X_public)
    copy = clone(ShadowDistiller(distiller, X_public))
    assert copy.X_transfer is X_public
    assert not hasattr(copy.distiller.teacher, "coef_")
    assert not hasattr(copy.distiller, "student_")
    assert hasattr(teacher, "coef_")
    again = pickle.loads(pickle.dumps(copy)).fit(X, y)  # as joblib sends it
    assert again.predict_proba(X).shape == (len(X), 2)


def test_shadow_students_charge_nothing(binary):
    X, y, X_public, _, teacher = binary
    accountant = BudgetAccountant(epsilon=1.5, delta=1e-5)
    distiller = PrivateDistiller(teacher, epsilon=1.0, accountant=accountant).fit(X_public)
    spent = accountant.total()
    train_shadow_models(ShadowDistiller(distiller, X_public), X, y, n_shadows=4)
    ShadowDistiller(distiller, X_public).fit(X, y)  # not cloned before
    assert accountant.total() == spent and len(accountant) == 1


class Ledger:
    """Shared by clones, as a ledger is."""

    def __init__(self):
        self.spent = []

    def __deepcopy__(self, memo):
        return self


class Charging(GaussianNB):
    """Charges an accountant, if it has one, as diffprivlib's models do."""

    def __init__(self, accountant=None):
        super().__init__()
        self.accountant = accountant

    def fit(self, X, y):
        if self.accountant is not None:
            self.accountant.spent.append(0.1)
        return super().fit(X, y)


def test_no_shadow_model_charges_an_accountant(binary):
    X, y, *_ = binary
    ledger = Ledger()
    assert clone(Charging(ledger)).fit(X, y).accountant.spent == [0.1]
    for estimator in (Charging(ledger), make_pipeline(StandardScaler(), Charging(ledger))):
        train_shadow_models(estimator, X, y, n_shadows=2)
    assert len(ledger.spent) == 1


def test_a_distiller_by_itself_makes_no_shadow_model(binary):
    X, y, *_, teacher = binary
    with pytest.raises(TypeError, match=r"transfer set.*ShadowDistiller\(distiller, X_transfer\)"):
        train_shadow_models(PrivateDistiller(teacher), X, y, n_shadows=2)
