"""PrivateDistiller: a fitted teacher in, a private student out."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import MetaEstimatorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import validate_data

from skdistill._display import print_once
from skdistill._estimator import DistilledEstimator
from skdistill._numbers import check_range
from skdistill._partitions import is_dask
from skdistill._randomness import moved_on
from skdistill._silenced import warn_caller
from skdistill._tables import own_copy
from skdistill._trained_on import quietly
from skdistill._validate import (
    Inputs,
    check_fit_params,
    check_inputs,
    check_student,
    clear_fitted,
    warn_of_own_table,
)
from skdistill.accounting.charging import replays
from skdistill.certificates import Certificate, certify
from skdistill.certificates.public_maps import with_schemas_of
from skdistill.certificates.registry import public_features
from skdistill.release.calibration import Release, calibrate, choose_queries, row_seed
from skdistill.release.mechanism import Labels, TransferSet
from skdistill.release.outputs import gives_margins
from skdistill.release.replay.cache_keys import assumed_of
from skdistill.release.signal import noise_warning
from skdistill.statement import PrivacyStatement
from skdistill.students import encoder_of, linear_student, match_threshold, rehearse, train
from skdistill.transfer.encoding import fetch_rows

Array = NDArray[np.float64]

_AFTER_THE_CHARGE = (
    "The student raised this after its labels were released: the charge stays. Another fit on the "
    "same X at the same price has the same labels at no cost, if accountant is a PrivacyLedger."
)


class PrivateDistiller(MetaEstimatorMixin, DistilledEstimator):
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
        LogisticRegression (or a Ridge) whose penalty is set from the known noise.
    epsilon : float, default=1.0
        Privacy loss of the whole release: all rows of one ``fit``. ``float("inf")`` is plain
        distillation without noise, marked as not private.
    delta : float, default=1e-6
        Probability with which the guarantee may fail; well below 1/n. 0: pure privacy.
    mechanism : str or mechanism, default="auto"
        How the answers are protected. "auto" takes the way that fits the certificate; "gaussian"
        and "laplace" name the law of its noise; "noisy_max" and "confident_max" release only the
        class that most members of a TeacherEnsemble vote for, the latter only where they agree. An
        object sets more: :class:`~skdistill.SoftLabels`, :class:`~skdistill.ResidualRounds`,
        :class:`~skdistill.Parameters`, :class:`~skdistill.NoisyMax`,
        :class:`~skdistill.ConfidentMax`; a grid reaches ``mechanism__n_rounds``.
    certificate : "auto" or Certificate, default="auto"
        How far one record can move the teacher. "auto": see :func:`skdistill.certificates.certify`.
    output_range : tuple of (float, float), default=None
        Public range (low, high) of a regression teacher's outputs, in units of the target; they
        are clipped to it. Required for a regression teacher unless `epsilon` is infinite.
    threshold : {"prior"}, float or None, default="prior"
        How ``predict`` decides. "prior" cuts where each class is predicted on X as often as the
        released class prior says (of more than two classes only for students with probabilities;
        not where the teacher gives margins, whose mean is no prior); a float is a cut on the
        probability of the second of two classes; None leaves it to the student. ``predict_proba``
        does not change.
    max_queries : int, default=None
        Label a random subset of at most this many rows of X; noise grows with the rows. None
        is all rows, and for a vote ("noisy_max", "confident_max") a number by a public rule.
    accountant : PrivacyLedger or diffprivlib.BudgetAccountant, default=None
        Charged before the teacher is called. A :class:`~skdistill.PrivacyLedger` holds in every
        process, and replays earlier releases at no cost. A BudgetAccountant is charged with
        (epsilon, delta) each time, shared by clones in one process, and refused in another.
    random_state : int, RandomState or None, default=None
        Drives public choices: the `max_queries` rows and the student. Never the noise. With an
        accountant, None chooses the same rows in each fit, so that a ledger can replay them.
    n_jobs : int, default=None
        Threads that label X. An ensemble asks its members with its own `n_jobs`.
    verbose : int, default=0
        Above 0, prints the statement before the teacher is asked (once, for many such releases).

    Attributes
    ----------
    student_ : estimator
        The fitted student. Everything it learned came through the noise.
    privacy_ : PrivacyStatement
        The promise, and its grounds.
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
    skdistill.NewtonClassifier : A teacher with a bound of its own.
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
    One fitted model of any kind, 120 private records, 30 public rows. Without noise the student is
    as good as the teacher:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import train_test_split
    >>> from skdistill import PrivateDistiller
    >>> X, y = load_iris(return_X_y=True)
    >>> X_private, X_public, y_private, y_public = train_test_split(
    ...     X, y, test_size=0.2, stratify=y, random_state=0)
    >>> teacher = LogisticRegression(max_iter=1000).fit(X_private, y_private)
    >>> student = PrivateDistiller(teacher, epsilon=float("inf")).fit(X_public)
    >>> student.score(X_public, y_public) > 0.9
    True

    At an ε that promises something, the labels of one arbitrary model are noise: 120 records and
    no bound but the worst case allow no more. The package says so:

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     student = PrivateDistiller(teacher, epsilon=1.0).fit(X_public)
    >>> print(caught[0].message)  # doctest: +ELLIPSIS
    The released labels are mostly noise: ... against at most 0.47 for the signal...
    """

    def __init__(
        self,
        teacher: Any,
        student: Any = None,
        *,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        mechanism: Any = "auto",
        certificate: str | Certificate = "auto",
        output_range: tuple[float, float] | None = None,
        threshold: str | float | None = "prior",
        max_queries: int | None = None,
        accountant: Any = None,
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
        self.threshold = threshold
        self.max_queries = max_queries
        self.accountant = accountant
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> PrivateDistiller:
        """Label the public rows X privately, and train the student on them.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public transfer set, handed to the teacher and the student untouched. Of a dask array
            or data frame, `max_queries` random rows are fetched first; it must be set.
        y : array-like of shape (m,), default=None
            Not used; a warning names labels that the teacher does not know.
        **fit_params : dict
            For the student's ``fit``, by metadata routing where that is enabled.

        Returns
        -------
        self : PrivateDistiller
            Fitted.

        Raises
        ------
        ValueError, TypeError
            For an invalid setting or an invalid X; nothing is charged.
        Exception
            The student's own, where it cannot learn; see :func:`skdistill.students.rehearse`.
        skdistill.release.boundary.TeacherError
            The teacher raised. Its message is withheld and the charge stays.
        """
        if is_dask(X):
            warn_of_own_table(self.teacher, X)
            rows, X = fetch_rows(X, self.max_queries, row_seed(self))
            self.fit(X, **fit_params)
            self.query_indices_: NDArray[np.intp] = rows[self.query_indices_]
            return self
        fit_params = {name: own_copy(value) for name, value in fit_params.items()}  # as X is
        inputs = check_inputs(self, X, y)
        student_params = fit_params
        if sklearn.get_config()["enable_metadata_routing"]:
            student_params = dict(process_routing(self, "fit", **fit_params).student.fit)
        bound = self._certify(inputs)
        self._rehearse(inputs, bound, student_params)
        asked = self._choose_queries(inputs, bound)
        release = self._price(bound, asked)
        self._rehearse_student(inputs, release, student_params)
        warned = self._announce(release, inputs.prior)
        labels = release.draw(inputs.teacher, self.accountant)
        student = self._train(inputs, bound, asked, labels, student_params)
        self._keep(inputs, asked, labels, student, release)
        if not warned and release.loss is not None:  # its class shares are known now
            self._warn_of_noise(release, labels.prior)
        return self

    def release(self, X: Any) -> Array:
        """Release noisy soft labels for all rows of X, without training a student.

        Charges like ``fit``; `max_queries` is not applied.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public rows.

        Returns
        -------
        labels : ndarray of shape (m, n_classes) or (m,)
            Noisy, not clipped to the simplex; :meth:`preview` states the promise.
        """
        inputs = check_inputs(self, X, None)
        bound = self._certify(inputs)
        bound.rehearse(inputs.X)
        asked = self._transfer_set(inputs, bound, np.arange(inputs.n_rows))
        release = self._price(bound, asked, with_prior=False)
        self._announce(release)
        return release.draw(inputs.teacher, self.accountant).values

    def preview(self, X: Any) -> PrivacyStatement:
        """Return the statement that ``fit(X)`` would make. Nothing is asked or charged.

        It warns of noise as ``fit`` does, and shows a table of the noise that other teachers have.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public transfer set.

        Returns
        -------
        statement : PrivacyStatement
            The one that ``fit`` stores as `privacy_`.
        """
        release = self.calibrate(X)
        self._warn_of_noise(release)
        return self._statement(release)

    def calibrate(self, X: Any) -> Release:
        """Return the release that ``fit(X)`` would make. Nothing is asked or charged.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Public transfer set.

        Returns
        -------
        release : Release
            The mechanism, the price (``loss``), and the noise on a label (``noise_scale``).
        """
        inputs = check_inputs(self, X, None)
        bound = self._certify(inputs)
        self._rehearse(inputs, bound, {})
        return self._price(bound, self._choose_queries(inputs, bound))

    @moved_on()  # attributes of the teacher may be code
    def _certify(self, inputs: Inputs) -> Certificate:
        """Return how far one record can move the teacher."""
        if np.isinf(self.epsilon):
            encode = public_features(inputs.teacher) if self.student is None else None
            why = "No noise was asked for."
            return Certificate(name="none", reason=why, assumes=(), transformer=encode)
        if isinstance(self.certificate, Certificate):
            return self.certificate
        return certify(inputs.teacher, inputs.X, output_range=self._range())

    def _rehearse(self, inputs: Inputs, bound: Certificate, params: dict[str, Any]) -> None:
        """Raise now, before the charge, each error that public values would raise after it."""
        encoded = bound.gives_model or (bound.kind == "none" and bound.transformer is not None)
        check_student(self.student, inputs, self.threshold, encoded)
        if params and self.student is None and bound.gives_model:
            raise ValueError(
                f"fit got {sorted(params)}, and student=None: the released model is the student, "
                "and nothing is trained. Pass a student, e.g. student=LogisticRegression()."
            )
        check_fit_params(self._blank_student(), params, inputs.n_rows)
        bound.rehearse(inputs.X)

    def _rehearse_student(self, inputs: Inputs, release: Release, params: dict[str, Any]) -> None:
        """Raise now the errors that the student would raise after the charge, if there is one."""
        if release.loss is None or (self.student is None and not params):  # checked by rule
            return
        asked = release.asked
        rehearse(
            *(self.student, inputs.X, inputs.classes),
            rows=asked.indices,
            threshold=self.threshold,
            output_range=asked.output_range,
            noise_scale=release.noise_scale,
            fit_params=params,
        )

    def _choose_queries(self, inputs: Inputs, bound: Certificate) -> TransferSet:
        """Choose the rows to label, at random and by number only."""
        rows = choose_queries(inputs.n_rows, self, bound, inputs.classes)
        return self._transfer_set(inputs, bound, rows)

    def _transfer_set(
        self, inputs: Inputs, bound: Certificate, rows: NDArray[np.intp]
    ) -> TransferSet:
        range_ = bound.output_range if self.output_range is None else self._range()
        encoder = encoder_of(self.student)
        return TransferSet(inputs.rows(rows), rows, inputs.classes, range_, self.n_jobs, encoder)

    def _range(self) -> tuple[float, float] | None:
        """Return `output_range` as two floats: proofs and ledgers compare ranges."""
        return None if self.output_range is None else check_range(self.output_range)

    def _price(self, bound: Certificate, asked: TransferSet, with_prior: bool = True) -> Release:
        """Choose the mechanism and the price."""
        price = float(self.epsilon), float(self.delta)
        with_prior = with_prior and self.threshold == "prior"
        return calibrate(bound, asked, *price, self.mechanism, with_prior=with_prior)

    def _announce(self, release: Release, prior: Array | None = None) -> bool:
        """Warn of noise, and print the statement where `verbose` asks for it."""
        warned = self._warn_of_noise(release, prior)
        if self.verbose > 0:
            print_once(str(self._statement(release)))
        return warned

    def _warn_of_noise(self, release: Release, prior: Array | None = None) -> bool:
        """Warn where there is more noise than signal, and say whether there is."""
        if warning := noise_warning(release, self.teacher, float(self.epsilon), prior):
            warn_caller(warning)
        return bool(warning)

    def _statement(self, release: Release) -> PrivacyStatement:
        counted = release.loss is not None and replays(self.accountant)
        assumed = assumed_of(self.teacher) if counted else ()
        return with_schemas_of(self.student, release.statement(assumed, self.accountant))

    def _train(
        self,
        inputs: Inputs,
        bound: Certificate,
        asked: TransferSet,
        labels: Labels,
        params: dict[str, Any],
    ) -> Any:
        """Train the student on a copy of the caller's X that no teacher has seen."""
        if self.student is None and labels.model is not None:
            range_ = asked.bounds if inputs.classes is None else None
            model = labels.model
            return linear_student(model, inputs.classes, range_, inputs.X, bound.transformer)
        X, encode = inputs.X, bound.transformer if bound.kind == "none" else None
        if encode is not None:  # the default student learns from the features of a released model
            X = encode.transform(own_copy(X))
        try:
            student = train(
                *(self.student, X, asked.indices, labels.values),
                answered=labels.answered,
                noise_scale=labels.noise_scale,
                classes=inputs.classes,
                output_range=asked.output_range,
                fit_params=params,
                random_state=self.random_state,
            )
        except Exception as error:
            error.add_note(_AFTER_THE_CHARGE)
            raise
        return student if encode is None else make_pipeline(encode, student)

    def _keep(
        self, inputs: Inputs, asked: TransferSet, labels: Labels, student: Any, release: Release
    ) -> None:
        """Set the attributes of a fit, all of them at its end."""
        prior, own = labels.prior, getattr(release.bound, "outputs", None)
        if inputs.classes is not None and own is None and gives_margins(inputs.teacher):
            prior = None
        offsets = match_threshold(student, inputs.X, self.threshold, prior, inputs.classes)
        statement = self._statement(release)
        clear_fitted(self)
        validate_data(self, inputs.X, skip_check_array=True)
        if inputs.classes is not None:
            self.classes_: NDArray[Any] = inputs.classes
            self.class_prior_ = labels.prior
        self.query_indices_ = asked.indices
        self.released_labels_ = labels.values
        self.student_ = student
        self.decision_offsets_ = offsets
        self.privacy_ = statement

    _shared = ("teacher", "certificate", "accountant")

    def _blank_student(self) -> Any:
        if self.student is not None:
            return self.student
        return Ridge() if self._predicts() == "regressor" else LogisticRegression()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        like = quietly(lambda: copy.deepcopy(get_tags(self.teacher)))
        if like is None:
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
            See scikit-learn's guide to metadata routing.
        """
        fits = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=type(self).__name__)
        return router.add(student=self._blank_student(), method_mapping=fits)
