"""What a result depends on: data, task, program and libraries; a result is used again only where all are the same."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import orjson

import offbeat
from offbeat.bench.tasks import Task

#: Libraries that figures may depend on.
_LIBRARIES: Final = ("numpy", "polars", "onnxruntime", "torch", "onnx", "scikit-learn", "scipy")
#: Parts of the program that figures do not depend on.
_NO_MATTER: Final = ("cli", "html", "web", "figures.py", "report.py", "series.py", "simulate")
_NO_MATTER_HERE: Final = ("report.py", "summary.py", "analysis.py", "workers.py", "keys.py", "tuning.py")


@cache
def versions() -> dict[str, str]:
    """Return the versions of offbeat, Python and the libraries; those not installed are left out."""
    found = {"offbeat": offbeat.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return what is to be known of the machine: its kind, cores and memory in MB; None where the system hides it."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError, AttributeError):
        memory = None
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count(), "memory_mb": memory}


@cache
def program_hash() -> str:
    """Return a hash of the program's parts that figures depend on."""
    root = Path(offbeat.__file__).parent
    made = hashlib.blake2s(digest_size=16)
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if place.parts[0] in _NO_MATTER or (place.parts[0] == "bench" and place.name in _NO_MATTER_HERE):
            continue
        made.update(place.as_posix().encode() + b"\0" + path.read_bytes())
    return made.hexdigest()


def task_key(data_hash: str, task: Task) -> str:
    """Return the name under which a task's result is kept."""
    matter = {
        "data": data_hash,
        "detector": task.detector,
        "seed": task.seed,
        "params": task.own_params,
        "perturb": task.perturb,
        "also": task.also,
        "after": task.after,
        "program": program_hash(),
        "versions": versions(),
        "processor": platform.machine(),
    }
    text = orjson.dumps(matter, option=orjson.OPT_SORT_KEYS)
    return f"{task.detector}-{task.seed}-{hashlib.blake2s(text, digest_size=8).hexdigest()}"
