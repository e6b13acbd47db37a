"""Dates like ``05/03/2024``: which of the numbers is the month, only the log as a whole can say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import polars as pl

from offbeat.read.stamps import STAMPS, Stamp
from offbeat.read.times import Clock, parse

#: The shapes of such dates.
SLASHED: Final = ("us", "slashed")


def day_or_month_first(samples: Iterable[str], clock: Clock) -> Stamp:
    """The shape of dates like ``05/03/2024``: the one that fits more of ``samples``, else the one that spans less time.

    A log that goes on for some days reads as months apart the wrong way round. The month is first where all is equal.
    """
    texts = pl.Series(list(samples), dtype=pl.String).unique()

    def key(name: str) -> tuple[int, float]:
        found = parse(texts.filter(texts.str.contains(f"^(?:{STAMPS[name].bare})$")), STAMPS[name], clock).drop_nulls()
        moments = found.dt.timestamp("us")
        return -len(found), float(moments.max() - moments.min()) if len(found) else 0.0  # type: ignore[operator,arg-type]  # a number

    return STAMPS[min(SLASHED, key=key)]
