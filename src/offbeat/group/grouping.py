"""How the events of a log become units; remembered by a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import polars as pl

from offbeat.group.keys import Key
from offbeat.group.sessions import Sessions, latest
from offbeat.group.windows import Windows
from offbeat.schema import TIME

#: Event columns that units carry as lists, beside templates and rows.
_EXTRA: Final = ("timestamp", "level", "source", "value")
#: Sessions by a key whose values come back (a client, a process) end after this pause.
IDLE_SECONDS: Final = 1800


@dataclass(frozen=True)
class Grouping:
    """How events become units: by a key, by windows, or windows within each key."""

    key: Key | None
    window: int | str | None
    idle: int | None
    reason: str

    def new(self, more: Iterable[str] = ()) -> Sessions | Windows:
        """Return an empty grouper; ``more`` are event columns to keep as lists beside the usual ones."""
        extra = [*_EXTRA, *more]
        if self.window is not None:
            return Windows(self.window, by_key=self.key is not None, extra=extra)
        return Sessions(self.idle, extra=extra)

    def with_idle(self, units: pl.DataFrame) -> Self:
        """Return the grouping with a learned limit: twice the longest pause within a session learned from.

        Without a limit no session could be closed before the input ends, and memory would grow with it.
        """
        if self.idle is not None or self.window is not None or "timestamps" not in units.columns:
            return self
        pauses = units.select(pl.col("timestamps").list.diff().list.max().max().dt.total_microseconds())
        longest = int(pauses.item() or 0)
        return replace(self, idle=max(2 * longest, IDLE_SECONDS * 1_000_000))

    def reopened(self, units: pl.DataFrame) -> pl.DataFrame:
        """Return units that were gathered without a limit, open at the end only if they were not idle beyond it."""
        if self.idle is None or self.window is not None or not units["open_at_end"].all():
            return units
        ends = units["end"].drop_nulls().dt.epoch("us").to_numpy()
        now = latest(ends, int(ends.max(initial=0)))
        waited = pl.lit(now).cast(TIME) - pl.col("end")
        limit = pl.duration(microseconds=self.idle)
        return units.with_columns(open_at_end=(waited <= limit).fill_null(True))

    @property
    def unit(self) -> str:
        """The word for one unit."""
        return "session" if self.window is None else "window"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the grouping that ``as_dict`` described."""
        key = Key.from_dict(values["key"]) if values["key"] else None
        return cls(key, values["window"], values["idle"], values["reason"])
