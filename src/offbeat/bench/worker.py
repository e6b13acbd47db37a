"""The process that measures one task: python -m offbeat.bench.worker JOB. Its result is a folder, written in one step.

The job is a JSON file: ``split`` (a folder of ``store_split``), ``out`` (the result's folder), and the task's fields.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import orjson


def main(path: str) -> None:
    """Do a job and write ``result.json`` and, where it came to that, a file of scores for each detector measured."""
    job = orjson.loads(Path(path).read_bytes())
    from offbeat.bench.measuring import run_task
    from offbeat.bench.splits import restore_split
    from offbeat.bench.tasks import Task
    from offbeat.errors import OffbeatError

    task = Task(job["detector"], job["seed"], job["params"], job["perturb"], tuple(job["also"]), job["after"])
    result: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    decided: dict[str, Any] = {}
    try:
        decision = read_decision(Path(job["decision"])) if job["decision"] else None
        done = run_task(restore_split(Path(job["split"])), task, decision=decision)
        memory = {"peak_mb": peak_memory()}
        result["rows"] = {name: [row | memory for row in outcome.rows] for name, outcome in done.items()}
        scores = {name: outcome.scores for name, outcome in done.items()}
        kept = done[task.detector].decision
        scores |= {f"decision-{name}": frame for name, frame in kept.frames().items()}
        decided = kept.values()
    except OffbeatError as problem:
        result["reason"] = problem.what
    except Exception as problem:
        # A detector's own mistake must not end the benchmark: it becomes a row, and the others go on.
        text = " ".join(str(problem).split())[:200]
        result["reason"] = f"{type(problem).__name__}: {text}"
    out = Path(job["out"])
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
        new = Path(place) / "new"
        new.mkdir()
        for name, frame in scores.items():
            frame.write_parquet(new / f"{name}.parquet", compression="zstd")
        if decided:
            (new / "decision.json").write_bytes(orjson.dumps(decided, option=orjson.OPT_SERIALIZE_NUMPY))
        (new / "result.json").write_bytes(orjson.dumps(result))
        if out.exists():
            shutil.rmtree(out)
        new.rename(out)


def end_with_parent() -> None:
    """End this process soon after the one that began it, should that be killed and not clear up."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def read_decision(folder: Path) -> Any:
    """Return calibration and threshold of a result."""
    import polars as pl

    from offbeat.decide import Decision

    values = orjson.loads((folder / "decision.json").read_bytes())
    # No number stands for infinity in JSON.
    values |= {name: float("inf") for name in ("line", "threshold") if values[name] is None}
    frames = {path.stem.removeprefix("decision-"): pl.read_parquet(path) for path in folder.glob("decision-*.parquet")}
    return Decision.restore(values, frames)


def peak_memory() -> float:
    """Return the most memory that this process held, in MB."""
    try:
        # ru_maxrss is inherited over exec on Linux and may be the parent's; this is the process's own.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 1024), 1)


if __name__ == "__main__":
    end_with_parent()
    main(sys.argv[1])
