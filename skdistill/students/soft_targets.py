"""Training any scikit-learn estimator on noisy soft labels. All of it is post-processing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.feature_selection import SelectorMixin, VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skdistill._scores import scores_are_pairs
from skdistill._tables import take_rows
from skdistill._trained_on import last_step
from skdistill.neural import fit_soft, fresh, takes_soft_labels
from skdistill.students.logistic import fit_logistic, takes_soft_cross_entropy

Array = NDArray[np.float64]

# Solvers of LogisticRegression that minimise the weighted sum for weights of either sign.
_SIGNED_SOLVERS = frozenset(["lbfgs", "newton-cg", "newton-cholesky"])


def how_to_train(student: Any) -> str:
    """Return the way of training that suits a student, by its methods, class and tags.

    "fit_soft" for a classifier with a method of that name, and for a network; "least squares" for a
    regressor; "unlabelled rows" for a semi-supervised classifier; "soft cross-entropy" for a
    LogisticRegression, and "signed weights" for one with settings that ``fit_logistic`` does not
    know; "weights" for any other classifier whose fit takes `sample_weight`; "labels" for the rest.
    "drawn labels" for a pipeline that looks at labels in an earlier step, which gets no weights, so
    that every row would have every label: one label a row, drawn by its probabilities, is like a
    true one.
    """
    from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier

    if takes_soft_labels(student):
        return "fit_soft"
    if is_regressor(student):
        return "least squares"
    last = last_step(student)
    if isinstance(last, (LabelPropagation, LabelSpreading, SelfTrainingClassifier)):
        return "unlabelled rows"
    if not has_fit_parameter(last, "sample_weight"):
        return "labels"
    if any(looks_at_labels(step) for step in _earlier_steps(student)):
        return "drawn labels"
    if takes_soft_cross_entropy(last):
        return "soft cross-entropy"
    if type(last) is LogisticRegression and last.solver in _SIGNED_SOLVERS:
        return "signed weights"
    return "weights"


def fit_on_soft_labels(
    student: Any, X: Any, labels: Array, classes: NDArray[Any], fit_params: dict[str, Any]
) -> Any:
    """Fit a clone of `student` on noisy soft labels.

    For soft targets ỹ that sum to 1 the cross-entropy Σ_c ỹ_c·(logsumexp(z) − z_c) equals
    logsumexp(z) − ỹ·z, which is convex in the scores z *whatever the sign of ỹ* (a convex function
    minus a linear one). So a LogisticRegression learns from labels of either sign, unclipped, and
    the noise averages out; clipping would bias it. A squared loss needs no such care. Other
    students that take weights get each row once per class, with its projected label as a weight.

    Networks are not convex, and fit a negative label by ever larger scores; they see projected
    labels. Accuracy of a small convolutional network, in Keras and in PyTorch, after 3,000 images
    of MNIST with Gaussian noise on each label (``benchmarks/deep.py --targets``): projected .953
    and .946 against signed .840 and .857 at a standard deviation of 0.3; .556 and .740 against .597
    and .693 at 1; .275 and .113 against .455 and .555 at 2, where neither is of use. A student with
    a method ``fit_soft`` gets projected labels too, unless it has an attribute ``signed_soft_labels
    = True``.
    """
    way, student = how_to_train(student), fresh(student)
    if way == "fit_soft":
        signed = getattr(last_step(student), "signed_soft_labels", False)
        Y = with_unit_sums(labels) if signed else project_rows(labels)
        return fit_soft(student, X, Y, classes, hard_labels(labels), fit_params)
    if way == "least squares":
        targets = with_unit_sums(labels)
        if len(classes) == 2:
            return student.fit(X, targets[:, 1], **fit_params)
        if not get_tags(last_step(student)).target_tags.multi_output:
            from sklearn.multioutput import MultiOutputRegressor

            student = MultiOutputRegressor(student)
        return student.fit(X, targets, **fit_params)
    if way in ("labels", "drawn labels"):
        codes = hard_labels(labels) if way == "labels" else _drawn(project_rows(labels))
        return student.fit(X, classes[codes], **fit_params)
    if way == "weights":
        weights = thinned(project_rows(labels))
    else:
        weights = with_mean_inside(with_unit_sums(labels))
    if way == "soft cross-entropy":
        codes = hard_labels(labels)
        return fit_soft(student, X, weights, classes, codes, fit_params, train=fit_logistic)
    return _fit_on_copies(student, X, weights, classes, fit_params)


def fit_with_unlabelled(
    student: Any, X: Any, codes: NDArray[np.intp], classes: NDArray[Any], fit_params: dict[str, Any]
) -> Any:
    """Fit a clone of a semi-supervised student on rows some of which have no label: the code -1."""
    if classes.dtype.kind not in "iu" or classes.min() < 0:
        raise ValueError(
            f"{type(last_step(student)).__name__} marks rows without a label by -1, so class "
            "labels must be whole numbers from 0 on. Train the teacher on encoded labels "
            "(sklearn.preprocessing.LabelEncoder)."
        )
    return fresh(student).fit(X, np.where(codes >= 0, classes[codes], -1), **fit_params)


def hard_labels(labels: Array) -> NDArray[np.intp]:
    """Return the arg-max class of each row; every class keeps the row that favours it most."""
    chosen = labels.argmax(axis=1)
    if len(labels) < labels.shape[1]:
        return chosen
    margin = labels - labels.max(axis=1, keepdims=True)
    sizes = np.bincount(chosen, minlength=labels.shape[1])
    for column in np.flatnonzero(sizes == 0):
        # Of classes with two rows or more; there is one, with a class missing and enough rows.
        row = int(np.where(sizes[chosen] > 1, margin[:, column], -np.inf).argmax())
        sizes[chosen[row]] -= 1
        chosen[row], sizes[column] = column, 1
    return chosen


def _drawn(probabilities: Array) -> NDArray[np.intp]:
    """Draw a class for each row by its probabilities: public, and the same in every run."""
    uniform = np.random.default_rng(0).random((len(probabilities), 1))
    chosen = (probabilities.cumsum(axis=1)[:, :-1] <= uniform).sum(axis=1)
    present = np.bincount(chosen, minlength=probabilities.shape[1]) > 0
    return chosen if present.all() else hard_labels(probabilities)


def _fit_on_copies(
    student: Any, X: Any, weights: Array, classes: NDArray[Any], fit_params: dict[str, Any]
) -> Any:
    """Fit on one copy of a row for each class that has a weight in its soft label."""
    name, m = _weight_parameter(student), len(weights)
    if (own := fit_params.get(name)) is not None:
        weights = weights * np.asarray(own, dtype=np.float64).reshape(-1, 1)
    codes, rows = np.nonzero(weights.T)
    fit_params = {**rows_of_params(fit_params, rows, m), name: weights[rows, codes]}
    return student.fit(take_rows(X, rows), classes[codes], **fit_params)


def thinned(labels: Array, copies: int = 10) -> Array:
    """Return labels with about `copies` entries per row at most, and the same sum of each class.

    An entry of 1/copies or more stays. Of the smaller ones of a class, one stays, with this weight,
    wherever their running sum passes a multiple of 1/copies; the largest one stays if no other.
    """
    if np.count_nonzero(labels) <= copies * len(labels):
        return labels
    small = np.where(labels < 1 / copies, labels, 0.0)
    sums = small.cumsum(axis=0)
    kept = np.diff(np.floor(sums * copies + 0.5), axis=0, prepend=0.0) / copies
    result = np.where(small > 0, kept, labels)
    empty = np.flatnonzero(~result.any(axis=0) & labels.any(axis=0))
    result[labels[:, empty].argmax(axis=0), empty] = sums[-1, empty]
    return result


def rows_of_params(params: dict[str, Any], rows: NDArray[np.intp], m: int) -> dict[str, Any]:
    """Return fit parameters, those with one entry for each of m rows at some rows."""

    def per_row(value: Any) -> bool:
        if hasattr(value, "shape"):
            return bool(value.shape[:1] == (m,))
        return isinstance(value, (list, tuple)) and len(value) == m

    return {key: take_rows(each, rows) if per_row(each) else each for key, each in params.items()}


def _weight_parameter(student: Any) -> str:
    """Name the fit parameter that reaches the `sample_weight` of the last step."""
    import sklearn

    if not hasattr(student, "steps"):
        return "sample_weight"
    if not sklearn.get_config()["enable_metadata_routing"]:
        name, last = student.steps[-1]
        return f"{name}__{_weight_parameter(last)}"
    last_step(student).set_fit_request(sample_weight=True)
    return "sample_weight"


def looks_at_labels(step: Any) -> bool:
    """Whether a transformer learns from y, by its tags or its parts'; selectors, resamplers do."""
    try:
        if hasattr(step, "fit_resample") or get_tags(step).target_tags.required:
            return True
    except (AttributeError, TypeError):
        return hasattr(step, "fit")
    if isinstance(step, SelectorMixin) and not isinstance(step, VarianceThreshold):
        return True
    # Of a ColumnTransformer, a FeatureUnion or a Pipeline.
    inner = [entry[1] for entry in getattr(step, "transformers", getattr(step, "steps", ()))]
    inner += [entry[1] for entry in getattr(step, "transformer_list", ())]
    return any(hasattr(each, "fit") and looks_at_labels(each) for each in inner)


def _earlier_steps(student: Any) -> list[Any]:
    """Return the steps before the last one, of pipelines in pipelines as well."""
    found: list[Any] = []
    while hasattr(student, "steps"):
        found += [step for _, step in student.steps[:-1] if step not in (None, "passthrough")]
        student = student.steps[-1][1]
    return found


def class_scores(student: Any, X: Any, classes: NDArray[Any]) -> tuple[Array, str] | None:
    """Return one score per class, and their scale; None where the student has labels only.

    The scale is "log-probability", "probability" or "margin". The arg-max is the student's own.
    """
    if is_regressor(student):
        values = np.asarray(student.predict(X), dtype=np.float64)
        if len(classes) == 2:
            values = values.reshape(len(values))
            values = np.column_stack([1 - values, values])
        return values, "probability"
    if hasattr(student, "predict_log_proba") or hasattr(student, "predict_proba"):
        with np.errstate(divide="ignore"):
            found = np.asarray(student.predict_proba(X), dtype=np.float64)
            logs = np.log(np.where(np.isnan(found), 0.0, found))
        return _aligned(logs, student, classes, -np.inf), "log-probability"
    if hasattr(student, "decision_function") and not scores_are_pairs(student):
        margins = np.asarray(student.decision_function(X), dtype=np.float64)
        if margins.ndim == 1:
            margins = np.column_stack([-margins / 2, margins / 2])
        if margins.shape[1] == len(student.classes_):
            return _aligned(margins, student, classes, -np.inf), "margin"
    return None


def probabilities(student: Any, X: Any, classes: NDArray[Any]) -> Array:
    """Return class probabilities in the order of `classes`; a regressor's outputs are projected."""
    if is_regressor(student):
        scores = class_scores(student, X, classes)
        assert scores is not None
        return project_rows(scores[0])
    return _aligned(np.asarray(student.predict_proba(X)), student, classes, 0.0)


def _aligned(scores: Array, student: Any, classes: NDArray[Any], missing: float) -> Array:
    """Put the student's columns in the order of `classes`; an unknown class has `missing`."""
    known = getattr(student, "classes_", classes)
    if np.array_equal(known, classes):
        return scores
    result = np.full((len(scores), len(classes)), missing)
    for column, label in enumerate(known):
        result[:, np.flatnonzero(classes == label)] = scores[:, [column]]
    return result


def project_rows(rows: Array) -> Array:
    """Project each row on the probability simplex, in the Euclidean norm.

    Sort-based algorithm of Duchi, Shalev-Shwartz, Singer and Chandra (ICML 2008), figure 1.

    Examples
    --------
    >>> import numpy as np
    >>> project_rows(np.array([[0.5, 1.5], [0.2, 0.2]]))
    array([[0. , 1. ],
           [0.5, 0.5]])
    """
    n_classes = rows.shape[1]
    ordered = -np.sort(-rows, axis=1)
    excess = np.cumsum(ordered, axis=1) - 1
    positive = ordered * np.arange(1, n_classes + 1) > excess
    last = n_classes - 1 - np.argmax(positive[:, ::-1], axis=1)
    shift = np.take_along_axis(excess, last[:, None], axis=1) / (last[:, None] + 1)
    return np.maximum(rows - shift, 0)


def with_unit_sums(rows: Array) -> Array:
    """Move each row to the plane of vectors that sum to 1: unbiased noise stays unbiased."""
    return rows - (rows.sum(axis=1, keepdims=True) - 1) / rows.shape[1]


def with_mean_inside(rows: Array, margin: float = 1e-3) -> Array:
    """Shift all rows so that their mean is in the simplex: an intercept is finite then."""
    mean = rows.mean(axis=0)
    inside = (1 - margin) * project_rows(mean[None])[0] + margin / rows.shape[1]
    return rows + (inside - mean)
