"""Sessions and windows: no event is lost, and how the input was cut does not matter."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from offbeat.errors import OptionError
from offbeat.group import Sessions, Windows, parse_window, sessions
from offbeat.schema import SEQUENCES, check

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = st.lists(st.sampled_from("abc"), max_size=2, unique=True)
#: One event: seconds since the one before (backwards now and then), or None without a time; its keys; its template.
EVENT = st.tuples(st.one_of(st.none(), st.integers(-3, 90)), KEYS, st.integers(0, 4))
EVENTS = st.lists(EVENT, min_size=1, max_size=40)
CUTS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def events(rows) -> pl.DataFrame:
    """Return a TEMPLATED frame with keys."""
    now, out = START, []
    for i, (step, keys, template) in enumerate(rows):
        if step is not None:
            now += timedelta(seconds=step)
        out.append((0, i + 1, now if step is not None else None, keys, template))
    schema = {
        "file": pl.UInt16(),
        "line": pl.UInt32(),
        "timestamp": pl.Datetime("us", "UTC"),
        "keys": pl.List(pl.String),
        "template": pl.UInt32(),
    }
    return pl.DataFrame(out, schema=schema, orient="row")


def pushed(grouper, frame: pl.DataFrame, cuts: list[int]) -> pl.DataFrame:
    """Push a frame in parts of the sizes given, over and over, and return all units."""
    at, parts, i = 0, [], 0
    while at < frame.height:
        size = cuts[i % len(cuts)]
        closed = grouper.push(frame[at : at + size])
        if closed is not None:
            parts.append(closed)
        at, i = at + size, i + 1
    return pl.concat([*parts, grouper.flush()])


def groupers():
    """Every way to group, by name."""
    return {
        "sessions": lambda: Sessions(),
        "sessions, idle": lambda: Sessions(idle=30_000_000),
        "windows by count": lambda: Windows(7),
        "windows by count and key": lambda: Windows(3, by_key=True),
        "windows by time": lambda: Windows("60000000us"),
        "windows by time and key": lambda: Windows("60000000us", by_key=True),
    }


@pytest.mark.parametrize("how", groupers())
@given(rows=EVENTS, cuts=CUTS)
def test_how_the_input_is_cut_does_not_matter(how, rows, cuts):
    """Units are the same whether events come at once or in parts of any size, and in the same order."""
    make, frame = groupers()[how], events(rows)
    whole, parts = make(), make()
    assert_frame_equal(pushed(whole, frame, [1000]), pushed(parts, frame, cuts))
    assert whole.without_key == parts.without_key


@pytest.mark.parametrize("how", groupers())
@given(rows=EVENTS)
def test_no_event_is_lost(how, rows):
    """Every event is in one unit for each of its keys, or counted as without key or time."""
    grouper, frame = groupers()[how](), events(rows)
    units = pushed(grouper, frame, [5])
    check(units, SEQUENCES, "units")
    keyed = "sessions" in how or "key" in how
    timed = "time" in how
    expected = sorted(
        line
        for line, (step, keys, _) in enumerate(rows, 1)
        for _ in range(len(keys) if keyed else 1)
        if not (timed and step is None)
    )
    assert sorted(units["rows"].explode().drop_nulls().to_list()) == expected
    lost = sum((keyed and not keys) or (timed and step is None) for step, keys, _ in rows)
    assert grouper.without_key == lost
    assert units["events"].to_list() == units["templates"].list.len().to_list()
    assert (units["events"] > 0).all()


@given(rows=EVENTS)
def test_a_session_is_its_keys_events_in_input_order(rows):
    """Without an idle limit there is one session a key, with templates, lines and times of its events."""
    units = pushed(Sessions(), events(rows), [4])
    assert units["key"].n_unique() == units.height
    assert units["open_at_end"].all()
    for unit in units.iter_rows(named=True):
        mine = [(line, template) for line, (_, keys, template) in enumerate(rows, 1) if unit["key"] in keys]
        assert unit["templates"] == [template for _, template in mine]
        assert (unit["first_line"], unit["last_line"]) == (mine[0][0], mine[-1][0])


@given(rows=EVENTS)
def test_an_idle_session_ends(rows):
    """No session holds a pause longer than the limit, and no two of one key lie closer than it."""
    frame = events([(abs(step or 0), keys, template) for step, keys, template in rows])
    idle = timedelta(seconds=30)
    units = pushed(Sessions(idle=30_000_000), frame, [4])
    times = frame["timestamp"].to_list()
    last = max(times)
    for unit in units.iter_rows(named=True):
        mine = [times[line - 1] for line in unit["rows"]]
        assert all(b - a <= idle for a, b in pairwise(mine))
        assert unit["open_at_end"] == (last - unit["end"] <= idle)
    for _, own in units.group_by("key"):
        ordered = own.sort("first_line")
        for end, start in zip(ordered["end"], ordered["start"][1:], strict=False):
            assert start - end > idle


def test_a_pause_is_seen_across_an_event_without_a_time():
    """An event without a time neither ends a session nor hides a pause around it."""
    frame = events([(0, ["a"], 1), (None, ["a"], 2), (90, ["a"], 3)])
    units = pushed(Sessions(idle=30_000_000), frame, [100])
    assert units["templates"].to_list() == [[1, 2], [3]]


@given(rows=EVENTS, limit=st.integers(1, 10))
def test_sessions_given_out_early_are_the_same(rows, limit):
    """With an idle limit, closing sessions while reading gives those that closing at the end gives."""
    frame = events([(abs(step or 0), keys, template) for step, keys, template in rows])
    whole = pushed(Sessions(idle=30_000_000), frame, [1000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "_FLUSH_EVENTS", limit)
        early = pushed(Sessions(idle=30_000_000), frame, [1])
    assert_frame_equal(early.sort("key", "first_line"), whole.sort("key", "first_line"))


@pytest.mark.parametrize("at", [0, 90, 300])
@pytest.mark.parametrize("key", [["odd"], ["k29"], []], ids=["its own", "another's", "none"])
def test_a_stray_time_ends_no_session(at, key, monkeypatch):
    """One line of a wrong clock, years ahead, closes neither sessions that go on nor those open at the end."""
    rows = [(1, [f"k{i // 10 + i % 2}"], i) for i in range(300)]
    plain = events(rows)
    stray = plain[:1].with_columns(
        timestamp=pl.lit(START + timedelta(days=70_000)).cast(plain.schema["timestamp"]),
        keys=pl.lit(key, pl.List(pl.String)),
        line=pl.lit(10_000, pl.UInt32), template=pl.lit(999, pl.UInt32),
    )  # fmt: skip
    monkeypatch.setattr(sessions, "_FLUSH_EVENTS", 20)
    asked, found = (
        pushed(Sessions(idle=30_000_000), rows, [7])
        .select("key", "templates", "open_at_end")
        .filter(~pl.col("key").is_in(["odd", "k29"]) & ~pl.col("templates").list.contains(999))
        .sort("key")
        for rows in (plain, pl.concat([plain[:at], stray, plain[at:]]))
    )
    assert asked["open_at_end"].sum() > 1
    assert_frame_equal(found, asked)


@given(rows=EVENTS, size=st.integers(1, 9))
def test_windows_by_count_follow_one_another(rows, size):
    """All windows but the last hold exactly so many events, in input order; only a partial one is open."""
    units = pushed(Windows(size), events(rows), [4])
    assert units["rows"].explode().to_list() == list(range(1, len(rows) + 1))
    assert units["events"].to_list()[:-1] == [size] * (units.height - 1)
    assert units["key"].to_list() == [f"window {i + 1}" for i in range(units.height)]
    assert units["open_at_end"].to_list() == [False] * (units.height - 1) + [len(rows) % size != 0]


@given(rows=EVENTS)
def test_windows_by_time_are_aligned(rows):
    """An event lies in the window that its time falls in; the name of a window is its start."""
    frame = events(rows)
    units = pushed(Windows("60000000us"), frame, [4])
    times = frame["timestamp"].to_list()
    for unit in units.iter_rows(named=True):
        begin = datetime.fromisoformat(unit["key"].removeprefix("window "))
        assert begin.second == 0
        assert all(begin <= times[line - 1] < begin + timedelta(minutes=1) for line in unit["rows"])


def test_short_windows_have_names_of_their_own():
    """Windows shorter than a second are told apart by their names."""
    frame = events([(0, [], 0), (0, [], 1)]).with_columns(
        timestamp=pl.Series([START, START + timedelta(milliseconds=500)], dtype=pl.Datetime("us", "UTC"))
    )
    units = pushed(Windows("500000us"), frame, [10])
    assert units["key"].to_list() == ["window 2026-01-01T00:00:00Z", "window 2026-01-01T00:00:00.500Z"]


def test_further_columns_are_kept_as_lists():
    """Columns asked for are lists beside the templates, in the same order."""
    frame = events([(1, ["a"], 1), (1, ["b"], 2), (1, ["a"], 3)]).with_columns(level=pl.Series([9, 13, 17]))
    units = pushed(Sessions(extra=["level"]), frame, [10])
    assert units["levels"].to_list() == [[9, 17], [13]]


def test_a_position_names_file_and_line():
    """Rows hold the file in the high bits and the line in the low ones."""
    frame = events([(1, ["a"], 1)]).with_columns(file=pl.lit(3, pl.UInt16))
    rows = pushed(Sessions(), frame, [10])["rows"][0]
    assert [(row >> sessions.POSITION_BITS, row & (2**sessions.POSITION_BITS - 1)) for row in rows] == [(3, 1)]


@pytest.mark.parametrize(
    ("text", "window"),
    [("100", 100), (100, 100), (" 7 ", 7), ("5m", "300000000us"), ("1.5 h", "5400000000us"), ("250ms", "250000us")],
)
def test_windows_are_read(text, window):
    """A bare number is events, with a unit it is time."""
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-5",
        "1.5",
        "5 weeks",
        "m",
        "0s",
        "5m5",
        "nan",
        "0.0000001s",
        "99999999999d",
        pytest.param("9" * 400, id="endless"),
    ],
)
def test_a_bad_window_is_refused(text):
    """What is no window is named, with examples of what is one."""
    with pytest.raises(OptionError, match="--window") as caught:
        parse_window(text)
    assert "5m" in str(caught.value)
