"""What the views find, fused and each alone, and what they notice of altered sequences: docs/performance.md, README.

    python benchmarks/views.py DATA OUT [NAME …] [--seeds 3] [--page-only]

The whole is fitted once a seed and protocol; its views are then measured by themselves. OUT keeps a file for each,
which is used again as long as it is there. All protocols in OUT go into the tables.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from offbeat.bench.measuring import run_views
from offbeat.bench.splits import get_split

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("T1-clean", "T1-free", "T2", "T3-clean", "T3-free")
HEADS = (
    "AP",
    "own F1",
    "P",
    "R",
    "FPR",
    "best F1",
    "ROC AUC",
    "MCC",
    "alerts / 1,000",
    "swaps",
    "distinct: AP / own F1",
)
FIGURES = ("f1", "precision", "recall", "fpr", "best_f1", "auc", "mcc")


def measure(name: str, seed: int, data: str, out: Path) -> None:
    """Measure a protocol with a seed, unless that was done."""
    path = out / f"{name}.{seed}.json"
    if path.is_file():
        return
    outcomes, order = run_views(get_split(name, data), seed)
    rows = [row | {"detector": detector} for detector, outcome in outcomes.items() for row in outcome.rows]
    path.write_text(json.dumps({"rows": rows, "order": order}, default=str))
    print(name, seed, flush=True)


def small(value: float | None, digits: int = 3) -> str:
    """Return a figure without its leading zero."""
    return "–" if value is None else re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")


def mean(rows: list[dict[str, Any]], column: str) -> float | None:
    """Return the mean over seeds."""
    found = [row[column] for row in rows if row[column] is not None]
    return sum(found) / len(found) if found else None


def spread(rows: list[dict[str, Any]]) -> str:
    """Return the AP over seeds, with its range where it has one."""
    low, high = (f(row["ap"] for row in rows) for f in (min, max))
    return small(mean(rows, "ap")) + ("" if small(low) == small(high) else f" ({small(low)}–{small(high)})")


def tables(out: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the lines of the three tables: all views, the whole in short, and alterations."""
    whole = ["| protocol | | " + " | ".join(HEADS) + " |", "|---|---|" + "---|" * len(HEADS)]
    short = [
        "| protocol | AP | own F1 | best F1 | presence alone, AP / own F1 | swaps noticed |",
        "|---|---|---|---|---|---|",
    ]
    altered: list[str] = []
    for name in NAMES:
        runs = [json.loads(path.read_text()) for path in sorted(out.glob(f"{name}.*.json"))]
        rows = defaultdict(list)
        for run in runs:
            for row in run["rows"]:
                rows[row["detector"], row["counted"]].append(row)
        for (detector, counted), mine in rows.items():
            if counted == "all":
                once = rows[detector, "distinct"]
                cells = [name, detector, spread(mine), *(small(mean(mine, c)) for c in FIGURES)]
                cells += [small(mean(mine, "alerts_per_1000"), 1), small(mean(mine, "swapped"), 2)]
                cells += [f"{small(mean(once, 'ap'))} / {small(mean(once, 'f1'))}"]
                whole.append("| " + " | ".join(cells) + " |")
        if runs:
            mine, alone = rows["offbeat", "all"], rows["presence", "all"]
            cells = [name, *(small(mean(mine, c)) for c in ("ap", "f1", "best_f1"))]
            cells += [f"{small(mean(alone, 'ap'))} / {small(mean(alone, 'f1'))}", small(mean(mine, "swapped"), 2)]
            short.append("| " + " | ".join(cells) + " |")
            altered += alterations(name, [row for run in runs for row in run["order"]], head=not altered)
    return whole, short, altered


def alterations(name: str, rows: list[dict[str, Any]], head: bool) -> list[str]:
    """Return a protocol's lines of the table of alterations."""
    views = ["channels", "presence", "count", "count-vector", "lstm", "ngram", "end", "isolation-forest", "length"]
    lines = ["| protocol | altered | " + " | ".join(views) + " |", "|---|---|" + "---|" * len(views)] if head else []
    for how in dict.fromkeys(row["altered"] for row in rows):
        mine = [row for row in rows if row["altered"] == how]
        cells = [small(mean(mine, view), 2) if view in mine[0] else "–" for view in views]
        lines.append(f"| {name} | {how} | " + " | ".join(cells) + " |")
    return lines


def insert(path: Path, mark: str, lines: list[str]) -> None:
    """Put lines between a page's marks."""
    made = f"<!-- {mark} -->\n" + "\n".join(lines) + "\n<!-- end -->"
    text = path.read_text(encoding="utf-8")
    found, n = re.subn(rf"<!-- {mark} -->\n.*?<!-- end -->", lambda _: made, text, count=1, flags=re.DOTALL)
    if not n:
        raise SystemExit(f"{path} has no mark for {mark}")
    path.write_text(found, encoding="utf-8")


def main() -> None:
    """Measure what is asked for, and bring both pages up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page-only", action="store_true", help="measure nothing")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(0 if options.page_only else options.seeds):
        for name in options.names:
            measure(name, seed, options.data, options.out)
    whole, short, altered = tables(options.out)
    insert(ROOT / "docs" / "performance.md", "quality", whole)
    insert(ROOT / "docs" / "performance.md", "altered", altered)
    insert(ROOT / "README.md", "quality", short)


if __name__ == "__main__":
    main()
