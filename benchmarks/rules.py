"""How fast rules are: 120 public Sigma rules over a million requests, beside a naive evaluator in the same run.

    python benchmarks/rules.py [--data ../shared/data] [--events 1000000] [--rules 120]

Also counts how many of the public rules evaluate, and which of the regression cases match their rule and others.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import polars as pl
from naive_rules import fits

from offbeat.read import Logs, open_logs
from offbeat.rules import Rule, load
from offbeat.rules.fields import resolve
from offbeat.rules.logsources import FORMAT
from offbeat.rules.match import Matcher
from offbeat.ruling import asked


def speed(data: Path, events: int, most: int) -> None:
    """Print events a second of both evaluators, and their ratio."""
    # Web rules first, then the others; none is left out by its log source, so that all are evaluated.
    paths = [data / "sigma" / "rules" / name for name in ("web", "application", "network", "linux")]
    started = time.perf_counter()
    rules = [d for d in load(paths).documents if isinstance(d, Rule)][:most]
    print(f"{len(rules)} rules loaded in {time.perf_counter() - started:.2f} s")
    with gzip.open(data / "web" / "apache_access.log.gz", "rb") as file:
        lines = file.read().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.log"
        with path.open("wb") as file:
            for start in range(0, events, len(lines)):
                file.writelines(lines[: events - start])
        logs = open_logs(path)
        formats = [sniffed.layout for sniffed in logs.sniffed]
        for gated in (True, False):
            matcher = Matcher(rules, formats=formats, gated=gated)
            print("each rule on its own log source:" if gated else "each rule on every event:")
            wanted = asked(logs, matcher)
            frames = list(logs.batches(*wanted))
            reading = took("reading", events, partial(read, logs, wanted))
            matching = took("matching", events, partial(match, matcher, frames))
            both = took("reading and matching", events, partial(read, logs, wanted, matcher))
        rate = naive(matcher, frames[-1], rules)
    print(f"naive: {rate:,.0f} events/s; ratio {both / rate:,.0f} with reading, {matching / rate:,.0f} without;")
    print(f"reading alone is {reading / matching:.2f} times as fast as matching")


def took(what: str, events: int, work: Callable[[], None]) -> float:
    """Do some work three times; print and return the median of events a second."""
    rates, cpu = [], []
    for _ in range(3):
        started, spent = time.perf_counter(), time.process_time()
        work()
        rates.append(events / (time.perf_counter() - started))
        cpu.append(events / (time.process_time() - spent))
    print(f"  {what}: {median(rates):,.0f} events/s, {median(cpu):,.0f} a CPU second")
    return median(rates)


def read(logs: Logs, wanted: tuple[list[str], list[str]], matcher: Matcher | None = None) -> None:
    """Read everything, and match where there is something to match with."""
    columns, names = wanted
    for _ in logs.batches(columns, names, then=None if matcher is None else partial(kept, matcher)):
        pass


def kept(matcher: Matcher, frame: pl.DataFrame) -> pl.DataFrame:
    """Return nothing but the effort."""
    matcher.rows(frame)
    return frame[:0]


def match(matcher: Matcher, frames: list[pl.DataFrame]) -> None:
    """Match frames that were read."""
    for frame in frames:
        matcher.rows(frame)


def naive(whole: Matcher, events: pl.DataFrame, rules: list[Rule]) -> float:
    """Return events a second of the naive evaluator on the first events, and check that both say the same."""
    frame = events[:1000]
    view = whole.frame(frame).events
    wanted = [name for name in whole.fields if name != FORMAT]
    found = {name: resolve(view, name) for name in wanted}
    fields = {name: series.to_list() for name, series in found.items() if series is not None}
    shown = [c for c in view.columns if c in ("source", "message") or c.startswith("fields.")]
    records = [
        {**{f"_{k}": v for k, v in zip(shown, row, strict=True)}, **{k: v[i] for k, v in fields.items()}}
        for i, row in enumerate(view.select(shown).rows())
    ]
    started = time.perf_counter()
    hits = [[i for i, record in enumerate(records) if fits(expr, record)] for expr in whole.exprs]
    seconds = time.perf_counter() - started
    differ = [r.title for r, a, b in zip(rules, hits, whole.rows(frame), strict=True) if a != b.tolist()]
    print(f"both find the same in {len(records):,} events, but for {differ or 'no rule'}")
    return len(records) / seconds


def coverage(data: Path) -> None:
    """Print how many public rules evaluate, and what the regression cases match."""
    found = load([data / "sigma" / "rules"])
    total = len(found.documents) + len(found.refused)
    print(f"{len(found.documents)} of {total} public rules evaluate; refused: {[str(e) for e in found.refused]}")
    cases = sorted((data / "sigma" / "regression").iterdir())
    rules = [d for case in cases for d in load([case / "rule.yml"]).documents if isinstance(d, Rule)]
    matcher = Matcher(rules, formats=["json-documents"])
    good, cross = 0, []
    for i, case in enumerate(cases):
        logs = open_logs(str(case / "event.json"))
        rows = matcher.rows(pl.concat(list(logs.batches(*asked(logs, matcher)))))
        good += len(rows[i]) > 0
        cross += [(case.name, cases[j].name) for j, found in enumerate(rows) if j != i and len(found)]
    print(f"{good} of {len(cases)} cases match their rule; {len(cross)} pairs of an event and another case's rule:")
    for event, rule in cross:
        print(f"  {event} <- {rule}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=120)
    given = parser.parse_args()
    coverage(given.data)
    speed(given.data, given.events, given.rules)
