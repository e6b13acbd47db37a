"""What goes on beside a finding: units that are flagged while the volume of what is strange in them is off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl

from offbeat.finding import Finding

#: Findings that one names, at most.
_MOST: Final = 20


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
