"""The fixed protocols: which data, which split, which weights. Figures are comparable only on the same protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from offbeat.errors import InputError

#: The full HDFS set has 553,366 normal test sessions; the sample at hand stands for them.
_T2_WEIGHT: Final = 50.1
_T3_WINDOW: Final = 20


@dataclass(frozen=True)
class Split:
    """Training and test part of a protocol.

    Attributes:
        train, test: frames with ``templates`` (lists of ids), ``label`` (true for an anomaly), ``key`` and, where units
            stand for several, ``weight``; in time order.
        clean: the training part holds no anomalies, and that may be declared.
        unit: the word for a unit.
    """

    name: str
    train: pl.DataFrame
    test: pl.DataFrame
    clean: bool
    unit: str


#: Turns raw log files into units: (files, session pattern) -> frame with key, start and templates in order of start.
Reader = Callable[[Path, str], pl.DataFrame]


def load(name: str, data: Path, read: Reader) -> Split:
    """Return a protocol's split.

    Args:
        name: T1-clean, T1-free, T2, T3-clean or T3-free.
        data: the folder that holds ``hdfs/`` and ``bgl/``.
        read: how raw logs become units.

    Raises:
        InputError: the data are not there.
    """
    return PROTOCOLS[name](name, data, read)


def _file(data: Path, name: str) -> Path:
    path = data / name
    if not path.is_file():
        raise InputError("the protocol's data are not here", where=str(path), hint="name their folder with --data")
    return path


def _halves(name: str, units: pl.DataFrame, unit: str) -> Split:
    """Split in the middle by time; ``-clean`` leaves the training part's anomalies out."""
    half = units.height // 2
    train, test = units[:half], units[half:]
    clean = name.endswith("-clean")
    return Split(name, train.filter(~pl.col("label")) if clean else train, test, clean, unit)


def _t1(name: str, data: Path, read: Reader) -> Split:
    units = read(_file(data, "hdfs/HDFS_2pct.log.gz"), r"blk_-?\d+")
    labels = pl.read_csv(_file(data, "hdfs/anomaly_label.csv.gz"))
    labels = labels.select(key="BlockId", label=pl.col("Label") == "Anomaly")
    return _halves(name, units.join(labels, on="key", how="left", maintain_order="left"), "session")


def _t2(name: str, data: Path, _: Reader) -> Split:
    table = pl.read_csv(_file(data, "hdfs/hdfs_sessions.csv.gz"))
    units = table.select(
        "Source",
        key="BlockId",
        label=pl.col("Label") != "Normal",
        templates=pl.col("EventSequence").str.split(" "),
    )
    train = units.filter(pl.col("Source") == "ait_train").drop("Source")
    test = units.filter(pl.col("Source") != "ait_train").drop("Source")
    weight = pl.when(pl.col("label")).then(1.0).otherwise(_T2_WEIGHT)
    return Split(name, train, test.with_columns(weight=weight), True, "session")


def _t3(name: str, data: Path, _: Reader) -> Split:
    lines = pl.read_csv(_file(data, "bgl/BGL_100k_structured.csv.gz"))
    window = (pl.int_range(pl.len()) // _T3_WINDOW + 1).alias("window")
    units = lines.group_by(window, maintain_order=True).agg(
        templates=pl.col("event_id"), label=(pl.col("label") != "-").any()
    )
    return _halves(
        name, units.select(key=pl.format("window {}", "window"), templates="templates", label="label"), "window"
    )


PROTOCOLS: Final[Mapping[str, Callable[[str, Path, Reader], Split]]] = {
    "T1-clean": _t1,
    "T1-free": _t1,
    "T2": _t2,
    "T3-clean": _t3,
    "T3-free": _t3,
}
