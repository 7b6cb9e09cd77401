"""The price of a search over distillers, before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv

from skdistill._html import html_table
from skdistill._tables import take_rows
from skdistill._trained_on import last_step
from skdistill.accounting.charging import replays
from skdistill.accounting.composition import Totals
from skdistill.accounting.loss import PrivacyLoss
from skdistill.certificates.base import unwrap


@dataclass(frozen=True)
class SearchCost:
    """The price of a search.

    Parameters
    ----------
    epsilon, delta : float
        The total of all its releases with a :class:`~skdistill.PrivacyLedger`.
    n_fits : int
        Distillers that are fitted.
    n_releases : int
        Fits that release something new; the others are replays.
    epsilon_without_ledger : float
        The total at the same `delta` if every fit were a release of its own.

    Examples
    --------
    >>> from skdistill.accounting import SearchCost
    >>> print(SearchCost(1.128, 1e-6, 31, 4, 5.233))  # search_cost computes such figures
    31 fits, 4 releases: epsilon = 1.128 at delta = 1e-06 (without a ledger 5.233)
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

    def _repr_html_(self) -> str:
        rows = [
            ("fits", str(self.n_fits)),
            ("releases that cost something", str(self.n_releases)),
            ("ε of all, with a ledger", f"{self.epsilon:.4g}"),
            ("ε of all, without a ledger", f"{self.epsilon_without_ledger:.4g}"),
            ("δ", f"{self.delta:.3g}"),
        ]
        return html_table(rows, "Cost of the search")


def search_cost(search: Any, X: Any, y: Any = None, *, delta: float | None = None) -> SearchCost:
    """Compute the price of a search, without touching a teacher or a ledger.

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
    Every fit is run dry, its queries answered with zeros, in the order of a serial search. The
    total does not depend on the order for Gaussian noise: each row ends at the highest level that
    any fit asks of it. Steps of a pipeline before the distiller are fitted on X, which is public.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdistill import PrivateDistiller
    >>> from skdistill.accounting import search_cost
    >>> X, y = make_classification(2_000, random_state=0)
    >>> teacher = LogisticRegression().fit(X[:1000], y[:1000])
    >>> search = GridSearchCV(
    ...     PrivateDistiller(teacher, LogisticRegression()),
    ...     {"epsilon": [0.5, 1.0], "student__C": [0.1, 1.0, 10.0]},
    ... )
    >>> print(search_cost(search, X[1000:]))
    31 fits, 4 releases: epsilon = 1.128 at delta = 1e-06 (without a ledger 5.233)
    """
    held = getattr(last_step(getattr(search, "estimator", search)), "accountant", None)
    held = held if replays(held) else None
    if delta is None and held is not None:
        delta = held.delta
    ledger, alone = _DryLedger(held), _DryLedger(None, replay=False)
    n_fits = 1
    if hasattr(search, "cv") and hasattr(search, "estimator"):
        grid = _candidates(search)
        splitter = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
        folds = [take_rows(X, train) for train, _ in splitter.split(X, y)]
        n_fits = len(grid) * len(folds) + bool(search.refit)
        for params, rows in product(grid, folds):
            _run_dry(_with(search.estimator, params), rows, ledger, alone)
        if search.refit:
            ends = []
            for params in _distinct(grid):
                ends.append((replace(ledger), replace(alone)))
                _run_dry(_with(search.estimator, params), X, *ends[-1])
            ledger, alone = max(ends, key=lambda both: [each.epsilon(delta) for each in both])
    else:
        _run_dry(search, X, ledger, alone)
    return SearchCost(
        epsilon=ledger.epsilon(delta),
        delta=alone.delta if delta is None else delta,
        n_fits=n_fits,
        n_releases=len(ledger.losses),
        epsilon_without_ledger=alone.epsilon(delta),
    )


@dataclass
class _DryLedger:
    """A ledger in memory without a limit, on top of the entries of a real one."""

    ledger: Any  # a PrivacyLedger, read and never charged, or None
    replay: bool = True  # whether known rows are free
    losses: tuple[PrivacyLoss, ...] = ()
    held: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)

    def charge(self, loss: PrivacyLoss, *, note: str = "") -> None:
        self.losses = (*self.losses, loss)

    @property
    def delta(self) -> float:
        return max((loss.delta for loss in self.losses), default=0.0)

    def epsilon(self, delta: float | None) -> float:
        """Return the total at `delta`, or at the largest that was charged.

        The budget of a ledger and its earlier charges decide which counter takes a loss.
        """
        before = after = Totals() if self.ledger is None else self.ledger.totals
        for loss in self.losses:
            fits = self.ledger and self.ledger.cap.after(after, loss)
            after = fits or after.add(loss)
        total = after.plus(-before.squares, -before.pure)
        return total.epsilon(self.delta if delta is None else delta)

    def recall(self, key: bytes) -> list[bytes]:
        return [*(self.ledger.recall(key) if self.ledger else []), *self.held.get(key, ())]

    def remember(self, key: bytes, blob: bytes) -> None:
        self.held = {**self.held, key: (*self.held.get(key, ()), blob)}


def _run_dry(estimator: Any, X: Any, *ledgers: _DryLedger) -> None:
    """Charge the ledgers for one fit."""
    distiller, X = _reach(estimator, X)
    release, teacher = distiller.calibrate(X), unwrap(distiller.teacher)
    for ledger in ledgers:
        release.charge_dry_run(teacher, ledger)


def _reach(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the distiller in an estimator, and the rows it would see."""
    if hasattr(estimator, "calibrate"):
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
        drawn_from = search.param_distributions, search.n_iter
        return list(ParameterSampler(*drawn_from, random_state=search.random_state))
    raise TypeError(
        f"{type(search).__name__} has neither param_grid nor param_distributions: the candidates "
        "of this search cannot be foreseen."
    )


def _distinct(grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one candidate of each kind of release: the student does not matter."""
    kinds: dict[str, dict[str, Any]] = {}
    for params in grid:
        release = [(k, params[k]) for k in sorted(params) if "student" not in k.split("__")]
        kinds.setdefault(repr(release), params)
    return list(kinds.values())
