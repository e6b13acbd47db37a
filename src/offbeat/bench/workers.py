"""Measure many tasks in processes of one thread each: resumable, and no failure ends more than its own row."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from offbeat.bench.keys import task_key
from offbeat.bench.splits import split_hash, store_split
from offbeat.bench.tasks import Result, Task, label_problem
from offbeat.evaluate.protocols import Split

#: One thread a process, set before anything is imported: two on two busy cores were measured 40 times slower.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
_NO_TIME: Final = "there was no time left to begin it (--within)"
#: Seconds between looks at the running processes.
_LOOK: Final = 0.05


@dataclass
class Running:
    """A task that is being measured."""

    task: Task
    out: Path
    process: subprocess.Popen[bytes]
    began: float

    @property
    def job(self) -> Path:
        """What it was told."""
        return self.out.with_name(f"{self.out.name}.job.json")

    @property
    def words(self) -> Path:
        """What it says on stderr."""
        return self.out.with_name(f"{self.out.name}.stderr")


def run_tasks(
    split: Split,
    tasks: Sequence[Task],
    folder: Path,
    *,
    jobs: int = 2,
    timeout: float | None = None,
    within: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Measure tasks that have no result yet; returns the results of each task, in their order.

    Args:
        split: what to measure on.
        tasks: what to measure.
        folder: where results are kept, each under a name that stands for everything it depends on.
        jobs: processes at a time.
        timeout: seconds a task may take; None for any time. Failed tasks are tried again in the next run.
        within: begin no task after so many seconds; None for any time. Those left out are no failures, and have no row
            unless they would have been a detector's first.
        progress: called with a few words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = split_hash(split)
    units = store_split(split, folder)
    places = {id(task): folder / task_key(digest, task) for task in tasks}
    lost = {id(task): problem.what for task in tasks if (problem := label_problem(task, split)) is not None}
    waiting = [task for task in tasks if id(task) not in lost and not _read(places[id(task)], task)[0].ok]
    # First seeds first, so that an early end leaves something of everything; then what takes long, so that no core is
    # idle at the end: networks and the whole, which holds one.
    lowest = min((task.seed for task in tasks), default=0)
    waiting.sort(key=lambda task: (task.seed != lowest, not task.network))
    firsts = {task.detector: task for task in tasks if task.after is None}
    pool = _Pool(waiting, places, firsts, units, lost)
    done = len(tasks) - len(waiting)
    began = time.monotonic()
    try:
        while pool.fill(jobs):
            names = ", ".join(f"{one.task.detector} ({one.task.seed})" for one in pool.running)
            progress(f"{split.name}: {done} of {len(tasks)} done, measuring {names}")
            ended = _next_end(pool.running, timeout, lost)
            pool.running = [one for one in pool.running if one not in ended]
            done += len(ended)
            if within is not None and time.monotonic() - began > within:
                pool.close()
    finally:
        for one in pool.running:
            _stop(one)
    results = [one for task in tasks for one in _read(places[id(task)], task, lost.get(id(task)))]
    # A seed that there was no time for is no failure of a detector that has others.
    measured = {one.task.detector for one in results if one.ok}
    return [one for one in results if one.reason != _NO_TIME or one.task.detector not in measured]


@dataclass
class _Pool:
    """Tasks that wait and those that are being measured.

    Attributes:
        waiting: in the order in which to begin them.
        places: by the task's ``id``, where its result is to be.
        firsts: by detector, the task that others take their threshold from.
        units: the folder of what is measured on.
        lost: by the task's ``id``, why it has no result.
        running: those that were begun.
    """

    waiting: list[Task]
    places: Mapping[int, Path]
    firsts: Mapping[str, Task]
    units: Path
    lost: dict[int, str]
    running: list[Running] = field(default_factory=list)

    def fill(self, jobs: int) -> bool:
        """Begin tasks until there are as many as wanted; returns whether any is running."""
        while len(self.running) < jobs:
            task = next((task for task in self.waiting if self._ready(task)), None)
            if task is None:
                break
            self.waiting = [other for other in self.waiting if other is not task]
            first = None if task.after is None else self.places[id(self.firsts[task.detector])]
            if first is not None and not (first / "decision.json").is_file():
                self.lost[id(task)] = f"it failed with seed {task.after}, which it takes its threshold from"
            else:
                self.running.append(_start(task, self.units, self.places[id(task)], first))
        return bool(self.running)

    def _ready(self, task: Task) -> bool:
        """Whether what a task takes its threshold from is done, or will never be."""
        if task.after is None:
            return True
        first = self.firsts[task.detector]
        return not any(first is other for other in (*self.waiting, *(one.task for one in self.running)))

    def close(self) -> None:
        """Begin nothing more."""
        self.lost |= dict.fromkeys(map(id, self.waiting), _NO_TIME)
        self.waiting = []


def _start(task: Task, units: Path, out: Path, first: Path | None = None) -> Running:
    values = {"split": str(units), "out": str(out), "detector": task.detector, "seed": task.seed,
              "params": task.own_params, "perturb": task.perturb, "also": task.also, "after": task.after,
              "decision": str(first) if first else None}  # fmt: skip
    job = out.with_name(f"{out.name}.job.json")
    job.write_bytes(orjson.dumps(values))
    with out.with_name(f"{out.name}.stderr").open("wb") as words:
        process = subprocess.Popen(  # noqa: S603 - our own module, with a path that we made
            [sys.executable, "-m", "offbeat.bench.worker", str(job)],
            env=os.environ | _ONE_THREAD,
            stdout=subprocess.DEVNULL,
            stderr=words,
            # A group of its own: an interrupt reaches this process, which then ends its children in order.
            start_new_session=True,
        )
    return Running(task, out, process, time.monotonic())


def _next_end(running: Sequence[Running], timeout: float | None, lost: dict[int, str]) -> list[Running]:
    """Wait until something has ended, or run out of time; say in ``lost`` why a process left no result."""
    while True:
        ended = []
        for one in running:
            code = one.process.poll()
            if code is not None:
                if code != 0:
                    lost[id(one.task)] = _death(code, _last_words(one))
                _stop(one)
                ended.append(one)
            elif timeout is not None and time.monotonic() - one.began > timeout:
                _stop(one)
                lost[id(one.task)] = f"took longer than {timeout:,.0f} s (--timeout)"
                ended.append(one)
        if ended:
            return ended
        time.sleep(_LOOK)


def _last_words(one: Running) -> str:
    lines = one.words.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _death(code: int, words: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"its process ended with code {code}" + (f": {words}" if words else "")


def _stop(one: Running) -> None:
    """End a process and whatever it started, and clear away what was beside its result."""
    with suppress(ProcessLookupError):
        os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()
    one.job.unlink(missing_ok=True)
    one.words.unlink(missing_ok=True)
    for left in one.out.parent.glob(f".{one.out.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def _read(folder: Path, task: Task, lost: str | None = None) -> list[Result]:
    """Return the results in a folder; what is not there, or not whole, has failed."""
    each = [task, *(replace(task, detector=name, also=()) for name in task.also)]
    if lost is not None:
        return [Result(one, [], lost) for one in each]
    try:
        found: dict[str, Any] = orjson.loads((folder / "result.json").read_bytes())
        if "reason" in found:
            return [Result(one, [], found["reason"]) for one in each]
        out = [Result(one, found["rows"][one.detector], None, folder / f"{one.detector}.parquet") for one in each]
        for one in out:
            one.read_scores()
        return out
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
        return [Result(one, [], "left no result") for one in each]
