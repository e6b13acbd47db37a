"""What is told of lines that a release worded anew: one finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from offbeat.decide.incidents import finding_id
from offbeat.explain.words import shortened
from offbeat.finding import Finding, Line, iso
from offbeat.group.sessions import file_and_line

if TYPE_CHECKING:
    from offbeat.lineage import Changed

#: Lines shown.
CHANGES: Final = 20
#: Reasons of a drift are told beside the commonest where they are those of at least this share of its units.
_MAIN: Final = 0.1


def changed_finding(
    changed: Sequence[Changed],
    ids: Sequence[str],
    quieted: int,
    lines: Callable[[tuple[int, int, str | None]], Line],
) -> Finding:
    """Return the one finding that says that lines changed; the best known of them is told.

    Args:
        changed: in the order in which they were first seen.
        ids: of the templates by code.
        quieted: units that would be anomalies, were the lines not recognised.
        lines: turns (file, line, mark) into a Line.
    """
    changed = list({one.old: one for one in reversed(changed)}.values())[::-1]
    first = max(changed, key=lambda one: (one.similarity, -one.order))
    was, now = shortened(first.was), shortened(first.now)
    times = [one.since for one in changed if one.since is not None]
    many = f"{len(changed):,} lines are" if len(changed) > 1 else "A line is"
    since = f" since {iso(min(times))}" if times else ""
    reason = f"{many} worded anew{since}: what was {was!r} is now {now!r}"
    reason += f", and {len(changed) - 1:,} more." if len(changed) > 1 else "."
    units = f"{quieted:,} alarms are spared" if quieted else "no alarm hangs on it"
    shown = [lines((*file_and_line(one.place), "strange")) for one in changed[:CHANGES]]
    return Finding(
        id=finding_id("format changed", "", " ".join(sorted(ids[one.new] for one in changed)), ""),
        kind="format changed",
        severity="low",
        severity_reason=f"what was learned of the old lines holds for the new; {units}",
        score=0.0,
        p_value=1.0,
        start=min(times, default=None),
        end=max(times, default=None),
        session=None,
        sources=[],
        templates=[{"template_id": ids[one.new], "template": one.now} for one in changed],
        rules=[],
        reason=reason,
        expected=f"{was!r} at this place",
        lines=shown,
        units=quieted,
        views={},
    )


def main_reasons(changed: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the units of a log that changed by reason, the commonest first, without those of few units.

    Args:
        changed: one row a unit, with ``unit``, ``kind`` and ``template``; at least one.
    """
    parts = changed.sort("unit").partition_by("kind", "template", maintain_order=True)
    parts.sort(key=lambda part: -part.height)
    return [parts[0], *(part for part in parts[1:] if part.height >= _MAIN * changed.height)]


def for_reasons(parts: Sequence[pl.DataFrame], n: int, told: Callable[[dict[str, Any]], str]) -> str:
    """Return the reasons of a drift in words, with the share of the ``n`` units that each is of.

    Args:
        parts: as ``main_reasons`` returns them.
        n: how many units changed.
        told: what is said of a unit, a sentence.
    """
    said = ["of them for one reason", *["for another"] * (len(parts) - 1)]
    return " ".join(
        f"{part.height / n:.0%} {which}: {told(part.row(0, named=True))}"
        for part, which in zip(parts, said, strict=True)
    )
