import random
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from skdistill import TeacherEnsemble
from skdistill._randomness import own_randomness, put_back_once


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
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with own_randomness(7):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with own_randomness(7):
        assert torch.equal(torch.rand(3), inside)
