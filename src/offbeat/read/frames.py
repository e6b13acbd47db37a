"""A frame that the user already has, as EVENTS."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from offbeat.errors import InputError
from offbeat.read import levels, records
from offbeat.read.layout import Context
from offbeat.read.names import NAMES
from offbeat.schema import EVENTS, TIME

_ROLE_OF: Final = {"time": "timestamp", "level": "level", "message": "message", "source": "source"}


def events_from_frame(frame: Any) -> pl.DataFrame:
    """EVENTS from a Polars or pandas frame with usual column names.

    Columns that are none of time, level, source and message become ``fields.NAME`` (String). Rows are numbered as lines
    of one file.

    Args:
        frame: one row an event, in order.

    Raises:
        InputError: where no column holds the message, or this is no frame.
    """
    table = _polars(frame)
    names = _roles(table.columns)
    if "message" not in names:
        raise InputError(
            f"no column holds the message; there are {', '.join(map(str, table.columns)) or 'none'}",
            where="frame",
            hint="rename the one that does to message",
        )
    n = table.height
    given = {role: table[name] for role, name in names.items()}
    columns = [
        pl.Series("file", [0], dtype=pl.UInt16).new_from_index(0, n),
        pl.Series("line", range(1, n + 1), dtype=pl.UInt32),
        pl.Series("span", [1], dtype=pl.UInt32).new_from_index(0, n),
        _times(given.get("time"), n).alias("timestamp"),
        pl.Series("level", [0] * n, dtype=pl.UInt8),
        _texts(given["source"]) if "source" in given else pl.Series([None], dtype=pl.String).new_from_index(0, n),
        _texts(given["message"]).fill_null(""),
    ]
    events = pl.DataFrame([column.alias(name) for name, column in zip(EVENTS, columns, strict=True)])
    level = _levels(given["level"], names["level"]) if "level" in given else events["level"]
    words = levels.from_words(events["message"]) if (level == 0).any() else level
    level = pl.select(pl.when(level == 0).then(words).otherwise(level)).to_series()
    rest = [
        _texts(table[name]).alias(name if name.startswith("fields.") else f"fields.{name}")
        for name in table.columns
        if name not in names.values() and name not in EVENTS and name != "fields"
    ]
    return events.with_columns(level.alias("level"), *rest)


def _levels(column: pl.Series, name: str) -> pl.Series:
    scale = levels.KEYS.get(name)
    texts = _texts(column)
    return levels.from_any(texts if scale is None else scale + texts)


def _polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    if type(frame).__module__.startswith("pandas"):
        plain = frame.reset_index() if frame.index.name is not None else frame
        named = [str(name) for name in plain.columns]
        if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
            raise InputError(f"has several columns called {twice[0]!r}", where="frame", hint="rename all but one")
        return pl.DataFrame({str(name): _pandas_column(plain[name]) for name in plain.columns})
    raise InputError(
        f"is a {type(frame).__name__}, not a frame", where="frame", hint="hand in a Polars or pandas frame"
    )


def _pandas_column(column: Any) -> pl.Series:
    """One pandas column without going through pyarrow, which need not be installed."""
    if column.dtype.kind == "M" or "datetime" in str(column.dtype):
        zone = getattr(column.dtype, "tz", None)
        micros = (column.dt.tz_convert("UTC").dt.tz_localize(None) if zone else column).to_numpy("datetime64[us]")
        series = pl.Series(micros)
        return series.dt.replace_time_zone("UTC") if zone else series
    values = column.astype(object).where(column.notna(), None).tolist()
    return pl.Series(values, strict=False)


def _roles(columns: list[str]) -> dict[str, str]:
    """Which column has which role: EVENTS' own names first, then the usual ones in any case."""
    lower = {name.lower(): name for name in reversed(columns)}
    found: dict[str, str] = {}
    for role, usual in NAMES.items():
        for name in (_ROLE_OF[role], *usual):
            if name.lower() in lower and lower[name.lower()] not in found.values():
                found[role] = lower[name.lower()]
                break
    return found


def _texts(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column
    if column.dtype.is_nested() or column.dtype == pl.Object:
        return records.to_texts(column.to_list())
    return column.cast(pl.String, strict=False)


def _times(column: pl.Series | None, n: int) -> pl.Series:
    if column is None:
        return pl.Series([None], dtype=TIME).new_from_index(0, n)
    if isinstance(column.dtype, pl.Datetime):
        zoned = column if column.dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").cast(TIME)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return records.to_times(column.to_list(), Context())
