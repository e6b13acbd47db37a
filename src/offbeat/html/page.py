"""What the page says, in plain values that the templates lay out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

import polars as pl
from markupsafe import Markup, escape

from offbeat import report, series
from offbeat.beside import in_words
from offbeat.finding import Finding, Line
from offbeat.html import charts
from offbeat.html.svg import day_of
from offbeat.html.why_page import why
from offbeat.printable import visible
from offbeat.run import Run
from offbeat.why import Explanation

#: What is shown at most; whatever is left out is said.
INCIDENTS: Final = 200
OPEN: Final = 1
PATTERNS: Final = 15
ALL_PATTERNS: Final = 5_000
_SOURCES: Final = 12
_TEMPLATES: Final = 8

_VARIABLE: Final = re.compile(r"<[\w*:. -]{0,40}>")
_WORDS: Final = {
    "precision": ("precision", "of the alarms, how many are anomalies"),
    "recall": ("recall", "of the anomalies, how many raise an alarm"),
    "f1": ("F1", "harmonic mean of both"),
    "ap": ("average precision", "area under the precision-recall curve"),
    "auc": ("ROC AUC", "chance that an anomaly outscores a normal unit"),
    "fpr": ("false positive rate", "of the normal units, how many raise an alarm"),
}


def cut(text: str, longest: int) -> str:
    """Return text made visible and no longer than so many characters."""
    text = visible(text[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def pattern(text: str, longest: int) -> Markup:
    """Return a template with its variable parts set off."""
    out, at = [], 0
    text = cut(text, longest)
    for found in _VARIABLE.finditer(text):
        out += [escape(text[at : found.start()]), Markup('<span class="var">{}</span>').format(found.group())]
        at = found.end()
    return Markup("").join([*out, escape(text[at:])])


def when(time: datetime | None) -> str:
    """Return a time in UTC to the second, as people read it."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def span(start: datetime | None, end: datetime | None) -> str:
    """Return a stretch of time, without repeating the day."""
    if start is None or end is None or when(start) == when(end):
        return when(start) or when(end)
    return f"{when(start)} – {when(end)[11:] if start.date() == end.date() else when(end)}"


def context(
    run: Run,
    findings: Sequence[Finding],
    trained: Mapping[str, Any],
    title: str | None,
    explained: Mapping[str, Explanation] | None = None,
) -> dict[str, Any]:
    """Return everything the templates show."""
    told = explained or {}
    shown, learned = list(findings[:INCIDENTS]), run.decision.threshold
    lanes = charts.swim_lanes(run)
    timeline, distribution = series.timeline(run), charts.distribution(run)
    return {
        "title": title or name_of(run.summary),
        "period": _period(run),
        "judged": _judged(run),
        "headline": _headline(len(findings)),
        "calm": _calm(run) if not findings else None,
        "severities": _severities(findings),
        "overview": report.overview(findings),
        "facts": _facts(run, trained, len(shown), len(findings)),
        "drift": _drift(run),
        "fit": run.fit,
        "unit": run.unit,
        "threshold": charts.short(run.threshold),
        "timed": timeline.axis.timed,
        "outside": _outside(run, timeline.outside),
        "timeline": charts.timeline(run, shown),
        "incidents": [
            incident(one, i, run.unit, run.threshold, told.get(one.id), None if run.learned is None else learned)
            for i, one in enumerate(shown)
        ],
        "left_out": len(findings) - len(shown),
        "lanes": lanes and {"rows": lanes[0], "axis": lanes[1], "left_out": lanes[2]},
        "volume": {"chart": charts.volume(run), "events": run.tally.events, "peak": _peak(run)},
        "patterns": _patterns(run),
        "distribution": distribution,
        "labelled": _labelled(run),
    }


def name_of(summary: Mapping[str, Any]) -> str:
    """Return what was looked at, in a few words, from the summary of a run."""
    names = [PurePath(f).name or f for f in summary.get("files", [])] or ["log"]
    rest = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + rest


def _period(run: Run) -> str:
    start, end = (run.scores[c].drop_nulls() for c in ("start", "end"))
    low, high = start.min(), end.max()
    if not isinstance(low, datetime) or not isinstance(high, datetime):
        return ""
    if low.date() == high.date():
        return f"{day_of(low)} {low.year}, {low:%H:%M} – {high:%H:%M} UTC"
    year = f" {low.year}" if low.year != high.year else ""
    return f"{day_of(low)}{year}, {low:%H:%M} – {day_of(high)} {high.year}, {high:%H:%M} UTC"


def _judged(run: Run) -> str:
    flagged = int(run.scores["is_anomaly"].sum())
    counts = f"{run.tally.events:,} events in {run.scores.height:,} {run.unit}s"
    return f"{counts}, {flagged:,} of them flagged ({run.alert_share:.2%})"


def _outside(run: Run, units: int) -> str:
    if units == 0:
        return ""
    return (
        f"{units:,} {run.unit}{' lies' if units == 1 else 's lie'} off this axis, without a time or far from the rest."
    )


def _headline(total: int) -> str:
    return "Nothing is off the beat" if total == 0 else "1 incident" if total == 1 else f"{total:,} incidents"


def _calm(run: Run) -> str:
    strangest = charts.short(float(run.scores["score"].to_numpy().max(initial=0.0)))
    line = charts.short(run.threshold)
    if strangest == line:
        return f"The strangest {run.unit} lies just below the threshold, {line}."
    return f"The strangest {run.unit} scores {strangest}; the threshold is {line}."


def _severities(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    counts = Counter(one.severity for one in findings)
    return [(s, counts[s]) for s in ("critical", "high", "medium", "low") if counts[s]]


def _facts(run: Run, trained: Mapping[str, Any], shown: int, total: int) -> list[tuple[str, str]]:
    """Return the lines of the terminal's head as (word, text); drift has a place of its own."""
    out: list[tuple[str, str]] = []
    for (label, _), *rest in report.head(run, trained, shown, total):
        text = "".join(piece for piece, _ in rest)
        if label.strip() == "drift":
            continue
        if label.strip() or not out:
            out.append((label.strip(), text))
        else:
            out[-1] = (out[-1][0], f"{out[-1][1]}; {text}")
    return out


def _drift(run: Run) -> dict[str, str] | None:
    if run.drift is None:
        return None
    return {
        "share": f"{run.drift.share:.0%}",
        "expected": f"{run.drift.expected:.1%}",
        "judged": report.judged_anew(run),
    }


def incident(
    one: Finding,
    i: int,
    unit: str,
    threshold: float,
    explained: Explanation | None = None,
    learned: float | None = None,
) -> dict[str, Any]:
    """Return what is shown of the finding at place ``i``, with an explanation where there is one.

    ``learned`` is the threshold on the scale of the views, and of drift, where a run that changed has another.
    """
    line = threshold if learned is None else learned
    # What is about the log as a whole has no threshold in common with units; one that was read again has no ``unit``.
    of_unit = one.unit is not None or (explained is not None and explained.score is not None)
    return {
        "n": i + 1,
        "open": i < OPEN,
        "one": one,
        "when": span(one.start, one.end),
        "beside": in_words(one),
        "units": f"{one.units:,} {unit}s" if one.units > 1 else "",
        "about": report.about(one),
        "sources": one.sources[:_SOURCES],
        "more_sources": max(0, len(one.sources) - _SOURCES),
        "templates": one.templates[:_TEMPLATES],
        "more_templates": max(0, len(one.templates) - _TEMPLATES),
        "lines": _lines(one.lines),
        "of_unit": of_unit,
        "views": charts.shares(one.views, line if of_unit else math.inf),
        "threshold": charts.short(line if one.kind == "drift" else threshold),
        "why": explained and why(explained, unit),
    }


def _lines(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return lines with where the file changes, and where some are left out between two."""
    out: list[dict[str, Any]] = []
    before: Line | None = None
    for line in lines:
        file = before is None or line.file != before.file
        gap = before is not None and not file and line.line > before.line + 1
        name = PurePath(line.file).name if file else ""
        out.append({"line": line, "said": report.message_of(line.text), "file": name, "gap": gap})
        before = line
    return out


def _peak(run: Run) -> str:
    v = series.volume(run)
    unit = f"{run.unit}s" if not run.tally.timed and run.logs is None and run.messages is None else "events"
    return f"each bar is {_width(v.width)}" if v.axis.timed else f"each bar is {v.width:,} {unit}"


def _width(microseconds: int) -> str:
    for size, word in ((86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second")):
        if microseconds >= size:
            n = microseconds // size
            return f"{n:,} {word}{'s' if n > 1 else ''}"
    return f"{microseconds / 1000:g} ms"


def _patterns(run: Run) -> dict[str, Any]:
    """Return the rarest and the newest patterns with their course, and all of them."""
    frame = run.patterns
    rarest = frame.sort("count", "order", descending=[False, True]).head(PATTERNS)
    newest = frame.sort("is_new", "order", descending=[True, True]).head(PATTERNS)
    listed = frame.head(ALL_PATTERNS)
    return {
        "total": frame.height,
        "new": int(frame["is_new"].sum()),
        "rarest": _rows(run, rarest),
        "newest": _rows(run, newest),
        "all": list(listed.select("template_id", "text", "count", "share", "is_new").iter_rows()),
        "left_out": frame.height - listed.height,
    }


def _rows(run: Run, frame: pl.DataFrame) -> list[dict[str, Any]]:
    files = run.summary.get("files") or ["input"]
    sparks = charts.sparklines(run, frame["template"].to_list())
    return [
        row
        | {
            "spark": spark,
            "place": f"{PurePath(files[row['file']]).name}:{row['line']}",
            "first": when(row["first_seen"]),
            "last": when(row["last_seen"]),
        }
        for row, spark in zip(frame.iter_rows(named=True), sparks, strict=True)
    ]


def share(value: float) -> str:
    """Return a share of all events in percent."""
    return f"{value:.2%}" if value >= 0.0001 else "< 0.01%"


def _labelled(run: Run) -> dict[str, Any] | None:
    """Return metrics, curves and the confusion matrix; None without labels."""
    found = series.curves(run)
    if found is None:
        return None
    m = found.metrics
    recall, precision, fpr = ((m[name] or 0.0) for name in ("recall", "precision", "fpr"))
    return {
        "metrics": [(word, "–" if m[k] is None else f"{m[k]:.3f}", hint) for k, (word, hint) in _WORDS.items()],
        "confusion": [[f"{n:,.0f}" for n in row] for row in found.confusion],
        "roc": found.roc
        and charts.curve(found.roc, (fpr, recall), "ROC curve", ("false positive rate", "true positive rate")),
        "precision_recall": found.precision_recall
        and charts.curve(
            found.precision_recall,
            (recall, precision),
            "Precision-recall curve",
            ("recall", "precision"),
            steps=True,
        ),
    }
