"""Timing by hand: pauses are judged by their own pair of templates, on a logarithmic scale, with tails that go on."""

import math
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from offbeat.detect import Timing
from offbeat.detect.tails import LEVELS, Tails

START = datetime(2025, 1, 1, tzinfo=UTC)


def units(sequences):
    """Return SEQUENCES of (code, seconds since the event before); None for an event without a time."""
    times = []
    for one in sequences:
        at, mine = START, []
        for _, gap in one:
            at += timedelta(seconds=gap or 0)
            mine.append(None if gap is None else at)
        times.append(mine)
    return pl.DataFrame(
        {"templates": [[c for c, _ in one] for one in sequences], "timestamps": times},
        schema={"templates": pl.List(pl.UInt32), "timestamps": pl.List(pl.Datetime("us", "UTC"))},
    )


def usual(n=400, seed=0):
    """Return n units: 0, then 1 after about 10 ms, then 2 after about 5 s, both within a factor of two."""
    rng = random.Random(seed)
    return units([[(0, 0), (1, 0.01 * rng.uniform(0.7, 1.4)), (2, 5 * rng.uniform(0.7, 1.4))] for _ in range(n)])


@pytest.fixture(scope="module")
def fitted():
    """A view that learned the usual units."""
    return Timing().fit(usual())


def test_a_pause_is_judged_by_its_own_pair(fitted):
    """Half a second is long where 10 ms are usual, and nothing where 5 s are."""
    scores = fitted.anomaly_score(units([[(0, 0), (1, 0.5), (2, 5)], [(0, 0), (1, 0.01), (2, 0.5)]])).to_list()
    assert scores[0] > 8
    assert scores[1] < 4


def test_longer_is_stranger_without_end(fitted):
    """Beyond everything seen the score keeps growing with the logarithm of the pause."""
    scores = fitted.anomaly_score(units([[(0, 0), (1, 0.01 * 4**k)] for k in range(1, 7)])).to_list()
    steps = np.diff(scores)
    assert (steps > 0).all()
    assert steps[-1] == pytest.approx(steps[-2], rel=0.05)


def test_usual_units_have_calibrated_surprises(fitted):
    """On fresh units each pause's surprise is close to exponential: a tenth lies beyond ln 10."""
    scores = fitted.event_scores(usual(2000, seed=1)).list.get(1).to_numpy()
    assert np.mean(scores > math.log(10)) == pytest.approx(0.1, abs=0.04)
    assert np.mean(scores > math.log(100)) < 0.04


def test_the_strange_line_is_named(fitted):
    """Evidence and event scores point at the late event, with its pause and the usual one in seconds."""
    asked = units([[(0, 0), (1, 0.01), (2, 300)], [(0, 0), (1, 2), (2, 5)]])
    rows = fitted.evidence(asked).rows(named=True)
    assert [(row["kind"], row["event"], row["template"]) for row in rows] == [("latency", 2, 2), ("latency", 1, 1)]
    assert [row["seen"] for row in rows] == pytest.approx([300, 2])
    assert rows[0]["usual"] == pytest.approx(5, rel=0.2)
    assert rows[1]["usual"] == pytest.approx(0.01, rel=0.2)
    lists = fitted.event_scores(asked).to_list()
    assert [int(np.argmax(one)) for one in lists] == [2, 1]
    assert [max(one) for one in lists] == pytest.approx(fitted.anomaly_score(asked).to_list())


def test_events_without_a_time_are_passed_over(fitted):
    """A missing time stamp gives no pause, before or after; without any time the score is zero and nothing is named."""
    some = units([[(0, 0), (1, None), (2, 5)], [(0, None), (1, None)], []])
    assert fitted.anomaly_score(some).to_list() == [0, 0, 0]
    evidence = fitted.evidence(some)
    assert evidence["template"].null_count() == evidence["event"].null_count() == 3


def test_a_pair_seen_too_seldom_is_judged_by_its_later_template(fitted):
    """2 straight after 0 was never seen: an hour is as strange as after 1, and usual times as the median unit."""
    odd = fitted.anomaly_score(units([[(0, 0), (2, 3600)], [(1, 0), (2, 3600)], [(0, 0), (2, 5)]])).to_list()
    assert odd[0] == pytest.approx(odd[1], rel=0.01)
    assert odd[2] == pytest.approx(fitted.unknown_)


def test_events_out_of_order_are_not_late(fitted):
    """A time stamp before the one before it counts as no pause."""
    assert fitted.anomaly_score(units([[(0, 0), (1, -4), (2, 5)]]))[0] < 2


def test_a_clock_of_whole_seconds_is_noticed():
    """With whole seconds one second is no longer than none by much; the view keeps quiet about it."""
    rng = random.Random(0)
    whole = units([[(0, 0), (1, rng.choice([0, 0, 0, 0, 1]))] for _ in range(300)])
    fitted = Timing().fit(whole)
    assert fitted.resolution_ == 1
    scores = fitted.anomaly_score(units([[(0, 0), (1, 1)], [(0, 0), (1, 2)], [(0, 0), (1, 60)]])).to_list()
    assert scores[0] < 2
    assert scores[1] < 8
    assert scores[2] > 10


def test_a_few_slow_units_in_training_do_not_hide_slowness():
    """With three of 400 training units a hundred times too slow, such a pause is still surprising."""
    slow = units([[(0, 0), (1, 1), (2, 5)]] * 3)
    fitted = Timing().fit(pl.concat([usual(), slow]))
    late, plain = fitted.anomaly_score(units([[(0, 0), (1, 1), (2, 5)], [(0, 0), (1, 0.011), (2, 5)]])).to_list()
    assert late > 4
    assert plain < 2


def test_tails_are_conformal_inside_and_exponential_outside():
    """In one group of the numbers 1 to 999 the surprise is that of the rank; far outside it grows by excess / scale."""
    x = np.arange(1.0, 1000.0)
    tails = Tails.fit(np.zeros(999, dtype=np.int64), x, np.ones(999), 1e-3)
    at = np.zeros(3, dtype=np.int64)
    surprise = tails.surprise(at, np.array([900.0, 990.0, 999.0]))
    assert surprise == pytest.approx([math.log(10), math.log(1000 / 11), math.log(500)], abs=0.1)
    far = tails.surprise(at[:2], np.array([2000.0, 2100.0]))
    assert far[1] - far[0] == pytest.approx(100 / tails.scale[0])
    assert tails.surprise(at[:2], np.array([-5.0, 500.0])).tolist() == [0, 0]


def test_tails_do_not_take_ties_for_extremes():
    """Where all numbers are equal that number is no surprise, and a larger one is."""
    tails = Tails.fit(np.zeros(50, dtype=np.int64), np.full(50, 3.0), np.ones(50), 0.25)
    same, more = tails.surprise(np.zeros(2, dtype=np.int64), np.array([3.0, 4.0]))
    assert same == 0
    assert more == pytest.approx(math.log(51) + 4)


def test_tails_keep_groups_apart_and_survive_a_frame():
    """Groups are found by key and size, an unknown key is -1, and saving changes nothing."""
    key = np.repeat(np.array([7, 3]), [5, 20])
    tails = Tails.fit(key, np.arange(25.0), np.ones(25), 0.1)
    assert tails.find(np.array([3, 7, 5])).tolist() == [0, 1, -1]
    assert tails.find(np.array([3, 7]), least=10).tolist() == [0, -1]
    back = Tails.restore({"t": tails.to_frame()}, "t")
    asked = np.array([0, 1]), np.array([30.0, 2.5])
    assert back.surprise(*asked).tolist() == tails.surprise(*asked).tolist()
    assert back.knots.shape == (2, len(LEVELS))
