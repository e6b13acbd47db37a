"""Do explanations name what was injected? Measured on the simulator's labelled faults.

    python benchmarks/causes.py --seeds 1 2 3 --lines 40000

Two ways of use: a model learned from a day without faults looks at another day (clean), and a log is judged by itself
(free). A fault is found if a line labelled with it is among the lines of a finding, or in the unit that stands behind
it. Of each found fault, the first such finding (they are told most severe first) is looked at:

- *event*: a line of the fault is among the three events that add most, or (where a finding joins several units, and one
  of the others marks a line of the fault) of the same template as one of them, or among the first three lines of a
  finding that is explained by its lines alone; where a service is silent, also if what is said to be missing is what it
  writes, or the finding names it.
- *line*: the same without templates and silence: a line of the fault itself is among the first three, or first.
- *cause*: the first source named is the service at fault, or the address that the fault came from.

Chance is what three events of the unit drawn at random, and a source drawn from those named, would have reached.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from datetime import datetime
from math import comb
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.pipeline import Pipeline
from offbeat.simulate import Incident, simulate
from offbeat.why import Explanation, Findings

#: Of the explanation so many entries count.
_FIRST = 3
#: Marks of lines, those that stick out most first.
_MARKS = ("worst", "strange", None)
_COLUMNS = ("top", "itself", "event", "event_chance", "cause", "cause_chance")


class Truth:
    """What was injected into a log: lines by fault, and what each service writes."""

    def __init__(self, log: Path, incidents: tuple[Incident, ...]) -> None:
        labels = pl.read_csv(f"{log}.labels.csv", infer_schema_length=None)
        self.lines = pl.read_ndjson(log, infer_schema_length=None).with_row_index("line", offset=1)
        self.of = {k: set(g["line"]) for (k,), g in labels.filter(pl.col("label") == 1).group_by("incident")}
        self.incidents = incidents
        self._messages = {k: list(g["message"].unique()) for (k,), g in self.lines.group_by("service")}

    def messages(self, service: str) -> list[str]:
        """Return the different messages of a service."""
        return self._messages[service]

    def addresses(self, incident: Incident) -> set[str]:
        """Return where the requests of a fault came from."""
        return set(self.lines.filter(pl.col("line").is_in(list(self.of[incident.incident])))["client"].drop_nulls())

    def message(self, line: int) -> str:
        """Return what a line says."""
        return str(self.lines["message"][line - 1])

    def service(self, line: int) -> str:
        """Return who wrote a line."""
        return str(self.lines["service"][line - 1])


def lines_of(why: Explanation) -> list[int]:
    """Return the lines of the unit behind a finding, those that add most first; else the finding's own."""
    if why.events:
        return [e["line"] for e in sorted(why.events, key=lambda e: -e["adds"])]
    return [line["line"] for line in sorted(why.finding["lines"], key=lambda x: _MARKS.index(x["mark"]))]


def judge(truth: Truth, incident: Incident, why: Explanation) -> dict[str, Any]:
    """Say whether an explanation names a fault's event and cause, and how likely chance would."""
    labelled, lines = truth.of[incident.incident], lines_of(why)
    event = bool(labelled & set(lines[:_FIRST]))
    if incident.kind == "silent-component" and not event:
        writes = {truth.service(e["line"]) for e in why.events}
        added = [edit["template"] for edit in (why.counterfactual or {}).get("edits", []) if edit["how"] == "add"]
        gone = [one["template"] for one in why.missing]
        event = incident.service not in writes and any(
            _writes(truth, incident.service, template) for template in (*added[:_FIRST], *gone[:_FIRST])
        )
    itself = event
    if not event:
        # Of a finding that joins several units one is explained; the fault may be in another that is strange likewise.
        strange = labelled & {line["line"] for line in why.finding["lines"] if line["mark"]}
        first = [e["template"] for e in sorted(why.events, key=lambda e: -e["adds"])[:_FIRST]]
        event = any(_fits(template, truth.message(line)) for template in first for line in strange)
    among = len(labelled & set(lines))
    event |= incident.kind == "silent-component" and _silence(incident, why.finding)
    drawn = min(_FIRST, len(lines))
    chance = 1 - comb(len(lines) - among, drawn) / comb(len(lines), drawn) if lines else 0.0
    sources = why.finding["sources"]
    right = {incident.service} | truth.addresses(incident)
    return {
        "why": f"{why.finding['kind']}: event {event}, sources {sources[:3]}, not {incident.service}",
        "top": bool(labelled & set(lines[:1])),
        "itself": itself,
        "event": event,
        "cause": bool(sources) and sources[0] in right,
        "event_chance": chance,
        "cause_chance": len(right & set(sources)) / max(len(sources), 1),
    }


def _writes(truth: Truth, service: str, template: str) -> bool:
    """Say whether a template is one of a service's."""
    return any(_fits(template, message) for message in truth.messages(service))


def _fits(template: str, message: str) -> bool:
    """Say whether a message is of a template."""
    return re.fullmatch(re.sub(r"<(?:[a-z]+|\\\*)>", ".*", re.escape(template)), message) is not None


def measure(truth: Truth, opened: Findings) -> list[dict[str, Any]]:
    """Return one row a fault: whether it was found, and how it was explained."""
    explained = [opened.explain(one["id"], "occlusion") for one in opened.found]
    held = [set(lines_of(why)) | {x["line"] for x in why.finding["lines"] if x["mark"]} for why in explained]
    rows = []
    for incident in truth.incidents:
        mine = truth.of[incident.incident]
        behind = [i for i, why in enumerate(explained) if mine & set(lines_of(why))]
        any_ = behind or [i for i, some in enumerate(held) if mine & some]
        if not any_ and incident.kind == "silent-component":
            # Who is silent writes no line: it must be named, at that time.
            any_ = [i for i, why in enumerate(explained) if _silence(incident, why.finding)]
        row: dict[str, Any] = {"kind": incident.kind, "found": bool(any_)}
        rows.append(row | (judge(truth, incident, explained[any_[0]]) if any_ else {}))
    return rows


def _silence(incident: Incident, finding: dict[str, Any]) -> bool:
    """Say whether a finding is about the silence of a service at a time."""
    about = finding["kind"] == "silence" or not finding["lines"]
    if not about or incident.service not in finding["reason"]:
        return False
    start, end = (datetime.fromisoformat(finding[name]) for name in ("start", "end"))
    return start <= incident.end and end >= incident.start


def run(seed: int, lines: int, difficulty: float, clean: bool, folder: Path) -> list[dict[str, Any]]:
    """Simulate, look for what is strange, and explain it; one row a fault."""
    log = folder / "faults.jsonl"
    simulation = simulate(log, n=lines, seed=seed, difficulty=difficulty)
    if clean:
        usual = folder / "usual.jsonl"
        simulate(usual, n=2 * lines, seed=seed + 1_000, rate=0, difficulty=difficulty)
        pipeline = Pipeline(clean=True).fit([str(usual)])
        found = pipeline.score([str(log)])
    else:
        pipeline = Pipeline().fit([str(log)])
        found = pipeline.cross_score()
    return measure(Truth(log, simulation.incidents), Findings.of(found, found.find(), pipeline))


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table: one row a kind of fault, and one of all."""
    kinds = sorted({row["kind"] for row in rows})
    out = [
        "| fault | injected | found | line first | line in first 3 | event in first 3 | chance | cause first | chance |"
    ]
    out.append("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for kind in [*kinds, "all"]:
        mine = [row for row in rows if kind in (row["kind"], "all")]
        found = [row for row in mine if row["found"]]
        told = [sum(float(row[name]) for row in found) for name in _COLUMNS]
        share = [f"{x / len(found):.0%}" if found else "–" for x in told]
        out.append(f"| {kind} | {len(mine)} | {len(found)} | " + " | ".join(share) + " |")
    return out


def main() -> None:
    """Print a table for each way of use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--difficulty", type=float, default=0.5)
    given = parser.parse_args()
    for clean in (True, False):
        rows = []
        for seed in given.seeds:
            with tempfile.TemporaryDirectory() as folder:
                rows += run(seed, given.lines, given.difficulty, clean, Path(folder))
        print(f"\n{'a clean day learned first' if clean else 'judged by itself'}, difficulty {given.difficulty:g}")
        print("\n".join(table(rows)), flush=True)
        for row in rows:
            if row["found"] and not (row["event"] and row["cause"]):
                print("  not named:", row["kind"], row["why"])


if __name__ == "__main__":
    main()
