"""Logistic regression whose weights one record can move by at most a proved radius."""

import math
import uuid
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._scores import probabilities_of
from skdistill.teachers.fitted import read_arguments, read_classes, set_fitted
from skdistill.teachers.stable_newton import (
    UNIT,
    Features,
    Objective,
    in_range,
    lipschitz_of,
    make_plan,
    minimise,
    n_score_rows,
)


def stable_C(
    epsilon: float,
    delta: float,
    *,
    max_row_norm: float = 1.0,
    fit_intercept: bool = True,
    intercept_scaling: float = 1.0,
    n_classes: int = 2,
    logit_noise: float = 0.3,
) -> float:
    r"""Choose ``C`` from public quantities, so that the noise of a released logit is known.

    A release at Gaussian-DP parameter :math:`\mu` adds noise of standard deviation
    :math:`2LCR/\mu` to every weight of a :class:`StableLogisticRegression`, hence at most
    :math:`2LCR^2/\mu` to a logit. Setting that to `logit_noise` gives
    :math:`C = \mu \cdot \text{logit\_noise} / (2LR^2)`. No private value enters. `epsilon` and
    `delta` are the whole budget of the release, and the other parameters those of the teacher.

    Examples
    --------
    >>> from skdistill.teachers import stable_C
    >>> round(stable_C(1.0, 1e-5), 4)
    0.0201
    """
    from skdistill.accounting.loss import gaussian_mu

    constant = intercept_scaling if fit_intercept else 0.0
    squared_norm = max_row_norm**2 + constant**2
    lipschitz = lipschitz_of(n_score_rows(n_classes))
    return float(logit_noise * gaussian_mu(epsilon, delta) / (2 * lipschitz * squared_norm))


@dataclass(frozen=True)
class ClippedRows:
    r"""The map Φ: rows scaled into a ball, then a constant feature.

    A row longer than `max_row_norm` (Euclidean norm) is scaled down to that length; a shorter one
    is left as it is. Then the feature `constant` is appended, in place of an unpenalised intercept,
    unless it is zero. The map treats each row by itself and knows nothing of the training data.
    """

    max_row_norm: float
    constant: float

    def __call__(self, X: Features) -> Features:
        """Map finite float64 rows, dense or CSR, to a norm of at most ``row_norm(d)``."""
        clip = _clip_sparse_rows if sp.issparse(X) else _clip_rows
        clipped = clip(X, self.max_row_norm)
        if self.constant == 0:
            return clipped
        column = np.full((clipped.shape[0], 1), self.constant)
        if sp.issparse(clipped):
            return sp.hstack([clipped, type(clipped)(column)], format="csr")
        return np.hstack([clipped, column])

    def row_norm(self, n_features: int) -> float:
        r"""Bound the exact norm of every mapped row.

        In real arithmetic it is :math:`\sqrt{\text{max\_row\_norm}^2 + \text{constant}^2}`. The
        norm by which a row is divided is computed in floats, a sum of d squares with relative
        error below (d + 8) units of roundoff (Higham, *Accuracy and Stability of Numerical
        Algorithms*, 2002, section 3.1), the scaling adds less than 8 more, and twice their sum is
        added here.
        """
        exact = math.hypot(self.max_row_norm, self.constant)
        return exact * (1 + 2 * (n_features + 16) * UNIT)


class StableLogisticRegression(ClassifierMixin, BaseEstimator):
    r"""Logistic regression that knows how far one training record can move it.

    It minimises :math:`J(W) = \tfrac12\|W\|_F^2 + C\sum_i \ell(W\Phi(x_i), y_i)`, where
    :math:`\Phi` is :class:`ClippedRows` and :math:`\ell` the logistic loss (binary; one row of
    weights) or the cross-entropy of the softmax (multinomial; one row per class, all penalised).

    **Guarantee.** For any two data sets of n rows that differ in one record, the fitted
    ``weights_`` differ by at most ``sensitivity_`` in Frobenius norm.

    *Proof.* :math:`\nabla_W\ell = r\,\Phi(x)^T` with :math:`\|r\|\le L`, L = 1 (binary) or
    :math:`\sqrt2` (multinomial: a probability vector less a unit vector), so one record's gradient
    has norm at most :math:`LR`, R = ``row_norm_``. J is 1-strongly convex, and the two objectives
    differ by two terms of gradient at most :math:`CLR` each; hence the exact minimisers differ by
    at most :math:`2LCR` ([1]_, lemma 7 and corollary 8). Fitting continues until the computed
    gradient has norm at most t = ``gradient_tol_``, so that the exact one has norm at most t + e,
    e the rounding bound of :func:`gradient_rounding_bound`; by strong convexity ``weights_`` is
    then within t + e of the exact minimiser, for either data set: the sum is
    :math:`2LCR + 2(t + e)` = ``sensitivity_``. ∎ A record with a label outside `classes` has the
    gradient zero, which is within the bound. Here n, C, R, t, e, the number of features and
    the classes are public.

    Parameters
    ----------
    C : float, default=0.01
        Weight of the data against the penalty. The sensitivity is proportional to it;
        :func:`stable_C` chooses it from a privacy budget.
    max_row_norm : float, default=1.0
        Rows longer than this are scaled down to it. Choose it from public data.
    classes : array-like of shape (n_classes,), default=None
        The set of labels, at least two. None takes it from `y`, and then assumes that the set of
        labels that occur is public.
    fit_intercept : bool, default=True
        Whether a constant feature is appended.
    intercept_scaling : float, default=1.0
        The constant feature. Its weight is penalised, and it counts in ``row_norm_``.

    Attributes
    ----------
    weights_ : ndarray of shape (1, D) or (n_classes, D)
        W, the constant feature's column last. A release adds noise to it. Private.
    coef_ : ndarray of shape (1, n_features_in_) or (n_classes, n_features_in_)
        The columns of ``weights_`` that belong to features (of the clipped row).
    intercept_ : ndarray of shape (1,) or (n_classes,)
        The constant feature's weights times the constant.
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    classes_given_ : bool
        Whether ``classes_`` came from the parameter and not from the data.
    class_count_ : ndarray of int64 of shape (n_classes,)
        Records per class. Private: replacing a record moves it by at most √2 (L2).
    fit_id_ : str
        Drawn anew by every fit, at random: a ledger tells by it that a refitted teacher is another.
    n_samples_ : int
        n, public.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, where X had them.
    feature_map_ : ClippedRows
        The map Φ as fitted.
    row_norm_ : float
        R, the bound on the norm of a mapped row.
    gradient_tol_ : float
        The tolerance t that was reached: the larger of 1e-7 times the ideal radius and twice the
        rounding bound, which are public.
    sensitivity_ : float
        Bound on the Frobenius distance between the weights of two neighbouring data sets.
    n_iter_ : int
        Newton steps, and one for the last test.

    Raises
    ------
    ValueError
        From ``fit``, where the public settings leave no room for a proof in float64 (the message
        names the one to change), or where there are fewer than two classes. The texts hold public
        values only.
    RuntimeError
        If the tolerance is not reached: the guarantee would be lost.

    See Also
    --------
    stable_C : ``C`` from a privacy budget.
    sklearn.linear_model.LogisticRegression : The same loss without a guarantee. Neither
        ``sample_weight`` nor ``class_weight`` exists here: weights that depend on the data would
        break the bound.

    References
    ----------
    .. [1] K. Chaudhuri, C. Monteleoni, A. D. Sarwate. Differentially private empirical risk
       minimization. JMLR 12, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skdistill.teachers import StableLogisticRegression
    >>> X, y = np.array([[-0.9], [-0.2], [0.3], [0.8]]), np.array([0, 0, 1, 1])
    >>> teacher = StableLogisticRegression(C=0.1, classes=[0, 1]).fit(X, y)
    >>> print(f"{teacher.sensitivity_:.4f}")  # 2 * C * sqrt(2)
    0.2828
    >>> y[0] = 1  # one record changes
    >>> other = StableLogisticRegression(C=0.1, classes=[0, 1]).fit(X, y)
    >>> bool(np.linalg.norm(other.weights_ - teacher.weights_) <= teacher.sensitivity_)
    True
    """

    def __init__(
        self,
        C: float = 0.01,
        *,
        max_row_norm: float = 1.0,
        classes: ArrayLike | None = None,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
    ) -> None:
        self.C = C
        self.max_row_norm = max_row_norm
        self.classes = classes
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the weights and prove how far one record could have moved them.

        X holds numbers, dense, sparse or in a frame. A cell that is no number counts as zero, an
        infinite one as the largest float: no cell raises. A record with a label outside `classes`
        is left out (its gradient is zero).
        """
        C = in_range("C", self.C)
        feature_map = self._feature_map()
        table, labels, _, state = read_arguments(self, X, y)
        codes, found = read_classes(self, y, labels)
        n_classes = len(found["classes_"])
        if n_classes < 2:
            raise ValueError(
                "The classifier needs at least two classes. List them all in `classes` where y may "
                "hold only one class."
            )
        rows = _finite(table.numbers())
        norm = feature_map.row_norm(rows.shape[1])
        plan = make_plan(rows.shape, n_classes, C, feature_map.constant, norm)

        known = codes >= 0
        features = feature_map(rows)
        if not known.all():  # the gradient of a row of zeros is zero
            features = (
                sp.diags_array(known.astype(np.float64)).tocsr() @ features
                if sp.issparse(features)
                else features * known[:, None]
            )
        weights, n_iter = minimise(Objective(features, codes, plan))
        set_fitted(
            self,
            state
            | found
            | {
                "weights_": weights,
                "n_iter_": n_iter,
                "fit_id_": uuid.uuid4().hex,
                "n_samples_": plan.n_samples,
                "feature_map_": feature_map,
                "row_norm_": plan.row_norm,
                "gradient_tol_": plan.gradient_tol,
                "sensitivity_": plan.sensitivity,
            },
            X,
        )
        return self

    def bounded_features(self, X: Any) -> Features:
        """Map rows as the fitted model does: (m, D) of norm at most ``row_norm_``, dense or CSR."""
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            accept_sparse="csr",
            dtype=np.float64,
            order="C",
            ensure_all_finite=False,
            reset=False,
        )
        return self.feature_map_(_finite(X))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Logits ``Φ(X) @ weights_.T``, shape (m,) for two classes, else (m, n_classes)."""
        scores: NDArray[np.float64] = self.bounded_features(X) @ self.weights_.T
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, in the order of ``classes_``."""
        return probabilities_of(self.bounded_features(X) @ self.weights_.T)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class."""
        scores = self.decision_function(X)
        chosen = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        return np.asarray(self.classes_[chosen])

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weights of the features, shape (1, n_features_in_) or (n_classes, n_features_in_)."""
        return self.weights_[:, : self.n_features_in_]

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """The constant feature's part of the logits, shape (1,) or (n_classes,)."""
        constant = self.feature_map_.constant
        return self.weights_[:, -1] * constant if constant else np.zeros(len(self.weights_))

    def _feature_map(self) -> ClippedRows:
        """Return the map that the parameters describe."""
        max_row_norm = in_range("max_row_norm", self.max_row_norm)
        scaling = in_range("intercept_scaling", self.intercept_scaling)
        return ClippedRows(max_row_norm, scaling if self.fit_intercept else 0.0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags


def _finite(X: Features) -> Features:
    """Return rows without NaN or infinity, each cell by itself."""
    if not sp.issparse(X):
        return np.nan_to_num(X)
    X = X.copy()
    X.data = np.nan_to_num(X.data)
    return X


def _clip_rows(X: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Scale rows of norm above `limit` down to it; no overflow whatever the entries."""
    largest = np.abs(X).max(axis=1, keepdims=True)
    unit = X / np.where(largest > 0, largest, 1)
    reach = limit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1)
    return np.where(largest > reach, unit * reach, X)


def _clip_sparse_rows(X: Any, limit: float) -> Any:
    """`_clip_rows` for CSR."""
    X = X.copy()
    with np.errstate(over="ignore"):
        X.sum_duplicates()
    np.clip(X.data, -np.finfo(float).max, np.finfo(float).max, out=X.data)
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    largest = np.zeros(X.shape[0])
    np.maximum.at(largest, row, np.abs(X.data))
    unit = X.data / np.where(largest > 0, largest, 1)[row]
    squares = np.bincount(row, weights=unit * unit, minlength=X.shape[0])
    reach = limit / np.maximum(np.sqrt(squares), 1)
    X.data = np.where((largest > reach)[row], unit * reach[row], X.data)
    return X
