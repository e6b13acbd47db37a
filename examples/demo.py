"""Simulate a shop, learn from the first half of its log, look at the second, and say which faults were found.

    python examples/demo.py [FOLDER]

The commands are run as a user types them. A fault counts as found when one of the lines that it is labelled on lies in
a session that was flagged, is marked in a finding, or fits a finding about the log as a whole: one of its templates,
within its time, or says that the service at fault is silent then.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.simulate import Incident, simulate

LINES = 80_000


def offbeat(command: str, folder: Path) -> None:
    """Show a command and run it in the folder; an exit code other than 0 ends the demo."""
    print(f"\n$ offbeat {command}", flush=True)
    code = "import sys; from offbeat.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *shlex.split(command)], cwd=folder, check=True)  # noqa: S603 - ours


def split(folder: Path, log: str) -> None:
    """Cut the log in the middle: ``before.jsonl``, and ``after.jsonl`` with labels of its own."""
    half = LINES // 2
    lines = (folder / log).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "before.jsonl").write_text("".join(lines[:half]), encoding="utf-8")
    (folder / "after.jsonl").write_text("".join(lines[half:]), encoding="utf-8")
    labels = pl.read_csv(folder / f"{log}.labels.csv", infer_schema_length=None)
    after = labels.filter(pl.col("line") > half).with_columns(line=pl.col("line") - half)
    after.write_csv(folder / "after.jsonl.labels.csv")


def found(folder: Path, incidents: Sequence[Incident]) -> tuple[pl.DataFrame, int, int]:
    """Return faults and how many were found, by kind; sessions flagged; and how many of those hold a labelled line."""
    log = pl.read_ndjson(folder / "after.jsonl", infer_schema_length=None).select(
        "timestamp", "trace", "service", "message"
    )
    labels = pl.read_csv(folder / "after.jsonl.labels.csv", infer_schema_length=None)
    scores = pl.read_parquet(folder / "scores.parquet")
    flagged = scores.filter("is_anomaly")["key"].implode()
    # One row a line of the log, in the order of the lines.
    lines = pl.concat([log, labels], how="horizontal").filter(pl.col("label") == 1)
    lines = lines.with_columns(hit=pl.col("trace").is_in(flagged).fill_null(False))
    wide = [json.loads(line) for line in (folder / "run" / "findings.jsonl").read_text("utf-8").splitlines()]
    within = pl.any_horizontal(pl.lit(False), *(about(one) for one in wide if one["session"] is None))
    marked = pl.col("line").is_in([line["line"] for one in wide for line in one["lines"] if line["mark"]])
    silent = pl.col("incident").is_in([i.incident for i in incidents if any(silence(one, i) for one in wide)])
    faults = lines.group_by("kind", "incident").agg(hit=(pl.col("hit") | within | marked | silent).any())
    kinds = faults.group_by("kind").agg(injected=pl.len(), found=pl.col("hit").sum()).sort("kind")
    right = lines.filter("hit")["trace"].n_unique()
    return kinds, len(flagged[0]), right


def about(finding: dict[str, Any]) -> pl.Expr:
    """Say of each line whether a finding about the log as a whole names its template and covers its time.

    Numbers that are off are those of one service.
    """
    texts = [template["template"] for template in finding["templates"]]
    pattern = "|".join(".*".join(re.escape(part) for part in re.split(r"<[^<>]*>", text)) for text in texts)
    start, end = (datetime.fromisoformat(finding[name]) for name in ("start", "end"))
    inside = pl.col("timestamp").str.to_datetime(time_zone="UTC").is_between(start, end)
    mine = pl.col("service").is_in(finding["sources"]) if finding["kind"] == "shift" else pl.lit(True)
    return inside & mine & pl.col("message").str.contains(f"^(?:{pattern})$")


def silence(finding: dict[str, Any], incident: Incident) -> bool:
    """Say whether a finding is about the silence of the service at fault, who writes no line then, at that time."""
    about = finding["kind"] == "silence" or (finding["kind"] == "rule" and not finding["lines"])
    if not about or incident.kind != "silent-component" or incident.service not in finding["sources"]:
        return False
    start, end = (datetime.fromisoformat(finding[name]) for name in ("start", "end"))
    return start <= incident.end and end >= incident.start


def main() -> None:
    """Run the demo."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    folder.mkdir(parents=True, exist_ok=True)
    offbeat(f"simulate -o shop.jsonl -n {LINES} --seed 7", folder)
    # The same log again, for what was injected where: the labels do not say who was silent.
    incidents = simulate(folder / "shop.jsonl", LINES, seed=7).incidents
    split(folder, "shop.jsonl")
    print(
        f"\nThe first {LINES // 2:,} lines are before.jsonl, the rest after.jsonl. Both hold faults; no label is seen."
    )
    offbeat("fit before.jsonl -o model", folder)
    offbeat("detect after.jsonl -m model --scores scores.parquet -o run --limit 5", folder)
    offbeat("evaluate model after.jsonl --labels after.jsonl.labels.csv", folder)
    kinds, flagged, right = found(folder, incidents)
    print(f"\n{'fault':24} injected  found")
    for kind, injected, hits in kinds.iter_rows():
        print(f"{kind:24} {injected:8}  {hits:5}")
    print(f"{'all':24} {kinds['injected'].sum():8}  {kinds['found'].sum():5}")
    print(f"\n{flagged:,} sessions were flagged; {right:,} of them hold a line of a fault.")


if __name__ == "__main__":
    main()
