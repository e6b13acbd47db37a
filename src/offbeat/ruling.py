"""Rules while a log is read: matched as events stream by, and their findings joined with those of the models."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import polars as pl

from offbeat.decide.incidents import SAME_KEY, SEVERITIES, finding_id
from offbeat.explain.words import rule_sentence
from offbeat.finding import Finding, Line, iso
from offbeat.group.sessions import POSITION_BITS, file_and_line
from offbeat.read import Logs
from offbeat.read.layout import TextLayout
from offbeat.read.layouts import LAYOUTS
from offbeat.rules import Correlation, Engine, Filter, Firing, Hits, RuleSet
from offbeat.rules.engine import SAME_STRETCH
from offbeat.rules.logsources import RECORDS
from offbeat.rules.match import COLUMNS, Matcher
from offbeat.rules.rule import LEVELS
from offbeat.schema import TIME, covered

#: Sigma's levels as severities.
_SEVERITY: Final = {"informational": "low", "low": "low", "medium": "medium", "high": "high", "critical": "critical"}
#: A source says something about which findings belong together where a log has so many of them.
_SOURCES: Final = 3
#: Fields by which a rule groups that name who writes.
_WRITERS: Final = ("offbeat.source", "source", "service", "host", "hostname")
#: Lines of a rule's finding shown with it, and added to one that it joins.
_SHOWN: Final = 10
_ADDED: Final = 4
_MOST: Final = 16
#: Findings of rules that are told; the others are counted.
_TOLD: Final = 1_000

#: A day, in microseconds.
_DAY: Final = 86_400_000_000

#: Turns (file, line, mark) into a Line.
Lines = Callable[[tuple[int, int, str | None]], Line]


def asked(logs: Logs, matcher: Matcher, *, whole: bool = True) -> tuple[list[str], list[str]]:
    """Return the columns and the single fields that rules need of logs.

    Args:
        logs: opened.
        matcher: holds the rules.
        whole: whether to ask for all fields, of records as one JSON object, for those may have any; otherwise only for
            those that rules name and the first records have, which is cheaper. Keywords are looked for in what is read.
    """
    kinds = [sniffed.layout for sniffed in logs.sniffed]
    if whole and any(kind in RECORDS for kind in kinds):
        return [*COLUMNS, "fields"], []
    has: set[str] = set()
    for sniffed in logs.sniffed:
        layout = LAYOUTS.get(sniffed.layout)
        # A format says which fields it has; of records only the first ones can tell.
        own = layout.field_names if isinstance(layout, TextLayout) else sniffed.fields
        every = whole and matcher.searches and isinstance(layout, TextLayout)
        has.update(own if every else set(own) & set(matcher.names))
    return list(COLUMNS), sorted(has)


class Ruling:
    """Rules over one input.

    Args:
        rules: what to look for.
        formats: of each file, as the readers call it; None where it is not known.
        whole: whether all fields of records are looked at.

    Attributes:
        firings: what was found, once ``finish`` was called.
    """

    def __init__(self, rules: RuleSet, formats: Sequence[str | None] = (), *, whole: bool = True) -> None:
        self.rules = rules
        self.whole = whole
        self.engine = Engine(rules.documents, formats)
        self.firings: list[Firing] = []
        self._hits: dict[tuple[int, int], Hits] = {}
        #: By day, the first and the last time.
        self._days: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def with_rules(self, rules: RuleSet) -> Ruling:
        """Return the same for rules of the user's, with nothing found yet."""
        return Ruling(rules, self.engine.matcher.formats)

    @property
    def scored(self) -> bool:
        """Whether a rule reads what only the models know, so that all wait until events are scored."""
        return self.engine.matcher.scored

    def asked(self, logs: Logs) -> tuple[list[str], list[str]]:
        """Return the columns and the single fields to read."""
        return asked(logs, self.engine.matcher, whole=self.whole)

    def begin(self) -> None:
        """Forget what was found."""
        self.engine = Engine(self.rules.documents, self.engine.matcher.formats)
        self.firings, self._hits, self._days = [], {}, {}

    def look(self, frame: pl.DataFrame) -> None:
        """Match a frame; may run in any thread, frames in any order."""
        if frame.height == 0:
            return
        hits = self.engine.match(frame)
        with self._lock:
            self._hits[frame["file"][0], frame["line"][0]] = hits

    def take(self, frame: pl.DataFrame) -> None:
        """Take up what ``look`` found in a frame; in the order of the input."""
        if frame.height:
            with self._lock:
                hits = self._hits.pop((frame["file"][0], frame["line"][0]))
            self.firings += self.engine.add(hits)
            if "timestamp" in frame.columns:
                self._note(frame["timestamp"].drop_nulls().dt.epoch("us"))

    def _note(self, times: pl.Series) -> None:
        at = pl.col("at")
        days = times.to_frame("at").group_by(day=at // _DAY).agg(low=at.min(), high=at.max())
        for day, low, high in days.iter_rows():
            first, last = self._days.get(day, (low, high))
            self._days[day] = min(first, low), max(last, high)

    @property
    def _covered(self) -> float:
        """How long the log is in seconds, without pauses so long that a stray time stamp made them; 0 without times."""
        days = pl.DataFrame(list(self._days.values()), {"start": pl.Int64, "end": pl.Int64}, orient="row")
        time = covered(days.cast(TIME))
        return time.total_seconds() if time else 0.0

    def finish(self) -> None:
        """End the input."""
        self.firings += self.engine.flush()

    def findings(self, lines: Lines, inside: Callable[[Mapping[str, Any]], bool]) -> list[Finding]:
        """Return one finding a firing that lies in the stretch of time asked for; those of one group joined.

        Args:
            lines: fetches a line.
            inside: whether a stretch from ``start`` to ``end`` is wanted.
        """
        made = []
        self._strengths: dict[int, list[int]] = {}
        for firing in sorted(self.firings, key=lambda f: f.events):
            self._strengths.setdefault(firing.key, []).append(firing.events)
        for firing in self._told:
            one = self._finding(firing)
            if one.start is None or one.end is None or inside({"start": one.start, "end": one.end}):
                shown = [lines((*place, "worst" if i == 0 else "strange")) for i, place in enumerate(firing.places)]
                made.append(replace(one, lines=shown[:_SHOWN]))
        return _of_one_group(made)

    def places(self) -> set[tuple[int, int]]:
        """Return the lines that findings show."""
        return {place for firing in self._told for place in firing.places[:_SHOWN]}

    @property
    def _told(self) -> list[Firing]:
        """The firings that become findings: those with most events of the highest levels, were there too many.

        Rules that are informational find nothing by themselves, says Sigma's specification.
        """
        level = {key: LEVELS.index(getattr(d, "level", "informational")) for key, d in enumerate(self.rules.documents)}
        told = [firing for firing in self.firings if level[firing.key]]
        return sorted(told, key=lambda f: (-level[f.key], -f.events, f.start or 0, str(f.group)))[:_TOLD]

    @property
    def untold(self) -> int:
        """How many firings are more than anybody would read."""
        loud = [f for f in self.firings if getattr(self.rules.documents[f.key], "level", "") != LEVELS[0]]
        return max(0, len(loud) - _TOLD)

    def _p_value(self, firing: Firing, span: float) -> float:
        """Return in which share of the log's stretches the rule fires with as many events; 1 without times.

        A conformal p-value with the other stretches to compare with, so that what rules find can be ranked beside what
        models find: a rule that fires all day says less than one that fires once.

        Args:
            firing: of a rule.
            span: how long a stretch is, in seconds.
        """
        if firing.start is None or not self._days:
            return 1.0
        stretches = max(1.0, self._covered / span)
        counts = self._strengths[firing.key]
        return min(1.0, (len(counts) - bisect_left(counts, firing.events)) / stretches)

    def _finding(self, firing: Firing) -> Finding:
        rule = self.engine.documents[firing.key]
        assert not isinstance(rule, Filter)  # noqa: S101 - a filter finds nothing
        level = rule.level
        start, end = _time(firing.start), _time(firing.end)
        seconds = ((firing.end or 0) - (firing.start or 0)) / 1e6
        group = {name: value for name, value in firing.group.items() if value}
        who = ", ".join(group.values())
        kind = rule.kind if isinstance(rule, Correlation) else "event"
        bounds = rule.bounds if isinstance(rule, Correlation) else ()
        span = rule.seconds if isinstance(rule, Correlation) else None
        p_value = self._p_value(firing, span or SAME_STRETCH)
        reason, expected = rule_sentence(rule.title, firing.events, who, seconds, kind, bounds, span)
        return Finding(
            id=finding_id("rule", rule.title, who, iso(start) or str(firing.places[:1])),
            kind="rule",
            severity=_SEVERITY[level],
            severity_reason=f"the rule’s level is {level}",
            score=round(-math.log(p_value), 6) + 0.0,
            p_value=float(f"{p_value:.4g}"),
            start=start,
            end=end,
            session=who or None,
            # Who falls silent writes no line that would say who it is.
            sources=firing.sources or [value for name, value in group.items() if name in _WRITERS],
            templates=[],
            rules=[rule.title],
            reason=reason,
            expected=expected,
            lines=[],
            units=1,
            views={},
        )


def _time(micros: int | None) -> datetime | None:
    return (
        None
        if micros is None
        else datetime.fromtimestamp(micros // 1_000_000, UTC) + timedelta(microseconds=micros % 1_000_000)
    )


def _near(a: Finding, b: Finding) -> bool:
    """Return whether two findings lie no further apart than alarms of one session that belong together."""
    if a.start is None or a.end is None or b.start is None or b.end is None:
        return False
    return a.start <= b.end + SAME_KEY and b.start <= a.end + SAME_KEY


def _of_one_group(findings: Iterable[Finding]) -> list[Finding]:
    """Join findings of several rules about one group: brute force, spraying and the login that follows are one.

    Those that share a line are one, too: a scan, and the errors that it makes.
    """
    out: list[Finding] = []
    order = sorted(findings, key=lambda f: (-SEVERITIES.index(f.severity), iso(f.start) or "", f.id))
    for one in order:
        at = next((i for i, f in enumerate(out) if _near(f, one) and (_same(f, one) or _share(f, one))), None)
        if at is None:
            out.append(one)
        else:
            out[at] = absorbed(out[at], one)
    return out


def _same(a: Finding, b: Finding) -> bool:
    return a.session is not None and a.session == b.session


def _share(a: Finding, b: Finding) -> bool:
    return bool({(line.file, line.line) for line in a.lines} & {(line.file, line.line) for line in b.lines})


def absorbed(base: Finding, rule: Finding) -> Finding:
    """Return a finding that a rule's joins: with its rules, its severity where that is higher, and some lines."""
    known = {(line.file, line.line) for line in base.lines}
    room = max(0, min(_ADDED, _MOST - len(base.lines)))
    more = [line for line in rule.lines if (line.file, line.line) not in known][:room]
    higher = SEVERITIES.index(rule.severity) > SEVERITIES.index(base.severity)
    new = [name for name in rule.rules if name not in base.rules]
    reason = f"{base.reason} {rule.reason}" if new else base.reason
    times = [t for t in (base.start, rule.start) if t is not None], [t for t in (base.end, rule.end) if t is not None]
    return replace(
        base,
        severity=rule.severity if higher else base.severity,
        severity_reason=f"{base.severity_reason}, {rule.severity_reason}" if higher else base.severity_reason,
        start=min(times[0], default=None),
        end=max(times[1], default=None),
        sources=base.sources or rule.sources,
        rules=[*base.rules, *new],
        reason=reason,
        lines=sorted([*base.lines, *more], key=lambda line: (line.file, line.line)),
        units=base.units + rule.units,
    )


@dataclass(frozen=True)
class Joiner:
    """Joins rules' findings with those of the models.

    Attributes:
        units: by finding of the models, the (file, line) of all events of its units.
        keys: by finding, the keys of its units.
        sources: how many sources the log has.
    """

    units: Mapping[str, set[tuple[int, int]]] = field(default_factory=dict)
    keys: Mapping[str, set[str]] = field(default_factory=dict)
    sources: int = 0

    @classmethod
    def of(cls, alarms: Mapping[str, pl.DataFrame], ruling: Ruling, windows: bool, sources: int) -> Self:
        """Return what joins findings of rules with those made of alarms.

        Args:
            alarms: by finding, its units: ``key``, and ``rows`` where there are any.
            ruling: what rules found.
            windows: whether units are windows, whose keys say nothing.
            sources: how many sources the log has.
        """
        hit = [(file << POSITION_BITS) + line for file, line in ruling.places()]
        rows = {id_: units["rows"].explode() for id_, units in alarms.items() if "rows" in units.columns}
        places = {id_: set(map(file_and_line, r.filter(r.is_in(hit)).to_list())) for id_, r in rows.items()}
        return cls(places, {} if windows else {id_: set(units["key"]) for id_, units in alarms.items()}, sources)

    def joined(self, models: Sequence[Finding], rules: Sequence[Finding], files: Sequence[str]) -> list[Finding]:
        """Return all findings, a rule's within the first of the models' that it belongs to.

        They belong together where they share a line; where they are about one session, or one address, at one time;
        where both say that a source is silent; and, in a log of several sources, where that most to blame for one that
        does not last is the rule's.
        """
        out = list(models)
        index = {name: i for i, name in enumerate(files)}
        for rule in rules:
            places = {(index.get(line.file, 0), line.line) for line in rule.lines}
            at = next((i for i, f in enumerate(models) if self._belongs(f, rule, places)), None)
            if at is None:
                out.append(rule)
            else:
                out[at] = absorbed(out[at], rule)
        return out

    def _belongs(self, model: Finding, rule: Finding, places: set[tuple[int, int]]) -> bool:
        if places & self.units.get(model.id, set()):
            return True
        if not _near(model, rule):
            return False
        if model.kind == "silence" and not rule.lines and set(model.sources) & set(rule.sources):
            return True
        if rule.session is not None and rule.session in {model.session, *self.keys.get(model.id, set())}:
            return True
        # One that lasts long shares its time with everything.
        short = model.start is not None and model.end is not None and model.end - model.start <= SAME_KEY
        return short and self.sources >= _SOURCES and set(model.sources[:1]) <= {*rule.sources, rule.session}
