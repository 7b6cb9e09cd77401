import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdistill.schema import Column

BOUND = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@st.composite
def numbers(draw):
    """A column of numbers with any bounds and bins."""
    integer = draw(st.booleans())
    ends = st.integers(-(10**6), 10**6) if integer else BOUND
    low, high = sorted([draw(ends), draw(ends)])
    edges = draw(
        st.one_of(
            st.none(),
            st.just("log" if low >= 0 else None),
            st.lists(BOUND, max_size=5, unique=True).map(lambda edges: tuple(sorted(edges))),
        )
    )
    missing = draw(st.booleans())
    return Column("x", low=low, high=high, integer=integer, missing=missing, edges=edges)


CATEGORIES = st.one_of(
    st.lists(st.text(max_size=3), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(-3, 30), min_size=1, max_size=6, unique=True),
    st.permutations([False, True]),
)
OTHERS = st.sampled_from([None, "other", "a", 1, True])


@st.composite
def categories(draw):
    """A column of categories of any kind."""
    return Column(
        "c",
        "category",
        categories=tuple(draw(CATEGORIES)),
        missing=draw(st.booleans()),
        other=draw(OTHERS),
    )


COLUMNS = st.one_of(numbers(), categories())
BINS = st.integers(1, 30)


@settings(deadline=None)
@given(COLUMNS, BINS)
def test_a_drawn_cell_has_its_code(column, n_bins):
    codes = np.repeat(np.arange(column.n_codes(n_bins)), 5)
    drawn = column.draw(codes, np.random.default_rng(0), n_bins)
    if column.kind == "category":
        drawn = np.array([*column.values, None], dtype=object)[drawn]
    again = column.encode(drawn, n_bins)
    assert again.dtype == np.int64
    assert np.array_equal(again, codes)


@settings(deadline=None)
@given(COLUMNS, BINS)
def test_the_middle_of_a_bin_has_its_code(column, n_bins):
    codes = np.arange(column.n_codes(n_bins))
    middles = column.middle(codes, n_bins)
    if column.kind == "category":
        assert np.array_equal(middles, column.draw(codes, np.random.default_rng(0), n_bins))
        middles = np.array([*column.values, None], dtype=object)[middles]
    else:
        n = len(column.bin_starts(n_bins))
        assert np.isnan(middles[n:]).all()
        assert ((middles[:n] >= column.low) & (middles[:n] <= column.high)).all()
        assert not column.integer or (middles[:n] == np.rint(middles[:n])).all()
    assert np.array_equal(column.encode(middles, n_bins), codes)


def test_middles():
    x = Column("x", low=-2, high=10, edges=(0, 4), missing=True)
    assert x.middle(np.array([0, 1, 2, 3]), 9)[:3] == pytest.approx([-1, 2, 7])
    k = Column("k", low=0, high=9, edges=(1, 4), integer=True)
    assert k.middle(np.array([2, 1, 0]), 9).tolist() == [6, 2, 0]


@settings(deadline=None)
@given(numbers(), BINS, st.lists(st.floats(), min_size=1, max_size=10))
def test_codes_of_numbers(column, n_bins, cells):
    """In range, rising with the number, and a number inside is in the bin that the ends name."""
    cells = np.sort(np.array(cells))  # NaN last
    codes, inside = column.encode(cells, n_bins), column.read(cells)
    assert ((codes >= 0) & (codes < column.n_codes(n_bins))).all()
    known = ~np.isnan(cells)
    assert (np.diff(codes[known]) >= 0).all()
    assert ((inside[known] >= column.low) & (inside[known] <= column.high)).all()
    starts, ends = column.bin_starts(n_bins), column.bin_ends(n_bins)
    assert (starts[codes[known]] <= inside[known]).all()
    assert (inside[known] <= ends[codes[known]]).all()
    if not known.all():
        assert np.isnan(inside[-1]) if column.missing else inside[-1] == column.low


@settings(deadline=None)
@given(numbers(), BINS)
def test_bins_cover_the_range_once(column, n_bins):
    starts, ends = column.bin_starts(n_bins), column.bin_ends(n_bins)
    assert starts[0] == column.low
    assert ends[-1] == column.high
    assert (starts <= ends).all()
    step = starts[1:] - 1 if column.integer else np.nextafter(starts[1:], -np.inf)
    assert np.array_equal(ends[:-1], step)
    if not isinstance(column.edges, tuple):
        assert len(starts) <= n_bins


def test_integers_that_fit_have_a_bin_each():
    assert Column("x", low=-2, high=3, integer=True).bin_starts(6).tolist() == [-2, -1, 0, 1, 2, 3]
    column = Column("x", low=0, high=299, integer=True)
    assert column.bin_starts(300).tolist() == list(range(300))


@settings(deadline=None)
@given(numbers(), st.integers(5, 300))
def test_bins_are_fine_near_zero_and_a_bound_has_a_bin_of_its_own(column, n_bins):
    """Of numbers without edges: widths grow with the distance from zero, the roundings aside."""
    column = dataclasses.replace(column, edges=None)
    starts, ends = column.bin_starts(n_bins), column.bin_ends(n_bins)
    if column.integer and column.high - column.low < n_bins:
        assert starts.tolist() == np.arange(column.low, column.high + 1).tolist()
        return
    if not column.integer:
        assert len(starts) == n_bins or column.high - column.low < 1e-6
        assert starts[-1] == ends[-1] == column.high
        if column.high > column.low:
            assert starts[0] == ends[0] == column.low
        starts, ends = starts[1:-1], ends[1:-1]
    zero, width = max(column.low, 0.0), ends - starts + column.integer
    rounding = 1e-9 + 1e-13 * max(-column.low, column.high)
    slack = 1.0 if column.integer else 1e-9 * (column.high - column.low) + rounding
    above = width[starts >= zero]
    below = width[ends < zero][::-1]
    for side in (above, below[1:]):
        assert (np.diff(side) >= -slack).all()


def test_a_heavy_tail_is_told_apart():
    """Money up to a million: half of all values are below 500, and are in many bins."""
    column = Column("x", low=0, high=1e6)
    starts = column.bin_starts(300)
    assert (starts < 500).sum() > 30
    assert column.bin_ends(300)[-2] - starts[-2] < 0.03 * 1e6
    both = Column("x", low=-1e6, high=1e6).bin_starts(300)
    assert np.abs(both).min() < 700
    assert np.allclose(np.sort(-both[2:-1]), both[2:-1], atol=1e-6)  # as fine on either side


def test_edges():
    column = Column("x", low=0, high=10, edges=(-3, 0, 1, 5, 10, 12))
    assert column.bin_starts(2).tolist() == [0, 1, 5, 10]
    assert column.encode(np.array([0.0, 0.99, 1, 4.9, 5, 10, 99]), 2).tolist() == [
        *(0, 0, 1, 1, 2, 3, 3)
    ]
    gain = Column("x", low=0, high=99999, integer=True, edges="log")
    assert gain.encode(np.array([0, 1, 99999]), 24).tolist() == [0, 1, len(gain.bin_starts(24)) - 1]


def test_constant_column():
    column = Column("x", low=3, high=3)
    assert column.n_codes(24) == 1
    assert column.draw(np.zeros(4, int), np.random.default_rng(0), 24).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("missing", "other", "wanted"),
    [
        (False, "o", ["a", "o", "o"]),
        (True, "o", ["a", "o", None]),
        (True, None, ["a", None, None]),
        (False, None, ["a", "a", "a"]),
        (False, "b", ["a", "b", "b"]),
    ],
)
def test_where_unknown_and_missing_categories_go(missing, other, wanted):
    column = Column("c", "category", categories=("a", "b"), missing=missing, other=other)
    for cells in (np.array(["a", "?", None], dtype=object), pd.Categorical(["a", "?", None])):
        found = column.read(pd.Series(cells))
        assert [None if i < 0 else column.values[i] for i in found] == wanted


def test_booleans_and_integers_are_equal_as_in_python():
    column = Column("c", "category", categories=(False, True), missing=True)
    cells = np.array([0, 1, True, np.True_, 1.0, "True", 2, None], dtype=object)
    assert column.read(cells).tolist() == [0, 1, 1, 1, 1, -1, -1, -1]


@settings(deadline=None)
@given(COLUMNS)
def test_json(column):
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": None, "high": 1}, "public knowledge"),
        ({"low": 0, "high": np.inf}, "finite"),
        ({"low": "0", "high": 1}, "finite number"),
        ({"low": True, "high": 1}, "finite number"),
        ({"low": 2, "high": 1}, "above"),
        ({"low": -1.7e308, "high": 1.7e308}, "width"),
        ({"low": 0.5, "high": 1, "integer": True}, "whole"),
        ({"low": 0, "high": 2**54, "integer": True}, "2\\*\\*53"),
        ({"low": 0, "high": 1, "categories": ("a",)}, "no categories"),
        ({"low": 0, "high": 1, "edges": "linear"}, "edges"),
        ({"low": 0, "high": 1, "edges": (1, 0)}, "increasing"),
        ({"low": 0, "high": 1, "edges": (0, np.nan)}, "increasing"),
        ({"kind": "category"}, "at least one"),
        ({"kind": "category", "categories": (1.5,)}, "must be a string"),
        ({"kind": "category", "categories": ("a",), "other": 1.5}, "must be a string"),
        ({"kind": "category", "categories": (2**53,)}, "below"),
        ({"kind": "category", "categories": (1, True)}, "distinct"),
        ({"kind": "category", "categories": ("a",), "low": 1}, "neither bounds"),
        ({"kind": "text"}, "kind"),
    ],
)
def test_what_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Column("x", **settings)


def test_a_name_is_text():
    with pytest.raises(TypeError, match="name"):
        Column(3, low=0, high=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 0, "high": 1, "hashed": True}, "no hashes"),
        ({"kind": "category", "categories": ("a",), "hashed": "yes"}, "hashed='yes' must be True"),
        ({"low": 0, "high": 1, "missing": "no"}, "missing='no' must be True or False"),
        ({"kind": "category", "categories": ("a",), "date": True}, "neither bounds"),
        ({"kind": "category", "categories": "abc"}, "must be a list"),
        ({"low": 0, "high": 1, "edges": 5}, "edges=5"),
        ({"low": 0, "high": 1, "edges": ("a",)}, "edges="),
    ],
)
def test_flags_and_kinds_are_checked(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Column("a", **settings)


def test_a_missing_interval_moves_no_other():
    cells = [pd.Interval(20, 30, closed="left"), pd.Interval(30, 40, closed="left"), None]
    for values in (cells[:2], [pd.Interval(20.0, 30.0, closed="left"), "[30, 40)"]):
        column = Column("a", "category", categories=values, missing=True)
        assert column.categories == ("[20, 30)", "[30, 40)")
        for rows in (2, 3):
            assert column.encode(pd.Series(cells[:rows]), 2)[:2].tolist() == [0, 1]
