"""PrivateClassifier: from private rows and labels to a classifier that may be published."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression

from skdistill._tables import check_label_types, classes_in, label_codes, listed_classes
from skdistill.private_table.base import PrivateTable
from skdistill.teachers import NewtonClassifier


class PrivateClassifier(ClassifierMixin, PrivateTable):
    """A private classifier from a private table alone: no public rows are needed.

    `fit` draws synthetic rows from noisy counts of the columns; learns a linear model of splines
    and indicators in gradient rounds on the private rows, with the curvature of the synthetic rows;
    and calibrates it by a noisy histogram of its scores. One price covers it all. With a
    :class:`~skdistill.TeacherEnsemble` as teacher it is PATE [1]_: the teachers' labels of the
    synthetic rows are released, and `student` learns from these.

    Parameters
    ----------
    teacher : classifier, default=None
        The model that sees private rows; cloned. None is a :class:`~skdistill.NewtonClassifier`.
        Any classifier works as the member of a :class:`~skdistill.TeacherEnsemble`, such as
        ``TeacherEnsemble(RandomForestClassifier(), n_teachers=300)``. A Pipeline, or an ensemble
        of Pipelines, sees rows as they are; other teachers see numbers, indicators and splines.
    student : estimator, default=None
        Trained on the released labels, on the features of the teacher. None is the released model
        itself after gradient rounds, else a LogisticRegression.
    schema : Schema, tuple of (float, float), float or int
        Public knowledge about the columns (:class:`skdistill.Schema`). A tuple ``(low, high)``
        where every column is a number in these bounds; a class where every column is a number
        whose bounds are private. Such bounds are learned in `fit`, for 3 to 20 % of the price.
        Where `fit` is given `X_public`, None reads the schema off those rows.
    classes : array-like of shape (n_classes,) or "public"
        All labels, as public knowledge. A record with another label teaches nothing. "public"
        takes the labels that occur in `y`, and the statement lists that their set is public.
    epsilon, delta : float, default=1.0, 1e-6
        The price of a `fit`. ``delta=0`` asks for pure differential privacy, by Laplace noise.
        ``epsilon=float("inf")``: no noise.
    mechanism : str or Mechanism, default="auto"
        As for :class:`~skdistill.PrivateDistiller`, such as ``ResidualRounds(n_rounds=2)`` for an
        ensemble.
    threshold : {"prior", "accuracy", "f1"}, float or None, default="prior"
        How `predict` decides. "prior" predicts each class as often as it occurs; "accuracy" and
        "f1" maximise these ("f1" needs two classes and the default teacher and student); a float
        is a cut on the probability of the second of two classes; None leaves it to the student.
    accountant : PrivacyLedger or diffprivlib.BudgetAccountant, default=None
        Charged once by `fit`, before anything is counted or trained; shared by clones.
    random_state : int, RandomState or None, default=None
        Drives public choices: shards, synthetic rows and student. Never the noise.
    n_jobs : int, default=None
        Jobs of joblib that train and ask the teachers of an ensemble.
    verbose : int, default=0
        Above 0, prints the statement.

    Attributes
    ----------
    student_ : Pipeline
        From rows of the schema to predictions. All it learned came through the noise.
    privacy_ : PrivacyStatement
        The promise for the whole.
    costs_ : dict of str to PrivacyLoss
        The cost of each part, such as "synthetic rows" and "gradients". None for no noise.
    table_ : SyntheticTable or None
        The released columns and their dependence; None with `X_public`.
    schema_ : Schema
        The schema in use, with the bounds that were learned.
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
    skdistill.PrivateDistiller : For a fitted teacher, and a public transfer set.
    skdistill.transfer.MarginalSampler : The synthetic rows by themselves.

    References
    ----------
    .. [1] Papernot, Abadi, Erlingsson, Goodfellow, Talwar. "Semi-supervised knowledge transfer
       for deep learning from private training data". ICLR 2017, arXiv:1610.05755.
    .. [2] Li, Xiong, Jiang. "Differentially private synthesization of multi-dimensional data
       using copula functions". EDBT 2014.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdistill import PrivateClassifier
    >>> X, y = make_classification(20_000, class_sep=2.0, random_state=0)
    >>> model = PrivateClassifier(schema=(-8, 8), classes=[0, 1], epsilon=1.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    >>> sorted(model.costs_)
    ['class counts', 'gradients', 'scores', 'synthetic rows']
    """

    classes: Any
    _public_targets = "the set of class labels"

    def __init__(
        self,
        teacher: Any = None,
        student: Any = None,
        *,
        schema: Any = None,
        classes: Any = None,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        mechanism: Any = "auto",
        threshold: str | float | None = "prior",
        accountant: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.schema = schema
        self.classes = classes
        self.epsilon = epsilon
        self.delta = delta
        self.mechanism = mechanism
        self.threshold = threshold
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.classes is None:
            raise ValueError(
                "classes must be given: which labels occur may itself be private. Write "
                'classes=[0, 1], say, or classes="public" where the labels in y may be told.'
            )

    def _blank_teacher(self) -> Any:
        return NewtonClassifier() if self.teacher is None else self.teacher

    def _read_targets(self, y: Any, cells: list[Any]) -> NDArray[Any]:
        """Return the labels as an object array, None for any other value."""
        if isinstance(self.classes, str):
            if self.classes != "public":
                raise ValueError(f'classes={self.classes!r} must be a list of labels or "public".')
            self.classes_ = classes_in(cells)
        else:
            self.classes_ = listed_classes(self.classes)
            check_label_types(y, self.classes_)
        if len(self.classes_) < 2:
            raise ValueError(f"There are not at least two classes: {len(self.classes_)} class.")
        if self.threshold == "f1" and not (self._counts_scores() and self.student is None):
            raise ValueError(
                'threshold="f1" needs two classes, and the default teacher and student.'
            )
        known = np.array([*self.classes_.tolist(), None], dtype=object)
        return known[label_codes(cells, self.classes_)]

    def _made_up(self, n: int) -> NDArray[Any]:
        return self.classes_[np.arange(n) % len(self.classes_)]

    def _known_targets(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Return the labels, the first class for any unknown one."""
        first = self.classes_.tolist()[0]
        return np.array([first if label is None else label for label in targets.tolist()])

    def _counts_scores(self) -> bool:
        """Whether a histogram of scores is bought: of a released model of two classes."""
        wanted = self.student is None and self._learns_weights()
        return wanted and len(self.classes_) == 2

    def _blank_student(self) -> Any:
        return LogisticRegression(max_iter=1000) if self.student is None else self.student
