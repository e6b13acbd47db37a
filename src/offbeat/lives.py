"""The life of each template: where it is written, how often, since when and until when; gathered in passing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import polars as pl

from offbeat.schema import TIME

#: One row a template, source and level.
LIVES: Final[dict[str, pl.DataType]] = {
    "template": pl.UInt32(),
    "source": pl.UInt32(),
    "level": pl.UInt8(),
    "events": pl.UInt64(),
    "first_seen": TIME,  # null where events carry no time
    "last_seen": TIME,
    "first_order": pl.Int64(),  # place of its first event among all events, 0-based
    "last_order": pl.Int64(),
    "place": pl.UInt64(),  # of its first event: file << 40 | line
}

#: The lowest OpenTelemetry severity number of a warning.
WARN: Final = 13

_KEY: Final = ("template", "source", "level")
_BATCH: Final = 131_072
#: Rows kept at most (about 60 bytes each); the rarest are forgotten first.
_MOST: Final = 400_000


class Lives:
    """Gathers lives; bounded, and the result does not depend on how the input was cut.

    Attributes:
        events: taken up so far.
        since: events up to then are passed over, for they were counted before.
    """

    def __init__(self) -> None:
        self.events = 0
        self.since: datetime | None = None
        self._added = 0
        self._waiting: list[pl.DataFrame] = []
        self._rows = pl.DataFrame(schema=LIVES)

    def add(self, events: pl.DataFrame) -> None:
        """Take up TEMPLATED events with source codes, in input order."""
        self._waiting.append(events.select(*_KEY, "timestamp", "file", "line"))
        self.events += events.height
        if self.events - self._added >= _BATCH:
            self._add_up()

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes, merging those that become the same."""
        self._add_up()
        self._rows = merged(self._rows.with_columns(code(self._rows["template"]).alias("template")))

    def alarming(self) -> set[int]:
        """Return the codes of templates of which a line is a warning or worse."""
        return set(self.frame().filter(pl.col("level") >= WARN)["template"])

    def frame(self) -> pl.DataFrame:
        """Return LIVES, sorted by template, source and level."""
        self._add_up()
        return self._rows

    def _add_up(self) -> None:
        if not self._waiting:
            return
        events, self._waiting = pl.concat(self._waiting), []
        order = pl.int_range(self._added, self._added + pl.len(), dtype=pl.Int64)
        self._added = self.events
        events = events.with_columns(order=order)
        if self.since is not None:
            events = events.filter((pl.col("timestamp") > self.since).fill_null(True))
        time, order = pl.col("timestamp"), pl.col("order")
        fresh = events.group_by(_KEY).agg(
            pl.len().cast(pl.UInt64).alias("events"),
            time.min().alias("first_seen"),
            order.min().alias("first_order"),
            (pl.col("file").cast(pl.UInt64) * 2**40 + pl.col("line")).min().alias("place"),
            time.max().alias("last_seen"),
            order.max().alias("last_order"),
        )
        found = merged(pl.concat([self._rows, fresh.select(pl.col(name).cast(kind) for name, kind in LIVES.items())]))
        if found.height > _MOST:
            found = found.sort("events", *_KEY, descending=[True, False, False, False]).head(_MOST)
        self._rows = found


def merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Add up rows of LIVES that are about the same template, source and level; sorted by these."""
    found = rows.group_by(_KEY).agg(
        pl.col("events").sum(),
        pl.col("first_seen", "first_order", "place").min(),
        pl.col("last_seen", "last_order").max(),
    )
    return found.select(pl.col(name).cast(kind) for name, kind in LIVES.items()).sort(_KEY)


def one_each(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a template: its events in all, and the source and level that wrote most of them."""
    ranked = rows.sort("template", "events", "source", "level", descending=[False, True, False, False])
    return ranked.group_by("template", maintain_order=True).agg(
        pl.col("source", "level").first(),
        pl.col("events").sum(),
        pl.col("first_seen", "first_order").min(),
        pl.col("place").sort_by("first_order").first(),
        pl.col("last_seen", "last_order").max(),
    ).select(*LIVES)  # fmt: skip
