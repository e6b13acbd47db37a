"""Run the protocols and write their tables into docs/benchmark.md and docs/networks.md, one by one.

    python benchmarks/quality.py DATA OUT [NAME …] [--detectors a,b] [--seeds 5] [--within 60m]

DATA is the folder of the protocols' data, OUT keeps results and reports by protocol: what is there already is used
again, so a run that was broken off goes on. Without NAME all protocols are run; those without results in OUT keep the
tables that the page has.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.bench import NAMES, summarise
from offbeat.bench.summary import figure
from offbeat.detect import DETECTORS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, NETWORKS = DOCS / "benchmark.md", DOCS / "networks.md"
#: How far below a published F1 is still as good.
NEAR = 0.03
#: F1 on HDFS as published, with its source.
PUBLISHED = {
    "deeplog": (".945", "logdeep's README"),
    "loganomaly": (".976, paper .96", "logdeep's README; Meng et al. 2019"),
    "logrobust": (".987", "LightAD, ICSE 2024"),
    "cnn": (".987", "LightAD, ICSE 2024"),
    "logbert": (".82; reproduced .09 to .79", "OneLog; issues of logbert's repository"),
    "logsy": ("– (BGL .65)", "OneLog"),
    "lstm-classifier": ("–", "no paper measured it on HDFS"),
    "lstm-autoencoder": ("–", "no paper measured it on HDFS"),
    "cnn-autoencoder": ("–", "no paper measured it on HDFS"),
    "autoencoder": ("–", "no paper measured it on HDFS"),
    "nearest-neighbour": (".9988", "LightAD, ICSE 2024"),
    "decision-tree": (".998", "loglizer's README"),
    "svm": (".965", "loglizer's README"),
    "invariants": (".915", "loglizer's README"),
    "isolation-forest": (".802", "loglizer's README"),
    "pca": (".769", "loglizer's README"),
    "count-vector": (".964 to .988 (new event, length and count vector)", "Landauer et al., FSE 2024"),
}

#: What the founding paper claims on its own simulated entries.
CLAIMED = {
    "offbeat": "–",
    "lstm": ".95, .92, .90, .91",
    "lstm-classifier": ".95, .92, .90, .91",
    "lstm-autoencoder": ".95, .92, .90, .91",
    "cnn": "a candidate",
    "cnn-autoencoder": "a candidate",
    "autoencoder": "a candidate",
    "svm": "accuracy .85",
    "decision-tree": "accuracy .80",
    "zscore": "a baseline",
    "moving-average": "a baseline",
}


def run(name: str, options: argparse.Namespace) -> None:
    """Measure a protocol, going on with what is there."""
    out = Path(options.out) / name
    command = [sys.executable, "-c", "from offbeat.cli import main; main()", "bench", name, "--data", options.data]
    command += ["--detectors", options.detectors, "--seeds", str(options.seeds), "-o", str(out)]
    command += ["--within", options.within] if options.within else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def small(value: float | None, digits: int = 3) -> str:
    """Return a figure without its leading zero."""
    return re.sub(r"^(-?)0\.", r"\1.", figure(value, digits))


def table(folder: Path) -> list[str]:
    """Return a protocol's results as Markdown, the best first."""
    about = json.loads((folder / "model.json").read_text())["values"]
    rows = summarise(pl.read_parquet(folder / "results.parquet")).to_dicts()
    once = {r["detector"]: r for r in rows if r["counted"] == "distinct"}
    every = sorted((r for r in rows if r["counted"] == "all" and r["seeds"]), key=lambda r: -(r["ap"] or 0))
    memory = f", {about['machine']['memory_mb'] / 1024:.0f} GB" if about["machine"]["memory_mb"] else ""
    train, test = about["parts"]["train"], about["parts"]["test"]
    units = {"entry": "entries"}.get(about["unit"], f"{about['unit']}s")
    heads = ["", "AP", "own F1", "P", "R", "FPR", "best F1", "ROC AUC", "MCC", "alerts / 1,000", "delay", "swaps",
             "distinct: AP / own F1", "fit s", "score s", "MB", "seeds"]  # fmt: skip
    out = [
        f"{about['date']}, {about['machine']['cores']} cores{memory}; {train['rows']:,} {units} to learn "
        f"from, {test['rows']:,} to judge, {test['anomalies']:,} of them anomalous; units `{about['data_hash'][:12]}`, "
        f"program `{about['program_hash'][:12]}`.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]
    out += [line(r, once.get(r["detector"], {})) for r in every]
    failed = [f"- {r['detector']}: {r['reason']}" for r in rows if not r["seeds"]]
    return [*out, *(["", "Without figures:", "", *failed] if failed else []), "", *keep(folder)]


def line(r: dict[str, Any], once: dict[str, Any]) -> str:
    """Return a detector's row."""
    spread = f" ({small(r['ap_min'])}–{small(r['ap_max'])})" if r["seeds"] > 1 else ""
    cells = [r["detector"], small(r["ap"]) + spread]
    cells += [small(r[c]) for c in ("f1", "precision", "recall", "fpr", "best_f1", "auc", "mcc")]
    cells += [small(r["alerts_per_1000"], 1), small(r["delay_units"], 0), small(r["swapped"], 2)]
    cells += [f"{small(once.get('ap'))} / {small(once.get('f1'))}"]
    cells += [figure(r["fit_seconds"], 1), figure(r["score_seconds"], 2), figure(r["peak_mb"], 0), str(r["seeds"])]
    return "| " + " | ".join(cells) + " |"


def keep(folder: Path) -> list[str]:
    """Return the report's answer about the LSTM, without its tables."""
    said = (folder / "report.md").read_text().partition("## Does the LSTM earn its keep?")[2]
    return [text for text in said.splitlines() if text and not text.startswith(("|", "Intervals"))]


def against_papers(out: Path) -> list[str]:
    """Return what was published on HDFS beside what is measured on T2, or on T2-sup with labels where they are used."""
    lines = ["| | published F1 | source | here | best F1 | own F1 | best within .03 | seeds |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for detector, (published, source) in PUBLISHED.items():
        kind = DETECTORS.get(detector)
        if kind is None:
            continue
        name = "T2-sup" if kind.supervised or kind.takes_labels else "T2"
        path = out / name / "results.parquet"
        rows = summarise(pl.read_parquet(path)).filter(counted="all", detector=detector) if path.is_file() else None
        if rows is not None and rows.height and rows["seeds"][0]:
            best, own = (rows[c][0] for c in ("best_f1", "f1"))
            claimed = re.match(r"\.\d+", published)
            near = "–" if claimed is None else "yes" if best >= float(claimed[0]) - NEAR else "no"
            cells = (detector, published, source, name, small(best), small(own), near, str(rows["seeds"][0]))
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def founding(out: Path) -> list[str]:
    """Return the founding paper's table, with what is measured on T5 at the own threshold."""
    path = out / "T5" / "results.parquet"
    if not path.is_file():
        return []
    rows = {r["detector"]: r for r in summarise(pl.read_parquet(path)).filter(counted="all").to_dicts() if r["seeds"]}
    lines = ["| | paper: accuracy, precision, recall, F1 | accuracy | precision | recall | F1 | ROC AUC | best F1 |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for detector, claim in CLAIMED.items():
        if detector in rows:
            figures = (small(rows[detector][c]) for c in ("accuracy", "precision", "recall", "f1", "auc", "best_f1"))
            lines.append(f"| {detector} | {claim} | " + " | ".join(figures) + " |")
    return lines


def insert(text: str, name: str, lines: list[str]) -> str:
    """Put lines between a page's marks of a name."""
    made = f"<!-- measured: {name} -->\n" + "\n".join(lines) + "\n<!-- end -->"
    found, n = re.subn(rf"<!-- measured: {re.escape(name)} -->\n.*?<!-- end -->", lambda _: made, text, flags=re.DOTALL)
    if not n:
        raise SystemExit(f"the page has no mark for {name}")
    return found


def main() -> None:
    """Run what is asked for, and bring the page up to date with all results there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("names", nargs="*", default=[name for name in NAMES if name != "T5-entry"])
    parser.add_argument("--detectors", default="all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--within")
    parser.add_argument("--page-only", action="store_true", help="measure nothing")
    options = parser.parse_args()
    for name in () if options.page_only else options.names:
        print(name, flush=True)
        run(name, options)
    text = PAGE.read_text(encoding="utf-8")
    for name in NAMES:
        folder = Path(options.out) / name
        if (folder / "results.parquet").is_file():
            text = insert(text, name, table(folder))
    text = insert(text, "founding", founding(Path(options.out)))
    PAGE.write_text(text, encoding="utf-8")
    text = insert(NETWORKS.read_text(encoding="utf-8"), "published", against_papers(Path(options.out)))
    NETWORKS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
