"""The page of a run's explanations, made from what ``detect -o`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offbeat.finding import Finding
from offbeat.html import charts, page
from offbeat.why import Explanation, Findings


def explanations(opened: Findings, explained: Mapping[str, Explanation], title: str | None) -> dict[str, Any]:
    """Return everything the page shows.

    Args:
        opened: the run.
        explained: explanations by id of the finding; only these findings are shown.
        title: of the page; the names of the files unless given.
    """
    shown = [Finding.of(values) for values in opened.found if values["id"] in explained]
    n, total = len(shown), len(opened.found)
    return {
        "title": title or page.name_of(opened.summary),
        "headline": "1 incident explained" if n == 1 else f"{n:,} incidents explained",
        "judged": f"{opened.summary.get('events', 0):,} events in {opened.scores.height:,} {opened.unit}s",
        "unit": opened.unit,
        "threshold": charts.short(opened.threshold),
        "incidents": [
            page.incident(one, i, opened.unit, opened.threshold, explained[one.id]) for i, one in enumerate(shown)
        ],
        "left_out": total - n,
    }
