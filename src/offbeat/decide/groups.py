"""Calibration by group: a quiet source and the batch at night have a scale of their own.

Mondrian conformal prediction (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, section 4.5):
scores are compared only with those of their own group, so that p-values hold within each, and not just on average over
all. A small group cannot say much by itself: of 50 units none is as rare as one in a thousand. So a group's p-value is
drawn towards that of the group around it, the less the more of its units have scored as much: in its bulk a group has
its own scale, and beyond what it has seen the tail of the whole log goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide.calibrate import Calibration
from offbeat.errors import OptionError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The name under which the group of each unit goes with the raw scores by view, as a number; no view is called so.
GROUP: Final = "group"
#: Fewer units make no group: by themselves they could not tell 1 % from 2 %. With 50, an access log of
#: 1,200 units had more false alarms at 1 % in some hours with groups than without.
LEAST: Final = 100
#: The group around counts like so many units of the group that score as much. With 10 the scale of small services is
#: hardly their own; where it counts like so many units whatever they score (50 of them), the tail of each group ends
#: with its size, and on the simulator average precision fell from .095 to .087 by traces; with this to .089.
AROUND: Final = 3.0
#: An hour of the day is a group once it was seen on so many days: on T1, which begins with one night and the next, two
#: made an incident's hours normal (average precision .85 -> .78).
LEAST_DAYS: Final = 3
#: Units are told apart by source where so many of them are each from one source alone. Elsewhere which sources write
#: is a part of what is judged: by the source of most lines, T1-free fell from .85 to .76.
LEAST_ALONE: Final = 0.9
#: Groups kept, the largest, and points kept of each view's curve in each: a model grows by 3 MB at most.
MOST: Final = 256
_KNOTS: Final = 64
#: The source of what is of none of the sources that have a group: these are compared with each other.
_OTHERS: Final = 2**32 - 1

#: One row a group after the first, which is all units.
_TABLE: Final[Mapping[str, pl.DataType]] = {
    "source": pl.UInt32(),  # code of the source that wrote all of a unit; 0 is any, _OTHERS one that has no group
    "hour": pl.Int8(),  # of the day in UTC, in which a unit starts; -1 is any
    "parent": pl.UInt32(),  # the group around
    "units": pl.Float64(),
}


@dataclass(frozen=True)
class Groups:
    """Which groups of units there are: by source, and within these by hour of the day.

    Group 0 is all units. A unit belongs to the smallest group that it fits.

    Attributes:
        table: a row for each further group, from group 1 on.
        by_source: whether units are told apart by source.
    """

    table: pl.DataFrame
    by_source: bool

    @classmethod
    def find(cls, units: pl.DataFrame, weight: Floats) -> Self | None:
        """Return the groups that have enough units, None where there are none.

        Args:
            units: SEQUENCES, n of them; ``sources`` (lists of codes, 0 is unknown) and ``start`` are looked at.
            weight: how many units each stands for, shape (n,).
        """
        source = _sources(units)
        alone = float(np.average(source > 0, weights=weight)) if len(weight) else 0.0
        by_source = alone >= LEAST_ALONE and len(np.unique(source[source > 0])) > 1
        told = pl.DataFrame({"source": source if by_source else np.zeros_like(source), "hour": _hours(units),
                             "weight": weight}).with_columns(_days(units))  # fmt: skip
        count = (pl.col("weight").sum().alias("units"), pl.col("day").n_unique().alias("days"))
        wide = told.filter(pl.col("source") > 0).group_by("source").agg(*count).with_columns(hour=pl.lit(-1))
        fine = told.filter((pl.col("hour") >= 0) & ((pl.col("source") > 0) == by_source))
        fine = fine.group_by("source", "hour").agg(*count).filter(pl.col("days") >= LEAST_DAYS)
        columns = ("source", pl.col("hour").cast(pl.Int64), "units")
        found = pl.concat([part.select(columns) for part in (wide, fine)]).filter(pl.col("units") >= LEAST)
        # No group is larger than the one around it, so that what is kept of it is kept with that.
        found = found.sort("units", "hour", "source", descending=[True, False, False]).head(MOST - 1)
        rest = (
            float(told.filter(~pl.col("source").is_in(found["source"].implode()))["weight"].sum()) if by_source else 0.0
        )
        if rest >= LEAST:
            others = {"source": _OTHERS, "hour": -1, "units": rest}
            found = pl.concat([found, pl.DataFrame(others, schema=found.schema)])
        if found.height == 0:
            return None
        at = {source: i + 1 for i, (source, hour) in enumerate(found.select("source", "hour").rows()) if hour < 0}
        parent = [at.get(source, 0) if hour >= 0 else 0 for source, hour in found.select("source", "hour").rows()]
        table = found.with_columns(parent=pl.Series(parent))
        return cls(table.select(pl.col(name).cast(kind) for name, kind in _TABLE.items()), by_source)

    def of(self, units: pl.DataFrame) -> Ints:
        """Return the group of each unit, shape (n,)."""
        source = _sources(units) if self.by_source else np.zeros(units.height, dtype=np.int64)
        hour = _hours(units)
        index = {row: i + 1 for i, row in enumerate(self.table.select("source", "hour").rows())}
        kinds, which = np.unique(np.stack([source, hour], axis=1), axis=0, return_inverse=True)
        rest = index.get((_OTHERS, -1), 0)
        found = [index.get((s, h), index.get((s, -1), rest)) for s, h in kinds.tolist()]
        return np.array(found, dtype=np.int64)[which.ravel()]

    def names(self, sources: Sequence[str | None]) -> list[str]:
        """Return what the groups are called, the first included; no two alike.

        Args:
            sources: names by code.
        """
        out = {"all": None}
        for source, hour in self.table.select("source", "hour").rows():
            parts = ["other sources"] if source == _OTHERS else [str(sources[source])] if source else []
            name = ", ".join(parts + ([f"{hour:02}:00 UTC"] if hour >= 0 else []))
            while name in out:
                name += "'"
            out[name] = None
        return list(out)

    def around(self, group: int) -> Iterator[int]:
        """Yield the groups that a group lies in, from the widest but all units to itself."""
        if group:
            yield from self.around(int(self.table["parent"][group - 1]))
            yield group


def _sources(units: pl.DataFrame) -> Ints:
    """Return the code of the source that wrote all of a unit, shape (n,); 0 where there are several, or none known."""
    if "sources" not in units.columns:
        return np.zeros(units.height, dtype=np.int64)
    low, high = pl.col("sources").list.min(), pl.col("sources").list.max()
    alone = pl.when(low == high).then(low).otherwise(0).fill_null(0).cast(pl.Int64)
    return units.select(alone.alias("sources"))["sources"].to_numpy()


def _hours(units: pl.DataFrame) -> Ints:
    """Return the hour of the day in UTC in which a unit starts, shape (n,); -1 where it has no time."""
    if "start" not in units.columns:
        return np.full(units.height, -1, dtype=np.int64)
    return units["start"].dt.hour().cast(pl.Int64).fill_null(-1).to_numpy()


def _days(units: pl.DataFrame) -> pl.Series:
    start = units["start"] if "start" in units.columns else pl.repeat(None, units.height, dtype=pl.Date, eager=True)
    return start.cast(pl.Date).alias("day")


@dataclass(frozen=True)
class ByGroup:
    """A map from surprise in the whole log to surprise in a unit's group, strictly increasing for each group.

    The p-value of a score that ``k`` of a group's ``n`` units reach is ``(k + c) / (n + c / p)``, with ``p`` that of
    the group around it and ``c`` AROUND. It is the mean, given what was seen, of a rate that is thought to be that
    around, give or take, before any unit of the group is seen (gamma prior worth ``c`` such units, Poisson counts; as
    disease rates of small districts are smoothed: Clayton and Kaldor, Biometrics 1987). Where many units of the group
    score as much it is the conformal p-value of the group; where none is expected to, that of the group around.

    Attributes:
        groups: what they are.
        own: by group, the calibration of surprise in the whole log among its units.
    """

    groups: Groups
    own: Mapping[int, Calibration]

    @classmethod
    def fit(cls, groups: Groups, surprise: Floats, weight: Floats, group: Ints) -> Self:
        """Learn from the surprise of units in the whole log, shape (n,), each standing for ``weight`` of ``group``."""
        own = {}
        for one in range(1, groups.table.height + 1):
            mine = np.isin(group, _within(groups, one))
            if mine.any():
                own[one] = _thinned(Calibration.fit(surprise[mine], weight[mine], in_nats=True))
        return cls(groups, own)

    def __call__(self, surprise: Floats, group: Ints) -> Floats:
        """Return the surprise of units in their groups, shape (n,), in nats, 0 or more, unclipped."""
        out = np.array(surprise, dtype=np.float64)
        for one in np.unique(group[group > 0]).tolist():
            mine = group == one
            whole = surprise[mine]
            found = whole
            for at in self.groups.around(one):
                if at in self.own:
                    n, reached = self.own[at].units, _reached(self.own[at], whole)
                    # By logarithms: surprise is not clipped, so exp would be nought.
                    found = np.logaddexp(np.log(n), np.log(AROUND) + found) - np.log(reached + AROUND)
            out[mine] = found
        return np.maximum(out, 0.0)

    def to_frame(self) -> pl.DataFrame:
        """Return the curves and what is beside them, a row a point."""
        parts = [
            c.to_frame().with_columns(group=pl.lit(one, pl.UInt32), units=pl.lit(c.units))
            for one, c in self.own.items()
        ]
        return pl.concat(parts)

    @classmethod
    def restore(cls, groups: Groups, frame: pl.DataFrame) -> Self:
        """Take up what ``to_frame`` returned."""
        own = {}
        for (one,), part in frame.group_by("group", maintain_order=True):
            values: dict[str, Any] = {"slope": 1.0, "units": part["units"][0], "slack": 0.0}
            own[int(one)] = Calibration.restore(part, values)
        return cls(groups, own)


def _reached(own: Calibration, surprise: Floats) -> Floats:
    """Return how many of a group's units are as surprising in the whole log, shape (n,)."""
    inside = np.interp(surprise, own.knots, own.surprise)
    return np.where(surprise > own.knots[-1], 0.0, np.maximum((own.units + 1) * np.exp(-inside) - 1, 0.0))


def parse_calibrate(text: str) -> str:
    """Return ``groups`` or ``pooled``; raises OptionError where it is neither."""
    if text not in ("groups", "pooled"):
        raise OptionError(f"{text!r} is no way to calibrate", where="--calibrate", hint="groups or pooled")
    return text


def _within(groups: Groups, one: int) -> list[int]:
    """Return a group and those within it."""
    parent = groups.table["parent"].to_numpy()
    return [one, *(np.flatnonzero(parent == one) + 1).tolist()]


def _thinned(whole: Calibration) -> Calibration:
    """Return a calibration with few points, at about even steps of surprise; the first and the last are kept."""
    if len(whole.knots) <= _KNOTS:
        return whole
    wanted = np.linspace(whole.surprise[0], whole.surprise[-1], _KNOTS)
    at = np.unique([0, *np.searchsorted(whole.surprise, wanted).clip(0, len(whole.knots) - 1).tolist()])
    return Calibration(whole.knots[at], whole.surprise[at], whole.slope, whole.units, whole.slack)
