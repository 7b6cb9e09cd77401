"""Teachers whose model is learned in gradient rounds: private, and nearly as good as without."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._cells import as_floats
from skdistill._doc_links import PrivateDiagram
from skdistill._numbers import check_range
from skdistill._partitions import header_of, is_dask
from skdistill._scores import probabilities_of
from skdistill._tables import (
    cells_of,
    check_label_types,
    known_classes,
    label_codes,
    layout_of,
    read_table,
)
from skdistill.accounting.loss import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release.gradient_rounds import LinearRelease, Rule, gradient_rounds
from skdistill.release.noise import active_sampler
from skdistill.release.partitioned_rows import partitioned_rows
from skdistill.release.private_sums import MISSING, TARGET_ONE, Array, PrivateRows
from skdistill.release.query import answer
from skdistill.teachers.fitted import TeacherReport, read_arguments, report_of, set_fitted
from skdistill.teachers.shards import label_counts

_LARGEST = 1e100  # larger cells are moved here, so that no sum of squares overflows
_CHECKED = 1 << 16  # rows looked at together for cells that are not finite
# The owner's model: on at most so many rows, by the mechanism's own steps without noise.
_OWNERS_ROWS, _OWNERS_CURVATURE = 30_000, 5_000
_OWNERS_RULE = Rule(growth=1.0, largest_clip=1e6, clip=1e6, mix=0.001, shrunk=0.0)


class _NewtonTeacher(PrivateDiagram, BaseEstimator):
    """Private rows in a canonical form, and a model of them for their owner."""

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Keep the private rows.

        A model of them without noise, for their owner's eyes, is fitted when it is first asked for;
        of a dask collection at once.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Private rows: numbers. A cell that is missing, infinite or no number becomes 0. Rows of
            a dask array or data frame stay in their partitions, which are read for each sum. The
            place of a record must not depend on private values (do not sort or shuffle by them).
        y : array-like of shape (n_samples,)
            Private labels or numbers. One that is missing, or outside of the classes, teaches
            nothing. A dask array or series may have other partitions than X has.
        groups : array-like of shape (n_samples,), default=None
            Label of the group (a person, say) of each row, which is then the unit of privacy. All
            groups count alike, whatever their size. Not for dask collections.

        Returns
        -------
        self : NewtonClassifier or NewtonRegressor
            Fitted. It holds the private rows.

        Raises
        ------
        TypeError, ValueError
            For public reasons: settings, shapes, no rows.
        skdistill.release.partitioned_rows.PartitionError
            A partition of a dask collection cannot be read; fixed text.
        """
        find = self._rows_in_partitions if is_dask(X) else self._rows_in_memory
        rows, state = find(X, y, groups)
        public = self.curvature
        if public is not None:
            public = check_array(
                public, accept_sparse="csr", dtype=np.float64, order="C", input_name="curvature"
            )
            if public.shape[1] != rows.width:
                raise ValueError(
                    f"curvature has {public.shape[1]} columns and the private rows have "
                    f"{rows.width}. Pass public rows that went through the same feature map."
                )
        owner = _Owner()
        if find == self._rows_in_partitions:
            owner.model(rows)  # a partition that cannot be read stops the fit
        state |= {"private_rows_": rows, "_owner_": owner, "fit_id_": uuid.uuid4().hex}
        state |= {"n_units_": rows.n_units, "group_level_": rows.unit is Unit.GROUP}
        state["curvature_"] = public
        set_fitted(self, state, X)
        return self

    @property
    def coef_(self) -> Array:
        """Weights of the model without noise, which the first question fits. **Private**."""
        check_is_fitted(self)
        return self._owner_.model(self.private_rows_).coef

    @property
    def intercept_(self) -> Array:
        """Scores of a row of zeros by the model without noise. **Private**."""
        check_is_fitted(self)
        return self._owner_.model(self.private_rows_).intercept

    def report(self) -> TeacherReport:
        """Report on the records: how many of each class, and how many that teach nothing.

        Returns
        -------
        report : TeacherReport
            **Private**: counts of the private rows, for their owner alone.
        """
        check_is_fitted(self)
        rows, left_out = self.private_rows_, None
        classes, counts = getattr(self, "classes_", None), getattr(self, "class_count_", None)
        if isinstance(rows.targets, np.ndarray):
            nothing = MISSING if classes is None else -1
            left_out = int(np.count_nonzero(rows.targets == nothing))
        elif classes is not None:
            left_out = int(rows.n_units - self.class_count_.sum())
        return report_of((), classes, counts, left_out)

    def _rows_in_memory(self, X: Any, y: Any, groups: Any) -> tuple[PrivateRows, dict[str, Any]]:
        """Return the private rows, and the state that says which columns and labels were seen."""
        cells, labels, names, state = read_arguments(self, X, y, groups, _canonical)
        read, n_classes, found = self._target_reader(y, labels)
        numbers = isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biuf"
        codes = read(y if numbers else labels)
        if n_classes:
            found["class_count_"] = label_counts(codes, n_classes, names)
        groups = None if names is None else np.unique(names, return_inverse=True)[1]
        return PrivateRows.of(cells, codes, n_classes, groups), state | found

    def _rows_in_partitions(
        self, X: Any, y: Any, groups: Any
    ) -> tuple[PrivateRows, dict[str, Any]]:
        """Return the same for a dask collection, whose rows stay where they are."""
        if groups is not None:
            raise ValueError(
                "groups: X is a dask collection, and the rows of a group may lie in several of its "
                "partitions. Make one row of each group first, or fit on rows in memory."
            )
        if y is None:
            name = type(self).__name__
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        labels = None
        if not is_dask(y):
            labels = cells_of(y)
        elif y.ndim == 2 and y.shape[1] == 1:
            y = y[y.columns[0]] if hasattr(y, "columns") else y[:, 0]
        read, n_classes, found = self._target_reader(y, labels)
        targets = y if labels is None else read(labels)
        rows = partitioned_rows(X, targets, n_classes, read=_canonical, read_targets=read)
        if n_classes:
            counts = rows.targets_sum()
            found["class_count_"] = (counts.values * counts.unit).astype(np.int64)
        seen = BaseEstimator()
        validate_data(seen, header_of(X), skip_check_array=True)
        return rows, vars(seen) | found

    def _scores(self, X: Any) -> Array:
        """Scores of the owner's model, shape (m, k)."""
        check_is_fitted(self)
        rows = _canonical(X)
        validate_data(self, layout_of(X), reset=False, skip_check_array=True)
        return np.asarray(rows @ self.coef_.T + self.intercept_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags


class NewtonClassifier(ClassifierMixin, _NewtonTeacher):
    """Logistic regression that is released in gradient rounds.

    The teacher keeps its private rows. A release asks them, round by round, for the noisy sum of
    their clipped gradients; the curvature of each step comes from public rows. See
    `release/gradient_rounds.py`.

    Parameters
    ----------
    classes : array-like of shape (n_classes,), default=None
        All labels that may occur; public. Records with another label teach nothing. None takes the
        labels found in `y`, and the statement then assumes that "the set of labels is public".
    curvature : {array-like, sparse matrix} of shape (m, n_features), default=None
        Public rows, without labels, in the same features as the private ones: the released model
        does not depend on the transfer set then, and one release serves every fold and every
        student. The guarantee does not protect these rows. None takes the transfer set.

    Attributes
    ----------
    classes_, classes_given_ : ndarray of shape (n_classes,), bool
        Sorted labels, and whether `classes` was given.
    class_count_ : ndarray of shape (n_classes,)
        Records of each class; with groups, see ``label_counts``. **Private**.
    private_rows_, curvature_ : PrivateRows, ndarray or CSR matrix
        The rows of which a release asks sums (**private**), and the public rows or None.
    coef_, intercept_ : ndarray of shape (k, n_features) and (k,)
        The model without noise, k = 1 for two classes and n_classes for more. **Private**.
    n_units_, group_level_ : int, bool
        Number of records or groups, and whether `groups` were given.
    fit_id_ : str
        Random, drawn anew by every fit: a ledger tells by it that a refitted teacher is another.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of features, and their names where `X` has them.

    See Also
    --------
    NewtonRegressor : The same for numbers.
    skdistill.PrivateDistiller : Releases the model, with privacy.

    Notes
    -----
    `predict` and `predict_proba` are *not* private: they are the model without noise, for the
    owner's eyes, fitted on about 30,000 rows, evenly spaced. Rows that are finite 64-bit floats in
    C order are kept without a copy; do not write to them. The ridge penalty comes from public
    numbers, so features should be of comparable scale: standardise by public numbers, or use a
    public feature map.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdistill.teachers.newton import NewtonClassifier
    >>> X, y = make_classification(1000, random_state=0)
    >>> teacher = NewtonClassifier(classes=[0, 1]).fit(X, y)
    >>> print(f"{teacher.score(X, y):.1f}")
    0.9
    """

    def __init__(self, classes: ArrayLike | None = None, *, curvature: Any = None) -> None:
        self.classes = classes
        self.curvature = curvature

    def _target_reader(self, y: Any, labels: list[Any] | None) -> tuple[Any, int, dict[str, Any]]:
        """Return the map from labels to class indices, how many classes there are, their state."""
        if self.classes is None and labels is None:
            raise ValueError(
                "classes=None takes the labels found in y, and y is a dask collection: list all "
                f"labels that may occur, {type(self).__name__}(classes=[...])."
            )
        classes = known_classes(y, self.classes, labels)
        state = {"classes_": classes, "classes_given_": self.classes is not None}
        return partial(label_codes, classes=classes), len(classes), state

    def decision_function(self, X: Any) -> Array:
        """Return the logits of the model without noise. Not private.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (m, n_features)

        Returns
        -------
        ndarray of shape (m,) for two classes, else (m, n_classes)
            Positive for the second of two classes.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the model without noise. Not private.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (m, n_features)

        Returns
        -------
        ndarray of shape (m, n_classes)
            Columns in the order of `classes_`.
        """
        scores = self._scores(X)
        return np.ones((len(scores), 1)) if len(self.classes_) == 1 else probabilities_of(scores)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class of the model without noise. Not private.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (m, n_features)

        Returns
        -------
        ndarray of shape (m,)
            Class labels.
        """
        codes = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])


class NewtonRegressor(RegressorMixin, _NewtonTeacher):
    """Linear regression that is released in gradient rounds.

    See :class:`NewtonClassifier`.

    Parameters
    ----------
    output_range : tuple of (float, float)
        Public range of the target; targets outside are moved to its ends.
    loss : {"squared"}, default="squared"
        Residuals are clipped to half the output range.
    curvature : {array-like, sparse matrix} of shape (m, n_features), default=None
        As in :class:`NewtonClassifier`.

    Attributes
    ----------
    output_range_ : tuple of (float, float)
        The range, checked.
    coef_, intercept_ : ndarray of shape (1, n_features) and (1,)
        The model without noise, in units of half the range from its middle. **Private**.
    private_rows_, curvature_, n_units_, group_level_, fit_id_, n_features_in_, feature_names_in_
        As in :class:`NewtonClassifier`.

    See Also
    --------
    NewtonClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from skdistill.teachers.newton import NewtonRegressor
    >>> X, y = make_regression(1000, 5, random_state=0)
    >>> teacher = NewtonRegressor(output_range=(-300, 300)).fit(X, y)
    >>> print(f"{teacher.score(X, y):.2f}")
    1.00
    """

    def __init__(self, output_range: Any, *, loss: str = "squared", curvature: Any = None) -> None:
        self.output_range = output_range
        self.loss = loss
        self.curvature = curvature

    def _target_reader(self, y: Any, labels: list[Any] | None) -> tuple[Any, int, dict[str, Any]]:
        """Return the map from targets to whole numbers, 0 for no classes, and the checked range."""
        if self.loss != "squared":
            raise ValueError(f"loss={self.loss!r} is unknown; the only one is 'squared'.")
        check_label_types(y)
        low, high = check_range(self.output_range)
        return partial(_whole_targets, low=low, high=high), 0, {"output_range_": (low, high)}

    def predict(self, X: Any) -> Array:
        """Predict with the model without noise. Not private.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (m, n_features)

        Returns
        -------
        ndarray of shape (m,)
            In the output range.
        """
        scores = np.clip(self._scores(X)[:, 0], -1, 1)
        low, high = self.output_range_
        return np.asarray(low + (scores + 1) / 2 * (high - low))


class _Owner:
    """The owner's model, fitted when it is first asked for; no part of a pickle or a digest."""

    found: LinearRelease | None = None

    def model(self, rows: PrivateRows) -> LinearRelease:
        if self.found is None:
            self.found = _owners_model(rows)
        return self.found

    def __getstate__(self) -> dict[str, Any]:
        return {}


@np.errstate(all="ignore")  # in a user's own state, a private value could raise
def _owners_model(rows: PrivateRows) -> LinearRelease:
    """Fit by the mechanism's own steps, without noise, with the private rows' own curvature."""
    some = rows.some(_OWNERS_ROWS)
    curvature = some.X[:: max(1, some.n_units // _OWNERS_CURVATURE)]
    loss = PrivacyLoss.of_mu(50.0, 1e-6)  # a loss of which the noise would be added
    rounds = gradient_rounds(some, curvature, loss, rule=_OWNERS_RULE)
    return answer(rounds, None, active_sampler("exact"))  # without a loss, no noise is drawn


def _whole_targets(values: Any, low: float, high: float) -> NDArray[np.int64]:
    """Return targets as whole numbers of half the range, from its middle."""
    half, middle = high / 2 - low / 2, high / 2 + low / 2
    with np.errstate(all="ignore"):
        scaled = (as_floats(values) - middle) / half
        missing = ~np.isfinite(scaled)
        targets = np.rint(np.clip(np.where(missing, 0.0, scaled), -1, 1) * TARGET_ONE)
    return np.where(missing, MISSING, targets.astype(np.int64))


@np.errstate(all="ignore")  # a long double may be beyond float64, and a warning tells, too
def _canonical(X: Any) -> Any:
    """Return rows as finite float64 in C order, or CSR; each cell by itself, and none raises."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "fiub" and X.ndim == 2 and X.size:
        return _finite(np.ascontiguousarray(X, dtype=np.float64))
    rows = read_table(X).numbers()
    if not sp.issparse(rows):
        return _finite(np.ascontiguousarray(rows))
    rows.data = _finite(rows.data)
    return sp.csr_matrix(rows)


def _finite(cells: Array) -> Array:
    """Return the cells, those that are not finite as 0; a copy only where one changes."""
    changed = cells
    for start in range(0, len(cells), _CHECKED):
        part = cells[start : start + _CHECKED]
        if not (np.abs(part) <= _LARGEST).all():
            changed = cells.copy() if changed is cells else changed
            found = np.clip(np.where(np.isfinite(part), part, 0.0), -_LARGEST, _LARGEST)
            changed[start : start + _CHECKED] = found
    return changed
