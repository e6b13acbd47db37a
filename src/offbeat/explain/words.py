"""One sentence that a person would say, and what was expected instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST = 90


@dataclass(frozen=True)
class Facts:
    """What is known of a finding's worst unit.

    Attributes:
        kind: of EVIDENCE.
        unit: the word for a unit, session or window.
        template: text of the template in question.
        seen, usual, share: as in EVIDENCE.
        before: text of the event before, None at the start.
        instead: of an order or an end, what was expected there, most likely first: (text or None for the end,
            probability).
        trained_on: units the model learned from.
        cut: the log ended before the unit may have.
        late: it begins with what hardly ever comes first, so the log may have begun after it.
    """

    kind: str
    unit: str
    template: str
    seen: float
    usual: float
    share: float
    before: str | None = None
    instead: Sequence[tuple[str | None, float]] = ()
    trained_on: float = 0
    cut: bool = False
    late: bool = False


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return a text that fits a sentence."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def rate(share: float, unit: str) -> str:
    """Say a share in words: ``99.8 % of sessions``, ``1 in 1,100 sessions``, ``no session``."""
    if share <= 0:
        return f"no {unit}"
    if share < 0.01:
        return f"1 in {round(1 / share):,} {unit}s"
    return f"{percent(share)} of {unit}s"


def percent(share: float) -> str:
    """Say a share in percent, to one decimal."""
    if share >= 0.9995:
        return "nearly 100 %" if share < 1 else "100 %"
    return f"{share * 100:.1f} %".replace(".0 %", " %")


def times(n: float) -> str:
    """Say a count."""
    return "once" if n == 1 else "twice" if n == 2 else f"{n:,.0f} times"


def _lines(n: float) -> str:
    """Say how many lines."""
    return "1 line" if n == 1 else f"{n:,.0f} lines"


def duration(seconds: float) -> str:
    """Say a length of time: ``35 ms``, ``1.2 s``, ``20 minutes``, ``3.5 hours``."""
    for unit, size, upto in (("µs", 1e-6, 1e-3), ("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("minutes", 60.0, 7200.0)):
        if seconds < upto:
            return f"{_figures(seconds / size)} {unit}"
    return f"{_figures(seconds / 3600)} hours"


def _figures(x: float) -> str:
    """Write a number with two figures, or whole."""
    return f"{x:,.0f}" if x >= 10 or x == round(x) else f"{x:.1f}"


def _number(x: float) -> str:
    """Write a number with three figures, or whole."""
    return f"{x:,.0f}" if abs(x) >= 100 or x == round(x) else f"{x:.3g}"


def sentence(facts: Facts) -> tuple[str, str]:
    """Return the reason, one sentence, and what was expected, a phrase."""
    t = f"“{shortened(facts.template)}”"
    unit = facts.unit
    match facts.kind:
        case "new pattern":
            return f"{t} was never seen in training.", f"none of {facts.trained_on:,.0f} {unit}s learned from holds it"
        case "rare pattern":
            held = rate(facts.share, unit)
            has = "has" if facts.share < 0.01 else "have"
            only = "only " if facts.share > 0 else ""
            return f"{t} is here, which {only}{held} {has}.", f"no such event: {held} {has} it"
        case "missing event":
            when = f", as where the {unit} began before the log did" if facts.late else ""
            when = when or (" when the log ends" if facts.cut else "")
            return (
                f"{t} is missing{when}; {rate(facts.share, unit)} have it.",
                f"{t} in every {unit}" if facts.share >= 0.9995 else f"{t}, as in {rate(facts.share, unit)}",
            )
        case "count":
            usual = "not at all" if facts.usual == 0 else times(facts.usual)
            often = f"{usual}, as in {rate(facts.share, unit)}"
            return f"{t} comes {times(facts.seen)}; usually {often}.", often
        case "order":
            where = f"After “{shortened(facts.before)}”" if facts.before is not None else f"At the start of the {unit}"
            likely = [f"“{shortened(x)}” ({percent(p)})" if x else f"the end ({percent(p)})" for x, p in facts.instead]
            expected = " or ".join(likely[:2]) or "something else"
            chance = f" ({percent(facts.share)})" if facts.share >= 0.0005 else " (less than 0.1 %)"
            return f"{where} usually comes {expected}; here came {t}{chance}.", expected
        case "end":
            after = f"after {t}" if facts.template else "before its first event"
            on = "it always goes on" if facts.share <= 0 else "nearly all go on"
            on = f"{percent(1 - facts.share)} go on" if facts.share >= 0.0005 else on
            further = next((f"“{shortened(x)}”" for x, _ in facts.instead if x), "a further event")
            return f"The {unit} ends {after}, where {on}.", f"{further} {after}"
        case "misfit":
            alike = rate(facts.share, unit)
            return f"{t} does not fit what is around it; {alike} fit{'s' if facts.share < 0.01 else ''} as badly.", (
                "events as they usually go together"
            )
        case "labelled":
            bad = "none" if facts.share <= 0 else percent(facts.share)
            was = "was" if facts.share <= 0 else "were"
            return (
                f"{t} makes this {unit} look like those labelled anomalous: {bad} of the {unit}s with it {was}.",
                f"events as in {unit}s labelled normal",
            )
        case "mix":
            usual = f"{times(facts.usual) if facts.usual else 'not at all'} in the most similar usual {unit}"
            return f"{t} comes {times(facts.seen)}; {usual}.", usual
        case "relation":
            often = "does not come" if facts.seen == 0 else f"comes {times(facts.seen)}"
            usual = times(facts.usual) if facts.usual else "not at all"
            held = f"as in {rate(facts.share, unit)} with the events that go with it"
            return f"{t} {often}; it should come {usual}, {held}.", f"{t} {usual}, {held}"
        case "length":
            usual = f"{facts.usual:,.0f} events, the median of {unit}s"
            return f"The {unit} has {facts.seen:,.0f} events; {facts.usual:,.0f} are usual.", usual
        case "latency":
            usual = f"after {duration(facts.usual)}" if facts.usual > 0 else "at once"
            what = f"after “{shortened(facts.before)}”" if facts.before is not None else "after the event before it"
            return f"{t} comes {duration(facts.seen)} {what}; usually {usual}.", usual
        case "value":
            usual = f"about {_number(facts.usual)}"
            return f"{t} says {_number(facts.seen)}; usually {usual}.", usual
    raise ValueError(f"no words for the kind {facts.kind!r}")


def change_words(edits: Sequence[Mapping[str, Any]], events: int) -> str:
    """Say in a few words what one change does: ``remove events 14 to 17``, ``add 8 events at the end``.

    Args:
        edits: of one change (``edits.changes``), each with ``how`` and ``place``, and ``to`` where it is moved.
        events: how many the sequence has.
    """
    first, last = edits[0]["place"] + 1, edits[-1]["place"] + 1
    many = "an event" if len(edits) == 1 else f"{len(edits)} events"
    if edits[0]["how"] == "add":
        return f"add {many} {_where(edits[0]['place'], events)}"
    some = f"event {first:,}" if len(edits) == 1 else f"events {first:,} to {last:,}"
    if edits[0]["how"] == "move":
        return f"move {some} {_where(edits[0]['to'], events, 'to')}"
    return f"remove {some}" if last - first + 1 == len(edits) else f"remove {len(edits)} of {some}"


def _where(place: int, events: int, how: str = "at") -> str:
    return f"{how} the end" if place >= events else f"before event {place + 1:,}"


def burst_sentence(
    template: str, value: str, events: int, usual: int, seconds: float, *, throughout: bool = False
) -> tuple[str, str]:
    """Return the reason and what was expected for many events of a template that share a value.

    Args:
        template: its text.
        value: who or what the events have in common, such as an address.
        events: how many there are.
        usual: how many others have at most, nearly always; 0 where there are no others.
        seconds: from the first to the last.
        throughout: whether that is nearly all of the log.
    """
    if usual >= events:
        expected = "hardly ever as often for anybody else"
    else:
        expected = f"at most {times(usual)} for anybody else" if usual else "never for anybody else"
    within = f"within {duration(seconds)}" if seconds > 0 else "at once"
    within = f"all through the log, {within}," if throughout else within
    return f"“{shortened(template)}” comes {times(events)} {within} for {value}; {expected}.", expected


def volume_sentence(
    what: str, name: str, kind: str, count: float, expected: float, seconds: float, also: int, mostly: str = ""
) -> tuple[str, str]:
    """Return the reason and what was expected for a stretch of time with far more or fewer events than usual.

    Args:
        what: was counted: all lines, or those of a template, a source or a level.
        name: of the template, source or level; empty where it is all lines, or those without a source.
        kind: volume or silence.
        count: events in the stretch.
        expected: events expected there.
        seconds: its length.
        also: other series with the same trouble at that time.
        mostly: the template that most of the events are of, where it is known.
    """
    subject, verb = {
        "template": (f"“{shortened(name)}”", "comes"),
        "source": (f"“{shortened(name)}”" if name else "What names no source", "writes"),
        "level": (f"{name} lines" if name else "Lines without a level", "come"),
    }.get(what, ("The log", "has"))
    counted = times if what in ("template", "level") else _lines
    usual = (
        f"about {counted(max(1, round(expected)))}"
        if expected >= 0.5
        else "hardly ever"
        if counted is times
        else "none"
    )
    expectation = f"{usual} in {duration(seconds)}" if expected >= 0.5 else usual
    usual = "otherwise hardly ever" if usual == "hardly ever" else f"usually {usual}"
    more = f" ({also:,} more {'count is' if also == 1 else 'counts are'} off with it)" if also else ""
    if kind == "silence":
        stops = {"come": "stop", "has": "falls silent"}.get(verb, "falls silent")
        how = stops if count == 0 else f"{verb} only {counted(count)}"
        within = "for" if count == 0 else "in"
        return f"{subject} {how} {within} {duration(seconds)}; {usual}{more}.", expectation
    of = f", mostly “{shortened(mostly)}”" if mostly else ""
    return f"{subject} {verb} {counted(count)} in {duration(seconds)}{of}; {usual}{more}.", expectation


def silence_sentence(
    template: str, who: str, seconds: float, usual: float, longest: float, also: int
) -> tuple[str, str]:
    """Return the reason and what was expected for a beat that stops.

    Args:
        template: text of the lines that stop; empty where it is all of a source, or of the log.
        who: their source; empty where it is unknown, or the whole log.
        seconds: the pause.
        usual: the mean pause, in seconds.
        longest: what 19 of 20 pauses do not exceed, in seconds.
        also: further beats that stop at that time.
    """
    subject = f"“{shortened(template)}”{f' of {who}' if who else ''}" if template else f"“{who}”" if who else "The log"
    verb = "does not come" if template else "writes nothing" if who else "falls silent"
    more = f" ({also:,} more {'beat stops' if also == 1 else 'beats stop'} with it)" if also else ""
    pauses = f"hardly ever {duration(longest)} apart"
    if longest <= usual:  # long pauses are few, and make the mean
        pauses = f"19 of 20 within {duration(longest)} of the one before"
    expected = f"a line every {duration(usual)} or so, {pauses}"
    return f"{subject} {verb} for {duration(seconds)}; usually there is {expected}{more}.", expected


def shift_sentence(
    template: str, who: str, what: str, seen: float, usual: float, events: int, seconds: float, also: int
) -> tuple[str, str]:
    """Return the reason and what was expected for numbers that are off for a while.

    Args:
        template: text of the lines that hold them.
        who: their source; empty where it is unknown.
        what: ``usage`` for the use of a resource, else any number.
        seen: the median of the numbers.
        usual: what they usually are around that time.
        events: how many numbers there are.
        seconds: from the first to the last.
        also: other numbers that are off at that time.
    """
    verb = "is at" if what == "usage" else "says"
    more = f" ({also:,} more {'series of numbers is' if also == 1 else 'series of numbers are'} off with it)"
    of = f" of {who}" if who else ""
    within = f" in {events:,} lines within {duration(seconds)}" if seconds > 0 else f" in {events:,} lines at once"
    expected = f"about {_number(usual)}"
    reason = f"“{shortened(template)}”{of} {verb} about {_number(seen)}{within}; usually {expected}"
    return f"{reason}{more if also else ''}.", expected


def rule_sentence(
    title: str,
    events: int,
    who: str,
    seconds: float,
    kind: str,
    bounds: Sequence[tuple[str, float]] = (),
    span: float | None = None,
) -> tuple[str, str]:
    """Return the reason and what was expected for what a rule found.

    Args:
        title: of the rule.
        events: how many are part of it; none where the rule is about silence.
        who: what they have in common, such as an address; empty where it is nothing.
        seconds: from the first to the last.
        kind: event, or the kind of the correlation.
        bounds: what a correlation asks for, pairs of a comparison and a number.
        span: within which it asks for that, in seconds.
    """
    within = f" within {duration(seconds)}" if seconds > 0 else ""
    if events == 0:
        return f"Rule “{shortened(title)}”: {who or 'the log'} says nothing for {duration(seconds)}.", "a sign of life"
    what = "1 event" if events == 1 else f"{events:,} events"
    reason = f"Rule “{shortened(title)}”: {what}{f' of {who}' if who else ''}{within}."
    if kind == "event":
        return reason, "no such event"
    least = next((n for op, n in bounds if op == "gte"), None)
    if least is None or span is None or kind.startswith("temporal"):
        return reason, "not all of this together"
    counted = {"event_count": "events", "value_count": "different values"}.get(kind, kind.replace("_", " "))
    return reason, f"fewer than {least:,.0f} {counted} within {duration(span)}"


def failure_sentence(template: str, level: str, events: int, also: int, *, new: bool) -> tuple[str, str]:
    """Return the reason and what was expected for an error of a kind that is news.

    Args:
        template: of the error.
        level: its name.
        events: how often it comes.
        also: further kinds of errors that are news.
        new: whether it is new to what was learned; else it is written once in a log that is compared with itself.
    """
    are = "kind of errors is" if also == 1 else "kinds of errors are"
    more = f" ({also:,} more {are} {'as new' if new else 'written once'})" if also else ""
    if new:
        said = f"and comes {times(events)}" if events > 1 else "and comes once"
        return f"“{shortened(template)}”, at {level}, was never seen in training, {said}{more}.", "no such error"
    return f"“{shortened(template)}”, at {level}, is written once in all the log{more}.", "no such error"
