"""Rules for findings about the log as a whole: bursts of one address, more or fewer lines, numbers that are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide.incidents import finding_id
from offbeat.errors import OptionError
from offbeat.explain.words import shortened
from offbeat.proposal.check import compiled, tried
from offbeat.proposal.literals import between
from offbeat.proposal.past import Past
from offbeat.proposal.write import STYLES, counted, escaped, finished, selection, span
from offbeat.rules import Engine, Firing
from offbeat.schema import LEVELS

if TYPE_CHECKING:
    from offbeat.proposal.propose import Proposal

Ints = NDArray[np.int64]

#: Spans tried for a burst, in seconds, and for a volume, in widths of the run's buckets; where none of these tells it
#: from the rest (a span that ends at any time may hold more than a bucket of the clock), in parts of a bucket. A burst
#: that none of them tells, for it goes on for days, is counted over a span as long as it.
_SPANS: Final = (60, 600, 3600, 21_600)
_WIDTHS: Final = (1, 2, 4)
_PARTS: Final = (6, 60)
#: A burst is counted over the shortest span in which it has so many times the events of all others.
_CLEAR: Final = 2.0
_SECOND: Final = 1_000_000
#: Kinds of findings about a stretch of the log.
_WHOLE: Final = ("volume", "silence", "shift")


@dataclass(frozen=True)
class _Stretch:
    """A stretch of time that a finding is about, in microseconds since 1970, and whose."""

    start: int
    end: int
    who: str | None

    def meets(self, firing: Firing, who: str | None) -> bool:
        """Return whether a finding of a rule lies in it."""
        low, high = firing.start or 0, firing.end or 0
        return low <= self.end and high >= self.start and (self.who is None or who in (None, self.who))


def propose(past: Past, finding: dict[str, Any]) -> Proposal:
    """Propose a rule for a finding without a unit; as ``propose.propose``.

    Raises:
        OptionError: it is a rule's own, or the log is not at hand.
    """
    if finding["kind"] == "rule":
        raise OptionError("is a rule’s already: " + ", ".join(finding["rules"]), where=finding["id"])
    if past.why_not is not None or not past.timed or not (finding["start"] and finding["end"]):
        what = "is about the log as a whole, whose events would have to be counted"
        hint = f"the log was not read, for {past.why_not}; name it with --log" if past.why_not else "it has no times"
        raise OptionError(what, where=finding["id"], hint=hint)
    best: Proposal | None = None
    for documents, seconds in _written(past, finding):
        result = _result(past, finding, documents, seconds)
        if result.caught and result.quiet:
            return result
        if best is None or (result.caught, -result.false_alarms) > (best.caught, -best.false_alarms):
            best = result
    if best is None:
        raise OptionError("no events like those it is about were found again", where=finding["id"])
    return best


def _stretch(finding: dict[str, Any]) -> _Stretch:
    ends = [int(pl.Series([datetime.fromisoformat(finding[c])]).dt.epoch("us")[0]) for c in ("start", "end")]
    return _Stretch(ends[0], ends[1], finding["session"])


def _written(past: Past, finding: dict[str, Any]) -> list[tuple[list[dict[str, Any]], int]]:
    """Return documents to be tried, with their spans in seconds."""
    here = _stretch(finding)
    out = []
    for name, events in _beyond(past, finding, here) if finding["kind"] == "shift" else _events(finding):
        for group in dict.fromkeys((past.address, "offbeat.address")) if here.who else ("",):
            hits = _hits(past, events, group)
            for seconds, condition in _conditions(past, finding, hits, here):
                title = f"“{shortened(name, 80)}” {_said(condition)}{' from one address' if group else ''}"
                by = [group] if group else []
                out.append((counted(title, events, by, seconds, condition), seconds))
            if out:
                return out
    return out


def _said(condition: dict[str, int]) -> str:
    (op, n), *_ = condition.items()
    return f"{n:,} times or more" if op == "gte" else "falls silent" if n == 0 or op == "lt" else f"only {n:,} times"


def _events(finding: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return what a finding counts, then what it mostly is: names and selections, of each the most readable first."""

    def counts(what: str, name: str) -> bool:
        # What was counted makes a finding's id; in words it is put for people.
        return bool(finding["id"] == finding_id(finding["kind"], f"{what} {name}", "", finding["start"]))

    out: list[tuple[str, dict[str, Any]]] = []
    for level, least in LEVELS.items():
        if counts("level", level):
            above = next((n for n in LEVELS.values() if n > least), 25)
            out.append((f"lines at {level}", {"offbeat.level|gte": least, "offbeat.level|lt": above}))
    out += [("all lines", {"message": "*"})] if counts("all", "") else []
    out += [(name, {"offbeat.source": escaped(name)}) for name in finding["sources"] if counts("source", name)]
    for template in finding["templates"][:1]:
        text = template["template"]
        # A beat that stops is that of one source.
        who = next((name for name in finding["sources"] if counts("template", f"{text} of {name}")), None)
        more = {"offbeat.source": escaped(who)} if who else {}
        out += [(text, s | more) for style in STYLES if (s := selection(text, style)) is not None]
    return out


def _beyond(past: Past, finding: dict[str, Any], here: _Stretch) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a template and source with a number beyond what is usual, as ``_events`` does."""
    out: list[tuple[int, float, str, dict[str, Any]]] = []
    who = {"offbeat.source": escaped(finding["sources"][0])} if finding["sources"] else {}
    for name, events in _events(finding):
        for field in (past.value, *past.usages):
            rows = _hits(past, events | who, field).with_columns(pl.col("who").cast(pl.Float64, strict=False))
            inside = pl.col("time").is_between(here.start, here.end)
            seen, usual = (rows.filter(part)["who"].median() for part in (inside, ~inside))
            if isinstance(seen, float) and isinstance(usual, float) and seen != usual:
                side, word = ("gte", "from") if seen > usual else ("lte", "up to")
                far = abs(np.log1p(abs(seen)) - np.log1p(abs(usual)))
                # Half of the numbers are beyond the second bound, still: it is for what the first does not tell.
                for order, at in enumerate(((seen + usual) / 2, seen)):
                    bound = float(f"{at:.3g}")
                    number = {f"{field}|{side}": int(bound) if bound.is_integer() else bound}
                    out.append((order, -far, f"{name} {word} {bound:g}", events | who | number))
    return [(name, events) for *_, name, events in sorted(out, key=lambda one: one[:2])]


def _hits(past: Past, events: dict[str, Any], group: str) -> pl.DataFrame:
    """Return when the events come, ``time`` in microseconds, and ``who``."""
    draft = finished(counted("draft", events, [group] if group else [], 60, {"gte": 1}), _DRAFT, "")
    engine = Engine(compiled(draft), past.formats)
    parts = [engine.match(frame).rows for frame in past.frames([engine.matcher])]
    who = pl.col(f"f.{group}") if group else pl.lit("")
    rows = pl.concat(parts).select("time", who.alias("who")) if parts else pl.DataFrame()
    return rows.drop_nulls() if rows.height else pl.DataFrame(schema={"time": pl.Int64, "who": pl.String})


_DRAFT: Final = {"id": "draft", "severity": "low"}


def _conditions(
    past: Past, finding: dict[str, Any], hits: pl.DataFrame, here: _Stretch
) -> list[tuple[int, dict[str, int]]]:
    """Return spans in seconds with the condition that tells the finding's stretch from the rest."""
    if finding["kind"] == "silence":
        return _silences(past, hits, here)
    rows = hits.sort("who", "time")
    if not rows.height:
        return []
    time, code = rows["time"].to_numpy(), rows["who"].rank("dense").cast(pl.Int64).to_numpy()
    inside = (time >= here.start) & (time <= here.end)
    if here.who:
        inside &= (rows["who"] == here.who).to_numpy()
    told = [_stretch(f) for f in past.findings if f["kind"] in ("volume", "shift") and f["start"] and f["end"]]
    bucket = _bucket(past)
    whole = span((here.end - here.start) / _SECOND)
    parts = [bucket // n for n in _PARTS if bucket >= n]
    tries = [_SPANS, (whole,)] if here.who else [[bucket * n for n in _WIDTHS], [*parts, whole]]
    out: list[tuple[bool, int, dict[str, int]]] = []
    for seconds in (size for spans in tries if not out for size in spans):
        many = _sliding(code, time, seconds * _SECOND)
        rest = np.ones(len(time), dtype=np.bool_)
        for one in told:
            mine = (time >= one.start) & (time <= one.end + seconds * _SECOND)
            rest &= ~(mine & (rows["who"] == one.who).to_numpy() if one.who and here.who else mine)
        own, others = int(many[inside].max(initial=0)), int(many[rest].max(initial=0))
        if own > others:
            n = max(2, int(np.ceil(between(others, own))))
            out.append((own >= _CLEAR * others, seconds, {"gte": n}))
    return [(seconds, bound) for _, seconds, bound in sorted(out, key=lambda one: (not one[0], one[1]))]


def _silences(past: Past, hits: pl.DataFrame, here: _Stretch) -> list[tuple[int, dict[str, int]]]:
    """Return spans and how few events the stretch has in one of them."""
    out = []
    long = (here.end - here.start) / _SECOND
    for seconds in dict.fromkeys(s for s in (_bucket(past), span(long / 8), span(long / 4), span(long / 2)) if s):
        size = seconds * _SECOND
        first, last = -(-here.start // size), here.end // size  # spans that lie wholly in it
        spans = (hits["time"] // size).to_numpy()
        if last > first:
            most = max(int((spans == at).sum()) for at in range(first, last))
            out.append((seconds, {"lt": 1} if most == 0 else {"lte": most}))
    return out


def _bucket(past: Past) -> int:
    """Return the width of the run's buckets, in seconds."""
    times = past.series.filter(pl.col("what") == "all")["time"].unique().sort()
    steps: Any = times.diff().dt.total_seconds().min()
    return int(steps or 60)


def _sliding(code: Ints, time: Ints, size: int) -> Ints:
    """Return how many events of its group come within ``size`` up to each event, both sorted by group and time."""
    low = int(time.min(initial=0))
    line = code * (int(time.max(initial=0)) - low + size + 1) + (time - low)
    found: Ints = np.arange(len(time)) - np.searchsorted(line, line - size, side="left") + 1
    return found


def _result(past: Past, finding: dict[str, Any], documents: list[dict[str, Any]], seconds: int) -> Proposal:
    from offbeat.proposal.propose import Proposal

    (outcome,) = tried(past, [compiled(finished(documents, finding, ""))])
    here = _stretch(finding)
    told = [_stretch(f) for f in past.findings if f["kind"] in _WHOLE and f["start"] and f["end"]]
    others = [one for one in told if one != here]
    by = documents[-1]["correlation"].get("group-by", [""])[0]
    who = [f.group.get(by) for f in outcome.firings]
    pairs: Sequence[tuple[Firing, str | None]] = list(zip(outcome.firings, who, strict=True))
    mine = any(here.meets(f, w) for f, w in pairs)
    hit = sum(any(one.meets(f, w) for f, w in pairs) for one in others)
    false = [(f, w) for f, w in pairs if not any(one.meets(f, w) for one in told)]
    whole: Any = (past.units["end"].max(), past.units["start"].min())
    normal = (whole[0] - whole[1]).total_seconds() / seconds
    result = Proposal(
        finding=finding["id"],
        rule="",
        title=documents[-1]["title"],
        caught=mine,
        others=float(hit),
        strange=float(len(others)),
        false_alarms=float(len(false)),
        normal=float(max(1, round(normal))),
        on="log",
        unit="span",
    )
    said = f"Proposed for the finding {finding['id']}: {finding['reason']} Tried: {result.summary()}."
    return Proposal(**{**vars(result), "rule": finished(documents, finding, said)})
