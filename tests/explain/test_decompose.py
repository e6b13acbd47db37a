"""Series in parts: what only follows the rhythm is not blamed, what does not is named."""

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest

pytest.importorskip("statsmodels", reason="the extra `explain` is not installed")

from offbeat.errors import NotEnoughDataError, OffbeatError
from offbeat.explain.decompose import counts_of, decompose, explain_series

HOUR = 3_600_000_000
START = datetime(2026, 1, 5, tzinfo=UTC)


def rhythm(days: int, seed: int = 0, factor: object = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Hours and counts of a log that is busy by day, on fewer than five at weekends where there are weeks."""
    rng = np.random.default_rng(seed)
    hour = np.arange(days * 24)
    mean = 100 * (1 + 0.7 * np.sin(2 * np.pi * hour / 24 - 2))
    if days >= 14:
        mean = mean * np.where(hour // 24 % 7 >= 5, 0.6, 1.0)
    return int(START.timestamp() * 1e6) + hour * HOUR, rng.poisson(mean * factor).astype(float)


@pytest.mark.parametrize(("days", "seasons"), [(2, ["day"]), (6, ["day"]), (14, ["day", "week"])])
def test_peaks_that_follow_the_rhythm_are_not_blamed(days, seasons):
    """Hardly a bucket of a mere rhythm is to blame, the highest peak is told as the season's, no trend is seen."""
    blamed = total = 0
    for seed in range(3):
        times, counts = rhythm(days, seed)
        d = decompose(times, counts)
        assert list(d.seasons) == seasons
        assert d.change is None
        np.testing.assert_allclose(d.trend + d.season + d.rest, counts, atol=1e-6)
        peak = d.sticks_out(int(np.argmax(d.expected)))
        assert (peak.part, peak.blamed) == ("season", False)
        blamed += sum(d.sticks_out(i).blamed for i in range(len(times)))
        total += len(times)
    assert blamed / total < 0.01


@pytest.mark.parametrize("days", [2, 6, 14])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_spike_is_named(days, sign):
    """A bucket far off, on a peak or in a valley of the rhythm, sticks out of the rest; the trend has not changed."""
    times, counts = rhythm(days)
    at = int(len(times) * 0.6) // 24 * 24 + (13 if sign < 0 else 2)
    counts[at] = 0 if sign < 0 else counts[at] + 130
    d = decompose(times, counts)
    found = d.sticks_out(at)
    assert (found.part, found.blamed, np.sign(found.sd)) == ("rest", True, sign)
    assert d.change is None


@pytest.mark.parametrize("days", [3, 6, 14])
def test_a_level_shift_is_named(days):
    """A level that doubles for good sticks out of the trend, and the step is found where it is."""
    n = days * 24
    times, counts = rhythm(days, factor=np.where(np.arange(n) >= 0.6 * n, 2.0, 1.0))
    d = decompose(times, counts)
    found = d.sticks_out(int(0.8 * n))
    assert (found.part, found.blamed) == ("trend", True)
    assert d.change is not None
    assert d.change.kind == "step"
    assert abs(d.change.at - 0.6 * n) <= 0.05 * n
    assert d.change.after / d.change.before == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize("days", [2, 6, 14])
def test_a_slow_rise_is_named(days):
    """What rises little by little is found in the trend, as a drift and at its end, though no bucket jumps."""
    times, counts = rhythm(days, factor=np.linspace(1, 3, days * 24))
    d = decompose(times, counts)
    assert d.change is not None
    assert d.change.kind == "drift"
    assert d.change.after > 2 * d.change.before
    found = d.sticks_out(len(times) - 2)
    assert (found.part, found.blamed, found.sd > 0) == ("trend", True, True)


def test_chance_has_no_trend():
    """Of 60 short series of mere chance, a few at most are said to drift or step."""
    rng = np.random.default_rng(1)
    times = np.arange(60) * 60_000_000
    changed = [decompose(times, rng.normal(50, 4, 60), counts=False).change is not None for _ in range(60)]
    assert sum(changed) <= 2


def test_values_and_short_series_have_no_season():
    """Response times over two hours: only a trend, a spike is the rest's, and missing buckets are filled in between."""
    rng = np.random.default_rng(3)
    times, values = np.arange(120) * 60_000_000, rng.normal(0.2, 0.01, 120)
    values[70] = 0.9
    keep = np.delete(np.arange(120), [5, 6])
    d = decompose(times[keep], values[keep])
    assert not d.seasons
    assert len(d.times) == 120
    assert d.seen[5] == pytest.approx(np.interp(5, [4, 7], values[[4, 7]]))
    assert d.sticks_out(70).part == "rest"
    assert d.sticks_out(70).blamed


def test_missing_buckets_of_counts_are_empty():
    """Where nothing was written, nothing was counted."""
    times, counts = rhythm(3)
    d = decompose(np.delete(times, 40), np.delete(counts, 40))
    assert d.seen[40] == 0
    assert d.sticks_out(40).blamed


def test_explain_series_is_ready_for_json():
    """A finding's times pick the bucket that sticks out most, and the words name the part and the numbers."""
    times, counts = rhythm(6)
    counts[101] += 200
    found = explain_series(times, counts, START + timedelta(hours=100), START + timedelta(hours=104))
    assert orjson.loads(orjson.dumps(found)) == found
    assert found["time"] == "2026-01-09T05:00:00Z"
    assert (found["part"], found["blamed"], found["seen"]) == ("rest", True, counts[101])
    assert found["expected"] == pytest.approx(found["trend"] + found["season"], abs=0.01)
    assert found["sentence"].startswith(f"{counts[101]:.0f} here, where the trend and the day's rhythm would have ")
    peak = explain_series(times, counts, 60 + 8)
    assert not peak["blamed"]
    risen = explain_series(*rhythm(6, factor=np.linspace(1, 3, 144)), 140)
    assert risen["change"]["kind"] == "drift"
    assert "has risen little by little from" in risen["sentence"]


def test_nearly_nothing_is_told_as_nothing():
    """Where hardly anything is usual the estimate may lie a little above or below zero; that is no number to tell."""
    counts = np.random.default_rng(0).poisson(0.3, 240).astype(float)
    counts[150] = 600
    times = int(START.timestamp() * 1e6) + np.arange(240) * HOUR
    found = explain_series(times, counts, 150)
    assert found["expected"] > 0
    assert "rhythm would have 0: " in found["sentence"]


@pytest.mark.parametrize("days", [2, 5, 10, 20])
def test_what_comes_once_is_no_rhythm(days):
    """Where hardly anything is written else, one burst is not what the hour usually has, however long the series."""
    for seed in range(4):
        counts = np.random.default_rng(seed).poisson(0.1, 24 * days).astype(float)
        counts[12 * days + 5] = 600
        times = int(START.timestamp() * 1e6) + np.arange(24 * days) * HOUR
        found = explain_series(times, counts, 12 * days + 5)
        assert (found["part"], found["blamed"]) == ("rest", True)
        assert found["expected"] < 20


@pytest.mark.parametrize("days", [5, 10, 20])
def test_what_comes_every_night_is_a_rhythm(days):
    """Where hardly anything is written else, a burst of every night is what the hour usually has."""
    counts = np.random.default_rng(0).poisson(0.1, 24 * days).astype(float)
    counts[3::24] = 600
    times = int(START.timestamp() * 1e6) + np.arange(24 * days) * HOUR
    found = explain_series(times, counts, 24 * (days // 2) + 3)
    assert (found["part"], found["blamed"]) == ("season", False)
    assert found["expected"] > 400


def test_series_of_a_run_can_be_decomposed():
    """The frame of a run's series gives each one by name; none of that name is said."""
    times, counts = rhythm(2)
    frame = pl.DataFrame(
        {
            "time": pl.Series(times).cast(pl.Datetime("us", "UTC")),
            "what": "template",
            "code": pl.Series([3] * len(times), dtype=pl.UInt32),
            "count": pl.Series(counts).cast(pl.UInt32),
        }
    )
    at, seen = counts_of(frame.reverse(), "template", 3)
    np.testing.assert_array_equal(at, times)
    np.testing.assert_array_equal(seen, counts)
    with pytest.raises(OffbeatError, match="no series of template 4"):
        counts_of(frame, "template", 4)


def test_what_cannot_be_decomposed_is_said():
    """Too few buckets, uneven steps, and a time outside are each one clear sentence."""
    times, counts = rhythm(2)
    with pytest.raises(NotEnoughDataError, match="19 buckets are too few"):
        decompose(times[:19], counts[:19])
    with pytest.raises(OffbeatError, match="fixed step apart"):
        decompose(times + np.arange(len(times)) % 2, counts)
    with pytest.raises(NotEnoughDataError, match="too many"):
        decompose([*times, times[0] + 10**6 * HOUR], [*counts, 1])
    with pytest.raises(OffbeatError, match="outside of the series"):
        explain_series(times, counts, START - timedelta(hours=1))
    with pytest.raises(OffbeatError, match="no bucket 48"):
        decompose(times, counts).sticks_out(48)


def test_a_constant_series_has_nothing_odd():
    """Where nothing ever changes, nothing divides by zero and nothing is to blame."""
    d = decompose(np.arange(50) * HOUR, np.full(50, 7.5))
    assert d.change is None
    assert not any(d.sticks_out(i).blamed for i in range(50))


@pytest.mark.parametrize("kind", ["spike", "step"])
def test_figure_marks_the_part(kind, tmp_path):
    """The picture has a panel a part, and the mark is on the one that the finding sticks out of."""
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    from offbeat.figures_series import plot_decomposition

    times, counts = rhythm(6, factor=np.where(np.arange(144) >= 90, 2.0 if kind == "step" else 1.0, 1.0))
    if kind == "spike":
        counts[120] += 200
    figure = plot_decomposition(decompose(times, counts), 120, title="logins")
    assert [axes.get_ylabel() for axes in figure.axes] == ["seen", "trend", "season: day", "rest"]
    marked = [a.get_ylabel() for a in figure.axes[1:] if any(line.get_marker() == "o" for line in a.lines)]
    assert marked == (["rest"] if kind == "spike" else ["trend"])
    figure.savefig(tmp_path / "one.png", dpi=50)
    assert (tmp_path / "one.png").stat().st_size > 5_000
