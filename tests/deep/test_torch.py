"""PyTorch networks, by way of skorch, as teachers, students and members."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

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
from skdistill.neural.torch_losses import SoftNLLLoss  # noqa: E402

torch.set_num_threads(1)
INF = float("inf")


class Digits(torch.nn.Module):
    """A convolution, pooled over the image. Scores, or probabilities with `softmax`."""

    def __init__(self, n_outputs=10, softmax=False):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 24, 3)
        self.dense = torch.nn.Linear(24 * 9, n_outputs)
        self.softmax = softmax

    def forward(self, X):
        maps = torch.relu(self.convolution(X.reshape(-1, 1, 8, 8)))
        maps = torch.nn.functional.max_pool2d(maps, 2)
        scores = self.dense(maps.flatten(1))
        return torch.softmax(scores, dim=1) if self.softmax else scores


class Line(torch.nn.Module):
    def __init__(self, outputs=1):
        super().__init__()
        self.dense = torch.nn.Sequential(
            torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, outputs)
        )

    def forward(self, X):
        return self.dense(X)


class Draws(skorch.callbacks.Callback):
    """Take random numbers, as many as the data say."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        draw_from_global_generators(X)
        torch.rand(1 + int(np.asarray(X).sum()) % 97)


def two_outputs(X):
    return np.eye(2)[(X[:, 20] > 0.5).astype(int)]


class TestTorch(NetworkBehaviour):
    @staticmethod
    def classifier(epochs, draws=False, **settings):
        return skorch.NeuralNetClassifier(
            Digits,
            **{
                "criterion": torch.nn.CrossEntropyLoss,
                "optimizer": torch.optim.Adam,
                "lr": 0.01,
                "batch_size": 32,
                "max_epochs": epochs,
                "callbacks": [Draws()] if draws else None,
                "train_split": None,
                "verbose": 0,
                **settings,
            },
        )

    @staticmethod
    def regressor(epochs, outputs=1):
        return skorch.NeuralNetRegressor(
            Line,
            module__outputs=outputs,
            optimizer=torch.optim.Adam,
            lr=0.02,
            batch_size=32,
            max_epochs=epochs,
            train_split=None,
            verbose=0,
        )

    @staticmethod
    def probabilities(network, X):
        return network.predict_proba(X)

    @staticmethod
    def epochs(network):
        return len(network.history)

    @staticmethod
    def bare(adapter):
        return adapter.network_

    # The dummy teacher knows two classes, the module has ten outputs unless told.
    def test_the_student_sees_soft_labels(self):
        prior = DummyClassifier(strategy="prior").fit(DIGITS[:10], [0] * 7 + [1] * 3)
        for settings in (
            {"module__n_outputs": 2},
            {"module__n_outputs": 2, "module__softmax": True, "criterion": torch.nn.NLLLoss},
        ):
            student = PrivateDistiller(prior, self.classifier(15, **settings), epsilon=INF)
            shown = student.fit(DIGITS[TRAIN]).predict_proba(DIGITS[TEST])
            assert shown.shape == (len(DIGITS[TEST]), 2)
            assert np.abs(shown[:, 0] - 0.7).mean() < 0.05

    @pytest.mark.parametrize(
        "settings", [{}, {"callbacks": "disable"}, {"callbacks__valid_acc": None}]
    )
    def test_skorch_as_it_comes(self, settings):
        """Its own loss, its stratified split, its printed accuracy."""
        net = skorch.NeuralNetClassifier(
            Digits,
            module__softmax=True,
            optimizer=torch.optim.Adam,
            max_epochs=12,
            verbose=0,
            **settings,
        )
        teacher = self.trained()
        distiller = PrivateDistiller(teacher, net, epsilon=INF, random_state=0).fit(DIGITS[TRAIN])
        assert distiller.score(DIGITS[TEST], LABELS[TEST]) > 0.6
        history = distiller.student_.network_.history
        assert net.criterion is torch.nn.NLLLoss  # the user's object is as it was
        assert net.train_split.stratified
        if not settings:
            assert history[-1]["valid_acc"] > 0.6
            assert history[-1]["train_loss"] < history[0]["train_loss"]

    def test_two_classes_with_one_output(self):
        net = skorch.NeuralNetBinaryClassifier(
            Digits, module__n_outputs=1, optimizer=torch.optim.Adam, max_epochs=20, verbose=0
        )
        y = (LABELS > 4).astype("float32")
        teacher = net.fit(DIGITS[TRAIN], y[TRAIN])
        distiller = PrivateDistiller(teacher, net, epsilon=INF, random_state=0).fit(DIGITS[TRAIN])
        assert np.allclose(
            PrivateDistiller(teacher, epsilon=INF).release(DIGITS[TEST]),
            teacher.predict_proba(DIGITS[TEST]),
            atol=1e-5,
        )
        assert distiller.score(DIGITS[TEST], y[TEST]) > 0.7

    def test_labels_a_net_has_not_seen(self):
        """A net with ten outputs, trained on eight labels, keeps its columns apart."""
        seen = np.flatnonzero((LABELS[TRAIN] != 3) & (LABELS[TRAIN] != 5))
        net = self.classifier(5).fit(DIGITS[seen], LABELS[seen])
        labels = PrivateDistiller(net, epsilon=INF).release(DIGITS[TEST])
        kept = net.predict_proba(DIGITS[TEST])[:, net.classes_]
        assert np.allclose(labels, kept / kept.sum(axis=1, keepdims=True), atol=1e-5)

    def test_the_soft_loss_is_the_hard_one_at_the_corners(self):
        scores = torch.log_softmax(torch.randn(20, 4), dim=1)
        codes = torch.randint(0, 4, (20,))
        corners = torch.nn.functional.one_hot(codes, 4).float()
        for reduction in ("mean", "sum"):
            loss = SoftNLLLoss(reduction=reduction)
            hard = torch.nn.NLLLoss(reduction=reduction)(scores, codes)
            assert torch.allclose(loss(scores, codes), hard)
            assert torch.allclose(loss(scores, corners), hard)
        weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
        summed = torch.nn.NLLLoss(weight=weight, reduction="sum")(scores, codes)
        assert torch.allclose(SoftNLLLoss(weight=weight, reduction="sum")(scores, corners), summed)

    def test_a_subclass_is_a_network(self):
        class Own(skorch.NeuralNetClassifier):
            pass

        assert backend_of(Own(Digits)) is backend_of(self.classifier(1))
        assert isinstance(adapted(Own(Digits)), NetworkClassifier)

    def test_members_in_threads(self):
        """Global generators serve one member at a time, so threads change nothing."""
        votes = []
        for n_jobs in (None, 2):
            from joblib import parallel_config

            with parallel_config("threading"):
                ensemble = TeacherEnsemble(
                    self.classifier(2, draws=True), 6, classes=np.arange(10), random_state=3,
                    n_jobs=n_jobs,
                ).fit(DIGITS[:120], LABELS[:120])  # fmt: skip
                votes.append(np.array(list(ensemble.member_votes(DIGITS[TEST]))))
        assert np.array_equal(*votes)
