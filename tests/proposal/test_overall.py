"""Rules for findings about the log as a whole: over which span is counted, and from how many on."""

from datetime import UTC, datetime, timedelta

import polars as pl

from offbeat.proposal.overall import _conditions, _stretch
from offbeat.proposal.past import Past

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = 3600


def conditions(events, first, last, who=None):
    """Return spans and bounds for a finding from one second after the start to another, in buckets of an hour.

    ``events`` are pairs of seconds after the start and an address.
    """
    finding = {"kind": "volume", "session": who}
    finding |= {"start": str(START + timedelta(seconds=first)), "end": str(START + timedelta(seconds=last))}
    series = pl.DataFrame({"what": ["all"] * 240, "time": [START + timedelta(hours=i) for i in range(240)]})
    empty = pl.DataFrame()
    past = Past([finding], empty, empty, {}, empty, [], "session", series)
    low = int(START.timestamp() * 1e6)
    hits = pl.DataFrame({"time": [low + int(s * 1e6) for s, _ in events], "who": [by for _, by in events]})
    return _conditions(past, finding, hits, _stretch(finding))


def test_more_events_than_ever_are_counted_by_the_hour():
    """Where a bucket has more than any hour elsewhere, the rule counts by the bucket."""
    usual = range(5 * HOUR, 200 * HOUR, 1800)
    found = conditions([(s, "") for s in (*range(HOUR, 2 * HOUR, 300), *usual)], HOUR, 2 * HOUR)
    seconds, bound = found[0]
    assert seconds == HOUR
    assert 3 <= bound["gte"] <= 12


def test_a_burst_within_an_hour_is_counted_over_a_part_of_it():
    """As many events elsewhere, over the change of an hour, hide a burst of seconds from an hour's count only."""
    elsewhere = range(9 * HOUR - 1200, 9 * HOUR + 1200, 300)
    found = conditions([(s, "") for s in (*range(HOUR, HOUR + 60, 10), *elsewhere)], HOUR, 2 * HOUR)
    assert found
    assert all(seconds < HOUR for seconds, _ in found)


def test_an_address_that_goes_on_for_days_is_counted_over_days():
    """One event an hour is no burst where others have several in an hour, but all of them in a week are."""
    mine = [(hour * HOUR, "a") for hour in range(96)]
    others = [(day * 24 * HOUR + 60 * k, f"b{day}") for day in range(4) for k in range(8)]
    ((seconds, bound),) = conditions(mine + others, 0, 95 * HOUR, "a")
    assert seconds == 7 * 24 * HOUR
    assert 8 < bound["gte"] <= len(mine)
