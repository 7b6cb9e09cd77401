"""Checks of public quantities, before anything is charged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from inspect import signature
from itertools import compress
from numbers import Real
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._numbers import check_jobs, check_number, check_range, check_whole
from skdistill._randomness import moved_on
from skdistill._silenced import warn_caller
from skdistill._tables import cells_of, check_table, label_codes, n_rows, own_copy, take_rows
from skdistill._trained_on import attribute, last_step, n_records, quietly, was_trained_on
from skdistill._withheld import WithheldTeacher
from skdistill.accounting.charging import check_accountant
from skdistill.certificates.base import Certificate, unwrap
from skdistill.publishing import refuse_private_settings
from skdistill.release.calibration import check_mechanism
from skdistill.students import check_threshold

_FEW_RECORDS = 10


@dataclass(frozen=True, eq=False)
class Inputs:
    """The checked, public arguments of a fit, and the teacher."""

    teacher: Any  # fitted; private
    X: Any  # a copy of the transfer set, which no teacher sees
    n_rows: int
    classes: NDArray[Any] | None  # None for a regressor
    prior: NDArray[np.float64] | None = None  # shares of the classes in y, which is public

    def rows(self, indices: NDArray[np.intp]) -> Any:
        """Return rows of X."""
        return self.X if len(indices) == self.n_rows else take_rows(self.X, indices)


class _Columns(BaseEstimator):
    """Holds the names and the number of the columns of one table."""


@moved_on()  # attributes of the teacher may be code
def check_inputs(distiller: Any, X: Any, y: Any) -> Inputs:
    """Check settings, teacher and transfer set, and set nothing.

    The rows are a copy, made before the teacher's code runs: it may have kept a view of X.
    """
    own = check_table(X)
    X, prior = own_copy(own), None
    check_settings(distiller)
    classes = check_teacher(distiller.teacher)
    teacher = unwrap(distiller.teacher)
    if isinstance(X, list) and len({np.shape(row) for row in X}) > 1:
        raise ValueError("The rows of X have different lengths.")
    if y is not None:
        check_consistent_length(X, y)
        prior = _read_labels(y, classes)
    _warn_of_habits(distiller, teacher, own, classes)
    columns = _Columns()
    validate_data(columns, X, skip_check_array=True)
    _check_columns(columns, teacher)
    _check_finite(X, teacher)
    return Inputs(teacher, X, n_rows(X), classes, prior)


def check_student(student: Any, inputs: Inputs, threshold: Any, gives_model: bool = False) -> None:
    """Check that the student holds no teacher, and that it can learn from X and be cut.

    With `gives_model` the default student is the released model, whose features are the teacher's.
    """
    if student is None and not gives_model:
        _check_numbers(inputs.X)
        _check_finite(inputs.X, LogisticRegression() if inputs.classes is not None else Ridge())
    elif student is not None:
        kind = quietly(lambda: get_tags(student).estimator_type)
        # A stacking model has a method `predict` once it is fitted.
        predicts = kind in ("classifier", "regressor") or hasattr(student, "predict")
        if not predicts or kind == "clusterer" or isinstance(student, type):
            raise TypeError(
                f"student={type_name(student)} cannot be a student: it predicts no labels. Pass an "
                "instance of a classifier or a regressor, or a Pipeline that ends in one."
            )
        refuse_private_settings(student, inputs.teacher)
        if inputs.classes is None and kind == "classifier":
            raise TypeError(
                f"student={type_name(student)} is a classifier, and the teacher a regressor, whose "
                "labels are numbers. Pass a regressor, e.g. student=Ridge()."
            )
        _check_finite(inputs.X, student)
    check_threshold(student, threshold, inputs.classes)


def check_fit_params(student: Any, params: dict[str, Any], n_rows: int) -> None:
    """Raise for parameters that the student's fit does not take, or of another length than X."""
    for name, value in params.items():
        step, key = student, name
        if not sklearn.get_config()["enable_metadata_routing"]:  # else, scikit-learn has checked
            while hasattr(step, "steps"):
                prefix, _, rest = key.partition("__")
                steps = dict(step.steps)
                if not rest or prefix not in steps:
                    raise ValueError(
                        f"fit got {name}: write step__parameter, with a step of {list(steps)}."
                    )
                step, key = steps[prefix], rest
            _check_fit_parameter(step, key, name)
        if key == "sample_weight" and np.ndim(value) > 0 and len(value) != n_rows:
            raise ValueError(f"{name} has {len(value)} entries, and X has {n_rows} rows.")


def _check_fit_parameter(step: Any, key: str, name: str) -> None:
    fit = getattr(step, "fit_soft", None) or getattr(step, "fit", None)
    if fit is None:
        return
    known = signature(fit).parameters
    if key not in known and all(each.kind is not each.VAR_KEYWORD for each in known.values()):
        raise TypeError(
            f"fit got {name}, and the fit of {type(step).__name__} takes "
            f"{[each for each in known if each not in ('X', 'y', 'Y', 'classes')]}."
        )


def check_settings(distiller: Any) -> None:
    """Raise an error for an invalid parameter; the message names the valid values."""
    epsilon = check_number(
        "epsilon",
        distiller.epsilon,
        'a positive number (float("inf") means no noise and no privacy)',
        lambda v: v > 0 and not 0 < v < np.finfo(float).tiny,
    )
    delta = check_number("delta", distiller.delta, "in [0, 1), e.g. 1e-6", lambda v: 0 <= v < 1)
    if 0 < delta < np.finfo(float).tiny:
        raise ValueError(f"delta={delta!r} is subnormal; use 0 or a normal number such as 1e-9.")
    check_mechanism(distiller.mechanism)
    if not isinstance(distiller.certificate, Certificate) and distiller.certificate != "auto":
        raise TypeError(f'certificate={distiller.certificate!r} must be "auto" or a Certificate.')
    law = getattr(distiller.mechanism, "noise", distiller.mechanism)
    if law == "gaussian" and delta == 0 and not math.isinf(epsilon):
        raise ValueError(
            'mechanism="gaussian" with delta=0: no Gaussian noise gives pure differential '
            'privacy. Use mechanism="laplace", or a delta such as 1e-6.'
        )
    if distiller.max_queries is not None:
        check_whole("max_queries", distiller.max_queries, 1, ", or None for all rows")
    _check_threshold(distiller.threshold)
    if distiller.output_range is not None:
        check_range(distiller.output_range)
    check_random_state(distiller.random_state)  # draws nothing
    check_jobs(distiller.n_jobs, distiller.verbose)
    check_accountant(distiller.accountant)
    if math.isinf(epsilon) and distiller.accountant is not None:
        raise ValueError(
            "epsilon=inf means no privacy at all, so there is no cost that an accountant could "
            "record. Use a finite epsilon, or accountant=None for a baseline."
        )


def _check_threshold(value: Any) -> None:
    if value is None or (isinstance(value, str) and value == "prior"):
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ValueError(
            f'threshold={value!r} must be "prior", None, or for two classes a number in (0, 1).'
        )


def check_teacher(teacher: Any) -> NDArray[Any] | None:
    """Return the class labels of a fitted teacher (None for a regressor), or raise."""
    withheld = unwrap(teacher)
    if isinstance(withheld, WithheldTeacher):
        withheld.raise_withheld()
    if isinstance(teacher, type) or not any(
        attribute(teacher, name) is not None
        for name in ("predict_proba", "decision_function", "predict")
    ):
        raise TypeError(
            f"teacher={type_name(teacher)} is not a fitted estimator: it needs predict_proba, "
            "decision_function or predict. Pass an instance, fitted on the private data."
        )
    kind = quietly(_kind_of, teacher)
    if kind == "not fitted":
        raise NotFittedError(
            f"The teacher {type_name(teacher)} is not fitted. Fit it on the private data first. In "
            "a grid of teachers wrap each fitted one in sklearn.frozen.FrozenEstimator: "
            "scikit-learn clones grid values, and a clone is not fitted."
        )
    if kind is None:
        raise TypeError(
            f"teacher={type_name(teacher)} does not follow scikit-learn's estimator API (fit and "
            "tags). Derive it from sklearn.base.BaseEstimator."
        )
    if kind == "regressor":
        return None
    if kind != "classifier":
        raise TypeError(
            f"teacher={type_name(teacher)} is neither a classifier nor a regressor (by its tags)."
        )
    classes = attribute(teacher, "classes_")
    if classes is None or isinstance(classes, list) or quietly(np.ndim, classes) != 1:
        raise ValueError(
            f"The teacher {type_name(teacher)} has no one-dimensional `classes_`: multilabel and "
            "multi-output teachers are not supported. Distil one output at a time."
        )
    if len(classes) < 2:
        raise ValueError(f"The teacher {type_name(teacher)} knows {len(classes)} class, not two.")
    return np.array(classes)  # the teacher may write into its own


def _kind_of(teacher: Any) -> str:
    get_tags(teacher)
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return "not fitted"
    if is_regressor(teacher):
        return "regressor"
    return "classifier" if is_classifier(teacher) else "neither"


def clear_fitted(estimator: Any) -> None:
    """Remove the results of an earlier fit."""
    for name in [name for name in vars(estimator) if name.endswith("_") and name[0] != "_"]:
        del vars(estimator)[name]


def warn_of_own_table(teacher: Any, X: Any) -> None:
    """Warn where X is the object that a teacher was trained on."""
    if was_trained_on(unwrap(teacher), X):
        warn_caller(
            "X is the very table that the teacher was trained on. X is the public transfer set: "
            "the student sees its features in the clear, which the statement does not protect, "
            "and y is not used. Pass rows that are public."
        )


def _warn_of_habits(distiller: Any, teacher: Any, X: Any, classes: NDArray[Any] | None) -> None:
    """Warn of calls that run but mean something else than they seem to. All of it is public."""
    n, delta = n_records(teacher), distiller.delta
    warn_of_own_table(teacher, X)
    curvature = attribute(last_step(unwrap(teacher)), "curvature")
    if curvature is not None and was_trained_on(unwrap(teacher), curvature):
        warn_caller(
            "curvature is the very table that the teacher was trained on. The statement does not "
            "protect the rows given as curvature. Pass rows that are public, or None, which takes "
            "the transfer set."
        )
    if distiller.output_range is not None and classes is not None:
        warn_caller("output_range is for regressors: with this classifier it does nothing.")
    if classes is None and isinstance(distiller.threshold, Real):
        warn_caller("threshold is for classifiers: with this regressor it does nothing.")
    if math.isinf(distiller.epsilon) or n is None:
        return
    if n <= _FEW_RECORDS:
        warn_caller(
            f"The teacher was trained on {n} private records (or groups). What hides one of so few "
            "hides nearly all that the others have in common: expect noise."
        )
    elif delta * n > 1:
        warn_caller(
            f"delta={delta:g} is above 1/n for the {n} private records (or groups): to publish one "
            f"in {round(1 / delta)} as it is would satisfy it. Use a delta well below {1 / n:.1g}, "
            "e.g. 1e-6."
        )


def _read_labels(y: Any, classes: NDArray[Any] | None) -> NDArray[np.float64] | None:
    """Return the shares of the classes in y, or None; warn of labels that the teacher lacks."""
    if classes is None or len(getattr(y, "shape", (0,))) != 1:
        return None
    codes = label_codes(y, classes)
    if classes.dtype.kind in "US" and (codes < 0).all():
        # StackingClassifier and cross_val_predict, say, put codes in place of labels, and read
        # probabilities alone. One that counted predictions would raise an error for texts.
        renamed = label_codes(y, np.arange(len(classes)))
        if set(renamed.tolist()) == set(range(len(classes))):
            codes = renamed
    found = codes < 0
    unknown = {str(cell) for cell in compress(cells_of(y), found)} if found.any() else set()
    if unknown:
        warn_caller(
            f"y has labels that the teacher does not know, such as {sorted(unknown)[:3]}; it knows "
            f"{classes.tolist()[:3]}. y is not used, and predict answers in its labels. A "
            "meta-estimator that renames labels (a VotingClassifier with hard votes, one-vs-rest) "
            "needs a teacher that was trained on the new names."
        )
    counts = np.bincount(codes[~found], minlength=len(classes))
    return counts / counts.sum() if np.count_nonzero(counts) > 1 else None


def _check_columns(columns: Any, teacher: Any) -> None:
    """Raise where X has other columns than the teacher was trained on. Columns are public."""
    names = attribute(teacher, "feature_names_in_")
    given = getattr(columns, "feature_names_in_", None)
    if names is not None and given is not None and list(names) != list(given):
        missing = [str(name) for name in names if name not in set(given)]
        extra = [str(name) for name in given if name not in set(names)]
        detail = f"missing {missing}, unexpected {extra}" if missing or extra else "other order"
        raise ValueError(
            f"The transfer set's columns are not those the teacher was trained on: {detail}."
        )
    width = attribute(teacher, "n_features_in_")
    seen = getattr(columns, "n_features_in_", None)
    if width is not None and width != seen:
        raise ValueError(
            f"X has {'no columns' if seen is None else f'{seen} features'}, but "
            f"{type(teacher).__name__} was trained with {width}."
        )


def _check_numbers(X: Any) -> None:
    """Raise for an X that is no table of finite numbers, as the default student needs it."""
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


def _check_finite(X: Any, *estimators: Any) -> None:
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
    theirs = type(estimator).__module__.startswith("sklearn.")
    if not theirs or hasattr(estimator, "steps") or hasattr(estimator, "estimator"):
        return True
    return get_tags(estimator).input_tags.allow_nan


def type_name(value: Any) -> str:
    """Name a class, or an object by its class; never its content."""
    return value.__name__ if isinstance(value, type) else f"<{type(value).__name__}>"
