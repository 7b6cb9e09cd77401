"""Teachers on disjoint shards, from PrivateDistiller to the integers that leave."""

import math
import traceback
import warnings
from dataclasses import replace

import numpy as np
import pytest
from matrices import some
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from skdistill import PrivateDistiller, ResidualRounds
from skdistill.accounting import BudgetAccountant, PrivacyLoss
from skdistill.accounting.relation import Relation, Unit
from skdistill.certificates import DisjointTeachers, certify
from skdistill.release import votes as votes_module
from skdistill.teachers import TeacherEnsemble
from skdistill.testing import _put_up, no_noise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5000, 4))
Y = (X @ [2.0, -1.0, 0.5, 0.0] + 0.3 * RNG.normal(size=5000) > 0).astype(int)
PUBLIC, TRUTH = X[4000:], Y[4000:]
VALUES = X @ [2.0, -1.0, 0.5, 0.0]
pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


@pytest.fixture(scope="module")
def ensemble():
    return TeacherEnsemble(LogisticRegression(), 100, random_state=0).fit(X[:4000], Y[:4000])


@pytest.fixture(scope="module")
def regressor():
    return TeacherEnsemble(Ridge(), 100, random_state=0).fit(X[:4000], VALUES[:4000])


# ------------------------------------------------------------------------------------- behaviour


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mechanism": ResidualRounds(1)},
        {"mechanism": ResidualRounds(3)},
        {"mechanism": ResidualRounds(basis="pca")},
        {"mechanism": ResidualRounds(basis="graph")},
        {"mechanism": ResidualRounds(basis=lambda X: np.asarray(X)[:, :3])},
        {"mechanism": ResidualRounds(basis=PUBLIC[:, :3])},
        {"mechanism": "noisy_max"},
        {"mechanism": "noisy_max", "delta": 0},
        {"mechanism": "confident_max"},
        {"mechanism": "confident_max", "student": LabelSpreading()},
        {
            "mechanism": "noisy_max",
            "student": SelfTrainingClassifier(LogisticRegression()),
            "max_queries": 300,
        },
    ],
    ids=lambda options: str(options)[:60],
)
def test_a_student_learns_from_many_teachers(ensemble, options):
    distiller = PrivateDistiller(ensemble, epsilon=20.0, **{"delta": 1e-5, **options})
    assert distiller.fit(PUBLIC).score(PUBLIC, TRUTH) > 0.85
    assert distiller.privacy_.private
    assert distiller.privacy_.certificate["name"] == "disjoint teachers"


@pytest.mark.parametrize(
    "options", [{}, {"mechanism": ResidualRounds(1)}, {"delta": 0, "epsilon": 3000.0}], ids=str
)
def test_regression(regressor, options):
    distiller = PrivateDistiller(
        regressor, output_range=(-10, 10), **{"epsilon": 20.0, "delta": 1e-5, **options}
    )
    assert distiller.fit(PUBLIC).score(PUBLIC, VALUES[4000:]) > 0.9


@pytest.mark.slow
def test_two_rounds_beat_one_at_a_small_epsilon(ensemble):
    """Mean squared error of the labels, 10 releases each; the ratio is far from 1."""
    exact = ensemble.predict_proba(PUBLIC)[:, 1]

    def error(*settings):
        mechanism = ResidualRounds(*settings)
        distiller = PrivateDistiller(ensemble, epsilon=2.0, delta=1e-5, mechanism=mechanism)
        return np.mean([np.mean((distiller.release(PUBLIC)[:, 1] - exact) ** 2) for _ in range(10)])

    plain = error(1, None)
    assert error(2) < 0.1 * plain
    assert error(1) < 0.1 * plain  # smoothed


def test_the_labels_without_noise_are_the_average_vote(ensemble):
    with no_noise():
        labels = PrivateDistiller(ensemble, mechanism=ResidualRounds(1, None)).release(PUBLIC)
    assert np.allclose(labels, ensemble.predict_proba(PUBLIC), atol=1e-5)


def test_infinite_epsilon_is_the_average_itself(ensemble):
    distiller = PrivateDistiller(ensemble, epsilon=math.inf).fit(PUBLIC)
    assert np.allclose(distiller.released_labels_, ensemble.predict_proba(PUBLIC))
    assert not distiller.privacy_.private


def test_three_classes():
    data, y = load_iris(return_X_y=True)
    teacher = TeacherEnsemble(LogisticRegression(max_iter=1000), 5, random_state=0).fit(data, y)
    distiller = PrivateDistiller(teacher, epsilon=1e5, delta=1e-5).fit(data)
    assert distiller.score(data, y) > 0.85


# ----------------------------------------------------------------------- the bound, the statement


def test_the_certificate(ensemble, regressor):
    bound = certify(ensemble)
    assert isinstance(bound, DisjointTeachers)
    assert (bound.l1, bound.l2) == (2 / 100, math.sqrt(2) / 100)
    assert "the set of class labels is public" in bound.assumes
    assert bound.class_counts().sum() == 4000
    assert certify(regressor, output_range=(0.0, 5.0)).l2 == 0.05
    given = TeacherEnsemble(LogisticRegression(), 10, classes=[0, 1]).fit(X, Y)
    assert "the set of class labels is public" not in certify(given).assumes


def test_groups_make_it_group_level():
    groups = np.arange(4000) // 8
    teacher = TeacherEnsemble(LogisticRegression(), 20).fit(X[:4000], Y[:4000], groups=groups)
    statement = PrivateDistiller(teacher, epsilon=50.0).fit(PUBLIC).privacy_
    assert statement.unit == Unit.GROUP and statement.relation == Relation.REPLACE_ONE
    assert any("group labels" in text for text in statement.assumes)


class Meddler(TeacherEnsemble):
    def member_votes(self, X, function=None):
        return iter([function(np.eye(2)[np.ones(len(X), dtype=int)])] * 100)


def test_a_subclass_does_not_inherit_the_proof():
    assert certify(Meddler(LogisticRegression(), 100).fit(X, Y)).name == "worst case"


def test_in_pipelines():
    stateless = make_pipeline(Normalizer(), TeacherEnsemble(LogisticRegression(), 50))
    distiller = PrivateDistiller(stateless.fit(X[:4000], Y[:4000]), epsilon=20.0, delta=1e-5)
    assert distiller.fit(PUBLIC).privacy_.certificate["name"] == "disjoint teachers"
    assert distiller.score(PUBLIC, TRUTH) > 0.8
    learned = make_pipeline(StandardScaler(), TeacherEnsemble(LogisticRegression(), 50))
    assert certify(learned.fit(X, Y)).name == "worst case"


def test_the_statement_names_the_rounds(ensemble):
    distiller = PrivateDistiller(ensemble)
    assert distiller.preview(PUBLIC).mechanism == "gaussian, 2 residual rounds"
    assert distiller.set_params(mechanism=ResidualRounds(1)).preview(PUBLIC).mechanism == "gaussian"


class Recorder:
    """A sampler without noise that notes each request."""

    name, private = "recorder", False

    def __init__(self):
        self.asked = []

    def perturb(self, values, loss, sensitivity):
        self.asked.append((values.copy(), loss, sensitivity))
        return values


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mechanism": ResidualRounds(1)},
        {"mechanism": ResidualRounds(4)},
        {"mechanism": "noisy_max"},
        {"mechanism": "confident_max"},
    ],
    ids=str,
)
def test_all_parts_of_a_release_together_cost_what_was_charged(ensemble, options):
    recorder = Recorder()
    distiller = PrivateDistiller(ensemble, delta=1e-5, max_queries=200, **options)
    with _put_up(recorder):
        distiller.calibrate(PUBLIC).draw(ensemble)
    spent = math.fsum(loss.mu**2 for _, loss, _ in recorder.asked)
    charged = PrivacyLoss.gaussian(1.0, 1e-5).mu ** 2
    assert spent <= charged
    assert spent > 0.6 * charged or options.get("mechanism") == "confident_max"


class OneRecord(ClassifierMixin, BaseEstimator):
    """Answers by the mean of its labels, all or nothing; as sensitive as a member can be."""

    def fit(self, X, y):
        self.classes_, self.answer_ = np.array([0, 1]), int(np.mean(y) > 0.5)
        return self

    def predict_proba(self, X):
        return np.tile(np.eye(2)[self.answer_], (len(X), 1))

    def predict(self, X):
        return np.full(len(X), self.answer_)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace", "noisy_max"])
@pytest.mark.parametrize("k", some([3, 7], 2))
def test_one_record_moves_the_first_integers_by_no_more_than_was_said(mechanism, k):
    y = np.arange(21) % 2
    moved = []
    for i in range(21):
        asked = []
        for flip in (False, True):
            labels = y.copy()
            labels[i] ^= flip
            teacher = TeacherEnsemble(OneRecord(), k, classes=[0, 1], random_state=0)
            teacher.fit(X[:21], labels)
            recorder = Recorder()
            if mechanism != "noisy_max":
                mechanism_ = ResidualRounds(1, None, noise=mechanism)
            else:
                mechanism_ = mechanism
            distiller = PrivateDistiller(
                teacher,
                delta=0.0 if mechanism == "laplace" else 1e-5,
                mechanism=mechanism_,
                threshold=None,
                max_queries=30,
            )
            with _put_up(recorder):
                distiller.calibrate(PUBLIC[:30]).draw(teacher)
            asked.append(recorder.asked[0])
        difference = (asked[0][0] - asked[1][0]).astype(float)
        norm = np.abs(difference).sum() if mechanism == "laplace" else np.linalg.norm(difference)
        assert norm <= asked[0][2]
        moved.append(norm / asked[0][2])
    assert max(moved) > 0.999  # the bound is met: it is not larger than it must be


# ------------------------------------------------------------------------------- hostile members


class Fails(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        if X[0, 0] > 0:
            raise ValueError("canary-51")
        return self

    def predict_proba(self, X):
        warnings.warn("canary-52", UserWarning, stacklevel=1)
        raise ValueError("canary-53")


class FailingRegressor(RegressorMixin, Fails):
    def predict(self, X):
        return np.full(len(X), np.inf)


@pytest.fixture
def unrehearsed(monkeypatch):
    """Members that fail on public rows, too: without the rehearsal, which would say so."""
    monkeypatch.setattr(TeacherEnsemble, "rehearse", lambda self, X, transformer=None: None)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace", "noisy_max"])
def test_members_that_fail_vote_uniform_and_stay_silent(mechanism, capfd, unrehearsed):
    teacher = TeacherEnsemble(Fails(), 40, random_state=0).fit(X, Y)
    distiller = PrivateDistiller(
        teacher, epsilon=1e6, mechanism=mechanism, delta=0 if mechanism == "laplace" else 1e-5
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels = distiller.release(PUBLIC)
    if mechanism != "noisy_max":
        assert np.allclose(labels, 0.5, atol=0.02)
    texts = [str(each.message) for each in caught] + list(capfd.readouterr())
    assert not any("canary" in text for text in texts)


def test_a_regressor_out_of_range_is_clipped(unrehearsed):
    teacher = TeacherEnsemble(FailingRegressor(), 5).fit(X, VALUES)
    labels = PrivateDistiller(
        teacher, epsilon=1e6, output_range=(0, 8), mechanism=ResidualRounds(1)
    ).release(PUBLIC)
    # Infinite: 8; failed: the middle. The noise has a deviation of 0.036: 0.5 is 13 of them.
    assert ((labels > 3.5) & (labels < 8.5)).all()


def test_an_iterator_that_raises_shows_no_canary(ensemble):
    secret = f"canary-{RNG.integers(10**9)}"

    def shout(X, function):
        raise ValueError(secret)

    bound = replace(certify(ensemble), member_votes=shout)
    for mechanism in ("gaussian", "noisy_max"):
        with pytest.raises(ValueError, match="withheld") as caught:
            PrivateDistiller(ensemble, certificate=bound, mechanism=mechanism).fit(PUBLIC)
        assert secret not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None


# -------------------------------------------------------------------------------- composition


def test_in_a_search(ensemble):
    grid = [
        {"mechanism__n_rounds": [1, "auto"], "mechanism__temperature": [1, 2]},
        {"mechanism": ["noisy_max"]},
    ]
    accountant = BudgetAccountant()
    search = GridSearchCV(
        PrivateDistiller(
            FrozenEstimator(ensemble), epsilon=20.0, mechanism=ResidualRounds(),
            accountant=accountant,
        ),
        grid, cv=2, error_score="raise",
    ).fit(PUBLIC, TRUTH)  # fmt: skip
    assert search.best_score_ > 0.8
    assert len(accountant) == 2 * 5 + 1


def test_a_clone_needs_no_second_training(ensemble):
    twin = clone(PrivateDistiller(ensemble, epsilon=20.0))
    assert twin.fit(PUBLIC).score(PUBLIC, TRUTH) > 0.85
    with pytest.raises(NotFittedError):
        PrivateDistiller(clone(ensemble)).fit(PUBLIC)


@pytest.mark.parametrize(
    "student", [LabelSpreading(), SelfTrainingClassifier(LogisticRegression())]
)
def test_unanswered_rows_reach_a_semi_supervised_student(ensemble, student):
    distiller = PrivateDistiller(
        ensemble, student, mechanism="confident_max", epsilon=8.0, max_queries=400, random_state=0
    ).fit(PUBLIC)
    assert distiller.student_.n_features_in_ == 4
    learned = getattr(distiller.student_, "transduction_", None)
    if learned is not None:
        assert len(learned) == len(PUBLIC)
    assert distiller.score(PUBLIC, TRUTH) > 0.8


def test_semi_supervised_students_need_whole_numbers():
    teacher = TeacherEnsemble(LogisticRegression(), 20).fit(X, np.array(["a", "b"])[Y])
    with pytest.raises(ValueError, match="LabelEncoder"):
        PrivateDistiller(teacher, LabelSpreading(), epsilon=20.0).fit(PUBLIC)


def test_no_answer_at_all_is_said_clearly(ensemble, monkeypatch):
    def nothing(counts, loss, threshold, max_answers):
        return np.full(len(counts), -1)
        yield

    monkeypatch.setattr(votes_module, "confident_max", nothing)
    with pytest.raises(ValueError, match="No row got a confident answer"):
        PrivateDistiller(ensemble, mechanism="confident_max", max_queries=10).fit(PUBLIC)


def test_auto_takes_one_round_where_a_first_one_shows_nothing():
    few = TeacherEnsemble(LogisticRegression(), 5, random_state=0).fit(X[:4000], Y[:4000])
    distiller = PrivateDistiller(few, epsilon=0.5)
    assert distiller.preview(PUBLIC).mechanism == "gaussian"
    assert (
        distiller.set_params(mechanism=ResidualRounds(2))
        .preview(PUBLIC)
        .mechanism.endswith("2 residual rounds")
    )
    assert (
        distiller.set_params(mechanism=ResidualRounds(), epsilon=100.0)
        .preview(PUBLIC)
        .mechanism.endswith("2 residual rounds")
    )


def test_rows_that_are_not_numbers_have_no_basis_of_their_own():
    texts = np.array(["good" if y else "bad" for y in Y[:200]], dtype=object)
    member = make_pipeline(CountVectorizer(), LogisticRegression())
    teacher = TeacherEnsemble(member, 5, random_state=0).fit(texts, Y[:200])
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(teacher, Texts(), accountant=accountant, epsilon=20.0)
    with pytest.raises(TypeError, match="No public basis can be made"):  # two rounds need one
        distiller.set_params(mechanism=ResidualRounds(2)).fit(texts)
    assert len(accountant) == 0
    own = lambda rows: np.ones((len(rows), 1))  # noqa: E731
    for mechanism in (ResidualRounds(), ResidualRounds(1), ResidualRounds(1, None)):
        statement = distiller.set_params(mechanism=mechanism).fit(texts).privacy_
        assert statement.mechanism == "gaussian"
    assert distiller.set_params(mechanism=ResidualRounds(2, own)).fit(texts)
    # A pipeline as student encodes texts, for the basis as well.
    assert distiller.set_params(student=member, mechanism=ResidualRounds(2)).fit(texts)
    assert len(accountant) == 5


class Texts(ClassifierMixin, BaseEstimator):
    """A student that reads texts and is no pipeline."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def predict(self, X):
        return np.full(len(X), self.classes_[0])
