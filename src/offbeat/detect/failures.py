"""Errors that are news: lines at ERROR or above of a kind that was never written before, or is written once.

Views compare units, and in a small log nearly each unit has something that no other has. A line that says itself that
something failed is another matter: the first of its kind is worth a look, however much is rare beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from offbeat.detect.volume import FAILING
from offbeat.schema import TIME

#: What ``Failures.alarms`` returns, one row a template, the most severe first, then in the order in which they came.
FAILURES: Final = {
    "template": pl.UInt32(),
    "source": pl.UInt32(),  # that wrote the first
    "level": pl.UInt8(),  # the highest
    "events": pl.UInt32(),
    "start": TIME,  # of the first and the last; null without times
    "end": TIME,
    "places": pl.List(pl.UInt64),  # of the first: file << 40 | line
    "share": pl.Float64(),  # of all lines
}

#: Where more kinds of errors than these are written once, that is how the log is.
_HABIT: Final = 3
#: So many rows wait to be added up; templates kept at most, those that came first.
_WAITING, _MOST = 20_000, 20_000


class Failures:
    """Gathers errors by template while events stream by, in input order; bounded."""

    def __init__(self) -> None:
        self._rows = pl.DataFrame(schema=FAILURES)
        self._fresh: list[pl.DataFrame] = []
        self._waiting = 0
        self._seen = 0

    def add(self, events: pl.DataFrame) -> None:
        """Take up events: TEMPLATED with source codes."""
        self._seen += events.height
        place = pl.col("file").cast(pl.UInt64) * 2**40 + pl.col("line")
        rows = events.filter(pl.col("level") >= FAILING).select(
            *("template", pl.col("source").fill_null(0), "level"),
            events=pl.lit(1, pl.UInt32),
            start="timestamp",
            end="timestamp",
            places=pl.concat_list(place),
            share=pl.lit(0.0),
        )
        if rows.height:
            self._fresh.append(rows)
            self._waiting += rows.height
        if self._waiting >= _WAITING:
            self._settle()

    def _settle(self) -> None:
        if self._fresh:
            rows, self._fresh, self._waiting = pl.concat([self._rows, *self._fresh]), [], 0
            self._rows = _added_up(rows).head(_MOST)

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes, merging those that become the same."""
        self._settle()
        if self._rows.height:
            self._rows = _added_up(self._rows.with_columns(code(self._rows["template"]).alias("template")))

    def alarms(self, known: int | None = None) -> pl.DataFrame:
        """Return the errors that are news: the columns of FAILURES.

        Args:
            known: errors of templates with this code or a higher one are new to what was learned; None where the log is
                compared with itself: then those written once are told, unless that is a habit.
        """
        self._settle()
        if known is not None:
            found = self._rows.filter(pl.col("template") >= known)
        else:
            found = self._rows.filter(pl.col("events") == 1)
            found = found.clear() if found.height > _HABIT else found
        found = found.with_columns(share=pl.col("events") / max(self._seen, 1))
        return found.sort("level", descending=True, maintain_order=True)


def _added_up(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a template, in the order in which they came."""
    made = rows.group_by("template", maintain_order=True).agg(
        pl.col("source").first(),
        pl.col("level").max(),
        pl.col("events").sum(),
        pl.col("start").min(),
        pl.col("end").max(),
        pl.col("places").first(),
        pl.col("share").first(),
    )
    return made.select(pl.col(name).cast(kind) for name, kind in FAILURES.items())
