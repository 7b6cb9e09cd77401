"""Teachers and rows that count as the same."""

import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from bounded_means import BoundedMeans
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from processes import ENVIRONMENT
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skdistill import NewtonClassifier, TeacherEnsemble
from skdistill.release.replay import cache_keys
from skdistill.release.replay.cache_keys import assumed_of, digest, layout, row_keys, teacher_digest

X, y = make_classification(200, random_state=0)

TEACHERS = [
    LogisticRegression(),
    RandomForestClassifier(5),
    HistGradientBoostingClassifier(max_iter=3),
    GradientBoostingClassifier(n_estimators=3),
    KNeighborsClassifier(),
    make_pipeline(StandardScaler(), DecisionTreeClassifier()),
    BoundedMeans(classes=[0, 1]),
    TeacherEnsemble(LogisticRegression(), n_teachers=3, classes=[0, 1]),
]
NAMES = [type(teacher).__name__ for teacher in TEACHERS]


@pytest.mark.parametrize("teacher", TEACHERS, ids=NAMES)
def test_copies_of_a_teacher_are_the_same_one(teacher):
    teacher = clone(teacher).fit(X, y)
    name = teacher_digest(teacher)
    teacher.predict(X)
    assert teacher_digest(teacher) == name
    assert teacher_digest(FrozenEstimator(teacher)) == name
    assert teacher_digest(clone(FrozenEstimator(teacher))) == name
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(teacher))))
    assert teacher_digest(twice) == name


@pytest.mark.parametrize("teacher", TEACHERS[:-1], ids=NAMES[:-1])
def test_a_digest_from_memory_is_the_digest(teacher, monkeypatch):
    teacher = clone(teacher).fit(X, y)
    name = teacher_digest(teacher)
    assert teacher_digest(teacher) == name == digest(teacher)
    with monkeypatch.context() as patch:
        patch.setattr(cache_keys, "digest", None)  # a search asks for it once
        assert teacher_digest(teacher) == name
    for number in range(200):
        teacher_digest(LogisticRegression(C=1 + number))
    assert len(cache_keys._DIGESTS) <= 64


class Buffers:
    """Pickles as two buffers, as columns of pyarrow do."""

    def __init__(self, *contents):
        self.contents = contents

    def __reduce_ex__(self, protocol):
        contents = map(pickle.PickleBuffer, self.contents) if protocol >= 5 else self.contents
        return Buffers, tuple(contents)


def test_buffers_that_are_divided_otherwise():
    one, other = LogisticRegression(), LogisticRegression()
    one.coef_, other.coef_ = Buffers(b"ab", b"c"), Buffers(b"a", b"bc")
    assert teacher_digest(one) != teacher_digest(other)


def test_a_teacher_that_was_changed_in_place_is_another_one():
    """By the last bit of its numbers, or by which array holds which."""
    teacher = LogisticRegression().fit(X, y)
    teacher.first_, teacher.second_ = np.arange(5000.0), np.arange(5000.0)[::-1].copy()
    names = [teacher_digest(teacher)]
    teacher.first_, teacher.second_ = teacher.second_, teacher.first_
    names.append(teacher_digest(teacher))
    teacher.coef_[0, -1] = np.nextafter(teacher.coef_[0, -1], np.inf)
    names.append(teacher_digest(teacher))
    teacher.first_[-1] += 1
    names.append(teacher_digest(teacher))
    assert len(set(names)) == 4


@pytest.mark.slow
def test_copies_in_another_process_are_the_same_one(tmp_path):
    fitted = [clone(teacher).fit(X, y) for teacher in TEACHERS]
    joblib.dump(fitted, tmp_path / "teachers.joblib")
    code = (
        "import joblib, sys; from skdistill.release.replay.cache_keys import teacher_digest\n"
        "for teacher in joblib.load(sys.argv[1]): print(teacher_digest(teacher))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "teachers.joblib")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.split() == [teacher_digest(teacher) for teacher in fitted]


@pytest.mark.parametrize("teacher", [TEACHERS[-1], NewtonClassifier(classes=[0, 1])])
def test_our_teachers_are_others_after_every_fit(teacher):
    """Whether two fits give the same parameters depends on the data: they must not be one."""
    one, two = clone(teacher).fit(X, y), clone(teacher).fit(X, y)
    assert teacher_digest(one) != teacher_digest(two)
    name = teacher_digest(one)
    assert teacher_digest(one.fit(X, y)) != name
    assert assumed_of(one) == ()
    assert assumed_of(FrozenEstimator(make_pipeline(Normalizer(), one))) == ()
    assert assumed_of(make_pipeline(StandardScaler(), one))  # its scaler is private, and told so


def test_no_private_part_of_our_teachers_reaches_their_digest():
    """Neither what it is nor whether it pickles, which one record may decide."""
    teacher = clone(TEACHERS[-1]).fit(X, y)
    twice = pickle.loads(pickle.dumps(teacher))
    names = [teacher_digest(each) for each in (teacher, make_pipeline(Normalizer(), teacher))]
    assert len({*names, None}) == 3
    teacher.estimators_[0].cache_ = (i for i in range(3))
    assert [teacher_digest(teacher), teacher_digest(twice)] == [names[0]] * 2
    steps = [make_pipeline(step, teacher) for step in (Normalizer(), Normalizer("l1"))]
    assert teacher_digest(steps[0]) == names[1] != teacher_digest(steps[1])


def test_a_subclass_of_ours_is_another_kind_of_teacher():
    class Ours(TeacherEnsemble):
        pass

    assert assumed_of(Ours(LogisticRegression(), 3, classes=[0, 1]).fit(X, y))


def test_other_teachers_are_told_by_their_content_and_the_statement_says_so():
    teacher = LogisticRegression().fit(X, y)
    name = teacher_digest(teacher)
    (assumed,) = assumed_of(teacher)
    assert "one record" in assumed and "pickled" in assumed
    assert teacher_digest(LogisticRegression(C=1.0).fit(X[1:], y[1:])) != name
    assert teacher_digest(LogisticRegression(max_iter=101).fit(X, y)) != name  # the same weights
    other = pickle.loads(pickle.dumps(teacher))
    other.coef_[0, 0] = np.nextafter(other.coef_[0, 0], np.inf)
    assert teacher_digest(other) != name


def test_a_teacher_that_cannot_be_pickled_has_no_identity():
    class Local(LogisticRegression):
        pass

    assert teacher_digest(Local().fit(X, y)) is None
    assert teacher_digest((LogisticRegression(), lambda rows: rows)) is None


def test_a_panic_while_a_teacher_is_pickled_stays_inside():
    class Panics(LogisticRegression):
        def __getstate__(self):
            raise BaseException("canary")

    assert teacher_digest(Panics().fit(X, y)) is None


def test_an_object_that_holds_itself_has_a_digest():
    one, two = [1], [1]
    one.append(one)
    two.append(two)
    assert digest(one) == digest(two)
    assert digest({"a", "b", "c"}) == digest({"c", "b", "a"})


# ---------------------------------------------------------------------------------------- rows

FRAME = pd.DataFrame(
    {
        "n": [1, 2, 2, 3, 2],
        "x": [0.5, np.nan, np.nan, -0.0, np.nan],
        "s": ["a", None, None, "b", None],
        "c": pd.Categorical(["u", "v", "v", "u", "v"]),
        "o": [(1,), 2.5, 2.5, True, 2.5],
    }
)
TABLES = {
    "array": FRAME[["n", "x"]].to_numpy(),
    "objects": FRAME.to_numpy(),
    "text": np.array(["a", "b", "b", "c", "b"]),
    "images": np.array([1, 2, 2, 3, 2])[:, None, None] * np.ones((5, 4, 3)),
    "sparse": sparse.csr_array(np.array([[1.0, 0], [0, 2], [0, 2], [3, 0], [0, 2]])),
    "list": [[1, "x"], [2, None], [2, None], [3, "y"], [2, None]],
    "pandas": FRAME,
    "nullable": pd.DataFrame({"n": pd.array([1, None, None, 2, None], dtype="Int64")}),
    "polars": pl.DataFrame({"n": [1, 2, 2, 3, 2], "s": ["a", None, None, "b", None]}),
}


def take(table, rows):
    if isinstance(table, pd.DataFrame):
        return table.iloc[rows]
    return [table[i] for i in rows] if isinstance(table, list) else table[rows]


@pytest.mark.parametrize("name", TABLES)
def test_keys_are_distinct_and_follow_the_rows(name):
    table = TABLES[name]
    keys = row_keys(table, 5)
    assert keys.shape == (5,) and len(set(keys.tolist())) == 5
    assert_array_equal(row_keys(take(table, [3, 0]), 2), keys[[3, 0]])
    # The first of several equal rows is the first wherever it is met.
    assert_array_equal(row_keys(take(table, [4, 3]), 2), keys[[1, 3]])
    assert set(row_keys(take(table, [4, 2, 1]), 3)) == set(keys[[1, 2, 4]])
    assert_array_equal(row_keys(take(table, [0] * 3), 3)[0], keys[0])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_equal_rows_of_a_part_are_among_those_of_the_whole(rows):
    whole = np.array(rows, dtype=float)
    part = whole[:: 2 if len(whole) > 1 else 1]
    assert set(row_keys(part, len(part))) <= set(row_keys(whole, len(whole)))
    assert len(set(row_keys(whole, len(whole)))) == len(whole)


def test_no_key_ends_in_a_zero_byte():
    """NumPy strips them, and two keys would be one."""
    keys = row_keys(np.arange(5_000.0)[:, None], 5_000)
    assert keys.dtype == "S16"
    assert {len(key) for key in keys.tolist()} == {16}


def test_layout_tells_tables_apart_that_a_teacher_may_answer_differently():
    table = np.ones((3, 2))
    layouts = [
        layout(table),
        layout(table.astype(np.float32)),
        layout(np.ones((3, 3))),
        layout(pd.DataFrame(table, columns=["a", "b"])),
        layout(pd.DataFrame(table, columns=["b", "a"])),
        layout(sparse.csr_array(table)),
        layout(table.tolist()),
    ]
    assert len(set(layouts)) == len(layouts)
    assert layout(table) == layout(table[:1])
