"""Linear members of an ensemble, fitted many at a time: logistic, ridge, Gaussian naive Bayes.

A thousand fits of a small model are a thousand times the overhead of one. Here the shards are
stacked in an array of shape (b, n, d) and fitted together.

*A member stays a function of its own shard.* Every operation below is one of single entries, or
NumPy's loop over the b slabs of a stack (``matmul``, ``inv``, ``solve``, reductions of other axes
than the first), which computes slab i from slab i alone. The length that a shard is padded to
depends on its own number of rows, and rows of padding have weight zero. The number of steps is
fixed, and a member stops by its own gradient: from then on its weights are not touched, whatever
the others still do. A shard with a cell that is no finite number is replaced by zeros before any
arithmetic, not multiplied by them. A member that is not solved in the fixed number of steps, or
whose numbers overflow, is reported as such, and scikit-learn's own fit takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skdistill._tables import Table

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_STEPS = 200  # public: no member takes more
_NEW_HESSIAN = (19, 29, 49, 79)  # the steps after which it is computed again
_LEAST_CURVATURE = 1e-6  # of a row, in these
_PAIRS = 5  # pairs of steps and gradients that a direction is made of, as in scipy's L-BFGS-B
_SUFFICIENT = 1e-4  # Armijo's condition
_CELLS = 1 << 18  # most cells in one stack of more than one shard
WIDEST = 256  # most columns: a member's Hessian is inverted
_SMALL_MATRIX = 12  # most columns of a matrix that LAPACK inverts
_PLAIN_CLASSES = 64  # most classes of a member fitted here


@dataclass(frozen=True, repr=False)
class Fitted:
    """The result of :func:`fit_stack`. Private. The state of members not solved is meaningless."""

    solved: Flags  # (b,)
    state: dict[str, NDArray[Any]]  # fitted attributes, (b, ...), a row for every class
    present: Flags  # (b, n_classes): the classes in each shard


# -- Which estimators, and which shards together ---------------------------------------------------


def is_linear(estimator: Any, classes: NDArray[Any] | None) -> bool:
    """Whether :func:`fit_stack` finds the optimum that this estimator's own fit looks for.

    Subclasses, unusual settings and invalid ones are left to the estimator itself. The answer is
    public.
    """
    kind = type(estimator)
    if kind not in _SUPPORTED or (kind is Ridge) != (classes is None):
        return False
    if classes is not None and not 2 <= len(classes) <= _PLAIN_CLASSES:
        return False
    return bool(_SUPPORTED[kind](vars(estimator)))


def _supports_logistic(params: dict[str, Any]) -> Any:
    weight, jobs = params["class_weight"], params["n_jobs"]
    return (
        params.get("penalty") in ("l2", "deprecated")
        and (params.get("l1_ratio") is None or _zero(params["l1_ratio"]))
        and params.get("multi_class", "deprecated") == "deprecated"
        and params["solver"] in ("lbfgs", "newton-cg", "newton-cholesky")
        and all(map(_positive, (params["C"], params["tol"], params["intercept_scaling"])))
        and _whole(params["max_iter"])
        and params["max_iter"] >= 100
        and _whole(params["verbose"])
        and (jobs is None or (isinstance(jobs, Integral) and jobs != 0))
        and (weight is None or (isinstance(weight, str) and weight == "balanced"))
        and _plain(params, "fit_intercept", "dual", "warm_start")
    )


def _supports_ridge(params: dict[str, Any]) -> Any:
    return (
        params["solver"] in ("auto", "cholesky")
        and _positive(params["alpha"])
        and (_zero(params["tol"]) or _positive(params["tol"]))
        and (params["max_iter"] is None or (_whole(params["max_iter"]) and params["max_iter"]))
        and _plain(params, "fit_intercept", "copy_X", "positive")
    )


_SUPPORTED: dict[type, Callable[[dict[str, Any]], Any]] = {
    LogisticRegression: _supports_logistic,
    Ridge: _supports_ridge,
    GaussianNB: lambda params: params["priors"] is None and _positive(params["var_smoothing"]),
}


def _number(value: Any) -> bool:
    kinds = int, float, np.integer, np.floating  # those that every member's own fit takes
    return isinstance(value, kinds) and not isinstance(value, bool)


def _zero(value: Any) -> bool:
    return _number(value) and value == 0


def _positive(value: Any) -> bool:
    return _number(value) and bool(0 < value < np.inf)


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) < 1 << 31


def _plain(params: dict[str, Any], *flags: str) -> bool:
    """Whether the seed is None or a number, and the flags are bools; most of them must be off."""
    free, seed = ("fit_intercept", "copy_X"), params["random_state"]
    usual = all(type(params[name]) is bool and (name in free or not params[name]) for name in flags)
    return usual and (seed is None or _whole(seed))


def padded_length(n: int) -> int:
    """Return the number of rows that a shard of `n` rows is padded to: an eighth more at most.

    A multiple of eight, so that every slab of a stack begins at the same place of a vector
    register: an operation on single entries then has no remainder that is computed otherwise.

    Examples
    --------
    >>> padded_length(3), padded_length(100), padded_length(300)
    (8, 104, 320)
    """
    step = max(8, 1 << max(0, n.bit_length() - 4))
    return max(1, -(-n // step)) * step


def stacks(lengths: list[int], width: int) -> Iterator[tuple[int, list[int]]]:
    """Yield padded lengths and the numbers of the shards that are fitted in one stack.

    `lengths` are those of the public assignment, with rows whose label is not known.
    """
    of_length: dict[int, list[int]] = {}
    for i, length in enumerate(map(cache(padded_length), lengths)):
        of_length.setdefault(length, []).append(i)
    for length, shards in sorted(of_length.items()):
        size = max(1, _CELLS // (length * (width + 1)))
        for start in range(0, len(shards), size):
            yield length, shards[start : start + size]


def numeric_rows(table: Table) -> Array | None:
    """Return the rows of a table as floats, NaN for all but numbers; None for other layouts.

    The layout is public. Rows of single precision are left to the estimators themselves.
    """
    if len(table.shape) != 2 or table.kind == "sparse":
        return None
    rows = table.numbers() if table.values is None else table.values
    return rows if rows.dtype == np.float64 else None


def fit_together(
    members: list[Any],
    table: Table,
    targets: NDArray[Any],
    shards: list[NDArray[np.intp]],
    lengths: list[int],
    classes: NDArray[Any] | None,
    columns: dict[str, Any],
) -> Flags:
    """Fit those of the members that can be fitted together; return which of them are fitted.

    `targets` are indices of classes, or targets; `shards` the rows of each member that have a known
    label, and `lengths` their numbers with those that have none; `columns` the attributes that say
    which columns were seen.
    """
    solved = np.zeros(len(members), dtype=bool)
    rows = numeric_rows(table) if is_linear(members[0], classes) else None
    if rows is None or rows.shape[1] > WIDEST:
        return solved
    finite = np.ones(len(rows), dtype=bool)
    if not np.isfinite(rows).all():
        np.isfinite(rows).all(axis=1, out=finite)
    n_classes = 0 if classes is None else len(classes)
    planned = list(stacks(lengths, rows.shape[1]))
    most = max(length * len(numbers) for length, numbers in planned)
    memory = np.empty(most * rows.shape[1])  # of all stacks: new pages cost more than the rows
    for length, numbers in planned:
        stack = stack_of(rows, targets, finite, [shards[i] for i in numbers], length, memory)
        fitted = fit_stack(members[0], *stack, n_classes)
        solved[numbers] = fitted.solved
        for i in np.flatnonzero(fitted.solved):
            own = {name: values[i].copy() for name, values in fitted.state.items()}
            own = _ATTRIBUTES[type(members[0])](own, fitted.present[i], classes)
            vars(members[numbers[i]]).update(columns, **own)
    return solved


# -- Members -------------------------------------------------------------------------------------


def _logistic_attributes(
    own: dict[str, Any], present: Flags, classes: NDArray[Any]
) -> dict[str, Any]:
    """Return one row a class, or one in all for two classes."""
    own["n_iter_"] = np.array([own["n_iter_"]])
    if len(own["coef_"]) > 1:
        for name in ("coef_", "intercept_"):
            rows = own[name][present]
            own[name] = rows[1:] - rows[:1] if len(rows) == 2 else rows
    return own | {"classes_": classes[present]}


def _naive_bayes_attributes(
    own: dict[str, Any], present: Flags, classes: NDArray[Any]
) -> dict[str, Any]:
    if not present.all():
        own |= {name: own[name][present] for name in own.keys() - {"epsilon_"}}
    return own | {"classes_": classes[present]}


_ATTRIBUTES: dict[type, Callable[..., dict[str, Any]]] = {
    LogisticRegression: _logistic_attributes,
    Ridge: lambda own, *_: own | {"n_iter_": None, "solver_": "cholesky"},
    GaussianNB: _naive_bayes_attributes,
}


# -- Fits ------------------------------------------------------------------------------------------


def stack_of(
    values: Array,
    targets: NDArray[Any],
    finite: Flags,
    shards: list[NDArray[np.intp]],
    length: int,
    memory: Array,
) -> tuple[Array, NDArray[Any], Flags]:
    """Return rows (in `memory`), targets and which rows are used, of shards padded to `length`.

    `finite` says which rows of `values` hold nothing but finite numbers. No row of a shard that
    holds others is used.
    """
    found, sizes = np.concatenate(shards), np.array(list(map(len, shards)))
    bad = np.repeat(np.arange(len(shards)), sizes)[~finite[found]]
    rows = np.zeros((len(shards), length), dtype=np.intp)
    used: Flags = np.less(np.arange(length), sizes[:, None])
    rows[used] = found
    used[bad] = False
    X, y = memory[: rows.size * values.shape[1]].reshape(*rows.shape, -1), targets[rows]
    values.take(rows, axis=0, out=X, mode="clip")
    X[~used] = 0.0
    y[~used] = 0
    return X, y, used


def fit_stack(estimator: Any, X: Array, y: NDArray[Any], used: Flags, n_classes: int) -> Fitted:
    """Fit one member for each slab of X; never raises for a value.

    Takes private rows X (b, n, d), indices of classes or targets (b, n), and which rows are used
    (b, n), as :func:`stack_of` returns them, and overwrites X. `n_classes` is 0 for a regression.
    """
    kind = type(estimator)
    with np.errstate(all="ignore"):
        if kind is Ridge:
            present = np.asarray(used.any(axis=1, keepdims=True))
            state = _ridge(estimator, X, y, used)
            solved = present[:, 0]
        else:
            hot: Flags = np.equal(y[:, None, :], np.arange(n_classes)[:, None]) & used[:, None, :]
            present = np.asarray(hot.any(axis=2))
            fit = _logistic if kind is LogisticRegression else _naive_bayes
            state = fit(estimator, X, hot, used)
            solved = np.greater(present.sum(axis=1), 1)
        solved = solved & state.pop("converged", solved)
        for values in state.values():
            solved = solved & np.isfinite(values).reshape(len(X), -1).all(axis=1)
    return Fitted(solved, state, present)


def _dot(a: Array, b: Array) -> Array:
    """Return the product of each slab of `a` with that of `b`.

    Not by ``vecdot``: BLAS may begin to add where memory is aligned (OpenBLAS does so without AVX),
    and a slab of any width moves when another one is padded to another length.
    """
    return np.asarray(np.einsum("bd,bd->b", a.reshape(len(a), -1), b.reshape(len(b), -1)))


def _per_slab(function: Callable[..., Array], *arrays: Array) -> Array:
    """Apply a function of numpy.linalg to each slab; NaN where a matrix is singular.

    NumPy raises for the whole stack where one matrix is singular. The others are then computed
    one by one, by the same routine of LAPACK on the same numbers.
    """
    try:
        return function(*arrays)
    except np.linalg.LinAlgError:
        pass
    result = np.full(arrays[-1].shape, np.nan)
    for i, slabs in enumerate(zip(*arrays, strict=True)):
        with suppress(np.linalg.LinAlgError):
            result[i] = function(*slabs)
    return result


def _inverses(H: Array) -> Array:
    """Return the inverses of symmetric positive definite matrices; NaN where one is singular.

    By the halves of a matrix and the Schur complement: most of it is products of matrices, which
    take half the time of LAPACK's inverse.
    """
    q = H.shape[1]
    if q <= _SMALL_MATRIX:
        return _per_slab(np.linalg.inv, H)
    first, rest = slice(q // 2), slice(q // 2, q)
    corner, side = _inverses(H[:, first, first]), H[:, first, rest]
    moved = corner @ side
    result = np.empty_like(H)
    result[:, rest, rest] = _inverses(H[:, rest, rest] - side.transpose(0, 2, 1) @ moved)
    result[:, first, rest] = -moved @ result[:, rest, rest]
    result[:, rest, first] = result[:, first, rest].transpose(0, 2, 1)
    result[:, first, first] = corner - result[:, first, rest] @ moved.transpose(0, 2, 1)
    return result


def _ridge(estimator: Any, X: Array, y: Array, used: Flags) -> dict[str, NDArray[Any]]:
    """Solve the normal equations of each slab, in the smaller of the two dimensions."""
    b, n, d = X.shape
    x_mean, y_mean = np.zeros((b, 1, d)), np.zeros((b, 1))
    if estimator.fit_intercept:
        count = used.sum(axis=1)[:, None]
        x_mean, y_mean = X.sum(axis=1, keepdims=True) / count[:, :, None], y.sum(1)[:, None] / count
        X -= x_mean
        X[~used] = 0.0
        y = np.where(used, y - y_mean, 0.0)
    Xt = X.transpose(0, 2, 1)
    size = min(n, d)
    gram = X @ Xt if n < d else Xt @ X
    gram[:, np.arange(size), np.arange(size)] += float(estimator.alpha)
    right = y[:, :, None] if n < d else Xt @ y[:, :, None]
    found = _per_slab(np.linalg.solve, gram, right)
    coef = (Xt @ found if n < d else found)[:, :, 0]
    return {"coef_": coef, "intercept_": y_mean[:, 0] - _dot(x_mean, coef)}


def _naive_bayes(estimator: Any, X: Array, hot: Flags, used: Flags) -> dict[str, NDArray[Any]]:
    """Means, variances and counts of each class."""
    members = hot.astype(np.float64)
    count = members.sum(axis=2)
    divisor = np.maximum(count, 1.0)[:, :, None]
    n = np.maximum(used.sum(axis=1), 1)[:, None]
    spread = X - (X.sum(axis=1) / n)[:, None, :]
    spread[~used] = 0.0
    spread *= spread
    epsilon = estimator.var_smoothing * (spread.sum(axis=1) / n).max(axis=1)
    theta = members @ X / divisor
    np.matmul(members.transpose(0, 2, 1), theta, out=spread)  # exact: one summand is not zero
    X -= spread
    X *= X
    var = members @ X / divisor + epsilon[:, None, None]
    return {
        "theta_": theta,
        "var_": var,
        "class_count_": count,
        "class_prior_": count / n,
        "epsilon_": epsilon,
        "converged": epsilon > 0,
    }


def _logistic(estimator: Any, X: Array, hot: Flags, used: Flags) -> dict[str, NDArray[Any]]:
    """Minimise the penalised log loss of each slab; the loss is divided by the weights' sum."""
    d, n_classes = X.shape[2], hot.shape[1]
    n_present = np.maximum(hot.any(axis=2).sum(axis=1), 1)
    weight = used.astype(np.float64)
    if estimator.class_weight == "balanced":
        count = np.maximum(hot.sum(axis=2), 1)
        of_class = used.sum(axis=1)[:, None] / (n_present[:, None] * count)
        weight = np.einsum("bcn,bc->bn", hot.astype(np.float64), of_class)
    total = np.maximum(weight.sum(axis=1), np.finfo(float).tiny)
    # A member that has two of more classes is one of one logit in scikit-learn: ridge on w, not
    # on the two halves w/2 and -w/2 that stand for it here.
    halves = np.where(n_present == 2, 2.0 if n_classes > 2 else 1.0, 1.0)
    penalties = np.zeros((len(X), 1, d + 1 if estimator.fit_intercept else d))
    penalties[:, :, :d] = _wide(halves / (float(estimator.C) * total))
    loss = _LogLoss(X, hot, weight / total[:, None], penalties)
    W, n_steps, converged = _minimise(loss, float(estimator.tol))
    intercept = W[:, :, d] if estimator.fit_intercept else np.zeros(W.shape[:2])
    if n_classes > 2:  # a constant that all of them share changes nothing
        present = hot.any(axis=2)
        common = (intercept * present).sum(axis=1) / n_present
        intercept = np.where(present, intercept - common[:, None], 0.0)
    coef = W[:, :, :d]
    return {"coef_": coef, "intercept_": intercept, "n_iter_": n_steps, "converged": converged}


@dataclass(frozen=True, repr=False)
class _LogLoss:
    """The log loss of each slab; weights W have shape (b, c, q), and one row for two classes."""

    X: Array  # (b, n, d)
    hot: Flags  # (b, n_classes, n)
    weight: Array  # (b, n)
    penalties: Array  # (b, 1, q): q is d + 1 with an intercept, whose penalty is zero

    def start(self) -> Array:
        """Return weights of zero."""
        b, n_classes, _ = self.hot.shape
        return np.zeros((b, 1 if n_classes == 2 else n_classes, self.penalties.shape[2]))

    def __call__(self, W: Array) -> tuple[Array, Array]:
        """Return the loss of each slab, and its gradient."""
        value, probability, hot = self._losses(W)
        slope = (probability - hot) * self.weight[:, None, :]
        G, d = self.penalties * W, self.X.shape[2]
        value = _dot(value, self.weight) + 0.5 * _dot(G, W)
        G[:, :, :d] += slope @ self.X
        if W.shape[2] > d:
            G[:, :, d] += slope.sum(axis=2)
        return value, G

    def inverse(self, W: Array | None = None) -> Array:
        """Return the inverse of the Hessian at W for each class, (b, c, q, q); or (b, 1, q, q).

        Without W, at zero. Terms that mix two classes are left out, and so are class weights at
        zero: the inverse is where directions start from, and need not be exact.
        """
        if W is None:
            present = np.maximum(self.hot.any(axis=2).sum(axis=1), 1)
            rows = np.maximum((self.weight > 0).sum(axis=1), 1)
            scale = (0.25 if self.hot.shape[1] == 2 else 1.0 / present) / rows
            gram = self.X.transpose(0, 2, 1) @ self.X * _wide(scale)
            return self._inverse(gram, (self.weight > 0) * scale[:, None])[:, None]
        probability = self._losses(W)[1]
        inverses = []
        for p in np.moveaxis(probability, 1, 0):
            curvature = np.maximum(p * (1.0 - p), _LEAST_CURVATURE) * self.weight
            root = self.X * np.sqrt(curvature)[:, :, None]
            inverses.append(self._inverse(root.transpose(0, 2, 1) @ root, curvature))
        return np.stack(inverses, axis=1)

    def _inverse(self, gram: Array, curvature: Array) -> Array:
        """Return the inverse of a gram matrix with penalties and, maybe, the intercept's row."""
        b, d, q = len(gram), gram.shape[1], self.penalties.shape[2]
        H = np.zeros((b, q, q))
        H[:, :d, :d] = gram
        if q > d:
            H[:, d, :d] = H[:, :d, d] = (curvature[:, None, :] @ self.X)[:, 0]
            H[:, d, d] = curvature.sum(axis=1)
        H[:, np.arange(q), np.arange(q)] += self.penalties[:, 0, :]
        H[~self.hot.any(axis=(1, 2))] = np.eye(q)
        return _inverses(H)

    def _losses(self, W: Array) -> tuple[Array, Array, Flags]:
        """Return each row's loss, and probabilities and labels for every row of W."""
        d = self.X.shape[2]
        z = W[:, :, :d] @ self.X.transpose(0, 2, 1)
        if W.shape[2] > d:
            z += W[:, :, d:]
        if self.hot.shape[1] == 2:
            hot, small = self.hot[:, 1:], np.exp(-np.abs(z))
            value = np.maximum(z, 0.0) - np.where(hot, z, 0.0) + np.log1p(small)
            return value[:, 0], np.where(z >= 0, 1.0, small) / (1.0 + small), hot
        z = np.where(self.hot.any(axis=2, keepdims=True), z, -np.inf)  # of classes that are there
        z -= np.maximum(z.max(axis=1, keepdims=True), -np.finfo(float).max)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        value = np.log(total[:, 0]) - np.where(self.hot, z, 0.0).sum(axis=1)
        return value, e / total, self.hot


def _minimise(loss: _LogLoss, tolerance: float) -> tuple[Array, NDArray[np.int32], Flags]:
    """Minimise a strictly convex function of each slab of W by L-BFGS (Nocedal 1980).

    Returns the slabs, their numbers of steps, and which of them converged: no entry of the
    gradient exceeds `tolerance`. All take the same number of steps; one that has converged is not
    changed by later ones. A step that does not lower a slab's own value enough is halved, for that
    slab; where rounding hides the values' difference, a step that does not make the gradient
    smaller. In a few public steps, directions start again from the Hessian at W.
    """
    W = loss.start()
    value, G = loss(W)
    inverse = loss.inverse()
    active = ~_is_small(G, tolerance)
    D = -_times([G], inverse)[0]
    size, n_steps = np.ones(len(W)), np.zeros(len(W), dtype=np.int32)
    pairs: list[tuple[Array, Array, Array]] = []
    for step in range(_STEPS):
        if not active.any():  # the remaining steps would change nothing
            break
        n_steps += active
        trial = np.where(_wide(active), W + _wide(size) * D, W)
        new_value, new_G = loss(trial)
        slope = size * _dot(G, D)
        lower = new_value <= value + _SUFFICIENT * slope + 1e-14 * np.abs(value)
        flatter = (new_value <= value + 1e-12 * np.abs(value)) & (_largest(new_G) < _largest(G))
        better = active & (lower | flatter)
        S, Y = trial - W, new_G - G
        curvature = _dot(S, Y)
        kept = better & (curvature > 0)
        S, Y = np.where(_wide(kept), S, 0.0), np.where(_wide(kept), Y, 0.0)
        pairs = [*pairs, (S, Y, np.where(kept, 1.0 / curvature, 0.0))][-_PAIRS:]
        W, G = np.where(_wide(better), trial, W), np.where(_wide(better), new_G, G)
        value = np.where(better, new_value, value)
        active = active & ~_is_small(G, tolerance) & np.isfinite(slope)
        if step in _NEW_HESSIAN and active.any():
            inverse = loss.inverse(W)
            better = active
        D = np.where(_wide(better), _direction(G, pairs, inverse), D)
        size = np.where(better, 1.0, size / 2)
    return W, n_steps, _is_small(G, tolerance)


def _is_small(G: Array, tolerance: float) -> Flags:
    return np.less_equal(_largest(G), tolerance)


def _largest(G: Array) -> Array:
    return np.asarray(np.abs(G).max(axis=(1, 2)))


def _times(D: list[Array], inverse: Array) -> list[Array]:
    """Return the products of each row of each slab with its matrix, of all arrays in one pass."""
    if inverse.shape[1] == 1:
        return np.split(np.concatenate(D, axis=1) @ inverse[:, 0], len(D), axis=1)
    products = np.stack(D, axis=2) @ inverse
    return [products[:, :, i] for i in range(len(D))]


def _direction(G: Array, pairs: list[tuple[Array, Array, Array]], inverse: Array) -> Array:
    """Return the direction of L-BFGS (its two loops); a pair of zeros changes nothing."""
    D = -G
    factors = []
    for S, Y, rho in reversed(pairs):
        factors.append(rho * _dot(S, D))
        D = D - _wide(factors[-1]) * Y
    _, Y, rho = pairs[-1]
    D, moved = _times([D, Y], inverse)
    D = D * _wide(np.where(rho > 0, 1.0 / (rho * _dot(moved, Y)), 1.0))
    for (S, Y, rho), factor in zip(pairs, reversed(factors), strict=True):
        D = D + _wide(factor - rho * _dot(Y, D)) * S
    return D


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None, None]
