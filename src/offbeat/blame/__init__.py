"""Which service is to blame: sources ranked by how strange they are within a range of time.

Three kinds of evidence, each judged against the other windows of the same log, so that no label and no clean stretch is
needed: how often a source writes each template, given the kinds of requests there were; what it writes next, given what
it wrote before in the same trace; and how long events of a trace take to follow one another, by pair of sources. All
come out in standard deviations, and a source's score is the largest one: a failing service changes what it writes, a
slow one changes when, and few faults do both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.blame.evidence import Log, frequency, latency, sequence
from offbeat.detect.ragged import Ints
from offbeat.errors import NotEnoughDataError
from offbeat.schema import TIME

#: What ``rank`` returns.
BLAME: Final = {"source": pl.String(), "score": pl.Float64(), "kind": pl.String(), "reason": pl.String()}

#: Windows compared with, at most: those nearest to the range.
_MOST_WINDOWS: Final = 120
#: A range longer than this share of the log is compared with windows of this share.
_LARGEST_SHARE: Final = 0.1
#: Windows with less than this share of the usual number of traces are too thin to compare with.
_THIN: Final = 0.1


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
        windows, higher is stranger), ``kind`` of the evidence that weighs most ("frequency",
        "sequence" or "latency") and its ``reason``, a phrase.

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

    def _between(self, low: int, high: int) -> Log:
        """Return the traces that begin in a range of microseconds, and those of the windows to compare it with."""
        window = _windows(self._at[self._first], low, high)
        kept = window >= 0
        inside = np.flatnonzero(kept[self._trace])
        return Log(
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
        self._writers: dict[int, int] | None = None
        self._followers: dict[int, tuple[int, int]] | None = None
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
        self._blame = self._writers = self._followers = None
        while sum(part.height for part in self._parts) > self.most and self._every < 2**40:
            self._every *= 2
            self._parts = [pl.concat(self._parts).filter(pl.col("trace") % self._every == 0)]

    @property
    def writers(self) -> dict[int, int]:
        """By template, the code of the source that writes it most often."""
        if self._writers is None:
            found = self._most(self._parts, "template", "source")
            self._writers = dict(found.rows())
        return self._writers

    @property
    def followers(self) -> dict[int, tuple[int, int]]:
        """By template, the template and the source that most often come next in a trace."""
        if self._followers is None:
            steps = [part.filter("traced").sort("trace", "timestamp", maintain_order=True) for part in self._parts]
            within = pl.col("trace") == pl.col("trace").shift(-1)
            after = [pl.col(c).shift(-1).alias(f"next_{c}") for c in ("template", "source")]
            pairs = [
                part.select("template", *after).filter(part.select(within.fill_null(False)).to_series())
                for part in steps
            ]
            found = self._most(pairs, "template", "next_template", "next_source")
            self._followers = {template: (following, source) for template, following, source in found.rows()}
        return self._followers

    @staticmethod
    def _most(parts: Sequence[pl.DataFrame], *names: str) -> pl.DataFrame:
        """Return the most frequent combination of columns for each value of the first."""
        if not parts:
            return pl.DataFrame(schema=list(names))
        counted = pl.concat(parts).group_by(names).len()
        return (
            counted.sort("len", *names[1:], descending=[True] + [False] * (len(names) - 1))
            .unique(names[0], keep="first", maintain_order=True)
            .select(names)
        )

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


def _ranked(log: Log, name: Callable[[Any], str]) -> pl.DataFrame:
    found = {"frequency": frequency(log, name), "sequence": sequence(log, name), "latency": latency(log)}
    scores = np.array([one.score for one in found.values()])
    most = scores.argmax(axis=0)
    kinds, reasons = list(found), [one.reasons for one in found.values()]
    out = pl.DataFrame(
        {
            "source": log.sources,
            "score": scores.max(axis=0),
            "kind": [kinds[k] for k in most],
            "reason": [reasons[k][i] for i, k in enumerate(most)],
        },
        schema=BLAME,
    )
    return out.sort("score", "source", descending=[True, False])


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
