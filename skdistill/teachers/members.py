"""Members of an ensemble: trained and asked behind the private boundary, each by itself."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from joblib import wrap_non_picklable_objects
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from skdistill._randomness import own_randomness
from skdistill._silenced import silenced
from skdistill._tables import Table, copy_rows, label_codes, n_rows, take_rows
from skdistill.neural import clone_network, fit_soft, fresh, takes_soft_labels
from skdistill.release.boundary import TeacherError, call_privately
from skdistill.release.quantization import to_simplex
from skdistill.teachers.linear_members import WIDEST, is_linear, numeric_rows
from skdistill.teachers.linear_votes import LinearVotes

Classes = NDArray[Any] | None

# Public rows that a rehearsal trains on: as many as a large shard has; and numbers which need none.
_MOST_REHEARSED, _MODERATE = 1000, 1e100
# Parts of the rows that a member which raised on all of them is asked for; where it raises on all
# eighths, no more.
_MOST_PARTS, _EIGHTHS = 64, 14


class ConstantVoter(BaseEstimator):
    """The stand-in for a member that has nothing to learn from, or could not learn.

    `vote` is its answer for every row: one class, the uniform distribution, or NaN ("no answer";
    the release puts the middle of the public output range in its place).
    """

    def __init__(self, vote: Any = np.nan):
        self.vote = vote

    def votes(self, n: int) -> NDArray[np.float64]:
        """Repeat the vote `n` times."""
        return np.repeat(np.asarray(self.vote, dtype=float)[None], n, axis=0)


def nothing(classes: Classes) -> ConstantVoter:
    """Return the voter that knows nothing: uniform, or NaN in a regression."""
    return ConstantVoter(np.nan if classes is None else np.full(len(classes), 1.0 / len(classes)))


def fit_member(
    member: Any, X: Any, y: NDArray[Any], classes: Classes, seed: int, away: bool = False
) -> Any:
    """Train `member` on one shard; after any exception, return a voter of uniform votes.

    Runs in the worker. No exception and no warning leaves it: both can quote a private cell. `y`
    holds indices of classes, or targets. With `away`, the member is packed for another process.
    """
    fitted = _fitted(member, X, y, classes, seed)
    return pack(fitted, classes) if away else fitted


def _fitted(member: Any, X: Any, y: NDArray[Any], classes: Classes, seed: int) -> Any:
    if not len(y):
        return nothing(classes)
    if classes is not None and (y == y[0]).all():
        return ConstantVoter(np.eye(len(classes))[y[0]])
    twin = clone_network(member) if _differ_from_codes(y, classes) else None
    for way, learner in ((_train, member), (_train_on_codes, twin)):
        with suppress(TeacherError):
            if learner is not None:
                return call_privately(partial(way, learner, X, y, classes), seed=seed)
    return nothing(classes)


class _OnCodes(BaseEstimator):
    """A member that learned the codes 0, ..., p-1 of the p classes in its shard."""

    def __init__(self, member: Any, labels: NDArray[Any]) -> None:
        self.member = member
        self.labels = labels

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels of the member's codes."""
        return np.asarray(self.labels[np.asarray(self.member.classes_, dtype=np.intp)])

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict labels."""
        member = self.member
        return np.asarray(self.labels[np.asarray(member.predict(X), dtype=np.intp)])

    @available_if(lambda self: hasattr(self.member, "predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Return the member's probabilities."""
        member = self.member
        return member.predict_proba(X)


def _differ_from_codes(y: NDArray[Any], classes: Classes) -> bool:
    """Whether the labels in a shard are others than 0, ..., p-1."""
    return classes is not None and [*classes[np.unique(y)]] != [*range(len(np.unique(y)))]


def _train_on_codes(member: Any, X: Any, y: NDArray[Any], classes: Classes) -> _OnCodes:
    """Train a member that refuses the labels themselves, as XGBoost refuses text and {1, 2}.

    Whether it does is a function of its own rows and of public labels.
    """
    assert classes is not None
    present, codes = np.unique(y, return_inverse=True)
    return _OnCodes(member.fit(X, codes), classes[present])


def _train(member: Any, X: Any, y: NDArray[Any], classes: Classes) -> Any:
    if classes is None:
        return member.fit(X, y)
    if takes_soft_labels(member):
        return fit_soft(member, X, np.eye(len(classes))[y], classes.copy(), y, {})
    return member.fit(X, classes[y])


class _UncheckedTree(BaseEstimator):
    """A fitted tree of scikit-learn, asked for rows that are known to be finite numbers.

    To check and convert them takes longer than the answer of a small tree.
    """

    def __init__(self, member: Any) -> None:
        self.member = member

    @property
    def classes_(self) -> Any:
        """The labels of the tree."""
        return self.member.classes_

    def predict(self, X: Any) -> Any:
        """Return the predictions of a regressor."""
        member = self.member
        return member.predict(X, check_input=False)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of a classifier."""
        member = self.member
        return member.predict_proba(X, check_input=False)


def unchecked_trees(estimator: Any, members: list[Any], table: Table) -> Any:
    """Return members that are trees of scikit-learn, and the rows that they make of numbers.

    None for other estimators, subclasses and rows, which is public: it depends on `estimator` and
    on the public rows in `table`.
    """
    from sklearn import tree  # not by every import of this package

    classifiers = tree.DecisionTreeClassifier, tree.ExtraTreeClassifier
    kinds = *classifiers, tree.DecisionTreeRegressor, tree.ExtraTreeRegressor
    if type(estimator) not in kinds or table.kind != "numbers" or len(table.shape) != 2:
        return None
    with np.errstate(all="ignore"):
        rows = table.values.astype(np.float32)
    if not np.isfinite(rows).all():
        return None
    trees = [_UncheckedTree(each) if type(each) in kinds else each for each in members]
    return trees, frozen(rows)


def votes_of(
    member: Any,
    X: Any,
    n: int,
    classes: Classes,
    seed: int,
    function: Callable[..., Any] | None = None,
) -> Any:
    """Return the votes of one member on all rows of `X`, passed through `function`.

    A member cannot change the rows for another: it gets a copy, or an array that nobody can write
    into (:func:`frozen`). If it raises on that, it is asked again, with a copy, and then for parts
    of the rows; where it raises it votes uniform, or NaN in a regression.
    """
    member = unpack(member, classes)
    if type(member) is ConstantVoter:  # isinstance would ask the member
        votes = member.votes(n)
    else:
        votes = _ask_privately(member, X, n, classes, seed)
    return votes if function is None else function(votes)


def votes_of_stack(
    members: list[Any],
    X: Any,
    n: int,
    classes: Classes,
    seeds: list[int],
    function: Callable[..., Any] | None = None,
    linear: LinearVotes | None = None,
) -> list[Any]:
    """Return the votes of several members, those that are None taken from `linear`.

    A function with a method ``stacked`` takes the votes of all at once, which it may overwrite, in
    an array of shape (n_classes, b, m) or (1, b, m), and there is one result. Rows of classes are
    probability vectors then (:func:`~skdistill.release.quantization.to_simplex`); a function whose
    attribute ``first`` is true takes only the votes for the first of two classes, (1, b, m).
    """
    if linear is None:
        pairs = zip(members, seeds, strict=True)
        return [votes_of(member, X, n, classes, seed, function) for member, seed in pairs]
    stacked = getattr(function, "stacked", None)
    votes = linear.votes(linear.n_classes == 2 and getattr(function, "first", False))
    sanitised = to_simplex if stacked is not None and classes is not None else None
    for i, (member, seed) in enumerate(zip(members, seeds, strict=True)):
        if member is not None:
            own = votes_of(member, X, n, classes, seed, sanitised)
            votes[:, i] = np.atleast_2d(own.T)[: len(votes)]
    if stacked is not None:
        return [stacked(votes)]
    each = [*votes[0]] if classes is None else [*votes.transpose(1, 2, 0)]
    return each if function is None else [*map(function, each)]


def _ask_privately(member: Any, X: Any, n: int, classes: Classes, seed: int) -> NDArray[np.float64]:
    """Ask a member for all rows: frozen ones, then a copy that it may write into, then parts."""
    for rows in (X, None) if is_frozen(X) else (None,):
        with suppress(TeacherError):
            own = copy_rows(X) if rows is None else rows
            return call_privately(partial(_ask, member, own, n, classes), seed=seed)
    return _ask_in_parts(member, X, n, classes, seed)


def _ask_in_parts(member: Any, X: Any, n: int, classes: Classes, seed: int) -> NDArray[np.float64]:
    """Ask a member that raised on all rows for halves, their halves and so on.

    A row that it cannot read, such as one with an unknown category, costs this row's vote alone.
    The parts are public, so its votes are still a function of its own state.
    """
    votes, answered = nothing(classes).votes(n), False
    parts = [] if n == 1 else [(0, n // 2), (n // 2, n)]
    for i, (first, end) in enumerate(islice(parts, _MOST_PARTS)):  # the list grows meanwhile
        if i == _EIGHTHS and not answered:
            break
        rows = take_rows(X, np.arange(first, end))
        try:
            ask = partial(_ask, member, rows, end - first, classes)
            votes[first:end], answered = call_privately(ask, seed=seed), True
        except TeacherError:
            middle = (first + end) // 2
            parts += [(first, middle), (middle, end)] if end - first > 1 else []
    return votes


@np.errstate(all="ignore")  # as on private rows
def rehearse(estimator: Any, table: Table, classes: Classes) -> None:
    """Train a clone of a member on public rows with made-up labels, and ask it for all of them.

    No private row and no fitted member takes part, so every exception of it is public. A linear
    member, whose settings are known to be valid, raises on no numbers of moderate size.
    """
    numbers = numeric_rows(table) if is_linear(estimator, classes) else None
    if numbers is not None and numbers.shape[1] <= WIDEST and np.abs(numbers).max() < _MODERATE:
        return  # members of so few columns are fitted together, not by their own fit
    X, n, k = table.take(), table.n_rows, 2 if classes is None else len(classes)
    rows = np.arange(max(min(n, _MOST_REHEARSED), 10 * k)) % n
    made_up = np.arange(len(rows)) % k
    member = fresh(estimator, 0)
    with own_randomness(0), silenced():
        y = made_up if classes is not None else 1.0 + made_up
        try:
            _rehearse(member, X, rows, y, classes)
        except Exception as error:
            raise ValueError(
                f"A member of the ensemble, {type(estimator).__name__}, cannot learn from rows "
                f"such as the transfer set's, or not answer for them: {error} (A clone of it was "
                "tried on these public rows, with made-up labels; nothing was charged.)"
                + _hint(member)
            ) from error


def _hint(member: Any) -> str:
    """Say how categories are told to gradient boosting, which looks at dtypes by default."""
    settings = member.get_params().values() if hasattr(member, "get_params") else ()
    if not any(isinstance(each, str) and each == "from_dtype" for each in settings):
        return ""
    return ' Members see no categorical dtype: name the columns, categorical_features=["town"].'


def _rehearse(
    member: Any, X: Any, rows: NDArray[np.intp], y: NDArray[Any], classes: Classes
) -> None:
    """Train on labels, or else on codes; the exception is that of the labels."""
    ways = [_train, _train_on_codes] if _differ_from_codes(y, classes) else [_train]
    errors: list[Exception] = []
    for way in ways:
        try:
            fitted = way(clone_network(member), take_rows(copy_rows(X), rows), y, classes)
            _ask(fitted, copy_rows(X), n_rows(X), classes)
            return
        except Exception as error:
            errors.append(error)
    raise errors[0]


def frozen(X: Any) -> Any:
    """Return a copy of an array of numbers that nobody can write into; anything else as it is."""
    if type(X) is not np.ndarray or X.dtype.hasobject:
        return X
    return np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape)


def is_frozen(X: Any) -> bool:
    """Whether `X` is an array over immutable bytes, whose flag of writing cannot be set back."""
    memory = X if type(X) is np.ndarray else None
    while isinstance(memory, np.ndarray):
        memory = memory.base
    return isinstance(memory, bytes)


def _ask(member: Any, X: Any, n: int, classes: Classes) -> NDArray[np.float64]:
    """Predictions of a fitted member, its columns put where `classes` has its labels."""
    if classes is None:
        return np.asarray(member.predict(X), dtype=float).reshape(n)
    votes = np.zeros((n, len(classes)))
    if hasattr(member, "predict_proba"):
        columns = label_codes(member.classes_, classes)
        known, rows = columns >= 0, np.asarray(member.predict_proba(X), dtype=float)
        if rows.shape == votes.shape and (columns == np.arange(len(classes))).all():
            return rows.copy()
        votes[:, columns[known]] = rows[:, known]
    else:
        answers = label_codes(np.asarray(member.predict(X)).reshape(n), classes)
        votes[np.flatnonzero(answers >= 0), answers[answers >= 0]] = 1.0
    return votes


# Between processes. Its private state decides whether a member can be pickled, and the error of one
# that cannot would come out of joblib. So members travel as bytes.


def pack(member: Any, classes: Classes) -> bytes:
    """Pickle a fitted member; one that cannot be pickled becomes the voter that knows nothing."""
    with suppress(TeacherError):
        packed: bytes = call_privately(
            lambda: pickle.dumps(wrap_non_picklable_objects(member, keep_wrapper=False))
        )
        return packed
    return pickle.dumps(nothing(classes))


def unpack(member: Any, classes: Classes) -> Any:
    """Undo :func:`pack`; return anything else as it is."""
    if type(member) is not bytes:
        return member
    try:
        return call_privately(lambda: pickle.loads(member))
    except TeacherError:
        return nothing(classes)
