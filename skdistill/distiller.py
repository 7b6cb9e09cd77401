"""PrivateDistiller: a fitted teacher in, a private student out."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import check_is_fitted, validate_data

from skdistill._checks import (
    WithheldTeacher,
    check_columns,
    check_finite,
    check_numbers,
    check_parameters,
    check_teacher,
    check_transfer_set,
    forget,
    n_rows,
)
from skdistill._display import as_html, as_text, visual_block
from skdistill.accounting.charging import adopt, for_pickle, replays
from skdistill.certificates import Certificate, DisjointTeachers, ParameterBall, certify
from skdistill.certificates.base import unwrap
from skdistill.neural import adapted, clone_network
from skdistill.publishing import Published, export, refuse_private_settings
from skdistill.release.partitions import (
    Partitions,
    draw_partitions,
    fetch_rows,
    is_partitioned,
    partitions_of,
)
from skdistill.release.releases import (
    Released,
    ReleasePlan,
    assumed_of,
    draw,
    plan_release,
    query_limit,
    rehearsed,
)
from skdistill.statement import PrivacyStatement
from skdistill.students import (
    class_scores,
    default_classifier,
    default_regressor,
    fit_on_soft_labels,
    fit_on_values,
    fit_with_unlabelled,
    fixed_offsets,
    how_to_train,
    offsets_for_prior,
    predicted_labels,
    probabilities,
    take_rows,
)

__all__ = ["PrivateDistiller"]

Array = NDArray[np.float64]

# Rows of X on which the share of each class is matched: it is known to .001 then.
_MOST_MATCHED = 200_000


def _student_has(method: str) -> Any:
    """Check that the student has a method; used with ``available_if``."""

    def check(self: PrivateDistiller) -> bool:
        student = getattr(self, "student_", None)
        if student is None:
            student = adapted(self._blank_student())
        if self._teacher_kind() == "classifier" and is_regressor(student):
            return method != "decision_function"
        if method == "predict_log_proba":
            return hasattr(student, "predict_proba")
        return hasattr(student, method)

    return check


class PrivateDistiller(MetaEstimatorMixin, BaseEstimator):
    """Distil a fitted teacher into a student that may be published.

    ``fit`` labels a public transfer set with the teacher, makes these soft labels differentially
    private with respect to the teacher's training records, and trains the student on them.

    Parameters
    ----------
    teacher : estimator
        A fitted classifier or regressor, or a :class:`~sklearn.frozen.FrozenEstimator` of one. It
        is never fitted again: a clone of the distiller shares it.
    student : estimator, default=None
        Classifier, regressor or Pipeline to train on the noisy labels; cloned. None is a
        LogisticRegression (a Ridge for a regression teacher) whose penalty is set from the known
        noise.
    epsilon : float, default=1.0
        Privacy loss of the whole release: all rows of one ``fit``. ``float("inf")`` is plain
        distillation without noise, marked as not private.
    delta : float, default=1e-6
        Probability with which the guarantee may fail; well below 1/n. 0 asks for pure
        differential privacy.
    mechanism : str, default="auto"
        "gaussian" or "laplace" noise on soft labels; "auto" takes the one with less noise, and
        "laplace" for ``delta=0``. "noisy_max" and "confident_max" release only the class that
        most members of a TeacherEnsemble vote for, the latter only where they agree.
    certificate : "auto" or Certificate, default="auto"
        How far one record can move the teacher. "auto" looks for a proof in the registry of
        :mod:`skdistill.certificates` and falls back on the worst case.
    output_range : tuple of (float, float), default=None
        Public range (low, high) of a regression teacher's outputs, in units of the target; they
        are clipped to it. Required for a regression teacher unless `epsilon` is infinite.
    temperature : float, default=1.0
        Softens (above 1) or sharpens (below 1) the teacher's labels.
    threshold : {"prior"}, float or None, default="prior"
        How ``predict`` decides. "prior" cuts where each class is predicted on X as often as the
        released class prior says (of more than two classes only for students with probabilities);
        a float is a cut on the probability of the second of two classes; None leaves it to the
        student. ``predict_proba`` does not change.
    max_queries : int, default=None
        Label a random subset of at most this many rows of X; noise grows with the rows. None
        is all rows, and for a vote ("noisy_max", "confident_max") a number by a public rule.
    n_rounds : int or "auto", default="auto"
        For a TeacherEnsemble and Gaussian noise: after the first noisy answer, how often the
        members are compared with it, each time with less noise. 1 is PATE with soft labels;
        "auto" is 2, or 1 where a first of two answers would show too little.
    basis : {"auto", "pca", "graph"}, callable, ndarray or None, default="auto"
        For a TeacherEnsemble: public functions on X in which residual rounds are made, and the
        labels of a single round are smoothed at no cost. Principal components, eigenvectors of
        the neighbour graph, what ``basis(X)`` returns, or an array of shape (m, p); "auto" takes
        the kind that fits the first answer. None: one round, and no smoothing.
    accountant : PrivacyLedger or diffprivlib.BudgetAccountant, default=None
        Charged before the teacher is called. A :class:`~skdistill.PrivacyLedger` holds in every
        process, and replays at no cost what was released before. A BudgetAccountant is charged
        with (epsilon, delta) each time, shared by clones in one process, and refused in another.
    sampler : {"exact", "diffprivlib"}, default="exact"
        Where noise comes from. "diffprivlib" calls that library's scalar mechanisms, whose
        floating-point noise leaks; it is there to compare with, and the statement says so.
    random_state : int, RandomState or None, default=None
        Drives what is public: the choice of `max_queries` rows and the student. Never the noise.
    n_jobs : int, default=None
        Threads that label X. (An ensemble asks its members with its own `n_jobs`.)
    verbose : int, default=0
        Above 0, prints the statement before the teacher is asked.

    Attributes
    ----------
    student_ : estimator
        The fitted student. Everything it learned came through the noise.
    privacy_ : PrivacyStatement
        What was promised, and on which grounds.
    released_labels_ : ndarray of shape (n_queries, n_classes) or (n_queries,)
        The noisy labels; public.
    query_indices_ : ndarray of shape (n_queries,)
        Rows of X that were labelled.
    class_prior_ : ndarray of shape (n_classes,)
        Released class prior (classification).
    decision_offsets_ : ndarray of shape (n_classes,) or None
        Added to the student's scores before the arg-max; None where the student decides.
    classes_ : ndarray of shape (n_classes,)
        The teacher's class labels (classification).
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Column names of X, where they are all strings.

    See Also
    --------
    skdistill.teachers.StableLogisticRegression : A teacher with a bound of its own.
    sklearn.frozen.FrozenEstimator : Keeps a fitted estimator through ``clone``.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015,
       arXiv:1503.02531.
    .. [2] B. Balle, Y.-X. Wang, "Improving the Gaussian Mechanism for Differential Privacy",
       ICML 2018, arXiv:1805.06530, Theorem 8.
    .. [3] C. Dwork, F. McSherry, K. Nissim, A. Smith, "Calibrating Noise to Sensitivity in Private
       Data Analysis", TCC 2006, Proposition 1.

    Examples
    --------
    One fitted model of any kind, 120 private records, 30 public rows:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.metrics import f1_score
    >>> from sklearn.model_selection import train_test_split
    >>> from skdistill import PrivateDistiller
    >>> X, y = load_iris(return_X_y=True)
    >>> X_private, X_public, y_private, y_public = train_test_split(
    ...     X, y, test_size=0.2, stratify=y, random_state=0)
    >>> teacher = LogisticRegression(max_iter=1000).fit(X_private, y_private)
    >>> def macro_f1(epsilon):
    ...     student = PrivateDistiller(teacher, epsilon=epsilon).fit(X_public)
    ...     return f1_score(y_public, student.predict(X_public), average="macro")

    Without noise the student is as good as the teacher, and so it is at an ε that promises
    nothing:

    >>> macro_f1(float("inf")) > 0.9
    True
    >>> macro_f1(1e6) > 0.8
    True

    At an ε that promises something, the labels of one arbitrary model are noise: that is what
    120 records and no bound but the worst case allow. The package says so:

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     low = macro_f1(1.0)
    >>> print(caught[0].message)  # doctest: +ELLIPSIS
    The released labels are mostly noise: ... against at most 0.5 for the signal...
    >>> 0 <= low <= 1
    True
    """

    def __init__(
        self,
        teacher: Any,
        student: Any = None,
        *,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        mechanism: str = "auto",
        certificate: str | Certificate = "auto",
        output_range: tuple[float, float] | None = None,
        temperature: float = 1.0,
        threshold: str | float | None = "prior",
        max_queries: int | None = None,
        n_rounds: str | int = "auto",
        basis: Any = "auto",
        accountant: Any = None,
        sampler: str = "exact",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.epsilon = epsilon
        self.delta = delta
        self.mechanism = mechanism
        self.certificate = certificate
        self.output_range = output_range
        self.temperature = temperature
        self.threshold = threshold
        self.max_queries = max_queries
        self.n_rounds = n_rounds
        self.basis = basis
        self.accountant = accountant
        self.sampler = sampler
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # ---------------------------------------------------------------------------------- public

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> PrivateDistiller:
        """Label X privately and train the student.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public transfer set, handed to the teacher and the student untouched. Of a dask array
            or data frame, `max_queries` random rows are fetched first; it must be set.
        y : array-like of shape (m,), default=None
            Not used; its length is checked.
        **fit_params : dict
            For the student's ``fit``, by metadata routing where that is enabled.

        Returns
        -------
        self : PrivateDistiller

        Raises
        ------
        ValueError, TypeError
            For settings or an X that cannot be; nothing is charged.
        skdistill.release.TeacherError
            The teacher raised. Its message is withheld and the charge stays.
        """
        if is_partitioned(X):
            check_parameters(self)
            rows, X = fetch_rows(X, self.max_queries, self._random_rows)
            self.fit(X, **fit_params)
            self.query_indices_: NDArray[np.intp] = rows[self.query_indices_]
            return self
        teacher, X = self._check_fit(X, y)
        self._check_student(teacher, X)
        student_params = self._route(fit_params)
        certificate = self._certificate(teacher)
        rows, X_asked = self._choose_queries(X, certificate)
        plan = self._plan(certificate, len(rows))
        bases = self._bases(plan, X_asked)
        released = draw(plan, teacher, X_asked, self.accountant, self.n_jobs, bases)
        forget(self, "student_", "privacy_")  # should this fit fail, no earlier statement is left
        self.query_indices_ = rows
        self.released_labels_ = released.labels
        self.student_ = self._train(X, rows, released, student_params)
        self.decision_offsets_ = self._match_threshold(X, released.prior)
        self.privacy_ = plan.statement()
        return self

    def release(self, X: Any) -> Array:
        """Release noisy soft labels for all rows of X, without training a student.

        Charges like ``fit``; `max_queries` is not applied.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public rows. A dask array or data frame is labelled partition by partition, on the
            workers of the cluster, in one round.

        Returns
        -------
        labels : ndarray of shape (m, n_classes) or (m,)
            Noisy, not clipped to the simplex; see ``privacy_`` of a fit, or :meth:`preview`, for
            what is promised. For a partitioned X a dask array, whose partitions stay where they
            were made; they are drawn once (:class:`~skdistill.release.partitions.LabelsLost`).
        """
        if is_partitioned(X):
            return clone(self)._release_in_place(partitions_of(X))
        blank = clone(self)
        teacher, X = blank._check_fit(X, None)
        plan = blank._plan(blank._certificate(teacher), n_rows(X), with_prior=False)
        bases = self._bases(plan, X)
        return draw(plan, teacher, X, self.accountant, self.n_jobs, bases).labels

    def preview(self, X: Any) -> PrivacyStatement:
        """Return the statement that ``fit(X)`` would make. Nothing is asked or charged.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public transfer set.

        Returns
        -------
        statement : PrivacyStatement
        """
        return self._foresee(X)[0].statement()

    def rehearse(self, X: Any, accountant: Any) -> None:
        """Charge an accountant what ``fit(X)`` would cost. Nothing is asked of the teacher.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public transfer set.
        accountant : PrivacyLedger, BudgetAccountant, or the like
            Not the distiller's own, which is left alone, but one to practise on:
            :func:`skdistill.accounting.plan` adds up a whole search that way.
        """
        plan, teacher, X_asked = self._foresee(X)
        rehearsed(plan, teacher, X_asked, accountant)

    def export(self) -> Published:
        """Return the student as an ordinary estimator, and its statement, to be published.

        Returns
        -------
        published : Published
            ``published.estimator`` predicts what this distiller predicts, and holds no teacher;
            :func:`skdistill.save` writes it to a file that runs no code.
        """
        return export(self)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict with the student, at the decision threshold.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        y : ndarray of shape (m,)
            Class labels, or values for a regressor.
        """
        X = self._check_predict(X)
        if self._teacher_kind() == "regressor":
            return np.asarray(self.student_.predict(X))
        return predicted_labels(self.student_, X, self.classes_, self.decision_offsets_)

    @available_if(_student_has("predict_proba"))
    def predict_proba(self, X: Any) -> Array:
        """Return the student's class probabilities, shape ``(m, n_classes)``.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        probabilities : ndarray of shape (m, n_classes)
            For a regressor as student, its outputs projected on the simplex.
        """
        X = self._check_predict(X)
        return probabilities(self.student_, X, self.classes_)

    @available_if(_student_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        log_probabilities : ndarray of shape (m, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    @available_if(_student_has("decision_function"))
    def decision_function(self, X: Any) -> Array:
        """Return the student's decision function.

        Parameters
        ----------
        X : array-like of shape (m, d)

        Returns
        -------
        scores : ndarray of shape (m,) or (m, n_classes)
        """
        X = self._check_predict(X)
        return np.asarray(self.student_.decision_function(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy (classification) or R² (regression) of :meth:`predict`.

        Parameters
        ----------
        X : array-like of shape (m, d)
        y : array-like of shape (m,)
        sample_weight : array-like of shape (m,), default=None

        Returns
        -------
        score : float
        """
        metric = accuracy_score if self._teacher_kind() == "classifier" else r2_score
        return float(metric(y, self.predict(X), sample_weight=sample_weight))

    # --------------------------------------------------------------------------- the steps of fit

    def _foresee(self, X: Any) -> tuple[ReleasePlan, Any, Any]:
        """Return the plan of ``fit(X)``, the teacher, and the rows it would be asked about."""
        blank = clone(self).set_params(verbose=0)
        teacher, X = blank._check_fit(X, None)
        blank._check_student(teacher, X)
        certificate = blank._certificate(teacher)
        rows, X_asked = blank._choose_queries(X, certificate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return blank._plan(certificate, len(rows)), teacher, X_asked

    def _random_rows(self, m: int, n: int) -> NDArray[np.intp]:
        """Choose n of m rows, by number only."""
        rng = check_random_state(self.random_state)
        return np.asarray(sample_without_replacement(m, n, random_state=rng))

    def _release_in_place(self, parts: Partitions) -> Any:
        """Release labels of a partitioned X; in one round, since rounds look at all rows."""
        if self.n_rounds == "auto":
            self.n_rounds = 1
        teacher, _ = self._check_fit(parts.example, None)
        plan = self._plan(self._certificate(teacher), parts.n_rows, with_prior=False)
        plan = replace(plan, basis=None)  # functions on all rows would need them in one place
        return draw_partitions(plan, teacher, parts, self.accountant)

    def _check_fit(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Check everything that is public; return the teacher and the transfer set."""
        check_parameters(self)
        classes = check_teacher(self.teacher)
        teacher = unwrap(self.teacher)
        X = check_transfer_set(X, y)
        validate_data(self, X, skip_check_array=True)
        check_columns(self, teacher)
        check_finite(X, teacher)
        if classes is not None:
            self.classes_: NDArray[Any] = classes
        return teacher, X

    def _check_student(self, teacher: Any, X: Any) -> None:
        """Check that the student holds no teacher, and that it can learn from X."""
        if self.student is None:
            check_numbers(X)
        else:
            refuse_private_settings(self.student, teacher)
        check_finite(X, self._blank_student())

    def _route(self, fit_params: dict[str, Any]) -> dict[str, Any]:
        """Return the fit parameters that are the student's."""
        if not sklearn.get_config()["enable_metadata_routing"]:
            return fit_params
        return dict(process_routing(self, "fit", **fit_params).student.fit)

    def _choose_queries(self, X: Any, certificate: Certificate) -> tuple[NDArray[np.intp], Any]:
        """Choose the rows to label, at random and by number only."""
        m, limit = n_rows(X), self.max_queries
        if limit is None and hasattr(self, "classes_"):
            limit = query_limit(
                certificate,
                len(self.classes_),
                epsilon=float(self.epsilon),
                delta=float(self.delta),
                mechanism=self.mechanism,
            )
        if limit is None or limit >= m:
            return np.arange(m), X
        rng = check_random_state(self.random_state)
        rows = np.sort(rng.permutation(m)[:limit])
        return rows, take_rows(X, rows)

    def _plan(
        self, certificate: Certificate, n_queries: int, with_prior: bool = True
    ) -> ReleasePlan:
        """Choose the mechanism and calibrate the price; say what is to come."""
        plan = plan_release(
            certificate,
            n_rows=n_queries,
            epsilon=float(self.epsilon),
            delta=float(self.delta),
            mechanism=self.mechanism,
            sampler=self.sampler,
            classes=getattr(self, "classes_", None),
            output_range=self.output_range,
            temperature=float(self.temperature),
            want_prior=with_prior and self.threshold == "prior",
            n_rounds=self.n_rounds,
            basis=self.basis,
            assumes=assumed_of(self.teacher) if replays(self.accountant) else (),
        )
        if plan.noise_scale > plan.signal_scale:
            said = _noise_warning(plan, unwrap(self.teacher), self.output_range)
            warnings.warn(said, UserWarning, stacklevel=3)
        spent = plan.statement().epsilon
        if plan.mechanism == "post-processing" and spent > self.epsilon:
            warnings.warn(
                f"epsilon={self.epsilon:g} was asked for, but the teacher has already spent "
                f"epsilon={spent:g}; the statement reports the latter.",
                UserWarning,
                stacklevel=3,
            )
        if self.verbose > 0:
            print(plan.statement())
        return plan

    def _certificate(self, teacher: Any) -> Certificate:
        if isinstance(self.certificate, Certificate):
            return self.certificate
        if self.certificate != "auto":
            raise TypeError(
                f'certificate={self.certificate!r} must be "auto" or a Certificate, e.g. '
                "skdistill.certificates.RowBound(l1=0.1, l2=0.07)."
            )
        if np.isinf(self.epsilon):
            return Certificate(name="none", reason="No noise was asked for.", assumes=())
        return certify(teacher, output_range=self.output_range)

    def _bases(self, plan: ReleasePlan, X: Any) -> tuple[Array, ...]:
        """Return public bases of functions on X, if the release is made in them, or smoothed."""
        if plan.basis is None:
            return ()
        from skdistill.transfer import public_bases

        return public_bases(X, plan.basis)

    def _train(
        self, X: Any, rows: NDArray[np.intp], released: Released, params: dict[str, Any]
    ) -> Any:
        """Train the student on what was released, for the rows that were answered."""
        labels, noise = released.labels, released.noise_scale
        if self.student is not None and how_to_train(self.student) == "unlabelled rows":
            codes = np.full(n_rows(X), -1)
            codes[rows] = np.where(released.answered, labels.argmax(axis=1), -1)
            student = self._seeded(self.student)
            return fit_with_unlabelled(student, X, codes, self.classes_, params)
        if not released.answered.any():
            raise ValueError(
                "No row got a confident answer at this epsilon, so there is nothing to train on. "
                'Use mechanism="noisy_max", a larger epsilon, or a semi-supervised student.'
            )
        rows, labels = rows[released.answered], labels[released.answered]
        params = _take_params(params, rows, X)
        X = X if len(rows) == n_rows(X) else take_rows(X, rows)
        if labels.ndim == 1:
            student = self.student
            if student is None:
                student = default_regressor(X, labels, noise, self.output_range)
            return fit_on_values(self._seeded(student), X, labels, params)
        student = self.student
        if student is None:
            student = default_classifier(X, noise)
        return fit_on_soft_labels(self._seeded(student), X, labels, self.classes_, params)

    def _match_threshold(self, X: Any, prior: Array | None) -> Array | None:
        """Find the decision offsets on the public X."""
        if self.threshold is None or prior is None:
            return None
        self.class_prior_ = prior
        step = -(-n_rows(X) // _MOST_MATCHED)
        if step > 1:
            X = take_rows(X, np.arange(0, n_rows(X), step))
        scored = class_scores(self.student_, X, self.classes_)
        if scored is None:
            return None
        scores, scale = scored
        if self.threshold == "prior":
            # Margins of more than two classes have no common scale to shift them on.
            comparable = scale != "margin" or len(prior) == 2
            return offsets_for_prior(scores, prior) if comparable else None
        if len(prior) != 2:
            raise ValueError(
                f"threshold={self.threshold!r} needs two classes, and there are {len(prior)}. "
                'Use threshold="prior" or None.'
            )
        return fixed_offsets(float(self.threshold), scale)

    def _seeded(self, student: Any) -> Any:
        """Return a clone of the student with its open random states set from ours."""
        student = adapted(clone_network(student))
        if self.random_state is None:
            return student
        rng = check_random_state(self.random_state)
        seeds = {
            name: int(rng.randint(np.iinfo(np.int32).max))
            for name, value in sorted(student.get_params().items())
            if name.split("__")[-1] == "random_state" and value is None
        }
        return student.set_params(**seeds)

    # -------------------------------------------------------------------- being an estimator

    def _teacher_kind(self) -> str | None:
        return get_tags(self.teacher).estimator_type

    def _blank_student(self) -> Any:
        if self.student is not None:
            return self.student
        return Ridge() if self._teacher_kind() == "regressor" else LogisticRegression()

    def _check_predict(self, X: Any) -> Any:
        check_is_fitted(self)
        X = check_transfer_set(X, None)
        validate_data(self, X, reset=False, skip_check_array=True)
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "student_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            like = copy.deepcopy(get_tags(self.teacher))
        except (AttributeError, TypeError):
            return tags
        # Not the whole: a frozen teacher's tags switch every common check off.
        tags.estimator_type = like.estimator_type
        tags.classifier_tags = like.classifier_tags
        tags.regressor_tags = like.regressor_tags
        tags.input_tags = like.input_tags
        tags.target_tags.required = False
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = False
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata: ``fit`` passes it on to the student's ``fit``.

        Returns
        -------
        routing : MetadataRouter
        """
        return MetadataRouter(owner=type(self).__name__).add(
            student=self._blank_student(),
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those inside the teacher are not part of them.

        Parameters
        ----------
        deep : bool, default=True
            Include ``student__*``.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep=deep)
        return {name: value for name, value in params.items() if not name.startswith("teacher__")}

    def set_params(self, **params: Any) -> PrivateDistiller:
        """Set parameters, as of any estimator; those of the teacher are refused.

        Parameters
        ----------
        **params : dict
            ``student__*`` reach the student.

        Returns
        -------
        self : PrivateDistiller
        """
        inner = sorted(name for name in params if name.startswith("teacher__"))
        if inner:
            raise ValueError(
                f"{', '.join(inner)} cannot be set: the teacher is fitted and is not fitted again, "
                "so the setting would change your object and have no effect. Compare teachers by "
                "a grid over `teacher` of FrozenEstimator(fitted_teacher)."
            )
        return super().set_params(**params)

    def __sklearn_clone__(self) -> PrivateDistiller:
        params = self.get_params(deep=False)
        shared = {name: params.pop(name) for name in ("teacher", "certificate", "accountant")}
        shared["teacher"] = _frozen(shared["teacher"])
        copied = {name: clone_network(value) for name, value in params.items()}
        return type(self)(**shared, **copied)

    def __deepcopy__(self, memo: dict[int, Any]) -> PrivateDistiller:
        twin = type(self).__new__(type(self))
        for name, value in vars(self).items():
            shared = name in ("teacher", "certificate", "accountant")
            setattr(twin, name, value if shared else copy.deepcopy(value, memo))
        return twin

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "accountant":
            adopt(value)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: a fitted distiller leaves its teacher behind."""
        state = dict(super().__getstate__())
        if hasattr(self, "student_"):
            teacher = unwrap(self.teacher)
            state["teacher"] = WithheldTeacher(type(teacher).__name__, self._teacher_kind() or "")
            state["student"] = None if self.student is None else clone_network(self.student)
            state["accountant"] = None
            if not isinstance(self.certificate, str):
                state["certificate"] = "auto"
        else:
            state["accountant"] = for_pickle(self.accountant)
        return state

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return a text that shows settings only."""
        text = as_text(self)
        return text if len(text) <= N_CHAR_MAX else text[: N_CHAR_MAX - 4] + "...)"

    def _repr_html_(self) -> str:
        return as_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": as_text(self), "text/html": as_html(self)}

    def _sk_visual_block_(self) -> Any:
        return visual_block(self)


def _frozen(teacher: Any) -> Any:
    """Keep a fitted teacher through clone; clone one that is not fitted."""
    if isinstance(teacher, FrozenEstimator):
        return teacher
    try:
        check_is_fitted(teacher)
    except (NotFittedError, TypeError, AttributeError):
        return clone(teacher, safe=False)
    return FrozenEstimator(teacher)


def _take_params(params: dict[str, Any], rows: NDArray[np.intp], X: Any) -> dict[str, Any]:
    """Restrict fit parameters with one entry per row of X to the rows that were labelled."""
    m = n_rows(X)
    if len(rows) == m:
        return params
    return {
        name: take_rows(value, rows) if hasattr(value, "__len__") and len(value) == m else value
        for name, value in params.items()
    }


def _noise_warning(plan: ReleasePlan, teacher: Any, output_range: Any) -> str:
    """Say that there is more noise than signal, and what helps for this teacher."""
    certificate, fewer = plan.certificate, ", or fewer rows (max_queries)"
    steps = getattr(teacher, "steps", ())
    if isinstance(certificate, ParameterBall):
        better, fewer = "a smaller C (stable_C(epsilon, delta, max_row_norm=...) chooses it)", ""
    elif isinstance(certificate, DisjointTeachers):
        better = "more teachers in the ensemble"
        better += "" if plan.basis is not None else ', and a basis to smooth them in (basis="auto")'
    elif steps and certify(steps[-1][1], output_range=output_range).name != certificate.name:
        better = (
            "earlier steps that learn nothing from private rows. One of them was fitted together "
            f"with the {type(steps[-1][1]).__name__}, whose own bound does not hold therefore. Fit "
            "that step on public rows and wrap it in FrozenEstimator, as "
            "FrozenEstimator(TableFeatures(schema).fit(X_public)). Besides"
        )
    else:
        better = (
            "a teacher with a bound of its own (StableLogisticRegression, or a TeacherEnsemble: "
            "many teachers on disjoint shards)"
        )
    return (
        f"The released labels are mostly noise: standard deviation {plan.noise_scale:.3g} per "
        f"label, against at most {plan.signal_scale:.3g} for the signal (certificate: "
        f"{certificate.name}). A student can average over rows, but do not expect much. What "
        f"helps: {better}, a larger epsilon{fewer}."
    )
