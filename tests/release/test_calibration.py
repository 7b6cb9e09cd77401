"""From a bound to a release, and the noise that is really on it, measured end to end.

Each test of noise draws N values whose law is known (rounded noise of a stated scale on constant
labels) and compares their mean square with its expectation. By the central limit theorem the
relative error of a mean of squares has standard deviation √(κ-1)/√N (κ the kurtosis: 3 or 6); N is
such that 6 standard deviations (false alarm 2e-9) stay below 2 %, and noise that is 3 % too small
(6 % in the square) is seen with certainty.
"""

import math
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone

from skdistill import PrivateDistiller
from skdistill.accounting import BudgetAccountant, PrivacyLoss
from skdistill.certificates import (
    AlreadyPrivate,
    Certificate,
    DisjointTeachers,
    ParameterBall,
    RowBound,
)
from skdistill.release.boundary import TeacherError
from skdistill.release.calibration import (
    PRIOR_SHARE,
    Release,
    calibrate,
    check_mechanism,
    choose_mechanism,
    choose_queries,
)
from skdistill.release.class_counts import counts_query, mean_label
from skdistill.release.mechanism import Mechanism, TransferSet
from skdistill.release.noise import ExactSampler
from skdistill.release.parameters import Parameters
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.release.soft_labels import SoftLabels, Unprotected
from skdistill.release.votes import ConfidentMax, NoisyMax
from skdistill.testing import no_noise

CLASSES = np.array([0, 1, 2, 3])
M = 120_000


class Constant(ClassifierMixin, BaseEstimator):
    classes_ = CLASSES

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.full((len(X), 4), 0.25)


class ConstantValue(RegressorMixin, BaseEstimator):
    def predict(self, X):
        return np.full(len(X), 3.0)


def agrees(noise, scale, kind):
    mean_square = np.mean(np.square(noise))
    expected = scale**2 * (2 if kind == "laplace" else 1)
    tolerance = 6 * math.sqrt((5 if kind == "laplace" else 2) / noise.size)
    assert tolerance < 0.03
    return abs(mean_square / expected - 1) < tolerance


def release_of(bound, kind, n_rows=M, classes=CLASSES, output_range=None, X=None, **options):
    asked = TransferSet(
        np.zeros((n_rows, 1)) if X is None else X, np.arange(n_rows), classes, output_range
    )
    settings = {"basis": None} if bound.kind in ("rows", "members") else {}
    by_kind = {"rows": SoftLabels, "members": ResidualRounds, "parameters": Parameters}
    mechanism = by_kind[bound.kind](noise=kind, **settings)
    return calibrate(bound, asked, 1.0, 0.0 if kind == "laplace" else 1e-5, mechanism, **options)


def loss(kind):
    return PrivacyLoss.laplace(1.0) if kind == "laplace" else PrivacyLoss.gaussian(1.0, 1e-5)


def ball_of(weights, radius, link=lambda scores: scores, **options):
    return ParameterBall(
        radius, weights=lambda: weights, features=lambda X: X, link=link, **options
    )


# ------------------------------------------------------------------------------------- the noise


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
@pytest.mark.parametrize(("l1", "l2"), [(2.0, math.sqrt(2)), (0.5, 0.3)])
def test_noise_on_soft_labels(kind, l1, l2):
    """Bounds are widened by 0.1 % at most, to make room for rounding."""
    release = release_of(RowBound(l1, l2), kind)
    labels = release.draw(Constant()).values
    moved = M * l1 if kind == "laplace" else math.sqrt(M) * l2
    assert labels.shape == (M, 4)
    assert agrees(labels - 0.25, loss(kind).scale(moved), kind)
    assert not agrees((labels - 0.25) * 0.97, loss(kind).scale(moved), kind)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noise_on_values(kind):
    bound = RowBound(10.0, 10.0)
    release = release_of(bound, kind, n_rows=4 * M, classes=None, output_range=(-2.0, 8.0))
    labels = release.draw(ConstantValue()).values
    moved = 10 * (4 * M if kind == "laplace" else math.sqrt(4 * M))
    assert agrees(labels - 3.0, loss(kind).scale(moved), kind)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noise_on_parameters(kind):
    """The labels are the scores of unit vectors, and so the noisy parameters themselves."""
    weights = np.zeros((4, 100_000))
    release = release_of(ball_of(weights, 0.37), kind, n_rows=4)
    query = next(release.queries(None))
    noisy = ExactSampler().perturb(
        query.measure(None), release.loss, query.l1 if kind == "laplace" else query.l2
    )
    moved = 0.37 * math.sqrt(weights.size) if kind == "laplace" else 0.37
    assert agrees(noisy * query.step, loss(kind).scale(moved), kind)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noise_on_the_class_counts_and_what_is_left_for_the_labels(kind):
    counts = np.full(400_000, 10**9)
    bound = RowBound(2.0, math.sqrt(2), class_counts=lambda: counts)
    release = release_of(bound, kind, n_rows=1, classes=np.arange(400_000))
    query = next(release.queries(None))
    assert (query.name, query.share) == ("class counts", PRIOR_SHARE)
    bare = counts_query(lambda: counts, np.arange(400_000))
    assert (query.l1, query.l2) == (bare.l1, bare.l2)
    share = release.loss.part(query.share)
    asked = query.of(None, query.share)
    noise = ExactSampler().perturb(asked.values, share, asked.sensitivity(share)) - counts
    expected = loss(kind).part(Fraction(1, 50))
    assert agrees(noise, expected.scale(2.0 if kind == "laplace" else math.sqrt(2)), kind)
    left = release.label_loss
    assert release.label_share + PRIOR_SHARE == 1
    if kind == "laplace":
        assert left.epsilon + share.epsilon <= 1.0
        assert left.epsilon + share.epsilon == pytest.approx(1.0)
    else:
        total = left.mu**2 + share.mu**2
        assert total <= loss(kind).mu ** 2
        assert total == pytest.approx(loss(kind).mu ** 2)


def test_parameters_are_released_once_whatever_the_number_of_rows():
    ball = ball_of(
        np.zeros((1, 3)), 0.1, lambda scores: np.column_stack([1 - scores[:, 0], scores[:, 0]])
    )
    X = np.tile(np.eye(3), (1000, 1))
    release = release_of(ball, "gaussian", n_rows=len(X), classes=np.array([0, 1]), X=X)
    labels = release.draw(None).values[:, 1]
    assert len(np.unique(labels)) == 3  # the same noisy parameters for every row


@pytest.mark.parametrize("width", [1e-9, 1.0, 1e9])
def test_the_release_tells_the_noise_scale(width):
    bound = RowBound(width, width)
    release = release_of(bound, "gaussian", classes=None, output_range=(0.0, width))
    labels = release.draw(ConstantValue())
    assert labels.noise_scale == release.noise_scale
    assert np.std(labels.values) == pytest.approx(release.noise_scale, rel=6 / math.sqrt(2 * M))


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_a_share_of_the_budget_is_the_whole_budget():
    distiller = PrivateDistiller(Constant(), epsilon=1.0, delta=1e-5)
    statement = distiller.preview(np.zeros((5, 1)))
    assert (statement.epsilon, statement.delta) == (1.0, 1e-5)


# ----------------------------------------------------------------------- which mechanism, and how

ROWS = RowBound(0.4, 0.3)
MEMBERS = DisjointTeachers(0.02, 0.01 * math.sqrt(2), n_teachers=100)
PARAMETERS = ball_of(np.zeros((1, 2)), 0.1)
PRIVATE = AlreadyPrivate(0.5)
NOTHING = Certificate()
ASKED = TransferSet(np.zeros((50, 1)), np.arange(50), np.array([0, 1]))


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (ROWS, SoftLabels),
        (MEMBERS, ResidualRounds),
        (PARAMETERS, Parameters),
        (PRIVATE, Unprotected),
        (NOTHING, Unprotected),
    ],
)
@pytest.mark.parametrize("setting", ["auto", "gaussian", "laplace"])
def test_the_kind_of_a_certificate_decides_the_mechanism(bound, expected, setting):
    chosen = choose_mechanism(setting, bound)
    assert type(chosen) is expected
    assert chosen.noise == (setting if expected is not Unprotected else "auto")


@pytest.mark.parametrize(
    ("setting", "bound"),
    [
        (SoftLabels(), MEMBERS),
        (SoftLabels(), PARAMETERS),
        (ResidualRounds(), ROWS),
        (Parameters(), ROWS),
        ("noisy_max", ROWS),
        (NoisyMax(), PARAMETERS),
        (ConfidentMax(), ROWS),
    ],
    ids=str,
)
def test_a_mechanism_for_another_certificate_is_refused(setting, bound):
    with pytest.raises(ValueError, match='Use mechanism="auto"'):
        choose_mechanism(setting, bound)


def test_settings_are_copied_and_a_teacher_that_is_private_keeps_its_temperature():
    given = SoftLabels(temperature=2.0)
    assert choose_mechanism(given, ROWS) is not given
    assert choose_mechanism(given, PRIVATE).temperature == 2.0
    assert clone(given).temperature == 2.0


@pytest.mark.parametrize("setting", ["noisy_max", "confident_max", "auto", ResidualRounds(3)])
def test_good_settings_pass(setting):
    check_mechanism(setting)


@pytest.mark.parametrize(
    ("setting", "error", "text"),
    [
        ("dropout", ValueError, "unknown. Use one of 'auto', 'gaussian', 'laplace', 'noisy_max'"),
        (None, ValueError, "unknown"),
        (3, ValueError, "unknown"),
        (SoftLabels, TypeError, r"pass an object: SoftLabels\(\)"),
        (SoftLabels(noise="uniform"), ValueError, "noise='uniform'"),
        (SoftLabels(sampler="numpy"), ValueError, "sampler='numpy'"),
        (SoftLabels(basis="fourier"), ValueError, "basis='fourier'"),
        (SoftLabels(temperature=-1), ValueError, "temperature=-1"),
        (SoftLabels(temperature=math.nan), ValueError, "temperature=nan"),
        (SoftLabels(temperature=True), TypeError, "temperature=True"),
        (Parameters(temperature=0), ValueError, "temperature=0"),
        (ResidualRounds(n_rounds=0), ValueError, "n_rounds=0"),
    ],
)
def test_bad_settings_are_named(setting, error, text):
    with pytest.raises(error, match=text):
        check_mechanism(setting)


@pytest.mark.parametrize(
    "setting",
    [
        "dropout",
        SoftLabels,
        ResidualRounds(n_rounds=0),
        ResidualRounds(),
        Parameters(),
        "noisy_max",
        ConfidentMax(max_answers=2.5),
        SoftLabels(temperature=0.5),  # with a bound
    ],
    ids=str,
)
def test_bad_settings_fail_before_the_charge(setting, binary):
    _, _, X, _, teacher = binary
    accountant = BudgetAccountant()
    distiller = PrivateDistiller(
        teacher, mechanism=setting, certificate=RowBound(0.2, 0.1), accountant=accountant
    )
    with pytest.raises((ValueError, TypeError)):
        distiller.fit(X)
    assert len(accountant) == 0


@pytest.mark.parametrize(
    ("bound", "setting", "delta", "kind"),
    [
        (ROWS, "auto", 0.0, "laplace"),
        (ROWS, "auto", 1e-6, "gaussian"),
        (ROWS, "laplace", 1e-6, "laplace"),
        (MEMBERS, "auto", 0.0, "laplace"),
        (MEMBERS, "laplace", 1e-6, "laplace"),
        (MEMBERS, "auto", 1e-6, "gaussian"),
        (MEMBERS, "noisy_max", 0.0, "laplace"),
        (MEMBERS, "noisy_max", 1e-6, "gaussian"),
        (PARAMETERS, "auto", 0.0, "laplace"),
        (PARAMETERS, "auto", 1e-6, "gaussian"),
    ],
)
def test_the_price_of_a_release(bound, setting, delta, kind):
    release = calibrate(bound, ASKED, 1.0, delta, setting)
    expected = PrivacyLoss.laplace(1.0) if kind == "laplace" else PrivacyLoss.gaussian(1.0, delta)
    assert (release.loss.kind, release.loss.epsilon) == (kind, 1.0)
    assert release.loss.mu == expected.mu
    statement = release.statement()
    assert (statement.epsilon, statement.mu) == (1.0, expected.mu)
    assert statement.private


def test_soft_labels_take_the_law_with_less_noise():
    """One row: Laplace noise is the smaller at a small δ; many rows: Gaussian noise."""
    one = TransferSet(np.zeros((1, 1)), np.arange(1), None, (0.0, 1.0))
    many = TransferSet(np.zeros((1000, 1)), np.arange(1000), None, (0.0, 1.0))
    bound = RowBound(1.0, 1.0)
    for asked, kind in ((one, "laplace"), (many, "gaussian")):
        scales = {
            law: calibrate(bound, asked, 1.0, 1e-6, SoftLabels(law, basis=None)).noise_scale
            for law in ("gaussian", "laplace")
        }
        chosen = calibrate(bound, asked, 1.0, 1e-6, SoftLabels(basis=None))
        assert chosen.loss.kind == kind
        assert chosen.noise_scale == min(scales.values())


def test_gaussian_noise_without_delta_is_refused():
    for bound in (ROWS, MEMBERS, PARAMETERS):
        with pytest.raises(ValueError, match="delta"):
            calibrate(bound, ASKED, 1.0, 0.0, "gaussian")


def test_infinite_epsilon_and_private_teachers_are_free():
    for release in (calibrate(ROWS, ASKED), calibrate(PRIVATE, ASKED, 1.0, 1e-6)):
        assert isinstance(release.mechanism, Unprotected)
        assert release.loss is None and release.label_loss is None
        assert release.noise_scale == 0
    assert calibrate(ROWS, ASKED).title == "none"
    assert not calibrate(ROWS, ASKED).statement().private
    assert calibrate(PRIVATE, ASKED, 1.0, 1e-6).title == "post-processing"
    assert calibrate(PRIVATE, ASKED, 1.0, 1e-6).statement().epsilon == 0.5


def test_temper_with_a_bound_is_refused_where_it_could_stretch():
    worst = RowBound(2.0, math.sqrt(2))
    assert calibrate(worst, ASKED, 1.0, 1e-6, SoftLabels(temperature=2.0))
    with pytest.raises(ValueError, match="tempering can stretch"):
        calibrate(ROWS, ASKED, 1.0, 1e-6, SoftLabels(temperature=2.0))


@pytest.mark.parametrize("bound", [ROWS, MEMBERS, PARAMETERS], ids=lambda bound: bound.kind)
def test_calibrating_touches_nothing_private(bound):
    """No output, no vote, no parameter and no count, for a price, a summary or a statement."""

    def never(*args):
        raise AssertionError

    fields = {"rows": "outputs", "members": "member_votes"}
    changed = {"class_counts": never}
    if bound.kind in fields:
        changed[fields[bound.kind]] = never
    bound = replace(bound, **changed)
    release = calibrate(bound, ASKED, 1.0, 1e-6)
    assert release.with_prior
    assert release.noise_scale >= 0
    assert release.summary.endswith(f"50 rows; {bound.name}")
    assert release.statement().n_queries == 50
    release.prepare()
    next(release.queries(None))  # the first query, not answered
    with pytest.raises(TeacherError):
        release.draw(None)  # the counts are asked for, behind the boundary


def test_the_charge_comes_before_the_teacher():
    class Watched(Constant):
        def predict_proba(self, X):
            assert len(accountant) == 1
            return super().predict_proba(X)

    accountant = BudgetAccountant()
    release = release_of(RowBound(2.0, math.sqrt(2)), "gaussian", n_rows=5)
    release.draw(Watched(), accountant)
    assert accountant.total() == (1.0, 1e-5)


class Refusing:
    def spend(self, epsilon, delta):
        raise RuntimeError("no budget")


def test_a_refused_charge_asks_nothing():
    class Never(Constant):
        def predict_proba(self, X):
            raise AssertionError

    release = release_of(RowBound(2.0, math.sqrt(2)), "gaussian", n_rows=5)
    with pytest.raises(RuntimeError, match="no budget"):
        release.draw(Never(), Refusing())


def test_the_prior_is_the_mean_label_where_no_counts_are_kept():
    rows = np.tile([[0.1, 0.2, 0.3, 0.4]], (5, 1))

    class Fixed(Constant):
        def predict_proba(self, X):
            return rows[: len(X)]

    with no_noise():
        labels = release_of(RowBound(2.0, math.sqrt(2)), "gaussian", n_rows=5).draw(Fixed())
    assert np.allclose(labels.values, rows, atol=1e-5)
    assert labels.prior is not None and labels.prior.sum() == pytest.approx(1)
    near = replace(labels, noise_scale=0.0)
    assert np.allclose(mean_label(near.values, near.noise_scale), rows[0], atol=1e-5)


def test_the_price_can_be_given():
    given = PrivacyLoss.gaussian(1.0, 1e-6).part(0.5)
    release = calibrate(ROWS, ASKED, 3.0, 1e-6, loss=given)
    assert release.loss == given


class Greedy(Mechanism):
    """Its shares sum to more than one."""

    kind = "rows"

    def label_noise(self, bound, asked, loss):
        return 0.0

    def queries(self, bound, asked, loss, teacher, prepared):
        labels = SoftLabels(basis=None)
        yield labels._query(bound, asked, loss, teacher)
        return (yield labels._query(bound, asked, loss, teacher))


def test_a_mechanism_that_asks_for_more_than_its_price_is_stopped():
    release = calibrate(RowBound(2.0, math.sqrt(2)), ASKED, 1.0, 1e-6, Greedy())
    with pytest.raises(ValueError, match="more than 1"):
        release.draw(Constant())
    assert isinstance(release, Release)


# ------------------------------------------------------------------------------- rows, by number


@pytest.mark.parametrize(
    ("max_queries", "bound", "setting", "n"),
    [
        (None, ROWS, "auto", 1000),
        (300, ROWS, "auto", 300),
        (3000, ROWS, "auto", 1000),
        (None, MEMBERS, "auto", 1000),
        (None, MEMBERS, "noisy_max", None),
        (None, MEMBERS, "confident_max", None),
        (70, MEMBERS, "noisy_max", 70),
        (None, PRIVATE, "noisy_max", 1000),
    ],
)
def test_rows_are_chosen_by_number(max_queries, bound, setting, n):
    settings = {"max_queries": max_queries, "random_state": 0, "epsilon": 1.0, "delta": 1e-6}
    args = (1000, SimpleNamespace(**settings, mechanism=setting), bound, np.arange(2))
    rows = choose_queries(*args)
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < 1000
    if n is None:
        chosen = choose_mechanism(setting, bound)
        n = chosen.most_rows(bound, 2, PrivacyLoss.gaussian(1.0, 1e-6))
        assert 2 <= n < 1000
    assert len(rows) == n
    assert (rows == choose_queries(*args)).all()


def test_an_infinite_epsilon_asks_about_all_rows():
    settings = SimpleNamespace(max_queries=None, epsilon=math.inf, mechanism="noisy_max")
    rows = choose_queries(10, settings, NOTHING, np.arange(2))
    assert len(rows) == 10


def test_without_noise_the_temperature_is_that_of_the_mechanism_or_one():
    bound, rows = RowBound(2.0, math.sqrt(2)), TransferSet(np.zeros((3, 1)), np.arange(3), CLASSES)
    members = DisjointTeachers(0.2, 0.14, n_teachers=10)
    for certificate, mechanism, temperature in (
        (bound, SoftLabels(temperature=2.5), 2.5),
        (members, NoisyMax(), 1.0),
    ):
        release = calibrate(certificate, rows, mechanism=mechanism)
        assert isinstance(release.mechanism, Unprotected) and release.loss is None
        assert release.mechanism.temperature == temperature
        assert release.prepare() is None
    private = AlreadyPrivate(1.0, 0.0)
    assert choose_mechanism("auto", private).temperature == 1.0


def test_a_price_without_delta_is_pure():
    rows = TransferSet(np.zeros((3, 1)), np.arange(3), CLASSES)
    loss = calibrate(RowBound(2.0, math.sqrt(2)), rows, 1.5).loss
    assert (loss.kind, loss.epsilon, loss.delta, loss.mu) == ("laplace", 1.5, 0.0, None)
