"""When the shop is busy: a day, a week, sales, and maintenance windows, in slots of ten minutes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from offbeat.simulate.chance import Chance, Floats
from offbeat.simulate.shop import LINES_A_FLOW, NAMES, SERVICES

START: Final = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)  # a Monday
SLOT: Final = 600.0  # seconds
HOUR_OF_START: Final = 6

#: Requests by hour of the day, against the mean. Peaks at noon and in the evening.
_DAY: Final = (
    *(0.35, 0.22, 0.15, 0.12, 0.12, 0.2, 0.45, 0.85, 1.15, 1.25, 1.3, 1.45),
    *(1.65, 1.5, 1.3, 1.25, 1.3, 1.4, 1.6, 1.85, 1.9, 1.6, 1.1, 0.65),
)
_WEEK: Final = (1.0, 0.96, 0.98, 1.02, 1.12, 1.3, 0.75)  # Monday first
_MAINTENANCE_DAYS: Final = (1, 3, 6)  # 03:00 to 03:30 UTC
_REQUESTS: Final = 0.087  # a second, on the mean

#: Seconds between the lines every instance writes by itself.
HEALTH, POOL, COLLECTION = 300.0, 600.0, 1200.0
INSTANCES: Final = sum(SERVICES.values()) - 1  # the deployer writes about releases only
_CHATTER: Final = INSTANCES * (1 / HEALTH + 1 / POOL + 1 / COLLECTION)  # lines a second
LINES_A_SECOND: Final = _REQUESTS * LINES_A_FLOW + _CHATTER
assert NAMES[-1] == "deployer"  # noqa: S101 - the count above rests on it


class Rhythm:
    """The load over time.

    Attributes:
        requests: expected requests in each slot.
        load: requests against the mean, smoothed into 0 … about 2.
        maintenance: whether the slot lies in a maintenance window.
        lines: expected lines before each slot, one more than there are slots.
    """

    def __init__(self, n: int, chance: Chance, sales: float) -> None:
        # The first hours may be quiet and the weekend slow: take what surely is enough, it costs nothing.
        slots = int(n / LINES_A_SECOND / SLOT * 1.5) + 3 * 144
        hours = HOUR_OF_START + np.arange(slots) * (SLOT / 3600.0)
        hour = hours.astype(np.int64)
        day = np.array(_DAY)
        between = hours - hour
        shape = day[hour % 24] * (1.0 - between) + day[(hour + 1) % 24] * between
        weekday = (hour // 24) % 7
        shape = shape * np.array(_WEEK)[weekday]
        self.maintenance = np.isin(weekday, _MAINTENANCE_DAYS) & (hour % 24 == 3) & (between < 0.45)
        sale = chance.uniform(slots) < 0.004 * sales  # two slots long, twice the requests
        shape = np.where(sale | np.roll(sale, 1), 2.0 * shape, shape)
        self.load: Floats = np.where(self.maintenance, 0.1, shape)
        self.requests: Floats = self.load * (0.88 + 0.24 * chance.uniform(slots)) * (_REQUESTS * SLOT)
        self.lines: Floats = np.concatenate([[0.0], np.cumsum(self.requests * LINES_A_FLOW + _CHATTER * SLOT)])

    def __len__(self) -> int:
        return len(self.requests)

    def hour(self, seconds: Floats) -> Floats:
        """Hour of the day, with fractions, at the given seconds after the start."""
        hours = HOUR_OF_START + seconds / 3600.0
        return hours - 24.0 * np.floor(hours / 24.0)

    def load_at(self, seconds: Floats) -> Floats:
        """The load at the given seconds after the start."""
        return self.load[np.clip((seconds / SLOT).astype(np.int64), 0, len(self) - 1)]

    def when(self, line: float) -> float:
        """Seconds after the start by which ``line`` lines are expected."""
        slot = min(int(np.searchsorted(self.lines, line, side="right")) - 1, len(self) - 1)
        ahead = (line - self.lines[slot]) / (self.lines[slot + 1] - self.lines[slot])
        return float((slot + ahead) * SLOT)

    def after_maintenance(self, early: float, late: float) -> float | None:
        """The first end of a maintenance window between two times, or None."""
        ends = (np.flatnonzero(self.maintenance[:-1] & ~self.maintenance[1:]) + 1) * SLOT
        inside = ends[(ends >= early) & (ends < late)]
        return float(inside[0]) if len(inside) else None
