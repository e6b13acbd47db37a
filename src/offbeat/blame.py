"""Which service is to blame: sources ranked by how strange they are within a range of time.

Two kinds of evidence, each judged against the other windows of the same log, so that no label and no clean stretch is
needed: how often a source writes each template, given the kinds of requests there were; and how long events of a trace
take to follow one another, by pair of sources. Both come out in standard deviations, and a source's score is the larger
one: a failing service changes what it writes, a slow one changes when, and few faults do both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.counts import deviation, dispersion
from offbeat.detect.ragged import numbered
from offbeat.errors import NotEnoughDataError
from offbeat.schema import TIME

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: What ``rank`` returns.
BLAME: Final = {"source": pl.String(), "score": pl.Float64(), "kind": pl.String(), "reason": pl.String()}

#: Windows compared with, at most: those nearest to the range.
_MOST_WINDOWS: Final = 120
#: A range longer than this share of the log is compared with windows of this share.
_LARGEST_SHARE: Final = 0.1
#: Windows with less than this share of the usual number of traces are too thin to compare with.
_THIN: Final = 0.1
#: Pairs of source and template, at most; those of the range first, then the most frequent.
_MOST_CELLS: Final = 4_000
#: Kinds of traces with fewer traces than this are pooled.
_LEAST_TRACES: Final = 5
#: A pair of templates says what a gap usually is from this many on.
_LEAST_GAPS: Final = 5
#: Log gaps (natural logarithm) further from the usual than this count no further; single outliers are common.
_SHORTER, _LONGER = -3.0, 6.0
#: Spread of one log gap about its pair's usual, and of a window's mean beyond chance, at the least.
_GAP_SPREAD, _LEAST_SPREAD = 0.5, 0.05
#: One pair of sources counts for at most so many standard deviations.
_MOST_DEVIATIONS: Final = 30.0
#: By how much less a slow call is held against who made it than against who was called: enough to break a tie.
_CALLER_LESS: Final = 0.1
#: Seconds below which gaps are alike: clocks and writers jitter.
_RESOLUTION: Final = 1e-4


def rank(
    events: pl.DataFrame, start: datetime, end: datetime, name: Callable[[Any], str] = lambda code: f"template {code}"
) -> pl.DataFrame:
    """Rank the sources by how strange they are from ``start`` to ``end`` (both inclusive), most to blame first.

    Args:
        events: one row an event, any order: ``timestamp`` (Datetime in UTC), ``source`` (String), ``template`` (codes
            or ids) and, where there is one, ``trace`` (the request or session an event belongs to; null where none).
            Rows without time or source are left out.
        start: of the range in question.
        end: of it.
        name: from a template as in ``events`` to the text that reasons show.

    Returns:
        One row a source with events anywhere in the log: ``source``, ``score`` (standard deviations from the other
        windows, higher is stranger), ``kind`` ("frequency" or "latency") and ``reason``, a phrase.

    Raises:
        NotEnoughDataError: no event lies in the range, or all of them do.
    """
    return Blame(events).rank(start, end, name)


class Blame:
    """Events made ready for being asked about several ranges.

    Args:
        events: as for ``rank``.
    """

    def __init__(self, events: pl.DataFrame) -> None:
        trace = pl.col("trace") if "trace" in events.columns else pl.lit(None, pl.String)
        rows = events.select(
            pl.col("timestamp").cast(TIME).dt.epoch("us").alias("at"), "source", "template", trace.alias("trace")
        ).drop_nulls(["at", "source"])
        rows = rows.sort("trace", "at", maintain_order=True)
        # An event without a trace stands alone.
        first = rows.select(pl.col("trace").ne_missing(pl.col("trace").shift(1)) | pl.col("trace").is_null())
        self._first = first.to_series().to_numpy().copy()
        self._first[:1] = True
        self._trace = np.cumsum(self._first) - 1
        self._at = rows["at"].to_numpy()
        self._traced = rows["trace"].is_not_null().to_numpy()
        self.sources, self._source = _codes(rows["source"])
        self._templates, self._template = _codes(rows["template"])

    def rank(self, start: datetime, end: datetime, name: Callable[[Any], str] = str) -> pl.DataFrame:
        """Rank the sources; see ``offbeat.blame.rank``."""
        low, high = (pl.Series([t]).cast(TIME).dt.epoch("us")[0] for t in (start, end))
        return _ranked(self._between(low, high), name)

    def _between(self, low: int, high: int) -> _Log:
        """Return the traces that begin in a range of microseconds, and those of the windows to compare it with."""
        window = _windows(self._at[self._first], low, high)
        kept = window >= 0
        inside = np.flatnonzero(kept[self._trace])
        return _Log(
            self.sources,
            self._templates,
            self._source[inside],
            self._template[inside],
            (np.cumsum(kept) - 1)[self._trace[inside]],
            self._at[inside] / 1e6,
            self._first[inside],
            self._traced[inside],
            window[kept],
            int(window.max()) + 1,
        )


class Ledger:
    """Keeps what ``rank`` needs while units stream by.

    It is bounded: beyond ``most`` events only every second trace is kept, then every fourth, and so on. Counts are
    compared trace by trace, so thinning does not bias them.

    Args:
        most: events kept, at most (20 bytes each).
    """

    def __init__(self, most: int = 200_000) -> None:
        self.most = most
        self._every = 1
        self._parts: list[pl.DataFrame] = []
        self._blame: Blame | None = None

    def add(self, units: pl.DataFrame, traced: bool = True) -> None:
        """Take up units.

        Args:
            units: SEQUENCES with lists ``timestamps`` and ``sources`` (codes).
            traced: whether a unit is a trace: events of one request or session. Those of windows belong to none.
        """
        trace = pl.col("key").hash(seed=0)
        flat = units.select("timestamps", "sources", "templates", trace=trace).filter(
            pl.col("trace") % self._every == 0
        )
        flat = flat.explode("timestamps", "sources", "templates", empty_as_null=False)
        named = flat.select(
            timestamp="timestamps", source="sources", template="templates", trace="trace", traced=pl.lit(traced)
        ).filter(pl.col("timestamp").is_not_null() & (pl.col("source") > 0))
        self._parts.append(named)
        self._blame = None
        while sum(part.height for part in self._parts) > self.most and self._every < 2**40:
            self._every *= 2
            self._parts = [pl.concat(self._parts).filter(pl.col("trace") % self._every == 0)]

    def rank(
        self, start: datetime, end: datetime, sources: Sequence[str | None], name: Callable[[Any], str] = str
    ) -> pl.DataFrame:
        """Rank the sources; see ``offbeat.blame.rank``.

        Args:
            start: of the range in question.
            end: of it.
            sources: names by code.
            name: from a template's code to its text.

        Raises:
            NotEnoughDataError: no event lies in the range, or all of them do.
        """
        if self._blame is None:
            if not self._parts:
                raise NotEnoughDataError("no event was kept", where="blame", hint="times and sources are needed")
            kept = pl.concat(self._parts)
            names = pl.Series([*sources, None], dtype=pl.String)
            self._blame = Blame(
                kept.with_columns(
                    names.gather(kept["source"]).alias("source"),
                    trace=pl.when("traced").then("trace"),
                )
            )
        return self._blame.rank(start, end, name)


def _ranked(log: _Log, name: Callable[[Any], str]) -> pl.DataFrame:
    often, late = _frequency(log, name), _latency(log)
    later = late.score > often.score
    score = np.where(later, late.score, often.score)
    reasons = [late.reasons[i] if later[i] else often.reasons[i] for i in range(len(score))]
    out = pl.DataFrame(
        {"source": log.sources, "score": score, "kind": np.where(later, "latency", "frequency"), "reason": reasons},
        schema=BLAME,
    )
    return out.sort("score", "source", descending=[True, False])


@dataclass(frozen=True)
class _Evidence:
    """A score and a reason for each source."""

    score: Floats
    reasons: Sequence[str]


@dataclass(frozen=True)
class _Log:
    """Events by trace and time, cut into windows; window 0 is the range in question.

    Attributes:
        sources: their names, shape (s,).
        templates: their codes or ids, shape (t,).
        source, template, trace: of each event, as indexes, shape (events,).
        at: seconds since the epoch, shape (events,).
        first: whether an event is the first of its trace, shape (events,).
        traced: whether an event belongs to a trace at all, shape (events,).
        window: of each trace, shape (traces,).
        windows: how many there are.
    """

    sources: list[str]
    templates: list[Any]
    source: Ints
    template: Ints
    trace: Ints
    at: Floats
    first: NDArray[np.bool_]
    traced: NDArray[np.bool_]
    window: Ints
    windows: int


def _codes(column: pl.Series) -> tuple[list[Any], Ints]:
    names = column.unique().sort()
    codes = pl.Series(np.arange(len(names)))
    return names.to_list(), column.replace_strict(names, codes, return_dtype=pl.Int64).to_numpy()


def _windows(begins: Ints, low: int, high: int) -> Ints:
    """Return the window of each trace by when it begins, in microseconds: 0 for the range, -1 for those not used.

    Windows as long as the range are laid out before and after it; empty and thin ones are left out.
    """
    inside = (begins >= low) & (begins <= high)
    if not inside.any() or inside.all():
        where = "none" if not inside.any() else "all"
        raise NotEnoughDataError(
            f"{where} of the events are in the range; blame needs some there and some elsewhere to compare with",
            where=f"{datetime.fromtimestamp(low // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}",
            hint="a longer log or another range",
        )
    span = int(begins.max() - begins.min())
    length = max(min(high - low + 1, int(span * _LARGEST_SHARE)), 1_000_000)
    # Before the range windows are -1, -2, …; after it 1, 2, …
    place = np.where(begins < low, (begins - low) // length, (begins - high - 1) // length + 1)
    place[inside] = 0
    names, index, count = np.unique(place, return_inverse=True, return_counts=True)
    others = names != 0
    thin = count < _THIN * np.median(count[others])
    near = np.argsort(np.abs(names) + np.where(others & ~thin, 0.0, np.inf), kind="stable")[:_MOST_WINDOWS]
    code = np.full(len(names), -1)
    good = near[(others & ~thin)[near]]
    code[good] = np.arange(1, len(good) + 1)
    code[~others] = 0
    return np.asarray(code[index], dtype=np.int64)


def _frequency(log: _Log, name: Callable[[Any], str]) -> _Evidence:
    """Compare how often each source wrote each template with what the traces of the range lead one to expect."""
    kind = _kinds(log)
    cell = log.source * len(log.templates) + log.template
    cells, cell = numbered(cell)
    window, kinds = log.window[log.trace], int(kind.max()) + 1
    keep = _busiest(cell, window)
    kept = keep[cell] >= 0
    cells, cell, window, of_kind = cells[keep >= 0], keep[cell[kept]], window[kept], kind[log.trace[kept]]
    seen = _table(window, cell, log.windows, len(cells))
    traces = _table(log.window, kind, log.windows, kinds)
    others = window > 0
    written = _table(of_kind[others], cell[others], kinds, len(cells))
    # Half an event in ten windows is never quite unexpected.
    expected = traces @ (written / np.maximum(traces[1:].sum(axis=0), 1)[:, None]) + 0.05
    template, source = cells % len(log.templates), cells // len(log.templates)
    # An error that comes in bursts somewhere all the time says little about the service where it comes now, so all
    # sources that write a template share its dispersion.
    strange = deviation(seen, expected, dispersion(seen[1:], expected[1:], template))[0]
    score, worst = _strongest(np.abs(strange), source, len(log.sources))
    reasons = [
        f"“{name(log.templates[template[w]])}” {seen[0, w]:,.0f} times, where {expected[0, w]:,.1f} are expected"
        if w >= 0
        else "wrote nothing"
        for w in worst
    ]
    return _Evidence(score, reasons)


def _kinds(log: _Log) -> Ints:
    """Return the kind of each trace: what it begins with says what was asked for. Traces of one event are alike."""
    begins = np.where(log.traced[log.first], log.template[log.first] + 1, 0)
    count = np.bincount(begins)
    rare = (count[begins] < _LEAST_TRACES) & (begins > 0)
    return numbered(np.where(rare, len(count), begins))[1]


def _busiest(cell: Ints, window: Ints) -> Ints:
    """Return the new number of each cell, -1 for those too rare to keep."""
    count = np.bincount(cell)
    here = np.bincount(cell[window == 0], minlength=len(count))
    order = np.lexsort((-count, here == 0))[:_MOST_CELLS]
    number = np.full(len(count), -1)
    number[np.sort(order)] = np.arange(len(order))
    return number


def _table(row: Ints, column: Ints, rows: int, columns: int) -> Floats:
    """Count pairs of codes, shape (rows, columns)."""
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns).astype(np.float64)


def _strongest(size: Floats, group: Ints, groups: int) -> tuple[Floats, Ints]:
    """Return the largest of each group and its place; 0 and -1 for a group without any."""
    order = np.argsort(size, kind="stable")
    worst = np.full(groups, -1, dtype=np.int64)
    worst[group[order]] = order
    return np.where(worst >= 0, size[worst] if len(size) else 0.0, 0.0), worst


def _latency(log: _Log) -> _Evidence:
    """Compare how long events of a trace take to follow one another with the other windows, by pair of sources.

    Whoever is slow, or behind a slow network, shows in all pairs it is part of; its neighbours in one of theirs. So a
    source's score is the sum over its pairs, divided by the root of their number (Stouffer et al., 1949). A pair that
    only two sources are part of says most about the one that was called.
    """
    pairs = _pairs(log)
    n = len(log.sources)
    if not pairs.height:
        return _Evidence(np.zeros(n), [""] * n)
    a, b, z, into = (pairs[name].to_numpy() for name in ("a", "b", "z", "into"))
    z = np.clip(z, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)
    # A pair within one source counts once.
    source, pair = np.concatenate([a, b[a != b]]), np.concatenate([np.arange(len(z)), np.flatnonzero(a != b)])
    calls = np.concatenate([np.where(a == b, 0.0, into), 1 - into[a != b]])
    weight = 1 - _CALLER_LESS * calls
    many = np.bincount(source, minlength=n)
    score = np.bincount(source, weights=weight * z[pair], minlength=n) / np.sqrt(np.maximum(many, 1))
    _, worst = _strongest(z[pair], source, n)
    ratio, seconds = np.exp(pairs["excess"].to_numpy()), pairs["seconds"].to_numpy()
    reasons = []
    for w in worst:
        p = pair[w]
        between = f"{log.sources[a[p]]} → {log.sources[b[p]]}"
        reasons.append(f"{between} takes {seconds[p]:.2g} s, {ratio[p]:,.1f} times the usual" if w >= 0 else "")
    return _Evidence(score, reasons)


def _pairs(log: _Log) -> pl.DataFrame:
    """Return one row a pair of sources that follow one another in the range.

    Columns: sources ``a`` and ``b``, ``z``, ``excess`` (mean log ratio to the usual gap), ``seconds`` (median gap) and
    ``into`` (share of the gaps in which it is ``b`` that joined the trace later, so was called).
    """
    i = np.flatnonzero(~log.first)
    met, index = numbered(log.trace * len(log.sources) + log.source)
    joined = np.full(len(met), len(log.at))
    np.minimum.at(joined, index, np.arange(len(log.at)))
    gap = np.maximum(log.at[i] - log.at[i - 1], 0.0)
    gaps = pl.DataFrame(
        {
            "window": log.window[log.trace[i]],
            "a": log.source[i - 1],
            "b": log.source[i],
            "before": log.template[i - 1],
            "after": log.template[i],
            "gap": gap,
            "into": (joined[index[i]] > joined[index[i - 1]]).astype(np.float64),
            "log": np.log(gap + _RESOLUTION),
        }
    )
    step = ["before", "after", "a", "b"]
    others = pl.col("window") > 0
    usual = gaps.filter(others).group_by(step).agg(pl.col("log").median().alias("usual"), pl.len().alias("known"))
    excess = gaps.join(usual.filter(pl.col("known") >= _LEAST_GAPS), on=step).with_columns(
        excess=(pl.col("log") - pl.col("usual")).clip(_SHORTER, _LONGER)
    )
    mean = excess.group_by("window", "a", "b").agg(
        pl.col("excess", "into").mean(), pl.len().alias("n"), pl.col("gap").median().alias("seconds")
    )
    centre = pl.col("excess").median()
    spread = (pl.col("excess") - centre).abs().median() * 1.4826
    known = mean.filter(others & (pl.col("n") >= 3)).group_by("a", "b").agg(centre.alias("centre"), spread=spread)
    variance = pl.col("spread") ** 2 + _GAP_SPREAD**2 / pl.col("n") + _LEAST_SPREAD**2
    here = mean.filter(~others).join(known, on=["a", "b"]).sort("a", "b")
    return here.with_columns(z=(pl.col("excess") - pl.col("centre")) / variance.sqrt())
