"""From released labels to a fitted student and its threshold. All of it is post-processing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline

from skdistill._tables import n_rows, take_rows
from skdistill.neural import adapted, fresh
from skdistill.students.defaults import default_classifier, default_regressor
from skdistill.students.soft_targets import (
    class_scores,
    fit_on_soft_labels,
    fit_with_unlabelled,
    how_to_train,
    looks_at_labels,
    rows_of_params,
)
from skdistill.students.threshold import fixed_offsets, offsets_for_prior

Array = NDArray[np.float64]

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
    params = fit_params or {}
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
        student = student or default_regressor(X, values, noise_scale, output_range)
        return fresh(student, random_state).fit(X, values, **params)
    if student is None:
        student = default_classifier(X, noise_scale)
    return fit_on_soft_labels(fresh(student, random_state), X, values, classes, params)


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
