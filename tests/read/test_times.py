"""Time stamps of every shape."""

from __future__ import annotations

import datetime as dt
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_helpers import read, stamps, write

from offbeat.errors import OptionError
from offbeat.read import times
from offbeat.read.stamps import STAMPS, find_stamp, shape_of
from offbeat.read.times import Clock, check_zone, from_numbers, parse, parse_any

NOW = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
CLOCK = Clock(now=NOW)

SHAPES = {
    "iso": [
        "2023-01-29, 16:42:09 UTC",
        "2023-01-29 17:42:09 CET",
        "2023-01-29 11:42:09 EST",
        "2023-01-29 17:42:09+01",
        "2023-01-29 16:42:09",
        "2023-01-29T16:42:09Z",
        "2023/01/29 16:42:09",
        "2023-01-29T17:42:09+01:00",
    ],
    "iso-dash": ["2023/01/29 - 16:42:09"],
    "iso-loose": ["2023-1-29 16:42:09", "2023年01月29日 16:42:09"],
    "syslog-after": ["Jan 29 16:42:09 2023"],
    "bgl": ["2023-01-29-16.42.09", "2023-01-29-17.42.09.000000+060"],
    "clf": ["29/Jan/2023:16:42:09 +0000", "29/Jan/2023:08:42:09 -0800"],
    "ctime-zone": ["Sun Jan 29 17:42:09 2023 +01:00", "Sun Jan 29 08:42:09 2023 -0800"],
    "ctime": ["Sun Jan 29 16:42:09 2023", "Sun Jan 29 17:42:09 CET 2023"],
    "mail": ["Sun, 29 Jan 2023 16:42:09 GMT", "Sun, 29 Jan 2023 17:42:09 +0100"],
    "weekday-iso": ["Sun 2023-01-29 16:42:09", "Sun 2023-01-29 17:42:09 CET"],
    "syslog-year": ["Jan 29 2023 16:42:09", "Jan 29 2023 17:42:09 CET"],
    "year-syslog": ["2023 Jan 29 16:42:09", "2023 Jan 29 16:42:09:000"],
    "spark": ["23/01/29 16:42:09"],
    "us": [
        "1/29/2023 4:42:09 PM",
        "01/29/2023 16:42:09",
        "01/29/2023-16:42:09.000000",
        "1/29/2023 -- 16:42:09",
        "01/29/2023:16:42:09",
    ],
    "slashed": ["29/01/2023 16:42:09"],
    "us-short": ["1/29/23 16:42:09:000 UTC", "1/29/23, 17:42:09 CET"],
    "snort": ["01/29-16:42:09.000000"],
    "chromium": ["0129/164209.000000"],
    "day-month": [
        "29-Jan-2023 16:42:09",
        "29 Jan 2023 16:42:09",
        "29-JAN-2023 16:42:09",
        "29Jan2023 16:42:09.000",
        "29-Jan-2023::16:42:09",
    ],
    "java": [
        "Jan 29, 2023 @ 16:42:09",
        "Jan 29, 2023 4:42:09 PM",
        "Sunday, January 29, 2023 4:42:09 PM",
        "Jan 29, 2023 5:42:09,000 PM CET",
    ],
    "german": ["29.01.2023 16:42:09"],
    "healthapp": ["20230129-16:42:9:0"],
    "compact": ["20230129T164209Z", "20230129 16:42:09"],
    "hdfs": ["230129 164209"],
    "mysql": ["230129 16:42:09"],
    "syslog": ["Jan 29 16:42:09"],
    "logcat": ["01-29 16:42:09.000"],
    "proxifier": ["01.29 16:42:09"],
    "day-month-clock": ["29-Jan 16:42:09", "29 Jan 16:42:09.000"],
    "month-slash": ["jan/29 16:42:09"],
    "weekday-syslog": ["Mon Jan 29 16:42:09", "Mon Jan 29 17:42:09 CET"],
    "tai64n": ["@4000000063d6a1eb00000000"],
    "klog": ["0129 16:42:09.000000"],
    "epoch": [
        "1675010529",
        "1675010529000",
        "1675010529000000",
        "1675010529000000000",
        "1675010529.0",
        "1675010529000.000",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SHAPES.items() for text in texts])
def test_every_shape_is_the_same_moment(name, text):
    """One moment written in all shapes is read as that moment; years left out are the newest not in the future."""
    year = 2023 if STAMPS[name].cycle is None else 2024
    want = dt.datetime(year, 1, 29, 16, 42, 9, tzinfo=dt.UTC)
    assert parse(pl.Series([text, None]), STAMPS[name], CLOCK).to_list() == [want, None]
    assert parse_any(pl.Series([text]), CLOCK).to_list() == [want]


def test_all_shapes_are_tested():
    """No shape goes without an example above, but for those that are only parts of a moment."""
    assert set(STAMPS) - set(SHAPES) == {"clock", "kitchen", "iso-minute", "iso-date"}


@given(
    st.lists(
        st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2199, 1, 1), timezones=st.just(dt.UTC)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["", ",%f", ".%fZ", ".%f+0000", "Z"]),
)
def test_mask_and_regex_agree(moments, tail):
    """Reading digits at fixed places gives what the regular expression gives, which is what was written."""
    texts = pl.Series([f"{m.year:04d}" + m.strftime("-%m-%d %H:%M:%S" + tail) for m in moments])
    quick = parse(texts, STAMPS["iso"], CLOCK).to_list()
    slow = times._assemble(times._by_regex(STAMPS["iso"], texts), STAMPS["iso"], CLOCK).to_list()
    want = [m if "%f" in tail else m.replace(microsecond=0) for m in moments]
    assert quick == slow == want


@given(st.lists(st.text("0123456789-: TZ.,+/JanFeb", max_size=30), max_size=6))
def test_never_raises(texts):
    """Whatever stands where a time should be, reading it gives a time or nothing."""
    series = pl.Series(texts, dtype=pl.String)
    for stamp in STAMPS.values():
        assert len(parse(series, stamp, CLOCK)) == len(texts)
    assert len(parse_any(series, CLOCK)) == len(texts)


@pytest.mark.parametrize(
    "text", ["2023-02-29 00:00:00", "2023-13-01 00:00:00", "2023-01-01 25:00:00", "2023-00-10 00:00:00"]
)
def test_impossible_dates_are_nothing(text):
    """A date that does not exist is no time, and the others are not lost."""
    good = "2023-01-01 00:00:00"
    assert [t is None for t in parse(pl.Series([good, text]), STAMPS["iso"], CLOCK)] == [False, True]


def test_fractions_of_any_length():
    """Nanoseconds with their trailing zeros cut off, as Go writes them, are read to the microsecond."""
    texts = pl.Series(["2023-01-29T09:48:51.97082506Z", "2023-01-29T09:48:51.9Z", "2023-01-29T09:48:51.970825069Z"])
    assert parse(texts, STAMPS["iso"], CLOCK).dt.microsecond().to_list() == [970825, 900000, 970825]


def test_zone_applies_where_the_stamp_names_none(tmp_path):
    """``tz`` moves stamps without a zone, and leaves the others alone."""
    text = "2023-07-29 12:00:00 a\n2023-01-29 12:00:00 b\n2023-07-29 12:00:00Z c\n"
    _, frame = read(write(tmp_path, text), tz="Europe/Berlin")
    assert frame["timestamp"].dt.hour().to_list() == [10, 11, 12]
    _, frame = read(write(tmp_path, text), tz="+05:30")
    assert frame["timestamp"].dt.strftime("%H:%M").to_list() == ["06:30", "06:30", "12:00"]


def test_clock_change(tmp_path):
    """The hour that a zone skips, and the one that it repeats, are still times."""
    text = "2023-03-26 02:30:00 skipped\n2023-10-29 02:30:00 repeated\n"
    _, frame = read(write(tmp_path, text), tz="Europe/Berlin")
    assert stamps(frame) == ["2023-03-26T00:30:00.000000", "2023-10-29T00:30:00.000000"]


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "", "localtime", "posixrules", "../../etc/passwd", "+99:00", "+01:75"]
)
def test_unknown_zone(zone):
    """A zone that does not exist, or only on this machine, is the user's mistake."""
    with pytest.raises(OptionError, match=f"no time zone '{re.escape(zone)}'"):
        check_zone(zone)


def test_year_is_inferred_over_new_year(tmp_path):
    """Where a log without years goes from December to January, the years differ by one and no time is in the future."""
    lines = [f"{day} 10:00:00 host cron[1]: run" for day in ("Nov 30", "Dec 31", "Jan  1", "Jan  2")]
    _, frame = read(write(tmp_path, "\n".join(lines)))
    years = frame["timestamp"].dt.year().to_list()
    assert years[0] == years[1] == years[2] - 1 == years[3] - 1
    assert frame["timestamp"].is_sorted()
    assert frame["timestamp"].max() < dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def test_year_follows_the_files_age(tmp_path):
    """The year of a file is that of its last change, not today's."""
    import os

    path = write(tmp_path, "Jun 14 15:16:01 combo sshd[1]: hello\n")
    then = dt.datetime(2019, 7, 1, tzinfo=dt.UTC).timestamp()
    os.utime(path, (then, then))
    assert read(path)[1]["timestamp"].dt.year().to_list() == [2019]


def test_clock_without_date_passes_midnight():
    """Stamps that are only a time of day go on at midnight."""
    clock = CLOCK.anchored(STAMPS["clock"], "23:59:00", "00:01:00")
    found = parse(pl.Series(["23:59:00", "00:01:00"]), STAMPS["clock"], clock)
    assert found.dt.day().to_list() == [29, 1]
    assert found.is_sorted()


def test_numbers_by_size():
    """Seconds, milli-, micro- and nanoseconds are told apart; small numbers are no times."""
    found = from_numbers(pl.Series([1675010529.25, 1675010529250.0, 0.24, 7.0, None]))
    assert found.dt.strftime("%Y %f").to_list() == ["2023 250000000", "2023 250000000", None, None, None]


@pytest.mark.parametrize("number", [-1675010529, -1675010529250, 20_000_000_000, 9_223_372_036_854_775_807, -(1 << 63)])
@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64])
def test_numbers_of_another_age_are_no_times(number, kind):
    """What lies before 1973 or after 2286 in every unit is a count or a mark, not a time of 1916 or 2603."""
    assert from_numbers(pl.Series([number], dtype=kind)).to_list() == [None]


def test_shape_fits_what_it_was_made_of():
    """The narrow expression of a file's stamps is only made where all have one shape."""
    assert shape_of(["2023-01-29 16:42:09,486", "2023-01-29 16:42:10,1"]) is not None
    assert shape_of(["2023-01-29 16:42:09", "16:42:10"]) is None


def test_find_stamp():
    """The shape that fits most samples is taken."""
    found = find_stamp(["2023-01-29 16:42:09", "2023-01-29 16:42:10", "Jan 29 16:42:09"])
    assert found is not None
    assert found.name == "iso"


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["", ".5", ".25", ".123456789", ".+5", ".1234567890", "x"])),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
def test_stamps_of_one_second_are_read_like_any(places, utc):
    """Many stamps of the same second are read at once, and each as if it were alone: with fraction, zone or neither."""
    texts = [f"2023-01-29T16:42:0{second}{rest}{'Z' * utc}" for second, rest in places]
    alone = [parse(pl.Series([text]), STAMPS["iso"], CLOCK)[0] for text in texts]
    assert parse(pl.Series(texts), STAMPS["iso"], CLOCK).to_list() == alone


def test_ragged_fractions_with_and_without_zone():
    """Fractions of different lengths are read together, those that name no zone in the file's."""
    stamps_ = ["2023-01-29T16:42:09.5Z", "2023-01-29T16:42:09.25", "2023-01-29T16:42:10.123456Z"] * 9
    found = parse(pl.Series(stamps_), STAMPS["iso"], Clock(zone="+01:00", now=NOW)).dt.epoch("us").to_list()
    moment = 1_675_010_529_000_000
    assert found[:3] == [moment + 500_000, moment - 3_600_000_000 + 250_000, moment + 1_123_456]
    assert found == found[:3] * 9
