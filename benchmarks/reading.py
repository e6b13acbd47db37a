"""How fast logs are read, as ratios against plain Polars and drain3 in the same run.

    python benchmarks/reading.py HDFS.log [--json-lines TRAINTICKET.jsonl]

HDFS.log is best large (``../shared/tools/hdfs_times_ten`` makes 2.2 million lines). Each figure is the median of three
runs; the peers run between ours, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from offbeat.read import open_logs

_ROUNDS = 3
_DRAIN_LINES = 20_000


def ours(path: Path, columns: list[str]) -> int:
    """Rows read with these columns."""
    return sum(frame.height for frame in open_logs(path).batches(columns))


def polars_lines(path: Path) -> int:
    """Rows that Polars itself reads as one column of lines: the ceiling."""
    return pl.scan_lines(path).select(pl.len()).collect().item()


def polars_header(path: Path) -> int:
    """Rows of the least that has to be done to HDFS lines: cut out four pieces and read the time."""
    line = pl.col("line")
    frame = (
        pl.scan_lines(path)
        .select(line.str.extract_groups(r"^(\d{6} \d{6}) \d+ ([A-Z]+) ([^ :]+): (.*)$").alias("g"))
        .unnest("g")
        .with_columns(pl.lit("20") + pl.col("1"))
        .with_columns(pl.col("literal").str.strptime(pl.Datetime("us"), "%Y%m%d %H%M%S"))
        .collect()
    )
    return frame.height


def drain3_lines(path: Path) -> int:
    """Lines that drain3 with three masks mines; the figure that `parse` is compared with."""
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig

    config = TemplateMinerConfig()
    config.masking_instructions = [
        MaskingInstruction(r"blk_-?\d+", "BLK"),
        MaskingInstruction(r"\d+\.\d+\.\d+\.\d+(:\d+)?", "IP"),
        MaskingInstruction(r"(?<![a-zA-Z0-9])-?\d+(?![a-zA-Z0-9])", "NUM"),
    ]
    miner = TemplateMiner(config=config)
    with path.open() as file:
        for n, line in enumerate(file):
            if n == _DRAIN_LINES:
                return n
            miner.add_log_message(line.split(": ", 1)[-1].strip())
    return n + 1


def rates(jobs: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Lines a second of each job, median of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(_ROUNDS):
        for name, job in jobs.items():
            start = time.perf_counter()
            rows = job()
            found[name].append(rows / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Print one line a job: lines a second and the ratio to drain3."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hdfs", type=Path)
    parser.add_argument("--json-lines", type=Path)
    options = parser.parse_args()
    whole = ["timestamp", "level", "source", "message"]
    jobs: dict[str, Callable[[], int]] = {
        "drain3, three masks": lambda: drain3_lines(options.hdfs),
        "offbeat: time, level, source, message": lambda: ours(options.hdfs, whole),
        "offbeat: message": lambda: ours(options.hdfs, ["message"]),
        "polars: lines": lambda: polars_lines(options.hdfs),
        "polars: lines, header, time": lambda: polars_header(options.hdfs),
    }
    if options.json_lines:
        jobs["offbeat: JSON, time, level, source, message"] = lambda: ours(options.json_lines, whole)
    found = rates(jobs)
    base = found["drain3, three masks"]
    for name, rate in found.items():
        print(f"{name:45s} {rate:12,.0f} lines/s {rate / base:8.1f} x drain3")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
