"""What goes on beside a finding: the volume of what is strange in it is off; errors that are news, and in none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl

from offbeat.decide.incidents import finding_id
from offbeat.explain.words import failure_sentence
from offbeat.finding import Finding, Line, Ref, named_sources, named_templates
from offbeat.group.sessions import file_and_line
from offbeat.schema import LEVELS

#: Findings that one names, at most.
_MOST: Final = 20
#: Lines that are shown of errors.
_SHOWN: Final = 8


def with_volume(
    found: Sequence[Finding],
    alarms: Sequence[pl.DataFrame],
    rows: Sequence[Mapping[str, Any]],
    volumes: Sequence[Finding],
) -> list[Finding]:
    """Return findings of units and of volume, each naming those of the other kind that it lies in or holds.

    A unit lies in a burst or silence when its strange event does, and the count that is off is of that event's
    template, its source or its level, or of the log as a whole. What is missing has no time, source or level of its
    own: then the whole unit's time counts, and the template.

    Args:
        found: findings of units.
        alarms: the units of each, strangest first: ``key``, ``start``, ``end``, ``template``, ``event``, ``level``,
            ``source``, and ``timestamps`` where there are any.
        rows: bursts, silences and shifts: ``start``, ``end`` and the ``series`` that are off, as in VOLUMES.
        volumes: the finding of each.
    """
    of_units: list[list[dict[str, Any]]] = [[] for _ in found]
    of_volumes: list[list[dict[str, Any]]] = [[] for _ in volumes]
    for i, group in enumerate(alarms):
        for k, row in enumerate(rows):
            inside = group.filter(_lies_in(group, row))
            if inside.height:
                of_units[i].append(_named(volumes[k], None, inside.height))
                of_volumes[k].append(_named(found[i], inside["key"][0], inside.height))
    made = [replace(one, related=more[:_MOST]) for one, more in zip(found, of_units, strict=True)]
    return made + [replace(one, related=more[:_MOST]) for one, more in zip(volumes, of_volumes, strict=True)]


def _lies_in(alarms: pl.DataFrame, row: Mapping[str, Any]) -> pl.Expr:
    """Return which units lie in a burst or silence; see ``with_volume``."""
    has_event = pl.col("event").is_not_null()
    first, last = pl.col("start"), pl.col("end")
    if "timestamps" in alarms.columns:
        at = pl.when(has_event).then(pl.col("timestamps").list.get(pl.col("event"), null_on_oob=True))
        first, last = pl.coalesce(at, first), pl.coalesce(at, last)
    codes: dict[str, list[int]] = {}
    for one in row["series"]:
        codes.setdefault(one["what"], []).append(one["code"])
    about = pl.lit("all" in codes)
    about |= pl.col("template").is_in(codes.get("template", []))
    for what in ("level", "source"):
        about |= has_event & pl.col(what).is_in(codes.get(what, []))
    meanwhile: pl.Expr = (first < row["end"]) & (last >= row["start"])
    return (meanwhile & about).fill_null(False)


def _named(one: Finding, session: str | None, units: int) -> dict[str, Any]:
    return {"id": one.id, "kind": one.kind, "session": session, "units": units, "reason": one.reason}


def in_words(one: Finding) -> str:
    """Say what a finding lies in, or what is flagged in it; empty where that is nothing."""
    if not one.related:
        return ""
    first, others = one.related[0], len(one.related) - 1
    more = f", and {others:,} more" if others else ""
    if first["kind"] in ("volume", "silence", "shift"):
        return f"Meanwhile: {first['reason']} (id {first['id']}{more})"
    units = sum(each["units"] for each in one.related)
    many = f"{units:,} unit{'' if units == 1 else 's'}"
    return f"Flagged in it: {many}, {first['session']} first ({first['kind']}, id {first['id']}{more})"


def untold(news: list[dict[str, Any]], strange: pl.DataFrame) -> list[dict[str, Any]]:
    """Leave out the errors whose first line is in a strange unit: it tells them, unless somebody wants it not to.

    Args:
        news: rows of FAILURES.
        strange: units with ``rows``.
    """
    if not news:
        return news
    places = [row["places"][0] for row in news]
    told = set(strange["rows"].explode().filter(strange["rows"].explode().is_in(places)))
    return [row for row in news if row["places"][0] not in told]


def with_failures(
    findings: list[Finding],
    news: list[dict[str, Any]],
    texts: Sequence[str],
    ids: Sequence[str],
    sources: Sequence[str | None],
    lines: Callable[[Ref], Line],
    *,
    new: bool,
) -> list[Finding]:
    """Return findings, and one for the errors that are news and that none of them is about.

    Args:
        findings: of units, rules and the log as a whole.
        news: rows of FAILURES.
        texts: of the templates by code.
        ids: likewise.
        sources: names by code.
        lines: makes the lines shown.
        new: whether these are new to what was learned.
    """
    about = {one["template_id"] for finding in findings for one in finding.templates}
    shown = {(line.line, line.text) for finding in findings for line in finding.lines if line.mark}
    first = [lines((*file_and_line(row["places"][0]), "worst" if i == 0 else "strange")) for i, row in enumerate(news)]
    left = [
        (row, line)
        for row, line in zip(news, first, strict=True)
        if ids[row["template"]] not in about and (line.line, line.text) not in shown
    ]
    if not left:
        return findings
    rows, worst = [row for row, _ in left], left[0][0]
    name = next(name for name, least in reversed(list(LEVELS.items())) if worst["level"] >= least)
    share = min(1.0, sum(row["share"] for row in rows))
    reason, expected = failure_sentence(texts[worst["template"]], name, worst["events"], len(rows) - 1, new=new)
    made = Finding(
        id=finding_id("new pattern" if new else "rare pattern", "errors", texts[worst["template"]], ""),
        kind="new pattern" if new else "rare pattern",
        severity="high" if worst["level"] >= LEVELS["FATAL"] else "medium",
        severity_reason="fatal lines" if worst["level"] >= LEVELS["FATAL"] else "error lines",
        score=round(-math.log(share), 6),
        p_value=float(f"{share:.4g}"),
        start=min((row["start"] for row in rows if row["start"]), default=None),
        end=max((row["end"] for row in rows if row["end"]), default=None),
        session=None,
        sources=list(dict.fromkeys(named_sources([row["source"] for row in rows], sources))),
        templates=named_templates([row["template"] for row in rows[:_MOST]], ids, texts),
        rules=[],
        reason=reason,
        expected=expected,
        lines=sorted((line for _, line in left[:_SHOWN]), key=lambda line: (line.file, line.line)),
        units=1,
        views={},
    )
    return [*findings, made]
