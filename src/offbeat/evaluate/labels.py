"""Labels from a CSV file, by session key or by line, and what they say about units."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.errors import InputError, OffbeatError

# Header names by what they mean, compared in lower case without spaces, dashes and underscores.
_KEY: Final = frozenset({"key", "session", "sessionid", "id", "blockid", "unit", "trace", "traceid"})
_LINE: Final = frozenset({"line", "lineid", "lineno", "linenumber"})
_FILE: Final = frozenset({"file", "filename", "path"})
_LABEL: Final = frozenset({"label", "anomaly", "isanomaly", "anomalous"})

#: Label values that mean normal, compared in lower case; every other value means anomalous.
NORMAL_WORDS: Final = frozenset({"0", "0.0", "-", "normal", "false", "no", ""})

_WANTED: Final = "a header with key,label or line,label or file,line,label"


@dataclass(frozen=True)
class UnitLabels:
    """What labels say about units.

    Attributes:
        anomaly: Boolean, one entry a unit in their order. A unit without any label is normal.
        unknown: labels that name no unit.
        unlabelled: units that no label names. In a file that lists anomalous lines only, that is every normal one.
    """

    anomaly: pl.Series
    unknown: int
    unlabelled: int


@dataclass(frozen=True)
class Labels:
    """The labels of one file; exactly one of ``by_key`` and ``by_line`` is given.

    Attributes:
        path: where they were read.
        by_key: ``key`` (String, each once) and ``anomaly`` (Boolean).
        by_line: ``file`` (String, null where the file has no such column), ``line`` (Int64, 1-based physical) and
            ``anomaly``, each line once.
    """

    path: Path
    by_key: pl.DataFrame | None
    by_line: pl.DataFrame | None

    @property
    def rows(self) -> int:
        """How many keys or lines are labelled."""
        return len(self._frame)

    @property
    def anomalies(self) -> int:
        """How many of them are anomalous."""
        return int(self._frame["anomaly"].sum())

    @property
    def one_class(self) -> bool:
        """Whether all labels say the same. Fine for lines, of which only the anomalous may be listed."""
        return self.anomalies in (0, self.rows)

    @property
    def _frame(self) -> pl.DataFrame:
        frame = self.by_key if self.by_key is not None else self.by_line
        assert frame is not None  # noqa: S101 - made with one of the two - read_labels gives one of them
        return frame

    def of_units(
        self, units: pl.DataFrame, files: Sequence[str | os.PathLike[str]] = (), events: pl.DataFrame | None = None
    ) -> UnitLabels:
        """Label units: by key, or anomalous if one of their lines is.

        Args:
            units: SEQUENCES, or at least ``key`` for labels by key, ``file``, ``first_line`` and ``last_line`` for
                labels by line when ``events`` is not given.
            files: the input files in the order that ``file`` counts them.
            events: which lines each unit holds, for units whose lines are not consecutive: ``unit`` (position in
                ``units``), ``file``, ``line`` (UInt32 each) and optionally ``span`` (physical lines, 1 if absent).

        Raises:
            InputError: labels by line do not say which of several input files they mean, or name none of them.
        """
        if self.by_key is not None:
            return _by_key(units, self.by_key)
        assert self.by_line is not None  # noqa: S101 - made with one of the two
        names = [os.fspath(name) for name in files] or [""]
        labels = _numbered(self.by_line, names, self.path)
        return _by_line(len(units), _ranges(units) if events is None else _event_ranges(events), labels)


def read_labels(path: str | os.PathLike[str]) -> Labels:
    """Read labels from a CSV file, plain or compressed (gzip, zstandard).

    A header is required; names are compared without regard to case, spaces, dashes and underscores. Columns: a key
    (``key``, ``session``, ``id``, ``BlockId``, …) or a ``line`` (``LineId``, …), with lines optionally a ``file``; and
    a ``label``. Where both a key and a line are there, the first counts. Further columns are ignored. The words 0, -,
    normal, false, no and nothing at all mean normal, everything else anomalous. A key or line that occurs twice is
    anomalous if one of its labels is.

    Raises:
        InputError: the file cannot be read, has no such header or no rows, or a line number is none.
    """
    place = Path(path)
    header = _header(place)
    columns = _columns(header, place)
    table = _read(place, list(columns.values()))
    # read_csv keeps the file's order of columns, whatever order was asked for
    table.columns = sorted(columns, key=columns.__getitem__)
    table = table.fill_null("")
    if table.is_empty():
        raise InputError("the label file has a header but no rows", where=str(place))
    word = pl.col("label").str.strip_chars().str.to_lowercase()
    table = table.with_columns(anomaly=~word.is_in(list(NORMAL_WORDS)))
    if "key" in columns:
        keys = table.group_by("key", maintain_order=True).agg(pl.col("anomaly").any())
        return Labels(place, keys, None)
    return Labels(place, None, _lines(table, place))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unknown reason"])[0]


def _header(path: Path) -> list[str]:
    if not path.exists():
        raise InputError("there is no such label file", where=str(path))
    if path.is_dir():
        raise InputError("the label file is a folder", where=str(path))
    return _read(path, n_rows=0).columns


def _read(path: Path, columns: list[int] | None = None, n_rows: int | None = None) -> pl.DataFrame:
    """The file as text columns; every way in which reading fails becomes one sentence."""
    try:
        return pl.read_csv(
            path, columns=columns, n_rows=n_rows, infer_schema=False, truncate_ragged_lines=True, glob=False
        )
    except pl.exceptions.NoDataError as error:
        raise InputError("the label file is empty", where=str(path), hint=_WANTED) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or _first_line(error)}", where=str(path)) from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as CSV: {_first_line(error)}", where=str(path), hint=_WANTED) from error


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Positions of the columns that count, by what they mean: label, and key or line and perhaps file."""
    found: dict[str, int] = {}
    for position, name in enumerate(header):
        plain = "".join(char for char in name.strip("\ufeff").lower() if char not in " -_")
        for meaning, words in (("key", _KEY), ("line", _LINE), ("file", _FILE), ("label", _LABEL)):
            if plain in words:
                found.setdefault(meaning, position)
    if "label" not in found or not ("key" in found or "line" in found):
        shown = ", ".join(header[:8])[:80] + (" …" if len(header) > 8 else "")
        shown = "".join(char if char.isprintable() else "?" for char in shown)
        raise InputError(f"the label file's header is not understood: {shown}", where=f"{path}:1", hint=_WANTED)
    if "key" in found and "line" in found:
        found.pop("key" if found["line"] < found["key"] else "line")
    if "key" in found:
        found.pop("file", None)
    return found


def _lines(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    number = table["line"].str.strip_chars().str.to_integer(strict=False)
    wrong = (number.is_null() | (number < 1)).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{table['line'][row]!r} is not a line number", where=f"{path}:{row + 2}", hint="they count from 1"
        )
    file = pl.col("file") if "file" in table.columns else pl.lit(None, pl.String).alias("file")
    table = table.with_columns(file, line=number.cast(pl.Int64))
    return table.group_by("file", "line", maintain_order=True).agg(pl.col("anomaly").any())


def _by_key(units: pl.DataFrame, labels: pl.DataFrame) -> UnitLabels:
    found = units.select("key").join(labels, on="key", how="left", maintain_order="left")["anomaly"]
    unknown = labels.join(units.select("key"), on="key", how="anti")
    return UnitLabels(found.fill_null(value=False), len(unknown), found.null_count())


def _numbered(labels: pl.DataFrame, files: list[str], path: Path) -> pl.DataFrame:
    """Replace the names of files by their positions; -1 where a name is of no input."""
    if labels["file"].null_count() == len(labels):
        if len(files) > 1:
            raise InputError(
                f"the labels say which line but not in which of the {len(files)} inputs",
                where=str(path),
                hint="add a column named file",
            )
        return labels.with_columns(file=pl.lit(0, pl.Int64))
    names = labels["file"].unique().to_list()
    numbers = {name: _file_number(name, files) for name in names}
    if all(number < 0 for number in numbers.values()):
        raise InputError(f"no input is named {names[0]!r} or any other file of the labels", where=str(path))
    return labels.with_columns(file=pl.col("file").replace_strict(numbers, return_dtype=pl.Int64))


def _file_number(name: str | None, files: list[str]) -> int:
    """The input a name means: the same path, or else the only one that ends with it."""
    if name is None:
        return -1
    if name in files:
        return files.index(name)
    parts = Path(name).parts
    fits = [index for index, file in enumerate(files) if Path(file).parts[-len(parts) :] == parts]
    if not fits:  # a path written on another machine
        fits = [index for index, file in enumerate(files) if parts and Path(file).name == parts[-1]]
    return fits[0] if len(fits) == 1 else -1


def _ranges(units: pl.DataFrame) -> pl.DataFrame:
    """The lines of units that are consecutive in one file: unit, file, first, last."""
    backward = units.filter(pl.col("last_line") < pl.col("first_line"))
    if len(backward):
        raise OffbeatError("a unit spans several files; its lines must be given as events", where="Labels.of_units")
    return units.select(
        unit=pl.int_range(pl.len()), file="file", first=pl.col("first_line"), last=pl.col("last_line")
    ).cast(pl.Int64)


def _event_ranges(events: pl.DataFrame) -> pl.DataFrame:
    span = pl.col("span") if "span" in events.columns else pl.lit(1)
    line = pl.col("line").cast(pl.Int64)
    return events.select("unit", "file", first=line, last=line + span.cast(pl.Int64) - 1).cast(pl.Int64)


def _by_line(units: int, ranges: pl.DataFrame, labels: pl.DataFrame) -> UnitLabels:
    """Mark the units of which a range of lines holds an anomalous label."""
    anomalous, labelled = np.zeros(units, bool), np.zeros(units, bool)
    unknown = len(labels.filter(pl.col("file") < 0))
    for (file,), own in labels.filter(pl.col("file") >= 0).sort("file", "line").group_by("file", maintain_order=True):
        lines, bad = own["line"].to_numpy(), own["anomaly"].to_numpy()
        here = ranges.filter(pl.col("file") == file)
        low = np.searchsorted(lines, here["first"].to_numpy(), side="left")
        high = np.searchsorted(lines, here["last"].to_numpy(), side="right")
        before = np.append(0, np.cumsum(bad))
        unit = here["unit"].to_numpy()
        anomalous[unit[before[high] > before[low]]] = True
        labelled[unit[high > low]] = True
        unknown += _uncovered(low, high, len(lines))
    return UnitLabels(pl.Series("anomaly", anomalous), unknown, int((~labelled).sum()))


def _uncovered(low: NDArray[np.int64], high: NDArray[np.int64], size: int) -> int:
    """How many of ``size`` positions lie in none of the ranges [low, high)."""
    change = np.bincount(low, minlength=size + 1) - np.bincount(high, minlength=size + 1)
    return int((np.cumsum(change)[:size] == 0).sum())
