"""Teachers on disjoint shards: a bound for every kind of model."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import chain, islice
from numbers import Integral
from typing import Any

import joblib
import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_classifier
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._callbacks import CallbackSupportMixin, with_callbacks
from skdistill._cells import as_floats
from skdistill._doc_links import PrivateDiagram
from skdistill._numbers import check_jobs
from skdistill._randomness import put_back_once
from skdistill._scores import ScoreMixin
from skdistill._silenced import silenced, warn_caller
from skdistill._tables import check_label_types, layout_of, own_copy, read_table
from skdistill.neural import fresh_members
from skdistill.release.boundary import call_privately
from skdistill.teachers.fitted import (
    TeacherReport,
    read_arguments,
    read_classes,
    report_of,
    set_fitted,
)
from skdistill.teachers.linear_members import fit_together
from skdistill.teachers.linear_votes import linear_votes
from skdistill.teachers.members import (
    fit_member,
    frozen,
    pack,
    rehearse,
    unchecked_trees,
    unpack,
    votes_of_stack,
)
from skdistill.teachers.shards import default_n_teachers, shards_of_groups, shards_of_records


def _on_simplex(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows on the simplex: normalised, or uniform where that is impossible."""
    with np.errstate(all="ignore"):
        votes = np.maximum(votes, 0)
        rows = votes / votes.sum(axis=1, keepdims=True)
    bad = ~np.isfinite(rows).all(axis=1) | ~np.isclose(rows.sum(axis=1), 1)
    rows[bad] = 1.0 / votes.shape[1]
    return np.asarray(rows)


def _parallel(n_jobs: int | None, verbose: int, return_as: str) -> tuple[Any, Any, bool]:
    """Return joblib's `Parallel`, a `delayed` for it, and whether jobs leave this thread.

    Other threads and processes are given scikit-learn's configuration. Its own `delayed` does so,
    too, but sets the filters of warnings, which threads share, while other members are asked.
    """
    settings: dict[str, Any] = {"n_jobs": n_jobs, "verbose": verbose, "return_as": return_as}
    try:
        parallel = joblib.Parallel(**settings)
    except ValueError:  # pools of multiprocessing, say, hand over all results at the end
        parallel = joblib.Parallel(**settings | {"return_as": "list"})
    if parallel.n_jobs != 1:
        here = partial(_configured, sklearn.get_config())
        return parallel, lambda job: joblib.delayed(partial(here, job)), True
    settings |= {"n_jobs": 1, "backend": "sequential"}
    return joblib.Parallel(**settings), joblib.delayed, False


def _configured(config: dict[str, Any], job: Callable[..., Any], *data: Any) -> Any:
    with sklearn.config_context(**config), silenced():
        return job(*data)


def _quietly(
    parallel: Callable[[list[Any]], Iterable[Any]], tasks: list[Any], away: bool
) -> list[Any]:
    """Run `tasks` without warnings, and with one state of the generators put back after all."""
    with nullcontext() if away else put_back_once(), silenced():
        return list(parallel(tasks))


def _in_order(
    members: list[Any], solved: NDArray[np.bool_], trained: Iterable[Any]
) -> Iterator[Any]:
    """Yield the members that are solved, and for each of the others the next of `trained`."""
    others = iter(trained)
    for member, known in zip(members, solved.tolist(), strict=True):
        yield member if known else next(others)
    yield from others  # none; a generator of joblib wants to be told that it is at its end


def _is_classification(ensemble: TeacherEnsemble) -> bool:
    return bool(is_classifier(ensemble.estimator))


class TeacherEnsemble(
    PrivateDiagram, ScoreMixin, CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator
):
    """Teachers trained on disjoint shards of private data; their average is the answer.

    One record reaches one of k teachers, so it moves the average by at most 1/k of the diameter of
    one vote (PATE [1]_). That is the certificate of this ensemble, for every kind of `estimator`
    whose members are functions of their own rows (see Notes).

    Parameters
    ----------
    estimator : estimator
        Classifier or regressor, cloned for each shard. A classifier without `predict_proba`
        votes for one class.
    n_teachers : int or "auto", default="auto"
        Number of shards. "auto" takes a public rule: see
        :func:`~skdistill.teachers.shards.default_n_teachers`.
    classes : array-like of shape (n_classes,), default=None
        All labels that may occur; public. Records with another label are left out. None takes the
        labels found in `y`, and the statement then assumes that "the set of labels is public".
    n_jobs : int, default=None
        Number of jobs of joblib, whichever backend is active.
    random_state : int, RandomState instance or None, default=None
        Public. Draws the shards and one seed for each member, from which the global generators of
        Python, NumPy, PyTorch and Keras start whenever the member is trained or asked; seeds every
        parameter called `random_state` of `estimator` that is None.
    verbose : int, default=0
        Verbosity of joblib.

    Attributes
    ----------
    estimators_ : list of length n_teachers_
        One fitted clone for each shard, in the order of the shards; a `ConstantVoter` where a
        shard is empty, has one class or made training fail. **Private**, as is how many failed.
    classes_, classes_given_ : ndarray of shape (n_classes,), bool
        Sorted labels, and whether `classes` was given. Classification only.
    class_count_ : ndarray of shape (n_classes,)
        Records of each class; with groups, see ``label_counts``. **Private**. Classification only.
    n_left_out_ : int
        Rows with a label outside `classes`, or a target that is no finite number. **Private**.
    n_teachers_, n_units_ : int
        Number of shards, and of records or groups.
    seeds_ : ndarray of shape (n_teachers_,)
        Seed of each member. Public if `random_state` is.
    group_level_ : bool
        Whether `groups` were given: the unit of privacy is then a group.
    fit_id_ : str
        Random, drawn anew by every fit: a ledger tells by it that a refitted teacher is another.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of features, and their names where `X` has them.

    See Also
    --------
    skdistill.PrivateDistiller : Releases this teacher's labels with privacy.

    Notes
    -----
    Shards are drawn by row position, never by content: record i is replaced, all others stay where
    they are. If rows are sorted or filtered by their content before `fit`, one record may move
    many. With `groups`, see ``shards_of_groups`` in `teachers/shards.py`.

    **A member is a function of its own rows, of public rows and of a public seed.** No other shard
    touches the cells and dtypes of its rows, and it cannot change the public rows for others. The
    generators named under `random_state` start from its seed. NumPy's error state, scikit-learn's
    configuration, filters of warnings, environment variables and context variables are put back
    after it. State that the code of `estimator` keeps elsewhere cannot be undone: attributes of
    modules and classes, options of libraries such as pandas, the working directory, a generator of
    its own or a frozen part that members share, files, a killed process. An estimator that learns
    through such a channel is not covered.

    Members see canonical rows, in `fit` and when they vote: numbers, booleans and missing values
    of one column are float64 with NaN; a column of dates is ``datetime64[ns]``; every other column
    holds objects: floats, texts and NaN. Other dtypes are not kept, since one record can change
    them. A data frame stays one, with its names; rows in a list become an array; arrays of float32
    stay so, sparse matrices become CSR of float64. The kind of the container, its names and number
    of columns and a NumPy array's dtype are public. (So do not make an array of text out of numbers
    and one text: hand in the list.)

    Nothing about a record decides whether `fit` raises: a shard on which training fails votes
    "uniform" (classification) or not at all (regression: NaN, for which a release puts the middle
    of the output range). Records with a label outside `classes`, or with a target that is no finite
    number, are left out. The one exception is a set of labels that is no classification target,
    where `classes` is None. A classifier that raises for the labels themselves (XGBoost takes 0,
    ..., k-1 alone) is trained again, on codes.

    Threads train one member after another, because of the global generators; use processes (the
    default of joblib) to train several at once. There is no time limit for a member: a record that
    slows its own member could push *others* over it.

    Members of the exact classes LogisticRegression (L2 penalty, a solver that converges to the
    optimum, ``max_iter`` of 100 or more), Ridge and GaussianNB are fitted together, in this
    process, on numbers (:mod:`skdistill.teachers.linear_members`). One that does not reach the
    optimum in 200 steps gets its own `fit`, as all members of other kinds do.

    From scikit-learn 1.9 on, ``set_callbacks(ProgressBar())`` shows `fit` with one step for each
    member. Callbacks are told the number of the step and no data. (The ensemble, which they are
    handed, is private as a whole.)

    `predict`, `predict_proba` and `score` are *not* private. A release takes :meth:`member_votes`,
    brings every member's votes into the public range one by one, and adds up integers.

    References
    ----------
    .. [1] Papernot, Abadi, Erlingsson, Goodfellow, Talwar. "Semi-supervised knowledge transfer
       for deep learning from private training data". ICLR 2017, arXiv 1610.05755.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = make_classification(1000, random_state=0)
    >>> ensemble = TeacherEnsemble(DecisionTreeClassifier(max_depth=3), random_state=0).fit(X, y)
    >>> ensemble.n_teachers_
    12
    >>> ensemble.predict_proba(X[:2]).shape
    (2, 2)
    """

    def __init__(
        self,
        estimator: Any,
        n_teachers: int | str = "auto",
        *,
        classes: ArrayLike | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.n_teachers = n_teachers
        self.classes = classes
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> TeacherEnsemble:
        """Train one clone of `estimator` on each shard.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n, d)
            Private features. Members see them as canonical rows (see Notes).
        y : array-like of shape (n,)
            Private labels or targets.
        groups : array-like of shape (n,), default=None
            Label of the group (a person, say) of each row, which is then the unit of privacy.

        Returns
        -------
        self : TeacherEnsemble
            Fitted.

        Raises
        ------
        ValueError
            For public reasons alone: shapes, dtypes, lengths, parameters.
        """
        table, cells, names, columns = read_arguments(self, X, y, groups)
        state = dict(columns)
        targets: NDArray[Any]
        if _is_classification(self):
            targets, classes = read_classes(self, y, cells, names)
            known, state = targets >= 0, state | classes
        else:
            check_label_types(y)
            targets = as_floats(y if isinstance(y, np.ndarray) and y.ndim == 1 else cells)
            known = np.isfinite(targets)
        random_state = check_random_state(self.random_state)
        check_jobs(self.n_jobs, self.verbose)
        n_units = table.n_rows if names is None else len(set(names))
        k = self.count_teachers(n_units, len(state.get("classes_", [0])))
        if names is None:
            shards = shards_of_records(table.n_rows, k, random_state)
        else:
            shards = shards_of_groups(names, k, random_state.bytes(32))
        if n_units > 1 and (k > n_units if names is not None else 2 * k > n_units):
            warn_caller(
                f"{k} teachers for {n_units} records (or groups): many shards hold one or none, "
                'and a model learns nothing from that. n_teachers="auto" keeps forty of each class.'
            )
        members = fresh_members(self.estimator, k, random_state)
        seeds = random_state.randint(np.iinfo(np.int32).max, size=k)
        lengths = list(map(len, shards))
        if not known.all():
            shards = [shard[known[shard]] for shard in shards]
        state |= {"n_teachers_": k, "n_units_": n_units, "group_level_": names is not None}
        state |= {"seeds_": seeds, "n_left_out_": int(np.count_nonzero(~known))}
        state["fit_id_"] = uuid.uuid4().hex
        given, labels = (table, targets, shards), state.get("classes_")
        solved = call_privately(lambda: fit_together(members, *given, lengths, labels, columns))
        state["estimators_"] = self._fit_members(members, solved, given, seeds, labels)
        set_fitted(self, state, X)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the highest average vote, or the average answer. Not private.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)
            Rows, with the columns of the private ones.

        Returns
        -------
        y : ndarray of shape (m,)
            Members without an answer (NaN) are left out of the average of a regression; 0 where
            no member has one.
        """
        check_is_fitted(self)
        if _is_classification(self):
            classes: NDArray[Any] = self.classes_
            return np.asarray(classes[self.predict_proba(X).argmax(axis=1)])
        total = answers = np.zeros(1)
        for votes in self.member_votes(X):
            total = total + np.where(np.isfinite(votes), votes, 0.0)
            answers = answers + np.isfinite(votes)
        return np.asarray(total / np.maximum(answers, 1))

    @available_if(_is_classification)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Average of the members' votes, each normalised first. Not private.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)
            Rows, with the columns of the private ones.

        Returns
        -------
        p : ndarray of shape (m, n_classes)
            Columns in the order of `classes_`.
        """
        total: NDArray[np.float64] = sum(self.member_votes(X, _on_simplex))
        return total / len(self.estimators_)

    def member_votes(
        self, X: Any, function: Callable[[NDArray[np.float64]], Any] | None = None
    ) -> Iterator[Any]:
        """Iterate over the members' raw votes on `X`, one member at a time.

        At most 64 MB of votes (or one vote per job, if that is more) wait to be taken.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)
            Public rows.
        function : callable, optional
            Applied to each member's votes in the worker, so that only its results travel. It must
            not raise, whatever the votes are, and must be picklable for backends of processes.
            Where it has a method ``stacked``, that may be handed the votes of several linear
            members in one array of shape (n_classes, b, m) or (1, b, m), with votes for classes on
            the simplex; its result stands for all of them.

        Yields
        ------
        votes : ndarray of shape (m, n_classes) or (m,), or the result of `function`
            In the order of `estimators_`. Raw: to bring NaN, infinite, negative or all-zero votes
            into range is the caller's duty, member by member. A member that raises votes uniform,
            or NaN in a regression.
        """
        check_is_fitted(self)
        table = read_table(X, getattr(self, "n_features_in_", None))
        validate_data(self, layout_of(X), reset=False, skip_check_array=True)
        n, classes = table.n_rows, getattr(self, "classes_", None)
        parallel, later, away = _parallel(self.n_jobs, self.verbose, "list")
        members, seeds = self.estimators_, self.seeds_.tolist()
        linear = linear_votes(self.estimator, members, table, classes)
        rows = None if linear and linear.usable.all() else frozen(table.take())  # nobody asks
        members, rows = unchecked_trees(self.estimator, members, table) or (members, rows)
        parts = [slice(i, i + 1) for i in range(len(members))] if linear is None else linear.parts()

        def task(part: slice) -> Any:
            asked = [
                None if linear and linear.usable[i] else pack(each, classes) if away else each
                for i, each in enumerate(members[part], part.start)
            ]
            stack = linear and linear.take(part)
            return later(votes_of_stack)(asked, rows, n, classes, seeds[part], function, stack)

        tasks = map(task, parts)
        size = 8 * n * (1 if classes is None else len(classes)) * (parts[0].stop - parts[0].start)
        while batch := list(islice(tasks, max(parallel.n_jobs, (64 << 20) // size, 1))):
            yield from chain.from_iterable(_quietly(parallel, batch, away))

    def report(self) -> TeacherReport:
        """Report on members and records: failed trainings, and how well the votes fit the labels.

        Returns
        -------
        report : TeacherReport
            **Private**: counts of the private rows, for their owner alone.
        """
        check_is_fitted(self)
        classes, counts = getattr(self, "classes_", None), getattr(self, "class_count_", None)
        return report_of(self.estimators_, classes, counts, self.n_left_out_)

    def rehearse(self, X: Any, transformer: Any = None) -> None:
        """Try on public rows whether a member could be trained at all; fitted ones are not asked.

        A clone of `estimator` is trained on at most 1,000 of the rows with made-up labels, and
        predicts all. A misspelt column, say, is then an error, and no ensemble of uniform votes. A
        member that is fitted together with others (see Notes) is not tried on finite numbers, which
        it cannot refuse.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)
            Public rows.
        transformer : transformer, default=None
            A fitted public map that turns `X` into the rows that members take.

        Raises
        ------
        ValueError
            With the text of the exception of the clone, which is public.
        """
        check_is_fitted(self)
        if transformer is not None:
            X = transformer.transform(own_copy(X))
        table = read_table(X, getattr(self, "n_features_in_", None))
        rehearse(self.estimator, table, getattr(self, "classes_", None))

    def __sklearn_tags__(self) -> Any:
        tags, member = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags"):
            setattr(tags, name, getattr(member, name))
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def count_teachers(self, n_units: int, n_classes: int) -> int:
        """Return the number of shards, from public numbers; raise where the setting is none.

        Parameters
        ----------
        n_units : int
            Number of records, or of groups.
        n_classes : int
            Number of classes; 1 for a regression.

        Returns
        -------
        n_teachers : int
            For a `fit` with as many records.
        """
        if isinstance(self.n_teachers, str) and self.n_teachers == "auto":
            return default_n_teachers(n_units, n_classes)
        if not isinstance(self.n_teachers, Integral) or self.n_teachers < 1:
            raise ValueError(
                f"n_teachers={self.n_teachers!r} must be a whole number of at least 1, or 'auto'."
            )
        if self.n_teachers > max(10 * n_units, 1000):  # memory may not suffice, after a charge
            raise ValueError(f"n_teachers={self.n_teachers!r} is too many for {n_units} records.")
        return int(self.n_teachers)

    def _fit_members(
        self, members: list[Any], solved: NDArray[np.bool_], given: Any, seeds: Any, classes: Any
    ) -> list[Any]:
        """Train the members not yet solved, each on its own shard and on nothing else."""
        table, targets, shards = given
        parallel, later, away = _parallel(self.n_jobs, self.verbose, "generator")
        tasks = [
            later(fit_member)(
                members[i], table.take(shards[i]), targets[shards[i]], classes, int(seeds[i]), away
            )
            for i in np.flatnonzero(~solved)
        ]
        found = _quietly(partial(self._report, members, solved, parallel), tasks, away)
        return [unpack(member, classes) for member in found]

    def _report(
        self, members: list[Any], solved: NDArray[np.bool_], parallel: Any, tasks: list[Any]
    ) -> Iterator[Any]:
        """Run `tasks` and yield all members in order; tell the callbacks of each that it is there.

        The calls do not depend on the members' results: a callback that asks to stop is not heeded.
        """
        if not getattr(self, "_skl_callbacks", ()):
            yield from _in_order(members, solved, parallel(tasks))
            return
        progress = self._init_callback_context(max_subtasks=len(members))
        progress.call_on_fit_task_begin(estimator=self)
        contexts = (progress.subcontext(task_name="fit-member") for _ in members)
        steps = (each.call_on_fit_task_begin(estimator=self) for each in contexts)
        for step, member in zip(steps, _in_order(members, solved, parallel(tasks)), strict=True):
            step.call_on_fit_task_end(estimator=self)
            yield member
        progress.call_on_fit_task_end(estimator=self)
