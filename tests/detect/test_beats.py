"""Beats: pauses far too long for lines that come steadily, by template and source, by source, and of the log."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from offbeat.detect.beats import SILENCES, Beats

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
LINE = 5.0


def events(*parts):
    """Return events in order of time from (seconds, template, source), one a line."""
    frames = [
        pl.DataFrame({"at": pl.Series((np.asarray(seconds) * 1e6).astype(np.int64)).cast(pl.Duration("us"))}).select(
            timestamp=pl.lit(START).cast(pl.Datetime("us", "UTC")) + pl.col("at"),
            template=pl.lit(template, pl.UInt32),
            source=pl.lit(source, pl.UInt32),
        )
        for seconds, template, source in parts
    ]
    rows = pl.concat(frames).sort("timestamp", "source", "template")
    return rows.with_columns(file=pl.lit(0, pl.UInt16), line=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32))


def beat(template=1, source=1, *, every=60.0, jitter=2.0, hours=8, quiet=(), seed=0):
    """Return a line every so many seconds, but for stretches of ``quiet``: (first, last) in minutes."""
    rng = np.random.default_rng(100 * seed + 10 * template + source)
    at = np.arange(0, hours * 3600, every) + rng.uniform(0, jitter, int(np.ceil(hours * 3600 / every)))
    for first, last in quiet:
        at = at[(at < first * 60) | (at > last * 60)]
    return at, template, source


def by_chance(template=2, source=1, *, rate=6, hours=1, quiet=(), seed=0):
    """Return so many lines a minute at random times, but for stretches of ``quiet``."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(0, hours * 3600, hours * 60 * rate))
    for first, last in quiet:
        at = at[(at < first * 60) | (at > last * 60)]
    return at, template, source


def judged(frame, cut=10**6):
    """Return the view that took up the events."""
    made = Beats()
    for part in frame.iter_slices(cut):
        made.add(part)
    return made


def test_a_heartbeat_that_stops_is_told():
    """Five minutes without the line of every minute are a silence of that template and source, from line to line."""
    log = events(beat(quiet=[(200, 205)]), beat(1, 2), by_chance(2, 1, hours=8))
    alarms = judged(log).alarms(LINE)
    assert alarms.schema == SILENCES
    (one,) = alarms.to_dicts()
    assert (one["template"], one["source"], one["also"], one["sources"]) == (1, 1, 0, [1])
    assert abs((one["start"] - START) - timedelta(minutes=199)) < timedelta(minutes=1.5)
    assert abs((one["end"] - START) - timedelta(minutes=206)) < timedelta(minutes=1.5)
    assert one["usual"] == pytest.approx(60, rel=0.02)
    assert 60 < one["longest"] < 70
    ends = log.filter(pl.col("line").is_in(one["places"]))
    assert ends["timestamp"].to_list() == [one["start"], one["end"]]


@pytest.mark.parametrize(
    "lines", [beat(every=10.0, jitter=0.0, hours=1, quiet=[(30, 33)]), by_chance(quiet=[(30, 38)])]
)
def test_a_sparse_log_that_falls_silent_for_minutes_is_told(lines):
    """Of six lines a minute, for an hour, three minutes are missed where they come steadily, eight where by chance."""
    alarms = judged(events(lines)).alarms(LINE)
    assert alarms.height == 1
    assert alarms["source"].is_null().all() or alarms["source"].to_list() == [1]


def test_what_comes_by_chance_or_in_bursts_has_no_beat():
    """Random lines, nights without any, and bursts with pauses between them tell nothing, over ten logs."""
    for seed in range(10):
        nights = [(60 * h, 60 * h + 300) for h in (10, 34, 58)]
        random = by_chance(1, 1, hours=72, quiet=nights, seed=seed)
        rng = np.random.default_rng(seed)
        bursts = np.sort((rng.uniform(0, 72 * 3600, 60)[:, None] + np.arange(20)).ravel())
        assert judged(events(random, (bursts, 3, 2))).alarms(LINE).height == 0


def test_in_a_short_log_chance_is_no_silence():
    """Of sixty lines at random times some pause is always five times the mean; thirty such logs have no silence."""
    for seed in range(30):
        at, *names = by_chance(1, 1, rate=3, hours=1, seed=seed)
        assert judged(events((at[:60], *names))).alarms(LINE).height == 0


def test_a_burst_that_is_over_is_no_beat_that_stops():
    """Forty lines within two minutes and one a day later: nothing fell silent."""
    lines = (np.append(3.0 * np.arange(40), 90_000.0), 1, 1)
    assert judged(events(lines, by_chance(2, 2, hours=26))).alarms(LINE).height == 0


def test_who_pauses_often_does_so_as_a_habit():
    """Two silences are told, each; five of the same beat are how it beats."""
    often = [(100 * k, 100 * k + 6) for k in range(1, 6)]
    log = [beat(quiet=often[:n], hours=10) for n in (2, 5)]
    assert [judged(events(one, by_chance(2, 2, hours=10))).alarms(LINE).height for one in log] == [2, 0]


def test_a_line_or_two_missing_is_no_silence():
    """Twice the usual pause may come of a restart."""
    assert judged(events(beat(quiet=[(200, 201)]), by_chance(2, 2, hours=8))).alarms(LINE).height == 0


def test_what_stops_together_is_told_once():
    """Three templates of a source that stop at the same time are one silence, with all of them named."""
    stop = [(200, 207)]
    (one,) = judged(events(*(beat(t, 1, quiet=stop) for t in (1, 2, 3)), beat(4, 2))).alarms(LINE).to_dicts()
    assert one["also"] >= 2
    assert {1, 2, 3} >= set(one["templates"])
    assert one["sources"] == [1]


def test_the_cut_does_not_matter():
    """Whole, or in sevens, whatever waits to be measured: the same silences."""
    log = events(beat(quiet=[(200, 205)]), beat(1, 2), by_chance(2, 1, hours=8))
    whole = judged(log).alarms(LINE)
    pieces = Beats()
    for part in log.iter_slices(7):
        pieces.add(part)
        pieces._settle()
    assert_frame_equal(whole, pieces.alarms(LINE))


def test_lines_that_come_late_are_no_pause():
    """Neighbours out of order, as several writers make them, change nothing of what is told."""
    log = events(beat(quiet=[(200, 205)]), by_chance(2, 2, hours=8))
    swapped = log.with_columns(pl.col("line") + 1 - 2 * ((pl.col("line") - 1) % 2)).sort("line")
    assert judged(swapped).alarms(LINE).height == 1


def test_templates_get_their_names():
    """Codes of shapes become those of templates in what is told."""
    made = judged(events(beat(quiet=[(200, 205)]), beat(1, 2), by_chance(2, 1, hours=8)))
    made.rename(lambda codes: codes + 40)
    assert made.alarms(LINE)["template"].to_list() == [41]


def test_without_times_or_with_few_lines_there_is_nothing_to_tell():
    """Nothing, no times, or ten lines: an empty answer with the right columns."""
    log = events(beat(quiet=[(200, 205)]))
    for frame in (log.clear(), log.with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))), log.head(10)):
        assert judged(frame).alarms(LINE).schema == SILENCES
        assert judged(frame).alarms(LINE).height == 0
