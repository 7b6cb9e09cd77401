"""Who counts a release, and the warning where nobody does."""

import gc
import pickle
import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import NewtonClassifier, PrivacyLedger, PrivateDistiller
from skdistill.accounting import BudgetAccountant, PrivacyLoss, charging
from skdistill.accounting.charging import warn_uncounted

X, y = make_classification(200, random_state=0)
AGAIN = "This teacher has answered before.*search.*PrivacyLedger.create"


def teacher():
    return LogisticRegression().fit(X[:100], y[:100])


def distiller(by, accountant=None, **settings):
    return PrivateDistiller(by, LogisticRegression(), accountant=accountant, **settings)


@pytest.fixture(autouse=True)
def only_this_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "This teacher has answered before")
        yield


def test_the_second_release_without_an_accountant_warns():
    by = teacher()
    distiller(by).fit(X[100:])
    for again in (distiller(by), distiller(by, epsilon=2.0)):
        with pytest.raises(UserWarning, match=AGAIN):
            again.fit(X[100:])
    distiller(teacher()).fit(X[100:])  # another one


def test_a_search_without_an_accountant_warns():
    search = GridSearchCV(distiller(teacher()), {"student__C": [0.1, 1.0]}, error_score="raise")
    with pytest.raises(UserWarning, match=AGAIN):
        search.fit(X[100:], y[100:])


def test_the_warning_points_at_the_line_of_the_caller():
    by = teacher()
    distiller(by).fit(X[100:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        distiller(by).fit(X[100:])
    assert [each.filename for each in caught if "answered before" in str(each.message)] == [
        __file__
    ]


@pytest.mark.parametrize("make", [lambda: None, BudgetAccountant])
def test_an_accountant_counts(make):
    ledger, by = make() or PrivacyLedger.create(":memory:", 10.0, 1e-5), teacher()
    for _ in range(2):
        distiller(by, ledger).fit(X[100:])


def test_no_privacy_is_not_counted():
    by = teacher()
    for _ in range(2):
        distiller(by, epsilon=np.inf).fit(X[100:])


def test_teachers_are_forgotten():
    gc.collect()
    before = len(charging._UNCOUNTED)
    by = teacher()
    charging.warn_uncounted(by)
    charging.warn_uncounted(object())
    assert len(charging._UNCOUNTED) > before
    del by
    gc.collect()
    assert len(charging._UNCOUNTED) == before


class Purse:
    """Anything that can be spent from."""

    def __init__(self):
        self.spent = []

    def spend(self, epsilon, delta):
        self.spent.append((epsilon, delta))


LOSS = PrivacyLoss.laplace(0.5)


def test_an_accountant_in_memory_is_charged_where_it_lives(monkeypatch):
    purse = Purse()
    charging.bind_to_process(purse)
    charging.charge(purse, LOSS)
    monkeypatch.setattr(charging.os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="another process.*lost"):
        charging.charge(purse, LOSS)
    charging.bind_to_process(purse)  # the first process is its home
    with pytest.raises(RuntimeError, match="another process.*lost"):
        charging.charge(purse, LOSS)
    assert purse.spent == [(0.5, 0.0)]


def test_an_accountant_that_was_pickled_refuses():
    copied = pickle.loads(pickle.dumps(charging.for_pickle(Purse())))
    with pytest.raises(RuntimeError, match="another process.*lost"):
        charging.charge(copied, LOSS)
    ledger = PrivacyLedger.create(":memory:", 1.0, 0.0)
    assert charging.for_pickle(ledger) is ledger and charging.for_pickle(None) is None


def test_an_accountant_without_weak_references():
    class Bare:
        __slots__ = ("spent",)
        __init__, spend = Purse.__init__, Purse.spend

    bare = Bare()
    charging.bind_to_process(bare)
    charging.charge(bare, LOSS)
    assert bare.spent == [(0.5, 0.0)]
    assert charging.counted_by(bare)["cap"] is None and charging.counted_by(bare)["accounted"]


def test_what_cannot_be_charged_is_refused():
    charging.check_accountant(None)
    charging.check_accountant(Purse())
    for wrong in (1.0, object(), "ledger.db"):
        with pytest.raises(TypeError, match="cannot be charged.*PrivacyLedger"):
            charging.check_accountant(wrong)


def test_no_price_and_no_accountant_cost_nothing():
    purse = Purse()
    charging.charge(purse, None)
    charging.charge(None, LOSS)
    assert purse.spent == []


@pytest.mark.parametrize(
    "teacher",
    [
        LogisticRegression(),
        RandomForestClassifier(2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        NewtonClassifier(curvature=np.eye(3)),
    ],
    ids=lambda t: type(t).__name__,
)
def test_a_refitted_teacher_has_not_answered_before(teacher):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)

    def warned():
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            warn_uncounted(teacher)
        return len(found)

    for _ in range(2):
        teacher.fit(X, y)
        assert [warned(), warned()] == [0, 1]
