"""Membership reports: findings and refusals."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from skdistill import PrivacyLedger, PrivateClassifier, PrivateDistiller, TeacherEnsemble
from skdistill.accounting import BudgetAccountant
from skdistill.audit.attacks import classwise_attack
from skdistill.audit.membership import ATTACKS, attack, membership_report
from skdistill.audit.shadow import ShadowDistiller
from skdistill.certificates import AlreadyPrivate
from skdistill.testing import seeded_noise

RNG = np.random.default_rng()
pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


# ------------------------------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def overfitted():
    """A forest that knows 600 members by heart, in random labels: others say nothing."""
    X, y = make_classification(2400, n_features=8, flip_y=0.5, random_state=0)
    forest = ExtraTreesClassifier(15, random_state=0).fit(X[:600], y[:600])
    return forest, X[:600], y[:600], X[600:1800], y[600:1800], X[1800:]


def test_every_attack_finds_an_overfitted_forest(overfitted):
    """Each AUC is above 0.8; of 600 members against 600 others chance has a deviation of 0.017."""
    forest, *data, _ = overfitted
    report = membership_report(forest, *data, shadow="clone", n_shadows=8, fprs=[0.01])
    assert [row.attack for row in report.rows] == list(ATTACKS)
    for row in report.rows:
        assert row.model == "model" and math.isinf(row.epsilon)
        assert row.auc[0] > 0.8 and row.auc[1] <= row.auc[0] <= row.auc[2]
        assert row.accuracy[0] > 0.7
    assert {row.attack for row in report.rows if row.tpr[0][4] < 1e-6} >= {"lira_online", "rmia"}
    assert (report.n_members, report.n_nonmembers) == (600, 600)  # half were set aside


@pytest.mark.slow
def test_lira_finds_members_beyond_doubt(overfitted):
    """At 0.1 % false positives more than 10 times as many true ones; about 200 times are found."""
    forest, X, y, X_other, y_other, _ = overfitted
    reference = {"X_reference": X_other[1000:], "y_reference": y_other[1000:]}
    report = membership_report(
        forest, X, y, X_other[:1000], y_other[:1000],
        attacks=["lira_online"], shadow="clone", n_shadows=32, **reference,
    )  # fmt: skip
    fpr, tpr, *_, p_value = report.rows[0].tpr[1]
    assert fpr == 0.001 and tpr > 10 * fpr and p_value < 1e-6


@pytest.mark.slow
def test_nothing_is_found_of_a_private_student(overfitted):
    """Of 14 p-values none is below 2e-8, but with probability 0.9e-6.

    Without a certificate the noise covers the diameter of all that a teacher could answer, so the
    probabilities of the student (no prior is released) are (1, 1e-8)-private with respect to *all*
    records at once. For a student that has nothing to do with the records, and records in random
    order, a p-value is below 2e-8 with probability 2e-8 at most; so for this one with probability
    at most e·2e-8 + 1e-8. Times 14 that is 0.9e-6.
    """
    _, X, y, X_other, y_other, X_public = overfitted
    X, y = np.r_[X, X_other], np.r_[y, y_other]
    order = RNG.permutation(len(y))
    member, other = order[:600], order[600:]
    forest = ExtraTreesClassifier(15).fit(X[member], y[member])
    distiller = PrivateDistiller(forest, epsilon=1.0, delta=1e-8, threshold=None).fit(X_public)
    report = membership_report(
        distiller, X[member], y[member], X[other], y[other], fprs=[0.01, 0.1], n_shadows=16,
        shadow={"teacher": forest, "student": ShadowDistiller(distiller, X_public)},
    )  # fmt: skip
    found = {name: [r for r in report.rows if r.model == name] for name in ("teacher", "student")}
    assert all(p > 2e-8 for row in found["student"] for *_, p in row.tpr)
    assert any(p < 2e-8 for row in found["teacher"] for *_, p in row.tpr)


def test_a_distiller_is_its_teacher_and_itself(overfitted):
    forest, *data, X_public = overfitted
    for teacher in (forest, FrozenEstimator(forest)):
        distiller = PrivateDistiller(teacher, epsilon=1.0, delta=1e-6).fit(X_public)
        report = membership_report(distiller, *data, attacks="loss", fprs=[0.01])
        assert [(row.model, row.epsilon) for row in report.rows] == [
            ("teacher", math.inf),
            ("student", 1.0),
        ]
        assert report.rows[1].delta == 1e-6
        inside, outside = report.scores["teacher", "loss"]
        assert np.allclose(
            np.concatenate([inside, outside]), attack(forest, np.r_[data[0], data[2]],
            np.r_[data[1], data[3]]),
        )  # fmt: skip
    claim = AlreadyPrivate(1.0, relation="add-or-remove")  # replacing is removing and adding
    inherited = PrivateDistiller(forest, certificate=claim).fit(X_public)
    report = membership_report(inherited, *data, attacks="loss", fprs=[0.01])
    assert [(row.epsilon, row.delta) for row in report.rows][1:] == [(2.0, 0.0)]
    published = inherited.export()
    again = membership_report({"it": published}, *data, attacks="loss", fprs=[0.01])
    assert [(row.model, row.epsilon) for row in again.rows] == [("it", 2.0)]
    for mine, theirs in zip(
        report.scores["student", "loss"], again.scores["it", "loss"], strict=True
    ):
        assert np.array_equal(mine, theirs)
    assert np.array_equal(attack(published, *data[:2]), again.scores["it", "loss"][0])
    plain = PrivateDistiller(forest, epsilon=math.inf).fit(X_public)
    rows = membership_report(plain, *data, attacks="loss", fprs=[0.01]).rows
    assert math.isinf(rows[1].epsilon)  # no noise, no claim
    with seeded_noise(0):
        seeded = PrivateDistiller(forest, epsilon=1.0).fit(X_public)
    rows = membership_report(seeded, *data, attacks="loss", fprs=[0.01]).rows
    assert math.isinf(rows[1].epsilon)  # a release that a seed can repeat is not private


@pytest.mark.parametrize("teacher", [None, TeacherEnsemble(GaussianNB(), 5)])
def test_a_private_classifier_is_one_model_whose_teacher_was_a_setting(teacher):
    X, y = make_classification(800, n_features=4, random_state=0)
    model = PrivateClassifier(teacher, schema=(-9, 9), classes=[0, 1], epsilon=50.0)
    model.fit(X[:400], y[:400])
    given = (X[:400], y[:400], X[400:], y[400:])
    report = membership_report(model, *given, attacks="loss", fprs=[0.1])
    assert [(row.model, row.epsilon) for row in report.rows] == [("model", 50.0)]
    model.accountant = PrivacyLedger.create(":memory:", 100.0, 1e-5)
    shadows = {"shadow": "clone", "n_shadows": 4, "fprs": [0.1], "attacks": "lira_online"}
    assert len(membership_report(model, *given, **shadows).rows) == 1
    assert len(model.accountant) == 0


def test_an_audit_charges_nothing_and_changes_nothing(overfitted):
    forest, *data, X_public = overfitted
    accountant = BudgetAccountant(epsilon=1.0, delta=1e-5)
    distiller = PrivateDistiller(forest, epsilon=0.9, accountant=accountant).fit(X_public)
    before, spent = distiller.released_labels_.copy(), len(accountant)
    shadow = {"teacher": forest, "student": ShadowDistiller(distiller, X_public)}
    for kind in (shadow, "clone"):
        given = {"shadow": kind, "n_shadows": 4, "attacks": ["rmia"], "fprs": [0.1]}
        assert len(membership_report(distiller, *data, **given).rows) == 2
    assert len(accountant) == spent == 1
    assert np.array_equal(distiller.released_labels_, before)


@pytest.mark.slow
def test_members_are_never_their_own_reference(overfitted):
    """Records that set the thresholds are neither members nor scored."""
    forest, X, y, X_other, y_other, _ = overfitted
    seen = {}

    class Watched(ClassifierMixin, BaseEstimator):
        classes_ = forest.classes_

        def predict_proba(self, table):
            seen["n"] = len(table)
            return forest.predict_proba(table)

    given = membership_report(
        Watched(), X, y, X_other[:800], y_other[:800], attacks=["quantile"], fprs=[0.01],
        X_reference=X_other[800:], y_reference=y_other[800:],
    )  # fmt: skip
    assert (given.n_nonmembers, seen["n"]) == (800, 600 + 1200)
    p = [forest.predict_proba(table) for table in (X, X_other[:800], X_other[800:])]
    ranked = membership_report(
        forest, X, y, X_other[:800], y_other[:800], attacks=["classwise"], fprs=[0.01],
        X_reference=X_other[800:], y_reference=y_other[800:],
    ).scores["model", "classwise"]  # fmt: skip
    assert np.array_equal(ranked[0], classwise_attack(p[0], y, p[2], y_other[800:]))
    assert np.array_equal(ranked[1], classwise_attack(p[1], y_other[:800], p[2], y_other[800:]))
    half = membership_report(Watched(), X, y, X_other, y_other, attacks=["quantile"], fprs=[0.01])
    assert (half.n_nonmembers, seen["n"]) == (600, 600 + 1200)
    none = membership_report(Watched(), X, y, X_other, y_other, attacks=["loss"], fprs=[0.01])
    assert none.n_nonmembers == 1200


def test_labels_may_be_text_and_tables_frames(overfitted):
    pd = pytest.importorskip("pandas")
    _, X, y, X_other, y_other, _ = overfitted
    names = np.array(["yes", "no"])
    member, other = (pd.DataFrame(t, columns=list("abcdefgh")) for t in (X, X_other))
    forest = ExtraTreesClassifier(15, random_state=0).fit(member, names[y])
    report = membership_report(
        forest, member, names[y], other, names[y_other], shadow="clone", n_shadows=4, fprs=[0.01]
    )
    assert all(row.auc[0] > 0.75 for row in report.rows)


def test_regression_models_are_attacked_by_their_errors():
    """Members are fitted: an AUC of .78 (standard deviation .02, so that .62 is 8 of them off)."""
    X = RNG.normal(size=(800, 4))
    y = RNG.normal(size=800)
    data = X[:400], y[:400], X[400:], y[400:]
    forest = RandomForestRegressor(10, random_state=0).fit(X[:400], y[:400])
    report = membership_report(forest, *data, fprs=[0.01])
    assert [row.attack for row in report.rows] == ["loss"]
    assert report.rows[0].auc[0] > 0.62  # chance deviates by 0.02
    assert np.array_equal(attack(forest, X, y), -((forest.predict(X) - y) ** 2))
    with pytest.raises(ValueError, match='only the attack "loss"'):
        membership_report(forest, *data, attacks=["rmia"], shadow="clone")
    with pytest.raises(ValueError, match="cannot be attacked in one report"):
        membership_report({"a": forest, "b": LogisticRegression()}, *data)
    distiller = PrivateDistiller(forest, epsilon=math.inf).fit(X[400:])
    assert len(membership_report(distiller, *data, fprs=[0.01]).rows) == 2


@pytest.mark.parametrize("method", ATTACKS)
def test_one_attack_on_records_of_unknown_membership(overfitted, method):
    forest, X, y, X_other, y_other, _ = overfitted
    scored = np.r_[X[:300], X_other[:300]], np.r_[y[:300], y_other[:300]]
    scores = attack(
        forest, *scored, X_other[600:], y_other[600:], method=method, n_shadows=8, random_state=0
    )
    assert scores.shape == (600,)
    assert roc_auc_score(np.repeat([1, 0], 300), scores) > 0.75  # chance deviates by 0.024
    if method not in ("loss", "modified_entropy"):
        with pytest.raises(ValueError, match="needs reference records"):
            attack(forest, *scored, method=method)


@pytest.mark.parametrize("method", ["rmia", "lira_offline", "lira_online"])
def test_offline_shadow_models_never_see_a_scored_record(overfitted, method):
    _, X, y, X_other, y_other, _ = overfitted
    seen = []

    class Recording(GaussianNB):
        def fit(self, table, labels):
            seen.extend(table[:, 0].tolist())
            return super().fit(table, labels)

    attack(
        GaussianNB().fit(X, y), X, y, X_other, y_other,
        method=method, shadow=Recording(), n_shadows=4,
    )  # fmt: skip
    assert set(seen) & set(X_other[:, 0])
    assert bool(set(seen) & set(X[:, 0])) == (method == "lira_online")


# ----------------------------------------------------------------------------------------- refusals


class Silent(ClassifierMixin, BaseEstimator):
    """Quotes a cell when it is asked."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X):
        raise RuntimeError(f"cell {X[0, 0]}")


def data(n=100, m=200, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, 2)), rng.integers(2, size=n),
        rng.normal(size=(m, 2)), rng.integers(2, size=m),
    )  # fmt: skip


def fitted(X, y):
    return LogisticRegression().fit(X, y)


@pytest.mark.parametrize("kind", ["array", "frame", "list", "sparse"])
def test_members_that_are_non_members_too(kind):
    X, y, X_other, y_other = data()
    X_other[:3], y_other[:3] = X[:3], y[:3]
    X_other[3], y_other[3] = X[3], 1 - y[3]  # another label: another record
    X_other[4] = X_other[5] = X_other[4]
    y_other[5] = y_other[4]  # twice on one side
    X[0, 0], X_other[0, 0] = 0.0, -0.0
    model = fitted(X, y)
    if kind == "frame":
        pd = pytest.importorskip("pandas")
        wrap = lambda t: pd.DataFrame({"a": t[:, 0], "b": t[:, 1].astype(str)})  # noqa: E731
        model = Constant()
    else:
        wrap = {"array": np.asarray, "list": np.ndarray.tolist, "sparse": sp.csr_matrix}[kind]
    given = wrap(X), y, wrap(X_other), y_other
    with pytest.raises(ValueError, match="overlap: 3 of 100 members, .* among the 200 others"):
        membership_report(model, *given, attacks="loss", fprs=[0.1])
    report = membership_report(model, *given, attacks="loss", fprs=[0.1], overlap="drop")
    assert (report.n_members, report.n_nonmembers) == (97, 197)
    with pytest.raises(ValueError, match="overlap='keep'"):
        membership_report(model, *given, overlap="keep")
    with pytest.raises(ValueError, match="3 of 200 members"):  # in the reference, too
        membership_report(
            model, given[2], y_other, wrap(X[50:]), y[50:], X_reference=wrap(X[:50]),
            y_reference=y[:50], attacks="loss", fprs=[0.1],
        )  # fmt: skip


class Constant(ClassifierMixin, BaseEstimator):
    classes_ = np.array([0, 1])

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_nan_cells_can_be_equal():
    X, y, X_other, y_other = data()
    another = np.array([0x7FF8000000000001], dtype=np.uint64).view(
        float
    )  # NaN is many bit patterns
    X[0], X_other[0], y_other[0] = np.nan, another[0], y[0]
    assert X[0].tobytes() != X_other[0].tobytes()
    with pytest.raises(ValueError, match="overlap: 1 of 100"):
        membership_report(Constant(), X, y, X_other, y_other)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": SVC()}, TypeError, "SVC has no predict_proba"),
        ({"model": LogisticRegression()}, ValueError, "not fitted"),
        ({"model": {}}, ValueError, "no model"),
        ({"model": Silent()}, ValueError, "predict_proba raised an exception; its message is with"),
        ({"y_member": np.full(100, 7)}, ValueError, "100 of 300 records have a label that is none"),
        ({"y_nonmember": np.zeros(9)}, ValueError, r"nonmembers: X has 200 rows, but y .*\(9,\)"),
        ({"fprs": [0.001]}, ValueError, "needs at least 1,000 non-members to score; there are 200"),
        ({"fprs": [0.001]}, ValueError, r"fprs=\[0.005\]"),
        (
            {"fprs": [0.006], "attacks": ["quantile"]},
            ValueError,
            r"at least 167 non-members to score; there are 100 \(of 200; half were set aside",
        ),
        ({"fprs": [1.5]}, ValueError, "not between 0 and 1"),
        ({"attacks": ["guess"]}, ValueError, "names among loss, "),
        ({"attacks": []}, ValueError, "names among loss, "),
        ({"attacks": ["rmia"]}, ValueError, 'need shadow models. Pass shadow="clone"'),
        ({"attacks": ["rmia"], "shadow": "twin"}, ValueError, "shadow='twin'"),
        ({"attacks": ["rmia"], "shadow": {"x": 1}}, ValueError, r"no estimator for \['model'\]"),
        ({"attacks": ["rmia"], "shadow": "clone", "model": Constant()}, TypeError, "be trained"),
    ],
)
def test_what_cannot_be_attacked_is_refused_in_numbers(change, error, message):
    X, y, X_other, y_other = data()
    X += 731.25
    given = {
        "model": fitted(X, y), "X_member": X, "y_member": y, "X_nonmember": X_other,
        "y_nonmember": y_other, "attacks": "loss", "fprs": [0.1],
    }  # fmt: skip
    with pytest.raises(error, match=message) as caught:
        membership_report(**(given | change))
    assert "731" not in str(caught.value) and "732" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_published_distiller_is_attacked_without_its_teacher():
    import pickle

    X, y, X_other, y_other = data()
    loaded = pickle.loads(pickle.dumps(PrivateDistiller(fitted(X, y)).fit(X_other)))
    given = X, y, X_other + 1, y_other
    with pytest.raises(TypeError, match=r"without its teacher.*\"student\": distiller"):
        membership_report(loaded, *given, fprs=[0.1])
    rows = membership_report({"student": loaded}, *given, attacks="loss", fprs=[0.1]).rows
    assert [row.model for row in rows] == ["student"]


def test_the_quantile_attack_needs_dense_rows():
    X, y, X_other, y_other = data()
    model = fitted(X, y)
    given = sp.csr_matrix(X), y, sp.csr_matrix(X_other), y_other
    with pytest.raises(ValueError, match="dense X"):
        membership_report(model, *given, attacks=["quantile"], fprs=[0.1])
    found = membership_report(model, *given, attacks=["rmia"], shadow=model, n_shadows=4,
                              fprs=[0.1])  # fmt: skip
    assert len(found.rows) == 1
