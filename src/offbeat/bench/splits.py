"""Where the units of a benchmark come from: a protocol's data, the user's own labelled files, or a cache."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from offbeat.codes import Sources, as_lists
from offbeat.errors import InputError, OptionError
from offbeat.evaluate.labels import Labels
from offbeat.evaluate.protocols import Split, load
from offbeat.intake import Intake, Options, learn_units
from offbeat.learn import check_enough
from offbeat.units import truth

#: What a unit of a benchmark holds, where it is known; see ``protocols.Split``.
_LISTS: Final = ("templates", "timestamps", "levels", "sources", "values", "codes", "usages")
_COLUMNS: Final = ("key", "start", "end", *_LISTS, "label", "incident")
_PARTS: Final = ("train", "test", "valid")


def read_units(data: Any, options: Options) -> tuple[pl.DataFrame, Intake, str]:
    """Return the units of raw logs in order: SEQUENCES whose templates are texts and whose sources are names.

    Templates are mined from all of the log, as labels were by those who made the protocols; which units a text occurs
    in is what is learned, and that from the training part alone.

    Returns:
        The units with the lists beside their templates, the opened input, and the word for a unit.
    """
    intake = Intake(data, options)
    grouping, sources = intake.grouping(), Sources()
    units, catalog = learn_units(intake, grouping, sources)
    units = units.with_columns(
        _named(units["templates"], catalog.texts).alias("templates"),
        _named(units["sources"], sources.names).alias("sources"),
    )
    return units, intake, grouping.unit


def _named(lists: pl.Series, names: Sequence[str | None]) -> pl.Series:
    """Replace codes in lists by names."""
    flat = lists.explode(empty_as_null=False)
    return as_lists(pl.Series(names, dtype=pl.String).gather(flat), lists.list.len().to_numpy())


def columns_there(units: pl.DataFrame) -> pl.DataFrame:
    """Leave out what no unit has, so that views which need it say that it is absent."""
    kept = []
    for name in _COLUMNS:
        if name not in units.columns:
            continue
        flat = units[name].explode() if isinstance(units.schema[name], pl.List) else units[name]
        if flat.null_count() < len(flat):
            kept.append(name)
    return units.select(kept)


def own_units(files: Sequence[str], labels: Labels | None, options: Options) -> Split:
    """Return all units of the user's own files as a training part, for choosing parameters; the test part is empty.

    Raises:
        NotEnoughDataError: they are too few to learn from.
    """
    units, intake, unit = read_units(list(files), options)
    check_enough(units)
    known = pl.repeat(False, units.height, eager=True) if labels is None else truth(labels, units, intake)
    units = columns_there(units.with_columns(known.alias("label")))
    return Split(", ".join(files), units, units.clear(), False, unit, "hidden" if labels is None else "known")


def own_split(files: Sequence[str], labels: Labels, options: Options, share: float = 0.5) -> Split:
    """Return the user's own labelled files as a chronological split: the first ``share`` of the units to learn from.

    Known anomalies are left in the training part, as they would be; detectors that learn from labels get them.

    Raises:
        InputError: a part has no unit, or the test part only one class.
    """
    units, intake, unit = read_units(list(files), options)
    units = columns_there(units.with_columns(label=truth(labels, units, intake)))
    notes = _notes(labels, units, unit)
    half = int(units.height * share)
    train, test = units[:half], units[half:]
    if test["label"].n_unique() < 2:
        known = "anomalies" if test.height and test["label"].all() else "normal units"
        raise InputError(
            f"the test part holds only {known}, so nothing can be measured",
            where=str(labels.path),
            hint=f"it is the last {1 - share:.0%} of the {unit}s, {test.height:,} of {units.height:,}",
        )
    return Split(", ".join(files), train, test, False, unit, "offered", notes=notes)


def _notes(labels: Labels, units: pl.DataFrame, unit: str) -> tuple[str, ...]:
    """Return which labels name no unit, and which units no label names: they count as normal."""
    if labels.by_key is None:
        return ()
    keys = labels.by_key["key"]
    unknown = keys.filter(~keys.is_in(units["key"].implode()))
    silent = units.height - units["key"].is_in(keys.implode()).sum()
    out = []
    if len(unknown):
        out.append(f"{len(unknown):,} of {len(keys):,} labels name no {unit}, {unknown[0]!r} for example")
    if silent:
        out.append(f"{silent:,} of {units.height:,} {unit}s have no label and count as normal")
    return tuple(out)


def data_folder(name: str, data: str | None) -> Path:
    """Return the folder of a protocol's data; raises OptionError where none is named, InputError where it is none."""
    if data is None:
        raise OptionError("needs the folder of its data", where=f"bench {name}", hint="--data DIR")
    if not Path(data).is_dir():
        raise InputError("there is no such folder", where=data, hint="name the folder of the data with --data")
    return Path(data)


def get_split(name: str, data: str | None) -> Split:
    """Return a protocol's split; raises OptionError without the folder, InputError without the data in it."""
    folder = data_folder(name, data)

    def read(path: Path, pattern: str) -> pl.DataFrame:
        return columns_there(read_units(str(path), Options(session_by=pattern))[0])

    return load(name, folder, read)


def split_hash(split: Split) -> str:
    """Return a hash of everything a detector could see or is measured by, the same on every machine."""
    plain = repr((split.clean, split.unit, split.labels, split.ordered))
    return frames_hash({part: frame for part in _PARTS if (frame := getattr(split, part)) is not None}, plain)


def frames_hash(frames: Mapping[str, pl.DataFrame], plain: str = "") -> str:
    """Return a hash of frames by name, the same on every machine."""
    made = hashlib.blake2s(plain.encode(), digest_size=16)
    for part, frame in frames.items():
        for name in sorted(frame.columns):
            made.update(f"{part}.{name}: {frame.schema[name]}".encode())
            _digest(made, frame[name])
    return made.hexdigest()


def _digest(made: Any, column: pl.Series) -> None:
    """Add a column's values: as plain bytes, for neither Polars' hashes nor Parquet's bytes are the same for ever."""
    if isinstance(column.dtype, pl.List):
        made.update(column.list.len().fill_null(0).to_numpy().astype(np.int64).tobytes())
        column = column.explode(empty_as_null=False)
    made.update(column.is_null().to_numpy().tobytes())
    if column.dtype == pl.String:
        made.update(column.str.len_bytes().fill_null(0).to_numpy().astype(np.int64).tobytes())
        made.update("".join(column.fill_null("")).encode())
    elif column.dtype == pl.Boolean:
        made.update(column.fill_null(False).to_numpy().tobytes())
    elif column.dtype.is_float():
        made.update(column.fill_null(0.0).cast(pl.Float64).to_numpy().tobytes())
    else:
        made.update(column.to_physical().fill_null(0).cast(pl.Int64).to_numpy().tobytes())


def store_split(split: Split, folder: Path) -> Path:
    """Write a split into a folder, in one step, for the processes that measure; returns where it is."""
    plain = {"name": split.name, "clean": split.clean, "unit": split.unit, "labels": split.labels,
             "ordered": split.ordered, "notes": split.notes}  # fmt: skip
    text = orjson.dumps(plain)
    # What is told beside the units is no part of their hash, and another version may tell more.
    name = hashlib.blake2s(split_hash(split).encode() + text, digest_size=16).hexdigest()
    place = folder / f"units-{name}"
    if place.is_dir():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{place.name}.") as aside:
        new = Path(aside) / "new"
        new.mkdir()
        for part in _PARTS:
            frame = getattr(split, part)
            if frame is not None:
                frame.write_parquet(new / f"{part}.parquet", compression="zstd")
        (new / "split.json").write_bytes(text)
        if not place.is_dir():
            shutil.move(new, place)
    return place


def restore_split(folder: Path) -> Split:
    """Read a split that ``store_split`` wrote."""
    plain = orjson.loads((folder / "split.json").read_bytes())
    train, test = (pl.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    valid = folder / "valid.parquet"
    plain["notes"] = tuple(plain["notes"])
    return Split(train=train, test=test, valid=pl.read_parquet(valid) if valid.is_file() else None, **plain)
