"""Numbers of many series, of which no more than so many are kept: beyond, as means of two neighbours, then of four."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.ragged import Floats, Ints


class Means:
    """Gathers numbers by series, in the order of the input. What is kept does not depend on how that was cut.

    Args:
        most: numbers kept at most, 36 bytes each; but one a series.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._halvings = 0
        self._series: dict[tuple[int, int, int], int] = {}
        self._seen: Ints = np.zeros(0, dtype=np.int64)
        # The place of a number among those of its series, behind the series' number: sorted.
        self._key: Ints = np.zeros(0, dtype=np.int64)
        self._n: Ints = np.zeros(0, dtype=np.int64)
        self._sum: Floats = np.zeros(0)
        self._at: Ints = np.zeros(0, dtype=np.int64)
        self._place: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)

    def add(self, rows: pl.DataFrame) -> None:
        """Take up numbers.

        Args:
            rows: ``what`` (UInt8), ``lane`` and ``source`` (UInt32) say which series; ``at`` (microseconds),
                ``place`` (UInt64) and ``number`` of each.
        """
        if not rows.height:
            return
        lane, source, what = (rows[name].to_numpy().astype(np.int64) for name in ("lane", "source", "what"))
        first, second = np.unique(lane, return_inverse=True), np.unique(source, return_inverse=True)
        width = len(second[0])
        group = (first[1] * width + second[1]) * 2 + what
        order = np.argsort(group, kind="stable")
        sorted_ = group[order]
        begin = np.flatnonzero(np.diff(sorted_, prepend=-1))
        count = np.diff(begin, append=len(order))
        pairs = sorted_[begin] // 2
        known = zip(sorted_[begin] % 2, first[0][pairs // width], second[0][pairs % width], strict=True)
        names = [(int(one), int(lane_), int(source_)) for one, lane_, source_ in known]
        series = np.array([self._series.setdefault(name, len(self._series)) for name in names], dtype=np.int64)
        seen = np.zeros(len(self._series), dtype=np.int64)
        seen[: len(self._seen)] = self._seen
        block = np.arange(len(order)) + np.repeat(seen[series] - begin, count)
        seen[series] += count
        self._seen = seen
        key = (np.repeat(series, count) << 32) | (block >> self._halvings)
        at, place, number = (rows[name].to_numpy()[order] for name in ("at", "place", "number"))
        self._key = np.concatenate([self._key, key])
        order = np.argsort(self._key, kind="stable")
        self._key = self._key[order]
        self._n = np.concatenate([self._n, np.ones(len(key), dtype=np.int64)])[order]
        self._sum = np.concatenate([self._sum, number])[order]
        self._at = np.concatenate([self._at, at])[order]
        self._place = np.concatenate([self._place, place])[order]
        self._add_up()
        while len(self._key) > max(self.most, len(self._series)):
            self._halvings += 1
            self._key = (self._key >> 32 << 32) | ((self._key & 0xFFFFFFFF) >> 1)
            self._add_up()

    def _add_up(self) -> None:
        """Make one of neighbours with the same key."""
        begin = np.flatnonzero(np.diff(self._key, prepend=-1))
        if len(begin) == len(self._key):
            return
        self._key = self._key[begin]
        self._n, self._sum = np.add.reduceat(self._n, begin), np.add.reduceat(self._sum, begin)
        self._at, self._place = np.minimum.reduceat(self._at, begin), np.minimum.reduceat(self._place, begin)

    def frame(self) -> pl.DataFrame:
        """Return one row a number kept.

        Columns: those of its series; ``n``, how many it is the mean of, and ``number``, their sum; the least ``at`` and
        ``place`` among them.
        """
        schema = {"what": pl.UInt8, "lane": pl.UInt32, "source": pl.UInt32}
        names = pl.DataFrame(list(self._series), schema=schema, orient="row")
        return names[self._key >> 32].with_columns(
            n=pl.Series(self._n), number=pl.Series(self._sum), at=pl.Series(self._at), place=pl.Series(self._place)
        )
