"""Votes of linear members on public rows, many members in one product of matrices.

A member stays a function of its own state and of public rows. Its coefficients are rows of a
matrix, in the place that its number gives them; a row of a product is computed from the same row
of the left factor and from public numbers. The other operations are of single entries, or go along
the classes of one member. Members that cannot be part of the product keep their place, with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skdistill._tables import Table, label_codes
from skdistill.teachers.linear_members import is_linear, numeric_rows

Array = NDArray[np.float64]

_CELLS = 1 << 17  # votes of one stack
_SMALL = 2.0**20
_MOST_ERROR = 2.0**-21  # of a log-probability of naive Bayes: half a unit of a released vote


@dataclass(frozen=True, repr=False)
class LinearVotes:
    """Coefficients of members, and the public rows that they are multiplied with. Private."""

    X: Array  # (m, q)
    coef: Array  # (c, k, q): zero for a member asked by itself; of two classes, for the first
    intercept: Array  # (c, k): minus infinity for a class that a member does not know
    usable: NDArray[np.bool_]  # (k,): which members the votes are right for
    n_classes: int  # 0 for a regression
    # Coefficients and intercepts of a second product, and the factors that it is multiplied by.
    scaled: tuple[Array, ...] = ()

    def parts(self) -> list[slice]:
        """Return the numbers of the members that vote in one stack; public."""
        width = len(self.X) * len(self.coef)
        size = min(1024, max(1, _CELLS // width, min(8, (1 << 22) // width)))
        return [slice(i, i + size) for i in range(0, len(self.usable), size)]

    def take(self, part: slice) -> LinearVotes:
        """Return some of the members."""
        arrays = self.coef[:, part], self.intercept[:, part], self.usable[part]
        scaled = tuple(array[:, part] for array in self.scaled)
        return LinearVotes(self.X, *arrays, self.n_classes, scaled)

    def votes(self, first: bool = False) -> Array:
        """Return votes, (c, b, m): rows of classes on the simplex, uniform where numbers overflow.

        c is the number of classes, 1 for a regression. With `first`, only the votes for the first
        of two classes.
        """
        with np.errstate(all="ignore"):
            z = self._product(self.coef, self.intercept)
            if self.scaled:
                coef, intercept, factor = self.scaled  # of all members: 0 times infinity is NaN
                z += self._product(coef, intercept) * factor[:, :, None]
            if not self.n_classes:
                return z
            votes = z if first or len(z) > 1 else np.empty((2, *z.shape[1:]))
            if len(z) == 1:
                np.exp(z, out=z)
                z += 1.0
                np.divide(1.0, z, out=votes[-1:])
                np.subtract(1.0, votes[-1:], out=votes[:1])
                total = votes[0]
            else:
                z -= z.max(axis=0)
                np.exp(z, out=z)
                total = z.sum(axis=0)
                z /= total
            if np.isnan(total.min()):
                votes[:, np.isnan(total)] = 1.0 / self.n_classes
        return votes

    def _product(self, coef: Array, intercept: Array) -> Array:
        c, b, q = coef.shape
        z = (coef.reshape(c * b, q) @ self.X.T).reshape(c, b, len(self.X))
        z += intercept[:, :, None]
        return z


@np.errstate(all="ignore")
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
    is_bayes, d = kind is GaussianNB, X.shape[1]
    shape = (1 if n_classes == 2 and not is_bayes else max(1, n_classes)), k
    coef = np.zeros((*shape, 2 * d if is_bayes else d))
    intercept = np.full(shape, -np.inf if shape[0] > 1 else 0.0)
    epsilon, usable = np.ones(k), np.zeros(k, dtype=bool)
    place = _PLACE[kind]
    for i, member in enumerate(members):
        if type(member) is kind:
            try:
                arrays = coef[:, i], intercept[:, i], epsilon[i : i + 1]
                usable[i] = place(vars(member), *arrays, classes)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                continue
    scaled: tuple[Array, ...] = ()
    if is_bayes:
        middle = np.rint(X.mean(axis=0))
        X = X - middle
        scaled = np.zeros(coef.shape), np.zeros(shape), np.zeros(shape)
        step = max(1, _CELLS // coef[:, 0].size)
        for part in (slice(i, i + step) for i in range(0, k, step)):
            own = [array[:, part] for array in (coef, intercept, *scaled)]
            usable[part] &= _multiply_out(own, epsilon[part], middle, X)
        X = np.hstack([X * X, X])
    usable &= np.isfinite(coef).all(axis=(0, 2)) & (intercept < np.inf).all(axis=0)
    usable &= intercept.max(axis=0) > -np.inf
    for array in scaled:
        usable &= np.isfinite(array).reshape(*shape, -1).all(axis=(0, 2))
    for array in (coef, intercept, *scaled):
        array[:, ~usable] = 0.0
    if len(coef) < n_classes:
        coef, intercept = -coef, -intercept
    return LinearVotes(X, coef, intercept, usable, n_classes, scaled)


def _place_ridge(
    state: dict[str, Any], coef: Array, intercept: Array, _: Array, classes: None
) -> bool:
    coef[0], intercept[0] = state["coef_"], state["intercept_"]
    return True


def _place_logistic(
    state: dict[str, Any], coef: Array, intercept: Array, _: Array, classes: NDArray[Any]
) -> bool:
    known = state["classes_"]
    if len(coef) == 1:
        coef[0], intercept[0] = state["coef_"][0], state["intercept_"][0]
        return len(state["coef_"]) == 1 and bool(known.tolist() == classes.tolist())
    places = _places(known, classes)
    if len(places) == 2:  # one row, of the second class
        coef[places[1]] = state["coef_"][0]
        intercept[places] = 0.0, state["intercept_"][0]
    else:
        coef[places], intercept[places] = state["coef_"], state["intercept_"]
    return bool((places >= 0).all())


def _place_naive_bayes(
    state: dict[str, Any], coef: Array, intercept: Array, epsilon: Array, classes: NDArray[Any]
) -> bool:
    """Place means and variances beside each other, as _multiply_out takes them."""
    places, d = _places(state["classes_"], classes), coef.shape[1] // 2
    coef[places, :d], coef[places, d:] = state["theta_"], state["var_"]
    intercept[places], epsilon[:] = np.log(state["class_prior_"]), state["epsilon_"]
    return bool((places >= 0).all())


def _places(known: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    same = known.tolist() == classes.tolist()
    return np.arange(len(classes)) if same else label_codes(known, classes)


_PLACE: dict[type, Callable[..., bool]] = {
    Ridge: _place_ridge,
    LogisticRegression: _place_logistic,
    GaussianNB: _place_naive_bayes,
}


def _multiply_out(
    arrays: list[Array], epsilon: Array, middle: Array, X: Array
) -> NDArray[np.bool_]:
    """Replace means and variances by coefficients of x² and x in the log-probability of a class.

    The square (x − θ)² is multiplied out here, so that terms cancel where a variance is small.
    Columns that are constant in a shard (a rare category, say) all have the smallest variance, ε.
    They get a product of their own, which is divided by ε at the end: where x and θ are small
    integers, it is exact. A member for which rounding errors could be more than 2⁻²¹ is asked by
    itself. Returns which members are not.
    """
    coef, intercept, squares, offsets, factors = arrays
    d, known = len(middle), intercept > -np.inf
    theta, var = coef[:, :, :d] - middle, coef[:, :, d:].copy()
    same = (var == epsilon[:, None]) & known[:, :, None]
    precision = np.where(same, 0.0, 1.0 / var)
    terms = np.log(2 * math.pi * var) + theta * theta * precision
    intercept -= 0.5 * terms.sum(axis=2)
    coef[:, :, :d], coef[:, :, d:] = -0.5 * precision, theta * precision
    squares[:, :, :d], squares[:, :, d:] = same, np.where(same, -2 * theta, 0.0)
    offsets[:] = np.where(same, theta * theta, 0.0).sum(axis=2)
    factors[:] = -0.5 / epsilon
    largest = np.abs(X).max(axis=0)
    exact = same & (np.rint(X) == X).all(axis=0) & (largest < _SMALL)
    exact &= (theta == np.rint(theta)) & (np.abs(theta) < _SMALL)
    error = np.where(exact, 0.0, (largest + np.abs(theta)) ** 2 / var).sum(axis=2)
    coef[~known], intercept[~known], error[~known] = 0.0, -np.inf, 0.0
    return np.asarray((error * 2.0**-51 <= _MOST_ERROR).all(axis=0))
