"""Every test of the replay audit bites: one line is broken at a time, and the audit goes red."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from bounded_means import BoundedMeans
from replay_cases import MEMBERS, MIXED_MEMBERS, REGRESSORS, Loud, cells, public_rows, table
from replay_checks import (
    GAUSSIAN,
    LAWS,
    SCHEMAS,
    VOTES,
    Way,
    audit_teachers,
    heard,
    members_changed,
)
from sklearn.base import clone, is_regressor

from skdistill import PrivateClassifier, PrivateRegressor, _validate
from skdistill.accounting import PrivacyLoss
from skdistill.release import (
    boundary,
    class_counts,
    gradient_rounds,
    marginals,
    parameters,
    residual_rounds,
    soft_labels,
    synthesis,
    votes,
)
from skdistill.release.parameters import Parameters
from skdistill.release.query import Query, RowQuery
from skdistill.teachers import (
    TeacherEnsemble,
    ensemble,
    fitted,
    members,
)
from skdistill.testing import ReplayAuditError, replay_audit

LARGE = ("large", "flipped label")


def audit(member, way, record=LARGE, container="list", kind="numbers", k=4):
    """Run one cell of the matrix: one member, one way and one record."""
    pair = []
    for row, label in (("same", None), record):
        X, y = table(container, kind, row, label)
        y = [float(c) if is_regressor(member) else c for c in y]
        before = cells(X), cells(y)
        random.seed(0)
        np.random.seed(0)
        settings = {} if is_regressor(member) else {"classes": [0, 1]}
        teacher = TeacherEnsemble(member, k, random_state=0, **settings)
        pair.append(heard(teacher.fit, X, y)[0])
        assert (cells(X), cells(y)) == before
    X_public = public_rows(container, kind)
    assert members_changed(*pair, X_public) <= 1
    return audit_teachers(way, *pair, X_public, kind)


def audit_one(teacher, way, record=LARGE):
    """Do it for a single teacher."""
    pair = []
    for row, label in (("same", None), record):
        X, y = table("array", "numbers", row, label)
        pair.append(clone(teacher).fit(X, np.array(y)))
    return audit_teachers(way, *pair, public_rows("array", "numbers"))


def audit_synthesis(loss=GAUSSIAN):
    schema = SCHEMAS["mixed"]

    def mechanism(name):
        codes = schema.encode(table("list", "mixed", name)[0], synthesis.N_BINS)
        return synthesis.measure_table(schema, codes, loss)

    return replay_audit(mechanism, "same", "shorter", loss=loss)


# How to break a line.


def smaller(factor):
    """Return breakers of the two classes of queries: with bounds divided by a factor."""

    def row_query(*args, **kwargs):
        made = RowQuery(*args, **kwargs)
        return replace(made, l1=made.l1 / factor, l2=made.l2 / factor)

    def plain_query(values, l1, l2, share=Fraction(1)):
        return Query(values, l1 / factor, l2 / factor, share)

    return {"RowQuery": row_query, "Query": plain_query}


def break_queries(monkeypatch, module, factor=2.0):
    for name, breaker in smaller(factor).items():
        if hasattr(module, name):
            monkeypatch.setattr(module, name, breaker)


def changed(queries, change):
    """Return a mechanism's generator with `change(query)` yielded in place of each query."""

    def broken(self, *args):
        generator, noisy = queries(self, *args), None
        while True:
            try:
                asked = next(generator) if noisy is None else generator.send(noisy)
            except StopIteration as done:
                return done.value
            if isinstance(asked, RowQuery):
                asked = asked.of(None, asked.share)
            noisy = yield from change(asked)

    return broken


def is_loud(asked):
    """Whether a query of the votes of loud members holds the vote of the one with a large cell."""
    return bool(asked.values[:, 1].any())


def caught(function, *args, **kwargs):
    with pytest.raises((ReplayAuditError, AssertionError)):
        function(*args, **kwargs)


# The mutants.


@pytest.mark.parametrize(
    "way, module",
    [
        ("one round", residual_rounds),
        ("two rounds", residual_rounds),
        ("one round of laplace", residual_rounds),
        ("noisy max", votes),
        ("noisy max by laplace", votes),
        ("confident max", votes),
        ("one round", class_counts),
    ],
)
def test_half_a_bound_of_an_ensemble(monkeypatch, way, module):
    audit(Loud(), VOTES[way])
    break_queries(monkeypatch, module)
    caught(audit, Loud(), VOTES[way])


@pytest.mark.parametrize("law", LAWS)
def test_half_a_bound_of_rows(monkeypatch, law):
    audit_one(Loud(), LAWS[law])
    break_queries(monkeypatch, soft_labels)
    caught(audit_one, Loud(), LAWS[law])


def test_a_smaller_bound_of_parameters(monkeypatch):
    """One record moves the weights by a half of the radius at most where C is small."""
    way = Way(Parameters())
    teacher = BoundedMeans(classes=[0, 1])
    audit_one(teacher, way)
    break_queries(monkeypatch, parameters, 8.0)
    caught(audit_one, teacher, way)


def test_a_smaller_bound_of_marginals(monkeypatch):
    assert audit_synthesis().n_queries == 2
    break_queries(monkeypatch, marginals, 2.0)
    caught(audit_synthesis)


def test_a_smaller_bound_of_the_moment(monkeypatch):
    """Of this pair; tests/release/test_synthesis.py has one that moves as far as the bound.

    The bound depends on the noisy counts; with next to no noise it is the same in every run.
    """
    loss = PrivacyLoss.of_mu(1e4, 1e-6)
    moved = audit_synthesis(loss).moved[1][1]
    break_queries(monkeypatch, synthesis, 1.2 / moved)
    caught(audit_synthesis, loss)


def fit_of(model, private, monkeypatch):
    """Audit a whole fit of a private table, as tests/test_replay_fits.py does."""
    monkeypatch.setattr("skdistill.private_table.base._N_ROWS", 30)

    def mechanism(case):
        X, y = table("list", "numbers", *case)
        y = y if private == "labels" else [float(c) if i != 7 else c for i, c in enumerate(y)]
        task = model._check(X, y, None, None)
        found = yield from model._queries(task, model._loss(task), np.random.RandomState(0))
        return found.table, found.labels, found.histogram

    return heard(lambda: replay_audit(mechanism, ("same", None), LARGE, loss=GAUSSIAN))[0]


TABLES = {
    "labels": PrivateClassifier(schema=SCHEMAS["numbers"], classes=[0, 1], epsilon=8.0),
    "targets": PrivateRegressor(schema=SCHEMAS["numbers"], output_range=(-1, 1), epsilon=8.0),
}


@pytest.mark.parametrize("private", TABLES)
def test_a_smaller_bound_in_a_fit_of_a_table(monkeypatch, private):
    """Of each query in turn: one of counts, a moment, gradients, a histogram."""
    model = TABLES[private]
    honest = fit_of(model, private, monkeypatch)
    assert honest.n_queries > 6
    scores = [class_counts] if private == "labels" else []
    for module in [marginals, synthesis, gradient_rounds, *scores]:
        with monkeypatch.context() as patch:
            break_queries(patch, module, 8.0)
            caught(fit_of, model, private, monkeypatch)


def test_the_clip_of_residuals_skipped(monkeypatch):
    def unclipped(residuals, clip):
        return np.rint(residuals).astype(np.int64)

    monkeypatch.setattr(residual_rounds, "clip_to_lattice", unclipped)
    monkeypatch.setattr(residual_rounds, "_CLIPS", residual_rounds._CLIPS / 1024)
    monkeypatch.setattr(residual_rounds, "_FLOOR", 0.0)
    caught(audit, Loud(), VOTES["two rounds"])


def test_the_clip_of_values_skipped(monkeypatch):
    def unclipped(values, low, high, total=1 << 20):
        return np.rint((values - low) / (high - low) * total)

    monkeypatch.setattr(residual_rounds, "range_steps", unclipped)
    caught(audit, REGRESSORS["loud regressor"], VOTES["one round"], ("large", None))


def test_a_record_in_two_shards(monkeypatch):
    split = ensemble.shards_of_records

    def overlapping(*args):
        return [np.union1d(shard, [7]) for shard in split(*args)]

    monkeypatch.setattr(ensemble, "shards_of_records", overlapping)
    caught(audit, Loud(), VOTES["one round"])


def _bound_from_values(asked):
    return (yield replace(asked, l2=asked.l2 + float(asked.values[:, 1].max())))


def _one_more_where_loud(asked):
    noisy = yield replace(asked, share=asked.share / 2)
    if is_loud(asked):
        noisy = yield replace(asked, share=asked.share / 2)
    return noisy


def _less_where_loud(asked):
    return (yield replace(asked, share=asked.share / (4 if is_loud(asked) else 2)))


def _without_noise(asked):
    yield asked
    return asked.values


def _fewer_rows_where_loud(asked):
    if not is_loud(asked):
        return (yield asked)
    noisy = yield replace(asked, values=asked.values[1:])
    return np.vstack([noisy[:1], noisy])


def _raises_where_loud(asked):
    if is_loud(asked):
        raise ValueError("there is a large cell")
    return (yield asked)


@pytest.mark.parametrize(
    "change",
    [
        _bound_from_values,
        _one_more_where_loud,
        _less_where_loud,
        _without_noise,
        _fewer_rows_where_loud,
        _raises_where_loud,
    ],
)
def test_private_values_decide_what_is_public(monkeypatch, change):
    broken = changed(votes.NoisyMax.queries, change)
    monkeypatch.setattr(votes.NoisyMax, "queries", broken)
    caught(audit, Loud(), VOTES["noisy max"], k=1)


def test_a_result_that_forgets_the_noise(monkeypatch):
    def queries(self, bound, asked, loss, teacher, prepared):
        yield from original(self, bound, asked, loss, teacher, prepared)
        return votes._labels(votes._count(bound, asked, None).argmax(axis=1), 2)

    original = votes.NoisyMax.queries
    monkeypatch.setattr(votes.NoisyMax, "queries", queries)
    caught(audit, Loud(), VOTES["noisy max"], k=1)


@pytest.mark.parametrize("name", ["draws", "splits"])
def test_a_seed_shared_by_members(monkeypatch, name):
    """Every member starts where the one before it stopped."""
    original = members.call_privately

    def unseeded(function, *data, seed=None, **kwargs):
        return original(function, *data, **kwargs)

    monkeypatch.setattr(members, "call_privately", unseeded)
    record = LARGE if name == "draws" else ("infinite", None)  # a member that fails draws nothing
    caught(audit, MEMBERS[name], VOTES["one round"], record)


class _Raw:
    """A table that hands out rows as they came."""

    def __init__(self, X):
        self.X, self.n_rows = X, len(X)

    def __len__(self):
        return self.n_rows

    def take(self, rows=None):
        return self.X if rows is None else self.X.iloc[rows]


@pytest.mark.parametrize("name", ["dummies", "typed"])
def test_canonical_rows_skipped(monkeypatch, name):
    monkeypatch.setattr(fitted, "read_table", _Raw)
    if name == "typed":
        caught(audit, MEMBERS[name], VOTES["one round"], ("text among numbers", None), "frame")
    else:
        record = ("new category", None)
        member = MIXED_MEMBERS[name]
        caught(audit, member, VOTES["one round"], record, "categories", "mixed")


def test_dtypes_of_the_whole_table(monkeypatch):
    from skdistill import _tables

    audit(MEMBERS["typed"], VOTES["one round"], ("text among numbers", None), "frame")
    monkeypatch.setattr(_tables, "narrow", lambda column: column)
    caught(audit, MEMBERS["typed"], VOTES["one round"], ("text among numbers", None), "frame")


def test_class_counts_twice(monkeypatch):
    count = fitted.label_counts
    monkeypatch.setattr(fitted, "label_counts", lambda *args: 2 * count(*args))
    caught(audit, MEMBERS["tree"], VOTES["one round"], ("same", "flipped label"))


def test_votes_twice(monkeypatch):
    count = votes.count_votes
    monkeypatch.setattr(votes, "count_votes", lambda *args: 2 * count(*args))
    caught(audit, Loud(), VOTES["noisy max"])


@pytest.mark.parametrize("name", ["panics in fit", "panics when asked"])
def test_exceptions_of_members_passed_on(monkeypatch, name):
    def openly(function, *data, seed=None, **kwargs):
        return function(*data)

    monkeypatch.setattr(members, "call_privately", openly)
    with pytest.raises(BaseException, match=r"patient|differs|exception|assert"):
        audit(MEMBERS[name], VOTES["one round"])


def test_a_members_copy_of_the_rows_skipped(monkeypatch):
    member = MEMBERS["StandardScaler(copy=False)"]
    audit(member, VOTES["one round"], container="array")
    monkeypatch.setattr(members, "copy_rows", lambda X: X)
    monkeypatch.setattr(ensemble, "frozen", lambda X: X)  # which would protect the rows by itself
    caught(audit, member, VOTES["one round"], container="array")


@pytest.mark.parametrize("name", [name for name in MEMBERS if name.endswith("(copy=False)")])
def test_a_teachers_copy_of_the_rows_skipped(monkeypatch, name):
    audit_one(MEMBERS[name], LAWS["gaussian"])
    if name.startswith("SimpleImputer"):
        return  # which changes nothing but missing cells
    for module in (boundary, _validate):  # either protects the caller's rows by itself
        monkeypatch.setattr(module, "own_copy", lambda data: data)
    caught(audit_one, MEMBERS[name], LAWS["gaussian"])
