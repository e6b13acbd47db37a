"""The founding paper's two case studies and its remarks on load and time of day, on the simulated entries.

    python benchmarks/founding.py [OUT]

A million entries (seed 7) are simulated. The first 70 % are learned from without labels (``fit`` with all default views
but the LSTM), the rest is searched (``detect``). Printed are, for each incident of the two kinds that the paper tells
of, 500s after a release and failed logins from one address, the findings that name its lines or its address; what hours
with many logins have in common; and when incidents begin. With OUT, where ``quality.py`` left the results of T5, also
how false alarms are spread over load.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from offbeat.simulate import simulate

ENTRIES, SEED, LEARNED, WINDOW = 1_000_000, 7, 700_000, 100
VIEWS = "presence,count,ngram,count-vector,new-template,timing,values,length"
CASES = ("error-spike", "brute-force")


def offbeat(*arguments: str) -> bytes:
    """Run a command; returns what it prints."""
    command = [sys.executable, "-c", "from offbeat.cli import main; main()", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def search(folder: Path, log: Path) -> tuple[list[dict[str, Any]], int]:
    """Learn from the first part and search the rest; returns the findings, and how many units the rest has."""
    lines = log.read_bytes().splitlines(keepends=True)
    (folder / "before.jsonl").write_bytes(b"".join(lines[:LEARNED]))
    (folder / "after.jsonl").write_bytes(b"".join(lines[LEARNED:]))
    model, scores = str(folder / "model"), str(folder / "scores.parquet")
    given = ("--format", "json", "--session-by", "trace", "--detector", VIEWS)
    offbeat("fit", str(folder / "before.jsonl"), *given, "-o", model)
    out = offbeat("detect", str(folder / "after.jsonl"), "-m", model, "--json", "--scores", scores)
    return [orjson.loads(line) for line in out.splitlines()], pl.read_parquet(scores).height


def events(log: Path) -> pl.DataFrame:
    """Return the log's fields with the labels, a row a line."""
    fields = {"timestamp": pl.String, "message": pl.String, "level": pl.String, "client": pl.String,
              "status": pl.Int64, "duration_ms": pl.Float64}  # fmt: skip
    labels = pl.read_csv(f"{log}.labels.csv", schema_overrides={"incident": pl.Int64, "kind": pl.String})
    at = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ")
    return pl.concat([pl.read_ndjson(log, schema=fields).with_columns(at), labels], how="horizontal_extend")


def cases(log: pl.DataFrame, findings: list[dict[str, Any]], units: int) -> None:
    """Print which findings meet each incident of CASES, and how late the first of its alarms is."""
    print(f"{len(findings)} findings in {units:,} units of the last 30 %\n")
    print("| incident | lines | lasts | first alarm after | findings that name it (rank, kind, reason) |")
    print("|---|---|---|---|---|")
    for kind in CASES:
        mine = log.filter((pl.col("kind") == kind) & (pl.col("line") > LEARNED))
        for (number,), one in mine.group_by("incident", maintain_order=True):
            inside = set((one["line"] - LEARNED).to_list())
            start, end = one["timestamp"].min(), one["timestamp"].max()
            met = [(rank, f) for rank, f in enumerate(findings, 1) if any(x["line"] in inside for x in f["lines"])]
            times = [
                log["timestamp"][x["line"] - 1 + LEARNED] for _, f in met for x in f["lines"] if x["line"] in inside
            ]
            late = f"{(min(times) - start).total_seconds():.0f} s" if times else "–"
            told = "; ".join(f"{rank}, {f['kind']}, “{f['reason'][:110]}”" for rank, f in met[:2]) or "none"
            print(f"| {kind} {number} | {one.height} | {(end - start).total_seconds():.0f} s | {late} | {told} |")
    labelled = log.filter(pl.col("line") > LEARNED)["label"].to_numpy()
    hits = sum(any(labelled[x["line"] - 1] for x in f["lines"]) for f in findings)
    print(f"\n{hits} of all findings name a labelled line.")


def rhythm(log: pl.DataFrame) -> None:
    """Print what hours with many logins have in common, and when incidents begin."""
    normal = log.filter(pl.col("label") == 0)
    answer = pl.col("message").str.starts_with("answered")
    hours = normal.group_by(pl.col("timestamp").dt.truncate("1h").alias("hour")).agg(
        logins=pl.col("message").str.contains("/login").sum(),
        duration=pl.col("duration_ms").filter(answer).median(),
        slow=pl.col("duration_ms").filter(answer).quantile(0.95),
        errors=(pl.col("level") == "ERROR").mean(),
        refused=(pl.col("status") >= 500).sum() / (pl.col("status").is_not_null()).sum(),
    )
    print("\nNormal hours by logins, in thirds:\n")
    print("| logins an hour | median answer | 95th percentile | errors | 5xx |\n|---|---|---|---|---|")
    cut = hours.with_columns(third=pl.col("logins").rank("ordinal") * 3 // (hours.height + 1))
    for (_,), one in cut.sort("third").group_by("third", maintain_order=True):
        m = {c: one[c].mean() for c in ("logins", "duration", "slow", "errors", "refused")}
        cells = (
            f"{m['logins']:.0f}",
            f"{m['duration']:.0f} ms",
            f"{m['slow']:.0f} ms",
            f"{m['errors']:.2%}",
            f"{m['refused']:.2%}",
        )
        print("| " + " | ".join(cells) + " |")
    begins = log.filter(pl.col("incident").is_not_null()).group_by("incident").agg(pl.col("timestamp").min())
    slots = log.select(pl.col("timestamp").dt.truncate("10m").unique())
    often, usual = (frame.select(after_maintenance(pl.col("timestamp")).mean()).item() for frame in (begins, slots))
    print(f"\n{often:.1%} of {begins.height} incidents begin in the 90 minutes after maintenance ({usual:.1%} of all).")


def after_maintenance(time: pl.Expr) -> pl.Expr:
    """Whether a time lies in the 90 minutes after a maintenance window: Tuesdays, Thursdays and Sundays at 03:30."""
    minute = time.dt.hour().cast(pl.Int32) * 60 + time.dt.minute()
    return time.dt.weekday().is_in([2, 4, 7]) & minute.is_between(210, 299)


def false_alarms(log: pl.DataFrame, out: Path) -> None:
    """Print each detector's false positives on T5's test part, by thirds of load."""
    window = log.group_by(((pl.col("line") - 1) // WINDOW).alias("window"), maintain_order=True).agg(
        pl.col("timestamp").min().alias("start"), pl.col("timestamp").max().alias("end"), pl.col("label").max()
    )[-(15 * ENTRIES // 100 // WINDOW) :]
    load = 1 / (window["end"] - window["start"]).dt.total_seconds().clip(1)
    third = (load.rank("ordinal") * 3 // (len(load) + 1)).to_numpy()
    normal = window["label"].to_numpy() == 0
    print("\nFalse positive rate at the own threshold, T5, by thirds of load:\n")
    print("| | quiet | medium | busy |\n|---|---|---|---|")
    for path in sorted((out / "T5" / "parts").glob("*-0-*/*.parquet")):
        if path.stem.startswith("decision-") and path.stem != "decision-tree":
            continue
        flagged = pl.read_parquet(path).get_column("is_anomaly", default=None)
        if flagged is not None and len(flagged) == len(normal):
            rates = [flagged.to_numpy()[normal & (third == k)].mean() for k in range(3)]
            print(f"| {path.stem} | " + " | ".join(f"{rate:.3f}" for rate in rates) + " |")


def main() -> None:
    """Simulate, learn, search, and print."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "shop.jsonl"
        simulate(log, ENTRIES, SEED)
        findings, units = search(Path(name), log)
        table = events(log)
    cases(table, findings, units)
    rhythm(table)
    if len(sys.argv) > 1:
        false_alarms(table, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
