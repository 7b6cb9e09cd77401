"""A rehearsal of the student on public rows with made-up labels, before anything is charged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray

from skdistill._randomness import own_randomness
from skdistill._silenced import silenced
from skdistill._tables import as_numbers, n_rows, take_rows
from skdistill.neural import takes_soft_labels
from skdistill.students.soft_targets import Array, rows_of_params
from skdistill.students.training import match_threshold, train, untouched

_MOST_ROWS, _MOST_ROWS_OF_A_NETWORK = 500, 64
_ROWS_PER_CLASS = 10
_MOST_COLUMNS = 8  # that made-up labels depend on
_MOST_DEVIATIONS = 6.0  # of noise on a label
_NOTE = (
    "The student was tried on public rows, with made-up labels; no teacher was asked and nothing "
    "was charged."
)
_NOTE_OF_VALUES = (
    " Noise takes labels outside of output_range. A student that cannot learn from such labels "
    "can be wrapped: TransformedTargetRegressor(student, func=a function that clips, "
    "inverse_func=one that returns its argument, check_inverse=False)."
)


@np.errstate(all="ignore")  # as on private rows
def rehearse(
    student: Any,
    X: Any,
    classes: NDArray[Any] | None = None,
    *,
    rows: NDArray[np.intp] | None = None,
    threshold: Any = "prior",
    output_range: tuple[float, float] | None = None,
    noise_scale: float = 0.0,
    fit_params: dict[str, Any] | None = None,
) -> None:
    """Train a clone of the student on made-up labels, and find its threshold; errors pass.

    It is trained on some 500 rows, as it will be later, and predicts all. (A network is trained on
    64 rows and predicts these.) A student that raises is tried once more, on all `rows` and with
    other labels, since the small sample may be the cause; that exception is raised.

    Parameters
    ----------
    student : estimator or None
        Not fitted. None is the default student. One that charges an accountant is not tried.
    X : array-like of shape (m, d)
        Public rows.
    classes : ndarray of shape (n_classes,), default=None
        Class labels; None for a regression.
    rows : ndarray of int, default=None
        Rows of X that are labelled; None is all.
    threshold : {"prior"}, float or None, default="prior"
    output_range : tuple of (float, float), default=None
        Of a regression. Two made-up values lie outside, since noise takes labels there.
    noise_scale : float, default=0.0
        Standard deviation of the noise on a label.
    fit_params : dict, default=None
        For the student's ``fit``; those with one entry per row of X follow the rows.

    Returns
    -------
    None
        The student can learn from these rows, as far as the trial shows.

    Raises
    ------
    Exception
        The student's own, with a note. Everything it knows is public.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdistill.students import rehearse
    >>> X, _ = load_iris(return_X_y=True)
    >>> rehearse(LogisticRegression(max_iter=1000), X, classes=[0, 1, 2])
    >>> try:
    ...     rehearse(LogisticRegression(C=-1), X, classes=[0, 1, 2])
    ... except ValueError as error:
    ...     print(error)
    The 'C' parameter of LogisticRegression must be a float in the range (0.0, inf]. Got -1 instead.
    """
    if hasattr(student, "get_params") and not isinstance(student, type):
        names = (name.rpartition("__")[2] for name in student.get_params())
        if "accountant" in names:  # of the student, or of an estimator inside it
            return
    rows, is_network = np.arange(n_rows(X)) if rows is None else rows, takes_soft_labels(student)
    n_classes = 1 if classes is None else len(classes)
    most = _MOST_ROWS_OF_A_NETWORK if is_network else _MOST_ROWS
    size = min(len(rows), max(most, _ROWS_PER_CLASS * n_classes))
    some = np.linspace(0, len(rows) - 1, size).astype(np.intp)  # files are often sorted

    def attempt(chosen: NDArray[np.intp], seed: int) -> None:
        params = rows_of_params(fit_params or {}, chosen, n_rows(X))
        part, n = take_rows(X, chosen), len(chosen)
        ranks = _ranks(part, n, np.random.default_rng(seed))
        if classes is None:
            labels = _made_up_values(ranks, output_range or (0.0, 1.0), noise_scale)
        else:  # of every class as many rows
            labels = 0.2 / n_classes + 0.8 * np.eye(n_classes)[ranks * n_classes // n]
        known: dict[str, Any] = {"answered": np.ones(n, dtype=bool), "noise_scale": 0.0}
        known |= {"classes": classes, "output_range": output_range, "random_state": seed}
        fitted = train(student, part, np.arange(n), labels, fit_params=params, **known)
        _predict(fitted, part if is_network else untouched(student, X), threshold, classes)

    with _apart(is_network):
        if len(some) < len(rows):
            try:
                return attempt(rows[some], 0)
            except Exception:  # noqa: S110  # tried again, on all rows
                pass
        try:
            attempt(rows, 1)
        except Exception as error:
            error.add_note(_NOTE + (_NOTE_OF_VALUES if classes is None else ""))
            raise


def _predict(student: Any, X: Any, threshold: Any, classes: NDArray[Any] | None) -> None:
    """Ask a fitted student as a fit does that looks for its threshold."""
    if classes is None or threshold is None:
        student.predict(X)
    else:
        match_threshold(student, X, threshold, np.full(len(classes), 1 / len(classes)), classes)


@contextmanager
def _apart(is_network: bool) -> Iterator[None]:
    """Leave global generators as they are, show no warning, and let networks print nothing.

    joblib's tasks run one by one here, since threads would wait for the generators.
    """
    with ExitStack() as stack:
        stack.enter_context(parallel_config(backend="sequential"))
        stack.enter_context(own_randomness(0))
        stack.enter_context(silenced())
        if is_network:
            stack.enter_context(redirect_stdout(io.StringIO()))
        yield


def _made_up_values(
    ranks: NDArray[np.intp], output_range: tuple[float, float], noise_scale: float
) -> Array:
    """Return values inside a range, and one on either side of it.

    One is below zero where noise may take a label there: the limit of most picky students.
    """
    (low, high), n = output_range, len(ranks)
    beyond = 0.1 * (high - low)
    lowest = low - beyond
    if lowest >= 0 > low - _MOST_DEVIATIONS * noise_scale:
        lowest = -beyond
    values = low + (high - low) * (0.1 + 0.8 * ranks / n)
    values[ranks == 0], values[ranks == n - 1] = lowest, high + beyond
    return values


def _ranks(X: Any, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the rows' ranks by noise and a sum of first columns, each with half the last's weight.

    So steps that look for columns which matter find some. Of rows that are no table: noise alone.
    """
    total, weight, first = np.zeros(n), 1.0, 8 * _MOST_COLUMNS
    try:
        numbers = as_numbers(X.tocsr()[:, :first].toarray() if hasattr(X, "tocsr") else X)
    except (TypeError, ValueError):
        numbers = np.empty((n, 0))
    for values in numbers.T[:first]:
        with np.errstate(all="ignore"):
            values = np.where(np.isfinite(values), values, np.nanmedian(values))
            scaled = (values - values.mean()) / values.std()
        if np.isfinite(scaled).all():
            total, weight = total + weight * scaled, weight / 2
        if weight < 0.5**_MOST_COLUMNS:
            break
    return np.argsort(np.argsort(total + 0.5 * rng.normal(size=n)))
