"""Neighbouring alarms become one incident."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from offbeat.decide.incidents import SEVERITIES, are_news, finding_id, graded, join_alarms, join_strays, severity

START = datetime(2026, 1, 1, tzinfo=UTC)


def alarms(*rows: tuple) -> pl.DataFrame:
    """Return alarms from (unit, key, hours, kind, template); hours may be None."""
    times = [None if h is None else START + timedelta(hours=h) for _, _, h, _, _ in rows]
    return pl.DataFrame(
        {
            "unit": pl.Series([r[0] for r in rows], dtype=pl.UInt32),
            "key": [r[1] for r in rows],
            "start": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "end": pl.Series([t and t + timedelta(minutes=1) for t in times], dtype=pl.Datetime("us", "UTC")),
            "kind": [r[3] for r in rows],
            "template": pl.Series([r[4] for r in rows], dtype=pl.UInt32),
        }
    )


def test_the_same_reason_close_in_time_is_one_incident():
    """Same kind and template within hours join, whatever their keys; a day later is another incident."""
    found = join_alarms(alarms((0, "a", 0, "count", 1), (5, "b", 3, "count", 1), (9, "c", 30, "count", 1)), False)
    assert found.to_list() == [0, 0, 1]


def test_how_close_is_close():
    """A day between alarms for one reason, half an hour between those of one key, and not a minute more."""
    for key, kind, limit in (("b", "count", 24), ("a", "order", 0.5)):
        for more, number in ((1 / 60, 0), (2.1 / 60, 1)):  # an alarm lasts a minute
            found = join_alarms(alarms((0, "a", 0, "count", 1), (1, key, limit + more - 1e-9, kind, 1)), False)
            assert found.to_list() == [0, number], (key, more)


def test_another_reason_is_another_incident():
    """Another kind or another template at the same time stays apart."""
    found = join_alarms(alarms((0, "a", 0, "count", 1), (1, "b", 0, "count", 2), (2, "c", 0, "order", 1)), False)
    assert found.to_list() == [0, 1, 2]


def test_the_same_key_close_in_time_is_one_incident():
    """Two alarms of one session key within half an hour join, for whatever reasons."""
    found = join_alarms(alarms((0, "a", 0, "count", 1), (1, "a", 0.4, "order", 2), (2, "a", 2, "order", 3)), False)
    assert found.to_list() == [0, 0, 1]


def test_windows_that_follow_join():
    """For windows, one directly after the other is the same incident; with a gap it is not."""
    rows = ((4, "w5", 0, "count", 1), (5, "w6", 10, "order", 2), (7, "w8", 20, "order", 3))
    assert join_alarms(alarms(*rows), True).to_list() == [0, 0, 1]
    assert join_alarms(alarms(*rows), False).to_list() == [0, 1, 2]


def test_joining_goes_on_through_a_third():
    """A joins B and B joins C, so all three are one."""
    found = join_alarms(alarms((0, "a", 0, "count", 1), (1, "b", 0, "count", 1), (2, "b", 0.2, "order", 9)), False)
    assert found.to_list() == [0, 0, 0]


def test_without_times_the_same_reason_joins():
    """Where there is no time, all alarms for one reason are one incident."""
    found = join_alarms(alarms((0, "a", None, "count", 1), (1, "b", None, "count", 1), (2, "c", None, "x", 1)), False)
    assert found.to_list() == [0, 0, 1]


def test_a_long_alarm_reaches_far():
    """What counts is the pause since the latest end so far, not since the last alarm's end."""
    frame = alarms((0, "a", 0, "count", 1), (1, "b", 1, "count", 1), (2, "c", 20, "count", 1))
    frame = frame.with_columns(
        end=pl.when(pl.col("unit") == 0).then(pl.lit(START + timedelta(hours=15))).otherwise("end")
    )
    assert join_alarms(frame, False).to_list() == [0, 0, 0]


def test_the_order_of_rows_does_not_change_who_joins():
    """Shuffled alarms fall into the same groups."""
    rows = [(i, f"k{i % 4}", i * 2.0, "count" if i % 3 else "order", i % 2) for i in range(20)]
    straight = join_alarms(alarms(*rows), False).to_list()
    back = join_alarms(alarms(*rows[::-1]), False).to_list()[::-1]
    groups = {frozenset(i for i, n in enumerate(x) if n == k) for x in (straight,) for k in set(x)}
    assert groups == {frozenset(i for i, n in enumerate(back) if n == k) for k in set(back)}


@pytest.mark.parametrize(
    ("excess", "units", "level", "grade"),
    [
        (1.0, 1, 9, "low"),
        (2.0, 1, 9, "medium"),
        (3.5, 1, 9, "high"),
        (1.0, 10, 9, "medium"),
        (1.0, 1, 17, "medium"),
        (1.0, 1, 21, "high"),
        (4.0, 20, 24, "critical"),
    ],
)
def test_severity_adds_up(excess, units, level, grade):
    """Surprise, number and level of lines make an incident severe, and the reason names them."""
    found, why = severity(excess, units, level)
    assert found == grade
    assert found in SEVERITIES
    assert why


def alike(units: range, kind: str = "rare pattern", share: float = 0.01, level: int = 9) -> pl.DataFrame:
    """Return the alarms of an incident, just above a threshold of 3."""
    rows = {"unit": list(units), "kind": kind, "share": share, "score": 3.1, "level": level}
    return pl.DataFrame(rows, schema_overrides={"unit": pl.UInt32})


def test_a_habit_is_no_incident_of_many_units():
    """What one unit in a hundred does, all over the log and as often as is usual, is of low severity."""
    assert not are_news(alike(range(50, 2000, 100)), 2000)
    assert graded(alike(range(50, 2000, 100)), 3.0, 2000) == ("low", "just above the threshold")
    assert not are_news(alike(range(50, 2000, 100), "missing event", 0.99), 2000)
    assert graded(alike(range(50, 2000, 100), level=17), 3.0, 2000) == ("medium", "error lines")


def test_many_units_are_news_where_they_come_together_or_are_more_than_usual():
    """Twenty in a row, twice as many as usual, and what was never seen: severe by their number."""
    together, more, new = alike(range(700, 720)), alike(range(50, 2000, 50)), alike(range(50, 2000, 100), "new pattern")
    for group in (together, more, new):
        assert are_news(group, 2000)
        assert graded(group, 3.0, 2000) == ("medium", f"{group.height} units alike")


def test_the_same_finding_has_the_same_id():
    """An id is a hash of what a finding is about, and parts are not run together."""
    assert finding_id("a", "b", "c", "d") == finding_id("a", "b", "c", "d")
    assert finding_id("a", "bc", "", "d") != finding_id("a", "b", "c", "d")
    assert len(finding_id("", "", "", "")) == 12


def group(grade: str, kind: str, hours: float | None, units: int = 1) -> tuple[str, pl.DataFrame]:
    """Return an incident: its severity and its alarms."""
    return grade, alarms(*((i, f"k{hours}{i}", hours, kind, 1) for i in range(units)))


def test_strays_of_a_day_are_told_together():
    """What is new or rare in a unit or two, and not severe, joins within a day; all else stays by itself."""
    groups = [
        group("high", "new pattern", 1),
        group("low", "new pattern", 30),
        group("low", "rare pattern", 2),
        group("low", "order", 2),
        group("low", "rare pattern", 3, units=9),
        group("low", "new pattern", 8, units=2),
        group("low", "new pattern", 90),
    ]
    assert join_strays(groups) == [[0], [1, 2, 5], [3], [4], [6]]


def test_strays_without_times_are_told_together():
    """Where there are no times, all strays are near one another."""
    assert join_strays([group("low", "new pattern", None), group("low", "rare pattern", None)]) == [[0, 1]]
