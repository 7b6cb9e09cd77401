"""Membership inference attacks on arrays: what a model says of a record, turned into a score.

Every attack returns one score per record; higher means "more likely a member", that is, one of the
records the model was trained on. Which threshold to use is left to the caller: the scores of
records known to be members and of others make a ROC curve.

Most attacks start from the *log-odds* of the true label, :func:`log_odds`: near-Gaussian over
retrained models, and without the loss of precision that probabilities close to 1 suffer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, xlog1py, xlogy

__all__ = [
    "classwise_attack",
    "lira_attack",
    "log_odds",
    "loss_attack",
    "modified_entropy_attack",
    "quantile_attack",
    "rmia_attack",
    "squared_error_attack",
]

Array = NDArray[np.float64]

# Probabilities below this are taken for it: a forest says 0 where it means "less than 1/trees".
_FLOOR = 1e-12

# Shadow models on each side from which a variance of its own per record is worth its error
# (Carlini et al. 2022, section VI-B: a global variance wins below 64 models, 32 on each side).
_ENOUGH_FOR_VARIANCE = 32


def log_odds(probabilities: ArrayLike, y: ArrayLike) -> Array:
    """Return log p_y − log(1 − p_y), the logit-scaled confidence.

    Parameters
    ----------
    probabilities : array-like of shape (n, n_classes)
        Class probabilities.
    y : array-like of int, shape (n,)
        True labels, as columns of `probabilities`.

    Returns
    -------
    confidences : ndarray of shape (n,)
        Finite: both sums are at least 1e-12.

    Raises
    ------
    ValueError
        For other shapes, entries that are no probabilities, or codes that are no columns.

    References
    ----------
    .. [1] Carlini, Chien, Nasr, Song, Terzis, Tramèr. "Membership inference attacks from first
       principles". IEEE S&P 2022, arXiv:2112.03570, section IV-A.

    Examples
    --------
    >>> from skdistill.audit.attacks import log_odds
    >>> log_odds([[0.9, 0.1], [0.9, 0.1]], [0, 1]).round(3)
    array([ 2.197, -2.197])
    """
    p, codes = _checked(probabilities, y)
    rows = np.arange(len(p))
    true = p[rows, codes]
    others = p.copy()
    others[rows, codes] = 0.0
    return np.asarray(np.log(np.maximum(true, _FLOOR)) - np.log(np.maximum(others.sum(1), _FLOOR)))


def loss_attack(probabilities: ArrayLike, y: ArrayLike) -> Array:
    """Score by the loss: the logarithm of the probability of the true label.

    An attack by confidence ranks alike.

    Parameters
    ----------
    probabilities : array-like of shape (n, n_classes)
    y : array-like of int, shape (n,)
        True labels, as columns of `probabilities`.

    Returns
    -------
    scores : ndarray of shape (n,)
        At most 0; higher means member.

    References
    ----------
    .. [1] Yeom, Giacomelli, Fredrikson, Jha. "Privacy risk in machine learning: analyzing the
       connection to overfitting". CSF 2018, arXiv:1709.01604, adversary 2.

    Examples
    --------
    >>> from skdistill.audit import loss_attack
    >>> loss_attack([[0.9, 0.1], [0.5, 0.5]], [0, 0]).round(3)
    array([-0.105, -0.693])
    """
    return np.asarray(log_expit(log_odds(probabilities, y)))


def squared_error_attack(predictions: ArrayLike, y: ArrayLike) -> Array:
    """Score a regressor by its squared error, negated.

    Parameters
    ----------
    predictions, y : array-like of shape (n,)
        What the model says, and the true targets.

    Returns
    -------
    scores : ndarray of shape (n,)
        At most 0; higher means member.

    References
    ----------
    .. [1] Yeom, Giacomelli, Fredrikson, Jha. "Privacy risk in machine learning: analyzing the
       connection to overfitting". CSF 2018, arXiv:1709.01604, section 3.2.
    """
    said, true = np.asarray(predictions, dtype=float), np.asarray(y, dtype=float)
    if said.ndim != 1 or said.shape != true.shape:
        raise ValueError(
            f"predictions of shape {said.shape} and targets of shape {true.shape}: both must be "
            "one-dimensional and of one length. Attack one output at a time."
        )
    if not (np.isfinite(said).all() and np.isfinite(true).all()):
        raise ValueError("Predictions and targets must be finite; some are NaN or infinite.")
    return -np.square(said - true)


def modified_entropy_attack(probabilities: ArrayLike, y: ArrayLike) -> Array:
    r"""Score by the modified entropy, negated.

    .. math:: -(1 - p_y) \log p_y - \sum_{c \ne y} p_c \log(1 - p_c)

    is small where the model is sure *and* right; plain entropy does not see the label.

    Parameters
    ----------
    probabilities : array-like of shape (n, n_classes)
    y : array-like of int, shape (n,)
        True labels, as columns of `probabilities`.

    Returns
    -------
    scores : ndarray of shape (n,)
        At most 0; higher means member.

    References
    ----------
    .. [1] Song, Mittal. "Systematic evaluation of privacy risks of machine learning models".
       USENIX Security 2021, arXiv:2003.10595, section 3.2.

    Examples
    --------
    >>> from skdistill.audit import modified_entropy_attack
    >>> modified_entropy_attack([[0.9, 0.1], [0.1, 0.9]], [0, 0]).round(3)
    array([-0.021, -4.145])
    """
    p, codes = _checked(probabilities, y)
    rows = np.arange(len(p))
    true = np.maximum(p[rows, codes], _FLOOR)
    others = np.minimum(p, 1 - _FLOOR)
    others[rows, codes] = 0.0
    wrong = np.maximum(others.sum(axis=1), 0.0)
    return np.asarray(xlogy(wrong, true) + xlog1py(others, -others).sum(axis=1))


def classwise_attack(
    probabilities: ArrayLike,
    y: ArrayLike,
    reference_probabilities: ArrayLike,
    y_reference: ArrayLike,
) -> Array:
    """Score by the loss, with a threshold of its own for each class.

    One threshold on the score is one on each class's loss, at which the same share of that class's
    reference records, known not to be members, is exceeded. (A score is the rank of the record's
    log-odds among those of its class, divided by their number; the odds break ties.)

    Parameters
    ----------
    probabilities : array-like of shape (n, n_classes)
    y : array-like of int, shape (n,)
        True labels, as columns of `probabilities`.
    reference_probabilities : array-like of shape (r, n_classes)
        What the model says of records that are not members.
    y_reference : array-like of int, shape (r,)

    Returns
    -------
    scores : ndarray of shape (n,)
        In [0, 1]; higher means member.

    Raises
    ------
    ValueError
        If a class of `y` has no reference record.

    References
    ----------
    .. [1] Song, Mittal. "Systematic evaluation of privacy risks of machine learning models".
       USENIX Security 2021, arXiv:2003.10595, section 3.2.
    """
    confidences = log_odds(probabilities, y)
    reference = log_odds(reference_probabilities, y_reference)
    codes, reference_codes = np.asarray(y), np.asarray(y_reference)
    missing = np.setdiff1d(codes, reference_codes)
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(np.unique(codes))} classes have no reference record: no "
            "threshold can be set for them. Give reference records of every class."
        )
    scores = np.empty(len(confidences))
    for code in np.unique(codes):
        own, known = codes == code, np.sort(reference[reference_codes == code])
        scores[own] = _ranks(confidences[own], known)
    return scores


def lira_attack(
    confidences: ArrayLike,
    shadow_confidences: ArrayLike,
    member: ArrayLike | None = None,
    *,
    online: bool = True,
    variance: str = "auto",
) -> Array:
    r"""Likelihood-ratio attack (LiRA) with shadow models.

    Each record has Gaussians of its own, fitted to the log-odds that shadow models trained with it
    (in) and without it (out) give to its label. *Online*, the score is
    :math:`\log N(t; \mu_{in}, \sigma^2_{in}) - \log N(t; \mu_{out}, \sigma^2_{out})`; *offline*,
    where only models without the record count, it is how many :math:`\sigma_{out}` the target's
    log-odds t lie above :math:`\mu_{out}`, which ranks as the probability in the paper does.

    Log-odds of probabilities that are exactly 0 or 1, as a forest's often are, would dominate
    every mean and variance. Where there are any, all are clipped at twice the odds that 99 % of
    the others stay below.

    Parameters
    ----------
    confidences : array-like of shape (n,)
        The attacked model's :func:`log_odds`.
    shadow_confidences : array-like of shape (n_shadows, n)
        Those of each shadow model.
    member : array-like of bool, shape (n_shadows, n), default=None
        Which shadow model was trained with which record. None: none with any (offline only).
    online : bool, default=True
    variance : {"auto", "per_example", "global"}, default="auto"
        "global" pools the squared deviations of all records, each from its own mean, which few
        shadow models need; "auto" does so with fewer than 32 models on a side.

    Returns
    -------
    scores : ndarray of shape (n,)
        Higher means member.

    Raises
    ------
    ValueError
        For other shapes, or if a record has fewer than two models on a side that is needed.

    References
    ----------
    .. [1] Carlini, Chien, Nasr, Song, Terzis, Tramèr. "Membership inference attacks from first
       principles". IEEE S&P 2022, arXiv:2112.03570, algorithm 1.
    """
    target, shadow, inside = _checked_shadows(confidences, shadow_confidences, member)
    if variance not in ("auto", "per_example", "global"):
        raise ValueError(f'variance={variance!r} must be "auto", "per_example" or "global".')
    target, shadow = _unsaturated(target, shadow)
    mean, deviation = _gaussians(shadow, ~inside, variance, "without")
    distance = (target - mean) / deviation
    if not online:
        return np.asarray(distance)
    mean_in, deviation_in = _gaussians(shadow, inside, variance, "with")
    distance_in = (target - mean_in) / deviation_in
    return np.asarray((distance**2 - distance_in**2) / 2 + np.log(deviation) - np.log(deviation_in))


def rmia_attack(
    confidences: ArrayLike,
    shadow_confidences: ArrayLike,
    reference_confidences: ArrayLike,
    reference_shadow_confidences: ArrayLike,
    member: ArrayLike | None = None,
    reference_member: ArrayLike | None = None,
    *,
    gamma: float = 2.0,
    offline_a: float = 0.3,
) -> Array:
    r"""Robust membership inference attack (RMIA), by pairwise likelihood ratios.

    The score of x is the share of population records z with
    :math:`\frac{p_\theta(x)}{p(x)} \ge \gamma \frac{p_\theta(z)}{p(z)}`. Here p(x) averages the
    reference models: half with x and half without; where no model has it,
    :math:`\frac{1}{2}((1 + a)\,\bar p_{out}(x) + 1 - a)`. Ties are broken by the ratio of x.

    Parameters
    ----------
    confidences : array-like of shape (n,)
        The attacked model's :func:`log_odds` on the records x.
    shadow_confidences : array-like of shape (n_shadows, n)
        Those of each reference (shadow) model.
    reference_confidences : array-like of shape (r,)
        The attacked model's log-odds on population records z, which are not its members.
    reference_shadow_confidences : array-like of shape (n_shadows, r)
    member : array-like of bool, shape (n_shadows, n), default=None
        Which shadow model was trained with which x. None: none with any (the offline attack).
    reference_member : array-like of bool, shape (n_shadows, r), default=None
        The same for z.
    gamma : float, default=2.0
        By how much x must beat z.
    offline_a : float, default=0.3
        The paper's a, between 0 and 1.

    Returns
    -------
    scores : ndarray of shape (n,)
        In [0, 1]; higher means member.

    References
    ----------
    .. [1] Zarifzadeh, Liu, Shokri. "Low-cost high-power membership inference attacks". ICML 2024,
       arXiv:2312.03262, section 3.
    """
    if not gamma > 0 or not 0 <= offline_a <= 1:
        raise ValueError(f"gamma={gamma!r} must be positive and offline_a={offline_a!r} in [0, 1].")
    online = member is not None and bool(np.any(member))
    ratios = _lifts(confidences, shadow_confidences, member, online, offline_a)
    population = _lifts(
        reference_confidences, reference_shadow_confidences, reference_member, online, offline_a
    )
    beaten = np.searchsorted(np.sort(population) * gamma, ratios, side="right")
    return np.asarray((beaten + ratios / (1 + ratios)) / (len(population) + 1))


def quantile_attack(
    confidences: ArrayLike,
    X: ArrayLike,
    reference_confidences: ArrayLike,
    X_reference: ArrayLike,
    *,
    quantile: float = 0.9,
    regressor: Any = None,
) -> Array:
    r"""Quantile regression attack: no shadow models, one regression on non-members.

    How confident a model that has *not* seen x would be of x is regressed on x: its median
    :math:`q_{.5}(x)` and a high quantile :math:`q_\tau(x)`. The score is
    :math:`(t - q_{.5}(x)) / (q_\tau(x) - q_{.5}(x))`, the location-scale form of the paper's
    Gaussian variant: the test "score > 1" has a false-positive rate of 1 - τ on every kind of
    record, and so has every other threshold if records differ by location and scale only.

    Parameters
    ----------
    confidences : array-like of shape (n,)
        The attacked model's :func:`log_odds`.
    X : array-like of shape (n, d)
        Numeric features of the records; their label should be one of them.
    reference_confidences : array-like of shape (r,)
        The attacked model's log-odds on records that are not members.
    X_reference : array-like of shape (r, d)
    quantile : float, default=0.9
        τ, between 0.5 and 1. About (1 - τ)·r reference records lie above, so it cannot be high.
    regressor : estimator, default=None
        Regressor with a parameter `quantile`, cloned. None is a
        HistGradientBoostingRegressor(loss="quantile").

    Returns
    -------
    scores : ndarray of shape (n,)
        Higher means member.

    References
    ----------
    .. [1] Bertran, Tang, Roth, Kearns, Morgenstern, Wu. "Scalable membership inference attacks via
       quantile regression". NeurIPS 2023, arXiv:2307.03694, algorithm 1.
    """
    from sklearn.base import clone
    from sklearn.ensemble import HistGradientBoostingRegressor

    if not 0.5 < quantile < 1:
        raise ValueError(f"quantile={quantile!r} must be above 0.5 and below 1.")
    target = np.asarray(confidences, dtype=float)
    reference = np.asarray(reference_confidences, dtype=float)
    if regressor is None:
        regressor = HistGradientBoostingRegressor(loss="quantile", quantile=0.5, random_state=0)
    middle, high = (
        _regressed(clone(regressor).set_params(quantile=level), X_reference, reference, X)
        for level in (0.5, quantile)
    )
    least = 1e-3 * max(float(np.std(reference)), 1e-9)  # quantiles regressed apart can cross
    return np.asarray((target - middle) / np.maximum(high - middle, least))


# ------------------------------------------------------------------------------------------ parts


def _checked(probabilities: ArrayLike, y: ArrayLike) -> tuple[Array, NDArray[np.intp]]:
    """Return probabilities and codes as arrays, or raise."""
    p, codes = np.asarray(probabilities, dtype=float), np.asarray(y)
    if p.ndim != 2 or p.shape[1] < 2 or codes.shape != p.shape[:1]:
        raise ValueError(
            f"probabilities of shape {p.shape} and y of shape {codes.shape}: they must be "
            "(n, n_classes), with at least two classes, and (n,)."
        )
    if not ((p >= 0) & (p <= 1 + 1e-6)).all():
        bad = int((~((p >= 0) & (p <= 1 + 1e-6))).any(axis=1).sum())
        raise ValueError(
            f"{bad} of {len(p)} rows hold entries that are no probabilities in [0, 1]."
        )
    if codes.dtype.kind not in "biu" or not ((codes >= 0) & (codes < p.shape[1])).all():
        raise ValueError(f"y must hold column numbers of probabilities: 0 to {p.shape[1] - 1}.")
    return np.minimum(p, 1.0), codes.astype(np.intp)


def _checked_shadows(
    confidences: ArrayLike, shadow_confidences: ArrayLike, member: ArrayLike | None
) -> tuple[Array, Array, NDArray[np.bool_]]:
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


def _ranks(values: Array, known: Array) -> Array:
    """Return the share of the sorted `known` below each value; the value itself breaks ties."""
    return np.asarray((np.searchsorted(known, values) + expit(values / 4)) / (len(known) + 1))


def _unsaturated(target: Array, shadow: Array) -> tuple[Array, Array]:
    """Clip log-odds of probabilities that are exactly 0 or 1, where there are any."""
    size = np.abs(shadow)
    saturated = np.isclose(size, -np.log(_FLOOR), rtol=0, atol=1e-6)
    if not saturated.any():
        return target, shadow
    limit = np.log(2) + (0.0 if saturated.all() else np.quantile(size[~saturated], 0.99))
    return np.clip(target, -limit, limit), np.clip(shadow, -limit, limit)


def _gaussians(
    shadow: Array, chosen: NDArray[np.bool_], variance: str, side: str
) -> tuple[Array, Array]:
    """Return mean and standard deviation of each record over the chosen shadow models."""
    counts = chosen.sum(axis=0)
    if len(counts) and counts.min() < 2:
        raise ValueError(
            f"{int((counts < 2).sum())} of {len(counts)} records have fewer than two shadow models "
            f"trained {side} them. Train more shadow models"
            + (", or attack offline." if side == "with" else ".")
        )
    mean = np.where(chosen, shadow, 0.0).sum(axis=0) / counts
    squares = np.where(chosen, shadow - mean, 0.0) ** 2
    pooled = squares.sum() / max(counts.sum() - len(counts), 1)
    if variance == "global" or (variance == "auto" and counts.min() < _ENOUGH_FOR_VARIANCE):
        found = np.full(len(counts), pooled)
    else:
        found = squares.sum(axis=0) / (counts - 1)
    return mean, np.sqrt(np.maximum(found, 1e-4 * pooled + 1e-12))


def _lifts(
    confidences: ArrayLike,
    shadow_confidences: ArrayLike,
    member: ArrayLike | None,
    online: bool,
    a: float,
) -> Array:
    """Return p_θ(x)/p(x) for each record."""
    target, shadow, inside = _checked_shadows(confidences, shadow_confidences, member)
    counts_in, counts_out = inside.sum(axis=0), (~inside).sum(axis=0)
    if counts_out.size and counts_out.min() < 1:
        raise ValueError(
            f"{int((counts_out < 1).sum())} of {len(counts_out)} records have no shadow model "
            "trained without them. Train more shadow models."
        )
    p = expit(shadow)
    out = np.where(inside, 0.0, p).sum(axis=0) / counts_out
    within = np.where(inside, p, 0.0).sum(axis=0) / np.maximum(counts_in, 1)
    both = online & (counts_in > 0)
    average = np.where(both, (within + out) / 2, ((1 + a) * out + (1 - a)) / 2)
    return np.asarray(expit(target) / np.maximum(average, _FLOOR))


def _regressed(regressor: Any, X_reference: Any, confidences: Array, X: Any) -> Array:
    """Fit on the reference records and return the values at X."""
    model = regressor.fit(X_reference, confidences)
    return np.asarray(model.predict(X), dtype=float)
