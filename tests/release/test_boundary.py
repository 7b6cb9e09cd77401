import contextvars
import decimal
import os
import pickle
import random
import threading
import traceback
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy import sparse

from skdistill.release.boundary import TeacherError, call_privately, own_copy


class Panic(BaseException):
    """As the panics of extension modules: no Exception."""


def fail(error):
    raise error


@pytest.mark.parametrize(
    "error", [ValueError("secret"), Panic("secret"), GeneratorExit("secret"), MemoryError("secret")]
)
def test_everything_raised_becomes_one_fixed_text(error):
    with pytest.raises(TeacherError) as caught:
        call_privately(fail, error)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value) == str(TeacherError())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_without_private_text(kind):
    class Secretive(kind):
        pass

    for error in (kind("secret"), Secretive("secret")):
        with pytest.raises(kind) as caught:
            call_privately(fail, error)
        assert type(caught.value) is kind and not caught.value.args
        assert caught.value.__context__ is None


def test_another_error_can_be_named():
    with pytest.raises(RuntimeError, match="^fixed$") as caught:
        call_privately(fail, ValueError("secret"), error=lambda: RuntimeError("fixed"))
    assert caught.value.__context__ is None


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [[1], [2]]})
CONTAINERS = {
    "array": np.ones((2, 2)),
    "strings": np.array([["a", "b"]]),
    "objects": np.array([["a", 1.0], ["b", [2]]], dtype=object),
    "csr": sparse.csr_matrix(np.eye(2)),
    "csc": sparse.csc_array(np.eye(2)),
    "frame": FRAME,
    "series": FRAME["a"],
    "polars": pl.DataFrame({"a": [1.0, 2.0]}),
    "lists": [[1.0, 2.0], [3.0, 4.0]],
    "texts": ["one", "two"],
}


def vandal(X):
    """Write into every array that can be written to."""
    if isinstance(X, np.ndarray):
        if X.dtype.hasobject and isinstance(X[-1, -1], list):
            X[-1, -1].append("vandal")
        X[...] = 0
    elif hasattr(X, "data") and sparse.issparse(X):
        X.data[:] = 7
    elif isinstance(X, pd.DataFrame):
        X["c"].iloc[0].append("vandal")
        X.iloc[:, 0] = -1.0
        X["new"] = 0
    elif isinstance(X, pd.Series):
        X.iloc[:] = -1.0
    elif isinstance(X, pl.DataFrame):
        X[0, "a"] = -1.0
    elif isinstance(X[0], list):
        X[0][0] = "vandal"
        X.clear()
    else:
        X[0] = "vandal"


@pytest.mark.parametrize("X", CONTAINERS.values(), ids=CONTAINERS)
def test_no_call_changes_its_argument(X):
    def seen(X):
        if sparse.issparse(X):
            return X.toarray().tolist()
        return repr(X.to_dict() if hasattr(X, "to_dict") else X)

    before = seen(X)
    call_privately(vandal, X)
    assert seen(X) == before


@pytest.mark.parametrize("X", CONTAINERS.values(), ids=CONTAINERS)
def test_copy_is_of_the_same_kind(X):
    assert type(own_copy(X)) is type(X)
    if isinstance(X, pd.DataFrame):
        pd.testing.assert_frame_equal(own_copy(X), X)


def test_global_state_starts_from_the_seed_and_is_put_back():
    def draw_all(count):
        warnings.simplefilter("error")
        np.seterr(all="raise")
        sklearn.set_config(transform_output="pandas")
        return [random.random() for _ in range(count)], np.random.random(count).tolist()

    np.random.seed(1)
    random.seed(1)
    expected = np.random.random(), random.random()
    np.random.seed(1)
    random.seed(1)
    filters, errors, config = list(warnings.filters), np.geterr(), sklearn.get_config()
    few, many = call_privately(draw_all, 1, seed=5), call_privately(draw_all, 50, seed=5)
    assert few[0] == many[0][:1] and few[1] == many[1][:1]
    assert (np.random.random(), random.random()) == expected
    assert (list(warnings.filters), np.geterr(), sklearn.get_config()) == (filters, errors, config)


OWN = contextvars.ContextVar("OWN", default=0)


def test_context_variables_are_put_back():
    """The precision of decimal numbers is one: a record of one member would round all others'."""

    def change():
        OWN.set(7)
        decimal.getcontext().prec = 3

    before = decimal.getcontext().prec
    for seed in (None, 5):
        call_privately(change, seed=seed)
        with pytest.raises(TeacherError):
            call_privately(lambda: change() or fail(ValueError("secret")), seed=seed)
    assert (OWN.get(), decimal.getcontext().prec) == (0, before)


def test_warnings_stay_inside():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call_privately(lambda: warnings.warn("secret", stacklevel=1))
    assert caught == []


def test_warnings_stay_off_until_the_last_thread_is_done():
    """The first leaves while the second still asks; warnings of the second are not shown."""
    inside, left = threading.Event(), threading.Event()

    def second():
        inside.set()
        left.wait(10)
        warnings.warn("secret", stacklevel=1)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        thread = threading.Thread(target=call_privately, args=(second,))

        def first():
            thread.start()
            assert inside.wait(10)
            warnings.simplefilter("error")

        call_privately(first)
        left.set()
        thread.join(10)
        assert seen == []
        warnings.warn("shown", stacklevel=1)
        assert [str(each.message) for each in seen] == ["shown"]


def test_filters_of_a_nested_call_do_not_reach_the_outer_one():
    def outer():
        call_privately(warnings.simplefilter, "error")
        warnings.warn("secret", stacklevel=1)
        return True

    before = list(warnings.filters)
    assert call_privately(outer)
    assert warnings.filters == before


def test_environment_variables_are_put_back(monkeypatch):
    monkeypatch.setenv("SKDISTILL_KEPT", "before")
    monkeypatch.setenv("SKDISTILL_REMOVED", "before")
    monkeypatch.delenv("SKDISTILL_ADDED", raising=False)

    def teacher():
        os.environ["SKDISTILL_KEPT"] = os.environ["SKDISTILL_ADDED"] = "private"
        del os.environ["SKDISTILL_REMOVED"]

    before = dict(os.environ)
    call_privately(teacher)
    assert dict(os.environ) == before
    assert os.environ["SKDISTILL_KEPT"] == os.environ["SKDISTILL_REMOVED"] == "before"


def test_the_error_says_what_to_try_and_survives_pickling():
    """A worker process hands it on."""
    error = pickle.loads(pickle.dumps(TeacherError()))
    assert type(error) is TeacherError and str(error) == str(TeacherError())
    for word in ("withheld", "budget stays charged", "dtypes", "teacher.predict"):
        assert word in str(error)
