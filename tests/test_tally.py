"""Counts over time: exact, bounded, and the same however the input was cut."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from offbeat import tally
from offbeat.pipeline import Pipeline
from offbeat.schema import TIME
from offbeat.tally import Cells, Lanes, Tally

_START = datetime(2026, 1, 5, tzinfo=UTC)


def events(seconds: list[float | None], codes: list[int] | None = None, level: int = 9) -> pl.DataFrame:
    """Return TEMPLATED events at so many seconds after a start."""
    n = len(seconds)
    return pl.DataFrame(
        {
            "file": pl.Series([0] * n, dtype=pl.UInt16),
            "line": pl.Series(range(1, n + 1), dtype=pl.UInt32),
            "timestamp": pl.Series([None if s is None else _START + timedelta(seconds=s) for s in seconds], dtype=TIME),
            "level": pl.Series([level] * n, dtype=pl.UInt8),
            "template": pl.Series(codes or [0] * n, dtype=pl.UInt32),
        }
    )


def test_patterns_count_share_and_say_when_and_where() -> None:
    """Each template has its count, its share, and when and where it was first seen."""
    t = Tally()
    t.add(events([0, 10, 20, 5], [3, 1, 3, 3]))
    found = t.patterns().rows(named=True)
    assert [(f["template"], f["count"], f["share"]) for f in found] == [(3, 3, 0.75), (1, 1, 0.25)]
    assert found[0]["first_seen"] == _START
    assert found[0]["last_seen"] == _START + timedelta(seconds=20)
    assert [f["line"] for f in found] == [1, 2]


def test_volume_sums_to_all_events_and_levels() -> None:
    """No event is lost between buckets, and levels are counted apart."""
    t = Tally()
    t.add(events([i * 7.0 for i in range(5_000)]))
    t.add(events([40_000.0], level=17))
    t.add(events([40_001.0], level=13))
    volume = t.volume()
    assert volume["events"].sum() == 5_002
    assert (volume["errors"].sum(), volume["warnings"].sum()) == (1, 1)
    assert volume.height <= tally.MOST_BUCKETS
    assert t.width == 5 * 60 * 1_000_000


def test_a_stray_time_stamp_costs_one_bucket() -> None:
    """A line dated 1970 does not coarsen the buckets of all the others."""
    t = Tally()
    t.add(events([*(i / 10 for i in range(1000)), -1.6e9]))
    assert t.width == 1_000_000
    assert t.volume()["events"].to_list() == [1] + [10] * 100


def test_without_times_the_axis_is_order() -> None:
    """Events without time stamps are counted by their place in the input."""
    t = Tally()
    t.add(events([None] * 1000))
    volume = t.volume()
    assert not t.timed
    assert volume["start"].null_count() == volume.height
    assert volume["events"].to_list() == [10] * 100


def test_series_are_the_counts_over_part_of_the_axis() -> None:
    """Counts of some templates come as columns of the width asked for."""
    t = Tally()
    t.add(events([float(i) for i in range(60)], [i % 2 for i in range(60)]))
    first = int(_START.timestamp()) * 1_000_000
    assert t.series([1, 0], first, 30_000_000, 2).tolist() == [[15, 15], [15, 15]]
    assert t.series([1], first + 30_000_000, 30_000_000, 1).tolist() == [[15]]
    assert t.series([7], first, 30_000_000, 2).tolist() == [[0, 0]]


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.integers(0, 5)), min_size=1, max_size=200),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_the_cut_does_not_matter(rows: list[tuple[float, int]], cuts: list[int]) -> None:
    """Cells are the same whether rows come at once or in parts."""

    def cells(parts: list[pl.DataFrame]) -> pl.DataFrame:
        made = Cells([pl.col("events").sum()])
        for part in parts:
            if part.height:
                made.add(part)
        return made.cells()

    frame = events([s for s, _ in rows], [c for _, c in rows])
    frame = frame.select(code="template", time="timestamp", order=pl.col("line").cast(pl.Int64), events=pl.lit(1))
    edges = [0, *sorted(min(c, frame.height) for c in cuts), frame.height]
    parts = [frame[a:b] for a, b in pairwise(edges)]
    assert cells(parts).equals(cells([frame]))


def test_cells_are_bounded() -> None:
    """With more cells than allowed, buckets widen instead."""
    made = Cells([pl.col("events").sum()], most=50)
    rows = events([float(i) for i in range(100)], [i % 10 for i in range(100)])
    made.add(rows.select(code="template", time="timestamp", order=pl.lit(0, pl.Int64), events=pl.lit(1)))
    assert made.frame is not None
    assert made.frame.height <= 50
    assert made.frame["events"].sum() == 100


def test_lanes_keep_the_highest_score_of_a_source() -> None:
    """A source is as strange as the strangest unit that it took part in."""
    lanes = Lanes()
    units = pl.DataFrame(
        {"start": pl.Series([_START] * 3, dtype=TIME), "sources": [[1, 1, 2], [2], []]},
        schema_overrides={"sources": pl.List(pl.UInt32)},
    )
    lanes.add(units, np.array([5.0, 7.0, 9.0]))
    assert lanes.frame().select("source", "score").rows() == [(1, 5.0), (2, 7.0)]


def test_a_run_counts_every_event(shop: list[str]) -> None:
    """Patterns and volume of a run cover what was read, whether learned from it or not."""
    pipeline = Pipeline(detectors=["presence"]).fit(shop)
    for run in (pipeline.cross_score(), pipeline.score(shop)):
        assert run.patterns["count"].sum() == run.summary["events"] == run.volume["events"].sum()
        assert not run.patterns["is_new"].any()
        assert run.patterns["text"].null_count() == 0
        assert run.lanes.frame().height > 0


def test_ids_are_counted_too() -> None:
    """Sequences of ids have patterns and a volume by order."""
    ids = [["a", "b"], ["a"], []] * 20
    run = Pipeline(detectors=["presence"]).fit(ids).cross_score()
    assert run.patterns.select("text", "count").rows() == [("a", 40), ("b", 20)]
    assert not run.tally.timed
