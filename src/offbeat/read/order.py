"""The two steps that need the events in order: dropping duplicates and merging files by time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from offbeat.read.blocks import MAX_LINES

#: Equal events are looked for among so many before them; equal times are never further apart in practice.
WINDOW: Final = 500_000


class Seen:
    """Remembers the hashes of the latest events of a file."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._hashes: deque[pl.Series] = deque()
        self._held = 0

    def drop(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
        """Leave out events that were there before.

        Args:
            frame: events with ``file``, ``span`` and ``hash``.

        Returns:
            The others, how many events were left out, and how many lines those were.
        """
        if frame.is_empty():
            return frame, 0, 0
        if frame["file"][0] != self._file:
            self._file, self._held = frame["file"][0], 0
            self._hashes.clear()
        again = ~frame["hash"].is_first_distinct()
        for earlier in self._hashes:
            again = again | frame["hash"].is_in(earlier.implode())
        fresh = frame.filter(~again)
        self._remember(fresh["hash"])
        return fresh, int(again.sum()), int(frame.filter(again)["span"].sum())

    def _remember(self, hashes: pl.Series) -> None:
        self._hashes.append(hashes)
        self._held += len(hashes)
        while self._held - len(self._hashes[0]) > WINDOW:
            self._held -= len(self._hashes.popleft())
        if len(self._hashes) > 16:  # few large sets are quicker to look through than many small ones
            self._hashes = deque([pl.concat(list(self._hashes))])


def merge(inputs: Sequence[Iterator[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Merge frames of several files by time.

    Within a file the order stays as it is: an event without time, or with one before its predecessor's, goes with its
    predecessor. Of equal times the earlier file comes first.

    Args:
        inputs: for each file its frames in order, with ``timestamp``.
    """
    latest: list[object] = [None] * len(inputs)
    heads: dict[int, pl.DataFrame] = {}

    def refill(i: int) -> None:
        for frame in inputs[i]:
            if frame.height:
                heads[i] = _keyed(frame, latest[i])
                latest[i] = heads[i]["key"][-1]
                return
        heads.pop(i, None)

    for i in range(len(inputs)):
        refill(i)
    while heads:
        bound = min(frame["key"][-1] for frame in heads.values())
        ready = []
        for i in sorted(heads):
            n = int((heads[i]["key"] <= bound).sum())
            ready.append(heads[i].head(n))
            heads[i] = heads[i].slice(n)
            if heads[i].is_empty():
                refill(i)
        whole = pl.concat(ready).sort("key", maintain_order=True).drop("key")
        yield from whole.iter_slices(MAX_LINES)


def _keyed(frame: pl.DataFrame, before: object) -> pl.DataFrame:
    """Add the time to sort by: never null, never falling within the file."""
    time = frame["timestamp"].dt.epoch("us")
    if before is not None:
        time = (
            pl.concat([pl.Series([before], dtype=pl.Int64), time.rename("")])
            .cum_max()
            .fill_null(strategy="forward")[1:]
        )
    else:
        time = time.cum_max().fill_null(strategy="forward").fill_null(-(1 << 62))
    return frame.with_columns(time.alias("key"))
