"""Why a rule does not match: which selection fails, and on which field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.rules.columns import Frame
from offbeat.rules.evaluate import evaluate
from offbeat.rules.expr import REFERENCES, All, Expr, Match, Not, Ref, Some, words
from offbeat.rules.logsources import FORMAT
from offbeat.rules.match import SCORED, Matcher
from offbeat.rules.rule import Rule

#: Longer values are cut in explanations.
_WIDTH = 120
#: Comparisons of a selection that are told.
_TOLD = 3


@dataclass(frozen=True)
class Reason:
    """Why events do not match.

    Attributes:
        selection: name of the selection, or ``log source``.
        failed: events that it fails for.
        what: in words, what is asked for and does not hold.
        seen: a value that the field has instead; None where it has none.
    """

    selection: str
    failed: int
    what: str
    seen: str | None

    def __str__(self) -> str:
        seen = f"; seen: {self.seen}" if self.seen is not None else ""
        return f"{self.selection} fails for {self.failed:,} event{'s' if self.failed > 1 else ''}: {self.what}{seen}"


def why(matcher: Matcher, number: int, event: pl.DataFrame) -> list[str]:
    """Say what of a rule an event fits, in words: selection by selection, with the values that the event has.

    Args:
        matcher: holds the rule.
        number: its index.
        event: one row, that the rule matches.
    """
    rule = matcher.rules[number]
    frame = matcher.frame(event)
    out = []
    for name, wanted in _asked(rule.condition, True):
        expr = rule.selections[name]
        if not wanted or not evaluate(expr, frame).rows(1)[0]:
            continue
        held = [f"{words(leaf)}; it is {_seen(leaf, frame)}" for leaf in _held(expr, frame)]
        out.append(f"{name}: {', and '.join(held[:_TOLD])}")
    return out


def _held(expr: Expr, frame: Frame) -> Iterator[Match]:
    """Yield the comparisons by which an expression holds; of alternatives the first."""
    match expr:
        case Match():
            yield expr
        case All(args):
            for arg in args:
                yield from _held(arg, frame)
        case Some(args):
            first = next((arg for arg in args if evaluate(arg, frame).rows(1)[0]), None)
            if first is not None:
                yield from _held(first, frame)


def why_not(matcher: Matcher, number: int, events: pl.DataFrame) -> list[Reason]:
    """Explain why a rule does not match events that it does not match.

    Args:
        matcher: holds the rule.
        number: its index.
        events: a frame as for ``Matcher.rows``.

    Returns:
        One reason a part of the rule that some of these events fail.
    """
    rule = matcher.rules[number]
    reasons = []
    if matcher.gated:
        gate, frame = matcher.gates[number], matcher.frame(events)
        fits = evaluate(gate, frame).rows(len(frame))
        if not fits.all():
            reasons.append(_gate(rule, gate, matcher.frame(events[_first(~fits)]), int((~fits).sum())))
            events = events.filter(fits)
    return [*reasons, *_parts(rule, matcher, events)] if events.height else reasons


def _gate(rule: Rule, gate: Expr, one: Frame, failed: int) -> Reason:
    asked = f"the rule is for {rule.logsource}"
    leaf = next((leaf for leaf in _failing(gate, one, False) if leaf.field), None)
    if leaf is None:
        return Reason("log source", failed, asked, None)
    name = "the format" if leaf.field == FORMAT else leaf.field
    return Reason("log source", failed, asked, f"{name} {_seen(leaf, one)}")


def _parts(rule: Rule, matcher: Matcher, events: pl.DataFrame) -> Iterator[Reason]:
    frame = matcher.frame(events)
    for name, wanted in _asked(rule.condition, True):
        expr = rule.selections[name]
        fits = evaluate(expr, frame).rows(len(frame))
        failed = ~fits if wanted else fits
        if not failed.any():
            continue
        many = int(failed.sum())
        if not wanted:
            yield Reason(name, many, "the condition says not, and it holds", None)
            continue
        one = matcher.frame(events[_nearest(expr, frame, failed)])
        leaf = next(_failing(expr, one, False), None)
        if leaf is not None and leaf.field in SCORED and leaf.field not in events.columns:
            yield Reason(name, many, f"{words(leaf)}, which only models know: offbeat detect --rules", None)
        elif leaf is None:
            yield Reason(name, many, "its parts do not hold together", None)
        else:
            yield Reason(name, many, words(leaf), _seen(leaf, one))


def _nearest(expr: Expr, frame: Frame, failed: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Return which of the events that fail stands for them: the first of those for which most of the parts hold."""
    parts = expr.args if isinstance(expr, All) else ()
    held = sum((evaluate(part, frame).rows(len(frame)).astype(int) for part in parts), np.zeros(len(frame), dtype=int))
    return int(np.argmax(np.where(failed, held, -1)))


def _first(fits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    return int(np.flatnonzero(fits)[0])


def _asked(expr: Expr, positive: bool) -> Iterator[tuple[str, bool]]:
    """Yield the selections of a condition, and whether they are asked for or excluded."""
    match expr:
        case Ref(name):
            yield name, positive
        case Not(arg):
            yield from _asked(arg, not positive)
        case All(args) | Some(args):
            for arg in args:
                yield from _asked(arg, positive)


def _failing(expr: Expr, frame: Frame, negated: bool) -> Iterator[Match]:
    """Yield the comparisons that keep an expression from holding, those that fail most often first."""
    n = len(frame)
    match expr:
        case Match():
            fits = evaluate(expr, frame).rows(n)
            if (fits if negated else ~fits).any():
                yield expr
        case Not(arg):
            yield from _failing(arg, frame, not negated)
        case All(args) | Some(args):
            held = [int(evaluate(arg, frame).rows(n).sum()) for arg in args]
            for i in sorted(range(len(args)), key=lambda i: held[i]):
                yield from _failing(args[i], frame, negated)


def _seen(leaf: Match, frame: Frame) -> str | None:
    """Return a value that a field has where it should have another."""
    names = [leaf.field, *(str(v) for v in leaf.values)] if leaf.op in REFERENCES else [leaf.field]
    shown = []
    for name in names:
        column = frame.column(name) if name is not None else None
        if name is None:
            texts = frame.whole(np.zeros(1, dtype=np.int64)) if len(frame) else pl.Series([], dtype=pl.String)
            value = texts[0] if len(texts) else None
        else:
            value = None if column is None or column.distinct.is_empty() else str(column.distinct.sort()[0])
        shown.append("nothing" if value is None else repr(value[:_WIDTH] + ("…" if len(value) > _WIDTH else "")))
    return " and ".join(shown)
