"""Values by hand: numbers are judged by what their own template had before, on either side, however heavy the tail."""

import random

import numpy as np
import polars as pl
import pytest

from offbeat.detect import Values
from offbeat.detect.values import main_values, value_field


def units(sequences):
    """Return SEQUENCES of (code, number or None)."""
    return pl.DataFrame(
        {"templates": [[c for c, _ in one] for one in sequences], "values": [[v for _, v in one] for one in sequences]},
        schema={"templates": pl.List(pl.UInt32), "values": pl.List(pl.Float64)},
    )


def usual(n=500, seed=0):
    """Return n units: 1 takes about 20 ms with a heavy tail, 2 has a size of about 4000 bytes, 3 has no number."""
    rng = random.Random(seed)
    return units([[(1, 0.02 * rng.paretovariate(2)), (2, rng.gauss(4000, 300)), (3, None)] for _ in range(n)])


@pytest.fixture(scope="module")
def fitted():
    """A view that learned the usual units."""
    return Values().fit(usual())


def test_numbers_are_judged_by_their_own_template(fitted):
    """Forty thousand bytes are many where 4000 are usual; forty seconds where 20 ms are; each is usual for neither."""
    scores = fitted.anomaly_score(units([[(2, 40_000)], [(1, 40)], [(1, 0.025)], [(2, 4000)]])).to_list()
    assert min(scores[:2]) > 6
    assert max(scores[2:]) < 3


def test_heavy_tails_are_respected(fitted):
    """Ten times the usual is no surprise for a heavy-tailed duration, and one for a size that hardly varies."""
    heavy, light = fitted.anomaly_score(units([[(1, 0.28)], [(2, 40_000)]])).to_list()
    assert heavy < 5
    assert light > heavy + 4


def test_too_small_is_strange_as_well(fitted):
    """A size of nothing, or a negative one, is a surprise."""
    assert min(fitted.anomaly_score(units([[(2, 0)], [(2, -4000)]])).to_list()) > 6


def test_surprise_is_calibrated(fitted):
    """On fresh units a tenth of the numbers lies beyond ln 10."""
    scores = fitted.event_scores(usual(3000, seed=1)).list.get(1).to_numpy()
    assert np.mean(scores > np.log(10)) == pytest.approx(0.1, abs=0.04)


def test_the_strange_line_is_named(fitted):
    """Evidence and event scores point at the number, with what it is and what is usual."""
    asked = units([[(1, 0.02), (3, None), (2, 90_000)], [(3, None)]])
    row, none = fitted.evidence(asked).rows(named=True)
    assert (row["kind"], row["event"], row["template"], row["seen"]) == ("value", 2, 2, 90_000)
    assert row["usual"] == pytest.approx(4000, rel=0.05)
    assert none["event"] is None
    assert none["share"] == 1
    assert [int(np.argmax(one)) for one in fitted.event_scores(asked)] == [2, 0]


def test_templates_without_history_count_little(fitted):
    """A number where there never was one scores like a unit a little above the median."""
    assert fitted.anomaly_score(units([[(3, 1e12)], [(77, 5)]])).to_list() == [fitted.unknown_, fitted.unknown_]


def test_rare_codes_stand_out():
    """One server error among 400 answers that are all well is a surprise of about ln 400."""
    fitted = Values().fit(units([[(0, 200.0)]] * 395 + [[(0, 304.0)]] * 5))
    error, moved, well = fitted.anomaly_score(units([[(0, 500.0)], [(0, 304.0)], [(0, 200.0)]])).to_list()
    assert error > 6
    assert 2 < moved < 5
    assert well < 1


def test_weights_stand_for_repeated_units():
    """Learning from weighted units is learning from them repeated."""
    each = units([[(0, 1.0)], [(0, 5.0)], [(0, 40.0)]])
    many = each[[0] * 6 + [1] * 4 + [2]]
    weighted = each.with_columns(weight=pl.Series([6.0, 4.0, 1.0]))
    asked = units([[(0, v)] for v in (0.1, 2.0, 10.0, 100.0)])
    one, other = (Values().fit(x).anomaly_score(asked).to_list() for x in (many, weighted))
    assert one == pytest.approx(other)


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("request took 35 ms", 0.035),
        ("request took 35ms, 2 retries", 0.035),
        ("done in 1.5s", 1.5),
        ("waited 2 minutes", 120),
        ("duration=0.25 ok", 0.25),
        ('{"latency": 12.5, "id": 7}', 12.5),
        ("Received block blk_-160 of size 67108864 from /10.0.0.1", 67108864),
        ("sent 4096 bytes", 4096),
        ("cache (2 KB) full", 2048),
        ("status: 503 for /x", 503),
        ("exit code 137", 137),
        ("user 12345 logged in", None),
        ("10.0.0.1 port 22", None),
        ("block 5s3 of x12ms", None),
        ("at 12:30:05 nothing", None),
        ("", None),
    ],
)
def test_the_main_number_of_a_message(message, number):
    """Durations come in seconds, sizes in bytes, else the number after a telling word; names and times are none."""
    assert main_values(pl.Series([message]), pl.Series([0])).to_list() == [
        None if number is None else pytest.approx(number)
    ]


def test_numbers_of_many_messages_keep_their_places():
    """Each message gets its own number, in order, with those without one between them."""
    messages = [f"took {i} ms" if i % 3 else f"user {i} left" for i in range(300)]
    shapes = pl.Series([int(i % 3 == 0) for i in range(300)])
    expected = [i / 1000 if i % 3 else None for i in range(300)]
    assert main_values(pl.Series(messages), shapes).to_list() == pytest.approx(expected)
    assert main_values(pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.UInt32)).to_list() == []


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        ({"bytes": "number", "duration_ms": "number", "status": "number"}, "duration_ms"),
        ({"status": "category", "http.response_bytes": "number"}, "http.response_bytes"),
        ({"http.status_code": "category", "pid": "number"}, "http.status_code"),
        ({"latency": "text", "code_line": "number", "user_id": "id"}, None),
        ({}, None),
    ],
)
def test_the_field_that_holds_the_number(kinds, name):
    """A duration is preferred to a size, a size to a code; text and identifiers are no numbers."""
    assert value_field(kinds) == name
