"""Rules for a network of any library. Each library's test file makes the networks."""

import pickle
import random

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdistill import PrivateDistiller, ResidualRounds, TeacherEnsemble
from skdistill.certificates import certify
from skdistill.neural import NetworkClassifier, NetworkRegressor, adapted, clone_network
from skdistill.publishing import save
from skdistill.teachers.members import ConstantVoter
from skdistill.testing import no_noise

INF = float("inf")
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype("float32")
TRAIN, TEST = slice(0, 1200), slice(1200, None)


def draw_from_global_generators(X):
    """Draw as many global random numbers as the data say, as early stopping does."""
    n = 1 + int(np.asarray(X).sum()) % 97
    np.random.random(n)
    for _ in range(n):
        random.random()


class NetworkBehaviour:
    """Tests; a subclass for each library says how networks are made.

    ``classifier(epochs, draws=False)`` takes digits as rows of 64 numbers or as images and has one
    output per class; ``regressor(epochs)`` takes rows of 4. With `draws`, training takes a number
    of global random numbers that depends on the data.
    """

    def trained(self, epochs=8):
        return self.classifier(epochs).fit(DIGITS[TRAIN], LABELS[TRAIN])

    def test_a_teachers_soft_labels_are_its_probabilities(self):
        teacher = self.trained()
        labels = PrivateDistiller(teacher, epsilon=INF).release(DIGITS[TEST])
        assert np.allclose(labels, self.probabilities(teacher, DIGITS[TEST]), atol=1e-5)
        assert np.mean(labels.max(axis=1) > 0.8) > 0.5  # sure of itself: not softened twice
        # No seed: .92 with a standard deviation of .011; a guess is right in a tenth.
        assert np.mean(labels.argmax(axis=1) == LABELS[TEST]) > 0.75
        assert certify(teacher).name == "worst case"

    def test_other_floats_make_no_difference(self):
        teacher = self.trained(2)
        wide = PrivateDistiller(teacher, epsilon=INF).release(DIGITS[TEST].astype(float))
        assert np.allclose(wide, self.probabilities(teacher, DIGITS[TEST]), atol=1e-5)

    def test_teachers_are_found_in_pipelines_and_searches(self):
        pipeline = make_pipeline(StandardScaler(), self.classifier(3))
        pipeline.fit(DIGITS[TRAIN], LABELS[TRAIN])
        expected = adapted(pipeline[-1]).predict_proba(pipeline[:-1].transform(DIGITS[TEST]))
        labels = PrivateDistiller(pipeline, epsilon=INF).release(DIGITS[TEST])
        assert np.allclose(labels, expected, atol=1e-5)
        assert type(pipeline[-1]) is type(self.classifier(3))  # the user's object is as it was

    def test_the_student_sees_soft_labels(self):
        """70 % certain everywhere: hard labels, or rows repeated as such, would teach certainty."""
        prior = DummyClassifier(strategy="prior").fit(DIGITS[:10], [0] * 7 + [1] * 3)
        student = PrivateDistiller(prior, self.classifier(8), epsilon=INF).fit(DIGITS[TRAIN])
        shown = student.predict_proba(DIGITS[TEST])
        assert shown.shape == (len(DIGITS[TEST]), 2)
        assert np.abs(shown[:, 0] - 0.7).mean() < 0.05

    def test_a_network_is_not_written_to_a_file(self, tmp_path):
        student = self.classifier(1)
        distiller = PrivateDistiller(self.trained(1), student, epsilon=INF).fit(DIGITS[TEST])
        with pytest.raises(TypeError, match="cannot be written without pickle. Save a network"):
            save(distiller, tmp_path / "x")
        assert not list(tmp_path.iterdir())

    @pytest.mark.slow
    @pytest.mark.parametrize("scaled", [False, True])
    def test_student_of_a_frozen_network(self, scaled):
        teacher = FrozenEstimator(self.trained())
        student = self.classifier(8)
        if scaled:
            student = make_pipeline(StandardScaler(), student)
        distiller = PrivateDistiller(teacher, student, epsilon=INF, random_state=0)
        distiller.fit(DIGITS[TRAIN])
        assert distiller.score(DIGITS[TEST], LABELS[TEST]) > 0.8
        assert distiller.predict(DIGITS[TEST]).dtype == LABELS.dtype
        again = clone(distiller).fit(DIGITS[TRAIN])
        assert np.array_equal(
            again.predict_proba(DIGITS[TEST]), distiller.predict_proba(DIGITS[TEST])
        )

    @pytest.mark.slow
    def test_labels_may_be_text(self):
        names = np.array([f"digit {label}" for label in LABELS])
        teacher = LogisticRegression(max_iter=200).fit(DIGITS[TRAIN], names[TRAIN])
        distiller = PrivateDistiller(teacher, self.classifier(8), epsilon=INF).fit(DIGITS[TRAIN])
        assert distiller.score(DIGITS[TEST], names[TEST]) > 0.8

    def test_fit_parameters_reach_the_network(self):
        teacher = LogisticRegression(max_iter=200).fit(DIGITS[TRAIN], LABELS[TRAIN])
        distiller = PrivateDistiller(teacher, self.classifier(1), epsilon=INF)
        assert self.epochs(distiller.fit(DIGITS[TEST]).student_.network_) == 1
        assert self.epochs(distiller.fit(DIGITS[TEST], epochs=3).student_.network_) == 3

    def test_a_clone_keeps_how_it_is_trained(self):
        for network in (self.classifier(7), NetworkClassifier(self.classifier(7), random_state=0)):
            pipeline = clone_network(make_pipeline(StandardScaler(), network))
            fitted = adapted(pipeline).fit(DIGITS[TEST], LABELS[TEST])
            assert self.epochs(fitted[-1].network_) == 7
        assert self.epochs(clone(network).fit(DIGITS[TEST], LABELS[TEST]).network_) == 7

    def test_grid_search(self):
        teacher = LogisticRegression(max_iter=200).fit(DIGITS[TRAIN], LABELS[TRAIN])
        distiller = PrivateDistiller(teacher, self.classifier(6), threshold=None, random_state=0)
        grid = {"epsilon": [1e7, INF]}
        search = GridSearchCV(distiller, grid, cv=2, error_score="raise")
        search.fit(DIGITS[TEST], LABELS[TEST])
        assert self.epochs(search.best_estimator_.student_.network_) == 6
        assert search.best_score_ > 0.4

    def test_pickle(self):
        teacher = LogisticRegression(max_iter=200).fit(DIGITS[TRAIN], LABELS[TRAIN])
        distiller = PrivateDistiller(teacher, self.classifier(1), epsilon=INF).fit(DIGITS[TEST])
        twin = pickle.loads(pickle.dumps(distiller))
        assert np.array_equal(
            twin.predict_proba(DIGITS[TEST]), distiller.predict_proba(DIGITS[TEST])
        )

    @pytest.mark.slow
    def test_a_shard_without_some_classes(self):
        """Five rows of the last class for six members: at least one has none, and is not lost."""
        few = np.flatnonzero(LABELS[TRAIN] != 9)
        rare = np.concatenate([few, np.flatnonzero(LABELS[TRAIN] == 9)[:5]])
        ensemble = TeacherEnsemble(self.classifier(20), 6, classes=np.arange(10), random_state=0)
        ensemble.fit(DIGITS[rare], LABELS[rare])
        assert not any(isinstance(member, ConstantVoter) for member in ensemble.estimators_)
        for member in ensemble.estimators_:
            assert member.predict_proba(DIGITS[:3]).shape == (3, 10)
            assert np.array_equal(member.classes_, np.arange(10))
        assert ensemble.score(DIGITS[TEST], LABELS[TEST]) > 0.6

    def test_one_record_reaches_one_member(self):
        """A member's draws from the process's global generators do not change the others."""
        changed = DIGITS[:60].copy()
        changed[17] = 1 - changed[17]
        votes = []
        for X in (DIGITS[:60], changed):
            network = self.classifier(1, draws=True)
            ensemble = TeacherEnsemble(network, 6, classes=np.arange(10), random_state=3)
            ensemble.fit(X, LABELS[:60])
            votes.append(np.array(list(ensemble.member_votes(DIGITS[TEST]))))
        moved = [not np.array_equal(a, b) for a, b in zip(*votes, strict=True)]
        assert sum(moved) == 1

    def test_the_given_network_is_a_description(self):
        network = self.classifier(1)
        before = repr(network.get_params(deep=False))
        NetworkClassifier(network, random_state=0).fit(DIGITS[:60], LABELS[:60])
        assert repr(network.get_params(deep=False)) == before
        assert adapted(network).__dict__.keys() == {"estimator", "random_state"}  # not fitted

    def test_training_leaves_the_global_generators_alone(self):
        np.random.seed(5)
        random.seed(5)
        expected = np.random.random(), random.random()
        np.random.seed(5)
        NetworkClassifier(self.classifier(1), random_state=0).fit(DIGITS[:60], LABELS[:60])
        random.seed(5)
        assert (np.random.random(), random.random()) == expected

    @pytest.mark.slow
    def test_images_in_rounds(self):
        """Rows with three axes, from the private images to the student, in two rounds."""
        images = DIGITS.reshape(-1, 8, 8, 1)
        ensemble = TeacherEnsemble(self.classifier(8), 4, classes=np.arange(10), random_state=0)
        ensemble.fit(images[TRAIN], LABELS[TRAIN])
        with no_noise():
            distiller = PrivateDistiller(
                ensemble,
                self.classifier(8),
                epsilon=1e4,
                mechanism=ResidualRounds(2),
                random_state=0,
            ).fit(images[TEST])
        assert distiller.predict_proba(images[TRAIN]).shape == (1200, 10)
        assert distiller.score(images[TRAIN], LABELS[TRAIN]) > 0.6

    def test_regression(self):
        X, y = make_regression(400, n_features=4, noise=0, random_state=0)
        X, y = X.astype("float32"), y / 100
        teacher = NetworkRegressor(self.regressor(30), random_state=0).fit(X[:200], y[:200])
        assert teacher.score(X[200:], y[200:]) > 0.8
        # The network itself as a teacher gives the same labels.
        distillers = [
            PrivateDistiller(
                given, self.regressor(40), epsilon=INF, output_range=(-10, 10), random_state=0
            ).fit(X[200:])
            for given in (teacher, self.bare(teacher))
        ]
        for distiller in distillers:
            assert distiller.predict(X).shape == (400,)
            assert distiller.score(X[:200], y[:200]) > 0.6
        first, second = (distiller.released_labels_ for distiller in distillers)
        assert np.allclose(first, second, atol=1e-5)

    def test_a_regressor_learns_classes_by_least_squares(self):
        X, _ = make_regression(300, n_features=4, random_state=0)
        y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
        teacher = LogisticRegression().fit(X, y)
        distiller = PrivateDistiller(teacher, self.regressor(30, outputs=3), epsilon=INF)
        distiller.fit(X)
        assert distiller.predict_proba(X).shape == (300, 3)
        assert distiller.score(X, teacher.predict(X)) > 0.7

    def test_an_ensemble_of_regressors(self):
        X, y = make_regression(400, n_features=4, noise=0, random_state=0)
        ensemble = TeacherEnsemble(self.regressor(60), 2, random_state=0).fit(X, y / 100)
        assert not any(isinstance(member, ConstantVoter) for member in ensemble.estimators_)
        assert ensemble.score(X, y / 100) > 0.6
