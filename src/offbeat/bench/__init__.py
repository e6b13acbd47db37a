"""Measure detectors on a protocol, or on the user's own labelled files, reproducibly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.bench.founding import has_log, simulated_split
from offbeat.bench.measuring import order_table, run_order, run_task
from offbeat.bench.output import seconds, workplace, write_results
from offbeat.bench.splits import data_folder, get_split, own_split, own_units, read_units, split_hash
from offbeat.bench.summary import (
    cells_of,
    heads_of,
    known_detectors,
    make_tasks,
    order_lines,
    perturbed,
    summarise,
    table,
)
from offbeat.bench.tasks import METRICS, WHOLE, WITHOUT, Outcome, Result, Task, as_frame, check_labels
from offbeat.bench.workers import run_tasks
from offbeat.decide import Decision
from offbeat.errors import OffbeatError
from offbeat.evaluate.protocols import PROTOCOLS, Split

__all__ = [
    "METRICS",
    "NAMES",
    "WHOLE",
    "WITHOUT",
    "Outcome",
    "Result",
    "Task",
    "as_frame",
    "cells_of",
    "check_labels",
    "collect",
    "data_folder",
    "get_split",
    "heads_of",
    "known_detectors",
    "make_tasks",
    "named_split",
    "order_lines",
    "order_table",
    "own_split",
    "own_units",
    "perturbed",
    "read_units",
    "run_bench",
    "run_order",
    "run_task",
    "run_tasks",
    "seconds",
    "split_hash",
    "summarise",
    "table",
    "workplace",
    "write_results",
]


#: Everything that ``offbeat bench NAME`` knows and measures detectors on.
NAMES = (*PROTOCOLS, "T5", "T5-entry")


def named_split(name: str, data: str | None, folder: Path) -> Split:
    """Return the split of a protocol.

    Args:
        name: one of NAMES.
        data: the folder with the protocol's data; T5 needs none, for it is simulated.
        folder: where a simulated log is written, unless ``data`` has it.

    Raises:
        OptionError: the data's folder is not named.
        InputError: the data are not there, or the folder named is none.
    """
    if name in PROTOCOLS:
        return get_split(name, data)
    there = None if data is None else data_folder(name, data)
    return simulated_split(name, there if there is not None and has_log(there) else folder)


def run_bench(
    split: Split,
    detectors: Iterable[str],
    seeds: Iterable[int],
    progress: Callable[[str], None] = lambda _: None,
) -> pl.DataFrame:
    """Measure within this process: one row a detector, seed and way of counting; a failure is a row with its reason.

    Detectors without chance in them run once. ``run_tasks`` does the same in several processes, and can be resumed.
    """
    results = []
    decisions: dict[str, Decision] = {}
    for task in make_tasks(detectors, list(seeds)):
        progress(f"{split.name}: {task.detector}, seed {task.seed}")
        try:
            found = run_task(split, task, decision=decisions.get(task.detector))
            decisions.setdefault(task.detector, found[task.detector].decision)
            results += [Result(replace(task, detector=name, also=()), outcome.rows) for name, outcome in found.items()]
        except OffbeatError as problem:
            results.append(Result(task, [], problem.what))
    return collect(results)


def collect(results: Sequence[Result]) -> pl.DataFrame:
    """Return results as one table; what failed is a row with its reason."""
    rows: list[dict[str, Any]] = []
    for one in results:
        common = {
            "detector": one.task.detector,
            "seed": one.task.seed,
            "counted": "all",
            "status": "ok" if one.ok else "failed",
        }
        measured = one.rows or [{"counted": "all", "reason": one.reason}]
        rows += [common | {k: v for k, v in row.items() if k != "params"} for row in measured]
    return as_frame(rows)
