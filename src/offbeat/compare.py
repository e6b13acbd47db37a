"""compare: what changed between two logs, or two stretches of one: patterns, levels, sources and values of fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from offbeat.change import Change, Kind
from offbeat.courses import Family, Floats, Ints, edges, table
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.mine import Catalog, Miner
from offbeat.rates import Compared, Windows, compare_rates
from offbeat.read import Logs
from offbeat.schema import LEVELS

Progress = Callable[[str], None]
Range = tuple[datetime, datetime]

#: Expected share of false ones among what is told.
FALSE_DISCOVERIES: Final = 0.05
#: Windows that the shorter side is cut into, and the longer one at most.
_WINDOWS, _MOST_WINDOWS = 20, 200
#: Rarer things cannot be told from chance, and would only cost the others.
_LEAST: Final = 10
#: Fields looked at; each costs a pass over its values.
_FIELDS: Final = 60
#: Patterns whose share of the log stays within this factor are what others are measured against.
_STEADY: Final = 1.5
#: A burst has so many times as many lines in one window as any as long a stretch before, and stands out so many times
#: as far as the largest burst of anything before.
_BURST, _UNLIKE = 5, 2
_LEVELS: Final = tuple(LEVELS)


@dataclass(frozen=True)
class Comparison:
    """What changed between two sides, the most telling first.

    Attributes:
        changes: what is significantly different.
        tested: patterns and values looked at.
        lines: of each side.
        spans: first and last time of each side; None where its lines have no times.
        outside: lines in neither of two ranges.
        left_out: fields with too many different values, or beyond those looked at.
        catalog: templates of both sides together.
    """

    changes: list[Change]
    tested: int
    lines: tuple[int, int]
    spans: tuple[Range | None, Range | None]
    outside: int
    left_out: list[str]
    catalog: Catalog


def compare(
    before: Logs,
    after: Logs | None = None,
    *,
    ranges: tuple[Range, Range] | None = None,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Say what changed between two logs, or between two ranges of time of one.

    Memory does not grow with the logs. Rates are compared over windows, see ``rates``; of what is told, 5 % are false
    on average (Benjamini and Hochberg, 1995).

    Args:
        before: the baseline; with ``ranges`` the only log.
        after: the other log.
        ranges: (from, to) of the baseline and of what is compared with it; ``to`` is exclusive.
        progress: called with a few words on what is being done.

    Raises:
        OptionError: neither or both of ``after`` and ``ranges`` are given.
        NotEnoughDataError: a side has fewer than 20 lines.
    """
    if (after is None) == (ranges is None):
        hint = "a second log, or --before and --after with two ranges of time"
        raise OptionError("there are not two sides to compare", where="compare", hint=hint)
    logs = [before] if after is None else [before, after]
    sides = _Sides(logs, ranges)
    for i, log in enumerate(logs):
        sides.read(i, log, progress)
    for side, name in enumerate(("the baseline", "what is compared with it")):
        if sides.lines[side] < _WINDOWS:
            hint = f"{_WINDOWS} lines at least"
            raise NotEnoughDataError(f"{sides.lines[side]:,} lines are too few", where=name, hint=hint)
    return sides.compared()


class _Sides:
    """What is counted of both sides while lines stream by."""

    def __init__(self, logs: list[Logs], ranges: tuple[Range, Range] | None) -> None:
        kinds = {name: kind for log in logs for sniffed in log.sniffed for name, kind in sniffed.fields.items()}
        chosen = sorted(kinds, key=lambda name: kinds[name] != "category")[:_FIELDS]
        self.fields = [name for name in kinds if name in chosen]
        self._unread = [name for name in kinds if name not in chosen]
        self._logs, self._ranges = logs, ranges
        self._miner = Miner()
        self._all, self._templates = Family(), Family()
        self._levels, self._sources = Family(), Family()
        self._values = {name: Family() for name in self.fields}
        self.lines, self.outside = [0, 0], 0
        self._spans: list[list[datetime]] = [[], []]
        self._timed: list[bool | None] = [None, None]

    def read(self, i: int, log: Logs, progress: Progress) -> None:
        """Count the lines of one log."""

        def prepare(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.with_columns(Miner.shapes(frame["message"]).alias("shape")).drop("message")

        columns = ["file", "line", "timestamp", "level", "source", "message"]
        seen = 0
        for frame in log.batches(columns, self.fields, then=prepare):
            seen += frame.height
            if self._ranges is None:
                self._count(i, frame)
            else:
                for side, (low, high) in enumerate(self._ranges):
                    time = pl.col("timestamp")
                    self._count(side, frame.filter((time >= low) & (time < high)))
                self.outside = seen - sum(self.lines)
            progress(f"reading: {sum(self.lines):,} lines")

    def _count(self, side: int, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        if self._timed[side] is None:
            self._timed[side] = frame["timestamp"].null_count() < frame.height
        times = frame["timestamp"].drop_nulls()
        if len(times):
            self._spans[side] += times.to_frame("at").select(first=pl.min("at"), last=pl.max("at")).row(0)
            self._spans[side] = [min(self._spans[side]), max(self._spans[side])]
        first = self.lines[side]
        order = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True)
        at = frame["timestamp"].dt.epoch("us") if self._timed[side] else order
        place = frame.select(pl.col("file").cast(pl.UInt64) * 2**40 + pl.col("line")).to_series()
        self._all.add(side, at, pl.repeat(0, frame.height, dtype=pl.UInt32, eager=True), place)
        self._templates.add(side, at, self._miner.encode(frame["shape"]), place)
        self._levels.add(side, at, frame["level"].cast(pl.UInt32), place)
        self._sources.add(side, at, frame["source"], place)
        for name, family in self._values.items():
            family.add(side, at, frame[f"fields.{name}"], place)
        self.lines[side] += frame.height

    def compared(self) -> Comparison:
        """Compare what was counted."""
        catalog = self._miner.learn()
        self._templates.rename(self._miner.templates)
        cuts = _Cuts([self._all.cells(side) for side in (0, 1)])
        full = [name for name, family in self._values.items() if family.full or family.measured]
        families: list[tuple[Kind, str, Family]] = [("template", "template", self._templates)]
        families += [("level", "level", self._levels), ("source", "source", self._sources)]
        families += [("field", name, family) for name, family in self._values.items() if name not in full]
        things = [thing for kind, name, family in families for thing in _things(kind, name, family, cuts)]
        cuts.steady([thing for thing in things if thing.kind == "template"])
        things = [thing for thing in things if thing.total >= _LEAST]
        found = cuts.compare(things)
        changes = self._changes(things, found, catalog, cuts) if things else []
        spans = tuple((s[0], s[1]) if s else None for s in self._spans)
        return Comparison(
            changes=changes, tested=len(things), lines=(self.lines[0], self.lines[1]),
            spans=(spans[0], spans[1]), outside=self.outside, left_out=[*full, *self._unread], catalog=catalog,
        )  # fmt: skip

    def _changes(self, things: list[_Thing], found: Compared, catalog: Catalog, cuts: _Cuts) -> list[Change]:
        """Return what is significant, the largest surely different ratio first, then bursts; the same lines once."""
        low, high = np.log(found.low), np.log(found.high)
        sure = np.where(low > 0, low, np.where(high < 0, -high, 0.0))
        order = np.lexsort((found.p_value, -sure)).tolist()
        told = (found.q_value <= FALSE_DISCOVERIES) & (sure > 0)
        most = np.array([[counts.max(initial=0.0) for counts in thing.counts] for thing in things])
        least = np.maximum(most[:, 0] * max(1.0, cuts.width(1) / cuts.width(0)), 1.0)
        burst = ~told & (most[:, 1] >= np.maximum(_BURST * least, _LEAST))
        # Bursts come in any log: this one is unlike those of anything before.
        mean = np.array([[counts.mean() for counts in thing.counts] for thing in things])
        excess = (most - mean) / np.sqrt(mean + 1)
        burst &= excess[:, 1] > _UNLIKE * excess[:, 0].max(initial=0.0)
        ranked = [i for i in order if told[i]]
        ranked += sorted(np.flatnonzero(burst).tolist(), key=lambda i: -most[i, 1] / least[i])
        first: dict[bytes, int] = {}
        also: dict[int, list[int]] = {}
        # Templates come first among equals: they say most.
        for i in sorted(ranked, key=lambda i: ("template", "field", "source", "level").index(things[i].kind)):
            head = first.setdefault(things[i].same, int(i))
            if head != i:
                also.setdefault(head, []).append(int(i))
        heads = set(first.values())
        kept = [int(i) for i in ranked if int(i) in heads]
        texts = list(self._examples([things[i].example(bool(low[i] > 0 or burst[i])) for i in kept]))
        out = []
        for i, (file, line, text) in zip(kept, texts, strict=True):
            # A field that holds the message itself says nothing more.
            text_of = catalog.texts[things[i].code] if things[i].kind == "template" else None
            others = {self._label(things[k], catalog) for k in also.get(i, ()) if things[k].value != text_of}
            others.discard(self._label(things[i], catalog))
            change = self._change(things[i], found, i, catalog, sorted(others))
            change = replace(change, file=file, line=line, example=text, most_before=int(most[i, 0]))
            change = replace(change, most_after=int(most[i, 1]))
            out.append(replace(change, change="burst") if burst[i] else change)
        return out

    def _label(self, thing: _Thing, catalog: Catalog) -> str:
        return catalog.texts[thing.code] if thing.kind == "template" else f"{thing.name}={thing.value}"

    def _change(self, thing: _Thing, found: Compared, i: int, catalog: Catalog, also: list[str]) -> Change:
        before, after = (int(counts.sum()) for counts in thing.counts)
        template = thing.kind == "template"
        up = bool(found.low[i] > 1)
        return Change(
            change=("more" if before else "new") if up else ("less" if after else "gone"),
            kind=thing.kind,
            name=catalog.ids[thing.code] if template else thing.name,
            value=catalog.texts[thing.code] if template else thing.value,
            count_before=before,
            count_after=after,
            share_before=before / self.lines[0],
            share_after=after / self.lines[1],
            ratio=float(found.ratio[i]) if before else None,
            ratio_low=float(found.low[i]),
            ratio_high=float(found.high[i]),
            p_value=float(found.p_value[i]),
            q_value=float(found.q_value[i]),
            most_before=0,
            most_after=0,
            file="",
            line=0,
            example="",
            also=also,
        )

    def _examples(self, places: list[tuple[int, int]]) -> Iterator[tuple[str, int, str]]:
        """Yield the file, line and text of places on sides."""
        refs: dict[int, set[tuple[int, int, int]]] = {}
        for side, place in places:
            refs.setdefault(side % len(self._logs), set()).add((place >> 40, place & (2**40 - 1), 1))
        texts = {log: self._logs[log].text(sorted(some)) for log, some in refs.items()}
        for side, place in places:
            log, at = side % len(self._logs), (place >> 40, place & (2**40 - 1))
            found = texts[log].get(at)  # a file may have been cut since
            yield self._logs[log].files[at[0]], at[1], found.text if found else ""


@dataclass
class _Thing:
    """A template or value with its counts over each side's windows and blocks."""

    kind: Kind
    name: str
    value: str
    code: int
    counts: tuple[Floats, Floats]
    blocks: Floats | None
    places: tuple[int | None, int | None]

    @property
    def total(self) -> float:
        return float(self.counts[0].sum() + self.counts[1].sum())

    @property
    def same(self) -> bytes:
        """Equal for things of the very same windows, which are hardly ever of different lines."""
        return self.counts[0].tobytes() + self.counts[1].tobytes()

    def example(self, after: bool) -> tuple[int, int]:
        """Return side and place of its first line: afterwards or before, or where there is one."""
        side = int(after) if self.places[int(after)] is not None else 1 - int(after)
        return side, self.places[side] or 0


class _Cuts:
    """How both sides are cut into windows, and the longer one into blocks as long as the other."""

    def __init__(self, lines: list[pl.DataFrame]) -> None:
        courses = [(c["at"].to_numpy(), c["count"].to_numpy().astype(np.int64)) for c in lines]
        lengths = [float(at[-1] - at[0] + 1) for at, _ in courses]
        long = int(lengths[1] > lengths[0])
        times = lengths[long] / lengths[1 - long]
        sizes = [_WINDOWS, _WINDOWS]
        sizes[long] = int(np.clip(times, _WINDOWS, _MOST_WINDOWS))
        self.bounds: list[Ints] = [edges(at, n, k) for (at, n), k in zip(courses, sizes, strict=True)]
        self.long = long
        blocks = min(int(times), _MOST_WINDOWS)
        self.block_bounds = edges(*courses[long], blocks) if blocks > 1 else None
        zero = np.zeros(1, dtype=np.int64)
        self.exposure = [table(c, zero, bounds)[0] for c, bounds in zip(lines, self.bounds, strict=True)]
        self.block_exposure = None if self.block_bounds is None else table(lines[long], zero, self.block_bounds)[0]

    def width(self, side: int) -> float:
        """Return the usual width of a side's windows, in microseconds or lines; at least one, be all times the same."""
        return max(1.0, float(np.median(np.diff(self.bounds[side]))))

    def steady(self, templates: list[_Thing]) -> None:
        """Measure others against the templates that keep their proportions, where those make up enough.

        A storm of one template makes all others a smaller share of the log without anything being amiss with them
        (as with size factors in gene expression: Anders and Huber, 2010).
        """
        if not templates:
            return
        counts = np.array([[c.sum() for c in thing.counts] for thing in templates])
        share = counts / counts.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = share[:, 1] / share[:, 0]
        weight = share.min(axis=1)
        if weight.sum() <= 0:
            return
        order = np.argsort(ratio)
        middle = ratio[order][np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)]
        kept = (ratio <= middle * _STEADY) & (ratio >= middle / _STEADY)
        if share[kept].sum(axis=0).min() < 0.2:
            return
        chosen = [thing for thing, keep in zip(templates, kept, strict=True) if keep]
        self.exposure = [np.sum([thing.counts[side] for thing in chosen], axis=0) for side in (0, 1)]
        if self.block_bounds is not None:
            self.block_exposure = np.sum([thing.blocks for thing in chosen if thing.blocks is not None], axis=0)

    def compare(self, things: list[_Thing]) -> Compared:
        """Compare the rates of things; windows without any line that keeps its proportion are left out."""
        sides = []
        for side in (0, 1):
            held = self.exposure[side] > 0
            counts = np.array([thing.counts[side] for thing in things]).reshape(len(things), len(held))
            blocks = block_exposure = None
            if side == self.long and self.block_exposure is not None:
                some = self.block_exposure > 0
                blocks = np.array([thing.blocks for thing in things]).reshape(len(things), len(some))[:, some]
                block_exposure = self.block_exposure[some]
            sides.append(Windows(counts[:, held], self.exposure[side][held], blocks, block_exposure))
        return compare_rates(*sides)


def _things(kind: Kind, name: str, family: Family, cuts: _Cuts) -> list[_Thing]:
    cells = [family.cells(side) for side in (0, 1)]
    codes = np.unique(np.concatenate([c["code"].to_numpy() for c in cells]).astype(np.int64))
    counts = [table(c, codes, bounds) for c, bounds in zip(cells, cuts.bounds, strict=True)]
    blocks = None if cuts.block_bounds is None else table(cells[cuts.long], codes, cuts.block_bounds)
    places = [dict(c.group_by("code").agg(pl.col("place").min()).iter_rows()) for c in cells]
    out = []
    for i, code in enumerate(codes.tolist()):
        if kind == "level" and not 1 <= code <= 24:
            continue  # lines without a level are no level
        value = _LEVELS[(code - 1) // 4] if kind == "level" else family.names[code] if family.names else ""
        each = counts[0][i], counts[1][i]
        where = places[0].get(code), places[1].get(code)
        out.append(_Thing(kind, name, value, code, each, None if blocks is None else blocks[i], where))
    # Codes go by when a value was first met; names do not.
    return sorted(out, key=lambda thing: (thing.value, thing.code))
