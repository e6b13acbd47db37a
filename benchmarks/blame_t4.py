"""T4: does the blame fall on the faulty service? AC@1 and AC@3 by kind of fault, and every miss with the reason given.

    python benchmarks/blame_t4.py [DIRECTORY]

The directory holds ``trainticket_*.jsonl.gz`` and ``faults_*.json``; `offbeat bench T4 --data DIR` prints the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from offbeat.bench.blaming import accuracy_table, places

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "trainticket"


def main() -> None:
    """Print what was ranked first where the faulty service was not, and the table."""
    found = places(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA, print)
    for r in found.filter(pl.col("place") > 1).iter_rows(named=True):
        miss = f"{r['kind']} {r['service']} is {r['place']}, after {r['first']}: {r['reason'][:90]}"
        print(f"  {r['time']:%H:%M} {miss}")
    print("\n".join(accuracy_table(found)))


if __name__ == "__main__":
    main()
