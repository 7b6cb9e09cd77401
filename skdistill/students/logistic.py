"""Logistic regression on soft labels: the cross-entropy of (X, Y) itself, without a copy of X."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array

from skdistill._tables import n_rows, row_blocks, take_rows

Array = NDArray[np.float64]

_BLOCK_BYTES = 2**19  # of rows with their scores and labels: they stay in a processor's cache
_LEAST_TOLERANCE = 1e-6  # rounding may keep a solver from a smaller gradient of the mean loss
_LEAST_SHARE = 1e-4  # of a class (of two; less of more) that a start is made from


def takes_soft_cross_entropy(student: Any) -> bool:
    """Whether :func:`fit_logistic` minimises the objective of the student's own ``fit``.

    It does for a LogisticRegression that has one smooth loss for all classes, without their weights
    or callbacks that follow scikit-learn's iterations; not for a subclass.
    """
    return (
        type(student) is LogisticRegression
        and student.solver in ("lbfgs", "newton-cg", "newton-cholesky")
        and student.class_weight is None
        and getattr(student, "multi_class", "auto") in ("auto", "deprecated")
        and not getattr(student, "_skl_callbacks", ())
    )


def fit_logistic(
    student: Any, X: Any, Y: Array, classes: NDArray[Any], sample_weight: Any = None
) -> Any:
    """Fit a LogisticRegression in place by the cross-entropy of its probabilities and soft labels.

    The weights W (with an intercept as a last row that is not penalised) minimise

        Σ_i s_i·(logsumexp(z_i) − ỹ_i·z_i) + ‖W‖²/(2C),   z_i = x_i·W,

    which is the loss of one copy of X per class, weighted by s_i·ỹ_ic, and is convex whatever the
    sign of ỹ (rows of Y, with sum 1). Two classes have one column of weights and the score 0 for
    the first class. Classes are in any order. The student's `tol`, `max_iter` and `fit_intercept`
    mean the same as in its own ``fit``.
    """
    _check_settings(student, X, classes)
    X = check_array(
        X, accept_sparse="csr", dtype=[np.float64, np.float32], estimator=student, input_name="X"
    )
    order, m = np.argsort(classes)[1 if len(classes) == 2 else 0 :], len(Y)
    given = np.asarray(1.0 if sample_weight is None else sample_weight, dtype=np.float64)
    if given.shape not in ((), (m,)) or not 0 < given.sum() < np.inf:
        raise ValueError(
            f"sample_weight must be {m} finite numbers, one for each row, with a positive sum; its "
            f"shape is {given.shape}."
        )
    loss = _SoftLoss(student, X, Y, order, np.broadcast_to(given, m))
    if student.solver == "lbfgs":
        found = _lbfgs(loss, student.tol, student.max_iter)
    else:
        start = np.zeros((X.shape[1] + 1) * loss.width)
        how = {"method": "trust-ncg", "options": {"gtol": student.tol, "maxiter": student.max_iter}}
        found = minimize(loss, start, jac=True, hessp=loss.curvature, **how)
    if not found.success and np.abs(found.jac).max() > max(student.tol, _LEAST_TOLERANCE):
        warnings.warn(
            f"{student.solver} failed to converge after {found.nit} iteration(s): {found.message} "
            "Increase the number of iterations (max_iter) or scale the data.",
            ConvergenceWarning,
            stacklevel=2,
        )
    weights = found.x.reshape(-1, loss.width).T
    if loss.width > 1:  # the same weights for every class change no probability
        weights = weights - weights.mean(axis=0)
    weights = weights.astype(X.dtype)
    student.coef_, student.intercept_ = weights[:, :-1].copy(), weights[:, -1].copy()
    student.n_iter_ = np.array([found.nit], dtype=np.int32)
    return student


def _lbfgs(loss: _SoftLoss, tolerance: float, max_iter: int) -> Any:
    """Minimise by L-BFGS until no entry of the gradient exceeds `tolerance`.

    It starts from the model of the classes' shares alone, in units of the curvature there, which
    differs between frequent and rare classes: in the units of the weights there are many steps.
    """
    start, unit = loss.null_model()
    gradient = np.zeros_like(start)

    def in_units(at: Array) -> tuple[float, Array]:
        value, gradient[:] = loss(at / unit)
        return value, gradient / unit

    def stop(intermediate_result: Any) -> None:
        if np.abs(gradient).max() <= tolerance:  # of the point that was evaluated last
            raise StopIteration

    options = {"maxls": 50, "gtol": tolerance / unit.max(), "maxiter": max_iter}
    options["ftol"] = 64 * np.finfo(np.float64).eps
    how = {"method": "L-BFGS-B", "callback": stop, "options": options}
    found = minimize(in_units, start * unit, jac=True, **how)
    found.x, found.jac = found.x / unit, found.jac * unit
    return found


def _check_settings(student: Any, X: Any, classes: NDArray[Any]) -> None:
    """Fit a student on two rows per class: scikit-learn's own checks, and its own attributes."""
    labels = np.tile(classes, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # of linear algebra with so few rows
        student.fit(take_rows(X, np.arange(len(labels)) % n_rows(X)), labels)


class _SoftLoss:
    """The mean loss and its derivatives at flat weights of shape (d + 1, width), by blocks."""

    def __init__(
        self, student: Any, X: Any, Y: Array, order: NDArray[np.intp], weights: Array
    ) -> None:
        self.width, self.n_columns = len(order), X.shape[1]
        self.intercept = bool(student.fit_intercept)
        self.total = float(weights.sum())
        self.penalty = 0.0 if student.penalty is None else 1.0 / (student.C * self.total)
        cells = X.indptr[-1] / X.shape[0] if sparse.issparse(X) else X.shape[1]
        step = max(64, int(_BLOCK_BYTES / 8 / (cells + 3 * self.width)))
        self.blocks = [
            (x, Y[rows][:, order] * weights[rows, None], weights[rows, None])
            for rows, x in row_blocks(X, step)
        ]

    def __call__(self, flat: Array) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        W = flat.reshape(-1, self.width)
        gradient = np.zeros_like(W)
        value = np.float64(0.0)
        for x, y, s in self.blocks:
            z = x @ W[:-1] + W[-1]
            value -= np.vdot(y, z)
            log_sums, p = _partition(z)
            value += np.vdot(s, log_sums)
            p *= s
            p -= y
            gradient[:-1] += x.T @ p
            gradient[-1] += p.sum(axis=0)
        value = value / self.total + self.penalty / 2 * np.vdot(W[:-1], W[:-1])
        return float(value), self._finished(gradient, W)

    def null_model(self) -> tuple[Array, Array]:
        """Return the weights at which only the intercept counts, and roots of the curvature there.

        It is h_c·mean(x_j²) + penalty (the Hessian's diagonal), where h = π(1 − π) for shares π.
        """
        squares = np.zeros(self.n_columns + 1)
        shares = np.zeros(self.width)
        with np.errstate(over="ignore"):
            for x, y, s in self.blocks:
                squared = x.multiply(x) if sparse.issparse(x) else x * x
                squares[:-1] += (squared.T @ s)[:, 0]
                squares[-1] += s.sum()
                shares += y.sum(axis=0)
        start = np.zeros((len(squares), self.width))
        n_classes = self.width + (self.width == 1)
        if self.intercept:
            shares = np.clip(shares / self.total, _LEAST_SHARE / n_classes, 1 - _LEAST_SHARE)
            start[-1] = np.log(shares) - (np.log1p(-shares) if self.width == 1 else 0.0)
        else:
            shares[:] = 1.0 / n_classes
        curvature = squares[:, None] / self.total * (shares * (1.0 - shares))
        curvature[:-1] += self.penalty
        unit = np.sqrt(np.where((curvature > 0) & (curvature < np.inf), curvature, 1.0))
        return start.ravel(), unit.ravel()

    def curvature(self, flat: Array, direction: Array) -> Array:
        """Return the product of the Hessian with a direction."""
        W, V = flat.reshape(-1, self.width), direction.reshape(-1, self.width)
        product = np.zeros_like(W)
        for x, _, s in self.blocks:
            _, p = _partition(x @ W[:-1] + W[-1])
            moved = x @ V[:-1] + V[-1]
            moved -= np.einsum("ij,ij->i", p, moved)[:, None]
            moved *= p * s
            product[:-1] += x.T @ moved
            product[-1] += moved.sum(axis=0)
        return self._finished(product, V)

    def _finished(self, sums: Array, W: Array) -> Array:
        sums /= self.total
        sums[:-1] += self.penalty * W[:-1]
        sums[-1] *= self.intercept
        return sums.ravel()


def _partition(z: Array) -> tuple[Array, Array]:
    """Return log Σ exp of each row of scores, and the probabilities; one column is two classes."""
    if z.shape[1] == 1:
        e = np.exp(-np.abs(z))
        return np.log1p(e) + np.maximum(z, 0), np.where(z > 0, 1.0, e) / (1.0 + e)
    top = z.max(axis=1, keepdims=True)
    p = np.exp(z - top)
    sums = p.sum(axis=1, keepdims=True)
    p /= sums
    return np.log(sums) + top, p
