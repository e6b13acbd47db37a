"""Speed of mining, as ratios against peers in the same run: Polars replacing words with a digit, and drain3.

    python benchmarks/mining.py [LOG.gz]

The messages are those of an HDFS log, its header cut off. Each step runs three times, in turn with the others, and the
median counts. drain3 gets a tenth of the lines, as it is slow, and three masks: block ids, addresses and numbers.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from offbeat.mine import Miner

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "hdfs" / "HDFS_2pct.log.gz"
ROUNDS = 3
BATCH = 262_144


def messages(path: Path) -> pl.Series:
    """Return the messages of an HDFS log without their headers."""
    lines = pl.read_csv(path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"])["line"]
    return lines.str.replace(r"^\S+ \S+ \S+ \S+ \S+ ", "")


def mine(text: pl.Series) -> None:
    """Learn a catalog and give every message its template."""
    miner = Miner()
    codes = [miner.encode(Miner.shapes(text[at : at + BATCH])) for at in range(0, len(text), BATCH)]
    miner.learn()
    for part in codes:
        miner.templates(part)


def drain3(text: pl.Series) -> None:
    """Mine with drain3 and three masks."""
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig

    config: Any = TemplateMinerConfig()
    config.masking_instructions = [
        MaskingInstruction(r"blk_-?\d+", "BLK"),
        MaskingInstruction(r"/?\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?", "IP"),
        MaskingInstruction(r"(?<![A-Za-z0-9])-?\d+(?![A-Za-z0-9])", "NUM"),
    ]
    miner: Any = TemplateMiner(config=config)
    for message in text:
        miner.add_log_message(message)


def main() -> None:
    """Print lines a second and the ratio to the plain Polars pass."""
    text = messages(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    tenth = text[: len(text) // 10]
    catalog_miner = Miner()
    catalog_miner.encode(Miner.shapes(text))
    catalog = catalog_miner.learn()
    steps: dict[str, tuple[pl.Series, Callable[[pl.Series], object]]] = {
        "Polars replaces words with a digit": (text, lambda s: s.str.replace_all(r"\S*\d\S*", "<*>")),
        "Miner.shapes": (text, Miner.shapes),
        "shapes, encode, learn, templates": (text, mine),
        "shapes, Catalog.match": (text, lambda s: catalog.match(Miner.shapes(s))),
        "drain3, three masks (a tenth)": (tenth, drain3),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, (series, step) in steps.items():
            start = time.perf_counter()
            step(series)
            times[name].append((time.perf_counter() - start) / len(series))
    base = statistics.median(times["Polars replaces words with a digit"])
    print(f"{len(text):,} messages, {len(catalog)} templates")
    for name, took in times.items():
        cost = statistics.median(took)
        print(f"{name:36s} {1 / cost:12,.0f} lines/s   {base / cost:6.2f} times plain Polars")


if __name__ == "__main__":
    main()
