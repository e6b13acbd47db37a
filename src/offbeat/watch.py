"""What is watched beside the units: volume, numbers over time, bursts of one address, and which source is to blame."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from offbeat.blame import BLAME, Ledger
from offbeat.decide.incidents import finding_id
from offbeat.detect.beats import Beats
from offbeat.detect.bursts import Bursts
from offbeat.detect.failures import Failures
from offbeat.detect.shifts import Shifts
from offbeat.detect.volume import FAILING, Volume
from offbeat.errors import NotEnoughDataError
from offbeat.explain.words import burst_sentence, shift_sentence, silence_sentence, volume_sentence
from offbeat.finding import Finding, Line, iso, named_sources, named_templates
from offbeat.group.sessions import file_and_line
from offbeat.schema import LEVELS

#: A burst is told when fewer than one such run is expected in a log like this; the volume, judged in many series at
#: once, shifts of numbers and silences only when fewer than one in about 150 logs would show it.
_BURST: Final = 0.0
_VOLUME: Final = 5.0
_SHIFT: Final = 5.0
#: A burst is severe from so many nats beyond that, and of low severity up to so many: one in five logs has such a one.
_FAR: Final = 3.0
_NEAR: Final = 1.6
#: Lines shown of a burst of failures, and templates named.
_SHOWN: Final = 8
_NAMED: Final = 20
#: The stretch that blame looks at is at least so long: a few seconds hold too little to compare.
_STRETCH: Final = timedelta(minutes=1)

#: Turns (file, line, mark) into a Line.
Lines = Callable[[tuple[int, int, str | None]], Line]


@dataclass
class Watch:
    """Gathers while events and units stream by; bounded.

    Attributes:
        before: runs of the training log, to compare bursts with.
    """

    volume: Volume = field(default_factory=Volume)
    bursts: Bursts = field(default_factory=Bursts)
    shifts: Shifts = field(default_factory=Shifts)
    beats: Beats = field(default_factory=Beats)
    failures: Failures = field(default_factory=Failures)
    ledger: Ledger = field(default_factory=Ledger)
    before: Bursts | None = None

    def add(self, events: pl.DataFrame) -> None:
        """Take up events: TEMPLATED with source codes, ``address``, and ``value`` and ``usage`` where there are any."""
        self.volume.add(events)
        self.shifts.add(events)
        self.beats.add(events)
        self.failures.add(events)
        self.bursts.add(events.select("template", "timestamp", "file", "line", value="address"))

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace shape codes by template codes."""
        self.volume.rename(code)
        self.bursts.rename(code)
        self.shifts.rename(code)
        self.beats.rename(code)
        self.failures.rename(code)

    def blamed(
        self, start: datetime, end: datetime, sources: Sequence[str | None], texts: Sequence[str]
    ) -> pl.DataFrame:
        """Return the sources of a stretch of time, most to blame first: columns of BLAME; empty where none can be."""
        short = max(_STRETCH - (end - start), timedelta()) / 2
        try:
            return self.ledger.rank(start - short, end + short, sources, texts.__getitem__)
        except NotEnoughDataError:
            return pl.DataFrame(schema=BLAME)

    def strange_bursts(self) -> pl.DataFrame:
        """Return the bursts, strangest first: the columns of BURSTS."""
        return self.bursts.alarms(_BURST, self.before)

    def strange_shifts(self) -> pl.DataFrame:
        """Return numbers that are off for a while, strangest first: the columns of SHIFTS."""
        return self.shifts.alarms(_SHIFT)

    def strange_silences(self, volumes: Sequence[dict[str, Any]]) -> pl.DataFrame:
        """Return beats that stop, strangest first: the columns of SILENCES.

        What a silence among ``volumes`` tells, by counts, is left out.
        """
        found, told = self.beats.alarms(_VOLUME), pl.lit(False)
        for row in volumes:
            if row["kind"] == "silence":
                told |= (pl.col("start") < row["end"]) & (pl.col("end") > row["start"])
        return found.filter(~told)

    def strange_volume(self, bursts: Sequence[dict[str, Any]]) -> pl.DataFrame:
        """Return bursts and silences of whole series, strangest first: the columns of VOLUMES.

        A rise while one of ``bursts`` goes on is that burst, and left out; what goes on all the time explains none.
        """
        found = self.volume.alarms(_VOLUME)
        explained = pl.lit(False)
        for row in bursts:
            if row["throughout"]:
                continue
            explained |= (pl.col("start") <= row["end"]) & (pl.col("end") >= row["start"])
        return found.filter(~(explained & (pl.col("kind") == "volume")))


def _made(
    kind: str, grade: str, score: float, start: datetime, end: datetime, about: str, view: str = "volume", **given: Any
) -> Finding:
    """Return a finding about the log as a whole rather than its units; ``score`` is -ln of how many are expected."""
    return Finding(
        id=finding_id(kind, about, "", iso(start) or ""),
        kind=kind,
        severity=grade,
        severity_reason=_how_often(score),
        score=round(score, 6),
        p_value=float(f"{min(1.0, math.exp(-score)):.4g}"),
        start=start,
        end=end,
        rules=[],
        views={view: round(score, 4)},
        **given,
    )


def _how_often(score: float) -> str:
    """Say in how many logs like this something is expected; ``score`` is -ln of that share."""
    logs = max(1, round(math.exp(min(score, 30))))
    return (
        f"expected in 1 of {logs:,} logs like this" if logs < 1_000_000 else "expected in none of a million such logs"
    )


def burst_finding(row: dict[str, Any], texts: Sequence[str], ids: Sequence[str], lines: Lines) -> Finding:
    """Return the finding for a row of BURSTS."""
    seconds = (row["end"] - row["start"]).total_seconds()
    many = (row["events"], row["usual"], seconds)
    reason, expected = burst_sentence(texts[row["template"]], row["value"], *many, throughout=row["throughout"])
    shown = [lines((*place, "worst" if i == 0 else "strange")) for i, place in enumerate(places_of(row))]
    return _made(
        "volume",
        _burst_grade(row),
        row["score"],
        row["start"],
        row["end"],
        f"{row['value']} {row['template']}",
        session=row["value"],
        sources=[row["value"]],
        templates=named_templates(row["templates"][:_NAMED], ids, texts),
        reason=reason,
        expected=expected,
        lines=shown,
        units=1,
    )


def _burst_grade(row: dict[str, Any]) -> str:
    """Return how severe a burst is: what goes on all the time is there to be known, not to be woken up for."""
    if row["throughout"]:
        return "low"
    return "high" if row["score"] >= _FAR else "medium" if row["score"] >= _NEAR else "low"


def places_of(row: dict[str, Any], *, ordered: bool = True) -> list[tuple[int, int]]:
    """Return (file, line) of the events that a row of BURSTS, SHIFTS or SILENCES names, by place or as they are."""
    places = [file_and_line(place) for place in row["places"] if place]
    return sorted(places) if ordered else places


def failures(row: dict[str, Any], kept: pl.DataFrame) -> pl.DataFrame:
    """Return the events that make a row of VOLUMES about failures, as far as they were kept, in order.

    Args:
        row: of VOLUMES.
        kept: units with the lists ``rows``, ``timestamps``, ``levels``, ``templates`` and ``sources``.

    Returns:
        These columns, one row an event; empty where the row is about something else.
    """
    lists = ["rows", "timestamps", "levels", "templates", "sources"]
    if not _failing(row) or any(name not in kept.columns for name in lists):
        return pl.DataFrame(schema={"rows": pl.Int64, "templates": pl.UInt32, "sources": pl.UInt32})
    near = kept.filter((pl.col("start") < row["end"]) & (pl.col("end") >= row["start"]))
    events = near.select(lists).explode(lists).unique("rows").sort("rows")
    inside = pl.col("timestamps").is_between(row["start"], row["end"], closed="left")
    return events.filter(inside & (pl.col("levels") >= row["code"]))


def _failing(row: dict[str, Any]) -> bool:
    return bool(row["what"] == "level" and row["code"] >= FAILING)


def volume_finding(
    row: dict[str, Any],
    events: pl.DataFrame,
    texts: Sequence[str],
    ids: Sequence[str],
    sources: Sequence[str | None],
    lines: Lines,
) -> Finding:
    """Return the finding for a row of VOLUMES, with the events that ``failures`` gave and their lines."""
    code, what = row["code"], row["what"]
    level = next((name for name, least in reversed(list(LEVELS.items())) if code >= least), "")
    name = {"template": texts[code] if what == "template" else "", "level": level}.get(what, "")
    if what == "source":
        name = sources[code] or ""
    seconds = (row["end"] - row["start"]).total_seconds()
    named = named_templates([code] if what == "template" else [], ids, texts)
    writers = [name] if what == "source" and name else []
    shown: list[Line] = []
    mostly = ""
    if events.height:
        named = named_templates(_most(events["templates"])[:_NAMED], ids, texts)
        writers = named_sources(_most(events["sources"]), sources)
        shown = [lines((*place, "strange")) for place in places_of_failures(events)]
        mostly = named[0]["template"]
    count = (row["count"], row["expected"])
    reason, expected = volume_sentence(what, name, row["kind"], *count, seconds, row["also"], mostly)
    # Nothing in it says who or what, so it ranks behind what does, unless something stopped or failed.
    failing = _failing(row)
    return _made(
        row["kind"],
        "medium" if row["kind"] == "silence" or failing else "low",
        row["score"],
        row["start"],
        row["end"],
        f"{what} {name}",
        session=None,
        sources=writers,
        templates=named,
        reason=reason,
        expected=expected,
        lines=shown,
        units=1,
    )


def shift_finding(
    row: dict[str, Any],
    texts: Sequence[str],
    ids: Sequence[str],
    sources: Sequence[str | None],
    lines: Lines,
    named: list[str],
) -> Finding:
    """Return the finding for a row of SHIFTS, with the sources ``named``, most to blame first."""
    seconds = (row["end"] - row["start"]).total_seconds()
    text, who = texts[row["template"]], sources[row["source"]] or ""
    about = (row["what"], row["seen"], row["usual"], row["events"], seconds, row["also"])
    reason, expected = shift_sentence(text, who, *about)
    shown = [lines((*place, "worst" if i == 0 else "strange")) for i, place in enumerate(places_of(row, ordered=False))]
    return _made(
        "shift",
        "medium" if row["score"] >= 2 * _SHIFT else "low",
        row["score"],
        row["start"],
        row["end"],
        f"{row['what']} {who} {text}",
        view="shift",
        session=None,
        sources=named,
        templates=named_templates(row["templates"][:_NAMED], ids, texts),
        reason=reason,
        expected=expected,
        lines=sorted(shown, key=lambda line: (line.file, line.line)),
        units=1,
    )


def silence_finding(
    row: dict[str, Any], texts: Sequence[str], ids: Sequence[str], sources: Sequence[str | None], lines: Lines
) -> Finding:
    """Return the finding for a row of SILENCES, with the lines before and after."""
    seconds = (row["end"] - row["start"]).total_seconds()
    text = "" if row["template"] is None else texts[row["template"]]
    who = "" if row["source"] is None else sources[row["source"]] or ""
    reason, expected = silence_sentence(text, who, seconds, row["usual"], row["longest"], row["also"])
    return _made(
        "silence",
        "medium",
        row["score"],
        row["start"],
        row["end"],
        f"template {text} of {who}" if text else f"source {who}" if who else "all ",
        view="beat",
        session=None,
        sources=named_sources(row["sources"], sources),
        templates=named_templates(row["templates"][:_NAMED], ids, texts),
        reason=reason,
        expected=expected,
        lines=[lines((*place, None)) for place in places_of(row)],
        units=1,
    )


def in_series(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of SHIFTS or SILENCES with the ``series`` that are off, as rows of VOLUMES have them."""
    return row | {"series": [{"what": "template", "code": code} for code in row["templates"]]}


def without_bursts(alarms: pl.DataFrame, bursts: list[dict[str, Any]]) -> pl.DataFrame:
    """Leave out the alarms of sessions whose key is a burst's: they are that burst."""
    if alarms.height == 0 or not bursts:
        return alarms
    return alarms.filter(~pl.col("key").is_in([row["value"] for row in bursts]))


def _most(codes: pl.Series) -> list[int]:
    """Return codes, those that occur most often first."""
    return [code for code, _ in Counter(codes.drop_nulls().to_list()).most_common()]


def places_of_failures(events: pl.DataFrame) -> list[tuple[int, int]]:
    """Return (file, line) of the first events that ``failures`` gave."""
    return [file_and_line(at) for at in events["rows"].head(_SHOWN).to_list()]
