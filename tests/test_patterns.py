"""patterns: the golden cases, exact counts, and courses over time."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from cli_cases import cases, check, offbeat  # noqa: F401 - a fixture

from offbeat import patterns
from offbeat.cli import shown
from offbeat.patterns import find_patterns
from offbeat.pipeline import Pipeline
from offbeat.read import Lines, open_logs


@pytest.mark.parametrize("case", cases("patterns"))
def test_golden(case, offbeat, tmp_path):  # noqa: F811 - the fixture
    """The command says exactly what the case says."""
    check(case, offbeat, tmp_path)


def log(n: int) -> Lines:
    """A log of ``n`` lines of two kinds, a minute apart; the second kind is every tenth."""
    times = pl.datetime_range(datetime(2026, 1, 1), datetime(2027, 1, 1), "1m", eager=True).head(n)
    return Lines(f"{time:%Y-%m-%d %H:%M:%S} INFO {f'paid {i}' if i % 10 else 'rest'}" for i, time in enumerate(times))


def test_counts_and_times_are_exact(monkeypatch):
    """However often what waits is added up, counts, shares, times and courses are those of the lines."""
    monkeypatch.setattr(patterns, "_PENDING", 3)
    found = find_patterns(open_logs(log(20_000)))
    paid, rest = found.rows
    assert (paid.template, paid.count, rest.template, rest.count) == ("paid <*>", 18_000, "rest", 2_000)
    assert paid.share == 0.9
    assert rest.first_seen == datetime(2026, 1, 1, tzinfo=UTC)
    assert rest.line == 1
    assert rest.last_seen == datetime(2026, 1, 14, 21, 10, tzinfo=UTC)
    assert sum(rest.counts) == 2_000
    assert len(rest.counts) == patterns.POINTS
    assert max(rest.counts) < 2 * min(rest.counts)
    assert found.step * patterns.POINTS == pytest.approx(20_000 * 60, rel=0.05)


def test_values_are_sampled_evenly_and_said(monkeypatch):
    """Where there are very many lines, the values are those of an even sample, and its size is known."""
    monkeypatch.setattr(patterns, "_SAMPLE", 500)
    monkeypatch.setattr(patterns, "_SAMPLES", 2_000)
    found = find_patterns(open_logs(log(20_000)))
    ((lines, (part,)),) = found.expand(found.rows).values()
    assert lines == part.distinct == 500
    assert part.kind == "number"
    assert part.median == pytest.approx(10_000, rel=0.15)
    assert "values of 500 of its lines" in _text(shown.patterns(found, 5, None, found.expand(found.rows)))


def test_new_to_a_model_comes_first(offbeat, shop_file, tmp_path):  # noqa: F811 - a fixture
    """With a model, what it does not know is marked, and first when the newest are asked for."""
    Pipeline(session_by=r"order-\d+", detectors=("presence",)).fit(str(shop_file)).save(tmp_path / "model")
    lines = shop_file.read_text().splitlines()
    (tmp_path / "new.log").write_text("\n".join([lines[0].replace("received order", "refunded all of"), *lines]))
    found = [json.loads(line) for line in offbeat("patterns new.log -m model --json --sort new").out.splitlines()]
    assert [row["new"] for row in found] == [True] + [False] * (len(found) - 1)
    assert sum(row["count"] for row in found) == len(lines) + 1
    assert "(new) refunded all of" in offbeat("patterns new.log -m model").out


def test_thousands_of_patterns_stay_readable():
    """A screen shows the first ones, what they cover, and what is left out; all lines are accounted for."""
    words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "klmnprst"]
    lines = Lines(f"2026-01-01 00:00:00 INFO {a} {b} {c}" for a in words[:20] for b in words for c in words[:2])
    found = find_patterns(open_logs(lines))
    text = _text(shown.patterns(found, 50, 100)).splitlines()
    assert len(text) == min(50, len(found.rows)) + 3 + (len(found.rows) > 50)
    assert sum(row.count for row in found.rows) == len(lines)
    assert all(len(line) <= 100 for line in text)


def test_sparkline():
    """Bars are relative to the highest; nothing is a dot."""
    assert shown.sparkline([0, 1, 4, 8]) == "·▁▄█"
    assert shown.sparkline([]) == ""


def _text(lines) -> str:
    return "\n".join("".join(text for text, _ in pieces) for pieces in lines)
