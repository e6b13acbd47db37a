"""One address, user or host behind an unusual number of events of a template: brute force, scanners, retry storms.

A run is a stretch of events of one template and one value with no pause longer than a limit between them. How long runs
usually are differs between templates by orders of magnitude, and their lengths have heavy tails; so a run is judged
against those of the other values of its template, on a logarithmic scale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import polars as pl

from offbeat.detect.ragged import numbered
from offbeat.schema import TIME, owned, pack, unpack

#: What ``Bursts.alarms`` returns, one row a burst.
BURSTS: Final = {
    "value": pl.String(),
    "template": pl.UInt32(),  # the one whose run is strangest
    "events": pl.UInt32(),  # of that template in the run
    "usual": pl.UInt32(),  # a run of another value is at most so long in 19 of 20 cases; 0 where there is none
    "most": pl.UInt32(),  # the longest run of another value; 0 where there is none
    "start": TIME,
    "end": TIME,
    "score": pl.Float64(),  # -ln of the number of such runs expected in a log like this
    "templates": pl.List(pl.UInt32),  # all with a strange run of this value then, strangest first
    "places": pl.List(pl.UInt64),  # the run's first events and its last: file << 40 | line
    "throughout": pl.Boolean(),  # it goes on nearly all through a log of an hour or more
}

#: Pauses that end a run, in microseconds: brute force takes minutes, a patient scanner hours.
PAUSES: Final = (600_000_000, 21_600_000_000)
#: So many new runs are merged at a time, at least.
_WAITING: Final = 20_000
#: Rows kept, at most (about 150 bytes each). The shortest are forgotten first, which leaves the tail as it was: fewer
#: runs, but from a higher quantile on.
_MOST_RUNS: Final = 60_000
#: Shorter runs are never bursts.
_LEAST: Final = 10
#: Places of a run that are kept from its start.
_PLACES: Final = 5
#: The tail begins at this quantile of a template's runs.
_TAIL: Final = 0.8
#: How many runs of all templates together each template's tail is mixed with.
_PRIOR: Final = 10.0
#: With few others to compare with, a run over more than this share of the log is steady, not a burst; and so is one in
#: which its value is not this many times as frequent as in all the log: a clock that is asked for the time all week.
_STEADY: Final = 0.5
_DENSER: Final = 3.0
#: However many others there are, who is there nearly all the time for an hour or more may belong there, as what probes
#: health does; or be a patient attacker, so it is told.
_THROUGHOUT: Final = 0.9
_LONG: Final = 3_600_000_000
#: The least scale of a tail, in natural logarithms.
_LEAST_SCALE: Final = 0.35

#: Strange runs of one value belong together when no more than this lies between them, in microseconds.
_SAME_BURST: Final = 86_400_000_000

_ADDRESS: Final = r"(?:^|[^\w.])((?:\d{1,3}\.){3}\d{1,3})(?:[^\w.]|\.?$|\.\s)"
_ADDRESS_FIELD: Final = re.compile(
    r"(?i)(?:^|[._-])(?:(?:client|remote|src|source|peer|orig|rhost)(?:[._-]?(?:ip|addr|address|h))|client|rhost|ip)$"
)


def address_field(names: Iterable[str]) -> str | None:
    """Return the name of the field that says who it came from (``client``, ``src_ip``, ``id.orig_h``), if any."""
    return next((name for name in names if _ADDRESS_FIELD.search(name)), None)


def addresses(messages: pl.Series) -> pl.Series:
    """Return the first IPv4 address of each message, null where there is none."""
    return messages.str.extract(_ADDRESS)


class Bursts:
    """Gathers runs while events stream by, in any order, and says which are strange.

    Its memory is bounded: when there are too many runs, the shortest are forgotten, a template's rarest values first.

    Args:
        most: runs kept at most.

    Attributes:
        forgotten: runs dropped because there were too many.
    """

    def __init__(self, most: int = _MOST_RUNS) -> None:
        self.most = most
        self.forgotten = 0
        self._runs: pl.DataFrame | None = None
        self._fresh: list[pl.DataFrame] = []
        self._waiting = 0

    def add(self, events: pl.DataFrame) -> None:
        """Take up events.

        Args:
            events: one row an event: ``template`` (UInt32), ``value`` (String), ``timestamp``, ``file``, ``line``.
                Rows without a value or a time are passed over.
        """
        rows = events.drop_nulls(["value", "timestamp"])
        if not rows.height:
            return
        found = _runs(rows, PAUSES[0])
        self._fresh.append(found)
        self._waiting += found.height
        # Merging costs as much as all runs, so it waits until as many are new.
        if self._waiting >= max(min(_WAITING, self.most), 0 if self._runs is None else self._runs.height):
            self._settled()

    def _settled(self) -> pl.DataFrame | None:
        """Return the runs with all that was added merged in; None where there are none."""
        if self._fresh:
            parts = self._fresh if self._runs is None else [self._runs, *self._fresh]
            self._fresh, self._waiting = [], 0
            self._keep(_merged(pl.concat(parts), PAUSES[0]))
        return self._runs

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace template codes, merging the runs of those that become the same."""
        runs = self._settled()
        if runs is not None:
            self._runs = _merged(runs.with_columns(code(runs["template"]).alias("template")), PAUSES[0])

    def _keep(self, runs: pl.DataFrame) -> None:
        if runs.height > self.most:
            # Half of the room is made at once, so that this does not happen with every batch.
            kept = runs.sort("events", "end", descending=True, maintain_order=True).head(self.most // 2)
            self.forgotten += runs.height - kept.height
            runs = kept
        self._runs = runs

    def to_frame(self) -> pl.DataFrame:
        """Return the runs, without places, to be saved with a model."""
        empty = {"template": pl.UInt32(), "value": pl.String(), "start": pl.Int64(), "end": pl.Int64()}
        runs = self._settled()
        if runs is None:
            return pl.DataFrame(schema=empty | {"events": pl.UInt32()})
        return runs.select(*empty, "events")

    @classmethod
    def restore(cls, runs: pl.DataFrame) -> Bursts:
        """Take up what ``to_frame`` returned."""
        made = cls()
        nowhere = pl.lit(None, pl.UInt64)
        if runs.height:
            made._runs = runs.with_columns(places=pl.lit([], pl.List(pl.UInt64)), last=nowhere)
        return made

    def alarms(self, least: float = 0.0, before: Bursts | None = None) -> pl.DataFrame:
        """Return the bursts, strangest first: the columns of BURSTS.

        A run is one when fewer than ``exp(-least)`` so long are expected among those of its template. Strange runs of
        one value with less than a day between them are one burst, be it for several templates or pauses; it is
        described by the strangest of them.

        Args:
            least: score above which a run is strange.
            before: what was usual before, with the same template codes: its runs are compared with, too.
        """
        runs, known = self._settled(), before._settled() if before else None
        if runs is None:
            return pl.DataFrame(schema=BURSTS)
        parts = [
            _judged(_merged(runs, pause), None if known is None else _merged(known, pause), least) for pause in PAUSES
        ]
        strange = pl.concat(parts).sort("value", "start", "end")
        reach = pl.col("end").cum_max().over("value").shift(1)
        apart = (pl.col("value") != pl.col("value").shift(1)) | (pl.col("start") - reach > _SAME_BURST)
        burst = strange.with_columns(burst=apart.fill_null(True).cum_sum())
        burst = burst.sort("score", "events", "template", descending=[True, True, False])
        return (
            burst.group_by("burst", maintain_order=True)
            .agg(
                *(pl.col(c).first() for c in BURSTS if c not in ("templates", "places")),
                pl.col("template").unique(maintain_order=True).alias("templates"),
                pl.col("places").first().list.concat(pl.col("last").first()).list.unique(maintain_order=True),
            )
            .with_columns(pl.col("start", "end").cast(TIME))
            .select(pl.col(name).cast(dtype) for name, dtype in BURSTS.items())
        )


def _runs(events: pl.DataFrame, pause: int) -> pl.DataFrame:
    """Return the runs of events that no longer pause separates, by template: what ``_merged`` makes of single ones."""
    names, codes = unpack(pack(events["value"]))
    value = codes.to_numpy().astype(np.int64)
    template = events["template"].to_numpy().astype(np.int64)
    start = events["timestamp"].dt.epoch("us").to_numpy()
    place = events["file"].to_numpy().astype(np.uint64) * np.uint64(2**40) + events["line"].to_numpy().astype(np.uint64)
    key = template * len(names) + value
    if not (np.diff(start) >= 0).all() or not (place[1:] >= place[:-1]).all():
        order = np.lexsort((place, start))
        key, start, place = key[order], start[order], place[order]
    # Numbers of 16 bits are sorted by counting.
    order = np.argsort(numbered(key)[1].astype(np.uint16) if len(key) < 2**16 else key, kind="stable")
    key, start, place = key[order], start[order], place[order]
    new = np.append(True, (key[1:] != key[:-1]) | (np.diff(start) > pause))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(key)) - 1
    run = np.cumsum(new) - 1
    shown = np.flatnonzero(np.arange(len(key)) - first[run] < _PLACES)
    places = pl.DataFrame({"run": run[shown], "places": place[shown]}).group_by("run", maintain_order=True).all()
    # Of events at the time of the last, the first one.
    latest = np.flatnonzero(np.append(True, new[1:] | (np.diff(start) > 0)))
    return pl.DataFrame(
        {
            "template": pl.Series(key[first] // len(names), dtype=pl.UInt32),
            "value": owned(names.gather(key[first] % len(names))),
            "start": start[first],
            "end": start[last],
            "events": pl.Series(last - first + 1, dtype=pl.UInt32),
            "places": places["places"],
            "last": place[latest[np.searchsorted(latest, last, side="right") - 1]],
        }
    )


def _merged(runs: pl.DataFrame, pause: int) -> pl.DataFrame:
    """Join runs of a template and value that no longer pause separates."""
    key = ["template", "value"]
    runs = runs.sort(*key, "start", "end")
    reach = pl.col("end").cum_max().over(key).shift(1)
    new = pl.any_horizontal(pl.col(c) != pl.col(c).shift(1) for c in key) | (pl.col("start") - reach > pause)
    return (
        runs.group_by(new.fill_null(True).cum_sum().alias("run"), maintain_order=True)
        .agg(
            *(pl.col(c).first() for c in key),
            pl.col("start").first(),
            pl.col("end").max(),
            pl.col("events").sum(),
            pl.col("places").head(_PLACES).list.explode(empty_as_null=False).head(_PLACES),
            pl.col("last").get(pl.col("end").arg_max()),
        )
        .drop("run")
    )


def _judged(runs: pl.DataFrame, before: pl.DataFrame | None, least: float) -> pl.DataFrame:
    """Return the strange runs, with ``score``, ``usual`` and ``most``.

    Above the quantile ``_TAIL`` of a template's runs the logarithms of lengths are taken as exponential (a Pareto
    tail), with the scale of the runs of the other values; the score is ``-ln`` of how many runs so long are expected
    among its runs. Where other values have few runs, those of all templates stand in.
    """
    runs = runs.with_columns(asked=pl.lit(True))
    span = float(runs["end"].to_numpy().max() - runs["start"].to_numpy().min())
    if before is not None:
        runs = pl.concat([runs, before.with_columns(asked=pl.lit(False))])
    runs = runs.with_columns(x=pl.col("events").cast(pl.Float64).log())
    quantile = pl.col("x").quantile(_TAIL, "higher")
    runs = runs.with_columns(line=quantile.over("template"), line_of_all=quantile)
    beyond = (pl.col("x") - pl.col("line")).clip(0.0)
    tail = (beyond > 0).cast(pl.Float64)
    mine = ["template", "value"]
    runs = runs.with_columns(
        others=(pl.len().over("template") - pl.len().over(mine)).cast(pl.Float64),
        excess=beyond.sum().over("template") - beyond.sum().over(mine),
        many=tail.sum().over("template") - tail.sum().over(mine),
        # The mean over all templates, without the value's own: it must not set the scale that it is judged by.
        usual_excess=(beyond.sum() - beyond.sum().over("value")) / (tail.sum() - tail.sum().over("value")).clip(1.0),
        own=pl.col("x").filter(~pl.col("asked")).max().over(mine),
        part=pl.col("events") / pl.col("events").sum().over(mine),
    )
    stand_in = _PRIOR / (pl.col("others") + _PRIOR)
    line = (1 - stand_in) * pl.col("line") + stand_in * pl.col("line_of_all")
    # Who did as much before is not strange now.
    runs = runs.with_columns(line=pl.max_horizontal(line, "own"))
    scale = (pl.col("excess") + _PRIOR * pl.col("usual_excess")) / (pl.col("many") + _PRIOR)
    among = ((pl.col("others") + 1) * (1 - _TAIL)).clip(1.0)
    score = (pl.col("x") - pl.col("line")) / pl.max_horizontal(scale, pl.lit(_LEAST_SCALE)) - among.log()
    # With few to compare with, who is there all the time may well belong there.
    lasts = (pl.col("end") - pl.col("start")) / max(span, 1.0)
    steady = (pl.col("others") < _PRIOR) & ((lasts > _STEADY) | (pl.col("part") < _DENSER * lasts))
    throughout = (lasts > _THROUGHOUT) & (span >= _LONG)
    strange = runs.with_columns(score=score, throughout=throughout).filter(
        pl.col("asked") & (pl.col("events") >= _LEAST) & (pl.col("score") > least) & ~(steady & (before is None))
    )
    rest = strange.select(mine).unique().join(runs.select("template", of="value", events="events"), on="template")
    compared = (
        rest.filter(pl.col("of") != pl.col("value"))
        .group_by(mine)
        .agg(usual=pl.col("events").quantile(0.95, "higher").cast(pl.UInt32), most=pl.col("events").max())
    )
    found = strange.join(compared, on=mine, how="left", maintain_order="left")
    return found.with_columns(pl.col("usual", "most").fill_null(0))
