"""Releases through a ledger: new ones are charged, earlier ones replayed.

The ledger here is a dictionary; ledgers in files are tested in tests/accounting.
"""

import contextlib
import math

import numpy as np
import pytest
from bounded_means import BoundedMeans
from matrices import some
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdistill import (
    Parameters,
    PrivacyLedger,
    PrivateDistiller,
    ResidualRounds,
    SoftLabels,
    TeacherEnsemble,
)
from skdistill.accounting import gaussian_mu
from skdistill.release.boundary import TeacherError
from skdistill.testing import no_noise

A, b = make_classification(900, random_state=0)
X = A[600:]
DELTA = 1e-6


class Book:
    """A ledger in memory."""

    replay, epsilon, delta = True, 1000.0, 1e-3

    def __init__(self):
        self.charges, self.held, self.inside = [], {}, 0

    def spend(self, epsilon, delta):
        raise AssertionError("a ledger is told the loss")

    def charge(self, loss, *, note=""):
        assert note
        self.charges.append(loss)

    @contextlib.contextmanager
    def locked(self, key):
        assert isinstance(key, bytes)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def recall(self, key):
        assert self.inside
        return list(self.held.get(key, ()))

    def remember(self, key, blob):
        assert self.inside
        self.held.setdefault(key, []).append(blob)

    @property
    def squares(self):
        return math.fsum(loss.mu**2 for loss in self.charges)

    def __deepcopy__(self, memo):
        return self

    def __sklearn_clone__(self):
        return self


def stable():
    return BoundedMeans(classes=[0, 1]).fit(A[:600], b[:600])


def ensemble():
    return TeacherEnsemble(LogisticRegression(), n_teachers=20, classes=[0, 1]).fit(
        A[:600], b[:600]
    )


def forest():
    return RandomForestClassifier(5).fit(A[:600], b[:600])


def distiller(teacher, book, **settings):
    settings = {"delta": DELTA, "random_state": 0, **settings}  # votes ask a random part of X
    return PrivateDistiller(teacher, LogisticRegression(), accountant=book, **settings)


CASES = [
    (forest, {}),
    (forest, {"mechanism": SoftLabels(temperature=2.0)}),
    (forest, {"mechanism": SoftLabels(basis=None)}),
    (forest, {"mechanism": "laplace", "delta": 0.0}),
    (stable, {}),
    (stable, {"mechanism": "laplace", "delta": 0.0}),
    (ensemble, {}),
    (ensemble, {"mechanism": ResidualRounds(1, None)}),
    (ensemble, {"mechanism": ResidualRounds(1)}),
    (ensemble, {"mechanism": ResidualRounds(2, "pca")}),
    (ensemble, {"mechanism": "laplace", "delta": 0.0}),
    (ensemble, {"mechanism": ResidualRounds(1, None, noise="laplace"), "delta": 0.0}),
    (ensemble, {"mechanism": "noisy_max"}),
    (ensemble, {"mechanism": "noisy_max", "delta": 0.0}),
    (ensemble, {"mechanism": "confident_max", "epsilon": 50.0}),
]
SETTINGS = [pytest.param(*case, marks=[pytest.mark.slow] * (i % 2)) for i, case in enumerate(CASES)]

pytestmark = pytest.mark.filterwarnings("ignore:The released labels are mostly noise")


@pytest.mark.parametrize(("make", "settings"), SETTINGS)
def test_the_same_release_costs_once_and_is_the_same_to_the_last_byte(make, settings):
    book, teacher = Book(), make()
    first = distiller(teacher, book, **settings).fit(X)
    assert len(book.charges) == 1
    again = distiller(FrozenEstimator(teacher), book, **settings)
    again.set_params(student__C=0.5).fit(X)
    assert len(book.charges) == 1
    assert again.released_labels_.tobytes() == first.released_labels_.tobytes()
    if hasattr(first, "class_prior_"):
        assert_array_equal(again.class_prior_, first.class_prior_)


@pytest.mark.parametrize(("make", "settings"), SETTINGS)
def test_one_release_costs_no_more_than_without_a_ledger(make, settings):
    book = Book()
    fitted = distiller(make(), book, **settings).fit(X)
    (loss,) = book.charges
    if loss.mu is None:
        assert 0 <= fitted.epsilon - loss.epsilon < 1e-8 * fitted.epsilon
    else:
        asked = gaussian_mu(fitted.epsilon, DELTA)
        assert 0 <= asked - loss.mu < 1e-8 * asked
    assert fitted.privacy_.epsilon == fitted.epsilon


@pytest.mark.parametrize(("make", "settings"), SETTINGS)
def test_a_ledger_changes_no_label_but_for_its_noise(make, settings):
    teacher = make()
    with no_noise():
        without = distiller(teacher, None, **settings).fit(X)
        within = distiller(teacher, Book(), **settings).fit(X)
    # Lattices of another fineness.
    assert_allclose(within.released_labels_, without.released_labels_, atol=2e-6)
    if hasattr(without, "class_prior_"):
        assert_allclose(within.class_prior_, without.class_prior_)


@pytest.mark.parametrize(("make", "settings"), SETTINGS)
def test_noise_through_a_ledger_is_as_large_as_without(make, settings):
    """The mean size of 600 noisy numbers, against that of 600 others: within a factor of 2.

    Sizes of Laplace noise are exponential: P(F(1200, 1200) outside [1/2, 2]) < 1e-31. Those of
    Gaussian noise spread less. (A ratio of two variances of Laplace noise spreads so much that 2
    is only 5 standard deviations away.) Not for votes and rounds, which are released whole by the
    code that is tested elsewhere, nor for labels that are smoothed later.
    """
    if getattr(settings.get("mechanism"), "basis", "auto") is not None:
        return  # made in rounds, smoothed, votes, or of parameters
    teacher = make()
    with no_noise():
        truth = distiller(teacher, None, **settings).fit(X).released_labels_
    for epsilons in ([1.0], [0.5, 1.0], [2.0, 1.0]):
        book = Book()
        for epsilon in epsilons:
            within = distiller(teacher, book, **{**settings, "epsilon": epsilon}).fit(X)
        without = distiller(teacher, None, **{**settings, "epsilon": 1.0}).fit(X)
        sizes = [np.mean(np.abs(fit.released_labels_ - truth)) for fit in (within, without)]
        assert 0.5 < sizes[0] / sizes[1] < 2.0


def test_one_round_is_smoothed_after_the_ledger_and_two_are_not():
    """In another basis one round is the same release, and two rounds are another one."""
    teacher = ensemble()
    for rounds, charges in ((1, 1), (2, 3)):
        book, found = Book(), []
        for basis in ("pca", "graph", lambda X: np.ones((len(X), 1))):
            mechanism = ResidualRounds(rounds, basis)
            settings = {"mechanism": mechanism, "epsilon": 1e4}  # no block is dropped
            fitted = distiller(teacher, book, **settings).fit(X)
            found.append(fitted.released_labels_)
        assert len(book.charges) == charges
        assert not any(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("make", [forest, stable])
def test_a_search_over_epsilon_costs_its_largest(make):
    book, teacher = Book(), make()
    for epsilon in (0.5, 2.0, 1.0, 2.0, 0.7):
        distiller(teacher, book, epsilon=epsilon).fit(X)
    assert math.sqrt(book.squares) == pytest.approx(gaussian_mu(2.0, DELTA), rel=1e-8)
    assert book.squares <= gaussian_mu(2.0, DELTA) ** 2
    assert len(book.charges) == 2  # .5, and from there to 2; nothing downwards


def test_folds_cost_the_union_of_their_rows_at_the_finest_noise():
    book = Book()
    grid = {"epsilon": [0.5, 1.0, 2.0], "student__C": [0.1, 1.0]}
    GridSearchCV(distiller(forest(), book), grid, cv=5).fit(X, b[600:])
    # Each fold asks 240 of 300 rows, so that their noise is smaller than a release of all at ε=2.
    finest = gaussian_mu(2.0, DELTA) * math.sqrt(300 / 240)
    assert math.sqrt(book.squares) == pytest.approx(finest, rel=1e-8)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_every_row_keeps_its_own_label(mechanism):
    book, teacher, mechanism_ = Book(), forest(), mechanism
    mechanism = SoftLabels(mechanism, basis=None)
    first = distiller(teacher, book, mechanism=mechanism).release(X)
    order = np.random.default_rng().permutation(len(X))[:200]
    fewer = distiller(teacher, book, mechanism=mechanism, epsilon=200 / 300)  # the same level
    if mechanism_ == "laplace":
        assert_array_equal(fewer.release(X[order]), first[order])
    with no_noise():
        book = Book()
        for rows, epsilon in ((order[:150], 0.5), (order, 1.0), (np.arange(300), 3.0)):
            through = distiller(teacher, book, mechanism=mechanism, epsilon=epsilon)
            truth = PrivateDistiller(teacher, epsilon=epsilon, mechanism=mechanism)
            assert_allclose(through.release(X[rows]), truth.release(X[rows]), atol=2e-6)


def test_parameters_do_not_depend_on_the_rows_and_cost_once():
    book, teacher = Book(), stable()
    grid = {"epsilon": [0.5, 1.0], "student__C": [0.1, 1.0]}
    GridSearchCV(distiller(teacher, book), grid, cv=3).fit(X, b[600:])
    assert math.sqrt(book.squares) == pytest.approx(gaussian_mu(1.0, DELTA), rel=1e-8)
    before = len(book.charges)
    softer = distiller(teacher, book, mechanism=Parameters(temperature=2.0))
    softer.set_params(student=Ridge()).fit(A[:40])
    assert len(book.charges) == before


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": SoftLabels(temperature=2.0)},
        {"mechanism": "laplace"},
        {"mechanism": SoftLabels(sampler="diffprivlib")},
        {"output_range": (0, 1)},
    ],
)
@pytest.mark.filterwarnings("ignore:output_range is for regressors")
def test_another_question_is_another_release(change):
    book, teacher = Book(), forest()
    distiller(teacher, book).fit(X)
    distiller(teacher, book, **change).fit(X)
    assert len(book.charges) == 2
    assert max(loss.epsilon for loss in book.charges) == pytest.approx(1.0)


@pytest.mark.parametrize("rows", [X[:100] + 1e-9, X[:, ::-1], X.astype(np.float32)])
def test_other_rows_are_other_releases(rows):
    book, teacher = Book(), forest()
    distiller(teacher, book).fit(X)
    distiller(teacher, book).fit(rows)
    assert len(book.charges) == 2
    assert book.charges[1].epsilon == pytest.approx(1.0)


def test_a_refitted_teacher_is_another_one():
    for make in (forest, stable, ensemble):
        book, teacher = Book(), make()
        distiller(teacher, book).fit(X)
        teacher.fit(A[1:601], b[1:601])
        distiller(teacher, book).fit(X)
        assert len(book.charges) == 2
    book = Book()
    for teacher in (stable(), stable()):  # equal parameters, from two fits
        distiller(teacher, book).fit(X)
    assert len(book.charges) == 2


def test_the_statement_says_what_replays_assume():
    assert any("ledger" in text for text in distiller(forest(), Book()).fit(X).privacy_.assumes)
    for teacher, book in ((forest(), None), (ensemble(), Book())):
        assert not any("ledger" in t for t in distiller(teacher, book).fit(X).privacy_.assumes)
    quiet = Book()
    quiet.replay = False
    assert not any("ledger" in t for t in distiller(forest(), quiet).fit(X).privacy_.assumes)


def test_without_replay_every_fit_is_charged_in_full():
    book, teacher = Book(), forest()
    book.replay = False
    first, second = (distiller(teacher, book).fit(X) for _ in range(2))
    assert [loss.epsilon for loss in book.charges] == [1.0, 1.0]
    # Equal by chance: one entry in 1e8 or more, so that 6 of 600 are with less than 1e-30.
    assert np.mean(first.released_labels_ == second.released_labels_) < 0.01
    assert not book.held


def test_a_teacher_without_identity_is_charged_every_time():
    class Local(LogisticRegression):  # cannot be pickled
        pass

    book, teacher = Book(), Local().fit(A[:600], b[:600])
    for _ in range(2):
        distiller(teacher, book).fit(X)
    assert len(book.charges) == 2 and not book.held


class Deep(LogisticRegression):
    """Holds a list in a list ..., as deep as its largest cell says: then it does not pickle."""

    def fit(self, X, y):
        self.rules_ = None
        for _ in range(int(np.abs(X).max())):
            self.rules_ = [self.rules_]
        return super().fit(np.clip(X, -5, 5), y)


@pytest.mark.parametrize("mechanism", ["gaussian", "noisy_max"])
def test_a_record_that_makes_a_member_deep_changes_no_charge(mechanism):
    """Its second fit was charged, or refused with a BudgetError, for the record's sake."""
    other = A[:600].copy()
    other[3, 1] = 10000
    charged = []
    for rows in (A[:600], other):
        book, teacher = Book(), TeacherEnsemble(Deep(), 20, classes=[0, 1], random_state=0)
        teacher.fit(rows, b[:600])
        for _ in range(2):
            distiller(teacher, book, mechanism=mechanism).fit(X)
        charged.append([loss.epsilon for loss in book.charges])
    assert charged[0] == charged[1] and len(charged[0]) == 1


@pytest.mark.parametrize(
    ("step", "releases"), [(FunctionTransformer(), 1.5), (StandardScaler(), 3)]
)
def test_preprocessing_that_learns_makes_other_rows_of_every_fold(step, releases):
    """A sharp edge that the guide names. (1.5: three folds of 2/3 of X, each row once.)"""
    book = Book()
    cross_val_score(make_pipeline(step, distiller(forest(), book)), X, b[600:], cv=3)
    assert book.squares == pytest.approx(gaussian_mu(1.0, DELTA) ** 2 * releases, rel=1e-8)


def test_releases_without_a_student_share_the_ledger():
    book, teacher = Book(), forest()
    student = distiller(teacher, book)
    first = student.release(X)
    assert_array_equal(student.release(X), first)
    assert_array_equal(student.fit(X).released_labels_, first)
    assert len(book.charges) == 1


def test_regression():
    A, t = make_regression(400, 5, random_state=0)
    book, teacher = Book(), LinearRegression().fit(A[:300], t[:300])
    settings = {"output_range": (-300, 300), "accountant": book, "delta": DELTA}
    with pytest.warns(UserWarning, match="mostly noise"):
        first = PrivateDistiller(teacher, Ridge(), epsilon=5.0, **settings).fit(A[300:])
        again = PrivateDistiller(teacher, Ridge(), epsilon=5.0, **settings).fit(A[300:])
    assert first.released_labels_.shape == (100,)
    assert_array_equal(again.released_labels_, first.released_labels_)
    with pytest.warns(UserWarning, match="mostly noise"):
        PrivateDistiller(teacher, Ridge(), epsilon=6.0, **settings).fit(A[300:])
    assert book.squares == pytest.approx(gaussian_mu(6.0, DELTA) ** 2, rel=1e-8)


# -------------------------------------------------------------------------------------- failures


class Watched(ClassifierMixin, BaseEstimator):
    """Says how many rows it was asked, and whether they were paid for."""

    def __init__(self, fails=False):
        self.fails = fails

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        assert BOOK.inside == 1
        seen.append((len(X), BOOK.squares))
        if self.fails:
            raise RuntimeError
        return np.tile([0.5, 0.5], (len(X), 1))


BOOK = Book()
seen = []


def test_the_teacher_is_asked_for_new_rows_alone_after_the_charge():
    BOOK.__init__()
    seen.clear()
    teacher = Watched().fit(None, None)
    for rows, epsilon in [(X[:100], 1.0), (X, 1.0), (X[50:150], 0.1), (X, 2.0)]:
        distiller(teacher, BOOK, epsilon=epsilon).fit(rows)
    mu = gaussian_mu(1.0, DELTA)
    # 300 rows at ε=1 are noisier than 100 rows: only the 200 new ones are asked.
    assert seen[0] == (100, pytest.approx(mu**2))
    assert seen[1] == (200, pytest.approx(mu**2 * (1 + 2 / 3)))
    finest = gaussian_mu(2.0, DELTA) ** 2 / 300
    paid = 100 * max(mu**2 / 100, finest) + 200 * max(mu**2 / 300, finest)
    assert BOOK.squares == pytest.approx(paid, rel=1e-8)


def test_a_teacher_that_raised_is_paid_for_and_nothing_is_remembered():
    BOOK.__init__()
    seen.clear()
    teacher = Watched(fails=True).fit(None, None)
    for n in (1, 2):
        with pytest.raises(TeacherError):
            distiller(teacher, BOOK).fit(X)
        assert len(BOOK.charges) == n and not BOOK.held and not BOOK.inside


def test_a_refused_charge_asks_and_remembers_nothing():
    class Poor(Book):
        def charge(self, loss, *, note=""):
            raise RuntimeError("no budget")

    seen.clear()
    book = Poor()
    with pytest.raises(RuntimeError, match="no budget"):
        distiller(Watched().fit(None, None), book).fit(X)
    assert not seen and not book.held and not book.inside


@pytest.mark.parametrize("n_classes", some([2, 4], 2))
def test_the_file_of_a_search_is_at_most_twice_its_labels(n_classes, tmp_path):
    """They are one block for each release, not a row of the table each."""
    rows, y = make_classification(
        3_200, n_informative=6, n_classes=n_classes, n_clusters_per_class=1, random_state=0
    )
    teacher = LogisticRegression(max_iter=2000).fit(rows[:200], y[:200])
    ledger = PrivacyLedger.create(tmp_path / "ledger", 1e3, 1e-6)
    student = PrivateDistiller(
        teacher, LogisticRegression(max_iter=2000), delta=1e-6, accountant=ledger
    )
    for epsilon in (40.0, 80.0):
        for fold in range(5):
            student.set_params(epsilon=epsilon).fit(
                np.delete(rows, np.s_[640 * fold : 640 * fold + 640], 0)
            )
    labels = 2 * len(rows) * n_classes * 8
    assert (tmp_path / "ledger").stat().st_size < 2 * labels
