"""Adapters: a Keras or skorch network with the methods of an ordinary classifier or regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skdistill._doc_links import DocLink
from skdistill._randomness import own_randomness
from skdistill.neural.backends import Backend, backend_of

Array = NDArray[np.float64]


class _Network(DocLink, BaseEstimator):
    """The common part of the two adapters."""

    def __init__(self, estimator: Any, *, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def _backend(self) -> Backend:
        backend = backend_of(self.estimator)
        if backend is None:
            raise TypeError(
                f"{type(self).__name__}: estimator must be a Keras wrapper (keras.wrappers."
                "SKLearnClassifier, SKLearnRegressor) or a skorch net (NeuralNetClassifier, ...), "
                f"not <{type(self.estimator).__name__}>."
            )
        return backend

    def _train(self, X: Any, targets: NDArray[Any], fit_params: dict[str, Any]) -> None:
        backend, seed = self._backend(), None
        if self.random_state is not None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with own_randomness(seed):
            self.network_ = backend.fit(self.estimator, X, targets, fit_params)

    def _ask(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self, "network_")
        return self._backend().outputs(self.network_, X)

    def _take_fitted(self) -> None:
        """Take over the network of an estimator, and its classes, where it is already trained."""
        network = self._backend().fitted(self.estimator)
        if network is not None:
            self.network_ = network
            if is_classifier(self):
                self.classes_ = np.asarray(self.estimator.classes_)

    def __sklearn_clone__(self) -> Any:
        seed = clone(self.random_state, safe=False)
        return type(self)(clone_network(self.estimator), random_state=seed)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.input_tags.two_d_array = tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True  # the network's own affair
        return tags


class NetworkClassifier(ClassifierMixin, _Network):
    """A Keras or PyTorch classifier that is trained on soft labels and gives probabilities.

    :class:`~skdistill.PrivateDistiller` and :class:`~skdistill.TeacherEnsemble` put it around a
    network by themselves. Use it by hand to keep ``fit_kwargs`` through scikit-learn's own
    ``clone`` (that of Keras's wrapper drops them), or to set `random_state`.

    Parameters
    ----------
    estimator : keras.wrappers.SKLearnClassifier, skorch.NeuralNetClassifier or a sibling
        Describes the network and how it is trained; cloned, and never trained itself. A Keras
        model has one output per class (or one alone, for two classes) and a loss that takes
        distributions, such as ``"categorical_crossentropy"``. A skorch module has the loss
        NLLLoss (the module gives probabilities), CrossEntropyLoss, or any that takes one float
        per class.
    random_state : int, RandomState or None, default=None
        With a seed, training is a function of the data and the seed, and leaves the global
        generators as they were; threads take turns. None draws from the global generators.

    Attributes
    ----------
    network_ : keras.Model or skorch.NeuralNetClassifier
        The trained network.
    classes_ : ndarray of shape (n_classes,)
        Class labels, of any type.

    Notes
    -----
    X may have more than two axes (images). Floats are cast to the type of PyTorch's parameters.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> from skdistill.neural import NetworkClassifier
    >>> def build(X, y):
    ...     model = keras.Sequential([
    ...         keras.layers.Input(X.shape[1:]),
    ...         keras.layers.Conv2D(16, 3, activation="relu"),
    ...         keras.layers.GlobalAveragePooling2D(),
    ...         keras.layers.Dense(y.shape[1], activation="softmax"),
    ...     ])
    ...     model.compile(loss="categorical_crossentropy", optimizer="adam")
    ...     return model
    >>> student = NetworkClassifier(  # doctest: +SKIP
    ...     keras.wrappers.SKLearnClassifier(build, fit_kwargs={"epochs": 20, "verbose": 0}))
    """

    def fit(self, X: Any, y: Any, **fit_params: Any) -> NetworkClassifier:
        """Train on class labels.

        Parameters
        ----------
        X, y : array-like of shape (m, ...) and (m,)
            Rows and their class labels.
        **fit_params : dict
            For the network's own ``fit``.

        Returns
        -------
        self : NetworkClassifier
            Fitted.
        """
        classes, codes = np.unique(np.asarray(y), return_inverse=True)
        return self.fit_soft(X, np.eye(len(classes))[codes], classes, **fit_params)

    def fit_soft(
        self, X: Any, Y: Array, classes: NDArray[Any], **fit_params: Any
    ) -> NetworkClassifier:
        """Train on soft labels.

        Parameters
        ----------
        X, Y : array-like of shape (m, ...), ndarray of shape (m, n_classes)
            Rows and their soft labels, which sum to 1.
        classes : ndarray of shape (n_classes,)
            The label of each column of Y.
        **fit_params : dict
            For the network's own ``fit``.

        Returns
        -------
        self : NetworkClassifier
            Fitted.
        """
        self._train(X, np.asarray(Y, dtype=np.float32), fit_params)
        self.classes_ = np.asarray(classes)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the network's class probabilities, columns in the order of `classes_`.

        Parameters
        ----------
        X : array-like of shape (m, ...)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (m, n_classes)
            Rows sum to 1.
        """
        found, n_classes = np.asarray(self._ask(X), dtype=np.float64), len(self.classes_)
        if n_classes == 2 and found.size == len(found):
            found = np.column_stack([1 - found.ravel(), found.ravel()])
        if found.shape[1] > n_classes and self.classes_.dtype.kind in "iu":
            # A net that skorch trained itself has output c for label c, seen or not.
            found = found[:, self.classes_]
        return found

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the highest probability.

        Parameters
        ----------
        X : array-like of shape (m, ...)
            Rows.

        Returns
        -------
        y : ndarray of shape (m,)
            Class labels.
        """
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class NetworkRegressor(RegressorMixin, _Network):
    """A Keras or PyTorch regressor with targets and predictions of one dimension.

    Parameters
    ----------
    estimator : keras.wrappers.SKLearnRegressor or skorch.NeuralNetRegressor
        The network; cloned.
    random_state : int, RandomState instance or None, default=None
        As for :class:`NetworkClassifier`.

    Attributes
    ----------
    network_ : estimator
        The fitted network.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> from skdistill.neural import NetworkRegressor
    >>> def build(X, y):
    ...     model = keras.Sequential([keras.layers.Dense(32, activation="relu"),
    ...                               keras.layers.Dense(y.shape[1])])
    ...     model.compile(loss="mse", optimizer="adam")
    ...     return model
    >>> student = NetworkRegressor(  # doctest: +SKIP
    ...     keras.wrappers.SKLearnRegressor(build, fit_kwargs={"epochs": 20, "verbose": 0}))
    """

    def fit(self, X: Any, y: Any, **fit_params: Any) -> NetworkRegressor:
        """Train the network.

        Parameters
        ----------
        X, y : array-like of shape (m, ...), array-like of shape (m,) or (m, n_outputs)
            Rows and their targets.
        **fit_params : dict
            For the network's own ``fit``.

        Returns
        -------
        self : NetworkRegressor
            Fitted.
        """
        targets = np.asarray(y, dtype=np.float32)
        self._train(X, targets.reshape(len(targets), -1), fit_params)
        return self

    def predict(self, X: Any) -> Array:
        """Return the network's outputs, shape (m,) or (m, n_outputs).

        Parameters
        ----------
        X : array-like of shape (m, ...)
            Rows.

        Returns
        -------
        y : ndarray of shape (m,) or (m, n_outputs)
            In the unit of the targets.
        """
        found = np.asarray(self._ask(X), dtype=np.float64)
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def clone_network(estimator: Any) -> Any:
    """Clone an estimator, or anything, and keep the settings that the wrapper of Keras forgets.

    ``SKLBase.__sklearn_clone__`` of Keras (3.8 to 3.15 at least) drops ``fit_kwargs``.
    """
    twin = clone(estimator, safe=False)
    parts, copies = _parts(estimator), _parts(twin)
    for name, part in parts.items():
        options = getattr(part, "fit_kwargs", None)
        if options and name in copies and backend_of(part) is not None:
            copies[name].fit_kwargs = dict(options)
    return twin


def _parts(estimator: Any) -> dict[str, Any]:
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        return {}
    return {**estimator.get_params(deep=True), "": estimator}
