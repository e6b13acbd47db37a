"""T4: does the blame fall on the faulty service? AC@1 and AC@3 by kind of fault.

For each fault the 180 seconds after its injection are compared with the rest of the same file; nothing else is learned,
and the faults are only looked at to count hits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from offbeat.bench.summary import figure
from offbeat.blame import rank
from offbeat.errors import InputError
from offbeat.mine import Miner
from offbeat.read import open_logs

NAME: Final = "T4"
_AFTER: Final = timedelta(seconds=180)
#: A fault is left out where the log ends sooner after its injection.
_LEAST: Final = timedelta(seconds=60)
#: The two hash suffixes that tell the pods of one deployment apart.
_POD: Final = re.compile(r"-[0-9a-f]+-[0-9a-z]{5}$")


def events(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Return a log's events as ``blame.rank`` takes them, and the texts of its templates."""
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
            _POD.sub("", fault["inject_pod"]),
            fault["inject_type"],
        )
        for fault in json.loads(path.read_text())
    ]


def places(folder: Path, progress: Callable[[str], None] = lambda _: None) -> pl.DataFrame:
    """Return one row a fault: ``day``, ``time``, ``kind``, ``service``, its ``place``, the ``first``, the ``reason``.

    Args:
        folder: holds ``trainticket_DAY.jsonl.gz`` and ``faults_DAY.json``.
        progress: called with a few words.

    Raises:
        InputError: the data are not there.
    """
    known = sorted(folder.glob("faults_*.json"))
    if not known:
        raise InputError("the protocol's data are not here", where=f"{folder}/faults_*.json", hint="name their folder")
    rows = []
    for file in known:
        day = file.stem.removeprefix("faults_")
        progress(f"{NAME}: {day}")
        log, texts = events(folder / f"trainticket_{day}.jsonl.gz")
        last = log["timestamp"].sort()[-1]
        for at, service, kind in faults(file):
            if last - at < _LEAST:
                continue
            blamed = rank(log, at, at + _AFTER, name=texts.__getitem__)
            sources = blamed["source"].to_list()
            place = sources.index(service) + 1 if service in sources else len(sources) + 1
            why = blamed["reason"][0]
            rows.append(
                {"day": day, "time": at, "kind": kind, "service": service, "place": place, "first": sources[0],
                 "reason": why}
            )  # fmt: skip
    return pl.DataFrame(rows)


def accuracy(found: pl.DataFrame) -> pl.DataFrame:
    """Return AC@1 and AC@3 by day and kind of fault, and over all kinds (``kind`` is then ``all``)."""
    hits = [(pl.col("place") <= k).mean().alias(f"ac{k}") for k in (1, 3)]
    by_kind = found.group_by("day", "kind").agg(pl.len().alias("faults"), *hits).sort("day", "kind")
    every = found.group_by("day").agg(pl.lit("all").alias("kind"), pl.len().alias("faults"), *hits).sort("day")
    return pl.concat([by_kind, every.select(by_kind.columns)]).sort("day", maintain_order=True)


def accuracy_table(found: pl.DataFrame) -> list[str]:
    """Return ``accuracy`` as lines of Markdown."""
    lines = [
        f"| {r['day']} | {r['kind']} | {r['faults']} | {figure(r['ac1'], 2)} | {figure(r['ac3'], 2)} |"
        for r in accuracy(found).iter_rows(named=True)
    ]
    return ["| day | kind of fault | faults | AC@1 | AC@3 |", "|---|---|---|---|---|", *lines]


def blame_report(found: pl.DataFrame) -> str:
    """Return the table, and every fault that was not ranked first, as Markdown."""
    missed = [
        f"- {r['time']:%Y-%m-%d %H:%M}, {r['kind']} in {r['service']}: place {r['place']}, after {r['first']}"
        for r in found.filter(pl.col("place") > 1).iter_rows(named=True)
    ]
    return "\n".join([f"# {NAME}", "", *accuracy_table(found), "", "## Not ranked first", "", *missed]) + "\n"
