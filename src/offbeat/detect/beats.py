"""Beats that stop: lines that come so steadily that a pause says somebody fell silent.

The pauses between lines of a template and source, of a source, and of the log are counted on a logarithmic scale. A
pause is judged by how far it lies beyond the longest twentieth of its series, in the mean excess of these (a Pareto
tail; Pickands, 1975): of a heartbeat every minute three that are missing stand out, of requests that come by chance, or
not at night, only a far longer pause does. So a silence is seen that is shorter than any bucket of counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.detect.overlaps import overlapping
from offbeat.detect.ragged import Ints
from offbeat.schema import TIME

#: What ``Beats.alarms`` returns, one row a silence.
SILENCES: Final = {
    "template": pl.UInt32(),  # null: all lines of the source
    "source": pl.UInt32(),  # null: all lines of the log
    "start": TIME,  # of the last line before
    "end": TIME,  # of the first line after
    "usual": pl.Float64(),  # the mean pause, in seconds
    "longest": pl.Float64(),  # 19 of 20 pauses are no longer, in seconds
    "score": pl.Float64(),  # -ln of how many pauses so long are expected in this series
    "also": pl.UInt32(),  # further series that were silent then
    "sources": pl.List(pl.UInt32),  # of it and these, strangest first
    "templates": pl.List(pl.UInt32),
    "places": pl.List(pl.UInt64),  # of the line before and the line after: file << 40 | line
}

#: So many new events are measured at a time, at least, and so many series are kept at most: those that came first.
_WAITING, _MOST_SERIES = 100_000, 20_000
#: Steps of the scale in a factor of e, and the least pause, in microseconds.
_STEPS, _SHORTEST = 20, 1_000
#: More steps than the longest time that can be written takes, and cells that are added up rather than sorted.
_MOST_STEPS, _MOST_CELLS = 1_024, 4_000_000
#: Pauses that are kept of each series: the longest.
_LONGEST: Final = 5
#: A series with fewer pauses has no beat.
_LEAST: Final = 30
#: The tail: the longest pauses, this share of them, or so many where that is more, up to half, for the scale of a
#: handful may be anything; its mean excess is at least so much (logarithms).
_TAIL, _LEAST_TAIL, _LEAST_SCALE = 0.05, 20.0, 0.05
#: So many lines are missing in a silence, at least.
_MISSED: Final = 3.0
#: What comes steadily has a tail that begins at no more than so many times the mean pause. Of all lines of a source or
#: of the log that may be as in a Poisson process, where it begins at three times.
_STEADY, _BY_CHANCE = 2.0, 3.5
#: A silence is at most so many times as long as all other pauses together: after minutes of lines in a row, a day
#: without them is no beat that stops, but a burst that is over.
_MOST_TIMES: Final = 4.0
#: Who pauses so more often does so as a habit.
_MOST_SILENCES: Final = 2


#: A pause: how long, when the line before it came and its place, and the same of the line after.
_Pause = tuple[int, int, int, int, int]


@dataclass
class _Series:
    """What is kept of a series: its last line, the sum of its pauses, and the longest ones."""

    at: int
    place: int
    total: int = 0
    longest: list[_Pause] = field(default_factory=list)

    def take(self, pauses: list[_Pause]) -> None:
        """Take up pauses that may be among the longest."""
        self.longest = sorted([*self.longest, *pauses], key=lambda p: (-p[0], p[3], p[4]))[:_LONGEST]


class Beats:
    """Measures pauses while events stream by, in the order of time, and says which are silences.

    Its memory is bounded. The result does not depend on how the input was cut.
    """

    def __init__(self) -> None:
        self._fresh: list[pl.DataFrame] = []
        self._waiting = 0
        #: By template and source; -1 for all of them.
        self._series: dict[tuple[int, int], _Series] = {}
        self._counts = pl.DataFrame(schema={"lane": pl.Int64, "source": pl.Int64, "step": pl.Int64, "n": pl.Int64})
        self._name: Callable[[pl.Series], pl.Series] | None = None

    def add(self, events: pl.DataFrame) -> None:
        """Take up events.

        Args:
            events: ``template`` and ``source`` (UInt32), ``timestamp``, ``file``, ``line``. Rows without a time are
                passed over.
        """
        rows = events.filter(pl.col("timestamp").is_not_null()).select(
            lane=pl.col("template").cast(pl.Int64),
            source=pl.col("source").fill_null(0).cast(pl.Int64),
            at=pl.col("timestamp").dt.epoch("us"),
            place=pl.col("file").cast(pl.Int64) * 2**40 + pl.col("line"),
        )
        if rows.height:
            self._fresh.append(rows)
            self._waiting += rows.height
        if self._waiting >= _WAITING:
            self._settle()

    def _settle(self) -> None:
        """Measure the pauses of all that was added."""
        if not self._fresh:
            return
        rows, self._fresh, self._waiting = pl.concat(self._fresh), [], 0
        lane, source, at, place = (rows[name].to_numpy() for name in ("lane", "source", "at", "place"))
        none = np.full(len(at), -1)
        pairs = ((lane, source), (none, source), (none, none))
        counted = [self._measure(lanes, sources, at, place) for lanes, sources in pairs]
        both = pl.concat([self._counts, *counted])
        self._counts = both.group_by("lane", "source", "step").agg(pl.col("n").sum())

    def _measure(self, lane: Ints, source: Ints, at: Ints, place: Ints) -> pl.DataFrame:
        """Measure the pauses of series; return how many there are of each step, as ``_counts``."""
        width = int(source.max()) + 2
        key = (lane + 1) * width + source + 1
        most = int(key.max())
        if most > int(key.min()):
            # Numbers of 16 bits are sorted by counting.
            order = np.argsort(key.astype(np.uint16) if most < 2**16 else key, kind="stable")
            key, at, place = key[order], at[order], place[order]
        else:
            at = at.copy()
        first = np.flatnonzero(np.diff(key, prepend=-1))
        last = np.append(first[1:], len(key)) - 1
        group = np.repeat(np.arange(len(first)), last - first + 1)
        names = [(int(k) // width - 1, int(k) % width - 1) for k in key[first]]
        known = [self._series.get(name) for name in names]
        # A line that comes late is no pause: time goes on with the latest of its series.
        begun = np.array([one.at if one else int(at[i]) for one, i in zip(known, first, strict=True)])
        at[first] = np.maximum(at[first], begun)
        apart = (int(at.max()) - int(at.min()) + 1) * group
        at = np.maximum.accumulate(at + apart) - apart
        before, behind = np.roll(at, 1), np.roll(place, 1)
        before[first] = begun
        behind[first] = [one.place if one else 0 for one in known]
        pause = at - before
        new = np.zeros(len(at), dtype=np.bool_)
        new[first] = [one is None for one in known]
        for i, name in enumerate(names):
            one = known[i]
            if one is None:
                if len(self._series) >= _MOST_SERIES:
                    new[first[i] : last[i] + 1] = True
                    continue
                one = self._series[name] = _Series(int(at[first[i]]), int(place[first[i]]))
            part = slice(int(first[i]) + (known[i] is None), int(last[i]) + 1)
            one.at, one.place, one.total = int(at[last[i]]), int(place[last[i]]), one.total + int(pause[part].sum())
            # Of equal ones the first counts, so later ones must be longer than the shortest of those kept.
            long = np.flatnonzero(pause[part] > (one.longest[-1][0] if len(one.longest) == _LONGEST else -1))
            long = long[np.argsort(-pause[part][long], kind="stable")[:_LONGEST]] + part.start
            one.take([(int(pause[j]), int(before[j]), int(behind[j]), int(at[j]), int(place[j])) for j in long])
        step = np.floor(np.log(np.maximum(pause, _SHORTEST)) * _STEPS).astype(np.int64)
        cell, n = _counted((group * _MOST_STEPS + step)[~new], len(names) * _MOST_STEPS)
        lanes, sources = (np.array([name[i] for name in names], dtype=np.int64)[cell // _MOST_STEPS] for i in (0, 1))
        return pl.DataFrame({"lane": lanes, "source": sources, "step": cell % _MOST_STEPS, "n": n})

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes. Those that become the same are judged apart still: each has a beat of its own."""
        self._settle()
        self._name = code

    def alarms(self, least: float = 0.0) -> pl.DataFrame:
        """Return the silences, strangest first: the columns of SILENCES. Those that overlap in time are one.

        Args:
            least: score above which a pause is a silence: ``-ln`` of how many such ones are expected in a series.
        """
        self._settle()
        found: list[_Silence] = []
        steps = self._counts.sort("lane", "source", "step").partition_by("lane", "source", as_dict=True)
        for (lane, source), cells in steps.items():
            series = self._series[lane, source]
            mine = list(_silences(lane, source, series, cells["step"].to_numpy(), cells["n"].to_numpy(), least))
            # Who pauses so more often does so as a habit.
            if len(mine) <= _MOST_SILENCES:
                found += mine
        lanes = pl.Series([one.lane for one in found if one.lane >= 0], dtype=pl.UInt32)
        names = self._name(lanes) if self._name is not None and len(lanes) else lanes
        told = dict(zip(lanes.to_list(), names.to_list(), strict=True))
        return pl.DataFrame(
            [_told(group, told) for group in overlapping(found, _span, _rank)], schema=SILENCES, orient="row"
        )


@dataclass(frozen=True)
class _Silence:
    """A pause of a series that is far too long; ``usual`` and ``longest`` as in SILENCES."""

    lane: int
    source: int
    pause: _Pause
    usual: float
    longest: float
    score: float


def _counted(codes: Ints, upto: int) -> tuple[Ints, Ints]:
    """Return which codes there are, in order, and how often each; adding up is quicker than sorting."""
    if upto > _MOST_CELLS:
        cell, n = np.unique(codes, return_counts=True)
        return cell, n
    count = np.bincount(codes, minlength=1)
    cell = np.flatnonzero(count)
    return cell, count[cell].astype(np.int64)


def _silences(lane: int, source: int, series: _Series, step: Ints, n: Ints, least: float) -> Iterator[_Silence]:
    """Yield the silences of a series.

    Args:
        lane: its template, -1 for all.
        source: its source, -1 for all.
        series: its longest pauses.
        step: of its pauses, in order.
        n: how many there are of each step.
        least: score above which a pause is a silence.
    """
    many = int(n.sum())
    if many < _LEAST:
        return
    below = np.cumsum(n)
    longest = math.exp((int(step[np.searchsorted(below, (1 - _TAIL) * many)]) + 1) / _STEPS)
    # Pauses as long as where the tail begins are in it, with no excess.
    tail = max(_TAIL * many, min(_LEAST_TAIL, many / 2))
    line = int(step[np.searchsorted(below, many - tail)])
    excess = float((n * np.maximum(step - line, 0)).sum()) / _STEPS
    for pause in series.longest:
        usual = (series.total - pause[0]) / (many - 1)
        far = math.log(max(pause[0], _SHORTEST)) - (line + 1) / _STEPS
        steady = 0.95 * usual <= longest <= (_STEADY if lane >= 0 else _BY_CHANCE) * usual
        if far <= 0 or not steady or pause[0] < _MISSED * usual or pause[0] <= longest:
            continue
        if pause[0] > _MOST_TIMES * (series.total - pause[0]):
            continue
        # The mean excess of the others of the tail: the pause must not set the scale it is judged by.
        scale = max((excess - far) / max(tail - 1, 1.0), _LEAST_SCALE)
        score = far / scale - math.log(tail)
        if score > least:
            yield _Silence(lane, source, pause, usual / 1e6, longest / 1e6, score)


def _span(one: _Silence) -> tuple[int, int]:
    return one.pause[1], one.pause[3]


def _rank(one: _Silence) -> tuple[Any, ...]:
    return -one.score, one.pause[1], one.lane, one.source


def _told(group: Sequence[_Silence], names: Mapping[int, int]) -> dict[str, Any]:
    """Return a row of SILENCES for pauses that overlap, strangest first."""
    one = group[0]
    _, start, behind, end, place = one.pause
    return {
        "template": names.get(one.lane),
        "source": one.source if one.source >= 0 else None,
        "start": start,
        "end": end,
        "usual": one.usual,
        "longest": one.longest,
        "score": one.score,
        "also": len(group) - 1,
        "sources": list(dict.fromkeys(each.source for each in group if each.source >= 0)),
        "templates": list(dict.fromkeys(names[each.lane] for each in group if each.lane >= 0)),
        "places": [behind, place],
    }
