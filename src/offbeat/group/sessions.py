"""Sessions: the events that share a key, in input order."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from offbeat.schema import SEQUENCES, TIME, owned

#: Position of an event: file index shifted left by this many bits, plus the line.
POSITION_BITS: Final = 40
#: With an idle limit, sessions that are idle are given out whenever so many events wait, or half as many again as were
#: left the last time: often enough to bound memory, seldom enough to cost little.
_FLUSH_EVENTS: Final = 150_000

#: Orders of units: by start, then by first event; or by first event alone.
BY_TIME: Final = ("start", "order")
BY_INPUT: Final = ("order",)

_AGGREGATES = (
    pl.col("timestamp").min().alias("start"),
    pl.col("timestamp").max().alias("end"),
    pl.col("file").first(),
    pl.col("line").first().alias("first_line"),
    pl.col("line").last().alias("last_line"),
    pl.len().cast(pl.UInt32).alias("events"),
    pl.col("template").alias("templates"),
    ((pl.col("file").cast(pl.UInt64) * 2**POSITION_BITS) + pl.col("line")).alias("rows"),
    pl.col("order").first(),
)


def file_and_line(place: int) -> tuple[int, int]:
    """Return the file index and the line of an event's position."""
    return place >> POSITION_BITS, place & ((1 << POSITION_BITS) - 1)


def to_units(events: pl.DataFrame, by: list[str], extra: list[str]) -> pl.DataFrame:
    """Gather events into units, one row each, in the order of their first events.

    ``extra`` names event columns that are kept as lists beside ``templates`` and ``rows``.
    """
    lists = [pl.col(name).alias(f"{name}s") for name in extra]
    return events.group_by(by, maintain_order=True).agg(*_AGGREGATES, *lists)


def finish(units: pl.DataFrame, open_at_end: pl.Expr, extra: list[str], by: tuple[str, ...]) -> pl.DataFrame:
    """Put units into the columns of SEQUENCES, in the order of the columns ``by``."""
    units = units.with_columns(open_at_end=open_at_end).sort(by, nulls_last=False, maintain_order=True)
    return units.select(*SEQUENCES, "rows", *[f"{name}s" for name in extra])


class Sessions:
    """Gather TEMPLATED frames, with a column ``keys`` (List(String)), into sessions.

    An event with several keys belongs to each session once; one without any belongs to none and is counted.

    Args:
        idle: a pause longer than this many microseconds ends a session; None never does.
        extra: further event columns to keep as lists.

    Attributes:
        without_key: events that carry no key.
    """

    def __init__(self, idle: int | None = None, extra: list[str] | None = None) -> None:
        self.idle = idle
        self.extra = extra or []
        self.without_key = 0
        self._pending: list[pl.DataFrame] = []
        self._waiting = 0
        self._limit = _FLUSH_EVENTS
        self._order = 0
        self._newest: datetime | None = None
        self._names = pl.DataFrame(schema={"key": pl.UInt64, "name": pl.String})

    def push(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """Take up a frame in input order; return the sessions that it closed, or None."""
        self.without_key += int((frame["keys"].list.len() == 0).sum())
        columns = dict.fromkeys(["file", "line", "timestamp", "template", *self.extra])
        rows = frame.select(
            pl.int_range(self._order, self._order + pl.len(), dtype=pl.UInt64).alias("order"), *columns, key="keys"
        )
        self._order += frame.height
        # Time goes on with events of any session, and with those of none.
        times = [t for t in (self._newest, frame["timestamp"].max()) if isinstance(t, datetime)]
        self._newest = max(times, default=None)
        rows = rows.explode("key").drop_nulls("key")
        # Millions of events share few keys: each waits with a hash of its key, the texts are kept once.
        names = rows.select(pl.col("key").hash(), name="key").unique("key")
        names = names.join(self._names, on="key", how="anti")
        self._names = pl.concat([self._names, names.with_columns(owned(names["name"]))])
        rows = rows.with_columns(pl.col("key").hash())
        self._pending.append(rows)
        self._waiting += rows.height
        if self.idle is not None and self._waiting >= self._limit:
            return self._close_idle()
        return None

    def flush(self) -> pl.DataFrame:
        """Close every session: the input has ended. Returns what is left, as SEQUENCES."""
        events, self._pending, self._waiting = self._gather(), [], 0
        return finish(self._units(events), self._open(), self.extra, BY_TIME)

    def _units(self, events: pl.DataFrame) -> pl.DataFrame:
        units = to_units(events, ["key", "part"], self.extra)
        return units.join(self._names, on="key", how="left", maintain_order="left").with_columns(key="name")

    def _gather(self) -> pl.DataFrame:
        if not self._pending:
            raise ValueError("no frame was pushed")
        events = pl.concat(self._pending)
        if self.idle is None:
            return events.with_columns(part=pl.lit(0, pl.UInt32))
        pause = pl.col("timestamp").forward_fill().diff().over("key") > pl.duration(microseconds=self.idle)
        return events.with_columns(part=pause.fill_null(False).cast(pl.UInt32).cum_sum().over("key"))

    def _open(self) -> pl.Expr:
        """A session is open at the end unless it had been idle longer than the limit by then."""
        if self.idle is None or self._newest is None:
            return pl.lit(True)
        waited = (pl.lit(self._newest, TIME) - pl.col("end")).fill_null(pl.duration(days=0))
        return waited <= pl.duration(microseconds=self.idle)

    def _close_idle(self) -> pl.DataFrame | None:
        events = self._gather()
        late = pl.col("timestamp").max().over("key", "part")
        done = (pl.lit(self._newest, TIME) - late > pl.duration(microseconds=self.idle)).fill_null(False)
        events = events.with_columns(done=done)
        closed = events.filter("done").drop("done")
        left = events.filter(~pl.col("done")).drop("done", "part")
        self._pending, self._waiting = [left], left.height
        self._limit = max(_FLUSH_EVENTS, left.height * 3 // 2)
        if closed.height == 0:
            return None
        units = self._units(closed)
        self._names = self._names.join(left.select("key"), on="key", how="semi")
        return finish(units, pl.lit(False), self.extra, BY_TIME)
