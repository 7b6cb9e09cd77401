"""Randomness that belongs to one fit: seeded before, put back or moved on after."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
from joblib import parallel_config
from joblib.parallel import get_active_backend
from numpy.random.mtrand import get_bit_generator, set_bit_generator

# Global generators serve one seeded fit at a time: threads wait for each other.
_TURN = threading.RLock()


def _new_turn() -> None:
    """Make a new lock in a forked child, where nobody frees one that another thread holds."""
    global _TURN
    _TURN = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_turn)


class _Batch(threading.local):
    """Libraries whose generators the block of `put_back_once` around this thread has saved."""

    saved: tuple[object, object] | None = None


_BATCH = _Batch()


@contextmanager
def own_randomness(seed: int | None) -> Iterator[None]:
    """Give a fit random numbers that depend on `seed` alone, whatever was drawn before it.

    Networks draw from generators that are global to the process. How many numbers a fit takes can
    depend on its data (early stopping), so the next fit's would, too, and *one private record would
    reach every later member of an ensemble*. In this block the generators of Python, NumPy,
    PyTorch and Keras start from the seed, so that member j is a function of shard j, of public
    numbers and of nothing else, as the sharding lemma of PATE asks for (Papernot et al. 2017,
    section 2.1).

    After the block, or after the one of :func:`put_back_once` around it, the generators are where
    they were. (Keras shows no way to read its own; it is seeded anew from Python's.) `seed` lies
    below 2^31; None leaves everything as it is.
    """
    if seed is None:
        yield
        return
    torch, keras = _libraries()
    saved = _BATCH.saved
    with _TURN, _one_by_one(), nullcontext() if saved == (torch, keras) else _put_back():
        _BATCH.saved = None  # a fit inside of this one restores the state that it found
        try:
            _seedable()
            if keras is not None:
                keras.utils.set_random_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            if torch is not None:
                torch.manual_seed(seed)
            yield
        finally:
            _BATCH.saved = saved


@contextmanager
def put_back_once() -> Iterator[None]:
    """Put the generators back once, after all seeded fits that this thread runs in the block.

    To save and restore 624 words of NumPy's state costs more than many a member's vote.
    """
    before = _BATCH.saved
    with _TURN, _one_by_one(), _put_back():
        _BATCH.saved = _libraries()
        try:
            yield
        finally:
            _BATCH.saved = before


@contextmanager
def moved_on() -> Iterator[None]:
    """Let the global generators go on from a public place, whatever is drawn from them inside.

    How many numbers a teacher draws, or how it seeds them, may depend on a record. The numbers
    drawn after the block, for the seeds of a student say, would tell. The generators are not put
    back, as :func:`own_randomness` does: the teacher may have drawn noise of its own from them,
    which must not be drawn again. They start anew from numbers that they give before the block.
    """
    with _TURN:
        generator, words = get_bit_generator(), np.random.bytes(32)
        seed, torch = random.getrandbits(256), _libraries()[0]
        torch_seed = None if torch is None else int(torch.randint(2**62, (), device="cpu"))
    try:
        yield
    finally:
        with _TURN:
            torch, keras = _libraries()
            random.seed(seed)
            if keras is not None:
                _seedable()
                keras.utils.set_random_seed(random.getrandbits(31))
            if torch is not None:
                torch.manual_seed(random.getrandbits(62) if torch_seed is None else torch_seed)
            random.seed(seed + 1)  # whether a teacher has imported these libraries, or not
            # Like new, also where the object is still in place: half a pair of normals is dropped.
            generator.state = type(generator)([*words]).state
            set_bit_generator(generator)


def _one_by_one() -> Any:
    """Let joblib start no threads: they would wait for the generators that this one has taken."""
    threads = getattr(get_active_backend()[0], "supports_sharedmem", False)
    return parallel_config(backend="sequential") if threads else nullcontext()


def _libraries() -> tuple[Any, Any]:
    return sys.modules.get("torch"), sys.modules.get("keras")


@contextmanager
def _put_back() -> Iterator[None]:
    torch, keras = _libraries()
    with ExitStack() as stack:
        keras_after = random.getrandbits(31) if keras is not None else 0
        stack.callback(random.setstate, random.getstate())
        stack.callback(_restore_numpy, get_bit_generator(), np.random.get_state(legacy=False))
        if torch is not None:
            devices = range(torch.cuda.device_count())
            stack.enter_context(torch.random.fork_rng(devices=devices))
        if keras is not None:
            stack.callback(keras.utils.set_random_seed, keras_after)
        stack.callback(_seedable)  # the first of all at the end: Keras seeds NumPy
        yield


def _restore_numpy(generator: Any, state: Any) -> None:
    set_bit_generator(generator)  # drops the second half of a pair of normal numbers
    np.random.set_state(state)


def _seedable() -> None:
    """Put a Mersenne Twister in place, the only kind that NumPy seeds, if a fit took it away.

    Otherwise the next fit would fail because of a record of this one.
    """
    if type(get_bit_generator()) is not np.random.MT19937:
        set_bit_generator(np.random.MT19937())
