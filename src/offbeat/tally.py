"""Counts over time that stay small however long the log is.

How often each template came when, and which source was how strange when: one cell a template (or source) and bucket;
buckets widen as the log grows longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.schema import TIME

#: Buckets in use, at most; each ladder's steps divide the next, so that widening is exact.
MOST_BUCKETS: Final = 120
#: Cells in use, at most (about 50 bytes each).
MOST_CELLS: Final = 400_000

_BATCH: Final = 131_072
_WANTED: Final = ("template", "timestamp", "level", "file", "line")
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
#: Widths of buckets by time, in microseconds: they fall on the clock's round times.
_TIMES: Final = (
    *(1_000, 5_000, 10_000, 50_000, 100_000, 500_000, _SECOND, 5 * _SECOND, 10 * _SECOND, 30 * _SECOND),
    *(60 * m * _SECOND for m in (1, 5, 10, 30, 60, 120, 360, 720)),
    *(_DAY * 2**k for k in range(17)),
)
#: Widths of buckets by order, in events or units.
_ORDERS: Final = tuple(m * 10**k for k in range(16) for m in (1, 5))


class Cells:
    """A sparse table of codes over time (or, for what carries no time, over order).

    Buckets widen when more than MOST_BUCKETS hold something: a stray time stamp decades off costs one bucket, not the
    resolution of all others.

    Args:
        how: aggregates by column, such as ``pl.col("events").sum()``; each must be its own merge.
        most: cells at most.
    """

    def __init__(self, how: list[pl.Expr], most: int = MOST_CELLS) -> None:
        self.how = how
        self.most = most
        self.frame: pl.DataFrame | None = None
        self._step = {True: -1, False: -1}

    @property
    def timed(self) -> bool:
        """Whether the axis is time; else it is order."""
        return self._step[True] >= 0

    @property
    def width(self) -> int:
        """Width of a bucket in microseconds, or in events or units where the axis is order."""
        ladder: tuple[int, ...] = _TIMES if self.timed else _ORDERS
        return ladder[max(self._step[self.timed], 0)]

    def add(self, rows: pl.DataFrame, how: list[pl.Expr] | None = None) -> None:
        """Take up rows.

        Args:
            rows: ``code`` (UInt32), ``time`` (TIME, null where there is none), ``order`` (Int64, the place in the input
                that stands in for it), and what is aggregated.
            how: aggregates of these rows that give the columns of the table's own; those where None.
        """
        at = pl.coalesce(pl.col("time").dt.epoch("us"), "order")
        rows = rows.with_columns(timed=pl.col("time").is_not_null(), bucket=at)
        for kind in rows["timed"].unique().to_list():
            if self._step[kind] < 0:
                mine = rows["timed"] if kind else ~rows["timed"]
                self._step[kind] = _first_step(rows["bucket"].filter(mine), kind)
        width = pl.when("timed").then(_TIMES[max(self._step[True], 0)]).otherwise(_ORDERS[max(self._step[False], 0)])
        found = self._merge(rows.with_columns(pl.col("bucket") // width), how)
        self._take(found if self.frame is None else self._merge(pl.concat([self.frame, found])))

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace codes, merging those that become the same."""
        if self.frame is not None:
            self.frame = self._merge(self.frame.with_columns(code(self.frame["code"]).alias("code")))

    def cells(self) -> pl.DataFrame:
        """Return the cells on the axis in use, with ``bucket`` as a number, sorted by code and bucket."""
        assert self.frame is not None  # noqa: S101 - callers add before they look
        return self.frame.filter(pl.col("timed") == self.timed).drop("timed").sort("code", "bucket")

    def _merge(self, rows: pl.DataFrame, how: list[pl.Expr] | None = None) -> pl.DataFrame:
        return rows.group_by("code", "timed", "bucket").agg(*(how or self.how))

    def _take(self, frame: pl.DataFrame) -> None:
        """Keep a merged frame, widening buckets until it fits."""
        for kind, ladder in ((True, _TIMES), (False, _ORDERS)):
            while self._step[kind] + 1 < len(ladder) and self._step[kind] >= 0:
                mine = frame.filter(pl.col("timed") == kind)
                used = mine["bucket"].n_unique()
                if used <= MOST_BUCKETS and (frame.height <= self.most or used <= 1):
                    break
                factor = ladder[self._step[kind] + 1] // ladder[self._step[kind]]
                self._step[kind] += 1
                wider = pl.when(pl.col("timed") == kind).then(pl.col("bucket") // factor).otherwise("bucket")
                frame = self._merge(frame.with_columns(wider.alias("bucket")))
        self.frame = frame


def _first_step(at: pl.Series, timed: bool) -> int:
    """Return the finest step at which a first batch fits: where widening from the first step on would end too."""
    ladder: tuple[int, ...] = _TIMES if timed else _ORDERS
    used = (at // ladder[0]).unique()
    step = 0
    while len(used) > MOST_BUCKETS and step + 1 < len(ladder):
        used = (used // (ladder[step + 1] // ladder[step])).unique()
        step += 1
    return step


def wider(timed: bool, span: int, most: int, least: int = 1) -> int:
    """Return the narrowest width of the ladder, at least ``least``, that cuts a span into at most ``most`` buckets."""
    ladder: tuple[int, ...] = _TIMES if timed else _ORDERS
    return next((width for width in ladder if width >= least and span // width < most), ladder[-1])


class Tally:
    """How often each template came, when first and last, and how the volume went; filled while events stream by.

    Its memory is bounded: at most MOST_CELLS cells, or one a template where there are more templates.
    """

    def __init__(self) -> None:
        self._cells = Cells(
            [
                *(pl.col(name).sum() for name in ("events", "warnings", "errors")),
                *(pl.col(name).min() for name in ("first_seen", "order", "place")),
                pl.col("last_seen").max(),
            ]
        )
        self.events = 0
        self._added = 0
        self._waiting: list[pl.DataFrame] = []

    def add(self, events: pl.DataFrame) -> None:
        """Count TEMPLATED events in input order."""
        # Readers hand over small batches while they use all cores: adding up a large one costs a fraction.
        self._waiting.append(events.select(_WANTED))
        self.events += events.height
        if self.events - self._added >= _BATCH:
            self._add_up()

    def _add_up(self) -> None:
        events = pl.concat(self._waiting) if self._waiting else pl.DataFrame()
        if not events.height:
            return
        rows = events.with_columns(order=pl.int_range(self._added, self._added + pl.len(), dtype=pl.Int64))
        level, time = pl.col("level"), pl.col("time")
        # A column for each of these before they are added up would hold three times as much.
        how = [
            pl.len().alias("events"),
            level.is_between(13, 16).sum().alias("warnings"),
            (level >= 17).sum().alias("errors"),
            time.min().alias("first_seen"),
            pl.col("order").min(),
            (pl.col("file").cast(pl.UInt64) * 2**40 + pl.col("line")).min().alias("place"),
            time.max().alias("last_seen"),
        ]
        self._cells.add(rows.rename({"template": "code", "timestamp": "time"}), how)
        self._added, self._waiting = self.events, []

    @property
    def _frame(self) -> pl.DataFrame | None:
        self._add_up()
        return self._cells.frame

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes: of shapes, by those of the templates they became."""
        self._add_up()
        self._cells.rename(code)

    @property
    def timed(self) -> bool:
        """Whether buckets are of time; else they are of order."""
        self._add_up()
        return self._cells.timed

    @property
    def width(self) -> int:
        """Width of a bucket, in microseconds or in events."""
        self._add_up()
        return self._cells.width

    def patterns(self) -> pl.DataFrame:
        """Return one row a template seen, the most frequent first.

        Columns: ``template`` (code), ``count``, ``share`` (of all events), ``warnings`` and ``errors`` (events of that
        level), ``first_seen``, ``last_seen`` (null without times), ``order`` (place of its first event among all),
        ``file`` and ``line`` of its first event.
        """
        if self._frame is None:
            return pl.DataFrame(schema=_PATTERNS)
        found = self._frame.group_by("code").agg(*self._cells.how).rename({"code": "template"})
        return (
            found.with_columns(
                count=pl.col("events").cast(pl.UInt64),
                share=pl.col("events") / self.events,
                file=(pl.col("place") // 2**40).cast(pl.UInt16),
                line=(pl.col("place") % 2**40).cast(pl.UInt32),
            )
            .select(pl.col(name).cast(dtype) for name, dtype in _PATTERNS.items())
            .sort("count", "order", descending=[True, False])
        )

    def volume(self) -> pl.DataFrame:
        """Return one row a bucket that holds events.

        Columns: ``bucket`` (number), ``start`` (null by order), ``events``, ``warnings``, ``errors``.
        """
        if self._frame is None:
            return pl.DataFrame(schema={"bucket": pl.Int64, "start": TIME, **_COUNTS})
        sums = [pl.col(name).cast(pl.UInt64).sum() for name in _COUNTS]
        out = self._cells.cells().group_by("bucket").agg(*sums).sort("bucket")
        return out.select("bucket", starts(self.timed, self.width), *_COUNTS)

    def series(self, codes: list[int], first: int, width: int, n: int) -> NDArray[np.int64]:
        """Return the counts of some templates over part of the axis, shape (codes, n).

        Args:
            codes: of templates.
            first: where the first column begins, in microseconds since 1970, or in events.
            width: of a column; a multiple of ``self.width``.
            n: columns.
        """
        out = np.zeros((len(codes), n), dtype=np.int64)
        if self._frame is not None and len(codes):
            mine = self._cells.cells().filter(pl.col("code").is_in(codes))
            column = (mine["bucket"].to_numpy() * self.width - first) // width
            row = mine["code"].replace_strict(codes, list(range(len(codes))), return_dtype=pl.Int64).to_numpy()
            inside = (column >= 0) & (column < n)
            np.add.at(out, (row[inside], column[inside]), mine["events"].to_numpy()[inside])
        return out


class Lanes:
    """The highest score of any unit in which a source took part, over time; bounded like ``Tally``."""

    def __init__(self) -> None:
        self._cells = Cells([pl.col("score").max()])
        self._units = 0

    def add(self, units: pl.DataFrame, score: NDArray[np.float64]) -> None:
        """Take up SEQUENCES, in order, with a column ``sources`` (List(UInt32)), and their fused scores."""
        at = np.repeat(np.arange(units.height), units["sources"].list.len().to_numpy())
        if len(at):
            code = units["sources"].explode(empty_as_null=False).alias("code")
            time, scores = units["start"].gather(at).alias("time"), pl.Series("score", score[at])
            self._cells.add(pl.DataFrame([code, time, pl.Series("order", at + self._units), scores]))
        self._units += units.height

    @property
    def timed(self) -> bool:
        """Whether buckets are of time; else they are of order."""
        return self._cells.timed

    @property
    def width(self) -> int:
        """Width of a bucket, in microseconds or in units."""
        return self._cells.width

    def frame(self) -> pl.DataFrame:
        """Return one row a source and bucket: ``source`` (code), ``bucket``, ``start`` (null by order), ``score``."""
        if self._cells.frame is None:
            return pl.DataFrame(schema={"source": pl.UInt32, "bucket": pl.Int64, "start": TIME, "score": pl.Float64})
        start = starts(self.timed, self.width)
        return self._cells.cells().select(pl.col("code").alias("source"), "bucket", start, "score")


def starts(timed: bool, width: int) -> pl.Expr:
    """Return the column ``start``: when each ``bucket`` begins; null by order."""
    begins = (pl.col("bucket") * width).cast(TIME) if timed else pl.lit(None, TIME)
    return begins.alias("start")


_COUNTS: Final = {"events": pl.UInt64(), "warnings": pl.UInt64(), "errors": pl.UInt64()}
_PATTERNS: Final = {
    "template": pl.UInt32(),
    "count": pl.UInt64(),
    "share": pl.Float64(),
    "warnings": pl.UInt64(),
    "errors": pl.UInt64(),
    "first_seen": TIME,
    "last_seen": TIME,
    "order": pl.Int64(),
    "file": pl.UInt16(),
    "line": pl.UInt32(),
}
