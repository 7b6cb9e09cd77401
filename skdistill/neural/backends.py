"""Building, training and asking a network of Keras or of PyTorch."""

from __future__ import annotations

import copy
import sys
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

Array = NDArray[Any]


class _Keras:
    """Keras 3: ``keras.wrappers`` describe the network, which is trained and asked here.

    The wrapper's own ``fit`` takes class labels and rows of one dimension alone.
    """

    def fit(self, estimator: Any, X: Any, targets: Array, fit_params: dict[str, Any]) -> Any:
        keras = sys.modules["keras"]
        # Copied, since Keras's callbacks and optimizers have a state: two fits share nothing.
        options, settings = copy.deepcopy((estimator.fit_kwargs or {}, estimator.model_kwargs))
        if isinstance(estimator.model, keras.Model):
            network = keras.models.clone_model(estimator.model)
        else:
            network = estimator.model(X=X, y=targets, **(settings or {}))
        if not network.compiled:
            raise ValueError(
                "The Keras model is not compiled, or has a loss or an optimizer that cannot be "
                "copied. Pass a function model(X, y) that builds it and calls compile()."
            )
        if network.output_shape[-1] == 1 and targets.ndim == 2 and targets.shape[1] == 2:
            targets = targets[:, 1:]
        network.fit(_as_array(X), targets, **{**options, **fit_params})
        return network

    def fitted(self, estimator: Any) -> Any:
        return getattr(estimator, "model_", None)

    def outputs(self, network: Any, X: Any) -> Array:
        values = np.asarray(network.predict(_as_array(X), verbose=0))
        if getattr(network.loss, "from_logits", False):
            from scipy.special import expit, softmax

            values = expit(values) if values.shape[-1] == 1 else softmax(values, axis=-1)
        return values


class _Skorch:
    """PyTorch, by way of skorch: ``NeuralNetClassifier`` and its siblings, trained by skorch."""

    def fit(self, estimator: Any, X: Any, targets: Array, fit_params: dict[str, Any]) -> Any:
        net = clone(estimator)
        targets = np.asarray(targets, dtype=_float_type())
        if _is_a(net, "NeuralNetRegressor"):
            targets = targets.reshape(len(targets), -1)
        else:
            _accept_soft_labels(net)
            if _is_a(net, "NeuralNetBinaryClassifier"):
                targets = targets[:, 1]
        return net.fit(_as_floats(X), targets, **fit_params)

    def fitted(self, estimator: Any) -> Any:
        return estimator if getattr(estimator, "initialized_", False) else None

    def outputs(self, network: Any, X: Any) -> Array:
        regressor = _is_a(network, "NeuralNetRegressor")
        ask = network.predict if regressor else network.predict_proba
        return np.asarray(ask(_as_floats(X)))


Backend = _Keras | _Skorch
_KERAS, _SKORCH = _Keras(), _Skorch()
_KNOWN: dict[tuple[str, str], Backend] = {
    ("keras", "SKLearnClassifier"): _KERAS,
    ("keras", "SKLearnRegressor"): _KERAS,
    ("skorch", "NeuralNetClassifier"): _SKORCH,
    ("skorch", "NeuralNetBinaryClassifier"): _SKORCH,
    ("skorch", "NeuralNetRegressor"): _SKORCH,
}


def backend_of(estimator: Any) -> Backend | None:
    """Return how to train and ask `estimator`, by the names of its bases; None for no network.

    A subclass of Keras's wrappers that has a ``fit`` of its own is left alone.
    """
    for cls in type(estimator).__mro__:
        found = _KNOWN.get((cls.__module__.partition(".")[0], cls.__name__))
        if found is not None:
            own_fit = found is _KERAS and type(estimator).fit is not cls.fit  # type: ignore[attr-defined]
            return None if own_fit else found
    return None


def _is_a(estimator: Any, name: str) -> bool:
    return any(cls.__name__ == name for cls in type(estimator).__mro__)


def _accept_soft_labels(net: Any) -> None:
    """Make a skorch classifier train on one float per class.

    NLLLoss becomes a loss of distributions (CrossEntropy and BCEWithLogits are); its validation
    split cannot be stratified; the accuracy that it prints is that of the largest label.
    """
    import torch

    from skdistill.neural.torch_losses import SoftNLLLoss, soft_accuracy

    if net.criterion is torch.nn.NLLLoss:
        net.set_params(criterion=SoftNLLLoss)
    if getattr(net.train_split, "stratified", False):
        split = copy.copy(net.train_split)
        split.stratified = False
        net.set_params(train_split=split)
    with suppress(ValueError):  # no such callback: switched off by the user
        net.set_params(callbacks__valid_acc__scoring=soft_accuracy)


def _float_type() -> Any:
    """Return the type of PyTorch's parameters, as NumPy's."""
    import torch

    return np.float64 if torch.get_default_dtype() == torch.float64 else np.float32


def _as_floats(X: Any) -> Any:
    """Floats of the type that PyTorch's parameters have; anything else is left as it is."""
    if isinstance(X, np.ndarray) and X.dtype.kind == "f":
        return X.astype(_float_type(), copy=False)
    return X


def _as_array(X: Any) -> Any:
    """Return a frame or a list as an array, as Keras's wrapper does."""
    return np.asarray(X) if hasattr(X, "iloc") or isinstance(X, (list, tuple)) else X
