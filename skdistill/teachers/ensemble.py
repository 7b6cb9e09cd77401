"""Teachers on disjoint shards: a bound for every kind of model."""

from __future__ import annotations

import hashlib
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._callbacks import CallbackSupportMixin, with_callbacks
from skdistill.neural import adapted, clone_network, fit_soft, takes_soft_labels

ROWS_PER_CLASS = 40
MOST_TEACHERS = 1000


def default_n_teachers(n: int, n_classes: int = 1) -> int:
    """Choose the number of teachers for `n` records (or groups) from public numbers alone.

    ``n // (40 * n_classes)``, at least 1 and at most 1,000: forty records of each class in an
    average shard. More teachers make every vote less sensitive, and there is little to lose until
    shards become too small to learn from; averaging repairs the variance of small shards, not
    their bias.

    Parameters
    ----------
    n : int
        Number of records, or of groups where groups are protected.
    n_classes : int, default=1
        Number of classes; 1 for regression.

    Returns
    -------
    n_teachers : int

    Examples
    --------
    >>> default_n_teachers(32_561, 2)  # Adult
    407
    >>> default_n_teachers(60_000, 10)  # MNIST
    150
    """
    return int(np.clip(n // (ROWS_PER_CLASS * n_classes), 1, MOST_TEACHERS))


def shards_of_records(
    n: int, n_shards: int, random_state: np.random.RandomState
) -> list[NDArray[np.intp]]:
    """Split the indices 0, ..., n - 1 at random into disjoint shards of (nearly) equal size.

    *Replacing one record changes one shard.* The arguments are public (n is, under replace-one),
    so the shards are the same for both data sets; they are disjoint, so index i lies in exactly
    one of them; all the others hold the same records in the same order. (The sharding lemma of
    PATE, Papernot et al., ICLR 2017, arXiv 1610.05755, section 2.1.)

    Parameters
    ----------
    n : int
        Number of records.
    n_shards : int
        Number of shards; those beyond `n` are empty.
    random_state : RandomState
        Public.

    Returns
    -------
    shards : list of ndarray
        `n_shards` arrays of indices, sizes differing by at most one.
    """
    return np.array_split(random_state.permutation(n), n_shards)


def shards_of_groups(groups: Sequence[Any], n_shards: int, key: bytes) -> list[NDArray[np.intp]]:
    """Give every group to the shard that a keyed hash of its own label names.

    *Replacing one group's records changes one shard.* The shard of a row is a function of its own
    label and the public key, of nothing else. So whatever a group is replaced by, and however
    many rows come or go, the rows of all other labels keep their shards and, within them, their
    order: only the shard of the replaced label differs. Ranks of labels (``np.unique``, order of
    appearance) do not have this property: a new label moves everybody behind it.

    The set of labels is to a group-level release what n is to a record-level one: public. Where
    the newcomer brings another label, two shards differ (the one it left, the one it entered).

    The price: shards hold Binomial(G, 1/n_shards) of the G groups instead of equal shares, so
    with fewer than about five groups a shard some are empty.

    Parameters
    ----------
    groups : sequence of length n
        Label of each row's group: numbers or strings.
    n_shards : int
        Number of shards.
    key : bytes
        At most 64 bytes; public.

    Returns
    -------
    shards : list of ndarray
        `n_shards` arrays of indices.
    """
    shard_of: dict[str, int] = {}
    for name in groups:
        if name not in shard_of:
            digest = hashlib.blake2b(name.encode("utf-8", "replace"), key=key, digest_size=16)
            shard_of[name] = int.from_bytes(digest.digest()) % n_shards
    shard = np.fromiter((shard_of[name] for name in groups), np.intp, len(groups))
    order = np.argsort(shard, kind="stable")
    return np.split(order, np.searchsorted(shard[order], np.arange(1, n_shards)))


def label_counts(
    codes: NDArray[np.intp], n_classes: int, groups: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Count the records of each class; where groups are protected, the groups.

    Replace-one moves two counts by one, or fewer: the L2 sensitivity is √2. A group counts once,
    for its most frequent class (the first of equals), so that the same holds at group level.

    Parameters
    ----------
    codes : ndarray of shape (n,)
        Class index of each record; -1 counts nowhere.
    n_classes : int
        Number of classes.
    groups : sequence of str, optional
        Name of each record's group.

    Returns
    -------
    counts : ndarray of shape (n_classes,)
    """
    if groups is not None:
        votes: dict[str, Counter[int]] = {}
        for name, code in zip(groups, codes.tolist(), strict=True):
            if code >= 0:
                votes.setdefault(name, Counter())[code] += 1
        codes = np.array(
            [min(v, key=lambda code: (-v[code], code)) for v in votes.values()], dtype=np.intp
        )
    return np.bincount(codes[codes >= 0], minlength=n_classes).astype(np.int64)


def _group_names(groups: Any) -> list[str]:
    """Canonical name of each group label, whatever the labels beside it made of its type."""
    labels = np.asarray(groups, dtype=object)
    if labels.ndim != 1:
        raise ValueError("groups must be one-dimensional: one label for each row.")
    return [_name(label) for label in labels.tolist()]


def _name(label: Any) -> str:
    """Text of a label; 7, 7.0 and "7" are the same group."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return str(label)


def _codes(y: Any, classes: NDArray[Any]) -> NDArray[np.intp]:
    """Index of each label in `classes`, -1 for labels outside; never raises."""
    index = {label: code for code, label in enumerate(classes.tolist())}

    def code(label: Any) -> int:
        try:
            return index.get(label, -1)
        except TypeError:  # unhashable, so no class
            return -1

    labels = np.asarray(y).tolist()
    return np.fromiter((code(label) for label in labels), np.intp, len(labels))


def _container(X: Any) -> Any:
    """`X` in a container whose rows can be taken; raises for shapes no member could take."""
    if issparse(X):
        X = X.tocsr()
    elif not (hasattr(X, "iloc") or hasattr(X, "shape") or isinstance(X, list)):
        X = np.asarray(X)
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "fiub" and X.ndim < 2:
            raise ValueError(
                f"Expected 2D array, got {X.ndim}D array instead. Reshape your data using "
                "X.reshape(-1, 1) if it has a single feature."
            )
        if X.ndim == 2 and not X.shape[1]:
            raise ValueError(f"0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
        if X.dtype.kind == "c":
            raise ValueError("Complex data not supported.")
    return X


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Rows of an array, a sparse matrix, a data frame or a list, in the container they came in."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "shape"):
        return X[rows]
    return [X[row] for row in rows]


def _uniform(n: int, n_classes: int) -> NDArray[np.float64]:
    return np.full((n, n_classes), 1.0 / n_classes)


def _on_simplex(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows on the simplex: normalised, or uniform where that is impossible."""
    with np.errstate(all="ignore"):
        votes = np.maximum(votes, 0)
        total = votes.sum(axis=1, keepdims=True)
        rows = votes / total
    bad = ~np.isfinite(rows).all(axis=1) | ~np.isclose(rows.sum(axis=1), 1)
    rows[bad] = 1.0 / votes.shape[1]
    return np.asarray(rows)


class ConstantVoter(BaseEstimator):
    """What stands in for a member that has nothing to learn from, or could not learn.

    Parameters
    ----------
    vote : ndarray of shape (n_classes,) or float
        The same answer for every row: one class, the uniform distribution, or NaN ("no answer";
        the release puts the middle of the public output range in its place).
    """

    def __init__(self, vote: Any = np.nan):
        self.vote = vote

    def votes(self, n: int) -> NDArray[np.float64]:
        """Repeat the vote `n` times."""
        return np.repeat(np.asarray(self.vote, dtype=float)[None], n, axis=0)


def _fit_member(
    member: Any, X: Any, codes: NDArray[np.intp] | None, y: Any, classes: NDArray[Any] | None
) -> Any:
    """Train `member` on one shard; any failure gives the constant that knows nothing.

    Runs in the worker. No exception and no warning leaves it: both can quote a private cell.
    """
    nothing = ConstantVoter(np.nan if classes is None else _uniform(1, len(classes))[0])
    if not len(y):
        return nothing
    if codes is not None and classes is not None and (codes == codes[0]).all():
        return ConstantVoter(np.eye(len(classes))[codes[0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if codes is not None and classes is not None and takes_soft_labels(member):
                return fit_soft(member, X, np.eye(len(classes))[codes], classes, codes, {})
            return member.fit(X, y)
        except Exception:
            return nothing


def _member_votes(
    member: Any, X: Any, n: int, classes: NDArray[Any] | None, function: Callable[..., Any] | None
) -> Any:
    """Votes of one member on all rows of `X`, passed through `function`; see `member_votes`."""
    if isinstance(member, ConstantVoter):
        votes = member.votes(n)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                votes = _ask(member, X, n, classes)
            except Exception:
                votes = np.full(n, np.nan) if classes is None else _uniform(n, len(classes))
    return votes if function is None else function(votes)


def _ask(member: Any, X: Any, n: int, classes: NDArray[Any] | None) -> NDArray[np.float64]:
    """Predictions of a fitted member, its columns put where `classes` has its labels."""
    if classes is None:
        return np.asarray(member.predict(X), dtype=float).reshape(n)
    votes = np.zeros((n, len(classes)))
    if hasattr(member, "predict_proba"):
        columns = _codes(member.classes_, classes)
        known = columns >= 0
        votes[:, columns[known]] = np.asarray(member.predict_proba(X), dtype=float)[:, known]
    else:
        answers = _codes(np.asarray(member.predict(X)).reshape(n), classes)
        votes[np.flatnonzero(answers >= 0), answers[answers >= 0]] = 1.0
    return votes


def _streaming(**settings: Any) -> Parallel:
    """Build a `Parallel` that hands over results one by one, in order, where the backend can.

    Pools of multiprocessing, for instance, cannot; they hand over all results at the end.
    """
    try:
        return Parallel(return_as="generator", **settings)
    except ValueError:
        return Parallel(**settings)


def _quietly(parallel: Callable[[list[Any]], Iterable[Any]], tasks: list[Any]) -> list[Any]:
    """Run `tasks` with warnings off here too: threads share the filters of the main one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(parallel(tasks))


def _is_classification(ensemble: TeacherEnsemble) -> bool:
    return bool(is_classifier(ensemble.estimator))


class TeacherEnsemble(CallbackSupportMixin, MetaEstimatorMixin, BaseEstimator):
    """Teachers trained on disjoint shards of private data; their average is the answer.

    One record sits in one shard and so reaches one of k teachers: whatever the teachers are, it
    moves the average by at most 1/k of what one vote can move (PATE [1]_). That is the
    certificate of this ensemble; nothing need be known about `estimator`.

    Parameters
    ----------
    estimator : estimator
        Classifier or regressor, cloned for each shard. A classifier without `predict_proba`
        votes for one class.
    n_teachers : int or "auto", default="auto"
        Number of shards. "auto" takes a public rule: see :func:`default_n_teachers`.
    classes : array-like of shape (n_classes,), default=None
        All labels that may occur. Public: give it where which labels occur is itself private;
        records with another label are left out. None takes the labels found in `y`, and the
        privacy statement then lists "the set of labels is public" under "assumes".
    n_jobs : int, default=None
        Number of jobs of joblib, whichever backend is active (loky, threading, Dask, ...).
    random_state : int, RandomState instance or None, default=None
        Public. Draws the shards, and seeds every parameter called `random_state` of `estimator`
        that is None.
    verbose : int, default=0
        Verbosity of joblib, in `fit` and when the members vote.

    Attributes
    ----------
    estimators_ : list of length n_teachers_
        One fitted clone for each shard, in the order of the shards; a `ConstantVoter` where a
        shard is empty, has one class or made training fail. **Private**, as is how many failed.
    classes_ : ndarray of shape (n_classes,)
        Sorted labels. Classification only.
    classes_given_ : bool
        Whether `classes` was given. Classification only.
    class_count_ : ndarray of shape (n_classes,)
        Records of each class, as integers; with groups, see :func:`label_counts`. **Private**.
        Classification only.
    n_teachers_ : int
        Number of shards.
    group_level_ : bool
        Whether `groups` were given: the unit of privacy is then a group.
    fit_id_ : str
        Drawn anew by every fit, at random: a ledger tells by it that a refitted teacher is another.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, where `X` has them.

    See Also
    --------
    skdistill.PrivateDistiller : Releases what this teacher knows, with privacy.

    Notes
    -----
    Shards are drawn by row position, never by content. The relation is therefore "record i is
    replaced, all others stay where they are"; sort or filter the rows by their content before
    `fit`, and one record may move many. With `groups`, see :func:`shards_of_groups`.

    Nothing about a record decides whether `fit` raises (rule of totality): a shard on which
    training fails, for instance on a missing value, votes "uniform" (classification) or not at
    all (regression: NaN, which the release replaces by the middle of the output range). The one
    exception is a set of labels that is no classification target, where `classes` is None.

    From scikit-learn 1.9 on, ``set_callbacks(ProgressBar())`` shows `fit` with one step for each
    member; below, and for the members' votes, there is `verbose`. Callbacks run in the process
    that called `fit` and are told the number of the step and no data; they are not passed on to
    the members, so which of them failed does not show. (The ensemble, which every callback is
    handed, is private as a whole.)

    A member that never finishes keeps `fit` from returning. There is no time limit on purpose: all
    members share a machine, so a record that slows its own member could push *others* over a limit,
    and one record would then change more than one vote.

    `predict` and `predict_proba` are *not* private, and for regression the mean of unclipped
    answers has no bound at all. A release takes :meth:`member_votes`, brings every member's
    votes into the public range one by one, and adds up integers.

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
            Private features, handed to the members as they are.
        y : array-like of shape (n,)
            Private labels or targets.
        groups : array-like of shape (n,), default=None
            Label of the group (a person, say) that each row belongs to. A group stays together,
            and the unit of privacy becomes the group.

        Returns
        -------
        self : TeacherEnsemble

        Raises
        ------
        ValueError
            For what is public: shapes, lengths, parameters.
        """
        X, labels = validate_data(self, X, y, skip_check_array=True)
        X, labels = _container(X), column_or_1d(labels, warn=True)
        n = len(labels)
        if not n:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        names = None if groups is None else _group_names(groups)
        check_consistent_length(X, labels, names)
        codes = self._encode(labels, names)
        random_state = check_random_state(self.random_state)
        n_units = n if names is None else len(set(names))
        self.n_teachers_ = self._count_teachers(n_units)
        self.group_level_ = names is not None
        self.fit_id_ = uuid.uuid4().hex
        shards = (
            shards_of_records(n, self.n_teachers_, random_state)
            if names is None
            else shards_of_groups(names, self.n_teachers_, random_state.bytes(32))
        )
        self.estimators_ = self._fit_members(X, labels, codes, shards, random_state)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Class of highest average vote, or the average answer. Not private.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)

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
        total, answers = np.zeros(1), np.zeros(1)
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

        Returns
        -------
        p : ndarray of shape (m, n_classes)
            Columns in the order of `classes_`.
        """
        total: NDArray[np.float64] = sum(self.member_votes(X, _on_simplex))
        return total / len(self.estimators_)

    def score(self, X: Any, y: ArrayLike) -> float:
        """Accuracy of a classifier, R² of a regressor. Not private.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)
        y : array-like of shape (m,)

        Returns
        -------
        score : float
        """
        measure = accuracy_score if _is_classification(self) else r2_score
        return float(measure(y, self.predict(X)))

    def member_votes(
        self, X: Any, function: Callable[[NDArray[np.float64]], Any] | None = None
    ) -> Iterator[Any]:
        """Iterate over the members' raw votes on `X`, one member at a time.

        Never the whole cube: at most 64 MB of votes (or one vote per job, if that is more) wait
        to be taken. With `function`, the worker that predicts also reduces, and only the results
        travel.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (m, d)
            Public rows.
        function : callable, optional
            Applied to each member's votes in the worker: normalise, quantise, project. It must
            not raise, whatever the votes are, and must be picklable for backends of processes.

        Yields
        ------
        votes : ndarray of shape (m, n_classes) or (m,), or what `function` makes of it
            In the order of `estimators_`. Raw: a vote may be NaN, infinite, negative or all
            zero; to bring it into range is the caller's duty, member by member. A member that
            raises votes uniform, or NaN in a regression.
        """
        check_is_fitted(self)
        X = _container(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        classes = getattr(self, "classes_", None)
        parallel = Parallel(n_jobs=self.n_jobs, verbose=self.verbose)
        size = 8 * max(n, 1) * (1 if classes is None else len(classes))
        members = iter(self.estimators_)
        while batch := list(islice(members, max(parallel.n_jobs, (64 << 20) // size, 1))):
            task = delayed(_member_votes)
            yield from _quietly(parallel, [task(m, X, n, classes, function) for m in batch])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        member = get_tags(self.estimator)
        tags.estimator_type = member.estimator_type
        tags.classifier_tags = member.classifier_tags
        tags.regressor_tags = member.regressor_tags
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def _encode(self, y: NDArray[Any], names: list[str] | None) -> NDArray[np.intp] | None:
        """Class index of each record, -1 if it has none; sets `classes_` and `class_count_`."""
        if not _is_classification(self):
            return None
        if self.classes is None:
            with np.errstate(invalid="ignore"):
                check_classification_targets(y)
        self.classes_given_ = self.classes is not None
        self.classes_ = np.unique(y if self.classes is None else np.asarray(self.classes))
        codes = _codes(y, self.classes_)
        self.class_count_ = label_counts(codes, len(self.classes_), names)
        return codes

    def _count_teachers(self, n_units: int) -> int:
        """Public number of shards."""
        if isinstance(self.n_teachers, str) and self.n_teachers == "auto":
            return default_n_teachers(n_units, len(getattr(self, "classes_", [0])))
        if not isinstance(self.n_teachers, Integral) or self.n_teachers < 1:
            raise ValueError(
                f"n_teachers={self.n_teachers!r} must be a whole number of at least 1, or 'auto'."
            )
        return int(self.n_teachers)

    def _fit_members(
        self,
        X: Any,
        y: NDArray[Any],
        codes: NDArray[np.intp] | None,
        shards: list[NDArray[np.intp]],
        random_state: np.random.RandomState,
    ) -> list[Any]:
        """Train the members, each on its own shard and on nothing else."""
        classes = None if codes is None else self.classes_
        tasks = []
        for shard in shards:
            member = adapted(clone_network(self.estimator))
            seeds = {
                name: random_state.randint(np.iinfo(np.int32).max)
                for name, value in sorted(member.get_params().items())
                if value is None and (name == "random_state" or name.endswith("__random_state"))
            }
            member.set_params(**seeds)
            if codes is not None:
                shard = shard[codes[shard] >= 0]
            part = None if codes is None else codes[shard]
            tasks.append(
                delayed(_fit_member)(
                    member,
                    _take(X, shard),
                    part,
                    y[shard] if part is None else self.classes_[part],
                    classes,
                )
            )
        return _quietly(self._report, tasks)

    def _report(self, tasks: list[Any]) -> Iterator[Any]:
        """Run `tasks` in order and tell the callbacks of each: that it is there, nothing else.

        The same calls whatever the members made of their shards. How many members there are is
        public and stays so: a callback that asks to stop is not heeded.
        """
        progress = self._init_callback_context(max_subtasks=len(tasks))
        progress.call_on_fit_task_begin(estimator=self)
        steps = (
            progress.subcontext(task_name="fit-member").call_on_fit_task_begin(estimator=self)
            for _ in tasks
        )
        parallel = _streaming(n_jobs=self.n_jobs, verbose=self.verbose)
        for step, member in zip(steps, parallel(tasks), strict=True):
            step.call_on_fit_task_end(estimator=self)
            yield member
        progress.call_on_fit_task_end(estimator=self)
