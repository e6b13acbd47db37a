"""Learning that lasts, on the simulated shop: a release in mid-log, and a slow attack on a model that goes on to learn.

    python benchmarks/releases.py [--lines 40000] [--seeds 1,2,3,4,5] [--detectors presence,count,...]

The same log is written twice, with a release at half time that words a fifth of the statements anew and without; what
happens in both is the same. Faults are put into both at the same places: into one of 25 sessions of each stretch
after the release, the first 2,000 entries included. A model learned from the first half looks at each stretch by
itself, as a person on call would. Counted are sessions without a fault or a label that are flagged (false alarms) and
sessions with a fault that are (found), with the release, without it, and with it but without lineage.

Another kind of release adds a step to a share of the sessions. What comes of that is a table of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from offbeat import Lines, Pipeline
from offbeat.learn import DEFAULT
from offbeat.rules import RuleSet
from offbeat.simulate import simulate

SOON = 2_000
DAYS = 8
#: One of so many sessions gets a fault.
FAULTY = 25
#: A release adds a step to these shares of the sessions.
ADDED = (0.0, 0.1, 0.3, 1.0)
STEP = "audit entry {} written to ledger {} for this request"


def pipeline(detectors: Sequence[str]) -> Pipeline:
    """Return an unfitted pipeline."""
    return Pipeline(detectors=detectors, session_by="trace", clean=True, rules=RuleSet())


def broken(texts: Sequence[list[str]], seed: int) -> list[tuple[list[str], set[str]]]:
    """Put the same faults into the same sessions of logs that differ in words alone; returns lines and traces of each.

    An error never seen, a step taken six times, a session that stops half-way, and a step that belongs elsewhere.
    """
    rng = np.random.default_rng(seed)
    traces: dict[str, list[int]] = {}
    for i, line in enumerate(texts[0]):
        if trace := json.loads(line).get("trace"):
            traces.setdefault(trace, []).append(i)
    whole = [name for name, at in traces.items() if len(at) >= 4]
    chosen = rng.permutation(len(whole))[: max(4, len(whole) // FAULTY)]
    out: list[tuple[dict[int, list[str]], set[str]]] = [({}, set()) for _ in texts]
    for number, pick in enumerate(chosen):
        at = traces[whole[pick]]
        middle, other = at[int(rng.integers(1, len(at) - 1))], int(rng.integers(len(texts[0])))
        for lines, (edits, faulty) in zip(texts, out, strict=True):
            faulty.add(whole[pick])
            values = json.loads(lines[middle])
            if number % 4 == 0:
                lost = {"level": "ERROR", "message": f"connection to store-{number} lost after {number + 3} tries"}
                edits[middle] = [lines[middle], json.dumps(values | lost) + "\n"]
            elif number % 4 == 1:
                edits[middle] = [lines[middle]] * 6
            elif number % 4 == 2:
                edits |= {i: [] for i in at[len(at) // 2 :]}
            else:
                strange = json.loads(lines[other])
                kept = {name: values[name] for name in ("timestamp", "trace")}
                edits[middle] = [lines[middle], json.dumps(strange | kept) + "\n"]
    return [([x for i, line in enumerate(lines) for x in edits.get(i, [line])], faulty)
            for lines, (edits, faulty) in zip(texts, out, strict=True)]  # fmt: skip


def judged(model: Pipeline, lines: list[str], faulty: set[str], labelled: set[str]) -> dict[str, float]:
    """Return false alarms, recall and findings of a model on a log."""
    run = model.score(Lines(lines))
    key, flagged = run.scores["key"], run.scores["is_anomaly"]
    true = key.is_in(list(faulty))
    found = run.find()
    return {
        "sessions": run.scores.height,
        "in the budget": round(run.scores.height * run.decision.alert_share, 1),
        "false": int((flagged & ~true & ~key.is_in(list(labelled))).sum()),
        "faults": int(true.sum()),
        "found": int((flagged & true).sum()),
        "findings": len(found),
        "lineage findings": sum(one.kind == "format changed" for one in found),
        "about the step": sum(any(STEP.split()[0] in t["template"] for t in one.templates) for one in found),
    }


def releases(lines: int, seed: int, detectors: Sequence[str], folder: Path) -> list[dict[str, object]]:
    """Return one row a log and stretch."""
    made = {name: simulate(folder / f"{name}.jsonl", lines, seed, difficulty=0.0, reword=share)
            for name, share in (("no release", 0.0), ("release", 0.2))}  # fmt: skip
    texts = {name: one.path.read_text().splitlines(keepends=True) for name, one in made.items()}
    known = pl.read_csv(made["release"].labels, infer_schema_length=None)["label"].to_list()
    # The release comes at about half time: the first line in new words.
    first = next(i for i, (a, b) in enumerate(zip(*texts.values(), strict=True)) if a != b)
    pipeline(detectors).fit(Lines(texts["release"][:first])).save(folder / "model")
    out: list[dict[str, object]] = []
    for begin, end in ((first, first + SOON), (first + SOON, first + 2 * SOON), (first + 2 * SOON, lines)):
        labelled = {json.loads(texts["release"][i]).get("trace") for i in range(begin, end) if known[i]}
        faults = broken([part[begin:end] for part in texts.values()], seed)
        for name, (log, faulty) in zip(made, faults, strict=True):
            for lineage in (True, False) if name == "release" else (True,):
                fresh = Pipeline.load(folder / "model")
                fresh.rules = RuleSet()
                if not lineage:
                    fresh.memory = None
                shown = name if lineage else "release, no lineage"
                stretch = f"{begin - first:,} to {'the end' if end == lines else f'{end - first:,}'}"
                row = judged(fresh, log, faulty, {trace for trace in labelled if trace} - faulty)
                out.append({"seed": seed, "stretch": stretch, "log": shown, **row})
    return out


def with_step(lines: Sequence[str], share: float, seed: int) -> list[str]:
    """Return a log with a step after the second line of a share of the sessions."""
    rng = np.random.default_rng(seed)
    chosen: dict[str, bool] = {}
    seen: dict[str, int] = {}
    out = list[str]()
    for line in lines:
        out.append(line)
        values = json.loads(line)
        trace = values.get("trace")
        if not trace:
            continue
        seen[trace] = seen.get(trace, 0) + 1
        if seen[trace] == 2 and chosen.setdefault(trace, bool(rng.random() < share)):
            text = STEP.format(int(rng.integers(10_000)), int(rng.integers(9)))
            out.append(json.dumps(values | {"level": "INFO", "message": text}) + "\n")
    return out


def additions(lines: int, seed: int, detectors: Sequence[str], folder: Path) -> list[dict[str, object]]:
    """Return one row a share of sessions that take a new step, and stretch."""
    made = simulate(folder / "plain.jsonl", lines, seed, difficulty=0.0)
    text, half = made.path.read_text().splitlines(keepends=True), lines // 2
    known = pl.read_csv(made.labels, infer_schema_length=None)["label"].to_list()
    pipeline(detectors).fit(Lines(text[:half])).save(folder / "model")
    out: list[dict[str, object]] = []
    for begin, end in ((half, half + 2 * SOON), (half + 2 * SOON, lines)):
        labelled = {json.loads(text[i]).get("trace") for i in range(begin, end) if known[i]}
        ((log, faulty),) = broken([text[begin:end]], seed)
        for share in ADDED:
            fresh = Pipeline.load(folder / "model")
            fresh.rules = RuleSet()
            row = judged(fresh, with_step(log, share, seed), faulty, {trace for trace in labelled if trace} - faulty)
            stretch = f"{begin - half:,} to {'the end' if end == lines else f'{end - half:,}'}"
            out.append({"seed": seed, "stretch": stretch, "step in": f"{share:.0%}", **row})
    return out


ATTACK = (
    '{{"timestamp":"{time}","level":"INFO","service":"order","host":"node-2","trace":"{trace}","message":"{text}"}}'
)


def attacked(lines: list[str], day: int) -> tuple[list[str], set[str]]:
    """Add to a day's log an attack that grows slowly: customers exported in a few sessions; returns their traces."""
    out, traces = list(lines), set[str]()
    for i in range(2 + day):
        at = (i + 1) * len(lines) // (4 + day)
        trace = next((t for line in out[at:] if (t := json.loads(line).get("trace")) and t not in traces), None)
        if trace is None:
            continue
        where = next(k for k, line in enumerate(out) if f'"{trace}"' in line)
        time = json.loads(out[where])["timestamp"]
        out.insert(where + 1, ATTACK.format(time=time, trace=trace, text=f"exported {40 + i} customers to archive {i}"))
        traces.add(trace)
    return out, traces


def slow_attack(lines: int, seed: int, detectors: Sequence[str], folder: Path) -> list[dict[str, object]]:
    """Return, by day, how much of the attack a model finds that is updated, and one that is fitted anew."""
    made = simulate(folder / "days.jsonl", lines * DAYS, seed, rate=0.0)
    text = made.path.read_text().splitlines()
    days = [text[i * lines : (i + 1) * lines] for i in range(DAYS)]
    updated = pipeline(detectors).fit(Lines(days[0]))
    seen, rows = list(days[0]), list[dict[str, object]]()
    naive = pipeline(detectors).fit(Lines(seen))
    for day in range(1, DAYS):
        log, traces = attacked(days[day], day)
        row: dict[str, object] = {"day": day, "attacks": len(traces)}
        for name, model in (("updated", updated), ("fitted anew", naive)):
            run = model.score(Lines(log))
            # By what was learned alone: of a log with drift less is told, but what is learned is as strange.
            strange = (run.scores["score"] if run.learned is None else run.learned) >= run.decision.threshold
            mine = run.scores["key"].is_in(list(traces))
            row[f"{name}: found"] = int((strange & mine).sum())
            row[f"{name}: others"] = int((strange & ~mine).sum())
        rows.append(row)
        updated.update(Lines(log))
        seen += log
        naive = pipeline(detectors).fit(Lines(seen))
    return rows


def show(rows: Sequence[dict[str, object]]) -> None:
    """Print rows as a Markdown table."""
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--detectors", default=",".join(DEFAULT))
    parser.add_argument("--only-steps", action="store_true", help="only the releases that add a step")
    given = parser.parse_args()
    detectors = given.detectors.split(",")
    with tempfile.TemporaryDirectory() as folder:
        seeds = [int(seed) for seed in given.seeds.split(",")]
        show([row for seed in seeds for row in additions(given.lines, seed, detectors, Path(folder))])
        if given.only_steps:
            return
        print()
        show([row for seed in seeds for row in releases(given.lines, seed, detectors, Path(folder))])
        print()
        show(slow_attack(given.lines // DAYS, seeds[0], detectors, Path(folder)))


if __name__ == "__main__":
    main()
