"""The replay audit over the package: mechanisms × estimators × containers × hostile records."""

import warnings
from functools import lru_cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matrices import some
from replay_cases import (
    CONTAINERS,
    JOBS,
    LABELS,
    MEMBERS,
    MIXED_MEMBERS,
    NUMBER,
    REGRESSORS,
    TEXT,
    Cell,
    N,
    cells,
    hostile_rows,
    public_rows,
    table,
)
from replay_checks import (
    MEANS,
    VOTES,
    audit_teachers,
    heard,
    members_changed,
    moved_by,
    recorded_teacher,
)
from sklearn.base import is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skdistill.teachers import TeacherEnsemble
from skdistill.teachers.members import ConstantVoter

K = 4


# Ensembles.


@lru_cache(maxsize=64)
def ensemble(group, name, kind, container, row="same", label=None, grouped=False):
    """Return a fitted ensemble, with the warnings of its fit; the caller's data are unchanged."""
    X, y = table(container, kind, row, label)
    member = group[name] if isinstance(group, dict) else GROUPS[group][name]
    if is_regressor(member):
        y = [cell if i == 7 else float(cell) for i, cell in enumerate(y)]
    settings = {} if is_regressor(member) else {"classes": [0, 1]}
    before = cells(X), cells(y)
    teacher = TeacherEnsemble(member, K, random_state=0, **settings)
    teacher, said = heard(teacher.fit, X, y, [i // 2 for i in range(N)] if grouped else None)
    assert (cells(X), cells(y)) == before
    return teacher, said


GROUPS = {"members": MEMBERS, "mixed": MIXED_MEMBERS, "regressors": REGRESSORS}
KINDS = {"members": "numbers", "mixed": "mixed", "regressors": "numbers"}


def audit_ensembles(group, name, container, row, label, ways, grouped=False):
    """Audit every way to release an ensemble on a pair of neighbours."""
    kind = KINDS[group]
    teacher, said = ensemble(group, name, kind, container, grouped=grouped)
    neighbour, said_there = ensemble(group, name, kind, container, row, label, grouped)
    assert said == said_there
    X_public = public_rows(container, kind)
    changed, _ = heard(members_changed, teacher, neighbour, X_public)
    assert changed <= 1
    there = group, name, container, grouped
    return {w: moved_by(neighbour, *recorded(w, *there)) for w in ways}


@lru_cache(maxsize=64)
def recorded(way, group, name, container, grouped):
    """Return the runs of one way on the ensemble that no hostile record taught; public rows."""
    kind, X_public = KINDS[group], public_rows(container, KINDS[group])
    teacher, _ = ensemble(group, name, kind, container, grouped=grouped)
    return recorded_teacher(VOTES[way], teacher, X_public, kind), X_public


def test_members_learn_from_ordinary_tables():
    """A matrix of members that fail on every table would show nothing."""
    for group, container in (("members", "list"), ("mixed", "frame"), ("regressors", "array")):
        X_public = public_rows(container, KINDS[group])
        for name in GROUPS[group]:
            teacher, _ = ensemble(group, name, KINDS[group], container)
            assert not any(isinstance(m, ConstantVoter) for m in teacher.estimators_)
            votes = np.array(list(teacher.member_votes(X_public)))
            assert name.startswith("panics") or (votes != 0.5).any()


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("way", VOTES)
def test_a_record_can_move_every_vote_and_no_query_beyond_its_bound(way, grouped):
    moved = audit_ensembles("members", "loud", "list", "large", None, [way], grouped)[way]
    labels = 2 if way in ("two rounds", "confident max") else 1
    assert len(moved) >= 1 + labels  # the class counts, then the labels
    assert moved[1][1] > 0.7  # the bound is nearly met: half of it would have been caught


@pytest.mark.parametrize("way", VOTES)
@pytest.mark.parametrize("label", ["text label", "complex label"])
def test_a_label_of_another_type_reaches_one_member_and_one_count(way, label):
    moved = audit_ensembles("members", "neighbours", "list", "same", label, [way])[way]
    assert moved[0][0] <= 1


@pytest.mark.parametrize("name", some(MEMBERS, 3))
def test_every_member(name):
    audit_ensembles("members", name, "array", "large", "flipped label", ["one round"])
    audit_ensembles("members", name, "frame", "text among numbers", None, ["two rounds"])


@pytest.mark.parametrize("name", REGRESSORS)
def test_every_regressor(name):
    for way in MEANS:
        audit_ensembles("regressors", name, "array", "large", "flipped label", [way])
    audit_ensembles("regressors", name, "list", "missing", "complex label", ["one round"])


@pytest.mark.parametrize("container", some(CONTAINERS, 3))
def test_every_container(container):
    for group, name in (("members", "neighbours"), ("mixed", "text")):
        for row in hostile_rows(container, KINDS[group])[1::5]:
            audit_ensembles(group, name, container, row, None, ["one round"])


@pytest.mark.parametrize("row", some(hostile_rows("list", "mixed"), 3))
def test_every_hostile_row_of_a_mixed_table(row):
    audit_ensembles("mixed", "indicators", "list", row, None, ["two rounds"])


@pytest.mark.parametrize("label", LABELS)
def test_every_hostile_label(label):
    audit_ensembles("members", "neighbours", "objects", "same", label, ["noisy max"])
    audit_ensembles("regressors", "regression neighbours", "objects", "same", label, ["one round"])


LABEL_CONTAINERS = {
    "tuple": tuple,
    "array": np.array,
    "series": pd.Series,
    "series of objects": lambda y: pd.Series(y, dtype=object),
    "categories": lambda y: pd.Series(y, dtype="category"),
    "polars": lambda y: pl.Series(y, strict=False),
    "polars objects": lambda y: pl.Series(y, dtype=pl.Object),
    "column": lambda y: np.array([[cell] for cell in y], dtype=object),
}


@pytest.mark.parametrize("label", some(LABELS, 3))
@pytest.mark.parametrize("container", some(LABEL_CONTAINERS, 2))
def test_every_container_of_labels(container, label):
    """One odd label may change the dtype of all of them; it reaches one member and two counts."""
    X, y = table("array", "numbers")
    odd = table("array", "numbers", label=label)[1]
    try:
        made = LABEL_CONTAINERS[container](odd)
    except Exception:
        pytest.skip("the container does not hold the label")
    if _dtype(made).startswith(("<U", "|S", "String", "Binary")) and "objects" not in container:
        pytest.skip("the dtype of an array or a polars column is public")
    pair = []
    for labels in (LABEL_CONTAINERS[container](y), made):
        before = _dtype(labels), cells(list(labels))
        teacher = TeacherEnsemble(KNeighborsClassifier(1), K, classes=[0, 1], random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataConversionWarning)
            pair.append(heard(teacher.fit, X, labels)[0])
        assert (_dtype(labels), cells(list(labels))) == before
    assert np.abs(pair[0].class_count_ - pair[1].class_count_).sum() <= 2
    X_public = public_rows("array", "numbers")
    assert members_changed(*pair, X_public) <= 1
    audit_teachers(VOTES["one round"], *pair, X_public)


def _dtype(labels):
    return str(getattr(labels, "dtype", ""))


def _documents(made):
    array = np.empty(len(made), dtype=object)
    for i, document in enumerate(made):
        array[i] = document
    return array


DOCUMENTS = {
    "list": list,
    "objects": _documents,
    "series": lambda made: pd.Series(_documents(made), dtype=object),
    "polars": lambda made: pl.Series("text", made, dtype=pl.Object),
}
ODD_DOCUMENTS = {
    "other text": TEXT,
    "number": NUMBER,
    "missing": None,
    "bytes": TEXT.encode(),
    "row": [TEXT, NUMBER],
    "raising": Cell(),
}


@pytest.mark.parametrize("odd", ODD_DOCUMENTS)
@pytest.mark.parametrize("container", some(DOCUMENTS, 2))
def test_documents(container, odd):
    """Texts in place of rows: one that is none reaches one member."""
    made = [f"{JOBS[i % 3]} of {JOBS[i * i % 3]}" for i in range(N)]
    y = [int("baker" in text) for text in made]
    X_public = DOCUMENTS[container](made[:9])
    pair = []
    for document in (made[7], ODD_DOCUMENTS[odd]):
        X = DOCUMENTS[container]([*made[:7], document, *made[8:]])
        before = cells(list(X))
        member = make_pipeline(TfidfVectorizer(), LogisticRegression())
        teacher = TeacherEnsemble(member, K, classes=[0, 1], random_state=0)
        pair.append(heard(teacher.fit, X, y)[0])
        assert cells(list(X)) == before
    changed, _ = heard(members_changed, *pair, X_public)
    assert changed <= 1


def every_case():
    for group in GROUPS:
        for container in CONTAINERS:
            for name in GROUPS[group]:
                if hostile_rows(container, KINDS[group]):
                    yield group, name, container


@pytest.mark.slow
@pytest.mark.parametrize("group, name, container", list(every_case()))
def test_everything_with_everything(group, name, container):
    """All mechanisms on one large cell; one of them in turn on each of the other records."""
    ways = list(MEANS if group == "regressors" else VOTES)
    rows, labels = hostile_rows(container, KINDS[group]), list(LABELS)
    audit_ensembles(group, name, container, "large", None, ways)
    first = list(GROUPS[group]).index(name) % 2  # every second row; the next member has the others
    for i, row in list(enumerate(rows))[first::2]:
        label = labels[i % len(labels)] if i % 2 else None
        audit_ensembles(group, name, container, row, label, [ways[i % len(ways)]], i % 3 == 0)
