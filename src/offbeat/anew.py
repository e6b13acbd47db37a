"""What is told of lines that a release worded anew: one finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from offbeat.decide.incidents import finding_id
from offbeat.explain.words import shortened
from offbeat.finding import Finding, Line, iso
from offbeat.group.sessions import file_and_line

if TYPE_CHECKING:
    from offbeat.lineage import Changed

#: Lines shown.
CHANGES: Final = 20


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
