import random
import threading
import time

import numpy as np
import pytest

from skdistill._randomness import own_randomness


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
