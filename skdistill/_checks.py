"""Checks of what the user passed: public quantities, before anything is charged."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils import assert_all_finite, check_consistent_length, get_tags
from sklearn.utils.validation import check_is_fitted

from skdistill._withheld import WithheldTeacher
from skdistill.accounting.charging import check_accountant

__all__ = [
    "check_columns",
    "check_finite",
    "check_numbers",
    "check_output_range",
    "check_parameters",
    "check_teacher",
    "check_transfer_set",
    "forget",
    "n_rows",
]

_MECHANISMS = ("auto", "gaussian", "laplace", "noisy_max", "confident_max")


def _number(name: str, value: Any, requirement: str, ok: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} is not a number; {name} must be {requirement}.")
    if math.isnan(value) or not ok(value):
        raise ValueError(f"{name}={value!r} is out of range; {name} must be {requirement}.")
    return float(value)


def check_parameters(distiller: Any) -> None:
    """Raise a clear error for a parameter that cannot be.

    Raises
    ------
    TypeError, ValueError
        What was given, what it must be, and how to mend it.
    """
    epsilon = _number(
        "epsilon",
        distiller.epsilon,
        'a positive number (float("inf") means no noise and no privacy)',
        lambda v: v > 0 and not 0 < v < np.finfo(float).tiny,
    )
    delta = _number("delta", distiller.delta, "in [0, 1), e.g. 1e-6", lambda v: 0 <= v < 1)
    if 0 < delta < np.finfo(float).tiny:
        raise ValueError(f"delta={delta!r} is subnormal; use 0 or a normal number such as 1e-9.")
    _number(
        "temperature",
        distiller.temperature,
        "positive and finite (1 leaves soft labels as they are)",
        lambda v: 0 < v < math.inf,
    )
    mechanism = distiller.mechanism
    if mechanism not in _MECHANISMS:
        raise ValueError(
            f"mechanism={mechanism!r} is unknown. Use one of {', '.join(map(repr, _MECHANISMS))}."
        )
    if mechanism in ("gaussian", "confident_max") and delta == 0 and not math.isinf(epsilon):
        raise ValueError(
            f"mechanism={mechanism!r} with delta=0: no Gaussian noise gives pure differential "
            'privacy. Use mechanism="laplace", or a delta such as 1e-6.'
        )
    _check_rounds(distiller.n_rounds)
    _check_basis(distiller.basis, distiller.n_rounds)
    _check_max_queries(distiller.max_queries)
    _check_threshold(distiller.threshold)
    check_output_range(distiller.output_range)
    check_accountant(distiller.accountant)
    if math.isinf(epsilon) and distiller.accountant is not None:
        raise ValueError(
            "epsilon=inf means no privacy at all, so there is no cost that an accountant could "
            "record. Use a finite epsilon, or accountant=None for a baseline."
        )


def _check_rounds(value: Any) -> None:
    if isinstance(value, str) and value == "auto":
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= int(value) <= 8:
        raise ValueError(f'n_rounds={value!r} must be "auto" or a whole number from 1 to 8.')


def _check_basis(value: Any, n_rounds: Any) -> None:
    known = isinstance(value, str) and value in ("auto", "pca", "graph")
    if not (value is None or known or callable(value) or isinstance(value, np.ndarray)):
        raise ValueError(
            f'basis={value!r} must be "auto", "pca", "graph", a function of X, an array with one '
            "row for each row of X, or None."
        )
    if value is None and n_rounds not in ("auto", 1):
        raise ValueError(f"n_rounds={n_rounds!r} with basis=None: residual rounds need a basis.")


def _check_max_queries(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ValueError(f"max_queries={value!r} must be a positive integer, or None for all rows.")


def _check_threshold(value: Any) -> None:
    if value is None or (isinstance(value, str) and value == "prior"):
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ValueError(
            f'threshold={value!r} must be "prior", None (the student\'s own decision), or for two '
            "classes a probability strictly between 0 and 1."
        )


def check_output_range(value: Any) -> None:
    """Raise unless `value` is None or (low, high) with low < high, both finite."""
    if value is None:
        return
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"output_range={value!r} must be two finite numbers (low, high) with low < high, in "
            "units of the target."
        )
    if not math.isfinite(high - low):
        raise ValueError(f"output_range={value!r}: its width is not a finite number.")


def check_teacher(teacher: Any) -> NDArray[Any] | None:
    """Return the class labels of a fitted teacher, or raise.

    Returns
    -------
    classes : ndarray of shape (n_classes,) or None
        None for a regressor.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        For what cannot teach: not an estimator, not fitted, neither classifier nor regressor,
        several outputs.
    """
    if isinstance(teacher, WithheldTeacher):
        teacher.raise_withheld()
    if isinstance(teacher, type) or not any(
        hasattr(teacher, name) for name in ("predict_proba", "decision_function", "predict")
    ):
        raise TypeError(
            f"teacher={_short(teacher)} is not a fitted estimator: it needs predict_proba, "
            "decision_function or predict. Pass an instance, fitted on the private data."
        )
    try:
        get_tags(teacher)
        check_is_fitted(teacher)
    except NotFittedError:
        raise NotFittedError(
            f"The teacher {_short(teacher)} is not fitted. Fit it on the private data first. In a "
            "grid of teachers wrap each fitted one in sklearn.frozen.FrozenEstimator: scikit-learn "
            "clones grid values, and a clone is not fitted."
        ) from None
    except (AttributeError, TypeError):
        raise TypeError(
            f"teacher={_short(teacher)} does not follow scikit-learn's estimator API (fit and "
            "tags). Derive it from sklearn.base.BaseEstimator."
        ) from None
    if is_regressor(teacher):
        return None
    if not is_classifier(teacher):
        raise TypeError(
            f"teacher={_short(teacher)} is neither a classifier nor a regressor (by its tags)."
        )
    classes = getattr(teacher, "classes_", None)
    if classes is None or isinstance(classes, list) or np.ndim(classes) != 1:
        raise ValueError(
            f"The teacher {_short(teacher)} has no one-dimensional `classes_`: multilabel and "
            "multi-output teachers are not supported. Distil one output at a time."
        )
    if len(classes) < 2:
        raise ValueError(
            f"The teacher {_short(teacher)} knows {len(classes)} class; there is nothing to learn "
            "from it. It needs at least two."
        )
    return np.asarray(classes)


def check_transfer_set(X: Any, y: Any) -> Any:
    """Return X, made an array only if it has neither a shape nor a length; raise if it is empty.

    Raises
    ------
    ValueError
        For an X without rows or columns, or of one dimension; for a y of another length.
    """
    if not hasattr(X, "shape") and not hasattr(X, "__len__"):
        X = np.asarray(X)
    if n_rows(X) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={np.shape(X)}) while a minimum of 1 is required: "
            "the transfer set X is empty."
        )
    shape = np.shape(X) if isinstance(X, (np.ndarray, list, tuple)) else X.shape
    if len(shape) == 1 and _holds_numbers(X):
        raise ValueError(
            "Expected 2D array, got 1D array instead. Reshape your data: X.reshape(-1, 1) if it "
            "has one feature, X.reshape(1, -1) if it is one row."
        )
    if len(shape) > 1 and shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )
    if y is not None:
        check_consistent_length(X, y)
    return X


def forget(estimator: Any, *names: str) -> None:
    """Take back what an earlier fit left behind: a new student beside an old statement is a lie."""
    for name in names:
        vars(estimator).pop(name, None)


def n_rows(X: Any) -> int:
    """Return the number of rows of whatever holds a transfer set."""
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def _holds_numbers(X: Any) -> bool:
    return np.asarray(X).dtype.kind in "biufc"


def check_columns(distiller: Any, teacher: Any) -> None:
    """Raise where X has other columns than the teacher was trained on. Columns are public."""
    names = getattr(teacher, "feature_names_in_", None)
    given = getattr(distiller, "feature_names_in_", None)
    if names is not None and given is not None and list(names) != list(given):
        missing = [str(name) for name in names if name not in set(given)]
        extra = [str(name) for name in given if name not in set(names)]
        detail = f"missing {missing}, unexpected {extra}" if missing or extra else "other order"
        raise ValueError(
            f"The transfer set's columns are not those the teacher was trained on: {detail}."
        )
    width = getattr(teacher, "n_features_in_", None)
    if width is not None and width != distiller.n_features_in_:
        raise ValueError(
            f"X has {distiller.n_features_in_} features, but {type(teacher).__name__} was trained "
            f"with {width}."
        )


def check_numbers(X: Any) -> None:
    """Raise for an X that is no table of finite numbers: the default student takes no other.

    X is public. Found out later, the release would have been paid for.
    """
    if len(getattr(X, "shape", ())) > 2:
        raise ValueError(
            f"X has the shape {X.shape}, and the default student is a linear model of the columns "
            "of a table. Pass a student that takes such rows, a network for instance."
        )
    if hasattr(X, "tocsr") or (isinstance(X, np.ndarray) and X.dtype.kind in "biufc"):
        return
    try:
        values = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "X has columns that are not numbers, and the default student is a linear model of "
            "numbers. Pass a student that encodes them, e.g. "
            "student=make_pipeline(make_column_transformer(...), LogisticRegression())."
        ) from None
    assert_all_finite(values, input_name="X")


def check_finite(X: Any, *estimators: Any) -> None:
    """Raise for NaN or infinity in a numeric X, where any of the estimators says it takes none."""
    if all(_takes_nan(each) for each in estimators):
        return
    values = X.tocsr().data if hasattr(X, "tocsr") else X
    if isinstance(values, np.ndarray) and values.dtype.kind in "fc":
        if values.dtype.kind == "c":
            raise ValueError("Complex data not supported: X has a complex dtype.")
        assert_all_finite(values, input_name="X")


def _takes_nan(estimator: Any) -> bool:
    """Whether an estimator may take NaN; tags of pipelines, and of others' models, do not say."""
    return (
        not type(estimator).__module__.startswith("sklearn.")
        or hasattr(estimator, "steps")
        or hasattr(estimator, "estimator")
        or get_tags(estimator).input_tags.allow_nan
    )


def _short(value: Any) -> str:
    """Name an object without showing what it holds."""
    return value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"
