r"""Membership inference attacks on arrays: a model's answers become scores.

Every attack returns one score per record. Higher means "more likely a member", that is, one of the
records the model was trained on. `probabilities` are arrays of shape (n, n_classes), at least two
classes, and `y` holds the column of each record's true label.

Most attacks start from the *log-odds* of the true label, :func:`log_odds`. Over retrained models
they are nearly Gaussian, and they do not lose precision where probabilities are close to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, xlog1py, xlogy

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Smaller probabilities are replaced by this: a forest says 0 where it means "less than 1/trees".
_FLOOR = 1e-12

# Shadow models on each side from which a variance of its own per record is worth its error
# (Carlini et al. 2022, section VI-B: a global variance wins below 64 models, 32 on each side).
_ENOUGH_FOR_VARIANCE = 32

_GAMMA, _OFFLINE_A = 2.0, 0.3  # of RMIA


def log_odds(probabilities: ArrayLike, y: ArrayLike) -> Array:
    """Return log p_y − log(1 − p_y), the logit-scaled confidence.

    Source: Carlini et al., IEEE S&P 2022, arXiv:2112.03570, section IV-A.

    Parameters
    ----------
    probabilities, y : array-like of shape (n, n_classes) and (n,)
        Class probabilities, and true labels as columns of `probabilities`.

    Returns
    -------
    confidences : ndarray of shape (n,)
        Finite, since both probabilities are replaced by 1e-12 where they are smaller.

    Examples
    --------
    >>> from skdistill.audit.attacks import log_odds
    >>> log_odds([[0.9, 0.1], [0.9, 0.1]], [0, 1]).round(3)
    array([ 2.197, -2.197])
    """
    true, others = _split(probabilities, y)
    return np.asarray(np.log(np.maximum(true, _FLOOR)) - np.log(np.maximum(others.sum(1), _FLOOR)))


def loss_attack(probabilities: ArrayLike, y: ArrayLike) -> Array:
    """Score by the loss: the logarithm of the probability of the true label.

    Source: Yeom et al., CSF 2018, arXiv:1709.01604, adversary 2.

    Parameters
    ----------
    probabilities, y : array-like
        As for :func:`log_odds`.

    Returns
    -------
    scores : ndarray of shape (n,)
        At most 0; higher means member.

    Examples
    --------
    >>> from skdistill.audit import loss_attack
    >>> loss_attack([[0.9, 0.1], [0.9, 0.1]], [0, 1]).round(3)
    array([-0.105, -2.303])
    """
    return np.asarray(log_expit(log_odds(probabilities, y)))


def squared_error_attack(predictions: ArrayLike, y: ArrayLike) -> Array:
    """Score a regressor by its squared error, negated.

    Source: Yeom et al., CSF 2018, arXiv:1709.01604, section 3.2.

    Parameters
    ----------
    predictions, y : array-like of shape (n,)
        The model's predictions and the true targets.

    Returns
    -------
    scores : ndarray of shape (n,)
        At most 0; higher means member.

    Examples
    --------
    >>> from skdistill.audit import squared_error_attack
    >>> squared_error_attack([1.0, 2.0], [1.0, 4.0])
    array([-0., -4.])
    """
    predicted, true = np.asarray(predictions, dtype=float), np.asarray(y, dtype=float)
    if predicted.ndim != 1 or predicted.shape != true.shape:
        shapes = f"predictions of shape {predicted.shape} and targets of shape {true.shape}"
        raise ValueError(f"{shapes}: give one number for each record, one output at a time.")
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise ValueError("Predictions and targets must be finite; some are NaN or infinite.")
    return -np.square(predicted - true)


def modified_entropy_attack(probabilities: ArrayLike, y: ArrayLike) -> Array:
    r"""Score by the modified entropy, negated.

    .. math:: -(1 - p_y) \log p_y - \sum_{c \ne y} p_c \log(1 - p_c)

    is small where the model is sure *and* right; plain entropy does not see the label. Source:
    Song and Mittal, USENIX Security 2021, arXiv:2003.10595, section 3.2.

    Parameters
    ----------
    probabilities, y : array-like
        As for :func:`log_odds`.

    Returns
    -------
    scores : ndarray of shape (n,)
        At most 0; higher means member.

    Examples
    --------
    >>> from skdistill.audit import modified_entropy_attack
    >>> modified_entropy_attack([[0.9, 0.1], [0.9, 0.1]], [0, 1]).round(3)
    array([-0.021, -4.145])
    """
    true, others = _split(probabilities, y)
    others = np.minimum(others, 1 - _FLOOR)
    entropy = xlogy(others.sum(axis=1), np.maximum(true, _FLOOR))
    return np.asarray(entropy + xlog1py(others, -others).sum(axis=1))


def classwise_attack(
    probabilities: ArrayLike,
    y: ArrayLike,
    reference_probabilities: ArrayLike,
    y_reference: ArrayLike,
) -> Array:
    """Score by the loss, with a threshold of its own for each class.

    A score is the rank of the record's log-odds among those of the reference records of its class,
    divided by their number; the odds break ties. So one threshold on the score has the same
    false-positive rate in every class. Source: Song and Mittal, USENIX Security 2021,
    arXiv:2003.10595, section 3.2.

    Parameters
    ----------
    probabilities, y, reference_probabilities, y_reference : array-like
        As for :func:`log_odds`; reference records are not members, some of every class.

    Returns
    -------
    scores : ndarray of shape (n,)
        In [0, 1]; higher means member.

    Examples
    --------
    >>> from skdistill.audit import classwise_attack
    >>> reference = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]
    >>> scores = classwise_attack([[0.8, 0.2], [0.8, 0.2]], [0, 1], reference, [0, 0, 1])
    >>> scores.round(1)
    array([0.5, 0.2])
    """
    confidences = log_odds(probabilities, y)
    reference = log_odds(reference_probabilities, y_reference)
    codes, known_codes = np.asarray(y), np.asarray(y_reference)
    classes, scores = np.unique(codes), np.empty(len(confidences))
    if missing := len(np.setdiff1d(classes, known_codes)):
        raise ValueError(f"{missing} of {len(classes)} classes have no reference record.")
    for code in classes:
        own, known = codes == code, np.sort(reference[known_codes == code])
        values = confidences[own]
        scores[own] = (np.searchsorted(known, values) + expit(values / 4)) / (len(known) + 1)
    return scores


def lira_attack(
    confidences: ArrayLike,
    shadow_confidences: ArrayLike,
    member: ArrayLike | None = None,
    *,
    online: bool = True,
) -> Array:
    r"""Likelihood-ratio attack (LiRA) with shadow models.

    Each record has Gaussians of its own, fitted to the log-odds that shadow models trained with it
    (in) and without it (out) give to its label. *Online*, the score is
    :math:`\log N(t; \mu_{in}, \sigma^2_{in}) - \log N(t; \mu_{out}, \sigma^2_{out})`. *Offline*,
    where only models without the record count, it is :math:`(t - \mu_{out}) / \sigma_{out}`, which
    ranks as the probability in the paper does. With fewer than 32 models on a side, the squared
    deviations of all records, each from its own mean, are pooled. Source: Carlini et al., IEEE S&P
    2022, arXiv:2112.03570, algorithm 1.

    Log-odds of probabilities that are exactly 0 or 1, as a forest's often are, would dominate
    every mean and variance. Where there are any, all are clipped at twice the odds that 99 % of
    the others stay below.

    Parameters
    ----------
    confidences, shadow_confidences : array-like of shape (n,) and (n_shadows, n)
        :func:`log_odds` of the attacked model and of each shadow model.
    member : array-like of bool, shape (n_shadows, n), default=None
        Which shadow model was trained with which record: at least two with and, offline or not,
        two without each record. None: none with any (offline only).
    online : bool, default=True
        Whether both kinds of shadow models count, or only those without the record.

    Returns
    -------
    scores : ndarray of shape (n,)
        Higher means member.

    Examples
    --------
    >>> from skdistill.audit import lira_attack
    >>> shadows = [[2.0, 1.9], [2.2, 2.1], [1.0, 0.9], [1.2, 1.1]]  # four models, two records
    >>> member = [[True, True], [True, True], [False, False], [False, False]]
    >>> lira_attack([2.1, 1.0], shadows, member) > 0
    array([ True, False])
    """
    target, shadow, inside = _checked_shadows(confidences, shadow_confidences, member)
    saturated = np.isclose(np.abs(shadow), -np.log(_FLOOR), rtol=0, atol=1e-6)
    if saturated.any():
        others = np.abs(shadow)[~saturated]
        limit = np.log(2) + (np.quantile(others, 0.99) if others.size else 0.0)
        target, shadow = np.clip(target, -limit, limit), np.clip(shadow, -limit, limit)
    mean, deviation = _gaussians(shadow, ~inside, "without")
    distance = (target - mean) / deviation
    if not online:
        return np.asarray(distance)
    mean_in, deviation_in = _gaussians(shadow, inside, "with")
    distance_in = (target - mean_in) / deviation_in
    return np.asarray((distance**2 - distance_in**2) / 2 + np.log(deviation) - np.log(deviation_in))


def _gaussians(shadow: Array, chosen: Mask, side: str) -> tuple[Array, Array]:
    """Return mean and standard deviation of each record over the chosen shadow models."""
    counts = _counted(chosen, 2, side)
    mean = np.where(chosen, shadow, 0.0).sum(axis=0) / counts
    squares = np.where(chosen, shadow - mean, 0.0) ** 2
    pooled = squares.sum() / max(counts.sum() - len(counts), 1)
    if counts.min() >= _ENOUGH_FOR_VARIANCE:
        found = squares.sum(axis=0) / (counts - 1)
    else:
        found = np.full(len(counts), pooled)
    return mean, np.sqrt(np.maximum(found, 1e-4 * pooled + 1e-12))


def rmia_attack(
    confidences: ArrayLike,
    shadow_confidences: ArrayLike,
    reference_confidences: ArrayLike,
    reference_shadow_confidences: ArrayLike,
    member: ArrayLike | None = None,
    reference_member: ArrayLike | None = None,
) -> Array:
    r"""Robust membership inference attack (RMIA), by pairwise likelihood ratios.

    The score of x is the share of population records z with
    :math:`\frac{p_\theta(x)}{p(x)} \ge 2 \frac{p_\theta(z)}{p(z)}`. Here p(x) averages the
    reference models: half with x and half without; where no model has it,
    :math:`\frac{1}{2}(1.3\,\bar p_{out}(x) + 0.7)`. Ties are broken by the ratio of x.
    Source: Zarifzadeh, Liu and Shokri, ICML 2024, arXiv:2312.03262, section 3.

    Parameters
    ----------
    confidences, shadow_confidences : array-like of shape (n,) and (n_shadows, n)
        :func:`log_odds` of the attacked model and of each shadow model on the records x.
    reference_confidences, reference_shadow_confidences : array-like
        The same on r population records z, which are not members of the attacked model.
    member, reference_member : array-like of bool, default=None
        Which shadow model was trained with which x, shape (n_shadows, n), and with which z. None:
        none with any (the offline attack).

    Returns
    -------
    scores : ndarray of shape (n,)
        In [0, 1]; higher means member.

    Examples
    --------
    >>> from skdistill.audit import rmia_attack
    >>> shadows, others = [[-1.0, 0.0], [-0.8, 0.1]], [[0.0] * 3, [0.1] * 3]
    >>> rmia_attack([3.0, 0.1], shadows, [0.0, 0.1, 0.2], others) > 0.5
    array([ True, False])
    """
    online = member is not None and bool(np.any(member))
    own = _checked_shadows(confidences, shadow_confidences, member)
    known = reference_confidences, reference_shadow_confidences, reference_member
    ratios, population = _lifts(*own, online), _lifts(*_checked_shadows(*known), online)
    beaten = np.searchsorted(np.sort(population) * _GAMMA, ratios, side="right")
    return np.asarray((beaten + ratios / (1 + ratios)) / (len(population) + 1))


def _lifts(target: Array, shadow: Array, inside: Mask, online: bool) -> Array:
    """Return p_θ(x)/p(x) for each record."""
    p, counts_in = expit(shadow), inside.sum(axis=0)
    out = np.where(inside, 0.0, p).sum(axis=0) / _counted(~inside, 1, "without")
    within = np.where(inside, p, 0.0).sum(axis=0) / np.maximum(counts_in, 1)
    both = online & (counts_in > 0)
    unseen = ((1 + _OFFLINE_A) * out + 1 - _OFFLINE_A) / 2
    average = np.where(both, (within + out) / 2, unseen)
    return np.asarray(expit(target) / np.maximum(average, _FLOOR))


def quantile_attack(
    confidences: ArrayLike,
    X: ArrayLike,
    reference_confidences: ArrayLike,
    X_reference: ArrayLike,
    *,
    quantile: float = 0.9,
) -> Array:
    r"""Quantile regression attack: no shadow models, one regression on non-members.

    The confidence that a model which has *not* seen x would have is regressed on x by boosted
    trees: its median :math:`q_{.5}(x)` and a high quantile :math:`q_\tau(x)`. The score is
    :math:`(t - q_{.5}(x)) / (q_\tau(x) - q_{.5}(x))`, the location-scale form of the paper's
    Gaussian variant: the test "score > 1" has a false-positive rate of 1 - τ on every kind of
    record, and so has every other threshold if records differ by location and scale only.
    Source: Bertran et al., NeurIPS 2023, arXiv:2307.03694, algorithm 1.

    Parameters
    ----------
    confidences, X : array-like of shape (n,) and (n, d)
        The attacked model's :func:`log_odds`, and numeric features of the records; their label
        should be one of these.
    reference_confidences, X_reference : array-like of shape (r,), (r, d)
        The same of records that are not members.
    quantile : float, default=0.9
        The level τ, between 0.5 and 1. About (1 - τ)·r reference records lie above, so it cannot be
        high.

    Returns
    -------
    scores : ndarray of shape (n,)
        Higher means member.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.audit import quantile_attack
    >>> rng = np.random.default_rng(0)
    >>> X, confidences = rng.normal(size=(400, 2)), rng.normal(size=400)
    >>> scores = quantile_attack([5.0, 0.0], X[:2], confidences, X)
    >>> scores > 1
    array([ True, False])
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    if not 0.5 < quantile < 1:
        raise ValueError(f"quantile={quantile!r} must be above 0.5 and below 1.")
    reference = np.asarray(reference_confidences, dtype=float)
    # 25 trees found as much as 100 over eight models (trees, forests, boosting): mean AUC .723 and
    # .727, true positives at 1 % false ones .132 and .117; in a third of the time.
    options: dict[str, Any] = {"learning_rate": 0.3, "max_iter": 25, "early_stopping": False}
    models = (
        HistGradientBoostingRegressor(loss="quantile", quantile=q, random_state=0, **options)
        for q in (0.5, quantile)
    )
    middle, high = (model.fit(X_reference, reference).predict(X) for model in models)
    least = 1e-3 * max(float(np.std(reference)), 1e-9)  # quantiles regressed apart can cross
    return np.asarray((np.asarray(confidences) - middle) / np.maximum(high - middle, least))


def _split(probabilities: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return the probability of each true label, and all with 0 in its place, or raise."""
    p, codes = np.asarray(probabilities, dtype=float), np.asarray(y)
    if p.ndim != 2 or p.shape[1] < 2 or codes.shape != p.shape[:1]:
        raise ValueError(
            f"probabilities of shape {p.shape} and y of shape {codes.shape}: they must be "
            "(n, n_classes), with at least two classes, and (n,)."
        )
    bad = ~((p >= 0) & (p <= 1 + 1e-6)).all(axis=1)
    if bad.any():
        raise ValueError(f"{int(bad.sum())} of {len(p)} rows hold entries that are not in [0, 1].")
    if codes.dtype.kind not in "biu" or not ((codes >= 0) & (codes < p.shape[1])).all():
        raise ValueError(f"y must hold column numbers of probabilities: 0 to {p.shape[1] - 1}.")
    others, chosen = np.minimum(p, 1.0), (np.arange(len(p)), codes.astype(np.intp))
    true = others[chosen]
    others[chosen] = 0.0
    return true, others


def _checked_shadows(
    confidences: ArrayLike, shadow_confidences: ArrayLike, member: ArrayLike | None
) -> tuple[Array, Array, Mask]:
    target, shadow = np.asarray(confidences, float), np.asarray(shadow_confidences, float)
    inside = np.zeros(shadow.shape, bool) if member is None else np.asarray(member, dtype=bool)
    if shadow.shape[1:] != target.shape or target.ndim != 1 or inside.shape != shadow.shape:
        raise ValueError(
            f"confidences of shape {target.shape}, of shadow models {shadow.shape}, membership "
            f"{inside.shape}: they must be (n,), (n_shadows, n) and (n_shadows, n)."
        )
    if not (np.isfinite(target).all() and np.isfinite(shadow).all()):
        raise ValueError("Confidences must be finite; some are NaN or infinite.")
    return target, shadow, inside


def _counted(chosen: Mask, least: int, side: str) -> NDArray[np.intp]:
    """Return how many shadow models are chosen for each record, or raise for too few."""
    counts = chosen.sum(axis=0)
    if len(counts) and counts.min() < least:
        few = "no shadow model" if least == 1 else "fewer than two shadow models"
        raise ValueError(
            f"{int((counts < least).sum())} of {len(counts)} records have {few} trained {side} "
            "them. Train more shadow models" + (", or attack offline." if side == "with" else ".")
        )
    return counts
