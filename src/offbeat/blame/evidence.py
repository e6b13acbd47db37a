"""What speaks against a source: how often it writes what, what it goes on to write, and how long things take.

Each judged against the other windows of the same log, in standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.counts import deviation, dispersion
from offbeat.detect.ragged import Floats, Ints, numbered

#: Half an event in ten windows is never quite unexpected.
_UNEXPECTED: Final = 0.05
#: Pairs of source and template, or of templates that follow one another, at most; those of the range first, then the
#: most frequent.
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


@dataclass(frozen=True)
class Evidence:
    """A score and a reason for each source."""

    score: Floats
    reasons: Sequence[str]


@dataclass(frozen=True)
class Log:
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


def frequency(log: Log, name: Callable[[Any], str]) -> Evidence:
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
    expected = traces @ (written / np.maximum(traces[1:].sum(axis=0), 1)[:, None]) + _UNEXPECTED
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
    return Evidence(score, reasons)


def sequence(log: Log, name: Callable[[Any], str]) -> Evidence:
    """Compare what each source writes after each of its lines of a trace with what it usually goes on to write.

    A source that is called less, or for other things, writes less, but goes on as it always does; where it fails, or
    returns early, it does not. So of several sources that write something else than usual this tells the one in which
    it began. Per source a Markov chain over its own templates in a trace, with an end.
    """
    n, end = len(log.sources), len(log.templates)
    steps = _steps(log)
    if not len(steps):
        return Evidence(np.zeros(n), [""] * n)
    window, source, before, after = steps.T
    states, state = numbered(source * end + before)
    cells, cell = numbered(state * (end + 1) + after)
    keep = _busiest(cell, window)
    kept = keep[cell] >= 0
    cells, seen = cells[keep >= 0], _table(window[kept], keep[cell[kept]], log.windows, int((keep >= 0).sum()))
    of, after = cells // (end + 1), cells % (end + 1)
    visits = _table(window, state, log.windows, len(states))
    share = seen[1:].sum(axis=0) / np.maximum(visits[1:].sum(axis=0), 1)[of]
    expected = visits[:, of] * share + _UNEXPECTED
    # As with frequencies, what comes in bursts somewhere all the time says little.
    strange = deviation(seen, expected, dispersion(seen[1:], expected[1:], after))[0]
    score, worst = _strongest(np.abs(strange), states[of] // end, n)
    reasons = []
    for w in worst:
        if w < 0:
            reasons.append("wrote nothing")
            continue
        first, next_ = log.templates[states[of[w]] % end], after[w]
        follows = "nothing follows" if next_ == end else f"“{name(log.templates[next_])}” follows"
        reasons.append(f"{follows} “{name(first)}” {seen[0, w]:,.0f} times, where {expected[0, w]:,.1f} are expected")
    return Evidence(score, reasons)


def _steps(log: Log) -> Ints:
    """Return the steps of each source within a trace, shape (steps, 4): window, source, template before, and after.

    After the last one comes ``len(log.templates)``. Events that belong to no trace make no steps.
    """
    some = np.flatnonzero(log.traced)
    key = log.trace[some] * len(log.sources) + log.source[some]
    at = some[np.argsort(key, kind="stable")]
    last = np.append((np.diff(log.trace[at]) != 0) | (np.diff(log.source[at]) != 0), True)[: len(at)]
    after = np.where(last, len(log.templates), np.roll(log.template[at], -1))
    return np.column_stack([log.window[log.trace[at]], log.source[at], log.template[at], after])


def _kinds(log: Log) -> Ints:
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


def latency(log: Log) -> Evidence:
    """Compare how long events of a trace take to follow one another with the other windows, by pair of sources.

    Whoever is slow, or behind a slow network, shows in all pairs it is part of; its neighbours in one of theirs. So a
    source's score is the sum over its pairs, divided by the root of their number (Stouffer et al., 1949). A pair that
    only two sources are part of says most about the one that was called.
    """
    pairs = _pairs(log)
    n = len(log.sources)
    if not pairs.height:
        return Evidence(np.zeros(n), [""] * n)
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
    return Evidence(score, reasons)


def _pairs(log: Log) -> pl.DataFrame:
    """Return one row a pair of sources that follow one another in the range.

    Columns: sources ``a`` and ``b``, ``z``, ``excess`` (mean log ratio to the usual gap), ``seconds`` (median gap) and
    ``into`` (share of the gaps in which it is ``b`` that joined the trace later, so was called).
    """
    i = np.flatnonzero(~log.first)
    met, index = numbered(log.trace * len(log.sources) + log.source)
    joined = np.full(len(met), len(log.at))
    np.minimum.at(joined, index, np.arange(len(log.at)))
    gap = np.maximum(log.at[i] - log.at[i - 1], 0.0)
    # One number for each pair of sources, and for what they write: it is grouped by one column in place of four.
    sources = len(log.sources)
    pair = log.source[i - 1] * sources + log.source[i]
    step = (log.template[i - 1] * len(log.templates) + log.template[i]) * sources**2 + pair
    gaps = pl.DataFrame(
        {
            "window": log.window[log.trace[i]],
            "pair": pair,
            "step": step,
            "gap": gap,
            "into": (joined[index[i]] > joined[index[i - 1]]).astype(np.float64),
            "log": np.log(gap + _RESOLUTION),
        }
    )
    others = pl.col("window") > 0
    usual = gaps.filter(others).group_by("step").agg(pl.col("log").median().alias("usual"), pl.len().alias("known"))
    excess = gaps.join(usual.filter(pl.col("known") >= _LEAST_GAPS), on="step").with_columns(
        excess=(pl.col("log") - pl.col("usual")).clip(_SHORTER, _LONGER)
    )
    mean = excess.group_by("window", "pair").agg(
        pl.col("excess", "into").mean(), pl.len().alias("n"), pl.col("gap").median().alias("seconds")
    )
    centre = pl.col("excess").median()
    spread = (pl.col("excess") - centre).abs().median() * 1.4826
    known = mean.filter(others & (pl.col("n") >= 3)).group_by("pair").agg(centre.alias("centre"), spread=spread)
    variance = pl.col("spread") ** 2 + _GAP_SPREAD**2 / pl.col("n") + _LEAST_SPREAD**2
    here = mean.filter(~others).join(known, on="pair").sort("pair")
    here = here.with_columns(a=pl.col("pair") // sources, b=pl.col("pair") % sources)
    return here.with_columns(z=(pl.col("excess") - pl.col("centre")) / variance.sqrt())
