"""The folder of a benchmark: results as they come, then the tables and reports made of them."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from offbeat import bundle
from offbeat.bench.keys import machine, program_hash, versions
from offbeat.bench.markdown import markdown
from offbeat.bench.report import Report, gather
from offbeat.bench.splits import split_hash
from offbeat.bench.tasks import Result
from offbeat.errors import OptionError
from offbeat.evaluate.protocols import Split

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str, option: str) -> float:
    """Read a stretch of time such as 90s, 15m or 2h; raises OptionError where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text.strip())
    if not found or float(found[1]) == 0:
        raise OptionError(f"{text!r} is no stretch of time", where=option, hint="90s, 15m or 2h")
    return float(found[1]) * _SECONDS[found[2]]


@contextmanager
def workplace(output: str | None) -> Iterator[Path]:
    """Give the folder to work in: the user's, with what is there already, or one that is gone afterwards.

    Raises:
        OptionError: it is a file, or a folder that offbeat did not write.
    """
    if output is not None:
        yield bundle.open_folder(output, bundle.BENCH)
        return
    with tempfile.TemporaryDirectory(prefix="offbeat-bench-") as place:
        yield Path(place)


def write_results(
    folder: Path,
    split: Split,
    results: Sequence[Result],
    table: pl.DataFrame,
    also: Callable[[Report], Mapping[str, bytes]] = lambda _: {},
) -> None:
    """Write results.parquet and report.md, and what it all depends on to model.json.

    Args:
        folder: what ``workplace`` gave.
        split: what was measured on.
        results: what ``run_tasks`` gave.
        table: what ``collect`` makes of them.
        also: makes further files, by name, of the report.
    """
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    bundle.replace_file(folder / "results.parquet", buffer.getvalue())
    about = about_run(split, results)
    report = gather(split, results, table, about)
    bundle.replace_file(folder / "report.md", markdown(report).encode())
    for name, data in also(report).items():
        bundle.replace_file(folder / name, data)
    bundle.seal(folder, about, bundle.BENCH)


def about_run(split: Split, results: Sequence[Result]) -> dict[str, Any]:
    """Return what figures depend on, in plain values."""
    params = {one.task.detector: dict(one.rows[0]["params"]) for one in results if one.ok}
    for of in params.values():
        # What differs from seed to seed is told by the seeds.
        for name in [name for name in of if name.endswith(".seed")]:
            del of[name]
    return {
        "name": split.name,
        "unit": split.unit,
        "labels": split.labels,
        "clean": split.clean,
        "notes": list(split.notes),
        "data_hash": split_hash(split),
        "program_hash": program_hash(),
        "versions": versions(),
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seeds": sorted({one.task.seed for one in results}),
        "params": params,
        "parts": {part: _counts(frame) for part in ("train", "valid", "test")
                  if (frame := getattr(split, part)) is not None},
    }  # fmt: skip


def _counts(frame: pl.DataFrame) -> dict[str, Any]:
    first, last = (frame["start"].min(), frame["start"].max()) if "start" in frame.columns else (None, None)
    weight = frame["weight"] if "weight" in frame.columns else pl.repeat(1.0, frame.height, eager=True)
    return {
        "rows": frame.height,
        "units": float(weight.sum()),
        "anomalies": int(frame["label"].sum()),
        "events": int(frame["templates"].list.len().sum()),
        "first": None if first is None else str(first),
        "last": None if last is None else str(last),
    }
