"""The fixed protocols: which data, which split, which weights. Figures are comparable only on the same protocol."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import polars as pl

from offbeat.errors import InputError

#: The full HDFS set has 553,366 normal test sessions; the sample at hand stands for them.
_T2_WEIGHT: Final = 50.1
_T3_WINDOW: Final = 20
#: Shares of a long log in order of time: to learn from, to choose parameters by, to judge.
PARTS: Final = (0.70, 0.15, 0.15)

#: What is known of the training part's labels while learning: nothing; offered to detectors that learn from labels,
#: while all others learn from the part as it is; or known to all, and known anomalies are left out by the others.
Known = Literal["hidden", "offered", "known"]


@dataclass(frozen=True)
class Split:
    """Training and test part of a protocol.

    Attributes:
        train, test: frames with ``templates`` (lists of ids, or of texts), ``label`` (true for an anomaly), ``key``
            and, where they are known, ``weight`` (units that a row stands for), ``start``, ``end``, ``incident`` (a
            number; null where normal), and lists ``timestamps``, ``levels``, ``sources``, ``values``.
        clean: the training part holds no anomalies, and that may be declared.
        unit: the word for a unit.
        labels: what is known of the training part's labels.
        ordered: rows are in order of time, so that delays mean something.
        valid: between both in time, of the same columns: for choosing parameters, and for nothing else.
        notes: what is to be known of the labels, in words.
    """

    name: str
    train: pl.DataFrame
    test: pl.DataFrame
    clean: bool
    unit: str
    labels: Known = "hidden"
    ordered: bool = True
    valid: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()


#: Turns raw log files into units: (files, session pattern) -> frame with at least key, start and templates, in order
#: of start.
Reader = Callable[[Path, str], pl.DataFrame]


def load(name: str, data: Path, read: Reader) -> Split:
    """Return a protocol's split.

    Args:
        name: one of PROTOCOLS.
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


def halves(name: str, units: pl.DataFrame, unit: str) -> Split:
    """Split in the middle by time; ``-clean`` leaves the training part's anomalies out."""
    half = units.height // 2
    train, test = units[:half], units[half:]
    clean = name.endswith("-clean")
    return Split(name, train.filter(~pl.col("label")) if clean else train, test, clean, unit)


def _t1(name: str, data: Path, read: Reader) -> Split:
    labels = pl.read_csv(_file(data, "hdfs/anomaly_label.csv.gz"))
    units = read(_file(data, "hdfs/HDFS_2pct.log.gz"), r"blk_-?\d+")
    labels = labels.select(key="BlockId", label=pl.col("Label") == "Anomaly")
    units = units.join(labels, on="key", how="left", maintain_order="left")
    return replace(halves(name, units, "session"), labels="known" if name == "T1-sup" else "hidden")


def _t2(name: str, data: Path, _: Reader) -> Split:
    table = pl.read_csv(_file(data, "hdfs/hdfs_sessions.csv.gz"))
    units = table.select(
        key="BlockId",
        label=pl.col("Label") != "Normal",
        learned=pl.col("Source") == "ait_train",
        templates=pl.col("EventSequence").str.split(" "),
    )
    if name == "T2-sup":
        third = pl.Series([zlib.crc32(key.encode()) % 3 == 0 for key in units["key"]])
        units = units.with_columns(learned=pl.col("learned") | (pl.col("label") & third))
    train = units.filter("learned").drop("learned")
    test = units.filter(~pl.col("learned")).drop("learned")
    weight = pl.when(pl.col("label")).then(1.0).otherwise(_T2_WEIGHT)
    taught: Known = "known" if name == "T2-sup" else "hidden"
    # Sessions come from several samples, most without a time: their order says nothing.
    return Split(name, train, test.with_columns(weight=weight), True, "session", taught, ordered=False)


def _t3(name: str, data: Path, _: Reader) -> Split:
    lines = pl.read_csv(_file(data, "bgl/BGL_100k_structured.csv.gz"))
    time = pl.col("time").str.to_datetime("%Y-%m-%d-%H.%M.%S%.f", time_unit="us").dt.replace_time_zone("UTC")
    window = (pl.int_range(pl.len()) // _T3_WINDOW + 1).alias("window")
    units = lines.with_columns(time).group_by(window, maintain_order=True).agg(
        templates=pl.col("event_id"),
        label=(pl.col("label") != "-").any(),
        start=pl.col("time").min(),
        end=pl.col("time").max(),
    )  # fmt: skip
    return halves(name, units.select(pl.format("window {}", "window").alias("key"), pl.exclude("window")), "window")


PROTOCOLS: Final[Mapping[str, Callable[[str, Path, Reader], Split]]] = {
    "T1-clean": _t1,
    "T1-free": _t1,
    "T1-sup": _t1,
    "T2": _t2,
    "T2-sup": _t2,
    "T3-clean": _t3,
    "T3-free": _t3,
}
