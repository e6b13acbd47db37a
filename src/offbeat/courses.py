"""Counts of named things over time for two sides, in memory that does not grow with the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.schema import owned

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Buckets in use on a side, and cells of a family, at most; buckets widen to twice their width beyond.
_BUCKETS: Final = 2_048
_CELLS: Final = 250_000
#: A field with more different values holds ids or texts, not kinds.
MOST_VALUES: Final = 2_000
#: Numbers with more different values than this are measured, not kinds.
_MOST_NUMBERS: Final = 24
#: Cells that wait to be added up.
_PENDING: Final = 100_000


@dataclass
class Family:
    """One kind of thing that lines have one of each: templates, levels, sources, or the values of a field.

    Attributes:
        names: of the values, by code; empty where codes come from elsewhere.
        full: it has too many different values, and is counted no more.
    """

    names: list[str] = field(default_factory=list)
    full: bool = False
    _codes: dict[str, int] = field(default_factory=dict, repr=False)
    _shift: list[int] = field(default_factory=lambda: [0, 0], repr=False)
    _frames: list[list[pl.DataFrame]] = field(default_factory=lambda: [[], []], repr=False)
    _waiting: int = 0

    def add(self, side: int, at: pl.Series, values: pl.Series, place: pl.Series) -> None:
        """Count values.

        Args:
            side: 0 or 1.
            at: of each line, microseconds or its number, Int64.
            values: codes (UInt32), or texts; null is not counted.
            place: where the line is, UInt64.
        """
        if self.full:
            return
        if values.dtype == pl.String:
            kinds = values.drop_nulls().unique()
            if len(kinds) > MOST_VALUES or self._grown(kinds) > MOST_VALUES:
                self.full, self._frames = True, [[], []]
                return
            new = pl.Series([self._codes[name] for name in kinds], dtype=pl.UInt32)
            values = values.replace_strict(kinds, new, default=None, return_dtype=pl.UInt32)
        rows = pl.DataFrame({"code": values, "bucket": at.to_physical(), "place": place}).drop_nulls()
        part = rows.group_by("code", pl.col("bucket") // (1 << self._shift[side])).agg(
            pl.len().cast(pl.UInt32).alias("count"), pl.col("place").min()
        )
        self._frames[side].append(part)
        self._waiting += part.height
        if self._waiting > _PENDING:
            self._fit()

    def _grown(self, kinds: pl.Series) -> int:
        for name in owned(kinds.sort()).to_list():
            if name not in self._codes:
                self._codes[name] = len(self.names)
                self.names.append(name)
        return len(self.names)

    def _fit(self) -> None:
        """Add up what waits, in buckets so wide that there is room for all of them."""
        for side in (0, 1):
            if not self._frames[side]:
                continue
            whole = _summed(pl.concat(self._frames[side]))
            while (used := whole["bucket"].n_unique()) > 1 and (used > _BUCKETS or whole.height > _CELLS):
                # Halving cannot do better than halve, so this never goes further than needed.
                halvings = max(1, int(np.log2(max(used / _BUCKETS, whole.height / _CELLS))))
                self._shift[side] += halvings
                whole = _summed(whole.with_columns(pl.col("bucket") // (1 << halvings)))
            self._frames[side] = [whole]
        self._waiting = 0

    def rename(self, code: Callable[[pl.Series], pl.Series]) -> None:
        """Replace codes, merging those that become the same."""
        self._fit()
        for side in (0, 1):
            self._frames[side] = [
                _summed(frame.with_columns(code(frame["code"]).alias("code"))) for frame in self._frames[side]
            ]

    def cells(self, side: int) -> pl.DataFrame:
        """Return ``code``, ``at`` (the middle of the bucket), ``count`` and ``place`` (the first line's) of a side."""
        self._fit()
        if not self._frames[side]:
            return pl.DataFrame(schema={"code": pl.UInt32, "at": pl.Int64, "count": pl.UInt32, "place": pl.UInt64})
        width = 1 << self._shift[side]
        middle = (pl.col("bucket") * width + width // 2).alias("at")
        return self._frames[side][0].select("code", middle, "count", "place").sort("code", "at")

    @property
    def measured(self) -> bool:
        """Whether its values are numbers of which there are too many to be names of something."""
        if len(self.names) <= _MOST_NUMBERS:
            return False
        return pl.Series(self.names).cast(pl.Float64, strict=False).null_count() < 0.1 * len(self.names)


def _summed(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.group_by("code", "bucket").agg(pl.col("count").sum(), pl.col("place").min())


def edges(at: Ints, count: Ints, k: int) -> Ints:
    """Return the bounds of ``k`` windows, shape (k + 1,): equally long, or where most would be empty, equally full.

    Args:
        at: of buckets, in order, shape (n,).
        count: lines in each, shape (n,).
        k: how many windows.
    """
    even = np.linspace(at[0], at[-1] + 1, k + 1).astype(np.int64)
    held = np.unique(np.searchsorted(even, at, side="right"))
    if len(held) >= 0.5 * min(k, len(at)):
        return even
    parts = [part[0] for part in np.array_split(at, min(k, len(at)))]
    return np.array([*parts, at[-1] + 1], dtype=np.int64)


def table(cells: pl.DataFrame, codes: Ints, bounds: Ints) -> Floats:
    """Return counts by code and window, shape (codes, windows); ``codes`` are in order."""
    out = np.zeros((len(codes), len(bounds) - 1))
    code, at = cells["code"].to_numpy().astype(np.int64), cells["at"].to_numpy()
    row = np.searchsorted(codes, code)
    known = row < len(codes)
    known[known] = codes[row[known]] == code[known]
    window = np.clip(np.searchsorted(bounds, at, side="right") - 1, 0, len(bounds) - 2)
    np.add.at(out, (row[known], window[known]), cells["count"].to_numpy()[known])
    return out
