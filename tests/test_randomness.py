import os
import random
import signal
import threading
import time
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from processes import needs_fork
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from skdistill import PrivateDistiller, TeacherEnsemble
from skdistill._randomness import moved_on, own_randomness, put_back_once


def draws():
    return random.random(), float(np.random.random())


def test_a_seed_decides_and_what_went_before_does_not():
    found = []
    for before in (0, 1000):
        np.random.random(before)
        random.random()
        with own_randomness(7):
            found.append(draws())
    assert found[0] == found[1]
    with own_randomness(8):
        assert draws() != found[0]


@pytest.mark.parametrize("error", [None, ValueError])
def test_the_generators_are_put_back(error):
    np.random.seed(3)
    random.seed(3)
    expected = draws()
    np.random.seed(3)
    random.seed(3)
    try:
        with own_randomness(7):
            draws()
            if error:
                raise error
    except ValueError:
        pass
    after_python, after_numpy = draws()
    assert after_numpy == expected[1]
    # Keras, where it is loaded, takes one number of Python's generator for a new seed.
    import sys

    assert after_python == expected[0] or "keras" in sys.modules


@pytest.fixture
def twister():
    before = np.random.get_bit_generator()
    yield
    np.random.set_bit_generator(before)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("once", [False, True])
def test_another_kind_of_generator_is_put_back_too(twister, kind, once):
    """A fit may take it away, and then the next one starts as if it had not."""
    generator = kind(3)
    np.random.set_bit_generator(generator)
    np.random.normal()  # of two, of which the second is kept
    state = np.random.get_state(legacy=False)
    found = []
    with put_back_once() if once else nullcontext():
        for _ in range(2):
            with own_randomness(7):
                found.append(draws())
                np.random.set_bit_generator(np.random.SFC64(1))
    assert found[0] == found[1]
    assert np.random.get_bit_generator() is generator
    assert repr(np.random.get_state(legacy=False)) == repr(state)


class TakesTheTwister(DecisionTreeClassifier):
    def fit(self, X, y, **settings):
        if np.abs(X).max() > 900:
            np.random.set_bit_generator(np.random.PCG64(1))
        self.draw_ = np.random.random()
        return super().fit(X, y, **settings)


def test_a_member_that_takes_the_generator_away_changes_no_other_member(twister):
    """Its ensemble raised, for one record's sake."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 2)), np.arange(400) % 2
    other = X.copy()
    other[7, 0] = 987.0
    before = np.random.get_bit_generator()
    teachers = [TakesTheTwister(), 10]
    one, two = (
        TeacherEnsemble(*teachers, classes=[0, 1], random_state=0).fit(rows, y).estimators_
        for rows in (X, other)
    )
    assert np.random.get_bit_generator() is before
    assert sum(a.draw_ != b.draw_ for a, b in zip(one, two, strict=True)) == 1


def test_without_a_seed_nothing_is_touched():
    np.random.seed(3)
    first = np.random.random(2)
    np.random.seed(3)
    with own_randomness(None):
        pass
    assert np.array_equal(np.random.random(2), first)


class Draws(ClassifierMixin, BaseEstimator):
    """Draws, where it answers, as many numbers as its largest cell says, or seeds by it."""

    def __init__(self, seeds=False):
        self.seeds = seeds

    def fit(self, X, y):
        self.classes_, self.n_ = np.array([0, 1]), int(np.abs(X).max())
        return self

    def predict_proba(self, X):
        if self.seeds:
            random.seed(self.n_)
            np.random.seed(self.n_)
        self.drawn_ = np.random.normal(size=self.n_), [random.random() for _ in range(self.n_)]
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("seeds", [False, True])
@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64])
def test_numbers_drawn_after_a_release_say_nothing_of_a_record(twister, seeds, kind):
    """The seeds of a student's trees, which are published, told how many a teacher had drawn."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-3, 3, size=(400, 2)), np.arange(400) % 2
    found = []
    for largest in (3.0, 987.0, 988.0):
        X[7, 0] = largest
        teacher = Draws(seeds and kind is np.random.MT19937).fit(X, y)
        np.random.set_bit_generator(kind(3))
        random.seed(3)
        forest = RandomForestClassifier(2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mostly noise
            model = PrivateDistiller(teacher, forest, epsilon=0.1).fit(X[:50])
        after = [*draws(), np.random.normal()]
        found.append([each.random_state for each in model.student_.estimators_] + after)
        # Nor is a number drawn again: the teacher may have used it for noise of its own.
        assert not np.isin(after, np.concatenate(teacher.drawn_)).any()
    assert found[0] == found[1] == found[2]


def test_half_a_pair_of_normal_numbers_is_no_trace():
    found = []
    for n in (2, 3):
        np.random.seed(3)
        with moved_on():
            np.random.normal(size=n)
        found.append(np.random.normal(size=3).tolist())
    assert found[0] == found[1]


def test_the_numbers_of_a_block_do_not_come_again():
    found = []
    np.random.seed(3)
    random.seed(3)
    for _ in range(3):
        with moved_on():
            found += draws()
        found += draws()
    assert len(set(found)) == 12


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork beside threads
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    inside, done = threading.Event(), threading.Event()

    def hold():
        with own_randomness(7):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with moved_on(), own_randomness(7):
            os._exit(0)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


def test_threads_take_turns():
    found = {}

    def work(name):
        with own_randomness(7):
            for _ in range(50):
                found.setdefault(name, []).append(draws())
                time.sleep(1e-4)  # lets the others in, if they can come in

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[i] == found[0] for i in range(4))


def test_pytorch_too():
    torch = pytest.importorskip("torch")
    found = []
    for n in (2, 3):
        torch.manual_seed(1)
        with moved_on():
            torch.rand(n)
        found.append(torch.rand(3).tolist())
    assert found[0] == found[1]
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with own_randomness(7):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with own_randomness(7):
        assert torch.equal(torch.rand(3), inside)
