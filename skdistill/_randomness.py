"""Randomness that belongs to one fit: seeded before, put back after."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

__all__ = ["own_randomness"]

# Global generators serve one seeded fit at a time: threads wait for each other.
_TURN = threading.RLock()


@contextmanager
def own_randomness(seed: int | None) -> Iterator[None]:
    """Give a fit random numbers that depend on `seed` alone, whatever was drawn before it.

    Networks draw from generators that are global to the process. How many numbers a fit takes can
    depend on its data (early stopping), so the next fit's would, too, and *one private record would
    reach every later member of an ensemble*. In this block the generators of Python, NumPy,
    PyTorch and Keras start from the seed; a member's randomness is then a function of its public
    seed, and what it draws reaches no other member. That is what the sharding lemma of PATE
    (Papernot et al. 2017, section 2.1) asks for: member j is a function of shard j (and of public
    numbers), of nothing else.

    After the block the generators are where they were. (Keras shows no way to read its own; it is
    seeded anew from Python's.) None leaves everything as it is.

    Parameters
    ----------
    seed : int or None
        Below 2^31.
    """
    if seed is None:
        yield
        return
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    with _TURN, ExitStack() as stack:
        keras_after = random.getrandbits(31) if keras is not None else 0
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state(legacy=False))
        if torch is not None:
            devices = range(torch.cuda.device_count())
            stack.enter_context(torch.random.fork_rng(devices=devices))
        if keras is not None:
            stack.callback(keras.utils.set_random_seed, keras_after)
            keras.utils.set_random_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        if torch is not None:
            torch.manual_seed(seed)
        yield
