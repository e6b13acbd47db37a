"""Which part of its course over time a finding about the log as a whole sticks out of: trend, season or rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.errors import OffbeatError
from offbeat.explain.decompose import Decomposition, counts_of, decompose, explain_series
from offbeat.finding import iso

Floats = NDArray[np.float64]

#: Buckets of a decomposed series that are told, around the one in question.
_BUCKETS: Final = 400


def course(series: pl.DataFrame, finding: dict[str, Any]) -> dict[str, Any] | None:
    """Return which part of its course over time a finding sticks out of; None where there is too little to say."""
    if finding["kind"] not in ("volume", "silence") or not (finding["start"] and finding["end"]):
        return None
    names = [t["template"] for t in finding["templates"]] or finding["sources"]
    mine = series.filter(pl.col("name").is_in(names) if names else pl.col("what") == "all")
    start, end = (datetime.fromisoformat(finding[c]) for c in ("start", "end"))
    for what, code in mine.select("what", "code").unique(maintain_order=True).rows():
        try:
            times, counts = counts_of(series, what, code)
            parts = decompose(times, counts)
            at = _worst(parts, start, end, below=finding["kind"] == "silence")
        except OffbeatError:
            continue
        # Its buckets may be too wide to show a short burst: then it says nothing.
        if at is None:
            return None
        found = explain_series(times, counts, at, decomposition=parts)
        return found | {"parts": around(parts, found["time"])}
    return None


def _worst(parts: Decomposition, start: datetime, end: datetime, *, below: bool) -> int | None:
    """Return the bucket that sticks out most on the finding's side; None where none does.

    The bucket in which a silence begins also holds what was written before it, which may be more than usual.
    """
    out = {i: parts.sticks_out(i) for i in parts.buckets(start, end)}
    some = [i for i, one in out.items() if one.blamed and (one.sd < 0) == below]
    return max(some, key=lambda i: abs(out[i].sd), default=None)


def around(parts: Decomposition, time: str) -> dict[str, Any]:
    """Return the parts of a series as lists, of a long one those around a time: ``at`` is its bucket's place."""
    at = parts.bucket(datetime.fromisoformat(time))
    low = min(max(0, at - _BUCKETS // 2), max(0, len(parts.times) - _BUCKETS))
    some = slice(low, low + _BUCKETS)

    def told(values: Floats) -> list[float]:
        return [round(float(x), 3) for x in values[some]]

    first = datetime.fromtimestamp(int(parts.times[low]) / 1e6, UTC)
    return {
        "start": iso(first),
        "at": at - low,
        **{name: told(getattr(parts, name)) for name in ("seen", "expected", "trend", "rest")},
        "seasons": {name: told(season) for name, season in parts.seasons.items()},
    }
