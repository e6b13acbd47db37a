"""The report as Markdown: what was measured on what, and how to get the same figures again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from offbeat.bench.summary import figure, perturbed, summarise, table
from offbeat.evaluate.protocols import Split


def markdown(split: Split, results: pl.DataFrame, about: Mapping[str, Any]) -> str:
    """Return the report.

    Args:
        split: what was measured on.
        results: one row a task, way of counting and perturbation.
        about: what figures depend on, as in model.json.
    """
    lines = [f"# {split.name}", "", *intro(about), ""]
    lines += [*table(summarise(results)), "", *_NOTES, ""]
    altered = perturbed(results)
    if altered.height:
        lines += ["## On altered lines", "", *perturbed_lines(altered), ""]
    lines += ["## To get these figures again", "", *record(about)]
    return "\n".join(lines) + "\n"


_NOTES = (
    "*own* is the threshold that was chosen without the test part's labels; *best* is the best over all thresholds, "
    "which nobody could have known: an upper bound. *distinct*: duplicate sequences counted once. *delay*: units from "
    "an incident's first anomalous unit to its first alarm, the median over those found. *swapped*: of normal units in "
    "which two neighbouring events were swapped, how many are noticed at 2 % false alarms. Figures are means over "
    "seeds.",
)


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
    clean = ", which is declared free of anomalies" if about["clean"] and about["labels"] == "hidden" else ""
    return [
        f"Learned from {train['rows']:,} {unit}s ({train['anomalies']:,} anomalous{_span(train)}){clean}; judged on "
        f"{test['rows']:,}{stands} ({test['anomalies']:,} anomalous{_span(test)}). {labels}."
    ]


def _span(part: Mapping[str, Any]) -> str:
    return f"; {part['first'][:19]} to {part['last'][:19]}" if part["first"] else ""


def perturbed_lines(altered: pl.DataFrame) -> list[str]:
    """Return own F1 against the share of altered lines as Markdown, a row a detector and way."""
    shares = sorted(altered["share"].unique().to_list())
    out = [
        "| detector | lines | " + " | ".join(f"{share:.0%}" for share in shares) + " |",
        "|" + "---|" * (len(shares) + 2),
    ]
    for (name, how), rows in altered.group_by("detector", "perturbed", maintain_order=True):
        own = dict(rows.select("share", "f1").rows())
        out.append(f"| {name} | {how} | " + " | ".join(figure(own.get(share)) for share in shares) + " |")
    return [*out, "", "F1 at the own threshold; nothing is learned again. Labels stay: none of this is an incident."]


def record(about: Mapping[str, Any]) -> list[str]:
    """Return data, versions, seeds and parameters as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    m = about["machine"]
    memory = f", {m['memory_mb'] / 1024:.0f} GB of memory" if m["memory_mb"] else ""
    out = [
        f"- Units: hash `{about['data_hash']}`; program: hash `{about['program_hash']}`.",
        f"- Seeds: {', '.join(map(str, about['seeds']))}; detectors without chance run with the first only.",
        f"- Versions: {versions}.",
        f"- Machine: {m['system']} {m['processor']}, {m['cores']} cores{memory}; one thread a detector.",
        "- Parameters:",
    ]
    for name, params in about["params"].items():
        listed = ", ".join(f"`{k}={v}`" for k, v in params.items()) or "none"
        out.append(f"  - {name}: {listed}")
    return out
