"""Membership reports: figures and their intervals, what is refused, and what is found."""

import math
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from skdistill import PrivateDistiller
from skdistill.accounting import BudgetAccountant
from skdistill.audit.attacks import classwise_attack
from skdistill.audit.membership import (
    ATTACKS,
    AttackResult,
    MembershipReport,
    attack,
    auc_interval,
    balanced_accuracy_interval,
    membership_report,
    numbers,
    roc_points,
    tpr_at_fpr,
)
from skdistill.audit.shadow import ShadowDistiller
from skdistill.testing import seeded_noise

RNG = np.random.default_rng()
pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


# ------------------------------------------------------------------------------- figures and tests


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_curve_are_those_of_scikit_learn(ties):
    inside, outside = RNG.normal(0.5, size=60), RNG.normal(size=80)
    if ties:
        inside, outside = inside.round(), outside.round()
    truth, scores = np.repeat([1, 0], [60, 80]), np.concatenate([inside, outside])
    assert auc_interval(inside, outside)[0] == pytest.approx(roc_auc_score(truth, scores))
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    mine = roc_points(inside, outside)
    assert np.allclose(mine[0], fpr) and np.allclose(mine[1], tpr)


def test_auc_interval_is_delongs():
    """Against the definition: variances of the shares each score beats, counted pair by pair."""
    inside, outside = RNG.normal(0.5, size=40).round(1), RNG.normal(size=30).round(1)
    pairs = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    auc = pairs.mean()
    deviation = math.sqrt(pairs.mean(axis=1).var(ddof=1) / 40 + pairs.mean(axis=0).var(ddof=1) / 30)
    half = 1.959964 * deviation / (auc * (1 - auc))
    ends = [1 / (1 + math.exp(-math.log(auc / (1 - auc)) - sign * half)) for sign in (-1, 1)]
    assert auc_interval(inside, outside) == pytest.approx((auc, *ends), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0])
def test_auc_interval_covers(gap):
    """2,000 runs of 100 against 100: at least 90.5 % are covered.

    At a true coverage of 93.5 % or more (DeLong's interval on the logit scale is asymptotic; its
    nominal one is 95 %) that fails with probability P[Bin(2000, .935) < 1810] < 1e-6.
    """
    assert binom.cdf(1809, 2000, 0.935) < 1e-6
    from scipy.stats import norm

    truth = norm.cdf(gap / math.sqrt(2))
    found = [auc_interval(RNG.normal(gap, size=100), RNG.normal(size=100)) for _ in range(2000)]
    assert sum(low <= truth <= high for _, low, high in found) >= 1810


def test_perfect_separation_still_has_an_interval():
    """All of 10 disjoint pairs in the right order: 0.025 = low ** 10."""
    auc, low, high = auc_interval(np.arange(10) + 100.0, np.arange(30.0))
    assert (auc, high) == (1.0, 1.0) and low**10 == pytest.approx(0.025)
    auc, low, high = auc_interval(np.arange(10.0), np.arange(30) + 100.0)
    assert (auc, low) == (0.0, 0.0) and (1 - high) ** 10 == pytest.approx(0.025)
    with pytest.raises(ValueError, match="1 members and 30 non-members"):
        auc_interval([1.0], np.arange(30.0))


def test_true_positive_rate_by_hand():
    outside = np.arange(100.0)
    inside = np.array([98.5, 99.5, 97.5, 98.0, 98.9])
    assert tpr_at_fpr(inside, outside, 0.01)[0] == 3 / 5  # above 98
    assert tpr_at_fpr(inside, outside, 0.02)[0] == 1.0
    assert tpr_at_fpr(inside, outside, 0.019)[0] == 3 / 5  # never more false positives than asked
    tied = np.repeat([0.0, 1.0], [90, 10])
    assert tpr_at_fpr([1.0, 1.0, 2.0], tied, 0.05)[0] == pytest.approx(1 / 3)
    rate, low, high, _ = tpr_at_fpr([2.0] * 20, tied, 0.05)
    assert (rate, high) == (1.0, 1.0) and low == pytest.approx(0.025 ** (1 / 20))
    with pytest.raises(ValueError, match="at 0.001 false positives needs at least 1,000 non-memb"):
        tpr_at_fpr(inside, outside, 0.001)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        tpr_at_fpr(inside, outside, 0.0)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_p_value_is_exact(k):
    """All 126 orders of 5 members and 4 non-members: P[rate this high or higher]."""
    rates, p_values = [], []
    for places in combinations(range(9), 5):
        inside = np.array(places, dtype=float)
        outside = np.setdiff1d(np.arange(9.0), inside)
        rate, *_, p_value = tpr_at_fpr(inside, outside, fpr=0.25 * max(k, 1) + 0.01)
        rates.append(rate)
        p_values.append(p_value)
    for rate, p_value in zip(rates, p_values, strict=True):
        assert p_value == pytest.approx(np.mean(np.array(rates) >= rate))


@pytest.mark.slow
def test_balanced_accuracy_of_chance_is_one_half():
    """The mean of 4,000 estimates is within 0.03 of 0.5.

    One estimate (two rates of 3 scores each, halved) has deviation 0.21 at most, the mean 0.0033:
    0.03 is 9 of them. A threshold measured on the scores it was chosen on shows 0.65 and more.
    """
    found = [
        balanced_accuracy_interval(RNG.normal(size=6), RNG.normal(size=6))[0] for _ in range(4000)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_balanced_accuracy_interval_covers():
    """The rates of the chosen threshold are covered in 93 % or more of 2,000 runs.

    P[Bin(2000, .95) < 1820] < 1e-6; the interval's rates are Clopper-Pearson's, which are wide.
    The truth depends on the threshold; where both sides are far apart any is right.
    """
    assert binom.cdf(1819, 2000, 0.95) < 1e-6
    hits = 0
    for _ in range(2000):
        inside, outside = RNG.uniform(size=(2, 60)) < [[0.7], [0.3]]
        _, low, high = balanced_accuracy_interval(inside, outside)
        hits += low <= 0.7 <= high
    assert hits >= 1820


def test_balanced_accuracy_finds_the_threshold():
    accuracy, low, high = balanced_accuracy_interval(np.arange(100.0) + 90, np.arange(100.0))
    assert accuracy > 0.8 and low < accuracy < high <= 1
    assert balanced_accuracy_interval([1.0] * 9, [0.0] * 9)[0] == 1.0
    with pytest.raises(ValueError, match="two of each"):
        balanced_accuracy_interval([1.0], [0.0, 1.0])


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
    plain = PrivateDistiller(forest, epsilon=math.inf).fit(X_public)
    rows = membership_report(plain, *data, attacks="loss", fprs=[0.01]).rows
    assert math.isinf(rows[1].epsilon)  # no noise, no claim
    with seeded_noise(0):
        seeded = PrivateDistiller(forest, epsilon=1.0).fit(X_public)
    rows = membership_report(seeded, *data, attacks="loss", fprs=[0.01]).rows
    assert math.isinf(rows[1].epsilon)  # what a seed can repeat is not private


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
    """What sets the thresholds is neither a member nor scored."""
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
        ({"model": Silent()}, ValueError, "predict_proba raised RuntimeError; its message is with"),
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


def test_columns_of_other_things_are_coded():
    table = np.array([["b", 1.5], ["a", 2.5], ["b", 1.5]], dtype=object)
    assert numbers(table).tolist() == [[1.0, 1.5], [0.0, 2.5], [1.0, 1.5]]
    assert numbers(["x", "y", "x"]).tolist() == [[0.0], [1.0], [0.0]]


# ------------------------------------------------------------------------------------ how it looks


def small_report():
    points = (0.01, 0.2, 0.1, 0.3, 1e-9), (0.001, 0.002, 0.0, 0.004, 0.5)
    row = AttackResult(
        model="<b>student</b>", attack="loss", epsilon=1.0, delta=1e-6, auc=(0.6, 0.5, 0.7),
        accuracy=(0.55, 0.5, 0.6), tpr=points,
    )  # fmt: skip
    return MembershipReport(
        rows=(row,), n_members=1000, n_nonmembers=2000, confidence=0.95,
        scores={("<b>student</b>", "loss"): (np.full(1000, 731.25), np.full(2000, 731.25))},
    )  # fmt: skip


def test_report_as_records_and_frame():
    (record,) = small_report().to_records()
    assert record["tpr_at_0.01"] == 0.2 and record["tpr_at_0.001_p_value"] == 0.5
    assert record["claimed_epsilon"] == 1.0 and record["balanced_accuracy_high"] == 0.6
    pd = pytest.importorskip("pandas")
    frame = small_report().to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.to_dict("records") == [record]


def test_report_without_pandas(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert small_report().to_frame() == small_report().to_records()


@pytest.mark.parametrize("text", [str, lambda r: r._repr_html_()], ids=["text", "html"])
def test_report_says_that_it_is_private_and_shows_no_score(text):
    shown = text(small_report())
    assert "Not for publication: computed from private records" in shown
    assert "0.200 [0.100, 0.300] *" in shown and "0.0020 [0.0000, 0.0040]" in shown
    assert "0.0040] *" not in shown
    assert "ε=1" in shown and "1,000 members, 2,000 non-members" in shown
    assert "731" not in shown and "731" not in repr(small_report())
    assert text is str or "&lt;b&gt;student" in shown and "<b>student" not in shown
