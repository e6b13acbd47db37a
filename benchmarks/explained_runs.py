"""Runs whose findings the benchmarks of explanations are about: T1, T3 and the simulator, as ``detect -o`` writes them.

T1's log is cut by session as the protocol says, T3's lines are the texts of their templates (the set has no others), in
windows of 20. A model learned from the first part scores the second; the simulator's log is judged by itself.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
import time
from pathlib import Path

from offbeat.detection import write_run
from offbeat.pipeline import Pipeline
from offbeat.simulate import simulate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BLOCK = r"blk_-?\d+"
#: The names; another number behind the first four is a seed (0 where there is none).
NAMES = ("T1-clean", "T1-free", "T3-clean", "T3-free", "sim-1", "sim-2", "sim-3", "sim-4")
_SIMULATED, _WINDOW = 30_000, 20


def asked() -> tuple[list[str], Path | None]:
    """Return the names on the command line, all unless there are some, and the folder where one is named."""
    names = [name for name in sys.argv[1:] if re.fullmatch(r"T[13]-(clean|free)(-\d+)?|sim-\d+", name)]
    folder = next((Path(given) for given in sys.argv[1:] if given not in names), None)
    return names or list(NAMES), folder


def run_of(name: str, folder: Path) -> Path:
    """Return where the run of that name lies, making it where it is not there yet."""
    run = folder / name / "run"
    if run.exists():
        return run
    (folder / name).mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    if name.startswith("sim"):
        log = folder / name / "shop.jsonl"
        simulate(log, _SIMULATED, int(name.split("-")[1]))
        made = Pipeline().fit(str(log))
        scored = made.cross_score()
    else:
        before, after = _t1(folder / name, name) if name.startswith("T1") else _t3(folder / name, name)
        how = {"session_by": BLOCK} if name.startswith("T1") else {"window": _WINDOW}
        seed = int((*name.split("-"), "0")[2])
        made = Pipeline(clean="clean" in name, seed=seed, **how).fit(str(before))
        scored = made.score(str(after))
    write_run(scored, scored.find(), run, made)
    print(f"{name}: run made in {time.process_time() - started:.0f} s of CPU", file=sys.stderr)
    return run


def _t1(folder: Path, name: str) -> tuple[Path, Path]:
    with gzip.open(DATA / "hdfs" / "anomaly_label.csv.gz", "rt") as rows:
        bad = {row["BlockId"] for row in csv.DictReader(rows) if row["Label"] != "Normal"}
    with gzip.open(DATA / "hdfs" / "HDFS_2pct.log.gz", "rt") as lines:
        named = [(found.group(), line) for line in lines if (found := re.search(BLOCK, line))]
    blocks = {block: i for i, block in enumerate(dict.fromkeys(block for block, _ in named))}
    half = len(blocks) // 2
    left_out = bad if "clean" in name else set()
    first = [line for block, line in named if blocks[block] < half and block not in left_out]
    return _write(folder / "before.log", first), _write(
        folder / "after.log", [line for block, line in named if blocks[block] >= half]
    )


def _t3(folder: Path, name: str) -> tuple[Path, Path]:
    with (DATA / "bgl" / "templates.csv").open() as rows:
        texts = {row["EventId"]: row["EventTemplate"].replace(".*", "x1") for row in csv.DictReader(rows)}
    with gzip.open(DATA / "bgl" / "BGL_100k_structured.csv.gz", "rt") as given:
        rows = [(row["label"] != "-", row["time"], texts[row["event_id"]]) for row in csv.DictReader(given)]
    half = len(rows) // 2
    windows = [rows[i : i + _WINDOW] for i in range(0, half, _WINDOW)]
    kept = [row for w in windows if "free" in name or not any(bad for bad, *_ in w) for row in w]
    return _write(folder / "before.log", map(_line, kept)), _write(folder / "after.log", map(_line, rows[half:]))


def _line(row: tuple[bool, str, str]) -> str:
    _, at, text = row
    return f"{at[:10]}T{at[11:].replace('.', ':', 2)}Z {text}\n"


def _write(path: Path, lines: object) -> Path:
    path.write_text("".join(lines))
    return path
