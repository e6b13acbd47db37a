"""What a model keeps of what it learned from, so that it can go on learning without forgetting.

A rehearsal sample (Robins, 1995: a network that goes on learning keeps what it knew only if it sees some of it again)
of whole units, each standing for a number of them; what is held back until somebody says it is normal; how long each
template has been seen; which templates are one line that changed; and what was learned when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect import Ragged
from offbeat.finding import iso
from offbeat.lives import LIVES
from offbeat.schema import TIME

Ints = NDArray[np.int64]

#: Units and events kept at most, in the rehearsal sample and, a fifth of it, in quarantine.
MOST_UNITS: Final = 10_000
MOST_EVENTS: Final = 400_000
#: What was last seen longer ago than this is forgotten, unless told otherwise.
TTL: Final = "90d"

#: What of a unit is kept, beside lists; not its key, which may be a person's.
_PLAIN: Final = ("start", "end", "open_at_end", "templates", "weight")
#: A kind of unit that was held back.
GROUPS: Final[dict[str, pl.DataType]] = {
    "id": pl.String(),
    "kind": pl.String(),
    "template_id": pl.String(),
    "reason": pl.String(),
    "first_seen": TIME,
    "last_seen": TIME,
    "units": pl.UInt64(),
    "level": pl.UInt8(),  # the highest of its strange lines
    "days": pl.List(pl.Date()),  # on which it was seen, in log time
    "acknowledged": pl.Boolean(),  # somebody said it is normal: it is learned from then on
}
#: Templates that are one line: what was learned of ``old`` holds for ``new``.
LINEAGE: Final[dict[str, pl.DataType]] = {
    "new": pl.String(),  # ids of templates
    "old": pl.String(),
    "since": TIME,
    "similarity": pl.Float64(),  # of text and place, 0 … 1; null where a person said so
}
#: How values of a template are spread: ``share`` of them lie from ``low`` on, up to the next row's.
SPREAD: Final[dict[str, pl.DataType]] = {"template": pl.UInt32(), "low": pl.Float64(), "share": pl.Float64()}
_FRAMES: Final = ("rehearsal", "quarantine", "groups", "lives", "lineage", "spread", "reach")


@dataclass
class Memory:
    """What a model keeps beside its detectors.

    Attributes:
        rehearsal: units with ``templates``, the lists that views read, ``start``, ``end``, and ``weight``.
        quarantine: the same of units held back, with ``group`` and ``finding`` (the id it has in ``detect``).
        groups: GROUPS, the reasons for which units were held back.
        lives: LIVES of what was learned.
        lineage: LINEAGE.
        spread: SPREAD of the numbers in messages.
        reach: how far the scores of what was learned reach, see ``stability.reach_of``.
        until: what ends no later was learned, or held back, already; None where there is no time.
        ttl: what was last seen longer ago than this is forgotten; ``never`` keeps all.
        history: what was learned when, in log time; one entry for ``fit`` and one an update.
    """

    rehearsal: pl.DataFrame
    quarantine: pl.DataFrame = field(default_factory=pl.DataFrame)
    groups: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=GROUPS))
    lives: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LIVES))
    lineage: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LINEAGE))
    spread: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SPREAD))
    reach: pl.DataFrame = field(default_factory=pl.DataFrame)
    until: datetime | None = None
    ttl: str = TTL
    history: list[dict[str, Any]] = field(default_factory=list)

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the tables to save; none that is empty."""
        return {name: frame for name in _FRAMES if (frame := getattr(self, name)).height}

    def values(self) -> dict[str, Any]:
        """Return the plain values to save."""
        until = None if self.until is None else iso(self.until)
        return {"until": until, "ttl": self.ttl, "history": self.history}

    @classmethod
    def restore(cls, values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> Self:
        """Take up what ``values`` and ``frames`` returned."""
        until = None if values["until"] is None else datetime.fromisoformat(values["until"])
        given = {name: frames[name] for name in _FRAMES if name in frames}
        return cls(**given, until=until, ttl=values["ttl"], history=list(values["history"]))

    @property
    def held(self) -> int:
        """How many units are held back."""
        return int(self.quarantine["weight"].sum()) if self.quarantine.height else 0

    def aliases(self, codes: Mapping[str, int]) -> dict[int, int]:
        """Return, for each template code that continues an older one, the oldest such code.

        Args:
            codes: of templates by id.
        """
        onward = {codes[new]: codes[old] for new, old in self.lineage.select("new", "old").iter_rows()
                  if new in codes and old in codes}  # fmt: skip
        out = {}
        for new in onward:
            old, seen = onward[new], {new}
            while old in onward and old not in seen:
                seen.add(old)
                old = onward[old]
            if old != new:
                out[new] = old
        return out


def kept(units: pl.DataFrame) -> pl.DataFrame:
    """Return of SEQUENCES what a memory keeps: ``templates``, times, ``weight`` and every list as long as those."""
    weight = pl.col("weight") if "weight" in units.columns else pl.lit(1.0)
    lists = [name for name, kind in units.schema.items() if isinstance(kind, pl.List)]
    lists = [name for name in lists if name not in ("templates", "rows")]
    return units.select(*_PLAIN[:-1], weight.cast(pl.Float64).alias("weight"), *lists)


def joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join units of different logs: only the lists that all of them have."""
    common = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    return pl.concat([part.select(common) for part in parts], how="vertical_relaxed")


def sample(units: pl.DataFrame, most: int = MOST_UNITS, events: int = MOST_EVENTS, seed: int = 0) -> pl.DataFrame:
    """Return a bounded sample of units that keeps the weight of every distinct sequence.

    Each distinct sequence keeps up to so many of its units as there is room for, spread evenly over time, so that its
    pauses and numbers are kept with their variety. Where there are more distinct sequences than room, all that occur
    often are kept, and of the rest a random part with the weight of all.

    Args:
        units: as ``kept`` returns them, n of them; those with more than ``events`` events are left out.
        most: units to keep.
        events: events to keep in all.
        seed: of the random part.
    """
    # Nothing may depend on how the units were ordered before: equal input gives equal bytes.
    units = units.filter(pl.col("templates").list.len() <= events).sort("end", nulls_last=False, maintain_order=True)
    while True:
        total = int(units["templates"].list.len().sum())
        if units.height <= most and total <= events:
            return units
        if total > events:
            most = max(1, min(most, units.height * events // total, units.height - 1))
        units = _picked(units, most, seed)


def _picked(units: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    first, index = Ragged.of(units).distinct
    weight = units["weight"].to_numpy()
    count = np.bincount(index, minlength=len(first))
    mass = np.bincount(index, weights=weight, minlength=len(first)).astype(np.float64)
    if len(first) > most:
        # The commonest half, and of the others as many at random; these stand for all others.
        ranked = np.lexsort((first, -mass))
        sure, rest = ranked[: most // 2], ranked[most // 2 :]
        rng = np.random.Generator(np.random.PCG64(seed))
        drawn = rng.choice(rest, size=most - most // 2, replace=False)
        scale = float(mass[rest].sum() / mass[drawn].sum())
        stands = np.zeros(len(first))
        stands[sure], stands[drawn] = 1.0, scale
        quota, mass = np.sign(stands).astype(np.int64), mass * stands
    else:
        quota = np.minimum(count, _level(count, most))
    order = np.lexsort((np.arange(units.height), index))
    ends = np.cumsum(count)
    chosen: list[int] = []
    given: list[float] = []
    for group in np.flatnonzero(quota):
        rows = order[ends[group] - count[group] : ends[group]]
        rows, portions = _spread_out(rows, weight[rows], int(quota[group]))
        chosen += rows.tolist()
        given += (portions * mass[group]).tolist()
    at = np.argsort(chosen, kind="stable")
    return units[np.array(chosen)[at]].with_columns(weight=pl.Series(np.array(given)[at], dtype=pl.Float64))


def _level(count: Ints, most: int) -> int:
    """Return the largest number up to which each kind may keep units so that all together keep at most ``most``."""
    low, high = 1, int(count.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(count, middle).sum() <= most else (low, middle - 1)
    return low


def _spread_out(rows: Ints, weight: NDArray[np.float64], quota: int) -> tuple[Ints, NDArray[np.float64]]:
    """Draw rows evenly by weight (systematic sampling); returns them with their portions of the whole."""
    if quota >= len(rows):
        return rows, weight / weight.sum()
    steps = (np.arange(quota) + 0.5) / quota * weight.sum()
    at, times = np.unique(np.searchsorted(np.cumsum(weight), steps).clip(0, len(rows) - 1), return_counts=True)
    return rows[at], times / quota


def spread_of(units: pl.DataFrame, least: int = 50, bins: int = 10) -> pl.DataFrame:
    """Return SPREAD: for each template with enough numbers, the shares of them in about ten equal parts.

    Args:
        units: with ``templates``, ``values`` and ``weight``.
        least: numbers that are enough.
        bins: parts; fewer where numbers are tied.
    """
    if "values" not in units.columns:
        return pl.DataFrame(schema=SPREAD)
    data = Ragged.of(units, ("values",))
    at = np.flatnonzero(np.isfinite(data.extra["values"]))
    order = at[np.lexsort((data.extra["values"][at], data.ids[at]))]
    ids, value, weight = data.ids[order], data.extra["values"][order], data.weight[data.rows[order]]
    out: list[tuple[int, float, float]] = []
    for begin, end in _runs(ids):
        if end - begin < least:
            continue
        mass = np.cumsum(weight[begin:end])
        places = np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins)
        lows = np.concatenate(([-np.inf], np.unique(value[begin:end][places])))
        part = np.searchsorted(lows, value[begin:end], side="right") - 1
        shares = np.bincount(part, weights=weight[begin:end], minlength=len(lows)) / mass[-1]
        out += [(int(ids[begin]), low, share) for low, share in zip(lows.tolist(), shares.tolist(), strict=True)]
    return pl.DataFrame(out, schema=SPREAD, orient="row")


def _runs(ids: Ints) -> list[tuple[int, int]]:
    """Return where each run of equal, sorted numbers begins and ends."""
    edges = np.flatnonzero(np.diff(ids)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(ids)], strict=True)) if len(ids) else []


def ages(text: str, where: str) -> timedelta | None:
    """Read a length of log time such as ``14d`` or ``12h``; ``never`` is None.

    Raises:
        OptionError: it is neither.
    """
    from offbeat.errors import OptionError
    from offbeat.group import parse_window

    if text == "never":
        return None
    try:
        parsed = parse_window(text)
    except OptionError:
        parsed = 0
    if isinstance(parsed, int):
        raise OptionError(f"{text!r} is no stretch of time", where=where, hint="14d, 12h or never")
    return timedelta(microseconds=int(parsed.removesuffix("us")))
