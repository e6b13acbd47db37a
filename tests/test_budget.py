"""The alert budget: how many units may be flagged."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from offbeat.budget import Budget
from offbeat.errors import OptionError

START = datetime(2026, 1, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")


def units(n: int, covered: timedelta | None) -> pl.DataFrame:
    """Return ``n`` units spread over a stretch of time."""
    times = [None if covered is None else START + covered * (i / max(1, n - 1)) for i in range(n)]
    return pl.DataFrame({"start": pl.Series(times, dtype=TIME), "end": pl.Series(times, dtype=TIME)})


@pytest.mark.parametrize(
    ("text", "budget"),
    [("5/day", Budget(5, "day")), (" 0.5 / hour ", Budget(0.5, "hour")), ("2/1000", Budget(2, "1000"))],
)
def test_a_budget_is_read(text, budget):
    """A number, and a day, an hour or a thousand units."""
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "5/week",
        "0/day",
        "-1/day",
        "day/5",
        "5/100",
        "x/day",
        "1e3/day",
        "5/day/day",
        pytest.param("9" * 400 + "/day", id="endless"),
    ],
)
def test_a_bad_budget_is_refused(text):
    """What is none is named, with what is one."""
    with pytest.raises(OptionError, match=r"--budget.*5/day"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("text", "n", "covered", "allowed"),
    [
        ("4/day", 1000, timedelta(days=2), 8),
        ("4/day", 1000, timedelta(hours=12), 2),
        ("4/day", 1000, timedelta(minutes=1), 1),
        ("1/hour", 1000, timedelta(days=1), 24),
        ("2/1000", 5000, timedelta(days=1), 10),
        ("2/1000", 5000, None, 10),
        ("2/1000", 10, None, 1),
    ],
)
def test_a_budget_is_pro_rata(text, n, covered, allowed):
    """So many in the time or the units covered, at least one."""
    assert Budget.parse(text).units(units(n, covered)) == allowed


@pytest.mark.parametrize("what", [{"start": "both"}, {"end": "one"}], ids=["a unit", "an event of one"])
@pytest.mark.parametrize("stray", [datetime(1971, 1, 1, tzinfo=UTC), datetime(2261, 1, 1, tzinfo=UTC)])
def test_a_stray_time_buys_no_alarms(stray, what):
    """A time years from all others, which anyone can write into a log, adds days of nothing, and none to the budget."""
    frame = units(1000, timedelta(days=2))
    row = frame[500]
    times = {"start": stray, "end": stray} if "start" in what else {
        "start": min(stray, row["start"][0]), "end": max(stray, row["end"][0])
    }  # fmt: skip
    odd = pl.concat([frame, row.with_columns(pl.lit(t, TIME).alias(name) for name, t in times.items())])
    assert Budget.parse("4/day").units(odd) <= 8 + 4 * 7
    assert Budget.parse("4/day").units(frame) == 8


def test_a_budget_by_time_needs_times():
    """Without times it cannot be said how many days there were."""
    with pytest.raises(OptionError, match=r"needs times.*N/1000"):
        Budget.parse("5/day").units(units(10, None))
