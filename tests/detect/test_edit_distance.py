"""The edit distance, computed bit by bit, against the table of the textbook."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import frame

from offbeat.detect import EditDistance


def levenshtein(one, other):
    """Return the distance from the table of distances between all beginnings."""
    above = list(range(len(other) + 1))
    for i, x in enumerate(one, 1):
        row = [i]
        for j, y in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        above = row
    return above[-1]


def nearest(one, usual):
    """Return the smallest normalised distance."""
    return min(levenshtein(one, other) / max(len(one), len(other), 1) for other in usual)


short = st.lists(st.integers(0, 3), max_size=7)


@given(st.lists(short, min_size=1, max_size=6), st.lists(short, min_size=1, max_size=6))
def test_it_is_the_distance_to_the_nearest(usual, asked):
    """Whatever the sequences, the score is the smallest distance of the textbook's table."""
    scores = EditDistance().fit(frame(usual)).anomaly_score(frame(asked)).to_list()
    assert scores == pytest.approx([nearest(one, usual) for one in asked])


@pytest.mark.parametrize("events", [63, 64, 65, 150])
def test_long_sequences_cross_words(events):
    """Sequences longer than a machine word of 64 events are measured as well."""
    rng = random.Random(events)
    usual, asked = ([[rng.randrange(k) for _ in range(events - rng.randrange(9))] for _ in range(15)] for k in (6, 7))
    scores = EditDistance().fit(frame(usual)).anomaly_score(frame(asked)).to_list()
    assert scores == pytest.approx([nearest(one, usual) for one in asked])


def test_what_comes_late_is_not_compared():
    """Beyond the limit sequences may differ."""
    learned = EditDistance(events=3).fit(frame([[0, 1, 2, 3, 4]]))
    assert learned.anomaly_score(frame([[0, 1, 2, 9, 9, 9], [0, 1, 9]])).to_list() == pytest.approx([0, 1 / 3])


def test_the_first_difference_is_named():
    """Where a sequence leaves the nearest usual one: by another event, by one missing at its end, or by its end."""
    learned = EditDistance().fit(frame([[0, 1, 2, 3]] * 9 + [[0, 1, 1, 1, 1]]))
    rows = learned.evidence(frame([[0, 1, 7, 3], [0, 1, 2], [0, 1, 1, 1], [0, 1, 2, 3, 3]])).rows(named=True)
    assert [(r["kind"], r["template"], r["event"]) for r in rows] == [
        ("order", 7, 2),
        ("missing event", 3, None),
        ("end", 1, 3),
        ("order", 3, 4),
    ]
    assert [r["share"] for r in rows] == pytest.approx([0.5 / 11, 1 - 0.5 / 10, 0.5 / 2, 0.5 / 10])


def test_of_many_sequences_a_sample_is_kept():
    """No more distinct sequences are kept than allowed, common ones rather than rare ones."""
    lists = [[0, 1, 2]] * 300 + [[i, i, i] for i in range(200)]
    learned = EditDistance(sequences=20).fit(frame(lists))
    assert learned.anomaly_score(frame([[0, 1, 2]]))[0] == 0
    assert (learned.anomaly_score(frame(lists[300:])).to_numpy() == 0).sum() < 20
    assert np.isclose(learned.kept_.weight.sum(), 500)


def test_with_few_candidates_it_is_an_upper_bound():
    """Where fewer sequences are measured than there are, the distance is that to the nearest of those."""
    rng = random.Random(5)
    usual, asked = ([[rng.randrange(9) for _ in range(12)] for _ in range(60)] for _ in range(2))
    exact, bound = (EditDistance(candidates=n).fit(frame(usual)).anomaly_score(frame(asked)) for n in (60, 1))
    assert (bound >= exact).all()
    assert (bound > exact).any()
