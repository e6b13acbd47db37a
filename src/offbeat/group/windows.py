"""Windows: a number of consecutive events, or a stretch of time."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from offbeat.errors import OptionError
from offbeat.group.sessions import POSITION_BITS
from offbeat.schema import SEQUENCES

#: Orders of units: by start, then by first event; or by first event alone.
_BY_TIME: Final = ("start", "order")
_BY_INPUT: Final = ("order",)

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

#: A stretch of time has to fit 64 bits of microseconds, and to be taken from a date: of a thousand years is none.
_LONGEST = 1_000 * 366 * 86_400 * 1_000_000
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_window(text: str | int) -> int | str:
    """Read ``100`` (events) or ``5m`` (time); returns a number of events, or a Polars duration in microseconds.

    Raises:
        OptionError: it is neither, or not above zero.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*(ms|s|m|min|h|d)?", str(text).strip())
    micros = round(float(found[1]) * _SECONDS[found[2] or "s"] * 1_000_000) if found else 0
    if not found or not 0 < micros < _LONGEST or (not found[2] and "." in found[1]):
        raise OptionError(f"{text!r} is no window", where="--window", hint="events as 100, time as 30s, 5m, 1h or 1d")
    if not found[2]:
        return int(found[1])
    return f"{micros}us"


class Windows:
    """Gather TEMPLATED frames into tumbling windows in input order.

    Args:
        size: a number of events, or a Polars duration (see ``parse_window``).
        by_key: run a window sequence of its own for each key (the frame then holds ``keys``).
        extra: further event columns to keep as lists.

    Attributes:
        without_key: events left out because they carry no key (with ``by_key``), or no time (windows by time).
    """

    def __init__(self, size: int | str, by_key: bool = False, extra: list[str] | None = None) -> None:
        self.size = size
        self.by_key = by_key
        self.extra = extra or []
        self.without_key = 0
        self._pending: list[pl.DataFrame] = []
        self._order = 0

    def push(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """Take up a frame in input order; return the windows that it filled, or None."""
        columns = dict.fromkeys(["file", "line", "timestamp", "template", *self.extra])
        key = pl.col("keys") if self.by_key else pl.lit("").alias("keys")
        rows = frame.select(
            pl.int_range(self._order, self._order + pl.len(), dtype=pl.UInt64).alias("order"),
            *columns,
            key.alias("key"),
        )
        kept = pl.lit(True)
        if self.by_key:
            kept &= pl.col("key").list.len() > 0
        if isinstance(self.size, str):
            kept &= pl.col("timestamp").is_not_null()
        rows = rows.filter(kept)
        self.without_key += frame.height - rows.height
        if self.by_key:
            rows = rows.explode("key").drop_nulls("key")
        self._order += frame.height
        self._pending.append(rows)
        if isinstance(self.size, int) and not self.by_key:
            return self._full()
        return None

    def flush(self) -> pl.DataFrame:
        """The input has ended: return what is left, the last partial window included, as SEQUENCES."""
        if not self._pending:
            raise ValueError("no frame was pushed")
        rows = pl.concat(self._pending)
        self._pending = []
        return self._units(rows, at_end=True)

    def _full(self) -> pl.DataFrame | None:
        """Return the windows by count that are complete, keeping the rest."""
        size = int(self.size)
        rows = pl.concat(self._pending)
        whole = rows.height // size * size
        self._pending = [rows[whole:]]
        return self._units(rows[:whole], at_end=False) if whole else None

    def _units(self, rows: pl.DataFrame, at_end: bool) -> pl.DataFrame:
        if isinstance(self.size, int):
            number = pl.int_range(pl.len()).over("key") if self.by_key else pl.col("order")
            rows = rows.with_columns(window=(number // self.size).cast(pl.Int64))
        else:
            rows = rows.with_columns(window=pl.col("timestamp").dt.truncate(self.size).dt.epoch("us"))
        units = _to_units(rows, ["key", "window"], self.extra)
        name = pl.col("window") + 1 if isinstance(self.size, int) else pl.col("window").cast(pl.Datetime("us", "UTC"))
        shown = name.cast(pl.String) if isinstance(self.size, int) else name.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
        prefix = pl.format("{} ", "key") if self.by_key else pl.lit("")
        last = pl.col("window") == pl.col("window").max().over("key")
        partial = last & (pl.col("events") < self.size if isinstance(self.size, int) else pl.lit(True))
        units = units.with_columns(key=prefix + pl.lit("window ") + shown)
        by = _BY_INPUT if isinstance(self.size, int) else _BY_TIME
        return _finish(units, partial if at_end else pl.lit(False), self.extra, by)


def _to_units(events: pl.DataFrame, by: list[str], extra: list[str]) -> pl.DataFrame:
    """Gather events into units, one row each, in the order of their first events.

    ``extra`` names event columns that are kept as lists beside ``templates`` and ``rows``.
    """
    lists = [pl.col(name).alias(f"{name}s") for name in extra]
    return events.group_by(by, maintain_order=True).agg(*_AGGREGATES, *lists)


def _finish(units: pl.DataFrame, open_at_end: pl.Expr, extra: list[str], by: tuple[str, ...]) -> pl.DataFrame:
    """Put units into the columns of SEQUENCES, in the order of the columns ``by``."""
    units = units.with_columns(open_at_end=open_at_end).sort(by, nulls_last=False, maintain_order=True)
    return units.select(*SEQUENCES, "rows", *[f"{name}s" for name in extra])
