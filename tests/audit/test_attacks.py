"""Attacks on arrays: against their formulas written out, and where a better one must win."""

import numpy as np
import pytest
from scipy.stats import norm

from skdistill.audit.attacks import (
    classwise_attack,
    lira_attack,
    log_odds,
    loss_attack,
    modified_entropy_attack,
    quantile_attack,
    rmia_attack,
    squared_error_attack,
)

RNG = np.random.default_rng()


def probabilities(n, n_classes=3):
    return RNG.dirichlet(np.ones(n_classes), size=n), RNG.integers(n_classes, size=n)


def rate(scores, known, fpr):
    """True-positive rate where `fpr` of the known non-members are mistaken."""
    return np.mean(scores > np.quantile(known, 1 - fpr))


# ----------------------------------------------------------------------------- one model's answers


def test_log_odds_and_loss_are_their_formulas():
    p, y = probabilities(200)
    true = p[np.arange(200), y]
    assert np.allclose(log_odds(p, y), np.log(true / (1 - true)))
    assert np.allclose(loss_attack(p, y), np.log(true))


def test_log_odds_keep_apart_what_rounds_to_one():
    sure, surer = [1.0, 1e-10], [1.0, 1e-11]  # 1 - 1e-17 is 1
    assert log_odds([sure, surer], [0, 0]) == pytest.approx([np.log(1e10), np.log(1e11)])
    assert np.isfinite(log_odds([[1.0, 0.0], [0.0, 1.0]], [0, 0])).all()
    assert np.isfinite(loss_attack([[1.0, 0.0], [0.0, 1.0]], [0, 0])).all()


def test_modified_entropy_is_its_formula():
    p, y = probabilities(200)
    expected = []
    for row, label in zip(p, y, strict=True):
        value = -(1 - row[label]) * np.log(row[label])
        value -= sum(row[c] * np.log(1 - row[c]) for c in range(3) if c != label)
        expected.append(-value)
    assert np.allclose(modified_entropy_attack(p, y), expected)
    assert modified_entropy_attack([[1.0, 0.0]], [0]) == 0
    assert np.isfinite(modified_entropy_attack([[1.0, 0.0]], [1])).all()


def test_modified_entropy_sees_the_label():
    right, wrong = modified_entropy_attack([[0.99, 0.01], [0.99, 0.01]], [0, 1])
    assert right > -0.01 > -1 > wrong


def test_one_classwise_threshold_has_one_false_positive_rate_in_every_class():
    """The second class is hard: one threshold on the loss has very different rates."""
    y = np.repeat([0, 1], 1000)
    true = np.where(y == 0, RNG.uniform(0.9, 1, 2000), RNG.uniform(0.1, 0.6, 2000))
    p = np.column_stack([np.where(y == 0, true, 1 - true), np.where(y == 1, true, 1 - true)])
    order = RNG.permutation(2000)
    scored, known = order[:1000], order[1000:]
    scores = classwise_attack(p[scored], y[scored], p[known], y[known])
    plain = loss_attack(p[scored], y[scored])
    for c in (0, 1):
        own = y[scored] == c
        # The mean rank of about 500 uniform values has deviation below 0.02: 0.12 is 6 of them.
        assert np.mean(scores[own]) == pytest.approx(0.5, abs=0.12)
        assert np.all(np.diff(plain[own][np.argsort(scores[own])]) >= 0)
    assert plain[y[scored] == 0].min() > plain[y[scored] == 1].max()


def test_classwise_ties_are_broken_and_a_class_without_reference_is_refused():
    known, labels = [[0.5, 0.5]] * 3, [0, 0, 1]
    scores = classwise_attack([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]], [0, 0, 0], known, labels)
    assert scores[0] > scores[1] > 2 / 3 > scores[2]
    assert (scores <= 1).all() and (scores >= 0).all()
    with pytest.raises(ValueError, match="1 of 2 classes have no reference record"):
        classwise_attack([[0.9, 0.1], [0.8, 0.2]], [0, 1], known[:2], [0, 0])


def test_squared_errors():
    assert squared_error_attack([1.0, 2.0], [1.0, 4.0]).tolist() == [0.0, -4.0]
    with pytest.raises(ValueError, match=r"shape \(2, 2\).*one output at a time"):
        squared_error_attack(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="finite"):
        squared_error_attack([np.nan], [1.0])


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        ([[0.5, 0.5]], [0, 1], r"shape \(1, 2\) and y of shape \(2,\)"),
        ([0.5, 0.5], [0, 1], "at least two classes"),
        ([[1.0]], [0], "at least two classes"),
        ([[0.5, 0.5], [np.nan, 1.0]], [0, 1], "1 of 2 rows"),
        ([[-731.25, 732.25]], [0], "1 of 1 rows"),
        ([[0.5, 0.5]], [2], "0 to 1"),
        ([[0.5, 0.5]], [-1], "0 to 1"),
        ([[0.5, 0.5]], [0.5], "0 to 1"),
        ([[0.5, 0.5]], ["secret"], "0 to 1"),
    ],
)
@pytest.mark.parametrize("attack", [log_odds, loss_attack, modified_entropy_attack])
def test_what_is_no_probability_or_label_is_refused_without_quoting_it(attack, p, y, message):
    with pytest.raises(ValueError, match=message) as caught:
        attack(p, y)
    assert "731" not in str(caught.value) and "secret" not in str(caught.value)


# ------------------------------------------------------------------------------------------- LiRA


def shadows(n_shadows, n, gap=0.0, spread=0.0):
    """Gaussian log-odds: records differ by `spread`, members lie `gap` higher."""
    means = spread * RNG.normal(size=n)
    member = RNG.uniform(size=(n_shadows, n)).argsort(axis=0) < n_shadows // 2
    return means, means + gap * member + RNG.normal(size=(n_shadows, n)), member


def test_lira_with_variances_of_its_own_is_the_likelihood_ratio():
    _, confidences, member = shadows(64, 30, gap=1.0)
    target = RNG.normal(size=30)
    scores = lira_attack(target, confidences, member)
    offline = lira_attack(target, confidences, member, online=False)
    for j in range(30):
        inside, outside = (confidences[member[:, j] == side, j] for side in (True, False))
        laws = [norm(each.mean(), each.std(ddof=1)) for each in (inside, outside)]
        assert scores[j] == pytest.approx(laws[0].logpdf(target[j]) - laws[1].logpdf(target[j]))
        assert norm.cdf(offline[j]) == pytest.approx(laws[1].cdf(target[j]))


@pytest.mark.parametrize("n_shadows", [6, 62])
def test_lira_with_a_global_variance_pools_deviations_from_each_mean(n_shadows):
    means, confidences, member = shadows(n_shadows, 4, spread=100.0)
    target = means + 1.0
    outside = [confidences[~member[:, j], j] for j in range(4)]
    pooled = np.sqrt(sum(np.sum((o - o.mean()) ** 2) for o in outside) / (4 * (n_shadows // 2 - 1)))
    expected = [(t - o.mean()) / pooled for t, o in zip(target, outside, strict=True)]
    assert np.allclose(lira_attack(target, confidences, member, online=False), expected)


@pytest.mark.parametrize("n_shadows", [8, 64])
@pytest.mark.parametrize("online", [True, False])
def test_lira_finds_members_that_the_loss_cannot(online, n_shadows):
    """Members lie 3 deviations higher, records 30 apart.

    At 1 % false positives a known Gaussian finds 75 % of 2,000 members; 8 models estimate a mean
    by 4 and still find more than half. The loss finds some 1.2 %. Each bound is more than 10
    standard deviations (at most 0.011) away.
    """
    means, confidences, member = shadows(n_shadows, 4000, gap=3.0, spread=30.0)
    target = means + RNG.normal(size=4000) + 3.0 * (np.arange(4000) < 2000)
    scores = lira_attack(target, confidences, member, online=online)
    assert rate(scores[:2000], scores[2000:], 0.01) > 0.35
    assert rate(target[:2000], target[2000:], 0.01) < 0.2


def test_lira_clips_what_a_forest_is_too_sure_of():
    """A quarter of all log-odds are those of probability 1; the signal is in the others."""
    means, confidences, member = shadows(16, 4000, gap=2.0)
    target = means + RNG.normal(size=4000) + 2.0 * (np.arange(4000) < 2000)
    sure = np.log(1e12)
    confidences[RNG.uniform(size=confidences.shape) < 0.25] = sure
    scores = lira_attack(target, confidences, member)
    # Without clipping a mean of 8 moves by 27.6 for each that is sure: 3 % were found.
    assert rate(scores[:2000], scores[2000:], 0.01) > 0.1
    everywhere = lira_attack(np.full(3, sure), np.full((4, 3), sure), online=False)
    assert np.isfinite(everywhere).all()


def test_lira_needs_two_models_on_each_side():
    confidences = RNG.normal(size=(4, 3))
    member = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
    assert lira_attack(np.zeros(3), confidences, member).shape == (3,)
    member[0, 0] = False
    with pytest.raises(ValueError, match=r"1 of 3 records .* trained with them.*attack offline"):
        lira_attack(np.zeros(3), confidences, member)
    assert lira_attack(np.zeros(3), confidences, member, online=False).shape == (3,)
    with pytest.raises(ValueError, match="3 of 3 records .* trained without them"):
        lira_attack(np.zeros(3), confidences, np.ones((4, 3)), online=False)
    with pytest.raises(ValueError, match="3 of 3 records .* trained with them"):
        lira_attack(np.zeros(3), confidences)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidences": np.zeros(2)}, r"\(2,\)"),
        ({"member": np.zeros((3, 3))}, r"\(3, 3\)"),
        ({"confidences": np.array([0.0, np.inf, 0.0])}, "finite"),
    ],
)
def test_lira_refuses_other_shapes_and_settings(change, message):
    given = {"confidences": np.zeros(3), "shadow_confidences": np.zeros((4, 3)), "online": False}
    with pytest.raises(ValueError, match=message):
        lira_attack(**(given | change))


# ------------------------------------------------------------------------------------------- RMIA


def expit(t):
    return 1 / (1 + np.exp(-t))


def lift(t, column, inside, a=0.3):
    p = expit(column)
    if not inside.any():
        return expit(t) / (((1 + a) * p.mean() + 1 - a) / 2)
    return expit(t) / ((p[inside].mean() + p[~inside].mean()) / 2)


@pytest.mark.parametrize("online", [True, False])
def test_rmia_counts_pairs(online):
    _, confidences, member = shadows(8, 60, spread=2.0)
    member &= online
    target = RNG.normal(size=60)
    x, z = slice(0, 25), slice(25, None)
    scores = rmia_attack(
        target[x], confidences[:, x], target[z], confidences[:, z], member[:, x], member[:, z]
    )
    lifts = np.array([lift(target[j], confidences[:, j], member[:, j]) for j in range(60)])
    shares = np.array([np.mean(lifts[j] / lifts[z] >= 2) for j in range(25)])
    assert np.all(np.abs(scores * 36 - shares * 35) <= 1)  # the tie-break is below one pair
    assert np.all(np.diff(scores[np.argsort(lifts[x])]) >= 0)
    assert np.array_equal(np.floor(scores * 36 + 1e-9), np.round(shares * 35))


def test_rmia_offline_treats_population_records_as_unseen_too():
    """Where no model knows x, the models that know z are left out for z, too."""
    _, confidences, member = shadows(8, 60, gap=3.0)
    target = RNG.normal(size=60)
    x, z = slice(0, 20), slice(20, None)
    member[:, x] = False
    scores = rmia_attack(
        target[x], confidences[:, x], target[z], confidences[:, z], None, member[:, z]
    )
    lifts = [
        lift(target[j], confidences[~member[:, j], j], np.zeros(sum(~member[:, j]), bool))
        for j in range(60)
    ]
    shares = [np.mean(lifts[j] / np.array(lifts[z]) >= 2) for j in range(20)]
    assert np.array_equal(np.floor(scores * 41 + 1e-9), np.round(np.multiply(shares, 40)))


def test_rmia_refuses_what_cannot_be():
    flat = np.zeros(3), np.zeros((4, 3)), np.zeros(3), np.zeros((4, 3))
    with pytest.raises(ValueError, match="3 of 3 records have no shadow model"):
        rmia_attack(*flat, np.ones((4, 3)))


# ---------------------------------------------------------------------------- quantile regression


@pytest.mark.slow
def test_quantile_scores_above_one_are_equally_rare_for_every_kind_of_record():
    """Records with a large x are twice as uncertain; 1,000 of each kind are scored.

    The rate of scores above 1 is 0.1 but for the regression's error (below 0.03 with 4,000
    reference records); 0.09 away is 6 binomial deviations more.
    """
    x = RNG.uniform(-1, 1, size=6000)
    confidences = 3 * x + (1 + (x > 0)) * RNG.normal(size=6000)
    X = np.column_stack([x, x > 0])
    scores = quantile_attack(confidences[:2000], X[:2000], confidences[2000:], X[2000:])
    for side in (x[:2000] > 0, x[:2000] <= 0):
        assert np.mean(scores[side] > 1) == pytest.approx(0.1, abs=0.09)
    assert np.mean((confidences[:2000] > np.quantile(confidences[2000:], 0.9))[x[:2000] < 0]) < 0.01


@pytest.mark.parametrize("quantile", [0.5, 1.0, 0.1])
def test_quantile_is_above_one_half(quantile):
    with pytest.raises(ValueError, match=f"quantile={quantile}"):
        quantile_attack([0.0], [[0.0]], [0.0], [[0.0]], quantile=quantile)
