"""Learning that lasts, on the simulated shop: a release in mid-log, and a slow attack on a model that goes on to learn.

    python benchmarks/releases.py [--lines 40000] [--seeds 1,2,3] [--detectors presence,count,...]

The same log is written twice, with a release at half time that words a fifth of the statements anew and without; what
happens in both, and the labels, are the same. A model learned from the first half looks at the second. Counted are
sessions without a labelled line that are flagged (false alarms) and sessions with one that are (recall), with the
release, without it, and with it but without lineage. The first 2,000 entries after the release are judged by
themselves, as a person on call would see them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from offbeat import Lines, Pipeline, read_labels
from offbeat.evaluate.labels import Labels
from offbeat.learn import DEFAULT
from offbeat.rules import RuleSet
from offbeat.simulate import simulate

SOON = 2_000
DAYS = 8


def pipeline(detectors: Sequence[str]) -> Pipeline:
    """Return an unfitted pipeline."""
    return Pipeline(detectors=detectors, session_by="trace", clean=True, rules=RuleSet())


def cut(path: Path, labels: Path, first: int, last: int, to: Path) -> tuple[str, Labels]:
    """Write lines ``first`` (0-based) to before ``last`` of a log to a file; returns it and its labels."""
    lines = path.read_text().splitlines(keepends=True)[first:last]
    to.write_text("".join(lines))
    rows = pl.read_csv(labels, infer_schema_length=None).slice(first, last - first)
    named = to.with_suffix(".csv")
    rows.with_columns(line=pl.int_range(1, pl.len() + 1)).select("line", "label").write_csv(named)
    return str(to), read_labels(str(named))


def judged(model: Pipeline, log: str, labels: Labels) -> dict[str, float]:
    """Return false alarms, recall and findings of a model on a log."""
    run = model.score(log, labels)
    flagged, true = run.scores["is_anomaly"], run.scores["label"]
    return {
        "units": run.scores.height,
        "false": int((flagged & ~true).sum()),
        "anomalous": int(true.sum()),
        "found": int((flagged & true).sum()),
        "changed": len(run.changed),
        "findings": len(run.find()),
        "lineage findings": sum(one.kind == "format changed" for one in run.find()),
    }


def releases(lines: int, seed: int, detectors: Sequence[str], folder: Path) -> list[dict[str, object]]:
    """Return one row a log and stretch."""
    logs = {name: simulate(folder / f"{name}.jsonl", lines, seed, difficulty=0.0, reword=share)
            for name, share in (("no release", 0.0), ("release", 0.2))}  # fmt: skip
    half = lines // 2
    texts = [made.path.read_text().splitlines() for made in logs.values()]
    # The release comes at about half time: the first line in new words.
    first = next(i for i, (a, b) in enumerate(zip(*texts, strict=True)) if a != b)
    half = min(half, first)
    before, _ = cut(logs["release"].path, logs["release"].labels, 0, half, folder / "first.jsonl")
    model = pipeline(detectors).fit(before)
    model.save(folder / "model")
    out: list[dict[str, object]] = []
    for stretch, (begin, end) in {"first 2,000": (first, first + SOON), "all after": (first, lines)}.items():
        for name, made in logs.items():
            log, labels = cut(made.path, made.labels, begin, end, folder / "after.jsonl")
            for lineage in (True, False) if name == "release" else (True,):
                fresh = Pipeline.load(folder / "model")
                fresh.rules = RuleSet()
                if not lineage:
                    fresh.memory = None
                shown = name if lineage else "release, no lineage"
                out.append({"seed": seed, "stretch": stretch, "log": shown, **judged(fresh, log, labels)})
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
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--detectors", default=",".join(DEFAULT))
    given = parser.parse_args()
    detectors = given.detectors.split(",")
    with tempfile.TemporaryDirectory() as folder:
        seeds = [int(seed) for seed in given.seeds.split(",")]
        show([row for seed in seeds for row in releases(given.lines, seed, detectors, Path(folder))])
        print()
        show(slow_attack(given.lines // DAYS, seeds[0], detectors, Path(folder)))


if __name__ == "__main__":
    main()
