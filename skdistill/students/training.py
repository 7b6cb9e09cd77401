"""From released labels to a fitted student and its threshold. All of it is post-processing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import validate_data

from skdistill._tables import n_rows, own_copy, take_rows
from skdistill.neural import adapted, fresh
from skdistill.students.soft_targets import (
    Array,
    class_scores,
    fit_on_soft_labels,
    fit_with_unlabelled,
    how_to_train,
    looks_at_labels,
    rows_of_params,
)
from skdistill.students.thresholded import fixed_offsets, offsets_for_prior

_COPIES = "copy", "copy_X"  # settings of scikit-learn; False writes into X
_MOST_MATCHED = 200_000  # rows on which the share of each class is matched: it is known to .001


@np.errstate(all="ignore")  # no released label raises
def train(
    student: Any,
    X: Any,
    rows: NDArray[np.intp],
    values: Array,
    *,
    answered: NDArray[np.bool_],
    noise_scale: float,
    classes: NDArray[Any] | None,
    output_range: tuple[float, float] | None = None,
    fit_params: dict[str, Any] | None = None,
    random_state: Any = None,
) -> Any:
    """Train a clone of the student on released labels: `values` of the `rows` asked about.

    Those not `answered` have no label; students that learn from unlabelled rows see them, too, and
    others raise where no row was answered. `noise_scale`, the deviation of independent noise on a
    label, sets the penalty of the default student. `fit_params` with a value per row follow the
    rows.
    """
    params, X = fit_params or {}, untouched(student, X)
    if student is not None and classes is not None and how_to_train(student) == "unlabelled rows":
        codes = np.full(n_rows(X), -1)
        codes[rows] = np.where(answered, values.argmax(axis=1), -1)
        return fit_with_unlabelled(fresh(student, random_state), X, codes, classes, params)
    if not answered.any():
        raise ValueError(
            "No row got a confident answer at this epsilon, so there is nothing to train on. "
            'Use mechanism="noisy_max", a larger epsilon, or a semi-supervised student.'
        )
    rows, values = rows[answered], values[answered]
    if len(rows) < n_rows(X):
        params, X = rows_of_params(params, rows, n_rows(X)), take_rows(X, rows)
    if classes is None:
        if student is None:  # not by its truth: an ensemble has a length
            student = default_regressor(X, values, noise_scale, output_range)
        return fresh(student, random_state).fit(X, values, **params)
    if student is None:
        student = default_classifier(X, noise_scale)
    return fit_on_soft_labels(fresh(student, random_state), X, values, classes, params)


def untouched(student: Any, X: Any) -> Any:
    """Return X, or a copy of it if the student may write into its rows."""
    settings = student.get_params() if hasattr(student, "get_params") else {}
    parts = [each for each in (student, *settings.values()) if hasattr(each, "get_params")]
    usual = all(_of_scikit_learn(type(part)) for part in parts)
    in_place = any(name.rpartition("__")[2] in _COPIES and not settings[name] for name in settings)
    return X if usual and not in_place else own_copy(X)


def _of_scikit_learn(kind: type) -> bool:
    """Whether a class is known to write into rows only where a setting says so."""
    return kind.__module__.split(".")[0] == "sklearn" and kind is not FunctionTransformer


def encoder_of(student: Any) -> Any:
    """Return the first steps of a student's pipeline that need no labels, not fitted; or None."""
    steps = list(getattr(student, "steps", ()))[:-1]
    first: list[Any] = []
    for name, step in steps:
        if not isinstance(step, str) and step is not None and looks_at_labels(step):
            break
        first.append((name, step))
    return Pipeline(first) if first else None


def check_threshold(student: Any, threshold: Any, classes: NDArray[Any] | None) -> None:
    """Raise where a threshold on a probability cannot be had: before anything is charged."""
    if classes is None or threshold is None or isinstance(threshold, str):
        return
    if len(classes) != 2:
        raise ValueError(
            f"threshold={threshold!r} needs two classes, and there are {len(classes)}. "
            'Use threshold="prior" or None.'
        )
    if student is None or is_regressor(student):
        return
    student = adapted(student)
    if not hasattr(student, "predict_proba") and hasattr(student, "decision_function"):
        fixed_offsets(float(threshold), "margin")


@np.errstate(all="ignore")
def match_threshold(
    student: Any, X: Any, threshold: Any, prior: Array | None, classes: NDArray[Any] | None
) -> Array | None:
    """Find the decision offsets of a fitted student on the public X; None: the student decides."""
    if threshold is None or prior is None or classes is None:
        return None
    if (step := -(-n_rows(X) // _MOST_MATCHED)) > 1:
        X = take_rows(X, np.arange(0, n_rows(X), step))
    scored = class_scores(student, X, classes)
    if scored is None:
        return None
    scores, scale = scored
    if threshold != "prior":
        return fixed_offsets(float(threshold), scale)
    # Margins of more than two classes have no common scale to shift them on.
    comparable = scale != "margin" or len(prior) == 2
    return offsets_for_prior(scores, prior) if comparable else None


def default_classifier(X: Any, noise_scale: float) -> LogisticRegression:
    """Return a LogisticRegression whose penalty is set from the noise.

    In the quadratic model of the loss (Hessian ¼·XᵀX, gradient noise of covariance s²·XᵀX, s the
    noise on a binary target) with weights of prior variance τ², the mean squared error of the
    weights is least for the penalty 1/C = 4·s²/τ² (set the derivative of
    (λ²τ² + s²g)/(g/4 + λ)² by λ to zero). Here s² = noise_scale²/2 (the part of the noise within
    the plane of vectors that sum to 1), and τ² is such that the scores have standard deviation 2.
    """
    penalty = noise_scale**2 / 2 * _total_variance(X)
    return LogisticRegression(C=1.0 / max(1.0, penalty), max_iter=1000)


def default_regressor(
    X: Any, values: Array, noise_scale: float, output_range: tuple[float, float] | None
) -> Ridge:
    """Return a Ridge whose penalty is set from the noise.

    The least expected error has the penalty s²/τ², where s is the noise and τ² the prior variance
    of a weight: signal variance by the total variance of X. The signal variance is that of the
    released values less that of their noise, and at least that of 5 % of the range.
    """
    signal = float(np.var(values)) - noise_scale**2
    if output_range is not None:
        signal = max(signal, (0.05 * (output_range[1] - output_range[0])) ** 2)
    if not np.isfinite(signal) or signal <= 0 or noise_scale == 0:
        return Ridge(alpha=1.0)
    return Ridge(alpha=max(1.0, noise_scale**2 / signal * _total_variance(X)))


def _total_variance(X: Any) -> float:
    """Return the sum of the variances of the columns; 0 where X is not numeric."""
    try:
        if hasattr(X, "tocsr"):
            X = X.tocsr()
            mean = np.asarray(X.mean(axis=0)).ravel()
            total = float(X.multiply(X).sum() / X.shape[0] - mean @ mean)
        else:
            total = float(np.asarray(X, dtype=np.float64).var(axis=0).sum())
    except (TypeError, ValueError):
        return 0.0
    return total if np.isfinite(total) and total > 0 else 0.0


def linear_student(
    model: Any, classes: Any, output_range: Any, X: Any, transformer: Any = None
) -> Any:
    """Return a LinearRelease as a fitted estimator: post-processing, nothing is trained.

    Weights of a regression are in units of half the range, from its middle; public steps come
    first. Of the public X, the names of the columns are read, as these steps give them.
    """
    student: Any
    if classes is not None:
        student = LogisticRegression()
        student.classes_ = classes
        student.coef_, student.intercept_ = model.coef, model.intercept
        student.n_iter_ = np.array([model.n_rounds], dtype=np.int32)
    else:
        assert output_range is not None
        half, middle = output_range[1] / 2 - output_range[0] / 2, sum(output_range) / 2
        student = Ridge()
        student.coef_ = model.coef[0] * half
        student.intercept_ = float(model.intercept[0] * half + middle)
        student.n_iter_ = None
    seen = X if transformer is None else transformer.transform(take_rows(X, np.arange(1)))
    validate_data(student, seen, skip_check_array=True)  # for the names
    student.n_features_in_ = model.coef.shape[1]
    return student if transformer is None else make_pipeline(transformer, student)
