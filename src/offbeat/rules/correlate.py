"""Correlations over a stream of hits: bounded state, and the same findings however the stream is cut.

A finding is about one group and one stretch of time: hits that keep satisfying the condition, none further from the
one before than the span, make one. Hits arrive sorted by time; ``Reorder`` in ``engine`` sees to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.rules import spans
from offbeat.rules.rule import VALUED, Correlation

Ints = NDArray[np.int64]

#: Rows of one correlation's span that are kept, groups that are remembered, and places of a finding.
MAX_ROWS: Final = 500_000
MAX_GROUPS: Final = 100_000
MAX_PLACES: Final = 20
#: A group is missed when it says nothing after it spoke in so many spans running; Sigma says nothing about silence.
STEADY: Final = 3
_SEPARATOR: Final = "\x1f"
#: What many logs write where there is no value.
_NOTHING: Final = "-"
#: The picture of the separator (U+241F), for values that hold it: who writes the log must not part groups.
_PICTURED: Final = "\u241f"

#: Columns that hits bring along to every correlation; the others are fields, ``f.NAME``.
HITS: Final[Mapping[str, pl.DataType]] = {
    "time": pl.Int64(),  # microseconds since 1970
    "order": pl.Int64(),  # of arrival of the event
    "key": pl.UInt32(),  # the rule or correlation that was hit
    "file": pl.UInt16(),
    "line": pl.UInt32(),
    "source": pl.String(),
}


@dataclass
class Firing:
    """What a rule found in one group over one stretch of time.

    Attributes:
        key: index of the rule among the engine's documents.
        start, end: in microseconds since 1970, of the first and the last event; None where they have no time.
        events: how many are part of it.
        group: by field, the value that they have in common.
        value: what the condition was compared with, where it is not the number of events.
        places: (file, line) of the first events and the last one.
        sources: who wrote them, each once, at most MAX_PLACES.
    """

    key: int
    start: int | None
    end: int | None
    events: int
    group: dict[str, str]
    value: float | None = None
    places: list[tuple[int, int]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


class Node:
    """One correlation and its state.

    Args:
        c: the correlation; a rule on single events is one that counts to one.
        key: index of its document.
        inputs: by key of a document, its place in ``c.rules``.
    """

    def __init__(self, c: Correlation, key: int, inputs: Mapping[int, int]) -> None:
        self.c = c
        self.key = key
        self.inputs = dict(inputs)
        self.slides = spans.slides(c)
        self.span = c.seconds * 1_000_000
        self.left_out = 0  # hits without the fields that group or count them
        self.evicted = 0  # rows and groups given up because there were too many
        self._recent = pl.DataFrame()
        self._open: dict[str, Firing] = {}
        # By group: its last window that is over, how many before it had hits without a gap, and its fields.
        self._last: dict[str, tuple[int, int, dict[str, str]]] = {}
        self._ends = 0
        self._signals: list[pl.DataFrame] = []

    def push(self, hits: pl.DataFrame, until: int | None) -> tuple[list[Firing], pl.DataFrame, pl.DataFrame]:
        """Take up hits in order of time.

        Args:
            hits: HITS and fields; those of the node's inputs are used.
            until: everything up to this time has come; None where nothing more will.

        Returns:
            Findings that are over; one hit for each that holds, for correlations that look when; one hit for each
            finding that begins, for correlations that count.
        """
        if self._signals:
            hits = pl.concat([hits, *self._signals]).sort("time", "order", maintain_order=True)
            self._signals = []
        new = self._mine(hits)
        if self.slides:
            closed, holding, begun = self._slide(new)
        else:
            closed, holding, begun = self._tumble(new, until)
        closed += self._close(until)
        return closed, holding, begun

    def inputs_ready(self, signals: pl.DataFrame) -> None:
        """Take up hits of an inner correlation, before the push that they belong to."""
        if signals.height:
            self._signals.append(signals)

    def _mine(self, hits: pl.DataFrame) -> pl.DataFrame:
        """Return the node's hits with ``rule``, ``group`` and ``value``; those without a group are left out."""
        own = hits.filter(pl.col("key").is_in(list(self.inputs)))
        own = own.with_columns(
            pl.col("key").replace_strict(self.inputs, return_dtype=pl.Int64).alias("rule")
            if own.height
            else pl.lit(None, pl.Int64).alias("rule")
        )
        own = own.with_columns(group=self._group(own), value=self._value())
        good = pl.col("group").is_not_null()
        if self.c.kind in VALUED:
            value = pl.col("value")
            if self.c.kind == "value_count":
                good &= value.is_not_null()
            else:  # a value such as "nan" or "inf" would make all sums that it is part of the same
                good &= value.cast(pl.Float64, strict=False).is_finite().fill_null(False)
        kept = own.filter(good)
        self.left_out += own.height - kept.height
        return kept.sort("time", "order", "rule", descending=[False, False, True], maintain_order=True)

    def _group(self, hits: pl.DataFrame) -> pl.Expr:
        if not self.c.group_by:
            return pl.lit("", pl.String)
        parts = [self._field(name).str.replace_all(_SEPARATOR, _PICTURED, literal=True) for name in self.c.group_by]
        return pl.concat_str(parts, separator=_SEPARATOR)

    def _field(self, name: str) -> pl.Expr:
        """The field's value: under the name that the alias gives for the rule, where it is one."""
        if name not in self.c.aliases:
            chosen: pl.Expr = pl.col(f"f.{name}")
        else:
            of = self.c.aliases[name]
            chosen = pl.lit(None, pl.String)
            for index, rule in enumerate(self.c.rules):
                if rule in of:
                    chosen = pl.when(pl.col("rule") == index).then(pl.col(f"f.{of[rule]}")).otherwise(chosen)
        return pl.when(chosen != _NOTHING).then(chosen)

    def _value(self) -> pl.Expr:
        if self.c.kind not in VALUED:
            return pl.lit(None, pl.String)
        return pl.concat_str([self._field(name) for name in self.c.fields], separator=_SEPARATOR)

    def _slide(self, new: pl.DataFrame) -> tuple[list[Firing], pl.DataFrame, pl.DataFrame]:
        if new.is_empty():
            return [], new, new
        fresh = new.with_columns(counted=pl.lit(False), new=pl.lit(True))
        rows = fresh if self._recent.is_empty() else pl.concat([self._recent.with_columns(new=pl.lit(False)), fresh])
        rows = rows.with_columns(code=rows["group"].rank("dense").cast(pl.Int64) - 1)
        rows = rows.sort("code", "time", "order", "rule", descending=[False, False, False, True])
        value: Any = rows["value"].to_list() if self.c.kind == "value_count" else ()
        if self.c.kind == "value_sum":
            value = rows["value"].cast(pl.Float64).to_numpy()
        code, time, rule = (rows[name].to_numpy() for name in ("code", "time", "rule"))
        fits, first = spans.satisfied(self.c, code, time, rule, value)
        stretch, covered = _stretches(fits, first, code, time, self.span)
        fits &= rows["new"].to_numpy()
        rows = rows.with_columns(fits=pl.Series(fits), stretch=pl.Series(stretch), covered=pl.Series(covered))
        closed, begun = self._join(rows)
        plain = new.columns
        self._keep(rows.with_columns(counted=pl.col("counted") | pl.col("covered")).select(*plain, "counted"))
        return closed, rows.filter("fits").select(plain), begun.select(plain)

    def _join(self, rows: pl.DataFrame) -> tuple[list[Firing], pl.DataFrame]:
        """Open or extend findings; return those that are over, and the hits with which one begins."""
        held = (
            rows.filter("fits")
            .group_by("stretch", maintain_order=True)
            .agg(pl.col("time").first().alias("holds"), pl.col("order").first().alias("held"))
        )
        fresh = rows.filter(pl.col("covered") & ~pl.col("counted") & pl.col("stretch").is_in(held["stretch"].implode()))
        parts = _summed_up(fresh).join(held, on="stretch", maintain_order="left")
        closed, begun = [], []
        for row in parts.iter_rows(named=True):
            group = row["group"]
            known = self._open.get(group)
            if known is not None and row["holds"] - (known.end or 0) > self.span:
                closed.append(self._open.pop(group))
                known = None
            if known is None:
                begun.append((group, row["held"]))
                self._open[group] = Firing(self.key, row["start"], row["end"], 0, self._named(row))
            self._extend(self._open[group], row)
        while len(self._open) > MAX_GROUPS:
            oldest = min(self._open, key=lambda g: (self._open[g].end or 0, g))
            closed.append(self._open.pop(oldest))
            self.evicted += 1
        marks = pl.DataFrame(begun, schema={"group": pl.String, "order": pl.Int64}, orient="row")
        first = rows.filter("fits").join(marks, on=["group", "order"], how="semi", maintain_order="left")
        return closed, first.unique(["group", "order"], keep="first", maintain_order=True)

    def _named(self, row: Mapping[str, Any]) -> dict[str, str]:
        values = str(row["group"]).split(_SEPARATOR) if self.c.group_by else []
        return dict(zip(self.c.group_by, values, strict=True))

    @staticmethod
    def _extend(firing: Firing, row: Mapping[str, Any]) -> None:
        """Add events that were summed up; of the places the first and the last are kept."""
        firing.events += row["events"]
        firing.end = max(row["end"], firing.end or row["end"])
        places = [*firing.places[: MAX_PLACES - 1], *((p["file"], p["line"]) for p in row["first"])]
        last = (row["last"]["file"], row["last"]["line"])
        firing.places = list(dict.fromkeys([*places[: MAX_PLACES - 1], last]))
        firing.sources = list(dict.fromkeys([*firing.sources, *row["sources"]]))[:MAX_PLACES]

    def _keep(self, rows: pl.DataFrame) -> None:
        """Keep of the rows what later ones can need: within the span, and no more than the condition looks at."""
        now = int(rows["time"].to_numpy().max())
        rows = rows.filter(pl.col("time") >= now - self.span).sort("time", "order", maintain_order=True)
        if self.c.kind == "event_count":
            rows = rows.filter(pl.int_range(pl.len()).reverse().over("group") < max(1, spans.least(self.c)) - 1)
        self.evicted += max(0, rows.height - MAX_ROWS)
        self._recent = rows.tail(MAX_ROWS)

    def _close(self, until: int | None) -> list[Firing]:
        """Take out the findings that nothing can be added to any more, in order of their start."""
        over = [group for group, firing in self._open.items() if until is None or self._is_over(firing, until)]
        closed = [self._open.pop(group) for group in over]
        return sorted(closed, key=lambda f: (f.start or 0, str(f.group)))

    def _is_over(self, firing: Firing, until: int) -> bool:
        end = firing.end or 0
        # The window behind the finding's last one may still join it, until that one is over, too.
        return until - end > self.span if self.slides else until // self.span - end // self.span >= 2

    def current(self) -> list[Firing]:
        """Return the findings that are still going on."""
        return list(self._open.values())

    # Spans that follow one another.

    def _tumble(self, new: pl.DataFrame, until: int | None) -> tuple[list[Firing], pl.DataFrame, pl.DataFrame]:
        """Judge the spans that are over: all where nothing more will come."""
        rows = new.with_columns(window=pl.col("time") // self.span)
        if not self._recent.is_empty():
            rows = pl.concat([self._recent, rows])
        done = rows if until is None else rows.filter((pl.col("window") + 1) * self.span <= until)
        later = rows.filter(~pl.col("window").is_in(done["window"].unique().implode()))
        self.evicted += max(0, later.height - MAX_ROWS)
        self._recent = later.tail(MAX_ROWS)
        closed: list[Firing] = []
        signals, begun = [new.clear()], [new.clear()]
        if done.height:
            judged = spans.windows(self.c, done)
            sums = _summed_up(done.with_columns(stretch=pl.struct("group", "window"))).drop("group").unnest("stretch")
            judged = judged.drop("events").join(sums, on=["group", "window"]).sort("window", "group")
            ends = done.group_by("group", "window").tail(1)
            for row in judged.iter_rows(named=True):
                begins, over = self._judged(row)
                closed += over
                if row["fits"]:
                    end = ends.filter((pl.col("group") == row["group"]) & (pl.col("window") == row["window"]))
                    signal = end.select(new.columns).with_columns(time=pl.lit((row["window"] + 1) * self.span - 1))
                    signals.append(signal)
                    begun += [signal] if begins else []
        closed += self._silences(self._ends if until is None else until)
        return closed, pl.concat(signals), pl.concat(begun)

    def _judged(self, row: Mapping[str, Any]) -> tuple[bool, list[Firing]]:
        """Take up one window; return whether a finding begins with it, and what is over."""
        group, window = row["group"], row["window"]
        closed = self._silent(group, window)
        last, run, _ = self._last.get(group, (None, 0, {}))
        self._last[group] = (window, run + 1 if last == window - 1 else 1, self._named(row))
        if not row["fits"]:
            return False, closed
        known = self._open.get(group)
        begins = known is None or window - (known.end or 0) // self.span > 1
        if begins:
            closed += [self._open.pop(group)] if known is not None else []
            self._open[group] = Firing(self.key, row["start"], row["end"], 0, self._named(row), row["value"])
        self._extend(self._open[group], row)
        return begins, closed

    def _silent(self, group: str, window: int) -> list[Firing]:
        """Note that a group said nothing from its last window up to this one, where that satisfies the condition."""
        last, run, named = self._last.get(group, (window, 0, {}))
        known = self._open.get(group)
        going = known is not None and known.events == 0
        if window - last < 2 or not spans.empty_fits(self.c) or (run < STEADY and not going):
            return []
        begin, end = (last + 1) * self.span, window * self.span - 1
        if going and known is not None and known.start == begin:
            known.end = end
            return []
        self._open[group] = Firing(self.key, begin, end, 0, named, 0.0)
        return [] if known is None else [known]

    def _silences(self, until: int) -> list[Firing]:
        """Look at all groups that are known, for those that say nothing any more."""
        while len(self._last) > MAX_GROUPS:
            del self._last[min(self._last, key=lambda g: (self._last[g][0], g))]
            self.evicted += 1
        if not spans.empty_fits(self.c):
            return []
        return [firing for group in self._last for firing in self._silent(group, until // self.span)]

    def ends(self, time: int) -> None:
        """Say when the log ends, before the last push: a silence lasts until then, and no longer."""
        self._ends = time


def _stretches(
    fits: NDArray[np.bool_], first: Ints, code: Ints, time: Ints, span: int
) -> tuple[Ints, NDArray[np.bool_]]:
    """Number the stretches over which a condition keeps holding, and say which hits are part of one.

    Args:
        fits: with which hits it holds, shape (n,).
        first: the hit that the span which satisfies it begins with, shape (n,).
        code: the group of each hit, ascending, shape (n,).
        time: of each hit, ascending within a group, shape (n,).
        span: in microseconds.

    Returns:
        The number of the stretch that each hit is part of, or of the next one; and whether it is part of it.
    """
    n = len(fits)
    at = np.flatnonzero(fits)
    if len(at) == 0:
        return np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    breaks = np.concatenate([[False], (np.diff(code[at]) != 0) | (np.diff(time[at]) > span)])
    number = np.cumsum(breaks)
    stretch = number[np.minimum(np.searchsorted(at, np.arange(n)), len(at) - 1)]
    steps = np.zeros(n + 1, dtype=np.int64)
    np.add.at(steps, first[at], 1)
    np.add.at(steps, at + 1, -1)
    return stretch.astype(np.int64), np.cumsum(steps[:-1]) > 0


def _summed_up(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a ``stretch``: its events, each once however many rules hit it, and what is shown of them."""
    place = pl.struct("file", "line")
    return rows.group_by("stretch", maintain_order=True).agg(
        pl.col("group").first(),
        pl.col("time").min().alias("start"),
        pl.col("time").max().alias("end"),
        place.n_unique().alias("events"),
        place.unique(maintain_order=True).head(MAX_PLACES).alias("first"),
        place.last().alias("last"),
        pl.col("source").drop_nulls().unique(maintain_order=True).head(MAX_PLACES).alias("sources"),
    )
