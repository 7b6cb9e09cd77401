"""PATEClassifier: from private rows and labels to a classifier that may be published."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.linear_model import LogisticRegression

from skdistill._tables import check_label_types, classes_in, label_codes
from skdistill._validate import type_name
from skdistill.pate.base import PATE

__all__ = ["PATEClassifier"]


class PATEClassifier(ClassifierMixin, PATE):
    """A private classifier from a private table alone: no public rows are needed.

    `fit` releases noisy marginals of the table and makes synthetic rows of them; trains
    `estimator` on disjoint shards of the private rows (PATE [1]_), releases the teachers' labels
    of the synthetic rows with noise, and trains `student` on these. One price covers it all.

    Parameters
    ----------
    estimator : classifier
        The model of each teacher; cloned.
    student : estimator, default=None
        Trained on the noisy labels, on the features of the teachers. None is a LogisticRegression.
    schema : Schema or tuple of (float, float)
        Public knowledge about the columns: bounds, categories, columns with missing cells
        (:class:`skdistill.transfer.Schema`). A tuple ``(low, high)`` where every column is a
        number in these bounds. It is never read off private rows; where `fit` is given
        `X_public`, None reads it off those.
    classes : array-like of shape (n_classes,) or "public"
        All labels, as public knowledge. A record with another label trains no teacher. "public"
        takes the labels that occur in `y`, and the statement lists that their set is public.
    epsilon, delta : float, default=1.0, 1e-6
        The price of a `fit`, marginals, class prior and labels together. ``delta=0`` asks for
        pure differential privacy, by Laplace noise. ``epsilon=float("inf")``: no noise.
    n_teachers : int or "auto", default="auto"
        Number of shards; see :func:`noisy_n_teachers`.
    n_transfer : int, default=10_000
        Number of synthetic rows.
    marginals_share : float, default=0.1
        The part of the price (of μ², or of ε without δ) that the marginals take.
    degree : {"auto", 1, 2}, default="auto"
        1 counts single columns; 2 also pairs of columns that depend on each other, for more
        noise. "auto" buys pairs where the budget is large enough to choose them well.
    n_bins : int, default=24
        Most bins of a number.
    encoder : "auto", transformer or None, default="auto"
        Makes features for teachers and student; fitted on the transfer rows, at no cost.
        "auto" takes the ranks of numbers and makes indicators of categories; a Pipeline gets
        the rows as they are (as a DataFrame where X is one), as every estimator does for None. A
        transformer of yours must treat rows one by one.
    threshold : {"prior"}, float or None, default="prior"
        How `predict` decides; see :class:`~skdistill.PrivateDistiller`.
    n_rounds : int or "auto", default="auto"
        Residual rounds; see :class:`~skdistill.PrivateDistiller`.
    basis : {"auto", "pca", "graph"}, callable, ndarray or None, default="auto"
        Functions in which residual rounds answer, and labels of one round are smoothed; "auto" is
        "pca" for synthetic rows.
    accountant : PrivacyLedger or diffprivlib.BudgetAccountant, default=None
        Charged once by `fit`, before anything is counted or trained; shared by clones.
    random_state : int, RandomState or None, default=None
        Drives public choices: shards, synthetic rows and student. Never the noise.
    n_jobs : int, default=None
        Jobs of joblib that train and ask the teachers.
    verbose : int, default=0
        Above 0, prints the statement.

    Attributes
    ----------
    student_ : Pipeline
        From rows of the schema to predictions. All it learned came through the noise.
    privacy_ : PrivacyStatement
        The promise for the whole.
    costs_ : dict of str to PrivacyLoss
        The cost of each part: "marginals", "class prior", "labels". None for no noise.
    marginals_ : NoisyMarginals or None
        The released marginals of the columns; None with `X_public`.
    schema_ : Schema
        The schema in use.
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    class_prior_ : ndarray of shape (n_classes,)
        Released shares of the classes.
    decision_offsets_ : ndarray of shape (n_classes,) or None
        Added to the student's scores; None where the student decides.
    n_teachers_ : int
        Number of teachers.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, where X has them.

    See Also
    --------
    skdistill.PrivateDistiller : For a teacher of yours, and a public transfer set.
    skdistill.transfer.MarginalSampler : The synthetic rows by themselves.

    References
    ----------
    .. [1] Papernot, Abadi, Erlingsson, Goodfellow, Talwar. "Semi-supervised knowledge transfer
       for deep learning from private training data". ICLR 2017, arXiv:1610.05755.
    .. [2] McKenna, Miklau, Sheldon. "Winning the NIST contest: a scalable and general approach to
       differentially private synthetic data". JPC 11(3), 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdistill import PATEClassifier
    >>> X, y = make_classification(20_000, class_sep=2.0, random_state=0)
    >>> model = PATEClassifier(
    ...     LogisticRegression(), schema=(-8, 8), classes=[0, 1], epsilon=1.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.8
    True
    >>> sorted(model.costs_)
    ['class prior', 'labels', 'marginals']
    """

    classes: Any
    threshold: Any

    def __init__(
        self,
        estimator: Any,
        student: Any = None,
        *,
        schema: Any = None,
        classes: Any = None,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        n_teachers: int | str = "auto",
        n_transfer: int = 10_000,
        marginals_share: float = 0.1,
        degree: int | str = "auto",
        n_bins: int = 24,
        encoder: Any = "auto",
        threshold: str | float | None = "prior",
        n_rounds: int | str = "auto",
        basis: Any = "auto",
        accountant: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.student = student
        self.schema = schema
        self.classes = classes
        self.epsilon = epsilon
        self.delta = delta
        self.n_teachers = n_teachers
        self.n_transfer = n_transfer
        self.marginals_share = marginals_share
        self.degree = degree
        self.n_bins = n_bins
        self.encoder = encoder
        self.threshold = threshold
        self.n_rounds = n_rounds
        self.basis = basis
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_estimator(self) -> None:
        if isinstance(self.estimator, type) or not is_classifier(self.estimator):
            raise TypeError(
                f"estimator={type_name(self.estimator)} must be a classifier: an instance."
            )
        if self.classes is None:
            raise ValueError(
                "classes must be given: which labels occur may itself be private. Write "
                'classes=[0, 1], say, or classes="public" where the labels in y may be told.'
            )

    def _read_targets(self, y: Any, cells: list[Any]) -> tuple[NDArray[Any], int]:
        """Return the labels as an object array, None for any other value."""
        if isinstance(self.classes, str):
            if self.classes != "public":
                raise ValueError(f'classes={self.classes!r} must be a list of labels or "public".')
            self.classes_ = classes_in(cells)
        else:
            self.classes_ = np.unique(np.asarray(list(self.classes)))
            check_label_types(y, self.classes_)
        if len(self.classes_) < 2:
            raise ValueError(
                f"A classifier needs at least two classes, and there is {len(self.classes_)} class."
            )
        known = np.array([*self.classes_.tolist(), None], dtype=object)
        return known[label_codes(cells, self.classes_)], len(self.classes_)

    def _blank_student(self) -> Any:
        return LogisticRegression(max_iter=1000) if self.student is None else self.student

    def _public_targets(self) -> str:
        return "the set of class labels"

    def _assumes(self) -> list[str]:
        return ["the set of class labels is public"] if isinstance(self.classes, str) else []
