import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from skdistill import PrivateDistiller
from skdistill.accounting import BudgetAccountant
from skdistill.inspection import PrivacyUtilityDisplay

SCORES = [[0.6, 0.62], [0.8, 0.7], [0.7, 0.75]]


@pytest.fixture
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    yield pyplot
    pyplot.close("all")


@pytest.mark.parametrize(
    ("epsilons", "scores", "message"),
    [
        ([1.0, math.inf], [[0.5], [0.6]], "must be finite.*as a baseline"),
        ([0.0], [0.5], "positive"),
        ([], [], "positive"),
        ([1.0, 2.0], [0.5], r"scores of shape \(1, 1\): give 2 rows"),
        ([1.0], [[[0.5]]], "one for each"),
    ],
)
def test_what_cannot_be_drawn(epsilons, scores, message):
    with pytest.raises(ValueError, match=message):
        PrivacyUtilityDisplay(epsilons=epsilons, scores=scores)


def test_mean_and_deviation_over_releases():
    display = PrivacyUtilityDisplay(epsilons=[0.5, 2, 1], scores=SCORES)
    assert np.allclose(display.means, [0.61, 0.75, 0.725])
    assert np.allclose(display.deviations, np.std(SCORES, axis=1, ddof=1))
    assert PrivacyUtilityDisplay(epsilons=[1.0], scores=[0.5]).deviations.tolist() == [0.0]


def test_picture_shows_the_scores(plt):
    display = PrivacyUtilityDisplay(
        epsilons=[0.5, 2, 1],
        scores=SCORES,
        baselines={"teacher": 0.9, "other": 0.85},
        metric_name="AUC",
    ).plot()
    assert np.allclose(display.line_.get_xydata(), [[0.5, 0.61], [1, 0.725], [2, 0.75]])
    (bars,) = display.errorbar_.lines[2]
    heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert np.allclose(heights, 2 * display.deviations[[0, 2, 1]])
    assert display.ax_.get_xscale() == "log" and display.ax_.get_ylabel() == "AUC"
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["0.5", "1", "2"]
    assert {n: line.get_ydata()[0] for n, line in display.baseline_lines_.items()} == {
        "teacher": 0.9,
        "other": 0.85,
    }
    texts = {text.get_text() for text in display.ax_.get_legend().get_texts()}
    assert texts == {"teacher", "other", "student (mean ± s.d., 2 releases)"}


def test_a_second_curve_joins_the_first(plt):
    first = PrivacyUtilityDisplay(
        epsilons=[0.5, 1], scores=[0.6, 0.7], baselines={"teacher": 0.9}
    ).plot()
    second = PrivacyUtilityDisplay(
        epsilons=[2.0, 1.0], scores=[0.7, 0.8], baselines={"teacher": 0.9}, name="ensemble"
    )
    assert second.plot(ax=first.ax_, color="red") is second
    assert second.figure_ is first.figure_ and second.line_.get_color() == "red"
    ticks = [tick.get_text() for tick in first.ax_.get_xticklabels()]
    assert ticks == ["0.5", "1", "2"]
    texts = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert sorted(texts) == ["ensemble", "student", "teacher"]  # one line for the teacher


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_from_estimator_fits_at_every_epsilon(plt, binary):
    X, y, X_public, y_public, teacher = binary
    distiller = PrivateDistiller(teacher, epsilon=3.0)
    seen = []

    def scoring(model, table, truth):
        if isinstance(model, PrivateDistiller):
            seen.append((model.epsilon, len(table)))
        return model.score(table, truth)

    display = PrivacyUtilityDisplay.from_estimator(
        distiller, X_public, X, y, epsilons=[1.0, 1e7], n_repeats=2, scoring=scoring
    )  # fmt: skip
    n = len(y)
    assert seen == [(1.0, n), (1.0, n), (1e7, n), (1e7, n)]
    assert display.means[1] > 0.8 and display.ax_.get_ylabel() == "score"
    assert distiller.epsilon == 3.0 and not hasattr(distiller, "student_")


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_metric_names(plt, binary, regression):
    X, y, X_public, *_, teacher = binary
    quick = {"epsilons": [1e7], "n_repeats": 1}
    draw = PrivacyUtilityDisplay.from_estimator
    distiller = PrivateDistiller(teacher)
    assert draw(distiller, X_public, X, y, **quick).metric_name == "accuracy"
    named = draw(distiller, X_public, X, y, scoring="roc_auc", **quick)
    assert named.metric_name == "ROC AUC"
    X, y, X_public, *_, teacher = regression
    distiller = PrivateDistiller(teacher, output_range=(-500, 500))
    assert draw(distiller, X_public, X, y, **quick).metric_name == "R²"
    assert isinstance(teacher, Ridge)


@pytest.mark.filterwarnings("ignore:The released labels are mostly noise")
def test_no_accountant_is_charged_unasked(plt, binary):
    X, y, X_public, *_, teacher = binary
    accountant = BudgetAccountant(epsilon=10.0, delta=1e-3)
    distiller = PrivateDistiller(teacher, accountant=accountant)
    given = {"epsilons": [0.5, 1.0], "n_repeats": 2}
    draw = PrivacyUtilityDisplay.from_estimator
    with pytest.raises(ValueError, match=r"2 releases at each of 2 .* up to ε=3 in all.*spend=Tr"):
        draw(distiller, X_public, X, y, **given)
    assert len(accountant) == 0
    draw(distiller, X_public, X, y, spend=True, **given)
    assert len(accountant) == 4
    with pytest.raises(ValueError, match="n_repeats=0"):
        draw(PrivateDistiller(LogisticRegression()), X_public, X, y, n_repeats=0)
