"""One run with many coins, and replays without statistics: see test_privacy.py."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from bounded_means import BoundedMeans
from matrices import some
from privacy_worlds import SURE, Tap, generous, leaked_teacher, less_noise, overspending, plan
from scipy.linalg import hadamard
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import (
    PrivateDistiller,
    ResidualRounds,
    TeacherEnsemble,
)
from skdistill.audit import (
    audit_distiller,
    one_run_audit,
)
from skdistill.certificates import DisjointTeachers, RowBound
from skdistill.release import calibration
from skdistill.release import residual_rounds as rounds
from skdistill.release.query import RowQuery
from skdistill.testing import _put_up

pytestmark = pytest.mark.usefixtures("prices_once")


# ------------------------------------------------------------------------- one run, many coins


def hadamard_audit(epsilon, delta=1e-8, m=512):
    """One release of m members' votes; each votes by its own pattern, or by its opposite.

    The patterns are orthogonal, and a coin turns all of a member's votes around, so that the
    projections on them are independent tests, each as strong as the claim allows one to be.
    """
    patterns, coins = hadamard(m), np.random.default_rng().random(m) < 0.5
    signs = np.where(coins[:, None], patterns, -patterns)

    def votes(X, function):
        for row in signs:
            yield function(np.column_stack([row < 0, row > 0]).astype(float))

    bound = DisjointTeachers(2 / m, math.sqrt(2) / m, n_teachers=m, member_votes=votes)
    what = plan(bound, "gaussian", m, epsilon=epsilon, delta=delta)
    labels = what.draw(None).values
    scores = patterns @ (labels[:, 1] - labels[:, 0])
    return one_run_audit(scores, coins, delta=delta, confidence=SURE)


def forgotten_rows(monkeypatch):
    """Noise for one row, on all of them."""
    monkeypatch.setattr(RowQuery, "moved", lambda self, n_rows: (self.l1, self.l2))


def hardly_any_noise(monkeypatch):
    less_noise(monkeypatch, 0.05)


@pytest.mark.parametrize("mutant", [None, forgotten_rows, hardly_any_noise])
def test_one_run_of_an_ensemble(mutant, monkeypatch):
    """Where the noise is wrong a coin is read off with probability .98: 470 of 512 show ε > 1.7."""
    epsilon = 1.0
    if mutant is not None:
        mutant(monkeypatch)
    assert (hadamard_audit(epsilon).epsilon > epsilon) == (mutant is not None)


# Teachers of every kind of certificate, with the settings that the distiller needs for them. The
# first ones learn every record by heart.
BY_HEART = {
    "tree": (DecisionTreeClassifier(random_state=0), {"mechanism": "gaussian"}),
    "tree, laplace": (DecisionTreeClassifier(random_state=0), {"delta": 0.0}),
    "one neighbour": (KNeighborsClassifier(1), {}),
    "regression tree": (DecisionTreeRegressor(random_state=0), {"output_range": (-1.0, 1.0)}),
}


class Loudest(ClassifierMixin, BaseEstimator):
    """Votes for the label of the record with the largest first feature, on all rows."""

    def fit(self, X, y):
        self.classes_, self.vote_ = np.unique(y), y[np.argmax(X[:, 0])]
        return self

    def predict(self, X):
        return np.repeat(self.vote_, len(X))


ENSEMBLE = TeacherEnsemble(DecisionTreeClassifier(random_state=0), n_teachers=7, random_state=0)
TEACHERS = {
    **BY_HEART,
    "linear": (LogisticRegression(), {}),
    "naive Bayes": (GaussianNB(), {"threshold": None}),
    "neighbours": (KNeighborsClassifier(5), {}),
    "stable": (BoundedMeans(), {}),
    "stable, laplace": (BoundedMeans(), {"delta": 0.0}),
    "ensemble, two rounds": (ENSEMBLE, {"mechanism": ResidualRounds(2)}),
    "ensemble, three rounds": (ENSEMBLE, {"mechanism": ResidualRounds(3)}),
    "ensemble, one round": (ENSEMBLE, {"mechanism": ResidualRounds(1)}),
    "ensemble, laplace": (ENSEMBLE, {"delta": 0.0}),
    "ensemble, noisy_max": (ENSEMBLE, {"mechanism": "noisy_max"}),
    "ensemble, noisy_max, laplace": (ENSEMBLE, {"mechanism": "noisy_max", "delta": 0.0}),
    "ensemble, confident_max": (ENSEMBLE, {"mechanism": "confident_max", "epsilon": 20.0}),
    "ensemble of the loudest": (
        TeacherEnsemble(Loudest(), n_teachers=7, classes=[0, 1], random_state=0),
        {},
    ),
    "regression": (Ridge(), {"output_range": (-1.0, 1.0)}),
    "ensemble of regressors": (
        TeacherEnsemble(LinearRegression(), n_teachers=7, random_state=0),
        {"output_range": (-1.0, 1.0), "mechanism": ResidualRounds(2)},
    ),
}
RNG = np.random.default_rng(0)  # public features and labels; no test depends on the seed
X_PRIVATE, X_PUBLIC = RNG.normal(size=(300, 3)), RNG.normal(size=(400, 3))
Y_PRIVATE = (X_PRIVATE[:, 0] + RNG.normal(size=300) > 0).astype(int)


def distiller_for(name, teacher=None):
    blank, options = TEACHERS[name]
    return PrivateDistiller(
        blank if teacher is None else teacher,
        **{"epsilon": 1.0, "delta": 1e-9, "random_state": 0, **options},
    )


def audited(name, **options):
    return audit_distiller(
        distiller_for(name), X_PRIVATE, Y_PRIVATE, X_PUBLIC, 200, confidence=SURE, **options
    )


@pytest.mark.parametrize("name", TEACHERS)
def test_canaries_of_every_estimator_keep_to_the_claim(name):
    result = audited(name)
    assert result.passed
    assert result.statement.private
    assert result.statement.epsilon == TEACHERS[name][1].get("epsilon", 1.0)


@pytest.mark.parametrize("mutant", [leaked_teacher, hardly_any_noise])
@pytest.mark.parametrize("name", BY_HEART)
def test_canaries_show_a_leak(name, mutant, monkeypatch):
    """A teacher that learns by heart, and nearly no noise: all 200 right shows ε > 2.6.

    A millionth of the noise turns no answer around: its scale is below 0.01 then, and half of
    one is 50 of them.
    """
    if mutant is hardly_any_noise:
        less_noise(monkeypatch, 1e-6)
    else:
        mutant(monkeypatch)
    result = audited(name)
    assert result.n_correct == result.n_guesses
    assert not result.passed
    assert result.epsilon_lower_bound > 2


# ------------------------------------------------------------------------------------- replay

X_ASKED = np.vstack([np.full((1, 3), 4.0), X_PUBLIC[:29]])


def neighbour_teachers(name, y):
    """Train on two data sets that differ in the label of one record, which is far out."""
    X, first = X_PRIVATE[:60].copy(), np.arange(60) == 0
    X[0] = 4.0
    return [clone(TEACHERS[name][0]).fit(X, np.where(first, label, y)) for label in (1, 0)]


def public_face(distiller):
    """All that a fitted distiller shows."""
    face = {
        name: getattr(distiller, name, None)
        for name in (
            "released_labels_",
            "query_indices_",
            "class_prior_",
            "decision_offsets_",
            "classes_",
        )
    }
    face |= {"predict": distiller.predict(X_PUBLIC), "privacy": str(distiller.privacy_)}
    if hasattr(distiller, "predict_proba"):
        face["predict_proba"] = distiller.predict_proba(X_PUBLIC)
    return face


def moved_too_far(own, other, loss, sensitivity):
    """Whether two vectors of integers are farther apart than said, exactly."""
    apart = [int(a) - int(b) for a, b in zip(own.flat, other.flat, strict=True)]
    if loss.kind == "laplace":
        return sum(map(abs, apart)) > Fraction(sensitivity)
    return sum(a * a for a in apart) > Fraction(sensitivity) ** 2


def replay(name, y=Y_PRIVATE[:60], **options):
    """Fit in one world, hand its noisy values to the other, and name all that differs.

    Returns
    -------
    found : set of str
        "settings": the noise depends on more than public numbers; "sensitivity": something moved
        further than its noise is made for; "price": the releases cost more than is claimed;
        "release": the public outcome is no function of the noisy values.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taps, fitted = [], []
        for teacher in neighbour_teachers(name, y):
            taps.append(Tap(taps[0].released if taps else None))
            with _put_up(taps[-1]):
                fitted.append(distiller_for(name, teacher).set_params(**options).fit(X_ASKED))
    found = set()
    calls = [tap.calls for tap in taps]
    assert calls[0]
    if [(loss, far) for _, loss, far in calls[0]] != [(loss, far) for _, loss, far in calls[1]]:
        found.add("settings")
    for (own, loss, far), (other, *_) in zip(*calls, strict=True):
        if moved_too_far(own, other, loss, far):
            found.add("sensitivity")
    claim = fitted[0].privacy_
    if claim.mu is not None:
        spent, budget = sum(Fraction(c[1].mu) ** 2 for c in calls[0]), Fraction(claim.mu) ** 2
    else:
        spent, budget = sum(Fraction(c[1].epsilon) for c in calls[0]), Fraction(claim.epsilon)
    if spent > budget:
        found.add("price")
    faces = [public_face(distiller) for distiller in fitted]
    if any(not np.array_equal(faces[0][key], faces[1][key]) for key in faces[0]):
        found.add("release")
    return found


@pytest.mark.parametrize("student", some([None, "tree"], 2))
@pytest.mark.parametrize("name", TEACHERS)
def test_a_fit_is_a_function_of_what_got_noise(name, student):
    regression = is_regressor(TEACHERS[name][0])
    tree = DecisionTreeRegressor() if regression else DecisionTreeClassifier()
    assert replay(name, student=tree if student else None) == set()


@pytest.mark.parametrize("n_rounds", [2, 3])
@pytest.mark.parametrize("agree", [True, False])
def test_a_fit_with_a_small_clip_is_one_too(n_rounds, agree):
    """At a large ε the first answer is good: a member that the record turns around is cut."""
    y = np.ones(60, int) if agree else Y_PRIVATE[:60]
    assert (
        replay("ensemble of the loudest", y, epsilon=100.0, mechanism=ResidualRounds(n_rounds))
        == set()
    )


@pytest.mark.parametrize("name", BY_HEART)
def test_a_replay_finds_a_teacher_that_reaches_the_student(name, monkeypatch):
    """For certain: both worlds' teachers are asked about the record's own features."""
    leaked_teacher(monkeypatch)
    assert replay(name) == {"release"}


@pytest.mark.parametrize("name", ["ensemble, two rounds", "ensemble of regressors"])
def test_a_replay_finds_a_clip_that_is_not_paid_for(name, monkeypatch):
    """Its share is paid, and the move takes it as well: more than all, which `answer` refuses.

    With an `answer` that does not add up the shares, the replay finds it.
    """
    monkeypatch.setattr(rounds, "residual_rounds", overspending(rounds.residual_rounds))
    with pytest.raises(ValueError, match="more than 1"):
        replay(name)
    monkeypatch.setattr(calibration, "answer", generous)
    assert replay(name) == {"price"}


def test_a_replay_finds_a_bound_that_is_too_small():
    assert replay("tree", certificate=RowBound(0.2, 0.1)) == {"sensitivity"}


def test_a_replay_finds_a_clip_without_noise(monkeypatch):
    """Not charged, and taken from the members as it is."""

    def exact(norms, edges, share):
        return float(np.quantile(norms, 0.999))
        yield  # a generator, like the clip that is paid for

    monkeypatch.setattr(rounds, "_private_clip", exact)
    found = replay(
        "ensemble of the loudest", np.ones(60, int), epsilon=100.0, mechanism=ResidualRounds(2)
    )
    assert found >= {"settings"}
