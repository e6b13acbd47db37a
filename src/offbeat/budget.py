"""The alert budget: at most so many alarms a day, an hour, or a thousand units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from offbeat.errors import OptionError
from offbeat.schema import covered

_SPANS = {"day": timedelta(days=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True)
class Budget:
    """So many alarms per ``day``, ``hour`` or ``1000`` units."""

    count: float
    per: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``5/day``, ``1/hour`` or ``2/1000``.

        Raises:
            OptionError: it is none of these.
        """
        found = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*/\s*(day|hour|1000)", text.strip())
        if not found or float(found[1]) <= 0:
            raise OptionError(f"{text!r} is no budget", where="--budget", hint="5/day, 1/hour or 2/1000")
        return cls(float(found[1]), found[2])

    def units(self, scores: pl.DataFrame) -> int:
        """Return how many units may be flagged, at least one: pro rata over the time, or the units, covered.

        Args:
            scores: one row a unit, with ``start`` and ``end``.

        Raises:
            OptionError: a budget by time for units without times.
        """
        if self.per == "1000":
            return max(1, round(self.count * scores.height / 1000))
        time = covered(scores)
        if time is None:
            raise OptionError(f"a budget by the {self.per} needs times", where="--budget", hint="use N/1000")
        return max(1, round(self.count * (time / _SPANS[self.per])))
