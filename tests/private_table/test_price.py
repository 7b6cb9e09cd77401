"""One price pays for all parts of a private table's fit, and it is charged before them."""

import copy
import warnings

import numpy as np
import pytest
from private_table_cases import QUIET, classifier, mixed
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import PrivacyLedger, ResidualRounds, SoftLabels
from skdistill.accounting import BudgetAccountant, PrivacyLoss
from skdistill.private_table import PrivateRegressor, noisy_n_teachers
from skdistill.teachers import TeacherEnsemble
from skdistill.testing import seeded_noise

pytestmark = QUIET


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr("skdistill.private_table.base._N_ROWS", 1000)


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
@pytest.mark.parametrize("delta", [0.0, 1e-6])
@pytest.mark.parametrize("threshold", ["prior", None])
def test_the_parts_cost_no_more_than_the_whole(member, delta, threshold):
    X, y = mixed(400)
    model = classifier(member, epsilon=1.0, delta=delta, threshold=threshold)
    with seeded_noise(0):
        model.fit(X, y)
    whole = model.privacy_
    if delta == 0:
        assert sum(loss.epsilon for loss in model.costs_.values()) <= 1.0
    else:
        assert sum(loss.mu**2 for loss in model.costs_.values()) <= whole.mu**2
        assert whole.mu == PrivacyLoss.gaussian(1.0, delta).mu
    assert (whole.epsilon, whole.delta) == (1.0, delta)


@pytest.mark.parametrize("member", [None, LogisticRegression()], ids=["newton", "ensemble"])
def test_the_statement_says_what_each_part_cost(member):
    X, y = mixed(400)
    text = str(classifier(member, epsilon=1.0).fit(X, y).privacy_)
    parts = (
        "class counts 1.0%, gradients 77.0%, scores 5.0%"
        if member is None
        else "class prior 1.7%, labels 81.3%"
    )
    for words in (
        f"synthetic rows 17.0%, {parts} of μ²",
        "features and labels",
        "synthetic transfer rows",
        "two cells of each of 4 marginals",
        "the schema was not read off the private table",
    ):
        assert words in text
    assert "the transfer set X: the student sees its features" not in text


def test_the_accountant_is_charged_once_and_before():
    X, y = mixed(400)
    accountant = BudgetAccountant()
    model = classifier(epsilon=1.0, accountant=accountant)
    assert clone(model).accountant is accountant
    assert copy.deepcopy(model).accountant is accountant
    clone(model).fit(X, y)
    assert [tuple(map(float, spent)) for spent in accountant.spent_budget] == [(1.0, 1e-6)]

    charges = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            charges.append((len(accountant), len(X)))
            return super().fit(X, y)

    model.set_params(teacher=TeacherEnsemble(Spy(), 2)).fit(X, y)
    tried = [n for charged, n in charges if charged == 1]
    trained = [n for charged, n in charges if charged == 2]
    assert sum(trained) == 400  # on private rows only after the charge
    assert tried
    assert len(accountant) == 2


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    "member",
    [
        LogisticRegression(C=-1.0),
        make_pipeline(make_column_transformer((StandardScaler(), ["Agee"])), LogisticRegression()),
    ],
    ids=["setting", "column"],
)
def test_a_member_that_cannot_work_is_an_error_before_the_charge(member, public):
    X, y = mixed(400)
    ledger = PrivacyLedger.create(":memory:", epsilon=10.0, delta=1e-5)
    model = classifier(member, accountant=ledger)
    with pytest.raises(ValueError, match="made-up labels; nothing was charged"):
        model.fit(X, y, X_public=X[:100] if public else None)
    assert len(ledger) == 0


def test_a_mechanism_that_does_not_suit_is_an_error_before_the_charge():
    X, y = mixed(400)
    accountant = BudgetAccountant()
    for settings in ({"mechanism": SoftLabels()}, {"mechanism": "noisy_max"}):
        with pytest.raises(ValueError, match="needs"):
            classifier(accountant=accountant, **settings).fit(X, y)
    with pytest.raises(ValueError, match="f1"):
        classifier(LogisticRegression(), threshold="f1", accountant=accountant).fit(X, y)
    with pytest.raises(ValueError, match="needs two classes"):
        classifier(classes=["maybe", "no", "yes"], threshold=0.3, accountant=accountant).fit(X, y)
    assert len(accountant) == 0
    rounds = classifier(LogisticRegression(), mechanism=ResidualRounds(2), accountant=accountant)
    assert "2 residual rounds" in rounds.fit(X, y).privacy_.mechanism


def test_a_refused_charge_releases_nothing(monkeypatch):
    X, y = mixed(400)

    def fail(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr("skdistill.private_table.base.measure_table", fail)
    model = classifier(accountant=BudgetAccountant(epsilon=0.5, delta=1))
    with pytest.raises(Exception, match="budget"):
        model.fit(X, y)


@pytest.mark.parametrize("name", ["measure_table", "measure_scores"])
def test_no_failure_refunds_the_charge(monkeypatch, name):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    X, y = mixed(400)
    monkeypatch.setattr(f"skdistill.private_table.base.{name}", fail)
    accountant = BudgetAccountant()
    with pytest.raises(KeyboardInterrupt):
        classifier(accountant=accountant, epsilon=1.0).fit(X, y)
    assert len(accountant) == 1


def test_a_preview_says_what_few_records_allow():
    found = classifier(epsilon=1.0).preview((100, 1000, 100_000), (0.5, 8.0))
    assert (np.diff(found.noise, axis=0) < 0).all()
    assert (np.diff(found.noise, axis=1) < 0).all()
    assert found.noise[0, 0] > 0.25 > 0.001 > found.noise[2, 1]
    assert np.allclose(found.noise[0] / found.noise[1], 10)
    assert repr(found).splitlines()[1].startswith("100")
    X, y = mixed(100)
    with pytest.warns(UserWarning, match="The model will be mostly noise"):
        classifier(epsilon=0.5).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(epsilon=20.0).fit(*mixed(3000))
    pure = classifier(delta=0).preview().noise
    assert (pure[:, 0] > classifier().preview().noise[:, 0]).all()
    many = classifier(classes=list(range(10))).preview().noise
    assert (many >= classifier().preview().noise).all()
    assert PrivateRegressor(schema=(0, 1), output_range=(0, 1)).preview().noise.shape == (4, 4)


def test_number_of_teachers_is_a_rule_of_public_numbers():
    loss = {e: PrivacyLoss.gaussian(e, 1e-5) for e in (0.1, 1.0, 10.0)}
    assert noisy_n_teachers(32_561, 2, loss[0.1]) == 814
    assert noisy_n_teachers(32_561, 2, loss[10.0]) == 407
    assert noisy_n_teachers(32_561, 2, None) == 407
    assert noisy_n_teachers(32_561, 2, PrivacyLoss.laplace(1.0)) == 814
    assert noisy_n_teachers(10, 5, loss[1.0]) == 1
