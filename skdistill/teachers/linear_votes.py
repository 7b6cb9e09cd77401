"""Votes of linear members on public rows, many members in one product of matrices.

A member stays a function of its own state and of public rows. Its coefficients are rows of a
matrix, in the place that its number gives them; a row of a product is computed from the same row
of the left factor and from public numbers. The other operations are of single entries, or go along
the classes of one member. Members that cannot be part of the product keep their place, with zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from skdistill._tables import Table, label_codes
from skdistill.teachers.linear_members import is_linear, numeric_rows

Array = NDArray[np.float64]

_CELLS = 1 << 17  # votes of one stack
_SMALL = 2.0**20
_MOST_ERROR = 2.0**-21  # of a log-probability of naive Bayes: half a unit of a released vote


@dataclass(frozen=True, repr=False)
class LinearVotes:
    """Coefficients of members, and the public rows that they are multiplied with. Private.

    Parameters
    ----------
    X : ndarray of shape (m, q)
        Public rows.
    coef : ndarray of shape (c, k, q)
        Zero for a member that is asked by itself. One row for two classes, and for a regression.
    intercept : ndarray of shape (c, k)
        Minus infinity for a class that a member does not know.
    usable : ndarray of bool, shape (k,)
        Which members the votes are right for.
    n_classes : int
        0 for a regression.
    scaled : tuple of ndarray, of shapes (c, k, q), (c, k) and (c, k), default=()
        Coefficients and intercepts of a second product, and the factors that it is multiplied by.
    """

    X: Array
    coef: Array
    intercept: Array
    usable: NDArray[np.bool_]
    n_classes: int
    scaled: tuple[Array, ...] = ()

    def parts(self) -> list[slice]:
        """Return the numbers of the members that vote in one stack; public."""
        width = len(self.X) * max(1, self.n_classes)
        size = min(1024, max(1, _CELLS // width, min(8, (1 << 22) // width)))
        return [slice(i, i + size) for i in range(0, len(self.usable), size)]

    def take(self, part: slice) -> LinearVotes:
        """Return some of the members."""
        arrays = self.coef[:, part], self.intercept[:, part], self.usable[part]
        scaled = tuple(array[:, part] for array in self.scaled)
        return LinearVotes(self.X, *arrays, self.n_classes, scaled)

    def votes(self) -> Array:
        """Return votes of shape (b, m, n_classes), or (b, m) of a regression."""
        with np.errstate(all="ignore"):
            z = self._product(self.coef, self.intercept)
            if self.scaled:
                coef, intercept, factor = self.scaled
                z += self._product(coef, intercept) * factor[:, :, None]
            if not self.n_classes:
                return z[0]
            if len(z) == 1:
                return _two_classes(z[0])
            z -= z.max(axis=0)
            np.exp(z, out=z)
            z /= z.sum(axis=0)
        return z.transpose(1, 2, 0)

    def _product(self, coef: Array, intercept: Array) -> Array:
        c, b, q = coef.shape
        z = (coef.reshape(c * b, q) @ self.X.T).reshape(c, b, len(self.X))
        z += intercept[:, :, None]
        return z


def _two_classes(z: Array) -> Array:
    votes = np.empty((2, *z.shape))
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1.0
    np.divide(1.0, z, out=votes[1])
    np.subtract(1.0, votes[1], out=votes[0])
    return votes.transpose(1, 2, 0)


def linear_votes(
    estimator: Any, members: list[Any], table: Table, classes: NDArray[Any] | None
) -> LinearVotes | None:
    """Return the coefficients of the members of an ensemble; None where there are none.

    Whether there are is public: it depends on `estimator` and on the public rows in `table`.
    """
    X = numeric_rows(table) if is_linear(estimator, classes) else None
    if X is None or not np.isfinite(X).all():
        return None
    kind, k, n_classes = type(estimator), len(members), 0 if classes is None else len(classes)
    n_logits, place = max(1, n_classes), _PLACE.get(kind)
    scaled: tuple[Array, ...] = ()
    if place is None:
        middle = np.rint(X.mean(axis=0))
        X = X - middle
        shape = (n_logits, k)
        scaled = np.zeros((*shape, 2 * X.shape[1])), np.zeros(shape), np.zeros(shape)
        place = _NaiveBayes(middle, X, scaled)
        with np.errstate(all="ignore"):
            X = np.hstack([X * X, X])
    elif n_classes == 2:
        n_logits = 1
    coef = np.zeros((n_logits, k, X.shape[1]))
    intercept = np.full((n_logits, k), -np.inf if n_logits > 1 else 0.0)
    usable = np.zeros(k, dtype=bool)
    for i, member in enumerate(members):
        if type(member) is kind:
            try:
                usable[i] = place(i, vars(member), coef[:, i], intercept[:, i], classes)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                usable[i] = False
    usable &= np.isfinite(coef).all(axis=(0, 2)) & (intercept < np.inf).all(axis=0)
    usable &= intercept.max(axis=0) > -np.inf
    for array in scaled:
        usable &= np.isfinite(array).reshape(array.shape[0], k, -1).all(axis=(0, 2))
    for array in (coef, intercept, *scaled):
        array[:, ~usable] = 0.0
    return LinearVotes(X, coef, intercept, usable, n_classes, scaled)


def _place_ridge(
    i: int, state: dict[str, Any], coef: Array, intercept: Array, classes: None
) -> bool:
    coef[0], intercept[0] = state["coef_"], state["intercept_"]
    return True


def _place_logistic(
    i: int, state: dict[str, Any], coef: Array, intercept: Array, classes: Any
) -> bool:
    known = state["classes_"]
    if len(coef) == 1:
        coef[0], intercept[0] = state["coef_"][0], state["intercept_"][0]
        return len(known) == 2 and len(state["coef_"]) == 1 and bool((known == classes).all())
    places = label_codes(known, classes)
    if len(places) == 2:  # one row, of the second class
        coef[places[1]] = state["coef_"][0]
        intercept[places] = 0.0, state["intercept_"][0]
        return bool((places >= 0).all())
    coef[places], intercept[places] = state["coef_"], state["intercept_"]
    return bool((places >= 0).all())


_PLACE: dict[type, Any] = {Ridge: _place_ridge, LogisticRegression: _place_logistic}


class _NaiveBayes:
    """Coefficients of x² and x in the log-probability of a class.

    The square (x − θ)² is multiplied out here, so that terms cancel where a variance is small.
    Columns that are constant in a shard (a rare category, say) all have the smallest variance, ε.
    They get a product of their own, which is divided by ε at the end: where x and θ are small
    integers, it is exact. A member for which rounding errors could be more than 2⁻²¹ is asked by
    itself.
    """

    def __init__(self, middle: Array, X: Array, constant: tuple[Array, ...]) -> None:
        self.middle = middle
        self.largest = np.abs(X).max(axis=0)
        self.whole = (np.rint(X) == X).all(axis=0) & (self.largest < _SMALL)
        self.constant = constant

    def __call__(
        self, i: int, state: dict[str, Any], coef: Array, intercept: Array, classes: Any
    ) -> bool:
        squares, offsets, factors = (array[:, i] for array in self.constant)
        places = label_codes(state["classes_"], classes)
        theta, var, epsilon = state["theta_"] - self.middle, state["var_"], state["epsilon_"]
        d = theta.shape[1]
        same = var == epsilon
        with np.errstate(all="ignore"):
            precision = np.where(same, 0.0, 1.0 / var)
            coef[places, :d] = -0.5 * precision
            coef[places, d:] = theta * precision
            terms = np.log(2 * math.pi * var) + theta * theta * precision
            intercept[places] = np.log(state["class_prior_"]) - 0.5 * terms.sum(axis=1)
            squares[places, :d] = same
            squares[places, d:] = np.where(same, -2 * theta, 0.0)
            offsets[places] = np.where(same, theta * theta, 0.0).sum(axis=1)
            factors[places] = -0.5 / epsilon
            exact = same & self.whole & (theta == np.rint(theta)) & (np.abs(theta) < _SMALL)
            error = np.where(exact, 0.0, (self.largest + np.abs(theta)) ** 2 / var).sum(axis=1)
            return bool((places >= 0).all() and error.max() * 2.0**-51 <= _MOST_ERROR)
