"""Trying rules: over a log, with reasons for what does not match, and over the examples beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from offbeat.errors import InputError
from offbeat.finding import iso
from offbeat.read import Lines, Logs, open_logs
from offbeat.rules import EXAMPLES, Engine, Firing, Rule, RuleSet
from offbeat.rules.why import Reason, why, why_not
from offbeat.ruling import asked

#: Events that an explanation looks at, and that are shown.
_EXPLAINED: Final = 2_000
_SHOWN: Final = 5


@dataclass
class Tested:
    """What one rule did on some events.

    Attributes:
        rule: its title.
        key: its place in the engine's documents.
        events: how many were looked at.
        matched: events that a rule on single events matches; findings of a correlation.
        where: (file, line) of the first matches.
        firings: of a correlation.
        because: why the first event that matches does.
        reasons: why events that do not match do not.
        looked_at: how many of these the reasons are about, the first.
    """

    rule: str
    key: int
    events: int = 0
    matched: int = 0
    where: list[tuple[str, int]] = field(default_factory=list)
    firings: list[Firing] = field(default_factory=list)
    because: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    looked_at: int = 0


def run_rules(rules: RuleSet, logs: Logs, *, explain: bool = False, gated: bool = True) -> list[Tested]:
    """Run every rule over logs, also those that only serve correlations.

    Args:
        rules: what to look for.
        logs: opened.
        explain: say why events do not match.
        gated: whether rules are for their own log source only.
    """
    engine = Engine(rules.documents, [sniffed.layout for sniffed in logs.sniffed], gated=gated)
    engine.silent = set()
    tested = {key: Tested(d.title, key) for key, d in enumerate(rules.documents) if d in rules.rules}
    columns, names = asked(logs, engine.matcher)
    firings: list[Firing] = []
    for frame in logs.batches(columns, names):
        rows = engine.matcher.rows(frame)
        for i, (key, found) in enumerate(zip(engine.keys, rows, strict=True)):
            one = tested[key]
            one.matched += len(found)
            places = frame[found[: _SHOWN - len(one.where)]].select("file", "line").rows()
            one.where += [(logs.files[file], line) for file, line in places]
            if explain and not one.because and len(found):
                one.because = why(engine.matcher, i, frame[int(found[0])])
            if explain and not one.reasons and len(found) < frame.height:
                others = np.setdiff1d(np.arange(frame.height), found)[:_EXPLAINED]
                one.reasons, one.looked_at = why_not(engine.matcher, i, frame[others]), len(others)
        firings += engine.add(engine.match(frame, rows))
    firings += engine.flush()
    for key, one in tested.items():
        one.events = engine.events
        if not isinstance(rules.documents[key], Rule):
            one.firings = sorted((f for f in firings if f.key == key), key=lambda f: (f.start or 0, str(f.group)))
            one.matched = len(one.firings)
            one.where = [(logs.files[file], line) for f in one.firings for file, line in f.places][:_SHOWN]
    return list(tested.values())


@dataclass(frozen=True)
class Example:
    """Lines beside a rule, and what it must say about them.

    Attributes:
        name: in a few words.
        lines: of a log.
        matched: how often the last rule of the file must match.
        format: of the log; found from the lines unless given.
        where: ``path:line``.
    """

    name: str
    lines: tuple[str, ...]
    matched: int
    format: str | None
    where: str


def examples_of(rule: Path) -> Path:
    """Return where the examples of a rule file lie."""
    return rule.with_name(rule.stem + EXAMPLES)


def read_examples(path: Path) -> list[Example]:
    """Read the examples of a rule.

    The file is a YAML list of maps: ``name``, ``events`` (text, one line an event), ``matched`` and, where it cannot be
    found from the lines, ``format``.

    Raises:
        InputError: it is absent, or not as described.
    """
    if not path.exists():
        hint = "name a log, or write examples there"
        raise InputError("there are no examples", where=str(path), hint=hint)
    try:
        import yaml

        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InputError(f"is no YAML: {str(problem).splitlines()[0]}", where=str(path)) from None
    if not isinstance(given, list):
        raise InputError("is no list of examples", where=str(path), hint="maps with name, events and matched")
    return [_example(item, f"{path}#{number}") for number, item in enumerate(given, 1)]


def _example(item: Any, where: str) -> Example:
    if (
        not isinstance(item, dict)
        or not isinstance(item.get("events"), str)
        or not isinstance(item.get("matched"), int)
    ):
        raise InputError("is no example", where=where, hint="a map with name, events and matched")
    lines = tuple(line for line in item["events"].splitlines() if line.strip())
    return Example(str(item.get("name") or where), lines, item["matched"], item.get("format"), where)


def outermost(rules: RuleSet, file: Path) -> int:
    """Return the place of the last rule of a file: what its examples are about."""
    here = [key for key, d in enumerate(rules.documents) if d in rules.rules and d.where.startswith(f"{file}:")]
    return here[-1] if here else 0


def run_examples(rules: RuleSet, file: Path, examples: Sequence[Example]) -> Iterator[tuple[Example, Tested]]:
    """Run the last rule of a file over each of its examples."""
    for example in examples:
        logs = open_logs(Lines(list(example.lines)), format=example.format)
        about = outermost(rules, file)
        yield example, next(t for t in run_rules(rules, logs, explain=True) if t.key == about)


def described(firing: Firing) -> str:
    """Return a finding of a correlation in a few words: for whom, how often, when."""
    group = ", ".join(f"{name} {value}" for name, value in firing.group.items()) or "all events"
    times = f"{time_of(firing.start)} to {time_of(firing.end)}"
    return f"{group}: {firing.events:,} events, {times}"


def time_of(micros: int | None) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC."""
    return "" if micros is None else iso(datetime.fromtimestamp(micros / 1e6, UTC)) or ""
