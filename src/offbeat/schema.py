"""The columns that flow between rooms, declared once.

A frame holds at least the columns of its schema, with these types; rooms may add columns named below as optional.
Line numbers are 1-based physical lines, times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.errors import OffbeatError

TIME: Final = pl.Datetime("us", "UTC")

#: One row an event, in input order. Optional: ``fields`` (String, a JSON object of everything the format names) and
#: ``fields.NAME`` (String, one named field; null where the event has none).
EVENTS: Final[Mapping[str, pl.DataType]] = {
    "file": pl.UInt16(),  # index into the list of input files
    "line": pl.UInt32(),  # the event's first physical line
    "span": pl.UInt32(),  # how many physical lines it covers (stack traces; nearly always 1)
    "timestamp": TIME,  # null where the line has none
    "level": pl.UInt8(),  # OpenTelemetry severity number 1..24; 0 where unknown
    "source": pl.String(),  # service, component, program or host that wrote it; null where unknown
    "message": pl.String(),  # the text without its header
}

#: EVENTS without the text, plus what mining found. One row an event.
TEMPLATED: Final[Mapping[str, pl.DataType]] = {
    "file": pl.UInt16(),
    "line": pl.UInt32(),
    "timestamp": TIME,
    "level": pl.UInt8(),
    "source": pl.String(),
    "template": pl.UInt32(),  # code: position in the catalog, 0-based
}

#: One row a unit (session or window). Optional: ``rows`` (List(UInt32), positions of its events in TEMPLATED) and
#: ``weight`` (Float64, how many units of this kind the row stands for; absent means 1).
SEQUENCES: Final[Mapping[str, pl.DataType]] = {
    "key": pl.String(),  # session key, or the window's name
    "start": TIME,  # null where the events carry no time
    "end": TIME,
    "file": pl.UInt16(),  # of the first event
    "first_line": pl.UInt32(),  # in ``file``
    "last_line": pl.UInt32(),
    "events": pl.UInt32(),
    "open_at_end": pl.Boolean(),  # the input ended before the unit did
    "templates": pl.List(pl.UInt32),  # template codes in order
}

#: One row a unit: SEQUENCES without ``templates``, plus one Float64 column a view, named by ``view_column`` (higher is
#: stranger, finite) and:
SCORES: Final[Mapping[str, pl.DataType]] = {
    "score": pl.Float64(),  # fused, unclipped, higher is stranger
    "p_value": pl.Float64(),  # calibrated, in (0, 1]
    "is_anomaly": pl.Boolean(),
}


def view_column(view: str) -> str:
    """Return the name of a view's column in SCORES: its own, unless a unit has such a column (``end``)."""
    return f"{view}_score" if view in SEQUENCES or view in SCORES else view


#: One row a unit: what made a view's score, in codes; words are made only for what is shown.
EVIDENCE: Final[Mapping[str, pl.DataType]] = {
    # new pattern, rare pattern, missing event, count, mix, relation, length, order, end, labelled, misfit, latency,
    # value
    "kind": pl.String(),
    "template": pl.UInt32(),  # the template in question
    "event": pl.UInt32(),  # its place in the sequence, 0-based; null for what is missing
    "seen": pl.Float64(),  # how often it is there; for a latency, seconds since the event before; a value
    "usual": pl.Float64(),  # how often it usually is, or how many seconds, or the usual value
    "share": pl.Float64(),  # probability: of what was seen; for a count, of the usual one; else of presence
}

#: A log that rests for longer shows that some time is wrong, or that it is two logs: such a pause is no part of its
#: time.
PAUSE: Final = timedelta(days=7)

#: The command line's names for OpenTelemetry's severity ranges.
LEVELS: Final[Mapping[str, int]] = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}


def weights(units: pl.DataFrame) -> NDArray[np.float64]:
    """Return how many units each row stands for, shape (n,)."""
    return units["weight"].cast(pl.Float64).to_numpy() if "weight" in units.columns else np.ones(units.height)


def covered(units: pl.DataFrame) -> timedelta | None:
    """Return the time from the first unit to the last, without pauses longer than ``PAUSE``; None without times.

    One stray time stamp, years from all others, would else stretch the log: it has as many alarms a day as it can take,
    and none are had.

    Args:
        units: SEQUENCES or SCORES; ``start`` and ``end`` are looked at.
    """
    start, end = pl.col("start"), pl.col("end")
    spans = units.lazy().filter(start.is_not_null() & end.is_not_null()).sort("start")
    until = pl.min_horizontal(end, start + PAUSE).cum_max()
    pause = (start - until.shift()).fill_null(timedelta(0))
    silent = pl.when(pause > PAUSE).then(pause).otherwise(timedelta(0)).sum()
    found: timedelta | None = spans.select(until.max() - start.min() - silent).collect().item()
    return found


def check(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], what: str) -> pl.DataFrame:
    """Return ``frame`` unchanged, or raise OffbeatError naming the first column that is absent or of another type."""
    for name, dtype in schema.items():
        if name not in frame.columns:
            raise OffbeatError(f"{what} lacks the column {name!r}", where="schema")
        if frame.schema[name] != dtype:
            raise OffbeatError(f"column {name!r} of {what} is {frame.schema[name]}, expected {dtype}", where="schema")
    return frame


def pack(texts: pl.Series) -> pl.Series:
    """Return a String series as Categorical with categories of its own, which go when it goes.

    Polars' shared categories would be kept as long as the process runs, whatever a log fills them with.
    """
    return texts.cast(pl.Categorical(pl.Categories.random()))


def unpack(packed: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the distinct texts of a packed series, and which of them each row has (UInt32, null for null)."""
    assert isinstance(packed.dtype, pl.Categorical)  # noqa: S101 - ``pack`` made it; tells mypy
    return packed.dtype.categories.to_series(), packed.to_physical()


def owned(texts: pl.Series) -> pl.Series:
    """Return the same texts with memory of their own.

    Polars' strings are views: a few keys cut out of lines and kept would hold all those lines.
    """
    return pl.Series(texts.name, texts.to_list(), dtype=pl.String)
