"""T4: does the blame fall on the faulty service? AC@1 and AC@3 by kind of fault.

    python benchmarks/blame_t4.py [DIRECTORY]

The directory holds ``trainticket_*.jsonl.gz`` and ``faults_*.json``. For each fault the 180 seconds after its injection
are compared with the rest of the same file; nothing else is learned, and the faults are only looked at to count hits.
A fault is left out where the file ends within a minute of its injection.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from offbeat.blame import rank
from offbeat.mine import Miner
from offbeat.read import open_logs

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "trainticket"
AFTER = timedelta(seconds=180)
LEAST = timedelta(seconds=60)
POD = re.compile(r"-[0-9a-f]+-[0-9a-z]{5}$")


def events(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Return a log's events as ``rank`` takes them, and the texts of its templates."""
    miner = Miner()
    columns = ["timestamp", "source", "message"]
    parts = [
        frame.select("timestamp", "source", trace="fields.trace_id", shape=miner.encode(Miner.shapes(frame["message"])))
        for frame in open_logs(str(path)).batches(columns, ["trace_id"])
    ]
    found = pl.concat(parts)
    catalog = miner.learn()
    return found.select("timestamp", "source", "trace", template=miner.templates(found["shape"])), list(catalog.texts)


def faults(path: Path) -> list[tuple[datetime, str, str]]:
    """Return (time of injection, faulty service, kind of fault)."""
    return [
        (
            datetime.fromisoformat(fault["inject_time"]).replace(tzinfo=UTC),
            POD.sub("", fault["inject_pod"]),
            fault["inject_type"],
        )
        for fault in json.loads(path.read_text())
    ]


def places(folder: Path, report: Callable[[str], None] = lambda _: None) -> dict[str, dict[str, list[int]]]:
    """Return the faulty services' places in the ranking, by day and kind of fault; ``report`` hears of the misses."""
    out: dict[str, dict[str, list[int]]] = {}
    for known in sorted(folder.glob("faults_*.json")):
        day = known.stem.removeprefix("faults_")
        log, texts = events(folder / f"trainticket_{day}.jsonl.gz")
        report(f"{day}: {log['source'].n_unique()} services, {log.height:,} events; not first:")
        last = log["timestamp"].sort()[-1]
        out[day] = defaultdict(list)
        for at, service, kind in faults(known):
            if last - at < LEAST:
                continue
            blamed = rank(log, at, at + AFTER, name=texts.__getitem__)
            place = blamed["source"].to_list().index(service) + 1
            out[day][kind].append(place)
            if place > 1:
                first = blamed.row(0, named=True)
                report(f"  {at:%H:%M} {kind} {service} is {place}, after {first['source']}: {first['reason'][:90]}")
    return out


def main() -> None:
    """Print what was ranked first where the faulty service was not, and the table."""
    for day, found in places(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA, print).items():
        everything = [place for by_kind in found.values() for place in by_kind]
        for kind, of in [*sorted(found.items()), ("all", everything)]:
            ac1, ac3 = (sum(p <= k for p in of) for k in (1, 3))
            print(
                f"{day:20} {kind:16} AC@1 {ac1:2}/{len(of):<2} {ac1 / len(of):.2f}   AC@3 {ac3:2} {ac3 / len(of):.2f}"
            )


if __name__ == "__main__":
    main()
