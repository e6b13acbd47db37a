"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from offbeat.bench.analysis import PSI_MUCH, PSI_SOME, Change, Group
from offbeat.bench.report import Detail, Report
from offbeat.bench.summary import figure, table

#: Detectors whose errors are told in full; the page has all of them.
_DETAILED: Final = 3
NOTES: Final = (
    "*own* is the threshold that was chosen without the test part's labels; *best* is the best over all thresholds, "
    "which nobody could have known: an upper bound. *distinct*: duplicate sequences counted once. *delay*: units from "
    "an incident's first anomalous unit to its first alarm, the median over those found. *swapped*: of normal units in "
    "which two neighbouring events were swapped, how many are noticed at 2 % false alarms. Figures are means over "
    "seeds; times and memory are of one process with one thread, and depend on what else the machine does."
)


def markdown(report: Report) -> str:
    """Return the report."""
    lines = [
        f"# {plain(report.about['name'])}",
        "",
        " ".join(intro(report.about)),
        "",
        *table(report.summary),
        "",
        NOTES,
        "",
    ]
    if report.altered.height:
        lines += ["## On altered lines", "", *perturbed_lines(report.altered), ""]
    lines += ["## Are training and test alike?", "", *change_lines(report.change), ""]
    lines += [*(f"- {sentence}" for sentence in report.advice), ""] if report.advice else []
    lines += ["## What went wrong", ""]
    for detail in report.details[:_DETAILED]:
        lines += detail_lines(detail, report.about["unit"])
    lines += ["## To get these figures again", "", *record(report.about), ""]
    lines += ["## Does the LSTM earn its keep?", "", *keep_lines(report)]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Return a log's text as Markdown that shows it as it is, on one line."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return "".join("\\" + char if char in "\\`*_{}[]<>#|" else char for char in shown)


def code(text: str, longest: int = 100) -> str:
    """Return a template as inline code."""
    shown = "".join(char if char.isprintable() else " " for char in text).replace("`", "'").replace("|", "\\|")
    return f"`{shown[:longest]}{'…' if len(shown) > longest else ''}`"


def intro(about: Mapping[str, Any]) -> list[str]:
    """Return what was learned from and judged."""
    parts, unit = about["parts"], about["unit"]
    train, test = parts["train"], parts["test"]
    stands = "" if test["units"] == test["rows"] else f", which stand for {test['units']:,.0f}"
    labels = {
        "hidden": "Labels of the training part are hidden from all detectors",
        "offered": "Detectors that learn from labels are given those of the training part; the others are not",
        "known": "Labels of the training part are known: detectors that learn from labels use them, "
        "the others leave out the known anomalies",
    }[about["labels"]]
    clean = ", declared free of anomalies" if about["clean"] and about["labels"] == "hidden" else ""
    return [
        f"Learned from {train['rows']:,} {unit}s ({train['anomalies']:,} anomalous{_span(train)}){clean}; judged on "
        f"{test['rows']:,}{stands} ({test['anomalies']:,} anomalous{_span(test)}). {labels}.",
        *(f"{note}." for note in about["notes"]),
    ]


def _span(part: Mapping[str, Any]) -> str:
    return f"; {part['first'][:19]} to {part['last'][:19]}" if part["first"] else ""


def perturbed_lines(altered: pl.DataFrame) -> list[str]:
    """Return own F1 against the share of altered lines, a row a detector and way."""
    shares = sorted(altered["share"].unique().to_list())
    heads = " | ".join(f"{share:.0%}" for share in shares)
    out = [f"| detector | lines | {heads} |", "|" + "---|" * (len(shares) + 2)]
    for (name, how), rows in altered.group_by("detector", "perturbed", maintain_order=True):
        own = dict(rows.select("share", "f1").rows())
        out.append(f"| {name} | {how} | " + " | ".join(figure(own.get(share)) for share in shares) + " |")
    return [*out, "", "F1 at the own threshold; nothing is learned again. Labels stay: none of this is an incident."]


def change_sentences(found: Change) -> list[str]:
    """Return how training and test differ, in words."""
    normal, anomalous = found.unseen_units
    same, other = found.unseen_sequences
    psi = max(found.psi, found.psi_length)
    much = "clearly differ" if psi > PSI_MUCH else "differ somewhat" if psi > PSI_SOME else "are alike"
    return [
        f"{found.anomalous[0]:.1%} of the training part is anomalous, and {found.anomalous[1]:.1%} of the test part.",
        f"{found.unseen_templates:,} templates of the test part were not seen in training; {normal:.1%} of its normal "
        f"and {anomalous:.1%} of its anomalous units hold one.",
        f"{same:.1%} of the normal and {other:.1%} of the anomalous test units have a sequence that training has not.",
        f"The parts {much}: population stability index {found.psi:.2f} for the templates' shares, "
        f"{found.psi_length:.2f} for the lengths (under {PSI_SOME} alike, over {PSI_MUCH} clearly different).",
    ]


def change_lines(found: Change) -> list[str]:
    """Return how training and test differ, with the templates that moved most."""
    out = [f"- {sentence}" for sentence in change_sentences(found)]
    if found.moved:
        out += ["", "| template | share of events in training | in test |", "|---|---|---|"]
        out += [f"| {code(text)} | {before:.2%} | {after:.2%} |" for text, before, after in found.moved]
    return out


#: Words with whether they are a template's.
Pieces = list[tuple[str, bool]]


def group_pieces(group: Group) -> list[Pieces]:
    """Return what sets a group of alike units apart: phrases, each of pieces of text and of templates."""

    def listed(verb: str, pairs: list[tuple[str, float]]) -> Pieces:
        out: Pieces = [(verb, False)]
        for i, (text, share) in enumerate(pairs):
            out += [(", " if i else " ", False), (text, True), (f" ({_share(share)} of training)", False)]
        return out

    out = [listed(verb, pairs) for verb, pairs in (("hold", group.has), ("lack", group.lacks)) if pairs]
    if not out:
        held: Pieces = [("hold nothing rare and lack nothing usual; mostly", False)]
        for i, (text, n) in enumerate(group.holds):
            held += [(", " if i else " ", False), (text, True), (f" ×{n}", False)]
        out.append(held)
    events, usual = group.events
    if usual and not 0.5 < events / usual < 2:
        out.append([(f"have {events:,.0f} events where {usual:,.0f} are usual", False)])
    return out


def _share(share: float) -> str:
    return "none" if share == 0 else f"{share:.1%}" if share >= 0.001 else "< 0.1%"


def detail_lines(detail: Detail, unit: str) -> list[str]:
    """Return one detector's errors and advice."""
    (passed, wrong), (missed, caught) = detail.confusion
    out = [
        f"### {detail.name}", "", "| | passed | alarmed |", "|---|---|---|",
        f"| normal | {passed:,.0f} | {wrong:,.0f} false |", f"| anomalous | {missed:,.0f} missed | {caught:,.0f} |", "",
    ]  # fmt: skip
    for words, (groups, more) in (("Missed", detail.missed), ("Falsely flagged", detail.false)):
        if groups:
            out += [f"{words}, alike ones together:", "", *(_group_line(group, unit) for group in groups)]
            out += [f"- and {more:,} smaller groups"] if more else []
            out.append("")
    return [*out, *(f"- {sentence}" for sentence in detail.advice), *([""] if detail.advice else [])]


def _group_line(group: Group, unit: str) -> str:
    phrases = ("".join(code(text) if of else text for text, of in pieces) for pieces in group_pieces(group))
    words = "; ".join(phrases)
    many = "1 " + unit if group.units == 1 else f"{group.units:,.0f} {unit}s"
    return f"- {many} such as {code(group.example, 60)}: {words}"


def record(about: Mapping[str, Any]) -> list[str]:
    """Return data, versions, seeds and parameters."""
    out = [f"- {sentence}" for sentence in record_sentences(about)]
    out.append("- Parameters:")
    for name, params in about["params"].items():
        listed = ", ".join(f"`{k}={v}`" for k, v in params.items()) or "none"
        out.append(f"  - {name}: {listed}")
    return out


def record_sentences(about: Mapping[str, Any]) -> list[str]:
    """Return data, versions, seeds and machine in words."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    m = about["machine"]
    memory = f", {m['memory_mb'] / 1024:.0f} GB of memory" if m["memory_mb"] else ""
    return [
        f"Measured on {about['date']}.",
        f"Units: hash {about['data_hash']}; program: hash {about['program_hash']}.",
        f"Seeds: {', '.join(map(str, about['seeds']))}; detectors without chance run with the first only.",
        f"Versions: {versions}.",
        f"Machine: {m['system']} {m['processor']}, {m['cores']} cores{memory}; one thread a detector.",
    ]


def keep_lines(report: Report) -> list[str]:
    """Return whether the LSTM earns its keep."""
    keep = report.keep
    out = [keep.sentences[0], ""]
    if keep.rows:
        out += ["| | | AP | own F1 | swapped |", "|---|---|---|---|---|"]
        out += [
            f"| {role} | {name} | {figure(ap)} | {figure(f1)} | {figure(s, 2)} |" for role, name, ap, f1, s in keep.rows
        ]
        out.append("")
    if keep.differences:
        out += ["| | AP, mean | 95 % interval | over seeds | own F1 |", "|---|---|---|---|---|"]
        for d in keep.differences:
            seeds = f"{d.seeds[0]:+.3f} to {d.seeds[1]:+.3f}" if d.seeds else "one"
            out.append(
                f"| {d.better} − {d.than} | {d.ap:+.3f} | {d.low:+.3f} to {d.high:+.3f} | {seeds} | {d.f1:+.3f} |"
            )
        out += ["", INTERVAL, ""]
    return [*out, *keep.sentences[1:]]


INTERVAL: Final = (
    "Intervals are of average precision, by resampling the test units within each class, and the seeds where there are "
    "several. The best simple detector was chosen by its average precision on this very test part, which flatters it."
)
