"""The hook ``fit_soft``: any estimator may learn from soft labels as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from skdistill._callbacks import own_callbacks
from skdistill._trained_on import last_step
from skdistill.neural.adapters import NetworkClassifier, NetworkRegressor, clone_network
from skdistill.neural.backends import backend_of

Array = NDArray[np.float64]


def takes_soft_labels(estimator: Any) -> bool:
    """Whether a classifier can be trained by :func:`fit_soft`."""
    last = last_step(estimator)
    return hasattr(last, "fit_soft") or (backend_of(last) is not None and not is_regressor(last))


def adapted(estimator: Any) -> Any:
    """Put the adapter around a network; any other estimator is returned as it is.

    Pipelines, finished searches (their best estimator) and FrozenEstimators are looked into.
    Nothing is changed; a fitted network is the same network in its adapter.
    """
    frozen = isinstance(estimator, FrozenEstimator)
    held = estimator.estimator if frozen else getattr(estimator, "best_estimator_", None)
    if held is not None:
        inner = adapted(held)
        return estimator if inner is held else inner
    if hasattr(estimator, "steps"):
        *earlier, (name, last) = estimator.steps
        inner = adapted(last)
        return estimator if inner is last else _with_steps(estimator, [*earlier, (name, inner)])
    if backend_of(estimator) is None:
        return estimator
    adapter = (NetworkRegressor if is_regressor(estimator) else NetworkClassifier)(estimator)
    adapter._take_fitted()
    return adapter


def fresh(estimator: Any, random_state: Any = None) -> Any:
    """Return a clone that is to be trained: a network in its adapter, open random states seeded.

    Every student and every member of an ensemble is made here. None seeds nothing.
    """
    twin = adapted(clone_network(estimator))
    if random_state is None:
        return twin
    rng = check_random_state(random_state)
    seeds = {
        name: int(rng.randint(np.iinfo(np.int32).max))
        for name, value in sorted(twin.get_params().items())
        if name.split("__")[-1] == "random_state" and value is None
    }
    return twin.set_params(**seeds)


def fresh_members(estimator: Any, n: int, random_state: np.random.RandomState) -> list[Any]:
    """Return `n` clones as :func:`fresh` makes them, each with callbacks of its own.

    One by one, unless all that the estimator holds are numbers, texts and None: then a clone is
    made of a copy of these, many times faster.
    """
    if n < 1:
        return []
    first = own_callbacks(fresh(estimator, random_state))
    params = first.get_params(deep=False) if type(first).__module__.startswith("sklearn.") else {}
    held = vars(first)
    plain = held.keys() == params.keys() and _PLAIN.issuperset(map(type, held.values()))
    if not params or not plain:
        others = (own_callbacks(fresh(estimator, random_state)) for _ in range(n - 1))
        return [first, *others]
    kind, members = type(first), [first]
    seeds: list[Any] = [held.get("random_state")] * (n - 1)
    if getattr(estimator, "random_state", 0) is None:
        seeds = random_state.randint(np.iinfo(np.int32).max, size=n - 1).tolist()
    for seed in seeds:
        member = object.__new__(kind)
        vars(member).update(held)
        if "random_state" in held:
            member.random_state = seed
        members.append(member)
    return members


_PLAIN = frozenset([type(None), bool, int, float, str])


def fit_soft(
    estimator: Any,
    X: Any,
    Y: Array,
    classes: NDArray[Any],
    codes: NDArray[np.intp],
    fit_params: dict[str, Any],
    train: Callable[..., Any] | None = None,
) -> Any:
    """Train an estimator that takes soft labels, at the end of a pipeline or by itself.

    The hook: a classifier with a method ``fit_soft(X, Y, classes, **fit_params)`` is called with
    soft labels instead of ``fit`` with hard ones. It is fitted in place, as by ``fit``, and gives
    ``predict_proba`` with one column per column of Y (or sets ``classes_`` to an order of its
    own). A search around it (``GridSearchCV`` as the student) fits by hard labels; search around
    the distiller instead.

    Rows of Y are on the simplex, projected on it if need be. With an attribute
    ``signed_soft_labels = True``, an estimator gets them unclipped: they sum to 1, and may be
    negative or above 1 wherever there is noise, which then averages out. Do so for losses that
    are linear in Y or squared.

    Parameters
    ----------
    estimator : estimator
        Ours: it is fitted in place, or an adapter around it is returned.
    X, Y : array-like of shape (m, ...), and ndarray of shape (m, n_classes)
        Public rows, and soft labels that sum to 1. The caller projects them or not, see above.
    classes, codes : ndarray of shape (n_classes,) and (m,)
        The label of each column, in the teacher's order, and the index of each row's hard label,
        for the earlier steps of a pipeline.
    fit_params : dict
        For ``fit_soft``, or in a pipeline's own notation.
    train : callable, default=None
        ``train(last, X, Y, classes, **fit_params)`` fits the last step in place, where that has no
        method ``fit_soft`` of its own.

    Returns
    -------
    fitted : estimator
        The estimator itself, or the adapter around it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skdistill.neural import fit_soft
    >>> def squares(last, X, Y, classes):  # for an estimator that has no fit_soft of its own
    ...     last.fit(X, Y)
    >>> X, Y = np.array([[0.0], [1.0]]), np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> classes = np.array(["no", "yes"])
    >>> model = fit_soft(LinearRegression(), X, Y, classes, Y.argmax(axis=1), {}, squares)
    >>> model.predict([[0.5]])
    array([[0.55, 0.45]])
    """
    estimator = adapted(estimator)
    if not hasattr(estimator, "steps"):
        own = estimator.fit_soft if train is None else partial(train, estimator)
        own(X, Y, classes, **fit_params)
        return estimator
    *earlier, (name, last) = estimator.steps
    step = _SoftStep(last, partial(fit_soft, Y=Y, classes=classes, codes=codes, train=train))
    trained = _with_steps(estimator, [*earlier, (name, step)])
    trained.fit(X, classes[codes], **fit_params)
    trained.steps[-1] = (name, step.last)
    return trained


class _SoftStep(BaseEstimator):
    """Stands at the end of a pipeline during its fit and hands the last step its soft labels."""

    def __init__(self, last: Any, train: Callable[..., Any]) -> None:
        self.last = last
        self.train = train

    def fit(self, X: Any, y: Any, **fit_params: Any) -> _SoftStep:
        """Fit the last step on the rows that the earlier steps return."""
        self.last = self.train(self.last, X, fit_params=fit_params)
        return self

    def get_metadata_routing(self) -> Any:
        """Request the metadata that the last step requests."""
        return self.last.get_metadata_routing()


def _with_steps(pipeline: Any, steps: list[tuple[str, Any]]) -> Any:
    """Return a pipeline of the same settings and of these steps; the given one is not changed."""
    twin = copy.copy(pipeline)
    twin.steps = steps
    return twin
