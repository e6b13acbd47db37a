"""How late the first alarm of an incident comes, in units and in seconds."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from offbeat.errors import OffbeatError
from offbeat.evaluate.delay import first_alarms, incidents_of


def test_nearby_anomalies_are_one_incident():
    """Anomalous units with few normal ones between them belong together, those further away do not."""
    y = [False, True, False, True, *[False] * 3, True, False]
    assert incidents_of(y, gap=2).to_list() == [None, 0, None, 0, None, None, None, 1, None]
    assert incidents_of([False, False]).to_list() == [None, None]


def test_delays_are_counted_from_the_first_anomalous_unit():
    """An incident found at its third unit is two units and their time late; one without an alarm is not found."""
    incident = pl.Series([None, 0, 0, 0, None, 1, 1, 2], dtype=pl.Int64)
    alarm = [True, False, False, True, True, True, False, False]
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    start = pl.Series([begin + timedelta(seconds=i * i) for i in range(8)]).cast(pl.Datetime("us", "UTC"))
    found = first_alarms(incident, alarm, start)
    assert (found.incidents, found.found) == (3, 2)
    assert found.units == 1.0  # of two and none
    assert found.seconds == 4.0  # of eight and none


def test_without_alarms_or_times_there_is_no_delay():
    """Nothing found has no delay; without times it has none in seconds."""
    incident = pl.Series([0, 0, None], dtype=pl.Int64)
    assert first_alarms(incident, [False, False, True]).units is None
    found = first_alarms(incident, [False, True, False])
    assert (found.units, found.seconds) == (1.0, None)


def test_lengths_must_agree():
    """Verdicts on other units are refused."""
    with pytest.raises(OffbeatError, match="3 incidents' units but 2 verdicts"):
        first_alarms(pl.Series([0, None, None], dtype=pl.Int64), [True, False])
