"""Numbers of one template and source that are off for a while: a heap that fills up, a service that answers late.

A single number may be large by chance; a dozen in a row are not. Each number is compared with what is usual around it,
in spreads of its own series, and runs are found by cumulated sums (Page, 1954). A run is judged against the other runs
of the same series, so no model is needed, and lines that belong to no session are judged like all others. What all
sources of a template do at the same time comes with the load, and is nobody's shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.detect.means import Means
from offbeat.detect.overlaps import overlapping
from offbeat.detect.ragged import Floats, Ints
from offbeat.detect.values import small_sizes
from offbeat.schema import TIME

#: What ``Shifts.alarms`` returns, one row a shift.
SHIFTS: Final = {
    "template": pl.UInt32(),
    "source": pl.UInt32(),
    "what": pl.String(),  # the event column that holds the number: value or usage
    "start": TIME,
    "end": TIME,
    "events": pl.UInt32(),  # numbers in the run
    "seen": pl.Float64(),  # their median
    "usual": pl.Float64(),  # the median of what is usual around them
    "score": pl.Float64(),  # -ln of how many such runs are expected in this series
    "also": pl.UInt32(),  # further series that were off at that time
    "templates": pl.List(pl.UInt32),  # of it and these, strangest first
    "sources": pl.List(pl.UInt32),
    "places": pl.List(pl.UInt64),  # the run's strangest events, the strangest first: file << 40 | line
}

#: Event columns with numbers that are looked at.
_COLUMNS: Final = ("value", "usage")
_SERIES: Final = ("what", "template", "source")
#: Numbers kept at most; beyond, means of two neighbours are kept, then of four, and so on.
_MOST_CELLS: Final = 200_000
#: So many new numbers are merged at a time, at least.
_WAITING: Final = 50_000
#: A series with fewer numbers has no habits. Of more series than the second the longest are judged.
_LEAST, _MOST_SERIES = 60, 400
#: What is usual at a number is told by so many blocks around its own, of a sixtieth of the series each: a straight line
#: through their medians, for loads rise and fall.
_BLOCKS, _LEAST_BLOCK, _AROUND = 60, 10, 8
#: The least spread of a series, on the scale of the numbers: about a twentieth of them.
_LEAST_SPREAD: Final = 0.05
#: A number counts for at most so many spreads, and this is taken off for each: smaller shifts are not looked for.
_MOST_SPREADS, _ALLOWED = 4.0, 1.0
#: A shift has at least so many numbers, is so many spreads off on the mean, and no longer than this share of the log:
#: what goes on longer is a habit.
_LEAST_RUN, _LEAST_MEAN, _LONGEST = 3, 1.5, 0.05
#: It is a fifth more than usual, or a third less (logarithms): what is quicker or needs less seldom is trouble.
_LEAST_RISE, _LEAST_FALL = 0.2, 0.4
#: The least size of a shift, and of what other runs are taken to be, in nats.
_LEAST_SIZE, _LEAST_USUAL = 12.0, 0.7
#: One usual run of this size stands for those that have not come yet.
_PRIOR: Final = 3.0
#: Where two or more other sources of the template are off by half as much on the median, it is no shift of one.
_PEERS, _SHARED = 2, 0.5
#: Where more than two sources are off while so many times the usual numbers are written, it is the load.
_LOADED: Final = 1.4
#: Events of a run that are named.
_PLACES: Final = 8


class Shifts:
    """Gathers numbers while events stream by, in the order of time, and says where they are off for a while.

    Its memory is bounded. The result does not depend on how the input was cut.

    Args:
        most: numbers kept at most, 36 bytes each.
    """

    def __init__(self, most: int = _MOST_CELLS) -> None:
        self.most = most
        self._means = Means(most)
        self._fresh: list[pl.DataFrame] = []
        self._waiting = 0
        self._name: Callable[[pl.Series], pl.Series] | None = None

    def add(self, events: pl.DataFrame) -> None:
        """Take up events.

        Args:
            events: ``template`` and ``source`` (UInt32), ``timestamp``, ``file``, ``line``, and numbers in ``value``
                and ``usage``, where there are any. Rows without a time are passed over.
        """
        numbers = [c for c in _COLUMNS if c in events.columns]
        place = pl.col("file").cast(pl.UInt64) * 2**40 + pl.col("line")
        for name in numbers:
            number = pl.col(name).cast(pl.Float64)
            rows = events.filter(number.is_finite() & pl.col("timestamp").is_not_null()).select(
                what=pl.lit(_COLUMNS.index(name), pl.UInt8),
                lane="template",
                source=pl.col("source").fill_null(0),
                at=pl.col("timestamp").dt.epoch("us"),
                place=place,
                number=number,
            )
            if rows.height:
                self._fresh.append(rows)
                self._waiting += rows.height
        if self._waiting >= max(_WAITING, self.most // 4):
            self._settle()

    def _settle(self) -> None:
        """Merge in all that was added."""
        if self._fresh:
            rows, self._fresh, self._waiting = pl.concat(self._fresh), [], 0
            self._means.add(rows)

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes; those that become the same are one series."""
        self._settle()
        self._name = code

    def alarms(self, least: float = 0.0) -> pl.DataFrame:
        """Return the shifts, strangest first: the columns of SHIFTS.

        Those that overlap in time are one, told by the strangest series.

        Args:
            least: score above which a run is a shift: ``-ln`` of how many such ones are expected in a series.
        """
        self._settle()
        cells = self._means.frame()
        if not cells.height:
            return pl.DataFrame(schema=SHIFTS)
        lanes = cells["lane"] if self._name is None else self._name(cells["lane"])
        cells = cells.with_columns(lanes.cast(pl.UInt32).alias("template"))
        judged = list(_judged(cells))
        alike: dict[tuple[int, int], list[_Series]] = {}
        for one in judged:
            alike.setdefault((one.what, one.template), []).append(one)
        found = [
            run
            for one in judged
            for run in one.runs(least)
            if not _shared(run, [other for other in alike[one.what, one.template] if other is not one])
        ]
        at = np.sort(cells["at"].to_numpy())
        told = [_told(group) for group in overlapping(found, _span, _rank) if not _under_load(group, at)]
        return pl.DataFrame(told, schema=SHIFTS, orient="row")


@dataclass(frozen=True)
class _Series:
    """Numbers of a template and source in the order of time, all of shape (n,).

    Attributes:
        what: position of the event column.
        at: microseconds since 1970.
        number: as written.
        usual: what is usual around it.
        off: how far it is from that, in spreads, clipped.
        change: the same on the scale of the numbers, about the logarithm of their ratio.
    """

    what: int
    template: int
    source: int
    at: Ints
    place: Ints
    number: Floats
    usual: Floats
    off: Floats
    change: Floats

    def runs(self, least: float) -> Iterator[_Run]:
        """Yield the runs whose score is above ``least``."""
        for sign in (1.0, -1.0):
            first, last, size = _excursions(sign * self.off - _ALLOWED)
            # Cumulated sums of independent normal numbers have exponential peaks, with this rate.
            size = 2 * _ALLOWED * size
            usual = np.maximum((size.sum() - size + _PRIOR) / max(len(size), 1), _LEAST_USUAL)
            score = size / usual - np.log(max(len(size), 1)) - 1
            for i in np.flatnonzero((score > least) & (size >= _LEAST_SIZE)):
                run = _Run(self, slice(int(first[i]), int(last[i]) + 1), sign, float(score[i]))
                if run.counts:
                    yield run


@dataclass(frozen=True)
class _Run:
    """A stretch of a series that is off: upwards where ``sign`` is 1."""

    series: _Series
    within: slice
    sign: float
    score: float

    @property
    def start(self) -> int:
        """When it begins, in microseconds."""
        return int(self.series.at[self.within.start])

    @property
    def end(self) -> int:
        """When it ends, in microseconds."""
        return int(self.series.at[self.within.stop - 1])

    @property
    def mean(self) -> float:
        """How far it is off on the mean, in spreads."""
        return float(self.sign * self.series.off[self.within].mean())

    @property
    def counts(self) -> bool:
        """Whether it is long enough, and no longer, and off by enough to matter."""
        long = self.within.stop - self.within.start >= _LEAST_RUN
        short = self.end - self.start <= _LONGEST * (self.series.at[-1] - self.series.at[0])
        change = self.sign * float(np.median(self.series.change[self.within]))
        least = _LEAST_RISE if self.sign > 0 else _LEAST_FALL
        return bool(long and short and self.mean >= _LEAST_MEAN and change >= least)


def _judged(cells: pl.DataFrame) -> Iterator[_Series]:
    """Yield the series that are long enough, with how far each number is from what is usual around it."""
    cells = cells.filter(pl.len().over(_SERIES) >= _LEAST).sort(*_SERIES, "at", "place")
    if not cells.height:
        return
    number = (cells["number"] / cells["n"]).to_numpy()
    series = cells.select(pl.struct(_SERIES).rle_id().cast(pl.Int64)).to_series().to_numpy()
    known, small = small_sizes(series, number)
    unit = np.ones(int(series[-1]) + 1)
    unit[known] = small
    scaled = np.arcsinh(number / unit[series])
    first = np.flatnonzero(np.diff(series, prepend=-1))
    last = np.append(first[1:], len(series))
    longest = np.argsort(first - last, kind="stable")[:_MOST_SERIES]
    at, place = cells["at"].to_numpy(), cells["place"].to_numpy()
    names = cells.select(_SERIES)[first].rows()
    for i in longest.tolist():
        part = slice(int(first[i]), int(last[i]))
        expected = _expected(scaled[part])
        change = scaled[part] - expected
        change -= np.median(change)
        spread = max(1.4826 * float(np.median(np.abs(change))), _LEAST_SPREAD)
        off = np.clip(change / spread, -_MOST_SPREADS, _MOST_SPREADS)
        usual = np.sinh(scaled[part] - change) * unit[i]
        what, template, source = names[i]
        yield _Series(what, template, source, at[part], place[part], number[part], usual, off, change)


def _expected(x: Floats) -> Floats:
    """Return what is usual at each number, shape (n,), by the medians of the blocks around its own.

    All is usual between their median and a line through them, whose slope is the median of the slopes between them
    (Theil, 1950; Sen, 1968): a block among them may be off itself. Near the ends, where the line goes on beyond the
    blocks, so is all between it and the nearest block.
    """
    blocks = len(x) // max(_LEAST_BLOCK, len(x) // _BLOCKS)
    edges = np.linspace(0, len(x), blocks + 1).astype(np.int64)
    median = np.array([np.median(x[a:b]) for a, b in pairwise(edges)])
    middle = (edges[:-1] + edges[1:]) / 2
    near = min(_AROUND, blocks - 1)
    own = np.arange(blocks)
    low = np.clip(own - near // 2, 0, blocks - 1 - near)
    others = low[:, None] + np.arange(near + 1)
    others = others[others != own[:, None]].reshape(blocks, near)
    i, j = np.triu_indices(near, 1)
    rise, run = (v[others][:, j] - v[others][:, i] for v in (median, middle))
    slope = np.median(rise / run, axis=1)
    level = np.median(median[others] - slope[:, None] * middle[others], axis=1)
    flat = np.median(median[others], axis=1)
    inner = np.clip(own, near // 2, blocks - 1 - near // 2)
    beside = np.where(inner == own, flat, median[own + np.sign(inner - own)])
    of = np.repeat(own, np.diff(edges))
    usual = np.stack([level[of] + slope[of] * np.arange(len(x)), flat[of], beside[of]])
    return np.asarray(np.clip(x, usual.min(axis=0), usual.max(axis=0)), dtype=np.float64)


def _excursions(steps: Floats) -> tuple[Ints, Ints, Floats]:
    """Return where cumulated sums that never fall below zero leave it, where they peak after that, and how high."""
    sums = np.concatenate(([0.0], np.cumsum(steps)))
    height = (sums - np.minimum.accumulate(sums))[1:]
    edge = np.diff(np.concatenate(([0], (height > 0).astype(np.int64), [0])))
    first, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    peak = [a + int(np.argmax(height[a:b])) for a, b in zip(first, end, strict=True)]
    last = np.array(peak, dtype=np.int64)
    return first, last, height[last]


def _shared(run: _Run, others: Sequence[_Series]) -> bool:
    """Whether the other sources of the template were off in the same way at that time."""
    means = []
    for one in others:
        low, high = np.searchsorted(one.at, [run.start, run.end + 1])
        if high - low >= 2:
            means.append(float(run.sign * one.off[low:high].mean()))
    return len(means) >= _PEERS and float(np.median(means)) > _SHARED * run.mean


def _under_load(group: Sequence[_Run], at: Ints) -> bool:
    """Whether several sources are off while there is much more to do than before and after.

    Args:
        group: runs that overlap in time, strangest first.
        at: when any number was written, in order.
    """
    start, end = group[0].start, group[0].end
    long = end - start + 1
    before, now, after = np.diff(np.searchsorted(at, [start - long, start, start + long, start + 2 * long]))
    sources = {run.series.source for run in group}
    return len(sources) > _PEERS and bool(2 * now >= _LOADED * (before + after))


def _span(run: _Run) -> tuple[int, int]:
    return run.start, run.end + 1


def _rank(run: _Run) -> tuple[Any, ...]:
    return -run.score, run.series.what, run.series.template, run.series.source


def _told(group: Sequence[_Run]) -> dict[str, Any]:
    """Return a row of SHIFTS for runs that overlap, strangest first."""
    run, series = group[0], group[0].series
    strangest = np.argsort(-run.sign * series.change[run.within], kind="stable")[:_PLACES]
    return {
        "template": series.template,
        "source": series.source,
        "what": _COLUMNS[series.what],
        "start": run.start,
        "end": run.end,
        "events": run.within.stop - run.within.start,
        "seen": float(np.median(series.number[run.within])),
        "usual": float(np.median(series.usual[run.within])),
        "score": run.score,
        "also": len(group) - 1,
        "templates": list(dict.fromkeys(one.series.template for one in group)),
        "sources": list(dict.fromkeys(one.series.source for one in group)),
        "places": series.place[run.within][strangest].tolist(),
    }
