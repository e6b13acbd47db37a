"""T6: how good the templates of ``offbeat parse --json`` are on ten systems with corrected ground truth.

    python benchmarks/templates_t6.py DATA [SYSTEM ...] [--show N]

DATA is the folder that holds ``loghub_2k``. One configuration, the default, for all systems. With SYSTEM named, the
groups and texts that differ are shown, and the lines whose message is not what the ground truth takes for it.

GA and FTA are those of ``templates.py``, which hands the miner the ground truth's messages; here the messages are cut
out of the lines by offbeat itself.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from templates import plain, quality


@dataclass
class Result:
    """One system's figures, and a row a line: true and found template, true and found message."""

    ga: float
    fta: float
    found: int
    true: int
    rows: pl.DataFrame


def parsed(log: Path) -> pl.DataFrame:
    """Run ``offbeat parse --json`` on a file: line, id, template and message of each event."""
    offbeat = shutil.which("offbeat") or str(Path(sys.executable).parent / "offbeat")
    done = subprocess.run([offbeat, "parse", str(log), "--json"], check=True, capture_output=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return pl.DataFrame({name: [e[name] for e in events] for name in ("line", "template_id", "template", "message")})


def measure(folder: Path) -> Result:
    """Compare one system's templates with its ground truth."""
    name = folder.name
    truth = pl.read_csv(folder / f"{name}_2k.log_structured_corrected.csv", infer_schema=False)
    truth = truth.select(pl.col("LineId").cast(pl.Int64).alias("line"), "Content", "EventTemplate")
    rows = truth.join(parsed(folder / f"{name}_2k.log"), on="line", how="left").with_columns(
        pl.col("template_id").fill_null("no event of its own"), pl.col("template").fill_null("")
    )
    ga, fta = quality(rows["EventTemplate"], rows["template"])
    return Result(ga, fta, rows["template_id"].n_unique(), rows["EventTemplate"].n_unique(), rows)


def explain(result: Result, show: int) -> None:
    """Print what differs: messages first, for what the header takes can make a group wrong; then groups and texts."""
    rows = result.rows
    cut = rows.filter(pl.col("message").str.strip_chars() != pl.col("Content").str.strip_chars())
    gone = rows.filter(pl.col("message").is_null())
    print(f"  message is not the ground truth's Content on {cut.height} lines, no event of its own on {gone.height}")
    for content, message in cut.select("Content", "message").head(min(show, 4)).iter_rows():
        print(f"    true  {content[:150]}\n    found {message[:150]}")
    sizes = Counter(rows["template_id"].to_list())
    for (true,), part in rows.partition_by("EventTemplate", as_dict=True).items():
        found = Counter(part["template_id"].to_list())
        wrong = len(found) > 1 or sizes[part["template_id"][0]] != part.height
        if not wrong and plain(str(true)) == plain(part["template"][0]):
            continue
        print(f"  {'group' if wrong else 'text '} {part.height:5} {str(true)[:150]}")
        for name, count in found.most_common(show):
            text = part.filter(pl.col("template_id") == name)["template"][0]
            print(f"        {count:5} of {sizes[name]:4} {text[:150]}")


def main() -> None:
    """Print the figures of each system and their means."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("data", type=Path)
    options.add_argument("systems", nargs="*")
    options.add_argument("--show", type=int, default=4)
    given = options.parse_args()
    folders = sorted(f for f in (given.data / "loghub_2k").iterdir() if f.is_dir())
    results = {}
    for folder in folders:
        if given.systems and folder.name not in given.systems:
            continue
        result = results[folder.name] = measure(folder)
        print(f"{folder.name:12} GA {result.ga:.3f}  FTA {result.fta:.3f}  templates {result.found} of {result.true}")
        if given.systems:
            explain(result, given.show)
    if results:
        ga = sum(r.ga for r in results.values()) / len(results)
        fta = sum(r.fta for r in results.values()) / len(results)
        print(f"{'mean':12} GA {ga:.3f}  FTA {fta:.3f}")


if __name__ == "__main__":
    main()
