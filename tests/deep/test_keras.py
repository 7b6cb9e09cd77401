"""Keras 3 networks as teachers, students and members, on whichever backend is installed."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")  # conftest.py has chosen a backend

from deep.behaviour import (  # noqa: E402
    DIGITS,
    LABELS,
    TEST,
    TRAIN,
    NetworkBehaviour,
    draw_from_global_generators,
)
from sklearn.dummy import DummyClassifier  # noqa: E402

from skdistill import PrivateDistiller, TeacherEnsemble  # noqa: E402
from skdistill.neural import NetworkClassifier, adapted  # noqa: E402
from skdistill.neural.backends import backend_of  # noqa: E402
from skdistill.teachers.members import ConstantVoter  # noqa: E402

INF = float("inf")
# Keras on PyTorch calls NumPy 2 in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def digits(X, y, draws=False, filters=24):
    """A convolution, and the mean of each map, for rows of 64 numbers or images."""
    if draws:
        draw_from_global_generators(X)
    layers = [keras.layers.Input(X.shape[1:])]
    if X.ndim == 2:
        layers.append(keras.layers.Reshape((8, 8, 1)))
    layers += [
        keras.layers.Conv2D(filters, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(y.shape[1], activation="softmax"),
    ]
    return compiled(layers, "categorical_crossentropy")


def compiled(layers, loss, rate=0.01):
    model = keras.Sequential(layers)
    model.compile(loss=loss, optimizer=keras.optimizers.Adam(rate))
    return model


def line(X, y):
    width = y.shape[1] if y.ndim == 2 else 1
    layers = [
        keras.layers.Input(X.shape[1:]),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(width),
    ]
    return compiled(layers, "mse", 0.02)


class TestKeras(NetworkBehaviour):
    @staticmethod
    def classifier(epochs, draws=False, model=digits, **settings):
        return keras.wrappers.SKLearnClassifier(
            model,
            model_kwargs={"draws": draws} if model is digits else None,
            fit_kwargs={"epochs": epochs, "batch_size": 32, "verbose": 0, **settings},
        )

    @staticmethod
    def regressor(epochs, outputs=1):
        return keras.wrappers.SKLearnRegressor(
            line, fit_kwargs={"epochs": epochs, "batch_size": 32, "verbose": 0}
        )

    @staticmethod
    def probabilities(network, X):
        return network.model_.predict(X, verbose=0)

    @staticmethod
    def epochs(network):
        return len(network.history.epoch)

    @staticmethod
    def bare(adapter):
        wrapper = keras.wrappers.SKLearnRegressor(line)
        wrapper.model_ = adapter.network_
        return wrapper

    @pytest.mark.slow
    def test_the_convolutional_network_of_the_method(self):
        """Two convolutions and GlobalAveragePooling2D: ensemble, ε, student."""

        def build(X, y):
            return compiled(
                [
                    keras.layers.Input((8, 8, 1)),
                    keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
                    keras.layers.Conv2D(32, 3, activation="relu"),
                    keras.layers.GlobalAveragePooling2D(),
                    keras.layers.Dense(10, activation="softmax"),
                ],
                "categorical_crossentropy",
            )

        images = DIGITS.reshape(-1, 8, 8, 1)
        network = self.classifier(30, model=build)
        ensemble = TeacherEnsemble(network, 4, classes=np.arange(10), random_state=0)
        ensemble.fit(images[TRAIN], LABELS[TRAIN])
        assert ensemble.score(images[TEST], LABELS[TEST]) > 0.7
        distiller = PrivateDistiller(ensemble, network, epsilon=1e5, random_state=0)
        distiller.fit(images[TEST])
        assert distiller.privacy_.certificate["name"] == "disjoint teachers"
        assert distiller.score(images[TRAIN], LABELS[TRAIN]) > 0.6

    @pytest.mark.slow
    @pytest.mark.parametrize("outputs", [1, 2])
    def test_two_classes_and_scores_without_softmax(self, outputs):
        loss = "BinaryCrossentropy" if outputs == 1 else "CategoricalCrossentropy"

        def build(X, y):
            layers = [keras.layers.Input((64,)), keras.layers.Dense(outputs)]
            return compiled(layers, getattr(keras.losses, loss)(from_logits=True))

        prior = DummyClassifier(strategy="prior").fit(DIGITS[:10], [0] * 7 + [1] * 3)
        network = self.classifier(30, model=build)
        student = PrivateDistiller(prior, network, epsilon=INF).fit(DIGITS[TRAIN])
        shown = student.predict_proba(DIGITS[TEST])
        assert np.allclose(shown.sum(axis=1), 1, atol=1e-5)
        assert np.abs(shown[:, 0] - 0.7).mean() < 0.05

    def test_a_model_instead_of_a_function(self):
        """A fixed number of outputs; every fit starts anew."""
        layers = [keras.layers.Input((64,)), keras.layers.Dense(10, activation="softmax")]
        model = compiled(layers, "categorical_crossentropy")
        before = [np.array(w) for w in model.get_weights()]
        network = self.classifier(20, model=model)
        ensemble = TeacherEnsemble(network, 3, classes=np.arange(10), random_state=0)
        ensemble.fit(DIGITS[:90], LABELS[:90])
        assert not any(isinstance(member, ConstantVoter) for member in ensemble.estimators_)
        assert ensemble.score(DIGITS[:90], LABELS[:90]) > 0.5
        assert all(map(np.array_equal, before, model.get_weights()))
        networks = {id(member.network_) for member in ensemble.estimators_}
        assert len(networks) == 3 and id(model) not in networks

    def test_members_share_no_callback(self):
        """One EarlyStopping in fit_kwargs; each fit works on a copy of its own."""
        stopping = keras.callbacks.EarlyStopping(monitor="loss", patience=1)
        network = self.classifier(2, callbacks=[stopping])
        ensemble = TeacherEnsemble(network, 2, classes=np.arange(10), random_state=0)
        ensemble.fit(DIGITS[:60], LABELS[:60])
        assert not any(isinstance(member, ConstantVoter) for member in ensemble.estimators_)
        assert stopping.best is None or not np.isfinite(stopping.best)  # it never ran

    def test_an_uncompiled_model_says_so(self):
        model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(10)])
        network = NetworkClassifier(self.classifier(1, model=model))
        with pytest.raises(ValueError, match=r"compile\(\)"):
            network.fit(DIGITS[:60], LABELS[:60])

    def test_a_subclass_with_its_own_fit_is_left_alone(self):
        class Own(keras.wrappers.SKLearnClassifier):
            def fit(self, X, y):
                return super().fit(X, y, epochs=1, verbose=0)

        class Plain(keras.wrappers.SKLearnClassifier):
            pass

        assert backend_of(Own(digits)) is None
        assert adapted(own := Own(digits)) is own
        assert isinstance(adapted(Plain(digits)), NetworkClassifier)
