r"""Speed and memory of ``offbeat parse --columns … --parquet``, as ratios against peers in the same run.

    python benchmarks/parsing.py DATA [--hdfs LOG] [--rounds 3] [--growth]

DATA holds ``hdfs``, ``loghub_2k`` and ``trainticket``. The logs made from them: HDFS ten times over (each copy with
block ids and a month of its own), the ten loghub systems, their lines shuffled and repeated with other numbers, and
TrainTicket's JSON lines. ``offbeat`` runs as a user runs it, a process with its start-up; the peers run in this one,
without theirs:

- drain3 with three masks on a part of the lines, whole ones, and such whose header was cut off for it beforehand;
- plain Polars doing the same work with one regular expression a column: the ceiling, where a format suits it;
- orjson reading each line, for JSON.

Each step runs in turn with the others, three times; the median counts. CPU seconds stand beside, for a busy machine,
and (on Linux) how many cores other programs kept busy meanwhile: offbeat wants two, the peers mostly one.
``--growth`` compares the cost of a line among 10 million with that among one million instead; it needs 1.6 GB of disk.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

KEY = r"blk_-?\d+"
COLUMNS = "timestamp,level,source,session,template_id"
DRAIN_LINES = 60_000
_HDFS_LINE = r"^(?<time>\d{6} \d{6}) \d+ (?<level>[A-Z]+) (?<source>[^ :]+): (?<message>.*)$"


@dataclass
class Took:
    """What a step cost: seconds, CPU seconds, and the most memory (MB) where it was a process of its own.

    ``others`` is how many cores other programs kept busy meanwhile.
    """

    wall: float
    cpu: float
    memory: float = 0.0
    others: float = 0.0


def busy() -> float:
    """CPU seconds that all programs together have used since the machine was started; 0 where that is not told."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, *more = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def watched(step: Callable[[], Took]) -> Took:
    """Run a step, and note what other programs used meanwhile."""
    before = busy()
    took = step()
    took.others = max(0.0, busy() - before - took.cpu) / took.wall
    return took


def offbeat(log: Path, out: Path, *options: str) -> Took:
    """Run ``offbeat parse`` in a process of its own."""
    program = shutil.which("offbeat") or str(Path(sys.executable).parent / "offbeat")
    start = time.perf_counter()
    process = subprocess.Popen([program, "parse", str(log), "--parquet", str(out), *options], stderr=subprocess.DEVNULL)
    peak, ended = 0.0, 0
    while not ended:
        peak = max(peak, high_water(process.pid))
        time.sleep(0.01)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    if status:
        raise SystemExit(f"offbeat failed on {log}")
    return Took(time.perf_counter() - start, used.ru_utime + used.ru_stime, peak)


def high_water(pid: int) -> float:
    """Most memory a process has held so far, MB (Linux). ``ru_maxrss`` is never less than what its parent held."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def inside(step: Callable[[], object]) -> Took:
    """Run a step in this process."""
    start, cpu = time.perf_counter(), time.process_time()
    step()
    return Took(time.perf_counter() - start, time.process_time() - cpu)


def drain3(messages: list[str]) -> None:
    """Mine with drain3 and three masks."""
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig

    config: Any = TemplateMinerConfig()
    config.masking_instructions = [
        MaskingInstruction(KEY, "BLK"),
        MaskingInstruction(r"/?\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?", "IP"),
        MaskingInstruction(r"(?<![A-Za-z0-9])-?\d+(?![A-Za-z0-9])", "NUM"),
    ]
    miner: Any = TemplateMiner(config=config)
    for message in messages:
        miner.add_log_message(message)


def polars(log: Path, out: Path) -> None:
    """Do the same work on HDFS with plain Polars: header, time, keys, digits replaced, shapes as a dictionary."""
    parts = pl.col("line").str.extract_groups(_HDFS_LINE)
    lines = pl.scan_lines(str(log), name="line").select(parts.alias("p")).unnest("p")
    lines.select(
        pl.col("time").str.to_datetime("%y%m%d %H%M%S", time_unit="us", time_zone="UTC", strict=False),
        pl.col("level").cast(pl.Categorical),
        pl.col("source").cast(pl.Categorical),
        pl.col("message").str.extract_all(KEY).list.unique().alias("session"),
        pl.col("message").str.replace_all(r"\S*\d\S*", "<*>").cast(pl.Categorical).alias("template"),
    ).sink_parquet(out, compression="zstd", compression_level=1)


def compare(name: str, lines: int, steps: dict[str, tuple[int, Callable[[], Took]]], rounds: int) -> dict[str, Took]:
    """Run steps in turn and print what each costs; the first one is measured against the others.

    Args:
        name: of the comparison.
        lines: that the first step reads.
        steps: by name, how many lines each reads and what runs it.
        rounds: how often.
    """
    took: dict[str, list[Took]] = {step: [] for step in steps}
    for _ in range(rounds):
        for step, (_, run) in steps.items():
            took[step].append(watched(run))
    print(f"\n{name}: {lines:,} lines")
    middle = {
        step: Took(*(statistics.median(getattr(t, what) for t in all_) for what in ("wall", "cpu", "memory", "others")))
        for step, all_ in took.items()
    }
    ours = middle[next(iter(steps))].wall / lines
    for step, (count, _) in steps.items():
        one = middle[step]
        memory = f", {one.memory:,.0f} MB" if one.memory else ""
        ratio = one.wall / count / ours
        cost = f"{count / one.wall:11,.0f} lines/s  {one.cpu / count * 1e9:7,.0f} ns of CPU a line{memory}"
        cost += f", others {one.others:.1f}"
        print(f"  {step:28} {cost}" + (f"   offbeat is {ratio:.2f} times as fast" if ratio != 1 else ""))
    return middle


def ten_times(data: Path, out: Path) -> None:
    """Write the HDFS sample ten times over."""
    text = gzip.decompress((data / "hdfs" / "HDFS_2pct.log.gz").read_bytes())
    with out.open("wb") as file:
        for month in range(1, 11):
            copy = re.sub(rb"(?m)^0811", b"08%02d" % month, text)
            file.write(re.sub(rb"blk_(-?[0-9]+)", rb"blk_\g<1>%02d" % month, copy))


def mixed(data: Path, out: Path, copies: int = 60) -> list[str]:
    """Write the ten systems' lines, shuffled, again and again with other numbers; return the first ones' messages."""
    rows = []
    for table in sorted((data / "loghub_2k").glob("*/*_structured_corrected.csv")):
        log = table.with_name(table.name.replace("_structured_corrected.csv", ""))
        contents = pl.read_csv(table, infer_schema=False)["Content"].fill_null("").to_list()
        for line, content in zip(log.read_text(encoding="utf-8", errors="replace").splitlines(), contents, strict=True):
            if content and line.endswith(content):
                rows.append((line[: -len(content)], content))
    rng = random.Random(0)
    rng.shuffle(rows)
    messages: list[str] = []
    with out.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            digits = str.maketrans("123456789", "".join(rng.sample("123456789", 9)) if copy else "123456789")
            changed = [content.translate(digits) for _, content in rows]
            file.writelines(f"{head}{text}\n" for (head, _), text in zip(rows, changed, strict=True))
            messages += changed if len(messages) < DRAIN_LINES else []
    return messages[:DRAIN_LINES]


def count_lines(log: Path) -> int:
    """Count newlines."""
    with log.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 24), b""))


def first(log: Path, count: int) -> Iterator[str]:
    """Yield the first lines of a file."""
    with log.open(encoding="utf-8", errors="replace") as file:
        for _, line in zip(range(count), file, strict=False):
            yield line.rstrip("\n")


def hdfs(data: Path, given: Path | None, folder: Path, rounds: int) -> None:
    """Measure on HDFS ten times over, and memory against a tenth of it."""
    log = given or folder / "hdfs10.log"
    if given is None:
        ten_times(data, log)
    tenth = folder / "hdfs.log"
    tenth.write_bytes(gzip.decompress((data / "hdfs" / "HDFS_2pct.log.gz").read_bytes()))
    count = count_lines(log)
    lines = list(first(log, DRAIN_LINES))
    messages = [line.split(": ", 1)[-1] for line in lines]
    out = folder / "out.parquet"
    options = ("--columns", COLUMNS, "--session-by", KEY)
    took = compare(
        "HDFS ten times over",
        count,
        {
            "offbeat parse": (count, lambda: offbeat(log, out, *options)),
            "plain Polars": (count, lambda: inside(lambda: polars(log, out))),
            "drain3, whole lines": (len(lines), lambda: inside(lambda: drain3(lines))),
            "drain3, header cut off": (len(messages), lambda: inside(lambda: drain3(messages))),
            "offbeat parse, a tenth": (count // 10, lambda: offbeat(tenth, out, *options)),
        },
        rounds,
    )
    ratio = took["offbeat parse"].memory / took["offbeat parse, a tenth"].memory
    print(f"  memory for all is {ratio:.2f} times that for a tenth")


def copies(log: Path, out: Path, count: int) -> None:
    """Write the first ``count`` lines of a log repeated, each copy with block ids of its own."""
    left, copy = count, 0
    with out.open("wb") as file:
        while left:
            copy += 1
            with log.open("rb") as lines:
                while left and (part := lines.readlines(1 << 24)):
                    part = part[:left]
                    left -= len(part)
                    file.write(b"".join(part).replace(b"blk_", b"blk_%d" % copy))


def growth(data: Path, given: Path | None, folder: Path, rounds: int) -> None:
    """Measure a line's cost among ten million lines and among one million."""
    log = given or folder / "hdfs10.log"
    if given is None:
        ten_times(data, log)
    million, tenfold, out = folder / "1m.log", folder / "10m.log", folder / "out.parquet"
    copies(log, million, 1_000_000)
    copies(log, tenfold, 10_000_000)
    options = ("--columns", COLUMNS, "--session-by", KEY)
    took = compare(
        "HDFS, ten million lines",
        10_000_000,
        {
            "ten million": (10_000_000, lambda: offbeat(tenfold, out, *options)),
            "one million": (1_000_000, lambda: offbeat(million, out, *options)),
        },
        rounds,
    )
    many, few = took["ten million"], took["one million"]
    print(f"  a line costs {many.wall / few.wall / 10:.2f} times as much, {many.cpu / few.cpu / 10:.2f} in CPU time")
    print(f"  memory is {many.memory / few.memory:.2f} times as much")


def main() -> None:
    """Print all comparisons."""
    options = argparse.ArgumentParser()
    options.add_argument("data", type=Path)
    options.add_argument("--hdfs", type=Path, help="the HDFS sample ten times over, where it is made already")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--growth", action="store_true", help="measure only how the cost of a line grows")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.growth:
            growth(given.data, given.hdfs, folder, given.rounds)
            return
        out = folder / "out.parquet"
        hdfs(given.data, given.hdfs, folder, given.rounds)

        log = folder / "mixed.log"
        messages = mixed(given.data, log)
        count = count_lines(log)
        whole = list(first(log, DRAIN_LINES))
        steps = {
            "offbeat parse": (count, lambda: offbeat(log, out, "--columns", "timestamp,level,source,template_id")),
            "drain3, whole lines": (len(whole), lambda: inside(lambda: drain3(whole))),
            "drain3, header cut off": (len(messages), lambda: inside(lambda: drain3(messages))),
        }
        compare("ten systems mixed", count, steps, given.rounds)

        records = folder / "trainticket.jsonl"
        packed = sorted((given.data / "trainticket").glob("*.jsonl.gz"))
        records.write_bytes(b"".join(gzip.decompress(path.read_bytes()) for path in packed))
        lines = records.read_bytes().splitlines()
        count = len(lines)
        columns = ("--columns", COLUMNS, "--session-by", "trace_id")
        steps = {
            "offbeat parse": (count, lambda: offbeat(records, out, *columns)),
            "orjson, a line at a time": (count, lambda: inside(lambda: [orjson.loads(line) for line in lines])),
        }
        compare("JSON lines", count, steps, given.rounds)


if __name__ == "__main__":
    main()
