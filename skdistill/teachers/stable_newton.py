"""The proof and the minimum of :class:`StableLogisticRegression`: public numbers, Newton steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

__all__ = [
    "UNIT",
    "Features",
    "Objective",
    "Plan",
    "gradient_rounding_bound",
    "in_range",
    "lipschitz_of",
    "make_plan",
    "minimise",
    "n_score_rows",
]

UNIT = 2.0**-53  # unit roundoff of float64
_SMALLEST, _LARGEST = 1e-12, 1e12  # public settings outside are refused: squares would underflow
_MAX_CONDITION = 1e8  # of the Hessian: beyond it Newton steps become many and inexact
_MAX_SLACK = 0.01  # share of the ideal radius that tolerance and rounding may add
_MOST_STEPS = 1000  # of Newton's method: five to ten are usual
_DIRECT_SIZE = 300  # up to this many weights the Hessian is built and factorised

Features = Any  # ndarray or CSR of shape (n, D)


def in_range(name: str, value: Any) -> float:
    """Return a public setting as a float, or refuse it."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number: got {value!r}.")
    number = float(value)
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError(f"{name} must lie between {_SMALLEST:g} and {_LARGEST:g}: got {number:g}.")
    return number


@dataclass(frozen=True)
class Plan:
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

    The result is doubled for the products of these terms, and the loss by gradual underflow is
    added. The exponential is taken to be right within 8u, relative (libraries: 1 to 2u).
    """
    block_size = _block_size(n_samples)
    additions = block_size + math.ceil(n_samples / block_size)
    reach = row_norm * weight_norm
    shift = 2 * math.sqrt(n_rows) * UNIT
    residual = 0.5 * reach * (_gamma(n_columns) + shift) + (n_rows + 40) * UNIT
    size = C * n_samples * row_norm
    lipschitz = lipschitz_of(n_rows)
    total = size * (residual + _gamma(additions) * lipschitz)
    total += _gamma(3) * (size * lipschitz + weight_norm)
    return 2 * total + n_samples * n_rows * n_columns * float(np.finfo(float).tiny)


def make_plan(
    shape: tuple[int, int],
    n_classes: int,
    C: float,
    constant: float,
    row_norm: float,
) -> Plan:
    r"""Derive the certificate from public settings, or refuse them.

    The minimiser lies in the ball of radius :math:`B_0 = \min(CnLR, \sqrt{2Cn\log K})`: the first
    because :math:`W^* = -C\sum\nabla\ell`, the second because :math:`J(W^*) \le J(0)`. Points
    that meet the tolerance are closer to it than :math:`LCR`, so they lie in the ball that the
    rounding bound is stated for.
    """
    n_samples, n_features = shape
    n_rows = n_score_rows(n_classes)
    n_columns = n_features + (constant != 0)
    if C * n_samples * row_norm**2 > _MAX_CONDITION:
        raise ValueError(
            f"C={C:g} with {n_samples} rows of norm up to {row_norm:g} leaves next to no penalty, "
            f"and float64 cannot solve it to a proved accuracy. Set C below "
            f"{_MAX_CONDITION / (n_samples * row_norm**2):.1g}."
        )

    lipschitz = lipschitz_of(n_rows)
    ideal = 2 * lipschitz * C * row_norm
    farthest = min(0.5 * n_samples * ideal, math.sqrt(2 * C * n_samples * math.log(n_classes)))
    weight_bound = 1.1 * farthest + 0.5 * ideal
    rounding = gradient_rounding_bound(
        n_samples, n_rows, n_columns, C=C, row_norm=row_norm, weight_norm=weight_bound
    )
    tol = max(1e-7 * ideal, 2 * rounding)
    tol_reached = tol * (1 + 2 * _gamma(n_rows * n_columns + 8))  # the norm is computed in floats
    slack = 2 * (tol_reached + rounding)
    if slack > _MAX_SLACK * ideal:
        raise ValueError(
            f"The tolerance and rounding of these settings would add {slack:.2g} to a radius of "
            f"{ideal:.2g}, more than {_MAX_SLACK:.0%}. Lower C, or train on fewer rows or features."
        )
    return Plan(
        n_samples=n_samples,
        n_rows=n_rows,
        n_columns=n_columns,
        C=C,
        row_norm=row_norm,
        block_size=_block_size(n_samples),
        weight_bound=weight_bound,
        gradient_tol=tol,
        sensitivity=(ideal + slack) * (1 + 64 * UNIT),
    )


def lipschitz_of(n_rows: int) -> float:
    """L: the largest norm of a residual."""
    return 1.0 if n_rows == 1 else math.sqrt(2)


def n_score_rows(n_classes: int) -> int:
    """Rows of W: one sigmoid for two classes, else a softmax over all."""
    return 1 if n_classes == 2 else n_classes


def _block_size(n_samples: int) -> int:
    """Rows summed at once: about √n keeps both levels of the sum short."""
    return max(256, math.isqrt(n_samples))


def _gamma(k: int) -> float:
    """Higham's γ_k: the relative error of k roundings."""
    return k * UNIT / (1 - k * UNIT)


# The objective and its minimum.


class Objective:
    """The gradient and Newton direction of J at W, over blocks of rows."""

    def __init__(self, features: Features, codes: NDArray[np.intp], plan: Plan) -> None:
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


def minimise(objective: Objective) -> tuple[NDArray[np.float64], int]:
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
    for step in range(1, _MOST_STEPS + 1):
        if norm <= plan.gradient_tol and np.linalg.norm(W) <= plan.weight_bound:
            return W, step
        direction = objective.newton_direction(W, gradient)
        for length in (2.0**-k for k in range(40)):
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
        "proved and it stays unfitted. Lower C."
    )
