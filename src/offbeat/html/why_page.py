"""What the page says of why a finding is one, in plain values that the templates lay out."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from offbeat.explain.words import change_words, percent
from offbeat.html import why_charts
from offbeat.why import Explanation

#: Events shown at most, around those that add most; so are differences, edits, and templates that are missing.
_EVENTS: Final = 30
_STEPS: Final = 24
_EDITS: Final = 12
_MISSING: Final = 5
_INSTEAD: Final = 3
#: The least share of the score for a view to be named.
_TOLD: Final = 0.005
_SIGNS: Final = {"add": "+", "remove": "−", "keep": "", "move": "⇅"}


def why(one: Explanation, unit: str) -> dict[str, Any]:
    """Return what the page says of an explanation.

    Args:
        one: the explanation.
        unit: the word for a unit.
    """
    events = _events(one)
    return {
        "threshold": one.threshold,
        "score": one.score,
        "views": [
            (v["view"], why_charts.share(v["share"]), f"{v['share']:.0%}") for v in one.views if v["share"] >= _TOLD
        ],
        "instead": [_instead(e) for e in _least_expected(one)],
        "missing": [
            (gone["template"], why_charts.share(gone["share"], "bar labelled"), percent(gone["share"]))
            for gone in one.missing[:_MISSING]
        ],
        "more_missing": max(0, len(one.missing) - _MISSING),
        "events": events,
        "network": _network(one),
        "otherwise": _otherwise(one),
        "unturned": one.unturned,
        "nearest": _nearest(one, unit),
        "course": one.course and {"sentence": one.course["sentence"], "parts": why_charts.parts(one.course)},
    }


def _least_expected(one: Explanation) -> list[dict[str, Any]]:
    """Return the events that were least to be expected, in their order."""
    told = sorted((e for e in one.events if "expected" in e), key=lambda e: e["probability"])[:_INSTEAD]
    return sorted(told, key=lambda e: int(e["place"]))


def _instead(event: dict[str, Any]) -> dict[str, Any]:
    """Return what came and what was expected in its place, with bars of their probabilities."""
    rank = f"rank {event['rank']:,}" if event["rank"] else "unknown to the network"
    return {
        "at": _at(event),
        "rank": rank,
        "seen": event["template"],
        "bar": why_charts.share(event["probability"], "bar flagged"),
        "probability": _chance(event["probability"]),
        "choices": [
            (
                "the end" if choice.get("end") else choice["template"],
                bool(choice.get("end")),
                why_charts.share(choice["probability"]),
                _chance(choice["probability"]),
            )
            for choice in event["expected"]
        ],
    }


def _at(event: dict[str, Any]) -> str:
    line = f"line {event['line']:,}, " if event["line"] is not None else ""
    return f"{line}event {event['place'] + 1:,}"


def _chance(p: float) -> str:
    return percent(p) if p >= 0.0005 else "< 0.1 %"


def _events(one: Explanation) -> dict[str, Any] | None:
    """Return the events around those that add most, each with what it adds and the states of hidden units."""
    if not one.events:
        return None
    network = one.network or {"begin": 0, "hidden": []}
    adds = [e["adds"] for e in one.events]
    worst = max(range(len(adds)), key=lambda i: adds[i])
    first = min(max(0, worst - 2 * _EVENTS // 3), max(0, len(adds) - _EVENTS))
    shown = one.events[first : first + _EVENTS]
    marks = {line["line"]: line["mark"] for line in one.finding["lines"] if line["mark"]}
    most = max(map(abs, adds))
    most_network = max((abs(e.get("attributed", 0.0)) for e in one.events), default=0.0)
    rows = []
    for event in shown:
        at = event["place"] - network["begin"]
        known = 0 <= at < len(network["hidden"])
        rows.append(
            {
                "no": event["line"] if event["line"] is not None else event["place"] + 1,
                "mark": marks.get(event["line"]),
                "template": event["template"],
                "adds": f"{event['adds']:+.1f}".replace("-", "−") if abs(event["adds"]) >= 0.05 else "",
                "bar": why_charts.adds(event["adds"], event.get("attributed"), most, most_network),
                "heat": why_charts.heat(network["hidden"][at]) if known else "",
            }
        )
    return {
        "rows": rows,
        "before": first,
        "after": len(one.events) - first - len(shown),
        "lines": shown[0]["line"] is not None,
    }


def _network(one: Explanation) -> dict[str, Any] | None:
    """Return how the LSTM was looked into, and what the hidden units shown react to."""
    if one.network is None:
        return None
    reacts = [(u["unit"], u["reacts_to"]["template"]) for u in one.network["units"] if u["reacts_to"]]
    return {
        "method": one.network["method"],
        "units": [u["unit"] for u in one.network["units"]],
        "reacts": reacts,
        "score": one.network["score"],
        "scale": why_charts.scale(),
    }


def _otherwise(one: Explanation) -> dict[str, Any] | None:
    if one.counterfactual is None:
        return None
    edits = one.counterfactual["edits"]
    shown, changes = edits[:_EDITS], one.counterfactual["changes"]
    rows: list[tuple[str, str, str, str]] = []
    for number, run in groupby(shown, key=lambda e: e["change"]):
        whole = [e for e in edits if e["change"] == number]
        told = change_words(whole, len(one.events))
        if len(whole) > 1:
            rows.append(("alike", "", "", told))
        rows += [(e["how"], _SIGNS[e["how"]], e["template"], told if len(whole) == 1 else "") for e in run]
    many = f"{changes} change{'' if changes == 1 else 's'}"
    if len(edits) > changes:
        many += f" of {len(edits)} events"
    if 1 < len(edits) == one.counterfactual["at_least"]:
        many += " (fewer will not do)"
    return {"rows": rows, "many": many, "more": len(edits) - len(shown), "score": one.counterfactual["score"]}


def _nearest(one: Explanation, unit: str) -> dict[str, Any] | None:
    """Return the nearest normal sequence as a difference; what is alike and far from any is counted."""
    if one.nearest is None:
        return None
    steps = one.nearest["steps"]
    changed = [i for i, step in enumerate(steps) if step["how"] != "keep"]
    near = {j for i in changed for j in (i - 1, i, i + 1)}
    rows: list[dict[str, Any]] = []
    for i, step in enumerate(steps):
        if i in near:
            rows.append({"how": step["how"], "sign": _SIGNS[step["how"]], "template": step["template"], "alike": 0})
        elif rows and rows[-1]["alike"]:
            rows[-1]["alike"] += 1
        else:
            rows.append({"how": "keep", "sign": "", "template": "", "alike": 1})
    n = one.nearest["units"]
    held = f"{n:,.0f} of the {one.nearest['of']:,.0f} {unit}s learned from {'is' if n == 1 else 'are'} so"
    return {"rows": rows[:_STEPS], "more": max(0, len(rows) - _STEPS), "held": held, "edits": one.nearest["edits"]}
