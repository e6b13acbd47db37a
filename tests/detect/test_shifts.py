"""Shifts: numbers that are off for a while, by source and template, against what is usual around them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from offbeat.detect.shifts import SHIFTS, Shifts

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
LINE = 5.0


def beats(source, change=None, *, seed=0, template=1, n=600, every=60.0, column="value"):
    """Return a line every ``every`` seconds of a source, with numbers about 50; ``change`` alters them by minute."""
    rng = np.random.default_rng(seed * 100 + source)
    number = 50 * np.exp(0.15 * rng.standard_normal(n))
    seconds = every * np.arange(n) + source
    if change is not None:
        number = change(seconds / 60, number)
    at = pl.Series((seconds * 1e6).astype(np.int64)).cast(pl.Duration("us"))
    return pl.DataFrame({"at": at, column: number}).select(
        timestamp=pl.lit(START).cast(pl.Datetime("us", "UTC")) + pl.col("at"),
        template=pl.lit(template, pl.UInt32),
        source=pl.lit(source, pl.UInt32),
        number=pl.col(column),
    )


def events(*parts, column="value"):
    """Return parts as the events of one log, in order of time, one a line."""
    rows = pl.concat(parts).sort("timestamp", "source")
    return rows.rename({"number": column}).with_columns(
        file=pl.lit(0, pl.UInt16), line=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32)
    )


def judged(frame, cut=10**6, most=200_000):
    """Return the view that took up the events."""
    made = Shifts(most)
    for part in frame.iter_slices(cut):
        made.add(part)
    return made


def between(first, last, factor):
    """Return a change by a factor between two minutes."""
    return lambda minute, number: number * np.where((minute >= first) & (minute <= last), factor, 1.0)


CREEP = between(200, 215, 2.0)


@pytest.mark.parametrize("column", ["value", "usage"])
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_shift_is_told_where_it_is(column, factor):
    """A quarter of an hour at twice or half the usual is one alarm, with its numbers, its source and its lines."""
    log = events(beats(1), beats(2, between(200, 215, factor)), beats(3), column=column)
    alarms = judged(log).alarms(LINE)
    assert alarms.schema == SHIFTS
    (one,) = alarms.to_dicts()
    assert (one["template"], one["source"], one["what"], one["also"]) == (1, 2, column, 0)
    assert abs((one["start"] - START) - timedelta(minutes=200)) < timedelta(minutes=3)
    assert abs((one["end"] - START) - timedelta(minutes=215)) < timedelta(minutes=3)
    assert one["seen"] == pytest.approx(50 * factor, rel=0.2)
    assert one["usual"] == pytest.approx(50, rel=0.2)
    named = log.filter(pl.col("line").is_in(one["places"]))
    assert named.height == 8
    assert set(named["source"]) == {2}
    assert named["timestamp"].is_between(one["start"], one["end"]).all()


def test_noise_is_no_shift():
    """Where nothing happens nothing is told, over ten logs of three sources."""
    for seed in range(10):
        assert judged(events(*(beats(s, seed=seed) for s in (1, 2, 3)))).alarms(LINE).height == 0


def test_single_outliers_are_no_shift():
    """One number in fifty ten times too large, now here, now there, is what such numbers are like."""

    def spikes(minute, number):
        return number * np.where(np.random.default_rng(5).uniform(size=len(number)) < 0.02, 10.0, 1.0)

    assert judged(events(beats(1, spikes), beats(2))).alarms(LINE).height == 0


def test_a_rhythm_is_no_shift():
    """Numbers that rise and fall with the hours are as usual as those before and after."""

    def daily(minute, number):
        return number * (1 + 0.8 * np.sin(2 * np.pi * minute / 600))

    assert judged(events(beats(1, daily), beats(2, daily))).alarms(LINE).height == 0


def test_what_all_sources_do_is_nobodys_shift():
    """Four sources at twice the usual at the same time are under load; one of them alone is off."""
    assert judged(events(*(beats(s, CREEP) for s in (1, 2, 3, 4)))).alarms(LINE).height == 0
    alone = judged(events(beats(1, CREEP), *(beats(s) for s in (2, 3, 4)))).alarms(LINE)
    assert alone["source"].to_list() == [1]


def test_what_goes_on_at_the_same_time_is_told_once():
    """Two templates of a source that are off together are one shift, which names both, and how many more."""
    (one,) = judged(events(beats(1, CREEP), beats(1, CREEP, template=2, seed=1))).alarms(LINE).to_dicts()
    assert one["also"] == 1
    assert sorted(one["templates"]) == [1, 2]
    assert one["sources"] == [1]


def test_the_cut_does_not_matter():
    """Whole, in sevens, or so large a log that means of several numbers are kept: the cut changes nothing."""
    log = events(beats(1), beats(2, CREEP), beats(3))
    for most in (200_000, 500):
        whole = judged(log, most=most).alarms(LINE)
        assert whole.height == 1
        assert_frame_equal(whole, judged(log, cut=7, most=most).alarms(LINE))


def test_memory_is_bounded():
    """No more numbers are kept than asked for, whatever comes."""
    made = judged(events(*(beats(s, n=2000) for s in (1, 2))), most=300)
    assert made._means.frame().height <= 300


def test_templates_that_become_the_same_are_one_series():
    """Shapes of one template, too few each to judge, are judged together once they are known to be one."""
    log = events(beats(1, CREEP), beats(2)).with_columns(template=pl.col("line") // 2 % 12)
    log = log.with_columns(pl.col("template").cast(pl.UInt32))
    made = judged(log)
    assert made.alarms(LINE).height == 0
    made.rename(lambda codes: codes * 0 + 7)
    assert made.alarms(LINE).select("template", "source").rows() == [(7, 1)]


@pytest.mark.parametrize("number", [0.0, 42.0])
def test_what_is_always_the_same_is_no_shift(number):
    """A constant, zero among them, neither fails nor is told."""
    assert judged(events(beats(1, lambda minute, x: x * 0 + number))).alarms(LINE).height == 0


def test_without_numbers_or_times_there_is_nothing_to_tell():
    """No column of numbers, nulls and NaN only, no times, or a few lines: an empty answer with the right columns."""
    log = events(beats(1, CREEP))
    nothing = [
        log.drop("value"),
        log.with_columns(value=pl.lit(None, pl.Float64)),
        log.with_columns(value=pl.lit(float("nan"))),
        log.with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))),
        log.head(20),
        log.clear(),
    ]
    for frame in nothing:
        assert judged(frame).alarms(LINE).schema == SHIFTS
        assert judged(frame).alarms(LINE).height == 0
    assert Shifts().alarms().height == 0
