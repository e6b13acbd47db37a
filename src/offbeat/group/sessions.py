"""Sessions: the events that share a key, in input order."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.schema import SEQUENCES, TIME, owned

#: Position of an event: file index shifted left by this many bits, plus the line.
POSITION_BITS: Final = 40
#: With an idle limit, sessions that are idle are given out whenever so many events wait, or half as many again as were
#: left the last time: often enough to bound memory, seldom enough to cost little.
_FLUSH_EVENTS: Final = 150_000

#: In microseconds: no time, and one after all others.
_NEVER: Final = np.iinfo(np.int64).min
_LATEST: Final = np.iinfo(np.int64).max

Ints = NDArray[np.int64]


#: At most such a share of a log's units has a wrong clock.
_STRAY: Final = 0.005
#: A pause of at most a week shows no wrong clock, in microseconds: systems rest over weekends and holidays.
_PAUSE: Final = 7 * 86_400_000_000


def latest(ends: Ints, newest: int) -> int:
    """Return how far time has gone on, but for strays, in microseconds since 1970.

    What lies further behind the units than these lie apart, and more than a week, was written by a wrong clock, or made
    to look so: by one such line all sessions would have been idle for years, and all that was learned would be too old.

    Args:
        ends: when units end, of those with times, shape (n,).
        newest: the latest time of all, also of what belongs to no unit.
    """
    ends = np.sort(ends)
    stray = max(1, int(len(ends) * _STRAY))
    if len(ends) <= 2 * stray:
        return newest
    inner = int(ends[-1 - stray])
    bound = inner + max(inner - int(ends[stray]), _PAUSE)
    return newest if newest <= bound else int(ends[ends <= bound][-1])


def file_and_line(place: int) -> tuple[int, int]:
    """Return the file index and the line of an event's position."""
    return place >> POSITION_BITS, place & ((1 << POSITION_BITS) - 1)


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
        self._newest: datetime | None = None
        self._names = pl.DataFrame(schema={"key": pl.UInt64, "name": pl.String})

    def push(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """Take up a frame in input order; return the sessions that it closed, or None."""
        self.without_key += int((frame["keys"].list.len() == 0).sum())
        columns = dict.fromkeys(["file", "line", "timestamp", "template", *self.extra])
        rows = frame.select(*columns, key="keys")
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
        if not self._pending:
            raise ValueError("no frame was pushed")
        events, self._pending, self._waiting = pl.concat(self._pending), [], 0
        cut = _Cut(events, self.idle)
        return self._units(events, cut, np.arange(len(cut.begins)), self._idle(cut))

    def _close_idle(self) -> pl.DataFrame | None:
        events = pl.concat(self._pending)
        # Held no more than once: what follows needs as much again.
        self._pending = []
        cut = _Cut(events, self.idle)
        idle = self._idle(cut)
        closed = np.flatnonzero(idle)
        units, left = None, events
        if len(closed):
            units = self._units(events, cut, closed, idle)
            stays = np.ones(events.height, dtype=bool)
            stays[cut.rows(closed)] = False
            left = events.filter(pl.Series(stays))
            self._names = self._names.join(left.select("key"), on="key", how="semi")
        self._pending, self._waiting = [left], left.height
        self._limit = max(_FLUSH_EVENTS, left.height * 3 // 2)
        return units

    def _idle(self, cut: _Cut) -> NDArray[np.bool_]:
        """Return which sessions had been idle longer than the limit when the newest event came."""
        if self.idle is None or self._newest is None:
            return np.zeros(len(cut.begins), dtype=bool)
        newest = pl.Series([self._newest], dtype=TIME).dt.epoch("us")[0]
        timed = cut.end != _NEVER
        return np.asarray(timed & (latest(cut.end[timed], newest) - cut.end > self.idle))

    def _units(self, events: pl.DataFrame, cut: _Cut, which: Ints, idle: NDArray[np.bool_]) -> pl.DataFrame:
        """Return some sessions as SEQUENCES, in the order in which they start; those without times come first."""
        at, start = cut.at, np.where(cut.end == _NEVER, _NEVER, cut.start)
        which = which[np.lexsort((at[cut.begins[which]], start[which]))]
        number = pl.Series("unit", np.repeat(np.arange(len(which), dtype=np.uint32), cut.lengths[which])).set_sorted()
        place = (pl.col("file").cast(pl.UInt64) * 2**POSITION_BITS) + pl.col("line")
        lists = {f"{name}s": pl.col(name) for name in ("template", *self.extra)}
        units = (
            events[cut.rows(which)]
            .with_columns(number)
            .group_by("unit", maintain_order=True)
            .agg(
                pl.col("key", "file").first(),
                pl.col("line").first().alias("first_line"),
                pl.col("line").last().alias("last_line"),
                pl.len().cast(pl.UInt32).alias("events"),
                place.alias("rows"),
                **lists,
            )
            .join(self._names, on="key", how="left", maintain_order="left")
        )
        times = {"start": start[which], "end": cut.end[which]}
        known = {name: pl.Series(at).replace({_NEVER: None}).cast(TIME) for name, at in times.items()}
        units = units.with_columns(key="name", open_at_end=pl.Series(~idle[which]), **known)
        return units.select(*SEQUENCES, "rows", *[f"{name}s" for name in self.extra])


class _Cut:
    """Where events fall into sessions.

    Attributes:
        at: the events' places by session, in input order within one, shape (events,).
        begins: where in ``at`` each session begins, shape (sessions,).
        lengths: events of each session.
        start, end: its first and last time in microseconds; ``_NEVER`` as the end of one without times.
    """

    def __init__(self, events: pl.DataFrame, idle: int | None) -> None:
        key, n = events["key"].to_numpy(), events.height
        self.at = np.argsort(key, kind="stable")
        key = key[self.at]
        new = np.ones(n, dtype=bool)
        new[1:] = key[1:] != key[:-1]
        time = events["timestamp"].dt.epoch("us").fill_null(_NEVER).to_numpy()[self.at]
        if idle is not None:
            last = _carried(time, new) if (time == _NEVER).any() else time
            known = last[:-1] != _NEVER
            new[1:] |= known & (last[1:] - np.where(known, last[:-1], 0) > idle)
        self.begins = np.flatnonzero(new)
        self.lengths = np.diff(self.begins, append=n)
        self.end = np.maximum.reduceat(time, self.begins) if n else time
        self.start = np.minimum.reduceat(np.where(time == _NEVER, _LATEST, time), self.begins) if n else time

    def rows(self, which: Ints) -> Ints:
        """Return the events' places of some sessions, one after another."""
        lengths = self.lengths[which]
        skipped = np.repeat(self.begins[which] - np.cumsum(lengths) + lengths, lengths)
        return np.asarray(self.at[skipped + np.arange(len(skipped))])


def _carried(time: Ints, new: NDArray[np.bool_]) -> Ints:
    """Return times with the one before in the same session where an event has none."""
    n = np.arange(len(time))
    before = np.maximum.accumulate(np.where(time != _NEVER, n, -1))
    begin = np.maximum.accumulate(np.where(new, n, 0))
    return np.where(before >= begin, time[before], _NEVER)
