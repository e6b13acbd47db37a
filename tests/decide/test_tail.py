"""Thresholds by the rate of alarms they are asked for: from training, from its tail, and as units come."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.decide import (
    Decision,
    Follow,
    Knee,
    Pot,
    Quantile,
    Rate,
    Timed,
    asked_share,
    check_drift,
    on_units,
    parse_threshold,
)
from offbeat.decide import verdicts as judge
from offbeat.decide.tail import pareto_tail, raising
from offbeat.errors import OptionError

TIME = pl.Datetime("us", "UTC")
SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=60).map(np.array)


def generalised_pareto(rng, shape, scale, n):
    """Draw excesses by inverting the distribution function."""
    u = rng.random(n)
    return scale * (u**-shape - 1) / shape if shape else -scale * np.log(u)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_tail_is_found_again(shape):
    """Shape and scale of excesses drawn from a generalised Pareto distribution come back, on average."""
    rng = np.random.default_rng(1)
    found = np.array([pareto_tail(generalised_pareto(rng, shape, 2.0, 1000)) for _ in range(20)]).mean(axis=0)
    assert found == pytest.approx([shape, 2.0], abs=0.1)


@pytest.mark.parametrize("draw", ["exponential", "normal", "heavy"])
def test_pot_reaches_beyond_training(draw):
    """Of later scores the share asked for is above the line, even one in ten thousand, learned from five thousand."""
    rng = np.random.default_rng(2)
    make = {
        "exponential": lambda n: rng.exponential(size=n),
        "normal": lambda n: rng.normal(size=n),
        "heavy": lambda n: rng.exponential(size=n) ** 2,
    }[draw]
    for q, near in ((1e-2, 0.15), (1e-3, 0.3), (1e-4, 0.6)):
        lines = [Pot(q).fit(make(5000), np.ones(5000)) for _ in range(30)]
        later = np.sort(make(1_000_000))
        assert np.mean([(later >= line).mean() for line in lines]) == pytest.approx(q, rel=near)


@pytest.mark.parametrize("rule", [Rate(0.01), Rate(0.1), Pot(0.01), Pot(0.001), Follow(0.02)], ids=str)
@given(scores=SCORES)
def test_weights_are_repeats(rule, scores):
    """A line does not depend on whether alike units come as rows or as a weight."""
    weight = np.arange(len(scores)) % 3 + 1.0
    repeated = np.repeat(scores, weight.astype(int))
    assert rule.fit(scores, weight) == pytest.approx(rule.fit(repeated, np.ones(len(repeated))))


@pytest.mark.parametrize("rule", [Rate(0.01), Pot(0.001), Follow(0.02)], ids=str)
def test_units_that_are_all_alike_are_no_anomalies(rule):
    """Where all score the same, none is flagged."""
    scores = np.full(97, 3.3)
    assert not (scores >= rule.fit(scores, np.ones(97))).any()


def test_a_rate_is_kept_on_units_like_those_learned_from():
    """On average over trainings the flagged share of later units is what was asked for, and never more."""
    rng = np.random.default_rng(3)
    for share in (0.005, 0.02, 0.1):
        later = rng.exponential(size=200_000)
        found = [(later >= Rate(share).fit(rng.exponential(size=2000), np.ones(2000))).mean() for _ in range(60)]
        assert share * 0.85 < np.mean(found) < share * 1.1


@given(scores=SCORES, share=st.sampled_from([0.01, 0.05, 0.2]))
def test_ties_never_exceed_a_rate(scores, share):
    """What is tied is flagged together or not at all."""
    assert (scores >= Rate(share).fit(scores, np.ones(len(scores)))).mean() <= share


@pytest.mark.parametrize("share", [0.005, 0.02])
@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_following_keeps_the_rate_on_a_log_that_changed(share, shift):
    """However much stranger the log becomes, the rate of alarms comes back to what was asked for."""
    rng = np.random.default_rng(4)
    flags = Follow(share).flags(rng.exponential(size=4000) + shift)
    assert flags.mean() == pytest.approx(share, rel=0.5)
    assert flags[2000:].mean() == pytest.approx(share, rel=0.5)


SHORT = {
    "like training": lambda x, at: x,
    "calmer": lambda x, at: np.maximum(x - 2, 0),
    "stranger": lambda x, at: x + 2,
    "lighter tail": lambda x, at: x / 2,
    "drifting": lambda x, at: x + 2 * at,
    "by day and night": lambda x, at: x + 1.5 * np.sin(8 * np.pi * at),
    # A tenth of all units is tied, as in a log that learned from anomalies which now do not come.
    "tied": lambda x, at: np.where(x > np.log(10), 3.2, x / 2),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("every", [None, 3_600.0])
def test_following_keeps_the_rate_where_few_alarms_are_due(name, every):
    """Where five alarms are due in all, on average between two thirds and three halves of that come, from the start."""
    rng, n, share = np.random.default_rng(11), 500, 0.01
    seconds = np.linspace(0, 18_000, n) if every else None
    made = [SHORT[name](rng.exponential(size=n), np.linspace(0, 1, n)) for _ in range(40)]
    assert 5 / 1.5 < np.mean([Follow(share, every=every).flags(one, seconds).sum() for one in made]) < 7.5


def test_following_is_unbiased_on_units_like_those_learned_from():
    """Neither the large steps of the beginning nor their becoming smaller add or cost more than half an alarm."""
    rng = np.random.default_rng(12)
    for due in (5, 20):
        found = [Follow(0.01).flags(rng.exponential(size=due * 100)).sum() for _ in range(60)]
        assert np.mean(found) == pytest.approx(due, abs=0.6)


def test_units_come_when_they_end():
    """A session of many hours at the start does not stop the clock for those that begin after it and end before it."""
    rng, n = np.random.default_rng(13), 3000
    start = np.sort(rng.random(n)) * 36_000
    end = np.where(np.arange(n) % 10 == 0, 36_000 + np.arange(n) / 1000, start + 60)
    units = spread(start).with_columns(end=spread(end)["end"], p_value=pl.Series(np.exp(-rng.exponential(size=n))))
    rule = parse_threshold("follow:2/hour")
    flags = judge(on_units(rule, units), units, np.inf)
    assert rule.achieved(units.with_columns(is_anomaly=flags)) == pytest.approx(2, rel=0.2)
    # In whatever order the units are given, and one without a time comes after the one before it.
    order = rng.permutation(n)
    assert (judge(on_units(rule, units), units[order], np.inf) == flags[order]).all()
    some = units.with_columns(end=pl.when(pl.int_range(pl.len()) % 7 > 0).then("end"))
    assert 10 <= judge(on_units(rule, units), some, np.inf).sum() <= 30


def test_following_still_finds_what_stands_out():
    """Three units far beyond all others are flagged, also on a log that drifts and swings by the hour."""
    rng = np.random.default_rng(5)
    at = np.arange(5000)
    surprise = rng.exponential(size=5000) + 3 * at / 5000 + 1.5 * np.sin(at / 200)
    surprise[[1500, 3000, 4500]] = 30.0
    flags = Follow(0.01).flags(surprise)
    assert flags[[1500, 3000, 4500]].all()
    assert flags.mean() == pytest.approx(0.01, rel=0.3)


def test_following_does_not_depend_on_what_comes_later():
    """A unit's verdict is made when it comes, so that a live stream and a file say the same."""
    surprise = np.random.default_rng(6).exponential(size=500)
    whole = Follow(0.02).flags(surprise)
    assert (Follow(0.02).flags(surprise[:300]) == whole[:300]).all()
    assert len(Follow(0.02).flags(surprise[:0])) == 0


def test_the_asked_share_is_said():
    """Rules that are asked for a rate say it; others are asked for none."""
    rules = [Rate(0.01), Follow(0.02), Pot(0.003), Knee(), Quantile(0.9), None]
    assert [asked_share(rule) for rule in rules] == [0.01, 0.02, 0.003, None, None, None]
    assert [raising(rule) for rule in rules] == [*rules[:3], Knee(), Knee(), Knee()]


def test_verdicts_are_by_the_line_or_as_units_come():
    """A fixed line flags what reaches it; a following one goes by p-values in order."""
    scores = pl.DataFrame({"score": [1.0, 2.0, 3.0], "p_value": [0.5, 0.001, 0.2]})
    assert judge(Knee(), scores, 2.0).tolist() == [False, True, True]
    assert judge(Follow(0.01), scores, 2.0).tolist() == [False, True, False]


def spread(seconds):
    """Return units with times, so many seconds after a Monday."""
    start = pl.lit(datetime(2026, 3, 2, tzinfo=UTC)) + pl.duration(milliseconds=pl.col("s"))
    frame = pl.DataFrame({"s": pl.Series((np.asarray(seconds) * 1000).astype(int))})
    return frame.select(start=start.cast(TIME), end=start.cast(TIME))


def busy_days(rng, days=10, noon=400, night=20):
    """Return when units come, in seconds: many between 8 and 20 o'clock and few at night."""
    hours = [(d * 24 + h, noon if 8 <= h < 20 else night) for d in range(days) for h in range(24)]
    return np.sort(np.concatenate([3600 * (h + rng.random(n)) for h, n in hours]))


@pytest.mark.parametrize("text", ["follow:6/day", "follow:2/hour"])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_following_keeps_a_rate_by_time(text, shift):
    """So many alarms a day or an hour come, by the hour also at night, however strange or many the units are."""
    rng = np.random.default_rng(8)
    seconds = busy_days(rng)
    rule = parse_threshold(text)
    asked = on_units(rule, spread(seconds))
    units = spread(seconds).with_columns(p_value=pl.Series(np.exp(-rng.exponential(size=len(seconds)) - shift)))
    flags = judge(asked, units, np.inf)
    assert rule.achieved(units.with_columns(is_anomaly=flags)) == pytest.approx(rule.count, rel=0.15)
    if rule.per == "hour":
        night = (seconds // 3600 % 24 < 8) | (seconds // 3600 % 24 >= 20)
        assert flags[night].sum() / flags.sum() == pytest.approx(0.5, abs=0.1)


def test_a_pause_banks_no_more_than_one_day():
    """After two weeks in which nothing came, no more than a day's alarms are due at once."""
    seconds = np.concatenate([np.arange(0, 86_400, 60.0), 15 * 86_400 + np.arange(0, 3_600, 6.0)])
    flags = Follow(0.003, every=86_400 / 4).flags(np.full(len(seconds), 3.0), seconds)
    assert flags[1440:].sum() <= 6


def test_time_does_not_run_backwards():
    """Units out of order and without times give no rate of their own, and end in verdicts all the same."""
    rng = np.random.default_rng(9)
    seconds = rng.permutation(busy_days(rng, days=3))
    seconds[::7] = np.nan
    flags = Follow(0.003, every=86_400 / 4).flags(rng.exponential(size=len(seconds)), seconds)
    assert 4 <= flags.sum() <= 20


def test_a_rate_by_time_is_one_by_units_of_training():
    """Twelve alarms a day of 2,400 units a day are five in a thousand; without times nothing can be said."""
    frame = spread(np.linspace(0, 2 * 86_400, 4800))
    assert parse_threshold("rate:12/day").on(frame).share == pytest.approx(0.005)
    assert parse_threshold("rate:1/hour").on(frame).share == pytest.approx(0.01)
    assert parse_threshold("rate:1/hour").on(frame.with_columns(weight=pl.lit(2.0))).share == pytest.approx(0.005)
    assert parse_threshold("rate:9000/day").on(frame).share == 0.5
    assert on_units(Rate(0.1), frame) == Rate(0.1)
    for empty in (frame.with_columns(start=pl.lit(None, TIME)), frame[:0]):
        with pytest.raises(OptionError, match=r"rate by the day needs times.*N/1000"):
            on_units(Timed(5, "day", False), empty)
    with pytest.raises(OptionError, match="needs times"):
        Timed(5, "hour", True).fit(np.ones(3), np.ones(3))


def test_a_changed_log_keeps_the_rate_that_was_asked_for():
    """Where most of a batch is improbable, the threshold is raised to where the rate is met again."""
    scores = {"presence": np.random.default_rng(7).exponential(size=2000)}
    decision = Decision.fit(scores, np.ones(2000), rule=Rate(0.01))
    later = decision(scores) + 3.0
    drift = check_drift(decision, later, rule=Rate(0.01))
    assert drift is not None
    assert (later >= drift.threshold).mean() == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rate:5/1000", Rate(0.005)),
        (" follow:0.5/1000 ", Follow(0.0005)),
        ("rate:5/day", Timed(5, "day", False)),
        ("follow:0.5/hour", Timed(0.5, "hour", True)),
        ("pot", Pot(1e-3)),
        ("pot:0.0001", Pot(1e-4)),
        ("knee", Knee()),
        ("quantile:0.99", Quantile(0.99)),
    ],
)
def test_thresholds_are_read(text, rule):
    """A name with its number; what was read before is read as before."""
    assert parse_threshold(text) == rule


@pytest.mark.parametrize(
    "text", ["rate", "rate:5", "rate:0/1000", "rate:1000/1000", "follow:5/week", "rate:0/day", "pot:0", "pot:1"]
)
def test_a_bad_rate_is_refused(text):
    """What is none is named, with all there are."""
    with pytest.raises(OptionError, match=r"--threshold.*pot:0.001, rate:5/1000, rate:5/day, follow"):
        parse_threshold(text)


def test_a_stray_time_buys_no_alarms():
    """A unit years from all others takes next to nothing from the rate by the day, be it its start or its end."""
    day = pl.datetime_range(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC), "10m", eager=True)
    frame = pl.DataFrame({"start": day.cast(TIME), "end": day.cast(TIME)})
    share = parse_threshold("rate:4/day").on(frame).share
    for name, year in (("start", 1971), ("end", 2261)):
        stray = pl.when(pl.int_range(pl.len()) == 700).then(pl.datetime(year, 1, 1, time_zone="UTC", time_unit="us"))
        odd = frame.with_columns(stray.otherwise(name).alias(name))
        assert share <= parse_threshold("rate:4/day").on(odd).share < 2 * share
