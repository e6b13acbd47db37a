"""Sequences laid end to end, against the same in plain lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.detect import Ragged
from offbeat.detect.ragged import numbered, segment_argmax, segment_max, starts_tell

LISTS = st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=12)


@given(LISTS)
def test_lists_come_back(lists):
    """Offsets and ids hold what was given, empty lists included."""
    data = Ragged.from_lists(lists)
    assert len(data) == len(lists)
    assert [data.ids[a:b].tolist() for a, b in zip(data.offsets, data.offsets[1:], strict=False)] == lists
    assert data.lengths.tolist() == [len(one) for one in lists]
    assert data.rows.tolist() == [i for i, one in enumerate(lists) for _ in one]
    assert data.size == max((code + 1 for one in lists for code in one), default=0)


@given(LISTS)
def test_cells_count_each_code(lists):
    """Cells are each row's codes with their counts and first places, by row, then code."""
    data = Ragged.from_lists(lists)
    naive = [(i, code, one.count(code), one.index(code)) for i, one in enumerate(lists) for code in sorted(set(one))]
    rows, codes, counts = data.cells
    assert list(zip(rows, codes, counts, data.first_places, strict=True)) == naive


@given(LISTS)
def test_distinct_maps_every_row_to_the_first_like_it(lists):
    """Each row's representative is the first row with the same events in the same order."""
    first, index = Ragged.from_lists(lists).distinct
    assert first[index].tolist() == [lists.index(one) for one in lists]
    assert first.tolist() == sorted(first)


@given(LISTS, LISTS)
def test_the_hash_is_of_the_sequence_alone(lists, others):
    """A sequence has the same hash whatever else is in the frame."""
    alone, among = Ragged.from_lists(lists), Ragged.from_lists([*others, *lists])
    assert np.array_equal(alone.hashes, among.hashes[len(others) :])


@given(st.data())
def test_take_picks_rows_in_any_order(data):
    """Rows are taken in the order asked, repeated where asked twice, with their weights."""
    lists = data.draw(LISTS)
    keep = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=8)) if lists else []
    whole = Ragged.from_lists(lists)
    weighted = Ragged(whole.ids, whole.offsets, np.arange(len(lists), dtype=float))
    taken = weighted.take(np.array(keep, dtype=np.int64))
    assert [taken.ids[a:b].tolist() for a, b in zip(taken.offsets, taken.offsets[1:], strict=False)] == [
        lists[i] for i in keep
    ]
    assert taken.weight.tolist() == keep


@given(LISTS, st.lists(st.integers(0, 9), max_size=4, unique=True))
def test_holds_says_which_codes_are_there(lists, codes):
    """One column a code asked for, codes that occur nowhere included."""
    found = Ragged.from_lists(lists).holds(np.array(codes, dtype=np.int64))
    assert found.shape == (len(lists), len(codes))
    assert found.tolist() == [[code in one for code in codes] for one in lists]


@given(st.lists(st.lists(st.floats(0, 9), max_size=4), max_size=8))
def test_the_largest_of_each_row(values):
    """The largest value and the first place that holds it; 0 and -1 for a row without values."""
    flat = np.array([v for one in values for v in one])
    rows = np.array([i for i, one in enumerate(values) for _ in one], dtype=np.int64)
    assert segment_max(flat, rows, len(values)).tolist() == [max(one, default=0.0) for one in values]
    at = segment_argmax(flat, rows, len(values))
    starts = np.cumsum([0, *map(len, values)])
    naive = [int(starts[i]) + one.index(max(one)) if one else -1 for i, one in enumerate(values)]
    assert at.tolist() == naive


def test_a_changed_order_is_another_sequence():
    """Neither order, nor a repeat, nor an event at the end is lost in the comparison by hash."""
    lists = [[0, 1], [1, 0], [0, 1, 1], [0, 0, 1], [], [0], [0, 0]]
    assert len(Ragged.from_lists(lists).distinct[0]) == len(lists)


@pytest.mark.parametrize("most", [1, 40, 10**12])
def test_numbered_is_unique_without_sorting(most):
    """Codes are numbered as NumPy does, be they dense or far apart; none are none."""
    rng = np.random.default_rng(most % 97)
    for n in (0, 1, 300):
        codes = rng.integers(0, most, n)
        found, index = numbered(codes)
        expected, places = np.unique(codes, return_inverse=True)
        assert np.array_equal(found, expected)
        assert np.array_equal(index, places)


def test_sessions_start_with_something_and_windows_with_anything():
    """Starts tell something of sessions, nothing of the same events cut into windows, whatever their number."""
    rng = np.random.default_rng(0)
    sessions = [[0, *rng.integers(1, 5, rng.integers(2, 6)).tolist()] for _ in range(300)]
    stream = [event for one in sessions for event in one]
    for size in (5, 7, 40):
        windows = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert not starts_tell(Ragged.from_lists(windows))
    assert starts_tell(Ragged.from_lists(sessions))


def test_units_of_any_length_are_no_windows():
    """Visits that may start anywhere and end anywhere are not cut at a length: what they start with counts."""
    rng = np.random.default_rng(0)
    visits = [rng.integers(0, 5, rng.integers(2, 9)).tolist() for _ in range(300)]
    assert starts_tell(Ragged.from_lists(visits))
    assert not starts_tell(Ragged.from_lists([visit[:2] for visit in visits]))


def test_single_events_have_nothing_else_to_tell():
    """Where units are single events, or nothing, their first event is all there is."""
    assert starts_tell(Ragged.from_lists([[0], [1], [0], []]))
    assert starts_tell(Ragged.from_lists([[], []]))
