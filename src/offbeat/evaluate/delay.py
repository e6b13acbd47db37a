"""How long an incident goes on before the first alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from offbeat.errors import OffbeatError

#: Anomalous units with at most so many normal ones between them are one incident, where labels do not say.
GAP: Final = 10


@dataclass(frozen=True)
class Delay:
    """Delays of first alarms.

    Attributes:
        incidents: how many there are.
        found: how many of them raised an alarm at all.
        units: median over the found ones of how many units after an incident's first anomalous unit the first alarm on
            one of its units comes; 0 is at once. None where none is found.
        seconds: the same in seconds between the starts of these two units; None where none is found or starts are
            not known.
    """

    incidents: int
    found: int
    units: float | None
    seconds: float | None


def incidents_of(y: ArrayLike, gap: int = GAP) -> pl.Series:
    """Return the number of the incident each unit belongs to, from 0 in order of time; null where it is normal.

    Args:
        y: whether each unit is anomalous, in order of time; shape (n,).
        gap: normal units within an incident, at most so many in a row.
    """
    at = np.flatnonzero(np.asarray(y, dtype=bool))
    number = np.cumsum(np.diff(at, prepend=at[:1]) > gap + 1)
    out = np.full(len(np.asarray(y)), -1, dtype=np.int64)
    out[at] = number
    return pl.Series("incident", out).replace(-1, None)


def first_alarms(incident: pl.Series, is_anomaly: ArrayLike, start: pl.Series | None = None) -> Delay:
    """Return how late the first alarm of each incident comes.

    Args:
        incident: number of the incident each unit belongs to, in order of time, null where it is normal; shape (n,).
        is_anomaly: whether each unit raised an alarm; shape (n,).
        start: when each unit begins (Datetime), where that is known.

    Raises:
        OffbeatError: the arrays differ in length.
    """
    alarm = np.asarray(is_anomaly, dtype=bool)
    if len(incident) != len(alarm) or (start is not None and len(start) != len(alarm)):
        raise OffbeatError(f"{len(incident)} incidents' units but {len(alarm)} verdicts", where="first_alarms")
    rows = pl.DataFrame({"incident": incident, "alarm": alarm}).with_row_index("at")
    rows = rows.with_columns(start=pl.lit(None, pl.Datetime("us", "UTC")) if start is None else start)
    each = (
        rows.drop_nulls("incident")
        .group_by("incident")
        .agg(
            units=(pl.col("at").filter("alarm").min().cast(pl.Int64) - pl.col("at").min().cast(pl.Int64)),
            # By place rather than by time: the first alarm in the order that people see them in.
            seconds=(pl.col("start").filter("alarm").first() - pl.col("start").first()).dt.total_microseconds() / 1e6,
        )
    )
    found = each.drop_nulls("units")
    seconds = found["seconds"].drop_nulls()
    return Delay(
        each.height,
        found.height,
        _median(found["units"]),
        _median(seconds) if len(seconds) == found.height else None,
    )


def _median(values: pl.Series) -> float | None:
    return float(np.median(values.to_numpy())) if len(values) else None
