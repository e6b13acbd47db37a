"""How much is written when: counts of templates, sources and levels over time against trend and daily rhythm.

A bucket is judged against its neighbours, a run of strange buckets against the other runs of the same series: what
bursts every hour is usual. A burst or a silence is about a stretch of time, so this view has a series of its own and
never enters a unit's score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.counts import deviation, dispersion
from offbeat.detect.ragged import Floats, Ints
from offbeat.schema import TIME

#: One row a series and bucket.
SERIES: Final = {
    "time": TIME,  # when the bucket begins
    "what": pl.String(),  # all, template, source or level
    "code": pl.UInt32(),  # the template's or source's code, the level's number; 0 for all
    "count": pl.UInt32(),
    "expected": pl.Float64(),
    "score": pl.Float64(),  # standard deviations, negative where there is less than expected
}
#: One row a burst or silence.
VOLUMES: Final = {
    "kind": pl.String(),  # volume or silence
    "what": pl.String(),
    "code": pl.UInt32(),
    "start": TIME,
    "end": TIME,
    "count": pl.UInt32(),
    "expected": pl.Float64(),  # in the same stretch
    "score": pl.Float64(),  # -ln of how many such stretches are expected in this series
    "also": pl.UInt32(),  # further series that were strange in the same way at that time
    "series": pl.List(pl.Struct({"what": pl.String(), "code": pl.UInt32()})),  # it and these
}

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
#: Widths of buckets in microseconds; each divides the next, so that widening is exact.
_WIDTHS: Final = tuple(s * _SECOND for s in (1, 5, 10, 60, 600, 3600, 21_600, 86_400, 604_800, 31_449_600))
#: Buckets from the first event to the last, at most; wider ones are used beyond.
_MOST_BUCKETS: Final = 1_500
#: Series that are judged: the largest.
_MOST_SERIES: Final = 500
_MOST_CELLS: Final = 400_000
#: So many new rows are merged at a time, at least.
_WAITING: Final = 20_000
#: A series with fewer events has no rhythm to fall out of.
_LEAST_EVENTS: Final = 30
#: Of lines that tell of a failure far fewer are enough: they have no rhythm, and hardly any are usual.
_LEAST_FAILURES: Final = 5
#: OpenTelemetry's severity number from which on a level tells of a failure.
FAILING: Final = 17
#: Failures that come in stretches for a larger share of the time than this are usual, and judged like all else.
_FAILING_SHARE: Final = 0.05
#: So are those that come in more stretches a day than this: a job that fails every hour.
_FAILING_A_DAY: Final = 8
#: Failures are many from so many times the usual number on.
_TIMES: Final = 8.0
#: A log shorter than this many buckets has no trend.
_LEAST_BUCKETS: Final = 20
#: The usual count of a bucket is the median of the means of blocks of so many buckets, so many on either side.
_BLOCK, _SIDE = 5, 4
#: A rhythm by the hour of the day is learned from so many days on.
_LEAST_DAYS: Final = 3
#: Standard deviations from which on a bucket belongs to a burst or silence.
_STRANGE: Final = 2.5
#: A burst has at least so many events more than expected, a silence so many fewer.
_LEAST_EXCESS: Final = 10.0
#: Least half squared deviations of a stretch, in nats, whatever the others are like.
_LEAST_SIZE: Final = 12.0


class Volume:
    """Counts events by template, source and level over time, and says when there are far more or fewer than usual.

    Its memory is bounded: buckets widen as the log grows longer. The result does not depend on how the input was cut.

    Attributes:
        width: of a bucket that is counted in, in microseconds; a quiet log is judged in wider ones.
    """

    def __init__(self) -> None:
        self._step = 0
        self._cells: pl.DataFrame | None = None
        self._fresh: list[pl.DataFrame] = []
        self._waiting = 0

    @property
    def width(self) -> int:
        """Width of a bucket in microseconds."""
        self._settled()
        return _WIDTHS[self._step]

    def add(self, events: pl.DataFrame) -> None:
        """Count events.

        Args:
            events: ``timestamp``, ``template`` and ``source`` (codes) and ``level``; rows without a time are passed
                over.
        """
        at = events["timestamp"].dt.epoch("us")
        low, high = at.min(), at.max()
        if not isinstance(low, int) or not isinstance(high, int):
            return
        self._widen(high - low)
        bucket = at.alias("bucket") // _WIDTHS[self._step]
        rows = events.select(bucket, "template", "source", "level").drop_nulls("bucket")
        rows = rows.group_by("bucket", "template", "source", "level").agg(pl.len().alias("count"))
        self._fresh.append(rows)
        self._waiting += rows.height
        # Merging costs as much as all cells, so it waits until as many rows are new.
        if self._waiting >= max(_WAITING, 0 if self._cells is None else self._cells.height):
            self._settled()

    def _settled(self) -> pl.DataFrame | None:
        """Return the cells with all that was added merged in; None where there are none."""
        if self._fresh:
            rows, self._fresh, self._waiting = pl.concat(self._fresh), [], 0
            parts = [_counted(rows, "all", pl.lit(0, pl.UInt32))]
            parts += [_counted(rows, what, pl.col(what).cast(pl.UInt32)) for what in ("template", "source", "level")]
            self._take(parts)
        return self._cells

    def _widen(self, span: int) -> None:
        """Widen buckets until a span of so many microseconds fits."""
        step = self._step
        while step + 1 < len(_WIDTHS) and span // _WIDTHS[step] >= _MOST_BUCKETS:
            step += 1
        if step > self._step:
            self._fresh = [_widened(rows, self._step, step) for rows in self._fresh]
            if self._cells is not None:
                self._cells = _summed(_widened(self._cells, self._step, step))
        self._step = step

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes, merging those that become the same."""
        cells = self._settled()
        if cells is not None:
            mine = cells.filter(pl.col("what") == "template")
            mine = mine.with_columns(code(mine["code"]).cast(pl.UInt32).alias("code"))
            others = cells.filter(pl.col("what") != "template")
            self._cells = None
            self._take([others, mine])

    def _take(self, parts: list[pl.DataFrame]) -> None:
        cells = _summed(pl.concat([*parts, *([] if self._cells is None else [self._cells])]))
        while self._step + 1 < len(_WIDTHS) and cells.height:
            buckets = cells["bucket"].to_numpy()
            if buckets.max() - buckets.min() < _MOST_BUCKETS and cells.height <= _MOST_CELLS:
                break
            cells, self._step = _summed(_widened(cells, self._step, self._step + 1)), self._step + 1
        self._cells = cells

    def series(self) -> pl.DataFrame:
        """Return the counts with what was expected: the columns of SERIES, one row a series and bucket.

        Buckets in which nothing at all was written are told only by the series ``all``; the first and the last bucket
        are left out, for the log may begin or end within them.
        """
        table = self._table()
        if table is None:
            return pl.DataFrame(schema=SERIES)
        codes, at, width, count, expected, score = table
        n = len(at)
        frame = pl.DataFrame(
            {
                "time": np.tile(at * width, len(codes)),
                "what": codes["what"].gather(np.repeat(np.arange(len(codes)), n)),
                "code": codes["code"].gather(np.repeat(np.arange(len(codes)), n)),
                "count": count.ravel(),
                "expected": expected.ravel(),
                "score": score.ravel(),
            }
        )
        told = frame.filter(pl.col("score").is_not_nan()).with_columns(pl.col("time").cast(TIME))
        return told.select(pl.col(name).cast(dtype) for name, dtype in SERIES.items())

    def alarms(self, least: float = 0.0) -> pl.DataFrame:
        """Return bursts and silences, strangest first: the columns of VOLUMES.

        Those that overlap in time and point the same way are one, told by the strangest series.

        Args:
            least: score above which a stretch is strange: ``-ln`` of how many such ones are expected in a series.
        """
        table = self._table()
        if table is None:
            return pl.DataFrame(schema=VOLUMES)
        codes, at, width, count, expected, score = table
        failing = codes.select(_is_failing()).to_series().to_numpy()
        found = _stretches(count, expected, score, failing, width * len(at) / _DAY).filter(pl.col("score") > least)
        found = found.with_columns(
            codes["what"].gather(found["series"]).alias("what"),
            codes["code"].gather(found["series"]).alias("code"),
            start=pl.Series(at).gather(found["first"]) * width,
            end=(pl.Series(at).gather(found["last"]) + 1) * width,
            kind=pl.when("more").then(pl.lit("volume")).otherwise(pl.lit("silence")),
        )
        # Where all falls silent, each series does.
        found = found.sort("kind", "start", "end")
        apart = (pl.col("kind") != pl.col("kind").shift(1)) | (
            pl.col("start") >= pl.col("end").cum_max().over("kind").shift(1)
        )
        joined = (
            found.with_columns(apart.fill_null(True).cum_sum().alias("joined"))
            .sort("score", "count", "what", "code", descending=[True, True, False, False])
            .group_by("joined", maintain_order=True)
            .agg(
                *(pl.col(c).first() for c in VOLUMES if c not in ("also", "series")),
                series=pl.struct("what", pl.col("code").cast(pl.UInt32)).unique(maintain_order=True),
            )
            .with_columns(also=pl.col("series").list.len() - 1)
        )
        joined = joined.with_columns(pl.col("start", "end").cast(TIME))
        return joined.select(pl.col(name).cast(dtype) for name, dtype in VOLUMES.items())

    def _table(self) -> tuple[pl.DataFrame, Ints, int, Floats, Floats, Floats] | None:
        """Return (what and code of each series, bucket numbers, their width, counts, expected counts, deviations).

        The arrays have shape (series, buckets); deviations are NaN where nothing can be said. None for a log that is
        too short.
        """
        cells = self._settled()
        if cells is None or not cells.height:
            return None
        step = self._step
        # A finer look than there is anything to see is no use: an event a bucket, at least.
        while step + 1 < len(_WIDTHS) and cells.filter(pl.col("what") == "all")["count"].to_numpy().mean() < 5:
            wider = _summed(_widened(cells, step, step + 1))
            if np.ptp(wider["bucket"].to_numpy()) < 4 * _LEAST_BUCKETS:
                break
            cells, step = wider, step + 1
        buckets = cells["bucket"].to_numpy()
        low, n = int(buckets.min()) + 1, int(np.ptp(buckets)) - 1
        if n < _LEAST_BUCKETS:
            return None
        inside = cells.filter(pl.col("bucket").is_between(low, low + n - 1))
        least = pl.when(_is_failing()).then(_LEAST_FAILURES).otherwise(_LEAST_EVENTS)
        codes = inside.group_by("what", "code").agg(pl.col("count").sum()).filter(pl.col("count") >= least)
        codes = codes.sort("count", "what", "code", descending=[True, False, False]).head(_MOST_SERIES)
        codes = codes.select("what", "code").with_row_index("series")
        if not codes.height:
            return None
        inside = inside.join(codes, on=["what", "code"])
        count = np.zeros((codes.height, n))
        count[inside["series"].to_numpy(), inside["bucket"].to_numpy() - low] = inside["count"].to_numpy()
        everything = count[codes["what"].to_list().index("all")] if "all" in codes["what"] else count.sum(axis=0)
        at = np.arange(low, low + n)
        silent = np.tile(everything == 0, (codes.height, 1))
        silent[(codes["what"] == "all").to_numpy()] = False
        expected = _expected(count, silent, at, _WIDTHS[step])
        spread = dispersion(count.T, expected.T, np.arange(codes.height))
        score = deviation(count, expected, spread[:, None])
        score[silent] = np.nan
        return codes, at, _WIDTHS[step], count, expected, score


def _is_failing() -> pl.Expr:
    return (pl.col("what") == "level") & (pl.col("code") >= FAILING)


def _counted(rows: pl.DataFrame, what: str, code: pl.Expr) -> pl.DataFrame:
    named = rows.select(pl.lit(what).alias("what"), code.alias("code"), "bucket", pl.col("count").cast(pl.UInt32))
    return _summed(named.drop_nulls("code"))


def _summed(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.group_by("what", "code", "bucket").agg(pl.col("count").sum()).sort("what", "code", "bucket")


def _widened(cells: pl.DataFrame, step: int, to: int) -> pl.DataFrame:
    return cells.with_columns(pl.col("bucket") // (_WIDTHS[to] // _WIDTHS[step]))


def _expected(count: Floats, silent: NDArray[np.bool_], at: Ints, width: int) -> Floats:
    """Return what is usual around each bucket, shape (series, buckets).

    That is the median of the means of the blocks before and after its own, times the rhythm of the day.
    """
    rhythm = _rhythm(count, silent, at, width)
    seen = np.where(silent, np.nan, count / rhythm)
    blocks = -(-seen.shape[1] // _BLOCK)
    padded = np.pad(seen, ((0, 0), (0, blocks * _BLOCK - seen.shape[1])), constant_values=np.nan)
    split = padded.reshape(len(seen), blocks, _BLOCK)
    known = np.isfinite(split).sum(axis=2)
    mean = np.where(known > 0, np.nansum(split, axis=2) / np.maximum(known, 1), np.nan)
    sides = np.pad(mean, ((0, 0), (_SIDE, _SIDE)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(sides, 2 * _SIDE + 1, axis=1)
    around = np.delete(around, _SIDE, axis=2)
    total = np.nansum(seen, axis=1) / np.maximum(np.isfinite(seen).sum(axis=1), 1)
    # Where there are no neighbours the whole series stands in; a twentieth of its mean is never quite unexpected.
    none = ~np.isfinite(around).any(axis=2)
    around = np.where(none[:, :, None], total[:, None, None], around)
    usual = np.repeat(np.nanmedian(around, axis=2), _BLOCK, axis=1)[:, : seen.shape[1]]
    return np.asarray(np.maximum(usual * rhythm, total[:, None] / 20), dtype=np.float64)


def _rhythm(count: Floats, silent: NDArray[np.bool_], at: Ints, width: int) -> Floats:
    """Return how much busier each bucket's hour of the day is than the day, shape (series, buckets).

    Ones where there are too few days to tell.
    """
    day = _DAY
    if width > day // 24 or (at[-1] - at[0] + 1) * width < _LEAST_DAYS * day:
        return np.ones_like(count)
    hour, date = (at * width) % day // (day // 24), (at * width) // day
    days, index = np.unique(date, return_inverse=True)
    cell = np.zeros((len(at), len(days) * 24))
    cell[np.arange(len(at)), index * 24 + hour] = 1.0
    sums = (np.where(silent, 0.0, count) @ cell).reshape(len(count), len(days), 24)
    room = ((~silent) @ cell).reshape(len(count), len(days), 24)
    mean = np.where(room > 0, sums / np.maximum(room, 1), np.nan)
    mean = np.where(np.isfinite(mean).any(axis=1, keepdims=True), mean, 0.0)
    typical = np.nanmedian(mean, axis=1)
    # Half an event an hour keeps hours that are usually empty from dividing by nothing.
    least = 0.5 * width / (day / 24)
    profile = (typical + least) / (typical.mean(axis=1, keepdims=True) + least)
    return np.asarray(np.clip(profile, 0.1, 10.0)[:, hour], dtype=np.float64)


def _stretches(count: Floats, expected: Floats, score: Floats, failing: NDArray[np.bool_], days: float) -> pl.DataFrame:
    """Return stretches of strange buckets: series, first, last, more, count, expected, score.

    Half the sum of squared deviations is the size of a stretch. Sizes of a series have an exponential tail; the score
    is ``-ln`` of how many stretches of this size are expected, given the series' others. Not so of failures that come
    in few stretches: there the others are likely trouble, too, and a stretch is judged by its deviations alone, one
    among as many as there are buckets.

    Args:
        count: events, shape (series, buckets).
        expected: how many are usual, same shape.
        score: standard deviations, same shape.
        failing: whether a series counts failures, shape (series,).
        days: how long the log is.
    """
    sign = np.where(np.abs(np.nan_to_num(score)) >= _STRANGE, np.sign(np.nan_to_num(score)), 0.0)
    series, bucket = np.nonzero(sign)
    frame = pl.DataFrame(
        {
            "series": series,
            "bucket": bucket,
            "more": sign[series, bucket] > 0,
            "count": count[series, bucket],
            "expected": expected[series, bucket],
            "size": score[series, bucket] ** 2 / 2,
        }
    )
    new = pl.any_horizontal(pl.col(c) != pl.col(c).shift(1) for c in ("series", "more")) | (pl.col("bucket").diff() > 1)
    each = frame.group_by(new.fill_null(True).cum_sum().alias("run"), maintain_order=True).agg(
        pl.col("series", "more").first(),
        pl.col("bucket").first().alias("first"),
        pl.col("bucket").last().alias("last"),
        pl.col("count", "expected", "size").sum(),
    )
    alike = ["series", "more"]
    others = pl.len().over(alike) - 1
    # One usual stretch more stands for those that have not come yet.
    usual = (pl.col("size").sum().over(alike) - pl.col("size") + _LEAST_SIZE / 2) / (others + 1)
    excess = (pl.col("count") - pl.col("expected")).abs()
    given = pl.col("size") / usual - (others + 1).log() - 1
    each = each.with_columns(
        score=given, large=(pl.col("size") >= _LEAST_SIZE) & (excess >= _LEAST_EXCESS), excess=excess
    )
    if not failing.any():
        return each.filter("large").drop("large", "excess")
    many = (pl.col("size") >= _LEAST_SIZE) & (pl.col("excess") >= _LEAST_FAILURES)
    many &= pl.col("more") & (pl.col("count") >= _TIMES * pl.col("expected"))
    each = each.with_columns(alone=many & pl.Series(failing).gather(each["series"]))
    buckets = count.shape[1]
    taken = ((pl.col("last") - pl.col("first") + 1) * pl.col("alone")).sum().over("series") / buckets
    few = pl.col("alone").sum().over("series") <= _FAILING_A_DAY * max(days, 1.0)
    each = each.with_columns(alone=pl.col("alone") & few & (taken <= _FAILING_SHARE))
    by_itself = pl.max_horizontal("score", pl.col("size") - math.log(buckets))
    told = each.with_columns(score=pl.when("alone").then(by_itself).otherwise("score"))
    return told.filter(pl.col("large") | pl.col("alone")).drop("large", "excess", "alone")
