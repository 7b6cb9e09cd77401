"""Logistic regression whose weights one record can move by at most a proved radius."""

import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._tables import (
    cells_of,
    check_label_types,
    check_lengths,
    classes_in,
    label_codes,
    layout_of,
    read_table,
)
from skdistill.teachers.fitted import set_fitted
from skdistill.teachers.shards import label_counts

_UNIT = 2.0**-53  # unit roundoff of float64
_SMALLEST, _LARGEST = 1e-12, 1e12  # public settings outside are refused: squares would underflow
_MAX_CONDITION = 1e8  # of the Hessian: beyond it Newton steps become many and inexact
_MAX_SLACK = 0.01  # share of the ideal radius that tolerance and rounding may add
_DIRECT_SIZE = 300  # up to this many weights the Hessian is built and factorised

Features = Any  # ndarray or CSR of shape (n, D)


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
    :math:`C = \mu \cdot \text{logit\_noise} / (2LR^2)`. No private value enters.

    Parameters
    ----------
    epsilon, delta : float
        The whole budget of the release.
    max_row_norm, fit_intercept, intercept_scaling
        As given to :class:`StableLogisticRegression`.
    n_classes : int, default=2
        Number of classes.
    logit_noise : float, default=0.3
        Largest standard deviation of the noise on one logit, in logits.

    Returns
    -------
    float
        ``C`` for :class:`StableLogisticRegression`.

    Examples
    --------
    >>> from skdistill.teachers import stable_C
    >>> round(stable_C(1.0, 1e-5), 4)
    0.0201
    """
    from skdistill.accounting.loss import gaussian_mu

    constant = intercept_scaling if fit_intercept else 0.0
    squared_norm = max_row_norm**2 + constant**2
    lipschitz = _lipschitz(_n_score_rows(n_classes))
    return float(logit_noise * gaussian_mu(epsilon, delta) / (2 * lipschitz * squared_norm))


@dataclass(frozen=True)
class ClippedRows:
    r"""The map Φ: rows scaled into a ball, then a constant feature.

    A row longer than `max_row_norm` (Euclidean norm) is scaled down to that length; a shorter one
    is left as it is. Then the feature `constant` is appended, unless it is zero. The map treats
    each row by itself and knows nothing of the training data.

    Parameters
    ----------
    max_row_norm : float
        Radius of the ball.
    constant : float
        The constant feature, which takes the place of an unpenalised intercept; 0 for none.
    """

    max_row_norm: float
    constant: float

    def __call__(self, X: Features) -> Features:
        """Map finite float64 rows, to a norm of at most ``row_norm(d)``.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n, d)

        Returns
        -------
        ndarray or CSR matrix of shape (n, d + 1), or (n, d) without a constant
        """
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
        return exact * (1 + 2 * (n_features + 16) * _UNIT)


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
    gradient_tol : float or "auto", default="auto"
        The computed gradient's norm at which fitting stops. "auto" is the larger of 1e-7 times
        the ideal radius and twice the rounding bound: public quantities.
    max_newton_steps : int, default=1000
        Upper limit of Newton steps. Unlike ``max_iter`` in scikit-learn, to run into it is an
        error, because the guarantee would be lost. About five to ten steps are usual.

    Attributes
    ----------
    weights_ : ndarray of shape (1, D) or (n_classes, D)
        W, the constant feature's column last; what a release adds noise to. Private.
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
        The tolerance t that was used and reached.
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
        If the tolerance is not reached in `max_newton_steps`.

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
        gradient_tol: float | str = "auto",
        max_newton_steps: int = 1000,
    ) -> None:
        self.C = C
        self.max_row_norm = max_row_norm
        self.classes = classes
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.gradient_tol = gradient_tol
        self.max_newton_steps = max_newton_steps

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the weights and prove how far one record could have moved them.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame of numbers} of shape (n_samples, n_features)
            Training rows. A cell that is no number counts as zero, an infinite one as the largest
            float: no cell raises.
        y : array-like of shape (n_samples,)
            Labels. A record with a label outside `classes` is left out (its gradient is zero).

        Returns
        -------
        StableLogisticRegression
            The fitted estimator.
        """
        C = _in_range("C", self.C)
        feature_map = self._feature_map()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        table, labels = read_table(X), cells_of(y)
        check_lengths(table, y=labels)
        seen = BaseEstimator()
        validate_data(seen, layout_of(X), skip_check_array=True)
        classes = _check_classes(y, labels, self.classes)
        codes = label_codes(labels, classes)
        rows = _finite(table.numbers())
        plan = _plan(rows.shape, len(classes), C, feature_map, self.gradient_tol)

        known = codes >= 0
        features = feature_map(rows)
        if not known.all():  # the gradient of a row of zeros is zero
            features = (
                sp.diags_array(known.astype(np.float64)).tocsr() @ features
                if sp.issparse(features)
                else features * known[:, None]
            )
        weights, n_iter = _newton(_Objective(features, codes, plan), self.max_newton_steps)
        set_fitted(
            self,
            vars(seen)
            | {
                "weights_": weights,
                "n_iter_": n_iter,
                "classes_": classes,
                "classes_given_": self.classes is not None,
                "class_count_": label_counts(codes, len(classes)),
                "fit_id_": uuid.uuid4().hex,
                "n_samples_": plan.n_samples,
                "feature_map_": feature_map,
                "row_norm_": plan.row_norm,
                "gradient_tol_": plan.gradient_tol,
                "sensitivity_": plan.sensitivity,
            },
        )
        return self

    def bounded_features(self, X: Any) -> Features:
        """Map rows as the fitted model does, so that its scores are ``Φ(X) @ weights_.T``.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame of numbers} of shape (m, n_features_in_)
            Rows.

        Returns
        -------
        ndarray or CSR matrix of shape (m, D)
            Rows of norm at most ``row_norm_``.
        """
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
        """Logits.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame of numbers} of shape (m, n_features_in_)
            Rows.

        Returns
        -------
        ndarray of shape (m,) for two classes, else (m, n_classes)
            ``Φ(X) @ weights_.T``; of two classes, that of ``classes_[1]``.
        """
        scores: NDArray[np.float64] = self.bounded_features(X) @ self.weights_.T
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, in the order of ``classes_``.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame of numbers} of shape (m, n_features_in_)
            Rows.

        Returns
        -------
        ndarray of shape (m, n_classes)
            Rows that sum to one.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return np.asarray(softmax(scores, axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame of numbers} of shape (m, n_features_in_)
            Rows.

        Returns
        -------
        ndarray of shape (m,)
            Labels.
        """
        scores = self.decision_function(X)
        chosen = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        return np.asarray(self.classes_[chosen])

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weights of the features, shape (1, n_features_in_) or (n_classes, n_features_in_)."""
        return self.weights_[:, : self.n_features_in_]

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """What the constant feature adds to the logits, shape (1,) or (n_classes,)."""
        constant = self.feature_map_.constant
        return self.weights_[:, -1] * constant if constant else np.zeros(len(self.weights_))

    def _feature_map(self) -> ClippedRows:
        """Return the map that the parameters describe."""
        max_row_norm = _in_range("max_row_norm", self.max_row_norm)
        scaling = _in_range("intercept_scaling", self.intercept_scaling)
        return ClippedRows(max_row_norm, scaling if self.fit_intercept else 0.0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags


# The proof's public numbers.


@dataclass(frozen=True)
class _Plan:
    """Everything about a fit that is public."""

    n_samples: int
    n_rows: int  # of W
    n_columns: int  # of W
    C: float
    row_norm: float
    block_size: int
    weight_bound: float  # fitting stops only inside this ball
    gradient_tol: float
    sensitivity: float


def gradient_rounding_bound(
    n_samples: int,
    n_rows: int,
    n_columns: int,
    *,
    C: float,
    row_norm: float,
    weight_norm: float,
) -> float:
    r"""Bound the error of the computed gradient, for every data set.

    With u = 2^-53 and :math:`\gamma_k = ku/(1-ku)`, a float inner product of k terms, in any order
    and with or without fused multiply-adds, errs by at most
    :math:`\gamma_k\sum|x_j||y_j| \le \gamma_k\|x\|\|y\|` (Higham 2002, section 3.1). Hence

    1. the K scores of a row err by at most :math:`\gamma_D RB` in norm, B = `weight_norm`;
    2. the softmax has a Jacobian of norm at most 1/2 (so has the sigmoid), its shift by the
       largest score rounds by :math:`2\sqrt K uRB`, and the K exponentials, their sum and the
       division add at most (K + 40)u: a residual errs by at most
       :math:`\rho = \tfrac12 RB(\gamma_D + 2\sqrt K u) + (K+40)u`;
    3. the sum of n rank-one terms of norm at most :math:`LR`, in blocks of b rows that are then
       added one by one, errs by at most
       :math:`nR(\rho + \gamma_{b + n/b}L)`;
    4. scaling by C and adding W add at most :math:`\gamma_3(CnLR + B)`.

    The result is doubled for the products of these terms, and what gradual underflow could lose is
    added. The exponential is taken to be right within 8u, relative (libraries: 1 to 2u).
    """
    block_size = _block_size(n_samples)
    additions = block_size + math.ceil(n_samples / block_size)
    reach = row_norm * weight_norm
    shift = 2 * math.sqrt(n_rows) * _UNIT
    residual = 0.5 * reach * (_gamma(n_columns) + shift) + (n_rows + 40) * _UNIT
    size = C * n_samples * row_norm
    lipschitz = _lipschitz(n_rows)
    total = size * (residual + _gamma(additions) * lipschitz)
    total += _gamma(3) * (size * lipschitz + weight_norm)
    return 2 * total + n_samples * n_rows * n_columns * float(np.finfo(float).tiny)


def _plan(
    shape: tuple[int, int],
    n_classes: int,
    C: float,
    feature_map: ClippedRows,
    gradient_tol: float | str,
) -> _Plan:
    r"""Derive the certificate from public settings, or refuse them.

    The minimiser lies in the ball of radius :math:`B_0 = \min(CnLR, \sqrt{2Cn\log K})`: the first
    because :math:`W^* = -C\sum\nabla\ell`, the second because :math:`J(W^*) \le J(0)`. Points
    that meet the tolerance are closer to it than :math:`LCR`, so they lie in the ball that the
    rounding bound is stated for.
    """
    n_samples, n_features = shape
    n_rows = _n_score_rows(n_classes)
    n_columns = n_features + (feature_map.constant != 0)
    row_norm = feature_map.row_norm(n_features)
    if C * n_samples * row_norm**2 > _MAX_CONDITION:
        raise ValueError(
            f"C={C:g} with {n_samples} rows of norm up to {row_norm:g} leaves next to no penalty, "
            f"and float64 cannot solve it to a proved accuracy. Set C below "
            f"{_MAX_CONDITION / (n_samples * row_norm**2):.1g}."
        )

    lipschitz = _lipschitz(n_rows)
    ideal = 2 * lipschitz * C * row_norm
    farthest = min(0.5 * n_samples * ideal, math.sqrt(2 * C * n_samples * math.log(n_classes)))
    weight_bound = 1.1 * farthest + 0.5 * ideal
    rounding = gradient_rounding_bound(
        n_samples, n_rows, n_columns, C=C, row_norm=row_norm, weight_norm=weight_bound
    )
    if isinstance(gradient_tol, str):
        if gradient_tol != "auto":
            raise ValueError(f'gradient_tol must be "auto" or a positive number: {gradient_tol!r}.')
        tol = max(1e-7 * ideal, 2 * rounding)
        remedy = "Lower C, or train on fewer rows or features"
    else:
        tol = _in_range("gradient_tol", gradient_tol, low=0.0)
        remedy = 'Set gradient_tol="auto"'
        if tol < 2 * rounding:
            raise ValueError(
                f"gradient_tol={tol:g} is finer than float64 can prove for these settings. "
                f'Set gradient_tol="auto", or to at least {2.1 * rounding:.2g}.'
            )
    tol_reached = tol * (1 + 2 * _gamma(n_rows * n_columns + 8))  # the norm is computed in floats
    slack = 2 * (tol_reached + rounding)
    if slack > _MAX_SLACK * ideal:
        raise ValueError(
            f"The tolerance and rounding of these settings would add {slack:.2g} to a radius of "
            f"{ideal:.2g}, more than {_MAX_SLACK:.0%}. {remedy}."
        )
    return _Plan(
        n_samples=n_samples,
        n_rows=n_rows,
        n_columns=n_columns,
        C=C,
        row_norm=row_norm,
        block_size=_block_size(n_samples),
        weight_bound=weight_bound,
        gradient_tol=tol,
        sensitivity=(ideal + slack) * (1 + 64 * _UNIT),
    )


def _lipschitz(n_rows: int) -> float:
    """L: the largest norm of a residual."""
    return 1.0 if n_rows == 1 else math.sqrt(2)


def _n_score_rows(n_classes: int) -> int:
    """Rows of W: one sigmoid for two classes, else a softmax over all."""
    return 1 if n_classes == 2 else n_classes


def _block_size(n_samples: int) -> int:
    """Rows summed at once: about √n keeps both levels of the sum short."""
    return max(256, math.isqrt(n_samples))


def _gamma(k: int) -> float:
    """Higham's γ_k: the relative error of k roundings."""
    return k * _UNIT / (1 - k * _UNIT)


# The objective and its minimum.


class _Objective:
    """The gradient and Newton direction of J at W, over blocks of rows."""

    def __init__(self, features: Features, codes: NDArray[np.intp], plan: _Plan) -> None:
        self.plan = plan
        cuts = range(0, plan.n_samples, plan.block_size)
        self._blocks = [
            (features[i : i + plan.block_size], codes[i : i + plan.block_size]) for i in cuts
        ]

    def gradient(self, W: NDArray[np.float64]) -> NDArray[np.float64]:
        """W + C Σ r Φᵀ, summed as `gradient_rounding_bound` assumes."""
        total = np.zeros_like(W)
        for features, codes in self._blocks:
            residual = _probabilities(features @ W.T)
            if W.shape[0] == 1:
                residual[:, 0] -= codes
            else:
                residual[np.arange(len(codes)), codes] -= 1
            total += (features.T @ residual).T
        return W + self.plan.C * total

    def newton_direction(
        self, W: NDArray[np.float64], gradient: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Solve H p = −gradient: by a factorisation where H is small, else to a tenth by CG."""
        if W.size <= _DIRECT_SIZE:
            factor = scipy.linalg.cho_factor(self._hessian(W), lower=True)
            return -np.reshape(scipy.linalg.cho_solve(factor, gradient.ravel()), W.shape)
        return _conjugate_gradients(self._hessian_product(W), -gradient, tol=0.1)

    def _hessian(self, W: NDArray[np.float64]) -> NDArray[np.float64]:
        """I + C Σ (diag(p) − p pᵀ) ⊗ Φ Φᵀ, of shape (W.size, W.size)."""
        n_rows, n_columns = W.shape
        H = np.zeros((W.size, W.size))
        for features, _ in self._blocks:
            p = _probabilities(features @ W.T)
            dense = features.toarray() if sp.issparse(features) else features
            if n_rows == 1:
                H += dense.T @ (p * (1 - p) * dense)
                continue
            weighted = (p[:, :, None] * dense[:, None, :]).reshape(len(dense), -1)
            H -= weighted.T @ weighted
            for k in range(n_rows):
                rows = slice(k * n_columns, (k + 1) * n_columns)
                H[rows, rows] += weighted[:, rows].T @ dense
        H *= self.plan.C
        H.flat[:: W.size + 1] += 1
        return H

    def _hessian_product(
        self, W: NDArray[np.float64]
    ) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """Return V ↦ H V, without building H."""
        curved = [(features, _probabilities(features @ W.T)) for features, _ in self._blocks]

        def product(V: NDArray[np.float64]) -> NDArray[np.float64]:
            total = np.zeros_like(V)
            for features, p in curved:
                s = p * (features @ V.T)
                s -= p * s.sum(axis=1, keepdims=True)
                total += (features.T @ s).T
            return V + self.plan.C * total

        return product


def _probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sigmoid of one column, softmax of several."""
    if scores.shape[1] == 1:
        return np.asarray(expit(scores))
    exponentials: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def _conjugate_gradients(
    product: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    target: NDArray[np.float64],
    tol: float,
) -> NDArray[np.float64]:
    """Solve ``product(x) = target`` until the residual is `tol` times the target's norm."""
    x, residual = np.zeros_like(target), target.copy()
    direction, square = residual.copy(), float(np.sum(target * target))
    goal = tol**2 * square
    for _ in range(10 * target.size):
        if square <= goal:
            break
        image = product(direction)
        step = square / float(np.sum(direction * image))
        x += step * direction
        residual -= step * image
        square, previous = float(np.sum(residual * residual)), square
        direction = residual + (square / previous) * direction
    return x


def _newton(objective: _Objective, max_steps: int) -> tuple[NDArray[np.float64], int]:
    r"""Drive the norm of the gradient below the plan's tolerance.

    It starts from zero: measured, that is as fast as to start from what scikit-learn's L-BFGS
    returns, or faster, and one untrusted solver less. The line search is on the gradient's norm,
    the very quantity that is certified, because the objective itself stops changing in float64
    long before the tolerance is met. For a strongly convex J with Lipschitz Hessian this
    converges from every start, in the end quadratically
    (inexact Newton: Eisenstat and Walker, SIAM J. Optim. 4, 1994, theorem 3.1 and corollary).
    """
    plan = objective.plan
    W = np.zeros((plan.n_rows, plan.n_columns))
    gradient = objective.gradient(W)
    norm = float(np.linalg.norm(gradient))
    for step in range(1, max_steps + 1):
        if norm <= plan.gradient_tol and np.linalg.norm(W) <= plan.weight_bound:
            return W, step
        direction = objective.newton_direction(W, gradient)
        for length in _halvings():
            candidate = W + length * direction
            gradient = objective.gradient(candidate)
            candidate_norm = float(np.linalg.norm(gradient))
            if candidate_norm <= (1 - length / 4) * norm:
                W, norm = candidate, candidate_norm
                break
        else:
            break
    raise RuntimeError(
        "StableLogisticRegression did not reach its gradient tolerance, so its sensitivity is not "
        "proved and it stays unfitted. Raise max_newton_steps, lower C, or raise gradient_tol."
    )


def _halvings() -> Iterator[float]:
    """Step lengths 1, 1/2, 1/4, …."""
    return (2.0**-k for k in range(40))


# Labels, rows, settings.


def _check_classes(y: Any, labels: list[Any], classes: ArrayLike | None) -> NDArray[Any]:
    """Return the sorted set of classes, at least two."""
    if classes is None:
        known = classes_in(labels)
    else:
        known = np.unique(np.asarray(classes))
        check_label_types(y, known)
    if len(known) < 2:
        raise ValueError(
            "The classifier needs at least two classes. List them all in `classes` where y may "
            "hold only one class."
        )
    return known


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


def _in_range(name: str, value: Any, low: float = _SMALLEST) -> float:
    """Return a public setting as a float, or refuse it."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number: got {value!r}.")
    number = float(value)
    if not low <= number <= _LARGEST:
        raise ValueError(f"{name} must lie between {low:g} and {_LARGEST:g}: got {number:g}.")
    return number
