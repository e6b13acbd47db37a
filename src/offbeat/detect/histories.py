"""What came just before each event: windows of fixed size, each distinct one once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.padded import PAD
from offbeat.detect.ragged import Floats, Ints, Ragged


@dataclass(frozen=True)
class Histories:
    """The distinct pairs of a token and those before it; the end of a sequence is a token, too.

    Attributes:
        before: tokens of the events before, oldest first, int64 of shape (m, window); PAD where there was none.
        next: the token that followed, int64 of shape (m,); PAD is the end of the sequence.
        weight: how many events each pair stands for, shape (m,).
        index: the pair of each event, then that of each sequence's end, shape (events + n,).
    """

    before: Ints
    next: Ints
    weight: Floats
    index: Ints

    def __len__(self) -> int:
        return len(self.next)


def histories(data: Ragged, tokens: Ints, window: int) -> Histories:
    """Return the distinct histories of a log's events and ends.

    Args:
        data: n sequences.
        tokens: of each of their events, shape (events,).
        window: events before.
    """
    rows = np.concatenate([data.rows, np.arange(len(data))])
    place = np.concatenate([np.arange(len(data.ids)), data.offsets[1:]])
    following = np.concatenate([tokens, np.full(len(data), PAD)])
    # Small numbers make rows short to compare.
    kind = np.int16 if following.max(initial=0) < 2**15 else np.int32
    table = np.full((len(place), window + 1), PAD, dtype=kind)
    table[:, window] = following
    for back in range(1, window + 1):
        at = place - back
        inside = at >= data.offsets[rows]
        table[inside, window - back] = tokens[at[inside]]
    first, index = distinct_rows(table)
    kept = table[first].astype(np.int64)
    weight = np.bincount(index, weights=data.weight[rows], minlength=len(first)).astype(np.float64)
    return Histories(kept[:, :window], kept[:, window], weight, index)


def distinct_rows(table: NDArray[np.generic]) -> tuple[Ints, Ints]:
    """Return the positions of the first of each distinct row of a table, in order, and for every row its number."""
    if not table.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    whole = np.ascontiguousarray(table).view(np.dtype((np.void, table.dtype.itemsize * table.shape[1])))[:, 0]
    _, first, index = np.unique(whole, return_index=True, return_inverse=True)
    # In order of arrival, so that it does not depend on how a machine orders bytes.
    order = np.argsort(first, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[index.reshape(-1)]
