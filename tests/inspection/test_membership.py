import math

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller
from skdistill.audit.membership import membership_report
from skdistill.audit.report import AttackResult, MembershipReport, roc_points
from skdistill.inspection import MembershipDisplay
from skdistill.inspection.membership import private_tpr

pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]


@pytest.fixture
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="module")
def distilled():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 3)), rng.integers(2, size=900)
    teacher = DecisionTreeClassifier(max_depth=8, random_state=0).fit(X[:300], y[:300])
    distiller = PrivateDistiller(teacher, epsilon=1.0, delta=1e-3).fit(X[600:])
    return distiller, X[:300], y[:300], X[300:600], y[300:600]


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("delta", [0.0, 1e-3])
def test_no_test_beats_the_limit_and_randomised_response_reaches_it(epsilon, delta):
    """Randomised response with a leak of δ: the optimal test for (ε, δ), at its three corners."""
    truth = (1 - delta) * math.exp(epsilon) / (1 + math.exp(epsilon))
    lie = (1 - delta) / (1 + math.exp(epsilon))
    corners = [(0.0, delta), (lie, delta + truth), (1 - delta, 1.0)]
    for fpr, tpr in corners:
        assert private_tpr(fpr, epsilon, delta) == pytest.approx(tpr)
    x = np.linspace(0, 1, 50)
    limit = private_tpr(x, epsilon, delta)
    assert np.all(limit >= x) and np.all(np.diff(limit) >= 0) and limit.max() == 1
    assert np.all(limit <= np.exp(epsilon) * x + delta + 1e-12)
    assert np.all(1 - x <= np.exp(epsilon) * (1 - limit) + delta + 1e-12)
    assert private_tpr(0.5, np.array([0.0, np.inf])).tolist() == [0.5, 1.0]


def test_curves_are_the_scores(plt):
    rng = np.random.default_rng(0)
    member = rng.uniform(size=200) < 0.5
    scores = rng.normal(size=200) + member
    display = MembershipDisplay.from_predictions(member, scores, name="mine", color="red")
    fpr, tpr = roc_points(scores[member], scores[~member])
    x, y = display.line_.get_data()
    edge = 1 / np.sum(~member)
    assert np.allclose(x, np.maximum(fpr, edge)) and np.allclose(y, tpr)
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    assert display.ax_.get_xlim() == pytest.approx((edge, 1.0)) == display.ax_.get_ylim()
    assert display.line_.get_color() == "red" and display.line_.get_label() == "mine"
    assert np.allclose(*display.chance_line_.get_data())
    assert display.limit_lines_ == {} and list(display.lines_) == ["mine"]
    assert len(display.ax_.collections) == 1  # the band of its interval


def test_the_band_is_clopper_and_pearsons(plt):
    member = np.arange(100) < 50
    display = MembershipDisplay.from_predictions(member, 1.0 * (np.arange(100) < 25))
    # Half of 50 members found, no false positive: from 0.355 to 0.645.
    low, high = 0.3553, 0.6447
    (band,) = display.ax_.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert np.isclose(ends, low, atol=1e-4).any() and np.isclose(ends, high, atol=1e-4).any()


def test_a_report_shows_each_models_strongest_attack(plt, distilled):
    distiller, *data = distilled
    report = membership_report(
        distiller, *data, attacks=["loss", "classwise", "modified_entropy"], fprs=[0.1, 0.01]
    )
    display = MembershipDisplay.from_report(report)
    names = [label.partition(", ")[0] for label in display.lines_]
    assert names == ["teacher", "student"]
    for label in display.lines_:
        model, _, attack = label.partition(", ")
        own = [row for row in report.rows if row.model == model]
        best = max(row.tpr[1][1] for row in own)
        assert next(row for row in own if row.attack == attack).tpr[1][1] == best
        assert np.array_equal(
            display.curves[label][1], roc_points(*report.scores[model, attack])[1]
        )
    (limit,) = display.limit_lines_.values()  # the teacher claims nothing
    x, y = limit.get_data()
    assert np.allclose(y, private_tpr(x, 1.0, 1e-3))
    assert "ε=1" in limit.get_label()


@pytest.mark.parametrize("fprs", [(0.1, 0.01), (0.01, 0.1)])
def test_strongest_is_at_the_fewest_false_positives(plt, fprs):
    found = {"a": {0.1: 0.9, 0.01: 0.2}, "b": {0.1: 0.4, 0.01: 0.3}, "c": {0.1: 0.4, 0.01: 0.3}}
    rows = tuple(
        AttackResult(
            model="model", attack=name, epsilon=math.inf, delta=0.0, auc=(auc, 0.0, 1.0),
            accuracy=(0.5, 0.0, 1.0), tpr=tuple((f, rates[f], 0.0, 1.0, 0.5) for f in fprs),
        )
        for (name, rates), auc in zip(found.items(), (0.99, 0.6, 0.7), strict=True)
    )  # fmt: skip
    scores = {("model", name): (np.arange(9.0), np.arange(9.0)) for name in found}
    report = MembershipReport(
        rows=rows, n_members=9, n_nonmembers=9, confidence=0.95, scores=scores
    )
    assert list(MembershipDisplay.from_report(report).lines_) == ["c"]


def test_a_report_shows_all_attacks_or_one(plt, distilled):
    distiller, *data = distilled
    report = membership_report(distiller, *data, attacks=["loss", "classwise"], fprs=[0.1])
    everything = MembershipDisplay.from_report(report, attack="all")
    assert len(everything.lines_) == 4
    colors = [line.get_color() for line in everything.lines_.values()]
    styles = [line.get_linestyle() for line in everything.lines_.values()]
    assert colors == ["C0", "C0", "C1", "C1"] and styles == ["-", "--", "-", "--"]
    one = MembershipDisplay.from_report(report, attack="classwise")
    assert list(one.lines_) == ["teacher, classwise", "student, classwise"]
    with pytest.raises(ValueError, match=r"one of \['classwise', 'loss'\]"):
        MembershipDisplay.from_report(report, attack="lira")


def test_from_estimator_attacks_and_draws(plt, distilled):
    distiller, *data = distilled
    _, ax = plt.subplots()
    display = MembershipDisplay.from_estimator(
        distiller.teacher, *data, attacks=["loss"], fprs=[0.1], ax=ax, line_kw={"linewidth": 3}
    )
    assert display.ax_ is ax and display.line_.get_linewidth() == 3
    assert list(display.lines_) == ["loss"]


@pytest.mark.parametrize(
    ("member", "scores", "message"),
    [
        ([1, 1], [0.0, 1.0], "members and non-members"),
        ([1, 0], [0.0], r"shape \(1,\) for 2 records"),
        ([1, 0], {}, "no curve"),
    ],
)
def test_what_cannot_be_drawn(member, scores, message):
    with pytest.raises(ValueError, match=message):
        MembershipDisplay.from_predictions(member, scores)
