"""What a person reads on the terminal: in ten seconds, safely, whatever the log says."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import polars as pl

from offbeat.beside import in_words
from offbeat.finding import Finding, iso
from offbeat.printable import printable
from offbeat.read.names import getter, roles_of
from offbeat.read.xml_records import record_of
from offbeat.run import Run

#: A piece of text and a style name; the command line turns styles into colour, or into nothing.
Piece = tuple[str, str]

#: From so many findings on their kinds are counted, at most so many by name.
_MANY: Final = 10
_NAMES: Final = 8

_STYLES: Final = {"low": "dim", "medium": "yellow", "high": "red", "critical": "bold red"}


def head(run: Run, trained: Mapping[str, Any], shown: int, total: int) -> Iterator[list[Piece]]:
    """Yield the lines that say what was read, learned and decided."""
    s = run.summary
    read = s["read"]
    span = ""
    first, last = run.scores["start"].min(), run.scores["end"].max()
    if first is not None:
        span = f", {iso(first)} to {iso(last)}"  # type: ignore[arg-type]  # Datetime columns give datetimes
    lines = read.get("lines", s["events"])
    yield [("read     ", "dim"), (f"{lines:,} lines, {s['events']:,} events{span}", "")]
    for word in ("skipped", "repaired"):
        if read.get(word):
            reasons = ", ".join(f"{n:,} {printable(reason)}" for reason, n in read[word].items())
            yield [(f"{word:9}", "dim"), (reasons, "")]
    yield [("grouped  ", "dim"), (f"{s['units']:,} {run.unit}s: {printable(trained['grouped'])}", "")]
    if s.get("without_key"):
        yield [("         ", ""), (f"{s['without_key']:,} events carry no key and belong to no {run.unit}", "dim")]
    templates = f"{s['templates']:,} template{'' if s['templates'] == 1 else 's'}"
    new = f", {s['new_templates']:,} of them new" if s["new_templates"] else ""
    yield [
        ("learned  ", "dim"),
        (f"{', '.join(run.views)} from {trained['weight']:,.0f} {run.unit}s; {templates}{new}", ""),
    ]
    if trained.get("absent"):
        lacking = ", ".join(f"{view} ({why})" for view, why in trained["absent"].items())
        yield [("left out ", "dim"), (lacking, "")]
    if trained.get("apart") and run.fit is None:  # with a model it was said when that was learned
        yield [("apart    ", "yellow"), (apart_words(trained["apart"], run.unit), "")]
    if run.drift:
        text = (
            f"{run.drift.share:.0%} of the {run.unit}s are improbable, {run.drift.expected:.1%} were expected: the log "
            f"no longer fits what was learned. {judged_anew(run)}; learn again on recent logs"
        )
        yield [("drift    ", "bold yellow"), (text, "")]
    if run.fit:
        style = {"still fits": "dim", "getting old": "yellow"}.get(run.fit["verdict"], "bold yellow")
        yield [("fit      ", style), (printable(run.fit["words"], 400), "")]
    flagged = int(run.scores["is_anomaly"].sum())
    share = f"{flagged:,} of {s['units']:,} {run.unit}s ({run.alert_share:.2%})"
    hidden = f", {shown} shown" if shown < total else ""
    expected = f"{run.decision.alert_share:.2%} expected"
    if run.rate:
        expected += f", {run.rate.achieved(run.scores):.3g}/{run.rate.per} came, {run.rate} asked"
    elif run.asked:
        expected += f", {run.asked:.2%} asked"
    yield [("alerts   ", "dim"), (f"{share}, {expected}, in {total:,} finding{'' if total == 1 else 's'}{hidden}", "")]
    if run.feedback is not None:
        yield [("feedback ", "dim"), (quiet_words(run.feedback.as_dict(), run.unit), "")]
    if run.ruling is not None and run.ruling.untold:
        yield [("rules    ", "dim"), (f"{run.ruling.untold:,} more findings of rules are not told: tune them", "")]
    yield [("views    ", "dim"), (views_line(run, trained), "")]


def overview(findings: Sequence[Finding]) -> str:
    """Say how many findings there are of each rule and kind, the most frequent first; nothing where there are few."""
    if len(findings) < _MANY:
        return ""
    names = Counter(one.rules[0] if one.kind == "rule" and one.rules else one.kind for one in findings)
    told = [f"{printable(name, 60)} {n:,}" for name, n in names.most_common(_NAMES)]
    rest = sum(n for _, n in names.most_common()[_NAMES:])
    return ", ".join(told) + (f" and {rest:,} more" if rest else "")


def apart_words(share: float, unit: str) -> str:
    """Say that more of training stands apart than is flagged, and what to do if that is what one looks for."""
    return (
        f"{share:.1%} of the {unit}s learned from stand apart from the rest, and so many are taken for normal: "
        "if they are not, learn with --threshold knee:0.2"
    )


def quiet_words(quiet: Mapping[str, Any], unit: str) -> str:
    """Say how many findings are quiet by feedback, and what was learned from it."""
    n = quiet["findings"]
    text = f"{n:,} finding{'' if n == 1 else 's'} quiet by feedback"
    if quiet["units"]:
        text += f" ({quiet['units']:,} {unit}{'' if quiet['units'] == 1 else 's'})"
    if quiet["head"]["used"]:
        text += f"; {quiet['answers']:,} answers also taught what is like them: {quiet['by_head']:,} more quiet"
        text += f", {quiet['raised']:,} raised"
    return text


def views_line(run: Run, trained: Mapping[str, Any]) -> str:
    """Say what each view contributed, and whether the LSTM earned its keep."""
    made = sorted(run.contributions().items(), key=lambda item: -item[1])
    text = (
        "alerts made by " + ", ".join(f"{view} {n:,}" for view, n in made if n) if any(n for _, n in made) else "none"
    )
    check = trained.get("order_check")
    if check and "lstm" in check:
        others = max((v for k, v in check.items() if k in ("presence", "count")), default=0.0)
        verdict = (
            "earned its keep" if check["lstm"] > check["ngram"] and check["lstm"] > others + 0.1 else "added little"
        )
        text += (
            f". The LSTM {verdict}: of neighbours swapped on purpose it noticed {check['lstm']:.0%}, "
            f"counting pairs {check['ngram']:.0%}, presence and counts {others:.0%}"
        )
    return text


def judged_anew(run: Run) -> str:
    """Say what is done where the log no longer fits, with the threshold on the scale of the scores that are shown."""
    what = "judged without what was added to them, " if run.aside is not None else ""
    what += "judged by its own habits, too, and " if run.habits is not None else "and " if what else ""
    line = f"from a score of {run.threshold:.1f} on ({run.decision.threshold:.1f} as learned)"
    return f"Its {run.unit}s are {what}flagged {line if math.isfinite(run.threshold) else 'never'}"


def about(one: Finding) -> str:
    """Return which session a finding is about, and which sources, each named once."""
    sources = [name for name in one.sources[:3] if name != one.session]
    return " · ".join(part for part in (one.session, ", ".join(sources)) if part)


def finding(one: Finding) -> Iterator[list[Piece]]:
    """Yield the lines of one finding."""
    when = iso(one.start) or ""
    style = _STYLES[one.severity]
    where = "  ".join(part for part in (when, printable(about(one), 120)) if part)
    yield []
    yield [(f"{one.severity.upper():8} ", style), (f"{one.kind}", "bold"), (f"  {where}", "dim")]
    yield [(f"         {printable(one.reason, 400)}", "")]
    if one.related:
        yield [(f"         {printable(in_words(one), 400)}", "")]
    yield [
        ("         ", ""),
        (f"score {one.score:.1f}, p {one.p_value:.2g}, {printable(one.severity_reason)} · id {one.id}", "dim"),
    ]
    for line in one.lines:
        arrow = ">" if line.mark else " "
        said = message_of(line.text)
        rest = [(printable(f"  {line.text}", max(20, 160 - len(said))), "dim")] if said else []
        yield [
            (f"       {arrow} {printable(line.file, 60)}:{line.line}  ", "dim"),
            (printable(said or line.text), "bold" if line.mark else ""),
            *rest,
        ]


def message_of(text: str) -> str:
    """Return the message in a line that is a record, or ends with one, to be read before the rest; else nothing.

    Records are JSON, or one element of XML.
    """
    record = _element(text) if text.lstrip()[:1] == "<" else _json(text)
    places = roles_of(record)["message"] if record else []
    found = getter(places[0])(record) if places else None
    if not isinstance(found, str):
        return ""
    said = found.strip()
    return message_of(said) or said


def _json(text: str) -> Mapping[str, Any]:
    at = text.find("{")
    try:
        record = orjson.loads(text[at:]) if at >= 0 and text.endswith("}") else None
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _element(text: str) -> Mapping[str, Any]:
    tag = re.match(r"\s*<([A-Za-z_][\w:.-]*)", text)
    if tag is None:
        return _json(text)  # behind the priority of syslog
    return (record_of(text, tag[1]) if text.rstrip().endswith(f"</{tag[1]}>") else None) or {}


def calm(run: Run) -> list[Piece]:
    """Say that nothing stands out, of what is not quiet by feedback."""
    scores = run.scores.filter(~pl.col("quiet")) if "quiet" in run.scores.columns else run.scores
    strangest = float(scores["score"].to_numpy().max(initial=-math.inf))
    if not math.isfinite(strangest):
        return [("All that is off the beat is quiet by feedback.", "green")]
    # A calibration gives what is as usual as can be a score of minus nothing.
    text = f"Nothing is off the beat: the strangest {run.unit} scores {strangest + 0.0:.1f}, the threshold is"
    return [(f"{text} {run.threshold:.1f}.", "green")]
