"""T5, the founding study redone: a million simulated entries, judged by window and by entry."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from offbeat.bench.splits import columns_there, read_units
from offbeat.errors import InputError, OptionError
from offbeat.evaluate.protocols import PARTS, Split
from offbeat.intake import Options
from offbeat.simulate import simulate

ENTRIES: Final = 1_000_000
SEED: Final = 7
_WINDOW: Final = 100
_LISTS: Final = ("templates", "timestamps", "levels", "sources", "values", "codes", "usages")


def log_in(folder: Path, entries: int = ENTRIES, seed: int = SEED) -> Path:
    """Return where the simulated log of a folder is, or would be."""
    return folder / f"simulated-{entries}-{seed}.jsonl"


def has_log(folder: Path) -> bool:
    """Whether the log and its labels are in a folder."""
    path = log_in(folder)
    return path.is_file() and path.with_name(f"{path.name}.labels.csv").is_file()


def simulated_split(name: str, folder: Path, entries: int = ENTRIES, seed: int = SEED) -> Split:
    """Return the split of a simulated log, in order of time; the log is written to the folder unless it is there.

    A window of 100 entries is anomalous if one of them is. Labels of the training part are offered.

    Args:
        name: ``T5`` for windows, ``T5-entry`` for entries.
        folder: where the log is, or is to be.
        entries: how many.
        seed: of the simulator.

    Raises:
        InputError: the folder has the log and its labels do not fit it.
        OptionError: the log cannot be written there.
    """
    path = log_in(folder, entries, seed)
    labels = path.with_name(f"{path.name}.labels.csv")
    if not (path.is_file() and labels.is_file()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise OptionError(f"cannot be written: {problem.strerror}", where=str(folder)) from None
        simulate(path, entries, seed)
    units, _, _ = read_units(str(path), Options(format="json", window=str(_WINDOW)))
    truth = pl.read_csv(labels, schema_overrides={"incident": pl.Int64, "kind": pl.String})
    lines = int(units["templates"].list.len().to_numpy().sum())
    if truth.height != lines:
        hint = "remove both, and they are written anew"
        raise InputError(f"has {truth.height:,} rows for {lines:,} entries", where=str(labels), hint=hint)
    if name == "T5-entry":
        units = _entries(units).with_columns(truth["label"].cast(pl.Boolean), truth["incident"])
    else:
        of = truth.group_by((pl.int_range(pl.len()) // _WINDOW).alias("window"), maintain_order=True)
        said = of.agg(pl.col("label").max().cast(pl.Boolean), pl.col("incident").min())
        units = units.with_columns(said["label"], said["incident"])
    units = columns_there(units)
    first, second = (round(units.height * share) for share in (PARTS[0], PARTS[0] + PARTS[1]))
    train, valid, test = units[:first], units[first:second], units[second:]
    unit = "entry" if name == "T5-entry" else "window"
    return Split(name, train, test, False, unit, "offered", valid=valid)


def _entries(units: pl.DataFrame) -> pl.DataFrame:
    """Return a unit an entry."""
    there = [name for name in _LISTS if name in units.columns]
    flat = units.select(pl.col(name).explode() for name in there)
    keys = pl.Series("key", np.arange(1, flat.height + 1)).cast(pl.String)
    one = flat.select(pl.concat_list(name).alias(name) for name in there)
    return one.with_columns(keys, start=flat["timestamps"], end=flat["timestamps"])
