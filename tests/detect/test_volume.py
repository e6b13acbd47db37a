"""Volume: bursts and silences of templates, sources and levels, against trend, daily rhythm and their own habits."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from offbeat.detect.counts import deviation, dispersion
from offbeat.detect.volume import SERIES, VOLUMES, Volume

START = datetime(2025, 3, 3, tzinfo=UTC)
HOUR = 3600


def events(parts):
    """Return events in order of time from (seconds, template, source, level) arrays or numbers."""
    frames = []
    for seconds, template, source, level in parts:
        at = pl.Series((np.asarray(seconds) * 1e6).astype(np.int64)).cast(pl.Duration("us"))
        frames.append(
            pl.DataFrame({"at": at}).select(
                timestamp=pl.lit(START).cast(pl.Datetime("us", "UTC")) + pl.col("at"),
                template=pl.lit(template, pl.UInt32),
                source=pl.lit(source, pl.UInt32),
                level=pl.lit(level, pl.UInt8),
            )
        )
    return pl.concat(frames).sort("timestamp")


def steady(hours=6, rate=40, seed=0, source=1, template=1, level=9):
    """Return events at random times, ``rate`` a minute."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, hours * HOUR, int(hours * 60 * rate)), template, source, level


def judged(parts, cut=10**6):
    """Return the view that counted the events."""
    made = Volume()
    for part in events(parts).iter_slices(cut):
        made.add(part)
    return made


def test_a_burst_is_found_where_it_is():
    """Three hundred failures within ten minutes, of a template that comes every minute, are one alarm then."""
    rng = np.random.default_rng(1)
    failures = np.concatenate([rng.uniform(0, 6 * HOUR, 360), 4 * HOUR + rng.uniform(0, 600, 300)])
    alarms = judged([steady(), (failures, 2, 1, 17)]).alarms()
    first = alarms.row(0, named=True)
    assert first["kind"] == "volume"
    assert first["what"] in ("template", "level")
    assert abs((first["start"] - START).total_seconds() - 4 * HOUR) <= 60
    assert abs((first["end"] - START).total_seconds() - 4 * HOUR - 600) <= 120
    assert first["count"] == pytest.approx(310, abs=15)
    assert first["expected"] < 40
    assert alarms.height <= 2


def test_silence_is_found_where_it_is():
    """A source that says nothing for twenty minutes, and usually 40 lines a minute, is a silence of that source."""
    times, *rest = steady(seed=2, source=2, template=3)
    quiet = times[(times < 2 * HOUR) | (times > 2 * HOUR + 1200)]
    alarms = judged([steady(), (quiet, *rest)]).alarms()
    silent = alarms.filter(pl.col("kind") == "silence").row(0, named=True)
    assert (silent["what"], silent["code"]) in (("source", 2), ("template", 3))
    assert silent["also"] >= 1
    assert abs((silent["start"] - START).total_seconds() - 2 * HOUR) <= 60
    assert abs((silent["end"] - silent["start"]).total_seconds() - 1200) <= 120
    assert silent["count"] <= 45
    assert silent["expected"] == pytest.approx(800, rel=0.2)


def test_steady_traffic_is_quiet():
    """Random traffic without a fault gives hardly an alarm, over several seeds and rates."""
    found = [
        judged([steady(seed=s, rate=r), steady(seed=s + 50, rate=2, source=2, template=2)]).alarms().height
        for s, r in enumerate((1, 5, 40, 40, 5))
    ]
    assert sum(found) <= 1


def test_what_bursts_every_hour_is_usual():
    """A job that writes two hundred lines each hour is no alarm."""
    rng = np.random.default_rng(3)
    job = np.concatenate([h * HOUR + rng.uniform(0, 60, 200) for h in range(24)])
    alarms = judged([steady(hours=24), (job, 2, 2, 9)]).alarms()
    assert alarms.height == 0


def test_a_few_failures_at_once_are_many_where_failures_are_rare():
    """Six failures within two minutes are told, each of three such times, where there is hardly one an hour."""
    rng = np.random.default_rng(7)
    times = [h * HOUR + rng.uniform(0, 100, 6) for h in (2, 5, 9)]
    failures = np.concatenate([*times, rng.uniform(0, 12 * HOUR, 5)])
    alarms = judged([steady(hours=12), (failures, 2, 1, 17)]).alarms(5.0)
    assert alarms["what"].to_list() == ["level"] * 3
    found = sorted((at - START).total_seconds() / HOUR for at in alarms["start"])
    assert found == pytest.approx([2, 5, 9], abs=0.05)
    # The same lines at another level are usual.
    assert judged([steady(hours=12), (failures, 2, 1, 9)]).alarms(5.0).height == 0


def test_failures_that_come_every_hour_are_usual():
    """A job that fails every hour, six lines at a time, is no alarm."""
    rng = np.random.default_rng(8)
    job = np.concatenate([h * HOUR + rng.uniform(0, 60, 6) for h in range(24)])
    assert judged([steady(hours=24), (job, 2, 2, 17)]).alarms(5.0).height == 0


def test_a_daily_rhythm_is_learned():
    """Ten times the traffic at noon is usual after a week of it; the same at night is not."""
    rng = np.random.default_rng(4)
    days = [d * 24 * HOUR + 11 * HOUR + rng.uniform(0, 3 * HOUR, 10_800) for d in range(7)]
    base = rng.uniform(0, 7 * 24 * HOUR, 60_480)
    usual = judged([(np.concatenate([base, *days]), 1, 1, 9)])
    assert usual.alarms().height == 0
    night = 4 * 24 * HOUR + 2 * HOUR + rng.uniform(0, 2 * HOUR, 7_200)
    odd = judged([(np.concatenate([base, *days, night]), 1, 1, 9)]).alarms()
    assert odd.height >= 1
    assert odd["start"][0] >= START + timedelta(days=4, hours=1)
    assert odd["end"][0] <= START + timedelta(days=4, hours=5)


def test_a_slow_trend_is_no_alarm():
    """Traffic that doubles over a day is followed."""
    rng = np.random.default_rng(5)
    u = rng.uniform(0, 1, 50_000)
    times = (np.sqrt(1 + 3 * u) - 1) * 24 * HOUR
    assert judged([(times, 1, 1, 9)]).alarms().height == 0


def test_the_series_holds_counts_and_expectations():
    """Each series has one row a bucket; counts sum to the events but for the first and last bucket."""
    made = judged([steady()])
    series = made.series()
    assert series.schema == SERIES
    assert set(series["what"]) == {"all", "template", "source", "level"}
    everything = series.filter(pl.col("what") == "all")
    assert everything["time"].is_unique().all()
    assert everything["count"].sum() == pytest.approx(6 * 60 * 40, rel=0.02)
    assert everything["expected"].to_numpy().mean() == pytest.approx(everything["count"].to_numpy().mean(), rel=0.1)
    assert abs(everything["score"].to_numpy().mean()) < 0.3


def test_how_events_are_cut_does_not_matter():
    """Batches of any size give the same series and alarms, and looking between them changes nothing."""
    parts = [steady(hours=30), (5 * HOUR + np.arange(300), 2, 1, 17)]
    whole = judged(parts)
    cut = Volume()
    for part in events(parts).iter_slices(7000):
        cut.add(part)
        cut.alarms()
    assert cut.series().equals(whole.series())
    assert cut.alarms().equals(whole.alarms())


def test_templates_that_become_one_are_counted_as_one():
    """Renaming codes merges their series."""
    made = judged([steady(), steady(seed=9, template=5)])
    made.rename(lambda codes: codes.replace({5: 1}))
    series = made.series().filter(pl.col("what") == "template")
    assert set(series["code"]) == {1}
    assert series["count"].sum() == pytest.approx(2 * 6 * 60 * 40, rel=0.02)


def test_a_stretch_in_which_nothing_is_written_is_told_once():
    """When the whole log stops for half an hour, that is one silence of all, not of each series."""
    parts = []
    for template in (1, 2, 3):
        times, *rest = steady(seed=template, template=template, source=template)
        parts.append((times[(times < 3 * HOUR) | (times > 3 * HOUR + 1800)], *rest))
    alarms = judged(parts).alarms()
    assert alarms.filter(pl.col("kind") == "silence")["what"].to_list() == ["all"]


@pytest.mark.parametrize("n", [0, 1, 25])
def test_too_little_says_nothing(n):
    """No events, or a handful, give empty frames with the declared columns."""
    made = judged([(np.arange(n) * 60.0, 1, 1, 9)])
    assert made.alarms().schema == VOLUMES
    assert made.alarms().height == 0
    assert made.series().schema == SERIES


def test_events_without_time_or_source_are_passed_over():
    """A null time is not counted; a null source is, but belongs to no source."""
    frame = events([steady()])
    made = Volume()
    made.add(frame.with_columns(timestamp=pl.lit(None, frame.schema["timestamp"])))
    assert made.series().height == 0
    made.add(frame.with_columns(source=pl.lit(None, pl.UInt32)))
    assert set(made.series()["what"]) == {"all", "template", "level"}


def test_deviations_are_standard_normal_where_counts_are_negative_binomial():
    """Residuals of simulated counts have about unit spread, and the dispersion is found again within a factor."""
    rng = np.random.default_rng(6)
    mean, spread = 20.0, 0.4
    counts = rng.negative_binomial(1 / spread, 1 / (1 + spread * mean), size=(2000, 1)).astype(float)
    found = dispersion(counts, np.full_like(counts, mean), np.zeros(1, dtype=np.int64))
    assert 0.2 <= found[0] <= 0.8
    z = deviation(counts, np.full_like(counts, mean), spread)
    assert z.std() == pytest.approx(1, abs=0.1)
    assert abs(z.mean()) < 0.3
    assert deviation(np.array([20.0]), np.array([20.0]), spread)[0] == 0
