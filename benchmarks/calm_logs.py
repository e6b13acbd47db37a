"""Logs in which nothing is wrong, of many kinds: what some software might write, real logs, and the simulator's.

Every other seed and every other real log is held out: nothing may be chosen by looking at those.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from calm_made import MADE, SIZES

from offbeat.simulate import simulate


@dataclass(frozen=True)
class Log:
    """A calm log.

    Attributes:
        name: of its kind, with its size or seed.
        make: returns its lines, without line ends.
        head: a regular expression for what comes before a message.
        key: a regular expression for what ties lines together, ``""`` where nothing does.
        held_out: nothing is chosen by it.
    """

    name: str
    make: Callable[[], list[str]]
    head: str
    key: str
    held_out: bool


def simulated(n: int, seed: int) -> list[str]:
    """The simulator's shop without an anomaly."""
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(Path(folder) / "calm.jsonl", n, seed, rate=0.0, difficulty=0.0)
        return made.path.read_text().splitlines()


def _opened(path: Path) -> list[str]:
    return gzip.open(path, "rt", errors="replace").read().splitlines()


def normal_blocks(data: Path, first: int, count: int) -> list[str]:
    """Lines of HDFS that name normal blocks only."""
    with gzip.open(data / "hdfs" / "anomaly_label.csv.gz", "rt") as file:
        bad = {row["BlockId"] for row in csv.DictReader(file) if row["Label"] != "Normal"}
    name = re.compile(r"blk_-?\d+")
    lines = (line for line in _opened(data / "hdfs" / "HDFS_2pct.log.gz") if not bad & set(name.findall(line)))
    return list(lines)[first : first + count]


def quiet_minutes(data: Path, day: str, since: str, until: str) -> list[str]:
    """Lines of TrainTicket between two times of a day."""
    lines = _opened(data / "trainticket" / f"trainticket_{day}.jsonl.gz")
    return [line for line in lines if since <= json.loads(line)["time"][11:16] < until]


def part(path: Path, first: int, count: int) -> list[str]:
    """Some lines of a file."""
    lines = _opened(path) if path.suffix == ".gz" else path.read_text(errors="replace").splitlines()
    return lines[first : first + count]


def real_logs(data: Path, own: Path | None) -> Iterator[Log]:
    """Yield real logs that are calm as far as is known, of DATA and of a folder of one's own."""
    hdfs = r"\d+ \d+ \d+ \w+ \S+: "
    blocks = r"(blk_-?\d+)"
    for i, (first, count) in enumerate(((0, 1_500), (30_000, 6_000), (60_000, 3_000), (5_000, 40_000))):
        yield Log(f"hdfs.{count}", lambda a=first, n=count: normal_blocks(data, a, n), hdfs, blocks, i % 2 == 1)
    access = data / "web" / "apache_access.log.gz"
    for i, (first, count) in enumerate(((0, 1_000), (1_000, 3_000), (4_000, 600), (4_600, 5_000))):
        yield Log(
            f"access.{count}", lambda a=first, n=count: part(access, a, n), MADE["web"][1], MADE["web"][2], i % 2 == 1
        )
    bgl = data / "bgl" / "BGL_first10k.log.gz"
    for i, (first, count) in enumerate(((0, 2_000), (2_000, 8_000))):
        yield Log(f"bgl.{count}", lambda a=first, n=count: part(bgl, a, n), r"- (?:\S+ ){8}", "", i % 2 == 1)
    for i, (day, since, until) in enumerate(
        (("2023-01-29", "08:48", "08:51"), ("2023-01-30_morning", "11:38", "11:41"))
    ):
        yield Log(
            f"trainticket.{i}",
            lambda d=day, a=since, b=until: quiet_minutes(data, d, a, b),
            r".*\"log\":\"",
            r'"trace_id":"(\w+)',
            i % 2 == 1,
        )
    systems = (
        ("Spark", r"\S+ \S+ \w+ \S+: ", r"task (\d+)"),
        ("Windows", r"\S+ \S+ +\w+ +\w+ +", ""),
        ("HDFS", hdfs, blocks),
        ("Proxifier", r"\[[^\]]+\] ", ""),
    )
    for i, (system, head, key) in enumerate(systems):
        path = next((data / "loghub_2k" / system).glob("*.log"), None)
        if path is not None:
            yield Log(f"loghub.{system}", lambda p=path: part(p, 0, 2_000), head, key, i % 2 == 1)
    for i, name in enumerate(("journald.json.gz", "zeek_dns.json.gz")):
        yield Log(f"formats.{name}", lambda p=data / "formats" / name: _opened(p), r".*", "", i % 2 == 1)
    for i, path in enumerate(sorted(own.glob("*.log")) if own else ()):
        yield Log(f"own.{path.stem}", lambda p=path: part(p, 0, 20_000), r"\S+ \S+ ", "", i % 2 == 1)


def all_logs(data: Path, own: Path | None = None) -> Iterator[Log]:
    """Yield all calm logs."""
    for kind, (make, head, key) in MADE.items():
        for i, (n, rhythm) in enumerate(SIZES):
            seed = 10 * list(MADE).index(kind) + i
            made = lambda m=make, n=n, s=seed, r=rhythm: m(n, s, rhythm=r)  # noqa: E731 - one of many
            yield Log(f"{kind}.{n}", made, head, key, seed % 2 == 1)
    for i, n in enumerate((300, 400, 800, 1_500, 2_800, 10_000, 40_000, 200_000)):
        for seed in range(4 if n < 2_000 else 2 if n < 20_000 else 1):
            yield Log(
                f"shop.{n}.{seed}",
                lambda n=n, s=seed: simulated(n, s),
                r".*\"message\":\"",
                r'"trace":"(\w+)',
                (i + seed) % 2 == 1,
            )
    yield from real_logs(data, own)
