"""What is done with units besides scoring them: labels for them, their columns for others, and which are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide import GROUP, Groups
from offbeat.errors import InputError
from offbeat.group.sessions import POSITION_BITS, file_and_line
from offbeat.schema import SEQUENCES, view_column

if TYPE_CHECKING:
    from offbeat.evaluate.labels import Labels
    from offbeat.intake import Intake

#: Events and rows are kept for the flagged units and for this many of the strangest, for budgets that reach lower.
KEPT: Final = 5_000
#: Lines shown before and after a strange one.
_AROUND: Final = 3
#: Further strange units of an incident shown by a line each.
_MORE: Final = 5
#: So many units of the same sequence count as unlike one another.
_ALIKE: Final = 2
#: Parts that kept units may lie in.
_PARTS: Final = 16


def raw_of(rows: pl.DataFrame, views: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Return the raw scores by view of some rows of SCORES, and their groups where there are any."""
    out = {view: rows[view_column(view)].to_numpy() for view in views}
    if GROUP in rows.columns:
        out[GROUP] = rows[GROUP].to_physical().to_numpy().astype(np.float64)
    return out


def digest(names: Iterable[str]) -> str:
    """Return a digest of a sequence of templates' ids: the same for equal sequences, whatever the model."""
    return hashlib.blake2s("\0".join(names).encode(), digest_size=8).hexdigest()


def truth(labels: Labels, units: pl.DataFrame, intake: Intake, whole: bool = True) -> pl.Series:
    """Return which units are anomalous; raises InputError where the labels speak of none of them.

    With ``whole`` false the units are a part of all, and may well have no label.
    """
    events = None
    if "rows" in units.columns:
        rows = units.select(unit=pl.int_range(pl.len()), rows="rows").explode("rows").drop_nulls()
        place = pl.col("rows")
        events = rows.select("unit", file=place // 2**POSITION_BITS, line=place % 2**POSITION_BITS)
    found = labels.of_units(units, intake.logs.files if intake.logs else (), events)
    if whole:
        known_keys(labels, units)
    return found.anomaly


def known_keys(labels: Labels, units: pl.DataFrame) -> None:
    """Raise InputError where labels by key speak of none of the units."""
    if labels.by_key is None or units.height == 0 or units["key"].is_in(labels.by_key["key"].implode()).any():
        return
    example = f"{labels.by_key['key'][0]!r} for example; the units are called {units['key'][0]!r} and so on"
    raise InputError(f"none of its keys is a unit's: {example}", where=str(labels.path))


def strangest(parts: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Keep of parts the strangest units, at most KEPT, and half as many of the strangest that are unlike one another.

    No one reads further, whatever the budget; and where much of a log is strange in one way, what is strange in another
    is among the second.
    """
    parts = [pl.concat(parts)] if len(parts) > _PARTS else parts
    # Only what decides is put together and sorted, for the lists of events are a hundred times as large.
    units = pl.concat([part.select("fused", "unit", "sequence") for part in parts]).with_row_index("at")
    if units.height <= KEPT:
        return parts
    ranked = units.sort("fused", "unit", descending=[True, False]).with_row_index("rank")
    alike = pl.int_range(pl.len()).over("sequence")
    unlike = ranked.filter((alike < _ALIKE) & (pl.col("rank") >= KEPT)).head(KEPT // 2)
    keep = np.sort(np.concatenate([ranked["at"].head(KEPT).to_numpy(), unlike["at"].to_numpy()]))
    out, low = [], 0
    for part in parts:
        inside = keep[(keep >= low) & (keep < low + part.height)] - low
        low += part.height
        out += [part[inside] if len(inside) < part.height else part] if len(inside) else []
    return out


class UnitTable:
    """Units' columns as ``--scores`` writes them, without lists, put together part by part.

    Scores repeat as sequences do, and times and lines grow: while more is read, the parts wait packed, which takes a
    fifth of the memory.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, units: pl.DataFrame, columns: Mapping[str, Any], files: Sequence[str]) -> None:
        """Take up SEQUENCES, with further columns of theirs; ``files`` are the names that ``file`` indexes."""
        names = pl.Series("file", list(files) or [""], dtype=pl.String)
        out = units.select([c for c in (*SEQUENCES, "weight") if c != "templates" and c in units.columns])
        out = out.with_columns(names.gather(out["file"]).alias("file")).with_columns(**columns)
        packed = BytesIO()
        out.write_ipc(packed, compression="zstd")
        self._parts.append(packed.getvalue())

    def frame(self) -> pl.DataFrame:
        """Return all that was added; nothing is held any more."""
        parts, self._parts = self._parts, []
        return pl.concat([pl.read_ipc(part) for part in parts])


def group_column(
    scores: Mapping[str, NDArray[np.float64]], groups: Groups | None, sources: Sequence[str | None]
) -> dict[str, pl.Series]:
    """Return the column of SCORES that says among which units each was judged; none without groups.

    Its physical values are the groups that go with the raw ``scores``.
    """
    if groups is None:
        return {}
    names = groups.names(sources)
    return {GROUP: pl.Series(GROUP, names, dtype=pl.Enum(names)).gather(pl.Series(scores[GROUP].astype(np.uint32)))}


def marked_lines(group: pl.DataFrame) -> list[tuple[int, int, str | None]]:
    """Return (file, line, mark) of what to show: around the worst event, and the strange lines of more units."""
    if "rows" not in group.columns:
        return []
    out: dict[tuple[int, int], str | None] = {}
    for n, unit in enumerate(group.head(1 + _MORE).iter_rows(named=True)):
        rows, event = unit["rows"], unit["event"]
        at = len(rows) - 1 if event is None else event
        around = range(max(0, at - _AROUND), min(len(rows), at + _AROUND + 1)) if n == 0 else [at]
        for i in around:
            mark = None if event is None or i != event else "worst" if n == 0 else "strange"
            place = file_and_line(rows[i])
            out[place] = out.get(place) or mark
    return [(file, line, mark) for (file, line), mark in sorted(out.items())]
