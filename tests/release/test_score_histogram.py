"""Counts of records by score and class: a record of any score moves two counts."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from skdistill.accounting import PrivacyLoss
from skdistill.accounting.relation import Unit
from skdistill.release import class_counts
from skdistill.release.class_counts import measure_scores
from skdistill.release.gradient_rounds import LinearRelease
from skdistill.release.noise import active_sampler
from skdistill.release.private_sums import PrivateRows
from skdistill.release.query import Query, answer
from skdistill.testing import ReplayAuditError, no_noise, replay_audit

LOSSES = {"gaussian": PrivacyLoss.gaussian(1.0, 1e-6), "laplace": PrivacyLoss.laplace(1.0)}
EACH_LAW = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
PUBLIC = np.random.default_rng(5).normal(size=(200, 2))
MODEL = LinearRelease(np.array([[1.0, -0.5]]), np.array([0.3]), 1, 3)


def rows_of(X, labels, groups=None):
    """Return private rows; labels outside the classes are -1."""
    X, labels = np.array(X, dtype=float).reshape(-1, 2), np.array(labels, dtype=np.int64)
    if groups is None:
        return PrivateRows(X, labels, 2, len(X))
    counts = np.bincount(groups)
    sizes = counts[groups].astype(float)
    return PrivateRows(X, labels, 2, len(counts), Unit.GROUP, sizes)


def audit(first, other, loss, public=PUBLIC, model=MODEL):
    """Audit two sets of private rows; return how far the counts moved."""

    def mechanism(rows):
        return measure_scores(rows, public, model, loss)

    found = replay_audit(mechanism, first, other, loss=loss)
    assert found.n_queries == 1  # it did not raise in both
    return found.moved[0]


CELL = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([-1e300, 0.0, 1e300]))
ROW = st.tuples(st.tuples(CELL, CELL), st.integers(-1, 1))


@EACH_LAW
@given(table=st.lists(ROW, min_size=1, max_size=8), other=ROW, place=st.integers(0, 7))
def test_a_record_moves_no_count_beyond_its_bound(loss, table, other, place):
    place %= len(table)
    changed = [other if i == place else row for i, row in enumerate(table)]
    audit(*(rows_of(*zip(*each, strict=True)) for each in (table, changed)), loss)


@EACH_LAW
@given(
    kept=st.lists(st.lists(ROW, min_size=1, max_size=5), max_size=3),
    first=st.lists(ROW, min_size=1, max_size=9),
    other=st.lists(ROW, min_size=1, max_size=9),
)
def test_a_group_moves_no_count_beyond_its_bound(loss, kept, first, other):
    pair = []
    for changed in (first, other):
        groups = [*kept, changed]
        X, labels = zip(*(row for rows in groups for row in rows), strict=True)
        names = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
        pair.append(rows_of(X, labels, names))
    audit(*pair, loss)


# A record that changes both its score and its class.
HERE, THERE = [[5.0, 0.0]] * 20, [[5.0, 0.0]] * 19 + [[-5.0, 0.0]]
PAIR = rows_of(HERE, [1] * 20), rows_of(THERE, [1] * 19 + [0])


@EACH_LAW
def test_the_bound_is_reached(loss):
    moved = audit(*PAIR, loss)
    assert moved[loss.kind == "gaussian"] == pytest.approx(1, abs=1e-9)


@EACH_LAW
@pytest.mark.parametrize("part", [0.5, 0.999])
def test_a_smaller_bound_is_caught(monkeypatch, loss, part):
    def smaller(values, l1, l2, share=Fraction(1)):
        return Query(values, part * l1, part * l2, share)

    monkeypatch.setattr(class_counts, "Query", smaller)
    with pytest.raises(ReplayAuditError, match="moves by"):
        audit(*PAIR, loss)


def test_bins_of_private_scores_are_caught(monkeypatch):
    """The mutant's bins are quantiles of the private rows' scores."""
    honest = class_counts.measure_scores

    def peeking(rows, public, model, loss):
        return honest(rows, rows.X, model, loss)

    X = np.random.default_rng(0).normal(size=(20, 2))
    pair = rows_of(X, [1] * 20), rows_of([[9.0, 9.0], *X[1:]], [1] * 20)
    audit(*pair, LOSSES["gaussian"])
    monkeypatch.setitem(globals(), "measure_scores", peeking)
    with pytest.raises(ReplayAuditError, match="changes"):
        audit(*pair, LOSSES["gaussian"])


def test_groups_that_weigh_as_their_rows_do_are_caught():
    """One group of 20 rows in place of another: as rows, it would move 20 counts."""
    other = rows_of([[-5.0, 0.0]] * 20 + [[0.0, 0.0]], [0] * 21, [0] * 20 + [1])
    first = rows_of([[5.0, 0.0]] * 20 + [[0.0, 0.0]], [0] * 21, [0] * 20 + [1])
    assert audit(first, other, LOSSES["gaussian"])[1] == pytest.approx(1, abs=1e-4)
    with pytest.raises(ReplayAuditError, match="moves by"):
        audit(*(replace(rows, rows_of_unit=None) for rows in (first, other)), LOSSES["gaussian"])


# The results.


def scored(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    score = X @ MODEL.coef[0] + MODEL.intercept[0]
    return X, score, (rng.random(n) < expit(score)).astype(np.int64)


def test_without_noise_the_counts_are_true():
    """Of 40 bins of equal public weight; a score at an edge is in the bin below."""
    X, score, labels = scored(30_000)
    for loss in (None, PrivacyLoss.gaussian(8.0, 1e-6)):
        with no_noise() as sampler:
            found = answer(measure_scores(rows_of(X, labels), PUBLIC, MODEL, loss), loss, sampler)
        assert found.counts.shape == (len(found.scores), 2) == (len(found.edges) + 1, 2)
        place = np.searchsorted(found.edges, score)
        wanted = [np.bincount(place[labels == k], minlength=len(found.scores)) for k in (0, 1)]
        assert np.abs(found.counts - np.transpose(wanted)).max() <= 3  # rows near an edge
        assert found.counts.sum() == pytest.approx(30_000)
    assert len(found.scores) == 40
    public = np.searchsorted(found.edges, PUBLIC @ MODEL.coef[0] + MODEL.intercept[0])
    assert np.bincount(public).tolist() == pytest.approx([5] * 40, abs=1)


def test_unknown_labels_are_counted_nowhere():
    with no_noise() as sampler:
        rows = rows_of([[0.0, 0.0]] * 5, [-1, -1, 0, 1, 1])
        loss = LOSSES["gaussian"]
        found = answer(measure_scores(rows, PUBLIC, MODEL, loss), loss, sampler)
    assert found.counts.sum(axis=0).tolist() == [1, 2]


@EACH_LAW
def test_the_noise_that_is_known_is_the_noise_that_was_added(loss):
    """Counts of empty bins: 80 numbers a draw, 30 draws; to 5 standard errors, kurtosis 6."""
    X, labels = [[1e6, 0.0]] * 50_000, [1] * 50_000
    noise = []
    for _ in range(30):
        found = answer(
            measure_scores(rows_of(X, labels), PUBLIC, MODEL, loss), loss, active_sampler("exact")
        )
        noise += found.counts[:-1].ravel().tolist()
    size = np.sqrt(np.mean(np.square(noise)))
    assert size / found.noise == pytest.approx(1, abs=5 * np.sqrt(5 / 4 / len(noise)))


def test_fewer_records_have_fewer_bins():
    """A public number: of records or groups, not of rows."""
    loss, sizes = PrivacyLoss.gaussian(0.2, 1e-6), []
    for n in (10, 3000, 300_000):
        X, _, labels = scored(n)
        public = np.random.default_rng(0).normal(size=(5000, 2))
        found = answer(
            measure_scores(rows_of(X, labels), public, MODEL, loss), loss, active_sampler("exact")
        )
        sizes.append(len(found.scores))
    assert sizes[0] == 4 < sizes[1] < sizes[2] == 40
    few = rows_of(X, labels, np.arange(len(X)) % 10)
    found = answer(measure_scores(few, public, MODEL, loss), loss, active_sampler("exact"))
    assert len(found.scores) == 4


FLAT = LinearRelease(np.zeros((1, 2)), np.array([0.7]), 1, 3)


@EACH_LAW
@pytest.mark.parametrize(
    ("public", "model"),
    [
        (PUBLIC, FLAT),
        (PUBLIC[:1], MODEL),
        (np.zeros((50, 2)), MODEL),
        (np.repeat([[0.0, 1.0], [1.0, 0.0]], 50, axis=0), MODEL),
        (PUBLIC, LinearRelease(np.array([[1e150, 1e150]]), np.array([0.0]), 1, 3)),
    ],
    ids=["all scores equal", "one public row", "no variance", "two scores", "huge weights"],
)
def test_public_rows_without_quantiles(loss, public, model):
    """A bin for each interval of limits, and a score in each: rising, finite."""
    audit(*PAIR, loss, public, model)
    found = answer(measure_scores(PAIR[0], public, model, loss), loss, active_sampler("exact"))
    b = len(found.scores)
    assert found.counts.shape == (b, 2)
    assert found.edges.shape == (b - 1,)
    assert np.isfinite(found.scores).all() and (np.diff(found.scores) > 0).all()
    assert (found.scores[:-1] <= found.edges).all()
    assert (found.edges <= found.scores[1:]).all()


def test_sparse_rows():
    X, _, labels = scored(500)
    dense = rows_of(X, labels)
    sparse = replace(dense, X=sp.csr_matrix(X))
    loss = LOSSES["gaussian"]
    with no_noise() as sampler:
        one, two = (
            answer(measure_scores(rows, public, MODEL, loss), loss, sampler)
            for rows, public in ((dense, PUBLIC), (sparse, sp.csr_matrix(PUBLIC)))
        )
    assert np.array_equal(one.counts, two.counts)
    assert one.edges == pytest.approx(two.edges)
