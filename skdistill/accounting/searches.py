"""What a search over distillers will cost, before anything is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv

from skdistill._rows import take_rows
from skdistill.accounting.charging import replays
from skdistill.accounting.composition import Totals
from skdistill.accounting.loss import PrivacyLoss

__all__ = ["SearchCost", "plan"]


@dataclass(frozen=True)
class SearchCost:
    """What a search costs.

    Parameters
    ----------
    epsilon, delta : float
        The total of all its releases with a :class:`~skdistill.accounting.PrivacyLedger`.
    n_fits : int
        Distillers that are fitted.
    n_releases : int
        Fits that release something new; the others are replays.
    epsilon_without_ledger : float
        The total at the same `delta` if every fit were a release of its own.
    """

    epsilon: float
    delta: float
    n_fits: int
    n_releases: int
    epsilon_without_ledger: float

    def __str__(self) -> str:
        return (
            f"{self.n_fits} fits, {self.n_releases} releases: epsilon = {self.epsilon:.4g} at "
            f"delta = {self.delta:.3g} (without a ledger {self.epsilon_without_ledger:.4g})"
        )


def plan(search: Any, X: Any, y: Any = None, *, delta: float | None = None) -> SearchCost:
    """Say what a search will cost, without touching a teacher or a ledger.

    Parameters
    ----------
    search : estimator
        A :class:`~skdistill.PrivateDistiller`, a Pipeline that ends in one, or a
        ``GridSearchCV`` or ``RandomizedSearchCV`` over either.
    X : array-like of shape (m, d)
        The transfer set that it will be fitted on.
    y : array-like of shape (m,), default=None
        Labels that it will be scored with; only the splits depend on them.
    delta : float, default=None
        The δ of the total. None takes that of the ledger, if the distiller has one, else the
        largest of the distillers'.

    Returns
    -------
    cost : SearchCost
        Releases that the distiller's own ledger holds already are free. With ``refit``, the
        dearest candidate is taken for the best. A ``RandomizedSearchCV`` without an integer
        `random_state` draws other candidates than the search will.

    Notes
    -----
    Every fit is rehearsed (:meth:`PrivateDistiller.rehearse`) in the order of a serial search,
    against a ledger in memory. The total does not depend on the order for Gaussian noise: each
    row ends at the highest level that any fit asks of it (:mod:`skdistill.release.ladder`).
    Steps of a pipeline before the distiller are fitted on X as the search would fit them; X is
    public.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdistill import PrivateDistiller
    >>> from skdistill.accounting import plan
    >>> X, y = make_classification(2_000, random_state=0)
    >>> teacher = LogisticRegression().fit(X[:1000], y[:1000])
    >>> search = GridSearchCV(
    ...     PrivateDistiller(teacher, LogisticRegression()),
    ...     {"epsilon": [0.5, 1.0], "student__C": [0.1, 1.0, 10.0]},
    ... )
    >>> print(plan(search, X[1000:]))
    31 fits, 4 releases: epsilon = 1.128 at delta = 1e-06 (without a ledger 5.233)
    """
    ledger = _held_by(search)
    if delta is None and ledger is not None:
        delta = ledger.delta
    book = _PracticeBook(ledger)
    alone = _PracticeBook(None)
    if hasattr(search, "cv") and hasattr(search, "estimator"):
        grid = _candidates(search)
        splitter = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
        folds = [take_rows(X, train) for train, _ in splitter.split(X, y)]
        for params in grid:
            for rows in folds:
                _rehearse(_with(search.estimator, params), rows, book, alone)
        if search.refit:
            book, alone = max(
                (_refitted(search.estimator, params, X, book, alone) for params in _distinct(grid)),
                key=lambda books: [book.epsilon(delta) for book in books],
            )
    else:
        _rehearse(search, X, book, alone)
    return SearchCost(
        epsilon=book.epsilon(delta),
        delta=alone.delta if delta is None else delta,
        n_fits=alone.n_fits,
        n_releases=book.n_charges,
        epsilon_without_ledger=alone.epsilon(delta),
    )


class _PracticeBook:
    """A ledger in memory that forbids nothing."""

    def __init__(self, ledger: Any) -> None:
        self.replay = True
        self.total = Totals()
        self.delta = 0.0
        self.n_charges = self.n_fits = 0
        self._ledger = ledger
        self._held: dict[bytes, tuple[bytes, ...]] = {}

    def charge(self, loss: PrivacyLoss, *, note: str = "") -> None:
        """Add a charge."""
        self.total = self.total.add(loss)
        self.delta = max(self.delta, loss.delta)
        self.n_charges += 1

    def epsilon(self, delta: float | None) -> float:
        """Return the total at `delta`, or at the largest that was charged."""
        return self.total.epsilon(self.delta if delta is None else delta)

    @contextlib.contextmanager
    def locked(self, key: bytes) -> Iterator[None]:
        """There is no one else."""
        yield

    def recall(self, key: bytes) -> list[bytes]:
        """Return what the ledger holds, and what was practised."""
        held = self._ledger.recall(key) if self._ledger is not None else []
        return [*held, *self._held.get(key, ())]

    def remember(self, key: bytes, blob: bytes) -> None:
        """Remember for this practice."""
        self._held[key] = (*self._held.get(key, ()), blob)

    def copy(self) -> _PracticeBook:
        """Return a book that goes on from here."""
        twin = _PracticeBook(self._ledger)
        twin.__dict__.update(self.__dict__)
        twin._held = dict(self._held)
        return twin


def _rehearse(estimator: Any, X: Any, book: _PracticeBook, alone: _PracticeBook) -> None:
    distiller, X = _reach(estimator, X)
    distiller.rehearse(X, book)
    book.n_fits += 1
    alone.n_fits += 1
    alone.replay = False
    distiller.rehearse(X, alone)


def _refitted(
    estimator: Any, params: dict[str, Any], X: Any, book: _PracticeBook, alone: _PracticeBook
) -> tuple[_PracticeBook, _PracticeBook]:
    book, alone = book.copy(), alone.copy()
    _rehearse(_with(estimator, params), X, book, alone)
    return book, alone


def _reach(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the distiller in an estimator, and the rows it would see."""
    if hasattr(estimator, "rehearse"):
        return estimator, X
    steps = getattr(estimator, "steps", None)
    if not steps:
        raise TypeError(
            f"{type(estimator).__name__} is no PrivateDistiller, no Pipeline that ends in one, and "
            "no search over either, so its cost cannot be foreseen."
        )
    if len(steps) > 1:
        X = clone(estimator[:-1]).fit_transform(X)
    return _reach(steps[-1][1], X)


def _with(estimator: Any, params: dict[str, Any]) -> Any:
    return clone(estimator).set_params(**clone(params, safe=False))


def _candidates(search: Any) -> list[dict[str, Any]]:
    if hasattr(search, "param_grid"):
        return list(ParameterGrid(search.param_grid))
    if hasattr(search, "param_distributions"):
        draws = ParameterSampler(
            search.param_distributions, search.n_iter, random_state=search.random_state
        )
        return list(draws)
    raise TypeError(
        f"{type(search).__name__} has neither param_grid nor param_distributions: the candidates "
        "of this search cannot be foreseen."
    )


def _distinct(grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one candidate of each kind of release: the student does not matter."""
    kinds: dict[str, dict[str, Any]] = {}
    for params in grid:
        release = {k: v for k, v in params.items() if "student" not in k.split("__")}
        kinds.setdefault(repr(sorted(release.items(), key=lambda item: item[0])), params)
    return list(kinds.values())


def _held_by(search: Any) -> Any:
    """Return the ledger of the distiller in a search, if it has one that replays."""
    estimator = getattr(search, "estimator", search)
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[-1][1]
    ledger = getattr(estimator, "accountant", None)
    return ledger if replays(ledger) else None
