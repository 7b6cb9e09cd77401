"""Proofs of users: their arguments, and the results that are accepted."""

import importlib
import pickle
import traceback

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.tree import DecisionTreeClassifier

from skdistill import TeacherEnsemble
from skdistill.certificates import RowBound, certify, register
from skdistill.certificates import registry as registry_module
from skdistill.certificates.registry import FAMILIES

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2
RANGE = (0.0, 2.0)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry_module, "_REGISTERED", {})


class Mine(DecisionTreeClassifier):
    pass


TEACHER = Mine(max_depth=1).fit(X, Y)
BOUND = RowBound(0.1, 0.1, name="mine")


def positional(seen):
    def proof(teacher, X, output_range):
        seen.update(teacher=teacher, X=X, output_range=output_range)
        return BOUND

    return proof


def other_names(seen):
    def proof(model, rows, limits):
        seen.update(teacher=model, X=rows, output_range=limits)
        return BOUND

    return proof


def keywords(seen):
    def proof(teacher, *, output_range, X=None):
        seen.update(teacher=teacher, X=X, output_range=output_range)
        return BOUND

    return proof


def defaults(seen):
    def proof(teacher, X=None, output_range=None):
        seen.update(teacher=teacher, X=X, output_range=output_range)
        return BOUND

    return proof


@pytest.mark.parametrize("make", [positional, other_names, keywords, defaults])
def test_a_proof_is_handed_what_it_asks_for(make):
    seen = {}
    register(Mine)(make(seen))
    assert certify(FrozenEstimator(TEACHER), X, output_range=RANGE) is BOUND
    assert seen["teacher"] is TEACHER
    assert seen["X"] is X
    assert seen["output_range"] == RANGE
    certify(TEACHER)
    assert seen["X"] is None and seen["output_range"] is None


def test_shorter_proofs():
    register(Mine)(lambda teacher: BOUND)
    assert certify(TEACHER, X) is BOUND
    register(Mine)(lambda teacher, X: None if X is None else BOUND)
    assert certify(TEACHER, X) is BOUND
    assert certify(TEACHER).name == "worst case"
    register(Mine)(lambda teacher, output_range: None if output_range is None else BOUND)
    assert certify(TEACHER, X, output_range=RANGE) is BOUND
    register(Mine)(lambda teacher, scale=0.1: RowBound(scale, scale))
    assert certify(TEACHER, X).l1 == 0.1


def test_in_a_pipeline_the_transfer_rows_are_not_the_last_steps():
    seen = {}
    register(Mine)(positional(seen))
    model = make_pipeline(Normalizer(), TEACHER)
    assert certify(model, X, output_range=RANGE).name == "mine"
    assert seen["X"] is None
    assert seen["output_range"] == RANGE
    certify(make_pipeline("passthrough", None, TEACHER), X)
    assert seen["X"] is X


def test_none_means_that_the_packages_own_families_are_asked():
    register(KNeighborsClassifier)(lambda teacher: None)
    assert certify(KNeighborsClassifier(5).fit(X, Y)).l1 == 2 / 5
    register(KNeighborsClassifier)(lambda teacher: BOUND)
    assert certify(KNeighborsClassifier(5).fit(X, Y)) is BOUND


def test_a_subclass_is_registered_by_itself():
    class Child(Mine):
        pass

    register(Mine)(lambda teacher: BOUND)
    assert certify(Child().fit(X, Y)).name == "worst case"


@pytest.mark.parametrize("answer", [True, False, 0.1, (0.1, 0.1), RowBound, "worst case"])
def test_an_answer_that_is_no_certificate(answer):
    def sloppy(teacher):
        return answer

    register(Mine)(sloppy)
    with pytest.raises(TypeError, match="sloppy registered for Mine must return a Certificate"):
        certify(TEACHER)


class Panic(BaseException):
    pass


@pytest.mark.parametrize("kind", [ValueError, KeyError, Panic, GeneratorExit])
def test_what_a_proof_raises_is_withheld(kind):
    def leaky(teacher):
        raise kind("record 1.2345 of patient 7")

    register(Mine)(leaky)
    with pytest.raises(RuntimeError, match="leaky registered for Mine") as caught:
        certify(TEACHER)
    error = caught.value
    assert error.__cause__ is None and error.__context__ is None
    assert "1.2345" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass(kind):
    def stop(teacher):
        raise kind("record 1.2345")

    register(Mine)(stop)
    with pytest.raises(kind) as caught:
        certify(TEACHER)
    assert caught.value.args == ()


@pytest.mark.parametrize("path", sorted(FAMILIES))
def test_the_table_names_classes_that_exist(path):
    module, _, name = path.rpartition(".")
    try:
        assert isinstance(getattr(importlib.import_module(module), name), type)
    except ImportError:
        assert module.startswith("diffprivlib")


def test_an_impostor_of_the_same_name_is_not_certified():
    Impostor = type("KNeighborsClassifier", (DummyClassifier,), {"__module__": "sklearn.neighbors"})
    teacher = Impostor().fit(X, Y)
    assert certify(teacher).name == "worst case"


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: make_pipeline(Normalizer(), t)])
def test_a_method_replaced_on_one_object_is_not_that_of_its_class(wrap):
    register(Mine)(lambda teacher: BOUND)
    own = Mine(max_depth=1).fit(X, Y)
    ensemble = TeacherEnsemble(DecisionTreeClassifier(), 4, classes=[0, 1]).fit(X, Y)
    for teacher, name in ((own, "predict_proba"), (ensemble, "member_votes")):
        assert certify(wrap(teacher)).name != "worst case"
        setattr(teacher, name, lambda rows, *more: np.eye(2)[Y[: len(rows)]])
        assert certify(wrap(teacher)).name == "worst case"


def test_a_certificate_shows_no_teacher():
    bound = certify(make_pipeline(Normalizer(), KNeighborsClassifier(5)).fit(X, Y))
    assert "Neighbors" not in repr(bound)
    assert pickle.loads(pickle.dumps(RowBound(0.1, 0.1))) == RowBound(0.1, 0.1)
