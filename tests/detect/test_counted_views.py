"""Presence, counts and pairs against their formulas worked out by hand."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import frame

from offbeat.detect import Count, NGram, Presence, Ragged


def test_presence_is_the_laplace_share():
    """A template in 1 of 9 units has -ln(1.5 / 10); one missing that 8 of 9 hold has -ln(1.5 / 10) too."""
    learned = Presence().fit(frame([[0, 1]] * 8 + [[0, 2]]))
    assert learned.anomaly_score(frame([[0, 1, 2]]))[0] == pytest.approx(-math.log(1.5 / 10))
    assert learned.anomaly_score(frame([[0]]))[0] == pytest.approx(-math.log(1.5 / 10))
    assert learned.anomaly_score(frame([[0, 1, 9]]))[0] == pytest.approx(-math.log(0.5 / 10))


def test_presence_ignores_order_and_repeats():
    """Presence sees which templates are there, and nothing else."""
    learned = Presence().fit(frame([[0, 1, 2]] * 9))
    scores = learned.anomaly_score(frame([[0, 1, 2], [2, 1, 0], [0, 0, 1, 2, 2]]))
    assert scores.n_unique() == 1


def test_presence_says_what_is_new_rare_or_missing():
    """Each kind of evidence with its template, place and share of training units."""
    learned = Presence().fit(frame([[0, 1]] * 99 + [[0, 1, 2]]))
    rows = learned.evidence(frame([[0, 7, 1], [0, 1, 2], [1]])).rows(named=True)
    assert [(r["kind"], r["template"], r["event"]) for r in rows] == [
        ("new pattern", 7, 1),
        ("rare pattern", 2, 2),
        ("missing event", 0, None),
    ]
    assert [r["share"] for r in rows] == pytest.approx([0, 0.01, 1])


def test_counts_are_the_smoothed_histogram():
    """Three of a template that is always there once takes the smoothing mass of a bin."""
    learned = Count().fit(frame([[0]] * 10))
    assert learned.anomaly_score(frame([[0, 0, 0]]))[0] == pytest.approx(-math.log(0.5 / (10 + 0.5 * 2)))
    assert learned.anomaly_score(frame([[0]]))[0] == pytest.approx(-math.log(10.5 / (10 + 0.5 * 2)))


@given(st.integers(0, 12), st.integers(0, 5000))
def test_a_bin_begins_with_its_smallest_count(largest, count):
    """The smallest count of a count's bin lies in that bin, and the one before it does not."""
    view = Count(largest=largest)
    bins = view.bins(np.array([count]))
    low = view.smallest(bins)
    assert low[0] <= count
    assert view.bins(low)[0] == bins[0]
    assert low[0] == 0 or view.bins(low - 1)[0] < bins[0]


@given(st.integers(0, 12), st.lists(st.integers(0, 5000), min_size=2))
def test_bins_grow_with_counts(largest, counts):
    """A larger count never falls in a smaller bin."""
    bins = Count(largest=largest).bins(np.sort(counts))
    assert (np.diff(bins) >= 0).all()


def test_counts_tell_a_missing_event_by_how_many_hold_it():
    """A template held by all units in differing numbers is said to be held by all, not by the share of one number."""
    learned = Count().fit(frame([[0, 1] + [2] * (1 + i % 5) for i in range(100)]))
    row = learned.evidence(frame([[0, 1]])).row(0, named=True)
    assert row["kind"] == "missing event"
    assert row["template"] == 2
    assert row["share"] == pytest.approx(1.0)


def test_counts_name_the_usual_count():
    """Evidence gives the count seen and the usual one, a large usual one by the smallest of its bin."""
    learned = Count().fit(frame([[0] * 20] * 50))
    row = learned.evidence(frame([[0] * 3])).row(0, named=True)
    assert (row["kind"], row["seen"], row["usual"], row["share"]) == ("count", 3.0, 16.0, 1.0)


def test_pairs_are_interpolated():
    """A pair seen always has the probability the formula gives; a pair never seen has the prior's share alone."""
    learned = NGram().fit(frame([[0, 1]] * 10))
    prior = (10 + 0.5) / (20 + 0.5 * 4)
    usual, swapped = learned.anomaly_score(frame([[0, 1], [1, 0]]))
    assert usual == pytest.approx(-math.log((10 + 0.5 * prior) / 10.5))
    assert swapped == pytest.approx(-math.log(0.5 * prior / 10.5))


def test_pairs_see_a_swap_and_point_at_it():
    """Of two swapped neighbours the first out of place is named."""
    learned = NGram().fit(frame([[0, 1, 2, 3, 4]] * 50))
    row = learned.evidence(frame([[0, 1, 3, 2, 4]])).row(0, named=True)
    assert row["kind"] == "order"
    assert row["event"] in (2, 3, 4)
    usual, swapped = learned.anomaly_score(frame([[0, 1, 2, 3, 4], [0, 1, 3, 2, 4]]))
    assert swapped > usual + 2


def test_a_predecessor_never_crosses_rows():
    """The first event of a row follows the start, not the row before, also after an empty row."""
    learned = NGram().fit(frame([[0, 1]] * 10))
    data = Ragged.of(frame([[], [0, 1], [], [], [0, 1]]))
    surprise = learned.event_surprise(data)
    assert surprise[:2].tolist() == surprise[2:].tolist()
    alone = learned.event_surprise(Ragged.of(frame([[0, 1]])))
    assert alone.tolist() == surprise[:2].tolist()


@pytest.mark.parametrize("view", [Presence, Count, NGram])
def test_learning_does_not_depend_on_the_order_of_rows(view):
    """What is counted is counted in any order."""
    lists = [[0, 1, 2]] * 5 + [[0, 2, 1]] * 3 + [[2]] + [[]]
    asked = frame([[0, 1, 2], [2, 2], [], [9]])
    one, other = (view().fit(frame(x)).anomaly_score(asked) for x in (lists, lists[::-1]))
    assert one.to_list() == other.to_list()


def test_only_templates_and_weights_are_read():
    """Further columns of SEQUENCES do not matter."""
    X = frame([[0, 1]] * 5)
    more = X.with_columns(key=pl.lit("a"), events=pl.lit(99))
    assert Presence().fit(X).anomaly_score(X).to_list() == Presence().fit(more).anomaly_score(more).to_list()


def test_the_start_of_a_window_is_no_start():
    """A stretch of rare events that a window begins in is no surprise; the same events among others are."""
    stream = ([0] * 37 + [1] * 5 + [0] * 41 + [2] * 33) * 40
    windows = [stream[i : i + 10] for i in range(0, len(stream), 10)]
    learned = NGram().fit(frame(windows))
    assert not learned.starts_
    inside, broken = learned.anomaly_score(frame([[1] * 3 + [0] * 7, [0, 0, 2, 0, 0, 0, 0, 0, 0, 0]]))
    assert inside < 2 < broken
    assert learned.anomaly_score(frame([[2]])).to_list() == [0.0]
    again = NGram().restore(learned.state())
    assert again.anomaly_score(frame(windows)).to_list() == learned.anomaly_score(frame(windows)).to_list()


def test_pairs_say_what_they_expected():
    """After an event the most frequent successors come first, with their shares; of what was never seen, none."""
    learned = NGram().fit(frame([[0, 1, 2]] * 6 + [[0, 2, 1]] * 3 + [[0, 3]]))
    assert learned.expected([0, 3, 1], 1) == [(1, 0.6), (2, 0.3), (3, 0.1)]
    assert learned.expected([0, 3, 1], 0) == [(0, 1.0)]
    assert learned.expected([0, 1, 2], 1, k=1) == [(1, 0.6)]
    assert learned.expected([99, 1], 1) == []
    again = NGram().restore(learned.state())
    assert again.expected([1, 0], 1) == learned.expected([1, 0], 1) == [(2, 1.0)]
